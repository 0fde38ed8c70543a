"""The grid experiment: its estimator on known answers, data sets and files, and the command line around it."""

import dataclasses
import gzip
import io
import json
import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

from anneal_sgd import cli, datasets, methods, problems, schedules, simulate, theory
from anneal_sgd.experiments import grid
from anneal_sgd.experiments.grid import grid_robustness, recommend_grid

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

NOISY = problems.AbsoluteValue(slope=0.3, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))
SMALL = {"horizon": 200, "replicates": 64, "base_lr_range": (1e-3, 1.0)}


def test_problems_of_ones_own():
    """A built-in problem written as a program: the same rows; metrics of its own; what cannot be judged by ratios."""
    custom = problems.Custom(
        lambda x, a: a * np.sum(np.abs(x)), x0=NOISY.x0, parameters={"a": 0.3}, noise="gaussian", noise_std=1.0,
        projection=("box", -1.0, 1.0), minimum=0.0,
    )  # fmt: skip
    linear = {"schedules": [schedules.Linear()], **SMALL}
    reports = [grid_robustness(one, **linear) for one in (NOISY, custom)]
    assert len({json.dumps(json.loads(report.to_json())["rows"]) for report in reports}) == 1
    built_in = reports[0].rows[0]
    (scaled,) = grid_robustness(custom, metric={"distance": lambda x: 0.5 * np.linalg.norm(x)}, **linear).rows
    assert scaled.metric == "distance"
    assert scaled.best_base_lr == built_in.best_base_lr
    assert scaled.mean == pytest.approx(np.multiply(built_in.mean, 0.5 / 0.3), rel=1e-6)
    for metric, message in (
        ({"a": lambda x: x[0], "b": lambda x: x[0]}, "metric must be one metric, got"),
        ({"least": lambda x: -np.sum(x**2)}, "metric must not be negative, which has no ratios, got a mean of -"),
    ):
        with pytest.raises(ValueError, match=message):
            grid_robustness(custom, metric=metric, **linear)


def test_averages_are_passed_on():
    problem = problems.Quadratic([1.0, 0.1], noise="gaussian", noise_std=0.3, x0=1.0)
    call = {"schedules": [schedules.Linear()], "horizon": 50, "replicates": 16, "base_lr_range": (0.01, 1.0)}
    last = grid_robustness(problem, **call)
    for average in (
        {"iterate": "average"},
        {"iterate": "tail_average", "tail_frac": 0.2},
        {"iterate": "ema", "ema_decay": 0.9},
        {"iterate": "polynomial_average", "average_degree": 1},
    ):
        report = grid_robustness(problem, **average, **call)
        assert report.meta == {**last.meta, **average}
        direct = simulate(problem, schedules.Linear(), **average, base_lr=last.rows[0].base_lr, horizon=50,
                          replicates=16)  # fmt: skip
        assert report.rows[0].mean == direct.mean.tolist() != last.rows[0].mean
    for wrong, message in (
        ({"iterate": ["last", "average"]}, "iterate must be one of 'last', 'average', .*, got "),
        ({"iterate": "suffix"}, "iterate must be one of .*: a suffix average is the tail_average"),
        ({"tail_frac": 0.2}, "tail_frac must go with iterate 'tail_average', got 0.2 with 'last'"),
        ({"iterate": "ema", "ema_decay": 2.0}, "ema_decay must be one number"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            grid_robustness(problem, **wrong, **call)
    with pytest.raises(ValueError, match=r"^schedule must be one schedule, got 'linear': schedules.by_name makes one"):
        recommend_grid(problem, "linear")


def test_methods_are_passed_on():
    problem = problems.Quadratic([1.0, 0.1], noise="gaussian", noise_std=0.3, x0=1.0)
    call = {"schedules": [schedules.Linear()], "horizon": 50, "replicates": 16, "base_lr_range": (0.01, 10.0)}
    adam = grid_robustness(problem, method=methods.Adam(), **call)
    assert adam.meta["method"] == repr(methods.Adam())
    direct = simulate(problem, schedules.Linear(), method=methods.Adam(), base_lr=adam.rows[0].base_lr, horizon=50,
                      replicates=16)  # fmt: skip
    assert adam.rows[0].mean == direct.mean.tolist()
    assert adam.rows[0].mean != grid_robustness(problem, **call).rows[0].mean
    with pytest.raises(ValueError, match=r"^method must be of anneal_sgd.methods"):
        grid_robustness(problem, method="adam", **call)


def test_excess_against_brute_force():
    means = np.random.default_rng(0).uniform(1, 3, (5, 23))
    worst, average = grid._excess(means, np.array([1, 2, 7, 23]))
    for row, w, a in zip(means, worst, average, strict=True):
        for k, step in enumerate((1, 2, 7, 23)):
            excess = [min(row[i] for i in range(offset, 23, step)) / row.min() - 1 for offset in range(step)]
            assert w[k] == pytest.approx(max(excess))
            assert a[k] == pytest.approx(np.mean(excess))
    assert not worst[:, 0].any()


def test_excess_of_a_power_law():
    """f = lr^-2 below the best and lr^(1/5) above: a grid of ratio r loses at most r^(10/11 * 1/5), halfway in cost."""
    lr = grid.fine_grid((1e-6, 1e6), 50, 100.0)
    f = np.where(lr < 1, lr**-2.0, lr**0.2)
    worst, _ = grid._excess(f[None], np.array([100]))  # r = 100: two decades of 50 points
    assert worst[0, 0] == pytest.approx(100 ** (0.2 * 2 / 2.2) - 1, rel=0.02)


@pytest.mark.parametrize(
    ("schedule", "degree", "end"),
    [(schedules.Linear(), 1, 1.0), (schedules.Cosine(), 2, (math.pi / 2) ** 2), (schedules.Polynomial(3), 3, 1.0)],
    ids=["linear", "cosine", "cubic"],
)
def test_law_of_a_fixed_problem(schedule, degree, end):
    """The closed form of docs/grid.md against exact moments; its slopes, also where the curvature moves."""
    rho, horizon = np.geomspace(10, 1000, 9), 100_000

    def exact(base_lr, curvature):
        moments = theory.quadratic_moments(
            schedule, base_lr=base_lr, curvature=curvature, x0=1.0, noise_std=1.0, horizon=horizon
        )
        return moments.suboptimality[-1]

    fixed = np.array([exact(1e-4 * r, 1.0) for r in rho])
    s = (2 * degree + 1) / (degree + 1)
    factor = math.gamma(s) * ((degree + 1) / 2) ** s / (2 * (degree + 1))
    formula = factor * (end * 1e-4 * rho) ** (1 / (degree + 1)) * horizon ** (-degree / (degree + 1))
    np.testing.assert_allclose(fixed, formula, rtol=0.025 if degree == 2 else 5e-4)
    slopes = {1: 0.500, 2: 0.337, 3: 0.250}
    assert grid._right_slope(fixed[None], rho * 1e-4, 0)[0] == pytest.approx(slopes[degree], abs=0.006)
    assert np.polyfit(np.log(rho), np.log(fixed), 1)[0] == pytest.approx(slopes[degree], abs=0.001)
    worst = [exact(6e-5 * r, (r / 10) ** (1 / (2 * degree + 1))) for r in rho]
    assert np.polyfit(np.log(rho), np.log(worst), 1)[0] == pytest.approx(1 / (2 * degree + 1), abs=0.006)
    flat = [exact(1e-3 * r, 10 / r) for r in rho]  # base_lr times curvature constant: no annealing helps
    assert np.polyfit(np.log(rho), np.log(flat), 1)[0] == pytest.approx(1.0, abs=1e-6)


def test_slope_to_the_right_needs_the_whole_range():
    lr = grid.fine_grid((1e-3, 1e2), 10, 100.0)
    assert grid._right_slope(lr[None] ** 0.4, lr, 10)[0] == pytest.approx(0.4)
    assert math.isnan(grid._right_slope(lr[None] ** 0.4, lr, 31)[0])  # ends at 79 times
    assert math.isnan(grid._right_slope(np.where(lr > 1, np.inf, lr)[None], lr, 15)[0])
    curved = np.exp(np.log(lr / lr[[10], None]) ** 2), np.exp(np.log(lr / lr[[12], None]) ** 2)
    assert grid._right_slopes(np.concatenate(curved), lr) == pytest.approx([3 * math.log(10)] * 2)  # each from its best


def test_infinite_and_zero_metrics():
    worst, average = grid._excess(np.array([[np.inf, 1.0, np.inf, np.inf]]), np.array([2]))
    assert worst[0, 0] == average[0, 0] == np.inf
    worst, _ = grid._excess(np.array([[0.0, 1.0, 0.0, 2.0]]), np.array([2, 4]))
    assert worst[0].tolist() == [np.inf, np.inf]


def test_a_fixed_stepsize_degrades_faster():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 20))
    y = rng.random(1000) < 1 / (1 + np.exp(-X @ rng.normal(size=20)))
    problem = problems.LogisticRegression(X, y, batch_size=8)
    report = grid_robustness(problem, horizon=2000, replicates=64)
    by_name = {row.schedule: row for row in report.rows}
    at = by_name["constant"].resolution.index(max(by_name["constant"].resolution))
    assert by_name["constant"].worst_low[at] > 2 * by_name["cosine"].worst_high[at]
    assert by_name["linear"].worst_excess[at] > by_name["cosine"].worst_excess[at]
    for row in report.rows:
        assert row.worst_excess[0] == 0.0  # the fine grid itself
        assert all(low <= high for low, high in zip(row.worst_low, row.worst_high, strict=True))
        assert all(mean <= worst for mean, worst in zip(row.mean_excess, row.worst_excess, strict=True))
    assert report.answer(0.5)[0].startswith("constant stays within 50 % of its best suboptimality with ")
    assert report.answer(1e-9)[3] == (
        "cosine stays within 1e-07 % of its best suboptimality with 10 points per factor of 10 (runs in all: 3,904 "
        "with 64 per point); with 1, 3, 10 runs per point it is not shown to, even with 10 points per factor of 10"
    )


