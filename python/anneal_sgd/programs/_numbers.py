"""The constants of programs: vectors and matrices, of which one may have millions of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import FloatArray, IntArray, frozen, short


class Numbers:
    """Finite numbers of shape (n,) or (rows, columns) that do not change, equal and hashable by their bits.

    ValueError: anything else.

    >>> Numbers([0.5, 1.0]) == Numbers((0.5, 1.0))
    True
    """

    def __init__(self, values: ArrayLike) -> None:
        """Copy them."""
        array = np.array(values, np.float64, order="C")
        if array.ndim not in (1, 2) or array.size == 0 or not np.isfinite(array).all():
            wrong = array[~np.isfinite(array)]
            got = short(wrong[0]) if wrong.size else f"shape {array.shape}"
            raise ValueError(f"constants must be finite numbers of shape (n,) or (rows, columns), got {got}")
        self.array: FloatArray = frozen(array)

    @property
    def _bits(self) -> IntArray:
        return self.array.view(np.int64)

    @cached_property
    def _hash(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __eq__(self, other: object) -> bool:
        """Of the same shape and bits."""
        return self is other or (isinstance(other, Numbers) and np.array_equal(self._bits, other._bits))

    def __hash__(self) -> int:
        """By content."""
        return self._hash

    def __len__(self) -> int:
        """N, or rows."""
        return len(self.array)

    def __iter__(self) -> Iterator[Any]:
        """Number after number, or row after row."""
        return iter(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """As NumPy takes it."""
        return np.array(self.array, dtype) if copy else np.asarray(self.array, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the numbers: hashes of bytes are of one process."""
        return Numbers, (self.array,)

    def __repr__(self) -> str:
        """Short, where they are many."""
        if self.array.ndim == 2:
            return f"<{len(self.array)} x {self.array.shape[1]} matrix>"
        if len(self.array) > 8:
            return f"<{len(self.array)} numbers>"
        return repr(self.array[0].item() if len(self.array) == 1 else tuple(self.array.tolist()))
