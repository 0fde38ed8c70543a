// What the operations of a program compute, over a lane type (docs/stream.md, "Programs"): the only place that knows
// their formulas. Included by the runners of programs.
#pragma once

#include "functions.hpp"
#include "with_kind.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// How many operands an operation has that are taken number by number; the others say in a comment what they do.
constexpr int elementwise_operands(Operation operation) {
    switch (operation) {
        case Operation::negative:
        case Operation::absolute:
        case Operation::sign:
        case Operation::sqrt:
        case Operation::exp:
        case Operation::log:
        case Operation::sin:
        case Operation::cos:
        case Operation::tanh:
        case Operation::rint:
        case Operation::arctan:
        case Operation::erf:
        case Operation::power: return 1;  // with number `first` as exponent
        case Operation::add:
        case Operation::subtract:
        case Operation::multiply:
        case Operation::divide:
        case Operation::minimum:
        case Operation::maximum:
        case Operation::less: return 2;
        case Operation::fma:
        case Operation::select: return 3;
        case Operation::sum:          // of `count` numbers of a
        case Operation::sum_product:  // of `count` products of a and b
        case Operation::max:          // of `count` numbers of a
        case Operation::min:
        case Operation::first_max:  // 1 at the first largest of a's numbers, 0 elsewhere
        case Operation::first_min:
        case Operation::matvec:  // `length` x `count` matrix, from number `first` on, times a
        case Operation::embed:   // 0, but the `count` numbers of a at `first`, `first` + `step`, ..
            return 0;
    }
    __builtin_unreachable();
}

template <Operation operation, class R>
ASGD_FN R result_of_one(R a, typename Lane<R>::Real exponent) {
    if constexpr (operation == Operation::negative)
        return -a;
    else if constexpr (operation == Operation::absolute)
        return anneal_sgd::ASGD_ISA::absolute(a);
    else if constexpr (operation == Operation::sign)
        return sign(a);
    else if constexpr (operation == Operation::sqrt)
        return anneal_sgd::ASGD_ISA::sqrt(a);
    else if constexpr (operation == Operation::exp)
        return exponential(a);
    else if constexpr (operation == Operation::log)
        return logarithm(a);
    else if constexpr (operation == Operation::sin)
        return sine(a);
    else if constexpr (operation == Operation::cos)
        return cosine(a);
    else if constexpr (operation == Operation::tanh)
        return hyperbolic_tangent(a);
    else if constexpr (operation == Operation::rint)
        return anneal_sgd::ASGD_ISA::rint(a);
    else if constexpr (operation == Operation::arctan)
        return arctangent(a);
    else if constexpr (operation == Operation::erf)
        return error_function(a);
    else if constexpr (operation == Operation::power)
        return real_power(a, exponent);
    else
        static_assert(known<operation>, "result_of_one: no formula for this operation on one number");
}

template <Operation operation, class R>
ASGD_FN R result_of_two(R a, R b) {
    if constexpr (operation == Operation::add)
        return a + b;
    else if constexpr (operation == Operation::subtract)
        return a - b;
    else if constexpr (operation == Operation::multiply)
        return a * b;
    else if constexpr (operation == Operation::divide)
        return a / b;
    else if constexpr (operation == Operation::minimum)
        return minimum(a, b);
    else if constexpr (operation == Operation::maximum)
        return maximum(a, b);
    else if constexpr (operation == Operation::less)
        return select_less(a, b, set1<R>(1), set1<R>(0));
    else
        static_assert(known<operation>, "result_of_two: no formula for this operation on two numbers");
}

template <Operation operation, class R>
ASGD_FN R result_of_three(R a, R b, R c) {
    if constexpr (operation == Operation::fma)
        return anneal_sgd::ASGD_ISA::fma(a, b, c);
    else if constexpr (operation == Operation::select)
        return select_less(set1<R>(0), anneal_sgd::ASGD_ISA::absolute(a), b, c);
    else
        static_assert(known<operation>, "result_of_three: no formula for this operation on three numbers");
}

// --- of several numbers, in order: one more of them at a time

template <Operation operation, class R>
ASGD_FN R extreme_of(R so_far, R a) {
    if constexpr (operation == Operation::max || operation == Operation::first_max)
        return maximum(so_far, a);
    else if constexpr (operation == Operation::min || operation == Operation::first_min)
        return minimum(so_far, a);
    else
        static_assert(known<operation>, "extreme_of: no formula for this operation");
}

// 1 where a is the extreme of its value and nothing before it was, which `found` says and is told.
template <class R>
ASGD_FN R marked_once(R a, R extreme, R& found) {
    const R zero = set1<R>(0), one = set1<R>(1);
    const R is = select_less(a, extreme, zero, select_less(extreme, a, zero, one));
    const R mark = select_less(zero, found, zero, is);
    found = found + mark;
    return mark;
}

// --- what is recorded

// How many of the metrics before metric m are one's own.
ASGD_FN std::int64_t own_before(const Metric* metrics, std::int64_t m) {
    std::int64_t number = 0;
    for (std::int64_t before = 0; before < m; ++before) number += metrics[before] == Metric::own ? 1 : 0;
    return number;
}

// Where `value` leaves the number that metric m of an ensemble is made of: f(x), or that of a metric of one's own.
ASGD_FN Operand recorded_operand(const ProgramSpec& program, const Metric* metrics, std::int64_t m) {
    return metrics[m] != Metric::own ? program.value_result : program.own_results[own_before(metrics, m)];
}

template <class R>
ASGD_FN R recorded_value(Metric metric, R number, R minimum) {
    return metric == Metric::suboptimality ? max_keep_nan(set1<R>(0), number - minimum) : number;
}

ASGD_ISA_NAMESPACE_END
