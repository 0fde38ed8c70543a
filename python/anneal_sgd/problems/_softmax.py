"""Classification into k classes: cross-entropy, and the linear model of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import _core, _validate
from .._arrays import FloatArray, short
from .._validate import FINITE
from ._data import DataProblem
from ._dataset import Dataset
from ._linear import SmoothModel

_LARGEST_CLASS = 2**24 - 2


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Classes(DataProblem):
    """Cross-entropy of k outputs."""

    _loss: ClassVar[_core.Loss] = _core.Loss.softmax

    @classmethod
    def _targets(cls, name: str, y: NDArray[Any], classes: int | None) -> tuple[FloatArray, int]:
        labels = _validate.real_array(name, y, FINITE, ndim=1)
        allowed = f"class labels 0 to {'k - 1' if classes is None else classes - 1}"
        if classes is None:
            allowed += ", every one present, at least two"
        wrong = (labels < 0) | (labels != np.floor(labels)) | (labels > _LARGEST_CLASS)
        if classes is not None:
            wrong |= labels >= classes
        if wrong.any():
            where = int(np.argmax(wrong))
            raise ValueError(f"{name} must be {allowed}, got {short(labels[where])} at index {where}")
        present = np.unique(labels)
        if classes is None and (present.size < 2 or present.size != int(labels.max()) + 1):
            missing = np.argmax(present != np.arange(present.size))
            got = f"only {short(present[0])}" if present.size < 2 else f"no {missing}"
            raise ValueError(f"{name} must be {allowed}, got {got}")
        return labels, int(labels.max()) + 1

    def _outputs(self, train: Dataset) -> int:
        return int(train.targets.max()) + 1

    @staticmethod
    def _losses(z: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        above = z - z.max(axis=1, keepdims=True)
        exponentials = np.exp(above)
        sums = exponentials.sum(axis=1, keepdims=True)
        rows, labels = np.arange(y.size), y.astype(np.int64)
        delta = exponentials / sums
        delta[rows, labels] -= 1.0
        return np.log(sums[:, 0]) - above[rows, labels], delta


@dataclass(frozen=True, init=False, eq=False, repr=False)
class SoftmaxRegression(Classes, SmoothModel):
    """Classification into k classes: loss ln(sum_k exp(z_k)) - z_y with z_k = w_k . X_i (+ b_k).

    `y`: labels 0, 1, ..., k - 1, every one present. A point lists w_0, w_1, ... and then the intercepts. The first of
    the largest outputs is predicted. Parameters and sampling: see the module. ValueError: data or parameters out of
    range, named.

    >>> problem = SoftmaxRegression([[1.0], [2.0], [3.0]], [0, 1, 2], intercept=True)
    >>> problem.dimension, round(float(problem.value([0.0] * 6)), 6)
    (6, 1.098612)
    """

    @staticmethod
    def _curvature(z: FloatArray, dz: FloatArray) -> FloatArray:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return np.asarray(p * (dz - np.sum(p * dz, axis=1, keepdims=True)))
