"""Every argument of the call, wrong: the message starts with the argument's name and shows the value."""

from __future__ import annotations

import math
from collections import namedtuple

import numpy as np
import pytest

from anneal_sgd import Simulator, estimate, methods, problems, schedules, simulate

NOT_INTEGERS = [3.5, "10", None, True, np.float64(10.5), np.True_, [10], 1j, math.nan, math.inf]


Pair = namedtuple("Pair", ["init", "update"])  # as optax has it


def lent(module):
    """An object of a class that is not here."""
    return type("Lent", (), {"__module__": module})()


def call(**changes):
    arguments = {
        "problem": problems.AbsoluteValue(1.0),
        "schedule": schedules.Linear(),
        "base_lr": 0.1,
        "horizon": 10,
        "replicates": 2,
        **changes,
    }
    return simulate(**arguments)


def test_the_call_itself_is_fine():
    assert float(call().count) == 2


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("horizon", [0, -1, 2**32, 10**30, *NOT_INTEGERS], "must be an integer in 1 .. 4294967295, got"),
        ("replicates", [0, -5, 2**32 + 1, *NOT_INTEGERS], "must be an integer in 1 .. 4294967296, got"),
        ("first_replicate", [-1, 2**32, *NOT_INTEGERS], "must be an integer in 0 .. 4294967295, got"),
        (
            "seed",
            [-1, 2**64, 3.5, "10", True, 1j, object(), [-1], [0.5]],
            "must be an integer (in 0 .. 18446744073709551615|>= 0), got",
        ),
        ("threads", [0, -2, 2**31, 3.5, "2", True, [2]], "must be an integer in 1 .. 2147483647, got"),
        ("record_at", [-1, 11, 2.5, "3", True, math.nan, math.inf], "must be an integer in 0 .. 10, got"),
        (
            "record_at",
            [
                [],
                [0, 11],
                [-1, 2],
                [2, 2],
                [3, 1],
                [1.0, 2.5],
                [1.0, math.nan],
                [True, False],
                [[1, 2]],
                [1, [2, 3]],
                ["1"],
            ],
            "must be ",
        ),
        (
            "base_lr",
            [-0.1, math.nan, math.inf, -math.inf, np.float32(-1)],
            "must be (one number, )?finite and >= 0, got",
        ),
        ("base_lr", [[0.1, -0.1], [math.nan], [0.1, math.inf]], "must be finite and >= 0, got .* at index"),
        ("base_lr", [[], [[0.1]], "0.1", None, True, [True], ["a"], [0.1, [0.2]], 1j], "must be "),
        (
            "iterate",
            ["first", "", None, 1, ["best"]],
            "must be one of 'last', 'average', 'tail_average', 'ema', 'polynomial_average', got",
        ),
        ("iterate", [[], ["last", "last"], {"last"}], "must be one "),
        (
            "iterate",
            ["best", ["best"]],
            ".*, got 'best': the best so far is a metric, of what methods.Custom remembers",
        ),
        ("iterate", ["suffix_average"], ".*, got 'suffix_average': a suffix average is the tail_average"),
        ("tail_frac", [0.25], "must go with iterate 'tail_average', got 0.25 with 'last'"),
        ("tail_frac", [0.0, -0.5, 1.5, math.nan, "0.5", None, True], r"must be one number, in \(0, 1\], got"),
        ("common_random_numbers", [1, 0, None, "yes"], "must be True or False, got"),
        ("keep_samples", [1, None, "no"], "must be True or False, got"),
        ("dtype", ["float16", "double64", int, None, 32, np.complex64, "f"], "must be 'float32' or 'float64', got"),
        ("backend", ["gpu", "", None, 0], "must be one of 'auto', 'cpu', 'cuda', got"),
        ("isa", ["sse2", "", 512], "must be one of 'scalar'.*, got"),
        ("progress", [True, "yes", 1], "must be None or a callable that takes the fraction done, got"),
        ("out", [np.zeros(3, np.float32), "out", 1.0], "must be an array of float32 and shape"),
        ("schedule", ["linear", None, 1, schedules.Linear, [], [schedules.Linear(), "cosine"]], "must be a schedule"),
        ("schedule", ["linear", ["linear"]], ".*got 'linear'.*: schedules.by_name makes one of a text"),
        ("schedule", [lambda u: 1 - u], ".*: schedules.Tabulated makes one of a function of t / horizon"),
        ("schedule", [schedules.Linear], r".*: Linear\(..\) makes one of the class"),
        ("schedule", [np.array(schedules.Linear())], "must be a schedule or a sequence of schedules, got"),
        ("schedule", [lent("torch.optim.lr_scheduler")], ".*: schedules.from_torch makes one of an optimizer and its"),
        ("horizon", [[10, 100], np.array([10, 100])], "must be an integer in .*: campaigns.Campaign takes several"),
        ("metric", [{"suboptimality"}], "must be one or more of 'suboptimality'"),
        ("metric", [np.sum, lambda x: x[0]], r"must have a name where it is a function, metric={'name': f}, got <"),
        ("method", ["adam"], ".*: methods.by_name makes one of a text"),
        ("method", [methods.Adam], r".*: Adam\(..\) makes one of the class"),
        ("method", [lent("torch.optim.adam")], ".*: methods.from_torch makes one of an optimizer"),
        ("method", [Pair(1, 2)], ".*: methods.names.. are those there are, methods.Custom takes a step of one's own"),
        ("method", [lambda x, g: g], ".*: methods.Custom makes one of a function"),
        ("problem", [lambda x: x[0]], ".*: problems.Custom makes one of a function"),
        ("problem", ["abs", None, 1, problems.Quadratic, [], [problems.AbsoluteValue(1.0), 2]], "must be a problem"),
    ],
)
def test_wrong_arguments(name, values, allowed):
    for value in values:
        if name == "dtype" and value == "f":
            continue  # NumPy's short name of float32
        with pytest.raises(ValueError, match=rf"^{name} {allowed}"):
            call(**{name: value})


