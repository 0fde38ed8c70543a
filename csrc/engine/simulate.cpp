// A plain function of the core is wanted here as well, as code of the host.
#define ASGD_ISA host
#include "simulate.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "../core/exceedance.hpp"
#include "../core/network.hpp"
#include "../cpu/backend_cpu.hpp"
#include "devices.hpp"

namespace anneal_sgd {
namespace {

constexpr std::int64_t preferred_configs = 16;       // that share one drawing of noise
constexpr std::int64_t preferred_columns = 64;       // configs that take steps by columns, and share rows
constexpr std::int64_t fewest_columns = 32;          // of them, unless a thread would idle
constexpr std::int64_t preferred_replicates = 4096;  // that share one computation of learning rates
constexpr std::int64_t smallest_task = 128;          // replicates: one AVX-512 strip
constexpr std::int64_t smallest_data_task = 16;      // of a problem on data: their samples are drawn together
constexpr std::int64_t narrowest_task = 32;          // replicates, where memory would not do for more
constexpr std::int64_t tasks_per_thread = 4;         // so that threads end together
constexpr std::int64_t scratch_limit = 64 << 20;     // bytes per thread
constexpr std::int64_t cells_limit = 1 << 18;        // moments that one group of blocks holds before they merge
constexpr std::int64_t coordinate_multiple = 32;     // of groups of coordinates: the accumulators of their sums
constexpr std::int64_t task_bytes = sizeof(Task) + sizeof(void*) + 64;  // what the list of tasks takes for each

// A set of whole blocks x configs whose tasks (replicate ranges) together yield one contribution to the tree.
struct Group : Rectangle {
    explicit Group(const Rectangle& r) : Rectangle(r) {}

    bool whole = false;  // one task covers it: blocks are reduced as they are recorded
    std::atomic<int> tasks_left{0};
    std::once_flag allocated;
    std::vector<Moment> moments;        // whole: [block, config, record]
    std::vector<unsigned char> values;  // else: [config, record, replicate], reduced when the last task is done
};

struct Shape {
    std::int64_t configs, group_replicates, task_replicates;
    std::int64_t coordinates;  // of a task
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t scratch_bytes(const EnsembleSpec& e, const RunOptions& o, const Kernels& kernels, const Shape& s) {
    return kernels.scratch_bytes(e, {{0, s.configs, 0, std::min(s.task_replicates, o.replicates)}, s.coordinates});
}

Shape choose_shape(const EnsembleSpec& e, const RunOptions& o, const Kernels& kernels) {
    const std::int64_t configs = config_count(e);
    const bool on_data = e.problems.network != nullptr, separable = !on_data && e.problems.program == nullptr;
    const bool by_columns = on_data && may_go_by_columns(e);
    Shape s{std::min(configs, by_columns ? preferred_columns : preferred_configs), preferred_replicates,
            preferred_replicates, e.problems.dimension};
    const auto scratch = [&] { return scratch_bytes(e, o, kernels, s); };
    const auto cells = [&] { return s.configs * values_recorded(e) * (s.group_replicates / block_replicates); };
    while (s.group_replicates > block_replicates && cells() > cells_limit) s.group_replicates /= 2;
    while (s.configs > 1 && cells() > cells_limit) s.configs /= 2;
    s.task_replicates = s.group_replicates;
    // More tasks, or less memory, first by fewer replicates (noise stays shared), then by fewer configs. A block that
    // is cut keeps its values until all of it is done; where records are many that is too much, and blocks stay whole.
    const auto tasks = [&] { return ceil_div(configs, s.configs) * ceil_div(o.replicates, s.task_replicates); };
    const auto too_few = [&] { return o.threads > 1 && tasks() < o.threads * tasks_per_thread; };
    const auto idle = [&] { return tasks() < o.threads; };
    const bool may_cut =
        s.configs * values_recorded(e) * block_replicates * std::int64_t(sizeof(double)) <= scratch_limit;
    const std::int64_t smallest = !may_cut ? block_replicates : on_data ? smallest_data_task : smallest_task;
    const auto smaller = [&](Shape fewer) {  // whether that is worth it: buffers for one step may be what is large
        return scratch() > scratch_limit && scratch_bytes(e, o, kernels, fewer) < scratch() - scratch() / 8;
    };
    const auto with_replicates = [&] {
        Shape fewer = s;
        fewer.task_replicates /= 2;
        return fewer;
    };
    const auto with_configs = [&] {
        Shape fewer = s;
        fewer.configs /= 2;
        return fewer;
    };
    while (s.task_replicates > smallest && (too_few() || smaller(with_replicates()))) s.task_replicates /= 2;
    // Configs of a problem on data share rows as well as draws: they are parted only where a thread would idle.
    const auto to_part = [&] { return on_data && (!by_columns || s.configs <= fewest_columns) ? idle() : too_few(); };
    while (s.configs > 1 && (to_part() || smaller(with_configs()))) s.configs /= 2;
    // What is left is one config of a large dimension: its coordinates in groups, then fewer replicates.
    while (separable && !couples_coordinates(e.problems.projection) && s.coordinates > coordinate_multiple &&
           scratch() > scratch_limit) {
        Shape fewer = s;
        fewer.coordinates = ceil_div(s.coordinates / 2, coordinate_multiple) * coordinate_multiple;
        if (scratch_bytes(e, o, kernels, fewer) >= scratch()) break;  // the records' partial sums are what is large
        s = fewer;
    }
    const std::int64_t narrowest = on_data ? 1 : narrowest_task;
    while (may_cut && s.task_replicates > narrowest && smaller(with_replicates())) s.task_replicates /= 2;
    s.group_replicates = std::max(s.task_replicates, std::min(s.group_replicates, block_replicates));
    return s;
}

class Collector final : public cpu::Sink {
public:
    Collector(const EnsembleSpec& ensemble, const RunOptions& options, const Kernels& kernels, const Shape& shape)
        : e_(ensemble),
          o_(options),
          kernels_(kernels),
          real_bytes_(real_bytes(ensemble)),
          configs_per_part_(shape.configs),
          parts_(ceil_div(config_count(ensemble), shape.configs)) {
        const std::int64_t configs = config_count(e_), stop = o_.first_replicate + o_.replicates;
        for (std::int64_t c = 0; c < configs; c += shape.configs) {
            const std::int64_t stop_config = std::min(configs, c + shape.configs);
            for (std::int64_t r = o_.first_replicate, group_stop; r < stop; r = group_stop) {
                group_stop = std::min(stop, (r / shape.group_replicates + 1) * shape.group_replicates);
                auto group = std::make_unique<Group>(Rectangle{c, stop_config, r, group_stop});
                for (std::int64_t first = r, task_stop; first < group_stop; first = task_stop) {
                    task_stop = std::min(group_stop, (first / shape.task_replicates + 1) * shape.task_replicates);
                    tasks_.push_back({{c, stop_config, first, task_stop}, shape.coordinates});
                    group_of_task_.push_back(group.get());
                    ++group->tasks_left;
                }
                group->whole = group->tasks_left == 1;
                groups_.push_back(std::move(group));
            }
        }
    }

