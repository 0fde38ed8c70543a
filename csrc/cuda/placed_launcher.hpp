// What launchers of kernels with places (places.hpp) have in common. Included by ensemble_launcher.cpp and
// program_launcher.cpp, which define ASGD_ISA.
#pragma once

#include <algorithm>
#include <limits>

#include "launcher.hpp"
#include "upload.hpp"
//
#include "../core/lanes_plain.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types

namespace anneal_sgd::cuda {

inline constexpr int block_places = 1024;

// Of teams of 2^log2_team threads; `numbers`: of a method that follow schedules.
inline Layout layout_of_team(int log2_team, std::int64_t dimension, std::int64_t numbers, std::int64_t configs,
                             std::int64_t replicates) {
    Layout l{};
    l.log2_team = log2_team;
    l.coordinates_per_thread = int(ceil_div(dimension, std::int64_t(1) << l.log2_team));
    l.log2_accumulators = std::min(log2_ceil(host::accumulators) - log2_team, log2_ceil(l.coordinates_per_thread));
    const int log2_trajectories = log2_ceil(block_places) - l.log2_team;
    l.log2_replicates = std::clamp(log2_ceil(replicates), 2, log2_trajectories);
    l.configs = 1 << std::min(log2_trajectories - l.log2_replicates, log2_ceil(configs));
    l.tile_steps = segment_steps;
    while ((l.configs + numbers) * l.tile_steps > most_learning_rates) l.tile_steps /= 2;
    return l;
}
// The largest that shares out a vector of that width.
inline int log2_team_of(std::int64_t width) { return std::min(log2_ceil(width), log2_ceil(host::accumulators)); }
inline double block_count(const Layout& l, std::int64_t configs, std::int64_t replicates) {
    return double(ceil_div(configs, l.configs)) * double(ceil_div(replicates, std::int64_t(1) << l.log2_replicates));
}

template <class PlacedLaunch>
class PlacedLauncher : public Launcher {
public:
    Footprint footprint(std::int64_t configs, std::int64_t replicates) const override {
        const Layout layout = make_layout(configs, replicates);
        const double blocks = block_count(layout, configs, replicates);
        PlacedLaunch launch{};
        StateMemory memory;
        place_all(launch, layout, blocks, memory);
        return {memory.used(), blocks};
    }
    double data_bytes() const override { return 0; }
    double work(std::int64_t configs, std::int64_t replicates) const override {
        return step_work(configs, replicates) * double(last_step_);
    }
    double thread_work(std::int64_t configs, std::int64_t replicates) const override {
        return double(last_step_) * thread_step_work(make_layout(configs, replicates));
    }
    void upload() override { upload_ = std::make_unique<Upload>(device_, e_); }

    void begin(const Chunk& chunk, void* state) override {
        const std::int64_t configs = chunk.configs();
        const std::int64_t replicates = chunk.replicates();
        launch_ = {};
        set_chunk(launch_, e_, upload_->ensemble, chunk);
        const Layout& layout = launch_.layout = make_layout(configs, replicates);
        const double blocks = block_count(layout, configs, replicates);
        launch_.config_groups = ceil_div(configs, layout.configs);
        launch_.blocks = std::int64_t(blocks);
        StateMemory memory(state);
        place_all(launch_, layout, blocks, memory);
        prepare(launch_);
        step_work_ = step_work(configs, replicates);
        progress_ = {};
        started_ = false;
    }

    bool launch_next(const Pace& pace, Launched& launched) override {
        if (started_ && progress_.step >= last_step_) return false;
        started_ = true;
        launch_.first_step = progress_.step;
        launch_.first_record = progress_.record;
        launch_.first_window = progress_.window;
        const std::int64_t steps =
            whole_tiles(pace.units(LaunchKind::steps, 0, step_work_, thread_step_work(launch_.layout)));
        launch_.stop_step = std::min(last_step_, launch_.first_step + steps);
        move_to(progress_, e_, launch_.stop_step);
        while (progress_.record < e_.record_count && e_.record_at[progress_.record] <= launch_.stop_step)
            ++progress_.record;
        start(launch_);
        launched = {LaunchKind::steps, double(launch_.stop_step - launch_.first_step) * step_work_, step_work_};
        return true;
    }

protected:
    // `width`: of the longest vector that a team shares out; `step_numbers`: that a trajectory's step computes;
    // `apart`: the kernel takes any team, since coordinates meet in records only.
    PlacedLauncher(Device& device, const EnsembleSpec& e, std::int64_t width, double step_numbers, bool apart)
        : device_(device),
          e_(e),
          last_step_(e.record_at[e.record_count - 1]),
          width_(width),
          step_numbers_(step_numbers),
          full_blocks_(apart ? device.full_blocks() : std::numeric_limits<std::int64_t>::max()) {}

    // The arrays that a kernel has besides sums of iterates, each for `elements` coordinates of trajectories.
    virtual void place(PlacedLaunch& launch, double blocks, double elements, StateMemory& memory) const = 0;
    // Longer tiles, where the kernel has more room for learning rates.
    virtual void lengthen_tiles(Layout&) const {}
    // What the launches of a chunk have besides.
    virtual void prepare(PlacedLaunch& launch) = 0;
    virtual void start(const PlacedLaunch& launch) = 0;

    double thread_step_work(const Layout& l) const { return std::ceil(step_numbers_ / double(1 << l.log2_team)); }

    Device& device_;
    const EnsembleSpec& e_;
    std::unique_ptr<Upload> upload_;
    const std::int64_t last_step_;
    PlacedLaunch launch_{};
    double step_work_ = 0;
    Progress progress_;
    bool started_ = false;

private:
    // The largest team; or a smaller one that idles less, where the device is full all the same.
    Layout make_layout(std::int64_t configs, std::int64_t replicates) const {
        const auto blocks = [&](const Layout& l) { return block_count(l, configs, replicates); };
        const auto of_team = [&](int log2_team) {
            Layout l = layout_of_team(log2_team, e_.problems.dimension, e_.number_count, configs, replicates);
            lengthen_tiles(l);
            return l;
        };
        Layout best = of_team(log2_team_of(width_));
        const int least = std::max(0, best.log2_team - log2_accumulators);
        for (int log2_team = best.log2_team - 1; log2_team >= least; --log2_team) {
            const Layout l = of_team(log2_team);
            if (blocks(l) < double(full_blocks_)) break;
            if (blocks(l) * l.coordinates_per_thread < blocks(best) * best.coordinates_per_thread) best = l;
        }
        return best;
    }
    double step_work(std::int64_t configs, std::int64_t replicates) const {
        return double(configs) * double(replicates) * step_numbers_;
    }
    void place_all(PlacedLaunch& launch, const Layout& l, double blocks, StateMemory& memory) const {
        launch.layout = l;
        const double n = blocks * l.coordinates_per_thread * block_places;
        const bool averaging = e_.iterate != Iterate::last;
        launch.total = static_cast<double*>(memory.take(averaging ? 8 * n : 0));
        launch.window_start = static_cast<double*>(memory.take(8 * n * double(host::most_open_windows(e_))));
        place(launch, blocks, n, memory);
        launch.segment = memory.take(averaging ? double(real_bytes(e_)) * n : 0);
    }

    const std::int64_t width_;
    const double step_numbers_;
    const std::int64_t full_blocks_;
};

}  // namespace anneal_sgd::cuda
