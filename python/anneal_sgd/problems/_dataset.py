"""Rows of data, copied once and laid out as the core reads them."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import FloatArray, frozen

ROW_MULTIPLE = 16  # of elements: rows are padded with zeros, and begin on 64-byte boundaries
_ALIGNMENT = 64
CHUNK = 2**22  # elements that are checked or multiplied at a time


class Dataset:
    """Features, targets and weights of one set of rows, copied once per dtype into what the core reads."""

    def __init__(
        self,
        name: str,
        features: FloatArray,
        targets: FloatArray,
        classes: tuple[Any, ...] = (),
        weights: FloatArray | None = None,
        names: tuple[Any, ...] | None = None,
    ) -> None:
        """`names`: of the columns, where features have them."""
        self.name = name
        self.names = names
        self.classes = classes
        self.rows, self.columns = features.shape
        self.dtype = features.dtype.name
        self._padded = {self.dtype: _padded(features, self.dtype)}
        self._targets = frozen(targets + 0.0)
        self.weights = None if weights is None else frozen(weights + 0.0)

    @property
    def features(self) -> NDArray[Any]:
        """X as it was given, (n, d), read-only."""
        return self._padded[self.dtype][:, : self.columns]

    @property
    def targets(self) -> FloatArray:
        """y as float64, labels as -1 and +1 or as classes; read-only."""
        return self._targets

    @cached_property
    def unit_weights(self) -> FloatArray | None:
        """The weights divided by their mean; None: all 1."""
        if self.weights is None:
            return None
        relative = self.weights / self.weights.max()  # their sum cannot overflow
        weights: FloatArray = self.rows * relative / math.fsum(relative)
        return frozen(weights)

    def given_targets(self) -> NDArray[Any]:
        """y as it was given, but for the dtype: labels, not their numbers."""
        if not self.classes:
            return np.array(self._targets)
        numbers = np.maximum(self._targets, 0.0).astype(np.intp)  # -1 is the first of two classes
        return np.asarray(self.classes)[numbers]

    def of_dtype(self, dtype: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
        """Padded features, targets and the weights by their mean."""
        if dtype not in self._padded:
            self._padded[dtype] = _padded(self.features, dtype)
        weights = None if self.unit_weights is None else self.unit_weights.astype(dtype)
        return self._padded[dtype], self._targets.astype(dtype), weights

    def counting_rows(self) -> tuple[NDArray[Any], FloatArray, FloatArray]:
        """Features and targets of the rows that have a weight, and the weights by their mean over these."""
        if self.unit_weights is None:
            return self.features, self._targets, np.ones(self.rows)
        kept = self.unit_weights > 0
        return self.features[kept], self._targets[kept], self.unit_weights[kept] * (kept.sum() / self.rows)

    def lost_in(self, dtype: str) -> str:
        """Where a number leaves the range of the dtype, in words."""
        if self.dtype == dtype:
            features_are_lost = False
        else:
            with np.errstate(over="ignore"):
                features_are_lost = not np.isfinite(self.of_dtype(dtype)[0]).all()
        if features_are_lost or np.abs(self._targets).max() > np.finfo(dtype).max:
            return f"{self.name} must be of size up to {np.finfo(dtype).max:.4g} in {dtype}, got larger numbers"
        return ""

    @cached_property
    def digest(self) -> bytes:
        """Of the content."""
        content = hashlib.blake2b(repr((self.rows, self.columns, self.dtype)).encode(), digest_size=32)
        weights = () if self.weights is None else (self.weights,)
        for array in (self._padded[self.dtype], np.ascontiguousarray(self._targets), *weights):
            content.update(array.reshape(-1).view(np.uint8).data)
        return content.digest()


def _padded(features: NDArray[Any], dtype: str) -> NDArray[Any]:
    rows, columns = features.shape
    length = -(-columns // ROW_MULTIPLE) * ROW_MULTIPLE
    size = np.dtype(dtype).itemsize
    memory = np.empty(rows * length * size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + rows * length * size].view(dtype).reshape(rows, length)
    with np.errstate(over="ignore"):
        np.add(features, 0.0, out=array[:, :columns], casting="unsafe")  # no negative zeros: equal data, equal bytes
    array[:, columns:] = 0
    return frozen(array)
