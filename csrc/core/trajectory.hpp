// One SGD step and one suboptimality value, over a lane type. The only place that knows what a step computes
// (docs/stream.md, "One step"); the CPU's tile runner and the GPU's kernel decide in which order trajectories take it.
#pragma once

#include "descent.hpp"
#include "draw.hpp"
#include "schedule.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Parameters of one coordinate of one problem, rounded to the dtype.
template <class Real>
struct Coordinate {
    Real weight;  // a or lambda
    Real shape_parameter;
    Real steepness;  // weight / shape_parameter: of Huber's parabola
    Real noise_std;
    Real lower, upper;  // the box
};

template <class Real>
ASGD_FN Coordinate<Real> coordinate_parameters(const ProblemSpec& p, std::int64_t problem, std::int64_t i) {
    const auto at = [&](const MatrixView& m) { return m.data[problem * m.row_stride + i * m.column_stride]; };
    const double weight = at(p.weight), shape = p.shape_parameter.data[problem * p.shape_parameter.stride];
    return {Real(weight),          Real(shape),       Real(weight / shape),
            Real(at(p.noise_std)), Real(at(p.lower)), Real(at(p.upper))};
}

template <ProblemKind kind, class R, class Real>
ASGD_FN R gradient(const Coordinate<Real>& p, R x) {
    if constexpr (kind == ProblemKind::absolute_value)
        return sign_times(x, set1<R>(p.weight));
    else if constexpr (kind == ProblemKind::quadratic)
        return set1<R>(p.weight) * x;
    else if constexpr (kind == ProblemKind::huber)
        return min_keep_nan(set1<R>(p.weight), max_keep_nan(set1<R>(-p.weight), set1<R>(p.steepness) * x));
    else
        static_assert(known<kind>, "gradient: no formula for this problem");
}

// x - lr * (gradient + noise), before the projection, and the new `low`; `noise` is a draw, or bits whose top bit is
// the sign.
template <ProblemKind kind, NoiseForm form, class R, class Real, class Noise>
ASGD_FN R step(const Coordinate<Real>& p, R minus_lr, R x, R& low, Noise noise) {
    R g;
    if constexpr (form == NoiseForm::bits && kind == ProblemKind::absolute_value)
        g = add_sign_times(signed_by_top_bit(noise, set1<R>(p.noise_std)), x, set1<R>(p.weight));
    else if constexpr (form == NoiseForm::bits)
        g = gradient<kind>(p, x) + signed_by_top_bit(noise, set1<R>(p.noise_std));
    else if constexpr (form == NoiseForm::values)
        g = fma(set1<R>(p.noise_std), noise, gradient<kind>(p, x));
    else if constexpr (form == NoiseForm::none)
        g = gradient<kind>(p, x);
    else
        static_assert(known<form>, "step: no formula for this form of noise");
    return moved(x, fma(minus_lr, g, low), low);
}

template <class R, class Real>
ASGD_FN R clamp_to_box(const Coordinate<Real>& p, R y) {
    return min_keep_nan(set1<R>(p.upper), max_keep_nan(set1<R>(p.lower), y));
}

// The factor that brings a point of squared norm q into the ball; NaN where q left the range of the dtype, so that the
// trajectory counts as diverged rather than as one at the origin.
template <class R, class Real>
ASGD_FN R ball_factor(Real radius, Real radius_squared, R q) {
    const R infinity = set1<R>(Real(__builtin_inf()));
    const R outside = select_less(q, infinity, set1<R>(radius) / sqrt(q), set1<R>(Real(__builtin_nan(""))));
    return select_less(set1<R>(radius_squared), q, outside, set1<R>(Real(1)));
}

// P(k) - P(start) is the sum over the tail window of k: ceil(tail_frac * k) iterates, at least one. A product that only
// rounding lifts above a whole number, such as 0.07 * 100, is that number.
ASGD_FN std::int64_t tail_window_start(std::int64_t k, double tail_frac) {
    const double exact = tail_frac * double(k) * (1 - 0x1p-50);
    std::int64_t n = std::int64_t(exact);
    if (double(n) < exact) ++n;
    return k - (n < 1 ? 1 : n);
}

// The step at which the tail window of a record begins. A record without one has -1, which every step is past, so that
// it holds up nothing.
ASGD_FN std::int64_t window_start(const EnsembleSpec& e, std::int64_t record) {
    const std::int64_t k = e.record_at[record];
    return e.iterate == Iterate::tail_average && k > 0 ? tail_window_start(k, e.tail_frac) : -1;
}

