// AVX2 and FMA lanes: 8 float32 or 4 float64. Only isa_avx2.cpp includes this. See lanes_plain.hpp.
#pragma once

#include <immintrin.h>

#include "../core/lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

struct F32x8 {
    __m256 v;
};
struct F64x4 {
    __m256d v;
};
struct U32x8 {
    __m256i v;
};
struct U64x4 {
    __m256i v;
};
// 8 Philox words as two vectors of 64-bit lanes, even and odd replicates; only the low halves count, because that is
// what the widening multiply reads: no shuffle is needed until the words leave the generator.
struct Word32x8 {
    __m256i even, odd;
};
struct Word64x4 {
    __m256i v;  // the low half of each 64-bit lane counts
};

template <>
struct Lane<F32x8> {
    using Real = float;
    using Schedule = F64x4;
    using Bits = U32x8;
    using Word = Word32x8;
    static constexpr int width = 8, strip = 8, drawn_together = 2, registers = 16;
    static constexpr bool pipelined = true, limits_size = false;
    static constexpr float exponent_unit = 0x1p23f;
};
template <>
struct Lane<F64x4> {
    using Real = double;
    using Schedule = F64x4;
    using Bits = U64x4;
    using Word = Word64x4;
    static constexpr int width = 4, strip = 8, drawn_together = 2, registers = 16;
    static constexpr bool pipelined = true, limits_size = false;
    static constexpr double exponent_unit = 1;
};

ASGD_SPECIALIZATION F32x8 set1<F32x8>(float x) { return {_mm256_set1_ps(x)}; }
ASGD_SPECIALIZATION F64x4 set1<F64x4>(double x) { return {_mm256_set1_pd(x)}; }
ASGD_SPECIALIZATION U32x8 set1_bits<U32x8>(uint64_t x) { return {_mm256_set1_epi32(int(uint32_t(x)))}; }
ASGD_SPECIALIZATION U64x4 set1_bits<U64x4>(uint64_t x) { return {_mm256_set1_epi64x(int64_t(x))}; }
ASGD_SPECIALIZATION F32x8 load<F32x8>(const float* p) { return {_mm256_load_ps(p)}; }
ASGD_SPECIALIZATION F64x4 load<F64x4>(const double* p) { return {_mm256_load_pd(p)}; }
ASGD_SPECIALIZATION F64x4 iota<F64x4>() { return {_mm256_setr_pd(0, 1, 2, 3)}; }
ASGD_SPECIALIZATION Word32x8 word_set1<Word32x8>(uint32_t x) {
    const __m256i w = _mm256_set1_epi32(int32_t(x));
    return {w, w};
}
ASGD_SPECIALIZATION Word64x4 word_set1<Word64x4>(uint32_t x) { return {_mm256_set1_epi32(int32_t(x))}; }
ASGD_SPECIALIZATION Word32x8 replicate_words<F32x8>(uint32_t first) {
    const __m256i base = _mm256_set1_epi64x(int64_t(first));
    return {_mm256_add_epi64(base, _mm256_setr_epi64x(0, 2, 4, 6)),
            _mm256_add_epi64(base, _mm256_setr_epi64x(1, 3, 5, 7))};
}
ASGD_SPECIALIZATION Word64x4 replicate_words<F64x4>(uint32_t first) {
    return {_mm256_add_epi64(_mm256_set1_epi64x(int64_t(first)), _mm256_setr_epi64x(0, 1, 2, 3))};
}

ASGD_FN void store(float* p, F32x8 x) { _mm256_store_ps(p, x.v); }
ASGD_FN void store(double* p, F64x4 x) { _mm256_store_pd(p, x.v); }
ASGD_FN void store_bits(uint32_t* p, U32x8 x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x.v); }
ASGD_FN void store_bits(uint64_t* p, U64x4 x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x.v); }
ASGD_FN U32x8 load_bits(const uint32_t* p, F32x8) { return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p))}; }
ASGD_FN U64x4 load_bits(const uint64_t* p, F64x4) { return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p))}; }

