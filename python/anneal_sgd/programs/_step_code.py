"""Code that takes the steps of a program: the text of an LLVM function, in the place of the core's interpreter.

See `StepArguments` of csrc/core/spec.hpp for what the function gets.
"""

from __future__ import annotations

from typing import NamedTuple

from ._ir import Program, in_turn, step_outputs
from ._looped import Looped
from ._lower import placed, state_rows
from ._steps import OF_SEVERAL
from ._unrolled import Unrolled
from ._vectors import REGISTERS, Code

_STRIP = {"avx2": 8, "avx512": 8, "neon": 4}  # vectors of a wide strip of the core's
_TOGETHER = {"avx2": 1, "avx512": 2, "neon": 2}  # vectors of code that loops
# What follows waits long for these: up to so many operations of vectors side by side are worth more than registers.
_HIDING = 500
_WAITED_FOR = {"divide", "sqrt", "power", "exp", "log", "sin", "cos", "tanh", "arctan", "erf"}
MOST_OPERATIONS = 4000  # which LLVM takes a fifth of a second for
WEIGHTS = {"exp": 20, "log": 30, "sin": 30, "cos": 30, "tanh": 30, "power": 75, "maximum": 4, "minimum": 4, "sign": 3}
WEIGHTS |= {"rint": 6, "arctan": 35, "erf": 55}


class StepCode(NamedTuple):
    """A function `steps` and what the core must know of it."""

    text: str
    lanes: int
    """Trajectories that go side by side: a strip is a multiple of them."""
    part: int
    """Trajectories of a strip that are one config's."""
    scratch: int
    """Numbers of memory that it needs."""


def step_code(
    program: Program,
    dtype: str,
    isa: str,
    projection: str,
    summing: bool,
    replicates: float = float("inf"),
    configs: int = 1,
) -> StepCode | None:
    """Of a canonical program with an output "gradient" or "next"; None: it would be too long.

    `summing`: the sum of iterates is wanted too. `replicates`, `configs`: of a call, the latter of a problem; few
    replicates leave room for other configs beside them, whose learning rates are others.
    """
    part = part_of_strip(dtype, isa, replicates)
    strip = min(_STRIP[isa], part * configs)
    state = (2 if summing else 1) * program.dimension + state_rows(program)[-1]
    operations = sum(map(unrolled_operations, in_turn(program)))
    waits = any(node.op in _WAITED_FOR for part in in_turn(program) for node in part.nodes)
    kept, together = REGISTERS[isa] if isa == "avx2" else REGISTERS[isa] // 4, 1
    while 2 * together <= strip and 2 * together * operations <= MOST_OPERATIONS:
        to_hide = waits and 2 * together * operations <= _HIDING and together * state <= REGISTERS[isa]
        if not (to_hide or together * state <= kept):
            break
        together *= 2
    kind: type[Unrolled | Looped] = Unrolled
    if state > REGISTERS[isa] or together * operations > MOST_OPERATIONS:
        kind, together = Looped, _TOGETHER[isa]
        if together * sum(WEIGHTS.get(node.op, 5) for node in program.nodes) > MOST_OPERATIONS:
            return None
    code = Code(dtype, isa, together)
    steps = kind(code, program, placed(program), projection, summing, part if part < _STRIP[isa] else 0)
    steps.write()
    return StepCode(code.text, steps.lanes, part * code.width, code.rows * steps.lanes)


def part_of_strip(dtype: str, isa: str, replicates: float) -> int:
    """Vectors of a strip that are one config's: csrc/cpu/noise.hpp."""
    part = _STRIP[isa]
    while part > 1 and part // 2 * Code(dtype, isa, 1).width >= replicates:
        part //= 2
    return part


def unrolled_operations(program: Program) -> int:
    """Operations of a vector, the numbers one after another."""
    total, needed = 4 * program.dimension, set(step_outputs(program))
    for i in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[i]
        if i in needed and node.operands:
            needed.update(node.operands)
            size = (node.shape or (1,))[0]
            if node.op in OF_SEVERAL:
                taken = (program.nodes[node.operands[0]].shape or (1,))[0]
                size = taken * (size if node.op == "matvec" else 4)
            total += size * WEIGHTS.get(node.op, 1)
    return total
