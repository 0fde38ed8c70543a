"""RESULTS.md of a run of `anneal-sgd bench --peers --scaling --json FILE`: python bench/results.py FILE > RESULTS.md

Tables of all that ran, and of the targets: which are reached in this run, and by how much.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anneal_sgd.benchmark import OURS, SCALING


class Report:
    """A run's figures, by case."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.cases: dict[str, list[dict[str, Any]]] = {}
        for row in told["rows"]:
            self.cases.setdefault(row["case"], []).append(row)

    def rate(self, case: str) -> float:
        return float(self.cases[case][0]["rate"])  # ours comes first

    def others(self, case: str) -> list[dict[str, Any]]:
        """Peers with a time, the fastest first, or the case of ours that it runs beside."""
        timed = (row for row in self.cases[case] if row["what"] != OURS and row["seconds"])
        return sorted(timed, key=lambda row: -row["rate"])

    def beside(self, case: str) -> float:
        """Its rate over that of the fastest peer, or of the case of ours that it runs beside."""
        return self.rate(case) / float(self.others(case)[0]["rate"])

    def speedup(self) -> float:
        """Of two threads."""
        rates = {row["case"]: float(row["rate"]) for row in self.told["scaling"]["threads"]}
        return rates["threads-2"] / rates["threads-1"]


@dataclass(frozen=True)
class Target:
    """What was asked for. A limit is the least that will do, or the most where `most` is set."""

    what: str
    limit: float
    value: Callable[[Report], float]
    shown: Callable[[Report, float], str]
    most: bool = False

    def row(self, report: Report) -> list[str]:
        try:
            value = self.value(report)
        except LookupError:  # of a case, a peer or a series that the run did not have
            return [self.what, "not measured", ""]
        reached = value <= self.limit if self.most else value >= self.limit
        return [self.what, self.shown(report, value), "yes" if reached else "no"]


def times(what: str, case: str, limit: float) -> Target:
    def shown(report: Report, value: float) -> str:
        return ", ".join(f"{report.rate(case) / row['rate']:.3g} ({row['what']})" for row in report.others(case)[:2])

    return Target(f"{what}: ≥ {limit:g} times the fastest peer", limit, lambda report: report.beside(case), shown)


def percent(report: Report, value: float) -> str:
    return f"{round(100 * value)} %"


def microseconds(report: Report, value: float) -> str:
    return f"{1e6 * value:.1f} us"


TARGETS = (
    times("1-D, Gaussian", "abs-gaussian", 12),
    Target("the same: ≥ 3.5 G steps/s", 3.5e9, lambda r: r.rate("abs-gaussian"), lambda r, v: f"{v / 1e9:.2f} G"),
    times("1-D, Rademacher", "abs-rademacher", 60),
    times("d = 16, Gaussian", "quadratic-16-gaussian", 10),
    times("d = 1 000, Gaussian", "quadratic-1000-gaussian", 8),
    times("1-D, Gaussian, float64", "abs-gaussian-float64", 6),
    Target("10⁴ configs × 100 replicates: ≥ 80 % of the rate of 1 × 10⁶", 0.8,
           lambda r: r.beside("abs-gaussian-10000-configs"), percent),
    Target("polynomial 2.5: ≤ 3 % slower than constant", 0.03,
           lambda r: r.beside("abs-gaussian-constant") - 1, percent, most=True),
    Target("20 log-spaced records: ≤ 5 % slower, T = 1 000, Gaussian", 0.05,
           lambda r: 1 / r.beside("abs-gaussian-20-records") - 1, percent, most=True),
    Target("the same, T = 10 000, Rademacher", 0.05,
           lambda r: 1 / r.beside("abs-rademacher-20-records") - 1, percent, most=True),
    Target("tiny call (1 config, 64 replicates, T = 10): ≤ 20 us with `Simulator`", 20e-6,
           lambda r: r.told["tiny_calls"]["Simulator.run"], microseconds, most=True),
    Target("the same: ≤ 60 us with `simulate`", 60e-6, lambda r: r.told["tiny_calls"]["simulate"], microseconds,
           most=True),
    Target("two threads: ≥ 1.9 times one", 1.9, Report.speedup, lambda r, v: f"{v:.2f}"),
    Target("import: ≤ 0.15 s over NumPy's", 0.15, lambda r: r.told["costs"]["import_seconds"],
           lambda r, v: f"{v:.2f} s", most=True),
    Target("peak memory of a process, 10⁸ trajectories, moments only: ≤ 200 MB", 200e6,
           lambda r: r.told["costs"]["peak_memory"], lambda r, v: f"{v / 1e6:.0f} MB", most=True),
)  # fmt: skip


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def scaled(rate: float) -> str:
    return f"{rate / 1e9:.3g} G" if rate >= 1e9 else f"{rate / 1e6:.3g} M"


