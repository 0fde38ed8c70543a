"""SGD and what is made of its gradient alone: its sign, its direction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _validate
from ._base import Method
from ._following import Number

if TYPE_CHECKING:
    from ..programs import Symbol
    from ._step import Now


@dataclass(frozen=True)
class SGD(Method):
    """$v <- momentum v + g$, $x <- P(x - lr v)$; g is the stochastic gradient at x plus weight_decay x, v = 0 at first.

    With `nesterov` the direction is $g + momentum v$ in place of v. As PyTorch's SGD (without dampening); Polyak, 1964,
    and Sutskever et al., ICML 2013. The default, without all three, is $x <- P(x - lr g)$. ValueError: momentum
    outside [0, 1), weight_decay < 0, nesterov without momentum.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> call = {"base_lr": 0.25, "horizon": 3, "replicates": 1, "record_at": [0, 1, 2, 3]}
    >>> problem = problems.Quadratic(curvature=1.0)
    >>> heavy = simulate(problem, schedules.Constant(), method=methods.SGD(momentum=0.5), **call)
    >>> heavy.mean.tolist()  # x = 1, 0.75, 0.4375, 0.171875
    [0.5, 0.28125, 0.095703125, 0.0147705078125]
    """

    momentum: Number = 0.0
    nesterov: bool = False
    weight_decay: Number = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._number("momentum")
        self._number("weight_decay")
        if _validate.flag("nesterov", self.nesterov) and not self.momentum:
            raise ValueError("nesterov must go with momentum > 0, got momentum 0")

    @property
    def _is_plain(self) -> bool:
        return not self.momentum and not self.weight_decay

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"v": np.zeros(d)} if self.momentum else {}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        g = decayed(now, self.weight_decay)
        if not self.momentum:
            return g, {}
        momentum = now.number(self.momentum)
        v = momentum * state["v"] + g
        return momentum * v + g if self.nesterov else v, {"v": v}


def decayed(now: Now, weight_decay: Number) -> Any:
    """The gradient of f(x) + weight_decay |x|^2 / 2; on data intercepts do not decay."""
    return now.number(weight_decay) * now.decaying * now.x + now.g if weight_decay else now.g


@dataclass(frozen=True)
class OfMeanGradient(Method):
    """What moves along $m <- momentum m + (1 - momentum) g$, m = 0 at first; along g where momentum is 0."""

    momentum: Number = 0.0

    def __post_init__(self) -> None:
        """Check the number."""
        self._number("momentum")

    def _state(self, d: int) -> Mapping[str, Any]:
        return {"m": np.zeros(d)} if self.momentum else {}

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        if not self.momentum:
            return self._along(now.g), {}
        m = now.number(self.momentum) * state["m"] + now.rest(self.momentum) * now.g
        return self._along(m), {"m": m}

    @abstractmethod
    def _along(self, m: Symbol) -> Any:
        """The direction."""


@dataclass(frozen=True)
class SignSGD(OfMeanGradient):
    """$m <- momentum m + (1 - momentum) g$, $x <- P(x - lr sign(m))$, coordinate by coordinate, m = 0 at first.

    Without momentum, the default, the sign of the gradient itself; a coordinate whose m is 0 stays. Bernstein et al.,
    ICML 2018, signSGD and Signum. ValueError: momentum outside [0, 1).

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=[1.0, 100.0])
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.SignSGD(), base_lr=0.5, horizon=2, replicates=1
    ... )
    >>> float(result.mean)  # (1, 1), (0.5, 0.5), (0, 0)
    0.0
    """

    def _along(self, m: Symbol) -> Any:
        return np.sign(m)


@dataclass(frozen=True)
class NormalizedSGD(OfMeanGradient):
    """$m <- momentum m + (1 - momentum) g$, $x <- P(x - lr m / |m|)$ with the Euclidean norm, m = 0 at first.

    Where m is 0 x stays. Without momentum, the default, every step is lr long. Nesterov, 1984; with momentum Cutkosky
    and Mehta, ICML 2020. ValueError: momentum outside [0, 1).

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0, x0=[3.0, 4.0])
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.NormalizedSGD(), base_lr=2.5, horizon=2, replicates=1,
    ...     record_at=[0, 1, 2], dtype="float64",
    ... )
    >>> result.mean.tolist()  # |x| = 5, 2.5, 0
    [12.5, 3.125, 0.0]
    """

    def _along(self, m: Symbol) -> Any:
        return m / unless_zero(np.linalg.norm(m))


def unless_zero(x: Any) -> Any:
    """A number >= 0 to divide by: 1 where it is 0."""
    return np.where(x > 0.0, x, 1.0)
