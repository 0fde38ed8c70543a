"""What is best when the learning rate is known to within a factor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import _validate
from .._arrays import FloatArray
from .._validate import POSITIVE, Interval
from ..schedules._minimax import profile
from ._bound import Setting, best_start, units
from ._last_iterate import Weights
from ._steps import ScheduleLike, Steps
from ._worst_case import Reach

_AT_LEAST_ONE = Interval(low=1.0)
_NARROWEST = 1e-6  # of log(ratio), where two ends are to be equalised
_GOLDEN_CUT = (math.sqrt(5.0) - 1.0) / 2.0


def minimax_value(ratio: float) -> float:
    """The smallest c with `bound <= c D G / sqrt(T)` for every learning rate from base_lr to `ratio` * base_lr.

    Over all schedules, as T grows; `schedules.Minimax(ratio)` attains it. For R = `ratio` >= 3.5093 it is
    $sqrt(log R + 3.776839)$, and $sqrt(R) + 1/sqrt(R)$ for R <= 1.618 (linear decay). The worst case is half of it.
    ValueError: `ratio` below 1 or not finite.

    >>> [round(minimax_value(ratio), 4) for ratio in (1, 2, 10, 100, 1e6)]
    [2.0, 2.1104, 2.4656, 2.8952, 4.1943]
    """
    return profile(_ratio(ratio)).value


def minimax_base_lr(ratio: float, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The base_lr of `schedules.Minimax(ratio)`, as T grows; `hedged_base_lr` has it for any schedule and T.

    `distance` is the largest D that there may be, `distance` / `ratio` the least: with a D in between the learning
    rate is `distance` / D times too large. ValueError: an argument out of its range.

    >>> round(minimax_base_lr(100, 10_000), 6)
    0.017893
    """
    steps = _validate.integer("horizon", horizon, lowest=1)
    d, g = units(distance, gradient_bound)
    return profile(_ratio(ratio)).first_height * d / g / math.sqrt(steps)


def minimax_steps(ratio: float, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> FloatArray:
    """The learning rate of every step, float64 of shape (horizon,), for short horizons better than sampling h.

    With n = `horizon` + 1 and `q_t = n^(1/4) sqrt(2 H((t - 1) / n))`, H the integral of h from u to 1,
    `lr_t = (D / G) q_{t+1} (q_t - q_{t+1})`: the steps whose weights in the worst case are those of the limit (see the
    module). For `schedules.from_steps`; the arguments are those of `minimax_base_lr`. ValueError: an argument out of
    its range.

    >>> from anneal_sgd import schedules
    >>> schedule = schedules.from_steps(minimax_steps(100, 50))
    >>> round(schedule.base_lr, 4), round(schedule.tail_degree, 4)
    (0.2348, 1.0)
    """
    steps = _validate.integer("horizon", horizon, lowest=1)
    d, g = units(distance, gradient_bound)
    shape = profile(_ratio(ratio))
    u = np.arange(steps + 1) / (steps + 1)
    y = np.empty(u.size)
    begin = 0.0
    for phase, end in zip(shape.phases, shape.ends, strict=True):
        inside = (u >= begin) & (u < end)
        done = (u[inside] - begin) / (end - begin)
        if phase.exponential:
            y[inside] = phase.first * (phase.last / phase.first) ** done
        else:
            y[inside] = phase.first + (phase.last - phase.first) * done
        begin = end
    q = (steps + 1) ** 0.25 * math.sqrt(2.0 / shape.value) * y
    return np.asarray(d / g * q[1:] * (q[:-1] - q[1:]))


def polynomial_value(degree: float, ratio: float) -> float:
    """`minimax_value` of one schedule, `h = (1 - u)^degree`, at the base_lr that is best for it; `degree` > 0.

    As T grows; 5.148 for linear decay at ratio 100. ValueError: an argument out of its range.

    >>> round(polynomial_value(1, 100), 3), round(polynomial_value(4.05, 100), 3)
    (5.148, 3.727)
    """
    p = _validate.real("degree", degree, POSITIVE)
    return math.exp(_log_value(p, _width(ratio)))


def best_degree(ratio: float) -> float:
    """The degree p whose $(1 - u)^p$ has the smallest `polynomial_value` at that `ratio`; 1 at ratio 1.

    To 1e-6, for ratios above 1e8 to 1e-4: there the smallest value is flat to rounding. It tends to
    $log(ratio) - 0.714$. ValueError: `ratio` below 1 or not finite.

    >>> round(best_degree(100), 2), round(best_degree(1e6), 2)
    (4.05, 13.15)
    """
    width = _width(ratio)
    low, high = 0.5, 2.0 + width
    while high - low > 1e-7:
        left, right = high - _GOLDEN_CUT * (high - low), low + _GOLDEN_CUT * (high - low)
        low, high = (low, right) if _log_value(left, width) < _log_value(right, width) else (left, high)
    return 0.5 * (low + high)


def hedged_base_lr(
    schedule: ScheduleLike, horizon: int, *, ratio: float, distance: float = 1.0, gradient_bound: float = 1.0
) -> float:
    """The base_lr at which a schedule has the same worst case at both ends, base_lr and ratio * base_lr.

    It has the smallest worst case over all learning rates between where none is worse than the ends. Over few steps one
    may be (by a third at T = 2, by 2 % at T = 60), and with step decay by 1 % at T = 1000; another base_lr is up to 2 %
    better then. `minimax_base_lr` is its limit for `schedules.Minimax(ratio)`, as T grows. Time O(horizon), some forty
    times. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> round(hedged_base_lr(schedules.Linear(), 10_000, ratio=100) * 100, 3)  # times sqrt(horizon)
    0.202
    """
    width = _width(ratio)
    steps = Steps(schedule, horizon)
    d, g = units(distance, gradient_bound)
    tuned, reach = math.log(Weights(steps).tuned), Reach(steps)

    def excess(log_lr: float) -> float:
        low, high = best_start(reach, Setting(np.exp([log_lr, log_lr + width]), 1.0, 1.0), None).value
        return float(high - low)

    return math.exp(_rising_root(excess, tuned - width - 1.0, tuned + 1.0, within=1e-9)) * d / g


def _log_value(p: float, width: float) -> float:
    """The logarithm of polynomial_value, with log(ratio)."""

    def log_bound(log_tau: float) -> float:  # tau = rho base_lr sqrt(T) / sqrt(p + 1): k > 1 is best beyond 1
        if log_tau > 0.0:
            return 0.5 * math.log(p + 1.0) + math.log1p(0.5 / p) + log_tau / (2.0 * p + 1.0)
        return 0.5 * math.log(p + 1.0) - log_tau + math.log(0.5 + 0.5 * math.exp(2.0 * log_tau) * (p + 1.0) / p)

    return log_bound(_rising_root(lambda x: log_bound(x + width) - log_bound(x), -width - 1.0 / p, 1.0))


def _rising_root(f: Callable[[float], float], low: float, high: float, *, within: float = 0.0) -> float:
    """Where f, negative at `low` and positive at `high`, is 0."""
    while high - low > within and low < (middle := 0.5 * (low + high)) < high:
        low, high = (low, middle) if f(middle) > 0.0 else (middle, high)
    return 0.5 * (low + high)


def _width(ratio: float) -> float:
    """log(ratio), or so little that the ends can just be told apart."""
    return max(math.log(_ratio(ratio)), _NARROWEST)


def _ratio(ratio: float) -> float:
    return _validate.real("ratio", ratio, _AT_LEAST_ONE)
