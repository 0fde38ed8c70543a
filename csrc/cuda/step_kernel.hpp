// The kernel that takes steps of problems on data: one body for GPUs and for the emulation of block.hpp. Included by
// data_kernels.cuh and data_kernels_emulated.cpp.
//
// Teams of 16 threads take one trajectory each (network_pass.hpp). A step's batch goes in rounds; its rows are read
// where they lie, by configs that share them at the same time, so that they come from the L1 cache.
#pragma once

#include "method_step.hpp"
#include "network_pass.hpp"
#include "row_numbers.hpp"
#include "single_steps.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct StepShared {
    LearningRates<Real, cuda::most_data_learning_rates> rates;
    RowNumbers rows;
};

// Steps of SGD, or of a method.
template <class Real_, cuda::DataWork work>
struct StepKernel {
    using Real = Real_;
    static constexpr bool of_method = work == cuda::DataWork::method_steps;

    const cuda::DataLaunch& p;
    Block& block;
    StepShared<Real>& shared;
    Real* dynamic;
    Teams teams{p, block};
    SampleSequences samples{p, block, shared.rows};
    NetworkPass<Real, of_method> pass{p, block, dynamic};

    ASGD_KERNEL_MEMBER bool averaging() const { return teams.averaging(); }
    ASGD_KERNEL_MEMBER int batch() const { return int(p.network.batch_size); }
    // Samples of a step: of a batch for each evaluation.
    ASGD_KERNEL_MEMBER int taken() const { return of_method ? batch() * p.method.spec.evaluations : batch(); }

    ASGD_KERNEL_MEMBER void run() {
        teams.find();
        pass.data = &teams.problem->train;
        if constexpr (work != cuda::DataWork::single_steps) pass.start_losses();
        begin();
        std::int64_t t = p.first_step, window = p.first_window;
        for (;;) {
            for (; window < p.ensemble.record_count && window_start(p.ensemble, window) <= t; ++window)
                save_window_start(window);
            if (t == p.stop_step) break;
            const std::int64_t together = smaller(p.layout.tile_steps, segment_length(p.ensemble));
            std::int64_t stop = smaller(t - t % together + together, p.stop_step);
            if (window < p.ensemble.record_count) stop = smaller(stop, window_start(p.ensemble, window));
            const int n = int(stop - t);
            shared.rates.compute(block, p.ensemble, teams.configs(), p.layout.tile_steps, t, n);
            if constexpr (work == cuda::DataWork::single_steps) {
                take_single_steps(t, n);
                t = stop;
            } else {
                for (int j = 0; j < n; ++j, ++t) {
                    const int first = t == p.first_step ? p.first_sample : 0;
                    const int last = t == p.stop_step - 1 ? p.stop_sample : taken();
                    if constexpr (of_method)
                        take_evaluations(t, j, first, last);
                    else
                        take_samples(t, j, first, last);
                    if (last == taken()) finish_step();
                }
            }
            if (averaging() && t % segment_length(p.ensemble) == 0 && (t < p.stop_step || p.stop_sample == taken()))
                close_segments(t);
            if (t == p.stop_step && p.stop_sample < taken()) break;
        }
        end();
    }

    // --- the state

    template <class F>
    ASGD_KERNEL_MEMBER void for_elements(F f) {
        block.each([&](int thread) {
            for (int m = 0; m < p.layout.spans; ++m) f(thread, m);
        });
    }
    ASGD_KERNEL_MEMBER Real& x(int thread, int m) { return pass.at(p.point, thread, m); }
    ASGD_KERNEL_MEMBER Real& stored(const cuda::TeamArray& a, int thread, int m) {
        return static_cast<Real*>(a.memory)[teams.element(thread, m)];
    }

