// Draws of noise for vectors of replicates, into buffers. Included by the runners.
#pragma once

#include "../core/draw.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Draws for steps [first, stop) of V vectors of replicates; row j of `out` is step first - first % draws_per_call + j.
template <class R, NoiseKind kind, int V>
ASGD_FN void fill_values(const PhiloxKeys& keys, uint32_t stream, uint32_t block, uint32_t first_replicate,
                         std::int64_t first, std::int64_t stop, typename Lane<R>::Real* out) {
    using Real = typename Lane<R>::Real;
    constexpr int n = value_draws_per_call<Real>;
    constexpr int row = V * Lane<R>::width;
    const std::int64_t first_call = first / n, calls = (stop - 1) / n - first_call + 1;
    for (int v = 0; v < V; ++v) {
        const auto lanes =
            philox_lanes(replicate_words<R>(first_replicate + uint32_t(v * Lane<R>::width)), block, keys);
        for (std::int64_t q = 0; q < calls; ++q) {
            typename Lane<R>::Word words[4];
            philox_words(lanes, philox_call(stream, uint32_t(first_call + q), keys), keys, words);
            R z[n];
            draw_values<R, kind>(words, z);
            ASGD_UNROLL
            for (int j = 0; j < n; ++j) store(out + (q * n + j) * row + v * Lane<R>::width, z[j]);
        }
    }
}

// The four words of the call that holds `step`, for V vectors of replicates, aligned to the top of a lane.
template <class R, int V, class BitsReal>
ASGD_FN void fill_bits(const PhiloxKeys& keys, uint32_t stream, uint32_t block, uint32_t first_replicate,
                       std::int64_t step, BitsReal* out) {
    const PhiloxCall call = philox_call(stream, uint32_t(step / rademacher_draws_per_call), keys);
    for (int v = 0; v < V; ++v) {
        const auto lanes =
            philox_lanes(replicate_words<R>(first_replicate + uint32_t(v * Lane<R>::width)), block, keys);
        typename Lane<R>::Word words[4];
        philox_words(lanes, call, keys, words);
        ASGD_UNROLL
        for (int k = 0; k < 4; ++k) store_bits(out + (k * V + v) * Lane<R>::width, top_aligned(words[k], R()));
    }
}

ASGD_ISA_NAMESPACE_END
