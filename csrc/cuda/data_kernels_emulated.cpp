#define ASGD_ISA emulated
#include <memory>
#include <vector>

#include "kernels_emulated.hpp"
#include "point_kernel.hpp"
#include "record_kernel.hpp"
#include "step_kernel.hpp"

namespace anneal_sgd::cuda {

namespace {

template <class Real, DataWork work>
void emulate_steps(const DataLaunch& launch, emulated::Block& block, Real* dynamic) {
    const auto shared = std::make_unique<emulated::StepShared<Real>>();
    emulated::StepKernel<Real, work>{launch, block, *shared, dynamic}.run();
}

}  // namespace

template <class Real>
void emulate_data(const DataLaunch& launch) {
    std::vector<Real> dynamic(std::size_t(launch.shared_bytes) / sizeof(Real));
    for (std::int64_t b = 0; b < launch.blocks; ++b) {
        emulated::Block block(b);
        switch (launch.work) {
            case DataWork::steps: emulate_steps<Real, DataWork::steps>(launch, block, dynamic.data()); break;
            case DataWork::single_steps:
                emulate_steps<Real, DataWork::single_steps>(launch, block, dynamic.data());
                break;
            case DataWork::method_steps:
                emulate_steps<Real, DataWork::method_steps>(launch, block, dynamic.data());
                break;
            case DataWork::rows: emulated::RecordKernel<Real>{launch, block, dynamic.data()}.run(); break;
            case DataWork::points: emulated::PointKernel<Real>{launch, block}.run(); break;
        }
    }
}

template void emulate_data<float>(const DataLaunch& launch);
template void emulate_data<double>(const DataLaunch& launch);

}  // namespace anneal_sgd::cuda
