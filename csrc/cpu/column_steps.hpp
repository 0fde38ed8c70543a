// Steps by columns, of linear models with one output whose configs share rows: vectors over configs (columns.hpp).
// Included by data_runner.hpp.
#pragma once

#include "../core/loss.hpp"
#include "../core/with_kind.hpp"
#include "columns.hpp"
#include "data_state.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class ColumnSteps {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    const EnsembleSpec& e;
    DataBuffers<R>& b;
    const NetworkLayout& layout;
    const std::int64_t batch;

public:
    explicit ColumnSteps(DataState<R>& data_state)
        : state(data_state), e(state.e), b(state.b), layout(state.layout), batch(state.batch) {}

    // Whether configs that share rows go into the elements of vectors: they must fill them, and what it costs to bring
    // their weights there and back must be paid by enough steps.
    bool worth(std::int64_t sharing, int n) const {
        return width > 1 && sharing > 1 && may_go_by_columns(e) && 2 * sharing >= width && n * batch >= 8;
    }

    void advance(std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t replicates, int n) {
        for (std::int64_t c = begin; c < end && !state.stopped();) {
            const bool two = end - c > width && two_side_by_side();
            const std::int64_t wide = two ? 2 * width : width, count = end - c < wide ? end - c : wide;
            if (two)
                advance_configs<most_column_vectors<R>>(c, int(count), first, replicates, n);
            else
                advance_configs<1>(c, int(count), first, replicates, n);
            c += count;
        }
    }

