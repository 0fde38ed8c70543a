// Metrics of recorded points: passes over the rows of a data set for many trajectories at once. Included by
// data_runner.hpp.
#pragma once

#include "column_evaluation.hpp"
#include "data_pass.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class DataEvaluation {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataPass<R>& pass;
    ColumnEvaluation<R> columns{state};
    const EnsembleSpec& e;
    DataBuffers<R>& b;
    const NetworkLayout& layout;
    const std::int64_t replicates;
    const Real* row_weight = nullptr;  // [sample], of the rows at work

public:
    DataEvaluation(DataState<R>& data_state, DataPass<R>& data_pass)
        : state(data_state),
          pass(data_pass),
          e(state.e),
          b(state.b),
          layout(state.layout),
          replicates(state.replicates) {}

    // The metrics of one data set at all points of the task.
    void evaluate(const Real* points, bool test) {
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = begin + 1;
            while (end < b.configs && b.problem[end] == b.problem[begin]) ++end;
            const DataView& data = test ? state.problem(begin).test : state.problem(begin).train;
            const std::int64_t first = begin * replicates, stop = end * replicates;
            evaluate_rows(points, columns.evaluate(points, first, stop, data), stop, data);
            if (state.stopped()) return;
            for (std::int64_t c = begin; c < end; ++c)
                for (std::int64_t r = 0; r < replicates; ++r) finish(points, c, r, data, test);
        }
    }

    // Metrics of one's own at all points of the task.
    void evaluate_own(const Real* points) {
        Real* const values = b.recorded[int(Metric::own)];
        for (std::int64_t first = 0; first < b.trajectories; first += width) {
            const std::int64_t n = b.trajectories - first < width ? b.trajectories - first : width;
            if (state.network.taken_count > 0)
                take_parts(state.network, layout, b.method, b.trajectories, replicates, first, n,
                           b.own_metrics.state(e.problems.dimension));
            b.own_metrics.evaluate(layout, points + first * layout.size, n, values + first, b.trajectories);
            if (state.stopped_after(n * e.problems.dimension)) return;
        }
    }

private:
    // The sums of losses, and hits, of all rows at points first .. stop - 1.
    void evaluate_rows(const Real* points, std::int64_t first, std::int64_t stop, const DataView& data) {
        if (first == stop) return;
        for (std::int64_t i = first * row_multiple; i < stop * row_multiple; ++i) b.loss[i] = b.hits[i] = 0;
        for (std::int64_t begin = 0; begin < data.rows; begin += evaluated_rows) {
            const std::int64_t n = data.rows - begin < evaluated_rows ? data.rows - begin : evaluated_rows;
            for (std::int64_t s = 0; s < evaluated_rows; ++s) {
                const std::int64_t i = begin + (s < n ? s : n - 1);
                b.row[s] = static_cast<const Real*>(data.features) + i * layout.row[0];
                b.target[s] = static_cast<const Real*>(data.targets)[i];
                if (data.row_weights != nullptr) b.row_weight[s] = static_cast<const Real*>(data.row_weights)[i];
            }
            row_weight = data.row_weights != nullptr ? b.row_weight : nullptr;
            add_rows(points, first, stop, n);
            if (state.stopped_after((stop - first) * n * e.problems.dimension)) return;
        }
    }

    // Adds the losses of the rows in b.row, n of them, at points first .. stop - 1.
    void add_rows(const Real* points, std::int64_t first, std::int64_t stop, std::int64_t n) {
        const bool together = b.linear && layout.units[0] == 1;
        const std::int64_t group = together ? most_products / evaluated_rows : 1;
        alignas(64) Real z[most_products];
        for (std::int64_t p = first; p < stop && !state.stopped(); p += group) {
            const std::int64_t count = stop - p < group ? stop - p : group;
            if (!together) {
                pass.network_outputs(points + p * layout.size, b.row, evaluated_rows);
                if (state.stopped_after(0)) return;
                own_losses(b.output, 1);
                add_losses(b.output, p, n);
                continue;
            }
            for (std::int64_t i = 0; i < count; ++i) b.unit[i] = points + (p + i) * layout.size;
            products<R>(b.row, evaluated_rows, b.unit, count, layout.row[0], b.panel, {z, 1, evaluated_rows});
            for (std::int64_t i = 0; layout.has_intercept && i < count; ++i) {
                const R intercept = set1<R>(b.unit[i][layout.intercept[0]]);
                for (std::int64_t s = 0; s < evaluated_rows; s += width) {
                    Real* const value = z + i * evaluated_rows + s;
                    store(value, load<R>(value) + intercept);
                }
            }
            own_losses(z, count);
            for (std::int64_t i = 0; i < count; ++i) add_losses(z + i * evaluated_rows, p + i, n);
        }
    }

    // Outputs of the rows at so many points become losses where these are one's own.
    void own_losses(Real* z, std::int64_t points) {
        if (state.network.loss == Loss::own)
            b.own_loss.evaluate(z, points * evaluated_rows,
                                [&](std::int64_t s) { return load<R>(b.target + s % evaluated_rows); });
    }

    // Losses, and hits, of the first n of evaluated_rows samples with outputs z; of one's own loss, z are the losses.
    void add_losses(const Real* z, std::int64_t point, std::int64_t n) {
        alignas(64) Real losses[evaluated_rows], hits[evaluated_rows];
        const int outputs = int(layout.units[layout.layers - 1]);
        with_kind(state.network.loss, [&](auto loss) {
            for (std::int64_t s = 0; s < evaluated_rows; s += width) {
                const R y = load<R>(b.target + s);
                if constexpr (loss.value == Loss::own) {
                    store(losses + s, load<R>(z + s));
                    store(hits + s, set1<R>(0));
                } else {
                    store(losses + s, loss_of_outputs<loss.value, R>(z + s, b.samples, outputs, y));
                    store(hits + s, target_predicted<loss.value, R>(z + s, b.samples, outputs, y));
                }
            }
        });
        double* const sum = b.loss + point * row_multiple;
        for (std::int64_t s = 0; s < n; ++s)
            sum[s] = row_weight == nullptr ? sum[s] + double(losses[s])
                                           : add_loss(sum[s], double(losses[s]), double(row_weight[s]));
        for (std::int64_t s = 0; s < n; ++s) b.hits[point * row_multiple + s] += double(hits[s]);
    }

    // The metrics of one trajectory from its sums.
    void finish(const Real* points, std::int64_t c, std::int64_t r, const DataView& data, bool test) {
        const std::int64_t point = c * replicates + r;
        const bool penalised = !test && state.problem(c).l2 > 0;
        const Evaluation evaluation{fold_row(b.loss + point * row_multiple) / double(data.rows),
                                    fold_row(b.hits + point * row_multiple) / double(data.rows),
                                    penalised ? squared_weights(points + point * layout.size) : 0};
        for (std::int64_t m = 0; m < e.metric_count; ++m)
            if (e.metrics[m] != Metric::own && is_of_test(e.metrics[m]) == test)
                b.recorded[int(e.metrics[m])][point] = Real(metric_value(e.metrics[m], evaluation, state.problem(c)));
    }

    double squared_weights(const Real* x) {
        double acc[row_multiple] = {};
        for (int k = 0; k < layout.layers; ++k)
            for (std::int64_t i = layout.weights[k]; i < layout.intercept[k]; i += row_multiple)
                for (int l = 0; l < row_multiple; ++l) {
                    const double w = double(x[i + l]);
                    acc[l] = __builtin_fma(w, w, acc[l]);
                }
        return fold_row(acc);
    }
};

ASGD_ISA_NAMESPACE_END
