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

// The problem of a config.
ASGD_FN std::int64_t problem_of(const EnsembleSpec& e, std::int64_t config) {
    return config / e.base_lr_count / e.schedule_count;
}

// Configs first .. first + n - 1 of an ensemble, counted from 0.
struct Configs {
    const EnsembleSpec& e;
    std::int64_t first, n;

    Configs(const EnsembleSpec& ensemble, const Task& task)
        : e(ensemble), first(task.first_config), n(task.stop_config - task.first_config) {}
    std::int64_t schedule(std::int64_t c) const { return (first + c) / e.base_lr_count % e.schedule_count; }
    std::int64_t problem(std::int64_t c) const { return problem_of(e, first + c); }
    double base_lr(std::int64_t c) const { return e.base_lr[(first + c) % e.base_lr_count]; }
    // Configs c .. stop - 1 are of one problem; `most` at most.
    std::int64_t of_one_problem(std::int64_t c, std::int64_t most) const {
        std::int64_t stop = c + 1;
        while (stop < n && stop < c + most && problem(stop) == problem(c)) ++stop;
        return stop;
    }
    uint32_t stream(std::int64_t c) const { return e.common_random_numbers ? 0 : uint32_t(first + c); }
};

// Learning rates of a tile of steps: each schedule once, then each config.
template <class R>
struct LearningRates {
    using Real = typename Lane<R>::Real;
    double* h;                   // [config, step]: only the first config of each schedule uses its row
    Real* minus_lr;              // [config, step]; after them rows of zeros, where there are no configs
    std::int64_t* schedule_row;  // [config]: the config whose h row holds its schedule
    std::int64_t zeros;

    LearningRates(std::int64_t configs, Arena& arena, std::int64_t zero_rows = 0)
        : h(arena.take<double>(configs * segment_steps)),
          minus_lr(arena.take<Real>((configs + zero_rows) * segment_steps)),
          schedule_row(arena.take<std::int64_t>(configs)),
          zeros(zero_rows * segment_steps) {}

