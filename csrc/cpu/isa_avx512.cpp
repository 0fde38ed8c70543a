// Compiled with instruction-set flags of its own (CMakeLists.txt); backend_cpu.cpp asks the processor first.
#define ASGD_ISA avx512
#include "lanes_avx512.hpp"
#include "isa_kernels.hpp"

const anneal_sgd::Kernels anneal_sgd::avx512_kernels =
    anneal_sgd::avx512::make_kernels<anneal_sgd::avx512::F32x16, anneal_sgd::avx512::F64x8>("avx512");
