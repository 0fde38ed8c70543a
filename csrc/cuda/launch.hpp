// What the driver hands to a kernel: plain structs, without code. Included by kernels, devices and the driver.
#pragma once

#include "../core/moments.hpp"
#include "../core/network.hpp"
#include "../core/spec.hpp"

namespace anneal_sgd {
namespace cuda {

inline constexpr int most_learning_rates = 1024;      // in shared memory: configs x tile_steps of a block, at most
inline constexpr int most_rate_bytes = 16 << 10;      // the same in bytes, of separable problems without a ball
inline constexpr int most_data_learning_rates = 512;  // the same, of problems on data
inline constexpr int most_row_numbers = 2048;         // in shared memory: of samples, of all sequences of a block
inline constexpr int log2_teams = 4;                  // trajectories of a block, of problems on data
inline constexpr int log2_accumulators = 3;           // of a sum over coordinates, that a thread has at most
inline constexpr int patch_edge = 4;                  // samples and units whose products are computed together
inline constexpr int few_single_spans = 2;            // padded row / 16 of single steps, of their sort for short rows
inline constexpr int most_single_spans = 8;           // and of that for all others

// One launch: trajectories from first_step to stop_step. State stays in global memory between launches.
struct Launch : Rectangle {
    EnsembleSpec ensemble;  // all pointers point into device memory
    std::uint32_t key0[10], key1[10];
    std::int64_t first_step, stop_step;
    std::int64_t first_record, first_window;  // the next ones at first_step
    std::int64_t open_windows;
    std::int64_t config_groups;  // blocks along configs; block b has config group b mod config_groups
    std::int64_t blocks;

    // What averages need, in the order of the kernel's state.
    void* segment;         // Real: sum of iterates in the open segment
    double* total;         // sum of iterates in finished segments
    double* window_start;  // [record mod open_windows, element]: P where a tail average begins

    void* values;               // Real: of [config - first_config, recorded value], replicate - first_replicate
    std::int64_t value_stride;  // between two (config, recorded value)

    void* points;               // the same of [config - first_config, coordinate], of the last record; or null
    std::int64_t point_stride;  // between two (config, coordinate)
};

// --- separable problems

// How the trajectories of a chunk fall on blocks: a block has configs x replicates x threads = 1 024 places, all powers
// of two. A trajectory's coordinates are spread over a team of neighbouring threads, coordinate i on rank i mod team,
// and a thread takes 4 replicates. So the 32 accumulators of a sum over coordinates are the ranks, or some are of one
// thread, and sums fold across them.
struct Layout {
    int log2_team;                 // threads of a trajectory: 1, 2, .. 32
    int log2_accumulators;         // of a thread, in use
    int log2_replicates, configs;  // per block
    int coordinates_per_thread;    // ceil(dimension / team)
    int tile_steps;                // learning rates computed together, for all configs of a block
    bool own_rates;                // those that take steps multiply base learning rate and schedule
};

struct EnsembleLaunch : Launch {
    Layout layout;
    bool shared_state;  // a ball's state of many coordinates is kept in dynamic shared memory during the launch

