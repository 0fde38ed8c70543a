"""Data sets for experiments: synthetic, from scikit-learn, or a file of the user's; standardised and made a problem.

Features are brought to mean 0 and standard deviation 1 (by the training rows). scikit-learn brings its data sets; it is
imported here only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _validate, problems
from ._tables import FORMATS, FRAME, is_table, read, read_frame
from .problems import DataProblem
from .problems._input import MISSING, column_names, weights_of
from .problems._own_loss import OwnLoss

if TYPE_CHECKING:
    import pandas

BUILT_IN = ("synthetic-logistic", "digits", "breast_cancer")
Model = Literal["auto", "least_squares", "logistic", "softmax", "hinge", "mlp", "linear_model"]
_CLASSES: dict[str, tuple[type[DataProblem], str]] = {  # by model, and what is fitted, but with a loss of one's own
    "least_squares": (problems.LeastSquares, "numbers"),
    "logistic": (problems.LogisticRegression, "two classes"),
    "softmax": (problems.SoftmaxRegression, "classes"),
    "hinge": (problems.HingeLoss, "two classes"),
    "mlp": (problems.MLP, "classes"),
    "linear_model": (problems.LinearModel, "numbers"),
}
MODELS = ("auto", *_CLASSES)
MOST_CLASSES = 100  # of a target that is taken for classes rather than numbers
HIDDEN = (32,)
_UNBALANCED = 3.0  # times as many rows of the most frequent class as of the rarest


@dataclass(frozen=True)
class Table:
    """Features, as given, and a target: numbers, or classes numbered in the order of ``classes``."""

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    columns: tuple[str, ...]
    classes: tuple[str, ...]  #: empty: the target is a number
    values: NDArray[np.float64] | None = None  #: the target as numbers, where it was given as such
    sample_weight: NDArray[np.float64] | None = None  #: how much each row counts, where that was given


def load(
    source: str | PathLike[str] | pandas.DataFrame,
    *,
    target: str | None = None,
    seed: int = 0,
    encode: bool = False,
    sample_weight: str | None = None,
) -> Table:
    """A built-in data set by name, a frame of pandas, or a file: .csv, .tsv, .parquet, .npz, .npy, or svmlight's.

    Args:
        source: one of ``BUILT_IN``, a path, or a frame, which is as a CSV file of it.
        target: of a frame and of a CSV, TSV or Parquet file, the name of the target's column; of an .npy file, its
            number; of an .npz file, the name of its array (default "y"; the features are "X"); none of an svmlight
            file, which says it.
        seed: of the synthetic data.
        encode: whether a feature of text or categories becomes a column of 0 and 1 for every value that it has.
        sample_weight: of a frame and of a CSV, TSV or Parquet file, the name of the column that says how much each row
            counts; of an .npz file, the name of its array.

    Raises:
        ValueError: no such data set, or a file that does not hold what is needed; the message says what.
        ImportError: scikit-learn or pandas is missing; the extra ``anneal_sgd[data]`` brings them.

    >>> table = load("synthetic-logistic")
    >>> table.X.shape, table.classes
    ((10000, 100), ('-1', '+1'))
    """
    if column_names(source) is not None:
        columns = read_frame(source, target, sample_weight, encode=_validate.flag("encode", encode))
        return _weighted(FRAME, *columns)
    if not isinstance(source, str | PathLike):
        raise ValueError(f"data must be a name, a path or a frame of pandas, got {_validate.shown(source)}")
    if isinstance(source, str) and source in BUILT_IN:
        if target is not None:
            raise ValueError(f"target must be left out for the built-in data {source!r}, got {target!r}")
        if sample_weight is not None:
            raise ValueError(f"sample_weight must be left out for the built-in data {source!r}, got {sample_weight!r}")
        return _synthetic(seed) if source == "synthetic-logistic" else _from_sklearn(source)
    path = Path(source)
    if not is_table(path):
        raise ValueError(f"data must be one of {', '.join(BUILT_IN)} or a {FORMATS} file, got {source!r}")
    if not path.is_file():
        raise ValueError(f"data must be a file that exists, got {source!r}")
    return _weighted(str(path), *read(path, target, sample_weight, encode=_validate.flag("encode", encode)))


def _weighted(
    name: str, X: NDArray[np.float64], y: NDArray[Any], columns: tuple[str, ...], weights: NDArray[Any] | None
) -> Table:
    table = _table(name, X, y, columns)
    if weights is None:
        return table
    return replace(table, sample_weight=weights_of("sample_weight", weights, len(X)))


def make_problem(
    table: Table,
    *,
    model: Model = "auto",
    test_frac: float = 0.0,
    seed: int = 0,
    l2: float | None = None,
    loss: OwnLoss | None = None,
    **parameters: Any,
) -> DataProblem:
    """The problem of fitting a model to a table, but for columns that are constant in the rows to train on.

    These are left out, with a warning that names them: brought to mean 0 they would be 0 in every row. Another warns of
    classes of which one has three times the rows of another where the model, not a network, has no intercept.

    Args:
        table: what ``load`` gave. With weights, the means and standard deviations of features and numbers are
            weighted too; held-out rows have none.
        model: one of ``MODELS``; "auto" is logistic regression for two classes, softmax regression for more, and least
            squares for numbers; with a loss, "linear_model".
        test_frac: share of the rows, drawn at random, that are held out as ``test``.
        seed: of that draw.
        l2: regularisation; by default 1 / rows, scikit-learn's own default.
        loss: of "linear_model" or "mlp": one's own, as of ``problems.LinearModel``. Two classes are -1 and +1 to it;
            numbers have mean 0 and standard deviation 1, as for least squares.
        parameters: further ones of the problem's class, such as ``batch_size``.

    Raises:
        ValueError: a model that does not go with the target, no column but constant ones, or what the problem's class
            refuses.

    >>> make_problem(load("synthetic-logistic"), batch_size=16)
    <LogisticRegression X: 10000 x 100, l2=0.0001, batch_size=16>
    """
    kind, target = _kind(table, _validate.choice("model", model, MODELS), own=loss is not None)
    share = _validate.real("test_frac", test_frac, _validate.Interval(low=0.0, high=1.0, open_high=True))
    of_numbers = target == "numbers" and len(table.classes) != 2
    held = _held_out(replace(table, classes=()) if of_numbers else table, share, seed)
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    weights = None if table.sample_weight is None else table.sample_weight[train]
    X, mean, std = _varying(table, train, weights)
    scaled = [((X[rows] - mean) / std).astype(np.float32) for rows in (train, test)]
    y = table.y
    if target == "two classes":
        y = 2.0 * y - 1.0
    elif target == "numbers":
        y = y if table.values is None else table.values
        centre, spread = _moments(y[train], weights)
        y = (y - centre) / (spread or 1.0)
    if target != "numbers" and kind is not problems.MLP and parameters.get("intercept") is not True:
        _warn_of_classes(table, train, weights)
    own = {} if loss is None else {"loss": loss}
    problem: DataProblem = kind(
        scaled[0],
        y[train],
        l2=1.0 / len(train) if l2 is None else l2,
        sample_weight=weights,
        test=(scaled[1], y[test]) if test.size else None,
        **{**({"hidden": HIDDEN} if kind is problems.MLP else {}), **own, **parameters},
    )
    return problem


def _varying(table: Table, train: NDArray[np.intp], weights: NDArray[np.float64] | None) -> tuple[Any, Any, Any]:
    """The columns that are not constant in the rows to train on, with their means and standard deviations there."""
    mean, std = _moments(table.X[train], weights)
    constant = std <= 1e-12 * np.abs(table.X[train]).max(axis=0)
    if not constant.any():
        return table.X, mean, std
    where = " in the rows that are not held out" if train.size < len(table.X) else ""
    if constant.all():
        raise ValueError(f"{table.name}: a column must take two values at least{where}, got constant ones alone")
    found = [repr(name) for name, left_out in zip(table.columns, constant, strict=True) if left_out]
    names = ", ".join(found[:5]) + (f", ... ({len(found)} in all)" if len(found) > 5 else "")
    which = f"column {names} is" if len(found) == 1 else f"columns {names} are"
    warnings.warn(f"{table.name}: {which} constant{where} and left out of the features", stacklevel=3)
    return table.X[:, ~constant], mean[~constant], std[~constant]


def _warn_of_classes(table: Table, train: NDArray[np.intp], weights: NDArray[np.float64] | None) -> None:
    """Where features of mean 0, without an intercept, predict alike what is not."""
    shares = np.bincount(table.y[train].astype(np.intp), weights)
    if shares.max() < _UNBALANCED * shares.min():
        return
    least, most = (100 * share / shares.sum() for share in (shares.min(), shares.max()))
    warnings.warn(
        f"{table.name}: classes have {least:.3g} to {most:.3g} % of the rows, and the model has no intercept, without "
        "which features of mean 0 predict them about alike: --intercept (intercept=True) fits one",
        stacklevel=3,
    )


def _moments(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> tuple[Any, Any]:
    """Means and standard deviations along the rows."""
    if weights is None:
        return values.mean(axis=0), values.std(axis=0)
    if not weights.any():
        raise ValueError("sample_weight must have a weight > 0 among the rows that are not held out, got zeros")
    weights = weights / weights.max()
    mean = np.average(values, axis=0, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))


def _held_out(table: Table, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows: that share of the rows of every class, or of all rows."""
    rng = np.random.default_rng([_seed(seed), 1])
    held = np.zeros(len(table.X), dtype=bool)
    groups = [np.flatnonzero(table.y == k) for k in range(len(table.classes))] or [np.arange(len(table.X))]
    for rows in groups:
        held[rng.permutation(rows)[: round(share * rows.size)]] = True
    if share > 0 and not 0 < held.sum() < held.size:
        several = f" in {len(table.classes)} classes" if table.classes else ""
        remedy = ": model 'least_squares' takes them for numbers" if several and table.values is not None else ""
        raise ValueError(f"test_frac must leave rows on both sides, got {share:g} of {held.size} rows{several}{remedy}")
    return held


