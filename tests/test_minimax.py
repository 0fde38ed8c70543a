"""The schedule for a learning rate known to within a factor: closed forms, certificates, direct optimisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import schedules, theory
from anneal_sgd.schedules import Joined, Minimax
from anneal_sgd.schedules._minimax import FOUR_PHASES, GOLDEN, profile
from anneal_sgd.theory._minimax import _log_value

pytestmark = pytest.mark.filterwarnings("error")

FloatArray = NDArray[np.float64]

PHI, ROOT2 = (1 + math.sqrt(5)) / 2, math.sqrt(2)
R_C = 2 * PHI**3 * (ROOT2 - 1)
TABLE = {1: 2.0, 2: 2.1104, 3: 2.2077, 10: 2.4656, 100: 2.8952, 1000: 3.2687, 1e6: 4.1943}
RATIOS = [1.0, 1.3, PHI, 1.7, 2.0, 3.0, 3.4, R_C, 3.6, 10.0, 100.0, 1000.0, 1e6, 1e100]


def largest(
    schedule: Any, horizon: int, base_lr: float, rho: FloatArray, bound: Any = theory.last_iterate_bound
) -> Any:
    return bound(schedule, horizon, base_lr=base_lr * rho).value * math.sqrt(horizon)


# --- the closed form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "expected"), TABLE.items())
def test_value(ratio: float, expected: float) -> None:
    assert round(theory.minimax_value(ratio), 4) == expected


def test_value_in_closed_form_and_without_jumps() -> None:
    for ratio in (4.0, 10.0, 1e3, 1e12):
        constant = 3 + ROOT2 + 1 / PHI - 3 * math.log(PHI) + math.log((1 + ROOT2) / 2)
        assert theory.minimax_value(ratio) == pytest.approx(math.sqrt(math.log(ratio) + constant), rel=1e-14)
    for meeting in (PHI, R_C):
        below, above = (theory.minimax_value(meeting * (1 + side)) for side in (-1e-9, 1e-9))
        assert above == pytest.approx(below, rel=1e-8)
    values = [theory.minimax_value(ratio) for ratio in np.geomspace(1, 10, 400)]
    assert np.all(np.diff(values) > 0)


def formula(ratio: float, u: FloatArray) -> FloatArray:
    """h for four phases, in units of D / (G sqrt(T)), from the table of docs/theory.md."""
    c = math.sqrt(math.log(ratio) + 3 + ROOT2 + 1 / PHI - 3 * math.log(PHI) + math.log((1 + ROOT2) / 2))
    ends = np.cumsum([1 / PHI, math.log(ratio / R_C), 1 - 1 / ROOT2, 2 + 3 / ROOT2]) / c**2
    assert ends[-1] == pytest.approx(1, rel=1e-14)
    a, b, d = 2 * c / PHI**3, 4 * (ROOT2 - 1) * c / ratio, ROOT2 * c / ratio
    last = (2 - ROOT2) * c / ratio
    return np.select(
        [u < ends[0], u < ends[1], u < ends[2]],
        [
            c / PHI + (a - c / PHI) * u / ends[0],
            a * np.exp(-(c**2) * (u - ends[0])),
            b + (d - b) * (u - ends[1]) / (ends[2] - ends[1]),
        ],
        last * (1 - u) / (1 - ends[2]),
    )


@pytest.mark.parametrize("ratio", [3.6, 10.0, 100.0, 1e6])
def test_schedule_is_the_formula(ratio: float) -> None:
    horizon = 10_000
    h = formula(ratio, np.arange(horizon) / horizon)
    np.testing.assert_allclose(Minimax(ratio).values(horizon), h / h[0], rtol=1e-11)
    assert theory.minimax_base_lr(ratio, horizon) == pytest.approx(h[0] / 100, rel=1e-14)
    scaled = theory.minimax_base_lr(ratio, horizon, distance=3.0, gradient_bound=0.5)
    assert scaled == pytest.approx(h[0] * 0.06, rel=1e-14)


@pytest.mark.parametrize("ratio", RATIOS)
def test_schedule_falls_from_one_to_zero(ratio: float) -> None:
    schedule = Minimax(ratio)
    h = schedule.values(5_000)
    assert h[0] == 1.0
    assert np.all(np.diff(h) < 0)
    assert schedule(1.0) == 0.0
    assert schedule(1 - 2.0**-20) / schedule(1 - 2.0**-21) == pytest.approx(2.0**schedule.tail_degree)
    assert schedules.by_name(schedule.name) == schedule
    assert schedules.by_name(f"minimax:{ratio!r}") == schedule


def test_without_doubt_it_is_linear_decay() -> None:
    for ratio in (1.0, 1.5, PHI):
        np.testing.assert_array_equal(Minimax(ratio).values(100), schedules.Linear().values(100))
        assert theory.minimax_base_lr(ratio, 100) == pytest.approx(0.1 / math.sqrt(ratio))


def test_phases() -> None:
    assert [len(profile(ratio).phases) for ratio in (1, PHI, 2, R_C, 4, 1e6)] == [1, 1, 2, 3, 4, 4]
    assert pytest.approx(PHI) == GOLDEN
    assert pytest.approx(3.5093, abs=5e-5) == FOUR_PHASES
    assert isinstance(profile(100.0).joined(), Joined)


@pytest.mark.parametrize("bad", [0.5, 0.0, -1.0, math.inf, math.nan, "100", [1.0, 2.0], True])
def test_ratio_must_be_one_number_from_one_on(bad: Any) -> None:
    for function in (Minimax, theory.minimax_value, theory.best_degree, lambda x: theory.minimax_base_lr(x, 10)):
        with pytest.raises(ValueError, match=r"^ratio must be one number, finite and >= 1, got "):
            function(bad)


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0, 3.0, 3.6, 10.0, 100.0, 1000.0])
def test_bound_and_worst_case_are_equalised(ratio: float) -> None:
    """At most c and c/2 everywhere; equal to them at both ends and, with four phases, between them but for two gaps."""
    horizon, c = 100_000, theory.minimax_value(ratio)
    inner = np.geomspace(PHI**3 / 2, ratio * (1 + ROOT2) / 4, 41) if ratio > R_C else np.empty(0)
    rho = np.concatenate([[1.0, ratio], inner, np.geomspace(1.0, ratio, 101)])
    base_lr = theory.minimax_base_lr(ratio, horizon)
    for bound, limit in ((theory.last_iterate_bound, c), (theory.worst_case, c / 2)):
        values = largest(Minimax(ratio), horizon, base_lr, rho, bound)
        assert values.max() <= limit * (1 + 5e-4)
        np.testing.assert_allclose(values[: 2 + inner.size], limit, rtol=5e-4)
        if ratio > R_C:
            assert values.min() > 0.97 * limit


def normalised(ratio: float, rho: FloatArray) -> FloatArray:
    """bound / c in continuous time: the minimum over y of (1 / (rho y^2) + rho P(y)) / 2, P linear or y^2 in phases."""
    y, p = [0.0], [0.0]
    for phase in reversed(profile(ratio).phases):
        inner = np.linspace(phase.last, phase.first, 20_001)[1:]
        slope = 4 * (phase.first - phase.last) / phase.time
        p += (p[-1] + (inner**2 - phase.last**2 if phase.exponential else slope * (inner - phase.last))).tolist()
        y += inner.tolist()
    curve, at = np.array(p[1:]), np.array(y[1:])
    return np.array([np.min(0.5 / (r * at**2) + 0.5 * r * curve) for r in rho.tolist()])


@pytest.mark.parametrize("ratio", [*np.geomspace(1.0, 20.0, 12).tolist(), *np.linspace(1.62, 3.5, 30).tolist()])
def test_no_rate_in_between_is_worse(ratio: float) -> None:
    values = normalised(ratio, np.geomspace(1.0, ratio, 300))
    assert values.max() <= 1 + 1e-8
    np.testing.assert_allclose(values[[0, -1]], 1.0, rtol=1e-8)


def lower_bound(atoms: list[tuple[float, float]], middle: tuple[float, float] | None) -> float:
    """No schedule's c^2 is below J = 6 2^(-1/3) int (d sqrt M)^(2/3) (d mu)^(1/3) - 2 int rho d mu, M = int rho^2 d mu.

    `atoms`: (rho, mass), at the ends; `middle`: where mu has the density 1 / rho^2 between them, by quadrature.
    """
    total, spent, mass = 0.0, 0.0, 0.0  # the first integral, the second, and M

    def add(rho: FloatArray, weight: FloatArray) -> None:
        nonlocal total, spent, mass
        after = mass + np.cumsum(rho**2 * weight)
        jumps = np.diff(np.sqrt(np.append(mass, after)))
        total += float(np.sum(jumps ** (2 / 3) * weight ** (1 / 3)))
        spent += float(np.sum(rho * weight))
        mass = float(after[-1])

    add(np.array([atoms[0][0]]), np.array([atoms[0][1]]))
    if middle is not None:
        edges = np.geomspace(*middle, 20_001)
        add(np.sqrt(edges[:-1] * edges[1:]), 1 / edges[:-1] - 1 / edges[1:])
    add(np.array([atoms[1][0]]), np.array([atoms[1][1]]))
    return 6 * 2 ** (-1 / 3) * total - 2 * spent


@pytest.mark.parametrize("ratio", [3.6, 10.0, 100.0, 1000.0, 1e6])
def test_nothing_is_better_with_four_phases(ratio: float) -> None:
    atoms = [(1.0, PHI**3 / 2), (ratio, (3 + 2 * ROOT2) / (2 * ratio))]
    dual = lower_bound(atoms, (PHI**3 / 2, ratio * (1 + ROOT2) / 4))
    assert dual == pytest.approx(theory.minimax_value(ratio) ** 2, rel=1e-6)


@pytest.mark.parametrize("ratio", [1.65, 2.0, 2.5, 3.0, 3.5])
def test_nothing_is_better_with_two_phases(ratio: float) -> None:
    early, late = profile(ratio).phases
    slopes = [phase.time / (4 * (phase.first - phase.last)) for phase in (early, late)]  # dy / dP
    at_one = 4 * slopes[0] ** 2
    dual = lower_bound([(1.0, at_one), (ratio, (4 * slopes[1] ** 2 - at_one) / ratio**2)], None)
    assert dual == pytest.approx(theory.minimax_value(ratio) ** 2, rel=1e-12)


@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.5, PHI])
def test_nothing_is_better_than_linear_decay_without_doubt(ratio: float) -> None:
    """Masses R m and m, and both ends touched at the start: min over y2 <= y1 of what the multipliers leave."""
    optimize = pytest.importorskip("scipy.optimize")

    def left(masses: tuple[float, float]) -> float:
        a, b = math.sqrt(masses[0]), math.sqrt(masses[0] + ratio**2 * masses[1])
        apart = (masses[0] / (2 * a)) ** (1 / 3), (masses[1] / (2 * (b - a))) ** (1 / 3)
        assert apart[1] >= apart[0] * (1 - 1e-12)  # so that the two are equal at the constrained minimum
        y = (sum(masses) / (2 * b)) ** (1 / 3)
        return 4 * b * y + sum(masses) / y**2 - 2 * masses[0] - 2 * ratio * masses[1]

    found = optimize.minimize_scalar(lambda m: -left((ratio * m, m)), bounds=(1e-3, 10), method="bounded")
    assert -found.fun == pytest.approx((1 + ratio) ** 2 / ratio, rel=1e-8)


@pytest.mark.parametrize("ratio", [2.0, 10.0, 100.0])
def test_direct_optimisation_finds_nothing_better(ratio: float) -> None:
    """All 24 steps free: once every rho has its start the theorem is convex in q (SLSQP, with starts chosen anew)."""
    optimize = pytest.importorskip("scipy.optimize")
    n = 25
    rho = np.geomspace(1.0, ratio, 61)

    def values(q: FloatArray) -> FloatArray:
        """[rho, start]: (1 / (rho q^2) + rho sum (q - q')^2) / 2, times sqrt(n)."""
        noise = np.cumsum(np.diff(np.append(q, 0.0))[::-1] ** 2)[::-1]
        return np.asarray(0.5 * math.sqrt(n) * (1 / (rho[:, None] * q**2) + rho[:, None] * noise))

    lr = theory.minimax_steps(ratio, n - 1)
    w = theory.worst_case_weights(schedules.from_steps(lr), n - 1, base_lr=float(lr.max()), start=1)
    q = np.cumsum(w[::-1])[::-1] / math.sqrt(w.sum())
    recipe = values(q).min(axis=1).max()
    for _ in range(6):
        starts = values(q).argmin(axis=1)

        def margin(x: FloatArray, starts: NDArray[np.int64] = starts) -> FloatArray:
            return np.asarray(x[-1] - values(x[:-1])[np.arange(rho.size), starts])

        found = optimize.minimize(
            lambda x: x[-1],
            np.append(q, values(q).min(axis=1).max()),
            jac=lambda x: np.append(np.zeros(x.size - 1), 1.0),
            constraints={"type": "ineq", "fun": margin},
            bounds=[(1e-3, None)] * (n + 1),
            method="SLSQP",
            options={"maxiter": 200},
        )
        q = found.x[:-1]
    best = values(q).min(axis=1).max()
    assert theory.minimax_value(ratio) / 2 <= best <= recipe <= best * 1.02


# --- the recipe for steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "ratio", "expected"),
    [
        (20, 10, 1.2479),
        (20, 100, 1.4752),
        (20, 1000, 1.6876),
        (200, 10, 1.2341),
        (200, 100, 1.4488),
        (200, 1000, 1.6351),
    ],
)
def test_steps(points: int, ratio: float, expected: float) -> None:
    """For the last of `points` points, which one step fewer reaches; better than sampling the schedule.

    Expected is the theorem with the weights of the recipe at every rho; the worst case may have slightly better ones.
    """
    lr = theory.minimax_steps(ratio, points - 1, distance=2.0, gradient_bound=4.0)
    schedule = schedules.from_steps(lr)
    rho = np.geomspace(1.0, ratio, 201)
    found = largest(schedule, points - 1, 2.0 * schedule.base_lr, rho, theory.worst_case).max()
    assert expected - 1.2e-3 < found * math.sqrt(points / (points - 1)) < expected + 1e-4
    assert schedule.tail_degree == pytest.approx(1.0, abs=0.1)
    base_lr = theory.minimax_base_lr(ratio, points - 1)
    assert largest(Minimax(ratio), points - 1, base_lr, rho, theory.worst_case).max() > found


# --- other schedules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "linear", "best", "degree"),
    [(10, 2.968, 2.814, 1.95), (100, 5.148, 3.728, 4.05), (1000, 9.092, 4.479, 6.29), (1e6, 50.98, 6.226, 13.15)],
)
def test_polynomials(ratio: float, linear: float, best: float, degree: float) -> None:
    assert theory.polynomial_value(1, ratio) == pytest.approx(linear, rel=2e-4)
    assert theory.best_degree(ratio) == pytest.approx(degree, abs=0.006)
    assert theory.polynomial_value(theory.best_degree(ratio), ratio) == pytest.approx(best, rel=2e-4)


