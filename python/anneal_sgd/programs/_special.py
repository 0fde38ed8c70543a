"""Special functions and order statistics of symbols, composed of the operations that there are.

Derivatives follow from the operations: what is selected, and where numbers are equal one of their orders.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._symbol import FUNCTIONS, UFUNCS, Symbol, place, refused

_MOST_SORTED = 64
_SINC = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(11)]  # the rest is below 2^-66 for |x| <= 1


# --- functions of numbers --------------------------------------------------------------------------------------------


def _sinc(s: Symbol, x: Any) -> Symbol:
    """`sin(pi x) / (pi x)`; near 0 a sum, whose derivative cancels nothing."""
    angle = s._made("multiply", x, math.pi)
    near = s._made("less", s._made("absolute", angle), 1.0)
    square = np.square(np.where(near, angle, 0.0))
    series: Any = _SINC[-1]
    for c in reversed(_SINC[:-1]):
        series = square * series + c
    apart = np.where(near, 1.0, angle)
    return s._made("select", near, series, np.sin(apart) / apart)


def _floor(s: Symbol, x: Any) -> Symbol:
    nearest = s._made("rint", x)
    return s._made("subtract", nearest, s._made("less", x, nearest))


def _ceil(s: Symbol, x: Any) -> Symbol:
    return s._made("negative", _floor(s, s._made("negative", x)))


def _trunc(s: Symbol, x: Any) -> Symbol:
    return s._made("multiply", s._made("sign", x), _floor(s, s._made("absolute", x)))


def _round(s: Symbol, x: Any, decimals: int = 0) -> Symbol:
    """As NumPy rounds: times a power of ten, and over it."""
    if not isinstance(decimals, int | np.integer):
        raise refused(f"np.round to decimals={decimals!r}")
    scale = 10.0 ** abs(int(decimals))
    there, back = ("multiply", "divide") if decimals >= 0 else ("divide", "multiply")
    return s._made(back, s._made("rint", s._made(there, x, scale)), scale)


def _floor_divide(s: Symbol, x: Any, y: Any) -> Symbol:
    return s._made("rint", s._made("divide", s._made("subtract", x, s._made("remainder", x, y)), y))


def _fmod(s: Symbol, x: Any, y: Any) -> Symbol:
    sizes = s._made("remainder", s._made("absolute", x), s._made("absolute", y))
    return s._made("multiply", s._made("sign", x), sizes)


def _modf(s: Symbol, x: Any) -> tuple[Symbol, Symbol]:
    whole = _trunc(s, x)
    return s._made("subtract", x, whole), whole


def _ndtr(s: Symbol, x: Any) -> Symbol:
    return s._made("add", 0.5, s._made("multiply", 0.5, s._made("erf", s._made("multiply", x, math.sqrt(0.5)))))


def _heaviside(s: Symbol, x: Any, at_zero: Any) -> Symbol:
    middle = s._made("select", s._made("less", 0.0, x), 1.0, s._made("add", at_zero, s._made("multiply", x, 0.0)))
    return s._made("select", s._made("less", x, 0.0), 0.0, middle)


def _log_expit(s: Symbol, x: Any) -> Symbol:
    return s._made("negative", s._made("logaddexp", s._made("negative", x), 0.0))


def _xlogy(s: Symbol, x: Any, y: Any) -> Symbol:
    """`x log y`, and 0 where x is 0 and y is not above 0."""
    nothing = np.logical_and(np.equal(s._made("add", x, 0.0), 0.0), np.less_equal(s._made("add", y, 0.0), 0.0))
    return s._made("multiply", x, s._made("log", s._made("select", nothing, 1.0, y)))


def _xlog1py(s: Symbol, x: Any, y: Any) -> Symbol:
    nothing = np.logical_and(np.equal(s._made("add", x, 0.0), 0.0), np.less_equal(s._made("add", y, 0.0), -1.0))
    return s._made("multiply", x, s._made("log1p", s._made("select", nothing, 0.0, y)))


def _huber(s: Symbol, delta: Any, r: Any) -> Any:
    size = s._made("absolute", r)
    near = s._made("minimum", size, delta)
    return near * (size - 0.5 * near)


def _pseudo_huber(s: Symbol, delta: Any, r: Any) -> Symbol:
    """`delta^2 (sqrt(1 + u) - 1)`, `u = (r / delta)^2`, in which nothing cancels."""
    ratio = s._made("divide", r, delta)
    u = ratio * ratio
    return s._made("multiply", s._made("multiply", delta, delta), u / (np.sqrt(1.0 + u) + 1.0))


def _finite(s: Symbol, x: Any) -> Any:
    """0 of a finite number is no NaN."""
    return np.greater(s._made("absolute", s._made("subtract", x, x)), -1.0)


def _infinite(s: Symbol, x: Any) -> Any:
    return np.logical_and(np.logical_not(_finite(s, x)), np.greater(s._made("absolute", x), -1.0))


_LN2 = math.log(2.0)

SPECIAL_UFUNCS: dict[str, Callable[..., Any]] = {
    "floor": _floor,
    "ceil": _ceil,
    "trunc": _trunc,
    "floor_divide": _floor_divide,
    "fmod": _fmod,
    "divmod": lambda s, x, y: (_floor_divide(s, x, y), s._made("remainder", x, y)),
    "modf": _modf,
    "heaviside": _heaviside,
    "deg2rad": lambda s, x: s._made("multiply", x, math.pi / 180.0),
    "rad2deg": lambda s, x: s._made("multiply", x, 180.0 / math.pi),
    "logaddexp2": lambda s, x, y: np.logaddexp(x * _LN2, y * _LN2) / _LN2,
    "logical_xor": lambda s, x, y: np.not_equal(np.not_equal(x, 0), np.not_equal(y, 0)),
    "isnan": lambda s, x: np.logical_not(np.greater(s._made("absolute", x), -1.0)),
    "isfinite": _finite,
    "isinf": _infinite,
    # of scipy.special
    "erfc": lambda s, x: s._made("subtract", 1.0, s._made("erf", x)),
    "ndtr": _ndtr,
    "log_expit": _log_expit,
    "logit": lambda s, x: np.log(x) - np.log1p(-x),
    "xlogy": _xlogy,
    "xlog1py": _xlog1py,
    "entr": lambda s, x: -_xlogy(s, x, x),
    "rel_entr": lambda s, x, y: _xlogy(s, x, s._made("divide", x, y)),
    "kl_div": lambda s, x, y: _xlogy(s, x, s._made("divide", x, y)) - x + y,
    "huber": _huber,
    "pseudo_huber": _pseudo_huber,
    "exp10": lambda s, x: s._made("exp", s._made("multiply", x, math.log(10.0))),
}
SPECIAL_UFUNCS |= {"degrees": SPECIAL_UFUNCS["rad2deg"], "radians": SPECIAL_UFUNCS["deg2rad"]}


def erf(x: Any) -> Any:
    """Of a symbol, or of numbers: NumPy has none."""
    return UFUNCS["erf"](x, x) if isinstance(x, Symbol) else np.vectorize(math.erf, otypes=[np.float64])(x)


def special(name: str) -> Callable[..., Any]:
    """A function of scipy.special, which is no dependency: of a symbol at least."""

    def f(*arguments: Any) -> Any:
        symbol = next((a for a in arguments if isinstance(a, Symbol)), None)
        if symbol is None:
            raise TypeError(f"{name} is of x, a parameter or what is made of them")
        return UFUNCS[name](symbol, *arguments)

    return f


# --- order statistics ------------------------------------------------------------------------------------------------


def _exchanges(n: int) -> Iterator[tuple[int, int]]:
    """Batcher's odd-even merge sort: pairs of places, whose smaller number goes to the first one."""
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, min(j + k, n - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        yield i, i + k
            k //= 2
        p *= 2


def _in_order(x: Symbol) -> list[Symbol]:
    """Its numbers, the smallest first; where two are equal each keeps its derivative. A NaN makes NaNs of others."""
    if x.size > _MOST_SORTED:
        raise refused(f"Sorting {x.size} numbers, more than {_MOST_SORTED},")
    numbers = [x[i] for i in range(x.size)] if x.shape else [x]
    for i, j in _exchanges(len(numbers)):
        a, b = numbers[i], numbers[j]
        numbers[i], numbers[j] = np.minimum(a, b), np.maximum(b, a)
    return numbers


def _sort(s: Symbol, x: Symbol, axis: Any = -1) -> Symbol:
    if axis not in (-1, 0, None):
        raise refused(f"np.sort over axis {axis!r}")
    joined: Symbol = FUNCTIONS["concatenate"](s, _in_order(x))
    return joined


def _median(s: Symbol, x: Symbol, axis: Any = None) -> Any:
    return _quantile(s, x, 0.5, axis)


def _quantile(s: Symbol, x: Symbol, q: Any, axis: Any = None) -> Any:
    """Between the two numbers in order that it lies between, linearly."""
    if isinstance(q, Symbol) or np.ndim(q) > 1 or axis not in (-1, 0, None):
        raise refused("A quantile of several axes, or of a level that is no constant,")
    levels = np.asarray(q, np.float64)
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"quantiles must be in [0, 1], got {q} ({place()})")
    numbers, found = _in_order(x), []
    for level in levels.reshape(-1).tolist():
        at = level * (len(numbers) - 1)
        low = min(int(at), max(len(numbers) - 2, 0))
        share = at - low
        value = numbers[low]
        if share:
            value = 0.5 * (value + numbers[low + 1]) if share == 0.5 else value + share * (numbers[low + 1] - value)
        found.append(value)
    return FUNCTIONS["concatenate"](s, found) if levels.ndim else found[0]


