#define ASGD_ISA emulated
#include "ensemble_emulated.hpp"

namespace anneal_sgd::cuda {

template void emulate_ensemble<double>(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes);
template void emulate_moments<double>(const MomentsLaunch& launch);

}  // namespace anneal_sgd::cuda
