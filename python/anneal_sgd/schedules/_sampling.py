"""Points through which linear interpolation follows a function of the fraction done, at any horizon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._arrays import FloatArray
from .._validate import shown
from ._tail import DISTANCES, degree_from

_CELLS = 2**14  # to begin with
_TOLERANCE = 2.0**-24  # relative: half a unit of float32
_SMALLEST = 2.0**-26  # of the largest value: below it an error counts as one of this
_MOST = 2**20  # points: 16 MB
_NEAR = 2.0**-16  # the unit of the distances from which a tail degree is read
_COUNTS = 2.0 ** np.arange(1, 33)
_FLATTER = 0.05  # a function that changes so little within [0, 1], against later, is one of steps


def sampled(h: Callable[..., Any]) -> tuple[FloatArray, FloatArray, float]:
    """Fractions from 0 to 1, the values there, and the tail degree.

    Cells are halved until their middle is on the line between their ends, where h jumps down to neighbouring numbers.
    ValueError: a value that is not allowed, a function that needs too many points, or one of counts of steps.
    """
    of = vectorised(h, np.array([0.0, 0.25, 1.0]))
    ends = 2.0 ** -np.arange(15, 34)
    x: FloatArray = np.unique(np.concatenate([np.arange(_CELLS + 1) / _CELLS, ends, 1.0 - ends]))
    y = _checked(of(x), x)
    _refuse_counts(of, y)
    refined = np.ones(x.size - 1, bool)
    while True:
        left = np.flatnonzero(refined)
        middle = x[left] + (x[left + 1] - x[left]) / 2
        inside = (middle > x[left]) & (middle < x[left + 1])
        left, middle = left[inside], middle[inside]
        value = _checked(of(middle), middle)
        larger = np.maximum(np.maximum(y[left], y[left + 1]), _SMALLEST * y.max())
        error = np.abs(value - (y[left] + y[left + 1]) / 2)
        off = error > _TOLERANCE * larger
        if not off.any():
            return x, y, _degree(of, x, y)
        if x.size + np.count_nonzero(off) > _MOST:
            raise ValueError(
                f"values must be followed by {_MOST} points, which {shown(h)} is not; schedules.from_callable takes "
                "a value at every step of one horizon"
            )
        x, y = np.insert(x, left[off] + 1, middle[off]), np.insert(y, left[off] + 1, value[off])
        halves = left[off] + np.arange(1, np.count_nonzero(off) + 1)
        refined = np.zeros(x.size - 1, bool)
        refined[halves - 1] = refined[halves] = True


def vectorised(h: Callable[..., Any], probe: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """h of an array, one by one where it does not take arrays or says something else of them, tried on `probe`."""
    single = np.array([np.asarray(h(x)).item() for x in probe.tolist()])
    try:
        together = np.asarray(h(probe))
        takes_arrays = together.shape == probe.shape and np.allclose(together, single, rtol=1e-6, equal_nan=True)
    except (TypeError, ValueError):  # a function of one number, which arrays confuse
        takes_arrays = False
    if takes_arrays:
        return lambda x: np.asarray(h(x))
    return lambda x: np.array([np.asarray(h(one)).item() for one in x.tolist()])


def _checked(values: NDArray[Any], u: FloatArray) -> FloatArray:
    h = _validate.real_array("values", values, _validate.NON_NEGATIVE, ndim=1) + 0.0 if values.size else np.empty(0)
    if np.any(h > 1.0):
        where = int(h.argmax())
        raise ValueError(f"values must be at most 1 (scale goes in base_lr), got {float(h[where])!r} at {u[where]!r}")
    return h


def _refuse_counts(of: Callable[[NDArray[Any]], NDArray[Any]], y: FloatArray) -> None:
    try:
        with np.errstate(all="ignore"):
            later = of(_COUNTS)
    except (ArithmeticError, IndexError, TypeError, ValueError):  # not defined beyond 1: so one of fractions
        return
    within = later.dtype.kind in "iuf" and np.all((later >= 0.0) & (later <= 1.0))
    if within and np.ptp(y) < _FLATTER * np.ptp(later):
        raise ValueError(
            "values must be a function of the fraction of the horizon that is done, from 0 to 1, got one that hardly "
            "changes there and does later, as one of counts of steps: schedules.from_callable takes that"
        )


def _degree(of: Callable[[NDArray[Any]], NDArray[Any]], x: FloatArray, y: FloatArray) -> float:
    positive = np.flatnonzero(y[:-1] > 0.0)
    end = x[positive[-1] + 1] if positive.size else x[-1]
    near: FloatArray = np.maximum(end - DISTANCES * _NEAR, 0.0)
    return degree_from(_checked(of(near), near)) or 0.0