# --- functions of arrays ---------------------------------------------------------------------------------------------


def _cumprod(s: Symbol, x: Symbol, axis: Any = None) -> Symbol:
    """Of 2, 4, 8, .. numbers, as the cumulative sum."""
    if axis not in (-1, 0, None):
        raise refused(f"np.cumprod over axis {axis!r}")
    total, n, k = x.ravel(), x.size, 1
    while k < n:
        total, k = total * FUNCTIONS["concatenate"](s, [np.ones(k), total[:-k]]), 2 * k
    return total


def _diff(s: Symbol, x: Symbol, n: int = 1, axis: int = -1) -> Symbol:
    if axis not in (-1, 0) or not 0 <= n < x.size:
        raise refused(f"np.diff of {x.size} numbers with n={n!r}, axis={axis!r}")
    for _ in range(n):
        x = x[1:] - x[:-1]
    return x


def _average(s: Symbol, x: Symbol, axis: Any = None, weights: Any = None) -> Symbol:
    if weights is None:
        return x.mean(axis)
    found: Symbol = np.sum(x * weights) / np.sum(weights)
    return found


def _select(s: Symbol, conditions: Any, choices: Any, default: Any = 0.0) -> Any:
    if len(conditions) != len(choices) or not conditions:
        raise ValueError(f"np.select must have a choice for each condition, got {len(conditions)} and {len(choices)}")
    return functools.reduce(
        lambda rest, one: np.where(one[0], one[1], rest), reversed([*zip(conditions, choices, strict=True)]), default
    )


