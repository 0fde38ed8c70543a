"""What is simulated: the options of a call, each in one place with its default, its check and its meaning."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _core, _validate
from ._arrays import FloatArray, IntArray, short
from .methods import SGD, Method
from .methods._base import of_kind
from .problems import OwnMetric, Problem
from .schedules import Schedule

if TYPE_CHECKING:
    from .programs import Program
    from .programs._ir import Shape

Iterate: TypeAlias = Literal["last", "average", "tail_average", "ema", "polynomial_average"]
Whole: TypeAlias = float | np.integer[Any]
"""A whole number: an integer, or a float such as 1e6."""
Steps: TypeAlias = Whole | Sequence[Whole] | NDArray[np.integer[Any] | np.floating[Any]] | None
Seed: TypeAlias = "Whole | Sequence[int] | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None"

_BELOW_ONE = _validate.Interval(low=0.0, high=1.0, open_high=True)
_ITERATES = tuple(kind.name for kind in _core.Iterate)
_LARGEST_SEED = 2**64 - 1
_OF_SGD = ("momentum", "nesterov", "weight_decay")
_RANGES = {name: (float(np.finfo(name).tiny), float(np.finfo(name).max)) for name in _validate.DTYPES}


class Options(TypedDict, total=False):
    """Types of the keywords of `simulate` that have a default in `Spec`, for type checkers and editors."""

    seed: Seed
    iterate: Iterate | Sequence[Iterate]
    tail_frac: float
    ema_decay: float
    average_degree: float
    common_random_numbers: bool
    method: Method
    momentum: float
    nesterov: bool
    weight_decay: float
    metric: str | Sequence[str | OwnMetric] | Mapping[str, str | Callable[..., Any]] | None
    dtype: DTypeLike


def integer_seed(name: str, seed: object) -> int:
    """The integer that stands for a seed, as SPEC 7 of Scientific Python has them."""
    if type(seed) is int and 0 <= seed <= _LARGEST_SEED:
        return seed
    if isinstance(seed, int | str | bytes):
        return _validate.integer(name, seed, lowest=0, highest=_LARGEST_SEED)
    if isinstance(seed, np.random.BitGenerator):
        seed = np.random.Generator(seed)
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**64, dtype=np.uint64))
    if seed is None or isinstance(seed, Sequence):
        entropy = None if seed is None else [_validate.integer(name, word, lowest=0) for word in seed]
        seed = np.random.SeedSequence(entropy)
    if isinstance(seed, np.random.SeedSequence):
        return int(seed.generate_state(1, np.uint64)[0])
    return _validate.integer(name, seed, lowest=0, highest=_LARGEST_SEED)


def _iterates(name: str, iterate: object) -> str | tuple[str, ...]:
    if not isinstance(iterate, tuple | list):
        return one_iterate(name, iterate)
    names = tuple(one_iterate(name, one) for one in iterate)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{name} must be one or more of {', '.join(map(repr, _ITERATES))}, each once, got {iterate!r}")
    return names


def one_iterate(name: str, value: object) -> str:
    """The name of one kind of iterate. ValueError: another, with what may be meant."""
    try:
        return _validate.choice(name, value, _ITERATES)
    except ValueError as error:
        hints = {"best": "the best so far is a metric, of what methods.Custom remembers"}
        hints |= dict.fromkeys(("suffix", "suffix_average"), "a suffix average is the tail_average")
        hint = hints.get(value) if isinstance(value, str) else None
        raise ValueError(f"{error}: {hint}" if hint else str(error)) from None


def _as_given(name: str, value: Any) -> Any:
    return value


def _dtype(name: str, dtype: DTypeLike) -> str:
    return _validate.dtype_name(dtype)


def _about(meaning: str, check: Any = None) -> dict[str, Any]:
    """`check(name, value)`: what is kept of the caller's value."""
    return {"meaning": meaning, "check": check}


