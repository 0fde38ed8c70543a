// What a call is made of, as plain data: shared by every layer from the bindings down to the kernels.
// All parameters are float64 and may be strided views (stride 0 broadcasts); kernels round them to the dtype once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kinds.hpp"

namespace anneal_sgd {

inline constexpr int stream_version = 3;
inline constexpr std::int64_t block_replicates = 1024;  // replicates per block of statistics (docs/stream.md)
inline constexpr int segment_steps = 128;               // steps per tile of learning rates and per segment of averages

inline constexpr int row_multiple = 16;  // elements to which rows of data and of weights are padded with zeros
inline constexpr int max_layers = 3;     // of weights: two hidden layers

struct VectorView {
    const double* data;
    std::ptrdiff_t stride;  // in elements
};

struct MatrixView {
    const double* data;
    std::ptrdiff_t row_stride, column_stride;  // in elements
};

// Rows of features, their targets and weights, in the precision of the ensemble; rows are padded and begin on 64-byte
// boundaries. Targets are numbers, labels -1 and +1, or classes 0, 1, ....
struct DataView {
    const void* features;     // [row, padded input]
    const void* targets;      // [row]
    const void* row_weights;  // [row], of mean 1; null: all are 1
    std::int64_t rows;
};

struct ProgramSpec;
struct MethodSpec;
struct TakenPart;

inline constexpr std::int64_t most_step_numbers = 64;  // of a method that follow schedules

inline constexpr int loss_arguments = 2;  // registers of a program that is a loss: output and target

// A feed-forward network on data; one layer is a linear model. Problems of one call share it.
struct NetworkSpec {
    Loss loss;
    Activation activation;
    Sampling sampling;
    bool intercept;
    int layers;                          // of weights
    std::int64_t sizes[max_layers + 1];  // inputs, hidden units, outputs
    std::int64_t batch_size;
    const ProgramSpec* own_loss;     // with Loss::own: its value, and its derivative by the output as the gradient
    const ProgramSpec* own_metrics;  // of a point, and of what they take of a method's state; null: none
    const MethodSpec* method;        // null: SGD
    const TakenPart* taken;          // [part]: the state of the metrics' program, in order
    std::int64_t taken_count;
};

struct DataProblem {
    DataView train, test;
    double l2;
    double radius;     // of the ball about the origin
    double minimum;    // f* over the set
    const double* x0;  // [coordinate], or null: drawn
};

// Whether a projection keeps every coordinate in an interval of its own.
constexpr bool clamps(ProjectionKind kind) {
    switch (kind) {
        case ProjectionKind::none:
        case ProjectionKind::ball: return false;
        case ProjectionKind::box: return true;
    }
    __builtin_unreachable();
}

// Whether it needs all coordinates of a point at once.
constexpr bool couples_coordinates(ProjectionKind kind) {
    switch (kind) {
        case ProjectionKind::none:
        case ProjectionKind::box: return false;
        case ProjectionKind::ball: return true;
    }
    __builtin_unreachable();
}

// Numbers of a program, one for each replicate: row `row` of the registers, or of the draws, and where a value has
// several numbers those `step` rows apart. Step 0 is one number that is taken for several.
struct Operand {
    bool drawn;
    std::int32_t row, step;
};

// result[r] = operation(a[r], b[r], c[r]) for r = 0 .. length - 1, in registers `result`, `result` + 1, ...; what
// reduces, or has operands of another length, says so in program.hpp.
struct Instruction {
    Operation operation;
    std::int32_t result, length;
    Operand a, b, c;
    std::int32_t first, step, count;  // numbers that the operation needs besides
};

// Draws of one place in the program, `count` in a step: of coordinates 0, 1, .. of substream `substream`.
struct DrawSpec {
    DrawKind kind;
    std::uint32_t substream;
    std::int32_t row, count;
};

// Numbers first .. first + count - 1 of a method's state, and where code leaves them.
struct StatePart {
    Operand from;
    std::int32_t first, count;
};

// A problem's gradient, objective and metrics of one's own as straight-line code over registers, each of which holds a
// number for every replicate; or a loss of one's own, or metrics of one's own of a problem on data. Registers 0 ..
// dimension - 1 are the point, those after it what a method keeps of a trajectory, its state. Everything is checked
// before it comes here.
struct ProgramSpec {
    std::int64_t registers;
    std::int64_t state;  // numbers of a state
    // So many registers after it are filled in every step: with lr, the step's number from 1 on, and every number of
    // the ensemble's that follows a schedule, each before 1 minus it. 0, or at least 2.
    std::int64_t step_numbers;
    const double* constants;  // the registers after those
    std::int64_t constant_count;
    MatrixView parameters;  // [problem, parameter]: the registers after those
    std::int64_t parameter_count;
    const double* numbers;  // exponents, matrices row by row
    std::int64_t number_count;
    // Of constants and parameters alone; f'(x) with its noise, or what a method makes of it; f(x) and metrics of one's
    // own.
    const Instruction *prologue, *gradient, *value;
    std::int64_t prologue_count, gradient_count, value_count;
    Operand gradient_result, value_result;
    bool replaces;                   // the gradient's result is the point after the step, before the projection
    const StatePart* state_results;  // of the gradient's code: the state after the step
    const Instruction* state_start;  // of the start; what it leaves no number for is 0
    const StatePart* state_start_results;
    std::int64_t state_result_count, state_start_count, state_start_result_count;
    const DrawSpec* draws;  // of a step
    std::int64_t draw_count, draw_rows;
    // Where trajectories start, in place of x0, where it is drawn; the projection of the point, where it is one's own.
    bool starts, projects;
    const Instruction *start, *projection;
    std::int64_t start_count, projection_count;
    Operand start_result, projection_result;
    const DrawSpec* start_draws;
    std::int64_t start_draw_count, start_draw_rows;
    const Operand* own_results;  // [metric of one's own]
    std::int64_t own_count;