private:
    // Whether two vectors of configs step side by side. A step of one sample is one pass over the weights, which are to
    // stay in the L1 cache.
    bool two_side_by_side() const {
        if constexpr (most_column_vectors<R> > 1) {
            constexpr std::int64_t cached_bytes = 40 << 10;
            const std::int64_t bytes =
                (e.momentum > 0 ? 3 : 2) * layout.row[0] * 2 * width * std::int64_t(sizeof(Real));
            static const bool faster = two_vectors_are_faster<R>();
            return takes_second(faster) && (batch > 1 || bytes <= cached_bytes);
        }
        return false;
    }

    template <int vectors>
    void advance_configs(std::int64_t c, int count, std::int64_t first, std::int64_t replicates, int n) {
        constexpr int wide = vectors * width;
        for (int j = 0; j < n; ++j)
            for (int l = 0; l < wide; ++l)
                b.column_lr[j * wide + l] = l < count ? state.rates.minus_lr[(c + l) * segment_steps + j] : Real(0);
        for (std::int64_t r = first; r < first + replicates && !state.stopped(); ++r) {
            move<true>(c, count, wide, r);
            if (e.momentum > 0)
                advance_vectors<vectors, Terms::momentum>(c, count, r, n);
            else if (b.decay[c] > 0)  // of one problem, so of one lambda
                advance_vectors<vectors, Terms::rows_and_decay>(c, count, r, n);
            else
                advance_vectors<vectors, Terms::rows>(c, count, r, n);
            move<false>(c, count, wide, r);
        }
    }

    // What a step needs of the weights of configs c .. c + count - 1 into columns, or back.
    template <bool in>
    void move(std::int64_t c, int count, int wide, std::int64_t replicate) {
        const auto move_part = [&](Real* const column, Real* Weights<Real>::* part) {
            const auto own = [&](int l) { return state.member(c + l, replicate).w.*part; };
            move_columns<R, in>(own, count, wide, layout.row[0], column);
        };
        move_part(b.columns.x, &Weights<Real>::x);
        move_part(b.columns.low, &Weights<Real>::low);
        if (e.momentum > 0) move_part(b.columns.velocity, &Weights<Real>::velocity);
    }

    template <int vectors, Terms terms>
    void advance_vectors(std::int64_t c, int count, std::int64_t replicate, int n) {
        constexpr int wide = vectors * width;
        const DataView& data = state.problem(c).train;
        const std::int64_t length = layout.inputs[0];
        const Weights<Real> weights = b.columns;
        const Real* const* const rows = b.row;
        Real* const factors = b.column_factors;
        alignas(64) Real lambda[wide] = {}, intercept[wide] = {}, low[wide] = {}, velocity[wide] = {};
        const Weights<Real> intercepts{intercept, low, velocity};
        const auto intercept_of = [&](int l) { return state.member(c + l, replicate).w.from(layout.intercept[0]); };
        for (int l = 0; l < count; ++l) lambda[l] = b.decay[c + l];
        for (int l = 0; layout.has_intercept && l < count; ++l) {
            const Weights<Real> own = intercept_of(l);
            intercept[l] = *own.x;
            low[l] = *own.low;
            velocity[l] = *own.velocity;
        }
        const R part = set1<R>(state.share);
        const bool has_row_weights = state.has_row_weights(c);
        bool multiplied = false;  // with batch 1: the weights with the row of the next step
        for (int j = 0; j < n && !state.stopped_after(0); ++j) {
            state.take_batch(data, j, replicate, 0);
            R scale[vectors], intercept_sum[vectors];
            Rule<R> rule[vectors];
            for (int v = 0; v < vectors; ++v) {
                const R minus_lr = load<R>(b.column_lr + j * wide + v * width), decay = load<R>(lambda + v * width);
                scale[v] = terms == Terms::momentum ? part : minus_lr * part;
                rule[v] = {terms == Terms::momentum ? decay : minus_lr * decay, minus_lr, set1<R>(Real(e.momentum)),
                           e.nesterov};
                intercept_sum[v] = before_ones<terms>(load<R>(low + v * width));
            }
            const auto take_outputs = [&](std::int64_t s, const R* z) {
                for (int v = 0; v < vectors; ++v)
                    store(factors + s * wide + v * width,
                          layout.has_intercept ? z[v] + load<R>(intercept + v * width) : z[v]);
            };
            if (!multiplied) {
                R z[4 * vectors];
                std::int64_t s = 0;
                for (; s + 4 <= batch; s += 4) {
                    multiply_columns<R, vectors, 4>(rows + s, weights.x, length, z);
                    for (int i = 0; i < 4; ++i) take_outputs(s + i, z + i * vectors);
                }
                for (; s < batch; ++s) {
                    multiply_columns<R, vectors, 1>(rows + s, weights.x, length, z);
                    take_outputs(s, z);
                }
            }
            for_each_slope<vectors>([&](std::int64_t s, int v, R slope) {
                if (has_row_weights) slope = weighted(slope, set1<R>(b.row_weight[s]));
                const R factor = scale[v] * slope;
                store(factors + s * wide + v * width, factor);
                intercept_sum[v] = intercept_sum[v] + factor;
            });
            for (int v = 0; layout.has_intercept && v < vectors; ++v)
                store_after_rows<terms>(rule[v], intercept_sum[v], intercepts.from(v * width));
            multiplied = batch == 1 && j + 1 < n;
            if (multiplied) {
                const Real* const row = rows[0];
                state.take_batch(data, j + 1, replicate, 0);
                take_outputs(
                    0,
                    add_row_and_multiply_columns<R, vectors, terms>(rule, row, rows[0], factors, weights, length).of);
            } else {
                add_rows_to_columns<R, vectors, terms>(rule, rows, batch, factors, weights, length);
            }
        }
        for (int l = 0; layout.has_intercept && l < count; ++l) {
            const Weights<Real> own = intercept_of(l);
            if constexpr (terms == Terms::momentum) *own.velocity = velocity[l];
            *own.x = intercept[l];
            *own.low = low[l];
        }
    }

    // take(s, v, derivative of the loss of sample s at vector v) from the outputs in column_factors.
    template <int vectors, class Take>
    void for_each_slope(Take take) {
        const auto output = [&](std::int64_t s, int v) {
            return load<R>(b.column_factors + (s * vectors + v) * width);
        };
        with_kind(state.network.loss, [&](auto loss) {
            if constexpr (loss.value == Loss::own) {
                b.own_loss.differentiate(b.column_factors, batch * vectors * width,
                                         [&](std::int64_t i) { return set1<R>(b.target[i / (vectors * width)]); });
                for (std::int64_t s = 0; s < batch; ++s)
                    for (int v = 0; v < vectors; ++v) take(s, v, output(s, v));
            } else if constexpr (has_one_output(loss.value)) {
                for (std::int64_t s = 0; s < batch; ++s) {
                    const R target = set1<R>(b.target[s]);
                    ASGD_UNROLL
                    for (int v = 0; v < vectors; ++v) take(s, v, loss_derivative<loss.value>(output(s, v), target));
                }
            }
        });
    }
};

ASGD_ISA_NAMESPACE_END
