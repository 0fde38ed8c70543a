// What translated PTX is written in: one inline function per PTX instruction, on raw bits. Registers are unsigned
// integers of their width, predicates bool. An instruction that is not here does not compile: nothing is skipped.
// Included by the sources that translate.py writes, compiled with -ffp-contract=off -mfma, and by the engine.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

constexpr u32 shared_window = 1024;  // address of a block's first byte of shared memory, as ld.shared sees it

enum Space : int { in_generic, in_global, in_shared, in_param };
enum Access : int { reads, writes, adds };  // adds: an atomic sum
enum Shuffle : int { shuffle_up, shuffle_down, shuffle_bfly, shuffle_idx };

// The running thread and what the engine does for it. `line`: of the PTX.
struct Env {
    u32 tid = 0, ntid = 0, ctaid = 0, nctaid = 0;
    u8* shared = nullptr;
    u32 shared_size = 0;
    // Checks an access and returns where the bytes are; does not return from a wrong one.
    u8* (*access)(u64 address, u32 size, int space, int how, int line) = nullptr;
    u32 (*shuffle)(int mode, u32 value, u32 b, u32 c, u32 mask, bool* in_range, int line) = nullptr;
    void (*barrier)(u32 number, int line) = nullptr;
    void (*warp_barrier)(u32 mask, int line) = nullptr;
    void (*fail)(const char* what, int line) = nullptr;
    int rsqrt = 0;  // rsqrt.approx: 0 nearest; -1 and +1 lowest and highest float within 2^-22.9; 2 either, by a hash
};

struct KernelEntry {
    const char* name;
    void (*run)(u8* parameters);
    u32 parameter_bytes;
    u32 static_shared;  // bytes; dynamic shared memory begins at the next multiple of 16
    u32 most_threads;
    u8* covered;  // per basic block: whether it was executed
    u32 blocks;
};
struct KernelLibrary {
    const char* target;
    Env** env;
    const KernelEntry* kernels;
    u32 count;
};

extern Env* ptx_env;

struct Imm {  // an integer immediate, which takes the width that it is used in
    long long v;
    operator u16() const { return u16(v); }
    operator u32() const { return u32(v); }
    operator u64() const { return u64(v); }
    operator bool() const { return v != 0; }
};

