// Outputs of a batch and, from the derivatives of their losses, one step of the weights: forwards and back through the
// layers. Included by what takes steps and by data_evaluation.hpp.
#pragma once

#include "../core/loss.hpp"
#include "../core/with_kind.hpp"
#include "data_state.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class DataPass {
    using Real = typename Lane<R>::Real;
    using Member = typename DataState<R>::Member;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataBuffers<R>& b;
    const NetworkLayout& layout;
    const std::int64_t batch;

public:
    explicit DataPass(DataState<R>& data_state)
        : state(data_state), b(state.b), layout(state.layout), batch(state.batch) {}

    void linear_outputs(const Member* members, int n_members, bool sharing) {
        const std::int64_t outputs = layout.units[0], length = layout.row[0];
        if (outputs == 1 && sharing) {
            for (int m = 0; m < n_members; ++m) b.unit[m] = members[m].w.x;
            products<R>(b.row, batch, b.unit, n_members, length, b.panel, {b.output, 1, batch});
        } else {
            for (int m = 0; m < n_members; ++m) {
                for (std::int64_t k = 0; k < outputs; ++k) b.unit[k] = members[m].w.x + k * length;
                products<R>(b.row + m * batch, batch, b.unit, outputs, length, b.panel,
                            {b.output + m * batch, 1, b.samples});
            }
        }
        if (layout.has_intercept)
            for (int m = 0; m < n_members; ++m) add_intercepts(members[m].w.x, m * batch, batch);
    }

    // Hidden layers of n samples and the outputs. Trajectories share the memory of their activations, so what pads
    // these is made zero each time: a trajectory that overflowed has NaN in its own padding.
    void network_outputs(const Real* x, const Real* const* rows, std::int64_t n) {
        for (int k = 0; k < layout.layers; ++k) {
            for (std::int64_t u = 0; u < layout.units[k]; ++u) b.unit[u] = x + layout.weights[k] + u * layout.row[k];
            if (k == layout.layers - 1) {
                products<R>(rows, n, b.unit, layout.units[k], layout.row[k], b.panel, {b.output, 1, b.samples});
                if (layout.has_intercept) add_intercepts(x, 0, n);
                return;
            }
            const std::int64_t length = layout.row[k + 1];
            products<R>(rows, n, b.unit, layout.units[k], layout.row[k], b.panel, {b.hidden[k], length, 1});
            const Real* const intercept = x + layout.intercept[k];
            const R number_of_units = set1<R>(Real(layout.units[k]));
            with_kind(state.network.activation, [&](auto activation) {
                for (std::int64_t s = 0; s < n; ++s)
                    for (std::int64_t u = 0; u < length; u += width) {
                        Real* const a = b.hidden[k] + s * length + u;
                        R z = load<R>(a);
                        if (layout.has_intercept) z = z + load<R>(intercept + u);
                        z = activated<activation.value>(z);
                        store(a, select_less(load<R>(b.unit_number + u), number_of_units, z, set1<R>(0)));
                    }
            });
            for (std::int64_t s = 0; s < n; ++s) b.hidden_row[s] = b.hidden[k] + s * length;
            rows = b.hidden_row;
        }
    }

    // Outputs become derivatives of the losses, weighted where there are weights.
    void differentiate(Real* output, const Real* target, const Real* row_weight, std::int64_t n_samples) {
        const int outputs = int(layout.units[layout.layers - 1]);
        with_kind(state.network.loss, [&](auto loss) {
            if constexpr (loss.value == Loss::own)
                b.own_loss.differentiate(output, round_up<std::int64_t>(n_samples, width),
                                         [&](std::int64_t s) { return load<R>(target + s); });
            else
                for (std::int64_t s = 0; s < n_samples; s += width)
                    differentiate_outputs<loss.value, R>(output + s, b.samples, outputs, load<R>(target + s));
        });
        if (row_weight == nullptr) return;
        for (std::int64_t k = 0; k < outputs; ++k)
            for (std::int64_t s = 0; s < n_samples; s += width) {
                Real* const derivative = output + k * b.samples + s;
                store(derivative, weighted(load<R>(derivative), load<R>(row_weight + s)));
            }
    }

    // Every layer's parameters, from the scaled derivatives in b.output on.
    template <Terms terms>
    void update_layers(const Member& member, std::int64_t first) {
        const int last = layout.layers - 1;
        const Rule<Real>& rule = b.rule[member.config];
        RowFactors<Real> factors[max_layers];
        factors[last] = {b.output + first, 1, b.samples};
        for (int k = last; k > 0; --k) {
            back_through<R>(factors[k], batch, member.w.x + layout.weights[k], layout.units[k], layout.row[k],
                            b.delta[k - 1]);
            through_activations(k - 1);
            factors[k - 1] = {b.delta[k - 1], layout.row[k], 1};
        }
        for (int k = last; k >= 0; --k) {
            if (k > 0)
                for (std::int64_t s = 0; s < batch; ++s) b.hidden_row[s] = b.hidden[k - 1] + s * layout.row[k];
            add_rows<R, terms>({rule, k > 0 ? b.hidden_row : b.row + first, batch, factors[k],
                                member.w.from(layout.weights[k]), layout.row[k]},
                               layout.units[k]);
            if (layout.has_intercept) update_intercepts<terms>(rule, factors[k], member, k);
        }
    }

    // Like a row of ones, but neither l2 nor weight decay touches them.
    template <Terms terms>
    void update_intercepts(const Rule<Real>& rule, const RowFactors<Real>& c, const Member& member, int k) {
        constexpr std::int64_t together = 8;
        const Weights<Real> at = member.w.from(layout.intercept[k]);
        const std::int64_t units = layout.units[k];
        std::int64_t u = 0;
        if (units >= together) {
            if (c.unit_stride == 1)
                for (; u + width <= units; u += width) add_ones<R, terms, 1>(in_lanes<R>(rule), c, at, u);
            for (; u + together <= units; u += together) add_ones<Real, terms, together>(rule, c, at, u);
        }
        for (; u < units; ++u) add_ones<Real, terms, 1>(rule, c, at, u);
    }

