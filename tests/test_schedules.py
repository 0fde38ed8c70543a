"""Schedules: formulas against plain NumPy, what simulations use, names, content equality, tables."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.schedules import (
    Constant,
    Cosine,
    Exponential,
    Held,
    InversePower,
    InverseSqrt,
    Joined,
    Linear,
    Minimax,
    OneMinusSqrt,
    Polynomial,
    Repeated,
    Reversed,
    Schedule,
    Stairs,
    StepDecay,
    Tabulated,
    WarmupStableDecay,
    by_name,
)

LENGTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 127, 128, 129, 1000)


def cosine(u):
    return (1 + np.cos(np.pi * u)) / 2


def wsd(fraction, shape):
    def h(u):
        inside = u > 1 - fraction
        return np.where(inside, shape(np.where(inside, (u - (1 - fraction)) / fraction, 0)), 1.0)

    return h


FORMULAS = [
    (Constant(), lambda u: np.ones_like(u), 0),
    (Polynomial(0), lambda u: np.ones_like(u), 0),
    (Polynomial(0.5), lambda u: np.sqrt(1 - u), 0.5),
    (Polynomial(1), lambda u: 1 - u, 1),
    (Polynomial(1.5), lambda u: (1 - u) ** 1.5, 1.5),
    (Polynomial(degree=2), lambda u: (1 - u) ** 2, 2),
    (Polynomial(8), lambda u: (1 - u) ** 8, 8),
    (Polynomial(8.5), lambda u: (1 - u) ** 8.5, 8.5),
    (Polynomial(0.3), lambda u: (1 - u) ** 0.3, 0.3),
    (Linear(), lambda u: 1 - u, 1),
    (Cosine(), cosine, 2),
    (OneMinusSqrt(), lambda u: 1 - np.sqrt(u), 1),
    (Exponential(), lambda u: 0.01**u, 0),
    (Exponential(final=0.5), lambda u: 0.5**u, 0),
    (InverseSqrt(0.25), lambda u: 1 / np.sqrt(1 + u / 0.25), 0),
    (StepDecay(), lambda u: np.where(u < 0.5, 1, np.where(u < 0.75, 0.1, 0.01)), 0),
    (StepDecay(0.5, (0.25,)), lambda u: np.where(u < 0.25, 1, 0.5), 0),
    (WarmupStableDecay(), wsd(0.2, lambda x: 1 - x), 1),
    (WarmupStableDecay(0.5, "cosine"), wsd(0.5, cosine), 2),
    (WarmupStableDecay(1.0, "one_minus_sqrt"), wsd(1.0, lambda x: 1 - np.sqrt(x)), 1),
    (Tabulated([1, 0.25, 0.75, 0]), lambda u: np.interp(u, np.arange(4) / 3, [1, 0.25, 0.75, 0]), None),
    (Tabulated([1, 1, 0], at=[0, 0.9, 1]), lambda u: np.interp(u, [0, 0.9, 1], [1, 1, 0]), 1),
    (InversePower(1, 0.25), lambda u: 1 / (1 + u / 0.25), 0),
    (InversePower(0.7, 0.25), lambda u: (1 + u / 0.25) ** -0.7, 0),
]
PLAIN = [s for s, _, _ in FORMULAS] + [InverseSqrt()]
MODIFIED = [
    Cosine(floor=0.1),
    Linear(warmup_frac=0.125),
    Polynomial(2, floor=0.25, warmup_frac=0.5),
    InverseSqrt(warmup_frac=0.1),
    InversePower(1.5),
    InversePower(0.3, warmup_frac=0.2),
    InverseSqrt(0.1, floor=0.5),
    Constant(warmup_frac=0.3),
    StepDecay(0.3, (0.2, 0.4, 0.9), warmup_frac=0.1),
    WarmupStableDecay(0.25, "cosine", warmup_frac=0.75, floor=0.01),
    Exponential(0.1, floor=1.0),
    OneMinusSqrt(floor=0.1),
    Cosine(warmup_frac=0.2, warmup_start=0.1, warmup_shape="cosine"),
    WarmupStableDecay(0.25, warmup_frac=0.3, warmup_shape="one_minus_sqrt"),
    Joined([Constant(), Cosine()], at=[0.4]),
    Joined([Reversed(Linear(floor=0.1)), InversePower(1), Linear()], at=[0.1, 0.9], scales=[0.5, 0.5, 0.1]),
    Joined([Repeated(Linear(), 2), Joined([Linear(), Constant()], at=[0.5])], at=[0.5]),
    Held(Cosine(floor=0.2), until_frac=0.7),
    Minimax(1.5),
    Minimax(2.5),
    Minimax(100),
    Joined([Linear(floor=0.5), Minimax(30)], at=[0.25]),
    Repeated(Cosine(), 3),
    Repeated(Linear(warmup_frac=0.1), 3, growth=2),
    Repeated(Joined([Linear(), Constant()], at=[0.5]), 2),
]
ALL = PLAIN + MODIFIED
IN_STEPS = [  # for 1000 steps
    InverseSqrt(warmup_steps=30, timescale_steps=7.5),
    InversePower(1, warmup_steps=30),
    Cosine(warmup_steps=100),
    Cosine(warmup_steps=100, warmup_start=0.5),
    StepDecay(0.5, milestone_steps=(10, 500, 2000)),
    WarmupStableDecay(cooldown_steps=300, warmup_steps=700),
    Joined([Linear(), Cosine(warmup_steps=10)], at_steps=[123]),
    Held(Linear(floor=0.5), until_steps=500),
    Held(Linear(), until_steps=2000),
    Repeated(Cosine(), every_steps=300),
    Repeated(Linear(), every_steps=62.5, growth=1.5),
    Stairs(Exponential(0.01), every_steps=30),
    Joined([Stairs(Linear(), every_steps=7), Linear()], at=[0.5]),
    schedules.from_steps(np.random.default_rng(3).random(1000)),
    Joined([schedules.from_steps(np.arange(100.0, 0, -1)), Constant()], at_steps=[100]),
]


def name(value):
    return value.name if isinstance(value, Schedule) else None


@pytest.mark.parametrize(("schedule", "formula", "degree"), FORMULAS, ids=name)
def test_formula(schedule, formula, degree):
    u = np.linspace(0, 1, 1025)
    np.testing.assert_allclose(schedule(u), formula(u), rtol=4e-14, atol=1e-15)
    assert schedule(0.0) == 1.0
    if degree is not None:
        assert schedule.tail_degree == degree


@pytest.mark.parametrize("schedule", [s for s in ALL if not isinstance(s, Tabulated)], ids=name)
def test_tail_degree_is_what_the_values_do(schedule):
    d = 2.0**-26
    far, near = schedule([1 - 2 * d, 1 - d], horizon=1000)
    assert math.log2(far / near) == pytest.approx(schedule.tail_degree, abs=1e-5)


@pytest.mark.parametrize("plain", [s for s in PLAIN if not isinstance(s, Tabulated)], ids=name)
def test_warmup_and_floor(plain):
    if isinstance(plain, WarmupStableDecay):
        plain = dataclasses.replace(plain, cooldown_frac=0.5)
    w, floor = 0.25, 0.125
    u = np.linspace(0, 1, 257)
    inner = np.clip((u - w) / (1 - w), 0, 1)
    if isinstance(plain, StepDecay | WarmupStableDecay):
        inner = u  # milestones and cooldown are fractions of the whole horizon
    if isinstance(
        plain, InverseSqrt | InversePower
    ):  # and so is the time scale, which begins after the warmup, and by default is it
        inner = np.clip(u - w, 0, 1)
        plain = dataclasses.replace(plain, timescale_frac=plain.timescale_frac or w)
    shape = plain(inner, horizon=50)
    warm = dataclasses.replace(plain, warmup_frac=w, floor=floor)
    np.testing.assert_allclose(
        warm(u, horizon=50), np.where(u < w, u / w, floor + (1 - floor) * shape), rtol=1e-13, atol=1e-15
    )
    assert warm.tail_degree == 0.0
    assert dataclasses.replace(plain, warmup_frac=w).tail_degree == plain.tail_degree


@pytest.mark.parametrize("schedule", IN_STEPS, ids=name)
def test_steps_need_a_horizon(schedule):
    values = schedule.values(1000)
    assert values.max() <= 1.0
    assert values.min() >= 0.0
    np.testing.assert_allclose(schedule(np.arange(1000) / 1000, horizon=1000), values, rtol=1e-11, atol=1e-15)
    for other in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule)):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert other.name == schedule.name
        np.testing.assert_array_equal(other.values(1000), values)
    with pytest.raises(ValueError, match=r"^horizon must be given for .*, of which something counts steps$"):
        schedule(0.5)


def test_steps_are_the_same_at_every_horizon():
    warm = Constant(warmup_steps=100)
    for horizon in (101, 1000, 10**6, 2**32 - 1):
        np.testing.assert_allclose(warm.values(horizon, 0, 101), np.arange(101) / 100, rtol=1e-15)
    decay = StepDecay(0.5, milestone_steps=(10, 20))
    np.testing.assert_array_equal(decay.values(15), np.where(np.arange(15) < 10, 1, 0.5))
    assert WarmupStableDecay(cooldown_steps=100).values(10**6)[-101:][[0, 1, 51]].tolist() == [1, 1, 0.5]
    with pytest.raises(ValueError, match=r"^warmup_steps must be below the horizon, got 100 for 100 steps"):
        warm.values(100)
    with pytest.raises(ValueError, match=r"^cooldown_steps must be at most the horizon, got 100 for 50 steps"):
        WarmupStableDecay(cooldown_steps=100).values(50)
    with pytest.raises(ValueError, match=r"^cooldown_frac must be at most 1 - warmup_frac = 0.25, got 0.5"):
        WarmupStableDecay(cooldown_steps=50, warmup_steps=75).values(100)
    with pytest.raises(ValueError, match=r"^at_steps must be below the horizon, got 100 for 100 steps"):
        Joined([Linear(), Linear()], at_steps=[100]).values(100)


@pytest.mark.parametrize("horizon", [50, 100, 1000])
def test_a_part_begins_at_the_step_of_its_fraction(horizon):
    """Where `at` times the horizon is rounded up, as 0.07 * 100 is, too."""
    for percent in range(1, 100):
        if percent * horizon % 100 == 0:
            step = percent * horizon // 100
            h = Joined([Linear(), Linear()], at=[percent / 100]).values(horizon)
            expected = np.append(1 - np.arange(step) / step, 1 - np.arange(horizon - step) / (horizon - step))
            np.testing.assert_allclose(h, expected, rtol=1e-12)


@pytest.mark.parametrize(("horizon", "times"), [(18, 14), (36, 14), (36, 28), (70, 30), (735, 245), (1000, 3)])
def test_a_run_begins_at_its_first_step(horizon, times):
    expected = [1 - Fraction(t * times, horizon) % 1 for t in range(horizon)]
    np.testing.assert_allclose(Repeated(Linear(), times).values(horizon), np.array(expected, float), rtol=1e-12)


def test_a_run_that_grows_begins_at_its_first_step():
    h = Repeated(Linear(), 6, growth=2).values(522)
    starts = np.array([522 / 63 * (2**i - 1) for i in range(6)])
    assert h[58] == 1.0, starts[3]
    np.testing.assert_allclose(h[59:120], 1 - (np.arange(59, 120) - starts[3]) / (8 * 522 / 63), rtol=1e-12)


@pytest.mark.parametrize("shape", [Linear(), Polynomial(0.5), OneMinusSqrt()], ids=name)
def test_the_end_is_that_of_the_shape(shape):
    """Where a third of the horizon, or 27 stairs of 7/3 steps, are rounded."""
    for times in (2, 3, 6, 7, 30):
        assert shape(1.0) <= Repeated(shape, times)(1.0) <= 1e-7
        assert shape(1.0) <= Held(Repeated(shape, times), until_steps=50).values(60)[-1] <= 1e-7
    stairs = Stairs(shape, every_steps=7 / 3)
    assert stairs(1.0, horizon=63) == Held(stairs, until_steps=63).values(70)[-1] == shape(1.0)


def test_no_run_begins_before_its_start():
    """27 runs of the float64 next to 7/3 end past step 63, by less than the quotient's rounding."""
    for runs in (Repeated(OneMinusSqrt(), 30), Repeated(OneMinusSqrt(), every_steps=7 / 3)):
        h = runs.values(70)
        assert h[63] == pytest.approx(1.0, abs=1e-7)
        assert h.max() == 1.0
        assert h.min() > 0.0


