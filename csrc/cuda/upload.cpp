#include "upload.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>

#include "../core/network.hpp"
#include "launcher.hpp"

namespace anneal_sgd::cuda {
namespace {

// f(address of an array of data, its bytes) for the arrays that the kernels read; some may come several times.
template <class F>
void for_each_array(const EnsembleSpec& e, F f) {
    if (e.problems.network == nullptr) return;
    const std::int64_t row = padded_row(e.problems.network->sizes[0]) * real_bytes(e);
    for (std::int64_t i = 0; i < e.problems.count; ++i) {
        const DataProblem& problem = e.problems.data[i];
        const auto view = [&](const DataView& v) {
            f(v.features, v.rows * row);
            f(v.targets, v.rows * real_bytes(e));
            if (v.row_weights != nullptr) f(v.row_weights, v.rows * real_bytes(e));
        };
        view(problem.train);
        if (records_test(e)) view(problem.test);
    }
}

std::vector<double> padded_constants(const MethodSpec& method, const NetworkSpec& network, std::int64_t dimension) {
    const NetworkLayout net = network_layout(network);
    std::vector<double> padded(std::size_t(method.constant_count * net.size));
    for (std::int64_t k = 0; k < method.constant_count; ++k)
        for_each_coordinate(net, [&](std::int64_t i, std::int64_t offset, int, bool) {
            padded[std::size_t(k * net.size + offset)] = method.constants[k * dimension + i];
        });
    return padded;
}

}  // namespace

double Upload::data_bytes(const EnsembleSpec& e) {
    std::map<const void*, std::int64_t> arrays;  // problems may share them
    for_each_array(e, [&](const void* data, std::int64_t bytes) { arrays[data] = bytes; });
    double sum = 0;
    for (const auto& [data, bytes] : arrays) sum += double(bytes);
    return sum;
}

Upload::Upload(Device& device, const EnsembleSpec& e) {
    EnsembleSpec spec = e;
    ProblemSpec& p = spec.problems;
    const bool on_data = p.network != nullptr;
    static const double lowest = -std::numeric_limits<double>::infinity();
    static const double highest = std::numeric_limits<double>::infinity();
    if (!on_data && !clamps(p.projection)) {  // the kernels clamp always
        p.lower = {&lowest, 0, 0};
        p.upper = {&highest, 0, 0};
    }
    std::vector<MatrixView*> matrices;
    std::vector<VectorView*> vectors;
    if (!on_data) {
        matrices = {&p.lower, &p.upper, &p.x0};
        vectors = {&p.radius, &p.minimum};
    }
    if (p.program != nullptr) {
        program = packed(*p.program, e);
    } else if (!on_data) {
        matrices.insert(matrices.end(), {&p.weight, &p.noise_std});
        vectors.push_back(&p.shape_parameter);
    }
    if (on_data && p.network->own_loss != nullptr) own_loss = packed(*p.network->own_loss, e);
    if (on_data && p.network->own_metrics != nullptr) own_metrics = packed(*p.network->own_metrics, e);
    if (on_data) taken = pack(p.network->taken, p.network->taken_count);
    std::vector<MethodPoint> points;  // of the method
    std::size_t points_at = 0;
    if (on_data && p.network->method != nullptr) {
        method = *p.network->method;
        points.assign(method.points, method.points + method.evaluations);
        ProgramSpec code = *method.program;
        code.parameter_count = 0;  // they are of a step, not of a problem
        method_program = packed(code, e, &points);
        points_at = offset_of(points.data(), points.size() * sizeof(MethodPoint));
        method.program = nullptr;
        method.singles = pack(method.singles, method.single_count);
        method.single_starts = pack(method.single_starts, method.single_count);
        const std::vector<double> padded = padded_constants(method, *p.network, p.dimension);
        method.constants = pack(padded.data(), std::int64_t(padded.size()));
    }
    for (MatrixView* m : matrices) pack(*m, p.count, p.dimension);
    for (VectorView* v : vectors) pack(*v, p.count);

    std::map<const void*, void*> arrays;
    for_each_array(e, [&](const void* data, std::int64_t bytes) {
        if (arrays.count(data) > 0) return;
        data_.push_back(std::make_unique<DeviceMemory>(device, bytes));
        arrays[data] = data_.back()->as<void>();
        device.upload(arrays[data], data, bytes);
    });
    std::vector<DataProblem> problems;
    if (on_data) problems.assign(e.problems.data, e.problems.data + p.count);
    std::vector<bool> given(problems.size());
    for (std::size_t i = 0; i < problems.size(); ++i) {
        DataProblem& problem = problems[i];
        given[i] = problem.x0 != nullptr;
        if (given[i]) problem.x0 = pack(problem.x0, p.dimension);
        for (DataView* v : {&problem.train, &problem.test}) {
            if (arrays.count(v->features) == 0) continue;
            v->features = arrays[v->features];
            v->targets = arrays[v->targets];
            if (v->row_weights != nullptr) v->row_weights = arrays[v->row_weights];
        }
    }

    std::vector<ScheduleSpec> schedules(e.schedules, e.schedules + e.schedule_count + e.number_count);
    std::vector<std::vector<SchedulePiece>> pieces;  // [schedule]
    std::vector<std::size_t> pieces_at;
    for (ScheduleSpec& s : schedules) {
        s.table = pack(s.table, s.table_size);
        pieces.emplace_back(s.pieces, s.pieces + s.piece_count);
        for (SchedulePiece& piece : pieces.back()) piece.shape.table = pack(piece.shape.table, piece.shape.table_size);
        pieces_at.push_back(offset_of(pieces.back().data(), pieces.back().size() * sizeof(SchedulePiece)));
    }
    spec.base_lr = pack(e.base_lr, e.base_lr_count);
    spec.record_at = pack(e.record_at, e.record_count);
    spec.metrics = pack(e.metrics, e.metric_count);
    spec.number_ends = pack(e.number_ends, 2 * e.number_count);
    const std::size_t schedules_at = offset_of(schedules.data(), schedules.size() * sizeof(ScheduleSpec));
    const std::size_t problems_at = offset_of(problems.data(), problems.size() * sizeof(DataProblem));
    memory_ = std::make_unique<DeviceMemory>(device, std::int64_t(bytes_.size()));

    // Offsets become addresses.
    const auto move = [&](auto*& pointer) {
        char* const address = memory_->as<char>() + reinterpret_cast<std::uintptr_t>(pointer);
        pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(address);
    };
    for (MatrixView* m : matrices) move(m->data);
    for (VectorView* v : vectors) move(v->data);
    move(spec.base_lr);
    move(spec.record_at);
    move(spec.metrics);
    move(spec.number_ends);
    for (std::size_t i = 0; i < problems.size(); ++i)
        if (given[i]) move(problems[i].x0);
    const auto put = [&](std::size_t at, const auto& list) {
        if (!list.empty()) std::memcpy(bytes_.data() + at, list.data(), list.size() * sizeof(list[0]));
        return reinterpret_cast<decltype(list.data())>(memory_->as<char>() + at);
    };
    for (std::size_t i = 0; i < schedules.size(); ++i) {
        move(schedules[i].table);
        for (SchedulePiece& piece : pieces[i]) move(piece.shape.table);
        schedules[i].pieces = put(pieces_at[i], pieces[i]);
    }
    spec.schedules = put(schedules_at, schedules);
    p.data = on_data ? put(problems_at, problems) : nullptr;
    p.network = nullptr;  // launches have it, and the program
    p.program = nullptr;
    for (MethodPoint& point : points) move(point.code);
    method.points = put(points_at, points);
    move(method.singles);
    move(method.single_starts);
    move(method.constants);
    move(taken);
    for (Program* const each : {&program, &own_loss, &own_metrics, &method_program}) {
        ProgramSpec& code = each->spec;
        move(code.constants);
        move(code.parameters.data);
        move(code.prologue);
        move(code.gradient);
        move(code.value);
        move(code.start);
        move(code.projection);
        move(code.state_start);
        move(code.state_results);
        move(code.state_start_results);
        move(code.own_results);
        move(code.draws);
        move(code.start_draws);
        move(each->numbers);
    }
    device.upload(memory_->as<void>(), bytes_.data(), std::int64_t(bytes_.size()));
    ensemble = spec;
}

std::size_t Upload::offset_of(const void* data, std::size_t n) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + (n + 15) / 16 * 16);
    if (n > 0) std::memcpy(bytes_.data() + at, data, n);
    return at;
}

