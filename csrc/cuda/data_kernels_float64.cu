#include "data_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* data_kernel_of<double>(bool recording);

}  // namespace cuda
}  // namespace anneal_sgd
