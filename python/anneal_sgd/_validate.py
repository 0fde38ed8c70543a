"""Checks of arguments. Every message starts with the argument's name, says what is allowed and shows the value."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import FloatArray

LARGEST_UINT32 = 2**32 - 1


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; infinite ends are never included."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def contains(self, x: float) -> bool:
        """Whether the finite number x lies in the interval; False for NaN and infinities."""
        above = x > self.low if self.open_low else x >= self.low
        below = x < self.high if self.open_high else x <= self.high
        return above and below and math.isfinite(x)

    def mask(self, x: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """`contains`, element by element."""
        above = x > self.low if self.open_low else x >= self.low
        below = x < self.high if self.open_high else x <= self.high
        return np.asarray(above & below & np.isfinite(x))

    def __str__(self) -> str:
        """As messages say it: `in [0, 1)`, `finite and > 0`."""
        if self.high == math.inf:
            return "finite" if self.low == -math.inf else f"finite and {'>' if self.open_low else '>='} {self.low:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}{')' if self.open_high else ']'}"


FINITE = Interval()
NON_NEGATIVE = Interval(low=0.0)
POSITIVE = Interval(low=0.0, open_low=True)
FRACTION = Interval(low=0.0, high=1.0)
POSITIVE_FRACTION = Interval(low=0.0, high=1.0, open_low=True)


def integer(name: str, value: object, *, lowest: int, highest: int | None = None) -> int:
    """`value` as an int; Python and NumPy integers only, no bool."""
    if type(value) is int:
        number: int | None = value
    elif isinstance(value, bool | np.bool_):
        number = None
    else:
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # what is no integer raises
        except TypeError:
            number = None
    if number is None or number < lowest or (highest is not None and number > highest):
        allowed = f">= {lowest}" if highest is None else f"in {lowest} .. {highest}"
        raise ValueError(f"{name} must be an integer {allowed}, got {value!r}")
    return number


def real(name: str, value: object, interval: Interval) -> float:
    """`value` as a float; Python and NumPy numbers and 0-d arrays only, no bool, no text."""
    if type(value) is float or type(value) is int:
        number = _to_float(value)
    elif isinstance(value, np.generic | np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        number = float(value)
    else:
        number = math.nan
    if not interval.contains(number):
        raise ValueError(f"{name} must be one number, {interval}, got {value!r}")
    return number


def real_array(
    name: str, value: ArrayLike, interval: Interval, *, ndim: int | None = None, infinite: bool = False
) -> FloatArray:
    """`value` as a new float64 array, not empty, with every element in the interval (`infinite`: or infinite)."""
    shape = "" if ndim is None else {0: "one number, ", 1: "one-dimensional, "}[ndim]
    allowed = f"{shape}{interval}"
    try:
        given = np.asarray(value)
    except ValueError:
        given = np.empty(0, dtype=object)
    if given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be numbers, {allowed}, got {value!r}")
    if given.size == 0 or (ndim is not None and given.ndim != ndim):
        raise ValueError(f"{name} must be {allowed} and not empty, got shape {given.shape}")
    array = given.astype(np.float64)
    inside = interval.mask(array)
    if infinite:
        inside |= np.isinf(array)
    if not inside.all():
        raise ValueError(f"{name} must be {allowed}, got {_first_outside(array, inside)}")
    return array


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """`value` where it is one of the allowed words."""
    words = tuple(allowed)
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")
    return value


def flag(name: str, value: object) -> bool:
    """`value` where it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _first_outside(array: FloatArray, inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    where = int(np.argmin(inside.ravel()))
    at = f" at index {where}" if array.ndim else ""
    return f"{float(array.flat[where])!r}{at}"
