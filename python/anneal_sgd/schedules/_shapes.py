"""Families of schedules: formulas over the fraction of the horizon that is done, with warmup and floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import short
from .._validate import Interval, shown
from ._base import Schedule, Stretch

Cooldown: TypeAlias = Literal["linear", "cosine", "one_minus_sqrt"]

_COOLDOWNS = {"linear": 1.0, "cosine": 2.0, "one_minus_sqrt": 1.0}
_BELOW_ONE = Interval(low=0.0, high=1.0, open_high=True)
_INVERTIBLE = Interval(low=2.0**-1022)  # whose reciprocal is finite
INSIDE = Interval(low=0.0, high=1.0, open_low=True, open_high=True)


@dataclass(frozen=True)
class Shape(Schedule):
    """A formula with warmup and floor. Subclasses add their parameters and two class-level facts."""

    family: ClassVar[str]  # the name without parameters

    floor: float = field(default=0.0, kw_only=True)
    warmup_frac: float = field(default=0.0, kw_only=True)
    warmup_steps: int = field(default=0, kw_only=True)
    warmup_start: float = field(default=0.0, kw_only=True)
    warmup_shape: Cooldown = field(default="linear", kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain numbers."""
        self._coerce("floor", _validate.FRACTION)
        self._coerce("warmup_frac", _BELOW_ONE)
        self._count("warmup_steps", lowest=0)
        self._coerce("warmup_start", _validate.FRACTION)
        _validate.choice("warmup_shape", self.warmup_shape, _COOLDOWNS)
        if self.warmup_steps and self.warmup_frac:
            raise ValueError(f"warmup_steps must be left out where warmup_frac is given, got {self.warmup_steps}")
        if not (self.warmup_steps or self.warmup_frac) and (self.warmup_start or self.warmup_shape != "linear"):
            raise ValueError("warmup_frac or warmup_steps must be given where warmup_start or warmup_shape is")

    def _coerce(self, name: str, interval: Interval) -> None:
        object.__setattr__(self, name, _validate.real(name, getattr(self, name), interval))

    def _count(self, name: str, *, lowest: int = 1) -> None:
        given = _validate.integer(name, getattr(self, name), lowest=lowest, highest=_validate.LARGEST_UINT32)
        object.__setattr__(self, name, given)

    def _alternatives(self, first: str, second: str, default: object) -> None:
        """Of two ways to say the same at most one is given; none of them is the first with its default."""
        if getattr(self, first) is not None and getattr(self, second) is not None:
            raise ValueError(f"{second} must be left out where {first} is given, got {getattr(self, second)!r}")
        if getattr(self, first) is None and getattr(self, second) is None:
            object.__setattr__(self, first, default)

    def _degree(self) -> float:
        """The tail degree without a floor."""
        return 0.0

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$; 0 with a floor."""
        return 0.0 if self.floor > 0.0 else self._degree()

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back."""
        texts = []
        by_place = True
        for f in sorted(fields(self), key=lambda f: f.kw_only is True):
            value = getattr(self, f.name)
            by_place = by_place and not f.kw_only and value is not None
            if value is not None and not (f.kw_only and value == f.default):
                texts.append(as_text(value) if by_place else f"{f.name}={as_text(value)}")
        return self.family + (f"({', '.join(texts)})" if texts else "")

    @property
    def _counts_steps(self) -> bool:
        return self.warmup_steps > 0

    def _warmup(self, horizon: float) -> float:
        if self.warmup_steps >= horizon:
            raise ValueError(f"warmup_steps must be below the horizon, got {self.warmup_steps} for {horizon:g} steps")
        return self.warmup_steps / horizon if self.warmup_steps else self.warmup_frac

    def _twin(self, horizon: float, kind: _core.ScheduleKind, parameter: float = 0.0, **special: Any) -> _core.Schedule:
        warmup = self._warmup(horizon)
        return _core.Schedule(kind, parameter=parameter, floor=self.floor, warmup_frac=warmup, **special)

    def _laid(self, begin: float, length: float) -> list[Stretch]:
        main = Stretch(self._plain(length), begin, begin, length)
        if self.warmup_start == 0.0 and self.warmup_shape == "linear":
            return [main]
        until = self.warmup_steps or self.warmup_frac * length
        rise = _core.Schedule(_core.ScheduleKind[self.warmup_shape], floor=self.warmup_start)
        return [Stretch(rise, begin, begin, until, reversed=True), replace(main, begin=begin + until)]


