"""Which build of the package computes: its versions, and the bits of a few trajectories, which these may not tell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cache, partial

import numpy as np

from .. import problems, schedules
from .._core import STREAM_VERSION, __version__
from .._simulate import simulate_quietly


@dataclass(frozen=True)
class Build:
    """What decides the bits of statistics besides a specification: processes that share a campaign have the same."""

    anneal_sgd: str
    """The package's version."""
    stream_version: int
    trajectories: str
    """Digest of a few small runs: another compiler or another patch can change them under the same versions."""

    def differences(self, other: Build | None) -> list[str]:
        """In words, what is not the same; `other` None is a build too old to say what it is."""
        if other is None:
            return [f"no build (here {self})"]
        pairs = [(field.name, getattr(other, field.name), getattr(self, field.name)) for field in fields(self)]
        return [f"{name} {theirs!r} (here {mine!r})" for name, theirs, mine in pairs if theirs != mine]


@cache
def this_build() -> Build:
    """That of this process; the first call takes some milliseconds."""
    X, y = np.cos(np.arange(30.0)).reshape(10, 3), np.arange(10) % 2
    noisy = partial(problems.AbsoluteValue, [0.5, 0.7], noise_std=1.0, projection=("box", -1.0, 1.0))
    digest = hashlib.sha256()
    for dtype, problem, metric in (
        ("float32", noisy(noise="rademacher"), "suboptimality"),
        ("float32", noisy(noise="gaussian"), "suboptimality"),
        ("float64", noisy(noise="uniform"), "suboptimality"),
        ("float32", problems.LogisticRegression(X, y, batch_size=3), "loss"),
    ):
        result = simulate_quietly(
            problem,
            schedules.Cosine(),
            base_lr=[0.1, 0.3],
            horizon=50,
            replicates=40,
            record_at=[7, 50],
            metric=metric,
            dtype=dtype,
            backend="cpu",
            threads=1,
            common_random_numbers=False,
        )
        for statistic in (result.mean, result.std, result.min, result.max):
            digest.update(statistic.tobytes())
    return Build(__version__, STREAM_VERSION, digest.hexdigest()[:16])
