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
_NARROW_STRIP = 2  # of a narrow one
_TOGETHER = {"avx2": 1, "avx512": 2, "neon": 2}  # vectors of code that loops
# What follows waits long for these: up to so many operations of vectors side by side are worth more than registers.
_HIDING = 500
_WAITED_FOR = {"divide", "sqrt", "power", "exp", "log", "sin", "cos", "tanh"}
MOST_OPERATIONS = 4000  # which LLVM takes a fifth of a second for
WEIGHTS = {"exp": 20, "log": 30, "sin": 30, "cos": 30, "tanh": 30, "power": 75, "maximum": 4, "minimum": 4, "sign": 3}


class StepCode(NamedTuple):
    """A function `steps` and what the core must know of it."""

    text: str
    lanes: int
    """Trajectories that go side by side: a strip is a multiple of them."""
    scratch: int
    """Numbers of memory that it needs."""


def step_code(
    program: Program, dtype: str, isa: str, projection: str, summing: bool, narrow: bool = False
) -> StepCode | None:
    """Of a canonical program with an output "gradient" or "next"; None: it would be too long.

    `summing`: the sum of iterates is wanted too. `narrow`: strips are.
    """
    strip = _NARROW_STRIP if narrow else _STRIP[isa]
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
    steps = kind(Code(dtype, isa, together), program, placed(program), projection, summing)
    steps.write()
    return StepCode(steps.code.text, steps.lanes, steps.code.rows * steps.lanes)


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
