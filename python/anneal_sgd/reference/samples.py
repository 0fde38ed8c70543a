"""Problems on data, of docs/stream.md: the rows that a step sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .words import philox4x32_10

SAMPLES, EPOCHS = 1 << 24, 2 << 24  # purposes, as the last word of a counter


def _words(counter: tuple[ArrayLike, ...], seed: int) -> NDArray[np.uint32]:
    return philox4x32_10(np.stack(np.broadcast_arrays(*counter), axis=-1), [seed % 2**32, seed // 2**32])


def rows(
    n: int,
    *,
    seed: int,
    replicates: ArrayLike,
    first: int,
    count: int,
    stream: int = 0,
    sampling: str = "with_replacement",
) -> NDArray[np.int64]:
    """Row numbers of samples first .. first + count - 1: `(replicates, count)`.

    `sampling`: with_replacement, reshuffling or sequential.

    >>> rows(10, seed=1, replicates=[0, 1], first=0, count=5).tolist()
    [[6, 5, 4, 9, 5], [5, 3, 5, 2, 9]]
    >>> sorted(rows(5, seed=1, replicates=[0], first=5, count=5, sampling="reshuffling")[0].tolist())
    [0, 1, 2, 3, 4]
    """
    replicates = np.asarray(replicates, np.int64)
    out = np.empty((len(replicates), count), np.int64)
    for j, q in enumerate(range(first, first + count)):
        if sampling == "with_replacement":
            words = _words((replicates, stream, q // 4 % 2**32, SAMPLES + q // 4 // 2**32), seed)
            out[:, j] = (words[:, q % 4].astype(np.uint64) * np.uint64(n)) >> np.uint64(32)
            continue
        epoch, position = divmod(q, n)
        if sampling == "sequential":
            out[:, j] = position
            continue
        if sampling != "reshuffling":
            raise ValueError(f"sampling must be 'with_replacement', 'reshuffling' or 'sequential', got {sampling!r}")
        calls = [
            _words((replicates, stream, (4 * epoch + call) % 2**32, EPOCHS + 4 * epoch // 2**32), seed)
            for call in range(4)
        ]
        out[:, j] = [_shuffled(position, n, keys.tolist()) for keys in np.concatenate(calls, axis=1)]
    return out


def _scattered(x: int, key: int, size: int) -> int:
    u = (x ^ key) * 0x9E3779B1 % 2**32
    u ^= u >> 15
    u = u * 0x85EBCA77 % 2**32
    u ^= u >> 13
    return (u * 0xC2B2AE3D % 2**32) * size >> 32


def _shuffled(position: int, n: int, keys: Sequence[int]) -> int:
    columns = math.isqrt(n - 1) + 1
    grid_rows = -(-n // columns)
    while True:
        high, low = divmod(position, columns)
        for r in range(0, 16, 2):
            high = (high + _scattered(low, keys[r], grid_rows)) % grid_rows
            low = (low + _scattered(high, keys[r + 1], columns)) % columns
        position = high * columns + low
        if position < n:
            return position
