"""The values of a schedule, checked: all at once, or in blocks from the end, where annealed schedules are small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._arrays import FloatArray
from .._machine import available_memory
from .._validate import shown
from ..schedules import Schedule

BLOCK = 2**16  # steps of which sums are taken at once

_BYTES_PER_STEP = 16  # of a schedule that gives all values at once: those, and their like in float64
_UNCHECKED_STEPS = 2**18  # fewer are allocated without asking the system how much there is


class ScheduleLike(Protocol):
    """What this module asks of a schedule: `values(horizon)[t]` is h at the 0-based step t, shape (horizon,)."""

    def values(self, horizon: int, /) -> FloatArray:
        """The values of h at every step of the horizon."""
        ...


class Steps:
    """The values h of a schedule, read as often as is needed.

    A `Schedule` is asked for a block at a time, beyond one block of steps, so that memory does not grow with them.
    """

    def __init__(self, schedule: ScheduleLike, horizon: int) -> None:
        """ValueError: an argument that is none, or a horizon that does not fit in memory."""
        if isinstance(schedule, type | Mapping) or not callable(getattr(schedule, "values", None)):
            raise ValueError(f"schedule must be a schedule, or have values(horizon) like one, got {shown(schedule)}")
        self.schedule = schedule
        self.horizon = _validate.integer("horizon", horizon, lowest=1)
        self._kept = None if isinstance(schedule, Schedule) and self.horizon > BLOCK else self.values()

    def values(self) -> FloatArray:
        """All of them, shape (horizon,)."""
        steps = self.horizon
        available = available_memory() if steps > _UNCHECKED_STEPS else None
        if available is not None and steps * _BYTES_PER_STEP > available:
            raise ValueError(
                f"horizon must fit in memory: the values of {steps} steps take {steps * _BYTES_PER_STEP} bytes, and "
                f"{available} are available"
            )
        h = self._checked(_validate.numbers("schedule", self.schedule.values(steps), "finite and >= 0"), steps)
        self._need_one(bool(np.any(h > 0.0)))
        return h

    def backwards(self) -> Iterator[tuple[int, FloatArray]]:
        """`first, h` with `h[i]` of step `first + i`, from the last block of steps to the first."""
        positive = False
        for stop in range(self.horizon, 0, -BLOCK):
            first = max(0, stop - BLOCK)
            if self._kept is not None:
                h = self._kept[first:stop]
            else:
                assert isinstance(self.schedule, Schedule)  # others are kept
                h = self._checked(self.schedule.values(self.horizon, first, stop), stop - first)
            positive = positive or bool(np.any(h > 0.0))
            yield first, h
        self._need_one(positive)

    def _need_one(self, positive: bool) -> None:
        if not positive:
            raise ValueError(f"schedule must give a positive value at some step, got zeros at all {self.horizon} steps")

    @staticmethod
    def _checked(h: FloatArray, steps: int) -> FloatArray:
        if h.shape != (steps,):
            raise ValueError(f"schedule must give values of shape ({steps},), got shape {h.shape}")
        require("schedule", h, np.isfinite(h) & (h >= 0.0), "give finite values >= 0")
        return h


def sums_to_end(values: FloatArray, after: float) -> FloatArray:
    """`out[j] = values[j] + ... + values[-1] + after`, added from the end; shape (values.size + 1,)."""
    return np.cumsum(np.append(values, after)[::-1])[::-1]


def require(name: str, array: NDArray[np.generic], inside: NDArray[np.bool_], allowed: str) -> None:
    """ValueError that shows the first element outside."""
    if not np.all(inside):
        where = int(np.argmin(inside))
        at = f" at index {where}" if array.ndim else ""
        raise ValueError(f"{name} must {allowed}, got {array.flat[where]}{at}")
