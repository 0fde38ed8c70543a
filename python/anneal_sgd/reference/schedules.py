"""Schedules, of docs/stream.md: always in float64."""

from __future__ import annotations

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

    - `kind`: constant, inverse_sqrt, polynomial, linear, cosine, one_minus_sqrt, exponential, step_decay,
      warmup_stable_decay or tabulated
    - `parameter`: degree of a polynomial, timescale_frac of inverse_sqrt (0: one step), final value of exponential,
      factor of step_decay, cooldown_frac of warmup_stable_decay
    - `cooldown`: linear, cosine or one_minus_sqrt, the end of warmup_stable_decay
    - `table`: the values of tabulated, the milestones of step_decay

    >>> Schedule("polynomial", parameter=2.0).warmup_frac
    0.0
    """

    kind: str
    parameter: float = 0.0
    cooldown: str = "linear"
    floor: float = 0.0
    warmup_frac: float = 0.0
    table: Sequence[float] | FloatArray = ()


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


def schedule_value(kind: str, u: ArrayLike, v: ArrayLike, horizon: int, **parameters: Any) -> NDArray[np.float64]:
    """The schedule `h(u, v)` in float64 at u = t / horizon, v = (horizon - t) / horizon; 1-D, of the length of u.

    Warmup rises as `u / warmup_frac`; after it the shape of the kind runs over the rest and is lifted to the floor as
    `fma(1 - floor, shape, floor)`. Parameters are those of `Schedule`.

    >>> schedule_value("cosine", [0.0, 0.25, 1.0], [1.0, 0.75, 0.0], 4).round(12).tolist()
    [1.0, 0.853553390593, 0.0]
    >>> schedule_value("linear", [0.05, 0.55], [0.95, 0.45], 20, warmup_frac=0.1).tolist()
    [0.5, 0.5]
    """
    s = Schedule(kind, **parameters)
    parameter, y = float(s.parameter), np.asarray(s.table, np.float64)
    u, v = np.atleast_1d(np.asarray(u, np.float64)), np.atleast_1d(np.asarray(v, np.float64))
    if kind == "tabulated":
        p = u * (len(y) - 1)
        i = np.minimum(np.floor(p), len(y) - 2).astype(np.int64)
        return fma(p - i, y[i + 1] - y[i], y[i])
    with np.errstate(all="ignore"):  # what the branch not taken gives is thrown away
        warm, rest = u < s.warmup_frac, 1.0 - s.warmup_frac
        late_u, late_v = ((u - s.warmup_frac) / rest, v / rest) if s.warmup_frac > 0 else (u, v)
        if kind == "constant":
            c = np.ones_like(u)
        elif kind == "inverse_sqrt":
            k = 1.0 / parameter if parameter else float(horizon)
            c = 1.0 / np.sqrt(fma(late_u, k, 1.0))
        elif kind == "polynomial" and (2 * parameter).is_integer() and 2 * parameter <= 16:
            c = np.ones_like(u) if parameter.is_integer() else np.sqrt(late_v)
            for _ in range(int(parameter)):
                c = c * late_v
        elif kind == "polynomial":
            c = np.where(late_v == 0, 0.0, exp2(parameter * log2(np.where(late_v == 0, 1.0, late_v))))
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


def learning_rates(schedule: Schedule, base_lr: float, horizon: int, dtype: DTypeLike) -> FloatArray:
    """`F(base_lr h(u, v))` of every step.

    >>> learning_rates(Schedule("linear"), 0.5, 4, "float32").tolist()
    [0.5, 0.375, 0.25, 0.125]
    """
    steps = np.arange(horizon, dtype=np.int64)
    u, v = steps / horizon, (horizon - steps) / horizon
    return (base_lr * schedule_value(horizon=horizon, u=u, v=v, **vars(schedule))).astype(dtype)