@dataclass(frozen=True)
class Constant(Shape):
    """$h(u) = 1$. Tail degree 0.

    ValueError: `floor` or warmup out of range.

    >>> Constant()([0, 0.5, 1]).tolist()
    [1.0, 1.0, 1.0]
    >>> Constant(warmup_frac=0.5)([0, 0.25, 0.5, 1]).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """

    family: ClassVar[str] = "constant"

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.constant)


class _Inverse(Shape):
    """h(u) = (1 + (u - w) / s)^-p; subclasses have the fields."""

    timescale_frac: float | None
    timescale_steps: float | None

    def __post_init__(self) -> None:
        """Check the parameters and make them plain numbers."""
        super().__post_init__()
        self._alternatives("timescale_frac", "timescale_steps", None)
        if self.timescale_frac is not None:
            self._coerce("timescale_frac", _INVERTIBLE)
        if self.timescale_steps is not None:
            self._coerce("timescale_steps", _INVERTIBLE)

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or not (self.timescale_frac or self.warmup_frac)

    def _of_power(self, power: float, horizon: float) -> _core.Schedule:
        steps = self.timescale_steps
        timescale = self.timescale_frac if steps is None else steps / horizon
        if timescale is None:
            timescale = self._warmup(horizon)  # 0: one step
        return self._twin(horizon, _core.ScheduleKind.inverse_power, power, timescale_frac=timescale)


@dataclass(frozen=True)
class InverseSqrt(_Inverse):
    """$h(u) = 1 / sqrt(1 + (u - w) / s)$ after a warmup of w, s = `timescale_frac` > 0 of the horizon. Tail degree 0.

    Without it s is the warmup, so that $h = sqrt(w / u)$ (as in Transformers: Vaswani et al., 2017; T5; transformers'
    `get_inverse_sqrt_schedule`); and one step where there is no warmup either: $h = 1 / sqrt(t + 1)$ at step t, the
    classical $1 / sqrt(t)$ with the paper's t = 1, 2, ..., which depends on the horizon, so that `schedule(u)` needs
    `horizon=`. `timescale_steps`: s in steps, whole or not. ValueError: a time scale below 2^-1022 or given twice,
    `floor` or warmup out of range.

    >>> InverseSqrt(timescale_frac=0.125)([0, 0.375, 1]).tolist()
    [1.0, 0.5, 0.3333333333333333]
    >>> InverseSqrt(warmup_frac=0.25)([0.125, 0.25, 1]).tolist()
    [0.5, 1.0, 0.5]
    >>> InverseSqrt()([0, 0.03, 0.99], horizon=100).tolist() == InverseSqrt().values(100)[[0, 3, 99]].tolist()
    True
    >>> InverseSqrt().values(4).tolist()[::3]
    [1.0, 0.5]
    """

    family: ClassVar[str] = "inverse_sqrt"

    timescale_frac: float | None = None
    timescale_steps: float | None = field(default=None, kw_only=True)

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._of_power(0.5, horizon)


