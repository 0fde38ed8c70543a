// The kernel that advances trajectories: one body for GPUs and for the emulation of block.hpp. Included by
// kernels.cuh and ensemble_emulated.hpp.
//
// Time runs in tiles as on the CPU (cpu/tile_runner.hpp). For a tile the block's threads compute the learning rates of
// its configs together into shared memory; then every thread takes its coordinates through the tile, one after another,
// four replicates at a time in registers, drawing noise as it goes. Coordinates meet in the objective and in a ball
// projection, where groups of neighbouring threads fold their sums.
#pragma once

#include "places.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Rows of an odd length are in different banks. A ball's state takes dynamic shared memory, so its tiles take little.
template <class Real, bool ball>
using EnsembleShared =
    LearningRates<Real, cuda::most_learning_rates,
                  ball ? cuda::most_learning_rates : cuda::most_rate_bytes / int(sizeof(Real)), ball ? 0 : 1>;

template <class Real, ProblemKind kind, NoiseKind noise, bool ball>
struct EnsembleKernel : Places<Real, cuda::EnsembleLaunch> {
    using Four = PerReplicate<Real>;
    using Bits = typename Lane<Real>::Bits;
    static constexpr NoiseForm form = noise_form(noise);
    static constexpr int draws = value_draws_per_call<Real>;

    using Base = Places<Real, cuda::EnsembleLaunch>;
    using Base::averaging;
    using Base::block;
    using Base::config_in_block;
    using Base::configs;
    using Base::element;
    using Base::elements;
    using Base::for_coordinates;
    using Base::keys;
    using Base::learning_rate_row;
    using Base::p;
    using Base::philox_of;
    using Base::places;
    using Base::radius;
    using Base::rank;
    using Base::stream;
    using Base::word;
    using Base::words;

    EnsembleShared<Real, ball>& shared;
    Real* shared_state;  // dynamic shared memory, or null

    ASGD_KERNEL_MEMBER Real& x(int thread, int m, int k) {
        if (ball && shared_state != nullptr) return shared_state[(m * abreast + k) * block_threads + thread];
        return static_cast<Real*>(p.x)[element(thread, m, k)];
    }
    ASGD_KERNEL_MEMBER Real& low(int thread, int m, int k) { return static_cast<Real*>(p.low)[element(thread, m, k)]; }
    ASGD_KERNEL_MEMBER Real& segment(int thread, int m, int k) {
        return static_cast<Real*>(p.segment)[element(thread, m, k)];
    }
    ASGD_KERNEL_MEMBER Coordinate<Real> parameters(int thread, std::int64_t i) {
        return coordinate_parameters<Real>(p.ensemble.problems, places[thread].problem, i);
    }

    // --- time

    ASGD_KERNEL_MEMBER void run() {
        this->find_places();
        begin();
        this->take_tiles(shared, *this);
        end();
    }

