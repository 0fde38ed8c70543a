"""How often the intervals of `anneal-sgd grid` miss: what docs/grid.md says of them.

    python docs/checks/grid_intervals.py [RUNS [REPLICATES]]       500 runs of 128 replicates; 300 of 32

|x| with Gaussian noise, 16 learning rates, T = 100; the truth is that of all replicates together. Of the picks of a few
runs per learning rate, of the first 200 runs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.experiments import GridRow, grid

PROBLEM = problems.AbsoluteValue(slope=0.3, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))
SCHEDULES = (schedules.Constant(), schedules.Linear(), schedules.Cosine(), schedules.Polynomial(3))
PICKED = (schedules.Linear(), schedules.Polynomial(3))
RUNS_PER_POINT = (1, 3, 10)
MOST_PICKS = 200


def rows(
    schedule: schedules.Schedule, runs: int, replicates: int, few: tuple[int, ...]
) -> tuple[list[GridRow], GridRow]:
    """Those of every run, and that of all replicates together."""
    lr = grid.fine_grid((1e-3, 1.0), 5, 100.0)
    result = simulate(PROBLEM, schedule, base_lr=lr, horizon=100, replicates=replicates * runs, keep_samples=True)
    pool = np.asarray(result.samples, np.float64).reshape(lr.size, -1)
    meta: dict[str, Any] = {"metric": "suboptimality", "points_per_decade": 5, "largest_resolution": 100.0}
    blocks = np.split(pool, runs, axis=1)

    def row(block: np.ndarray[Any, Any], seed: int) -> GridRow:
        return grid._rows(schedule, lr, block[None], [{**meta, "runs_per_point": few, "seed": seed}], lambda: None)[0]

    return [row(block, i) for i, block in enumerate(blocks)], row(pool, runs)


def missed(found: list[Any], truth: Any) -> tuple[list[float], list[float]]:
    """Shares in % of upper ends below the truth and of lower ends above it, for every resolution but the fine grid."""
    low, high = (np.array([getattr(row, name) for row in found])[:, 1:] for name in ("worst_low", "worst_high"))
    true = np.array(truth.worst_excess)[1:]
    return (100 * np.mean(high < true, axis=0)).tolist(), (100 * np.mean(low > true, axis=0)).tolist()


def show(runs: int, replicates: int) -> None:
    """Lines for the worst excess, then for picks."""
    for schedule in SCHEDULES:
        upper, lower = missed(*rows(schedule, runs, replicates, ()))
        print(f"{schedule.name:13} worst excess: upper ends missed in {min(upper):.1f} to {max(upper):.1f} %", end=", ")
        print(f"lower ends in {min(lower):.1f} to {max(lower):.1f} %", flush=True)
    for schedule in PICKED:
        found, truth = rows(schedule, min(runs, MOST_PICKS), replicates, RUNS_PER_POINT)
        for k, n in enumerate(RUNS_PER_POINT):
            both = np.ravel(missed([row.picks[k] for row in found], truth.picks[k]))
            print(
                f"{schedule.name:13} picks of {n:2} runs: each end missed in {min(both):.1f} to {max(both):.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    show(int(sys.argv[1]) if len(sys.argv) > 1 else 500, int(sys.argv[2]) if len(sys.argv) > 2 else 128)
