"""The linear scaling rule: k times the batch wants k times the stepsize, up to batches about as large as the dimension.

Claim. Goyal et al., arXiv 1706.02677: with a batch k times as large take k times the learning rate. Ma, Bassily and
Belkin, arXiv 1712.06559, for quadratics that can be fitted without error: up to a critical batch size a step with
batch b is nearly equivalent to b steps of single samples (linear scaling), from there on to one of gradient descent
(saturation).

Set-up. Least squares on a stream, isotropic in d = 31, no label noise: `streaming_least_squares` with capacity 0.
With stepsize eta and batch b a step multiplies E f by (1 - eta)^2 + eta^2 (d + 1) / b, by calculation (Isserlis); so
the best stepsize is b / (b + d + 1), linear in b up to d + 1 = 32, and there a step multiplies by (d + 1) / (b + d +
1), so that b samples achieve as much in one step as in b for b well below 32. Measured: E f after 128 samples for 15
stepsizes at every b, 16,384 trajectories, seed 0; the best stepsize as the minimum of a parabola through the lowest
three in log eta. 2 s, 3 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate

DIMENSION = 31


def best(batch: Any) -> Any:
    """The best stepsize, by calculation."""
    return batch / (batch + DIMENSION + 1)


def measure(small: bool = False) -> dict[str, Any]:
    """E f over its start after a budget of samples, (batches, stepsizes), its error, and the best stepsizes."""
    samples, replicates = (64, 512) if small else (128, 16_384)
    batches = np.array([1, 4, 16, 64] if small else [1, 2, 4, 8, 16, 32, 64])
    spread = 2 ** np.linspace(-2.5, 1, 8 if small else 15)
    found: dict[str, Any] = {"samples": samples, "batch": batches, "rates": [], "mean": [], "stderr": [], "best": []}
    for b in batches.tolist():
        rates = spread * best(b)
        problem = problems.streaming_least_squares(DIMENSION, capacity=0.0, source=0.0, noise_std=0.0, batch_size=b)
        result = simulate(problem, schedules.Constant(), base_lr=rates, horizon=samples // b, replicates=replicates)
        start = float(problem.suboptimality(problem.x0))
        k = int(np.clip(result.mean.argmin(), 1, len(rates) - 2))
        two, one, _ = np.polyfit(np.log(rates[k - 1 : k + 2]), np.log(result.mean[k - 1 : k + 2]), 2)
        found["best"].append(np.exp(-one / (2 * two)))
        for name, value in (("rates", rates), ("mean", result.mean / start), ("stderr", result.stderr / start)):
            found[name].append(value)
    return {name: np.array(value) for name, value in found.items()}


def exact(found: dict[str, Any]) -> Any:
    """E f over its start, like `found["mean"]`."""
    b, eta = found["batch"][:, None], found["rates"]
    return ((1 - eta) ** 2 + eta**2 * (DIMENSION + 1) / b) ** (found["samples"] // b)


def check(found: dict[str, Any]) -> str:
    """Means are the calculated ones, and so are the best stepsizes: linear in small batches, then saturating."""
    calculated = exact(found)
    useful = calculated < 1  # where steps converge; beyond it means are of rare trajectories
    z = (np.abs(found["mean"] - calculated) / found["stderr"])[useful]
    assert z.max() < 5, z.max()
    off = found["best"] / best(found["batch"]) - 1
    assert np.abs(off).max() < (0.25 if found["samples"] < 128 else 0.1), off
    linear = found["batch"] <= 8
    slope = gallery.exponent(found["batch"][linear], found["best"][linear])
    assert 0.8 < slope < 1.1
    at_best = found["mean"].min(axis=1)
    return (
        f"The best stepsize grows like b^{slope:.2f} up to b = 8 and is off by {100 * off.min():.0f} to "
        f"{100 * off.max():.0f} % from b / (b + {DIMENSION + 1}) for b = 1 to {found['batch'][-1]}. After "
        f"{found['samples']} samples E f is down to "
        + ", ".join(f"{m:.3f} (b = {b})" for b, m in zip(found["batch"], at_best, strict=True))
        + f"; means differ from the calculated ones by at most {z.max():.1f} standard errors"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """Errors against the stepsize, and the best stepsizes against b."""
    for k, b in enumerate(found["batch"].tolist()):
        shown = exact(found)[k] < 1
        colour = f"C{k % 7}"
        axes[0].loglog(found["rates"][k][shown], found["mean"][k][shown], "o", color=colour, label=f"b = {b}")
        axes[0].loglog(found["rates"][k][shown], exact(found)[k][shown], "-", lw=1, color=colour)
    axes[0].set(xlabel="stepsize η", ylabel=f"E f after {found['samples']} samples / f at the start")
    axes[0].set_title("Measured, lines calculated", fontsize=9)
    axes[0].set_ylim(None, 5)
    axes[0].legend(fontsize=7, ncols=4, loc="upper left")
    b = np.geomspace(1, found["batch"][-1], 50)
    axes[1].loglog(found["batch"], found["best"], "o", label="measured")
    axes[1].loglog(b, best(b), "C0-", lw=1, label=f"b / (b + {DIMENSION + 1})")
    axes[1].loglog(b, b / (DIMENSION + 2), "k:", lw=1, label="linear scaling")
    axes[1].set(xlabel="batch size b", ylabel="best stepsize", ylim=(None, 2))
    axes[1].legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
