"""The stream in NumPy: what every bit of a trajectory and of its statistics is, written from docs/stream.md alone.

The compiled backends are compared with this package to the bit, so it shares no code with them: each formula stands
here as the page has it, slow, and vectorised over replicates and coordinates only; one module per section of the page.
`F` is the dtype of a call, float32 or float64; every written operation rounds once in it. Arguments are trusted, but
for the names of kinds; arrays of numbers have at least one dimension.

`simulate` runs separable problems, `networks.simulate` problems on data.
"""

from __future__ import annotations

from . import functions, networks
from .arithmetic import fma
from .draws import draws
from .elementary import exp, exp2, log2, log_mantissa, minus_two_log, sincos_octant
from .networks import Network
from .samples import rows
from .schedules import Piece, Schedule, schedule_value
from .separable import Problem, simulate, suboptimality
from .statistics import Moments, block_moments, merge, moments, nodes
from .words import philox4x32_10

__all__ = [
    "Moments",
    "Network",
    "Piece",
    "Problem",
    "Schedule",
    "block_moments",
    "draws",
    "exp",
    "exp2",
    "fma",
    "functions",
    "log2",
    "log_mantissa",
    "merge",
    "minus_two_log",
    "moments",
    "networks",
    "nodes",
    "philox4x32_10",
    "rows",
    "schedule_value",
    "simulate",
    "sincos_octant",
    "suboptimality",
]
