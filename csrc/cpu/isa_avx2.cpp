// Compiled with instruction-set flags of its own (CMakeLists.txt); backend_cpu.cpp asks the processor first.
#define ASGD_ISA avx2
#include "lanes_avx2.hpp"
#include "isa_kernels.hpp"

const anneal_sgd::Kernels anneal_sgd::avx2_kernels =
    anneal_sgd::avx2::make_kernels<anneal_sgd::avx2::F32x8, anneal_sgd::avx2::F64x4>("avx2");
