// Rows through a network and factors back, by teams of 16 threads: a thread is one accumulator of every product of its
// team's trajectory (docs/stream.md, "Problems on data"). Included by the kernels for problems on data.
//
// Samples go in rounds. Sample s of a round has its outputs, target and loss on thread s mod 16 of the team, so that
// losses are computed for 16 samples at once; unit u of a hidden layer has its activations and factors on thread u mod
// 16, where the products of the next layer want them. All arrays are the threads' own (TeamArray): threads meet in
// folds and shuffles only. Products are computed in patches of samples and units, so that loaded numbers are used
// several times, and folded together.
#pragma once

#include "block.hpp"
#include "launch.hpp"
//
#include "../core/descent.hpp"  // after the lane types, which block.hpp brings
#include "../core/loss.hpp"
#include "learning_rates.hpp"
#include "own_loss.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <int samples_, int units_>
struct Patch {
    static constexpr int samples = samples_, units = units_, products = samples_ * units_;
};

using cuda::patch_edge;

// f(Patch<..>(), first sample, first unit) until all are covered, samples within units: fours, then one by one, so that
// patches are full and within 16 samples and 16 units.
template <class F>
ASGD_KERNEL_FN void for_patches(int samples, int units, F f) {
    for (int u = 0; u < units;) {
        const bool wide = units - u >= patch_edge;
        for (int s = 0; s < samples;) {
            if (samples - s >= patch_edge) {
                wide ? f(Patch<patch_edge, patch_edge>(), s, u) : f(Patch<patch_edge, 1>(), s, u);
                s += patch_edge;
            } else {
                wide ? f(Patch<1, patch_edge>(), s, u) : f(Patch<1, 1>(), s, u);
                ++s;
            }
        }
        u += wide ? patch_edge : 1;
    }
}

// A thread's own elements of an array, team_threads apart; `dynamic` is the block's shared memory.
template <class Real>
ASGD_KERNEL_FN Real* own_elements(const cuda::TeamArray& a, const Block& block, Real* dynamic, int thread) {
    const int team = thread / team_threads, rank = thread % team_threads;
    if (a.shared >= 0) return dynamic + (a.shared + team * cuda::shared_elements(a.elements) * team_threads + rank);
    return static_cast<Real*>(a.memory) + (block.index() * teams_of_block + team) * a.elements * team_threads + rank;
}

// Rows: int64 operator()(int thread, int s), the number of the row of sample s of the round. `of_method`: the pass may
// be at another point than x, and gradients go to memory of their own.
template <class Real, bool of_method = false>
struct NetworkPass {
    const cuda::DataLaunch& p;
    Block& block;
    Real* dynamic;  // shared memory

    // The round at work.
    const DataView* data = nullptr;
    int count = 0;  // samples
    int evaluation = 0;
    bool elsewhere = false;  // than at x

    template <class T>
    using PerThread = typename Block::template PerThread<T>;
    template <int n>
    using Reals = PerThread<Values<Real, n>>;

    // --- where things are

