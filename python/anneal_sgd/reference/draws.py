"""Draws, of docs/stream.md: mean 0, variance 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .arithmetic import FloatArray, fma
from .elementary import minus_two_log, sincos_octant
from .words import philox4x32_10

DRAWS_PER_CALL = {"rademacher": (128, 128), "uniform": (4, 2), "gaussian": (4, 2)}  # float32, float64
SQRT3 = 1.7320508075688772935274463


def draws_per_call(noise: str, dtype: Any) -> int:
    """n: how many draws come from one call."""
    if noise not in DRAWS_PER_CALL:
        raise ValueError(f"noise must be one of {sorted(DRAWS_PER_CALL)}, got {noise!r}")
    return DRAWS_PER_CALL[noise][dtype == np.float64]


def _call_draws(noise: str, words: NDArray[np.uint32], dtype: Any) -> FloatArray:
    """The draws of one call: words of shape (..., 4) to an array of shape (draws per call, ...)."""
    F, single, w = np.dtype(dtype).type, dtype == np.float32, [words[..., i] for i in range(4)]
    if noise == "rademacher":
        bits = [(w[j // 32] >> np.uint32(31 - j % 32)) & np.uint32(1) for j in range(128)]
        return np.asarray(np.where(np.stack(bits) == 1, F(-1), F(1)))
    wide = [w[2 * k + 1].astype(np.uint64) << np.uint64(32) | w[2 * k] for k in range(2)]
    one_to_two = [(np.uint64(0x3FF << 52) | x >> np.uint64(12)).view(np.float64) for x in wide]
    if noise == "uniform":
        if single:
            return np.stack([x.view(np.int32).astype(F) * F(SQRT3 * 2.0**-31) for x in w])
        return np.stack([(x - 1.5) * F(2 * SQRT3) for x in one_to_two])
    if noise != "gaussian":
        raise ValueError(f"noise must be one of {sorted(DRAWS_PER_CALL)}, got {noise!r}")
    pairs = []
    for k in range(2 if single else 1):
        if single:
            u = fma(w[2 * k].astype(F), F(2.0**-32), F(2.0**-33))
            t, b = w[2 * k + 1].view(np.int32).astype(F) * F(2.0**-31), w[2 * k + 1]
        else:
            u = (one_to_two[0] - 1.0) + 2.0**-53
            t, b = (one_to_two[1] - 1.5) * 2.0, w[2]
        r = np.sqrt(minus_two_log(u))
        s, c = sincos_octant(t)
        c = np.where(b & np.uint32(2), -c, c)
        swap = (b & np.uint32(1)) == 1
        pairs += [np.where(swap, r * s, r * c), np.where(swap, r * c, r * s)]
    return np.stack(pairs)


def draws_of(noise: str, call: int, seed: int, counter: tuple[ArrayLike, int, ArrayLike], dtype: Any) -> FloatArray:
    """The draws of one call of gradient noise (purpose 0) at counter = replicates, stream, coordinates."""
    replicates, stream, coordinates = counter
    words = np.stack(np.broadcast_arrays(replicates, stream, call, coordinates), axis=-1)
    return _call_draws(noise, philox4x32_10(words, [seed % 2**32, seed // 2**32]), dtype)


def units_of(call: int, seed: int, counter: tuple[ArrayLike, int, ArrayLike], dtype: Any) -> FloatArray:
    """The variates in (0, 1] of one call, of shape (draws per call, ...): as under a Gaussian pair's logarithm."""
    replicates, stream, substreams = counter
    words = np.stack(np.broadcast_arrays(replicates, stream, call, substreams), axis=-1)
    w = np.moveaxis(philox4x32_10(words, [seed % 2**32, seed // 2**32]), -1, 0)
    if dtype == np.float32:
        return fma(w.astype(np.float32), np.float32(2.0**-32), np.float32(2.0**-33))
    wide = [w[2 * k + 1].astype(np.uint64) << np.uint64(32) | w[2 * k] for k in range(2)]
    one_to_two = np.stack([(np.uint64(0x3FF << 52) | x >> np.uint64(12)).view(np.float64) for x in wide])
    return np.asarray((one_to_two - 1.0) + 2.0**-53)


def draws(
    noise: str,
    *,
    seed: int,
    replicates: ArrayLike,
    first_step: int,
    steps: int,
    stream: int = 0,
    coordinate: int = 0,
    dtype: DTypeLike = np.float32,
) -> FloatArray:
    """Noise of mean 0 and variance 1: `draws[t, r]` is that of step `first_step + t` for `replicates[r]`.

    `noise` is "rademacher", "uniform" or "gaussian". Draw j of the words of counter
    `(replicate, stream, call, coordinate)` belongs to step `n * call + j`, with
    n = `DRAWS_PER_CALL[noise]` of the dtype.

    >>> draws("rademacher", seed=1, replicates=[0, 1, 2], first_step=0, steps=2).tolist()
    [[-1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]
    >>> draws("gaussian", seed=1, replicates=[7], first_step=3, steps=2, dtype="float64").round(6).tolist()
    [[-0.178476], [-0.560491]]
    """
    dtype = np.dtype(dtype)
    n, counter = draws_per_call(noise, dtype), (replicates, stream, coordinate)
    calls = range(first_step // n, (first_step + steps - 1) // n + 1)
    every = np.concatenate([draws_of(noise, call, seed, counter, dtype) for call in calls])
    return every[first_step % n :][:steps]
