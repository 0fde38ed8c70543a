"""One step, of docs/stream.md: separable problems, and the trajectory of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .arithmetic import FloatArray, fma, fold, greater, lesser, moved
from .averages import Averages
from .draws import draws_of, draws_per_call
from .schedules import Schedule, learning_rates

ACCUMULATORS = 32


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem of dimension `len(x0)`; arrays have that length or 1, in float64.

    - `kind`, `weight`: absolute_value `sum a |x|`, quadratic `sum lambda x^2 / 2`, huber (slope a, parabola within
      `shape_parameter` delta)
    - `noise`: none, rademacher, gaussian or uniform, times `noise_std`, added to the gradient
    - `projection`: none, box `[lower, upper]` or ball of `radius` about the origin
    - `minimum`: f* over that set

    >>> Problem("quadratic", weight=[1.0, 2.0], x0=[1.0, -1.0]).noise
    'none'
    """

    kind: str
    weight: ArrayLike
    x0: ArrayLike
    shape_parameter: float = 1.0
    noise: str = "none"
    noise_std: ArrayLike = 0.0
    projection: str = "none"
    lower: ArrayLike = -math.inf
    upper: ArrayLike = math.inf
    radius: float = math.inf
    minimum: float = 0.0


def _column(problem: Problem, name: str, dtype: Any) -> FloatArray:
    """A parameter, rounded once to dtype, of shape `(dimension, 1)`."""
    value = np.asarray(getattr(problem, name), np.float64).reshape(-1, 1)
    return np.broadcast_to(value, (np.size(problem.x0), 1)).astype(dtype)


def _bend(problem: Problem, dtype: Any) -> FloatArray:
    """Huber's curvature `c = F(a / delta)`: divided in float64, then rounded."""
    return np.asarray((_column(problem, "weight", np.float64) / problem.shape_parameter).astype(dtype))


def _sum(a: FloatArray, b: FloatArray) -> FloatArray:
    """`sum_i a[i] b[i]` over the first axis, in 32 interleaved accumulators."""
    acc = np.zeros((ACCUMULATORS, *a.shape[1:]), a.dtype)
    for i in range(len(a)):
        acc[i % ACCUMULATORS] = fma(a[i], b[i], acc[i % ACCUMULATORS])
    return fold(acc, axis=0)


def suboptimality(problem: Problem, x: FloatArray) -> FloatArray:
    """`f(x) - f*` in the dtype of x, for x of shape `(dimension, replicates)`: shape `(replicates,)`.

    >>> suboptimality(Problem("quadratic", weight=[1.0, 2.0], x0=[0.0, 0.0]), np.array([[2.0], [3.0]])).tolist()
    [11.0]
    """
    F, weight, size = x.dtype.type, np.broadcast_to(_column(problem, "weight", x.dtype), x.shape), abs(x)
    if problem.kind == "absolute_value":
        f = _sum(weight, size)
    elif problem.kind == "quadratic":
        f = F(0.5) * _sum(weight * x, x)
    elif problem.kind == "huber":
        m = lesser(F(problem.shape_parameter), size)
        f = _sum(_bend(problem, x.dtype) * m, fma(F(-0.5), m, size))
    else:
        raise ValueError(f"kind must be 'absolute_value', 'quadratic' or 'huber', got {problem.kind!r}")
    return greater(F(0), f - F(problem.minimum))


def _gradient(problem: Problem, x: FloatArray) -> FloatArray:
    weight = _column(problem, "weight", x.dtype)
    if problem.kind == "absolute_value":
        return np.asarray(np.sign(x) * weight)
    if problem.kind == "quadratic":
        return np.asarray(weight * x)
    if problem.kind == "huber":
        return lesser(weight, greater(-weight, _bend(problem, x.dtype) * x))
    raise ValueError(f"kind must be 'absolute_value', 'quadratic' or 'huber', got {problem.kind!r}")


def _project(problem: Problem, y: FloatArray) -> FloatArray:
    if problem.projection == "none":
        return y
    if problem.projection == "box":
        return lesser(_column(problem, "upper", y.dtype), greater(_column(problem, "lower", y.dtype), y))
    if problem.projection == "ball":
        F, R, q = y.dtype.type, problem.radius, _sum(y, y)
        factor = np.where(q < F(np.inf), F(R) / np.sqrt(q), F(np.nan))
        return np.where(q > F(R * R), y * factor, y)
    raise ValueError(f"projection must be 'none', 'box' or 'ball', got {problem.projection!r}")


def simulate(
    *,
    problem: Problem,
    schedule: Schedule,
    base_lr: float,
    horizon: int,
    replicates: ArrayLike,
    seed: int,
    stream: int = 0,
    record_at: Sequence[int] | None = None,
    iterate: str = "last",
    tail_frac: float = 0.5,
    ema_decay: float = 0.999,
    average_degree: float = 3.0,
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Projected SGD `x = proj(x - lr_t (f'(x) + noise_std draw_t))`, `lr_t = F(base_lr h(t / horizon))`.

    What x cannot take of an increment is added to the next one.

    `out[k, r]` is the suboptimality, in dtype, of replicate number `replicates[r]` after `record_at[k]` steps (default:
    the horizon), of the last iterate, of the average of iterates 1..k, or of that of the last `ceil(tail_frac k)`
    ("last", "average", "tail_average"), or of a mean that weighs them ("ema", "polynomial_average").

    >>> call = dict(problem=Problem("absolute_value", weight=1.0, x0=[1.0]), schedule=Schedule("constant"))
    >>> simulate(base_lr=0.25, horizon=4, replicates=[0, 1], seed=0, record_at=[0, 1, 4], **call).tolist()
    [[1.0, 1.0], [0.75, 0.75], [0.0, 0.0]]
    """
    dtype = np.dtype(dtype)
    numbers = np.asarray(replicates, np.int64)
    records = (horizon,) if record_at is None else tuple(record_at)
    lr = learning_rates(schedule, base_lr, horizon, dtype)
    counter = numbers, stream, np.arange(np.size(problem.x0))[:, None]
    per_call = 1 if problem.noise == "none" else draws_per_call(problem.noise, dtype)
    std = _column(problem, "noise_std", dtype)
    xi = np.empty(0)

    x = np.repeat(_column(problem, "x0", dtype), len(numbers), axis=1)
    low = np.zeros_like(x)
    averages = Averages(iterate, tail_frac, records, x, ema_decay, average_degree)
    out = np.empty((len(records), len(numbers)), dtype)
    with np.errstate(all="ignore"):  # a diverging trajectory is no accident
        for k in range(max(records, default=0) + 1):
            if k > 0:
                t = k - 1
                g = _gradient(problem, x)
                if problem.noise != "none":
                    if t % per_call == 0:
                        xi = draws_of(problem.noise, t // per_call, seed, counter, dtype)
                    g = fma(std, xi[t % per_call], g)
                y, low = moved(x, fma(-lr[t], g, low))
                x = _project(problem, y)
                averages.add(k, x)
            if k in records:
                out[records.index(k)] = suboptimality(problem, averages.at(k, x))
    return out
