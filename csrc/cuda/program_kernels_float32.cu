#include "program_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* program_kernel_of<float>();

}  // namespace cuda
}  // namespace anneal_sgd
