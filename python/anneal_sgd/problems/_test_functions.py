"""Test functions of the literature on optimisation: a quadratic with a full matrix, and four with valleys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._arrays import short
from .._validate import FINITE
from ._base import LARGEST_DIMENSION, ROUNDING, Projection
from ._custom import Custom, of_dimension
from ._sets import numbers_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Around(TypedDict, total=False):
    """What surrounds a test function, as `Custom` takes it: the noise of its gradient, and the set."""

    noise: Callable[..., Any] | str
    noise_std: ArrayLike | None
    projection: Projection | Callable[..., Any] | str


_STYBLINSKI_TANG = -2.9035340277711770951  # where its derivative 4 t^3 - 32 t + 5 vanishes first


def quadratic_form(
    matrix: ArrayLike,
    *,
    minimiser: ArrayLike = 0.0,
    x0: ArrayLike | Callable[..., Any] = 1.0,
    **around: Unpack[Around],
) -> Custom:
    """A quadratic with a full matrix A, symmetric and positive semidefinite: $f(x) = (x - m) . A (x - m) / 2$.

    `matrix` is A, (d, d), `minimiser` m, a number or (d,). `x0`, `noise`, `noise_std` and `projection` are those of
    `Custom`; noise is per coordinate, so that it does not follow the axes of A. A step costs d^2 operations: with a
    diagonal A take `Quadratic`. On the whole space f* = 0; with a projection it is 0 as long as m is in the set, which
    is not checked. ValueError: a matrix that is not as above, or an argument that `Custom` refuses.

    A spectrum in a random frame:

    >>> import numpy as np
    >>> from anneal_sgd import problems, schedules, simulate
    >>> frame, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))
    >>> problem = problems.quadratic_form(
    ...     frame * [1.0, 0.5, 0.2, 0.1, 0.05] @ frame.T, minimiser=3.0, noise="gaussian", noise_std=0.1
    ... )
    >>> problem.gradient([3.0] * 5).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.5, horizon=1000, replicates=256)
    >>> bool(result.mean < 0.002)
    True
    """
    A = _validate.real_array("matrix", matrix, FINITE)
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"matrix must have shape (d, d), got shape {A.shape}")
    scale = float(np.abs(A).max())
    if np.abs(A - A.T).max() > ROUNDING * scale:
        i, j = (int(k) for k in np.unravel_index(np.abs(A - A.T).argmax(), A.shape))
        raise ValueError(
            f"matrix must be symmetric, got {short(A[i, j])} at ({i}, {j}), {short(A[j, i])} at ({j}, {i})"
        )
    lowest = float(np.linalg.eigvalsh(A)[0])
    if lowest < -ROUNDING * scale * len(A):
        raise ValueError(f"matrix must be positive semidefinite, got an eigenvalue {short(lowest)}")
    A = (A + A.T) / 2.0
    m = of_dimension("minimiser", numbers_of("minimiser", minimiser, FINITE), len(A))
    return Custom(
        lambda x: 0.5 * np.dot(x - m, A @ (x - m)),
        gradient=lambda x: A @ (x - m),
        x0=x0,
        dimension=len(A),
        minimum=0.0,
        **around,
    )


def rosenbrock(dimension: int, *, x0: ArrayLike | Callable[..., Any] = 0.0, **around: Unpack[Around]) -> Custom:
    """Rosenbrock's valley in d >= 2 dimensions, $f(x) = sum_{i<d} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2$.

    Minimal, 0, at (1, ..., 1); for 4 <= d there is a local minimum near (-1, 1, ..., 1) too. (Rosenbrock, 1960; the
    chained form of SciPy's `optimize.rosen`.) `x0`, `noise`, `noise_std` and `projection` are those of `Custom`.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.rosenbrock(10, noise="gaussian", noise_std=0.1)
    >>> problem.value([[1.0] * 10, [0.0] * 10]).tolist()
    [0.0, 9.0]
    >>> result = simulate(problem, schedules.Cosine(), base_lr=1e-3, horizon=10_000, replicates=128)
    >>> bool(result.mean < 1.0)
    True
    """
    return _function(
        lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2), dimension, 0.0, x0, around, lowest=2
    )


def rastrigin(dimension: int, *, x0: ArrayLike | Callable[..., Any] = 0.0, **around: Unpack[Around]) -> Custom:
    """Rastrigin's function, a parabola with a valley near every point of whole numbers: minimal, 0, at 0.

        f(x) = sum_i x_i^2 + 10 - 10 cos(2 pi x_i).

    (Rastrigin, 1974.) `x0`, `noise`, `noise_std` and `projection` are those of `Custom`.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.rastrigin(2, x0=[0.6, -0.2], noise="gaussian", noise_std=1.0)
    >>> result = simulate(problem, schedules.Linear(), base_lr=2e-3, horizon=1000, replicates=128, keep_iterates=True)
    >>> abs(result.iterates.mean(axis=0).round()).tolist()  # the nearest valley, not the deepest
    [1.0, 0.0]
    """
    return _function(lambda x: np.sum(x**2 + 10.0 - 10.0 * np.cos((2.0 * math.pi) * x)), dimension, 0.0, x0, around)


def ackley(dimension: int, *, x0: ArrayLike | Callable[..., Any] = 1.0, **around: Unpack[Around]) -> Custom:
    """Ackley's function, nearly flat far away and with a kink at its minimum, 0 at 0:

        f(x) = 20 - 20 exp(-0.2 sqrt(mean x_i^2)) + e - exp(mean cos(2 pi x_i)).

    (Ackley, 1987.) At 0 itself the gradient has no value. `x0`, `noise`, `noise_std` and `projection` are those of
    `Custom`.

    >>> from anneal_sgd import problems
    >>> problem = problems.ackley(2)
    >>> problem.value([[1.0, 1.0], [1e-9, 0.0]]).round(3).tolist()
    [3.625, 0.0]
    """
    return _function(
        lambda x: (
            (20.0 + math.e)
            - 20.0 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
            - np.exp(np.mean(np.cos((2.0 * math.pi) * x)))
        ),
        dimension,
        0.0,
        x0,
        around,
    )


def styblinski_tang(dimension: int, *, x0: ArrayLike | Callable[..., Any] = 0.0, **around: Unpack[Around]) -> Custom:
    """Two valleys in every coordinate, of different depth: $f(x) = sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2$.

    Minimal, -39.166 d, where all coordinates are -2.9035; at 2.7468 there is the other valley. (Styblinski and Tang,
    1990.) `x0`, `noise`, `noise_std` and `projection` are those of `Custom`.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.styblinski_tang(4, noise="gaussian", noise_std=10.0)
    >>> round(problem.minimum, 3)
    -156.665
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.01, horizon=1000, replicates=512, keep_samples=True)
    >>> bool(result.quantile(0.1) < 0.5 < result.quantile(0.9))  # some find it
    True
    """

    def one(t: Any) -> Any:
        return 0.5 * (t**4 - 16.0 * t**2 + 5.0 * t)

    d = _validate.integer("dimension", dimension, lowest=1, highest=LARGEST_DIMENSION)
    return _function(lambda x: np.sum(one(x)), d, d * one(_STYBLINSKI_TANG), x0, around)


def _function(
    f: Callable[..., Any],
    dimension: int,
    minimum: float,
    x0: ArrayLike | Callable[..., Any],
    around: Around,
    lowest: int = 1,
) -> Custom:
    d = _validate.integer("dimension", dimension, lowest=lowest, highest=LARGEST_DIMENSION)
    return Custom(f, x0=x0, dimension=d, minimum=minimum, **around)
