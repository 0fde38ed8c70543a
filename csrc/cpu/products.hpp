// The inner loops of problems on data: products of rows with weights, and sums of rows into weights. Vectors run along
// the rows, which are padded to row_multiple elements and aligned. Included by the parts of data_runner.hpp.
//
// A product has row_multiple accumulators, element i in accumulator i mod row_multiple, folded at the end: that is 1
// vector of float32 with AVX-512 and 4 of float64 with AVX2, and the same bits. A patch of rows and units keeps all its
// accumulators in registers, so that every loaded vector is used several times.
#pragma once

#include "../core/descent.hpp"
#include "../core/spec.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Where weights are, what they could not take of their last step, and their velocities, which momentum alone uses.
template <class Real>
struct Weights {
    Real *x, *low, *velocity;
    Weights from(std::int64_t i) const { return {x + i, low + i, velocity + i}; }
};

template <class R>
struct Block {
    static constexpr int vectors = row_multiple / Lane<R>::width;  // per row_multiple elements
    static constexpr int registers = Lane<R>::registers;
    static constexpr int products = vectors * 4 > registers ? 1 : registers / 2 / vectors;  // accumulated together
    static constexpr int rows = products >= 16 ? 4 : products >= 4 ? 2 : products >= 2 ? 2 : 1;
    static constexpr int units = products / rows;
    static constexpr int of_one = products < 8 ? products : 8;  // rows for one unit, or units for one row
};

template <int n>
struct IntConstant {
    static constexpr int value = n;
};

// Vectors of configs whose steps by columns are taken side by side.
template <class R>
inline constexpr int most_column_vectors = Lane<R>::width > 1 ? 2 : 1;

inline constexpr int most_products = 64;  // of one panel: their accumulators stay in the L1 cache

// Accumulators of rows x units products, one vector each: that of (row i, unit u) to sum[i * row_stride + u *
// unit_stride].
template <class R, int rows, int units, int row_stride, int unit_stride>
ASGD_FN void accumulate(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* const* unit,
                        std::int64_t length, R* out) {
    constexpr int V = Block<R>::vectors, width = Lane<R>::width;
    R sum[rows][units][V];
    ASGD_UNROLL
    for (int i = 0; i < rows; ++i) ASGD_UNROLL
    for (int u = 0; u < units; ++u) ASGD_UNROLL
    for (int v = 0; v < V; ++v) sum[i][u][v] = set1<R>(0);
    for (std::int64_t j = 0; j < length; j += row_multiple) {
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) {
            R x[rows];
            ASGD_UNROLL
            for (int i = 0; i < rows; ++i) x[i] = load<R>(row[i] + j + v * width);
            ASGD_UNROLL
            for (int u = 0; u < units; ++u) {
                const R w = load<R>(unit[u] + j + v * width);
                ASGD_UNROLL
                for (int i = 0; i < rows; ++i) sum[i][u][v] = fma(w, x[i], sum[i][u][v]);
            }
        }
    }
    ASGD_UNROLL
    for (int i = 0; i < rows; ++i) ASGD_UNROLL
    for (int u = 0; u < units; ++u) {
        ASGD_UNROLL
        for (int half = V / 2; half > 0; half /= 2) ASGD_UNROLL
        for (int v = 0; v < half; ++v) sum[i][u][v] = sum[i][u][v] + sum[i][u][v + half];
        out[i * row_stride + u * unit_stride] = sum[i][u][0];
    }
}

// The same, stored: that of (row i, unit u) to out + (u * row_count + i) * width.
template <class R, int rows, int units>
ASGD_FN void product_patch(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* const* unit,
                           std::int64_t length, int row_count, typename Lane<R>::Real* out) {
    R sum[rows * units];
    accumulate<R, rows, units, 1, rows>(row, unit, length, sum);
    ASGD_UNROLL
    for (int u = 0; u < units; ++u) ASGD_UNROLL
    for (int i = 0; i < rows; ++i) store(out + (u * row_count + i) * Lane<R>::width, sum[u * rows + i]);
}

