"""Minima of problems on data: against other solvers, exact arithmetic and identities; at every scale; interrupted."""

from __future__ import annotations

import math
import pickle
import signal
import subprocess
import sys
import time
import warnings
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from anneal_sgd import schedules, simulate
from anneal_sgd.problems import (
    MLP,
    HingeLoss,
    LeastSquares,
    LinearModel,
    LogisticRegression,
    SoftmaxRegression,
    _minimum,
)
from test_data_problems import LINEAR, each_linear, each_variant

N, D = 40, 3
RNG = np.random.default_rng(5)
X, WIDE = RNG.normal(size=(N, D)), RNG.normal(size=(8, 15))
Z = X @ [1.0, -2.0, 0.5] + RNG.normal(size=N)
SIGNS, CLASSES = np.where(Z > 0, 1.0, -1.0), np.digitize(Z, [-1.0, 1.0])
TARGETS = {LeastSquares: Z, LogisticRegression: SIGNS, HingeLoss: SIGNS, SoftmaxRegression: CLASSES, MLP: CLASSES}


def make(kind=LogisticRegression, *, X=X, y=None, **arguments):
    return kind(X, TARGETS[kind] if y is None else y, **arguments)


def scikit_learn(problem):
    """Its minimiser, as a point."""
    linear_model, svm = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("sklearn.svm")
    C, common = 1 / (N * problem.l2) if problem.l2 else math.inf, {"fit_intercept": problem.intercept}
    if isinstance(problem, LeastSquares):
        fitted = linear_model.Ridge(alpha=1 / C, **common) if problem.l2 else linear_model.LinearRegression(**common)
    elif not isinstance(problem, HingeLoss):
        fitted = linear_model.LogisticRegression(C=C, tol=1e-9, max_iter=10_000, **common)
    elif problem.intercept:
        fitted = svm.SVC(kernel="linear", C=C, tol=1e-9)
    else:
        fitted = svm.LinearSVC(loss="hinge", C=C, tol=1e-9, max_iter=10**6, random_state=0, **common)
    fitted.fit(problem.X, problem.y)
    return np.concatenate([np.ravel(fitted.coef_), np.ravel(fitted.intercept_) if problem.intercept else []])


def slsqp(problem):
    """The minimum by SciPy's SLSQP; of the hinge loss by slack variables s >= 0, s >= 1 - y z."""
    optimize = pytest.importorskip("scipy.optimize")
    d, n = problem.dimension, len(problem.y)
    start, slope, value, bounds, limits = np.zeros(d), problem.gradient, problem.value, None, []
    if problem.projection:
        limits.append(
            (lambda v: problem.projection[1] ** 2 - v[:d] @ v[:d], lambda v: -2 * v * (np.arange(v.size) < d))
        )
    if isinstance(problem, HingeLoss):
        rows = np.column_stack([problem.X, np.ones(n)])[:, :d] * problem.y[:, None]
        penalties, mean = np.zeros(d + n), np.repeat([0.0, 1 / n], [d, n])
        penalties[: problem.X.shape[1]] = problem.l2
        start, bounds, slopes = mean * n, [(None, None)] * d + [(0.0, None)] * n, np.hstack([rows, np.eye(n)])
        limits.append((lambda v: slopes @ v - 1, lambda v: slopes))
        value, slope = (lambda v: mean @ v + penalties @ v**2 / 2), (lambda v: mean + penalties * v)
    constraints = [{"type": "ineq", "fun": fun, "jac": jac} for fun, jac in limits]
    options = {"bounds": bounds, "constraints": constraints, "options": {"ftol": 1e-15, "maxiter": 1000}}
    return optimize.minimize(value, start, jac=slope, method="SLSQP", **options).fun


def programme(X, signs, *, intercept):
    """The minimum of the hinge loss without a penalty, by HiGHS, and its weights."""
    optimize = pytest.importorskip("scipy.optimize")
    A = np.column_stack([X, np.ones(len(X))][: 1 + intercept]) * signs[:, None]
    n, d = A.shape
    found = optimize.linprog(
        np.repeat([0.0, 1 / n], [d, n]),
        A_ub=-np.hstack([A, np.eye(n)]),
        b_ub=-np.ones(n),
        bounds=[(None, None)] * d + [(0, None)] * n,
    )
    return found.fun, found.x[: X.shape[1]]


