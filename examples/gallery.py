"""What the examples share: their command line, the style of their pictures, and small sums."""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import anneal_sgd

# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: dict[Any, Any] = {
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.markersize": 4,
}


def exponent(x: Any, y: Any) -> float:
    """The slope of log y against log x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def picture(
    draw: Callable[[dict[str, Any], Any], None], found: dict[str, Any], path: Path, panels: int = 1, rows: int = 1
) -> None:
    """Let `draw(found, axes)` fill axes, or an array of several, and write them as PNG."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * panels + 0.8, 3.2 * rows), dpi=110, layout="constrained")
        axes = figure.subplots(rows, panels)
        draw(found, axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = BytesIO()
        figure.savefig(drawn)
        Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)  # a third of the bytes


def main(
    measure: Callable[[bool], dict[str, Any]],
    check: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any], Any], None],
    panels: int = 1,
    rows: int = 1,
) -> None:
    """Measure, draw, and check; print what was found, and how long it took."""
    script = Path(inspect.getfile(measure))
    parser = argparse.ArgumentParser(description=measure.__globals__["__doc__"].partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="at the size of the tests, about a second")
    parser.add_argument("--output", type=Path, default=Path("out/examples"), help="folder of the picture")
    arguments = parser.parse_args()
    start, busy = time.perf_counter(), time.process_time()
    found = measure(arguments.small)
    took, busy = time.perf_counter() - start, time.process_time() - busy
    path = arguments.output / f"{script.stem}.png"
    picture(draw, found, path, panels, rows)
    print(check(found))
    print(
        f"{path}; {took:.0f} s, {busy:.0f} s of processors, anneal_sgd {anneal_sgd.__version__}, NumPy {np.__version__}"
    )
