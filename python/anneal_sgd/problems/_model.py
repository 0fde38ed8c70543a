"""A fully connected model in NumPy: a mean loss over rows of data, and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .._arrays import FloatArray
from ._dataset import CHUNK, Dataset


@dataclass(frozen=True)
class Model:
    """Layers of `sizes` (inputs, hidden units, outputs), with intercepts or not; linear where nothing is hidden."""

    sizes: tuple[int, ...]
    intercept: bool
    activation: str

    @property
    def dimension(self) -> int:
        """The number of weights and intercepts."""
        return sum(a * b + b * self.intercept for a, b in pairwise(self.sizes))

    def layers(self, x: FloatArray) -> list[tuple[FloatArray, FloatArray | None]]:
        """Weights (units, inputs) and intercepts (units,) of every layer: views of x."""
        layers, at = [], 0
        for inputs, units in pairwise(self.sizes):
            weights = x[at : at + inputs * units].reshape(units, inputs)
            at += inputs * units
            layers.append((weights, x[at : at + units] if self.intercept else None))
            at += units * self.intercept
        return layers

    def value_and_gradient(
        self,
        x: FloatArray,
        data: Dataset,
        losses: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
        *,
        l2: float,
        gradient: bool,
    ) -> tuple[float, FloatArray]:
        """The mean loss plus l2 / 2 |weights|^2 and its gradient by x, zeros where it is not wanted.

        Rows count as their weights say. `losses` gives for outputs (rows, outputs) and targets the loss (rows,) and its
        derivatives by the outputs.
        """
        layers, total = self.layers(x), 0.0
        into = np.zeros_like(x)
        gradients = self.layers(into)
        n = data.rows
        step = max(1, CHUNK // max(*self.sizes))
        for first in range(0, n, step):
            rows = np.asarray(data.features[first : first + step], np.float64)
            y = data.targets[first : first + step]
            inputs = [rows]
            for k, (weights, intercept) in enumerate(layers):
                z = inputs[-1] @ weights.T
                z = z if intercept is None else z + intercept
                if k + 1 < len(layers):
                    inputs.append(np.maximum(z, 0.0) if self.activation == "relu" else np.tanh(z))
            of_rows, delta = losses(z, y)
            if data.unit_weights is not None:
                row_weights = data.unit_weights[first : first + step]
                of_rows, delta = row_weights * of_rows, row_weights[:, None] * delta
            total += float(of_rows.sum())
            if not gradient:
                continue
            delta = delta / n
            for k in reversed(range(len(layers))):
                of_weights, of_intercept = gradients[k]
                of_weights += delta.T @ inputs[k]
                if of_intercept is not None:
                    of_intercept += delta.sum(axis=0)
                if k:
                    a = inputs[k]
                    delta = (delta @ layers[k][0]) * ((a > 0) if self.activation == "relu" else 1 - a * a)
        for (weights, _), (into_weights, _) in zip(layers, gradients, strict=True):
            total += 0.5 * l2 * n * float(np.sum(weights**2))
            into_weights += l2 * weights
        return total / n, into
