"""The form of a program that defines its bits: docs/stream.md, "Programs"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from ._build import Builder
from ._ir import Node, Program

_MOST_FACTORS = 2**16


def canonical(program: Program) -> Program:
    """What computes the same, in one form: whoever traces the same operations gets the same program.

    Powers become products and roots, equal nodes one, products and sums fused; what no output needs is left out.

    >>> from anneal_sgd.programs import canonical, trace
    >>> print(canonical(trace(lambda x, a: a * x[0] ** 2 + 1, dimension=1, parameters={"a": ()})))
    v0 = parameter 'a'
    v1 = point (1,)
    v2 = element v1 0
    v3 = multiply v2, v2
    v4 = constant 1.0
    v5 = fma v0, v3, v4
    value = v5
    """
    form, before = ordered(_expanded(program)), None
    while form != before:  # nodes that are equal once fused may leave a product with a single use
        before, form = form, ordered(_fused(form))
    return form


def _rebuilt(program: Program) -> Builder:
    return Builder(program.dimension, dict(program.parameters))


def _expanded(program: Program) -> Program:
    """Equal nodes shared, numbers computed, powers as products and roots, what the core has not in what it has."""
    b = _rebuilt(program)
    copies: list[int] = []
    for node in program.nodes:
        operands = [copies[k] for k in node.operands]
        if node.op == "power":
            copies.append(_power(b, operands[0], node.attribute))
        elif node.op in _COMPOSED:
            copies.append(_COMPOSED[node.op](b, *operands))
        else:
            copies.append(b.node(node.op, *operands, attribute=node.attribute, shape=node.shape))
    return b.program(**{name: copies[k] for name, k in program.outputs})


def _power(b: Builder, x: int, exponent: float) -> int:
    size = abs(exponent)
    whole = int(size) if size <= _MOST_FACTORS else 0
    if size > _MOST_FACTORS or size - whole not in (0.0, 0.5) or size == 0.0:
        return b.node("power", x, attribute=exponent)
    result, square = None, x
    while whole:
        if whole & 1:
            result = square if result is None else b.node("multiply", result, square)
        whole >>= 1
        square = b.node("multiply", square, square) if whole else square
    if size % 1.0 == 0.5:
        root = b.node("sqrt", x)
        result = root if result is None else b.node("multiply", result, root)
    assert result is not None
    return result if exponent > 0 else b.node("divide", b.constant(1.0), result)


def _log1p(b: Builder, x: int) -> int:
    """`log u + (x - (u - 1)) / u`, u = 1 + x rounded; from 2^20 on, where the rest is far below an ulp, without it."""
    one, small = b.constant(1.0), b.node("minimum", x, b.constant(2.0**20))
    u = b.node("add", one, x)
    lost = b.node("subtract", small, b.node("subtract", b.node("add", one, small), one))  # 0 below u = 1/2
    return b.node("add", b.node("log", u), b.node("divide", lost, b.node("maximum", u, b.constant(0.5))))


def _expm1(b: Builder, x: int) -> int:
    """`tanh(x / 2) (e^x + 1)`, in which nothing cancels."""
    half = b.node("tanh", b.node("multiply", x, b.constant(0.5)))
    return b.node("multiply", half, b.node("add", b.node("exp", x), b.constant(1.0)))


def _sinh(b: Builder, x: int) -> int:
    """`tanh(x / 2) (e^|x| + 1) (1 + e^-|x|) / 2`: of either sign, and infinite where e^|x| is."""
    one, e = b.constant(1.0), b.node("exp", b.node("absolute", x))
    half = b.node("multiply", b.node("tanh", b.node("multiply", x, b.constant(0.5))), b.node("add", e, one))
    return b.node("multiply", half, b.node("add", b.constant(0.5), b.node("divide", b.constant(0.5), e)))


def _cosh(b: Builder, x: int) -> int:
    exponentials = b.node("add", b.node("exp", x), b.node("exp", b.node("negative", x)))
    return b.node("multiply", b.constant(0.5), exponentials)


def _expit(b: Builder, x: int) -> int:
    one = b.constant(1.0)
    return b.node("divide", one, b.node("add", one, b.node("exp", b.node("negative", x))))


def _logaddexp(b: Builder, x: int, y: int) -> int:
    """The larger plus `log1p(e^-|x - y|)`, of equal ones `log 2`: infinite ones have no difference."""
    low, high = b.node("minimum", x, y), b.node("maximum", x, y)
    ratio = b.node("select", b.node("less", low, high), b.node("exp", b.node("subtract", low, high)), b.constant(1.0))
    return b.node("add", high, _log1p(b, ratio))


def _cbrt(b: Builder, x: int) -> int:
    """`|x|^(1/3)`, a step of Newton's method nearer, which makes up for what 1/3 is rounded by; with the sign of x."""
    a = b.node("absolute", x)
    y = b.node("power", a, attribute=1.0 / 3.0)
    apart = b.node("subtract", y, b.node("divide", a, b.node("multiply", y, y)))  # NaN where y is 0 or infinite
    step = b.node("select", apart, b.node("multiply", apart, b.constant(1.0 / 3.0)), b.constant(0.0))
    return b.node("multiply", b.node("sign", x), b.node("subtract", y, step))


