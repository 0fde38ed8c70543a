// The pipeline of Gaussian draws for AVX-512, with compilers' options of its own (CMakeLists.txt).
#define ASGD_ISA avx512
#include "lanes_avx512.hpp"
#include "gaussian_pipeline.hpp"

ASGD_ISA_NAMESPACE_BEGIN

void fill_gaussian_apart(const PipelinedDraws& draws, float* out) { fill_gaussian<F32x16, true>(draws, out); }
void fill_gaussian_apart(const PipelinedDraws& draws, double* out) { fill_gaussian<F64x8, true>(draws, out); }

ASGD_ISA_NAMESPACE_END