def test_intervals_cover():
    """The 95 % interval of the worst excess, from 128 replicates, holds that of a long run at least 9 times in 12."""
    arguments = {"schedules": [schedules.Linear()], "horizon": 100, "base_lr_range": (1e-3, 1.0), "runs_per_point": []}
    truth = grid_robustness(NOISY, replicates=20_000, seed=99, **arguments).rows[0]
    covered = 0
    for seed in range(12):
        row = grid_robustness(NOISY, replicates=128, seed=seed, **arguments).rows[0]
        covered += row.worst_low[-1] <= truth.worst_excess[-1] <= row.worst_high[-1]
    assert covered >= 9


def test_the_answer_counts_runs():
    """31 learning rates in three decades: 11 at every third of them, 6 at every sixth."""
    report = grid_robustness(NOISY, schedules=[schedules.Linear()], largest_resolution=5.0, **SMALL)
    row = report.rows[0]
    assert len(row.resolution) == 6

    def answer(*safe):
        """With the first so many resolutions safe, for 1, 3, 10 and all runs."""
        high = [[0.0] * n + [1.0] * (6 - n) for n in safe]
        few = [dataclasses.replace(one, worst_high=h) for one, h in zip(row.picks, high[:3], strict=True)]
        changed = dataclasses.replace(row, picks=few, worst_high=high[3])
        return dataclasses.replace(report, rows=[changed]).answer(0.5)

    assert answer(0, 3, 6, 6) == [
        "linear stays within 50 % of its best suboptimality with "
        "3.3 points per factor of 10 (runs in all: 33 with 3 per point), or "
        "1.7 points per factor of 10 (runs in all: 60 with 10, 384 with 64 per point)"
        "; with 1 run per point it is not shown to, even with 10 points per factor of 10"
    ]
    assert answer(0, 0, 0, 0) == [
        "linear is not shown to stay within 50 % of its best suboptimality, even with 10 points per factor of 10 and "
        "1, 3, 10, 64 runs per point"
    ]
    with pytest.raises(ValueError, match=r"^runs_per_point must be one of those that were asked for, 1, 3, 10, got 2"):
        row.coarsest(0.5, 2)


def test_the_first_failure_ends_the_sequence():
    row = grid_robustness(NOISY, schedules=[schedules.Linear()], points_per_decade=2, **SMALL).rows[0]
    row = dataclasses.replace(row, worst_high=[0.1, 0.6, 0.2, 0.3])
    assert row.coarsest(0.5) == row.resolution[0]
    assert row.coarsest(0.7) == row.resolution[-1]
    assert row.coarsest(0.05) is None


def test_an_unsafe_resolution_is_seldom_called_safe():
    """Nominally in 2.5 % of runs at most; here a resolution is unsafe by a hair, all finer ones are safe.

    100 runs of 128 replicates; their pool has the truth. At 2.5 % the number of errors is above 9 once in 4,000 times.
    """
    lr, runs = grid.fine_grid((1e-3, 1.0), 5, 100.0), 100
    result = simulate(NOISY, schedules.Linear(), base_lr=lr, horizon=100, replicates=128 * runs, keep_samples=True)
    pool = np.asarray(result.samples, np.float64)
    truth = grid._excess(pool.mean(axis=1)[None], np.arange(1, 11))[0][0]
    assert np.all(np.diff(truth) > 0.02)
    meta = {"metric": "suboptimality", "points_per_decade": 5, "largest_resolution": 100.0, "runs_per_point": []}
    blocks = np.split(pool, runs, axis=1)
    rows = [
        grid._rows(schedules.Linear(), lr, block[None], [{**meta, "seed": i}], lambda: None)[0]
        for i, block in enumerate(blocks)
    ]
    for unsafe in (2, 3, 7):
        found = [row.coarsest(truth[unsafe] * (1 - 1e-9)) for row in rows]
        assert sum(r is not None and r >= rows[0].resolution[unsafe] for r in found) <= 9
        assert sum(r == rows[0].resolution[unsafe - 1] for r in found) > 0.5 * runs


