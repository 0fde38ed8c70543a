// The border to Python. Each bind_*.cpp checks what comes in, releases the GIL where it computes, and converts what
// goes out; nothing is calculated here. pybind11 is included nowhere else.
#pragma once

#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <locale>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include "../core/spec.hpp"
#include "../cuda/device.hpp"

namespace anneal_sgd::bindings {

namespace py = pybind11;

constexpr int aligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;  // numbers at multiples of their size, else copied

using Array = py::array_t<double, py::array::forcecast | aligned>;
using Reals = py::array_t<double, py::array::c_style | py::array::forcecast | aligned>;
using Integers = py::array_t<std::int64_t, py::array::c_style | aligned>;  // no fractions

// std::invalid_argument with the parts, texts and numbers, joined; nothing is joined where the condition holds.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
    if (condition) return;
    std::ostringstream message;
    message.imbue(std::locale::classic());
    (message << ... << parts);
    throw std::invalid_argument(message.str());
}

// Views of float64 NumPy arrays of any strides. The array must outlive the view.
inline std::ptrdiff_t element_stride(const Array& array, int axis, const char* name) {
    require(array.strides(axis) % py::ssize_t(sizeof(double)) == 0, name, ": stride is not a multiple of 8 bytes");
    return array.strides(axis) / py::ssize_t(sizeof(double));
}

inline VectorView vector_view(const Array& array, std::int64_t size, const char* name) {
    require(array.ndim() == 1 && array.shape(0) == size, name, ": shape must be (", size, ",)");
    return {array.data(), element_stride(array, 0, name)};
}

inline MatrixView matrix_view(const Array& array, std::int64_t rows, std::int64_t columns, const char* name) {
    require(array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == columns, name, ": shape must be (", rows,
            ", ", columns, ")");
    return {array.data(), element_stride(array, 0, name), element_stride(array, 1, name)};
}

// What NumPy calls the type of the precision; an array as it is, not what could be converted.
inline py::dtype dtype_of(Precision precision) { return py::dtype(KindNames<Precision>::kinds[int(precision)]); }
inline bool has_precision(const py::array& array, Precision precision) {
    return array.dtype().equal(dtype_of(precision));
}

// Objects that Python holds: a plain spec, and the arrays that it points into.
struct Program {
    ProgramSpec spec{};
    std::int64_t dimension = 0;
    std::vector<double> constants, numbers;
    std::vector<DrawSpec> draws, start_draws;
    std::vector<Instruction> prologue, gradient, value, start, projection, state_start;
    std::vector<StatePart> state_results, state_start_results;
    std::vector<Operand> own_results;
};

struct Method {
    MethodSpec spec{};
    std::shared_ptr<Program> program;
    std::vector<std::vector<Instruction>> code;  // [evaluation]
    std::vector<MethodPoint> points;
    std::vector<Operand> singles, single_starts, adam;
    Reals constants;
};

struct Problems {
    ProblemSpec spec{};
    std::vector<Array> arrays;
    NetworkSpec network{};
    std::vector<DataProblem> data;
    std::vector<py::array> data_arrays;
    Precision precision{};  // of the data
    std::shared_ptr<Program> program;
    std::vector<std::shared_ptr<Program>> programs;  // of a problem on data
    std::shared_ptr<Method> method;                  // the same
    std::vector<TakenPart> taken;                    // the same
    ProgramSpec program_spec{};                      // with the problems' parameters
};

struct Schedule {
    ScheduleSpec spec;
    Reals table;
    std::vector<std::shared_ptr<Schedule>> shapes;  // of the pieces
    std::vector<SchedulePiece> pieces;
};

struct Piece {
    std::shared_ptr<Schedule> shape;
    SchedulePiece spec;
};

struct Ensemble {
    EnsembleSpec spec{};  // but for the learning rates and the seed
    std::shared_ptr<Problems> problems;
    std::vector<std::shared_ptr<Schedule>> owners;
    std::vector<ScheduleSpec> schedules;
    std::vector<std::int64_t> record_at;
    std::vector<double> number_ends;
    std::vector<Metric> metrics;
};

// Problems whose gradient and objective are a program.
std::shared_ptr<Problems> make_program_problems(const std::shared_ptr<Program>& program, ProjectionKind projection,
                                                const Array& parameters, const Array& lower, const Array& upper,
                                                const Array& radius, const Array& x0, const Array& minimum);

// A device that a call may name, such as a GPU.
struct DeviceHandle {
    std::unique_ptr<cuda::Device> device;
};

// Machine code for steps of a program, and what keeps it in memory.
struct MachineCodeHandle {
    MachineCode code;
    py::object owner;
};

// The same for devices.
struct StepsCodeHandle {
    cuda::StepsCode code;
    py::object owner;
};

// The same for steps of a method on data, on the CPU.
struct MethodCodeHandle {
    MethodCode code{};
    std::vector<MethodFunction> points;
    Reals constants;
    py::object owner;
};

void bind_program(py::module_& m);
void bind_spec(py::module_& m);
void bind_schedule(py::module_& m);
void bind_simulate(py::module_& m);
void bind_cuda(py::module_& m);
void bind_testing(py::module_& m);

}  // namespace anneal_sgd::bindings
