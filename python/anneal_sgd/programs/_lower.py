"""From a canonical program to instructions over registers, as the compiled core takes them.

A register holds one number per trajectory; a value of shape (n,) takes n of them, one after another. Registers are, in
this order: the point, the state, the numbers of the step, constants, parameters, what follows from these two alone
(computed once per problem, the prologue), and the rest, which values share whose lives do not overlap. A slice is no
instruction but another view of its operand.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._arrays import FloatArray, IntArray
from ._ir import (
    FIRST_PURPOSE,
    MOST_PLACES,
    NOISE_PLACE,
    STEP,
    Program,
    state_part,
    state_start,
    step_numbers,
    step_outputs,
)

_VIEWS = ("slice", "element")


class View(NamedTuple):
    """Where the numbers of a value are: the core's Operand."""

    drawn: bool
    row: int
    step: int


class Placed(NamedTuple):
    """A program for the core, and where it keeps what steps do not change: constants, parameters, draws, by node."""

    program: _core.Program
    views: dict[int, View]
    numbers: dict[int, int]
    """By node: the first of a matrix's numbers."""


def lowered(program: Program) -> _core.Program:
    """A canonical program with outputs "gradient", (d,), and "value", (), for the compiled core.

    There may be "start" and "projection" too, () or (d,), and what a method adds (`_combine.with_method`); all other
    outputs, (), are metrics of one's own, in their order.

    ValueError: more places of draws than there are counters for.
    """
    return placed(program).program


def placed(program: Program) -> Placed:
    """What `lowered` gives, and where it put things."""
    return Lowering(program).result()


def state_rows(program: Program) -> list[int]:
    """The registers where parts of the state begin, and where the last ends."""
    sizes = [prod(program.nodes[k].shape) for k in step_outputs(program)[1:]]
    return [*itertools.accumulate(sizes, initial=program.dimension)]


