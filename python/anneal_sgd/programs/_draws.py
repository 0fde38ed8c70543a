"""Random numbers that a function of `draw` may take: each call is a place of its own in the program."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _validate
from ._build import Builder
from ._ir import MOST_PLACES, Shape
from ._symbol import Symbol, refused

_ALPHA = _validate.Interval(low=0.0, high=2.0, open_low=True)
_MANY_DEGREES = 24.0  # of freedom, from which on u^(-2/nu) is too close to 1 in float32
_LEAST_EXPONENTIAL = 2.0**-26  # in place of 0, which float32 draws once in 2^25; less than this has probability 2^-26


class Draws:
    """What functions call `draw`. Each method takes `size`: None, one for every coordinate, or (), one for all.

    `gaussian`, `rademacher` and `uniform` have mean 0 and variance 1; the others are as their names say, unscaled.
    """

    def __init__(self, builder: Builder, *, of_start: bool) -> None:
        """Count places from 0, or from the last one down."""
        self._builder = builder
        self._place, self._next = (MOST_PLACES - 1, -1) if of_start else (0, 1)

    def _base(self, kind: str, size: Any) -> Symbol:
        shape: Shape = (self._builder.dimension,) if size is None else size
        if shape not in ((), (self._builder.dimension,)):
            raise refused(f"size={size!r} of a draw, which must be None or (),")
        if not 0 <= self._place < MOST_PLACES:
            raise ValueError(f"draws must be of at most {MOST_PLACES} places")
        value = self._builder.node("draw", attribute=(self._place, kind), shape=shape)
        self._place += self._next
        return Symbol(self._builder, value)

    def __getattr__(self, name: str) -> Any:
        """AttributeError: the methods there are."""
        known = ", ".join(own for own in vars(Draws) if not own.startswith("_"))
        raise AttributeError(f"draw must be asked for one of {known}, got {name!r}")

    def gaussian(self, size: Any = None) -> Symbol:
        """Mean 0 and variance 1."""
        return self._base("gaussian", size)

    def rademacher(self, size: Any = None) -> Symbol:
        """-1 or +1."""
        return self._base("rademacher", size)

    def uniform(self, size: Any = None) -> Symbol:
        """On $[-sqrt(3), sqrt(3)]$."""
        return self._base("uniform", size)

    def exponential(self, size: Any = None) -> Any:
        """Of mean 1: $-ln u$."""
        return -np.log(self._base("unit", size))

    def laplace(self, size: Any = None) -> Any:
        """Of density $exp(-|x|) / 2$, variance 2: a sign times an exponential draw."""
        sign = self.rademacher(size)
        return sign * self.exponential(size)

    def student_t(self, nu: float, size: Any = None) -> Any:
        """Student's t with nu > 0 degrees of freedom: $sqrt(nu (u^(-2/nu) - 1)) cos(2 pi v)$ (Bailey, 1994)."""
        n = _validate.real("nu", nu, _validate.POSITIVE)
        u, v = self._base("unit", size), self._base("unit", size)
        if n < _MANY_DEGREES:
            excess = u ** (-2.0 / n) - 1.0
        else:  # the same without cancellation, e^2z - 1 = 2 tanh z / (1 - tanh z)
            t = np.tanh(np.log(u) / -n)
            excess = 2.0 * t / (1.0 - t)
        return np.sqrt(n * excess) * np.cos((2.0 * math.pi) * v)

    def weibull(self, shape: float, size: Any = None) -> Any:
        """$(-ln u)^(1 / shape)$, shape > 0."""
        return self.exponential(size) ** (1.0 / _validate.real("shape", shape, _validate.POSITIVE))

    def pareto(self, alpha: float, size: Any = None) -> Any:
        """$u^(-1 / alpha) >= 1$, alpha > 0: $P(X > x) = x^-alpha$."""
        return self._base("unit", size) ** (-1.0 / _validate.real("alpha", alpha, _validate.POSITIVE))

    def stable(self, alpha: float, size: Any = None) -> Any:
        """Symmetric alpha-stable, 0 < alpha <= 2, characteristic function $exp(-|t|^alpha)$ (Chambers et al., 1976).

        With the angle $theta = (1 - u) pi / 2$, a random sign, and $w = -ln v$:

            sin(alpha theta) / cos(theta)^(1/alpha) * (cos((1 - alpha) theta) / w)^((1 - alpha) / alpha).

        Sines and cosines are written as sines of sums of positive
        terms in u, so that the tails, where u is small, are exact to rounding; from alpha = 0.5 on finite in float32.
        """
        a = _validate.real("alpha", alpha, _ALPHA)
        sign, u = self.rademacher(size), self._base("unit", size)
        quarter = math.pi / 2.0
        cosine = np.sin(quarter * u)
        sine = np.sin(quarter * (2.0 - a + a * u)) if a >= 1.0 else np.sin((quarter * a) * (1.0 - u))
        scaled = sign * (sine / cosine ** (1.0 / a))
        if a == 1.0:
            return scaled
        w = np.maximum(self.exponential(size), _LEAST_EXPONENTIAL)
        apart = abs(1.0 - a)
        other = np.sin(quarter * (1.0 - apart + apart * u))
        return scaled * (other / w) ** ((1.0 - a) / a)
