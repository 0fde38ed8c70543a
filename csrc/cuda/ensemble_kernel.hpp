// The kernel that advances trajectories: one body for GPUs and for the emulation of block.hpp. Included by
// kernels.cuh and ensemble_emulated.hpp.
//
// Time runs in tiles as on the CPU (cpu/tile_runner.hpp). For a tile the block's threads compute the learning rates of
// its configs together into shared memory; then every thread takes its coordinates through the tile, one after another,
// four replicates at a time in registers, drawing noise as it goes. Coordinates meet in the objective and in a ball
// projection, where groups of neighbouring threads fold their sums.
#pragma once

#include "block.hpp"
#include "launch.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types, which block.hpp brings
#include "learning_rates.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
using EnsembleShared = LearningRates<Real, cuda::most_learning_rates>;

template <class Real, ProblemKind kind, NoiseKind noise, bool ball>
struct EnsembleKernel {
    using Four = PerReplicate<Real>;
    using Bits = typename Lane<Real>::Bits;
    static constexpr NoiseForm form = noise_form(noise);
    static constexpr int draws = value_draws_per_call<Real>;

    const cuda::EnsembleLaunch& p;
    Block& block;
    EnsembleShared<Real>& shared;
    Real* shared_state;  // dynamic shared memory, or null

    // --- where a thread stands

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
    ASGD_KERNEL_MEMBER Real& x(int thread, int m, int k) {
        if (ball && shared_state != nullptr) return shared_state[(m * abreast + k) * block_threads + thread];
        return static_cast<Real*>(p.x)[element(thread, m, k)];
    }
    ASGD_KERNEL_MEMBER Real& low(int thread, int m, int k) { return static_cast<Real*>(p.low)[element(thread, m, k)]; }
    ASGD_KERNEL_MEMBER Real& segment(int thread, int m, int k) {
        return static_cast<Real*>(p.segment)[element(thread, m, k)];
    }
    // f(m, i) for the coordinates of an active thread: i, its m-th.
    template <class F>
    ASGD_KERNEL_MEMBER void for_coordinates(int thread, F f) {
        if (!places[thread].active) return;
        std::int64_t i = rank(thread);
        for (int m = 0; m < p.layout.coordinates_per_thread && i < p.ensemble.problems.dimension; ++m) {
            f(m, i);
            i += std::int64_t(1) << p.layout.log2_team;
        }
    }
    ASGD_KERNEL_MEMBER Coordinate<Real> parameters(int thread, std::int64_t i) {
        return coordinate_parameters<Real>(p.ensemble.problems, places[thread].problem, i);
    }

    // --- time

    ASGD_KERNEL_MEMBER void run() {
        find_places();
        begin();
        std::int64_t t = p.first_step, record = p.first_record, window = p.first_window;
        for (;;) {
            for (; window < p.ensemble.record_count && window_start(p.ensemble, window) <= t; ++window)
                save_window_start(window);
            for (; record < p.ensemble.record_count && p.ensemble.record_at[record] == t; ++record) report(record, t);
            if (t == p.stop_step || record == p.ensemble.record_count) break;
            std::int64_t stop = smaller(t - t % p.layout.tile_steps + p.layout.tile_steps, p.stop_step);
            stop = smaller(stop, p.ensemble.record_at[record]);
            if (window < p.ensemble.record_count) stop = smaller(stop, window_start(p.ensemble, window));
            shared.compute(block, p.ensemble, configs, p.layout.tile_steps, t, int(stop - t));
            if constexpr (ball)
                advance_ball(t, int(stop - t));
            else
                advance(t, int(stop - t));
            t = stop;
            if (averaging() && t % segment_steps == 0) close_segments();
        }
        end();
    }

