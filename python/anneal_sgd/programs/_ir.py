"""Programs as data: nodes in topological order, each an operation on values of shape () or (n,), and named outputs.

`OPERATIONS` lists the operations. Every program is checked when it is made, so that what reads one need not.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from .._validate import shown
from ._numbers import Numbers

Shape: TypeAlias = tuple[int, ...]

ELEMENTWISE = {
    **dict.fromkeys(("negative", "absolute", "sign", "sqrt", "exp", "log", "sin", "cos", "tanh", "power", "rint"), 1),
    **dict.fromkeys(("arctan", "erf"), 1),
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "minimum", "maximum", "less"), 2),
    **dict.fromkeys(("fma", "select"), 3),
}
"""Operations on number after number, and how many operands they have; one number is taken for several."""
COMPOSED = {"log1p": 1, "expm1": 1, "sinh": 1, "cosh": 1, "expit": 1, "logaddexp": 2}
COMPOSED |= dict.fromkeys(("cbrt", "arcsin", "arccos", "arcsinh", "arccosh", "arctanh"), 1)
COMPOSED |= {"arctan2": 2, "remainder": 2}
"""Likewise, but the core has none: the canonical form writes them in other operations."""

REDUCTIONS = {"sum": 1, "sum_product": 2, "max": 1, "min": 1}
LEAVES = ("point", "parameter", "constant", "draw", "state", "step")
MOST_STEP_NUMBERS = 64  # csrc/core/spec.hpp: most_step_numbers
STEP = ("lr", "t", *(f"{part} {k}" for k in range(MOST_STEP_NUMBERS) for part in ("number", "rest")))
"""Numbers of the step at hand: its learning rate, how many it makes, and of a method those that follow schedules, each
before 1 minus it, which is rounded once too."""
DRAWS = ("gaussian", "rademacher", "uniform", "unit")
OPERATIONS = (*LEAVES, *ELEMENTWISE, *REDUCTIONS, "first_max", "first_min", "matvec", "slice", "element", "embed")
OPERATIONS += tuple(COMPOSED)
LARGEST = 2**24 - 1  # numbers of a value
FIRST_PURPOSE = 4  # of draws, in docs/stream.md, "Words": those before are of built-in problems
MOST_PLACES = 2**8 - FIRST_PURPOSE
NOISE_PLACE = -1
"""Of the draw that `noise=` of a problem adds: it has the counters of a built-in problem's noise."""

_ATTRIBUTES: dict[str, type] = {
    **dict.fromkeys(("constant", "matvec"), Numbers),
    **dict.fromkeys(("draw", "slice", "embed"), tuple),
    **dict.fromkeys(("parameter", "step"), str),
    "power": float,
    **dict.fromkeys(("element", "state"), int),
}


def state_part(k: int) -> str:
    """The output that part k of a method's state becomes."""
    return f"state {k}"


def state_start(k: int) -> str:
    """The output that it begins with, where that is not 0."""
    return f"begin {k}"


def step_outputs(program: Program) -> tuple[int, ...]:
    """What a step computes: where x moves, and the parts of the state."""
    outputs = dict(program.outputs)
    moving = next(outputs[name] for name in ("next", "gradient", "direction") if name in outputs)
    return (moving, *itertools.takewhile(lambda k: k >= 0, (outputs.get(state_part(k), -1) for k in itertools.count())))


def projecting(program: Program) -> Program:
    """Its own projection as what a step does to the point, of the same nodes."""
    return replace(program, outputs=(("next", program.output("projection")),))


def step_numbers(program: Program) -> int:
    """How many of `STEP` it has places for: 0 if it takes none."""
    taken = [STEP.index(node.attribute) for node in program.nodes if node.op == "step"]
    return max(2, 1 + max(taken)) if taken else 0


def in_turn(program: Program) -> tuple[Program, ...]:
    """What a step does, and after it the projection where that is one's own."""
    return (program, projecting(program)) if program.has("projection") else (program,)


@dataclass(frozen=True)
class Node:
    """One value: an operation, the numbers of the nodes that it takes, what else it needs, and its shape."""

    op: str
    operands: tuple[int, ...]
    attribute: Any
    shape: Shape


