"""Plots drawn by Matplotlib, as PNG and SVG."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .._drawing import COLOURS, STYLE, saved
from ._figures import Plot, Series

_COLUMNS = 3  # of small multiples
_LABEL_GAP = 0.075  # of labels of lines, in heights of their panel


def write_pictures(plot: Plot, folder: Path, caption: str, provenance: str) -> list[Path]:
    """Each panel as PNG and SVG: KEY.png where there is one panel, else KEY-1.png, KEY-2.png, ....

    `provenance` goes into the files, as their description.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figures = {}
    with mpl.rc_context(STYLE):
        for number, (label, series) in enumerate(plot.panels.items(), 1):
            many = len({one.name for one in series}) > len(COLOURS) and not plot.categories
            high = max(4.2, 0.9 + 0.24 * len(plot.categories))
            figure = Figure(figsize=(7.4, high), layout="constrained")
            (_small_multiples if many else _one_axis)(figure, plot, series)
            figure.suptitle(f"{plot.title}: {label}", fontsize=9, parse_math=False)
            figure.supxlabel(caption, fontsize=6, color="#555555", parse_math=False)
            figures[plot.key if len(plot.panels) == 1 else f"{plot.key}-{number}"] = figure
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # of a name in a script that the font does not have
            return saved(figures, folder, provenance)


def _one_axis(figure: Any, plot: Plot, series: Sequence[Series]) -> None:
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
    if series:
        legend = axis.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.01, 0.5))
        for text in legend.get_texts():
            text.set_parse_math(False)


def _small_multiples(figure: Any, plot: Plot, series: Sequence[Series]) -> None:
    """A panel for each family of schedules, all on one scale, with the names at the ends of their lines."""
    families = _families([one.name for one in series if not one.theory])
    rows = math.ceil(len(families) / _COLUMNS)
    figure.set_size_inches(9.0, 0.8 + 2.4 * rows)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axis, (family, names) in zip(axes.flat, families.items(), strict=False):
        axis.set_xscale("log")
        axis.set_yscale("log" if plot.log_y else "linear")
        for one in series:
            if one.name in names:
                _draw(axis, replace(one, look=names.index(one.name)))
        axis.set_title(family, fontsize=8, parse_math=False)
    for axis, (family, names) in zip(axes.flat, families.items(), strict=False):
        _label_lines(axis, family, [one for one in series if one.name in names and not one.theory])
    for axis in axes.flat[len(families) :]:
        axis.remove()
    for axis in axes.flat[max(0, len(families) - _COLUMNS) : len(families)]:
        axis.tick_params(labelbottom=True)
    for axis in axes[-1]:
        axis.set_xlabel(plot.x_label, fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel(plot.y_label)


def _families(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by what stands before their parameters; those that stand alone together, as many as there are colours."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(re.split(r"[(,]", name)[0], []).append(name)
    alone = [members[0] for members in found.values() if len(members) == 1]
    families = {family: members for family, members in found.items() if len(members) > 1} | {"others": alone}
    size = len(COLOURS)
    return {
        family + (f", {first // size + 1}" if len(members) > size else ""): members[first : first + size]
        for family, members in families.items()
        for first in range(0, len(members), size)
    }


def _label_lines(axis: Any, family: str, lines: Sequence[Series]) -> None:
    """Names right of the panel, at the height of the ends of their lines, or below where they would overlap."""
    axis.get_ylim()  # which brings the transformations up to date
    to_panel = axis.transScale + axis.transLimits
    heights = [float(to_panel.transform((one.x[-1], one.y[-1]))[1]) for one in lines]
    order = sorted(range(len(lines)), key=heights.__getitem__, reverse=True)
    lowest = 1.0 + _LABEL_GAP
    places = [lowest := min(heights[i], lowest - _LABEL_GAP) for i in order]
    raised = max(0.0, -places[-1])
    for place, i in zip(places, order, strict=True):
        short = re.sub(rf"^{re.escape(family)}\((.*)\)", r"\1", lines[i].name)
        look = {"color": COLOURS[i], "fontsize": 6.5, "va": "center", "parse_math": False}
        axis.text(1.03, place + raised, short, transform=axis.transAxes, **look)


def _draw(axis: Any, one: Series) -> None:
    colour, dash = one.colour, one.dash[1]
    if one.bars:
        marker = one.symbol[1]
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
