"""The exact worst case: the theorem minimised by brute force, PEPit's values, functions that attain it, simulations."""

from __future__ import annotations

import importlib.util
import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import problems, schedules, simulate, theory
from anneal_sgd.schedules import Schedule
from anneal_sgd.theory import _steps
from pepit_cases import Case, cases, recorded
from test_theory import ALL, Steps, name

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

pytestmark = pytest.mark.filterwarnings("error")

FloatArray = NDArray[np.float64]


def theorem(lr: FloatArray, last: FloatArray, distance: float, gradient_bound: float) -> FloatArray:
    """(D^2 + G^2 sum w^2) / (2 W_1) with the weights, lr_t = w_t W_{t+1} / W_1, that end in w_n = `last` sqrt(W_1)."""
    q = [np.zeros_like(last), last]
    for step in lr[::-1].tolist():
        q.append(q[-1] + step / q[-1])
    w = np.diff(q, axis=0) * q[-1]  # w_t = (q_t - q_{t+1}) q_1
    return np.asarray((distance**2 + gradient_bound**2 * np.sum(w * w, axis=0)) / (2.0 * np.sum(w, axis=0)))


def least(lr: FloatArray, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """The theorem's smallest value: on a grid, then on finer and finer ones around its best point."""
    smallest, largest = math.sqrt(lr[lr > 0].min(initial=1.0)), math.sqrt(lr.max() + distance / gradient_bound)
    low, high = math.log(1e-4 * smallest), math.log(10.0 * largest)
    for _ in range(12):
        grid = np.linspace(low, high, 101)
        values = theorem(lr, np.exp(grid), distance, gradient_bound)
        at = int(np.argmin(values))
        low, high = grid[max(at - 1, 0)], grid[min(at + 1, 100)]
    return float(values.min())


sequences = st.lists(st.just(0.0) | st.floats(-3.0, 3.0).map(lambda x: 10.0**x), min_size=1, max_size=8).filter(any)


@settings(max_examples=60, deadline=None)
@given(h=sequences, distance=st.floats(0.1, 10.0), gradient_bound=st.floats(0.1, 10.0))
def test_is_the_least_of_the_theorem_over_all_its_weights(
    h: list[float], distance: float, gradient_bound: float
) -> None:
    setting: dict[str, Any] = {"distance": distance, "gradient_bound": gradient_bound}
    direct = []
    for k in range(1, len(h) + 1):
        found = theory.worst_case(Steps(h), len(h), base_lr=1.0, start=k, **setting)
        direct.append(least(np.array(h[k - 1 :]), **setting) if any(h[k - 1 :]) else distance * gradient_bound)
        assert float(found.value) == pytest.approx(direct[-1], rel=1e-6)
        assert float(found.value) <= direct[-1] * (1 + 1e-12)
    best = theory.worst_case(Steps(h), len(h), base_lr=1.0, **setting)
    assert float(best.value) == pytest.approx(min([*direct, distance * gradient_bound]), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(h=sequences, base_lr=st.floats(1e-3, 1e3))
def test_weights_are_those_of_the_theorem(h: list[float], base_lr: float) -> None:
    for start in (None, 1):
        bound = theory.worst_case(Steps(h), len(h), base_lr=base_lr, start=start, distance=2.0, gradient_bound=0.7)
        w = theory.worst_case_weights(Steps(h), len(h), base_lr=base_lr, start=start, distance=2.0, gradient_bound=0.7)
        k = int(bound.start)
        assert w.shape == (len(h) + 2 - k,)
        assert np.all(w >= 0.0)
        after = np.append(np.cumsum(w[::-1])[::-1], 0.0)
        np.testing.assert_allclose(w[:-1] * after[1:-1] / after[0], base_lr * np.array(h[k - 1 :]), rtol=1e-6)
        assert (4.0 + 0.49 * np.sum(w * w)) / (2.0 * after[0]) == pytest.approx(float(bound.value), rel=1e-6)


# --- functions that leave that much -----------------------------------------------------------------------------------


def worst_function(lr: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradients and start for which max_k <g_k, x> is the worst for D = G = 1, as docs/theory.md derives them.

    <g_i, g_k> = gamma_i for i < k, |g_k| = 1, x_1 = sum w_k g_k, and <g_k, x_1> = 1 / W_1 for all k.
    """
    w = theory.worst_case_weights(Steps(lr.tolist()), lr.size, base_lr=1.0, start=1)
    after = np.append(np.cumsum(w[::-1])[::-1][1:], 0.0)
    gamma, behind = np.zeros(w.size), 0.0
    for k in range(w.size - 1):
        gamma[k] = (1.0 / w.sum() - behind - w[k]) / after[k]
        behind += w[k] * gamma[k]
    assert behind + w[-1] == pytest.approx(1.0 / w.sum(), rel=1e-6)
    order = np.minimum.outer(np.arange(w.size), np.arange(w.size))
    gram = np.where(np.eye(w.size, dtype=bool), 1.0, gamma[order])
    values, vectors = np.linalg.eigh(gram)
    assert values.min() > -1e-9
    gradients = vectors * np.sqrt(np.maximum(values, 0.0))
    return gradients, w @ gradients


@pytest.mark.parametrize("horizon", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_some_function_attains_it(schedule: Schedule, horizon: int) -> None:
    """The subgradient method itself, on that function: it starts at distance 1 of the minimiser 0, slopes are 1."""
    tuned = theory.tuned_base_lr(schedule, horizon)
    for rho in (1.0, 3.0, 10.0):
        lr = rho * tuned * schedule.values(horizon)
        gradients, x = worst_function(lr)
        np.testing.assert_allclose(np.linalg.norm(gradients, axis=1), 1.0, rtol=1e-9)
        assert np.linalg.norm(x) == pytest.approx(1.0, rel=1e-6)
        for t, step in enumerate(lr):
            heights = gradients @ x
            assert heights[t] == pytest.approx(heights.max(), abs=1e-7)  # so that g_t is a subgradient at x_t
            x = x - step * gradients[t]
        exact = theory.worst_case(schedule, horizon, base_lr=rho * tuned, start=1)
        assert np.max(gradients @ x) == pytest.approx(float(exact.value), rel=1e-5)


# --- PEPit ------------------------------------------------------------------------------------------------------------


def of_case(case: Case) -> float:
    exact = theory.worst_case(
        Steps(case.lr),
        len(case.lr),
        base_lr=1.0,
        distance=case.distance,
        gradient_bound=case.gradient_bound,
        start=None if case.projected else 1,
    )
    return float(exact.value)


def test_is_what_pepit_found() -> None:
    """The semidefinite program's values; its solver stops at 1e-7 or so."""
    pairs = [pair for pair in recorded() if not pair[0].projected]
    assert len(pairs) == 101
    np.testing.assert_allclose([of_case(case) for case, _ in pairs], [value for _, value in pairs], rtol=1e-6)


def test_bounds_what_pepit_found_with_projection() -> None:
    """The best start is mostly the exact value there too, to what the solver reaches; in some cases it is above it."""
    ratios = np.array([value / of_case(case) for case, value in recorded() if case.projected])
    assert ratios.size == 95
    assert ratios.max() < 1.0 + 1e-6
    assert np.sum(ratios > 1.0 - 1e-3) == 85
    assert ratios.min() == pytest.approx(0.967, abs=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("PEPit") is None, reason="PEPit is not installed")
def test_is_what_pepit_finds() -> None:
    for case in [case for case in cases() if len(case.lr) in (2, 3) and not case.projected][::5]:
        assert of_case(case) == pytest.approx(case.solve(), rel=1e-5)


@pytest.mark.parametrize("horizon", [1, 3, 10, 1_000])
def test_constant_steps_keep_the_rate_of_zamani_and_glineur(horizon: int) -> None:
    """arXiv 2307.11134: with the best one, N steps leave at most D G sqrt(1 + log(N) / 4) / sqrt(N + 1)."""
    rates = theory.tuned_base_lr(schedules.Constant(), horizon) * np.geomspace(0.5, 3.0, 201)
    exact = theory.worst_case(schedules.Constant(), horizon, base_lr=rates, start=1)
    limit = math.sqrt((1.0 + math.log(horizon) / 4.0) / (horizon + 1))
    assert 0.94 * limit < exact.value.min() < 1.0001 * limit


# --- what it is compared with -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(h=sequences, base_lr=st.floats(1e-3, 1e3), distance=st.floats(0.1, 10.0))
def test_never_above_the_bound(h: list[float], base_lr: float, distance: float) -> None:
    for start in (None, *range(1, len(h) + 2)):
        exact = theory.worst_case(Steps(h), len(h), base_lr=base_lr, distance=distance, start=start)
        bound = theory.last_iterate_bound(Steps(h), len(h), base_lr=base_lr, distance=distance, start=start)
        assert float(exact.value) <= float(bound.value) * (1.0 + 1e-12)


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        (schedules.Linear(), 2.01),
        (schedules.Cosine(), 2.01),
        (schedules.Polynomial(4), 2.01),
        (schedules.StepDecay(), 2.01),
        (schedules.Constant(), 1.79),
    ],
    ids=name,
)
def test_how_much_the_bound_lies_above(schedule: Schedule, factor: float) -> None:
    """Each at the learning rate that is best for it, of a fine grid, 400 steps."""
    rates = theory.tuned_base_lr(schedule, 400) * np.geomspace(0.5, 2.0, 401)
    exact, bound = (f(schedule, 400, base_lr=rates).value.min() for f in (theory.worst_case, theory.last_iterate_bound))
    assert float(bound / exact) == pytest.approx(factor, abs=0.006)


@pytest.mark.parametrize("horizon", [1_000, 100_000])
def test_linear_decay_tuned(horizon: int) -> None:
    exact = theory.worst_case(schedules.Linear(), horizon, misspecification=1.0, distance=3.0, gradient_bound=0.5)
    assert float(exact.value) * math.sqrt(horizon) == pytest.approx(1.5, rel=3.0 / horizon + 1e-6)


def test_tuned_cosine_and_constant() -> None:
    for schedule, expected in ((schedules.Cosine(), 1.05), (schedules.Constant(), 1.84)):
        rates = theory.tuned_base_lr(schedule, 20_000) * np.geomspace(0.5, 2.0, 101)
        exact = theory.worst_case(schedule, 20_000, base_lr=rates, start=1)
        assert float(exact.value.min()) * math.sqrt(20_000) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("horizon", [1, 2, 3, 8])
@pytest.mark.parametrize("schedule", [*ALL, Steps([1.0, 0.0]), Steps([1.0, 1e-12, 0.0])], ids=name)
def test_holds_for_the_exact_mean_over_all_sign_paths(schedule: theory.ScheduleLike, horizon: int) -> None:
    """a|x| on [-1, 1] from x = 1 with gradients a sign(x) +- sqrt(1 - a^2): all 2^T paths, so no sampling error."""
    horizon = len(schedule.h) if isinstance(schedule, Steps) else horizon
    a = np.geomspace(0.02, 1.0, 12)[:, None]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=horizon)))
    exact = theory.worst_case(schedule, horizon, misspecification=[0.3, 1.0, 3.0, 10.0, 100.0])
    for base_lr, value in zip(exact.base_lr.tolist(), exact.value.tolist(), strict=True):
        x = np.ones((a.size, signs.shape[0]))
        for t, h in enumerate(schedule.values(horizon)):
            x = np.clip(x - base_lr * h * (a * np.sign(x) + np.sqrt(1.0 - a * a) * signs[:, t]), -1.0, 1.0)
        assert np.max(np.mean(a * np.abs(x), axis=1)) <= value * (1.0 + 1e-12)


