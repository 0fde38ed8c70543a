// Steps of linear models with one output, one sample in a step and short rows: a thread's weights, and its elements of
// the row, stay in registers through a tile of steps. Included by step_kernel.hpp.
#pragma once

#include "network_pass.hpp"
#include "row_numbers.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Rows have up to `most_spans` spans.
template <class Kernel, Terms terms, int most_spans>
struct SingleSteps {
    using Real = typename Kernel::Real;
    template <class T>
    using PerThread = typename Block::template PerThread<T>;

    Kernel& kernel;
    const cuda::DataLaunch& p = kernel.p;
    Block& block = kernel.block;
    const Teams& teams = kernel.teams;
    const NetworkPass<Real>& pass = kernel.pass;
    const DataView data = *pass.data;
    const Real lambda = kernel.lambda();
    const int spans = p.layout.spans - int(p.net.has_intercept);
    const bool averaging = teams.averaging();

    struct Weight {
        Real x, low, velocity, sum;  // sum: of iterates, where they are averaged
    };
    struct State {
        Weight weight[most_spans], intercept;  // all threads of a team have the intercept
    };
    struct Sample {
        Real row[most_spans], target, weight;
    };

    // Steps first .. stop - 1 of the tile, whose samples begin `offset` after the first of those that are worked out.
    ASGD_KERNEL_MEMBER void take(int first, int stop, int offset) const {
        PerThread<State> states;
        PerThread<Sample> sample;
        load(states);
        block.each([&](int thread) { sample[thread] = sample_at(thread, offset); });
        ASGD_NO_UNROLL
        for (int j = first; j < stop; ++j) take_step(states, sample, j, offset + lesser(j + 1, stop - 1) - first);
        block.each([&](int thread) { store(thread, states[thread]); });
    }

    // f(m) for every span there may be; m is known to the compiler, so that arrays are registers. Those beyond the row
    // are zeros and stay so, unless an infinite factor makes them NaN, as it does what pads a row.
    template <class F>
    ASGD_KERNEL_MEMBER static void for_spans(F f) {
        ASGD_UNROLL
        for (int m = 0; m < most_spans; ++m) f(m);
    }
    template <class F>
    ASGD_KERNEL_MEMBER void for_weights(State& state, F f) const {
        for_spans([&](int m) { f(state.weight[m]); });
        if (p.net.has_intercept) f(state.intercept);
    }

    // --- the state

    // Where a thread has its own.
    struct Memory {
        Real *x, *low, *velocity, *sum;
    };
    ASGD_KERNEL_MEMBER Memory memory(int thread) const {
        constexpr bool momentum = terms == Terms::momentum;
        return {pass.own(p.point, thread), pass.own(p.low, thread), momentum ? pass.own(p.velocity, thread) : nullptr,
                averaging ? &teams.template segment<Real>(thread, 0) : nullptr};
    }
    ASGD_KERNEL_MEMBER Weight read(const Memory& from, int m) const {
        const int at = m * team_threads;
        return {from.x[at], from.low[at], terms == Terms::momentum ? from.velocity[at] : Real(0),
                averaging ? from.sum[at] : Real(0)};
    }
    ASGD_KERNEL_MEMBER void write(const Memory& to, int m, const Weight& w) const {
        const int at = m * team_threads;
        to.x[at] = w.x;
        to.low[at] = w.low;
        if (terms == Terms::momentum) to.velocity[at] = w.velocity;
        if (averaging) to.sum[at] = w.sum;
    }

    ASGD_KERNEL_MEMBER void load(PerThread<State>& states) const {
        PerThread<Values<Real, 4>> intercept;
        block.each([&](int thread) {
            const Memory from = memory(thread);
            for_spans([&](int m) { states[thread].weight[m] = m < spans ? read(from, m) : Weight{}; });
            const Weight b = p.net.has_intercept ? read(from, spans) : Weight{};
            intercept[thread] = {{b.x, b.low, b.velocity, b.sum}};
        });
        block.shuffle(intercept, [](int, int) { return 0; });
        block.each([&](int thread) {
            const Values<Real, 4>& b = intercept[thread];
            states[thread].intercept = {b[0], b[1], b[2], b[3]};
        });
    }
    ASGD_KERNEL_MEMBER void store(int thread, const State& state) const {
        const Memory to = memory(thread);
        for_spans([&](int m) {
            if (m < spans) write(to, m, state.weight[m]);
        });
        if (p.net.has_intercept && pass.rank(thread) == 0) write(to, spans, state.intercept);
    }