def exact_least_squares(X, y, *, l2, intercept):
    """The minimum, from the normal equations in rational numbers."""
    rows = [[Fraction(v) for v in row] + [Fraction(1)] * intercept for row in X.tolist()]
    targets, n, d = [Fraction(v) for v in y.tolist()], len(rows), len(rows[0])
    system = [
        [sum(r[i] * r[j] for r in rows) + (i == j < X.shape[1]) * n * Fraction(l2) for j in range(d)]
        + [sum(r[i] * t for r, t in zip(rows, targets, strict=True))]
        for i in range(d)
    ]
    for i in range(d):
        pivot = next(k for k in range(i, d) if system[k][i])
        system[i], system[pivot] = system[pivot], system[i]
        system[i] = [v / system[i][i] for v in system[i]]
        for k in range(d):
            if k != i:
                system[k] = [v - system[k][i] * w for v, w in zip(system[k], system[i], strict=True)]
    x = [row[-1] for row in system]
    squares = sum((sum(a * b for a, b in zip(r, x, strict=True)) - t) ** 2 for r, t in zip(rows, targets, strict=True))
    return float(squares / (2 * n) + Fraction(l2) * sum(w * w for w in x[: X.shape[1]]) / 2)


# --- against other solvers --------------------------------------------------------------------------------------------


@each_variant
@each_linear
def test_minimum_against_scikit_learn(kind, variant):
    if kind is HingeLoss and not variant["l2"]:
        pytest.skip("scikit-learn has no hinge loss without a penalty")
    problem = make(kind, **variant)
    theirs = float(problem.value(scikit_learn(problem)))
    assert problem.minimum == pytest.approx(theirs, abs=1e-8)
    assert problem.minimum <= theirs + 1e-10


@pytest.mark.parametrize("radius", [None, 0.5, 1.25])
@each_variant
@each_linear
def test_minimum_against_slsqp(kind, variant, radius):
    problem = make(kind, **variant, projection=radius and ("ball", radius))
    assert problem.minimum == pytest.approx(slsqp(problem), abs=1e-8)


@pytest.mark.parametrize("radius", [None, 0.25])
@each_variant
@each_linear
def test_more_features_than_rows(kind, variant, radius):
    problem = make(kind, X=WIDE, y=TARGETS[kind][[0, 1, 2, 3, 4, 5, 7, 9]], **variant)
    problem = problem.replace(projection=radius and ("ball", radius))
    if variant["l2"] or radius:
        assert problem.minimum == pytest.approx(slsqp(problem), abs=1e-8)
    else:
        assert 0 <= problem.minimum <= 1e-8  # the rows are independent


@each_variant
@pytest.mark.parametrize("kind", [LeastSquares, LogisticRegression, SoftmaxRegression])
def test_the_gradient_vanishes_at_the_minimum(kind, variant):
    problem = make(kind, **variant)
    x, _ = problem._minimiser()
    assert np.linalg.norm(problem.gradient(x)) < 1e-8
    assert float(problem.suboptimality(x)) == 0.0


@pytest.mark.parametrize(("l2", "intercept"), [(1e-4, False), (1e-4, True), (1e-6, False)])
def test_a_weakly_penalised_hinge_loss(l2, intercept):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(N, 5))
    signs = rows @ generator.normal(size=5) + generator.normal(size=N) > 0
    problem = make(HingeLoss, X=rows, y=signs, l2=l2, intercept=intercept)
    assert problem.minimum == pytest.approx(slsqp(problem), abs=1e-8)


@pytest.mark.parametrize("row", [[1.0, 0.1], [0.1, 1.0], [0.1, 0.1], [3.0, -0.2]], ids=str)
def test_separable_data_in_a_ball(row):
    """A ball that holds only some of the minimisers of a hinge loss; a logistic loss that has none elsewhere."""
    data, norm = {"X": np.array([row, np.negative(row)]), "y": [1, -1]}, float(np.linalg.norm(row))
    logistic = make(**data, projection=("ball", 1.25 / norm))
    assert logistic.minimum == pytest.approx(math.log1p(math.exp(-1.25)), abs=1e-8)
    for reach, minimum in ((0.625, 0.375), (1.25, 0.0)):
        hinge = make(HingeLoss, **data, projection=("ball", reach / norm))
        assert hinge.minimum == pytest.approx(minimum, abs=1e-8)


def test_separable_data():
    """The infimum, 0, which no point attains."""
    for kind, y in ((LogisticRegression, X[:, 0] > 0), (SoftmaxRegression, np.digitize(X[:, 0], [-0.5, 0.5]))):
        for scales in (1.0, [1e6, 1.0, 1e-6]):
            assert 0 <= make(kind, X=X * scales, y=y, intercept=True).minimum <= 1e-8


