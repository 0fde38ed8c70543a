// What the driver hands to a kernel: plain structs, without code. Included by kernels, devices and the driver.
#pragma once

#include "../core/moments.hpp"
#include "../core/spec.hpp"

namespace anneal_sgd {
namespace cuda {

// How the trajectories of a chunk fall on blocks: a block has configs x replicates x lanes = 1 024 slots, all powers of
// two. A trajectory's coordinates are spread over `lanes` neighbouring threads, coordinate i on lane i mod lanes, and a
// thread takes 4 replicates. So the 32 accumulators of a sum over coordinates are the lanes, and sums fold across them.
struct Layout {
    int log2_lanes;                // of 1, 2, .. 32
    int log2_replicates, configs;  // per block
    int coordinates_per_thread;    // ceil(dimension / lanes)
    int tile_steps;                // learning rates computed together, for all configs of a block
};

// One launch: configs [first_config, stop_config) on replicates [first_replicate, stop_replicate), from first_step to
// stop_step. State stays in global memory between launches.
struct EnsembleLaunch {
    EnsembleSpec ensemble;  // all pointers point into device memory
    std::uint32_t key0[10], key1[10];
    Layout layout;
    std::int64_t first_config, stop_config;
    std::int64_t first_replicate, stop_replicate;
    std::int64_t first_step, stop_step;
    std::int64_t first_record, first_window;  // the next ones at first_step
    std::int64_t open_windows;
    std::int64_t config_groups;  // blocks along configs; block b has config group b mod config_groups
    std::int64_t blocks;
    bool shared_state;  // a ball's state of many coordinates is kept in dynamic shared memory during the launch

    // State arrays: element (block, coordinate of the thread, slot, thread), threads fastest.
    void* x;               // Real
    void* segment;         // Real: sum of iterates in the open segment
    double* total;         // sum of iterates in finished segments
    double* window_start;  // [record mod open_windows, element]: P where a tail average begins
    void* noise;           // draws of one call, or the four words: [row, element], where a ball has many coordinates

    void* values;               // Real: suboptimality of [config - first_config, record], replicate - first_replicate
    std::int64_t value_stride;  // between two (config, record)
};

// Moments of values[cell, replicate - first_replicate], for each block of replicates.
struct MomentsLaunch {
    const void* values;
    std::int64_t cells, value_stride;
    std::int64_t first_replicate, stop_replicate;
    std::int64_t replicate_blocks;
    Moment* moments;  // [replicate block, cell]
};

// Which instantiation of the ensemble kernel.
struct KernelKind {
    Precision precision;
    ProblemKind problem;
    NoiseKind noise;
    bool ball;
};

}  // namespace cuda
}  // namespace anneal_sgd
