// Draws of mean 0 and variance 1 from Philox words, over a lane type. Included by trajectory.hpp.
//
//   noise        draws per call   range                    spacing
//   Rademacher   128 (both)       -1, +1                   one bit per draw
//   uniform      4 (2 in f64)     [-sqrt(3), sqrt(3)]      sqrt(3) * 2^-31, rounded to float32 (2^-51 in float64)
//   Gaussian     4 (2 in f64)     |z| <= 6.77 (8.58)       Box-Muller; radius from 32 (52) bits, angle from 32 (52)
//
// A Gaussian draw is within 4 ulp of the exact transform of its words, plus eps / radius from rounding the variate
// under the logarithm to the dtype (tests/test_draws.py).
#pragma once

#include "elementary.hpp"
#include "philox.hpp"
#include "spec.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int rademacher_draws_per_call = 128;

// How noise reaches a step: not at all, as a value to scale, or as a sign bit.
enum class NoiseForm { none, values, bits };

constexpr NoiseForm noise_form(NoiseKind kind) {
    switch (kind) {
        case NoiseKind::none: return NoiseForm::none;
        case NoiseKind::rademacher: return NoiseForm::bits;
        case NoiseKind::gaussian:
        case NoiseKind::uniform: return NoiseForm::values;
    }
    __builtin_unreachable();
}

// One for each number of philox_bits.
template <class Real>
inline constexpr int value_draws_per_call = philox_bits_per_call<Real>;

// What the words of a Gaussian pair become: the variate under the logarithm, in (0, 1] in float32, in [2^-53, 1) in
// float64, and that of the angle, in [-1, 1].
template <class R>
ASGD_FN R unit_variate(typename Lane<R>::Bits a) {
    if constexpr (sizeof(typename Lane<R>::Real) == 4)
        return fma(unsigned_to_real(a), set1<R>(0x1p-32f), set1<R>(0x1p-33f));
    else
        return as_real((a >> 12) | set1_bits<typename Lane<R>::Bits>(0x3FF0000000000000u)) -
               set1<R>(0x1.fffffffffffffp-1);  // exact
}
template <class R>
ASGD_FN R variate_of_angle(typename Lane<R>::Bits b) {
    if constexpr (sizeof(typename Lane<R>::Real) == 4)
        return signed_to_real(b) * set1<R>(0x1p-31f);
    else
        return as_real((b >> 12) | set1_bits<typename Lane<R>::Bits>(0x4000000000000000u)) - set1<R>(3.0);  // exact
}

// From an angle in an octant to one of all: the lowest bits of b say which.
template <class R>
ASGD_FN void turn(typename Lane<R>::Bits b, R& cosine, R& sine) {
    using Bits = typename Lane<R>::Bits;
    constexpr int to_sign = int(sizeof(typename Lane<R>::Real)) * 8 - 2;  // bit 1 to the sign bit
    const Bits sign =
        (b << to_sign) & set1_bits<Bits>(typename Constants<typename Lane<R>::Real>::Integer(1) << (to_sign + 1));
    cosine = as_real(as_bits(cosine) ^ sign);
    swap_where_bit0(b, cosine, sine);
}

template <class R>
ASGD_FN void gaussian_pair(typename Lane<R>::Bits a, typename Lane<R>::Bits b, R& z_even, R& z_odd) {
    const R radius = sqrt_normal(minus_two_log(unit_variate<R>(a)));
    R sine, cosine;
    sincos_octant(variate_of_angle<R>(b), sine, cosine);
    turn(b, cosine, sine);
    z_even = radius * cosine;
    z_odd = radius * sine;
}

// In [-sqrt(3), sqrt(3)].
template <class R>
ASGD_FN R uniform_variate(typename Lane<R>::Bits a) {
    if constexpr (sizeof(typename Lane<R>::Real) == 4)
        return signed_to_real(a) * set1<R>(0x1.bb67aep-31f);  // sqrt(3) 2^-31
    else
        return (as_real((a >> 12) | set1_bits<typename Lane<R>::Bits>(0x3FF0000000000000u)) - set1<R>(1.5)) *
               set1<R>(0x1.bb67ae8584caap+1);  // 2 sqrt(3)
}

// The value_draws_per_call draws of one Philox call.
template <class R, NoiseKind noise>
ASGD_FN void draw_values(const typename Lane<R>::Bits bits[philox_bits_per_call<R>], R z[philox_bits_per_call<R>]) {
    ASGD_UNROLL
    for (int i = 0; i < philox_bits_per_call<R>; i += 2) {
        if constexpr (noise == NoiseKind::gaussian) {
            gaussian_pair(bits[i], bits[i + 1], z[i], z[i + 1]);
        } else if constexpr (noise == NoiseKind::uniform) {
            z[i] = uniform_variate<R>(bits[i]);
            z[i + 1] = uniform_variate<R>(bits[i + 1]);
        } else {
            static_assert(known<noise>, "draw_values: no formula for this noise");
        }
    }
}

// The same of a place in a program whose draws are values, not signs.
template <class R, DrawKind kind>
ASGD_FN void draw_values(const typename Lane<R>::Bits bits[philox_bits_per_call<R>], R z[philox_bits_per_call<R>]) {
    if constexpr (kind == DrawKind::gaussian) {
        draw_values<R, NoiseKind::gaussian>(bits, z);
    } else if constexpr (kind == DrawKind::uniform) {
        draw_values<R, NoiseKind::uniform>(bits, z);
    } else if constexpr (kind == DrawKind::unit) {
        ASGD_UNROLL
        for (int i = 0; i < philox_bits_per_call<R>; ++i) z[i] = unit_variate<R>(bits[i]);
    } else {
        static_assert(known<kind>, "draw_values: no formula for this kind of draw");
    }
}

ASGD_ISA_NAMESPACE_END
