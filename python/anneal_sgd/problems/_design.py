"""The rows of a linear model in coordinates good for solvers: features of mean 0 and size 1, at most n of them.

A point x of the model (weights, then intercepts) is `point(u)`, with u of shape (width,) or, for k outputs, (width, k).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .._arrays import FloatArray
from ._dataset import CHUNK
from ._not_found import LostInRoundingError

_KEPT = 2**27  # elements that are kept, 1 GiB; more are computed in every pass
_CONSTANT = 1e-9  # a column that varies by at most this, relative to its size, is constant, or refused


class Design:
    """Rows A (n, width): every feature less its mean (with an intercept only) and divided by its size, then ones.

    `penalised`: whether all weights have a common penalty. More features than rows are rotated into as many as the
    rank of the rows: no minimiser that the penalty chooses has a part that is orthogonal to all rows. `weights`: of the
    rows, of mean 1, all > 0; means and sizes are over rows so weighted.

    LostInRoundingError: beside an intercept or a constant column one varies by at most `_CONSTANT` of its size, but is
    not constant: of what it says too little is left in float64.
    """

    def __init__(self, X: NDArray[np.floating], weights: FloatArray, *, intercept: bool, penalised: bool) -> None:
        self.rows, self.features = X.shape
        self.weights = weights
        self.intercept = intercept
        self._X: NDArray[np.floating] = X
        self._rotation: FloatArray | None = None
        if self.features > self.rows:
            self._check_variation(_sizes(X))
            sizes = np.ones(self.features) if penalised else _sizes(X)
            rotation, triangle = np.linalg.qr((np.asarray(X, np.float64) / sizes).T)
            left, singular, right = np.linalg.svd(triangle)
            rank = max(1, int(np.sum(~negligible(singular, self.features))))
            if rank < self.rows:
                rotation, triangle = rotation @ left[:, :rank], singular[:rank, None] * right[:rank]
            self._rotation, self._X = rotation / sizes[:, None], triangle.T
        self._mean, self._scale = self._moments()
        self.width = self._X.shape[1] + intercept
        self._kept = list(self._computed()) if self.rows * self.width <= _KEPT else None

    def _moments(self) -> tuple[FloatArray, FloatArray]:
        sizes = _sizes(self._X)
        mean, square = np.zeros(sizes.size), np.zeros(sizes.size)
        if self.intercept:
            for block, weights in self._weighted_blocks():
                mean += (weights * (block / sizes)).sum(axis=0) / self.rows
        for block, weights in self._weighted_blocks():
            square += (weights * (block / sizes - mean) ** 2).sum(axis=0) / self.rows
        spread = np.sqrt(square)
        constant = spread <= _CONSTANT
        if self._rotation is None:
            self._check_variation(sizes)
        return np.where(constant, 0.0, mean) * sizes, np.where(constant, 1.0, spread) * sizes

    def _check_variation(self, sizes: FloatArray) -> None:
        some = np.asarray(self._X[:64], np.float64)
        may = (np.ptp(some, axis=0) <= 2.0 * np.sqrt(self.rows) * _CONSTANT * sizes) & (some[0] != 0)
        columns = {int(j): np.asarray(self._X[:, j], np.float64) for j in np.flatnonzero(may)}
        varies = {j: float(np.std(column - column[0]) / sizes[j]) for j, column in columns.items()}
        level = {j: v for j, v in varies.items() if v <= _CONSTANT}
        for j, v in level.items():
            if v > 0.0 and (self.intercept or len(level) > 1):
                raise LostInRoundingError(
                    f"column {j} of X (the first is 0) varies by only {v:.1e} of its size; subtract its mean from it, "
                    "or leave it out"
                )

    def _weighted_blocks(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        at = 0
        for block in _blocks(self._X):
            yield block, self.weights[at : at + len(block), None]
            at += len(block)

    def _computed(self) -> Iterator[FloatArray]:
        for block in _blocks(self._X):
            scaled = (block - self._mean) / self._scale
            yield np.column_stack([scaled, np.ones(len(scaled))]) if self.intercept else scaled

    def blocks(self) -> Iterator[FloatArray]:
        """A, some rows at a time: a pass is interrupted soon."""
        yield from self._computed() if self._kept is None else self._kept

    def outputs(self, u: FloatArray) -> FloatArray:
        """A u: (n,) or (n, k)."""
        return np.concatenate([block @ u for block in self.blocks()])

    def pull(self, v: FloatArray) -> FloatArray:
        """A^T v, for v of shape (n,) or (n, k)."""
        total, at = np.zeros((self.width, *v.shape[1:])), 0
        for block in self.blocks():
            total += block.T @ v[at : at + len(block)]
            at += len(block)
        return total

    def gram(self, weights: FloatArray) -> FloatArray:
        """A^T diag(weights) A."""
        total, at = np.zeros((self.width, self.width)), 0
        for block in self.blocks():
            total += block.T @ (weights[at : at + len(block), None] * block)
            at += len(block)
        return total

    def triangle(self, y: FloatArray) -> FloatArray:
        """R of the orthogonal decomposition of (A, y), each row times the root of its weight.

        It has at most width + 1 rows, and as many columns.
        """
        roots = np.sqrt(self.weights)[:, None]
        triangle: FloatArray = np.zeros((0, self.width + 1))
        at = 0
        for block in self.blocks():
            both = roots[at : at + len(block)] * np.column_stack([block, y[at : at + len(block)]])
            triangle = np.asarray(np.linalg.qr(np.vstack([triangle, both]), mode="r"))
            at += len(block)
        return triangle

    def point(self, u: FloatArray) -> FloatArray:
        """x, in the layout of the model."""
        columns = u.reshape(self.width, -1)
        features = self._scale.size
        weights = columns[:features] / self._scale[:, None]
        intercepts = columns[features:] - self._mean @ weights if self.intercept else columns[:0]
        if self._rotation is not None:
            weights = self._rotation @ weights
        return np.concatenate([weights.T.ravel(), intercepts.ravel()])

    def coordinates(self, x: FloatArray) -> FloatArray:
        """Of one output, u with the outputs of x."""
        weights, intercept = x[: self.features], x[self.features :]
        if self._rotation is not None:
            weights = np.asarray(np.linalg.lstsq(self._rotation, weights)[0], np.float64)
        return np.concatenate([weights * self._scale, intercept + self._mean @ weights])

    def slopes(self, gradient: FloatArray) -> FloatArray:
        """Of one output, the gradient by u of a function of `point(u)` from that by x."""
        weights, intercept = gradient[: self.features], gradient[self.features :]
        if self._rotation is not None:
            weights = weights @ self._rotation
        return np.concatenate([(weights - self._mean * intercept.sum()) / self._scale, intercept])

    def penalty(self, l2: float, mu: float) -> FloatArray:
        """B (width, width) with |B u|^2 = l2 |weights|^2 + mu |x|^2, for one output."""
        features = self._scale.size
        root = np.zeros((self.width, self.width))
        root[:features, :features] = np.diag(np.sqrt(l2 + mu) / self._scale)
        if self.intercept:
            root[features] = np.sqrt(mu) * np.append(-self._mean / self._scale, 1.0)
        return root


def negligible(singular: FloatArray, size: int) -> NDArray[np.bool_]:
    """Which singular values, the largest first, of a matrix with sides up to `size` are of rounding alone."""
    return np.asarray(singular <= size * np.finfo(np.float64).eps * singular[0])


def _blocks(X: NDArray[np.floating]) -> Iterator[FloatArray]:
    step = max(1, CHUNK // X.shape[1])
    for first in range(0, X.shape[0], step):
        yield np.asarray(X[first : first + step], np.float64)


def _sizes(X: NDArray[np.floating]) -> FloatArray:
    """The largest |X_ij| of every column, 1 for a column of zeros."""
    largest = np.zeros(X.shape[1])
    for block in _blocks(X):
        np.maximum(largest, np.abs(block).max(axis=0), out=largest)
    return np.where(largest > 0, largest, 1.0)
