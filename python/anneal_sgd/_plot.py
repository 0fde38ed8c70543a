"""Results as lines with error bars, drawn by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import _validate
from ._arrays import FloatArray
from ._drawing import COLOURS, DASHES, MARKERS, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Errors: TypeAlias = Literal["interval", "stderr", "anytime", "none"]

ERRORS = {"interval": "95 % intervals", "stderr": "standard errors", "anytime": "95 % anytime intervals", "none": ""}
"""What the bars are called."""
QUANTILE = 1.96
_MOST_BARS = 32  # points of a line; of more, bars and marks run into each other
_MOST_INSIDE = 6  # lines of which the legend is within the axes
MOST_LINES = len(COLOURS) * len(DASHES)
_WIDE = 100.0  # ratio of values from which on powers of ten label an axis
_RATES = ("base_lr", "rho")
_RECORDS = ("record_at", "record_frac")
LABELS = {
    "base_lr": "learning rate, base_lr",
    "rho": "misspecification ρ = base_lr / η*",
    "record_at": "step",
    "record_frac": "step / T",
    "horizon": "horizon T, steps",
    "suboptimality": "mean suboptimality f(x) − f*",
    "value": "mean of f(x)",
}


@dataclass(frozen=True)
class Line:
    """Points with error bars of the given half-widths; NaN, and a gap, where there is nothing to show."""

    name: str
    x: FloatArray
    y: FloatArray
    error: FloatArray | None = None
    theory: FloatArray | None = None
    """Drawn thin and dotted in the same colour."""


def draw(
    lines: Sequence[Line], *, x_label: str, y_label: str, errors: str = "", marks: bool = True, ax: Axes | None = None
) -> Axes:
    """Lines in looks of their own on the axes, or on new ones, with a legend that says what the bars, or bands, are."""
    axes = new_axes() if ax is None else ax
    bands = max(line.x.size for line in lines) > _MOST_BARS
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        look: dict[str, Any] = {"color": colour, "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}
        if marks and not bands:
            look |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 3.0}
        bars = None if bands else line.error
        axes.errorbar(line.x, line.y, bars, label=line.name, linewidth=1.2, elinewidth=0.8, capsize=1.5, **look)
        if bands and line.error is not None:
            axes.fill_between(line.x, line.y - line.error, line.y + line.error, color=colour, alpha=0.2, linewidth=0)
        if line.theory is not None:
            axes.plot(line.x, line.theory, ":", color=colour, linewidth=0.8)
    _scale(axes, "x", np.concatenate([line.x for line in lines]))
    _scale(axes, "y", np.concatenate([line.y for line in lines]))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    place: dict[str, Any] = {"frameon": False, "fontsize": 7, "title_fontsize": 7}
    if len(lines) > _MOST_INSIDE:
        place |= {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        figure = axes.get_figure(root=True)
        if ax is None and figure is not None:
            figure.set_size_inches(7.0, max(3.4, 0.15 * len(lines)))
    legend = axes.legend(title=errors and f"{'bands' if bands else 'bars'}: {errors}", **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return axes


def _scale(axes: Axes, name: str, values: FloatArray) -> None:
    """Logarithmic where all values are positive, about 0 linear where some are 0, as step 0 is; else linear."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not positive.size or np.any(finite < 0) or positive.max() == positive.min():
        return
    if positive.size == finite.size:
        axes.set(**{f"{name}scale": "log"})
        if positive.max() < _WIDE * positive.min():
            _plain_ticks(axes.xaxis if name == "x" else axes.yaxis)
    elif name == "x":
        axes.set_xscale("symlog", linthresh=float(positive.min()))


