// Gaussian draws for vectors of replicates, in a pipeline of three stages: while the words of one vector are made, the
// radii of the vector before it are, and the angles of the one before that. Each is a chain of instructions that wait
// for each other; a beat has a piece of each, so that a processor finds enough that need not wait (it would have to
// look ahead farther than it can to find them by itself). noise.hpp has the plain form.
//
// It is compiled twice, and which of the two is faster depends on the processor: in the file of the instruction set,
// and in gaussian_apart_*.cpp for compilers' options of its own, which keep more values in registers (CMakeLists.txt).
// The draws are the same.
#pragma once

#include "../core/draw.hpp"
#include "faster.hpp"
#include "lanes_twice.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
struct RadiusStage {
    typename Lane<R>::Bits a, b;  // the pair's words
    MinusTwoLog<R> log;
};

template <class R>
struct AngleStage {
    typename Lane<R>::Bits b;
    R radius_squared, radius;
    SincosOctant<R> angle;
};

template <int beat, class R>
ASGD_FN void radius_beat(RadiusStage<R>& pair) {
    if constexpr (beat == 0) pair.log.u = unit_variate<R>(pair.a);
    // In float32 the variate has a beat of its own.
    constexpr int part = sizeof(typename Lane<R>::Real) == 4 ? beat - 1 : beat;
    if constexpr (part >= 0 && part < minus_two_log_parts<typename Lane<R>::Real>) minus_two_log_part<part>(pair.log);
}

// The draws go to `even` and `odd`.
template <int beat, class R>
ASGD_FN void angle_beat(AngleStage<R>& pair, typename Lane<R>::Real* even, typename Lane<R>::Real* odd) {
    constexpr int parts = sincos_octant_parts<typename Lane<R>::Real>;
    if constexpr (beat == 0) pair.angle.t = variate_of_angle<R>(pair.b);
    if constexpr (beat == 1) pair.radius = sqrt_normal(pair.radius_squared);
    if constexpr (beat < parts) sincos_octant_part<beat>(pair.angle);
    if constexpr (beat == parts) turn(pair.b, pair.angle.cosine, pair.angle.sine);
    if constexpr (beat == parts + 1) {
        store(even, pair.radius * pair.angle.cosine);
        store(odd, pair.radius * pair.angle.sine);
    }
}

// Rounds 3 to 9 of Philox are the beats, and the last piece of a stage must not come after them.
inline constexpr int pipeline_beats = 7;
static_assert(minus_two_log_parts<float> + 1 <= pipeline_beats && minus_two_log_parts<double> <= pipeline_beats &&
                  sincos_octant_parts<float> + 2 <= pipeline_beats && sincos_octant_parts<double> + 2 <= pipeline_beats,
              "a stage is too long");

template <class R>
inline constexpr int pairs_of_call = philox_bits_per_call<R> / 2;

template <int beat, class R>
ASGD_FN void pipeline_beat(AngleStage<R>* angles, typename Lane<R>::Real* out, std::int64_t row, const PhiloxKeys& keys,
                           typename Lane<R>::Word words[4], RadiusStage<R>* radii) {
    ASGD_UNROLL
    for (int pair = 0; pair < pairs_of_call<R>; ++pair)
        angle_beat<beat>(angles[pair], out + 2 * pair * row, out + (2 * pair + 1) * row);
    philox_round(beat + 2, keys, words);
    ASGD_UNROLL
    for (int pair = 0; pair < pairs_of_call<R>; ++pair) radius_beat<beat>(radii[pair]);
}

inline constexpr std::int64_t most_calls_in_pipeline = 32;
inline constexpr std::int64_t least_pipelined = 32;  // vectors x calls: turns of the loop; to fill it takes two more

// What is to be drawn: `calls` calls from first_call on, at most most_calls_in_pipeline, for the first `vectors` of a
// strip of vectors of replicates.
struct PipelinedDraws {
    const PhiloxKeys& keys;
    uint32_t stream, substream, first_replicate;
    int vectors;
    std::int64_t first_call, calls;
};

// What goes through the pipeline together: two pairs, of float32 one vector, whose calls have two, of float64 two. With
// registers for them, `apart` twice as many in float32.
template <class R, bool apart>
ASGD_FN auto pipeline_lanes() {
    if constexpr (pairs_of_call<R> == 1 || (apart && Lane<R>::registers >= 32))
        return Twice<R>();
    else
        return R();
}

