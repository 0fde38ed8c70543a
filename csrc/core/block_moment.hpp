// The moments of one block of replicates, summed pairwise in a fixed order (docs/stream.md, "Statistics"). Included by
// the instruction-set units: plain loops without dependences, which compilers turn into vector code.
#pragma once

#include "moments.hpp"
#include "portable.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Sum of all slots, in place.
ASGD_FN double fold_block(double* slots) {
    for (int w = int(block_replicates) / 2; w > 0; w /= 2)
        for (int i = 0; i < w; ++i) slots[i] += slots[i + w];
    return slots[0];
}

// Values of replicates in slots first_slot .. first_slot + n - 1 (slot: replicate number mod block_replicates).
template <class Real>
static Moment block_moment(const Real* values, std::int64_t first_slot, std::int64_t n) {
    constexpr int size = int(block_replicates), lanes = 16;
    const double largest = __DBL_MAX__;
    // All slots; absent ones are infinite here, so that they count as little as diverged ones.
    alignas(64) double all[size], slots[size];
    const int first = int(first_slot), stop = first + int(n);
    for (int i = 0; i < first; ++i) all[i] = __builtin_inf();
    for (int i = first; i < stop; ++i) all[i] = double(values[i - first]);
    for (int i = stop; i < size; ++i) all[i] = __builtin_inf();

    double count[lanes], minimum[lanes], maximum[lanes];
    for (int k = 0; k < lanes; ++k) {
        count[k] = 0;
        minimum[k] = __builtin_inf();
        maximum[k] = -__builtin_inf();
    }
    for (int i = 0; i < size; i += lanes)
        for (int k = 0; k < lanes; ++k) {
            const double value = all[i + k];
            const bool finite = __builtin_fabs(value) <= largest;
            const double low = finite ? value : __builtin_inf(), high = finite ? value : -__builtin_inf();
            slots[i + k] = finite ? value : 0.0;
            count[k] += finite ? 1.0 : 0.0;
            minimum[k] = low < minimum[k] ? low : minimum[k];
            maximum[k] = high > maximum[k] ? high : maximum[k];
        }
    Moment m;
    for (int k = 0; k < lanes; ++k) {
        m.count += std::int64_t(count[k]);
        m.minimum = minimum[k] < m.minimum ? minimum[k] : m.minimum;
        m.maximum = maximum[k] > m.maximum ? maximum[k] : m.maximum;
    }
    m.diverged = n - m.count;
    if (m.count == 0) return m;
    m.mean = fold_block(slots) / double(m.count);
    for (int i = 0; i < size; ++i) {
        const double deviation = all[i] - m.mean;
        slots[i] = __builtin_fabs(all[i]) <= largest ? deviation * deviation : 0.0;
    }
    m.m2 = fold_block(slots);
    return m;
}

ASGD_ISA_NAMESPACE_END
