"""A linear model with a loss of one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._arrays import FloatArray
from .._extras import need
from ..programs import Program
from ._base import Projection
from ._data import DataProblem, Sampling
from ._dataset import Dataset
from ._design import Design
from ._input import numbers_of
from ._own_loss import OwnLoss, loss_program, losses_of
from ._search import checked_minimum, lowest_value

_EVERYWHERE = np.array(-math.inf), np.array(math.inf)
_FLAT = 1e-10  # the least curvature, of features of size 1, that coordinates to search in take for one


@dataclass(frozen=True, init=False, eq=False, repr=False)
class LinearModel(DataProblem):
    """A linear model with a loss of one's own: f = mean_i s_i loss(z_i, y_i) + l2 / 2 |w|^2 with z = w . X_i (+ b).

    `loss`: a function of an output z and its target y, called with symbols for both, which returns one number; what it
    may do with them is what `Custom` says. Or a text of that kind, such as "abs(z - y) ** 1.3" or "huber(1, z - y)".
    The derivative by z is derived, at kinks as docs/stream.md, "Programs", says; `problem.loss` is the traced program.
    `y`: finite numbers, which for two classes may be -1 and +1. Other parameters, a point's layout and sampling: see
    the module.

    `minimum`: f*, for the metric "suboptimality". "solve": the lowest value that local searches from twelve starts
    find, where two of them agree to 1e-7 of the fall of f from x0, or 1e-7 if that is more; found, not proved, and of
    little use where the loss has kinks. Without it "loss", f(x), is recorded by default.

    ValueError, TypeError: an argument that is not as above, named.

    >>> import numpy as np
    >>> problem = LinearModel([[1.0], [2.0]], [1.0, 4.0], loss=lambda z, y: np.abs(z - y) ** 1.5)
    >>> problem.value([0.0]).item(), problem.gradient([0.0]).tolist()  # (1 + 8) / 2, -1.5 (1 + 2 * 2) / 2
    (4.5, [-3.75])
    >>> round(LinearModel([[1.0], [2.0]], [1.0, 4.0], loss="(z - y) ** 2", minimum="solve").minimum, 6)  # at w = 9 / 5
    0.4
    """

    loss: Program
    """The loss and its derivative by z, "gradient", of the point (z, y)."""
    _minimum: float | str | None = field(init=False)

    _loss: ClassVar[_core.Loss] = _core.Loss.own
    _METRICS: ClassVar[tuple[str, ...]] = ("loss", "suboptimality", "test_loss")

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        loss: OwnLoss,
        sample_weight: ArrayLike | None = None,
        l2: float = 0.0,
        intercept: bool = False,
        projection: Projection = None,
        x0: ArrayLike | None = None,
        batch_size: int = 1,
        sampling: Sampling = "with_replacement",
        test: tuple[ArrayLike, ArrayLike] | None = None,
        minimum: float | Literal["solve"] | None = None,
    ) -> None:
        """Trace the loss, check the data and the parameters."""
        self._set_up(
            self._load(X, y, sample_weight),
            loss=loss,
            l2=l2,
            intercept=intercept,
            projection=projection,
            x0=x0,
            batch_size=batch_size,
            sampling=sampling,
            test=test,
            minimum=minimum,
        )

    def _set_up(self, train: Dataset, **arguments: Any) -> None:
        minimum, loss = arguments.pop("minimum"), loss_program(arguments.pop("loss"))
        known = checked_minimum(minimum)
        super()._set_up(train, own_loss=loss, **arguments)
        self.__dict__.update(loss=loss, _minimum=known)
        if known is not None:
            self.__dict__["_METRICS"] = ("suboptimality", "loss", "test_loss")

    def _targets(
        self, name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]
    ) -> tuple[FloatArray, tuple[Any, ...]]:
        return numbers_of(name, y, rows), ()

    def _losses(self, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        return losses_of(self.loss, z, y)

    @property
    def _solves_for_minimum(self) -> bool:
        return self._minimum == "solve"

    @property
    def _minimum_key(self) -> tuple[Any, ...]:
        start = None if self.x0 is None else self.x0.tobytes()
        return (*super()._minimum_key, self.loss.digest, self._minimum, start)

    def _find_minimum(self) -> float:
        if self._minimum is None:
            raise ValueError("metric must be 'loss', or minimum must be given: f* is not known")
        if not isinstance(self._minimum, str):
            return self._minimum
        assert self.x0 is not None
        if self.projection is not None:
            return lowest_value(self._value_and_gradient, self.x0, self.projection[0], _EVERYWHERE, self.projection[1])
        X, _, weights = self._train.counting_rows()
        design = Design(X, weights, intercept=self.intercept, penalised=self.l2 > 0)
        solve = need("data", "scipy.linalg").solve_triangular
        curvature = design.gram(weights) / design.rows
        curvature.flat[:: design.width + 1] += np.diag(design.penalty(self.l2, 0.0)) ** 2 + _FLAT
        factor = np.linalg.cholesky(curvature).T  # u = factor^-1 t: with a loss of curvature 1 f has the Hessian 1 by t

        def value_and_gradient(t: FloatArray) -> tuple[float, FloatArray]:
            value, slope = self._value_and_gradient(design.point(solve(factor, t)))
            return value, solve(factor, design.slopes(slope), trans=1)

        return lowest_value(value_and_gradient, factor @ design.coordinates(self.x0), "none", _EVERYWHERE, math.inf)

    def _parameters(self) -> dict[str, Any]:
        return {"loss": self.loss, **super()._parameters(), "minimum": self._minimum}

    @property
    def _bytes(self) -> bytes:
        return super()._bytes + repr(self._minimum).encode()
