"""A bound on the last iterate that holds for every start k of the analysis, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate
from .._arrays import FloatArray
from .._validate import POSITIVE, Interval
from ._steps import Steps

_Sums = TypeVar("_Sums")
_SIZE = Interval(low=1e-100, high=1e100)  # of D and G, whose squares and ratios are computed with


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound on the mean suboptimality of the last iterate; every array has the shape of the learning rates asked for.

    - `base_lr`: float64, the learning rates the bound is for
    - `start`: int64, the k in 1..horizon+1 with the smallest bound; the bound uses nothing of the trajectory before x_k
    - `distance_term`: float64, `D^2 / (2 W_k)`, falls with base_lr
    - `noise_term`: float64, `(G^2 / 2) * [...]`, grows with base_lr
    - `value`: float64, their sum, the bound
    """

    base_lr: FloatArray
    start: NDArray[np.int64]
    distance_term: FloatArray
    noise_term: FloatArray

    @property
    def value(self) -> FloatArray:
        """The bound: the sum of its two terms."""
        return np.asarray(self.distance_term + self.noise_term)


@dataclass(frozen=True, eq=False)
class Setting:
    """The learning rates, and D and G."""

    base_lr: FloatArray
    distance: float
    gradient_bound: float

    @classmethod
    def of(
        cls,
        tuned: Tuned,
        base_lr: ArrayLike | None,
        misspecification: ArrayLike | None,
        distance: float,
        gradient_bound: float,
    ) -> Setting:
        """What the arguments say; ValueError: they say it wrongly."""
        if (base_lr is None) == (misspecification is None):
            raise ValueError(
                "base_lr must be given or misspecification, exactly one of the two, "
                f"got base_lr={base_lr!r} and misspecification={misspecification!r}"
            )
        d, g = units(distance, gradient_bound)
        if base_lr is not None:
            return cls(_validate.real_array("base_lr", base_lr, POSITIVE, max_ndim=1), d, g)
        assert misspecification is not None  # one of the two is given
        rho = _validate.real_array("misspecification", misspecification, POSITIVE, max_ndim=1)
        with np.errstate(over="ignore"):
            rates = rho * (tuned.tuned * d / g)
        return cls(_validate.real_array("misspecification times tuned_base_lr", rates, POSITIVE, max_ndim=1), d, g)


def units(distance: float, gradient_bound: float) -> tuple[float, float]:
    """D and G, checked."""
    d, g = _validate.real("distance", distance, _SIZE), _validate.real("gradient_bound", gradient_bound, _SIZE)
    return d, g


class Tuned(Protocol):
    """What knows the tuned learning rate."""

    @property
    def tuned(self) -> float:
        """tuned_base_lr for D = G = 1."""
        ...


class Starts(Protocol[_Sums]):
    """An analysis: what it sums over the steps from every start on, and the two terms of the bound that follow."""

    @property
    def steps(self) -> Steps:
        """The values of the schedule."""
        ...

    def blocks(self) -> Iterator[tuple[int, _Sums]]:
        """`k, sums` of the starts k, k + 1, ..., from the last start, horizon + 1, to the first."""
        ...

    def terms(
        self, sums: _Sums, base_lr: float, distance: float, gradient_bound: float
    ) -> tuple[FloatArray, FloatArray]:
        """Distance term and noise term of the starts of a block."""
        ...


def best_start(starts: Starts[_Sums], setting: Setting, start: int | None) -> Bound:
    """The smallest bound over all starts, the first where several tie, or that of the one given."""
    last = starts.steps.horizon + 1
    fixed = None if start is None else _validate.integer("start", start, lowest=1, highest=last)
    rates = setting.base_lr
    least = np.full(rates.shape, np.inf)
    best = np.empty(rates.shape, dtype=np.int64)
    distance_term, noise_term = np.empty(rates.shape), np.empty(rates.shape)
    for k, sums in starts.blocks():
        for i, rate in np.ndenumerate(rates):
            by_distance, by_noise = starts.terms(sums, rate, setting.distance, setting.gradient_bound)
            value = by_distance + by_noise
            at = int(np.argmin(value)) if fixed is None else fixed - k
            if 0 <= at < value.size and value[at] <= least[i]:
                least[i], best[i] = value[at], k + at
                distance_term[i], noise_term[i] = by_distance[at], by_noise[at]
    return Bound(base_lr=rates, start=best, distance_term=distance_term, noise_term=noise_term)
