"""The notation of docs/stream.md: one rounding per operation, a fused multiply-add, increments, minima, folded sums."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[Any]  # float32 or float64: the F of the call


def _two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`s + e == a + b` exactly, `s` the rounded sum (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _odd_sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """`a + b` in float64 rounded to odd: an inexact sum goes to that neighbour whose last bit is set."""
    s, error = _two_sum(a, b)
    bits = s.view(np.int64)
    even_and_inexact = (error != 0) & np.isfinite(s) & (bits % 2 == 0)
    away_from_zero = (error > 0) == (s > 0)
    return np.asarray(np.where(even_and_inexact, bits + np.where(away_from_zero, 1, -1), bits).view(np.float64))


def _halves(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A float64 as the sum of two of 26 bits (Veltkamp)."""
    c = a * (2.0**27 + 1.0)
    high = c - (c - a)
    return high, a - high


def _exact_fma(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> FloatArray:
    """`a * b + c` rounded once to nearest even; broadcasts; float32 if its NumPy arguments are, else float64.

    float32: the product is exact in float64, the sum is rounded there to odd and only then to float32. float64: Boldo
    and Melquiond (IEEE Trans. Comput. 57, 2008), from an exact product and exact sums; where numbers are so large, or a
    product so small, that those would not be exact, one by one in rational numbers. So overflow and subnormals are
    right in both. Infinities, NaN and the sign of zero are those of IEEE 754.

    >>> float(fma(1 + 2.0**-52, 1 - 2.0**-52, -1.0)) == -(2.0**-104)  # in two roundings: 0
    True
    >>> float(fma(np.float32(3), np.float32(1 / 3), -1.0))
    2.9802322387695312e-08
    """
    dtypes = {x.dtype for x in (a, b, c) if isinstance(x, np.ndarray | np.generic)}
    if len(dtypes) > 1:
        raise TypeError(f"fma must be given one dtype, got {sorted(map(str, dtypes))}")
    dtype = dtypes.pop() if dtypes else np.dtype(np.float64)
    x, y, z = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype)) for value in (a, b, c)))
    shape = np.broadcast_shapes(np.shape(a), np.shape(b), np.shape(c))
    with np.errstate(all="ignore"):
        if dtype == np.float32:
            wide = [value.astype(np.float64) for value in (x, y, z)]
            return np.asarray(_odd_sum(wide[0] * wide[1], wide[2]).astype(np.float32).reshape(shape))
        product = x * y
        (xh, xl), (yh, yl) = _halves(x), _halves(y)
        product_error = xl * yl - (((product - xh * yh) - xl * yh) - xh * yl)
        th, tl = _two_sum(z, product_error)
        vh, vl = _two_sum(product, th)
        result = vh + _odd_sum(tl, vl)
        # Where the result is zero it is exact, and so is the plain formula, which has the sign right.
        result = np.where((result == 0) | ~np.isfinite(product + z), product + z, result)
        finite = np.isfinite(x) & np.isfinite(y)
        result = np.where(finite & np.isinf(z), z, result)  # however large the product
        largest = np.maximum(np.maximum(abs(x), abs(y)), np.maximum(abs(product), abs(z)))
        tiny = (abs(product) < 2.0**-900) & (x != 0) & (y != 0)
    for i in zip(*np.nonzero(finite & np.isfinite(z) & ((largest > 2.0**990) | tiny)), strict=True):
        result[i] = _exact_fma(float(x[i]), float(y[i]), float(z[i]))
    return np.asarray(result.reshape(shape))


def moved(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`x + y`, and what its rounding lost of y (Kahan).

    >>> x, low = moved(np.float32([1.0]), np.float32([2.0**-24]))
    >>> x.item(), low.item() == 2.0**-24
    (1.0, True)
    """
    total = x + y
    return total, y - (total - x)


def lesser(hi: FloatArray, y: FloatArray) -> FloatArray:
    """`min(hi, y)`; a NaN in y survives."""
    return np.where(hi < y, hi, y)


def greater(lo: FloatArray, y: FloatArray) -> FloatArray:
    """`max(lo, y)`; a NaN in y survives."""
    return np.where(lo > y, lo, y)


def fold(s: FloatArray, axis: int) -> FloatArray:
    """The sum along an axis of length 2^k: `s[i] += s[i + w]` for w = 2^(k-1), ..., 2, 1."""
    s = np.moveaxis(s, axis, 0)
    while len(s) > 1:
        s = s[: len(s) // 2] + s[len(s) // 2 :]
    return np.asarray(s[0])
