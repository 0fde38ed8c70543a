// The kernel that advances trajectories of a program: one body for GPUs and for the emulation of block.hpp. Included by
// program_kernels.cuh and program_kernels_emulated.cpp.
//
// Teams, places and time are those of places.hpp. All threads of a block run an instruction together; those of a team
// share out its numbers, number r to rank r mod team, so the ranks of a team of 32 are the accumulators of a sum, and a
// smaller team has at most one number to a thread. Registers lie in shared memory where they fit, where the whole team
// sees them after a barrier of its warp.
#pragma once

#include "places.hpp"
//
#include "../core/program.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
using ProgramShared = LearningRates<Real, cuda::most_learning_rates>;

template <class Real>
struct ProgramKernel : Places<Real, cuda::ProgramLaunch> {
    using Four = PerReplicate<Real>;
    static constexpr int draws = value_draws_per_call<Real>;

    using Base = Places<Real, cuda::ProgramLaunch>;
    using Base::averaging;
    using Base::block;
    using Base::element;
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

    ProgramShared<Real>& shared;
    Real* rows;          // of the block
    int step_of_call{};  // whose draws instructions see

    // --- rows

    ASGD_KERNEL_MEMBER int team() const { return 1 << p.layout.log2_team; }
    // Where numbers are in a block's rows takes 32 bits, which the launcher sees to: half of what an instruction costs
    // is addresses.
    ASGD_KERNEL_MEMBER int apart() const { return int(p.rows.apart); }
    ASGD_KERNEL_MEMBER int replicates_apart() const { return int(p.rows.replicates_apart); }
    ASGD_KERNEL_MEMBER Real* row(int thread, std::int64_t number) const {
        return rows + ((thread >> p.layout.log2_team) * int(p.rows.quadruples_apart) + int(number) * apart());
    }
    ASGD_KERNEL_MEMBER Real& at(int thread, std::int64_t number, int k) const {
        return row(thread, number)[k * replicates_apart()];
    }
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

