// The pipeline of Gaussian draws for AVX2, with compilers' options of its own (CMakeLists.txt).
#define ASGD_ISA avx2
#include "lanes_avx2.hpp"
#include "gaussian_pipeline.hpp"

ASGD_ISA_NAMESPACE_BEGIN

void fill_gaussian_apart(const PipelinedDraws& draws, float* out) { fill_gaussian<F32x8, true>(draws, out); }
void fill_gaussian_apart(const PipelinedDraws& draws, double* out) { fill_gaussian<F64x4, true>(draws, out); }

ASGD_ISA_NAMESPACE_END
