"""Polyak's steps do not diverge; where rows cannot be fitted, ten times the best learning rate costs what it costs SGD.

Claim. Schaipp, Gower and Taylor, arXiv 2602.09842: methods whose step is capped by the loss of the sample at hand,
the stochastic Polyak step (SPS) and NGN, are more robust than SGD to a learning rate that is too large. The set-up is
ours.

Set-up. Least squares, 200 rows of 20 standard normal columns, batch 1 with replacement, x0 = 0. Labels that a linear
model fits, T = 400, where no error meets rounding yet; or the same with Gaussian noise of standard deviation 0.5,
T = 4,000. SGD, PolyakMax (c = 0.5) and NGN, both with 0 as the least loss of a sample, each with a fixed learning rate
and with linear decay. The error is the mean training suboptimality; the best learning rate is the best of 8 per factor
of 10. float64, 128 trajectories at each point, seed 0. 3 s, 5 s of processors, on two cores of a machine in use by
others.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import gallery
from anneal_sgd import methods, problems, schedules, simulate

METHODS: dict[str, methods.Method] = {"SGD": methods.SGD(), "PolyakMax": methods.PolyakMax(), "NGN": methods.NGN()}
SCHEDULES = {"fixed": schedules.Constant(), "linear decay": schedules.Linear()}
LABELS = {"labels that a linear model fits": (0.0, 400), "labels with noise": (0.5, 4_000)}  # deviation, horizon
PER_DECADE = 8


def measure(small: bool = False) -> dict[str, Any]:
    """Errors by labels, schedule and method, (learning rates,), infinite where trajectories diverge."""
    shorter, replicates = (20, 8) if small else (1, 128)
    rates = np.geomspace(1e-3, 1e2, 5 * PER_DECADE + 1)
    rng = np.random.default_rng(0)
    X, truth, noise = rng.standard_normal((200, 20)), rng.standard_normal(20) / 20**0.5, rng.standard_normal(200)
    errors: dict[str, dict[str, dict[str, Any]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of trajectories that diverge
        for labels, (deviation, horizon) in LABELS.items():
            problem = problems.LeastSquares(X, X @ truth + deviation * noise, batch_size=1)
            errors[labels] = {name: {} for name in SCHEDULES}
            for name, schedule in SCHEDULES.items():
                for title, method in METHODS.items():
                    result = simulate(
                        problem,
                        schedule,
                        method=method,
                        base_lr=rates,
                        horizon=horizon // shorter,
                        replicates=replicates,
                        dtype="float64",
                    )
                    errors[labels][name][title] = np.where(result.diverged > 0, np.inf, result.mean)
    return {"small": small, "rates": rates, "errors": errors}


def costs(found: dict[str, Any], labels: str, schedule: str, decades: int) -> dict[str, float]:
    """The error at 10^decades times the best learning rate over the error there, by method."""
    cost = {}
    for title, error in found["errors"][labels][schedule].items():
        best = int(np.argmin(error))
        cost[title] = float(error[min(best + decades * PER_DECADE, len(error) - 1)] / error[best])
    return cost


def check(found: dict[str, Any]) -> str:
    """What ten and a thousand times the best learning rate cost."""
    fits, noisy = LABELS
    told = {
        (labels, name, decades): costs(found, labels, name, decades)
        for labels in LABELS
        for name in SCHEDULES
        for decades in (1, 3)
    }
    if not found["small"]:
        for name in SCHEDULES:
            assert told[fits, name, 1]["SGD"] > 1e6
            assert told[noisy, name, 3]["SGD"] > 1e6
            for title in ("PolyakMax", "NGN"):
                assert told[fits, name, 3][title] < 1.1, (name, title)
                assert told[noisy, name, 3][title] < 150, (name, title)
            assert 0.7 < told[noisy, name, 1]["PolyakMax"] / told[noisy, name, 1]["SGD"] < 1.05
        assert all(told[noisy, "linear decay", 1][title] < told[noisy, "fixed", 1][title] / 2 for title in METHODS)
    words = []
    for labels in LABELS:
        for name in SCHEDULES:
            ten, thousand = (
                ", ".join(
                    f"{cost:.3g}" if cost < 1e6 else "without end" for cost in told[labels, name, decades].values()
                )
                for decades in (1, 3)
            )
            words.append(f"{labels}, {name}: {ten}, and at a thousand times {thousand}")
    return f"Ten times the best learning rate costs {', '.join(METHODS)} a factor of, {'; '.join(words)}"


def draw(found: dict[str, Any], axes: Any) -> None:
    """The error against the learning rate, a panel for each kind of labels."""
    for ax, (labels, of) in zip(axes, found["errors"].items(), strict=True):
        for name, errors in of.items():
            for k, (title, error) in enumerate(errors.items()):
                label, finite = f"{title}, {name}", np.where(error < 1e3, error, np.nan)
                ax.loglog(found["rates"], finite, "-" if name == "fixed" else "--", color=f"C{k}", lw=1.2, label=label)
        ax.set(xlabel="learning rate")
        ax.set_title(labels, fontsize=9)
    axes[0].set_ylabel("mean suboptimality")
    axes[1].legend(fontsize=7, loc="lower right")


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
