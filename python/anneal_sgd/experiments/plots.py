"""Pictures of the experiments, for papers and READMEs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .._drawing import STYLE, saved
from .grid import GridReport, GridRow
from .minimax import MinimaxReport, MinimaxRow
from .validate import RateReport, RateRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart with any colour vision, in the order of the default schedules.
COLOURS = ("#000000", "#7f7f7f", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^vPX*"
TITLES = {
    "nonsmooth": r"non-smooth: $f_a(x)=a\,|x|$, $\mathbb{E}g^2=1$",
    "smooth": r"smooth: $f_a(x)=a\,x^2/2$, $\sigma^2=1$",
    "spread": r"spread: $f_a(x)=a\,\sum_i 10^{-i/3}|x_i|$",
    "norm": r"norm: $f_a(x)=a\,\Vert x\Vert_2$",
}


def plot_validation(report: RateReport, directory: Path) -> list[Path]:
    """Write ``robustness`` (suboptimality against rho) and ``worst_parameter`` as PNG and SVG; return the paths."""
    with mpl.rc_context(STYLE):
        return saved({"robustness": _robustness(report), "worst_parameter": _worst_parameter(report)}, directory)


def plot_grid(report: GridReport, directory: Path) -> list[Path]:
    """Write ``grid_loss`` (metric against base_lr) and ``grid_excess`` (against resolution) as PNG and SVG."""
    with mpl.rc_context(STYLE):
        return saved({"grid_loss": _grid_loss(report), "grid_excess": _grid_excess(report)}, directory)


def plot_minimax(report: MinimaxReport, directory: Path) -> list[Path]:
    """Write ``minimax`` (what theory guarantees and what simulations do, against rho) as PNG and SVG."""
    with mpl.rc_context(STYLE):
        return saved({"minimax": _minimax(report)}, directory)


def _minimax(report: MinimaxReport) -> Figure:
    ratios, settings = (list(dict.fromkeys(report.meta[key])) for key in ("ratios", "settings"))
    size = (2.9 * len(ratios) + 0.6, 2.3 * (1 + len(settings)) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1 + len(settings), len(ratios), squeeze=False, sharex="col", sharey="row")
    for column, ratio in enumerate(ratios):
        rows = [row for row in report.rows if row.ratio == ratio]
        guaranteed = axes[0, column]
        guaranteed.set_title(f"R = {ratio:g}", fontsize=9)
        for row, colour in _minimax_looks([row for row in rows if row.setting == settings[0]]):
            guaranteed.plot(row.rho, row.bound, "--", color=colour, linewidth=0.8)
            guaranteed.plot(row.rho, row.worst_case, color=colour, linewidth=1.4, label=row.schedule)
        for axis, setting in zip(axes[1:, column], settings, strict=True):
            for row, colour in _minimax_looks([row for row in rows if row.setting == setting]):
                y, error = np.array(row.simulated), 1.96 * np.array(row.stderr)
                axis.fill_between(row.rho, y - error, y + error, color=colour, alpha=0.25, linewidth=0)
                axis.plot(row.rho, y, color=colour, linewidth=1.2, label=row.schedule)
        axes[0, column].legend(fontsize=6.5, loc="upper center", ncols=2, handlelength=1.2, columnspacing=1.0)
        axes[-1, column].set_xscale("log")
        axes[-1, column].xaxis.set_major_formatter("{x:g}")
        axes[-1, column].set_xlabel(r"learning rate / base_lr, $\rho$")
    for axis in axes[:, 0]:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(low, 2.0 * high)  # room for the legends
    axes[0, 0].set_ylabel("worst case (—), bound (- -)")
    for axis, setting in zip(axes[1:, 0], settings, strict=True):
        axis.set_ylabel(f"simulated, {setting}")
    meta = report.meta
    figure.supxlabel(
        rf"in $DG/\sqrt{{T}}$; every schedule at the base_lr that is best for it on [1, R]; T = {meta['horizon']:,}, "
        f"{meta['noise']} noise, {meta['replicates']:,} replicates",
        fontsize=7,
        color="#555555",
    )
    return figure


def _minimax_looks(rows: list[MinimaxRow]) -> list[tuple[MinimaxRow, str]]:
    order = ("#D55E00", "#0072B2", "#009E73", "#7f7f7f", *COLOURS)
    return [(row, order[i % len(order)]) for i, row in enumerate(rows)]


def _grid_axis(report: GridReport) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.set_xscale("log")
    meta = report.meta
    figure.supxlabel(
        f"{meta['problem']}; T = {meta['horizon']:,}, {meta['replicates']} replicates", fontsize=6, color="#555555"
    )
    return figure, axis


def _grid_loss(report: GridReport) -> Figure:
    figure, axis = _grid_axis(report)
    axis.set_yscale("log")
    lowest = min(row.best for row in report.rows)
    highest = max(row.mean[0] for row in report.rows)
    for row, colour, marker in _grid_looks(report):
        mean, error = np.array(row.mean), np.array(row.stderr)
        shown = np.isfinite(mean) & (mean < 100 * highest)  # where nothing is learnt, means are noise
        lr, mean, error = np.array(row.base_lr)[shown], mean[shown], 1.96 * error[shown]
        axis.fill_between(lr, np.maximum(mean - error, mean / 10), mean + error, color=colour, alpha=0.25, linewidth=0)
        axis.plot(lr, mean, color=colour, linewidth=1.0, label=row.schedule)
        axis.plot(row.best_base_lr, row.best, marker, color=colour, markersize=5)
    if 0 < lowest < highest:  # the far right, where steps are too large for anything, is not what is to be seen
        room = (highest / lowest) ** 0.15
        axis.set_ylim(lowest / room, highest * room * 3)
    axis.set_xlabel("base_lr")
    axis.set_ylabel(f"{report.meta['metric'].replace('_', ' ').replace('accuracy', 'error')} after T steps")
    axis.legend(fontsize=7, title="schedule, and its best", title_fontsize=7)
    return figure


def _grid_excess(report: GridReport) -> Figure:
    figure, axis = _grid_axis(report)
    axis.set_yscale("log")
    for row, colour, marker in _grid_looks(report):
        shown = np.array(row.worst_excess) > 0  # the fine grid itself loses nothing
        x, worst, mean = (np.array(v)[shown] for v in (row.resolution, row.worst_excess, row.mean_excess))
        low, high = (np.array(v)[shown] for v in (row.worst_low, row.worst_high))
        axis.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.plot(x, worst, marker=marker, color=colour, markersize=3.5, linewidth=1.0, label=row.schedule)
        axis.plot(x, mean, color=colour, linewidth=0.8, linestyle=":")
    tolerance = report.meta["tolerance"]
    axis.axhline(tolerance, color="#888888", linewidth=0.7, linestyle="--")
    axis.annotate(
        f"tolerance {100 * tolerance:.3g} %",
        (1.0, tolerance),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=7,
        color="#555555",
    )
    axis.plot([], [], color="#555555", linewidth=0.8, linestyle=":", label="mean over offsets")
    axis.set_xlabel("grid resolution: ratio of neighbouring learning rates")
    axis.set_ylabel(f"worst excess of {report.meta['metric'].replace('_', ' ').replace('accuracy', 'error')}")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter("{x:.3g}")
    axis.legend(fontsize=7)
    return figure


def _grid_looks(report: GridReport) -> list[tuple[GridRow, str, str]]:
    return [(row, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, row in enumerate(report.rows)]


def _settings(report: RateReport) -> list[str]:
    return list(dict.fromkeys(row.setting for row in report.rows))


def _looks(report: RateReport) -> dict[str, tuple[str, str]]:
    """Colour and marker of each schedule."""
    names = list(dict.fromkeys(row.schedule for row in report.rows))
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def _panels(report: RateReport) -> tuple[Figure, list[Axes]]:
    settings = _settings(report)
    columns, rows = min(2, len(settings)), (len(settings) + 1) // 2
    figure = Figure(figsize=(4.6 * columns + 1.2, 4.2 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axis in axes[len(settings) :]:
        axis.remove()
    axes = axes[: len(settings)]
    for axis, setting in zip(axes, settings, strict=True):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        kind, _, noise = setting.partition("-")
        axis.set_title(TITLES[kind] + (", Gaussian noise" if noise else ""), fontsize=9)
        axis.set_xlabel(r"misspecification $\rho$ = base_lr / $\eta^*$")
        axis.xaxis.set_major_formatter("{x:g}")
    return figure, axes


def _theory_line(axis: Axes, row: RateRow, y: np.ndarray, colour: str) -> None:
    """The theory's slope through the middle of the fitted points."""
    rho, fitted = np.array(row.rho), np.array(row.fitted, bool)
    if not fitted.any():
        return
    middle = np.exp(np.log(rho[fitted]).mean()), np.exp(np.log(y[fitted]).mean())
    ends = np.array([rho[fitted][0] / 1.15, rho[fitted][-1] * 1.15])
    axis.plot(ends, middle[1] * (ends / middle[0]) ** row.theory, "--", color=colour, linewidth=1.1, zorder=3)