    const std::vector<Task>& tasks() const { return tasks_; }

    void recorded(std::size_t number, std::int64_t config, std::int64_t record, const void* values) override {
        const Task& task = tasks_[number];
        Group& group = *group_of_task_[number];
        if (record >= values_recorded(e_)) {  // a coordinate
            const std::int64_t row = config * e_.problems.dimension + record - values_recorded(e_);
            const std::int64_t at = row * o_.replicates + task.first_replicate - o_.first_replicate;
            std::memcpy(static_cast<unsigned char*>(o_.iterates) + at * real_bytes_, values,
                        std::size_t(task.replicates() * real_bytes_));
            return;
        }
        if (o_.exceedance != nullptr)
            with_real(e_.precision, [&](auto real) {
                count(config, record, static_cast<const decltype(real)*>(values), task.replicates());
            });
        if (o_.samples != nullptr) {
            const std::int64_t at =
                (config * values_recorded(e_) + record) * o_.replicates + task.first_replicate - o_.first_replicate;
            std::memcpy(static_cast<unsigned char*>(o_.samples) + at * real_bytes_, values,
                        std::size_t(task.replicates() * real_bytes_));
        }
        std::call_once(group.allocated, [&] {
            const std::int64_t cells = group.configs() * values_recorded(e_);
            if (group.whole)
                group.moments.resize(std::size_t(block_count(group) * cells));
            else
                group.values.resize(std::size_t(cells * group.replicates() * real_bytes_));
        });
        const std::int64_t cell = (config - group.first_config) * values_recorded(e_) + record;
        if (group.whole) {
            for (std::int64_t b = 0; b < block_count(group); ++b)
                group.moments[cell_index(group, b, cell)] = reduce(group, b, values);
        } else {
            const std::int64_t at = cell * group.replicates() + task.first_replicate - group.first_replicate;
            std::memcpy(group.values.data() + at * real_bytes_, values, std::size_t(task.replicates() * real_bytes_));
        }
    }

