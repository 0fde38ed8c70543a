// Draws of one step of a trajectory for its coordinates, with vectors along these. Included by method_steps.hpp.
#pragma once

#include "../core/draw.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Draws of substreams first .. first + count - 1, to the vectors that hold so many.
template <class R, DrawKind kind>
ASGD_FN void draw_along(const PhiloxKeys& shared_keys, uint32_t stream, uint32_t first, uint32_t replicate,
                        std::int64_t step, std::int64_t count, typename Lane<R>::Real* out) {
    using Word = typename Lane<R>::Word;
    constexpr int n = philox_bits_per_call<R>, width = Lane<R>::width;
    constexpr int per_call = kind == DrawKind::rademacher ? rademacher_draws_per_call : n;
    const PhiloxKeys keys = shared_keys;  // which stores to `out` cannot change, as a compiler can see
    const PhiloxCall call = philox_call(stream, uint32_t(step / per_call), keys);
    const int j = int(step % per_call);
    for (std::int64_t i = 0; i < count; i += width) {
        const auto lanes = philox_substream_lanes<Word>(replicate, replicate_words<R>(first + uint32_t(i)), keys);
        typename Lane<R>::Bits bits[n];
        philox_bits<R>(lanes, call, keys, bits);
        if constexpr (kind == DrawKind::rademacher) {
            const int word = j / 32;  // of four; of float64 two in one number, the even one below
            auto words = bits[word * n / 4];
            if constexpr (n == 2)
                if (word % 2 == 0) words = words << 32;
            store(out + i, signed_by_top_bit(words << (j % 32), set1<R>(1)));
        } else if constexpr (kind == DrawKind::unit) {
            store(out + i, unit_variate<R>(bits[j]));
        } else {
            R z[n];
            draw_values<R, kind>(bits, z);
            store(out + i, z[j]);
        }
    }
}

ASGD_ISA_NAMESPACE_END
