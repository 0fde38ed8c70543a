// Program: instructions over registers, checked so that no executor need to; and the problems made of one.
#include <algorithm>
#include <limits>

#include "../core/network.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

// Columns of an array of instructions: operation, result, length, of each operand (drawn, row, step), first, step,
// count.
constexpr std::int64_t instruction_columns = 15, draw_columns = 4;
constexpr std::int64_t state_columns = 5;  // of a part of a state: drawn, row, step, first, count
constexpr std::int64_t most_registers = std::int64_t(1) << 30;
constexpr std::int64_t most_numbers = std::int64_t(1) << 24;  // of a value: an instruction ends soon

Operand operand(const std::int64_t* at) { return {at[0] != 0, std::int32_t(at[1]), std::int32_t(at[2])}; }

// What an instruction reads and writes lies where it may.
class Checked {
public:
    Checked(const ProgramSpec& program, std::int64_t dimension, std::int64_t draw_rows, const char* name)
        : p_(program),
          first_free_(program.first_constant(dimension) + program.constant_count + program.parameter_count),
          draw_rows_(draw_rows),
          name_(name) {}

    void instruction(const Instruction& i) const {
        require(i.length >= 1 && i.length < most_numbers && i.count < most_numbers, name_, ": length ", i.length,
                " and count ", i.count, " must be below 2**24, the length 1 at least");
        require(i.result >= first_free_ && i.result + std::int64_t(i.length) <= p_.registers, name_, ": result ",
                i.result, " is no register that may be written");
        switch (i.operation) {
            case Operation::power: number(i.first, 1); [[fallthrough]];
            case Operation::negative:
            case Operation::absolute:
            case Operation::sign:
            case Operation::sqrt:
            case Operation::exp:
            case Operation::log:
            case Operation::sin:
            case Operation::cos:
            case Operation::tanh:
            case Operation::rint:
            case Operation::arctan:
            case Operation::erf: rows(i.a, i.length); return;
            case Operation::fma:
            case Operation::select: rows(i.c, i.length); [[fallthrough]];
            case Operation::add:
            case Operation::subtract:
            case Operation::multiply:
            case Operation::divide:
            case Operation::minimum:
            case Operation::maximum:
            case Operation::less:
                rows(i.a, i.length);
                rows(i.b, i.length);
                return;
            case Operation::sum_product: rows(i.b, i.count); [[fallthrough]];
            case Operation::sum:
            case Operation::max:
            case Operation::min:
                require(i.length == 1, name_, ": a reduction must have length 1, got ", i.length);
                rows(i.a, i.count);
                return;
            case Operation::first_max:
            case Operation::first_min:
                require(i.length == i.count, name_, ": length must be count, got ", i.length, " and ", i.count);
                rows(i.a, i.count);
                return;
            case Operation::matvec:
                rows(i.a, i.count);
                number(i.first, std::int64_t(i.length) * i.count);
                return;
            case Operation::embed: {
                rows(i.a, i.count);
                const std::int64_t last = i.first + std::int64_t(i.count - 1) * i.step;
                require(i.step != 0 && std::min(std::int64_t(i.first), last) >= 0 &&
                            std::max(std::int64_t(i.first), last) < i.length,
                        name_, ": embed reaches beyond its result");
                return;
            }
        }
        require(false, name_, ": operation ", int(i.operation), " is unknown");
    }
    void rows(const Operand& o, std::int64_t count) const {
        const std::int64_t limit = o.drawn ? draw_rows_ : p_.registers, last = o.row + (count - 1) * o.step;
        require(count >= 1 && std::min<std::int64_t>(o.row, last) >= 0 && std::max<std::int64_t>(o.row, last) < limit,
                name_, ": operand row ", o.row, " with step ", o.step, " and ", count, " numbers leaves the ", limit,
                o.drawn ? " draws" : " registers");
    }

private:
    void number(std::int64_t first, std::int64_t count) const {
        require(first >= 0 && count >= 1 && first + count <= p_.number_count, name_, ": number ", first,
                " is not among the ", p_.number_count, " of the program");
    }

    const ProgramSpec& p_;
    const std::int64_t first_free_, draw_rows_;
    const char* name_;
};

