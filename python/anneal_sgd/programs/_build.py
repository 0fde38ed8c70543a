"""Builds programs node by node: equal nodes are one, and what is a number already is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import FloatArray
from ._ir import Node, Program, Shape, shape_of
from ._numbers import Numbers

# IEEE operations, which round the same everywhere; elementary functions are left to who runs the program. Not log1p:
# the canonical form has what 1 + x was rounded by, which is another thing in float32.
_FOLDED = {
    "negative": np.negative,
    "absolute": np.absolute,
    "sqrt": np.sqrt,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "log1p": np.log1p,
}


class Builder:
    """A program in the making; values are the numbers of nodes."""

    def __init__(self, dimension: int, parameters: Mapping[str, Shape]) -> None:
        """Begin an empty one."""
        self.dimension = dimension
        self.parameters = dict(parameters)
        self.nodes: list[Node] = []
        self._known: dict[Node, int] = {}

    def program(self, **outputs: int) -> Program:
        """What there is so far, with these outputs."""
        return Program(self.dimension, tuple(self.parameters.items()), tuple(self.nodes), tuple(outputs.items()))

    def shape(self, value: int) -> Shape:
        """Of a value."""
        return self.nodes[value].shape

    def node(self, op: str, *operands: int, attribute: Any = None, shape: Shape = ()) -> int:
        """The value of an operation. ValueError: its operands do not fit."""
        simple = self._simplified(op, operands)
        if simple is not None:
            return simple
        if op in ("constant", "matvec") and not isinstance(attribute, Numbers):
            attribute = Numbers(attribute)
        shapes = [self.nodes[k].shape for k in operands]
        found = shape_of(op, shapes, attribute, shape, self.dimension, self.parameters)
        if op in ("slice", "embed"):
            attribute = _normal(op, attribute, found if op == "slice" else shapes[0])
        elif op == "constant":
            attribute = Numbers(attribute.array + 0.0)  # no negative zeros, which equal positive ones
        node = Node(op, operands, attribute, found)
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def constant(self, numbers: ArrayLike) -> int:
        """One number, or several as a vector."""
        return self.node("constant", attribute=np.atleast_1d(numbers))

    def value_of(self, value: int) -> FloatArray | None:
        """The numbers of a constant, (n,); None of what is none."""
        node = self.nodes[value]
        return node.attribute.array if node.op == "constant" else None

    def is_non_negative(self, value: int) -> bool:
        """Whether it can be seen that no number of a value is below 0."""
        known: list[bool] = []
        for node in self.nodes[: value + 1]:
            known.append(_is_non_negative(node, [known[k] for k in node.operands]))
        return known[value]

    def expanded(self, value: int, n: int) -> int:
        """One number as a vector of n equal ones."""
        if self.shape(value) == (n,):
            return value
        if n == 1:
            return self.node("embed", value, attribute=(0, 1, 1))
        return self.node("add", self.constant(np.zeros(n)), value)

    def _simplified(self, op: str, operands: tuple[int, ...]) -> int | None:
        known = [self.value_of(k) for k in operands]
        numbers = [x for x in known if x is not None]
        if op in _FOLDED and len(numbers) == len(operands):
            with np.errstate(all="ignore"):
                folded = _FOLDED[op](*map(np.squeeze, numbers))
            if np.isfinite(folded).all():
                return self.constant(folded)
        if len(operands) != 2:
            return self._inner(operands[0]) if op == "negative" else None
        a, b = operands
        neutral = {"add": 0.0, "subtract": 0.0, "multiply": 1.0, "divide": 1.0}.get(op)
        if _all_are(known[1], neutral) and self._covers(a, b):
            return a
        if op in ("add", "multiply") and _all_are(known[0], neutral) and self._covers(b, a):
            return b
        return None

    def _covers(self, a: int, b: int) -> bool:
        return self.shape(b) in ((), self.shape(a))

    def _inner(self, value: int) -> int | None:
        node = self.nodes[value]
        return node.operands[0] if node.op == "negative" else None


def _is_non_negative(node: Node, operands: list[bool]) -> bool:
    if node.op == "constant":
        return bool((node.attribute.array >= 0.0).all())
    if node.op in ("multiply", "sum_product") and node.operands[0] == node.operands[1]:
        return True
    if node.op == "power" and node.attribute % 2.0 == 0.0:
        return True
    if node.op == "maximum":
        return any(operands)
    if node.op == "select":
        return all(operands[1:])
    if node.op in ("add", "multiply", "divide", "minimum", "sum", "max", "min", "power", "slice", "element", "embed"):
        return all(operands)
    if node.op in ("rint", "arctan", "erf"):
        return operands[0]
    return node.op in ("absolute", "exp", "expit", "cosh", "sqrt", "less")


def _all_are(numbers: FloatArray | None, value: float | None) -> bool:
    return numbers is not None and value is not None and bool(np.all(numbers == value))


def _normal(op: str, attribute: tuple[int, int, int], shape: Shape) -> tuple[int, int, int]:
    """One way to write a slice that gives this shape, or an embedding that takes it, of which there are several."""
    count = shape[0] if shape else 1
    if op == "embed":
        start, step, n = attribute
        return (start, 1 if count == 1 else step, n)
    start, _, step = attribute
    step = 1 if count == 1 else step
    return (start, start + (count - 1) * step + (1 if step > 0 else -1), step)
