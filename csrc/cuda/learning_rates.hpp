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
    int first_base_lr;        // number of its learning rate
    int base_lr_count;
    int count;
    ASGD_KERNEL_MEMBER int pair(int c) const { return (first_base_lr + c) / base_lr_count; }
};

ASGD_KERNEL_FN BlockConfigs block_configs(const EnsembleSpec& e, std::int64_t first, std::int64_t stop) {
    const std::int64_t first_pair = first / e.base_lr_count;
    return {first, first_pair, int(first - first_pair * e.base_lr_count), int(e.base_lr_count), int(stop - first)};
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

// Of a tile of steps, in shared memory: each schedule once, then each config. `most`: at most so many configs and
// numbers of a method that follow schedules x tile_steps. h begins with those numbers.
template <class Real, int most>
struct LearningRates {
    typename Block::template Shared<double, most> h;
    typename Block::template Shared<Real, most> minus_lr;  // [config, step]

    ASGD_KERNEL_MEMBER void compute(Block& block, const EnsembleSpec& e, const BlockConfigs& configs, int tile_steps,
                                    std::int64_t t, int n) {
        const int numbers = int(e.number_count), pairs = configs.pair(configs.count - 1) + 1;
        const double horizon = double(e.horizon);
        if (numbers > 0) block.barrier();  // steps of the tile before have read theirs
        block.each([&](int thread) {
            for (int item = thread; item < (numbers + pairs) * n; item += block_threads) {
                const int row = item / n, j = item % n;
                const bool of_number = row < numbers;
                const std::int64_t schedule =
                    of_number ? e.schedule_count + row : (configs.first_pair + row - numbers) % e.schedule_count;
                const double value = schedule_at_step(e.schedules[schedule], horizon, double(t + j));
                h.set(thread, row * tile_steps + j, of_number ? number_between(e.number_ends + 2 * row, value) : value);
            }
        });
        block.barrier();
        block.each([&](int thread) {
            for (int item = thread; item < configs.count * n; item += block_threads) {
                const int c = item / n, j = item % n, pair = configs.pair(c);
                const double base_lr = e.base_lr[configs.first_base_lr + c - pair * configs.base_lr_count];
                minus_lr.set(thread, c * tile_steps + j,
                             -Real(base_lr * h.get(thread, (numbers + pair) * tile_steps + j)));
            }
        });
        block.barrier();
    }
};

ASGD_ISA_NAMESPACE_END
