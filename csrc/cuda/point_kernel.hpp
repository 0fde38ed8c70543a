// The kernel that tells the points of a record of problems on data, and what metrics take of a method's state there.
// Included by data_kernels.cuh and data_kernels_emulated.cpp.
#pragma once

#include "network_pass.hpp"
#include "teams.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct PointKernel {
    const cuda::DataLaunch& p;
    Block& block;
    Teams teams{p, block};

    ASGD_KERNEL_MEMBER void run() {
        teams.find();
        tell_points();
        if (p.network.taken_count > 0) tell_states();
    }

    // Where a trajectory's numbers are to go, in an array of `numbers` for each.
    ASGD_KERNEL_MEMBER Real* place(void* array, int team, std::int64_t numbers, std::int64_t apart) const {
        const std::int64_t config = teams.first_config + teams.config_of_team(team) - p.first_config;
        return static_cast<Real*>(array) + config * numbers * apart + teams.replicate_of_team(team) - p.first_replicate;
    }

    // f(element of a thread, coordinate), of those that pad nothing.
    template <class F>
    ASGD_KERNEL_MEMBER void for_coordinates(int thread, F f) const {
        for (int m = 0; m < p.layout.spans; ++m) {
            const std::int64_t offset = std::int64_t(m) * row_multiple + thread % team_threads;
            const std::int64_t coordinate = padded_element(p.net, offset).coordinate;
            if (coordinate >= 0) f(m, coordinate);
        }
    }

    ASGD_KERNEL_MEMBER void tell_points() {
        const Teams::Averaging averaging = teams.averaging_at(p.record);
        block.each([&](int thread) {
            const int team = thread / team_threads;
            if (!teams.is_active(team)) return;
            Real* const points = place(p.points, team, p.ensemble.problems.dimension, p.point_stride);
            for_coordinates(thread, [&](int m, std::int64_t coordinate) {
                points[coordinate * p.point_stride] = teams.recorded_element<Real>(averaging, thread, m);
            });
        });
    }

    ASGD_KERNEL_MEMBER void tell_states() {
        const std::int64_t apart = p.stop_replicate - p.first_replicate;
        std::int64_t numbers = 0;
        for (std::int64_t k = 0; k < p.network.taken_count; ++k) numbers += p.network.taken[k].count;
        block.each([&](int thread) {
            const int team = thread / team_threads, rank = thread % team_threads;
            if (!teams.is_active(team)) return;
            Real* to = place(p.taken, team, numbers, apart);
            for (std::int64_t k = 0; k < p.network.taken_count; ++k) {
                const TakenPart part = p.network.taken[k];
                const Real* const own =
                    own_elements<Real>(part.single ? p.method.singles : p.method.states, block, nullptr, thread);
                if (!part.single && p.method.spec.block > 0) {
                    const std::int64_t first = part.first / p.method.row * p.layout.spans;
                    for_coordinates(thread, [&](int m, std::int64_t coordinate) {
                        to[coordinate * apart] = own[(first + m) * team_threads];
                    });
                } else {
                    for (std::int64_t i = rank; i < part.count; i += team_threads)
                        to[i * apart] = own[part.first + i - rank];
                }
                to += part.count * apart;
            }
        });
    }
};

ASGD_ISA_NAMESPACE_END
