// Advances a range of trajectories of a problem on data on one core: written once over lane types. Included by
// isa_*.cpp only.
//
// Vectors run along the features (products.hpp), so a trajectory's weights are contiguous and a row is read as it lies
// in the data. Trajectories advance in gangs, whose outputs fill vectors when the loss is differentiated: without
// shared rows (streams of their own, or one config) a gang is some replicates of one config; where configs share the
// stream it is some configs of one replicate, every row that it loads is used by all of them, and the products of rows
// and weights are a small matrix product. Recorded losses pass over the data once for all trajectories of the range.
#pragma once

#include "../core/loss.hpp"
#include "../core/metrics.hpp"
#include "../core/network.hpp"
#include "columns.hpp"
#include "horizon.hpp"
#include "noise.hpp"
#include "samples.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr std::int64_t most_samples = 2048;            // of a replicate that are drawn together, or one step's
inline constexpr int most_members = 16;                       // of a gang
inline constexpr int shared_members = 4;                      // at least, of a gang that shares rows
inline constexpr std::int64_t evaluated_rows = row_multiple;  // together

template <class R>
struct DataBuffers {
    using Real = typename Lane<R>::Real;

    NetworkLayout layout;
    std::int64_t configs, trajectories, members, samples;
    int tile_steps;
    bool linear;

    Weights<Real> weights;  // [config, replicate, padded point]; velocities with momentum only
    Averages<R> averages;   // of x
    Real* averaged;         // the same

    uint32_t* index;           // [sample in the tile, replicate of index_lanes]
    const Real** row;          // [sample]: of a step, or rows to evaluate
    const Real** unit;         // [unit of any layer, or member]
    Real* target;              // [sample]
    Real* output;              // [output, sample]
    Real* hidden[max_layers];  // [sample, padded unit]: activations
    Real* delta[max_layers];   // the same: derivatives
    const Real** hidden_row;   // [sample]
    Real* unit_number;         // [padded unit of any hidden layer]: 0, 1, ..
    Real* panel;
    Real* start;                         // [coordinate in a piece, replicate]: drawn
    Weights<Real> columns;               // [element, config of a vector]: weights where configs share rows
    Real* column_factors;                // [sample, config of a vector]
    Real* column_lr;                     // [step, config of a vector]: -lr
    std::int64_t* problem;               // [config]
    Rule<Real>* rule;                    // [config]: of the step at work
    Real* decay;                         // [config]: lambda
    double* loss;                        // [config, replicate, accumulator]
    double* hits;                        // [config, replicate]
    Real* recorded[kind_count<Metric>];  // [config, replicate]

    DataBuffers(const EnsembleSpec& e, const Range& range, Arena& arena) : layout(network_layout(*e.problems.network)) {
        const NetworkSpec& network = *e.problems.network;
        configs = range.stop_config - range.first_config;
        trajectories = configs * range.replicates;
        linear = layout.layers == 1;
        const std::int64_t to_fill = (most_members + network.batch_size - 1) / network.batch_size;
        members = !linear ? 1 : layout.units[0] == 1 && to_fill < shared_members ? shared_members : to_fill;
        samples =
            padded_row(members * network.batch_size > evaluated_rows ? members * network.batch_size : evaluated_rows);
        tile_steps = segment_steps;
        while (tile_steps > 1 && tile_steps * network.batch_size > most_samples) tile_steps /= 2;

        const std::int64_t state = trajectories * layout.size;
        const auto take_weights = [&](std::int64_t n) {
            Real* const x = arena.take<Real>(n);
            Real* const low = arena.take<Real>(n);
            return Weights<Real>{x, low, e.momentum > 0 ? arena.take<Real>(n) : x};
        };
        weights = take_weights(state);
        averages.take(e, state, arena);
        averaged = arena.take<Real>(e.iterate != Iterate::last ? state : 0);

        index = arena.take<uint32_t>((tile_steps * network.batch_size + 8) * index_lanes);
        row = arena.take<const Real*>(samples);
        target = arena.take<Real>(samples);
        std::int64_t most_units = most_members;
        for (int k = 0; k < layout.layers; ++k)
            most_units = most_units < layout.units[k] ? layout.units[k] : most_units;
        unit = arena.take<const Real*>(most_units);
        output = arena.take<Real>(layout.units[layout.layers - 1] * samples);
        std::int64_t widest = 0;
        for (int k = 0; k < layout.layers - 1; ++k) {
            const std::int64_t units = padded_row(layout.units[k]);
            hidden[k] = arena.take<Real>(samples * units);
            delta[k] = arena.take<Real>(samples * units);
            widest = widest < units ? units : widest;
        }
        unit_number = arena.take<Real>(widest);
        hidden_row = arena.take<const Real*>(linear ? 0 : samples);
        panel = arena.take<Real>(most_products * row_multiple);
        start = arena.take<Real>((segment_steps + 8) * index_lanes);
        const bool by_columns = linear && layout.units[0] == 1 && configs > 1;
        columns = take_weights(by_columns ? layout.row[0] * Lane<R>::width : 0);
        column_factors = arena.take<Real>(by_columns ? network.batch_size * Lane<R>::width : 0);
        column_lr = arena.take<Real>(by_columns ? segment_steps * Lane<R>::width : 0);
        problem = arena.take<std::int64_t>(configs);
        rule = arena.take<Rule<Real>>(configs);
        decay = arena.take<Real>(configs);
        loss = arena.take<double>(trajectories * row_multiple);
        hits = arena.take<double>(trajectories);
        for (Real*& values : recorded) values = arena.take<Real>(trajectories);
    }
};

