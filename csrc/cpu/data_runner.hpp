// Advances a task, trajectories of a problem on data, on one core: written once over lane types. Included by
// isa_*.cpp only.
//
// Vectors run along the features (products.hpp), so a trajectory's weights are contiguous and a row is read as it lies
// in the data. Trajectories advance in gangs, whose outputs fill vectors when the loss is differentiated: without
// shared rows (streams of their own, or one config) a gang is some replicates of one config; where configs share the
// stream it is some configs of one replicate, every row that it loads is used by all of them, and the products of rows
// and weights are a small matrix product. Recorded losses pass over the data once for all trajectories of the task.
//
// What the parts work on is data_state.hpp; they are the pass through a network, three ways to take steps and the
// evaluation of metrics, each in a file of its own.
#pragma once

#include "column_steps.hpp"
#include "data_evaluation.hpp"
#include "gang_steps.hpp"
#include "method_steps.hpp"
#include "noise.hpp"
#include "single_steps.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// R: lanes of the ensemble's precision. W: lanes of float32, for random words.
template <class R, class W>
class DataRunner : public Stoppable {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    DataState<R> state;
    DataPass<R> pass{state};
    ColumnSteps<R> columns{state};
    SingleSteps<R> singles{state, pass};
    GangSteps<R> gangs{state, pass};
    MethodSteps<R> method{state, pass};
    DataEvaluation<R> evaluation{state, pass};
    const EnsembleSpec& e;
    const NetworkSpec& network;
    const Task& task;
    DataBuffers<R>& b;
    const Configs& configs;
    const NetworkLayout& layout;
    const PhiloxKeys keys;
    const std::int64_t batch, replicates;

public:
    DataRunner(const EnsembleSpec& ensemble, const Task& r, Arena& arena, const Listener& l)
        : Stoppable(l),
          state(ensemble, r, arena, *this),
          e(state.e),
          network(state.network),
          task(state.task),
          b(state.b),
          configs(state.configs),
          layout(state.layout),
          keys(philox_keys(ensemble.seed)),
          batch(state.batch),
          replicates(state.replicates) {}

    // False if the listener stopped it.
    bool run() {
        start();
        take_horizon(e, b.tile_steps, *this);
        return !stopped;
    }

    // For take_horizon.
    void advance(std::int64_t t, int n) {
        state.rates.compute(configs, t, n);
        state.numbers.compute(e, t, n);
        state.tile_sample = t * batch * evaluations(network);
        for (std::int64_t first = 0; first < replicates; first += index_replicates) {
            const std::int64_t count = replicates - first < index_replicates ? replicates - first : index_replicates;
            for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
                end = sharing_stop(begin);
                draw_samples(begin, first, t, n);
                if (network.method != nullptr)
                    method.advance(begin, end, first, count, t, n);
                else if (columns.worth(end - begin, n))
                    columns.advance(begin, end, first, count, n);
                else if (b.linear && layout.units[0] == 1 && batch == 1)
                    singles.advance(begin, end, first, count, n);
                else if (end - begin > 1)
                    for (std::int64_t l = 0; l < count && !stopped; ++l)
                        gangs.advance_sharing(begin, end, first + l, n);
                else
                    for (std::int64_t l = 0; l < count && !stopped; l += b.members)
                        gangs.advance_separate(begin, first + l, count - l < b.members ? count - l : b.members, n);
                stopped_after((end - begin) * count * n * batch * e.problems.dimension);
                if (stopped) return;
            }
        }
    }

    void close_segments(std::int64_t k) {
        in_pieces(state.state_size(),
                  [&](std::int64_t begin, std::int64_t end) { b.averages.close_segment(e, k, begin, end); });
    }
    void save_window_start(std::int64_t r) {
        in_pieces(state.state_size(),
                  [&](std::int64_t begin, std::int64_t end) { b.averages.save_window_start(r, begin, end); });
    }
    void report(std::int64_t record, std::int64_t k) {
        const Real* points = b.weights.x;
        if (e.iterate != Iterate::last && k > 0) {
            in_pieces(state.state_size(), [&](std::int64_t begin, std::int64_t end) {
                b.averages.average(e, record, k, 0, begin, end, b.averaged);
            });
            points = b.averaged;
        }
        if (records_training(e)) evaluation.evaluate(points, false);
        if (records_test(e) && !stopped) evaluation.evaluate(points, true);
        if (b.own_metrics.count() > 0 && !stopped) evaluation.evaluate_own(points);
        for (std::int64_t c = 0; c < b.configs && !stopped; ++c)
            for (std::int64_t m = 0; m < e.metric_count; ++m)
                listener.recorded(listener.context, task.first_config + c, record * e.metric_count + m,
                                  values_of(m) + c * replicates);
        if (e.keep_iterates && record == e.record_count - 1) report_points(points);
    }

