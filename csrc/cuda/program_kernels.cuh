// The kernel for programs as a CUDA function. Included by program_kernels_float32.cu and program_kernels_float64.cu,
// which instantiate it.
#pragma once

#define ASGD_ISA gpu
#include "program_kernel.hpp"

namespace anneal_sgd {
namespace cuda {

template <class Real>
__global__ void __launch_bounds__(gpu::block_threads, sizeof(Real) == 8 ? 1 : 2)
    program_kernel(const __grid_constant__ ProgramLaunch launch) {
    __shared__ gpu::ProgramShared<Real> shared;
    extern __shared__ double dynamic[];
    gpu::Block block;
    Real* const rows = launch.rows.shared_bytes > 0
                           ? reinterpret_cast<Real*>(dynamic)
                           : static_cast<Real*>(launch.rows.memory) + gpu::Block::index() * launch.rows.block_size;
    gpu::ProgramKernel<Real> kernel{{launch, block}, shared, rows};
    kernel.run();
}

template <class Real>
const void* program_kernel_of() {
    return reinterpret_cast<const void*>(&program_kernel<Real>);
}

}  // namespace cuda
}  // namespace anneal_sgd
