"""Methods on data: a step along a trajectory's weights, as the compiled core takes it.

Here registers are numbers of one trajectory, and vectors run along them. Where all that a step does is done number by
number, its code is of BLOCK coordinates at a time, wherever they lie; else it is of all of them, in order. What is one
number for all of them, such as the learning rate, is computed once per step, in the prologue.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import numpy as np

from .. import _core
from .._arrays import FloatArray
from ._ir import ELEMENTWISE, FIRST_PURPOSE, MOST_PLACES, STEP, Node, Program, Shape, state_part, state_start
from ._lower import Lowering, View, code_array, state_array
from ._numbers import Numbers

BLOCK = 512
"""Coordinates of a run of code: its registers stay in the first-level cache."""

_UNIT = 16  # csrc/core/spec.hpp: row_multiple
_MEAN = ("fma", "beta1", "state 0", ("multiply", "1 - beta1", "gradient 0"))
_SQUARE = ("fma", "beta2", "state 2", ("multiply", ("multiply", "1 - beta2", "gradient 0"), "gradient 0"))
_SIZE = ("add", ("sqrt", ("multiply", _SQUARE, "second")), "epsilon")
_ADAM = ("divide", _MEAN, ("multiply", "first", _SIZE))
_ADAM_NUMBERS = ("beta1", "1 - beta1", "beta2", "1 - beta2", "epsilon", "first", "second")
"""csrc/core/spec.hpp: AdamNumber."""
_LEAVES = ("point", "parameter", "constant", "state", "step")


@lru_cache(maxsize=64)
def lowered_method(program: Program) -> _core.Method:
    """Of a method's program, as `Method.program` gives it."""
    block = BLOCK if is_coordinatewise(program) else 0
    return _OfMethod(*rewritten(program, block, apart=block > 0), block, numbers_of_adam(program)).method()


