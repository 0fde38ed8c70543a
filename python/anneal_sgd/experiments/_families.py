"""The families of problems over which worst cases are measured: G = 1, and minimisers at distance D = 1 of the start.

Each is a function of one parameter a > 0, the largest slope or curvature; docs/validate.md says what its worst a is.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from .. import problems

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


def problem(setting: str, parameter: float) -> problems.Problem:
    """The problem of a setting at its parameter a."""
    if setting == "spread":
        return spread(parameter)
    if setting == "norm":
        return norm(parameter)
    kind, _, gaussian = setting.partition("-")
    return (nonsmooth if kind == "nonsmooth" else smooth)(parameter, "gaussian" if gaussian else "rademacher")


def gradient_bound(setting: str, parameter: float) -> float:
    """G: the root of the largest E|g|^2 on the set."""
    return math.hypot(1.0, parameter) if setting.startswith("smooth") else 1.0