private:
    // Of n vectors of units, or of n units, side by side.
    template <class T, Terms terms, int n>
    void add_ones(const Rule<T>& rule, const RowFactors<Real>& c, const Weights<Real>& intercept, std::int64_t u) {
        constexpr int elements = Lane<T>::width;
        T sum[n];
        ASGD_UNROLL
        for (int i = 0; i < n; ++i) sum[i] = before_ones<terms>(load<T>(intercept.low + u + i * elements));
        const Real* factor = c.c + u * c.unit_stride;
        for (std::int64_t s = 0; s < batch; ++s, factor += c.sample_stride) ASGD_UNROLL
        for (int i = 0; i < n; ++i) sum[i] = sum[i] + load<T>(factor + i * elements * c.unit_stride);
        ASGD_UNROLL
        for (int i = 0; i < n; ++i) store_after_rows<terms>(rule, sum[i], intercept.from(u + i * elements));
    }

    void add_intercepts(const Real* x, std::int64_t first, std::int64_t n) {
        const int last = layout.layers - 1;
        for (std::int64_t k = 0; k < layout.units[last]; ++k) {
            const Real intercept = x[layout.intercept[last] + k];
            Real* const z = b.output + k * b.samples + first;
            for (std::int64_t s = 0; s < n; ++s) z[s] = z[s] + intercept;
        }
    }

    void through_activations(int k) {
        const std::int64_t n = batch * layout.row[k + 1];
        for (std::int64_t i = 0; i < n; i += width) {
            const R a = load<R>(b.hidden[k] + i), delta = load<R>(b.delta[k] + i);
            with_kind(state.network.activation,
                      [&](auto activation) { store(b.delta[k] + i, through_activation<activation.value>(a, delta)); });
        }
    }
};

ASGD_ISA_NAMESPACE_END
