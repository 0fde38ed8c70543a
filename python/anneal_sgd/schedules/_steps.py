"""Schedules with a value of their own at every step: from lists, functions of the step, and other libraries."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import FloatArray, frozen
from .._machine import available_memory
from .._validate import shown
from ._sampling import vectorised
from ._tables import Table
from ._tail import degree_of_steps, given_degree

_AT_ONCE = 2**16  # steps of which a function is asked at once
_UNCHECKED_STEPS = 2**18  # fewer are allocated without asking the system how much there is
_WORKING_BYTES = 24  # per step while a table is made; it keeps 8


@dataclass(frozen=True, init=False, eq=False, repr=False)
class PerStep(Table):
    """h at step t is `table[t]`, for the one horizon of `table.size` steps; made by `from_steps` and its like.

    `table`: float64, (horizon,), relative to its maximum; it takes 8 bytes per step. `base_lr`: that maximum, the
    learning rate with which the schedule gives back the values it was made from. `tail_degree`: the given one, else an
    estimate from the values at the distances 1, 2, 4 and 8 before they reach 0 or end.

    >>> schedule = from_steps([0.5, 0.25, 0.125])
    >>> schedule.values(3).tolist(), schedule.base_lr
    ([1.0, 0.5, 0.25], 0.5)
    """

    base_lr: float

    def __init__(
        self, table: FloatArray, base_lr: float, *, tail_degree: float | None = None, name: str | None = None
    ) -> None:
        """Of values relative to their maximum, `base_lr`; `from_steps` takes any."""
        degree = degree_of_steps(table) if tail_degree is None else given_degree(tail_degree)
        self._set(table, degree, name, base_lr=base_lr)

    @property
    def _counts_steps(self) -> bool:
        return True

    def _plain(self, horizon: float) -> _core.Schedule:
        if horizon != self.table.size:
            raise ValueError(
                f"horizon must be {self.table.size}, a step for each value of {self.name}, got {horizon:g}"
            )
        return _core.Schedule(_core.ScheduleKind.per_step, table=self.table)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content."""
        return _rebuilt, (self.table, self.base_lr, self._tail_degree, self._name)


def from_steps(values: ArrayLike, *, tail_degree: float | None = None, name: str | None = None) -> PerStep:
    """A schedule of given learning rates: `values[t]` >= 0 is that of step t, and the horizon their number.

    They are divided by their maximum, which is the schedule's `base_lr`: `simulate(problem, schedule,
    base_lr=schedule.base_lr, horizon=len(values), ...)` takes exactly these steps, up to a rounding. For values at
    fractions of any horizon take `Tabulated`. ValueError: no values, one that is negative or not finite, all 0, more
    than memory or a horizon holds, `tail_degree` negative.

    >>> schedule = from_steps([0.1, 0.1, 0.05, 0.01], name="logged")
    >>> schedule.values(4).round(12).tolist(), schedule.base_lr
    ([1.0, 1.0, 0.5, 0.1], 0.1)
    """
    table = _validate.real_array("values", values, _validate.NON_NEGATIVE, ndim=1)
    return _normalised(table, tail_degree, name)


