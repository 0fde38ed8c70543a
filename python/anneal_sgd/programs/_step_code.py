"""Code that takes the steps of a program: the text of an LLVM function, in the place of the core's interpreter.

The point and what a step carries of it stay in vector registers while a few vectors of trajectories take all steps of a
piece, one number of the program after another; see `StepArguments` of csrc/core/spec.hpp for what the function gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import _vector_functions as functions
from ._ir import Node, Program
from ._lower import Placed
from ._vectors import Code, Real, absolute, fma, max_keep_nan, maximum, min_keep_nan, minimum, root, select_less, sign

ACCUMULATORS = 32  # of a sum: csrc/core/trajectory.hpp

_REGISTERS = {"avx2": 16, "avx512": 32}
_STRIP = {"avx2": 4, "avx512": 8}  # vectors of a wide strip of the core's
_MOST_OPERATIONS = 4000  # which take LLVM a fifth of a second
_FIELDS = ("x", "low", "sum", "draws", "registers", "lower", "upper", "radius", "minus_lr", "steps", "row", "apart")
_WEIGHTS = {"exp": 20, "log": 30, "sin": 30, "cos": 30, "tanh": 30, "power": 75, "maximum": 4, "minimum": 4, "sign": 3}
_OF_SEVERAL = ("sum", "sum_product", "max", "min", "first_max", "first_min", "matvec")

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


@dataclass(frozen=True)
class StepCode:
    """A function `steps` and what the core must know of it."""

    text: str
    lanes: int
    """Trajectories that go side by side: a strip is a multiple of them."""


def applied(node: Node, operands: list[Real]) -> Real:
    """An operation on number after number."""
    if node.op == "power":
        return functions.real_power(operands[0], node.attribute)
    return _OPERATIONS[node.op](*operands)


def step_code(program: Program, placed: Placed, dtype: str, isa: str, projection: str, summing: bool) -> StepCode:
    """Of a program with an output "gradient"; `summing`: the sum of iterates is wanted too."""
    code = Code(dtype, isa, _together(program.dimension, isa, summing))
    _Steps(code, program, placed, projection, summing).write()
    return StepCode("\n".join(_whole(code)), code.together * code.width)


def operations(program: Program, isa: str, summing: bool) -> int | None:
    """On numbers, in a step; None where they are too many to be written one after another."""
    total, needed = 0, {program.output("gradient")}
    for i in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[i]
        if i in needed and node.operands:
            needed.update(node.operands)
            taken = (program.nodes[node.operands[0]].shape or (1,))[0] if node.op in _OF_SEVERAL else 1
            total += taken * _WEIGHTS.get(node.op, 1) * (node.shape or (1,))[0]
    total += 4 * program.dimension
    return total if total * _together(program.dimension, isa, summing) <= _MOST_OPERATIONS else None


def _together(dimension: int, isa: str, summing: bool) -> int:
    """Vectors that go side by side: as many as half of the registers have room for."""
    state = (3 if summing else 2) * dimension
    together = 1
    while 2 * together * state <= _REGISTERS[isa] // 2 and 2 * together <= _STRIP[isa]:
        together *= 2
    return together


def _whole(code: Code) -> list[str]:
    wide = 'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }'
    return [*sorted(code.declared), "define void @steps(ptr %arguments) #0 {", "entry:", *code.lines, "}", wide]


class _Steps:
    """The whole function, a number of the program after another."""

    def __init__(self, code: Code, program: Program, placed: Placed, projection: str, summing: bool) -> None:
        self.code, self.program, self.placed = code, program, placed
        self.projection, self.summing = projection, summing
        self.d = program.dimension
        self.arguments: dict[str, str] = {}
        self.x: list[Real] = []
        self.now: dict[tuple[int, int], Real] = {}  # of the step at hand, by node and number
        self.known: dict[tuple[int, int], Real] = {}  # of all steps
        self.draws = ""  # address of the first draw of the step at hand

    def write(self) -> None:
        code = self.code
        self._take_arguments()
        size, lanes = code.size, code.together * code.width
        for i, k in self._numbers():
            if self._is_fixed(i):
                self.known[i, k] = self._fixed(i, k)
        box = self.projection == "box"
        ends = [
            [code.spread(self._offset(self.arguments[name], str(i * size))) for i in range(self.d)] if box else []
            for name in ("lower", "upper")
        ]
        radius = [code.spread(self._offset(self.arguments["radius"], str(k * size))) for k in range(2)]
        groups = code.named(f"sdiv i64 {self.arguments['row']}, {lanes}")

        def of_group(group: str, _: list[Real]) -> list[Real]:
            offset = code.named(f"mul i64 {group}, {lanes * size}")
            names = ("x", "low", "sum") if self.summing else ("x", "low")
            places = {
                name: [self._offset(self._row(self.arguments[name], i), offset) for i in range(self.d)]
                for name in names
            }
            state = [code.load(place) for name in names for place in places[name]]
            draws = self._offset(self.arguments["draws"], offset)

            def of_step(step: str, state: list[Real]) -> list[Real]:
                self.draws = self._row_at(draws, step)
                self.x, low, sums = state[: self.d], state[self.d : 2 * self.d], state[2 * self.d :]
                self.now = {}
                lr = code.spread(self._element(self.arguments["minus_lr"], step))
                moved, kept = [], []
                gradient = self.program.output("gradient")
                for i in range(self.d):
                    y = fma(lr, self._number(gradient, i), low[i])
                    total = self.x[i] + y
                    kept.append(y - (total - self.x[i]))
                    moved.append(min_keep_nan(ends[1][i], max_keep_nan(ends[0][i], total)) if box else total)
                if self.projection == "ball":
                    moved = self._in_ball(moved, *radius)
                return [*moved, *kept, *(a + b for a, b in zip(sums, moved, strict=False))]

            after = code.loop("step", self.arguments["steps"], state, of_step)
            for place, x in zip([p for name in names for p in places[name]], after, strict=True):
                code.store(place, x)
            return []

        code.loop("group", groups, [], of_group)
        code.line("  ret void")

    def _in_ball(self, x: list[Real], radius: Real, squared: Real) -> list[Real]:
        code = self.code
        norm = self._folded(x, x)
        inside = select_less(norm, code.constant(float("inf")), radius / root(norm), code.constant(float("nan")))
        factor = select_less(squared, norm, inside, code.constant(1.0))
        return [y * factor for y in x]

    def _folded(self, numbers: list[Real], factors: list[Real] | None = None) -> Real:
        """The sum of numbers, or of products, in the order of the core's accumulators."""
        sums = [self.code.constant(0.0)] * min(len(numbers), ACCUMULATORS)
        for k, x in enumerate(numbers):
            before = sums[k % ACCUMULATORS]
            sums[k % ACCUMULATORS] = before + x if factors is None else fma(x, factors[k], before)
        w = ACCUMULATORS // 2
        while w > 0:
            for k in range(min(w, max(0, len(sums) - w))):
                sums[k] = sums[k] + sums[k + w]
            w //= 2
        return sums[0]

    # --- numbers of the program

    def _is_fixed(self, i: int) -> bool:
        return i in self.placed.views and not self.placed.views[i].drawn and self.program.nodes[i].op != "point"

    def _numbers(self) -> list[tuple[int, int]]:
        """(node, number) of all that the gradient needs, each after what it needs itself."""
        gradient = self.program.output("gradient")
        stack = [self._own(gradient, i) for i in range(self.d - 1, -1, -1)]
        order: dict[tuple[int, int], None] = {}
        while stack:
            key = stack[-1]
            missing = [k for k in self._needs(*key) if k not in order]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            order[key] = None
        return list(order)

    def _own(self, i: int, k: int) -> tuple[int, int]:
        """Number k of a value as (node, number), which one number taken for several has only one of."""
        return i, k if self.program.nodes[i].shape != () else 0

    def _needs(self, i: int, k: int) -> list[tuple[int, int]]:
        node = self.program.nodes[i]
        if self._is_fixed(i) or not node.operands:
            return []
        first = node.operands[0]
        size = (self.program.nodes[first].shape or (1,))[0]
        if node.op == "slice":
            start, _, step = node.attribute
            return [self._own(first, start + k * step)]
        if node.op == "element":
            return [self._own(first, node.attribute)]
        if node.op == "embed":
            start, step, _ = node.attribute
            place, rest = divmod(k - start, step)
            return [self._own(first, place)] if rest == 0 and 0 <= place < size else []
        if node.op in _OF_SEVERAL:
            return [self._own(o, r) for r in range(size) for o in node.operands]
        return [self._own(o, k) for o in node.operands]

    def _number(self, i: int, k: int) -> Real:
        """Number k of a value, and before it all that it takes."""
        stack = [self._own(i, k)]
        while stack:
            key = stack[-1]
            if key in self.now or key in self.known:
                stack.pop()
                continue
            missing = [n for n in self._needs(*key) if n not in self.now and n not in self.known]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            self.now[key] = self._computed(*key)
        key = self._own(i, k)
        return self.now[key] if key in self.now else self.known[key]

    def _computed(self, i: int, k: int) -> Real:
        code, node = self.code, self.program.nodes[i]
        operands = [self.now[n] if n in self.now else self.known[n] for n in self._needs(i, k)]
        if node.op == "point":
            return self.x[k]
        if node.op == "draw":
            view = self.placed.views[i]
            far = code.named(f"mul i64 {self.arguments['apart']}, {(view.row + k * view.step) * code.size}")
            return code.load(self._offset(self.draws, far))
        if node.op in ("slice", "element"):
            return operands[0]
        if node.op == "embed":
            return operands[0] if operands else code.constant(0.0)
        if node.op == "sum":
            return self._folded(operands)
        if node.op == "sum_product":
            return self._folded(operands[::2], operands[1::2])
        if node.op in ("max", "min"):
            return self._extreme(node.op, operands)
        if node.op in ("first_max", "first_min"):
            return self._marks(i, operands)[k]
        if node.op == "matvec":
            total = code.constant(0.0)
            for factor, x in zip(node.attribute.array[k], operands, strict=True):
                total = fma(code.constant(factor), x, total)
            return total
        return applied(node, operands)

    def _extreme(self, op: str, numbers: list[Real]) -> Real:
        extreme = numbers[0]
        for x in numbers[1:]:
            extreme = (maximum if op.endswith("max") else minimum)(extreme, x)
        return extreme

    def _marks(self, i: int, numbers: list[Real]) -> list[Real]:
        """1 at the first extreme, 0 elsewhere; all are computed at once."""
        zero, one = self.code.constant(0.0), self.code.constant(1.0)
        extreme = self._extreme(self.program.nodes[i].op, numbers)
        found, marks = zero, []
        for k, x in enumerate(numbers):
            here = select_less(x, extreme, zero, select_less(extreme, x, zero, one))
            mark = select_less(zero, found, zero, here)
            found = found + mark
            marks.append(mark)
            self.now[i, k] = mark
        return marks

    # --- addresses

    def _take_arguments(self) -> None:
        for place, name in enumerate(_FIELDS):
            kind = "i64" if name in ("steps", "row", "apart") else "ptr"
            address = self._offset("%arguments", str(8 * place))
            self.arguments[name] = self.code.named(f"load {kind}, ptr {address}, align 8")

    def _offset(self, pointer: str, size: str) -> str:
        return self.code.named(f"getelementptr i8, ptr {pointer}, i64 {size}")

    def _element(self, pointer: str, index: str) -> str:
        return self.code.named(f"getelementptr {self.code.real}, ptr {pointer}, i64 {index}")

    def _row(self, pointer: str, number: int) -> str:
        return self._row_at(pointer, str(number))

    def _row_at(self, pointer: str, number: str) -> str:
        return self._element(pointer, self.code.named(f"mul i64 {self.arguments['row']}, {number}"))

    def _fixed(self, i: int, k: int) -> Real:
        node = self.program.nodes[i]
        if node.op == "constant":
            return self.code.constant(node.attribute.array[k])
        view = self.placed.views[i]
        return self.code.spread(self._row(self.arguments["registers"], view.row + k * view.step))
