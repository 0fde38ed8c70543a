// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include <algorithm>

#include "launcher.hpp"
#include "upload.hpp"
//
#include "../core/lanes_plain.hpp"
//
#include "../core/trajectory.hpp"  // after the lane types

namespace anneal_sgd::cuda {
namespace {

using host::most_open_windows;

constexpr std::int64_t block_threads = 256;
constexpr std::int64_t most_round = 64;  // samples that go through the network together
constexpr double step_overhead = 512;    // of a trajectory, in multiply-adds: draws, losses, folds
constexpr double sample_overhead = 64;   // the same for each sample

// Registers of a loss of one's own, and behind them the accumulators of its sums.
std::int64_t own_registers(const NetworkSpec& network) {
    if (network.own_loss == nullptr) return 0;
    std::int64_t sums = 0;
    for_each_instruction(*network.own_loss, [&](const Instruction& i) {
        if (i.operation == Operation::sum || i.operation == Operation::sum_product)
            sums = std::max<std::int64_t>(sums, std::min(i.count, host::accumulators));
    });
    return network.own_loss->registers + sums;
}

std::int64_t configs_per_problem(const EnsembleSpec& e) { return e.schedule_count * e.base_lr_count; }

DataLayout make_layout(const EnsembleSpec& e, const NetworkLayout& net, std::int64_t replicates) {
    DataLayout l{};
    const std::int64_t configs = configs_per_problem(e);
    // Configs that share rows are best together, others are as good apart; but few teams should be idle.
    int log2_configs = std::min(log2_teams, log2_ceil(configs));
    if (!e.common_random_numbers)
        log2_configs = std::min(log2_configs, log2_teams - std::min(log2_teams, log2_ceil(replicates)));
    const auto teams = [&] { return ceil_div(configs, std::int64_t(1) << log2_configs) << log2_configs; };
    while (log2_configs > 0 && 8 * (teams() - configs) > teams()) --log2_configs;
    l.configs = 1 << log2_configs;
    l.log2_replicates = log2_teams - log2_configs;
    l.groups_per_problem = ceil_div(configs, l.configs);
    l.tile_steps = segment_steps;
    while ((l.configs + e.number_count) * l.tile_steps > most_data_learning_rates) l.tile_steps /= 2;
    l.spans = int(net.size / row_multiple);
    l.round = int(std::min(most_round, padded_row(e.problems.network->batch_size)));
    std::int64_t units = 0;
    for (int k = 0; k < net.layers - 1; ++k) units += padded_row(net.units[k]);
    // A wide network's activations must not take much more memory than its weights.
    if (2 * units * l.round > 4 * net.size) l.round = row_multiple;
    return l;
}

class DataLauncher final : public Launcher {
public:
    DataLauncher(Device& device, const EnsembleSpec& e)
        : device_(device),
          e_(e),
          network_(*e.problems.network),
          net_(network_layout(network_)),
          last_step_(e.record_at[e.record_count - 1]),
          shared_limit_(device.dynamic_shared_limit()) {}

    Footprint footprint(std::int64_t configs, std::int64_t replicates) const override {
        DataLaunch steps{}, records{};
        StateMemory memory;
        const DataLayout layout = make_layout(e_, net_, replicates);
        // At most: the configs may begin and end within problems, and within groups.
        const std::int64_t whole = configs / configs_per_problem(e_), rest = configs % configs_per_problem(e_);
        const std::int64_t groups = std::min(e_.problems.count * layout.groups_per_problem,
                                             whole * layout.groups_per_problem + ceil_div(rest, layout.configs) + 3);
        const double blocks = lay_out(steps, records, layout, groups, replicates, memory);
        if (has_metrics()) {
            ProgramLaunch metrics{};
            lay_out_metrics(metrics, e_, configs, replicates, shared_limit_, memory);
        }
        return {memory.used(), blocks};
    }
    double data_bytes() const override { return Upload::data_bytes(e_); }
    double work(std::int64_t configs, std::int64_t replicates) const override {
        return double(configs) * double(replicates) * trajectory_work();
    }
    double thread_work(std::int64_t, std::int64_t) const override { return trajectory_work() / row_multiple; }
    void upload() override { upload_ = std::make_unique<Upload>(device_, e_); }