ASGD_FN F32x8 operator+(F32x8 a, F32x8 b) { return {_mm256_add_ps(a.v, b.v)}; }
ASGD_FN F32x8 operator-(F32x8 a, F32x8 b) { return {_mm256_sub_ps(a.v, b.v)}; }
ASGD_FN F32x8 operator*(F32x8 a, F32x8 b) { return {_mm256_mul_ps(a.v, b.v)}; }
ASGD_FN F32x8 operator/(F32x8 a, F32x8 b) { return {_mm256_div_ps(a.v, b.v)}; }
ASGD_FN F32x8 fma(F32x8 a, F32x8 b, F32x8 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
ASGD_FN F32x8 operator-(F32x8 a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0))}; }
ASGD_FN F32x8 sqrt(F32x8 a) { return {_mm256_sqrt_ps(a.v)}; }
ASGD_FN F32x8 absolute(F32x8 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0), a.v)}; }
ASGD_FN F32x8 max_keep_nan(F32x8 bound, F32x8 y) { return {_mm256_max_ps(bound.v, y.v)}; }
ASGD_FN F32x8 min_keep_nan(F32x8 bound, F32x8 y) { return {_mm256_min_ps(bound.v, y.v)}; }
ASGD_FN F32x8 select_less(F32x8 a, F32x8 b, F32x8 x, F32x8 y) {
    return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
ASGD_FN F64x4 operator+(F64x4 a, F64x4 b) { return {_mm256_add_pd(a.v, b.v)}; }
ASGD_FN F64x4 operator-(F64x4 a, F64x4 b) { return {_mm256_sub_pd(a.v, b.v)}; }
ASGD_FN F64x4 operator*(F64x4 a, F64x4 b) { return {_mm256_mul_pd(a.v, b.v)}; }
ASGD_FN F64x4 operator/(F64x4 a, F64x4 b) { return {_mm256_div_pd(a.v, b.v)}; }
ASGD_FN F64x4 fma(F64x4 a, F64x4 b, F64x4 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
ASGD_FN F64x4 operator-(F64x4 a) { return {_mm256_xor_pd(a.v, _mm256_set1_pd(-0.0))}; }
ASGD_FN F64x4 sqrt(F64x4 a) { return {_mm256_sqrt_pd(a.v)}; }
ASGD_FN F64x4 absolute(F64x4 a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
ASGD_FN F64x4 max_keep_nan(F64x4 bound, F64x4 y) { return {_mm256_max_pd(bound.v, y.v)}; }
ASGD_FN F64x4 min_keep_nan(F64x4 bound, F64x4 y) { return {_mm256_min_pd(bound.v, y.v)}; }
ASGD_FN F64x4 select_less(F64x4 a, F64x4 b, F64x4 x, F64x4 y) {
    return {_mm256_blendv_pd(y.v, x.v, _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ))};
}

ASGD_FN U32x8 operator+(U32x8 a, U32x8 b) { return {_mm256_add_epi32(a.v, b.v)}; }
ASGD_FN U32x8 operator-(U32x8 a, U32x8 b) { return {_mm256_sub_epi32(a.v, b.v)}; }
ASGD_FN U32x8 operator&(U32x8 a, U32x8 b) { return {_mm256_and_si256(a.v, b.v)}; }
ASGD_FN U32x8 operator|(U32x8 a, U32x8 b) { return {_mm256_or_si256(a.v, b.v)}; }
ASGD_FN U32x8 operator^(U32x8 a, U32x8 b) { return {_mm256_xor_si256(a.v, b.v)}; }
ASGD_FN U32x8 operator<<(U32x8 a, int n) { return {_mm256_slli_epi32(a.v, n)}; }
ASGD_FN U32x8 operator>>(U32x8 a, int n) { return {_mm256_srli_epi32(a.v, n)}; }
ASGD_FN U64x4 operator+(U64x4 a, U64x4 b) { return {_mm256_add_epi64(a.v, b.v)}; }
ASGD_FN U64x4 operator-(U64x4 a, U64x4 b) { return {_mm256_sub_epi64(a.v, b.v)}; }
ASGD_FN U64x4 operator&(U64x4 a, U64x4 b) { return {_mm256_and_si256(a.v, b.v)}; }
ASGD_FN U64x4 operator|(U64x4 a, U64x4 b) { return {_mm256_or_si256(a.v, b.v)}; }
ASGD_FN U64x4 operator^(U64x4 a, U64x4 b) { return {_mm256_xor_si256(a.v, b.v)}; }
ASGD_FN U64x4 operator<<(U64x4 a, int n) { return {_mm256_slli_epi64(a.v, n)}; }
ASGD_FN U64x4 operator>>(U64x4 a, int n) { return {_mm256_srli_epi64(a.v, n)}; }
ASGD_FN U32x8 as_bits(F32x8 x) { return {_mm256_castps_si256(x.v)}; }
ASGD_FN U64x4 as_bits(F64x4 x) { return {_mm256_castpd_si256(x.v)}; }
ASGD_FN F32x8 as_real(U32x8 x) { return {_mm256_castsi256_ps(x.v)}; }
ASGD_FN F64x4 as_real(U64x4 x) { return {_mm256_castsi256_pd(x.v)}; }

ASGD_FN F32x8 signed_by_top_bit(U32x8 w, F32x8 s) {
    return {_mm256_or_ps(_mm256_and_ps(as_real(w).v, _mm256_set1_ps(-0.0)), s.v)};
}
ASGD_FN F32x8 sign_times(F32x8 x, F32x8 a) {
    const __m256 nonzero = _mm256_cmp_ps(x.v, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    return {_mm256_and_ps(nonzero, _mm256_or_ps(_mm256_and_ps(x.v, _mm256_set1_ps(-0.0)), a.v))};
}
ASGD_FN F64x4 signed_by_top_bit(U64x4 w, F64x4 s) {
    return {_mm256_or_pd(_mm256_and_pd(as_real(w).v, _mm256_set1_pd(-0.0)), s.v)};
}
ASGD_FN F64x4 sign_times(F64x4 x, F64x4 a) {
    const __m256d nonzero = _mm256_cmp_pd(x.v, _mm256_setzero_pd(), _CMP_NEQ_UQ);
    return {_mm256_and_pd(nonzero, _mm256_or_pd(_mm256_and_pd(x.v, _mm256_set1_pd(-0.0)), a.v))};
}

ASGD_FN F32x8 signed_to_real(U32x8 x) { return {_mm256_cvtepi32_ps(x.v)}; }
// Both halves are exact and the fma rounds once, so this is the correctly rounded conversion that AVX2 lacks.
ASGD_FN F32x8 unsigned_to_real(U32x8 x) {
    const __m256 high = _mm256_cvtepi32_ps(_mm256_srli_epi32(x.v, 16));
    const __m256 low = _mm256_cvtepi32_ps(_mm256_and_si256(x.v, _mm256_set1_epi32(0xFFFF)));
    return {_mm256_fmadd_ps(high, _mm256_set1_ps(65536.0f), low)};
}
ASGD_FN F32x8 exponent_to_real(U32x8 j) { return {_mm256_cvtepi32_ps(j.v)}; }
ASGD_FN F64x4 exponent_to_real(U64x4 j) {
    const U64x4 biased = ((j + set1_bits<U64x4>(0x3FF0000000000000u)) >> 52) | set1_bits<U64x4>(0x4330000000000000u);
    return as_real(biased) - set1<F64x4>(0x1p52 + 1023);
}
ASGD_FN void swap_where_bit0(U32x8 b, F32x8& first, F32x8& second) {
    const __m256 k = as_real(b << 31).v;  // the blend reads the sign bit
    const __m256 f = _mm256_blendv_ps(first.v, second.v, k);
    second.v = _mm256_blendv_ps(second.v, first.v, k);
    first.v = f;
}
ASGD_FN void swap_where_bit0(U64x4 b, F64x4& first, F64x4& second) {
    const __m256d k = as_real(b << 63).v;  // the blend reads the sign bit
    const __m256d f = _mm256_blendv_pd(first.v, second.v, k);
    second.v = _mm256_blendv_pd(second.v, first.v, k);
    first.v = f;
}

ASGD_FN void mul_high_low(uint32_t m, Word64x4 a, Word64x4& high, Word64x4& low) {
    low.v = _mm256_mul_epu32(a.v, _mm256_set1_epi64x(int64_t(m)));
    high.v = _mm256_srli_epi64(low.v, 32);
}
ASGD_FN void mul_high_low(uint32_t m, Word32x8 a, Word32x8& high, Word32x8& low) {
    const __m256i factor = _mm256_set1_epi64x(int64_t(m));
    low.even = _mm256_mul_epu32(a.even, factor);
    low.odd = _mm256_mul_epu32(a.odd, factor);
    high.even = _mm256_srli_epi64(low.even, 32);
    high.odd = _mm256_srli_epi64(low.odd, 32);
}
ASGD_FN Word64x4 xor2(Word64x4 a, Word64x4 b) { return {_mm256_xor_si256(a.v, b.v)}; }
ASGD_FN Word64x4 xor3(Word64x4 a, Word64x4 b, Word64x4 c) {
    return {_mm256_xor_si256(_mm256_xor_si256(a.v, b.v), c.v)};
}
ASGD_FN Word32x8 xor2(Word32x8 a, Word32x8 b) {
    return {_mm256_xor_si256(a.even, b.even), _mm256_xor_si256(a.odd, b.odd)};
}
ASGD_FN Word32x8 xor3(Word32x8 a, Word32x8 b, Word32x8 c) {
    return {_mm256_xor_si256(_mm256_xor_si256(a.even, b.even), c.even),
            _mm256_xor_si256(_mm256_xor_si256(a.odd, b.odd), c.odd)};
}
ASGD_FN U32x8 narrow(Word32x8 w) { return {_mm256_blend_epi32(w.even, _mm256_slli_epi64(w.odd, 32), 0xAA)}; }
ASGD_FN U32x8 word_bits(Word32x8 w, F32x8) { return narrow(w); }
ASGD_FN U64x4 word_bits(Word64x4 w, F64x4) { return {_mm256_and_si256(w.v, _mm256_set1_epi64x(0xFFFFFFFF))}; }
// `low` holds the whole product.
ASGD_FN U32x8 turned_bits(Word32x8 high, Word32x8 low, F32x8) { return {_mm256_blend_epi32(high.even, low.odd, 0xAA)}; }
ASGD_FN U64x4 turned_bits(Word64x4, Word64x4 low, F64x4) { return {_mm256_shuffle_epi32(low.v, 0xB1)}; }

ASGD_FN F32x8 fold_columns(const F32x8* vectors) {
    __m256 a[4], b[2];
    ASGD_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __m256 x = vectors[i].v, y = vectors[i + 4].v;
        a[i] = _mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
    }
    ASGD_UNROLL
    for (int i = 0; i < 2; ++i)
        b[i] = _mm256_add_ps(_mm256_shuffle_ps(a[i], a[i + 2], 0x44), _mm256_shuffle_ps(a[i], a[i + 2], 0xEE));
    const __m256 d = _mm256_add_ps(_mm256_shuffle_ps(b[0], b[1], 0x88), _mm256_shuffle_ps(b[0], b[1], 0xDD));
    return {_mm256_permutevar8x32_ps(d, _mm256_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7))};
}
ASGD_FN F64x4 fold_columns(const F64x4* vectors) {
    __m256d a[2];
    ASGD_UNROLL
    for (int i = 0; i < 2; ++i) {
        const __m256d x = vectors[i].v, y = vectors[i + 2].v;
        a[i] = _mm256_add_pd(_mm256_permute2f128_pd(x, y, 0x20), _mm256_permute2f128_pd(x, y, 0x31));
    }
    return {_mm256_add_pd(_mm256_unpacklo_pd(a[0], a[1]), _mm256_unpackhi_pd(a[0], a[1]))};
}

ASGD_FN void interleave(F32x8 a, F32x8 b, F32x8& low, F32x8& high) {
    const __m256 first = _mm256_unpacklo_ps(a.v, b.v), second = _mm256_unpackhi_ps(a.v, b.v);
    low.v = _mm256_permute2f128_ps(first, second, 0x20);
    high.v = _mm256_permute2f128_ps(first, second, 0x31);
}
ASGD_FN void interleave(F64x4 a, F64x4 b, F64x4& low, F64x4& high) {
    const __m256d first = _mm256_unpacklo_pd(a.v, b.v), second = _mm256_unpackhi_pd(a.v, b.v);
    low.v = _mm256_permute2f128_pd(first, second, 0x20);
    high.v = _mm256_permute2f128_pd(first, second, 0x31);
}

ASGD_ISA_NAMESPACE_END
