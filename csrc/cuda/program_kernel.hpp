// The kernel that advances trajectories of a program: one body for GPUs and for the emulation of block.hpp. Included by
// program_kernels.cuh and program_kernels_emulated.cpp.
#pragma once

#include "program_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
using ProgramShared = LearningRates<Real, cuda::most_learning_rates>;

template <class Real>
struct ProgramKernel : ProgramMachine<Real> {
    using Base = ProgramMachine<Real>;
    using Base::apart;
    using Base::at;
    using Base::averaging;
    using Base::block;
    using Base::configs;
    using Base::draws;
    using Base::element;
    using Base::for_coordinates;
    using Base::for_numbers;
    using Base::keys;
    using Base::learning_rate_row;
    using Base::p;
    using Base::philox_of;
    using Base::places;
    using Base::put;
    using Base::radius;
    using Base::rank;
    using Base::replicates_apart;
    using Base::row;
    using Base::run_code;
    using Base::source;
    using Base::step_of_call;
    using Base::stream;
    using Base::take_problem;
    using Base::team;
    using Base::word;
    using Base::words;
    using typename Base::Four;
    using typename Base::Source;

    ProgramShared<Real>& shared;

    // --- between launches

    ASGD_KERNEL_MEMBER std::int64_t coordinate(int thread, int m) const {
        return rank(thread) + (std::int64_t(m) << p.layout.log2_team);
    }
    ASGD_KERNEL_MEMBER Real& segment(int thread, int m, int k) const {
        return at(thread, p.rows.sum + coordinate(thread, m), k);
    }
    ASGD_KERNEL_MEMBER Real& saved_state(int thread, std::int64_t i, int k) const {
        const std::int64_t first =
            (block.index() * p.program.state + i) * (block_threads * abreast >> p.layout.log2_team);
        return static_cast<Real*>(p.states)[first + this->trajectory(thread) + k];
    }
    ASGD_KERNEL_MEMBER Real& saved_x(int thread, int m, int k) const {
        return static_cast<Real*>(p.x)[element(thread, m, k)];
    }

    // --- time

    ASGD_KERNEL_MEMBER void run() {
        this->find_places();
        if (!p.only_draws) {
            take_problem();
            begin();
        }
        this->take_tiles(shared, *this);
        if (!p.only_draws) end();
    }

    // What follows from constants and parameters alone; at step 0 the start, later what the last launch left.
    ASGD_KERNEL_MEMBER void begin() {
        const auto& program = p.program;
        block.each([&](int thread) {
            for_numbers(thread, program.state, [&](std::int64_t i) {
                for (int k = 0; k < abreast; ++k)
                    at(thread, p.ensemble.problems.dimension + i, k) =
                        p.first_step == 0 ? Real(0) : saved_state(thread, i, k);
            });
            for_coordinates(thread, [&](int m, std::int64_t i) {
                for (int k = 0; k < abreast; ++k) {
                    const bool first = p.first_step == 0;
                    const std::int64_t e = element(thread, m, k);
                    at(thread, i, k) = first ? this->start(thread, i) : saved_x(thread, m, k);
                    at(thread, p.rows.low + i, k) = first ? Real(0) : static_cast<const Real*>(p.low)[e];
                    if (!averaging()) continue;
                    segment(thread, m, k) = first ? Real(0) : static_cast<const Real*>(p.segment)[e];
                    if (first) p.total[e] = 0;
                }
            });
        });
        block.team_barrier();
        const bool starting = p.first_step == 0 && program.starts;
        if (starting) {
            step_of_call = 0;
            draw(program.start_draws, program.start_draw_count, 0, false);
        }
        // One loop, for the interpreter to be here once.
        ASGD_NO_UNROLL
        for (int part = 0; part < 4; ++part) {
            if (part == 1 && !starting) continue;
            if (part == 2 && !(starting && program.projects)) continue;
            if (part == 3 && (p.first_step > 0 || program.state_start_result_count == 0)) continue;
            run_code(part == 0   ? program.prologue
                     : part == 1 ? program.start
                     : part == 2 ? program.projection
                                 : program.state_start,
                     part == 0   ? program.prologue_count
                     : part == 1 ? program.start_count
                     : part == 2 ? program.projection_count
                                 : program.state_start_count);
            if (part == 3) take_state(program.state_start_results, program.state_start_result_count);
            if (part == 1 || part == 2) take_point(part == 1 ? program.start_result : program.projection_result, false);
            if (part == 1 && clamps(p.ensemble.problems.projection)) clamp();
            if (part == 1 && couples_coordinates(p.ensemble.problems.projection)) project_on_ball(false);
        }
    }

