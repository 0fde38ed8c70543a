"""Ensembles of SGD trajectories: what learning-rate schedules do to the last iterate, measured.

>>> import anneal_sgd
>>> problem = anneal_sgd.problems.AbsoluteValue(
...     slope=0.1, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
... )
>>> result = anneal_sgd.simulate(
...     problem, anneal_sgd.schedules.Linear(), base_lr=[0.1, 0.4], horizon=1000, replicates=2048
... )
>>> result.dims, result.mean.shape
(('base_lr',), (2,))
"""

from __future__ import annotations

import importlib
from types import ModuleType

from . import problems, runtime, schedules, theory
from ._core import STREAM_VERSION, __version__
from .results import Result
from .simulate import Simulator, simulate

__all__ = [
    "STREAM_VERSION",
    "Result",
    "Simulator",
    "__version__",
    "problems",
    "runtime",
    "schedules",
    "simulate",
    "theory",
]

_LAZY = ("benchmark", "campaigns", "experiments", "reference")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_LAZY})
