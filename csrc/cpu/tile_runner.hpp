// Advances a task, trajectories of separable problems, on one core: written once over lane types, compiled once per
// instruction set. Included by isa_*.cpp only.
//
// Coordinates meet only in a ball projection and in the objective, so a group of them may go through the whole horizon
// before the next (Task::coordinates); between groups only the objective's partial sums are kept. Time runs in tiles
// of up to 128 steps, cut where more is recorded than can be kept aside. For a tile the learning rates of all configs
// are computed once; then every coordinate takes the whole tile on its own, strip by strip: `strip` vectors whose state
// stays in registers, of replicates of one config, or, where too few are left, of several configs side by side. A
// strip's noise is drawn into an L1 buffer and used by every config of the task that shares the stream, so with common
// random numbers the generator is paid once for all configs.
#pragma once

#include "../core/with_kind.hpp"
#include "horizon.hpp"
#include "noise.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr std::int64_t ball_buffer_bytes = 1 << 17;
// Records whose iterates are kept while their tile goes on: as many as along_buffer_bytes hold, within limits. One more
// ends the tile, so that tiles of a record at every step are whole calls of a generator.
inline constexpr std::int64_t fewest_records_along = 3, most_records_along = 15, along_buffer_bytes = 1 << 20;

template <class R>
struct Buffers {
    using Real = typename Lane<R>::Real;
    using BitsReal = typename Constants<Real>::Integer;  // one lane of Lane<R>::Bits

    std::int64_t configs, replicates;
    std::int64_t group, padded;         // group: coordinates; padded: replicates rounded up to parts of strips
    bool grouped;                       // there is more than one group
    int ball_steps;                     // steps of drawn values that a ball projection buffers per coordinate
    std::int64_t state, records_along;  // elements of x; records that `along` has room for

    // coordinate: in the group
    Real *x, *low;                 // [config, coordinate, replicate]
    Real* along;                   // [record, config, coordinate, replicate]: x at records within a tile
    Averages<R> averages;          // of x
    Real* averaged;                // [coordinate, replicate]
    Real* objective;               // [config, record, accumulator, replicate]: sums over the groups done
    Coordinate<Real>* parameters;  // [problem in the task, coordinate]
    Real* noise_values;
    std::int64_t noise_value_count;
    BitsReal* noise_bits;
    Real* recorded;  // [replicate]

    Buffers(const EnsembleSpec& e, const Task& task, Arena& arena) {
        const bool averaging = e.iterate != Iterate::last, ball = couples_coordinates(e.problems.projection);
        const std::int64_t strip_lanes = Lane<R>::strip * Lane<R>::width, ball_lanes = narrow_strip * Lane<R>::width;
        configs = task.stop_config - task.first_config;
        replicates = task.stop_replicate - task.first_replicate;
        group = e.problems.dimension < task.coordinates ? e.problems.dimension : task.coordinates;
        grouped = group < e.problems.dimension;
        padded = replicates / strip_lanes * strip_lanes;
        if (replicates > padded)
            padded += ball ? round_up(replicates - padded, ball_lanes)
                           : part_of_strip<R>(replicates - padded) * Lane<R>::width;
        state = configs * group * padded;
        records_along = along_buffer_bytes / (state * std::int64_t(sizeof(Real)));
        if (records_along < fewest_records_along) records_along = fewest_records_along;
        if (records_along > most_records_along) records_along = most_records_along;
        if (records_along > e.record_count - 1) records_along = e.record_count - 1;
        if (averaging || ball) records_along = 0;

        x = arena.take<Real>(state);
        low = arena.take<Real>(state);
        along = arena.take<Real>(records_along * state);
        averages.take(e, state, arena);
        averaged = arena.take<Real>(averaging ? group * padded : 0);
        objective = arena.take<Real>(grouped ? configs * e.record_count * accumulators * padded : 0);
        parameters = arena.take<Coordinate<Real>>(
            (problem_of(e, task.stop_config - 1) - problem_of(e, task.first_config) + 1) * group);

        ball_steps = value_tile_steps<Real>;
        while (ball_steps > 4 && group * ball_steps * ball_lanes * std::int64_t(sizeof(Real)) > ball_buffer_bytes)
            ball_steps /= 2;
        const std::int64_t value_rows = ball ? group * ball_steps : value_tile_steps<Real>;
        const std::int64_t bit_rows = ball ? group * 4 : 4;
        const NoiseForm form = noise_form(e.problems.noise);
        const std::int64_t noise_lanes = ball ? ball_lanes : strip_lanes;
        noise_value_count = form == NoiseForm::values ? value_rows * noise_lanes : 0;
        noise_values = arena.take<Real>(noise_value_count);
        noise_bits = arena.take<BitsReal>(form == NoiseForm::bits ? bit_rows * noise_lanes : 0);
        recorded = arena.take<Real>(padded);
    }

