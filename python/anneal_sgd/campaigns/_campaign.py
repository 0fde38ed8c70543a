"""Campaigns: what they compute, checked, and how it is run."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._ensemble import Ensemble
from .._simulate import Device
from .._spec import DEFAULTS, Options, Steps, integer_seed, own_metrics, with_options
from ..problems import Problem
from ..schedules import Schedule
from ._identity import problem_digest
from ._merge import merge
from ._plan import Axis, Plan
from ._precision import Precision
from ._result import CampaignResult, load
from ._run import Executor, Progress, run
from ._store import StorePath

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOST_REPLICATES = 10_000_000
MOST_CONFIGS = 10_000_000
_MOST_PROBLEMS = 1_000_000
_REPLICATE_NUMBERS = 2**32
_CONFIDENCE = 0.95

_RESERVED = {
    *("problem", "schedule", "horizon", "base_lr", "rho", "record_at", "record_frac", "metric", "coordinate"),
    *("mean", "stderr", "std", "min", "max", "count", "diverged"),
}


class ProblemGrid:
    """Problems along named dimensions: `make` is called with every combination of the parameters.

    `parameters`: for each name a sequence, the last varying fastest: numbers or texts, which results have along that
    dimension, or sets and starts, of which they have the text, such as "('box', -1.0, 1.0)". ValueError: a sequence
    that is empty, or has a value twice; whatever `make` raises.

    >>> from functools import partial
    >>> from anneal_sgd import problems
    >>> noisy = partial(problems.AbsoluteValue, noise="rademacher", projection=("box", -1.0, 1.0))
    >>> grid = ProblemGrid(noisy, slope=[0.1, 0.2], noise_std=[1.0, 2.0, 4.0])
    >>> len(grid.problems), grid.problems[1].noise_std.tolist(), grid.axes[0]
    (6, [2.0], ('slope', (0.1, 0.2)))
    """

    def __init__(self, make: Callable[..., Problem], **parameters: Sequence[Any] | ArrayLike) -> None:
        """Make all problems."""
        axes = [_axis(name, values) for name, values in parameters.items()]
        self.axes: tuple[Axis, ...] = tuple(axis for axis, _ in axes)
        names = list(parameters)
        count = math.prod(len(values) for _, values in self.axes)
        if count > _MOST_PROBLEMS:
            raise ValueError(f"problem must be at most {_MOST_PROBLEMS} of them, got a grid of {count}")
        points = itertools.product(*(values for _, values in axes))
        self.problems = tuple(make(**dict(zip(names, point, strict=True))) for point in points)
        for problem in self.problems:
            if not isinstance(problem, Problem):
                raise ValueError(f"make must give a problem, got {_validate.shown(problem)}")


class Campaign(Plan):
    """An ensemble that is worth a file: it survives interruptions, grows, and is computed by many machines.

    Configs are the outer product of problems, schedules, horizons and learning rates. Arguments that `simulate` has
    too mean the same here; besides:

    - `problem`: one, a sequence, or a `ProblemGrid`, whose parameters become dimensions of the result.
    - `horizon`: one or several.
    - `base_lr`, or `rho`: learning rates, or misspecifications, base_lr = rho * `theory.tuned_base_lr(schedule, T)`.
    - `replicates`: of every config; or a precision, looked at after 1024, 2048, 4096, ... replicates, with at most
      `max_replicates` (default 10^7): `relative_stderr`, until the standard error of every mean is at most this
      fraction of it, or `relative_error`, until the half-width of its anytime-valid interval of that `confidence`
      (default 0.95; `CampaignResult.anytime_error`) is. A mean of equal values asks for no more, nor does one of none
      that is finite or whose squares overflow. docs/campaigns.md says which to ask for.
    - `record_at`: steps, all within every horizon; or `record_frac`: fractions of the horizon, in (0, 1], rounded up to
      whole steps. Default: the horizon.
    - `iterate`: one of them.
    - `common_random_numbers`: True: all configs see the same noise; False: every config has a seed of its own
      (`config_seeds`), made from `seed`, problem, schedule, horizon and learning rate, and nothing else.
    - `name`: for a person; `text`: the specification it was made from, which exports carry.

    ValueError: what `simulate` refuses, a problem or another value given twice, two of an either-or.

    >>> from anneal_sgd import problems, schedules
    >>> campaign = Campaign(
    ...     ProblemGrid(problems.AbsoluteValue, slope=[0.5, 1.0]),
    ...     [schedules.Linear(), schedules.Cosine()],
    ...     base_lr=[0.25, 0.5],
    ...     horizon=[10, 100],
    ...     replicates=4,
    ... )
    >>> campaign
    <Campaign slope: 2 x schedule: 2 x horizon: 2 x base_lr: 2; 4 replicates>
    >>> campaign.config_count, campaign.dims
    (16, ('slope', 'schedule', 'horizon', 'base_lr'))
    """

    def __init__(
        self,
        problem: Problem | Sequence[Problem] | ProblemGrid,
        schedule: Schedule | Sequence[Schedule],
        *,
        horizon: int | Sequence[int],
        base_lr: ArrayLike | None = None,
        rho: ArrayLike | None = None,
        replicates: int | None = None,
        relative_stderr: float | None = None,
        relative_error: float | None = None,
        confidence: float | None = None,
        max_replicates: int | None = None,
        record_at: Steps = None,
        record_frac: float | Sequence[float] | ArrayLike | None = None,
        name: str = "",
        text: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Check everything; nothing is computed but the tuned learning rates that `rho` asks for."""
        for given_name, given in (("name", name), ("text", text)):
            if not isinstance(given, str) and not (given is None and given_name == "text"):
                raise ValueError(f"{given_name} must be a text, got {_validate.shown(given)}")
        problem_axes, problems = _problems(problem)
        several_schedules, schedules = _several("schedule", schedule, Schedule)
        several_horizons, horizons = _several("horizon", horizon, int | np.integer)
        if (base_lr is None) == (rho is None):
            raise ValueError("base_lr or rho must be given, and not both")
        lr_name = "base_lr" if rho is None else "rho"
        several_rates, rates = _rates(lr_name, base_lr if rho is None else rho)
        digests = [problem_digest(p) for p in problems]
        names = tuple(s.name for s in schedules)
        _distinct("problem", digests, problems)
        _distinct("schedule", names)
        _distinct("horizon", horizons)
        _distinct(lr_name, rates)
        if record_at is not None and record_frac is not None:
            raise ValueError("record_at and record_frac must not both be given")
        precision = _precision(replicates, relative_stderr, relative_error, confidence)
        kept: dict[str, Any] = {**DEFAULTS, **options}
        kept["seed"] = integer_seed("seed", kept["seed"])
        if isinstance(kept["iterate"], tuple | list):
            raise ValueError(f"iterate must be one in a campaign, got {_validate.shown(kept['iterate'])}")
        given_axes: list[tuple[bool, str, tuple[Any, ...]]] = [
            (several_schedules, "schedule", names),
            (several_horizons, "horizon", horizons),
            (several_rates, lr_name, rates),
        ]
        super().__init__(
            name=name,
            text=text,
            axes=(*problem_axes, *((axis, values) for several, axis, values in given_axes if several)),
            problems=problems,
            digests=digests,
            schedules=schedules,
            horizons=horizons,
            lr_name=lr_name,
            rates=rates,
            steps=_steps(record_at),
            record_frac=None if record_frac is None else _fractions(record_frac),
            options=kept,
            replicates=_most_replicates(replicates, precision, max_replicates),
            precision=precision,
        )
        self._check()

    def _check(self) -> None:
        """Everything that `simulate` would refuse, before anything runs."""
        if self.config_count > MOST_CONFIGS:
            sizes = " x ".join(map(str, self.shape))
            raise ValueError(f"the campaign must have at most {MOST_CONFIGS} configs, got {sizes}")
        spec = None
        own = set()
        for group in self.problem_groups:
            ensemble = Ensemble([self.problems[i] for i in group])
            for horizon in self.horizons:
                rates = np.concatenate([self.base_lr(s, horizon) for s in range(len(self.schedules))])
                spec = ensemble.spec(
                    self.schedules, base_lr=rates, horizon=horizon, record_at=self.record_at(horizon), **self.options
                )
                own.add(own_metrics(spec.metric))
        assert spec is not None
        if len(own) > 1:
            raise ValueError("metric must be one program for all problems, got functions whose programs differ")
        self.options.update(
            {name: getattr(spec, name) for name in self.options},
            metric=spec.metric,  # the default by its name
        )

    def run(
        self,
        store: StorePath,
        *,
        executor: Executor | None = None,
        backend: str = "auto",
        threads: int | None = None,
        device: Device = None,
        shard_seconds: float | None = None,
        progress: Callable[[Progress], object] | None = None,
        part: tuple[int, int] | None = None,
    ) -> CampaignResult:
        """Compute what the store does not hold yet, and return all of it.

        - `store`: the file, made where there is none. Interrupt the run at any moment, by Ctrl-C or `kill -9`: what was
          committed, every two seconds or so, stays, and the next run goes on from there. So does one with more
          replicates, more learning rates, another horizon. The statistics have the bits of a run in one go.
        - `executor`: None computes here; otherwise shards go to a `concurrent.futures` executor or a
          `dask.distributed.Client`. No bit depends on it. A shard whose worker dies is computed again.
        - `backend`, `threads`, `device`: as in `simulate`, of every shard. With an executor `threads` is 1 by default,
          "auto" the CPU unless there is a `device`, and that is one of each worker's machine.
        - `shard_seconds`: about how long a shard takes, and so how much a kill loses; default 2, with an executor 5. A
          large cluster wants more: each shard costs its scheduler a few milliseconds. The smallest shard is one config
          on 1024 replicates, over the whole horizon.
        - `progress`: called after every commit. What it raises stops the run.
        - `part`: (number, count), such as (1, 30): of `replicates` only the first of 30 ranges of whole blocks of 1024,
          for jobs that know nothing of each other; `merge` puts their stores together.

        StoreError: a file that is no store, is damaged, full, or of another stream version. RuntimeError: a shard that
        failed three times, an executor that broke, or a worker with another build of this package. MemoryError,
        ValueError: as in `simulate`.

        >>> import tempfile, pathlib
        >>> from anneal_sgd import problems, schedules
        >>> campaign = Campaign(
        ...     problems.AbsoluteValue(slope=1.0), schedules.Linear(), base_lr=[0.25, 0.5], horizon=2, replicates=1
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     campaign.run(pathlib.Path(folder) / "store.db").mean.tolist()
        [0.625, 0.25]
        """
        number = run(
            self,
            store,
            executor=executor,
            backend=backend,
            threads=threads,
            device=device,
            shard_seconds=shard_seconds,
            progress=progress,
            part=part,
        )
        return load(store, number)

    @staticmethod
    def load(store: StorePath, campaign: int | str | None = None) -> CampaignResult:
        """What a store holds of a campaign, by its number or name; by default the last that has computed something.

        StoreError where it is no sound store, or holds no such campaign (the message lists those it holds).
        """
        return load(store, campaign)

    @staticmethod
    def merge(stores: Sequence[StorePath], store: StorePath, campaign: int | str | None = None) -> CampaignResult:
        """Put what several stores hold of one campaign into a new one, `store`, and return all of it.

        Whatever each of them holds, ranges of replicates (`run` with `part`), configs, or both, the statistics have the
        bits of one run; what is still missing `run` computes. `campaign`: its number or name in each store, by default
        the last that has computed something.

        StoreError, and no new store: the campaigns differ (the message names the first difference), the same replicates
        have other results in another store, a problem on data another minimum; one that `load` refuses. ValueError: no
        stores, or `store` is a file that exists.

        >>> import tempfile, pathlib
        >>> from anneal_sgd import problems, schedules
        >>> problem = problems.AbsoluteValue(slope=1.0)
        >>> campaign = Campaign(problem, schedules.Linear(), base_lr=[0.25, 0.5], horizon=2, replicates=3000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [pathlib.Path(folder) / f"{i}.db" for i in (1, 2)]
        ...     counts = [campaign.run(path, part=(i, 2)).count.tolist() for i, path in enumerate(paths, 1)]
        ...     counts, Campaign.merge(paths, pathlib.Path(folder) / "all.db").count.tolist()
        ([[1024, 1024], [1976, 1976]], [3000, 3000])
        """
        return merge(stores, store, campaign)

    def __repr__(self) -> str:
        """Dimensions and size."""
        shape = " x ".join(f"{name}: {len(values)}" for name, values in (*self.axes, *self.cell_axes)) or "one config"
        size = f"{self.replicates} replicates"
        if self.precision is not None:
            size = f"{self.precision}, at most {size}"
        return f"<Campaign {shape}; {size}>"