    // The numbers of an operand for a thread's replicates.
    struct Source {
        const Real* first;
        int apart, replicates_apart;
        ASGD_KERNEL_MEMBER Real get(int r, int k) const { return first[r * apart + k * replicates_apart]; }
        ASGD_KERNEL_MEMBER Four get(int r) const {
            Four values;
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) values[k] = get(r, k);
            return values;
        }
    };
    ASGD_KERNEL_MEMBER Source source(int thread, const Operand& o) const {
        const int first = o.drawn ? int(p.rows.draws) + o.row * draws + step_of_call : o.row;
        return {row(thread, first), (o.drawn ? o.step * draws : o.step) * apart(), replicates_apart()};
    }
    ASGD_KERNEL_MEMBER void put(Real* out, int r, const Four& values) const {
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) out[r * apart() + k * replicates_apart()] = values[k];
    }

    // f(r) for those of a value's numbers that a thread of an active team takes.
    template <class F>
    ASGD_KERNEL_MEMBER void for_numbers(int thread, std::int64_t count, F f) {
        if (!places[thread].active) return;
        for (int r = rank(thread); r < int(count); r += team()) f(r);
    }

    // --- instructions

    ASGD_KERNEL_MEMBER void run_code(const Instruction* code, std::int64_t count) {
        for (std::int64_t n = 0; n < count; ++n) {
            const Instruction i = code[n];
            with_kind(i.operation, [&](auto operation) { execute<operation.value>(i); });
            block.team_barrier();
        }
    }

    template <Operation operation>
    ASGD_KERNEL_MEMBER void execute(const Instruction& i) {
        constexpr int operands = elementwise_operands(operation);
        if constexpr (operands > 0) {
            block.each([&](int thread) {
                Real* const out = row(thread, i.result);
                const Source a = source(thread, i.a), b = source(thread, i.b), c = source(thread, i.c);
                const Real number = operation == Operation::power ? static_cast<const Real*>(p.numbers)[i.first] : 0;
                for_numbers(thread, i.length, [&](int r) {
                    Four result, x = a.get(r);
                    if constexpr (operands == 1) {
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) result[k] = result_of_one<operation>(x[k], number);
                    } else if constexpr (operands == 2) {
                        const Four y = b.get(r);
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) result[k] = result_of_two<operation>(x[k], y[k]);
                    } else {
                        const Four y = b.get(r), z = c.get(r);
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) result[k] = result_of_three<operation>(x[k], y[k], z[k]);
                    }
                    put(out, r, result);
                });
            });
        } else if constexpr (operation == Operation::sum || operation == Operation::sum_product) {
            typename Block::template PerThread<Four> sums;
            block.each([&](int thread) {
                const Source a = source(thread, i.a), b = source(thread, i.b);
                Four& sum = sums[thread];
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) sum[k] = Real(0);
                for_numbers(thread, i.count, [&](int r) {
                    const Four x = a.get(r);
                    if constexpr (operation == Operation::sum) {
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) sum[k] = sum[k] + x[k];
                    } else {
                        const Four y = b.get(r);
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) sum[k] = fma(x[k], y[k], sum[k]);
                    }
                });
            });
            block.fold(sums, team(), Added());
            put_by_first(i.result, sums);
        } else if constexpr (operation == Operation::max || operation == Operation::min) {
            typename Block::template PerThread<Four> extremes;
            find_extremes<operation>(i, extremes);
            put_by_first(i.result, extremes);
        } else if constexpr (operation == Operation::first_max || operation == Operation::first_min) {
            mark_first<operation>(i);
        } else if constexpr (operation == Operation::matvec) {
            block.each([&](int thread) {
                Real* const out = row(thread, i.result);
                const Source a = source(thread, i.a);
                for_numbers(thread, i.length, [&](int r) {
                    const Real* factor = static_cast<const Real*>(p.numbers) + i.first + r;
                    Four sum{};
                    for (std::int32_t j = 0; j < i.count; ++j, factor += i.length) {
                        const Real of_all = *factor;
                        ASGD_UNROLL
                        for (int k = 0; k < abreast; ++k) sum[k] = fma(of_all, a.get(j, k), sum[k]);
                    }
                    put(out, r, sum);
                });
            });
        } else if constexpr (operation == Operation::embed) {
            block.each([&](int thread) {
                Real* const out = row(thread, i.result);
                for_numbers(thread, i.length, [&](int r) { put(out, r, Four{}); });
            });
            block.team_barrier();
            block.each([&](int thread) {
                Real* const out = row(thread, i.result);
                const Source a = source(thread, i.a);
                for_numbers(thread, i.count, [&](int r) { put(out, i.first + r * i.step, a.get(r)); });
            });
        } else {
            static_assert(known<operation>, "execute: no code for this operation");
        }
    }

    ASGD_KERNEL_MEMBER void put_by_first(std::int64_t number, typename Block::template PerThread<Four>& values) {
        block.each([&](int thread) {
            if (places[thread].active && rank(thread) == 0) put(row(thread, number), 0, values[thread]);
        });
    }

    // Of i.count numbers, for every thread of a team. Their order does not matter: the extreme of two numbers is the
    // same either way round, and itself with itself. That of one is left as it is, which may be -0.
    template <Operation operation>
    ASGD_KERNEL_MEMBER void find_extremes(const Instruction& i, typename Block::template PerThread<Four>& extremes) {
        block.each([&](int thread) {
            const Source a = source(thread, i.a);
            Four& extreme = extremes[thread];
            extreme = Four{};
            if (!places[thread].active) return;
            extreme = a.get(rank(thread) < i.count ? rank(thread) : 0);
            for_numbers(thread, i.count, [&](int r) {
                if (r < team()) return;
                const Four x = a.get(r);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) extreme[k] = extreme_of<operation>(extreme[k], x[k]);
            });
        });
        if (i.count > 1) block.fold(extremes, team(), [](Real a, Real b) { return extreme_of<operation>(a, b); });
    }

    // Each thread finds the first of its own numbers that is the extreme; the lowest of those is marked.
    template <Operation operation>
    ASGD_KERNEL_MEMBER void mark_first(const Instruction& i) {
        typename Block::template PerThread<Four> extremes;
        typename Block::template PerThread<PerReplicate<std::int32_t>> firsts;
        find_extremes<operation>(i, extremes);
        if (i.count == 1) {  // not folded: the other threads of a team do not have it
            block.each([&](int thread) { for_numbers(thread, 1, [&](std::int64_t) { put_one(thread, i.result); }); });
            return;
        }
        block.each([&](int thread) {
            const Source a = source(thread, i.a);
            PerReplicate<std::int32_t>& first = firsts[thread];
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                first[k] = i.count;
                Real found = 0;
                for_numbers(thread, i.count, [&](int r) {
                    if (marked_once(a.get(r, k), extremes[thread][k], found) > 0) first[k] = std::int32_t(r);
                });
            }
        });
        block.fold(firsts, team(), [](std::int32_t a, std::int32_t b) { return lesser(a, b); });
        block.each([&](int thread) {
            Real* const out = row(thread, i.result);
            for_numbers(thread, i.count, [&](int r) {
                Four mark;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) mark[k] = r == firsts[thread][k] ? Real(1) : Real(0);
                put(out, r, mark);
            });
        });
    }
    ASGD_KERNEL_MEMBER void put_one(int thread, std::int64_t number) const {
        Four one;
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) one[k] = Real(1);
        put(row(thread, number), 0, one);
    }

    // --- time

    ASGD_KERNEL_MEMBER void run() {
        this->find_places();
        take_problem();
        begin();
        this->take_tiles(shared, *this);
        end();
    }

    // What a config's problem has of its own: parameters, and what follows from them and from constants.
    ASGD_KERNEL_MEMBER void take_problem() {
        const ProgramSpec& program = p.program;
        block.each([&](int thread) {
            const std::int64_t first = program.first_constant(p.ensemble.problems.dimension);
            const auto fill = [&](std::int64_t number, double value) {
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) at(thread, number, k) = Real(value);
            };
            for_numbers(thread, program.constant_count, [&](std::int64_t n) { fill(first + n, program.constants[n]); });
            for_numbers(thread, program.parameter_count, [&](std::int64_t n) {
                const MatrixView& view = program.parameters;
                fill(first + program.constant_count + n,
                     view.data[places[thread].problem * view.row_stride + n * view.column_stride]);
            });
        });
        block.team_barrier();
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
            draw(program.start_draws, program.start_draw_count, 0);
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
        for (int j = 0; j < n; ++j) {
            step_of_call = int((t + j) % draws);
            if (step_of_call == 0 || j == 0) draw(p.program.draws, p.program.draw_count, t + j - step_of_call);
            if (p.program.takes_step) fill_step(j, t + j + 1);
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

    // The learning rate of step j of the tile, and how many steps it makes.
    ASGD_KERNEL_MEMBER void fill_step(int j, std::int64_t number) {
        const std::int64_t first = p.ensemble.problems.dimension + p.program.state;
        block.each([&](int thread) {
            for_numbers(thread, 1, [&](int) {
                const Real lr = -shared.minus_lr.get(thread, learning_rate_row(thread) + j);
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k) {
                    at(thread, first, k) = lr;
                    at(thread, first + 1, k) = Real(number);
                }
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

    // Of the steps from t on, a multiple of `draws`.
    ASGD_KERNEL_MEMBER void draw(const DrawSpec* specs, std::int64_t count, std::int64_t t) {
        for (std::int64_t d = 0; d < count; ++d) {
            const DrawSpec spec = specs[d];
            with_kind(spec.kind, [&](auto kind) {
                block.each([&](int thread) {
                    for_numbers(thread, spec.count, [&](std::int64_t i) {
                        draw_number<kind.value>(thread, spec.substream + std::uint32_t(i), t,
                                                row(thread, p.rows.draws + (spec.row + i) * draws));
                    });
                });
            });
        }
        block.team_barrier();
    }

    template <DrawKind kind>
    ASGD_KERNEL_MEMBER void draw_number(int thread, std::uint32_t substream, std::int64_t t, Real* out) {
        const auto lanes = philox_of(thread, substream);
        if constexpr (kind == DrawKind::rademacher) {
            const auto call = words(lanes, stream(thread), t / rademacher_draws_per_call);
            const int bit = int(t % rademacher_draws_per_call);
            ASGD_UNROLL
            for (int s = 0; s < draws; ++s) {
                Four sign;
                ASGD_UNROLL
                for (int k = 0; k < abreast; ++k)
                    sign[k] =
                        signed_by_top_bit(top_aligned(word(call[k], bit / 32), Real()) << (bit % 32 + s), Real(1));
                put(out, s, sign);
            }
        } else {
            const PhiloxCall call = philox_call(stream(thread), std::uint32_t(t / draws), keys());
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                typename Lane<Real>::Bits bits[draws];
                philox_bits<Real>(lanes[k], call, keys(), bits);
                Real z[draws];
                if constexpr (kind == DrawKind::gaussian) {
                    draw_values<Real, NoiseKind::gaussian>(bits, z);
                } else if constexpr (kind == DrawKind::uniform) {
                    draw_values<Real, NoiseKind::uniform>(bits, z);
                } else if constexpr (kind == DrawKind::unit) {
                    ASGD_UNROLL
                    for (int s = 0; s < draws; ++s) z[s] = unit_variate<Real>(bits[s]);
                } else {
                    static_assert(known<kind>, "draw_number: no formula for this kind of draw");
                }
                ASGD_UNROLL
                for (int s = 0; s < draws; ++s) out[s * apart() + k * replicates_apart()] = z[s];
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