def _arcsinh(b: Builder, x: int) -> int:
    """`log1p(a + a^2 / (1 + sqrt(1 + a^2)))`, a = |x| up to 2^30, from there on the logarithm of what is left more."""
    one, limit = b.constant(1.0), b.constant(2.0**30)
    size = b.node("absolute", x)
    a = b.node("minimum", size, limit)
    square = b.node("multiply", a, a)
    root = b.node("sqrt", b.node("add", one, square))
    near = _log1p(b, b.node("add", a, b.node("divide", square, b.node("add", one, root))))
    rest = b.node("log", b.node("maximum", b.node("multiply", size, b.constant(2.0**-30)), one))
    return b.node("multiply", b.node("sign", x), b.node("add", near, rest))


def _arccosh(b: Builder, x: int) -> int:
    """`log1p(t + sqrt(t) sqrt(t + 2))`, t = x - 1."""
    t = b.node("subtract", x, b.constant(1.0))
    roots = b.node("multiply", b.node("sqrt", t), b.node("sqrt", b.node("add", t, b.constant(2.0))))
    return _log1p(b, b.node("add", t, roots))


def _arctanh(b: Builder, x: int) -> int:
    """`log1p(2 a / (1 - a)) / 2`, a = |x|, with the sign of x."""
    a = b.node("absolute", x)
    ratio = b.node("divide", b.node("add", a, a), b.node("subtract", b.constant(1.0), a))
    half = b.node("multiply", b.constant(0.5), b.node("sign", x))
    return b.node("multiply", half, _log1p(b, ratio))


def _arcsin(b: Builder, x: int) -> int:
    """`arctan(x / sqrt((1 - x) (1 + x)))`."""
    one = b.constant(1.0)
    square = b.node("multiply", b.node("subtract", one, x), b.node("add", one, x))
    return b.node("arctan", b.node("divide", x, b.node("sqrt", square)))


def _arccos(b: Builder, x: int) -> int:
    """`2 arctan(sqrt((1 - x) / (1 + x)))`."""
    one = b.constant(1.0)
    ratio = b.node("divide", b.node("subtract", one, x), b.node("add", one, x))
    return b.node("multiply", b.constant(2.0), b.node("arctan", b.node("sqrt", ratio)))


