// What runs the instructions of a program for a block of trajectories. Included by the kernels of programs.
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
struct ProgramMachine : Places<Real, cuda::ProgramLaunch> {
    using Four = PerReplicate<Real>;
    static constexpr int draws = value_draws_per_call<Real>;

    using Base = Places<Real, cuda::ProgramLaunch>;
    using Base::block;
    using Base::p;
    using Base::places;
    using Base::rank;

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
        const unsigned step = unsigned(o.step) * unsigned(o.drawn ? draws : 1);  // of a single number it may be any
        return {row(thread, first), int(step * unsigned(apart())), replicates_apart()};
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
};

ASGD_ISA_NAMESPACE_END