    // --- steps

    ASGD_KERNEL_MEMBER Sample sample_at(int thread, int offset) const {
        const std::uint32_t number = kernel.samples.row(thread, offset), length = std::uint32_t(spans * team_threads);
        const Real* const row =
            static_cast<const Real*>(data.features) + std::uint64_t(number) * length + pass.rank(thread);
        Sample sample;
        for_spans([&](int m) { sample.row[m] = m < spans ? row[m * team_threads] : Real(0); });
        sample.target = static_cast<const Real*>(data.targets)[number];
        sample.weight = data.row_weights != nullptr ? static_cast<const Real*>(data.row_weights)[number] : Real(1);
        return sample;
    }

    // The j-th of the tile; meanwhile sample `next` is read.
    ASGD_KERNEL_MEMBER void take_step(PerThread<State>& states, PerThread<Sample>& sample, int j, int next) const {
        PerThread<Sample> ahead;
        PerThread<Values<Real, 1>> product;
        block.each([&](int thread) {
            ahead[thread] = sample_at(thread, next);
            Real sum = Real(0);
            for_spans([&](int m) { sum = fma(states[thread].weight[m].x, sample[thread].row[m], sum); });
            product[thread][0] = sum;
        });
        block.fold_products(product);
        block.each([&](int thread) {
            State& state = states[thread];
            const Real z = p.net.has_intercept ? product[thread][0] + state.intercept.x : product[thread][0];
            move(state, sample[thread], kernel.rule(thread, j, terms, lambda), derivative(z, sample[thread]));
            sample[thread] = ahead[thread];
        });
        if (couples_coordinates(p.ensemble.problems.projection)) project(states);
        if (averaging)
            block.each([&](int thread) { for_weights(states[thread], [](Weight& w) { w.sum = w.sum + w.x; }); });
    }

    ASGD_KERNEL_MEMBER Real derivative(Real z, const Sample& sample) const {
        Real found = Real(0);
        with_kind(p.network.loss, [&](auto loss) {
            if constexpr (cuda::is_of_single_steps(loss.value)) found = loss_derivative<loss.value>(z, sample.target);
        });
        return weighted(found, sample.weight);
    }

    ASGD_KERNEL_MEMBER void move(State& state, const Sample& sample, const Rule<Real>& rule, Real derivative) const {
        const Real factor = terms == Terms::momentum ? derivative : rule.minus_lr * derivative;
        const auto add = [&](Weight& w, Real sum) { w.x = after_rows<terms>(rule, sum, w.x, w.low, w.velocity); };
        for_spans([&](int m) {
            Weight& w = state.weight[m];
            add(w, fma(factor, sample.row[m], before_rows<terms>(rule, w.x, w.low)));
        });
        Weight& b = state.intercept;
        if (p.net.has_intercept) add(b, before_ones<terms>(b.low) + factor);
    }

    ASGD_KERNEL_MEMBER void project(PerThread<State>& states) const {
        PerThread<Values<Real, 1>> norm;
        block.each([&](int thread) {
            const State& state = states[thread];
            Real sum = Real(0);
            for_spans([&](int m) {
                if (m < spans) sum = fma(state.weight[m].x, state.weight[m].x, sum);
            });
            if (p.net.has_intercept && pass.rank(thread) == 0) sum = fma(state.intercept.x, state.intercept.x, sum);
            norm[thread][0] = sum;
        });
        block.fold_products(norm);
        const Real radius = Real(teams.problem->radius), squared = Real(teams.problem->radius * teams.problem->radius);
        block.each([&](int thread) {
            const Real factor = ball_factor(radius, squared, norm[thread][0]);
            for_weights(states[thread], [&](Weight& w) { w.x = w.x * factor; });
        });
    }
};

ASGD_ISA_NAMESPACE_END
