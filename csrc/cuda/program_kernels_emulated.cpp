#define ASGD_ISA emulated
#include <memory>
#include <vector>

#include "kernels_emulated.hpp"
#include "metric_kernel.hpp"
#include "program_kernel.hpp"

namespace anneal_sgd::cuda {

template <class Real>
void emulate_program(const ProgramLaunch& launch) {
    std::vector<Real> dynamic(launch.rows.shared_bytes > 0 ? std::size_t(launch.rows.block_size) : 0);
    const auto shared = std::make_unique<emulated::ProgramShared<Real>>();
    for (std::int64_t b = 0; b < launch.blocks; ++b) {
        emulated::Block block(b);
        Real* const rows = launch.rows.shared_bytes > 0
                               ? dynamic.data()
                               : static_cast<Real*>(launch.rows.memory) + b * launch.rows.block_size;
        if (launch.at_points) {
            const std::unique_ptr<emulated::MetricKernel<Real>> kernel(
                new emulated::MetricKernel<Real>{{{launch, block}, rows}});
            kernel->run();
        } else {
            const std::unique_ptr<emulated::ProgramKernel<Real>> kernel(
                new emulated::ProgramKernel<Real>{{{launch, block}, rows}, *shared});
            kernel->run();
        }
    }
}

template void emulate_program<float>(const ProgramLaunch& launch);
template void emulate_program<double>(const ProgramLaunch& launch);

}  // namespace anneal_sgd::cuda