    void begin(const Chunk& chunk, void* state) override {
        steps_ = {};
        set_chunk(steps_, e_, upload_->ensemble, chunk);
        steps_.network = network_;
        steps_.network.taken = upload_->taken;
        steps_.net = net_;
        steps_.own_loss = upload_->own_loss.spec;
        steps_.own_numbers = upload_->own_loss.numbers;
        set_method();
        const std::int64_t replicates = chunk.replicates();
        const DataLayout layout = make_layout(e_, net_, replicates);
        const auto group = [&](std::int64_t config) {
            const std::int64_t problem = config / configs_per_problem(e_);
            return problem * layout.groups_per_problem + config % configs_per_problem(e_) / layout.configs;
        };
        steps_.first_group = group(chunk.first_config);
        records_ = steps_;
        first_problem_ = chunk.first_config / configs_per_problem(e_);
        stop_problem_ = (chunk.stop_config - 1) / configs_per_problem(e_) + 1;
        StateMemory memory(state);
        lay_out(steps_, records_, layout, group(chunk.stop_config - 1) - steps_.first_group + 1, replicates, memory);
        if (has_metrics()) {
            metrics_ = {};
            set_chunk(metrics_, e_, upload_->ensemble, chunk);
            metrics_.program = upload_->own_metrics.spec;
            metrics_.numbers = upload_->own_metrics.numbers;
            lay_out_metrics(metrics_, e_, chunk.configs(), replicates, shared_limit_, memory);
        }
        trajectories_ = double(chunk.configs()) * double(replicates);
        progress_ = {};
        sample_ = row_ = 0;
        started_ = false;
        part_ = next_part(0);
    }

    bool launch_next(const Pace& pace, Launched& launched) override {
        const bool due = started_ && sample_ == 0 && progress_.record < e_.record_count &&
                         e_.record_at[progress_.record] == progress_.step;
        if (due) {
            launched = part_ == points ? launch_points() : launch_rows(pace);
        } else if (started_ && progress_.step >= last_step_) {
            return false;
        } else {
            launched = launch_steps(pace);
        }
        return true;
    }

private:
    void set_method() {
        if (network_.method == nullptr) return;
        const ProgramSpec& program = *network_.method->program;
        MethodArrays& m = steps_.method;
        m.spec = upload_->method;
        m.program = upload_->method_program.spec;
        m.numbers = upload_->method_program.numbers;
        m.row = program.draws[0].count;
        m.parameters = program.first_constant(m.row) + program.constant_count;
        m.inputs = m.spec.evaluations + m.spec.constant_count;
    }

    // What a record takes, one after another, where it is wanted.
    enum Part { training_rows, test_rows, points, parts };

    bool has_metrics() const { return network_.own_metrics != nullptr; }
    bool keeps_points() const { return records_.points != nullptr && progress_.record == e_.record_count - 1; }
    bool wanted(int part) const {
        if (part == training_rows) return records_training(e_);
        if (part == test_rows) return records_test(e_);
        return keeps_points() || has_metrics();
    }
    int next_part(int part) const {
        while (part < parts && !wanted(part)) ++part;
        return part;
    }
    void finish_part() {
        part_ = next_part(part_ + 1);
        if (part_ < parts) return;
        ++progress_.record;
        part_ = next_part(0);
    }

    // Of a trajectory, in multiply-adds.
    double sample_work() const {  // but for products
        const ProgramSpec* const loss = network_.own_loss;
        return sample_overhead + (loss != nullptr ? numbers_computed(loss->gradient, loss->gradient_count) : 0);
    }
    double row_work() const { return double(net_.size) + sample_work(); }
    std::int64_t samples_of_step() const {
        return network_.batch_size * (network_.method != nullptr ? network_.method->evaluations : 1);
    }
    double step_work() const {
        const double passes = net_.layers > 1 ? 3 : 2;  // forward, back through the upper layers, sums
        return double(samples_of_step()) * (passes * double(net_.size) + sample_work()) + double(net_.size) +
               method_work() + step_overhead;
    }
    double method_work() const {
        if (network_.method == nullptr) return 0;
        const MethodSpec& m = *network_.method;
        const ProgramSpec& program = *m.program;
        double numbers = numbers_computed(program.gradient, program.gradient_count);
        for (int k = 0; k < m.evaluations; ++k) numbers += numbers_computed(m.points[k].code, m.points[k].count);
        if (m.block > 0) numbers *= double(net_.size) / double(m.block);
        return numbers + double(m.evaluations + 1) * numbers_computed(program.prologue, program.prologue_count) +
               double(program.draw_rows);
    }
    double trajectory_work() const {
        double rows = 0;
        for (const bool test : {false, true})
            if (test ? records_test(e_) : records_training(e_)) rows += double(most_rows(0, e_.problems.count, test));
        return double(last_step_) * step_work() + double(e_.record_count) * rows * row_work();
    }
    std::int64_t most_rows(std::int64_t first, std::int64_t stop, bool test) const {
        std::int64_t most = 0;
        for (std::int64_t i = first; i < stop; ++i)
            most = std::max(most, test ? e_.problems.data[i].test.rows : e_.problems.data[i].train.rows);
        return most;
    }

    DataWork work_of_steps() const {
        if (network_.method != nullptr) return DataWork::method_steps;
        const bool single = network_.batch_size == 1 && net_.layers == 1 && is_of_single_steps(network_.loss) &&
                            net_.row[0] <= most_single_spans * row_multiple;
        return single ? DataWork::single_steps : DataWork::steps;
    }

