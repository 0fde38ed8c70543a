"""theory.py against sums written out in full, closed forms, exhaustive enumeration, loops and Monte Carlo."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import schedules, theory
from anneal_sgd.theory import _steps

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

pytestmark = pytest.mark.filterwarnings("error")

FloatArray = NDArray[np.float64]

POWERS_OF_TWO = 2.0 ** np.arange(9)
ALL = (
    schedules.Constant(),
    schedules.InverseSqrt(),
    schedules.Polynomial(0.5),
    schedules.Linear(),
    schedules.Polynomial(2),
    schedules.Polynomial(3),
    schedules.Cosine(),
    schedules.Cosine(floor=0.1),
)
ANNEALED = (schedules.Linear(), schedules.Polynomial(2), schedules.Polynomial(3), schedules.Cosine())


@dataclass(frozen=True)
class Steps:
    """A schedule given by its values."""

    h: Sequence[float]

    def values(self, _horizon: int, /) -> FloatArray:
        return np.array(self.h, dtype=np.float64)


def name(schedule: object) -> str:
    return repr(schedule)


def closed_weights(lr: FloatArray) -> list[float]:
    """The run's learning rates and the closing weight, as the module docstring defines it."""
    return [*lr.tolist(), max(float(lr[t] - lr[t + 1 :].sum()) for t in range(lr.size))]


def double_sum(weights: Sequence[float], *, start: int, distance: float = 1.0, gradient_bound: float = 1.0) -> float:
    """Schaipp et al., Theorem 3.1, as printed, for a run that starts at x_start: O(n^2), no telescoping."""
    w = list(weights[start - 1 :])
    n = len(w)
    squares = [(x * gradient_bound) ** 2 for x in w]
    total = (distance**2 + math.fsum(squares)) / (2 * math.fsum(w))
    for k in range(n - 1):
        total += 0.5 * w[k] / math.fsum(w[k + 1 :]) * (math.fsum(squares[k:]) / math.fsum(w[k:]))
    return total


def paper_bound(lr: FloatArray) -> float:
    """The bound for x_T, the point of the T-th gradient: the theorem with the T learning rates alone, D = G = 1."""
    sums = np.cumsum(lr[::-1])[::-1]
    noise = np.cumsum(np.append(lr[:-1] ** 2 / sums[1:], lr[-1])[::-1])[::-1]
    return float(np.min(0.5 / sums + 0.5 * noise))


# --- the bound: values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (schedules.Linear(), "2.00 2.38 3.00 3.78 4.76 6.00 7.56 9.53 12.02"),
        (schedules.Polynomial(2), "2.12 2.39 2.74 3.15 3.62 4.16 4.78 5.49 6.30"),
        (schedules.Polynomial(3), "2.31 2.52 2.79 3.08 3.40 3.75 4.14 4.57 5.05"),
        (schedules.Cosine(), "2.06 2.44 2.92 3.42 3.97 4.59 5.29 6.08 6.99"),
        (schedules.Constant(), "3.62 4.52 7.68 13.8 24.6 43.0"),
        (schedules.Cosine(floor=0.1), "2.31 2.85 3.97 5.83 9.25 15.7 27.4"),
    ],
    ids=name,
)
def test_bound_reproduces_the_published_table(schedule: theory.ScheduleLike, expected: str) -> None:
    horizon, printed = 100_000, expected.split()
    bound = theory.last_iterate_bound(schedule, horizon, misspecification=POWERS_OF_TWO[: len(printed)])
    decimals = [len(value.partition(".")[2]) for value in printed]
    scaled = bound.value * math.sqrt(horizon)
    assert [f"{v:.{d}f}" for v, d in zip(scaled.tolist(), decimals, strict=True)] == printed
    # ... whichever point the theorem is read for
    paper = [paper_bound(lr * schedule.values(horizon)) * math.sqrt(horizon) for lr in bound.base_lr.tolist()]
    assert [f"{v:.{d}f}" for v, d in zip(paper, decimals, strict=True)] == printed


