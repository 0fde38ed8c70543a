"""The plots of a report: each described once, drawn by Plotly for the page and by Matplotlib for PNG and SVG.

Plotly is used here and nowhere else.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._curves import Curves, short
from ._robustness import LOSSES, RobustnessRow

if TYPE_CHECKING:
    from ._result import CampaignResult

MOST_PANELS = 12  # of one plot; more are left out evenly
_QUANTILE = 1.96  # of a band
# Okabe and Ito's colours, told apart with any colour vision; then the same with other dashes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7f7f7f")
_DASHES = (("solid", "-"), ("dash", "--"), ("dot", ":"))
_SYMBOLS = (("circle", "o"), ("square", "s"), ("diamond", "D"))


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
    return "learning rate, base_lr" if curves.lr_name == "base_lr" else "misspecification ρ = base_lr / η*"


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
    return Plot("rates", title, note, _x_label(curves), f"mean {curves.value}", panels)


def _convergence(curves: Curves) -> Plot:
    told, mean = curves.told, _usable(curves)
    steps = told["coords"].get("record_at") or [told["records"]] * len(curves.horizons)
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
    return Plot("convergence", f"Mean {curves.value} along the run", note, "step", f"mean {curves.value}", panels)


def _line(name: str, look: int, x: Any, mean: Any, error: Any) -> Series:
    low = np.maximum(mean - _QUANTILE * error, 0.1 * np.abs(mean))
    keep = np.isfinite(mean)
    return Series(name, look, *(np.asarray(v)[keep].tolist() for v in (x, mean, low, mean + _QUANTILE * error)))


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


# --- Plotly ---------------------------------------------------------------------------------------------------------


def to_plotly(plot: Plot) -> Any:
    """A `plotly.graph_objects.Figure`, with a menu where there are panels to choose from."""
    import plotly.graph_objects as go

    figure = go.Figure()
    owners = []
    for number, (label, series) in enumerate(plot.panels.items()):
        for one in series:
            for trace in _traces(go, one):
                trace.visible = number == 0
                figure.add_trace(trace)
                owners.append(label)
    figure.update_layout(
        template="plotly_white",
        height=520 if not plot.categories else max(420, 60 + 26 * len(plot.categories)),
        margin={"l": 70, "r": 20, "t": 50 if len(plot.panels) > 1 else 20, "b": 60},
        legend={"font": {"size": 11}, "groupclick": "togglegroup"},
        hovermode="closest",
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_xaxes(title=plot.x_label, type="log", exponentformat="power", minor={"ticks": "outside"})
    figure.update_yaxes(title=plot.y_label, type="log" if plot.log_y else "linear", exponentformat="power")
    if plot.categories:
        ticks = list(range(len(plot.categories)))
        figure.update_yaxes(tickvals=ticks, ticktext=list(plot.categories), range=[-0.6, len(ticks) - 0.4])
    if len(plot.panels) > 1:
        buttons = [
            {"label": label, "method": "restyle", "args": [{"visible": [owner == label for owner in owners]}]}
            for label in plot.panels
        ]
        menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "direction": "down"}
        figure.update_layout(updatemenus=[menu])
    return figure


def _traces(go: Any, one: Series) -> list[Any]:
    colour, dash = _COLOURS[one.look % len(_COLOURS)], _DASHES[one.look // len(_COLOURS) % len(_DASHES)][0]
    common = {"x": one.x, "y": one.y, "name": one.name, "legendgroup": one.name}
    if one.bars:
        symbol = _SYMBOLS[one.look % len(_SYMBOLS)][0] + ("-open" if one.theory else "")
        bars = None
        if one.low is not None and one.high is not None:
            bars = {
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 2,
                "array": [h - v for h, v in zip(one.high, one.x, strict=True)],
                "arrayminus": [v - w for v, w in zip(one.x, one.low, strict=True)],
            }  # fmt: skip
        marker = {"color": colour, "symbol": symbol, "size": 8}
        return [go.Scatter(**common, mode="markers", marker=marker, error_x=bars)]
    if one.theory:
        line = {"color": colour, "width": 1, "dash": "dot"}
        return [go.Scatter(**common, mode="lines", line=line, opacity=0.55, showlegend=False, hoverinfo="skip")]
    marks = {"size": 5, "color": colour}
    line = go.Scatter(**common, mode="lines+markers", line={"color": colour, "width": 1.6, "dash": dash}, marker=marks)
    if one.low is None or one.high is None:
        return [line]
    around = {"x": [*one.x, *reversed(one.x)], "y": [*one.high, *reversed(one.low)], "legendgroup": one.name}
    band = go.Scatter(
        **around, fill="toself", fillcolor=_faint(colour), mode="none", showlegend=False, hoverinfo="skip"
    )
    return [band, line]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


# --- Matplotlib -----------------------------------------------------------------------------------------------------


def write_pictures(plot: Plot, folder: Path, caption: str, provenance: str) -> list[Path]:
    """Each panel as PNG and SVG: KEY.png where there is one panel, else KEY-1.png, KEY-2.png, ....

    `provenance` goes into the files, as their description.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from ..experiments.plots import STYLE, saved

    figures = {}
    with mpl.rc_context(STYLE):
        for number, (label, series) in enumerate(plot.panels.items(), 1):
            high = max(4.2, 0.9 + 0.24 * len(plot.categories))
            figure = Figure(figsize=(7.4, high), layout="constrained")
            axis = figure.subplots()
            axis.set_xscale("log")
            axis.set_yscale("log" if plot.log_y else "linear")
            for one in series:
                _draw(axis, one)
            axis.set_xlabel(plot.x_label)
            axis.set_ylabel(plot.y_label)
            if plot.categories:
                axis.set_yticks(range(len(plot.categories)), plot.categories, fontsize=7, parse_math=False)
                axis.set_ylim(-0.6, len(plot.categories) - 0.4)
            axis.set_title(f"{plot.title}: {label}", fontsize=9, parse_math=False)
            if series:
                legend = axis.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
                for text in legend.get_texts():
                    text.set_parse_math(False)
            figure.supxlabel(caption, fontsize=6, color="#555555", parse_math=False)
            figures[plot.key if len(plot.panels) == 1 else f"{plot.key}-{number}"] = figure
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # of a name in a script that the font does not have
            return saved(figures, folder, provenance)


def _draw(axis: Any, one: Series) -> None:
    colour, dash = _COLOURS[one.look % len(_COLOURS)], _DASHES[one.look // len(_COLOURS) % len(_DASHES)][1]
    if one.bars:
        marker = _SYMBOLS[one.look % len(_SYMBOLS)][1]
        face = "white" if one.theory else colour
        axis.plot(one.x, one.y, marker, color=colour, markerfacecolor=face, markersize=4, label=one.name)
        if one.low is not None and one.high is not None:
            axis.hlines(one.y, one.low, one.high, color=colour, linewidth=1.0)
    elif one.theory:
        axis.plot(one.x, one.y, ":", color=colour, linewidth=0.8, alpha=0.7)
    else:
        if one.low is not None and one.high is not None:
            axis.fill_between(one.x, one.low, one.high, color=colour, alpha=0.18, linewidth=0)
        axis.plot(one.x, one.y, dash, marker="o", markersize=2.5, color=colour, linewidth=1.1, label=one.name)