    void finished(std::size_t task) override {
        Group& group = *group_of_task_[task];
        if (--group.tasks_left > 0) return;
        const std::int64_t cells = group.configs() * values_recorded(e_);
        for (std::int64_t b = 0; b < block_count(group); ++b) {
            MomentTree::Cells moments(static_cast<std::size_t>(cells));
            for (std::int64_t cell = 0; cell < cells; ++cell)
                moments[std::size_t(cell)] =
                    group.whole ? group.moments[cell_index(group, b, cell)]
                                : reduce(group, b, group.values.data() + cell * group.replicates() * real_bytes_);
            const auto [start, stop] = block_range(group, b);
            parts_.insert(group.first_config / configs_per_part_, start, stop, std::move(moments));
        }
        group.moments = std::vector<Moment>();  // `= {}` would keep the memory
        group.values = std::vector<unsigned char>();
    }

    MomentTree joined() { return parts_.joined(); }

private:
    static std::int64_t first_block(const Group& g) { return g.first_replicate / block_replicates; }
    static std::int64_t block_count(const Group& g) {
        return (g.stop_replicate - 1) / block_replicates - first_block(g) + 1;
    }
    static std::pair<std::int64_t, std::int64_t> block_range(const Group& g, std::int64_t b) {
        const std::int64_t block = (first_block(g) + b) * block_replicates;
        return {std::max(g.first_replicate, block), std::min(g.stop_replicate, block + block_replicates)};
    }
    std::size_t cell_index(const Group& g, std::int64_t b, std::int64_t cell) const {
        return std::size_t(b * g.configs() * values_recorded(e_) + cell);
    }
    template <class Real>
    void count(std::int64_t config, std::int64_t record, const Real* values, std::int64_t n) {
        std::vector<std::int64_t> counts(std::size_t(exceedance_bins), 0);
        for (std::int64_t i = 0; i < n; ++i) ++counts[std::size_t(host::exceedance_bin(double(values[i])))];
        std::int64_t* const all = o_.exceedance + (config * values_recorded(e_) + record) * exceedance_bins;
        const std::lock_guard<std::mutex> lock(counting_);
        for (std::int64_t k = 0; k < exceedance_bins; ++k) all[k] += counts[std::size_t(k)];
    }
    // `values`: one cell's, of all replicates of the group.
    Moment reduce(const Group& g, std::int64_t b, const void* values) const {
        const auto [start, stop] = block_range(g, b);
        return kernels_.block_moment(e_.precision,
                                     static_cast<const char*>(values) + (start - g.first_replicate) * real_bytes_,
                                     start % block_replicates, stop - start);
    }

    const EnsembleSpec& e_;
    const RunOptions& o_;
    const Kernels& kernels_;
    const std::int64_t real_bytes_;
    const std::int64_t configs_per_part_;
    ConfigParts parts_;
    std::mutex counting_;
    std::vector<Task> tasks_;
    std::vector<Group*> group_of_task_;
    std::vector<std::unique_ptr<Group>> groups_;
};

}  // namespace

double memory_needed(const EnsembleSpec& e, const RunOptions& o) {
    // The nodes of the parts, and of the whole while they are joined.
    double nodes = 0;
    for (const Replicates& share : shares(o.first_replicate, o.replicates, std::max<std::size_t>(1, o.devices.size())))
        nodes += 2 * double(node_count(share.first, share.stop));
    const double of_moments = double(config_count(e)) * double(values_recorded(e)) * nodes * double(sizeof(Moment));
    if (!o.devices.empty()) {
        const double counts = o.exceedance != nullptr ? double(exceedance_bins) * sizeof(std::int64_t) : 0;
        return of_moments + double(config_count(e)) * double(values_recorded(e)) * counts * double(o.devices.size());
    }
    const Kernels& kernels = cpu::kernels(o.isa);
    const Shape s = choose_shape(e, o, kernels);
    const double configs = double(config_count(e)), replicates = double(o.replicates);
    const double tasks = std::ceil(configs / double(s.configs)) * std::ceil(replicates / double(s.task_replicates));
    const double workers = std::min(tasks, double(o.threads));
    // A group in work holds the moments of its blocks, or the values of a block that is cut.
    const double cells = double(s.configs * values_recorded(e));
    const double per_group = s.task_replicates < block_replicates
                                 ? cells * double(std::min(s.group_replicates, o.replicates) * real_bytes(e))
                                 : cells * double(sizeof(Moment) * (s.group_replicates / block_replicates));
    return workers * (double(scratch_bytes(e, o, kernels, s)) + 2 * per_group) + of_moments +
           tasks * double(task_bytes);
}

MomentTree simulate(const EnsembleSpec& ensemble, const RunOptions& options) {
    if (!options.devices.empty()) return simulate_on_devices(ensemble, options);
    const Kernels& kernels = cpu::kernels(options.isa);
    Collector collector(ensemble, options, kernels, choose_shape(ensemble, options, kernels));
    cpu::run_tasks(ensemble, kernels, collector.tasks(), options.threads, collector, options.poll);
    return collector.joined();
}

}  // namespace anneal_sgd
