// The CUDA backend's border: the engine and the bindings see nothing else of it.
#pragma once

#include <string>

namespace anneal_sgd::cuda {

// Why the backend cannot be used in this build on this machine; empty where it can.
std::string why_unavailable();

}  // namespace anneal_sgd::cuda
