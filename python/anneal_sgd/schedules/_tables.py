"""Schedules of one's own: lines through given points, or through those of a function."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import FloatArray, frozen
from .._validate import shown
from ._base import Schedule
from ._sampling import sampled
from ._tail import degree_of_table, given_degree


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Table(Schedule):
    """A schedule made of numbers, `table`, of shape (n,): equal, hashed and pickled by content."""

    table: FloatArray
    _tail_degree: float
    _name: str

    def _set(self, table: FloatArray, tail_degree: float, name: str | None, **others: Any) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(f"name must be a text that is not empty, got {shown(name)}")
        for key, value in others.items():
            object.__setattr__(self, key, value)
        object.__setattr__(self, "table", frozen(table))
        object.__setattr__(self, "_tail_degree", tail_degree)
        made = f"{type(self).__name__.lower()}({self.table.size}, {zlib.crc32(b''.join(self._content)):08x})"
        object.__setattr__(self, "_name", name or made)

    @property
    def _content(self) -> tuple[bytes, ...]:
        return (self.table.tobytes(),)

    @property
    def _identity(self) -> str:
        return f"{type(self).__name__.lower()} {hashlib.sha256(b''.join(self._content)).hexdigest()}"

    @property
    def name(self) -> str:
        """The given name, else one made from the number of values and a checksum of them."""
        return self._name

    @property
    def tail_degree(self) -> float:
        """p in $h(u) ~ c (1 - u)^p$ as $u -> 1$: the given one, else an estimate."""
        return self._tail_degree

    def __eq__(self, other: object) -> bool:
        """Same values, tail degree and name."""
        return isinstance(other, Table) and type(other) is type(self) and self._key == other._key

    def __hash__(self) -> int:
        """By content."""
        return hash(self._key)

    def __repr__(self) -> str:
        """Without the values."""
        return (
            f"{type(self).__name__}(<{self.table.size} values>, tail_degree={self.tail_degree!r}, name={self.name!r})"
        )

    @property
    def _key(self) -> tuple[Any, ...]:
        return *self._content, self._tail_degree, self._name


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Tabulated(Table):
    """h(u) by linear interpolation through points: of the *fraction* u of the horizon, not of the step.

    `values`: n >= 2 numbers in [0, 1], not all 0, at equal distances from u = 0 to u = 1, or at the fractions `at`,
    which increase strictly from 0 to 1. Or a callable h(u), called with arrays where it takes them: it is sampled at so
    many points, up to 2^20, that between them the line is within 2^-24 of it, relative to h or to 2^-26 of its maximum,
    for steps of any horizon; jumps and kinks are found where they are no narrower than 2^-14. For a value at every
    step, such as a list of T learning rates or a function of the step, take `from_steps` or `from_callable`.

    `tail_degree`: p where it is known. By default it is 0 where the last value is > 0, else estimated, from the values
    at the distances 1, 2, 4 and 8 (points, or 2^-16) before h reaches 0. `name`: by default the number of values and a
    checksum of them. There is no warmup and no floor: put them in the table, or join (`Joined`). ValueError: a value
    outside [0, 1] or not finite (scale goes in `base_lr`), a table of another shape, a function that needs more points
    or that is one of counts of steps, `tail_degree` negative.

    >>> Tabulated([1, 0.5, 0])([0, 0.25, 1]).tolist()
    [1.0, 0.75, 0.0]
    >>> Tabulated([1, 1, 0], at=[0, 0.75, 1])([0.5, 0.75, 0.875]).tolist()
    [1.0, 1.0, 0.5]
    >>> squared = Tabulated(lambda u: (1 - u) ** 2, name="squared")
    >>> round(squared(0.5), 6), round(squared.tail_degree, 6)
    (0.25, 2.0)
    """

    at: FloatArray | None

    def __init__(
        self,
        values: ArrayLike | Callable[..., Any],
        *,
        at: ArrayLike | None = None,
        tail_degree: float | None = None,
        name: str | None = None,
    ) -> None:
        """Check the values, or sample the callable."""
        if callable(values):
            if at is not None:
                raise ValueError(f"at must be left out where values are a function, got {shown(at)}")
            fractions: FloatArray | None
            fractions, table, estimate = sampled(values)
        else:
            table = _table(values)
            fractions = None if at is None else _fractions(at, table.size)
            estimate = degree_of_table(table) if fractions is None else _degree_of_line(table)
        if not table.any():
            raise ValueError(f"values must not all be 0, got {table.size} zeros")
        degree = estimate if tail_degree is None else given_degree(tail_degree)
        self._set(table, degree, name, at=None if fractions is None else frozen(fractions))

    def _plain(self, horizon: float) -> _core.Schedule:
        if self.at is None:
            return _core.Schedule(_core.ScheduleKind.tabulated, table=self.table)
        return _core.Schedule(_core.ScheduleKind.knots, table=np.concatenate([self.at, self.table]))

    @property
    def _content(self) -> tuple[bytes, ...]:
        return (self.table.tobytes(),) if self.at is None else (self.table.tobytes(), self.at.tobytes())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by content."""
        return _rebuilt, (self.table, self.at, self._tail_degree, self._name)


def _table(values: ArrayLike) -> FloatArray:
    table = _validate.real_array("values", values, _validate.NON_NEGATIVE, ndim=1) + 0.0  # -0.0 + 0.0 = 0.0
    if table.size < 2:
        raise ValueError(f"values must be at least 2, got {table.size}")
    if table.max() > 1.0:
        where = int(table.argmax())
        got = f"{float(table[where])!r} at index {where}"
        raise ValueError(f"values must be at most 1 (scale goes in base_lr), got {got}")
    return table


def _fractions(at: ArrayLike, count: int) -> FloatArray:
    fractions = _validate.real_array("at", at, _validate.FRACTION, ndim=1) + 0.0
    if fractions.size != count:
        raise ValueError(f"at must be as many as values, got {fractions.size} for {count}")
    if fractions[0] != 0.0 or fractions[-1] != 1.0 or np.any(np.diff(fractions) <= 0.0):
        raise ValueError(f"at must increase strictly from 0 to 1, got {shown(at)}")
    return fractions


def _degree_of_line(table: FloatArray) -> float:
    """Points at distances of their own have the degree of their last line."""
    return 0.0 if table[-1] > 0.0 else 1.0


def _rebuilt(table: FloatArray, at: FloatArray | None, tail_degree: float, name: str) -> Tabulated:
    return Tabulated(table, at=at, tail_degree=tail_degree, name=name)
