"""How far the fitted worst of problems is off where they lie far apart: docs/campaigns.md, "The report".

    python docs/checks/coarse_problems.py [REPLICATES]

Against slopes or curvatures 1/16 of an octave apart, of which every grid of 4/16 to 16/16 takes some, from anywhere.
T = 2 000, Rademacher noise, rho = 1, 4, .. 256.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import problems, schedules, simulate, theory
from anneal_sgd._peak import crest, peak

RHO = 4.0 ** np.arange(5)
PARAMETERS = 0.5 * 2.0 ** (-np.arange(112)[::-1] / 16)
SCHEDULES = (schedules.Linear(), schedules.Cosine(), schedules.Polynomial(3), schedules.Polynomial(0.5))
HORIZON = 2_000


def logarithms(schedule: schedules.Schedule, *, smooth: bool, replicates: int) -> NDArray[np.float64]:
    """Of the mean suboptimality: (rho, parameter)."""
    box = ("box", -1.0, 1.0)
    family: list[problems.Problem] = [
        problems.Quadratic(curvature=a, noise="rademacher", noise_std=1.0, projection=box)
        if smooth
        else problems.AbsoluteValue(slope=a, noise="rademacher", second_moment=1.0, projection=box)
        for a in PARAMETERS.tolist()
    ]
    rates = RHO * theory.tuned_base_lr(schedule, HORIZON)
    result = simulate(family, schedule, base_lr=rates, horizon=HORIZON, replicates=replicates)
    return np.asarray(np.log(result.mean).T)


def apart(logs: NDArray[np.float64], step: int) -> tuple[list[float], list[float]]:
    """What cubic and parabola find of every step-th parameter, less the maximum of a quartic through 21 near it."""
    cubic, parabola = [], []
    for one in logs:
        k = int(one.argmax())
        if not 24 <= k < one.size - 24:
            continue
        near = np.polynomial.Polynomial.fit(np.arange(-10, 11), one[k - 10 : k + 11], 4)
        exact = float(near(np.linspace(-6, 6, 1001)).max())
        for first in range(step):
            taken = one[first::step]
            k = int(taken.argmax())
            if 3 <= k < taken.size - 3:
                cubic.append(float(np.expm1(peak(taken[k - 3 : k + 4])[0] - exact)))
                parabola.append(float(np.expm1(crest(taken[k - 1 : k + 2]) - exact)))
    return cubic, parabola


def show(replicates: int) -> None:
    """A line for each distance."""
    means = [logarithms(s, smooth=smooth, replicates=replicates) for s in SCHEDULES for smooth in (False, True)]
    for step in (4, 5, 6, 8, 12, 16):
        both = [apart(logs, step) for logs in means]
        cubic, parabola = ([100 * v for found in both for v in found[i]] for i in (0, 1))
        print(
            f"{step:2}/16 of an octave: cubic {min(cubic):+.1f} to {max(cubic):+.1f} %, "
            f"parabola {min(parabola):+.1f} to {max(parabola):+.1f} %"
        )


if __name__ == "__main__":
    show(int(sys.argv[1]) if len(sys.argv) > 1 else 2**15)
