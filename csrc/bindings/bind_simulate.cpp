// Moments and the one call that computes.
#include "../cuda/launcher.hpp"
#include "../engine/simulate.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

constexpr std::int64_t replicate_count = std::int64_t(1) << 32;

// A tree and the shape of its cells.
struct Moments {
    MomentTree tree;
    std::int64_t configs, records;
};

template <class T>
py::array_t<T> field(const Moments& m, T Moment::* member) {
    py::array_t<T> out({py::ssize_t(m.tree.nodes().size()), py::ssize_t(m.configs), py::ssize_t(m.records)});
    T* p = out.mutable_data();
    for (const auto& [start, node] : m.tree.nodes())
        for (const Moment& cell : node.cells) *p++ = cell.*member;
    return out;
}

Integers ranges(const Moments& m) {
    Integers out({py::ssize_t(m.tree.nodes().size()), py::ssize_t(2)});
    std::int64_t* p = out.mutable_data();
    for (const auto& [start, node] : m.tree.nodes()) {
        *p++ = start;
        *p++ = node.stop;
    }
    return out;
}

std::shared_ptr<Moments> make_moments(const Integers& ranges, const Integers& count, const Integers& diverged,
                                      const Reals& mean, const Reals& m2, const Reals& minimum, const Reals& maximum) {
    require(ranges.ndim() == 2 && ranges.shape(1) == 2, "ranges: shape must be (nodes, 2)");
    require(count.ndim() == 3 && count.shape(0) == ranges.shape(0), "count: shape must be (nodes, configs, records)");
    for (const py::array& other :
         {py::array(diverged), py::array(mean), py::array(m2), py::array(minimum), py::array(maximum)}) {
        bool same = other.ndim() == 3;
        for (int axis = 0; same && axis < 3; ++axis) same = other.shape(axis) == count.shape(axis);
        require(same, "diverged, mean, m2, minimum, maximum: shapes must be that of count");
    }
    auto m = std::make_shared<Moments>();
    m->configs = count.shape(1);
    m->records = count.shape(2);
    const std::int64_t cells = m->configs * m->records;
    for (py::ssize_t node = 0; node < ranges.shape(0); ++node) {
        const std::int64_t start = ranges.at(node, 0), stop = ranges.at(node, 1);
        require(0 <= start && start < stop && stop <= replicate_count,
                "ranges: every start must be >= 0 and below its stop, which is at most 2**32");
        MomentTree::Cells moments(static_cast<std::size_t>(cells));
        for (std::int64_t i = 0; i < cells; ++i) {
            const std::int64_t at = node * cells + i, counted = count.data()[at];
            require(counted >= 0 && counted <= stop - start && diverged.data()[at] >= 0 &&
                        diverged.data()[at] <= stop - start - counted,
                    "count, diverged: must be >= 0, and together at most the replicates of their range");
            moments[std::size_t(i)] = {counted,       diverged.data()[at], mean.data()[at],
                                       m2.data()[at], minimum.data()[at],  maximum.data()[at]};
        }
        m->tree.insert(start, stop, std::move(moments));
    }
    return m;
}

std::shared_ptr<Moments> merged(const Moments& a, const Moments& b) {
    require(a.configs == b.configs && a.records == b.records,
            "other: its configs and records must be those of this one");
    auto m = std::make_shared<Moments>(a);
    for (const auto& [start, node] : b.tree.nodes()) m->tree.insert(start, node.stop, node.cells);
    return m;
}

std::shared_ptr<Moments> total(const Moments& m) {
    auto t = std::make_shared<Moments>();
    t->configs = m.configs;
    t->records = m.records;
    const auto& nodes = m.tree.nodes();
    if (!nodes.empty()) t->tree.insert(nodes.begin()->first, nodes.rbegin()->second.stop, m.tree.total());
    return t;
}

// Whether any trajectory did, told without making arrays.
bool any_diverged(const Moments& m) {
    for (const auto& [start, node] : m.tree.nodes())
        for (const Moment& cell : node.cells)
            if (cell.diverged > 0) return true;
    return false;
}

void* sample_memory(const std::optional<py::array>& samples, const EnsembleSpec& e, std::int64_t replicates) {
    if (!samples) return nullptr;
    require(has_precision(*samples, e.precision), "samples: dtype must be ",
            KindNames<Precision>::kinds[int(e.precision)]);
    require((samples->flags() & py::array::c_style) != 0 && samples->writeable(),
            "samples: must be C-contiguous and writable");
    require(samples->size() == config_count(e) * values_recorded(e) * replicates,
            "samples: size must be configs x records x metrics x replicates");
    return const_cast<void*>(samples->data());
}