@pytest.mark.parametrize("horizon", [1, 2, 3, 17])
@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_bound_is_the_double_sum_of_the_theorem_for_every_start(schedule: theory.ScheduleLike, horizon: int) -> None:
    for base_lr, distance, gradient_bound in [(0.1, 1.0, 1.0), (3.0, 0.5, 2.0), (1e-3, 7.0, 0.3)]:
        setting: dict[str, Any] = {"base_lr": base_lr, "distance": distance, "gradient_bound": gradient_bound}
        weights = closed_weights(base_lr * schedule.values(horizon))
        direct = [
            double_sum(weights, start=k, distance=distance, gradient_bound=gradient_bound)
            for k in range(1, horizon + 2)
        ]
        fixed = [theory.last_iterate_bound(schedule, horizon, start=k, **setting) for k in range(1, horizon + 2)]
        np.testing.assert_allclose([float(bound.value) for bound in fixed], direct, rtol=1e-12)
        assert [int(bound.start) for bound in fixed] == list(range(1, horizon + 2))
        best = theory.last_iterate_bound(schedule, horizon, **setting)
        assert float(best.value) == pytest.approx(min(direct), rel=1e-12)
        assert direct[int(best.start) - 1] == pytest.approx(min(direct), rel=1e-12)


learning_rates = st.lists(st.just(0.0) | st.floats(1e-9, 1.0), min_size=1, max_size=25).filter(any)


@settings(max_examples=100, deadline=None)
@given(h=learning_rates, base_lr=st.floats(1e-3, 1e3))
def test_bound_is_the_double_sum_for_any_learning_rates(h: list[float], base_lr: float) -> None:
    bound = theory.last_iterate_bound(Steps(h), len(h), base_lr=base_lr)
    weights = closed_weights(base_lr * np.array(h))
    direct = [double_sum(weights, start=k) for k in range(1, len(weights) + 1)]
    assert float(bound.value) == pytest.approx(min(direct), rel=1e-9)
    assert direct[int(bound.start) - 1] == pytest.approx(min(direct), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=25))
def test_double_sum_telescopes(weights: list[float]) -> None:
    sums = np.cumsum(weights[::-1])[::-1]
    single = 0.5 / sums[0] + 0.5 * (math.fsum(w * w / s for w, s in zip(weights, sums[1:], strict=False)) + weights[-1])
    assert double_sum(weights, start=1) == pytest.approx(single, rel=1e-12)


def test_terms_add_up_and_follow_the_shape_of_the_learning_rates() -> None:
    many = theory.last_iterate_bound(schedules.Linear(), 50, base_lr=[0.01, 0.1, 1.0])
    np.testing.assert_array_equal(many.value, many.distance_term + many.noise_term)
    for i, rate in enumerate((0.01, 0.1, 1.0)):
        one = theory.last_iterate_bound(schedules.Linear(), 50, base_lr=rate)
        for field in ("base_lr", "start", "distance_term", "noise_term", "value"):
            assert getattr(one, field).shape == ()
            assert getattr(many, field).shape == (3,)
            assert getattr(one, field) == getattr(many, field)[i]


def test_bound_scales_with_distance_and_gradient_bound() -> None:
    unit = theory.last_iterate_bound(schedules.Cosine(), 100, misspecification=POWERS_OF_TWO)
    scaled = theory.last_iterate_bound(
        schedules.Cosine(), 100, misspecification=POWERS_OF_TWO, distance=3.0, gradient_bound=0.2
    )
    np.testing.assert_allclose(scaled.value, 0.6 * unit.value, rtol=1e-13)
    np.testing.assert_allclose(scaled.base_lr, 15.0 * unit.base_lr, rtol=1e-13)
    np.testing.assert_array_equal(scaled.start, unit.start)


