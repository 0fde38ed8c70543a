// AVX-512 (F, DQ, VL, BW) lanes: 16 float32 or 8 float64. Only isa_avx512.cpp includes this. See lanes_plain.hpp.
#pragma once

#include <immintrin.h>

#include "../core/lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

struct F32x16 {
    __m512 v;
};
struct F64x8 {
    __m512d v;
};
struct U32x16 {
    __m512i v;
};
struct U64x8 {
    __m512i v;
};
// 16 Philox words as two vectors of 64-bit lanes, even and odd replicates; only the low halves count, because that is
// what the widening multiply reads: no shuffle is needed until the words leave the generator.
struct Word32x16 {
    __m512i even, odd;
};
struct Word64x8 {
    __m512i v;  // the low half of each 64-bit lane counts
};

template <>
struct Lane<F32x16> {
    using Real = float;
    using Schedule = F64x8;
    using Bits = U32x16;
    using Word = Word32x16;
    static constexpr int width = 16, strip = 8, drawn_together = 2, registers = 32;
    static constexpr bool pipelined = true, limits_size = true;
    static constexpr float exponent_unit = 0x1p23f;
};
template <>
struct Lane<F64x8> {
    using Real = double;
    using Schedule = F64x8;
    using Bits = U64x8;
    using Word = Word64x8;
    static constexpr int width = 8, strip = 8, drawn_together = 2, registers = 32;
    static constexpr bool pipelined = true, limits_size = true;
    static constexpr double exponent_unit = 0x1p52;
};

ASGD_SPECIALIZATION F32x16 set1<F32x16>(float x) { return {_mm512_set1_ps(x)}; }
ASGD_SPECIALIZATION F64x8 set1<F64x8>(double x) { return {_mm512_set1_pd(x)}; }
ASGD_SPECIALIZATION U32x16 set1_bits<U32x16>(uint64_t x) { return {_mm512_set1_epi32(int(uint32_t(x)))}; }
ASGD_SPECIALIZATION U64x8 set1_bits<U64x8>(uint64_t x) { return {_mm512_set1_epi64(int64_t(x))}; }
ASGD_SPECIALIZATION F32x16 load<F32x16>(const float* p) { return {_mm512_load_ps(p)}; }
ASGD_SPECIALIZATION F64x8 load<F64x8>(const double* p) { return {_mm512_load_pd(p)}; }
ASGD_SPECIALIZATION F64x8 iota<F64x8>() { return {_mm512_setr_pd(0, 1, 2, 3, 4, 5, 6, 7)}; }
ASGD_SPECIALIZATION Word32x16 word_set1<Word32x16>(uint32_t x) {
    const __m512i w = _mm512_set1_epi32(int32_t(x));
    return {w, w};
}
ASGD_SPECIALIZATION Word64x8 word_set1<Word64x8>(uint32_t x) { return {_mm512_set1_epi32(int32_t(x))}; }
ASGD_SPECIALIZATION Word32x16 replicate_words<F32x16>(uint32_t first) {
    const __m512i base = _mm512_set1_epi64(int64_t(first));
    return {_mm512_add_epi64(base, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14)),
            _mm512_add_epi64(base, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15))};
}
ASGD_SPECIALIZATION Word64x8 replicate_words<F64x8>(uint32_t first) {
    return {_mm512_add_epi64(_mm512_set1_epi64(int64_t(first)), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7))};
}

ASGD_FN void store(float* p, F32x16 x) { _mm512_store_ps(p, x.v); }
ASGD_FN void store(double* p, F64x8 x) { _mm512_store_pd(p, x.v); }
ASGD_FN void store_bits(uint32_t* p, U32x16 x) { _mm512_store_si512(p, x.v); }
ASGD_FN void store_bits(uint64_t* p, U64x8 x) { _mm512_store_si512(p, x.v); }
ASGD_FN U32x16 load_bits(const uint32_t* p, F32x16) { return {_mm512_load_si512(p)}; }
ASGD_FN U64x8 load_bits(const uint64_t* p, F64x8) { return {_mm512_load_si512(p)}; }

