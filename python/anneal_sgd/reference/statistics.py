"""Statistics, of docs/stream.md: moments of blocks, and the tree they merge in."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arithmetic import FloatArray, fold

BLOCK_REPLICATES = 1024
SUM_SCALE = 2.0**-10  # of sums that overflow


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of a set of replicates; every field has the leading shape of the values (for example records).

    `count` of the finite values and of the `diverged` others, and of the finite ones `mean`,
    `m2 = sum (value - mean)^2`, `minimum` and `maximum`. Without any: mean and m2 are 0, minimum inf, maximum -inf.

    >>> moments(np.array([1.0, 3.0, np.nan]), 0).diverged.item()
    1
    """

    count: NDArray[np.int64]
    diverged: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]


def block_moments(values: FloatArray, first_replicate: int) -> Moments:
    """Moments over the last axis, replicates `first_replicate ..`, all of one block of 1024 by number.

    `mean = fold(values) / count`, `m2 = fold((value - mean)^2)`: 1024 slots, 0 where absent or not finite, added as
    `s[i] += s[i + w]` for w = 512, ..., 1. Where that sum overflows, values are added times 2^-10.

    >>> block = block_moments(np.array([1.0, 2.0, np.inf, 6.0]), 1020)
    >>> block.count.item(), block.diverged.item(), block.mean.item(), block.m2.item()
    (3, 1, 3.0, 14.0)
    """
    n, first_slot = values.shape[-1], first_replicate % BLOCK_REPLICATES
    if first_slot + n > BLOCK_REPLICATES:
        raise ValueError(f"values must lie in one block, got {n} from replicate {first_replicate}")
    slots = np.full((*values.shape[:-1], BLOCK_REPLICATES), np.nan)
    slots[..., first_slot : first_slot + n] = values
    finite = np.isfinite(slots)
    count = np.asarray(finite.sum(axis=-1), np.int64)
    minimum, maximum = np.where(finite, slots, np.inf).min(axis=-1), np.where(finite, slots, -np.inf).max(axis=-1)
    with np.errstate(all="ignore"):
        present = np.where(finite, slots, 0.0)
        total = fold(present, axis=-1)
        scaled = np.clip(fold(present * SUM_SCALE, axis=-1) / count, minimum * SUM_SCALE, maximum * SUM_SCALE)
        mean = np.where(np.isfinite(total), total / count, scaled / SUM_SCALE)
        mean = np.where(count > 0, mean, 0.0)
        deviation = np.where(finite, slots - mean[..., None], 0.0)
        m2 = fold(deviation * deviation, axis=-1)
    return Moments(count, np.asarray(n - count), mean, np.asarray(m2), np.asarray(minimum), np.asarray(maximum))


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the union, a to the left of b; a side without finite values changes neither mean nor m2.

    With `d = mean_b - mean_a` and `n = n_a + n_b`: `mean_a + d (n_b / n)` and `(m2_a + m2_b) + d^2 (n_a (n_b / n))`;
    where d^2 overflows, `(d (n_a (n_b / n))) d` for the last term.

    >>> both = merge(block_moments(np.array([1.0, 2.0]), 0), block_moments(np.array([6.0]), 2))
    >>> both.count.item(), both.mean.item(), both.m2.item()
    (3, 3.0, 14.0)
    """
    count = a.count + b.count
    with np.errstate(all="ignore"):
        share, delta = b.count / count, b.mean - a.mean
        mean = a.mean + delta * share
        weight, square = a.count * share, delta * delta
        m2 = (a.m2 + b.m2) + np.where(np.isfinite(square), square * weight, (delta * weight) * delta)
    empty = [b.count == 0, a.count == 0]
    return Moments(
        count=np.asarray(count),
        diverged=np.asarray(a.diverged + b.diverged),
        mean=np.select(empty, [a.mean, b.mean], mean),
        m2=np.select(empty, [a.m2, b.m2], m2),
        minimum=np.minimum(a.minimum, b.minimum),
        maximum=np.maximum(a.maximum, b.maximum),
    )


def nodes(first: int, stop: int) -> list[tuple[int, int]]:
    """The maximal dyadic nodes of the replicates first..stop-1, from left to right, as pairs `(first, stop)`.

    A node covers `2^k` whole blocks and begins at a multiple of its length; a partly covered block is one of its own.

    >>> nodes(1000, 5 * 1024 + 1)
    [(1000, 1024), (1024, 2048), (2048, 4096), (4096, 5120), (5120, 5121)]
    """
    result = []
    while first < stop:
        size = BLOCK_REPLICATES
        end = min(stop, first - first % size + size)
        while first % (2 * size) == 0 and first + 2 * size <= stop:
            size *= 2
            end = first + size
        result.append((first, end))
        first = end
    return result


def moments(values: FloatArray, first_replicate: int) -> Moments:
    """Moments over the last axis, replicates `first_replicate ..`: nodes are trees of blocks, merged left to right.

    >>> two = moments(np.array([[0.0] * 2000 + [4.0] * 2000, [1.0] * 4000]), 500)
    >>> two.count.tolist(), two.mean.tolist(), two.m2.tolist()
    ([4000, 4000], [2.0, 1.0], [16000.0, 0.0])
    """

    def node(first: int, stop: int) -> Moments:
        if stop - first <= BLOCK_REPLICATES:
            return block_moments(values[..., first - first_replicate : stop - first_replicate], first)
        middle = (first + stop) // 2
        return merge(node(first, middle), node(middle, stop))

    ranges = nodes(first_replicate, first_replicate + values.shape[-1])
    if not ranges:
        return block_moments(values, first_replicate)
    return functools.reduce(merge, (node(first, stop) for first, stop in ranges))