def test_simulated_means_stay_below() -> None:
    rho = np.array([0.25, 1.0, 4.0, 16.0])
    for schedule in (schedules.Constant(), schedules.InverseSqrt(), schedules.Linear(), schedules.Cosine(floor=0.1)):
        rates = rho * theory.tuned_base_lr(schedule, 1000)
        exact = theory.worst_case(schedule, 1000, base_lr=rates).value
        for slope in (0.03, 0.1, 0.5):
            problem = problems.AbsoluteValue(
                slope=slope, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
            )
            result = simulate(problem, schedule, base_lr=rates, horizon=1000, replicates=2048, threads=1)
            assert np.all(result.mean + 5 * result.stderr < exact)


# --- how it is computed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule", [*ALL, schedules.StepDecay(1e-3), schedules.Repeated(schedules.Linear(), 3)], ids=name
)
def test_blocks_are_the_steps_one_by_one(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    horizon, rho = 3_000, np.geomspace(0.1, 100.0, 7)
    whole = [f(schedule, horizon, misspecification=rho) for f in (theory.worst_case, theory.last_iterate_bound)]
    assert (
        whole[0].value.tolist()
        == theory.worst_case(Steps(schedule.values(horizon).tolist()), horizon, base_lr=whole[0].base_lr).value.tolist()
    )
    monkeypatch.setattr(_steps, "BLOCK", 64)
    for function, expected in zip((theory.worst_case, theory.last_iterate_bound), whole, strict=True):
        found = function(schedule, horizon, misspecification=rho)
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-13)
        np.testing.assert_array_equal(found.start, expected.start)


