// The kernel that tells the points of a record of problems on data. Included by data_kernels.cuh and
// data_kernels_emulated.cpp.
#pragma once

#include "teams.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class Real>
struct PointKernel {
    const cuda::DataLaunch& p;
    Block& block;
    Teams teams{p, block};

    ASGD_KERNEL_MEMBER void run() {
        teams.find();
        const Teams::Averaging averaging = teams.averaging_at(p.record);
        block.each([&](int thread) {
            const int team = thread / team_threads;
            if (!teams.is_active(team)) return;
            const std::int64_t config = teams.first_config + teams.config_of_team(team) - p.first_config;
            Real* const points = static_cast<Real*>(p.points) +
                                 config * p.ensemble.problems.dimension * p.point_stride +
                                 teams.replicate_of_team(team) - p.first_replicate;
            for (int m = 0; m < p.layout.spans; ++m) {
                const std::int64_t offset = std::int64_t(m) * row_multiple + thread % team_threads;
                const std::int64_t coordinate = padded_element(p.net, offset).coordinate;
                if (coordinate < 0) continue;
                points[coordinate * p.point_stride] = teams.recorded_element<Real>(averaging, thread, m);
            }
        });
    }
};

ASGD_ISA_NAMESPACE_END
