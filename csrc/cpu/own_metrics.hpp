// Metrics of one's own of problems on data: a program of a point, and of parts of a method's state
// (program_machine.hpp), for a vector of points at once. Included by data_buffers.hpp.
#pragma once

#include "../core/network.hpp"
#include "horizon.hpp"
#include "program_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class OwnMetrics {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;

    const ProgramSpec* const program;
    Real *registers, *numbers;  // [register, point], of the program

public:
    OwnMetrics(const NetworkSpec& network, Arena& arena) : program(network.own_metrics) {
        registers = arena.take<Real>(program != nullptr ? program->registers * width : 0);
        numbers = arena.take<Real>(program != nullptr ? program->number_count : 0);
    }

    std::int64_t count() const { return program != nullptr ? program->own_count : 0; }

    void start(std::int64_t dimension) const {
        if (program == nullptr) return;
        for (std::int64_t k = 0; k < program->number_count; ++k) numbers[k] = Real(program->numbers[k]);
        for (std::int64_t k = 0; k < program->registers * width; ++k) registers[k] = Real(0);
        Real* const constants = registers + program->first_constant(dimension) * width;
        for (std::int64_t k = 0; k < program->constant_count * width; ++k)
            constants[k] = Real(program->constants[k / width]);
        machine().run(program->prologue, program->prologue_count);
    }

    // [number, point]: of a method's state, in the order that it is taken in.
    Real* state(std::int64_t dimension) const { return registers + dimension * width; }

    // Of n points, at most a vector of them, one after another: metric k of the first to values[k * apart].
    void evaluate(const NetworkLayout& layout, const Real* points, std::int64_t n, Real* values,
                  std::int64_t apart) const {
        for_each_coordinate(layout, [&](std::int64_t i, std::int64_t offset, int, bool) {
            for (std::int64_t l = 0; l < n; ++l) registers[i * width + l] = points[l * layout.size + offset];
        });
        const Machine<R, 1> now = machine();
        now.run(program->value, program->value_count);
        for (std::int64_t k = 0; k < program->own_count; ++k) {
            const Real* const found = now.at(program->own_results[k]);
            for (std::int64_t l = 0; l < n; ++l) values[k * apart + l] = found[l];
        }
    }

private:
    Machine<R, 1> machine() const { return {registers, nullptr, numbers, 0}; }
};

ASGD_ISA_NAMESPACE_END