template <class R, int rows, int units>
ASGD_FN void product_rows(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* const* unit,
                          std::int64_t length, int row_count, int begin, typename Lane<R>::Real* out) {
    int i = begin;
    for (; i + rows <= row_count; i += rows)
        product_patch<R, rows, units>(row + i, unit, length, row_count, out + i * Lane<R>::width);
    if constexpr (rows > 1)
        if (i < row_count) product_rows<R, rows / 2, units>(row, unit, length, row_count, i, out);
}

template <class R, int rows, int units>
ASGD_FN void product_panel(const typename Lane<R>::Real* const* row, int row_count,
                           const typename Lane<R>::Real* const* unit, int unit_count, std::int64_t length, int begin,
                           typename Lane<R>::Real* out) {
    int u = begin;
    for (; u + units <= unit_count; u += units)
        product_rows<R, rows, units>(row, unit + u, length, row_count, 0, out + u * row_count * Lane<R>::width);
    if constexpr (units > 1)
        if (u < unit_count) product_panel<R, rows, units / 2>(row, row_count, unit, unit_count, length, u, out);
}

// The sum of row_multiple accumulators, in place.
template <class T>
ASGD_FN T fold_row(T* sum) {
    for (int w = row_multiple / 2; w > 0; w /= 2)
        for (int i = 0; i < w; ++i) sum[i] += sum[i + w];
    return sum[0];
}

// fold_columns of `width` stored vectors.
template <class R>
ASGD_FN R folded(const typename Lane<R>::Real* vectors) {
    R v[Lane<R>::width];
    ASGD_UNROLL
    for (int i = 0; i < Lane<R>::width; ++i) v[i] = load<R>(vectors + i * Lane<R>::width);
    return fold_columns(v);
}

// Where products go: that of (row i, unit u) to out[i * row_stride + u * unit_stride]. One of the two is 1.
template <class Real>
struct Target {
    Real* out;
    std::int64_t row_stride, unit_stride;
};

// Products of any number of rows and units, through the panel.
template <class R>
static void products_by_panels(const typename Lane<R>::Real* const* row, std::int64_t row_count,
                               const typename Lane<R>::Real* const* unit, std::int64_t unit_count, std::int64_t length,
                               typename Lane<R>::Real* panel, const Target<typename Lane<R>::Real>& target) {
    using Real = typename Lane<R>::Real;
    using B = Block<R>;
    constexpr int width = Lane<R>::width;
    const int panel_rows = row_count >= 16 ? 16 : int(row_count), panel_units = most_products / panel_rows;
    alignas(64) Real sums[most_products];
    for (std::int64_t i0 = 0; i0 < row_count; i0 += panel_rows)
        for (std::int64_t u0 = 0; u0 < unit_count; u0 += panel_units) {
            const int rows = int(row_count - i0 < panel_rows ? row_count - i0 : panel_rows);
            const int units = int(unit_count - u0 < panel_units ? unit_count - u0 : panel_units);
            // A patch for one row, or one unit, is as long in the other direction as its registers allow.
            if (rows == 1)
                product_panel<R, 1, B::of_one>(row + i0, rows, unit + u0, units, length, 0, panel);
            else if (units == 1)
                product_panel<R, B::of_one, 1>(row + i0, rows, unit + u0, units, length, 0, panel);
            else
                product_panel<R, B::rows, B::units>(row + i0, rows, unit + u0, units, length, 0, panel);
            for (int p = 0; p < rows * units; p += width) store(sums + p, folded<R>(panel + p * width));
            Real* const out = target.out + i0 * target.row_stride + u0 * target.unit_stride;
            for (int u = 0; u < units; ++u)
                for (int i = 0; i < rows; ++i) out[i * target.row_stride + u * target.unit_stride] = sums[u * rows + i];
        }
}

