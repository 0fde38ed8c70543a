// Where the parameters of a feed-forward network lie. Included by the runners of problems on data and by the engine.
//
// A point x lists, layer by layer, the weights, one row per unit, then the intercepts. Kernels hold it padded: every
// row of weights, and the intercepts, are filled up with zeros to a multiple of row_multiple. Zeros stay zeros.
#pragma once

#include "spec.hpp"

namespace anneal_sgd {

struct NetworkLayout {
    int layers;
    std::int64_t inputs[max_layers], units[max_layers];
    std::int64_t row[max_layers];        // length of a padded row of weights
    std::int64_t weights[max_layers];    // offset of the first row
    std::int64_t intercept[max_layers];  // offset of the intercepts
    std::int64_t size;                   // of the padded point
    bool has_intercept;
};

constexpr std::int64_t padded_row(std::int64_t n) { return (n + row_multiple - 1) / row_multiple * row_multiple; }

[[maybe_unused]] static inline NetworkLayout network_layout(const NetworkSpec& n) {
    NetworkLayout l{};
    l.layers = n.layers;
    l.has_intercept = n.intercept;
    for (int k = 0; k < n.layers; ++k) {
        l.inputs[k] = n.sizes[k];
        l.units[k] = n.sizes[k + 1];
        l.row[k] = padded_row(n.sizes[k]);
        l.weights[k] = l.size;
        l.intercept[k] = l.size + l.units[k] * l.row[k];
        l.size = l.intercept[k] + (n.intercept ? padded_row(l.units[k]) : 0);
    }
    return l;
}

// place(coordinate, offset in the padded point, layer, whether it is a weight), coordinate after coordinate.
template <class Place>
static inline void for_each_coordinate(const NetworkLayout& l, Place place) {
    std::int64_t coordinate = 0;
    for (int k = 0; k < l.layers; ++k) {
        for (std::int64_t u = 0; u < l.units[k]; ++u)
            for (std::int64_t i = 0; i < l.inputs[k]; ++i)
                place(coordinate++, l.weights[k] + u * l.row[k] + i, k, true);
        for (std::int64_t u = 0; l.has_intercept && u < l.units[k]; ++u)
            place(coordinate++, l.intercept[k] + u, k, false);
    }
}

// The coordinate of an element of the padded point, which is -1 of one that pads.
struct PaddedElement {
    std::int64_t coordinate;
    int layer;
    bool is_weight;
};

constexpr PaddedElement padded_element(const NetworkLayout& l, std::int64_t offset) {
    std::int64_t coordinate = 0;  // the layer's first
    for (int k = 0; k < l.layers; ++k) {
        if (offset < l.intercept[k]) {
            const std::int64_t unit = (offset - l.weights[k]) / l.row[k];
            const std::int64_t i = offset - l.weights[k] - unit * l.row[k];
            return {i < l.inputs[k] ? coordinate + unit * l.inputs[k] + i : -1, k, true};
        }
        coordinate += l.units[k] * l.inputs[k];
        if (!l.has_intercept) continue;
        const std::int64_t unit = offset - l.intercept[k];
        if (unit < padded_row(l.units[k])) return {unit < l.units[k] ? coordinate + unit : -1, k, false};
        coordinate += l.units[k];
    }
    return {-1, 0, false};
}

// Whether a loss is one of a single output, or of several at a time.
constexpr bool has_one_output(Loss loss) {
    switch (loss) {
        case Loss::squared:
        case Loss::logistic:
        case Loss::hinge:
        case Loss::own: return true;
        case Loss::softmax: return false;
    }
    __builtin_unreachable();
}

// Whether a metric is of the rows held out, or of those that are fitted.
constexpr bool is_of_test(Metric metric) {
    switch (metric) {
        case Metric::suboptimality:
        case Metric::loss:
        case Metric::value:
        case Metric::own: return false;
        case Metric::test_loss:
        case Metric::test_accuracy: return true;
    }
    __builtin_unreachable();
}

// Whether configs of a task that share rows can take their steps with vectors over configs (cpu/column_steps.hpp).
[[maybe_unused]] static inline bool may_go_by_columns(const EnsembleSpec& e) {
    const NetworkSpec& n = *e.problems.network;
    return e.common_random_numbers && n.layers == 1 && n.sizes[1] == 1 &&
           e.problems.projection == ProjectionKind::none && e.iterate == Iterate::last;
}

// Rows that one recorded step evaluates.
[[maybe_unused]] static inline bool records_training(const EnsembleSpec& e) {
    for (std::int64_t m = 0; m < e.metric_count; ++m)
        if (!is_of_test(e.metrics[m]) && e.metrics[m] != Metric::own) return true;
    return false;
}
[[maybe_unused]] static inline bool records_test(const EnsembleSpec& e) {
    for (std::int64_t m = 0; m < e.metric_count; ++m)
        if (is_of_test(e.metrics[m])) return true;
    return false;
}

}  // namespace anneal_sgd
