"""Averages, of docs/stream.md: sums of iterates by segments, and what they are divided by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arithmetic import FloatArray

SEGMENT = 128  # steps whose iterates are added in F before they join the float64 sum

WEIGHED = ("ema", "polynomial_average")  # iterates of a mean that is kept in float64, step by step


def averaged(iterate: str, tail_frac: float, k: int) -> int:
    """How many iterates, the last ones of k, the average after k steps is taken over.

    The product `tail_frac k` is rounded up, unless rounding errors alone lift it above a whole number.

    >>> averaged("average", 0.5, 5), averaged("tail_average", 0.5, 5), averaged("tail_average", 0.5, 0)
    (5, 3, 1)
    >>> 0.07 * 100 > 7, averaged("tail_average", 0.07, 100)
    (True, 7)
    """
    return k if iterate == "average" else max(1, math.ceil(tail_frac * k * (1 - 2.0**-50)))


def weight(iterate: str, ema_decay: float, average_degree: float, k: int) -> float:
    """What of the mean that is kept goes to iterate k.

    >>> weight("ema", 0.75, 0.0, 1), weight("ema", 0.75, 0.0, 2), weight("polynomial_average", 0.0, 1.0, 3)
    (1.0, 0.25, 0.5)
    """
    if iterate == "ema":
        return 1.0 if k == 1 else 1.0 - ema_decay
    return (average_degree + 1.0) / (average_degree + k)


class Averages:
    """The points that are recorded of a sequence of iterates: the last, an average, or a mean that weighs them.

    `P(k)`, the sum of iterates 1..k, is `finished`, the float64 sum of finished segments, plus the open segment.

    >>> averages = Averages("average", 0.5, [2], np.float32([5.0]))
    >>> for k, x in ((1, 1.0), (2, 2.0)):
    ...     averages.add(k, np.float32([x]))
    >>> averages.at(2, np.float32([2.0])).tolist()
    [1.5]
    """

    def __init__(
        self,
        iterate: str,
        tail_frac: float,
        records: Sequence[int],
        x0: FloatArray,
        ema_decay: float = 0.999,
        average_degree: float = 3.0,
    ) -> None:
        """Begin at x0; `records` are the steps that `at` will be called for."""
        if iterate not in (*WEIGHED, "last", "average", "tail_average"):
            raise ValueError(
                f"iterate must be 'last', 'average', 'tail_average', {' or '.join(map(repr, WEIGHED))}, got {iterate!r}"
            )
        self.iterate, self.ema_decay, self.average_degree = iterate, ema_decay, average_degree
        self.length = {k: averaged(iterate, tail_frac, k) for k in records}
        self.starts = {k - n for k, n in self.length.items()}
        self.finished, self.segment = np.zeros(x0.shape, np.float64), np.zeros_like(x0)
        self.sums = {0: self.finished}  # P(k) where a record will ask for it

    def add(self, k: int, x: FloatArray) -> None:
        """Take x, the iterate after k steps."""
        if self.iterate in WEIGHED:
            share = weight(self.iterate, self.ema_decay, self.average_degree, k)
            self.finished = self.finished + share * (x.astype(np.float64) - self.finished)
            return
        self.segment = self.segment + x
        if k % SEGMENT == 0:
            self.finished, self.segment = self.finished + self.segment, np.zeros_like(x)
        if k in self.starts:
            self.sums[k] = self.finished + self.segment

    def at(self, k: int, x: FloatArray) -> FloatArray:
        """The point to record after k steps, of which x is the last iterate."""
        if self.iterate == "last" or k == 0:
            return x
        if self.iterate in WEIGHED:
            return np.asarray(self.finished.astype(x.dtype))
        n = self.length[k]
        return np.asarray(((self.finished + self.segment - self.sums[k - n]) / n).astype(x.dtype))