    // State arrays: element (block, coordinate of the thread, replicate of the thread, thread), threads fastest.
    void* x;      // Real
    void* low;    // Real: what x could not take of its last increment
    void* noise;  // draws of one call, or the four words: [row, element], where a ball has many coordinates
};

// Which instantiation of the ensemble kernel.
struct KernelKind {
    Precision precision;
    ProblemKind problem;
    NoiseKind noise;
    bool ball;
};
// Whether the threads of a kernel may multiply learning rates themselves. Huber's with Rademacher noise would spill.
constexpr bool may_multiply_rates(ProblemKind problem, NoiseKind noise, bool ball) {
    return !ball && !(problem == ProblemKind::huber && noise == NoiseKind::rademacher);
}

// --- programs

// Rows of a block's trajectories, each a number for all of them: registers; draws of a call's steps, [draw, step]; what
// the point could not take of its last increment; with averages, the sum of iterates in the open segment.
struct ProgramRows {
    std::int64_t count, draws, low, sum;                     // rows in all, and where they begin
    std::int64_t apart, replicates_apart, quadruples_apart;  // Reals between two rows, replicates, threads' replicates
    std::int64_t block_size;                                 // Reals of a block
    std::int64_t shared_bytes;                               // where they are in dynamic shared memory
    void* memory;                                            // Real: [block, ..], where they are not
};

// Layout as above, a team's threads sharing out the numbers of each value.
struct ProgramLaunch : Launch {
    bool at_points;  // no steps: metrics of one's own, for record first_record, at `points`, which are on data
    Layout layout;
    ProgramSpec program;  // all pointers point into device memory
    const void* numbers;  // Real: in place of the program's, matrices column by column
    ProgramRows rows;
    // Machine code takes the steps: a launch records what is due at first_step, and leaves what the steps to stop_step
    // need in `drawn` and `rates`. With only_draws nothing is due, and the state stays where it is.
    bool steps_elsewhere, only_draws;
    void* drawn;  // Real: [8 threads' trajectories, step of the draws' calls, draw, replicate of a thread, thread]
    std::int64_t draw_block, draw_step;  // Reals between 32 trajectories and the next, and between steps
    void* rates;                         // Real: -lr, [block, config of the block, step]
    std::int64_t rates_row;              // Reals between configs
    void *x, *low;  // Real: between launches, as in EnsembleLaunch; x also while averages are recorded
    // Real: between launches, [block, number of the state, trajectory of the block]; at points, of [config -
    // first_config, number of the state], replicate - first_replicate, what metrics take of a method
    void* states;
};

// What machine code takes steps of: python/anneal_sgd/programs/_kernel_code.py, which reads every field as 8 bytes. All
// arrays are those of a ProgramLaunch. A thread has one trajectory, in the order of the draws: 8 threads have the first
// replicates of 8 teams there, the next 8 their second ones.
struct StepsLaunch {
    void *x, *low, *sum, *states;
    const void *drawn, *rates;  // from the first step on
    const double *parameters, *lower, *upper, *radius;
    std::int64_t parameter_row, parameter_column, lower_row, lower_column, upper_row, upper_column, radius_row;
    std::int64_t first_config, stop_config, first_replicate, stop_replicate;
    std::int64_t config_groups, configs_per_problem, log2_replicates, configs, blocks;
    std::int64_t steps, first_step;
    std::int64_t draw_block, draw_step, rates_row;
};

// --- problems on data

// A block has 16 trajectories, configs x replicates, of 16 neighbouring threads each: the 16 accumulators of a product.
// All its configs are of one problem, whose configs fall into groups_per_problem such sets. Thread l of a trajectory
// holds elements l, l + 16, .. of everything that is as long as a padded row or point.
struct DataLayout {
    int log2_replicates, configs;  // per block; configs x replicates = 16
    int tile_steps;
    int spans;  // padded point / 16: elements that a thread holds
    int round;  // samples that go through the network together, a multiple of 16
    std::int64_t groups_per_problem;
};

// Arrays of a block's trajectories: element m of thread l of a team is at [team][m][l], in global memory or from
// `shared` on in dynamic shared memory. So rows of data, points and activations all have a thread's elements 16 apart.
// In shared memory a team has an odd number of elements for each thread, so that the two teams of a warp use different
// banks.
struct TeamArray {
    void* memory;           // Real: [block, team, m, thread]
    std::int64_t elements;  // of a thread
    std::int64_t shared;    // offset in Reals; -1: not in shared memory
};
constexpr std::int64_t shared_elements(std::int64_t elements) { return elements | 1; }

// A method in SGD's place: its code, and memory for it. Numbers of a trajectory, in the order that the code knows, are
// those of a team's array from the first on: number n is element n / 16 of thread n mod 16.
struct MethodArrays {
    MethodSpec spec;          // all pointers but the program's point into device memory
    ProgramSpec program;      // all pointers do
    const void* numbers;      // as those of a ProgramLaunch
    std::int64_t row;         // numbers of a point, or of a part of the state, in code that takes blocks
    std::int64_t parameters;  // the register of the first
    std::int64_t inputs;      // rows of what is called drawn that are no draws
    TeamArray registers, drawn;
    TeamArray states;     // of code that takes blocks: [part, element]; else numbers
    TeamArray singles;    // numbers
    TeamArray gradients;  // [evaluation, element]
    TeamArray point;      // where a gradient is taken, if that is elsewhere than at x
    TeamArray values;     // [evaluation], in every thread; without elements where none are taken
    TeamArray losses;     // of a round's samples
};

// What a launch does: takes steps, of SGD, of SGD on short rows one at a time, or of a method, evaluates rows for a
// record, or tells the points of one.
enum class DataWork { steps, single_steps, method_steps, rows, points };

// Losses that single steps know: of one output, and no program.
constexpr bool is_of_single_steps(Loss loss) { return has_one_output(loss) && loss != Loss::own; }

struct DataLaunch : Launch {
    DataWork work;
    NetworkSpec network;
    NetworkLayout net;
    DataLayout layout;
    std::int64_t first_group;   // of configs, counted over all problems: that of first_config
    std::int64_t shared_bytes;  // of dynamic shared memory

    TeamArray point;                                                  // x; where averages are recorded, them
    TeamArray output, hidden[max_layers - 1], delta[max_layers - 1];  // of a round's samples

    // With Loss::own: the program, whose pointers point into device memory, its numbers as those of a ProgramLaunch,
    // and its registers, and accumulators of its sums, for a sample of every thread.
    ProgramSpec own_loss;
    const void* own_numbers;
    TeamArray own_registers;

    MethodArrays method;

    // Steps. The first begins with sample first_sample of its batches, one for each evaluation, the last ends before
    // stop_sample.
    bool start;  // at step 0
    int first_sample, stop_sample;
    TeamArray low;       // what x could not take of its last increment; without momentum a step's rows are added to it
    TeamArray velocity;  // with momentum
    // With momentum a step's rows are added to this, unless all of them are added at once: then it has no elements, and
    // their sum stays in registers.
    TeamArray sum;

    // Of record `record`, losses of rows [first_row, stop_row), and where no more are to come the metrics; or its
    // points.
    std::int64_t record;
    bool test;
    std::int64_t first_row, stop_row, last_row;
    const void* x;          // the state; `point` is a copy of it, or averages, where it is not the state itself
    double *losses, *hits;  // [block, thread]: sums of the rows before first_row
    void* taken;            // with points, what metrics take of a method: as the `states` of a ProgramLaunch
};

// Moments of values[cell, replicate - first_replicate], for each block of replicates, and how many are in each bin.
struct MomentsLaunch {
    const void* values;
    std::int64_t cells, value_stride;
    std::int64_t first_replicate, stop_replicate;
    std::int64_t replicate_blocks;
    Moment* moments;       // [replicate block, cell]
    std::int64_t* counts;  // [cell, exceedance_bins]: to be added to, or null
};

}  // namespace cuda
}  // namespace anneal_sgd
