"""Bias and coverage of the two precisions that a campaign may ask for, on skewed laws: the table of docs/campaigns.md.

    python docs/checks/stopping.py LAW VARIATION [REPETITIONS]

Values of mean 1 and a given coefficient of variation are drawn with NumPy, 1 024, then as many again as there are, as a
campaign does, until `Precision.is_met` says so.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from anneal_sgd._statistics import anytime_factor
from anneal_sgd.campaigns._cells import BLOCK, CELL
from anneal_sgd.campaigns._precision import Precision

Moments = tuple[float, float]  # mean, sum of squared deviations
Draw = Callable[[np.random.Generator, float, int], Moments]
TARGETS = (0.05, 0.02)  # standard error, relative to the mean
NORMAL = 1.959964  # half-width of a 95 % interval, in standard errors
MOST_DRAWN = 2**16  # values at a time
MOST = 2**24


def lognormal(rng: np.random.Generator, variation: float, size: int) -> Moments:
    """Of values of mean 1."""
    variance = float(np.log1p(variation**2))
    logarithms = math.sqrt(variance) * rng.standard_normal(size, np.float32) - variance / 2
    values = np.exp(logarithms, dtype=np.float64)
    mean = values.mean()
    return mean, np.sum((values - mean) ** 2)


def rare(rng: np.random.Generator, variation: float, size: int) -> Moments:
    """Of values that are 1 / p with probability p, else 0."""
    p = 1.0 / (1.0 + variation**2)
    share = rng.binomial(size, p) / size
    return share / p, size * share * (1.0 - share) / p**2


LAWS: dict[str, Draw] = {"lognormal": lognormal, "rare": rare}


def stopped(draw: Callable[[int], Moments], precisions: list[Precision]) -> NDArray[np.void]:
    """The cells at which each of the precisions is met first: (precisions,)."""
    cell = np.zeros(1, CELL)
    found = np.zeros(len(precisions), CELL)
    while (found["count"] == 0).any():
        wanted = max(BLOCK, 2 * int(cell["count"][0]))
        while (old := int(cell["count"][0])) < wanted:
            new = min(wanted - old, MOST_DRAWN)
            mean, m2 = draw(new)
            shift = mean - cell["mean"]
            cell["m2"] += m2 + shift**2 * (old * new / (old + new))
            cell["mean"] += shift * (new / (old + new))
            cell["count"] += new
        for i, precision in enumerate(precisions):
            if found["count"][i] == 0 and (precision.is_met(cell[None])[0] or wanted >= MOST):
                found[i] = cell[0]
    return found


def measure(law: str, variation: float, repetitions: int) -> None:
    """Print a row for each target and rule."""
    rng = np.random.default_rng(round(10 * variation))
    precisions = [p for e in TARGETS for p in (Precision(e), Precision(NORMAL * e, 0.95))]
    cells = np.array([stopped(lambda n: LAWS[law](rng, variation, n), precisions) for _ in range(repetitions)])
    for precision, found in zip(precisions, cells.T, strict=True):
        stderr = np.sqrt(found["m2"] / (found["count"] - 1) / found["count"])
        factor = NORMAL if precision.confidence is None else anytime_factor(found["count"], precision.confidence)
        off = found["mean"] - 1.0
        covered = np.mean(np.abs(off) <= factor * stderr)
        scale = precision.target if precision.confidence is None else precision.target / NORMAL
        bias, error = off.mean() / scale, off.std(ddof=1) / scale / np.sqrt(repetitions)
        print(
            f"{law:9} | {variation:4g} | {precision!s:40} | {found['count'].mean():10,.0f} | "
            f"covered {covered:.3f} ± {np.sqrt(covered * (1 - covered) / repetitions):.3f} | "
            f"bias {bias:+.2f} ± {error:.2f} of {scale:.3g} | no spread {np.mean(stderr == 0.0):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    measure(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1000)