    // At step 0 the start, later what the last launch left.
    ASGD_KERNEL_MEMBER void begin() {
        const bool momentum = p.ensemble.momentum > 0;
        for_elements([&](int thread, int m) {
            if (p.start) {
                x(thread, m) = start_of(thread, m);
                pass.at(p.low, thread, m) = Real(0);
                if (momentum) pass.at(p.velocity, thread, m) = Real(0);
                if (averaging()) {
                    teams.segment<Real>(thread, m) = Real(0);
                    p.total[teams.element(thread, m)] = 0;
                }
            } else {
                if (p.point.shared >= 0) x(thread, m) = stored(p.point, thread, m);
                if (p.low.shared >= 0) pass.at(p.low, thread, m) = stored(p.low, thread, m);
                if (momentum && p.velocity.shared >= 0) pass.at(p.velocity, thread, m) = stored(p.velocity, thread, m);
            }
            // Also its padding, which no sample adds to and a launch that ends within a batch saves.
            if (p.sum.shared >= 0) pass.at(p.sum, thread, m) = p.first_sample > 0 ? stored(p.sum, thread, m) : Real(0);
        });
        if constexpr (of_method) {
            method().take_constants();
            if (p.start) take_method_step<Real>(p, block, dynamic, MethodPart::start, 0, 0);
        }
    }

    ASGD_KERNEL_MEMBER void end() {
        const bool momentum = p.ensemble.momentum > 0;
        for_elements([&](int thread, int m) {
            if (p.point.shared >= 0) stored(p.point, thread, m) = x(thread, m);
            if (p.low.shared >= 0) stored(p.low, thread, m) = pass.at(p.low, thread, m);
            if (momentum && p.velocity.shared >= 0) stored(p.velocity, thread, m) = pass.at(p.velocity, thread, m);
            if (p.stop_sample < taken() && p.sum.shared >= 0) stored(p.sum, thread, m) = pass.at(p.sum, thread, m);
        });
    }

    // Element m of a thread at step 0: given or drawn, and 0 where it pads.
    ASGD_KERNEL_MEMBER Real start_of(int thread, int m) {
        const PaddedElement e = padded_element(p.net, std::int64_t(m) * row_multiple + pass.rank(thread));
        const double* const x0 = teams.problem->x0;
        if (e.coordinate < 0) return Real(0);
        if (x0 != nullptr) return Real(x0[e.coordinate]);
        return e.is_weight ? drawn_start(thread, e.coordinate, e.layer) : Real(0);
    }

    ASGD_KERNEL_MEMBER Real drawn_start(int thread, std::int64_t coordinate, int layer) {
        constexpr int draws = value_draws_per_call<Real>;
        const int team = thread / team_threads;
        typename Lane<Real>::Bits bits[draws];
        philox_bits<Real>(philox_lanes(std::uint32_t(teams.replicate_of_team(team)), substream_of_start, keys_of(p)),
                          philox_call(teams.stream_of_team(team), std::uint32_t(coordinate / draws), keys_of(p)),
                          keys_of(p), bits);
        Real z[draws];
        draw_values<Real, NoiseKind::gaussian>(bits, z);
        Real value = z[0];
        ASGD_UNROLL
        for (int i = 1; i < draws; ++i) value = coordinate % draws == i ? z[i] : value;
        const double gain = layer + 1 < p.net.layers ? start_gain(p.network.activation) : 1.0;
        return Real(sqrt(gain / double(p.net.inputs[layer]))) * value;
    }

    // --- steps

    ASGD_KERNEL_MEMBER Real minus_lr(int thread, int j) const {
        return shared.rates.minus_lr.get(thread, teams.config_of_team(thread / team_threads) * p.layout.tile_steps + j);
    }

    ASGD_KERNEL_MEMBER Real lambda() const { return Real(teams.problem->l2 + p.ensemble.weight_decay); }
    ASGD_KERNEL_MEMBER Terms terms() const {
        return p.ensemble.momentum > 0 ? Terms::momentum : lambda() > 0 ? Terms::rows_and_decay : Terms::rows;
    }
    // Of the j-th step of the tile; for terms() and lambda(), which a caller knows.
    ASGD_KERNEL_MEMBER Rule<Real> rule(int thread, int j, Terms terms, Real lambda) const {
        const Real lr = minus_lr(thread, j);
        return {terms == Terms::momentum ? lambda : lr * lambda, lr, Real(p.ensemble.momentum), p.ensemble.nesterov};
    }

