"""python -m ptx.planted_call NAME: a few small ensembles on the GPU that is played and on the CPU.

Prints the error, 'other bits' or 'equal bits'. Those of programs are too small for machine code to be made of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from anneal_sgd import methods, problems, schedules, simulate

Ensemble = tuple[problems.Problem, dict[str, Any]]


def separable() -> Iterator[Ensemble]:
    problem = problems.AbsoluteValue(np.full(5, 0.5), noise="gaussian", noise_std=1.0, projection=("ball", 0.7), x0=0.2)
    yield problem, {"base_lr": [0.1, 0.4], "horizon": 140, "record_at": [3, 140], "replicates": 300}
    many = problems.AbsoluteValue(0.5, noise="rademacher", noise_std=1.0, x0=0.2)
    yield many, {"base_lr": np.geomspace(0.01, 1.0, 200), "horizon": 140, "record_at": [3, 140], "replicates": 4}


def single_samples() -> Iterator[Ensemble]:
    """Of short and of long rows, without and with what is beside plain steps."""
    numbers = np.random.default_rng(3)
    plain: dict[str, Any] = {}
    more: dict[str, Any] = {"projection": ("ball", 0.7), "l2": 0.1}
    for d, of_problem, of_call in ((20, plain, plain), (100, more, {"iterate": "average"})):
        X, y = numbers.standard_normal((9, d)), numbers.integers(0, 2, 9)
        problem = problems.LogisticRegression(X, y, intercept=True, **of_problem)
        yield problem, {"base_lr": [0.1, 0.4], "horizon": 40, "record_at": [3, 40], "replicates": 9, **of_call}


def on_data() -> Iterator[Ensemble]:
    """Methods whose code takes blocks of coordinates, and all of them in their order."""
    numbers = np.random.default_rng(2)
    X, y = numbers.standard_normal((9, 37)), numbers.integers(0, 2, 9)
    problem = problems.LogisticRegression(X, y, batch_size=3, l2=0.1, intercept=True)
    for method in (methods.Adam(), methods.Clipped(methods.Adam(), 0.8)):
        yield problem, {"method": method, "base_lr": [0.1, 0.4], "horizon": 6, "record_at": [1, 6], "replicates": 9}


def programs() -> Iterator[Ensemble]:
    """Of teams of 4 and of 32 threads."""
    for d in (3, 40):
        problem = problems.Custom(
            lambda x: np.sum(np.abs(x) ** 1.5) + np.sum(x) ** 2 + np.max(np.abs(x)),
            x0=np.linspace(-0.1, 0.12, d),
            minimum=0.0,
            noise="gaussian",
            noise_std=0.5,
            projection=("ball", 0.9),
        )
        yield problem, {"base_lr": [0.1, 0.4], "horizon": 9, "record_at": [3, 9], "replicates": 9}


CALLS = {"separable": separable, "single samples": single_samples, "on data": on_data, "programs": programs}


def main(name: str) -> str:
    for problem, size in CALLS[name]():
        expected, got = (
            simulate(problem, schedules.Linear(), backend=backend, keep_samples=True, seed=7, **size)
            for backend in ("cpu", "cuda")
        )
        if not all(np.array_equal(getattr(got, one), getattr(expected, one)) for one in ("samples", "mean", "stderr")):
            return "other bits"
    return "equal bits"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1]))
    except RuntimeError as error:
        print(error)
