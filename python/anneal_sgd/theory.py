"""What theory says: bounds on the last iterate for any schedule, and the exact moments of the noisy quadratic.

**Symbols.** T is `horizon`, h the schedule, `lr_t = base_lr * h_t` the learning rate of step t, rho the
`misspecification` (`base_lr = rho * tuned_base_lr`), D the `distance` (an upper bound on the distance from the iterates
to the minimiser), G the `gradient_bound` (`E|g|^2 <= G^2` for every stochastic gradient g). Units: D is a distance, G a
suboptimality per distance; `base_lr` has the unit of D / G, a bound that of D * G. Steps are t = 1..T here, the paper's
count; step t is the simulator's 0-based step t - 1.

**The bound.** For projected SGD `x_{t+1} = P(x_t - lr_t g_t)` on a convex function, any weights `w_1 .. w_n >= 0` with
`w_t = lr_t` for t < n and `w_n > 0`, and any start k, with `W_j = w_j + ... + w_n`:

    E f(x_n) - f*  <=  D^2 / (2 W_k)  +  (G^2 / 2) * [ sum_{t=k}^{n-1} w_t^2 / W_{t+1}  +  w_n ]

(Schaipp et al., arXiv 2501.18965, Theorem 3.1, whose double sum telescopes to this because
`w_j / (W_{j+1} W_j) = 1 / W_{j+1} - 1 / W_j`; after Zamani and Glineur, 2023, and Defazio et al., 2023.) It holds for
each k, so the best one counts, and that gives the sublinear dependence on rho of Attia and Koren, arXiv 2503.09411. A
value above D * G says nothing: f(x) - f* never exceeds it.

**Which point it bounds.** The theorem speaks of `x_n`, the point *where* the n-th gradient would be taken: `x_n` does
not depend on `w_n`. The simulator's last iterate is the point *after* T updates, `x_{T+1}`. So n = T + 1 here: the T
learning rates of the run, then one free weight, as if one more step followed. (The theorem's formula with n = T does
not bound `x_{T+1}`: for T = 1, f = G|x| on the line and a large learning rate it is half of the true value.) The free
weight, the closing weight, is

    w_{T+1} = max_t (lr_t - (lr_{t+1} + ... + lr_T)),

the smallest weight with which no step exceeds the sum of all that follows it. For a constant, a linear and a floored
schedule it is the last learning rate over again; where the last learning rates are zero or negligible it is set by the
last ones that are not, so that no `W_j` vanishes and schedules that end in zeros need no special case. Compared with
the theorem's own sum over T weights a bound changes by a fraction that vanishes as T - k grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _validate
from ._arrays import FloatArray
from ._machine import available_memory
from ._validate import FINITE, NON_NEGATIVE, POSITIVE, shown

__all__ = [
    "Bound",
    "QuadraticMoments",
    "ScheduleLike",
    "asymptotic_exponent",
    "last_iterate_bound",
    "local_exponent",
    "quadratic_moments",
    "tolerated_misspecification",
    "tuned_base_lr",
    "tuned_rate",
]

_BYTES_PER_STEP = 64  # arrays over the horizon at the peak: at most seven and their temporaries
_UNCHECKED_STEPS = 2**18  # fewer are allocated without asking the system how much there is


class ScheduleLike(Protocol):
    """What this module asks of a schedule: `values(horizon)[t]` is h at the 0-based step t, shape (horizon,)."""

    def values(self, horizon: int, /) -> FloatArray:
        """The values of h at every step of the horizon."""
        ...


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound on the mean suboptimality of the last iterate; every array has the shape of the learning rates asked for.

    - `base_lr`: float64, the learning rates the bound is for
    - `start`: int64, the k in 1..horizon+1 with the smallest bound; the bound uses nothing of the trajectory before x_k
    - `distance_term`: float64, `D^2 / (2 W_k)`, falls with base_lr
    - `noise_term`: float64, `(G^2 / 2) * [...]`, grows with base_lr
    - `value`: float64, their sum, the bound
    """

    base_lr: FloatArray
    start: NDArray[np.int64]
    distance_term: FloatArray
    noise_term: FloatArray

    @property
    def value(self) -> FloatArray:
        """The bound: the sum of its two terms."""
        return np.asarray(self.distance_term + self.noise_term)


