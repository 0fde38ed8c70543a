// Lanes of width one: float and double themselves. The scalar instruction set, other processors, GPU threads, and
// single values inside vector code. The vector lanes (cpu/lanes_avx2.hpp, lanes_avx512.hpp, lanes_neon.hpp) offer
// exactly these functions.
#pragma once

#include "portable.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Per lane type R: its Real, the lanes Schedule in which learning rates are computed, the unsigned lanes Bits of the
// same width, Word, one Philox word per lane, strip, the number of vectors advanced together, drawn_together, the
// number whose draws are made side by side, registers, how many the processor has, pipelined, whether Gaussian ones are
// made in stages instead, limits_size, whether there is a limit_size as well, and exponent_unit, in which
// exponent_to_real counts.
template <class R>
struct Lane;

template <>
struct Lane<float> {
    using Real = float;
    using Schedule = double;
    using Bits = uint32_t;
    using Word = uint32_t;
    static constexpr int width = 1, strip = 16, drawn_together = 1, registers = 16;
    static constexpr bool pipelined = false, limits_size = false;
    static constexpr float exponent_unit = 0x1p23f;
};

template <>
struct Lane<double> {
    using Real = double;
    using Schedule = double;
    using Bits = uint64_t;
    using Word = uint32_t;
    static constexpr int width = 1, strip = 16, drawn_together = 1, registers = 16;
    static constexpr bool pipelined = false, limits_size = false;
    static constexpr double exponent_unit = 1;
};

template <class R>
ASGD_FN R set1(typename Lane<R>::Real x);
template <class R>
ASGD_FN R load(const typename Lane<R>::Real* p);
template <class R>
ASGD_FN R iota();
template <class Bits>
ASGD_FN Bits set1_bits(uint64_t x);
template <class Word>
ASGD_FN Word word_set1(uint32_t x);
template <class R>
ASGD_FN typename Lane<R>::Word replicate_words(uint32_t first);

ASGD_SPECIALIZATION float set1<float>(float x) { return x; }
ASGD_SPECIALIZATION double set1<double>(double x) { return x; }
ASGD_SPECIALIZATION float load<float>(const float* p) { return *p; }
ASGD_SPECIALIZATION double load<double>(const double* p) { return *p; }
ASGD_SPECIALIZATION double iota<double>() { return 0; }
ASGD_SPECIALIZATION uint32_t set1_bits<uint32_t>(uint64_t x) { return uint32_t(x); }
ASGD_SPECIALIZATION uint64_t set1_bits<uint64_t>(uint64_t x) { return x; }
ASGD_SPECIALIZATION uint32_t word_set1<uint32_t>(uint32_t x) { return x; }
ASGD_SPECIALIZATION uint32_t replicate_words<float>(uint32_t first) { return first; }
ASGD_SPECIALIZATION uint32_t replicate_words<double>(uint32_t first) { return first; }

ASGD_FN void store(float* p, float x) { *p = x; }
ASGD_FN void store(double* p, double x) { *p = x; }
ASGD_FN void store_bits(uint32_t* p, uint32_t x) { *p = x; }
ASGD_FN void store_bits(uint64_t* p, uint64_t x) { *p = x; }
ASGD_FN uint32_t load_bits(const uint32_t* p, float) { return *p; }
ASGD_FN uint64_t load_bits(const uint64_t* p, double) { return *p; }

#if ASGD_DEVICE_CODE
ASGD_FN float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
ASGD_FN double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
ASGD_FN float sqrt(float x) { return __fsqrt_rn(x); }
ASGD_FN double sqrt(double x) { return __dsqrt_rn(x); }
ASGD_FN float absolute(float x) { return fabsf(x); }
ASGD_FN double absolute(double x) { return fabs(x); }
#else
ASGD_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ASGD_FN double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
ASGD_FN float sqrt(float x) { return __builtin_sqrtf(x); }
ASGD_FN double sqrt(double x) { return __builtin_sqrt(x); }
ASGD_FN float absolute(float x) { return __builtin_fabsf(x); }
ASGD_FN double absolute(double x) { return __builtin_fabs(x); }
#endif

ASGD_FN uint32_t as_bits(float x) { return bit_cast<uint32_t>(x); }
ASGD_FN uint64_t as_bits(double x) { return bit_cast<uint64_t>(x); }
ASGD_FN float as_real(uint32_t x) { return bit_cast<float>(x); }
ASGD_FN double as_real(uint64_t x) { return bit_cast<double>(x); }

#if ASGD_DEVICE_CODE >= 800
// One instruction; they differ from the comparisons below in the sign of a zero only, which no recorded value shows.
ASGD_FN float max_keep_nan(float bound, float y) {
    float z;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(bound), "f"(y));
    return z;
}
ASGD_FN float min_keep_nan(float bound, float y) {
    float z;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(z) : "f"(bound), "f"(y));
    return z;
}
#else
ASGD_FN float max_keep_nan(float bound, float y) { return bound > y ? bound : y; }
ASGD_FN float min_keep_nan(float bound, float y) { return bound < y ? bound : y; }
#endif
ASGD_FN double max_keep_nan(double bound, double y) { return bound > y ? bound : y; }
ASGD_FN double min_keep_nan(double bound, double y) { return bound < y ? bound : y; }
ASGD_FN float select_less(float a, float b, float x, float y) { return a < b ? x : y; }
ASGD_FN double select_less(double a, double b, double x, double y) { return a < b ? x : y; }