# --- the bound: which point it is for ---------------------------------------------------------------------------------


def test_theorem_without_a_closing_weight_would_not_bound_the_point_after_the_update() -> None:
    """One step on |x| from x = 1, no projection: the last iterate is 1 - lr."""
    lr = 100.0
    suboptimality = abs(1.0 - lr)
    assert paper_bound(np.array([lr])) < 0.51 * suboptimality
    assert float(theory.last_iterate_bound(schedules.Constant(), 1, base_lr=lr, start=1).value) >= suboptimality


@pytest.mark.parametrize("horizon", [1, 2, 3, 8])
@pytest.mark.parametrize("schedule", [*ALL, Steps([1.0, 0.0]), Steps([1.0, 1e-12, 0.0])], ids=name)
def test_bound_holds_for_the_exact_mean_over_all_sign_paths(schedule: theory.ScheduleLike, horizon: int) -> None:
    """a|x| on [-1, 1] from x = 1 with gradients a sign(x) +- sqrt(1 - a^2): all 2^T paths, so no sampling error."""
    horizon = len(schedule.h) if isinstance(schedule, Steps) else horizon
    a = np.geomspace(0.02, 1.0, 12)[:, None]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=horizon)))
    bound = theory.last_iterate_bound(schedule, horizon, misspecification=[0.3, 1.0, 3.0, 10.0, 100.0])
    for base_lr, value in zip(bound.base_lr.tolist(), bound.value.tolist(), strict=True):
        x = np.ones((a.size, signs.shape[0]))
        for t, h in enumerate(schedule.values(horizon)):
            x = np.clip(x - base_lr * h * (a * np.sign(x) + np.sqrt(1.0 - a * a) * signs[:, t]), -1.0, 1.0)
        assert np.max(np.mean(a * np.abs(x), axis=1)) <= value


def test_steps_with_learning_rate_zero_change_nothing_at_the_end() -> None:
    h = schedules.Linear().values(20).tolist()
    plain = theory.last_iterate_bound(Steps(h), 20, base_lr=[0.01, 0.3, 5.0])
    padded = theory.last_iterate_bound(Steps([*h, 0.0, 0.0]), 22, base_lr=[0.01, 0.3, 5.0])
    np.testing.assert_array_equal(padded.value, plain.value)
    assert theory.tuned_base_lr(Steps([*h, 0.0]), 21) == theory.tuned_base_lr(Steps(h), 20)


def test_a_negligible_last_learning_rate_changes_the_bound_negligibly() -> None:
    h = schedules.Linear().values(100).tolist()
    for last in (1e-9, 1e-30, 1e-300, 5e-324):
        rate = theory.tuned_rate(Steps([*h, last]), 101)
        assert rate == pytest.approx(theory.tuned_rate(Steps(h), 100), rel=1e-6)


@pytest.mark.parametrize("horizon", [1_000, 1_000_000])
@pytest.mark.parametrize("degree", [20, 60, 200])
def test_learning_rates_that_underflow_leave_a_finite_bound(horizon: int, degree: int) -> None:
    bound = theory.last_iterate_bound(schedules.Polynomial(degree), horizon, misspecification=[0.01, 1.0, 100.0])
    rate = (degree + 1) / math.sqrt(degree * horizon)
    assert np.all(np.isfinite(bound.value))
    assert float(bound.value[1]) == pytest.approx(rate, rel=0.3 if horizon == 1_000 else 0.01)
    assert theory.tolerated_misspecification(schedules.Polynomial(degree), horizon, loss=1.0) > 100.0


@pytest.mark.parametrize("schedule", [*ALL, schedules.StepDecay(1e-3)], ids=name)
def test_blocks_make_no_difference(schedule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rho = np.geomspace(0.1, 100.0, 7)
    whole = theory.last_iterate_bound(schedule, 3_000, misspecification=rho)
    tolerated = theory.tolerated_misspecification(schedule, 3_000, loss=0.5)
    monkeypatch.setattr(_steps, "BLOCK", 64)
    parts = theory.last_iterate_bound(schedule, 3_000, misspecification=rho)
    for field in ("base_lr", "start", "distance_term", "noise_term"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))
    assert theory.tolerated_misspecification(schedule, 3_000, loss=0.5) == tolerated


