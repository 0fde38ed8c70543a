"""Compare two builds, interleaved.

python bench/compare.py A B [--rounds 15] [--case NAME ...] [--threads N] [--tiny]

A and B are Python interpreters that have anneal_sgd with its benchmark cases, such as .venv/bin/python of two
checkouts. A process of each runs a case by turns, in the order A B, B A, A B, ...; what is printed is the median of the
ratios of two neighbouring runs, B's speed over A's, with a 95 % band from a bootstrap over rounds. A band that holds 1
shows no difference.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

import numpy as np

WORKER = """
import sys, time
from anneal_sgd.benchmark import CASES
from anneal_sgd.benchmark._harness import ours
threads, tiny = int(sys.argv[1]), sys.argv[2] == "tiny"
cases, runs = {case.name: case.tiny() if tiny else case for case in CASES}, {}
for line in sys.stdin:
    name, seed = line.split()
    case = cases[name]
    run = runs.setdefault(name, ours(case, threads))
    began = time.perf_counter()
    run(case.horizon, int(seed))
    print(time.perf_counter() - began, flush=True)
"""


class Build:
    """A process that runs cases on request."""

    def __init__(self, python: str, threads: int, tiny: bool) -> None:
        self.python = python
        command = [python, "-c", WORKER, str(threads), "tiny" if tiny else "whole"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, case: str, seed: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(f"{case} {seed}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.python} has stopped: does it have anneal_sgd with its benchmark cases?")
        return float(answer)


def band(ratios: list[float]) -> tuple[float, float]:
    """Of the median: 95 %."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def main() -> int:
    from anneal_sgd import runtime
    from anneal_sgd.benchmark import CASES

    known = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", choices=known, action="append", help="default: every case")
    parser.add_argument("--threads", type=int, default=runtime.cpu_count())
    parser.add_argument("--tiny", action="store_true", help="a small part of the work: only to see that all runs")
    options = parser.parse_args()
    builds = [Build(python, options.threads, options.tiny) for python in (options.a, options.b)]
    print("| case | A, s | B, s | B's speed / A's (95 %) |\n|---|---|---|---|")
    for case in options.case or known:
        times: tuple[list[float], list[float]] = ([], [])
        for round_ in range(options.rounds + 1):
            for which in (0, 1) if round_ % 2 else (1, 0):
                taken = builds[which].seconds(case, round_)
                if round_:  # the first warms up
                    times[which].append(taken)
        ratios = [a / b for a, b in zip(*times, strict=True)]
        low, high = band(ratios)
        a, b = map(statistics.median, times)
        print(f"| {case} | {a:.3g} | {b:.3g} | {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}) |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
