// Which of two ways is the faster one on the processor at hand: it is asked where none is on all.
#pragma once

#include "../core/portable.hpp"
#include "kernels.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Whether the second one takes less time than the first, each the least of a few turns; no where there is no clock.
template <class First, class Second>
ASGD_FN bool second_is_faster(const First& first, const Second& second) {
    std::uint64_t least_first = ~std::uint64_t(0), least_second = least_first;
    for (int turn = 0; turn < 4; ++turn) {
        const std::uint64_t begin = ASGD_TICKS();
        first();
        const std::uint64_t middle = ASGD_TICKS();
        second();
        const std::uint64_t end = ASGD_TICKS();
        if (middle - begin < least_first) least_first = middle - begin;
        if (end - middle < least_second) least_second = end - middle;
    }
    return least_second < least_first;
}

// The answer, unless a test gives it.
ASGD_FN bool takes_second(bool second_is_faster) {
    const int way = __atomic_load_n(&way_to_test, __ATOMIC_RELAXED);
    return way == 0 ? second_is_faster : way == 2;
}

ASGD_ISA_NAMESPACE_END