std::vector<Instruction> instructions(const Integers& array, const char* name) {
    require(array.ndim() == 2 && array.shape(1) == instruction_columns, name, ": shape must be (instructions, ",
            instruction_columns, ")");
    std::vector<Instruction> code;
    for (std::int64_t k = 0; k < array.shape(0); ++k) {
        const std::int64_t* row = array.data(k, 0);
        require(std::all_of(row, row + instruction_columns,
                            [](std::int64_t x) {
                                return x >= std::numeric_limits<std::int32_t>::min() &&
                                       x <= std::numeric_limits<std::int32_t>::max();
                            }),
                name, ": numbers must fit 32 bits");
        require(row[0] >= 0 && row[0] < kind_count<Operation>, name, ": operation ", row[0], " is unknown");
        code.push_back({Operation(row[0]), std::int32_t(row[1]), std::int32_t(row[2]), operand(row + 3),
                        operand(row + 6), operand(row + 9), std::int32_t(row[12]), std::int32_t(row[13]),
                        std::int32_t(row[14])});
    }
    return code;
}

Operand result_operand(const std::vector<std::int64_t>& numbers, const char* name) {
    require(numbers.size() == 3, name, ": must be (drawn, row, step)");
    for (const std::int64_t x : numbers)
        require(x >= std::numeric_limits<std::int32_t>::min() && x <= std::numeric_limits<std::int32_t>::max(), name,
                ": numbers must fit 32 bits");
    return operand(numbers.data());
}

// Parts of a state that follow on one another, each read where no part has been written before.
void take_state(const Integers& array, const char* name, const ProgramSpec& spec, std::int64_t dimension,
                std::int64_t draw_rows, std::vector<StatePart>& parts) {
    require(array.ndim() == 2 && array.shape(1) == state_columns, name, ": shape must be (parts, ", state_columns, ")");
    std::int64_t stop = 0;
    for (std::int64_t k = 0; k < array.shape(0); ++k) {
        const std::int64_t *row = array.data(k, 0), first = row[3], count = row[4];
        const Operand from = result_operand(std::vector<std::int64_t>(row, row + 3), name);
        require(first >= stop && count >= 1 && count <= spec.state - first, name, ": part ", k,
                " does not lie after the one before among the ", spec.state, " numbers of the state");
        stop = first + count;
        Checked(spec, dimension, draw_rows, name).rows(from, count);
        const std::int64_t last = from.row + (count - 1) * from.step, of_state = dimension + spec.state;
        require(from.drawn || std::max<std::int64_t>(from.row, last) < dimension ||
                    std::min<std::int64_t>(from.row, last) >= of_state,
                name, ": part ", k, " is of the state itself");
        parts.push_back({from, std::int32_t(first), std::int32_t(count)});
    }
}

Integers no_rows(std::int64_t columns) { return Integers(std::vector<py::ssize_t>{0, columns}); }

void take_draws(const Integers& array, const char* name, std::vector<DrawSpec>& draws, std::int64_t& rows) {
    require(array.ndim() == 2 && array.shape(1) == draw_columns, name, ": shape must be (draws, ", draw_columns, ")");
    for (std::int64_t k = 0; k < array.shape(0); ++k) {
        const std::int64_t *row = array.data(k, 0), count = row[3];
        require(row[0] >= 0 && row[0] < kind_count<DrawKind>, name, ": kind ", row[0], " is unknown");
        require(
            row[1] >= 0 && count >= 1 && count < (std::int64_t(1) << 24) && row[1] <= (std::int64_t(1) << 32) - count,
            name, ": substreams must be in 0 .. 2**32 - 1");
        require(row[2] == rows, name, ": row ", row[2], " does not follow on the one before");
        draws.push_back({DrawKind(row[0]), std::uint32_t(row[1]), std::int32_t(row[2]), std::int32_t(count)});
        rows += count;
        require(rows <= most_registers, name, ": too many in a step");
    }
}