@dataclass(frozen=True)
class Spec:
    """What was simulated, but for the replicates: results with equal specs can be merged.

    Where a sequence was given there is a tuple, and `dims` names it. Arguments of `simulate` by the same names; `dtype`
    is "float32" or "float64". Equal and hashable by content.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=0.5)
    >>> spec = simulate(problem, schedules.Linear(), base_lr=[0.25, 0.5], horizon=2, replicates=1).spec
    >>> spec.dims, spec.shape, spec.base_lr, spec.record_at
    (('base_lr',), (2,), (0.25, 0.5), 2)
    """

    problem: Problem | tuple[Problem, ...] = field(
        metadata=_about("one, or a sequence of one class, dimension, kind of noise and kind of projection.")
    )
    schedule: Schedule | tuple[Schedule, ...] = field(metadata=_about("one, or a sequence."))
    base_lr: float | tuple[float, ...] = field(metadata=_about("finite and >= 0, one number or 1-D."))
    horizon: int = field(metadata=_about("T, the number of steps, 1 .. 2^32 - 1."))
    record_at: int | tuple[int, ...] = field(
        metadata=_about("steps at which to record, a number or strictly increasing ones in 0 .. horizon, the default.")
    )
    seed: int = field(
        default=0,
        metadata=_about(
            """an integer in 0 .. 2^64 - 1, as results keep it, or what SPEC 7 of Scientific Python takes: a
  SeedSequence, integers for one, a Generator or BitGenerator, of which a number is drawn, so that every call differs,
  or None: fresh from the system. Calls of one dtype with equal seeds share their noise, those with the default 0
  included: vary it for runs that are to be independent.""",
            integer_seed,
        ),
    )
    iterate: str | tuple[str, ...] = field(
        default="last",
        metadata=_about(
            """where f is recorded: "last", "average", "tail_average", "ema" or "polynomial_average", or a sequence of
  such, the first dimension of the result; each is a pass of its own over the steps, so that it costs, and gives, what a
  call of its own does. The last two are kept step by step, a_1 = x_1 and $a_t = a_{t-1} + w_t (x_t - a_{t-1})$, which
  takes 1.2 (minibatches of 16) to 13 times the time of "last" (one coordinate, Rademacher noise).""",
            _iterates,
        ),
    )
    tail_frac: float = field(
        default=0.5,
        metadata=_about(
            'the fraction of the steps that "tail_average" is over, in (0, 1]; for no other iterate.',
            partial(_validate.real, interval=_validate.POSITIVE_FRACTION),
        ),
    )
    ema_decay: float = field(
        default=0.999,
        metadata=_about(
            """of "ema", in [0, 1): $w_t = 1 - ema_decay$ for t > 1, as `get_ema_multi_avg_fn` of torch.optim.swa_utils
  has it, updated after every step. It begins at x_1, so that there is no bias to correct.""",
            partial(_validate.real, interval=_BELOW_ONE),
        ),
    )
    average_degree: float = field(
        default=3.0,
        metadata=_about(
            """k >= 0 of "polynomial_average": $w_t = (k + 1) / (k + t)$, so that x_s weighs about as $s^k$
  (Shamir and Zhang, ICML 2013, section 4; 0 is the average).""",
            partial(_validate.real, interval=_validate.NON_NEGATIVE),
        ),
    )
    common_random_numbers: bool = field(
        default=True,
        metadata=_about(
            """all configs of the call see the same noise: differences between them are sharp, and
  the errors of neighbours on a curve go together (it is smooth, and wrong as a whole by about its error bar). False:
  each has its own, within this call; another call with the same `seed` has it again.""",
            _validate.flag,
        ),
    )
    method: Method = field(
        default=SGD(),  # frozen
        metadata=_about(
            """how a step is made of the stochastic gradient, of `anneal_sgd.methods`, such as `methods.Adam()`. By
  default SGD, the step above.""",
            of_kind,
        ),
    )
    momentum: float = field(
        default=0.0,
        metadata=_about(
            """in [0, 1), for problems on data, as are `nesterov` and `weight_decay`: with g the gradient plus
  weight_decay * weights (which f does not contain) and v = 0 at first, v <- momentum * v + g and x <- P(x - lr * v),
  as PyTorch's SGD.""",
            partial(_validate.real, interval=_BELOW_ONE),
        ),
    )
    nesterov: bool = field(
        default=False,
        metadata=_about("x <- P(x - lr * (g + momentum * v)) instead.", _validate.flag),
    )
    weight_decay: float = field(
        default=0.0,
        metadata=_about(
            ">= 0; intercepts do not decay.",
            partial(_validate.real, interval=_validate.NON_NEGATIVE),
        ),
    )
    metric: str | tuple[str | OwnMetric, ...] = field(
        default="",  # of the problem
        metadata=_about(
            """what is recorded, or a sequence of such: "suboptimality" f(x) - f*; for problems on data also "loss"
  f(x), "test_loss", the mean loss of held-out rows without l2, and "test_accuracy"; for
  `problems.Custom` also "value", f(x). Default: "suboptimality" where a minimum can be known, else "loss" or "value".
  Of these problems and of those on data also a dictionary: names, and for each a function of the point x and, by
  their names, of parts of the method's state, which returns one number, of `problems.Custom` also of `value` = f(x),
  `gradient` = f'(x) without noise and the problem's parameters by their names; or a text of that kind; or a metric's
  own name. All are recorded in one pass. What is said of the suboptimality holds for every metric.""",
            _as_given,  # what it may be is for the problems to say
        ),
    )
    dtype: str = field(
        default="float32",
        metadata=_about(
            '"float32" or "float64", of the trajectories; statistics are always float64.',
            _dtype,
        ),
    )
    stream_version: int = _core.STREAM_VERSION

    def arguments(self) -> dict[str, Any]:
        """The arguments of a call of `simulate` for the same trajectories, but for `replicates`.

        ValueError: they are of another version of the random stream.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.AbsoluteValue(slope=0.5, noise="rademacher", noise_std=1.0)
        >>> part = simulate(problem, schedules.Linear(), base_lr=[0.25, 0.5], horizon=9, replicates=1024, seed=7)
        >>> more = simulate(**part.spec.arguments(), first_replicate=1024, replicates=3072)
        >>> (part + more).replicates, more.spec == part.spec
        (4096, True)
        """
        if self.stream_version != _core.STREAM_VERSION:
            raise ValueError(
                f"stream_version must be {_core.STREAM_VERSION} here, got {self.stream_version}: take the version of "
                "anneal_sgd that has it"
            )
        return {name: getattr(self, name) for name in _ABOUT}

    @property
    def dims(self) -> tuple[str, ...]:
        """Those of "iterate", "problem", "schedule", "base_lr", "record_at", "metric" that were given as sequences."""
        return tuple(name for name in _DIMS if isinstance(getattr(self, name), tuple))

    @property
    def shape(self) -> tuple[int, ...]:
        """Their lengths."""
        return tuple(len(getattr(self, name)) for name in self.dims)

    @property
    def config_shape(self) -> tuple[int, ...]:
        """Without "record_at" and "metric"."""
        return tuple(len(getattr(self, name)) for name in self.dims if name in _DIMS[:-2])