    // The register of the first constant.
    constexpr std::int64_t first_constant(std::int64_t dimension) const { return dimension + state + step_numbers; }
};

// Where a method takes a gradient: at x, or where code leads.
struct MethodPoint {
    bool elsewhere;
    const Instruction* code;
    std::int64_t count;
    Operand result;
};

// A method of a problem on data: a program whose registers are numbers of one trajectory. Values of several numbers
// begin at multiples of row_multiple there, as do inputs: one from evaluation to evaluation the gradients, then the
// constants of coordinates, then draws, all of which operands call drawn. Its parameters, row_multiple registers each,
// are the learning rate, the number of the step, the values of all evaluations, the single numbers of a state, and
// those that follow schedules, each before 1 minus it.
struct MethodSpec {
    const ProgramSpec* program;
    std::int64_t block;  // coordinates that its code takes at a time, whichever they are; 0: all of them, in order
    int evaluations;
    const MethodPoint* points;  // [evaluation]
    bool takes_values;
    const Operand *singles, *single_starts;  // [single]: after the step, and at the start
    std::int64_t single_count;
    std::int64_t step_numbers;  // how many of the last parameters there are
    const double* constants;    // [constant, coordinate]
    std::int64_t constant_count;
    const Operand* adam;  // [AdamNumber]: where its code is that of Adam, and takes blocks; else null
};

// A part of a method's state that metrics of one's own take: of its single numbers, number `first`; of a block's code
// the coordinates of the part that begins there; else numbers first .. first + count - 1.
struct TakenPart {
    bool single;
    std::int32_t first, count;
};

// The single numbers of Adam's step: beta and 1 - beta of both means, epsilon, and what the means are corrected by, the
// first to be divided by it, the second to be multiplied.
enum AdamNumber { adam_beta1, adam_rest1, adam_beta2, adam_rest2, adam_epsilon, adam_first, adam_second, adam_numbers };

// A strip of trajectories of a program and the steps that it is to take, for machine code; Real is the type of the
// precision. Rows are `row` elements long, as many as trajectories.
struct StepArguments {
    // Real: [coordinate, trajectory], after x the state; no sum where the last iterate is what is recorded.
    void *x, *low, *sum;
    const void* draws;  // Real: [draw, step, trajectory], draws `draws_apart` elements apart
    const void* signs;  // of Rademacher draws, as long as Real: [draw, word, trajectory], a word has 32 from its top
    const void* registers;  // Real: [register, trajectory], of which constants, parameters and the prologue's are read
    const void* numbers;    // Real: of the program
    const void *lower, *upper;  // Real: [coordinate], of the box
    const void* radius;         // Real: that of the ball, and its square
    const void* minus_lr;       // Real: [config, step], those of a config segment_steps apart
    const void* step_numbers;   // Real: [number, step], those of a number segment_steps apart: as in a ProgramSpec
    void* scratch;              // Real: [MachineCode::scratch]
    std::int64_t steps, row;
    std::int64_t draws_apart;   // elements between draws, or those that are signs
    std::int64_t trajectories;  // of a row that are wanted, from its begin: a multiple of MachineCode::lanes
    std::int64_t first_sign;    // place among the signs of the first step's
    std::int64_t first_step;    // number of the first of them, from 0 on
};

// What takes the steps of a program in the interpreter's place, for strips that are a multiple of `lanes` long and hold
// `part` trajectories of each config. Of the program, precision, kind of projection and instruction set of the call,
// and with or without sums of iterates as its iterate needs them.
struct MachineCode {
    void (*take_steps)(const StepArguments*);  // null: there is none
    std::int64_t lanes, part, scratch;
};

// What a method on data is to make of trajectories whose points follow on one another, for machine code; Real is the
// type of the precision. Arrays of coordinates are laid out as padded points are, and hold `count` elements.
struct MethodArguments {
    void *x, *low;
    void* states;            // [part]: state_row elements apart
    const void* gradients;   // [evaluation]: gradient_row elements apart
    const void* constants;   // [constant of coordinates]: constant_row elements apart
    const void* parameters;  // of MethodSpec: row_multiple elements apart
    void* singles;           // [single]: after the step
    void* scratch;           // [MethodCode::scratch]
    void* point;             // where a gradient is to be taken
    std::int64_t count, state_row, gradient_row, constant_row;
};

using MethodFunction = void (*)(const MethodArguments*);

// What runs in the place of a method's instructions, of the precision, layout of points and instruction set of the
// call, which takes trajectories one by one unless the method's code takes blocks.
struct MethodCode {
    MethodFunction take_step;      // null: there is none
    const MethodFunction* points;  // [evaluation]: null at x
    std::int64_t scratch;
    const double* constants;  // [constant, coordinate]: in place of the method's
    std::int64_t constant_count;
};

namespace cuda {
struct StepsCode;
}

struct ProblemSpec {
    const NetworkSpec* network;  // null: a separable problem, which `kind` and the arrays below describe, or a program
    const DataProblem* data;     // [problem], with a network
    const ProgramSpec* program;  // null, or in place of kind, noise, weight, noise_std and shape_parameter
    ProblemKind kind;
    NoiseKind noise;
    ProjectionKind projection;
    std::int64_t count, dimension;
    MatrixView weight;           // [problem, coordinate]: slope a, curvature lambda
    MatrixView noise_std;        // [problem, coordinate]
    MatrixView lower, upper;     // [problem, coordinate]: the box
    MatrixView x0;               // [problem, coordinate]
    VectorView shape_parameter;  // [problem]: Huber's width delta; 1 where a kind has none
    VectorView radius;           // [problem]: the ball about the origin
    VectorView minimum;          // [problem]: f* over the set
};

struct SchedulePiece;

struct ScheduleSpec {
    ScheduleKind kind;
    CooldownShape cooldown;
    double parameter;       // degree, final value, factor or cooldown_frac
    double timescale_frac;  // of inverse_power; 0: one step
    double floor, warmup_frac;
    const double* table;  // values by fraction or by step, fractions and values of knots, or step-decay milestones
    std::int64_t table_size;
    const SchedulePiece* pieces;  // where there are any, they are the schedule
    std::int64_t piece_count;
};

// A stretch of a joined schedule. Times are numbers of steps, whole or not.
struct SchedulePiece {
    ScheduleSpec shape;   // itself without pieces
    double begin;         // the piece holds until the next one's
    double from, length;  // the shape's horizon, which may be another stretch than the piece's
    double runs;          // so many, whole, one after the other; before and after them the shape is held
    double stride;        // > 0: changes only so often
    double scale;
    bool reversed;  // from the shape's end to its beginning
};

struct EnsembleSpec {
    ProblemSpec problems;
    const ScheduleSpec* schedules;  // [schedule], then [number]: those that a method's numbers follow
    const double* base_lr;
    const std::int64_t* record_at;  // strictly increasing, in 0..horizon
    std::int64_t schedule_count, base_lr_count, record_count;
    std::int64_t horizon;
    Iterate iterate;
    double tail_frac, ema_decay, average_degree;
    bool common_random_numbers;
    Precision precision;
    std::uint64_t seed;
    double momentum, weight_decay;
    bool nesterov;
    const Metric* metrics;  // what is recorded at every step of record_at
    std::int64_t metric_count;
    MachineCode machine_code;     // of a program, on the CPU
    cuda::StepsCode* steps_code;  // the same on devices, or null
    MethodCode method_code;       // of a method on data, on the CPU
    bool keep_iterates;           // the points of the last record are told as well
    const double* number_ends;    // [number, end]: what a method's numbers are where their schedules are 0, and are 1
    std::int64_t number_count;
};

// Configs first_config .. stop_config - 1 of an ensemble on replicates first_replicate .. stop_replicate - 1.
struct Rectangle {
    std::int64_t first_config, stop_config;
    std::int64_t first_replicate, stop_replicate;

    // Not for the units of an instruction set.
    std::int64_t configs() const { return stop_config - first_config; }
    std::int64_t replicates() const { return stop_replicate - first_replicate; }
};

// In C order over problems, schedules, learning rates.
inline std::int64_t config_count(const EnsembleSpec& e) {
    return e.problems.count * e.schedule_count * e.base_lr_count;
}

// f(Real()), Real the type of the precision. Not for the units of an instruction set.
template <class F>
auto with_real(Precision precision, F f) {
    switch (precision) {
        case Precision::float32: return f(float());
        case Precision::float64: return f(double());
    }
    __builtin_unreachable();
}

inline std::int64_t real_bytes(const EnsembleSpec& e) {
    return with_real(e.precision, [](auto real) { return std::int64_t(sizeof(real)); });
}

// Values recorded per trajectory, in C order over steps and metrics; one of them is a "record" below.
inline std::int64_t values_recorded(const EnsembleSpec& e) { return e.record_count * e.metric_count; }

}  // namespace anneal_sgd
