"""What single precision changes of a mean: the row "dtype" of docs/validate.md.

    python docs/checks/float32.py HORIZON [REPLICATES]       |x| of slope 0.5 and 0.05, rho = 1, 4, 16
    python docs/checks/float32.py 100000000 64 --wide        five slopes, rho = 1, 16, 256

For linear decay, cosine and (1 - u)^3, on the same noise: how far means are apart, beside their standard errors, and
the standard errors of the paired differences, which would show a bias.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from anneal_sgd import schedules, simulate, theory
from anneal_sgd.experiments import _families

Floats = NDArray[np.float64]

SCHEDULES = (schedules.Linear(), schedules.Cosine(), schedules.Polynomial(3))


def samples(dtype: str, horizon: int, replicates: int, rho: list[float], slopes: list[float]) -> Floats:
    """Suboptimalities: (config, replicate), in the order of schedules, slopes and rho."""
    found = [
        simulate(
            [_families.FAMILIES["nonsmooth"].problem(slope) for slope in slopes],
            schedule,
            base_lr=theory.tuned_base_lr(schedule, horizon) * np.array(rho),
            horizon=horizon,
            replicates=replicates,
            dtype=dtype,
            keep_samples=True,
        ).samples
        for schedule in SCHEDULES
    ]
    return np.concatenate([np.reshape(f, (-1, replicates)) for f in found]).astype(np.float64)


def show(horizon: int, replicates: int, rho: list[float], slopes: list[float]) -> None:
    """A line for each slope."""
    single, double = (samples(dtype, horizon, replicates, rho, slopes) for dtype in ("float32", "float64"))

    def by_slope(values: Floats) -> Floats:
        return values.reshape(len(SCHEDULES), len(slopes), len(rho)).transpose(1, 0, 2).reshape(len(slopes), -1)

    mean, error = by_slope(double.mean(axis=1)), by_slope(double.std(axis=1) / np.sqrt(replicates))
    apart = by_slope((single - double).mean(axis=1))
    noise = by_slope((single - double).std(axis=1) / np.sqrt(replicates))
    for slope, m, e, a, n in zip(slopes, mean, error, apart, noise, strict=True):
        apart_at_most, least, most = np.max(abs(a)), 100 * np.min(abs(a) / m), 100 * np.max(abs(a) / m)
        print(
            f"T = {horizon:,}, {replicates:,} replicates, slope {slope:.3g}: {least:.1g} to {most:.2g} % apart,"
            f" at most {apart_at_most * np.sqrt(horizon):.1g}/sqrt(T); standard errors {100 * np.min(e / m):.2g} to "
            f"{100 * np.max(e / m):.2g} %; paired differences at most {np.max(abs(a) / n):.1f} standard errors from 0",
            flush=True,
        )


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--wide"]
    wide = "--wide" in sys.argv
    rho, slopes = (
        ([1.0, 16.0, 256.0], np.geomspace(0.005, 0.5, 5).tolist()) if wide else ([1.0, 4.0, 16.0], [0.5, 0.05])
    )
    show(numbers[0], numbers[1] if len(numbers) > 1 else 16_384, rho, slopes)
