"""The elementary functions of csrc/core/functions.hpp as code on vectors, operation by operation: equal bits."""

from __future__ import annotations

import math

from ..reference.elementary import COEFFICIENTS, LN2, LOG2E_PARTS
from ..reference.functions import (
    ALL_WHOLE,
    CONSTANTS,
    ERF_IS_ONE,
    LARGEST_ANGLE,
    MAGIC,
    NORMAL_EXPONENTS,
    POWERS,
    SUBNORMAL_SCALE,
)
from ._vectors import Bits, Code, Real, absolute, fma, min_keep_nan, select_less

_SQRT_HALF = {4: 0x3F3504F3, 8: 0x3FE6A09E667F3BCD}
_MANTISSA = {4: 23, 8: 52}
_SMALLEST_NORMAL = {4: 2.0**-126, 8: 2.0**-1022}


def _of(code: Code, name: str) -> list[Real]:
    table = CONSTANTS if name + "32" in CONSTANTS else COEFFICIENTS
    return [code.constant(c) for c in table[f"{name}{8 * code.size}"]]


def _horner(code: Code, name: str, x: Real) -> Real:
    *rest, p = _of(code, name)
    for c in reversed(rest):
        p = fma(p, x, c)
    return p


def _magic(code: Code) -> Real:
    return code.constant(MAGIC[code.dtype])


def _log2e(code: Code) -> tuple[Real, Real]:
    high, low = LOG2E_PARTS[code.dtype]
    return code.constant(float.fromhex(high)), code.constant(float.fromhex(low))


def _exponent_bits(shifted: Real) -> Bits:
    """What multiplies a number by 2 to the whole number in `shifted`, added to its bits."""
    code = shifted.code
    return (shifted.bits - _magic(code).bits) << _MANTISSA[code.size]


def _top(code: Code) -> Bits:
    return code.bits(1 << (8 * code.size - 1))


def exponential(x: Real) -> Real:
    """`e^x`."""
    code = x.code
    low, high = (code.constant(float.fromhex(end)) for end in NORMAL_EXPONENTS[code.dtype])
    y = select_less(x, low, code.constant(0.0), _exponential_inside(x))
    return select_less(high, x, code.constant(math.inf), y)


def _exponential_inside(x: Real) -> Real:
    code = x.code
    major, minor = _log2e(code)
    shifted = fma(x, major, _magic(code))
    n = shifted - _magic(code)
    r = fma(x, minor, fma(x, major, -n))
    mantissa = fma(r, _horner(code, "EXP", r), code.constant(1.0))
    return (mantissa.bits + _exponent_bits(shifted)).real + (x - x)


def _split(x: Real) -> tuple[Real, Real]:
    """`(m, e)` with `x = m 2^e` and m in [sqrt(1/2), sqrt(2)), for positive normal x."""
    code = x.code
    mantissa = _MANTISSA[code.size]
    j = x.bits - code.bits(_SQRT_HALF[code.size])
    exponent = j & code.bits((1 << 8 * code.size) - (1 << mantissa))
    if code.size == 4:
        e = exponent.signed * code.constant(2.0**-mantissa)  # exact
    else:
        biased = ((exponent + code.bits(0x3FF0 << 48)) >> mantissa) | code.bits(0x4330 << 48)
        e = biased.real - code.constant(2.0**52 + 1023.0)
    return (x.bits - exponent).real, e


def _minus_two_log(u: Real) -> Real:
    code = u.code
    m, e = _split(u)
    f = m - code.constant(1.0)
    if code.size == 4:
        log = f * _horner(code, "LOG", f)
    else:
        s = f / (f + code.constant(2.0))
        z = s * s
        log = code.constant(-2.0) * fma(s * z, _horner(code, "LOG", z), s + s)
    return fma(e, code.constant(-2.0 * LN2), log)


def logarithm(x: Real) -> Real:
    """`ln x`."""
    code = x.code
    k = SUBNORMAL_SCALE[code.dtype]
    tiny, zero, infinity = (code.constant(c) for c in (_SMALLEST_NORMAL[code.size], 0.0, math.inf))
    normal = select_less(x, tiny, x * code.constant(2.0**k), x)
    y = code.constant(-0.5) * _minus_two_log(normal) - select_less(x, tiny, code.constant(k * math.log(2.0)), zero)
    positive = select_less(x, infinity, y, x)
    return select_less(zero, x, positive, select_less(x, zero, code.constant(math.nan), x - infinity))


def _sine_cosine(a: Real) -> tuple[Real, Real, Bits]:
    """Of a >= 0, but for their signs, which depend on the last bits of the third."""
    code = a.code
    shifted = fma(a, code.constant(2 / math.pi), _magic(code))
    n = shifted - _magic(code)
    r = a
    for part in _of(code, "HALF_PI"):
        r = fma(-n, part, r)
    z = r * r
    s = fma(r * z, _horner(code, "SINE", z), r)
    c = fma(z * z, _horner(code, "COSINE", z), fma(code.constant(-0.5), z, code.constant(1.0)))
    quarter = shifted.bits
    odd = Real(code, code.each(f"trunc {code.integers} {{0}} to <{code.width} x i1>", quarter))
    choose = f"select <{code.width} x i1> {{0}}, {code.reals} {{1}}, {code.reals} {{2}}"
    s, c = Real(code, code.each(choose, odd, c, s)), Real(code, code.each(choose, odd, s, c))
    largest, nan = code.constant(LARGEST_ANGLE[code.dtype]), code.constant(math.nan)
    return select_less(largest, a, nan, s), select_less(largest, a, nan, c), quarter