std::shared_ptr<Program> make_program(std::int64_t dimension, std::int64_t registers, const Reals& constants,
                                      std::int64_t parameter_count, const Reals& numbers, const Integers& draws,
                                      const Integers& prologue, const Integers& gradient, const Integers& value,
                                      const std::vector<std::int64_t>& gradient_result,
                                      const std::vector<std::int64_t>& value_result,
                                      const std::vector<std::vector<std::int64_t>>& own_results, const Integers& start,
                                      const Integers& start_draws, const std::vector<std::int64_t>& start_result,
                                      const Integers& projection, const std::vector<std::int64_t>& projection_result,
                                      std::int64_t state, std::int64_t step_numbers, bool replaces,
                                      const Integers& state_results, const Integers& state_start,
                                      const Integers& state_start_results) {
    require(dimension >= 1 && dimension < most_numbers, "dimension: ", dimension, " is not in 1 .. 2**24 - 1");
    require(constants.ndim() == 1 && numbers.ndim() == 1, "constants, numbers: must be one-dimensional");
    auto p = std::make_shared<Program>();
    p->dimension = dimension;
    p->constants.assign(constants.data(), constants.data() + constants.size());
    p->numbers.assign(numbers.data(), numbers.data() + numbers.size());
    ProgramSpec& spec = p->spec;
    spec.registers = registers;
    require(state >= 0 && state <= most_registers, "state: ", state, " is not in 0 .. 2**30");
    spec.state = state;
    require(step_numbers == 0 || (step_numbers >= 2 && step_numbers <= 2 + 2 * most_step_numbers),
            "step_numbers: ", step_numbers, " is not 0 or in 2 .. ", 2 + 2 * most_step_numbers);
    spec.step_numbers = step_numbers;
    spec.replaces = replaces;
    const std::int64_t before_constants = spec.first_constant(dimension);
    spec.constants = p->constants.data();
    spec.constant_count = std::int64_t(p->constants.size());
    spec.parameter_count = parameter_count;
    spec.numbers = p->numbers.data();
    spec.number_count = std::int64_t(p->numbers.size());
    require(parameter_count >= 0 && registers >= 0 && registers <= most_registers &&
                registers - before_constants >= spec.constant_count &&
                registers - before_constants - spec.constant_count >= parameter_count,
            "registers: ", registers, " have no room for the point, the state, the constants and the parameters");
    take_draws(draws, "draws", p->draws, spec.draw_rows);
    spec.draws = p->draws.data();
    spec.draw_count = std::int64_t(p->draws.size());
    take_draws(start_draws, "start_draws", p->start_draws, spec.start_draw_rows);
    spec.start_draws = p->start_draws.data();
    spec.start_draw_count = std::int64_t(p->start_draws.size());
    const auto take = [&](const Integers& array, const char* name, std::int64_t draw_rows,
                          std::vector<Instruction>& code, const Instruction*& first, std::int64_t& count) {
        code = instructions(array, name);
        const Checked checked(spec, dimension, draw_rows, name);
        for (const Instruction& i : code) checked.instruction(i);
        first = code.data();
        count = std::int64_t(code.size());
    };
    take(prologue, "prologue", spec.draw_rows, p->prologue, spec.prologue, spec.prologue_count);
    take(gradient, "gradient", spec.draw_rows, p->gradient, spec.gradient, spec.gradient_count);
    take(value, "value", spec.draw_rows, p->value, spec.value, spec.value_count);
    take(start, "start", spec.start_draw_rows, p->start, spec.start, spec.start_count);
    take(projection, "projection", 0, p->projection, spec.projection, spec.projection_count);
    take(state_start, "state_start", 0, p->state_start, spec.state_start, spec.state_start_count);
    const auto take_point = [&](const std::vector<std::int64_t>& numbers, const char* name, std::int64_t draw_rows) {
        const Operand o = result_operand(numbers, name);
        Checked(spec, dimension, draw_rows, name).rows(o, dimension);
        // Who takes it writes the point coordinate by coordinate.
        const std::int64_t last = o.row + (dimension - 1) * o.step;
        require(o.drawn || std::min<std::int64_t>(o.row, last) >= dimension + spec.state ||
                    (o.row == 0 && (o.step == 1 || dimension == 1)),
                name, ": is the point in another order, or of the state");
        return o;
    };
    spec.gradient_result = take_point(gradient_result, "gradient_result", spec.draw_rows);
    spec.value_result = result_operand(value_result, "value_result");
    Checked(spec, dimension, spec.draw_rows, "value_result").rows(spec.value_result, 1);
    spec.starts = !start_result.empty();
    if (spec.starts) spec.start_result = take_point(start_result, "start_result", spec.start_draw_rows);
    spec.projects = !projection_result.empty();
    if (spec.projects) spec.projection_result = take_point(projection_result, "projection_result", 0);
    for (const std::vector<std::int64_t>& result : own_results) {
        p->own_results.push_back(result_operand(result, "own_results"));
        Checked(spec, dimension, spec.draw_rows, "own_results").rows(p->own_results.back(), 1);
    }
    take_state(state_results, "state_results", spec, dimension, spec.draw_rows, p->state_results);
    spec.state_results = p->state_results.data();
    spec.state_result_count = std::int64_t(p->state_results.size());
    take_state(state_start_results, "state_start_results", spec, dimension, 0, p->state_start_results);
    spec.state_start_results = p->state_start_results.data();
    spec.state_start_result_count = std::int64_t(p->state_start_results.size());
    spec.own_results = p->own_results.data();
    spec.own_count = std::int64_t(p->own_results.size());
    return p;
}