// A full patch, folded without leaving registers.
template <class R, int rows, int units>
ASGD_FN void whole_patch(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* const* unit,
                         std::int64_t length, const Target<typename Lane<R>::Real>& target,
                         typename Lane<R>::Real* out) {
    using Real = typename Lane<R>::Real;
    static_assert(rows * units == Lane<R>::width, "as many products as a vector has elements");
    R sum[rows * units];
    alignas(64) Real sums[rows * units];
    if (target.unit_stride == 1) {
        accumulate<R, rows, units, units, 1>(row, unit, length, sum);
        store(sums, fold_columns(sum));
        for (int i = 0; i < rows; ++i) memcpy(out + i * target.row_stride, sums + i * units, units * sizeof(Real));
    } else {
        accumulate<R, rows, units, 1, rows>(row, unit, length, sum);
        store(sums, fold_columns(sum));
        for (int u = 0; u < units; ++u) memcpy(out + u * target.unit_stride, sums + u * rows, rows * sizeof(Real));
    }
}

// The same for one unit: fewer rows at a time than a patch has, which are more pointers than there are registers.
template <class R>
ASGD_FN void whole_column(const typename Lane<R>::Real* const* row, const typename Lane<R>::Real* const* unit,
                          std::int64_t length, const Target<typename Lane<R>::Real>& target,
                          typename Lane<R>::Real* out) {
    constexpr int width = Lane<R>::width, together = Block<R>::of_one;
    R sum[width];
    ASGD_UNROLL
    for (int i = 0; i < width; i += together) accumulate<R, together, 1, 1, 1>(row + i, unit, length, sum + i);
    alignas(64) typename Lane<R>::Real sums[width];
    store(sums, fold_columns(sum));
    if (target.row_stride == 1)
        memcpy(out, sums, sizeof(sums));
    else
        for (int i = 0; i < width; ++i) out[i * target.row_stride] = sums[i];
}

// Products of `units` units with as many rows as are whole patches; how many rows that are.
template <class R, int rows, int units>
ASGD_FN std::int64_t whole_patches(const typename Lane<R>::Real* const* row, std::int64_t row_count,
                                   const typename Lane<R>::Real* const* unit, std::int64_t length,
                                   const Target<typename Lane<R>::Real>& target, std::int64_t u) {
    std::int64_t i = 0;
    for (; i + rows <= row_count; i += rows) {
        auto* const out = target.out + i * target.row_stride + u * target.unit_stride;
        if constexpr (units == 1)
            whole_column<R>(row + i, unit + u, length, target, out);
        else
            whole_patch<R, rows, units>(row + i, unit + u, length, target, out);
    }
    return i;
}

// All products of rows with units. `panel`: most_products * row_multiple elements of scratch, aligned.
template <class R>
static void products(const typename Lane<R>::Real* const* row, std::int64_t row_count,
                     const typename Lane<R>::Real* const* unit, std::int64_t unit_count, std::int64_t length,
                     typename Lane<R>::Real* panel, const Target<typename Lane<R>::Real>& target) {
    using B = Block<R>;
    constexpr int width = Lane<R>::width;
    const auto by_panels = [&](std::int64_t i, std::int64_t u, std::int64_t units) {
        if (i < row_count)
            products_by_panels<R>(
                row + i, row_count - i, unit + u, units, length, panel,
                {target.out + i * target.row_stride + u * target.unit_stride, target.row_stride, target.unit_stride});
    };
    if constexpr (B::products == width && B::products > 1) {
        std::int64_t i = 0, u = 0;
        for (; u + B::units <= unit_count; u += B::units)
            i = whole_patches<R, B::rows, B::units>(row, row_count, unit, length, target, u);
        if (u > 0) by_panels(i, 0, u);
        if (B::units > 2 && u + 2 <= unit_count) {
            by_panels(whole_patches<R, width / 2, 2>(row, row_count, unit, length, target, u), u, 2);
            u += 2;
        }
        if (u < unit_count) by_panels(whole_patches<R, width, 1>(row, row_count, unit, length, target, u), u, 1);
    } else {
        by_panels(0, 0, unit_count);
    }
}

// A rule in every lane.
template <class R>
ASGD_FN Rule<R> in_lanes(const Rule<typename Lane<R>::Real>& rule) {
    return {set1<R>(rule.decay), set1<R>(rule.minus_lr), set1<R>(rule.mu), rule.nesterov};
}

