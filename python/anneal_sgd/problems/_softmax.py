"""Classification into k classes: cross-entropy, and the linear model of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import _core
from .._arrays import FloatArray
from ._data import DataProblem
from ._dataset import Dataset
from ._input import classes_of
from ._linear import SmoothModel


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Classes(DataProblem):
    """Cross-entropy of k outputs."""

    _loss: ClassVar[_core.Loss] = _core.Loss.softmax
    _targets = staticmethod(classes_of)

    def _outputs(self, train: Dataset) -> int:
        return len(train.classes)

    def _losses(self, z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        above = z - z.max(axis=1, keepdims=True)
        exponentials = np.exp(above)
        sums = exponentials.sum(axis=1, keepdims=True)
        rows, labels = np.arange(y.size), y.astype(np.int64)
        delta = exponentials / sums
        delta[rows, labels] -= 1.0
        return np.log(sums[:, 0]) - above[rows, labels], delta


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SoftmaxRegression(Classes, SmoothModel):
    """Classification into k classes: loss $ln(sum_k exp(z_k)) - z_y$ with $z_k = w_k . X_i (+ b_k)$.

    `y`: labels of k >= 2 classes, kept as 0, 1, ..., k - 1 (`classes`). A point lists w_0, w_1, ... and then the
    intercepts. The first of the largest outputs is predicted. Parameters and sampling: see the module. ValueError: data
    or parameters out of range, named.

    >>> problem = SoftmaxRegression([[1.0], [2.0], [3.0]], [0, 1, 2], intercept=True)
    >>> problem.dimension, round(float(problem.value([0.0] * 6)), 6)
    (6, 1.098612)
    """

    @staticmethod
    def _curvature(z: FloatArray, dz: FloatArray) -> FloatArray:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return np.asarray(p * (dz - np.sum(p * dz, axis=1, keepdims=True)))