@pytest.mark.parametrize("run", [simulate, estimate])
def test_what_is_missing_is_named_with_what_stands_in_its_place(run):
    both = problems.AbsoluteValue(1.0), schedules.Linear()
    with pytest.raises(TypeError, match=r"^base_lr, replicates must be given by keyword, got lr, n$"):
        run(*both, lr=0.1, horizon=10, n=5)
    with pytest.raises(TypeError, match=r"^horizon must be given by keyword, got no such one$"):
        run(*both, base_lr=0.1, replicates=10, seed=3)
    with pytest.raises(TypeError, match=r"^n_jobs is no argument of this call"):
        run(*both, base_lr=0.1, replicates=10, horizon=10, n_jobs=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule", {schedules.Linear(), schedules.Cosine()}),
        ("problem", frozenset({problems.AbsoluteValue(1.0), problems.AbsoluteValue(2.0)})),
        ("base_lr", {0.1, 0.2}),
        ("record_at", {1, 2}),
    ],
)
def test_what_has_no_order_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must have an order, as a list has, got a set, (frozenset\()?{{"):
        call(**{name: value})


MASKED = np.ma.array([0.25, 0.5], mask=[False, True])
WHOLE = np.ma.array([0.25, 0.5], mask=False)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("base_lr", lambda a: call(base_lr=a)),
        ("record_at", lambda a: call(record_at=np.ma.array([1, 2], mask=a.mask))),
        ("slope", problems.AbsoluteValue),
        ("curvature", problems.Quadratic),
        ("x0", lambda a: problems.Quadratic(1.0, x0=a)),
        ("noise_std", lambda a: problems.Quadratic(1.0, noise="gaussian", noise_std=a)),
        ("projection lower end", lambda a: problems.Quadratic(1.0, projection=("box", a, 1.0))),
        ("x", lambda a: problems.Quadratic([1.0, 1.0]).value(a)),
        ("x", lambda a: problems.Quadratic([1.0, 1.0]).gradient([a, a])),
        ("u", lambda a: schedules.Linear()(a)),
        ("values", schedules.Tabulated),
        ("milestones", lambda a: schedules.StepDecay(milestones=a)),
        ("q", lambda a: call(keep_samples=True).quantile(a)),
    ],
)
def test_masks_are_refused_not_lost(name, make):
    with pytest.raises(ValueError, match=rf"^{name} must have no masked elements: fill or drop them, got"):
        make(MASKED)
    make(WHOLE)


def test_a_masked_number_is_refused():
    for value in (np.ma.array(0.5, mask=True), [MASKED[:1], MASKED[1:]]):
        with pytest.raises(ValueError, match=r"^base_lr must have no masked elements"):
            call(base_lr=value)
    with pytest.raises(ValueError, match=r"^tail_frac must have no masked elements"):
        call(tail_frac=np.ma.array(0.5, mask=True))


class Tracked:
    """As a tensor of PyTorch that requires a gradient, or of a type that NumPy lacks."""

    def __init__(self, refusal):
        self.refusal = refusal

    def __array__(self, dtype=None, copy=None):
        raise self.refusal


@pytest.mark.parametrize("refusal", [RuntimeError("use detach"), TypeError("Got unsupported ScalarType")])
def test_arrays_that_refuse_to_be_numpys_are_told_by_name(refusal):
    tracked = Tracked(refusal)
    for name, make in (
        ("base_lr", lambda: call(base_lr=tracked)),
        ("x0", lambda: problems.Quadratic(1.0, x0=[tracked, tracked])),
        ("X", lambda: problems.LeastSquares(tracked, [1.0])),
        ("count", lambda: schedules.Linear().to_callable(3)(tracked)),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must be what NumPy makes an array of: {refusal}$"):
            make()


def test_points_are_numbers_within_float64():
    problem = problems.Quadratic(1.0)
    for x in (10**400, [10**400], "1", None, True, 1j, {1.0}, [[1.0], [1.0, 2.0]], object()):
        with pytest.raises(ValueError, match=r"^x must "):
            problem.value(x)
    assert float(problem.value(10**30)) == pytest.approx(5e59)


def test_replicate_numbers_end_at_32_bits():
    assert float(call(first_replicate=2**32 - 2).count) == 2
    with pytest.raises(ValueError, match=r"^replicates must be an integer in 1 .. 1, got 2"):
        call(first_replicate=2**32 - 1)


def test_the_value_is_shown():
    for name, value in [("horizon", -17), ("base_lr", -0.25), ("iterate", "best"), ("seed", 2**70)]:
        with pytest.raises(ValueError, match=str(value)):
            call(**{name: value})


def test_long_values_are_shown_short():
    for name, value in [
        ("base_lr", np.full(10**6, -1.0)),
        ("record_at", [1.5] * 10**6),
        ("iterate", "x" * 10**6),
        ("schedule", [1] * 10**6),
        ("problem", [problems.AbsoluteValue(np.arange(1.0, 10**5)), problems.AbsoluteValue(1.0)]),
    ]:
        with pytest.raises(ValueError, match=rf"^{name} must") as caught:
            call(**{name: value})
        assert len(str(caught.value)) < 400
    with pytest.raises(ValueError, match=r"^projection must") as caught:
        problems.AbsoluteValue(np.ones(10**5), projection=["box", list(range(10**5))])
    assert len(str(caught.value)) < 400
    assert len(repr(problems.AbsoluteValue(np.arange(1.0, 10**5)))) < 400


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (problems.AbsoluteValue(1e-60), "slope must be 0 or of size 1.175e-38 to 3.403e.38 in float32, got 1e-60$"),
        (problems.Quadratic([1.0, 1e-60]), "curvature must be .* got 1e-60 at index 1$"),
        ([problems.AbsoluteValue(1.0), problems.AbsoluteValue(1e39)], "slope must be .*got 1e.39 of problem 1$"),
        (problems.AbsoluteValue(1.0, x0=1e39), "x0 must be"),
        (problems.AbsoluteValue(1.0, noise="gaussian", noise_std=1e-39), "noise_std must be"),
        (problems.AbsoluteValue(1.0, projection=("box", -1e300, 2.0)), "projection lower end must be"),
        (problems.AbsoluteValue(1.0, projection=("box", -1.0, 1e-40), x0=0.0), "projection upper end must be"),
        (problems.AbsoluteValue(1.0, projection=("box", 1.0, 1.0 + 1e-9)), "projection must be a box with lower"),
        (problems.Quadratic(1.0, projection=("ball", 1e-22), x0=0.0), "projection radius must be .* got 1e-22"),
        (problems.Quadratic(1.0, projection=("ball", 1e20)), "projection radius must be .*1.845e.19 in float32"),
        (problems.Huber(1e-30, width=1e30), "slope / width must be"),
        (problems.Huber(1.0, width=1e-45), "width must be"),
    ],
)
def test_parameters_that_float32_would_lose_are_refused_there(problem, message):
    with pytest.raises(ValueError, match=rf"^{message}"):
        call(problem=problem)
    assert np.isfinite(call(problem=problem, dtype="float64").mean).all()