// R: lanes of the ensemble's precision. W: lanes of float32, for random words.
template <class R, class W>
class DataRunner : public Stoppable {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    const EnsembleSpec& e;
    const NetworkSpec& network;
    const Range& range;
    DataBuffers<R> b;
    LearningRates<R> rates;
    const Configs configs;
    const NetworkLayout& layout;
    const PhiloxKeys keys;
    const std::int64_t batch, replicates;
    const Real share;              // of a sample in a step
    std::int64_t tile_sample = 0;  // number of the first sample of the tile

    struct Member {
        std::int64_t config, replicate;  // counted in the range
        Weights<Real> w;
    };

public:
    DataRunner(const EnsembleSpec& ensemble, const Range& r, Arena& arena, const Listener& l)
        : Stoppable(l),
          e(ensemble),
          network(*ensemble.problems.network),
          range(r),
          b(ensemble, r, arena),
          rates(b.configs, arena),
          configs(ensemble, r),
          layout(b.layout),
          keys(philox_keys(ensemble.seed)),
          batch(network.batch_size),
          replicates(r.replicates),
          share(Real(1) / Real(network.batch_size)) {}

    // False if the listener stopped it.
    bool run() {
        start();
        take_horizon(e, b.tile_steps, *this);
        return !stopped;
    }

    // For take_horizon.
    void advance(std::int64_t t, int n) {
        rates.compute(configs, t, n);
        tile_sample = t * batch;
        for (std::int64_t first = 0; first < replicates; first += index_lanes) {
            const std::int64_t lanes = replicates - first < index_lanes ? replicates - first : index_lanes;
            for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
                end = sharing_stop(begin);
                draw_samples(begin, first, t, n);
                if (worth_columns(end - begin, n))
                    advance_columns(begin, end, first, lanes, n);
                else if (b.linear && layout.units[0] == 1 && batch == 1)
                    advance_singles(begin, end, first, lanes, n);
                else if (end - begin > 1)
                    for (std::int64_t l = 0; l < lanes && !stopped; ++l) advance_sharing(begin, end, first + l, n);
                else
                    for (std::int64_t l = 0; l < lanes && !stopped; l += b.members)
                        advance_separate(begin, first + l, lanes - l < b.members ? lanes - l : b.members, n);
                stopped_after((end - begin) * lanes * n * batch * e.problems.dimension);
                if (stopped) return;
            }
        }
    }

    void close_segments() {
        in_pieces(state_size(), [&](std::int64_t begin, std::int64_t end) { b.averages.close_segment(begin, end); });
    }
    void save_window_start(std::int64_t r) {
        in_pieces(state_size(),
                  [&](std::int64_t begin, std::int64_t end) { b.averages.save_window_start(r, begin, end); });
    }
    void report(std::int64_t record, std::int64_t k) {
        const Real* points = b.weights.x;
        if (e.iterate != Iterate::last && k > 0) {
            in_pieces(state_size(), [&](std::int64_t begin, std::int64_t end) {
                b.averages.average(e, record, k, 0, begin, end, b.averaged);
            });
            points = b.averaged;
        }
        if (records_training(e)) evaluate(points, false);
        if (records_test(e) && !stopped) evaluate(points, true);
        for (std::int64_t c = 0; c < b.configs && !stopped; ++c)
            for (std::int64_t m = 0; m < e.metric_count; ++m)
                listener.recorded(listener.context, range.first_config + c, record * e.metric_count + m,
                                  b.recorded[int(e.metrics[m])] + c * replicates);
    }