    ASGD_KERNEL_MEMBER void end() {
        block.each([&](int thread) {
            for_numbers(thread, p.program.state, [&](std::int64_t i) {
                for (int k = 0; k < abreast; ++k)
                    saved_state(thread, i, k) = at(thread, p.ensemble.problems.dimension + i, k);
            });
            for_coordinates(thread, [&](int m, std::int64_t i) {
                for (int k = 0; k < abreast; ++k) {
                    saved_x(thread, m, k) = at(thread, i, k);
                    static_cast<Real*>(p.low)[element(thread, m, k)] = at(thread, p.rows.low + i, k);
                    if (averaging()) static_cast<Real*>(p.segment)[element(thread, m, k)] = segment(thread, m, k);
                }
            });
        });
    }

    // --- steps

    ASGD_KERNEL_MEMBER void advance(std::int64_t t, int n) {
        if (p.steps_elsewhere) leave_rates(t, n);
        for (int j = 0; j < n; ++j) {
            step_of_call = int((t + j) % draws);
            if (step_of_call == 0 || j == 0)
                draw(p.program.draws, p.program.draw_count, t + j - step_of_call, p.steps_elsewhere);
            if (p.steps_elsewhere) continue;
            if (p.program.step_numbers > 0) fill_step(j, t + j + 1);
            const int parts = p.program.projects ? 2 : 1;
            ASGD_NO_UNROLL
            for (int part = 0; part < parts; ++part) {
                run_code(part == 0 ? p.program.gradient : p.program.projection,
                         part == 0 ? p.program.gradient_count : p.program.projection_count);
                if (part == 0) {
                    take_state(p.program.state_results, p.program.state_result_count);
                    move(j);
                } else {
                    take_point(p.program.projection_result, averaging());
                }
            }
        }
    }

    // For the machine code that takes the steps.
    ASGD_KERNEL_MEMBER void leave_rates(std::int64_t t, int n) {
        block.each([&](int thread) {
            for (int item = thread; item < configs.count * n; item += block_threads) {
                const int c = item / n, j = item % n;
                const std::int64_t row = (block.index() * p.layout.configs + c) * p.rates_row;
                static_cast<Real*>(p.rates)[row + t - p.first_step + j] =
                    shared.minus_lr.get(thread, c * p.layout.tile_steps + j);
            }
        });
    }

