"""Time the cases on this machine: median of interleaved repetitions, as a Markdown table.

python bench/run.py [--repeats 7] [--threads 1 2] [--isa avx512] [--tiny]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np

import anneal_sgd
from cases import CASES, Case


def seconds(case: Case, threads: int, shrink: int) -> float:
    base_lr = np.geomspace(0.01, 0.1, case.configs)
    start = time.perf_counter()
    anneal_sgd.simulate(
        case.problem,
        case.schedule,
        base_lr=base_lr,
        horizon=max(1, case.horizon // shrink),
        replicates=max(1, case.replicates // shrink),
        dtype=case.dtype,
        common_random_numbers=case.common_random_numbers,
        threads=threads,
    )
    return time.perf_counter() - start


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, anneal_sgd.runtime.cpu_count()}))
    parser.add_argument("--isa", choices=anneal_sgd.runtime.supported_isas())
    parser.add_argument(
        "--tiny", action="store_true", help="a thousandth of the work: only to see that every case runs"
    )
    options = parser.parse_args()
    anneal_sgd.runtime.set_isa(options.isa)
    shrink = 32 if options.tiny else 1
    times: dict[tuple[Case, int], list[float]] = {(case, n): [] for case in CASES for n in options.threads}
    for repeat in range(options.repeats + 1):
        for (case, threads), taken in times.items():
            elapsed = seconds(case, threads, shrink)
            if repeat > 0:  # the first round warms up
                taken.append(elapsed)
    print(f"{processor()}, {anneal_sgd.runtime.isa()}, anneal_sgd {anneal_sgd.__version__}, {options.repeats} runs\n")
    print("| case | threads | G coordinate-steps/s, median (min to max) |")
    print("|---|---|---|")
    for (case, threads), taken in times.items():
        work = case.coordinate_steps / shrink**2 / 1e9
        rates = [work / t for t in taken]
        print(f"| {case.name} | {threads} | {statistics.median(rates):.2f} ({min(rates):.2f} to {max(rates):.2f}) |")


if __name__ == "__main__":
    main()
