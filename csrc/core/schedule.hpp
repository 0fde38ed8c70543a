// Schedule values h(u) in float64 over a lane type; u is the fraction of the horizon done and v = 1 - u the rest,
// passed separately because v near 0 is where annealing happens. Included by trajectory.hpp. Formulas: docs/stream.md.
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

template <class R>
ASGD_FN R cooldown_shape(CooldownShape shape, R u, R v) {
    switch (shape) {
        case CooldownShape::linear: return v;
        case CooldownShape::cosine: return cosine_shape(u, v);
        case CooldownShape::one_minus_sqrt: return one_minus_sqrt_shape(u, v);
    }
    __builtin_unreachable();
}

template <class R>
ASGD_FN R schedule_shape(const ScheduleSpec& s, double horizon, R u, R v, R whole_u, R whole_v) {
    const R one = set1<R>(1.0);
    switch (s.kind) {
        case ScheduleKind::constant: return one;
        case ScheduleKind::inverse_sqrt: {
            const double k = s.parameter > 0 ? 1 / s.parameter : horizon;
            return one / sqrt(fma(u, set1<R>(k), one));
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
    }
    __builtin_unreachable();
}

template <class R>
ASGD_FN R schedule_value(const ScheduleSpec& s, double horizon, R u, R v) {
    R inner_u = u, inner_v = v;
    if (s.warmup_frac > 0) {
        const R warmup = set1<R>(s.warmup_frac), rest = set1<R>(1 - s.warmup_frac);
        inner_u = (u - warmup) / rest;
        inner_v = v / rest;
    }
    R h = schedule_shape(s, horizon, inner_u, inner_v, u, v);
    if (s.floor > 0) h = fma(set1<R>(1 - s.floor), h, set1<R>(s.floor));
    if (s.warmup_frac > 0) {
        const R warmup = set1<R>(s.warmup_frac);
        h = select_less(u, warmup, u / warmup, h);
    }
    return h;
}

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
              schedule_value(s, double(horizon), t / total, select_less(remaining, zero, zero, remaining) / total));
    }
}

ASGD_ISA_NAMESPACE_END
