"""Functions, of docs/stream.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arithmetic import FloatArray, fma, greater, lesser
from .elementary import COEFFICIENTS, LOG2E_PARTS, horner, log, split

_TABLE = """
SINE32 -0x1.555544p-3 0x1.1106bap-7 -0x1.9915bep-13;
COSINE32 0x1.55554ap-5 -0x1.6c0c08p-10 0x1.99d8b4p-16;
EXPM32 0x1p-1 0x1.555554p-3 0x1.5554f8p-5 0x1.1112dep-7 0x1.6d3a38p-10 0x1.9e655cp-13;
ARTANH32 0x1.27770ep-1 0x1.a5bbf4p-2 0x1.59ef08p-2;
SINE64 -0x1.5555555555546p-3 0x1.111111110f3efp-7 -0x1.a01a019b7d986p-13 0x1.71de34f5a6486p-19 -0x1.ae5dff4fc6d1p-26
       0x1.5d74e7fe95fdap-33;
COSINE64 0x1.5555555555549p-5 -0x1.6c16c16c14ba1p-10 0x1.a01a019c1d83ep-16 -0x1.27e4f79e1ac42p-22 0x1.1ee9a24b9c2dfp-29
         -0x1.8f88654d093f5p-37;
EXPM64 0x1p-1 0x1.5555555555559p-3 0x1.5555555555558p-5 0x1.111111110f6e7p-7 0x1.6c16c16c16b1cp-10
       0x1.a01a01afb208dp-13 0x1.a01a019ea12e2p-16 0x1.71ddf8f767d66p-19 0x1.27e4f5c9812acp-22 0x1.af5d825613142p-26
       0x1.1f4043c36652p-29;
ARTANH64 0x1.2776c50ef9bfcp-1 0x1.a61762a7aede1p-2 0x1.484b13d6ac957p-2 0x1.0c9a853b2bfccp-2 0x1.c68ee93bc2d3ap-3
         0x1.8a09bdfed3f24p-3 0x1.58fc41856167fp-3 0x1.61f5c097b4944p-3;
HALF_PI32 0x1.921fb6p+0 -0x1.777a5cp-25 -0x1.ee59dap-50;
HALF_PI64 0x1.921fb54442d18p+0 0x1.1a62633145c07p-54 -0x1.f1976b7ed8fbcp-110;
LN32 0x1.62e43p-1 -0x1.05c61p-29;
LN64 0x1.62e42fefa39efp-1 0x1.abc9e3b39803fp-56;
TWO_LOG2E32 0x1.715476p+1 0x1.4ae0cp-25;
TWO_LOG2E64 0x1.71547652b82fep+1 0x1.777d0ffda0d24p-55;
THIRD32 0x1.ec709ep-1 -0x1.e2fe02p-28;
THIRD64 0x1.ec709dc3a03fdp-1 0x1.d27f05548af0cp-55;
ARCTAN32 -0x1.55553ep-2 0x1.9991e4p-3 -0x1.242086p-3 0x1.c08cd4p-4 -0x1.580fd6p-4 0x1.da6348p-5 -0x1.fe53cap-6
       0x1.6590f8p-7 -0x1.d6fa52p-10;
ARCTAN64 -0x1.5555555555526p-2 0x1.99999999955b1p-3 -0x1.249249237ed68p-3 0x1.c71c717f96209p-4 -0x1.745d11a8f2893p-4
       0x1.3b13664cb0405p-4 -0x1.110e4e6776e0bp-4 0x1.e1bb83f3b3b1dp-5 -0x1.ae5dd726af107p-5 0x1.82d8d0b69b13ap-5
       -0x1.599eecc347c66p-5 0x1.2c24c5413a10dp-5 -0x1.e9dea4ca6d061p-6 0x1.681f76b1065bep-6 -0x1.c761c14847f37p-7
       0x1.d7860cd40a9c8p-8 -0x1.7a14501eedd12p-9 0x1.b3dc7be1df61ap-11 -0x1.3f2fb45ab1c42p-13 0x1.bc02837bb39c8p-17;
