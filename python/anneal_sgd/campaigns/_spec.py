"""Campaigns from TOML files. The TOML parser is used here and nowhere else."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import _validate, problems, schedules
from ..methods._names import from_data
from ..problems._separable import SeparableProblem
from ._campaign import Campaign, ProblemGrid

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_VALUES = 1_000_000  # of one grid
_SEPARABLE = {cls._kind.name: cls for cls in SeparableProblem.__subclasses__()}
_MODELS = {
    "least_squares": ("least_squares", problems.LeastSquares),
    "logistic_regression": ("logistic", problems.LogisticRegression),
    "softmax_regression": ("softmax", problems.SoftmaxRegression),
    "hinge_loss": ("hinge", problems.HingeLoss),
    "linear_model": ("linear_model", problems.LinearModel),
    "mlp": ("mlp", problems.MLP),
}
_CUSTOM = [name for name in inspect.signature(problems.Custom).parameters if name not in ("f", "parameters")]
_OF_DATA = ("data", "target", "encode", "sample_weight", "test_frac")
_NOT_IN_FILES = ("X", "y", "sample_weight", "test", "x0")  # as arrays
_TABLES = ("values", "at", "file")  # of a schedule

EXAMPLE = """\
# A campaign of anneal_sgd: run it with   anneal-sgd sweep this.toml
# Interrupt it at any time; the same command goes on. Names are those of anneal_sgd.simulate.

name = "robustness of the last iterate"
store = "sweep.db"           # the results, beside this file; --store says otherwise
seed = 0

schedule = ["constant", "linear", "cosine", "cosine:floor=0.1", "polynomial:3"]
# Or your own: { file = "lr.csv" } or { values = [...] }, a learning rate for every step of the one horizon, divided by
# the largest; { values = [1.0, 1.0, 0.0], at = [0.0, 0.8, 1.0] } is lines through points, at any horizon.
horizon = [1_000, 10_000]    # steps

# Grids are lists, { geomspace = [first, last, count] } or { linspace = [first, last, count] }.
# rho multiplies the learning rate that theory tunes for each schedule and horizon; base_lr sets learning rates.
rho = { geomspace = [0.5, 256.0, 10] }

replicates = 4_096           # of every config, or a precision instead:
# relative_stderr = 0.01     # until the standard error of every mean is below 1 % of it,
# relative_error = 0.02      # or until its anytime-valid 95 % interval (confidence = 0.95) is within 2 % of it,
# max_replicates = 1_000_000 # but not with more than this

# record_frac = [0.1, 0.3, 1.0]   # fractions of the horizon at which to record; or record_at = [100, 1000]
# iterate = "last"                # "average", "tail_average" (tail_frac), "ema" (ema_decay), "polynomial_average"
# common_random_numbers = true    # false: every config has noise of its own
# dtype = "float32"               # "float64"
# backend = "auto"                # "cpu", "cuda"
# method = "adam"                 # or { name = "adam", beta1 = 0.8 }, of anneal_sgd.methods; default SGD
# momentum, nesterov, weight_decay, metric: for problems on data

[problem]
kind = "absolute_value"      # "quadratic", "huber"
slope = { geomspace = [0.01, 0.1, 4] }   # a grid: a dimension of the result; a list is one problem's coordinates
noise = "rademacher"         # "gaussian", "uniform", "none"
second_moment = 1.0          # or noise_std
projection = ["box", -1.0, 1.0]   # ["ball", radius]
x0 = 1.0

# Or a function of your own, in the words of NumPy; every other name in it is a key, a number or a grid:
# [problem]
# kind = "custom"
# objective = "a * sum(abs(x) ** 1.5)"
# a = { geomspace = [0.1, 10.0, 5] }
# noise = "0.5 * (1 + abs(x)) * draw.student_t(3.0)"   # or "gaussian", with noise_std
# x0 = 1.0
# dimension = 10
# minimum = 0.0
# and, before [problem], what else is to be recorded:
# metric = { suboptimality = "suboptimality", slope = "norm(gradient)" }

