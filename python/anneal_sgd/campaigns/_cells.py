"""Statistics of configs on ranges of replicates, as arrays: what workers send, stores keep and results are made of.

A cell is one (record, metric) of one config. Ranges are nodes of the fixed tree of docs/stream.md: blocks of 1024
replicates, pairs of them, pairs of pairs; and at the end of a run part of a block. So two ranges of a config are
disjoint, or one contains the other, whoever computed them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import _core

BLOCK = _core.BLOCK_REPLICATES

CELL = np.dtype(
    [("count", "<i8"), ("diverged", "<i8"), ("mean", "<f8"), ("m2", "<f8"), ("minimum", "<f8"), ("maximum", "<f8")]
)
Cells: TypeAlias = NDArray[np.void]  # of CELL, (..., cells)
Range: TypeAlias = tuple[int, int]  # first replicate, stop


def from_moments(moments: _core.Moments) -> Cells:
    """Of the one node that the moments must be: (configs, cells)."""
    if len(moments.ranges) != 1:
        raise AssertionError(f"a shard must be one node, got {moments.ranges.tolist()}")
    cells = np.empty(moments.mean.shape[1:], CELL)
    for name in CELL.names or ():
        cells[name] = getattr(moments, name)[0]
    return cells


def to_moments(nodes: list[tuple[Range, Cells]]) -> _core.Moments:
    """Disjoint nodes of the same configs, each (configs, cells), in any order, siblings combined."""
    nodes = sorted(nodes, key=lambda node: node[0])
    moments = [_one(*node) for node in nodes]
    while len(moments) > 1:  # in pairs, so that joining many takes few copies
        pairs = [a.merged(b) for a, b in zip(moments[::2], moments[1::2], strict=False)]
        moments = pairs + moments[2 * len(pairs) :]
    return moments[0]


def total(nodes: list[tuple[Range, Cells]]) -> Cells:
    """All nodes merged from left to right, as a run in one go does it."""
    return from_moments(to_moments(nodes).total())


def sibling(node: Range) -> Range | None:
    """The other half of the parent; None for a node that is part of a block."""
    first, stop = node
    size = stop - first
    if not is_whole(node):
        return None
    other = first ^ size
    return other, other + size


def is_whole(node: Range) -> bool:
    """Whether the range is whole blocks, as many as a power of two, and in its place in the tree."""
    first, stop = node
    blocks, rest = divmod(stop - first, BLOCK)
    return rest == 0 and blocks & (blocks - 1) == 0 and first % (stop - first) == 0


def pieces(ranges: tuple[Range, ...], largest: int) -> Iterator[Range]:
    """The nodes that cover the ranges, in order, with at most `largest` replicates each (at least a block)."""
    for first, stop in ranges:
        while first < stop:
            size = BLOCK
            while first % (2 * size) == 0 and first + 2 * size <= stop and 2 * size <= largest:
                size *= 2
            end = min(first + size, stop)
            yield first, end
            first = end


def missing(stored: list[Range], replicates: int, first_wanted: int = 0) -> tuple[Range, ...]:
    """What of [first_wanted, replicates) stored nodes do not cover; part of a block counts only where it ends there.

    A part that is too short is computed again with the rest of its block, so that statistics have the bits of a run
    in one go.
    """
    gaps: list[Range] = []
    at = 0
    for first, stop in sorted(stored):
        if at >= replicates:
            break
        if stop % BLOCK and stop < replicates:
            continue
        if first > at:
            gaps.append((at, min(first, replicates)))
        at = max(at, stop)
    if at < replicates:
        gaps.append((at, replicates))
    return tuple((max(first, first_wanted), stop) for first, stop in gaps if stop > first_wanted)


def part_of(replicates: int, number: int, count: int) -> Range:
    """The replicates of part `number` of 1 .. count: whole blocks, in no part more than one more than in another."""
    blocks = -(-replicates // BLOCK)
    first, stop = ((n * blocks // count) * BLOCK for n in (number - 1, number))
    return first, min(stop, replicates)


def _one(node: Range, cells: Cells) -> _core.Moments:
    fields: dict[str, Any] = {name: np.ascontiguousarray(cells[name])[None] for name in CELL.names or ()}
    return _core.Moments(ranges=np.array([node], dtype=np.int64), **fields)
