#include "program_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* program_kernel_of<float>(bool at_points);

}  // namespace cuda
}  // namespace anneal_sgd
