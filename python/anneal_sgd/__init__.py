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

TYPE_CHECKING = False  # typing takes longer to import than the rest of this file
if TYPE_CHECKING:
    from typing import Any

    from . import methods, problems, runtime, schedules, theory
    from ._core import STREAM_VERSION, __version__
    from ._estimate import Estimate, estimate
    from ._simulate import Backend, Simulator, simulate
    from ._spec import Iterate
    from .results import Result

__all__ = [
    "STREAM_VERSION",
    "Backend",
    "Estimate",
    "Iterate",
    "Result",
    "Simulator",
    "__version__",
    "estimate",
    "methods",
    "problems",
    "runtime",
    "schedules",
    "simulate",
    "theory",
]

# Loaded at their first use (PEP 562), so that the command line can answer signals before anything large is imported.
_HOMES = {
    "STREAM_VERSION": "_core",
    "Backend": "_simulate",
    "Estimate": "_estimate",
    "Iterate": "_spec",
    "Result": "results",
    "Simulator": "_simulate",
    "__version__": "_core",
    "estimate": "_estimate",
    "simulate": "_simulate",
}
_MODULES = (
    "benchmark",
    "campaigns",
    "datasets",
    "experiments",
    "methods",
    "problems",
    "reference",
    "runtime",
    "schedules",
    "theory",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
