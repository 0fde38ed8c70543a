"""A row of `anneal-sgd validate` at a size that it does not offer, for many seeds: sentences of docs/validate.md.

python docs/checks/rates.py SETTING SCHEDULE HORIZON [SEEDS [TRAJECTORIES]]

spread constant 8000              a fixed stepsize in ten dimensions: the regime is not reached
spread polynomial:0.5 8000        and (1 - u)^0.5
nonsmooth inverse_sqrt 50000      local exponents below rho = 8
nonsmooth polynomial:2 4000 40    how often intervals hold the mean exponent of all seeds
"""

from __future__ import annotations

import sys

import numpy as np

from anneal_sgd import schedules
from anneal_sgd.experiments import RateRow, validate


def measure(setting: str, schedule: str, horizon: int, seed: int, trajectories: int = 1_000_000) -> RateRow:
    """The row of one seed."""
    size = validate._Size(horizon, trajectories, pilot_replicates=512, horizon_replicates=16_384)
    job = validate._Job(setting, schedules.by_name(schedule), size, seed)
    return job.run(threads=None, advance=lambda steps: None)


def show(rows: list[RateRow]) -> None:
    """A line for each seed, then how often intervals hold the mean over all."""
    for row in rows:
        rho = np.array(row.rho)[np.array(row.fitted)]
        half, horizon_half = (row.ci_high - row.ci_low) / 2, (row.horizon_ci_high - row.horizon_ci_low) / 2
        print(
            f"{row.exponent:.4f} ± {half:.4f} in rho over {rho[0]:.0f} to {rho[-1]:.0f}, "
            f"{row.horizon_exponent:.4f} ± {horizon_half:.4f} in T: {row.outcome} {row.reason}",
            flush=True,
        )
    local = np.diff(np.log(rows[0].worst_suboptimality)) / np.diff(np.log(rows[0].rho))
    print("local exponents:", ", ".join(f"{r:.1f}: {e:.2f}" for r, e in zip(rows[0].rho, local, strict=False)))
    if len(rows) > 1:
        for name, low, high in (("rho", "ci_low", "ci_high"), ("T", "horizon_ci_low", "horizon_ci_high")):
            exponents = np.mean([row.exponent if name == "rho" else row.horizon_exponent for row in rows])
            held = sum(getattr(row, low) <= exponents <= getattr(row, high) for row in rows)
            print(f"mean exponent in {name} {exponents:.4f}: held by {held} of {len(rows)} intervals")


if __name__ == "__main__":
    seeds = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    trajectories = int(sys.argv[5]) if len(sys.argv) > 5 else 1_000_000
    show([measure(*sys.argv[1:3], int(sys.argv[3]), seed, trajectories) for seed in range(seeds)])
