// The emulated kernels. Included by device_emulated.cpp and the files that define them.
#pragma once

#include "launch.hpp"

namespace anneal_sgd::cuda {

template <class Real>
void emulate_ensemble(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes);
template <class Real>
void emulate_moments(const MomentsLaunch& launch);
template <class Real>
void emulate_program(const ProgramLaunch& launch);
template <class Real>
void emulate_data(const DataLaunch& launch);

}  // namespace anneal_sgd::cuda
