"""How long a call would take, before it is made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING

from ._cupy import is_device_array
from ._ensemble import Ensemble
from ._simulate import Arguments, simulate_quietly
from ._spec import Spec
from .problems import Problem
from .schedules import Schedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Estimate", "estimate"]

_SECONDS = 0.5  # of the run that is watched


@dataclass(frozen=True)
class Estimate:
    """What a call computes, and about how long it takes.

    >>> Estimate(seconds=2.0, trajectories=1000, trajectory_steps=4e6).rate
    2000000.0
    """

    seconds: float
    """On this machine, as busy as it was."""
    trajectories: int
    """Configs x replicates."""
    trajectory_steps: float

    @property
    def rate(self) -> float:
        """Trajectory-steps/s."""
        return self.trajectory_steps / self.seconds


def estimate(
    problem: Problem | Sequence[Problem], schedule: Schedule | Sequence[Schedule], **arguments: Unpack[Arguments]
) -> Estimate:
    """How long `simulate` with the same arguments would take: it is begun, and broken off after a good half second.

    What it would refuse is refused; `out` is not written to, and `progress` not called. The first call of a problem
    whose minimum is computed by a solver does that, and problems keep it.

    >>> from anneal_sgd import problems, schedules
    >>> problem = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0)
    >>> told = estimate(problem, schedules.Linear(), base_lr=[0.1, 0.2], horizon=2**32 - 1, replicates=1e6)
    >>> told.trajectories, told.seconds > 3600
    (2000000, True)
    """
    if (out := arguments.pop("out", None)) is not None:
        arguments["device_output" if is_device_array(out) else "keep_samples"] = True
    if "seed" in arguments:
        arguments["seed"] = deepcopy(arguments["seed"])  # of a generator nothing is drawn
    watch = _Watch(time.perf_counter())
    arguments["progress"] = watch
    with suppress(_EnoughError):
        simulate_quietly(problem, schedule, **arguments)
        watch.finished()
    spec = Ensemble(problem).spec(
        schedule,
        **{name: value for name, value in arguments.items() if name in _WHAT},  # type: ignore[arg-type]
    )
    configs = prod(
        len(part) for part in (spec.iterate, spec.problem, spec.schedule, spec.base_lr) if type(part) is tuple
    )
    trajectories = configs * int(arguments["replicates"])
    return Estimate(watch.seconds, trajectories, float(trajectories) * spec.horizon)


_WHAT = {field.name for field in fields(Spec)}


class _EnoughError(Exception):
    """The run has been watched long enough."""


@dataclass
class _Watch:
    """Called with the fraction done: breaks the run off once it knows the speed."""

    began: float
    first: tuple[float, float] | None = None
    """Seconds and fraction when work was first seen: what came before it is preparation."""
    seconds: float = 0.0

    def __call__(self, fraction: float) -> None:
        now = time.perf_counter() - self.began
        if self.first is None:
            self.first = now, fraction
        before, done = self.first
        if now - before >= _SECONDS and done < fraction < 1.0:
            self.seconds = now + (1.0 - fraction) * (now - before) / (fraction - done)
            raise _EnoughError

    def finished(self) -> None:
        self.seconds = time.perf_counter() - self.began
