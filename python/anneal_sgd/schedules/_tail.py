"""Tail degrees estimated from values: p in h ~ c d^p at the distance d before the end, where no formula tells."""

from __future__ import annotations

import math

import numpy as np

from .. import _validate
from .._arrays import FloatArray

_REMAINDER = 1e-7  # of the maximum: less at the end is rounding, float32's included
_FLAT = 0.02  # a smaller degree is a floor's, seen over a finite stretch

DISTANCES = np.array([1, 2, 4, 8])


def given_degree(value: float) -> float:
    """`value` where it is a tail degree, which may be infinite."""
    if isinstance(value, float) and value == math.inf:
        return value
    return _validate.real("tail_degree", value, _validate.NON_NEGATIVE)


def degree_from(values: FloatArray) -> float | None:
    """p from the values at `DISTANCES` before h reaches 0, as many as there are; None where they do not tell.

    The median of the slopes, so that one value may be off.
    """
    slopes = _slopes(values)
    if slopes.size == 0:
        return None
    degree = float(np.median(slopes))
    return degree if degree >= _FLAT else 0.0


def degree_of_table(table: FloatArray) -> float:
    """Of values at equal distances, the last at the end. A table too short to tell has 1, its own last line's."""
    last = table[-1]
    if last > 0.0 and (last > _REMAINDER * table.max() or last > table[-2] / 4):
        return 0.0
    positive = np.flatnonzero(table[:-1] > 0.0)
    if positive.size == 0:
        return 0.0
    degree = degree_from(_before(table, int(positive[-1]) + 1))
    return 1.0 if degree is None else degree


def degree_of_steps(values: FloatArray) -> float:
    """Of the values at the steps 0 .. T - 1, after which h is 0, or stays: one value stays."""
    end = int(np.flatnonzero(values)[-1]) + 1
    slopes = _slopes(_before(values, end))
    if slopes.size and slopes[0] < -_FLAT:
        return 0.0  # it rises at the last step, as where a cycle begins there
    if slopes.size > 1 and slopes[0] > 2.0 * slopes[1] > 2.0 * _FLAT:
        end -= 1  # at the last step h has fallen to a smallest learning rate
    return degree_from(_before(values, end)) or 0.0


def _before(values: FloatArray, end: int) -> FloatArray:
    near: FloatArray = values[end - DISTANCES[end >= DISTANCES]]
    return near


def _slopes(values: FloatArray) -> FloatArray:
    zeros = np.flatnonzero(values <= 0.0)
    known = values[: zeros[0]] if zeros.size else values  # beyond, h rises from 0
    return np.asarray(np.diff(np.log2(known)) / np.diff(np.log2(DISTANCES[: known.size])))
