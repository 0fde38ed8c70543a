"""How much misspecification schedules forgive, from the statistics of a campaign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import schedules, theory
from ..experiments._peak import END, WINDOW, peak
from ..schedules import Schedule

if TYPE_CHECKING:
    from ._result import CampaignResult

Floats: TypeAlias = NDArray[np.float64]

LOSSES = (0.1, 0.5, 1.0)
_SPAN = 4.0  # ratio of the learning rates over which a local exponent is fitted
_REDRAWS = 400  # of the bootstrap
_FIT_ERROR = 0.1  # relative, of a fitted maximum
_EQUAL_STEPS = 0.05  # relative, of the logarithms of a parameter along which a maximum may be fitted
_LONGEST_BOUND = 10_000_000  # steps up to which the bound, which takes arrays of that length, is evaluated


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval, from a parametric bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class RobustnessRow:
    """One schedule at one horizon: the worst mean over all problems, against the learning rate."""

    schedule: str
    horizon: int
    rates: list[float]
    """Learning rates, or rho in a campaign that is in rho."""
    worst: list[float]
    """Largest mean over the problems; inf where a trajectory diverged."""
    stderr: list[float]
    worst_problem: list[int]
    """Number of the problem of the largest mean."""
    best_rate: float
    best: float
    """The smallest of `worst`."""
    tolerated: list[Interval]
    """By which factor a learning rate may exceed `best_rate` for a loss of 10, 50 and 100 %; inf past the grid."""
    predicted: list[float]
    """The same of the last-iterate bound, NaN where it is not known."""
    local_rates: list[float]
    local_exponents: list[float]
    """Slopes of log worst against log rate, over a factor of 4 about `local_rates`."""
    exponent: Interval
    """The largest of them: how fast things get worse at worst."""
    predicted_exponent: float
    """The same of the bound."""
    asymptotic_exponent: float
    """1 / (2 p + 1)."""
    bound: list[float]
    """The bound at `rates` for D = G = 1, where they are rho; else empty."""


def robustness(result: CampaignResult) -> list[RobustnessRow]:
    """How each schedule's worst mean over the problems depends on the learning rate, the most forgiving first.

    Looks at the first metric at the last recorded step; of an accuracy at its complement. Where the problems differ in
    one parameter, in equal ratios, the maximum over it is that of a cubic fitted to the logarithms around it. Rows are
    in the order of the worst exponent, then of the tolerated factors. ValueError: fewer than two learning rates, or
    none computed yet.
    """
    data = _Curves(result)
    rows = [data.row(s, h) for s in range(len(data.schedules)) for h in range(len(data.horizons))]
    return sorted(
        rows, key=lambda row: (row.horizon, _last(row.exponent.value), [-t.value for t in reversed(row.tolerated)])
    )


def schedule_of(name: str) -> Schedule | None:
    """The schedule of that name; None for a table, whose values are not known."""
    try:
        return schedules.by_name(name)
    except ValueError:
        return None


class _Curves:
    """Means of shape (problems, schedules, horizons, rates)."""

    def __init__(self, result: CampaignResult) -> None:
        told = result.description
        self.schedules, self.horizons, self.rates = told["schedules"], told["horizons"], np.array(told["rates"])
        self.degrees = told["tail_degrees"]
        self.in_rho = told["lr_name"] == "rho"
        if len(self.rates) < 2:
            raise ValueError(
                "the campaign must have two learning rates or more to say what one that is too large costs"
            )
        self.order = np.argsort(self.rates)
        self.rates = self.rates[self.order]
        metrics = told["metrics"]
        cells = result._cells.reshape(
            -1, len(self.schedules), len(self.horizons), len(self.rates), _records(told), len(metrics)
        )
        last = cells[..., self.order, -1, 0]
        count, mean = last["count"], last["mean"]
        if metrics[0] == "test_accuracy":
            mean = 1.0 - mean
        error = np.sqrt(last["m2"] / np.maximum(count - 1, 1) / np.maximum(count, 1))
        self.known = np.all(count + last["diverged"] > 0, axis=0)
        if not self.known.any():
            raise ValueError("nothing of the campaign has been computed yet")
        diverged = (last["diverged"] > 0) | (count == 0)
        self.mean, self.error = np.where(diverged, np.inf, mean), np.where(diverged, 0.0, error)
        self.fits = _equal_ratios(told["axes"], len(self.mean))

    def worst(self, mean: Floats) -> Floats:
        """Over the problems, the last axis: of (..., problems)."""
        largest: Floats = mean.max(axis=-1)
        if not self.fits:
            return largest
        middle = np.clip(mean.argmax(axis=-1), END, mean.shape[-1] - 1 - END)
        window = np.take_along_axis(mean, middle[..., None] + np.arange(-END, END + 1), axis=-1)
        usable = np.all((window > 0) & np.isfinite(window), axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = np.exp(peak(np.log(np.where(usable[..., None], window, 1.0)))[0])
        with np.errstate(invalid="ignore"):  # inf - inf
            near = np.abs(fitted - largest) <= _FIT_ERROR * largest  # else a cliff, which no cubic follows
        return np.asarray(np.where(usable & near, fitted, largest))

    def row(self, s: int, h: int) -> RobustnessRow:
        """Of one schedule and horizon."""
        known = self.known[s, h]
        rates = self.rates[known]
        mean, error = self.mean[:, s, h, known].T, self.error[:, s, h, known].T  # (rates, problems)
        rng = np.random.default_rng([s, h])
        noise = rng.standard_normal((_REDRAWS, *mean.shape))
        redrawn = np.maximum(mean + error * noise, 0.1 * np.where(np.isfinite(mean), mean, 1.0))
        worst, drawn = self.worst(mean), self.worst(redrawn)
        starts, slopes = local_exponents(rates, worst)
        drawn_slopes = [local_exponents(rates, w)[1] for w in drawn]
        schedule, horizon = schedule_of(self.schedules[s]), self.horizons[h]
        bound: list[float] = []
        predicted, predicted_exponent = [math.nan] * len(LOSSES), math.nan
        if schedule is not None and horizon <= _LONGEST_BOUND:
            predicted = [theory.tolerated_misspecification(schedule, horizon, loss=loss) for loss in LOSSES]
            if self.in_rho:
                values = theory.last_iterate_bound(schedule, horizon, misspecification=rates).value
                bound, predicted_exponent = values.tolist(), _largest(local_exponents(rates, values)[1])
        finite = np.where(np.isfinite(drawn), drawn, np.nan)
        return RobustnessRow(
            schedule=self.schedules[s],
            horizon=horizon,
            rates=rates.tolist(),
            worst=worst.tolist(),
            stderr=np.nan_to_num(finite.std(axis=0)).tolist(),
            worst_problem=mean.argmax(axis=-1).tolist(),
            best_rate=float(rates[worst.argmin()]),
            best=float(worst.min()),
            tolerated=[
                _interval(tolerated(rates, worst, loss), [tolerated(rates, w, loss) for w in drawn]) for loss in LOSSES
            ],
            predicted=predicted,
            local_rates=starts.tolist(),
            local_exponents=slopes.tolist(),
            exponent=_unbiased(_largest(slopes), [_largest(d) for d in drawn_slopes]),
            predicted_exponent=predicted_exponent,
            asymptotic_exponent=_asymptotic(self.degrees[s]),
            bound=bound,
        )


def tolerated(rates: Floats, values: Floats, loss: float) -> float:
    """The factor above the best rate up to which values stay within 1 + loss times the best; inf past the grid.

    Between two rates, by a straight line in the logarithms.

    >>> tolerated(np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.0, 1.0, 2.0, 4.0]), 1.0)
    2.0
    """
    best = int(values.argmin())
    limit = (1.0 + loss) * values[best]
    past = np.flatnonzero(~(values[best:] <= limit * (1 + 1e-12)))
    if not past.size:
        return math.inf
    k = best + int(past[0])
    below, above = values[k - 1], values[k]
    if not math.isfinite(above) or below <= 0.0:
        return float(rates[k - 1] / rates[best])
    share = math.log(limit / below) / math.log(above / below)
    return float(rates[k - 1] / rates[best] * (rates[k] / rates[k - 1]) ** share)


def local_exponents(rates: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Least-squares slopes of log values over a factor of 4 in the rates, right of the best; and the middles.

    >>> middles, slopes = local_exponents(2.0 ** np.arange(6), 2.0 ** (0.5 * np.arange(6)))
    >>> middles.tolist(), slopes.round(6).tolist()
    ([2.0, 4.0, 8.0, 16.0], [0.5, 0.5, 0.5, 0.5])
    """
    middles, slopes = [], []
    for i in range(int(values.argmin()), len(rates)):
        j = int(np.searchsorted(rates, rates[i] * _SPAN * (1 - 1e-9)))
        if j >= len(rates):
            break
        x, y = np.log(rates[i : j + 1]), values[i : j + 1]
        centred = x - x.mean()
        usable = np.isfinite(y).all() and (y > 0).all()
        slopes.append(float(np.sum(np.log(y) * centred) / np.sum(centred**2)) if usable else math.nan)
        middles.append(math.sqrt(rates[i] * rates[j]))
    return np.array(middles), np.array(slopes)


