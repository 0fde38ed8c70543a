"""The stream in NumPy: what every bit of a trajectory and of its statistics is, written from docs/stream.md alone.

The compiled backends are compared with this module to the bit, so it shares no code with them: each formula stands here
as the page has it, slow, and vectorised over replicates and coordinates only. `F` is the dtype of a call, float32 or
float64; every written operation rounds once in it. Arguments are trusted, but for the names of kinds; arrays of numbers
have at least one dimension.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

FloatArray = NDArray[Any]  # float32 or float64: the F of the call

BLOCK_REPLICATES = 1024
SUM_SCALE = 2.0**-10  # of sums that overflow
SEGMENT = 128  # steps whose iterates are added in F before they join the float64 sum
ACCUMULATORS = 32
DRAWS_PER_CALL = {"rademacher": (128, 128), "uniform": (4, 2), "gaussian": (4, 2)}  # float32, float64
LN2 = 0.6931471805599453094172321
LOG2E = 1.4426950408889634073599247
SQRT3 = 1.7320508075688772935274463


_TABLE = """
LOG32 -0x1p+1 0x1.fffff8p-1 -0x1.555792p-1 0x1.00057p-1 -0x1.98b74ap-2 0x1.5332a8p-2 -0x1.3238fp-2 0x1.263b86p-2
      -0x1.65444p-3;
SIN32 0x1.921fb6p-1 -0x1.4abbbap-4 0x1.465e92p-9 -0x1.2d9302p-15;
COS32 0x1.fffffep-1 -0x1.3bd38cp-2 0x1.03ae64p-6 -0x1.4e35dap-12;
LOG64 0x1.5555555555555p-1 0x1.9999999999dffp-2 0x1.249249242b40ap-2 0x1.c71c7258fe4fep-3 0x1.745cde3571749p-3
      0x1.3b20ab96b4f24p-3 0x1.0f5cc86e14f77p-3 0x1.0f6316f892e4p-3;
SIN64 0x1.921fb54442d18p-1 -0x1.4abbce625be53p-4 0x1.466bc6775aad9p-9 -0x1.32d2cce62abbdp-15 0x1.50783485c2d4dp-22
      -0x1.e3074b42c1ef1p-30 0x1.e8eec79b198d9p-38 -0x1.6c58cbe4a892p-46;
COS64 0x1p+0 -0x1.3bd3cc9be45dep-2 0x1.03c1f081b5ac4p-6 -0x1.55d3c7e3cbfecp-12 0x1.e1f5068919874p-19
      -0x1.a6d1f29ef910fp-26 0x1.f9d3851e6530cp-34 -0x1.b6dd536ed9f6bp-42 0x1.1e240ce2c5267p-50;
EXP64 0x1.62e42fefa39efp-1 0x1.ebfbdff82c58fp-3 0x1.c6b08d704a0d1p-5 0x1.3b2ab6fba4e81p-7 0x1.5d87fe78a22dap-10
      0x1.430912f868d6ap-13 0x1.ffcbfc75e1fbap-17 0x1.62c0224da096fp-20 0x1.b524db563e50fp-24 0x1.e4cee84cf9495p-28
      0x1.ea041dd50d78ep-32 0x1.c4da8a5835e4fp-36
"""
COEFFICIENTS = {name: [float.fromhex(c) for c in row] for name, *row in map(str.split, _TABLE.split(";"))}


# --- words ------------------------------------------------------------------------------------------------------------


def philox4x32_10(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Philox4x32-10 (Salmon et al., SC 2011): uint32 words `(..., 4)` for counters `(..., 4)` and keys `(..., 2)`.

    Ten rounds of `(c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))`; the key grows
    by `(W0, W1)` after each. Integers are taken modulo 2^32.

    >>> [hex(word) for word in philox4x32_10([0, 0, 0, 0], [0, 0])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = (np.asarray(counter).astype(np.uint64)[..., i] & low for i in range(4))
    k0, k1 = (np.asarray(key).astype(np.uint64)[..., i] & low for i in range(2))
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


# --- a fused multiply-add ---------------------------------------------------------------------------------------------


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


# --- elementary functions ---------------------------------------------------------------------------------------------


def _horner(name: str, x: FloatArray) -> FloatArray:
    """`H(c, x)`: p = c[n]; for i = n-1 .. 0: p = fma(p, x, c[i])."""
    *rest, last = COEFFICIENTS[name]
    p = np.full_like(x, last)
    for c in reversed(rest):
        p = fma(p, x, c)
    return p


def _split(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`(e, m)` with `x = m * 2^e` and m in [sqrt(1/2), sqrt(2)), for positive normal x; both in the dtype of x."""
    if x.dtype == np.float32:
        integer, bits, root = np.int32, 23, 0x3F3504F3
    else:
        integer, bits, root = np.int64, 52, 0x3FE6A09E667F3BCD
    with np.errstate(over="ignore"):  # integers wrap
        j = x.view(integer) - integer(root)
    return (j >> integer(bits)).astype(x.dtype), ((j & integer(2**bits - 1)) + integer(root)).view(x.dtype)


