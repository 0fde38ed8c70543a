// The emulated kernels. Included by device_emulated.cpp and the two files that define them.
#pragma once

#include "launch.hpp"

namespace anneal_sgd::cuda {

void emulate(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes);
void emulate(Precision precision, const DataLaunch& launch);
void emulate(Precision precision, const MomentsLaunch& launch);

}  // namespace anneal_sgd::cuda
