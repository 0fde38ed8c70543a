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
        for (std::int64_t c = begin; c < end && !state.stopped(); c += width) {
            const int count = int(end - c < width ? end - c : width);
            for (int j = 0; j < n; ++j)
                for (int l = 0; l < width; ++l)
                    b.column_lr[j * width + l] =
                        l < count ? state.rates.minus_lr[(c + l) * segment_steps + j] : Real(0);
            for (std::int64_t r = first; r < first + replicates && !state.stopped(); ++r) {
                move(c, count, r, true);
                if (e.momentum > 0)
                    advance_vector<Terms::momentum>(c, count, r, n);
                else if (b.decay[c] > 0)  // of one problem, so of one lambda
                    advance_vector<Terms::rows_and_decay>(c, count, r, n);
                else
                    advance_vector<Terms::rows>(c, count, r, n);
                move(c, count, r, false);
            }
        }
    }

private:
    // What a step needs of the weights of configs c .. c + count - 1 into columns, or back.
    void move(std::int64_t c, int count, std::int64_t replicate, bool in) {
        const auto move_part = [&](Real* const column, Real* Weights<Real>::* part) {
            const std::int64_t length = layout.row[0];
            if (in) memset(column, 0, sizeof(Real) * std::size_t(length * width));
            for (int l = 0; l < count; ++l) {
                Real* const own = state.member(c + l, replicate).w.*part;
                for (std::int64_t i = 0; i < length; ++i)
                    in ? void(column[i * width + l] = own[i]) : void(own[i] = column[i * width + l]);
            }
        };
        move_part(b.columns.x, &Weights<Real>::x);
        move_part(b.columns.low, &Weights<Real>::low);
        if (e.momentum > 0) move_part(b.columns.velocity, &Weights<Real>::velocity);
    }

    template <Terms terms>
    void advance_vector(std::int64_t c, int count, std::int64_t replicate, int n) {
        const DataView& data = state.problem(c).train;
        const std::int64_t length = layout.row[0];
        const Weights<Real> weights = b.columns;
        const Real* const* const rows = b.row;
        Real* const factors = b.column_factors;
        alignas(64) Real lambda[width] = {}, intercept[width] = {}, low[width] = {}, velocity[width] = {};
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
        const Real* next_row = nullptr;
        R next_product = set1<R>(0);  // with batch 1: of the weights with next_row
        for (int j = 0; j < n && !state.stopped_after(0); ++j) {
            state.take_batch(data, j, replicate, 0);
            const R minus_lr = load<R>(b.column_lr + j * width), decay = load<R>(lambda);
            const R scale = terms == Terms::momentum ? part : minus_lr * part;
            const Rule<R> rule{terms == Terms::momentum ? decay : minus_lr * decay, minus_lr, set1<R>(Real(e.momentum)),
                               e.nesterov};
            const R start = load<R>(intercept);
            R intercept_sum = before_ones<terms>(load<R>(low));
            const auto take_output = [&](std::int64_t s, R z) {
                store(factors + s * width, layout.has_intercept ? z + start : z);
            };
            if (next_row == nullptr) {
                std::int64_t s = 0;
                for (R z[4]; s + 4 <= batch; s += 4) {
                    multiply_columns<R, 4>(rows + s, weights.x, length, z);
                    for (int i = 0; i < 4; ++i) take_output(s + i, z[i]);
                }
                for (R z; s < batch; ++s) {
                    multiply_columns<R, 1>(rows + s, weights.x, length, &z);
                    take_output(s, z);
                }
            } else {
                take_output(0, next_product);
            }
            for_each_slope([&](std::int64_t s, R slope) {
                if (has_row_weights) slope = weighted(slope, set1<R>(b.row_weight[s]));
                const R factor = scale * slope;
                store(factors + s * width, factor);
                intercept_sum = intercept_sum + factor;
            });
            if (layout.has_intercept) store_after_rows<terms>(rule, intercept_sum, intercepts);
            if (batch == 1 && j + 1 < n) {
                const Real* const row = rows[0];
                state.take_batch(data, j + 1, replicate, 0);
                next_row = rows[0];
                next_product =
                    add_row_and_multiply_columns<R, terms>(rule, row, next_row, load<R>(factors), weights, length);
            } else {
                add_rows_to_columns<R, terms>(rule, rows, batch, factors, weights, length);
            }
        }
        for (int l = 0; layout.has_intercept && l < count; ++l) {
            const Weights<Real> own = intercept_of(l);
            if constexpr (terms == Terms::momentum) *own.velocity = velocity[l];
            *own.x = intercept[l];
            *own.low = low[l];
        }
    }

    // take(s, derivative of the loss of sample s) from the outputs in column_factors.
    template <class Take>
    void for_each_slope(Take take) {
        with_kind(state.network.loss, [&](auto loss) {
            if constexpr (loss.value == Loss::own) {
                b.own_loss.differentiate(b.column_factors, batch * width,
                                         [&](std::int64_t i) { return set1<R>(b.target[i / width]); });
                for (std::int64_t s = 0; s < batch; ++s) take(s, load<R>(b.column_factors + s * width));
            } else if constexpr (has_one_output(loss.value)) {
                for (std::int64_t s = 0; s < batch; ++s)
                    take(s, loss_derivative<loss.value>(load<R>(b.column_factors + s * width), set1<R>(b.target[s])));
            }
        });
    }
};

ASGD_ISA_NAMESPACE_END