def test_polynomials_are_those_of_the_bound() -> None:
    """At T = 60 000 and the best base_lr of a grid."""
    horizon, ratio = 60_000, 30.0
    for degree in (1.0, 3.0):
        scales = np.geomspace(0.1, 1.0, 40)
        rho = np.geomspace(1.0, ratio, 10)
        values = largest(schedules.Polynomial(degree), horizon, 1 / math.sqrt(horizon), np.outer(scales, rho).ravel())
        found = values.reshape(scales.size, rho.size).max(axis=1).min()
        assert theory.polynomial_value(degree, ratio) == pytest.approx(found, rel=0.02)


def test_best_degree_limits() -> None:
    assert theory.best_degree(1.0) == pytest.approx(1.0, abs=1e-3)
    assert theory.polynomial_value(1.0, 1.0) == pytest.approx(2.0, rel=1e-9)
    assert theory.polynomial_value(3.0, 1.0) == pytest.approx(4 / math.sqrt(3), rel=1e-9)
    for log_ratio in (20.0, 100.0, 600.0):
        assert theory.best_degree(math.exp(log_ratio)) == pytest.approx(log_ratio - 0.714, abs=1.5 / log_ratio)
    e = math.sqrt(math.e)  # the ratio to the optimum in the limit, to 1.5 %
    assert math.exp(_log_value(2e4 - 0.714, 2e4)) / math.sqrt(2e4) == pytest.approx(e, rel=0.015)


@pytest.mark.parametrize("schedule", [schedules.Linear(), schedules.Cosine(), Minimax(20), schedules.StepDecay()])
def test_hedged_base_lr_makes_the_ends_equal(schedule: schedules.Schedule) -> None:
    rate = theory.hedged_base_lr(schedule, 500, ratio=20, distance=2.0, gradient_bound=0.5)
    rates = rate * np.geomspace(1.0, 20.0, 41)
    exact = theory.worst_case(schedule, 500, base_lr=rates, distance=2.0, gradient_bound=0.5).value
    assert exact[0] == pytest.approx(exact[-1], rel=1e-6)
    assert exact.max() <= exact[0] * 1.02


def test_hedged_base_lr_tends_to_the_closed_form() -> None:
    for horizon, off in ((1_000, 0.05), (50_000, 0.002)):
        rate = theory.hedged_base_lr(Minimax(100), horizon, ratio=100)
        assert rate == pytest.approx(theory.minimax_base_lr(100, horizon), rel=off)