def test_memory_does_not_grow_with_the_horizon() -> None:
    tracemalloc.start()
    try:
        theory.last_iterate_bound(schedules.Cosine(), 3_000_000, misspecification=[1.0, 10.0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # an array over the horizon is 24 MB


def test_values_that_do_not_fit_in_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_steps, "available_memory", lambda: 10**6)
    with pytest.raises(ValueError, match=r"^horizon must fit in memory: the values of 1000000 steps take 16000000 "):
        theory.tuned_base_lr(Steps([1.0]), 10**6)
    assert theory.tuned_base_lr(schedules.Linear(), 10**6) == pytest.approx(
        1e-3, rel=1e-3
    )  # needs no more than a block


# --- tuning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [1, 1.5, 2, 3, 5])
def test_polynomial_closed_forms(degree: float) -> None:
    schedule, horizon, p = schedules.Polynomial(degree), 1_000_000, degree
    rate, c = (p + 1) / math.sqrt(p * horizon), (p + 1) / p
    assert theory.tuned_base_lr(schedule, horizon) == pytest.approx(math.sqrt(p / horizon), rel=1e-4)
    assert theory.tuned_rate(schedule, horizon) == pytest.approx(rate, rel=1e-4)
    rho = np.array([4.0, 16.0, 64.0])
    closed = rate * rho ** (1 / (2 * p + 1)) * 0.5 * (c ** (p / (2 * p + 1)) + c ** (-(p + 1) / (2 * p + 1)))
    np.testing.assert_allclose(theory.last_iterate_bound(schedule, horizon, misspecification=rho).value, closed, 1e-3)


def test_cosine_closed_form_with_units() -> None:
    setting: dict[str, Any] = {"distance": 3.0, "gradient_bound": 0.2}
    horizon = 100_000
    lr = theory.tuned_base_lr(schedules.Cosine(), horizon, **setting)
    assert lr * math.sqrt(horizon) == pytest.approx(0.971 * 15.0, rel=5e-4)
    assert theory.tuned_rate(schedules.Cosine(), horizon, **setting) * math.sqrt(horizon) == pytest.approx(
        2.060 * 0.6, rel=5e-4
    )


@pytest.mark.parametrize("horizon", [1, 2, 3, 1_000])
@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_tuned_base_lr_minimises_the_bound_with_start_1(schedule: theory.ScheduleLike, horizon: int) -> None:
    tuned = theory.tuned_base_lr(schedule, horizon)
    bound = theory.last_iterate_bound(schedule, horizon, base_lr=tuned * np.array([0.99, 1.0, 1.01]), start=1)
    assert np.argmin(bound.value) == 1
    assert float(bound.noise_term[1]) == pytest.approx(float(bound.distance_term[1]), rel=1e-12)
    assert theory.tuned_rate(schedule, horizon) == theory.last_iterate_bound(schedule, horizon, base_lr=tuned).value


def test_one_constant_step_can_promise_no_more_than_the_starting_point() -> None:
    """Closing weight 1, so W = (2, 1) and I = (2, 1): base_lr 1/2 and bound 1 = D G."""
    assert theory.tuned_base_lr(schedules.Constant(), 1) == pytest.approx(0.5)
    assert theory.tuned_rate(schedules.Constant(), 1) == pytest.approx(1.0)


# --- exponents --------------------------------------------------------------------------------------------------------


def test_asymptotic_exponent() -> None:
    np.testing.assert_allclose(
        theory.asymptotic_exponent([[0, 0.5, 1], [2, 3, math.inf]]), [[1, 1 / 2, 1 / 3], [1 / 5, 1 / 7, 0]]
    )
    assert float(theory.asymptotic_exponent(schedules.Cosine().tail_degree)) == pytest.approx(0.2)
    assert float(theory.asymptotic_exponent(schedules.Cosine(floor=0.1).tail_degree)) == 1.0


@pytest.mark.parametrize("schedule", ANNEALED, ids=name)
def test_local_exponent_tends_to_the_asymptotic_one(schedule: Any) -> None:
    exponent = theory.local_exponent(schedule, 1_000_000, misspecification=[1.0, 256.0])
    assert float(exponent[0]) == pytest.approx(0.0, abs=1e-9)
    assert float(exponent[1]) == pytest.approx(float(theory.asymptotic_exponent(schedule.tail_degree)), abs=0.002)


def test_without_annealing_the_exponent_stays_high() -> None:
    rho = [4.0, 16.0]
    for schedule in (schedules.Constant(), schedules.InverseSqrt()):
        assert np.all(theory.local_exponent(schedule, 1_000_000, misspecification=rho) > 0.7)
    floored = theory.local_exponent(schedules.Cosine(floor=0.1), 1_000_000, misspecification=[4.0, 64.0])
    assert floored[1] - floored[0] > 0.2


@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_local_exponent_is_the_slope_of_the_bound(schedule: theory.ScheduleLike) -> None:
    rho, step = np.array([0.3, 2.5, 11.0, 47.0]), 1e-4
    either_side = [
        np.log(theory.last_iterate_bound(schedule, 5_000, misspecification=rho * math.exp(s)).value)
        for s in (-step, step)
    ]
    slope = (either_side[1] - either_side[0]) / (2 * step)
    np.testing.assert_allclose(theory.local_exponent(schedule, 5_000, misspecification=rho), slope, atol=2e-3)


@pytest.mark.parametrize("horizon", [100, 10_000])
@pytest.mark.parametrize("schedule", [s for s in ALL if not isinstance(s, schedules.InverseSqrt)], ids=name)
def test_bound_grows_with_misspecification_while_it_says_something(schedule: theory.ScheduleLike, horizon: int) -> None:
    """Up to 0.8 D G; near D G, what no iterate exceeds anyway, the last few k take turns."""
    bound = theory.last_iterate_bound(schedule, horizon, misspecification=np.geomspace(1.0, 1_000.0, 200))
    value = bound.value[bound.value < 0.8]
    assert value.size > 20
    assert np.all(np.diff(value) > 0.0)
    assert np.all(np.diff(bound.start) >= 0)


def test_local_exponents_where_two_starts_tie() -> None:
    """T = 1, D = G = 1: 1 / (4 lr) + lr from k = 1 and 1 / (2 lr) + lr / 2 from k = 2, equal at lr = sqrt(1 / 2)."""
    rho = 2**0.5 * np.array([1.0 - 1e-9, 1.0, 1.0 + 1e-9])
    exponents = theory.local_exponent(schedules.Constant(), 1, misspecification=rho)
    start = theory.last_iterate_bound(schedules.Constant(), 1, misspecification=rho).start
    assert start[[0, 2]].tolist() == [1, 2]
    np.testing.assert_allclose(exponents, np.where(start == 1, 1 / 3, -1 / 3), rtol=1e-8)


@pytest.mark.parametrize("loss", [1e-12, 0.05, 0.5, 4.0])
@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_tolerated_misspecification_meets_its_loss_exactly(schedule: theory.ScheduleLike, loss: float) -> None:
    horizon = 2_000
    rho = theory.tolerated_misspecification(schedule, horizon, loss=loss)
    bound = theory.last_iterate_bound(schedule, horizon, misspecification=[rho, *(rho * np.geomspace(1.001, 1e4, 50))])
    assert rho >= 1.0
    limit = (1.0 + loss) * theory.tuned_rate(schedule, horizon)
    assert float(bound.value[0]) == pytest.approx(limit, rel=1e-9)
    assert np.all(bound.value[1:] > limit)


def test_annealing_tolerates_more_misspecification() -> None:
    order = (schedules.Constant(), schedules.Linear(), schedules.Polynomial(2), schedules.Polynomial(3))
    tolerated = [theory.tolerated_misspecification(schedule, 10_000, loss=1.0) for schedule in order]
    assert tolerated == sorted(tolerated)
    assert tolerated[0] < 4.0
    assert tolerated[-1] > 100.0


# --- the noisy quadratic ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("schedule", [schedules.Constant(), schedules.Linear(), schedules.Cosine()], ids=name)
def test_quadratic_moments_equal_a_loop(schedule: theory.ScheduleLike, dtype: type[np.floating[Any]]) -> None:
    curvature, x0, noise_std = np.array([0.0, 0.7, 2.0]), np.array([1.0, -2.0, 0.5]), np.array([0.3, 1.0, 0.0])
    horizon, records, rates = 600, (0, 1, 2, 255, 256, 257, 300, 599, 600), np.array([0.5, 0.11, 1.01])
    exact = theory.quadratic_moments(
        schedule,
        curvature=curvature,
        x0=x0,
        noise_std=noise_std,
        base_lr=rates,
        horizon=horizon,
        record_at=records,
        dtype=dtype,
    )
    for c, base_lr in enumerate(rates):
        mean, variance = x0.copy(), np.zeros(3)
        for t in range(horizon + 1):
            if t in records:
                k = records.index(t)
                np.testing.assert_allclose(exact.mean[c, k], mean, rtol=1e-11, atol=1e-300)
                np.testing.assert_allclose(exact.variance[c, k], variance, rtol=1e-11, atol=1e-300)
                f = 0.5 * np.sum(curvature * (mean**2 + variance))
                assert float(exact.suboptimality[c, k]) == pytest.approx(float(f), rel=1e-11)
            if t < horizon:
                lr = float(dtype(base_lr * schedule.values(horizon)[t]))
                mean = (1.0 - lr * curvature) * mean
                variance = (1.0 - lr * curvature) ** 2 * variance + (lr * noise_std) ** 2


def test_quadratic_moments_match_gaussian_simulation() -> None:
    curvature, x0, noise_std = np.array([0.2, 1.5]), np.array([2.0, -1.0]), np.array([1.0, 0.5])
    base_lr, horizon, replicates = 0.6, 40, 40_000
    h = schedules.Linear().values(horizon)
    exact = theory.quadratic_moments(
        schedules.Linear(), curvature=curvature, x0=x0, noise_std=noise_std, base_lr=base_lr, horizon=horizon
    )
    rng = np.random.default_rng(20_250_311)
    x = np.tile(x0, (replicates, 1))
    for t in range(horizon):
        x -= base_lr * h[t] * (curvature * x + noise_std * rng.standard_normal(x.shape))
    f = 0.5 * np.sum(curvature * x**2, axis=1)

    def z(sample: FloatArray, expected: FloatArray) -> FloatArray:
        return np.asarray((sample.mean(axis=0) - expected) / (sample.std(axis=0) / math.sqrt(replicates)))

    assert np.all(np.abs(z(x, exact.mean[0])) < 5)
    assert np.all(np.abs(z((x - exact.mean[0]) ** 2, exact.variance[0])) < 5)
    assert abs(float(z(f, exact.suboptimality[0]))) < 5
    assert abs(float(z((f - exact.suboptimality[0]) ** 2, exact.suboptimality_std[0] ** 2))) < 5


def test_quadratic_shapes_and_defaults() -> None:
    one = theory.quadratic_moments(
        schedules.Constant(), curvature=1.0, x0=1.0, noise_std=0.0, base_lr=0.5, horizon=3, record_at=None
    )
    assert one.record_at.tolist() == [3]
    assert one.mean.shape == one.variance.shape == (1, 1)
    assert one.suboptimality.shape == one.suboptimality_std.shape == (1,)
    assert one.mean.item() == 0.125
    assert one.suboptimality_std.item() == 0.0
    many = theory.quadratic_moments(
        schedules.Constant(), curvature=[1, 2, 3], x0=1, noise_std=1, base_lr=[0.1, 0.2], horizon=9, record_at=[0, 9]
    )
    assert many.mean.shape == many.variance.shape == (2, 2, 3)
    assert many.suboptimality.shape == many.suboptimality_std.shape == (2, 2)
    np.testing.assert_array_equal(many.mean[:, 0], 1.0)
    np.testing.assert_array_equal(many.variance[:, 0], 0.0)


def test_a_diverging_quadratic_warns_about_nothing() -> None:
    moments = theory.quadratic_moments(
        schedules.Constant(), curvature=1.0, x0=1.0, noise_std=1.0, base_lr=10.0, horizon=2_000
    )
    assert not np.any(np.isfinite(moments.suboptimality))


def test_constant_learning_rate_reaches_the_stationary_variance() -> None:
    lr, curvature, noise_std = 0.1, 2.0, 3.0
    moments = theory.quadratic_moments(
        schedules.Constant(), curvature=curvature, x0=5.0, noise_std=noise_std, base_lr=lr, horizon=2_000
    )
    stationary = lr * noise_std**2 / (curvature * (2 - lr * curvature))
    assert float(moments.variance.item()) == pytest.approx(stationary, rel=1e-12)


# --- wrong arguments --------------------------------------------------------------------------------------------------

QUADRATIC: dict[str, Any] = {"curvature": [1.0, 2.0], "x0": 1.0, "noise_std": 1.0, "base_lr": 0.1, "horizon": 5}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("horizon", 0),
        ("horizon", -3),
        ("horizon", 2.5),
        ("horizon", 10.5),
        ("horizon", True),
        ("horizon", "ten"),
        ("base_lr", 0.0),
        ("base_lr", [0.1, -0.2]),
        ("base_lr", math.nan),
        ("base_lr", math.inf),
        ("base_lr", "fast"),
        ("base_lr", [[0.1]]),
        ("base_lr", []),
        ("distance", 0.0),
        ("distance", [1.0, 2.0]),
        ("distance", 1e200),
        ("gradient_bound", math.nan),
        ("gradient_bound", 1e-200),
        ("start", 0),
        ("start", 12),
        ("start", 1.5),
    ],
)
def test_bound_names_the_wrong_argument(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"horizon": 10, "base_lr": 0.1, argument: value}
    with pytest.raises(ValueError, match=rf"^{argument} must .*, got "):
        theory.last_iterate_bound(schedules.Linear(), arguments.pop("horizon"), **arguments)