@dataclass(frozen=True)
class Program:
    """What a function does with a point of `dimension` numbers and with parameters, traced.

    ValueError: an operation that there is not, operands that do not fit it, an output that there is not.

    >>> from anneal_sgd.programs import trace
    >>> program = trace(lambda x, a: a * abs(x[0]), dimension=1, parameters={"a": ()})
    >>> print(program)
    v0 = point (1,)
    v1 = parameter 'a'
    v2 = element v0 0
    v3 = absolute v2
    v4 = multiply v1, v3
    value = v4
    """

    dimension: int
    parameters: tuple[tuple[str, Shape], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        """Check everything."""
        _whole("dimension", self.dimension, 1, LARGEST)
        for name in ("parameters", "nodes", "outputs"):
            if not isinstance(getattr(self, name), tuple):
                raise ValueError(f"{name} must be a tuple, got {shown(getattr(self, name))}")
        shapes = _named_shapes(self.parameters)
        for i, node in enumerate(self.nodes):
            if not isinstance(node, Node) or not isinstance(node.operands, tuple):
                raise ValueError(f"nodes must be Node, got {shown(node)} as node {i}")
            for k in node.operands:
                _whole(f"operands of node {i}", k, 0, i - 1)
            operands = [self.nodes[k].shape for k in node.operands]
            try:
                shape = shape_of(node.op, operands, node.attribute, node.shape, self.dimension, shapes)
            except (TypeError, KeyError, IndexError):
                raise ValueError(f"node {i} must be an operation on what it takes, got {shown(node)}") from None
            if node.shape != shape or not all(type(n) is int for n in node.shape):
                raise ValueError(f"node {i} must have shape {shape}, got {shown(node.shape)}")
        if len({name for name, _ in self.outputs}) != len(self.outputs):
            raise ValueError("outputs must have names of their own")
        for name, k in self.outputs:
            if not isinstance(name, str):
                raise ValueError(f"outputs must be named by text, got {shown(name)}")
            _whole(f"output {shown(name)}", k, 0, len(self.nodes) - 1)

    def output(self, name: str) -> int:
        """The node of an output. KeyError: there is none of that name."""
        return dict(self.outputs)[name]

    def has(self, name: str) -> bool:
        """Whether there is an output of that name."""
        return name in dict(self.outputs)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_data(), sort_keys=True).encode()).hexdigest()

    @property
    def largest_constant(self) -> float:
        """Its size; 0 where there is none."""
        constants = (node.attribute.array for node in self.nodes if node.op == "constant")
        return max((float(np.abs(numbers).max()) for numbers in constants), default=0.0)

    def to_data(self) -> dict[str, Any]:
        """As JSON takes it; floats as hexadecimal text, so that nothing is lost."""
        return {
            "dimension": self.dimension,
            "parameters": [[name, list(shape)] for name, shape in self.parameters],
            "nodes": [[n.op, list(n.operands), _attribute_data(n.attribute), list(n.shape)] for n in self.nodes],
            "outputs": [[name, k] for name, k in self.outputs],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Program:
        """What `to_data` wrote, to the letter. ValueError: anything else; nothing of it is executed.

        >>> from anneal_sgd.programs import trace
        >>> program = trace(lambda x: abs(x[0]), dimension=1)
        >>> Program.from_data(program.to_data()) == program
        True
        """
        try:
            program = cls(
                data["dimension"],
                tuple((name, tuple(shape)) for name, shape in data["parameters"]),
                tuple(Node(op, tuple(k), _attribute(op, a), tuple(shape)) for op, k, a, shape in data["nodes"]),
                tuple((name, k) for name, k in data["outputs"]),
            )
            same = json.dumps(data, sort_keys=True) == json.dumps(program.to_data(), sort_keys=True)
        except (TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"data must be what Program.to_data gives, got {type(error).__name__}: {error}") from None
        if not same:
            raise ValueError("data must be what Program.to_data gives, got other words for the same program")
        return program

    def __str__(self) -> str:
        """A line for every node and output."""
        lines = []
        for i, node in enumerate(self.nodes):
            operands = ", ".join(f"v{k}" for k in node.operands)
            attribute = "" if node.attribute is None else repr(node.attribute)
            shape = "" if node.shape == () else str(node.shape)
            lines.append(" ".join(filter(None, (f"v{i} =", node.op, operands, attribute, shape))))
        return "\n".join([*lines, *(f"{name} = v{k}" for name, k in self.outputs)])


def shape_of(
    op: str,
    operands: Sequence[Shape],
    attribute: Any,
    shape: Shape,
    dimension: int,
    parameters: Mapping[str, Shape],
) -> Shape:
    """The shape of an operation's value; `shape` is what is asked for, which a draw is free to choose.

    ValueError: there is no such operation, or its operands or its attribute do not fit.
    """
    _check_attribute(op, attribute)
    if op in ELEMENTWISE or op in COMPOSED:
        _count(op, operands, ELEMENTWISE.get(op) or COMPOSED[op])
        if op == "power" and not math.isfinite(attribute):
            raise ValueError(f"the exponent of power must be a finite float, got {attribute}")
        return broadcast(op, operands)
    if op == "point":
        _count(op, operands, 0)
        return (dimension,)
    if op == "parameter":
        _count(op, operands, 0)
        return parameters[attribute]
    if op == "constant":
        _count(op, operands, 0)
        if attribute.array.ndim != 1 or len(attribute) > LARGEST:
            raise ValueError(f"constant must have shape (n,), n <= {LARGEST}, got {attribute}")
        return () if len(attribute) == 1 else (len(attribute),)
    if op == "draw":
        _count(op, operands, 0)
        place, kind = attribute
        _whole("the place of a draw", place, -1, 2**20)
        if kind not in DRAWS:
            raise ValueError(f"draw must be one of {', '.join(DRAWS)}, got {shown(kind)}")
        return _shape("draw", shape)
    if op == "state":
        _count(op, operands, 0)
        _whole("the part of state", attribute, 0, LARGEST)
        return _shape("state", shape)
    if op == "step":
        _count(op, operands, 0)
        if attribute not in STEP:
            raise ValueError(f"step must be lr, t, number k or rest k, k < {MOST_STEP_NUMBERS}, got {shown(attribute)}")
        return ()
    _count(op, operands, 2 if op == "sum_product" else 1)
    if op == "embed" and operands[0] == ():
        operands = [(1,)]
    if any(len(s) != 1 for s in operands):
        raise ValueError(f"{op} must be of a value of shape (n,), got {', '.join(map(str, operands))}")
    n = operands[0][0]
    if op in REDUCTIONS:
        if operands[-1] != operands[0]:
            raise ValueError(f"{op} must be of values of one shape, got {operands[0]} and {operands[1]}")
        return ()
    if op in ("first_max", "first_min"):
        return (n,)
    if op == "matvec":
        if attribute.array.shape[1:] != (n,):
            raise ValueError(f"matvec must have a matrix with {n} columns")
        return (len(attribute),)
    if op == "slice":
        start, stop, step = attribute
        for x in attribute:
            _whole("the range of slice", x, -n, 2 * n)
        picked = range(start, stop, step)
        if not picked or not (0 <= picked[0] < n and 0 <= picked[-1] < n):
            raise ValueError(f"slice must pick some of {n} numbers, got {attribute}")
        return (len(picked),)
    if op == "element":
        _whole("the index of element", attribute, 0, n - 1)
        return ()
    if op == "embed":
        start, step, size = attribute
        _whole("the length of embed", size, 1, LARGEST)
        _whole("the start of embed", start, 0, size - 1)
        _whole("the step of embed", step, -size, size)
        last = start + (n - 1) * step
        if step == 0 or not 0 <= min(start, last) <= max(start, last) < size:
            raise ValueError(f"embed must lie within {size} numbers, got {attribute} for {n}")
        return (size,)
    raise ValueError(f"op must be one of {', '.join(OPERATIONS)}, got {shown(op)}")


def _check_attribute(op: str, attribute: Any) -> None:
    wanted = _ATTRIBUTES.get(op, type(None))
    if type(attribute) is not wanted:
        raise ValueError(f"the attribute of {shown(op)} must be of type {wanted.__name__}, got {shown(attribute)}")


def broadcast(op: str, shapes: Sequence[Shape]) -> Shape:
    """() with () is (), with (n,) it is (n,). ValueError: two lengths."""
    lengths = {shape for shape in shapes if shape != ()}
    if len(lengths) > 1:
        raise ValueError(f"{op} must be of values of one length, got {' and '.join(map(str, sorted(lengths)))}")
    return lengths.pop() if lengths else ()


def _count(op: str, operands: Sequence[Shape], count: int) -> None:
    if len(operands) != count:
        raise ValueError(f"{op} must have {count} operands, got {len(operands)}")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} must be an integer in {low} .. {high}, got {shown(value)}")


