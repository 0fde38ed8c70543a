"""Calls a function with symbols in place of numbers and writes down what it does with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._validate import shown
from . import _numpy as _numpy  # what symbols know of NumPy
from ._build import Builder
from ._draws import Draws
from ._ir import Program, Shape
from ._symbol import Symbol, lifted

_OF_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def trace(
    f: Callable[..., Any],
    *,
    dimension: int,
    parameters: Mapping[str, Shape] | None = None,
    draws: bool = False,
    point: bool = True,
    numbers: Sequence[str] = (),
) -> Program:
    """What `f(x, a, ...)` does, as a program with the output "value".

    `x` has shape (dimension,); the other arguments of f are `parameters` by their names, of shapes () or (n,), after
    `draw` where there are `draws`. What has the name of a parameter, or "draw", is that wherever it stands, and a
    function of such names alone needs no x. The value is one number; of a function of draws, a vector as long as x.
    Without `point` there is no x: f(draw, a, ...) is where trajectories start, and its draws have places of their own.
    `numbers`: those of the point are taken one by one in place of x, by these names, or in this order.

    f is called twice, with symbols for numbers, and has to do the same both times. TypeError: an operation that cannot
    be traced, by name and line. ValueError: shapes that do not fit, a parameter that f needs and that is not given,
    another program at the second call, as of a function that draws its own random numbers.

    >>> import numpy as np
    >>> from anneal_sgd.programs import canonical
    >>> print(canonical(trace(lambda x: np.sum(x**2), dimension=2)))
    v0 = point (2,)
    v1 = sum_product v0, v0
    value = v1
    """
    shapes = dict(parameters or {})
    program = _traced(f, dimension, shapes, draws, point, numbers)
    if _traced(f, dimension, shapes, draws, point, numbers) != program:
        raise ValueError(
            f"f must do the same at every call, got two programs from {_named(f)}: random numbers come from draw alone"
        )
    return program


def _traced(
    f: Callable[..., Any],
    dimension: int,
    shapes: dict[str, Shape],
    draws: bool,
    point: bool,
    numbers: Sequence[str],
) -> Program:
    builder = Builder(dimension, shapes)
    in_order: dict[str, Any] = {}
    if point:
        x = Symbol(builder, builder.node("point"))
        in_order = dict(zip(numbers, x, strict=True)) if numbers else {"x": x}
    if draws:
        in_order["draw"] = Draws(builder, of_start=not point)
    signature = _signature(f)
    named = in_order if {*numbers} <= {*signature.parameters} else {}
    given: dict[str, Any] = {}
    for name in signature.parameters:
        if name in shapes:
            given[name] = Symbol(builder, builder.node("parameter", attribute=name))
        elif name in named:
            given[name] = named[name]
    rest = [value for name, value in in_order.items() if name not in given]
    others = [one for name, one in signature.parameters.items() if name not in given]
    needed = [one.name for one in others if one.default is one.empty and one.kind not in _OF_ANY_NUMBER]
    if len(needed) > len(rest):
        raise ValueError(f"parameters must have {needed[len(rest)]!r}, which the function takes, got {sorted(shapes)}")
    if others or not given:
        try:
            given |= signature.replace(parameters=others).bind(*rest).arguments
        except TypeError as error:
            raise TypeError(f"f must be a function of {', '.join(in_order)}: {error} ({_named(f)})") from None
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for name, one in signature.parameters.items():  # by name from the first parameter on: f may take **parameters
        if one.kind is one.VAR_POSITIONAL:
            positional += given.get(name, ())
        elif name in given and one.kind is not one.POSITIONAL_ONLY and (name in shapes or keywords):
            keywords[name] = given[name]
        elif name in given:
            positional.append(given[name])
    result = f(*positional, **keywords)
    value = lifted(builder, result, "the result")
    if draws:
        value = builder.expanded(value, dimension) if builder.shape(value) == () else value
    elif builder.shape(value) == (1,) and dimension == 1:
        value = builder.node("element", value, attribute=0)
    return builder.program(value=value)


def _signature(f: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(f)
    except ValueError:
        raise TypeError(f"f must be a function whose arguments have names, got {shown(f)}") from None


def _named(f: Callable[..., Any]) -> str:
    code = getattr(f, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else shown(f)
