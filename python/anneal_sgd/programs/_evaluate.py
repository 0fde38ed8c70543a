"""Programs in plain NumPy: for values and gradients at points, not for the bits of a trajectory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._ir import COMPOSED, Node, Program

_PLAIN: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, name)
        for name in ("negative", "absolute", "sign", "sqrt", "exp", "log", "sin", "cos", "tanh", "rint", "arctan")
    },
    **{name: getattr(np, name) for name in COMPOSED if name != "expit"},
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "expit": lambda a: 1.0 / (1.0 + np.exp(-a)),
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "minimum", "maximum", "power")},
    "less": np.less,
    "fma": lambda a, b, c: a * b + c,
    "select": lambda c, a, b: np.where(np.abs(c) > 0, a, b),
    "sum": lambda a: np.sum(a, axis=0),
    "sum_product": lambda a, b: np.sum(a * b, axis=0),
    "max": lambda a: np.max(a, axis=0),
    "min": lambda a: np.min(a, axis=0),
    "first_max": lambda a: _marked(a, np.argmax(a, axis=0)),
    "first_min": lambda a: _marked(a, np.argmin(a, axis=0)),
    "matvec": lambda a, matrix: np.tensordot(matrix, a, axes=1),
}


def evaluate(
    program: Program,
    x: ArrayLike,
    parameters: Mapping[str, ArrayLike] | None = None,
    draws: Mapping[int, ArrayLike] | None = None,
    *,
    operations: Mapping[str, Callable[..., Any]] | None = None,
) -> dict[str, NDArray[Any]]:
    """The outputs at points x of shape (d, ...), by name: of shape (...) or (n, ...).

    Everything is in the dtype of x where that is a float, in float64 else. `draws`: by place, of the shapes of what is
    drawn. `operations`: functions in place of NumPy's, by the name of the operation, of its operands; `power` takes
    its exponent besides, `matvec` its matrix, (m, n). KeyError: a parameter or draw of the program is missing.

    >>> from anneal_sgd.programs import trace
    >>> program = trace(lambda x, a: a * np.sum(x**2), dimension=2, parameters={"a": ()})
    >>> evaluate(program, np.array([[1.0, 2.0], [0.0, 1.0]]), {"a": 3.0})["value"].tolist()
    [3.0, 15.0]
    """
    point = np.asarray(x)
    if point.dtype.kind != "f":
        point = point.astype(np.float64)
    known = {**_PLAIN, **(operations or {})}
    values: list[NDArray[Any]] = []
    for node in program.nodes:
        operands = [values[k] for k in node.operands]
        if not operands:
            value = _leaf(node, point, parameters or {}, draws or {})
        elif node.op in known:
            value = known[node.op](*operands, *_numbers(node, point.dtype))
        else:
            value = _moved(node, operands[0], point.ndim - 1)
        values.append(np.asarray(value, point.dtype))
    axes = point.shape[1:]
    return {name: np.array(np.broadcast_to(values[k], program.nodes[k].shape + axes)) for name, k in program.outputs}


def _leaf(
    node: Node, point: NDArray[Any], parameters: Mapping[str, ArrayLike], draws: Mapping[int, ArrayLike]
) -> NDArray[Any]:
    """One number with the points' own axes, several with an axis before them."""
    if node.op == "point":
        return point
    if node.op == "draw":
        return np.asarray(draws[node.attribute[0]])
    numbers = node.attribute if node.op == "constant" else parameters[node.attribute]
    return np.asarray(numbers, np.float64).reshape(node.shape + (1,) * (point.ndim - 1))


def _numbers(node: Node, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    return [np.asarray(node.attribute, dtype)] if node.op in ("power", "matvec") else []


def _marked(a: NDArray[Any], where: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.arange(len(a)).reshape((-1,) + (1,) * (a.ndim - 1)) == where)


def _moved(node: Node, a: NDArray[Any], axes: int) -> NDArray[Any]:
    """What takes numbers out of a value, or puts them among zeros."""
    if node.op == "element":
        return np.asarray(a[node.attribute])
    if node.op == "slice":
        return a[[*range(*node.attribute)]]
    start, step, n = node.attribute
    several = a if a.ndim > axes else a[None]
    out = np.zeros((n, *several.shape[1:]), a.dtype)
    out[[start + step * i for i in range(len(several))]] = several
    return out