private:
    const Real* values_of(std::int64_t m) const {
        const std::int64_t number = e.metrics[m] == Metric::own ? own_before(e.metrics, m) : 0;
        return b.recorded[int(e.metrics[m])] + number * b.trajectories;
    }

    // Coordinate after coordinate of every config.
    void report_points(const Real* points) {
        for (std::int64_t c = 0; c < b.configs; ++c)
            for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int, bool) {
                if (stopped_after(replicates)) return;
                for (std::int64_t r = 0; r < replicates; ++r) b.coordinate[r] = points[state.at(c, r) + offset];
                listener.recorded(listener.context, task.first_config + c, e.record_count * e.metric_count + i,
                                  b.coordinate);
            });
    }

    // Configs c .. sharing_stop(c) - 1 take the same rows.
    std::int64_t sharing_stop(std::int64_t c) const {
        std::int64_t stop = c + 1;
        if (e.common_random_numbers)
            while (stop < b.configs && b.problem[stop] == b.problem[c]) ++stop;
        return stop;
    }

    void start() {
        state.rates.start(configs);
        b.own_loss.start();
        b.own_metrics.start(e.problems.dimension);
        for (std::int64_t c = 0; c < b.configs; ++c) {
            b.problem[c] = configs.problem(c);
            b.decay[c] = Real(state.problem(c).l2 + e.weight_decay);
        }
        in_pieces(state.state_size(), [&](std::int64_t begin, std::int64_t end) {
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
        memset(b.row_weight, 0, sizeof(Real) * std::size_t(b.samples));
        memset(b.output, 0, sizeof(Real) * std::size_t(layout.units[layout.layers - 1] * b.samples));
        for (std::int64_t c = 0; c < b.configs && !stopped_after(0); ++c) {
            if (state.problem(c).x0 != nullptr)
                start_at(c, state.problem(c).x0);
            else
                for (std::int64_t first = 0; first < replicates && !stopped_after(0); first += width)
                    draw_start(c, first);
        }
        if (network.method != nullptr) method.start();
    }

    void start_at(std::int64_t c, const double* x0) {
        for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int, bool) {
            b.weights.x[state.at(c, 0) + offset] = Real(x0[i]);
        });
        for (std::int64_t r = 1; r < replicates; ++r)
            memcpy(b.weights.x + state.at(c, r), b.weights.x + state.at(c, 0), sizeof(Real) * std::size_t(layout.size));
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
                fill_values<R, NoiseKind::gaussian, 1>(keys, configs.stream(c), substream_of_start,
                                                       uint32_t(task.first_replicate + first), 1, begin, drawn,
                                                       b.start);
            }
            const double gain = layer + 1 < layout.layers ? start_gain(network.activation) : 1.0;
            const Real scale = Real(__builtin_sqrt(gain / double(layout.inputs[layer])));
            for (std::int64_t l = 0; l < n; ++l)
                b.weights.x[state.at(c, first + l) + offset] = scale * b.start[i % segment_steps * width + l];
        });
    }

    // Rows that index_replicates replicates take in steps t .. t + n - 1, to b.index: one evaluation after another.
    void draw_samples(std::int64_t c, std::int64_t first, std::int64_t t, int n) {
        const SampleStream stream{keys, uint32_t(state.problem(c).train.rows), configs.stream(c),
                                  uint32_t(task.first_replicate + first)};
        const std::int64_t taken = batch * evaluations(network), begin = t * taken, stop = (t + n) * taken;
        switch (network.sampling) {
            case Sampling::with_replacement: return fill_with_replacement<W>(stream, begin, stop, b.index);
            case Sampling::reshuffling: return fill_reshuffled<W>(stream, begin, stop, b.index);
            case Sampling::sequential: return fill_sequential(stream.rows, begin, stop, b.index);
        }
    }
};

template <class R>
ASGD_FN std::int64_t data_scratch_bytes(const EnsembleSpec& e, const Task& task) {
    Arena arena{nullptr};
    const DataBuffers<R> buffers(e, task, arena);
    const LearningRates<R> rates(buffers.configs, arena);
    const StepNumbers<R> numbers(e, arena);
    return arena.used;
}

template <class R, class W>
static bool run_data_range(const EnsembleSpec& e, const Task& task, void* scratch, const Listener& listener) {
    Arena arena{static_cast<char*>(scratch)};
    return DataRunner<R, W>(e, task, arena, listener).run();
}

ASGD_ISA_NAMESPACE_END