vars(Campaign.__init__)["__signature__"] = with_options(inspect.signature(Campaign.__init__))


def _precision(replicates: Any, relative_stderr: Any, relative_error: Any, confidence: Any) -> Precision | None:
    """The one that is asked for, if any."""
    if sum(given is not None for given in (replicates, relative_stderr, relative_error)) != 1:
        raise ValueError("replicates, relative_stderr or relative_error must be given, and no two of them")
    if relative_error is not None:
        target = _validate.real("relative_error", relative_error, _validate.POSITIVE_FRACTION)
        level = _CONFIDENCE if confidence is None else confidence
        level = _validate.real("confidence", level, _validate.OPEN_FRACTION)
        return Precision(target, level)
    if confidence is not None:
        raise ValueError("confidence must go with relative_error")
    if relative_stderr is None:
        return None
    return Precision(_validate.real("relative_stderr", relative_stderr, _validate.POSITIVE_FRACTION))


def _most_replicates(replicates: Any, precision: Precision | None, max_replicates: Any) -> int:
    if precision is None:
        if max_replicates is not None:
            raise ValueError("max_replicates must go with relative_stderr or relative_error")
        return _validate.integer("replicates", replicates, lowest=1, highest=_REPLICATE_NUMBERS)
    most = MOST_REPLICATES if max_replicates is None else max_replicates
    return _validate.integer("max_replicates", most, lowest=1, highest=_REPLICATE_NUMBERS)


