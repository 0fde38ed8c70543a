"""Increments far below the spacing of numbers at the iterate still move it, against exact answers."""

from __future__ import annotations

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate, theory

LIMIT = 4.0  # standard errors


@pytest.mark.parametrize("base_lr", [1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize(("schedule", "mean_of_h"), [(schedules.Constant(), 1.0), (schedules.Cosine(), 0.5)])
def test_noisy_walk(base_lr, schedule, mean_of_h, isa):
    """|x| from 1, far from its kink: E f = a (1 - a lr sum h), Var f = a^2 lr^2 sum h^2."""
    horizon, replicates, slope = 20_000, 4096, 0.5
    problem = problems.AbsoluteValue(slope=slope, noise="rademacher", noise_std=1.0, x0=1.0)
    result = simulate(
        problem, schedule, base_lr=base_lr, horizon=horizon, replicates=replicates, keep_samples=True, isa=isa
    )
    h = schedule.values(horizon)
    assert h.mean() == pytest.approx(mean_of_h, abs=1 / horizon)
    expected, std = slope * (1 - slope * base_lr * h.sum()), slope * base_lr * np.sqrt((h**2).sum())
    rounding = slope * 2.0**-25  # of x itself, on average over replicates far less
    assert abs(result.mean - expected) < LIMIT * std / np.sqrt(replicates) + rounding
    if std > 100 * rounding:
        assert result.std == pytest.approx(std, rel=LIMIT / np.sqrt(2 * replicates))


@pytest.mark.parametrize("projection", [None, ("box", -2.0, 2.0), ("ball", 2.0)])
@pytest.mark.parametrize(("kind", "parameters"), [(problems.AbsoluteValue, {}), (problems.Huber, {"width": 0.5})])
def test_steps_that_float32_loses(kind, parameters, projection, isa):
    """Every increment is 1e-8, a sixth of the spacing at 0.75: rounded one by one they would all be lost."""
    problem = kind(0.001, x0=0.75, projection=projection, **parameters)
    result = simulate(problem, schedules.Constant(), base_lr=1e-5, horizon=100_000, replicates=1, isa=isa)
    start = problem.value(0.75)
    assert result.mean == pytest.approx(start - 0.001 * 1e-3, abs=0.001 * 2.0**-24)


@pytest.mark.parametrize("iterate", ["last", "average", "tail_average"])
@pytest.mark.parametrize("dimension", [1, 40])
@pytest.mark.parametrize("projection", [None, ("ball", 50.0)])
def test_annealed_quadratic(iterate, dimension, projection, isa):
    """float32 follows float64 to its own spacing where lr lambda falls from 2^-20 to 0."""
    x0 = np.linspace(1.0, 0.7, dimension)
    problem = problems.Quadratic(np.linspace(0.5, 1.0, dimension), x0=x0, projection=projection)
    call = {"base_lr": 1e-6, "horizon": 30_000, "replicates": 1, "iterate": iterate, "isa": isa}
    single, double = (
        simulate(problem, schedules.Polynomial(2), dtype=dtype, **call).mean for dtype in ("float32", "float64")
    )
    moved = problem.value(x0) - double
    assert moved > 1e-3 * double
    assert abs(single - double) < 1e-4 * moved + 2.0**-22 * double


def test_float64_gains_the_same(isa):
    """A drift of 10^5 increments of 2^-56 from 1 in float64: without what was carried, none."""
    problem = problems.AbsoluteValue(1.0, x0=1.0)
    result = simulate(
        problem, schedules.Constant(), base_lr=2.0**-56, horizon=100_000, replicates=1, dtype="float64", isa=isa
    )
    assert result.mean == 1.0 - round(100_000 * 2.0**-56 * 2.0**53) * 2.0**-53


def test_a_bound_holds_exactly(isa):
    """An iterate that is pushed against its bound by small steps stays on it."""
    problem = problems.AbsoluteValue(0.5, projection=("box", 0.3, 1.0), x0=0.3)
    result = simulate(
        problem, schedules.Constant(), base_lr=1e-8, horizon=500, replicates=1, record_at=range(501), isa=isa
    )
    assert result.max.max() == 0.0


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_weights(options, batch_size, isa):
    """Least squares with a minibatch of equal rows: every step is the same map, iterated in float64 here."""
    row, target, rate, steps = np.array([0.6, -0.8, 0.5]), 5.0, 2e-8, 20_000
    problem = problems.LeastSquares(
        np.tile(row, (5, 1)), np.full(5, target), batch_size=batch_size, intercept=True, x0=[0.9, -0.7, 0.8, 0.6]
    )
    result = simulate(
        problem,
        schedules.Constant(),
        base_lr=[rate, 2 * rate],
        horizon=steps,
        replicates=2,
        metric="loss",
        isa=isa,
        **options,
    )
    decay = np.array([1.0, 1.0, 1.0, 0.0]) * options.get("weight_decay", 0.0)
    full = np.append(row, 1.0)
    for which, lr in enumerate((rate, 2 * rate)):
        x, v = np.float32([0.9, -0.7, 0.8, 0.6]).astype(float), np.zeros(4)
        start = 0.5 * (full @ x - target) ** 2
        for _ in range(steps):
            g = (full @ x - target) * full + decay * x
            v = options.get("momentum", 0.0) * v + g
            x = x - lr * (g + 0.5 * v if options.get("nesterov") else v)
        expected = 0.5 * (full @ x - target) ** 2
        assert start - expected > 1e-3
        assert result.mean[which] == pytest.approx(expected, abs=1e-3 * (start - expected))


def test_moments_of_an_annealed_walk(isa):
    """A noisy quadratic whose increments are all below the spacing at x0, against the exact moment recursion."""
    horizon, replicates, std = 20_000, 8192, 1.0
    problem = problems.Quadratic(1.0, noise="gaussian", noise_std=std, x0=1.0)
    result = simulate(problem, schedules.Linear(), base_lr=2e-8, horizon=horizon, replicates=replicates, isa=isa)
    exact = theory.quadratic_moments(
        schedules.Linear(), curvature=1.0, x0=1.0, noise_std=std, base_lr=2e-8, horizon=horizon
    )
    assert 0.5 - exact.suboptimality > 1e-4
    assert abs(result.mean - exact.suboptimality) < LIMIT * result.stderr + 2.0**-25