void* iterate_memory(const std::optional<py::array>& iterates, const EnsembleSpec& e, std::int64_t replicates) {
    if (!iterates) return nullptr;
    require(has_precision(*iterates, e.precision) && (iterates->flags() & py::array::c_style) != 0 &&
                iterates->writeable() && iterates->size() == config_count(e) * e.problems.dimension * replicates,
            "iterates: must be C-contiguous and writable, of the precision, configs x coordinates x replicates");
    return const_cast<void*>(iterates->data());
}

std::int64_t* count_memory(const std::optional<py::array>& counts, const EnsembleSpec& e) {
    if (!counts) return nullptr;
    require(py::isinstance<Integers>(*counts) && (counts->flags() & aligned) != 0 && counts->writeable() &&
                counts->size() == config_count(e) * values_recorded(e) * exceedance_bins,
            "exceedance: must be C-contiguous, aligned and writable int64, configs x records x metrics x bins");
    return static_cast<std::int64_t*>(const_cast<void*>(counts->data()));
}

bool finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

void check_run(std::int64_t first_replicate, std::int64_t replicates, int threads) {
    require(first_replicate >= 0 && replicates >= 1 && replicates <= replicate_count - first_replicate,
            "replicates: first_replicate .. first_replicate + replicates - 1 must lie in 0 .. 2**32 - 1");
    require(threads >= 1, "threads: ", threads, " is not >= 1");
}

// That it has what the method has, and finds the state where coordinates lie.
void check_method_code(const MethodCodeHandle& made, const ProblemSpec& problems) {
    require(problems.network != nullptr && problems.network->method != nullptr, "method_code: is for methods on data");
    const MethodSpec& method = *problems.network->method;
    bool same = std::int64_t(made.points.size()) == method.evaluations;
    for (int k = 0; same && k < method.evaluations; ++k)
        same = method.points[k].elsewhere == (made.points[std::size_t(k)] != nullptr);
    require(same, "method_code: points must be those of the method");
    require(made.constants.shape(0) == 0 || made.constants.shape(1) == problems.dimension,
            "method_code: constants must be of ", problems.dimension, " coordinates");
    require(method.block == 0 || made.constants.shape(0) == method.constant_count,
            "method_code: constants must be those of the method, whose code takes blocks");
    const ProgramSpec& program = *method.program;
    const std::int64_t row = program.draws[0].count, part = method.block > 0 ? method.block : problems.dimension;
    bool whole = program.state % row == 0;
    for (std::int64_t k = 0; whole && k < program.state_start_result_count; ++k)
        whole = program.state_start_results[k].first % row == 0 && program.state_start_results[k].count == part;
    require(whole, "method_code: is for a state whose parts have a number for every coordinate");
}

constexpr double unchecked_bytes = 1 << 24;  // fewer are taken without asking how much there is