def _seed(seed: int) -> int:
    return _validate.integer("seed", seed, lowest=0, highest=2**64 - 1)


def _kind(table: Table, model: str, *, own: bool) -> tuple[Any, str]:
    """The class of a model, and what its target is: numbers, two classes, or classes."""
    classes = len(table.classes)
    if model == "auto":
        plain = "least_squares" if not classes else "logistic" if classes == 2 else "softmax"
        model = "linear_model" if own else plain
    if own != (model == "linear_model") and not (own and model == "mlp"):
        raise ValueError(f"loss must {'go with model linear_model or mlp' if own else 'be given'}, got model {model!r}")
    kind, target = _CLASSES[model]
    if own:
        target = "two classes" if classes == 2 else "numbers"
    numeric = not classes or table.values is not None  # whole numbers may be taken for numbers
    if not {"numbers": numeric, "two classes": classes == 2, "classes": classes >= 2}[target]:
        needed = "numbers or two classes" if own else target
        got = f"{classes} classes" if classes else "numbers"
        raise ValueError(f"model {model!r} must have a target of {needed}, {table.name} has {got}")
    return kind, target


def _synthetic(seed: int) -> Table:
    """Gaussian features, labels of a logistic model, a tenth of them flipped: n = 10 000, d = 100."""
    rng = np.random.default_rng([_seed(seed), 0])
    X = rng.standard_normal((10_000, 100))
    weights = rng.standard_normal(100) * 0.3
    positive = rng.random(10_000) < 1.0 / (1.0 + np.exp(-(X @ weights)))
    flipped = rng.random(10_000) < 0.1
    columns = tuple(f"x{i}" for i in range(100))
    return Table("synthetic-logistic", X, (positive ^ flipped).astype(np.float64), columns, ("-1", "+1"))