def places_of_state(program: Program) -> list[tuple[int, int, int]]:
    """Of each part of its state whether it is one number, which, or where its numbers begin, and how many they are."""
    block = BLOCK if is_coordinatewise(program) else 0
    vectors, singles = _parts(program)
    first = itertools.accumulate((block or -(-n // _UNIT) * _UNIT for (n,) in vectors.values()), initial=0)
    found = {k: (0, at, n) for (k, (n,)), at in zip(vectors.items(), first, strict=False)}
    found |= {k: (1, number, 1) for number, k in enumerate(singles)}
    return [found[k] for k in sorted(found)]


def _parts(program: Program) -> tuple[dict[int, Shape], list[int]]:
    """Parts of its state by number: shapes of vectors, and those that are one number."""
    parts = {k: program.nodes[i].shape for name, i in program.outputs for k in _numbered(name, "state")}
    return {k: shape for k, shape in parts.items() if shape}, [k for k, shape in parts.items() if not shape]


def is_coordinatewise(program: Program) -> bool:
    """Whether coordinates know nothing of each other, and numbers for all of them nothing of the trajectory."""
    d = program.dimension
    starts = {i for name, i in program.outputs for _ in _numbered(name, "begin")}
    operands = {k for node in program.nodes for k in node.operands}
    if any(
        program.nodes[i].op != "point" and not (_is_uniform(program.nodes[i]) and i not in operands) for i in starts
    ):
        return False
    return all(
        (node.op in ELEMENTWISE or node.op in _LEAVES)
        and node.shape in ((), (d,))
        and not (node.op == "parameter" and node.attribute.startswith("value"))
        for node in program.nodes
    )


def _is_uniform(node: Node) -> bool:
    return node.op == "constant" and bool(np.all(node.attribute.array == node.attribute.array[0]))


def rewritten(program: Program, block: int, *, apart: bool) -> tuple[Program, int, FloatArray]:
    """Its numbers of a step and those of its state as parameters; how many evaluations; constants of coordinates.

    `apart`: constants of d numbers become parameters "constant k", which the core has beside the gradients.
    """
    d = program.dimension
    names = [name.split() for name, _ in program.parameters]
    evaluations = max((1 + int(k) for _, k in names), default=1)
    shapes: dict[str, Shape] = {f"gradient {k}": (block or d,) for k in range(evaluations)}
    constants: list[FloatArray] = []
    shaped, singles = _parts(program)
    vectors = [*shaped]
    nodes: list[Node] = []

    def parameter(name: str, shape: Shape) -> Node:
        shapes[name] = shape
        return Node("parameter", (), name, shape)

    starts = {i for name, i in program.outputs for _ in _numbered(name, "begin")}
    starts -= {k for node in program.nodes for k in node.operands}
    for i, node in enumerate(program.nodes):
        shape = (block or d,) if node.shape == (d,) else node.shape
        if node.op == "step":
            nodes.append(parameter(node.attribute, ()))
        elif node.op == "state" and not shape:
            nodes.append(parameter(f"single {singles.index(node.attribute)}", ()))
        elif node.op == "state":
            nodes.append(Node("state", (), vectors.index(node.attribute), shape))
        elif node.op == "parameter":
            nodes.append(parameter(node.attribute, shape))
        elif node.op == "constant" and shape and apart and i in starts and _is_uniform(node):  # where all are equal
            nodes.append(Node("constant", (), Numbers(node.attribute.array[:1]), ()))
        elif node.op == "constant" and shape and apart:
            constants.append(node.attribute.array)
            nodes.append(parameter(f"constant {len(constants) - 1}", shape))
        else:
            nodes.append(Node(node.op, node.operands, node.attribute, shape))
    ends = dict(program.outputs)
    outputs = {"next" if "next" in ends else "gradient": ends.get("next", ends.get("direction", -1))}
    outputs |= {name: i for name, i in ends.items() if name.startswith("point ")}
    for j, k in enumerate(vectors):
        outputs[state_part(j)] = ends[state_part(k)]
        if state_start(k) in ends:
            outputs[state_start(j)] = ends[state_start(k)]
    for j, k in enumerate(singles):
        outputs[f"single {j}"] = ends[state_part(k)]
        if state_start(k) not in ends:
            nodes.append(Node("constant", (), Numbers([0.0]), ()))
        outputs[f"single start {j}"] = ends.get(state_start(k), len(nodes) - 1)
    rewritten = Program(block or d, tuple(shapes.items()), tuple(nodes), tuple(outputs.items()))
    return rewritten, evaluations, np.array(constants).reshape(-1, d)


def _numbered(name: str, kind: str) -> list[int]:
    first, _, number = name.partition(" ")
    return [int(number)] if first == kind else []


def numbers_of_adam(program: Program) -> list[int]:
    """The nodes of a program that is Adam's, which the core takes in one pass; of another none."""
    numbers: dict[str, int] = {}
    outputs = dict(program.outputs)
    forms = {"direction": _ADAM, "state 0": _MEAN, "state 2": _SQUARE}
    fits = is_coordinatewise(program) and "state 4" not in outputs and "point 0" not in outputs
    if not fits or not all(
        name in outputs and _fits(program, outputs[name], form, numbers) for name, form in forms.items()
    ):
        return []
    return [numbers[name] for name in _ADAM_NUMBERS]


def _fits(program: Program, i: int, form: Any, numbers: dict[str, int]) -> bool:
    """Whether a value is what a form says, of operations on forms, vectors by name and numbers, which it names."""
    node = program.nodes[i]
    if not isinstance(form, str):
        fits = node.op == form[0] and len(node.operands) == len(form) - 1
        return fits and all(_fits(program, k, f, numbers) for k, f in zip(node.operands, form[1:], strict=True))
    if node.shape == ():
        return numbers.setdefault(form, i) == i
    return form == (f"state {node.attribute}" if node.op == "state" else node.attribute)


class _OfMethod(Lowering):
    """Inputs, gradients and constants of coordinates, are read as draws are, and come before these."""

    unit = _UNIT

    def __init__(self, program: Program, evaluations: int, constants: FloatArray, block: int, adam: list[int]) -> None:
        self.evaluations, self.given, self.block, self.adam = evaluations, constants, block, adam
        self.singles = sum(name.startswith("single start") for name, _ in program.outputs)
        self.following = max((1 + STEP.index(name) for name, _ in program.parameters if name in STEP), default=0)
        super().__init__(program)

    def _place_leaves(self) -> None:
        self._place_point_and_constants()
        first_parameter = self.registers
        values = [f"value {k}" for k in range(self.evaluations)]
        following = STEP[2 : self.following]
        numbers = {name: self._take(1) for name in ("lr", "t", *values, *self._named("single"), *following)}
        self.parameter_count = self.registers - first_parameter
        inputs = [f"gradient {k}" for k in range(self.evaluations)]
        inputs += [f"constant {k}" for k in range(len(self.given))]
        row = self._whole(self.program.dimension)
        self.draws = [(0, 0, k * row, row) for k in range(len(inputs))]
        for i, node in enumerate(self.program.nodes):
            if node.op == "parameter" and node.attribute in numbers:
                self.views[i] = View(False, numbers[node.attribute], 0)
            elif node.op == "parameter":
                self.views[i] = View(True, inputs.index(node.attribute) * row, 1)
            elif node.op == "draw":
                place, kind = node.attribute
                if (place := place + self.evaluations - 1) >= MOST_PLACES:
                    raise ValueError(f"draws must be of at most {MOST_PLACES} places")
                first = self.draws[-1][2] + self.draws[-1][3]
                purpose = FIRST_PURPOSE + place
                self.draws.append((_core.DrawKind[kind].value, purpose << 24, first, self._whole(self.size[i])))
                self.views[i] = View(True, first, int(node.shape != ()))

    def _for_point(self, view: View, code: list[list[int]]) -> list[int]:
        if view.row % self.unit or view.step not in (0, 1):
            view = self._copied(view, self.program.dimension, code)
        return super()._for_point(view, code)

    def _named(self, kind: str) -> list[str]:
        return [f"{kind} {k}" for k in range(self.singles)]

    def method(self) -> _core.Method:
        """All of it."""
        outputs = dict(self.program.outputs)
        prologue = self._prologue()
        shared = self.registers, dict(self.views)
        singles = [outputs[name] for name in self._named("single")]
        step, moved, parts = self._step(*singles)
        after, most = [[*map(int, self.views[k])] for k in singles], self.registers
        self.registers, self.views = shared[0], dict(shared[1])
        begun = [(k, outputs[state_start(k)]) for k in range(len(self.kept)) if state_start(k) in outputs]
        starts = [outputs[name] for name in self._named("single start")]
        start = self._code(*(i for _, i in begun), *starts)
        begun_parts = [self._state_row(k, self.views[i]) for k, i in begun]
        before = [[*map(int, self.views[k])] for k in starts]
        points = []
        for k in range(self.evaluations):
            most = max(most, self.registers)
            self.registers, self.views = shared[0], dict(shared[1])
            code, result = self._point(outputs[f"point {k}"]) if f"point {k}" in outputs else ([], [])
            points.append((code_array(code), result))
        program = _core.Program(
            dimension=self.first_of_part[0],
            registers=max(most, self.registers),
            constants=np.concatenate([*self.constants, []]),
            parameter_count=self.parameter_count,
            numbers=np.concatenate([*self.numbers, []]),
            draws=np.array(self.draws, np.int64).reshape(-1, 4),
            prologue=code_array(prologue),
            gradient=code_array(step),
            value=code_array([]),
            gradient_result=moved,
            value_result=[0, 0, 0],
            replaces=self.program.has("next"),
            state=self.first_of_part[-1] - self.first_of_part[0],
            state_results=parts,
            state_start=code_array(start),
            state_start_results=state_array(begun_parts),
        )
        return _core.Method(
            program=program,
            points=points,
            takes_values=any(name.startswith("value") for name, _ in self.program.parameters),
            singles=after,
            single_starts=before,
            constants=self.given,
            block=self.block,
            adam=[[*map(int, shared[1][k])] for k in self.adam],
        )
