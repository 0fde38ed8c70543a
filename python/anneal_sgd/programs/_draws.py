"""Random numbers that a function of `draw` may take: each call is a place of its own in the program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _validate
from ._build import Builder
from ._ir import Shape
from ._symbol import Symbol, refused

_ALPHA = _validate.Interval(low=0.0, high=2.0, open_low=True)


class Draws:
    """What a noise function calls `draw`. Each method takes `size`: None, one for every coordinate, or (), one for all.

    `gaussian`, `rademacher` and `uniform` have mean 0 and variance 1; the others are as their names say, unscaled.
    """

    def __init__(self, builder: Builder) -> None:
        """Count places from 0."""
        self._builder, self._places = builder, 0

    def _base(self, kind: str, size: Any) -> Symbol:
        shape: Shape = (self._builder.dimension,) if size is None else size
        if shape not in ((), (self._builder.dimension,)):
            raise refused(f"size={size!r} of a draw, which must be None or (),")
        value = self._builder.node("draw", attribute=(self._places, kind), shape=shape)
        self._places += 1
        return Symbol(self._builder, value)

    def gaussian(self, size: Any = None) -> Symbol:
        """Mean 0 and variance 1."""
        return self._base("gaussian", size)

    def rademacher(self, size: Any = None) -> Symbol:
        """-1 or +1."""
        return self._base("rademacher", size)

    def uniform(self, size: Any = None) -> Symbol:
        """On [-sqrt(3), sqrt(3)]."""
        return self._base("uniform", size)

    def exponential(self, size: Any = None) -> Any:
        """Of mean 1: -ln u."""
        return -np.log(self._base("unit", size))

    def laplace(self, size: Any = None) -> Any:
        """Of density exp(-|x|) / 2, variance 2: a sign times an exponential draw."""
        sign = self.rademacher(size)
        return sign * self.exponential(size)

    def student_t(self, nu: float, size: Any = None) -> Any:
        """Student's t with nu > 0 degrees of freedom: sqrt(nu (u^(-2/nu) - 1)) cos(2 pi v) (Bailey, 1994)."""
        n = _validate.real("nu", nu, _validate.POSITIVE)
        u, v = self._base("unit", size), self._base("unit", size)
        return np.sqrt(n * (u ** (-2.0 / n) - 1.0)) * np.cos((2.0 * math.pi) * v)

    def weibull(self, shape: float, size: Any = None) -> Any:
        """(-ln u)^(1 / shape), shape > 0."""
        return self.exponential(size) ** (1.0 / _validate.real("shape", shape, _validate.POSITIVE))

    def pareto(self, alpha: float, size: Any = None) -> Any:
        """u^(-1 / alpha) >= 1, alpha > 0: P(X > x) = x^-alpha."""
        return self._base("unit", size) ** (-1.0 / _validate.real("alpha", alpha, _validate.POSITIVE))

    def stable(self, alpha: float, size: Any = None) -> Any:
        """Symmetric alpha-stable, 0 < alpha <= 2, characteristic function exp(-|t|^alpha) (Chambers et al., 1976)."""
        a = _validate.real("alpha", alpha, _ALPHA)
        angle = math.pi * (self._base("unit", size) - 0.5)
        if a == 1.0:
            return np.sin(angle) / np.cos(angle)
        w = self.exponential(size)
        last = np.maximum(np.cos((1.0 - a) * angle), 0.0) / w
        return np.sin(a * angle) / np.maximum(np.cos(angle), 0.0) ** (1.0 / a) * last ** ((1.0 - a) / a)