// Takes stored weights a step on, from what before_rows began and the rows were added to; the new ones.
template <Terms terms, class R>
ASGD_FN R store_after_rows(const Rule<R>& rule, R sum, const Weights<typename Lane<R>::Real>& at) {
    if constexpr (terms == Terms::gradient) {
        store(at.velocity, sum);
        return sum;
    }
    R low = load<R>(at.low), velocity = terms == Terms::momentum ? load<R>(at.velocity) : set1<R>(0);
    const R w = after_rows<terms>(rule, sum, load<R>(at.x), low, velocity);
    store(at.x, w);
    store(at.low, low);
    if constexpr (terms == Terms::momentum) store(at.velocity, velocity);
    return w;
}

// Factors of rows: that of (sample s, unit u) is at c[s * sample_stride + u * unit_stride].
template <class Real>
struct RowFactors {
    const Real* c;
    std::int64_t sample_stride, unit_stride;
};

// What add_rows works on: w[u] of `units` rows of weights, of `length` elements each, and their samples.
template <class R>
struct RowSum {
    using Real = typename Lane<R>::Real;
    Rule<Real> rule;
    const Real* const* row;  // [sample]
    std::int64_t samples;
    RowFactors<Real> factor;
    Weights<Real> w;
    std::int64_t length;
};

// Adds sum_s c[s, u] row[s] to vectors j / width ... of units u, u + 1, ....
template <class R, Terms terms, int units, int vectors>
ASGD_FN void add_rows_patch(const RowSum<R>& a, std::int64_t u, std::int64_t j) {
    constexpr int width = Lane<R>::width;
    const Rule<R> rule = in_lanes<R>(a.rule);
    const auto weights = [&](int k, int v) { return a.w.from((u + k) * a.length + j + v * width); };
    const typename Lane<R>::Real* c = a.factor.c + u * a.factor.unit_stride;
    R sum[units][vectors];
    ASGD_UNROLL
    for (int k = 0; k < units; ++k) ASGD_UNROLL
    for (int v = 0; v < vectors; ++v)
        sum[k][v] = before_rows<terms>(rule, load<R>(weights(k, v).x), load<R>(weights(k, v).low));
    for (std::int64_t s = 0; s < a.samples; ++s, c += a.factor.sample_stride) {
        const typename Lane<R>::Real* const row = a.row[s] + j;
        R factor[units];
        ASGD_UNROLL
        for (int k = 0; k < units; ++k) factor[k] = set1<R>(c[k * a.factor.unit_stride]);
        ASGD_UNROLL
        for (int v = 0; v < vectors; ++v) {
            const R x = load<R>(row + v * width);
            ASGD_UNROLL
            for (int k = 0; k < units; ++k) sum[k][v] = fma(factor[k], x, sum[k][v]);
        }
    }
    ASGD_UNROLL
    for (int k = 0; k < units; ++k) ASGD_UNROLL
    for (int v = 0; v < vectors; ++v) store_after_rows<terms>(rule, sum[k][v], weights(k, v));
}

// Blocks of `vectors`, and one of what is left.
template <class R, Terms terms, int units, int vectors>
ASGD_FN void add_rows_along(const RowSum<R>& a, std::int64_t u, std::int64_t j, bool rest) {
    constexpr int step = vectors * Lane<R>::width;
    if (!rest)
        for (; j + step <= a.length; j += step) add_rows_patch<R, terms, units, vectors>(a, u, j);
    else if (j + step == a.length)
        return add_rows_patch<R, terms, units, vectors>(a, u, j);
    if constexpr (vectors > 1)
        if (j < a.length) add_rows_along<R, terms, units, vectors - 1>(a, u, j, true);
}

template <class R, Terms terms, int units, int vectors>
ASGD_FN void add_rows_units(const RowSum<R>& a, std::int64_t unit_count, std::int64_t u) {
    for (; u + units <= unit_count; u += units) add_rows_along<R, terms, units, vectors>(a, u, 0, false);
    if constexpr (units > 1)
        if (u < unit_count) add_rows_units<R, terms, units / 2, vectors>(a, unit_count, u);
}