// sign(x) * a for a >= 0, with sign(+-0) = 0.
ASGD_FN float sign_times(float x, float a) { return x == 0 ? 0.0f : as_real((as_bits(x) & 0x80000000u) | as_bits(a)); }
ASGD_FN double sign_times(double x, double a) {
    return x == 0 ? 0.0 : as_real((as_bits(x) & 0x8000000000000000u) | as_bits(a));
}
// g + sign(x) * a.
template <class R>
ASGD_FN R add_sign_times(R g, R x, R a) {
    return g + sign_times(x, a);
}
// For x = 0 or in [2^-100, 2^126], as the squared radius of a Gaussian pair is.
template <class R>
ASGD_FN R sqrt_normal(R x) {
    return sqrt(x);
}
#if ASGD_DEVICE_CODE
// One instruction less: no zero is selected, the addition is left out. Differs in the sign of a zero only, like max
// above.
ASGD_FN float add_sign_times(float g, float x, float a) {
    const float term = as_real((as_bits(x) & 0x80000000u) | as_bits(a));
    asm("{ .reg .pred p; setp.neu.f32 p, %1, 0f00000000; @p add.rn.f32 %0, %0, %2; }" : "+f"(g) : "f"(x), "f"(term));
    return g;
}
// The instructions that ptxas makes of sqrt.rn for such numbers, from Turing to Blackwell, without its branch for
// others. PTX promises less of rsqrt.approx, a relative error of 2^-22.9: of the 50.9 million pairs of x in [1, 4) and
// a float r that it allows two would be rounded wrongly, none with the r that is nearest.
ASGD_FN float sqrt_normal(float x) {
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(fmaxf(x, 0x1p-126f)));
    const float s = x * r, half = 0.5f * r;
    return __fmaf_rn(__fmaf_rn(-s, s, x), half, s);
}
#endif
// s >= 0 with the sign that the top bit of w holds.
ASGD_FN float signed_by_top_bit(uint32_t w, float s) { return as_real((w & 0x80000000u) | as_bits(s)); }
ASGD_FN double signed_by_top_bit(uint64_t w, double s) { return as_real((w & 0x8000000000000000u) | as_bits(s)); }

ASGD_FN float signed_to_real(uint32_t x) { return float(int32_t(x)); }
ASGD_FN float unsigned_to_real(uint32_t x) { return float(x); }
// The signed exponent in the upper bits of j, whose mantissa bits are 0, times exponent_unit.
ASGD_FN float exponent_to_real(uint32_t j) { return float(int32_t(j)); }
ASGD_FN double exponent_to_real(uint64_t j) {
    return as_real(((j + 0x3FF0000000000000u) >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
}

template <class R, class Bits>
ASGD_FN void swap_scalar_where_bit0(Bits b, R& first, R& second) {
    const R f = first, s = second;
    first = (b & 1) != 0 ? s : f;
    second = (b & 1) != 0 ? f : s;
}
ASGD_FN void swap_where_bit0(uint32_t b, float& first, float& second) { swap_scalar_where_bit0(b, first, second); }
ASGD_FN void swap_where_bit0(uint64_t b, double& first, double& second) { swap_scalar_where_bit0(b, first, second); }

ASGD_FN void mul_high_low(uint32_t m, uint32_t a, uint32_t& high, uint32_t& low) {
    const uint64_t product = uint64_t(m) * a;
    high = uint32_t(product >> 32);
    low = uint32_t(product);
}
ASGD_FN uint32_t xor2(uint32_t a, uint32_t b) { return a ^ b; }
ASGD_FN uint32_t xor3(uint32_t a, uint32_t b, uint32_t c) { return a ^ b ^ c; }

// Of `width` vectors the sum of the elements of each, e[k] += e[k + w] for w = width / 2 ... 1, in one vector.
ASGD_FN float fold_columns(const float* vectors) { return *vectors; }
ASGD_FN double fold_columns(const double* vectors) { return *vectors; }

// Elements of a and b by turns: those of their lower halves to low, of their upper halves to high.
ASGD_FN void interleave(float a, float, float& low, float&) { low = a; }
ASGD_FN void interleave(double a, double, double& low, double&) { low = a; }

ASGD_FN uint32_t narrow(uint32_t word) { return word; }
ASGD_FN uint64_t join(uint32_t high, uint32_t low) { return uint64_t(high) << 32 | low; }
// A word, and a product of mul_high_low with its halves changed places, as Bits of the same number of lanes. 32 bits
// have room for the high half alone.
ASGD_FN uint32_t word_bits(uint32_t word, float) { return word; }
ASGD_FN uint64_t word_bits(uint32_t word, double) { return word; }
ASGD_FN uint32_t turned_bits(uint32_t high, uint32_t, float) { return high; }
ASGD_FN uint64_t turned_bits(uint32_t high, uint32_t low, double) { return join(low, high); }
ASGD_FN uint32_t top_aligned(uint32_t word, float) { return word; }
ASGD_FN uint64_t top_aligned(uint32_t word, double) { return uint64_t(word) << 32; }

ASGD_ISA_NAMESPACE_END
