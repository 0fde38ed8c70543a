// The inner loops of a linear model with one output where configs share rows: vectors run over configs, one column of
// weights each, and every element of a row is multiplied with one or two vectors of them. Included by column_steps.hpp
// and column_evaluation.hpp.
//
// The bits are those of products.hpp: element i of a product goes to accumulator i mod row_multiple. Accumulators are
// visited in the order of the tree that folds them, so that no more than a few are alive at a time. Pointers go along
// with the loops: addresses computed from indices took up to a seventh of the time (bench/NOTES.md). `length` is that
// of the rows without what pads them.
#pragma once

#include "faster.hpp"
#include "products.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Rows of as many vectors as one has elements become columns.
template <class R>
ASGD_FN void transpose(R* vectors) {
    constexpr int width = Lane<R>::width, half = width / 2;
    ASGD_UNROLL
    for (int turn = 1; turn < width; turn *= 2) {
        R out[width];
        ASGD_UNROLL
        for (int i = 0; i < half; ++i) interleave(vectors[i], vectors[i + half], out[2 * i], out[2 * i + 1]);
        ASGD_UNROLL
        for (int i = 0; i < width; ++i) vectors[i] = out[i];
    }
}

// `count` vectors of `length` elements, padded, into the first of `wide` columns, zeros into the others; or back.
template <class R, bool in, class VectorOf>
ASGD_FN void move_columns(const VectorOf& vector_of, int count, int wide, std::int64_t length,
                          typename Lane<R>::Real* column) {
    constexpr int width = Lane<R>::width;
    for (int first = 0; first < wide; first += width)
        for (std::int64_t i = 0; i < length; i += width) {
            R v[width];
            ASGD_UNROLL
            for (int l = 0; l < width; ++l)
                v[l] = !in                 ? load<R>(column + (i + l) * wide + first)
                       : first + l < count ? load<R>(vector_of(first + l) + i)
                                           : set1<R>(0);
            transpose(v);
            ASGD_UNROLL
            for (int l = 0; l < width; ++l)
                if constexpr (in)
                    store(column + (i + l) * wide + first, v[l]);
                else if (first + l < count)
                    store(vector_of(first + l) + i, v[l]);
        }
}

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

// Products of `rows` rows with the columns: out[i * vectors + v] for row i. weights[element, config].
template <class R, int vectors, int rows>
ASGD_CALL void multiply_columns(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* weights,
                                std::int64_t length, R* out) {
    constexpr int width = Lane<R>::width, wide = vectors * width, products = rows * vectors;
    constexpr int fitting = Lane<R>::registers / 2 / products, most = rows > 1 ? 2 : 4;
    constexpr int together = fitting < most ? fitting : most, leaf_step = row_multiple / together;  // accumulators
    const auto leaf = [&](auto first, R* sums) {
        constexpr int k = decltype(first)::value;
        R sum[together][products];
        ASGD_UNROLL
        for (int a = 0; a < together; ++a) ASGD_UNROLL
        for (int i = 0; i < products; ++i) sum[a][i] = set1<R>(0);
        const typename Lane<R>::Real* at = weights + k * wide;
        std::int64_t j = k;
        const auto take = [&](int a) ASGD_INLINE_LAMBDA {  // the element of accumulator k + a * leaf_step
            R w[vectors];
            ASGD_UNROLL
            for (int v = 0; v < vectors; ++v) w[v] = load<R>(at + a * leaf_step * wide + v * width);
            ASGD_UNROLL
            for (int i = 0; i < rows; ++i) {
                const R x = set1<R>(row[i][j + a * leaf_step]);
                ASGD_UNROLL
                for (int v = 0; v < vectors; ++v) sum[a][i * vectors + v] = fma(w[v], x, sum[a][i * vectors + v]);
            }
        };
        for (; j + (together - 1) * leaf_step < length; j += row_multiple, at += row_multiple * wide) {
            ASGD_UNROLL
            for (int a = 0; a < together; ++a) take(a);
        }
        ASGD_UNROLL
        for (int a = 0; a < together - 1; ++a)
            if (j + a * leaf_step < length) take(a);
        constexpr int half = together / 2, quarter = together / 4;
        ASGD_UNROLL
        for (int i = 0; i < products; ++i) {
            sums[i] = half ? sum[0][i] + sum[half][i] : sum[0][i];
            if (quarter) sums[i] = sums[i] + (sum[quarter][i] + sum[half + quarter][i]);
        }
    };
    fold_leaves<R, products, 0, 1, leaf_step>(leaf, out);
}

