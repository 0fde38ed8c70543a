"""The schedule for a learning rate that is known to within a factor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from .. import _validate
from .._validate import Interval
from ._base import Schedule, Stretch
from ._joined import Joined
from ._shapes import Exponential, Linear, as_text

GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0
SILVER = 1.0 + math.sqrt(2.0)
FOUR_PHASES = 2.0 * GOLDEN**3 * (math.sqrt(2.0) - 1.0)  # the ratio from which on there are four

_AT_LEAST_ONE = Interval(low=1.0)
_SHORTEST = 2.0**-40  # time of a phase; where two cases meet, one vanishes
_TOUCHING = (1.2, 1.32)  # holds R y^2 where rho = R touches: 1 + 1 / (2 phi) at R = phi, SILVER / 2 at FOUR_PHASES


@dataclass(frozen=True)
class Minimax(Schedule):
    """The schedule with the smallest last-iterate bound when the learning rate is known to within a factor `ratio`.

    Of all schedules it has the smallest maximum of bound(rho * base_lr) over rho in [1, R], R = `ratio` >= 1, as T
    grows. `theory.minimax_base_lr` is its base_lr, `theory.minimax_value` the maximum c, in units of $D G / sqrt(T)$: c
    grows like $sqrt(log R)$, where that of every polynomial grows like a power of R. With phi the golden ratio, for
    $R >= R_c = 2 phi^3 (sqrt(2) - 1) = 3.5093$ there are four phases (derived in docs/theory.md):

        c^2 = log(R) + 3 + sqrt(2) + 1/phi - 3 log(phi) + log((1 + sqrt(2)) / 2) = log(R) + 3.776839

        h, relative to the first                   length * c^2
        1 -> 2 / phi^2                             1 / phi          linear
        2 / phi^2 -> 4 (sqrt(2) - 1) phi / R       log(R / R_c)     exponential
        4 (sqrt(2) - 1) phi / R -> sqrt(2) phi / R 1 - 1 / sqrt(2)  linear
        (2 - sqrt(2)) phi / R -> 0                 2 + 3 / sqrt(2)  linear, after a drop by the factor 1 + sqrt(2)

    For R <= phi it is linear decay, and between phi and R_c there are two linear phases. Tail degree 1. ValueError:
    `ratio` below 1 or not finite.

    >>> Minimax(100)([0, 0.5, 0.9, 1]).round(6).tolist()
    [1.0, 0.023817, 0.001928, 0.0]
    >>> Minimax(1.5)([0, 0.5, 1]).tolist()
    [1.0, 0.5, 0.0]
    """

    family: ClassVar[str] = "minimax"

    ratio: float

    def __post_init__(self) -> None:
        """Check the parameter and make it a float."""
        object.__setattr__(self, "ratio", _validate.real("ratio", self.ratio, _AT_LEAST_ONE))

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back."""
        return f"{self.family}({as_text(self.ratio)})"

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: 1."""
        return 1.0

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        return profile(self.ratio).joined()._laid(begin, length)


@dataclass(frozen=True)
class Phase:
    """A stretch of the schedule over which y = sqrt(c H) is linear in u, or exponential."""

    time: float  # its length times c^2
    first: float  # y where it begins
    last: float  # y where it ends
    exponential: bool = False

    def heights(self, c: float) -> tuple[float, float]:
        """-2 y y' / c where it begins and where it ends, in units of D / (G sqrt(T))."""
        if self.exponential:  # y falls like exp(-c^2 u / 2)
            return c * self.first**2, c * self.last**2
        slope = 2.0 * c * (self.first - self.last) / self.time
        return slope * self.first, slope * self.last


@dataclass(frozen=True)
class Profile:
    """The optimum for a ratio: its phases, one after the other."""

    phases: tuple[Phase, ...]

    @property
    def value(self) -> float:
        """The constant c."""
        return math.sqrt(math.fsum(phase.time for phase in self.phases))

    @property
    def first_height(self) -> float:
        """h(0), the largest, in units of D / (G sqrt(T))."""
        return self.phases[0].heights(self.value)[0]

    @property
    def ends(self) -> list[float]:
        """Where the phases end, as fractions of the horizon; the last at 1."""
        times = [phase.time for phase in self.phases]
        return [math.fsum(times[: i + 1]) / math.fsum(times) for i in range(len(times))]

    def joined(self) -> Schedule:
        """The schedule, of linear and exponential parts."""
        heights = [phase.heights(self.value) for phase in self.phases]
        parts = tuple(
            Exponential(low / high) if phase.exponential else Linear(floor=low / high)
            for phase, (high, low) in zip(self.phases, heights, strict=True)
        )
        return Joined(
            parts, at=tuple(self.ends[:-1]) or None, scales=tuple(high / heights[0][0] for high, _ in heights)
        )


@cache
def profile(ratio: float) -> Profile:
    """The optimum, as derived in docs/theory.md."""
    if ratio <= GOLDEN:
        phases = [Phase((1.0 + ratio) ** 2 / ratio, math.sqrt((1.0 + 1.0 / ratio) / 2.0), 0.0)]
    elif ratio < FOUR_PHASES:
        first, middle = _two_touching(ratio)
        late = ratio**2 * middle**3 - first**3
        phases = [Phase(4.0 * first**3 * (first - middle), first, middle), Phase(4.0 * late * middle, middle, 0.0)]
    else:
        a, b = math.sqrt(GOLDEN / 2.0), math.sqrt(2.0 / GOLDEN**3)
        c, d = math.sqrt(4.0 / SILVER / ratio), math.sqrt(SILVER / 2.0 / ratio)
        phases = [
            Phase(1.0 / GOLDEN, a, b),
            Phase(math.log(ratio / FOUR_PHASES), b, c, exponential=True),
            Phase(1.0 - math.sqrt(0.5), c, d),
            Phase(2.0 + 3.0 * math.sqrt(0.5), d, 0.0),
        ]
    return Profile(tuple(phase for phase in phases if phase.time > _SHORTEST))


def _two_touching(ratio: float) -> tuple[float, float]:
    """Where the bound is touched at rho = 1 and at rho = R, as y, for a ratio with two linear phases."""

    def touching(x: float) -> tuple[float, float]:
        return (2.0 * math.sqrt(ratio) * x**1.5 * (x - 1.0) / (2.0 * x - 1.0)) ** (1.0 / 3.0), math.sqrt(x / ratio)

    def excess(x: float) -> float:
        first, middle = touching(x)
        return 1.0 / first**2 + (2.0 - 1.0 / x) / ratio + (first - middle) / first**3 - 2.0

    low, high = _TOUCHING
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (low, middle) if excess(middle) * excess(high) > 0.0 else (middle, high)
    return touching(low)