def test_minimum_in_a_large_ball_with_a_small_multiplier():
    X = 1e-4 * np.random.default_rng(0).normal(size=(200, 3))
    problem = LeastSquares(X, X @ [1e4, 0.0, 0.0], projection=("ball", 5e3))
    near = problem.value([5e3, 0.0, 0.0])
    assert 0.9 * near < problem.minimum <= near


# --- at every scale ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@each_linear
def test_features_of_any_size(kind, scale):
    """f* of (s X, s^2 l2, radius / s) is that of (X, l2, radius)."""
    for l2, radius in ((0.3, None), (0.003, None), (0.0, 0.5)):
        ball = {} if radius is None else {"projection": ("ball", radius)}
        scaled = {} if radius is None else {"projection": ("ball", radius / scale)}
        expected = slsqp(make(kind, l2=l2, **ball))
        assert make(kind, X=scale * X, l2=l2 * scale**2, **scaled).minimum == pytest.approx(expected, abs=1e-8)


@each_linear
def test_features_of_different_sizes_and_offsets(kind):
    """Without a penalty neither changes f*, which SLSQP finds where all are of one size."""
    expected = {intercept: slsqp(make(kind, intercept=intercept)) for intercept in (False, True)}
    for scales in permuted(1e-6, 1.0, 1e6):
        for intercept in (False, True):
            found = make(kind, X=X * scales, intercept=intercept).minimum
            assert found == pytest.approx(expected[intercept], abs=1e-8)
        for offset in (1.0, 1e4):
            found = make(kind, X=(X + offset) * scales, intercept=True).minimum
            assert found == pytest.approx(expected[True], abs=1e-8)


def permuted(*scales):
    return [np.roll(scales, k) for k in range(3)]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize(("rows", "columns"), [(20, 1), (40, 3)])
def test_a_penalised_hinge_loss_at_any_scale(rows, columns, scale):
    """At most what the penalty adds at the minimiser without one, which HiGHS finds; and at least that one's loss."""
    signs, l2 = SIGNS[:rows], 1e-3
    found = make(HingeLoss, X=scale * X[:rows, :columns], y=signs, l2=l2, intercept=True).minimum
    lowest, weights = programme(X[:rows, :columns], signs, intercept=True)
    added = 0.5 * l2 * float(weights @ weights) / scale**2
    assert lowest - 1e-8 <= found <= lowest + added + 1e-8
    if scale == 1e-6:  # no weight pays: the intercept alone
        assert found == pytest.approx(2 * min((signs > 0).mean(), (signs < 0).mean()), abs=1e-8)


@pytest.mark.parametrize("l2", [0.0, 1e-6, 0.3])
def test_least_squares_against_rational_arithmetic(l2):
    for scales in permuted(1e-3, 1.0, 1e3):
        for rows in (X, X + 100.0):
            found = make(LeastSquares, X=rows * scales, l2=l2, intercept=True).minimum
            exact = exact_least_squares(rows * scales, Z, l2=l2, intercept=True)
            assert found == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("l2", [0.0, 1e-6])
def test_powers_of_a_feature_against_long_doubles(l2):
    """Columns x, x^2, x^3 of x in [3, 4], nearly dependent: Newton's method in long doubles."""
    x = 3.0 + np.linspace(0, 1, N)
    y = (np.arange(N) > 25) ^ (np.arange(N) % 7 == 0)
    problem = make(X=np.column_stack([x, x**2, x**3]), y=y, l2=l2, intercept=True)
    A = np.column_stack([problem.X, np.ones(N)]).astype(np.longdouble)
    u, y = np.zeros(4, np.longdouble), problem.y.astype(np.longdouble)
    penalty = np.diag([l2, l2, l2, 0]).astype(np.longdouble)
    for _ in range(60):
        p = 1 / (1 + np.exp(y * (A @ u)))
        gradient = -A.T @ (y * p) / N + penalty @ u
        u = u - eliminated(A.T @ ((p * (1 - p))[:, None] * A) / N + penalty, gradient)
    lowest = float(np.mean(np.log1p(np.exp(-y * (A @ u)))) + u @ penalty @ u / 2)
    assert np.abs(gradient).max() < 1e-14
    assert problem.minimum == pytest.approx(lowest, abs=1e-8)


def eliminated(matrix, right):
    system = np.column_stack([matrix, right])
    for i in range(len(system)):
        k = i + int(np.argmax(np.abs(system[i:, i])))
        system[[i, k]] = system[[k, i]]
        system[i] = system[i] / system[i, i]
        for j in range(len(system)):
            if j != i:
                system[j] = system[j] - system[j, i] * system[i]
    return system[:, -1]


