"""Linear decay leaves D G / sqrt(T + 1) in the worst case, exactly; the best fixed stepsize more, by a root of log T.

Claim. Zamani and Glineur, arXiv 2307.11134: after N steps with linearly decaying stepsizes the last iterate of the
(projected) subgradient method is within D G / sqrt(N + 1) of the minimum, which no method beats on this class of
functions; with the best fixed stepsize it is within D G sqrt(1 + log(N) / 4) / sqrt(N + 1). Defazio et al., arXiv
2310.07831, have linear decay for SGD.

Set-up. Both from the closed form `theory.worst_case` (start=1), which tests of this package compare with semidefinite
programs (PEPit). And simulated: for every T a function max_t <g_t, x - x*> that leaves that much, built from the
weights of the worst case as `anneal_sgd.theory` says, with gradients of norm 1 from a point at distance 1. Rounding
would choose among equal terms, so each is 1e-10 below the one before. Exact, no seed; 2 s, 2 s of processors, on two
cores of a machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate, theory

TILT = 1e-10


def worst_function(schedule: Any, horizon: int, base_lr: float) -> Any:
    """A problem on which the last iterate is as bad as can be, with D = G = 1."""
    w = theory.worst_case_weights(schedule, horizon, base_lr=base_lr, start=1)
    after = np.cumsum(w[::-1])[::-1]
    inner = 1.0 / after[0]  # <g_t, x_1 - x*>, the same for all t
    gram, before = np.eye(w.size), 0.0
    for t in range(horizon):
        product = (inner - before - w[t]) / after[t + 1]
        gram[t, t + 1 :] = gram[t + 1 :, t] = product
        before += w[t] * product
    values, vectors = np.linalg.eigh(gram)
    g = vectors * np.sqrt(np.maximum(values, 0.0))
    order = TILT * np.arange(w.size)
    return problems.Custom(lambda x: np.max(g @ x - order), x0=w @ g, minimum=0.0)


def best_constant(horizon: int) -> tuple[float, float]:
    """The best fixed stepsize and its worst case, by three finer and finer grids."""
    low, high = 0.1, 1.5
    for _ in range(3):
        rates = np.geomspace(low, high, 101)
        values = theory.worst_case(schedules.Constant(), horizon, base_lr=rates / horizon**0.5, start=1).value
        best = int(values.argmin())
        low, high = rates[max(best - 1, 0)], rates[min(best + 1, 100)]
    return float(rates[best] / horizon**0.5), float(values[best])


def measure(small: bool = False) -> dict[str, Any]:
    """Worst cases times sqrt(T + 1), from theory and simulated."""
    horizons = np.array([2**k for k in range(1, 11 if small else 21)])
    simulated = horizons[horizons <= (16 if small else 256)]
    found: dict[str, Any] = {"horizon": horizons, "simulated": simulated, "theory": [], "run": []}
    for T in horizons.tolist():
        linear_lr, (constant_lr, constant) = T / (T + 1) ** 1.5, best_constant(T)
        linear = float(theory.worst_case(schedules.Linear(), T, base_lr=linear_lr, start=1).value)
        found["theory"].append([linear * (T + 1) ** 0.5, constant * (T + 1) ** 0.5])
        if simulated[-1] >= T:
            runs = [
                simulate(
                    worst_function(schedule, T, rate), schedule, base_lr=rate, horizon=T, replicates=1, dtype="float64"
                ).mean
                for schedule, rate in ((schedules.Linear(), linear_lr), (schedules.Constant(), constant_lr))
            ]
            found["run"].append(np.array(runs) * (T + 1) ** 0.5)
    return {name: np.array(values) for name, values in found.items()}


def check(found: dict[str, Any]) -> str:
    """Linear decay is exact, the fixed stepsize within its bound and nearly there, simulations leave as much."""
    linear, constant = found["theory"].T
    bound = np.sqrt(1 + np.log(found["horizon"]) / 4)
    assert np.abs(linear - 1).max() < 1e-9
    assert (constant <= bound).all()
    assert (constant >= 0.9 * bound).all()
    off = np.abs(found["run"] / found["theory"][: len(found["run"])] - 1).max()
    assert off < 1e-6
    return (
        f"Linear decay leaves D G / sqrt(T + 1) to {np.abs(linear - 1).max():.0e} up to "
        f"T = {found['horizon'][-1]:,}; the best fixed stepsize {constant[-1]:.3f} times that, "
        f"{constant[-1] / bound[-1]:.3f} of its bound. Simulated on worst functions up to "
        f"T = {found['simulated'][-1]} both come out to {off:.0e}"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """Error times sqrt(T + 1) against T."""
    T = found["horizon"]
    for k, name in enumerate(("linear decay", "best fixed stepsize")):
        axes.semilogx(T, found["theory"][:, k], f"C{k}", label=f"{name}: worst case")
        axes.semilogx(found["simulated"], found["run"][:, k], f"C{k}o", label=f"{name}: simulated")
    axes.semilogx(T, np.sqrt(1 + np.log(T) / 4), "k:", lw=1, label="√(1 + log(T) / 4)")
    axes.set(xlabel="steps T", ylabel="worst error · √(T + 1) / (D G)", ylim=(0.9, None))
    axes.legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw)
