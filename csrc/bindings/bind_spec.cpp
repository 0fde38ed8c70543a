// Enumerations, Problems and Ensemble: what a call is made of.
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

std::shared_ptr<Problems> make_problems(ProblemKind kind, NoiseKind noise, ProjectionKind projection,
                                        const Array& weight, const Array& huber_width, const Array& noise_std,
                                        const Array& lower, const Array& upper, const Array& radius, const Array& x0,
                                        const Array& minimum) {
    require(weight.ndim() == 2 && weight.shape(0) > 0 && weight.shape(1) > 0,
            "weight: shape must be (problems, dimension), both > 0");
    const std::int64_t n = weight.shape(0), d = weight.shape(1);
    require(d < (std::int64_t(1) << 24), "dimension: " + std::to_string(d) + " is not below 2**24");
    auto p = std::make_shared<Problems>();
    p->arrays = {weight, huber_width, noise_std, lower, upper, radius, x0, minimum};
    p->spec = {kind,
               noise,
               projection,
               n,
               d,
               matrix_view(weight, n, d, "weight"),
               matrix_view(noise_std, n, d, "noise_std"),
               matrix_view(lower, n, d, "lower"),
               matrix_view(upper, n, d, "upper"),
               matrix_view(x0, n, d, "x0"),
               vector_view(huber_width, n, "huber_width"),
               vector_view(radius, n, "radius"),
               vector_view(minimum, n, "minimum")};
    return p;
}

std::shared_ptr<Ensemble> make_ensemble(std::shared_ptr<Problems> problems,
                                        std::vector<std::shared_ptr<Schedule>> schedules, std::vector<double> base_lr,
                                        std::int64_t horizon, std::vector<std::int64_t> record_at, Iterate iterate,
                                        double tail_frac, bool common_random_numbers, Precision precision,
                                        std::uint64_t seed) {
    require(!schedules.empty(), "schedules: at least one is needed");
    require(!base_lr.empty(), "base_lr: at least one is needed");
    require(horizon >= 1 && horizon < (std::int64_t(1) << 32),
            "horizon: " + std::to_string(horizon) + " is not in 1 .. 2**32 - 1");
    require(!record_at.empty() && record_at.front() >= 0 && record_at.back() <= horizon,
            "record_at: steps must be in 0 .. horizon");
    for (std::size_t i = 1; i < record_at.size(); ++i)
        require(record_at[i - 1] < record_at[i], "record_at: steps must increase");
    require(tail_frac > 0 && tail_frac <= 1, "tail_frac: " + std::to_string(tail_frac) + " is not in (0, 1]");
    auto e = std::make_shared<Ensemble>();
    e->problems = std::move(problems);
    e->owners = std::move(schedules);
    for (const auto& s : e->owners) e->schedules.push_back(s->spec);
    e->base_lr = std::move(base_lr);
    e->record_at = std::move(record_at);
    e->spec = {e->problems->spec,
               e->schedules.data(),
               e->base_lr.data(),
               e->record_at.data(),
               std::int64_t(e->schedules.size()),
               std::int64_t(e->base_lr.size()),
               std::int64_t(e->record_at.size()),
               horizon,
               iterate,
               tail_frac,
               common_random_numbers,
               precision,
               seed};
    require(common_random_numbers ||
                e->spec.problems.count * e->spec.schedule_count * e->spec.base_lr_count < (std::int64_t(1) << 32),
            "common_random_numbers: independent streams are for fewer than 2**32 configs");
    return e;
}

}  // namespace

void bind_spec(py::module_& m) {
    py::native_enum<ProblemKind>(m, "ProblemKind", "enum.Enum")
        .value("absolute_value", ProblemKind::absolute_value)
        .value("quadratic", ProblemKind::quadratic)
        .value("huber", ProblemKind::huber)
        .finalize();
    py::native_enum<NoiseKind>(m, "NoiseKind", "enum.Enum")
        .value("none", NoiseKind::none)
        .value("rademacher", NoiseKind::rademacher)
        .value("gaussian", NoiseKind::gaussian)
        .value("uniform", NoiseKind::uniform)
        .finalize();
    py::native_enum<ProjectionKind>(m, "ProjectionKind", "enum.Enum")
        .value("none", ProjectionKind::none)
        .value("box", ProjectionKind::box)
        .value("ball", ProjectionKind::ball)
        .finalize();
    py::native_enum<Iterate>(m, "Iterate", "enum.Enum")
        .value("last", Iterate::last)
        .value("average", Iterate::average)
        .value("tail_average", Iterate::tail_average)
        .finalize();
    py::native_enum<Precision>(m, "Precision", "enum.Enum")
        .value("float32", Precision::float32)
        .value("float64", Precision::float64)
        .finalize();
    py::class_<Problems, std::shared_ptr<Problems>>(m, "Problems")
        .def(py::init(&make_problems), py::kw_only(), py::arg("kind"), py::arg("noise"), py::arg("projection"),
             py::arg("weight"), py::arg("huber_width"), py::arg("noise_std"), py::arg("lower"), py::arg("upper"),
             py::arg("radius"), py::arg("x0"), py::arg("minimum"))
        .def_property_readonly("count", [](const Problems& p) { return p.spec.count; })
        .def_property_readonly("dimension", [](const Problems& p) { return p.spec.dimension; });
    py::class_<Ensemble, std::shared_ptr<Ensemble>>(m, "Ensemble")
        .def(py::init(&make_ensemble), py::kw_only(), py::arg("problems"), py::arg("schedules"), py::arg("base_lr"),
             py::arg("horizon"), py::arg("record_at"), py::arg("iterate"), py::arg("tail_frac"),
             py::arg("common_random_numbers"), py::arg("precision"), py::arg("seed"));
}

}  // namespace anneal_sgd::bindings
