"""Parts of the core, exposed per ISA so that tests can compare them."""

import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import Device, NoiseKind, Precision

def philox(isa: str, counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Words of shape (n, 4) for counters of shape (n, 4)."""

def draws(
    isa: str,
    precision: Precision,
    noise: NoiseKind,
    *,
    seed: int,
    stream: int,
    first_replicate: int,
    replicates: int,
    coordinate: int,
    first_step: int,
    steps: int,
) -> NDArray[Any]:
    """Draws of shape (steps, replicates), of the precision's dtype."""

def pipelined_draws(isa: str, precision: Precision, *, apart: bool, seed: int, calls: int) -> NDArray[Any] | None:
    """Gaussian draws of the first replicates of stream 0, shape (draws, replicates); None where there is no pipeline.

    `apart`: by the pipeline that is compiled in a file of its own. calls: 1 to 32.
    """

def emulated_device(*, number: int = 0, memory: int = ..., fail_at: int = 0, busy_for: int = 0) -> Device:
    """A device played by the CPU, with so many bytes; the launch number `fail_at` reports an error.

    After every launch it says `busy_for` times that it is not idle yet.
    """

def minus_two_log(isa: str, u: NDArray[Any]) -> NDArray[Any]: ...
def sincos_octant(isa: str, t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]: ...
def log2(isa: str, x: NDArray[np.float64]) -> NDArray[np.float64]: ...
def exp2(isa: str, x: NDArray[np.float64]) -> NDArray[np.float64]: ...

class Function(enum.Enum):
    exponential = ...
    logarithm = ...
    sine = ...
    cosine = ...
    hyperbolic_tangent = ...
    real_power = ...
    sign = ...
    maximum = ...
    minimum = ...

def function(isa: str, function: Function, x: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """The function of every x; `second`: y of maximum and minimum, the exponent of real_power, else any one number."""

class CoreWork(enum.Enum):
    product = ...
    word_product = ...
    addition = ...
    maximum = ...
    shift = ...
    logic = ...
    square_root = ...
    store = ...
    load = ...

def core_rate(isa: str, first: CoreWork, second: CoreWork, precision: Precision, bytes: int = 4096) -> float:
    """Operations on vectors per second of the core that this runs on, two sorts side by side; it takes some 20 ms.

    Stores and loads go alone, `second` the same as `first`, over so many `bytes` of memory.
    """