def test_held_out_rows_judge_the_same_runs():
    """As the same experiment by that metric alone has it; of accuracy the complement."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 5))
    y = rng.random(300) < 1 / (1 + np.exp(-2 * X[:, 0]))
    problem = problems.LogisticRegression(X[:200], y[:200], batch_size=4, test=(X[200:], y[200:]))
    options = {"schedules": [schedules.Cosine()], "horizon": 100, "replicates": 8, "points_per_decade": 2}
    report = grid_robustness(problem, **options)
    row = report.rows[0]
    assert [row.metric, *(other.metric for other in row.held_out)] == ["suboptimality", "test_loss", "test_accuracy"]
    for other in row.held_out:
        alone = grid_robustness(problem, metric=other.metric, **options).rows[0]
        alone_as_held_out = dataclasses.replace(alone, picks=[], held_out=[])
        np.testing.assert_equal(dataclasses.asdict(alone_as_held_out), dataclasses.asdict(other))
        assert [picks.runs for picks in alone.picks] == [1, 3]
        assert other.metric not in [one.metric for one in alone.held_out]
    accuracy = simulate(
        problem, schedules.Cosine(), base_lr=row.base_lr, horizon=100, replicates=8, metric="test_accuracy"
    )
    np.testing.assert_allclose(row.held_out[1].mean, 1 - accuracy.mean, rtol=1e-6)
    assert [text.split("with")[1] for text in report.answer()] == [
        f"in 50 % of its best {metric} " for metric in ("suboptimality", "test_loss", "1 − test_accuracy")
    ]
    without = problems.LogisticRegression(X, y, batch_size=4)
    assert grid_robustness(without, **options).rows[0].held_out == []
    assert json.loads(report.to_json())["rows"][0]["held_out"][1]["metric"] == "test_accuracy"


def test_a_metric_to_the_right_of_its_best():
    row = grid_robustness(NOISY, schedules=[schedules.Linear()], **SMALL).rows[0]
    at = row.base_lr.index(row.best_base_lr)
    assert row.times_best(1.0) == 1.0
    assert row.times_best(10.0) == row.mean[at + 10] / row.mean[at]
    assert math.isnan(row.times_best(1e3))


@pytest.mark.parametrize("replicates", [2, 85, 86, 1000])
def test_products_are_those_of_one_call(replicates):
    """A few at a time, since BLAS's threads wait for each other on a busy machine."""
    rng = np.random.default_rng(replicates)
    weights, numbers = rng.random((50, replicates)), rng.random((61, replicates))
    np.testing.assert_allclose(grid._products(weights, numbers), weights @ numbers.T, rtol=1e-13)


def test_progress_says_what_is_at_work():
    seen = []
    problem = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0)
    size = {"horizon": 5, "replicates": 8, "points_per_decade": 2, "base_lr_range": (1e-3, 10.0)}
    chosen = [schedules.Constant(), schedules.Linear()]
    grid_robustness(problem, chosen, progress=lambda *told: seen.append(told), **size)
    labels = list(dict.fromkeys(label for label, _ in seen))
    assert labels == ["constant", "constant, intervals", "linear", "linear, intervals"]
    done = [fraction for _, fraction in seen]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert seen.count(("linear, intervals", 1.0)) > 2


def test_the_same_seed_gives_the_same_json():
    reports = [grid_robustness(NOISY, largest_resolution=10.0, threads=n, **SMALL).to_json() for n in (1, 2)]
    assert reports[0] == reports[1]
    assert json.loads(reports[0])["meta"]["metric"] == "suboptimality"


def test_diverging_learning_rates_are_infinitely_bad():
    problem = problems.LeastSquares(np.eye(4), np.ones(4))
    report = grid_robustness(problem, horizon=500, replicates=4, base_lr_range=(1e-3, 1e4), largest_resolution=10.0)
    row = report.rows[0]
    assert row.mean[-1] == math.inf
    assert row.diverged[-1] == 4
    assert json.loads(report.to_json())["rows"][0]["mean"][-1] is None
    assert np.isfinite(row.worst_excess[5])


