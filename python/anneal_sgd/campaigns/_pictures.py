"""Plots drawn by Matplotlib, as PNG and SVG."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from .._drawing import STYLE, saved
from ._figures import Plot, Series


def write_pictures(plot: Plot, folder: Path, caption: str, provenance: str) -> list[Path]:
    """Each panel as PNG and SVG: KEY.png where there is one panel, else KEY-1.png, KEY-2.png, ....

    `provenance` goes into the files, as their description.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

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
