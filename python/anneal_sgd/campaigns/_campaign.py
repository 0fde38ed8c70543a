"""What a campaign computes: configs, each with an identity of its own, along named dimensions."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import STREAM_VERSION, _validate, theory
from .._arrays import FloatArray
from ..problems import Problem
from ..schedules import Schedule, Tabulated
from ..simulate import Iterate, Simulator

if TYPE_CHECKING:
    from ._result import CampaignResult
    from ._run import Executor, Progress
    from ._store import StorePath

MOST_REPLICATES = 10_000_000
MOST_CONFIGS = 10_000_000
_MOST_PROBLEMS = 1_000_000
_REPLICATE_NUMBERS = 2**32

_RESERVED = {
    *("problem", "schedule", "horizon", "base_lr", "rho", "record_at", "record_frac", "metric", "coordinate"),
    *("mean", "stderr", "std", "min", "max", "count", "diverged"),
}

Axis = tuple[str, tuple[Any, ...]]


class ProblemGrid:
    """Problems along named dimensions: `make` is called with every combination of the parameters.

    `parameters`: for each name a 1-D sequence of numbers or texts, the last varying fastest. ValueError: a sequence
    that is empty, of another shape, or has a value twice; whatever `make` raises.

    >>> from functools import partial
    >>> from anneal_sgd import problems
    >>> noisy = partial(problems.AbsoluteValue, noise="rademacher", projection=("box", -1.0, 1.0))
    >>> grid = ProblemGrid(noisy, slope=[0.1, 0.2], noise_std=[1.0, 2.0, 4.0])
    >>> len(grid.problems), grid.problems[1].noise_std.tolist(), grid.axes[0]
    (6, [2.0], ('slope', (0.1, 0.2)))
    """

    def __init__(self, make: Callable[..., Problem], **parameters: Sequence[Any] | ArrayLike) -> None:
        """Make all problems."""
        self.axes: tuple[Axis, ...] = tuple((name, _axis(name, values)) for name, values in parameters.items())
        names = [name for name, _ in self.axes]
        count = math.prod(len(values) for _, values in self.axes)
        if count > _MOST_PROBLEMS:
            raise ValueError(f"problem must be at most {_MOST_PROBLEMS} of them, got a grid of {count}")
        points = itertools.product(*(values for _, values in self.axes))
        self.problems = tuple(make(**dict(zip(names, point, strict=True))) for point in points)
        for problem in self.problems:
            if not isinstance(problem, Problem):
                raise ValueError(f"make must give a problem, got {_validate.shown(problem)}")


@dataclass(frozen=True)
class Unit:
    """Configs that one call can simulate: problems of one kind x learning rates, one schedule and horizon."""

    problems: tuple[Problem, ...]
    schedule: Schedule
    horizon: int
    base_lr: tuple[float, ...]
    record_at: int | tuple[int, ...]
    configs: tuple[tuple[int, ...], ...]
    """Numbers of the configs, [problem][learning rate]."""

    @property
    def cost(self) -> float:
        """Of one trajectory, in coordinate-steps."""
        return cost(self.problems[0], self.horizon)


class Campaign:
    """An ensemble that is worth a file: it survives interruptions, grows, and is computed by many machines.

    Configs are the outer product of problems, schedules, horizons and learning rates. Arguments that `simulate` has
    too mean the same here; besides:

    - `problem`: one, a sequence, or a `ProblemGrid`, whose parameters become dimensions of the result.
    - `horizon`: one or several.
    - `base_lr`, or `rho`: learning rates, or misspecifications, base_lr = rho * `theory.tuned_base_lr(schedule, T)`.
    - `replicates`: of every config; or `relative_stderr`: run until the standard error of every mean is at most this
      fraction of it, looked at after 1024, 2048, 4096, ... replicates, with at most `max_replicates` (default 10^7). A
      mean of equal values asks for no more, nor does one of none that is finite or whose squares overflow.
    - `record_at`: steps, all within every horizon; or `record_frac`: fractions of the horizon, in (0, 1], rounded up to
      whole steps. Default: the horizon.
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
        max_replicates: int | None = None,
        seed: int = 0,
        record_at: int | Sequence[int] | None = None,
        record_frac: float | Sequence[float] | ArrayLike | None = None,
        iterate: Iterate = "last",
        tail_frac: float = 0.5,
        common_random_numbers: bool = True,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        metric: str | Sequence[str] | None = None,
        dtype: DTypeLike = "float32",
        name: str = "",
        text: str | None = None,
    ) -> None:
        """Check everything; nothing is computed but the tuned learning rates that `rho` asks for."""
        for given_name, given in (("name", name), ("text", text)):
            if not isinstance(given, str) and not (given is None and given_name == "text"):
                raise ValueError(f"{given_name} must be a text, got {_validate.shown(given)}")
        self.name, self.text = name, text
        self._problem_axes, self.problems = _problems(problem)
        self._schedule_axis, self.schedules = _several("schedule", schedule, Schedule)
        self._horizon_axis, self.horizons = _several("horizon", horizon, int | np.integer)
        if (base_lr is None) == (rho is None):
            raise ValueError("base_lr or rho must be given, and not both")
        self.lr_name = "base_lr" if rho is None else "rho"
        self._lr_axis, self.rates = _rates(self.lr_name, base_lr if rho is None else rho)
        _distinct("problem", self._digests, self.problems)
        _distinct("schedule", [s.name for s in self.schedules])
        _distinct("horizon", self.horizons)
        _distinct(self.lr_name, self.rates)
        self._set_size(replicates, relative_stderr, max_replicates)
        if record_at is not None and record_frac is not None:
            raise ValueError("record_at and record_frac must not both be given")
        self._record_at = _steps(record_at)
        self._record_frac = None if record_frac is None else _fractions(record_frac)
        self.options: dict[str, Any] = {
            "seed": seed,
            "iterate": iterate,
            "tail_frac": tail_frac,
            "common_random_numbers": common_random_numbers,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "metric": metric,
            "dtype": dtype,
        }
        self._check()

    def _set_size(self, replicates: Any, relative_stderr: Any, max_replicates: Any) -> None:
        if (replicates is None) == (relative_stderr is None):
            raise ValueError("replicates or relative_stderr must be given, and not both")
        if relative_stderr is None:
            if max_replicates is not None:
                raise ValueError("max_replicates must go with relative_stderr")
            self.relative_stderr = None
            most = replicates
        else:
            self.relative_stderr = _validate.real("relative_stderr", relative_stderr, _validate.POSITIVE_FRACTION)
            most = MOST_REPLICATES if max_replicates is None else max_replicates
        name = "replicates" if relative_stderr is None else "max_replicates"
        self.replicates = _validate.integer(name, most, lowest=1, highest=_REPLICATE_NUMBERS)

    def _check(self) -> None:
        """Everything that `simulate` would refuse, before anything runs."""
        if self.config_count > MOST_CONFIGS:
            sizes = " x ".join(map(str, self.shape))
            raise ValueError(f"the campaign must have at most {MOST_CONFIGS} configs, got {sizes}")
        spec = None
        for group in self.problem_groups:
            simulator = Simulator([self.problems[i] for i in group])
            for horizon in self.horizons:
                rates = np.concatenate([self.base_lr(s, horizon) for s in range(len(self.schedules))])
                spec, _, _ = simulator._spec(
                    self.schedules, base_lr=rates, horizon=horizon, record_at=self.record_at(horizon), **self.options
                )
        assert spec is not None
        self.options.update(
            {name: getattr(spec, name) for name in self.options},
            metric=spec.metric,  # the default by its name
        )
        self.metrics: tuple[str, ...] = (spec.metric,) if isinstance(spec.metric, str) else spec.metric

    @cached_property
    def problem_groups(self) -> list[list[int]]:
        """Numbers of the problems, those together that one call takes."""
        groups: dict[Any, list[int]] = {}
        for i, problem in enumerate(self.problems):
            groups.setdefault(problem._common, []).append(i)
        return list(groups.values())

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of problems, schedules, horizons and learning rates."""
        return len(self.problems), len(self.schedules), len(self.horizons), len(self.rates)

    @property
    def config_count(self) -> int:
        """The number of configs."""
        return math.prod(self.shape)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Dimensions of the result and what stands along them, but for records and metrics."""
        axes = list(self._problem_axes)
        if self._schedule_axis:
            axes.append(("schedule", tuple(s.name for s in self.schedules)))
        if self._horizon_axis:
            axes.append(("horizon", self.horizons))
        if self._lr_axis:
            axes.append((self.lr_name, self.rates))
        return tuple(axes)

    @property
    def cell_axes(self) -> tuple[Axis, ...]:
        """The dimensions within a config: records and metrics, each where a sequence was given."""
        axes: list[Axis] = []
        if self._record_frac is not None and isinstance(self._record_frac, tuple):
            axes.append(("record_frac", self._record_frac))
        record_at = self.record_at(self.horizons[0])
        if self._record_frac is None and isinstance(record_at, tuple):
            axes.append(("record_at", record_at))
        if isinstance(self.options["metric"], tuple):
            axes.append(("metric", self.options["metric"]))
        return tuple(axes)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of the result."""
        return tuple(name for name, _ in (*self.axes, *self.cell_axes))

    def record_at(self, horizon: int) -> int | tuple[int, ...]:
        """The recorded steps of a run of that horizon."""
        if self._record_frac is None:
            return horizon if self._record_at is None else self._record_at
        fractions = self._record_frac if isinstance(self._record_frac, tuple) else (self._record_frac,)
        # As for tail averages (docs/stream.md): 0.07 of 100 steps are 7, though the product is above 7.
        steps = tuple(max(1, math.ceil(f * horizon * (1 - 2.0**-50))) for f in fractions)
        if any(b <= a for a, b in itertools.pairwise(steps)):
            raise ValueError(f"record_frac must be different steps of every horizon, got {steps} for horizon {horizon}")
        return steps if isinstance(self._record_frac, tuple) else steps[0]

    def base_lr(self, schedule: int, horizon: int) -> FloatArray:
        """The learning rates of a schedule (by its number) at a horizon: float64, (rates,)."""
        scale = 1.0 if self.lr_name == "base_lr" else self._tuned(schedule, horizon)
        return np.asarray(self.rates) * scale

    def _tuned(self, schedule: int, horizon: int) -> float:
        key = schedule, horizon
        if key not in self._tuned_rates:
            self._tuned_rates[key] = theory.tuned_base_lr(self.schedules[schedule], horizon)
        return self._tuned_rates[key]

    @cached_property
    def _tuned_rates(self) -> dict[tuple[int, int], float]:
        return {}

    def units(self) -> Iterator[Unit]:
        """All configs, in calls."""
        _, schedules, horizons, rates = self.shape
        for s, schedule in enumerate(self.schedules):
            for t, horizon in enumerate(self.horizons):
                base_lr = tuple(self.base_lr(s, horizon).tolist())
                for group in self.problem_groups:
                    firsts = [((i * schedules + s) * horizons + t) * rates for i in group]
                    yield Unit(
                        tuple(self.problems[i] for i in group),
                        schedule,
                        horizon,
                        base_lr,
                        self.record_at(horizon),
                        tuple(tuple(range(first, first + rates)) for first in firsts),
                    )

    @cached_property
    def _digests(self) -> list[str]:
        return [problem_digest(p) for p in self.problems]

    def config_seeds(self) -> list[int]:
        """The seed of every config's noise, in order; all `seed` with common random numbers.

        `simulate` with that seed, and one config, gives a config's statistics again.
        """
        if self.options["common_random_numbers"]:
            return [self.options["seed"]] * self.config_count
        seeds = []
        names = [schedule_identity(s) for s in self.schedules]
        for digest, (s, name), horizon in itertools.product(self._digests, enumerate(names), self.horizons):
            key = [STREAM_VERSION, self.options["seed"], digest, name, horizon]
            for lr in self.base_lr(s, horizon).tolist():
                content = json.dumps([*key, lr]).encode()
                seeds.append(int.from_bytes(hashlib.sha256(content).digest()[:8], "little"))
        return seeds

    def identities(self) -> list[tuple[bytes, str]]:
        """Of every config, in order: the SHA-256 of its description, and the description, JSON.

        Everything that a trajectory's bits depend on is in it, and nothing else.
        """
        options = {name: value for name, value in self.options.items() if name != "metric"}
        if options["iterate"] != "tail_average":
            del options["tail_frac"]
        common = {"stream_version": STREAM_VERSION, **options, "metric": self.metrics}
        schedules = [schedule_identity(s) for s in self.schedules]
        found = []
        for digest in self._digests:
            own = {**common, "problem": digest}
            for s, schedule in enumerate(schedules):
                for horizon in self.horizons:
                    record_at = self.record_at(horizon)
                    records = [record_at] if isinstance(record_at, int) else list(record_at)
                    rest = {**own, "schedule": schedule, "horizon": horizon, "record_at": records}
                    head = json.dumps(rest, sort_keys=True)[:-1]
                    for lr in self.base_lr(s, horizon).tolist():
                        text = f'{head}, "base_lr": {lr!r}}}'
                        found.append((hashlib.sha256(text.encode()).digest(), text))
        return found

    def description(self) -> dict[str, Any]:
        """What a reader of results needs besides the numbers, as JSON takes it."""
        coords: dict[str, Any] = {}
        if self.lr_name == "rho":
            tuned = [[self.base_lr(s, t).tolist() for t in self.horizons] for s in range(len(self.schedules))]
            coords["base_lr"] = tuned
        if self._record_frac is not None:
            coords["record_at"] = [self.record_at(t) for t in self.horizons]
        return {
            "name": self.name,
            "problems": [_shortened(repr(p)) for p in self.problems[:1]],
            "schedules": [s.name for s in self.schedules],
            "tail_degrees": [_finite(s.tail_degree) for s in self.schedules],
            "horizons": list(self.horizons),
            "lr_name": self.lr_name,
            "rates": list(self.rates),
            "axes": [[name, list(values)] for name, values in self.axes],
            "cell_axes": [[name, list(values)] for name, values in self.cell_axes],
            "varying": {name: values.tolist() for name, values in self._varying().items()},
            "coords": coords,
            "records": self.record_at(self.horizons[0]) if self._record_frac is None else None,
            "metrics": list(self.metrics),
            "options": self.options,
            "replicates": self.replicates,
            "relative_stderr": self.relative_stderr,
            "stream_version": STREAM_VERSION,
            "bound_applies": self._bound_applies(),
            "text": self.text,
        }

    def _bound_applies(self) -> bool:
        """The last-iterate bound is for plain SGD on convex functions, and for f."""
        options = self.options
        plain = options["iterate"] == "last" and not options["momentum"] and not options["weight_decay"]
        return plain and self.metrics[0] in ("suboptimality", "loss") and "suboptimality" in self.problems[0]._METRICS

    def _varying(self) -> Mapping[str, FloatArray]:
        """Parameters in which a sequence of problems differs."""
        if [name for name, _ in self._problem_axes] != ["problem"] or len(self.problem_groups) > 1:
            return {}
        return type(self.problems[0])._varying(self.problems)

    def run(
        self,
        store: StorePath,
        *,
        executor: Executor | None = None,
        backend: str = "auto",
        threads: int | None = None,
        shard_seconds: float | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> CampaignResult:
        """Compute what the store does not hold yet, and return all of it.

        - `store`: the file, made where there is none. Interrupt the run at any moment, by Ctrl-C or `kill -9`: what was
          committed, every two seconds or so, stays, and the next run goes on from there. So does one with more
          replicates, more learning rates, another horizon. The statistics have the bits of a run in one go.
        - `executor`: None computes here; otherwise shards go to a `concurrent.futures` executor or a
          `dask.distributed.Client`. No bit depends on it. A shard whose worker dies is computed again.
        - `backend`, `threads`: as in `simulate`, of every shard. With an executor `threads` is 1 by default, and "auto"
          the CPU.
        - `shard_seconds`: about how long a shard takes, and so how much a kill loses; default 2, with an executor 5. A
          large cluster wants more: each shard costs its scheduler a few milliseconds. The smallest shard is one config
          on 1024 replicates, over the whole horizon.
        - `progress`: called after every commit. What it raises stops the run.

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
        from ._run import run

        return run(
            self,
            store,
            executor=executor,
            backend=backend,
            threads=threads,
            shard_seconds=shard_seconds,
            progress=progress,
        )

    @staticmethod
    def load(store: StorePath, campaign: int | str | None = None) -> CampaignResult:
        """What a store holds of a campaign, by its number or name; by default the last that has computed something.

        StoreError where it is no sound store, or holds no such campaign (the message lists those it holds).
        """
        from ._result import load

        return load(store, campaign)

    def __repr__(self) -> str:
        """Dimensions and size."""
        shape = " x ".join(f"{name}: {len(values)}" for name, values in (*self.axes, *self.cell_axes)) or "one config"
        size = f"{self.replicates} replicates"
        if self.relative_stderr is not None:
            size = f"relative stderr {self.relative_stderr:g}, at most {size}"
        return f"<Campaign {shape}; {size}>"


