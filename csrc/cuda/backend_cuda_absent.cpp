// Stands in where no CUDA backend is compiled.
#include <stdexcept>

#include "backend_cuda.hpp"

namespace anneal_sgd::cuda {

std::string why_unavailable() { return "this build of anneal_sgd has no CUDA backend: it was compiled without nvcc"; }

std::vector<DeviceInfo> devices() { return {}; }

std::unique_ptr<Device> open_device(int, std::uintptr_t, std::int64_t) { throw std::runtime_error(why_unavailable()); }

std::string why_no_steps_code() { return ""; }

int device_of(const void*) { return -1; }

}  // namespace anneal_sgd::cuda
