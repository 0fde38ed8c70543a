// The memory of a method on data, and the runs of its code. Included by data_buffers.hpp.
#pragma once

#include "../core/network.hpp"
#include "horizon.hpp"
#include "vector_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// Of a step.
ASGD_FN std::int64_t evaluations(const NetworkSpec& network) {
    return network.method != nullptr ? network.method->evaluations : 1;
}

inline constexpr std::int64_t most_grouped = 16;           // replicates of a group
inline constexpr std::int64_t grouped_coordinates = 4096;  // that a group is to have

template <class R>
struct MethodBuffers {
    using Real = typename Lane<R>::Real;

    std::int64_t group = 1;       // replicates whose steps are taken together, a power of two
    std::int64_t inputs = 0;      // the first rows of draws: gradients and constants of coordinates
    std::int64_t row = 0;         // elements of one
    std::int64_t parameters = 0;  // the register of the first one
    std::int64_t longest = 0;     // value
    std::int64_t constant_count = 0;
    bool reads_point = false, has_points = false;
    bool in_place = false;  // whether its code takes coordinates where they lie
    Real *registers, *draws, *numbers, *scratch, *spread, *code_scratch;
    Real* states;     // in place: [part, trajectory, padded point]; else [trajectory, number]
    Real* singles;    // [trajectory, single]; of a group's first one in place of all, with a block's code
    Real* gradients;  // [evaluation, config, replicate of the group, padded point]
    Real* points;     // [config, replicate of the group, padded point]: where they are elsewhere than at x
    Real* values;     // [evaluation, config, replicate of the group]
    Real* losses;     // [sample]
    Real* constants;  // [constant, replicate of the group, padded point]

    void take(const EnsembleSpec& e, const NetworkLayout& layout, const Task& task, std::int64_t samples,
              Arena& arena) {
        const MethodSpec& method = *e.problems.network->method;
        const ProgramSpec& program = *method.program;
        const bool is_compiled = e.method_code.take_step != nullptr;
        in_place = method.block > 0 || is_compiled;
        constant_count = is_compiled ? e.method_code.constant_count : method.constant_count;
        const std::int64_t replicates = task.stop_replicate - task.first_replicate;
        const std::int64_t configs = task.stop_config - task.first_config, trajectories = configs * replicates;
        while (group < most_grouped && 2 * group * layout.size <= grouped_coordinates) group *= 2;
        inputs = method.evaluations + method.constant_count;
        row = program.draws[0].count;
        parameters = program.first_constant(row) + program.constant_count;
        const auto note = [&](std::int64_t n) { longest = longest < n ? n : longest; };
        const auto note_operand = [&](const Operand& o) { reads_point = reads_point || (!o.drawn && o.row < row); };
        const auto note_all = [&](const Instruction* code, std::int64_t count) {
            for (std::int64_t k = 0; k < count; ++k) {
                note(code[k].length);
                note(code[k].count);
                note_operand(code[k].a);
                note_operand(code[k].b);
                note_operand(code[k].c);
            }
        };
        note(row);
        for (std::int64_t k = 0; k < program.state_result_count; ++k) {
            note(program.state_results[k].count);
            note_operand(program.state_results[k].from);
        }
        for (std::int64_t k = 0; k < program.state_start_result_count; ++k)
            note_operand(program.state_start_results[k].from);
        note_operand(program.gradient_result);
        note_all(program.prologue, program.prologue_count);
        note_all(program.gradient, program.gradient_count);
        note_all(program.state_start, program.state_start_count);
        for (int k = 0; k < method.evaluations; ++k)
            if (method.points[k].elsewhere) {
                note_all(method.points[k].code, method.points[k].count);
                note_operand(method.points[k].result);
                has_points = true;
            }
        longest = padded_row(longest);

        registers = arena.take<Real>(program.registers);
        draws = arena.take<Real>(program.draw_rows);
        numbers = arena.take<Real>(program.number_count);
        scratch = arena.take<Real>(VectorMachine<R>::most_operands * longest);
        spread = arena.take<Real>(row_multiple);
        code_scratch = arena.take<Real>(e.method_code.scratch);
        states = arena.take<Real>(trajectories * (in_place ? program.state / row * layout.size : program.state));
        singles = arena.take<Real>(trajectories * method.single_count);
        const std::int64_t grouped = configs * group;
        gradients = arena.take<Real>(method.evaluations * grouped * layout.size);
        points = arena.take<Real>(has_points ? grouped * layout.size : 0);
        values = arena.take<Real>(method.takes_values ? method.evaluations * grouped : 0);
        losses = arena.take<Real>(method.takes_values ? samples : 0);
        constants = arena.take<Real>(constant_count * group * layout.size);
    }

    VectorMachine<R> machine() const { return {registers, draws, numbers, scratch, longest}; }
};

// What metrics take of a method's state, of n trajectories of the task from `first` on: [number, trajectory], rows of a
// vector. A call of its own: within the evaluation of metrics it slows down those that take nothing.
template <class R>
ASGD_CALL void take_parts(const NetworkSpec& network, const NetworkLayout& layout, const MethodBuffers<R>& m,
                          std::int64_t trajectories, std::int64_t replicates, std::int64_t first, std::int64_t n,
                          typename Lane<R>::Real* out) {
    using Real = typename Lane<R>::Real;
    constexpr int width = Lane<R>::width;
    const MethodSpec& method = *network.method;
    for (std::int64_t k = 0; k < network.taken_count; ++k) {
        const TakenPart& part = network.taken[k];
        for (std::int64_t l = 0; l < n; ++l) {
            const std::int64_t trajectory = first + l;
            if (part.single) {
                const std::int64_t of_group = method.block > 0 ? trajectory % replicates % m.group : 0;
                out[l] = m.singles[(trajectory - of_group) * method.single_count + part.first];
            } else if (m.in_place) {
                const Real* const from = m.states + (part.first / m.row * trajectories + trajectory) * layout.size;
                for_each_coordinate(
                    layout, [&](std::int64_t i, std::int64_t offset, int, bool) { out[i * width + l] = from[offset]; });
            } else {
                const Real* const from = m.states + trajectory * method.program->state + part.first;
                for (std::int64_t i = 0; i < part.count; ++i) out[i * width + l] = from[i];
            }
        }
        out += part.count * width;
    }
}

ASGD_ISA_NAMESPACE_END
