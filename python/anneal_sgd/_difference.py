"""Paired differences: what two configs that saw the same noise differ by, trajectory by trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import FloatArray, IntArray, frozen
from ._validate import shown


@dataclass(frozen=True, eq=False)
class Difference:
    """Statistics of differences of one pair of configs, or of many, over replicates; arrays of one shape, read-only.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=1.0)  # no noise: |1 - lr| after a step
    >>> result = simulate(
    ...     problem, schedules.Constant(), base_lr=[0.25, 0.75], horizon=1, replicates=9, keep_samples=True
    ... )
    >>> difference = result.difference(1, 0)
    >>> float(difference.mean), float(difference.stderr), int(difference.count)
    (-0.5, 0.0, 9)
    """

    mean: FloatArray
    """Mean difference, float64, in the unit of the metric; NaN where `count` is 0."""
    stderr: FloatArray
    """Standard error of `mean`, float64, ddof = 1; NaN where `count` is below 2."""
    count: IntArray
    """Replicates in which neither of the two diverged, int64: the others are left out."""


def places(name: str, index: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The numbers of the configs that an index of NumPy's chooses. ValueError: it chooses none."""
    numbers = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    try:
        chosen = np.asarray(numbers[index])
    except (IndexError, TypeError):
        chosen = numbers[:0]
    if chosen.size == 0:
        raise ValueError(f"{name} must be an index of an array of shape {shape}, got {shown(index)}")
    return chosen


def paired(samples: NDArray[Any], a: NDArray[np.int64], b: NDArray[np.int64]) -> Difference:
    """Rows a less rows b of samples (configs, replicates), whose numbers broadcast against each other."""
    rows, others = np.broadcast_arrays(a, b)
    mean, stderr, count = np.empty(rows.shape), np.empty(rows.shape), np.empty(rows.shape, np.int64)
    for at in np.ndindex(rows.shape):
        first, second = (samples[numbers[at]].astype(np.float64) for numbers in (rows, others))
        finite = np.isfinite(first) & np.isfinite(second)
        differences = first[finite] - second[finite]
        count[at] = n = differences.size
        with np.errstate(over="ignore", invalid="ignore"):  # squares that overflow: a standard error of inf
            mean[at] = differences.mean() if n else np.nan
            stderr[at] = differences.std(ddof=1) / math.sqrt(n) if n > 1 else np.nan
    return Difference(frozen(mean), frozen(stderr), frozen(count))
