// GPUs: which there are, and handles to them.
#include "../cuda/backend_cuda.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

std::shared_ptr<DeviceHandle> open(int number, std::uintptr_t stream, std::int64_t most_memory) {
    const py::gil_scoped_release unlocked;  // the first call sets up the driver
    return std::make_shared<DeviceHandle>(DeviceHandle{cuda::open_device(number, stream, most_memory)});
}

py::list devices() {
    py::list list;
    for (const cuda::DeviceInfo& d : cuda::devices()) {
        py::dict info;
        info["name"] = d.name;
        info["compute_capability"] =
            std::to_string(d.compute_capability / 10) + "." + std::to_string(d.compute_capability % 10);
        info["memory"] = d.memory;
        info["multiprocessors"] = d.multiprocessors;
        info["clock_hz"] = d.clock_hz;
        list.append(info);
    }
    return list;
}

}  // namespace

void bind_cuda(py::module_& m) {
    m.def("cuda_why_unavailable", &cuda::why_unavailable, py::call_guard<py::gil_scoped_release>());
    m.def("cuda_devices", &devices);
    m.def("open_cuda_device", &open, py::arg("number"), py::arg("stream"), py::arg("most_memory") = 0);
    m.def(
        "cuda_device_of", [](std::uintptr_t address) { return cuda::device_of(reinterpret_cast<void*>(address)); },
        py::arg("address"));
}

}  // namespace anneal_sgd::bindings
