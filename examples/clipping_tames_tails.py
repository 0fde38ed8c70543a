"""Three noises of equal variance: the mean square error of SGD cannot tell them apart, its tail can; clipping cuts it.

Claim. Gorbunov, Danilova and Gasnikov, arXiv 2005.10785, section 2: on |x|^2 / 2 SGD with a fixed stepsize has the
same guarantee in expectation for Gaussian, Weibull and Burr noise of equal variance, yet under the heavy-tailed ones
its trajectories jump far away again and again; clipped stochastic gradients do not.

Set-up, ours in its numbers. One dimension, x = 5 at first, stepsize 0.02, 1,000 steps, noise of mean 0 and variance
1: Gaussian; Weibull of shape 0.2; Burr XII with c = 1 and k = 2.3, which has no third moment. Clipping keeps a
gradient within 2. 200,000 trajectories in float64, seed 0. By calculation E f = (q^T 25 + lr^2 (1 - q^T) / (1 - q)) /
2, q = (1 - lr)^2, for all of them; tested against it are the first two, as for Burr noise no standard error of x^2
exists. What clipping costs where noise is skewed, as both heavy ones are: a bias, which is in the line printed. 1 s,
2 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate

LR, START, THRESHOLD, SHAPE, K = 0.02, 5.0, 2.0, 0.2, 2.3

_MEAN = math.gamma(1 + 1 / SHAPE)
_STD = math.sqrt(math.gamma(1 + 2 / SHAPE) - _MEAN**2)
NOISES: dict[str, Callable[[Any], Any]] = {
    "Gaussian": lambda draw: draw.gaussian(),
    "Weibull": lambda draw: (draw.weibull(SHAPE) - _MEAN) / _STD,
    "Burr": lambda draw: (draw.pareto(K) - K / (K - 1)) / math.sqrt(K / ((K - 1) ** 2 * (K - 2))),
}


def sgd(noise: Callable[[Any], Any], *, clipped: bool) -> problems.Custom:
    """The parabola seen through the noise."""

    def oracle(x: Any, draw: Any) -> Any:
        g = x + noise(draw)
        return np.clip(g, -THRESHOLD, THRESHOLD) if clipped else g

    return problems.Custom(lambda x: 0.5 * np.dot(x, x), x0=START, minimum=0.0, oracle=oracle)


def measure(small: bool = False) -> dict[str, Any]:
    """By noise, with clipping or without: mean of f - f*, its error and quantiles at some steps; mean of final x."""
    replicates, horizon = (20_000, 400) if small else (200_000, 1_000)
    times = np.unique(np.geomspace(1, horizon, 16 if small else 40).astype(int))
    found: dict[str, Any] = {"times": times, "runs": {}}
    for name, noise in NOISES.items():
        for clipped in (False, True):
            result = simulate(
                sgd(noise, clipped=clipped),
                schedules.Constant(),
                base_lr=LR,
                horizon=horizon,
                record_at=times,
                replicates=replicates,
                dtype="float64",
                keep_exceedance=True,
                keep_iterates=True,
            )
            bias = float(result.iterates.mean())
            found["runs"][name, clipped] = (result.mean, result.stderr, result.quantile([0.5, 0.999]), bias)
    return found


def check(found: dict[str, Any]) -> str:
    """Equal means without clipping; with heavy tails the upper quantile is far larger, unless gradients are clipped."""
    T = found["times"]
    q = (1 - LR) ** 2
    exact = 0.5 * (q**T * START**2 + LR**2 * (1 - q**T) / (1 - q))
    told = []
    for name in ("Gaussian", "Weibull"):
        mean, stderr, _, _ = found["runs"][name, False]
        z = np.abs(mean - exact)[-10:] / stderr[-10:]
        assert z.max() < 4.5, (name, z)
        told.append(f"{name} {mean[-1] / exact[-1]:.3f}")
    tail = {key: run[2][1, -1] for key, run in found["runs"].items()}
    assert tail["Weibull", False] > 3 * tail["Gaussian", False]
    for name in ("Weibull", "Burr"):
        assert tail[name, True] < tail["Gaussian", True] * 1.5
    told_tails = [f"{n} {tail[n, False]:.3f} and {tail[n, True]:.3f}" for n in NOISES]
    told_bias = [f"{n} {found['runs'][n, True][3]:+.3f}" for n in NOISES]
    return (
        f"E f over the calculated one at the end: {', '.join(told)}. The 0.999 quantile of f without clipping and "
        f"with it: {'; '.join(told_tails)}. Mean of x with clipping: {', '.join(told_bias)}"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """Quantiles over time, without and with clipping."""
    for ax, clipped in zip(axes, (False, True), strict=True):
        for k, name in enumerate(NOISES):
            mean, _, quantile, _ = found["runs"][name, clipped]
            ax.loglog(found["times"], quantile[1], f"C{k}-", label=f"{name}: 0.999 quantile")
            ax.loglog(found["times"], mean, f"C{k}--", lw=1, label=f"{name}: mean")
        ax.set(xlabel="steps", title="clipped at 2" if clipped else "SGD")
        ax.set_ylim(5e-4, 100)
    axes[0].set_ylabel("f(x) − f*")
    axes[1].legend(fontsize=7)


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
