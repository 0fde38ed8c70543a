"""Another method, whose gradients are not too long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .. import _validate
from .._validate import shown
from ..programs import Symbol
from ._base import Method, of_kind
from ._following import Number
from ._sgd import SGD
from ._step import Altered, Now


@dataclass(frozen=True)
class Clipped(Method):
    """Another method, given $min(1, threshold / |g|) g$ with the Euclidean norm in place of the gradient g.

    `by="value"`: $min(threshold, max(-threshold, g_i))$ in place of $g_i$. Pascanu et al., ICML 2013; Zhang et al.,
    ICLR 2020. A gradient within the threshold is handed on as it is, to the bit; weight decay of the method is added
    to what is clipped already. ValueError: threshold not > 0, a `method` that is none.

    >>> from anneal_sgd import methods, problems, schedules, simulate
    >>> problem = problems.Quadratic(curvature=1.0, x0=[3.0, 4.0])
    >>> clipped = methods.Clipped(methods.SGD(), threshold=2.5)
    >>> result = simulate(
    ...     problem, schedules.Constant(), method=clipped, base_lr=1.0, horizon=2, replicates=1, record_at=[0, 1, 2],
    ...     dtype="float64",
    ... )
    >>> result.mean.tolist()  # |x| = 5, 2.5, 0
    [12.5, 3.125, 0.0]
    """

    method: Method = field(default_factory=SGD)
    threshold: Number = 1.0
    by: Literal["norm", "value"] = "norm"

    def __post_init__(self) -> None:
        """Check everything."""
        if of_kind("method", self.method)._dimension is not None:
            raise ValueError(f"method must be one that is not traced already, got {shown(self.method)}")
        self._number("threshold")
        _validate.choice("by", self.by, ("norm", "value"))

    @property
    def _unconstrained(self) -> bool:
        return self.method._unconstrained

    def _state(self, d: int) -> Mapping[str, Any]:
        return self.method._state(d)

    def _step(self, now: Now, **state: Symbol) -> tuple[Any, Mapping[str, Any]]:
        threshold = now.number(self.threshold)

        def clipped(g: Any) -> Any:
            if self.by == "value":
                return np.minimum(threshold, np.maximum(-threshold, g))
            norm = np.linalg.norm(g)
            return np.where(norm > threshold, threshold / norm, 1.0) * g

        return self.method._step(Altered(now, clipped), **state)
