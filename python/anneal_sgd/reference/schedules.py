"""Schedules, of docs/stream.md: always in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .arithmetic import FloatArray, fma
from .elementary import exp2, log2, sincos_octant


@dataclass(frozen=True, eq=False)
class Schedule:
    """One schedule, by plain names; what `parameter` means depends on `kind`.

    - `kind`: constant, inverse_power, polynomial, linear, cosine, one_minus_sqrt, exponential, step_decay,
      warmup_stable_decay, tabulated, knots or per_step
    - `parameter`: degree of polynomial and inverse_power, final value of exponential, factor of step_decay,
      cooldown_frac of warmup_stable_decay
    - `timescale_frac`: of inverse_power; 0: one step
    - `cooldown`: linear, cosine or one_minus_sqrt, the end of warmup_stable_decay
    - `table`: the values of tabulated and per_step, the fractions and then the values of knots, the milestones of
      step_decay
    - `pieces`: what the schedule consists of instead

    >>> Schedule("polynomial", parameter=2.0).warmup_frac
    0.0
    """

    kind: str
    parameter: float = 0.0
    cooldown: str = "linear"
    floor: float = 0.0
    warmup_frac: float = 0.0
    table: Sequence[float] | FloatArray = ()
    timescale_frac: float = 0.0
    pieces: Sequence[Piece] = ()


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a joined schedule, in steps: from `begin` to the next piece's.

    `schedule` has a horizon of its own, of `length` steps from `start` on, gone through `runs` times and held outside;
    with a `stride` it changes only every so many steps.

    >>> Piece(Schedule("linear"), begin=10, start=10, length=90).runs
    1
    """

    schedule: Schedule
    begin: float
    start: float
    length: float
    runs: float = 1
    stride: float = 0
    scale: float = 1
    reversed: bool = False


def _shape(kind: str, u: FloatArray, v: FloatArray) -> FloatArray:
    """The shapes that can also be a cooldown."""
    if kind == "linear":
        return v
    if kind == "one_minus_sqrt":
        return np.asarray(v / (1.0 + np.sqrt(u)))
    if kind == "cosine":
        early = u <= 0.5
        s = sincos_octant(np.where(early, 2.0 * u, 2.0 * v))[0]
        return np.where(early, fma(-s, s, 1.0), s * s)
    raise ValueError(f"kind must name a schedule, got {kind!r}")


def _power(v: FloatArray, p: float) -> FloatArray:
    if (2 * p).is_integer() and 2 * p <= 16:
        c = np.ones_like(v) if p.is_integer() else np.sqrt(v)
        for _ in range(int(p)):
            c = c * v
        return c
    positive = v > 0
    return np.where(positive, exp2(p * log2(np.where(positive, v, 1.0))), 0.0)


def _joined(pieces: Sequence[Piece], t: float) -> float:
    piece = [pieces[0], *(p for p in pieces[1:] if p.begin <= t)][-1]
    r = min(max(t - piece.start, 0.0), piece.runs * piece.length)
    if piece.stride:
        r = min(math.floor(r / piece.stride) * piece.stride, r)
    if piece.runs > 1:
        r -= min(math.floor(r / piece.length), piece.runs - 1) * piece.length
        r = min(max(r, 0.0), piece.length)
    u, v = r / piece.length, (piece.length - r) / piece.length
    if piece.schedule.kind == "per_step":
        h = float(piece.schedule.table[min(int(r), len(piece.schedule.table) - 1)])
    else:
        (h,) = schedule_value(
            u=v if piece.reversed else u, v=u if piece.reversed else v, horizon=piece.length, **vars(piece.schedule)
        )
    return piece.scale * float(h)


