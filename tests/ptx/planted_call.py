"""A small ensemble on the GPU that is played and on the CPU: prints the error, 'other bits' or 'equal bits'."""

from __future__ import annotations

from typing import Any

import numpy as np

from anneal_sgd import problems, schedules, simulate


def main() -> str:
    problem = problems.AbsoluteValue(np.full(5, 0.5), noise="gaussian", noise_std=1.0, projection=("ball", 0.7), x0=0.2)
    size: dict[str, Any] = {"base_lr": [0.1, 0.4], "horizon": 140, "record_at": [3, 140], "replicates": 300, "seed": 7}
    expected, got = (
        simulate(problem, schedules.Linear(), backend=backend, keep_samples=True, **size) for backend in ("cpu", "cuda")
    )
    same = all(np.array_equal(getattr(got, name), getattr(expected, name)) for name in ("samples", "mean", "stderr"))
    return "equal bits" if same else "other bits"


if __name__ == "__main__":
    try:
        print(main())
    except RuntimeError as error:
        print(error)
