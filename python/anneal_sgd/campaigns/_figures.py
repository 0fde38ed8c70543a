"""The plots of a report, each described once: `_plotly` draws them for the page, `_pictures` as PNG and SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._drawing import COLOURS, DASHES, MARKERS
from .._plot import LABELS, QUANTILE
from ._curves import Curves, short
from ._robustness import LOSSES, RobustnessRow

if TYPE_CHECKING:
    from ._result import CampaignResult

MOST_PANELS = 12  # of one plot; more are left out evenly
_DASHES = tuple(zip(("solid", "dash", "dot"), DASHES, strict=True))
_SYMBOLS = tuple(zip(("circle", "square", "diamond"), MARKERS, strict=True))


@dataclass(frozen=True)
class Series:
    """One line, or points, with a band or bars."""

    name: str
    look: int
    """Number of its colour and dash."""
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    theory: bool = False
    """Drawn thin, without an entry of its own in the legend."""
    bars: bool = False
    """Points with horizontal bars, low to high."""

    @property
    def colour(self) -> str:
        """As #rrggbb."""
        return COLOURS[self.look % len(COLOURS)]

    @property
    def dash(self) -> tuple[str, str]:
        """Of its line, as Plotly and as Matplotlib call it."""
        return _DASHES[self.look // len(COLOURS) % len(_DASHES)]

    @property
    def symbol(self) -> tuple[str, str]:
        """Of its points, as Plotly and as Matplotlib call it."""
        return _SYMBOLS[self.look % len(_SYMBOLS)]


@dataclass(frozen=True)
class Plot:
    """One plot with panels to choose from."""

    key: str
    title: str
    note: str
    x_label: str
    y_label: str
    panels: dict[str, list[Series]]
    log_y: bool = True
    categories: Sequence[str] = field(default=())
    """Names of y = 0, 1, ...."""


def plots(result: CampaignResult, rows: list[RobustnessRow]) -> list[Plot]:
    """All plots that the campaign has data for."""
    curves = Curves(result)
    rows = [row for row in rows if math.isfinite(row.best) and row.best > 0]
    found = [_robustness(rows, curves), _exponents(rows, curves), _tolerance(rows)] if rows else []
    found.append(_against_rate(curves))
    if curves.mean.shape[-1] > 1:
        found.append(_convergence(curves))
    return [plot for plot in found if any(plot.panels.values())]


def _shown_panels(curves: Curves) -> list[tuple[str, int, int]]:
    every = curves.panels()
    return [every[i] for i in np.unique(np.linspace(0, len(every) - 1, MOST_PANELS).round().astype(int))]


def _x_label(curves: Curves) -> str:
    return LABELS[curves.lr_name]


def _usable(curves: Curves) -> Any:
    return np.where(curves.diverged, np.nan, curves.mean)


def _against_rate(curves: Curves) -> Plot:
    mean = _usable(curves)
    panels = {}
    for label, i, h in _shown_panels(curves):
        lines = (
            _line(name, s, curves.rates, mean[i, s, h, :, -1], curves.error[i, s, h, :, -1])
            for s, name in enumerate(curves.schedules)
        )
        panels[label] = [line for line in lines if line.x]
    note = "At the last recorded step; bands are 95 % intervals. Where a trajectory diverged, the line ends."
    title = f"Mean {curves.value} against the learning rate"
    return Plot("rates", title, note, _x_label(curves), f"mean {curves.value}", panels, log_y=_has_logarithm(mean))


def _convergence(curves: Curves) -> Plot:
    told, mean = curves.told, _usable(curves)
    steps = told.record_at or [told.records] * len(curves.horizons)
    panels: dict[str, list[Series]] = {}
    for label, i, h in _shown_panels(curves):
        panels[label] = []
        for s, name in enumerate(curves.schedules):
            last = mean[i, s, h, :, -1]
            if np.isnan(last).all():
                continue
            best = int(np.nanargmin(last))
            full = f"{name}, {curves.lr_name} {short(float(curves.rates[best]))}"
            panels[label].append(
                _line(full, s, np.array(steps[h], float), mean[i, s, h, best], curves.error[i, s, h, best])
            )
    note = "Every schedule at the learning rate that is best at the end."
    title, label = f"Mean {curves.value} along the run", f"mean {curves.value}"
    return Plot("convergence", title, note, "step", label, panels, log_y=_has_logarithm(mean))


def _has_logarithm(mean: Any) -> bool:
    """Whether no mean is negative, as values f(x) may be."""
    return not np.any(mean < 0.0)


def _line(name: str, look: int, x: Any, mean: Any, error: Any) -> Series:
    low = mean - QUANTILE * error
    low = np.where(mean > 0.0, np.maximum(low, 0.1 * mean), low)  # on a logarithmic scale it stays in sight
    keep = np.isfinite(mean)
    return Series(name, look, *(np.asarray(v)[keep].tolist() for v in (x, mean, low, mean + QUANTILE * error)))


def _robustness(rows: list[RobustnessRow], curves: Curves) -> Plot:
    panels: dict[str, list[Series]] = {}
    for row in rows:
        look = curves.schedules.index(row.schedule)
        worst, error = np.array(row.worst), np.array(row.stderr)
        panel = panels.setdefault(f"T = {row.horizon:,}", [])
        panel.append(_line(row.schedule, look, row.rates, worst / row.best, error / row.best))
        if row.bound:
            bound = np.array(row.bound)
            panel.append(Series(row.schedule, look, row.rates, (bound / bound.min()).tolist(), theory=True))
    note = (
        "The mean on the problem that is worst at each learning rate, over its smallest value. Thin lines: the last-"
        "iterate bound of the theorem, over its own smallest value."
    )
    return Plot(
        "robustness",
        "What a learning rate that is too large costs",
        note,
        _x_label(curves),
        "worst mean / best",
        panels,
    )


def _exponents(rows: list[RobustnessRow], curves: Curves) -> Plot:
    panels: dict[str, list[Series]] = {}
    for row in rows:
        look = curves.schedules.index(row.schedule)
        keep = np.isfinite(row.local_exponents)
        x, y = np.array(row.local_rates)[keep].tolist(), np.array(row.local_exponents)[keep].tolist()
        if not x:
            continue
        panel = panels.setdefault(f"T = {row.horizon:,}", [])
        panel.append(Series(row.schedule, look, x, y))
        if math.isfinite(row.asymptotic_exponent):
            panel.append(Series(row.schedule, look, [x[0], x[-1]], [row.asymptotic_exponent] * 2, theory=True))
    note = (
        f"Slopes of log(worst mean) against log(learning rate), over {span_in_words(rows)}. Thin lines: the theorem's "
        "1/(2p+1), p the degree with which the schedule goes to zero; 1 for what does not go to zero."
    )
    return Plot("exponents", "Local exponents", note, _x_label(curves), "local exponent", panels, log_y=False)


def span_in_words(rows: list[RobustnessRow]) -> str:
    """Over which ratio of learning rates slopes are fitted."""
    widest = max((row.span for row in rows if math.isfinite(row.span)), default=4.0)
    return "a factor of 4" if widest < 6.0 else f"factors of up to {widest:.3g}, as the grid is coarse"


def _tolerance(rows: list[RobustnessRow]) -> Plot:
    panels = {}
    horizons = sorted({row.horizon for row in rows})
    names = [row.schedule for row in rows if row.horizon == horizons[-1]]
    names.reverse()  # the most forgiving on top
    for horizon in horizons:
        own = {row.schedule: row for row in rows if row.horizon == horizon}
        series = []
        for k, loss in enumerate(LOSSES):
            y = [i for i, name in enumerate(names) if math.isfinite(own[name].tolerated[k].value)]
            found = [own[names[i]].tolerated[k] for i in y]
            places = [i + 0.22 * (1 - k) for i in y]
            low = [t.low for t in found]
            high = [
                min(t.high, _reach(own[names[i]])) for i, t in zip(y, found, strict=True)
            ]  # as far as the grid goes
            series.append(Series(f"{100 * loss:.0f} % loss", k, [t.value for t in found], places, low, high, bars=True))
            known = [(own[name].predicted[k], i + 0.22 * (1 - k)) for i, name in enumerate(names)]
            known = [(x, at) for x, at in known if math.isfinite(x)]
            if known:
                at = [place for _, place in known]
                series.append(
                    Series(f"{100 * loss:.0f} %: bound", k, [x for x, _ in known], at, theory=True, bars=True)
                )
        panels[f"T = {horizon:,}"] = series
    note = (
        "By which factor the best learning rate may be exceeded, on the worst problem, before the mean is 10, 50, "
        "100 % worse. Hollow: what the bound says. A missing point: more than the grid shows."
    )
    return Plot("tolerance", "How much too large a learning rate may be", note, "factor above the best", "", panels,
                log_y=False, categories=names)  # fmt: skip


def _reach(row: RobustnessRow) -> float:
    """The largest factor above the best rate that the grid holds."""
    return row.rates[-1] / row.best_rate
