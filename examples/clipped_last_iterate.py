"""The last iterate of clipped SGD with linear decay, under heavy tails: at the rate of the average, and below it.

Claim. Parletta, Paudice and Salzo, arXiv 2410.00573: on convex functions that are not smooth, with noise that has a
p-th moment only, 1 < p <= 2, the last iterate of clipped SGD for a given horizon T is off by O(T^-((p-1)/p)) in
expectation; Liu, arXiv 2512.23178: so is clipped SGD with high probability, log aside. Huebler, Lan and Fatkhullin,
arXiv 2508.04860: projected SGD needs no clipping for that. He, arXiv 2512.14686: clipping does better where the tails
of the noise are close to symmetric. (Of all four the abstract was read.)

Set-up, ours. a|x| on [-1/2, 1] from 1, at the worst of slopes a from 2^-1/2 down to about 1 / (4 sqrt(T)), in
half-octaves. Noise of tail index alpha = 3/2, so that p is any number below: pareto(3/2) - 3, which is skewed, and
pareto(3/2) with a random sign, both over 8. Thresholds T^(1/alpha) / 8; one that rises with the step t like
t^(1/alpha), from 1/8, with the stepsize t^(-1/alpha); 1/4; none. At each T the best of 8 learning rates, an octave
apart, by the parabola of `campaigns.robustness`. Intervals of 95 % hold the noise of the means, not the grids'.
512 trajectories each, seed 0. 20 s, 28 s of processors, on two cores of a machine in use by others.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gallery
from anneal_sgd import methods, problems, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, robustness

ALPHA = 1.5
SCALE = 1 / 8
MINIMAX = (ALPHA - 1) / ALPHA
SKEWED, SYMMETRIC = "skewed", "symmetric"


def xi(draw: Any, noise: str) -> Any:
    """Noise with moments of every order below ALPHA."""
    if noise == SKEWED:
        return SCALE * (draw.pareto(ALPHA) - ALPHA / (ALPHA - 1))
    return SCALE * draw.rademacher() * draw.pareto(ALPHA)


def hard(slope: float, noise: str) -> problems.Problem:
    """a|x| on [-1/2, 1] from 1."""
    return problems.Custom(
        lambda x, a: a * np.abs(x[0]),
        x0=1.0,
        minimum=0.0,
        parameters={"a": slope},
        projection=("box", -0.5, 1.0),
        oracle=lambda x, draw, a: a * np.sign(x) + xi(draw, noise),
    )


def clipped(horizon: int) -> methods.Method:
    """At a threshold that grows with the horizon like T^(1/alpha)."""
    return methods.Clipped(methods.SGD(), threshold=SCALE * horizon ** (1 / ALPHA))


def rising(horizon: int) -> methods.Method:
    """At a threshold that grows with the step, to the same one."""
    shape = schedules.Reversed(schedules.Polynomial(1 / ALPHA))
    top = SCALE * horizon ** (1 / ALPHA)
    return methods.Clipped(methods.SGD(), threshold=methods.Following(shape, zero=SCALE, one=top))


FIXED, LINEAR, POWER = schedules.Constant(), schedules.Linear(), schedules.InversePower(1 / ALPHA)
AVERAGE, LAST = "clipped, fixed: average", "clipped, linear: last"
UNCLIPPED, NARROW = "not clipped, linear: last", "clipped at 1/4, linear: last"
RUNS: dict[str, tuple[Any, Any, Any]] = {
    AVERAGE: (clipped, FIXED, "average"),
    "clipped, fixed: last": (clipped, FIXED, "last"),
    LAST: (clipped, LINEAR, "last"),
    "threshold and stepsize with t: last": (rising, POWER, "last"),
    UNCLIPPED: (lambda _: methods.SGD(), LINEAR, "last"),
    NARROW: (lambda _: methods.Clipped(methods.SGD(), threshold=0.25), LINEAR, "last"),
}


def measure(small: bool = False) -> dict[str, Any]:
    """By noise and run: the least over learning rates of the worst mean over slopes, and its error, by horizon."""
    horizons, replicates = ([16, 64], 64) if small else ([64, 256, 1024, 4096, 16384], 512)
    found: dict[str, Any] = {"horizons": horizons, "best": {}}
    with tempfile.TemporaryDirectory() as folder:
        for noise in (SKEWED, SYMMETRIC):
            for k, (title, (method, schedule, iterate)) in enumerate(RUNS.items()):
                best = []
                for horizon in horizons:
                    slopes = 2.0 ** -np.arange(0.5, np.log2(horizon) / 2 + 2.5, 0.5)
                    scale = 0.25 if schedule is POWER else horizon ** (-1 / ALPHA)
                    rates = scale * 2.0 ** np.arange(-1.0, 7.0)
                    campaign = Campaign(
                        ProblemGrid(partial(hard, noise=noise), slope=slopes),
                        schedule,
                        method=method(horizon),
                        base_lr=rates,
                        horizon=horizon,
                        replicates=replicates,
                        iterate=iterate,
                        common_random_numbers=False,
                    )
                    (row,) = robustness(campaign.run(Path(folder) / f"{noise}{k}{horizon}.db"))
                    place = int(np.argmin(row.worst))
                    best.append((row.best, row.stderr[place] / row.worst[place]))
                found["best"][noise, title] = np.array(best).T
    return found


def fit(horizons: list[int], best: Any) -> tuple[float, float]:
    """The exponent of 1/T, by least squares, and half its 95 % interval: what the errors of the means make of it."""
    x = np.log(horizons) - np.mean(np.log(horizons))
    share = x / np.sum(x * x)
    return -float(share @ np.log(best[0])), 1.96 * float(np.sqrt(share**2 @ best[1] ** 2))


def check(found: dict[str, Any]) -> str:
    """The last iterate of linear decay falls at the rate of the average, and is below it; a fixed threshold is not."""
    horizons, best = found["horizons"], found["best"]
    exponents = {key: fit(horizons, of) for key, of in best.items()}
    over = {noise: best[noise, LAST][0] / best[noise, AVERAGE][0] for noise in (SKEWED, SYMMETRIC)}
    assert all(np.isfinite(of).all() and (of > 0).all() for of in best.values())
    if len(horizons) > 2:
        for title in (AVERAGE, LAST, UNCLIPPED):
            assert abs(exponents[SKEWED, title][0] - MINIMAX) < 0.03, title
        assert all(over[noise].max() < 0.85 for noise in over)
        assert abs(exponents[SKEWED, NARROW][0]) < 0.05
        assert abs(exponents[SYMMETRIC, NARROW][0] - 0.5) < 0.04
    told = "; ".join(
        f"{noise}, {title}: {value:.3f} -+ {half:.3f}" for (noise, title), (value, half) in exponents.items()
    )
    least = {noise: f"{ratio.min():.2f} to {ratio.max():.2f}" for noise, ratio in over.items()}
    without = best[SKEWED, UNCLIPPED][0] / best[SKEWED, LAST][0]
    return (
        f"Exponents of 1/T: {told}. The last iterate of linear decay has {least[SKEWED]} times the average's error "
        f"with skewed noise, {least[SYMMETRIC]} with symmetric; without clipping {without.min():.2f} to "
        f"{without.max():.2f} times that with it"
    )


def draw(found: dict[str, Any], axes: Any) -> None:
    """The worst error against T at the best learning rate, a panel for each noise."""
    horizons = np.array(found["horizons"])
    for ax, noise in zip(axes, (SKEWED, SYMMETRIC), strict=True):
        for k, title in enumerate(RUNS):
            mean, error = found["best"][noise, title]
            style = "s--" if title in (UNCLIPPED, NARROW) else "o-"
            ax.errorbar(horizons, mean, 1.96 * error * mean, fmt=style, color=f"C{k}", lw=1.2, label=title)
        first = found["best"][noise, NARROW][0][0]
        guides = [(MINIMAX, 0.09, "T^(−1/3)", 5), (0.5, 0.75 * first, "T^(−1/2)", -12)]
        for power, top, name, offset in guides[: 1 if noise == SKEWED else 2]:
            line = top * (horizons / horizons[0]) ** -power
            ax.plot(horizons, line, ":", color="#888888", lw=1)
            ax.annotate(name, (horizons[-2], line[-2]), xytext=(0, offset), textcoords="offset points", fontsize=7.5)
        ax.set(xscale="log", yscale="log", ylim=(4e-4, 0.15), xlabel="T")
        ax.set_title(f"{noise} noise, tail index 3/2", fontsize=9)
    axes[0].set_ylabel("worst error at the best learning rate")
    axes[0].legend(fontsize=7, loc="lower left")


if __name__ == "__main__":
    gallery.main(measure, check, draw, panels=2)
