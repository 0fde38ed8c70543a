// Advances a task, trajectories of a program, on one core: written once over lane types, compiled once per instruction
// set. Included by isa_*.cpp only.
//
// Strips of V vectors of replicates go through a tile in pieces of steps: the draws of a piece are made once for all
// configs that share the stream, then every config copies its state into registers, takes the steps of the piece there
// (program_machine.hpp) and copies it back. So registers stay in the first-level cache where the dimension is small.
// Where replicates are few, a strip has a part for each of several configs of a problem, side by side. Machine code of
// the program, where a call has it, takes these steps instead.
#pragma once

#include "horizon.hpp"
#include "noise.hpp"
#include "program_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr std::int64_t program_registers_bytes = 24 << 10;  // of a wide strip, at most
inline constexpr std::int64_t program_draws_bytes = 1 << 17;

template <class R>
struct ProgramBuffers {
    using Real = typename Lane<R>::Real;
    using BitsReal = typename Constants<Real>::Integer;

    std::int64_t configs, replicates, padded, dimension, elements;
    std::int64_t kept;                    // numbers of a method's state
    bool coded;                           // machine code is of such parts of strips
    bool wide;                            // strips of Lane<R>::strip vectors, else of narrow_strip
    int row, part, parts;                 // trajectories of a strip, of a config in it; configs side by side
    int steps;                            // of a piece
    Real *x, *low;                        // [config, coordinate, replicate]
    Real* states;                         // [config, number, replicate]
    Averages<R> averages;                 // of x
    Real* averaged;                       // [config of the strip, coordinate, replicate]
    Real *registers, *low_now, *sum_now;  // [.., trajectory of the strip]
    int rates_at[Lane<R>::strip];         // of a vector of the strip, from those of the first config
    Real* draws;                          // [draw, step, trajectory of the strip]; for the start, of a call's steps
    std::int64_t draw_size;
    BitsReal* bits;                 // of one coordinate's call
    Real *numbers, *lower, *upper;  // of the program; of the box of the config at hand
    Real* recorded;                 // [config of the strip, metric, replicate]
    Real* scratch;                  // of machine code

    ProgramBuffers(const EnsembleSpec& e, const Task& task, Arena& arena) {
        const ProgramSpec& program = *e.problems.program;
        const bool averaging = e.iterate != Iterate::last;
        configs = task.stop_config - task.first_config;
        replicates = task.stop_replicate - task.first_replicate;
        dimension = e.problems.dimension;
        kept = program.state;
        const std::int64_t real = sizeof(Real);
        const std::int64_t registers_used =
            (e.machine_code.take_steps != nullptr ? kept : program.registers) + 2 * dimension;
        part = part_of_strip<R>(replicates) * Lane<R>::width;
        coded = e.machine_code.take_steps != nullptr && e.machine_code.part == part;
        // Machine code is made for as many configs as the problem has.
        const std::int64_t of_problem = e.base_lr_count * e.schedule_count;
        const std::int64_t side_by_side = coded || of_problem < configs ? of_problem : configs;
        wide = registers_used * Lane<R>::strip * Lane<R>::width * real <= program_registers_bytes &&
               part * side_by_side > narrow_strip * Lane<R>::width;
        row = (wide ? Lane<R>::strip : narrow_strip) * Lane<R>::width;
        if (part > row) part = row;
        parts = row / part;
        for (int v = 0; v < Lane<R>::strip; ++v) rates_at[v] = v * Lane<R>::width / part * segment_steps;
        padded = round_up<std::int64_t>(replicates, part);
        elements = configs * dimension * padded;
        steps = value_tile_steps<Real>;
        while (steps > 4 && program.draw_rows * steps * row * real > program_draws_bytes) steps /= 2;

        x = arena.take<Real>(elements);
        low = arena.take<Real>(elements);
        states = arena.take<Real>(configs * kept * padded);
        averages.take(e, elements, arena);
        averaged = arena.take<Real>(averaging ? parts * dimension * padded : 0);
        registers = arena.take<Real>(program.registers * row);
        low_now = arena.take<Real>(dimension * row);
        sum_now = arena.take<Real>(averaging ? dimension * row : 0);
        const std::int64_t of_steps = program.draw_rows * steps;
        const std::int64_t of_start = program.start_draw_rows * value_draws_per_call<Real>;
        draw_size = (of_steps > of_start ? of_steps : of_start) * row;
        draws = arena.take<Real>(draw_size);
        bits = arena.take<BitsReal>(4 * row);
        numbers = arena.take<Real>(program.number_count);
        lower = arena.take<Real>(dimension);
        upper = arena.take<Real>(dimension);
        recorded = arena.take<Real>(parts * e.metric_count * padded);
        scratch = arena.take<Real>(e.machine_code.scratch);
    }

