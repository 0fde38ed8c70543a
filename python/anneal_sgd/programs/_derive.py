"""Derivatives of programs, backwards from the value, by the subgradient conventions of docs/stream.md, "Programs"."""

from __future__ import annotations

import math
from collections.abc import Callable

from ._build import Builder
from ._ir import Node, Program


def differentiated(program: Program, *, by: int | None = None) -> Program:
    """`program` with an output "gradient": the derivative of "value" by the point, of its shape.

    `by`: by that number of the point alone, of shape (); of functions that take numbers of the point as elements.

    >>> from anneal_sgd.programs import differentiated, evaluate, trace
    >>> import numpy as np
    >>> g = differentiated(trace(lambda x: np.sum(np.abs(x) ** 1.5), dimension=2))
    >>> evaluate(g, np.array([4.0, -1.0]))["gradient"].tolist()
    [3.0, -1.5]
    """
    value = program.output("value")
    if program.nodes[value].shape != ():
        raise ValueError(f"f must return one number, got shape {program.nodes[value].shape}")
    builder = Builder(program.dimension, dict(program.parameters))
    copies: list[int] = []
    for node in program.nodes:
        operands = [copies[k] for k in node.operands]
        copies.append(builder.node(node.op, *operands, attribute=node.attribute, shape=node.shape))
    adjoints: dict[int, int] = {copies[value]: builder.constant(1.0)}
    point = builder.node("point")
    variable = point if by is None else builder.node("element", point, attribute=by)
    for i in range(max(copies), -1, -1):
        node, adjoint = builder.nodes[i], adjoints.get(i)
        if adjoint is None or not node.operands:
            continue
        for k, share in _shares(builder, i, node, adjoint):
            share = _fitted(builder, share, k, node)
            adjoints[k] = share if k not in adjoints else builder.node("add", adjoints[k], share)
    gradient = adjoints.get(variable, builder.constant(0.0))
    if by is None:
        gradient = builder.expanded(gradient, program.dimension)
    outputs = {name: copies[k] for name, k in program.outputs}
    return builder.program(**outputs, gradient=gradient)


def _fitted(b: Builder, share: int, operand: int, node: Node) -> int:
    """A share for one number that was taken for several is the sum of theirs."""
    if b.shape(operand) != () or node.shape == () or node.op == "embed":
        return share
    if b.shape(share) == ():
        return b.node("multiply", share, b.constant(float(node.shape[0])))
    return b.node("sum", share)


def _shares(b: Builder, i: int, node: Node, g: int) -> list[tuple[int, int]]:
    """Operands and what they contribute, g times the derivative of node i by each; () stands for equal numbers."""
    rule = _RULES.get(node.op)
    if rule is None:
        return []
    return rule(b, i, node, g)


def _one(f: Callable[[Builder, int, int, int], int]) -> Callable[..., list[tuple[int, int]]]:
    """A rule for one operand: f(builder, value, operand, g)."""
    return lambda b, i, node, g: [(node.operands[0], f(b, i, node.operands[0], g))]


def _times(b: Builder, g: int, *factors: int) -> int:
    for factor in factors:
        g = b.node("multiply", g, factor)
    return g


def _plus(b: Builder, number: float, x: int) -> int:
    return b.node("add", b.constant(number), x)


def _root(b: Builder, x: int, number: float) -> int:
    """Of `x + number`."""
    return b.node("sqrt", _plus(b, number, x))


def _cosine_of_arcsine(b: Builder, x: int) -> int:
    return b.node("sqrt", b.node("multiply", _plus(b, 1.0, b.node("negative", x)), _plus(b, 1.0, x)))


def _bell(b: Builder, x: int) -> int:
    return b.node("exp", b.node("negative", b.node("multiply", x, x)))


def _arctan2(b: Builder, _: int, node: Node, g: int) -> list[tuple[int, int]]:
    """0 at the origin."""
    y, x = node.operands
    square = b.node("add", b.node("multiply", x, x), b.node("multiply", y, y))
    share = b.node("divide", g, b.node("select", b.node("less", b.constant(0.0), square), square, b.constant(1.0)))
    return [(y, b.node("multiply", share, x)), (x, b.node("negative", b.node("multiply", share, y)))]


def _divide(b: Builder, i: int, node: Node, g: int) -> list[tuple[int, int]]:
    x, y = node.operands
    return [(x, b.node("divide", g, y)), (y, b.node("negative", b.node("divide", b.node("multiply", g, i), y)))]


def _power(b: Builder, i: int, node: Node, g: int) -> list[tuple[int, int]]:
    x, c = node.operands[0], node.attribute
    if c == 1.0:
        return [(x, g)]
    slope = x if c == 2.0 else b.node("power", x, attribute=c - 1.0)
    return [(x, _times(b, g, b.constant(c), slope))]


def _extreme(first_if: Callable[[Builder, int, int], int]) -> Callable[..., list[tuple[int, int]]]:
    """`first_if`: 1 where the second operand is taken."""

    def rule(b: Builder, _: int, node: Node, g: int) -> list[tuple[int, int]]:
        x, y = node.operands
        second, zero = first_if(b, x, y), b.constant(0.0)
        return [(x, b.node("select", second, zero, g)), (y, b.node("select", second, g, zero))]

    return rule


def _slice(b: Builder, _: int, node: Node, g: int) -> list[tuple[int, int]]:
    x = node.operands[0]
    start, _, step = node.attribute
    whole = b.expanded(g, node.shape[0])
    return [(x, b.node("embed", whole, attribute=(start, step, b.shape(x)[0])))]