// Where the points, the single numbers and the inputs of a method on data are, and that values begin where vectors may.
std::shared_ptr<Method> make_method(const std::shared_ptr<Program>& program,
                                    const std::vector<std::pair<Integers, std::vector<std::int64_t>>>& points,
                                    bool takes_values, const std::vector<std::vector<std::int64_t>>& singles,
                                    const std::vector<std::vector<std::int64_t>>& single_starts, const Reals& constants,
                                    std::int64_t block, const std::vector<std::vector<std::int64_t>>& adam) {
    const ProgramSpec& spec = program->spec;
    const std::int64_t row = program->dimension, evaluations = std::int64_t(points.size());
    require(evaluations >= 1 && evaluations < 256, "points: must be in 1 .. 255, got ", evaluations);
    require(constants.ndim() == 2, "constants: shape must be (constants, coordinates)");
    const std::int64_t inputs = evaluations + constants.shape(0);
    require(block == 0 || (block == row && spec.state % row == 0 && spec.draw_count == inputs), "block: ", block,
            " is not 0 or the dimension of a program without draws");
    require(constants.shape(0) == 0 || block > 0, "constants: are of a program that takes blocks");
    require(spec.draw_count >= inputs, "draws: must begin with ", inputs, " inputs");
    for (std::int64_t k = 0; k < spec.draw_count; ++k)
        require(spec.draws[k].count % row_multiple == 0 && (k >= inputs || spec.draws[k].count == row),
                "draws: must be of multiples of 16 numbers");
    require(singles.size() == single_starts.size(), "singles, single_starts: must be of one length");
    const std::int64_t step_numbers =
        spec.parameter_count / row_multiple - 2 - evaluations - std::int64_t(singles.size());
    require(spec.parameter_count % row_multiple == 0 && step_numbers >= 0 && step_numbers <= 2 * most_step_numbers &&
                spec.step_numbers == 0 && !spec.starts && !spec.projects && spec.own_count == 0,
            "program: must have the parameters of a method on data alone");
    auto m = std::make_shared<Method>();
    m->program = program;
    const auto check_places = [&](const std::vector<Instruction>& code) {
        for (const Instruction& i : code)
            require(i.result % row_multiple == 0 && i.result + padded_row(i.length) <= spec.registers,
                    "program: results must begin at multiples of 16");
    };
    require(row % row_multiple == 0 && spec.registers % row_multiple == 0 && spec.state % row_multiple == 0 &&
                spec.constant_count % row_multiple == 0,
            "program: must have multiples of 16 registers");
    check_places(program->prologue);
    check_places(program->gradient);
    check_places(program->state_start);
    const auto one = [&](const std::vector<std::int64_t>& numbers, const char* name) {
        const Operand o = result_operand(numbers, name);
        Checked(spec, row, spec.draw_rows, name).rows(o, 1);
        return o;
    };
    for (const auto& [array, result] : points) {
        MethodPoint point{};
        std::vector<Instruction> code = instructions(array, "points");
        const Checked checked(spec, row, spec.draw_rows, "points");
        for (const Instruction& i : code) checked.instruction(i);
        check_places(code);
        point.elsewhere = !result.empty();
        if (point.elsewhere) {
            point.result = result_operand(result, "points");
            checked.rows(point.result, row);
        }
        m->code.push_back(std::move(code));
        point.code = m->code.back().data();
        point.count = std::int64_t(m->code.back().size());
        m->points.push_back(point);
    }
    for (const auto& numbers : singles) m->singles.push_back(one(numbers, "singles"));
    for (const auto& numbers : single_starts) m->single_starts.push_back(one(numbers, "single_starts"));
    for (const auto& numbers : adam) m->adam.push_back(one(numbers, "adam"));
    require(adam.empty() || (adam.size() == std::size_t(adam_numbers) && block > 0 && !spec.replaces &&
                             spec.state == 2 * row && !m->points[0].elsewhere),
            "adam: must be the numbers of a step that is Adam's");
    m->constants = constants;
    m->spec = {&spec,
               block,
               int(evaluations),
               m->points.data(),
               takes_values,
               m->singles.data(),
               m->single_starts.data(),
               std::int64_t(m->singles.size()),
               step_numbers,
               constants.data(),
               constants.shape(0),
               adam.empty() ? nullptr : m->adam.data()};
    return m;
}

