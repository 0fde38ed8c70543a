"""The families of problems over which worst cases are measured: G = 1, and minimisers at distance D = 1 of the start.

Each is a function of one parameter a > 0, the largest slope or curvature; docs/validate.md says what its worst a is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from .. import _validate, problems
from .._validate import shown

Setting = Literal["nonsmooth", "smooth", "nonsmooth-gaussian", "smooth-gaussian", "spread", "norm"]

SETTINGS: tuple[Setting, ...] = ("nonsmooth", "smooth", "nonsmooth-gaussian", "smooth-gaussian", "spread", "norm")
SEVERAL_DIMENSIONS: tuple[Setting, ...] = ("spread", "norm")
LARGEST_PARAMETER = 0.5  # with a near 1 the non-smooth families would lose their noise
SPREAD = 10.0 ** (-np.arange(10.0) / 3.0)  # so close that the sum is the same within 0.5 % wherever the peak lies

_BOX = ("box", -1.0, 1.0)


def nonsmooth(slope: float, noise: problems.Noise) -> problems.Problem:
    """a |x|, g = a sign(x) + sqrt(1 - a^2) xi."""
    return problems.AbsoluteValue(slope=slope, noise=noise, second_moment=1.0, projection=_BOX, x0=1.0)


def smooth(curvature: float, noise: problems.Noise) -> problems.Problem:
    """a x^2 / 2, g = a x + xi."""
    return problems.Quadratic(curvature=curvature, noise=noise, noise_std=1.0, projection=_BOX, x0=1.0)


def spread(slope: float) -> problems.Problem:
    """a (|x_1| + 10^(-1/3) |x_2| + ... + 10^-3 |x_10|) in a box of half-diagonal 1, E|g|^2 = 1, Gaussian noise."""
    end = 1.0 / math.sqrt(SPREAD.size)
    box = ("box", -end, end)
    return problems.AbsoluteValue(slope=slope * SPREAD, noise="gaussian", second_moment=1.0, projection=box, x0=end)


def norm(slope: float) -> problems.Problem:
    """a |x|_2 in the unit disk, E|g|^2 = 1, Gaussian noise."""
    return problems.Custom(
        lambda x, a: a * np.linalg.norm(x),
        x0=[1.0, 0.0],
        parameters={"a": slope},
        noise="gaussian",
        noise_std=math.sqrt((1.0 - slope * slope) / 2.0),
        projection=("ball", 1.0),
        minimum=0.0,
    )


@dataclass(frozen=True)
class Family:
    """Problems f_a of one's own, 0 < a <= `largest`, of which `validate_rates` takes the worst at every learning rate.

    `problem`: a function of a that returns a problem, of one program, whose minimum is known and whose start is at most
    `distance` D from a minimiser. `gradient_bound`: G, of which the largest root of E|g|^2 on the set is at most 1 for
    all a, or a function of a. Both are the user's to state: theory's learning rates are scaled by D / G, the last by
    that at a = 0, and its bound is of them. `largest`: the worst a is looked for from there down to largest / sqrt(T).

    ValueError: a name that is none or another setting's, a problem that is no function, numbers that are not positive.

    >>> import numpy as np
    >>> from anneal_sgd import problems
    >>> def powers(a):
    ...     return problems.Custom(
    ...         lambda x, a: a * np.abs(x[0]) ** 1.5, x0=1.0, parameters={"a": a}, minimum=0.0,
    ...         projection=("box", -1.0, 1.0), noise="rademacher", noise_std=0.6,
    ...     )
    >>> Family("powers", powers).problem(0.25).value(1.0).item()  # |f'| <= 1.5 a <= 0.75, so that E g^2 < 1
    0.25
    """

    name: str
    problem: Callable[[float], problems.Problem]
    distance: float = 1.0
    gradient_bound: float | Callable[[float], float] = 1.0
    largest: float = LARGEST_PARAMETER

    def __post_init__(self) -> None:
        """Check everything."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name must be a text, got {shown(self.name)}")
        if not callable(self.problem):
            raise ValueError(f"problem must be a function of the parameter, got {shown(self.problem)}")
        for name in ("distance", "largest", *(() if callable(self.gradient_bound) else ("gradient_bound",))):
            object.__setattr__(self, name, _validate.real(name, getattr(self, name), _validate.POSITIVE))

    def bound_at(self, parameter: float) -> float:
        """G of the problem at a parameter."""
        return self.gradient_bound(parameter) if callable(self.gradient_bound) else self.gradient_bound

    @property
    def unit(self) -> float:
        """D / G, which learning rates are in."""
        return self.distance / self.bound_at(0.0)


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("nonsmooth", partial(nonsmooth, noise="rademacher")),
        Family("smooth", partial(smooth, noise="rademacher"), gradient_bound=partial(math.hypot, 1.0)),
        Family("nonsmooth-gaussian", partial(nonsmooth, noise="gaussian")),
        Family("smooth-gaussian", partial(smooth, noise="gaussian"), gradient_bound=partial(math.hypot, 1.0)),
        Family("spread", spread),
        Family("norm", norm),
    )
}
