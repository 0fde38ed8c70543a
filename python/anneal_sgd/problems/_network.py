"""A small network on data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .. import _core, _validate
from .._arrays import FloatArray
from .._validate import shown
from ..programs import Program
from ._base import LARGEST_DIMENSION, Projection
from ._data import Sampling
from ._dataset import Dataset
from ._input import numbers_of
from ._own_loss import OwnLoss, loss_program, losses_of
from ._softmax import Classes

Activation: TypeAlias = Literal["relu", "tanh"]

_ACTIVATIONS = tuple(kind.name for kind in _core.Activation)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class MLP(Classes):
    """A small fully connected network, a stand-in for deep networks: its loss is not convex.

    `hidden`: units of one or two hidden layers. `activation`: "relu" or "tanh". `y`: labels of k >= 2 classes, kept as
    0, 1, ..., k - 1 (`classes`). Loss as for `SoftmaxRegression`, of k outputs; or `loss`, one's own as in
    `LinearModel`, of one output and a target that is a number. The minimum is not known, so "loss" is recorded by
    default. Other parameters and sampling: see the module. ValueError: data or parameters out of range, named.

    The start `x0` is the given point (dimension,), or drawn anew for every replicate: Gaussian weights of variance
    2 / inputs in a layer before a relu, and of variance 1 / inputs in the output layer and before a tanh; intercepts 0.

    >>> problem = MLP([[0.0, 1.0], [1.0, 0.0]], [0, 1], hidden=(3,))
    >>> problem.dimension  # 2 * 3 + 3 weights and intercepts of the hidden layer, 3 * 2 + 2 of the outputs
    17
    """

    hidden: tuple[int, ...]
    activation: Activation
    loss: Program | None

    _METRICS: ClassVar[tuple[str, ...]] = ("loss", "test_loss", "test_accuracy")

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        hidden: int | Sequence[int] = (32,),
        activation: Activation = "relu",
        loss: OwnLoss | None = None,
        l2: float = 0.0,
        intercept: bool = True,
        projection: Projection = None,
        x0: ArrayLike | None = None,
        batch_size: int = 32,
        sampling: Sampling = "with_replacement",
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        """Check the data and the parameters."""
        own = None if loss is None else loss_program(loss)
        self.__dict__["loss"] = own  # says what targets are
        self._set_up(
            self._load(X, y, sample_weight),
            l2=l2,
            intercept=intercept,
            projection=projection,
            x0=x0,
            batch_size=batch_size,
            sampling=sampling,
            test=test,
            hidden=hidden,
            activation=activation,
            loss=own,
        )

    def _set_up(self, train: Dataset, **arguments: Any) -> None:
        given = arguments.pop("hidden")
        several = isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim > 0)
        units = tuple(given) if several else (given,)
        if not 1 <= len(units) <= 2:
            raise ValueError(f"hidden must be the units of one or two layers, got {shown(given)}")
        hidden = tuple(_validate.integer("hidden", n, lowest=1, highest=LARGEST_DIMENSION) for n in units)
        activation = _validate.choice("activation", arguments.pop("activation"), _ACTIVATIONS)
        loss = arguments.pop("loss")
        own = None if loss is None else loss_program(loss)
        if (own is None) != bool(train.classes):
            raise ValueError(f"loss must be {'None' if train.classes else 'one of your own'} where y is "
                             f"{'classes' if train.classes else 'numbers'}, got {shown(loss)}")  # fmt: skip
        self.__dict__.update(hidden=hidden, activation=activation, loss=own)
        super()._set_up(train, hidden=hidden, activation=activation, drawn=True, own_loss=own, **arguments)
        if own is not None:
            self.__dict__["_METRICS"] = ("loss", "test_loss")

    def _targets(
        self, name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]
    ) -> tuple[FloatArray, tuple[Any, ...]]:
        return super()._targets(name, y, rows, classes) if self.loss is None else (numbers_of(name, y, rows), ())

    def _outputs(self, train: Dataset) -> int:
        return super()._outputs(train) if self.loss is None else 1

    def _losses(self, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        return super()._losses(z, y) if self.loss is None else losses_of(self.loss, z, y)

    def _parameters(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "activation": self.activation, "loss": self.loss, **super()._parameters()}

    def _find_minimum(self) -> float:
        raise ValueError("the minimum of an MLP is not known: record metric='loss'")
