// The kernels for programs as CUDA functions. Included by program_kernels_float32.cu and program_kernels_float64.cu,
// which instantiate them.
#pragma once

#define ASGD_ISA gpu
#include "metric_kernel.hpp"
#include "program_kernel.hpp"

namespace anneal_sgd {
namespace cuda {

template <class Real>
ASGD_KERNEL_FN Real* rows_of(const ProgramLaunch& launch, double* dynamic) {
    return launch.rows.shared_bytes > 0
               ? reinterpret_cast<Real*>(dynamic)
               : static_cast<Real*>(launch.rows.memory) + gpu::Block::index() * launch.rows.block_size;
}

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads, sizeof(Real) == 8 ? 1 : 2)
    program_kernel(const __grid_constant__ ProgramLaunch launch) {
    __shared__ gpu::ProgramShared<Real> shared;
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::ProgramKernel<Real> kernel{{{launch, block}, rows_of<Real>(launch, dynamic)}, shared};
    kernel.run();
}

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads, sizeof(Real) == 8 ? 1 : 2)
    metric_kernel(const __grid_constant__ ProgramLaunch launch) {
    extern __shared__ double dynamic[];
    gpu::Block block;
    gpu::MetricKernel<Real> kernel{{{launch, block}, rows_of<Real>(launch, dynamic)}};
    kernel.run();
}

template <class Real>
const void* program_kernel_of(bool at_points) {
    return at_points ? reinterpret_cast<const void*>(&metric_kernel<Real>)
                     : reinterpret_cast<const void*>(&program_kernel<Real>);
}

}  // namespace cuda
}  // namespace anneal_sgd