def _problems(given: Any) -> tuple[tuple[Axis, ...], tuple[Problem, ...]]:
    if isinstance(given, ProblemGrid):
        return given.axes, given.problems
    several, problems = _several("problem", given, Problem)
    return ((("problem", tuple(range(len(problems)))),) if several else ()), problems


def _several(name: str, given: Any, kind: Any) -> tuple[bool, tuple[Any, ...]]:
    """Whether a sequence was given, and what as a tuple; whole floats, such as 1e4, as integers."""
    given = _integer(given)
    if isinstance(given, kind) and not isinstance(given, bool):
        return False, (given,)
    what = {"schedule": "schedules", "problem": "problems", "horizon": "whole numbers"}[name]
    _validate.ordered(name, given)
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise ValueError(f"{name} must be one or a sequence of {what}, got {_validate.shown(given)}")
    if getattr(given, "ndim", 1) == 0:
        return _several(name, given.item(), kind)
    items = tuple(map(_integer, given))
    if not items:
        raise ValueError(f"{name} must be one or a sequence of {what}, got an empty one")
    for i, item in enumerate(items):
        if not isinstance(item, kind) or isinstance(item, bool):
            raise ValueError(f"{name} must be one or a sequence of {what}, got {_validate.shown(item)} at index {i}")
    return True, items


