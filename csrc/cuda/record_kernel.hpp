// The kernel that records metrics of problems on data: losses of rows, and of all of them the mean. Included by
// data_kernels.cuh and data_kernels_emulated.cpp.
//
// Row i is added by thread i mod 16 of a trajectory's team: the 16 accumulators of the mean. A launch may take some of
// the rows and leave its sums to the next.
#pragma once

#include "../core/metrics.hpp"  // after the lane types, which block.hpp brings
#include "network_pass.hpp"
#include "teams.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct RecordKernel {
    const cuda::DataLaunch& p;
    Block& block;
    Real* dynamic;
    Teams teams{p, block};
    NetworkPass<Real> pass{p, block, dynamic};

    template <class T>
    using PerThread = typename Block::template PerThread<T>;
    using Sum = PerThread<Values<double, 1>>;

    ASGD_KERNEL_MEMBER std::int64_t place(int thread) const { return block.index() * block_threads + thread; }

    ASGD_KERNEL_MEMBER void run() {
        teams.find();
        pass.data = p.test ? &teams.problem->test : &teams.problem->train;
        const std::int64_t row_count = pass.data->rows;
        find_points();
        pass.start_losses();
        Sum losses, hits;
        block.each([&](int thread) {
            losses[thread][0] = p.first_row > 0 ? p.losses[place(thread)] : 0.0;
            hits[thread][0] = p.first_row > 0 ? p.hits[place(thread)] : 0.0;
        });
        const std::int64_t stop = smaller(p.stop_row, row_count);
        for (std::int64_t first = p.first_row; first < stop; first += p.layout.round) {
            pass.count = int(smaller(p.layout.round, stop - first));
            const auto rows = [&](int, int s) { return first + s; };
            pass.forward(rows);
            pass.losses(rows, [&](int thread, int s, Real loss, Real hit) {
                losses[thread][0] = add_loss(losses[thread][0], double(loss), double(pass.row_weight(first + s)));
                hits[thread][0] += double(hit);
            });
        }
        if (p.stop_row >= p.last_row) {
            finish(losses, hits, row_count);
            return;
        }
        block.each([&](int thread) {
            p.losses[place(thread)] = losses[thread][0];
            p.hits[place(thread)] = hits[thread][0];
        });
    }

    // Where losses are wanted: the iterates, or their averages.
    ASGD_KERNEL_MEMBER void find_points() {
        if (!teams.averaging() && p.point.shared < 0) return;
        const Teams::Averaging averaging = teams.averaging_at(p.record);
        block.each([&](int thread) {
            for (int m = 0; m < p.layout.spans; ++m)
                pass.at(p.point, thread, m) = teams.recorded_element<Real>(averaging, thread, m);
        });
    }

    ASGD_KERNEL_MEMBER void finish(Sum& losses, Sum& hits, std::int64_t rows) {
        const DataProblem& problem = *teams.problem;
        block.fold_products(losses);
        block.fold_products(hits);
        Sum squares;
        if (!p.test && problem.l2 > 0) {
            block.each([&](int thread) {
                double sum = 0;
                for (int k = 0; k < p.net.layers; ++k)
                    for (int m = pass.weight(k, 0); m < pass.intercept(k, 0); ++m) {
                        const double w = double(pass.at(p.point, thread, m));
                        sum = fma(w, w, sum);
                    }
                squares[thread][0] = sum;
            });
            block.fold_products(squares);
        }
        block.each([&](int thread) {
            const int team = thread / team_threads;
            if (pass.rank(thread) != 0 || !teams.is_active(team)) return;
            record(team, {losses[thread][0] / double(rows), hits[thread][0] / double(rows), squares[thread][0]});
        });
    }

    ASGD_KERNEL_MEMBER void record(int team, const Evaluation& evaluation) {
        const std::int64_t config = teams.first_config + teams.config_of_team(team) - p.first_config;
        const std::int64_t metrics = p.ensemble.metric_count;
        for (std::int64_t m = 0; m < metrics; ++m)
            if (p.ensemble.metrics[m] != Metric::own && is_of_test(p.ensemble.metrics[m]) == p.test)
                static_cast<Real*>(
                    p.values)[((config * p.ensemble.record_count + p.record) * metrics + m) * p.value_stride +
                              teams.replicate_of_team(team) - p.first_replicate] =
                    Real(metric_value(p.ensemble.metrics[m], evaluation, *teams.problem));
    }
};

ASGD_ISA_NAMESPACE_END