std::shared_ptr<Moments> simulate_ensemble(
    const Ensemble& ensemble, const Reals& base_lr, std::uint64_t seed, std::int64_t first_replicate,
    std::int64_t replicates, const std::string& isa, int threads, const std::optional<py::function>& check_memory,
    const std::optional<py::array>& samples, const std::optional<py::function>& poll,
    const std::vector<std::shared_ptr<DeviceHandle>>& devices, std::uintptr_t device_samples,
    std::int64_t steps_per_launch, std::int64_t rows_per_launch, const std::optional<py::array>& iterates,
    const std::optional<py::array>& exceedance, const std::optional<std::shared_ptr<MachineCodeHandle>>& machine_code,
    const std::optional<std::shared_ptr<StepsCodeHandle>>& steps_code,
    const std::optional<std::shared_ptr<MethodCodeHandle>>& method_code) {
    check_run(first_replicate, replicates, threads);
    require(base_lr.ndim() == 1 && base_lr.size() > 0, "base_lr: must be one-dimensional, and at least one is needed");
    EnsembleSpec spec = ensemble.spec;
    spec.seed = seed;
    spec.base_lr = base_lr.data();
    spec.base_lr_count = base_lr.size();
    require(spec.common_random_numbers || config_count(spec) < (std::int64_t(1) << 32),
            "common_random_numbers: independent streams are for fewer than 2**32 configs");
    spec.keep_iterates = iterates.has_value();
    if (machine_code) {
        require(spec.problems.program != nullptr, "machine_code: is for programs");
        spec.machine_code = (*machine_code)->code;
    }
    if (method_code) {
        check_method_code(**method_code, spec.problems);
        spec.method_code = (*method_code)->code;
    }
    if (steps_code) {
        require(spec.problems.program != nullptr, "steps_code: is for programs");
        const int log2_team = cuda::log2_team_of_program(*spec.problems.program, spec.problems.dimension);
        require((*steps_code)->code.log2_team == log2_team, "steps_code: log2_team must be ", log2_team);
        spec.steps_code = &(*steps_code)->code;
    }
    std::vector<cuda::Device*> on_devices;
    for (const auto& device : devices) {
        require(device != nullptr, "devices: None is no device");
        on_devices.push_back(device->device.get());
    }
    const RunOptions options{first_replicate,
                             replicates,
                             isa,
                             threads,
                             sample_memory(samples, spec, replicates),
                             [&](double fraction_done) {
                                 // A daemon thread may outlive the interpreter: then there is no GIL to be had, and
                                 // asking for it would unwind this thread from under its workers.
                                 if (finalizing()) return;
                                 const py::gil_scoped_acquire locked;
                                 if (PyErr_CheckSignals() != 0) throw py::error_already_set();
                                 if (poll) (*poll)(fraction_done);
                             },
                             iterate_memory(iterates, spec, replicates),
                             count_memory(exceedance, spec),
                             std::move(on_devices),
                             reinterpret_cast<void*>(device_samples),
                             steps_per_launch,
                             rows_per_launch};
    if (check_memory) {
        const double needed = memory_needed(spec, options);
        if (needed > unchecked_bytes) (*check_memory)(needed);
    }
    auto m = std::make_shared<Moments>();
    m->configs = config_count(spec);
    m->records = values_recorded(spec);
    // The caller's references keep the ensemble and the arrays alive, and everything else read is ours.
    const py::gil_scoped_release unlocked;
    m->tree = simulate(spec, options);
    return m;
}

}  // namespace

void bind_simulate(py::module_& m) {
    py::class_<DeviceHandle, std::shared_ptr<DeviceHandle>>(m, "Device")
        .def("follow", [](DeviceHandle& d, std::uintptr_t stream) { d.device->follow(stream); }, py::arg("stream"));
    py::class_<Moments, std::shared_ptr<Moments>>(m, "Moments")
        .def(py::init(&make_moments), py::kw_only(), py::arg("ranges"), py::arg("count"), py::arg("diverged"),
             py::arg("mean"), py::arg("m2"), py::arg("minimum"), py::arg("maximum"))
        .def_property_readonly("ranges", &ranges)
        .def_property_readonly("count", [](const Moments& a) { return field(a, &Moment::count); })
        .def_property_readonly("diverged", [](const Moments& a) { return field(a, &Moment::diverged); })
        .def_property_readonly("mean", [](const Moments& a) { return field(a, &Moment::mean); })
        .def_property_readonly("m2", [](const Moments& a) { return field(a, &Moment::m2); })
        .def_property_readonly("minimum", [](const Moments& a) { return field(a, &Moment::minimum); })
        .def_property_readonly("maximum", [](const Moments& a) { return field(a, &Moment::maximum); })
        .def_property_readonly("any_diverged", &any_diverged)
        .def("merged", &merged, py::arg("other"))
        .def("total", &total);
    m.def("simulate", &simulate_ensemble, py::arg("ensemble").none(false), py::arg("base_lr"), py::arg("seed"),
          py::arg("first_replicate"), py::arg("replicates"), py::arg("isa"), py::arg("threads"),
          py::arg("check_memory") = py::none(), py::kw_only(), py::arg("samples") = py::none(),
          py::arg("poll") = py::none(), py::arg("devices") = py::tuple(), py::arg("device_samples") = 0,
          py::arg("steps_per_launch") = 0, py::arg("rows_per_launch") = 0, py::arg("iterates") = py::none(),
          py::arg("exceedance") = py::none(), py::arg("machine_code") = py::none(), py::arg("steps_code") = py::none(),
          py::arg("method_code") = py::none());
    m.attr("EXCEEDANCE_BINS") = exceedance_bins;
}

}  // namespace anneal_sgd::bindings
