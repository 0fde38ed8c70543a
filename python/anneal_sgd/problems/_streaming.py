"""Models fitted to a stream: every step has fresh Gaussian samples, and f is an expectation in closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._validate import FINITE, NON_NEGATIVE
from ._base import LARGEST_DIMENSION
from ._custom import Custom

_LARGEST_BATCH = 120  # a sample takes two of the 252 places that a program has for draws; some are for starts
_LARGEST_HIDDEN = 16  # f has a dot product for every pair of units


def streaming_least_squares(
    dimension: int,
    *,
    capacity: float,
    source: float,
    noise_std: float = 1.0,
    batch_size: int = 1,
    x0: ArrayLike | None = None,
) -> Custom:
    """Least squares on a stream, of a power-law spectrum: one pass of SGD over fresh Gaussian samples.

    With a ~ N(0, diag(lambda)), $lambda_i = i^-capacity$, targets $y = a . w + noise_std xi$, xi ~ N(0, 1), and the
    minimiser w with $lambda_i w_i^2 = i^-source$, i = 1 .. d,

        f(x) = E (a . x - y)^2 / 2 - noise_std^2 / 2 = sum_i lambda_i (x_i - w_i)^2 / 2,
        g(x) = mean over the batch of a (a . x - y).

    The noise of the gradient is so multiplicative too, and largest where the error is. With $m_i = E (x_i - w_i)^2$ a
    step of learning rate lr gives, B the batch size,

        m_i <- (1 - lr lambda_i)^2 m_i + lr^2 / B (lambda_i^2 m_i + lambda_i (sum_j lambda_j m_j + noise_std^2)).

    Such laws are the source and capacity conditions of arXiv 2602.03702 and others; of kernels one often says source s
    where this is s capacity + 1. `x0`: the start, 0 by default. Eigenvalues, w and noise_std are parameters, so that
    problems of one dimension and batch size go in one call. One AVX-512 core took 95 million coordinate-steps per
    second (float32, batches of one, d = 100 and 1000, a machine in use by others), 51 million with d = 10^4, 15
    million with d = 10^5, where a trajectory makes 150 steps per second. `batch_size` is at most 120. ValueError: an
    argument out of its range.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.streaming_least_squares(100, capacity=1.5, source=2.0)
    >>> problem.parameters["minimiser"][:3].round(3).tolist()
    [1.0, 0.841, 0.76]
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=500, replicates=256)
    >>> float(result.mean.round(2)), float(problem.suboptimality(problem.x0).round(2))
    (0.04, 0.82)
    """
    d = _validate.integer("dimension", dimension, lowest=1, highest=LARGEST_DIMENSION)
    decay, strength = _validate.real("capacity", capacity, NON_NEGATIVE), _validate.real("source", source, FINITE)
    std = _validate.real("noise_std", noise_std, NON_NEGATIVE)
    i = np.arange(1.0, d + 1.0)
    eigenvalues, minimiser = i**-decay, i ** ((decay - strength) / 2.0)

    def f(x: Any, eigenvalues: Any, minimiser: Any) -> Any:
        return 0.5 * np.dot(eigenvalues, (x - minimiser) ** 2)

    def sample(x: Any, draw: Any, eigenvalues: Any, minimiser: Any, label_std: Any) -> Any:
        a = np.sqrt(eigenvalues) * draw.gaussian()
        return (np.dot(a, x - minimiser) - label_std * draw.gaussian(size=())) * a

    return Custom(
        f,
        x0=np.zeros(d) if x0 is None else x0,
        dimension=d,
        parameters={"eigenvalues": eigenvalues, "minimiser": minimiser, "label_std": std},
        oracle=_mean_of(sample, batch_size),
        minimum=0.0,
    )


def phase_retrieval(dimension: int, *, batch_size: int = 1, x0: ArrayLike | Callable[..., Any]) -> Custom:
    """A signal from squares: minimise E ((a . x)^2 - (a . w)^2)^2 / 4 over fresh samples a ~ N(0, I).

    With w the first unit vector (the law of a is the same in all directions),

        f(x) = (3 |x|^4 + 3 - 2 |x|^2 - 4 x_1^2) / 4,
        g(x) = mean over the batch of ((a . x)^2 - a_1^2) (a . x) a.

    Not convex: minimal, 0, at w and -w, with a maximum at 0 and saddles between. After Candes, Li and Soltanolkotabi,
    arXiv 1407.1065 (Wirtinger flow). `x0`: the start, (d,), or a function of draw. ValueError: an argument out of its
    range.

    >>> import numpy as np
    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.phase_retrieval(20, batch_size=4, x0=lambda draw: 0.2 * draw.gaussian())
    >>> [problem.value(x).item() for x in (np.eye(20)[0], -np.eye(20)[0], np.zeros(20))]
    [0.0, 0.0, 0.75]
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.02, horizon=2000, replicates=128)
    >>> bool(result.mean < 0.01)
    True
    """
    d = _validate.integer("dimension", dimension, lowest=1, highest=LARGEST_DIMENSION)

    def f(x: Any) -> Any:
        square = np.dot(x, x)
        return 0.25 * (3.0 * square**2 - 2.0 * square + 3.0 - 4.0 * x[0] ** 2)

    def sample(x: Any, draw: Any) -> Any:
        a = draw.gaussian()
        output = np.dot(a, x)
        return ((output**2 - a[0] ** 2) * output) * a

    return Custom(f, x0=x0, dimension=d, oracle=_mean_of(sample, batch_size), minimum=0.0)


def teacher_student(
    features: int,
    *,
    hidden: int,
    teacher: ArrayLike,
    batch_size: int = 1,
    x0: ArrayLike | Callable[..., Any],
) -> Custom:
    """A two-layer network with quadratic activations that learns from another one: the student has `hidden` units.

    A point lists the weights $w_1, w_2, ...$ of the units, each of shape (features,); the teacher's are the rows v_k of
    `teacher`, (units, features). With a ~ N(0, I), $M = sum_k w_k w_k^T - sum_k v_k v_k^T$,

        f(x) = E (sum_k (w_k . a)^2 - sum_k (v_k . a)^2)^2 / 4 = (2 tr M^2 + (tr M)^2) / 4,
        g(x) = mean over the batch of (sum_k (w_k . a)^2 - sum_k (v_k . a)^2) (w_k . a) a, for each unit k.

    The minimum is 0 where `hidden` is at least the rank of `teacher`; with fewer units it is not known here, and
    "value" is recorded. (Sarao Mannelli, Vanden-Eijnden and Zdeborova, arXiv 2006.15459, study when gradient descent
    finds it, on finite data.) One unit and a teacher of one is `phase_retrieval`. `x0`: the start, (hidden *
    features,), or a function of draw. ValueError: an argument out of its range.

    >>> import numpy as np
    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.teacher_student(
    ...     8, hidden=4, teacher=np.eye(2, 8), batch_size=4, x0=lambda draw: 0.3 * draw.gaussian()
    ... )
    >>> problem.value(np.concatenate([np.eye(2, 8)[::-1].ravel(), np.zeros(16)])).item()  # the teacher's, swapped
    0.0
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.03, horizon=1000, replicates=128)
    >>> bool(result.mean < 0.01)
    True
    """
    n = _validate.integer("features", features, lowest=1, highest=LARGEST_DIMENSION)
    k = _validate.integer("hidden", hidden, lowest=1, highest=min(_LARGEST_HIDDEN, LARGEST_DIMENSION // n))
    rows = _validate.real_array("teacher", teacher, FINITE)
    if rows.ndim != 2 or rows.shape[1] != n or rows.shape[0] > _LARGEST_HIDDEN:
        raise ValueError(
            f"teacher must have shape (units, {n}), at most {_LARGEST_HIDDEN} units, got shape {rows.shape}"
        )
    gram = rows @ rows.T

    def units(x: Any) -> list[Any]:
        return [x[j * n : (j + 1) * n] for j in range(k)]

    def f(x: Any) -> Any:
        w = units(x)
        square = sum(np.dot(p, p) ** 2 for p in w) + 2.0 * sum(
            np.dot(w[j], w[i]) ** 2 for i in range(k) for j in range(i)
        )
        across = sum(np.sum((rows @ p) ** 2) for p in w)
        trace = np.dot(x, x) - float(np.trace(gram))
        return 0.25 * (2.0 * (square - 2.0 * across + float(np.sum(gram**2))) + trace**2)

    def sample(x: Any, draw: Any) -> Any:
        a = draw.gaussian()[:n]
        outputs = [np.dot(p, a) for p in units(x)]
        error = sum(z**2 for z in outputs) - np.sum((rows @ a) ** 2)
        return np.concatenate([(error * z) * a for z in outputs])

    return Custom(
        f,
        x0=x0,
        dimension=k * n,
        oracle=_mean_of(sample, batch_size),
        minimum=0.0 if k >= np.linalg.matrix_rank(rows) else None,
    )


def _mean_of(sample: Callable[..., Any], batch_size: object) -> Callable[..., Any]:
    """The oracle that takes the mean of a batch; it has the parameters of the sample."""
    b = _validate.integer("batch_size", batch_size, lowest=1, highest=_LARGEST_BATCH)
    if b == 1:
        return sample

    @wraps(sample)
    def oracle(x: Any, draw: Any, **parameters: Any) -> Any:
        return sum(sample(x, draw, **parameters) for _ in range(b)) / b

    return oracle
