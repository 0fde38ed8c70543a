"""Programs from text: an expression of a few names, read with Python's grammar and never executed as Python."""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from .._validate import shown
from ._ir import Program, Shape
from ._special import erf, special
from ._symbol import Symbol
from ._trace import trace

_LONGEST = 10_000  # characters: a bound on the depth of what the parser is asked to read

_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    **{name: (getattr(np, name), 1) for name in ("abs", "sqrt", "exp", "log", "sin", "cos", "tanh", "sign", "square")},
    **{name: (getattr(np, name), 1) for name in ("log1p", "expm1", "sum", "prod", "cumsum", "max", "min", "mean")},
    **{name: (getattr(np, name), 1) for name in ("var", "std", "any", "all", "sinh", "cosh", "exp2", "log2", "log10")},
    **{name: (getattr(np, name), 1) for name in ("floor", "ceil", "trunc", "rint", "arctan", "arcsin", "arccos")},
    **{name: (getattr(np, name), 1) for name in ("arccosh", "arctanh", "diff", "ptp")},
    **{name: (getattr(np, name), 2) for name in ("arctan2", "mod", "fmod", "quantile")},
    "erf": (erf, 1),
    **{name: (special(name), 1) for name in ("erfc", "ndtr", "expit", "log_expit", "logit", "entr", "exp10")},
    **{name: (special(name), 2) for name in ("huber", "pseudo_huber", "xlogy", "xlog1py", "rel_entr", "kl_div")},
    **{name: (getattr(np, name), 1) for name in ("tan", "arcsinh", "cbrt", "sinc", "sort", "median", "cumprod")},
    **{name: (getattr(np, name), 2) for name in ("maximum", "minimum", "dot", "hypot", "logaddexp", "heaviside")},
    **{name: (getattr(np, name), 3) for name in ("where", "clip")},
    "norm": (np.linalg.norm, 1),
}
"""By name, and how many arguments they take."""

_DRAWS = {
    **dict.fromkeys(("gaussian", "rademacher", "uniform", "exponential", "laplace"), 0),
    **dict.fromkeys(("student_t", "weibull", "pareto", "stable"), 1),
}

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def parse(
    text: str,
    *,
    dimension: int,
    parameters: Mapping[str, Shape] | None = None,
    draws: bool = False,
    point: bool = True,
    numbers: Sequence[str] = (),
) -> Program:
    """The program of an expression: what `trace` gives for a function that returns it.

    The names are x, of shape (dimension,), unless there is no `point`, the `parameters`, `pi`, and with `draws` the
    methods of `draw`; there are numbers, lists of numbers (also as a constant matrix before @), + - * / // % ** @,
    < <= > >= == != for `where`, joined by & and |, elements and slices, and the functions abs, sqrt, cbrt, hypot, exp,
    exp2, expm1, log, log2, log10, log1p, logaddexp, sin, cos, tan, sinc, arcsin, arccos, arctan, arctan2, sinh, cosh,
    tanh, arcsinh, arccosh, arctanh, floor, ceil, trunc, rint, mod, fmod, sign, heaviside, square, sum, prod, cumsum,
    cumprod, diff, max, min, ptp, mean, median, quantile, sort, var, std, any, all, maximum, minimum, dot, where, clip,
    norm, and of scipy.special erf, and of what is no constant erfc, ndtr, expit, log_expit, logit, entr, exp10, huber,
    pseudo_huber, xlogy, xlog1py, rel_entr, kl_div.
    `numbers`: names of the numbers of the point, one by one in place of x.

    ValueError: anything else, with the column where it begins.

    >>> print(parse("a * sum(abs(x)**1.5)", dimension=3, parameters={"a": ()}))
    v0 = point (3,)
    v1 = parameter 'a'
    v2 = absolute v0 (3,)
    v3 = power v2 1.5 (3,)
    v4 = sum v3
    v5 = multiply v1, v4
    value = v5
    >>> parse("open('file')", dimension=1)
    Traceback (most recent call last):
    ...
    ValueError: text must have no function 'open', at column 1 of "open('file')"
    """
    if not isinstance(text, str) or not 0 < len(text.strip()) <= _LONGEST:
        raise ValueError(f"text must be an expression of 1 to {_LONGEST} characters, got {shown(text)}")
    text = " ".join(text.split())
    names = dict(parameters or {})
    arguments = [*((numbers or ["x"]) if point else []), *(["draw"] if draws else [])]
    if own := [name for name in ("x", "pi", *arguments) if name in names]:
        raise ValueError(f"parameters must not be named {own[0]!r}, which has a meaning in text")
    try:
        body = ast.parse(text, mode="eval").body
        used = [name for name in names if name in {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}]
        f = _function(text, body, [*arguments, *used])
        return trace(f, dimension=dimension, parameters=names, draws=draws, point=point, numbers=numbers)
    except SyntaxError as error:
        raise ValueError(
            f"text must be an expression, {error.msg} at column {max(error.offset or 1, 1)} of {shown(text)}"
        ) from None
    except (RecursionError, MemoryError):
        raise ValueError(f"text must not be nested that deeply, got {shown(text)}") from None