std::shared_ptr<MachineCodeHandle> make_machine_code(std::uintptr_t address, std::int64_t lanes, std::int64_t part,
                                                     std::int64_t scratch, py::object owner) {
    require(address != 0 && lanes >= 1 && part >= 1 && scratch >= 0,
            "address, lanes, part, scratch: must be of a function");
    const auto take_steps = reinterpret_cast<void (*)(const StepArguments*)>(address);
    return std::make_shared<MachineCodeHandle>(MachineCodeHandle{{take_steps, lanes, part, scratch}, std::move(owner)});
}

std::shared_ptr<MethodCodeHandle> make_method_code(std::uintptr_t address, const std::vector<std::uintptr_t>& points,
                                                   std::int64_t scratch, const Reals& constants, py::object owner) {
    require(address != 0 && scratch >= 0, "address, scratch: must be of a function");
    require(constants.ndim() == 2, "constants: shape must be (constants, coordinates)");
    auto made = std::make_shared<MethodCodeHandle>();
    for (const std::uintptr_t point : points) made->points.push_back(reinterpret_cast<MethodFunction>(point));
    made->constants = constants;
    made->code = {reinterpret_cast<MethodFunction>(address), made->points.data(), scratch, constants.data(),
                  constants.shape(0)};
    made->owner = std::move(owner);
    return made;
}

}  // namespace

std::shared_ptr<Problems> make_program_problems(const std::shared_ptr<Program>& program, ProjectionKind projection,
                                                const Array& parameters, const Array& lower, const Array& upper,
                                                const Array& radius, const Array& x0, const Array& minimum) {
    require(x0.ndim() == 2 && x0.shape(0) > 0 && x0.shape(1) == program->dimension, "x0: shape must be (problems, ",
            program->dimension, ")");
    const std::int64_t n = x0.shape(0), d = program->dimension;
    auto p = std::make_shared<Problems>();
    p->arrays = {parameters, lower, upper, radius, x0, minimum};
    p->program = program;
    p->program_spec = program->spec;
    p->program_spec.parameters = matrix_view(parameters, n, program->spec.parameter_count, "parameters");
    ProblemSpec& spec = p->spec;
    spec.program = &p->program_spec;
    spec.projection = projection;
    spec.count = n;
    spec.dimension = d;
    spec.lower = matrix_view(lower, n, d, "lower");
    spec.upper = matrix_view(upper, n, d, "upper");
    spec.x0 = matrix_view(x0, n, d, "x0");
    spec.radius = vector_view(radius, n, "radius");
    spec.minimum = vector_view(minimum, n, "minimum");
    return p;
}

void bind_program(py::module_& m) {
    py::class_<Program, std::shared_ptr<Program>>(m, "Program")
        .def(py::init(&make_program), py::kw_only(), py::arg("dimension"), py::arg("registers"), py::arg("constants"),
             py::arg("parameter_count"), py::arg("numbers"), py::arg("draws"), py::arg("prologue"), py::arg("gradient"),
             py::arg("value"), py::arg("gradient_result"), py::arg("value_result"),
             py::arg("own_results") = std::vector<std::vector<std::int64_t>>(),
             py::arg("start") = no_rows(instruction_columns), py::arg("start_draws") = no_rows(draw_columns),
             py::arg("start_result") = std::vector<std::int64_t>(),
             py::arg("projection") = no_rows(instruction_columns),
             py::arg("projection_result") = std::vector<std::int64_t>(), py::arg("state") = 0,
             py::arg("step_numbers") = 0, py::arg("replaces") = false,
             py::arg("state_results") = no_rows(state_columns), py::arg("state_start") = no_rows(instruction_columns),
             py::arg("state_start_results") = no_rows(state_columns));
    py::class_<Method, std::shared_ptr<Method>>(m, "Method")
        .def(py::init(&make_method), py::kw_only(), py::arg("program").none(false), py::arg("points"),
             py::arg("takes_values"), py::arg("singles"), py::arg("single_starts"), py::arg("constants"),
             py::arg("block"), py::arg("adam"));
    py::class_<MachineCodeHandle, std::shared_ptr<MachineCodeHandle>>(m, "MachineCode")
        .def(py::init(&make_machine_code), py::kw_only(), py::arg("address"), py::arg("lanes"), py::arg("part"),
             py::arg("scratch"), py::arg("owner"));
    py::class_<MethodCodeHandle, std::shared_ptr<MethodCodeHandle>>(m, "MethodCode")
        .def(py::init(&make_method_code), py::kw_only(), py::arg("address"), py::arg("points"), py::arg("scratch"),
             py::arg("constants"), py::arg("owner"));
}

}  // namespace anneal_sgd::bindings
