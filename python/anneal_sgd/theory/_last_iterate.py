"""The last-iterate bound of a schedule, for every start, and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arrays import FloatArray
from .._validate import NON_NEGATIVE, POSITIVE
from ._bound import Bound, Setting, best_start, units
from ._steps import ScheduleLike, Steps, sums_to_end


def last_iterate_bound(
    schedule: ScheduleLike,
    horizon: int,
    *,
    base_lr: ArrayLike | None = None,
    misspecification: ArrayLike | None = None,
    distance: float = 1.0,
    gradient_bound: float = 1.0,
    start: int | None = None,
) -> Bound:
    """Bound on `E f(x) - f*` for the point x after `horizon` steps of projected SGD (formula: see the module).

    Give either `base_lr` or `misspecification` (rho, in units of `tuned_base_lr`), a scalar or a 1-D array. `start`
    fixes k in 1..horizon+1; the default takes the best one for each learning rate. Only k = 1 gets by with D bounding
    the distance of the starting point alone; any other k needs it at x_k, as on a bounded set.
    The search over k is exact; time O(horizon) per learning rate. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> bound = last_iterate_bound(schedules.Linear(), 10_000, misspecification=[1, 8, 64])
    >>> (bound.value * 100).round(2).tolist()  # times sqrt(horizon): grows like rho^(1/3)
    [2.0, 3.78, 7.59]
    >>> bound.start.tolist()
    [1, 6851, 9214]
    """
    weights = Weights(Steps(schedule, horizon))
    setting = Setting.of(weights, base_lr, misspecification, distance, gradient_bound)
    return best_start(weights, setting, start)


def tuned_base_lr(schedule: ScheduleLike, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The base_lr with the smallest k = 1 bound: `(D / G) / sqrt(W_1 * I_1)`, sums taken with h for the learning rates.

    `I_1` is the bracket of the bound with k = 1 (see the module). As T grows it is `(D / G) * sqrt(p / T)` for
    `h = (1 - u)^p` and `0.971 * D / (G sqrt(T))` for the cosine. Where another k is better already here (the inverse
    square root), a somewhat larger base_lr has a smaller bound still. Source: arXiv 2503.09411. ValueError: an argument
    out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tuned_base_lr(schedules.Polynomial(degree=2), 20_000), 4)
    0.01
    """
    d, g = units(distance, gradient_bound)
    return Weights(Steps(schedule, horizon)).tuned * d / g