@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_values_in_range(schedule):
    h = schedule.values(12_345)
    assert h.dtype == np.float64
    assert h.shape == (12_345,)
    assert h.min() >= 0.0
    assert h.max() <= 1.0


@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_values_and_calls_agree(schedule):
    for horizon in LENGTHS:
        values = schedule.values(horizon)
        np.testing.assert_allclose(
            values, schedule(np.arange(horizon) / horizon, horizon=horizon), rtol=1e-11, atol=1e-15
        )
    for first, stop in [(0, 0), (0, 1), (3, 20), (127, 130), (999, 1000)]:
        np.testing.assert_array_equal(schedule.values(1000, first, stop), values[first:stop])
    np.testing.assert_array_equal(schedule.values(1000, first=995), values[995:])


@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_a_simulation_uses_these_values(schedule, isa):
    """Noise off and slope 1 far from the kink: every step subtracts the learning rate, in float64 to the bit."""
    horizon, base_lr, x, low = 300, 0.37, 1000.0, 0.0
    result = simulate(
        problems.AbsoluteValue(slope=1.0, x0=x),
        schedule,
        base_lr=base_lr,
        horizon=horizon,
        replicates=1,
        record_at=range(1, horizon + 1),
        dtype="float64",
        isa=isa,
    )
    expected = []
    for h in schedule.values(horizon).tolist():
        y = low - base_lr * h
        x, low = x + y, y - ((x + y) - x)  # what x could not take is carried
        expected.append(x)
    assert result.mean.tolist() == expected


