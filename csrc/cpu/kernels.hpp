// What one instruction set offers to the rest of the program: a table of functions. Included by backend_cpu.cpp and by
// the isa_*.cpp files; plain declarations only.
#pragma once

#include "../core/moments.hpp"
#include "../core/spec.hpp"

namespace anneal_sgd {

// What one thread takes at once.
struct Task : Rectangle {
    // So many coordinates go through the whole horizon together, one group after another, which bounds the memory: all
    // of them, or, where no ball couples them, a multiple of `accumulators` (trajectory.hpp).
    std::int64_t coordinates;
};

// How a kernel reports. `advanced` gets coordinate-steps done and returns false to stop the run; `recorded` gets a
// value of every replicate of the task, the suboptimality or another metric, in the ensemble's precision; with
// keep_iterates, as records after all others, every coordinate of the points of the last one.
struct Listener {
    void* context;
    bool (*advanced)(void* context, std::int64_t coordinate_steps);
    void (*recorded)(void* context, std::int64_t config, std::int64_t record, const void* values);
};

// Those of core/functions.hpp.
enum class Function {
    exponential,
    logarithm,
    sine,
    cosine,
    hyperbolic_tangent,
    rint,
    arctangent,
    error_function,
    real_power,
    sign,
    maximum,
    minimum,
};

// Operations on vectors that a core is given to find out how many it begins per second.
enum class CoreWork { product, word_product, addition, maximum, shift, logic, square_root, store, load };

struct Kernels {
    const char* name;
    // Bytes of scratch memory (64-byte aligned) that `run` needs for a task of this shape.
    std::int64_t (*scratch_bytes)(const EnsembleSpec&, const Task&);
    // Returns false if the listener stopped it.
    bool (*run)(const EnsembleSpec&, const Task&, void* scratch, const Listener&);

    // Moments of the values of replicates in slots first_slot .. first_slot + n - 1 of one block.
    Moment (*block_moment)(Precision, const void* values, std::int64_t first_slot, std::int64_t n);

    // Pieces of the core on arrays, for schedules called from Python and for tests.
    void (*schedule_at)(const ScheduleSpec&, std::int64_t horizon, const double* u, std::int64_t n, double* h);
    void (*schedule_values)(const ScheduleSpec&, std::int64_t horizon, std::int64_t first, std::int64_t n, double* h);
    void (*philox)(const std::uint32_t counter[4], std::uint64_t key, std::uint32_t words[4]);
    void (*draws)(Precision, NoiseKind, std::uint64_t seed, std::uint32_t stream, std::uint32_t substream,
                  std::int64_t first_replicate, std::int64_t replicates, std::int64_t first_step, std::int64_t steps,
                  void* out);  // out[step, replicate]
    void (*minus_two_log)(Precision, const void* u, std::int64_t n, void* out);
    void (*sincos_octant)(Precision, const void* t, std::int64_t n, void* sine, void* cosine);
    void (*log2)(const double* x, std::int64_t n, double* out);
    void (*exp2)(const double* x, std::int64_t n, double* out);
    // `second`: as many numbers for maximum and minimum, one exponent for real_power.
    void (*function)(Function, Precision, const void* x, const void* second, std::int64_t n, void* out);

    // Turns of work of two sorts side by side, which may be one; stores and loads go alone. Returns the number of
    // operations. `memory`: aligned to 64 bytes, 1 at its begin, at least 4096 of them, which a turn passes over.
    std::int64_t (*work)(CoreWork, CoreWork, Precision, std::int64_t turns, void* memory, std::int64_t bytes);
};

extern int way_to_test;  // of faster.hpp; 1 or 2 where a test says which way is taken, else 0; atomic

extern const Kernels scalar_kernels;
#if ASGD_X86
extern const Kernels avx2_kernels, avx512_kernels;
#elif ASGD_ARM64
extern const Kernels neon_kernels;
#endif

}  // namespace anneal_sgd
