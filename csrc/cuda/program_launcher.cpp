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
        ProgramRows& rows = launch.rows;
        const std::int64_t dimension = e_.problems.dimension, per_call = 16 / real_bytes(e_);
        rows.draws = program_.registers;
        rows.low = rows.draws + std::max(program_.draw_rows, program_.start_draw_rows) * per_call;
        rows.sum = rows.low + dimension;
        rows.count = rows.sum + (e_.iterate != Iterate::last ? dimension : 0);
        const std::int64_t quadruples = block_places / 4 >> launch.layout.log2_team;
        // Neighbouring threads are to meet different banks: rows lie together, an odd number of them.
        const std::int64_t padded = rows.count | 1;
        rows.block_size = 4 * quadruples * padded;
        constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();  // the kernel's addresses are so long
        if (rows.block_size > most)
            throw std::invalid_argument("backend 'cuda' takes programs of at most " +
                                        std::to_string(most / (4 * quadruples)) + " numbers for a trajectory, got " +
                                        std::to_string(rows.count));
        rows.shared_bytes = rows.block_size * real_bytes(e_);
        if (rows.shared_bytes > shared_limit_) rows.shared_bytes = 0;
        if (rows.shared_bytes > 0 || quadruples == block_places / 4 / host::accumulators) {
            rows.apart = 1;
            rows.quadruples_apart = padded;
            rows.replicates_apart = quadruples * padded;
        } else {  // neighbouring threads' numbers of a row are to lie together
            rows.quadruples_apart = 1;
            rows.replicates_apart = quadruples;
            rows.apart = 4 * quadruples;
        }
        launch.x = memory.take(real * elements);
        launch.low = memory.take(real * elements);
        launch.states = memory.take(real * blocks * double(program_.state) * double(4 * quadruples));
        rows.memory = memory.take(rows.shared_bytes > 0 ? 0 : real * blocks * double(rows.block_size));
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

}  // namespace anneal_sgd::cuda
