// Runs the instructions of a program for V vectors of replicates: one switch for each instruction, then a loop over its
// numbers whose inner one over the vectors is unrolled. Included by program_runner.hpp.
#pragma once

#include "../core/program.hpp"
#include "../core/trajectory.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R, int V>
struct Machine {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width, row = V * width;

    Real* registers;               // [register, replicate]
    const Real* draws;             // those of the step at hand
    const Real* numbers;           // of the program
    std::int64_t draw_rows_apart;  // in the buffer of draws, which has a row for every step

    const Real* at(const Operand& o) const {
        return o.drawn ? draws + o.row * draw_rows_apart * row : registers + std::int64_t(o.row) * row;
    }
    std::int64_t stride(const Operand& o) const { return std::int64_t(o.step) * (o.drawn ? draw_rows_apart : 1) * row; }

    void run(const Instruction* code, std::int64_t count) const {
        for (std::int64_t k = 0; k < count; ++k)
            with_kind(code[k].operation, [&](auto operation) { execute<operation.value>(code[k]); });
    }

private:
    template <Operation operation>
    void execute(const Instruction& i) const {
        constexpr int operands = elementwise_operands(operation);
        Real* out = registers + std::int64_t(i.result) * row;
        const Real *a = at(i.a), *b = at(i.b), *c = at(i.c);
        const std::int64_t next_a = stride(i.a), next_b = stride(i.b), next_c = stride(i.c);
        if constexpr (operands == 1) {
            const Real number = operation == Operation::power ? numbers[i.first] : Real(0);
            for (std::int32_t r = 0; r < i.length; ++r, out += row, a += next_a)
                each([&](int v) { return result_of_one<operation>(load<R>(a + v), number); }, out);
        } else if constexpr (operands == 2) {
            for (std::int32_t r = 0; r < i.length; ++r, out += row, a += next_a, b += next_b)
                each([&](int v) { return result_of_two<operation>(load<R>(a + v), load<R>(b + v)); }, out);
        } else if constexpr (operands == 3) {
            for (std::int32_t r = 0; r < i.length; ++r, out += row, a += next_a, b += next_b, c += next_c)
                each([&](int v) { return result_of_three<operation>(load<R>(a + v), load<R>(b + v), load<R>(c + v)); },
                     out);
        } else if constexpr (operation == Operation::sum || operation == Operation::sum_product) {
            const int used = i.count < accumulators ? i.count : accumulators;
            for (int v = 0; v < row; v += width) {
                R acc[accumulators];
                for (int k = 0; k < used; ++k) acc[k] = set1<R>(0);
                for (std::int32_t r = 0; r < i.count; ++r) {
                    R& sum = acc[r % accumulators];
                    const R term = load<R>(a + r * next_a + v);
                    if constexpr (operation == Operation::sum)
                        sum = sum + term;
                    else
                        sum = anneal_sgd::ASGD_ISA::fma(term, load<R>(b + r * next_b + v), sum);
                }
                store(out + v, fold_accumulators(acc, used));
            }
        } else if constexpr (operation == Operation::max || operation == Operation::min ||
                             operation == Operation::first_max || operation == Operation::first_min) {
            for (int v = 0; v < row; v += width) {
                R extreme = load<R>(a + v);
                for (std::int32_t r = 1; r < i.count; ++r)
                    extreme = extreme_of<operation>(extreme, load<R>(a + r * next_a + v));
                if constexpr (operation == Operation::max || operation == Operation::min) {
                    store(out + v, extreme);
                } else {
                    R found = set1<R>(0);
                    for (std::int32_t r = 0; r < i.count; ++r)
                        store(out + std::int64_t(r) * row + v,
                              marked_once(load<R>(a + r * next_a + v), extreme, found));
                }
            }
        } else if constexpr (operation == Operation::matvec) {
            std::int32_t r = 0;
            for (; r + rows_together <= i.length; r += rows_together) multiply<rows_together>(i, r, a, next_a, out);
            for (; r < i.length; ++r) multiply<1>(i, r, a, next_a, out);
        } else if constexpr (operation == Operation::embed) {
            for (std::int64_t k = 0; k < std::int64_t(i.length) * row; ++k) out[k] = Real(0);
            out += std::int64_t(i.first) * row;
            for (std::int32_t r = 0; r < i.count; ++r, out += std::int64_t(i.step) * row, a += next_a)
                each([&](int v) { return load<R>(a + v); }, out);
        } else {
            static_assert(known<operation>, "execute: no code for this operation");
        }
    }

    // f(first replicate of a vector) for all V of them, whose loads come before the stores.
    template <class F>
    ASGD_MEMBER void each(F f, Real* out) const {
        R result[V];
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) result[v] = f(v * width);
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) store(out + v * width, result[v]);
    }

    // Rows of a matrix whose products are summed together: as many as registers hold the sums of.
    static constexpr int rows_together = V >= 8 ? 2 : 4;

    // Products in order, fused into one sum each.
    template <int rows>
    void multiply(const Instruction& i, std::int32_t r, const Real* a, std::int64_t next_a, Real* out) const {
        const Real* const matrix = numbers + i.first + std::int64_t(r) * i.count;
        R sum[rows][V];
        for (int k = 0; k < rows; ++k)
            for (int v = 0; v < V; ++v) sum[k][v] = set1<R>(0);
        for (std::int32_t j = 0; j < i.count; ++j, a += next_a) {
            R x[V];
            ASGD_UNROLL
            for (int v = 0; v < V; ++v) x[v] = load<R>(a + v * width);
            ASGD_UNROLL
            for (int k = 0; k < rows; ++k) {
                const R factor = set1<R>(matrix[std::int64_t(k) * i.count + j]);
                ASGD_UNROLL
                for (int v = 0; v < V; ++v) sum[k][v] = anneal_sgd::ASGD_ISA::fma(factor, x[v], sum[k][v]);
            }
        }
        for (int k = 0; k < rows; ++k)
            for (int v = 0; v < V; ++v) store(out + std::int64_t(r + k) * row + v * width, sum[k][v]);
    }
};

ASGD_ISA_NAMESPACE_END