    // The learning rate of step j of the tile, how many steps it makes, and numbers that follow schedules.
    ASGD_KERNEL_MEMBER void fill_step(int j, std::int64_t number) {
        const std::int64_t first = p.ensemble.problems.dimension + p.program.state;
        block.each([&](int thread) {
            for_numbers(thread, p.program.step_numbers, [&](int r) {
                Real value;
                if (r == 0) {
                    value = -shared.minus_lr.get(thread, learning_rate_row(thread) + j);
                } else if (r == 1) {
                    value = Real(number);
                } else {
                    const double of_method = shared.h.get(thread, (r / 2 - 1) * p.layout.tile_steps + j);
                    value = Real(r % 2 == 0 ? of_method : 1 - of_method);
                }
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) at(thread, first + r, k) = value;
            });
        });
        block.team_barrier();
    }

    // What code leaves of the state, which no part of it is read from.
    ASGD_KERNEL_MEMBER void take_state(const StatePart* parts, std::int64_t count) {
        if (count == 0) return;
        for (std::int64_t n = 0; n < count; ++n) {
            const StatePart part = parts[n];
            block.each([&](int thread) {
                const Source from = source(thread, part.from);
                Real* const out = row(thread, p.ensemble.problems.dimension + part.first);
                for_numbers(thread, part.count, [&](int r) { put(out, r, from.get(r)); });
            });
        }
        block.team_barrier();
    }

    // Where a draw of a thread's replicates goes, of a call's first step.
    struct Drawn {
        Real* first;
        int apart, replicates_apart;  // between steps, and between replicates
        ASGD_KERNEL_MEMBER Real& at(int step, int k) const { return first[step * apart + k * replicates_apart]; }
    };
    ASGD_KERNEL_MEMBER Drawn drawn(int thread, int number, std::int64_t t, bool elsewhere) const {
        if (!elsewhere) return {row(thread, p.rows.draws + number * draws), apart(), replicates_apart()};
        const std::int64_t quadruple =
            ((block.index() * block_threads) >> p.layout.log2_team) + (thread >> p.layout.log2_team);
        const std::int64_t step = t - (p.first_step - p.first_step % draws);
        return {static_cast<Real*>(p.drawn) + (quadruple >> 3) * p.draw_block + step * p.draw_step + number * 32 +
                    (quadruple & 7),
                int(p.draw_step), 8};
    }

    // Of the steps from t on, a multiple of `draws`; for the program here, or for machine code.
    ASGD_KERNEL_MEMBER void draw(const DrawSpec* specs, std::int64_t count, std::int64_t t, bool elsewhere) {
        for (std::int64_t d = 0; d < count; ++d) {
            const DrawSpec spec = specs[d];
            with_kind(spec.kind, [&](auto kind) {
                block.each([&](int thread) {
                    for_numbers(thread, spec.count, [&](std::int64_t i) {
                        draw_number<kind.value>(thread, spec.substream + std::uint32_t(i), t,
                                                drawn(thread, spec.row + int(i), t, elsewhere));
                    });
                });
            });
        }
        block.team_barrier();
    }

    template <DrawKind kind>
    ASGD_KERNEL_MEMBER void draw_number(int thread, std::uint32_t substream, std::int64_t t, const Drawn& to) {
        const auto lanes = philox_of(thread, substream);
        if constexpr (kind == DrawKind::rademacher) {
            const auto call = words(lanes, stream(thread), t / rademacher_draws_per_call);
            const int bit = int(t % rademacher_draws_per_call);
            ASGD_UNROLL
            for (int s = 0; s < draws; ++s) {
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k)
                    to.at(s, k) =
                        signed_by_top_bit(top_aligned(word(call[k], bit / 32), Real()) << (bit % 32 + s), Real(1));
            }
        } else {
            const PhiloxCall call = philox_call(stream(thread), std::uint32_t(t / draws), keys());
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                typename Lane<Real>::Bits bits[draws];
                philox_bits<Real>(lanes[k], call, keys(), bits);
                Real z[draws];
                draw_values<Real, kind>(bits, z);
                ASGD_UNROLL
                for (int s = 0; s < draws; ++s) to.at(s, k) = z[s];
            }
        }
    }

    // x - lr g, or what replaces x; the box or the ball, and, where no projection of the program follows, the sum of
    // iterates.
    ASGD_KERNEL_MEMBER void move(int j) {
        const bool box = clamps(p.ensemble.problems.projection);
        const bool last = !couples_coordinates(p.ensemble.problems.projection) && !p.program.projects;
        block.each([&](int thread) {
            const Source g = source(thread, p.program.gradient_result);
            const Real lr =
                places[thread].active ? shared.minus_lr.get(thread, learning_rate_row(thread) + j) : Real(0);
            for_coordinates(thread, [&](int m, std::int64_t i) {
                Real lower = 0, upper = 0;
                if (box) {
                    lower = end_of_box(p.ensemble.problems.lower, thread, i);
                    upper = end_of_box(p.ensemble.problems.upper, thread, i);
                }
                const Four gradient = g.get(int(i));
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    Real &x = at(thread, i, k), low = at(thread, p.rows.low + i, k);
                    Real y = gradient[k];
                    if (!p.program.replaces) y = moved(x, fma(lr, y, low), low);
                    if (box) y = min_keep_nan(upper, max_keep_nan(lower, y));
                    at(thread, p.rows.low + i, k) = low;
                    x = y;
                    if (last && averaging()) segment(thread, m, k) = segment(thread, m, k) + y;
                }
            });
        });
        block.team_barrier();
        if (couples_coordinates(p.ensemble.problems.projection)) project_on_ball(averaging());
    }

    // With `sum` the point is added to the segment.
    ASGD_KERNEL_MEMBER void project_on_ball(bool sum) {
        typename Block::template PerThread<Four> norms;
        block.each([&](int thread) {
            Four& norm = norms[thread];
            norm = Four{};
            for_coordinates(thread, [&](int, std::int64_t i) {
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) norm[k] = fma(at(thread, i, k), at(thread, i, k), norm[k]);
            });
        });
        block.fold(norms, team(), Added());
        block.each([&](int thread) {
            if (!places[thread].active) return;
            const double R = radius(thread);
            for_coordinates(thread, [&](int m, std::int64_t i) {
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    Real& x = at(thread, i, k);
                    x = x * ball_factor(Real(R), Real(R * R), norms[thread][k]);
                    if (sum) segment(thread, m, k) = segment(thread, m, k) + x;
                }
            });
        });
        block.team_barrier();
    }

    // The point becomes a value of the program.
    ASGD_KERNEL_MEMBER void take_point(const Operand& from, bool sum) {
        block.each([&](int thread) {
            const Source value = source(thread, from);
            for_coordinates(thread, [&](int m, std::int64_t i) {
                const Four y = value.get(int(i));
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    at(thread, i, k) = y[k];
                    if (sum) segment(thread, m, k) = segment(thread, m, k) + y[k];
                }
            });
        });
        block.team_barrier();
    }

    ASGD_KERNEL_MEMBER void clamp() {
        block.each([&](int thread) {
            for_coordinates(thread, [&](int, std::int64_t i) {
                const Real lower = end_of_box(p.ensemble.problems.lower, thread, i);
                const Real upper = end_of_box(p.ensemble.problems.upper, thread, i);
                for (int k = 0; k < abreast; ++k)
                    at(thread, i, k) = min_keep_nan(upper, max_keep_nan(lower, at(thread, i, k)));
            });
        });
        block.team_barrier();
    }
    ASGD_KERNEL_MEMBER Real end_of_box(const MatrixView& view, int thread, std::int64_t i) {
        return Real(view.data[places[thread].problem * view.row_stride + i * view.column_stride]);
    }

    // --- records

    ASGD_KERNEL_MEMBER void report(std::int64_t record, std::int64_t k_steps) {
        const auto a = this->averaging_at(record, k_steps);
        if (a.average) {
            block.each([&](int thread) {
                for_coordinates(thread, [&](int m, std::int64_t i) {
                    for (int k = 0; k < abreast; ++k) {
                        saved_x(thread, m, k) = at(thread, i, k);
                        at(thread, i, k) = this->average(a, *this, thread, m, k);
                    }
                });
            });
            block.team_barrier();
        }
        if (this->keeps_points(record))
            block.each([&](int thread) {
                for_coordinates(thread, [&](int, std::int64_t i) {
                    for (int k = 0; k < abreast; ++k) this->keep_point(thread, i, k, at(thread, i, k));
                });
            });
        run_code(p.program.value, p.program.value_count);
        for (std::int64_t n = 0; n < p.ensemble.metric_count; ++n)
            block.each([&](int thread) {
                const Source number = source(thread, recorded_operand(p.program, p.ensemble.metrics, n));
                this->for_recorded(thread, record * p.ensemble.metric_count + n, [&](int k, Real& recorded) {
                    recorded = recorded_value(p.ensemble.metrics[n], number.get(0, k), this->minimum(thread));
                });
            });
        block.team_barrier();
        if (!a.average) return;
        block.each([&](int thread) {
            for_coordinates(thread, [&](int m, std::int64_t i) {
                for (int k = 0; k < abreast; ++k) at(thread, i, k) = saved_x(thread, m, k);
            });
        });
        block.team_barrier();
    }
};

ASGD_ISA_NAMESPACE_END
