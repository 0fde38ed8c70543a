// The metrics of a problem on data, from sums over its rows (docs/stream.md, "Recorded"). Included by the runners.
#pragma once

#include "elementary.hpp"
#include "spec.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// The sum of losses and one more, of a row of that weight; nothing where that is 0.
ASGD_FN double add_loss(double sum, double loss, double row_weight) {
    return row_weight > 0 ? fma(row_weight, loss, sum) : sum;
}

// What one pass over the rows found at a point.
struct Evaluation {
    double mean_loss;
    double share_predicted;  // of the rows
    double squared_weights;  // of training rows, with l2 > 0
};

// The training loss with its penalty.
ASGD_FN double objective_of(const Evaluation& v, const DataProblem& problem) {
    return problem.l2 > 0 ? v.mean_loss + 0.5 * problem.l2 * v.squared_weights : v.mean_loss;
}

ASGD_FN double metric_value(Metric metric, const Evaluation& v, const DataProblem& problem) {
    switch (metric) {
        case Metric::suboptimality: {
            const double above = objective_of(v, problem) - problem.minimum;
            return above < 0 ? 0 : above;
        }
        case Metric::loss: return objective_of(v, problem);
        case Metric::test_loss: return v.mean_loss;
        case Metric::test_accuracy:
            return absolute(v.mean_loss) <= 0x1.fffffffffffffp+1023 ? v.share_predicted : __builtin_nan("");
        case Metric::value:
        case Metric::own: break;  // programs
    }
    __builtin_unreachable();
}

ASGD_ISA_NAMESPACE_END
