// The kernels as CUDA functions. Included by kernels_float32.cu and kernels_float64.cu, which instantiate them.
#pragma once

#define ASGD_ISA gpu
#include "dispatch.hpp"
#include "ensemble_kernel.hpp"
#include "moments_kernel.hpp"

namespace anneal_sgd {
namespace cuda {

// Two blocks to a multiprocessor keep its issue slots busy; doubles and a ball hold more per thread, which must not
// spill.
template <class Real, bool ball>
constexpr int blocks_per_multiprocessor = ball || sizeof(Real) == 8 ? 1 : 2;

template <class Real, ProblemKind problem, NoiseKind noise, bool ball>
__global__ void __launch_bounds__(gpu::block_threads, blocks_per_multiprocessor<Real, ball>)
    ensemble_kernel(const __grid_constant__ EnsembleLaunch launch) {
    __shared__ gpu::EnsembleShared<Real, ball> shared;
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::EnsembleKernel<Real, problem, noise, ball> kernel{
        {launch, block}, shared, launch.shared_state ? reinterpret_cast<Real*>(dynamic) : nullptr};
    kernel.run();
}

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads) moments_kernel(const __grid_constant__ MomentsLaunch launch) {
    __shared__ gpu::MomentsShared shared;
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::MomentsKernel<Real> kernel{launch, block, shared, reinterpret_cast<std::uint32_t*>(dynamic), {}};
    kernel.run();
}

template <class Real>
const void* ensemble_kernel_of(const KernelKind& kind) {
    return dispatch<Real>(kind, [](auto instance) {
        using I = decltype(instance);
        return reinterpret_cast<const void*>(&ensemble_kernel<Real, I::problem, I::noise, I::ball>);
    });
}

template <class Real>
const void* moments_kernel_of() {
    return reinterpret_cast<const void*>(&moments_kernel<Real>);
}

}  // namespace cuda
}  // namespace anneal_sgd
