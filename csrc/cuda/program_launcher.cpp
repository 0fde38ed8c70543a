// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include <stdexcept>

#include "placed_launcher.hpp"

namespace anneal_sgd::cuda {
namespace {

constexpr std::int64_t most_tile = segment_steps;  // steps of machine code at once, whose draws are in memory:
constexpr std::int64_t least_tile = 16;            // as many as leave these to the caches of a large GPU, but so many
constexpr double draws_limit = 1 << 25;            // bytes
constexpr std::int64_t least_between = 8;          // steps between records, that two launches for each are worth

// Of everything that a team shares out.
std::int64_t longest_vector(const ProgramSpec& p, std::int64_t dimension) {
    std::int64_t longest = dimension;
    const auto at_least = [&](std::int64_t n) { longest = std::max(longest, n); };
    for_each_instruction(p, [&](const Instruction& i) {
        at_least(i.length);
        at_least(i.count);
    });
    for (std::int64_t k = 0; k < p.state_result_count; ++k) at_least(p.state_results[k].count);
    for (std::int64_t d = 0; d < p.draw_count; ++d) at_least(p.draws[d].count);
    for (std::int64_t d = 0; d < p.start_draw_count; ++d) at_least(p.start_draws[d].count);
    return longest;
}

double numbers_of_step(const ProgramSpec& p, std::int64_t dimension) {
    return double(dimension) + double(p.draw_rows) + numbers_computed(p.gradient, p.gradient_count) +
           numbers_computed(p.projection, p.projection_count);
}

// Where rows.count rows of numbers are.
void place_rows(ProgramRows& rows, const Layout& layout, double blocks, std::int64_t real, std::int64_t shared_limit,
                StateMemory& memory) {
    const std::int64_t quadruples = block_places / 4 >> layout.log2_team;
    // Neighbouring threads are to meet different banks: rows lie together, an odd number of them.
    const std::int64_t padded = rows.count | 1;
    rows.block_size = 4 * quadruples * padded;
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();  // the kernel's addresses are so long
    if (rows.block_size > most)
        throw std::invalid_argument("backend 'cuda' takes programs of at most " +
                                    std::to_string(most / (4 * quadruples)) + " numbers for a trajectory, got " +
                                    std::to_string(rows.count));
    rows.shared_bytes = rows.block_size * real;
    if (rows.shared_bytes > shared_limit) rows.shared_bytes = 0;
    if (rows.shared_bytes > 0 || quadruples == block_places / 4 / host::accumulators) {
        rows.apart = 1;
        rows.quadruples_apart = padded;
        rows.replicates_apart = quadruples * padded;
    } else {  // neighbouring threads' numbers of a row are to lie together
        rows.quadruples_apart = 1;
        rows.replicates_apart = quadruples;
        rows.apart = 4 * quadruples;
    }
    rows.memory = memory.take(rows.shared_bytes > 0 ? 0 : double(real) * blocks * double(rows.block_size));
}

class ProgramLauncher final : public PlacedLauncher<ProgramLaunch> {
public:
    ProgramLauncher(Device& device, const EnsembleSpec& e)
        : PlacedLauncher(device, e, longest_vector(*e.problems.program, e.problems.dimension),
                         numbers_of_step(*e.problems.program, e.problems.dimension), false),
          program_(*e.problems.program),
          shared_limit_(device.dynamic_shared_limit()),
          code_(takes(e) ? device.load(*e.steps_code) : nullptr) {}

    bool launch_next(const Pace& pace, Launched& launched) override {
        if (code_ == nullptr) return PlacedLauncher::launch_next(pace, launched);
        if (started_ && progress_.step >= last_step_) return false;
        started_ = true;
        const std::int64_t first = progress_.step;
        const double steps = pace.units(LaunchKind::steps, 0, step_work_, thread_step_work(launch_.layout));
        const std::int64_t stop = std::min(last_step_, first + whole_tiles(steps));
        while (progress_.step < stop) {
            leave_to_code(end_of_tile(stop));
            take_steps();
            progress_.step = launch_.stop_step;
        }
        if (stop == last_step_) leave_to_code(stop);
        launched = {LaunchKind::steps, double(stop - first) * step_work_, step_work_};
        return true;
    }

private:
    // Whether machine code, where there is some, is to take the steps: not where each is followed by something else.
    static bool takes(const EnsembleSpec& e) {
        return e.steps_code != nullptr && host::segment_length(e) >= most_tile &&
               e.record_count * least_between <= e.record_at[e.record_count - 1];
    }

    // Records what is due, and makes what the steps from here to `stop` take.
    void leave_to_code(std::int64_t stop) {
        const std::int64_t t = launch_.first_step = progress_.step;
        launch_.stop_step = stop;
        launch_.first_record = progress_.record;
        launch_.first_window = progress_.window;
        move_to(progress_, e_, t);
        while (progress_.record < e_.record_count && e_.record_at[progress_.record] <= t) ++progress_.record;
        const bool closes = e_.iterate != Iterate::last && t % host::segment_length(e_) == 0;
        launch_.only_draws =
            t > 0 && !closes && progress_.record == launch_.first_record && progress_.window == launch_.first_window;
        start(launch_);
    }

    // Where the next steps end, at `stop` at the latest: with a tile, or where something is due.
    std::int64_t end_of_tile(std::int64_t stop) const {
        const std::int64_t t = progress_.step;
        stop = std::min(stop, t - t % launch_.rates_row + launch_.rates_row);
        for (std::int64_t r = progress_.record; r < e_.record_count; ++r)
            if (e_.record_at[r] > t) {
                stop = std::min(stop, e_.record_at[r]);
                break;
            }
        for (std::int64_t w = progress_.window; w < e_.record_count; ++w)
            if (host::window_start(e_, w) > t) {
                stop = std::min(stop, host::window_start(e_, w));
                break;
            }
        return stop;
    }

