"""Linear models: what they share, and those of one output."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arrays import FloatArray
from ._base import Projection
from ._data import DataProblem, Sampling
from ._design import Design
from ._input import numbers_of, signs_of
from ._minimum import check_rounding, hinge, in_ball, least_squares, smooth


@dataclass(frozen=True, init=False, eq=False, repr=False)
class ConvexModel(DataProblem):
    """`__init__` of the linear models whose loss is built in, and their minima."""

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        intercept: bool = False,
        projection: Projection = None,
        x0: ArrayLike | None = None,
        batch_size: int = 1,
        sampling: Sampling = "with_replacement",
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        """Check the data and the parameters."""
        self._set_up(
            self._load(X, y, sample_weight),
            l2=l2,
            intercept=intercept,
            projection=projection,
            x0=x0,
            batch_size=batch_size,
            sampling=sampling,
            test=test,
        )

    @abstractmethod
    def _solver(self, design: Design, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
        """What gives, for a penalty, the minimiser in the coordinates of the design; y: the targets of its rows."""

    def _minimiser(self) -> tuple[FloatArray, float]:
        """And f there."""
        radius = math.inf if self.projection is None else self.projection[1]
        penalised = self.l2 > 0 or radius < math.inf
        X, y, weights = self._train.counting_rows()
        design = Design(X, weights, intercept=self.intercept, penalised=penalised)
        solver = self._solver(design, y)

        def minimiser(mu: float) -> tuple[FloatArray, float]:
            u = solver(design.penalty(self.l2, mu))
            x = design.point(u)
            loss = float((weights * self._losses(design.outputs(u).reshape(len(y), -1), y)[0]).mean())
            expected = loss + 0.5 * float(np.sum((design.penalty(self.l2, 0.0) @ u) ** 2))
            value = float(self.value(x))
            check_rounding(value, expected)
            return x, value

        if radius == math.inf:
            return minimiser(0.0)
        slope = float(np.linalg.norm(self.gradient(np.zeros(self.dimension))))
        x = in_ball(minimiser, lambda x: float(self.value(x)), slope, radius)
        return x, float(self.value(x))

    def _find_minimum(self) -> float:
        return self._minimiser()[1]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SmoothModel(ConvexModel):
    """Linear models of smooth losses."""

    @staticmethod
    @abstractmethod
    def _curvature(z: FloatArray, dz: FloatArray) -> FloatArray:
        """The change of the loss's derivatives along dz, at outputs z: both (rows, outputs)."""

    def _solver(self, design: Design, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
        return smooth(design, self._sizes[-1], lambda z: self._losses(z, y), self._curvature)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LeastSquares(ConvexModel):
    """Linear regression: loss $(z - y)^2 / 2$, $z = w . X_i (+ b)$: $f = |X w - y|^2 / (2 n) + l2 / 2 |w|^2$.

    `y`: finite numbers. Parameters, a point's layout and sampling: see the module. The minimum comes from an orthogonal
    decomposition. ValueError: data or parameters out of range, named.

    >>> problem = LeastSquares([[1.0, 0.0], [0.0, 2.0]], [1.0, 4.0], intercept=False)
    >>> float(problem.value([1.0, 2.0])), problem.dimension
    (0.0, 2)
    """

    _loss: ClassVar[_core.Loss] = _core.Loss.squared
    _METRICS: ClassVar[tuple[str, ...]] = ("suboptimality", "loss", "test_loss")

    @classmethod
    def _targets(
        cls, name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]
    ) -> tuple[FloatArray, tuple[Any, ...]]:
        return numbers_of(name, y, rows), ()

    @staticmethod
    def _losses(z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        residual = z[:, 0] - y
        return 0.5 * residual**2, residual[:, None]

    def _solver(self, design: Design, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
        return least_squares(design, y)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LogisticRegression(SmoothModel):
    """Binary classification: loss $ln(1 + exp(-y z))$ with y = -1 or +1 and $z = w . X_i (+ b)$.

    `y`: labels of two classes, both present; kept as -1 and +1 (`classes`). Parameters, a point's layout and sampling:
    see the module. An output z > 0 predicts +1. ValueError: data or parameters out of range, named.

    >>> problem = LogisticRegression([[1.0], [2.0], [-1.0]], [1, 0, 0], l2=0.1)
    >>> round(float(problem.value([0.0])), 6), problem.y.tolist()
    (0.693147, [1.0, -1.0, -1.0])
    """

    _loss: ClassVar[_core.Loss] = _core.Loss.logistic
    _targets = staticmethod(signs_of)

    @staticmethod
    def _losses(z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        margin = y * z[:, 0]
        return np.logaddexp(0.0, -margin), (-y / (1.0 + np.exp(margin)))[:, None]

    @staticmethod
    def _curvature(z: FloatArray, dz: FloatArray) -> FloatArray:
        return np.asarray(dz / ((1.0 + np.exp(z)) * (1.0 + np.exp(-z))))


@dataclass(frozen=True, init=False, eq=False, repr=False)
class HingeLoss(ConvexModel):
    """Linear support vector machine: loss max(0, 1 - y z) with y = -1 or +1 and z = w . X_i (+ b). Not smooth.

    `y`: labels of two classes, both present; kept as -1 and +1 (`classes`). The subgradient at the kink is 0.
    Parameters, a point's layout and sampling: see the module. ValueError: data or parameters out of range, named.

    >>> float(HingeLoss([[1.0], [-2.0]], [1, -1]).value([0.5]))
    0.25
    """

    _loss: ClassVar[_core.Loss] = _core.Loss.hinge
    _targets = staticmethod(signs_of)

    @staticmethod
    def _losses(z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        margin = y * z[:, 0]
        return np.maximum(0.0, 1.0 - margin), np.where(margin < 1.0, -y, 0.0)[:, None]

    def _solver(self, design: Design, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
        return hinge(design, y)
