// Schedule: parameters of one schedule, and its values. The values come from the kernels that simulations use.
#include "../cpu/backend_cpu.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

std::shared_ptr<Schedule> make_schedule(ScheduleKind kind, double parameter, CooldownShape cooldown, double floor,
                                        double warmup_frac, std::vector<double> table) {
    require(kind != ScheduleKind::tabulated || table.size() >= 2,
            "table: a tabulated schedule needs at least 2 values");
    auto s = std::make_shared<Schedule>();
    s->table = std::move(table);
    s->spec = {kind, cooldown, parameter, floor, warmup_frac, s->table.data(), std::int64_t(s->table.size())};
    return s;
}

const Kernels& fastest_kernels() {
    static const Kernels& kernels = cpu::kernels(cpu::supported_isas().back());
    return kernels;
}

Array schedule_at(const Schedule& schedule, const Reals& u, std::int64_t horizon) {
    require(u.ndim() == 1, "u: must be one-dimensional");
    Array h(u.size());
    const double* in = u.data();
    double* out = h.mutable_data();
    const std::int64_t n = u.size();
    const py::gil_scoped_release
        unlocked;  // reads and writes arrays that the caller does not have yet or must not change
    fastest_kernels().schedule_at(schedule.spec, horizon, in, n, out);
    return h;
}

Array schedule_values(const Schedule& schedule, std::int64_t horizon, std::int64_t first, std::int64_t stop) {
    require(horizon >= 1, "horizon: ", horizon, " is not >= 1");
    require(0 <= first && first <= stop && stop <= horizon, "first, stop: must satisfy 0 <= first <= stop <= horizon");
    Array h(stop - first);
    double* out = h.mutable_data();
    const py::gil_scoped_release unlocked;  // the array is not shared yet
    fastest_kernels().schedule_values(schedule.spec, horizon, first, stop - first, out);
    return h;
}

}  // namespace

void bind_schedule(py::module_& m) {
    py::class_<Schedule, std::shared_ptr<Schedule>>(m, "Schedule")
        .def(py::init(&make_schedule), py::arg("kind"), py::kw_only(), py::arg("parameter") = 0.0,
             py::arg("cooldown") = CooldownShape::linear, py::arg("floor") = 0.0, py::arg("warmup_frac") = 0.0,
             py::arg("table") = std::vector<double>())
        .def("at", &schedule_at, py::arg("u"), py::arg("horizon"))
        .def("values", &schedule_values, py::arg("horizon"), py::arg("first"), py::arg("stop"));
}

}  // namespace anneal_sgd::bindings
