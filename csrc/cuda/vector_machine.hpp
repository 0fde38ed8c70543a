// Runs the instructions of a program whose registers are numbers of one trajectory, by its team of 16 threads: number r
// of a value is computed by thread r mod 16, and read by any. Included by method_step.hpp.
#pragma once

#include "network_pass.hpp"
//
#include "../core/program.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct VectorMachine {
    const cuda::DataLaunch& p;
    Block& block;
    Real* dynamic;  // shared memory

    using One = typename Block::template PerThread<Values<Real, 1>>;

    ASGD_KERNEL_MEMBER static int rank(int thread) { return thread % team_threads; }

    // The numbers of a thread's team.
    ASGD_KERNEL_MEMBER Real* numbers(const cuda::TeamArray& a, int thread) const {
        return own_elements(a, block, dynamic, thread) - rank(thread);
    }
    ASGD_KERNEL_MEMBER Real* registers(int thread) const { return numbers(p.method.registers, thread); }

    struct Source {
        const Real* first;
        std::int64_t step;
        ASGD_KERNEL_MEMBER Real get(std::int64_t r) const { return first[r * step]; }
    };
    ASGD_KERNEL_MEMBER Source source(int thread, const Operand& o) const {
        return {numbers(o.drawn ? p.method.drawn : p.method.registers, thread) + o.row, o.step};
    }

    // f(r) for those of `count` numbers that a thread takes.
    template <class F>
    ASGD_KERNEL_MEMBER static void for_numbers(int thread, std::int64_t count, F f) {
        ASGD_NO_UNROLL
        for (std::int64_t r = rank(thread); r < count; r += team_threads) f(r);
    }

    // `most`: numbers of a value that are computed, where there are more.
    ASGD_KERNEL_MEMBER void run(const Instruction* code, std::int64_t count, std::int64_t most) {
        ASGD_NO_UNROLL
        for (std::int64_t n = 0; n < count; ++n) {
            const Instruction& i = code[n];
            with_kind(i.operation, [&](auto operation) { execute<operation.value>(i, most); });
            block.team_barrier();
        }
    }

