#define ASGD_ISA emulated
#include "kernels_emulated.hpp"

#include <memory>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "ensemble_kernel.hpp"
#include "moments_kernel.hpp"

namespace anneal_sgd::cuda {
namespace {

template <class I>
void run_blocks(const EnsembleLaunch& launch, std::int64_t shared_bytes) {
    using Real = typename I::real;
    using Kernel = emulated::EnsembleKernel<Real, I::problem, I::noise, I::ball>;
    std::vector<Real> dynamic(std::size_t(shared_bytes) / sizeof(Real));
    for (std::int64_t b = 0; b < launch.blocks; ++b) {
        emulated::Block block(b);
        const auto shared = std::make_unique<emulated::EnsembleShared<Real>>();
        const std::unique_ptr<Kernel> kernel(
            new Kernel{launch, block, *shared, launch.shared_state ? dynamic.data() : nullptr});
        kernel->run();
    }
}

template <class Real>
void run_blocks(const MomentsLaunch& launch) {
    for (std::int64_t b = 0; b < launch.cells * launch.replicate_blocks; ++b) {
        emulated::Block block(b);
        const auto shared = std::make_unique<emulated::MomentsShared>();
        emulated::MomentsKernel<Real>{launch, block, *shared, {}}.run();
    }
}

}  // namespace

void emulate(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes) {
    const auto run = [&](auto instance) { run_blocks<decltype(instance)>(launch, shared_bytes); };
    with_real(kind.precision, [&](auto real) { dispatch<decltype(real)>(kind, run); });
}

void emulate(Precision precision, const MomentsLaunch& launch) {
    with_real(precision, [&](auto real) { run_blocks<decltype(real)>(launch); });
}

}  // namespace anneal_sgd::cuda
