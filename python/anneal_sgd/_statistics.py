"""Statistics over replicates, as arrays: what follows from counts, means and sums of squared deviations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core, _plot, _validate
from ._arrays import FloatArray, IntArray, frozen
from ._extras import need
from ._plot import Errors

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

STATISTICS = ("mean", "stderr", "std", "min", "max", "count", "diverged")


def variance(count: IntArray, m2: FloatArray) -> FloatArray:
    """Of one trajectory's value (ddof = 1), m2 / (count - 1): float64; `m2` itself where `count` is below 2."""
    return np.asarray(m2 / np.maximum(count - 1, 1))


def anytime_factor(count: IntArray, confidence: float) -> FloatArray:
    """How many standard errors wide a confidence sequence is that begins at 1024 values: float64; NaN before.

    sqrt(a^2 + ln(count / 1024)), where 2 (1 - Phi(a) + a phi(a)) = 1 - confidence: the boundary that a Brownian motion,
    from time 1 on, ever crosses with that probability (Robbins and Siegmund, Ann. Math. Statist. 41, 1970, 1410-1429).
    """
    low, high = 0.0, 40.0
    while (a := (low + high) / 2) not in (low, high):
        beyond = math.erfc(a / math.sqrt(2.0)) + a * math.sqrt(2.0 / math.pi) * math.exp(-a * a / 2.0)
        low, high = (a, high) if beyond > 1.0 - confidence else (low, a)
    begun = np.maximum(count / _core.BLOCK_REPLICATES, 1.0)
    return np.asarray(np.where(count < _core.BLOCK_REPLICATES, np.nan, np.sqrt(a * a + np.log(begun))))


