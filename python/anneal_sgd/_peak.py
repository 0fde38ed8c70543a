"""The maximum of a noisy curve: of a cubic through the seven points around it, so that no noise is selected for.

Where the curve bends too much for that between one point and the next, of a parabola through three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW = 7
END = WINDOW // 2

# Least-squares cubic through 7 equally spaced points −3 … 3: coefficients of 1, x, x², x³ (Savitzky and Golay 1964).
_CUBIC = (
    np.array([-2, 3, 6, 7, 6, 3, -2]) / 21,
    np.array([22, -67, -58, 0, 58, 67, -22]) / 252,
    np.array([5, 0, -3, -4, -3, 0, 5]) / 84,
    np.array([-1, 1, 1, 0, -1, -1, 1]) / 36,
)


def peak(values: Floats) -> tuple[Floats, Floats]:
    """Maximum of a cubic fitted to the last axis (7 points), and its place in [−3, 3], in spacings from the middle."""
    c0, c1, c2, c3 = (np.sum(values * weights, axis=-1) for weights in _CUBIC)
    with np.errstate(all="ignore"):  # no stationary point, or one at infinity: NaN, and the ends decide
        root = np.sqrt(c2 * c2 - 3 * c1 * c3)
        # Stable roots of c1 + 2 c2 x + 3 c3 x²: one by division by c3, the other by division by the same numerator.
        numerator = -(c2 + np.copysign(root, c2))
        candidates = [numerator / (3 * c3), c1 / numerator]
    places = np.stack([np.full_like(c0, -END), np.full_like(c0, END), *candidates])
    places = np.where(np.abs(places) <= END, places, -END)  # NaN compares false
    heights = c0 + places * (c1 + places * (c2 + places * c3))
    best = heights.argmax(axis=0)[None]
    return np.take_along_axis(heights, best, axis=0)[0], np.take_along_axis(places, best, axis=0)[0]


def bend(values: Floats) -> Floats:
    """About by how much the curve falls from its maximum to the next point: minus that cubic's coefficient of x^2."""
    return np.asarray(-np.sum(values * _CUBIC[2], axis=-1))


def crest(values: Floats) -> Floats:
    """Maximum of the parabola through the last axis (3 equally spaced points); the largest where that is at an end."""
    left, middle, right = np.moveaxis(values, -1, 0)
    bent = 2.0 * middle - left - right
    inside = (middle >= np.maximum(left, right)) & (bent > 0.0)
    rise = (right - left) ** 2 / (8.0 * np.where(inside, bent, 1.0))
    return np.asarray(np.where(inside, middle + rise, values.max(axis=-1)))
