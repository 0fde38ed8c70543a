"""Schedules made of schedules: one after the other, part of the way, again and again, in stairs, backwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import ClassVar, cast

from .. import _validate
from .._validate import Interval, shown
from ._base import Schedule, Stretch
from ._shapes import INSIDE, Cooldown, Cosine, Linear, Shape, as_text, increasing, increasing_steps

_MOST_PIECES = 2**20
_GROWTH = Interval(low=1.0)


class Combination(Schedule):
    """A schedule of others, in its fields. Subclasses lay them out."""

    family: ClassVar[str]

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        raise NotImplementedError

    def _described(self, parts: Sequence[str]) -> str:
        raise NotImplementedError

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back, but for tables."""
        return self._described([part.name for part in self._parts])

    @property
    def _identity(self) -> str:
        return self._described([part._identity for part in self._parts])

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: that of the last part."""
        return self._parts[-1].tail_degree

    @property
    def _counts_steps(self) -> bool:
        return any(part._counts_steps for part in self._parts)

    def _checked(self, name: str, part: object) -> None:
        if not isinstance(part, Schedule):
            raise ValueError(f"{name} must be a schedule, got {shown(part)}")


@dataclass(frozen=True)
class Joined(Combination):
    """One schedule after the other: `schedules[i]` from `at[i - 1]` to `at[i]`, each over a horizon of its own there.

    `at`: fractions of the whole horizon at which the next one begins, strictly increasing in (0, 1); or `at_steps`,
    steps > 0. `scales[i]` in [0, 1] multiplies `schedules[i]`; by default all are 1. Steps and fractions in a schedule
    are those of its own stretch. Tail degree: the last one's. ValueError: no schedule, another number of fractions or
    scales than goes with them, a parameter out of its range; at a horizon that does not reach the last one.

    >>> from anneal_sgd.schedules import Constant
    >>> Joined([Constant(), Linear()], at=[0.5])([0, 0.5, 0.75, 1]).tolist()
    [1.0, 1.0, 0.5, 0.0]
    >>> decay_then_hold = Joined([Cosine(floor=0.1), Constant()], at_steps=[80], scales=[1, 0.1])
    >>> decay_then_hold.values(100)[[0, 40, 80, 99]].round(12).tolist()
    [1.0, 0.55, 0.1, 0.1]
    """

    family: ClassVar[str] = "joined"

    schedules: tuple[Schedule, ...]
    at: tuple[float, ...] | None = field(default=None, kw_only=True)
    at_steps: tuple[int, ...] | None = field(default=None, kw_only=True)
    scales: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them tuples."""
        if isinstance(self.schedules, Schedule) or not isinstance(self.schedules, Sequence) or not self.schedules:
            raise ValueError(f"schedules must be a sequence of schedules, got {shown(self.schedules)}")
        for part in self.schedules:
            self._checked("schedules", part)
        object.__setattr__(self, "schedules", tuple(self.schedules))
        if self.at is not None and self.at_steps is not None:
            raise ValueError(f"at_steps must be left out where at is given, got {shown(self.at_steps)}")
        if self.at is not None:
            object.__setattr__(self, "at", increasing("at", self.at, INSIDE))
        if self.at_steps is not None:
            object.__setattr__(self, "at_steps", increasing_steps("at_steps", self.at_steps))
        if self.scales is not None:
            scales = _validate.real_array("scales", self.scales, _validate.FRACTION, ndim=1)
            object.__setattr__(self, "scales", tuple(scales.tolist()))
        count = len(self.schedules)
        for name, given, wanted in (("scales", self.scales, count), ("at", self.at or self.at_steps or (), count - 1)):
            if given is not None and len(given) != wanted:
                raise ValueError(f"{name} must be {wanted} for {count} schedules, got {len(given)}")

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return self.schedules

    def _described(self, parts: Sequence[str]) -> str:
        texts = [
            f"{key}={as_text(value)}"
            for key in ("at", "at_steps", "scales")
            if (value := getattr(self, key)) is not None
        ]
        return f"{self.family}({', '.join([*parts, *texts])})"

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or self.at_steps is not None

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        ends = [float(x) for x in self.at_steps or ()] if self.at is None else [_whole(x * length) for x in self.at]
        if ends and ends[-1] >= length:
            raise ValueError(f"at_steps must be below the horizon, got {ends[-1]:g} for {length:g} steps")
        laid: list[Stretch] = []
        starts = [0.0, *ends]
        for i, (part, start, end) in enumerate(zip(self.schedules, starts, [*ends, length], strict=True)):
            scale = 1.0 if self.scales is None else self.scales[i]
            laid += [replace(one, scale=scale * one.scale) for one in part._laid(begin + start, end - start)]
        return laid