    ASGD_KERNEL_MEMBER static int rank(int thread) { return thread % team_threads; }
    ASGD_KERNEL_MEMBER Real* own(const cuda::TeamArray& a, int thread) const {
        return own_elements(a, block, dynamic, thread);
    }
    // Weights and intercepts that rows go through.
    ASGD_KERNEL_MEMBER Real* point(int thread) const {
        if constexpr (of_method)
            if (elsewhere) return own(p.method.point, thread);
        return own(p.point, thread);
    }
    ASGD_KERNEL_MEMBER Real& point_at(int thread, int m) const { return point(thread)[std::int64_t(m) * team_threads]; }
    ASGD_KERNEL_MEMBER Real& at(const cuda::TeamArray& a, int thread, int m) const {
        return own(a, thread)[std::int64_t(m) * team_threads];
    }
    // Of the evaluation at work, where a method takes it.
    ASGD_KERNEL_MEMBER Real* gradient(int thread) const {
        return own(p.method.gradients, thread) + std::int64_t(evaluation) * p.layout.spans * team_threads;
    }
    ASGD_KERNEL_MEMBER int layers() const { return p.net.layers; }
    ASGD_KERNEL_MEMBER bool is_last(int layer) const { return layer == layers() - 1; }
    ASGD_KERNEL_MEMBER int units(int layer) const { return int(p.net.units[layer]); }
    ASGD_KERNEL_MEMBER int outputs() const { return units(layers() - 1); }
    ASGD_KERNEL_MEMBER int row_spans(int layer) const { return int(p.net.row[layer] / row_multiple); }
    ASGD_KERNEL_MEMBER int unit_spans(int layer) const { return (units(layer) + row_multiple - 1) / row_multiple; }
    ASGD_KERNEL_MEMBER int weight(int layer, int unit) const {  // its first element
        return int(p.net.weights[layer] / row_multiple) + unit * row_spans(layer);
    }
    ASGD_KERNEL_MEMBER int intercept(int layer, int span) const {
        return int(p.net.intercept[layer] / row_multiple) + span;
    }
    ASGD_KERNEL_MEMBER int output(int sample, int unit) const { return sample / team_threads * outputs() + unit; }

    // What a layer multiplies with: element m of sample s is at input(..)[m * team_threads].
    template <class Rows>
    ASGD_KERNEL_MEMBER const Real* input(int thread, int layer, int s, Rows rows) const {
        if (layer == 0) return static_cast<const Real*>(data->features) + rows(thread, s) * p.net.row[0] + rank(thread);
        return &at(p.hidden[layer - 1], thread, s * row_spans(layer));
    }

    // --- forward

    template <class Rows>
    ASGD_KERNEL_MEMBER void forward(Rows rows) {
        for (int layer = 0; layer < layers(); ++layer) {
            for_patches(count, units(layer), [&](auto patch, int s, int u) { multiply(patch, layer, s, u, rows); });
            if (is_last(layer))
                add_intercepts();
            else
                activate(layer);
        }
    }

