// How a step moves a number, over a lane type: the only place that knows it (docs/stream.md, "One step" and "Problems
// on data"). Included by the runners and the kernels.
//
// Increments may be far below the spacing of numbers at x, as at the end of a schedule that anneals or in a long
// horizon: what x cannot take of one is carried to the next in `low` (Kahan's summation), so that x + low moves as if
// it had twice the digits. A projection acts on x alone.
#pragma once

#include "lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// x + y rounded, and in `low` what that lost of y. With y = -lr g + low, the increment of a step.
template <class R>
ASGD_FN R moved(R x, R y, R& low) {
    const R sum = x + y;
    low = y - (sum - x);
    return sum;
}

// What a step does to a weight of a problem on data. Factors of rows include -lr, but for momentum.
template <class R>
struct Rule {
    R decay;  // lambda = l2 + weight_decay, times -lr without momentum
    R minus_lr, mu;
    bool nesterov;
};

// Which terms a step has, so that loops are compiled for each; `gradient`: none is taken, and the sum goes to the place
// of the velocity.
enum class Terms { rows, rows_and_decay, momentum, gradient };

// What the rows of a batch are added to.
template <Terms terms, class R>
ASGD_FN R before_rows(const Rule<R>& rule, R w, R low) {
    if constexpr (terms == Terms::momentum || terms == Terms::gradient) return rule.decay * w;
    if constexpr (terms == Terms::rows_and_decay) return fma(rule.decay, w, low);
    return low;
}

// The same for an intercept, which neither l2 nor weight decay touches.
template <Terms terms, class R>
ASGD_FN R before_ones(R low) {
    return terms == Terms::momentum || terms == Terms::gradient ? set1<R>(0) : low;
}

// The new weight, from what before_rows began and the rows were added to.
template <Terms terms, class R>
ASGD_FN R after_rows(const Rule<R>& rule, R sum, R w, R& low, R& velocity) {
    if constexpr (terms == Terms::momentum) {
        velocity = fma(rule.mu, velocity, sum);
        sum = fma(rule.minus_lr, rule.nesterov ? fma(rule.mu, velocity, sum) : velocity, low);
    }
    return moved(w, sum, low);
}

ASGD_ISA_NAMESPACE_END