def last_iterate_bound(
    schedule: ScheduleLike,
    horizon: int,
    *,
    base_lr: ArrayLike | None = None,
    misspecification: ArrayLike | None = None,
    distance: float = 1.0,
    gradient_bound: float = 1.0,
    start: int | None = None,
) -> Bound:
    """Bound on `E f(x) - f*` for the point x after `horizon` steps of projected SGD (formula: see the module).

    Give either `base_lr` or `misspecification` (rho, in units of `tuned_base_lr`), a scalar or a 1-D array. `start`
    fixes k in 1..horizon+1; the default takes the best one for each learning rate. Only k = 1 gets by with D bounding
    the distance of the starting point alone; any other k needs it at x_k, as on a bounded set.
    The search over k is exact; time O(horizon) per learning rate. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> bound = last_iterate_bound(schedules.Linear(), 10_000, misspecification=[1, 8, 64])
    >>> (bound.value * 100).round(2).tolist()  # times sqrt(horizon): grows like rho^(1/3)
    [2.0, 3.78, 7.59]
    >>> bound.start.tolist()
    [1, 6851, 9214]
    """
    if (base_lr is None) == (misspecification is None):
        raise ValueError(
            "base_lr must be given or misspecification, exactly one of the two, "
            f"got base_lr={base_lr!r} and misspecification={misspecification!r}"
        )
    weights = _weights(schedule, horizon)
    d = _validate.real("distance", distance, POSITIVE)
    g = _validate.real("gradient_bound", gradient_bound, POSITIVE)
    if base_lr is not None:
        rates = _validate.real_array("base_lr", base_lr, POSITIVE, max_ndim=1)
    else:
        assert misspecification is not None  # one of the two is given
        rho = _validate.real_array("misspecification", misspecification, POSITIVE, max_ndim=1)
        rates = np.asarray(rho * (weights.tuned * d / g))
    fixed = None if start is None else _validate.integer("start", start, lowest=1, highest=weights.sums.size) - 1

    best = np.empty(rates.shape, dtype=np.int64)
    distance_term, noise_term = np.empty(rates.shape), np.empty(rates.shape)
    for i, rate in np.ndenumerate(rates):
        by_distance, by_noise = weights.terms(rate, d, g)
        k = int(np.argmin(by_distance + by_noise)) if fixed is None else fixed
        best[i], distance_term[i], noise_term[i] = k + 1, by_distance[k], by_noise[k]
    return Bound(base_lr=rates, start=best, distance_term=distance_term, noise_term=noise_term)


def tuned_base_lr(schedule: ScheduleLike, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The base_lr with the smallest k = 1 bound: `(D / G) / sqrt(W_1 * I_1)`, sums taken with h for the learning rates.

    `I_1` is the bracket of the bound with k = 1 (see the module). As T grows it is `(D / G) * sqrt(p / T)` for
    `h = (1 - u)^p` and `0.971 * D / (G sqrt(T))` for the cosine. Where another k is better already here (the inverse
    square root), a somewhat larger base_lr has a smaller bound still. Source: arXiv 2503.09411. ValueError: an argument
    out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tuned_base_lr(schedules.Polynomial(degree=2), 20_000), 4)
    0.01
    """
    d, g = _validate.real("distance", distance, POSITIVE), _validate.real("gradient_bound", gradient_bound, POSITIVE)
    return _weights(schedule, horizon).tuned * d / g


def tuned_rate(schedule: ScheduleLike, horizon: int, *, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The bound at `tuned_base_lr`: what `last_iterate_bound` gives for misspecification 1.

    As T grows it is `D G (p + 1) / sqrt(p T)` for `h = (1 - u)^p` and `2.060 * D G / sqrt(T)` for the cosine. Source:
    arXiv 2503.09411. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tuned_rate(schedules.Linear(), 10_000), 4)
    0.02
    """
    bound = last_iterate_bound(
        schedule, horizon, misspecification=1.0, distance=distance, gradient_bound=gradient_bound
    )
    return float(bound.value)


def asymptotic_exponent(tail_degree: ArrayLike) -> FloatArray:
    """The power of rho in the bound as rho grows, `1 / (2 p + 1)` for a schedule with `h(u) ~ c (1 - u)^p` as u -> 1.

    `tail_degree`: p >= 0, any shape; the result is float64 of that shape. Source: arXiv 2503.09411. ValueError: a
    negative or NaN `tail_degree`.

    >>> asymptotic_exponent([0, 0.5, 1, 2]).tolist()
    [1.0, 0.5, 0.3333333333333333, 0.2]
    """
    degree = _validate.real_array("tail_degree", tail_degree, NON_NEGATIVE, infinite=True)
    return np.asarray(1.0 / (2.0 * degree + 1.0))


def local_exponent(schedule: ScheduleLike, horizon: int, *, misspecification: ArrayLike) -> FloatArray:
    """`d log(bound) / d log(rho)` at the given rho: `(noise_term - distance_term) / value` at the best k.

    With k held fixed the distance term goes as 1 / rho and the noise term as rho, which gives the formula; that k moves
    with rho adds nothing, because the bound is a minimum over k (envelope theorem). It is exact, no finite difference;
    where two k tie, it is the slope on the side of the `start` that `last_iterate_bound` reports.
    `misspecification`: a scalar or 1-D; the result is float64 of its shape, dimensionless, 0 at rho = 1 (where k = 1 is
    the best there) and near `asymptotic_exponent` for annealed schedules and 1 << rho << sqrt(T). Does not depend on D
    and G. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> local_exponent(schedules.Polynomial(degree=2), 100_000, misspecification=[1, 256]).round(3).tolist()
    [0.0, 0.2]
    """
    rho = _validate.real_array("misspecification", misspecification, POSITIVE, max_ndim=1)
    bound = last_iterate_bound(schedule, horizon, misspecification=rho)
    return np.asarray((bound.noise_term - bound.distance_term) / bound.value)


