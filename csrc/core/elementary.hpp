// Elementary functions of the stream, over a lane type: polynomials in +, -, *, fma, and correctly rounded / and sqrt.
// Included by draw.hpp and schedule.hpp. No libm: the bits are the same on every processor (docs/stream.md).
//
//   function            dtype    domain              worst error seen, ulp (tests/test_draws.py: limits)
//   minus_two_log(u)    float32  [2^-33, 1]          2.3
//                       float64  [2^-53, 1)          2.0
//   sincos_octant(t)    float32  [-1, 1]             1.7 (sine), 1.9 (cosine)
//                       float64  [-1, 1]             1.6 (sine), 1.1 (cosine)
//   log2(x)             float64  normal, > 0         3.0; at most 2^-52 absolute for x in [1/2, 2]
//   exp2(x)             float64  [-1021, 1023]       0.9; 0 below -1021.5
//   exp_clamped(x)      float32  any                 1.4 within its range
//                       float64  any                 1.2
//   natural_log(x)      both     as minus_two_log, and [1, 2^32]
//
// Outside the domain the result is unspecified (never a trap). Coefficients: minimax in relative error, Remez exchange
// in 60 digits, rounded to the dtype.
#pragma once

#include "lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// By value, so that they become immediate operands; a GPU cannot see a host's static arrays.
template <class Real, int n>
struct Coefficients {
    Real c[n];
};

template <class Real>
struct Constants;