// One step of all columns: factors[sample, config], and a rule for each vector. Some elements that pad are stepped too.
template <class R, int vectors, Terms terms>
ASGD_CALL void add_rows_to_columns(const Rule<R>* rule, const typename Lane<R>::Real* const* row, std::int64_t samples,
                                   const typename Lane<R>::Real* factors,
                                   const Weights<typename Lane<R>::Real>& weights, std::int64_t length) {
    constexpr int width = Lane<R>::width, wide = vectors * width, sums = 8, together = sums / vectors;
    Weights<typename Lane<R>::Real> at = weights;
    for (std::int64_t j = 0; j < length; j += together, at = at.from(together * wide)) {
        R sum[sums];
        ASGD_UNROLL
        for (int a = 0; a < sums; ++a)
            sum[a] = before_rows<terms>(rule[a % vectors], load<R>(at.x + a * width), load<R>(at.low + a * width));
        for (std::int64_t s = 0; s < samples; ++s) {
            R factor[vectors];
            ASGD_UNROLL
            for (int v = 0; v < vectors; ++v) factor[v] = load<R>(factors + s * wide + v * width);
            const typename Lane<R>::Real* const x = row[s] + j;
            ASGD_UNROLL
            for (int a = 0; a < sums; ++a) sum[a] = fma(factor[a % vectors], set1<R>(x[a / vectors]), sum[a]);
        }
        ASGD_UNROLL
        for (int a = 0; a < sums; ++a) store_after_rows<terms>(rule[a % vectors], sum[a], at.from(a * width));
    }
}

template <class R, int n>
struct Vectors {
    R of[n];
};

// One step with one row, and the products of the new weights with the next row, in one pass over the weights. They are
// returned: one vector stays in a register.
template <class R, int vectors, Terms terms>
ASGD_CALL Vectors<R, vectors> add_row_and_multiply_columns(const Rule<R>* rule, const typename Lane<R>::Real* row,
                                                           const typename Lane<R>::Real* next_row,
                                                           const typename Lane<R>::Real* factors,
                                                           const Weights<typename Lane<R>::Real>& weights,
                                                           std::int64_t length) {
    constexpr int width = Lane<R>::width, wide = vectors * width, leaf_step = 4;
    R factor[vectors];
    ASGD_UNROLL
    for (int v = 0; v < vectors; ++v) factor[v] = load<R>(factors + v * width);
    const auto leaf = [&](auto first, R* products) {
        constexpr int k = decltype(first)::value;
        R sum[4][vectors];
        ASGD_UNROLL
        for (int a = 0; a < 4; ++a) ASGD_UNROLL
        for (int v = 0; v < vectors; ++v) sum[a][v] = set1<R>(0);
        Weights<typename Lane<R>::Real> at = weights.from(k * wide);
        std::int64_t j = k;
        const auto take = [&](int a) ASGD_INLINE_LAMBDA {
            const R x = set1<R>(row[j + a * leaf_step]), next = set1<R>(next_row[j + a * leaf_step]);
            ASGD_UNROLL
            for (int v = 0; v < vectors; ++v) {
                const Weights<typename Lane<R>::Real> own = at.from(a * leaf_step * wide + v * width);
                const R begun = before_rows<terms>(rule[v], load<R>(own.x), load<R>(own.low));
                const R w = store_after_rows<terms>(rule[v], fma(factor[v], x, begun), own);
                sum[a][v] = fma(w, next, sum[a][v]);
            }
        };
        for (; j + 3 * leaf_step < length; j += row_multiple, at = at.from(row_multiple * wide)) {
            ASGD_UNROLL
            for (int a = 0; a < 4; ++a) take(a);
        }
        ASGD_UNROLL
        for (int a = 0; a < 3; ++a)
            if (j + a * leaf_step < length) take(a);
        ASGD_UNROLL
        for (int v = 0; v < vectors; ++v) products[v] = (sum[0][v] + sum[2][v]) + (sum[1][v] + sum[3][v]);
    };
    Vectors<R, vectors> out;
    fold_leaves<R, vectors, 0, 1, leaf_step>(leaf, out.of);
    return out;
}

// What a trial step works on: 16 rows of 112 elements, and weights of two vectors of configs.
template <class R>
struct ColumnTrial {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width, most = most_column_vectors<R>;
    static constexpr int length = 7 * row_multiple, samples = 16;
    alignas(64) Real x[length * most * width] = {}, low[length * most * width] = {};
    alignas(64) Real features[samples * length] = {}, factors[samples * most * width] = {};

    // A step of all configs, `vectors` of them side by side.
    template <int vectors>
    void step() {
        const Real* row[samples];
        for (int s = 0; s < samples; ++s) row[s] = features + s * length;
        Rule<R> rule[vectors];
        for (int v = 0; v < vectors; ++v) rule[v] = {set1<R>(0), set1<R>(0), set1<R>(0), false};
        for (int first = 0; first < most; first += vectors) {
            const Weights<Real> weights{x + first * length * width, low + first * length * width, low};
            for (int s = 0; s < samples; s += 4) {
                R z[4 * vectors];
                multiply_columns<R, vectors, 4>(row + s, weights.x, length, z);
                for (int i = 0; i < 4 * vectors; ++i) store(factors + (s * vectors + i) * width, z[i]);
            }
            add_rows_to_columns<R, vectors, Terms::rows>(rule, row, samples, factors, weights, length);
        }
    }
};

// Whether steps of two vectors of configs side by side are faster on this processor.
template <class R>
ASGD_CALL bool two_vectors_are_faster() {
    ColumnTrial<R> trial;
    return second_is_faster([&] { trial.template step<1>(); }, [&] { trial.template step<most_column_vectors<R>>(); });
}

ASGD_ISA_NAMESPACE_END
