"""Statistics over replicates, as arrays: what follows from counts, means and sums of squared deviations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import FloatArray, IntArray, frozen

STATISTICS = ("mean", "stderr", "std", "min", "max", "count", "diverged")


def variance(count: IntArray, m2: FloatArray) -> FloatArray:
    """Of one trajectory's value (ddof = 1), m2 / (count - 1): float64; `m2` itself where `count` is below 2."""
    return np.asarray(m2 / np.maximum(count - 1, 1))


class Statistics(ABC):
    """The statistics of results: arrays in the shape of their dimensions, read-only.

    They are over the trajectories whose value is finite; `diverged` counts the others.
    """

    @abstractmethod
    def _moment(self, name: str) -> NDArray[Any]:
        """ "count", "diverged", "mean", "m2", "minimum" or "maximum", in the shape of the dimensions."""

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
        """Standard error of `mean`, std / sqrt(count); NaN where `count` is below 2."""
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

    def _where_counted(self, values: FloatArray, *, at_least: int) -> FloatArray:
        enough = self.count >= at_least
        return frozen(np.asarray(values if enough.all() else np.where(enough, values, np.nan)))
