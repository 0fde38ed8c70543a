// Stands in where no CUDA backend is compiled.
#include "backend_cuda.hpp"

namespace anneal_sgd::cuda {

std::string why_unavailable() { return "this build of anneal_sgd has no CUDA backend"; }

}  // namespace anneal_sgd::cuda