def tolerated_misspecification(schedule: ScheduleLike, horizon: int, *, loss: float) -> float:
    """The largest rho whose bound is at most `(1 + loss)` times the tuned one; `loss` is a fraction > 0.

    The bound is the minimum over k of `a_k / rho + b_k rho`, so the answer is the largest root of these quadratics, in
    closed form. Does not depend on D and G. ValueError: an argument out of its range.

    >>> from anneal_sgd import schedules
    >>> round(tolerated_misspecification(schedules.Linear(), 10_000, loss=0.5), 2)  # 3 = 2 * 1.5 is reached at rho = 4
    4.0
    """
    weights = _weights(schedule, horizon)
    a, b = weights.terms(weights.tuned, 1.0, 1.0)
    target = (1.0 + _validate.real("loss", loss, POSITIVE)) * np.min(a + b)
    with np.errstate(over="ignore", invalid="ignore"):
        discriminant = target * target - 4.0 * a * b
        reached = discriminant >= 0.0
        roots = (target + np.sqrt(discriminant[reached])) / (2.0 * b[reached])
    return float(np.max(roots, initial=1.0))


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
    h = _values(schedule, horizon)
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


_CHUNK = 256  # steps composed at once: bounds the memory, and how far a product can run out of float64's range


@dataclass(frozen=True, eq=False)
class _Weights:
    """The bound's sums for base_lr = 1, by k = 1..T+1: `sums` is W_k, `noise` the bracket I_k, both of shape (T+1,)."""

    sums: FloatArray
    noise: FloatArray

    @property
    def tuned(self) -> float:
        """tuned_base_lr for D = G = 1."""
        return float(1.0 / np.sqrt(self.sums[0] * self.noise[0]))

    def terms(self, base_lr: float, distance: float, gradient_bound: float) -> tuple[FloatArray, FloatArray]:
        """Distance term and noise term for every k; the former is inf where W_k is too small for the quotient."""
        with np.errstate(over="ignore"):
            return (
                distance * distance / (2.0 * base_lr) / self.sums,
                0.5 * gradient_bound * gradient_bound * base_lr * self.noise,
            )


def _weights(schedule: ScheduleLike, horizon: int) -> _Weights:
    h = _values(schedule, horizon)
    closing = np.max(h - np.append(_sums_to_end(h)[1:], 0.0))
    sums = _sums_to_end(np.append(h, closing))
    per_step = h * (h / sums[1:])  # not h^2 / W: h may be far below sqrt(smallest float)
    return _Weights(sums=sums, noise=_sums_to_end(np.append(per_step, closing)))


def _sums_to_end(values: FloatArray) -> FloatArray:
    """`out[j] = values[j] + ... + values[-1]`, added from the end, where annealed schedules are small."""
    return np.cumsum(values[::-1])[::-1]


def _values(schedule: ScheduleLike, horizon: int) -> FloatArray:
    if isinstance(schedule, type | Mapping) or not callable(getattr(schedule, "values", None)):
        raise ValueError(f"schedule must be a schedule, or have values(horizon) like one, got {shown(schedule)}")
    steps = _validate.integer("horizon", horizon, lowest=1)
    available = available_memory() if steps > _UNCHECKED_STEPS else None
    if available is not None and steps * _BYTES_PER_STEP > available:
        raise ValueError(
            f"horizon must fit in memory: what theory says of {steps} steps takes {steps * _BYTES_PER_STEP} bytes, and "
            f"{available} are available"
        )
    h = np.asarray(schedule.values(steps), dtype=np.float64)
    if h.shape != (steps,):
        raise ValueError(f"schedule must give values of shape ({steps},), got shape {h.shape}")
    _require("schedule", h, np.isfinite(h) & (h >= 0.0), "give finite values >= 0")
    if not np.any(h > 0.0):
        raise ValueError(f"schedule must give a positive value at some step, got zeros at all {steps} steps")
    return h


def _records(record_at: Sequence[int] | NDArray[np.int64] | None, horizon: int) -> NDArray[np.int64]:
    if record_at is None:
        return np.array([horizon], dtype=np.int64)
    records = _validate.array("record_at", record_at)
    allowed = f"be a 1-D sequence of strictly increasing integers in 0..{horizon}"
    if records.ndim != 1 or records.size == 0 or not np.issubdtype(records.dtype, np.integer):
        raise ValueError(f"record_at must {allowed}, got {shown(record_at)}")
    later = np.diff(records.astype(np.int64), prepend=-1) > 0
    _require("record_at", records, later & (records >= 0) & (records <= horizon), allowed)
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


def _require(name: str, array: NDArray[np.generic], inside: NDArray[np.bool_], allowed: str) -> None:
    """ValueError that shows the first element outside."""
    if not np.all(inside):
        where = int(np.argmin(inside))
        at = f" at index {where}" if array.ndim else ""
        raise ValueError(f"{name} must {allowed}, got {array.flat[where]}{at}")
