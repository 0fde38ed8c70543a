// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include "driver.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "../core/lanes_plain.hpp"
#include "launcher.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types

namespace anneal_sgd::cuda {
namespace {

using host::most_open_windows;
using host::philox_keys;
using host::window_start;

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

std::unique_ptr<Launcher> make_launcher(Device& device, const EnsembleSpec& e) {
    if (e.problems.network != nullptr) return data_launcher(device, e);
    return e.problems.program != nullptr ? program_launcher(device, e) : ensemble_launcher(device, e);
}

void check_numbers(const EnsembleSpec& e) {
    const NetworkSpec* const network = e.problems.network;
    if (network != nullptr && network->method != nullptr &&
        network->batch_size > std::numeric_limits<std::int32_t>::max() / network->method->evaluations)
        throw std::invalid_argument("backend 'cuda' takes at most 2**31 - 1 samples in a step, got batch_size " +
                                    std::to_string(network->batch_size) + " for each of " +
                                    std::to_string(network->method->evaluations) + " gradients");
    if (config_count(e) > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument("backend 'cuda' takes at most 2**31 - 1 configs in one call, got " +
                                    std::to_string(config_count(e)));
}

// Also on the way out of an exception: nothing may read or write memory of the host after it is gone.
struct Drained {
    Device& device;
    ~Drained() { device.drain(); }
};

// One group of replicates of one part, at work. Ends when the device is idle.
class Runner : private Pace {
public:
    Runner(Device& device, const EnsembleSpec& e, const DriverOptions& o, const Plan& plan)
        : device_(device), e_(e), o_(o), plan_(plan), launcher_(make_launcher(device, e)) {
        launcher_->upload();
        total_ = launcher_->work(config_count(e), o.replicates);
    }

    void group(const Chunk& all) {
        for (std::int64_t r = all.first_replicate; r < all.stop_replicate; r += plan_.chunk_replicates) {
            const std::int64_t from = (r - all.first_replicate) * real_bytes(e_);
            Chunk chunk = all;
            chunk.first_replicate = r;
            chunk.stop_replicate = std::min(all.stop_replicate, r + plan_.chunk_replicates);
            chunk.values = static_cast<char*>(all.values) + from;
            if (all.points != nullptr) chunk.points = static_cast<char*>(all.points) + from;
            run_chunk(chunk);
        }
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

    void run_chunk(const Chunk& chunk) {
        const auto bytes = std::int64_t(launcher_->footprint(chunk.configs(), chunk.replicates()).bytes);
        if (state_ == nullptr || state_bytes_ < bytes) {
            state_.reset();
            state_ = std::make_unique<DeviceMemory>(device_, bytes);
            state_bytes_ = bytes;
        }
        launcher_->begin(chunk, state_->as<void>());
        // One short launch, or a few, that nobody needs to watch.
        const bool brief =
            total_ <= brief_work && launcher_->thread_work(chunk.configs(), chunk.replicates()) <= first_launch_steps;
        Launched launched{};
        for (auto start = Clock::now(); launcher_->launch_next(*this, launched); start = Clock::now()) {
            done_ += launched.work;
            if (brief) continue;
            wait();
            if (launched.work > 0) {
                const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
                speed_[int(launched.kind)] = {launched.work / std::max(seconds, 1e-6), launched.unit_work};
            }
            if (Clock::now() > next_poll_) poll();
        }
    }

    // What was learnt of the speed counts for chunks that are not much smaller.
    double units(LaunchKind kind, std::int64_t rows, double work, double thread_work) const override {
        if (kind == LaunchKind::steps && o_.steps_per_launch > 0) return double(o_.steps_per_launch);
        if (rows > 0 && o_.rows_per_launch > 0) return double(o_.rows_per_launch) / double(rows);
        const Speed& speed = speed_[int(kind)];
        return speed.per_second > 0 && work > speed.unit_work / 2
                   ? launch_seconds * speed.per_second / work
                   : std::min(first_launch_work / work, first_launch_steps / thread_work);
    }

    Device& device_;
    const EnsembleSpec& e_;
    const DriverOptions& o_;
    const Plan& plan_;
    const std::unique_ptr<Launcher> launcher_;
    const Drained drained_{device_};  // before the launcher goes, from whose memory the device copies
    double total_, done_ = 0;         // work
    struct Speed {
        double per_second = 0, unit_work = 0;  // work, and that of a unit in the chunk that showed it
    } speed_[2];
    Clock::time_point next_poll_ = Clock::now() + poll_interval;
    std::unique_ptr<DeviceMemory> state_;
    std::int64_t state_bytes_ = 0;
};

}  // namespace

void set_chunk(Launch& launch, const EnsembleSpec& e, const EnsembleSpec& on_device, const Chunk& chunk) {
    launch.ensemble = on_device;
    launch.open_windows = most_open_windows(e);
    const auto keys = philox_keys(e.seed);
    std::copy(std::begin(keys.k0), std::end(keys.k0), launch.key0);
    std::copy(std::begin(keys.k1), std::end(keys.k1), launch.key1);
    static_cast<Rectangle&>(launch) = chunk;
    launch.values = chunk.values;
    launch.value_stride = chunk.value_stride;
    launch.points = chunk.points;
    launch.point_stride = chunk.point_stride;
}

void move_to(Progress& progress, const EnsembleSpec& e, std::int64_t step) {
    progress.step = step;
    while (progress.window < e.record_count && window_start(e, progress.window) <= step) ++progress.window;
}

std::int64_t whole_tiles(double steps) {
    if (steps < segment_steps) return std::max(std::int64_t(steps), std::int64_t(1));
    return std::int64_t(std::min(steps, 1e12)) / segment_steps * segment_steps;
}

Plan make_plan(Device& device, const EnsembleSpec& e, const DriverOptions& o) {
    check_numbers(e);
    const std::unique_ptr<Launcher> launcher = make_launcher(device, e);
    Plan plan{config_count(e), o.replicates, o.replicates};
    const auto bytes_of_state = [&] { return launcher->footprint(plan.configs, plan.chunk_replicates).bytes; };
    const auto bytes_of_values = [&] {
        const double replicates = double(plan.group_replicates), real = double(real_bytes(e));
        const double of_value = (o.device_samples != nullptr ? 0 : replicates * real) +
                                double(plan.group_replicates / block_replicates + 2) * sizeof(Moment) +
                                (o.exceedance != nullptr ? double(exceedance_bins) * sizeof(std::int64_t) : 0);
        const double of_points = o.host_iterates != nullptr ? double(e.problems.dimension) * replicates * real : 0;
        return double(plan.configs) * (double(values_recorded(e)) * of_value + of_points);
    };
    // Asking for the free memory takes longer than a small run.
    const double data = launcher->data_bytes();
    if (std::max({data, bytes_of_state(), bytes_of_values()}) <= unasked_bytes) return plan;

    const double all_free = double(device.free_bytes()), free = all_free - data;
    const double values_budget = std::min(values_limit, free / 4);
    const auto halved = [](std::int64_t n, std::int64_t multiple) { return ceil_div(n / 2, multiple) * multiple; };
    while (plan.group_replicates > block_replicates && bytes_of_values() > values_budget)
        plan.group_replicates = halved(plan.group_replicates, block_replicates);
    while (plan.configs > 1 && bytes_of_values() > values_budget) plan.configs = ceil_div(plan.configs, 2);
    const auto refuse = [&](const std::string& what, double bytes, double available) {
        throw OutOfDeviceMemory(what + " takes " + std::to_string(std::int64_t(bytes)) +
                                " bytes on the device, which has " + std::to_string(std::int64_t(available)) + " free" +
                                (data > 0 && available < all_free ? " beside the data" : ""));
    };
    if (data > all_free) refuse("the data", data, all_free);
    if (bytes_of_values() > free)
        refuse("the values of " + std::to_string(plan.group_replicates) + " replicates at " +
                   std::to_string(e.record_count) + " records" +
                   (o.host_iterates != nullptr || o.exceedance != nullptr ? ", and what is kept of them," : ""),
               bytes_of_values(), free);
    plan.chunk_replicates = plan.group_replicates;
    const auto too_large = [&] {
        const auto [bytes, blocks] = launcher->footprint(plan.configs, plan.chunk_replicates);
        const double coordinates = double(plan.configs) * double(plan.chunk_replicates) * double(e.problems.dimension);
        return bytes > free / 2 || (blocks > many_blocks && (bytes > state_limit || coordinates > chunk_coordinates));
    };
    // Chunks end on a multiple of 4 replicates, which a thread takes together.
    while (plan.chunk_replicates > 4 && too_large()) plan.chunk_replicates = halved(plan.chunk_replicates, 4);
    while (plan.configs > 1 && too_large()) plan.configs = ceil_div(plan.configs, 2);
    if (bytes_of_state() > free)
        refuse("the state of " + std::to_string(plan.chunk_replicates) + " trajectories", bytes_of_state(), free);
    return plan;
}

void run(Device& device, const EnsembleSpec& e, const DriverOptions& o, const Plan& plan, const BlockSink& sink) {
    std::vector<Moment> host;          // outlives the runner, with which copies end
    std::vector<std::int64_t> counts;  // as well
    Runner runner(device, e, o, plan);
    const std::int64_t stop_all = o.first_replicate + o.replicates, bytes = real_bytes(e);
    const std::int64_t most_cells = plan.configs * values_recorded(e);
    const std::int64_t most_blocks = plan.group_replicates / block_replicates + 2;
    std::unique_ptr<DeviceMemory> values;
    if (o.device_samples == nullptr)
        values = std::make_unique<DeviceMemory>(device, most_cells * plan.group_replicates * bytes);
    const DeviceMemory moments(device, most_cells * most_blocks * std::int64_t(sizeof(Moment)));
    std::unique_ptr<DeviceMemory> points, bins;
    if (o.host_iterates != nullptr)
        points =
            std::make_unique<DeviceMemory>(device, plan.configs * e.problems.dimension * plan.group_replicates * bytes);
    if (o.exceedance != nullptr)
        bins =
            std::make_unique<DeviceMemory>(device, most_cells * exceedance_bins * std::int64_t(sizeof(std::int64_t)));
    for (std::int64_t c = 0, part = 0; c < config_count(e); c += plan.configs, ++part) {
        const std::int64_t stop_config = std::min(config_count(e), c + plan.configs);
        const std::int64_t cells = (stop_config - c) * values_recorded(e);
        if (bins != nullptr) {
            counts.assign(std::size_t(cells * exceedance_bins), 0);
            device.upload(bins->as<void>(), counts.data(), std::int64_t(sizeof(std::int64_t) * counts.size()));
        }
        for (std::int64_t first = o.first_replicate, stop; first < stop_all; first = stop) {
            stop = first + plan.group_replicates;
            // Groups end on blocks of replicates.
            if (stop < stop_all)
                stop = std::max(first / block_replicates + 1, stop / block_replicates) * block_replicates;
            stop = std::min(stop, stop_all);
            const std::int64_t stride = o.device_samples != nullptr ? o.sample_stride : stop - first;
            const std::int64_t sample = c * values_recorded(e) * o.sample_stride + first - o.first_replicate;
            void* const where = o.device_samples != nullptr ? static_cast<char*>(o.device_samples) + sample * bytes
                                                            : values->as<void>();
            runner.group({{c, stop_config, first, stop},
                          where,
                          stride,
                          points != nullptr ? points->as<void>() : nullptr,
                          stop - first});

            MomentsLaunch m{};
            m.values = where;
            m.cells = cells;
            m.value_stride = stride;
            m.first_replicate = first;
            m.stop_replicate = stop;
            m.replicate_blocks = (stop - 1) / block_replicates - first / block_replicates + 1;
            m.moments = moments.as<Moment>();
            m.counts = bins != nullptr ? bins->as<std::int64_t>() : nullptr;
            device.launch(e.precision, m);
            runner.wait();
            host.resize(std::size_t(cells * m.replicate_blocks));
            const std::int64_t moment_bytes = std::int64_t(sizeof(Moment)) * cells * m.replicate_blocks;
            device.download(host.data(), moment_bytes, m.moments, moment_bytes, moment_bytes, 1);
            if (o.host_samples != nullptr)
                device.download(static_cast<char*>(o.host_samples) + sample * bytes, o.sample_stride * bytes, where,
                                stride * bytes, (stop - first) * bytes, cells);
            if (points != nullptr) {
                const std::int64_t at = c * e.problems.dimension * o.sample_stride + first - o.first_replicate;
                device.download(static_cast<char*>(o.host_iterates) + at * bytes, o.sample_stride * bytes,
                                points->as<void>(), (stop - first) * bytes, (stop - first) * bytes,
                                (stop_config - c) * e.problems.dimension);
            }
            for (std::int64_t b = 0; b < m.replicate_blocks; ++b) {
                const std::int64_t block = (first / block_replicates + b) * block_replicates;
                sink(part, std::max(first, block), std::min(stop, block + block_replicates),
                     std::vector<Moment>(host.begin() + b * cells, host.begin() + (b + 1) * cells));
            }
        }
        if (bins == nullptr) continue;
        const std::int64_t count_bytes = std::int64_t(sizeof(std::int64_t) * counts.size());
        device.download(counts.data(), count_bytes, bins->as<void>(), count_bytes, count_bytes, 1);
        static std::mutex adding;  // of the shares of several devices
        const std::lock_guard<std::mutex> lock(adding);
        std::int64_t* const all = o.exceedance + c * values_recorded(e) * exceedance_bins;
        for (std::size_t i = 0; i < counts.size(); ++i) all[i] += counts[i];
    }
}

}  // namespace anneal_sgd::cuda
