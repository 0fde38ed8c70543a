// Elementary functions of any argument, over a lane type: what a program of a user may call. Polynomials in +, -, *,
// fma, and correctly rounded /, and integer operations on bits: the bits are the same on every processor, those of a
// NaN excepted (docs/stream.md). Where the argument is NaN the result is.
//
//   function               worst error seen, ulp  at the edges
//                          float32  float64
//   exponential(x)         1.1      1.1       inf where it overflows, 0 where it is below the normal numbers
//   logarithm(x)           2.3      2.1       -inf at +-0, NaN below; x may be subnormal
//   sine(x), cosine(x)     1.6      1.6       NaN where |x| > 2^18 (float64: 2^40)
//   hyperbolic_tangent(x)  2.5      2.6       x for small x
//   rint(x)                exact              with the sign of x
//   arctangent(x)          1.4      1.5       pi/2 at inf
//   error_function(x)      1.1      1.1       1 at inf
//   real_power(x, c)       1.0      1.0       NaN for x < 0; x and the result may be subnormal
//   sign(x)                exact              +0 at +-0
//   maximum, minimum(x, y) exact              NaN where one of the two is; +0 where +-0
//
// (tests/test_functions.py: limits.)
// Coefficients: minimax in relative error, rounded to the dtype one after another, the rest fitted again.
#pragma once

#include "elementary.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct FunctionConstants;