    std::int64_t offset(std::int64_t config, std::int64_t coordinate) const {
        return (config * dimension + coordinate) * padded;
    }
};

// Trajectories of a strip: so many replicates from the first one on of configs first_config .. stop_config - 1.
struct ProgramStrip {
    std::int64_t config, stop_config, first;
};

template <class R>
class ProgramRunner : public Stoppable {
    using Real = typename Lane<R>::Real;
    using BitsReal = typename Constants<Real>::Integer;
    static constexpr int width = Lane<R>::width;

    const EnsembleSpec& e;
    const ProgramSpec& program;
    const Task& task;
    ProgramBuffers<R> b;
    LearningRates<R> rates;
    StepNumbers<R> numbers;
    const Configs configs;
    PhiloxKeys keys;
    bool averaging;

public:
    ProgramRunner(const EnsembleSpec& ensemble, const Task& t, Arena& arena, const Listener& l)
        : Stoppable(l),
          e(ensemble),
          program(*ensemble.problems.program),
          task(t),
          b(ensemble, t, arena),
          rates(b.configs, arena, Lane<R>::strip),
          numbers(ensemble, arena),
          configs(ensemble, t),
          keys(philox_keys(ensemble.seed)),
          averaging(ensemble.iterate != Iterate::last) {}

    // False if the listener stopped it.
    bool run() {
        start();
        take_horizon(e, segment_steps, *this);
        return !stopped;
    }

    // For take_horizon.
    void advance(std::int64_t t, int n) {
        rates.compute(configs, t, n);
        numbers.compute(e, t, n);
        for (std::int64_t first = 0; first < b.replicates && !stopped; first += b.row) {
            if (b.wide)
                advance_strip<Lane<R>::strip>(t, n, first);
            else
                advance_strip<narrow_strip>(t, n, first);
            stopped_after(n * b.configs * (b.replicates - first < b.row ? b.replicates - first : b.row) * b.dimension);
        }
    }
    void close_segments(std::int64_t k) {
        in_pieces(b.averages.size,
                  [&](std::int64_t begin, std::int64_t end) { b.averages.close_segment(e, k, begin, end); });
    }
    void save_window_start(std::int64_t r) {
        in_pieces(b.averages.size,
                  [&](std::int64_t begin, std::int64_t end) { b.averages.save_window_start(r, begin, end); });
    }
    void report(std::int64_t record, std::int64_t k) {
        for (std::int64_t c = 0, stop; c < b.configs && !stopped_after(0); c = stop) {
            stop = configs.of_one_problem(c, b.parts);
            const Real* x = b.x + b.offset(c, 0);
            if (averaging && k > 0) {
                in_pieces((stop - c) * b.dimension * b.padded, [&](std::int64_t begin, std::int64_t end) {
                    b.averages.average(e, record, k, b.offset(c, 0), begin, end, b.averaged);
                });
                x = b.averaged;
            }
            for (std::int64_t first = 0; first < b.replicates && !stopped_after(0); first += b.row)
                if (b.wide)
                    evaluate<Lane<R>::strip>({c, stop, first}, x);
                else
                    evaluate<narrow_strip>({c, stop, first}, x);
            for (std::int64_t p = 0; p < stop - c; ++p) {
                for (std::int64_t m = 0; m < e.metric_count && !stopped; ++m)
                    listener.recorded(listener.context, task.first_config + c + p, record * e.metric_count + m,
                                      b.recorded + (p * e.metric_count + m) * b.padded);
                if (!stopped)
                    tell_iterates(e, listener, task.first_config + c + p, record, 0, b.dimension, x + b.offset(p, 0),
                                  b.padded);
            }
        }
    }

private:
    void start() {
        rates.start(configs);
        for (std::int64_t k = 0; k < program.number_count; ++k) b.numbers[k] = Real(program.numbers[k]);
        for (std::int64_t k = 0; k < b.draw_size; ++k) b.draws[k] = Real(0);
        for (std::int64_t k = 0; k < program.registers * b.row; ++k) b.registers[k] = Real(0);
        for (std::int64_t k = 0; k < b.dimension * b.row; ++k) b.low_now[k] = Real(0);
        for (std::int64_t k = 0; averaging && k < b.dimension * b.row; ++k) b.sum_now[k] = Real(0);
        for (std::int64_t k = 0; k < program.constant_count; ++k)
            fill_register(program.first_constant(b.dimension) + k, Real(program.constants[k]));
        const MatrixView& x0 = e.problems.x0;
        for (std::int64_t c = 0; c < b.configs; ++c)
            for (std::int64_t i = 0; i < b.dimension && !stopped_after(0); ++i) {
                const Real value = Real(x0.data[configs.problem(c) * x0.row_stride + i * x0.column_stride]);
                Real* const x = b.x + b.offset(c, i);
                for (std::int64_t l = 0; l < b.padded; ++l) x[l] = value;
                memset(b.low + b.offset(c, i), 0, sizeof(Real) * std::size_t(b.padded));
            }
        if (averaging)
            in_pieces(b.averages.size, [&](std::int64_t begin, std::int64_t end) { b.averages.clear(begin, end); });
        for (std::int64_t first = 0; program.starts && first < b.replicates && !stopped; first += b.row)
            if (b.wide)
                start_strip<Lane<R>::strip>(first);
            else
                start_strip<narrow_strip>(first);
        for (std::int64_t first = 0; b.kept > 0 && first < b.replicates && !stopped; first += b.row)
            if (b.wide)
                start_states<Lane<R>::strip>(first);
            else
                start_states<narrow_strip>(first);
    }

