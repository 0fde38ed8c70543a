"""Checks of arguments. Every message starts with the argument's name, says what is allowed and shows the value."""

from __future__ import annotations

import contextlib
import math
import operator
import reprlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ._arrays import FloatArray
from ._cupy import to_host

LARGEST_UINT32 = 2**32 - 1
DTYPES = {name: np.dtype(name) for name in ("float32", "float64")}

_T = TypeVar("_T")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 120


def shown(value: object) -> str:
    """`repr(value)`, shortened where it is long, as messages show it.

    >>> shown(list(range(10**6)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    return _SHORT.repr(value)


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; infinite ends are never included."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def contains(self, x: float) -> bool:
        """Whether the finite number x lies in the interval; False for NaN and infinities."""
        if self.low < x < self.high:
            return True
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
OPEN_FRACTION = Interval(low=0.0, high=1.0, open_low=True, open_high=True)


def integer(name: str, value: object, *, lowest: int, highest: int | None = None) -> int:
    """`value` as an int; integers of Python and NumPy and floats that are whole, such as 1e6; no bool, no text."""
    if type(value) is int:
        number: int | None = value
    elif isinstance(value, bool | np.bool_):
        number = None
    elif isinstance(value, float | np.floating):
        number = int(value) if value.is_integer() else None
    else:
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # what is no integer raises
        except TypeError:
            number = None
    if number is None or number < lowest or (highest is not None and number > highest):
        allowed = f">= {lowest}" if highest is None else f"in {lowest} .. {highest}"
        raise ValueError(f"{name} must be an integer {allowed}, got {shown(value)}")
    return number


def real(name: str, value: object, interval: Interval) -> float:
    """`value` as a float; Python and NumPy numbers and 0-d arrays only, no bool, no text."""
    if type(value) is float:
        number = value
    elif type(value) is int:
        number = _to_float(value)
    elif isinstance(value, np.generic | np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        number = float(array(name, value))
    else:
        number = math.nan
    if not interval.contains(number):
        raise ValueError(f"{name} must be one number, {interval}, got {shown(value)}")
    return number


def real_array(
    name: str,
    value: ArrayLike,
    interval: Interval,
    *,
    ndim: int | None = None,
    max_ndim: int | None = None,
    infinite: bool = False,
) -> FloatArray:
    """`value` as a new float64 array, not empty, all in the interval (`infinite`: or at an infinite end of it)."""
    shape = "" if ndim is None else {0: "one number, ", 1: "one-dimensional, "}[ndim]
    if max_ndim is not None:
        shape = {0: "one number, ", 1: "one number or one-dimensional, "}[max_ndim]
    allowed = f"{shape}{interval}"
    given = numbers(name, value, allowed)
    wrong_shape = (ndim is not None and given.ndim != ndim) or (max_ndim is not None and given.ndim > max_ndim)
    if given.size == 0 or wrong_shape:
        raise ValueError(f"{name} must be {allowed} and not empty, got shape {given.shape}")
    inside = interval.mask(given)
    if infinite:
        inside |= (given == interval.high) | (given == interval.low)
    if not inside.all():
        raise ValueError(f"{name} must be {allowed}, got {_first_outside(given, inside)}")
    return given


def numbers(name: str, value: object, allowed: str = "within float64") -> FloatArray:
    """`value` as a new float64 array of any shape and any numbers, NaN included; `allowed` is for the message."""
    given = array(name, value)
    with contextlib.suppress(OverflowError):
        if given.dtype.kind == "O" and given.size and all(type(x) is int for x in given.flat):  # beyond 64 bits
            given = given.astype(np.float64)
    if given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be numbers, {allowed}, got {shown(value)}")
    with np.errstate(over="ignore"):  # of a longer float
        return given.astype(np.float64)


def array(name: str, value: object) -> NDArray[Any]:
    """`value` as an array in the host's memory, of dtype object where its parts have different lengths.

    ValueError: a masked element, which an array without a mask would show as a number, a set, which has no order, or
    what refuses to be an array, such as a tensor of PyTorch that requires a gradient.
    """
    value = ordered(name, to_host(value))
    parts = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(part, np.ma.MaskedArray) and part.mask.any() for part in parts):
        raise ValueError(f"{name} must have no masked elements: fill or drop them, got {shown(value)}")
    try:
        return np.asarray(value)
    except ValueError:
        return np.empty(0, dtype=object)
    except MemoryError:
        raise MemoryError(f"{name} must fit in memory, got {shown(value)}") from None
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must be what NumPy makes an array of: {error}") from None


def ordered(name: str, value: _T) -> _T:
    """`value` where it is no set."""
    if isinstance(value, set | frozenset):
        raise ValueError(f"{name} must have an order, as a list has, got a set, {shown(value)}")
    return value


def one_or_more(name: str, value: object, kind: type[_T], noun: str) -> tuple[_T, ...]:
    """`value` where it is of the class, else its elements, all of the class and in order; never empty."""
    if isinstance(value, kind):
        return (value,)
    allowed = f"be a {noun} or a sequence of {noun}s"
    if isinstance(value, str) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        raise ValueError(f"{name} must {allowed}, got {shown(value)}{remedy(value, kind, noun)}")
    try:
        elements = tuple(ordered(name, value))
    except MemoryError:
        raise MemoryError(f"{name} must fit in memory, got {shown(value)}") from None
    if not elements:
        raise ValueError(f"{name} must {allowed}, got an empty one")
    for i, element in enumerate(elements):
        if not isinstance(element, kind):
            raise ValueError(f"{name} must {allowed}, got {shown(element)} at index {i}{remedy(element, kind, noun)}")
    return elements


def remedy(value: object, kind: type, noun: str) -> str:
    """What to do with what is nearly one, after a colon; empty where nothing is known."""
    if isinstance(value, type):
        return f": {value.__name__}(..) makes one of the class" if issubclass(value, kind) else ""
    if isinstance(value, str):
        sort = "text"
    elif type(value).__module__.startswith("torch."):
        sort = "torch"
    elif hasattr(value, "init") and hasattr(value, "update"):
        sort = "optax"
    else:
        sort = "function" if callable(value) else ""
    return _REMEDIES.get((noun, sort), "")


_REMEDIES = {
    ("schedule", "text"): ": schedules.by_name makes one of a text",
    ("schedule", "torch"): ": schedules.from_torch makes one of an optimizer and its scheduler",
    ("schedule", "function"): ": schedules.Tabulated makes one of a function of t / horizon, schedules.from_callable "
    "of one of t",
    ("method", "text"): ": methods.by_name makes one of a text",
    ("method", "torch"): ": methods.from_torch makes one of an optimizer",
    ("method", "optax"): ": methods.names() are those there are, methods.Custom takes a step of one's own",
    ("method", "function"): ": methods.Custom makes one of a function",
    ("problem", "function"): ": problems.Custom makes one of a function",
}


def refuse_formula(cls: type, root: type, advice: str) -> None:
    """TypeError where a class outside the package overrides what `root` and its subclasses here define.

    The compiled core would not see it: it computes what the classes of the package say.
    """
    if cls.__module__.split(".")[0] == __package__:
        return
    for parent in cls.__mro__[1:]:
        for name in vars(cls):
            if name in vars(parent) and issubclass(parent, root) and (name == "__call__" or not name.startswith("__")):
                raise TypeError(f"{cls.__name__} must not override {parent.__name__}.{name}: {advice}")
    if root in cls.__bases__:
        raise TypeError(f"{cls.__name__} must not be a class of its own: {advice}")


def dtype_name(dtype: DTypeLike) -> str:
    """ "float32" or "float64"."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name: str = "" if dtype is None else np.dtype(dtype).name
    except (TypeError, ValueError):
        name = ""
    if name not in DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {shown(dtype)}")
    return name


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """`value` where it is one of the allowed words."""
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {shown(value)}")


def flag(name: str, value: object) -> bool:
    """`value` where it is True or False."""
    if value is True or value is False:
        return value
    if not isinstance(value, np.bool_):
        raise ValueError(f"{name} must be True or False, got {shown(value)}")
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