private:
    std::int64_t state_size() const { return b.trajectories * layout.size; }
    std::int64_t at(std::int64_t config, std::int64_t replicate) const {
        return (config * replicates + replicate) * layout.size;
    }
    const DataProblem& problem(std::int64_t c) const { return e.problems.data[b.problem[c]]; }

    // Configs c .. sharing_stop(c) - 1 take the same rows.
    std::int64_t sharing_stop(std::int64_t c) const {
        std::int64_t stop = c + 1;
        if (e.common_random_numbers)
            while (stop < b.configs && b.problem[stop] == b.problem[c]) ++stop;
        return stop;
    }

    // --- the start ---------------------------------------------------------------------------------------------------

    void start() {
        rates.start(configs);
        for (std::int64_t c = 0; c < b.configs; ++c) {
            b.problem[c] = configs.problem(c);
            b.decay[c] = Real(problem(c).l2 + e.weight_decay);
        }
        in_pieces(state_size(), [&](std::int64_t begin, std::int64_t end) {
            Real* const arrays[] = {b.weights.x, b.weights.low, b.weights.velocity};
            for (Real* array : arrays) memset(array + begin, 0, sizeof(Real) * std::size_t(end - begin));
            if (e.iterate != Iterate::last) b.averages.clear(begin, end);
        });
        for (int k = 0; k < layout.layers - 1; ++k) {
            const std::int64_t units = padded_row(layout.units[k]);
            memset(b.hidden[k], 0, sizeof(Real) * std::size_t(b.samples * units));
            for (std::int64_t u = 0; u < units; ++u) b.unit_number[u] = Real(u);
        }
        memset(b.target, 0, sizeof(Real) * std::size_t(b.samples));
        memset(b.output, 0, sizeof(Real) * std::size_t(layout.units[layout.layers - 1] * b.samples));
        for (std::int64_t c = 0; c < b.configs && !stopped_after(0); ++c) {
            if (problem(c).x0 != nullptr)
                start_at(c, problem(c).x0);
            else
                for (std::int64_t first = 0; first < replicates && !stopped_after(0); first += width)
                    draw_start(c, first);
        }
    }

    void start_at(std::int64_t c, const double* x0) {
        for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int, bool) {
            b.weights.x[at(c, 0) + offset] = Real(x0[i]);
        });
        for (std::int64_t r = 1; r < replicates; ++r)
            memcpy(b.weights.x + at(c, r), b.weights.x + at(c, 0), sizeof(Real) * std::size_t(layout.size));
    }

    // Weights of a layer: Gaussian of variance gain / inputs; intercepts: 0.
    void draw_start(std::int64_t c, std::int64_t first) {
        const std::int64_t n = replicates - first < width ? replicates - first : width;
        std::int64_t drawn = 0;  // coordinates whose draws are in the buffer, or before it
        for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int layer, bool weight) {
            if (!weight) return;
            if (i >= drawn) {
                const std::int64_t begin = i - i % segment_steps;
                drawn = begin + segment_steps;
                fill_values<R, NoiseKind::gaussian, 1>(keys, configs.stream(c), block_of_start,
                                                       uint32_t(range.first_replicate + first), 1, begin, drawn,
                                                       b.start);
            }
            const double gain = layer + 1 < layout.layers ? start_gain(network.activation) : 1.0;
            const Real scale = Real(__builtin_sqrt(gain / double(layout.inputs[layer])));
            for (std::int64_t l = 0; l < n; ++l)
                b.weights.x[at(c, first + l) + offset] = scale * b.start[i % segment_steps * width + l];
        });
    }

    // --- samples -----------------------------------------------------------------------------------------------------

    // Rows that index_lanes replicates take in steps t .. t + n - 1, to b.index.
    void draw_samples(std::int64_t c, std::int64_t first, std::int64_t t, int n) {
        const SampleStream stream{keys, uint32_t(problem(c).train.rows), configs.stream(c),
                                  uint32_t(range.first_replicate + first)};
        switch (network.sampling) {
            case Sampling::with_replacement:
                return fill_with_replacement<W>(stream, t * batch, (t + n) * batch, b.index);
            case Sampling::reshuffling: return fill_reshuffled<W>(stream, t * batch, (t + n) * batch, b.index);
        }
    }

    // Rows and targets of the batch that replicate takes in step j of the tile, from place `sample` on.
    void take_batch(const DataView& data, int j, std::int64_t replicate, std::int64_t sample) {
        const uint32_t* index = b.index + (j * batch + tile_sample % 4) * index_lanes + replicate % index_lanes;
        const Real* const features = static_cast<const Real*>(data.features);
        const Real* const targets = static_cast<const Real*>(data.targets);
        for (std::int64_t s = 0; s < batch; ++s) {
            const std::int64_t i = index[s * index_lanes];
            b.row[sample + s] = features + i * layout.row[0];
            b.target[sample + s] = targets[i];
        }
    }

    // --- steps -------------------------------------------------------------------------------------------------------

    Member member(std::int64_t c, std::int64_t r) const { return {c, r, b.weights.from(at(c, r))}; }

    void set_rule(std::int64_t c, int j) {
        const Real minus_lr = rates.minus_lr[c * segment_steps + j];
        const Real decay = e.momentum > 0 ? b.decay[c] : minus_lr * b.decay[c];
        b.rule[c] = {decay, minus_lr, Real(e.momentum), e.nesterov};
    }

    // Whether configs that share rows go into the elements of vectors: they must fill them, and what it costs to bring
    // their weights there and back must be paid by enough steps.
    bool worth_columns(std::int64_t sharing, int n) const {
        return width > 1 && b.linear && layout.units[0] == 1 && 2 * sharing >= width && n * batch >= 8 &&
               e.problems.projection == ProjectionKind::none && e.iterate == Iterate::last;
    }

    void advance_columns(std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t lanes, int n) {
        for (std::int64_t c = begin; c < end && !stopped; c += width) {
            const int count = int(end - c < width ? end - c : width);
            for (int j = 0; j < n; ++j)
                for (int l = 0; l < width; ++l)
                    b.column_lr[j * width + l] = l < count ? rates.minus_lr[(c + l) * segment_steps + j] : Real(0);
            for (std::int64_t r = first; r < first + lanes && !stopped; ++r) {
                move_columns(c, count, r, true);
                if (e.momentum > 0)
                    advance_vector_of_columns<Terms::momentum>(c, count, r, n);
                else if (b.decay[c] > 0)  // of one problem, so of one lambda
                    advance_vector_of_columns<Terms::rows_and_decay>(c, count, r, n);
                else
                    advance_vector_of_columns<Terms::rows>(c, count, r, n);
                move_columns(c, count, r, false);
            }
        }
    }

    // What a step needs of the weights of configs c .. c + count - 1 into columns, or back.
    void move_columns(std::int64_t c, int count, std::int64_t replicate, bool in) {
        const auto move = [&](Real* const column, Real* Weights<Real>::* part) {
            const std::int64_t length = layout.row[0];
            if (in) memset(column, 0, sizeof(Real) * std::size_t(length * width));
            for (int l = 0; l < count; ++l) {
                Real* const own = member(c + l, replicate).w.*part;
                for (std::int64_t i = 0; i < length; ++i)
                    in ? void(column[i * width + l] = own[i]) : void(own[i] = column[i * width + l]);
            }
        };
        move(b.columns.x, &Weights<Real>::x);
        move(b.columns.low, &Weights<Real>::low);
        if (e.momentum > 0) move(b.columns.velocity, &Weights<Real>::velocity);
    }

    template <Terms terms>
    void advance_vector_of_columns(std::int64_t c, int count, std::int64_t replicate, int n) {
        const DataView& data = problem(c).train;
        const std::int64_t length = layout.row[0];
        alignas(64) Real lambda[width] = {}, intercept[width] = {}, low[width] = {}, velocity[width] = {};
        const Weights<Real> intercepts{intercept, low, velocity};
        const auto intercept_of = [&](int l) { return member(c + l, replicate).w.from(layout.intercept[0]); };
        for (int l = 0; l < count; ++l) lambda[l] = b.decay[c + l];
        for (int l = 0; layout.has_intercept && l < count; ++l) {
            const Weights<Real> own = intercept_of(l);
            intercept[l] = *own.x;
            low[l] = *own.low;
            velocity[l] = *own.velocity;
        }
        const Real* next_row = nullptr;
        R next_product = set1<R>(0);  // with batch 1: of the weights with next_row
        for (int j = 0; j < n && !stopped_after(0); ++j) {
            take_batch(data, j, replicate, 0);
            const R minus_lr = load<R>(b.column_lr + j * width), decay = load<R>(lambda), part = set1<R>(share);
            const R scale = terms == Terms::momentum ? part : minus_lr * part;
            const Rule<R> rule{terms == Terms::momentum ? decay : minus_lr * decay, minus_lr, set1<R>(Real(e.momentum)),
                               e.nesterov};
            const R start = load<R>(intercept);
            R intercept_sum = before_ones<terms>(load<R>(low));
            const auto take_output = [&](std::int64_t s, R z) {
                if (layout.has_intercept) z = z + start;
                const R factor = scale * derivative(z, set1<R>(b.target[s]));
                store(b.column_factors + s * width, factor);
                intercept_sum = intercept_sum + factor;
            };
            if (next_row == nullptr) {
                std::int64_t s = 0;
                for (R z[4]; s + 4 <= batch; s += 4) {
                    multiply_columns<R, 4>(b.row + s, b.columns.x, length, z);
                    for (int i = 0; i < 4; ++i) take_output(s + i, z[i]);
                }
                for (R z; s < batch; ++s) {
                    multiply_columns<R, 1>(b.row + s, b.columns.x, length, &z);
                    take_output(s, z);
                }
            } else {
                take_output(0, next_product);
            }
            if (layout.has_intercept) store_after_rows<terms>(rule, intercept_sum, intercepts);
            if (batch == 1 && j + 1 < n) {
                const Real* const row = b.row[0];
                take_batch(data, j + 1, replicate, 0);
                next_row = b.row[0];
                next_product = add_row_and_multiply_columns<R, terms>(rule, row, next_row, load<R>(b.column_factors),
                                                                      b.columns, length);
            } else {
                add_rows_to_columns<R, terms>(rule, b.row, batch, b.column_factors, b.columns, length);
            }
        }
        for (int l = 0; layout.has_intercept && l < count; ++l) {
            const Weights<Real> own = intercept_of(l);
            if constexpr (terms == Terms::momentum) *own.velocity = velocity[l];
            *own.x = intercept[l];
            *own.low = low[l];
        }
    }

    // Of the loss of a single output.
    R derivative(R z, R y) const {
        with_kind(network.loss, [&](auto loss) {
            if constexpr (has_one_output(loss.value)) z = loss_derivative<loss.value>(z, y);
        });
        return z;
    }

    // Linear models with one output and one sample in a step: gangs take the whole tile, one after another.
    void advance_singles(std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t lanes, int n) {
        Member members[most_members];
        const bool sharing = end - begin > 1;
        for (std::int64_t l = 0; l < lanes && !stopped; l += sharing ? 1 : most_members)
            for (std::int64_t c = begin; c < end && !stopped_after(0); c += most_members) {
                const std::int64_t members_left = sharing ? end - c : lanes - l;
                const int count = int(members_left < most_members ? members_left : most_members);
                for (int m = 0; m < count; ++m)
                    members[m] = sharing ? member(c + m, first + l) : member(c, first + l + m);
                if (e.momentum > 0)
                    advance_gang_of_singles<Terms::momentum>(members, count, sharing, n);
                else if (b.decay[members[0].config] > 0)
                    advance_gang_of_singles<Terms::rows_and_decay>(members, count, sharing, n);
                else
                    advance_gang_of_singles<Terms::rows>(members, count, sharing, n);
            }
    }

    template <Terms terms>
    void advance_gang_of_singles(const Member* members, int count, bool sharing, int n) {
        const DataView& data = problem(members[0].config).train;
        const Real* const features = static_cast<const Real*>(data.features);
        const Real* const targets = static_cast<const Real*>(data.targets);
        const std::int64_t length = layout.row[0];
        const bool fused = e.problems.projection == ProjectionKind::none && e.iterate == Iterate::last;
        struct Samples {
            const Real* row[most_members];
            alignas(64) Real target[most_members];
        } samples[2] = {};
        const auto take = [&](int j) {
            const uint32_t* const index =
                b.index + (j + tile_sample % 4) * index_lanes + members[0].replicate % index_lanes;
            Samples& into = samples[j % 2];
            for (int m = 0; m < count; ++m) {
                const std::int64_t i = index[sharing ? 0 : m];
                into.row[m] = features + i * length;
                into.target[m] = targets[i];
            }
        };
        alignas(64) Real factor[most_members] = {};
        bool multiplied = false;  // b.panel holds the products of this step
        take(0);
        for (int j = 0; j < n && !stopped_after(0); ++j) {
            const Samples& now = samples[j % 2];
            const bool more = j + 1 < n;
            if (more) take(j + 1);
            if (!multiplied)
                for (int m = 0; m < count; ++m) {
                    const Real* const x = members[m].w.x;
                    product_block<R, 1, 1>(now.row + m, &x, length, 1, b.panel + m * width);
                }
            for (int m = 0; m < most_members; m += width) store(factor + m, folded<R>(b.panel + m * width));
            if (layout.has_intercept)
                for (int m = 0; m < count; ++m) factor[m] = factor[m] + members[m].w.x[layout.intercept[0]];
            differentiate(factor, now.target, most_members);
            for (int m = 0; m < (sharing ? count : 1); ++m) set_rule(members[m].config, j);
            multiplied = fused && more;
            const Real* const* const next = multiplied ? samples[(j + 1) % 2].row : now.row;
            for (int m = 0; m < count; ++m) {
                const Member& member = members[m];
                const Rule<Real>& rule = b.rule[member.config];
                factor[m] = (terms == Terms::momentum ? share : rule.minus_lr * share) * factor[m];
                add_row_and_multiply<R, terms>(rule, now.row[m], next[m], factor[m], member.w, length,
                                               b.panel + m * width);
                if (layout.has_intercept) update_intercepts<terms>(rule, {factor + m, 1, 1}, member, 0);
                if (!fused) finish_step(member);
            }
        }
    }

    // A gang of replicates of one config, each with its own rows.
    void advance_separate(std::int64_t c, std::int64_t first, std::int64_t n_members, int n) {
        const DataView& data = problem(c).train;
        Member members[most_members];
        for (std::int64_t m = 0; m < n_members; ++m) members[m] = member(c, first + m);
        for (int j = 0; j < n && !stopped_after(0); ++j) {
            set_rule(c, j);
            for (std::int64_t m = 0; m < n_members; ++m) take_batch(data, j, first + m, m * batch);
            take_step(members, int(n_members), false);
        }
    }

    // All configs begin .. end - 1 of one replicate, with the same rows, gang after gang.
    void advance_sharing(std::int64_t begin, std::int64_t end, std::int64_t replicate, int n) {
        const DataView& data = problem(begin).train;
        Member members[most_members];
        for (int j = 0; j < n && !stopped_after(0); ++j) {
            for (int m = 0; m < b.members; ++m) take_batch(data, j, replicate, m * batch);
            for (std::int64_t c = begin; c < end; c += b.members) {
                const int n_members = int(end - c < b.members ? end - c : b.members);
                for (int m = 0; m < n_members; ++m) {
                    members[m] = member(c + m, replicate);
                    set_rule(c + m, j);
                }
                take_step(members, n_members, true);
            }
        }
    }

    // One step of every member; the rows of member m are b.row[m * batch ...], those of all are the same if `sharing`.
    void take_step(const Member* members, int n_members, bool sharing) {
        if (b.linear)
            linear_outputs(members, n_members, sharing);
        else
            network_outputs(members[0].w.x, b.row, batch);
        const std::int64_t n_samples = n_members * batch;
        differentiate(b.output, b.target, n_samples);
        for (int m = 0; m < n_members; ++m) {
            const Real scale = e.momentum > 0 ? share : b.rule[members[m].config].minus_lr * share;
            for (std::int64_t k = 0; k < layout.units[layout.layers - 1]; ++k) {
                Real* const c = b.output + k * b.samples + m * batch;
                for (std::int64_t s = 0; s < batch; ++s) c[s] = scale * c[s];
            }
        }
        if (e.momentum > 0)
            update_members<Terms::momentum>(members, n_members);
        else if (b.decay[members[0].config] > 0)
            update_members<Terms::rows_and_decay>(members, n_members);
        else
            update_members<Terms::rows>(members, n_members);
    }

    template <Terms terms>
    void update_members(const Member* members, int n_members) {
        for (int m = 0; m < n_members; ++m) {
            update_layers<terms>(members[m], m * batch);
            finish_step(members[m]);
        }
    }

    void finish_step(const Member& member) {
        if (couples_coordinates(e.problems.projection)) project(member);
        if (e.iterate == Iterate::last) return;
        Real* const segment = b.averages.segment + at(member.config, member.replicate);
        for (std::int64_t i = 0; i < layout.size; i += width)
            store(segment + i, load<R>(segment + i) + load<R>(member.w.x + i));
    }

    void linear_outputs(const Member* members, int n_members, bool sharing) {
        const std::int64_t outputs = layout.units[0], length = layout.row[0];
        if (outputs == 1 && sharing) {
            for (int m = 0; m < n_members; ++m) b.unit[m] = members[m].w.x;
            products<R>(b.row, batch, b.unit, n_members, length, b.panel, {b.output, 1, batch});
        } else {
            for (int m = 0; m < n_members; ++m) {
                for (std::int64_t k = 0; k < outputs; ++k) b.unit[k] = members[m].w.x + k * length;
                products<R>(b.row + m * batch, batch, b.unit, outputs, length, b.panel,
                            {b.output + m * batch, 1, b.samples});
            }
        }
        if (layout.has_intercept)
            for (int m = 0; m < n_members; ++m) add_intercepts(members[m].w.x, m * batch, batch);
    }

    void add_intercepts(const Real* x, std::int64_t first, std::int64_t n) {
        const int last = layout.layers - 1;
        for (std::int64_t k = 0; k < layout.units[last]; ++k) {
            const Real intercept = x[layout.intercept[last] + k];
            Real* const z = b.output + k * b.samples + first;
            for (std::int64_t s = 0; s < n; ++s) z[s] = z[s] + intercept;
        }
    }

    // Hidden layers of n samples and the outputs. Trajectories share the memory of their activations, so what pads
    // these is made zero each time: a trajectory that overflowed has NaN in its own padding.
    void network_outputs(const Real* x, const Real* const* rows, std::int64_t n) {
        for (int k = 0; k < layout.layers; ++k) {
            for (std::int64_t u = 0; u < layout.units[k]; ++u) b.unit[u] = x + layout.weights[k] + u * layout.row[k];
            if (k == layout.layers - 1) {
                products<R>(rows, n, b.unit, layout.units[k], layout.row[k], b.panel, {b.output, 1, b.samples});
                if (layout.has_intercept) add_intercepts(x, 0, n);
                return;
            }
            const std::int64_t length = layout.row[k + 1];
            products<R>(rows, n, b.unit, layout.units[k], layout.row[k], b.panel, {b.hidden[k], length, 1});
            const Real* const intercept = x + layout.intercept[k];
            const R number_of_units = set1<R>(Real(layout.units[k]));
            with_kind(network.activation, [&](auto activation) {
                for (std::int64_t s = 0; s < n; ++s)
                    for (std::int64_t u = 0; u < length; u += width) {
                        Real* const a = b.hidden[k] + s * length + u;
                        R z = load<R>(a);
                        if (layout.has_intercept) z = z + load<R>(intercept + u);
                        z = activated<activation.value>(z);
                        store(a, select_less(load<R>(b.unit_number + u), number_of_units, z, set1<R>(0)));
                    }
            });
            for (std::int64_t s = 0; s < n; ++s) b.hidden_row[s] = b.hidden[k] + s * length;
            rows = b.hidden_row;
        }
    }

    // Outputs become derivatives of the losses.
    void differentiate(Real* output, const Real* target, std::int64_t n_samples) {
        const int outputs = int(layout.units[layout.layers - 1]);
        with_kind(network.loss, [&](auto loss) {
            for (std::int64_t s = 0; s < n_samples; s += width)
                differentiate_outputs<loss.value, R>(output + s, b.samples, outputs, load<R>(target + s));
        });
    }

    // Every layer's parameters, from the scaled derivatives in b.output on.
    template <Terms terms>
    void update_layers(const Member& member, std::int64_t first) {
        const int last = layout.layers - 1;
        const Rule<Real>& rule = b.rule[member.config];
        RowFactors<Real> factors[max_layers];
        factors[last] = {b.output + first, 1, b.samples};
        for (int k = last; k > 0; --k) {
            back_through<R>(factors[k], batch, member.w.x + layout.weights[k], layout.units[k], layout.row[k],
                            b.delta[k - 1]);
            through_activations(k - 1);
            factors[k - 1] = {b.delta[k - 1], layout.row[k], 1};
        }
        for (int k = last; k >= 0; --k) {
            if (k > 0)
                for (std::int64_t s = 0; s < batch; ++s) b.hidden_row[s] = b.hidden[k - 1] + s * layout.row[k];
            add_rows<R, terms>({rule, k > 0 ? b.hidden_row : b.row + first, batch, factors[k],
                                member.w.from(layout.weights[k]), layout.row[k]},
                               layout.units[k]);
            if (layout.has_intercept) update_intercepts<terms>(rule, factors[k], member, k);
        }
    }

    void through_activations(int k) {
        const std::int64_t n = batch * layout.row[k + 1];
        for (std::int64_t i = 0; i < n; i += width) {
            const R a = load<R>(b.hidden[k] + i), delta = load<R>(b.delta[k] + i);
            with_kind(network.activation,
                      [&](auto activation) { store(b.delta[k] + i, through_activation<activation.value>(a, delta)); });
        }
    }

    // Like a row of ones, but neither l2 nor weight decay touches them.
    template <Terms terms>
    void update_intercepts(const Rule<Real>& rule, const RowFactors<Real>& c, const Member& member, int k) {
        for (std::int64_t u = 0; u < layout.units[k]; ++u) {
            const Weights<Real> at = member.w.from(layout.intercept[k] + u);
            Real sum = before_ones<terms>(*at.low);
            for (std::int64_t s = 0; s < batch; ++s) sum = sum + c.c[s * c.sample_stride + u * c.unit_stride];
            store_after_rows<terms>(rule, sum, at);
        }
    }

    void project(const Member& member) {
        constexpr int V = Block<R>::vectors;
        R sum[V];
        for (int v = 0; v < V; ++v) sum[v] = set1<R>(0);
        for (std::int64_t i = 0; i < layout.size; i += row_multiple)
            for (int v = 0; v < V; ++v) {
                const R y = load<R>(member.w.x + i + v * width);
                sum[v] = fma(y, y, sum[v]);
            }
        alignas(64) Real acc[row_multiple];
        for (int v = 0; v < V; ++v) store(acc + v * width, sum[v]);
        const double radius = problem(member.config).radius;
        const R factor = ball_factor(Real(radius), Real(radius * radius), set1<R>(fold_row(acc)));
        for (std::int64_t i = 0; i < layout.size; i += width) store(member.w.x + i, load<R>(member.w.x + i) * factor);
    }

    // --- records -----------------------------------------------------------------------------------------------------

    // The metrics of one data set at all points of the range.
    void evaluate(const Real* points, bool test) {
        for (std::int64_t i = 0; i < b.trajectories * row_multiple; ++i) b.loss[i] = 0;
        for (std::int64_t i = 0; i < b.trajectories; ++i) b.hits[i] = 0;
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = begin + 1;
            while (end < b.configs && b.problem[end] == b.problem[begin]) ++end;
            const DataView& data = test ? problem(begin).test : problem(begin).train;
            for (std::int64_t first = 0; first < data.rows; first += evaluated_rows) {
                const std::int64_t n = data.rows - first < evaluated_rows ? data.rows - first : evaluated_rows;
                for (std::int64_t s = 0; s < evaluated_rows; ++s) {
                    const std::int64_t i = first + (s < n ? s : n - 1);
                    b.row[s] = static_cast<const Real*>(data.features) + i * layout.row[0];
                    b.target[s] = static_cast<const Real*>(data.targets)[i];
                }
                evaluate_rows(points, begin * replicates, end * replicates, n);
                if (stopped_after((end - begin) * replicates * n * e.problems.dimension)) return;
            }
            for (std::int64_t c = begin; c < end; ++c)
                for (std::int64_t r = 0; r < replicates; ++r) finish(points, c, r, data, test);
        }
    }

    // Adds the losses of the rows in b.row at points first .. stop - 1.
    void evaluate_rows(const Real* points, std::int64_t first, std::int64_t stop, std::int64_t n) {
        const bool together = b.linear && layout.units[0] == 1;
        const std::int64_t group = together ? most_products / evaluated_rows : 1;
        alignas(64) Real z[most_products];
        for (std::int64_t p = first; p < stop && !stopped; p += group) {
            const std::int64_t count = stop - p < group ? stop - p : group;
            if (!together) {
                network_outputs(points + p * layout.size, b.row, evaluated_rows);
                if (stopped_after(0)) return;
                add_losses(b.output, p, n);
                continue;
            }
            for (std::int64_t i = 0; i < count; ++i) b.unit[i] = points + (p + i) * layout.size;
            products<R>(b.row, evaluated_rows, b.unit, count, layout.row[0], b.panel, {z, 1, evaluated_rows});
            for (std::int64_t i = 0; i < count; ++i) {
                if (layout.has_intercept) {
                    const R intercept = set1<R>(b.unit[i][layout.intercept[0]]);
                    for (std::int64_t s = 0; s < evaluated_rows; s += width) {
                        Real* const value = z + i * evaluated_rows + s;
                        store(value, load<R>(value) + intercept);
                    }
                }
                add_losses(z + i * evaluated_rows, p + i, n);
            }
        }
    }

    // Losses, and hits, of the first n of evaluated_rows samples with outputs z.
    void add_losses(const Real* z, std::int64_t point, std::int64_t n) {
        alignas(64) Real losses[evaluated_rows], hits[evaluated_rows];
        const int outputs = int(layout.units[layout.layers - 1]);
        with_kind(network.loss, [&](auto loss) {
            for (std::int64_t s = 0; s < evaluated_rows; s += width) {
                const R y = load<R>(b.target + s);
                store(losses + s, loss_of_outputs<loss.value, R>(z + s, b.samples, outputs, y));
                store(hits + s, target_predicted<loss.value, R>(z + s, b.samples, outputs, y));
            }
        });
        double* const sum = b.loss + point * row_multiple;
        for (std::int64_t s = 0; s < n; ++s) sum[s] += double(losses[s]);
        for (std::int64_t s = 0; s < n; ++s) b.hits[point] += double(hits[s]);
    }

    // The metrics of one trajectory from its sums.
    void finish(const Real* points, std::int64_t c, std::int64_t r, const DataView& data, bool test) {
        const std::int64_t point = c * replicates + r;
        double* const sum = b.loss + point * row_multiple;
        const bool penalised = !test && problem(c).l2 > 0;
        const Evaluation evaluation{fold_row(sum) / double(data.rows), b.hits[point] / double(data.rows),
                                    penalised ? squared_weights(points + point * layout.size) : 0};
        for (std::int64_t m = 0; m < e.metric_count; ++m)
            if (is_of_test(e.metrics[m]) == test)
                b.recorded[int(e.metrics[m])][point] = Real(metric_value(e.metrics[m], evaluation, problem(c)));
    }

    double squared_weights(const Real* x) {
        double acc[row_multiple] = {};
        for (int k = 0; k < layout.layers; ++k)
            for (std::int64_t i = layout.weights[k]; i < layout.intercept[k]; i += row_multiple)
                for (int l = 0; l < row_multiple; ++l) {
                    const double w = double(x[i + l]);
                    acc[l] = __builtin_fma(w, w, acc[l]);
                }
        return fold_row(acc);
    }
};

template <class R>
ASGD_FN std::int64_t data_scratch_bytes(const EnsembleSpec& e, const Range& range) {
    Arena arena{nullptr};
    const DataBuffers<R> buffers(e, range, arena);
    const LearningRates<R> rates(buffers.configs, arena);
    return arena.used;
}

template <class R, class W>
static bool run_data_range(const EnsembleSpec& e, const Range& range, void* scratch, const Listener& listener) {
    Arena arena{static_cast<char*>(scratch)};
    return DataRunner<R, W>(e, range, arena, listener).run();
}

ASGD_ISA_NAMESPACE_END
