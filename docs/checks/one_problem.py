"""One problem that is nearly the worst at every rho: the paragraph on `spread` in docs/validate.md.

    python docs/checks/one_problem.py [REPLICATES]

The sum over ten coordinates is the mean of ten problems in one dimension, which are run here, with Rademacher noise, at
T = 10 000.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import problems, schedules, simulate, theory
from anneal_sgd.experiments import _families

RHO = 2.0 ** np.arange(3, 9)
SLOPES = 2.0 ** -np.arange(1, 7)
SCHEDULES = (schedules.Linear(), schedules.Polynomial(3))


def measure(schedule: schedules.Schedule, horizon: int, replicates: int) -> NDArray[np.float64]:
    """Mean suboptimality of the sum: (slope a, rho)."""
    ends = math.sqrt(_families.SPREAD.size)
    found = []
    for a in SLOPES:
        slopes = a * _families.SPREAD * ends
        noise = math.sqrt(1 - np.sum((a * _families.SPREAD) ** 2))
        family = [
            problems.AbsoluteValue(
                slope=slope, noise="rademacher", noise_std=noise, projection=("box", -1.0, 1.0), x0=1.0
            )
            for slope in slopes.tolist()
        ]
        rates = RHO * theory.tuned_base_lr(schedule, horizon)
        result = simulate(family, schedule, base_lr=rates, horizon=horizon, replicates=replicates)
        found.append(np.asarray(result.mean).reshape(len(family), RHO.size).mean(axis=0))
    return np.array(found)


def show(replicates: int) -> None:
    """A line for each slope a."""
    for schedule in SCHEDULES:
        means = measure(schedule, 10_000, replicates)
        for a, mean in zip(SLOPES, means, strict=True):
            behind = 100 * np.max(1 - mean / means.max(axis=0))
            exponent = np.polyfit(np.log(RHO), np.log(mean), 1)[0]
            print(f"{schedule.name:13} a = 1/{1 / a:2.0f}", end=": ")
            print(f"at most {behind:.1f} % below the worst, exponent {exponent:.3f}", flush=True)


if __name__ == "__main__":
    show(int(sys.argv[1]) if len(sys.argv) > 1 else 4_096)
