// Losses of a linear output and activations of hidden units, over a lane type (docs/stream.md, "Networks"). The only
// place that knows their formulas; a loss of one's own is a program, and none of them. Included by the runners of
// problems on data.
//
// z is the output, y the target: a number, a label -1 or +1, or a class. Softmax works on all outputs of a sample,
// which lie `stride` elements apart; lanes run over samples.
#pragma once

#include "elementary.hpp"
#include "network.hpp"
#include "with_kind.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <Loss loss, class R>
ASGD_FN R loss_derivative(R z, R y) {
    const R one = set1<R>(1);
    if constexpr (loss == Loss::squared)
        return z - y;
    else if constexpr (loss == Loss::logistic)
        return -y / (one + exp_clamped(y * z));
    else if constexpr (loss == Loss::hinge)
        return select_less(y * z, one, -y, set1<R>(0));
    else
        static_assert(known<loss>, "loss_derivative: no formula for this loss of one output");
}

template <Loss loss, class R>
ASGD_FN R loss_value(R z, R y) {
    const R one = set1<R>(1), zero = set1<R>(0);
    if constexpr (loss == Loss::squared) {
        const R r = z - y;
        return (r * set1<R>(typename Lane<R>::Real(0.5))) * r;
    } else if constexpr (loss == Loss::logistic) {
        const R m = y * z;
        return max_keep_nan(zero, -m) + natural_log(one + exp_clamped(-absolute(m)));
    } else if constexpr (loss == Loss::hinge) {
        return max_keep_nan(zero, one - y * z);
    } else {
        static_assert(known<loss>, "loss_value: no formula for this loss of one output");
    }
}

// 1 where the label's sign is predicted; an output of 0 predicts -1.
template <class R>
ASGD_FN R label_predicted(R z, R y) {
    const R one = set1<R>(1), zero = set1<R>(0);
    return select_less(zero, z, select_less(zero, y, one, zero), select_less(zero, y, zero, one));
}

// 1 where the class y is k.
template <class R>
ASGD_FN R is_class(R y, int k) {
    using Real = typename Lane<R>::Real;
    const R above = select_less(set1<R>(Real(k) - Real(0.5)), y, set1<R>(1), set1<R>(0));
    return select_less(y, set1<R>(Real(k) + Real(0.5)), above, set1<R>(0));
}

template <class R>
ASGD_FN R largest(const typename Lane<R>::Real* z, std::int64_t stride, int classes) {
    R top = load<R>(z);
    for (int k = 1; k < classes; ++k) top = max_keep_nan(top, load<R>(z + k * stride));
    return top;
}

// Derivatives of the cross-entropy, in place of the outputs.
template <class R>
ASGD_FN void softmax_derivatives(typename Lane<R>::Real* z, std::int64_t stride, int classes, R y) {
    const R top = largest<R>(z, stride, classes);
    R sum = set1<R>(0);
    for (int k = 0; k < classes; ++k) {
        const R e = exp_clamped(load<R>(z + k * stride) - top);
        store(z + k * stride, e);
        sum = sum + e;
    }
    const R scale = set1<R>(1) / sum;
    for (int k = 0; k < classes; ++k) store(z + k * stride, fma(load<R>(z + k * stride), scale, -is_class(y, k)));
}

template <class R>
ASGD_FN R softmax_value(const typename Lane<R>::Real* z, std::int64_t stride, int classes, R y) {
    const R top = largest<R>(z, stride, classes);
    R sum = set1<R>(0), target = set1<R>(0);
    for (int k = 0; k < classes; ++k) {
        const R above = load<R>(z + k * stride) - top;
        sum = sum + exp_clamped(above);
        target = select_less(set1<R>(0), is_class(y, k), above, target);
    }
    return (natural_log(sum) - target) + (sum - sum);  // NaN where an output was: the logarithm would lose it
}

// 1 where the first of the largest outputs is that of class y.
template <class R>
ASGD_FN R class_predicted(const typename Lane<R>::Real* z, std::int64_t stride, int classes, R y) {
    R top = load<R>(z), hit = is_class(y, 0);
    for (int k = 1; k < classes; ++k) {
        const R value = load<R>(z + k * stride);
        hit = select_less(top, value, is_class(y, k), hit);
        top = select_less(top, value, value, top);
    }
    return hit;
}

// --- what holds for any loss: `outputs` of a sample, `stride` elements apart

// Derivatives in place of the outputs.
template <Loss loss, class R>
ASGD_FN void differentiate_outputs(typename Lane<R>::Real* z, std::int64_t stride, int outputs, R y) {
    if constexpr (has_one_output(loss))
        store(z, loss_derivative<loss>(load<R>(z), y));
    else if constexpr (loss == Loss::softmax)
        softmax_derivatives<R>(z, stride, outputs, y);
    else
        static_assert(known<loss>, "differentiate_outputs: no formula for this loss");
}

template <Loss loss, class R>
ASGD_FN R loss_of_outputs(const typename Lane<R>::Real* z, std::int64_t stride, int outputs, R y) {
    if constexpr (has_one_output(loss))
        return loss_value<loss>(load<R>(z), y);
    else if constexpr (loss == Loss::softmax)
        return softmax_value<R>(z, stride, outputs, y);
    else
        static_assert(known<loss>, "loss_of_outputs: no formula for this loss");
}

// 1 where the target is predicted.
template <Loss loss, class R>
ASGD_FN R target_predicted(const typename Lane<R>::Real* z, std::int64_t stride, int outputs, R y) {
    if constexpr (has_one_output(loss))
        return label_predicted(load<R>(z), y);
    else if constexpr (loss == Loss::softmax)
        return class_predicted<R>(z, stride, outputs, y);
    else
        static_assert(known<loss>, "target_predicted: no formula for this loss");
}

// A derivative of a row of that weight: of weight 0 it is 0, whatever it was.
template <class R>
ASGD_FN R weighted(R derivative, R row_weight) {
    return select_less(set1<R>(0), row_weight, row_weight * derivative, set1<R>(0));
}

// --- activations

template <Activation activation, class R>
ASGD_FN R activated(R z) {
    if constexpr (activation == Activation::relu)
        return max_keep_nan(set1<R>(0), z);
    else if constexpr (activation == Activation::tanh)
        return tanh(z);
    else
        static_assert(known<activation>, "activated: no formula for this activation");
}

// The derivative by z, from a = activated(z), times delta.
template <Activation activation, class R>
ASGD_FN R through_activation(R a, R delta) {
    if constexpr (activation == Activation::relu)
        return select_less(set1<R>(0), a, delta, set1<R>(0));
    else if constexpr (activation == Activation::tanh)
        return fma(-a, a, set1<R>(1)) * delta;
    else
        static_assert(known<activation>, "through_activation: no formula for this activation");
}

// The variance of a drawn start of the weights before an activation, times the inputs of their units.
ASGD_FN double start_gain(Activation activation) {
    switch (activation) {
        case Activation::relu: return 2;
        case Activation::tanh: return 1;
    }
    __builtin_unreachable();
}

ASGD_ISA_NAMESPACE_END