def test_learning_rates_that_float32_would_lose_are_refused_there():
    for value, got in [(1e-50, "1e-50$"), (1e39, "1e.39$"), ([0.0, 0.1, 1e-40], "1e-40 at index 2$")]:
        with pytest.raises(ValueError, match=rf"^base_lr must be 0 or 1.175e-38 to 3.403e.38 in float32, got {got}"):
            call(base_lr=value)
        call(base_lr=value, dtype="float64")


def test_float64_has_its_range_too():
    with pytest.raises(ValueError, match=r"^projection radius must be .* in float64, got 1e.200"):
        call(problem=problems.Quadratic(1.0, projection=("ball", 1e200)), dtype="float64")


def test_formulas_of_ones_own_are_refused_by_name():
    """The compiled core would compute the parent's."""
    with pytest.raises(TypeError, match=r"^Quartic must not override SeparableProblem.value: .*anneal_sgd.problems"):

        class Quartic(problems.Quadratic):
            def value(self, x):
                return np.sum(np.asarray(x) ** 4)

    with pytest.raises(TypeError, match=r"^Mine must not override Schedule.__call__: use schedules.Tabulated"):

        class Mine(schedules.Linear):
            def __call__(self, u, horizon=None):
                return u * u

    with pytest.raises(TypeError, match=r"^Other must not be a class of its own: use schedules.Tabulated"):

        class Other(schedules.Schedule):
            pass

    with pytest.raises(TypeError, match=r"^Own must not override Problem.gradient: "):

        class Own(problems.Problem):
            def gradient(self, x):
                return x


