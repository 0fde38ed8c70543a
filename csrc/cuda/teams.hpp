// Which trajectories a block of a problem on data has, and how their state is addressed. Included by the kernels for
// problems on data.
#pragma once

#include "learning_rates.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// 16 teams of threads, one trajectory each: configs of one problem x replicates. Teams without a trajectory work on a
// copy of another config, or on a replicate beyond the last, so that all threads of a warp take the same way; what they
// find is not recorded.
struct Teams {
    const cuda::DataLaunch& p;
    Block& block;
    int first_config = 0, config_count = 0;  // of the block
    const DataProblem* problem = nullptr;

    ASGD_KERNEL_MEMBER void find() {
        const std::int64_t per_problem = p.ensemble.schedule_count * p.ensemble.base_lr_count;
        const std::int64_t group = p.first_group + block.index() % p.config_groups;
        const std::int64_t number = group / p.layout.groups_per_problem;
        problem = p.ensemble.problems.data + number;
        const std::int64_t begin = number * per_problem;
        std::int64_t first = begin + group % p.layout.groups_per_problem * p.layout.configs;
        const std::int64_t stop = smaller(smaller(first + p.layout.configs, begin + per_problem), p.stop_config);
        first = first < p.first_config ? p.first_config : first;
        first_config = int(first);
        config_count = int(stop - first);
    }

    // Worked out where they are wanted: some registers less through the steps.
    ASGD_KERNEL_MEMBER BlockConfigs configs() const {
        return block_configs(p.ensemble, first_config, first_config + config_count);
    }
    ASGD_KERNEL_MEMBER std::int64_t first_replicate() const {
        return p.first_replicate + (block.index() / p.config_groups << p.layout.log2_replicates);
    }
    ASGD_KERNEL_MEMBER int config_of_team(int team) const {
        const int c = team >> p.layout.log2_replicates;
        return lesser(c, config_count - 1);
    }
    ASGD_KERNEL_MEMBER std::int64_t replicate_of_team(int team) const {
        return first_replicate() + (team & ((1 << p.layout.log2_replicates) - 1));
    }
    ASGD_KERNEL_MEMBER std::uint32_t stream_of_team(int team) const {
        return p.ensemble.common_random_numbers ? 0 : std::uint32_t(first_config + config_of_team(team));
    }
    // Whether the team has a trajectory of its own.
    ASGD_KERNEL_MEMBER bool is_active(int team) const {
        return team >> p.layout.log2_replicates < config_count && replicate_of_team(team) < p.stop_replicate;
    }

    // Element m of a thread in arrays over the padded point: state, sums of iterates.
    ASGD_KERNEL_MEMBER std::int64_t element(int thread, int m) const {
        return ((block.index() * teams_of_block + thread / team_threads) * p.layout.spans + m) * team_threads +
               thread % team_threads;
    }
    ASGD_KERNEL_MEMBER std::int64_t elements() const { return p.blocks * p.layout.spans * block_threads; }
    ASGD_KERNEL_MEMBER bool averaging() const { return p.ensemble.iterate != Iterate::last; }
    template <class Real>
    ASGD_KERNEL_MEMBER Real& segment(int thread, int m) const {
        return static_cast<Real*>(p.segment)[element(thread, m)];
    }
    template <class Real>
    ASGD_KERNEL_MEMBER double sum_of_iterates(int thread, int m) const {
        return p.total[element(thread, m)] + double(segment<Real>(thread, m));
    }
    // What the points of a record are: the iterates, or their averages.
    struct Averaging {
        bool average;
        const double* before;  // sums where a tail window begins, or null
        double window;         // how many iterates
    };
    ASGD_KERNEL_MEMBER Averaging averaging_at(std::int64_t record) const {
        const std::int64_t k = p.ensemble.record_at[record];
        const bool tail = p.ensemble.iterate == Iterate::tail_average, average = averaging() && k > 0;
        return {average, tail ? window_start_of(record) : nullptr, average ? double(window_length(p.ensemble, k)) : 1};
    }
    template <class Real>
    ASGD_KERNEL_MEMBER Real recorded_element(const Averaging& a, int thread, int m) const {
        const std::int64_t e = element(thread, m);
        if (!a.average) return static_cast<const Real*>(p.x)[e];
        const double all = sum_of_iterates<Real>(thread, m);
        return Real((a.before != nullptr ? all - a.before[e] : all) / a.window);
    }
    ASGD_KERNEL_MEMBER double* window_start_of(std::int64_t record) const {
        return p.window_start + record % p.open_windows * elements();
    }
};

ASGD_ISA_NAMESPACE_END
