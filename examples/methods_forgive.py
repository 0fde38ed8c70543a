"""Which methods forgive a learning rate that is too large: Adam no more than SGD does, annealing more.

Question. Attia and Koren, arXiv 2503.09411, ask of schedules what a learning rate that is too large costs; of Polyak's
step sizes arXiv 2602.09842 asks how stable they are against it. Asked here of ten methods, each with a fixed learning
rate and with linear decay. The set-up is ours.

Set-up. A quadratic of 20 coordinates, curvatures from 1 to 0.01 in a geometric sequence, Gaussian noise of standard
deviation 0.3 in each, x0 = 1, T = 1,000. Each method at its defaults (momentum 0.9; clipping at a norm of 1). There are
8 learning rates per factor of 10; the best one, and what ten times that costs, are those of `campaigns.robustness`.
PolyakMax and NGN are told f(x) - f* without noise, which others are not. Errors of SGD are compared with its exact
moments. 2,048 trajectories at each learning rate, with noise of their own, seed 0. 13 s, 22 s of processors, on two
cores of a machine in use by others.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import gallery
from anneal_sgd import methods, problems, schedules, theory
from anneal_sgd.campaigns import Campaign, robustness

METHODS: dict[str, methods.Method] = {
    "SGD": methods.SGD(),
    "momentum": methods.SGD(momentum=0.9),
    "clipped SGD": methods.Clipped(methods.SGD(), threshold=1.0),
    "sign": methods.SignSGD(),
    "RMSProp": methods.RMSProp(),
    "Adam": methods.Adam(),
    "AdaGrad": methods.AdaGrad(),
    "schedule-free": methods.ScheduleFree(methods.SGD()),
    "PolyakMax": methods.PolyakMax(),
    "NGN": methods.NGN(),
}
SCHEDULES = {"fixed": schedules.Constant(), "linear decay": schedules.Linear()}
PER_DECADE = 8
CURVATURE = np.geomspace(1, 0.01, 20)
NOISE = 0.3


def measure(small: bool = False) -> dict[str, Any]:
    """The rows of `robustness` by schedule and method."""
    horizon, replicates = (100, 64) if small else (1_000, 2_048)
    problem = problems.Quadratic(curvature=CURVATURE.tolist(), noise="gaussian", noise_std=NOISE, x0=1.0)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", RuntimeWarning)  # of trajectories that diverge
        results = {
            title: Campaign(
                problem,
                list(SCHEDULES.values()),
                method=method,
                base_lr=np.geomspace(1e-3, 1e3, 6 * PER_DECADE + 1),
                horizon=horizon,
                replicates=replicates,
                common_random_numbers=False,
            ).run(Path(folder) / f"{title}.db")
            for title, method in METHODS.items()
        }
        measured = {row.schedule: row for row in robustness(results, ratio=10.0)}
    rows = {
        name: {title: measured[f"{title}, {schedule.name}"] for title in METHODS}
        for name, schedule in SCHEDULES.items()
    }
    return {"horizon": horizon, "rows": rows}


def off_exact(found: dict[str, Any]) -> float:
    """By how much SGD's errors are off its exact moments, relative, where it is stable."""
    off = 0.0
    for name, schedule in SCHEDULES.items():
        row = found["rows"][name]["SGD"]
        rates = np.array(row.rates)
        stable = rates < 1.9 / CURVATURE.max()
        exact = theory.quadratic_moments(
            schedule, curvature=CURVATURE, x0=1.0, noise_std=NOISE, base_lr=rates[stable], horizon=found["horizon"]
        ).suboptimality[:, 0]
        off = max(off, np.abs(np.array(row.worst)[stable] / exact - 1).max())
    return float(off)


def check(found: dict[str, Any]) -> str:
    """What ten times the best learning rate costs: about the same for six methods, nothing for who knows f."""
    cost = {name: {title: row.cost.value for title, row in of.items()} for name, of in found["rows"].items()}
    off = off_exact(found)
    full = found["horizon"] == 1_000
    assert off < (0.05 if full else 0.5), off
    alike = ("SGD", "momentum", "clipped SGD", "sign", "RMSProp", "Adam")
    if full:
        assert all(row.ratio == 10.0 for of in found["rows"].values() for row in of.values())
        for title in alike:
            assert 5.5 < cost["fixed"][title] < 8, title
            assert 2 < cost["linear decay"][title] < 3.2, title
        assert all(cost[name][title] < 1.15 for name in cost for title in ("PolyakMax", "NGN"))
        assert found["rows"]["fixed"]["AdaGrad"].cost.high < 6
        assert cost["linear decay"]["AdaGrad"] < 2
        assert 2 < cost["fixed"]["schedule-free"] < 3.5
    lowest, highest = ({name: pick(of[title] for title in alike) for name, of in cost.items()} for pick in (min, max))
    wide = max(row.cost.high / row.cost.low for of in found["rows"].values() for row in of.values())
    told = "; ".join(
        f"{title} {cost['fixed'][title]:.2g} and {cost['linear decay'][title]:.2g}"
        for title in METHODS
        if title not in alike
    )
    return (
        f"Ten times the best learning rate costs {', '.join(alike[:-1])} and {alike[-1]} a factor of "
        f"{lowest['fixed']:.1f} to {highest['fixed']:.1f} when it is fixed, {lowest['linear decay']:.1f} to "
        f"{highest['linear decay']:.1f} with linear decay; {told}. The ends of the 95 % intervals are a factor of "
        f"{wide:.2f} apart at most. SGD is within {100 * off:.1f} % of its exact moments"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """The error over the best against the learning rate over the best, a panel for each schedule."""
    for ax, (name, of) in zip(axes, found["rows"].items(), strict=True):
        for k, (title, row) in enumerate(of.items()):
            style = "-" if k < 7 else "--"
            ax.loglog(
                np.array(row.rates) / row.best_rate,
                np.array(row.worst) / row.best,
                style,
                color=f"C{k % 7}",
                lw=1.2,
                label=title,
            )
        ax.set(xlim=(0.03, 100), ylim=(0.8, 60), xlabel="learning rate / the best one")
        ax.set_title(name, fontsize=9)
    axes[0].set_ylabel("error / that at the best")
    axes[1].legend(fontsize=7, ncols=2, loc="upper center")


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
