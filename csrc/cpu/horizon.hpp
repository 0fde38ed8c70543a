// What all runners share: scratch memory, the way through the horizon, learning rates. Included by the runners.
#pragma once

#include "../core/trajectory.hpp"
#include "kernels.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr std::int64_t uninterrupted_elements = 1 << 20;  // of state that pass between two questions to stop

template <class T>
ASGD_FN T round_up(T x, T multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

// Hands out 64-byte-aligned arrays from one block; with no block it only counts, so size and layout cannot disagree.
struct Arena {
    char* base;
    std::int64_t used = 0;

    template <class T>
    [[maybe_unused]] T* take(std::int64_t n) {
        T* p = base != nullptr ? reinterpret_cast<T*>(base + used) : nullptr;
        used += round_up<std::int64_t>(n * std::int64_t(sizeof(T)), 64);
        return p;
    }
};

// Configs are in C order over problems, schedules, learning rates.
ASGD_FN std::int64_t problem_of(const EnsembleSpec& e, std::int64_t config) {
    return config / e.base_lr_count / e.schedule_count;
}

// Configs first .. first + n - 1 of an ensemble, counted from 0.
struct Configs {
    const EnsembleSpec& e;
    std::int64_t first, n;

    Configs(const EnsembleSpec& ensemble, const Range& range)
        : e(ensemble), first(range.first_config), n(range.stop_config - range.first_config) {}
    std::int64_t schedule(std::int64_t c) const { return (first + c) / e.base_lr_count % e.schedule_count; }
    std::int64_t problem(std::int64_t c) const { return problem_of(e, first + c); }
    double base_lr(std::int64_t c) const { return e.base_lr[(first + c) % e.base_lr_count]; }
    uint32_t stream(std::int64_t c) const { return e.common_random_numbers ? 0 : uint32_t(first + c); }
};

// Learning rates of a tile of steps: each schedule once, then each config.
template <class R>
struct LearningRates {
    using Real = typename Lane<R>::Real;
    double* h;                   // [config, step]: only the first config of each schedule uses its row
    Real* minus_lr;              // [config, step]
    std::int64_t* schedule_row;  // [config]: the config whose h row holds its schedule

    LearningRates(std::int64_t configs, Arena& arena)
        : h(arena.take<double>(configs * segment_steps)),
          minus_lr(arena.take<Real>(configs * segment_steps)),
          schedule_row(arena.take<std::int64_t>(configs)) {}

    void start(const Configs& configs) {
        for (std::int64_t c = 0; c < configs.n; ++c) {
            schedule_row[c] = c;
            for (std::int64_t other = 0; other < c; ++other)
                if (configs.schedule(other) == configs.schedule(c)) {
                    schedule_row[c] = other;
                    break;
                }
        }
    }
    void compute(const Configs& configs, std::int64_t first, int n) {
        for (std::int64_t c = 0; c < configs.n; ++c) {
            double* const row = h + schedule_row[c] * segment_steps;
            if (schedule_row[c] == c)
                schedule_tile<typename Lane<R>::Schedule>(configs.e.schedules[configs.schedule(c)], configs.e.horizon,
                                                          first, n, row);
            const double base_lr = configs.base_lr(c);
            Real* const out = minus_lr + c * segment_steps;
            for (int j = 0; j < n; ++j) out[j] = -Real(base_lr * row[j]);
        }
    }
};

// Step at which record r's tail average begins; past is -1: at once, there is none.
ASGD_FN std::int64_t window_start(const EnsembleSpec& e, std::int64_t r) {
    return e.iterate == Iterate::tail_average && e.record_at[r] > 0 ? tail_window_start(e.record_at[r], e.tail_frac)
                                                                    : -1;
}

// Takes a runner through the horizon in tiles of up to tile_steps steps (a divisor of segment_steps), cut where
// something is recorded, where a tail window begins and at segments. The runner offers is_stopped(),
// save_window_start(record), report(record, steps), advance(first_step, steps) and close_segments().
template <class Runner>
ASGD_FN void take_horizon(const EnsembleSpec& e, int tile_steps, Runner& runner) {
    std::int64_t t = 0, record = 0, window = 0;
    while (!runner.is_stopped()) {
        for (; window < e.record_count && window_start(e, window) <= t; ++window)
            if (e.iterate == Iterate::tail_average) runner.save_window_start(window);
        for (; record < e.record_count && e.record_at[record] == t && !runner.is_stopped(); ++record)
            runner.report(record, t);
        if (runner.is_stopped() || t == e.horizon || record == e.record_count) return;
        std::int64_t stop = t - t % tile_steps + tile_steps;
        if (stop > e.record_at[record]) stop = e.record_at[record];
        if (window < e.record_count && stop > window_start(e, window)) stop = window_start(e, window);
        runner.advance(t, int(stop - t));
        if (e.iterate != Iterate::last && stop % segment_steps == 0) runner.close_segments();
        t = stop;
    }
}

ASGD_ISA_NAMESPACE_END
