// Enumerations, Problems and Ensemble: what a call is made of.
#include <algorithm>

#include "../core/network.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

std::shared_ptr<Problems> make_problems(ProblemKind kind, NoiseKind noise, ProjectionKind projection,
                                        const Array& weight, const Array& shape_parameter, const Array& noise_std,
                                        const Array& lower, const Array& upper, const Array& radius, const Array& x0,
                                        const Array& minimum) {
    require(weight.ndim() == 2 && weight.shape(0) > 0 && weight.shape(1) > 0,
            "weight: shape must be (problems, dimension), both > 0");
    const std::int64_t n = weight.shape(0), d = weight.shape(1);
    require(d < (std::int64_t(1) << 24), "dimension: ", d, " is not below 2**24");
    auto p = std::make_shared<Problems>();
    p->arrays = {weight, shape_parameter, noise_std, lower, upper, radius, x0, minimum};
    ProblemSpec& spec = p->spec;
    spec.kind = kind;
    spec.noise = noise;
    spec.projection = projection;
    spec.count = n;
    spec.dimension = d;
    spec.weight = matrix_view(weight, n, d, "weight");
    spec.noise_std = matrix_view(noise_std, n, d, "noise_std");
    spec.lower = matrix_view(lower, n, d, "lower");
    spec.upper = matrix_view(upper, n, d, "upper");
    spec.x0 = matrix_view(x0, n, d, "x0");
    spec.shape_parameter = vector_view(shape_parameter, n, "shape_parameter");
    spec.radius = vector_view(radius, n, "radius");
    spec.minimum = vector_view(minimum, n, "minimum");
    return p;
}

// Rows as DataView wants them, their targets, and their weights or None.
DataView data_view(const py::object& data, const NetworkLayout& layout, Precision precision, const char* name,
                   std::vector<py::array>& owners) {
    if (data.is_none()) return {};
    const auto [features, targets, row_weights] = data.cast<std::tuple<py::array, py::array, py::object>>();
    require(has_precision(features, precision) && has_precision(targets, precision), name,
            ": dtype must be that of the precision");
    require(features.ndim() == 2 && features.shape(0) > 0 && features.shape(1) == layout.row[0], name,
            ": shape must be (rows, ", layout.row[0], ")");
    require(targets.ndim() == 1 && targets.shape(0) == features.shape(0), name, ": one target for each row");
    const auto lies_well = [](const py::array& a) { return (~a.flags() & (py::array::c_style | aligned)) == 0; };
    require(lies_well(features) && lies_well(targets), name, ": must be C-contiguous and aligned");
    require(reinterpret_cast<std::uintptr_t>(features.data()) % 64 == 0, name, ": must be aligned to 64 bytes");
    require(features.shape(0) < (std::int64_t(1) << 31), name, ": must have fewer than 2**31 rows");
    owners.push_back(features);
    owners.push_back(targets);
    DataView view{features.data(), targets.data(), nullptr, features.shape(0)};
    if (row_weights.is_none()) return view;
    const auto weights = row_weights.cast<py::array>();
    require(has_precision(weights, precision), name, ": weights must be of the precision's dtype");
    require(weights.ndim() == 1 && weights.shape(0) == view.rows && lies_well(weights), name,
            ": one weight for each row, C-contiguous and aligned");
    owners.push_back(weights);
    view.row_weights = weights.data();
    return view;
}

template <class T>
std::shared_ptr<T> given_or_none(const py::object& given) {
    return given.is_none() ? nullptr : given.cast<std::shared_ptr<T>>();
}

// Parts of a method's state, (single or not, first, count), that follow on one another in the metrics' program.
std::vector<TakenPart> taken_parts(const Integers& given, const Program* metrics, const Method* method,
                                   std::int64_t dimension) {
    require(given.ndim() == 2 && given.shape(1) == 3, "own_state: shape must be (parts, 3)");
    require(given.shape(0) == 0 || (metrics != nullptr && method != nullptr),
            "own_state: must go with own_metrics and a method");
    std::vector<TakenPart> parts;
    std::int64_t numbers = 0;
    for (std::int64_t k = 0; k < given.shape(0); ++k) {
        const bool single = given.at(k, 0) != 0;
        const std::int64_t first = given.at(k, 1), count = given.at(k, 2);
        const std::int64_t row = method->program->dimension, block = method->spec.block;
        const std::int64_t there = single ? method->spec.single_count : method->program->spec.state;
        const std::int64_t taken = !single && block > 0 ? row : count;  // in the method's code
        require(count >= 1 && first >= 0 && taken <= there && first <= there - taken, "own_state: part ", k,
                " is not among the ", there, " numbers of the method's state");
        require(!single || count == 1, "own_state: part ", k, " is one number");
        require(single || block == 0 || (first % row == 0 && count == dimension), "own_state: part ", k,
                " is not one of the method's");
        parts.push_back({single, std::int32_t(first), std::int32_t(count)});
        numbers += count;
    }
    require(metrics == nullptr || metrics->spec.state == numbers, "own_state: ", numbers,
            " numbers are not those that own_metrics take");
    return parts;
}

