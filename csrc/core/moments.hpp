// Moments of recorded values: one block's reduction and the merging of two, in a fixed order, so that the bits do not
// depend on threads or splits (docs/stream.md, "Statistics"). Baseline code for the engine; no instruction-set unit
// includes this.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "spec.hpp"

namespace anneal_sgd {

struct Moment {
    std::int64_t count = 0, diverged = 0;  // finite values, and the others
    double mean = 0, m2 = 0;               // m2: sum of squared deviations from the mean
    double minimum = std::numeric_limits<double>::infinity(), maximum = -std::numeric_limits<double>::infinity();
};

// Chan, Golub and LeVeque (1979), eq. 1.5.
inline Moment merge(const Moment& a, const Moment& b) {
    Moment m;
    m.count = a.count + b.count;
    m.diverged = a.diverged + b.diverged;
    m.minimum = a.minimum < b.minimum ? a.minimum : b.minimum;
    m.maximum = a.maximum > b.maximum ? a.maximum : b.maximum;
    if (a.count == 0 || b.count == 0) {
        m.mean = a.count == 0 ? b.mean : a.mean;
        m.m2 = a.count == 0 ? b.m2 : a.m2;
        return m;
    }
    const double share = double(b.count) / double(m.count), delta = b.mean - a.mean;
    m.mean = a.mean + delta * share;
    m.m2 = (a.m2 + b.m2) + (delta * delta) * (double(a.count) * share);
    return m;
}

// Pairwise sum of n <= block_replicates values in place; absent slots count as zeros, which change no bit.
inline double fold_block(double* slots, std::int64_t n) {
    for (std::int64_t w = block_replicates / 2; w > 0; w /= 2) {
        const std::int64_t pairs = n - w < w ? n - w : w;
        for (std::int64_t i = 0; i < pairs; ++i) slots[i] += slots[i + w];
        n = n < w ? n : w;
    }
    return slots[0];
}

// Values of replicates in slots first_slot .. first_slot + n - 1 of one block (slot: replicate number mod
// block_replicates).
template <class Real>
Moment block_moment(const Real* values, std::int64_t first_slot, std::int64_t n) {
    double slots[block_replicates];
    std::fill_n(slots, first_slot, 0.0);
    double* const present = slots + first_slot;
    Moment m;
    for (std::int64_t i = 0; i < n; ++i) {
        const double value = double(values[i]);
        const bool finite = std::isfinite(value);
        present[i] = finite ? value : 0.0;
        m.count += finite;
        m.minimum = finite && value < m.minimum ? value : m.minimum;
        m.maximum = finite && value > m.maximum ? value : m.maximum;
    }
    m.diverged = n - m.count;
    if (m.count == 0) return m;
    m.mean = fold_block(slots, first_slot + n) / double(m.count);
    std::fill_n(slots, first_slot, 0.0);
    for (std::int64_t i = 0; i < n; ++i) {
        const double value = double(values[i]), deviation = value - m.mean;
        present[i] = std::isfinite(value) ? deviation * deviation : 0.0;
    }
    m.m2 = fold_block(slots, first_slot + n);
    return m;
}

}  // namespace anneal_sgd
