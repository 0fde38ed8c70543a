"""Elementary functions, of docs/stream.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arithmetic import FloatArray, fma, greater, lesser

LN2 = 0.6931471805599453094172321
LOG2E = 1.4426950408889634073599247

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
      0x1.ea041dd50d78ep-32 0x1.c4da8a5835e4fp-36;
EXP32 0x1.62e432p-1 0x1.ebfbe6p-3 0x1.c6ada8p-5 0x1.3b21cap-7 0x1.5fb504p-10 0x1.4b107ep-13
"""
COEFFICIENTS = {name: [float.fromhex(c) for c in row] for name, *row in map(str.split, _TABLE.split(";"))}
LOG2E_PARTS = {
    "float32": ("0x1.715476p+0", "0x1.4ae0cp-26"),
    "float64": ("0x1.71547652b82fep+0", "0x1.777d0ffda0d24p-56"),
}
EXPONENTS = {"float32": (-86.0, 88.0), "float64": (-700.0, 700.0)}


def horner(coefficients: Sequence[float], x: FloatArray) -> FloatArray:
    """`H(c, x)`: p = c[n]; for i = n-1 .. 0: p = fma(p, x, c[i]).

    >>> horner([3.0, 2.0], np.array([10.0])).tolist()
    [23.0]
    """
    *rest, last = coefficients
    p = np.full_like(x, last)
    for c in reversed(rest):
        p = fma(p, x, c)
    return p


def _horner(name: str, x: FloatArray) -> FloatArray:
    return horner(COEFFICIENTS[name], x)


def split(x: FloatArray) -> tuple[FloatArray, FloatArray]:
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
    e, m = split(u)
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
    e, m = split(x)
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


def exp(x: FloatArray) -> FloatArray:
    """`e^y`, y = x brought into [-86, 88] ([-700, 700] in float64): n = y / ln 2 rounded, `2^(y / ln 2 - n) 2^n`.

    >>> exp(np.array([0.0, -1e9])).tolist(), exp(np.float32([1.0])).tolist()
    ([1.0, 9.85967654375977e-305], [2.7182817459106445])
    """
    name, F = x.dtype.name, x.dtype.type
    low, high = (F(bound) for bound in EXPONENTS[name])
    major, minor = (F(float.fromhex(c)) for c in LOG2E_PARTS[name])
    bits, integer, magic = (23, np.int32, F(1.5 * 2**23)) if name == "float32" else (52, np.int64, F(1.5 * 2**52))
    y = lesser(high, greater(low, x))
    nan = np.isnan(y)
    y = np.where(nan, F(0), y)
    n = fma(y, major, magic) - magic
    r = fma(y, minor, fma(y, major, -n))
    mantissa = fma(r, _horner("EXP" + name[-2:], r), F(1))
    scaled = (mantissa.view(integer) + (n.astype(integer) << integer(bits))).view(x.dtype)
    return np.asarray(np.where(nan, F(np.nan), scaled))


def log(x: FloatArray) -> FloatArray:
    """`ln x` for positive normal x: `-minus_two_log(x) / 2`."""
    return np.asarray(x.dtype.type(-0.5) * minus_two_log(x))


def activated(kind: str, z: FloatArray) -> FloatArray:
    """`max(0, z)` or `tanh z`."""
    one, two = z.dtype.type(1), z.dtype.type(2)
    if kind == "relu":
        return greater(z.dtype.type(0), z)
    if kind == "tanh":
        return np.asarray(one - two / (exp(z + z) + one))
    raise ValueError(f"activation must be 'relu' or 'tanh', got {kind!r}")


def through(kind: str, a: FloatArray, delta: FloatArray) -> FloatArray:
    """`delta` times the derivative of the activation whose value is a."""
    zero, one = a.dtype.type(0), a.dtype.type(1)
    if kind == "relu":
        return np.where(a > 0, delta, zero)
    if kind == "tanh":
        return np.asarray(fma(-a, a, one) * delta)
    raise ValueError(f"activation must be 'relu' or 'tanh', got {kind!r}")