    // From the step at hand to the next record at most; a part of a step where that is long enough.
    Launched launch_steps(const Pace& pace) {
        const std::int64_t batch = samples_of_step();
        const double work = step_work(),
                     units = pace.units(LaunchKind::steps, batch, trajectories_ * work, work / row_multiple);
        const std::int64_t next = e_.record_at[progress_.record];
        steps_.start = !started_;
        steps_.first_step = progress_.step;
        steps_.first_window = progress_.window;
        steps_.first_sample = int(sample_);
        steps_.stop_sample = int(batch);
        double steps_taken;
        if (batch > steps_.layout.round && units < 1 && next > progress_.step) {
            const std::int64_t rounds =
                std::max(std::int64_t(units * double(batch)) / steps_.layout.round, std::int64_t(1));
            steps_.stop_step = progress_.step + 1;
            steps_.stop_sample = int(std::min(batch, sample_ + rounds * steps_.layout.round));
            steps_taken = double(steps_.stop_sample - sample_) / double(batch);
        } else {
            steps_.stop_step = std::min(next, progress_.step + whole_tiles(units));
            steps_taken = double(steps_.stop_step - progress_.step);
        }
        sample_ = steps_.stop_sample < batch ? steps_.stop_sample : 0;
        move_to(progress_, e_, sample_ > 0 ? progress_.step : steps_.stop_step);
        device_.launch(e_.precision, steps_);
        started_ = true;
        return {LaunchKind::steps, steps_taken * trajectories_ * work, trajectories_ * work};
    }

    Launched launch_rows(const Pace& pace) {
        const double work = row_work(),
                     units = pace.units(LaunchKind::records, 1, trajectories_ * work, work / row_multiple);
        const std::int64_t round = records_.layout.round;
        records_.work = DataWork::rows;
        records_.test = part_ == test_rows;
        records_.record = progress_.record;
        records_.first_row = row_;
        records_.last_row = most_rows(first_problem_, stop_problem_, records_.test);
        records_.stop_row = std::min(
            records_.last_row, row_ + std::max(std::int64_t(std::min(units, 1e12)) / round, std::int64_t(1)) * round);
        const double rows = double(records_.stop_row - row_);
        row_ = records_.stop_row;
        if (row_ >= records_.last_row) {
            row_ = 0;
            finish_part();
        }
        device_.launch(e_.precision, records_);
        return {LaunchKind::records, rows * trajectories_ * work, trajectories_ * work};
    }

    // Two passes over the points, which are little beside all else.
    Launched launch_points() {
        DataLaunch told = records_;
        ProgramLaunch metrics = metrics_;
        told.work = DataWork::points;
        told.record = metrics.first_record = progress_.record;
        told.method = steps_.method;
        told.taken = metrics.states;
        if (keeps_points()) {
            metrics.points = told.points;
            metrics.point_stride = told.point_stride;
        } else {
            told.points = metrics.points;
            told.point_stride = metrics.point_stride;
        }
        device_.launch(e_.precision, told);
        if (has_metrics()) device_.launch(e_.precision, metrics);
        finish_part();
        return {LaunchKind::records, 0, 0};
    }

