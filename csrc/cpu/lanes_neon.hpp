// NEON lanes of 64-bit ARM processors: 4 float32 or 2 float64. Only isa_neon.cpp includes this. See lanes_plain.hpp.
#pragma once

#include <arm_neon.h>

#include "../core/lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

struct F32x4 {
    float32x4_t v;
};
struct F64x2 {
    float64x2_t v;
};
struct U32x4 {
    uint32x4_t v;
};
struct U64x2 {
    uint64x2_t v;
};
struct Word32x4 {
    uint32x4_t v;
};
struct Word64x2 {
    uint32x2_t v;
};

template <>
struct Lane<F32x4> {
    using Real = float;
    using Schedule = F64x2;
    using Bits = U32x4;
    using Word = Word32x4;
    static constexpr int width = 4, strip = 4, drawn_together = 2, registers = 32;
    static constexpr bool pipelined = false, limits_size = false;
    static constexpr float exponent_unit = 0x1p23f;
};
template <>
struct Lane<F64x2> {
    using Real = double;
    using Schedule = F64x2;
    using Bits = U64x2;
    using Word = Word64x2;
    static constexpr int width = 2, strip = 4, drawn_together = 2, registers = 32;
    static constexpr bool pipelined = false, limits_size = false;
    static constexpr double exponent_unit = 1;
};

ASGD_SPECIALIZATION F32x4 set1<F32x4>(float x) { return {vdupq_n_f32(x)}; }
ASGD_SPECIALIZATION F64x2 set1<F64x2>(double x) { return {vdupq_n_f64(x)}; }
ASGD_SPECIALIZATION U32x4 set1_bits<U32x4>(uint64_t x) { return {vdupq_n_u32(uint32_t(x))}; }
ASGD_SPECIALIZATION U64x2 set1_bits<U64x2>(uint64_t x) { return {vdupq_n_u64(x)}; }
ASGD_SPECIALIZATION F32x4 load<F32x4>(const float* p) { return {vld1q_f32(p)}; }
ASGD_SPECIALIZATION F64x2 load<F64x2>(const double* p) { return {vld1q_f64(p)}; }
ASGD_SPECIALIZATION F64x2 iota<F64x2>() { return {vcombine_f64(vdup_n_f64(0), vdup_n_f64(1))}; }
ASGD_SPECIALIZATION Word32x4 word_set1<Word32x4>(uint32_t x) { return {vdupq_n_u32(x)}; }
ASGD_SPECIALIZATION Word64x2 word_set1<Word64x2>(uint32_t x) { return {vdup_n_u32(x)}; }
ASGD_SPECIALIZATION Word32x4 replicate_words<F32x4>(uint32_t first) {
    const uint32_t number[4] = {0, 1, 2, 3};
    return {vaddq_u32(vdupq_n_u32(first), vld1q_u32(number))};
}
ASGD_SPECIALIZATION Word64x2 replicate_words<F64x2>(uint32_t first) {
    const uint32_t number[2] = {0, 1};
    return {vadd_u32(vdup_n_u32(first), vld1_u32(number))};
}

ASGD_FN void store(float* p, F32x4 x) { vst1q_f32(p, x.v); }
ASGD_FN void store(double* p, F64x2 x) { vst1q_f64(p, x.v); }
ASGD_FN void store_bits(uint32_t* p, U32x4 x) { vst1q_u32(p, x.v); }
ASGD_FN void store_bits(uint64_t* p, U64x2 x) { vst1q_u64(p, x.v); }
ASGD_FN U32x4 load_bits(const uint32_t* p, F32x4) { return {vld1q_u32(p)}; }
ASGD_FN U64x2 load_bits(const uint64_t* p, F64x2) { return {vld1q_u64(p)}; }

ASGD_FN U32x4 as_bits(F32x4 x) { return {vreinterpretq_u32_f32(x.v)}; }
ASGD_FN U64x2 as_bits(F64x2 x) { return {vreinterpretq_u64_f64(x.v)}; }
ASGD_FN F32x4 as_real(U32x4 x) { return {vreinterpretq_f32_u32(x.v)}; }
ASGD_FN F64x2 as_real(U64x2 x) { return {vreinterpretq_f64_u64(x.v)}; }

