// The plain functions of the core are wanted here as well, as code of the host.
#define ASGD_ISA host
#include <stdexcept>

#include "placed_launcher.hpp"

namespace anneal_sgd::cuda {
namespace {

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
          shared_limit_(device.dynamic_shared_limit()) {}

private:
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
    }

    void prepare(ProgramLaunch& launch) override {
        launch.program = upload_->program.spec;
        launch.numbers = upload_->program.numbers;
    }

    void start(const ProgramLaunch& launch) override { device_.launch(e_.precision, launch); }

    const ProgramSpec& program_;
    const std::int64_t shared_limit_;
};

}  // namespace

std::unique_ptr<Launcher> program_launcher(Device& device, const EnsembleSpec& ensemble) {
    return std::make_unique<ProgramLauncher>(device, ensemble);
}

void lay_out_metrics(ProgramLaunch& launch, const EnsembleSpec& e, std::int64_t configs, std::int64_t replicates,
                     std::int64_t shared_limit, StateMemory& memory) {
    const ProgramSpec& program = *e.problems.network->own_metrics;
    const std::int64_t dimension = e.problems.dimension, real = real_bytes(e);
    launch.layout = layout_of_team(log2_team_of(longest_vector(program, dimension)), dimension, configs, replicates);
    const double blocks = block_count(launch.layout, configs, replicates);
    launch.config_groups = ceil_div(configs, launch.layout.configs);
    launch.blocks = std::int64_t(std::min(blocks, 9e18));
    launch.at_points = true;
    launch.points = memory.take(double(real) * double(dimension) * double(configs) * double(replicates));
    launch.point_stride = replicates;
    launch.rows.count = program.registers;
    place_rows(launch.rows, launch.layout, blocks, real, shared_limit, memory);
}

}  // namespace anneal_sgd::cuda
