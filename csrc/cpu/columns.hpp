// The inner loops of a linear model with one output where configs share rows: vectors run over configs, one column of
// weights each, and every element of a row is multiplied with a vector of them. Included by column_steps.hpp.
//
// The bits are those of products.hpp: element i of a product goes to accumulator i mod row_multiple. Accumulators are
// visited in the order of the tree that folds them, so that no more than a few are alive at a time. Pointers go along
// with the loops: addresses computed from indices took up to a seventh of the time (bench/NOTES.md).
#pragma once

#include "products.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// The sum over accumulators first, first + step, ...: of `rows` products at once. leaf(IntConstant<first>, out) gives
// it for step == leaf_step.
template <class R, int rows, int first, int step, int leaf_step, class Leaf>
ASGD_FN void fold_leaves(const Leaf& leaf, R* out) {
    if constexpr (step == leaf_step) {
        leaf(IntConstant<first>(), out);
    } else {
        R right[rows];
        fold_leaves<R, rows, first, 2 * step, leaf_step>(leaf, out);
        fold_leaves<R, rows, first + step, 2 * step, leaf_step>(leaf, right);
        ASGD_UNROLL
        for (int i = 0; i < rows; ++i) out[i] = out[i] + right[i];
    }
}

// Products of `rows` rows with the columns: out[i] for row i. weights[element, config].
template <class R, int rows>
ASGD_CALL void multiply_columns(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* weights,
                                std::int64_t length, R* out) {
    constexpr int width = Lane<R>::width, leaf_step = rows > 1 ? 8 : 4, together = row_multiple / leaf_step;
    const auto leaf = [&](auto first, R* sums) {
        constexpr int k = decltype(first)::value;
        R sum[together][rows];
        ASGD_UNROLL
        for (int a = 0; a < together; ++a) ASGD_UNROLL
        for (int i = 0; i < rows; ++i) sum[a][i] = set1<R>(0);
        const typename Lane<R>::Real* at = weights + k * width;
        for (std::int64_t j = k; j < length; j += row_multiple, at += row_multiple * width) {
            ASGD_UNROLL
            for (int a = 0; a < together; ++a) {
                const R w = load<R>(at + a * leaf_step * width);
                ASGD_UNROLL
                for (int i = 0; i < rows; ++i) sum[a][i] = fma(w, set1<R>(row[i][j + a * leaf_step]), sum[a][i]);
            }
        }
        ASGD_UNROLL
        for (int i = 0; i < rows; ++i)
            sums[i] = together == 2 ? sum[0][i] + sum[1][i]
                                    : (sum[0][i] + sum[together / 2][i]) + (sum[1][i] + sum[together - 1][i]);
    };
    fold_leaves<R, rows, 0, 1, leaf_step>(leaf, out);
}

// One step of all columns: factors[sample, config].
template <class R, Terms terms>
ASGD_CALL void add_rows_to_columns(const Rule<R>& rule, const typename Lane<R>::Real* const* row, std::int64_t samples,
                                   const typename Lane<R>::Real* factors,
                                   const Weights<typename Lane<R>::Real>& weights, std::int64_t length) {
    constexpr int width = Lane<R>::width, together = 8;
    Weights<typename Lane<R>::Real> at = weights;
    for (std::int64_t j = 0; j < length; j += together, at = at.from(together * width)) {
        R sum[together];
        ASGD_UNROLL
        for (int a = 0; a < together; ++a)
            sum[a] = before_rows<terms>(rule, load<R>(at.x + a * width), load<R>(at.low + a * width));
        for (std::int64_t s = 0; s < samples; ++s) {
            const R factor = load<R>(factors + s * width);
            const typename Lane<R>::Real* const x = row[s] + j;
            ASGD_UNROLL
            for (int a = 0; a < together; ++a) sum[a] = fma(factor, set1<R>(x[a]), sum[a]);
        }
        ASGD_UNROLL
        for (int a = 0; a < together; ++a) store_after_rows<terms>(rule, sum[a], at.from(a * width));
    }
}

// One step with one row, and the products of the new weights with the next row, in one pass over the weights.
template <class R, Terms terms>
ASGD_CALL R add_row_and_multiply_columns(const Rule<R>& rule, const typename Lane<R>::Real* row,
                                         const typename Lane<R>::Real* next_row, R factor,
                                         const Weights<typename Lane<R>::Real>& weights, std::int64_t length) {
    constexpr int width = Lane<R>::width, leaf_step = 4;
    const auto leaf = [&](auto first, R* out) {
        constexpr int k = decltype(first)::value;
        R sum[4];
        ASGD_UNROLL
        for (int a = 0; a < 4; ++a) sum[a] = set1<R>(0);
        Weights<typename Lane<R>::Real> at = weights.from(k * width);
        for (std::int64_t j = k; j < length; j += row_multiple, at = at.from(row_multiple * width)) {
            ASGD_UNROLL
            for (int a = 0; a < 4; ++a) {
                const Weights<typename Lane<R>::Real> own = at.from(a * leaf_step * width);
                const R begun = before_rows<terms>(rule, load<R>(own.x), load<R>(own.low));
                const R w = store_after_rows<terms>(rule, fma(factor, set1<R>(row[j + a * leaf_step]), begun), own);
                sum[a] = fma(w, set1<R>(next_row[j + a * leaf_step]), sum[a]);
            }
        }
        *out = (sum[0] + sum[2]) + (sum[1] + sum[3]);
    };
    R out;
    fold_leaves<R, 1, 0, 1, leaf_step>(leaf, &out);
    return out;
}

ASGD_ISA_NAMESPACE_END
