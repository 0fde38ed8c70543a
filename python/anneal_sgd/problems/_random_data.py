"""Random data with noise in the labels, ready to be fitted by a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _validate
from .._validate import NON_NEGATIVE, Interval
from ._data import DataProblem
from ._linear import LeastSquares, LogisticRegression

_LARGEST_INTEGER = 2**31 - 1
_HALF = Interval(low=0.0, high=0.5)


def random_classification(
    rows: int,
    columns: int,
    *,
    label_noise: float = 0.1,
    test_rows: int = 0,
    seed: int = 0,
    model: type[DataProblem] = LogisticRegression,
    **parameters: Any,
) -> DataProblem:
    """Two classes that a plane through 0 separates, but for labels that are flipped by chance.

    Features are standard Gaussian and w is uniform on the unit sphere, all independent; with $u_i$ uniform on [0, 1)

        y_i = sign(X_i . w)  if u_i >= label_noise,  else -sign(X_i . w).

    `rows`, `columns`: n and d, at least 1. `label_noise`: the probability of a flip, from 0 to 1/2. In scikit-learn's
    `make_classification` a share flip_y of labels is drawn anew, and half of those stay: flip_y is twice this one.
    `test_rows`: further rows of the same law, flips included, held out as `test`. `model`: the problem's class, and
    `parameters` further ones of it, such as `l2` or `batch_size`. Equal seeds give equal data with any `label_noise`
    and `model`, flips aside: those of less noise are among those of more.

    With `label_noise` of 0 and no `l2` or projection the logistic loss of separable rows has no minimum.
    ValueError: an argument out of its range, or what the class refuses, such as labels of one class alone.

    >>> from anneal_sgd import problems
    >>> problem = problems.random_classification(1000, 20, l2=0.01, batch_size=8)
    >>> problem
    <LogisticRegression X: 1000 x 20, l2=0.01, batch_size=8>
    >>> clean = problems.random_classification(1000, 20, label_noise=0.0)
    >>> float(np.mean(problem.y != clean.y))
    0.102
    """
    noise = _validate.real("label_noise", label_noise, _HALF)
    X, signal, rng = _rows_of(rows, columns, test_rows, seed)
    flipped = rng.random(len(X)) < noise
    return _fitted(model, X, np.where((signal >= 0.0) ^ flipped, 1.0, -1.0), len(X) - test_rows, parameters)


def random_regression(
    rows: int,
    columns: int,
    *,
    label_noise: float = 0.1,
    test_rows: int = 0,
    seed: int = 0,
    model: type[DataProblem] = LeastSquares,
    **parameters: Any,
) -> DataProblem:
    """Numbers that a linear model of norm 1 gives, and Gaussian noise added to them.

    With X and w as in `random_classification` and $e_i$ standard Gaussian, $y_i = X_i . w + label_noise e_i$: signal
    of variance 1, noise of standard deviation `label_noise` >= 0. With n > d rows and neither `l2` nor `intercept`
    the sum of squares that least squares leaves, 2 n f*, is label_noise^2 times a chi-squared of n - d degrees of
    freedom; with 0 the model fits every row. Arguments, and what equal seeds share, as there.

    >>> from anneal_sgd import problems
    >>> problem = problems.random_regression(1000, 20, label_noise=0.5)
    >>> round(2 * problem.minimum, 3), 0.5**2 * (1 - 20 / 1000)
    (0.226, 0.245)
    """
    noise = _validate.real("label_noise", label_noise, NON_NEGATIVE)
    X, signal, rng = _rows_of(rows, columns, test_rows, seed)
    return _fitted(model, X, signal + noise * rng.standard_normal(len(X)), len(X) - test_rows, parameters)


def _rows_of(
    rows: int, columns: int, test_rows: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], np.random.Generator]:
    """All features, the linear model's outputs, and the generator of the noise."""
    n = _validate.integer("rows", rows, lowest=1, highest=_LARGEST_INTEGER)
    d = _validate.integer("columns", columns, lowest=1, highest=_LARGEST_INTEGER)
    held_out = _validate.integer("test_rows", test_rows, lowest=0, highest=_LARGEST_INTEGER)
    rng = np.random.default_rng(_validate.integer("seed", seed, lowest=0, highest=2**64 - 1))
    w = rng.standard_normal(d)
    X = rng.standard_normal((n + held_out, d))
    return X, X @ (w / np.linalg.norm(w)), rng


def _fitted(
    model: type[DataProblem], X: NDArray[np.float64], y: NDArray[np.float64], train: int, parameters: dict[str, Any]
) -> DataProblem:
    if not (isinstance(model, type) and issubclass(model, DataProblem)):
        raise ValueError(f"model must be a class of a problem on data, got {_validate.shown(model)}")
    if train < len(X):
        parameters = {**parameters, "test": (X[train:], y[train:])}
    fitted: Any = model
    problem: DataProblem = fitted(X[:train], y[:train], **parameters)
    return problem