ERF32 0x1.06eba8p-3 -0x1.81273ep-2 0x1.ce2ce6p-4 -0x1.b7f71ap-6 0x1.53f224p-8 -0x1.a3515ep-11 0x1.4771fep-14;
ERF64 0x1.06eba8214db68p-3 -0x1.812746b03799dp-2 0x1.ce2f21a03f8b9p-4 -0x1.b82ce311a97d5p-6 0x1.565bcceeda342p-8
       -0x1.c02daeb702bcep-11 0x1.f9a296b44a82dp-14 -0x1.f4c82efe14621p-17 0x1.b96b572f64e17p-20
       -0x1.5b8c6a7854dbfp-23 0x1.d3dd94e21ac2ap-27 -0x1.a23db4340166dp-31;
ERFC32 0x1.661e4ep-12 0x1.2088eap+0 0x1.46baf0p-1 0x1.a65314p-4 -0x1.65caf8p-6 0x1.8259a6p-9 -0x1.86dacap-13;
ERFC64 0x1.0df399d6a5c96p-21 0x1.20dd1fd50ccebp+0 0x1.45f627499eacdp-1 0x1.a4ac5d82a7192p-4 -0x1.37229c3863783p-6
       -0x1.ae90a198eb9eap-12 0x1.f640215c3f5dap-10 -0x1.9408ef74989a2p-11 0x1.1b360f4d5fccap-13 0x1.540e0b7363646p-16
       -0x1.7ee9096b04f46p-16 0x1.22d3baf29d428p-17 -0x1.1ea5c02a0fa79p-19 0x1.90d37e3ecfe42p-22
       -0x1.8ec105f9f91c1p-25 0x1.0e56d4c964ce6p-28 -0x1.c1a250491ed45p-33 0x1.5ac17c91ebad9p-38
"""
CONSTANTS = {name: [float.fromhex(c) for c in row] for name, *row in map(str.split, _TABLE.split(";"))}
MAGIC = {"float32": 1.5 * 2.0**23, "float64": 1.5 * 2.0**52}
NORMAL_EXPONENTS = {  # of exp: from the first its result is a normal number, up to the second it is finite
    "float32": ("-0x1.5d589ep+6", "0x1.62e42ep+6"),
    "float64": ("-0x1.6232bdd7abcd2p+9", "0x1.62e42fefa39efp+9"),
}
SUBNORMAL_SCALE = {"float32": 24, "float64": 54}
POWERS = {"float32": (-151.0, 128.0, 64), "float64": (-1076.0, 1024.0, 512)}  # zero below, inf above, scale
ALL_WHOLE = {"float32": 2.0**23, "float64": 2.0**52}  # from there on numbers have no fractions
ERF_IS_ONE = {"float32": 4.0, "float64": 6.0}
LARGEST_ANGLE = {"float32": 2.0**18, "float64": 2.0**40}


def _constants(name: str, x: FloatArray) -> list[Any]:
    """Those of the dtype of x, in it."""
    return [x.dtype.type(c) for c in CONSTANTS[name + x.dtype.name[-2:]]]


def _polynomial(name: str, x: FloatArray) -> FloatArray:
    return horner(_constants(name, x), x)


def _scaled(y: FloatArray, n: FloatArray) -> FloatArray:
    """`real(bits(y) + (n << M))`: y times 2^n, where both are normal numbers; n is a whole number."""
    integer, bits = (np.int32, 23) if y.dtype == np.float32 else (np.int64, 52)
    return np.asarray((y.view(integer) + (n.astype(integer) << integer(bits))).view(y.dtype))


def _normalised(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`(x, 0)`, or `(x 2^k, k)` for subnormal x, k = 24 in float32 and 54 in float64."""
    k = SUBNORMAL_SCALE[x.dtype.name]
    subnormal = x < np.finfo(x.dtype).smallest_normal
    F = x.dtype.type
    return x * np.where(subnormal, F(2.0**k), F(1)), np.where(subnormal, F(k), F(0))


