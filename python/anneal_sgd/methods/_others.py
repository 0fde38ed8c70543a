"""Methods for sampling and for saddle points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _validate
from .._validate import shown
from ..programs import Symbol
from ._base import Method
from ._following import Number
from ._step import Now


@dataclass(frozen=True)
class Langevin(Method):
    """$x <- P(x - lr g + sqrt(2 lr temperature) z)$, z standard Gaussian, drawn for every coordinate and step.

    Where lr is 0 x stays. With g = f' and small constant lr the law of x tends to about $exp(-f / temperature)$; on
    $l x^2 / 2$ its variance tends to $temperature / (l (1 - lr l / 2))$. Welling and Teh, ICML 2011. ValueError:
    temperature < 0.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=methods.Langevin(0.5), base_lr=0.5, horizon=50, replicates=10_000
    ... )
    >>> abs(float(result.mean) - 0.5 * 0.5 / 0.75) < 0.02
    True
    """

    temperature: Number = 1.0

    def __post_init__(self) -> None:
        """Check the number."""
        self._number("temperature")

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        if not self.temperature:
            return now.g, {}
        scale = np.where(now.lr > 0.0, np.sqrt(2.0 * now.number(self.temperature) / now.lr), 0.0)
        return now.g - scale * now.draw.gaussian(), {}


@dataclass(frozen=True)
class _Saddle(Method):
    """Methods of functions that some coordinates minimise and others maximise."""

    ascent: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the coordinates."""
        given = self.ascent if isinstance(self.ascent, Sequence | np.ndarray) else (self.ascent,)
        numbers = tuple(_validate.integer("ascent", k, lowest=0) for k in given)
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"ascent must be coordinates, each once, got {shown(self.ascent)}")
        object.__setattr__(self, "ascent", tuple(sorted(numbers)))

    def _state(self, d: int) -> Mapping[str, Any]:
        if any(k >= d for k in self.ascent):
            raise ValueError(f"ascent must be coordinates in 0 .. {d - 1}, got {shown(self.ascent)}")
        return {}

    def _signs(self, d: int) -> Any:
        signs = np.ones(d)
        signs[[*self.ascent]] = -1.0
        return signs


@dataclass(frozen=True)
class DescentAscent(_Saddle):
    """$x_i <- x_i - lr g_i$, and $x_i <- x_i + lr g_i$ for the coordinates of `ascent`, then the projection.

    `alternating`: these take the gradient where the others are already moved, before the projection, with noise of its
    own. On f = x_0 x_1 simultaneous steps leave the saddle and alternating ones circle it. ValueError: ascent is no
    number or numbers of coordinates.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> game = problems.Custom("x[0] * x[1]", x0=[1.0, 1.0])
    >>> result = simulate(
    ...     game, schedules.Constant(), method=methods.DescentAscent(ascent=1), base_lr=0.5, horizon=1, replicates=1,
    ...     metric={"x": "x[0]", "y": "x[1]"},
    ... )
    >>> result.mean.tolist()
    [0.5, 1.5]
    """

    alternating: bool = False

    def __post_init__(self) -> None:
        """Check both."""
        super().__post_init__()
        _validate.flag("alternating", self.alternating)

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        signs = self._signs(now.x.size)
        if not self.alternating:
            return signs * now.g, {}
        descending = (signs + 1.0) / 2.0
        after = now.gradient(now.x - now.lr * (descending * now.g))
        return descending * now.g - (1.0 - descending) * after, {}


@dataclass(frozen=True)
class ExtraGradient(_Saddle):
    """$y = x - lr s g(x)$, $x <- P(x - lr s g(y))$; s is -1 for the coordinates of `ascent` and 1 for all others.

    Both gradients have noise of their own. Korpelevich, 1976. Without a projection only, which y would need too.
    ValueError: ascent is no number or numbers of coordinates.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> game = problems.Custom("x[0] * x[1]", x0=[1.0, 1.0])
    >>> result = simulate(
    ...     game, schedules.Constant(), method=methods.ExtraGradient(ascent=1), base_lr=0.5, horizon=1, replicates=1,
    ...     metric={"x": "x[0]", "y": "x[1]"},
    ... )
    >>> result.mean.tolist()  # y = (0.5, 1.5)
    [0.25, 1.25]
    """

    @property
    def _unconstrained(self) -> bool:
        return True

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        signs = self._signs(now.x.size)
        return signs * now.gradient(now.x - now.lr * (signs * now.g)), {}
