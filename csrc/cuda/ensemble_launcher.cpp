// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include "placed_launcher.hpp"

namespace anneal_sgd::cuda {
namespace {

class EnsembleLauncher final : public PlacedLauncher<EnsembleLaunch> {
public:
    EnsembleLauncher(Device& device, const EnsembleSpec& e)
        : PlacedLauncher(device, e, e.problems.dimension, double(e.problems.dimension),
                         !couples_coordinates(e.problems.projection)),
          kind_{e.precision, e.problems.kind, e.problems.noise, couples_coordinates(e.problems.projection)} {}

private:
    void place(EnsembleLaunch& launch, double, double elements, StateMemory& memory) const override {
        const double real = double(real_bytes(e_));
        const bool keeps_noise =
            kind_.ball && launch.layout.coordinates_per_thread > 1 && kind_.noise != NoiseKind::none;
        launch.noise = memory.take(keeps_noise ? 16 * elements : 0);  // the draws of a call, or its words
        launch.x = memory.take(real * elements);
        launch.low = memory.take(real * elements);
    }

    // A block's schedules, and the learning rates of its configs, have to fit into shared memory. Where those do not,
    // but no other thread needs a config's, the thread computes them.
    void lengthen_tiles(Layout& l) const override {
        if (kind_.ball) return;
        const std::int64_t pairs = std::min<std::int64_t>(l.configs, ceil_div(l.configs - 1, e_.base_lr_count) + 1);
        l.tile_steps = host::segment_length(e_);
        while (pairs * l.tile_steps > most_learning_rates) l.tile_steps /= 2;
        int table_steps = l.tile_steps;
        while (l.configs * table_steps * real_bytes(e_) > most_rate_bytes) table_steps /= 2;
        l.own_rates = may_multiply_rates(kind_.problem, kind_.noise, kind_.ball) && table_steps < l.tile_steps &&
                      4 * l.configs == block_places && l.coordinates_per_thread == 1;
        if (!l.own_rates) l.tile_steps = table_steps;
    }

    void prepare(EnsembleLaunch& launch) override {
        shared_bytes_ = 0;
        if (!kind_.ball || launch.layout.coordinates_per_thread == 1) return;
        shared_bytes_ = std::int64_t(launch.layout.coordinates_per_thread) * block_places * real_bytes(e_);
        launch.shared_state = shared_bytes_ <= device_.dynamic_shared_limit();
        if (!launch.shared_state) shared_bytes_ = 0;
    }

    void start(const EnsembleLaunch& launch) override { device_.launch(kind_, launch, shared_bytes_); }

    const KernelKind kind_;
    std::int64_t shared_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Launcher> ensemble_launcher(Device& device, const EnsembleSpec& ensemble) {
    return std::make_unique<EnsembleLauncher>(device, ensemble);
}

}  // namespace anneal_sgd::cuda