@dataclass(frozen=True)
class InversePower(_Inverse):
    """$h(u) = (1 + (u - w) / s)^-p$ after a warmup of w, p = `power` >= 0, s = `timescale_frac` > 0. Tail degree 0.

    Without a time scale s is the warmup, and one step where there is none: $h = (t + 1)^-p$ at step t, scikit-learn's
    "invscaling". `timescale_steps`: s in steps, whole or not: its "optimal", 1 / (alpha (t0 + t)), is p = 1 with
    s = t0 and base_lr = 1 / (alpha t0). As for `InverseSqrt`, which is p = 1/2. ValueError: `power` negative or not
    finite, a time scale below 2^-1022 or given twice, `floor` or warmup out of range.

    >>> InversePower(1, timescale_steps=2).values(7)[::2].round(6).tolist()
    [1.0, 0.5, 0.333333, 0.25]
    >>> InversePower(0.25).values(16)[15]
    np.float64(0.5)
    """

    family: ClassVar[str] = "inverse_power"

    power: float = 1.0
    timescale_frac: float | None = None
    timescale_steps: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain numbers."""
        super().__post_init__()
        self._coerce("power", _validate.NON_NEGATIVE)

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._of_power(self.power, horizon)


@dataclass(frozen=True)
class Polynomial(Shape):
    """$h(u) = (1 - u)^p$ with p = `degree` >= 0. Tail degree p.

    ValueError: `degree` negative or not finite, `floor` or warmup out of range.

    >>> Polynomial(degree=2)([0, 0.5, 1]).tolist()
    [1.0, 0.25, 0.0]
    """

    family: ClassVar[str] = "polynomial"

    degree: float

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("degree", _validate.NON_NEGATIVE)

    def _degree(self) -> float:
        return self.degree

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.polynomial, self.degree)


@dataclass(frozen=True)
class Linear(Shape):
    """$h(u) = 1 - u$. Tail degree 1.

    ValueError: `floor` or warmup out of range.

    >>> Linear()([0, 0.5, 1]).tolist()
    [1.0, 0.5, 0.0]
    """

    family: ClassVar[str] = "linear"

    def _degree(self) -> float:
        return 1.0

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.linear)


@dataclass(frozen=True)
class Cosine(Shape):
    """$h(u) = (1 + cos(pi u)) / 2$. Tail degree 2.

    ValueError: `floor` or warmup out of range.

    >>> Cosine()([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.5, 0.0]
    >>> Cosine(floor=0.5)([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.75, 0.5]
    """

    family: ClassVar[str] = "cosine"

    def _degree(self) -> float:
        return 2.0

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.cosine)


@dataclass(frozen=True)
class OneMinusSqrt(Shape):
    """$h(u) = 1 - sqrt(u)$. Tail degree 1.

    ValueError: `floor` or warmup out of range.

    >>> OneMinusSqrt()([0, 0.25, 1]).tolist()
    [1.0, 0.5, 0.0]
    """

    family: ClassVar[str] = "one_minus_sqrt"

    def _degree(self) -> float:
        return 1.0

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.one_minus_sqrt)


@dataclass(frozen=True)
class Exponential(Shape):
    """$h(u) = f^u$ with f = `final` in (0, 1], the value at the end. Tail degree 0.

    ValueError: `final` outside (0, 1], `floor` or warmup out of range.

    >>> Exponential(final=0.01)([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.1, 0.01]
    """

    family: ClassVar[str] = "exponential"

    final: float = 0.01

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("final", _validate.POSITIVE_FRACTION)

    def _plain(self, horizon: float) -> _core.Schedule:
        return self._twin(horizon, _core.ScheduleKind.exponential, self.final)


@dataclass(frozen=True)
class StepDecay(Shape):
    """h(u) = q^(number of milestones <= u) with q = `factor` in (0, 1]. Tail degree 0.

    `milestones`: fractions of the whole horizon, warmup included, strictly increasing in (0, 1), by default 1/2 and
    3/4; or `milestone_steps`, steps > 0, of which those past the horizon do nothing. ValueError: `factor` or a
    milestone outside its range, both given, `floor` or warmup out of range.

    >>> StepDecay(factor=0.5, milestones=(0.5, 0.75))([0, 0.5, 0.75, 1]).tolist()
    [1.0, 0.5, 0.25, 0.25]
    >>> StepDecay(milestone_steps=(2,)).values(4).tolist()
    [1.0, 1.0, 0.1, 0.1]
    """

    family: ClassVar[str] = "step_decay"

    factor: float = 0.1
    milestones: tuple[float, ...] | None = None
    milestone_steps: tuple[int, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain numbers."""
        super().__post_init__()
        self._coerce("factor", _validate.POSITIVE_FRACTION)
        self._alternatives("milestones", "milestone_steps", (0.5, 0.75))
        if self.milestones is not None:
            object.__setattr__(self, "milestones", increasing("milestones", self.milestones, INSIDE))
        if self.milestone_steps is not None:
            object.__setattr__(self, "milestone_steps", increasing_steps("milestone_steps", self.milestone_steps))

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or self.milestone_steps is not None

    def _plain(self, horizon: float) -> _core.Schedule:
        steps = self.milestone_steps
        table = np.array(self.milestones) if steps is None else np.array(steps) / horizon
        return self._twin(horizon, _core.ScheduleKind.step_decay, self.factor, table=table)


@dataclass(frozen=True)
class WarmupStableDecay(Shape):
    """$h(u) = 1$ while $1 - u >= f$, then the `cooldown` shape of $(u - (1 - f)) / f$; f = `cooldown_frac` in (0, 1].

    `cooldown`: "linear" $1 - x$, "cosine" $(1 + cos(pi x)) / 2$ or "one_minus_sqrt" $1 - sqrt(x)$; tail degree 1, 2, 1.
    The fractions `warmup_frac` and `cooldown_frac` (by default 1/5; or `cooldown_steps`) are both of the whole horizon,
    and their sum is at most 1. ValueError: a fraction out of its range, another `cooldown`, `floor` outside [0, 1].

    >>> WarmupStableDecay(cooldown_frac=0.5)([0, 0.5, 0.75, 1]).tolist()
    [1.0, 1.0, 0.5, 0.0]
    >>> WarmupStableDecay(cooldown_frac=0.25, warmup_frac=0.5)([0, 0.25, 0.5, 0.75, 1]).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.0]
    """

    family: ClassVar[str] = "wsd"

    cooldown_frac: float | None = None
    cooldown: Cooldown = "linear"
    cooldown_steps: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain numbers."""
        super().__post_init__()
        self._alternatives("cooldown_frac", "cooldown_steps", 0.2)
        if self.cooldown_frac is not None:
            self._coerce("cooldown_frac", _validate.POSITIVE_FRACTION)
            if self.warmup_frac + self.cooldown_frac > 1.0:
                raise self._too_long(1.0 - self.warmup_frac, self.cooldown_frac)
        else:
            self._count("cooldown_steps")
        _validate.choice("cooldown", self.cooldown, _COOLDOWNS)

    @staticmethod
    def _too_long(most: float, got: float) -> ValueError:
        return ValueError(f"cooldown_frac must be at most 1 - warmup_frac = {most!r}, got {got!r}")

    def _degree(self) -> float:
        return _COOLDOWNS[self.cooldown]

    @property
    def _counts_steps(self) -> bool:
        return super()._counts_steps or self.cooldown_steps is not None

    def _plain(self, horizon: float) -> _core.Schedule:
        if self.cooldown_steps is None:
            cooldown_frac = cast(float, self.cooldown_frac)
        else:
            cooldown_frac = share("cooldown_steps", self.cooldown_steps, horizon)
        if self._warmup(horizon) + cooldown_frac > 1.0 + 2.0**-52:
            raise self._too_long(1.0 - self._warmup(horizon), cooldown_frac)
        shape = _core.CooldownShape[self.cooldown]
        return self._twin(horizon, _core.ScheduleKind.warmup_stable_decay, cooldown_frac, cooldown=shape)


def share(name: str, steps: float, horizon: float) -> float:
    """A number of steps as a fraction of a horizon that has more of them, or as many."""
    if steps > horizon:
        raise ValueError(f"{name} must be at most the horizon, got {steps!r} for {horizon:g} steps")
    return steps / horizon


def increasing(name: str, values: ArrayLike, interval: Interval) -> tuple[float, ...]:
    """Numbers that increase strictly, as a tuple; one number is one of them."""
    given = np.atleast_1d(_validate.real_array(name, values, interval, max_ndim=1))
    if np.any(np.diff(given) <= 0.0):
        raise ValueError(f"{name} must be strictly increasing, got {shown(values)}")
    return tuple(given.tolist())


def increasing_steps(name: str, values: object) -> tuple[int, ...]:
    """The same of steps > 0."""
    given = values if isinstance(values, Sequence | np.ndarray) else (values,)
    steps = tuple(_validate.integer(name, x, lowest=1, highest=_validate.LARGEST_UINT32) for x in given)
    increasing(name, steps, _validate.POSITIVE)
    return steps


def as_text(value: object) -> str:
    """A parameter as `by_name` reads it."""
    if isinstance(value, tuple):
        return "/".join(map(as_text, value))
    return value if isinstance(value, str) else short(cast(float, value))