    std::int64_t offset(std::int64_t config, std::int64_t coordinate) const {
        return (config * group + coordinate) * padded;
    }
};

// What holds x in its box: nothing, the two bounds, or, of a box around 0, the one size that both have.
enum class Clamp { none, bounds, size };

// One coordinate of the vectors of a strip, side by side of each of `most` configs, of which the first `count` are
// there.
template <class R, int most>
struct Strip {
    using Real = typename Lane<R>::Real;
    static constexpr int vectors = Lane<R>::strip / most;  // of a config
    int count;
    std::int64_t apart;  // from a config's state to the next one's
    Real *x, *low, *sum;
    const Real* minus_lr;  // rows of segment_steps
    // At the first of the steps to take (values), or at the call's four words with its place in them (bits). Rows are a
    // strip long; from a config's noise to the next one's, 0 where they share it.
    std::int64_t noise_apart;
    const Real* values;
    const typename Constants<Real>::Integer* bits;
    int bit;

    // Vector v of the strip in `state`. Where no config is there it is the first one's, and is not stored.
    std::int64_t place(int v) const {
        const int config = v / vectors;
        return (config < count ? config * apart : 0) + v % vectors * Lane<R>::width;
    }
    void store_at(int v, Real* state, R value) const {
        if (v / vectors < count) store(state + place(v), value);
    }
    std::int64_t noise_place(int v) const { return v / vectors * noise_apart + v % vectors * Lane<R>::width; }
};

// The first V vectors of a strip through n steps without leaving registers.
//
// A clamp by size is one instruction, but makes a number of NaN. The last step clamps by the bounds, and x is NaN after
// it wherever it would have become NaN before: what a step makes NaN of x, it makes so of `low`, and that of all after.
template <class R, ProblemKind kind, NoiseForm form, Clamp clamp, bool summing, int most, int V>
static void advance_strip(const Coordinate<typename Lane<R>::Real>& p, const Strip<R, most>& strip, int n) {
    constexpr int row = Lane<R>::strip * Lane<R>::width, W = Strip<R, most>::vectors;
    R x[V], low[V], sum[V];
    ASGD_UNROLL
    for (int v = 0; v < V; ++v) {
        x[v] = load<R>(strip.x + strip.place(v));
        low[v] = load<R>(strip.low + strip.place(v));
        if constexpr (summing) sum[v] = load<R>(strip.sum + strip.place(v));
    }
    const auto* const minus_lr = strip.minus_lr;
    const auto drawn = [&](int j, int v) {
        if constexpr (form == NoiseForm::values)
            return load<R>(strip.values + j * row + strip.noise_place(v));
        else if constexpr (form == NoiseForm::bits)
            return load_bits(strip.bits + (strip.bit + j) / 32 * row + strip.noise_place(v), R())
                   << ((strip.bit + j) % 32);
        else
            return 0;
    };
    const auto take = [&](int j, auto how, const auto& noise) ASGD_INLINE_LAMBDA {
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) {
            const R lr = set1<R>(minus_lr[v / W * segment_steps + j]);
            const R y = step<kind, form>(p, lr, x[v], low[v], noise(v));
            if constexpr (how.value == Clamp::none)
                x[v] = y;
            else if constexpr (how.value == Clamp::bounds)
                x[v] = clamp_to_box(p, y);
            else if constexpr (Lane<R>::limits_size)  // Clang looks the name up in every lane type
                x[v] = limit_size(y, set1<R>(p.upper));
            if constexpr (summing) sum[v] = sum[v] + x[v];
        }
    };
    const int stop = clamp == Clamp::size ? n - 1 : n;
    for (int j = 0; j < stop;) {
        if constexpr (form == NoiseForm::bits) {
            const int left = 32 - (strip.bit + j) % 32, word_stop = stop - j < left ? stop : j + left;
            typename Lane<R>::Bits w[V];
            ASGD_UNROLL
            for (int v = 0; v < V; ++v) w[v] = drawn(j, v);
            for (; j < word_stop; ++j)
                take(j, KindConstant<clamp>(), [&](int v) {
                    const auto now = w[v];
                    w[v] = now + now;
                    return now;
                });
        } else {
            take(j, KindConstant<clamp>(), [&](int v) { return drawn(j, v); });
            ++j;
        }
    }
    if constexpr (clamp == Clamp::size)
        take(stop, KindConstant<Clamp::bounds>(), [&](int v) { return drawn(stop, v); });
    ASGD_UNROLL
    for (int v = 0; v < V; ++v) {
        strip.store_at(v, strip.x, x[v]);
        strip.store_at(v, strip.low, low[v]);
        if constexpr (summing) strip.store_at(v, strip.sum, sum[v]);
    }
}