template <class T>
const T* Upload::pack(const T* data, std::int64_t n) {
    return reinterpret_cast<const T*>(offset_of(data, std::size_t(n) * sizeof(T)));
}

// The codes of the points have its numbers too.
Upload::Program Upload::packed(ProgramSpec p, const EnsembleSpec& e, std::vector<MethodPoint>* points) {
    pack(p.parameters, e.problems.count, p.parameter_count);
    p.constants = pack(p.constants, p.constant_count);
    p.draws = pack(p.draws, p.draw_count);
    p.start_draws = pack(p.start_draws, p.start_draw_count);
    std::vector<double> all;
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::int32_t> matrices;  // where each begins
    const auto code = [&](const Instruction* instructions, std::int64_t count) {
        std::vector<Instruction> own(instructions, instructions + count);
        for (Instruction& i : own) {
            const double* const given = p.numbers + i.first;
            if (i.operation == Operation::power) {
                i.first = std::int32_t(all.size());
                all.push_back(*given);
            } else if (i.operation == Operation::matvec) {
                const auto [at, is_new] = matrices.try_emplace({i.first, i.length, i.count}, std::int32_t(all.size()));
                i.first = at->second;
                if (!is_new) continue;
                for (std::int64_t column = 0; column < i.count; ++column)
                    for (std::int64_t row = 0; row < i.length; ++row) all.push_back(given[row * i.count + column]);
            }
        }
        return pack(own.data(), count);
    };
    p.prologue = code(p.prologue, p.prologue_count);
    p.gradient = code(p.gradient, p.gradient_count);
    p.value = code(p.value, p.value_count);
    p.start = code(p.start, p.start_count);
    p.projection = code(p.projection, p.projection_count);
    p.state_start = code(p.state_start, p.state_start_count);
    for (std::size_t k = 0; points != nullptr && k < points->size(); ++k)
        (*points)[k].code = code((*points)[k].code, (*points)[k].count);
    p.state_results = pack(p.state_results, p.state_result_count);
    p.state_start_results = pack(p.state_start_results, p.state_start_result_count);
    p.own_results = pack(p.own_results, p.own_count);
    const void* const numbers = with_real(e.precision, [&](auto real) -> const void* {
        const std::vector<decltype(real)> rounded(all.begin(), all.end());
        return pack(rounded.data(), std::int64_t(rounded.size()));
    });
    return {p, numbers};
}

// Broadcast axes stay broadcast, empty ones empty.
void Upload::pack(MatrixView& m, std::int64_t rows, std::int64_t columns) {
    const std::int64_t r = m.row_stride == 0 ? std::min<std::int64_t>(1, rows) : rows;
    const std::int64_t c = m.column_stride == 0 ? std::min<std::int64_t>(1, columns) : columns;
    std::vector<double> dense;
    dense.reserve(std::size_t(r * c));
    for (std::int64_t i = 0; i < r; ++i)
        for (std::int64_t j = 0; j < c; ++j) dense.push_back(m.data[i * m.row_stride + j * m.column_stride]);
    m = {pack(dense.data(), r * c), r <= 1 ? 0 : c, c <= 1 ? 0 : 1};
}

void Upload::pack(VectorView& v, std::int64_t n) {
    MatrixView m{v.data, v.stride, 0};
    pack(m, n, 1);
    v = {m.data, m.row_stride};
}

}  // namespace anneal_sgd::cuda
