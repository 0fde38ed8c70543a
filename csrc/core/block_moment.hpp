// The moments of one block of replicates, summed pairwise in a fixed order (docs/stream.md, "Statistics"). Included by
// the instruction-set units: plain loops without dependences, which compilers turn into vector code.
#pragma once

#include "moments.hpp"
#include "portable.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int slots_per_row = 16, rows_per_block = int(block_replicates) / slots_per_row;

struct SlotRow {
    double v[slots_per_row];
};

ASGD_FN SlotRow operator+(const SlotRow& a, const SlotRow& b) {
    SlotRow sum;
    for (int k = 0; k < slots_per_row; ++k) sum.v[k] = a.v[k] + b.v[k];
    return sum;
}

inline constexpr int few_rows = rows_per_block / 8;

// Sum of all slots, slot i to slot i + w for w = 512, 256, ..., 1, where row(r) has slots 16 r .. 16 r + 15: eight rows
// at a time, so that sums stay in registers. Where only the first few_rows or less, a power of two, have values, what
// the others would add is 0, which takes the sign of -0.
template <class F>
ASGD_FN double fold_block(int rows, F row) {
    SlotRow sums[few_rows];
    if (rows <= few_rows) {
        const SlotRow nothing{};
        for (int r = 0; r < rows; ++r) sums[r] = row(r) + nothing;
    } else {
        for (int r = 0; r < few_rows; ++r) {
            constexpr int n = few_rows;
            const SlotRow a = (row(r) + row(r + 4 * n)) + (row(r + 2 * n) + row(r + 6 * n));
            const SlotRow b = (row(r + n) + row(r + 5 * n)) + (row(r + 3 * n) + row(r + 7 * n));
            sums[r] = a + b;
        }
        rows = few_rows;
    }
    for (int w = rows / 2; w > 0; w /= 2)
        for (int r = 0; r < w; ++r) sums[r] = sums[r] + sums[r + w];
    for (int w = slots_per_row / 2; w > 0; w /= 2)
        for (int k = 0; k < w; ++k) sums[0].v[k] += sums[0].v[k + w];
    return sums[0].v[0];
}

// A block whose sum overflows is summed scaled by this, and its mean does not overflow.
inline constexpr double sum_scale = 1.0 / double(block_replicates);

// The mean from the scaled sum; rounding takes it no further than the extremes.
ASGD_FN double unscaled_mean(double scaled_sum, double count, double minimum, double maximum) {
    const double mean = scaled_sum / count, low = minimum * sum_scale, high = maximum * sum_scale;
    return (mean < low ? low : mean > high ? high : mean) / sum_scale;
}

// Values of replicates in slots first_slot .. first_slot + n - 1 (slot: replicate number mod block_replicates).
template <class Real>
static Moment block_moment(const Real* values, std::int64_t first_slot, std::int64_t n) {
    constexpr double largest = __DBL_MAX__, infinity = __builtin_inf();
    // Absent slots are infinite, so that they count as little as diverged ones.
    alignas(64) Real padded[block_replicates];
    int rows = rows_per_block;
    if (first_slot + n <= few_rows * slots_per_row)
        for (rows = 1; rows * slots_per_row < first_slot + n;) rows *= 2;
    if (n < block_replicates) {
        for (int i = 0; i < rows * slots_per_row; ++i) padded[i] = Real(infinity);
        memcpy(padded + first_slot, values, sizeof(Real) * std::size_t(n));
        values = padded;
    }

    SlotRow count, minimum, maximum;
    for (int k = 0; k < slots_per_row; ++k) {
        count.v[k] = 0;
        minimum.v[k] = infinity;
        maximum.v[k] = -infinity;
    }
    const double sum = fold_block(rows, [&](int r) {
        SlotRow row;
        for (int k = 0; k < slots_per_row; ++k) {
            const double value = double(values[r * slots_per_row + k]);
            const bool finite = __builtin_fabs(value) <= largest;
            const double low = finite ? value : infinity, high = finite ? value : -infinity;
            count.v[k] += finite ? 1.0 : 0.0;
            minimum.v[k] = low < minimum.v[k] ? low : minimum.v[k];
            maximum.v[k] = high > maximum.v[k] ? high : maximum.v[k];
            row.v[k] = finite ? value : 0.0;
        }
        return row;
    });
    Moment m;
    for (int k = 0; k < slots_per_row; ++k) {
        m.count += std::int64_t(count.v[k]);
        m.minimum = minimum.v[k] < m.minimum ? minimum.v[k] : m.minimum;
        m.maximum = maximum.v[k] > m.maximum ? maximum.v[k] : m.maximum;
    }
    m.diverged = n - m.count;
    if (m.count == 0) return m;
    if (__builtin_fabs(sum) <= largest) {
        m.mean = sum / double(m.count);
    } else {
        const double scaled_sum = fold_block(rows, [&](int r) {
            SlotRow row;
            for (int k = 0; k < slots_per_row; ++k) {
                const double value = double(values[r * slots_per_row + k]);
                row.v[k] = __builtin_fabs(value) <= largest ? value * sum_scale : 0.0;
            }
            return row;
        });
        m.mean = unscaled_mean(scaled_sum, double(m.count), m.minimum, m.maximum);
    }
    m.m2 = fold_block(rows, [&](int r) {
        SlotRow row;
        for (int k = 0; k < slots_per_row; ++k) {
            const double value = double(values[r * slots_per_row + k]), deviation = value - m.mean;
            row.v[k] = __builtin_fabs(value) <= largest ? deviation * deviation : 0.0;
        }
        return row;
    });
    return m;
}

ASGD_ISA_NAMESPACE_END
