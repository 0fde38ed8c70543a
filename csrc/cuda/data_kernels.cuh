// The kernels for problems on data as CUDA functions. Included by data_kernels_float32.cu and data_kernels_float64.cu,
// which instantiate them.
#pragma once

#define ASGD_ISA gpu
#include "point_kernel.hpp"
#include "record_kernel.hpp"
#include "step_kernel.hpp"

namespace anneal_sgd {
namespace cuda {

// Two blocks to a multiprocessor hide each other's waiting for rows; steps in doubles, and those of methods, hold more
// per thread, which must not spill.
template <class Real, DataWork work>
constexpr int step_blocks = work == DataWork::method_steps || sizeof(Real) == 8 ? 1 : 2;

template <class Real, DataWork work>
__global__ void __launch_bounds__(gpu::block_threads, step_blocks<Real, work>)
    step_kernel(const __grid_constant__ DataLaunch launch) {
    __shared__ gpu::StepShared<Real> shared;
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::StepKernel<Real, work> kernel{launch, block, shared, reinterpret_cast<Real*>(dynamic)};
    kernel.run();
}

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads, 2) record_kernel(const __grid_constant__ DataLaunch launch) {
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::RecordKernel<Real> kernel{launch, block, reinterpret_cast<Real*>(dynamic)};
    kernel.run();
}

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads) point_kernel(const __grid_constant__ DataLaunch launch) {
    gpu::Block block;
    gpu::PointKernel<Real> kernel{launch, block};
    kernel.run();
}

template <class Real>
const void* data_kernel_of(DataWork work) {
    switch (work) {
        case DataWork::steps: return reinterpret_cast<const void*>(&step_kernel<Real, DataWork::steps>);
        case DataWork::single_steps: return reinterpret_cast<const void*>(&step_kernel<Real, DataWork::single_steps>);
        case DataWork::method_steps: return reinterpret_cast<const void*>(&step_kernel<Real, DataWork::method_steps>);
        case DataWork::rows: return reinterpret_cast<const void*>(&record_kernel<Real>);
        case DataWork::points: return reinterpret_cast<const void*>(&point_kernel<Real>);
    }
    __builtin_unreachable();
}

}  // namespace cuda
}  // namespace anneal_sgd
