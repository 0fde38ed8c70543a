// From a kind known at run time to one known at compile time. Included by what chooses code by kind.
#pragma once

#include "kinds.hpp"
#include "portable.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <auto kind>
struct KindConstant {
    static constexpr auto value = kind;
};

// with_kind(kind, f) is f(KindConstant<kind>()); f is compiled for every kind of the enumeration.
#define ASGD_KIND_CASE(name) \
    case Enum::name: return f(KindConstant<Enum::name>());
#define ASGD_WITH_KIND(Name, cases)          \
    template <class F>                       \
    ASGD_FN auto with_kind(Name kind, F f) { \
        using Enum = Name;                   \
        switch (kind) { cases }              \
        __builtin_unreachable();             \
    }
ASGD_KINDS(ASGD_WITH_KIND, ASGD_KIND_CASE)
#undef ASGD_WITH_KIND
#undef ASGD_KIND_CASE

ASGD_ISA_NAMESPACE_END
