// A launcher: what the driver runs, a family of kernels and its way to take a chunk of trajectories through the
// horizon. Included by the driver and by the launchers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "device.hpp"

namespace anneal_sgd::cuda {

// Trajectories whose state is on the device together, and where their recorded values and last points go, as in Launch.
struct Chunk : Rectangle {
    void* values;
    std::int64_t value_stride;
    void* points;
    std::int64_t point_stride;
};

// What a chunk takes. In doubles, because plans are tried that no integer holds.
struct Footprint {
    double bytes, blocks;
};

// How long launches may be: kinds of launches have speeds of their own. Work is counted in coordinate-steps of
// separable problems and in multiply-adds of problems on data.
enum class LaunchKind { steps, records };

class Pace {
public:
    virtual ~Pace() = default;
    // How many units, steps or rows, a launch may take: each of so many rows of data, and of so much work for the chunk
    // and for one of its threads, which takes them one after another. Below 1 for a part of a step.
    virtual double units(LaunchKind kind, std::int64_t rows, double work, double thread_work) const = 0;
};

struct Launched {
    LaunchKind kind;
    double work, unit_work;  // of the launch, and of one of its units
};

class Launcher {
public:
    virtual ~Launcher() = default;
    virtual Footprint footprint(std::int64_t configs, std::int64_t replicates) const = 0;
    virtual double data_bytes() const = 0;  // on the device throughout
    // Of all launches of a chunk, and of one of its threads.
    virtual double work(std::int64_t configs, std::int64_t replicates) const = 0;
    virtual double thread_work(std::int64_t configs, std::int64_t replicates) const = 0;
    virtual void upload() = 0;  // once, before the first chunk
    virtual void begin(const Chunk& chunk, void* state) = 0;
    // Enqueues the next launch of the chunk; false where there is none left.
    virtual bool launch_next(const Pace& pace, Launched& launched) = 0;
};

std::unique_ptr<Launcher> ensemble_launcher(Device& device, const EnsembleSpec& ensemble);
std::unique_ptr<Launcher> program_launcher(Device& device, const EnsembleSpec& ensemble);
std::unique_ptr<Launcher> data_launcher(Device& device, const EnsembleSpec& ensemble);

// Of the layout of a program's kernel, which machine code for it must know.
int log2_team_of_program(const ProgramSpec& program, std::int64_t dimension);

// --- for the launchers

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
inline int log2_ceil(std::int64_t n) {
    int log2 = 0;
    while ((std::int64_t(1) << log2) < n) ++log2;
    return log2;
}

// Of a program, instructions of every part.
template <class F>
void for_each_instruction(const ProgramSpec& p, F f) {
    std::for_each(p.prologue, p.prologue + p.prologue_count, f);
    std::for_each(p.gradient, p.gradient + p.gradient_count, f);
    std::for_each(p.value, p.value + p.value_count, f);
    std::for_each(p.start, p.start + p.start_count, f);
    std::for_each(p.projection, p.projection + p.projection_count, f);
    std::for_each(p.state_start, p.state_start + p.state_start_count, f);
}
inline double numbers_computed(const Instruction* code, std::int64_t count) {
    double numbers = 0;
    std::for_each(code, code + count, [&](const Instruction& i) {
        numbers +=
            i.operation == Operation::matvec ? double(i.length) * double(i.count) : double(std::max(i.length, i.count));
    });
    return numbers;
}

// Hands out the arrays of a chunk's state from its memory, or, without memory, counts what they take.
class StateMemory {
public:
    explicit StateMemory(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}
    void* take(double bytes) {
        void* const p = memory_ == nullptr || bytes == 0 ? nullptr : memory_ + std::int64_t(used_);
        used_ += std::ceil(bytes / 256) * 256;
        return p;
    }
    double used() const { return used_; }

private:
    char* memory_;
    double used_ = 0;
};

// Where a chunk is in the horizon.
struct Progress {
    std::int64_t step = 0, record = 0, window = 0;  // the next ones
};

// Of metrics of one's own of a problem on data: the launches for so many trajectories, but for what set_chunk fills in
// and the program. They have memory for the points of a record, and for what they take of a method's state.
void lay_out_metrics(ProgramLaunch& launch, const EnsembleSpec& ensemble, std::int64_t configs, std::int64_t replicates,
                     std::int64_t shared_limit, StateMemory& memory);

// Fills in what every launch of a chunk has.
void set_chunk(Launch& launch, const EnsembleSpec& ensemble, const EnsembleSpec& on_device, const Chunk& chunk);

// Moves on to a step, past the windows that begin by then.
void move_to(Progress& progress, const EnsembleSpec& ensemble, std::int64_t step);

// Whole tiles, so that few launches cut one, but where a tile is too long.
std::int64_t whole_tiles(double steps);

}  // namespace anneal_sgd::cuda