class Statistics(ABC):
    """The statistics of results: arrays in the shape of their dimensions, read-only.

    They are over the trajectories whose value is finite; `diverged` counts the others.
    """

    @abstractmethod
    def _moment(self, name: str) -> NDArray[Any]:
        """ "count", "diverged", "mean", "m2", "minimum" or "maximum", in the shape of the dimensions."""

    @abstractmethod
    def _axes(self) -> dict[str, Sequence[Any]]:
        """What stands along the dimensions, as people read it: problems by the parameters in which they differ."""

    @abstractmethod
    def _labels(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        """Coordinates, what problems differ in, and what there is one of: along which dimensions, and the values."""

    @abstractmethod
    def _metrics(self) -> tuple[str, ...]:
        """Names of what is recorded."""

    @cached_property
    def mean(self) -> FloatArray:
        """Mean of the metric, by default the suboptimality; NaN where `count` is 0."""
        return self._where_counted(self._moment("mean"), at_least=1)

    @cached_property
    def std(self) -> FloatArray:
        """Standard deviation of one trajectory's value (ddof = 1); NaN where `count` is below 2."""
        return self._where_counted(np.sqrt(variance(self.count, self._moment("m2"))), at_least=2)

    @cached_property
    def stderr(self) -> FloatArray:
        """Standard error of `mean`, $std / sqrt(count)$; NaN where `count` is below 2."""
        return self._where_counted(self.std / np.sqrt(np.maximum(self.count, 1)), at_least=2)

    @cached_property
    def min(self) -> FloatArray:
        """Smallest value; NaN where `count` is 0."""
        return self._where_counted(self._moment("minimum"), at_least=1)

    @cached_property
    def max(self) -> FloatArray:
        """Largest finite value; NaN where `count` is 0."""
        return self._where_counted(self._moment("maximum"), at_least=1)

    @cached_property
    def count(self) -> IntArray:
        """Trajectories with a finite value, int64; with `diverged` they are all."""
        return frozen(self._moment("count"))

    @cached_property
    def diverged(self) -> IntArray:
        """Trajectories whose value is not finite, int64."""
        return frozen(self._moment("diverged"))

    def anytime_error(self, confidence: float = 0.95) -> FloatArray:
        """Half-widths of intervals around `mean` that hold at all counts from 1024 on at once: NaN where it is below.

        $stderr sqrt(a^2 + ln(count / 1024))$ with $2 (1 - Phi(a) + a phi(a)) = 1 - confidence$; a = 2.80 for 0.95. So
        replicates may be added, and looked at, until the mean is good enough, whatever that means: the probability
        that mean -+ half-width ever misses the expectation is at most 1 - confidence in the limit of a late first look,
        for values of finite variance (Robbins and Siegmund 1970). The first look is at 1024 values, not in the limit:
        docs/campaigns.md has what was measured for skewed laws. Each mean has this by itself, not all at once.
        ValueError: confidence is not in (0, 1).

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.AbsoluteValue(slope=0.5, noise="rademacher", noise_std=1.0)
        >>> result = simulate(problem, schedules.Constant(), base_lr=0.1, horizon=9, replicates=4096)
        >>> float((result.anytime_error() / result.stderr).round(3))  # sqrt(2.795^2 + ln 4)
        3.033
        """
        level = _validate.real("confidence", confidence, _validate.OPEN_FRACTION)
        return frozen(self.stderr * anytime_factor(self.count, level))

    def plot(
        self, x: str | None = None, *, metric: str | None = None, errors: Errors = "interval", ax: Axes | None = None
    ) -> Axes:
        """Means with error bars against the step, the learning rate or another dimension; returns Matplotlib's Axes.

        `x`: the dimension along the abscissa; by default recorded steps where there are several, else learning rates,
        horizons, or the first dimension of numbers. Each place of the other dimensions, such as each schedule, is a
        line. Of several metrics it shows `metric`, by default the first. Where `x` is not "base_lr" (or "rho"), each
        line has the learning rate of the best mean at the last record, which the legend names (at each point of `x`
        its own, where it is no record); where `x` is no record, the last is shown. A point of which any trajectory
        diverged is left out, as its mean looks better than it is.

        `errors`: "interval", mean -+ 1.96 stderr, 95 % for many replicates (for 10 normal values 92 %, for 3 81 %);
        "stderr"; "anytime", `anytime_error()`; or "none". The bars of the best of several learning rates do not include
        what choosing the best does. Where a line has more than 32 points they are bands. `ax`: where to draw; without
        it on new axes. Scales are logarithmic where all values are positive. Its `figure.savefig` keeps it.

        ValueError: no such dimension or metric, nothing to show, or more lines than can be told apart (24).
        ImportError: Matplotlib is missing; the extra `anneal_sgd[plots]` brings it.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.AbsoluteValue(slope=0.5, noise="rademacher", noise_std=1.0)
        >>> families = [schedules.Constant(), schedules.Linear()]
        >>> result = simulate(problem, families, base_lr=[0.01, 0.1, 1.0], horizon=100, replicates=1024)
        >>> axes = result.plot()  # doctest: +SKIP
        """
        names = self._metrics()
        shown = names[0] if metric is None else _validate.choice("metric", metric, names)
        kind = _plot.checked_errors(errors)
        widths = {"stderr": self.stderr, "none": None}
        if kind == "anytime":
            widths[kind] = self.anytime_error()
        return _plot.of_statistics(
            self._axes(),
            self.mean,
            widths.get(kind, _plot.QUANTILE * self.stderr),
            self.diverged == 0,
            x=x,
            metric=shown,
            errors=kind,
            ax=ax,
        )

    def to_pandas(self) -> pandas.DataFrame:
        """A `pandas.DataFrame`: one row per config, record and metric, coordinates and statistics as columns.

        Columns are the dimensions, parameters in which problems differ (but not those that differ between coordinates
        of one), and always schedule, horizon, base_lr, record_at and metric; then mean, stderr, std, min, max, count
        and diverged. ImportError: pandas is missing; the extra `anneal_sgd[pandas]` brings it.

        >>> from anneal_sgd import problems, schedules, simulate
        >>> problem = problems.AbsoluteValue(slope=1.0)  # no noise: |1 - lr| after a step
        >>> frame = simulate(problem, schedules.Constant(), base_lr=[0.5, 0.75], horizon=1, replicates=2).to_pandas()
        >>> frame[["schedule", "base_lr", "record_at", "mean", "count"]].values.tolist()
        [['constant', 0.5, 1, 0.5, 2], ['constant', 0.75, 1, 0.25, 2]]
        """
        frames = need("pandas", "pandas")
        labels = {name: label for name, label in self._labels().items() if "coordinate" not in label[0]}
        sizes = dict(zip(self._axes(), self.mean.shape, strict=True))
        columns: dict[str, Any] = {}
        for name in dict.fromkeys([*sizes, *labels]):
            along, values = labels[name]
            sized = np.reshape(values, [n if dimension in along else 1 for dimension, n in sizes.items()])
            columns[name] = np.broadcast_to(sized, self.mean.shape).reshape(-1)
        columns |= {name: getattr(self, name).reshape(-1) for name in STATISTICS}
        frame: pandas.DataFrame = frames.DataFrame(columns)
        return frame

    def _where_counted(self, values: FloatArray, *, at_least: int) -> FloatArray:
        enough = self.count >= at_least
        return frozen(np.asarray(values if enough.all() else np.where(enough, values, np.nan)))