def _shape(name: str, shape: Any) -> Shape:
    if not isinstance(shape, tuple) or len(shape) > 1:
        raise ValueError(f"the shape of {name} must be () or (n,), got {shown(shape)}")
    for n in shape:
        _whole(f"the length of {name}", n, 1, LARGEST)
    return shape


def _named_shapes(parameters: Any) -> dict[str, Shape]:
    shapes = {}
    for name, shape in parameters:
        if not isinstance(name, str) or name in shapes:
            raise ValueError(f"parameters must have names of their own, got {shown(name)}")
        shapes[name] = _shape(f"parameter {shown(name)}", shape)
    return shapes


def _attribute_data(attribute: Any) -> Any:
    if isinstance(attribute, Numbers):
        numbers = attribute.array.tolist()
        return [_hexadecimal(row) for row in numbers] if attribute.array.ndim == 2 else _hexadecimal(numbers)
    if isinstance(attribute, float):
        return attribute.hex()
    return list(attribute) if isinstance(attribute, tuple) else attribute


def _hexadecimal(numbers: list[float]) -> list[str]:
    return [*map(float.hex, numbers)]


def _attribute(op: str, data: Any) -> Any:
    if op == "power":
        return float.fromhex(data)
    if op == "constant":
        return Numbers([*map(float.fromhex, data)])
    if op == "matvec":
        return Numbers([[*map(float.fromhex, row)] for row in data])
    return tuple(data) if isinstance(data, list) else data
