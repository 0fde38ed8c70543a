// _core.testing: pieces of the core per instruction set, so that tests can compare them.
#include <algorithm>
#include <chrono>

#include "../cpu/backend_cpu.hpp"
#include "bindings.hpp"

namespace anneal_sgd::bindings {
namespace {

py::array empty(Precision precision, std::vector<py::ssize_t> shape) {
    return py::array(dtype_of(precision), std::move(shape));
}

// float32 and float64 arrays as they are; anything else is refused rather than converted.
Precision precision_of(const py::array& x) {
    require((x.flags() & py::array::c_style) != 0, "array: must be C-contiguous");
    for (int value = 0; value < kind_count<Precision>; ++value)
        if (has_precision(x, Precision(value))) return Precision(value);
    throw std::invalid_argument("array: dtype must be float32 or float64");
}

py::array_t<std::uint32_t> philox(const std::string& isa,
                                  const py::array_t<std::uint32_t, py::array::c_style | py::array::forcecast>& counter,
                                  std::pair<std::uint32_t, std::uint32_t> key) {
    require(counter.ndim() == 2 && counter.shape(1) == 4, "counter: shape must be (n, 4)");
    py::array_t<std::uint32_t> words({counter.shape(0), py::ssize_t(4)});
    for (py::ssize_t i = 0; i < counter.shape(0); ++i)
        cpu::kernels(isa).philox(counter.data() + 4 * i, std::uint64_t(key.second) << 32 | key.first,
                                 words.mutable_data() + 4 * i);
    return words;
}

py::array draws(const std::string& isa, Precision precision, NoiseKind noise, std::uint64_t seed, std::uint32_t stream,
                std::int64_t first_replicate, std::int64_t replicates, std::uint32_t coordinate,
                std::int64_t first_step, std::int64_t steps) {
    require(replicates >= 0 && steps >= 0 && first_step >= 0 && first_replicate >= 0,
            "draws: counts and positions must be >= 0");
    py::array out = empty(precision, {steps, replicates});
    void* memory = const_cast<void*>(out.data());
    const Kernels& kernels = cpu::kernels(isa);
    const py::gil_scoped_release unlocked;  // the array is not shared yet
    kernels.draws(precision, noise, seed, stream, coordinate, first_replicate, replicates, first_step, steps, memory);
    return out;
}

void take_way(int way) {
    require(way >= 0 && way <= 2, "take_way: way must be 0, 1 or 2");
    cpu::take_way(way);
}

py::array minus_two_log(const std::string& isa, const py::array& u) {
    const Precision precision = precision_of(u);
    py::array out = empty(precision, {u.size()});
    cpu::kernels(isa).minus_two_log(precision, u.data(), u.size(), const_cast<void*>(out.data()));
    return out;
}

std::pair<py::array, py::array> sincos_octant(const std::string& isa, const py::array& t) {
    const Precision precision = precision_of(t);
    py::array sine = empty(precision, {t.size()}), cosine = empty(precision, {t.size()});
    cpu::kernels(isa).sincos_octant(precision, t.data(), t.size(), const_cast<void*>(sine.data()),
                                    const_cast<void*>(cosine.data()));
    return {sine, cosine};
}

Array log2(const std::string& isa, const Reals& x) {
    Array out(x.size());
    cpu::kernels(isa).log2(x.data(), x.size(), out.mutable_data());
    return out;
}

Array exp2(const std::string& isa, const Reals& x) {
    Array out(x.size());
    cpu::kernels(isa).exp2(x.data(), x.size(), out.mutable_data());
    return out;
}

py::array function(const std::string& isa, Function function, const py::array& x, const py::array& second) {
    const Precision precision = precision_of(x);
    const bool two = function == Function::maximum || function == Function::minimum;
    require(precision_of(second) == precision && second.size() == (two ? x.size() : 1),
            "second: must have the dtype of x and as many elements for maximum and minimum, else one");
    py::array out = empty(precision, {x.size()});
    cpu::kernels(isa).function(function, precision, x.data(), second.data(), x.size(), const_cast<void*>(out.data()));
    return out;
}

std::shared_ptr<DeviceHandle> emulated_device(int number, std::int64_t memory, int fail_at, int busy_for) {
    return std::make_shared<DeviceHandle>(DeviceHandle{cuda::emulated_device(number, memory, fail_at, busy_for)});
}

// Operations per second of the core that this runs on, of two sorts side by side; the fastest of some milliseconds'
// tries.
double core_rate(const std::string& isa, CoreWork first, CoreWork second, Precision precision, std::int64_t bytes) {
    using Clock = std::chrono::steady_clock;
    constexpr int tries = 20;
    constexpr double least_seconds = 1e-3;  // of a try
    constexpr std::int64_t least_bytes = 4096, alignment = 64;
    const auto goes_alone = [](CoreWork work) { return work == CoreWork::store || work == CoreWork::load; };
    require(first == second || !(goes_alone(first) || goes_alone(second)), "second: stores and loads go alone");
    require(bytes >= least_bytes && bytes <= std::int64_t(1) << 34, "bytes: ", bytes, " is not in 4096 .. 2**34");
    const Kernels& kernels = cpu::kernels(isa);
    std::vector<char> room(std::size_t(bytes + alignment), 0);
    void* memory = room.data() + (alignment - std::uintptr_t(room.data()) % alignment) % alignment;
    precision == Precision::float32 ? void(*static_cast<float*>(memory) = 1) : void(*static_cast<double*>(memory) = 1);
    double best = 0;
    for (std::int64_t turns = 1, kept = 0; kept < tries;) {
        const auto began = Clock::now();
        const std::int64_t operations = kernels.work(first, second, precision, turns, memory, bytes);
        const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
        if (seconds < least_seconds && kept == 0) {
            turns *= 2;
            continue;
        }
        ++kept;
        best = std::max(best, double(operations) / seconds);
    }
    return best;
}

}  // namespace

void bind_testing(py::module_& m) {
    py::module_ t = m.def_submodule("testing", "Parts of the core, exposed per instruction set for tests.");
    t.def("philox", &philox, py::arg("isa"), py::arg("counter"), py::arg("key"));
    t.def("draws", &draws, py::arg("isa"), py::arg("precision"), py::arg("noise"), py::kw_only(), py::arg("seed"),
          py::arg("stream"), py::arg("first_replicate"), py::arg("replicates"), py::arg("coordinate"),
          py::arg("first_step"), py::arg("steps"));
    t.def("take_way", &take_way, py::arg("way"));
    t.def("emulated_device", &emulated_device, py::kw_only(), py::arg("number") = 0,
          py::arg("memory") = std::int64_t(1) << 32, py::arg("fail_at") = 0, py::arg("busy_for") = 0);
    t.def("minus_two_log", &minus_two_log, py::arg("isa"), py::arg("u"));
    t.def("sincos_octant", &sincos_octant, py::arg("isa"), py::arg("t"));
    t.def("log2", &log2, py::arg("isa"), py::arg("x"));
    t.def("exp2", &exp2, py::arg("isa"), py::arg("x"));
    py::native_enum<Function>(t, "Function", "enum.Enum")
        .value("exponential", Function::exponential)
        .value("logarithm", Function::logarithm)
        .value("sine", Function::sine)
        .value("cosine", Function::cosine)
        .value("hyperbolic_tangent", Function::hyperbolic_tangent)
        .value("rint", Function::rint)
        .value("arctangent", Function::arctangent)
        .value("error_function", Function::error_function)
        .value("real_power", Function::real_power)
        .value("sign", Function::sign)
        .value("maximum", Function::maximum)
        .value("minimum", Function::minimum)
        .finalize();
    t.def("function", &function, py::arg("isa"), py::arg("function"), py::arg("x"), py::arg("second"));
    py::native_enum<CoreWork>(t, "CoreWork", "enum.Enum")
        .value("product", CoreWork::product)
        .value("word_product", CoreWork::word_product)
        .value("addition", CoreWork::addition)
        .value("maximum", CoreWork::maximum)
        .value("shift", CoreWork::shift)
        .value("logic", CoreWork::logic)
        .value("square_root", CoreWork::square_root)
        .value("store", CoreWork::store)
        .value("load", CoreWork::load)
        .finalize();
    t.def("core_rate", &core_rate, py::arg("isa"), py::arg("first"), py::arg("second"), py::arg("precision"),
          py::arg("bytes") = 4096, py::call_guard<py::gil_scoped_release>());
}

}  // namespace anneal_sgd::bindings
