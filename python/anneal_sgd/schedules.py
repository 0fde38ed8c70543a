"""Learning-rate schedules h: dimensionless shapes over the horizon, with values in [0, 1].

**Symbols.** T is the `horizon`, u = t / T in [0, 1] the fraction of it done at the 0-based step t (the paper's step
t + 1), v = 1 - u the fraction left. Step t has the learning rate `base_lr * h(t / T)`: scale goes in `base_lr`, never
in a schedule. Every schedule is frozen, hashable and equal to another by content. `schedule(u)` gives h at any
fractions, `schedule.values(horizon)` h at the steps, bit for bit what a simulation multiplies by `base_lr`.

**Warmup and floor**, where a schedule takes them, change a shape c into

    h(u) = u / w                            for u < w
         = floor + (1 - floor) * c(u')      else, with u' = (u - w) / (1 - w) and v' = v / (1 - w)

with w = `warmup_frac` in [0, 1) and `floor` in [0, 1]; the default 0 leaves both out.

**Tail degree.** `tail_degree` is p in h(u) ~ c * (1 - u)^p as u -> 1; with any floor > 0 it is 0. In theory the bound
on the last iterate grows like misspecification^(1 / (2 p + 1)), see `anneal_sgd.theory`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, _validate
from ._arrays import FloatArray, frozen, short
from ._validate import Interval, shown

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseSqrt",
    "Linear",
    "OneMinusSqrt",
    "Polynomial",
    "Schedule",
    "StepDecay",
    "Tabulated",
    "WarmupStableDecay",
    "by_name",
    "names",
]

Cooldown: TypeAlias = Literal["linear", "cosine", "one_minus_sqrt"]

_COOLDOWN_DEGREE = {"linear": 1.0, "cosine": 2.0, "one_minus_sqrt": 1.0}
_BELOW_ONE = Interval(low=0.0, high=1.0, open_high=True)
_INVERTIBLE = Interval(low=2.0**-1022)  # whose reciprocal is finite
_POINTS = 65537  # samples of a callable: 2^16 cells, whose ends are exact in binary
_INSIDE = Interval(low=0.0, high=1.0, open_low=True, open_high=True)


class Schedule:
    """What all schedules share; use one of the classes below, or `Tabulated` for a shape of your own.

    TypeError: a subclass with a shape of its own, which simulations would not see.

    >>> isinstance(Linear(), Schedule)
    True
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """TypeError: a formula of one's own."""
        super().__init_subclass__(**options)
        _validate.refuse_formula(
            cls, Schedule, "use schedules.Tabulated(h) for a shape of your own, h a function or values"
        )

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back (except for `Tabulated`)."""
        raise NotImplementedError

    @property
    def tail_degree(self) -> float:
        """p in h(u) ~ c * (1 - u)^p as u -> 1."""
        raise NotImplementedError

    @cached_property
    def _core(self) -> _core.Schedule:
        raise NotImplementedError

    @overload
    def __call__(self, u: float, horizon: int | None = None) -> float: ...
    @overload
    def __call__(self, u: NDArray[Any] | Sequence[Any], horizon: int | None = None) -> FloatArray: ...
    def __call__(self, u: ArrayLike, horizon: int | None = None) -> float | FloatArray:
        """h at the fractions u in [0, 1] of the horizon: float64 of u's shape, a float for one number.

        `horizon` matters to `InverseSqrt()` only. ValueError: u outside [0, 1] or not finite; no horizon where one is
        needed.

        >>> Linear()(0.25), Linear()([0, 0.5, 1]).tolist()
        (0.75, [1.0, 0.5, 0.0])
        """
        fractions = _validate.real_array("u", u, _validate.FRACTION)
        h = self._core.at(fractions.ravel(), self._checked_horizon(horizon))
        return float(h[0]) if fractions.ndim == 0 else h.reshape(fractions.shape)

    def values(self, horizon: int, first: int = 0, stop: int | None = None) -> FloatArray:
        """`out[i]`: h at the 0-based step `first + i`, float64 of shape (stop - first,); all steps by default.

        Bit for bit what a simulation of that horizon uses. ValueError: unless 0 <= first <= stop <= horizon < 2**32.

        >>> Linear().values(4).tolist(), Linear().values(4, first=3).tolist()
        ([1.0, 0.75, 0.5, 0.25], [0.25])
        """
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
        begin = _validate.integer("first", first, lowest=0, highest=steps)
        end = steps if stop is None else _validate.integer("stop", stop, lowest=begin, highest=steps)
        return self._core.values(steps, begin, end)

    def _checked_horizon(self, horizon: int | None) -> int:
        if horizon is None:
            return 1
        return _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the compiled twin, which is made anew."""
        return {key: value for key, value in self.__dict__.items() if key != "_core"}


