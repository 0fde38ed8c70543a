"""How often the intervals of `robustness` hold the truth: what docs/campaigns.md says of them.

    python docs/checks/robustness_intervals.py [TRIALS [RELATIVE]]

Means scatter by RELATIVE, 0.02, around the last-iterate bounds of four schedules at T = 10 000, rho in half-octaves
from 1/4 to 1 024. The truth is of the means without scatter; of factors and cost on a grid of 1/32 of an octave.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import problems, schedules, theory
from anneal_sgd.campaigns import Campaign, CampaignResult, RobustnessRow, robustness
from anneal_sgd.campaigns._cells import CELL

NAMES = ("constant", "linear", "cosine", "polynomial(3)")
RHO = 2.0 ** (np.arange(-4, 21) / 2)
FINE = 2.0 ** np.arange(-2, 10 + 1 / 64, 1 / 32)
HORIZON, COUNT = 10_000, 10_000
WHAT = ("exponent", "cost at 100", "10 %", "50 %", "100 %")


def bounds(rho: NDArray[np.float64]) -> NDArray[np.float64]:
    """(schedule, rho)."""
    chosen = [schedules.by_name(name) for name in NAMES]
    return np.array([theory.last_iterate_bound(s, HORIZON, misspecification=rho).value for s in chosen])


def rows(values: NDArray[np.float64], rho: NDArray[np.float64], relative: float) -> dict[str, RobustnessRow]:
    """Of these means, (schedule, rho), and relative standard errors."""
    cells = np.zeros((values.size, 1), CELL)
    cells["count"], cells["mean"] = COUNT, values.reshape(-1, 1)
    cells["m2"] = (relative * values.reshape(-1, 1)) ** 2 * COUNT * (COUNT - 1)
    problem = problems.AbsoluteValue(slope=1.0)
    chosen = [schedules.by_name(name) for name in NAMES]
    campaign = Campaign(problem, chosen, rho=rho, horizon=HORIZON, replicates=COUNT)
    return {row.schedule: row for row in robustness(CampaignResult(campaign.description(), [], cells))}


def held(trials: int, relative: float = 0.02) -> dict[str, list[float]]:
    """The shares of trials in which intervals hold the truth, in the order of WHAT; NaN where it is past the grid."""
    exact, means = {}, bounds(RHO)
    fine = rows(bounds(FINE), FINE, 1e-9)
    for name, row in rows(means, RHO, relative).items():
        exact[name] = [np.nanmax(row.local_exponents), fine[name].cost.value, *(t.value for t in fine[name].tolerated)]
    rng, found = np.random.default_rng(0), {name: np.zeros(len(WHAT)) for name in exact}
    for _ in range(trials):
        for name, row in rows(means * (1 + relative * rng.standard_normal(means.shape)), RHO, relative).items():
            intervals = [row.exponent, row.cost, *row.tolerated]
            found[name] += [v.low <= true <= v.high for v, true in zip(intervals, exact[name], strict=True)]
    return {
        name: np.where(np.isfinite(exact[name]), counts / trials, np.nan).tolist() for name, counts in found.items()
    }


if __name__ == "__main__":
    print(f"{'% of the intervals that hold it:':33}", *(f"{what:>11}" for what in WHAT))
    for name, shares in held(int(sys.argv[1]) if sys.argv[1:] else 60, *map(float, sys.argv[2:3])).items():
        print(f"{name:33}", *(f"{100 * share:11.0f}" for share in shares))