def exponential(x: FloatArray) -> FloatArray:
    """`e^x`: as `exp` of "Elementary functions" without its bounds; inf where it overflows, 0 below the normal numbers.

    >>> exponential(np.array([0.0, 1.0, 710.0, -709.0, np.inf, -np.inf, np.nan])).tolist()
    [1.0, 2.718281828459045, inf, 0.0, inf, 0.0, nan]
    """
    F = x.dtype.type
    low, high = (F(float.fromhex(bound)) for bound in NORMAL_EXPONENTS[x.dtype.name])
    major, minor = (F(float.fromhex(c)) for c in LOG2E_PARTS[x.dtype.name])
    magic = F(MAGIC[x.dtype.name])
    inside = (low <= x) & (x <= high)
    y = np.where(inside, x, F(0))
    n = fma(y, major, magic) - magic
    r = fma(y, minor, fma(y, major, -n))
    e = _scaled(fma(r, horner(COEFFICIENTS["EXP" + x.dtype.name[-2:]], r), F(1)), n)
    return np.where(inside, e, np.where(x > high, F(np.inf), np.where(x < low, F(0), F(np.nan))))


def logarithm(x: FloatArray) -> FloatArray:
    """`ln x`: `-minus_two_log(x) / 2`, of subnormal x that of `x 2^k` less `k ln 2`; -inf at ±0, NaN below.

    >>> logarithm(np.array([1.0, np.e, 5e-324, 0.0, -1.0, np.inf])).tolist()
    [0.0, 1.0, -744.4400719213812, -inf, nan, inf]
    """
    F = x.dtype.type
    inside = (x > 0) & (x < np.inf)
    y, k = _normalised(np.where(inside, x, F(1)))
    value = log(y) - np.where(k > 0, F(SUBNORMAL_SCALE[x.dtype.name] * math.log(2.0)), F(0))
    return np.where(inside, value, np.where(x > 0, x, np.where(x == 0, F(-np.inf), F(np.nan))))