template <class To, class From>
static inline To as(From x) {
    static_assert(sizeof(To) == sizeof(From), "");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float f(u32 x) { return as<float>(x); }
static inline double d(u64 x) { return as<double>(x); }
// Single-precision results that are NaN are the canonical one on a GPU.
static inline u32 bits(float x) { return x != x ? 0x7fffffffu : as<u32>(x); }
static inline u64 bits(double x) { return as<u64>(x); }

// Tables of instructions.
// clang-format off
#define OP1(name, U, R, expression) static inline R name(U a) { return R(expression); }
#define OP2(name, U, R, expression) static inline R name(U a, U b) { return R(expression); }
#define OP3(name, U, R, expression) static inline R name(U a, U b, U c) { return R(expression); }

// --- integers
#define INT(U, S, W)                                                                                     \
    OP2(add_s##W, U, U, a + b) OP2(add_u##W, U, U, a + b) OP2(sub_s##W, U, U, a - b)                     \
    OP2(sub_u##W, U, U, a - b) OP2(mul_lo_s##W, U, U, a * b) OP2(mul_lo_u##W, U, U, a * b)               \
    OP3(mad_lo_s##W, U, U, a * b + c) OP3(mad_lo_u##W, U, U, a * b + c)                                  \
    OP2(and_b##W, U, U, a & b) OP2(or_b##W, U, U, a | b) OP2(xor_b##W, U, U, a ^ b) OP1(not_b##W, U, U, ~a) \
    OP1(neg_s##W, U, U, U(0) - a) OP1(abs_s##W, U, U, S(a) < 0 ? U(0) - a : a)                           \
    OP2(min_s##W, U, U, S(a) < S(b) ? a : b) OP2(max_s##W, U, U, S(a) > S(b) ? a : b)                    \
    OP2(min_u##W, U, U, a < b ? a : b) OP2(max_u##W, U, U, a > b ? a : b)                                \
    static inline U shl_b##W(U a, u32 n) { return n >= W ? U(0) : U(a << n); }                           \
    static inline U shr_u##W(U a, u32 n) { return n >= W ? U(0) : U(a >> n); }                           \
    static inline U shr_b##W(U a, u32 n) { return n >= W ? U(0) : U(a >> n); }                           \
    static inline U shr_s##W(U a, u32 n) { return U(S(a) >> (n >= W ? W - 1 : n)); }                     \
    static inline U div_u##W(U a, U b) { zero(b); return U(a / b); }                                     \
    static inline U rem_u##W(U a, U b) { zero(b); return U(a % b); }                                     \
    static inline U div_s##W(U a, U b) { zero(b); return S(b) == -1 ? U(U(0) - a) : U(S(a) / S(b)); }    \
    static inline U rem_s##W(U a, U b) { zero(b); return S(b) == -1 ? U(0) : U(S(a) % S(b)); }           \
    SETP(s##W, U, S) SETP(u##W, U, U) SETP(b##W, U, U) SELECT(b##W, U) SELECT(u##W, U) SELECT(s##W, U)
#define SETP(T, U, S)                                                                                    \
    OP2(setp_eq_##T, U, bool, S(a) == S(b)) OP2(setp_ne_##T, U, bool, S(a) != S(b))                      \
    OP2(setp_lt_##T, U, bool, S(a) < S(b)) OP2(setp_le_##T, U, bool, S(a) <= S(b))                       \
    OP2(setp_gt_##T, U, bool, S(a) > S(b)) OP2(setp_ge_##T, U, bool, S(a) >= S(b))
#define SELECT(T, U) \
    static inline U selp_##T(U a, U b, bool p) { return p ? a : b; }

static inline void zero(u64 divisor) {
    if (divisor == 0) ptx_env->fail("integer division by zero", 0);
}
INT(u16, s16, 16)
INT(u32, s32, 32)
INT(u64, s64, 64)

static inline u64 mul_wide_u32(u32 a, u32 b) { return u64(a) * b; }
static inline u64 mul_wide_s32(u32 a, u32 b) { return u64(s64(s32(a)) * s32(b)); }
static inline u32 mul_wide_u16(u16 a, u16 b) { return u32(a) * b; }
static inline u32 mul_wide_s16(u16 a, u16 b) { return u32(s32(s16(a)) * s16(b)); }
static inline u64 mad_wide_u32(u32 a, u32 b, u64 c) { return u64(a) * b + c; }
static inline u64 mad_wide_s32(u32 a, u32 b, u64 c) { return u64(s64(s32(a)) * s32(b)) + c; }
static inline u32 mul_hi_u32(u32 a, u32 b) { return u32(u64(a) * b >> 32); }
static inline u32 mul_hi_s32(u32 a, u32 b) { return u32(u64(s64(s32(a)) * s32(b)) >> 32); }
static inline u64 mul_hi_u64(u64 a, u64 b) { return u64((unsigned __int128)a * b >> 64); }
static inline u64 mul_hi_s64(u64 a, u64 b) { return u64((unsigned __int128)((__int128)s64(a) * s64(b)) >> 64); }
template <class U>
static inline U bit_field(U a, u32 first, u32 count) {
    constexpr u32 width = 8 * sizeof(U);
    first &= 255, count &= 255;
    const U above = first >= width ? U(0) : U(a >> first);
    return count >= width ? above : U(above & ((U(1) << count) - 1));
}
static inline u32 bfe_u32(u32 a, u32 first, u32 count) { return bit_field(a, first, count); }
static inline u64 bfe_u64(u64 a, u32 first, u32 count) { return bit_field(a, first, count); }
static inline u32 popc_b32(u32 a) { return u32(__builtin_popcount(a)); }
static inline u32 popc_b64(u64 a) { return u32(__builtin_popcountll(a)); }
static inline u32 clz_b32(u32 a) { return a ? u32(__builtin_clz(a)) : 32; }
static inline u32 clz_b64(u64 a) { return a ? u32(__builtin_clzll(a)) : 64; }
static inline u32 shf_l_wrap_b32(u32 a, u32 b, u32 n) { n &= 31; return n ? b << n | a >> (32 - n) : b; }
static inline u32 shf_r_wrap_b32(u32 a, u32 b, u32 n) { n &= 31; return n ? b << (32 - n) | a >> n : a; }
static inline u32 lop3_b32(u32 a, u32 b, u32 c, u32 table) {
    u32 r = 0;
    for (int i = 0; i < 8; ++i)
        if (table >> i & 1) r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return r;
}
static inline u32 prmt_b32(u32 a, u32 b, u32 selector) {
    const u64 all = u64(b) << 32 | a;
    u32 r = 0;
    for (int i = 0; i < 4; ++i) {
        const u32 s = selector >> 4 * i & 15;
        u32 byte = u32(all >> 8 * (s & 7)) & 255;
        if (s & 8) byte = byte & 128 ? 255 : 0;
        r |= byte << 8 * i;
    }
    return r;
}

// --- predicates
static inline bool and_pred(bool a, bool b) { return a && b; }
static inline bool or_pred(bool a, bool b) { return a || b; }
static inline bool xor_pred(bool a, bool b) { return a != b; }
static inline bool not_pred(bool a) { return !a; }
static inline bool mov_pred(bool a) { return a; }

// --- moves of whole registers
static inline u16 mov_b16(u16 a) { return a; }
static inline u16 mov_u16(u16 a) { return a; }
static inline u32 mov_b32(u32 a) { return a; }
static inline u32 mov_u32(u32 a) { return a; }
static inline u32 mov_s32(u32 a) { return a; }
static inline u32 mov_f32(u32 a) { return a; }
static inline u64 mov_b64(u64 a) { return a; }
static inline u64 mov_u64(u64 a) { return a; }
static inline u64 mov_s64(u64 a) { return a; }
static inline u64 mov_f64(u64 a) { return a; }

// --- floating point
#define FLOAT(T, U, x, sign)                                                                             \
    OP2(add_rn_##T, U, U, bits(x(a) + x(b))) OP2(sub_rn_##T, U, U, bits(x(a) - x(b)))                    \
    OP2(mul_rn_##T, U, U, bits(x(a) * x(b))) OP2(div_rn_##T, U, U, bits(x(a) / x(b)))                    \
    OP1(rcp_rn_##T, U, U, bits(1 / x(a))) OP1(neg_##T, U, U, a ^ sign) OP1(abs_##T, U, U, a & ~sign)     \
    OP2(setp_eq_##T, U, bool, x(a) == x(b)) OP2(setp_lt_##T, U, bool, x(a) < x(b))                       \
    OP2(setp_le_##T, U, bool, x(a) <= x(b)) OP2(setp_gt_##T, U, bool, x(a) > x(b))                       \
    OP2(setp_ge_##T, U, bool, x(a) >= x(b))                                                              \
    OP2(setp_ne_##T, U, bool, x(a) < x(b) || x(a) > x(b)) /* ordered */                                  \
    OP2(setp_neu_##T, U, bool, !(x(a) == x(b))) OP2(setp_equ_##T, U, bool, !(x(a) < x(b) || x(a) > x(b))) \
    OP2(setp_ltu_##T, U, bool, !(x(a) >= x(b))) OP2(setp_leu_##T, U, bool, !(x(a) > x(b)))               \
    OP2(setp_gtu_##T, U, bool, !(x(a) <= x(b))) OP2(setp_geu_##T, U, bool, !(x(a) < x(b)))               \
    OP2(setp_num_##T, U, bool, x(a) == x(a) && x(b) == x(b)) OP2(setp_nan_##T, U, bool, x(a) != x(a) || x(b) != x(b)) \
    SELECT(T, U)                                                                                         \
    /* -0 < +0; a NaN gives way, or with .NaN wins */                                                    \
    OP2(min_##T, U, U, x(a) != x(a) ? quiet(b) : x(b) != x(b) ? a : x(a) == x(b) ? (a | b) : x(a) < x(b) ? a : b) \
    OP2(max_##T, U, U, x(a) != x(a) ? quiet(b) : x(b) != x(b) ? a : x(a) == x(b) ? (a & b) : x(a) > x(b) ? a : b)
static inline u32 quiet(u32 a) { return bits(f(a)); }
static inline u64 quiet(u64 a) { return a; }
FLOAT(f32, u32, f, 0x80000000u)
FLOAT(f64, u64, d, 0x8000000000000000ull)
static inline u32 min_NaN_f32(u32 a, u32 b) { return f(a) != f(a) || f(b) != f(b) ? 0x7fffffffu : min_f32(a, b); }
static inline u32 max_NaN_f32(u32 a, u32 b) { return f(a) != f(a) || f(b) != f(b) ? 0x7fffffffu : max_f32(a, b); }
static inline u32 fma_rn_f32(u32 a, u32 b, u32 c) { return bits(__builtin_fmaf(f(a), f(b), f(c))); }
static inline u64 fma_rn_f64(u64 a, u64 b, u64 c) { return bits(__builtin_fma(d(a), d(b), d(c))); }
static inline u32 sqrt_rn_f32(u32 a) { return bits(__builtin_sqrtf(f(a))); }
static inline u64 sqrt_rn_f64(u64 a) { return bits(__builtin_sqrt(d(a))); }

// 1 / sqrt(x) to 2^-22.9 of it, which is all that PTX promises.
static inline u32 rsqrt_approx_ftz_f32(u32 a) {
    const u32 magnitude = a & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fffffffu;
    if (magnitude < 0x00800000u) return a & 0x80000000u ? 0xff800000u : 0x7f800000u;  // subnormals are zeros
    if (a & 0x80000000u) return 0x7fffffffu;
    if (a == 0x7f800000u) return 0;
    const double exact = 1 / __builtin_sqrt(double(f(a))), tolerance = exact * 0x1.125fp-23;  // 2^-22.9
    u32 r = as<u32>(float(exact));
    int mode = ptx_env->rsqrt;
    if (mode == 2) mode = (a * 2654435761u >> 16 & 1) ? 1 : -1;
    if (mode == 0) return r;
    const auto fits = [&](u32 y) { return __builtin_fabs(double(f(y)) - exact) <= tolerance; };
    while (fits(r + u32(mode))) r += u32(mode);
    return r;
}

// --- conversions
template <class To, class From>
static inline To to_integer(From x) {  // towards zero, saturating
    constexpr int digits = int(sizeof(To)) * 8 - (To(-1) < To(0) ? 1 : 0);
    if (x != x) return sizeof(To) == 8 || sizeof(From) == 8 ? To(u64(1) << (sizeof(To) * 8 - 1)) : To(0);
    const From limit = From(2) * From(u64(1) << (digits - 1));
    if (x >= limit) return To(~(digits == sizeof(To) * 8 ? u64(0) : u64(1) << digits));
    if (To(-1) < To(0)) {
        if (x < -limit) return To(u64(1) << digits);
    } else if (x <= From(-1)) {
        return To(0);
    }
    return To(x);
}
#define CVT_INT(D, S)                                             \
    template <class R>                                            \
    static inline R cvt_##D##_##S(u64 a) {                        \
        return R(D(S(a))); \
    }
#define CVT_INTS(D) CVT_INT(D, u8) CVT_INT(D, s8) CVT_INT(D, u16) CVT_INT(D, s16) CVT_INT(D, u32) CVT_INT(D, s32) CVT_INT(D, u64) CVT_INT(D, s64)
CVT_INTS(u8) CVT_INTS(s8) CVT_INTS(u16) CVT_INTS(s16) CVT_INTS(u32) CVT_INTS(s32) CVT_INTS(u64) CVT_INTS(s64)
#define CVT_FROM(S)                                                                    \
    template <class R> static inline R cvt_rn_f32_##S(u64 a) { return bits(float(S(a))); } \
    template <class R> static inline R cvt_rn_f64_##S(u64 a) { return bits(double(S(a))); }
CVT_FROM(u16) CVT_FROM(s16) CVT_FROM(u32) CVT_FROM(s32) CVT_FROM(u64) CVT_FROM(s64)
#define CVT_TO(D)                                                                                        \
    template <class R> static inline R cvt_rzi_##D##_f32(u64 a) { return R(to_integer<D>(f(u32(a)))); }    \
    template <class R> static inline R cvt_rzi_##D##_f64(u64 a) { return R(to_integer<D>(d(a))); }
CVT_TO(u32) CVT_TO(s32) CVT_TO(u64) CVT_TO(s64)
template <class R> static inline R cvt_f64_f32(u64 a) { return bits(double(f(u32(a)))); }
template <class R> static inline R cvt_rn_f32_f64(u64 a) { return bits(float(d(a))); }
template <class R> static inline R cvt_rzi_f32_f32(u64 a) { return bits(__builtin_truncf(f(u32(a)))); }
template <class R> static inline R cvt_rmi_f64_f64(u64 a) { return bits(__builtin_floor(d(a))); }
template <class R> static inline R cvt_rpi_f64_f64(u64 a) { return bits(__builtin_ceil(d(a))); }
template <class R> static inline R cvt_rmi_f32_f32(u64 a) { return bits(__builtin_floorf(f(u32(a)))); }
template <class R> static inline R cvt_rni_f64_f64(u64 a) { return bits(__builtin_nearbyint(d(a))); }
template <class R> static inline R cvt_rni_f32_f32(u64 a) { return bits(__builtin_nearbyintf(f(u32(a)))); }
// clang-format on

// --- memory. T: the type in memory, R: the register's.
template <class T, class R>
static inline void ld(R& to, const u8* from) {
    T x;
    memcpy(&x, from, sizeof x);
    to = R(x);
}
template <class T, class R>
static inline void st(u8* to, R from) {
    const T x = T(from);
    memcpy(to, &x, sizeof x);
}
template <class T>
static inline void red_add(u8* to, T x) {
    T sum;
    memcpy(&sum, to, sizeof sum);
    sum += x;
    memcpy(to, &sum, sizeof sum);
}
