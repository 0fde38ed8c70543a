"""A method of one's own, traced once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import _validate
from .._validate import shown
from ..programs import Program, Symbol
from ..programs._ir import MOST_STEP_NUMBERS
from ..schedules import Schedule
from ._base import Method, of_kind
from ._following import Following
from ._step import Next, Now, traced

_GIVEN = ("x", "g", "lr", "t", "gradient", "value", "draw")


@dataclass(frozen=True, init=False, repr=False)
class Custom(Method):
    """A step of one's own: `update` is called with symbols for numbers, as the functions of `problems.Custom` are.

    It takes what it needs by name: `x`, (d,); `g`, the stochastic gradient there; `lr`, the learning rate of the step;
    `t`, its number from 1 on; `gradient`, a function that gives the stochastic gradient at another point, each with
    noise, or rows, of its own; `value`, f(x) without noise, on data that of the batch; `draw`, as in `problems.Custom`;
    and the parts of the `state` by their names. It returns the direction u of $x <- P(x - lr u)$, (d,) or one number;
    or, with `moves="next"`, the point after the step, before P; with a state a pair of this and a dictionary of all its
    parts after the step.

    `of`: another method, whose direction `update` takes as `u`, beside the parts of its state, which it keeps itself;
    not one that is traced already, follows schedules, or is for problems without a projection alone. So
    `lambda u, value, best: (u, {"best": np.minimum(best, value)})` watches it. On data it takes intercepts for weights.

    `state`: names and what the parts begin with: a number, an array of any length, or a function of x0. `numbers`:
    names and what these follow, a schedule or `Following`; the number of the step goes to `update` by the name.
    `dimension`: d of the problems that it is for. Equal where the programs and the numbers are. TypeError: what cannot
    be traced. ValueError: an argument of `update` that there is not, a part that changes its shape or is missing,
    another program at the second call.

    >>> import numpy as np
    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> def lion(x, g, m):
    ...     return np.sign(0.9 * m + 0.1 * g), {"m": 0.99 * m + 0.01 * g}
    >>> own = methods.Custom(lion, state={"m": np.zeros(2)}, dimension=2)
    >>> result = simulate(
    ...     problems.Quadratic([1.0, 4.0]), schedules.Constant(), method=own, base_lr=0.25, horizon=4, replicates=1
    ... )
    >>> float(result.mean)
    0.0
    """

    step: Program
    numbers: tuple[tuple[str, Following], ...]
    parts: tuple[str, ...] = field(compare=False)

    def __init__(
        self,
        update: Callable[..., Any],
        *,
        of: Method | None = None,
        state: Mapping[str, Any] | None = None,
        numbers: Mapping[str, Schedule | Following] | None = None,
        dimension: int = 1,
        moves: str = "direction",
    ) -> None:
        """Trace it."""
        d = _validate.integer("dimension", dimension, lowest=1, highest=2**24 - 1)
        _validate.choice("moves", moves, ("direction", "next"))
        if not callable(update):
            raise ValueError(f"update must be a function, got {shown(update)}")
        parts = {} if state is None else state
        if not isinstance(parts, Mapping) or not all(isinstance(n, str) and n.isidentifier() for n in parts):
            raise ValueError(f"state must be a dictionary of names and what they begin with, got {shown(state)}")
        inner = {} if of is None else _watched(of)._state(d)
        known_names = (*_GIVEN, *([] if of is None else ["u"]), *inner)
        if taken := [name for name in parts if name in known_names]:
            raise ValueError(f"state must not have {taken[0]!r}, which is an argument of update already")
        following = _followed(numbers or {}, (*known_names, *parts))
        wanted = _arguments(update, (*known_names, *parts, *following))

        def step(now: Now, **known: Any) -> tuple[Any, Mapping[str, Any]]:
            kept: Mapping[str, Any] = {}
            if of is not None:
                known["u"], kept = of._step(now, **{name: known[name] for name in inner})
            given = {name: known[name] for name in wanted if name in known}
            given |= {name: now.number(following[name]) for name in wanted if name in following}
            given |= {name: getattr(now, name) for name in wanted if name not in given}
            found = update(**given)
            move, after = found if parts and isinstance(found, tuple) and len(found) == 2 else (found, {})
            if not isinstance(after, Mapping):
                raise ValueError(f"update must return a move and a dictionary of the state, got {shown(after)}")
            if taken := [name for name in after if name in kept]:
                raise ValueError(f"update must return its own parts of the state alone, got {taken[0]!r}")
            return Next(move) if moves == "next" else move, {**kept, **after}

        followed = tuple(dict.fromkeys(following.values()))
        program = traced(d, {**inner, **parts}, step, followed=followed)
        if traced(d, {**inner, **parts}, step, followed=followed) != program:
            raise ValueError("update must do the same at every call, got two programs: random numbers come from draw")
        object.__setattr__(self, "step", program)
        object.__setattr__(self, "numbers", tuple(following.items()))
        object.__setattr__(self, "parts", (*inner, *parts))

    @property
    def _dimension(self) -> int:
        return self.step.dimension

    @property
    def _programs(self) -> tuple[Program, ...]:
        return (self.step,)

    @property
    def name(self) -> str:
        """A short text that identifies the method, by the digest of its program and the names of its numbers."""
        numbers = "".join(f", {name}={one.name}" for name, one in self.numbers)
        return f"{self._kind}({self.step.digest[:8]}{numbers})"

    @property
    def _identity(self) -> Any:
        numbers = [[name, one._identity] for name, one in self.numbers]
        return [self._kind, self.step.digest, *numbers]

    def _names_of_parts(self, dimension: int) -> tuple[str, ...]:
        return self.parts

    @property
    def _scheduled(self) -> tuple[tuple[str, Following], ...]:
        return self.numbers

    def _check_scheduled(self, horizon: int) -> None:
        pass  # any finite number may be one

    def program(self, dimension: int) -> Program:
        """The step, which is for one dimension. ValueError: it is not this one."""
        if dimension != self.step.dimension:
            raise ValueError(f"dimension must be {self.step.dimension}, that of the method, got {dimension}")
        return self.step

    def _program_on_data(self, dimension: int, intercepts: tuple[tuple[int, int], ...]) -> Program:
        return self.program(dimension)

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        raise TypeError("a method of one's own is traced already, and no part of another method")

    def __repr__(self) -> str:
        """The program's digest, and what follows schedules."""
        numbers = f", numbers={dict(self.numbers)}" if self.numbers else ""
        return f"Custom(<program {self.step.digest[:8]}>, dimension={self.step.dimension}{numbers})"


