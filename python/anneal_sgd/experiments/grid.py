r"""How coarse may a tuning grid be? The loss of the best learning rate on coarse grids over that on a fine one.

The paper's practical claim (arXiv 2503.09411): with annealing, a coarse grid of learning rates costs little. For a
schedule, a fine geometric grid of base_lr is run; for a resolution r, the ratio of neighbours, every sub-grid of that
spacing (all offsets) keeps its best point, and what it loses is its

    excess = metric of the best point on the sub-grid / metric of the best point on the fine grid − 1.

Reported are the worst and the mean excess over the offsets. At the worst offset
both neighbours of the best count: the one to the left, where the iterate has not travelled far enough whatever the
schedule, and the one to the right. To the right two laws hold. The theorem's r^(1/(2p+1)), p the tail degree,
is of the worst problem for each r. On one fixed problem, quadratic near its minimum, the suboptimality grows like
r^(1/(p+1)), p = 0 without annealing (docs/grid.md has the derivation). So a row has the slope of log metric against
log base_lr from 10 to 100 times the best learning rate; 1/(p+1) is about training suboptimality, and says nothing of
held-out metrics.

Intervals come from a bootstrap over replicates (2.5 and 97.5 % percentiles), which repeats the choice of the best
points. Their upper end, by which resolutions are judged, lay below the truth in at most 2.6 % of 500 runs with 128
replicates, the lower one above it in up to 9 % (docs/grid.md). All configs see the same minibatches (common random
numbers), so differences between learning rates are sharp. A config of which a replicate diverges counts as infinitely
bad. Sub-grids end where the range does: a best learning rate closer to an end than a resolution can make the worst
excess of that resolution too large.

That is the pick of all replicates. People have one run per learning rate, or a few: what their pick loses is reported
too (``Picks``), from the same samples. The same runs are judged by held-out loss and accuracy where rows are held out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate, schedules
from .._core import STREAM_VERSION, __version__
from .._simulate import simulate_quietly
from .._spec import Iterate, one_iterate
from ..methods import SGD, Method
from ..methods._base import of_kind
from ..problems import Problem
from ..schedules import Schedule
from ._picks import Picks, picks

Floats = NDArray[np.float64]

DEFAULT_SCHEDULES: tuple[Schedule, ...] = (
    schedules.Constant(),
    schedules.InverseSqrt(),
    schedules.Linear(),
    schedules.Cosine(),
    schedules.Polynomial(3),
)
_SGD = SGD()
BASE_LR_RANGE = (1e-4, 1e2)
POINTS_PER_DECADE = 10
LARGEST_RESOLUTION = 100.0
TOLERANCE = 0.5
RUNS_PER_POINT = (1, 3, 10)
BOOTSTRAPS = 1000
_INTERVAL = (2.5, 97.5)  # percentiles
_ACCURACIES = ("test_accuracy",)  # metrics of which more is better: 1 − accuracy is minimised
_LARGEST_POINTS_PER_DECADE = 100
_RIGHT = (10.0, 100.0)  # times the best learning rate: where the slope is fitted
_BOOTSTRAPS_AT_ONCE = 50
_PRODUCTS_AT_ONCE = 2**18  # that OpenBLAS does on one thread: on a busy machine many wait for each other far longer


@dataclass(frozen=True, repr=False)
class GridRow:
    """One schedule by one metric: arrays over ``base_lr`` and over ``resolution``, with 95 % intervals."""

    schedule: str
    tail_degree: float
    metric: str  #: "test_accuracy": figures are of 1 minus it
    base_lr: list[float]  #: the fine grid
    mean: list[float]  #: of the metric, over replicates; inf where one diverged
    stderr: list[float]
    diverged: list[int]  #: replicates
    best_base_lr: float
    best: float  #: the smallest mean
    resolution: list[float]  #: ratio of neighbours on a sub-grid
    worst_excess: list[float]  #: over offsets, relative to ``best``
    worst_low: list[float]
    worst_high: list[float]
    mean_excess: list[float]
    mean_low: list[float]
    mean_high: list[float]
    right_slope: float  #: d log metric / d log base_lr from 10 to 100 times the best; nan where the grid ends before
    right_low: float  #: nan where the grid ends before for the best of some bootstrap sample
    right_high: float
    picks: list[Picks]  #: for each of ``runs_per_point``; of held-out metrics none
    held_out: list[GridRow] = field(default_factory=list)  #: the same runs by the problem's other held-out metrics

    def coarsest(self, tolerance: float, runs_per_point: int | None = None) -> float | None:
        """The largest resolution up to which the worst excess, at the upper end of its interval, stays within it.

        None where not even the first one does. Although many resolutions are looked at, the probability that one
        called safe is not stays that of one upper end, nominally 2.5 %: resolutions are tested in a fixed order, from
        fine to coarse, up to the first that fails. To call any unsafe one safe, the first unsafe one of that order must
        pass, a single test (Maurer, Hothorn and Lehmacher 1995). No correction is needed, nor that the excess grows.

        ``runs_per_point``: of so many runs per learning rate, one of those that were asked for; None: of all.
        """
        worst_high = self.worst_high if runs_per_point is None else self._picks_of(runs_per_point).worst_high
        within = None
        for resolution, high in zip(self.resolution, worst_high, strict=True):
            if not high <= tolerance:
                break
            within = resolution
        return within

    def _picks_of(self, runs: int) -> Picks:
        for found in self.picks:
            if found.runs == runs:
                return found
        known = ", ".join(str(found.runs) for found in self.picks) or "none"
        raise ValueError(f"runs_per_point must be one of those that were asked for, {known}, got {runs}")

    def times_best(self, factor: float) -> float:
        """The metric at the grid point nearest to a factor times the best learning rate, over its best.

        nan where the grid ends before; inf where a replicate diverged.
        """
        spacing = math.log(self.base_lr[1] / self.base_lr[0])
        at = self.base_lr.index(self.best_base_lr) + round(math.log(factor) / spacing)
        if not 0 <= at < len(self.base_lr):
            return math.nan
        return self.mean[at] / self.best if self.best else math.inf if self.mean[at] else 1.0

    def minimised(self) -> str:
        """The metric as it is minimised, in words: its complement where more of it is better."""
        return f"1 − {self.metric}" if self.metric in _ACCURACIES else self.metric

    def at_end(self) -> bool:
        """Whether the best learning rate is the first or the last of the grid, so that the range was too narrow."""
        return self.best_base_lr in (self.base_lr[0], self.base_lr[-1])

    def __repr__(self) -> str:
        """The best, and how fine the grid is."""
        grid = f"{len(self.base_lr)} learning rates {self.base_lr[0]:.3g} .. {self.base_lr[-1]:.3g}"
        return f"<GridRow {self.schedule}: best {self.best:.6g} at base_lr {self.best_base_lr:.4g}; {grid}>"


@dataclass(frozen=True)
class GridReport:
    """All rows, and what is needed to compute them again."""

    rows: list[GridRow]
    meta: dict[str, Any] = field(default_factory=dict)

    def answer(self, tolerance: float | None = None) -> list[str]:
        """A sentence per schedule: how many points per factor of ten, and runs in all, keep within the tolerance.

        After those of the metric, those of each held-out one. At the worst offset, by the upper ends of the intervals;
        with a few runs per learning rate, in the mean over what these may be.
        """
        share = self.meta["tolerance"] if tolerance is None else tolerance
        by_metric = zip(*([row, *row.held_out] for row in self.rows), strict=True)
        return [_sentence(row, share, self.meta) for rows in by_metric for row in rows]

    def to_json(self) -> str:
        """Rows and meta data as JSON: the same seed and options give the same text. Infinity is written as null."""
        rows = [_plain(asdict(row)) for row in self.rows]
        return json.dumps({"meta": self.meta, "rows": rows}, indent=1, allow_nan=False) + "\n"


@dataclass(frozen=True, repr=False)
class GridRecommendation:
    """The coarsest grid that keeps within a tolerance, and the evidence."""

    resolution: float  #: ratio of neighbouring learning rates; of the fine grid where ``within_tolerance`` is False
    points_per_decade: float
    base_lr: list[float]  #: the grid, through the best learning rate found
    runs_per_point: int
    runs: int  #: in all: those of every learning rate of ``base_lr``
    within_tolerance: bool
    evidence: GridRow

    def __repr__(self) -> str:
        """Points, runs, and of what."""
        rates = f"{len(self.base_lr)} learning rates {self.base_lr[0]:.3g} .. {self.base_lr[-1]:.3g}"
        within = "within the tolerance" if self.within_tolerance else "not shown to be within the tolerance"
        return (
            f"<GridRecommendation {self.points_per_decade:.2g} points per factor of 10, {within}: {rates}, "
            f"{self.runs} runs; evidence {self.evidence!r}>"
        )


def grid_robustness(
    problem: Problem,
    schedules: Sequence[Schedule] = DEFAULT_SCHEDULES,
    *,
    base_lr_range: tuple[float, float] = BASE_LR_RANGE,
    points_per_decade: int = POINTS_PER_DECADE,
    largest_resolution: float = LARGEST_RESOLUTION,
    horizon: int = 5000,
    replicates: int = 128,
    metric: str | Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    runs_per_point: Sequence[int] | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    method: Method = _SGD,
    iterate: Iterate = "last",
    tail_frac: float = 0.5,
    ema_decay: float = 0.999,
    average_degree: float = 3.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
    on_row: Callable[[GridRow], None] | None = None,
) -> GridReport:
    """Run a fine grid of learning rates for every schedule and measure what coarser grids lose.

    Args:
        problem: any problem of this package.
        schedules: schedules to compare.
        base_lr_range: the first and the last learning rate of the fine grid.
        points_per_decade: of the fine grid; resolutions are powers of its spacing.
        largest_resolution: up to which sub-grids are looked at; the range must span at least as much.
        horizon: steps of a run.
        replicates: runs per learning rate, at least 2.
        metric: what is minimised, as ``simulate`` names it; of "test_accuracy", one minus it; for ``problems.Custom``
            and problems on data also one function of one's own, ``{"distance": lambda x: ..}``. Its smallest mean must
            not be negative: what is lost is relative to it. Default: that of the problem, the suboptimality where a
            minimum can be known. Where the problem holds rows out (``test``), every row has ``held_out`` ones of test
            loss and accuracy beside it, unless the metric is one's own.
        tolerance: the relative excess that the answer allows.
        runs_per_point: numbers of runs per learning rate of which the pick is looked at, beside that of all
            replicates; at most half of them. Default: those of 1, 3 and 10 that are. From the same samples.
        momentum: with ``nesterov`` and ``weight_decay``, as for ``simulate``.
        nesterov: see there.
        weight_decay: see there.
        method: see there; learning rates are the method's own.
        iterate: of which the metric is, such as "average"; with ``tail_frac``, ``ema_decay`` and ``average_degree``,
            as for ``simulate``.
        tail_frac: see there.
        ema_decay: see there.
        average_degree: see there.
        seed: the same seed gives the same report.
        threads: worker threads; all cores by default.
        progress: called as ``progress(label, fraction_done)``; the label ends with "intervals" when the runs are done
            and those are computed, which takes some ten seconds of 100,000 replicates.
        on_row: called with each row as soon as it is there.

    Raises:
        ValueError: an argument out of its range; the message names it.
        KeyboardInterrupt: on Ctrl-C, after the step at work or, at first, the search for the minimum; rows already
            given to ``on_row`` are complete.

    >>> from anneal_sgd import problems
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 10))
    >>> problem = problems.LogisticRegression(X, X.sum(axis=1) + 3 * rng.standard_normal(500) > 0, batch_size=4)
    >>> report = grid_robustness(problem, horizon=1000, replicates=32)
    >>> [row.schedule for row in report.rows]
    ['constant', 'inverse_sqrt', 'linear', 'cosine', 'polynomial(3)']
    >>> report.rows[0].worst_excess[-1] > 2 * report.rows[3].worst_excess[-1]
    True
    >>> [picks.runs for picks in report.rows[0].picks]
    [1, 3, 10]
    """
    meta = run_meta(
        problem,
        schedules=schedules,
        base_lr_range=base_lr_range,
        points_per_decade=points_per_decade,
        largest_resolution=largest_resolution,
        horizon=horizon,
        replicates=replicates,
        metric=metric,
        tolerance=tolerance,
        runs_per_point=runs_per_point,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        method=method,
        iterate=iterate,
        tail_frac=tail_frac,
        ema_decay=ema_decay,
        average_degree=average_degree,
        seed=seed,
    )
    grid = fine_grid(base_lr_range, points_per_decade, largest_resolution)
    rows = []
    for i, schedule in enumerate(schedules):

        def advance(fraction: float, i: int = i, schedule: Schedule = schedule) -> None:
            if progress is not None:
                progress(schedule.name, (i + fraction) / len(schedules))

        result = simulate_quietly(
            problem,
            schedule,
            base_lr=grid,
            horizon=horizon,
            replicates=replicates,
            metric=metric if isinstance(metric, Mapping) else [meta["metric"], *meta["held_out"]],
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            method=method,
            iterate=iterate,
            tail_frac=tail_frac,
            ema_decay=ema_decay,
            average_degree=average_degree,
            seed=seed,
            threads=threads,
            keep_samples=True,
            progress=advance,
        )
        samples = np.moveaxis(np.asarray(result.samples, np.float64), result.dims.index("metric"), 0)
        of_metrics = [meta, *({**meta, "metric": name, "runs_per_point": []} for name in meta["held_out"])]

        def at_intervals(i: int = i, schedule: Schedule = schedule) -> None:
            if progress is not None:
                progress(f"{schedule.name}, intervals", (i + 1) / len(schedules))

        row, *held_out = _rows(schedule, grid, samples, of_metrics, at_intervals)
        rows.append(replace(row, held_out=held_out))
        if on_row is not None:
            on_row(rows[-1])
    return GridReport(rows, meta)


def run_meta(
    problem: Problem,
    *,
    schedules: Sequence[Schedule],
    base_lr_range: tuple[float, float],
    points_per_decade: int,
    largest_resolution: float,
    horizon: int,
    replicates: int,
    metric: str | Mapping[str, Any] | None,
    tolerance: float,
    runs_per_point: Sequence[int] | None,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    seed: int,
    method: Method = _SGD,
    iterate: Iterate = "last",
    tail_frac: float = 0.5,
    ema_decay: float = 0.999,
    average_degree: float = 3.0,
) -> dict[str, Any]:
    """Check the arguments of a run and say what is needed to repeat it; ValueError as for ``grid_robustness``."""
    fine_grid(base_lr_range, points_per_decade, largest_resolution)
    if not isinstance(problem, Problem):
        raise ValueError(f"problem must be a problem, got {_validate.shown(problem)}")
    if not isinstance(schedules, Sequence) or not schedules or not all(isinstance(s, Schedule) for s in schedules):
        raise ValueError(f"schedules must be a sequence of schedules, got {_validate.shown(schedules)}")
    names = [*metric] if isinstance(metric, Mapping) else [problem._METRICS[0] if metric is None else metric]
    kept_metric = names[0] if len(names) == 1 else None
    if not isinstance(kept_metric, str):
        raise ValueError(f"metric must be one metric, got {_validate.shown(metric)}")
    repeats = _validate.integer("replicates", replicates, lowest=2, highest=2**32)
    held_out = [name for name in problem._METRICS if name.startswith("test_") and name != kept_metric]
    return {
        "experiment": "grid",
        "problem": repr(problem),
        "schedules": [schedule.name for schedule in schedules],
        "base_lr_range": [float(end) for end in base_lr_range],
        "points_per_decade": int(points_per_decade),
        "largest_resolution": float(largest_resolution),
        "horizon": _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32),
        "replicates": repeats,
        "metric": kept_metric,
        "held_out": held_out if not isinstance(metric, Mapping) and getattr(problem, "test", None) is not None else [],
        "tolerance": _validate.real("tolerance", tolerance, _validate.POSITIVE),
        "runs_per_point": _runs_per_point(runs_per_point, repeats),
        "momentum": _validate.real("momentum", momentum, _validate.NON_NEGATIVE),
        "nesterov": _validate.flag("nesterov", nesterov),
        "weight_decay": _validate.real("weight_decay", weight_decay, _validate.NON_NEGATIVE),
        "method": repr(of_kind("method", method)),
        "iterate": one_iterate("iterate", iterate),
        "tail_frac": _validate.real("tail_frac", tail_frac, _validate.FINITE),
        "ema_decay": _validate.real("ema_decay", ema_decay, _validate.FINITE),
        "average_degree": _validate.real("average_degree", average_degree, _validate.FINITE),
        "seed": _validate.integer("seed", seed, lowest=0, highest=2**64 - 1),
        "dtype": "float32",
        "anneal_sgd": __version__,
        "stream_version": STREAM_VERSION,
    }


def _runs_per_point(wanted: Sequence[int] | None, replicates: int) -> list[int]:
    """In order, each once."""
    if wanted is None:
        return [runs for runs in RUNS_PER_POINT if 2 * runs <= replicates]
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise ValueError(f"runs_per_point must be a sequence of integers, got {_validate.shown(wanted)}")
    given = {_validate.integer("runs_per_point", runs, lowest=1, highest=2**31) for runs in wanted}
    if given and 2 * max(given) > replicates:
        raise ValueError(
            f"runs_per_point must be at most half of replicates, {replicates // 2}, got {max(given)}: raise replicates "
            f"to {2 * max(given)}"
        )
    return sorted(given)


def recommend_grid(
    problem: Problem,
    schedule: Schedule,
    tolerance: float = TOLERANCE,
    *,
    runs_per_point: int | None = 1,
    **arguments: Any,
) -> GridRecommendation:
    """The coarsest grid of learning rates whose pick is within the tolerance of the best, wherever it begins.

    The pick is the learning rate with the smallest mean of ``runs_per_point`` runs, and is within the tolerance in the
    mean over what these runs may be.

    Args:
        problem: any problem of this package.
        schedule: the schedule to tune.
        tolerance: relative excess of the metric, such as 0.1; judged at the upper end of the 95 % interval.
        runs_per_point: how many runs every learning rate gets, at most half of ``replicates``; None: as many as there
            are replicates.
        arguments: further ones of ``grid_robustness``.

    Raises:
        ValueError: as ``grid_robustness``; or the best learning rate lies at an end of the range.

    >>> from anneal_sgd import problems, schedules
    >>> problem = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0)
    >>> options = {"horizon": 100, "replicates": 512, "base_lr_range": (1e-4, 10.0)}
    >>> grid = recommend_grid(problem, schedules.Cosine(), 0.5, runs_per_point=30, **options)
    >>> grid.within_tolerance, grid.points_per_decade < 5, grid.runs == 30 * len(grid.base_lr)
    (True, True, True)
    """
    if not isinstance(schedule, Schedule):
        raise ValueError(
            f"schedule must be one schedule, got {_validate.shown(schedule)}: "
            + (
                "schedules.by_name makes one of a text"
                if isinstance(schedule, str)
                else "grid_robustness compares several"
            )
        )
    few = () if runs_per_point is None else (runs_per_point,)
    report = grid_robustness(problem, schedules=(schedule,), tolerance=tolerance, runs_per_point=few, **arguments)
    row = report.rows[0]
    if row.at_end():
        raise ValueError(
            f"base_lr_range must hold the best learning rate inside, got it at {row.best_base_lr:.3g}, an end"
        )
    found = row.coarsest(tolerance, runs_per_point)
    resolution = row.base_lr[1] / row.base_lr[0] if found is None else found
    step = round(math.log(resolution) / math.log(row.base_lr[1] / row.base_lr[0]))
    offset = row.base_lr.index(row.best_base_lr) % step
    base_lr = row.base_lr[offset::step]
    runs = report.meta["replicates"] if runs_per_point is None else runs_per_point
    return GridRecommendation(
        resolution=resolution,
        points_per_decade=1 / math.log10(resolution),
        base_lr=base_lr,
        runs_per_point=runs,
        runs=runs * len(base_lr),
        within_tolerance=found is not None,
        evidence=row,
    )


def fine_grid(base_lr_range: tuple[float, float], points_per_decade: int, largest_resolution: float) -> Floats:
    """The geometric grid from the first to (about) the last learning rate; ValueError as for ``grid_robustness``."""
    if not isinstance(base_lr_range, tuple | list) or len(base_lr_range) != 2:
        raise ValueError(f"base_lr_range must be (lowest, highest), got {_validate.shown(base_lr_range)}")
    low, high = (_validate.real("base_lr_range", end, _validate.POSITIVE) for end in base_lr_range)
    _validate.integer("points_per_decade", points_per_decade, lowest=1, highest=_LARGEST_POINTS_PER_DECADE)
    _validate.real("largest_resolution", largest_resolution, _validate.Interval(low=1.0, open_low=True))
    if math.log10(high) - math.log10(low) < math.log10(largest_resolution) - 1e-9:
        raise ValueError(
            f"base_lr_range must span at least a factor of largest_resolution = {largest_resolution:g}, got "
            f"{low:g} to {high:g}"
        )
    if _steps(largest_resolution, points_per_decade) < 1:
        spacing = 10 ** (1 / points_per_decade)
        raise ValueError(
            f"largest_resolution must be at least the ratio of neighbours on the fine grid, {spacing:.4g}, got "
            f"{largest_resolution:g}"
        )
    count = math.floor((math.log10(high) - math.log10(low)) * points_per_decade + 1e-9) + 1
    return np.asarray(10.0 ** (math.log10(low) + np.arange(count) / points_per_decade))


def _steps(resolution: float, points_per_decade: int) -> int:
    """Spacings of the fine grid in a ratio."""
    return math.floor(math.log10(resolution) * points_per_decade + 1e-9)


@dataclass(frozen=True)
class _Values:
    """What a metric is at every grid point, in all replicates, and its means."""

    samples: Floats  # (grid points, replicates)
    stable: NDArray[np.bool_]  # (grid points,): where no run diverged
    mean: Floats  # (grid points,), infinite where one did, as the standard error
    stderr: Floats
    diverged: NDArray[np.int64]

    @staticmethod
    def of(schedule: Schedule, samples: Floats, metric: str) -> _Values:
        if metric in _ACCURACIES:
            samples = 1.0 - samples
        diverged = np.sum(~np.isfinite(samples), axis=1)
        stable = diverged == 0
        if not stable.any():
            raise ValueError(
                f"base_lr_range must hold learning rates that do not diverge, got none for {schedule.name}"
            )
        finite = np.where(stable[:, None], samples, 0.0)
        mean = np.where(stable, finite.mean(axis=1), np.inf)
        if mean.min() < 0:
            raise ValueError(f"metric must not be negative, which has no ratios, got a mean of {mean.min():.4g}")
        stderr = np.where(stable, finite.std(axis=1, ddof=1) / math.sqrt(samples.shape[1]), np.inf)
        return _Values(samples, stable, mean, stderr, diverged)


def _rows(
    schedule: Schedule, grid: Floats, samples: Floats, metas: Sequence[dict[str, Any]], tell: Callable[[], None]
) -> list[GridRow]:
    """Of all metrics, from samples (metrics, grid points, replicates)."""
    values = [_Values.of(schedule, of, meta["metric"]) for of, meta in zip(samples, metas, strict=True)]
    resampled = _resampled(schedule, values, metas[0]["seed"], tell)
    return [_row(schedule, grid, *of) for of in zip(values, resampled, metas, strict=True)]


def _resampled(schedule: Schedule, values: Sequence[_Values], seed: int, tell: Callable[[], None]) -> list[Floats]:
    """For every metric the means of replicates that are drawn again, those of all metrics together.

    (bootstraps, grid points). `tell` is called now and then: of 100,000 replicates this takes ten seconds.
    """
    replicates = values[0].samples.shape[1]
    finite = [np.where(of.stable[:, None], of.samples, 0.0) for of in values]
    rng = np.random.default_rng([seed, *schedule.name.encode()])
    share = np.full(replicates, 1 / replicates)
    resampled = [np.empty((BOOTSTRAPS, len(of.mean))) for of in values]
    for first in range(0, BOOTSTRAPS, _BOOTSTRAPS_AT_ONCE):  # few, for their weights to fit in memory
        tell()
        weights = rng.multinomial(replicates, share, size=_BOOTSTRAPS_AT_ONCE) / replicates
        for means, of, numbers in zip(resampled, values, finite, strict=True):
            means[first : first + _BOOTSTRAPS_AT_ONCE] = np.where(of.stable, _products(weights, numbers), np.inf)
    return resampled


def _products(weights: Floats, numbers: Floats) -> Floats:
    """Of weights (n, replicates) and numbers (grid points, replicates): their sums (n, grid points)."""
    at_once = max(1, _PRODUCTS_AT_ONCE // (len(weights) * len(numbers)))
    sums = np.zeros((len(weights), len(numbers)))
    for i in range(0, weights.shape[1], at_once):
        sums += weights[:, i : i + at_once] @ numbers[:, i : i + at_once].T
    return sums


def _row(schedule: Schedule, grid: Floats, values: _Values, resampled: Floats, meta: dict[str, Any]) -> GridRow:
    points_per_decade, mean = meta["points_per_decade"], values.mean
    steps = np.arange(1, _steps(meta["largest_resolution"], points_per_decade) + 1)
    resolution = 10.0 ** (steps / points_per_decade)
    worst, average = _excess(mean[None], steps)
    worst_resampled, average_resampled = _excess(resampled, steps)
    # "nearest" makes no average of a finite and an infinite excess.
    worst_low, worst_high = np.percentile(worst_resampled, _INTERVAL, axis=0, method="nearest")
    mean_low, mean_high = np.percentile(average_resampled, _INTERVAL, axis=0, method="nearest")
    best = int(np.argmin(mean))
    right_low, right_high = np.percentile(_right_slopes(resampled, grid), _INTERVAL)
    return GridRow(
        schedule=schedule.name,
        tail_degree=float(schedule.tail_degree),
        metric=meta["metric"],
        base_lr=grid.tolist(),
        mean=mean.tolist(),
        stderr=values.stderr.tolist(),
        diverged=values.diverged.tolist(),
        best_base_lr=float(grid[best]),
        best=float(mean[best]),
        resolution=resolution.tolist(),
        worst_excess=worst[0].tolist(),
        worst_low=worst_low.tolist(),
        worst_high=worst_high.tolist(),
        mean_excess=average[0].tolist(),
        mean_low=mean_low.tolist(),
        mean_high=mean_high.tolist(),
        right_slope=float(_right_slopes(mean[None], grid)[0]),
        right_low=float(right_low),
        right_high=float(right_high),
        picks=[
            picks(
                np.where(np.isfinite(values.samples), values.samples, np.inf),
                runs,
                steps,
                np.random.default_rng([meta["seed"], runs, *schedule.name.encode()]),
            )
            for runs in meta["runs_per_point"]
        ],
    )


def _excess(means: Floats, steps: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Worst and mean relative excess over the offsets, (..., steps), from means (..., grid points)."""
    best = means.min(axis=-1)
    worst, average = [], []
    for step in steps:
        kept = np.stack([means[..., offset::step].min(axis=-1) for offset in range(step)], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):  # a best metric of 0: no excess or an infinite one
            excess = np.where(kept == best[..., None], 0.0, kept / best[..., None] - 1.0)
        worst.append(excess.max(axis=-1))
        average.append(excess.mean(axis=-1))
    return np.stack(worst, axis=-1), np.stack(average, axis=-1)


