"""Minimisers of convex problems on data. SciPy is imported here only.

Means are over the rows of a `Design`, as it weights them. Every solver works in its coordinates, has a limit, and
returns a point only where what is missing to the minimum is at most `EXCESS` (1 + f): least squares by an orthogonal
decomposition, smooth losses by SciPy's trust-region Newton method with exact Hessian-vector products, the hinge loss by
an interior-point method (Mehrotra 1992) whose dual point bounds the minimum from below. A ball: the problem penalised
by mu / 2 |x|^2, with the multiplier mu that puts its minimiser on the sphere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import FloatArray
from .._extras import need
from .._locks import ProcessLock
from ._design import Design, negligible
from ._not_found import LostInRoundingError, NotFoundError

EXCESS = 1e-8  # of f over f* that is tolerated, relative to 1 + f*
_WANTED = 1e-12  # that is tried for
_GRADIENT = 1e-10  # to which the gradient's norm is brought, relative to that at the origin
_PRODUCTS = 20_000  # of a Hessian and a vector
_INTERIOR_STEPS = 200
_LOCK = ProcessLock()
_KNOWN: dict[tuple[Any, ...], float] = {}

Losses = Callable[[FloatArray], tuple[FloatArray, FloatArray]]  # of outputs z (n, k): losses (n,), derivatives (n, k)
Curvature = Callable[[FloatArray, FloatArray], FloatArray]  # of z and dz: the change of the derivatives along dz


def remembered(key: tuple[Any, ...], find: Callable[[], float]) -> float:
    """What `find` gives, found once for every key; one thread at a time."""
    with _LOCK:
        if key not in _KNOWN:
            _KNOWN[key] = find()
        return _KNOWN[key]


def _is_little(loss: float, missing: float) -> bool:
    return missing <= 0.5 * EXCESS * (1.0 + loss)


def _check(loss: float, missing: float) -> None:
    if not _is_little(loss, missing):
        raise NotFoundError(f"after a mean loss of {loss:.6g} up to {missing:.2g} is missing")


def check_rounding(value: float, expected: float) -> None:
    """Of f at a point that was found, and the same in the coordinates of the solver."""
    if not math.isfinite(value):
        raise NotFoundError("the minimiser is out of float64's range")
    if not _is_little(expected, abs(value - expected)):
        raise LostInRoundingError(
            f"at the minimiser f is {expected:.9g}, but {value:.9g} from X in float64; subtract the means of the "
            "columns of X, and leave out those that others make up"
        )


# --- squares ----------------------------------------------------------------------------------------------------------


def least_squares(design: Design, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """For a penalty B: the u of least |A u - y|^2 / (2 n) + |B u|^2 / 2."""
    linalg = need("data", "scipy.linalg")
    n, triangle = design.rows, design.triangle(y)

    def minimiser(penalty: FloatArray) -> FloatArray:
        rows = np.vstack([triangle[:, :-1], math.sqrt(n) * penalty])
        sizes = np.linalg.norm(rows, axis=0)
        sizes[sizes == 0] = 1.0
        rows /= sizes
        options = {"cond": rows.shape[0] * np.finfo(np.float64).eps, "lapack_driver": "gelsy"}
        right = np.append(triangle[:, -1], np.zeros(design.width))
        u = np.asarray(linalg.lstsq(rows, right, **options)[0]) / sizes
        residual = design.outputs(u) - y
        gradient = design.pull(design.weights * residual) / n + penalty.T @ (penalty @ u)
        # What a Newton step would gain.
        gain = linalg.lstsq(rows.T, gradient / sizes, **options)[0]
        _check(0.5 * float(np.mean(design.weights * residual**2)), 0.5 * n * float(gain @ gain))
        return np.asarray(u)

    return minimiser


# --- smooth losses ----------------------------------------------------------------------------------------------------


def smooth(design: Design, outputs: int, losses: Losses, curvature: Curvature) -> Callable[[FloatArray], FloatArray]:
    """For a penalty B: the u (width, outputs) of least mean(losses(A u)) + |B u|^2 / 2."""
    return lambda penalty: _newton(design, outputs, losses, curvature, penalty)


def _newton(design: Design, outputs: int, losses: Losses, curvature: Curvature, root: FloatArray) -> FloatArray:
    optimize, sparse = need("data", "scipy.optimize"), need("data", "scipy.sparse.linalg")
    n, shape, weights, penalty = design.rows, (design.width, outputs), design.weights, root.T @ root
    # At the origin the Hessian has a diagonal of 1 in these coordinates.
    unit = np.eye(1, outputs)
    sizes = np.sqrt(float(curvature(0.0 * unit, unit)[0, 0]) + np.diag(penalty))[:, None]
    at: dict[bytes, FloatArray] = {}  # A u of the last point
    products = 0

    def outputs_at(t: FloatArray) -> FloatArray:
        key = t.tobytes()
        if key not in at:
            at.clear()
            at[key] = design.outputs(t.reshape(shape) / sizes)
        return np.asarray(at[key])

    def value_and_gradient(t: FloatArray) -> tuple[float, FloatArray]:
        u = t.reshape(shape) / sizes
        loss, slopes = losses(outputs_at(t))
        pulled = penalty @ u
        gradient = (design.pull(weights[:, None] * slopes) / n + pulled) / sizes
        return float((weights * loss).mean() + 0.5 * np.sum(u * pulled)), gradient.ravel()

    def hessian_product(t: FloatArray, along: FloatArray) -> FloatArray:
        nonlocal products
        products += 1
        if products > _PRODUCTS:
            raise NotFoundError(f"no convergence within {_PRODUCTS} Hessian-vector products")
        du = along.reshape(shape) / sizes
        change = curvature(outputs_at(t), design.outputs(du))
        curved: FloatArray = design.pull(weights[:, None] * change) / n
        return np.asarray((curved + penalty @ du) / sizes).ravel()

    def stop_at_zero(intermediate_result: Any) -> None:
        if intermediate_result.fun <= 0.1 * EXCESS:  # f* >= 0
            raise StopIteration

    start = np.zeros(design.width * outputs)
    slope = float(np.linalg.norm(value_and_gradient(start)[1]))
    t = optimize.minimize(
        value_and_gradient,
        start,
        jac=True,
        hessp=hessian_product,
        method="trust-ncg",
        callback=stop_at_zero,
        options={"gtol": _GRADIENT * max(slope, 1e-300), "maxiter": 2000},
    ).x
    loss = float((weights * losses(outputs_at(t))[0]).mean())
    value, gradient = value_and_gradient(t)
    hessian = sparse.LinearOperator((t.size, t.size), matvec=lambda v: hessian_product(t, v))

    def gain(gradient: FloatArray) -> float:
        """What one more Newton step would bring."""
        direction, unfinished = sparse.cg(hessian, gradient, maxiter=min(10 * t.size, 2000))
        gained = 0.5 * float(gradient @ direction)
        return max(gained, float(np.linalg.norm(gradient) * np.linalg.norm(t))) if unfinished else gained

    if value > 0.1 * EXCESS:
        missing = gain(gradient)
        if not _is_little(loss, missing):
            # Only rounding is along what changes neither outputs nor penalty, and the step would be without end.
            curved, axes = np.linalg.eigh(curvature(np.zeros((outputs, outputs)), np.eye(outputs)))
            flat = negligible(curved[::-1], outputs)[::-1]
            parts = gradient.reshape(shape) @ axes
            parts[:, flat] = _seen(root / sizes.T, parts[:, flat])
            rows = np.vstack([design.triangle(np.zeros(n))[:, :-1] / math.sqrt(n), root]) / sizes.T
            parts[:, ~flat] = _seen(rows, parts[:, ~flat])
            missing = gain((parts @ axes.T).ravel())
        _check(loss, missing)
    return np.asarray(t.reshape(shape) / sizes)


def _seen(matrix: FloatArray, vectors: FloatArray) -> FloatArray:
    """The vectors less what the matrix, up to its rounding, takes to 0."""
    _, singular, right = np.linalg.svd(matrix, full_matrices=False)
    unseen = right[negligible(singular, len(matrix))]
    return np.asarray(vectors - unseen.T @ (unseen @ vectors))


# --- the hinge loss ---------------------------------------------------------------------------------------------------


def hinge(design: Design, signs: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """For a penalty B: the u of least mean(max(0, 1 - signs A u)) + |B u|^2 / 2."""
    return lambda penalty: _InteriorPoint(design, signs, design.rows * (penalty.T @ penalty)).run()


class _InteriorPoint:
    """min sum(weights loss) + u.Q u / 2 over loss >= 0 and slack = loss - 1 + signs A u >= 0.

    With multipliers a of the second and b = weights - a of the first the dual problem is max sum(a) - u.Q u / 2 where
    Q u = A^T (signs a). All four stay positive, their products with loss and slack go to 0 together.
    """

    def __init__(self, design: Design, signs: FloatArray, Q: FloatArray) -> None:
        n = design.rows
        self.design, self.signs, self.Q = design, signs, Q
        self.u, self.margins = np.zeros(design.width), np.zeros(n)
        self.loss, self.slack = np.full(n, 1.5), np.full(n, 0.5)
        self.a, self.b = 0.5 * design.weights, 0.5 * design.weights

    def run(self) -> FloatArray:
        n = self.design.rows
        best, least, gap = self.u, float(n), math.inf
        for _ in range(_INTERIOR_STEPS):
            pulled = self.Q @ self.u
            residual = pulled - self.design.pull(self.signs * self.a)
            hinges = float((self.design.weights * np.maximum(0.0, 1.0 - self.margins)).sum())
            infeasible = 2.0 * float(np.linalg.norm(residual) * np.linalg.norm(self.u))
            missing = hinges - float(self.a.sum() - self.u @ pulled) + infeasible
            if missing < gap:
                best, least, gap = self.u, hinges, missing
            apart = float(self.a @ self.slack + self.b @ self.loss)
            if min(gap, 100.0 * apart) <= _WANTED * (n + least) or not self._advance(residual, apart):
                break
        _check(least / n, gap / n)
        return best

    def _advance(self, residual: FloatArray, apart: float) -> bool:
        """Mehrotra's predictor and corrector; whether the linear system could be solved."""
        linalg = need("data", "scipy.linalg")
        a, b, loss, slack = self.a, self.b, self.loss, self.slack
        weights = 1.0 / (loss / b + slack / a)
        matrix = self.design.gram(weights) + self.Q
        diagonal = np.einsum("ii->i", matrix)
        diagonal += 1e-12 * diagonal + 1e-14 * diagonal.max()
        try:
            factor = linalg.cho_factor(matrix)
        except np.linalg.LinAlgError:
            return False

        def direction(of_slack: FloatArray, of_loss: FloatArray) -> tuple[FloatArray, ...]:
            """Along which a slack and b loss change by these."""
            right = of_slack / a - of_loss / b
            du = linalg.cho_solve(factor, self.design.pull(self.signs * weights * right) - residual)
            d_margins = self.signs * self.design.outputs(du)
            da = weights * (right - d_margins)
            return du, d_margins, da, (of_slack - slack * da) / a, (of_loss + loss * da) / b

        *_, da, d_slack, d_loss = direction(-a * slack, -b * loss)
        length = _inside((a, da), (b, -da), (slack, d_slack), (loss, d_loss))
        then = (a + length * da) @ (slack + length * d_slack) + (b - length * da) @ (loss + length * d_loss)
        centre = (float(then) / apart) ** 3 * apart / (2 * a.size)
        corrected = direction(centre - a * slack - da * d_slack, centre - b * loss + da * d_loss)
        du, d_margins, da, d_slack, d_loss = corrected
        length = 0.995 * _inside((a, da), (b, -da), (slack, d_slack), (loss, d_loss))
        self.u, self.margins = self.u + length * du, self.margins + length * d_margins
        self.a, self.b = a + length * da, b - length * da
        self.slack, self.loss = slack + length * d_slack, loss + length * d_loss
        return True


