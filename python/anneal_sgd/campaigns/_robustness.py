"""How much misspecification schedules forgive, from the statistics of a campaign."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _validate, schedules, theory
from .._peak import END, WINDOW, bend, crest, peak
from .._plot import ERRORS, LABELS, QUANTILE, Line, draw
from .._validate import shown
from ..schedules import Schedule
from ._curves import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ._result import CampaignResult

Floats: TypeAlias = NDArray[np.float64]

LOSSES = (0.1, 0.5, 1.0)
COST_RATIO = 100.0
_SPAN = 4.0  # ratio of the learning rates over which a local exponent is fitted, where they lie that close
_REDRAWS = 400  # of the bootstrap
_OUTER, _INNER = 100, 40  # of the bootstrap of a bootstrap,
_FEWEST_OUTER, _MOST_NUMBERS = 20, 20_000_000  # which takes fewer where there are many means
_FIT_ERROR = 0.1  # relative, of a fitted maximum
_SHARPEST = 0.05  # fall of the logarithm from one problem to the next up to which a cubic is within about 1 %
_EQUAL_STEPS = 0.05  # relative, of the logarithms of a parameter along which a maximum may be fitted
_ABOVE_ONE = _validate.Interval(low=1.0, open_low=True)
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
    """Learning rates, or rho in a campaign that is in rho, ascending; those of which all problems are known."""
    worst: list[float]
    """Largest mean over the problems; inf where a trajectory diverged."""
    stderr: list[float]
    worst_problem: list[int]
    """Number of the problem of the largest mean."""
    best_rate: float
    best: float
    """The least of `worst` against `rates`: of the parabola in logarithms through the smallest and its neighbours."""
    at_edge: bool
    """Whether the best rate is the first or the last: a better one may lie beyond, and nothing below is certain."""
    tolerated: list[Interval]
    """By which factor a learning rate may exceed `best_rate` for a loss of 10, 50 and 100 %; inf past the grid, NaN
    where everything diverged, or the best is negative, as values f(x) may be. The interval holds noise and what the
    grid of learning rates may be off."""
    ratio: float
    """That asked for, or as far above the best rates as the grids of all schedules of the horizon reach."""
    cost: Interval
    """The worst mean at `ratio` times `best_rate`, over `best`: what the rows are ranked by. The interval is like those
    of `tolerated`."""
    predicted: list[float]
    """The same of the last-iterate bound; NaN where it does not apply."""
    local_rates: list[float]
    local_exponents: list[float]
    """Slopes of log worst against log rate about `local_rates`, right of the best."""
    span: float
    """The largest ratio of rates over which such a slope is fitted: 4, or that of neighbours on a coarser grid."""
    exponent: Interval
    """The largest of them: how fast things get worse at worst."""
    predicted_exponent: float
    """The same of the bound."""
    asymptotic_exponent: float
    """1 / (2 p + 1); NaN where the bound does not apply."""
    bound: list[float]
    """The bound at `rates` for D = G = 1, where they are rho; else empty."""
    rank: int = 1
    """1 more than the number of schedules of the horizon whose interval of the cost lies below this one's."""


