"""How fast the probability dies that SGD has seen no small gradient: like exp(-c t), not like exp(-sqrt t).

Claim. Armacki et al., arXiv 2602.05657: for SGD on non-convex functions with bounded noise the probability that the
best iterate's |f'|^2 exceeds a fixed level falls like exp(-t / log t) in the long run, and cannot fall faster than
exp(-t); bounds for finite times gave exp(-sqrt t).

Set-up, ours, as small as the question allows. f(x) = x^2 / 2 + 2 cos x, with three stationary points, from x = 3,
noise uniform with standard deviation 1, so bounded, stepsizes 0.15 / sqrt t. A second coordinate keeps the least
f'(x)^2 so far, by the projection; it is the value that is recorded, and `keep_exceedance` counts how often it exceeds
a level. 16 million trajectories, seed 0. With exp(-c t) the rate -d log p / dt does not depend on t, with exp(-c sqrt
t) it falls like 1 / sqrt t. Compared are the rates while p goes from 0.3 to 0.02 and while it goes from 0.001 to
0.00001, and asserted is that their ratio is nearer to 1 than to that of exp(-c sqrt t), in its logarithm. These are
finite times: the logarithm of the claim cannot be seen. 3 s, 5 s of processors, on two cores of a machine in use
by others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import gallery
from anneal_sgd import problems, schedules, simulate

LEVELS = (0.05, 0.1, 0.2, 0.4)
EARLY, LATE = (0.3, 0.02), (1e-3, 1e-5)


def slope(x: Any) -> Any:
    """f' of x^2 / 2 + 2 cos x."""
    return x - 2.0 * np.sin(x)


def best_so_far() -> problems.Custom:
    """The point (x, least f'(x)^2 so far)."""
    return problems.Custom(
        lambda p: p[1],
        x0=[3.0, float(slope(3.0)) ** 2],
        oracle=lambda p, draw: np.concatenate([slope(p[:1]) + draw.uniform()[:1], 0.0 * p[1:]]),
        projection=lambda p: np.concatenate([p[:1], np.minimum(p[1:], slope(p[:1]) ** 2)]),
        minimum=0.0,
    )


def measure(small: bool = False) -> dict[str, Any]:
    """The probability, by level and step, that no |f'|^2 was below the level."""
    replicates = 2**19 if small else 2**24
    times = np.unique(np.geomspace(4, 160, 60).astype(int))
    result = simulate(
        best_so_far(),
        schedules.InverseSqrt(),
        base_lr=0.15,
        horizon=int(times[-1]),
        record_at=times,
        replicates=replicates,
        keep_exceedance=True,
    )
    at = [int(np.abs(np.log(result.thresholds[1:] / level)).argmin()) + 1 for level in LEVELS]
    return {
        "times": times,
        "replicates": replicates,
        "levels": result.thresholds[at],
        "probability": result.exceedance[:, at].T / replicates,
    }


def rate(found: dict[str, Any], p: Any, window: tuple[float, float]) -> tuple[float, float]:
    """-d log p / dt by least squares where p lies in the window, and the middle of the times there."""
    inside = (p <= window[0]) & (p >= window[1])
    times = found["times"][inside]
    return -float(np.polyfit(times, np.log(p[inside]), 1)[0]), float(np.sqrt(times[0] * times[-1]))


def check(found: dict[str, Any]) -> str:
    """The rates of decay stay what they are, where exp(-sqrt t) would have them fall."""
    told = []
    late_window = LATE if found["replicates"] > 2**20 else (2e-3, 2e-4)
    for level, p in zip(found["levels"], found["probability"], strict=True):
        (early, t0), (late, t1) = rate(found, p, EARLY), rate(found, p, late_window)
        assert late > early * (t0 / t1) ** 0.25 > 0, (level, early, late, t0, t1)
        told.append(
            f"level {level:.2f}: {early:.3f} then {late:.3f}, ratio {late / early:.2f}, not {(t0 / t1) ** 0.5:.2f}"
        )
    return "Rate of decay of the probability per step, early then late: " + "; ".join(told)


def draw(found: dict[str, Any], axes: Any) -> None:
    """Probabilities over t, and what the early rate would become with exp(-sqrt t)."""
    t = found["times"]
    for k, (level, p) in enumerate(zip(found["levels"], found["probability"], strict=True)):
        seen = p > 20 / found["replicates"]
        axes.semilogy(t[seen], p[seen], f"C{k}o", ms=3, label=f"level {level:.2f}")
        early, t0 = rate(found, p, EARLY)
        at = float(np.exp(np.interp(np.log(t0), np.log(t[seen]), np.log(p[seen]))))
        later = t[(t >= t0) & seen]
        axes.semilogy(later, at * np.exp(-early * (later - t0)), f"C{k}-", lw=1)
        axes.semilogy(later, at * np.exp(-2 * early * np.sqrt(t0) * (np.sqrt(later) - np.sqrt(t0))), f"C{k}:", lw=1)
    axes.set(xlabel="steps t", ylabel="P(all |f′|² so far > level)", ylim=(1 / found["replicates"], 1))
    axes.set_title("Lines: exp(−ct), dots: exp(−c√t), from the early rate", fontsize=9)
    axes.legend()


if __name__ == "__main__":
    gallery.main(measure, check, draw)
