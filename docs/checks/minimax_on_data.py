"""What minimax(R) does on data: the table of docs/theory.md.

    python docs/checks/minimax_on_data.py [synthetic-logistic | breast_cancer [HORIZON [REPLICATES]]]

The largest mean over the best window of ratio R, in units of the smallest mean of any schedule at any learning rate;
each schedule's own best in the same units; and for R = 100 the same by test loss on a fifth of the rows.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import datasets, problems, schedules, simulate, theory

Floats = NDArray[np.float64]


def data(source: str, test_frac: float = 0.0) -> problems.Problem:
    """Logistic regression on built-in data."""
    table = datasets.load(source)
    return datasets.make_problem(table, model="logistic", seed=0, batch_size=16, test_frac=test_frac)


def means(problem: problems.Problem, horizon: int, ratio: float, replicates: int, metric: str) -> Floats:
    """Of minimax, the best polynomial, cosine and linear decay, by learning rate; inf where one diverged."""
    candidates = [
        schedules.Minimax(ratio),
        schedules.Polynomial(round(theory.best_degree(ratio), 2)),
        schedules.Cosine(),
        schedules.Linear(),
    ]
    rates = 10 ** np.arange(-4, 4.05, 0.1)
    result = simulate(problem, candidates, base_lr=rates, horizon=horizon, replicates=replicates, metric=metric)
    return np.where(result.diverged == 0, result.mean, np.inf)


def of_best_window(mean: Floats, ratio: float) -> list[float]:
    """For every schedule, over the smallest mean of all."""
    width = round(10 * np.log10(ratio))
    starts = range(mean.shape[1] - width)
    return [float(min(row[i : i + width + 1].max() for i in starts) / mean.min()) for row in mean]


def show(source: str, horizon: int, replicates: int) -> None:
    """A line for each R."""
    problem = data(source)
    for ratio in (10.0, 100.0, 1000.0):
        mean = means(problem, horizon, ratio, replicates, "suboptimality")
        print(f"{source}, T = {horizon:,}, R = {ratio:g}:", *(f"{v:.2f}" for v in of_best_window(mean, ratio)), end="")
        print("; own best:", *(f"{v:.2f}" for v in mean.min(axis=1) / mean.min()), flush=True)
    mean = means(data(source, test_frac=0.2), horizon, 100.0, replicates, "test_loss")
    print("by test loss, R = 100:", *(f"{v:.3f}" for v in of_best_window(mean, 100.0)))


if __name__ == "__main__":
    horizon = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    show(
        sys.argv[1] if len(sys.argv) > 1 else "synthetic-logistic",
        horizon,
        int(sys.argv[3]) if len(sys.argv) > 3 else 32,
    )