def test_memory_does_not_grow_with_the_horizon() -> None:
    tracemalloc.start()
    try:
        for function in (theory.worst_case, theory.last_iterate_bound):
            function(schedules.Cosine(), 3_000_000, base_lr=[0.001, 0.01])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20  # an array over the horizon is 24 MB


@pytest.mark.parametrize("horizon", [1_000, 200_000])
@pytest.mark.parametrize("degree", [20, 60, 200])
def test_learning_rates_that_underflow(horizon: int, degree: int) -> None:
    exact = theory.worst_case(schedules.Polynomial(degree), horizon, misspecification=[0.01, 1.0, 100.0])
    rate = (degree + 1) / math.sqrt(degree * horizon)
    assert np.all(np.isfinite(exact.value))
    assert float(exact.value[1]) == pytest.approx(0.5 * rate, rel=0.3 if horizon == 1_000 else 0.01)


def test_zeros_at_the_end_change_nothing() -> None:
    h = schedules.Linear().values(20).tolist()
    plain = theory.worst_case(Steps(h), 20, base_lr=[0.01, 0.3, 5.0])
    padded = theory.worst_case(Steps([*h, 0.0, 0.0]), 22, base_lr=[0.01, 0.3, 5.0])
    np.testing.assert_array_equal(padded.value, plain.value)