template <>
struct FunctionConstants<float> {
    using Integer = uint32_t;
    static constexpr Integer infinity = 0x7F800000u, nan = 0x7FC00000u;
    static constexpr float all_whole = 0x1p23f, erf_is_one = 4;  // numbers from here on
    static constexpr float smallest_normal = 0x1p-126f;
    static constexpr float subnormal_scale = 0x1p24f, log2_subnormal_scale = 24, log_subnormal_scale = 0x1.0a2b24p+4f;
    static constexpr float lowest_exponent = -0x1.5d589ep+6f;  // e^x is normal from here
    static constexpr float highest_exponent = 0x1.62e42ep+6f;  // and finite up to here
    static constexpr float power_scale = 0x1p64f, lowest_power = -151, highest_power = 128;
    static constexpr float largest_angle = 0x1p18f, two_over_pi = 0x1.45f306p-1f;
    static constexpr float half_pi_1 = 0x1.921fb6p+0f, half_pi_2 = -0x1.777a5cp-25f, half_pi_3 = -0x1.ee59dap-50f;
    static constexpr float ln2_high = 0x1.62e43p-1f, ln2_low = -0x1.05c61p-29f;
    static constexpr float two_log2e_high = 0x1.715476p+1f, two_log2e_low = 0x1.4ae0cp-25f;  // 2 / ln 2
    static constexpr float third_high = 0x1.ec709ep-1f, third_low = -0x1.e2fe02p-28f;        // a third of it
    ASGD_CONSTEXPR Coefficients<float, 3> sine() { return {{-0x1.555544p-3f, 0x1.1106bap-7f, -0x1.9915bep-13f}}; }
    ASGD_CONSTEXPR Coefficients<float, 3> cosine() { return {{0x1.55554ap-5f, -0x1.6c0c08p-10f, 0x1.99d8b4p-16f}}; }
    ASGD_CONSTEXPR Coefficients<float, 6> expm1() {
        return {{0x1.0p-1f, 0x1.555554p-3f, 0x1.5554f8p-5f, 0x1.1112dep-7f, 0x1.6d3a38p-10f, 0x1.9e655cp-13f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 3> log2() { return {{0x1.27770ep-1f, 0x1.a5bbf4p-2f, 0x1.59ef08p-2f}}; }
    ASGD_CONSTEXPR Coefficients<float, 9> arctan() {
        return {{-0x1.55553ep-2f, 0x1.9991e4p-3f, -0x1.242086p-3f, 0x1.c08cd4p-4f, -0x1.580fd6p-4f, 0x1.da6348p-5f,
                 -0x1.fe53cap-6f, 0x1.6590f8p-7f, -0x1.d6fa52p-10f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 7> erf() {
        return {{0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f, 0x1.53f224p-8f, -0x1.a3515ep-11f,
                 0x1.4771fep-14f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 7> minus_log_erfc() {
        return {{0x1.661e4ep-12f, 0x1.2088eap+0f, 0x1.46baf0p-1f, 0x1.a65314p-4f, -0x1.65caf8p-6f, 0x1.8259a6p-9f,
                 -0x1.86dacap-13f}};
    }
};

template <>
struct FunctionConstants<double> {
    using Integer = uint64_t;
    static constexpr Integer infinity = 0x7FF0000000000000u, nan = 0x7FF8000000000000u;
    static constexpr double all_whole = 0x1p52, erf_is_one = 6;
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr double subnormal_scale = 0x1p54, log2_subnormal_scale = 54,
                            log_subnormal_scale = 0x1.2b708872320e2p+5;
    static constexpr double lowest_exponent = -0x1.6232bdd7abcd2p+9, highest_exponent = 0x1.62e42fefa39efp+9;
    static constexpr double power_scale = 0x1p512, lowest_power = -1076, highest_power = 1024;
    static constexpr double largest_angle = 0x1p40, two_over_pi = 0x1.45f306dc9c883p-1;
    static constexpr double half_pi_1 = 0x1.921fb54442d18p+0, half_pi_2 = 0x1.1a62633145c07p-54,
                            half_pi_3 = -0x1.f1976b7ed8fbcp-110;
    static constexpr double ln2_high = 0x1.62e42fefa39efp-1, ln2_low = 0x1.abc9e3b39803fp-56;
    static constexpr double two_log2e_high = 0x1.71547652b82fep+1, two_log2e_low = 0x1.777d0ffda0d24p-55;
    static constexpr double third_high = 0x1.ec709dc3a03fdp-1, third_low = 0x1.d27f05548af0cp-55;
    ASGD_CONSTEXPR Coefficients<double, 6> sine() {
        return {{-0x1.5555555555546p-3, 0x1.111111110f3efp-7, -0x1.a01a019b7d986p-13, 0x1.71de34f5a6486p-19,
                 -0x1.ae5dff4fc6d10p-26, 0x1.5d74e7fe95fdap-33}};
    }
    ASGD_CONSTEXPR Coefficients<double, 6> cosine() {
        return {{0x1.5555555555549p-5, -0x1.6c16c16c14ba1p-10, 0x1.a01a019c1d83ep-16, -0x1.27e4f79e1ac42p-22,
                 0x1.1ee9a24b9c2dfp-29, -0x1.8f88654d093f5p-37}};
    }
    ASGD_CONSTEXPR Coefficients<double, 11> expm1() {
        return {{0x1.0p-1, 0x1.5555555555559p-3, 0x1.5555555555558p-5, 0x1.111111110f6e7p-7, 0x1.6c16c16c16b1cp-10,
                 0x1.a01a01afb208dp-13, 0x1.a01a019ea12e2p-16, 0x1.71ddf8f767d66p-19, 0x1.27e4f5c9812acp-22,
                 0x1.af5d825613142p-26, 0x1.1f4043c366520p-29}};
    }
    ASGD_CONSTEXPR Coefficients<double, 8> log2() {
        return {{0x1.2776c50ef9bfcp-1, 0x1.a61762a7aede1p-2, 0x1.484b13d6ac957p-2, 0x1.0c9a853b2bfccp-2,
                 0x1.c68ee93bc2d3ap-3, 0x1.8a09bdfed3f24p-3, 0x1.58fc41856167fp-3, 0x1.61f5c097b4944p-3}};
    }
    ASGD_CONSTEXPR Coefficients<double, 20> arctan() {
        return {{-0x1.5555555555526p-2, 0x1.99999999955b1p-3,  -0x1.249249237ed68p-3,  0x1.c71c717f96209p-4,
                 -0x1.745d11a8f2893p-4, 0x1.3b13664cb0405p-4,  -0x1.110e4e6776e0bp-4,  0x1.e1bb83f3b3b1dp-5,
                 -0x1.ae5dd726af107p-5, 0x1.82d8d0b69b13ap-5,  -0x1.599eecc347c66p-5,  0x1.2c24c5413a10dp-5,
                 -0x1.e9dea4ca6d061p-6, 0x1.681f76b1065bep-6,  -0x1.c761c14847f37p-7,  0x1.d7860cd40a9c8p-8,
                 -0x1.7a14501eedd12p-9, 0x1.b3dc7be1df61ap-11, -0x1.3f2fb45ab1c42p-13, 0x1.bc02837bb39c8p-17}};
    }
    ASGD_CONSTEXPR Coefficients<double, 12> erf() {
        return {{0x1.06eba8214db68p-3, -0x1.812746b03799dp-2, 0x1.ce2f21a03f8b9p-4, -0x1.b82ce311a97d5p-6,
                 0x1.565bcceeda342p-8, -0x1.c02daeb702bcep-11, 0x1.f9a296b44a82dp-14, -0x1.f4c82efe14621p-17,
                 0x1.b96b572f64e17p-20, -0x1.5b8c6a7854dbfp-23, 0x1.d3dd94e21ac2ap-27, -0x1.a23db4340166dp-31}};
    }
    ASGD_CONSTEXPR Coefficients<double, 18> minus_log_erfc() {
        return {{0x1.0df399d6a5c96p-21, 0x1.20dd1fd50ccebp+0, 0x1.45f627499eacdp-1, 0x1.a4ac5d82a7192p-4,
                 -0x1.37229c3863783p-6, -0x1.ae90a198eb9eap-12, 0x1.f640215c3f5dap-10, -0x1.9408ef74989a2p-11,
                 0x1.1b360f4d5fccap-13, 0x1.540e0b7363646p-16, -0x1.7ee9096b04f46p-16, 0x1.22d3baf29d428p-17,
                 -0x1.1ea5c02a0fa79p-19, 0x1.90d37e3ecfe42p-22, -0x1.8ec105f9f91c1p-25, 0x1.0e56d4c964ce6p-28,
                 -0x1.c1a250491ed45p-33, 0x1.5ac17c91ebad9p-38}};
    }
};

template <class R>
ASGD_FN R infinity() {
    return as_real(set1_bits<typename Lane<R>::Bits>(FunctionConstants<typename Lane<R>::Real>::infinity));
}
template <class R>
ASGD_FN R not_a_number() {
    return as_real(set1_bits<typename Lane<R>::Bits>(FunctionConstants<typename Lane<R>::Real>::nan));
}

// `shifted` is a small number plus round_to_integer: the whole number nearest to it.
template <class R>
ASGD_FN R nearest_integer(R shifted) {
    return shifted - set1<R>(Constants<typename Lane<R>::Real>::round_to_integer);
}
// What multiplies a number by 2 to that power, added to its bits.
template <class R>
ASGD_FN typename Lane<R>::Bits exponent_bits(R shifted) {
    using C = Constants<typename Lane<R>::Real>;
    return (as_bits(shifted) - as_bits(set1<R>(C::round_to_integer))) << C::mantissa_bits;
}

template <class R>
ASGD_FN R exponential(R x) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R y = select_less(x, set1<R>(C::lowest_exponent), set1<R>(0), exp_unclamped(x));
    return select_less(set1<R>(C::highest_exponent), x, infinity<R>(), y);
}

template <class R>
ASGD_FN R logarithm(R x) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R tiny = set1<R>(C::smallest_normal), zero = set1<R>(0);
    const R y = natural_log(select_less(x, tiny, x * set1<R>(C::subnormal_scale), x)) -
                select_less(x, tiny, set1<R>(C::log_subnormal_scale), zero);
    const R positive = select_less(x, infinity<R>(), y, x);
    return select_less(zero, x, positive, select_less(x, zero, not_a_number<R>(), x - infinity<R>()));
}

// Sine and cosine of a >= 0, but for their signs, which depend on the quarter, a / (pi / 2) rounded: it is in the last
// bits. The remainder is exact after the first fma.
template <class R>
ASGD_FN void sine_cosine(R a, R& sine, R& cosine, typename Lane<R>::Bits& quarter) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R shifted = fma(a, set1<R>(C::two_over_pi), set1<R>(Constants<typename Lane<R>::Real>::round_to_integer));
    const R n = nearest_integer(shifted);
    R r = fma(-n, set1<R>(C::half_pi_1), a);
    r = fma(-n, set1<R>(C::half_pi_2), r);
    r = fma(-n, set1<R>(C::half_pi_3), r);
    const R z = r * r;
    sine = fma(r * z, horner(C::sine(), z), r);
    cosine = fma(z * z, horner(C::cosine(), z), fma(set1<R>(typename Lane<R>::Real(-0.5)), z, set1<R>(1)));
    quarter = as_bits(shifted);
    swap_where_bit0(quarter, sine, cosine);
    const R largest = set1<R>(C::largest_angle), nan = not_a_number<R>();
    sine = select_less(largest, a, nan, sine);
    cosine = select_less(largest, a, nan, cosine);
}

// x with its sign turned where bit 1 of `quarter` is set.
template <class R>
ASGD_FN R turned_by_bit1(R x, typename Lane<R>::Bits quarter) {
    using Bits = typename Lane<R>::Bits;
    constexpr int bits = 8 * int(sizeof(typename Lane<R>::Real));
    return as_real(as_bits(x) ^ ((quarter << (bits - 2)) & set1_bits<Bits>(uint64_t(1) << (bits - 1))));
}

template <class R>
ASGD_FN R sine(R x) {
    R s, c;
    typename Lane<R>::Bits quarter;
    sine_cosine(absolute(x), s, c, quarter);
    const R y = turned_by_bit1(s, quarter);
    return as_real(as_bits(y) ^ as_bits(signed_by_top_bit(as_bits(x), set1<R>(0))));
}

template <class R>
ASGD_FN R cosine(R x) {
    R s, c;
    typename Lane<R>::Bits quarter;
    sine_cosine(absolute(x), s, c, quarter);
    return turned_by_bit1(c, quarter + set1_bits<typename Lane<R>::Bits>(1));
}

// E / (E + 2) = 1 - 2 / (E + 2) with E = e^(2 |x|) - 1 = 2^n e^r - 1; the second where it is above 1/2, so that it
// comes up to 1 evenly.
template <class R>
ASGD_FN R hyperbolic_tangent(R x) {
    using Real = typename Lane<R>::Real;
    using C = FunctionConstants<Real>;
    const R one = set1<R>(1), two = set1<R>(2), a = min_keep_nan(set1<R>(20), absolute(x));
    const R y = a + a;
    const R shifted = fma(y, set1<R>(Constants<Real>::log2e_high), set1<R>(Constants<Real>::round_to_integer));
    const R n = nearest_integer(shifted);
    const R r = fma(-n, set1<R>(C::ln2_low), fma(-n, set1<R>(C::ln2_high), y));
    const R p = fma(r * r, horner(C::expm1(), r), r);
    const R scale = as_real(as_bits(one) + exponent_bits(shifted));
    const R e = fma(scale, p, scale - one);
    const R q = select_less(e, two, e, two) / (e + two);
    return signed_by_top_bit(as_bits(x), select_less(e, two, q, one - q));
}

// log2(m) = high + low for m in [sqrt(1/2), sqrt(2)]: s (2/ln 2 + z (2/(3 ln 2) + z H(z))), s = (m - 1)/(m + 1),
// z = s^2; everything but H is a pair of numbers.
template <class R>
ASGD_FN void log2_mantissa(R m, R& high, R& low) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R one = set1<R>(1), f = m - one, d = m + one, d_low = m - (d - one);
    const R inverse = one / d;
    const R s = f * inverse;
    const R s_low = fma(-s, d_low, fma(-s, d, f)) * inverse;
    const R z = s * s;
    const R z_low = fma(s + s, s_low, fma(s, s, -z));
    const R third = set1<R>(C::third_high), whole = set1<R>(C::two_log2e_high);
    const R h = z * horner(C::log2(), z);
    const R w = third + h;
    const R w_low = ((third - w) + h) + set1<R>(C::third_low);
    const R u = z * w;
    const R u_low = fma(z, w_low, fma(z_low, w, fma(z, w, -u)));
    const R v = whole + u;
    const R v_low = ((whole - v) + u) + (u_low + set1<R>(C::two_log2e_low));
    high = s * v;
    low = fma(s, v_low, fma(s_low, v, fma(s, v, -high)));
}

// x^c for finite c: 2^(c log2 x), log2 x and its product with c in pairs of numbers.
template <class R>
ASGD_FN R real_power(R x, typename Lane<R>::Real c) {
    using Real = typename Lane<R>::Real;
    using C = FunctionConstants<Real>;
    const R zero = set1<R>(0), one = set1<R>(1), tiny = set1<R>(C::smallest_normal), exponent = set1<R>(c);
    R m, e, p, p_low;
    split(select_less(x, tiny, x * set1<R>(C::subnormal_scale), x), m, e);
    e = fma(e, set1<R>(1 / Lane<R>::exponent_unit), select_less(x, tiny, set1<R>(-C::log2_subnormal_scale), zero));
    log2_mantissa(m, p, p_low);
    const R log = e + p;
    const R log_low = ((e - log) + p) + p_low;
    const R y = exponent * log;
    const R y_low = fma(exponent, log_low, fma(exponent, log, -y));

    const R shifted = y + set1<R>(Constants<Real>::round_to_integer);
    const R r = (y - nearest_integer(shifted)) + y_low;
    const R mantissa = fma(r, horner(Constants<Real>::exp2(), r), one);
    // In two steps, because 2^n need not be a normal number.
    const R scale = select_less(y, zero, set1<R>(1 / C::power_scale), set1<R>(C::power_scale));
    R value = as_real(as_bits(mantissa) + exponent_bits(shifted) - (as_bits(scale) - as_bits(one))) * scale;
    value = select_less(y, set1<R>(C::lowest_power), zero, value);
    value = select_less(set1<R>(C::highest_power), y, infinity<R>(), value);

    const R unlimited = infinity<R>();
    const R at_zero = c < 0 ? unlimited : c > 0 ? zero : one, at_infinity = c < 0 ? zero : c > 0 ? unlimited : one;
    return select_less(zero, x, select_less(x, unlimited, value, at_infinity),
                       select_less(x, zero, not_a_number<R>(), x + at_zero));
}

// The nearest whole number, of two the even one: a sum with `all_whole` keeps nothing of a fraction.
template <class R>
ASGD_FN R rint(R x) {
    const R whole = set1<R>(FunctionConstants<typename Lane<R>::Real>::all_whole), a = absolute(x);
    return signed_by_top_bit(as_bits(x), select_less(a, whole, (a + whole) - whole, a));
}

// arctan t = t + t^3 H(t^2) for t <= 1, beyond it pi/2 less that of 1/t.
template <class R>
ASGD_FN R arctangent(R x) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R one = set1<R>(1), a = absolute(x);
    const R t = select_less(one, a, one, a) / select_less(one, a, a, one);
    const R z = t * t;
    const R p = fma(t * z, horner(C::arctan(), z), t);
    const R turned = (set1<R>(C::half_pi_1) - p) + set1<R>(C::half_pi_2);
    return signed_by_top_bit(as_bits(x), select_less(one, a, turned, p));
}

// erf a = a + a H(a^2) for a < 1, from there on 1 - e^-G(a), which is 1 where a is bounded.
template <class R>
ASGD_FN R error_function(R x) {
    using C = FunctionConstants<typename Lane<R>::Real>;
    const R one = set1<R>(1), a = absolute(x);
    const R near = fma(a, horner(C::erf(), a * a), a);
    const R bounded = min_keep_nan(set1<R>(C::erf_is_one), a);
    const R far = one - exp_unclamped(-horner(C::minus_log_erfc(), bounded));
    return signed_by_top_bit(as_bits(x), select_less(a, one, near, far));
}

template <class R>
ASGD_FN R sign(R x) {
    const R one = set1<R>(1);
    return sign_times(x, max_keep_nan(one, min_keep_nan(one, x)));  // 1, or NaN where x is
}

// Each of the two keeps the NaN of its second operand; without one they agree, but for the sign of a zero.
template <class R>
ASGD_FN R maximum(R x, R y) {
    return as_real(as_bits(max_keep_nan(x, y)) | as_bits(max_keep_nan(y, x))) + set1<R>(0);
}
template <class R>
ASGD_FN R minimum(R x, R y) {
    return as_real(as_bits(min_keep_nan(x, y)) | as_bits(min_keep_nan(y, x))) + set1<R>(0);
}

ASGD_ISA_NAMESPACE_END