private:
    template <Operation operation>
    ASGD_KERNEL_MEMBER void execute(const Instruction& i, std::int64_t most) {
        constexpr int operands = elementwise_operands(operation);
        if constexpr (operands > 0) {
            const Real number = operation == Operation::power ? static_cast<const Real*>(p.method.numbers)[i.first] : 0;
            block.each([&](int thread) {
                Real* const out = registers(thread) + i.result;
                const Source a = source(thread, i.a), b = source(thread, i.b), c = source(thread, i.c);
                for_numbers(thread, smaller(i.length, most), [&](std::int64_t r) {
                    if constexpr (operands == 1)
                        out[r] = result_of_one<operation>(a.get(r), number);
                    else if constexpr (operands == 2)
                        out[r] = result_of_two<operation>(a.get(r), b.get(r));
                    else
                        out[r] = result_of_three<operation>(a.get(r), b.get(r), c.get(r));
                });
            });
        } else if constexpr (operation == Operation::sum || operation == Operation::sum_product) {
            One sums;
            block.each([&](int thread) { sums[thread][0] = share<operation>(thread, i); });
            block.fold_products(sums);
            put_by_first(i.result, sums);
        } else if constexpr (operation == Operation::max || operation == Operation::min) {
            One extremes;
            find_extreme<operation>(i, extremes);
            put_by_first(i.result, extremes);
        } else if constexpr (operation == Operation::first_max || operation == Operation::first_min) {
            mark_first<operation>(i);
        } else if constexpr (operation == Operation::matvec) {
            block.each([&](int thread) {
                Real* const out = registers(thread) + i.result;
                const Source a = source(thread, i.a);
                for_numbers(thread, i.length, [&](std::int64_t r) {
                    const Real* factor = static_cast<const Real*>(p.method.numbers) + i.first + r;
                    Real sum = 0;
                    ASGD_NO_UNROLL
                    for (std::int32_t k = 0; k < i.count; ++k, factor += i.length) sum = fma(*factor, a.get(k), sum);
                    out[r] = sum;
                });
            });
        } else if constexpr (operation == Operation::embed) {
            block.each([&](int thread) {
                Real* const out = registers(thread) + i.result;
                for_numbers(thread, smaller(i.length, most), [&](std::int64_t r) { out[r] = Real(0); });
            });
            block.team_barrier();
            block.each([&](int thread) {
                Real* const out = registers(thread) + i.result + i.first;
                const Source a = source(thread, i.a);
                for_numbers(thread, smaller(i.count, most), [&](std::int64_t r) { out[r * i.step] = a.get(r); });
            });
        } else {
            static_assert(known<operation>, "execute: no code for this operation");
        }
    }

    // Of a sum: a thread has two of its 32 accumulators, and what they are folded to at first.
    template <Operation operation>
    ASGD_KERNEL_MEMBER Real share(int thread, const Instruction& i) const {
        static_assert(accumulators == 2 * team_threads);
        const Source a = source(thread, i.a), b = source(thread, i.b);
        Real low = 0, high = 0;
        const auto add = [&](Real& sum, std::int64_t r) {
            if constexpr (operation == Operation::sum)
                sum = sum + a.get(r);
            else
                sum = fma(a.get(r), b.get(r), sum);
        };
        ASGD_NO_UNROLL
        for (std::int64_t r = rank(thread); r < i.count; r += accumulators) {
            add(low, r);
            if (r + team_threads < i.count) add(high, r + team_threads);
        }
        return low + high;
    }

    ASGD_KERNEL_MEMBER void put_by_first(std::int64_t result, One& values) {
        block.each([&](int thread) {
            if (rank(thread) == 0) registers(thread)[result] = values[thread][0];
        });
    }

    // v = combine(v, that of the thread w ranks on) for w = 8 .. 1, of every thread.
    template <class T, class Combine>
    ASGD_KERNEL_MEMBER void fold(typename Block::template PerThread<Values<T, 1>>& values, Combine combine) {
        for (int w = team_threads / 2; w > 0; w /= 2) {
            typename Block::template PerThread<Values<T, 1>> others;
            block.each([&](int thread) { others[thread][0] = values[thread][0]; });
            block.shuffle(others, [w](int rank, int) { return rank ^ w; });
            block.each([&](int thread) { values[thread][0] = combine(values[thread][0], others[thread][0]); });
        }
    }

    // Of i.count numbers, for every thread of a team. Their order does not matter: the extreme of two numbers is the
    // same either way round, and itself with itself. That of one is left as it is, which may be -0.
    template <Operation operation>
    ASGD_KERNEL_MEMBER void find_extreme(const Instruction& i, One& extremes) {
        block.each([&](int thread) {
            const Source a = source(thread, i.a);
            Real extreme = a.get(rank(thread) < i.count ? rank(thread) : 0);
            ASGD_NO_UNROLL
            for (std::int64_t r = rank(thread) + team_threads; r < i.count; r += team_threads)
                extreme = extreme_of<operation>(extreme, a.get(r));
            extremes[thread][0] = extreme;
        });
        if (i.count > 1) fold(extremes, [](Real a, Real b) { return extreme_of<operation>(a, b); });
    }

    // Each thread finds the first of its own numbers that is the extreme; the lowest of those is marked.
    template <Operation operation>
    ASGD_KERNEL_MEMBER void mark_first(const Instruction& i) {
        One extremes;
        typename Block::template PerThread<Values<std::int32_t, 1>> firsts;
        find_extreme<operation>(i, extremes);
        block.each([&](int thread) {
            const Source a = source(thread, i.a);
            Real found = 0;
            firsts[thread][0] = i.count;
            for_numbers(thread, i.count, [&](std::int64_t r) {
                if (marked_once(a.get(r), extremes[thread][0], found) > 0) firsts[thread][0] = std::int32_t(r);
            });
        });
        fold(firsts, [](std::int32_t a, std::int32_t b) { return lesser(a, b); });
        block.each([&](int thread) {
            Real* const out = registers(thread) + i.result;
            for_numbers(thread, i.count, [&](std::int64_t r) { out[r] = r == firsts[thread][0] ? Real(1) : Real(0); });
        });
    }
};

ASGD_ISA_NAMESPACE_END