def log_mantissa(m: FloatArray) -> FloatArray:
    """`ln m` for float64 m in [sqrt(1/2), sqrt(2)): with f = m-1, s = f/(f+2), z = s^2: `fma(s z, H(LOG64, z), 2s)`.

    >>> log_mantissa(np.array([1.0, 1.25])).tolist()
    [0.0, 0.22314355131420974]
    """
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    return fma(s * z, _horner("LOG64", z), s + s)


def minus_two_log(u: FloatArray) -> FloatArray:
    """`-2 ln u` for positive normal u, in the dtype of u: `fma(e, -2 ln 2, -2 ln m)`.

    >>> minus_two_log(np.array([1.0, 0.25])).tolist(), minus_two_log(np.float32([0.25])).dtype
    ([-0.0, 2.772588722239781], dtype('float32'))
    """
    e, m = _split(u)
    if u.dtype == np.float32:
        f = m - np.float32(1)
        minus_two_log_m = f * _horner("LOG32", f)
    else:
        minus_two_log_m = -2.0 * log_mantissa(m)
    return fma(e, -2.0 * LN2, minus_two_log_m)


def sincos_octant(t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`(sin(pi t / 4), cos(pi t / 4))` for t in [-1, 1], in the dtype of t: `t H(SIN, t^2)` and `H(COS, t^2)`.

    >>> [x.tolist() for x in sincos_octant(np.array([0.0, 2 / 3]))]
    [[0.0, 0.5], [1.0, 0.8660254037844387]]
    """
    z = t * t
    bits = "32" if t.dtype == np.float32 else "64"
    return t * _horner("SIN" + bits, z), _horner("COS" + bits, z)


def log2(x: FloatArray) -> FloatArray:
    """`log2 x` for positive normal float64 x = m 2^e: `fma(ln m, 1/ln 2, e)`.

    >>> log2(np.array([8.0, 0.1])).tolist()
    [3.0, -3.321928094887362]
    """
    e, m = _split(x)
    return fma(log_mantissa(m), LOG2E, e)


def exp2(x: FloatArray) -> FloatArray:
    """`2^x` for float64 x < 1023.5: n is x rounded, r = x - n, `fma(r, H(EXP64, r), 1) 2^n`; 0 where n < -1021.

    >>> exp2(np.array([-1.0, 0.5, -1080.0])).tolist()
    [0.5, 1.414213562373095, 0.0]
    """
    n = (x + 1.5 * 2.0**52) - 1.5 * 2.0**52
    zero = n < -1021
    n, r = np.where(zero, 0.0, n), np.where(zero, 0.0, x) - np.where(zero, 0.0, n)
    y = fma(r, _horner("EXP64", r), 1.0)
    scaled = (y.view(np.int64) + (n.astype(np.int64) << np.int64(52))).view(np.float64)
    return np.where(zero, 0.0, scaled)


# --- draws ------------------------------------------------------------------------------------------------------------


def _per_call(noise: str, dtype: Any) -> int:
    if noise not in DRAWS_PER_CALL:
        raise ValueError(f"noise must be one of {sorted(DRAWS_PER_CALL)}, got {noise!r}")
    return DRAWS_PER_CALL[noise][dtype == np.float64]


def _call_draws(noise: str, words: NDArray[np.uint32], dtype: Any) -> FloatArray:
    """The draws of one call: words of shape (..., 4) to an array of shape (draws per call, ...)."""
    F, single, w = np.dtype(dtype).type, dtype == np.float32, [words[..., i] for i in range(4)]
    if noise == "rademacher":
        bits = [(w[j // 32] >> np.uint32(31 - j % 32)) & np.uint32(1) for j in range(128)]
        return np.asarray(np.where(np.stack(bits) == 1, F(-1), F(1)))
    wide = [w[2 * k + 1].astype(np.uint64) << np.uint64(32) | w[2 * k] for k in range(2)]
    one_to_two = [(np.uint64(0x3FF << 52) | x >> np.uint64(12)).view(np.float64) for x in wide]
    if noise == "uniform":
        if single:
            return np.stack([x.view(np.int32).astype(F) * F(SQRT3 * 2.0**-31) for x in w])
        return np.stack([(x - 1.5) * F(2 * SQRT3) for x in one_to_two])
    pairs = []
    for k in range(2 if single else 1):
        if single:
            u = fma(w[2 * k].astype(F), F(2.0**-32), F(2.0**-33))
            t, b = w[2 * k + 1].view(np.int32).astype(F) * F(2.0**-31), w[2 * k + 1]
        else:
            u = (one_to_two[0] - 1.0) + 2.0**-53
            t, b = (one_to_two[1] - 1.5) * 2.0, w[2]
        r = np.sqrt(minus_two_log(u))
        s, c = sincos_octant(t)
        c = np.where(b & np.uint32(2), -c, c)
        swap = (b & np.uint32(1)) == 1
        pairs += [np.where(swap, r * s, r * c), np.where(swap, r * c, r * s)]
    return np.stack(pairs)


def _draws_of(noise: str, call: int, seed: int, counter: tuple[ArrayLike, int, ArrayLike], dtype: Any) -> FloatArray:
    """The draws of one call of gradient noise (purpose 0) at counter = replicates, stream, coordinates."""
    replicates, stream, coordinates = counter
    words = np.stack(np.broadcast_arrays(replicates, stream, call, coordinates), axis=-1)
    return _call_draws(noise, philox4x32_10(words, [seed % 2**32, seed // 2**32]), dtype)


def draws(
    noise: str,
    *,
    seed: int,
    replicates: ArrayLike,
    first_step: int,
    steps: int,
    stream: int = 0,
    coordinate: int = 0,
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Noise of mean 0 and variance 1: `draws[t, r]` is that of step `first_step + t` for `replicates[r]`.

    `noise` is "rademacher", "uniform" or "gaussian". Draw j of the words of counter `(replicate, stream, call,
    coordinate)` belongs to step `n * call + j`, with n = `DRAWS_PER_CALL[noise]` of the dtype.

    >>> draws("rademacher", seed=1, replicates=[0, 1, 2], first_step=0, steps=2).tolist()
    [[-1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]
    >>> draws("gaussian", seed=1, replicates=[7], first_step=3, steps=2, dtype="float64").round(6).tolist()
    [[-0.178476], [-0.560491]]
    """
    dtype = np.dtype(dtype)
    n, counter = _per_call(noise, dtype), (replicates, stream, coordinate)
    calls = range(first_step // n, (first_step + steps - 1) // n + 1)
    every = np.concatenate([_draws_of(noise, call, seed, counter, dtype) for call in calls])
    return every[first_step % n :][:steps]


# --- schedules --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Schedule:
    """One schedule, by plain names; what `parameter` means depends on `kind`.

    - `kind`: constant, inverse_sqrt, polynomial, linear, cosine, one_minus_sqrt, exponential, step_decay,
      warmup_stable_decay or tabulated
    - `parameter`: degree of a polynomial, timescale_frac of inverse_sqrt (0: one step), final value of exponential,
      factor of step_decay, cooldown_frac of warmup_stable_decay
    - `cooldown`: linear, cosine or one_minus_sqrt, the end of warmup_stable_decay
    - `table`: the values of tabulated, the milestones of step_decay

    >>> Schedule("polynomial", parameter=2.0).warmup_frac
    0.0
    """

    kind: str
    parameter: float = 0.0
    cooldown: str = "linear"
    floor: float = 0.0
    warmup_frac: float = 0.0
    table: Sequence[float] | FloatArray = ()


def _shape(kind: str, u: FloatArray, v: FloatArray) -> FloatArray:
    """The shapes that can also be a cooldown."""
    if kind == "linear":
        return v
    if kind == "one_minus_sqrt":
        return np.asarray(v / (1.0 + np.sqrt(u)))
    if kind == "cosine":
        early = u <= 0.5
        s = sincos_octant(np.where(early, 2.0 * u, 2.0 * v))[0]
        return np.where(early, fma(-s, s, 1.0), s * s)
    raise ValueError(f"kind must name a schedule, got {kind!r}")


def schedule_value(kind: str, u: ArrayLike, v: ArrayLike, horizon: int, **parameters: Any) -> NDArray[np.float64]:
    """The schedule `h(u, v)` in float64 at u = t / horizon, v = (horizon - t) / horizon; 1-D, of the length of u.

    Warmup rises as `u / warmup_frac`; after it the shape of the kind runs over the rest and is lifted to the floor as
    `fma(1 - floor, shape, floor)`. Parameters are those of `Schedule`.

    >>> schedule_value("cosine", [0.0, 0.25, 1.0], [1.0, 0.75, 0.0], 4).round(12).tolist()
    [1.0, 0.853553390593, 0.0]
    >>> schedule_value("linear", [0.05, 0.55], [0.95, 0.45], 20, warmup_frac=0.1).tolist()
    [0.5, 0.5]
    """
    s = Schedule(kind, **parameters)
    parameter, y = float(s.parameter), np.asarray(s.table, np.float64)
    u, v = np.atleast_1d(np.asarray(u, np.float64)), np.atleast_1d(np.asarray(v, np.float64))
    if kind == "tabulated":
        p = u * (len(y) - 1)
        i = np.minimum(np.floor(p), len(y) - 2).astype(np.int64)
        return fma(p - i, y[i + 1] - y[i], y[i])
    with np.errstate(all="ignore"):  # what the branch not taken gives is thrown away
        warm, rest = u < s.warmup_frac, 1.0 - s.warmup_frac
        late_u, late_v = ((u - s.warmup_frac) / rest, v / rest) if s.warmup_frac > 0 else (u, v)
        if kind == "constant":
            c = np.ones_like(u)
        elif kind == "inverse_sqrt":
            k = 1.0 / parameter if parameter else float(horizon)
            c = 1.0 / np.sqrt(fma(late_u, k, 1.0))
        elif kind == "polynomial" and (2 * parameter).is_integer() and 2 * parameter <= 16:
            c = np.ones_like(u) if parameter.is_integer() else np.sqrt(late_v)
            for _ in range(int(parameter)):
                c = c * late_v
        elif kind == "polynomial":
            c = np.where(late_v == 0, 0.0, exp2(parameter * log2(np.where(late_v == 0, 1.0, late_v))))
        elif kind == "exponential":
            c = exp2(late_u * log2(np.array([parameter])))
        elif kind == "step_decay":
            c = np.ones_like(u)
            for milestone in y:
                c = np.where(milestone <= u, c * parameter, c)
        elif kind == "warmup_stable_decay":
            c = np.where(v >= parameter, 1.0, _shape(s.cooldown, 1.0 - v / parameter, v / parameter))
        else:
            c = _shape(kind, late_u, late_v)
        h = c if s.floor == 0 else fma(1.0 - s.floor, c, s.floor)
        return np.where(warm, u / s.warmup_frac, h)


# --- trajectories -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem of dimension `len(x0)`; arrays have that length or 1, in float64.

    - `kind`, `weight`: absolute_value `sum a |x|`, quadratic `sum lambda x^2 / 2`, huber (slope a, parabola within
      `huber_width`)
    - `noise`: none, rademacher, gaussian or uniform, times `noise_std`, added to the gradient
    - `projection`: none, box `[lower, upper]` or ball of `radius` about the origin
    - `minimum`: f* over that set

    >>> Problem("quadratic", weight=[1.0, 2.0], x0=[1.0, -1.0]).noise
    'none'
    """

    kind: str
    weight: ArrayLike
    x0: ArrayLike
    huber_width: float = 1.0
    noise: str = "none"
    noise_std: ArrayLike = 0.0
    projection: str = "none"
    lower: ArrayLike = -math.inf
    upper: ArrayLike = math.inf
    radius: float = math.inf
    minimum: float = 0.0


def _column(problem: Problem, name: str, dtype: Any) -> FloatArray:
    """A parameter, rounded once to dtype, of shape `(dimension, 1)`."""
    value = np.asarray(getattr(problem, name), np.float64).reshape(-1, 1)
    return np.broadcast_to(value, (np.size(problem.x0), 1)).astype(dtype)


def _bend(problem: Problem, dtype: Any) -> FloatArray:
    """Huber's curvature `c = F(a / delta)`: divided in float64, then rounded."""
    return np.asarray((_column(problem, "weight", np.float64) / problem.huber_width).astype(dtype))


def _lesser(hi: FloatArray, y: FloatArray) -> FloatArray:
    return np.where(hi < y, hi, y)


def _greater(lo: FloatArray, y: FloatArray) -> FloatArray:
    return np.where(lo > y, lo, y)


def _sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """`sum_i a[i] b[i]` over the first axis, in 32 interleaved accumulators."""
    acc = np.zeros((ACCUMULATORS, *a.shape[1:]), a.dtype)
    for i in range(len(a)):
        acc[i % ACCUMULATORS] = fma(a[i], b[i], acc[i % ACCUMULATORS])
    return _fold(acc, axis=0)


def _fold(s: FloatArray, axis: int) -> FloatArray:
    """The sum along an axis of length 2^k: `s[i] += s[i + w]` for w = 2^(k-1), ..., 2, 1."""
    s = np.moveaxis(s, axis, 0)
    while len(s) > 1:
        s = s[: len(s) // 2] + s[len(s) // 2 :]
    return np.asarray(s[0])


def suboptimality(problem: Problem, x: FloatArray) -> FloatArray:
    """`f(x) - f*` in the dtype of x, for x of shape `(dimension, replicates)`: shape `(replicates,)`.

    >>> suboptimality(Problem("quadratic", weight=[1.0, 2.0], x0=[0.0, 0.0]), np.array([[2.0], [3.0]])).tolist()
    [11.0]
    """
    F, weight, size = x.dtype.type, np.broadcast_to(_column(problem, "weight", x.dtype), x.shape), abs(x)
    if problem.kind == "absolute_value":
        f = _sum(weight, size)
    elif problem.kind == "quadratic":
        f = F(0.5) * _sum(weight * x, x)
    elif problem.kind == "huber":
        m = _lesser(F(problem.huber_width), size)
        f = _sum(_bend(problem, x.dtype) * m, fma(F(-0.5), m, size))
    else:
        raise ValueError(f"kind must be 'absolute_value', 'quadratic' or 'huber', got {problem.kind!r}")
    return _greater(F(0), f - F(problem.minimum))


def _gradient(problem: Problem, x: FloatArray) -> FloatArray:
    weight = _column(problem, "weight", x.dtype)
    if problem.kind == "absolute_value":
        return np.asarray(np.sign(x) * weight)
    if problem.kind == "quadratic":
        return np.asarray(weight * x)
    return _lesser(weight, _greater(-weight, _bend(problem, x.dtype) * x))


def _project(problem: Problem, y: FloatArray) -> FloatArray:
    if problem.projection == "none":
        return y
    if problem.projection == "box":
        return _lesser(_column(problem, "upper", y.dtype), _greater(_column(problem, "lower", y.dtype), y))
    if problem.projection == "ball":
        F, R, q = y.dtype.type, problem.radius, _sum(y, y)
        factor = np.where(q < F(np.inf), F(R) / np.sqrt(q), F(np.nan))
        return np.where(q > F(R * R), y * factor, y)
    raise ValueError(f"projection must be 'none', 'box' or 'ball', got {problem.projection!r}")


def simulate(
    *,
    problem: Problem,
    schedule: Schedule,
    base_lr: float,
    horizon: int,
    replicates: ArrayLike,
    seed: int,
    stream: int = 0,
    record_at: Sequence[int] | None = None,
    iterate: str = "last",
    tail_frac: float = 0.5,
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Projected SGD `x = proj(x - lr_t (f'(x) + noise_std draw_t))`, `lr_t = F(base_lr h(t / horizon))`.

    `out[k, r]` is the suboptimality, in dtype, of replicate number `replicates[r]` after `record_at[k]` steps (default:
    the horizon), of the last iterate, of the average of iterates 1..k, or of that of the last `ceil(tail_frac k)`
    ("last", "average", "tail_average").

    >>> call = dict(problem=Problem("absolute_value", weight=1.0, x0=[1.0]), schedule=Schedule("constant"))
    >>> simulate(base_lr=0.25, horizon=4, replicates=[0, 1], seed=0, record_at=[0, 1, 4], **call).tolist()
    [[1.0, 1.0], [0.75, 0.75], [0.0, 0.0]]
    """
    dtype = np.dtype(dtype)
    numbers = np.asarray(replicates, np.int64)
    records = (horizon,) if record_at is None else tuple(record_at)
    if iterate not in ("last", "average", "tail_average"):
        raise ValueError(f"iterate must be 'last', 'average' or 'tail_average', got {iterate!r}")
    length = {k: k if iterate == "average" else max(1, math.ceil(tail_frac * k)) for k in records}
    steps = np.arange(horizon, dtype=np.int64)
    u, v = steps / horizon, (horizon - steps) / horizon
    lr = (base_lr * schedule_value(horizon=horizon, u=u, v=v, **vars(schedule))).astype(dtype)
    counter = numbers, stream, np.arange(np.size(problem.x0))[:, None]
    per_call = 1 if problem.noise == "none" else _per_call(problem.noise, dtype)
    std = _column(problem, "noise_std", dtype)
    xi = np.empty(0)

    x = np.repeat(_column(problem, "x0", dtype), len(numbers), axis=1)
    finished, segment = np.zeros(x.shape, np.float64), np.zeros(x.shape, dtype)
    sums = {0: finished}  # P(k) where a record will ask for it
    starts = {k - length[k] for k in records}
    out = np.empty((len(records), len(numbers)), dtype)
    with np.errstate(all="ignore"):  # a diverging trajectory is no accident
        for k in range(max(records, default=0) + 1):
            if k > 0:
                t = k - 1
                g = _gradient(problem, x)
                if problem.noise != "none":
                    if t % per_call == 0:
                        xi = _draws_of(problem.noise, t // per_call, seed, counter, dtype)
                    g = fma(std, xi[t % per_call], g)
                x = _project(problem, fma(-lr[t], g, x))
                segment = segment + x
                if k % SEGMENT == 0:
                    finished, segment = finished + segment, np.zeros(x.shape, dtype)
                if k in starts:
                    sums[k] = finished + segment
            if k in records:
                point = x
                if iterate != "last" and k > 0:
                    point = ((finished + segment - sums[k - length[k]]) / length[k]).astype(dtype)
                out[records.index(k)] = suboptimality(problem, point)
    return out


# --- statistics -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a set of replicates; every field has the leading shape of the values (for example records).

    `count` of the finite values and of the `diverged` others, and of the finite ones `mean`, `m2 = sum (value -
    mean)^2`, `minimum` and `maximum`. Without any: mean and m2 are 0, minimum inf, maximum -inf.

    >>> moments(np.array([1.0, 3.0, np.nan]), 0).diverged.item()
    1
    """

    count: NDArray[np.int64]
    diverged: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]


def block_moments(values: FloatArray, first_replicate: int) -> Moments:
    """Moments over the last axis, replicates `first_replicate ..`, all of one block of 1024 by number.

    `mean = fold(values) / count`, `m2 = fold((value - mean)^2)`: 1024 slots, 0 where absent or not finite, added as
    `s[i] += s[i + w]` for w = 512, ..., 1. Where that sum overflows, values are added times 2^-10.

    >>> block = block_moments(np.array([1.0, 2.0, np.inf, 6.0]), 1020)
    >>> block.count.item(), block.diverged.item(), block.mean.item(), block.m2.item()
    (3, 1, 3.0, 14.0)
    """
    n, first_slot = values.shape[-1], first_replicate % BLOCK_REPLICATES
    if first_slot + n > BLOCK_REPLICATES:
        raise ValueError(f"values must lie in one block, got {n} from replicate {first_replicate}")
    slots = np.full((*values.shape[:-1], BLOCK_REPLICATES), np.nan)
    slots[..., first_slot : first_slot + n] = values
    finite = np.isfinite(slots)
    count = np.asarray(finite.sum(axis=-1), np.int64)
    minimum, maximum = np.where(finite, slots, np.inf).min(axis=-1), np.where(finite, slots, -np.inf).max(axis=-1)
    with np.errstate(all="ignore"):
        present = np.where(finite, slots, 0.0)
        total = _fold(present, axis=-1)
        scaled = np.clip(_fold(present * SUM_SCALE, axis=-1) / count, minimum * SUM_SCALE, maximum * SUM_SCALE)
        mean = np.where(np.isfinite(total), total / count, scaled / SUM_SCALE)
        mean = np.where(count > 0, mean, 0.0)
        deviation = np.where(finite, slots - mean[..., None], 0.0)
        m2 = _fold(deviation * deviation, axis=-1)
    return Moments(count, np.asarray(n - count), mean, np.asarray(m2), np.asarray(minimum), np.asarray(maximum))


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union, a to the left of b; a side without finite values changes neither mean nor m2.

    With `d = mean_b - mean_a` and `n = n_a + n_b`: `mean_a + d (n_b / n)` and `(m2_a + m2_b) + d^2 (n_a (n_b / n))`;
    where d^2 overflows, `(d (n_a (n_b / n))) d` for the last term.

    >>> both = merge(block_moments(np.array([1.0, 2.0]), 0), block_moments(np.array([6.0]), 2))
    >>> both.count.item(), both.mean.item(), both.m2.item()
    (3, 3.0, 14.0)
    """
    count = a.count + b.count
    with np.errstate(all="ignore"):
        share, delta = b.count / count, b.mean - a.mean
        mean = a.mean + delta * share
        weight, square = a.count * share, delta * delta
        m2 = (a.m2 + b.m2) + np.where(np.isfinite(square), square * weight, (delta * weight) * delta)
    empty = [b.count == 0, a.count == 0]
    return Moments(
        count=np.asarray(count),
        diverged=np.asarray(a.diverged + b.diverged),
        mean=np.select(empty, [a.mean, b.mean], mean),
        m2=np.select(empty, [a.m2, b.m2], m2),
        minimum=np.minimum(a.minimum, b.minimum),
        maximum=np.maximum(a.maximum, b.maximum),
    )


def nodes(first: int, stop: int) -> list[tuple[int, int]]:
    """The maximal dyadic nodes of the replicates first..stop-1, from left to right, as pairs `(first, stop)`.

    A node covers `2^k` whole blocks and begins at a multiple of its length; a partly covered block is one of its own.

    >>> nodes(1000, 5 * 1024 + 1)
    [(1000, 1024), (1024, 2048), (2048, 4096), (4096, 5120), (5120, 5121)]
    """
    result = []
    while first < stop:
        size = BLOCK_REPLICATES
        end = min(stop, first - first % size + size)
        while first % (2 * size) == 0 and first + 2 * size <= stop:
            size *= 2
            end = first + size
        result.append((first, end))
        first = end
    return result


def moments(values: FloatArray, first_replicate: int) -> Moments:
    """Moments over the last axis, replicates `first_replicate ..`: nodes are trees of blocks, merged left to right.

    >>> two = moments(np.array([[0.0] * 2000 + [4.0] * 2000, [1.0] * 4000]), 500)
    >>> two.count.tolist(), two.mean.tolist(), two.m2.tolist()
    ([4000, 4000], [2.0, 1.0], [16000.0, 0.0])
    """

    def node(first: int, stop: int) -> Moments:
        if stop - first <= BLOCK_REPLICATES:
            return block_moments(values[..., first - first_replicate : stop - first_replicate], first)
        middle = (first + stop) // 2
        return merge(node(first, middle), node(middle, stop))

    ranges = nodes(first_replicate, first_replicate + values.shape[-1])
    if not ranges:
        return block_moments(values, first_replicate)
    return functools.reduce(merge, (node(first, stop) for first, stop in ranges))
