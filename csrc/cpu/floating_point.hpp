// The floating-point mode in which everything is computed. Included where computing begins: the instruction-set units,
// worker threads, the merging of moments.
#pragma once

#if ASGD_X86
#include <xmmintrin.h>
#endif

namespace anneal_sgd {
namespace {

// A host program may have switched the processor to flush subnormals or to another rounding: not while we compute.
struct DefaultFloatingPoint {
#if ASGD_X86
    unsigned saved = _mm_getcsr();
    DefaultFloatingPoint() { _mm_setcsr(0x1F80); }
    ~DefaultFloatingPoint() { _mm_setcsr(saved); }
#elif ASGD_ARM64
    unsigned long saved;
    DefaultFloatingPoint() {
        asm volatile("mrs %0, fpcr" : "=r"(saved));
        asm volatile("msr fpcr, %0" : : "r"(0UL));
    }
    ~DefaultFloatingPoint() { asm volatile("msr fpcr, %0" : : "r"(saved)); }
#else
    DefaultFloatingPoint() {}
    ~DefaultFloatingPoint() {}
#endif
    DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
    DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;
};

}  // namespace
}  // namespace anneal_sgd
