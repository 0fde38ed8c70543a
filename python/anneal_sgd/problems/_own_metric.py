"""Functions and texts of one's own as programs, and what results keep of a metric that is one."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import programs
from .._validate import shown

if TYPE_CHECKING:
    from ..programs import Program
    from ..programs._ir import Shape


@dataclass(frozen=True)
class OwnMetric:
    """A metric of one's own, traced: what `result.spec.metric` has for it. Equal and hashable by content.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.Custom(lambda x: abs(x[0]), x0=2.0)
    >>> metric = {"square": lambda x: x[0] ** 2}
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=2, replicates=1, metric=metric)
    >>> print(result.spec.metric[0].program)
    v0 = point (1,)
    v1 = element v0 0
    v2 = multiply v1, v1
    value = v2
    """

    name: str
    program: Program
    """In canonical form: its output "value" is what is recorded."""

    def __str__(self) -> str:
        """The name."""
        return self.name


def check_state(metric: OwnMetric, state: Mapping[str, Shape]) -> None:
    """ValueError: it takes parts of another method's state."""
    there = dict(enumerate(state.values()))
    if any(node.op == "state" and there.get(node.attribute) != node.shape for node in metric.program.nodes):
        raise ValueError(f"metric {metric.name!r} must be of a method with this one's state")


def program_of(
    name: str, f: object, dimension: int, shapes: Mapping[str, Shape], *, draws: bool = False, point: bool = True
) -> Program:
    """Of a function or a text."""
    if isinstance(f, str):
        try:
            return programs.parse(f, dimension=dimension, parameters=shapes, draws=draws, point=point)
        except ValueError as error:
            raise ValueError(f"{name}{str(error).removeprefix('text')}") from None
    if not callable(f):
        raise TypeError(f"{name} must be a function of x or a text, got {shown(f)}")
    return programs.trace(f, dimension=dimension, parameters=shapes, draws=draws, point=point)


def check_point(metric: str, f: object, known: Collection[str]) -> None:
    """ValueError: a function takes the point by another name than x, which may be meant for something else."""
    taken = inspect.signature(f).parameters.values() if callable(f) else ()
    names = [one.name for one in taken if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    other = next((name for name in names if name not in known), "x")
    if "x" not in names and other != "x":
        told = f"x, {', '.join(known)}" if known else "the point x alone"
        raise ValueError(f"metric {metric!r} must be a function of {told}, by these names, got one of {other!r}")
