"""Words, of docs/stream.md: Philox4x32-10."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def philox4x32_10(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Philox4x32-10 (Salmon et al., SC 2011): uint32 words `(..., 4)` for counters `(..., 4)` and keys `(..., 2)`.

    Ten rounds of `(c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))`; the key grows
    by `(W0, W1)` after each. Integers are taken modulo 2^32.

    >>> [hex(word) for word in philox4x32_10([0, 0, 0, 0], [0, 0])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = (np.asarray(counter).astype(np.uint64)[..., i] & low for i in range(4))
    k0, k1 = (np.asarray(key).astype(np.uint64)[..., i] & low for i in range(2))
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)
