// Steps of a method on data: gradients of the batch, each trajectory's to memory of its own, then the method's code,
// with vectors along the coordinates (vector_machine.hpp). Included by data_runner.hpp.
//
// Where the code takes coordinates in blocks, the replicates of a group, whose points follow on one another, are one
// run of coordinates; what pads their rows is made zero again after each step. Else a trajectory's coordinates are
// brought together, in order, and its point is moved where it lies.
//
// Machine code (MethodCode) takes the place of the instructions but for those of the start: also of code that is not in
// blocks it takes coordinates where they lie.
#pragma once

#include "coordinate_draws.hpp"
#include "data_pass.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class MethodSteps {
    using Real = typename Lane<R>::Real;
    using Member = typename DataState<R>::Member;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataPass<R>& pass;
    const EnsembleSpec& e;
    DataBuffers<R>& b;
    MethodBuffers<R>& m;
    const NetworkLayout& layout;
    const MethodSpec* const method;
    const std::int64_t batch;
    std::int64_t group_first = 0;  // replicate, of the group at work
    const PhiloxKeys keys;

public:
    MethodSteps(DataState<R>& data_state, DataPass<R>& data_pass)
        : state(data_state),
          pass(data_pass),
          e(state.e),
          b(state.b),
          m(b.method),
          layout(state.layout),
          method(state.network.method),
          batch(state.batch),
          keys(philox_keys(e.seed)) {}

    void start() {
        const ProgramSpec& program = *method->program;
        for (std::int64_t k = 0; k < program.registers; ++k) m.registers[k] = Real(0);
        for (std::int64_t k = 0; k < program.draw_rows; ++k) m.draws[k] = Real(0);
        for (std::int64_t k = 0; k < program.number_count; ++k) m.numbers[k] = Real(program.numbers[k]);
        Real* const constants = m.registers + program.first_constant(m.row);
        for (std::int64_t k = 0; k < program.constant_count; ++k) constants[k] = Real(program.constants[k]);
        const double* const given = e.method_code.take_step != nullptr ? e.method_code.constants : method->constants;
        for (std::int64_t k = 0; k < m.constant_count * m.group * layout.size; ++k) m.constants[k] = Real(0);
        for (std::int64_t k = 0; k < m.constant_count; ++k)
            for (std::int64_t r = 0; r < m.group; ++r)
                for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int, bool) {
                    m.constants[(k * m.group + r) * layout.size + offset] = Real(given[k * e.problems.dimension + i]);
                });
        const std::int64_t grouped = b.configs * m.group * layout.size;
        for (std::int64_t k = 0; m.has_points && k < grouped; ++k) m.points[k] = Real(0);
        for (std::int64_t k = 0; k < method->evaluations * grouped; ++k) m.gradients[k] = Real(0);
        for (std::int64_t k = 0; method->takes_values && k < method->evaluations * b.configs * m.group; ++k)
            m.values[k] = Real(0);
        const std::int64_t kept = m.in_place ? program.state / m.row * layout.size : program.state;
        for (std::int64_t r = 0; r < b.trajectories && !state.stopped_after(0); ++r) {
            clear(m.states + r * kept, kept);
            clear(m.singles + r * method->single_count, method->single_count);
        }
        for (std::int64_t c = 0; c < b.configs; ++c)
            for (std::int64_t r = 0; r < state.replicates && !state.stopped_after(0); r += m.group)
                start_group(c, r, group_size(r, state.replicates));
    }

    // Steps t .. t + n - 1 of configs begin .. end - 1, which share rows where they are several.
    void advance(std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t replicates, std::int64_t t,
                 int n) {
        for (std::int64_t c = begin; c < end; ++c) b.rule[c] = {b.decay[c], Real(0), Real(0), false};
        for (group_first = first; group_first < first + replicates; group_first += m.group) {
            const std::int64_t count = group_size(group_first, first + replicates);
            for (int j = 0; j < n && !state.stopped_after(0); ++j) {
                for (int k = 0; k < method->evaluations; ++k) {
                    for (std::int64_t c = begin; method->points[k].elsewhere && c < end; ++c)
                        find_points(c, count, t, j, k);
                    differentiate(begin, end, count, j, k);
                }
                for (std::int64_t c = begin; c < end; ++c) {
                    update(c, count, t, j);
                    for (std::int64_t r = 0; r < count; ++r) state.finish_step(state.member(c, group_first + r));
                }
            }
        }
    }

