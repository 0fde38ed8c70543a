"""`sample_weight`: against repeated and absent rows, scikit-learn, SLSQP and NumPy; in steps, records, identities."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from anneal_sgd import schedules, simulate
from anneal_sgd.campaigns._identity import problem_digest
from anneal_sgd.problems import MLP, HingeLoss, LeastSquares, LogisticRegression
from anneal_sgd.problems._dataset import Dataset
from test_data_problems import point
from test_minima import SIGNS, TARGETS, D, N, X, Z, each_linear, scikit_learn, slsqp

COUNTS = np.arange(N) % 4  # whole numbers, a quarter of them 0
WEIGHTS = np.random.default_rng(6).uniform(0.1, 3.0, N)

each_model = pytest.mark.parametrize("kind", TARGETS)
each_variant = pytest.mark.parametrize("variant", [{"l2": 0.3, "intercept": True}, {"l2": 0.0, "intercept": False}])


def make(kind, weights=None, *, rows=slice(None), **arguments):
    return kind(X[rows], TARGETS[kind][rows], sample_weight=weights, **arguments)


def run(problem, **changes):
    arguments = {"base_lr": 0.1, "horizon": 12, "replicates": 20, "seed": 3, "dtype": "float64", "metric": "loss"}
    return simulate(problem, schedules.Linear(), keep_samples=True, **{**arguments, **changes})


# --- known answers ----------------------------------------------------------------------------------------------------


@each_variant
@each_model
def test_whole_weights_are_repeated_rows(kind, variant):
    weighted, repeated = make(kind, COUNTS, **variant), make(kind, rows=np.repeat(np.arange(N), COUNTS), **variant)
    x = point(weighted)
    assert float(weighted.value(x)) == pytest.approx(float(repeated.value(x)), rel=1e-14)
    np.testing.assert_allclose(weighted.gradient(x), repeated.gradient(x), rtol=1e-12, atol=1e-15)
    if kind is not MLP:
        assert weighted.minimum == pytest.approx(repeated.minimum, abs=1e-9)
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-13)):
        recorded = [run(p.replace(x0=x), base_lr=0.0, dtype=dtype).mean for p in (weighted, repeated)]
        np.testing.assert_allclose(recorded, float(weighted.value(x)), rtol=tolerance)


@pytest.mark.parametrize("radius", [None, 0.5])
@each_variant
@each_linear
def test_whole_weights_have_the_minimum_of_repeated_rows_by_slsqp(kind, variant, radius):
    ball = {"projection": radius and ("ball", radius)}
    repeated = make(kind, rows=np.repeat(np.arange(N), COUNTS), **variant, **ball)
    assert make(kind, COUNTS, **variant, **ball).minimum == pytest.approx(slsqp(repeated), abs=1e-8)


@pytest.mark.parametrize("intercept", [False, True])
@each_linear
def test_minimum_against_weights_of_scikit_learn(kind, intercept):
    """Its objective is the sum of weighted losses and, C times them or alpha times it, the penalty."""
    linear_model, svm = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("sklearn.svm")
    problem = make(kind, WEIGHTS, l2=0.05, intercept=intercept)
    C = 1 / (WEIGHTS.sum() * problem.l2)
    fitted = {
        LeastSquares: linear_model.Ridge(alpha=1 / C, fit_intercept=intercept),
        HingeLoss: svm.SVC(kernel="linear", C=C, tol=1e-9)
        if intercept
        else svm.LinearSVC(loss="hinge", C=C, tol=1e-9, max_iter=10**6, random_state=0, fit_intercept=False),
    }.get(kind, linear_model.LogisticRegression(C=C, tol=1e-9, max_iter=10_000, fit_intercept=intercept))
    fitted.fit(X, TARGETS[kind], sample_weight=WEIGHTS)
    x = np.concatenate([np.ravel(fitted.coef_), np.ravel(fitted.intercept_) if intercept else []])
    theirs = float(problem.value(x))
    assert problem.minimum == pytest.approx(theirs, abs=1e-8)
    assert problem.minimum <= theirs + 1e-10
    unweighted = make(kind, l2=0.05, intercept=intercept)
    assert abs(problem.minimum - float(problem.value(scikit_learn(unweighted)))) > 1e-6  # it is not that of no weights


@each_linear
def test_rows_of_weight_0_do_not_count(kind):
    """Whatever they are: here 10^6 times larger, where they would set every scale."""
    kept, rows = COUNTS > 0, X.copy()
    rows[~kept] *= 1e6
    weighted = kind(rows, TARGETS[kind], sample_weight=COUNTS, l2=0.01, intercept=True)
    expected = make(kind, COUNTS[kept], rows=kept, l2=0.01, intercept=True)
    x = point(weighted)
    assert float(weighted.value(x)) == pytest.approx(float(expected.value(x)), rel=1e-14)
    np.testing.assert_allclose(weighted.gradient(x), expected.gradient(x), rtol=1e-12)
    assert weighted.minimum == pytest.approx(expected.minimum, rel=1e-10)


def test_a_row_of_weight_0_that_overflows_changes_no_trajectory(isa):
    rows, targets = np.vstack([X, np.full((1, D), 1e25)]), np.append(Z, 0.0)
    for batch_size in (1, 5):
        problem = LeastSquares(rows, targets, sample_weight=np.append(np.ones(N), 0.0), x0=0.5, batch_size=batch_size)
        result = run(problem, dtype="float32", base_lr=[0.01, 0.02], isa=isa)
        assert result.diverged.tolist() == [0, 0]


@each_linear
def test_weights_of_very_different_sizes(kind):
    """Ten rows weigh 10^9 times more than others: the minimum is nearly theirs, and at least their share of it."""
    weights = np.where(np.arange(N) % 4 == 0, 1.0, 1e-9)
    found, alone = make(kind, weights, l2=0.1).minimum, make(kind, rows=weights == 1.0, l2=0.1).minimum
    assert found == pytest.approx(alone, abs=1e-7)


@pytest.mark.parametrize("size", [1e-320, 1e-9, 1e308])
@each_linear
def test_the_size_of_all_weights_does_not_matter(kind, size):
    unweighted, weighted = make(kind, l2=0.1), make(kind, np.full(N, size), l2=0.1)
    x = point(unweighted)
    assert float(weighted.value(x)) == float(unweighted.value(x))
    assert weighted.gradient(x).tolist() == unweighted.gradient(x).tolist()
    assert weighted.minimum == unweighted.minimum


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_model
def test_equal_weights_have_the_bits_of_none(kind, dtype, isa):
    """In gangs, single steps and columns of configs."""
    for batch_size, rates in itertools.product((1, 5), (1, 17)):
        arguments = {"batch_size": batch_size, "l2": 0.1, "intercept": True}
        call = {"dtype": dtype, "isa": isa, "base_lr": np.linspace(0.01, 0.2, rates), "record_at": [0, 5, 12]}
        found = [run(make(kind, weights, **arguments), **call).samples for weights in (None, np.full(N, 0.3))]
        np.testing.assert_array_equal(*found)


# --- steps ------------------------------------------------------------------------------------------------------------


@each_model
def test_steps_take_weighted_rows(kind):
    """One row after another, over two epochs, against gradients in NumPy of a row alone times n w_i / sum w."""
    weights = COUNTS / 3
    problem = make(kind, weights, l2=0.1, intercept=True, sampling="sequential", batch_size=2)
    problem = problem.replace(x0=point(problem))
    x, points = problem.x0, [problem.x0]
    without, penalty = make(kind, l2=0.0, intercept=True), problem.replace(l2=1.0)
    for t in range(N):
        rows = np.arange(2 * t, 2 * t + 2) % N
        slopes = [gradient_of_row(without, x, i) * weights[i] / weights.mean() for i in rows]
        decay = penalty.gradient(x) - problem.replace(l2=0.0).gradient(x)  # x without its intercepts
        x = x - 0.1 * (1 - t / N) * (np.mean(slopes, axis=0) + problem.l2 * decay)
        points.append(x)
    result = run(problem, horizon=N, record_at=range(N + 1), replicates=2)
    np.testing.assert_allclose(result.mean, problem.value(np.array(points)), rtol=1e-11)


def gradient_of_row(problem, x, i):
    alone = problem.replace()
    alone.__dict__["_train"] = Dataset("", problem.X[[i]], problem.y[[i]])
    return alone.gradient(x)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_step_is_unbiased(batch_size):
    """Of the mean point after one step of every equally likely batch: x0 - lr f'(x0), exactly."""
    rows, y, weights = np.array([[1.0], [2.0], [-0.5]]), np.array([1.0, -1.0, 0.5]), np.array([1.0, 0.0, 5.0])
    problem = LeastSquares(rows, y, sample_weight=weights, x0=0.5, batch_size=batch_size, l2=0.25)
    slopes = (rows[:, 0] * 0.5 - y) * rows[:, 0] * weights / 2.0
    batches = list(itertools.product(range(3), repeat=batch_size))
    after = np.array([0.5 - 0.125 * (np.mean(slopes[list(batch)]) + 0.25 * 0.5) for batch in batches])
    assert after.mean() == pytest.approx(0.5 - 0.125 * float(problem.gradient([0.5])[0]), rel=1e-15)
    result = run(problem, base_lr=0.125, horizon=1, replicates=9000)
    expected, counts = np.unique(np.round(problem.value(after[:, None]), 12), return_counts=True)
    found, times = np.unique(np.round(result.samples, 12), return_counts=True)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    shares = 9000 * counts / len(batches)
    assert (np.abs(times - shares) < 5 * np.sqrt(shares)).all()


