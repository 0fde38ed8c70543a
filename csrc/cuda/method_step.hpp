// What a method does along a trajectory's coordinates, between the gradients of its batches: the order of operations of
// cpu/method_steps.hpp. Included by step_kernel.hpp.
//
// Where the code takes coordinates in blocks, those of a padded point are taken as they lie, a run at a time, and what
// pads its rows is made zero again. Else a trajectory's coordinates are brought together, in order, and what the code
// makes of them is put where they lie. Registers are filled anew for every run of code, as a launch may end between
// two.
#pragma once

#include "teams.hpp"
#include "vector_machine.hpp"
//
#include "../core/draw.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int run_spans = 4;  // of the elements of a thread that code takes as a block
inline constexpr std::int64_t whole_values = 1 << 30;

// The interpreter, which is here once, and need not share registers with what is around it.
template <class Real>
ASGD_KERNEL_CALL void run_method(const cuda::DataLaunch& p, Block block, Real* dynamic, const Instruction* code,
                                 std::int64_t count, std::int64_t most) {
    VectorMachine<Real>{p, block, dynamic}.run(code, count, most);
}

template <class Real>
struct MethodStep : VectorMachine<Real> {
    using Base = VectorMachine<Real>;
    using Base::block;
    using Base::dynamic;
    using Base::for_numbers;
    using Base::numbers;
    using Base::p;
    using Base::rank;
    using Base::registers;
    using Base::source;
    using typename Base::Source;

    ASGD_KERNEL_MEMBER const MethodSpec& spec() const { return p.method.spec; }
    ASGD_KERNEL_MEMBER const ProgramSpec& program() const { return p.method.program; }
    ASGD_KERNEL_MEMBER Real* own(const cuda::TeamArray& a, int thread) const {
        return own_elements(a, block, dynamic, thread);
    }
    ASGD_KERNEL_MEMBER Real& at(const cuda::TeamArray& a, int thread, std::int64_t m) const {
        return own(a, thread)[m * team_threads];
    }
    ASGD_KERNEL_MEMBER Real& parameter(int thread, std::int64_t k) const {
        return registers(thread)[p.method.parameters + k * row_multiple];
    }
    // Of those that follow schedules, each before 1 minus it.
    ASGD_KERNEL_MEMBER Real& step_number(int thread, std::int64_t k) const {
        return parameter(thread, 2 + spec().evaluations + spec().single_count + k);
    }
    ASGD_KERNEL_MEMBER void run(const Instruction* code, std::int64_t count, std::int64_t most = whole_values) {
        if (count > 0) run_method<Real>(p, block, dynamic, code, count, most);
    }

    // Of every launch: constants.
    ASGD_KERNEL_MEMBER void take_constants() {
        const std::int64_t first = program().first_constant(p.method.row);
        block.each([&](int thread) {
            for_numbers(thread, program().constant_count,
                        [&](std::int64_t n) { registers(thread)[first + n] = Real(program().constants[n]); });
        });
        block.team_barrier();
    }

    // At step 0, where the point is the start.
    ASGD_KERNEL_MEMBER void start() {
        block.each([&](int thread) {
            const auto clear = [&](const cuda::TeamArray& a) {
                for (std::int64_t m = 0; m < a.elements; ++m) at(a, thread, m) = Real(0);
            };
            clear(p.method.states);
            clear(p.method.singles);
            clear(p.method.gradients);
            clear(p.method.point);
            clear(p.method.values);
            if (rank(thread) != 0) return;
            parameter(thread, 0) = parameter(thread, 1) = Real(0);
            for (std::int64_t k = 0; k < spec().step_numbers; ++k) step_number(thread, k) = Real(0);
        });
        block.team_barrier();
        begin_step();
        const auto begin = [&](std::int64_t most) { run(program().state_start, program().state_start_count, most); };
        if (spec().block > 0) {
            in_runs([&](int first, int spans) {
                take_run(first, spans, 0);
                begin(spans * team_threads);
                store_parts(program().state_start_results, program().state_start_result_count, first, spans);
            });
        } else {
            take_point();
            begin(whole_values);
            store_state(program().state_start_results, program().state_start_result_count);
        }
        store_singles(spec().single_starts);
    }

    // Where evaluation k is taken.
    ASGD_KERNEL_MEMBER void find_point(int k, std::int64_t t) {
        const MethodPoint& point = spec().points[k];
        if (spec().block > 0) {
            begin_step();
            in_runs([&](int first, int spans) {
                take_run(first, spans, k);
                run(point.code, point.count, spans * team_threads);
                block.each([&](int thread) {
                    const Source y = source(thread, point.result);
                    for (int m = 0; m < spans; ++m)
                        at(p.method.point, thread, first + m) = y.get(m * team_threads + rank(thread));
                });
                block.team_barrier();
            });
            clear_padding(p.method.point);
            return;
        }
        take_trajectory(t, k);
        run(point.code, point.count);
        block.each([&](int thread) {
            const Source y = source(thread, point.result);
            for_coordinates(thread, [&](std::int64_t i, std::int64_t m) { at(p.method.point, thread, m) = y.get(i); });
        });
        block.team_barrier();
    }