    template <class T, class Rows>
    ASGD_KERNEL_MEMBER void multiply(T, int layer, int s, int u, Rows rows) {
        Reals<T::products> products;  // sample i, unit k: i * units + k
        block.each([&](int thread) {
            const Real* in[T::samples];
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) in[i] = input(thread, layer, s + i, rows);
            const Real* w[T::units];
            ASGD_UNROLL
            for (int k = 0; k < T::units; ++k) w[k] = &point_at(thread, weight(layer, u + k));
            Values<Real, T::products>& sum = products[thread];
            ASGD_UNROLL
            for (int i = 0; i < T::products; ++i) sum[i] = Real(0);
            const int length = row_spans(layer) * team_threads;
            ASGD_UNROLL_BY_4
            for (int m = 0; m < length; m += team_threads) {
                Real a[T::samples];
                ASGD_UNROLL
                for (int i = 0; i < T::samples; ++i) a[i] = in[i][m];
                ASGD_UNROLL
                for (int k = 0; k < T::units; ++k) {
                    const Real weight = w[k][m];
                    ASGD_UNROLL
                    for (int i = 0; i < T::samples; ++i)
                        sum[i * T::units + k] = fma(weight, a[i], sum[i * T::units + k]);
                }
            }
        });
        block.fold_products(products);
        is_last(layer) ? keep_outputs<T>(products, s, u) : keep_hidden<T>(products, layer, s, u);
    }

    // Folded products of a patch to the threads of their samples.
    template <class T>
    ASGD_KERNEL_MEMBER void keep_outputs(Reals<T::products>& products, int s, int u) {
        Reals<T::units> z;
        block.each([&](int thread) {
            ASGD_UNROLL
            for (int k = 0; k < T::units; ++k) z[thread][k] = products[thread][0];
        });
        block.shuffle(z, [&](int rank, int k) {
            const int i = (rank - s) & (T::samples - 1);
            return thread_of_product(i * T::units + k, T::products);
        });
        block.each([&](int thread) {
            const int i = rank(thread) - s % team_threads;
            if (i < 0 || i >= T::samples) return;
            ASGD_UNROLL
            for (int k = 0; k < T::units; ++k) at(p.output, thread, output(s, u + k)) = z[thread][k];
        });
    }

    // The same to the threads of their units.
    template <class T>
    ASGD_KERNEL_MEMBER void keep_hidden(Reals<T::products>& products, int layer, int s, int u) {
        Reals<T::samples> z;
        block.each([&](int thread) {
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) z[thread][i] = products[thread][0];
        });
        block.shuffle(z, [&](int rank, int i) {
            const int k = (rank - u) & (T::units - 1);
            return thread_of_product(i * T::units + k, T::products);
        });
        block.each([&](int thread) {
            const int k = rank(thread) - u % team_threads;
            if (k < 0 || k >= T::units) return;
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i)
                at(p.hidden[layer], thread, (s + i) * unit_spans(layer) + u / team_threads) = z[thread][i];
        });
    }

    // Products become activations; what pads them becomes zero.
    ASGD_KERNEL_MEMBER void activate(int layer) {
        const int spans = unit_spans(layer);
        block.each([&](int thread) {
            for (int c = 0; c < spans; ++c) {
                const bool is_unit = c * team_threads + rank(thread) < units(layer);
                const Real b = p.net.has_intercept ? point_at(thread, intercept(layer, c)) : Real(0);
                for (int s = 0; s < count; ++s) {
                    Real& a = at(p.hidden[layer], thread, s * spans + c);
                    if (!is_unit) {
                        a = Real(0);
                        continue;
                    }
                    const Real z = p.net.has_intercept ? a + b : a;
                    with_kind(p.network.activation, [&](auto activation) { a = activated<activation.value>(z); });
                }
            }
        });
    }

    ASGD_KERNEL_MEMBER void add_intercepts() {
        if (!p.net.has_intercept) return;
        const int last = layers() - 1;
        for (int u = 0; u < outputs(); u += patch_edge) {
            Reals<patch_edge> b;
            block.each([&](int thread) {
                ASGD_UNROLL
                for (int k = 0; k < patch_edge; ++k) b[thread][k] = point_at(thread, intercept(last, u / team_threads));
            });
            block.shuffle(b, [&](int, int k) { return (u + k) % team_threads; });
            block.each([&](int thread) {
                for (int s = rank(thread); s < count; s += team_threads) {
                    ASGD_UNROLL
                    for (int k = 0; k < patch_edge; ++k)
                        if (u + k < outputs()) at(p.output, thread, output(s, u + k)) += b[thread][k];
                }
            });
        }
    }

    // --- losses

    ASGD_KERNEL_MEMBER Real row_weight(std::int64_t row) const {
        return data->row_weights != nullptr ? static_cast<const Real*>(data->row_weights)[row] : Real(1);
    }

    ASGD_KERNEL_MEMBER Real own_loss(int thread, LossPart part, Real z, Real y) const {
        return run_own_loss<Real>(p, own(p.own_registers, thread), part, z, y);
    }
    // Before the first of a launch's derivatives or losses.
    ASGD_KERNEL_MEMBER void start_losses() {
        if (p.network.loss == Loss::own)
            block.each([&](int thread) { own_loss(thread, LossPart::constants, Real(0), Real(0)); });
    }

    // Outputs become factors: scale(thread) times the weighted derivatives of the losses.
    template <class Rows, class Scale>
    ASGD_KERNEL_MEMBER void differentiate(Rows rows, Scale scale) {
        block.each([&](int thread) {
            const Real factor = scale(thread);
            for (int s = rank(thread); s < count; s += team_threads) {
                Real* const z = &at(p.output, thread, output(s, 0));
                const Real y = static_cast<const Real*>(data->targets)[rows(thread, s)];
                with_kind(p.network.loss, [&](auto loss) {
                    if constexpr (loss.value == Loss::own)
                        *z = own_loss(thread, LossPart::derivative, *z, y);
                    else
                        differentiate_outputs<loss.value, Real>(z, team_threads, outputs(), y);
                });
                const Real weight = row_weight(rows(thread, s));
                for (int k = 0; k < outputs(); ++k)
                    z[k * team_threads] = factor * weighted(z[k * team_threads], weight);
            }
        });
    }

    // take(thread, s, loss, hit) for every sample s, on its thread.
    template <class Rows, class Take>
    ASGD_KERNEL_MEMBER void losses(Rows rows, Take take) {
        block.each([&](int thread) {
            for (int s = rank(thread); s < count; s += team_threads) {
                const Real* const z = &at(p.output, thread, output(s, 0));
                const Real y = static_cast<const Real*>(data->targets)[rows(thread, s)];
                with_kind(p.network.loss, [&](auto loss) {
                    if constexpr (loss.value == Loss::own)
                        take(thread, s, own_loss(thread, LossPart::value, *z, y), Real(0));
                    else
                        take(thread, s, loss_of_outputs<loss.value, Real>(z, team_threads, outputs(), y),
                             target_predicted<loss.value, Real>(z, team_threads, outputs(), y));
                });
            }
        });
    }

    // --- back

    // Factors of the first `layers` layers from those of the outputs.
    ASGD_KERNEL_MEMBER void backward() {
        for (int layer = layers() - 1; layer > 0; --layer) {
            for_patches(count, units(layer), [&](auto patch, int s, int u) { back_through(patch, layer, s, u); });
            const int n = count * row_spans(layer);
            block.each([&](int thread) {
                for (int i = 0; i < n; ++i) {
                    const Real a = at(p.hidden[layer - 1], thread, i);
                    Real& delta = at(p.delta[layer - 1], thread, i);
                    with_kind(p.network.activation,
                              [&](auto activation) { delta = through_activation<activation.value>(a, delta); });
                }
            });
        }
    }

    // Factors of a patch, in all threads of a team.
    template <class T>
    ASGD_KERNEL_MEMBER void load_factors(Reals<T::products>& c, int layer, int s, int u) {
        const bool last = is_last(layer);
        block.each([&](int thread) {
            const bool has_sample = s / team_threads * team_threads + rank(thread) < count;
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) {
                ASGD_UNROLL
                for (int k = 0; k < T::units; ++k) {
                    Real& factor = c[thread][i * T::units + k];
                    if (!last)
                        factor = at(p.delta[layer], thread, (s + i) * unit_spans(layer) + u / team_threads);
                    else
                        factor = has_sample ? at(p.output, thread, output(s, u + k)) : Real(0);
                }
            }
        });
        block.shuffle(c, [&](int, int i) { return (last ? s + i / T::units : u + i % T::units) % team_threads; });
    }

    // Adds what units u, u + 1, .. hand to the factors of the layer below.
    template <class T>
    ASGD_KERNEL_MEMBER void back_through(T, int layer, int s, int u) {
        Reals<T::products> c;
        load_factors<T>(c, layer, s, u);
        const int length = row_spans(layer) * team_threads;
        block.each([&](int thread) {
            const Real* w[T::units];
            ASGD_UNROLL
            for (int k = 0; k < T::units; ++k) w[k] = &point_at(thread, weight(layer, u + k));
            Real* delta[T::samples];
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) delta[i] = &at(p.delta[layer - 1], thread, (s + i) * row_spans(layer));
            for (int m = 0; m < length; m += team_threads) {
                Real sum[T::samples];
                ASGD_UNROLL
                for (int i = 0; i < T::samples; ++i) sum[i] = u > 0 ? delta[i][m] : Real(0);
                ASGD_UNROLL
                for (int k = 0; k < T::units; ++k) {
                    const Real weight = w[k][m];
                    ASGD_UNROLL
                    for (int i = 0; i < T::samples; ++i) sum[i] = fma(c[thread][i * T::units + k], weight, sum[i]);
                }
                ASGD_UNROLL
                for (int i = 0; i < T::samples; ++i) delta[i][m] = sum[i];
            }
        });
    }

    // --- the step

    // Adds the round's rows to all parameters, or to the gradient: `first` and `last`, whether it is the first and the
    // last of a batch.
    // rule_of(thread) is a Rule.
    template <class Rows, class RuleOf>
    ASGD_KERNEL_MEMBER void update(Rows rows, RuleOf rule_of, Terms terms, bool first, bool last) {
        for (int layer = layers() - 1; layer >= 0; --layer)
            for_patches(count, units(layer), [&](auto patch, int s, int u) {
                add_rows(patch, layer, s, u, rows, rule_of, terms, first && s == 0,
                         last && s + decltype(patch)::samples >= count);
            });
    }

    template <class T, class Rows, class RuleOf>
    ASGD_KERNEL_MEMBER void add_rows(T, int layer, int s, int u, Rows rows, RuleOf rule_of, Terms terms, bool first,
                                     bool last) {
        Reals<T::products> c;
        load_factors<T>(c, layer, s, u);
        block.each([&](int thread) {
            const Rule<Real> rule = rule_of(thread);
            const Real* in[T::samples];
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) in[i] = input(thread, layer, s + i, rows);
            Sums sums;
            sums.w = point(thread);
            sums.low = sums.sum = own(p.low, thread);
            sums.velocity = sums.w;
            const auto add = [&](auto terms_of_step) {
                constexpr Terms t = terms_of_step.value;
                // A loop for each way to end: inside it, what only some rounds do would cost all.
                if (last && t != Terms::gradient)
                    add_rows_to<T, t, true>(sums, layer, u, in, c[thread], rule, first);
                else
                    add_rows_to<T, t, false>(sums, layer, u, in, c[thread], rule, first);
                if (p.net.has_intercept)
                    add_ones<T, t>(sums, layer, u, rank(thread), c[thread], rule, first, last && t != Terms::gradient);
            };
            switch (terms) {
                case Terms::momentum:
                    sums.velocity = own(p.velocity, thread);
                    sums.sum = p.sum.elements > 0 ? own(p.sum, thread) : sums.w;
                    return add(KindConstant<Terms::momentum>());
                case Terms::rows_and_decay:
                    return first ? add(KindConstant<Terms::rows_and_decay>()) : add(KindConstant<Terms::rows>());
                case Terms::rows: return add(KindConstant<Terms::rows>());
                case Terms::gradient:
                    if constexpr (of_method) {
                        sums.sum = gradient(thread);
                        add(KindConstant<Terms::gradient>());
                    }
                    return;
            }
        });
    }

    // Of a thread: weights, what they could not take, velocities with momentum, and a step's sums so far: without
    // momentum those are in `low`.
    struct Sums {
        Real *w, *low, *velocity, *sum;
    };

    template <class T, Terms terms, bool ending>
    ASGD_KERNEL_MEMBER void add_rows_to(const Sums& sums, int layer, int u, const Real* const in[T::samples],
                                        const Values<Real, T::products>& c, const Rule<Real>& rule, bool first) {
        // As many as registers hold without spilling.
        constexpr bool heavy = terms == Terms::momentum && ending;
        constexpr int ahead = T::products == 1 ? 4 : heavy ? 1 : T::products == patch_edge ? 4 : 2;
        const int length = row_spans(layer) * team_threads, begin = weight(layer, u) * team_threads;
        int m = 0;
        if constexpr (ahead > 1) {
            ASGD_NO_UNROLL
            for (; m + (ahead - 1) * team_threads < length; m += ahead * team_threads)
                add_spans<T, ahead, terms, ending>(sums, begin, length, m, in, c, rule, first);
        }
        ASGD_NO_UNROLL
        for (; m < length; m += team_threads)
            add_spans<T, 1, terms, ending>(sums, begin, length, m, in, c, rule, first);
    }

    // For `spans` elements of every unit of a patch. All are loaded before the first is stored: a compiler does not
    // know that rows and weights are apart, and would wait for each.
    template <class T, int spans, Terms terms, bool ending>
    ASGD_KERNEL_MEMBER static void add_spans(const Sums& sums, int begin, int length, int m,
                                             const Real* const in[T::samples], const Values<Real, T::products>& c,
                                             const Rule<Real>& rule, bool first) {
        constexpr bool momentum = terms == Terms::momentum, apart = momentum || terms == Terms::gradient;
        const auto element = [&](int k, int q) { return begin + k * length + m + q * team_threads; };
        Real a[T::samples][spans], sum[T::units][spans], w[T::units][spans], low[T::units][spans];
        Real velocity[T::units][spans];
        ASGD_UNROLL
        for (int q = 0; q < spans; ++q) {
            ASGD_UNROLL
            for (int i = 0; i < T::samples; ++i) a[i][q] = in[i][m + q * team_threads];
            ASGD_UNROLL
            for (int k = 0; k < T::units; ++k) {
                const int e = element(k, q);
                w[k][q] = sums.w[e];
                low[k][q] = sums.low[e];
                velocity[k][q] = momentum && ending ? sums.velocity[e] : Real(0);
                sum[k][q] = apart && !first ? sums.sum[e] : before_rows<terms>(rule, w[k][q], low[k][q]);
            }
        }
        ASGD_UNROLL
        for (int k = 0; k < T::units; ++k) {
            ASGD_UNROLL
            for (int q = 0; q < spans; ++q) {
                ASGD_UNROLL
                for (int i = 0; i < T::samples; ++i) sum[k][q] = fma(c[i * T::units + k], a[i][q], sum[k][q]);
            }
        }
        ASGD_UNROLL
        for (int k = 0; k < T::units; ++k) {
            ASGD_UNROLL
            for (int q = 0; q < spans; ++q) {
                const int e = element(k, q);
                if constexpr (ending) {
                    sums.w[e] = after_rows<terms>(rule, sum[k][q], w[k][q], low[k][q], velocity[k][q]);
                    sums.low[e] = low[k][q];
                    if constexpr (momentum) sums.velocity[e] = velocity[k][q];
                } else {
                    sums.sum[e] = sum[k][q];
                }
            }
        }
    }

    // Intercepts: like rows of ones, but neither l2 nor weight decay touches them.
    template <class T, Terms terms>
    ASGD_KERNEL_MEMBER void add_ones(const Sums& sums, int layer, int u, int rank, const Values<Real, T::products>& c,
                                     const Rule<Real>& rule, bool first, bool last) {
        const int k = rank - u % team_threads;
        if (k < 0 || k >= T::units) return;
        const int e = intercept(layer, u / team_threads) * team_threads;
        Real value = first ? before_ones<terms>(sums.low[e]) : sums.sum[e];
        ASGD_UNROLL
        for (int i = 0; i < T::samples; ++i) {
            Real factor = c[i * T::units];
            ASGD_UNROLL
            for (int other = 1; other < T::units; ++other) factor = k == other ? c[i * T::units + other] : factor;
            value = value + factor;
        }
        if (last)
            sums.w[e] = after_rows<terms>(rule, value, sums.w[e], sums.low[e], sums.velocity[e]);
        else
            sums.sum[e] = value;
    }
};

ASGD_ISA_NAMESPACE_END
