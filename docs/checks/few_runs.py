"""What the pick of one run per learning rate loses where runs differ: the small table of docs/grid.md.

    python docs/checks/few_runs.py [DATA_SETS]

Logistic regression, n = 300, d = 5 and 20, a tenth of the labels flipped, no rows held out, batch 16, T = 1 000, on so
many data sets (20). Means over the data sets with 95 % intervals of Student's t: of one data set they say little.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from anneal_sgd import problems, schedules
from anneal_sgd.experiments import GridReport, grid_robustness

SCHEDULES = (schedules.Constant(), schedules.Cosine(), schedules.Polynomial(3))
RESOLUTIONS = (10**0.1, 10.0)
RUNS = (1, 3)


def regression(dimension: int, seed: int) -> problems.LogisticRegression:
    """The labels of a logistic model, of which the output has the variance of the default data's."""
    rng = np.random.default_rng([seed, dimension])
    X = rng.standard_normal((300, dimension))
    z = X @ rng.standard_normal(dimension) * 0.3 * np.sqrt(100 / dimension)
    positive = rng.random(300) < 1 / (1 + np.exp(-z))
    return problems.LogisticRegression(X, positive ^ (rng.random(300) < 0.1), l2=1 / 300, batch_size=16)


def measure(dimension: int, seed: int, replicates: int = 128, horizon: int = 1_000) -> GridReport:
    """The experiment on one data set."""
    return grid_robustness(
        regression(dimension, seed),
        schedules=SCHEDULES,
        horizon=horizon,
        replicates=replicates,
        runs_per_point=RUNS,
        seed=seed,
    )


def excess(report: GridReport) -> NDArray[np.float64]:
    """Mean over offsets, in %: (schedule, resolution, runs per learning rate: 1, 3, all)."""
    at = [int(np.argmin(np.abs(np.log(np.array(report.rows[0].resolution) / r)))) for r in RESOLUTIONS]
    rows = [[*(few.mean_excess for few in row.picks), row.mean_excess] for row in report.rows]
    return 100 * np.array(rows)[:, :, at].transpose(0, 2, 1)


def within(values: NDArray[np.float64]) -> str:
    """The mean over the first axis, one number for every data set, and half its 95 % interval."""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.0f} ± {half:.0f}"


def show(dimension: int, data_sets: int) -> None:
    """A line for each schedule, and for what annealed ones lose less than the constant one."""
    found = np.array([excess(measure(dimension, seed)) for seed in range(data_sets)])
    for k, schedule in enumerate(SCHEDULES):
        print(f"| {dimension} | {schedule.name} | {' | '.join(map(within, found[:, k].reshape(data_sets, -1).T))} |")
    for k, schedule in enumerate(SCHEDULES[1:], 1):
        less = (found[:, 0] - found[:, k]).reshape(data_sets, -1).T
        print(f"| | constant − {schedule.name} | {' | '.join(map(within, less))} |", flush=True)


if __name__ == "__main__":
    print(
        "| d | schedule |",
        " | ".join(f"r = {r:.3g}: {n}" for r in RESOLUTIONS for n in ("1 run", "3 runs", "all")),
        "|",
    )
    for dimension in (5, 20):
        show(dimension, int(sys.argv[1]) if len(sys.argv) > 1 else 20)
