// The one home of compiler, instruction-set and CUDA macros. Included by everything in core/ and cpu/.
//
// Every instruction set compiles the same headers in a translation unit of its own, with its own flags. Two rules keep
// code for a newer processor from leaking into what an older one runs: all functions here have internal linkage
// (ASGD_FN), and they live in a namespace named after the instruction set (ASGD_ISA_NAMESPACE_BEGIN). No header that
// is included by such a unit may use a standard-library template.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#ifndef ASGD_ISA
#error "define ASGD_ISA (scalar, avx2, avx512, neon) before including core headers"
#endif

#if defined(__CUDACC__)
#define ASGD_FN static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define ASGD_FN [[maybe_unused]] static inline __attribute__((always_inline))
#else
#define ASGD_FN [[maybe_unused]] static inline
#endif

// A host function of its own: a hot loop that the compiler is not to fit into the registers of its surroundings.
#if defined(__GNUC__)
#define ASGD_CALL [[maybe_unused]] static __attribute__((noinline))
#else
#define ASGD_CALL [[maybe_unused]] static
#endif

// After a lambda's parameters: a hot loop that is to keep the registers of its surroundings.
#if defined(__GNUC__)
#define ASGD_INLINE_LAMBDA __attribute__((always_inline))
#else
#define ASGD_INLINE_LAMBDA
#endif

// Asks for the cache line at p, which is read soon.
#if defined(__GNUC__)
#define ASGD_PREFETCH(p) __builtin_prefetch(p)
#else
#define ASGD_PREFETCH(p) void(p)
#endif

// A clock of the processor's, where it has one that a program may read.
#if defined(__x86_64__)
#define ASGD_TICKS() __builtin_ia32_rdtsc()
#else
#define ASGD_TICKS() std::uint64_t(0)
#endif

// Kernel code: for the GPU where a CUDA compiler compiles, for the emulation elsewhere.
#if defined(__CUDACC__)
#define ASGD_KERNEL_FN static __device__ __forceinline__
#define ASGD_KERNEL_MEMBER __device__ __forceinline__
#define ASGD_KERNEL_CALL [[maybe_unused]] static __device__ __noinline__
#else
#define ASGD_KERNEL_FN [[maybe_unused]] static inline
#define ASGD_KERNEL_MEMBER
#define ASGD_KERNEL_CALL [[maybe_unused]] static
#endif

// 1 where a CUDA compiler compiles; in its pass for the GPU, the architecture, such as 900, else 0.
#if defined(__CUDACC__)
#define ASGD_CUDA_COMPILER 1
#else
#define ASGD_CUDA_COMPILER 0
#endif
#if defined(__CUDA_ARCH__)
#define ASGD_DEVICE_CODE __CUDA_ARCH__
#else
#define ASGD_DEVICE_CODE 0
#endif

// Member functions: any, and static constexpr ones.
#if defined(__CUDACC__)
#define ASGD_MEMBER __host__ __device__ __forceinline__
#define ASGD_CONSTEXPR static constexpr __host__ __device__
#else
#define ASGD_MEMBER
#define ASGD_CONSTEXPR static constexpr
#endif

// An explicit specialization takes its linkage from the primary template and may not repeat `static`.
#if defined(__CUDACC__)
#define ASGD_SPECIALIZATION \
    template <>             \
    __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define ASGD_SPECIALIZATION \
    template <>             \
    inline __attribute__((always_inline))
#else
#define ASGD_SPECIALIZATION \
    template <>             \
    inline
#endif

#define ASGD_ISA_NAMESPACE_BEGIN \
    namespace anneal_sgd {       \
    namespace ASGD_ISA {
#define ASGD_ISA_NAMESPACE_END \
    }                          \
    }

// Loops of unknown length in kernels: several turns' loads on their way at a time, or a body that has them already.
#if defined(__CUDA_ARCH__)
#define ASGD_UNROLL_BY_4 _Pragma("unroll 4")
#define ASGD_NO_UNROLL _Pragma("unroll 1")
#else
#define ASGD_UNROLL_BY_4
#define ASGD_NO_UNROLL
#endif

#if defined(__CUDA_ARCH__)
#define ASGD_UNROLL _Pragma("unroll")
#elif defined(__GNUC__) && !defined(__clang__) && !ASGD_CUDA_COMPILER  // nvcc's pass for the host knows none of these
#define ASGD_UNROLL _Pragma("GCC unroll 16")
#elif defined(__clang__) && !ASGD_CUDA_COMPILER
#define ASGD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ASGD_UNROLL
#endif

ASGD_ISA_NAMESPACE_BEGIN

template <class To, class From>
ASGD_FN To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
    To to;
    memcpy(&to, &from, sizeof(to));
    return to;
}

ASGD_ISA_NAMESPACE_END
