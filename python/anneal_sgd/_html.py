"""Results as notebooks show them: a small table of means and where they come from, in plain HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import prod
from typing import Any

import numpy as np

from ._statistics import Statistics

_MOST_ROWS = 16  # of a table; of more the first and the last are shown


def shown(title: str, statistics: Statistics, axes: Mapping[str, Sequence[Any]], facts: Mapping[str, object]) -> str:
    """A table with a row for every place along the axes, in C order, and the facts below it.

    Everything is escaped. `diverged` has a column where there is any.
    """
    names = ["mean", "stderr", *(["diverged"] if statistics.diverged.any() else [])]
    shape = tuple(len(values) for values in axes.values())
    size = prod(shape)
    half = _MOST_ROWS // 2
    places = range(size) if size <= _MOST_ROWS else [*range(half), *range(size - half, size)]
    lines = [_row("th", [*axes, *names])]
    for number, place in enumerate(places):
        if size > _MOST_ROWS and number == half:
            lines.append(_row("td", [f"... {size - _MOST_ROWS:,} more"] + [""] * (len(axes) + len(names) - 1)))
        at = np.unravel_index(place, shape)
        coordinates = [values[int(i)] for values, i in zip(axes.values(), at, strict=True)]
        lines.append(_row("td", [*coordinates, *(getattr(statistics, name)[at] for name in names)]))
    sizes = " × ".join(f"{name}: {n:,}" for name, n in zip(axes, shape, strict=True))
    heading = f"<strong>{escape(title)}</strong>" + (f" {escape(sizes)}" if sizes else "")
    told = "".join(_row("td", fact) for fact in facts.items())
    return (
        f"<div><p>{heading}</p><table>{''.join(lines)}</table>"
        f"<details><summary>provenance</summary><table>{told}</table></details></div>"
    )


def by_parameters(problems: int, varying: Mapping[str, Any]) -> list[str]:
    """Problems by the numbers in which they differ; by their own number where nothing else tells them apart.

    >>> by_parameters(2, {"slope": [0.1, 0.3], "x0": [[1.0, 2.0], [3.0, 4.0]]})
    ['slope = 0.1', 'slope = 0.3']
    """
    told = {name: values for name, values in varying.items() if np.ndim(values) == 1}
    names = [", ".join(f"{name} = {_text(values[i])}" for name, values in told.items()) for i in range(problems)]
    return names if len(set(names)) == problems else [str(i) for i in range(problems)]


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(_text(cell))}</{tag}>' for cell in cells)}</tr>"


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)