// Row j of `out` is the j-th draw of a strip.
template <class R, bool apart>
ASGD_CALL void fill_gaussian(const PipelinedDraws& draws, typename Lane<R>::Real* out) {
    using T = decltype(pipeline_lanes<R, apart>());
    constexpr int V = Lane<R>::strip;
    const auto [shared_keys, stream, substream, first_replicate, vectors, first_call, calls] = draws;
    using Real = typename Lane<R>::Real;
    constexpr int n = philox_bits_per_call<R>, width = Lane<T>::width, pairs = pairs_of_call<R>;
    constexpr int together = width / Lane<R>::width, most = V / together;
    constexpr std::int64_t row = V * Lane<R>::width;
    const int groups = (vectors + together - 1) / together;
    const PhiloxKeys keys = shared_keys;  // which stores to `out` cannot change, as a compiler can see
    PhiloxLanes<typename Lane<T>::Word> lanes[most];
    PhiloxCall call[most_calls_in_pipeline + 2];  // the last are for turns that drain the pipeline
    for (int v = 0; v < groups; ++v)
        lanes[v] = philox_lanes(replicate_words<T>(first_replicate + uint32_t(v * width)), substream, keys);
    for (std::int64_t q = 0; q < calls + 2; ++q) call[q] = philox_call(stream, uint32_t(first_call + q), keys);
    const T zero = set1<T>(0);
    const auto no_bits = set1_bits<typename Lane<T>::Bits>(0);
    RadiusStage<T> radii[pairs];
    AngleStage<T> angles[pairs];
    ASGD_UNROLL
    for (int pair = 0; pair < pairs; ++pair) {
        radii[pair] = {no_bits, no_bits, {zero, zero, zero, zero}};
        angles[pair] = {no_bits, zero, zero, {zero, zero, zero, zero}};
    }
    // Where the vectors in the stages go. What the first two turns write is no draw, and is written over.
    Real *to_radii = out, *to_angles = out;
    std::int64_t v = 0, q = 0;
    for (std::int64_t turns = calls * groups + 2; turns > 0; --turns) {
        typename Lane<T>::Word words[4];
        philox_start(lanes[v], call[q], words);
        Real* const to_words = out + q * n * row + v * width;
        pipeline_beat<0>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<1>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<2>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<3>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<4>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<5>(angles, to_angles, row, keys, words, radii);
        pipeline_beat<6>(angles, to_angles, row, keys, words, radii);
        typename Lane<T>::Bits bits[n];
        philox_last_round<T>(keys, words, bits);
        ASGD_UNROLL
        for (int pair = 0; pair < pairs; ++pair) {
            angles[pair].b = radii[pair].b;
            angles[pair].radius_squared = radii[pair].log.result;
            radii[pair].a = bits[2 * pair];
            radii[pair].b = bits[2 * pair + 1];
        }
        to_angles = to_radii;
        to_radii = to_words;
        // On to the next vector, after the last to the next call; a branch would often be predicted wrongly.
        ++v;
        v &= -std::int64_t(v != groups);
        q += v == 0;
    }
}

// fill_gaussian<R, true>, where it is compiled apart.
void fill_gaussian_apart(const PipelinedDraws& draws, float* out);
void fill_gaussian_apart(const PipelinedDraws& draws, double* out);

// Whether that one is faster on this processor: a strip's tile by each.
template <class R>
ASGD_CALL bool apart_is_faster() {
    constexpr std::int64_t calls = 16;
    alignas(64) typename Lane<R>::Real out[calls * philox_bits_per_call<R> * Lane<R>::strip * Lane<R>::width];
    const PhiloxKeys keys = philox_keys(0);
    const PipelinedDraws draws{keys, 0, 0, 0, Lane<R>::strip, 0, calls};
    return second_is_faster([&] { fill_gaussian<R, false>(draws, out); }, [&] { fill_gaussian_apart(draws, out); });
}

template <class R>
ASGD_CALL void fill_gaussian_faster(const PipelinedDraws& draws, typename Lane<R>::Real* out) {
    using Apart = Lane<decltype(pipeline_lanes<R, true>())>;
    using Here = Lane<decltype(pipeline_lanes<R, false>())>;
    static const bool apart = apart_is_faster<R>();
    if (!takes_second(apart)) return fill_gaussian<R, false>(draws, out);
    // A vector that would go through it beside none goes by the other way.
    const bool odd = Here::width < Apart::width && draws.vectors % 2 == 1;
    PipelinedDraws most = draws, last = draws;
    most.vectors -= odd;
    fill_gaussian_apart(most, out);
    if (!odd) return;
    last.vectors = 1;
    last.first_replicate += uint32_t(most.vectors * Lane<R>::width);
    fill_gaussian<R, false>(last, out + most.vectors * Lane<R>::width);
}

ASGD_ISA_NAMESPACE_END
