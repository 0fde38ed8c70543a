// Schedule: parameters of one schedule, and its values. The values come from the kernels that simulations use.
#include "../cpu/backend_cpu.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

std::shared_ptr<Schedule> make_schedule(ScheduleKind kind, double parameter, double timescale_frac,
                                        CooldownShape cooldown, double floor, double warmup_frac, Reals table) {
    require(table.ndim() == 1, "table: must be one-dimensional");
    require(kind != ScheduleKind::tabulated || table.size() >= 2,
            "table: a tabulated schedule needs at least 2 values");
    require(kind != ScheduleKind::knots || (table.size() >= 4 && table.size() % 2 == 0),
            "table: knots need at least 2 fractions, and as many values");
    require(kind != ScheduleKind::per_step || table.size() >= 1, "table: a value per step is needed");
    auto s = std::make_shared<Schedule>();
    s->table = std::move(table);
    s->spec = {kind,        cooldown,        parameter,       timescale_frac, floor,
               warmup_frac, s->table.data(), s->table.size(), nullptr,        0};
    return s;
}

std::shared_ptr<Piece> make_piece(std::shared_ptr<Schedule> shape, double begin, double from, double length,
                                  double runs, double stride, double scale, bool reversed) {
    require(shape->pieces.empty(), "shape: must be without pieces of its own");
    require(length > 0, "length: ", length, " is not > 0");
    require(runs >= 1, "runs: ", runs, " is not >= 1");
    auto p = std::make_shared<Piece>();
    p->spec = {shape->spec, begin, from, length, runs, stride, scale, reversed};
    p->shape = std::move(shape);
    return p;
}

std::shared_ptr<Schedule> join(const std::vector<std::shared_ptr<Piece>>& pieces) {
    require(!pieces.empty(), "pieces: at least one is needed");
    auto s = std::make_shared<Schedule>();
    for (const auto& p : pieces) {
        require(s->pieces.empty() || s->pieces.back().begin < p->spec.begin, "pieces: must begin one after the other");
        s->shapes.push_back(p->shape);
        s->pieces.push_back(p->spec);
    }
    s->spec.pieces = s->pieces.data();
    s->spec.piece_count = std::int64_t(s->pieces.size());
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
    py::class_<Piece, std::shared_ptr<Piece>> piece(m, "SchedulePiece");
    py::class_<Schedule, std::shared_ptr<Schedule>>(m, "Schedule")
        .def(py::init(&make_schedule), py::arg("kind"), py::kw_only(), py::arg("parameter") = 0.0,
             py::arg("timescale_frac") = 0.0, py::arg("cooldown") = CooldownShape::linear, py::arg("floor") = 0.0,
             py::arg("warmup_frac") = 0.0, py::arg("table") = Reals(0))
        .def(py::init(&join), py::kw_only(), py::arg("pieces"))
        .def("at", &schedule_at, py::arg("u"), py::arg("horizon"))
        .def("values", &schedule_values, py::arg("horizon"), py::arg("first"), py::arg("stop"));
    piece.def(py::init(&make_piece), py::arg("shape").none(false), py::kw_only(), py::arg("begin"), py::arg("start"),
              py::arg("length"), py::arg("runs") = 1.0, py::arg("stride") = 0.0, py::arg("scale") = 1.0,
              py::arg("reversed") = false);
}

}  // namespace anneal_sgd::bindings