template <>
struct Constants<float> {
    using Integer = uint32_t;
    static constexpr int mantissa_bits = 23;
    static constexpr Integer sqrt_half = 0x3F3504F3u;  // bits of sqrt(1/2)
    static constexpr float minus_two_ln2 = -0x1.62e430p+0f;
    ASGD_CONSTEXPR Coefficients<float, 9> log() {
        return {{-0x1.000000p+1f, 0x1.fffff8p-1f, -0x1.555792p-1f, 0x1.000570p-1f, -0x1.98b74ap-2f, 0x1.5332a8p-2f,
                 -0x1.3238f0p-2f, 0x1.263b86p-2f, -0x1.654440p-3f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 4> sin() {
        return {{0x1.921fb6p-1f, -0x1.4abbbap-4f, 0x1.465e92p-9f, -0x1.2d9302p-15f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 4> cos() {
        return {{0x1.fffffep-1f, -0x1.3bd38cp-2f, 0x1.03ae64p-6f, -0x1.4e35dap-12f}};
    }
    ASGD_CONSTEXPR Coefficients<float, 6> exp2() {
        return {{0x1.62e432p-1f, 0x1.ebfbe6p-3f, 0x1.c6ada8p-5f, 0x1.3b21cap-7f, 0x1.5fb504p-10f, 0x1.4b107ep-13f}};
    }
    static constexpr float round_to_integer = 0x1.8p+23f;
    static constexpr float log2e_high = 0x1.715476p+0f, log2e_low = 0x1.4ae0cp-26f;  // 1 / ln 2
    static constexpr float lowest_exponent = -86.0f, highest_exponent = 88.0f;
};

template <>
struct Constants<double> {
    using Integer = uint64_t;
    static constexpr int mantissa_bits = 52;
    static constexpr Integer sqrt_half = 0x3FE6A09E667F3BCDu;
    static constexpr double minus_two_ln2 = -0x1.62e42fefa39efp+0;
    ASGD_CONSTEXPR Coefficients<double, 8> log() {
        return {{0x1.5555555555555p-1, 0x1.9999999999dffp-2, 0x1.249249242b40ap-2, 0x1.c71c7258fe4fep-3,
                 0x1.745cde3571749p-3, 0x1.3b20ab96b4f24p-3, 0x1.0f5cc86e14f77p-3, 0x1.0f6316f892e40p-3}};
    }
    ASGD_CONSTEXPR Coefficients<double, 8> sin() {
        return {{0x1.921fb54442d18p-1, -0x1.4abbce625be53p-4, 0x1.466bc6775aad9p-9, -0x1.32d2cce62abbdp-15,
                 0x1.50783485c2d4dp-22, -0x1.e3074b42c1ef1p-30, 0x1.e8eec79b198d9p-38, -0x1.6c58cbe4a8920p-46}};
    }
    ASGD_CONSTEXPR Coefficients<double, 9> cos() {
        return {{0x1.0000000000000p+0, -0x1.3bd3cc9be45dep-2, 0x1.03c1f081b5ac4p-6, -0x1.55d3c7e3cbfecp-12,
                 0x1.e1f5068919874p-19, -0x1.a6d1f29ef910fp-26, 0x1.f9d3851e6530cp-34, -0x1.b6dd536ed9f6bp-42,
                 0x1.1e240ce2c5267p-50}};
    }
    static constexpr double round_to_integer = 0x1.8p+52;
    static constexpr double log2e_high = 0x1.71547652b82fep+0, log2e_low = 0x1.777d0ffda0d24p-56;
    static constexpr double lowest_exponent = -700.0, highest_exponent = 700.0;
    ASGD_CONSTEXPR Coefficients<double, 12> exp2() {
        return {{0x1.62e42fefa39efp-1, 0x1.ebfbdff82c58fp-3, 0x1.c6b08d704a0d1p-5, 0x1.3b2ab6fba4e81p-7,
                 0x1.5d87fe78a22dap-10, 0x1.430912f868d6ap-13, 0x1.ffcbfc75e1fbap-17, 0x1.62c0224da096fp-20,
                 0x1.b524db563e50fp-24, 0x1.e4cee84cf9495p-28, 0x1.ea041dd50d78ep-32, 0x1.c4da8a5835e4fp-36}};
    }
};

template <class R, class Real, int n>
ASGD_FN R horner(const Coefficients<Real, n>& coefficients, R x) {
    R p = set1<R>(coefficients.c[n - 1]);
    ASGD_UNROLL
    for (int i = n - 2; i >= 0; --i) p = fma(p, x, set1<R>(coefficients.c[i]));
    return p;
}

// x = m * 2^(e / exponent_unit) with m in [sqrt(1/2), sqrt(2)), for positive normal x.
template <class R>
ASGD_FN void split(R x, R& m, R& e) {
    using C = Constants<typename Lane<R>::Real>;
    using Bits = typename Lane<R>::Bits;
    const Bits j = as_bits(x) - set1_bits<Bits>(C::sqrt_half);
    const Bits exponent = j & set1_bits<Bits>(~((typename C::Integer(1) << C::mantissa_bits) - 1));
    e = exponent_to_real(exponent);
    m = as_real(as_bits(x) - exponent);
}

// Some functions come in parts, for who has other work to put between them.

// ln(m) of float64 for m in [sqrt(1/2), sqrt(2)]: 2 artanh(s), s = (m - 1)/(m + 1). `s` is m first.
inline constexpr int log_mantissa_parts = 6;  // two coefficients in each but the first and the last

template <int part, class R>
ASGD_FN void log_mantissa_part(R& s, R& square, R& result) {
    constexpr auto c = Constants<double>::log();
    if constexpr (part == 0) {
        const R f = s - set1<R>(1.0);
        s = f / (f + set1<R>(2.0));
    } else if constexpr (part == log_mantissa_parts - 1) {
        result = fma(s * square, result, s + s);
    } else {
        if constexpr (part == 1) {
            square = s * s;
            result = set1<R>(c.c[7]);
        } else {
            result = fma(result, square, set1<R>(c.c[9 - 2 * part]));
        }
        result = fma(result, square, set1<R>(c.c[8 - 2 * part]));
    }
}

template <class R>
ASGD_FN R log_mantissa(R m) {
    R square, result;
    log_mantissa_part<0>(m, square, result);
    log_mantissa_part<1>(m, square, result);
    log_mantissa_part<2>(m, square, result);
    log_mantissa_part<3>(m, square, result);
    log_mantissa_part<4>(m, square, result);
    log_mantissa_part<5>(m, square, result);
    return result;
}

// -2 ln u: `result` after the last part.
template <class R>
struct MinusTwoLog {
    R u;  // then its mantissa, less 1 in float32; in float64 s of log_mantissa
    R exponent, square, result;
};
template <class Real>
inline constexpr int minus_two_log_parts = sizeof(Real) == 4 ? 6 : log_mantissa_parts + 1;

template <int part, class R>
ASGD_FN void minus_two_log_part(MinusTwoLog<R>& x) {
    using C = Constants<typename Lane<R>::Real>;
    constexpr int last = minus_two_log_parts<typename Lane<R>::Real> - 1;
    const R scale = set1<R>(C::minus_two_ln2 / Lane<R>::exponent_unit);
    if constexpr (part == 0) {
        R m;
        split(x.u, m, x.exponent);
        x.u = m;
    }
    if constexpr (sizeof(typename Lane<R>::Real) == 4) {
        constexpr auto c = C::log();
        if constexpr (part == 0) {
            x.u = x.u - set1<R>(1.0f);
            x.result = set1<R>(c.c[2 * last - 2]);
        } else if constexpr (part < last) {
            x.result = fma(x.result, x.u, set1<R>(c.c[2 * (last - part) - 1]));
            x.result = fma(x.result, x.u, set1<R>(c.c[2 * (last - part) - 2]));
        } else {
            x.result = fma(x.exponent, scale, x.u * x.result);
        }
    } else if constexpr (part < last) {
        log_mantissa_part<part>(x.u, x.square, x.result);
    } else {
        x.result = fma(x.exponent, scale, set1<R>(-2.0) * x.result);
    }
}

template <class R>
ASGD_FN R minus_two_log(R u) {
    MinusTwoLog<R> x;
    x.u = u;
    minus_two_log_part<0>(x);
    minus_two_log_part<1>(x);
    minus_two_log_part<2>(x);
    minus_two_log_part<3>(x);
    minus_two_log_part<4>(x);
    minus_two_log_part<5>(x);
    if constexpr (minus_two_log_parts<typename Lane<R>::Real> > 6) minus_two_log_part<6>(x);
    return x.result;
}

// sin(pi/4 t) and cos(pi/4 t) for t in [-1, 1].
template <class R>
struct SincosOctant {
    R t, square, sine, cosine;
};
template <class Real>
inline constexpr int sincos_octant_parts = sizeof(Real) == 4 ? 4 : 5;  // one coefficient of each in each, or two

template <int part, class R>
ASGD_FN void sincos_octant_part(SincosOctant<R>& x) {
    using C = Constants<typename Lane<R>::Real>;
    constexpr auto s = C::sin();
    constexpr auto c = C::cos();
    constexpr int sines = int(sizeof(s.c) / sizeof(s.c[0])), cosines = int(sizeof(c.c) / sizeof(c.c[0]));
    constexpr int each = sizeof(typename Lane<R>::Real) == 4 ? 1 : 2;  // coefficients of a part
    constexpr int last = sincos_octant_parts<typename Lane<R>::Real> - 1;
    constexpr int left = last == part ? 0 : each * (last - part) - (each - 1);  // of coefficients, after the part
    if constexpr (part == 0) {
        x.square = x.t * x.t;
        x.sine = set1<R>(s.c[sines - 1]);
        x.cosine = set1<R>(c.c[cosines - 1]);
        if constexpr (cosines > sines) x.cosine = fma(x.cosine, x.square, set1<R>(c.c[cosines - 2]));
    } else {
        if constexpr (each == 2 && part < last) {
            x.sine = fma(x.sine, x.square, set1<R>(s.c[left + 1]));
            x.cosine = fma(x.cosine, x.square, set1<R>(c.c[left + 1]));
        }
        x.sine = fma(x.sine, x.square, set1<R>(s.c[left]));
        x.cosine = fma(x.cosine, x.square, set1<R>(c.c[left]));
        if constexpr (part == last) x.sine = x.t * x.sine;
    }
}

template <class R>
ASGD_FN void sincos_octant(R t, R& sine, R& cosine) {
    SincosOctant<R> x;
    x.t = t;
    sincos_octant_part<0>(x);
    sincos_octant_part<1>(x);
    sincos_octant_part<2>(x);
    sincos_octant_part<3>(x);
    if constexpr (sincos_octant_parts<typename Lane<R>::Real> > 4) sincos_octant_part<4>(x);
    sine = x.sine;
    cosine = x.cosine;
}

template <class R>
ASGD_FN R sin_octant(R t) {
    return t * horner(Constants<typename Lane<R>::Real>::sin(), t * t);
}

template <class R>
ASGD_FN R log2(R x) {
    R m, e;
    split(x, m, e);
    return fma(log_mantissa(m), set1<R>(0x1.71547652b82fep+0), e * set1<R>(1 / Lane<R>::exponent_unit));
}

template <class R>
ASGD_FN R exp2(R x) {
    using Bits = typename Lane<R>::Bits;
    const R magic = set1<R>(0x1.8p+52);
    const R shifted = x + magic;
    const R n = shifted - magic;
    const R r = x - n;
    const R y = fma(r, horner(Constants<double>::exp2(), r), set1<R>(1.0));
    const Bits scale = (as_bits(shifted) - as_bits(magic)) << 52;
    return select_less(n, set1<R>(-1021.0), set1<R>(0.0), as_real(as_bits(y) + scale));
}

// e^x for x that give a normal number, NaN for NaN.
template <class R>
ASGD_FN R exp_unclamped(R x) {
    using C = Constants<typename Lane<R>::Real>;
    const R magic = set1<R>(C::round_to_integer);
    const R shifted = fma(x, set1<R>(C::log2e_high), magic);
    const R n = shifted - magic;
    const R r = fma(x, set1<R>(C::log2e_low), fma(x, set1<R>(C::log2e_high), -n));
    const R mantissa = fma(r, horner(C::exp2(), r), set1<R>(1));
    return as_real(as_bits(mantissa) + ((as_bits(shifted) - as_bits(magic)) << C::mantissa_bits)) + (x - x);
}

// e^x, x first brought into [-86, 88] ([-700, 700] in float64); NaN for NaN.
template <class R>
ASGD_FN R exp_clamped(R x) {
    using C = Constants<typename Lane<R>::Real>;
    return exp_unclamped(min_keep_nan(set1<R>(C::highest_exponent), max_keep_nan(set1<R>(C::lowest_exponent), x)));
}

// ln x for positive normal x.
template <class R>
ASGD_FN R natural_log(R x) {
    return set1<R>(typename Lane<R>::Real(-0.5)) * minus_two_log(x);
}

// tanh x to within 2 ulp of 1.
template <class R>
ASGD_FN R tanh(R x) {
    const R one = set1<R>(1), two = set1<R>(2);
    return one - two / (exp_clamped(x + x) + one);
}

ASGD_ISA_NAMESPACE_END