ASGD_FN F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
ASGD_FN F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
ASGD_FN F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
ASGD_FN F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
ASGD_FN F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
ASGD_FN F32x16 operator-(F32x16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0))}; }
ASGD_FN F32x16 sqrt(F32x16 a) { return {_mm512_sqrt_ps(a.v)}; }
ASGD_FN F32x16 absolute(F32x16 a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0), a.v)}; }
ASGD_FN F32x16 max_keep_nan(F32x16 bound, F32x16 y) { return {_mm512_max_ps(bound.v, y.v)}; }
ASGD_FN F32x16 min_keep_nan(F32x16 bound, F32x16 y) { return {_mm512_min_ps(bound.v, y.v)}; }
ASGD_FN F32x16 select_less(F32x16 a, F32x16 b, F32x16 x, F32x16 y) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
ASGD_FN F64x8 operator+(F64x8 a, F64x8 b) { return {_mm512_add_pd(a.v, b.v)}; }
ASGD_FN F64x8 operator-(F64x8 a, F64x8 b) { return {_mm512_sub_pd(a.v, b.v)}; }
ASGD_FN F64x8 operator*(F64x8 a, F64x8 b) { return {_mm512_mul_pd(a.v, b.v)}; }
ASGD_FN F64x8 operator/(F64x8 a, F64x8 b) { return {_mm512_div_pd(a.v, b.v)}; }
ASGD_FN F64x8 fma(F64x8 a, F64x8 b, F64x8 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
ASGD_FN F64x8 operator-(F64x8 a) { return {_mm512_xor_pd(a.v, _mm512_set1_pd(-0.0))}; }
ASGD_FN F64x8 sqrt(F64x8 a) { return {_mm512_sqrt_pd(a.v)}; }
ASGD_FN F64x8 absolute(F64x8 a) { return {_mm512_andnot_pd(_mm512_set1_pd(-0.0), a.v)}; }
ASGD_FN F64x8 max_keep_nan(F64x8 bound, F64x8 y) { return {_mm512_max_pd(bound.v, y.v)}; }
ASGD_FN F64x8 min_keep_nan(F64x8 bound, F64x8 y) { return {_mm512_min_pd(bound.v, y.v)}; }
ASGD_FN F64x8 select_less(F64x8 a, F64x8 b, F64x8 x, F64x8 y) {
    return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}

ASGD_FN U32x16 operator+(U32x16 a, U32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
ASGD_FN U32x16 operator-(U32x16 a, U32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
ASGD_FN U32x16 operator&(U32x16 a, U32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
ASGD_FN U32x16 operator|(U32x16 a, U32x16 b) { return {_mm512_or_si512(a.v, b.v)}; }
ASGD_FN U32x16 operator^(U32x16 a, U32x16 b) { return {_mm512_xor_si512(a.v, b.v)}; }
ASGD_FN U32x16 operator<<(U32x16 a, int n) { return {_mm512_slli_epi32(a.v, unsigned(n))}; }
ASGD_FN U32x16 operator>>(U32x16 a, int n) { return {_mm512_srli_epi32(a.v, unsigned(n))}; }
ASGD_FN U64x8 operator+(U64x8 a, U64x8 b) { return {_mm512_add_epi64(a.v, b.v)}; }
ASGD_FN U64x8 operator-(U64x8 a, U64x8 b) { return {_mm512_sub_epi64(a.v, b.v)}; }
ASGD_FN U64x8 operator&(U64x8 a, U64x8 b) { return {_mm512_and_si512(a.v, b.v)}; }
ASGD_FN U64x8 operator|(U64x8 a, U64x8 b) { return {_mm512_or_si512(a.v, b.v)}; }
ASGD_FN U64x8 operator^(U64x8 a, U64x8 b) { return {_mm512_xor_si512(a.v, b.v)}; }
ASGD_FN U64x8 operator<<(U64x8 a, int n) { return {_mm512_slli_epi64(a.v, unsigned(n))}; }
ASGD_FN U64x8 operator>>(U64x8 a, int n) { return {_mm512_srli_epi64(a.v, unsigned(n))}; }
ASGD_FN U32x16 as_bits(F32x16 x) { return {_mm512_castps_si512(x.v)}; }
ASGD_FN U64x8 as_bits(F64x8 x) { return {_mm512_castpd_si512(x.v)}; }
ASGD_FN F32x16 as_real(U32x16 x) { return {_mm512_castsi512_ps(x.v)}; }
ASGD_FN F64x8 as_real(U64x8 x) { return {_mm512_castsi512_pd(x.v)}; }

// Truth table 0xEA is (x & mask) | a.
ASGD_FN F32x16 signed_by_top_bit(U32x16 w, F32x16 s) {
    return {_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(w.v, _mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(s.v), 0xEA))};
}
ASGD_FN F64x8 signed_by_top_bit(U64x8 w, F64x8 s) {
    return {_mm512_castsi512_pd(
        _mm512_ternarylogic_epi64(w.v, _mm512_set1_epi64(INT64_MIN), _mm512_castpd_si512(s.v), 0xEA))};
}
// vfixupimm takes four bits of its table for each class of number: NaN, signalling NaN, zero, one, -inf, inf, negative,
// positive. 0 keeps the first operand, 8 is zero, 9 is -1, 10 is 1.
ASGD_FN F32x16 sign_times(F32x16 x, F32x16 a) {
    return {_mm512_fixupimm_ps(signed_by_top_bit(as_bits(x), a).v, x.v, _mm512_set1_epi32(0x00000800), 0)};
}
ASGD_FN F64x8 sign_times(F64x8 x, F64x8 a) {
    return {_mm512_fixupimm_pd(signed_by_top_bit(as_bits(x), a).v, x.v, _mm512_set1_epi64(0x00000800), 0)};
}
ASGD_FN F32x16 add_sign_times(F32x16 g, F32x16 x, F32x16 a) {  // a product with -1, 0 or 1 is exact
    return fma({_mm512_fixupimm_ps(x.v, x.v, _mm512_set1_epi32(int(0xA9A9A800u)), 0)}, a, g);
}
ASGD_FN F64x8 add_sign_times(F64x8 g, F64x8 x, F64x8 a) {
    return fma({_mm512_fixupimm_pd(x.v, x.v, _mm512_set1_epi64(int64_t(0xA9A9A800u)), 0)}, a, g);
}

// x, or bound >= 0 with the sign of x where that is smaller in size or x is NaN. 2 says: the smaller size, the first
// one's sign.
ASGD_FN F32x16 limit_size(F32x16 x, F32x16 bound) { return {_mm512_range_ps(x.v, bound.v, 2)}; }
ASGD_FN F64x8 limit_size(F64x8 x, F64x8 bound) { return {_mm512_range_pd(x.v, bound.v, 2)}; }

ASGD_FN F32x16 signed_to_real(U32x16 x) { return {_mm512_cvtepi32_ps(x.v)}; }
ASGD_FN F32x16 unsigned_to_real(U32x16 x) { return {_mm512_cvtepu32_ps(x.v)}; }
ASGD_FN F32x16 exponent_to_real(U32x16 j) { return {_mm512_cvtepi32_ps(j.v)}; }
ASGD_FN F64x8 exponent_to_real(U64x8 j) { return {_mm512_cvtepi64_pd(j.v)}; }
ASGD_FN void swap_where_bit0(U32x16 b, F32x16& first, F32x16& second) {
    const __mmask16 k = _mm512_test_epi32_mask(b.v, _mm512_set1_epi32(1));
    const __m512 f = _mm512_mask_blend_ps(k, first.v, second.v);
    second.v = _mm512_mask_blend_ps(k, second.v, first.v);
    first.v = f;
}
ASGD_FN void swap_where_bit0(U64x8 b, F64x8& first, F64x8& second) {
    const __mmask8 k = _mm512_test_epi64_mask(b.v, _mm512_set1_epi64(1));
    const __m512d f = _mm512_mask_blend_pd(k, first.v, second.v);
    second.v = _mm512_mask_blend_pd(k, second.v, first.v);
    first.v = f;
}

ASGD_FN void mul_high_low(uint32_t m, Word64x8 a, Word64x8& high, Word64x8& low) {
    low.v = _mm512_mul_epu32(a.v, _mm512_set1_epi64(int64_t(m)));
    high.v = _mm512_srli_epi64(low.v, 32);
}
ASGD_FN void mul_high_low(uint32_t m, Word32x16 a, Word32x16& high, Word32x16& low) {
    const __m512i factor = _mm512_set1_epi64(int64_t(m));
    low.even = _mm512_mul_epu32(a.even, factor);
    low.odd = _mm512_mul_epu32(a.odd, factor);
    high.even = _mm512_srli_epi64(low.even, 32);
    high.odd = _mm512_srli_epi64(low.odd, 32);
}
ASGD_FN Word64x8 xor2(Word64x8 a, Word64x8 b) { return {_mm512_xor_si512(a.v, b.v)}; }
ASGD_FN Word64x8 xor3(Word64x8 a, Word64x8 b, Word64x8 c) { return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0x96)}; }
ASGD_FN Word32x16 xor2(Word32x16 a, Word32x16 b) {
    return {_mm512_xor_si512(a.even, b.even), _mm512_xor_si512(a.odd, b.odd)};
}
ASGD_FN Word32x16 xor3(Word32x16 a, Word32x16 b, Word32x16 c) {
    return {_mm512_ternarylogic_epi32(a.even, b.even, c.even, 0x96),
            _mm512_ternarylogic_epi32(a.odd, b.odd, c.odd, 0x96)};
}
ASGD_FN U32x16 narrow(Word32x16 w) { return {_mm512_mask_shuffle_epi32(w.even, 0xAAAA, w.odd, _MM_PERM_CCAA)}; }
ASGD_FN U32x16 word_bits(Word32x16 w, F32x16) { return narrow(w); }
ASGD_FN U64x8 word_bits(Word64x8 w, F64x8) { return {_mm512_and_si512(w.v, _mm512_set1_epi64(0xFFFFFFFF))}; }
// `low` holds the whole product.
ASGD_FN U32x16 turned_bits(Word32x16, Word32x16 low, F32x16) {
    return {_mm512_mask_shuffle_epi32(low.odd, 0x5555, low.even, _MM_PERM_DDBB)};
}
ASGD_FN U64x8 turned_bits(Word64x8, Word64x8 low, F64x8) { return {_mm512_shuffle_epi32(low.v, _MM_PERM_CDAB)}; }

ASGD_FN F32x16 fold_columns(const F32x16* vectors) {
    __m512 a[8], b[4], c[2];
    ASGD_UNROLL
    for (int i = 0; i < 8; ++i) {
        const __m512 x = vectors[i].v, y = vectors[i + 8].v;
        a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xEE));
    }
    ASGD_UNROLL
    for (int i = 0; i < 4; ++i)
        b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), _mm512_shuffle_f32x4(a[i], a[i + 4], 0xDD));
    ASGD_UNROLL
    for (int i = 0; i < 2; ++i)
        c[i] = _mm512_add_ps(_mm512_shuffle_ps(b[i], b[i + 2], 0x44), _mm512_shuffle_ps(b[i], b[i + 2], 0xEE));
    const __m512 d = _mm512_add_ps(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xDD));
    // Now in quarters of columns 0, 8, 4, 12 and, in each, 0, 2, 1, 3.
    return {_mm512_permutexvar_ps(_mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15), d)};
}
ASGD_FN F64x8 fold_columns(const F64x8* vectors) {
    __m512d a[4], b[2];
    ASGD_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __m512d x = vectors[i].v, y = vectors[i + 4].v;
        a[i] = _mm512_add_pd(_mm512_shuffle_f64x2(x, y, 0x44), _mm512_shuffle_f64x2(x, y, 0xEE));
    }
    ASGD_UNROLL
    for (int i = 0; i < 2; ++i)
        b[i] = _mm512_add_pd(_mm512_shuffle_f64x2(a[i], a[i + 2], 0x88), _mm512_shuffle_f64x2(a[i], a[i + 2], 0xDD));
    const __m512d d = _mm512_add_pd(_mm512_unpacklo_pd(b[0], b[1]), _mm512_unpackhi_pd(b[0], b[1]));
    return {_mm512_permutexvar_pd(_mm512_setr_epi64(0, 1, 4, 5, 2, 3, 6, 7), d)};
}

ASGD_FN void interleave(F32x16 a, F32x16 b, F32x16& low, F32x16& high) {
    const __m512i of_low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    low.v = _mm512_permutex2var_ps(a.v, of_low, b.v);
    high.v = _mm512_permutex2var_ps(a.v, _mm512_add_epi32(of_low, _mm512_set1_epi32(8)), b.v);
}
ASGD_FN void interleave(F64x8 a, F64x8 b, F64x8& low, F64x8& high) {
    const __m512i of_low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    low.v = _mm512_permutex2var_pd(a.v, of_low, b.v);
    high.v = _mm512_permutex2var_pd(a.v, _mm512_add_epi64(of_low, _mm512_set1_epi64(4)), b.v);
}

ASGD_ISA_NAMESPACE_END