def _inside(*pairs: tuple[FloatArray, FloatArray]) -> float:
    """The largest step up to 1 that leaves all numbers >= 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return min(1.0, *(float(np.min(np.where(d < 0, -v / d, np.inf))) for v, d in pairs))


# --- a ball -----------------------------------------------------------------------------------------------------------


def in_ball(
    minimiser: Callable[[float], tuple[FloatArray, float]],
    value: Callable[[FloatArray], float],
    slope: float,
    radius: float,
) -> FloatArray:
    """The minimiser of f with |x| <= radius, from those of f + mu / 2 |x|^2 and f there; `slope`: |f'(0)|."""
    low = max(_WANTED / radius / radius, 1e-300)  # changes f* by less than that
    x, _ = minimiser(low)
    if np.linalg.norm(x) <= radius:
        return x
    best, lowest, gap = x, math.inf, math.inf

    def beyond(log_mu: float) -> float:
        nonlocal best, lowest, gap
        mu = math.exp(log_mu)
        x, outside = minimiser(mu)
        norm = float(np.linalg.norm(x))
        inside = x * min(1.0, radius / norm)
        reached = value(inside)
        # f(x) + mu / 2 (|x|^2 - radius^2) is a lower bound of f*.
        missing = reached - outside - 0.5 * mu * (norm - radius) * (norm + radius)
        if missing < gap:
            best, lowest, gap = inside, reached, missing
        return 0.0 if missing <= _WANTED * (1.0 + reached) else norm - radius

    # mu |x| <= |f'(0)|, since f' is monotone.
    need("data", "scipy.optimize").brentq(beyond, math.log(low), math.log(1.001 * slope / radius), xtol=1e-13)
    _check(lowest, gap)
    return best
