#include "data_kernels.cuh"

namespace anneal_sgd {
namespace cuda {

template const void* data_kernel_of<float>(DataWork work);

}  // namespace cuda
}  // namespace anneal_sgd
