#include "data_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

const void* data_kernel_float32(bool recording) { return find_data_kernel<float>(recording); }

}  // namespace cuda
}  // namespace anneal_sgd