def _plain_ticks(axis: Axis) -> None:
    """1, 2, 3 and 5 times powers of ten, as plain numbers: a scale of few decades has too few powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def of_statistics(
    axes: Mapping[str, Sequence[Any]],
    mean: FloatArray,
    half_width: FloatArray | None,
    usable: NDArray[np.bool_],
    *,
    x: str | None,
    metric: str,
    errors: str,
    ax: Axes | None,
) -> Axes:
    """The means along the dimension `x`, a line for each place of the others; see `Statistics.plot`."""
    numeric = [name for name, values in axes.items() if np.asarray(values).dtype.kind in "iuf"]
    if x is None:
        order = [*(name for name in _RECORDS if len(axes.get(name, ())) > 1), *_RATES, "horizon", *numeric]
        x = next((name for name in order if name in numeric), None)
        if x is None:
            raise ValueError("x must be a dimension of numbers, and the result has none: give base_lr a sequence")
    elif x not in numeric:
        raise ValueError(f"x must be one of {', '.join(map(repr, numeric)) or 'no dimension'}, got {x!r}")
    rest = dict(axes)
    arrays = [np.where(usable, mean, np.nan)] + ([] if half_width is None else [half_width])
    for name in ("metric", *_RECORDS):  # the metric that is asked for, the last record
        if name in rest and name != x:
            place = list(rest).index(name)
            chosen = list(rest[name]).index(metric) if name == "metric" else -1
            arrays = [array.take(chosen, axis=place) for array in arrays]
            del rest[name]
    told = np.empty(arrays[0].shape, dtype=object)
    told[...] = ""
    for name in _RATES:  # of each line the best at the last record, or at each x
        if name in rest and name != x:
            arrays, told, rest = _at_best(arrays, rest, name, x, highest=metric == "test_accuracy")
    along = list(rest).index(x)
    arrays = [np.moveaxis(array, along, -1) for array in arrays]
    told = np.moveaxis(told, along, -1)
    others = {name: values for name, values in rest.items() if name != x}
    places = list(np.ndindex(arrays[0].shape[:-1]))
    if len(places) > MOST_LINES:
        raise ValueError(
            f"x leaves {len(places)} lines, of which {MOST_LINES} can be told apart, got x={x!r}: plot a part, such as "
            "result.to_xarray()['mean'].sel(...)"
        )
    lines = [
        Line(
            _name(others, place, told[place]),
            np.asarray(axes[x], float),
            arrays[0][place],
            None if half_width is None else arrays[1][place],
        )
        for place in places
        if np.isfinite(arrays[0][place]).any()
    ]
    if not lines:
        raise ValueError("the result must have a mean of trajectories that did not diverge to be plotted, got none")
    label = LABELS.get(metric, f"mean {metric.replace('_', ' ')}")
    return draw(lines, x_label=LABELS.get(x, x), y_label=label, errors=ERRORS[errors], ax=ax)


def _at_best(
    arrays: list[FloatArray], axes: dict[str, Sequence[Any]], name: str, x: str, *, highest: bool
) -> tuple[list[FloatArray], NDArray[Any], dict[str, Sequence[Any]]]:
    """Arrays, and which rate it is, at the rates of the best last mean; and the axes that are left."""
    place = list(axes).index(name)
    last = arrays[0]
    if x in _RECORDS:
        last = last.take([-1], axis=list(axes).index(x))
    worst = np.where(np.isnan(last), np.inf, -last if highest else last)
    best = np.expand_dims(worst.argmin(axis=place), place)
    chosen = [np.take_along_axis(array, best, axis=place).squeeze(place) for array in arrays]
    rates = np.array([f"{name} {rate:.4g}" for rate in axes[name]], dtype=object)
    told = np.broadcast_to(rates[best].squeeze(place), chosen[0].shape)
    return chosen, told, {key: values for key, values in axes.items() if key != name}


def _name(others: Mapping[str, Sequence[Any]], place: tuple[int, ...], rates: NDArray[Any]) -> str:
    """Of a line: where it is along the other dimensions, and its learning rate where that is one."""
    parts = []
    for (name, values), i in zip(others.items(), place, strict=True):
        value = values[i]
        told = value if isinstance(value, str) else f"{name} {value:{',' if isinstance(value, int) else '.4g'}}"
        parts.append(told)
    distinct = set(rates.tolist())
    parts += distinct - {""} if len(distinct) == 1 else ["each at its best rate"]
    return ", ".join(parts) or "all"


def checked_errors(errors: object) -> str:
    """One of `ERRORS`."""
    return _validate.choice("errors", errors, ERRORS)