def test_recommended_grids_keep_the_promise():
    found = recommend_grid(NOISY, schedules.Cosine(), 0.5, runs_per_point=None, largest_resolution=100.0, **SMALL)
    assert found.within_tolerance
    assert found.evidence.best_base_lr in found.base_lr
    assert np.allclose(np.diff(np.log10(found.base_lr)), 1 / found.points_per_decade)
    at = found.evidence.resolution.index(found.resolution)
    assert found.evidence.worst_high[at] <= 0.5
    assert found.evidence.worst_high[at + 1] > 0.5
    strict = recommend_grid(NOISY, schedules.Cosine(), 1e-9, **SMALL)
    assert (strict.points_per_decade, strict.within_tolerance) == (pytest.approx(10), False)  # one run is luck
    strict = recommend_grid(NOISY, schedules.Cosine(), 1e-9, runs_per_point=None, **SMALL)
    assert (strict.points_per_decade, strict.within_tolerance) == (pytest.approx(10), True)
    assert strict.runs == 64 * len(strict.base_lr) == 64 * 31
    with pytest.raises(ValueError, match=r"^base_lr_range must hold the best learning rate inside"):
        recommend_grid(NOISY, schedules.Cosine(), 0.5, horizon=200, replicates=64, base_lr_range=(1e-6, 1e-4))
    text = (
        r"<GridRecommendation 10 points per factor of 10, within the tolerance: 31 learning rates .*, 1984 runs; .*Row"
    )
    assert re.match(text, repr(strict))
    with pytest.raises(
        ValueError, match=r"^schedule must be one schedule, got \[.*\]: grid_robustness compares several"
    ):
        recommend_grid(NOISY, [schedules.Cosine(), schedules.Linear()], 0.5)
    both = grid_robustness(NOISY, [schedules.Cosine(), schedules.Linear()], **SMALL)
    assert [row.schedule for row in both.rows] == ["cosine", "linear"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": "abs"}, "problem must be a problem"),
        ({"schedules": []}, "schedules must be a sequence of schedules"),
        ({"schedules": ["cosine"]}, "schedules must be a sequence of schedules"),
        ({"base_lr_range": 0.1}, r"base_lr_range must be \(lowest, highest\)"),
        ({"base_lr_range": (0.0, 1.0)}, "base_lr_range must be one number, finite and > 0"),
        ({"base_lr_range": (1.0, 10.0)}, "base_lr_range must span at least a factor of largest_resolution = 100"),
        ({"points_per_decade": 0}, "points_per_decade must be an integer"),
        ({"points_per_decade": 101}, "points_per_decade must be an integer in 1 .. 100"),
        ({"largest_resolution": 1.2}, "largest_resolution must be at least the ratio of neighbours on the fine grid"),
        ({"largest_resolution": 1.0}, "largest_resolution must be one number"),
        ({"replicates": 1}, "replicates must be an integer in 2"),
        ({"tolerance": -1.0}, "tolerance must be one number"),
        ({"runs_per_point": 3}, "runs_per_point must be a sequence of integers, got 3"),
        ({"runs_per_point": [0]}, "runs_per_point must be an integer in 1"),
        (
            {"runs_per_point": [1, 65]},
            "runs_per_point must be at most half of replicates, 64, got 65: raise replicates",
        ),
        ({"metric": "loss"}, "metric must be one or more of 'suboptimality' for AbsoluteValue"),
        ({"metric": ["suboptimality"]}, "metric must be one metric"),
        ({"horizon": 0}, "horizon must be an integer"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        grid_robustness(**{"problem": NOISY, **arguments})


# --- data sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("synthetic-logistic", problems.LogisticRegression, (10_000, 100)),
        ("breast_cancer", problems.LogisticRegression, (569, 30)),
        ("digits", problems.SoftmaxRegression, (1797, 61)),
    ],
)
def test_built_in_data(name, kind, shape):
    problem = datasets.make_problem(datasets.load(name))
    assert type(problem) is kind
    assert problem.X.shape == shape
    assert problem.l2 == pytest.approx(1 / shape[0])
    np.testing.assert_allclose(problem.X.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(problem.X.std(axis=0), 1, atol=1e-4)


def test_held_out_rows():
    whole = datasets.load("breast_cancer")
    problem = datasets.make_problem(whole, test_frac=0.2, seed=3)
    assert (len(problem.X), len(problem.test[0])) == (456, 113)
    np.testing.assert_allclose(problem.X.mean(axis=0), 0, atol=1e-5)  # scaled by the training rows alone
    assert np.abs(problem.test[0].mean(axis=0)).max() > 1e-3
    assert np.bincount(np.concatenate([problem.y, problem.test[1]]).astype(int) + 1)[0] == (whole.y == 0).sum()


@pytest.mark.parametrize("options", [{"model": "least_squares"}, {"loss": "abs(z - y) ** 1.5"}])
def test_held_out_rows_of_whole_numbers(options):
    """A fifth of all rows, where values of few rows each are numbers; as classes, none is left for the test."""
    X = np.random.default_rng(0).standard_normal((60, 2))
    for rows in (1, 2, 3, 20):
        table = datasets.Table("t", X, np.arange(60) // rows, ("a", "b"), tuple("c" * (60 // rows)), np.arange(60.0))
        assert datasets.make_problem(table, test_frac=0.2, **options).test[0].shape == (12, 2)
    few = datasets.Table("t", X, np.arange(60.0), ("a", "b"), tuple(map(str, range(60))), np.arange(60.0))
    message = r"^test_frac must leave rows on both sides, got 0.2 of 60 rows in 60 classes: model 'least_squares' takes"
    with pytest.raises(ValueError, match=message):
        datasets.make_problem(few, test_frac=0.2)


def test_csv_targets(tmp_path):
    rng = np.random.default_rng(0)
    points = enumerate(rng.normal(size=(60, 2)))
    rows = [f"{a:.6f},{b:.6f},{'yes' if a > 0 else 'no'},{a + b:.6f},{i % 3}" for i, (a, b) in points]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,b,label,number,group", *rows]))
    with pytest.raises(ValueError, match="column 'label' must be numbers"):
        datasets.load(str(path), target="number")
    numeric = tmp_path / "numeric.csv"
    numeric.write_text("\n".join(["a,b,number,group", *(",".join(np.delete(r.split(","), 2)) for r in rows)]))
    assert type(datasets.make_problem(datasets.load(str(numeric), target="number"))) is problems.LeastSquares
    groups = datasets.load(str(numeric), target="group")
    assert groups.classes == ("0", "1", "2")
    assert type(datasets.make_problem(groups)) is problems.SoftmaxRegression
    assert type(datasets.make_problem(groups, model="mlp")) is problems.MLP
    assert type(datasets.make_problem(groups, model="least_squares")) is problems.LeastSquares
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("\n".join(["a,b,label", *(",".join(r.split(",")[:3]) for r in rows)]))
    table = datasets.load(str(labelled), target="label")
    assert table.classes == ("no", "yes")
    assert type(datasets.make_problem(table, model="hinge")) is problems.HingeLoss


def test_least_squares_takes_the_numbers_of_a_target(tmp_path):
    """Not the numbers of its classes: 0, 1, 5, 100 are not evenly spaced; nor names such as 1e+06."""
    y = np.array([0, 1, 5, 1_000_000] * 5, dtype=float)
    X = np.random.default_rng(0).normal(size=(20, 2))
    np.savez(tmp_path / "data.npz", X=X, y=y)
    table = datasets.load(str(tmp_path / "data.npz"))
    assert len(table.classes) == 4
    problem = datasets.make_problem(table, model="least_squares")
    np.testing.assert_allclose(problem.y, (y - y.mean()) / y.std())


def test_rare_classes_stay_in_training(tmp_path):
    y = np.array([0] * 30 + [1] * 30 + [2] * 2)
    np.savez(tmp_path / "data.npz", X=np.random.default_rng(0).normal(size=(62, 2)), y=y)
    for seed in range(5):
        table = datasets.load(str(tmp_path / "data.npz"))
        problem = datasets.make_problem(table, test_frac=0.4, seed=seed, intercept=True)
        assert np.bincount(problem.y.astype(int)).tolist() == [18, 18, 1]


def test_npz_files(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    path = tmp_path / "data.npz"
    np.savez(path, X=X, labels=y)
    assert datasets.load(str(path), target="labels").classes == ("0", "1")
    with pytest.raises(ValueError, match="array 'y' is missing; there is 'X', 'labels'"):
        datasets.load(str(path))


def test_a_frame_is_a_file_of_it(tmp_path):
    pytest.importorskip("pandas")
    table = frame(y=KINDS % 2, w=1.0 + KINDS)
    table.to_csv(tmp_path / "t.csv", index=False)
    options = {"target": "y", "encode": True, "sample_weight": "w"}
    a, b, c = (datasets.load(one, **options) for one in (table, str(tmp_path / "t.csv"), tmp_path / "t.csv"))
    assert (a.name, a.columns, a.classes) == ("frame", b.columns, b.classes)
    for name in ("X", "y", "sample_weight"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(getattr(b, name), getattr(c, name))
    with pytest.raises(ValueError, match="frame: column 'kind' must be numbers"):
        datasets.load(table, target="y")
    with pytest.raises(ValueError, match=r"data must be a name, a path or a frame of pandas, got array"):
        datasets.load(table.to_numpy())


def unbalanced(least, weights=None):
    rng = np.random.default_rng(1)
    y = (np.arange(100) < least).astype(float)
    return datasets.Table("t", rng.standard_normal((100, 3)), y, ("a", "b", "c"), ("no", "yes"), y, weights)


@pytest.mark.parametrize("model", ["logistic", "softmax", "hinge"])
def test_unbalanced_classes_ask_for_an_intercept(model):
    told = "t: classes have 25 to 75 % of the rows, and the model has no intercept, .* --intercept"
    with pytest.warns(UserWarning, match=told) as said:
        datasets.make_problem(unbalanced(25), model=model)
    assert said[0].filename == __file__
    with pytest.warns(UserWarning, match=told):
        datasets.make_problem(unbalanced(25), loss="log(1 + exp(-y * z))")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.make_problem(unbalanced(26), model=model)
        datasets.make_problem(unbalanced(25), model=model, intercept=True)
        datasets.make_problem(unbalanced(25), model="mlp")
        datasets.make_problem(unbalanced(25), model="least_squares")
        datasets.make_problem(unbalanced(26), model="linear_model", loss="log(1 + exp(-y * z))")
        datasets.make_problem(unbalanced(25, np.where(np.arange(100) < 25, 3.0, 1.0)), model=model)


def test_the_command_says_that_an_intercept_is_missing(tmp_path, capsys):
    pytest.importorskip("pandas").DataFrame(unbalanced(10).X).assign(y=unbalanced(10).y).to_csv(
        tmp_path / "t.csv", index=False
    )
    arguments = ["grid", "--data", str(tmp_path / "t.csv"), "--target", "y", "--schedule", "cosine", *CHEAP]
    assert cli.main(arguments) == 0
    assert "classes have 10 to 90 % of the rows, and the model has no intercept" in capsys.readouterr().err
    assert cli.main([*arguments, "--intercept"]) == 0
    assert "intercept" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("", "y", "the file is empty"),
        ("a,y\n", "y", "there is no row below the header"),
        ("y\n1\n2\n", "y", "there is no column besides the target"),
        ("a,y\n1,0\n2,1\n", None, "target must name the column to predict, one of 'a', 'y'"),
        ("a,y\n1,0\n2,1\n", "z", "target must be a column of .*, one of 'a', 'y', got 'z'$"),
        ("a;y\n1;0\n2;1\n", "y", "target must be a column of .*, got 'y': a .csv has commas between columns, .* ';'$"),
        ("a\ty\n1\t0\n", None, r"target must name the column .*: a .csv has commas between columns, .* '\\t'$"),
        ("a,y\nx,0\nz,1\n", "y", "column 'a' must be numbers: --encode"),
        ("a,y\n1,0\n,1\n?,1\n", "y", r"column 'a' must be numbers, got '\?' in row 3 beside numbers: fill in or leave"),
        ("a,y\n,0\n2,1\n", "y", "'a' must be a finite number in every row, got nan in row 1: fill in or leave"),
        ("a,y\n1,0\n2,\n", "y", "target 'y' is missing in row 2: fill in or leave out what is missing"),
        ("a,y\n1,0\n2,0\n", "y", "the target must take two values at least, got only 0"),
        ("b,c,y\n5,6,0\n5,6,1\n", "y", "a column must take two values at least, got constant ones alone"),
        ('a,y\n"1,0\n2,1\n', "y", "not a CSV file|column|missing|no row"),
    ],
)
def test_bad_csv(tmp_path, content, target, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        datasets.make_problem(datasets.load(str(path), target=target))


def test_constant_columns_are_left_out_with_a_warning(tmp_path, capsys):
    """What is left is the problem without them, with rows held out and without; the command says so too."""
    rng = np.random.default_rng(0)
    X, y, ones = rng.normal(size=(40, 2)), np.arange(40) % 2, np.ones(40)
    np.savez(tmp_path / "without.npz", X=X, y=y)
    np.savez(tmp_path / "with.npz", X=np.column_stack([7 * ones, X[:, 0], 0 * ones, X[:, 1]]), y=y)
    without, whole = (datasets.load(str(tmp_path / f"{name}.npz")) for name in ("without", "with"))
    for test_frac in (0.0, 0.25):
        where = " in the rows that are not held out" if test_frac else ""
        names = f"columns {whole.columns[0]!r}, {whole.columns[2]!r} are constant{where} and left out of the features"
        with pytest.warns(UserWarning, match=f"with.npz: {names}$") as said:
            found = datasets.make_problem(whole, test_frac=test_frac)
        assert (len(said), said[0].filename) == (1, __file__)
        assert found == datasets.make_problem(without, test_frac=test_frac)
    assert cli.main(["grid", "--data", str(tmp_path / "with.npz"), "--schedule", "cosine", *CHEAP]) == 0
    printed = capsys.readouterr()
    assert "LogisticRegression X: 32 x 2" in printed.out
    assert printed.err == f"anneal-sgd: {tmp_path}/with.npz: {names}\n"


def test_many_constant_columns_are_counted():
    X = np.column_stack([np.arange(4.0), *[np.full(4, float(k)) for k in range(9)]])
    table = datasets.Table("t", X, np.array([0.0, 1.0, 0.0, 1.0]), tuple(f"x{i}" for i in range(10)), ("0", "1"))
    with pytest.warns(UserWarning, match=r"^t: columns 'x1', 'x2', 'x3', 'x4', 'x5', ... \(9 in all\) are"):
        assert datasets.make_problem(table).dimension == 1


def test_a_column_that_varies_in_held_out_rows_alone(tmp_path):
    path = tmp_path / "rare.csv"
    path.write_text("a,b,y\n" + "".join(f"{i},{int(i == 0)},{i % 2}\n" for i in range(40)))
    table = datasets.load(str(path), target="y")
    with pytest.warns(UserWarning, match="column 'b' is constant in the rows that are not held out and left out"):
        problem = datasets.make_problem(table, test_frac=0.5, seed=0)
    assert (problem.dimension, problem.test[0].shape) == (1, (20, 1))
    assert datasets.make_problem(table).dimension == 2


def test_a_column_that_varies_in_rows_without_weight_alone():
    table = datasets.Table("t", np.array([[1.0, 0], [2, 0], [3, 0], [4, 5]]), np.arange(4.0), ("a", "b"), ())
    weighted = dataclasses.replace(table, sample_weight=np.array([1.0, 1, 1, 0]))
    with pytest.warns(UserWarning, match="column 'b' is constant and left out"):
        assert datasets.make_problem(weighted).dimension == 1


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 torn"])
def test_bad_npz(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not an \.npz file"):
        datasets.load(str(path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnist", "data must be one of synthetic-logistic, .* or a .csv, .tsv, .parquet.* file, got 'mnist'"),
        ("none.csv", "data must be a file that exists, got 'none.csv'"),
    ],
)
def test_no_such_data(source, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        datasets.load(source)


WORDS = np.array(["cold", "warm", "hot"])
POINTS, KINDS = np.random.default_rng(3).normal(size=(60, 2)), np.arange(60) % 3


def frame(**more):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"a": POINTS[:, 0], "b": POINTS[:, 1], "kind": WORDS[KINDS], **more})


def assert_read(path, **arguments):
    """The points, and the classes in the order of their names."""
    table = datasets.load(str(path), **arguments)
    np.testing.assert_allclose(table.X, POINTS, rtol=1e-15)
    assert table.classes == ("cold", "hot", "warm")
    np.testing.assert_array_equal(table.y, np.array([0, 2, 1])[KINDS])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".tsv.bz2", ".csv.xz", ".CSV"])
def test_tables_of_text(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    frame().to_csv(path, index=False, sep="\t" if "tsv" in suffix else ",")
    assert_read(path, target="kind")


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_parquet(tmp_path, dtype):
    pytest.importorskip("pyarrow")
    table = frame().astype({"kind": dtype}).set_index(np.arange(60) + 7)
    table.to_parquet(tmp_path / "table.parquet")
    assert_read(tmp_path / "table.parquet", target="kind")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "table.parquet").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"torn.parquet: not a Parquet file"):
        datasets.load(str(tmp_path / "torn.parquet"), target="kind")


