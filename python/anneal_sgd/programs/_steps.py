"""What all code that takes steps of a program has in common: its arguments, addresses, and what operations are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from . import _vector_functions as functions
from ._ir import STEP, Node, Program, projecting, step_numbers, step_outputs
from ._lower import Placed, state_rows
from ._vectors import Code, Real, absolute, fma, max_keep_nan, maximum, min_keep_nan, minimum, root, select_less, sign

ACCUMULATORS = 32  # of a sum: csrc/core/trajectory.hpp
_SEGMENT_STEPS = 128  # csrc/core/spec.hpp: segment_steps
OF_SEVERAL = ("sum", "sum_product", "max", "min", "first_max", "first_min", "matvec")
"""Operations that take all numbers of a value for one of theirs."""

_POINTERS = (
    "x",
    "low",
    "sum",
    "draws",
    "signs",
    "registers",
    "numbers",
    "lower",
    "upper",
    "radius",
    "minus_lr",
    "step_numbers",
    "scratch",
)
_COUNTS = ("steps", "row", "apart", "trajectories", "first_sign", "first_step")

_OPERATIONS: dict[str, Callable[..., Real]] = {
    "negative": lambda x: -x,
    "absolute": absolute,
    "sign": sign,
    "sqrt": root,
    "exp": functions.exponential,
    "log": functions.logarithm,
    "sin": functions.sine,
    "cos": functions.cosine,
    "tanh": functions.hyperbolic_tangent,
    "rint": functions.rint,
    "arctan": functions.arctangent,
    "erf": functions.error_function,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "minimum": minimum,
    "maximum": maximum,
    "less": lambda x, y: select_less(x, y, x.code.constant(1.0), x.code.constant(0.0)),
    "fma": fma,
    "select": lambda x, y, z: select_less(x.code.constant(0.0), absolute(x), y, z),
}


def applied(node: Node, operands: list[Real]) -> Real:
    """An operation on number after number."""
    if node.op == "power":
        return functions.real_power(operands[0], node.attribute)
    return _OPERATIONS[node.op](*operands)


def moved(minus_lr: Real, direction: Real, x: Real, low: Real) -> tuple[Real, Real]:
    """The number of the point after a step, and what it could not take of the increment."""
    y = fma(minus_lr, direction, low)
    total = x + y
    return total, y - (total - x)


class Steps(ABC):
    """A function that takes the steps of a strip: a few vectors of trajectories after another, each all steps."""

    minus_lr: Real  # of the step at hand
    t: Real  # its number, from 1 on
    following: list[Real]  # those of the step that follow schedules
    then: Steps | None  # what takes the point to a set of one's own

    def __init__(
        self, code: Code, program: Program, placed: Placed, projection: str, summing: bool, part: int = 0
    ) -> None:
        """`summing`: the sum of iterates is kept too. `part`: vectors of a strip that are one config's; 0: all."""
        self.code, self.program, self.placed, self.part = code, program, placed, part
        self.projection, self.summing = projection, summing
        self.d = program.dimension
        self.moving, *self.kept = step_outputs(program)
        self.replaces = program.has("next")
        self.first_of_part = state_rows(program)  # in rows of x, behind the point
        self.lanes = code.together * code.width
        self.arguments: dict[str, str] = {}
        self.radius: list[Real] = []  # and its square
        self.draws = self.signs = self.sign_in_word = ""  # of the step at hand: addresses, and a place
        self.offset = ""  # bytes to the vectors at hand from the first of a row
        self.rates: list[str] = []  # addresses
        self.then = None
        if projection == "own":
            self.then = type(self)(code, projecting(program), placed, "none", summing, part)
            self.then.arguments = self.arguments

    def write(self) -> None:
        """All of it."""
        code = self.code
        for place, name in enumerate((*_POINTERS, *_COUNTS)):
            kind = "ptr" if name in _POINTERS else "i64"
            self.arguments[name] = code.named(f"load {kind}, ptr {self.after('%arguments', str(8 * place))}, align 8")
        self.radius = [code.spread(self.after(self.arguments["radius"], str(k * code.size))) for k in range(2)]
        parts = [self] if self.then is None else [self, self.then]
        for part in parts:
            part.prepare()

        def of_group(group: str, _: list[Real]) -> list[Real]:
            offset = code.named(f"mul i64 {group}, {self.lanes * code.size}")
            rates = self.rates_of_group(group)
            for part in parts:
                part.offset, part.rates = offset, rates
            self.take_group()
            return []

        code.loop("group", code.named(f"sdiv i64 {self.arguments['trajectories']}, {self.lanes}"), [], of_group)
        code.line("  ret void")

    @abstractmethod
    def prepare(self) -> None:
        """What is the same for all trajectories."""

    @abstractmethod
    def take_group(self) -> None:
        """All steps of the vectors at hand."""

    # --- what a step does

    def moved(self, moving: Real, x: Real, low: Real) -> tuple[Real, Real]:
        """The number of the point before the projection, and what it could not take of the increment."""
        return (moving, low) if self.replaces else moved(self.minus_lr, moving, x, low)

    def in_box(self, x: Real, ends: tuple[Real, Real]) -> Real:
        """Between the ends."""
        return min_keep_nan(ends[1], max_keep_nan(ends[0], x))

    def ball_factor(self, norm: Real) -> Real:
        """What brings a point of that squared norm into the ball."""
        radius, squared = self.radius
        code = self.code
        inside = select_less(norm, code.constant(float("inf")), radius / root(norm), code.constant(float("nan")))
        return select_less(squared, norm, inside, code.constant(1.0))

    def folded(self, sums: list[Real]) -> Real:
        """The sum of accumulators, of which there are ACCUMULATORS or as many as numbers, in the core's order."""
        sums = list(sums)
        w = ACCUMULATORS // 2
        while w > 0:
            for k in range(min(w, max(0, len(sums) - w))):
                sums[k] = sums[k] + sums[k + w]
            w //= 2
        return sums[0]

    # --- values

    def is_fixed(self, i: int) -> bool:
        """Whether steps do not change it."""
        node = self.program.nodes[i]
        return i in self.placed.views and node.op not in ("point", "state", "step", "draw")

    def size(self, i: int) -> int:
        """How many numbers it has."""
        return (self.program.nodes[i].shape or (1,))[0]

    def begin_step(self, step: str) -> None:
        """Where its draws are, and how far it moves."""
        code = self.code
        self.draws = self.row(self.after(self.arguments["draws"], self.offset), step)
        sign = code.named(f"add i64 {self.arguments['first_sign']}, {step}")
        word = code.named(f"lshr i64 {sign}, 5")
        self.signs = self.row(self.after(self.arguments["signs"], self.offset), word)
        self.sign_in_word = code.named(f"and i64 {sign}, 31")
        every = [code.spread(self.element(rates, step)).names[0] for rates in self.rates]
        self.minus_lr = Real(code, tuple(name for name in every for _ in range(code.together // len(every))))
        if (count := step_numbers(self.program)) > 0:
            before = code.named(f"add i64 {self.arguments['first_step']}, {step}")
            self.t = code.whole(code.named(f"add i64 {before}, 1"))
            first = self.element(self.arguments["step_numbers"], step)
            rows = [self.element(first, str(k * _SEGMENT_STEPS)) for k in range(count - 2)]
            self.following = [code.spread(row) for row in rows]

    def rates_of_group(self, group: str) -> list[str]:
        """Where learning rates are: of each config that vectors at hand are of."""
        rates, together = self.arguments["minus_lr"], self.code.together
        if self.part == 0:
            return [rates]
        config = self.code.named(f"sdiv i64 {self.code.named(f'mul i64 {group}, {together}')}, {self.part}")
        first = self.element(rates, self.code.named(f"mul i64 {config}, {_SEGMENT_STEPS}"))
        return [self.element(first, str(k * _SEGMENT_STEPS)) for k in range(max(1, together // self.part))]

    def number_of_step(self, i: int) -> Real:
        """Its learning rate, how many it makes, or one that follows a schedule."""
        return [-self.minus_lr, self.t, *self.following][STEP.index(self.program.nodes[i].attribute)]

    def draw(self, i: int, row: str) -> Real:
        """Of the step at hand: that of a row of the core's draws, of node i."""
        code = self.code
        far = code.named(f"mul i64 {self.arguments['apart']}, {row}")
        if self.program.nodes[i].attribute[1] != "rademacher":
            return code.load(self.element(self.draws, far))
        words = code.load(self.element(self.signs, far)).bits.shifted(self.sign_in_word)
        top = code.bits(1 << (8 * code.size - 1))
        return ((words & top) | code.constant(1.0).bits).real

    # --- addresses

    def after(self, pointer: str, size: str) -> str:
        """So many bytes on."""
        return self.code.named(f"getelementptr i8, ptr {pointer}, i64 {size}")

    def element(self, pointer: str, index: str) -> str:
        """That number of an array."""
        return self.code.named(f"getelementptr {self.code.real}, ptr {pointer}, i64 {index}")

    def row(self, pointer: str, number: str) -> str:
        """That row of an array."""
        return self.element(pointer, self.code.named(f"mul i64 {self.arguments['row']}, {number}"))

    def state(self, name: str, number: str) -> str:
        """The vectors at hand of a coordinate's x, low or sum."""
        return self.after(self.row(self.arguments[name], number), self.offset)
