"""PEPit's worst cases of subgradient methods, recorded: `python tests/pepit_cases.py` writes tests/vectors/pepit.txt.

PEPit solves a semidefinite program over all convex functions (Goujaud et al., arXiv 2201.04040): no formula of this
package enters. It and its solver are not among the dependencies: `pip install pepit clarabel`.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anneal_sgd import schedules, theory

RECORDED = Path(__file__).parent / "vectors" / "pepit.txt"
HEADER = """\
# Worst case of f(x) - f* after subgradient steps, from PEPit {pepit} with Clarabel {clarabel}; written by
# tests/pepit_cases.py. Per line: the value, D, G, whether steps are projected, then the learning rate of every step.
"""


@dataclass(frozen=True)
class Case:
    """Steps from a distance of at most D with gradients of norm at most G.

    `projected`: onto any convex set, of which the minimiser is over the set and no iterate farther from it than D.
    """

    lr: tuple[float, ...]
    distance: float = 1.0
    gradient_bound: float = 1.0
    projected: bool = False

    def solve(self) -> float:
        """What PEPit says."""
        from PEPit import PEP
        from PEPit.functions import ConvexIndicatorFunction, ConvexLipschitzFunction
        from PEPit.primitive_steps import proximal_step

        problem = PEP()
        f = problem.declare_function(ConvexLipschitzFunction, M=self.gradient_bound)
        inside = problem.declare_function(ConvexIndicatorFunction)
        whole = f + inside if self.projected else f
        minimiser = whole.stationary_point()
        x = problem.set_initial_point()
        if self.projected:
            x = proximal_step(x, inside, 1)[0]
        problem.set_initial_condition((x - minimiser) ** 2 <= self.distance**2)
        for step in self.lr:
            x = x - step * f.gradient(x)
            if self.projected:
                x = proximal_step(x, inside, 1)[0]
                problem.add_constraint((x - minimiser) ** 2 <= self.distance**2)
        problem.set_performance_metric(f(x) - whole(minimiser))
        return float(problem.solve(verbose=0, wrapper="cvxpy", solver="CLARABEL"))


def cases() -> list[Case]:
    """Schedules at several misspecifications, and sequences with zeros and leaps."""
    found = []
    for horizon in (1, 2, 3, 6, 14):
        for schedule in (schedules.Constant(), schedules.Linear(), schedules.Cosine(), schedules.StepDecay()):
            tuned = theory.tuned_base_lr(schedule, horizon)
            found += [Case(tuple((rho * tuned * schedule.values(horizon)).tolist())) for rho in (0.3, 1.0, 8.0)]
    rng = np.random.default_rng(2310_07831)
    for horizon in (1, 2, 3, 4, 5, 6, 8):
        for _ in range(6):
            lr = 10.0 ** rng.uniform(-1.5, 1.0, horizon) * (rng.random(horizon) > 0.15)
            found.append(
                Case(tuple(lr.round(6).tolist()), float(rng.choice([0.5, 1.0, 2.0])), float(rng.choice([0.5, 1.0])))
            )
    for horizon in (1, 2, 3, 4, 5):
        for shape in (schedules.Constant(), schedules.Linear(), schedules.Minimax(10)):
            tuned = theory.tuned_base_lr(schedules.Linear(), horizon)
            for rho in (1, 2, 4, 8, 16):
                found.append(Case(tuple((rho * tuned * shape.values(horizon)).tolist()), projected=True))
        for _ in range(4):
            found.append(Case(tuple((10.0 ** rng.uniform(-1.0, 1.0, horizon)).round(6).tolist()), projected=True))
    return [case for case in found if any(case.lr)]


def recorded() -> list[tuple[Case, float]]:
    """The cases of the file, and their values."""
    lines = [line for line in RECORDED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    numbers = [[float(text) for text in line.split()] for line in lines]
    return [(Case(tuple(lr), distance, bound, bool(flag)), value) for value, distance, bound, flag, *lr in numbers]


def main() -> None:
    """Solve all and write."""
    versions = {name: importlib.metadata.version(name) for name in ("pepit", "clarabel")}
    lines = []
    for case in cases():
        numbers = (case.solve(), case.distance, case.gradient_bound, float(case.projected), *case.lr)
        lines.append(" ".join(f"{x:.9g}" for x in numbers) + "\n")
        print(lines[-1], end="", flush=True)
    RECORDED.write_text(HEADER.format(**versions) + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