    // The step, of all gradients.
    ASGD_KERNEL_MEMBER void update(std::int64_t t) {
        if (spec().block > 0) {
            begin_step();
            in_runs([&](int first, int spans) {
                take_run(first, spans, spec().evaluations);
                run(program().gradient, program().gradient_count, spans * team_threads);
                store_parts(program().state_results, program().state_result_count, first, spans);
                block.each([&](int thread) {
                    const Source u = source(thread, program().gradient_result);
                    for (int m = 0; m < spans; ++m) move(thread, first + m, u.get(m * team_threads + rank(thread)));
                });
                block.team_barrier();
            });
            clear_padding(p.point);
        } else {
            take_trajectory(t, spec().evaluations);
            run(program().gradient, program().gradient_count);
            store_state(program().state_results, program().state_result_count);
            block.each([&](int thread) {
                const Source u = source(thread, program().gradient_result);
                for_coordinates(thread, [&](std::int64_t i, std::int64_t m) { move(thread, m, u.get(i)); });
            });
        }
        store_singles(spec().singles);
    }

private:
    // Registers of what is one number in a step; the learning rate, the number of the step and those that follow
    // schedules are there.
    ASGD_KERNEL_MEMBER void begin_step() {
        block.each([&](int thread) {
            if (rank(thread) != 0) return;
            for (int k = 0; spec().takes_values && k < spec().evaluations; ++k)
                parameter(thread, 2 + k) = at(p.method.values, thread, k);
            for (std::int64_t k = 0; k < spec().single_count; ++k)
                parameter(thread, 2 + spec().evaluations + k) = numbers(p.method.singles, thread)[k];
        });
        block.team_barrier();
        run(program().prologue, program().prologue_count);
    }

    ASGD_KERNEL_MEMBER void store_singles(const Operand* singles) {
        block.each([&](int thread) {
            for_numbers(thread, spec().single_count, [&](std::int64_t k) {
                numbers(p.method.singles, thread)[k] = source(thread, singles[k]).get(0);
            });
        });
        block.team_barrier();
    }

    ASGD_KERNEL_MEMBER void move(int thread, std::int64_t m, Real u) const {
        Real &x = at(p.point, thread, m), &low = at(p.low, thread, m);
        x = program().replaces ? u : moved(x, fma(-parameter(thread, 0), u, low), low);
    }

    // --- in blocks

    template <class F>
    ASGD_KERNEL_MEMBER void in_runs(F f) const {
        for (int first = 0; first < p.layout.spans; first += run_spans)
            f(first, lesser(run_spans, p.layout.spans - first));
    }

    // Elements first .. first + spans - 1 of every thread to registers, with the gradients of the first `known`
    // evaluations.
    ASGD_KERNEL_MEMBER void take_run(int first, int spans, int known) {
        const std::int64_t row = p.method.row;
        block.each([&](int thread) {
            Real *const to = own(p.method.registers, thread), *const drawn = own(p.method.drawn, thread);
            for (int m = 0; m < spans; ++m) {
                const int local = m * team_threads;
                to[local] = at(p.point, thread, first + m);
                for (std::int64_t k = 0; k * row < program().state; ++k)
                    to[(k + 1) * row + local] = at(p.method.states, thread, k * p.layout.spans + first + m);
                for (int k = 0; k < known; ++k)
                    drawn[k * row + local] =
                        at(p.method.gradients, thread, std::int64_t(k) * p.layout.spans + first + m);
                for (std::int64_t k = 0; k < spec().constant_count; ++k)
                    drawn[(spec().evaluations + k) * row + local] =
                        Real(spec().constants[(k * p.layout.spans + first + m) * team_threads + rank(thread)]);
            }
        });
        block.team_barrier();
    }

    ASGD_KERNEL_MEMBER void store_parts(const StatePart* parts, std::int64_t count, int first, int spans) {
        block.each([&](int thread) {
            for (std::int64_t k = 0; k < count; ++k) {
                const Source from = source(thread, parts[k].from);
                const std::int64_t part = parts[k].first / p.method.row;
                for (int m = 0; m < spans; ++m)
                    at(p.method.states, thread, part * p.layout.spans + first + m) =
                        from.get(m * team_threads + rank(thread));
            }
        });
    }

    ASGD_KERNEL_MEMBER void clear_padding(const cuda::TeamArray& a) {
        block.each([&](int thread) {
            std::int64_t m = 0;
            for (int k = 0; k < p.net.layers; ++k) {
                const std::int64_t spans = p.net.row[k] / row_multiple;
                for (std::int64_t u = 0; u < p.net.units[k]; ++u, m += spans)
                    if ((spans - 1) * row_multiple + rank(thread) >= p.net.inputs[k])
                        at(a, thread, m + spans - 1) = Real(0);
                if (!p.net.has_intercept) continue;
                m += padded_row(p.net.units[k]) / row_multiple;
                if (padded_row(p.net.units[k]) - row_multiple + rank(thread) >= p.net.units[k])
                    at(a, thread, m - 1) = Real(0);
            }
        });
    }

    // --- coordinates in order