def _integer(x: Any) -> Any:
    whole = isinstance(x, np.integer) or (isinstance(x, float | np.floating) and x.is_integer())
    return int(x) if whole else x


def _rates(name: str, given: Any) -> tuple[bool, tuple[float, ...]]:
    array = _validate.real_array(name, given, _validate.NON_NEGATIVE if name == "base_lr" else _validate.POSITIVE)
    if array.ndim > 1:
        raise ValueError(f"{name} must be one number or one-dimensional, got shape {array.shape}")
    if array.size > MOST_CONFIGS:
        raise ValueError(f"{name} must be at most {MOST_CONFIGS} numbers, got {array.size}")
    return array.ndim == 1, tuple(array.reshape(-1).tolist())


def _fractions(given: Any) -> float | tuple[float, ...]:
    array = _validate.real_array("record_frac", given, _validate.POSITIVE_FRACTION, max_ndim=1)
    return float(array) if array.ndim == 0 else tuple(array.tolist())


def _steps(given: Any) -> int | tuple[int, ...] | None:
    """record_at as Python's own numbers; what they may be is for `simulate` to say."""
    if given is None:
        return None
    several = hasattr(_validate.ordered("record_at", given), "__iter__") and not isinstance(given, str | np.ndarray)
    array = _validate.array("record_at", list(given) if several else given)
    if array.dtype.kind == "f" and np.all(array == np.floor(array)) and np.all(np.abs(array) < 2**53):
        array = array.astype(np.int64)
    return array.item() if array.ndim == 0 else tuple(array.tolist())


def _axis(name: str, values: Any) -> tuple[Axis, tuple[Any, ...]]:
    """What stands along a dimension, numbers or texts, and what `make` is given: the same, or sets and starts."""
    if name in _RESERVED:
        raise ValueError(f"{name} must not be the name of a problem's parameter: results have it already")
    array = _validate.array(name, values)
    sized = hasattr(values, "__len__") and not isinstance(values, str | bytes | Mapping) and array.ndim > 0
    if not sized or not 1 <= len(values) <= _MOST_PROBLEMS:
        allowed = f"a sequence of 1 to {_MOST_PROBLEMS} values"
        raise ValueError(f"{name} must be {allowed}, got {_validate.shown(values)}")
    if array.ndim == 1 and array.dtype.kind in "iufUb":
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(f"{name} must be numbers or texts, got NaN at index {np.isnan(array).argmax()}")
        labels = given = tuple(array.tolist())
    else:
        given = tuple(values)
        labels = tuple(str(_plain(value)) for value in given)
    _distinct(name, labels)
    return (name, labels), given


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _distinct(name: str, values: Sequence[Any], shown: Sequence[Any] = ()) -> None:
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if value in seen:
            text = _validate.shown(shown[i] if shown else value)
            raise ValueError(f"{name} must not have a value twice, got {text} again at index {i}")
        seen.add(value)