def contestants(report: Report) -> Iterable[list[str]]:
    for case, rows in report.cases.items():
        mine = next(row for row in rows if row["what"] == OURS)
        for row in [mine, *report.others(case)]:
            low, high = (row["work"] / end(row["seconds"]) for end in (max, min))
            yield [
                case if row is mine else "",
                row["what"],
                f"{scaled(row['rate'])} ({scaled(low)} to {scaled(high)})",
                f"{1e9 / row['rate']:.3g}",
                "" if row is mine else f"{mine['rate'] / row['rate']:.3g}",
                f"{100 * row['limit_fraction']:.0f} %" if row["limit_fraction"] else "",
                f"{row['compile_seconds']:.1f} s" if row["compile_seconds"] >= 0.05 else "",
            ]


def able(report: Report) -> str:
    rates = report.told["rates"]
    if not rates:
        return "For these instructions no limits are known."
    shown = ", ".join(f"{sort.replace('_', ' ')} {scaled(rate)}" for sort, rate in rates.items())
    return f"Vectors/s that all cores begin, float32, measured in the same run: {shown}."


def text(report: Report) -> str:
    told = report.told["machine"]
    libraries = [name for name in ("NumPy", "Numba", "JAX", "PyTorch") if name in told]
    versions = ", ".join(f"{name} {told[name].split('+')[0]}" for name in libraries)
    parts = [
        f"# Results\n\n    anneal-sgd bench --peers --scaling --rounds {told['rounds']} --json bench.json\n"
        "    python bench/results.py bench.json > bench/RESULTS.md\n"
        "    python bench/plot.py bench.json docs/images/performance.png",
        f"{told['cores']} cores of {told['processor']}; {told['isa']}, {OURS} {told['anneal_sgd']}, "
        f"Python {told['python']}, {versions}; {told['date']}.\n\n"
        f"Medians (min to max) of {told['rounds']} interleaved rounds. A unit is a coordinate-step of a separable\n"
        "problem and a multiply-add of a problem on data. Unless the name says otherwise: float32, |x| on a box or a\n"
        "quadratic, polynomial schedule of degree 2.5. The limit: what the cores do at most with the operations that\n"
        "were counted for a step, or with the multiply-adds and rows of a problem on data.\n\n"
        f"{able(report)}",
        table(
            ["case", "what", "units/s", "ns per unit", "ours / it", "of the limit", "compiled in"], contestants(report)
        ),
        "## Targets\n\n[NOTES.md](NOTES.md) says what forbids those that are missed.",
        table(["target", "this run", "reached"], (target.row(report) for target in TARGETS)),
        "## Scaling: time per unit of work must stay flat",
    ]
    for series in SCALING:
        rows = report.told["scaling"].get(series.name, ())
        sizes = [f"{int(row['case'].removeprefix(series.name + '-')):,}".replace(",", " ") for row in rows]
        spent = [f"{1e9 / row['rate']:.3g}" for row in rows]
        parts += [series.note, table([series.size, *sizes], [["ns per coordinate-step", *spent]])] if rows else []
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(text(Report(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
