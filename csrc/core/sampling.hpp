// Which row of the data a trajectory takes as its q-th sample (docs/stream.md, "Samples"). Included by the runners.
//
// With replacement: the high half of word * rows, so a row's probability is off by at most 2^-32 absolute. Reshuffling:
// epoch by epoch, a permutation of the rows that is a function of the position and sixteen key words; nothing is
// stored. Sequential: q mod rows.
#pragma once

#include "philox.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// The last counter of Philox: coordinate + (purpose << 24).
inline constexpr uint32_t substream_of_samples = 1u << 24, substream_of_epochs = 2u << 24,
                          substream_of_start = 3u << 24;

inline constexpr int shuffle_rounds = 16;  // fewer show in how often each order of 5 rows comes (12: by 3 %)
inline constexpr int calls_per_epoch = shuffle_rounds / 4;

// Positions are pairs (high, low) = divmod(position, columns) on a grid of rows x columns cells, as square as can be.
struct ShuffleGrid {
    uint32_t count, rows, columns;
};

ASGD_FN ShuffleGrid shuffle_grid(uint32_t count) {
    uint32_t root = uint32_t(__builtin_sqrt(double(count)));
    if (uint64_t(root) * root < count) ++root;
    return {count, (count + root - 1) / root, root};
}

// A number in 0 .. range - 1 that depends on x and the key in no simple way.
ASGD_FN uint32_t scattered(uint32_t x, uint32_t key, uint32_t range) {
    uint32_t u = (x ^ key) * 0x9E3779B1u;  // odd: 2^32 / golden ratio
    u ^= u >> 15;
    u *= 0x85EBCA77u;  // odd, as in the finalisers of MurmurHash and xxHash
    u ^= u >> 13;
    return uint32_t((uint64_t(u * 0xC2B2AE3Du) * range) >> 32);
}

// One pass over the grid: a Feistel network whose halves are added modulo their ranges, so it is a permutation of
// cells.
ASGD_FN void shuffle_pass(const ShuffleGrid& grid, const uint32_t* keys, int key_stride, uint32_t& high,
                          uint32_t& low) {
    ASGD_UNROLL
    for (int r = 0; r < shuffle_rounds; r += 2) {
        high += scattered(low, keys[r * key_stride], grid.rows);
        high = high >= grid.rows ? high - grid.rows : high;
        low += scattered(high, keys[(r + 1) * key_stride], grid.columns);
        low = low >= grid.columns ? low - grid.columns : low;
    }
}

ASGD_ISA_NAMESPACE_END
