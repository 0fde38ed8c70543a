// Schedule values h in float64 over a lane type, at t steps of the horizon; u = t / horizon is the fraction done and
// v = 1 - u the rest, passed separately because v near 0 is where annealing happens. Included by trajectory.hpp.
// Formulas: docs/stream.md.
#pragma once

#include "elementary.hpp"
#include "spec.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
ASGD_FN R power(R v, double degree) {
    const double twice = 2 * degree;
    if (twice <= 16 && twice == double(int(twice))) {
        R r = (int(twice) & 1) != 0 ? sqrt(v) : set1<R>(1.0);
        for (int i = 0; i < int(degree); ++i) r = r * v;
        return r;
    }
    const R zero = set1<R>(0.0);
    return select_less(zero, v, exp2(set1<R>(degree) * log2(v)), zero);
}

template <class R>
ASGD_FN R cosine_shape(R u, R v) {
    const R two = set1<R>(2.0), one = set1<R>(1.0);
    const R early = sin_octant(two * u), late = sin_octant(two * v);
    return select_less(set1<R>(0.5), u, late * late, fma(-early, early, one));
}

template <class R>
ASGD_FN R one_minus_sqrt_shape(R u, R v) {
    return v / (set1<R>(1.0) + sqrt(u));
}

template <class R>
ASGD_FN R interpolate(const double* table, std::int64_t n, R u) {
    alignas(64) double position[Lane<R>::width], value[Lane<R>::width];
    store(position, u * set1<R>(double(n - 1)));
    for (int l = 0; l < Lane<R>::width; ++l) {
        std::int64_t i = std::int64_t(position[l]);
        i = i < 0 ? 0 : (i > n - 2 ? n - 2 : i);
        value[l] = fma(position[l] - double(i), table[i + 1] - table[i], table[i]);
    }
    return load<R>(value);
}

// The largest i with x[i] <= at, or 0; x ascends.
ASGD_FN std::int64_t last_not_above(const double* x, std::int64_t n, double at) {
    std::int64_t low = 0, high = n;
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (x[middle] <= at ? low : high) = middle;
    }
    return low;
}

template <class R>
ASGD_FN R cooldown_shape(CooldownShape shape, R u, R v) {
    switch (shape) {
        case CooldownShape::linear: return v;
        case CooldownShape::cosine: return cosine_shape(u, v);
        case CooldownShape::one_minus_sqrt: return one_minus_sqrt_shape(u, v);
    }
    __builtin_unreachable();
}

// Through n points: `knots` holds their n fractions, from 0 to 1, then their n values.
template <class R>
ASGD_FN R interpolate_knots(const double* knots, std::int64_t n, R u) {
    alignas(64) double at[Lane<R>::width], value[Lane<R>::width];
    const double* const y = knots + n;
    store(at, u);
    for (int l = 0; l < Lane<R>::width; ++l) {
        const std::int64_t i = last_not_above(knots, n - 1, at[l]);
        value[l] = fma((at[l] - knots[i]) / (knots[i + 1] - knots[i]), y[i + 1] - y[i], y[i]);
    }
    return load<R>(value);
}

template <class R>
ASGD_FN R value_of_step(const double* table, std::int64_t n, R t) {
    alignas(64) double step[Lane<R>::width];
    store(step, t);
    for (int l = 0; l < Lane<R>::width; ++l) {
        const std::int64_t i = std::int64_t(step[l]);
        step[l] = table[i < 0 ? 0 : (i > n - 1 ? n - 1 : i)];
    }
    return load<R>(step);
}

// u and v are those after the warmup, whole_u and whole_v those of the whole horizon.
template <class R>
ASGD_FN R schedule_shape(const ScheduleSpec& s, double horizon, R t, R u, R v, R whole_u, R whole_v) {
    const R one = set1<R>(1.0);
    switch (s.kind) {
        case ScheduleKind::constant: return one;
        case ScheduleKind::inverse_power: {
            const double k = s.timescale_frac > 0 ? 1 / s.timescale_frac : horizon;
            const R since_warmup = s.warmup_frac > 0 ? whole_u - set1<R>(s.warmup_frac) : whole_u;
            return one / power(fma(since_warmup, set1<R>(k), one), s.parameter);
        }
        case ScheduleKind::polynomial: return power(v, s.parameter);
        case ScheduleKind::linear: return v;
        case ScheduleKind::cosine: return cosine_shape(u, v);
        case ScheduleKind::one_minus_sqrt: return one_minus_sqrt_shape(u, v);
        case ScheduleKind::exponential: return exp2(u * log2(set1<R>(s.parameter)));
        case ScheduleKind::step_decay: {
            R r = one;
            for (std::int64_t i = 0; i < s.table_size; ++i)
                r = select_less(whole_u, set1<R>(s.table[i]), r, r * set1<R>(s.parameter));
            return r;
        }
        case ScheduleKind::warmup_stable_decay: {
            const R cooldown = set1<R>(s.parameter);
            const R rest = whole_v / cooldown;
            return select_less(whole_v, cooldown, cooldown_shape(s.cooldown, one - rest, rest), one);
        }
        case ScheduleKind::tabulated: return interpolate(s.table, s.table_size, whole_u);
        case ScheduleKind::knots: return interpolate_knots(s.table, s.table_size / 2, whole_u);
        case ScheduleKind::per_step: return value_of_step(s.table, s.table_size, t);
    }
    __builtin_unreachable();
}