def test_nullable_columns_and_targets(tmp_path):
    """Numbers as ever, where nothing is missing; classes 1 and 2, False and True."""
    pytest.importorskip("pyarrow")
    table = frame(n=KINDS, two=KINDS % 2 + 1, flag=KINDS > 0).drop(columns="kind").convert_dtypes()
    table.to_parquet(tmp_path / "t.parquet")
    two = datasets.load(str(tmp_path / "t.parquet"), target="two")
    np.testing.assert_array_equal(two.X, np.column_stack([POINTS, KINDS, KINDS > 0]))
    assert two.classes == ("1", "2")
    np.testing.assert_array_equal(datasets.make_problem(two).y, 2.0 * (KINDS % 2) - 1.0)
    assert datasets.load(str(tmp_path / "t.parquet"), target="flag").classes == ("False", "True")
    number = datasets.load(str(tmp_path / "t.parquet"), target="a")
    assert number.classes == ()
    np.testing.assert_array_equal(number.y, POINTS[:, 0])
    table.loc[4, "n"] = None
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="'n' must be a finite number in every row, got nan in row 5"):
        datasets.load(str(tmp_path / "t.parquet"), target="two")


@pytest.mark.parametrize("suffix", [".svm", ".svmlight", ".libsvm.gz"])
def test_svmlight(tmp_path, suffix):
    sklearn = pytest.importorskip("sklearn.datasets")
    sparse = np.where(POINTS > 0, POINTS, 0.0)
    sklearn.dump_svmlight_file(sparse, KINDS + 1, str(tmp_path / "plain"))
    content, path = (tmp_path / "plain").read_bytes(), tmp_path / f"data{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    table = datasets.load(str(path))
    np.testing.assert_allclose(table.X, sparse, rtol=1e-15)
    assert table.classes == ("1", "2", "3")
    with pytest.raises(ValueError, match=r"^target must be left out"):
        datasets.load(str(path), target="y")
    (tmp_path / "bad.svm").write_text("1 one:2\n")
    with pytest.raises(ValueError, match=r"bad.svm: not an svmlight file"):
        datasets.load(str(tmp_path / "bad.svm"))
    (tmp_path / "wide.svm").write_text("1 2000000000:1\n2 1:1\n")
    with pytest.raises(ValueError, match=r"wide.svm: 2 x 2000000000 features are more than"):
        datasets.load(str(tmp_path / "wide.svm"))