def from_callable(
    count_to_value: Callable[..., Any], horizon: int, *, tail_degree: float | None = None, name: str | None = None
) -> PerStep:
    """The schedule of a function of the step: `count_to_value(t)` >= 0 for t = 0 .. horizon - 1.

    It is called with arrays of steps, 65,536 at a time, where it takes them and says the same of them as of single
    steps, else with one after the other. The rest as in `from_steps`. ValueError: as there.

    >>> schedule = from_callable(lambda t: 0.3 / (1 + t), 1000)
    >>> schedule.base_lr, schedule.values(1000)[:3].round(12).tolist()
    (0.3, [1.0, 0.5, 0.333333333333])
    """
    steps = _room(horizon)
    if not callable(count_to_value):
        raise ValueError(f"count_to_value must be a function of the step, got {shown(count_to_value)}")
    of = vectorised(count_to_value, np.unique([0, steps // 2, steps - 1]))
    table = np.empty(steps)
    for first in range(0, steps, _AT_ONCE):
        t = np.arange(first, min(first + _AT_ONCE, steps))
        table[t[0] : t[-1] + 1] = _validate.real_array("values", of(t), _validate.NON_NEGATIVE, ndim=1)
    return _normalised(table, tail_degree, name)


def from_optax(
    schedule: Callable[..., Any] | float, horizon: int, *, tail_degree: float | None = None, name: str | None = None
) -> PerStep:
    """The first `horizon` steps of an optax schedule, a function of the count of steps, or a number.

    Its values have the precision of JAX, float32 unless `jax_enable_x64` is set. The rest as in `from_callable`.

    >>> cosine = lambda count: 0.05 * (1 + np.cos(np.pi * np.minimum(count, 100) / 100))  # what optax makes
    >>> schedule = from_optax(cosine, 100)
    >>> schedule.base_lr, round(schedule.tail_degree, 2), schedule.values(100)[[0, 50]].round(12).tolist()
    (0.1, 2.0, [1.0, 0.5])
    """
    if callable(schedule):
        return from_callable(schedule, horizon, tail_degree=tail_degree, name=name)
    value = _validate.real("schedule", schedule, _validate.POSITIVE)
    return from_callable(lambda t: np.full(np.shape(t), value), horizon, tail_degree=tail_degree, name=name)


def from_torch(
    optimizer: Any,
    scheduler: Any,
    horizon: int,
    *,
    group: int = 0,
    tail_degree: float | None = None,
    name: str | None = None,
) -> PerStep:
    """The next `horizon` learning rates of a `torch.optim.lr_scheduler`, stepped once after every step.

    Of the optimizer's parameter group number `group`. Scheduler and optimizer are stepped where they are and then set
    back to where they were. (A scheduler stepped once per epoch of k steps: `from_torch` of as many epochs, then
    `from_steps(np.repeat(epochs.base_lr * epochs.table, k))`.) ValueError: a scheduler that needs more than steps, such
    as `ReduceLROnPlateau`, or that belongs to another optimizer; no such group; the rest as in `from_steps`. A
    UserWarning names other numbers of the group that it changes, which no schedule has: `OneCycleLR` and `CyclicLR`
    cycle the momentum too, unless they are made with `cycle_momentum=False`.

    >>> import torch  # doctest: +SKIP
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)  # doctest: +SKIP
    >>> scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)  # doctest: +SKIP
    >>> from_torch(optimizer, scheduler, 1000).base_lr  # doctest: +SKIP
    0.1
    """
    steps = _room(horizon)
    needed = [p.name for p in inspect.signature(scheduler.step).parameters.values() if p.default is p.empty]
    if needed:
        got = f"{type(scheduler).__name__}, which needs {', '.join(needed)}"
        raise ValueError(f"scheduler must depend on the step alone, got {got}")
    groups = optimizer.param_groups
    number = _validate.integer("group", group, lowest=0, highest=len(groups) - 1)
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("scheduler must belong to the optimizer, got one of another optimizer")
    state = copy.deepcopy(scheduler.state_dict())
    kept = [{key: copy.deepcopy(value) for key, value in one.items() if key != "params"} for one in groups]
    table = np.empty(steps)
    changed: set[str] = set()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer takes no steps
            for t in range(steps):
                table[t] = float(groups[number]["lr"])
                if t < steps - 1:
                    scheduler.step()
                    changed.update(name for name, value in kept[number].items() if groups[number][name] != value)
    finally:
        scheduler.load_state_dict(state)
        for one, before in zip(groups, kept, strict=True):
            for key, value in before.items():
                if hasattr(one[key], "fill_"):  # a tensor, which the optimizer may hold elsewhere too
                    one[key].fill_(value)
                else:
                    one[key] = value
    if others := ", ".join(sorted(changed - {"lr"})):
        told = f"scheduler changes {others} too, and the schedule is of the learning rate alone"
        warnings.warn(f"{told}: methods.Following is for numbers that follow schedules", UserWarning, stacklevel=2)
    return _normalised(_validate.real_array("values", table, _validate.NON_NEGATIVE), tail_degree, name)


def _room(horizon: int) -> int:
    steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
    available = available_memory() if steps > _UNCHECKED_STEPS else None
    if available is not None and steps * _WORKING_BYTES > available:
        raise ValueError(
            f"horizon must fit in memory: a value at each of {steps} steps takes {8 * steps} bytes, and "
            f"{_WORKING_BYTES * steps} while they are made, of which {available} are available; Tabulated takes a "
            "function of the fraction of any horizon"
        )
    return steps


def _normalised(table: FloatArray, tail_degree: float | None, name: str | None) -> PerStep:
    """Takes the array over."""
    base_lr = float(table.max())
    if table.size > _validate.LARGEST_UINT32:
        raise ValueError(f"values must be at most {_validate.LARGEST_UINT32}, got {table.size}")
    if base_lr == 0.0:
        raise ValueError(f"values must not all be 0, got {table.size} zeros")
    table /= base_lr
    table += 0.0  # no -0.0
    return PerStep(table, base_lr, tail_degree=tail_degree, name=name)


def _rebuilt(table: FloatArray, base_lr: float, tail_degree: float, name: str) -> PerStep:
    return PerStep(frozen(table), base_lr, tail_degree=tail_degree, name=name)