private:
    std::int64_t group_size(std::int64_t first, std::int64_t stop) const {
        return stop - first < m.group ? stop - first : m.group;
    }
    // Of a trajectory of the group, counted among those.
    std::int64_t grouped(std::int64_t c, std::int64_t r) const { return c * m.group + r; }
    Real* gradient(int k, std::int64_t c, std::int64_t r) const {
        return m.gradients + (k * b.configs * m.group + grouped(c, r)) * layout.size;
    }
    Real* singles(std::int64_t c, std::int64_t r) const {
        return m.singles + (c * state.replicates + r) * method->single_count;
    }
    Real* parameter(std::int64_t k) const { return m.registers + m.parameters + k * row_multiple; }

    // --- gradients

    // Gradients, and values, of evaluation k in step j of the tile.
    void differentiate(std::int64_t begin, std::int64_t end, std::int64_t count, int j, int k) {
        const DataView& data = state.problem(begin).train;
        const int sample = j * method->evaluations + k;
        Member members[most_members];
        const auto take_member = [&](int i, std::int64_t c, std::int64_t r) {
            Real* const x = method->points[k].elsewhere ? m.points + grouped(c, r) * layout.size
                                                        : b.weights.x + state.at(c, group_first + r);
            members[i] = {c, r, {x, x, gradient(k, c, r)}};
        };
        if (end - begin > 1) {
            for (std::int64_t r = 0; r < count; ++r) {
                for (int i = 0; i < b.members; ++i) state.take_batch(data, sample, group_first + r, i * batch);
                for (std::int64_t c = begin; c < end; c += b.members) {
                    const int n = int(end - c < b.members ? end - c : b.members);
                    for (int i = 0; i < n; ++i) take_member(i, c + i, r);
                    differentiate_gang(members, n, true, k);
                }
            }
            return;
        }
        for (std::int64_t r = 0; r < count; r += b.members) {
            const int n = int(count - r < b.members ? count - r : b.members);
            for (int i = 0; i < n; ++i) {
                state.take_batch(data, sample, group_first + r + i, i * batch);
                take_member(i, begin, r + i);
            }
            differentiate_gang(members, n, false, k);
        }
    }

    // The rows of member i are b.row[i * batch ...], those of all are the same if `sharing`.
    void differentiate_gang(const Member* members, int n_members, bool sharing, int k) {
        if (b.linear)
            pass.linear_outputs(members, n_members, sharing);
        else
            pass.network_outputs(members[0].w.x, b.row, batch);
        const std::int64_t n_samples = n_members * batch, last = layout.layers - 1;
        const Real* const row_weight = state.has_row_weights(members[0].config) ? b.row_weight : nullptr;
        if (method->takes_values) find_values(members, n_members, row_weight, k);
        pass.differentiate(b.output, b.target, row_weight, n_samples);
        for (std::int64_t u = 0; u < layout.units[last]; ++u) {
            Real* const c = b.output + u * b.samples;
            for (std::int64_t s = 0; s < n_samples; ++s) c[s] = state.share * c[s];
        }
        for (int i = 0; i < n_members; ++i) pass.template update_layers<Terms::gradient>(members[i], i * batch);
    }

    // Mean losses of the batch, and the share of l2.
    void find_values(const Member* members, int n_members, const Real* row_weight, int k) {
        const int outputs = int(layout.units[layout.layers - 1]);
        const std::int64_t n_samples = round_up<std::int64_t>(n_members * batch, width);
        with_kind(state.network.loss, [&](auto loss) {
            if constexpr (loss.value == Loss::own) {
                memcpy(m.losses, b.output, sizeof(Real) * std::size_t(n_samples));
                b.own_loss.evaluate(m.losses, n_samples, [&](std::int64_t s) { return load<R>(b.target + s); });
            } else {
                for (std::int64_t s = 0; s < n_samples; s += width)
                    store(m.losses + s,
                          loss_of_outputs<loss.value, R>(b.output + s, b.samples, outputs, load<R>(b.target + s)));
            }
        });
        for (int i = 0; i < n_members; ++i) {
            const Member& member = members[i];
            Real sum = 0;
            for (std::int64_t s = i * batch; s < (i + 1) * batch; ++s)
                if (row_weight == nullptr)
                    sum = sum + m.losses[s];
                else if (row_weight[s] > 0)
                    sum = fma(row_weight[s], m.losses[s], sum);
            Real& value = m.values[k * b.configs * m.group + grouped(member.config, member.replicate)];
            value = state.share * sum;
            const double l2 = state.problem(member.config).l2;
            if (l2 > 0) value = fma(Real(0.5 * l2), squared_weights(member.w.x), value);
        }
    }

    // Intercepts not among them.
    Real squared_weights(const Real* x) const {
        alignas(64) Real acc[row_multiple] = {};
        for (int k = 0; k < layout.layers; ++k)
            for (std::int64_t i = layout.weights[k]; i < layout.intercept[k]; i += row_multiple)
                for (int l = 0; l < row_multiple; l += width) {
                    const R w = load<R>(x + i + l);
                    store(acc + l, fma(w, w, load<R>(acc + l)));
                }
        return fold_row(acc);
    }

    // --- the method's code, for the replicates r .. of config c; `r` counts in the group, `replicate` in the task

    void start_group(std::int64_t c, std::int64_t replicate, std::int64_t count) {
        const ProgramSpec& program = *method->program;
        group_first = replicate;
        const auto begin_singles = [&](std::int64_t r) {
            for (std::int64_t k = 0; k < method->single_count; ++k)
                singles(c, replicate + r)[k] = *m.machine().at(method->single_starts[k]);
        };
        begin_step(c, 0, {});
        if (method->block > 0) {
            in_blocks(count, [&](std::int64_t first, std::int64_t n) {
                take_block(c, first, n, 0);
                m.machine().run(program.state_start, program.state_start_count, n);
                store_parts(program.state_start_results, program.state_start_result_count, c, first, n);
            });
            return begin_singles(0);
        }
        for (std::int64_t r = 0; r < count; ++r) {
            gather(b.weights.x + state.at(c, replicate + r), m.registers);
            m.machine().run(program.state_start, program.state_start_count, m.longest);
            store_state(program.state_start_results, program.state_start_result_count, c, r);
            begin_singles(r);
        }
    }

    void find_points(std::int64_t c, std::int64_t count, std::int64_t t, int j, int k) {
        const MethodPoint& point = method->points[k];
        if (e.method_code.take_step != nullptr)
            return run_code(e.method_code.points[k], c, count, step(c, t, j), m.points);
        if (method->block > 0) {
            begin_step(c, 0, step(c, t, j));
            Real* const out = m.points + grouped(c, 0) * layout.size;
            in_blocks(count, [&](std::int64_t first, std::int64_t n) {
                take_block(c, first, n, k);
                m.machine().run(point.code, point.count, n);
                copy_run(point.result, n, out + first);
            });
            for (std::int64_t r = 0; r < count; ++r) clear_padding(out + r * layout.size);
            return;
        }
        for (std::int64_t r = 0; r < count; ++r) {
            take_trajectory(c, r, t, j, k);
            m.machine().run(point.code, point.count, m.longest);
            const auto y = run_of(point.result);
            for_each_row([&](std::int64_t first, std::int64_t offset, std::int64_t n) {
                Real* const out = m.points + grouped(c, r) * layout.size + offset;
                for (std::int64_t i = 0; i < n; ++i) out[i] = y.from[(first + i) * y.step];
            });
        }
    }

    void update(std::int64_t c, std::int64_t count, std::int64_t t, int j) {
        const ProgramSpec& program = *method->program;
        const Real lr = -state.rates.minus_lr[c * segment_steps + j];
        const std::int64_t at = state.at(c, group_first);
        if (e.method_code.take_step != nullptr) {
            run_code(e.method_code.take_step, c, count, step(c, t, j), nullptr);
            for (std::int64_t r = 0; r < count; ++r) clear_padding(b.weights.x + at + r * layout.size);
            return;
        }
        if (method->block > 0) {
            begin_step(c, 0, step(c, t, j));
            if (method->adam != nullptr)
                step_as_adam(c, count * layout.size, lr, at);
            else
                in_blocks(count, [&](std::int64_t first, std::int64_t n) {
                    take_block(c, first, n, method->evaluations);
                    m.machine().run(program.gradient, program.gradient_count, n);
                    store_parts(program.state_results, program.state_result_count, c, first, n);
                    move(run_of(program.gradient_result), n, lr, at + first);
                });
            end_step(c, 0);
            for (std::int64_t r = 0; r < count; ++r) clear_padding(b.weights.x + at + r * layout.size);
            return;
        }
        for (std::int64_t r = 0; r < count; ++r) {
            take_trajectory(c, r, t, j, method->evaluations);
            m.machine().run(program.gradient, program.gradient_count, m.longest);
            store_state(program.state_results, program.state_result_count, c, r);
            end_step(c, r);
            const auto u = run_of(program.gradient_result);
            for_each_row([&](std::int64_t first, std::int64_t offset, std::int64_t n) {
                const std::int64_t to = at + r * layout.size + offset;
                for (std::int64_t i = 0; i < n; ++i) move_number(u.from[(first + i) * u.step], lr, to + i);
            });
        }
    }

    // The numbers of one: all 0 before the first.
    struct Step {
        Real lr, t;
        const Real* numbers;  // segment_steps apart
    };
    Step step(std::int64_t c, std::int64_t t, int j) const {
        return {-state.rates.minus_lr[c * segment_steps + j], Real(t + j + 1), state.numbers.values + j};
    }

    // Registers of what is one number in a step.
    void begin_step(std::int64_t c, std::int64_t r, const Step& now) const {
        set_parameters(c, r, now);
        m.machine().run(method->program->prologue, method->program->prologue_count, m.longest);
    }
    void set_parameters(std::int64_t c, std::int64_t r, const Step& now) const {
        *parameter(0) = now.lr;
        *parameter(1) = now.t;
        for (int k = 0; method->takes_values && k < method->evaluations; ++k)
            *parameter(2 + k) = m.values[k * b.configs * m.group + grouped(c, r)];
        for (std::int64_t k = 0; k < method->single_count; ++k)
            *parameter(2 + method->evaluations + k) = singles(c, group_first + r)[k];
        for (std::int64_t k = 0; k < method->step_numbers; ++k)
            *parameter(2 + method->evaluations + method->single_count + k) =
                now.numbers != nullptr ? now.numbers[k * segment_steps] : Real(0);
    }

    void end_step(std::int64_t c, std::int64_t r) const {
        for (std::int64_t k = 0; k < method->single_count; ++k)
            singles(c, group_first + r)[k] = *m.machine().at(method->singles[k]);
    }

    typename VectorMachine<R>::Run run_of(const Operand& o) const {
        return m.machine().run_of(o, method->block > 0 ? m.row : e.problems.dimension, m.spread);
    }

    // --- machine code

    // For the group, whose points, if it is to find some, are among `points`.
    void run_code(MethodFunction run, std::int64_t c, std::int64_t count, const Step& now, Real* points) const {
        const std::int64_t together = method->block > 0 ? count : 1, group = m.group * layout.size;
        for (std::int64_t r = 0; r < count; r += together) {
            const std::int64_t at = state.at(c, group_first + r);
            Real* const out = points != nullptr ? points + grouped(c, r) * layout.size : nullptr;
            set_parameters(c, r, now);
            const MethodArguments arguments{b.weights.x + at,
                                            b.weights.low + at,
                                            m.states + at,
                                            gradient(0, c, r),
                                            m.constants,
                                            m.registers + m.parameters,
                                            singles(c, group_first + r),
                                            m.code_scratch,
                                            out,
                                            together * layout.size,
                                            state.state_size(),
                                            b.configs * group,
                                            group};
            run(&arguments);
            for (std::int64_t k = 0; out != nullptr && k < together; ++k) clear_padding(out + k * layout.size);
        }
    }

    // --- in blocks

    template <class F>
    void in_blocks(std::int64_t count, F f) const {
        const std::int64_t n = count * layout.size;
        for (std::int64_t first = 0; first < n; first += m.row) f(first, n - first < m.row ? n - first : m.row);
    }

    Real* part(std::int64_t k, std::int64_t c, std::int64_t first) const {
        return m.states + k * state.state_size() + state.at(c, group_first) + first;
    }

    // Coordinates first .. first + n - 1 of a group to registers, with the gradients of the first `known` evaluations.
    void take_block(std::int64_t c, std::int64_t first, std::int64_t n, int known) const {
        const std::size_t bytes = sizeof(Real) * std::size_t(n);
        if (m.reads_point) memcpy(m.registers, b.weights.x + state.at(c, group_first) + first, bytes);
        for (std::int64_t k = 0; k * m.row < method->program->state; ++k)
            memcpy(m.registers + (k + 1) * m.row, part(k, c, first), bytes);
        for (int k = 0; k < known; ++k) memcpy(m.draws + k * m.row, gradient(k, c, 0) + first, bytes);
        for (std::int64_t k = 0; k < m.constant_count; ++k)
            memcpy(m.draws + (method->evaluations + k) * m.row, m.constants + k * m.group * layout.size + first, bytes);
    }

    void store_parts(const StatePart* parts, std::int64_t count, std::int64_t c, std::int64_t first,
                     std::int64_t n) const {
        for (std::int64_t k = 0; k < count; ++k) copy_run(parts[k].from, n, part(parts[k].first / m.row, c, first));
    }

    void copy_run(const Operand& from, std::int64_t n, Real* out) const {
        const auto run = run_of(from);
        for (std::int64_t i = 0; i < n; i += width) store(out + i, run(i));
    }

    void move(const typename VectorMachine<R>::Run& u, std::int64_t n, Real lr, std::int64_t at) const {
        Real *const x = b.weights.x + at, *const low = b.weights.low + at;
        if (method->program->replaces) {
            for (std::int64_t i = 0; i < n; i += width) store(x + i, u(i));
            return;
        }
        const R minus_lr = set1<R>(-lr);
        for (std::int64_t i = 0; i < n; i += width) {
            R rest = load<R>(low + i);
            store(x + i, moved(load<R>(x + i), fma(minus_lr, u(i), rest), rest));
            store(low + i, rest);
        }
    }

    // What Adam's code computes, in one pass over the n coordinates of a group.
    void step_as_adam(std::int64_t c, std::int64_t n, Real lr, std::int64_t at) const {
        R number[adam_numbers];
        for (int k = 0; k < adam_numbers; ++k) number[k] = set1<R>(*m.machine().at(method->adam[k]));
        const Real* const gradients = gradient(0, c, 0);
        Real *const means = part(0, c, 0), *const squares = part(1, c, 0);
        Real *const x = b.weights.x + at, *const low = b.weights.low + at;
        const R minus_lr = set1<R>(-lr);
        for (std::int64_t i = 0; i < n; i += width) {
            const R g = load<R>(gradients + i);
            const R mean = fma(number[adam_beta1], load<R>(means + i), number[adam_rest1] * g);
            const R square = fma(number[adam_beta2], load<R>(squares + i), (number[adam_rest2] * g) * g);
            const R size = anneal_sgd::ASGD_ISA::sqrt(square * number[adam_second]) + number[adam_epsilon];
            const R u = mean / (number[adam_first] * size);
            R rest = load<R>(low + i);
            store(x + i, moved(load<R>(x + i), fma(minus_lr, u, rest), rest));
            store(low + i, rest);
            store(means + i, mean);
            store(squares + i, square);
        }
    }

    void clear_padding(Real* x) const {
        for (int k = 0; k < layout.layers; ++k) {
            const std::int64_t rest = layout.row[k] - layout.inputs[k];
            for (std::int64_t u = 0; rest > 0 && u < layout.units[k]; ++u)
                clear(x + layout.weights[k] + u * layout.row[k] + layout.inputs[k], rest);
            if (layout.has_intercept)
                clear(x + layout.intercept[k] + layout.units[k], padded_row(layout.units[k]) - layout.units[k]);
        }
    }
    static void clear(Real* x, std::int64_t n) { memset(x, 0, sizeof(Real) * std::size_t(n)); }

    // --- trajectory by trajectory

    // f(first coordinate, its offset in a point, number): weights of a unit, or intercepts of a layer.
    template <class F>
    void for_each_row(F f) const {
        std::int64_t i = 0;
        for (int k = 0; k < layout.layers; ++k) {
            for (std::int64_t u = 0; u < layout.units[k]; ++u, i += layout.inputs[k])
                f(i, layout.weights[k] + u * layout.row[k], layout.inputs[k]);
            if (!layout.has_intercept) continue;
            f(i, layout.intercept[k], layout.units[k]);
            i += layout.units[k];
        }
    }

    void gather(const Real* point, Real* out) const {
        for_each_row([&](std::int64_t first, std::int64_t offset, std::int64_t n) {
            memcpy(out + first, point + offset, sizeof(Real) * std::size_t(n));
        });
    }

    Real* kept(std::int64_t c, std::int64_t r) const {
        return m.states + (c * state.replicates + group_first + r) * method->program->state;
    }

    // All of a trajectory to registers, with the gradients of the first `known` evaluations and the draws of the step.
    void take_trajectory(std::int64_t c, std::int64_t r, std::int64_t t, int j, int known) const {
        const ProgramSpec& program = *method->program;
        gather(b.weights.x + state.at(c, group_first + r), m.registers);
        memcpy(m.registers + m.row, kept(c, r), sizeof(Real) * std::size_t(program.state));
        for (int k = 0; k < known; ++k) gather(gradient(k, c, r), m.draws + k * m.row);
        for (std::int64_t k = m.inputs; k < program.draw_count; ++k) {
            const DrawSpec& draw = program.draws[k];
            with_kind(draw.kind, [&](auto kind) {
                draw_along<R, kind.value>(keys, state.configs.stream(c), draw.substream,
                                          uint32_t(state.task.first_replicate + group_first + r), t + j, draw.count,
                                          m.draws + draw.row);
            });
        }
        begin_step(c, r, step(c, t, j));
    }

    void store_state(const StatePart* parts, std::int64_t count, std::int64_t c, std::int64_t r) const {
        for (std::int64_t k = 0; k < count; ++k) {
            const StatePart& p = parts[k];
            const Real* const from = m.machine().at(p.from);
            if (m.in_place) {
                Real* const out = part(p.first / m.row, c, r * layout.size);
                for_each_row([&](std::int64_t first, std::int64_t offset, std::int64_t n) {
                    for (std::int64_t i = 0; i < n; ++i) out[offset + i] = from[(first + i) * p.from.step];
                });
                continue;
            }
            Real* const out = kept(c, r) + p.first;
            for (std::int32_t i = 0; i < p.count; ++i) out[i] = from[std::int64_t(i) * p.from.step];
        }
    }

    void move_number(Real u, Real lr, std::int64_t at) const {
        Real &x = b.weights.x[at], &low = b.weights.low[at];
        x = method->program->replaces ? u : moved(x, fma(-lr, u, low), low);
    }
};

ASGD_ISA_NAMESPACE_END
