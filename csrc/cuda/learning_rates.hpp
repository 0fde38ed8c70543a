// What every kernel works out before it takes steps: the configs of a block and their learning rates, keys, and where
// tail windows begin. Included by the kernels.
#pragma once

#include "block.hpp"
#include "launch.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types, which block.hpp brings

ASGD_ISA_NAMESPACE_BEGIN

ASGD_KERNEL_FN std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
ASGD_KERNEL_FN int lesser(int a, int b) { return a < b ? a : b; }

// Consecutive configs. Learning rates vary fastest over configs, so a block has few pairs of problem and schedule.
struct BlockConfigs {
    std::int64_t first;
    std::int64_t first_pair;  // number of the problem and schedule of the first
    int first_schedule;       // number of its schedule
    int first_base_lr;        // number of its learning rate
    int base_lr_count;
    int count;
    ASGD_KERNEL_MEMBER int pair(int c) const { return (first_base_lr + c) / base_lr_count; }
};

ASGD_KERNEL_FN BlockConfigs block_configs(const EnsembleSpec& e, std::int64_t first, std::int64_t stop) {
    const std::int64_t first_pair = first / e.base_lr_count;
    return {first,
            first_pair,
            int(first_pair % e.schedule_count),
            int(first - first_pair * e.base_lr_count),
            int(e.base_lr_count),
            int(stop - first)};
}

ASGD_KERNEL_FN PhiloxKeys keys_of(const cuda::Launch& p) {
    PhiloxKeys keys;
    ASGD_UNROLL
    for (int r = 0; r < 10; ++r) {
        keys.k0[r] = p.key0[r];
        keys.k1[r] = p.key1[r];
    }
    return keys;
}

// A call of its own: what it needs in registers must not push out what the steps need.
ASGD_KERNEL_CALL double scaled_value(const ScheduleSpec& shape, double scale, double horizon, double t, double u,
                                     double v) {
    return scale * plain_value<double>(shape, horizon, t, u, v);
}

// h at a step, as `schedule_value` has it, with one call of the formulas.
ASGD_KERNEL_FN double schedule_at_step(const ScheduleSpec& s, double horizon, double t) {
    PieceTime at{nullptr, t, t / horizon, (horizon - t) / horizon};
    if (s.piece_count > 0) at = time_in_piece(s, t);
    const SchedulePiece* const p = at.piece;
    return p == nullptr ? scaled_value(s, 1, horizon, at.t, at.u, at.v)
                        : scaled_value(p->shape, p->scale, p->length, at.t, at.u, at.v);
}

// Of a tile of steps, in shared memory: each schedule once, then each config. At most most_h rows of h x tile_steps,
// and most configs x tile_steps; rows are `pad` longer. h begins with numbers of a method that follow schedules.
template <class Real, int most_h, int most = most_h, int pad = 0>
struct LearningRates {
    typename Block::template Shared<double, most_h + pad * block_threads> h;
    typename Block::template Shared<Real, most + pad * block_threads> minus_lr;  // [config, step]

    ASGD_KERNEL_MEMBER static int row_length(int tile_steps) { return tile_steps + pad; }

    // Without `products` h alone, which steps read. A thread has one step of the tile, of every so many rows.
    ASGD_KERNEL_MEMBER void compute(Block& block, const EnsembleSpec& e, const BlockConfigs& configs, int tile_steps,
                                    std::int64_t t, int n, bool products = true) {
        const int numbers = int(e.number_count), pairs = configs.pair(configs.count - 1) + 1;
        const int length = row_length(tile_steps);
        const int log2_n = Block::log2_ceil(n), apart = block_threads >> log2_n;
        if (numbers > 0 || !products) block.barrier();  // steps of the tile before have read theirs
        block.each([&](int thread) {
            const int j = thread & ((1 << log2_n) - 1);
            if (j >= n) return;
            for (int row = thread >> log2_n; row < numbers + pairs; row += apart) {
                const bool of_number = row < numbers;
                const int schedules = int(e.schedule_count);
                const int schedule = of_number ? schedules + row : (configs.first_schedule + row - numbers) % schedules;
                const double value = schedule_at_step(e.schedules[schedule], double(e.horizon), double(t + j));
                h.set(thread, row * length + j, of_number ? number_between(e.number_ends + 2 * row, value) : value);
            }
        });
        block.barrier();
        if (!products) return;
        block.each([&](int thread) {
            const int j = thread & ((1 << log2_n) - 1);
            if (j >= n) return;
            for (int c = thread >> log2_n; c < configs.count; c += apart) {
                const int pair = pairs > 1 ? configs.pair(c) : 0;
                const double base_lr = e.base_lr[configs.first_base_lr + c - pair * configs.base_lr_count];
                minus_lr.set(thread, c * length + j, -Real(base_lr * h.get(thread, (numbers + pair) * length + j)));
            }
        });
        block.barrier();
    }
};

ASGD_ISA_NAMESPACE_END
