// Which trajectories and coordinates the threads of a block have, how their state is addressed, and the order of time.
// Included by the kernels of separable problems and of programs.
#pragma once

#include <type_traits>

#include "block.hpp"
#include "launch.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types, which block.hpp brings
#include "learning_rates.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// The base of those kernels.
template <class Real, class Launch>
struct Places {
    const Launch& p;
    Block& block;

    // Worked out once per launch: divisions are slow on a GPU.
    struct Place {
        bool active;
        std::int32_t problem;
        std::uint32_t replicate;  // of the first of its replicates; the others follow
    };
    typename Block::template PerThread<Place> places{};
    BlockConfigs configs{};

    ASGD_KERNEL_MEMBER int rank(int thread) const { return thread & ((1 << p.layout.log2_team) - 1); }
    ASGD_KERNEL_MEMBER int trajectory(int thread) const { return (thread >> p.layout.log2_team) * abreast; }
    ASGD_KERNEL_MEMBER int config_in_block(int thread) const { return trajectory(thread) >> p.layout.log2_replicates; }

    ASGD_KERNEL_MEMBER void find_places() {
        const std::int64_t group = block.index() % p.config_groups, set = block.index() / p.config_groups;
        const std::int64_t first = p.first_config + group * p.layout.configs;
        configs = block_configs(p.ensemble, first, smaller(first + p.layout.configs, p.stop_config));
        block.each([&](int thread) {
            const int in_set = trajectory(thread) & ((1 << p.layout.log2_replicates) - 1);
            const std::int64_t replicate = p.first_replicate + (set << p.layout.log2_replicates) + in_set;
            const int c = config_in_block(thread);
            places[thread] = {c < configs.count && replicate < p.stop_replicate,
                              std::int32_t((configs.first_pair + configs.pair(c)) / p.ensemble.schedule_count),
                              std::uint32_t(replicate)};
        });
    }
    ASGD_KERNEL_MEMBER std::uint32_t stream(int thread) const {
        return p.ensemble.common_random_numbers ? 0 : std::uint32_t(configs.first + config_in_block(thread));
    }
    ASGD_KERNEL_MEMBER std::int64_t element(int thread, int m, int k) const {
        return ((block.index() * p.layout.coordinates_per_thread + m) * abreast + k) * block_threads + thread;
    }
    ASGD_KERNEL_MEMBER std::int64_t elements() const {
        return p.blocks * p.layout.coordinates_per_thread * abreast * block_threads;
    }
    ASGD_KERNEL_MEMBER bool averaging() const { return p.ensemble.iterate != Iterate::last; }
    // f(m, i) for the coordinates of an active thread: i, its m-th.
    template <class F>
    ASGD_KERNEL_MEMBER void for_coordinates(int thread, F f) {
        for_coordinates(thread, 0, 1, f);
    }
    // For every apart-th of them, from the first on.
    template <class F>
    ASGD_KERNEL_MEMBER void for_coordinates(int thread, int first, int apart, F f) {
        if (!places[thread].active) return;
        std::int64_t i = rank(thread) + (std::int64_t(first) << p.layout.log2_team);
        for (int m = first; m < p.layout.coordinates_per_thread && i < p.ensemble.problems.dimension; m += apart) {
            f(m, i);
            i += std::int64_t(apart) << p.layout.log2_team;
        }
    }
    ASGD_KERNEL_MEMBER int learning_rate_row(int thread) { return config_in_block(thread) * p.layout.tile_steps; }
    ASGD_KERNEL_MEMBER Real start(int thread, std::int64_t i) {
        const MatrixView& x0 = p.ensemble.problems.x0;
        return Real(x0.data[places[thread].problem * x0.row_stride + i * x0.column_stride]);
    }
    ASGD_KERNEL_MEMBER double radius(int thread) {
        const VectorView& view = p.ensemble.problems.radius;
        return view.data[places[thread].problem * view.stride];
    }

    ASGD_KERNEL_MEMBER Real minimum(int thread) {
        const VectorView& view = p.ensemble.problems.minimum;
        return Real(view.data[places[thread].problem * view.stride]);
    }

    ASGD_KERNEL_MEMBER bool steps_elsewhere() const {
        if constexpr (std::is_same<Launch, cuda::ProgramLaunch>::value)
            return p.steps_elsewhere;
        else
            return false;
    }
    // All of a launch, tile by tile: kernel.advance(t, n) takes n steps.
    template <class Rates, class Kernel>
    ASGD_KERNEL_MEMBER void take_tiles(Rates& rates, Kernel& kernel) {
        std::int64_t t = p.first_step, record = p.first_record, window = p.first_window;
        if (steps_elsewhere() && ends_segment(t)) close_segments(t, kernel);
        for (;;) {
            if (!steps_elsewhere() || t == p.first_step) {
                for (; window < p.ensemble.record_count && window_start(p.ensemble, window) <= t; ++window)
                    save_window_start(window, kernel);
                for (; record < p.ensemble.record_count && p.ensemble.record_at[record] == t; ++record)
                    kernel.report(record, t);
            }
            if (t == p.stop_step || record == p.ensemble.record_count) break;
            const std::int64_t together = smaller(p.layout.tile_steps, segment_length(p.ensemble));
            std::int64_t stop = smaller(t - t % together + together, p.stop_step);
            stop = smaller(stop, p.ensemble.record_at[record]);
            if (window < p.ensemble.record_count) stop = smaller(stop, window_start(p.ensemble, window));
            rates.compute(block, p.ensemble, configs, p.layout.tile_steps, t, int(stop - t), !p.layout.own_rates);
            kernel.advance(t, int(stop - t));
            t = stop;
            if (!steps_elsewhere() && ends_segment(t)) close_segments(t, kernel);
        }
    }