    // Layouts and arrays of both kinds of launches; returns the number of blocks.
    double lay_out(DataLaunch& steps, DataLaunch& records, const DataLayout& layout, std::int64_t groups,
                   std::int64_t replicates, StateMemory& memory) const {
        steps.layout = records.layout = layout;
        steps.config_groups = records.config_groups = groups;
        const double blocks =
            double(steps.config_groups) * double(ceil_div(replicates, std::int64_t(1) << layout.log2_replicates));
        steps.blocks = records.blocks = std::int64_t(std::min(blocks, 9e18));
        steps.work = work_of_steps();
        records.work = DataWork::rows;

        const bool momentum = e_.momentum > 0, averaging = e_.iterate != Iterate::last;
        const std::int64_t batch = network_.batch_size;
        const bool in_place = !momentum || batch == 1 || batch == patch_edge;
        const std::int64_t real = real_bytes(e_), limit = shared_limit_ / real;
        // What is used most has the first claim on shared memory; beyond the points themselves no more of it than lets
        // two blocks share a multiprocessor.
        const auto claim = [&](std::int64_t& used, TeamArray& a, std::int64_t elements, std::int64_t most) {
            const std::int64_t size = shared_elements(elements) * block_threads;
            a.elements = elements;
            a.shared = elements > 0 && used + size <= most ? used : -1;
            if (a.shared >= 0) used += size;
        };
        const auto of_samples = [&](std::int64_t& used, DataLaunch& l) {
            claim(used, l.output, layout.round / row_multiple * net_.units[net_.layers - 1], limit / 2);
            claim(used, l.own_registers, own_registers(network_), limit / 2);
            for (int k = 0; k < net_.layers - 1; ++k) {
                const std::int64_t elements = layout.round * (padded_row(net_.units[k]) / row_multiple);
                claim(used, l.hidden[k], elements, limit / 2);
                if (l.work != DataWork::rows) claim(used, l.delta[k], elements, limit / 2);
            }
        };
        std::int64_t used = 0, used_by_records = 0;
        claim(used, steps.point, layout.spans, limit);
        claim(used, steps.low, layout.spans, limit / 2);
        claim(used, steps.velocity, momentum ? layout.spans : 0, limit / 2);
        of_samples(used, steps);
        claim(used, steps.sum, in_place ? 0 : layout.spans, limit / 2);
        MethodArrays& method = steps.method;
        if (network_.method != nullptr) {
            const auto all = [](std::int64_t numbers) { return ceil_div(numbers, row_multiple); };
            const MethodSpec& m = *network_.method;
            const ProgramSpec& program = *m.program;
            claim(used, method.registers, all(program.registers), limit / 2);
            claim(used, method.drawn, all(program.draw_rows), limit / 2);
            claim(used, method.losses, m.takes_values ? all(layout.round) : 0, limit / 2);
            // What steps leave to each other is in memory, where a launch that ends between them need not save it.
            const bool elsewhere = std::any_of(m.points, m.points + m.evaluations, [](auto& p) { return p.elsewhere; });
            const auto keep = [](TeamArray& a, std::int64_t elements) { a = {nullptr, elements, -1}; };
            keep(method.states, m.block > 0 ? program.state / m.block * layout.spans : all(program.state));
            keep(method.singles, all(m.single_count));
            keep(method.gradients, m.evaluations * layout.spans);
            keep(method.point, elsewhere ? layout.spans : 0);
            keep(method.values, m.takes_values ? m.evaluations : 0);
        }
        claim(used_by_records, records.point, layout.spans, limit);
        of_samples(used_by_records, records);
        steps.shared_bytes = used * real;
        records.shared_bytes = used_by_records * real;

        const auto take = [&](std::int64_t elements, std::int64_t bytes) {
            return memory.take(blocks * double(block_threads) * double(elements) * double(bytes));
        };
        const auto array = [&](const TeamArray& a, bool kept) {
            return take(kept || a.shared < 0 ? a.elements : 0, real);
        };
        const std::int64_t sums = averaging ? layout.spans : 0;
        steps.point.memory = array(steps.point, true);
        steps.low.memory = array(steps.low, true);
        steps.velocity.memory = array(steps.velocity, true);
        steps.sum.memory = array(steps.sum, batch > layout.round);
        steps.output.memory = array(steps.output, false);
        records.output.memory = array(records.output, false);
        for (TeamArray* const a : {&method.registers, &method.drawn, &method.losses, &method.states, &method.singles,
                                   &method.gradients, &method.point, &method.values})
            a->memory = array(*a, false);
        steps.own_registers.memory = array(steps.own_registers, false);
        records.own_registers.memory = array(records.own_registers, false);
        for (int k = 0; k < net_.layers - 1; ++k) {
            steps.hidden[k].memory = array(steps.hidden[k], false);
            steps.delta[k].memory = array(steps.delta[k], false);
            records.hidden[k].memory = array(records.hidden[k], false);
        }
        records.point.memory = averaging ? array(records.point, false) : steps.point.memory;
        records.x = steps.point.memory;
        records.losses = static_cast<double*>(take(1, 8));
        records.hits = static_cast<double*>(take(1, 8));
        steps.total = static_cast<double*>(take(sums, 8));
        steps.window_start = static_cast<double*>(take(layout.spans * most_open_windows(e_), 8));
        steps.segment = take(sums, real);
        records.total = steps.total;
        records.window_start = steps.window_start;
        records.segment = steps.segment;
        return blocks;
    }

    Device& device_;
    const EnsembleSpec& e_;
    const NetworkSpec& network_;
    const NetworkLayout net_;
    const std::int64_t last_step_, shared_limit_;
    std::unique_ptr<Upload> upload_;
    DataLaunch steps_{}, records_{};
    ProgramLaunch metrics_{};  // of one's own
    std::int64_t first_problem_ = 0, stop_problem_ = 0;
    double trajectories_ = 0;
    Progress progress_;
    std::int64_t sample_ = 0;  // of the step at hand: the next one
    std::int64_t row_ = 0;     // of the record at hand: the next one
    int part_ = 0;             // of the record at hand
    bool started_ = false;
};

}  // namespace

std::unique_ptr<Launcher> data_launcher(Device& device, const EnsembleSpec& ensemble) {
    return std::make_unique<DataLauncher>(device, ensemble);
}

}  // namespace anneal_sgd::cuda
