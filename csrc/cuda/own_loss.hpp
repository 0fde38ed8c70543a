// A loss of one's own, a program of output and target, which a thread runs for one output at a time. Included by
// network_pass.hpp.
//
// A function that is called, so that the interpreter and the kernel around it need not share registers. The program's
// registers are elements of the thread's own in a TeamArray; behind them lie the accumulators of its sums.
#pragma once

#include "block.hpp"
#include "launch.hpp"
//
#include "../core/program.hpp"  // after the lane types, which block.hpp brings
#include "../core/trajectory.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct OwnLoss {
    const ProgramSpec& program;
    const Real* numbers;
    Real* registers;

    ASGD_KERNEL_MEMBER Real& at(std::int64_t number) const { return registers[number * team_threads]; }
    ASGD_KERNEL_MEMBER Real& at(const Operand& o, int r) const { return at(o.row + std::int64_t(r) * o.step); }

    ASGD_KERNEL_MEMBER void start() const {
        for (std::int64_t n = 0; n < program.registers; ++n) at(n) = Real(0);
        for (std::int64_t n = 0; n < program.constant_count; ++n) at(loss_arguments + n) = Real(program.constants[n]);
    }

    ASGD_KERNEL_MEMBER void run(const Instruction* code, std::int64_t count) const {
        ASGD_NO_UNROLL
        for (std::int64_t n = 0; n < count; ++n) {
            const Instruction& i = code[n];
            with_kind(i.operation, [&](auto operation) { execute<operation.value>(i); });
        }
    }

private:
    template <Operation operation>
    ASGD_KERNEL_MEMBER void execute(const Instruction& i) const {
        constexpr int operands = elementwise_operands(operation);
        if constexpr (operands > 0) {
            const Real number = operation == Operation::power ? numbers[i.first] : Real(0);
            ASGD_NO_UNROLL
            for (int r = 0; r < i.length; ++r) {
                const Real x = at(i.a, r);
                if constexpr (operands == 1)
                    at(i.result + r) = result_of_one<operation>(x, number);
                else if constexpr (operands == 2)
                    at(i.result + r) = result_of_two<operation>(x, at(i.b, r));
                else
                    at(i.result + r) = result_of_three<operation>(x, at(i.b, r), at(i.c, r));
            }
        } else if constexpr (operation == Operation::sum || operation == Operation::sum_product) {
            add_up<operation>(i);
        } else if constexpr (operation == Operation::max || operation == Operation::min) {
            at(i.result) = extreme<operation>(i);
        } else if constexpr (operation == Operation::first_max || operation == Operation::first_min) {
            const Real most = extreme<operation>(i);
            Real found = 0;
            ASGD_NO_UNROLL
            for (int r = 0; r < i.count; ++r) at(i.result + r) = marked_once(at(i.a, r), most, found);
        } else if constexpr (operation == Operation::matvec) {
            ASGD_NO_UNROLL
            for (int r = 0; r < i.length; ++r) {
                Real sum = 0;
                ASGD_NO_UNROLL
                for (int j = 0; j < i.count; ++j)
                    sum = fma(numbers[i.first + r + std::int64_t(j) * i.length], at(i.a, j), sum);
                at(i.result + r) = sum;
            }
        } else if constexpr (operation == Operation::embed) {
            ASGD_NO_UNROLL
            for (int r = 0; r < i.length; ++r) at(i.result + r) = Real(0);
            ASGD_NO_UNROLL
            for (int r = 0; r < i.count; ++r) at(i.result + i.first + std::int64_t(r) * i.step) = at(i.a, r);
        } else {
            static_assert(known<operation>, "execute: no code for this operation");
        }
    }

    // In accumulators, which are folded as those of any sum.
    template <Operation operation>
    ASGD_KERNEL_MEMBER void add_up(const Instruction& i) const {
        const int used = lesser(i.count, accumulators);
        ASGD_NO_UNROLL
        for (int k = 0; k < used; ++k) at(program.registers + k) = Real(0);
        ASGD_NO_UNROLL
        for (int r = 0; r < i.count; ++r) {
            Real& sum = at(program.registers + r % accumulators);
            if constexpr (operation == Operation::sum)
                sum = sum + at(i.a, r);
            else
                sum = fma(at(i.a, r), at(i.b, r), sum);
        }
        ASGD_NO_UNROLL
        for (int w = accumulators / 2; w > 0; w /= 2) {
            ASGD_NO_UNROLL
            for (int k = 0; k < w && k + w < used; ++k) {
                Real& sum = at(program.registers + k);
                sum = sum + at(program.registers + k + w);
            }
        }
        at(i.result) = at(program.registers);
    }

    template <Operation operation>
    ASGD_KERNEL_MEMBER Real extreme(const Instruction& i) const {
        Real most = at(i.a, 0);
        ASGD_NO_UNROLL
        for (int r = 1; r < i.count; ++r) most = extreme_of<operation>(most, at(i.a, r));
        return most;
    }
};

enum class LossPart { constants, derivative, value };

// What a part of the program makes of an output and its target; that of the constants, once, what the others need.
template <class Real>
ASGD_KERNEL_CALL Real run_own_loss(const cuda::DataLaunch& p, Real* registers, LossPart part, Real z, Real y) {
    const ProgramSpec& program = p.own_loss;
    const OwnLoss<Real> loss{program, static_cast<const Real*>(p.own_numbers), registers};
    if (part == LossPart::constants) loss.start();
    loss.at(0) = z;
    loss.at(1) = y;
    loss.run(part == LossPart::constants    ? program.prologue
             : part == LossPart::derivative ? program.gradient
                                            : program.value,
             part == LossPart::constants    ? program.prologue_count
             : part == LossPart::derivative ? program.gradient_count
                                            : program.value_count);
    return loss.at((part == LossPart::value ? program.value_result : program.gradient_result).row);
}

ASGD_ISA_NAMESPACE_END
