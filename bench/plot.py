"""The picture of a run of `anneal-sgd bench --peers --json FILE`: python bench/plot.py FILE PICTURE

Trajectory-steps/s of every contestant, per case that has peers; an annotation says how many times the fastest peer's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from anneal_sgd._drawing import STYLE

COLOURS = {
    "anneal_sgd": "#D55E00",
    "C++": "#000000",
    "Numba": "#0072B2",
    "JAX": "#009E73",
    "NumPy": "#E69F00",
    "PyTorch": "#CC79A7",
}
TITLES = {
    "abs-gaussian": "|x|, Gaussian",
    "abs-rademacher": "|x|, Rademacher",
    "abs-gaussian-float64": "|x|, Gaussian, float64",
    "quadratic-16-gaussian": "quadratic, d = 16",
    "quadratic-1000-gaussian": "quadratic, d = 1 000",
    "logistic-1": "logistic, d = 100, batch 1",
    "logistic-16": "the same, batch 16",
    "logistic-1-shared": "same rows for all, batch 1",
    "logistic-16-shared": "the same, batch 16",
    "mlp-digits-32": "network 64-32-10, batch 32",
}


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rows = [row for row in report["rows"] if row["case"] in TITLES and row["seconds"]]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 4.6), layout="constrained")
        axis = figure.subplots()
        axis.set_xscale("log")
        names = list(TITLES)
        for row in rows:
            y = len(names) - 1 - names.index(row["case"])
            family, ours = row["what"].split()[0], row["what"] == "anneal_sgd"
            marker = "o" if ours else "D" if "rbg" in row["what"] else "^" if "vmap" in row["what"] else "s"
            rate = row["trajectory_steps_per_second"]
            axis.plot(rate, y, marker, color=COLOURS[family], markersize=8 if ours else 5, zorder=3 if ours else 2)
        for case in names:
            some = [row for row in rows if row["case"] == case]
            best = max((r["rate"] for r in some if r["what"] != "anneal_sgd"), default=None)
            ours = next((r for r in some if r["what"] == "anneal_sgd"), None)
            if best is not None and ours is not None:
                y = len(names) - 1 - names.index(case)
                place = ours["trajectory_steps_per_second"]
                axis.annotate(
                    f"{ours['rate'] / best:.1f} ×", (place * 1.35, y), va="center", fontsize=8, color="#D55E00"
                )
        for name, colour in COLOURS.items():
            axis.plot([], [], "o" if name == "anneal_sgd" else "s", color=colour, label=name)
        axis.set_yticks(range(len(names)), [TITLES[name] for name in reversed(names)])
        axis.set_xlabel("trajectory-steps/s; × the fastest peer's")
        axis.set_xlim(right=axis.get_xlim()[1] * 3)
        axis.legend(fontsize=8, loc="lower right")
        told = report["machine"]
        versions = ", ".join(f"{k} {told[k]}" for k in ("NumPy", "Numba", "JAX", "PyTorch") if k in told)
        figure.supxlabel(
            f"{told['cores']} cores of {told['processor']}, {told['isa']}; {versions}; {told['date']}",
            fontsize=6, color="#555555",
        )  # fmt: skip
        figure.savefig(sys.argv[2], dpi=200)


if __name__ == "__main__":
    main()
