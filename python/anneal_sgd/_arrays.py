"""Small helpers for NumPy arrays that frozen objects hold."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

_Array = TypeVar("_Array", bound=NDArray[Any])


def frozen(array: _Array) -> _Array:
    """The array itself, made read-only."""
    array.setflags(write=False)
    return array


def short(x: float) -> str:
    """The shortest text that reads back as x, without a trailing `.0`.

    >>> short(2.0), short(0.1)
    ('2', '0.1')
    """
    return repr(float(x)).removesuffix(".0")
