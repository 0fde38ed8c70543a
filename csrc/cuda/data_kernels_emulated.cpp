#define ASGD_ISA emulated
#include <memory>
#include <vector>

#include "kernels_emulated.hpp"
#include "point_kernel.hpp"
#include "record_kernel.hpp"
#include "step_kernel.hpp"

namespace anneal_sgd::cuda {

template <class Real>
void emulate_data(const DataLaunch& launch) {
    std::vector<Real> dynamic(std::size_t(launch.shared_bytes) / sizeof(Real));
    for (std::int64_t b = 0; b < launch.blocks; ++b) {
        emulated::Block block(b);
        switch (launch.work) {
            case DataWork::steps: {
                const auto shared = std::make_unique<emulated::StepShared<Real>>();
                emulated::StepKernel<Real, false>{launch, block, *shared, dynamic.data()}.run();
                break;
            }
            case DataWork::method_steps: {
                const auto shared = std::make_unique<emulated::StepShared<Real>>();
                emulated::StepKernel<Real, true>{launch, block, *shared, dynamic.data()}.run();
                break;
            }
            case DataWork::rows: emulated::RecordKernel<Real>{launch, block, dynamic.data()}.run(); break;
            case DataWork::points: emulated::PointKernel<Real>{launch, block}.run(); break;
        }
    }
}

template void emulate_data<float>(const DataLaunch& launch);
template void emulate_data<double>(const DataLaunch& launch);

}  // namespace anneal_sgd::cuda