    // At step 0 the start, later what the last launch left.
    ASGD_KERNEL_MEMBER void begin() {
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t i) {
                const Real start = this->start(thread, i);
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

    ASGD_KERNEL_MEMBER Real minus_lr(int thread, int j) {
        return shared.minus_lr.get(thread, learning_rate_row(thread) + j);
    }

    // Where a config's learning rates come from: their row of the table; or that of its schedule, and the factor.
    struct Rates {
        int row;
        double minus_base_lr;
    };
    ASGD_KERNEL_MEMBER bool own_rates() const {
        return cuda::may_multiply_rates(kind, noise, ball) && p.layout.own_rates;
    }
    ASGD_KERNEL_MEMBER Rates rates_of(int thread) {
        const int c = config_in_block(thread), length = shared.row_length(p.layout.tile_steps);
        if (!own_rates()) return {c * length, 0};
        const int pair = configs.pair(c);
        return {pair * length, -p.ensemble.base_lr[configs.first_base_lr + c - pair * configs.base_lr_count]};
    }
    // f(minus_lr), where minus_lr(j) is -lr of step j of the tile.
    template <class F>
    ASGD_KERNEL_MEMBER void with_rates(int thread, const Rates& rates, F f) {
        if (own_rates())
            f([&](int j) { return Real(rates.minus_base_lr * shared.h.get(thread, rates.row + j)); });
        else
            f([&](int j) { return shared.minus_lr.get(thread, rates.row + j); });
    }
    // Of n steps from j on.
    template <int n>
    ASGD_KERNEL_MEMBER Values<Real, n> minus_lrs(int thread, const Rates& rates, int j) {
        Values<Real, n> lr;
        with_rates(thread, rates, [&](auto minus_lr) {
            ASGD_UNROLL
            for (int s = 0; s < n; ++s) lr[s] = minus_lr(j + s);
        });
        return lr;
    }

    // --- noise

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

    ASGD_KERNEL_MEMBER void advance(std::int64_t t, int n) {
        if constexpr (ball)
            advance_ball(t, n);
        else
            advance_apart(t, n);
    }

    // Without a ball: a coordinate takes the tile on its own. "No projection" is the box of all numbers.
    ASGD_KERNEL_MEMBER void advance_apart(std::int64_t t, int n) {
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
        if constexpr (form == NoiseForm::none) {
            const Rates rates = rates_of(thread);
            for (int j = 0; j < n; ++j) {
                const Real lr = minus_lrs<1>(thread, rates, j)[0];
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr, 0, state, k);
            }
        } else if constexpr (form == NoiseForm::values) {
            const auto lanes = philox_of(thread, std::uint32_t(i));
            const std::uint32_t stream_number = stream(thread);
            const Rates rates = rates_of(thread);
            for (int j = 0; j < n;) {
                const int first = int((t + j) % draws), stop = n - j < draws - first ? first + n - j : draws;
                const PerReplicate<Draws> z = values(lanes, stream_number, (t + j) / draws);
                if (stop - first == draws) {
                    const Values<Real, draws> lr = minus_lrs<draws>(thread, rates, j);
                    ASGD_UNROLL
                    for (int s = 0; s < draws; ++s) {
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr[s], z[k].v[s], state, k);
                    }
                } else {  // a tile that begins or ends within the call
                    ASGD_UNROLL
                    for (int s = 0; s < draws; ++s) {
                        if (s < first || s >= stop) continue;
                        const Real lr = minus_lrs<1>(thread, rates, j + s - first)[0];
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) step_to<summing>(c, lr, z[k].v[s], state, k);
                    }
                }
                j += stop - first;
            }
        } else {
            const PerReplicate<PerReplicate<std::uint32_t>> call =
                words(philox_of(thread, std::uint32_t(i)), stream(thread), t / rademacher_draws_per_call);
            const Rates rates = rates_of(thread);
            const int place = int(t % rademacher_draws_per_call);
            int j = 0;
            while (j < n) {
                const int skip = (place + j) % 32, stop = n - j < 32 - skip ? n : j + 32 - skip;
                PerReplicate<Bits> w;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) w[k] = top_aligned(word(call[k], (place + j) / 32), Real()) << skip;
                const auto one = [&](Real lr) {
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) {
                        step_to<summing>(c, lr, w[k], state, k);
                        w[k] = w[k] + w[k];
                    }
                };
                with_rates(thread, rates, [&](auto minus_lr) {
                    for (; j + 8 <= stop; j += 8) {
                        ASGD_UNROLL
                        for (int s = 0; s < 8; ++s) one(minus_lr(j + s));
                    }
                    for (; j < stop; ++j) one(minus_lr(j));
                });
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
            if constexpr (form != NoiseForm::none) own.lanes = philox_of(thread, std::uint32_t(rank(thread)));
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
                const Real lr = minus_lr(thread, j);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    const Real y = step<kind, form>(own.c, lr, own.state.x[k], own.state.low[k], noise_of(own, k));
                    own.state.x[k] = y;
                    norm[k] = fma(y, y, Real(0));
                }
            });
            block.fold(norms, 1 << p.layout.log2_team, Added());
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
                    const auto call =
                        words(philox_of(thread, std::uint32_t(i)), stream(thread), t / rademacher_draws_per_call);
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
                            const PerReplicate<Draws> z =
                                values(philox_of(thread, std::uint32_t(i)), stream(thread), (t + j) / draws);
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
                const Real lr = places[thread].active ? minus_lr(thread, j) : Real(0);
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
            block.fold(norms, 1 << p.layout.log2_team, Added());
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

    // --- records

    // Of a thread that has several of the 32 accumulators of a sum over coordinates: those of every team-th number,
    // which are folded, v[a] + v[a + w], before those of the team. They come in the order of their numbers' bits from
    // the last on, and each is added to the sums that wait for it. One replicate after another: this takes few
    // registers.
    template <class Add>
    ASGD_KERNEL_MEMBER Real own_sum(int thread, Add add) {
        const int log2 = p.layout.log2_accumulators;
        Real waiting[cuda::log2_accumulators] = {}, sum = 0;
        for (int n = 0; n < 1 << log2; ++n) {
            int first = 0;
            for (int bit = 0; bit < log2; ++bit) first |= (n >> bit & 1) << (log2 - 1 - bit);
            sum = 0;
            for_coordinates(thread, first, 1 << log2, [&](int m, std::int64_t i) { sum = add(m, i, sum); });
            bool folding = true;
            ASGD_UNROLL
            for (int level = 0; level < cuda::log2_accumulators; ++level) {
                if (!folding) continue;
                folding = (n >> level & 1) != 0;
                if (folding)
                    sum = waiting[level] + sum;
                else
                    waiting[level] = sum;
            }
        }
        return sum;
    }

    ASGD_KERNEL_MEMBER void report(std::int64_t record, std::int64_t k_steps) {
        const auto a = this->averaging_at(record, k_steps);
        const bool keeps = this->keeps_points(record);
        typename Block::template PerThread<Four> sums;
        block.each([&](int thread) {
            const auto add = [&](const Coordinate<Real>& c, int m, std::int64_t i, int k, Real sum) {
                const Real point = a.average ? this->average(a, *this, thread, m, k) : x(thread, m, k);
                if (keeps) this->keep_point(thread, i, k, point);
                return add_objective_term<kind>(c, point, sum);
            };
            Four& sum = sums[thread];
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) sum[k] = Real(0);
            if (ball || p.layout.log2_accumulators == 0) {
                for_coordinates(thread, [&](int m, std::int64_t i) {
                    const Coordinate<Real> c = parameters(thread, i);
                    ASGD_UNROLL
                    for (int k = 0; k < abreast; ++k) sum[k] = add(c, m, i, k, sum[k]);
                });
            } else {
                ASGD_NO_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    const Real own = own_sum(thread, [&](int m, std::int64_t i, Real acc) {
                        return add(parameters(thread, i), m, i, k, acc);
                    });
                    ASGD_UNROLL
                    for (int j = 0; j < abreast; ++j) sum[j] = j == k ? own : sum[j];
                }
            }
        });
        block.fold(sums, 1 << p.layout.log2_team, Added());
        block.each([&](int thread) {
            this->for_recorded(thread, record, [&](int k, Real& value) {
                value = suboptimality<kind>(sums[thread][k], this->minimum(thread));
            });
        });
    }
};

ASGD_ISA_NAMESPACE_END