def test_inverse_sqrt_needs_a_horizon_only_without_timescale():
    np.testing.assert_allclose(InverseSqrt().values(100), 1 / np.sqrt(np.arange(1, 101)), rtol=1e-15)
    np.testing.assert_allclose(InverseSqrt()([0, 0.5, 1], horizon=8), [1, 5**-0.5, 1 / 3], rtol=1e-15)
    with pytest.raises(ValueError, match=r"^horizon must be given for inverse_sqrt"):
        InverseSqrt()(0.5)
    assert InverseSqrt(0.5)(0.5) == InverseSqrt(0.5)(0.5, horizon=7)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 1, 4)])
def test_shapes(shape):
    u = np.linspace(0, 1, math.prod(shape)).reshape(shape)
    h = Linear()(u)
    assert np.shape(h) == shape
    np.testing.assert_array_equal(h, 1 - u)
    strided = np.asfortranarray(np.broadcast_to(u, (2, *shape)))
    np.testing.assert_array_equal(Linear()(strided), 1 - strided)


def test_a_number_gives_a_float():
    for u in (0, 0.5, np.float32(0.5), np.array(1.0)):
        assert type(Linear()(u)) is float


@pytest.mark.parametrize("u", [-0.1, 1.1, math.nan, [0.5, 2.0], "0.5", True, None, 1j, []])
def test_fractions_outside(u):
    with pytest.raises(ValueError, match=r"^u must be"):
        Linear()(u)


