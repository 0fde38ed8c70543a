// GPUs: which there are, and handles to them.
#include "../cuda/backend_cuda.hpp"
#include "../cuda/launcher.hpp"
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

int log2_team(const Ensemble& ensemble) {
    const ProblemSpec& problems = ensemble.spec.problems;
    require(problems.program != nullptr, "ensemble: must be of a program");
    return cuda::log2_team_of_program(*problems.program, problems.dimension);
}

std::shared_ptr<StepsCodeHandle> make_steps_code(std::string ptx, int log2_team, std::uintptr_t emulated,
                                                 py::object owner) {
    auto made = std::make_shared<StepsCodeHandle>();
    made->code.ptx = std::move(ptx);
    made->code.emulated = reinterpret_cast<decltype(made->code.emulated)>(emulated);
    made->code.log2_team = log2_team;
    made->owner = std::move(owner);
    return made;
}

}  // namespace

void bind_cuda(py::module_& m) {
    m.def("cuda_why_unavailable", &cuda::why_unavailable, py::call_guard<py::gil_scoped_release>());
    m.def("cuda_devices", &devices);
    m.def("cuda_why_no_steps_code", &cuda::why_no_steps_code);
    m.def("log2_team", &log2_team, py::arg("ensemble").none(false));
    py::class_<StepsCodeHandle, std::shared_ptr<StepsCodeHandle>>(m, "StepsCode")
        .def(py::init(&make_steps_code), py::kw_only(), py::arg("ptx"), py::arg("log2_team"), py::arg("emulated") = 0,
             py::arg("owner") = py::none());
    m.def("open_cuda_device", &open, py::arg("number"), py::arg("stream"), py::arg("most_memory") = 0);
    m.def(
        "cuda_device_of", [](std::uintptr_t address) { return cuda::device_of(reinterpret_cast<void*>(address)); },
        py::arg("address"));
}

}  // namespace anneal_sgd::bindings
