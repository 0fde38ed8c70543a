#define ASGD_ISA emulated
#include "ensemble_emulated.hpp"

namespace anneal_sgd::cuda {

template void emulate_ensemble<float>(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes);
template void emulate_moments<float>(const MomentsLaunch& launch);

}  // namespace anneal_sgd::cuda