def test_npy(tmp_path):
    np.save(tmp_path / "t.npy", np.column_stack([POINTS[:, 0], KINDS, POINTS[:, 1]]))
    for target in ("1", "-2"):
        table = datasets.load(str(tmp_path / "t.npy"), target=target)
        np.testing.assert_array_equal(table.X, POINTS)
        np.testing.assert_array_equal(table.y, KINDS)
        assert table.columns == ("column 0", "column 2")
    for target in (None, "3", "-4", "kind"):
        with pytest.raises(ValueError, match=r"^target must be the number of the column .*, -3 to 2, got"):
            datasets.load(str(tmp_path / "t.npy"), target=target)
    for array in (POINTS[:, 0], POINTS[:, :1], POINTS.astype(str)):
        np.save(tmp_path / "u.npy", array)
        with pytest.raises(ValueError, match=r"the array must be numbers of shape \(n, d\), d >= 2"):
            datasets.load(str(tmp_path / "u.npy"), target="0")


def test_an_index_column_is_left_out_with_a_word(tmp_path, capsys):
    """That of sorted classes would give the target away."""
    frame().sort_values("kind", ignore_index=True).to_csv(tmp_path / "t.csv")
    with pytest.warns(UserWarning, match=r"t.csv: the first column has no name and is taken for an index"):
        found = datasets.load(str(tmp_path / "t.csv"), target="kind")
    assert found.columns == ("a", "b")
    arguments = ["--data", str(tmp_path / "t.csv"), "--target", "kind", "--schedule", "cosine"]
    assert cli.main(["grid", *arguments, *CHEAP]) == 0
    printed = capsys.readouterr()
    assert "SoftmaxRegression X: 48 x 2" in printed.out
    assert printed.err.startswith("anneal-sgd: ")
    assert "taken for an index: it is left out" in printed.err


def test_columns_of_weights(tmp_path, capsys):
    """Rows of whole weights are as good as repeated ones, standardised features and numbers too."""
    table, counts = frame().drop(columns="kind").assign(y=POINTS[:, 0] - 0.3 * POINTS[:, 1] ** 2), np.arange(60) % 3
    table.assign(times=counts).to_csv(tmp_path / "t.csv", index=False)
    table.iloc[np.repeat(np.arange(60), counts)].to_csv(tmp_path / "repeated.csv", index=False)
    np.savez(tmp_path / "t.npz", X=table[["a", "b"]], y=table["y"], times=counts)
    repeated = datasets.make_problem(datasets.load(str(tmp_path / "repeated.csv"), target="y"), l2=0.1)
    for name, target in (("t.csv", "y"), ("t.npz", None)):
        loaded = datasets.load(str(tmp_path / name), target=target, sample_weight="times")
        assert (loaded.sample_weight.tolist(), loaded.X.shape) == (counts.tolist(), (60, 2))
        weighted = datasets.make_problem(loaded, l2=0.1)
        assert weighted.minimum == pytest.approx(repeated.minimum, rel=1e-6)  # features are float32
        assert float(weighted.value([1.0, -2.0])) == pytest.approx(float(repeated.value([1.0, -2.0])), rel=1e-6)
    part = datasets.make_problem(loaded, l2=0.1, test_frac=0.5)
    assert part.sample_weight.shape == part.y.shape == (30,)
    arguments = ["grid", "--data", str(tmp_path / "t.csv"), "--target", "y", "--schedule", "cosine", *CHEAP]
    assert cli.main([*arguments, "--sample-weight", "times"]) == 0
    assert "LeastSquares X: 48 x 2, sample_weight=..." in capsys.readouterr().out
    assert cli.main([*arguments, "--sample-weight", "y"]) == 2
    assert "sample_weight must be a column of" in capsys.readouterr().err