    // Samples first .. last - 1 of the batch of step t, the j-th of the tile.
    ASGD_KERNEL_MEMBER void take_samples(std::int64_t t, int j, int first, int last) {
        const Real share = Real(1) / Real(batch()), lambda = this->lambda();
        const Terms terms = this->terms();
        const bool momentum = terms == Terms::momentum;
        for (int s = first; s < last; s += p.layout.round) {
            pass.count = lesser(p.layout.round, last - s);
            samples.have(teams, t * batch() + s, pass.count, p.stop_step * batch());
            const int offset = int(t * batch() + s - samples.first);
            const auto rows = [&](int thread, int i) { return std::int64_t(samples.row(thread, offset + i)); };
            pass.forward(rows);
            pass.differentiate(rows, [&](int thread) { return momentum ? share : minus_lr(thread, j) * share; });
            pass.backward();
            pass.update(
                rows, [&](int thread) { return rule(thread, j, terms, lambda); }, terms, s == 0,
                s + pass.count == batch());
        }
    }

    // Steps t .. t + n - 1, a tile's.
    ASGD_KERNEL_MEMBER void take_single_steps(std::int64_t t, int n) {
        for (int j = 0; j < n;) {
            samples.have(teams, t + j, 1, p.stop_step);
            const int ahead = int(t - samples.first), first = j;
            j = lesser(n, samples.length - ahead);
            const auto take = [&](auto terms) {
                if (pass.row_spans(0) <= cuda::few_single_spans)
                    SingleSteps<StepKernel, terms.value, cuda::few_single_spans>{*this}.take(first, j, ahead + first);
                else
                    SingleSteps<StepKernel, terms.value, cuda::most_single_spans>{*this}.take(first, j, ahead + first);
            };
            switch (terms()) {
                case Terms::momentum: take(KindConstant<Terms::momentum>()); break;
                case Terms::rows_and_decay: take(KindConstant<Terms::rows_and_decay>()); break;
                case Terms::rows: take(KindConstant<Terms::rows>()); break;
                case Terms::gradient: break;  // of methods
            }
        }
    }

    // --- steps of a method

    ASGD_KERNEL_MEMBER MethodStep<Real> method() { return {{p, block, dynamic}}; }

    // Samples first .. last - 1 of the batches of step t, the j-th of the tile; after the last, the step.
    ASGD_KERNEL_MEMBER void take_evaluations(std::int64_t t, int j, int first, int last) {
        block.each([&](int thread) {
            if (pass.rank(thread) != 0) return;
            method().parameter(thread, 0) = -minus_lr(thread, j);
            method().parameter(thread, 1) = Real(t + 1);
            for (int k = 0; k < int(p.method.spec.step_numbers); ++k) {
                const double number = shared.rates.h.get(thread, k / 2 * p.layout.tile_steps + j);
                method().step_number(thread, k) = Real(k % 2 == 0 ? number : 1 - number);
            }
        });
        block.team_barrier();
        for (int s = first; s < last; s += pass.count) {
            const int k = s / batch(), of_batch = s - k * batch();
            pass.evaluation = k;
            pass.elsewhere = p.method.spec.points[k].elsewhere;
            pass.count = lesser(lesser(p.layout.round, batch() - of_batch), last - s);
            if (pass.elsewhere && of_batch == 0) take_method_step<Real>(p, block, dynamic, MethodPart::point, k, t);
            samples.have(teams, t * taken() + s, pass.count, p.stop_step * taken());
            take_gradient(int(t * taken() + s - samples.first), of_batch == 0, of_batch + pass.count == batch());
        }
        if (last == taken()) take_method_step<Real>(p, block, dynamic, MethodPart::step, 0, t);
    }

    // A round's, `offset` samples after those that are worked out: `begins` and `ends` say whether the batch does.
    ASGD_KERNEL_MEMBER void take_gradient(int offset, bool begins, bool ends) {
        const Real share = Real(1) / Real(batch()), lambda = Real(teams.problem->l2);
        const auto rows = [&](int thread, int i) { return std::int64_t(samples.row(thread, offset + i)); };
        pass.forward(rows);
        if (p.method.spec.takes_values) add_losses(rows, begins, ends);
        pass.differentiate(rows, [&](int) { return share; });
        pass.backward();
        pass.update(
            rows, [&](int) { return Rule<Real>{lambda, Real(0), Real(0), false}; }, Terms::gradient, begins, ends);
    }

