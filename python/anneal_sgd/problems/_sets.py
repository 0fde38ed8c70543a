"""Sets that a projection keeps the iterates in, and what lies in them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arrays import FloatArray, short
from .._validate import FINITE, POSITIVE, Interval, shown
from ._base import ROUNDING, Projection


def parsed_set(projection: Projection) -> tuple[str, float | FloatArray, float | FloatArray, float]:
    """Kind of set, lower and upper end of the box, radius of the ball; infinite where they do not apply."""
    if projection is None:
        return "none", -math.inf, math.inf, math.inf
    if isinstance(projection, tuple | list) and projection and isinstance(projection[0], str):
        if projection[0] == "box" and len(projection) == 3:
            lower = numbers_of("projection lower end", projection[1], FINITE, infinite=True)
            upper = numbers_of("projection upper end", projection[2], FINITE, infinite=True)
            return "box", lower, upper, math.inf
        if projection[0] == "ball" and len(projection) == 2:
            return "ball", -math.inf, math.inf, _validate.real("projection radius", projection[1], POSITIVE)
    raise ValueError(f"projection must be None, ('box', lower, upper) or ('ball', radius), got {shown(projection)}")


def check_set(lower: FloatArray, upper: FloatArray, radius: float, x0: FloatArray) -> None:
    """ValueError: an empty box, or a start outside the set."""
    if not np.all(lower < upper):
        where = int(np.argmin(lower < upper))
        ends = f"{short(lower[where])} and {short(upper[where])}"
        raise ValueError(f"projection must be a box with lower < upper, got {ends} in coordinate {where}")
    inside = (lower <= x0) & (x0 <= upper)
    if not np.all(inside):
        where = int(np.argmin(inside))
        ends = f"{short(lower[where])} to {short(upper[where])}"
        raise ValueError(f"x0 must lie in the box, {ends} in coordinate {where}, got {short(x0[where])}")
    if radius < math.inf:
        norm = float(np.linalg.norm(x0))
        if norm > radius * (1.0 + ROUNDING):
            raise ValueError(f"x0 must lie in the ball of radius {short(radius)}, got norm {short(norm)}")


def numbers_of(name: str, value: ArrayLike, interval: Interval, *, infinite: bool = False) -> float | FloatArray:
    """A float, or an array of shape (d,)."""
    if type(value) is float and interval.contains(value):
        return value
    array = _validate.real_array(name, value, interval, infinite=infinite)
    if array.ndim > 1:
        raise ValueError(f"{name} must be one number or one-dimensional, got shape {array.shape}")
    return float(array) if array.ndim == 0 else array