def test_the_suboptimality_of_a_loss_of_ones_own(tmp_path):
    """Above a minimum that is searched for: squares as a text against least squares."""
    frame().drop(columns="kind").assign(y=POINTS[:, 0] - 0.3 * POINTS[:, 1] ** 2).to_csv(
        tmp_path / "t.csv", index=False
    )
    arguments = ["grid", "--data", str(tmp_path / "t.csv"), "--target", "y", "--schedule", "cosine", *CHEAP]
    means = []
    for name, options in (("own", ["--loss", "(z - y) ** 2 / 2"]), ("built-in", [])):
        path = tmp_path / f"{name}.json"
        assert cli.main([*arguments, *options, "--metric", "suboptimality", "--json", str(path)]) == 0
        means.append(np.array([row["mean"] for row in json.loads(path.read_text())["rows"]], float))
    np.testing.assert_allclose(*means, rtol=1e-3)


def test_the_command_of_an_average(tmp_path, capsys):
    arguments = ["grid", *CHEAP, "--schedule", "constant", "--json", str(tmp_path / "g.json")]
    assert cli.main([*arguments, "--iterate", "tail_average", "--tail-frac", "0.25"]) == 0
    printed = capsys.readouterr().out
    assert "SGD(momentum=0.0, nesterov=False, weight_decay=0.0), tail_average of the iterates, T = 100," in printed
    assert "1/(p+1)" not in printed  # which is of the last iterate
    meta = json.loads((tmp_path / "g.json").read_text())["meta"]
    assert (meta["iterate"], meta["tail_frac"]) == ("tail_average", 0.25)
    assert cli.main(arguments) == 0
    assert "of the iterates" not in capsys.readouterr().out


def test_columns_that_hold_no_weights(tmp_path):
    frame().assign(times=[-1.0, *[1.0] * 59]).to_csv(tmp_path / "t.csv", index=False)
    frame().assign(times=[*[1.0] * 59, None]).to_csv(tmp_path / "gap.csv", index=False)
    np.save(tmp_path / "t.npy", POINTS)
    for name, column, message in (
        ("t.csv", "times", "must be one-dimensional, finite and >= 0, got -1"),
        ("gap.csv", "times", r"must be numbers >= 0 of shape \(60,\), .*, none missing, got nan at index 59"),
        ("t.csv", "kind", "must be a column of .* other than the target, one of 'a', 'b', .*, got 'kind'"),
        ("t.csv", "none", "must be a column of .*, got 'none'"),
        ("t.npy", "0", "must be left out for .*, whose columns have no names, got '0'"),
        ("digits", "times", "must be left out for the built-in data 'digits', got 'times'"),
    ):
        source = name if name == "digits" else str(tmp_path / name)
        with pytest.raises(ValueError, match=f"^sample_weight {message}"):
            datasets.load(source, target={"t.npy": "1", "digits": None}.get(name, "kind"), sample_weight=column)
    table = datasets.load(str(tmp_path / "t.csv"), target="kind")
    some = dataclasses.replace(table, sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match=r"^sample_weight must have a weight > 0 among the rows"):
        datasets.make_problem(some)


def test_categorical_features(tmp_path, capsys):
    """Encoded on request, a column for each value, or refused with what to do."""
    names = ("north", "south", "west")
    place, size = np.array(names)[KINDS], np.where(POINTS[:, 0] > 0, "big", "small")
    table = frame(place=place, size=size).drop(columns="kind").assign(y=np.arange(60) % 2)
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"column 'place', 'size' must be numbers: --encode \(encode=True\)"):
        datasets.load(str(tmp_path / "t.csv"), target="y")
    found = datasets.load(str(tmp_path / "t.csv"), target="y", encode=True)
    assert found.columns == ("a", "b", *(f"place_{p}" for p in names), "size_big", "size_small")
    np.testing.assert_array_equal(found.X[:, 2:5], [[p == name for name in names] for p in place])
    np.testing.assert_array_equal(found.X[:, 5], size == "big")
    arguments = ["grid", "--data", str(tmp_path / "t.csv"), "--target", "y", "--schedule", "cosine", *CHEAP]
    assert cli.main(arguments) == 2
    assert "--encode" in capsys.readouterr().err
    assert cli.main([*arguments, "--encode"]) == 0
    assert "LogisticRegression X: 48 x 7" in capsys.readouterr().out
    table.assign(size=np.where(KINDS > 0, "big", None)).to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(ValueError, match="'size' must have a value in every row, got none in row 1: fill in"):
        datasets.load(str(tmp_path / "gap.csv"), target="y", encode=True)
    many = frame().iloc[np.arange(150) % 60].assign(kind=[f"id {i}" for i in range(150)], y=np.arange(150) % 2)
    many.to_csv(tmp_path / "many.csv", index=False)
    with pytest.raises(ValueError, match="'kind' must have at most 100 values to be encoded, got 150"):
        datasets.load(str(tmp_path / "many.csv"), target="y", encode=True)


def test_models_must_fit_the_target():
    with pytest.raises(ValueError, match=r"^model 'logistic' must have a target of two classes, digits has 10 classes"):
        datasets.make_problem(datasets.load("digits"), model="logistic")
    with pytest.raises(ValueError, match=r"^model must be one of"):
        datasets.make_problem(datasets.load("digits"), model="forest")


# --- the command line -------------------------------------------------------------------------------------------------

CHEAP = ["--horizon", "100", "--replicates", "4", "--points-per-decade", "2", "--threads", "1"]


