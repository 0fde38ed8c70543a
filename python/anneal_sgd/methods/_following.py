"""Numbers of a method that follow schedules of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from .. import _validate
from .._arrays import FloatArray, short
from .._validate import FINITE, NON_NEGATIVE, POSITIVE, Interval, shown
from ..schedules import Schedule

BELOW_ONE = Interval(low=0.0, high=1.0, open_high=True)
SCHEDULABLE = {
    **dict.fromkeys(("momentum", "alpha", "beta1", "beta2"), BELOW_ONE),
    **dict.fromkeys(("weight_decay", "temperature"), NON_NEGATIVE),
    "threshold": POSITIVE,
}
"""Numbers that may follow a schedule, and where they are then in every step."""

_CHUNK = 2**16  # steps whose values are looked at together


@dataclass(frozen=True)
class Following:
    """$zero + (one - zero) h(t / T)$ in step t = 0, .. T - 1: a number of a method that follows a schedule h.

    So it is `zero` where h is 0 and `one` where h is 1, both exactly: h one + (1 - h) zero in float64, rounded once to
    the dtype, and so is 1 minus it. `momentum`, `alpha`, `beta1`, `beta2`, `weight_decay`, `temperature` and
    `threshold` of the methods take one, or a schedule alone, which is one with zero=0 and one=1; T is the horizon of
    the run. In the text of a method it is "following(linear, zero=0.5, one=0.9)": see `methods.by_name`. ValueError: no
    schedule, or an end that is not finite. A call refuses a method of which a number is not where it is to be in every
    step.

    PyTorch's OneCycleLR with cycle_momentum=True, whose momentum goes from 0.95 to 0.85 and back:

    >>> from anneal_sgd import methods, schedules
    >>> cycled = methods.Following(schedules.one_cycle(0.3, start=0, final=0), zero=0.95, one=0.85)
    >>> cycled.values(10)[[0, 3]].tolist()
    [0.95, 0.85]
    >>> methods.SGD(momentum=cycled).momentum == cycled
    True
    """

    schedule: Schedule
    zero: float = 0.0
    one: float = 1.0

    def __post_init__(self) -> None:
        """Check everything."""
        if not isinstance(self.schedule, Schedule):
            raise ValueError(f"schedule must be of anneal_sgd.schedules, got {shown(self.schedule)}")
        for name in ("zero", "one"):
            object.__setattr__(self, name, _validate.real(name, getattr(self, name), FINITE))

    def values(self, horizon: int, first: int = 0, stop: int | None = None) -> FloatArray:
        """`out[i]`: the number in step `first + i`, float64 of shape (stop - first,); of all steps by default.

        Bit for bit what a simulation of that horizon rounds to its dtype. ValueError: as `Schedule.values`.

        >>> from anneal_sgd import methods, schedules
        >>> methods.Following(schedules.Linear(), zero=0.5, one=0.9).values(2).tolist()
        [0.9, 0.7]
        """
        h = self.schedule.values(horizon, first, stop)
        return h * self.one + (1.0 - h) * self.zero

    def check(self, name: str, interval: Interval, horizon: int) -> None:
        """ValueError: a step of that horizon in which the number is outside the interval."""
        if interval.contains(self.zero) and interval.contains(self.one):  # and so all between
            return
        for first in range(0, horizon, _CHUNK):
            values = self.values(horizon, first, min(first + _CHUNK, horizon))
            outside = ~interval.mask(values)
            if outside.any():
                i = int(outside.argmax())
                raise ValueError(
                    f"{name} must be {interval} in every step, got {float(values[i])!r} at t = {first + i} of {horizon}"
                    f" by {self.schedule.name}: give methods.Following(schedule, zero, one) other ends than "
                    f"{self.zero!r} and {self.one!r}"
                )

    @property
    def name(self) -> str:
        """As in the text of a method: that of the schedule alone where it is multiplied by 1."""
        if (self.zero, self.one) == (0.0, 1.0):
            return self.schedule.name
        return f"following({self.schedule.name}, zero={short(self.zero)}, one={short(self.one)})"

    @property
    def _identity(self) -> Any:
        """What campaigns know it by, as JSON takes it."""
        return {"schedule": self.schedule._identity, "zero": self.zero, "one": self.one}


Number: TypeAlias = float | Schedule | Following
"""What a number of a method may be given as; it is kept as a float or a `Following`."""