def schedule_value(kind: str, u: ArrayLike, v: ArrayLike, horizon: float, **parameters: Any) -> NDArray[np.float64]:
    """The schedule `h(u, v)` in float64 at u = t / horizon, v = (horizon - t) / horizon; 1-D, of the length of u.

    Warmup rises as `u / warmup_frac`; after it the shape of the kind runs over the rest and is lifted to the floor as
    `fma(1 - floor, shape, floor)`. Parameters are those of `Schedule`.

    >>> schedule_value("cosine", [0.0, 0.25, 1.0], [1.0, 0.75, 0.0], 4).round(12).tolist()
    [1.0, 0.853553390593, 0.0]
    >>> schedule_value("linear", [0.05, 0.55], [0.95, 0.45], 20, warmup_frac=0.1).tolist()
    [0.5, 0.5]
    """
    s = Schedule(kind, **parameters)
    if s.pieces:
        return np.array([_joined(s.pieces, t) for t in np.rint(np.atleast_1d(u) * horizon).tolist()])
    parameter, y = float(s.parameter), np.asarray(s.table, np.float64)
    u, v = np.atleast_1d(np.asarray(u, np.float64)), np.atleast_1d(np.asarray(v, np.float64))
    if kind == "tabulated":
        p = u * (len(y) - 1)
        i = np.minimum(np.floor(p), len(y) - 2).astype(np.int64)
        return fma(p - i, y[i + 1] - y[i], y[i])
    if kind == "per_step":
        return y[np.minimum(np.rint(u * horizon).astype(np.int64), len(y) - 1)]
    if kind == "knots":
        x, y = np.split(y, 2)
        i = np.searchsorted(x[:-1], u, side="right") - 1
        return fma((u - x[i]) / (x[i + 1] - x[i]), y[i + 1] - y[i], y[i])
    with np.errstate(all="ignore"):  # what the branch not taken gives is thrown away
        warm, rest = u < s.warmup_frac, 1.0 - s.warmup_frac
        late_u, late_v = ((u - s.warmup_frac) / rest, v / rest) if s.warmup_frac > 0 else (u, v)
        if kind == "constant":
            c = np.ones_like(u)
        elif kind == "inverse_power":
            k = 1.0 / s.timescale_frac if s.timescale_frac else float(horizon)
            c = 1.0 / _power(fma(u - s.warmup_frac, k, 1.0), parameter)
        elif kind == "polynomial":
            c = _power(late_v, parameter)
        elif kind == "exponential":
            c = exp2(late_u * log2(np.array([parameter])))
        elif kind == "step_decay":
            c = np.ones_like(u)
            for milestone in y:
                c = np.where(milestone <= u, c * parameter, c)
        elif kind == "warmup_stable_decay":
            c = np.where(v >= parameter, 1.0, _shape(s.cooldown, 1.0 - v / parameter, v / parameter))
        else:
            c = _shape(kind, late_u, late_v)
        h = c if s.floor == 0 else fma(1.0 - s.floor, c, s.floor)
        return np.where(warm, u / s.warmup_frac, h)


def numbers_of_steps(
    numbers: Sequence[tuple[Schedule, float, float]], horizon: int, dtype: DTypeLike
) -> dict[str, FloatArray]:
    """Numbers of a method that follow schedules, given with what they are where these are 0 and 1: of every step.

    "number k" is number k, `F(h one + (1 - h) zero)`, "rest k" is F of 1 minus the same.

    >>> found = numbers_of_steps([(Schedule("linear"), 0.5, 0.75)], 2, "float32")
    >>> found["number 0"].tolist(), found["rest 0"].tolist()
    ([0.75, 0.625], [0.25, 0.375])
    """
    found: dict[str, FloatArray] = {}
    for k, (schedule, zero, one) in enumerate(numbers):
        h = learning_rates(schedule, 1.0, horizon, np.float64)
        value = h * one + (1.0 - h) * zero
        found |= {f"number {k}": value.astype(dtype), f"rest {k}": (1.0 - value).astype(dtype)}
    return found


def learning_rates(schedule: Schedule, base_lr: float, horizon: int, dtype: DTypeLike) -> FloatArray:
    """`F(base_lr h(u, v))` of every step.

    >>> learning_rates(Schedule("linear"), 0.5, 4, "float32").tolist()
    [0.5, 0.375, 0.25, 0.125]
    """
    steps = np.arange(horizon, dtype=np.int64)
    u, v = steps / horizon, (horizon - steps) / horizon
    return (base_lr * schedule_value(horizon=horizon, u=u, v=v, **vars(schedule))).astype(dtype)