def test_steps_that_are_too_short_are_those_of_a_straight_line() -> None:
    """G|x| from x = D: f falls by G^2 times the sum of the learning rates."""
    found = theory.worst_case(schedules.Linear(), 4, base_lr=0.01, distance=2.0, gradient_bound=3.0)
    assert float(found.value) == pytest.approx(6.0 - 9.0 * 0.025)
    assert int(found.start) == 1


def test_never_above_what_the_set_allows() -> None:
    found = theory.worst_case(schedules.Constant(), 100, base_lr=[1e-9, 1e9], distance=2.0, gradient_bound=3.0)
    assert np.all(found.value <= 6.0)
    assert found.start.tolist() == [1, 101]


def test_wrong_arguments_are_named() -> None:
    for arguments in ({}, {"base_lr": 0.1, "misspecification": 1.0}):
        with pytest.raises(ValueError, match=r"^base_lr must be given or misspecification"):
            theory.worst_case(schedules.Linear(), 10, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^start must be an integer in 1 \.\. 11, got 12$"):
        theory.worst_case(schedules.Linear(), 10, base_lr=1.0, start=12)
    with pytest.raises(ValueError, match=r"^schedule must give a positive value"):
        theory.worst_case(Steps([0.0, 0.0]), 2, base_lr=1.0)
    with pytest.raises(ValueError, match=r"^base_lr must be one number, finite and > 0"):
        theory.worst_case_weights(schedules.Linear(), 10, base_lr=0.0)