// One step of all weights of a layer.
template <class R, Terms terms>
static void add_rows(const RowSum<R>& a, std::int64_t unit_count) {
    constexpr int sums = Block<R>::registers / 2;
    if (unit_count == 1)
        add_rows_units<R, terms, 1, (sums < 8 ? sums : 8)>(a, unit_count, 0);
    else
        add_rows_units<R, terms, (sums >= 16 ? 4 : 2), 4>(a, unit_count, 0);
}

// The same for one sample and one unit; with the new weights, the accumulators of their product with the next row go to
// `products`, so that weights are loaded once for both.
template <class R, Terms terms>
ASGD_FN void add_row_and_multiply(const Rule<typename Lane<R>::Real>& rule, const typename Lane<R>::Real* row,
                                  const typename Lane<R>::Real* next_row, typename Lane<R>::Real factor,
                                  const Weights<typename Lane<R>::Real>& weights, std::int64_t length,
                                  typename Lane<R>::Real* products) {
    constexpr int V = Block<R>::vectors, width = Lane<R>::width;
    const Rule<R> rule_of_lanes = in_lanes<R>(rule);
    const R c = set1<R>(factor);
    R sum[V];
    ASGD_UNROLL
    for (int v = 0; v < V; ++v) sum[v] = set1<R>(0);
    for (std::int64_t j = 0; j < length; j += row_multiple) {
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) {
            const std::int64_t i = j + v * width;
            const Weights<typename Lane<R>::Real> at = weights.from(i);
            const R begun = before_rows<terms>(rule_of_lanes, load<R>(at.x), load<R>(at.low));
            const R w = store_after_rows<terms>(rule_of_lanes, fma(c, load<R>(row + i), begun), at);
            sum[v] = fma(w, load<R>(next_row + i), sum[v]);
        }
    }
    ASGD_UNROLL
    for (int half = V / 2; half > 0; half /= 2) ASGD_UNROLL
    for (int v = 0; v < half; ++v) sum[v] = sum[v] + sum[v + half];
    store(products, sum[0]);
}

// delta[s, i] = sum over units of c[s, u] w[u, i], for all inputs i of a layer: back through its weights.
template <class R>
static void back_through(const RowFactors<typename Lane<R>::Real>& c, std::int64_t samples,
                         const typename Lane<R>::Real* w, std::int64_t unit_count, std::int64_t length,
                         typename Lane<R>::Real* delta) {
    constexpr int width = Lane<R>::width, together = 4, vectors = Lane<R>::registers >= 32 ? 2 : 1;
    const auto patch = [&](std::int64_t s, std::int64_t i, auto count, auto vector_count) {
        constexpr int n = decltype(count)::value, V = decltype(vector_count)::value;
        R sum[n][V];
        ASGD_UNROLL
        for (int k = 0; k < n; ++k) ASGD_UNROLL
        for (int v = 0; v < V; ++v) sum[k][v] = set1<R>(0);
        for (std::int64_t u = 0; u < unit_count; ++u) {
            R weight[V];
            ASGD_UNROLL
            for (int v = 0; v < V; ++v) weight[v] = load<R>(w + u * length + i + v * width);
            ASGD_UNROLL
            for (int k = 0; k < n; ++k) {
                const R factor = set1<R>(c.c[(s + k) * c.sample_stride + u * c.unit_stride]);
                ASGD_UNROLL
                for (int v = 0; v < V; ++v) sum[k][v] = fma(factor, weight[v], sum[k][v]);
            }
        }
        ASGD_UNROLL
        for (int k = 0; k < n; ++k) ASGD_UNROLL
        for (int v = 0; v < V; ++v) store(delta + (s + k) * length + i + v * width, sum[k][v]);
    };
    const auto rows = [&](std::int64_t s, auto count) {
        std::int64_t i = 0;
        for (; i + vectors * width <= length; i += vectors * width) patch(s, i, count, IntConstant<vectors>());
        for (; i < length; i += width) patch(s, i, count, IntConstant<1>());
    };
    std::int64_t s = 0;
    for (; s + together <= samples; s += together) rows(s, IntConstant<together>());
    for (; s < samples; ++s) rows(s, IntConstant<1>());
}

ASGD_ISA_NAMESPACE_END
