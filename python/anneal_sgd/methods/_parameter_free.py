"""Methods whose step is set by distances, values or averages, where others need a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._validate import FINITE, NON_NEGATIVE, POSITIVE, shown
from ..programs import Symbol
from ._adaptive import Adam
from ._base import Method, of_kind
from ._following import Number
from ._sgd import SGD, unless_zero
from ._step import Moved, Next, Now


@dataclass(frozen=True)
class ScheduleFree(Method):
    """$y = (1 - momentum) z + momentum x$, $z <- z - lr u$, $x <- (1 - c) x + c z$, with z = x0 at first.

    u is what `method` makes of the stochastic gradient at y: `SGD` without momentum, or `Adam` with beta1 = 0; their
    weight_decay is that of y. x, an average, is what is recorded. $c = w_t / (w_1 + .. + w_t)$ with
    $w_t = t^degree lr_max^lr_power$, lr_max the largest lr so far; 0 where all w are 0. What x cannot take of c (z - x)
    is kept for the next step, as late ones are smaller than its spacing in float32. Meant for a learning rate that is
    constant after warmup. Defazio et al., NeurIPS 2024; the defaults are those of their package. Without a projection
    only. ValueError: momentum outside [0, 1), degree or lr_power < 0, another `method`.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0)
    >>> free = methods.ScheduleFree(momentum=0.5)
    >>> result = simulate(problem, schedules.Constant(), method=free, base_lr=0.5, horizon=2, replicates=1)
    >>> float(result.mean)  # x = 1, 0.5, 0.375
    0.0703125
    """

    method: Method = field(default_factory=SGD)
    momentum: Number = 0.9
    degree: float = 0.0
    lr_power: float = 2.0

    @property
    def _unconstrained(self) -> bool:
        return True

    def __post_init__(self) -> None:
        """Check everything."""
        inner = of_kind("method", self.method)
        if not ((isinstance(inner, SGD) and not inner.momentum) or (isinstance(inner, Adam) and not inner.beta1)):
            raise ValueError(f"method must be SGD without momentum or Adam with beta1=0, got {shown(inner)}")
        self._number("momentum")
        for name in ("degree", "lr_power"):
            self._number(name, NON_NEGATIVE)

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"ahead": np.zeros(d), "rest": np.zeros(d), "count": 0.0, "lr_max": 0.0, **self.method._state(d)}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        """`ahead` is z - x, `rest` what x could not take so far, and `count` 1 / c: all weights over the last one."""
        inner = dict(state)
        ahead, rest, count, lr_max = (inner.pop(name) for name in ("ahead", "rest", "count", "lr_max"))
        y = now.x + now.rest(self.momentum) * ahead
        u, after = self.method._step(Moved(now, y), **inner)
        top = np.maximum(lr_max, now.lr)
        if self.lr_power:
            count = count * (lr_max / unless_zero(top)) ** self.lr_power
        if self.degree:
            count = count * (1.0 - 1.0 / now.t) ** self.degree
        count = count + 1.0
        c = np.where(top > 0.0, 1.0 / count, 0.0) if self.lr_power else 1.0 / count
        ahead = ahead - now.lr * u
        move = c * ahead + rest
        x = now.x + move
        after = {"rest": move - (x - now.x), "ahead": (1.0 - c) * ahead, "count": count, "lr_max": top, **after}
        return Next(x), after


@dataclass(frozen=True)
class DoG(Method):
    """$x <- P(x - lr r g / sqrt(G + 1e-8))$: distance over gradients; lr = 1 is meant.

    r is the largest distance of the points so far, this one too, from x0, and at least `initial` (1 + |x0|); G is the
    sum of all $|g|^2$ so far, this one too. Ivgi, Hinder and Carmon, ICML 2023, who average the iterates
    (`iterate="average"`). ValueError: initial not > 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=1.0, x0=3.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.DoG(initial=0.5), base_lr=1.0, horizon=1, replicates=1
    ... )
    >>> float(result.mean)  # r = 0.5 (1 + 3)
    1.0
    """

    initial: float = 1e-6

    def __post_init__(self) -> None:
        """Check the number."""
        self._number("initial", POSITIVE)

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"x0": lambda x: x, "r": lambda x: self.initial * (1.0 + np.linalg.norm(x)), "total": 0.0}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        r = np.maximum(state["r"], np.linalg.norm(now.x - state["x0"]))
        total = state["total"] + np.sum(now.g * now.g)
        return r / np.sqrt(total + 1e-8) * now.g, {"x0": state["x0"], "r": r, "total": total}


@dataclass(frozen=True)
class PolyakMax(Method):
    """$x <- P(x - min(lr, (f(x) - minimum) / (c |g|^2)) g)$: the capped stochastic Polyak step; lr is the cap.

    On data f(x) is the mean loss of the batch that g is of, l2 included, as in the paper; elsewhere it is the objective
    itself, without noise, and g the stochastic gradient. `minimum`: f*, or what is known to be below it, of every batch
    on data; below it f(x) counts as it. Loizou et al., AISTATS 2021, whose c is 0.5 in practice. ValueError: c not > 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=4.0)
    >>> polyak = methods.PolyakMax(c=0.5)
    >>> result = simulate(problem, schedules.Constant(), method=polyak, base_lr=1.0, horizon=1, replicates=1)
    >>> float(result.mean)  # (2 x^2) / (0.5 (4 x)^2) = 1 / 4
    0.0
    """

    minimum: float = 0.0
    c: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._number("minimum", FINITE)
        self._number("c", POSITIVE)

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        above = np.maximum(now.value - self.minimum, 0.0)
        cap = self.c * now.lr * np.sum(now.g * now.g)
        return np.where(cap > above, above / unless_zero(cap), 1.0) * now.g, {}


@dataclass(frozen=True)
class NGN(Method):
    """$x <- P(x - lr / (1 + lr |g|^2 / (2 (f(x) - minimum))) g)$: the non-negative Gauss-Newton step.

    f(x) is that of `PolyakMax`: on data of the batch, as in the paper. Where it is not above `minimum` x stays. Orvieto
    and Xiao, 2024 (arXiv 2407.04358). ValueError: minimum not finite.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=2.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.NGN(), base_lr=0.5, horizon=1, replicates=1
    ... )
    >>> float(result.mean)  # 0.5 / (1 + 0.5 * 4 / 2) = 1 / 4, x = 1 - 2 / 4
    0.25
    """

    minimum: float = 0.0

    def __post_init__(self) -> None:
        """Check the number."""
        self._number("minimum", FINITE)

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        twice = 2.0 * np.maximum(now.value - self.minimum, 0.0)
        return twice / unless_zero(twice + now.lr * np.sum(now.g * now.g)) * now.g, {}