_DIMS = ("iterate", "problem", "schedule", "base_lr", "record_at", "metric")
_ABOUT = {f.name: f.metadata for f in fields(Spec) if f.metadata}
_CHECKS = {name: about["check"] for name, about in _ABOUT.items() if about["check"] is not None}
DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(Spec) if f.name in _CHECKS} | {"metric": None}
"""The options that may be left out, and what they are then."""

OF_ITERATE = {"tail_frac": "tail_average", "ema_decay": "ema", "average_degree": "polynomial_average"}
"""Options that are for one iterate alone, which it is."""


def meanings() -> str:
    """What every argument means, as a list for a docstring."""
    return "\n".join(f"- `{name}`: {about['meaning']}" for name, about in _ABOUT.items())


def with_options(signature: Signature) -> Signature:
    """The signature with the options by name and default where it has `**options`."""
    kept = [p for p in signature.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    hints = Options.__annotations__
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[name].__forward_arg__)
        for name, default in DEFAULTS.items()
    ]
    return signature.replace(parameters=[*kept, *added])


def checked(
    problems: tuple[Problem, ...],
    problem: Problem | tuple[Problem, ...],
    schedule: object,
    *,
    horizon: object,
    record_at: object,
    options: Mapping[str, Any],
) -> tuple[Spec, IntArray]:
    """What is to be simulated, but for its learning rates and its seed; the recorded steps as an array.

    ValueError: an argument out of its range. TypeError: an option that there is not.
    """
    kept_schedule = (
        schedule
        if isinstance(schedule, Schedule)
        else _validate.one_or_more("schedule", schedule, Schedule, "schedule")
    )
    try:
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
    except ValueError as error:
        several = ": campaigns.Campaign takes several" if isinstance(horizon, list | tuple | np.ndarray) else ""
        raise ValueError(f"{error}{several}") from None
    for one in (kept_schedule,) if isinstance(kept_schedule, Schedule) else kept_schedule:
        one._core(steps)  # refuses what does not fit the horizon; kept
    kept_records, records = _records(record_at, steps)
    kept = {}
    for name, value in options.items():
        if name not in _CHECKS:
            near = difflib.get_close_matches(name, [*_ABOUT, "replicates", "threads", "backend"], n=1)
            meant = f"did you mean {near[0]}?" if near else "got an unexpected keyword"
            raise TypeError(f"{name} is no argument of this call: {meant}")
        kept[name] = _CHECKS[name](name, value)
    kept["metric"] = _metrics(kept.get("metric"), problems, kept.get("method", DEFAULTS["method"]))
    spec = Spec(problem, kept_schedule, 0.0, steps, kept_records, **kept)
    for metric in own_metrics(spec.metric):
        if (constant := metric.program.largest_constant) > (largest := _RANGES[spec.dtype][1]):
            raise ValueError(
                f"metric {metric.name!r} must have constants of size up to {largest:.4g} in {spec.dtype}, got "
                f"{short(constant)}"
            )
    for name, iterate in OF_ITERATE.items():
        if (value := getattr(spec, name)) != DEFAULTS[name] and iterate not in spec.iterate:
            raise ValueError(f"{name} must go with iterate {iterate!r}, got {value} with {spec.iterate!r}")
    if spec.method != DEFAULTS["method"]:
        _check_method(spec, problems[0])
    if spec.momentum or spec.nesterov or spec.weight_decay:
        _check_momentum(spec, type(problems[0]))
    return spec, records


