"""Times of calls by the clock on the wall and by CUDA's events around them: python bench/gpu/events.py [--tiny]

Prints JSON, by case: medians in seconds of both, and units of work of a call. Events leave out what Python does before
the first command reaches the device and after the last one has ended. Needs CuPy.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import cupy

from anneal_sgd import runtime, schedules
from anneal_sgd.benchmark import GPU_CASES, Case
from anneal_sgd.benchmark._cases import absolute_value
from anneal_sgd.benchmark._harness import ours

TINY_CALL = Case("tiny-call", lambda: absolute_value("gaussian"), schedules.Linear(), 1, 64, 10, base_lr=0.1)
REPEATS = {"gpu-abs-rademacher": 5, "gpu-abs-gaussian": 5, "tiny-call": 1000}


def measure(case: Case, repeats: int) -> dict[str, float]:
    run = ours(case, runtime.cpu_count(), gpu=True)
    walls, spans = [], []
    for seed in range(repeats + 1):
        first, last = cupy.cuda.Event(), cupy.cuda.Event()
        began = time.perf_counter()
        first.record()
        run(case.horizon, seed)
        last.record()
        last.synchronize()
        walls.append(time.perf_counter() - began)
        spans.append(cupy.cuda.get_elapsed_time(first, last) / 1e3)
    work = float(case.trajectories) * case.horizon * case.work_per_step
    return {"wall": statistics.median(walls[1:]), "events": statistics.median(spans[1:]), "work": work}


def main() -> None:
    tiny = sys.argv[1:] == ["--tiny"]
    found = {}
    for case in (*GPU_CASES, TINY_CALL):
        if case.name in REPEATS:
            found[case.name] = measure(case.tiny() if tiny else case, 2 if tiny else REPEATS[case.name])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