def _records(told: dict[str, Any]) -> int:
    return int(math.prod(len(values) for name, values in told["cell_axes"] if name != "metric"))


def _equal_ratios(axes: Sequence[Any], problems: int) -> bool:
    """Whether the problems lie along one parameter in equal ratios, enough of them to fit a maximum."""
    own = [values for name, values in axes if name not in ("schedule", "horizon", "base_lr", "rho")]
    if len(own) != 1 or problems < WINDOW or len(own[0]) != problems:
        return False
    values = np.array(own[0], dtype=object)
    if not all(isinstance(v, int | float) and v > 0 for v in values):
        return False
    steps = np.diff(np.log(values.astype(np.float64)))
    return bool(np.all(np.abs(steps / steps.mean() - 1.0) < _EQUAL_STEPS))


def _interval(value: float, redrawn: Sequence[float]) -> Interval:
    drawn = np.sort(np.array(redrawn))
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Interval(value, math.nan, math.nan)
    low, high = drawn[int(0.025 * (drawn.size - 1))], drawn[math.ceil(0.975 * (drawn.size - 1))]
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _unbiased(value: float, redrawn: Sequence[float]) -> Interval:
    """Less what selecting the largest of noisy values adds, which redrawing shows; ±1.96 standard deviations."""
    drawn = np.array(redrawn)
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    centre, half = 2.0 * value - float(drawn.mean()), 1.96 * float(drawn.std())
    return Interval(centre, centre - half, centre + half)


def _largest(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else math.nan


def _last(value: float) -> float:
    """NaN after all numbers."""
    return math.inf if math.isnan(value) else value


def _asymptotic(degree: float | None) -> float:
    return float(theory.asymptotic_exponent(math.inf if degree is None else degree))