@each_model
def test_problems_with_and_without_weights_in_one_call(kind):
    several = [make(kind, weights, batch_size=3) for weights in (WEIGHTS, None, COUNTS)]
    call = {"base_lr": [0.05, 0.1, 0.2]}
    together = run(several, **call).samples
    for problem, samples in zip(several, together, strict=True):
        np.testing.assert_array_equal(run(problem, **call).samples, samples)


def test_test_sets_have_no_weights():
    held_out = (X[:9], SIGNS[:9])
    results = [
        run(
            make(LogisticRegression, weights, test=held_out, x0=0.3), base_lr=0.0, metric=["test_loss", "test_accuracy"]
        )
        for weights in (None, WEIGHTS)
    ]
    np.testing.assert_array_equal(*(result.mean for result in results))


# --- identity ---------------------------------------------------------------------------------------------------------


@each_model
def test_weights_belong_to_the_content(kind):
    problem, other = make(kind, WEIGHTS), make(kind, WEIGHTS + (np.arange(N) == 7))
    family = {make(kind), problem, other, make(kind, np.ones(N))}
    assert len(family) == 4
    assert make(kind, WEIGHTS.tolist()) == problem == pickle.loads(pickle.dumps(problem))
    assert problem.sample_weight.tolist() == WEIGHTS.tolist()
    assert make(kind).sample_weight is None
    assert repr(problem).startswith(f"<{kind.__name__} X: 40 x 3, sample_weight=...")
    assert problem.replace(l2=0.5) == make(kind, WEIGHTS, l2=0.5)
    with pytest.raises(TypeError, match=r"^replace takes (l2|hidden), .*, got sample_weight$"):
        problem.replace(sample_weight=None)
    with pytest.raises(ValueError, match="read-only"):
        problem.sample_weight[0] = 1.0
    assert len({problem_digest(p) for p in family}) == 4


