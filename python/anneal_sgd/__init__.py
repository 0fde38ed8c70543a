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

from ._late import names_of

TYPE_CHECKING = False  # typing takes longer to import than the rest of this file
if TYPE_CHECKING:
    from . import benchmark as benchmark
    from . import campaigns as campaigns
    from . import datasets as datasets
    from . import experiments as experiments
    from . import methods, problems, runtime, schedules, theory
    from . import programs as programs
    from . import reference as reference
    from . import results as results
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

# Loaded at their first use, so that the command line can answer signals before anything large is imported.
if not TYPE_CHECKING:
    __getattr__, __dir__ = names_of(
        __name__,
        {
            "_core": "STREAM_VERSION __version__",
            "_estimate": "Estimate estimate",
            "_simulate": "Backend Simulator simulate",
            "_spec": "Iterate",
            "results": "Result",
        },
        (
            "benchmark",
            "campaigns",
            "datasets",
            "experiments",
            "methods",
            "problems",
            "programs",
            "reference",
            "results",
            "runtime",
            "schedules",
            "theory",
        ),
    )
