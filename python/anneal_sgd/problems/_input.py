"""Features and targets as people have them, checked: arrays, lists, and what pandas and SciPy hold."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _validate
from .._arrays import FloatArray, short
from .._validate import FINITE, NON_NEGATIVE, shown
from ._dataset import CHUNK

INDEX_COLUMN = "Unnamed: 0"  # as pandas names the column of a CSV file that holds a table's index
MISSING = ": fill in or leave out what is missing, as fillna and dropna of pandas do"
_LARGEST_ROWS = 2**31 - 1


def features_of(name: str, X: ArrayLike) -> NDArray[Any]:
    """X as float32 or float64 of shape (n, d), finite; not a copy yet."""
    given = _array(name, X, f"{name} must be finite numbers of shape (n, d)")
    if given.dtype.kind in "OUS" and given.ndim == 2:
        raise ValueError(
            f"{name} must be finite numbers of shape (n, d), got dtype {given.dtype}: X.astype(float) "
            "takes numbers that are written as text or kept as objects, pandas.get_dummies(X) encodes categories"
        )
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
            value, names = float(given[first + row, column]), column_names(X)
            where = f"row {first + row}, column {column if names is None else repr(names[column])}"
            remedy = MISSING if np.isnan(value) else ""
            raise ValueError(f"{name} must be finite numbers of shape (n, d), got {value!r} in {where}{remedy}")
    return given


def column_names(X: Any) -> tuple[Any, ...] | None:
    """Of a frame of pandas."""
    pandas = sys.modules.get("pandas")
    return tuple(X.columns) if pandas is not None and isinstance(X, pandas.DataFrame) else None


def numbers_of(name: str, y: ArrayLike, rows: int) -> FloatArray:
    """y as finite float64 of shape (rows,)."""
    given = _array(name, y, f"{name} must be numbers of shape ({rows},), one for each row of X")
    given = given.astype(np.float64) if given.dtype.kind == "b" else given
    if given.dtype.kind not in "iuf":
        remedy = ": y.astype(float) takes numbers that are written as text" if given.dtype.kind in "OUS" else ""
        raise ValueError(f"{name} must be numbers of shape ({rows},), one for each row of X, got {shown(y)}{remedy}")
    _check_shape(name, given, rows, "number")
    return _validate.real_array(name, given, FINITE, ndim=1)


def weights_of(name: str, weights: ArrayLike, rows: int) -> FloatArray:
    """Weights of rows as float64 of shape (rows,), finite, >= 0 and not all 0."""
    must = f"{name} must be numbers >= 0 of shape ({rows},), one for each row of X"
    given = _array(name, weights, must)
    if given.dtype.kind not in "iufb":
        remedy = ": compute_sample_weight(.., y) of sklearn.utils.class_weight makes them of classes' weights"
        raise ValueError(f"{must}, got {shown(weights)}{remedy if isinstance(weights, str | Mapping) else ''}")
    _check_shape(name, given, rows, "weight")
    checked = _validate.real_array(name, given.astype(np.float64), NON_NEGATIVE, ndim=1)
    if not checked.any():
        raise ValueError(f"{name} must have a weight > 0, got zeros")
    return checked


def signs_of(name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]) -> tuple[FloatArray, tuple[Any, ...]]:
    """Labels of two classes as -1, the first, and +1; held-out -1 and +1 go with 0 and 1, and the other way round."""
    usual = classes in ((-1, 1), (0, 1))
    index, found = labels_of(name, y, rows, classes, also={-1: 0, 0: 0} if usual else {})
    if len(found) != 2:
        raise ValueError(f"{name} must be labels of two classes, got {_several(found)}")
    return np.where(index > 0, 1.0, -1.0), found


def classes_of(name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...]) -> tuple[FloatArray, tuple[Any, ...]]:
    """Labels of two or more classes as 0, 1, ..."""
    index, found = labels_of(name, y, rows, classes, also={})
    if len(found) < 2:
        raise ValueError(f"{name} must be labels of two classes at least, got {_several(found)}")
    return index.astype(np.float64), found


def _several(classes: tuple[Any, ...]) -> str:
    return f"only {classes[0]!r}" if len(classes) == 1 else f"{len(classes)}: {shown(list(classes))}"


def labels_of(
    name: str, y: ArrayLike, rows: int, classes: tuple[Any, ...], *, also: dict[Any, int]
) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
    """The number of every row's class, (rows,), and the classes, ascending: those given, or those that there are.

    `also`: further labels of the given classes. Labels are whole numbers, text, or False and True.
    """
    given = _array(name, y, f"{name} must be labels of shape ({rows},), one for each row of X")
    if given.dtype.kind not in "iufbOUS":
        raise ValueError(f"{name} must be labels of shape ({rows},), one for each row of X, got {shown(y)}")
    _check_shape(name, given, rows, "label")
    missing = np.array([v is None or _is_nan(v) for v in given]) if given.dtype.kind == "O" else None
    if missing is not None and missing.any():
        where = int(missing.argmax())
        raise ValueError(f"{name} must be labels, none missing, got {given[where]} at index {where}")
    if given.dtype.kind == "f":
        wrong = ~(np.isfinite(given) & (given == np.floor(given)))
        if wrong.any():
            where = int(np.argmax(wrong))
            got = f"{short(given[where])} at index {where}"
            raise ValueError(f"{name} must be labels, finite and whole where they are numbers, got {got}")
    try:
        present, index = np.unique(given, return_inverse=True)
    except TypeError:
        kinds = " and ".join(sorted({type(v).__name__ for v in given}))
        raise ValueError(f"{name} must be labels of one kind, got {kinds}: y.astype(str) makes text of them") from None
    if not classes:
        return index, tuple(present.tolist())
    known = {**also, **{label: k for k, label in enumerate(classes)}}
    numbers = [known.get(label, -1) for label in present.tolist()]
    if -1 in numbers:
        where = int(np.argmax(index == numbers.index(-1)))
        got = f"{shown(present.tolist()[numbers.index(-1)])} at index {where}"
        raise ValueError(f"{name} must be labels that y has, {shown(list(classes))}, got {got}")
    return np.array(numbers, np.intp)[index], classes


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _check_shape(name: str, given: NDArray[Any], rows: int, word: str) -> None:
    if given.shape == (rows,):
        return
    remedy = ""
    if given.ndim == 2 and given.shape[0] == rows:
        if given.shape[1] == 1:
            remedy = ": .squeeze() leaves the other axis out"
        elif word == "number":
            remedy = ": several outputs are a sequence of problems, one for each column"
        elif word == "label":
            remedy = ": .argmax(axis=1) makes labels of columns of 0 and 1"
    raise ValueError(f"{name} must have shape ({rows},), one {word} for each row of X, got shape {given.shape}{remedy}")


def _array(name: str, values: ArrayLike, must: str) -> NDArray[Any]:
    if hasattr(values, "toarray"):
        raise ValueError(f"{must}, got a sparse matrix of shape {np.shape(values)}: use .toarray()")
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(values, pandas.DataFrame):
        return _of_frame(pandas, name, values, must)
    if pandas is not None and isinstance(values, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray):
        return _of_series(pandas, name, values, must)
    return _validate.array(name, values)


def _of_frame(pandas: Any, name: str, frame: Any, must: str) -> NDArray[Any]:
    if INDEX_COLUMN in frame.columns:
        raise ValueError(
            f"{name} must be features, got column {INDEX_COLUMN!r}, the index that a CSV file was written with: "
            f"use .drop(columns={INDEX_COLUMN!r}), or read the file with index_col=0"
        )
    typed = frame.infer_objects()
    for column, dtype in zip(typed.columns, typed.dtypes, strict=True):
        if not pandas.api.types.is_numeric_dtype(dtype) or dtype.kind == "c":
            raise ValueError(
                f"{must}, got column {column!r} of dtype {dtype}: pandas.get_dummies(X) encodes categories and text, "
                "X.astype(float) takes numbers that are written as text"
            )
    if len(set(typed.dtypes)) == 1 and isinstance(typed.dtypes.iloc[0], np.dtype):
        return np.asarray(typed)
    return np.asarray(typed.astype("Float64").to_numpy(np.float64, na_value=np.nan))


def _of_series(pandas: Any, name: str, values: Any, must: str) -> NDArray[Any]:
    series = pandas.Series(values).reset_index(drop=True).infer_objects()
    if series.isna().any():
        where = int(series.isna().to_numpy().argmax())
        raise ValueError(f"{must}, none missing, got {series[where]} at index {where}")
    return np.asarray(series.to_numpy(series.dtype.numpy_dtype) if hasattr(series.dtype, "numpy_dtype") else series)