def _from_sklearn(name: str) -> Table:
    try:
        from sklearn import datasets
    except ModuleNotFoundError:
        raise ImportError(f"data {name!r} needs scikit-learn: pip install 'anneal_sgd[data]'") from None
    bunch = datasets.load_digits() if name == "digits" else datasets.load_breast_cancer()
    X = np.asarray(bunch.data, np.float64)
    varying = np.flatnonzero(X.std(axis=0) > 0)  # digits: three pixels are always white
    columns = tuple(str(bunch.feature_names[i]) for i in varying)
    classes = tuple(map(str, bunch.target_names))
    return Table(name, X[:, varying], np.asarray(bunch.target, np.float64), columns, classes)


def _table(name: str, X: NDArray[np.float64], target: NDArray[Any], columns: tuple[str, ...]) -> Table:
    finite = np.isfinite(X)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        got = f"{X[row, column]} in row {row + 1}{MISSING if np.isnan(X[row, column]) else ''}"
        raise ValueError(f"{name}: {columns[column]!r} must be a finite number in every row, got {got}")
    numeric = target.dtype.kind in "iufb"
    if numeric and not np.isfinite(target.astype(np.float64)).all():
        where = int(np.argmin(np.isfinite(target.astype(np.float64))))
        raise ValueError(f"{name}: the target must be finite numbers or classes, got {target[where]}, row {where + 1}")
    classes, numbers = np.unique(target if numeric else target.astype(str), return_inverse=True)
    whole = numeric and bool(np.all(target == np.floor(target)))
    if classes.size == 1:
        raise ValueError(f"{name}: the target must take two values at least, got only {classes[0]}")
    if numeric and not (whole and classes.size <= MOST_CLASSES) and classes.size > 2:
        return Table(name, X, target.astype(np.float64), columns, ())
    if classes.size > MOST_CLASSES:
        raise ValueError(f"{name}: the target must have at most {MOST_CLASSES} classes, got {classes.size}")
    names = tuple(f"{c:g}" if numeric and target.dtype.kind == "f" else str(c) for c in classes)
    return Table(name, X, numbers.astype(np.float64), columns, names, target.astype(np.float64) if numeric else None)