class Robustness(list[RobustnessRow]):
    """The rows of `robustness`, which can be plotted."""

    def __init__(self, rows: Iterable[RobustnessRow], lr_name: str) -> None:
        """`lr_name`: what `rates` are, "base_lr" or "rho"."""
        super().__init__(rows)
        self.lr_name = lr_name

    def plot(self, horizon: int | None = None, *, ax: Axes | None = None) -> Axes:
        """The worst mean over its best, against the learning rate, a line per schedule; returns Matplotlib's Axes.

        Bars are -+ 1.96 `stderr`; dotted: the last-iterate bound over its own least, where it applies. By default of
        the largest `horizon`. A negative best leaves no ratios, and no points. ValueError: no row has that horizon.
        ImportError: Matplotlib is missing; the extra `anneal_sgd[plots]` brings it.
        """
        horizons = [row.horizon for row in self]
        if horizon not in (horizons if horizon is not None else [None]) or not horizons:
            raise ValueError(f"horizon must be one of {sorted(set(horizons))}, got {horizon!r}")
        lines = []
        for row in (row for row in self if row.horizon == (max(horizons) if horizon is None else horizon)):
            worst, error = np.array(row.worst) / row.best, QUANTILE * np.array(row.stderr) / row.best
            seen = np.where(np.isfinite(worst) & (row.best >= 0.0), worst, np.nan)
            bound = np.array(row.bound) / min(row.bound) if row.bound else None
            lines.append(Line(row.schedule, np.array(row.rates), seen, np.abs(error), bound))
        x_label = LABELS[self.lr_name]
        return draw(lines, x_label=x_label, y_label="worst mean / best", errors=ERRORS["interval"], ax=ax)


def robustness(result: CampaignResult | Mapping[str, CampaignResult], *, ratio: float = COST_RATIO) -> Robustness:
    """How each schedule's worst mean over the problems depends on the learning rate, the most forgiving first.

    Looks at the first metric at the last recorded step; of an accuracy at its complement. Where the problems differ in
    one parameter, in equal ratios, the maximum over it is that of a cubic fitted to the logarithms around it, or of a
    parabola where they are too far apart for that; how far off that is docs/campaigns.md says. Rows are in the order of
    the horizon and of the cost of a learning rate `ratio` times the best, or as far as all grids reach; a schedule of
    which fewer than two learning rates are computed has none. The bootstrap takes the errors of all means as
    independent, which they are without common random numbers.

    Several campaigns, such as one for each method, go by names: `robustness({"SGD": .., "Adam": ..})` ranks all their
    schedules together, with one `ratio`, and calls them "SGD, linear"; bounds are those of SGD, where it is SGD.

    ValueError: `ratio` is not above 1; a campaign has fewer than two learning rates; of several one has other problems,
    metrics or horizons, or is in rho where another is in base_lr.

    >>> import pathlib, tempfile
    >>> from anneal_sgd import problems
    >>> from anneal_sgd.campaigns import Campaign
    >>> problem = problems.Quadratic(curvature=1.0, x0=1.0)  # no noise: (1 - lr)^2 / 2 after a step
    >>> campaign = Campaign(problem, schedules.Constant(), base_lr=[0.5, 0.75, 1.5], horizon=1, replicates=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (row,) = robustness(campaign.run(pathlib.Path(folder) / "store.db"))
    >>> row.worst, round(row.best_rate, 4), round(row.tolerated[0].value, 4)
    ([0.125, 0.03125, 0.125], 0.866, 1.0358)
    """
    wanted = _validate.real("ratio", ratio, _ABOVE_ONE)
    results = result if isinstance(result, Mapping) else {"": result}
    _check(results)
    measured = {name: _Worst(Curves(one)) for name, one in results.items()}
    curves = next(iter(measured.values())).curves
    rows: list[RobustnessRow] = []
    for h in range(len(curves.horizons)):
        reached = min(data.reach(h, wanted) for data in measured.values())
        own = []
        for name, data in measured.items():
            found = [data.row(s, h, reached) for s in range(len(data.curves.schedules))]
            own += [replace(row, schedule=f"{name}, {row.schedule}" if name else row.schedule) for row in found if row]
        own.sort(key=lambda row: _last(row.cost.value))
        rows += [replace(row, rank=1 + sum(other.cost.high < row.cost.low for other in own)) for row in own]
    return Robustness(sorted(rows, key=lambda row: row.horizon), curves.lr_name)


