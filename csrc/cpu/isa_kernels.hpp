// Fills the table of kernels.hpp from two lane types. Included by isa_*.cpp only.
#pragma once

#include "../core/block_moment.hpp"
#include "../core/functions.hpp"
#include "data_runner.hpp"
#include "floating_point.hpp"
#include "program_runner.hpp"
#include "rates.hpp"
#include "tile_runner.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Applies an array function in full vectors; the last one is padded with copies of the last element.
template <class R, class Function>
ASGD_FN void for_each_vector(std::int64_t n, Function function) {
    using Real = typename Lane<R>::Real;
    for (std::int64_t j = 0; j < n; j += Lane<R>::width) {
        const std::int64_t m = n - j < Lane<R>::width ? n - j : Lane<R>::width;
        const auto gather = [&](const Real* source) {
            alignas(64) Real lanes[Lane<R>::width];
            for (std::int64_t l = 0; l < Lane<R>::width; ++l) lanes[l] = source[j + (l < m ? l : m - 1)];
            return load<R>(lanes);
        };
        const auto scatter = [&](Real* target, R x) {
            alignas(64) Real lanes[Lane<R>::width];
            store(lanes, x);
            for (std::int64_t l = 0; l < m; ++l) target[j + l] = lanes[l];
        };
        function(gather, scatter);
    }
}

template <class R>
ASGD_FN void draws_of(NoiseKind noise, std::uint64_t seed, std::uint32_t stream, std::uint32_t substream,
                      std::int64_t first_replicate, std::int64_t replicates, std::int64_t first_step,
                      std::int64_t steps, typename Lane<R>::Real* out) {
    using Real = typename Lane<R>::Real;
    constexpr int width = Lane<R>::width, n = value_draws_per_call<Real>, V = Lane<R>::strip, row = V * width;
    const PhiloxKeys keys = philox_keys(seed);
    const NoiseForm form = noise_form(noise);
    alignas(64) Real values[(segment_steps + 2 * n) * row];
    alignas(64) typename Constants<Real>::Integer bits[4 * row];
    for (std::int64_t first = 0; first < replicates; first += row) {
        const uint32_t replicate = uint32_t(first_replicate + first);
        const std::int64_t needed = (replicates - first + width - 1) / width;
        const int vectors = needed < V ? int(needed) : V;
        for (std::int64_t t = first_step, stop; t < first_step + steps; t = stop) {
            stop = t - t % segment_steps + segment_steps;
            if (stop > first_step + steps) stop = first_step + steps;
            with_kind(noise, [&](auto kind) {
                constexpr NoiseForm filled = noise_form(kind.value);
                if constexpr (filled == NoiseForm::bits)
                    fill_bits<R, V>(keys, stream, substream, replicate, vectors, t, bits);
                else if constexpr (filled == NoiseForm::values)
                    fill_values<R, kind.value, V>(keys, stream, substream, replicate, vectors, t, stop, values);
            });
            for (std::int64_t s = t; s < stop; ++s)
                for (int l = 0; l < row && first + l < replicates; ++l) {
                    const int place = int(s % rademacher_draws_per_call);
                    Real z = 0;
                    if (form == NoiseForm::bits)
                        z = signed_by_top_bit(
                            typename Constants<Real>::Integer(bits[place / 32 * row + l] << (place % 32)), Real(1));
                    else if (form == NoiseForm::values)
                        z = values[(s - t + t % n) * row + l];
                    out[(s - first_step) * replicates + first + l] = z;
                }
        }
    }
}

template <class R_>
struct LaneType {
    using R = R_;
    using Real = typename Lane<R_>::Real;
};

