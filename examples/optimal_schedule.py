"""Which power of the time that is left the best schedule has, on power-law least squares, and how slowly that shows.

Claim. arXiv 2602.06797, on power-law least squares with source s and capacity beta: for easy tasks, s >= 1 - 1/beta,
the best schedule is eta (1 - z)^(2 beta - 1), z the part of the steps done, with a peak that falls like a power of T;
for hard ones it keeps the largest admissible stepsize and decays near the end only. Bordelon and Mori, arXiv
2602.04774, find the same two phases for random features.

Set-up, ours. `streaming_least_squares` with lambda_i = i^-beta, lambda_i w_i^2 = i^-(s beta + 1), label noise 1: beta
= 3/2 and 2 with s = 1, easy, where 2 beta - 1 is 2 and 3; and beta = 2, s = 0.2, hard. E f of the last iterate
exactly, by the recursion of second moments, for nine degrees and twelve stepsizes at every T; best values by
parabolas. The best of some are simulated too, 512 trajectories, seed 0. The exponent of the stepsize, derived from
bias (eta T)^-s and noise (eta T)^(1/beta) / T: T to the power -nu, nu = 1 - 1 / (s + 1/beta), 0.4 and 1/3 where it is
positive, 0 for hard tasks.

Where it disagrees with what one might expect: at no T tried is 2 beta - 1 the best degree. The best one is half of it
or less at T = 512, and grows by about 0.2 with every factor of 4. Of hard tasks only the stepsize of linear decay is
measured here. 3 s, 3 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate

DEGREES = np.array([0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0])
TASKS = {"easy, β = 3/2": (1.5, 1.0), "easy, β = 2": (2.0, 1.0), "hard, β = 2": (2.0, 0.2)}


def stream(beta: float, s: float, d: int) -> problems.Custom:
    """The problem of a task."""
    return problems.streaming_least_squares(d, capacity=beta, source=s * beta + 1)


def errors(problem: problems.Custom, rates: Any) -> Any:
    """E f after steps of the learning rates (T, k), for each of k: second moments are exact for Gaussian samples."""
    lam, std = problem.parameters["eigenvalues"], float(problem.parameters["label_std"])
    m = np.tile(problem.parameters["minimiser"] ** 2, (rates.shape[1], 1))
    for lr in rates[:, :, None]:
        m = (1 - lr * lam) ** 2 * m + lr**2 * (lam**2 * m + lam * ((m @ lam)[:, None] + std**2))
    return 0.5 * m @ lam


def lowest(x: Any, y: Any) -> tuple[float, float]:
    """Where the parabola through the lowest three points is lowest, and its value there."""
    k = int(np.clip(np.argmin(y), 1, len(x) - 2))
    two, one, zero = np.polyfit(x[k - 1 : k + 2], y[k - 1 : k + 2], 2)
    return float(-one / (2 * two)), float(zero - one**2 / (4 * two))


def measure(small: bool = False) -> dict[str, Any]:
    """By task and T: the least error of every degree, the best degree, the best stepsize of linear decay."""
    horizons = 4 ** np.arange(3, 6) * 2 if small else 4 ** np.arange(3, 8) * 2
    found: dict[str, Any] = {"horizon": horizons, "error": {}, "degree": {}, "rate": {}, "z": []}
    for name, (beta, s) in TASKS.items():
        easy = name.startswith("easy")
        problem = stream(beta, s, 40 if small else 100 if easy else 400)
        degrees = DEGREES if easy else np.array([1.0])
        share = np.geomspace(0.015, 0.8, 12) if easy else np.geomspace(0.4, 1.0, 24)
        grid = share / problem.parameters["eigenvalues"].sum()
        rows, best_degrees, best_rates = [], [], []
        for T in horizons.tolist():
            shapes = np.stack([schedules.Polynomial(p).values(T) for p in degrees], axis=1)
            table = errors(problem, (shapes[:, :, None] * grid).reshape(T, -1)).reshape(len(degrees), -1)
            at = [lowest(np.log(grid), row) for row in table]
            rows.append([value for _, value in at])
            best_rates.append(float(np.exp(at[degrees.tolist().index(1.0)][0])))
            if easy:
                best_degrees.append(lowest(degrees, np.array(rows[-1]))[0])
            if T <= 512:
                rate = best_rates[-1]
                run = simulate(problem, schedules.Linear(), base_lr=rate, horizon=T, replicates=512)
                exact = errors(problem, rate * schedules.Linear().values(T)[:, None])[0]
                found["z"].append(abs(float((run.mean - exact) / run.stderr)))
        found["error"][name], found["degree"][name], found["rate"][name] = np.array(rows), best_degrees, best_rates
    return found


def check(found: dict[str, Any]) -> str:
    """Degrees grow towards 2 beta - 1; stepsizes fall as derived for easy tasks and not at all for the hard one."""
    assert max(found["z"]) < 4.5
    T = found["horizon"]
    told = []
    for name, (beta, s) in TASKS.items():
        nu = max(0.0, 1 - 1 / (s + 1 / beta))
        measured = -gallery.exponent(T[1:], found["rate"][name][1:])
        assert abs(measured - nu) < 0.12, (name, measured, nu)
        told.append(f"{name}: stepsize exponent {measured:.2f} ({nu:.2f})")
        if name.startswith("easy"):
            degree = found["degree"][name]
            assert (np.diff(degree) > 0.1).all()
            assert degree[-1] < 2 * beta - 1
            cost = found["error"][name][-1, int(np.argmin(np.abs(DEGREES - (2 * beta - 1))))]
            told[-1] += (
                f", best degree {degree[0]:.2f} at T = {T[0]} to {degree[-1]:.2f} at T = {T[-1]:,}, where "
                f"{2 * beta - 1:g} costs {100 * (cost / found['error'][name][-1].min() - 1):.1f} % more"
            )
    return "; ".join(told)


def draw(found: dict[str, Any], axes: Any) -> None:
    """Best degrees over T; best stepsizes over T."""
    T = found["horizon"]
    for k, (name, (beta, s)) in enumerate(TASKS.items()):
        if name.startswith("easy"):
            axes[0].semilogx(T, found["degree"][name], f"C{k}o-", label=name)
            axes[0].axhline(2 * beta - 1, color=f"C{k}", ls=":", lw=1)
            axes[0].text(T[0], 2 * beta - 0.97, f"2β − 1 = {2 * beta - 1:g}", color=f"C{k}", fontsize=8)
        nu = max(0.0, 1 - 1 / (s + 1 / beta))
        axes[1].loglog(T, found["rate"][name], f"C{k}o", label=name)
        axes[1].loglog(T, found["rate"][name][-1] * (T / T[-1]) ** -nu, f"C{k}--", lw=1)
    axes[0].set(xlabel="steps T", ylabel="best degree of (1 − t/T)^p", ylim=(0, 3.4))
    axes[1].set(xlabel="steps T", ylabel="best stepsize, linear decay")
    axes[1].set_title("Dashes: the derived exponents", fontsize=9)
    axes[1].legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
