"""Files of features and a target, as people have them, read by pandas, scikit-learn and NumPy."""

from __future__ import annotations

import lzma
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._extras import need
from .problems._input import INDEX_COLUMN, MISSING

FORMATS = ".csv, .tsv, .parquet, .npz, .npy, .svm, .svmlight or .libsvm"  # those of text also compressed
_COMPRESSIONS = (".gz", ".bz2", ".xz")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
FRAME = "frame"  # what messages call one
_TAKEN = ("target", "weights")
_SVMLIGHT = (".svm", ".svmlight", ".libsvm")
_MOST_VALUES = 100  # of a column that is encoded
_MOST_ELEMENTS = 2**30  # of what was sparse
_TORN = (
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

# Features (n, d), the target (n,), the features' names, and the weights of the rows (n,).
Columns = tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...], NDArray[Any] | None]


def is_table(path: Path) -> bool:
    """Whether the file's name is that of a table."""
    kind, packed = _kind(path)
    if kind in _SVMLIGHT:
        return path.suffix.lower() != ".xz"  # scikit-learn reads the others
    return kind in _SEPARATORS or (kind in (".parquet", ".npz", ".npy") and not packed)


def read(path: Path, target: str | None, sample_weight: str | None, *, encode: bool) -> Columns:
    """Features, the target and, where they are wanted, weights.

    ValueError: not such a file, no such target or weights, or features that are no numbers. ImportError: a reader is
    missing.
    """
    kind, _ = _kind(path)
    if kind == ".npz":
        return _from_npz(path, target or "y", sample_weight)
    if sample_weight is not None and kind in (".npy", *_SVMLIGHT):
        raise ValueError(
            f"sample_weight must be left out for {path}, whose columns have no names, got {sample_weight!r}"
        )
    if kind == ".npy":
        return _from_npy(path, target)
    if kind in _SVMLIGHT:
        return _from_svmlight(path, target)
    if kind == ".parquet":
        pandas = need("export", "pandas", "pyarrow")
        try:
            frame = pandas.read_parquet(path)
        except _TORN as error:
            raise ValueError(f"{path}: not a Parquet file: {error}") from None
        return _from_frame(pandas, path, frame, target, sample_weight, encode=encode)
    pandas = need("data", "pandas")
    try:
        frame = pandas.read_csv(path, sep=_SEPARATORS[kind], **exact_numbers(pandas))
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{path}: the file is empty") from None
    except (pandas.errors.ParserError, *_TORN) as error:
        raise ValueError(f"{path}: not a {kind[1:].upper()} file: {str(error).strip()}") from None
    return _from_frame(pandas, path, frame, target, sample_weight, encode=encode)


def read_frame(frame: Any, target: str | None, sample_weight: str | None, *, encode: bool) -> Columns:
    """Of a frame of pandas, as `read` of a file."""
    return _from_frame(need("data", "pandas"), FRAME, frame, target, sample_weight, encode=encode)


def _kind(path: Path) -> tuple[str, bool]:
    """The suffix that says what the file holds, and whether it is compressed."""
    packed = path.suffix.lower() in _COMPRESSIONS
    return (path.with_suffix("") if packed else path).suffix.lower(), packed


def exact_numbers(pandas: Any) -> dict[str, str]:
    """What makes `read_csv` read numbers exactly: before pandas 3.1 its default is within an ulp of them."""
    before = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
    return {"float_precision": "round_trip"} if before else {}


def _from_frame(
    pandas: Any, path: Path | str, frame: Any, target: str | None, sample_weight: str | None, *, encode: bool
) -> Columns:
    frame = frame.rename(columns=str)
    names = ", ".join(map(repr, frame.columns[:8])) + (", ..." if len(frame.columns) > 8 else "")
    apart = next((c for c in ";\t,|" if len(frame.columns) == 1 and c in frame.columns[0]), None)
    remedy = "" if apart is None else f": a .csv has commas between columns, a .tsv tabs, this one {apart!r}"
    if target is None:
        raise ValueError(f"target must name the column to predict, one of {names}{remedy}")
    if target not in frame.columns:
        raise ValueError(f"target must be a column of {path}, one of {names}, got {target!r}{remedy}")
    if sample_weight is not None and (sample_weight not in frame.columns or sample_weight == target):
        others = f"sample_weight must be a column of {path} other than the target, one of {names}"
        raise ValueError(f"{others}, got {sample_weight!r}")
    if frame.empty:
        raise ValueError(f"{path}: there is no row below the header")
    taken = [name for name in (target, sample_weight) if name is not None]
    values, features = frame[target], frame.drop(columns=taken).infer_objects()
    if frame.columns[0] == INDEX_COLUMN and INDEX_COLUMN not in taken:
        text = f"{path}: the first column has no name and is taken for an index: it is left out of the features"
        warnings.warn(text, stacklevel=4)
        features = features.drop(columns=[INDEX_COLUMN])
    if features.shape[1] == 0:
        raise ValueError(f"{path}: there is no column besides the {' and the '.join(_TAKEN[: len(taken)])}")
    features = _numeric(pandas, path, features, encode=encode)
    if values.isna().any():
        where = int(values.isna().to_numpy().argmax()) + 1
        raise ValueError(f"{path}: target {target!r} is missing in row {where}{MISSING}")
    values = values.infer_objects()
    plain = values.to_numpy(getattr(values.dtype, "numpy_dtype", None)) if _is_number(pandas, values) else values
    numbers = features.astype("Float64").to_numpy(np.float64, na_value=np.nan)
    weights = None if sample_weight is None else frame[sample_weight].infer_objects()
    return numbers, np.asarray(plain), tuple(features.columns), weights


