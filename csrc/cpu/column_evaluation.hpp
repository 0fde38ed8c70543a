// Losses of linear models with one output by columns: vectors over points (columns.hpp). Included by
// data_evaluation.hpp.
#pragma once

#include "../core/loss.hpp"
#include "../core/metrics.hpp"
#include "../core/with_kind.hpp"
#include "columns.hpp"
#include "data_state.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class ColumnEvaluation {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataBuffers<R>& b;
    const NetworkLayout& layout;

public:
    explicit ColumnEvaluation(DataState<R>& data_state) : state(data_state), b(state.b), layout(state.layout) {}

    // The sums of losses, and hits, of all rows at points first, first + 1, ..: to b.loss and b.hits. The end of the
    // points that fill vectors; `stop` at most.
    std::int64_t evaluate(const Real* points, std::int64_t first, std::int64_t stop, const DataView& data) {
        constexpr int most = most_column_vectors<R>;
        std::int64_t p = first;
        while (!state.stopped())
            if (stop - p > width && worth(stop - p, most * width))
                p += evaluate_vectors<most>(points, p, stop, data);
            else if (worth(stop - p, width))
                p += evaluate_vectors<1>(points, p, stop, data);
            else
                break;
        return p;
    }

private:
    // Whether so many points by columns are faster than by rows, as measured (bench/NOTES.md): they must fill four
    // fifths of the vectors, and their columns stay in the L1 cache, or in a part of it where one vector loads more
    // than it multiplies.
    bool worth(std::int64_t points, int wide) const {
        const std::int64_t bytes = layout.inputs[0] * wide * std::int64_t(sizeof(Real));
        return width > 1 && b.linear && layout.units[0] == 1 && 5 * points >= 4 * wide &&
               bytes <= (wide > width ? 52 << 10 : 8 << 10);
    }

    // How many points that were.
    template <int vectors>
    int evaluate_vectors(const Real* points, std::int64_t first, std::int64_t stop, const DataView& data) {
        constexpr int wide = vectors * width;
        const int count = int(stop - first < wide ? stop - first : wide);
        alignas(64) Real intercept[wide] = {}, z[evaluated_rows * wide];
        alignas(64) double loss_sum[row_multiple * wide] = {}, hit_sum[row_multiple * wide] = {};
        const auto point = [&](int l) { return points + (first + l) * layout.size; };
        move_columns<R, true>(point, count, wide, layout.row[0], b.point_columns);
        // What pads points is 0, or NaN where a trajectory has diverged, and its outputs are then NaN.
        std::int64_t length = layout.inputs[0];
        for (int l = 0; l < count; ++l)
            for (std::int64_t i = layout.inputs[0]; i < layout.row[0]; ++i)
                if (point(l)[i] != 0) length = layout.row[0];
        for (int l = 0; layout.has_intercept && l < count; ++l) intercept[l] = point(l)[layout.intercept[0]];
        for (std::int64_t begin = 0; begin < data.rows; begin += evaluated_rows) {
            const std::int64_t n = data.rows - begin < evaluated_rows ? data.rows - begin : evaluated_rows;
            const Real* const row = static_cast<const Real*>(data.features) + begin * layout.row[0];
            const Real* const target = static_cast<const Real*>(data.targets) + begin;
            std::int64_t s = 0;
            for (; s + 4 <= n; s += 4) multiply<vectors, 4>(row + s * layout.row[0], length, intercept, z + s * wide);
            for (; s < n; ++s) multiply<vectors, 1>(row + s * layout.row[0], length, intercept, z + s * wide);
            if (state.network.loss == Loss::own)
                b.own_loss.evaluate(z, n * wide, [&](std::int64_t i) { return set1<R>(target[i / wide]); });
            const Real* const row_weight =
                data.row_weights == nullptr ? nullptr : static_cast<const Real*>(data.row_weights) + begin;
            add_losses<wide>(z, target, row_weight, n, loss_sum, hit_sum);
            if (state.stopped_after(count * n * state.e.problems.dimension)) return count;
        }
        for (int l = 0; l < count; ++l)
            for (int s = 0; s < row_multiple; ++s) {
                b.loss[(first + l) * row_multiple + s] = loss_sum[s * wide + l];
                b.hits[(first + l) * row_multiple + s] = hit_sum[s * wide + l];
            }
        return count;
    }

    // Outputs of so many rows at all points: z[row, point].
    template <int vectors, int rows>
    void multiply(const Real* features, std::int64_t length, const Real* intercept, Real* z) {
        const Real* row[rows];
        for (int i = 0; i < rows; ++i) row[i] = features + i * layout.row[0];
        R output[rows * vectors];
        multiply_columns<R, vectors, rows>(row, b.point_columns, length, output);
        for (int i = 0; i < rows * vectors; ++i)
            store(z + i * width,
                  layout.has_intercept ? output[i] + load<R>(intercept + i % vectors * width) : output[i]);
    }

    // Adds losses and hits of n rows with outputs z, each to the accumulator of its place; of one's own loss, z are the
    // losses.
    template <int wide>
    void add_losses(const Real* z, const Real* target, const Real* row_weight, std::int64_t n, double* loss_sum,
                    double* hit_sum) {
        with_kind(state.network.loss, [&](auto loss) {
            if constexpr (loss.value == Loss::own || has_one_output(loss.value))
                for (std::int64_t s = 0; s < n; ++s, z += wide, loss_sum += wide, hit_sum += wide) {
                    alignas(64) Real losses[wide], hits[wide];
                    for (int l = 0; l < wide; l += width) {
                        const R output = load<R>(z + l), y = set1<R>(target[s]);
                        if constexpr (loss.value == Loss::own) {
                            store(losses + l, output);
                            store(hits + l, set1<R>(0));
                        } else {
                            store(losses + l, loss_value<loss.value>(output, y));
                            store(hits + l, label_predicted(output, y));
                        }
                    }
                    if (row_weight == nullptr)
                        for (int l = 0; l < wide; ++l) loss_sum[l] += double(losses[l]);
                    else
                        for (int l = 0; l < wide; ++l)
                            loss_sum[l] = add_loss(loss_sum[l], double(losses[l]), double(row_weight[s]));
                    for (int l = 0; l < wide; ++l) hit_sum[l] += double(hits[l]);
                }
        });
    }
};

ASGD_ISA_NAMESPACE_END
