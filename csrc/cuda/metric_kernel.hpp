// The kernel that evaluates metrics of one's own at points of problems on data, with parts of a method's state.
// Included by program_kernels.cuh and program_kernels_emulated.cpp.
#pragma once

#include "program_machine.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct MetricKernel : ProgramMachine<Real> {
    using Base = ProgramMachine<Real>;
    using Base::at;
    using Base::block;
    using Base::p;

    ASGD_KERNEL_MEMBER void run() {
        this->find_places();
        this->take_problem();
        take_points();
        // One loop, for the interpreter to be here once.
        ASGD_NO_UNROLL
        for (int part = 0; part < 2; ++part)
            this->run_code(part == 0 ? p.program.prologue : p.program.value,
                           part == 0 ? p.program.prologue_count : p.program.value_count);
        for (std::int64_t n = 0; n < p.ensemble.metric_count; ++n) {
            if (p.ensemble.metrics[n] != Metric::own) continue;
            block.each([&](int thread) {
                const auto number = this->source(thread, recorded_operand(p.program, p.ensemble.metrics, n));
                this->for_recorded(thread, p.first_record * p.ensemble.metric_count + n,
                                   [&](int k, Real& recorded) { recorded = number.get(0, k); });
            });
        }
    }

    // Replicates beyond the last have 0, and what is made of it goes nowhere.
    ASGD_KERNEL_MEMBER void take_points() {
        block.each([&](int thread) {
            const std::int64_t config = this->configs.first + this->config_in_block(thread) - p.first_config;
            const std::int64_t replicate = this->places[thread].replicate;
            const Real* const points = static_cast<const Real*>(p.points) +
                                       config * p.ensemble.problems.dimension * p.point_stride + replicate -
                                       p.first_replicate;
            this->for_coordinates(thread, [&](int, std::int64_t i) {
                for (int k = 0; k < abreast; ++k)
                    at(thread, i, k) = replicate + k < p.stop_replicate ? points[i * p.point_stride + k] : Real(0);
            });
            const std::int64_t apart = p.stop_replicate - p.first_replicate;
            const Real* const states =
                static_cast<const Real*>(p.states) + config * p.program.state * apart + replicate - p.first_replicate;
            this->for_numbers(thread, p.program.state, [&](int n) {
                for (int k = 0; k < abreast; ++k)
                    at(thread, p.ensemble.problems.dimension + n, k) =
                        replicate + k < p.stop_replicate ? states[n * apart + k] : Real(0);
            });
        });
        block.team_barrier();
    }
};

ASGD_ISA_NAMESPACE_END