class Lowering:
    """A program on its way to the core."""

    unit = 1
    """Registers are taken by multiples of it."""

    def __init__(self, program: Program) -> None:
        """Place what no instruction computes."""
        self.program = program
        self.size = [prod(node.shape) for node in program.nodes]
        self.views: dict[int, View] = {}
        self.numbers: list[FloatArray] = []
        self.constants: list[FloatArray] = []
        self.draws: list[tuple[int, int, int, int]] = []
        self.matrices: dict[int, int] = {}
        self.start_draws: list[tuple[int, int, int, int]] = []
        self.moving, *self.kept = step_outputs(program)
        self.size_of_part = [self.size[k] for k in self.kept]
        self.first_of_part = [*itertools.accumulate(map(self._whole, [program.dimension, *self.size_of_part]))]
        self.registers = self.first_of_part[-1]
        self.step_numbers = step_numbers(program)
        self.step_registers = self._take(self.step_numbers)
        self._place_leaves()

    def _place_leaves(self) -> None:
        self._place_point_and_constants()
        nodes = self.program.nodes
        first_parameter = self.registers
        parameters = {}
        for name, shape in self.program.parameters:
            parameters[name] = self._take(prod(shape))
        self.parameter_count = self.registers - first_parameter
        of_start = self._needed([k for name, k in self.program.outputs if name == "start"])
        of_steps = self._needed([k for name, k in self.program.outputs if name != "start"])
        for i, node in enumerate(nodes):
            if node.op == "parameter":
                self.views[i] = View(False, parameters[node.attribute], int(node.shape != ()))
            elif node.op == "draw":
                place, kind = node.attribute
                draws = self.start_draws if i in of_start else self.draws
                row = draws[-1][2] + draws[-1][3] if draws else 0
                purpose = 0 if place == NOISE_PLACE else FIRST_PURPOSE + place
                draws.append((_core.DrawKind[kind].value, purpose << 24, row, self.size[i]))
                self.views[i] = View(True, row, int(node.shape != ()))
        drawn = [[nodes[i].attribute[0] for i in part if nodes[i].op == "draw"] for part in (of_steps, of_start)]
        if max(drawn[0], default=-1) >= min(drawn[1], default=MOST_PLACES):
            raise ValueError(f"draws must be of at most {MOST_PLACES} places, of noise and start together")

    def _place_point_and_constants(self) -> None:
        for i, node in enumerate(self.program.nodes):
            if node.op == "point":
                self.views[i] = View(False, 0, 1)
            elif node.op == "constant":
                self.views[i] = View(False, self._take(self.size[i]), int(self.size[i] > 1))
                self.constants.append(np.pad(node.attribute.array, (0, self._whole(self.size[i]) - self.size[i])))
            elif node.op == "state":
                self.views[i] = View(False, self.first_of_part[node.attribute], int(node.shape != ()))
            elif node.op == "step":
                self.views[i] = View(False, self.step_registers + STEP.index(node.attribute), 0)

    def _needed(self, outputs: Sequence[int], but: Container[int] = ()) -> set[int]:
        """What outputs need, and what that needs; but nothing that these alone need."""
        needed = set(outputs)
        for i in range(max(outputs, default=-1), -1, -1):
            if i in needed and i not in but:
                needed.update(self.program.nodes[i].operands)
        return needed

    def _whole(self, count: int) -> int:
        """That many registers, as multiples of the unit."""
        return -(-count // self.unit) * self.unit

    def _take(self, count: int) -> int:
        first = self.registers
        self.registers += self._whole(count)
        return first

    def result(self) -> Placed:
        outputs = dict(self.program.outputs)
        prologue = self._prologue()
        shared = self.registers, dict(self.views)
        for name in ("gradient", "next", *map(state_part, range(len(self.kept)))):
            outputs.pop(name, None)
        begun = [(k, outputs.pop(state_start(k))) for k in range(len(self.kept)) if state_start(k) in outputs]
        stepping, stepped, state_results = self._step()
        most = self.registers
        points: dict[str, Any] = {}
        if self.kept:
            self.registers, self.views = shared[0], dict(shared[1])
            points["state_start"] = code_array(self._code(*(k for _, k in begun)))
            points["state_start_results"] = state_array([self._state_row(k, self.views[i]) for k, i in begun])
            points |= {"state": self.first_of_part[-1] - self.first_of_part[0], "state_results": state_results}
            most = max(most, self.registers)
        for name in ("start", "projection"):
            if name in outputs:
                self.registers, self.views = shared[0], dict(shared[1])
                code, result = self._point(outputs.pop(name))
                points |= {name: code_array(code), f"{name}_result": result}
                most = max(most, self.registers)
        self.registers, self.views = shared[0], dict(shared[1])
        recorded = [outputs.pop("value"), *outputs.values()]
        recording = self._code(*recorded)
        value, *own = ([int(part) for part in self.views[k]] for k in recorded)
        program = _core.Program(
            dimension=self.program.dimension,
            registers=max(most, self.registers),
            constants=np.concatenate([*self.constants, []]),
            parameter_count=self.parameter_count,
            numbers=np.concatenate([*self.numbers, []]),
            draws=np.array(self.draws, np.int64).reshape(-1, 4),
            start_draws=np.array(self.start_draws, np.int64).reshape(-1, 4),
            prologue=code_array(prologue),
            gradient=code_array(stepping),
            value=code_array(recording),
            gradient_result=stepped,
            value_result=value,
            own_results=own,
            step_numbers=self.step_numbers,
            replaces=self.program.has("next"),
            **points,
        )
        return Placed(program, shared[1], self.matrices)

    def _prologue(self) -> list[list[int]]:
        """What follows from constants and parameters alone."""
        nodes = self.program.nodes
        fixed = [node.op in ("constant", "parameter") and not self.views[i].drawn for i, node in enumerate(nodes)]
        for i, node in enumerate(nodes):
            if node.operands:
                fixed[i] = all(fixed[k] for k in node.operands)
        prologue = []
        for i, node in enumerate(nodes):
            if fixed[i] and node.operands and node.op not in _VIEWS:
                self.views[i] = View(False, self._take(self.size[i]), int(node.shape != ()))
                prologue.append(self._instruction(i))
            elif fixed[i] and node.op in _VIEWS:
                self.views[i] = self._view(i)
        return prologue

    def _point(self, output: int) -> tuple[list[list[int]], list[int]]:
        """Code for a vector as long as the point, which one step or the point itself takes, and where it is then."""
        code = self._code(output)
        return code, self._for_point(self.views[output], code)

    def _for_point(self, view: View, code: list[list[int]]) -> list[int]:
        """Where the point is taken from: a copy, if a step overwrites numbers before it has used them."""
        dimension = self.program.dimension
        in_another_order = view.row < dimension and view[1:] != (0, 1) and dimension > 1
        if in_another_order or self._is_of_state(view):
            view = self._copied(view, dimension, code)
        return [int(part) for part in view]

    def _step(self, *besides: int) -> tuple[list[list[int]], list[int], IntArray]:
        """Code of a step; where the move is taken from, and the parts of the state that change."""
        code = self._code(self.moving, *self.kept, *besides)
        results = []
        for k, i in enumerate(self.kept):
            view, size = self.views[i], self.size[i]
            if self._is_of_state(view):
                if view.row == self.first_of_part[k] and (view.step == 1 or size == 1):
                    continue
                view = self._copied(view, size, code)
            results.append(self._state_row(k, view))
        return code, self._for_point(self.views[self.moving], code), state_array(results)

    def _is_of_state(self, view: View) -> bool:
        return not view.drawn and self.first_of_part[0] <= view.row < self.first_of_part[-1]

    def _state_row(self, k: int, view: View) -> list[int]:
        first = self.first_of_part[k] - self.first_of_part[0]
        return [*(int(part) for part in view), first, self.size_of_part[k]]

    def _copied(self, view: View, count: int, code: list[list[int]]) -> View:
        """Registers of their own for numbers, filled by a further instruction."""
        first = self._take(count)
        operands = [int(x) for x in view] * 3
        code.append([_core.Operation["embed"].value, first, count, *operands, 0, 1, count])
        return View(False, first, 1)

    def _code(self, *outputs: int) -> list[list[int]]:
        """What computes outputs from what has a place already."""
        nodes = self.program.nodes
        needed = self._needed(outputs, but=self.views)
        order = [i for i in sorted(needed) if i not in self.views]
        owner = {i: i for i in needed}  # whose registers a value has: a slice, those of its operand
        last: dict[int, int] = {}
        for i in order:
            if nodes[i].op in _VIEWS:
                owner[i] = owner[nodes[i].operands[0]]
        for i in order:
            for k in nodes[i].operands:
                last[owner[k]] = max(last.get(owner[k], -1), i)
        last.update((owner[k], len(nodes)) for k in outputs)
        free = _Free(self)
        own: dict[int, tuple[int, int]] = {}
        code = []
        for i in order:
            if nodes[i].op in _VIEWS:
                self.views[i] = self._view(i)
                continue
            taken = self._whole(self.size[i])
            first = free.take(taken)
            own[i] = (first, taken)
            self.views[i] = View(False, first, int(nodes[i].shape != ()))
            code.append(self._instruction(i))
            for k in {owner[k] for k in nodes[i].operands}:
                if k in own and last[k] == i:
                    free.give_back(*own.pop(k))
            if i not in last:  # nobody's operand
                free.give_back(*own.pop(i))
        return code

    def _view(self, i: int) -> View:
        node = self.program.nodes[i]
        view = self.views[node.operands[0]]
        if node.op == "element":
            return View(view.drawn, view.row + node.attribute * view.step, 0)
        start, _, step = node.attribute
        return View(view.drawn, view.row + start * view.step, step * view.step)

    def _instruction(self, i: int) -> list[int]:
        node = self.program.nodes[i]
        kind, length = _core.Operation[node.op].value, self.size[i]
        first = step = count = 0
        if node.op == "power":
            first = self._number(np.array([node.attribute]))
        elif node.op in ("sum", "sum_product", "max", "min", "first_max", "first_min"):
            count = self.size[node.operands[0]]
        elif node.op == "matvec":
            count = self.size[node.operands[0]]
            first = self.matrices[i] = self._number(node.attribute.array.reshape(-1))
        elif node.op == "embed":
            first, step, _ = node.attribute
            count = self.size[node.operands[0]]
        operands = [self.views[k] for k in node.operands]
        operands += [operands[0]] * (3 - len(operands))
        return [kind, self.views[i].row, length, *(int(x) for view in operands for x in view), first, step, count]

    def _number(self, values: FloatArray) -> int:
        first = sum(map(len, self.numbers))
        self.numbers.append(values)
        return first


class _Free:
    """Registers that no value needs any more: runs of them, by first."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.runs: dict[int, int] = {}

    def take(self, count: int) -> int:
        for first, length in sorted(self.runs.items()):
            if length >= count:
                del self.runs[first]
                if length > count:
                    self.runs[first + count] = length - count
                return first
        return self.lowering._take(count)

    def give_back(self, first: int, count: int) -> None:
        if first + count in self.runs:
            count += self.runs.pop(first + count)
        for other, length in self.runs.items():
            if other + length == first:
                self.runs[other] = length + count
                return
        self.runs[first] = count


def code_array(code: list[list[int]]) -> IntArray:
    """As the core takes it."""
    return np.array(code, np.int64).reshape(-1, 15)


def state_array(parts: list[list[int]]) -> IntArray:
    """As the core takes them."""
    return np.array(parts, np.int64).reshape(-1, 5)