@pytest.mark.parametrize("base_lr", [5e-324, 1.0, 1.7e308])
@pytest.mark.parametrize("distance", [1e-100, 1e100])
@pytest.mark.parametrize("gradient_bound", [1e-100, 1e100])
def test_the_largest_and_smallest_numbers_have_bounds(base_lr: float, distance: float, gradient_bound: float) -> None:
    """Infinite ones where they leave float64, with a start in its range, and no warning."""
    for function in (theory.last_iterate_bound, theory.worst_case):
        bound = function(schedules.Linear(), 5, base_lr=base_lr, distance=distance, gradient_bound=gradient_bound)
        assert 1 <= bound.start <= 6
        assert bound.value > 0.0
    assert bound.value <= distance * gradient_bound * (1.0 + 1e-12)  # of all that the set has
    if base_lr > 1.0:
        with pytest.raises(
            ValueError, match=r"^misspecification times tuned_base_lr must be .*finite and > 0, got inf$"
        ):
            theory.worst_case(schedules.Linear(), 5, misspecification=base_lr, distance=1e100, gradient_bound=1e-100)


def test_error_messages_show_the_value_and_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"^horizon must be an integer >= 1, got 0$"):
        theory.tuned_rate(schedules.Linear(), 0)
    with pytest.raises(ValueError, match=r"^base_lr must be .*one-dimensional, finite and > 0, got -0\.2 at index 1$"):
        theory.last_iterate_bound(schedules.Linear(), 5, base_lr=[0.1, -0.2])
    with pytest.raises(ValueError, match=r"^start must be an integer in 1 \.\. 6, got 7$"):
        theory.last_iterate_bound(schedules.Linear(), 5, base_lr=0.1, start=7)


