// What a call is made of, as plain data without code: shared by every layer from the bindings down to the kernels.
// All parameters are float64 and may be strided views (stride 0 broadcasts); kernels round them to the dtype once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anneal_sgd {

inline constexpr int stream_version = 2;
inline constexpr std::int64_t block_replicates = 1024;  // replicates per block of statistics (docs/stream.md)
inline constexpr int segment_steps = 128;               // steps per tile of learning rates and per segment of averages

enum class ProblemKind { absolute_value, quadratic, huber };
enum class NoiseKind { none, rademacher, gaussian, uniform };
enum class ProjectionKind { none, box, ball };
enum class ScheduleKind {
    constant,
    inverse_sqrt,
    polynomial,
    linear,
    cosine,
    one_minus_sqrt,
    exponential,
    step_decay,
    warmup_stable_decay,
    tabulated
};
enum class CooldownShape { linear, cosine, one_minus_sqrt };
enum class Iterate { last, average, tail_average };
enum class Precision { float32, float64 };

struct VectorView {
    const double* data;
    std::ptrdiff_t stride;  // in elements
};

struct MatrixView {
    const double* data;
    std::ptrdiff_t row_stride, column_stride;  // in elements
};

struct ProblemSpec {
    ProblemKind kind;
    NoiseKind noise;
    ProjectionKind projection;
    std::int64_t count, dimension;
    MatrixView weight;        // [problem, coordinate]: slope a, curvature lambda
    MatrixView noise_std;     // [problem, coordinate]
    MatrixView lower, upper;  // [problem, coordinate]: the box
    MatrixView x0;            // [problem, coordinate]
    VectorView huber_width;   // [problem]
    VectorView radius;        // [problem]: the ball about the origin
    VectorView minimum;       // [problem]: f* over the set
};

struct ScheduleSpec {
    ScheduleKind kind;
    CooldownShape cooldown;
    double parameter;  // degree, timescale_frac (0: one step), final value, factor or cooldown_frac
    double floor, warmup_frac;
    const double* table;  // tabulated values or step-decay milestones
    std::int64_t table_size;
};

struct EnsembleSpec {
    ProblemSpec problems;
    const ScheduleSpec* schedules;
    const double* base_lr;
    const std::int64_t* record_at;  // strictly increasing, in 0..horizon
    std::int64_t schedule_count, base_lr_count, record_count;
    std::int64_t horizon;
    Iterate iterate;
    double tail_frac;
    bool common_random_numbers;
    Precision precision;
    std::uint64_t seed;
};

}  // namespace anneal_sgd