    ASGD_KERNEL_MEMBER bool ends_segment(std::int64_t t) const {
        return averaging() && t > 0 && t % segment_length(p.ensemble) == 0;
    }

    // --- averages; kernel.segment(thread, m, k) is the sum of iterates in the open segment

    // Those that end at step t.
    template <class Kernel>
    ASGD_KERNEL_MEMBER void close_segments(std::int64_t t, Kernel& kernel) {
        const Closing way = closing(p.ensemble, t);
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t) {
                for (int k = 0; k < abreast; ++k) {
                    double& total = p.total[element(thread, m, k)];
                    total = closed(way, total, double(kernel.segment(thread, m, k)));
                    kernel.segment(thread, m, k) = Real(0);
                }
            });
        });
    }

    template <class Kernel>
    ASGD_KERNEL_MEMBER double sum_of_iterates(Kernel& kernel, int thread, int m, int k) {
        return p.total[element(thread, m, k)] + double(kernel.segment(thread, m, k));
    }

    template <class Kernel>
    ASGD_KERNEL_MEMBER void save_window_start(std::int64_t record, Kernel& kernel) {
        if (p.ensemble.iterate != Iterate::tail_average) return;
        double* const start = p.window_start + record % p.open_windows * elements();
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t) {
                for (int k = 0; k < abreast; ++k) start[element(thread, m, k)] = sum_of_iterates(kernel, thread, m, k);
            });
        });
    }

    // What a record takes for the iterate at step k_steps.
    struct Averaging {
        bool average;
        const double* before;  // sums where a tail window begins, or null
        double window;         // how many iterates
    };
    ASGD_KERNEL_MEMBER Averaging averaging_at(std::int64_t record, std::int64_t k_steps) const {
        const bool tail = p.ensemble.iterate == Iterate::tail_average, average = averaging() && k_steps > 0;
        return {average, tail ? p.window_start + record % p.open_windows * elements() : nullptr,
                average ? double(window_length(p.ensemble, k_steps)) : 1};
    }
    template <class Kernel>
    ASGD_KERNEL_MEMBER Real average(const Averaging& a, Kernel& kernel, int thread, int m, int k) {
        const double all = sum_of_iterates(kernel, thread, m, k);
        return Real((a.before != nullptr ? all - a.before[element(thread, m, k)] : all) / a.window);
    }

    // Where the values of a thread's replicates go; f(k, at) for those that there are, in the first of a team.
    template <class F>
    ASGD_KERNEL_MEMBER void for_recorded(int thread, std::int64_t record, F f) {
        if (!places[thread].active || rank(thread) != 0) return;
        const std::int64_t cell =
            (configs.first + config_in_block(thread) - p.first_config) * values_per_config() + record;
        const std::int64_t at = places[thread].replicate - p.first_replicate;
        for (int k = 0; k < abreast && p.first_replicate + at + k < p.stop_replicate; ++k)
            f(k, static_cast<Real*>(p.values)[cell * p.value_stride + at + k]);
    }
    ASGD_KERNEL_MEMBER std::int64_t values_per_config() const {
        return p.ensemble.record_count * p.ensemble.metric_count;
    }

    // Keeps a coordinate of the point that a record is of, where that is wanted.
    ASGD_KERNEL_MEMBER bool keeps_points(std::int64_t record) const {
        return p.points != nullptr && record == p.ensemble.record_count - 1;
    }
    ASGD_KERNEL_MEMBER void keep_point(int thread, std::int64_t i, int k, Real value) {
        const std::int64_t at = places[thread].replicate - p.first_replicate + k;
        if (p.first_replicate + at >= p.stop_replicate) return;
        const std::int64_t config = configs.first + config_in_block(thread) - p.first_config;
        static_cast<Real*>(p.points)[(config * p.ensemble.problems.dimension + i) * p.point_stride + at] = value;
    }

    // --- noise

    ASGD_KERNEL_MEMBER PhiloxKeys keys() const { return keys_of(p); }
    // What the four replicates of a thread share with every call of one substream.
    ASGD_KERNEL_MEMBER PerReplicate<PhiloxLanes<std::uint32_t>> philox_of(int thread, std::uint32_t substream) {
        PerReplicate<PhiloxLanes<std::uint32_t>> lanes;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k)
            lanes[k] = philox_lanes(places[thread].replicate + std::uint32_t(k), substream, keys());
        return lanes;
    }
    // Word `index` of a call: selected, not indexed, so that the words stay in registers.
    ASGD_KERNEL_MEMBER static std::uint32_t word(const PerReplicate<std::uint32_t>& words, int index) {
        const std::uint32_t low = index == 0 ? words[0] : words[1], high = index == 2 ? words[2] : words[3];
        return index < 2 ? low : high;
    }
    ASGD_KERNEL_MEMBER PerReplicate<PerReplicate<std::uint32_t>> words(
        const PerReplicate<PhiloxLanes<std::uint32_t>>& lanes, std::uint32_t stream, std::int64_t call) {
        const PhiloxCall shared_by_all = philox_call(stream, std::uint32_t(call), keys());
        PerReplicate<PerReplicate<std::uint32_t>> words;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) philox_words(lanes[k], shared_by_all, keys(), words[k].v);
        return words;
    }
};

ASGD_ISA_NAMESPACE_END