def _check(results: Mapping[str, CampaignResult]) -> None:
    """ValueError: they say nothing about learning rates, or not of the same."""
    if not results:
        raise ValueError("result must be a campaign's, or a dictionary of one or more, got {}")
    first = next(iter(results.values())).description
    for name, one in results.items():
        told = one.description
        if len(told.rates) < 2:
            raise ValueError(
                "the campaign must have two learning rates or more to say what one that is too large costs"
            )
        for what in ("problems", "varying", "metrics", "horizons", "lr_name"):
            if getattr(told, what) != getattr(first, what):
                raise ValueError(
                    f"result must be of campaigns with the same {what}, got {shown(getattr(first, what))} and, of "
                    f"{name!r}, {shown(getattr(told, what))}"
                )


def schedule_of(name: str) -> Schedule | None:
    """The schedule of that name; None for a table, whose values are not known."""
    try:
        return schedules.by_name(name)
    except ValueError:
        return None


class _Worst:
    """The worst mean over the problems."""

    def __init__(self, curves: Curves) -> None:
        self.curves = curves
        self.known = curves.known[..., -1].all(axis=0)  # (schedules, horizons, rates)
        diverged = curves.diverged[..., -1]
        self.mean = np.where(diverged, np.inf, curves.mean[..., -1])
        self.error = np.where(diverged, 0.0, curves.error[..., -1])
        self.fits = _equal_ratios(curves.axes, len(self.mean))

    def over_problems(self, s: int, h: int) -> Callable[[Floats], Floats]:
        """What takes the maximum over the problems, of (..., problems), for one schedule and horizon."""
        if not self.fits:
            return partial(np.max, axis=-1)
        windows, usable = _logs_around(self.mean[:, s, h, self.known[s, h]].T, END)
        return partial(_fitted, sharp=usable & (bend(windows) > _SHARPEST))

    def reach(self, h: int, wanted: float) -> float:
        """`wanted`, or the largest factor above the best rates that the grids of all schedules hold."""
        found = [wanted]
        for s, known in enumerate(self.known[:, h]):
            if known.sum() >= 2:
                rates = self.curves.rates[known]
                best, _ = best_of(rates, self.over_problems(s, h)(self.mean[:, s, h, known].T))
                found.append(float(rates[-1]) / best if best > 0.0 else 1.0)
        return min(found)

    def row(self, s: int, h: int, ratio: float) -> RobustnessRow | None:
        """Of one schedule and horizon; None where less than two rates are known."""
        known = self.known[s, h]
        if known.sum() < 2:
            return None
        curves = self.curves
        rates = curves.rates[known]
        mean, error = self.mean[:, s, h, known].T, self.error[:, s, h, known].T  # (rates, problems)
        rng = np.random.default_rng([s, h])

        def redrawn(centres: Floats, count: int) -> Floats:
            noise = rng.standard_normal((count, *centres.shape))
            lowest = np.where(centres > 0.0, 0.1 * centres, -np.inf)
            return np.asarray(np.maximum(centres + error * noise, lowest))

        over_problems = self.over_problems(s, h)
        worst, draws = over_problems(mean), over_problems(redrawn(mean, _REDRAWS))
        slopes = _Slopes(rates)
        largest = float(slopes.largest(worst))
        outer = redrawn(mean, max(_FEWEST_OUTER, min(_OUTER, _MOST_NUMBERS // (_INNER * mean.size))))
        inner = np.stack([slopes.largest(over_problems(redrawn(centres, _INNER))) for centres in outer])
        corrected = 2.0 * slopes.largest(over_problems(outer)) - _mean(inner, axis=-1)
        exponent = _around(2.0 * largest - float(_mean(slopes.largest(draws))), corrected)
        schedule, horizon = schedule_of(curves.schedules[s]), curves.horizons[h]
        applies = curves.told.bound_applies
        bound: list[float] = []
        predicted, predicted_exponent = [math.nan] * len(LOSSES), math.nan
        if applies and schedule is not None and horizon <= _LONGEST_BOUND:
            predicted = [theory.tolerated_misspecification(schedule, horizon, loss=loss) for loss in LOSSES]
            if curves.lr_name == "rho":
                values = theory.last_iterate_bound(schedule, horizon, misspecification=rates).value
                bound, predicted_exponent = values.tolist(), float(slopes.largest(values))
        best, (best_rate, least) = int(worst.argmin()), best_of(rates, worst)
        local = slopes.of(worst)
        return RobustnessRow(
            schedule=curves.schedules[s],
            horizon=horizon,
            rates=rates.tolist(),
            worst=worst.tolist(),
            stderr=np.where(np.isfinite(draws).all(axis=0), _std(draws), 0.0).tolist(),
            worst_problem=mean.argmax(axis=-1).tolist(),
            best_rate=best_rate,
            best=least,
            at_edge=best in (0, len(rates) - 1),
            tolerated=_tolerated(rates, worst, draws),
            ratio=ratio,
            cost=_interval(partial(cost, ratio=ratio), rates, worst, draws),
            predicted=predicted,
            local_rates=slopes.middles[best : best + local.size].tolist(),
            local_exponents=local.tolist(),
            span=slopes.span,
            exponent=exponent,
            predicted_exponent=predicted_exponent,
            asymptotic_exponent=_asymptotic(curves.told.tail_degrees[s]) if applies else math.nan,
            bound=bound,
        )


def _logs_around(mean: Floats, reach: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Logarithms of (..., problems) at the largest and `reach` on both sides, or at the end; where all are finite."""
    middle = np.clip(mean.argmax(axis=-1), reach, mean.shape[-1] - 1 - reach)
    window = np.take_along_axis(mean, middle[..., None] + np.arange(-reach, reach + 1), axis=-1)
    usable = np.all((window > 0) & np.isfinite(window), axis=-1)
    return np.log(np.where(usable[..., None], window, 1.0)), usable


def _fitted(mean: Floats, *, sharp: NDArray[np.bool_]) -> Floats:
    """The largest of (..., rates, problems), fitted to logarithms; itself at a cliff, which no fit follows."""
    largest: Floats = mean.max(axis=-1)
    (seven, usable), (three, near_by) = _logs_around(mean, END), _logs_around(mean, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fitted = np.exp(np.where(sharp, crest(three), peak(seven)[0]))
        near = np.abs(fitted - largest) <= _FIT_ERROR * largest
    return np.asarray(np.where(np.where(sharp, near_by, usable) & near, fitted, largest))


class _Slopes:
    """Least-squares slopes of log values against log rates, over windows that span a factor of 4 or two neighbours."""

    def __init__(self, rates: Floats) -> None:
        with np.errstate(divide="ignore"):
            x = np.log(rates)
        windows, middles, spans = [], [], []
        for i in range(len(rates)):
            j = int(np.searchsorted(rates, rates[i] * _SPAN * (1 - 1e-9)))
            if j >= len(rates) or rates[i] <= 0:
                break
            weights = np.zeros(len(rates))
            centred = x[i : j + 1] - x[i : j + 1].mean()
            weights[i : j + 1] = centred / np.sum(centred**2)
            windows.append(weights)
            middles.append(math.sqrt(rates[i] * rates[j]))
            spans.append(rates[j] / rates[i])
        self._weights = np.array(windows).reshape(len(windows), len(rates))
        self.middles = np.array(middles)
        self.span = float(max(spans, default=math.nan))

    def _all(self, values: Floats) -> Floats:
        """Of (..., rates): (..., windows); NaN left of the best, and where a value is not finite and > 0."""
        usable = np.isfinite(values) & (values > 0)
        logs = np.log(np.where(usable, values, 1.0))
        slopes = logs @ self._weights.T
        lost = (~usable).astype(float) @ (self._weights.T != 0) > 0
        before = np.arange(len(self._weights)) < values.argmin(axis=-1)[..., None]
        return np.asarray(np.where(lost | before, np.nan, slopes))

    def of(self, values: Floats) -> Floats:
        """Of one curve (rates,): those right of its best."""
        return self._all(values)[int(values.argmin()) :]

    def largest(self, values: Floats) -> Floats:
        """Of (..., rates): the largest slope right of the best, NaN where there is none."""
        slopes = self._all(values)
        if not slopes.shape[-1]:
            return np.full(values.shape[:-1], np.nan)
        largest = np.where(np.isnan(slopes), -np.inf, slopes).max(axis=-1)
        return np.asarray(np.where(np.isneginf(largest), np.nan, largest))


def best_of(rates: Floats, values: Floats) -> tuple[float, float]:
    """The best rate and its value: least of the parabola, in logarithms, through the smallest value and its neighbours.

    At an end, and where one of the three is no positive number, the smallest value itself.
    """
    k = int(values.argmin())
    if not 0 < k < len(values) - 1:
        return float(rates[k]), float(values[k])
    near, three = rates[k - 1 : k + 2], values[k - 1 : k + 2]
    if not np.all((three > 0.0) & np.isfinite(three) & (near > 0.0)):
        return float(rates[k]), float(values[k])
    left, right = np.log(near[0] / near[1]), np.log(near[2] / near[1])
    below, above = np.log(three[0] / three[1]) / left, np.log(three[2] / three[1]) / right
    curvature = (above - below) / (right - left)
    if curvature <= 0.0:
        return float(rates[k]), float(values[k])
    slope = below - curvature * left
    place = -slope / (2.0 * curvature)
    return float(rates[k] * math.exp(place)), float(values[k] * math.exp(slope * place / 2.0))


def tolerated(rates: Floats, values: Floats, loss: float) -> float:
    """The factor above the best rate up to which values stay within 1 + loss times the best; inf past the grid.

    The best is that of `best_of`; from it on, straight lines in the logarithms. NaN where no value is finite, or one is
    negative and there are no ratios.

    >>> tolerated(np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.0, 1.0, 2.0, 4.0]), 1.0)
    2.0
    """
    if not 0.0 <= values.min() < math.inf:
        return math.nan
    rate, value = best_of(rates, values)
    return _within((1.0 + loss) * value, rate, value, rates, values)


def _within(limit: float, rate: float, value: float, rates: Floats, values: Floats) -> float:
    """The factor above `rate`, where `value` is within the limit, up to which values stay within it."""
    later = rates > rate
    rates, values = np.append(rate, rates[later]), np.append(value, values[later])
    past = np.flatnonzero(~(values <= limit * (1 + 1e-12)))
    if not past.size:
        return math.inf
    k = int(past[0])
    below, above = values[k - 1], values[k]
    if not math.isfinite(above) or below <= 0.0 or rates[k - 1] <= 0.0:
        return float(rates[k - 1] / rate) if rate > 0.0 else math.nan
    share = math.log(limit / below) / math.log(above / below)
    return float(rates[k - 1] / rate * (rates[k] / rates[k - 1]) ** share)


def cost(rates: Floats, values: Floats, ratio: float) -> float:
    """The value at `ratio` times the best rate, over the best value; NaN past the grid.

    The best is that of `best_of`; between two rates a straight line in the logarithms.

    >>> cost(np.array([1.0, 2.0, 4.0, 8.0]), np.array([2.0, 1.0, 2.0, 4.0]), 3.0)
    3.0
    """
    rate, value = best_of(rates, values)
    wanted = rate * ratio
    if not (0.0 < value < math.inf and rates[0] <= wanted <= rates[-1] * (1 + 1e-9)):
        return math.nan
    k = min(max(int(np.searchsorted(rates, wanted)), 1), len(rates) - 1)
    low, high = values[k - 1], values[k]
    if not (0.0 < low < math.inf and 0.0 < high < math.inf and rates[k - 1] > 0.0):
        return float(max(low, high) / value)
    share = math.log(wanted / rates[k - 1]) / math.log(rates[k] / rates[k - 1])
    return float(low / value * (high / low) ** share)


def grid_error(of: Callable[[Floats, Floats], float], rates: Floats, values: Floats) -> float:
    """By how much log of(rates, values) may be off because of the grid's ratio: as far as grids of every other rate.

    Lines and parabolas are off by about the square of the ratio's logarithm, those grids by four times as much: the
    difference is about three times the error, which leaves room where the two agree by chance.
    """
    whole = of(rates, values)
    others = [of(rates[i::2], values[i::2]) for i in (0, 1) if len(rates[i::2]) > 2]
    usable = [math.log(other / whole) for other in others if 0.0 < other < math.inf and 0.0 < whole < math.inf]
    return max(map(abs, usable), default=0.0)


def _equal_ratios(axes: Sequence[tuple[str, Any]], problems: int) -> bool:
    """Whether the problems lie along one parameter in equal ratios, enough of them to fit a maximum."""
    if len(axes) != 1 or problems < WINDOW:
        return False
    values = axes[0][1]
    if axes[0][0] == "problem" or not all(isinstance(v, int | float) and v > 0 for v in values):
        return False
    steps = np.diff(np.log(np.array(values, dtype=np.float64)))
    return bool(np.all(np.abs(steps / steps.mean() - 1.0) < _EQUAL_STEPS))


def _interval(of: Callable[[Floats, Floats], float], rates: Floats, values: Floats, draws: Floats) -> Interval:
    """Percentiles over the draws, wider by the grid's error on both sides."""
    value, wider = of(rates, values), math.exp(grid_error(of, rates, values))
    drawn = np.sort([of(rates, redrawn) for redrawn in draws])
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    low, high = drawn[int(0.025 * (drawn.size - 1))], drawn[math.ceil(0.975 * (drawn.size - 1))]
    return Interval(value, float(min(low, value) / wider), float(max(high, value) * wider))


def _tolerated(rates: Floats, values: Floats, draws: Floats) -> list[Interval]:
    """What each of LOSSES tolerates, with an upper end up to which no value is beyond the limit by more than noise.

    Where errors are no small part of the loss a redrawn curve leaves the limit at once, as the measured one does. The
    best is corrected for being the least of several by the bootstrap's own bias.
    """
    found = [_interval(partial(tolerated, loss=loss), rates, values, draws) for loss in LOSSES]
    if math.isnan(found[0].low):
        return found
    rate, least = best_of(rates, values)
    bias = float(_mean(np.array([best_of(rates, redrawn)[1] for redrawn in draws]))) - least
    errors = np.where(np.isfinite(draws).all(axis=0), _std(draws), 0.0)
    of_best = errors[int(values.argmin())]
    latest = []
    for loss in LOSSES:
        sure = values - QUANTILE * np.hypot(errors, (1.0 + loss) * of_best)
        latest.append(_within((1.0 + loss) * (least - bias), rate, least - bias, rates, sure))
    return [replace(one, high=max(one.high, late)) for one, late in zip(found, latest, strict=True)]


def _around(centre: float, redrawn: Floats) -> Interval:
    """±1.96 standard deviations of an estimate that was corrected for its bias, as its redraws were."""
    drawn = redrawn[~np.isnan(redrawn)]
    if not drawn.size or math.isnan(centre):
        return Interval(centre, math.nan, math.nan)
    half = 1.96 * float(drawn.std())
    return Interval(centre, centre - half, centre + half)


def _mean(values: Floats, axis: int | None = None) -> Floats:
    """Without NaNs; NaN where all are."""
    known = ~np.isnan(values)
    return np.asarray(
        np.where(known.any(axis=axis), np.where(known, values, 0.0).sum(axis=axis), np.nan)
        / np.maximum(known.sum(axis=axis), 1)
    )


def _std(draws: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(draws.std(axis=0))


def _last(value: float) -> float:
    """NaN after all numbers."""
    return math.inf if math.isnan(value) else value


def _asymptotic(degree: float | None) -> float:
    return float(theory.asymptotic_exponent(math.inf if degree is None else degree))
