// The emulated kernels of separable problems and of moments, as templates over the dtype. Included by
// kernels_emulated_float32.cpp and kernels_emulated_float64.cpp: two units, since each compiles 24 kernels.
#pragma once

#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "ensemble_kernel.hpp"
#include "kernels_emulated.hpp"
#include "moments_kernel.hpp"

namespace anneal_sgd::cuda {

template <class I>
static void run_blocks(const EnsembleLaunch& launch, std::int64_t shared_bytes) {
    using Real = typename I::real;
    using Kernel = emulated::EnsembleKernel<Real, I::problem, I::noise, I::ball>;
    std::vector<Real> dynamic(std::size_t(shared_bytes) / sizeof(Real));
    for (std::int64_t b = 0; b < launch.blocks; ++b) {
        emulated::Block block(b);
        const auto shared = std::make_unique<emulated::EnsembleShared<Real, I::ball>>();
        const std::unique_ptr<Kernel> kernel(
            new Kernel{{launch, block}, *shared, launch.shared_state ? dynamic.data() : nullptr});
        kernel->run();
    }
}

template <class Real>
void emulate_ensemble(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes) {
    dispatch<Real>(kind, [&](auto instance) { run_blocks<decltype(instance)>(launch, shared_bytes); });
}

template <class Real>
void emulate_moments(const MomentsLaunch& launch) {
    std::vector<std::uint32_t> bins(launch.counts != nullptr ? std::size_t(exceedance_bins) : 0);
    for (std::int64_t b = 0; b < launch.cells * launch.replicate_blocks; ++b) {
        emulated::Block block(b);
        const auto shared = std::make_unique<emulated::MomentsShared>();
        emulated::MomentsKernel<Real>{launch, block, *shared, bins.data(), {}}.run();
    }
}

}  // namespace anneal_sgd::cuda