template <class R>
class TileRunner : public Stoppable {
    using Real = typename Lane<R>::Real;
    using BitsReal = typename Constants<Real>::Integer;
    static constexpr int width = Lane<R>::width;

    const EnsembleSpec& e;
    const Task& task;
    Buffers<R> b;
    LearningRates<R> rates;
    const Configs configs;
    PhiloxKeys keys;
    bool averaging;
    std::int64_t first_coordinate = 0, coordinates = 0;  // the group at work
    std::int64_t first_along = 0, count_along = 0;       // records within the tile at work

    uint32_t substream_of(std::int64_t i) const { return uint32_t(first_coordinate + i); }
    Coordinate<Real>& parameters(std::int64_t c, std::int64_t i) const {
        return b.parameters[(configs.problem(c) - configs.problem(0)) * b.group + i];
    }
    int used_accumulators() const {
        return e.problems.dimension < accumulators ? int(e.problems.dimension) : accumulators;
    }
    // Configs c .. sharing_stop(c) - 1 see the same noise.
    std::int64_t sharing_stop(std::int64_t c) const { return e.common_random_numbers ? b.configs : c + 1; }

public:
    TileRunner(const EnsembleSpec& ensemble, const Task& r, Arena& arena, const Listener& l)
        : Stoppable(l),
          e(ensemble),
          task(r),
          b(ensemble, r, arena),
          rates(b.configs, arena, Lane<R>::strip),
          configs(ensemble, r),
          keys(philox_keys(ensemble.seed)),
          averaging(ensemble.iterate != Iterate::last) {}

    // False if the listener stopped it.
    bool run() {
        for (; first_coordinate < e.problems.dimension && !stopped; first_coordinate += b.group) {
            const std::int64_t left = e.problems.dimension - first_coordinate;
            coordinates = left < b.group ? left : b.group;
            start();
            take_horizon(e, segment_steps, *this);
        }
        return !stopped;
    }

    // For take_horizon.
    void advance(std::int64_t t, int n) {
        rates.compute(configs, t, n);
        with_kind(e.problems.kind, [&](auto kind) { advance_kind<kind.value>(t, n); });
    }

    std::int64_t records_along() const { return b.records_along; }
    void take_along(std::int64_t record, std::int64_t count) {
        first_along = record;
        count_along = count;
    }
    void close_segments(std::int64_t k) {
        in_pieces(b.averages.size,
                  [&](std::int64_t begin, std::int64_t end) { b.averages.close_segment(e, k, begin, end); });
    }
    void save_window_start(std::int64_t r) {
        in_pieces(b.averages.size,
                  [&](std::int64_t begin, std::int64_t end) { b.averages.save_window_start(r, begin, end); });
    }

    void report(std::int64_t record, std::int64_t k) {
        const bool last_group = first_coordinate + coordinates == e.problems.dimension;
        const std::int64_t place = record - first_along;
        const Real* const iterates = place >= 0 && place < count_along ? b.along + place * b.state : b.x;
        for (std::int64_t c = 0; c < b.configs && !stopped_after(0); ++c) {
            const Real* x = iterates + b.offset(c, 0);
            if (averaging && k > 0) {
                in_pieces(b.group * b.padded, [&](std::int64_t begin, std::int64_t end) {
                    b.averages.average(e, record, k, b.offset(c, 0), begin, end, b.averaged);
                });
                x = b.averaged;
            }
            with_kind(e.problems.kind, [&](auto kind) { add_objective<kind.value>(c, record, x); });
            if (last_group && !stopped) listener.recorded(listener.context, task.first_config + c, record, b.recorded);
            if (!stopped)
                tell_iterates(e, listener, task.first_config + c, record, first_coordinate, coordinates, x, b.padded);
        }
    }

private:
    // Steps that are drawn together from step t on: up to the next multiple of `tile`, so that a piece's draws begin at
    // row t mod draws_per_call of the buffer and end within it.
    static int piece_steps(NoiseForm form, std::int64_t t, int n, int tile) {
        const int to_multiple = tile - int(t % tile);
        return form != NoiseForm::values || n < to_multiple ? n : to_multiple;
    }