def _arctan2(b: Builder, y: int, x: int) -> int:
    """That of `y / |x|`, on the left less than pi of the sign of y; 0 at the origin."""
    zero, half_turn = b.constant(0.0), b.constant(math.pi)
    size = b.node("absolute", x)
    right = b.node("arctan", b.node("divide", y, size))
    turned = b.node("select", b.node("less", y, zero), b.node("negative", half_turn), half_turn)
    angle = b.node("select", b.node("less", x, zero), b.node("subtract", turned, right), right)
    apart = b.node("add", size, b.node("absolute", y))
    return b.node("select", b.node("less", zero, apart), angle, apart)


def _remainder(b: Builder, x: int, y: int) -> int:
    """`r = x - q y`, q the whole number below `x / y`, which rounds up at times: then r + y. NaN where q may be off."""
    zero, ratio = b.constant(0.0), b.node("divide", x, y)
    nearest = b.node("rint", ratio)
    q = b.node("subtract", nearest, b.node("less", ratio, nearest))
    r = b.node("fma", b.node("negative", q), y, x)
    r = b.node("select", b.node("less", b.node("multiply", r, y), zero), b.node("add", r, y), r)
    one, size = b.constant(1.0), b.node("absolute", q)
    exact = b.node("less", size, b.node("add", size, one))
    return b.node("add", r, b.node("sqrt", b.node("subtract", exact, one)))  # of 0 or -1


_COMPOSED: dict[str, Callable[..., int]] = {
    "arcsin": _arcsin,
    "arccos": _arccos,
    "arctan2": _arctan2,
    "remainder": _remainder,
    "cbrt": _cbrt,
    "arcsinh": _arcsinh,
    "arccosh": _arccosh,
    "arctanh": _arctanh,
    "log1p": _log1p,
    "expm1": _expm1,
    "sinh": _sinh,
    "cosh": _cosh,
    "expit": _expit,
    "logaddexp": _logaddexp,
}


def ordered(program: Program) -> Program:
    """What the outputs need, in the order in which a walk from them, in their order, first has all it needs.

    Equal nodes are one.
    """
    b = _rebuilt(program)
    copies: dict[int, int] = {}
    for _, output in program.outputs:
        stack = [output]
        while stack:
            i = stack[-1]
            missing = [k for k in program.nodes[i].operands if k not in copies]
            if missing:
                stack.append(missing[0])
                continue
            stack.pop()
            if i not in copies:
                node = program.nodes[i]
                operands = [copies[k] for k in node.operands]
                copies[i] = b.node(node.op, *operands, attribute=node.attribute, shape=node.shape)
    return b.program(**{name: copies[k] for name, k in program.outputs})


def _fused(program: Program) -> Program:
    """A product that only one sum or difference takes is fused with it; with a sum of a vector likewise."""
    uses = Counter(k for node in program.nodes for k in node.operands)
    uses.update(k for _, k in program.outputs)
    b = _rebuilt(program)
    copies: list[int] = []
    for node in program.nodes:
        copies.append(_fused_node(b, program.nodes, node, copies, uses))
    return b.program(**{name: copies[k] for name, k in program.outputs})


def _fused_node(b: Builder, nodes: Sequence[Node], node: Node, copies: list[int], uses: Counter[int]) -> int:
    def factors(k: int) -> tuple[int, int] | None:
        if nodes[k].op != "multiply" or uses[k] != 1:
            return None
        x, y = nodes[k].operands
        return copies[x], copies[y]

    operands = [copies[k] for k in node.operands]
    if node.op in ("add", "subtract"):
        left, right = (factors(k) for k in node.operands)
        if left is not None:
            rest = operands[1] if node.op == "add" else b.node("negative", operands[1])
            return b.node("fma", *left, rest)
        if right is not None:
            x, y = right
            return b.node("fma", x if node.op == "add" else b.node("negative", x), y, operands[0])
    if node.op == "sum":
        pair = factors(node.operands[0])
        if pair is not None and b.shape(pair[0]) == b.shape(pair[1]):
            return b.node("sum_product", *pair)
    return b.node(node.op, *operands, attribute=node.attribute, shape=node.shape)
