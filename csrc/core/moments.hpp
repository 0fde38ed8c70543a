// Moments of recorded values and how two of them merge (docs/stream.md, "Statistics"). Plain code for every layer; the
// reduction of one block is in block_moment.hpp.
#pragma once

#include <cstdint>

#include "spec.hpp"

namespace anneal_sgd {

struct Moment {
    std::int64_t count = 0, diverged = 0;  // finite values, and the others
    double mean = 0, m2 = 0;               // m2: sum of squared deviations from the mean
    double minimum = __builtin_inf(), maximum = -__builtin_inf();
};

// Values are counted in bins that begin at 2^e (1 + m / 16), e = -64 .. 63 and m = 0 .. 15: those below the first of
// these numbers, negative ones too, in bin 0, those from 2^64 on in the last one, with what is not finite. Which bin is
// in exceedance.hpp.
inline constexpr std::int64_t exceedance_steps = 16, exceedance_octaves = 128;
inline constexpr std::int64_t exceedance_bins = exceedance_steps * exceedance_octaves + 2;

// Chan, Golub and LeVeque (1979), eq. 1.5. `static`: every unit has its own, compiled with its own flags.
[[maybe_unused]] static inline Moment merge(const Moment& a, const Moment& b) {
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
    const double weight = double(a.count) * share, square = delta * delta;
    m.mean = a.mean + delta * share;
    // The weight may be below 1: what it brings back into range must not overflow before.
    m.m2 = (a.m2 + b.m2) + (square <= __DBL_MAX__ ? square * weight : (delta * weight) * delta);
    return m;
}

}  // namespace anneal_sgd