    // Vectors of a strip that hold replicates; the rest of it is stepped along with whatever draws the buffer has.
    template <int V>
    int used_vectors(std::int64_t first) const {
        const std::int64_t n = (b.replicates - first + width - 1) / width;
        return n < V ? int(n) : V;
    }

    void start() {
        memset(b.noise_values, 0, sizeof(Real) * std::size_t(b.noise_value_count));
        rates.start(configs);
        for (std::int64_t c = 0; c < b.configs; ++c) {
            const MatrixView& x0 = e.problems.x0;
            for (std::int64_t i = 0; i < coordinates && !stopped_after(0); ++i) {
                const std::int64_t at = configs.problem(c) * x0.row_stride + (first_coordinate + i) * x0.column_stride;
                const Real value = Real(x0.data[at]);
                Real* x = b.x + b.offset(c, i);
                for (std::int64_t l = 0; l < b.padded; ++l) x[l] = value;
                memset(b.low + b.offset(c, i), 0, sizeof(Real) * std::size_t(b.padded));
                parameters(c, i) = coordinate_parameters<Real>(e.problems, configs.problem(c), first_coordinate + i);
            }
        }
        if (averaging)
            in_pieces(b.averages.size, [&](std::int64_t begin, std::int64_t end) { b.averages.clear(begin, end); });
    }

    template <ProblemKind kind>
    void advance_kind(std::int64_t t, int n) {
        with_kind(e.problems.noise, [&](auto noise) { advance_noise<kind, noise.value>(t, n); });
    }

    template <ProblemKind kind, NoiseKind noise>
    void advance_noise(std::int64_t t, int n) {
        if (couples_coordinates(e.problems.projection)) {
            for (std::int64_t first = 0; first < b.replicates && !stopped; first += narrow_strip * width)
                advance_ball<kind, noise>(t, n, first);
            stopped_after(n * b.configs * b.replicates * coordinates);
            return;
        }
        for (std::int64_t i = 0; i < coordinates && !stopped; ++i) {
            std::int64_t first = 0;
            for (; b.padded - first >= Lane<R>::strip * width; first += Lane<R>::strip * width)
                advance_coordinate<kind, noise, 1>(t, n, i, first);
            if (first < b.padded) advance_rest<kind, noise, 2>(t, n, i, first);
            stopped_after(n * b.configs * b.replicates);
        }
    }

    // Less than a strip of replicates: of `most` configs side by side, or of twice as many.
    template <ProblemKind kind, NoiseKind noise, int most>
    void advance_rest(std::int64_t t, int n, std::int64_t i, std::int64_t first) {
        if constexpr (most < most_side_by_side && most < Lane<R>::strip)
            if (b.padded - first < Lane<R>::strip / most * width)
                return advance_rest<kind, noise, 2 * most>(t, n, i, first);
        advance_coordinate<kind, noise, most>(t, n, i, first);
    }

    // How the first V vectors of a strip are advanced.
    template <ProblemKind kind, NoiseForm form, int most, int V>
    auto way_through(const Coordinate<Real>& p) const {
        const auto clamping = [&](auto clamp) {
            return averaging ? advance_strip<R, kind, form, clamp.value, true, most, V>
                             : advance_strip<R, kind, form, clamp.value, false, most, V>;
        };
        if (!clamps(e.problems.projection)) return clamping(KindConstant<Clamp::none>());
        if constexpr (Lane<R>::limits_size)
            if (p.lower == -p.upper) return clamping(KindConstant<Clamp::size>());
        return clamping(KindConstant<Clamp::bounds>());
    }