    void take_steps() {
        const ProblemSpec& problems = upload_->ensemble.problems;
        const MatrixView& parameters = launch_.program.parameters;
        const std::int64_t trajectories = block_places >> launch_.layout.log2_team;
        const std::int64_t real = real_bytes(e_), before = launch_.first_step % (16 / real);
        StepsLaunch s{};
        s.x = launch_.x;
        s.low = launch_.low;
        s.sum = launch_.segment;
        s.states = launch_.states;
        s.drawn = static_cast<const char*>(launch_.drawn) + before * launch_.draw_step * real;
        s.rates = launch_.rates;
        s.parameters = parameters.data;
        s.parameter_row = parameters.row_stride;
        s.parameter_column = parameters.column_stride;
        s.lower = problems.lower.data;
        s.lower_row = problems.lower.row_stride;
        s.lower_column = problems.lower.column_stride;
        s.upper = problems.upper.data;
        s.upper_row = problems.upper.row_stride;
        s.upper_column = problems.upper.column_stride;
        s.radius = problems.radius.data;
        s.radius_row = problems.radius.stride;
        s.first_config = launch_.first_config;
        s.stop_config = launch_.stop_config;
        s.first_replicate = launch_.first_replicate;
        s.stop_replicate = launch_.stop_replicate;
        s.config_groups = launch_.config_groups;
        s.configs_per_problem = e_.schedule_count * e_.base_lr_count;
        s.log2_replicates = launch_.layout.log2_replicates;
        s.configs = launch_.layout.configs;
        s.blocks = launch_.blocks;
        s.steps = launch_.stop_step - launch_.first_step;
        s.first_step = launch_.first_step;
        s.draw_block = launch_.draw_block;
        s.draw_step = launch_.draw_step;
        s.rates_row = launch_.rates_row;
        device_.launch(code_.get(), s, ceil_div(launch_.blocks * trajectories, steps_threads));
    }

    void place(ProgramLaunch& launch, double blocks, double elements, StateMemory& memory) const override {
        const double real = double(real_bytes(e_));
        const std::int64_t dimension = e_.problems.dimension, per_call = 16 / real_bytes(e_);
        ProgramRows& rows = launch.rows;
        rows.draws = program_.registers;
        rows.low = rows.draws + std::max(program_.draw_rows, program_.start_draw_rows) * per_call;
        rows.sum = rows.low + dimension;
        rows.count = rows.sum + (e_.iterate != Iterate::last ? dimension : 0);
        place_rows(rows, launch.layout, blocks, real_bytes(e_), shared_limit_, memory);
        launch.x = memory.take(real * elements);
        launch.low = memory.take(real * elements);
        launch.states =
            memory.take(real * blocks * double(program_.state) * double(block_places >> launch.layout.log2_team));
        if (code_ == nullptr) return;
        const double groups = blocks * double((block_places / 32) >> launch.layout.log2_team);
        launch.steps_elsewhere = true;
        launch.draw_step = 32 * program_.draw_rows;
        const auto bytes = [&](std::int64_t steps) { return real * groups * double(steps * launch.draw_step); };
        launch.rates_row = most_tile;
        while (launch.rates_row > least_tile && bytes(launch.rates_row) > draws_limit) launch.rates_row /= 2;
        // A tile may begin and end within the steps of a call.
        launch.draw_block = (launch.rates_row + per_call) * launch.draw_step;
        launch.drawn = memory.take(bytes(launch.rates_row + per_call));
        launch.rates = memory.take(real * blocks * double(launch.layout.configs * launch.rates_row));
    }

    void prepare(ProgramLaunch& launch) override {
        launch.program = upload_->program.spec;
        launch.numbers = upload_->program.numbers;
    }

    void start(const ProgramLaunch& launch) override { device_.launch(e_.precision, launch); }

    const ProgramSpec& program_;
    const std::int64_t shared_limit_;
    const std::shared_ptr<void> code_;  // null: the interpreter takes the steps
};

}  // namespace

int log2_team_of_program(const ProgramSpec& program, std::int64_t dimension) {
    return log2_team_of(longest_vector(program, dimension));
}

std::unique_ptr<Launcher> program_launcher(Device& device, const EnsembleSpec& ensemble) {
    return std::make_unique<ProgramLauncher>(device, ensemble);
}

void lay_out_metrics(ProgramLaunch& launch, const EnsembleSpec& e, std::int64_t configs, std::int64_t replicates,
                     std::int64_t shared_limit, StateMemory& memory) {
    const ProgramSpec& program = *e.problems.network->own_metrics;
    const std::int64_t dimension = e.problems.dimension, real = real_bytes(e);
    launch.layout = layout_of_team(log2_team_of(longest_vector(program, dimension)), dimension, 0, configs, replicates);
    const double blocks = block_count(launch.layout, configs, replicates);
    launch.config_groups = ceil_div(configs, launch.layout.configs);
    launch.blocks = std::int64_t(std::min(blocks, 9e18));
    launch.at_points = true;
    launch.points = memory.take(double(real) * double(dimension) * double(configs) * double(replicates));
    launch.point_stride = replicates;
    launch.states = memory.take(double(real) * double(program.state) * double(configs) * double(replicates));
    launch.rows.count = program.registers;
    place_rows(launch.rows, launch.layout, blocks, real, shared_limit, memory);
}

}  // namespace anneal_sgd::cuda
