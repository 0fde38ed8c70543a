"""What a learning rate costs that is rho times too large: rho^(1/(2p+1)) with annealing, rho without.

Claim. Attia and Koren, arXiv 2503.09411: on convex functions with gradients of second moment G^2 the last iterate of
SGD with a schedule that goes to 0 like (1 - t/T)^p is off by O(rho^(1/(2p+1)) / sqrt T) where the learning rate is
rho times the tuned one; with a fixed one by O(rho / sqrt T).

Set-up, ours. The worst of the functions a |x| on [-1, 1] from x = 1, with Rademacher noise such that E g^2 = 1, over
28 slopes a; exponents by least squares in log rho over rho = 8 to 128, T = 10,000, seed 0. The theorem is an upper
bound of the worst case over all such functions; that this family has about the exponent is measured, here and by
`anneal-sgd validate`, with intervals. Exponents of finite T and rho are a little off: asserted is 0.06. 4 s, 8 s of
processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate, theory

SCHEDULES = [
    schedules.Constant(),
    schedules.InverseSqrt(),
    schedules.Linear(),
    schedules.Cosine(),
    schedules.Polynomial(3),
]


def measure(small: bool = False) -> dict[str, Any]:
    """The worst mean suboptimality over the slopes, (schedules, rho)."""
    horizon, replicates = (1_000, 512) if small else (10_000, 16_384)
    rho = np.geomspace(8, 32, 3) if small else np.geomspace(2, 128, 7)
    slopes = np.geomspace(0.003, 0.9, 28)
    family = [
        problems.AbsoluteValue(a, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0)
        for a in slopes
    ]
    worst = np.empty((len(SCHEDULES), len(rho)))
    for s, schedule in enumerate(SCHEDULES):
        rates = rho * theory.tuned_base_lr(schedule, horizon)
        worst[s] = simulate(family, schedule, base_lr=rates, horizon=horizon, replicates=replicates).mean.max(axis=0)
    return {"small": small, "horizon": horizon, "rho": rho, "worst": worst}


def check(found: dict[str, Any]) -> str:
    """All exponents are near the theorem's."""
    fitted = found["rho"] >= 8
    told = []
    for schedule, worst in zip(SCHEDULES, found["worst"], strict=True):
        measured, theorem = gallery.exponent(found["rho"][fitted], worst[fitted]), 1 / (2 * schedule.tail_degree + 1)
        assert abs(measured - theorem) < (0.2 if found["small"] else 0.06), (schedule.name, measured, theorem)
        told.append(f"{schedule.name} {measured:.2f} (theorem {theorem:.2f})")
    return "Exponents of the misspecification: " + ", ".join(told)


def draw(found: dict[str, Any], axes: Any) -> None:
    """Worst error times sqrt T against rho."""
    for schedule, worst in zip(SCHEDULES, found["worst"], strict=True):
        (line,) = axes.loglog(found["rho"], worst * found["horizon"] ** 0.5, "o", label=schedule.name)
        slope = 1 / (2 * schedule.tail_degree + 1)
        guide = worst[-1] * (found["rho"] / found["rho"][-1]) ** slope
        axes.loglog(found["rho"], guide * found["horizon"] ** 0.5, "--", lw=1, color=line.get_color())
    axes.set(xlabel="learning rate, in units of the tuned one (ρ)", ylabel="worst error · √T / (D G)")
    axes.set_title("Points measured, dashes with the theorem's slope", fontsize=9)
    axes.legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw)