    // A strip of replicates from `first` on, of `most` configs side by side, through n steps.
    template <ProblemKind kind, NoiseKind noise, int most>
    void advance_coordinate(std::int64_t t, int n, std::int64_t i, std::int64_t first) {
        constexpr NoiseForm form = noise_form(noise);
        constexpr int V = Lane<R>::strip, W = V / most, row = V * width, per_call = value_draws_per_call<Real>;
        const bool shared = e.common_random_numbers;
        const int vectors = used_vectors<W>(first);
        const uint32_t replicate = uint32_t(task.first_replicate + first), substream = substream_of(i);
        Strip<R, most> strip;
        strip.apart = b.offset(1, 0);
        strip.noise_apart = shared ? 0 : W * width;
        // Configs begin .. end - 1 use the noise in the buffer: all of them, or those of a strip.
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = shared ? b.configs : configs.of_one_problem(begin, most);
            const auto for_each_stream = [&](auto fill) {
                for (std::int64_t c = begin; c < (shared ? begin + 1 : end); ++c)
                    fill(configs.stream(c), (c - begin) * strip.noise_apart);
            };
            if constexpr (form == NoiseForm::bits)
                for_each_stream([&](uint32_t stream, std::int64_t at) {
                    fill_bits<R, V>(keys, stream, substream, replicate, vectors, t, b.noise_bits + at);
                });
            for (int j = 0; j < n;) {
                const int m = piece_steps(form, t + j, n - j, value_tile_steps<Real>);
                if constexpr (form == NoiseForm::values)
                    for_each_stream([&](uint32_t stream, std::int64_t at) {
                        fill_values<R, noise, V>(keys, stream, substream, replicate, vectors, t + j, t + j + m,
                                                 b.noise_values + at);
                    });
                for (std::int64_t c = begin, stop; c < end; c = stop) {
                    stop = configs.of_one_problem(c, most);
                    const Coordinate<Real>& p = parameters(c, i);
                    const auto advance =
                        stop == c + 1 ? way_through<kind, form, most, W>(p) : way_through<kind, form, most, V>(p);
                    const std::int64_t at = b.offset(c, i) + first;
                    strip.count = int(stop - c);
                    strip.x = b.x + at;
                    strip.low = b.low + at;
                    strip.sum = averaging ? b.averages.segment + at : nullptr;
                    strip.bits = b.noise_bits;
                    int done = 0;
                    const auto advance_to = [&](int there) {
                        if (there <= done) return;
                        strip.minus_lr = rates.minus_lr + c * segment_steps + j + done;
                        strip.values = b.noise_values + ((t + j) % per_call + done) * row;
                        strip.bit = int((t + j + done) % rademacher_draws_per_call);
                        advance(p, strip, there - done);
                        done = there;
                    };
                    for (std::int64_t k = 0; k < count_along; ++k) {
                        const std::int64_t record = e.record_at[first_along + k] - (t + j);
                        if (record <= 0 || record > m) continue;
                        advance_to(int(record));
                        for (int config = 0; config < strip.count; ++config) {
                            const std::int64_t from = at + config * strip.apart;
                            memcpy(b.along + k * b.state + from, b.x + from, W * width * sizeof(Real));
                        }
                    }
                    advance_to(m);
                }
                j += m;
            }
        }
    }

    // A ball couples the coordinates in every step, so the step is the outer loop and the state lives in memory.
    template <ProblemKind kind, NoiseKind noise>
    void advance_ball(std::int64_t t, int n, std::int64_t first) {
        constexpr NoiseForm form = noise_form(noise);
        constexpr int V = narrow_strip, row = V * width, per_call = value_draws_per_call<Real>;
        const int vectors = used_vectors<V>(first);
        const uint32_t replicate = uint32_t(task.first_replicate + first);
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = sharing_stop(begin);
            if constexpr (form == NoiseForm::bits)
                for (std::int64_t i = 0; i < coordinates && !stopped_after(0); ++i)
                    fill_bits<R, V>(keys, configs.stream(begin), substream_of(i), replicate, vectors, t,
                                    b.noise_bits + i * 4 * row);
            for (int j = 0; j < n && !stopped;) {
                const int m = piece_steps(form, t + j, n - j, b.ball_steps);
                if constexpr (form == NoiseForm::values)
                    for (std::int64_t i = 0; i < coordinates && !stopped_after(0); ++i)
                        fill_values<R, noise, V>(keys, configs.stream(begin), substream_of(i), replicate, vectors,
                                                 t + j, t + j + m, b.noise_values + i * b.ball_steps * row);
                for (std::int64_t c = begin; c < end; ++c)
                    for (int s = 0; s < m && !stopped_after(0); ++s)
                        ball_step<kind, form>(c, t + j + s, j + s, s + int((t + j) % per_call), first);
                j += m;
            }
        }
    }

    template <ProblemKind kind, NoiseForm form>
    void ball_step(std::int64_t c, std::int64_t t, int j, int value_row, std::int64_t first) {
        constexpr int V = narrow_strip, row = V * width;
        const R lr = set1<R>(rates.minus_lr[c * segment_steps + j]);
        const int bit = int(t % rademacher_draws_per_call);
        R norm[V][accumulators];
        for (int v = 0; v < V; ++v)
            for (int k = 0; k < used_accumulators(); ++k) norm[v][k] = set1<R>(Real(0));
        const Coordinate<Real>* const parameters_of_c = &parameters(c, 0);
        for (std::int64_t i = 0; i < coordinates; ++i) {
            const Coordinate<Real>& p = parameters_of_c[i];
            Real* const x = b.x + b.offset(c, i) + first;
            Real* const low = b.low + b.offset(c, i) + first;
            for (int v = 0; v < V; ++v) {
                const R x_v = load<R>(x + v * width);
                R low_v = load<R>(low + v * width), y;
                if constexpr (form == NoiseForm::values)
                    y = step<kind, form>(p, lr, x_v, low_v,
                                         load<R>(b.noise_values + (i * b.ball_steps + value_row) * row + v * width));
                else if constexpr (form == NoiseForm::bits)
                    y = step<kind, form>(p, lr, x_v, low_v,
                                         load_bits(b.noise_bits + (i * 4 + bit / 32) * row + v * width, R())
                                             << (bit % 32));
                else
                    y = step<kind, form>(p, lr, x_v, low_v, 0);
                R& acc = norm[v][i % accumulators];
                acc = fma(y, y, acc);
                store(x + v * width, y);
                store(low + v * width, low_v);
            }
        }
        const double radius = e.problems.radius.data[configs.problem(c) * e.problems.radius.stride];
        for (int v = 0; v < V; ++v) {
            const R factor =
                ball_factor(Real(radius), Real(radius * radius), fold_accumulators(norm[v], used_accumulators()));
            for (std::int64_t i = 0; i < coordinates; ++i) {
                const std::int64_t at = b.offset(c, i) + first + v * width;
                const R x = load<R>(b.x + at) * factor;
                store(b.x + at, x);
                if (averaging) store(b.averages.segment + at, load<R>(b.averages.segment + at) + x);
            }
        }
    }

    // Adds the group's share; after the last group `recorded` has the suboptimality.
    template <ProblemKind kind>
    void add_objective(std::int64_t c, std::int64_t record, const Real* x) {
        const bool last_group = first_coordinate + coordinates == e.problems.dimension;
        const int used = used_accumulators();
        const Real minimum = Real(e.problems.minimum.data[configs.problem(c) * e.problems.minimum.stride]);
        const Coordinate<Real>* const p = &parameters(c, 0);
        if (e.problems.dimension == 1) {  // one accumulator, in a register
            for (std::int64_t l = 0; l < b.replicates; l += width) {
                const R sum = add_objective_term<kind>(p[0], load<R>(x + l), set1<R>(Real(0)));
                store(b.recorded + l, suboptimality<kind>(sum, minimum));
            }
            return;
        }
        Real* partial = b.objective + (c * e.record_count + record) * accumulators * b.padded;
        for (std::int64_t l = 0; l < b.replicates; l += width) {
            if (coordinates * width > uninterrupted_elements && stopped_after(0)) return;
            R acc[accumulators];
            for (int k = 0; k < used; ++k)
                acc[k] = first_coordinate > 0 ? load<R>(partial + k * b.padded + l) : set1<R>(Real(0));
            for (std::int64_t i = 0; i < coordinates; ++i) {
                R& a = acc[i % accumulators];
                a = add_objective_term<kind>(p[i], load<R>(x + i * b.padded + l), a);
            }
            if (last_group)
                store(b.recorded + l, suboptimality<kind>(fold_accumulators(acc, used), minimum));
            else
                for (int k = 0; k < used; ++k) store(partial + k * b.padded + l, acc[k]);
        }
    }
};

template <class R>
ASGD_FN std::int64_t scratch_bytes_of(const EnsembleSpec& e, const Task& task) {
    Arena arena{nullptr};
    const Buffers<R> buffers(e, task, arena);
    const LearningRates<R> rates(buffers.configs, arena, Lane<R>::strip);
    return arena.used;
}

template <class R>
static bool run_range(const EnsembleSpec& e, const Task& task, void* scratch, const Listener& listener) {
    Arena arena{static_cast<char*>(scratch)};
    return TileRunner<R>(e, task, arena, listener).run();
}

ASGD_ISA_NAMESPACE_END