@pytest.mark.parametrize("schedule", ALL, ids=name)
def test_frozen_equal_by_content_and_portable(schedule):
    schedule.values(3)  # the compiled twin exists now, and must not be copied
    for other in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule), copy.copy(schedule)):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert other.name == schedule.name
        assert other.tail_degree == schedule.tail_degree
        np.testing.assert_array_equal(other.values(33), schedule.values(33))
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.floor = 0.5
    assert schedule != "linear"


def test_all_different():
    assert len(set(ALL)) == len(ALL)
    assert len({s.name for s in ALL}) == len(ALL)
    assert Polynomial(1) != Linear()


def test_numbers_become_floats():
    assert Polynomial(2) == Polynomial(np.float32(2)) == Polynomial(np.int64(2))
    assert type(Polynomial(2).degree) is float
    assert StepDecay(0.1, [0.5, 0.75]) == StepDecay(np.float64(0.1), np.array([0.5, 0.75])) == StepDecay()
    assert StepDecay(milestones=0.5).milestones == (0.5,)


def reads_back(schedule):
    parts = getattr(schedule, "_parts", (schedule,))
    return not any(isinstance(part, Tabulated | schedules.PerStep) for part in parts)


@pytest.mark.parametrize("schedule", [s for s in [*ALL, *IN_STEPS] if reads_back(s)], ids=name)
def test_names_read_back(schedule):
    assert by_name(schedule.name) == schedule
    if not hasattr(schedule, "_parts"):
        assert by_name(schedule.name.replace("(", ":").replace(", ", ":").rstrip(")")) == schedule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant", Constant()),
        (" linear ", Linear()),
        ("linear()", Linear()),
        ("polynomial:2", Polynomial(2)),
        ("polynomial:degree=0.5", Polynomial(0.5)),
        ("polynomial( 2 , floor = 0.1 )", Polynomial(2, floor=0.1)),
        ("wsd", WarmupStableDecay()),
        ("wsd:0.3:cosine", WarmupStableDecay(0.3, "cosine")),
        ("warmup_stable_decay:cooldown=cosine:warmup_frac=0.1", WarmupStableDecay(cooldown="cosine", warmup_frac=0.1)),
        ("cosine:floor=0.1", Cosine(floor=0.1)),
        ("inverse_sqrt:0.01", InverseSqrt(0.01)),
        ("step_decay:0.5:0.3/0.6", StepDecay(0.5, (0.3, 0.6))),
        ("exponential:1e-3", Exponential(0.001)),
        ("repeated:cosine(floor=0.1):2", schedules.Repeated(Cosine(floor=0.1), 2)),
    ],
)
def test_by_name(text, expected):
    assert by_name(text) == expected


