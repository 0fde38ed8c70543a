// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include "driver.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>

#include "../core/lanes_plain.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types

namespace anneal_sgd::cuda {
namespace {

using host::accumulators;
using host::most_open_windows;
using host::philox_keys;
using host::tail_window_start;

constexpr int block_slots = 1024;
constexpr int most_learning_rates = 1024;       // of ensemble_kernel.hpp
constexpr std::int64_t many_blocks = 1 << 12;   // beyond which a device is full, and a chunk need not grow
constexpr double state_limit = 1 << 30;         // bytes of one chunk of many blocks
constexpr double values_limit = 1 << 29;        // bytes of one group
constexpr double chunk_coordinates = 1 << 26;   // of many blocks, so that launches can be short
constexpr double unasked_bytes = 1 << 16;       // that any device has
constexpr double first_launch_work = 1e9;       // coordinate-steps, before the device's speed is known,
constexpr double first_launch_steps = 1 << 20;  // and steps of one thread, which follow each other on any device
constexpr double launch_seconds = 0.05;         // far below a display's watchdog and a user's patience
constexpr double brief_work = 1e8;              // coordinate-steps that any device does at once
constexpr auto poll_interval = std::chrono::milliseconds(100);

using Clock = std::chrono::steady_clock;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t real_bytes(const EnsembleSpec& e) { return e.precision == Precision::float32 ? 4 : 8; }
std::int64_t config_total(const EnsembleSpec& e) { return e.problems.count * e.schedule_count * e.base_lr_count; }
bool is_ball(const EnsembleSpec& e) { return e.problems.projection == ProjectionKind::ball; }

int log2_ceil(std::int64_t n) {
    int log2 = 0;
    while ((std::int64_t(1) << log2) < n) ++log2;
    return log2;
}

Layout make_layout(const EnsembleSpec& e, std::int64_t configs, std::int64_t replicates) {
    Layout l{};
    l.log2_lanes = std::min(log2_ceil(e.problems.dimension), log2_ceil(accumulators));
    l.coordinates_per_thread = int(ceil_div(e.problems.dimension, std::int64_t(1) << l.log2_lanes));
    const int log2_trajectories = log2_ceil(block_slots) - l.log2_lanes;
    l.log2_replicates = std::clamp(log2_ceil(replicates), 2, log2_trajectories);
    l.configs = 1 << std::min(log2_trajectories - l.log2_replicates, log2_ceil(configs));
    l.tile_steps = segment_steps;
    while (l.configs * l.tile_steps > most_learning_rates) l.tile_steps /= 2;
    return l;
}

std::int64_t block_count(const Layout& l, std::int64_t configs, std::int64_t replicates) {
    return ceil_div(configs, l.configs) * ceil_div(replicates, std::int64_t(1) << l.log2_replicates);
}

std::int64_t elements(const Layout& l, std::int64_t blocks) { return blocks * l.coordinates_per_thread * block_slots; }

// Where a chunk's state arrays lie in its memory, or, without memory, how much they take. In doubles, because plans are
// tried that no integer holds.
struct State {
    State(const EnsembleSpec& e, const Layout& l, double blocks, char* memory = nullptr) {
        const double n = blocks * l.coordinates_per_thread * block_slots, real = double(real_bytes(e));
        const bool averaging = e.iterate != Iterate::last;
        const bool keeps_noise = is_ball(e) && l.coordinates_per_thread > 1 && e.problems.noise != NoiseKind::none;
        const auto take = [&](double bytes) {
            void* p = memory == nullptr || bytes == 0 ? nullptr : memory + std::int64_t(used);
            used += std::ceil(bytes / 256) * 256;
            return p;
        };
        total = static_cast<double*>(take(averaging ? 8 * n : 0));
        window_start = static_cast<double*>(take(8 * n * double(most_open_windows(e))));
        noise = take(keeps_noise ? 16 * n : 0);  // the draws of a call, or its words
        x = take(real * n);
        segment = take(averaging ? real * n : 0);
    }
    double *total, *window_start;
    void *noise, *x, *segment;
    double used = 0;
};

// The ensemble with everything it points to in device memory, packed into one upload.
class Upload {
public:
    Upload(Device& device, const EnsembleSpec& e) {
        EnsembleSpec spec = e;
        ProblemSpec& p = spec.problems;
        const bool box = p.projection == ProjectionKind::box;
        static const double lowest = -std::numeric_limits<double>::infinity();
        static const double highest = std::numeric_limits<double>::infinity();
        if (!box) {  // the kernels clamp always
            p.lower = {&lowest, 0, 0};
            p.upper = {&highest, 0, 0};
        }
        for (MatrixView* m : {&p.weight, &p.noise_std, &p.lower, &p.upper, &p.x0}) pack(*m, p.count, p.dimension);
        for (VectorView* v : {&p.huber_width, &p.radius, &p.minimum}) pack(*v, p.count);
        std::vector<ScheduleSpec> schedules(e.schedules, e.schedules + e.schedule_count);
        for (ScheduleSpec& s : schedules) s.table = pack(s.table, s.table_size);
        spec.base_lr = pack(e.base_lr, e.base_lr_count);
        spec.record_at = pack(e.record_at, e.record_count);
        const std::size_t where = offset_of(schedules.data(), schedules.size() * sizeof(ScheduleSpec));
        memory_ = std::make_unique<DeviceMemory>(device, std::int64_t(bytes_.size()));
        // Offsets become addresses.
        const auto address = [&](const void* offset) {
            return memory_->as<char>() + reinterpret_cast<std::uintptr_t>(offset);
        };
        const auto move = [&](auto*& pointer) {
            pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(address(pointer));
        };
        for (MatrixView* m : {&p.weight, &p.noise_std, &p.lower, &p.upper, &p.x0}) move(m->data);
        for (VectorView* v : {&p.huber_width, &p.radius, &p.minimum}) move(v->data);
        move(spec.base_lr);
        move(spec.record_at);
        for (ScheduleSpec& s : schedules) move(s.table);
        if (!schedules.empty())
            std::memcpy(bytes_.data() + where, schedules.data(), schedules.size() * sizeof(ScheduleSpec));
        spec.schedules = reinterpret_cast<const ScheduleSpec*>(memory_->as<char>() + where);
        device.upload(memory_->as<void>(), bytes_.data(), std::int64_t(bytes_.size()));
        ensemble = spec;
    }

