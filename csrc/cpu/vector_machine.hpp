// Runs the instructions of a program whose registers are numbers of one trajectory: vectors run along the numbers of a
// value, which begin at multiples of row_multiple. Included by method_buffers.hpp.
#pragma once

#include "../core/program.hpp"
#include "../core/trajectory.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
struct VectorMachine {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;
    static constexpr int most_operands = 3;

    Real* registers;
    const Real* draws;
    const Real* numbers;  // of the program
    Real* scratch;        // [operand, number]: those that lie in another order
    std::int64_t longest;

    const Real* at(const Operand& o) const { return (o.drawn ? draws : registers) + o.row; }

    // `most`: numbers of a value that are computed, where there are more.
    void run(const Instruction* code, std::int64_t count, std::int64_t most) const {
        for (std::int64_t k = 0; k < count; ++k)
            with_kind(code[k].operation, [&](auto operation) { execute<operation.value>(code[k], most); });
    }

    // Number r of a value, in whole vectors: at `from` + r, or `from` where all are the same.
    struct Run {
        const Real* from;
        std::int64_t step;
        R operator()(std::int64_t r) const { return load<R>(from + r * step); }
    };

    // The first n numbers of an operand; `spread`: a vector for one that stands for all.
    Run run_of(const Operand& o, std::int64_t n, Real* spread, int operand = 0) const {
        const Real* const from = at(o);
        if (n == 1 || o.step == 0) {
            store(spread, set1<R>(*from));
            return {spread, 0};
        }
        if (o.step == 1 && o.row % row_multiple == 0) return {from, 1};
        Real* const copy = scratch + operand * longest;
        for (std::int64_t r = 0; r < n; ++r) copy[r] = from[r * o.step];
        return {copy, 1};
    }

private:
    template <Operation operation>
    void execute(const Instruction& i, std::int64_t most) const {
        constexpr int operands = elementwise_operands(operation);
        Real* const out = registers + i.result;
        const std::int64_t n = i.length < most ? i.length : most;
        alignas(64) Real spread[most_operands][width];
        if constexpr (operands > 0) {
            const Run a = run_of(i.a, n, spread[0], 0);
            if constexpr (operands == 1) {
                const Real number = operation == Operation::power ? numbers[i.first] : Real(0);
                for (std::int64_t r = 0; r < n; r += width) store(out + r, result_of_one<operation>(a(r), number));
                return;
            } else {
                const Run b = run_of(i.b, n, spread[1], 1);
                if constexpr (operands == 2) {
                    for (std::int64_t r = 0; r < n; r += width) store(out + r, result_of_two<operation>(a(r), b(r)));
                } else {
                    const Run c = run_of(i.c, n, spread[2], 2);
                    for (std::int64_t r = 0; r < n; r += width)
                        store(out + r, result_of_three<operation>(a(r), b(r), c(r)));
                }
            }
        } else if constexpr (operation == Operation::sum || operation == Operation::sum_product) {
            alignas(64) Real alone[width];
            const Run a = run_of(i.a, i.count, spread[0], 0);
            const Run b = operation == Operation::sum ? a : run_of(i.b, i.count, alone, 1);
            *out = summed<operation>(a, b, i.count);
        } else if constexpr (operation == Operation::matvec) {
            const Real* const a = at(i.a);
            for (std::int32_t r = 0; r < i.length; ++r) {
                const Real* const row = numbers + i.first + std::int64_t(r) * i.count;
                Real sum = 0;
                for (std::int32_t k = 0; k < i.count; ++k)
                    sum = anneal_sgd::ASGD_ISA::fma(row[k], a[std::int64_t(k) * i.a.step], sum);
                out[r] = sum;
            }
        } else if constexpr (operation == Operation::embed) {
            const Real* const a = at(i.a);
            for (std::int32_t r = 0; r < i.length; ++r) out[r] = Real(0);
            for (std::int32_t r = 0; r < i.count; ++r)
                out[i.first + std::int64_t(r) * i.step] = a[std::int64_t(r) * i.a.step];
        } else {
            const Real* const a = at(i.a);
            Real extreme = *a;
            for (std::int32_t r = 1; r < i.count; ++r)
                extreme = extreme_of<operation>(extreme, a[std::int64_t(r) * i.a.step]);
            if constexpr (operation == Operation::max || operation == Operation::min) {
                *out = extreme;
            } else {
                Real found = 0;
                for (std::int32_t r = 0; r < i.count; ++r)
                    out[r] = marked_once(a[std::int64_t(r) * i.a.step], extreme, found);
            }
        }
    }

    // Number r, or a product, to accumulator r mod `accumulators`.
    template <Operation operation>
    static Real summed(const Run& a, const Run& b, std::int64_t count) {
        constexpr int V = accumulators / width;
        R sum[V];
        for (int v = 0; v < V; ++v) sum[v] = set1<R>(0);
        const std::int64_t whole = count / accumulators * accumulators;
        for (std::int64_t r = 0; r < whole; r += accumulators) {
            ASGD_UNROLL
            for (int v = 0; v < V; ++v) {
                const std::int64_t k = r + v * width;
                if constexpr (operation == Operation::sum)
                    sum[v] = sum[v] + a(k);
                else
                    sum[v] = fma(a(k), b(k), sum[v]);
            }
        }
        alignas(64) Real acc[accumulators];
        for (int v = 0; v < V; ++v) store(acc + v * width, sum[v]);
        for (std::int64_t r = whole; r < count; ++r) {
            Real& last = acc[r - whole];
            if constexpr (operation == Operation::sum)
                last = last + a.from[r * a.step];
            else
                last = fma(a.from[r * a.step], b.from[r * b.step], last);
        }
        return fold_accumulators(acc, accumulators);
    }
};

ASGD_ISA_NAMESPACE_END
