"""What a few runs per learning rate pick, and what the pick loses.

Of n runs at every learning rate of a grid, the one with the smallest mean of its n is picked; its score is the mean
over all replicates. The expected score is over all ways in which runs may fall. Replicates of different learning rates
see the same minibatches, so a few of them compared with each other would agree better than runs of one's own do. Here
the runs of every learning rate are drawn from its replicates independently of the others', without replacement: two
learning rates then share a replicate in one of N draws only.

With the values that n runs of rate k may have, x_k1 .. x_kM, all equally likely, the chance of k on a grid is

    P(k is picked) = 1/M sum_j prod_{l != k} (share of the x_l. that are larger than x_kj),

all M^(rates) combinations at once; for n = 1 the values are the replicates, and nothing is random (of more than 4096,
so many are drawn). For n > 1 they are means of disjoint groups of n in random orders of the replicates. Intervals are
from a delete-a-group jackknife over replicates, those of all learning rates together, that draws anew: they hold the
error of the replicates and of the draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

_GROUPS = 16  # of the jackknife
_VALUES = (192, 48)  # means of n > 1 runs that are drawn for each learning rate, at least: estimate, jackknife
_MOST_VALUES = 4096  # of each learning rate, drawn at random where there are more
_LARGEST_BLOCK = 256  # values compared at once, for rates^2 times as many numbers to fit in memory
# Student's 97.5 % quantiles for 1 .. 15 degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


@dataclass(frozen=True)
class Picks:
    """What the pick of a few runs per learning rate loses: lists over resolutions, with 95 % intervals."""

    runs: int  #: per learning rate
    worst_excess: list[
        float
    ]  #: over offsets, of the expected metric of the pick; relative to the best of all replicates
    worst_low: list[float]
    worst_high: list[float]
    mean_excess: list[float]  #: over offsets
    mean_low: list[float]
    mean_high: list[float]


def picks(samples: Floats, runs: int, steps: Steps, rng: np.random.Generator) -> Picks:
    """What the pick of ``runs`` runs per learning rate loses, at most half of the replicates.

    ``samples[k, i]``: the metric of replicate i at grid point k, inf where it diverged.
    """
    trimmed = samples[_candidates(samples, steps)]
    estimate = _excess(trimmed, runs, steps, _VALUES[0], rng)
    replicates = samples.shape[1]
    groups = np.array_split(rng.permutation(replicates), min(_GROUPS, replicates))
    without = np.stack([_excess(np.delete(trimmed, g, axis=1), runs, steps, _VALUES[1], rng) for g in groups])
    with np.errstate(invalid="ignore"):
        stderr = np.sqrt((len(groups) - 1) * np.mean((without - without.mean(axis=0)) ** 2, axis=0))
        half = np.where(np.isfinite(stderr), _STUDENT[len(groups) - 2] * stderr, np.inf)
        low = np.where(np.isfinite(estimate), np.maximum(estimate - half, 0.0), np.inf)
    (worst, mean), (worst_low, mean_low), (worst_high, mean_high) = estimate, low, estimate + half
    return Picks(
        runs=runs,
        worst_excess=worst.tolist(),
        worst_low=worst_low.tolist(),
        worst_high=worst_high.tolist(),
        mean_excess=mean.tolist(),
        mean_low=mean_low.tolist(),
        mean_high=mean_high.tolist(),
    )


def _subgrids(steps: Steps) -> list[slice]:
    """Of every resolution, all offsets: as many as its step."""
    return [slice(offset, None, step) for step in steps.tolist() for offset in range(step)]


def _candidates(samples: Floats, steps: Steps) -> slice:
    """From the first to the last learning rate that any sub-grid could pick: the others are no rivals anywhere."""
    low, high = samples.min(axis=1), samples.max(axis=1)
    possible = np.zeros(len(samples), dtype=bool)
    for grid in _subgrids(steps):
        possible[grid] |= low[grid] <= high[grid].min()
    inside = np.flatnonzero(possible)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _excess(samples: Floats, runs: int, steps: Steps, values: int, rng: np.random.Generator) -> Floats:
    """Worst and mean over offsets (2, steps) of the expected excess of the pick."""
    score = samples.mean(axis=1)
    best = score.min()
    drawn = _means(samples, runs, values, rng)
    blocks = np.array_split(drawn, math.ceil(drawn.shape[1] / _LARGEST_BLOCK), axis=1)
    grids = _subgrids(steps)
    of_blocks = [[_expected(larger, score, grid) for grid in grids] for larger in map(_larger, blocks)]
    expected = np.average(of_blocks, axis=0, weights=[block.shape[1] for block in blocks])
    with np.errstate(divide="ignore", invalid="ignore"):  # a best metric of 0: no excess or an infinite one
        lost = np.where(expected == best, 0.0, expected / best - 1.0)
    by_step = np.split(lost, np.cumsum(steps)[:-1])
    return np.array([[offsets.max() for offsets in by_step], [offsets.mean() for offsets in by_step]])


def _means(samples: Floats, runs: int, values: int, rng: np.random.Generator) -> Floats:
    """Means of disjoint groups of ``runs`` replicates, in orders of each learning rate's own (grid points, means)."""
    if runs == 1 and samples.shape[1] <= _MOST_VALUES:
        return samples
    groups = min(samples.shape[1] // runs, _MOST_VALUES)
    orders = [
        rng.permuted(samples, axis=1)[:, : groups * runs].reshape(len(samples), groups, runs).mean(axis=2)
        for _ in range(math.ceil(values / groups))
    ]
    return np.concatenate(orders, axis=1)


def _larger(values: Floats) -> Floats:
    """(k, j, l): the share of the values of rate l larger than value j of rate k, of equal ones those with l > k.

    1 for l = k. So equal values go to the smallest learning rate, as with argmin.
    """
    rates, count = values.shape
    order = np.argsort(values, axis=None, kind="stable")
    place, rate = np.arange(order.size), order // count
    after = np.zeros((order.size, rates))
    after[place, rate] = 1.0
    after = np.cumsum(after[::-1], axis=0)[::-1] / count  # in this order: of all that come later
    after[place, rate] = 1.0
    shares = np.empty((rates * count, rates))
    shares[order] = after
    return shares.reshape(rates, count, rates)


def _expected(larger: Floats, score: Floats, grid: slice) -> float:
    """The expected score of the pick of a sub-grid; infinite where one that diverges may be picked."""
    chance = larger[grid, :, grid].prod(axis=2).mean(axis=1)
    return float(np.sum(np.multiply(chance, score[grid], where=chance > 0, out=np.zeros_like(chance))))
