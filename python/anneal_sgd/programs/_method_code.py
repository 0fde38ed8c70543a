"""Code of a method on data: the text of LLVM functions, which take the coordinates of a trajectory where they lie.

See `MethodArguments` of csrc/core/spec.hpp for what they get. Vectors run along the coordinates, in passes: for a sum
over all of them, such as a norm, one that leaves in memory what it is of, and one that sums it up; at last one that
computes and stores all else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .._arrays import FloatArray
from ._ir import ELEMENTWISE, STEP, Node, Program, state_part
from ._lower_method import BLOCK, is_coordinatewise, numbers_of_adam, rewritten
from ._step_code import MOST_OPERATIONS, WEIGHTS
from ._steps import ACCUMULATORS, applied, moved
from ._vectors import Code, Real, fma

_POINTERS = ("x", "low", "states", "gradients", "constants", "parameters", "singles", "scratch", "point")
_COUNTS = ("count", "state_row", "gradient_row", "constant_row")
_UNIT = 16  # csrc/core/spec.hpp: row_multiple
_SUMS = ("sum", "sum_product")
_LEAVES = ("point", "parameter", "constant", "state", "step")


class Layer(NamedTuple):
    """Rows of a padded point, which follow on one another."""

    coordinate: int
    """The first one."""
    offset: int
    """Where that is."""
    rows: int
    length: int
    """Coordinates of a row, which begins at the next multiple of 16 after the one before."""


def layers_of(sizes: Sequence[int], intercept: bool) -> tuple[Layer, ...]:
    """Of a network, as csrc/core/network.hpp has them: weights, one row for each unit, and intercepts."""
    found: list[Layer] = []
    coordinate = offset = 0
    for inputs, units in itertools.pairwise(sizes):
        for rows, length in ((units, inputs), (1, units if intercept else 0)):
            if length:
                found.append(Layer(coordinate, offset, rows, length))
                coordinate += rows * length
                offset += rows * _padded(length)
    return tuple(found)


def _padded(n: int) -> int:
    return -(-n // _UNIT) * _UNIT


class MethodText(NamedTuple):
    """Functions `steps`, each of a module of its own, and what the core must know of them."""

    step: str
    points: tuple[str | None, ...]
    """By evaluation: None at x."""
    scratch: int
    constants: FloatArray
    """(constants, coordinates)."""


def method_text(program: Program, dtype: str, isa: str, sizes: Sequence[int], intercept: bool) -> MethodText | None:
    """Of a method's program, as `Method._program_on_data` gives it.

    None: it does what only the interpreter can, or is Adam's, which the core has a pass for.
    """
    if numbers_of_adam(program) or not all(_is_taken(program, node) for node in program.nodes):
        return None
    if sum(WEIGHTS.get(node.op, 5) for node in program.nodes) > MOST_OPERATIONS:
        return None
    made, evaluations, constants = rewritten(program, BLOCK if is_coordinatewise(program) else 0, apart=True)
    layers = layers_of(sizes, intercept)

    def text(output: str | None) -> tuple[str, int]:
        passes = Passes(Code(dtype, isa, 1), made, evaluations, layers)
        passes.write(output)
        return passes.code.text, passes.scratch

    step = text(None)
    points = [text(f"point {k}") if made.has(f"point {k}") else (None, 0) for k in range(evaluations)]
    scratch = max(size for _, size in (step, *points))
    return MethodText(step[0], tuple(one for one, _ in points), scratch, constants)


def _is_taken(program: Program, node: Node) -> bool:
    if node.op in _SUMS and not all(program.nodes[k].shape for k in node.operands):
        return False
    return node.op in (*ELEMENTWISE, *_LEAVES, *_SUMS) and node.shape in ((), (program.dimension,))


class Passes:
    """A function for the `count` elements of some trajectories, of one where anything is summed over them."""

    def __init__(self, code: Code, program: Program, evaluations: int, layers: tuple[Layer, ...]) -> None:
        """`program`: rewritten."""
        self.code, self.program, self.layers = code, program, layers
        outputs = dict(program.outputs)
        self.singles = sum(name.startswith("single start") for name, _ in program.outputs)
        numbers = [f"value {k}" for k in range(evaluations)] + [f"single {k}" for k in range(self.singles)]
        self.parameters = ("lr", "t", *numbers, *STEP[2:])
        self.parts = sum(name.startswith("state") for name in outputs)
        self.size = sum(layer.rows * _padded(layer.length) for layer in layers)
        self.scratch = 0  # elements of it
        self.uniform: dict[int, Real] = {}  # by node: what is one number, for all elements
        self.memory: dict[int, str] = {}  # by node: where its numbers are, laid out as a point is
        self.in_order: dict[int, str] = {}  # the same, without what pads them
        self.states: list[str] = []  # where parts of the state are
        self.arguments: dict[str, str] = {}

    def write(self, output: str | None) -> None:
        """What a step does, or a point where a gradient is taken."""
        code, a = self.code, self.arguments
        for place, name in enumerate((*_POINTERS, *_COUNTS)):
            kind = "ptr" if name in _POINTERS else "i64"
            a[name] = code.named(f"load {kind}, ptr {self._after('%arguments', 8 * place)}, align 8")
        self.states = [self._row("states", k) for k in range(self.parts)]
        for i, node in enumerate(self.program.nodes):
            if node.op == "point":
                self.memory[i] = a["x"]
            elif node.op == "state":
                self.memory[i] = self.states[node.attribute]
            elif node.op == "parameter" and node.shape:
                kind, number = node.attribute.split()
                self.memory[i] = self._row(f"{kind}s", int(number))
        outputs = dict(self.program.outputs)
        if output is not None:
            self._pass({output: outputs[output]}, lambda at, found: code.store(self._at(a["point"], at), found[output]))
        else:
            self._write_step(outputs)
        code.line("  ret void")

    def _write_step(self, outputs: dict[str, int]) -> None:
        code, a = self.code, self.arguments
        moving = "next" if "next" in outputs else "gradient"
        singles = [outputs[f"single {k}"] for k in range(self.singles)]
        self._know(singles)
        wanted = {name: outputs[name] for name in (moving, *map(state_part, range(self.parts)))}
        minus_lr = -self._parameter("lr")

        def store(at: str, found: dict[str, Real]) -> None:
            x, low = self._at(a["x"], at), self._at(a["low"], at)
            if moving == "next":
                code.store(x, found[moving])
            else:
                after, lost = moved(minus_lr, found[moving], code.load(x), code.load(low))
                code.store(x, after)
                code.store(low, lost)
            for k, row in enumerate(self.states):
                code.store(self._at(row, at), found[state_part(k)])

        self._pass(wanted, store)
        for k, i in enumerate(singles):
            number = code.first_number(self.uniform[i])
            code.line(
                f"  store {code.real} {number}, ptr {self._after(a['singles'], k * code.size)}, align {code.size}"
            )

    # --- passes

    def _pass(self, wanted: dict[str, int], store: Callable[[str, dict[str, Real]], None]) -> None:
        """All vectors: what is wanted is computed, and stored by `store(bytes before, found)`."""
        self._know(wanted.values())

        def of_turn(turn: str, _: list[Real]) -> list[Real]:
            at = self.code.named(f"mul i64 {turn}, {self.code.width * self.code.size}")
            here = dict(self.uniform)
            for i in self._needed(wanted.values()):
                node = self.program.nodes[i]
                if i in self.memory:
                    here[i] = self.code.load(self._at(self.memory[i], at))
                else:
                    here[i] = applied(node, [here[k] for k in node.operands])
            store(at, {name: here[i] for name, i in wanted.items()})
            return []

        self.code.loop("pass", self.code.named(f"sdiv i64 {self.arguments['count']}, {self.code.width}"), [], of_turn)

    def _needed(self, wanted: Iterable[int]) -> list[int]:
        """What is not one known number yet, each after what it is computed from."""
        nodes, needed = self.program.nodes, set(wanted) - set(self.uniform)
        for i in range(len(nodes) - 1, -1, -1):
            if i in needed and i not in self.memory:
                needed.update(set(nodes[i].operands) - set(self.uniform))
        return sorted(needed)

    def _know(self, wanted: Iterable[int]) -> None:
        """Compute what is one number of all elements, with the passes that it needs."""
        for i in self._needed(wanted):
            node = self.program.nodes[i]
            if node.shape:
                continue
            if node.op == "parameter":
                self.uniform[i] = self._parameter(node.attribute)
            elif node.op == "constant":
                self.uniform[i] = self.code.constant(node.attribute.array[0])
            elif node.op in _SUMS:
                self.uniform[i] = self._summed(node.operands)
            else:
                self.uniform[i] = applied(node, [self.uniform[k] for k in node.operands])

    def _parameter(self, name: str) -> Real:
        at = self.parameters.index(name) * _UNIT * self.code.size
        return self.code.spread(self._after(self.arguments["parameters"], at))

    # --- sums

    def _summed(self, operands: Sequence[int]) -> Real:
        """Of numbers, or products, in the order of coordinates."""
        code, width = self.code, self.code.width
        for i in operands:
            if i not in self.memory:
                self.memory[i] = self._computed_before(i)
        rows = [self._ordered(i) for i in operands]
        vectors, d = ACCUMULATORS // width, self.program.dimension
        sums = [code.constant(0.0)] * vectors

        def further(first: str, v: int, before: Real) -> Real:
            numbers = [code.load(self._after(self._at(row, first), v * width * code.size)) for row in rows]
            return before + numbers[0] if len(numbers) == 1 else fma(numbers[0], numbers[1], before)

        def of_turn(turn: str, carried: list[Real]) -> list[Real]:
            first = code.named(f"mul i64 {turn}, {ACCUMULATORS * code.size}")
            return [further(first, v, before) for v, before in enumerate(carried)]

        whole, rest = divmod(d, ACCUMULATORS)
        if whole:
            sums = code.loop("sum", str(whole), sums, of_turn)
        for v in range(-(-rest // width)):
            after = further(str(whole * ACCUMULATORS * code.size), v, sums[v])
            sums[v] = code.first_lanes(min(width, rest - v * width), after, sums[v])
        return self._folded(sums)

    def _computed_before(self, i: int) -> str:
        """Where a pass leaves the numbers of a value."""
        row = self._take_row()
        self._pass({"": i}, lambda at, found: self.code.store(self._at(row, at), found[""]))
        return row

    def _folded(self, sums: list[Real]) -> Real:
        """All accumulators, of which a vector has some, in the core's order."""
        code = self.code
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [a + b for a, b in zip(sums[:half], sums[half:], strict=True)]
        [total] = sums
        lanes = code.width // 2
        while lanes:
            total = total + code.rotated(total, lanes)
            lanes //= 2
        return code.splat(code.first_number(total))

    def _ordered(self, i: int) -> str:
        """Where the numbers of a value are without what pads them."""
        if all(at.coordinate == at.offset and (at.rows == 1 or at.length % _UNIT == 0) for at in self.layers):
            return self.memory[i]
        if i not in self.in_order:
            self.in_order[i] = self._take_row()
            for layer in self.layers:
                self._bring_together(self.memory[i], layer, self.in_order[i])
        return self.in_order[i]

    def _bring_together(self, source: str, layer: Layer, to: str) -> None:
        """Rows in order, each over what the one before wrote beyond its end."""
        code = self.code

        def of_row(row: str, _: list[Real]) -> list[Real]:
            read = code.named(f"mul i64 {row}, {_padded(layer.length) * code.size}")
            read = code.named(f"add i64 {read}, {layer.offset * code.size}")
            write = code.named(f"mul i64 {row}, {layer.length * code.size}")
            write = code.named(f"add i64 {write}, {layer.coordinate * code.size}")

            def of_turn(turn: str, _: list[Real]) -> list[Real]:
                at = code.named(f"mul i64 {turn}, {code.width * code.size}")
                x = code.load(self._at(source, code.named(f"add i64 {read}, {at}")))
                code.store_anywhere(self._at(to, code.named(f"add i64 {write}, {at}")), x)
                return []

            code.loop("row", str(-(-layer.length // code.width)), [], of_turn)
            return []

        code.loop("rows", str(layer.rows), [], of_row)

    def _take_row(self) -> str:
        """For the numbers of a value, and a vector more."""
        first = self.scratch
        self.scratch += self.size + _UNIT
        return self._after(self.arguments["scratch"], first * self.code.size)

    # --- addresses

    def _row(self, name: str, number: int) -> str:
        """That row of an argument."""
        if not number:
            return self.arguments[name]
        elements = self.code.named(f"mul i64 {self.arguments[f'{name[:-1]}_row']}, {number * self.code.size}")
        return self._at(self.arguments[name], elements)

    def _after(self, pointer: str, size: int) -> str:
        return self._at(pointer, str(size))

    def _at(self, pointer: str, size: str) -> str:
        """So many bytes on."""
        return self.code.named(f"getelementptr i8, ptr {pointer}, i64 {size}")