    // Starts that are drawn, and projected as every iterate is.
    template <int V>
    void start_strip(std::int64_t first) {
        constexpr int apart = value_draws_per_call<Real>;
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = sharing_stop(begin);
            fill<V>(program.start_draws, program.start_draw_count, apart, {begin, end, first}, 0, 1);
            for (std::int64_t c = begin, stop; c < end && !stopped_after(0); c = stop) {
                stop = configs.of_one_problem(c, b.parts);
                take_problem<V>(c);
                const Machine<R, V> now{b.registers, b.draws, b.numbers, apart};
                now.run(program.start, program.start_count);
                take_point<V>(now, program.start_result);
                if (clamps(e.problems.projection)) clamp<V>();
                project<V>(now, c);
                copy_out({c, stop, first}, b.registers, b.x, b.dimension);
            }
        }
    }

    // What a method begins with, where x begins.
    template <int V>
    void start_states(std::int64_t first) {
        for (std::int64_t c = 0, stop; c < b.configs && !stopped_after(0); c = stop) {
            stop = configs.of_one_problem(c, b.parts);
            const ProgramStrip strip{c, stop, first};
            take_problem<V>(c);
            copy_in(strip, b.x, b.registers, b.dimension);
            for (std::int64_t k = 0; k < b.kept; ++k) fill_register(b.dimension + k, Real(0));
            const auto now = machine<V>(b.draws);
            now.run(program.state_start, program.state_start_count);
            take_state<V>(now, program.state_start_results, program.state_start_result_count);
            copy_out(strip, b.registers + b.dimension * b.row, b.states, b.kept);
        }
    }

    // Configs c .. sharing_stop(c) - 1 use the draws in the buffer: all that see the same, or those of a strip.
    std::int64_t sharing_stop(std::int64_t c) const {
        return e.common_random_numbers ? b.configs : configs.of_one_problem(c, b.parts);
    }

    void fill_register(std::int64_t number, Real value) {
        Real* const out = b.registers + number * b.row;
        for (int l = 0; l < b.row; ++l) out[l] = value;
    }

    template <int V>
    Machine<R, V> machine(const Real* draws) const {
        return {b.registers, draws, b.numbers, b.steps};
    }

    // What a config's problem has of its own: parameters, and what follows from them; its box.
    template <int V>
    void take_problem(std::int64_t c) {
        const std::int64_t problem = configs.problem(c),
                           first = program.first_constant(b.dimension) + program.constant_count;
        for (std::int64_t k = 0; k < program.parameter_count; ++k)
            fill_register(first + k, Real(program.parameters.data[problem * program.parameters.row_stride +
                                                                  k * program.parameters.column_stride]));
        machine<V>(b.draws).run(program.prologue, program.prologue_count);
        const auto at = [&](const MatrixView& m, std::int64_t i) {
            return Real(m.data[problem * m.row_stride + i * m.column_stride]);
        };
        for (std::int64_t i = 0; i < b.dimension; ++i) {
            b.lower[i] = at(e.problems.lower, i);
            b.upper[i] = at(e.problems.upper, i);
        }
    }

    // Between rows of a strip and the same trajectories among all, [config, one of `count`, replicate]. Parts without a
    // config keep what they had.
    void copy_in(const ProgramStrip& strip, const Real* all, Real* rows, std::int64_t count) const {
        for (std::int64_t c = strip.config; c < strip.stop_config; ++c)
            for (std::int64_t i = 0; i < count; ++i)
                memcpy(rows + i * b.row + (c - strip.config) * b.part, all + (c * count + i) * b.padded + strip.first,
                       part_bytes());
    }
    void copy_out(const ProgramStrip& strip, const Real* rows, Real* all, std::int64_t count) const {
        for (std::int64_t c = strip.config; c < strip.stop_config; ++c)
            for (std::int64_t i = 0; i < count; ++i)
                memcpy(all + (c * count + i) * b.padded + strip.first, rows + i * b.row + (c - strip.config) * b.part,
                       part_bytes());
    }
    std::size_t part_bytes() const { return sizeof(Real) * std::size_t(b.part); }

    template <int V>
    void advance_strip(std::int64_t t, int n, std::int64_t first) {
        for (std::int64_t begin = 0, end; begin < b.configs; begin = end) {
            end = sharing_stop(begin);
            for (int j = 0; j < n && !stopped;) {
                const int to_multiple = b.steps - int((t + j) % b.steps), m = n - j < to_multiple ? n - j : to_multiple;
                fill<V>(program.draws, program.draw_count, b.steps, {begin, end, first}, t + j, m);
                for (std::int64_t c = begin, stop; c < end && !stopped_after(0); c = stop) {
                    stop = configs.of_one_problem(c, b.parts);
                    if (c == begin || configs.problem(c) != configs.problem(c - 1)) take_problem<V>(c);
                    take_steps<V>({c, stop, first}, t, j, m);
                }
                j += m;
            }
        }
    }

    // Draws of m steps from t on, to rows of the buffer that are so many steps apart: for all parts the same, or for
    // each config of a strip its own.
    template <int V>
    void fill(const DrawSpec* draws, std::int64_t count, int apart, const ProgramStrip& strip, std::int64_t t, int m) {
        const std::int64_t left = (b.replicates - strip.first + width - 1) / width;
        const int vectors = left < V ? int(left) : V;
        const uint32_t replicate = uint32_t(task.first_replicate + strip.first);
        const bool shared = e.common_random_numbers;
        const std::int64_t sharing = strip.stop_config - strip.config, copies = sharing < b.parts ? sharing : b.parts;
        for (std::int64_t d = 0; d < count; ++d) {
            const DrawSpec& draw = draws[d];
            const bool as_bits = draw.kind == DrawKind::rademacher && in_machine_code() && draws == program.draws;
            for (std::int32_t i = 0; i < draw.count && !stopped_after(0); ++i) {
                Real* const rows = b.draws + std::int64_t(draw.row + i) * apart * b.row;
                const uint32_t substream = draw.substream + uint32_t(i);
                for (std::int64_t c = strip.config; c < (shared ? strip.config + 1 : strip.stop_config); ++c) {
                    Real* const out = rows + (c - strip.config) * b.part;
                    const uint32_t stream = configs.stream(c);
                    if (as_bits)
                        fill_bits<R, V>(keys, stream, substream, replicate, vectors, t,
                                        reinterpret_cast<BitsReal*>(out));
                    else
                        with_kind(draw.kind, [&](auto kind) {
                            fill_draws<R, kind.value, V>(keys, stream, substream, replicate, vectors, t, t + m, b.bits,
                                                         out);
                        });
                }
                if (!shared) continue;
                Real* const stop = rows + (as_bits ? 4 : t % value_draws_per_call<Real> + m) * b.row;
                for (Real* row = rows; row < stop; row += b.row)
                    for (int p = 1; p < copies; ++p) memcpy(row + p * b.part, row, part_bytes());
            }
        }
    }

    bool in_machine_code() const { return b.coded && b.row % e.machine_code.lanes == 0; }

    // m of the steps from t + j on, whose draws are there.
    template <int V>
    void take_steps(const ProgramStrip& strip, std::int64_t t, int j, int m) {
        const std::int64_t c = strip.config;
        const int first_row = int((t + j) % value_draws_per_call<Real>);
        copy_in(strip, b.x, b.registers, b.dimension);
        copy_in(strip, b.low, b.low_now, b.dimension);
        copy_in(strip, b.states, b.registers + b.dimension * b.row, b.kept);
        if (averaging) copy_in(strip, b.averages.segment, b.sum_now, b.dimension);
        const bool long_steps = b.dimension * b.row > uninterrupted_elements / b.steps;
        const int together = in_machine_code() && !long_steps ? m : 1;
        for (int s = 0; s < m && !(long_steps && stopped_after(0)); s += together) {
            if (in_machine_code()) {
                run_machine_code(strip, t, j + s, together, first_row + s);
                continue;
            }
            const Real* const minus_lr = rates.minus_lr + c * segment_steps + j + s;
            take_numbers<V>(minus_lr, t + j + s, j + s);
            const auto now = machine<V>(b.draws + std::int64_t(first_row + s) * b.row);
            now.run(program.gradient, program.gradient_count);
            take_state<V>(now, program.state_results, program.state_result_count);
            move<V>(now, c, minus_lr);
        }
        copy_out(strip, b.registers, b.x, b.dimension);
        copy_out(strip, b.low_now, b.low, b.dimension);
        copy_out(strip, b.registers + b.dimension * b.row, b.states, b.kept);
        if (averaging) copy_out(strip, b.sum_now, b.averages.segment, b.dimension);
    }

    // What step t, the tile's step j, has of its own, where `minus_lr` are its learning rates, of a strip's configs.
    template <int V>
    void take_numbers(const Real* minus_lr, std::int64_t t, int j) {
        for (std::int64_t k = 0; k < program.step_numbers; ++k) {
            if (k > 0) {
                fill_register(b.dimension + b.kept + k,
                              k == 1 ? Real(t + 1) : numbers.values[(k - 2) * segment_steps + j]);
                continue;
            }
            Real* const lr = b.registers + (b.dimension + b.kept) * b.row;
            for (int v = 0; v < V; ++v) store(lr + v * width, set1<R>(-minus_lr[b.rates_at[v]]));
        }
    }

    void run_machine_code(const ProgramStrip& strip, std::int64_t t, int j, int steps, int first_row) const {
        const std::int64_t c = strip.config;
        const double radius = e.problems.radius.data[configs.problem(c) * e.problems.radius.stride];
        const Real ball[] = {Real(radius), Real(radius * radius)};
        const StepArguments arguments{b.registers,
                                      b.low_now,
                                      b.sum_now,
                                      b.draws + std::int64_t(first_row) * b.row,
                                      b.draws,
                                      b.registers,
                                      b.numbers,
                                      b.lower,
                                      b.upper,
                                      ball,
                                      rates.minus_lr + c * segment_steps + j,
                                      numbers.values + j,
                                      b.scratch,
                                      steps,
                                      b.row,
                                      std::int64_t(b.steps) * b.row,
                                      round_up((strip.stop_config - c) * b.part, e.machine_code.lanes),
                                      (t + j) % rademacher_draws_per_call,
                                      t + j};
        e.machine_code.take_steps(&arguments);
    }

    // What code leaves of the state, which no other part of it reads where it lies.
    template <int V>
    void take_state(const Machine<R, V>& now, const StatePart* parts, std::int64_t count) const {
        for (std::int64_t k = 0; k < count; ++k) {
            Real* out = b.registers + (b.dimension + parts[k].first) * b.row;
            const Real* from = now.at(parts[k].from);
            for (std::int32_t i = 0; i < parts[k].count; ++i, out += b.row, from += now.stride(parts[k].from))
                for (int v = 0; v < V * width; v += width) store(out + v, load<R>(from + v));
        }
    }

    // The step, the projection, and the sum of iterates.
    template <int V>
    void move(const Machine<R, V>& now, std::int64_t c, const Real* minus_lr) {
        if (!program.replaces) {
            descend<V>(now, minus_lr);
        } else {
            take_point<V>(now, program.gradient_result);
            if (clamps(e.problems.projection)) clamp<V>();
        }
        project<V>(now, c);
        if (averaging)
            for (std::int64_t k = 0; k < b.dimension * V * width; k += width)
                store(b.sum_now + k, load<R>(b.sum_now + k) + load<R>(b.registers + k));
    }

    // x - lr g, in the box.
    template <int V>
    void descend(const Machine<R, V>& now, const Real* minus_lr) {
        constexpr int row = V * width;
        const Real* g = now.at(program.gradient_result);
        const std::int64_t next_g = now.stride(program.gradient_result);
        const bool box = clamps(e.problems.projection);
        R lr[V];
        ASGD_UNROLL
        for (int v = 0; v < V; ++v) lr[v] = set1<R>(minus_lr[b.rates_at[v]]);
        for (std::int64_t i = 0; i < b.dimension; ++i, g += next_g) {
            Real *const x = b.registers + i * row, *const low = b.low_now + i * row;
            const R lower = set1<R>(b.lower[i]), upper = set1<R>(b.upper[i]);
            ASGD_UNROLL
            for (int v = 0; v < row; v += width) {
                R low_v = load<R>(low + v);
                R y = load<R>(x + v);
                y = moved(y, fma(lr[v / width], load<R>(g + v), low_v), low_v);
                if (box) y = min_keep_nan(upper, max_keep_nan(lower, y));
                store(x + v, y);
                store(low + v, low_v);
            }
        }
    }

    // But for the box: a ball, or what the program takes the point to.
    template <int V>
    void project(const Machine<R, V>& now, std::int64_t c) {
        if (couples_coordinates(e.problems.projection)) project_on_ball<V>(c);
        if (!program.projects) return;
        now.run(program.projection, program.projection_count);
        take_point<V>(now, program.projection_result);
    }

    template <int V>
    void take_point(const Machine<R, V>& now, const Operand& from) {
        const Real* y = now.at(from);
        for (std::int64_t i = 0; i < b.dimension; ++i, y += now.stride(from))
            for (int v = 0; v < V * width; v += width) store(b.registers + i * b.row + v, load<R>(y + v));
    }

    template <int V>
    void clamp() {
        for (std::int64_t i = 0; i < b.dimension; ++i)
            for (Real* x = b.registers + i * b.row; x < b.registers + (i + 1) * b.row; x += width)
                store(x, min_keep_nan(set1<R>(b.upper[i]), max_keep_nan(set1<R>(b.lower[i]), load<R>(x))));
    }

    template <int V>
    void project_on_ball(std::int64_t c) {
        constexpr int row = V * width;
        const double radius = e.problems.radius.data[configs.problem(c) * e.problems.radius.stride];
        const int used = b.dimension < accumulators ? int(b.dimension) : accumulators;
        for (int v = 0; v < row; v += width) {
            R norm[accumulators];
            for (int k = 0; k < used; ++k) norm[k] = set1<R>(0);
            for (std::int64_t i = 0; i < b.dimension; ++i) {
                const R y = load<R>(b.registers + i * row + v);
                norm[i % accumulators] = fma(y, y, norm[i % accumulators]);
            }
            const R factor = ball_factor(Real(radius), Real(radius * radius), fold_accumulators(norm, used));
            for (std::int64_t i = 0; i < b.dimension; ++i)
                store(b.registers + i * row + v, load<R>(b.registers + i * row + v) * factor);
        }
    }

    // All metrics of a strip at x, [config of the strip, coordinate, replicate], to `recorded`.
    template <int V>
    void evaluate(const ProgramStrip& strip, const Real* x) {
        const std::int64_t c = strip.config;
        take_problem<V>(c);
        copy_in({0, strip.stop_config - c, strip.first}, x, b.registers, b.dimension);
        copy_in(strip, b.states, b.registers + b.dimension * b.row, b.kept);
        const auto now = machine<V>(b.draws);
        now.run(program.value, program.value_count);
        const R minimum = set1<R>(Real(e.problems.minimum.data[configs.problem(c) * e.problems.minimum.stride]));
        for (std::int64_t p = 0; p < strip.stop_config - c; ++p)
            for (std::int64_t m = 0; m < e.metric_count; ++m) {
                const Real* const number = now.at(recorded_operand(program, e.metrics, m)) + p * b.part;
                Real* const out = b.recorded + (p * e.metric_count + m) * b.padded + strip.first;
                for (int v = 0; v < b.part; v += width)
                    store(out + v, recorded_value(e.metrics[m], load<R>(number + v), minimum));
            }
    }
};

template <class R>
ASGD_FN std::int64_t program_scratch_bytes(const EnsembleSpec& e, const Task& task) {
    Arena arena{nullptr};
    const ProgramBuffers<R> buffers(e, task, arena);
    const LearningRates<R> rates(buffers.configs, arena, Lane<R>::strip);
    const StepNumbers<R> numbers(e, arena);
    return arena.used;
}

template <class R>
static bool run_program(const EnsembleSpec& e, const Task& task, void* scratch, const Listener& listener) {
    Arena arena{static_cast<char*>(scratch)};
    return ProgramRunner<R>(e, task, arena, listener).run();
}

ASGD_ISA_NAMESPACE_END