def test_subclasses_that_compute_the_same_are_fine():
    class Named(problems.Quadratic):
        """With another constructor and something more."""

        def __init__(self, scale):
            super().__init__(scale, x0=0.5)

        def describe(self):
            return "mine"

    assert float(call(problem=Named(2.0), base_lr=0.0).mean) == 0.25
    assert Named(1.0).describe() == "mine"


def test_memory_that_there_is_not_is_told_by_name():
    for name, value in [("base_lr", range(2**60)), ("record_at", range(2**60)), ("schedule", range(2**60))]:
        with pytest.raises((MemoryError, ValueError), match=rf"^{name} must"):
            call(**{name: value})


def test_keywords_only():
    with pytest.raises(TypeError):
        simulate(problems.AbsoluteValue(1.0), schedules.Linear(), 0.1, 10, 2)
    with pytest.raises(TypeError, match="lr"):
        call(lr=0.1)


def test_a_simulator_checks_its_problems_at_once():
    with pytest.raises(ValueError, match=r"^problem must be of one kind"):
        Simulator([problems.AbsoluteValue(1.0), problems.Quadratic(1.0)])
    simulator = Simulator(problems.AbsoluteValue(1.0))
    with pytest.raises(ValueError, match=r"^horizon must be"):
        simulator.run(schedules.Linear(), base_lr=0.1, horizon=0, replicates=1)


def test_large_configs_are_refused_not_wrapped():
    """Independent streams are numbered with 32 bits."""
    with pytest.raises(ValueError, match=r"^common_random_numbers"):
        Simulator([problems.AbsoluteValue(1.0)] * 2**12).run(
            [schedules.Linear()] * 2**10,
            base_lr=np.full(2**10, 0.1),
            horizon=1,
            replicates=1,
            common_random_numbers=False,
        )
