"""Programs in plain NumPy: for values and gradients at points, not for the bits of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._ir import Node, Program

_PLAIN: dict[str, Any] = {
    **{
        name: getattr(np, name) for name in ("negative", "absolute", "sign", "sqrt", "exp", "log", "sin", "cos", "tanh")
    },
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "minimum", "maximum")},
    "less": lambda a, b: np.where(a < b, 1.0, 0.0),
    "fma": lambda a, b, c: a * b + c,
    "select": lambda c, a, b: np.where(c != 0, a, b),
}


def evaluate(
    program: Program,
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike] | None = None,
    draws: Mapping[int, ArrayLike] | None = None,
) -> dict[str, NDArray[Any]]:
    """The outputs at points x of shape (d, ...), by name: of shape (...) or (n, ...).

    `draws`: by place, of the shapes of what is drawn. KeyError: a parameter or draw that an output needs is missing.

    >>> from anneal_sgd.programs import trace
    >>> program = trace(lambda x, a: a * np.sum(x**2), dimension=2, parameters={"a": ()})
    >>> evaluate(program, np.array([[1.0, 2.0], [0.0, 1.0]]), {"a": 3.0})["value"].tolist()
    [3.0, 15.0]
    """
    point = np.asarray(x, np.float64)
    values: list[NDArray[Any]] = []
    for node in program.nodes:
        values.append(_value(node, values, point, parameters or {}, draws or {}))
    return {name: np.asarray(values[k]) for name, k in program.outputs}


def _value(
    node: Node,
    values: list[NDArray[Any]],
    point: NDArray[Any],
    parameters: Mapping[str, ArrayLike],
    draws: Mapping[int, ArrayLike],
) -> NDArray[Any]:
    """Of one node: one number with the points' own axes, several with an axis before them."""
    axes = point.ndim - 1
    if node.op == "point":
        return point
    if node.op in ("constant", "parameter"):
        numbers = np.asarray(node.attribute if node.op == "constant" else parameters[node.attribute], np.float64)
        return numbers.reshape(node.shape + (1,) * axes)
    if node.op == "draw":
        return np.asarray(draws[node.attribute[0]], np.float64)
    a, *rest = (values[k] for k in node.operands)
    if node.op in _PLAIN:
        return np.asarray(_PLAIN[node.op](a, *rest))
    if node.op == "power":
        return np.asarray(np.power(a, node.attribute))
    if node.op in ("sum", "sum_product"):
        return np.asarray(np.sum(a if node.op == "sum" else a * rest[0], axis=0))
    if node.op in ("max", "min"):
        return np.asarray((np.max if node.op == "max" else np.min)(a, axis=0))
    if node.op in ("first_max", "first_min"):
        where = (np.argmax if node.op == "first_max" else np.argmin)(a, axis=0)
        return np.where(np.arange(len(a)).reshape((-1,) + (1,) * (a.ndim - 1)) == where, 1.0, 0.0)
    if node.op == "matvec":
        return np.asarray(np.tensordot(np.array(node.attribute), a, axes=1))
    if node.op == "element":
        return np.asarray(a[node.attribute])
    if node.op == "slice":
        return np.asarray(a[[*range(*node.attribute)]])
    start, step, n = node.attribute
    several = a if a.ndim > axes else a[None]
    out = np.zeros((n, *several.shape[1:]))
    out[[start + step * i for i in range(len(several))]] = several
    return out