template <class F, class D>
struct KernelFunctions {
    // f(LaneType<R>()), R the lanes of the precision.
    template <class Function>
    static auto with_lanes(Precision precision, Function f) {
        switch (precision) {
            case Precision::float32: return f(LaneType<F>());
            case Precision::float64: return f(LaneType<D>());
        }
        __builtin_unreachable();
    }
    static std::int64_t scratch_bytes(const EnsembleSpec& e, const Task& task) {
        return with_lanes(e.precision, [&](auto lanes) {
            using R = typename decltype(lanes)::R;
            if (e.problems.program != nullptr) return program_scratch_bytes<R>(e, task);
            return e.problems.network != nullptr ? data_scratch_bytes<R>(e, task) : scratch_bytes_of<R>(e, task);
        });
    }
    static bool run(const EnsembleSpec& e, const Task& task, void* scratch, const Listener& listener) {
        const DefaultFloatingPoint guard;
        return with_lanes(e.precision, [&](auto lanes) {
            using R = typename decltype(lanes)::R;
            if (e.problems.program != nullptr) return run_program<R>(e, task, scratch, listener);
            return e.problems.network != nullptr ? run_data_range<R, F>(e, task, scratch, listener)
                                                 : run_range<R>(e, task, scratch, listener);
        });
    }
    static Moment block_moment(Precision precision, const void* values, std::int64_t first_slot, std::int64_t n) {
        const DefaultFloatingPoint guard;
        return with_lanes(precision, [&](auto lanes) {
            using Real = typename decltype(lanes)::Real;
            return anneal_sgd::ASGD_ISA::block_moment(static_cast<const Real*>(values), first_slot, n);
        });
    }
    static void schedule_at(const ScheduleSpec& s, std::int64_t horizon, const double* u, std::int64_t n, double* h) {
        const DefaultFloatingPoint guard;
        for_each_vector<D>(
            n, [&](auto gather, auto scatter) { scatter(h, schedule_at_fraction(s, double(horizon), gather(u))); });
    }
    static void schedule_values(const ScheduleSpec& s, std::int64_t horizon, std::int64_t first, std::int64_t n,
                                double* h) {
        const DefaultFloatingPoint guard;
        alignas(64) double tile[segment_steps];
        for (std::int64_t j = 0; j < n; j += segment_steps) {
            const int m = n - j < segment_steps ? int(n - j) : segment_steps;
            schedule_tile<D>(s, horizon, first + j, m, tile);
            memcpy(h + j, tile, sizeof(double) * std::size_t(m));
        }
    }
    static void philox(const std::uint32_t counter[4], std::uint64_t key, std::uint32_t words[4]) {
        using Word = typename Lane<F>::Word;
        const PhiloxKeys keys = philox_keys(key);
        Word out[4];
        philox_words(philox_lanes(word_set1<Word>(counter[0]), counter[3], keys),
                     philox_call(counter[1], counter[2], keys), keys, out);
        for (int k = 0; k < 4; ++k) {
            alignas(64) std::uint32_t lanes[Lane<F>::width];
            store_bits(lanes, narrow(out[k]));
            words[k] = lanes[Lane<F>::width - 1];
        }
    }
    static void draws(Precision precision, NoiseKind noise, std::uint64_t seed, std::uint32_t stream,
                      std::uint32_t substream, std::int64_t first_replicate, std::int64_t replicates,
                      std::int64_t first_step, std::int64_t steps, void* out) {
        const DefaultFloatingPoint guard;
        with_lanes(precision, [&](auto lanes) {
            using T = decltype(lanes);
            draws_of<typename T::R>(noise, seed, stream, substream, first_replicate, replicates, first_step, steps,
                                    static_cast<typename T::Real*>(out));
        });
    }
    static std::int64_t work(CoreWork first, CoreWork second, Precision precision, std::int64_t turns, void* memory,
                             std::int64_t bytes) {
        const DefaultFloatingPoint guard;
        return with_lanes(precision, [&](auto lanes) {
            return work_of<typename decltype(lanes)::R>(first, second, turns, memory, bytes);
        });
    }
    template <class R>
    static void minus_two_log_of(const void* u, std::int64_t n, void* out) {
        using Real = typename Lane<R>::Real;
        for_each_vector<R>(n, [&](auto gather, auto scatter) {
            scatter(static_cast<Real*>(out), anneal_sgd::ASGD_ISA::minus_two_log(gather(static_cast<const Real*>(u))));
        });
    }
    static void minus_two_log(Precision precision, const void* u, std::int64_t n, void* out) {
        const DefaultFloatingPoint guard;
        with_lanes(precision, [&](auto lanes) { minus_two_log_of<typename decltype(lanes)::R>(u, n, out); });
    }
    template <class R>
    static void sincos_octant_of(const void* t, std::int64_t n, void* sine, void* cosine) {
        using Real = typename Lane<R>::Real;
        for_each_vector<R>(n, [&](auto gather, auto scatter) {
            R s, c;
            anneal_sgd::ASGD_ISA::sincos_octant(gather(static_cast<const Real*>(t)), s, c);
            scatter(static_cast<Real*>(sine), s);
            scatter(static_cast<Real*>(cosine), c);
        });
    }
    static void sincos_octant(Precision precision, const void* t, std::int64_t n, void* sine, void* cosine) {
        const DefaultFloatingPoint guard;
        with_lanes(precision, [&](auto lanes) { sincos_octant_of<typename decltype(lanes)::R>(t, n, sine, cosine); });
    }
    static void log2(const double* x, std::int64_t n, double* out) {
        const DefaultFloatingPoint guard;
        for_each_vector<D>(n, [&](auto gather, auto scatter) { scatter(out, anneal_sgd::ASGD_ISA::log2(gather(x))); });
    }
    static void exp2(const double* x, std::int64_t n, double* out) {
        const DefaultFloatingPoint guard;
        for_each_vector<D>(n, [&](auto gather, auto scatter) { scatter(out, anneal_sgd::ASGD_ISA::exp2(gather(x))); });
    }
    template <class R>
    static void function_of(Function function, const void* x, const void* second, std::int64_t n, void* out) {
        using Real = typename Lane<R>::Real;
        const auto* first_operand = static_cast<const Real*>(x);
        const auto* second_operand = static_cast<const Real*>(second);
        for_each_vector<R>(n, [&](auto gather, auto scatter) {
            const auto value = [&](R a) {
                switch (function) {
                    case Function::exponential: return exponential(a);
                    case Function::logarithm: return logarithm(a);
                    case Function::sine: return sine(a);
                    case Function::cosine: return cosine(a);
                    case Function::hyperbolic_tangent: return hyperbolic_tangent(a);
                    case Function::rint: return anneal_sgd::ASGD_ISA::rint(a);
                    case Function::arctangent: return arctangent(a);
                    case Function::error_function: return error_function(a);
                    case Function::real_power: return real_power(a, *second_operand);
                    case Function::sign: return sign(a);
                    case Function::maximum: return maximum(a, gather(second_operand));
                    case Function::minimum: return minimum(a, gather(second_operand));
                }
                __builtin_unreachable();
            };
            scatter(static_cast<Real*>(out), value(gather(first_operand)));
        });
    }
    static void function(Function function, Precision precision, const void* x, const void* second, std::int64_t n,
                         void* out) {
        const DefaultFloatingPoint guard;
        with_lanes(precision,
                   [&](auto lanes) { function_of<typename decltype(lanes)::R>(function, x, second, n, out); });
    }
};

template <class F, class D>
constexpr Kernels make_kernels(const char* name) {
    using K = KernelFunctions<F, D>;
    return {name,        K::scratch_bytes, K::run,           K::block_moment,  K::schedule_at, K::schedule_values,
            K::philox,   K::draws,         K::minus_two_log, K::sincos_octant, K::log2,        K::exp2,
            K::function, K::work};
}

ASGD_ISA_NAMESPACE_END