def _watched(method: object) -> Method:
    found = of_kind("of", method)
    if found._dimension is not None or found._unconstrained or found._scheduled:
        raise ValueError(
            "of must be a method that is not traced already, follows no schedules and is for all sets, got "
            f"{shown(method)}"
        )
    return found


def _followed(numbers: object, taken: tuple[str, ...]) -> dict[str, Following]:
    if not isinstance(numbers, Mapping) or not all(isinstance(n, str) and n.isidentifier() for n in numbers):
        raise ValueError(f"numbers must be a dictionary of names and schedules, got {shown(numbers)}")
    if len(numbers) > MOST_STEP_NUMBERS:
        raise ValueError(f"numbers must be at most {MOST_STEP_NUMBERS}, got {len(numbers)}")
    for name, one in numbers.items():
        if name in taken:
            raise ValueError(f"numbers must not have {name!r}, which is an argument of update already")
        if not isinstance(one, Schedule | Following):
            raise ValueError(f"numbers must be schedules or methods.Following, got {name!r}: {shown(one)}")
    return {name: one if isinstance(one, Following) else Following(one) for name, one in numbers.items()}


def _arguments(update: Callable[..., Any], known: tuple[str, ...]) -> list[str]:
    names = []
    for parameter in inspect.signature(update).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ValueError(f"update must take its arguments by name, got {parameter}")
        if parameter.name in known:
            names.append(parameter.name)
        elif parameter.default is parameter.empty:
            raise ValueError(f"update must take arguments among {', '.join(known)}, got {parameter.name!r}")
    return names
