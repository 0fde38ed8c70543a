"""Benchmarks: `anneal-sgd bench`. Cases as data, other libraries beside ours in the same run, scaling tables.

`measure` times one of `CASES`. bench/ in the source tree holds results, notes, and what compares two builds or runs on
GPUs.
"""

from ._cases import CASES, GPU_CASES, Case
from ._harness import OURS, Timing, available_peers, core_rates, costs, machine, measure, tiny_calls
from ._scaling import SCALING, Series, scale

__all__ = [
    "CASES",
    "GPU_CASES",
    "OURS",
    "SCALING",
    "Case",
    "Series",
    "Timing",
    "available_peers",
    "core_rates",
    "costs",
    "machine",
    "measure",
    "scale",
    "tiny_calls",
]
