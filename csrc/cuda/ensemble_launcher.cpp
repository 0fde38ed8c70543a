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
