"""How the worst mean over a family is estimated: the rows "measurement" and "maximum" of docs/validate.md.

    python docs/checks/estimator.py [REPLICATES]

Non-smooth, Rademacher noise, T = 10 000, seven slopes in quarter-octaves around the worst, rho = 8, 16, .. 256.
Printed are, over rho: how far maxima of fitted parabolas, cubics and quartics lie apart; the bias of the cubic's where
means have the errors of 16 384 replicates; and the standard deviation of the slope in rho where configs share their
noise, over that where they do not.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import schedules, simulate, theory
from anneal_sgd._peak import WINDOW, peak
from anneal_sgd.experiments import _families

Floats = NDArray[np.float64]

HORIZON = 10_000
RHO = 2.0 ** np.arange(3, 9)
SCHEDULES = (schedules.Constant(), schedules.Linear(), schedules.Cosine(), schedules.Polynomial(3))
PLACES = np.arange(WINDOW) - WINDOW // 2
COMMON = 32  # runs of which the spread of slopes is taken
REPLICATES = 16_384


def windows(schedule: schedules.Schedule, rates: Floats) -> Floats:
    """Seven slopes for each learning rate, around the worst of a coarser look: (rate, slope)."""
    coarse = 0.5 * 2.0 ** -np.arange(0, 8, 0.5)
    family = [_families.FAMILIES["nonsmooth"].problem(float(a)) for a in coarse]
    mean = simulate(family, schedule, base_lr=rates, horizon=HORIZON, replicates=4096).mean.reshape(coarse.size, -1)
    centre = np.minimum(coarse[np.argmax(mean, axis=0)], 0.5 * 2.0**-0.75)
    return centre[:, None] * 2.0 ** (PLACES / 4)


def means(
    schedule: schedules.Schedule, rates: Floats, slopes: Floats, replicates: int, seed: int, common: bool
) -> tuple[Floats, Floats]:
    """Means and standard errors, (rate, slope)."""
    found = [
        simulate(
            [_families.FAMILIES["nonsmooth"].problem(float(a)) for a in row],
            schedule,
            base_lr=float(rate),
            horizon=HORIZON,
            replicates=replicates,
            seed=seed if common else seed + 1000 * (k + 1),
            common_random_numbers=common,
        )
        for k, (rate, row) in enumerate(zip(rates, slopes, strict=True))
    ]
    return np.array([np.ravel(r.mean) for r in found]), np.array([np.ravel(r.stderr) for r in found])


def largest(values: Floats, degree: int) -> Floats:
    """Of the polynomial of that degree fitted to the logarithms: (rate,)."""
    fine = np.linspace(PLACES[0], PLACES[-1], 2001)
    return np.array([np.polynomial.Polynomial.fit(PLACES, row, degree)(fine).max() for row in np.log(values)])


def show(schedule: schedules.Schedule, replicates: int) -> None:
    """A line."""
    rates = RHO * theory.tuned_base_lr(schedule, HORIZON)
    slopes = windows(schedule, rates)
    values, _ = means(schedule, rates, slopes, replicates, seed=1, common=True)
    cubic = largest(values, 3)
    apart = {degree: 100 * np.max(np.abs(largest(values, degree) - cubic)) for degree in (2, 4)}
    _, errors = means(schedule, rates, slopes, REPLICATES, seed=2, common=False)
    noise = np.random.default_rng(0).standard_normal((4000, *values.shape)) * errors / values
    bias = 100 * (peak(np.log(values) + noise)[0].mean(axis=0) - peak(np.log(values))[0])
    spread = {}
    for common in (True, False):
        runs = [means(schedule, rates, slopes, 2048, seed=10 + i, common=common)[0] for i in range(COMMON)]
        slopes_found = [np.polyfit(np.log(RHO), peak(np.log(run))[0], 1)[0] for run in runs]
        spread[common] = np.std(slopes_found, ddof=1)
    print(
        f"{schedule.name:13} parabola and cubic apart by {apart[2]:.1f} %, quartic and cubic by {apart[4]:.1f} %; "
        f"bias of the cubic {bias.min():+.3f} to {bias.max():+.3f} %; standard deviation of the slope with common "
        f"random numbers {spread[True] / spread[False]:.1f} times that without",
        flush=True,
    )


if __name__ == "__main__":
    for schedule in SCHEDULES:
        show(schedule, int(sys.argv[1]) if len(sys.argv) > 1 else 2**18)