@dataclass(frozen=True)
class _Shape(Schedule):
    """A formula with warmup and floor. Subclasses add their parameters and two class-level facts."""

    floor: float = field(default=0.0, kw_only=True)
    warmup_frac: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        self._coerce("floor", _validate.FRACTION)
        self._coerce("warmup_frac", _BELOW_ONE)

    def _coerce(self, name: str, interval: Interval) -> None:
        object.__setattr__(self, name, _validate.real(name, getattr(self, name), interval))

    def _degree(self) -> float:
        """The tail degree without a floor."""
        return 0.0

    @property
    def tail_degree(self) -> float:
        """p in h(u) ~ c * (1 - u)^p as u -> 1; 0 with a floor."""
        return 0.0 if self.floor > 0.0 else self._degree()

    @property
    def name(self) -> str:
        """A short text that identifies the schedule: `by_name` reads it back."""
        texts = [_text(getattr(self, f.name)) for f in _parameters(type(self)) if getattr(self, f.name) is not None]
        texts += [f"{key}={short(getattr(self, key))}" for key in ("floor", "warmup_frac") if getattr(self, key) != 0.0]
        return _NAMES[type(self)] + (f"({', '.join(texts)})" if texts else "")

    def _make(self, kind: _core.ScheduleKind, parameter: float = 0.0, **special: Any) -> _core.Schedule:
        return _core.Schedule(kind, parameter=parameter, floor=self.floor, warmup_frac=self.warmup_frac, **special)