    // To the value of the evaluation: losses in their order, at the end the share of l2.
    template <class Rows>
    ASGD_KERNEL_MEMBER void add_losses(Rows rows, bool begins, bool ends) {
        pass.losses(rows, [&](int thread, int s, Real loss, Real) {
            pass.at(p.method.losses, thread, s / team_threads) = loss;
        });
        typename Block::template PerThread<Values<Real, 1>> sum, loss;
        block.each(
            [&](int thread) { sum[thread][0] = begins ? Real(0) : pass.at(p.method.values, thread, pass.evaluation); });
        for (int s = 0; s < pass.count; ++s) {
            block.each([&](int thread) {
                const bool has_sample = s / team_threads * team_threads + pass.rank(thread) < pass.count;
                loss[thread][0] = has_sample ? pass.at(p.method.losses, thread, s / team_threads) : Real(0);
            });
            block.shuffle(loss, [&](int, int) { return s % team_threads; });
            block.each([&](int thread) {
                Real& all = sum[thread][0];
                const Real weight = pass.row_weight(rows(thread, s));
                if (pass.data->row_weights == nullptr)
                    all = all + loss[thread][0];
                else if (weight > 0)
                    all = fma(weight, loss[thread][0], all);
            });
        }
        if (ends) finish_value(sum);
        block.each([&](int thread) { pass.at(p.method.values, thread, pass.evaluation) = sum[thread][0]; });
    }

    ASGD_KERNEL_MEMBER void finish_value(typename Block::template PerThread<Values<Real, 1>>& sum) {
        const double l2 = teams.problem->l2;
        typename Block::template PerThread<Values<Real, 1>> squares;
        block.each([&](int thread) {
            Real all = 0;
            for (int k = 0; k < p.net.layers; ++k)
                for (int m = pass.weight(k, 0); m < pass.intercept(k, 0); ++m) {
                    const Real w = pass.point_at(thread, m);
                    all = fma(w, w, all);
                }
            squares[thread][0] = all;
        });
        block.fold_products(squares);
        block.each([&](int thread) {
            Real& value = sum[thread][0];
            value = Real(1) / Real(batch()) * value;
            if (l2 > 0) value = fma(Real(0.5 * l2), squares[thread][0], value);
        });
    }

    ASGD_KERNEL_MEMBER void finish_step() {
        const bool ball = couples_coordinates(p.ensemble.problems.projection);
        if (!ball && !averaging()) return;
        typename Block::template PerThread<Values<Real, 1>> norm;
        if (ball) {
            block.each([&](int thread) {
                Real sum = Real(0);
                for (int m = 0; m < p.layout.spans; ++m) sum = fma(x(thread, m), x(thread, m), sum);
                norm[thread][0] = sum;
            });
            block.fold_products(norm);
        }
        const double radius = teams.problem->radius;
        block.each([&](int thread) {
            const Real factor = ball ? ball_factor(Real(radius), Real(radius * radius), norm[thread][0]) : Real(1);
            for (int m = 0; m < p.layout.spans; ++m) {
                Real& own = x(thread, m);
                if (ball) own = own * factor;
                if (averaging()) teams.segment<Real>(thread, m) = teams.segment<Real>(thread, m) + own;
            }
        });
    }

    // --- averages

    // Those that end at step t.
    ASGD_KERNEL_MEMBER void close_segments(std::int64_t t) {
        const Closing way = closing(p.ensemble, t);
        for_elements([&](int thread, int m) {
            double& total = p.total[teams.element(thread, m)];
            total = closed(way, total, double(teams.segment<Real>(thread, m)));
            teams.segment<Real>(thread, m) = Real(0);
        });
    }

    ASGD_KERNEL_MEMBER void save_window_start(std::int64_t record) {
        if (p.ensemble.iterate != Iterate::tail_average) return;
        double* const start = teams.window_start_of(record);
        for_elements(
            [&](int thread, int m) { start[teams.element(thread, m)] = teams.sum_of_iterates<Real>(thread, m); });
    }
};

ASGD_ISA_NAMESPACE_END
