"""Speeds by commit: python bench/history.py [FILE]

Every committed RESULTS.md is a full run, so the repository's own history is that of the speeds. Prints, for runs on
one kind of machine, a table of cases by commit: units/s, and how many times the fastest peer's in the same run that is.
With FILE, of `anneal-sgd bench --peers --json FILE`, that run is the last column. A case is named below its table where
its newest rate is less than nine tenths of the median of the three runs before, and so is the ratio to its peer, which
moves less with the machine's moods. A clone without history has one column.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from results import Report, scaled, table, text

_RESULTS = "bench/RESULTS.md"
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SLOWER = 0.9
_RUNS_BEFORE = 3


@dataclass(frozen=True)
class Speed:
    rate: float
    beside: float | None  # over the fastest peer's

    def __str__(self) -> str:
        return scaled(self.rate) + (f" ({self.beside:.3g})" if self.beside else "")


@dataclass(frozen=True)
class Run:
    name: str
    machine: str
    speeds: dict[str, Speed]


def read(name: str, page: str) -> Run:
    """The run that a RESULTS.md tells."""
    found = re.search(r"^(\S+) (?:virtual )?cores of (?:an )?(.*?)[;,(].*?(scalar|avx2|avx512|neon)", page, re.M | re.S)
    machine = f"{found[1].lower().replace('two', '2')} cores of {found[2].strip()}; {found[3]}" if found else "unknown"
    speeds: dict[str, Speed] = {}
    case = ""
    for line in page.split("\n## ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rate = re.match(r"([\d.]+) ?([kMGT]?) ", cells[2] + " ") if len(cells) > 4 else None
        if rate is None:
            continue
        if cells[0]:
            case = cells[0]
            speeds[case] = Speed(float(rate[1]) * _UNITS[rate[2]], None)
        elif speeds[case].beside is None:  # the fastest comes first
            speeds[case] = Speed(speeds[case].rate, float(cells[4]))
    return Run(name, machine, speeds)


def committed() -> list[Run]:
    """The oldest first."""
    git = ["git", "-C", str(Path(__file__).parent.parent)]

    def output(*arguments: str) -> str:
        return subprocess.run([*git, *arguments], capture_output=True, text=True, encoding="utf-8", check=True).stdout

    commits = output("log", "--reverse", "--format=%h %as", "--", _RESULTS).splitlines()
    runs = [read(told, output("show", f"{told.split()[0]}:{_RESULTS}")) for told in commits]
    return [run for before, run in zip([None, *runs], runs, strict=False) if not before or run.speeds != before.speeds]


def slower(runs: list[Run]) -> list[str]:
    """What there is to say of cases that are slower in the newest run."""
    *before, newest = runs
    told = []
    for case, now in newest.speeds.items():
        then = [run.speeds[case] for run in before if case in run.speeds][-_RUNS_BEFORE:]
        ratios = [speed.beside for speed in then if speed.beside]
        rate = statistics.median(speed.rate for speed in then) if then else 0.0
        if now.rate >= _SLOWER * rate or (now.beside or 0.0) >= _SLOWER * statistics.median(ratios or [math.inf]):
            continue
        told.append(f"{case}: {now}; of the runs before {scaled(rate)}")
    return told


def page(runs: list[Run]) -> str:
    parts = ["# Speeds by commit: units/s, and times the fastest peer's"]
    for machine in dict.fromkeys(run.machine for run in runs):
        columns = [run for run in runs if run.machine == machine]
        cases = dict.fromkeys(case for run in reversed(columns) for case in run.speeds)
        rows = ([case, *(str(run.speeds.get(case, "")) for run in columns)] for case in cases)
        parts += [f"## {machine}", table(["case", *(run.name for run in columns)], rows)]
        parts += ["Slower:\n\n" + "\n".join(f"- {line}" for line in told)] if (told := slower(columns)) else []
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    this = [read("this run", text(Report(json.loads(Path(p).read_text(encoding="utf-8"))))) for p in sys.argv[1:]]
    sys.stdout.write(page([*committed(), *this]))