def _sine_cosine(a: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sine and cosine of a in [0, bound] but for their signs, exchanged where n is odd, and n, a / (pi / 2) rounded.

    `r = a - n pi/2` with pi/2 in three parts; `fma(r z, H(SINE, z), r)`, `fma(z z, H(COSINE, z), fma(-1/2, z, 1))`.
    """
    F = a.dtype.type
    magic = F(MAGIC[a.dtype.name])
    n = fma(a, F(2 / math.pi), magic) - magic
    r = a
    for part in _constants("HALF_PI", a):
        r = fma(-n, part, r)
    z = r * r
    s = fma(r * z, _polynomial("SINE", z), r)
    c = fma(z * z, _polynomial("COSINE", z), fma(F(-0.5), z, F(1)))
    odd = n % 2 == 1
    return np.where(odd, c, s), np.where(odd, s, c), n


def _angle(x: FloatArray) -> tuple[FloatArray, Any]:
    """`(|x|, True)`, or `(0, False)` where that is beyond what sine and cosine take."""
    inside = abs(x) <= LARGEST_ANGLE[x.dtype.name]
    return np.where(inside, abs(x), x.dtype.type(0)), inside


def sine(x: FloatArray) -> FloatArray:
    """`sin x`, that of |x| with the sign of x; NaN where |x| > 2^18 (float64: 2^40).

    >>> sine(np.array([0.0, 1.0, -1.0, np.pi, 2.0**41])).tolist()
    [0.0, 0.8414709848078965, -0.8414709848078965, 1.2246467991473532e-16, nan]
    """
    a, inside = _angle(x)
    s, _, n = _sine_cosine(a)
    turned = np.where((n % 4 >= 2) != np.signbit(x), -s, s)
    return np.where(inside, turned, x.dtype.type(np.nan))


def cosine(x: FloatArray) -> FloatArray:
    """`cos x`, that of |x|; NaN where |x| > 2^18 (float64: 2^40).

    >>> cosine(np.array([0.0, 1.0, np.pi, np.inf])).tolist()
    [1.0, 0.5403023058681398, -1.0, nan]
    """
    a, inside = _angle(x)
    _, c, n = _sine_cosine(a)
    turned = np.where((n + x.dtype.type(1)) % 4 >= 2, -c, c)
    return np.where(inside, turned, x.dtype.type(np.nan))


def hyperbolic_tangent(x: FloatArray) -> FloatArray:
    """`tanh x`: with `E = e^y - 1, y = 2 min(20, |x|)`, `E / (E + 2)` if E < 2, else `1 - 2 / (E + 2)`; the sign of x.

    n is y / ln 2 rounded, `r = y - n ln 2` with ln 2 in two parts, `p = fma(r r, H(EXPM, r), r)`,
    `E = fma(2^n, p, 2^n - 1)`.

    >>> hyperbolic_tangent(np.array([-1e-20, 0.5, 30.0, np.nan])).tolist()
    [-1e-20, 0.46211715726000974, 1.0, nan]
    """
    F = x.dtype.type
    magic, major = F(MAGIC[x.dtype.name]), F(float.fromhex(LOG2E_PARTS[x.dtype.name][0]))
    nan = np.isnan(x)
    a = lesser(F(20), np.where(nan, F(0), abs(x)))
    y = a + a
    n = fma(y, major, magic) - magic
    r = y
    for part in _constants("LN", x):
        r = fma(-n, part, r)
    p = fma(r * r, _polynomial("EXPM", r), r)
    power = _scaled(np.ones_like(x), n)
    e = fma(power, p, power - F(1))
    t = np.where(e < F(2), e / (e + F(2)), F(1) - F(2) / (e + F(2)))
    return np.where(nan, x, np.copysign(t, x))


def rint(x: FloatArray) -> FloatArray:
    """The nearest whole number, of two the even one; with the sign of x.

    >>> rint(np.array([0.5, 1.5, -2.4, -0.2, 1e300, np.inf, np.nan])).tolist()
    [0.0, 2.0, -2.0, -0.0, 1e+300, inf, nan]
    """
    return np.rint(x)


def arctangent(x: FloatArray) -> FloatArray:
    """`arctan x`: of `t = |x| <= 1` `fma(t z, H(ARCTAN, z), t)`, `z = t t`, beyond it pi/2 less that of `1 / |x|`.

    >>> arctangent(np.array([-1e-20, 1.0, -np.inf, np.nan])).tolist()
    [-1e-20, 0.7853981633974483, -1.5707963267948966, nan]
    """
    F = x.dtype.type
    nan = np.isnan(x)
    a = np.where(nan, F(0), abs(x))
    t = np.where(a > F(1), F(1), a) / np.where(a > F(1), a, F(1))
    z = t * t
    p = fma(t * z, _polynomial("ARCTAN", z), t)
    half_pi, half_pi_low, _ = _constants("HALF_PI", x)
    return np.where(nan, x, np.copysign(np.where(a > F(1), (half_pi - p) + half_pi_low, p), x))


def error_function(x: FloatArray) -> FloatArray:
    """`erf x`: of `a = |x| < 1` `fma(a, H(ERF, a a), a)`, else `1 - e^-H(ERFC, a)`, a bounded by 4 (float64: 6).

    >>> error_function(np.array([-1e-20, 0.5, 2.0, -np.inf, np.nan])).tolist()
    [-1.1283791670955125e-20, 0.5204998778130465, 0.9953222650189527, -1.0, nan]
    """
    F = x.dtype.type
    nan = np.isnan(x)
    a = np.where(nan, F(0), abs(x))
    small = np.where(a < F(1), a, F(0))
    near = fma(small, _polynomial("ERF", small * small), small)
    far = F(1) - exponential(-_polynomial("ERFC", lesser(F(ERF_IS_ONE[x.dtype.name]), a)))
    return np.where(nan, x, np.copysign(np.where(a < F(1), near, far), x))


def _log2_mantissa(m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """`log2 m` in a pair of numbers, for m in [sqrt(1/2), sqrt(2)).

    `s (2/ln 2 + z (2/(3 ln 2) + z H(ARTANH, z)))`, `s = (m - 1)/(m + 1)`, `z = s^2`; what each operation but the last
    few loses is in a number `_low` of its own.
    """
    one = m.dtype.type(1)
    (two_log2e, two_log2e_low), (third, third_low) = _constants("TWO_LOG2E", m), _constants("THIRD", m)
    f, d = m - one, m + one
    d_low = m - (d - one)
    inverse = one / d
    s = f * inverse
    s_low = fma(-s, d_low, fma(-s, d, f)) * inverse
    z = s * s
    z_low = fma(s + s, s_low, fma(s, s, -z))
    h = z * _polynomial("ARTANH", z)
    w = third + h
    w_low = ((third - w) + h) + third_low
    u = z * w
    u_low = fma(z, w_low, fma(z_low, w, fma(z, w, -u)))
    v = two_log2e + u
    v_low = ((two_log2e - v) + u) + (u_low + two_log2e_low)
    high = s * v
    return high, fma(s, v_low, fma(s_low, v, fma(s, v, -high)))


def real_power(x: FloatArray, exponent: float) -> FloatArray:
    """`x^c = 2^(c log2 x)`, c the exponent in the dtype of x, for x > 0; NaN below, and at 0 and inf the limits.

    log2 x and its product y with c are pairs of numbers; n is y rounded, `r = (y - n) + y_low` and
    `fma(r, H(EXP, r), 1) 2^n`, in two steps where that is no normal number.

    >>> real_power(np.array([2.0, 0.0, -1.0]), 0.3).tolist()
    [1.2311444133449163, 0.0, nan]
    >>> real_power(np.array([0.0, np.inf]), -2.5).tolist()
    [inf, 0.0]
    """
    F, name = x.dtype.type, x.dtype.name
    c, magic = F(exponent), F(MAGIC[name])
    lowest, highest, scale = POWERS[name]
    inside = (x > 0) & (x < np.inf)
    normal, k = _normalised(np.where(inside, x, F(1)))
    e, m = split(normal)
    e = e - k
    p, p_low = _log2_mantissa(m)
    log2 = e + p
    log2_low = ((e - log2) + p) + p_low
    with np.errstate(over="ignore"):
        y = c * log2
    large, small = y > highest, y < lowest
    y = np.where(large | small, F(0), y)
    y_low = fma(c, log2_low, fma(c, log2, -y))
    y_low = np.where(large | small, F(0), y_low)
    n = (y + magic) - magic
    r = (y - n) + y_low
    step = np.where(y < 0, F(-scale), F(scale))
    mantissa = fma(r, horner(COEFFICIENTS["EXP" + name[-2:]], r), F(1))
    with np.errstate(over="ignore", under="ignore"):
        value = _scaled(mantissa, n - step) * _scaled(np.ones_like(x), step)
    value = np.where(large, F(np.inf), np.where(small, F(0), value))
    zero, infinite = (F(np.inf), F(0)) if c < 0 else (F(0), F(np.inf)) if c > 0 else (F(1), F(1))
    edge = np.where(x == 0, zero, np.where(x == np.inf, infinite, F(np.nan)))
    return np.asarray(np.where(inside, value, edge))


def sign(x: FloatArray) -> FloatArray:
    """-1, 0 or 1; +0 at ±0, NaN at NaN.

    >>> sign(np.array([-3.0, -0.0, 5e-324, np.nan])).tolist()
    [-1.0, 0.0, 1.0, nan]
    """
    F = x.dtype.type
    return np.where(x > 0, F(1), np.where(x < 0, F(-1), np.where(x == 0, F(0), x)))


def maximum(x: FloatArray, y: FloatArray) -> FloatArray:
    """The larger; NaN where one of them is, +0 where it is ±0.

    >>> maximum(np.array([1.0, np.nan, 2.0, -0.0]), np.array([3.0, 0.0, np.nan, -0.0])).tolist()
    [3.0, nan, nan, 0.0]
    """
    return np.asarray(np.where(np.isnan(x), x, greater(x, y)) + x.dtype.type(0))


def minimum(x: FloatArray, y: FloatArray) -> FloatArray:
    """The smaller; NaN where one of them is, +0 where it is ±0."""
    return np.asarray(np.where(np.isnan(x), x, lesser(x, y)) + x.dtype.type(0))
