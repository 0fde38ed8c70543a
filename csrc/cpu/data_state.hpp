// A task of a problem on data under way: what every way to take steps, and the evaluation of metrics,
// work on. Included by them and by data_runner.hpp.
#pragma once

#include "data_buffers.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
struct DataState {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    const EnsembleSpec& e;
    const NetworkSpec& network;
    const Task& task;
    Stoppable& stoppable;
    DataBuffers<R> b;
    LearningRates<R> rates;
    StepNumbers<R> numbers;
    const Configs configs;
    const NetworkLayout& layout;
    const std::int64_t batch, replicates;
    const Real share;              // of a sample in a step
    std::int64_t tile_sample = 0;  // number of the first sample of the tile

    struct Member {
        std::int64_t config, replicate;  // counted in the task
        Weights<Real> w;
    };

    DataState(const EnsembleSpec& ensemble, const Task& r, Arena& arena, Stoppable& whole)
        : e(ensemble),
          network(*ensemble.problems.network),
          task(r),
          stoppable(whole),
          b(ensemble, r, arena),
          rates(b.configs, arena),
          numbers(ensemble, arena),
          configs(ensemble, r),
          layout(b.layout),
          batch(network.batch_size),
          replicates(r.stop_replicate - r.first_replicate),
          share(Real(1) / Real(network.batch_size)) {}

    bool stopped() const { return stoppable.stopped; }
    bool stopped_after(std::int64_t work) { return stoppable.stopped_after(work); }
    std::int64_t state_size() const { return b.trajectories * layout.size; }
    std::int64_t at(std::int64_t config, std::int64_t replicate) const {
        return (config * replicates + replicate) * layout.size;
    }
    const DataProblem& problem(std::int64_t c) const { return e.problems.data[b.problem[c]]; }
    Member member(std::int64_t c, std::int64_t r) const { return {c, r, b.weights.from(at(c, r))}; }

    void set_rule(std::int64_t c, int j) {
        const Real minus_lr = rates.minus_lr[c * segment_steps + j];
        const Real decay = e.momentum > 0 ? b.decay[c] : minus_lr * b.decay[c];
        b.rule[c] = {decay, minus_lr, Real(e.momentum), e.nesterov};
    }

    bool has_row_weights(std::int64_t c) const { return problem(c).train.row_weights != nullptr; }

    // Rows, targets and weights of the batch that replicate takes in step j of the tile, from place `sample` on.
    void take_batch(const DataView& data, int j, std::int64_t replicate, std::int64_t sample) {
        const uint32_t* index =
            b.index + (j * batch + tile_sample % 4) * index_replicates + replicate % index_replicates;
        const Real* const features = static_cast<const Real*>(data.features);
        const Real* const targets = static_cast<const Real*>(data.targets);
        const Real* const row_weights = static_cast<const Real*>(data.row_weights);
        for (std::int64_t s = 0; s < batch; ++s) {
            const std::int64_t i = index[s * index_replicates];
            b.row[sample + s] = features + i * layout.row[0];
            b.target[sample + s] = targets[i];
            if (row_weights != nullptr) b.row_weight[sample + s] = row_weights[i];
        }
    }

    // What ends a step of a trajectory: its projection and its running sums.
    void finish_step(const Member& member) {
        if (couples_coordinates(e.problems.projection)) project(member);
        if (e.iterate == Iterate::last) return;
        Real* const segment = b.averages.segment + at(member.config, member.replicate);
        for (std::int64_t i = 0; i < layout.size; i += width)
            store(segment + i, load<R>(segment + i) + load<R>(member.w.x + i));
    }

private:
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
};

ASGD_ISA_NAMESPACE_END