def with_rates(spec: Spec, base_lr: ArrayLike, seed: object) -> tuple[Spec, FloatArray]:
    """The spec with learning rates and a seed, which are checked; the learning rates as an array."""
    kept, rates = _base_lr(base_lr, spec.dtype)
    whole = object.__new__(Spec)  # a third of the time of `replace`, and all else is checked
    vars(whole).update(vars(spec), base_lr=kept, seed=integer_seed("seed", seed))
    return whole, rates


def _base_lr(base_lr: ArrayLike, dtype: str) -> tuple[float | tuple[float, ...], FloatArray]:
    """What the spec keeps, and the 1-D array."""
    low, high = _RANGES[dtype]
    if type(base_lr) is float and low <= base_lr <= high:  # the common case, without the array operations
        return base_lr, np.array((base_lr,))
    if type(base_lr) is float:
        rates = np.array(_validate.real("base_lr", base_lr, _validate.NON_NEGATIVE))
    else:
        rates = _validate.real_array("base_lr", base_lr, _validate.NON_NEGATIVE)
    if rates.ndim > 1:
        raise ValueError(f"base_lr must be one number or one-dimensional, got shape {rates.shape}")
    flat = rates.reshape(-1)
    _check_range("base_lr", flat, dtype)
    return float(rates) if rates.ndim == 0 else tuple(rates.tolist()), flat


def _check_range(name: str, values: FloatArray, dtype: str) -> None:
    """ValueError where a value >= 0 would be lost, or infinite, in the dtype."""
    low, high = _RANGES[dtype]
    outside = (values > 0.0) & (values < low) | (values > high)
    if outside.any():
        where = int(np.argmax(outside))
        at = f" at index {where}" if values.size > 1 else ""
        raise ValueError(f"{name} must be 0 or {low:.4g} to {high:.4g} in {dtype}, got {float(values[where])!r}{at}")


def own_metrics(metric: str | tuple[str | OwnMetric, ...]) -> tuple[OwnMetric, ...]:
    """Those of one's own, in order."""
    return tuple(one for one in metric if isinstance(one, OwnMetric))


def method_program(method: Method, problem: Problem) -> Program | None:
    """None where a step is that of SGD, which problems on data take with its options."""
    if method._is_plain or _is_options(method, problem):
        return None
    return problem._method_program(method)


def _is_options(method: Method, problem: Problem) -> bool:
    """Whether it is SGD with numbers that the core takes as options."""
    return isinstance(method, SGD) and problem._TAKES_MOMENTUM and not method._scheduled


def for_core(spec: Spec, problem: Problem) -> Spec:
    """What the core takes its options from: those of SGD on data, where they are of the method, stand in the spec."""
    if spec.method == DEFAULTS["method"] or not _is_options(spec.method, problem):
        return spec
    of_method = {name: getattr(spec.method, name) for name in _OF_SGD}
    return replace(spec, **of_method)