ASGD_FN F32x4 operator+(F32x4 a, F32x4 b) { return {vaddq_f32(a.v, b.v)}; }
ASGD_FN F32x4 operator-(F32x4 a, F32x4 b) { return {vsubq_f32(a.v, b.v)}; }
ASGD_FN F32x4 operator*(F32x4 a, F32x4 b) { return {vmulq_f32(a.v, b.v)}; }
ASGD_FN F32x4 operator/(F32x4 a, F32x4 b) { return {vdivq_f32(a.v, b.v)}; }
ASGD_FN F32x4 fma(F32x4 a, F32x4 b, F32x4 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
ASGD_FN F32x4 operator-(F32x4 a) { return {vnegq_f32(a.v)}; }
ASGD_FN F32x4 sqrt(F32x4 a) { return {vsqrtq_f32(a.v)}; }
ASGD_FN F32x4 absolute(F32x4 a) { return {vabsq_f32(a.v)}; }
ASGD_FN F32x4 max_keep_nan(F32x4 bound, F32x4 y) { return {vbslq_f32(vcgtq_f32(bound.v, y.v), bound.v, y.v)}; }
ASGD_FN F32x4 min_keep_nan(F32x4 bound, F32x4 y) { return {vbslq_f32(vcltq_f32(bound.v, y.v), bound.v, y.v)}; }
ASGD_FN F32x4 select_less(F32x4 a, F32x4 b, F32x4 x, F32x4 y) { return {vbslq_f32(vcltq_f32(a.v, b.v), x.v, y.v)}; }
ASGD_FN F64x2 operator+(F64x2 a, F64x2 b) { return {vaddq_f64(a.v, b.v)}; }
ASGD_FN F64x2 operator-(F64x2 a, F64x2 b) { return {vsubq_f64(a.v, b.v)}; }
ASGD_FN F64x2 operator*(F64x2 a, F64x2 b) { return {vmulq_f64(a.v, b.v)}; }
ASGD_FN F64x2 operator/(F64x2 a, F64x2 b) { return {vdivq_f64(a.v, b.v)}; }
ASGD_FN F64x2 fma(F64x2 a, F64x2 b, F64x2 c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
ASGD_FN F64x2 operator-(F64x2 a) { return {vnegq_f64(a.v)}; }
ASGD_FN F64x2 sqrt(F64x2 a) { return {vsqrtq_f64(a.v)}; }
ASGD_FN F64x2 absolute(F64x2 a) { return {vabsq_f64(a.v)}; }
ASGD_FN F64x2 max_keep_nan(F64x2 bound, F64x2 y) { return {vbslq_f64(vcgtq_f64(bound.v, y.v), bound.v, y.v)}; }
ASGD_FN F64x2 min_keep_nan(F64x2 bound, F64x2 y) { return {vbslq_f64(vcltq_f64(bound.v, y.v), bound.v, y.v)}; }
ASGD_FN F64x2 select_less(F64x2 a, F64x2 b, F64x2 x, F64x2 y) { return {vbslq_f64(vcltq_f64(a.v, b.v), x.v, y.v)}; }

ASGD_FN U32x4 operator+(U32x4 a, U32x4 b) { return {vaddq_u32(a.v, b.v)}; }
ASGD_FN U32x4 operator-(U32x4 a, U32x4 b) { return {vsubq_u32(a.v, b.v)}; }
ASGD_FN U32x4 operator&(U32x4 a, U32x4 b) { return {vandq_u32(a.v, b.v)}; }
ASGD_FN U32x4 operator|(U32x4 a, U32x4 b) { return {vorrq_u32(a.v, b.v)}; }
ASGD_FN U32x4 operator^(U32x4 a, U32x4 b) { return {veorq_u32(a.v, b.v)}; }
ASGD_FN U32x4 operator<<(U32x4 a, int n) { return {vshlq_u32(a.v, vdupq_n_s32(n))}; }
ASGD_FN U32x4 operator>>(U32x4 a, int n) { return {vshlq_u32(a.v, vdupq_n_s32(-n))}; }
ASGD_FN U64x2 operator+(U64x2 a, U64x2 b) { return {vaddq_u64(a.v, b.v)}; }
ASGD_FN U64x2 operator-(U64x2 a, U64x2 b) { return {vsubq_u64(a.v, b.v)}; }
ASGD_FN U64x2 operator&(U64x2 a, U64x2 b) { return {vandq_u64(a.v, b.v)}; }
ASGD_FN U64x2 operator|(U64x2 a, U64x2 b) { return {vorrq_u64(a.v, b.v)}; }
ASGD_FN U64x2 operator^(U64x2 a, U64x2 b) { return {veorq_u64(a.v, b.v)}; }
ASGD_FN U64x2 operator<<(U64x2 a, int n) { return {vshlq_u64(a.v, vdupq_n_s64(n))}; }
ASGD_FN U64x2 operator>>(U64x2 a, int n) { return {vshlq_u64(a.v, vdupq_n_s64(-n))}; }

ASGD_FN F32x4 signed_by_top_bit(U32x4 w, F32x4 s) { return as_real((w & set1_bits<U32x4>(0x80000000u)) | as_bits(s)); }
ASGD_FN F32x4 sign_times(F32x4 x, F32x4 a) {
    const uint32x4_t zero = vceqzq_f32(x.v);
    return {vreinterpretq_f32_u32(vbicq_u32(as_bits(signed_by_top_bit(as_bits(x), a)).v, zero))};
}
ASGD_FN F64x2 signed_by_top_bit(U64x2 w, F64x2 s) {
    return as_real((w & set1_bits<U64x2>(0x8000000000000000u)) | as_bits(s));
}
ASGD_FN F64x2 sign_times(F64x2 x, F64x2 a) {
    const uint64x2_t zero = vceqzq_f64(x.v);
    return {vreinterpretq_f64_u64(vbicq_u64(as_bits(signed_by_top_bit(as_bits(x), a)).v, zero))};
}

ASGD_FN F32x4 signed_to_real(U32x4 x) { return {vcvtq_f32_s32(vreinterpretq_s32_u32(x.v))}; }
ASGD_FN F32x4 unsigned_to_real(U32x4 x) { return {vcvtq_f32_u32(x.v)}; }
ASGD_FN F32x4 exponent_to_real(U32x4 j) { return signed_to_real(j); }
ASGD_FN F64x2 exponent_to_real(U64x2 j) {
    const U64x2 biased = ((j + set1_bits<U64x2>(0x3FF0000000000000u)) >> 52) | set1_bits<U64x2>(0x4330000000000000u);
    return as_real(biased) - set1<F64x2>(0x1p52 + 1023);
}
ASGD_FN void swap_where_bit0(U32x4 b, F32x4& first, F32x4& second) {
    const uint32x4_t k = vtstq_u32(b.v, vdupq_n_u32(1));
    const float32x4_t f = vbslq_f32(k, second.v, first.v);
    second.v = vbslq_f32(k, first.v, second.v);
    first.v = f;
}
ASGD_FN void swap_where_bit0(U64x2 b, F64x2& first, F64x2& second) {
    const uint64x2_t k = vtstq_u64(b.v, vdupq_n_u64(1));
    const float64x2_t f = vbslq_f64(k, second.v, first.v);
    second.v = vbslq_f64(k, first.v, second.v);
    first.v = f;
}

ASGD_FN void mul_high_low(uint32_t m, Word64x2 a, Word64x2& high, Word64x2& low) {
    const uint64x2_t product = vmull_n_u32(a.v, m);
    high.v = vshrn_n_u64(product, 32);
    low.v = vmovn_u64(product);
}
ASGD_FN void mul_high_low(uint32_t m, Word32x4 a, Word32x4& high, Word32x4& low) {
    const uint32x4_t first = vreinterpretq_u32_u64(vmull_n_u32(vget_low_u32(a.v), m));
    const uint32x4_t second = vreinterpretq_u32_u64(vmull_high_n_u32(a.v, m));
    low.v = vuzp1q_u32(first, second);
    high.v = vuzp2q_u32(first, second);
}
ASGD_FN Word64x2 xor2(Word64x2 a, Word64x2 b) { return {veor_u32(a.v, b.v)}; }
ASGD_FN Word64x2 xor3(Word64x2 a, Word64x2 b, Word64x2 c) { return {veor_u32(veor_u32(a.v, b.v), c.v)}; }
ASGD_FN Word32x4 xor2(Word32x4 a, Word32x4 b) { return {veorq_u32(a.v, b.v)}; }
ASGD_FN Word32x4 xor3(Word32x4 a, Word32x4 b, Word32x4 c) { return {veorq_u32(veorq_u32(a.v, b.v), c.v)}; }
ASGD_FN U32x4 narrow(Word32x4 w) { return {w.v}; }
ASGD_FN U32x4 word_bits(Word32x4 w, F32x4) { return {w.v}; }
ASGD_FN U64x2 word_bits(Word64x2 w, F64x2) { return {vmovl_u32(w.v)}; }
ASGD_FN U32x4 turned_bits(Word32x4 high, Word32x4, F32x4) { return {high.v}; }
ASGD_FN U64x2 turned_bits(Word64x2 high, Word64x2 low, F64x2) {
    return {vorrq_u64(vshll_n_u32(low.v, 32), vmovl_u32(high.v))};
}

ASGD_FN F32x4 fold_columns(const F32x4* vectors) {
    float32x4_t a[2];
    ASGD_UNROLL
    for (int i = 0; i < 2; ++i) {
        const float64x2_t x = vreinterpretq_f64_f32(vectors[2 * i].v), y = vreinterpretq_f64_f32(vectors[2 * i + 1].v);
        a[i] = vaddq_f32(vreinterpretq_f32_f64(vuzp1q_f64(x, y)), vreinterpretq_f32_f64(vuzp2q_f64(x, y)));
    }
    return {vaddq_f32(vuzp1q_f32(a[0], a[1]), vuzp2q_f32(a[0], a[1]))};
}
ASGD_FN F64x2 fold_columns(const F64x2* vectors) {
    return {vaddq_f64(vuzp1q_f64(vectors[0].v, vectors[1].v), vuzp2q_f64(vectors[0].v, vectors[1].v))};
}

ASGD_FN void interleave(F32x4 a, F32x4 b, F32x4& low, F32x4& high) {
    low.v = vzip1q_f32(a.v, b.v);
    high.v = vzip2q_f32(a.v, b.v);
}
ASGD_FN void interleave(F64x2 a, F64x2 b, F64x2& low, F64x2& high) {
    low.v = vzip1q_f64(a.v, b.v);
    high.v = vzip2q_f64(a.v, b.v);
}

ASGD_ISA_NAMESPACE_END
