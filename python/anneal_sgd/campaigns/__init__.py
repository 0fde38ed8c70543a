"""Campaigns: ensembles kept in a file, which survive interruptions, grow, scale out and explain themselves.

A `Campaign` says what is to be computed, `Campaign.run(store)` computes what the store lacks, and a `CampaignResult` is
what it holds. docs/campaigns.md is the guide.
"""

from typing import TYPE_CHECKING, Any

from ._campaign import Campaign, ProblemGrid
from ._description import Description
from ._estimate import Estimate, estimate
from ._report import write_report
from ._result import CampaignResult
from ._robustness import Interval, Robustness, RobustnessRow, robustness
from ._run import Progress
from ._store import StoreError

if TYPE_CHECKING:
    from ._spec import EXAMPLE, Sweep, read_spec

__all__ = [
    "EXAMPLE",
    "Campaign",
    "CampaignResult",
    "Description",
    "Estimate",
    "Interval",
    "ProblemGrid",
    "Progress",
    "Robustness",
    "RobustnessRow",
    "StoreError",
    "Sweep",
    "estimate",
    "read_spec",
    "robustness",
    "write_report",
]

_OF_FILES = ("EXAMPLE", "Sweep", "read_spec")  # may need a TOML parser, which campaigns made in Python do not


def __getattr__(name: str) -> Any:
    if name not in _OF_FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _spec
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs {error.name}: pip install 'anneal_sgd[campaigns]'") from None
    return getattr(_spec, name)
