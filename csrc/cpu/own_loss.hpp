// A loss of one's own, a program of output and target (program_machine.hpp), for many outputs at once. Included by
// data_buffers.hpp.
#pragma once

#include "horizon.hpp"
#include "program_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class OwnLoss {
    using Real = typename Lane<R>::Real;
    static constexpr int width = Lane<R>::width;
    static constexpr int strip = 4;  // vectors for which an instruction is looked up once, where there are so many

    const ProgramSpec* const program;
    Real *strip_registers, *registers;  // [register, outputs of a strip], [register, outputs of a vector]
    Real* numbers;                      // of the program

public:
    static constexpr int wanted_samples = strip * width;  // at least, of a step

    OwnLoss(const NetworkSpec& network, Arena& arena) : program(network.own_loss) {
        strip_registers = arena.take<Real>(program != nullptr ? program->registers * strip * width : 0);
        registers = arena.take<Real>(program != nullptr ? program->registers * width : 0);
        numbers = arena.take<Real>(program != nullptr ? program->number_count : 0);
    }

    void start() const {
        if (program == nullptr) return;
        for (std::int64_t k = 0; k < program->number_count; ++k) numbers[k] = Real(program->numbers[k]);
        start<strip>(strip_registers);
        start<1>(registers);
    }

    // Derivatives of the losses in place of n outputs, a multiple of the width; targets(i): those of the vector at i.
    template <class Targets>
    void differentiate(Real* z, std::int64_t n, Targets targets) const {
        run(program->gradient, program->gradient_count, program->gradient_result, z, n, targets);
    }

    // Losses in place of outputs.
    template <class Targets>
    void evaluate(Real* z, std::int64_t n, Targets targets) const {
        run(program->value, program->value_count, program->value_result, z, n, targets);
    }

private:
    template <int V>
    Machine<R, V> machine(Real* memory) const {
        return {memory, nullptr, numbers, 0};
    }

    template <int V>
    void start(Real* memory) const {
        constexpr int row = V * width;
        for (std::int64_t k = 0; k < program->registers * row; ++k) memory[k] = Real(0);
        Real* const constants = memory + loss_arguments * row;
        for (std::int64_t k = 0; k < program->constant_count * row; ++k)
            constants[k] = Real(program->constants[k / row]);
        machine<V>(memory).run(program->prologue, program->prologue_count);
    }

    template <class Targets>
    void run(const Instruction* code, std::int64_t count, const Operand& result, Real* z, std::int64_t n,
             Targets targets) const {
        std::int64_t i = 0;
        for (; i + strip * width <= n; i += strip * width)
            run_strip<strip>(strip_registers, code, count, result, z, i, targets);
        for (; i < n; i += width) run_strip<1>(registers, code, count, result, z, i, targets);
    }

    template <int V, class Targets>
    void run_strip(Real* memory, const Instruction* code, std::int64_t count, const Operand& result, Real* z,
                   std::int64_t first, Targets targets) const {
        for (int v = 0; v < V * width; v += width) {
            store(memory + v, load<R>(z + first + v));
            store(memory + V * width + v, targets(first + v));
        }
        const Machine<R, V> now = machine<V>(memory);
        now.run(code, count);
        const Real* const found = now.at(result);
        for (int v = 0; v < V * width; v += width) store(z + first + v, load<R>(found + v));
    }
};

ASGD_ISA_NAMESPACE_END