def test_by_name_with_keywords():
    assert by_name("cosine", floor=0.1) == Cosine(floor=0.1)
    assert by_name("wsd:0.5", cooldown="cosine") == WarmupStableDecay(0.5, "cosine")
    assert by_name("step_decay", milestones=(0.1, 0.2)) == StepDecay(milestones=(0.1, 0.2))
    assert all(known in schedules.names() for known in ("constant", "polynomial", "wsd", "warmup_stable_decay"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosin", "name must be one of constant, inverse_sqrt, inverse_power, polynomial, .*got 'cosin'"),
        ("", "name must be one of"),
        (3, "name must be a text"),
        ("polynomial", "degree must be given for polynomial, got 'polynomial'"),
        ("polynomial:2:3", "name must give polynomial at most 1 parameters by place"),
        ("polynomial:two", "degree must be a number, got 'two'"),
        ("polynomial:2:degree=3", "degree must be given once"),
        ("polynomial:-1", "degree must be one number, finite and >= 0, got -1.0"),
        ("cosine:flor=0.1", "flor must be a parameter of cosine, which are floor, warmup_frac"),
        ("cosine:warmup_steps=1.5", "warmup_steps must be a whole number, got '1.5'"),
        ("step_decay:milestone_steps=3/4.5", "milestone_steps must be whole numbers with / between"),
        ("joined(linear, at=0.5)", "at must be 0 for 1 schedules, got 1"),
        ("joined(linear, cosin, at=0.5)", "name must be one of .*got 'cosin'"),
        ("held(linear)", "until_frac must be given or until_steps"),
        ("cosine:0.1", "name must give cosine at most 0"),
        ("wsd:0.2:square", "cooldown must be one of"),
        ("step_decay:0.1:0.5/x", "milestones must be numbers with / between"),
        ("linear(", "name must end with its closing parenthesis"),
        ("linear)", "name must be one of"),
    ],
)
def test_by_name_errors(text, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        by_name(text)


def test_by_name_rejects_a_parameter_given_twice():
    with pytest.raises(ValueError, match=r"^floor must be given once"):
        by_name("cosine:floor=0.1", floor=0.2)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_table_of_a_function():
    by_array = Tabulated(lambda u: (1 - u) ** 3)
    by_number = Tabulated(lambda u: max(0.0, 1 - u) ** 3 if u < 1 else 0.0)  # arrays have no truth value
    np.testing.assert_array_equal(by_number.at, by_array.at)
    np.testing.assert_allclose(by_number.table, by_array.table, rtol=1e-14)
    assert by_array.tail_degree == pytest.approx(3, abs=1e-4)
    assert Tabulated(Cosine()).tail_degree == pytest.approx(2, abs=1e-3)
    assert Tabulated(math.cos)(0.3) == pytest.approx(math.cos(0.3), rel=1e-7)
    assert set(Tabulated(lambda u: 0.5).table.tolist()) == {0.5}


FUNCTIONS = {
    "power": lambda u: (1 - u) ** 3,
    "half power": lambda u: np.sqrt(1 - u),
    "root": lambda u: 1 - np.sqrt(u),
    "cosine": cosine,
    "inverse": lambda u: 1 / (1 + u * 10**6),
    "steep inverse": lambda u: 1 / (1 + u * 10**9),
    "jump": lambda u: np.where(u < 1 / 3, 1, 0.1),
    "kink": lambda u: np.minimum(u / 0.1, (1 - u) / 0.9),
    "ends early": lambda u: np.maximum(0, 1 - 2 * u),
    "steep": lambda u: (1 - u) ** 40,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_followed_at_every_horizon(function):
    """At the first and last steps and at many between, within half a unit of float32; jumps exactly."""
    h = FUNCTIONS[function]
    table = Tabulated(h)
    rng = np.random.default_rng(1)
    for horizon in (999, 3000, 10**6, 10**9, 2**32 - 1):
        most = min(horizon, 3000)
        t = np.concatenate([np.arange(most), horizon - 1 - np.arange(most), rng.integers(0, horizon, 20_000)])
        u = t / horizon
        expected = h(u)
        np.testing.assert_allclose(table(u), expected, rtol=2e-7, atol=1e-15, err_msg=f"{horizon}")
    assert table.table.size < 10**5


def test_the_first_steps_of_one_over_t():
    """65,537 equal cells had a value a factor of 4.6 off here."""
    horizon = 10**6
    table = Tabulated(lambda u: 1 / (1 + u * horizon))
    np.testing.assert_allclose(table.values(horizon, 0, 1000), 1 / (1 + np.arange(1000)), rtol=1e-7)


@pytest.mark.parametrize(
    "function",
    [
        lambda t: 0.5 * (1 + np.cos(np.pi * np.minimum(t, 1000) / 1000)),  # as optax.cosine_decay_schedule(1.0, 1000)
        lambda t: max(0.0, 1 - t / 500),
        lambda t: np.minimum(t / 100, 1.0),
        lambda t: 1.0 if t < 30 else 0.1,
        lambda t: 1 / math.sqrt(1 + t / 1000),
    ],
)
def test_functions_of_the_step_are_refused(function):
    with pytest.raises(ValueError, match=r"^values must be a function of the fraction .*schedules.from_callable"):
        Tabulated(function)


def test_functions_that_need_too_many_points_are_refused():
    with pytest.raises(ValueError, match=r"^values must be followed by .*schedules.from_callable"):
        Tabulated(lambda u: 0.5 + 0.5 * np.sin(300_000 * u))


@pytest.mark.parametrize(
    ("values", "degree"),
    [
        ([1, 0.5], 0),
        ([1, 0], 1),
        ([1, 0.25, 0], 2),
        ([1, 0.5, 0.25, 0, 0, 0], 1),
        ([1, 0, 0], 1),
        ([0.5, 1, 0], 0),
        ([0, 1, 0], 1),
        ([0, 0, 1, 0, 0], 1),
        ([1, 0.75, 0.5], 0),
        ([1, 0.5, 0.1], 0),
        ([1, 0.75, 0.5, 0.25, 1e-17], 1),
        (np.append(np.linspace(1, 0, 101)[:-2], [0.013, 0]), 1),
        (np.linspace(1, 0, 100), 1),
        (np.linspace(1, 0, 1000) ** 2.5, 2.5),
    ],
)
def test_estimated_tail_degree(values, degree):
    assert Tabulated(values).tail_degree == pytest.approx(degree, abs=1e-9)
    assert Tabulated(values, tail_degree=4).tail_degree == 4.0


def test_table_is_its_own_copy_and_read_only():
    values = np.array([1.0, 0.5, 0.0])
    schedule = Tabulated(values, name="mine")
    values[1] = 0.9
    assert schedule(0.5) == 0.5
    assert schedule.name == "mine"
    with pytest.raises(ValueError, match="read-only"):
        schedule.table[0] = 0.0
    assert Tabulated([1, 0]) == Tabulated(np.array([1.0, -0.0]))
    assert Tabulated([1, 0]) != Tabulated([1, 0], name="other")
    assert Tabulated([1, 0.5]).name != Tabulated([1, 0.25]).name
    assert repr(schedule) == "Tabulated(<3 values>, tail_degree=1.0, name='mine')"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [1, 2, 0]}, r"values must be at most 1 \(scale goes in base_lr\), got 2.0 at index 1"),
        ({"values": [1, -0.5, 0]}, "values must be one-dimensional, finite and >= 0, got -0.5 at index 1"),
        ({"values": [1, math.nan]}, "values must be .*got nan at index 1"),
        ({"values": [1]}, "values must be at least 2, got 1"),
        ({"values": [0, 0]}, "values must not all be 0"),
        ({"values": []}, "values must be"),
        ({"values": [[1, 0]]}, r"values must be one-dimensional.*got shape \(1, 2\)"),
        ({"values": "linear"}, "values must be numbers"),
        ({"values": lambda u: 2 * u}, "values must be at most 1"),
        ({"values": lambda u: 1 - u, "at": [0, 1]}, "at must be left out"),
        ({"values": [1, 0], "at": [0, 0.5, 1]}, "at must be as many as values, got 3 for 2"),
        ({"values": [1, 0], "at": [0, 0.5]}, "at must increase strictly from 0 to 1"),
        ({"values": [1, 1, 0], "at": [0, 0, 1]}, "at must increase strictly from 0 to 1"),
        ({"values": lambda u: math.nan}, "values must be"),
        ({"values": lambda u: 0.0 * u}, "values must not all be 0"),
        ({"values": [1, 0], "tail_degree": -1}, "tail_degree must be"),
        ({"values": [1, 0], "name": ""}, "name must be a text"),
    ],
)
def test_bad_tables(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tabulated(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polynomial(-1), "degree must be one number, finite and >= 0, got -1"),
        (lambda: Polynomial(math.inf), "degree must be"),
        (lambda: Polynomial(True), "degree must be"),
        (lambda: Polynomial("2"), "degree must be"),
        (lambda: Polynomial([2]), "degree must be"),
        (lambda: Cosine(floor=1.5), r"floor must be one number, in \[0, 1\], got 1.5"),
        (lambda: Cosine(floor=math.nan), "floor must be"),
        (lambda: Linear(warmup_frac=1.0), r"warmup_frac must be one number, in \[0, 1\), got 1.0"),
        (lambda: InverseSqrt(0.0), "timescale_frac must be one number, finite and >= 2.22507e-308, got 0.0"),
        (lambda: Exponential(0.0), r"final must be one number, in \(0, 1\], got 0.0"),
        (lambda: StepDecay(0.0), "factor must be"),
        (lambda: StepDecay(milestones=(0.5, 0.5)), "milestones must be strictly increasing"),
        (
            lambda: StepDecay(milestones=(0.0, 0.5)),
            r"milestones must be one number or one-dimensional, in \(0, 1\), got 0.0 at index 0",
        ),
        (lambda: StepDecay(milestones=()), "milestones must be"),
        (lambda: WarmupStableDecay(0.0), "cooldown_frac must be"),
        (
            lambda: WarmupStableDecay(0.6, warmup_frac=0.5),
            "cooldown_frac must be at most 1 - warmup_frac = 0.5, got 0.6",
        ),
        (lambda: WarmupStableDecay(cooldown="square"), "cooldown must be one of 'linear', 'cosine', 'one_minus_sqrt'"),
        (lambda: Linear().values(0), r"horizon must be an integer in 1 .. 4294967295, got 0"),
        (lambda: Linear().values(2.5), "horizon must be an integer"),
        (lambda: Linear().values(True), "horizon must be an integer"),
        (lambda: Linear().values(5, 6), "first must be an integer in 0 .. 5, got 6"),
        (lambda: Linear().values(5, 3, 2), "stop must be an integer in 3 .. 5, got 2"),
        (lambda: Linear()(0.5, horizon=0), "horizon must be an integer"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
