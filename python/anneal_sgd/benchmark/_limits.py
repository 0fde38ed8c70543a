"""What this machine's cores can do at most: measured, in a second, in loops of operations of one sort and of two."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

from .. import _core
from .._core import testing

WIDTHS = {"avx2": 32, "avx512": 64}
"""Bytes of a vector of the instruction sets that have limits."""

_SIDE_BY_SIDE = ("product", "word_product", "addition", "maximum", "shift", "logic")
_ALONE = ("square_root", "store", "load")
_ONE_UNIT = 1.1  # two sorts go to the same units if they are as fast alone as both together, within that


@dataclass(frozen=True)
class Rates:
    """Operations on vectors per second."""

    of: Mapping[str, float]
    """By sort."""
    together: float
    """Of sorts that compute, side by side."""
    groups: tuple[tuple[str, ...], ...]
    """Sorts that the same units do."""

    def seconds(self, counts: Mapping[str, float]) -> float:
        """That so many operations by sort take at least; sorts that are not known count among all that compute."""
        alone = [n / self.of[sort] for sort, n in counts.items() if sort in self.of]
        shared = [sum(counts.get(sort, 0) for sort in g) / max(self.of[sort] for sort in g) for g in self.groups]
        return max(*alone, *shared, sum(n for sort, n in counts.items() if sort not in _ALONE) / self.together)


@cache
def rates(isa: str, dtype: str, threads: int) -> Rates:
    """Of all threads together, measured on all at once; once in a process."""
    of = {sort: _measured(isa, dtype, threads, sort, sort) for sort in (*_SIDE_BY_SIDE, *_ALONE)}
    pairs = {pair: _measured(isa, dtype, threads, *pair) for pair in combinations(_SIDE_BY_SIDE, 2)}
    together = max(*pairs.values(), *(of[sort] for sort in _SIDE_BY_SIDE))
    alike = {pair for pair, rate in pairs.items() if rate < _ONE_UNIT * min(of[sort] for sort in pair)}
    return Rates(of, together, groups_of(alike))


@cache
def bandwidth(isa: str, threads: int, size: int) -> float:
    """Bytes per second that all threads together load from `size` bytes that each of them passes over."""
    return WIDTHS[isa] * _measured(isa, "float32", threads, "load", "load", size)


@cache
def counted() -> dict[str, Any]:
    """Operations of a vector's step by instruction set, dtype, noise and sort: what bench/instructions.py wrote."""
    told: dict[str, Any] = json.loads(files(__package__).joinpath("instructions.json").read_text(encoding="utf-8"))
    return told


def groups_of(alike: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The largest sets of sorts any two of which are alike."""
    found = [
        group
        for n in range(2, len(_SIDE_BY_SIDE) + 1)
        for group in combinations(_SIDE_BY_SIDE, n)
        if all(pair in alike for pair in combinations(group, 2))
    ]
    return tuple(group for group in found if not any(set(group) < set(other) for other in found))


def _measured(isa: str, dtype: str, threads: int, first: str, second: str, size: int = 4096) -> float:
    def rate(_: int) -> float:
        works = testing.CoreWork[first], testing.CoreWork[second]
        return testing.core_rate(isa, *works, _core.Precision[dtype], bytes=size)

    together = min(threads, os.cpu_count() or 1)  # more are no faster
    with ThreadPoolExecutor(together) as pool:
        return sum(pool.map(rate, range(together)))
