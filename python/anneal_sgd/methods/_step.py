"""A step as symbols, and the program that it is traced into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..programs import Program, Symbol, canonical
from ..programs import _numpy as _numpy  # what symbols know of NumPy
from ..programs._build import Builder
from ..programs._draws import Draws
from ..programs._ir import state_part, state_start
from ..programs._symbol import lifted
from ._following import Following

Start: TypeAlias = Any
"""Of a part of the state: a number, an array or a function of x0, which gives one of these."""


class Next:
    """The point after the step, before the projection, in place of a direction."""

    def __init__(self, x: Any) -> None:
        """Of shape (d,)."""
        self.x = x


class Now:
    """What a method sees in a step, as symbols: `x`, the stochastic gradient there, and the numbers of the step."""

    x: Symbol
    """The point, (d,)."""
    lr: Symbol
    """base_lr h(t / horizon)."""
    t: Symbol
    """The number of the step, from 1 on."""
    decaying: Any
    """What weight decay is multiplied by: 1, or (d,), 0 for intercepts."""

    def __init__(self, builder: Builder, decaying: Any = 1.0, followed: Sequence[Following] = ()) -> None:
        """Of a program in the making; `followed`: numbers that follow schedules, in their order."""
        self.decaying = decaying
        self._builder, self._followed = builder, followed
        self._evaluated: dict[int, int] = {}  # number of the evaluation by the point it is at
        self.points: dict[str, int] = {}
        self.x = Symbol(builder, builder.node("point"))
        self.lr, self.t = (Symbol(builder, builder.node("step", attribute=name)) for name in ("lr", "t"))
        self.draw = Draws(builder, of_start=False)

    @property
    def g(self) -> Symbol:
        """The stochastic gradient at x, (d,)."""
        return self.gradient(self.x)

    def gradient(self, point: Symbol) -> Symbol:
        """The stochastic gradient at a point, (d,): at each with noise of its own."""
        return self._of_problem("gradient", point, (self._builder.dimension,))

    def number(self, given: Any) -> Any:
        """A number of the method: itself, or that of the step where it follows a schedule."""
        return self._of_step("number", given) if isinstance(given, Following) else given

    def rest(self, given: Any) -> Any:
        """1 minus it, which is rounded once too."""
        return self._of_step("rest", given) if isinstance(given, Following) else 1.0 - given

    def _of_step(self, part: str, given: Following) -> Symbol:
        name = f"{part} {self._followed.index(given)}"
        return Symbol(self._builder, self._builder.node("step", attribute=name))

    @property
    def value(self) -> Symbol:
        """f(x), without noise."""
        return self._of_problem("value", self.x, ())

    def _of_problem(self, kind: str, point: Any, shape: tuple[int, ...]) -> Symbol:
        at = lifted(self._builder, point, "the point of a gradient")
        if self._builder.shape(at) != (self._builder.dimension,):
            raise ValueError(
                f"gradient must be at a point of {self._builder.dimension} numbers, got shape {self._builder.shape(at)}"
            )
        if at not in self._evaluated:
            k = self._evaluated[at] = len(self._evaluated)
            if at != self.x._value:
                self.points[f"point {k}"] = at
        name = f"{kind} {self._evaluated[at]}"
        self._builder.parameters[name] = shape
        return Symbol(self._builder, self._builder.node("parameter", attribute=name))


class Altered(Now):
    """A step whose gradients another method changes before it hands them on."""

    def __init__(self, now: Now, change: Callable[[Symbol], Any]) -> None:
        """`change`: of a gradient."""
        self._now, self._change = now, change
        self.x, self.lr, self.t, self.draw, self.decaying = now.x, now.lr, now.t, now.draw, now.decaying
        self._builder, self._followed = now._builder, now._followed

    def gradient(self, point: Symbol) -> Any:
        """Changed."""
        return self._change(self._now.gradient(point))

    @property
    def value(self) -> Symbol:
        """As it is."""
        return self._now.value


class Moved(Now):
    """A step as from another point, where gradients are taken."""

    def __init__(self, now: Now, x: Symbol) -> None:
        """`x`: the point."""
        self._now, self.x = now, x
        self.lr, self.t, self.draw, self.decaying = now.lr, now.t, now.draw, now.decaying
        self._builder, self._followed = now._builder, now._followed

    def gradient(self, point: Symbol) -> Any:
        """As before."""
        return self._now.gradient(point)

    @property
    def value(self) -> Symbol:
        """Of the point where x is."""
        return self._now.value


def traced(
    dimension: int,
    parts: Mapping[str, Start],
    step: Callable[..., tuple[Any, Mapping[str, Any]]],
    intercepts: Sequence[tuple[int, int]] = (),
    followed: Sequence[Following] = (),
) -> Program:
    """The program of a step, in canonical form: `Method.program` says of what. `parts`: of the state, by name.

    `intercepts`: ranges of coordinates that do not decay; `followed`: the numbers that follow schedules.
    """
    builder = Builder(dimension, {})
    decaying: Any = np.ones(dimension) if intercepts else 1.0
    for start, stop in intercepts:
        decaying[start:stop] = 0.0
    now = Now(builder, decaying, followed)
    starts: dict[str, int] = {}
    state: dict[str, Symbol] = {}
    for k, (name, start) in enumerate(parts.items()):
        begun = lifted(builder, start(now.x) if callable(start) else start, f"the start of {name!r}")
        shape = builder.shape(begun)
        if callable(start) or np.any(start):
            starts[state_start(k)] = begun
        state[name] = Symbol(builder, builder.node("state", attribute=k, shape=shape))
    move, after = step(now, **state)
    kind, moved = ("next", move.x) if isinstance(move, Next) else ("direction", move)
    outputs = dict(now.points)
    outputs[kind] = builder.expanded(_fitting(builder, moved, kind, (dimension,)), dimension)
    if set(after) != set(state):
        raise ValueError(f"state must have {sorted(state)} after a step, got {sorted(after)}")
    for k, (name, symbol) in enumerate(state.items()):
        value = _fitting(builder, after[name], f"state {name!r}", symbol.shape)
        outputs[state_part(k)] = builder.expanded(value, symbol.size) if symbol.shape else value
    return canonical(builder.program(**outputs, **starts))


def _fitting(builder: Builder, value: Any, what: str, shape: tuple[int, ...]) -> int:
    found = lifted(builder, value, what)
    if builder.shape(found) not in ((), shape):
        raise ValueError(f"{what} must be of shape {shape}, got {builder.shape(found)}")
    return found
