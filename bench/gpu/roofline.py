"""The picture of a profile, its instruction roofline: python bench/gpu/roofline.py profile.json PICTURE

Thread instructions per second against thread instructions per byte of device memory, below what the multiprocessors can
issue (one warp's instruction per scheduler and cycle, at the clock that the kernel ran at) and what the memory can
bring, as in Ding and Williams, "An Instruction Roofline Model for GPUs", 2019. These kernels are bound by instructions
of every kind, so that a roofline of floating-point operations would say little.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

WARP = 32


@dataclass(frozen=True)
class Point:
    """One kernel."""

    name: str
    rate: float
    """Thread instructions/s."""
    intensity: float
    """Thread instructions per byte of device memory."""
    most: float
    """Thread instructions/s that all multiprocessors issue at most."""
    bandwidth: float
    """Bytes/s of device memory at most."""


def point(name: str, found: dict[str, Any]) -> Point:
    instructions = WARP * found["smsp__inst_executed.sum"]
    schedulers = round(found["smsp__inst_executed.sum"] / found["smsp__inst_executed.avg"])
    return Point(
        name,
        instructions / (found["gpu__time_duration.sum"] * 1e-9),
        instructions / max(found["dram__bytes.sum"], 1.0),
        WARP * schedulers * found["smsp__cycles_elapsed.avg.per_second"],
        found["dram__bytes.sum.peak_sustained"] * found["dram__cycles_elapsed.avg.per_second"],
    )


def picture(points: list[Point], device: str) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    most, bandwidth = max(p.most for p in points), max(p.bandwidth for p in points)
    left = min(0.1 * most / bandwidth, *(p.intensity / 3 for p in points))
    right = max(10 * most / bandwidth, *(p.intensity * 3 for p in points))
    axis.plot([left, most / bandwidth, right], [left * bandwidth, most, most], color="#555555")
    for p, colour in zip(points, ("#D55E00", "#0072B2", "#009E73", "#CC79A7"), strict=False):
        axis.plot(
            p.intensity, p.rate, "o", color=colour, label=f"{p.name}: {100 * p.rate / p.most:.0f} % of the issue slots"
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("thread instructions per byte of device memory")
    axis.set_ylabel("thread instructions/s")
    axis.set_title(device, fontsize=9)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    profiled = [step for step in report["steps"] if "smsp__inst_executed.sum" in step["found"]]
    points = [point(step["name"], step["found"]) for step in profiled]
    picture(points, report["machine"]["device"]["name"]).savefig(sys.argv[2], dpi=200)


if __name__ == "__main__":
    main()
