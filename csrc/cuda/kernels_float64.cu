#include "kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* ensemble_kernel_of<double>(const KernelKind& kind);
template const void* moments_kernel_of<double>();

}  // namespace cuda
}  // namespace anneal_sgd
