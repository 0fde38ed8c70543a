"""Simulations against exact answers and against an independent implementation with NumPy's own generator."""

import numpy as np
import pytest

from anneal_sgd import problems, runtime, schedules, simulate, theory

SCHEDULES = [
    schedules.Constant(),
    schedules.InverseSqrt(),
    schedules.Polynomial(2.5),
    schedules.Cosine(floor=0.1),
    schedules.WarmupStableDecay(0.3, "one_minus_sqrt", warmup_frac=0.1),
    schedules.StepDecay(),
]
BOX = ("box", -1.0, 1.0)


def curvatures(dimension):
    return np.linspace(0.2, 1.5, dimension) if dimension > 1 else np.array([0.8])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("noise", ["gaussian", "rademacher", "uniform"])
@pytest.mark.parametrize("dimension", [1, 2, 3, 31, 64, 1000])
def test_quadratic_mean_is_exact(dimension, noise, dtype):
    """E f after 1, 20 and 150 steps, for every schedule at once: |z| < 5 with the sample's standard error."""
    curvature = curvatures(dimension)
    x0 = np.where(np.arange(dimension) % 2 == 0, 1.0, -0.5)
    problem = problems.Quadratic(curvature=curvature, noise=noise, noise_std=0.6, x0=x0)
    replicates = min(8000, max(500, 100_000 // dimension))
    record_at = [1, 20, 150]
    result = simulate(
        problem, SCHEDULES, base_lr=[0.1, 0.5], horizon=150, replicates=replicates, record_at=record_at, seed=11,
        dtype=dtype, common_random_numbers=False,
    )  # fmt: skip
    for s, schedule in enumerate(SCHEDULES):
        exact = theory.quadratic_moments(
            schedule, curvature=curvature, x0=x0, noise_std=0.6, base_lr=[0.1, 0.5], horizon=150, record_at=record_at
        )
        # After one step with d = 1 Rademacher noise leaves two values only, and rounding shows: allow for it.
        error = result.stderr[s] + 1e-6 * exact.suboptimality
        assert np.all(np.abs(result.mean[s] - exact.suboptimality) < 5 * error)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dimension", [1, 3, 64])
def test_quadratic_variance_is_exact(isa, dimension, dtype):
    """The standard deviation of f under Gaussian noise, through E f^2: |z| < 5."""
    curvature = curvatures(dimension)
    problem = problems.Quadratic(curvature=curvature, noise="gaussian", noise_std=0.6)
    result = simulate(
        problem, schedules.Cosine(), base_lr=0.4, horizon=60, replicates=30_000, record_at=[5, 60], seed=5, dtype=dtype,
        isa=isa, keep_samples=True,
    )  # fmt: skip
    exact = theory.quadratic_moments(
        schedules.Cosine(),
        curvature=curvature,
        x0=np.ones(dimension),
        noise_std=0.6,
        base_lr=0.4,
        horizon=60,
        record_at=[5, 60],
    )
    squares = result.samples.astype(np.float64) ** 2
    error = squares.std(axis=-1) / np.sqrt(squares.shape[-1])
    assert np.all(np.abs(squares.mean(axis=-1) - (exact.suboptimality**2 + exact.suboptimality_std**2)) < 5 * error)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)
def test_final_iterate_is_gaussian(schedule, stats):
    """With Gaussian noise x_T is N(m, v) exactly: Kolmogorov-Smirnov on f = λx²/2, p > 10⁻⁶."""
    problem = problems.Quadratic(curvature=0.8, noise="gaussian", noise_std=0.6, x0=2.0)
    result = simulate(problem, schedule, base_lr=0.3, horizon=40, replicates=100_000, seed=2, keep_samples=True)
    exact = theory.quadratic_moments(schedule, curvature=[0.8], x0=[2.0], noise_std=0.6, base_lr=0.3, horizon=40)
    law = stats.norm(exact.mean.item(), np.sqrt(exact.variance.item()))

    def cdf(f):
        size = np.sqrt(2 * f / 0.8)
        return law.cdf(size) - law.cdf(-size)

    assert stats.kstest(result.samples, cdf).pvalue > 1e-6


@pytest.mark.parametrize("projection", [None, ("box", -0.7, 0.9), ("ball", 0.8)], ids=["none", "box", "ball"])
@pytest.mark.parametrize("name", ["absolute", "quadratic", "huber"])
def test_without_noise_it_is_a_loop(isa, name, projection):
    weight = [0.3, 1.0, 0.7]
    x0 = np.array([0.5, -0.6, 0.1])
    problem = {
        "absolute": problems.AbsoluteValue(slope=weight, projection=projection, x0=x0),
        "quadratic": problems.Quadratic(curvature=weight, projection=projection, x0=x0),
        "huber": problems.Huber(slope=weight, width=0.2, projection=projection, x0=x0),
    }[name]
    result = simulate(
        problem,
        schedules.Linear(),
        base_lr=0.9,
        horizon=50,
        replicates=3,
        record_at=range(51),
        dtype="float64",
        isa=isa,
    )
    x = x0.copy()
    values = [float(problem.suboptimality(x))]
    for t in range(50):
        x = x - 0.9 * (1 - t / 50) * problem.gradient(x)
        if projection is not None and projection[0] == "box":
            x = np.clip(x, -0.7, 0.9)
        elif projection is not None:
            x = x * min(1.0, 0.8 / np.linalg.norm(x))
        values.append(float(problem.suboptimality(x)))
    np.testing.assert_allclose(result.mean, values, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(result.min, result.max)


def independent(gradient, project, h, draws, x0, base_lr, steps, n, rng):
    x = np.full(n, x0)
    for t in range(steps):
        x = project(x - base_lr * h(t / steps) * (gradient(x) + draws(rng, n)))
    return x


@pytest.mark.parametrize("noise", ["rademacher", "gaussian", "uniform"])
@pytest.mark.parametrize("kind", ["absolute", "quadratic", "huber"])
def test_final_distribution_of_an_independent_implementation(kind, noise, stats):
    """Two-sample Kolmogorov-Smirnov against a NumPy loop with PCG64, p > 10⁻⁶."""
    draws = {
        "rademacher": lambda rng, n: rng.choice([-0.8, 0.8], n),
        "gaussian": lambda rng, n: rng.normal(0, 0.8, n),
        "uniform": lambda rng, n: rng.uniform(-0.8 * 3**0.5, 0.8 * 3**0.5, n),
    }[noise]
    common = {"noise": noise, "noise_std": 0.8, "projection": BOX, "x0": 0.9}
    problem, gradient = {
        "absolute": (problems.AbsoluteValue(slope=0.3, **common), lambda x: 0.3 * np.sign(x)),
        "quadratic": (problems.Quadratic(curvature=0.5, **common), lambda x: 0.5 * x),
        "huber": (problems.Huber(slope=0.4, width=0.2, **common), lambda x: 0.4 * np.clip(x / 0.2, -1, 1)),
    }[kind]
    x = independent(
        gradient, lambda y: np.clip(y, -1, 1), lambda u: (1 + np.cos(np.pi * u)) / 2, draws, 0.9, 0.25, 80, 40_000,
        np.random.default_rng(9),
    )  # fmt: skip
    ours = simulate(problem, schedules.Cosine(), base_lr=0.25, horizon=80, replicates=40_000, seed=4, keep_samples=True)
    assert stats.ks_2samp(ours.samples.astype(np.float64), problem.value(x[:, None])).pvalue > 1e-6


@pytest.mark.parametrize("setting", ["nonsmooth", "smooth"])
def test_means_stay_below_the_bound(setting):
    rho = np.array([1.0, 4.0, 16.0])
    for schedule in [schedules.Constant(), schedules.InverseSqrt(), schedules.Linear(), schedules.Cosine(floor=0.1)]:
        tuned = theory.tuned_base_lr(schedule, 1000)
        for a in (0.03, 0.1, 0.5):
            problem = (
                problems.AbsoluteValue(slope=a, noise="rademacher", second_moment=1.0, projection=BOX)
                if setting == "nonsmooth"
                else problems.Quadratic(curvature=a, noise="rademacher", noise_std=1.0, projection=BOX)
            )
            result = simulate(problem, schedule, base_lr=rho * tuned, horizon=1000, replicates=4096)
            bound = theory.last_iterate_bound(
                schedule, 1000, base_lr=rho * tuned, gradient_bound=problem.second_moment**0.5
            )
            assert np.all(result.mean + 5 * result.stderr < bound.value)


def test_float32_and_float64_agree_in_distribution():
    problem = problems.AbsoluteValue(slope=0.1, noise="gaussian", second_moment=1.0, projection=BOX)
    single, double = (
        simulate(problem, schedules.Polynomial(3), base_lr=0.2, horizon=2000, replicates=50_000, seed=seed, dtype=dtype)
        for seed, dtype in ((1, "float32"), (2, "float64"))
    )
    assert abs(single.mean - double.mean) < 5 * np.hypot(single.stderr, double.stderr)


def test_averages_of_a_known_sequence():
    """|x| with slope 1, constant rate 1/8 and no noise: 7/8, 6/8, … so averages are arithmetic."""
    problem = problems.AbsoluteValue(slope=1.0)
    options = {"base_lr": 0.125, "horizon": 8, "replicates": 1, "record_at": [0, 1, 4, 7]}
    average = simulate(problem, schedules.Constant(), iterate="average", **options)
    tail = simulate(problem, schedules.Constant(), iterate="tail_average", tail_frac=0.5, **options)
    assert average.mean.tolist() == [1, 7 / 8, (7 + 6 + 5 + 4) / 32, 28 / 56]
    assert tail.mean.tolist() == [1, 7 / 8, (5 + 4) / 16, (4 + 3 + 2 + 1) / 32]


@pytest.mark.skipif(len(runtime.supported_isas()) < 2, reason="one instruction set only")
def test_isas_agree_at_a_size_that_users_run():
    """10^5 steps, a sweep of problems and rates: the fastest and the next, to the bit."""
    family = [
        problems.AbsoluteValue(slope=a, noise="rademacher", second_moment=1.0, projection=BOX) for a in (0.02, 0.3)
    ]
    results = [
        simulate(family, schedules.Polynomial(1.5), base_lr=[0.01, 0.3], horizon=100_000, replicates=1500, isa=isa)
        for isa in runtime.supported_isas()[-2:]
    ]
    np.testing.assert_array_equal(results[0].mean, results[1].mean)
    np.testing.assert_array_equal(results[0].stderr, results[1].stderr)


def test_tail_windows_are_whole_where_the_product_is(isa):
    """0.07 * 100 is above 7 in float64; the tail average of 100 steps is over 7 iterates."""
    lr = 2.0**-10
    problem = problems.AbsoluteValue(1.0, x0=1.0)
    for fraction in (0.07, 0.14, 0.28, 0.55, 0.56):
        result = simulate(
            problem,
            schedules.Constant(),
            base_lr=lr,
            horizon=100,
            replicates=1,
            iterate="tail_average",
            tail_frac=fraction,
            dtype="float64",
            isa=isa,
        )
        n = round(100 * fraction)
        assert result.mean == pytest.approx(1 - lr * np.mean(range(101 - n, 101)), abs=1e-15)
