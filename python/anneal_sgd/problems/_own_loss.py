"""Losses of one's own: functions of an output z and its target y, traced."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from .. import _core
from .._arrays import FloatArray, short
from .._validate import shown
from ..programs import Program, canonical, differentiated, evaluate, parse, trace
from ..programs._lower import lowered

OwnLoss: TypeAlias = Callable[..., Any] | str | Program

_ARGUMENTS = ("z", "y")


def loss_program(loss: object) -> Program:
    """The loss and, as its "gradient", the derivative by z, in canonical form; a program of that kind as it is.

    TypeError: it is no function or text, or does what cannot be traced. ValueError: it does not depend on z, or gives
    no number.
    """
    if isinstance(loss, Program):
        return _checked(loss)
    try:
        if isinstance(loss, str):
            program = parse(loss, dimension=len(_ARGUMENTS), numbers=_ARGUMENTS)
        elif callable(loss):
            _check_arguments(loss)
            program = trace(loss, dimension=len(_ARGUMENTS), numbers=_ARGUMENTS)
        else:
            raise TypeError(f"loss must be a function of z and y or a text, got {shown(loss)}")
        program = canonical(differentiated(program, by=0))
    except ValueError as error:
        raise ValueError(re.sub("^(text|f) ", "loss ", str(error))) from None
    slope = program.nodes[program.output("gradient")]
    if slope.op == "constant" and not slope.attribute.array.any():
        raise ValueError("loss must depend on z, its first argument, in more than jumps: its derivative is 0")
    return program


def _check_arguments(loss: Callable[..., Any]) -> None:
    try:
        inspect.signature(loss).bind(*_ARGUMENTS)
    except (TypeError, ValueError) as error:
        raise TypeError(f"loss must be a function of z and y, got {shown(loss)}: {error}") from None


def _checked(program: Program) -> Program:
    shapes = {name: program.nodes[k].shape for name, k in program.outputs}
    draws = any(node.op == "draw" for node in program.nodes)
    if program.dimension != len(_ARGUMENTS) or program.parameters or draws or shapes != {"value": (), "gradient": ()}:
        raise ValueError(f"loss must be a function of z and y, a text, or the loss of a problem, got {shown(program)}")
    return program


def losses_of(program: Program, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """In NumPy: losses (rows,) and their derivatives (rows, 1), at outputs z (rows, 1) and targets y (rows,)."""
    with np.errstate(all="ignore"):
        found = evaluate(program, np.stack([z[:, 0], y]))
    return found["value"], found["gradient"][:, None]


@lru_cache(maxsize=16)
def lowered_loss(program: Program) -> _core.Program:
    """For the compiled core."""
    return lowered(program)


def lost_loss(program: Program, dtype: str) -> str:
    """Which constant leaves the range of the dtype, in words."""
    largest = float(np.finfo(dtype).max)
    if program.largest_constant <= largest:
        return ""
    return f"loss must have constants of size up to {largest:.4g} in {dtype}, got {short(program.largest_constant)}"
