"""What all pictures of Matplotlib share: their style, and how they are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._extras import need
from ._files import replaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision; then the same with other dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7f7f7f")
DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "D")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.which": "major",
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "svg.hashsalt": "anneal_sgd",
}


def new_axes() -> Axes:
    """Of a figure of pyplot's, which notebooks show; the size of a column of two. ImportError: no Matplotlib."""
    pyplot = need("plots", "matplotlib.pyplot")
    with pyplot.rc_context(STYLE):
        axes: Axes = pyplot.subplots(figsize=(4.8, 3.4), dpi=150, layout="constrained")[1]
    return axes


def saved(figures: dict[str, Figure], directory: Path, description: str | None = None) -> list[Path]:
    """Write every figure as PNG and SVG under its name, with a description in the files; return the paths."""
    paths = []
    told = {} if description is None else {"Description": description}
    for name, figure in figures.items():
        for suffix in ("png", "svg"):
            paths.append(directory / f"{name}.{suffix}")
            with replaced(paths[-1]) as temporary:
                figure.savefig(temporary, dpi=200, metadata={**told, **({"Date": None} if suffix == "svg" else {})})
    return paths