# Or a model on data:
# [problem]
# kind = "logistic_regression"    # "least_squares", "softmax_regression", "hinge_loss", "mlp", "linear_model"
# loss = "abs(z - y) ** 1.3"      # of "linear_model", or "mlp": your own, of an output z and its target y
# data = "synthetic-logistic"     # "digits", "breast_cancer", or a .csv or .npz file beside this one
# target = "column"
# sample_weight = "column"       # how much each row counts; by default all alike
# encode = false                 # true: a column of 0 and 1 for every value of text and categories
# batch_size = { values = [1, 16] }
# test_frac = 0.2
"""


def _grid(value: Any) -> Any:
    """A number, a text or a list as it is; a table of a grid as a list."""
    if not isinstance(value, Mapping):
        return value
    if len(value) != 1 or next(iter(value)) not in ("geomspace", "linspace", "values"):
        raise ValueError("must be a list or one of { geomspace = [first, last, count] }, { linspace = ... }, "
                         f"{{ values = [...] }}, got {_validate.shown(dict(value))}")  # fmt: skip
    ((how, numbers),) = value.items()
    if how == "values":
        if not isinstance(numbers, list):
            raise ValueError(f"values must be a list, got {_validate.shown(numbers)}")
        return numbers
    allowed = f"{how} must be [first, last, count]"
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(map(_is_number, numbers)):
        raise ValueError(f"{allowed}, got {_validate.shown(numbers)}")
    first, last = (_validate.real(how, x, _validate.FINITE) for x in numbers[:2])
    count = _validate.integer(f"{how} count", numbers[2], lowest=1, highest=_MOST_VALUES)
    if how == "linspace":
        return np.linspace(first, last, count).tolist()
    if first <= 0.0 or last <= 0.0:
        raise ValueError(f"{allowed}, first and last > 0, got {_validate.shown(numbers)}")
    return np.geomspace(first, last, count).tolist()


def _whole(value: Any) -> Any:
    """Whole numbers: a computed grid is rounded, and what coincides taken once."""
    grid = _grid(value)
    if isinstance(value, Mapping) and isinstance(grid, list) and all(map(_is_number, grid)) and "values" not in value:
        return list(dict.fromkeys(round(x) for x in grid))
    return grid


def _table(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, as in [problem], got {_validate.shown(value)}")
    return value


def _file(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be the name of a file, got {_validate.shown(value)}")
    return value


def _schedules(value: Any) -> Any:
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(x, str | dict) for x in several):
        allowed = "a text, { values = [...] } or { file = ... }, or a list of them"
        raise ValueError(f"must be {allowed}, got {_validate.shown(value)}")
    return value


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


_BACKENDS = ("auto", "cpu", "cuda")
_KEYS = (*(name for name in inspect.signature(Campaign).parameters if name != "text"), "store", "backend")
_REQUIRED = ("problem", "schedule", "horizon")
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "problem": _table,
    "schedule": _schedules,
    "store": _file,
    "method": from_data,
    **dict.fromkeys(("horizon", "record_at"), _whole),
    **dict.fromkeys(("base_lr", "rho", "record_frac"), _grid),
}
"""What is not left to `Campaign`."""


def _checked(parsed: Mapping[str, Any], name: str, text: str) -> dict[str, Any]:
    """The keys of a file and what they hold; ValueError names all that is wrong."""
    told = [f"{name}: {key} must be given" for key in _REQUIRED if key not in parsed]
    spec = {}
    for key, value in parsed.items():
        try:
            if key not in _KEYS:
                raise ValueError(f"must be one of {', '.join(_KEYS)}")
            spec[key] = _CHECKS[key](value) if key in _CHECKS else value
        except ValueError as error:
            told.append(f"{_place(name, text, (key,))}: {key} {error}")
    if told:
        raise ValueError("; ".join(told))
    return spec


@dataclass(frozen=True)
class Sweep:
    """What a file says: the campaign, and where and how to run it."""

    campaign: Campaign
    store: Path | None
    backend: str


def read_spec(source: Path | str, *, folder: Path | None = None) -> Sweep:
    """A campaign from a TOML file, or from its text (then files named in it are looked for in `folder`).

    ValueError: it is no TOML, has a key that is unknown or missing, or a value that is not allowed; the message names
    the line and the key.

    >>> read_spec(EXAMPLE).campaign
    <Campaign slope: 4 x schedule: 5 x horizon: 2 x rho: 10; 4096 replicates>
    """
    if isinstance(source, Path):
        name, folder = source.name, source.parent
        try:
            text = source.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"{name}: is no text in UTF-8") from None
    else:
        name, folder, text = "spec", folder or Path(), source
    try:
        parsed = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{name}: {reason}") from None
    spec = _checked(parsed, name, text)
    keys: tuple[str, ...] = ("problem",)
    try:
        problem = _problem(spec["problem"], folder)
        keys = ()
        one = spec["schedule"]
        schedule = [_schedule(s, folder) for s in one] if isinstance(one, list) else _schedule(one, folder)
        given = {key: value for key, value in spec.items() if key not in ("problem", "schedule", "store", "backend")}
        campaign = Campaign(problem, schedule, text=text, **given)
        backend = _validate.choice("backend", spec.get("backend", "auto"), _BACKENDS)
    except RecursionError:
        raise ValueError(f"{name}: is nested too deeply") from None
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        message = str(error)
        first = re.match(r"\w+", message)
        path = (*keys, first[0]) if first is not None and first[0] in (spec["problem"] if keys else parsed) else keys
        raise ValueError(f"{_place(name, text, path)}: {message}") from None
    return Sweep(campaign, folder / spec["store"] if "store" in spec else None, backend)


def _schedule(given: str | dict[str, Any], folder: Path) -> schedules.Schedule:
    try:
        if isinstance(given, str):
            return schedules.by_name(given)
        options = {key: value for key, value in given.items() if key not in _TABLES}
        sources = [key for key in ("file", "values") if key in given]
        if len(sources) != 1 or options.keys() - {"name", "tail_degree"} or ("at" in given and sources == ["file"]):
            raise ValueError("must be { values = [...] }, with one for every step, { values = [...], at = [...] }, at "
                             "fractions, or { file = ... }; name and tail_degree may be added")  # fmt: skip
        if sources == ["values"] and "at" in given:
            return schedules.Tabulated(given["values"], at=given["at"], **options)
        if sources == ["values"]:
            return schedules.from_steps(given["values"], **options)
        return schedules.from_file(folder / _file(given["file"]), **options)
    except ValueError as error:
        raise ValueError(f"schedule {_validate.shown(given)}: {error}") from None


def _problem(given: dict[str, Any], folder: Path) -> Any:
    kind = _validate.choice("kind", given.get("kind"), (*_SEPARABLE, "custom", *_MODELS))
    rest = {key: value for key, value in given.items() if key != "kind"}
    if kind in _SEPARABLE:
        make: Callable[..., Any] = _SEPARABLE[kind]
        known = tuple(inspect.signature(make).parameters)
    elif kind == "custom":
        known = ("objective", *_CUSTOM, *(name for name in rest if name.isidentifier()))
        make = _custom
    else:
        model, cls = _MODELS[kind]
        known = (*_OF_DATA, *(n for n in inspect.signature(cls).parameters if n not in _NOT_IN_FILES))
        make = partial(_on_data, rest, model, folder)
    for key in rest:
        if key not in known:
            raise ValueError(f"{key} must be a parameter of {kind}, which are {', '.join(known)}")
    if kind not in _MODELS and known[0] not in rest:
        raise ValueError(f"{known[0]} must be given for {kind}")
    fixed, axes = {}, {}
    for key, value in rest.items():
        if key in _OF_DATA:
            continue
        if isinstance(value, Mapping) and set(value) != {"coordinates"}:
            try:
                axes[key] = (_whole if key in ("batch_size", "dimension") else _grid)(value)
            except ValueError as error:
                raise ValueError(f"{key} {error}") from None
        elif isinstance(value, Mapping):
            fixed[key] = _grid(value["coordinates"])
        else:
            fixed[key] = tuple(value) if key in ("projection", "hidden") and isinstance(value, list) else value
    if not axes:
        return make(**fixed)
    return ProblemGrid(partial(make, **fixed), **axes)


def _custom(objective: Any, **values: Any) -> problems.Custom:
    """From texts; what is no argument of a custom problem is a parameter of its texts."""
    for name in ("objective", "gradient", "noise", "oracle"):
        text = objective if name == "objective" else values.get(name, "")
        if not isinstance(text, str):
            raise ValueError(f"{name} must be a text, got {_validate.shown(text)}")
    own = {name: value for name, value in values.items() if name not in _CUSTOM}
    rest = {name: value for name, value in values.items() if name in _CUSTOM}
    try:
        return problems.Custom(objective, parameters=own, **rest)
    except ValueError as error:
        raise ValueError(re.sub("^f ", "objective ", str(error))) from None


def _on_data(given: dict[str, Any], model: str, folder: Path, **parameters: Any) -> Any:
    from ..datasets import BUILT_IN, load, make_problem

    source = given.get("data", "synthetic-logistic")
    if not isinstance(source, str):
        raise ValueError(f"data must be a text, got {_validate.shown(source)}")
    target, weight = (given.get(key) for key in ("target", "sample_weight"))
    for key, value in (("target", target), ("sample_weight", weight)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{key} must be a text, got {_validate.shown(value)}")
    source = source if source in BUILT_IN else str(folder / source)
    table = load(source, target=target, encode=given.get("encode", False), sample_weight=weight)
    return make_problem(table, model=model, test_frac=given.get("test_frac", 0.0), **parameters)  # type: ignore[arg-type]


def _place(name: str, text: str, path: Sequence[str]) -> str:
    """The file and, where it can be found, the line of a key."""
    table, line = "", None
    for number, content in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]", content)
        key = re.match(r"\s*([\w.\"'-]+)\s*=", content)
        if header and key is None:
            table = header[1].strip("\"'")
            found = table
        elif key:
            found = ".".join(filter(None, (table, re.sub("[\"']", "", key[1]))))
        else:
            continue
        wanted = ".".join(path)
        if path and (found == wanted or wanted.startswith(found + ".")):
            line = number
            if found == wanted:
                break
    return name if line is None else f"{name}, line {line}"