def test_weights_are_copied():
    weights = WEIGHTS.copy()
    problem = make(LeastSquares, weights)
    weights[:] = 1.0
    assert problem == make(LeastSquares, WEIGHTS)


def test_weights_of_pandas():
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(COUNTS, index=range(N, 2 * N))
    for weights in (series, series.astype("Int64"), series > 0, pandas.Series(COUNTS, dtype=object)):
        assert make(LeastSquares, weights) == make(LeastSquares, np.asarray(weights, np.float64))
    with pytest.raises(ValueError, match=r"^sample_weight must be numbers >= 0 .*, none missing, got nan at index 39"):
        make(LeastSquares, pandas.Series([*COUNTS[1:], None]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(N - 1), r"must have shape \(40,\), one weight for each row of X, got shape \(39,\)"),
        (
            np.ones((N, 1)),
            r"must have shape \(40,\), one weight for each row of X, got shape \(40, 1\): \.squeeze\(\) leaves",
        ),
        (1.0, r"must have shape \(40,\), one weight for each row of X, got shape \(\)"),
        (np.zeros(N), "must have a weight > 0, got zeros"),
        (-COUNTS, "must be one-dimensional, finite and >= 0, got -1"),
        (np.where(COUNTS, 1.0, np.nan), "must be one-dimensional, finite and >= 0, got nan"),
        (np.where(COUNTS, 1.0, np.inf), "must be one-dimensional, finite and >= 0, got inf"),
        (["a"] * N, r"must be numbers >= 0 of shape \(40,\), one for each row of X, got \['a'"),
        (
            "balanced",
            r"must be numbers >= 0 of shape \(40,\), one for each row of X, got 'balanced': compute_sample_weight",
        ),
        (
            {0: 1.0, 1: 2.0},
            r"must be numbers >= 0 .*, got \{0: 1.0, 1: 2.0\}: compute_sample_weight\(.., y\) of sklearn",
        ),
        ({1, 2}, "must have an order"),
        (COUNTS + 1j, r"must be numbers >= 0 of shape"),
    ],
)
@each_model
def test_bad_weights(kind, weights, message):
    with pytest.raises(ValueError, match=f"^sample_weight {message}"):
        make(kind, weights)
