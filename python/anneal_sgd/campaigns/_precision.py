"""When a mean is precise enough, from its merged statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._statistics import anytime_factor, variance
from ._cells import Cells


@dataclass(frozen=True)
class Precision:
    """What is asked of every mean instead of a number of replicates."""

    target: float
    """The largest error, as a fraction of the mean."""
    confidence: float | None = None
    """Of anytime-valid intervals, whose half-width is the error; None: the standard error is."""

    @property
    def arguments(self) -> dict[str, float]:
        """As a campaign takes them."""
        if self.confidence is None:
            return {"relative_stderr": self.target}
        return {"relative_error": self.target, "confidence": self.confidence}

    def is_met(self, cells: Cells) -> NDArray[np.bool_]:
        """Whether no mean of a config asks for more replicates: (configs,).

        Its error is small enough, or it has none: all values are equal, none is finite, or their squares overflow.
        """
        count = cells["count"]
        hopeless = (count == 0) | ~np.isfinite(cells["m2"]) | ((cells["m2"] == 0.0) & (count > 1))
        every = (count + cells["diverged"]).max(axis=-1, keepdims=True)
        error = _relative(cells, every)
        if self.confidence is not None:
            error = error * anytime_factor(count, self.confidence)
        return np.asarray((hopeless | (error <= self.target)).all(axis=-1))

    def __str__(self) -> str:
        """As `repr` of a campaign has it."""
        if self.confidence is None:
            return f"relative stderr {self.target:g}"
        return f"relative error {self.target:g} at confidence {self.confidence:g}"


def relative_stderr(cells: Cells, replicates: int) -> NDArray[np.float64]:
    """By config, the largest standard error of a mean over its size, were there that many replicates: (configs,).

    0 for a mean without spread; means without a standard error are left out.
    """
    relative = _relative(cells, replicates)
    return np.asarray(np.where(np.isfinite(relative), relative, 0.0).max(axis=-1))


def _relative(cells: Cells, replicates: Any) -> NDArray[np.float64]:
    count, mean = cells["count"], cells["mean"]
    spread = variance(count, cells["m2"])
    share = count / np.maximum(count + cells["diverged"], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(spread / np.maximum(share * replicates, 1.0)) / np.abs(mean)
    relative = np.where((count < 2) | np.isnan(relative), np.inf, relative)
    return np.asarray(np.where((spread == 0.0) & (count > 1), 0.0, relative))
