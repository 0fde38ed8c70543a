"""Compiled core. Arrays cross this border as float64 NumPy arrays of any strides; broadcast views are read in place."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from . import testing as testing

__version__: str
STREAM_VERSION: int
EXCEEDANCE_BINS: int
BLOCK_REPLICATES: int

class ProblemKind(enum.Enum):
    absolute_value = ...
    quadratic = ...
    huber = ...

class NoiseKind(enum.Enum):
    none = ...
    rademacher = ...
    gaussian = ...
    uniform = ...

class ProjectionKind(enum.Enum):
    none = ...
    box = ...
    ball = ...

class ScheduleKind(enum.Enum):
    constant = ...
    inverse_power = ...
    polynomial = ...
    linear = ...
    cosine = ...
    one_minus_sqrt = ...
    exponential = ...
    step_decay = ...
    warmup_stable_decay = ...
    tabulated = ...
    knots = ...
    per_step = ...

class CooldownShape(enum.Enum):
    linear = ...
    cosine = ...
    one_minus_sqrt = ...

class Iterate(enum.Enum):
    last = ...
    average = ...
    tail_average = ...
    ema = ...
    polynomial_average = ...

class Precision(enum.Enum):
    float32 = ...
    float64 = ...

class Loss(enum.Enum):
    squared = ...
    logistic = ...
    hinge = ...
    softmax = ...
    own = ...

class Activation(enum.Enum):
    relu = ...
    tanh = ...

class Sampling(enum.Enum):
    with_replacement = ...
    reshuffling = ...
    sequential = ...

class Metric(enum.Enum):
    suboptimality = ...
    loss = ...
    test_loss = ...
    test_accuracy = ...
    value = ...
    own = ...

class Operation(enum.Enum):
    negative = ...
    absolute = ...
    sign = ...
    sqrt = ...
    exp = ...
    log = ...
    sin = ...
    cos = ...
    tanh = ...
    power = ...
    add = ...
    subtract = ...
    multiply = ...
    divide = ...
    minimum = ...
    maximum = ...
    less = ...
    fma = ...
    select = ...
    sum = ...
    sum_product = ...
    max = ...
    min = ...
    first_max = ...
    first_min = ...
    matvec = ...
    embed = ...
    rint = ...
    arctan = ...
    erf = ...

class DrawKind(enum.Enum):
    gaussian = ...
    rademacher = ...
    uniform = ...
    unit = ...

# features (rows, inputs padded to 16), 64-byte aligned, targets (rows,) and weights (rows,) of mean 1
_Data = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]

class Program:
    """Instructions over registers, one number per trajectory in each: see `programs._lower`, which makes them.

    Code has a row (operation, result, length, then drawn, row, step of three operands, first, step, count) for each.
    """

    def __init__(
        self,
        *,
        dimension: int,
        registers: int,
        constants: NDArray[np.float64],
        parameter_count: int,
        numbers: NDArray[np.float64],  # exponents, matrices
        draws: NDArray[np.int64],  # (draws, 4): kind, first substream, first row, how many
        prologue: NDArray[np.int64],
        gradient: NDArray[np.int64],
        value: NDArray[np.int64],
        gradient_result: list[int],  # drawn, row, step
        value_result: list[int],
        own_results: list[list[int]] = ...,  # of metrics of one's own, which `value` computes as well
        start: NDArray[np.int64] = ...,  # where trajectories start, in place of x0
        start_draws: NDArray[np.int64] = ...,
        start_result: list[int] = ...,  # empty: there is none
        projection: NDArray[np.int64] = ...,
        projection_result: list[int] = ...,  # empty: there is none
        state: int = ...,  # numbers that a method keeps of a trajectory, in the registers after the point
        step_numbers: int = ...,  # registers after those that every step fills: as `programs._ir.STEP` names them
        replaces: bool = ...,  # `gradient_result` is the point after the step, not what lr multiplies
        state_results: NDArray[np.int64] = ...,  # (parts, 5): drawn, row, step, first of the state, how many
        state_start: NDArray[np.int64] = ...,
        state_start_results: NDArray[np.int64] = ...,  # of what it leaves out the state begins with zeros
    ) -> None: ...

class Method:
    """A method of problems on data: see `programs._lower_method`, which makes them."""

    def __init__(
        self,
        *,
        program: Program,
        points: list[tuple[NDArray[np.int64], list[int]]],  # of every evaluation: code, and drawn, row, step; [] at x
        takes_values: bool,
        singles: list[list[int]],  # single numbers of the state after a step: drawn, row, step
        single_starts: list[list[int]],
        constants: NDArray[np.float64],  # (constants, coordinates), of a program that takes blocks
        block: int,  # coordinates that its code takes at a time; 0: all of them
        adam: list[list[int]],  # numbers of Adam's step, where that is what the program is; else empty
    ) -> None: ...

class MachineCode:
    """A function in memory that takes steps of a program in the interpreter's place: `StepArguments` of core/spec.hpp.

    It is of the program, precision, kind of projection and instruction set of a call, and of its iterate: with sums, or
    without where that is the last; a device does not use it. `part` trajectories of a strip are one config's. `owner`,
    which keeps it in memory, lives as long as this.
    """

    def __init__(self, *, address: int, lanes: int, part: int, scratch: int, owner: object) -> None: ...

class StepsCode:
    """The same for devices: PTX of a kernel `steps`, whose parameter is `StepsLaunch` of cuda/launch.hpp.

    It is of the program, precision, kind of projection and layout, `log2_team`, of a call, and of its iterate.
    `emulated`: the address of a function that does the same for a thread of the emulated device, which `owner` keeps.
    A device that cannot load it runs the interpreter: `cuda_why_no_steps_code`.
    """

    def __init__(self, *, ptx: str, log2_team: int, emulated: int = 0, owner: object = None) -> None: ...

class MethodCode:
    """Functions in memory in the place of the interpreter of a method on data: `MethodArguments` of core/spec.hpp.

    `address`: what takes a step; `points`: by evaluation, what finds where a gradient is taken, 0 at x. They are of the
    program, precision, sizes of layers and instruction set of a call; a device does not use them.
    """

    def __init__(
        self,
        *,
        address: int,
        points: list[int],
        scratch: int,
        constants: NDArray[np.float64],  # (constants, coordinates), in place of the method's
        owner: object,
    ) -> None: ...

class Problems:
    """Separable problems of one kind and dimension, networks on data, or problems that are a program."""

    @overload
    def __init__(
        self,
        *,
        kind: ProblemKind,
        noise: NoiseKind,
        projection: ProjectionKind,
        weight: NDArray[np.float64],  # (problems, dimension): slope a, curvature lambda, Huber slope a
        shape_parameter: NDArray[np.float64],  # (problems,): delta; 1 elsewhere
        noise_std: NDArray[np.float64],  # (problems, dimension)
        lower: NDArray[np.float64],  # (problems, dimension): box
        upper: NDArray[np.float64],  # (problems, dimension): box
        radius: NDArray[np.float64],  # (problems,): ball
        x0: NDArray[np.float64],  # (problems, dimension)
        minimum: NDArray[np.float64],  # (problems,): f* over the set
    ) -> None:
        """Parameter arrays of shape (problems, dimension) or (problems,)."""
    @overload
    def __init__(
        self,
        *,
        loss: Loss,
        activation: Activation,
        sampling: Sampling,
        intercept: bool,
        sizes: list[int],  # inputs, hidden units, outputs
        batch_size: int,
        projection: ProjectionKind,
        precision: Precision,  # of the data
        # train, test, l2, radius, minimum, x0
        problems: list[tuple[_Data, _Data | None, float, float, float, NDArray[np.float64] | None]],
        own_loss: Program | None = ...,  # with Loss.own: of the point (output, target)
        own_metrics: Program | None = ...,  # of a point, and parts of a method's state: its own results
        method: Method | None = ...,  # in place of SGD
        own_state: NDArray[np.int64] = ...,  # (parts, 3) of own_metrics: whether a single number, first, count
    ) -> None:
        """Data that the core reads as it lies."""
    @overload
    def __init__(
        self,
        *,
        program: Program,
        projection: ProjectionKind,
        parameters: NDArray[np.float64],  # (problems, parameters)
        lower: NDArray[np.float64],  # (problems, dimension): box
        upper: NDArray[np.float64],  # (problems, dimension): box
        radius: NDArray[np.float64],  # (problems,): ball
        x0: NDArray[np.float64],  # (problems, dimension)
        minimum: NDArray[np.float64],  # (problems,): f* over the set
    ) -> None:
        """One program for all problems, which differ in its parameters, their sets and starts."""
    @property
    def count(self) -> int: ...
    @property
    def dimension(self) -> int: ...

class SchedulePiece:
    """A stretch of a joined schedule, in steps, whole or not: from `begin` to the next piece's.

    Its shape's horizon begins at `start` and takes `length` steps, `runs` times; the shape is held before and after.
    """

    def __init__(
        self,
        shape: Schedule,
        *,
        begin: float,
        start: float,
        length: float,
        runs: float = 1.0,
        stride: float = 0.0,  # > 0: changes only every so many steps
        scale: float = 1.0,
        reversed: bool = False,
    ) -> None: ...

class Schedule:
    """A kind, whose `parameter` is the degree, the final value, the factor or the cooldown_frac; or pieces."""

    @overload
    def __init__(
        self,
        kind: ScheduleKind,
        *,
        parameter: float = 0.0,
        timescale_frac: float = 0.0,  # of inverse_power; 0: one step
        cooldown: CooldownShape = ...,
        floor: float = 0.0,
        warmup_frac: float = 0.0,
        # values by fraction or by step, fractions and values of knots, or step-decay milestones; read where it lies
        table: NDArray[np.float64] = ...,
    ) -> None: ...
    @overload
    def __init__(self, *, pieces: list[SchedulePiece]) -> None: ...
    def at(self, u: NDArray[np.float64], horizon: int) -> NDArray[np.float64]:
        """h(u, 1 - u) for a 1-D array u in [0, 1]."""
    def values(self, horizon: int, first: int, stop: int) -> NDArray[np.float64]:
        """h at steps first..stop-1, exactly as a simulation uses them."""

class Ensemble:
    """Everything of a call but learning rates, seed and replicates."""

    def __init__(
        self,
        *,
        problems: Problems,
        schedules: list[Schedule],  # and then those of `number_ends`
        record_at: NDArray[np.int64],  # 1-D, strictly increasing, in 0..horizon
        metrics: list[Metric],  # recorded at every step of record_at
        iterate: Iterate,
        precision: Precision,
        options: object,  # a `Spec`, or what has its numbers as attributes
        number_ends: NDArray[np.float64] = ...,  # (numbers, 2): of a method, where their schedules are 0, and are 1
    ) -> None: ...

class Device:
    """A device that a call may run on."""

    def follow(self, stream: int) -> None:
        """What the device is given from now on waits for what that stream, a cudaStream_t as a number, has by now."""

class Moments:
    """Moments of disjoint replicate ranges. Node arrays have shape (nodes, configs, records)."""

    def __init__(
        self,
        *,
        ranges: NDArray[np.int64],
        count: NDArray[np.int64],
        diverged: NDArray[np.int64],
        mean: NDArray[np.float64],
        m2: NDArray[np.float64],
        minimum: NDArray[np.float64],
        maximum: NDArray[np.float64],
    ) -> None: ...
    @property
    def ranges(self) -> NDArray[np.int64]: ...  # (nodes, 2): first replicate, stop
    @property
    def count(self) -> NDArray[np.int64]: ...
    @property
    def diverged(self) -> NDArray[np.int64]: ...
    @property
    def mean(self) -> NDArray[np.float64]: ...
    @property
    def m2(self) -> NDArray[np.float64]: ...
    @property
    def minimum(self) -> NDArray[np.float64]: ...
    @property
    def maximum(self) -> NDArray[np.float64]: ...
    @property
    def any_diverged(self) -> bool: ...
    def merged(self, other: Moments) -> Moments:
        """Union of two disjoint sets of ranges, siblings combined. ValueError where ranges overlap."""
    def total(self) -> Moments:
        """One node: all ranges merged from left to right."""

def simulate(
    ensemble: Ensemble,
    base_lr: NDArray[np.float64],  # 1-D
    seed: int,
    first_replicate: int,
    replicates: int,
    isa: str,
    threads: int,
    check_memory: Callable[[float], None] | None = None,
    *,
    samples: NDArray[Any] | None = None,
    poll: Callable[[float], None] | None = None,
    devices: Sequence[Device] = (),
    device_samples: int = 0,
    steps_per_launch: int = 0,
    rows_per_launch: int = 0,
    iterates: NDArray[Any] | None = None,
    exceedance: NDArray[np.int64] | None = None,
    machine_code: MachineCode | None = None,
    steps_code: StepsCode | None = None,
    method_code: MethodCode | None = None,
) -> Moments:
    """Run the ensemble on `isa` ("scalar", "avx2", "avx512"), or on devices: problems x schedules x base_lr in C order.

    Several devices share the replicates out among themselves by whole blocks of 1024. `samples`: C-contiguous, of shape
    (configs, records, replicates), of the precision; `device_samples`: address of the same in the memory of the one
    device. `poll` is called on the calling thread with the fraction done; what it raises stops
    the run, and so does Ctrl-C. `check_memory` is called before it begins with the bytes of the host's memory that it
    takes at its peak, samples not counted, where these are more than 16 MiB. `steps_per_launch`, and of data
    `rows_per_launch`: of a device; 0 chooses by time. `iterates`, like samples, (configs, coordinates, replicates),
    gets the points of the last record, of problems on data without a device; to `exceedance`, (configs, records,
    EXCEEDANCE_BINS), the number of values in each bin of docs/stream.md, "Statistics", is added.
    """

def supported_isas() -> list[str]:
    """ISAs that this build has and this processor runs, slowest first."""

def built_isas() -> list[str]: ...
def cuda_why_unavailable() -> str:
    """Empty where the CUDA backend can be used."""

def cuda_devices() -> list[dict[str, Any]]:
    """Of each GPU: name, compute_capability, memory (bytes), multiprocessors, clock_hz."""

def open_cuda_device(number: int, stream: int, most_memory: int = 0) -> Device:
    """A GPU whose work goes to `stream`, a cudaStream_t as a number; `most_memory` > 0: at most so many bytes of it."""

def cuda_why_no_steps_code() -> str:
    """Why a device did not take machine code, the last time that one did not; empty where all did."""

def log2_team(ensemble: Ensemble) -> int:
    """Of the layout of an ensemble of a program on a device: its trajectories are of 2**log2_team threads."""

def cuda_device_of(address: int) -> int:
    """The number of the GPU in whose memory the address lies; -1 where in none."""