def _metrics(metric: object, problems: tuple[Problem, ...], method: Method) -> str | tuple[str | OwnMetric, ...]:
    kind = type(problems[0])
    if metric is None:
        return problems[0]._METRICS[0]
    if isinstance(metric, Mapping):
        if not metric:
            raise ValueError("metric must have a name and a function at least, got {}")
        state = _state(method, problems[0])
        return tuple(_named_metric(name, one, problems[0], state) for name, one in metric.items())
    if callable(metric):
        raise ValueError(f"metric must have a name where it is a function, metric={{'name': f}}, got {metric!r}")
    names = (metric,) if isinstance(metric, str) else metric
    allowed = f"one or more of {', '.join(map(repr, problems[0]._METRICS))} for {kind.__name__}"
    if not isinstance(names, tuple | list) or not names or len(set(map(str, names))) < len(names):
        raise ValueError(f"metric must be {allowed}, each once, got {_validate.shown(metric)}")
    for name in names:
        if isinstance(name, OwnMetric):  # of a result
            problems[0]._check_own_metric(name, _state(method, problems[0]))
            continue
        if not isinstance(name, str) or name not in problems[0]._METRICS:
            own = callable(name) or isinstance(name, Mapping)
            remedy = ": functions go into one dictionary, {'loss': 'loss', 'name': f}" if own else ""
            raise ValueError(f"metric must be {allowed}, got {_validate.shown(name)}{remedy}")
        if name.startswith("test_") and any(getattr(p, "test", None) is None for p in problems):
            raise ValueError(f"metric {name!r} must go with a problem that has test=(X, y)")
    return metric if isinstance(metric, str) else tuple(names)


def _state(method: Method, problem: Problem) -> Mapping[str, Shape]:
    """What a metric of one's own may take of a method."""
    fits = method._dimension in (None, problem.dimension)  # else it is refused after this
    none = method._is_plain or not fits or _is_options(method, problem)
    return {} if none else method._parts(problem.dimension)


def _named_metric(name: object, one: object, problem: Problem, state: Mapping[str, Shape]) -> str | OwnMetric:
    if not isinstance(name, str) or not name:
        raise ValueError(f"metric must have names that are text, got {_validate.shown(name)}")
    if name not in problem._METRICS:
        if isinstance(one, str) and one in problem._METRICS and one != "value":
            raise ValueError(f"metric {name!r} must be named {one!r}, as the problem has it")
        return problem._own_metric(name, one, state)
    if not isinstance(one, str) or one != name:
        raise ValueError(f"metric {name!r} must be {name!r}, as the problem has it, got {_validate.shown(one)}")
    return name


def _check_method(spec: Spec, problem: Problem) -> None:
    method = spec.method
    if problem._TAKES_MOMENTUM:
        for name in _OF_SGD:
            if getattr(spec, name):
                raise ValueError(f"{name} must be left out where there is a method, got {getattr(spec, name)!r}")
        if _is_options(method, problem):
            _check_momentum(for_core(spec, problem), type(problem))
            return
    method._check_scheduled(spec.horizon)
    if method._unconstrained and problem._is_projected:
        raise ValueError(f"method must be another where there is a projection, got {_validate.shown(method)}")
    if method._dimension not in (None, problem.dimension):
        raise ValueError(f"method must be of dimension {problem.dimension} like the problem, got {method._dimension}")
    constant, largest = problem._method_program(method).largest_constant, _RANGES[spec.dtype][1]
    for one in method._followed:
        constant = max(constant, abs(one.zero), abs(one.one))
    if constant > largest:
        raise ValueError(f"method must have numbers of size up to {largest:.4g} in {spec.dtype}, got {short(constant)}")


def _check_momentum(spec: Spec, kind: type[Problem]) -> None:
    if spec.nesterov and not spec.momentum:
        raise ValueError("nesterov must go with momentum > 0, got momentum 0")
    for name in ("momentum", "weight_decay"):
        if getattr(spec, name) and not kind._TAKES_MOMENTUM:
            raise ValueError(
                f"{name} must be 0 for {kind.__name__}: it is for problems on data, here method=methods.SGD(..) is"
            )
        _check_range(name, np.array([getattr(spec, name)]), spec.dtype)
    if _validate.DTYPES[spec.dtype].type(spec.momentum) == 1:
        raise ValueError(f"momentum must be below 1 in {spec.dtype}, got {spec.momentum!r}")


def _records(record_at: object, horizon: int) -> tuple[int | tuple[int, ...], IntArray]:
    """What the spec keeps, and the 1-D array."""
    if record_at is None:
        return horizon, np.array((horizon,))
    allowed = f"be one integer or strictly increasing integers in 0 .. {horizon}"
    given = _validate.array("record_at", record_at)
    if given.ndim == 0:
        step = _validate.integer("record_at", given.item(), lowest=0, highest=horizon)
        return step, np.array((step,))
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iuf" or np.any(given != np.floor(given)):
        raise ValueError(f"record_at must {allowed}, got {_validate.shown(record_at)}")
    inside = (given >= 0) & (given <= horizon)
    inside[1:] &= given[1:] > given[:-1]
    if not inside.all():
        where = int(np.argmin(inside))
        raise ValueError(f"record_at must {allowed}, got {given[where]} at index {where}")
    steps = given.astype(np.int64)
    return tuple(steps.tolist()), steps
