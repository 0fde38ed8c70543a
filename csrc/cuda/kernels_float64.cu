#include "kernels.cuh"

namespace anneal_sgd {
namespace cuda {

const void* ensemble_kernel_float64(const KernelKind& kind) { return find_ensemble_kernel<double>(kind); }
const void* moments_kernel_float64() { return find_moments_kernel<double>(); }

}  // namespace cuda
}  // namespace anneal_sgd