    void start(const Configs& configs) {
        for (std::int64_t k = 0; k < zeros; ++k) minus_lr[configs.n * segment_steps + k] = 0;
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

// Numbers of a method that follow schedules, of a tile of steps: row 2 k is number k, row 2 k + 1 is 1 minus it.
template <class R>
struct StepNumbers {
    using Real = typename Lane<R>::Real;
    double* h;     // [step]
    Real* values;  // [row, step]

    StepNumbers(const EnsembleSpec& e, Arena& arena)
        : h(arena.take<double>(e.number_count > 0 ? segment_steps : 0)),
          values(arena.take<Real>(2 * e.number_count * segment_steps)) {}

    void compute(const EnsembleSpec& e, std::int64_t first, int n) {
        for (std::int64_t k = 0; k < e.number_count; ++k) {
            schedule_tile<typename Lane<R>::Schedule>(e.schedules[e.schedule_count + k], e.horizon, first, n, h);
            Real* const out = values + 2 * k * segment_steps;
            for (int j = 0; j < n; ++j) {
                const double value = number_between(e.number_ends + 2 * k, h[j]);
                out[j] = Real(value);
                out[segment_steps + j] = Real(1 - value);
            }
        }
    }
};

// Running sums of the iterates of a state of `size` elements; empty where the last iterate is what is recorded.
template <class R>
struct Averages {
    using Real = typename Lane<R>::Real;
    std::int64_t size = 0, open_windows = 0;
    Real* segment = nullptr;         // [element]: sum of iterates in the open segment
    double* total = nullptr;         // [element]: sum of iterates in finished segments, or their mean where they weigh
    double* window_start = nullptr;  // [record mod open_windows, element]: P where a tail begins

    void take(const EnsembleSpec& e, std::int64_t state_size, Arena& arena) {
        size = state_size;
        open_windows = most_open_windows(e);
        segment = arena.take<Real>(e.iterate != Iterate::last ? size : 0);
        total = arena.take<double>(e.iterate != Iterate::last ? size : 0);
        window_start = arena.take<double>(size * open_windows);
    }
    void clear(std::int64_t begin, std::int64_t end) {
        memset(segment + begin, 0, sizeof(Real) * std::size_t(end - begin));
        memset(total + begin, 0, sizeof(double) * std::size_t(end - begin));
    }
    // The one that ends at step k.
    void close_segment(const EnsembleSpec& e, std::int64_t k, std::int64_t begin, std::int64_t end) {
        const Closing way = closing(e, k);
        for (std::int64_t l = begin; l < end; ++l) {
            total[l] = closed(way, total[l], double(segment[l]));
            segment[l] = Real(0);
        }
    }
    void save_window_start(std::int64_t record, std::int64_t begin, std::int64_t end) {
        double* const out = window_start + record % open_windows * size;
        for (std::int64_t l = begin; l < end; ++l) out[l] = total[l] + double(segment[l]);
    }
    // The averages at step k > 0 of elements first + begin .. first + end - 1, to out + begin.
    void average(const EnsembleSpec& e, std::int64_t record, std::int64_t k, std::int64_t first, std::int64_t begin,
                 std::int64_t end, Real* out) const {
        const bool tail = e.iterate == Iterate::tail_average;
        const double* const before = window_start + (tail ? record % open_windows : 0) * size + first;
        const double window = double(window_length(e, k));
        for (std::int64_t l = begin; l < end; ++l) {
            const double sum = total[first + l] + double(segment[first + l]);
            out[l] = Real((tail ? sum - before[l] : sum) / window);
        }
    }
};

// A runner's line to whoever may stop it.
class Stoppable {
public:
    // For take_horizon, of a runner that is cut at every record.
    std::int64_t records_along() const { return 0; }
    void take_along(std::int64_t, std::int64_t) {}

    // Tells the work done; true ends it.
    bool stopped_after(std::int64_t work) { return stopped = stopped || !listener.advanced(listener.context, work); }

    bool stopped = false;

protected:
    explicit Stoppable(const Listener& l) : listener(l) {}

    // f(begin, end) over n elements, in pieces short enough to be stopped in between.
    template <class F>
    void in_pieces(std::int64_t n, F f) {
        for (std::int64_t begin = 0; begin < n && !stopped_after(0); begin += uninterrupted_elements)
            f(begin, n - begin < uninterrupted_elements ? n : begin + uninterrupted_elements);
    }

    const Listener& listener;
};

// Tells the points x[coordinate, replicate] of a config at a record, coordinates `first` and after, where they are
// kept.
template <class Real>
ASGD_FN void tell_iterates(const EnsembleSpec& e, const Listener& listener, std::int64_t config, std::int64_t record,
                           std::int64_t first, std::int64_t coordinates, const Real* x, std::int64_t padded) {
    if (!e.keep_iterates || record != e.record_count - 1) return;
    for (std::int64_t i = 0; i < coordinates; ++i)
        listener.recorded(listener.context, config, e.record_count * e.metric_count + first + i, x + i * padded);
}

// Takes a runner through the horizon in tiles of up to tile_steps steps (a divisor of segment_steps), cut where
// something is recorded, where a tail window begins and at segments. The runner offers `stopped`,
// save_window_start(record), report(record, steps), advance(first_step, steps) and close_segments(step). One that can
// keep what up to records_along() records within a tile will need is told them by take_along(record, count) before it
// advances, and asked for their reports after.
template <class Runner>
ASGD_FN void take_horizon(const EnsembleSpec& e, int tile_steps, Runner& runner) {
    const int segment = segment_length(e), together = segment < tile_steps ? segment : tile_steps;
    std::int64_t t = 0, record = 0, window = 0;
    while (!runner.stopped) {
        for (; window < e.record_count && window_start(e, window) <= t; ++window)
            if (e.iterate == Iterate::tail_average) runner.save_window_start(window);
        for (; record < e.record_count && e.record_at[record] == t && !runner.stopped; ++record)
            runner.report(record, t);
        if (runner.stopped || t == e.horizon || record == e.record_count) return;
        std::int64_t stop = t - t % together + together;
        std::int64_t along = 0;
        while (along < runner.records_along() && record + along + 1 < e.record_count &&
               e.record_at[record + along] < stop)
            ++along;
        if (stop > e.record_at[record + along]) stop = e.record_at[record + along];
        if (window < e.record_count && stop > window_start(e, window)) stop = window_start(e, window);
        runner.take_along(record, along);
        runner.advance(t, int(stop - t));
        for (; along > 0 && !runner.stopped; --along, ++record) runner.report(record, e.record_at[record]);
        if (e.iterate != Iterate::last && stop % segment == 0) runner.close_segments(stop);
        t = stop;
    }
}

ASGD_ISA_NAMESPACE_END
