"""Rows of data: checked, copied once, and laid out as the core reads them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate
from .._arrays import FloatArray, frozen, short
from .._validate import FINITE, shown

ROW_MULTIPLE = 16  # of elements: rows are padded with zeros, and begin on 64-byte boundaries
_ALIGNMENT = 64
_LARGEST_ROWS = 2**31 - 1
CHUNK = 2**22  # elements that are checked or multiplied at a time


class Dataset:
    """Features and targets of one set of rows, copied once per dtype into what the core reads."""

    def __init__(self, name: str, features: FloatArray, targets: FloatArray) -> None:
        self.name = name
        self.rows, self.columns = features.shape
        self.dtype = features.dtype.name
        self._padded = {self.dtype: _padded(features, self.dtype)}
        self._targets = frozen(targets + 0.0)

    @property
    def features(self) -> NDArray[Any]:
        """X as it was given, (n, d), read-only."""
        return self._padded[self.dtype][:, : self.columns]

    @property
    def targets(self) -> FloatArray:
        """y as float64, labels as -1 and +1 or as classes; read-only."""
        return self._targets

    def of_dtype(self, dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Padded features and targets."""
        if dtype not in self._padded:
            self._padded[dtype] = _padded(self.features, dtype)
        return self._padded[dtype], self._targets.astype(dtype)

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
        for array in (self._padded[self.dtype], np.ascontiguousarray(self._targets)):
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


def features_of(name: str, X: ArrayLike) -> NDArray[Any]:
    """X as float32 or float64 of shape (n, d), finite; not a copy yet."""
    given = _validate.array(name, X)
    if given.dtype.kind not in "iufb":
        raise ValueError(f"{name} must be finite numbers of shape (n, d), got {shown(X)}")
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be finite numbers of shape (n, d), n and d >= 1, got shape {given.shape}")
    if given.shape[0] > _LARGEST_ROWS:
        raise ValueError(f"{name} must have at most {_LARGEST_ROWS} rows, got {given.shape[0]}")
    if given.dtype not in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            given = given.astype(np.float64)
    step = max(1, CHUNK // given.shape[1])
    for first in range(0, given.shape[0], step):
        finite = np.isfinite(given[first : first + step])
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            got = f"{float(given[first + row, column])!r} in row {first + row}, column {column}"
            raise ValueError(f"{name} must be finite numbers of shape (n, d), got {got}")
    return given


def column_of(name: str, y: ArrayLike, rows: int) -> NDArray[Any]:
    """y as numbers of shape (rows,)."""
    given = _validate.array(name, y)
    given = given.astype(np.float64) if given.dtype.kind == "b" else given
    if given.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be numbers of shape ({rows},), one for each row of X, got {shown(y)}")
    if given.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one number for each row of X, got shape {given.shape}")
    return given


def signs_of(name: str, y: NDArray[Any], *, both: bool) -> FloatArray:
    labels = _validate.real_array(name, y, FINITE, ndim=1)
    present = np.unique(labels)
    allowed = "labels -1 and +1, or 0 and 1" + (", both present" if both else "")
    if not (np.isin(present, (-1.0, 1.0)).all() or np.isin(present, (0.0, 1.0)).all()):
        other = ~np.isin(labels, (-1.0, 0.0, 1.0))
        where = int(np.argmax(other))
        got = f"{short(labels[where])} at index {where}" if other.any() else "-1, 0 and +1"
        raise ValueError(f"{name} must be {allowed}, got {got}")
    if both and present.size < 2:
        raise ValueError(f"{name} must be {allowed}, got only {short(present[0])}")
    return np.where(labels > 0, 1.0, -1.0)
