"""Exact moments of SGD on the noisy quadratic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import _validate
from .._arrays import FloatArray
from .._validate import FINITE, NON_NEGATIVE, POSITIVE, shown
from ._steps import ScheduleLike, Steps, require

_CHUNK = 256  # steps composed at once: bounds the memory, and how far a product can run out of float64's range


@dataclass(frozen=True, eq=False)
class QuadraticMoments:
    """Exact moments of the noisy quadratic after `record_at[k]` steps. [c] is there only for a 1-D `base_lr`.

    - `record_at[k]`: int64, steps, 0 is the start
    - `mean[c, k, i]`, `variance[c, k, i]`: float64, of coordinate i of the iterate, units of x0 and x0^2
    - `suboptimality[c, k]`: float64, `E f(x) = sum_i curvature_i (mean_i^2 + variance_i) / 2`; f* = 0
    - `suboptimality_std[c, k]`: float64, the standard deviation of f(x) where the noise is Gaussian and independent per
      coordinate: `sqrt(sum_i curvature_i^2 (mean_i^2 variance_i + variance_i^2 / 2))`
    """

    record_at: NDArray[np.int64]
    mean: FloatArray
    variance: FloatArray
    suboptimality: FloatArray
    suboptimality_std: FloatArray


def quadratic_moments(
    schedule: ScheduleLike,
    *,
    curvature: ArrayLike,
    x0: ArrayLike,
    noise_std: ArrayLike,
    base_lr: ArrayLike,
    horizon: int,
    record_at: Sequence[int] | NDArray[np.int64] | None = None,
    dtype: DTypeLike = "float64",
) -> QuadraticMoments:
    """Exact moments of SGD on `f = sum_i curvature_i x_i^2 / 2`, no projection, gradient noise of std `noise_std`.

    Per coordinate, `m <- (1 - lr_t curvature) m` and `v <- (1 - lr_t curvature)^2 v + (lr_t noise_std)^2`, with
    `lr_t = base_lr * h_t` rounded to `dtype`, "float32" or "float64", that of the simulation. Mean and
    variance hold for any noise of mean zero and that std, at any learning rate; where they leave float64 they are inf
    or nan.

    `curvature` (>= 0), `x0`, `noise_std` (>= 0): scalars, or 1-D of one length d; `base_lr` (> 0): a scalar or 1-D;
    `record_at`: strictly increasing steps in 0..horizon, default (horizon,). ValueError: an argument out of its range
    or of another shape.

    >>> from anneal_sgd import schedules
    >>> exact = quadratic_moments(
    ...     schedules.Constant(), curvature=1.0, x0=8.0, noise_std=2.0, base_lr=0.5, horizon=2, record_at=(0, 1, 2)
    ... )
    >>> exact.mean[:, 0].tolist(), exact.variance[:, 0].tolist()
    ([8.0, 4.0, 2.0], [0.0, 1.0, 1.25])
    >>> exact.suboptimality.tolist()
    [32.0, 8.5, 2.625]
    """
    h = Steps(schedule, horizon).values()
    rates = _validate.real_array("base_lr", base_lr, POSITIVE, max_ndim=1)
    lam, start, sigma = _coordinates(curvature=curvature, x0=x0, noise_std=noise_std)
    records = _records(record_at, h.size)
    precision = _validate.dtype_name(dtype)

    shape = (rates.size, records.size, lam.size)
    means, variances = np.empty(shape), np.empty(shape)
    mean, variance = np.broadcast_to(start, (rates.size, lam.size)), np.zeros((rates.size, lam.size))
    step = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for k, record in enumerate(records.tolist()):
            while step < record:
                stop = min(record, step + _CHUNK)
                lr = (
                    np.multiply.outer(np.atleast_1d(rates), h[step:stop])
                    .astype(precision)
                    .astype(np.float64)[:, :, None]
                )
                factor = 1.0 - lr * lam  # (base_lr, steps of the chunk, coordinates)
                to_end = np.ones((rates.size, stop - step + 1, lam.size))  # [:, t]: product of the factors from t on
                np.cumprod(factor[:, ::-1], axis=1, out=to_end[:, -2::-1])
                mean = to_end[:, 0] * mean
                variance = to_end[:, 0] ** 2 * variance + np.sum((lr * sigma * to_end[:, 1:]) ** 2, axis=1)
                step = stop
            means[:, k], variances[:, k] = mean, variance
        suboptimality = 0.5 * np.sum(lam * (means**2 + variances), axis=-1)
        std = np.sqrt(np.sum(lam**2 * (means**2 * variances + 0.5 * variances**2), axis=-1))

    lead = rates.shape
    return QuadraticMoments(
        record_at=records,
        mean=means.reshape(lead + shape[1:]),
        variance=variances.reshape(lead + shape[1:]),
        suboptimality=suboptimality.reshape(lead + shape[1:2]),
        suboptimality_std=std.reshape(lead + shape[1:2]),
    )


def _records(record_at: Sequence[int] | NDArray[np.int64] | None, horizon: int) -> NDArray[np.int64]:
    if record_at is None:
        return np.array([horizon], dtype=np.int64)
    records = _validate.array("record_at", record_at)
    allowed = f"be a 1-D sequence of strictly increasing integers in 0..{horizon}"
    if records.ndim != 1 or records.size == 0 or not np.issubdtype(records.dtype, np.integer):
        raise ValueError(f"record_at must {allowed}, got {shown(record_at)}")
    later = np.diff(records.astype(np.int64), prepend=-1) > 0
    require("record_at", records, later & (records >= 0) & (records <= horizon), allowed)
    return records.astype(np.int64)


def _coordinates(*, curvature: ArrayLike, x0: ArrayLike, noise_std: ArrayLike) -> tuple[FloatArray, ...]:
    given = {
        "curvature": _validate.real_array("curvature", curvature, NON_NEGATIVE, max_ndim=1),
        "x0": _validate.real_array("x0", x0, FINITE, max_ndim=1),
        "noise_std": _validate.real_array("noise_std", noise_std, NON_NEGATIVE, max_ndim=1),
    }
    dimension = max(array.size for array in given.values())
    for name, array in given.items():
        if array.ndim == 1 and array.size != dimension:
            raise ValueError(f"{name} must be a scalar or of length {dimension} like the longest, got {array.size}")
    return tuple(np.broadcast_to(array, (dimension,)) for array in given.values())