@dataclass(frozen=True)
class Constant(_Shape):
    """h(u) = 1. Tail degree 0.

    ValueError: `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> Constant()([0, 0.5, 1]).tolist()
    [1.0, 1.0, 1.0]
    >>> Constant(warmup_frac=0.5)([0, 0.25, 0.5, 1]).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.constant)


@dataclass(frozen=True)
class InverseSqrt(_Shape):
    """h(u) = 1 / sqrt(1 + u / s), s = `timescale_frac` > 0; without it s is one step: h = 1 / sqrt(t + 1) at step t.

    Tail degree 0. The form without `timescale_frac` depends on the horizon, so `schedule(u)` needs `horizon=`; that is
    the classical 1 / sqrt(t) with the paper's t = 1, 2, ... ValueError: `timescale_frac` below 2^-1022, `floor` outside
    [0, 1] or `warmup_frac` outside [0, 1).

    >>> InverseSqrt(timescale_frac=0.125)([0, 0.375, 1]).tolist()
    [1.0, 0.5, 0.3333333333333333]
    >>> InverseSqrt()([0, 0.03, 0.99], horizon=100).tolist() == InverseSqrt().values(100)[[0, 3, 99]].tolist()
    True
    >>> InverseSqrt().values(4).tolist()[::3]
    [1.0, 0.5]
    """

    timescale_frac: float | None = None

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        if self.timescale_frac is not None:
            self._coerce("timescale_frac", _INVERTIBLE)

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.inverse_sqrt, self.timescale_frac or 0.0)

    def _checked_horizon(self, horizon: int | None) -> int:
        if horizon is None and self.timescale_frac is None:
            raise ValueError("horizon must be given for InverseSqrt() without timescale_frac, which decays per step")
        return super()._checked_horizon(horizon)


@dataclass(frozen=True)
class Polynomial(_Shape):
    """h(u) = (1 - u)^p with p = `degree` >= 0. Tail degree p.

    ValueError: `degree` negative or not finite, `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> Polynomial(degree=2)([0, 0.5, 1]).tolist()
    [1.0, 0.25, 0.0]
    """

    degree: float

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("degree", _validate.NON_NEGATIVE)

    def _degree(self) -> float:
        return self.degree

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.polynomial, self.degree)


@dataclass(frozen=True)
class Linear(_Shape):
    """h(u) = 1 - u. Tail degree 1.

    ValueError: `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> Linear()([0, 0.5, 1]).tolist()
    [1.0, 0.5, 0.0]
    """

    def _degree(self) -> float:
        return 1.0

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.linear)


@dataclass(frozen=True)
class Cosine(_Shape):
    """h(u) = (1 + cos(pi u)) / 2. Tail degree 2.

    ValueError: `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> Cosine()([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.5, 0.0]
    >>> Cosine(floor=0.5)([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.75, 0.5]
    """

    def _degree(self) -> float:
        return 2.0

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.cosine)


@dataclass(frozen=True)
class OneMinusSqrt(_Shape):
    """h(u) = 1 - sqrt(u). Tail degree 1.

    ValueError: `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> OneMinusSqrt()([0, 0.25, 1]).tolist()
    [1.0, 0.5, 0.0]
    """

    def _degree(self) -> float:
        return 1.0

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.one_minus_sqrt)


@dataclass(frozen=True)
class Exponential(_Shape):
    """h(u) = f^u with f = `final` in (0, 1], the value at the end. Tail degree 0.

    ValueError: `final` outside (0, 1], `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> Exponential(final=0.01)([0, 0.5, 1]).round(12).tolist()
    [1.0, 0.1, 0.01]
    """

    final: float = 0.01

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("final", _validate.POSITIVE_FRACTION)

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.exponential, self.final)


@dataclass(frozen=True)
class StepDecay(_Shape):
    """h(u) = q^(number of milestones <= u) with q = `factor` in (0, 1]. Tail degree 0.

    `milestones`: fractions of the whole horizon, warmup included, strictly increasing in (0, 1). ValueError: `factor`
    or a milestone outside its range, `floor` outside [0, 1] or `warmup_frac` outside [0, 1).

    >>> StepDecay(factor=0.5, milestones=(0.5, 0.75))([0, 0.5, 0.75, 1]).tolist()
    [1.0, 0.5, 0.25, 0.25]
    """

    factor: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("factor", _validate.POSITIVE_FRACTION)
        given = np.atleast_1d(_validate.real_array("milestones", self.milestones, _INSIDE, max_ndim=1))
        if np.any(np.diff(given) <= 0.0):
            raise ValueError(f"milestones must be strictly increasing, got {shown(self.milestones)}")
        object.__setattr__(self, "milestones", tuple(given.tolist()))

    @cached_property
    def _core(self) -> _core.Schedule:
        return self._make(_core.ScheduleKind.step_decay, self.factor, table=np.array(self.milestones))


@dataclass(frozen=True)
class WarmupStableDecay(_Shape):
    """h(u) = 1 while 1 - u >= f, then the `cooldown` shape of (u - (1 - f)) / f; f = `cooldown_frac` in (0, 1].

    `cooldown`: "linear" 1 - x, "cosine" (1 + cos(pi x)) / 2 or "one_minus_sqrt" 1 - sqrt(x); tail degree 1, 2, 1. The
    fractions `warmup_frac` and `cooldown_frac` are both of the whole horizon, and their sum is at most 1. ValueError: a
    fraction out of its range, another `cooldown`, `floor` outside [0, 1].

    >>> WarmupStableDecay(cooldown_frac=0.5)([0, 0.5, 0.75, 1]).tolist()
    [1.0, 1.0, 0.5, 0.0]
    >>> WarmupStableDecay(cooldown_frac=0.25, warmup_frac=0.5)([0, 0.25, 0.5, 0.75, 1]).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.0]
    """

    cooldown_frac: float = 0.2
    cooldown: Cooldown = "linear"

    def __post_init__(self) -> None:
        """Check the parameters and make them plain floats."""
        super().__post_init__()
        self._coerce("cooldown_frac", _validate.POSITIVE_FRACTION)
        _validate.choice("cooldown", self.cooldown, _COOLDOWN_DEGREE)
        if self.warmup_frac + self.cooldown_frac > 1.0:
            most = 1.0 - self.warmup_frac
            raise ValueError(f"cooldown_frac must be at most 1 - warmup_frac = {most!r}, got {self.cooldown_frac!r}")

    def _degree(self) -> float:
        return _COOLDOWN_DEGREE[self.cooldown]

    @cached_property
    def _core(self) -> _core.Schedule:
        shape = _core.CooldownShape[self.cooldown]
        return self._make(_core.ScheduleKind.warmup_stable_decay, self.cooldown_frac, cooldown=shape)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Tabulated(Schedule):
    """h(u) by linear interpolation in a table: `values[i]` is h(i / (n - 1)), n >= 2 values in [0, 1], not all 0.

    `values`: an array of shape (n,), or a callable h, which is sampled at `points` fractions (called with all of them
    in one array where it takes arrays, else one by one). `tail_degree`: p where it is known. By default it is 0 where
    the last value is > 0, else estimated from the last two values that are not 0, as log2(h(e - 2 d) / h(e - d)) with d
    the distance of two points and e the first from which on all are 0; at least 0. `name`: by default the number of
    values and a checksum of them. There is no warmup and no floor: put them in the table. ValueError: a value outside
    [0, 1] or not finite (scale goes in `base_lr`), a table of another shape, `tail_degree` negative.

    >>> Tabulated([1, 0.5, 0])([0, 0.25, 1]).tolist()
    [1.0, 0.75, 0.0]
    >>> squared = Tabulated(lambda u: (1 - u) ** 2, points=1001, name="squared")
    >>> round(squared(0.5), 6), round(squared.tail_degree, 6)
    (0.25, 2.0)
    """

    table: FloatArray
    _tail_degree: float
    _name: str

    def __init__(
        self,
        values: ArrayLike | Callable[..., Any],
        *,
        points: int = _POINTS,
        tail_degree: float | None = None,
        name: str | None = None,
    ) -> None:
        """Check the values, or sample the callable."""
        n = _validate.integer("points", points, lowest=2)
        if n != _POINTS and not callable(values):
            raise ValueError(f"points must be left out where values are given and not sampled, got {shown(points)}")
        table = _table(_sampled(values, n) if callable(values) else values)
        degree = _estimated_degree(table) if tail_degree is None else _tail_degree(tail_degree)
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f"name must be a text that is not empty, got {shown(name)}")
        object.__setattr__(self, "table", frozen(table))
        object.__setattr__(self, "_tail_degree", degree)
        object.__setattr__(self, "_name", name or f"tabulated({table.size}, {zlib.crc32(table.tobytes()):08x})")

    @property
    def name(self) -> str:
        """The given name, else one made from the number of values and a checksum of them."""
        return self._name

    @property
    def tail_degree(self) -> float:
        """p in h(u) ~ c * (1 - u)^p as u -> 1: the given one, else an estimate."""
        return self._tail_degree

    @cached_property
    def _core(self) -> _core.Schedule:
        return _core.Schedule(_core.ScheduleKind.tabulated, table=self.table)

    def __eq__(self, other: object) -> bool:
        """Same values, tail degree and name."""
        return isinstance(other, Tabulated) and self._key == other._key

    def __hash__(self) -> int:
        """By content."""
        return hash(self._key)

    def __repr__(self) -> str:
        """Without the values."""
        return f"Tabulated(<{self.table.size} values>, tail_degree={self.tail_degree!r}, name={self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content."""
        return _rebuilt_table, (self.table, self._tail_degree, self._name)

    @property
    def _key(self) -> tuple[bytes, float, str]:
        return self.table.tobytes(), self._tail_degree, self._name


def names() -> tuple[str, ...]:
    """What `by_name` knows.

    >>> "cosine" in names(), "wsd" in names()
    (True, True)
    """
    return tuple(_CLASSES)


def by_name(name: str, **parameters: Any) -> Schedule:
    """A schedule from a text: a name, then its parameters in order or as key=value, `:` between them.

    The form of `Schedule.name`, with parentheses and commas, is read as well; a list is written with `/`. `parameters`
    are further ones. "wsd" and "warmup_stable_decay" are the same. ValueError: an unknown name (the message lists those
    there are), an unknown, missing, repeated or superfluous parameter, or one out of its range.

    >>> by_name("polynomial:2") == by_name("polynomial", degree=2) == Polynomial(2)
    True
    >>> by_name("wsd:0.2:cosine").name, by_name("cosine:floor=0.1").name
    ('wsd(0.2, cosine)', 'cosine(floor=0.1)')
    >>> by_name("step_decay(0.1, 0.3/0.6/0.9)").milestones
    (0.3, 0.6, 0.9)
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be a text like 'cosine:floor=0.1', got {shown(name)}")
    head, texts = _split(name)
    if head not in _CLASSES:
        raise ValueError(f"name must be one of {', '.join(_CLASSES)}, got {shown(head)}")
    cls = _CLASSES[head]
    positional = [f.name for f in _parameters(cls)]
    known = (*positional, "floor", "warmup_frac")
    found: dict[str, Any] = {}
    for place, text in enumerate(texts):
        key, separator, value = text.partition("=")
        if not separator:
            if place >= len(positional):
                most = f"at most {len(positional)} parameters by place"
                raise ValueError(f"name must give {head} {most}, got {shown(name)}")
            key, value = positional[place], text
        _add(found, key.strip(), value.strip(), head, known)
    for key, given in parameters.items():
        _add(found, key, given, head, known)
    missing = [f.name for f in _parameters(cls) if f.default is MISSING and f.name not in found]
    if missing:
        raise ValueError(f"{missing[0]} must be given for {head}, as in '{head}:2', got {shown(name)}")
    return cls(**found)


_CLASSES: dict[str, type[_Shape]] = {
    "constant": Constant,
    "inverse_sqrt": InverseSqrt,
    "polynomial": Polynomial,
    "linear": Linear,
    "cosine": Cosine,
    "one_minus_sqrt": OneMinusSqrt,
    "exponential": Exponential,
    "step_decay": StepDecay,
    "wsd": WarmupStableDecay,
    "warmup_stable_decay": WarmupStableDecay,
}
_NAMES: Mapping[type, str] = {cls: name for name, cls in reversed(_CLASSES.items())}


def _parameters(cls: type[_Shape]) -> list[Any]:
    """The fields of a shape that have a place: all but floor and warmup_frac."""
    return [f for f in fields(cls) if not f.kw_only]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(map(short, value))
    return value if isinstance(value, str) else short(cast(float, value))


def _split(text: str) -> tuple[str, list[str]]:
    head, parenthesis, rest = text.strip().partition("(")
    if parenthesis:
        inner, end, after = rest.rpartition(")")
        if not end or after:
            raise ValueError(f"name must end with its closing parenthesis, got {shown(text)}")
        parts = inner.split(",") if inner.strip() else []
    else:
        head, *parts = text.split(":")
    return head.strip(), [part.strip() for part in parts]


def _add(found: dict[str, Any], key: str, value: object, head: str, known: Sequence[str]) -> None:
    if key not in known:
        raise ValueError(f"{key or 'name'} must be a parameter of {head}, which are {', '.join(known)}, got {key!r}")
    if key in found:
        raise ValueError(f"{key} must be given once, got {found[key]!r} and {value!r}")
    found[key] = _parsed(key, value) if isinstance(value, str) and key != "cooldown" else value


def _parsed(key: str, text: str) -> float | tuple[float, ...]:
    try:
        return tuple(map(float, text.split("/"))) if key == "milestones" else float(text)
    except ValueError:
        wanted = "numbers with / between" if key == "milestones" else "a number"
        raise ValueError(f"{key} must be {wanted}, got {shown(text)}") from None


def _table(values: ArrayLike) -> FloatArray:
    table = _validate.real_array("values", values, _validate.NON_NEGATIVE, ndim=1) + 0.0  # -0.0 + 0.0 = 0.0
    if table.size < 2:
        raise ValueError(f"values must be at least 2, got {table.size}")
    if table.max() > 1.0:
        where = int(table.argmax())
        got = f"{float(table[where])!r} at index {where}"
        raise ValueError(f"values must be at most 1 (scale goes in base_lr), got {got}")
    if table.max() == 0.0:
        raise ValueError(f"values must not all be 0, got {table.size} zeros")
    return table


def _sampled(h: Callable[..., Any], points: int) -> ArrayLike:
    u = np.arange(points) / (points - 1)
    try:
        values = np.asarray(h(u))
    except (TypeError, ValueError):  # a function of one number, which arrays confuse
        values = np.empty(())
    if values.shape == u.shape:
        return values
    return [h(x) for x in u.tolist()]


def _tail_degree(value: float) -> float:
    if isinstance(value, float) and value == math.inf:
        return value
    return _validate.real("tail_degree", value, _validate.NON_NEGATIVE)


def _estimated_degree(table: FloatArray) -> float:
    last = int(np.flatnonzero(table)[-1])
    if last == table.size - 1:
        return 0.0
    return max(0.0, math.log2(table[last - 1] / table[last])) if last > 0 else 1.0


def _rebuilt_table(table: FloatArray, tail_degree: float, name: str) -> Tabulated:
    return Tabulated(table, tail_degree=tail_degree, name=name)