    // f(coordinate, element): those of a thread's elements that pad nothing.
    template <class F>
    ASGD_KERNEL_MEMBER void for_coordinates(int thread, F f) const {
        std::int64_t first = 0, m = 0;
        const auto row = [&](std::int64_t n) {
            for (std::int64_t i = rank(thread); i < padded_row(n); i += row_multiple, ++m)
                if (i < n) f(first + i, m);
            first += n;
        };
        for (int k = 0; k < p.net.layers; ++k) {
            for (std::int64_t u = 0; u < p.net.units[k]; ++u) row(p.net.inputs[k]);
            if (p.net.has_intercept) row(p.net.units[k]);
        }
    }

    ASGD_KERNEL_MEMBER void take_point() {
        block.each([&](int thread) {
            for_coordinates(thread,
                            [&](std::int64_t i, std::int64_t m) { registers(thread)[i] = at(p.point, thread, m); });
        });
        block.team_barrier();
    }

    // All of a trajectory to registers, with the gradients of the first `known` evaluations and the draws of step t.
    ASGD_KERNEL_MEMBER void take_trajectory(std::int64_t t, int known) {
        take_point();
        block.each([&](int thread) {
            Real *const to = registers(thread) + p.method.row, *const kept = numbers(p.method.states, thread);
            for_numbers(thread, program().state, [&](std::int64_t n) { to[n] = kept[n]; });
            for (int k = 0; k < known; ++k) {
                Real* const drawn = numbers(p.method.drawn, thread) + k * p.method.row;
                const Real* const gradient =
                    own(p.method.gradients, thread) + std::int64_t(k) * p.layout.spans * team_threads;
                for_coordinates(thread, [&](std::int64_t i, std::int64_t m) { drawn[i] = gradient[m * team_threads]; });
            }
        });
        for (std::int64_t k = p.method.inputs; k < program().draw_count; ++k) draw(program().draws[k], t);
        begin_step();
    }

    ASGD_KERNEL_MEMBER void store_state(const StatePart* parts, std::int64_t count) {
        block.each([&](int thread) {
            for (std::int64_t k = 0; k < count; ++k) {
                const Source from = source(thread, parts[k].from);
                Real* const kept = numbers(p.method.states, thread) + parts[k].first;
                for_numbers(thread, parts[k].count, [&](std::int64_t r) { kept[r] = from.get(r); });
            }
        });
    }

    // Of step t.
    ASGD_KERNEL_MEMBER void draw(const DrawSpec& spec, std::int64_t t) {
        Teams teams{p, block};
        teams.find();
        const PhiloxKeys keys = keys_of(p);
        with_kind(spec.kind, [&](auto kind) {
            block.each([&](int thread) {
                const int team = thread / team_threads;
                const std::uint32_t replicate = std::uint32_t(teams.replicate_of_team(team));
                Real* const out = numbers(p.method.drawn, thread) + spec.row;
                for_numbers(thread, spec.count, [&](std::int64_t r) {
                    const auto lanes = philox_lanes(replicate, spec.substream + std::uint32_t(r), keys);
                    out[r] = drawn_number<kind.value>(lanes, teams.stream_of_team(team), t, keys);
                });
            });
        });
    }

    template <DrawKind kind>
    ASGD_KERNEL_MEMBER static Real drawn_number(const PhiloxLanes<std::uint32_t>& lanes, std::uint32_t stream,
                                                std::int64_t t, const PhiloxKeys& keys) {
        if constexpr (kind == DrawKind::rademacher) {
            std::uint32_t words[4];
            philox_words(lanes, philox_call(stream, std::uint32_t(t / rademacher_draws_per_call), keys), keys, words);
            // Selected, not indexed, so that the words stay in registers.
            const int bit = int(t % rademacher_draws_per_call), index = bit / 32;
            const std::uint32_t low = index == 0 ? words[0] : words[1], high = index == 2 ? words[2] : words[3];
            const std::uint32_t word = index < 2 ? low : high;
            return signed_by_top_bit(top_aligned(word, Real()) << bit % 32, Real(1));
        } else {
            constexpr int draws = value_draws_per_call<Real>;
            typename Lane<Real>::Bits bits[draws];
            philox_bits<Real>(lanes, philox_call(stream, std::uint32_t(t / draws), keys), keys, bits);
            Real z[draws];
            draw_values<Real, kind>(bits, z);
            Real value = z[0];
            ASGD_UNROLL
            for (int k = 1; k < draws; ++k) value = t % draws == k ? z[k] : value;
            return value;
        }
    }
};

enum class MethodPart { start, point, step };

// Calls of their own: what a method needs in registers must not push out what its gradients need.
template <class Real>
ASGD_KERNEL_CALL void take_method_step(const cuda::DataLaunch& p, Block block, Real* dynamic, MethodPart part, int k,
                                       std::int64_t t) {
    MethodStep<Real> method{{p, block, dynamic}};
    switch (part) {
        case MethodPart::start: return method.start();
        case MethodPart::point: return method.find_point(k, t);
        case MethodPart::step: return method.update(t);
    }
}

ASGD_ISA_NAMESPACE_END
