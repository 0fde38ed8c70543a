// What an x86 processor and its system offer. Asked of the processor: __builtin_cpu_supports says no to all where the
// compiler's library does not fill in what it reads (zig c++).
#pragma once

#include <cpuid.h>

namespace anneal_sgd::cpu {

struct Offers {
    bool avx2 = false;
    bool avx512 = false;
};

inline Offers processor_offers() {
    // Registers that the system keeps for a thread: XMM and YMM; the masks and the two parts of ZMM.
    constexpr unsigned ymm_state = 0x6, zmm_state = 0xe6;
    constexpr unsigned avx = bit_OSXSAVE | bit_FMA;
    constexpr unsigned avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    Offers offers;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & avx) != avx) return offers;
    unsigned kept = 0, kept_high = 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(kept_high) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return offers;
    offers.avx2 = (b & bit_AVX2) != 0 && (kept & ymm_state) == ymm_state;
    offers.avx512 = offers.avx2 && (b & avx512) == avx512 && (kept & zmm_state) == zmm_state;
    return offers;
}

}  // namespace anneal_sgd::cpu