// `problems`: for each (train, test or None, l2, radius, minimum, x0 or None), train and test as
// (features, targets, weights or None).
std::shared_ptr<Problems> make_data_problems(Loss loss, Activation activation, Sampling sampling, bool intercept,
                                             const std::vector<std::int64_t>& sizes, std::int64_t batch_size,
                                             ProjectionKind projection, Precision precision, const py::list& problems,
                                             const py::object& given_loss, const py::object& given_metrics,
                                             const py::object& given_method, const Integers& own_state) {
    const auto own_loss = given_or_none<Program>(given_loss), own_metrics = given_or_none<Program>(given_metrics);
    const auto method = given_or_none<Method>(given_method);
    require(sizes.size() >= 2 && sizes.size() <= std::size_t(max_layers) + 1,
            "sizes: inputs, up to two hidden layers, outputs");
    for (const std::int64_t size : sizes)
        require(size >= 1 && size < (std::int64_t(1) << 24), "sizes: every one must be in 1 .. 2**24 - 1");
    require(batch_size >= 1 && batch_size < (std::int64_t(1) << 24), "batch_size: must be in 1 .. 2**24 - 1");
    require(projection == ProjectionKind::none || projection == ProjectionKind::ball,
            "projection: must be none or ball");
    const bool one_output = sizes.back() == 1;
    require(one_output == has_one_output(loss), "sizes: outputs must be ", one_output ? "several" : "one",
            " with this loss");
    require(!problems.empty(), "problems: at least one is needed");
    require((loss == Loss::own) == (own_loss != nullptr), "own_loss: must be given with loss own, and with no other");
    require(own_loss == nullptr ||
                (own_loss->dimension == loss_arguments && own_loss->spec.parameter_count == 0 &&
                 own_loss->spec.draw_rows == 0 && own_loss->spec.first_constant(loss_arguments) == loss_arguments),
            "own_loss: must be a program of output and target alone");
    auto p = std::make_shared<Problems>();
    p->precision = precision;
    p->network.loss = loss;
    p->network.activation = activation;
    p->network.sampling = sampling;
    p->network.intercept = intercept;
    p->network.layers = int(sizes.size()) - 1;
    p->network.batch_size = batch_size;
    if (own_loss != nullptr) p->network.own_loss = &own_loss->spec;
    if (own_metrics != nullptr) p->network.own_metrics = &own_metrics->spec;
    p->programs = {own_loss, own_metrics};
    std::copy(sizes.begin(), sizes.end(), p->network.sizes);
    const NetworkLayout layout = network_layout(p->network);
    std::int64_t dimension = 0;
    for (int k = 0; k < layout.layers; ++k) dimension += layout.units[k] * (layout.inputs[k] + (intercept ? 1 : 0));
    require(dimension < (std::int64_t(1) << 24), "sizes: ", dimension, " coordinates are not below 2**24");
    require(own_metrics == nullptr || (own_metrics->dimension == dimension && own_metrics->spec.parameter_count == 0 &&
                                       own_metrics->spec.draw_rows == 0 && own_metrics->spec.step_numbers == 0),
            "own_metrics: must be a program of the ", dimension, " coordinates alone");
    if (method != nullptr) {
        require(method->spec.block > 0 ? method->constants.shape(1) == dimension
                                       : method->program->dimension == padded_row(dimension),
                "method: must be of the ", dimension, " coordinates");
        p->method = method;
        p->network.method = &method->spec;
    }
    p->taken = taken_parts(own_state, own_metrics.get(), method.get(), dimension);
    p->network.taken = p->taken.data();
    p->network.taken_count = std::int64_t(p->taken.size());
    for (const py::handle item : problems) {
        const auto fields = item.cast<py::tuple>();
        require(fields.size() == 6, "problems: each must be (train, test, l2, radius, minimum, x0)");
        DataProblem data{};
        data.train = data_view(fields[0], layout, precision, "train", p->data_arrays);
        require(data.train.rows > 0, "train: must be given");
        data.test = data_view(fields[1], layout, precision, "test", p->data_arrays);
        data.l2 = fields[2].cast<double>();
        data.radius = fields[3].cast<double>();
        data.minimum = fields[4].cast<double>();
        if (!fields[5].is_none()) {
            const auto x0 = Reals(fields[5]);
            require(x0.ndim() == 1 && x0.shape(0) == dimension, "x0: shape must be (", dimension, ",)");
            p->data_arrays.push_back(x0);
            data.x0 = x0.data();
        }
        p->data.push_back(data);
    }
    p->spec.network = &p->network;
    p->spec.data = p->data.data();
    p->spec.projection = projection;
    p->spec.count = std::int64_t(p->data.size());
    p->spec.dimension = dimension;
    return p;
}

