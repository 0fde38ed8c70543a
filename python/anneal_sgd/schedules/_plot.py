"""Schedules as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import _validate
from .._drawing import COLOURS, DASHES, new_axes
from ._base import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 2001


def plot(
    schedules: Schedule | Sequence[Schedule], horizon: int | None = None, *, log: bool = False, ax: Axes | None = None
) -> Axes:
    """The shapes h, a line per schedule, against the fraction of the horizon; returns Matplotlib's Axes.

    With a `horizon` against the step, which schedules that count steps need; of more than 2,001 steps it shows that
    many, evenly spaced. `log`: a logarithmic ordinate. `ax`: where to draw; without it on new axes. ValueError: no
    schedule, or a horizon that one does not fit. ImportError: Matplotlib is missing; the extra `anneal_sgd[plots]`
    brings it.

    >>> axes = plot([Linear(), Cosine()])  # doctest: +SKIP
    """
    shown = _validate.one_or_more("schedules", schedules, Schedule, "schedule")
    steps: int | None = None
    x = np.linspace(0.0, 1.0, _POINTS)
    if horizon is not None:
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
        x = np.unique((x * (steps - 1)).round())
    curves = [(one.name, one(x) if steps is None else one(x / steps, steps)) for one in shown]
    axes = new_axes() if ax is None else ax
    for number, (name, h) in enumerate(curves):
        colour, dash = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
        axes.plot(x, h, color=colour, linestyle=dash, linewidth=1.4, label=name)
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("fraction of the horizon, t / T" if steps is None else "step t")
    axes.set_ylabel("h = learning rate / base_lr")
    for text in axes.legend(fontsize=7, frameon=False).get_texts():
        text.set_parse_math(False)
    return axes
