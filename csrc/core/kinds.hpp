// Every kind that a call is made of, listed once: the enumerations, the names that Python sees and with_kind
// (with_kind.hpp) follow from the table. Plain data without code, for every layer. How to add one: CONTRIBUTING.md.
#pragma once

// enumeration(its name, its kinds). The order is that of the values.
// clang-format off: a row for each
#define ASGD_KINDS(enumeration, kind)                                                                                \
    enumeration(ProblemKind, kind(absolute_value) kind(quadratic) kind(huber))                                       \
    enumeration(NoiseKind, kind(none) kind(rademacher) kind(gaussian) kind(uniform))                                 \
    enumeration(ProjectionKind, kind(none) kind(box) kind(ball))                                                     \
    enumeration(ScheduleKind, kind(constant) kind(inverse_power) kind(polynomial) kind(linear) kind(cosine)          \
                              kind(one_minus_sqrt) kind(exponential) kind(step_decay) kind(warmup_stable_decay)      \
                              kind(tabulated) kind(knots) kind(per_step))                                            \
    enumeration(CooldownShape, kind(linear) kind(cosine) kind(one_minus_sqrt))                                       \
    enumeration(Iterate, kind(last) kind(average) kind(tail_average) kind(ema) kind(polynomial_average))             \
    enumeration(Precision, kind(float32) kind(float64))                                                              \
    enumeration(Loss, kind(squared) kind(logistic) kind(hinge) kind(softmax) kind(own))                              \
    enumeration(Activation, kind(relu) kind(tanh))                                                                   \
    enumeration(Sampling, kind(with_replacement) kind(reshuffling) kind(sequential))                                 \
    enumeration(Metric, kind(suboptimality) kind(loss) kind(test_loss) kind(test_accuracy) kind(value) kind(own))    \
    enumeration(Operation, kind(negative) kind(absolute) kind(sign) kind(sqrt) kind(exp) kind(log) kind(sin)         \
                           kind(cos) kind(tanh) kind(power) kind(add) kind(subtract) kind(multiply) kind(divide)     \
                           kind(minimum) kind(maximum) kind(less) kind(fma) kind(select) kind(sum)                   \
                           kind(sum_product) kind(max) kind(min) kind(first_max) kind(first_min) kind(matvec)        \
                           kind(embed) kind(rint) kind(arctan) kind(erf))                                            \
    enumeration(DrawKind, kind(gaussian) kind(rademacher) kind(uniform) kind(unit))
// clang-format on

namespace anneal_sgd {

#define ASGD_ENUMERATOR(name) name,
#define ASGD_ENUMERATION(Name, kinds) enum class Name { kinds };
ASGD_KINDS(ASGD_ENUMERATION, ASGD_ENUMERATOR)
#undef ASGD_ENUMERATION
#undef ASGD_ENUMERATOR

// Their names: of the enumeration and, by value, of its kinds.
template <class Enum>
struct KindNames;
#define ASGD_KIND_NAME(name) #name,
#define ASGD_KIND_NAMES(Name, names)                      \
    template <>                                           \
    struct KindNames<Name> {                              \
        static constexpr const char* enumeration = #Name; \
        static constexpr const char* kinds[] = {names};   \
    };
ASGD_KINDS(ASGD_KIND_NAMES, ASGD_KIND_NAME)
#undef ASGD_KIND_NAMES
#undef ASGD_KIND_NAME

template <class Enum>
inline constexpr int kind_count = int(sizeof(KindNames<Enum>::kinds) / sizeof(const char*));

// For the last branch of an `if constexpr` over kinds, which an unknown one reaches: static_assert(known<kind>, ..).
template <auto kind>
inline constexpr bool known = false;

}  // namespace anneal_sgd
