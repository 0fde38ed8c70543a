// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include <algorithm>

#include "launcher.hpp"
#include "upload.hpp"
//
#include "../core/lanes_plain.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types

namespace anneal_sgd::cuda {
namespace {

using host::accumulators;
using host::most_open_windows;

constexpr int block_places = 1024;

Layout make_layout(const EnsembleSpec& e, std::int64_t configs, std::int64_t replicates) {
    Layout l{};
    l.log2_team = std::min(log2_ceil(e.problems.dimension), log2_ceil(accumulators));
    l.coordinates_per_thread = int(ceil_div(e.problems.dimension, std::int64_t(1) << l.log2_team));
    const int log2_trajectories = log2_ceil(block_places) - l.log2_team;
    l.log2_replicates = std::clamp(log2_ceil(replicates), 2, log2_trajectories);
    l.configs = 1 << std::min(log2_trajectories - l.log2_replicates, log2_ceil(configs));
    l.tile_steps = segment_steps;
    while (l.configs * l.tile_steps > most_learning_rates) l.tile_steps /= 2;
    return l;
}

double block_count(const Layout& l, std::int64_t configs, std::int64_t replicates) {
    return double(ceil_div(configs, l.configs)) * double(ceil_div(replicates, std::int64_t(1) << l.log2_replicates));
}

class EnsembleLauncher final : public Launcher {
public:
    EnsembleLauncher(Device& device, const EnsembleSpec& e)
        : device_(device),
          e_(e),
          kind_{e.precision, e.problems.kind, e.problems.noise, couples_coordinates(e.problems.projection)},
          last_step_(e.record_at[e.record_count - 1]) {}

    Footprint footprint(std::int64_t configs, std::int64_t replicates) const override {
        const Layout layout = make_layout(e_, configs, replicates);
        const double blocks = block_count(layout, configs, replicates);
        EnsembleLaunch launch{};
        StateMemory memory;
        place(launch, layout, blocks, memory);
        return {memory.used(), blocks};
    }
    double data_bytes() const override { return 0; }
    double work(std::int64_t configs, std::int64_t replicates) const override {
        return step_work(configs, replicates) * double(last_step_);
    }
    double thread_work(std::int64_t configs, std::int64_t replicates) const override {
        return double(last_step_) * make_layout(e_, configs, replicates).coordinates_per_thread;
    }
    void upload() override { upload_ = std::make_unique<Upload>(device_, e_); }

    void begin(const Chunk& chunk, void* state) override {
        const std::int64_t configs = chunk.configs();
        const std::int64_t replicates = chunk.replicates();
        launch_ = {};
        set_chunk(launch_, e_, upload_->ensemble, chunk);
        const Layout& layout = launch_.layout = make_layout(e_, configs, replicates);
        const double blocks = block_count(layout, configs, replicates);
        launch_.config_groups = ceil_div(configs, layout.configs);
        launch_.blocks = std::int64_t(blocks);
        StateMemory memory(state);
        place(launch_, layout, blocks, memory);
        shared_bytes_ = 0;
        if (kind_.ball && layout.coordinates_per_thread > 1) {
            shared_bytes_ = std::int64_t(layout.coordinates_per_thread) * block_places * real_bytes(e_);
            launch_.shared_state = shared_bytes_ <= device_.dynamic_shared_limit();
            if (!launch_.shared_state) shared_bytes_ = 0;
        }
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
            whole_tiles(pace.units(LaunchKind::steps, 0, step_work_, launch_.layout.coordinates_per_thread));
        launch_.stop_step = std::min(last_step_, launch_.first_step + steps);
        move_to(progress_, e_, launch_.stop_step);
        while (progress_.record < e_.record_count && e_.record_at[progress_.record] <= launch_.stop_step)
            ++progress_.record;
        device_.launch(kind_, launch_, shared_bytes_);
        launched = {LaunchKind::steps, double(launch_.stop_step - launch_.first_step) * step_work_, step_work_};
        return true;
    }

private:
    double step_work(std::int64_t configs, std::int64_t replicates) const {
        return double(configs) * double(replicates) * double(e_.problems.dimension);
    }

    void place(EnsembleLaunch& launch, const Layout& l, double blocks, StateMemory& memory) const {
        const double n = blocks * l.coordinates_per_thread * block_places, real = double(real_bytes(e_));
        const bool averaging = e_.iterate != Iterate::last;
        const bool keeps_noise = kind_.ball && l.coordinates_per_thread > 1 && kind_.noise != NoiseKind::none;
        launch.total = static_cast<double*>(memory.take(averaging ? 8 * n : 0));
        launch.window_start = static_cast<double*>(memory.take(8 * n * double(most_open_windows(e_))));
        launch.noise = memory.take(keeps_noise ? 16 * n : 0);  // the draws of a call, or its words
        launch.x = memory.take(real * n);
        launch.low = memory.take(real * n);
        launch.segment = memory.take(averaging ? real * n : 0);
    }

    Device& device_;
    const EnsembleSpec& e_;
    const KernelKind kind_;
    const std::int64_t last_step_;
    std::unique_ptr<Upload> upload_;
    EnsembleLaunch launch_{};
    std::int64_t shared_bytes_ = 0;
    double step_work_ = 0;
    Progress progress_;
    bool started_ = false;
};

}  // namespace

std::unique_ptr<Launcher> ensemble_launcher(Device& device, const EnsembleSpec& ensemble) {
    return std::make_unique<EnsembleLauncher>(device, ensemble);
}

}  // namespace anneal_sgd::cuda
