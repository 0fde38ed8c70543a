// Compiled on 64-bit ARM processors, all of which have NEON.
#define ASGD_ISA neon
#include "lanes_neon.hpp"
#include "isa_kernels.hpp"

const anneal_sgd::Kernels anneal_sgd::neon_kernels =
    anneal_sgd::neon::make_kernels<anneal_sgd::neon::F32x4, anneal_sgd::neon::F64x2>("neon");
