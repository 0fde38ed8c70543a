// The emulated kernels. Included by device_emulated.cpp and kernels_emulated.cpp.
#pragma once

#include "launch.hpp"

namespace anneal_sgd::cuda {

void emulate(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes);
void emulate(Precision precision, const MomentsLaunch& launch);

}  // namespace anneal_sgd::cuda
