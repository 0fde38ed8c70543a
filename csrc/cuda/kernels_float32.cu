#include "kernels.cuh"

namespace anneal_sgd {
namespace cuda {

const void* ensemble_kernel_float32(const KernelKind& kind) { return find_ensemble_kernel<float>(kind); }
const void* moments_kernel_float32() { return find_moments_kernel<float>(); }

}  // namespace cuda
}  // namespace anneal_sgd