void check_metrics(const EnsembleSpec& e) {
    require(e.metric_count >= 1, "metrics: at least one is needed");
    for (std::int64_t m = 0; m < e.metric_count; ++m)
        for (std::int64_t other = 0; other < m; ++other)
            require(e.metrics[m] != e.metrics[other] || e.metrics[m] == Metric::own,
                    "metrics: each must be named once");
    const auto all_of = [&](auto... allowed) {
        return std::all_of(e.metrics, e.metrics + e.metric_count, [&](Metric m) { return ((m == allowed) || ...); });
    };
    const auto count_of = [&](Metric m) { return std::count(e.metrics, e.metrics + e.metric_count, m); };
    if (e.problems.program != nullptr) {
        require(all_of(Metric::suboptimality, Metric::value, Metric::own),
                "metrics: suboptimality, value and own, for a program");
        require(count_of(Metric::own) == e.problems.program->own_count, "metrics: ", e.problems.program->own_count,
                " must be own, as many as the program has");
        return;
    }
    require(count_of(Metric::value) == 0, "metrics: value is of programs only");
    const ProgramSpec* const own = e.problems.network != nullptr ? e.problems.network->own_metrics : nullptr;
    const std::int64_t own_count = own != nullptr ? own->own_count : 0;
    require(count_of(Metric::own) == own_count, "metrics: ", own_count, " must be own, as many as the problems have");
    if (e.problems.network == nullptr) {
        require(e.metric_count == 1 && e.metrics[0] == Metric::suboptimality,
                "metrics: only suboptimality, for a separable problem");
        return;
    }
    for (std::int64_t p = 0; p < e.problems.count; ++p)
        require(!records_test(e) || e.problems.data[p].test.rows > 0, "metrics: test metrics need a test set");
    require(e.problems.network->loss != Loss::own || count_of(Metric::test_accuracy) == 0,
            "metrics: test_accuracy is for losses of labels, not for own");
}

// How many registers its method has for numbers that follow schedules, and for 1 minus each.
std::int64_t step_numbers_of(const ProblemSpec& p) {
    if (p.network != nullptr) return p.network->method != nullptr ? p.network->method->step_numbers : 0;
    return p.program != nullptr && p.program->step_numbers > 0 ? p.program->step_numbers - 2 : 0;
}

// The options that are one number: attributes of Python's `Spec` by the same names.
void take_options(EnsembleSpec& e, const py::object& spec) {
    const auto take = [&](const char* name, auto& value) {
        value = py::getattr(spec, name).template cast<std::decay_t<decltype(value)>>();
    };
    take("horizon", e.horizon);
    take("tail_frac", e.tail_frac);
    take("ema_decay", e.ema_decay);
    take("average_degree", e.average_degree);
    take("common_random_numbers", e.common_random_numbers);
    take("momentum", e.momentum);
    take("nesterov", e.nesterov);
    take("weight_decay", e.weight_decay);
}