    // At step 0 the start, later what the last launch left.
    ASGD_KERNEL_MEMBER void begin() {
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t i) {
                const MatrixView& x0 = p.ensemble.problems.x0;
                const Real start = Real(x0.data[places[thread].problem * x0.row_stride + i * x0.column_stride]);
                for (int k = 0; k < abreast; ++k) {
                    if (p.first_step == 0) {
                        x(thread, m, k) = start;
                        low(thread, m, k) = Real(0);
                        if (averaging()) {
                            segment(thread, m, k) = Real(0);
                            p.total[element(thread, m, k)] = 0;
                        }
                    } else if (ball && shared_state != nullptr) {
                        x(thread, m, k) = static_cast<Real*>(p.x)[element(thread, m, k)];
                    }
                }
            });
        });
    }

    ASGD_KERNEL_MEMBER void end() {
        if (!ball || shared_state == nullptr) return;
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t) {
                for (int k = 0; k < abreast; ++k) static_cast<Real*>(p.x)[element(thread, m, k)] = x(thread, m, k);
            });
        });
    }

    ASGD_KERNEL_MEMBER Real minus_lr(int thread, int row, int j) { return shared.minus_lr.get(thread, row + j); }
    ASGD_KERNEL_MEMBER int learning_rate_row(int thread) { return config_in_block(thread) * p.layout.tile_steps; }

    // --- noise

    ASGD_KERNEL_MEMBER PhiloxKeys keys() const { return keys_of(p); }
    // What the four replicates of a thread share with every call of one coordinate.
    ASGD_KERNEL_MEMBER PerReplicate<PhiloxLanes<std::uint32_t>> philox_of(int thread, std::int64_t i) {
        PerReplicate<PhiloxLanes<std::uint32_t>> lanes;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k)
            lanes[k] = philox_lanes(places[thread].replicate + std::uint32_t(k), std::uint32_t(i), keys());
        return lanes;
    }
    ASGD_KERNEL_MEMBER PerReplicate<PerReplicate<std::uint32_t>> words(
        const PerReplicate<PhiloxLanes<std::uint32_t>>& lanes, std::uint32_t stream, std::int64_t call) {
        const PhiloxCall shared_by_all = philox_call(stream, std::uint32_t(call), keys());
        PerReplicate<PerReplicate<std::uint32_t>> words;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) philox_words(lanes[k], shared_by_all, keys(), words[k].v);
        return words;
    }
    // z[k].v[j]: draw j of the call for replicate k of the thread.
    struct Draws {
        Real v[draws];
    };
    ASGD_KERNEL_MEMBER PerReplicate<Draws> values(const PerReplicate<PhiloxLanes<std::uint32_t>>& lanes,
                                                  std::uint32_t stream, std::int64_t call) {
        const PhiloxCall shared_by_all = philox_call(stream, std::uint32_t(call), keys());
        PerReplicate<Draws> z;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) {
            typename Lane<Real>::Bits bits[draws];
            philox_bits<Real>(lanes[k], shared_by_all, keys(), bits);
            draw_values<Real, noise>(bits, z[k].v);
        }
        return z;
    }
    // Word `index` of a call: selected, not indexed, so that the words stay in registers.
    ASGD_KERNEL_MEMBER static std::uint32_t word(const PerReplicate<std::uint32_t>& words, int index) {
        const std::uint32_t low = index == 0 ? words[0] : words[1], high = index == 2 ? words[2] : words[3];
        return index < 2 ? low : high;
    }

    // --- steps

    // One coordinate of a thread's replicates; the sum of iterates only where they are averaged.
    struct State {
        Four x, low, sum;
    };

    template <bool summing, class Noise>
    ASGD_KERNEL_MEMBER static void step_to(const Coordinate<Real>& c, Real minus_lr, Noise z, State& state, int k) {
        state.x[k] = clamp_to_box(c, step<kind, form>(c, minus_lr, state.x[k], state.low[k], z));
        if constexpr (summing) state.sum[k] = state.sum[k] + state.x[k];
    }

    // Without a ball: a coordinate takes the tile on its own. "No projection" is the box of all numbers.
    ASGD_KERNEL_MEMBER void advance(std::int64_t t, int n) {
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t i) {
                const Coordinate<Real> c = parameters(thread, i);
                State state;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    state.x[k] = x(thread, m, k);
                    state.low[k] = low(thread, m, k);
                }
                if (averaging()) {
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) state.sum[k] = segment(thread, m, k);
                    take_steps<true>(thread, i, c, t, n, state);
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) segment(thread, m, k) = state.sum[k];
                } else {
                    take_steps<false>(thread, i, c, t, n, state);
                }
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    x(thread, m, k) = state.x[k];
                    low(thread, m, k) = state.low[k];
                }
            });
        });
    }

    template <bool summing>
    ASGD_KERNEL_MEMBER void take_steps(int thread, std::int64_t i, const Coordinate<Real>& c, std::int64_t t, int n,
                                       State& state) {
        const int row = learning_rate_row(thread);
        if constexpr (form == NoiseForm::none) {
            for (int j = 0; j < n; ++j) {
                const Real lr = minus_lr(thread, row, j);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr, 0, state, k);
            }
        } else if constexpr (form == NoiseForm::values) {
            const auto lanes = philox_of(thread, i);
            const std::uint32_t stream_number = stream(thread);
            for (int j = 0; j < n;) {
                const int first = int((t + j) % draws), stop = n - j < draws - first ? first + n - j : draws;
                const PerReplicate<Draws> z = values(lanes, stream_number, (t + j) / draws);
                if (stop - first == draws) {
                    ASGD_UNROLL
                    for (int s = 0; s < draws; ++s) {
                        const Real lr = minus_lr(thread, row, j + s);
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr, z[k].v[s], state, k);
                    }
                } else {  // a tile that begins or ends within the call
                    ASGD_UNROLL
                    for (int s = 0; s < draws; ++s) {
                        if (s < first || s >= stop) continue;
                        const Real lr = minus_lr(thread, row, j + s - first);
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr, z[k].v[s], state, k);
                    }
                }
                j += stop - first;
            }
        } else {
            const PerReplicate<PerReplicate<std::uint32_t>> call =
                words(philox_of(thread, i), stream(thread), t / rademacher_draws_per_call);
            const int place = int(t % rademacher_draws_per_call);
            for (int j = 0; j < n;) {
                const int skip = (place + j) % 32, stop = n - j < 32 - skip ? n : j + 32 - skip;
                PerReplicate<Bits> w;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) w[k] = top_aligned(word(call[k], (place + j) / 32), Real()) << skip;
                const auto one = [&](int s) {
                    const Real lr = minus_lr(thread, row, s);
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) {
                        step_to<summing>(c, lr, w[k], state, k);
                        w[k] = w[k] + w[k];
                    }
                };
                for (; j + 8 <= stop; j += 8) {
                    ASGD_UNROLL
                    for (int s = 0; s < 8; ++s) one(j + s);
                }
                for (; j < stop; ++j) one(j);
            }
        }
    }

    // With a ball every step folds a norm. Up to 32 coordinates there is one to a thread, kept in registers.
    ASGD_KERNEL_MEMBER void advance_ball(std::int64_t t, int n) {
        if (p.layout.coordinates_per_thread == 1)
            advance_ball_in_registers(t, n);
        else
            advance_ball_in_memory(t, n);
    }

    ASGD_KERNEL_MEMBER double radius(int thread) {
        const VectorView& view = p.ensemble.problems.radius;
        return view.data[places[thread].problem * view.stride];
    }

    struct RegisterState {
        Coordinate<Real> c;
        Real radius, radius_squared;
        State state;
        PerReplicate<PhiloxLanes<std::uint32_t>> lanes;
        PerReplicate<PerReplicate<std::uint32_t>> words;
        PerReplicate<Draws> z;
    };

    ASGD_KERNEL_MEMBER void advance_ball_in_registers(std::int64_t t, int n) {
        typename Block::template PerThread<RegisterState> states;
        typename Block::template PerThread<Four> norms;
        const auto busy = [&](int thread) {
            return places[thread].active && rank(thread) < p.ensemble.problems.dimension;
        };
        block.each([&](int thread) {
            if (!busy(thread)) return;
            RegisterState& own = states[thread];
            own.c = parameters(thread, rank(thread));
            own.radius = Real(radius(thread));
            own.radius_squared = Real(radius(thread) * radius(thread));
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                own.state.x[k] = x(thread, 0, k);
                own.state.low[k] = low(thread, 0, k);
                if (averaging()) own.state.sum[k] = segment(thread, 0, k);
            }
            if constexpr (form != NoiseForm::none) own.lanes = philox_of(thread, rank(thread));
            if constexpr (form == NoiseForm::bits)
                own.words = words(own.lanes, stream(thread), t / rademacher_draws_per_call);
        });
        const auto one = [&](int j, auto noise_of) {
            block.each([&](int thread) {
                Four& norm = norms[thread];
                if (!busy(thread)) {
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) norm[k] = Real(0);
                    return;
                }
                RegisterState& own = states[thread];
                const Real lr = minus_lr(thread, learning_rate_row(thread), j);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    const Real y = step<kind, form>(own.c, lr, own.state.x[k], own.state.low[k], noise_of(own, k));
                    own.state.x[k] = y;
                    norm[k] = fma(y, y, Real(0));
                }
            });
            block.fold(norms, 1 << p.layout.log2_team);
            block.each([&](int thread) {
                if (!busy(thread)) return;
                RegisterState& own = states[thread];
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    Real& x = own.state.x[k];
                    x = x * ball_factor(own.radius, own.radius_squared, norms[thread][k]);
                    if (averaging()) own.state.sum[k] = own.state.sum[k] + x;
                }
            });
        };
        for (int j = 0; j < n;) {
            if constexpr (form == NoiseForm::values) {
                const int first = int((t + j) % draws), stop = n - j < draws - first ? first + n - j : draws;
                block.each([&](int thread) {
                    if (busy(thread)) states[thread].z = values(states[thread].lanes, stream(thread), (t + j) / draws);
                });
                ASGD_UNROLL
                for (int s = 0; s < draws; ++s)
                    if (s >= first && s < stop)
                        one(j + s - first, [&](const RegisterState& own, int k) { return own.z[k].v[s]; });
                j += stop - first;
            } else if constexpr (form == NoiseForm::bits) {
                const int bit = int((t + j) % rademacher_draws_per_call);
                one(j, [&](const RegisterState& own, int k) {
                    return top_aligned(word(own.words[k], bit / 32), Real()) << (bit % 32);
                });
                ++j;
            } else {
                one(j, [](const RegisterState&, int) { return 0; });
                ++j;
            }
        }
        block.each([&](int thread) {
            if (!busy(thread)) return;
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                x(thread, 0, k) = states[thread].state.x[k];
                low(thread, 0, k) = states[thread].state.low[k];
                if (averaging()) segment(thread, 0, k) = states[thread].state.sum[k];
            }
        });
    }

    // Rows of drawn values, or of words, that a ball of many coordinates keeps for each element.
    ASGD_KERNEL_MEMBER Real& noise_value(int thread, int m, int k, int row) {
        return static_cast<Real*>(p.noise)[row * elements() + element(thread, m, k)];
    }
    ASGD_KERNEL_MEMBER std::uint32_t& noise_word(int thread, int m, int k, int row) {
        return static_cast<std::uint32_t*>(p.noise)[row * elements() + element(thread, m, k)];
    }

    ASGD_KERNEL_MEMBER void advance_ball_in_memory(std::int64_t t, int n) {
        typename Block::template PerThread<Four> norms;
        if constexpr (form == NoiseForm::bits)
            block.each([&](int thread) {
                for_coordinates(thread, [&](int m, std::int64_t i) {
                    const auto call = words(philox_of(thread, i), stream(thread), t / rademacher_draws_per_call);
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k)
                        for (int row = 0; row < 4; ++row) noise_word(thread, m, k, row) = word(call[k], row);
                });
            });
        for (int j = 0; j < n; ++j) {
            const int row = int((t + j) % draws), bit = int((t + j) % rademacher_draws_per_call);
            if constexpr (form == NoiseForm::values)
                if (row == 0 || j == 0)
                    block.each([&](int thread) {
                        for_coordinates(thread, [&](int m, std::int64_t i) {
                            const PerReplicate<Draws> z = values(philox_of(thread, i), stream(thread), (t + j) / draws);
                            ASGD_UNROLL
                            for (int k = 0; k < abreast; ++k) {
                                ASGD_UNROLL
                                for (int s = 0; s < draws; ++s) noise_value(thread, m, k, s) = z[k].v[s];
                            }
                        });
                    });
            block.each([&](int thread) {
                Four& norm = norms[thread];
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) norm[k] = Real(0);
                const Real lr = places[thread].active ? minus_lr(thread, learning_rate_row(thread), j) : Real(0);
                for_coordinates(thread, [&](int m, std::int64_t i) {
                    const Coordinate<Real> c = parameters(thread, i);
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) {
                        Real &own = x(thread, m, k), &rest = low(thread, m, k);
                        Real y;
                        if constexpr (form == NoiseForm::values)
                            y = step<kind, form>(c, lr, own, rest, noise_value(thread, m, k, row));
                        else if constexpr (form == NoiseForm::bits)
                            y = step<kind, form>(c, lr, own, rest,
                                                 top_aligned(noise_word(thread, m, k, bit / 32), Real()) << (bit % 32));
                        else
                            y = step<kind, form>(c, lr, own, rest, 0);
                        own = y;
                        norm[k] = fma(y, y, norm[k]);
                    }
                });
            });
            block.fold(norms, 1 << p.layout.log2_team);
            block.each([&](int thread) {
                if (!places[thread].active) return;
                const double R = radius(thread);
                Four factor;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) factor[k] = ball_factor(Real(R), Real(R * R), norms[thread][k]);
                for_coordinates(thread, [&](int m, std::int64_t) {
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) {
                        Real& own = x(thread, m, k);
                        own = own * factor[k];
                        if (averaging()) segment(thread, m, k) = segment(thread, m, k) + own;
                    }
                });
            });
        }
    }

    // --- averages and records

    ASGD_KERNEL_MEMBER void close_segments() {
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t) {
                for (int k = 0; k < abreast; ++k) {
                    p.total[element(thread, m, k)] += double(segment(thread, m, k));
                    segment(thread, m, k) = Real(0);
                }
            });
        });
    }

    ASGD_KERNEL_MEMBER double sum_of_iterates(int thread, int m, int k) {
        return p.total[element(thread, m, k)] + double(segment(thread, m, k));
    }

    ASGD_KERNEL_MEMBER void save_window_start(std::int64_t record) {
        if (p.ensemble.iterate != Iterate::tail_average) return;
        double* const start = p.window_start + record % p.open_windows * elements();
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t) {
                for (int k = 0; k < abreast; ++k) start[element(thread, m, k)] = sum_of_iterates(thread, m, k);
            });
        });
    }

    ASGD_KERNEL_MEMBER void report(std::int64_t record, std::int64_t k_steps) {
        const bool tail = p.ensemble.iterate == Iterate::tail_average, average = averaging() && k_steps > 0;
        const double* const before = tail ? p.window_start + record % p.open_windows * elements() : nullptr;
        const double window = average ? double(window_length(p.ensemble, k_steps)) : 1;
        typename Block::template PerThread<Four> sums;
        block.each([&](int thread) {
            Four& sum = sums[thread];
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) sum[k] = Real(0);
            for_coordinates(thread, [&](int m, std::int64_t i) {
                const Coordinate<Real> c = parameters(thread, i);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    Real point = x(thread, m, k);
                    if (average) {
                        const double all = sum_of_iterates(thread, m, k);
                        point = Real((tail ? all - before[element(thread, m, k)] : all) / window);
                    }
                    sum[k] = add_objective_term<kind>(c, point, sum[k]);
                }
            });
        });
        block.fold(sums, 1 << p.layout.log2_team);
        block.each([&](int thread) {
            if (!places[thread].active || rank(thread) != 0) return;
            const VectorView& minimum = p.ensemble.problems.minimum;
            const Real smallest = Real(minimum.data[places[thread].problem * minimum.stride]);
            const std::int64_t cell =
                (configs.first + config_in_block(thread) - p.first_config) * p.ensemble.record_count + record;
            const std::int64_t at = places[thread].replicate - p.first_replicate;
            for (int k = 0; k < abreast && p.first_replicate + at + k < p.stop_replicate; ++k)
                static_cast<Real*>(p.values)[cell * p.value_stride + at + k] =
                    suboptimality<kind>(sums[thread][k], smallest);
        });
    }
};

ASGD_ISA_NAMESPACE_END
