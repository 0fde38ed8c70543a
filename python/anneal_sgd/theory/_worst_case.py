"""The exact worst case of a schedule: the largest suboptimality that a convex function leaves, for every start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arrays import FloatArray
from .._validate import POSITIVE
from ._bound import Bound, Setting, best_start
from ._last_iterate import Weights
from ._steps import ScheduleLike, Steps, sums_to_end

_LAST = 256  # steps taken one by one at the end, where the iteration would settle slowly
_ROUNDS = 64  # of the fixed-point iteration, which settles in a few where steps are many
_SETTLED = 2.0**-51  # relative

Sums: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]


def worst_case(
    schedule: ScheduleLike,
    horizon: int,
    *,
    base_lr: ArrayLike | None = None,
    misspecification: ArrayLike | None = None,
    distance: float = 1.0,
    gradient_bound: float = 1.0,
    start: int | None = None,
) -> Bound:
    """The worst case of `E f(x) - f*` for the point x after `horizon` steps (formula: see the module).

    Arguments and result are those of `last_iterate_bound`; `misspecification` is in units of the same `tuned_base_lr`.
    It bounds every convex function, projected and stochastic SGD included. With `start=1` it is exact: some function
    with gradients of norm G, from a point at distance D of its minimiser and without projection, leaves that much. For
    another start k, and so by default, D must bound the distance of x_k, as on a bounded set, and that it is exact
    there is not known.

    Time O(horizon) per learning rate, memory that does not grow with it, except for tables. ValueError: an argument
    out of its range.

    >>> from anneal_sgd import schedules
    >>> exact = worst_case(schedules.Linear(), 10_000, misspecification=[1, 8, 64])
    >>> (exact.value * 100).round(2).tolist()  # times sqrt(horizon): half of the bound
    [1.0, 1.89, 3.78]
    """
    steps = Steps(schedule, horizon)
    setting = Setting.of(Weights(steps), base_lr, misspecification, distance, gradient_bound)
    return best_start(Reach(steps), setting, start)


def worst_case_weights(
    schedule: ScheduleLike,
    horizon: int,
    *,
    base_lr: float,
    distance: float = 1.0,
    gradient_bound: float = 1.0,
    start: int | None = None,
) -> FloatArray:
    """The weights w of the worst case, `out[i]` that of x_{k+i}: float64 of shape (horizon + 2 - k,), in units of lr.

    With `W_t = w_t + ... + w_{horizon+1}` they satisfy `lr_t = w_t W_{t+1} / W_k`, and the worst case is
    `(D^2 + G^2 sum w_t^2) / (2 W_k)`. `start` is k, the best one by default. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> w = worst_case_weights(schedules.Linear(), 4, base_lr=0.5, start=1)
    >>> (w[:-1] * np.cumsum(w[::-1])[::-1][1:] / w.sum()).round(12).tolist()
    [0.5, 0.375, 0.25, 0.125]
    """
    rate = _validate.real("base_lr", base_lr, POSITIVE)
    bound = worst_case(schedule, horizon, base_lr=rate, distance=distance, gradient_bound=gradient_bound, start=start)
    k, steps = int(bound.start), Steps(schedule, horizon)
    reach = rate * np.concatenate([sums[0] for _, sums in Reach(steps).blocks()][::-1])[k - 1 :]
    q = np.zeros(reach.size + 1)
    q[0] = np.sqrt(max(reach[0], distance / gradient_bound))
    least = bool(reach[0] >= distance / gradient_bound)  # whether q is the least that the steps allow
    for t, step in enumerate((rate * steps.values()[k - 1 :]).tolist()):
        if least:
            least = step <= reach[t + 1]
            q[t + 1] = np.sqrt(reach[t + 1] if least else step)
        else:
            q[t + 1] = 0.5 * (q[t] + np.sqrt(max(q[t] * q[t] - 4.0 * step, 0.0)))
    return np.asarray((q[:-1] - q[1:]) * q[0])


@dataclass(frozen=True)
class Reach:
    """The sums of the worst case, for base_lr = 1: M, N and S of every start (see the module)."""

    steps: Steps

    def blocks(self) -> Iterator[tuple[int, Sums]]:
        """`k, (reach, noise, travel)`, M, N and S of the starts k, k + 1, ..., from the last start to the first."""
        reach = noise = travel = np.zeros(1)
        yield self.steps.horizon + 1, (reach, noise, travel)
        for first, h in self.steps.backwards():
            reach, noise, travel = _before(h, float(reach[0]), float(noise[0]), float(travel[0]))
            yield first + 1, (reach[:-1], noise[:-1], travel[:-1])

    @staticmethod
    def terms(sums: Sums, base_lr: float, distance: float, gradient_bound: float) -> tuple[FloatArray, FloatArray]:
        """Distance and noise term of those starts; the latter is inf where it leaves float64."""
        free = distance / gradient_bound  # the least that q^2 may be, were it free
        with np.errstate(over="ignore"):
            reach, noise, travel = (base_lr * x for x in sums)
            short = reach < free
            return (
                distance * distance / (2.0 * np.where(short, free, reach)),
                0.5 * gradient_bound**2 * np.where(short, free - 2.0 * travel, noise),
            )


def _before(h: FloatArray, reach: float, noise: float, travel: float) -> Sums:
    """M, N and S at the steps of a block and, last, after it, from those after it.

    M is the fixed point of a map that sums over all steps at once and turns order around, so that its iterates hold M
    between them. Where a step exceeds what all later ones reach, the recursion starts anew there: then step by step.
    """
    if reach == 0.0:
        end = _one_by_one(h[-_LAST:], reach, noise, travel)
        if h.size <= _LAST:
            return end
        start = _before(h[:-_LAST], *(float(x[0]) for x in end))
        reaches, noises, travels = (np.concatenate([x[:-1], y]) for x, y in zip(start, end, strict=True))
        return reaches, noises, travels
    sums = sums_to_end(h, travel)
    reaches = reach + 2.0 * (sums - travel)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(_ROUNDS):
            extra = h * (h / reaches[1:])
            found = sums_to_end(2.0 * h + extra, reach)
            settled = np.all(np.abs(found - reaches) <= _SETTLED * found)
            reaches = found
            if settled:
                if np.any(h > reaches[1:]):
                    break
                return reaches, sums_to_end(extra, noise), sums
    return _one_by_one(h, reach, noise, travel)


def _one_by_one(h: FloatArray, reach: float, noise: float, travel: float) -> Sums:
    out = np.empty((3, h.size + 1))
    out[:, -1] = reach, noise, travel
    for t in range(h.size - 1, -1, -1):
        step = float(h[t])
        if step > reach:
            reach, noise = 4.0 * step, 2.0 * (step - travel)
        elif step > 0.0:
            extra = step * (step / reach)
            reach, noise = reach + 2.0 * step + extra, noise + extra
        travel += step
        out[:, t] = reach, noise, travel
    return out[0], out[1], out[2]
