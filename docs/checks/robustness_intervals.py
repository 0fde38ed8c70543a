"""How often the intervals of `robustness` hold the truth: what docs/campaigns.md says of the largest exponent.

    python docs/checks/robustness_intervals.py [TRIALS]

Means scatter by 2 % around the last-iterate bounds of four schedules at T = 10 000, rho in half-octaves from 1/4 to
1 024.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import problems, schedules, theory
from anneal_sgd.campaigns import Campaign, CampaignResult, robustness
from anneal_sgd.campaigns._cells import CELL

NAMES = ("constant", "linear", "cosine", "polynomial(3)")
RHO = 2.0 ** (np.arange(-4, 21) / 2)
RELATIVE, HORIZON, COUNT = 0.02, 10_000, 10_000


def result(values: NDArray[np.float64]) -> CampaignResult:
    """With these means, (schedule, rho), and standard errors of 2 %."""
    cells = np.zeros((values.size, 1), CELL)
    cells["count"], cells["mean"] = COUNT, values.reshape(-1, 1)
    cells["m2"] = (RELATIVE * values.reshape(-1, 1)) ** 2 * COUNT * (COUNT - 1)
    problem = problems.AbsoluteValue(slope=1.0)
    chosen = [schedules.by_name(name) for name in NAMES]
    campaign = Campaign(problem, chosen, rho=RHO, horizon=HORIZON, replicates=COUNT)
    return CampaignResult(campaign.description(), [], cells)


def held(trials: int) -> dict[str, float]:
    """The share of trials in which the interval holds the largest exponent of the means without scatter."""
    bounds = np.array(
        [theory.last_iterate_bound(schedules.by_name(name), HORIZON, misspecification=RHO).value for name in NAMES]
    )
    exact = {row.schedule: np.nanmax(row.local_exponents) for row in robustness(result(bounds))}
    rng, found = np.random.default_rng(0), dict.fromkeys(exact, 0)
    for _ in range(trials):
        for row in robustness(result(bounds * (1 + RELATIVE * rng.standard_normal(bounds.shape)))):
            found[row.schedule] += row.exponent.low <= exact[row.schedule] <= row.exponent.high
    return {name: count / trials for name, count in found.items()}


if __name__ == "__main__":
    for name, share in held(int(sys.argv[1]) if len(sys.argv) > 1 else 60).items():
        print(f"{name:13} {100 * share:.0f} % of the intervals hold the largest exponent")