std::shared_ptr<Ensemble> make_ensemble(std::shared_ptr<Problems> problems,
                                        std::vector<std::shared_ptr<Schedule>> schedules, const Integers& record_at,
                                        std::vector<Metric> metrics, Iterate iterate, Precision precision,
                                        const py::object& options, const Reals& number_ends) {
    auto ensemble = std::make_shared<Ensemble>();
    EnsembleSpec& e = ensemble->spec;
    take_options(e, options);
    e.iterate = iterate;
    e.precision = precision;
    require(number_ends.ndim() == 2 && number_ends.shape(1) == 2, "number_ends: shape must be (numbers, 2)");
    e.number_count = number_ends.shape(0);
    require(std::int64_t(schedules.size()) > e.number_count, "schedules: at least one is needed, besides ",
            e.number_count, " of numbers");
    require(e.horizon >= 1 && e.horizon < (std::int64_t(1) << 32), "horizon: ", e.horizon, " is not in 1 .. 2**32 - 1");
    require(record_at.ndim() == 1 && record_at.size() > 0, "record_at: must be one-dimensional, and not empty");
    ensemble->problems = std::move(problems);
    ensemble->owners = std::move(schedules);
    for (const auto& s : ensemble->owners) {
        require(s != nullptr, "schedules: None is no schedule");
        ensemble->schedules.push_back(s->spec);
    }
    ensemble->record_at.assign(record_at.data(), record_at.data() + record_at.size());
    ensemble->metrics = std::move(metrics);
    e.problems = ensemble->problems->spec;
    e.schedules = ensemble->schedules.data();
    e.schedule_count = std::int64_t(ensemble->schedules.size()) - e.number_count;
    ensemble->number_ends.assign(number_ends.data(), number_ends.data() + number_ends.size());
    e.number_ends = ensemble->number_ends.data();
    require(step_numbers_of(e.problems) <= 2 * e.number_count && e.number_count <= most_step_numbers,
            "number_ends: ", e.number_count, " numbers are not those that the method takes, at most ",
            most_step_numbers);
    e.record_at = ensemble->record_at.data();
    e.record_count = std::int64_t(ensemble->record_at.size());
    e.metrics = ensemble->metrics.data();
    e.metric_count = std::int64_t(ensemble->metrics.size());
    require(e.record_at[0] >= 0 && e.record_at[e.record_count - 1] <= e.horizon,
            "record_at: steps must be in 0 .. horizon");
    for (std::int64_t i = 1; i < e.record_count; ++i)
        require(e.record_at[i - 1] < e.record_at[i], "record_at: steps must increase");
    require(e.tail_frac > 0 && e.tail_frac <= 1, "tail_frac: ", e.tail_frac, " is not in (0, 1]");
    require(e.ema_decay >= 0 && e.ema_decay < 1, "ema_decay: ", e.ema_decay, " is not in [0, 1)");
    require(e.average_degree >= 0 && e.average_degree <= __DBL_MAX__, "average_degree: ", e.average_degree,
            " is not finite and >= 0");
    check_metrics(e);
    require(e.momentum >= 0 && e.momentum < 1, "momentum: ", e.momentum, " is not in [0, 1)");
    require(e.weight_decay >= 0, "weight_decay: ", e.weight_decay, " is not >= 0");
    require(e.problems.network != nullptr || (e.momentum == 0 && e.weight_decay == 0),
            "momentum, weight_decay: for problems on data only");
    require(e.problems.network == nullptr || e.problems.network->method == nullptr ||
                (e.momentum == 0 && e.weight_decay == 0),
            "momentum, weight_decay: must be 0 with a method");
    require(e.problems.network == nullptr || ensemble->problems->precision == e.precision,
            "precision: must be that of the data");
    return ensemble;
}

template <class Enum>
void bind_kinds(py::module_& m) {
    py::native_enum<Enum> bound(m, KindNames<Enum>::enumeration, "enum.Enum");
    for (int value = 0; value < kind_count<Enum>; ++value) bound.value(KindNames<Enum>::kinds[value], Enum(value));
    bound.finalize();
}

}  // namespace

void bind_spec(py::module_& m) {
#define ASGD_NOTHING(name)
#define ASGD_BIND_KINDS(Name, kinds) bind_kinds<Name>(m);
    ASGD_KINDS(ASGD_BIND_KINDS, ASGD_NOTHING)
#undef ASGD_BIND_KINDS
#undef ASGD_NOTHING
    py::class_<Problems, std::shared_ptr<Problems>>(m, "Problems")
        .def(py::init(&make_problems), py::kw_only(), py::arg("kind"), py::arg("noise"), py::arg("projection"),
             py::arg("weight"), py::arg("shape_parameter"), py::arg("noise_std"), py::arg("lower"), py::arg("upper"),
             py::arg("radius"), py::arg("x0"), py::arg("minimum"))
        .def(py::init(&make_data_problems), py::kw_only(), py::arg("loss"), py::arg("activation"), py::arg("sampling"),
             py::arg("intercept"), py::arg("sizes"), py::arg("batch_size"), py::arg("projection"), py::arg("precision"),
             py::arg("problems"), py::arg("own_loss") = py::none(), py::arg("own_metrics") = py::none(),
             py::arg("method") = py::none(), py::arg("own_state") = Integers(std::vector<py::ssize_t>{0, 3}))
        .def(py::init(&make_program_problems), py::kw_only(), py::arg("program").none(false), py::arg("projection"),
             py::arg("parameters"), py::arg("lower"), py::arg("upper"), py::arg("radius"), py::arg("x0"),
             py::arg("minimum"))
        .def_property_readonly("count", [](const Problems& p) { return p.spec.count; })
        .def_property_readonly("dimension", [](const Problems& p) { return p.spec.dimension; });
    py::class_<Ensemble, std::shared_ptr<Ensemble>>(m, "Ensemble")
        .def(py::init(&make_ensemble), py::kw_only(), py::arg("problems").none(false), py::arg("schedules"),
             py::arg("record_at"), py::arg("metrics"), py::arg("iterate"), py::arg("precision"), py::arg("options"),
             py::arg("number_ends") = Reals(std::vector<py::ssize_t>{0, 2}));
}

}  // namespace anneal_sgd::bindings
