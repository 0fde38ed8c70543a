#include "data_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

const void* data_kernel_float64(bool recording) { return find_data_kernel<double>(recording); }

}  // namespace cuda
}  // namespace anneal_sgd