def _robustness(report: RateReport) -> Figure:
    figure, axes = _panels(report)
    looks = _looks(report)
    for axis, setting in zip(axes, _settings(report), strict=True):
        for row in (row for row in report.rows if row.setting == setting):
            colour, marker = looks[row.schedule]
            root = np.sqrt(row.horizon)
            rho, fitted = np.array(row.rho), np.array(row.fitted, bool)
            y, error = np.array(row.worst_suboptimality) * root, np.array(row.stderr) * root
            axis.fill_between(rho, y - 1.96 * error, y + 1.96 * error, color=colour, alpha=0.25, linewidth=0)
            axis.plot(rho, y, color=colour, linewidth=0.7, alpha=0.6)
            axis.plot(rho[fitted], y[fitted], marker, color=colour, markersize=4, linestyle="none")
            axis.plot(
                rho[~fitted], y[~fitted], marker, color=colour, markersize=3, linestyle="none", markerfacecolor="white"
            )
            _theory_line(axis, row, y, colour)
            label = (
                f"{row.schedule}: {row.exponent:.3f} ± {(row.ci_high - row.ci_low) / 2:.3f}  (theory {row.theory:.3f})"
            )
            label += "" if row.outcome == "agrees" else f" {row.outcome}"
            axis.plot([], [], marker=marker, color=colour, label=label, linewidth=0.7)
        axis.plot([], [], "--", color="#555555", linewidth=1.1, label=r"theory: slope $1/(2p+1)$")
        axis.legend(fontsize=6.5, loc="upper left", title="measured exponent", title_fontsize=7)
    for axis in axes[::2]:
        axis.set_ylabel(r"worst mean suboptimality $\times\sqrt{T}$")
    preset, horizons = report.meta["preset"], dict.fromkeys(f"{row.horizon:,}" for row in report.rows)
    trajectories = min(row.trajectories for row in report.rows)
    figure.supxlabel(
        f"last iterate after T = {' or '.join(horizons)} steps; at least {trajectories:,} trajectories per curve; "
        f"filled points are fitted ({preset})",
        fontsize=7,
        color="#555555",
    )
    # Room above the curves for the legend.
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high * (high / low) ** 0.35)
    return figure


def _worst_parameter(report: RateReport) -> Figure:
    figure, axes = _panels(report)
    looks = _looks(report)
    for axis, setting in zip(axes, _settings(report), strict=True):
        for row in (row for row in report.rows if row.setting == setting and row.theory < 1):
            colour, marker = looks[row.schedule]
            y = np.array(row.worst_parameter) * np.sqrt(row.horizon)
            axis.plot(row.rho, y, marker=marker, color=colour, markersize=3.5, linewidth=0.7, label=row.schedule)
            _theory_line(axis, row, y, colour)
        axis.plot([], [], "--", color="#555555", linewidth=1.1, label=r"theory: slope $1/(2p+1)$")
        axis.legend(fontsize=7, loc="upper left")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=6)
    for axis in axes[::2]:
        axis.set_ylabel(r"worst parameter $a^*\times\sqrt{T}$")
    return figure
