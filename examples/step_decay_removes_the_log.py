"""Halving the stepsize in phases that halve too removes the last iterate's log T; linear decay does it a little better.

Claim. Jain, Nagaraj and Netrapalli, arXiv 1904.12443: with T known, stepsizes C 2^-i / sqrt T in phase i, which goes
from step T - ceil(T 2^-i) to T - ceil(T 2^-(i+1)), leave a last iterate within O(D G / sqrt T): no logarithm.

Set-up. Those phases as a schedule. Their exact worst case, `theory.worst_case` with start=1, at the best stepsize for
every T from 16 to a million, beside the fixed stepsize and linear decay; and on the function that is hard for the
fixed one (`problems.hard_max_of_linear`), simulated. Exact, no seed; 2 s, 2 s of processors, on two cores of a
machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate, theory


def phases(horizon: int) -> Any:
    """The schedule of the paper, 2^-i in phase i; the last phase goes to the end."""
    left = horizon - np.arange(horizon)  # from T at the first step to 1 at the last
    phase = np.zeros(horizon)
    for i in range(1, int(np.ceil(np.log2(horizon))) + 1):
        phase[left <= np.ceil(horizon * 2.0**-i)] = i
    return schedules.from_steps(2.0**-phase, name="phases")


def best(schedule: Any, horizon: int) -> float:
    """The least worst case over stepsizes, times sqrt(T + 1)."""
    low, high = 0.1, 10.0
    for _ in range(2):
        rates = np.geomspace(low, high, 41)
        values = theory.worst_case(schedule, horizon, base_lr=rates / horizon**0.5, start=1).value
        k = int(values.argmin())
        low, high = rates[max(k - 1, 0)], rates[min(k + 1, 40)]
    return float(values[k] * (horizon + 1) ** 0.5)


def measure(small: bool = False) -> dict[str, Any]:
    """Worst cases, and errors on the hard function, of three schedules: (T, schedules), times sqrt T."""
    horizons = np.array([2**k for k in range(4, 13 if small else 21, 2)])
    dimensions = np.array([16, 64] if small else [16, 32, 64, 128, 256, 512])
    worst = [[best(s, T) for s in (schedules.Constant(), phases(T), schedules.Linear())] for T in horizons.tolist()]
    runs = [
        [
            simulate(problems.hard_max_of_linear(T), s, base_lr=T**-0.5, horizon=T, replicates=1).mean * T**0.5
            for s in (schedules.Constant(), phases(T), schedules.Linear())
        ]
        for T in dimensions.tolist()
    ]
    return {"horizon": horizons, "worst": np.array(worst), "dimension": dimensions, "run": np.array(runs)}


def check(found: dict[str, Any]) -> str:
    """The fixed stepsize grows with T, phases do not."""
    worst, run = found["worst"], found["run"]
    grown = worst[-1] / worst[-3]
    assert grown[0] > 1.05
    assert abs(grown[1] - 1) < 0.01
    assert abs(worst[-1, 2] - 1) < 1e-3
    octaves = np.log2(found["dimension"][-1] / found["dimension"][0])
    assert run[-1, 0] - run[0, 0] > 0.025 * octaves  # (3/64) log 2 = 0.032 for each
    assert run[-1, 1] - run[0, 1] < 0.005 * octaves
    return (
        f"Worst case times sqrt(T + 1) at T = {found['horizon'][-1]:,}: {worst[-1, 1]:.3f} with phases, changed by "
        f"{100 * (grown[1] - 1):.2f} % in the last factor of 16 of T; fixed stepsize {worst[-1, 0]:.3f}, changed by "
        f"{100 * (grown[0] - 1):.1f} %; linear decay {worst[-1, 2]:.3f}. On the hard function from "
        f"T = {found['dimension'][0]} to {found['dimension'][-1]}: fixed {run[0, 0]:.3f} to {run[-1, 0]:.3f}, "
        f"phases {run[0, 1]:.3f} to {run[-1, 1]:.3f}"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """Worst cases on the left, the hard function on the right."""
    for k, name in enumerate(("fixed", "phases (step decay)", "linear decay")):
        axes[0].semilogx(found["horizon"], found["worst"][:, k], "o-", label=name)
        axes[1].semilogx(found["dimension"], found["run"][:, k], "o-", label=name)
    axes[0].set(xlabel="steps T", ylabel="worst error · √(T + 1) / (D G)", title="Worst case of each, best stepsize")
    axes[1].set(xlabel="steps T, in T dimensions", ylabel="(f(x) − f*) · √T", title="One hard function, stepsize 1/√T")
    axes[1].set_xscale("log", base=2)
    axes[1].set_ylim(0, None)
    axes[0].legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