def test_command(tmp_path, capsys):
    assert cli.main(["grid", "--data", "breast_cancer", *CHEAP, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "LogisticRegression X: 456 x 30" in printed
    assert "worst, by test_loss  worst, by 1 − test_accuracy\n" in printed
    assert "best suboptimality  10 times  100 times  best test_loss  10 times  100 times" in printed
    assert "linear stays within 50 % of its best test_loss with" in printed
    assert "constant stays within 50 % of its best suboptimality with" in printed
    assert "a point on the left of the best, where no schedule helps" in printed
    assert "linear: slope of suboptimality from 10 to 100 times its best learning rate" in printed
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"grid.json", "grid.txt", *(f"grid_{n}.{s}" for n in ("loss", "excess") for s in ("png", "svg"))}
    saved = json.loads((tmp_path / "out" / "grid.json").read_text())
    assert [row["schedule"] for row in saved["rows"]][:2] == ["constant", "inverse_sqrt"]


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_no_column_is_lost_on_a_narrow_console(terminal):
    from rich.console import Console

    from anneal_sgd.cli import _grid

    report = grid_robustness(NOISY, schedules=[schedules.Cosine()], **SMALL)
    shown = {}
    for width in (30, 500):
        shown[width] = io.StringIO()
        _grid._print_grid(report, Console(file=shown[width], width=width, force_terminal=terminal, color_system=None))
    narrow, wide = shown[30].getvalue(), shown[500].getvalue()
    assert (narrow == wide) is not terminal
    assert narrow.split() == wide.split()  # a terminal wraps sentences; nothing is cut
    assert "…" not in narrow
    row = report.rows[0]
    assert wide.count(_grid._percent(row.mean_excess[-1], row.mean_low[-1], row.mean_high[-1])) == 1


def test_command_with_runs_per_point(tmp_path, capsys):
    arguments = ["--runs-per-point", "2", "--runs-per-point", "1", "--schedule", "linear", "--test-frac", "0"]
    assert cli.main(["grid", "--data", "breast_cancer", *CHEAP, *arguments, "--json", str(tmp_path / "g.json")]) == 0
    printed = capsys.readouterr().out
    assert "LogisticRegression X: 569 x 30" in printed
    assert "mean over offsets  mean, 1 run" in printed
    assert "test_" not in printed
    assert "(runs in all: 7 with 1, 14 with 2, 28 with 4 per point)" in printed
    saved = json.loads((tmp_path / "g.json").read_text())
    assert [found["runs"] for found in saved["rows"][0]["picks"]] == saved["meta"]["runs_per_point"] == [1, 2]
    assert cli.main(["grid", "--data", "breast_cancer", *CHEAP, "--runs-per-point", "3"]) == 2
    assert "runs_per_point must be at most half of replicates, 2, got 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("clipped(adam:0.8, threshold=2)", methods.Clipped(methods.Adam(beta1=0.8), threshold=2.0)),
        (
            "sgd(momentum=following(linear, zero=0.5, one=0.9))",
            methods.SGD(methods.Following(schedules.Linear(), zero=0.5, one=0.9)),
        ),
    ],
)
def test_command_with_a_method(text, method, tmp_path, capsys):
    arguments = [
        "grid",
        "--data",
        "breast_cancer",
        *CHEAP,
        "--schedule",
        "cosine",
        "--test-frac",
        "0",
        "--json",
        str(tmp_path / "g.json"),
    ]
    assert cli.main([*arguments, "--method", text]) == 0
    assert f"batch_size=16>, {method!r}, T = 100" in " ".join(capsys.readouterr().out.split())
    saved = json.loads((tmp_path / "g.json").read_text())
    problem = datasets.make_problem(datasets.load("breast_cancer"), batch_size=16)
    report = grid_robustness(
        problem,
        schedules=[schedules.Cosine()],
        base_lr_range=(1e-4, 1e2),
        points_per_decade=2,
        horizon=100,
        replicates=4,
        method=method,
    )
    assert saved["meta"]["method"] == repr(method)
    assert saved["rows"][0]["best_base_lr"] == report.rows[0].best_base_lr
    assert saved["rows"][0]["best"] == pytest.approx(report.rows[0].best, rel=1e-7)


def test_command_on_a_file(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    rng = np.random.default_rng(1)
    X = rng.normal(size=(80, 2))
    path.write_text("u,v,kind\n" + "\n".join(f"{a},{b},{'hot' if a + b > 0 else 'cold'}" for a, b in X))
    arguments = ["grid", "--data", str(path), "--target", "kind", "--schedule", "cosine", *CHEAP]
    assert cli.main([*arguments, "--metric", "test_accuracy", "--json", str(tmp_path / "g.json")]) == 0
    assert json.loads((tmp_path / "g.json").read_text())["meta"]["metric"] == "test_accuracy"
    assert "cosine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mnist"], "data must be one of"),
        (["--schedule", "cosin"], "name must be one of"),
        (["--method", "adm"], "name must be one of 'sgd', "),
        (
            ["--method", "sgd(momentum=liner)"],
            "momentum must be a number, a schedule or following(schedule, zero, one), ",
        ),
        (["--method", "sgd(momentum=linear)"], "momentum must be in [0, 1) in every step, got 1.0 at t = 0 of 100 by "),
        (["--method", "adam", "--momentum", "0.9"], "momentum"),
        (["--batch-size", "0"], "batch_size must be an integer"),
        (["--iterate", "mean"], "iterate must be one of 'last', "),
        (["--ema-decay", "0.5"], "ema_decay must go with iterate 'ema', got 0.5 with 'last'"),
        (["--l2", "-1"], "l2 must be one number"),
        (["--lr-min", "1", "--lr-max", "2"], "base_lr_range must span"),
        (["--json", "/no/such/folder/x.json"], "--json: folder '/no/such/folder' does not exist"),
        (["--metric", "error"], "metric must be"),
        (["--lr-min", "1e-300", "--lr-max", "1e300"], "base_lr must be 0 or 1.175e-38 to 3.403e+38 in float32"),
        (["--largest-resolution", "1.2"], "largest_resolution must be at least the ratio of neighbours"),
        (["--seed", "-1"], "seed must be an integer"),
        (["--model", "softmax"], ""),
    ],
)
def test_bad_options(arguments, message, capsys):
    status = cli.main(["grid", *CHEAP, *arguments])
    error = capsys.readouterr().err
    assert status == (2 if message else 0)
    assert error.startswith(f"anneal-sgd: {message}" if message else "")
    assert "Traceback" not in error


def test_command_interrupted(tmp_path):
    """Ctrl-C after the first row: what is done is printed and kept; exit status 130."""
    code = f"""
import anneal_sgd.experiments.grid as grid, sys
from anneal_sgd import cli
simulate, calls = grid.simulate_quietly, []
def once(*a, **k):
    calls.append(1)
    if len(calls) > 1:
        raise KeyboardInterrupt
    return simulate(*a, **k)
grid.simulate_quietly = once
sys.exit(cli.main(["grid", *{CHEAP!r}, "--json", {str(tmp_path / "part.json")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "constant stays within" in done.stdout
    saved = json.loads((tmp_path / "part.json").read_text())
    assert (len(saved["rows"]), saved["meta"]["interrupted"]) == (1, True)
