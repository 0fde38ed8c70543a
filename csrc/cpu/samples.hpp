// Rows of data that replicates take as their samples, for index_replicates replicates at once. Included by
// data_buffers.hpp.
#pragma once

#include "../core/lanes_plain.hpp"
#include "../core/sampling.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int index_replicates = 16;

struct SampleStream {
    const PhiloxKeys& keys;
    uint32_t rows, stream, first_replicate;
};

// Row numbers of samples begin .. end - 1: sample q is at index + (q - begin + begin % 4) * index_replicates, which may
// have 3 more at its end. W: lanes of float32, for words.
template <class W>
ASGD_FN void fill_with_replacement(const SampleStream& s, std::int64_t begin, std::int64_t end, uint32_t* index) {
    for (int v = 0; v < index_replicates; v += Lane<W>::width) {
        const auto replicates = replicate_words<W>(s.first_replicate + uint32_t(v));
        for (std::int64_t call = begin / 4; call * 4 < end; ++call) {
            const uint32_t substream = substream_of_samples + uint32_t(call >> 32);
            typename Lane<W>::Word words[4], high, low;
            philox_words(philox_lanes(replicates, substream, s.keys), philox_call(s.stream, uint32_t(call), s.keys),
                         s.keys, words);
            ASGD_UNROLL
            for (int k = 0; k < 4; ++k) {
                mul_high_low(s.rows, words[k], high, low);
                store_bits(index + (call * 4 + k - begin + begin % 4) * index_replicates + v, narrow(high));
            }
        }
    }
}

template <class W>
ASGD_FN void fill_epoch_keys(const SampleStream& s, std::int64_t epoch, uint32_t* out) {
    for (int v = 0; v < index_replicates; v += Lane<W>::width) {
        const auto lanes = philox_lanes(replicate_words<W>(s.first_replicate + uint32_t(v)),
                                        substream_of_epochs + uint32_t(epoch * calls_per_epoch >> 32), s.keys);
        for (int call = 0; call < calls_per_epoch; ++call) {
            typename Lane<W>::Word words[4];
            philox_words(lanes, philox_call(s.stream, uint32_t(epoch * calls_per_epoch + call), s.keys), s.keys, words);
            for (int k = 0; k < 4; ++k) store_bits(out + (4 * call + k) * index_replicates + v, narrow(words[k]));
        }
    }
}

template <class W>
ASGD_FN void fill_reshuffled(const SampleStream& s, std::int64_t begin, std::int64_t end, uint32_t* index) {
    const ShuffleGrid grid = shuffle_grid(s.rows);
    alignas(64) uint32_t keys[shuffle_rounds * index_replicates], high[index_replicates], low[index_replicates];
    for (std::int64_t q = begin; q < end; ++q) {
        if (q == begin || q % s.rows == 0) fill_epoch_keys<W>(s, q / s.rows, keys);
        const uint32_t position = uint32_t(q % s.rows);
        for (int l = 0; l < index_replicates; ++l) {
            high[l] = position / grid.columns;
            low[l] = position % grid.columns;
            shuffle_pass(grid, keys + l, index_replicates, high[l], low[l]);
        }
        uint32_t* const out = index + (q - begin + begin % 4) * index_replicates;
        for (int l = 0; l < index_replicates; ++l) {  // cells beyond the last row lead on to others
            while (high[l] * grid.columns + low[l] >= s.rows)
                shuffle_pass(grid, keys + l, index_replicates, high[l], low[l]);
            out[l] = high[l] * grid.columns + low[l];
        }
    }
}

ASGD_FN void fill_sequential(std::int64_t rows, std::int64_t begin, std::int64_t end, uint32_t* index) {
    std::int64_t row = begin % rows;
    for (std::int64_t q = begin; q < end; ++q, row = row + 1 == rows ? 0 : row + 1) {
        uint32_t* const out = index + (q - begin + begin % 4) * index_replicates;
        for (int l = 0; l < index_replicates; ++l) out[l] = uint32_t(row);
    }
}

ASGD_ISA_NAMESPACE_END