def cost(problem: Problem, horizon: int) -> float:
    """Of one trajectory, in coordinate-steps; for problems on data times the batch."""
    return float(horizon) * problem.dimension * getattr(problem, "batch_size", 1)


def problem_digest(problem: Problem) -> str:
    """Of a problem's content, hexadecimal."""
    kind, *rest = problem._common
    content = hashlib.sha256(repr((kind.__name__, *rest)).encode())
    content.update(problem._bytes)
    return content.hexdigest()


def schedule_identity(schedule: Schedule) -> str:
    """The name, and for a table its content too."""
    if isinstance(schedule, Tabulated):
        return f"tabulated {hashlib.sha256(schedule.table.tobytes()).hexdigest()}"
    return schedule.name


def _problems(given: Any) -> tuple[tuple[Axis, ...], tuple[Problem, ...]]:
    if isinstance(given, ProblemGrid):
        return given.axes, given.problems
    several, problems = _several("problem", given, Problem)
    return ((("problem", tuple(range(len(problems)))),) if several else ()), problems


def _several(name: str, given: Any, kind: Any) -> tuple[bool, tuple[Any, ...]]:
    """Whether a sequence was given, and what as a tuple."""
    if isinstance(given, kind) and not isinstance(given, bool):
        return False, (int(given) if isinstance(given, np.integer) else given,)
    what = {"schedule": "schedules", "problem": "problems", "horizon": "whole numbers"}[name]
    if isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__"):
        raise ValueError(f"{name} must be one or a sequence of {what}, got {_validate.shown(given)}")
    if getattr(given, "ndim", 1) == 0:
        return _several(name, given.item(), kind)
    items = tuple(int(x) if isinstance(x, np.integer) else x for x in given)
    if not items:
        raise ValueError(f"{name} must be one or a sequence of {what}, got an empty one")
    for i, item in enumerate(items):
        if not isinstance(item, kind) or isinstance(item, bool):
            raise ValueError(f"{name} must be one or a sequence of {what}, got {_validate.shown(item)} at index {i}")
    return True, items


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
    array = np.asarray(list(given) if hasattr(given, "__iter__") and not isinstance(given, str | np.ndarray) else given)
    return array.item() if array.ndim == 0 else tuple(array.tolist())


def _axis(name: str, values: Any) -> tuple[Any, ...]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iufUb":
        raise ValueError(f"{name} must be a sequence of numbers or texts, got {_validate.shown(values)}")
    if name in _RESERVED:
        raise ValueError(f"{name} must not be the name of a problem's parameter: results have it already")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise ValueError(f"{name} must be a sequence of numbers or texts, got NaN at index {np.isnan(array).argmax()}")
    axis = tuple(array.tolist())
    _distinct(name, axis)
    return axis


def _distinct(name: str, values: Sequence[Any], shown: Sequence[Any] = ()) -> None:
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if value in seen:
            text = _validate.shown(shown[i] if shown else value)
            raise ValueError(f"{name} must not have a value twice, got {text} again at index {i}")
        seen.add(value)


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _shortened(text: str) -> str:
    return text if len(text) <= 500 else text[:497] + "..."