@dataclass(frozen=True)
class Held(Combination):
    """A schedule over the first part of the horizon, to `until_frac` or `until_steps`, and then its last value.

    Tail degree 0: at least that is what the end is. ValueError: not one of the two, or out of range.

    >>> Held(Linear(floor=0.5), until_frac=0.5)([0, 0.25, 0.5, 1]).tolist()
    [1.0, 0.75, 0.5, 0.5]
    """

    family: ClassVar[str] = "held"

    schedule: Schedule
    until_frac: float | None = field(default=None, kw_only=True)
    until_steps: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._checked("schedule", self.schedule)
        if (self.until_frac is None) == (self.until_steps is None):
            raise ValueError(f"until_frac must be given or until_steps, one of the two, got {self.until_frac!r} and "
                             f"{self.until_steps!r}")  # fmt: skip
        if self.until_frac is not None:
            until = _validate.real("until_frac", self.until_frac, _validate.POSITIVE_FRACTION)
            object.__setattr__(self, "until_frac", until)
        if self.until_steps is not None:
            steps = _validate.integer("until_steps", self.until_steps, lowest=1, highest=_validate.LARGEST_UINT32)
            object.__setattr__(self, "until_steps", steps)

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def _described(self, parts: Sequence[str]) -> str:
        key = "until_steps" if self.until_frac is None else "until_frac"
        return f"{self.family}({parts[0]}, {key}={as_text(getattr(self, key))})"

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: 0, unless the schedule takes the whole horizon."""
        return self.schedule.tail_degree if self.until_frac == 1.0 else 0.0

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or self.until_steps is not None

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        until = float(self.until_steps) if self.until_steps is not None else _whole((self.until_frac or 0.0) * length)
        return self.schedule._laid(begin, until)


@dataclass(frozen=True)
class Repeated(Combination):
    """A schedule again and again: `times` runs of equal length, or each `growth` >= 1 times as long as the one before.

    Or runs of `every_steps` steps (the first of them, with a growth), as many as there is room for, the last one cut
    off where the horizon ends. Tail degree: the schedule's, or 0 with `every_steps`. ValueError: a parameter out of its
    range, more than 2^20 pieces.

    >>> Repeated(Linear(), 2)([0, 0.25, 0.5, 0.75, 1]).tolist()
    [1.0, 0.5, 1.0, 0.5, 0.0]
    >>> Repeated(Cosine(), every_steps=2, growth=2).values(7).round(6).tolist()
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447, 1.0]
    """

    family: ClassVar[str] = "repeated"

    schedule: Schedule
    times: int | None = None
    growth: float = field(default=1.0, kw_only=True)
    every_steps: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._checked("schedule", self.schedule)
        object.__setattr__(self, "growth", _validate.real("growth", self.growth, _GROWTH))
        if (self.times is None) == (self.every_steps is None):
            raise ValueError(f"times must be given or every_steps, one of the two, got {self.times!r} and "
                             f"{self.every_steps!r}")  # fmt: skip
        if self.times is not None:
            times = _validate.integer("times", self.times, lowest=1, highest=_validate.LARGEST_UINT32)
            object.__setattr__(self, "times", times)
        else:
            steps = _validate.real("every_steps", self.every_steps, _validate.POSITIVE)
            object.__setattr__(self, "every_steps", steps)

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def _described(self, parts: Sequence[str]) -> str:
        texts = [parts[0], str(self.times) if self.times is not None else f"every_steps={as_text(self.every_steps)}"]
        texts += [f"growth={as_text(self.growth)}"] if self.growth != 1.0 else []
        return f"{self.family}({', '.join(texts)})"

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: the schedule's, where the last run ends with the horizon."""
        return 0.0 if self.times is None else self.schedule.tail_degree

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or self.every_steps is not None

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        if self.growth == 1.0:
            runs = float(self.times) if self.times is not None else -(-length // (self.every_steps or 1.0))
            run = _share(length, int(runs)) if self.every_steps is None else self.every_steps
            once = self.schedule._laid(begin, run)
            if len(once) == 1 and once[0].runs == 1.0 and once[0].stride == 0.0 and once[0].start == begin:
                return [replace(once[0], runs=runs)]
            starts = [begin + i * run for i in range(self._count(runs))]
            return [one for start in starts for one in self.schedule._laid(start, run)]
        laid: list[Stretch] = []
        if self.times is not None:
            first = length * (self.growth - 1.0) / (self.growth**self.times - 1.0)
            starts = [
                _whole(first * (self.growth**i - 1.0) / (self.growth - 1.0)) for i in range(self._count(self.times))
            ]
            starts.append(length)
        else:
            starts, run = [0.0], self.every_steps or 1.0
            while starts[-1] < length:
                starts.append(starts[-1] + run)
                run *= self.growth
        for i in range(len(starts) - 1):
            laid += self.schedule._laid(begin + starts[i], starts[i + 1] - starts[i])
        return laid

    def _count(self, runs: float) -> int:
        if runs > _MOST_PIECES:
            raise ValueError(f"times must be at most {_MOST_PIECES} for {self.schedule.name}, got {runs:g}")
        return int(runs)


@dataclass(frozen=True)
class Stairs(Combination):
    """A schedule that changes only every `every_steps` steps, as where a scheduler is stepped once per epoch.

    Tail degree: the schedule's. ValueError: `every_steps` not > 0.

    >>> Stairs(Linear(), every_steps=2).values(6).round(6).tolist()
    [1.0, 1.0, 0.666667, 0.666667, 0.333333, 0.333333]
    """

    family: ClassVar[str] = "stairs"

    schedule: Schedule
    every_steps: float = field(kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._checked("schedule", self.schedule)
        steps = _validate.real("every_steps", self.every_steps, _validate.POSITIVE)
        object.__setattr__(self, "every_steps", steps)

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def _described(self, parts: Sequence[str]) -> str:
        return f"{self.family}({parts[0]}, every_steps={as_text(self.every_steps)})"

    @property
    def _counts_steps(self) -> bool:
        return True

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        laid = self.schedule._laid(begin, length)
        if len(laid) != 1 or laid[0].stride > 0.0:
            raise ValueError(
                f"schedule must be one formula or table where it is in stairs, got {self.schedule.name}; "
                "join the stairs of its parts instead"
            )
        return [replace(laid[0], stride=self.every_steps)]


@dataclass(frozen=True)
class Reversed(Combination):
    """A formula backwards: $h(u) = c(1 - u)$, which rises to 1. Tail degree 0.

    ValueError: what has a warmup, is no formula, or counts steps.

    >>> Reversed(Linear(floor=0.5))([0, 0.5, 1]).tolist()
    [0.5, 0.75, 1.0]
    """

    family: ClassVar[str] = "reversed"

    schedule: Shape

    def __post_init__(self) -> None:
        """Check the parameters."""
        one = self.schedule
        if not isinstance(one, Shape) or one.warmup_frac or one.warmup_steps:
            got = one.name if isinstance(one, Schedule) else shown(one)
            raise ValueError(f"schedule must be a formula without warmup, got {got}")

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    def _described(self, parts: Sequence[str]) -> str:
        return f"{self.family}({parts[0]})"

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: 0."""
        return 0.0

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        return [replace(one, reversed=True) for one in self.schedule._laid(begin, length)]


def _whole(step: float) -> float:
    """The whole step that rounding has moved this one away from, if there is one, such as 7 for 0.07 * 100."""
    nearest = float(round(step))
    return nearest if math.isclose(step, nearest, rel_tol=1e-15) else step


def _share(length: float, runs: int) -> float:
    """`length / runs`, rounded down where multiples of it are whole: no run is to begin past its first step."""
    exact = Fraction(length) / runs
    share = float(exact)
    return math.nextafter(share, 0.0) if exact < share and exact.denominator < runs else share


def one_cycle(
    rise_frac: float = 0.3, *, start: float = 1 / 25, final: float = 4e-6, shape: str = "cosine"
) -> Cosine | Linear:
    """From `start` up to 1 at `rise_frac` of the horizon, then down to `final`: "cosine" or "linear" both ways.

    Smith and Topin's one-cycle as torch's `OneCycleLR` and optax's `cosine_onecycle_schedule` have it, relative to
    their maximum: start = 1 / div_factor, final = 1 / (div_factor * final_div_factor). The last value is that of step
    T, so torch's total_steps is T + 1, and pct_start (rise_frac T + 1) / (T + 1); optax rounds rise_frac T down to a
    whole step. Three phases are a `Joined`. ValueError: a parameter out of its range.

    >>> one_cycle(0.5, start=0.1, final=0)([0, 0.25, 0.5, 0.75, 1]).round(12).tolist()
    [0.1, 0.55, 1.0, 0.5, 0.0]
    """
    cls = Cosine if _validate.choice("shape", shape, ("cosine", "linear")) == "cosine" else Linear
    rise = _validate.real("rise_frac", rise_frac, INSIDE)
    low, end = _validate.real("start", start, _validate.FRACTION), _validate.real("final", final, _validate.FRACTION)
    return cls(floor=end, warmup_frac=rise, warmup_start=low, warmup_shape=cast(Cooldown, shape))


def cosine_restarts(cycles: int, *, growth: float = 1.0, floor: float = 0.0) -> Repeated:
    """A cosine `cycles` times, each time `growth` times as long: warm restarts (Loshchilov and Hutter, 2017).

    `Repeated(Cosine(floor=floor), cycles, growth=growth)`; for restarts counted in steps, torch's
    `CosineAnnealingWarmRestarts`, give `Repeated` `every_steps`. ValueError: a parameter out of its range.

    >>> cosine_restarts(2)([0, 0.25, 0.5, 0.75, 1]).round(12).tolist()
    [1.0, 0.5, 1.0, 0.5, 0.0]
    """
    return Repeated(Cosine(floor=floor), cycles, growth=growth)
