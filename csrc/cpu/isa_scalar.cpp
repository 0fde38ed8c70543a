// One trajectory at a time, in the baseline instruction set: every processor runs this.
#define ASGD_ISA scalar
#include "../core/lanes_plain.hpp"
#include "isa_kernels.hpp"

const anneal_sgd::Kernels anneal_sgd::scalar_kernels = anneal_sgd::scalar::make_kernels<float, double>("scalar");
