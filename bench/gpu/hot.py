"""Run a case for a profiler: python bench/gpu/hot.py CASE [--tiny]. Prints its trajectories and steps as JSON.

Shortened to about a tenth of a second on a large GPU: Nsight Compute runs a kernel once for every group of counters.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from anneal_sgd import runtime
from anneal_sgd.benchmark import GPU_CASES
from anneal_sgd.benchmark._harness import ours

SHORTER = 8


def main() -> None:
    case = next(case for case in GPU_CASES if case.name == sys.argv[1])
    case = case.tiny() if sys.argv[2:] == ["--tiny"] else replace(case, horizon=max(1, case.horizon // SHORTER))
    ours(case, runtime.cpu_count(), gpu=True)(case.horizon, 0)
    print(json.dumps({"case": case.name, "trajectories": case.trajectories, "steps": case.horizon}))


if __name__ == "__main__":
    main()
