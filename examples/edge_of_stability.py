"""Gradient descent from beyond the edge of stability ends inside: just inside on one function, anywhere on another.

Claim. Cohen et al., arXiv 2103.00065, on networks: gradient descent with stepsize eta works where the sharpness
(largest eigenvalue of the Hessian) is about 2 / eta, at the edge of stability of the quadratic approximation, and the
loss falls all the same. Zhu et al., arXiv 2210.03294, explain on a small function why it ends just below 2 / eta,
where matrix factorisation, which converges from beyond the edge too, ends with a larger gap.

Set-up, ours. f(x, y) = ((x y)^2 - 1)^2 / 2, whose minima x y = 1 have the sharpness 4 (x^2 + y^2), and the quartic
f(x, y) = (x y - 1)^2 / 2, the smallest factorisation, with x^2 + y^2. Starts are drawn next to the minima, with a
sharpness of 1.02 to 1.3 times 2 / eta. No noise; eta = 0.05, 16,384 starts, seed 0, float64. 2 s on two cores of a
machine in use by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate

ETA = 0.05
POWERS = {"f = ((x y)² − 1)² / 2": 2, "f = (x y − 1)² / 2": 1}


def problem(power: int) -> problems.Custom:
    """Starts at x y = 1 + small, with a sharpness of 1.02 to 1.3 times 2 / eta."""

    def start(draw: Any) -> Any:
        u = draw.uniform() / np.sqrt(3.0)  # of two coordinates, on [-1, 1]
        squares = (1.16 + 0.14 * u[0]) * 2 / ETA / power**2  # x^2 + y^2
        root = np.sqrt(squares * squares - 4)  # x^2 - y^2 where x y = 1
        x = np.sqrt((squares + root) / 2)
        return np.concatenate([x + 0 * u[:1], (1 + 0.01 * u[1]) / x + 0 * u[:1]])

    return problems.Custom(lambda x: 0.5 * ((x[0] * x[1]) ** power - 1) ** 2, x0=start, dimension=2, minimum=0.0)


def measure(small: bool = False) -> dict[str, Any]:
    """Sharpness of minima, in units of 2 / eta, where trajectories are, at some steps; and their losses."""
    replicates, horizon = (256, 4_000) if small else (16_384, 20_000)
    times = np.unique(np.append(0, np.geomspace(1, horizon, 24).astype(int)))
    found: dict[str, Any] = {"times": times}
    for name, power in POWERS.items():
        result = simulate(
            problem(power),
            schedules.Constant(),
            base_lr=ETA,
            horizon=horizon,
            record_at=times,
            replicates=replicates,
            dtype="float64",
            keep_samples=True,
            metric={"suboptimality": "suboptimality", "sharpness": lambda x, p=power: p**2 * np.dot(x, x) * (ETA / 2)},
        )
        found[name] = np.moveaxis(result.samples, result.dims.index("metric"), 0)
    return found


def check(found: dict[str, Any]) -> str:
    """All converge, to minima inside the edge; with the squared product to the same one just inside."""
    told, width = [], []
    for name in POWERS:
        loss, sharpness = found[name]
        assert loss[-1].max() < 1e-12, name
        assert sharpness[0].min() > 1.01
        assert sharpness[-1].max() < 1, name
        low, high = np.quantile(sharpness[-1], [0.05, 0.95])
        width.append(high - low)
        told.append(f"{name}: 90 % of them in {low:.5f} to {high:.5f}")
    assert np.median(found[next(iter(POWERS))][1][-1]) > 0.99
    assert width[0] < 1e-4 < 0.3 < width[1]
    return "All starts converge. Final sharpness in units of 2 / eta, from 1.02 to 1.3: " + "; ".join(told)


def draw(found: dict[str, Any], axes: Any) -> None:
    """Sharpness over time, and its last law."""
    for k, name in enumerate(POWERS):
        sharpness = found[name][1]
        low, middle, high = np.quantile(sharpness, [0.05, 0.5, 0.95], axis=1)
        axes[0].semilogx(found["times"] + 1, middle, f"C{k}", label=name)
        axes[0].fill_between(found["times"] + 1, low, high, color=f"C{k}", alpha=0.2, lw=0)
        axes[1].plot(sharpness[0, :500], sharpness[-1, :500], f"C{k}.", ms=3, label=name)
    for ax in axes:
        ax.axhline(1, color="k", lw=0.8, ls=":")
    axes[0].set(xlabel="steps + 1", ylabel="sharpness · η / 2", title="Median, and 90 % of the starts")
    axes[1].set(xlabel="sharpness · η / 2 at the start", ylabel="at the end", title="Where 500 of them end")
    axes[0].legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
