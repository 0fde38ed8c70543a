"""The largest of linear functions: where a fixed stepsize loses a logarithm, and regression by the largest residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _validate
from .._extras import need
from .._validate import FINITE
from ._custom import Custom
from ._test_functions import Around

if TYPE_CHECKING:
    from typing_extensions import Unpack

_LONGEST = 4096  # the matrix has the square of it elements


def hard_max_of_linear(horizon: int, *, schedule: str = "constant", **around: Unpack[Around]) -> Custom:
    """A function on which the last of T steps is worse than the average by log T (Harvey et al., arXiv 1812.05217).

    In d = T dimensions, from $x_0 = 0$,

        f(x) = max_{i = 1 .. T+1} h_i . x,   h_i = (a_1, ..., a_{i-1}, -b_i, 0, ..., 0),   a_j = 1 / (8 (T - j + 1)).

    Step t finds all h_i with i >= t equal and takes the first of them, as `Custom` does, goes lr b_t along coordinate
    t, and takes some of it back in every later step. `schedule`: that which the function is hard for: "inverse_sqrt",
    $b_j = sqrt(j / T) / 2$, the paper's, in which f(x_T) - f* >= log T / (32 sqrt T) with the learning rates
    $1 / sqrt t$ of step t = 1 .. T; or "constant", $b_j = 1 / 2$, its counterpart for a fixed one: there the error is

        lr sum_j a_j (1/2 - (T - j) a_j) ~ (3 / 64) lr log T.

    All |h_i| <= 1, f* = f(0) = 0, and it is homogeneous: with k times the learning rate the error is k times as large.
    Noise, which `Custom` takes, breaks the ties and so the construction. T from 1 to 4096: a step costs T^2
    operations, and T = 4096 1.3 GB.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.hard_max_of_linear(64)
    >>> result = simulate(
    ...     problem, schedules.Constant(), base_lr=1.0, horizon=64, replicates=1, iterate=["last", "average"]
    ... )
    >>> result.mean.round(4).tolist()
    [0.2478, 0.0553]
    """
    T = _validate.integer("horizon", horizon, lowest=1, highest=_LONGEST)
    kind = _validate.choice("schedule", schedule, ("constant", "inverse_sqrt"))
    j = np.arange(1.0, T + 1.0)
    b = np.full(T, 0.5) if kind == "constant" else np.sqrt(j / T) / 2.0
    rows = np.tril(np.broadcast_to(1.0 / (8.0 * (T - j + 1.0)), (T + 1, T)), -1) - np.eye(T + 1, T) * b
    return Custom(lambda x: np.max(rows @ x), x0=np.zeros(T), minimum=0.0, **around)


def linf_regression(
    X: ArrayLike, y: ArrayLike, *, x0: ArrayLike | Callable[..., Any] = 0.0, **around: Unpack[Around]
) -> Custom:
    """Regression by the largest residual (Chebyshev's), $f(x) = max_i |X_i . x - y_i|$.

    `X`: (n, d), `y`: (n,). The gradient is that of the first row whose residual is largest; `x0`, `noise`, `noise_std`
    and `projection` are those of `Custom`. f* over the whole space is that of a linear program (SciPy's HiGHS), to
    about 1e-7 of its scale. ValueError: arrays that do not fit, or an argument that `Custom` refuses. ImportError:
    SciPy is not there.

    >>> from anneal_sgd import problems, schedules, simulate
    >>> problem = problems.linf_regression([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0.0, 1.0, 1.0])
    >>> round(problem.minimum, 6), problem.value([0.25, 0.5]).item()
    (0.25, 0.25)
    >>> result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=1000, replicates=1)
    >>> bool(result.mean < 0.001)
    True
    """
    A = _validate.real_array("X", X, FINITE)
    if A.ndim != 2:
        raise ValueError(f"X must have shape (n, d), got shape {A.shape}")
    n, d = A.shape
    target = _validate.real_array("y", y, FINITE, ndim=1)
    if target.size != n:
        raise ValueError(f"y must have shape ({n},), one number for each row of X, got shape {target.shape}")
    below = np.hstack([A, np.full((n, 1), -1.0)])  # of (x, r): X x - r <= y and -X x - r <= -y
    above = np.hstack([-A, np.full((n, 1), -1.0)])
    found = need("data", "scipy.optimize").linprog(
        np.append(np.zeros(d), 1.0),
        A_ub=np.vstack([below, above]),
        b_ub=np.concatenate([target, -target]),
        bounds=[(None, None)] * d + [(0.0, None)],
        method="highs",
    )
    lowest = float(np.abs(A @ found.x[:d] - target).max())
    return Custom(lambda x: np.max(np.abs(A @ x - target)), x0=x0, dimension=d, minimum=lowest, **around)
