"""Random data: the law of its features and of the noise in its labels."""

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate

ROWS, COLUMNS = 20_000, 12
stats = pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def exact():
    """Without noise: the numbers are the linear model's."""
    return problems.random_regression(ROWS, COLUMNS, label_noise=0.0, seed=3)


@pytest.fixture(scope="module")
def plane(exact):
    """w, solved for."""
    return np.linalg.lstsq(exact.X, exact.y, rcond=None)[0]


def test_features_are_standard_gaussian_and_the_model_has_norm_one(exact, plane):
    assert np.linalg.norm(plane) == pytest.approx(1.0, abs=1e-12)
    assert stats.kstest(exact.X.ravel(), "norm").pvalue > 1e-4
    covariance = exact.X.T @ exact.X / ROWS
    z = (covariance - np.eye(COLUMNS)) * np.sqrt(ROWS / (1 + np.eye(COLUMNS)))
    assert np.abs(z).max() < 4.5
    assert exact.minimum == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("label_noise", [0.02, 0.1, 0.3, 0.5])
def test_labels_are_flipped_with_their_probability_wherever_they_are(plane, label_noise):
    problem = problems.random_classification(ROWS, COLUMNS, label_noise=label_noise, seed=3)
    margin = np.abs(problem.X @ plane)
    flipped = problem.y != np.sign(problem.X @ plane)
    assert stats.binomtest(int(flipped.sum()), ROWS, label_noise).pvalue > 1e-4
    spread = np.sqrt(1 - 2 / np.pi)  # of |a standard Gaussian|
    z = (margin[flipped].mean() - np.sqrt(2 / np.pi)) / (spread / np.sqrt(flipped.sum()))
    assert abs(z) < 4.5


def test_without_noise_the_plane_separates_and_more_noise_flips_more(plane):
    by_noise = [problems.random_classification(ROWS, COLUMNS, label_noise=p, seed=3) for p in (0.0, 0.1, 0.4)]
    margins = [problem.y * (problem.X @ plane) for problem in by_noise]
    assert margins[0].min() > 0
    assert not np.any((margins[1] < 0) & (margins[2] > 0))


@pytest.mark.parametrize("label_noise", [0.1, 2.0])
def test_least_squares_leaves_chi_squared(plane, label_noise):
    problem = problems.random_regression(ROWS, COLUMNS, label_noise=label_noise, seed=3)
    left = np.linalg.lstsq(problem.X, problem.y, rcond=None)[1][0]
    assert 2 * ROWS * problem.minimum == pytest.approx(left, rel=1e-10)
    below = stats.chi2.cdf(left / label_noise**2, ROWS - COLUMNS)
    assert 1e-4 < below < 1 - 1e-4
    assert stats.kstest((problem.y - problem.X @ plane) / label_noise, "norm").pvalue > 1e-4


def test_test_rows_have_the_same_law_and_models_are_free():
    problem = problems.random_classification(
        300, 5, label_noise=0.2, test_rows=20_000, model=problems.MLP, hidden=(4,), batch_size=8, seed=7
    )
    assert isinstance(problem, problems.MLP)
    assert (problem.X.shape, problem.test[0].shape, problem.batch_size) == ((300, 5), (20_000, 5), 8)
    w = np.linalg.lstsq(*_arrays(problems.random_regression(300, 5, label_noise=0.0, test_rows=20_000, seed=7)))[0]
    wrong = int(np.sum(np.sign(problem.test[0] @ w) != 2 * problem.test[1] - 1))
    assert stats.binomtest(wrong, 20_000, 0.2).pvalue > 1e-4
    result = simulate(problem, schedules.Linear(), base_lr=0.5, horizon=50, replicates=2, metric="test_accuracy")
    assert np.all((result.mean > 0.3) & (result.mean < 0.9))


def _arrays(problem):
    return problem.X, problem.y


def test_seeds_tell_data_apart_and_equal_ones_do_not():
    make = problems.random_classification
    assert make(50, 3, l2=0.1) == make(50, 3, l2=0.1)
    assert make(50, 3, l2=0.1) != make(50, 3, l2=0.1, seed=1)
    assert problems.random_regression(50, 3, model=problems.LinearModel, loss="abs(z - y)").test is None


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("label_noise", 0.6),
        ("label_noise", -0.1),
        ("label_noise", float("nan")),
        ("test_rows", -1),
        ("seed", -1),
        ("model", problems.Custom),
        ("model", "hinge"),
    ],
)
def test_what_cannot_be_is_refused(argument, value):
    with pytest.raises(ValueError, match=rf"^{argument} must be "):
        problems.random_classification(10, 2, **{argument: value})


@pytest.mark.parametrize(("rows", "columns", "named"), [(0, 2, "rows"), (2, 0, "columns")])
def test_shapes_that_cannot_be_are_refused(rows, columns, named):
    with pytest.raises(ValueError, match=rf"^{named} must be "):
        problems.random_regression(rows, columns)