// Whether iterates weigh differently, so that the mean of them is kept in place of their sum.
ASGD_FN bool weighs(const EnsembleSpec& e) {
    switch (e.iterate) {
        case Iterate::last:
        case Iterate::average:
        case Iterate::tail_average: return false;
        case Iterate::ema:
        case Iterate::polynomial_average: return true;
    }
    __builtin_unreachable();
}

// Steps of a segment: iterates that weigh alike are added in the dtype first.
ASGD_FN int segment_length(const EnsembleSpec& e) { return weighs(e) ? 1 : segment_steps; }

// How the segment that ends at step k > 0 joins the total.
struct Closing {
    bool weighs;
    double weight;
};

ASGD_FN Closing closing(const EnsembleSpec& e, std::int64_t k) {
    const double degree = e.average_degree;
    const double weight =
        e.iterate == Iterate::ema ? (k == 1 ? 1 : 1 - e.ema_decay) : (degree + 1) / (degree + double(k));
    return {weighs(e), weight};
}

ASGD_FN double closed(const Closing& c, double total, double segment) {
    return c.weighs ? total + c.weight * (segment - total) : total + segment;
}

// How many of the last iterates are averaged at step k > 0.
ASGD_FN std::int64_t window_length(const EnsembleSpec& e, std::int64_t k) {
    switch (e.iterate) {
        case Iterate::last: return 1;
        case Iterate::average: return k;
        case Iterate::tail_average: return k - tail_window_start(k, e.tail_frac);
        case Iterate::ema:
        case Iterate::polynomial_average: return 1;  // they are means at every step
    }
    __builtin_unreachable();
}

// Windows begin and end in the order of the records, so the open ones are consecutive and can share memory cyclically.
ASGD_FN std::int64_t most_open_windows(const EnsembleSpec& e) {
    if (e.iterate != Iterate::tail_average) return 0;
    std::int64_t most = 0, first = 0;
    for (std::int64_t r = 0; r < e.record_count; ++r) {
        while (e.record_at[first] < tail_window_start(e.record_at[r], e.tail_frac)) ++first;
        if (r - first + 1 > most) most = r - first + 1;
    }
    return most;
}

// acc plus one coordinate's share of f(x), up to the factor of `objective`.
template <ProblemKind kind, class R, class Real>
ASGD_FN R add_objective_term(const Coordinate<Real>& p, R x, R acc) {
    const R weight = set1<R>(p.weight);
    if constexpr (kind == ProblemKind::absolute_value) {
        return fma(weight, absolute(x), acc);
    } else if constexpr (kind == ProblemKind::quadratic) {
        return fma(weight * x, x, acc);
    } else if constexpr (kind == ProblemKind::huber) {
        const R size = absolute(x), m = min_keep_nan(set1<R>(p.shape_parameter), size);
        return fma(set1<R>(p.steepness) * m, fma(set1<R>(Real(-0.5)), m, size), acc);
    } else {
        static_assert(known<kind>, "add_objective_term: no formula for this problem");
    }
}

// f(x) from the sum of all terms.
template <ProblemKind kind, class R>
ASGD_FN R objective(R sum) {
    if constexpr (kind == ProblemKind::absolute_value || kind == ProblemKind::huber)
        return sum;
    else if constexpr (kind == ProblemKind::quadratic)
        return set1<R>(typename Lane<R>::Real(0.5)) * sum;
    else
        static_assert(known<kind>, "objective: no formula for this problem");
}

// f(x) - f* from the sum of all terms. Rounding can take a value near f* > 0 below it; then it is 0.
template <ProblemKind kind, class R, class Real>
ASGD_FN R suboptimality(R sum, Real minimum) {
    return max_keep_nan(set1<R>(Real(0)), objective<kind>(sum) - set1<R>(minimum));
}

inline constexpr int accumulators = 32;  // of every sum over coordinates: one per thread of a GPU warp

// The first `used` accumulators hold sums of non-negative terms; the rest count as zeros, which change no bit.
template <class R>
ASGD_FN R fold_accumulators(R acc[accumulators], int used) {
    for (int w = accumulators / 2; w > 0; w /= 2)
        for (int k = 0; k + w < used && k < w; ++k) acc[k] = acc[k] + acc[k + w];
    return acc[0];
}

ASGD_ISA_NAMESPACE_END
