#include "kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* ensemble_kernel_of<float>(const KernelKind& kind);
template const void* moments_kernel_of<float>();

}  // namespace cuda
}  // namespace anneal_sgd