def _polyval(s: Symbol, p: Any, x: Any) -> Any:
    return functools.reduce(lambda value, c: value * x + c, (p[k] for k in range(1, len(p))), p[0] + 0.0 * x)


def _trapezoid(s: Symbol, y: Any, x: Any = None, dx: Any = 1.0) -> Any:
    widths = dx if x is None else x[1:] - x[:-1]
    return np.sum(0.5 * widths * (y[1:] + y[:-1]))


def _split(s: Symbol, x: Symbol, sections: Any) -> list[Symbol]:
    """At known places, or into parts of equal length."""
    if np.ndim(sections) == 0:
        if sections < 1 or x.size % sections:
            raise ValueError(f"np.split must be into parts of equal length, got {sections} of {x.size} ({place()})")
        sections = range(x.size // sections, x.size, x.size // sections)
    ends = [0, *map(int, sections), x.size]
    return [x[start:stop] for start, stop in itertools.pairwise(ends)]


def _isclose(s: Symbol, a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    return np.less_equal(np.abs(a - b), atol + rtol * np.abs(b))


SPECIAL_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sinc": _sinc,
    "round": _round,
    "around": _round,
    "fix": _trunc,
    "sort": _sort,
    "median": _median,
    "quantile": _quantile,
    "percentile": lambda s, x, q, axis=None: _quantile(s, x, np.asarray(q) / 100.0, axis),
    "cumprod": _cumprod,
    "diff": _diff,
    "ediff1d": _diff,
    "ptp": lambda s, x, axis=None: x.max(axis) - x.min(axis),
    "average": _average,
    "select": _select,
    "polyval": _polyval,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
    "split": _split,
    "take": lambda s, x, indices: x[indices],
    "tile": lambda s, x, times: FUNCTIONS["concatenate"](s, [x] * int(times)),
    "repeat": lambda s, x, times: FUNCTIONS["concatenate"](s, [one for one in x for _ in range(int(times))]),
    "full_like": lambda s, x, value: np.zeros_like(x) + value,
    "broadcast_to": lambda s, x, shape: x + np.zeros(shape),
    "atleast_1d": lambda s, x: x.ravel(),
    "count_nonzero": lambda s, x: np.sum(UFUNCS["logical_not"](s, UFUNCS["logical_not"](s, x))),
    "isclose": _isclose,
}
