// Draws of noise for vectors of replicates, into buffers. Included by the runners.
#pragma once

#include "../core/draw.hpp"
#include "gaussian_pipeline.hpp"
#include "lanes_twice.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
inline constexpr int value_tile_steps = 256 / int(sizeof(Real));  // drawn together: 32 KiB of a strip at 512 bits
inline constexpr int narrow_strip = 2;                            // vectors, for what a whole strip would waste

// Vectors of a strip, or of a half, a quarter or an eighth of it, that hold so many replicates.
inline constexpr int most_side_by_side = 8;  // configs in a strip
template <class R>
ASGD_FN int part_of_strip(std::int64_t replicates) {
    int vectors = Lane<R>::strip;
    while (vectors % 2 == 0 && vectors > Lane<R>::strip / most_side_by_side &&
           vectors / 2 * Lane<R>::width >= replicates)
        vectors /= 2;
    return vectors;
}

// f(lanes, v) for each of the first `vectors` of V vectors: its type of lanes and its number, two vectors at a time
// where that keeps the processor busier.
template <class R, int V, class F>
ASGD_FN void for_each_vector_drawn(int vectors, F f) {
    int v = 0;
    if constexpr (Lane<R>::drawn_together == 2 && V > 1)
        for (; v + 2 <= vectors; v += 2) f(Twice<R>(), v);
    for (; v < vectors; ++v) f(R(), v);
}

// Draws for steps [first, stop) of the first `vectors` of V vectors of replicates; row j of `out` is step
// first - first % draws_per_call + j.
template <class R, NoiseKind kind, int V>
ASGD_CALL void fill_values(const PhiloxKeys& shared_keys, uint32_t stream, uint32_t substream, uint32_t first_replicate,
                           int vectors, std::int64_t first, std::int64_t stop, typename Lane<R>::Real* out) {
    constexpr int n = philox_bits_per_call<R>, width = Lane<R>::width;
    const PhiloxKeys keys = shared_keys;  // which stores to `out` cannot change, as a compiler can see
    const std::int64_t first_call = first / n, calls = (stop - 1) / n - first_call + 1;
    if constexpr (Lane<R>::pipelined && kind == NoiseKind::gaussian && V == Lane<R>::strip)
        if (calls * vectors >= least_pipelined && calls <= most_calls_in_pipeline)
            return fill_gaussian_faster<R>(
                {shared_keys, stream, substream, first_replicate, vectors, first_call, calls}, out);
    for_each_vector_drawn<R, V>(vectors, [&](auto type, int v) {
        using T = decltype(type);
        const auto lanes = philox_lanes(replicate_words<T>(first_replicate + uint32_t(v * width)), substream, keys);
        for (std::int64_t q = 0; q < calls; ++q) {
            typename Lane<T>::Bits bits[n];
            philox_bits<T>(lanes, philox_call(stream, uint32_t(first_call + q), keys), keys, bits);
            T z[n];
            draw_values<T, kind>(bits, z);
            ASGD_UNROLL
            for (int j = 0; j < n; ++j) store(out + ((q * n + j) * V + v) * width, z[j]);
        }
    });
}

// The four words of the call that holds `step`, aligned to the top of a lane, for the first `vectors` of V vectors of
// replicates.
template <class R, int V, class BitsReal>
ASGD_CALL void fill_bits(const PhiloxKeys& shared_keys, uint32_t stream, uint32_t substream, uint32_t first_replicate,
                         int vectors, std::int64_t step, BitsReal* out) {
    constexpr int n = philox_bits_per_call<R>, width = Lane<R>::width;
    const PhiloxKeys keys = shared_keys;
    const PhiloxCall call = philox_call(stream, uint32_t(step / rademacher_draws_per_call), keys);
    for_each_vector_drawn<R, V>(vectors, [&](auto type, int v) {
        using T = decltype(type);
        typename Lane<T>::Bits bits[n];
        philox_bits<T>(philox_lanes(replicate_words<T>(first_replicate + uint32_t(v * width)), substream, keys), call,
                       keys, bits);
        ASGD_UNROLL
        for (int k = 0; k < n; ++k) {
            BitsReal* const words = out + (k * (4 / n) * V + v) * width;
            if constexpr (n == 2) store_bits(words, bits[k] << 32);
            store_bits(words + (4 / n - 1) * V * width, bits[k]);
        }
    });
}

// Variates in (0, 1], as fill_values.
template <class R, int V>
ASGD_CALL void fill_units(const PhiloxKeys& shared_keys, uint32_t stream, uint32_t substream, uint32_t first_replicate,
                          int vectors, std::int64_t first, std::int64_t stop, typename Lane<R>::Real* out) {
    constexpr int n = philox_bits_per_call<R>, width = Lane<R>::width;
    const PhiloxKeys keys = shared_keys;
    const std::int64_t first_call = first / n, calls = (stop - 1) / n - first_call + 1;
    for_each_vector_drawn<R, V>(vectors, [&](auto type, int v) {
        using T = decltype(type);
        const auto lanes = philox_lanes(replicate_words<T>(first_replicate + uint32_t(v * width)), substream, keys);
        for (std::int64_t q = 0; q < calls; ++q) {
            typename Lane<T>::Bits bits[n];
            philox_bits<T>(lanes, philox_call(stream, uint32_t(first_call + q), keys), keys, bits);
            ASGD_UNROLL
            for (int j = 0; j < n; ++j) store(out + ((q * n + j) * V + v) * width, unit_variate<T>(bits[j]));
        }
    });
}

// Signs as numbers, as fill_values; all steps are of one call, for whose words `bits` has room.
template <class R, int V, class BitsReal>
ASGD_CALL void fill_signs(const PhiloxKeys& keys, uint32_t stream, uint32_t substream, uint32_t first_replicate,
                          int vectors, std::int64_t first, std::int64_t stop, BitsReal* bits,
                          typename Lane<R>::Real* out) {
    constexpr int width = Lane<R>::width;
    fill_bits<R, V>(keys, stream, substream, first_replicate, vectors, first, bits);
    out += first % value_draws_per_call<typename Lane<R>::Real> * (V * width);
    for (std::int64_t t = first; t < stop; ++t) {
        const int bit = int(t % rademacher_draws_per_call);
        for (int v = 0; v < vectors * width; v += width, out += width)
            store(out, signed_by_top_bit(load_bits(bits + bit / 32 * (V * width) + v, R()) << (bit % 32), set1<R>(1)));
        out += (V - vectors) * width;
    }
}

// Draws of a place in a program, as fill_values.
template <class R, DrawKind kind, int V, class BitsReal>
ASGD_FN void fill_draws(const PhiloxKeys& keys, uint32_t stream, uint32_t substream, uint32_t first_replicate,
                        int vectors, std::int64_t first, std::int64_t stop, BitsReal* bits,
                        typename Lane<R>::Real* out) {
    if constexpr (kind == DrawKind::gaussian)
        fill_values<R, NoiseKind::gaussian, V>(keys, stream, substream, first_replicate, vectors, first, stop, out);
    else if constexpr (kind == DrawKind::uniform)
        fill_values<R, NoiseKind::uniform, V>(keys, stream, substream, first_replicate, vectors, first, stop, out);
    else if constexpr (kind == DrawKind::unit)
        fill_units<R, V>(keys, stream, substream, first_replicate, vectors, first, stop, out);
    else if constexpr (kind == DrawKind::rademacher)
        fill_signs<R, V>(keys, stream, substream, first_replicate, vectors, first, stop, bits, out);
    else
        static_assert(known<kind>, "fill_draws: no way to fill in this kind of draw");
}

ASGD_ISA_NAMESPACE_END
