// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, SC 2011) as a pure function of (counter, key), over a lane type.
//
// The counter is (replicate, stream, call, substream) and lanes run over replicates, so of the first two rounds only
// two xors depend on both lane and call: PhiloxLanes holds what depends on the lane, PhiloxCall what depends on the
// call. That leaves 8 of 10 rounds to compute per call. The words are the published ones (tests/vectors).
#pragma once

#include "lanes_plain.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr uint32_t philox_m0 = 0xD2511F53u, philox_m1 = 0xCD9E8D57u;  // Salmon et al., table 2
inline constexpr uint32_t philox_w0 = 0x9E3779B9u, philox_w1 = 0xBB67AE85u;  // golden ratio, sqrt(3) - 1

struct PhiloxKeys {
    uint32_t k0[10], k1[10];
};

ASGD_FN PhiloxKeys philox_keys(uint64_t seed) {
    PhiloxKeys keys;
    for (int r = 0; r < 10; ++r) {
        keys.k0[r] = uint32_t(seed) + uint32_t(r) * philox_w0;
        keys.k1[r] = uint32_t(seed >> 32) + uint32_t(r) * philox_w1;
    }
    return keys;
}

// The share of rounds 1 and 2 that depends on (replicate, substream) alone.
template <class Word>
struct PhiloxLanes {
    Word high, low, first_low;
};

template <class Word>
ASGD_FN PhiloxLanes<Word> philox_lanes_of(Word replicate, Word keyed_substream, const PhiloxKeys& keys) {
    Word high, low, first_low;
    mul_high_low(philox_m0, replicate, high, first_low);
    const Word second = xor2(high, keyed_substream);
    mul_high_low(philox_m1, second, high, low);
    return {xor2(high, word_set1<Word>(keys.k0[1])), low, first_low};
}
template <class Word>
ASGD_FN PhiloxLanes<Word> philox_lanes(Word replicate, uint32_t substream, const PhiloxKeys& keys) {
    return philox_lanes_of(replicate, word_set1<Word>(substream ^ keys.k1[0]), keys);
}

// The same where lanes run over substreams instead.
template <class Word>
ASGD_FN PhiloxLanes<Word> philox_substream_lanes(uint32_t replicate, Word substreams, const PhiloxKeys& keys) {
    return philox_lanes_of(word_set1<Word>(replicate), xor2(substreams, word_set1<Word>(keys.k1[0])), keys);
}

// The share of rounds 1 and 2 that depends on (stream, call) alone.
struct PhiloxCall {
    uint32_t into_0, into_2, c3;
};

ASGD_FN PhiloxCall philox_call(uint32_t stream, uint32_t call, const PhiloxKeys& keys) {
    const uint64_t first = uint64_t(philox_m1) * call;
    const uint32_t c0 = uint32_t(first >> 32) ^ stream ^ keys.k0[0];
    const uint64_t second = uint64_t(philox_m0) * c0;
    return {uint32_t(first), uint32_t(second >> 32) ^ keys.k1[1], uint32_t(second)};
}

// The words after two rounds.
template <class Word>
ASGD_FN void philox_start(const PhiloxLanes<Word>& lanes, const PhiloxCall& call, Word c[4]) {
    c[0] = xor2(lanes.high, word_set1<Word>(call.into_0));
    c[1] = lanes.low;
    c[2] = xor2(lanes.first_low, word_set1<Word>(call.into_2));
    c[3] = word_set1<Word>(call.c3);
}

// Round r, counted from 0.
template <class Word>
ASGD_FN void philox_round(int r, const PhiloxKeys& keys, Word c[4]) {
    Word high0, low0, high1, low1;
    mul_high_low(philox_m0, c[0], high0, low0);
    mul_high_low(philox_m1, c[2], high1, low1);
    c[0] = xor3(high1, c[1], word_set1<Word>(keys.k0[r]));
    c[1] = low1;
    c[2] = xor3(high0, c[3], word_set1<Word>(keys.k1[r]));
    c[3] = low0;
}

template <class Word>
ASGD_FN void philox_words(const PhiloxLanes<Word>& lanes, const PhiloxCall& call, const PhiloxKeys& keys, Word out[4]) {
    philox_start(lanes, call, out);
    ASGD_UNROLL
    for (int r = 2; r < 10; ++r) philox_round(r, keys, out);
}

template <class R>
inline constexpr int philox_bits_per_call = 16 / int(sizeof(typename Lane<R>::Real));

// The last round, and its words as Bits of R's lanes: four, or two of (odd word, even word). It is done on these, which
// takes fewer instructions than to pack its words.
template <class R>
ASGD_FN void philox_last_round(const PhiloxKeys& keys, const typename Lane<R>::Word c[4],
                               typename Lane<R>::Bits out[philox_bits_per_call<R>]) {
    using Bits = typename Lane<R>::Bits;
    typename Lane<R>::Word high0, low0, high1, low1;
    mul_high_low(philox_m0, c[0], high0, low0);
    mul_high_low(philox_m1, c[2], high1, low1);
    const Bits even_0 = turned_bits(high1, low1, R()) ^ word_bits(c[1], R()) ^ set1_bits<Bits>(keys.k0[9]);
    const Bits even_1 = turned_bits(high0, low0, R()) ^ word_bits(c[3], R()) ^ set1_bits<Bits>(keys.k1[9]);
    if constexpr (philox_bits_per_call<R> == 2) {
        out[0] = even_0;
        out[1] = even_1;
    } else {
        out[0] = even_0;
        out[1] = word_bits(low1, R());
        out[2] = even_1;
        out[3] = word_bits(low0, R());
    }
}

template <class R>
ASGD_FN void philox_bits(const PhiloxLanes<typename Lane<R>::Word>& lanes, const PhiloxCall& call,
                         const PhiloxKeys& keys, typename Lane<R>::Bits out[philox_bits_per_call<R>]) {
    typename Lane<R>::Word c[4];
    philox_start(lanes, call, c);
    ASGD_UNROLL
    for (int r = 2; r < 9; ++r) philox_round(r, keys, c);
    philox_last_round<R>(keys, c, out);
}

ASGD_ISA_NAMESPACE_END
