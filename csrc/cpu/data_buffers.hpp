// The memory of a task on data. Included by data_state.hpp.
#pragma once

#include "../core/network.hpp"
#include "horizon.hpp"
#include "method_buffers.hpp"
#include "own_loss.hpp"
#include "own_metrics.hpp"
#include "products.hpp"
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
    OwnLoss<R> own_loss;
    OwnMetrics<R> own_metrics;
    MethodBuffers<R> method;
    std::int64_t configs, trajectories, members, samples;
    int tile_steps;
    bool linear;

    Weights<Real> weights;  // [config, replicate, padded point]; velocities with momentum only
    Averages<R> averages;   // of x
    Real* averaged;         // the same

    uint32_t* index;           // [sample in the tile, replicate of index_replicates]
    const Real** row;          // [sample]: of a step, or rows to evaluate
    const Real** unit;         // [unit of any layer, or member]
    Real* target;              // [sample]
    Real* row_weight;          // [sample], where rows have weights
    Real* output;              // [output, sample]
    Real* hidden[max_layers];  // [sample, padded unit]: activations
    Real* delta[max_layers];   // the same: derivatives
    const Real** hidden_row;   // [sample]
    Real* unit_number;         // [padded unit of any hidden layer]: 0, 1, ..
    Real* panel;
    Real* start;                         // [coordinate in a piece, replicate]: drawn
    Weights<Real> columns;               // [element, config of its vectors]: weights where configs share rows
    Real* column_factors;                // [sample, config of its vectors]
    Real* column_lr;                     // [step, config of its vectors]: -lr
    Real* point_columns;                 // [element, point of its vectors]: points to evaluate
    std::int64_t* problem;               // [config]
    Rule<Real>* rule;                    // [config]: of the step at work
    Real* decay;                         // [config]: lambda
    double* loss;                        // [config, replicate, accumulator]
    double* hits;                        // the same
    Real* recorded[kind_count<Metric>];  // [config, replicate]; metrics of one's own one after another
    Real* coordinate;                    // [replicate]: of the points of one config

    DataBuffers(const EnsembleSpec& e, const Task& task, Arena& arena)
        : layout(network_layout(*e.problems.network)),
          own_loss(*e.problems.network, arena),
          own_metrics(*e.problems.network, arena) {
        const NetworkSpec& network = *e.problems.network;
        configs = task.stop_config - task.first_config;
        trajectories = configs * (task.stop_replicate - task.first_replicate);
        linear = layout.layers == 1;
        const std::int64_t wanted = network.own_loss != nullptr ? own_loss.wanted_samples : most_members;
        const std::int64_t filling = (wanted + network.batch_size - 1) / network.batch_size;
        const std::int64_t to_fill = filling < most_members ? filling : most_members;
        members = !linear ? 1 : layout.units[0] == 1 && to_fill < shared_members ? shared_members : to_fill;
        samples =
            padded_row(members * network.batch_size > evaluated_rows ? members * network.batch_size : evaluated_rows);
        const std::int64_t taken = network.batch_size * evaluations(network);  // in a step
        tile_steps = segment_steps;
        while (tile_steps > 1 && tile_steps * taken > most_samples) tile_steps /= 2;

        if (network.method != nullptr) method.take(e, layout, task, samples, arena);
        const std::int64_t state = trajectories * layout.size;
        const auto take_weights = [&](std::int64_t n) {
            Real* const x = arena.take<Real>(n);
            Real* const low = arena.take<Real>(n);
            return Weights<Real>{x, low, e.momentum > 0 ? arena.take<Real>(n) : x};
        };
        weights = take_weights(state);
        averages.take(e, state, arena);
        averaged = arena.take<Real>(e.iterate != Iterate::last ? state : 0);

        index = arena.take<uint32_t>((tile_steps * taken + 8) * index_replicates);
        row = arena.take<const Real*>(samples);
        target = arena.take<Real>(samples);
        row_weight = arena.take<Real>(samples);
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
        start = arena.take<Real>((segment_steps + 8) * index_replicates);
        const bool by_columns = may_go_by_columns(e) && configs > 1;
        constexpr int wide = most_column_vectors<R> * Lane<R>::width;
        columns = take_weights(by_columns ? layout.row[0] * wide : 0);
        column_factors = arena.take<Real>(by_columns ? network.batch_size * wide : 0);
        column_lr = arena.take<Real>(by_columns ? segment_steps * wide : 0);
        point_columns = arena.take<Real>(linear && layout.units[0] == 1 ? layout.row[0] * wide : 0);
        problem = arena.take<std::int64_t>(configs);
        rule = arena.take<Rule<Real>>(configs);
        decay = arena.take<Real>(configs);
        loss = arena.take<double>(trajectories * row_multiple);
        hits = arena.take<double>(trajectories * row_multiple);
        for (int m = 0; m < kind_count<Metric>; ++m)
            recorded[m] = arena.take<Real>(trajectories * (Metric(m) == Metric::own ? own_metrics.count() : 1));
        coordinate = arena.take<Real>(e.keep_iterates ? task.stop_replicate - task.first_replicate : 0);
    }
};

ASGD_ISA_NAMESPACE_END