def _embed(b: Builder, _: int, node: Node, g: int) -> list[tuple[int, int]]:
    x = node.operands[0]
    start, step, _ = node.attribute
    if b.shape(g) == ():
        return [(x, g)]
    if b.shape(x) == ():
        return [(x, b.node("element", g, attribute=start))]
    count = b.shape(x)[0]
    return [(x, b.node("slice", g, attribute=(start, start + count * step, step)))]


def _matvec(b: Builder, _: int, node: Node, g: int) -> list[tuple[int, int]]:
    whole = b.expanded(g, node.shape[0])
    return [(node.operands[0], b.node("matvec", whole, attribute=node.attribute.array.T))]


_RULES: dict[str, Callable[..., list[tuple[int, int]]]] = {
    "negative": _one(lambda b, i, x, g: b.node("negative", g)),
    "absolute": _one(lambda b, i, x, g: b.node("multiply", g, b.node("sign", x))),
    "sqrt": _one(lambda b, i, x, g: b.node("multiply", g, b.node("divide", b.constant(0.5), i))),
    "exp": _one(lambda b, i, x, g: b.node("multiply", g, i)),
    "log": _one(lambda b, i, x, g: b.node("divide", g, x)),
    "expm1": _one(lambda b, i, x, g: b.node("multiply", g, b.node("exp", x))),
    "log1p": _one(lambda b, i, x, g: b.node("divide", g, b.node("add", b.constant(1.0), x))),
    "sinh": _one(lambda b, i, x, g: b.node("multiply", g, b.node("cosh", x))),
    "cosh": _one(lambda b, i, x, g: b.node("multiply", g, b.node("sinh", x))),
    "arctan": _one(lambda b, i, x, g: b.node("divide", g, _plus(b, 1.0, b.node("multiply", x, x)))),
    "arcsin": _one(lambda b, i, x, g: b.node("divide", g, _cosine_of_arcsine(b, x))),
    "arccos": _one(lambda b, i, x, g: b.node("negative", b.node("divide", g, _cosine_of_arcsine(b, x)))),
    "arctan2": _arctan2,
    "erf": _one(lambda b, i, x, g: _times(b, g, b.constant(2.0 / math.sqrt(math.pi)), _bell(b, x))),
    "remainder": lambda b, i, node, g: [
        (node.operands[0], g),
        (
            node.operands[1],
            b.node("multiply", g, b.node("divide", b.node("subtract", i, node.operands[0]), node.operands[1])),
        ),
    ],
    "cbrt": _one(lambda b, i, x, g: b.node("divide", g, _times(b, b.constant(3.0), i, i))),
    "arcsinh": _one(lambda b, i, x, g: b.node("divide", g, b.node("sqrt", _plus(b, 1.0, b.node("multiply", x, x))))),
    "arccosh": _one(lambda b, i, x, g: b.node("divide", g, _times(b, _root(b, x, -1.0), _root(b, x, 1.0)))),
    "arctanh": _one(
        lambda b, i, x, g: b.node(
            "divide", g, b.node("multiply", _plus(b, 1.0, b.node("negative", x)), _plus(b, 1.0, x))
        )
    ),
    "expit": _one(lambda b, i, x, g: _times(b, g, i, b.node("expit", b.node("negative", x)))),
    "logaddexp": lambda b, i, node, g: [
        (x, b.node("multiply", g, b.node("expit", b.node("subtract", x, y))))
        for x, y in (node.operands, node.operands[::-1])
    ],
    "sin": _one(lambda b, i, x, g: b.node("multiply", g, b.node("cos", x))),
    "cos": _one(lambda b, i, x, g: b.node("negative", b.node("multiply", g, b.node("sin", x)))),
    "tanh": _one(
        lambda b, i, x, g: b.node("multiply", g, b.node("subtract", b.constant(1.0), b.node("multiply", i, i)))
    ),
    "power": _power,
    "add": lambda b, i, node, g: [(k, g) for k in node.operands],
    "subtract": lambda b, i, node, g: [(node.operands[0], g), (node.operands[1], b.node("negative", g))],
    "multiply": lambda b, i, node, g: [
        (node.operands[0], _times(b, g, node.operands[1])),
        (node.operands[1], _times(b, g, node.operands[0])),
    ],
    "divide": _divide,
    "maximum": _extreme(lambda b, x, y: b.node("less", x, y)),
    "minimum": _extreme(lambda b, x, y: b.node("less", y, x)),
    "fma": lambda b, i, node, g: [
        (node.operands[0], _times(b, g, node.operands[1])),
        (node.operands[1], _times(b, g, node.operands[0])),
        (node.operands[2], g),
    ],
    "select": lambda b, i, node, g: [
        (node.operands[1], b.node("select", node.operands[0], g, b.constant(0.0))),
        (node.operands[2], b.node("select", node.operands[0], b.constant(0.0), g)),
    ],
    "sum": _one(lambda b, i, x, g: g),
    "sum_product": lambda b, i, node, g: [
        (node.operands[0], _times(b, g, node.operands[1])),
        (node.operands[1], _times(b, g, node.operands[0])),
    ],
    "max": _one(lambda b, i, x, g: b.node("multiply", g, b.node("first_max", x))),
    "min": _one(lambda b, i, x, g: b.node("multiply", g, b.node("first_min", x))),
    "matvec": _matvec,
    "slice": _slice,
    "element": lambda b, i, node, g: [
        (node.operands[0], b.node("embed", g, attribute=(node.attribute, 1, b.shape(node.operands[0])[0])))
    ],
    "embed": _embed,
}