def _right_slopes(means: Floats, grid: Floats) -> Floats:
    """Slopes (rows,) to the right of the best of each row, from means (rows, grid points)."""
    slopes, best = np.empty(len(means)), means.argmin(axis=1)
    for k in np.unique(best):
        slopes[best == k] = _right_slope(means[best == k], grid, k)
    return slopes


def _right_slope(means: Floats, grid: Floats, best: int) -> Floats:
    """Least-squares slopes (...,) of log means (..., grid points) against log base_lr, to the right of the best."""
    ratio = grid / grid[best]
    inside = (ratio > _RIGHT[0] * (1 - 1e-9)) & (ratio < _RIGHT[1] * (1 + 1e-9))
    values = means[..., inside]
    if ratio[-1] < _RIGHT[1] * (1 - 1e-9) or inside.sum() < 2 or not np.all(np.isfinite(values) & (values > 0)):
        return np.full(means.shape[:-1], np.nan)
    x = np.log(ratio[inside]) - np.log(ratio[inside]).mean()
    return np.asarray(np.log(values) @ x / (x @ x))


def _sentence(row: GridRow, tolerance: float, meta: dict[str, Any]) -> str:
    numbers: dict[float | None, list[int]] = {}  # of runs per point, by the coarsest resolution
    for runs in [*(few.runs for few in row.picks), None]:
        numbers.setdefault(row.coarsest(tolerance, runs), []).append(meta["replicates"] if runs is None else runs)
    failing = numbers.pop(None, [])
    grids = []
    for resolution, each in numbers.items():
        step = round(math.log10(resolution or 1.0) * meta["points_per_decade"])
        points = math.ceil(len(row.base_lr) / step)
        in_all = ", ".join(f"{points * runs:,} with {runs}" for runs in each)
        grids.append(f"{_points(10 ** (step / meta['points_per_decade']))} (runs in all: {in_all} per point)")
    within = f"within {100 * tolerance:.3g} % of its best {row.minimised()}"
    finest = _points(10 ** (1 / meta["points_per_decade"]))
    few = f"{', '.join(map(str, failing))} run{'s' if failing != [1] else ''} per point"
    if not grids:
        return f"{row.schedule} is not shown to stay {within}, even with {finest} and {few}"
    missed = f"; with {few} it is not shown to, even with {finest}" if failing else ""
    return f"{row.schedule} stays {within} with {', or '.join(grids)}{missed}"


def _points(resolution: float) -> str:
    points = 1 / math.log10(resolution)
    if points >= 0.95:
        return f"{points:.2g} point{'s' if points > 1.05 else ''} per factor of 10"
    return f"1 point per factor of {resolution:.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value