def test_exactly_one_of_base_lr_and_misspecification() -> None:
    for both_or_none in ({}, {"base_lr": 0.1, "misspecification": 2.0}):
        with pytest.raises(ValueError, match=r"^base_lr must be given or misspecification, exactly one"):
            theory.last_iterate_bound(schedules.Linear(), 10, **both_or_none)  # type: ignore[arg-type]


@pytest.mark.parametrize("h", [[1.0, math.nan], [1.0, -0.5], [1.0], [[1.0, 1.0]], [0.0, 0.0], [math.inf, 1.0]])
def test_a_schedule_with_impossible_values_is_refused(h: Any) -> None:
    with pytest.raises(ValueError, match=r"^schedule must give .*, got "):
        theory.tuned_base_lr(Steps(h), 2)


@pytest.mark.parametrize("h", [np.array([1.0, 0.5j]), np.ma.array([1.0, 0.5], mask=[0, 1]), np.array(["1", "0.5"])])
def test_a_schedule_whose_values_are_no_numbers_is_refused(h: Any) -> None:
    """None is turned into numbers: the imaginary part or the mask would be lost."""

    class Given:
        def values(self, _horizon: int, /) -> Any:
            return h

    with pytest.raises(ValueError, match=r"^schedule must (be numbers|have no masked elements)"):
        theory.tuned_base_lr(Given(), 2)