    EnsembleSpec ensemble{};

private:
    std::size_t offset_of(const void* data, std::size_t n) {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + (n + 15) / 16 * 16);
        if (n > 0) std::memcpy(bytes_.data() + at, data, n);
        return at;
    }
    template <class T>
    const T* pack(const T* data, std::int64_t n) {
        return reinterpret_cast<const T*>(offset_of(data, std::size_t(n) * sizeof(T)));
    }
    // Broadcast axes stay broadcast.
    void pack(MatrixView& m, std::int64_t rows, std::int64_t columns) {
        const std::int64_t r = m.row_stride == 0 ? 1 : rows, c = m.column_stride == 0 ? 1 : columns;
        std::vector<double> dense;
        dense.reserve(std::size_t(r * c));
        for (std::int64_t i = 0; i < r; ++i)
            for (std::int64_t j = 0; j < c; ++j) dense.push_back(m.data[i * m.row_stride + j * m.column_stride]);
        m = {pack(dense.data(), r * c), r == 1 ? 0 : c, c == 1 ? 0 : 1};
    }
    void pack(VectorView& v, std::int64_t n) {
        MatrixView m{v.data, v.stride, 0};
        pack(m, n, 1);
        v = {m.data, m.row_stride};
    }

    std::vector<char> bytes_;  // stay: the device may not have read them yet
    std::unique_ptr<DeviceMemory> memory_;
};

void check_numbers(const EnsembleSpec& e) {
    if (config_total(e) > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument("backend 'cuda' takes at most 2**31 - 1 configs in one call, got " +
                                    std::to_string(config_total(e)));
}

// One group of replicates of one part, at work.
class Runner {
public:
    Runner(Device& device, const EnsembleSpec& e, const DriverOptions& o, const Plan& plan)
        : device_(device), e_(e), o_(o), plan_(plan), upload_(device, e) {
        last_step_ = e.record_at[e.record_count - 1];
        total_ = double(config_total(e)) * double(o.replicates) * double(e.problems.dimension) * double(last_step_);
    }

    void group(std::int64_t first_config, std::int64_t stop_config, std::int64_t first, std::int64_t stop, void* values,
               std::int64_t value_stride) {
        for (std::int64_t r = first; r < stop; r += plan_.chunk_replicates)
            chunk(first_config, stop_config, r, std::min(stop, r + plan_.chunk_replicates),
                  static_cast<char*>(values) + (r - first) * real_bytes(e_), value_stride);
    }

    void wait() {
        const auto start = Clock::now();
        while (!device_.idle()) {
            const auto now = Clock::now();
            if (now - start > std::chrono::milliseconds(1)) std::this_thread::sleep_for(std::chrono::microseconds(200));
            if (now > next_poll_) poll();
        }
    }

private:
    void poll() {
        next_poll_ = Clock::now() + poll_interval;
        o_.poll(total_ > 0 ? std::min(0.999, done_ / total_) : 0.0);  // 1 is for the end
    }

    void chunk(std::int64_t first_config, std::int64_t stop_config, std::int64_t first, std::int64_t stop, void* values,
               std::int64_t value_stride) {
        const std::int64_t configs = stop_config - first_config;
        const Layout layout = make_layout(e_, configs, stop - first);
        EnsembleLaunch l{};
        l.ensemble = upload_.ensemble;
        const auto keys = philox_keys(e_.seed);
        std::copy(std::begin(keys.k0), std::end(keys.k0), l.key0);
        std::copy(std::begin(keys.k1), std::end(keys.k1), l.key1);
        l.layout = layout;
        l.first_config = first_config;
        l.stop_config = stop_config;
        l.first_replicate = first;
        l.stop_replicate = stop;
        l.open_windows = most_open_windows(e_);
        l.config_groups = ceil_div(configs, layout.configs);
        l.blocks = block_count(layout, configs, stop - first);
        l.values = values;
        l.value_stride = value_stride;

        const auto bytes = std::int64_t(State(e_, layout, double(l.blocks)).used);
        if (state_ == nullptr || state_bytes_ < bytes) {
            state_.reset();
            state_ = std::make_unique<DeviceMemory>(device_, bytes);
            state_bytes_ = bytes;
        }
        const State state(e_, layout, double(l.blocks), state_->as<char>());
        l.x = state.x;
        l.segment = state.segment;
        l.total = state.total;
        l.window_start = state.window_start;
        l.noise = state.noise;

        std::int64_t shared = 0;
        if (is_ball(e_) && layout.coordinates_per_thread > 1) {
            shared = elements(layout, 1) * real_bytes(e_);
            l.shared_state = shared <= device_.dynamic_shared_limit();
            if (!l.shared_state) shared = 0;
        }
        const KernelKind kind{e_.precision, e_.problems.kind, e_.problems.noise, is_ball(e_)};
        const double work = double(configs) * double(stop - first) * double(e_.problems.dimension);
        // One short launch, or a few, that nobody needs to watch.
        const bool brief =
            total_ <= brief_work && double(last_step_) * layout.coordinates_per_thread <= first_launch_steps;
        std::int64_t t = 0, record = 0, window = 0;
        do {
            l.first_step = t;
            l.stop_step = t = std::min(last_step_, t + steps_of_launch(work, layout));
            l.first_record = record;
            l.first_window = window;
            while (record < e_.record_count && e_.record_at[record] <= t) ++record;
            while (window < e_.record_count && window_start(window) <= t) ++window;
            const auto start = Clock::now();
            device_.launch(kind, l, shared);
            const double launched = double(t - l.first_step) * work;
            done_ += launched;
            if (brief) continue;
            wait();
            const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
            speed_ = launched / std::max(seconds, 1e-6);
            speed_work_ = work;
            if (Clock::now() > next_poll_) poll();
        } while (t < last_step_);
    }

    // Whole tiles, so that few launches cut one, but where a tile is too long. What was learnt of the speed counts for
    // chunks that are not much smaller.
    std::int64_t steps_of_launch(double work, const Layout& layout) const {
        if (o_.steps_per_launch > 0) return o_.steps_per_launch;
        const double steps =
            speed_ > 0 && work > speed_work_ / 2
                ? launch_seconds * speed_ / work
                : std::min(first_launch_work / work, first_launch_steps / layout.coordinates_per_thread);
        if (steps < segment_steps) return std::max(std::int64_t(steps), std::int64_t(1));
        return std::int64_t(std::min(steps, 1e12)) / segment_steps * segment_steps;
    }

    std::int64_t window_start(std::int64_t record) const {
        const std::int64_t k = e_.record_at[record];
        return e_.iterate == Iterate::tail_average && k > 0 ? tail_window_start(k, e_.tail_frac) : -1;
    }

    Device& device_;
    const EnsembleSpec& e_;
    const DriverOptions& o_;
    const Plan& plan_;
    const Upload upload_;
    std::int64_t last_step_;
    double total_, done_ = 0;            // coordinate-steps
    double speed_ = 0, speed_work_ = 0;  // coordinate-steps per second, and per step of the chunk that showed it
    Clock::time_point next_poll_ = Clock::now() + poll_interval;
    std::unique_ptr<DeviceMemory> state_;
    std::int64_t state_bytes_ = 0;
};

}  // namespace

Plan make_plan(Device& device, const EnsembleSpec& e, const DriverOptions& o) {
    check_numbers(e);
    Plan plan{config_total(e), o.replicates, o.replicates};
    double blocks = 0;
    const auto bytes_of_state = [&] {
        const Layout l = make_layout(e, plan.configs, plan.chunk_replicates);
        blocks = double(ceil_div(plan.configs, l.configs)) *
                 double(ceil_div(plan.chunk_replicates, std::int64_t(1) << l.log2_replicates));
        return State(e, l, blocks).used;
    };
    const auto bytes_of_values = [&] {
        const double per_replicate = o.device_samples != nullptr ? 0 : double(real_bytes(e));
        return double(plan.configs) * double(e.record_count) *
               (double(plan.group_replicates) * per_replicate +
                double(plan.group_replicates / block_replicates + 2) * sizeof(Moment));
    };
    // Asking for the free memory takes longer than a small run.
    if (bytes_of_state() <= unasked_bytes && bytes_of_values() <= unasked_bytes) return plan;

    const auto free = double(device.free_bytes());
    const double values_budget = std::min(values_limit, free / 4);
    const auto halved = [](std::int64_t n, std::int64_t multiple) { return ceil_div(n / 2, multiple) * multiple; };
    while (plan.group_replicates > block_replicates && bytes_of_values() > values_budget)
        plan.group_replicates = halved(plan.group_replicates, block_replicates);
    while (plan.configs > 1 && bytes_of_values() > values_budget) plan.configs = ceil_div(plan.configs, 2);
    const auto refuse = [&](const std::string& what, double bytes) {
        throw OutOfDeviceMemory(what + " takes " + std::to_string(std::int64_t(bytes)) +
                                " bytes on the device, which has " + std::to_string(std::int64_t(free)) + " free");
    };
    if (bytes_of_values() > free)
        refuse("the suboptimality of " + std::to_string(plan.group_replicates) + " replicates at " +
                   std::to_string(e.record_count) + " records",
               bytes_of_values());
    plan.chunk_replicates = plan.group_replicates;
    const auto too_large = [&] {
        const double bytes = bytes_of_state();
        const double coordinates = double(plan.configs) * double(plan.chunk_replicates) * double(e.problems.dimension);
        return bytes > free / 2 || (blocks > many_blocks && (bytes > state_limit || coordinates > chunk_coordinates));
    };
    // Chunks end on a multiple of 4 replicates, which a thread takes together.
    while (plan.chunk_replicates > 4 && too_large()) plan.chunk_replicates = halved(plan.chunk_replicates, 4);
    while (plan.configs > 1 && too_large()) plan.configs = ceil_div(plan.configs, 2);
    if (bytes_of_state() > free)
        refuse("the state of " + std::to_string(plan.chunk_replicates) + " trajectories", bytes_of_state());
    return plan;
}

void run(Device& device, const EnsembleSpec& e, const DriverOptions& o, const Plan& plan, const BlockSink& sink) {
    // Also on the way out of an exception: nothing may write to the caller's memory after that.
    struct Drained {
        Device& device;
        ~Drained() { device.drain(); }
    };
    Runner runner(device, e, o, plan);
    const Drained drained{device};
    const std::int64_t stop_all = o.first_replicate + o.replicates, bytes = real_bytes(e);
    const std::int64_t most_cells = plan.configs * e.record_count;
    const std::int64_t most_blocks = plan.group_replicates / block_replicates + 2;
    std::unique_ptr<DeviceMemory> values;
    if (o.device_samples == nullptr)
        values = std::make_unique<DeviceMemory>(device, most_cells * plan.group_replicates * bytes);
    const DeviceMemory moments(device, most_cells * most_blocks * std::int64_t(sizeof(Moment)));
    std::vector<Moment> host;
    for (std::int64_t c = 0, part = 0; c < config_total(e); c += plan.configs, ++part) {
        const std::int64_t stop_config = std::min(config_total(e), c + plan.configs);
        const std::int64_t cells = (stop_config - c) * e.record_count;
        for (std::int64_t first = o.first_replicate, stop; first < stop_all; first = stop) {
            stop = first + plan.group_replicates;
            // Groups end on blocks of replicates.
            if (stop < stop_all)
                stop = std::max(first / block_replicates + 1, stop / block_replicates) * block_replicates;
            stop = std::min(stop, stop_all);
            const std::int64_t stride = o.device_samples != nullptr ? o.replicates : stop - first;
            const std::int64_t sample = c * e.record_count * o.replicates + first - o.first_replicate;
            void* const where = o.device_samples != nullptr ? static_cast<char*>(o.device_samples) + sample * bytes
                                                            : values->as<void>();
            runner.group(c, stop_config, first, stop, where, stride);

            MomentsLaunch m{};
            m.values = where;
            m.cells = cells;
            m.value_stride = stride;
            m.first_replicate = first;
            m.stop_replicate = stop;
            m.replicate_blocks = (stop - 1) / block_replicates - first / block_replicates + 1;
            m.moments = moments.as<Moment>();
            device.launch(e.precision, m);
            runner.wait();
            host.resize(std::size_t(cells * m.replicate_blocks));
            const std::int64_t moment_bytes = std::int64_t(sizeof(Moment)) * cells * m.replicate_blocks;
            device.download(host.data(), moment_bytes, m.moments, moment_bytes, moment_bytes, 1);
            if (o.host_samples != nullptr)
                device.download(static_cast<char*>(o.host_samples) + sample * bytes, o.replicates * bytes, where,
                                stride * bytes, (stop - first) * bytes, cells);
            for (std::int64_t b = 0; b < m.replicate_blocks; ++b) {
                const std::int64_t block = (first / block_replicates + b) * block_replicates;
                sink(part, std::max(first, block), std::min(stop, block + block_replicates),
                     std::vector<Moment>(host.begin() + b * cells, host.begin() + (b + 1) * cells));
            }
        }
    }
}

}  // namespace anneal_sgd::cuda