def _function(text: str, body: ast.expr, arguments: list[str]) -> Callable[..., Any]:
    """What computes the expression, with the signature that `trace` asks for."""

    def f(*values: Any, **named: Any) -> Any:
        known = {**dict(zip(arguments, values, strict=False)), **named, "pi": np.pi}
        with np.errstate(all="ignore"):  # of numbers alone; what is not finite is refused as a constant
            reader = _Reader(text, known)
            result = reader.value(body)
        if np.ndim(result) > 1:
            raise reader.refused("a matrix only before @", body)
        return result

    kinds = [inspect.Parameter.POSITIONAL_OR_KEYWORD] * len(arguments)
    f.__signature__ = inspect.Signature(list(map(inspect.Parameter, arguments, kinds)))  # type: ignore[attr-defined]
    return f


class _Reader:
    """Computes an expression from the values of its names, node by node of what is allowed."""

    def __init__(self, text: str, names: Mapping[str, Any]) -> None:
        self.text, self.names = text, names

    def value(self, node: ast.expr) -> Any:
        """Of an expression: a symbol, a number or an array of constants."""
        match node:
            case ast.Constant():
                return self.number(node)
            case ast.Name():
                if node.id not in self.names or node.id == "draw":
                    raise self.refused(f"no name {node.id!r}", node)
                return self.names[node.id]
            case ast.List():
                return self.array(node)
            case ast.UnaryOp(op=op, operand=a):
                return self.applied(op, [a], node)
            case ast.BinOp(op=op, left=a, right=b):
                return self.applied(op, [a, b], node)
            case ast.Compare(ops=[op], left=a, comparators=[b]):
                return self.applied(op, [a, b], node)
            case ast.Subscript(value=a, slice=index):
                vector = self.value(a)
                if not isinstance(vector, Symbol):
                    raise self.refused("indices of x, a parameter or what is made of them alone", node)
                return self.called(operator.getitem, [vector, self.index(index)], node)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self.function(name, arguments, node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="draw"), attr=name)) if "draw" in self.names:
                return self.draw(name, node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="draw"))):
                raise self.refused("no draws", node)
        raise self.refused(f"no {type(node).__name__}", node)

    def number(self, node: ast.Constant) -> float:
        """A literal, as a float."""
        if type(node.value) not in (int, float):
            raise self.refused(f"numbers, not {shown(node.value)}", node)
        return cast(float, self.called(float, [node.value], node))

    def array(self, node: ast.List) -> Any:
        """Of numbers, or of lists of numbers."""
        rows = [self.value(element) for element in node.elts]
        if not rows or any(isinstance(row, Symbol) for row in rows) or len({np.shape(row) for row in rows}) > 1:
            raise self.refused("lists of numbers, or of lists of one length, alone", node)
        return np.array(rows)

    def applied(self, op: ast.AST, operands: list[ast.expr], node: ast.expr) -> Any:
        """An operator."""
        if type(op) not in _OPERATORS:
            raise self.refused(f"no {type(op).__name__}", node)
        return self.called(_OPERATORS[type(op)], [self.value(a) for a in operands], node)

    def function(self, name: str, arguments: list[ast.expr], node: ast.expr) -> Any:
        """A function of the table."""
        if name not in _FUNCTIONS:
            raise self.refused(f"no function {name!r}", node)
        f, count = _FUNCTIONS[name]
        if len(arguments) != count:
            raise self.refused(f"{count} argument{'s' * (count > 1)} of {name}, not {len(arguments)}", node)
        return self.called(f, [self.value(a) for a in arguments], node)

    def draw(self, name: str, node: ast.Call) -> Any:
        """A method of `draw`, with `size=()` or without."""
        if name not in _DRAWS:
            raise self.refused(f"no draw.{name}", node)
        if len(node.args) != _DRAWS[name]:
            raise self.refused(f"{_DRAWS[name]} arguments of draw.{name}, not {len(node.args)}", node)
        size: dict[str, tuple[()]] = {}
        for keyword in node.keywords:
            if keyword.arg != "size" or not isinstance(keyword.value, ast.Tuple) or keyword.value.elts:
                raise self.refused(f"no argument of draw.{name} by name but size=()", node)
            size = {"size": ()}
        method = getattr(self.names["draw"], name)
        return self.called(lambda *given: method(*given, **size), [self.value(a) for a in node.args], node)

    def index(self, node: ast.expr | None) -> Any:
        """An integer or a slice of integers."""
        match node:
            case None:
                return None
            case ast.Slice():
                return slice(self.index(node.lower), self.index(node.upper), self.index(node.step))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(n))):
                return -n
            case ast.Constant(value=int(n)) if n is not True and n is not False:
                return n
        raise self.refused("integers as indices", node)

    def called(self, f: Callable[..., Any], values: list[Any], node: ast.expr) -> Any:
        """`f(*values)`, whose errors say where in the text."""
        try:
            result = f(*values)
            if isinstance(result, Symbol):
                return result
            numbers = np.asarray(result)
            if numbers.dtype.kind not in "bif" or not np.isfinite(numbers).all():
                raise ValueError(f"constants must be finite real numbers, got {shown(numbers.tolist())}")
        except (TypeError, ValueError, IndexError, ArithmeticError) as error:
            reason = re.sub(r" \([^()]*:\d+\)", "", str(error.args[-1]))  # without the line of the caller
            raise self.refused(f"what can be computed: {reason}", node) from None
        return numbers.astype(np.float64) if numbers.ndim else float(numbers)

    def refused(self, wanted: str, node: ast.expr) -> ValueError:
        """The error for a part of the text."""
        column = len(self.text.encode()[: node.col_offset].decode()) + 1  # col_offset counts bytes
        return ValueError(f"text must have {wanted}, at column {column} of {shown(self.text)}")