def _turned_by_bit1(x: Real, quarter: Bits) -> Real:
    code = x.code
    return (x.bits ^ ((quarter << (8 * code.size - 2)) & _top(code))).real


def sine(x: Real) -> Real:
    """`sin x`."""
    s, _, quarter = _sine_cosine(absolute(x))
    return (_turned_by_bit1(s, quarter).bits ^ (x.bits & _top(x.code))).real


def cosine(x: Real) -> Real:
    """`cos x`."""
    _, c, quarter = _sine_cosine(absolute(x))
    return _turned_by_bit1(c, quarter + x.code.bits(1))


def hyperbolic_tangent(x: Real) -> Real:
    """`tanh x`."""
    code = x.code
    one, two = code.constant(1.0), code.constant(2.0)
    a = min_keep_nan(code.constant(20.0), absolute(x))
    y = a + a
    shifted = fma(y, _log2e(code)[0], _magic(code))
    n = shifted - _magic(code)
    r = y
    for part in _of(code, "LN"):
        r = fma(-n, part, r)
    p = fma(r * r, _horner(code, "EXPM", r), r)
    scale = (one.bits + _exponent_bits(shifted)).real
    e = fma(scale, p, scale - one)
    q = select_less(e, two, e, two) / (e + two)
    return _signed_by(x, select_less(e, two, q, one - q))


def _signed_by(x: Real, y: Real) -> Real:
    """`y >= 0` with the sign of x."""
    return ((x.bits & _top(x.code)) | y.bits).real


def rint(x: Real) -> Real:
    """The nearest whole number, of two the even one."""
    whole, a = x.code.constant(ALL_WHOLE[x.code.dtype]), absolute(x)
    return _signed_by(x, select_less(a, whole, (a + whole) - whole, a))


def arctangent(x: Real) -> Real:
    """`arctan x`."""
    code = x.code
    one, a = code.constant(1.0), absolute(x)
    t = select_less(one, a, one, a) / select_less(one, a, a, one)
    z = t * t
    p = fma(t * z, _horner(code, "ARCTAN", z), t)
    half_pi, half_pi_low = _of(code, "HALF_PI")[:2]
    return _signed_by(x, select_less(one, a, (half_pi - p) + half_pi_low, p))


def error_function(x: Real) -> Real:
    """`erf x`."""
    code = x.code
    one, a = code.constant(1.0), absolute(x)
    near = fma(a, _horner(code, "ERF", a * a), a)
    far = one - _exponential_inside(-_horner(code, "ERFC", min_keep_nan(code.constant(ERF_IS_ONE[code.dtype]), a)))
    return _signed_by(x, select_less(a, one, near, far))


def _log2_mantissa(m: Real) -> tuple[Real, Real]:
    code = m.code
    one = code.constant(1.0)
    whole, whole_low = _of(code, "TWO_LOG2E")
    third, third_low = _of(code, "THIRD")
    f, d = m - one, m + one
    d_low = m - (d - one)
    inverse = one / d
    s = f * inverse
    s_low = fma(-s, d_low, fma(-s, d, f)) * inverse
    z = s * s
    z_low = fma(s + s, s_low, fma(s, s, -z))
    h = z * _horner(code, "ARTANH", z)
    w = third + h
    w_low = ((third - w) + h) + third_low
    u = z * w
    u_low = fma(z, w_low, fma(z_low, w, fma(z, w, -u)))
    v = whole + u
    v_low = ((whole - v) + u) + (u_low + whole_low)
    high = s * v
    return high, fma(s, v_low, fma(s_low, v, fma(s, v, -high)))


def real_power(x: Real, exponent: float) -> Real:
    """`x^c` for one c."""
    code = x.code
    zero, one, infinity, nan = (code.constant(c) for c in (0.0, 1.0, math.inf, math.nan))
    tiny, c = code.constant(_SMALLEST_NORMAL[code.size]), code.constant(exponent)
    k, (lowest, highest, log2_scale) = SUBNORMAL_SCALE[code.dtype], POWERS[code.dtype]
    m, e = _split(select_less(x, tiny, x * code.constant(2.0**k), x))
    e = e + select_less(x, tiny, code.constant(-float(k)), zero)
    p, p_low = _log2_mantissa(m)
    log = e + p
    log_low = ((e - log) + p) + p_low
    y = c * log
    y_low = fma(c, log_low, fma(c, log, -y))
    shifted = y + _magic(code)
    r = (y - (shifted - _magic(code))) + y_low
    mantissa = fma(r, _horner(code, "EXP", r), one)
    scale = select_less(y, zero, code.constant(2.0**-log2_scale), code.constant(2.0**log2_scale))
    value = (mantissa.bits + _exponent_bits(shifted) - (scale.bits - one.bits)).real * scale
    value = select_less(y, code.constant(lowest), zero, value)
    value = select_less(code.constant(highest), y, infinity, value)
    rounded = code.rounded(exponent)
    at_zero = infinity if rounded < 0 else zero if rounded > 0 else one
    at_infinity = zero if rounded < 0 else infinity if rounded > 0 else one
    positive = select_less(x, infinity, value, at_infinity)
    return select_less(zero, x, positive, select_less(x, zero, nan, x + at_zero))
