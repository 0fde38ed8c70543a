"""Schedules with a value at every step: from lists, functions, schedulers and files, and back as functions."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate, theory
from anneal_sgd.schedules import (
    Cosine,
    Exponential,
    InverseSqrt,
    Joined,
    Linear,
    Polynomial,
    Schedule,
    Tabulated,
    by_name,
    from_callable,
    from_file,
    from_optax,
    from_steps,
    from_torch,
)

START = 10_000.0
NOISELESS = problems.AbsoluteValue(slope=1.0, x0=START)


def path_of(schedule, base_lr, horizon):
    """x after every step of a noise-free descent in float64: each takes off the learning rate."""
    result = simulate(
        NOISELESS, schedule, base_lr=base_lr, horizon=horizon, replicates=1, record_at=range(1, horizon + 1),
        dtype="float64",
    )  # fmt: skip
    return result.mean


@pytest.mark.parametrize("horizon", [1, 2, 3, 7, 8, 9, 16, 17, 127, 128, 129, 300])
def test_a_simulation_takes_the_given_steps(horizon):
    rates = np.random.default_rng(horizon).random(horizon) * 7
    schedule = from_steps(rates)
    assert schedule.base_lr == rates.max()
    np.testing.assert_array_equal(schedule.values(horizon), rates / rates.max())
    np.testing.assert_allclose(path_of(schedule, schedule.base_lr, horizon), START - np.cumsum(rates), rtol=1e-13)
    np.testing.assert_array_equal(schedule(np.arange(horizon) / horizon, horizon), schedule.values(horizon))
    for other in (horizon + 1, 2 * horizon):
        with pytest.raises(
            ValueError, match=rf"^horizon must be {horizon}, a step for each value of perstep\({horizon}"
        ):
            simulate(NOISELESS, schedule, base_lr=1.0, horizon=other, replicates=1)


def test_steps_do_not_stretch():
    """A list taken for fractions of the horizon had the decay 0.45 off at the step where it falls."""
    rates = np.where(np.arange(1000) < 500, 1.0, 0.1)
    assert from_steps(rates).values(1000)[[499, 500]].tolist() == [1.0, 0.1]
    assert from_steps(1 - np.arange(1000) / 1000).tail_degree == pytest.approx(1, abs=1e-9)


def test_frozen_by_content():
    rates = np.array([0.5, 0.25, -0.0])
    schedule = from_steps(rates, name="logged")
    rates[1] = 0.4
    assert schedule.values(3).tolist() == [1.0, 0.5, 0.0]
    assert rates.tolist() == [0.5, 0.4, 0.0]
    assert schedule == from_steps([0.5, 0.25, 0], name="logged")
    assert schedule != from_steps([0.5, 0.2, 0], name="logged")
    assert schedule != Tabulated([1, 0.5, 0], name="logged")
    assert from_steps([1, 0.5]).name != from_steps([1, 0.25]).name
    assert repr(schedule) == "PerStep(<3 values>, tail_degree=1.0, name='logged')"
    copied = pickle.loads(pickle.dumps(schedule))
    assert (copied, copied.base_lr, hash(copied)) == (schedule, 0.5, hash(schedule))
    with pytest.raises(ValueError, match="read-only"):
        copied.table[0] = 2
    with pytest.raises(ValueError, match="read-only"):
        schedule.table[0] = 2


@pytest.mark.parametrize(
    ("values", "degree"),
    [
        (Linear().values(1000), 1),
        (Cosine().values(1000), 2),
        (Polynomial(3.5).values(1000), 3.5),
        (Polynomial(0.5).values(1000), 0.5),
        (np.append(Linear().values(999), 0.0), 1),
        (np.append(Linear().values(999), 1e-9), 1),  # a smallest learning rate at the end
        (np.ones(100), 0),
        (Cosine(floor=0.1).values(1000), 0),
        (Exponential(0.01).values(1000), 0),
        (InverseSqrt().values(1000), 0),
        (np.float32(Cosine().values(10_000)), 2),
        (np.where(np.arange(100) < 70, 1, 0.1), 0),
        ([3.0], 0),
        ([0, 3.0], 0),
        ([0, 1.0, 0], 0),
        (0.5 + 0.5 * np.cos(np.pi * (np.arange(1000) % 333) / 333), 0),  # a cycle begins at the last step
        (0.5 + 0.5 * np.cos(np.pi * (np.arange(999) % 333) / 333), 2),
    ],
)
def test_estimated_tail_degree(values, degree):
    assert from_steps(values).tail_degree == pytest.approx(degree, abs=0.01)
    assert from_steps(values, tail_degree=4).tail_degree == 4.0


def test_theory_takes_the_values():
    bound = theory.last_iterate_bound(from_steps(Cosine().values(500)), 500, base_lr=0.1)
    assert bound.value == pytest.approx(theory.last_iterate_bound(Cosine(), 500, base_lr=0.1).value)
    with pytest.raises(ValueError, match=r"^horizon must be 500"):
        theory.tuned_base_lr(from_steps(Cosine().values(500)), 499)


# --- functions of the step --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 2, 1000, 65_536, 70_001])
def test_a_function_is_asked_at_the_steps_themselves(horizon):
    schedule = from_callable(lambda t: 0.3 / (1 + t), horizon)
    np.testing.assert_allclose(schedule.values(horizon), 1 / (1 + np.arange(horizon)), rtol=1e-15)
    assert schedule.base_lr == 0.3


@pytest.mark.parametrize(
    "function",
    [
        lambda t: 0.5 if t < 30 else 0.05,  # arrays have no truth value
        lambda t: 0.5 * 0.1 ** (t >= 30),
        lambda t: np.float32(0.5 if int(t) < 30 else 0.05),
        lambda t: np.array(0.5 if t < 30 else 0.05)[()],
        lambda t: np.atleast_1d(0.5 * 0.1 ** (np.asarray(t).ravel()[0] >= 30)) * np.ones(np.shape(t)),  # of the first
    ],
)
def test_functions_of_one_step(function):
    np.testing.assert_allclose(
        from_callable(function, 100).values(100), np.where(np.arange(100) < 30, 1, 0.1), rtol=1e-6
    )


def test_optax_schedules_are_functions_or_numbers():
    assert from_optax(0.2, 10).values(10).tolist() == [1.0] * 10
    assert from_optax(0.2, 10).base_lr == 0.2
    with pytest.raises(ValueError, match=r"^schedule must be one number, finite and > 0, got 0"):
        from_optax(0.0, 10)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(warmup_steps=10), from_steps([3, 2, 1] * 40), by_name("wsd")])
def test_back_as_a_function(schedule):
    rate = schedule.to_callable(120, base_lr=0.25)
    expected = 0.25 * schedule.values(120)
    assert [rate(t) for t in range(120)] == expected.tolist()
    assert type(rate(0)) is float
    np.testing.assert_array_equal(rate(np.arange(120).reshape(3, 40)), expected.reshape(3, 40))
    assert rate(np.uint32(7)) == expected[7]
    assert rate(120) == rate(10**12) == 0.25 * schedule(1.0, 120)
    assert from_callable(rate, 120).base_lr == expected.max()
    np.testing.assert_allclose(from_callable(rate, 120).values(120), expected / expected.max(), rtol=1e-15)
    assert pickle.loads(pickle.dumps(rate))(5) == rate(5)
    for wrong in (-1, 1.5, [0.5], "1"):
        with pytest.raises(ValueError, match=r"^count must be an integer >= 0"):
            rate(wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_steps([]), "values must be"),
        (lambda: from_steps([0.1, -0.1]), "values must be .*got -0.1 at index 1"),
        (lambda: from_steps([0.1, math.nan]), "values must be .*got nan at index 1"),
        (lambda: from_steps([[0.1]]), "values must be one-dimensional"),
        (lambda: from_steps([0, 0]), "values must not all be 0, got 2 zeros"),
        (lambda: from_steps([1], tail_degree=-1), "tail_degree must be"),
        (lambda: from_steps([1], name=""), "name must be a text"),
        (lambda: from_callable(0.1, 10), "count_to_value must be a function of the step, got 0.1"),
        (lambda: from_callable(lambda t: 0.1, 0), r"horizon must be an integer in 1 .. 4294967295, got 0"),
        (lambda: from_callable(lambda t: -1.0, 3), "values must be .*got -1.0"),
        (lambda: from_callable(lambda t: 5 - t, 7), "values must be .*got -1.0 at index 6"),
        (lambda: Linear().to_callable(0), "horizon must be an integer"),
        (lambda: Linear().to_callable(10, base_lr=0), "base_lr must be"),
        (lambda: Cosine(warmup_steps=10).to_callable(10), "warmup_steps must be below the horizon"),
        (lambda: Joined([from_steps([1, 2]), Linear()], at_steps=[3]).values(9), "horizon must be 2, a step for each"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_what_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr("anneal_sgd.schedules._steps.available_memory", lambda: 10**9)
    with pytest.raises(
        ValueError, match=r"^horizon must fit in memory: a value at each of 1000000000 steps takes 80000000"
    ):
        from_callable(lambda t: 0.1 / (1 + t), 10**9)


# --- schedulers of torch ----------------------------------------------------------------------------------------------


class Optimizer:
    """What `from_torch` needs of one."""

    def __init__(self):
        self.param_groups = [{"params": [object()], "lr": 0.4, "momentum": 0.9}, {"params": [], "lr": 0.1}]


class Scheduler:
    """Halves every learning rate, or more of the first group."""

    def __init__(self, optimizer, *names):
        self.optimizer, self.count, self.names = optimizer, 0, names

    def step(self):
        self.count += 1
        for group in self.optimizer.param_groups:
            group["lr"] /= 2
        for name in self.names:
            self.optimizer.param_groups[0][name] /= 2

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


class Plateau(Scheduler):
    def step(self, metrics):
        raise AssertionError(metrics)


class Failing(Scheduler):
    def step(self):
        super().step()
        if self.count == 3:
            raise RuntimeError("no further")


def test_a_scheduler_is_stepped_and_set_back():
    optimizer = Optimizer()
    scheduler = Scheduler(optimizer)
    scheduler.step()
    before = [dict(group) for group in optimizer.param_groups]
    made = from_torch(optimizer, scheduler, 5)
    assert made.base_lr == 0.2
    assert made.values(5).tolist() == [1, 0.5, 0.25, 0.125, 0.0625]
    assert from_torch(optimizer, scheduler, 5, group=1).base_lr == 0.05
    assert optimizer.param_groups == before
    assert scheduler.count == 1
    failing = Failing(optimizer)
    with pytest.raises(RuntimeError, match="no further"):
        from_torch(optimizer, failing, 5)
    assert (optimizer.param_groups, failing.count) == (before, 0)


def test_what_else_a_scheduler_changes_is_told():
    optimizer = Optimizer()
    scheduler = Scheduler(optimizer, "momentum")
    with pytest.warns(UserWarning, match="^scheduler changes momentum too, .* learning rate alone") as told:
        made = from_torch(optimizer, scheduler, 5)
    assert told[0].filename == __file__
    assert made.values(5).tolist() == [1, 0.5, 0.25, 0.125, 0.0625]
    assert optimizer.param_groups[0]["momentum"] == 0.9
    from_torch(optimizer, scheduler, 5, group=1)  # of which it changes nothing else


@pytest.mark.parametrize("kind", ["OneCycleLR", "CyclicLR"])
@pytest.mark.parametrize(("optimizer", "name"), [("SGD", "momentum"), ("Adam", "betas")])
def test_a_cycled_momentum_is_told(kind, optimizer, name):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    made = getattr(torch.optim, optimizer)([torch.zeros(1, requires_grad=True)], lr=0.1)
    options = {"total_steps": 20} if kind == "OneCycleLR" else {"base_lr": 0.01, "step_size_up": 5}
    scheduler = getattr(torch.optim.lr_scheduler, kind)(made, max_lr=0.1, **options)
    with pytest.warns(UserWarning, match=f"^scheduler changes {name} too"):
        from_torch(made, scheduler, 20)


@pytest.mark.parametrize(
    ("scheduler", "options", "message"),
    [
        (Plateau(Optimizer()), {}, "scheduler must depend on the step alone, got Plateau, which needs metrics"),
        (Scheduler(Optimizer()), {}, "scheduler must belong to the optimizer"),
        (Scheduler(None), {"group": 2}, "group must be an integer in 0 .. 1, got 2"),
    ],
)
def test_schedulers_that_are_refused(scheduler, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        from_torch(Optimizer(), scheduler, 5, **options)


def test_to_torch_and_back():
    torch = pytest.importorskip("torch", exc_type=ImportError)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = Cosine(warmup_steps=10).to_torch(optimizer, 100)
    made = from_torch(optimizer, scheduler, 100)
    np.testing.assert_allclose(made.base_lr * made.table, 0.3 * Cosine(warmup_steps=10).values(100), rtol=1e-15)
    state = scheduler.state_dict()
    scheduler.load_state_dict(state)


# --- files ------------------------------------------------------------------------------------------------------------

RATES = [0.1, 0.1, 0.05, 0.02]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lr.csv", "0.1\n0.1\n0.05\n0.02\n"),
        ("lr.csv", "step,lr\n0,0.1\n1,0.1\n2,0.05\n3,0.02\n"),
        ("lr.csv", "1,0.1\n2,0.1\n3,0.05\n4,0.02"),
        ("lr.tsv", "step\tlr\n0\t0.1\n1\t0.1\n2\t0.05\n3\t0.02\n"),
        ("lr.txt", "learning_rate\n0.1\n0.1\n\n0.05\n0.02\n"),
        ("lr.json", json.dumps(RATES)),
        ("lr.json", json.dumps(list(enumerate(RATES)))),
    ],
)
def test_files_of_steps(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    schedule = from_file(tmp_path / name)
    assert (schedule.name, schedule.base_lr) == (name, 0.1)
    np.testing.assert_allclose(schedule.values(4), np.array(RATES) / 0.1, rtol=1e-15)
    assert by_name(f"file:{tmp_path / name}") == schedule


def test_files_of_fractions_and_arrays(tmp_path):
    (tmp_path / "h.csv").write_text("u,h\n0,1\n0.25,1\n1,0\n")
    assert from_file(tmp_path / "h.csv") == Tabulated([1, 1, 0], at=[0, 0.25, 1], name="h.csv")
    np.save(tmp_path / "lr.npy", np.array(RATES))
    assert from_file(tmp_path / "lr.npy", name="mine", tail_degree=2) == from_steps(RATES, name="mine", tail_degree=2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lr.xlsx", "", "file must be one of .csv, .tsv, .txt, .json, .npy, got '.*lr.xlsx'"),
        ("lr.csv", "", "file lr.csv must be"),
        ("lr.csv", "lr\n0.1\nx\n", r"file lr.csv must have numbers in row 3, got \['x'\]"),
        ("lr.csv", "0.1,1\n0.2\n", "file lr.csv must have rows of one length"),
        ("lr.csv", "1,2,3\n4,5,6\n", r"file lr.csv must have one or two columns, got shape \(2, 3\)"),
        ("lr.csv", "0,1\n10,0.5\n20,0.1\n", "file lr.csv must have fractions from 0 to 1 in its first column, or"),
        ("lr.csv", "0.1\n-0.1\n", "file lr.csv must be finite and >= 0, got -0.1 at index 1"),
        ("lr.json", "{", "file lr.json must be JSON"),
        ("lr.json", '{"a": 1}', "file lr.json must be numbers"),
        ("lr.npy", "", "file lr.npy must be an array of NumPy's"),
        ("lr.txt", b"\xff\xfe\x00", "file lr.txt must be text in UTF-8"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"^{message}"):
        from_file(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.csv"):
        from_file(tmp_path / "none.csv")


def test_identities_tell_contents_apart():
    """Whatever names they were given: what a campaign keeps results under."""
    same = [from_steps([1, 0.5], name="a"), from_steps([2, 1], name="b")]
    assert same[0]._identity == same[1]._identity
    others: list[Schedule] = [
        *(same[0], from_steps([1, 0.25], name="a"), Tabulated([1, 0.5], name="a")),
        *(Tabulated([1, 0.5, 0.2], name="a"), Tabulated([1, 0.5, 0.2], at=[0, 0.1, 1], name="a")),
        *(Joined([one, Linear()], at=[0.5]) for one in (Tabulated([1, 0.5], name="a"), Tabulated([1, 0.4], name="a"))),
        *(schedules.Repeated(Tabulated([1, x], name="a"), 2) for x in (0.5, 0.4)),
    ]
    assert len({one._identity for one in others}) == len(others)