def _is_number(pandas: Any, column: Any) -> bool:
    return bool(pandas.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c")


def _numeric(pandas: Any, path: Path | str, features: Any, *, encode: bool) -> Any:
    others = [column for column in features.columns if not _is_number(pandas, features[column])]
    if not others:
        return features
    if not encode:
        for column in others:
            values = features[column].astype(object)
            text = (pandas.to_numeric(values, errors="coerce").isna() & values.notna()).to_numpy()
            if text.any() and not text[values.notna()].all():
                row = int(text.argmax())
                got = f"got {values.iloc[row]!r} in row {row + 1} beside numbers"
                raise ValueError(
                    f"{path}: column {column!r} must be numbers, {got}{MISSING}; of categories --encode "
                    "(encode=True) makes columns"
                )
        where = ", ".join(map(repr, others[:5])) + (", ..." if len(others) > 5 else "")
        raise ValueError(
            f"{path}: column {where} must be numbers: --encode (encode=True) makes a column of every value of text and "
            "categories, as pandas.get_dummies does, or leave it out"
        )
    for column in others:
        missing, values = features[column].isna().to_numpy(), features[column].nunique()
        if missing.any():
            raise ValueError(
                f"{path}: {column!r} must have a value in every row, got none in row {missing.argmax() + 1}{MISSING}"
            )
        if values > _MOST_VALUES:
            raise ValueError(f"{path}: {column!r} must have at most {_MOST_VALUES} values to be encoded, got {values}")
    return pandas.get_dummies(features, columns=others, dtype=np.float64)


def _from_svmlight(path: Path, target: str | None) -> Columns:
    if target is not None:
        raise ValueError(f"target must be left out for the svmlight file {path}, which says it, got {target!r}")
    sklearn = need("data", "sklearn.datasets")
    try:
        X, y = sklearn.load_svmlight_file(str(path))
    except _TORN as error:
        raise ValueError(f"{path}: not an svmlight file: {error}") from None
    rows, columns = X.shape
    if 0 in X.shape:
        raise ValueError(f"{path}: there are no rows of features")
    if rows * columns > _MOST_ELEMENTS:
        raise ValueError(f"{path}: {rows} x {columns} features are more than the {_MOST_ELEMENTS} that are kept dense")
    return X.toarray(), y, _numbered(columns), None


def _numbered(columns: int) -> tuple[str, ...]:
    return tuple(f"column {i}" for i in range(columns))


def _from_npy(path: Path, target: str | None) -> Columns:
    try:
        table = np.load(path, allow_pickle=False)
    except _TORN as error:
        raise ValueError(f"{path}: not an .npy file: {error}") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "iufb" or table.shape[1] < 2:
        got = f"{table.dtype} of shape {table.shape}" if isinstance(table, np.ndarray) else "several arrays"
        raise ValueError(f"{path}: the array must be numbers of shape (n, d), d >= 2, with the target, got {got}")
    d = table.shape[1]
    allowed = f"target must be the number of the column of {path} to predict, {-d} to {d - 1}"
    try:
        column = int("" if target is None else target)
    except ValueError:
        raise ValueError(f"{allowed}, got {target!r}") from None
    if not -d <= column < d:
        raise ValueError(f"{allowed}, got {column}")
    numbered = _numbered(d)
    names = tuple(name for name in numbered if name != numbered[column])
    return np.delete(table, column, axis=1).astype(np.float64), table[:, column], names, None


def _from_npz(path: Path, target: str, sample_weight: str | None) -> Columns:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive) if isinstance(archive, np.lib.npyio.NpzFile) else None
    except _TORN as error:
        raise ValueError(f"{path}: not an .npz file: {error}") from None
    if arrays is None:
        raise ValueError(f"{path}: not an .npz file: it holds a single array")
    wanted = ("X", target) if sample_weight is None else ("X", target, sample_weight)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        there = ", ".join(map(repr, arrays)) or "none"
        raise ValueError(f"{path}: array {missing[0]!r} is missing; there is {there}")
    X, y = arrays["X"], arrays[target]
    if X.ndim != 2 or X.dtype.kind not in "iufb" or 0 in X.shape:
        raise ValueError(f"{path}: X must be numbers of shape (n, d), n and d >= 1, got {X.dtype} of shape {X.shape}")
    if y.shape != X.shape[:1]:
        raise ValueError(f"{path}: {target} must have shape ({X.shape[0]},), one for each row, got shape {y.shape}")
    return X.astype(np.float64), y, _numbered(X.shape[1]), None if sample_weight is None else arrays[sample_weight]