def test_columns_that_say_nothing():
    """Constant, zero and repeated ones change no minimum."""
    for kind in LINEAR:
        more = np.column_stack([X, np.zeros(N), X[:, 0], np.full(N, 1e6)])
        alone = make(kind, intercept=True).minimum
        assert make(kind, X=more, intercept=True).minimum == pytest.approx(alone, abs=1e-8)


SUMS = np.random.default_rng(3).normal(size=(4, 2))
MORE = {
    "repeated": lambda X: X[:, :1],
    "scaled": lambda X: 1e5 * X[:, :1],
    "zero": lambda X: 0 * X[:, :1],
    "constant": lambda X: np.full((len(X), 1), 1e6),
    "sums": lambda X: X @ SUMS,
    "all": lambda X: np.column_stack([X, X @ SUMS, 0 * X[:, :2], np.full(len(X), -0.1)]),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("more", MORE)
@each_linear
def test_redundant_columns(kind, more, intercept, weighted):
    """On ten sets of data: f* is that of the others alone, with a column of ones where a constant one stands for it."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(60, 4))
        z = rows @ rng.normal(size=4) + 2 * rng.normal(size=60)
        targets = {LeastSquares: z, SoftmaxRegression: np.digitize(z, [-1.0, 1.0])}
        y, weights = targets.get(kind, np.where(z > 0, 1, -1)), rng.integers(0, 3, size=60) if weighted else None
        base = np.column_stack([rows, np.ones(60)]) if more in ("constant", "all") and not intercept else rows
        alone = kind(base, y, intercept=intercept, sample_weight=weights)
        problem = kind(np.column_stack([rows, MORE[more](rows)]), y, intercept=intercept, sample_weight=weights)
        assert problem.minimum == pytest.approx(alone.minimum, abs=1e-8)
        if kind in (LogisticRegression, SoftmaxRegression):
            assert problem.minimum == pytest.approx(bfgs(alone), abs=1e-8)


def bfgs(problem):
    optimize = pytest.importorskip("scipy.optimize")
    start = np.zeros(problem.dimension)
    return optimize.minimize(problem.value, start, jac=problem.gradient, method="BFGS", options={"gtol": 1e-8}).fun


@pytest.mark.parametrize("intercept", [False, True])
@each_linear
def test_more_features_than_rows_of_low_rank(kind, intercept):
    """f* is that of the factors whose combinations the features are."""
    rng = np.random.default_rng(1)
    for n, d, rank in ((20, 40, 5), (30, 50, 3)):
        factors = rng.normal(size=(n, rank))
        z = factors @ rng.normal(size=rank) + 1.5 * rng.normal(size=n)
        y = {LeastSquares: z, SoftmaxRegression: np.digitize(z, [-1.0, 1.0])}.get(kind, np.where(z > 0, 1, -1))
        found = kind(factors @ rng.normal(size=(rank, d)), y, intercept=intercept).minimum
        assert found == pytest.approx(kind(factors, y, intercept=intercept).minimum, abs=1e-8)


@pytest.mark.parametrize("offset", [1e7, 1e10, 1e11, 1e12, 1e14])
@pytest.mark.parametrize("kind", [*LINEAR, LinearModel])
def test_a_large_offset_is_right_or_refused(kind, offset):
    """An offset leaves f* as it is; from 1e10 times the spread the error names the column."""
    y, own = (Z, {"loss": "huber(1, z - y)", "minimum": "solve"}) if kind is LinearModel else (TARGETS[kind], {})
    far = X + np.array([0.0, offset, 0.0])
    problem = kind(far, y, intercept=True, **own)
    if offset > 1e7:
        lost = r"column 1 of X \(the first is 0\) varies by only .* of its size; subtract its mean .*; metric='loss'"
        with pytest.raises(ValueError, match=lost):
            _ = problem.minimum
    else:
        near = kind(far - np.array([0.0, offset, 0.0]), y, intercept=True, **own)
        assert problem.minimum == pytest.approx(near.minimum, abs=1e-7 if own else 1e-8)


@pytest.mark.parametrize("offset", [1e11, 1e12])
@pytest.mark.parametrize("kind", [*LINEAR, LinearModel])
def test_a_large_offset_beside_a_column_of_ones(kind, offset):
    y, own = (Z, {"loss": "huber(1, z - y)", "minimum": "solve"}) if kind is LinearModel else (TARGETS[kind], {})
    far = np.column_stack([X + np.array([0.0, offset, 0.0]), np.ones(N)])
    with pytest.raises(ValueError, match="column 1 of X"):
        _ = kind(far, y, **own).minimum


def test_a_minimum_that_is_lost_in_rounding():
    far = X + np.array([0.0, 1e8, 0.0])
    with pytest.raises(ValueError, match=r"at the minimiser f is .*, but .* from X in float64; subtract the means"):
        _ = make(SoftmaxRegression, X=far, intercept=True).minimum


@each_linear
def test_a_large_offset_in_more_features_than_rows(kind):
    y = TARGETS[kind][[0, 1, 2, 3, 4, 5, 7, 9]]
    with pytest.raises(ValueError, match="column 2 of X"):
        _ = kind(WIDE + 1e11 * (np.arange(15) == 2), y, intercept=True).minimum


# --- remembered, bounded, interrupted ---------------------------------------------------------------------------------


def test_the_minimum_is_remembered(monkeypatch):
    known = make(l2=0.015625).minimum
    monkeypatch.setattr(LogisticRegression, "_find_minimum", None)
    assert make(l2=0.015625, batch_size=7, sampling="reshuffling").minimum == known
    assert pickle.loads(pickle.dumps(make(l2=0.015625))).minimum == known


@each_linear
def test_the_minimum_has_the_same_bits_every_time(kind, monkeypatch):
    """And NumPy's global generator is left alone."""
    state, found = np.random.get_state()[2], set()  # noqa: NPY002
    for _ in range(3):
        monkeypatch.setattr(_minimum, "_KNOWN", {})
        found.add(make(kind, l2=0.01).minimum)
    assert len(found) == 1
    assert np.random.get_state()[2] == state  # noqa: NPY002


@pytest.mark.parametrize(
    ("kind", "limit", "value", "reason"),
    [
        (LogisticRegression, "_GRADIENT", 1.0, "after a mean loss of .* is missing"),  # the start is good enough
        (SoftmaxRegression, "_PRODUCTS", 3, "no convergence within 3 Hessian-vector products"),
        (HingeLoss, "_INTERIOR_STEPS", 3, "after a mean loss of .* is missing"),
    ],
)
def test_minima_that_are_not_found(kind, limit, value, reason, monkeypatch):
    monkeypatch.setattr(_minimum, limit, value)
    monkeypatch.setattr(_minimum, "_KNOWN", {})
    with pytest.raises(
        ValueError, match=rf"^the minimum of <{kind.__name__} X: 40 x 3, l2=0.5.* was not found: {reason}"
    ):
        _ = make(kind, l2=0.5).minimum


def test_the_callers_floating_point_settings_do_not_matter():
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (LogisticRegression, SoftmaxRegression):
            problem = kind(X, X[:, 0] > 0)
            assert problem.minimum < 1e-8
            far = np.full(problem.dimension, 1e4)
            assert np.isfinite(problem.value(far))
            assert np.isfinite(problem.gradient(far)).all()
        with pytest.raises(ValueError, match="the minimiser is out of float64's range"):
            _ = LeastSquares(X, 1e300 * X[:, 0]).minimum


def test_networks_have_no_known_minimum():
    with pytest.raises(ValueError, match=r"^the minimum of an MLP is not known"):
        _ = make(MLP).minimum


@each_linear
def test_a_missing_solver(kind, monkeypatch):
    """Named with the extra that brings it, and missed only where the minimum is needed."""
    for module in ["scipy", *(name for name in sys.modules if name.startswith("scipy."))]:
        monkeypatch.setitem(sys.modules, module, None)
    problem = make(kind, X=X + 0.015625)
    assert np.isfinite(
        simulate(problem, schedules.Constant(), base_lr=0.1, horizon=3, replicates=2, metric="loss").mean
    )
    with pytest.raises(ImportError, match=r"pip install 'anneal_sgd\[data\]'"):
        _ = problem.minimum


@pytest.mark.parametrize(
    ("kind", "ball"), list(product(["LeastSquares", "SoftmaxRegression", "HingeLoss"], [False, True]))
)
def test_ctrl_c_ends_the_search(kind, ball):
    """A search of many seconds stops within about one (five here, for a busy machine), with KeyboardInterrupt."""
    code = f"""
import numpy as np, sys
from anneal_sgd import problems
rng = np.random.default_rng(0)
X = rng.standard_normal((100_000 if "{kind}" == "LeastSquares" else 40_000, 200), dtype=np.float32)
y = rng.integers(2, size=len(X))
problem = problems.{kind}(X, y, l2=1e-4, intercept=True, projection=("ball", 0.01) if {ball} else None)
print("now", flush=True)
try:
    while True:
        problems._minimum._KNOWN.clear()
        problem.__dict__.pop("minimum", None)
        problem.minimum
except KeyboardInterrupt:
    sys.exit(77)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        time.sleep(1.0)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) == 77
        finally:
            process.kill()
    assert time.monotonic() - began < 5
