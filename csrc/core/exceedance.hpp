// In which bin of the grid of docs/stream.md, "Statistics", a recorded value is counted. Included by the engine and by
// the kernel that counts.
#pragma once

#include "moments.hpp"
#include "portable.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Of a double, or of a float as a double.
ASGD_FN std::int64_t exceedance_bin(double value) {
    constexpr int shift = 52 - 4;  // leaves sign, exponent and a number below exceedance_steps
    static_assert(exceedance_steps == std::int64_t(1) << (52 - shift), "a bin is a number of leading bits");
    static_assert(exceedance_octaves == 2 * 64, "half of them below 1");
    constexpr double lowest = 0x1p-64;
    if (!(value < 1 / lowest) || value < -__DBL_MAX__) return exceedance_bins - 1;
    if (value < lowest) return 0;
    return 1 + std::int64_t((bit_cast<std::uint64_t>(value) >> shift) - (bit_cast<std::uint64_t>(lowest) >> shift));
}

ASGD_ISA_NAMESPACE_END