@pytest.mark.parametrize("bad", [-0.5, math.nan, [1.0, -1.0], "steep"])
def test_asymptotic_exponent_refuses(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^tail_degree must be (numbers, )?finite and >= 0, got "):
        theory.asymptotic_exponent(bad)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf, [0.1]])
def test_tolerated_misspecification_refuses(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^loss must be one number, finite and > 0, got "):
        theory.tolerated_misspecification(schedules.Linear(), 10, loss=bad)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("curvature", -1.0),
        ("curvature", [1.0, math.nan]),
        ("curvature", [[1.0]]),
        ("x0", math.inf),
        ("x0", [1.0]),
        ("noise_std", [1.0, 2.0, -3.0]),
        ("base_lr", 0.0),
        ("horizon", 0),
        ("record_at", []),
        ("record_at", 3),
        ("record_at", [1.5]),
        ("record_at", [2, 2]),
        ("record_at", [3, 1]),
        ("record_at", [-1, 2]),
        ("record_at", [0, 6]),
        ("record_at", {1, 2}),  # a set
        ("dtype", int),
        ("dtype", "float16"),
        ("base_lr", np.ma.array([0.1, 0.2], mask=[False, True])),
    ],
)
def test_quadratic_moments_names_the_wrong_argument(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{argument} must .*, got "):
        theory.quadratic_moments(schedules.Linear(), **(QUADRATIC | {argument: value}))


@pytest.mark.parametrize("schedule", ["cosine", None, 1.0, schedules.Cosine, {"values": 1}, np.ones(5), [1.0]])
def test_what_is_no_schedule_is_refused_by_name(schedule: Any) -> None:
    for function in (theory.tuned_base_lr, theory.tuned_rate):
        with pytest.raises(ValueError, match=r"^schedule must be a schedule, or have values\(horizon\).*, got "):
            function(schedule, 5)
