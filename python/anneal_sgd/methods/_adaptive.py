"""Methods that divide by what gradients have been so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _validate
from .._validate import NON_NEGATIVE, POSITIVE
from ..programs import Symbol
from ._base import Method
from ._following import Number
from ._sgd import decayed
from ._step import Now


@dataclass(frozen=True)
class AdaGrad(Method):
    """$s <- s + g^2$, $x <- P(x - lr g / (sqrt(s) + epsilon))$, coordinate by coordinate, s = `initial` at first.

    g is the stochastic gradient at x plus weight_decay x. Duchi, Hazan and Singer, JMLR 2011; as PyTorch's Adagrad
    without lr_decay, for which a schedule is. ValueError: a number below 0, or epsilon and initial both 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=3.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.AdaGrad(), base_lr=0.5, horizon=1, replicates=1
    ... )
    >>> float(result.mean)  # 3 |x|: the first step is lr long
    1.5
    """

    epsilon: float = 1e-10
    initial: float = 0.0
    weight_decay: Number = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("epsilon", "initial"):
            self._number(name, NON_NEGATIVE)
        self._number("weight_decay")
        if not self.epsilon and not self.initial:
            raise ValueError("epsilon must be above 0 where initial is 0, got 0")

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"s": np.full(d, self.initial)}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        g = decayed(now, self.weight_decay)
        s = state["s"] + g * g
        return g / (np.sqrt(s) + self.epsilon), {"s": s}


@dataclass(frozen=True)
class AdaGradNorm(Method):
    """$s <- s + |g|^2$, $x <- P(x - lr g / sqrt(s))$, s one number, at first the square of `initial`.

    Ward, Wu and Bottou, ICML 2019; Streeter and McMahan, 2010. ValueError: initial not > 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0, x0=[3.0, 4.0])
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.AdaGradNorm(initial=12.0), base_lr=13.0, horizon=1,
    ...     replicates=1,
    ... )
    >>> float(result.mean)  # lr / sqrt(12^2 + 5^2) = 1
    0.0
    """

    initial: float = 0.01

    def __post_init__(self) -> None:
        """Check the number."""
        self._number("initial", POSITIVE)

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"s": self.initial**2}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        s = state["s"] + np.sum(now.g * now.g)
        return now.g / np.sqrt(s), {"s": s}


@dataclass(frozen=True)
class RMSProp(Method):
    """$s <- alpha s + (1 - alpha) g^2$, $u = g / (sqrt(s) + epsilon)$, $x <- P(x - lr u)$, coordinate by coordinate.

    All begins at 0; g is the stochastic gradient at x plus weight_decay x. `centered`: $s - a^2$ under the root, with
    $a <- alpha a + (1 - alpha) g$; 0 where rounding makes it negative. With momentum $b <- momentum b + u$ in place of
    u. Tieleman and Hinton, 2012 (lecture 6e of a course); as PyTorch's RMSprop. ValueError: alpha or momentum outside
    [0, 1), epsilon not > 0, weight_decay < 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=3.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.RMSProp(alpha=0.75), base_lr=0.25, horizon=1, replicates=1
    ... )
    >>> round(float(result.mean), 6)  # 3 |x|: the first step is lr / sqrt(1 - alpha) long
    1.5
    """

    alpha: Number = 0.99
    epsilon: float = 1e-8
    momentum: Number = 0.0
    centered: bool = False
    weight_decay: Number = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("alpha", "momentum", "weight_decay"):
            self._number(name)
        self._number("epsilon", POSITIVE)
        _validate.flag("centered", self.centered)

    def _state(self, d: int) -> Mapping[str, Any]:
        names = ["s", *(["a"] if self.centered else []), *(["b"] if self.momentum else [])]
        return {name: np.zeros(d) for name in names}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        g = decayed(now, self.weight_decay)
        alpha, rest = now.number(self.alpha), now.rest(self.alpha)
        s = alpha * state["s"] + (rest * g) * g
        after = {"s": s}
        if self.centered:
            a = after["a"] = alpha * state["a"] + rest * g
            s = np.maximum(s - a * a, 0.0)
        u = g / (np.sqrt(s) + self.epsilon)
        if self.momentum:
            u = after["b"] = now.number(self.momentum) * state["b"] + u
        return u, after


@dataclass(frozen=True)
class Adam(Method):
    """$m <- beta1 m + (1 - beta1) g$, $v <- beta2 v + (1 - beta2) g^2$, $x <- P(x - lr m' / (sqrt(v') + epsilon))$.

    Coordinate by coordinate, $m' = m / (1 - beta1^t)$, $v' = v / (1 - beta2^t)$ in step t = 1, 2, ..; all begins at 0.
    g is the stochastic gradient at x plus weight_decay x; with `decoupled` g is the stochastic gradient alone, and
    $weight_decay x$ is added to what lr multiplies, which is AdamW. `amsgrad`: the largest v so far in place of v.
    $1 - beta^t$ is summed as m is, $c <- beta c + (1 - beta)$: where a beta follows a schedule, m' and v' so stay means
    with weights that add up to 1, while PyTorch and optax take $1 - beta_t^t$ of the beta at hand. Kingma and Ba, ICLR
    2015; Reddi et al., ICLR 2018; Loshchilov and Hutter, ICLR 2019; as PyTorch's Adam and AdamW. ValueError: beta1 or
    beta2 outside [0, 1), epsilon not > 0, weight_decay < 0, decoupled without weight_decay.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.AbsoluteValue(slope=3.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.Adam(), base_lr=0.25, horizon=2, replicates=1,
    ...     dtype="float64",
    ... )
    >>> round(float(result.mean), 6)  # 3 |x|: where all gradients are equal, every step is lr long
    1.5
    """

    beta1: Number = 0.9
    beta2: Number = 0.999
    epsilon: float = 1e-8
    amsgrad: bool = False
    weight_decay: Number = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("beta1", "beta2", "weight_decay"):
            self._number(name)
        self._number("epsilon", POSITIVE)
        _validate.flag("amsgrad", self.amsgrad)
        if _validate.flag("decoupled", self.decoupled) and not self.weight_decay:
            raise ValueError("decoupled must go with weight_decay > 0, got weight_decay 0")

    def _state(self, d: int) -> Mapping[str, Any]:
        parts: dict[str, Any] = {}
        if self.beta1:
            parts |= {"m": np.zeros(d), "c1": 0.0}
        if self.beta2:
            parts |= {"v": np.zeros(d), "c2": 0.0}
        return parts | ({"largest": np.zeros(d)} if self.amsgrad else {})

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        g = now.g if self.decoupled else decayed(now, self.weight_decay)
        after: dict[str, Any] = {}
        m, v = g, g * g
        if self.beta1:
            beta, rest = now.number(self.beta1), now.rest(self.beta1)
            m = after["m"] = beta * state["m"] + rest * g
            after["c1"] = beta * state["c1"] + rest
        if self.beta2:
            beta, rest = now.number(self.beta2), now.rest(self.beta2)
            v = after["v"] = beta * state["v"] + (rest * g) * g
            after["c2"] = beta * state["c2"] + rest
        if self.amsgrad:
            v = after["largest"] = np.maximum(state["largest"], v)
        if self.beta2:
            v = v * (1.0 / after["c2"])  # one division for all coordinates
        size = np.sqrt(v) + self.epsilon
        u = m / (after["c1"] * size if self.beta1 else size)
        return now.number(self.weight_decay) * now.decaying * now.x + u if self.decoupled else u, after
