"""Minima of the convex problems on data, from well-known solvers. SciPy and scikit-learn are imported here only.

Smooth losses: a trust-region Newton method with exact Hessian-vector products. Hinge loss: a linear programme, or a
dual coordinate solver where weights are penalised. A ball: the problem penalised by mu / 2 |x|^2 with the multiplier mu
that puts its minimiser on the sphere.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import FloatArray
from ._dataset import CHUNK

if TYPE_CHECKING:
    from ._data import DataProblem

_GRADIENT = 1e-10  # to which the gradient's norm is brought, relative to that at the origin
_EXCESS = 1e-8  # of f over f* that is tolerated, relative to 1 + f*
_LOCK = threading.Lock()
_KNOWN: dict[tuple[Any, ...], float] = {}

_ADVICE = "with l2 > 0 or a ball it is easier to find; metric='loss' needs none"


def minimum(problem: DataProblem) -> float:
    """f* of a convex problem on data, remembered by content; one thread at a time, solvers change global settings."""
    with _LOCK:
        return _minimum(problem)


def _minimum(problem: DataProblem) -> float:
    name = type(problem).__name__
    key = (name, problem._train.digest, problem.l2, problem.intercept, problem.projection)
    if key not in _KNOWN:
        find = _hinge_minimiser if name == "HingeLoss" else _smooth_minimiser
        x = find(problem, 0.0)
        lowest = float(problem.value(x))
        radius = math.inf if problem.projection is None else problem.projection[1]
        if np.linalg.norm(x) > radius:
            # A multiplier below this changes f* by less than _EXCESS.
            negligible = 2.0 * _EXCESS * (1.0 + lowest) / radius**2
            on_sphere = _on_sphere(lambda mu: find(problem, mu), radius, negligible)
            lowest = lowest if on_sphere is None else float(problem.value(on_sphere))
        _KNOWN[key] = lowest
    return _KNOWN[key]


def _on_sphere(minimiser: Callable[[float], FloatArray], radius: float, negligible: float) -> FloatArray | None:
    """The minimiser of norm `radius`; None where even a negligible mu brings it inside: minimisers are not unique."""
    brentq = _scipy_optimize().brentq
    high = 1.0
    while np.linalg.norm(minimiser(high)) > radius:
        high *= 8.0
    low = high
    while np.linalg.norm(minimiser(low)) < radius:
        if low < negligible:
            return None
        low /= 8.0
    log_mu = brentq(
        lambda log_mu: float(np.linalg.norm(minimiser(math.exp(log_mu)))) - radius,
        math.log(low),
        math.log(high * 1.001),
        xtol=1e-13,
    )
    x = minimiser(math.exp(log_mu))
    return x * (radius / float(np.linalg.norm(x)))


def _scipy_optimize() -> Any:
    try:
        import scipy.optimize
    except ImportError:
        text = f"the minimum of a problem on data needs SciPy: pip install 'anneal_sgd[data]'; {_ADVICE}"
        raise ImportError(text) from None
    return scipy.optimize


def _smooth_minimiser(problem: DataProblem, mu: float) -> FloatArray:
    """Of f + mu / 2 |x|^2."""
    if type(problem).__name__ == "LeastSquares":
        return _least_squares(problem, mu)
    optimize = _scipy_optimize()

    def value_and_gradient(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = problem._value_and_gradient(x)
        return value + 0.5 * mu * float(x @ x), gradient + mu * x

    start = np.zeros(problem.dimension)
    scale = float(np.linalg.norm(value_and_gradient(start)[1]))
    x = optimize.minimize(
        value_and_gradient,
        start,
        jac=True,
        hessp=lambda x, v: _hessian_product(problem, x, v) + mu * v,
        method="trust-ncg",
        options={"gtol": _GRADIENT * max(scale, 1e-300), "maxiter": 2000},
    ).x
    value, gradient = value_and_gradient(x)
    # What one more Newton step would gain is what is missing.
    from scipy.sparse.linalg import LinearOperator, cg

    hessian = LinearOperator((x.size, x.size), matvec=lambda v: _hessian_product(problem, x, v) + mu * v)
    direction, _ = cg(hessian, gradient, maxiter=2 * x.size)
    missing = 0.5 * float(gradient @ direction)
    if not (math.isfinite(missing) and missing <= _EXCESS * (1.0 + value)):
        raise _not_found(problem, f"after {value!r} another {missing:.2g} is missing")
    return np.asarray(x)


def _hessian_product(problem: DataProblem, x: FloatArray, v: FloatArray) -> FloatArray:
    """Of f, for linear models."""
    ((weights, intercept),) = problem._layers(x)
    ((along, along_intercept),) = problem._layers(v)
    product = np.zeros_like(x)
    ((into, into_intercept),) = problem._layers(product)
    n = problem._train.rows
    step = max(1, CHUNK // problem._train.columns)
    for first in range(0, n, step):
        rows = np.asarray(problem.X[first : first + step], np.float64)
        z, dz = rows @ weights.T, rows @ along.T
        if intercept is not None and along_intercept is not None:
            z, dz = z + intercept, dz + along_intercept
        if weights.shape[0] == 1:
            with np.errstate(over="ignore"):
                curved = dz / ((1.0 + np.exp(z)) * (1.0 + np.exp(-z)))
        else:
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            curved = p * (dz - np.sum(p * dz, axis=1, keepdims=True))
        into += curved.T @ rows / n
        if into_intercept is not None:
            into_intercept += curved.sum(axis=0) / n
    into += problem.l2 * along
    return product


def _design(problem: DataProblem) -> FloatArray:
    X = np.asarray(problem.X, np.float64)
    return np.column_stack([X, np.ones(X.shape[0])]) if problem.intercept else X


def _penalties(problem: DataProblem, mu: float) -> FloatArray:
    """Of every coordinate: l2 leaves the intercept alone."""
    penalties = np.full(problem.dimension, problem.l2 + mu)
    if problem.intercept:
        penalties[-1] = mu
    return penalties


def _least_squares(problem: DataProblem, mu: float) -> FloatArray:
    A, n = _design(problem), problem._train.rows
    penalties = np.sqrt(n * _penalties(problem, mu))
    rows = np.diag(penalties)[penalties > 0]
    solution = np.linalg.lstsq(np.vstack([A, rows]), np.concatenate([problem.y, np.zeros(len(rows))]), rcond=None)[0]
    return np.asarray(solution)


def _hinge_minimiser(problem: DataProblem, mu: float) -> FloatArray:
    penalties, n = _penalties(problem, mu), problem._train.rows
    if not penalties.any():
        return _hinge_programme(problem)
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import SVC, LinearSVC
    except ImportError:
        raise ImportError(
            f"the minimum of a penalised hinge loss needs scikit-learn: pip install 'anneal_sgd[data]'; {_ADVICE}"
        ) from None
    cost = 1.0 / (n * float(penalties[0]))
    if not math.isfinite(cost):
        raise _not_found(problem, "the penalty is too small")
    if penalties.all():
        # Columns scaled so that all coordinates are penalised alike.
        scale = np.sqrt(penalties[0] / penalties)
        machine = LinearSVC(loss="hinge", dual=True, fit_intercept=False, C=cost, tol=1e-10, random_state=0)
        machine.set_params(max_iter=10**6)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                machine.fit(_design(problem) * scale, problem.y)
            except ConvergenceWarning:
                raise _not_found(problem, "the solver did not converge") from None
        return np.asarray(machine.coef_[0] * scale)
    signed = np.asarray(problem.X, np.float64) * problem.y[:, None]
    machine = SVC(kernel="linear", C=cost, tol=1e-10, cache_size=1000)
    machine.fit(np.asarray(problem.X, np.float64), problem.y)
    alpha = np.zeros(n)
    alpha[machine.support_] = np.abs(machine.dual_coef_[0])
    alpha = _on_margin(signed, problem.y, alpha, cost)
    weights = alpha @ signed
    # The best intercept for these weights: every breakpoint adds 1 to a slope that begins at minus the positive labels.
    breakpoints = np.sort(problem.y * (1.0 - signed @ weights))
    x = np.append(weights, breakpoints[int((problem.y > 0).sum()) - 1])
    # The dual coefficients bound the minimum from below.
    dual = (alpha.sum() - 0.5 * float(weights @ weights)) / (n * cost)
    losses = np.maximum(0.0, 1.0 - signed @ weights - problem.y * x[-1])
    primal = float(losses.mean() + 0.5 * penalties[0] * (weights @ weights))
    if not primal - dual <= _EXCESS * (1.0 + primal):
        raise _not_found(problem, f"after {primal!r} up to {primal - dual:.2g} is missing")
    return x


def _on_margin(signed: FloatArray, y: FloatArray, alpha: FloatArray, cost: float) -> FloatArray:
    """Dual coefficients to the last digit: libsvm's kernel has single precision, but it knows which are at a bound.

    Those between the bounds solve signed w + y b = 1 for their rows, with sum(alpha y) = 0.
    """
    free = (alpha > 0.0) & (alpha < cost)
    bound = np.where(free, 0.0, alpha)
    Z, sides, m = signed[free], y[free], int(free.sum())
    system = np.zeros((m + 1, m + 1))
    system[:m, :m], system[:m, m], system[m, :m] = Z @ Z.T, sides, sides
    right = np.append(1.0 - Z @ (bound @ signed), -bound @ y)
    solution = np.linalg.lstsq(system, right, rcond=None)[0][:m]
    refined = bound.copy()
    refined[free] = np.clip(solution, 0.0, cost)
    balanced = abs(refined @ y) <= 1e-9 * cost
    return refined if balanced else alpha


def _not_found(problem: DataProblem, reason: str) -> ValueError:
    return ValueError(f"the minimum of {problem!r} was not found: {reason}; {_ADVICE}")


def _hinge_programme(problem: DataProblem) -> FloatArray:
    """min mean(s) over s >= 0, s_i >= 1 - y_i z_i."""
    optimize = _scipy_optimize()
    from scipy.sparse import csr_array, eye_array, hstack

    A, n = _design(problem) * problem.y[:, None], problem._train.rows
    d = A.shape[1]
    solution = optimize.linprog(
        np.concatenate([np.zeros(d), np.full(n, 1.0 / n)]),
        A_ub=hstack([csr_array(-A), -eye_array(n)]),
        b_ub=np.full(n, -1.0),
        bounds=[(None, None)] * d + [(0.0, None)] * n,
        method="highs",
    )
    if solution.x is None:
        raise _not_found(problem, solution.message)
    return np.asarray(solution.x[:d])