template <class R>
ASGD_FN R plain_value(const ScheduleSpec& s, double horizon, R t, R u, R v) {
    R inner_u = u, inner_v = v;
    if (s.warmup_frac > 0) {
        const R warmup = set1<R>(s.warmup_frac), rest = set1<R>(1 - s.warmup_frac);
        inner_u = (u - warmup) / rest;
        inner_v = v / rest;
    }
    R h = schedule_shape(s, horizon, t, inner_u, inner_v, u, v);
    if (s.floor > 0) h = fma(set1<R>(1 - s.floor), h, set1<R>(s.floor));
    if (s.warmup_frac > 0) {
        const R warmup = set1<R>(s.warmup_frac);
        h = select_less(u, warmup, u / warmup, h);
    }
    return h;
}

// The last piece that has begun.
ASGD_FN std::int64_t piece_at(const SchedulePiece* pieces, std::int64_t n, double t) {
    std::int64_t low = 0, high = n;
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (pieces[middle].begin <= t ? low : high) = middle;
    }
    return low;
}

// Steps of a piece's current run: held before and after its runs, and kept for `stride` steps.
ASGD_FN double step_of_run(const SchedulePiece& p, double t) {
    const double since = t > p.from ? t - p.from : 0, most = p.runs * p.length;
    double r = since < most ? since : most;
    if (p.stride > 0) {
        const double kept = double(std::int64_t(r / p.stride)) * p.stride;
        r = kept < r ? kept : r;
    }
    if (p.runs > 1) {
        const double run = double(std::int64_t(r / p.length));
        r = r - (run < p.runs - 1 ? run : p.runs - 1) * p.length;
        r = r < 0 ? 0 : r < p.length ? r : p.length;  // quotient and product are rounded
    }
    return r;
}

// The arguments of a piece's shape at step t of the schedule.
struct PieceTime {
    const SchedulePiece* piece;
    double t, u, v;
};

ASGD_FN PieceTime time_in_piece(const ScheduleSpec& s, double t) {
    const SchedulePiece& p = s.pieces[piece_at(s.pieces, s.piece_count, t)];
    const double r = step_of_run(p, t), done = r / p.length, rest = (p.length - r) / p.length;
    return {&p, r, p.reversed ? rest : done, p.reversed ? done : rest};
}

// Lanes may be in different pieces: each piece's shape is computed once, for all of them, and kept where it applies.
template <class R>
ASGD_FN R joined_value(const ScheduleSpec& s, R t) {
    constexpr int width = Lane<R>::width;
    alignas(64) double step[width], u[width], v[width], shape[width], value[width];
    const SchedulePiece* piece[width];
    store(step, t);
    for (int l = 0; l < width; ++l) {
        const PieceTime at = time_in_piece(s, step[l]);
        piece[l] = at.piece;
        step[l] = at.t;
        u[l] = at.u;
        v[l] = at.v;
    }
    for (int l = 0; l < width; ++l) {
        if (l > 0 && piece[l] == piece[l - 1]) continue;
        const SchedulePiece& p = *piece[l];
        store(shape, plain_value(p.shape, p.length, load<R>(step), load<R>(u), load<R>(v)));
        for (int m = 0; m < width; ++m)
            if (piece[m] == &p) value[m] = p.scale * shape[m];
    }
    return load<R>(value);
}

template <class R>
ASGD_FN R schedule_value(const ScheduleSpec& s, double horizon, R t, R u, R v) {
    return s.piece_count > 0 ? joined_value(s, t) : plain_value(s, horizon, t, u, v);
}

// At any fraction of the horizon; the fraction of a step is that step, exactly.
template <class R>
ASGD_FN R schedule_at_fraction(const ScheduleSpec& s, double horizon, R u) {
    alignas(64) double step[Lane<R>::width], fraction[Lane<R>::width];
    store(fraction, u);
    for (int l = 0; l < Lane<R>::width; ++l) {
        step[l] = fraction[l] * horizon;
        const double nearest = double(std::int64_t(step[l] + 0.5));
        if (nearest / horizon == fraction[l]) step[l] = nearest;
    }
    return schedule_value(s, horizon, load<R>(step), u, set1<R>(1.0) - u);
}

// A number of a method where its schedule is h: exactly its ends where h is 0 and where it is 1.
ASGD_FN double number_between(const double* ends, double h) { return h * ends[1] + (1 - h) * ends[0]; }

// h at steps first .. first + n - 1 of the horizon; writes n rounded up to the lane width.
template <class R>
ASGD_FN void schedule_tile(const ScheduleSpec& s, std::int64_t horizon, std::int64_t first, int n, double* h) {
    const R total = set1<R>(double(horizon));
    for (int j = 0; j < n; j += Lane<R>::width) {
        const R t = set1<R>(double(first + j)) + iota<R>();
        const R remaining = total - t;
        // Lanes past the horizon hold a copy of the last step's arguments: no domain error, never read.
        const R zero = set1<R>(0.0);
        store(h + j,
              schedule_value(s, double(horizon), t, t / total, select_less(remaining, zero, zero, remaining) / total));
    }
}

ASGD_ISA_NAMESPACE_END