def tuned_rate(schedule: ScheduleLike, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The bound at `tuned_base_lr`: what `last_iterate_bound` gives for misspecification 1.

    As T grows it is `D G (p + 1) / sqrt(p T)` for `h = (1 - u)^p` and `2.060 * D G / sqrt(T)` for the cosine. Source:
    arXiv 2503.09411. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tuned_rate(schedules.Linear(), 10_000), 4)
    0.02
    """
    bound = last_iterate_bound(
        schedule, horizon, misspecification=1.0, distance=distance, gradient_bound=gradient_bound
    )
    return float(bound.value)


def asymptotic_exponent(tail_degree: ArrayLike) -> FloatArray:
    """The power of rho in the bound as rho grows, `1 / (2 p + 1)` for a schedule with `h(u) ~ c (1 - u)^p` as u -> 1.

    `tail_degree`: p >= 0, any shape; the result is float64 of that shape. Source: arXiv 2503.09411. ValueError: a
    negative or NaN `tail_degree`.

    >>> asymptotic_exponent([0, 0.5, 1, 2]).tolist()
    [1.0, 0.5, 0.3333333333333333, 0.2]
    """
    degree = _validate.real_array("tail_degree", tail_degree, NON_NEGATIVE, infinite=True)
    return np.asarray(1.0 / (2.0 * degree + 1.0))


def local_exponent(schedule: ScheduleLike, horizon: int, *, misspecification: ArrayLike) -> FloatArray:
    """`d log(bound) / d log(rho)` at the given rho: `(noise_term - distance_term) / value` at the best k.

    With k held fixed the distance term goes as 1 / rho and the noise term as rho, which gives the formula; that k moves
    with rho adds nothing, because the bound is a minimum over k (envelope theorem). It is exact, no finite difference.
    Where two k tie the slope falls from that of one to that of the other, for rho up to 8 by up to 0.08 at T = 100 and
    0.01 at T = 1000 (schedules without steps); there it is that of the `start` that `last_iterate_bound` reports, and a
    quotient of differences lies between.
    `misspecification`: a scalar or 1-D; the result is float64 of its shape, dimensionless, 0 at rho = 1 (where k = 1 is
    the best there) and near `asymptotic_exponent` for annealed schedules and $1 << rho << sqrt(T)$. Does not depend on
    D and G. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> local_exponent(schedules.Polynomial(degree=2), 100_000, misspecification=[1, 256]).round(3).tolist()
    [0.0, 0.2]
    """
    rho = _validate.real_array("misspecification", misspecification, POSITIVE, max_ndim=1)
    bound = last_iterate_bound(schedule, horizon, misspecification=rho)
    return np.asarray((bound.noise_term - bound.distance_term) / bound.value)


def tolerated_misspecification(schedule: ScheduleLike, horizon: int, *, loss: float) -> float:
    """The largest rho whose bound is at most `(1 + loss)` times the tuned one; `loss` is a fraction > 0.

    The bound is the minimum over k of `a_k / rho + b_k rho`, so the answer is the largest root of these quadratics, in
    closed form. Does not depend on D and G. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tolerated_misspecification(schedules.Linear(), 10_000, loss=0.5), 2)  # 3 = 2 * 1.5 is reached at rho = 4
    4.0
    """
    weights, fraction = Weights(Steps(schedule, horizon)), _validate.real("loss", loss, POSITIVE)
    target = (1.0 + fraction) * min(
        float(np.min(np.sum(weights.terms(sums, weights.tuned, 1.0, 1.0), axis=0))) for _, sums in weights.blocks()
    )
    largest = 1.0
    for _, sums in weights.blocks():
        a, b = weights.terms(sums, weights.tuned, 1.0, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            discriminant = target * target - 4.0 * a * b
            reached = discriminant >= 0.0
            roots = (target + np.sqrt(discriminant[reached])) / (2.0 * b[reached])
        largest = float(np.max(roots, initial=largest))
    return largest


@dataclass(frozen=True)
class Weights:
    """The sums of the bound, for base_lr = 1."""

    steps: Steps

    @cached_property
    def closing(self) -> float:
        """The closing weight."""
        closing, travel = 0.0, 0.0
        for _, h in self.steps.backwards():
            sums = sums_to_end(h, travel)
            closing, travel = max(closing, float(np.max(h - sums[1:]))), float(sums[0])
        return closing

    @cached_property
    def tuned(self) -> float:
        """tuned_base_lr for D = G = 1."""
        ((_, (sums, noise)),) = deque(self.blocks(), maxlen=1)  # of k = 1
        return float(1.0 / np.sqrt(sums[0] * noise[0]))

    def blocks(self) -> Iterator[tuple[int, tuple[FloatArray, FloatArray]]]:
        """`k, (sums, noise)` with W and the bracket I of the starts k, k + 1, ..., from the last start to the first."""
        sums = noise = np.array([self.closing])
        yield self.steps.horizon + 1, (sums, noise)
        for first, h in self.steps.backwards():
            sums = sums_to_end(h, sums[0])
            noise = sums_to_end(h * (h / sums[1:]), noise[0])  # not h^2 / W: h may be far below sqrt(smallest float)
            yield first + 1, (sums[:-1], noise[:-1])

    @staticmethod
    def terms(
        sums: tuple[FloatArray, FloatArray], base_lr: float, distance: float, gradient_bound: float
    ) -> tuple[FloatArray, FloatArray]:
        """Distance and noise term of those starts; the former is inf where W_k is too small for the quotient."""
        with np.errstate(over="ignore"):
            return (
                distance * distance / (2.0 * base_lr) / sums[0],
                0.5 * gradient_bound * gradient_bound * base_lr * sums[1],
            )
