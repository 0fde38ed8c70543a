"""Problems of one's own: bits of built-in ones and of the reference, exact moments, and all around a problem."""

import copy
import html
import json
import pickle
import re
import warnings
from contextlib import nullcontext
from functools import wraps
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd import _core, problems, schedules, simulate
from anneal_sgd.campaigns import Campaign, write_report
from anneal_sgd.programs import Program
from anneal_sgd.programs._lower import lowered
from anneal_sgd.reference import Schedule
from anneal_sgd.reference import programs as reference
from bit_cases import on
from core_cases import NOISES, SEED
from environments import need
from test_programs import FUNCTIONS, objectives

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

DTYPES = ("float32", "float64")
SETS = {"none": None, "box": ("box", [-0.8, -0.5, -1.0], [0.5, 0.9, 1.0]), "ball": ("ball", 0.9)}
WEIGHT, LEVEL, START, WIDTH = np.array([0.5, 0.2, 0.8]), np.array([0.7, 0.3, 0.1]), np.array([0.4, -0.3, 0.5]), 0.15


def builtin_and_custom(kind, **shared):
    if kind == "absolute_value":
        f = {"f": lambda x, a: np.sum(a * np.abs(x)), "parameters": {"a": WEIGHT}}
        return problems.AbsoluteValue(WEIGHT, **shared), problems.Custom(**f, minimum=0.0, **shared)
    if kind == "quadratic":
        f = {"f": lambda x, a: 0.5 * np.sum(a * x * x), "parameters": {"a": WEIGHT}}
        return problems.Quadratic(WEIGHT, **shared), problems.Custom(**f, minimum=0.0, **shared)
    custom = problems.Custom(
        lambda x, a, c, delta: np.sum(c * (m := np.minimum(delta, np.abs(x))) * (-0.5 * m + np.abs(x))),
        gradient=lambda x, a, c, delta: np.minimum(a, np.maximum(-a, c * x)),
        parameters={"a": WEIGHT, "c": WEIGHT / WIDTH, "delta": WIDTH},
        minimum=0.0,
        **shared,
    )
    return problems.Huber(WEIGHT, width=WIDTH, **shared), custom


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("projection", SETS)
@pytest.mark.parametrize("kind", ["absolute_value", "quadratic", "huber"])
def test_a_built_in_problem_as_a_program_has_its_bits(kind, projection, noise):
    level = {} if noise == "none" else {"noise": noise, "noise_std": LEVEL}
    pair = builtin_and_custom(kind, projection=SETS[projection], x0=START, **level)
    for dtype in DTYPES:
        for iterate in ("last", "average", "tail_average"):
            call = {"horizon": 300, "record_at": [0, 1, 130, 300], "replicates": 70, "first_replicate": 1000}
            call |= {"dtype": dtype, "iterate": iterate, "keep_samples": True, "backend": "cpu", "seed": SEED}
            a, b = (simulate(p, [schedules.Cosine(), schedules.Linear()], base_lr=[0.3, 0.01], **call) for p in pair)
            assert np.array_equal(a.samples, b.samples)
            assert np.array_equal(a.mean, b.mean)


PLACES = [*_core.supported_isas(), "emulated CUDA"]


def at(place):
    """Where calls of `simulate` run, of which the CPU's instruction sets are named by isa."""
    return on(_core.testing.emulated_device(), steps_per_launch=6) if place == PLACES[-1] else nullcontext()


def compared(problem, *, dtype, place, metric="value", iterate="last"):
    """Samples of the core and of the reference."""
    options = {"base_lr": 0.05, "horizon": 20, "record_at": [0, 7, 20], "dtype": dtype, "iterate": iterate, "seed": 7}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # diverged ones are compared too
        isa = {} if place == PLACES[-1] else {"isa": place}
        with at(place):
            core = simulate(
                problem, schedules.Linear(), replicates=5, keep_samples=True, metric=metric, **isa, **options
            )
    kind = problem._common[3]
    ends = problem.projection[1:] if kind == "box" else (-np.inf, np.inf)
    drawn = isinstance(problem.x0, Program)
    slow = reference.simulate(
        program=problem.program, x0=None if drawn else problem.x0, dimension=problem.dimension,
        parameters=problem.parameters, schedule=Schedule("linear"),
        replicates=np.arange(5), projection=kind, lower=ends[0], upper=ends[1],
        radius=problem.projection[1] if kind == "ball" else np.inf, metric=metric, **options,
    )  # fmt: skip
    return core.samples, slow


@settings(max_examples=60, deadline=None)
@given(
    text=objectives(),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(DTYPES),
    place=st.sampled_from(PLACES),
    iterate=st.sampled_from(["last", "average", "tail_average"]),
    noise=st.sampled_from(["none", "gaussian", "rademacher", "uniform", "student_t", "laplace"]),
    projection=st.sampled_from([None, ("box", -1.5, 1.0), ("ball", 2.0), lambda x: np.minimum(x, 2.0 + np.tanh(x))]),
    drawn=st.booleans(),
)
def test_random_programs_have_the_bits_of_the_reference(text, seed, dtype, place, iterate, noise, projection, drawn):
    rng = np.random.default_rng(seed)
    own = {
        "student_t": lambda x, draw: 0.5 * draw.student_t(3.0) * np.abs(x),
        "laplace": lambda x, draw, a: a * draw.laplace() + draw.gaussian(size=()),
    }
    level = {"noise": own[noise]} if noise in own else {"noise": noise}
    if noise not in ("none", *own):
        level["noise_std"] = rng.uniform(0.1, 1.0, 3)
    problem = problems.Custom(
        eval(text, {"np": np}),
        x0=(lambda draw, b: b * draw.laplace() + draw.uniform(size=())) if drawn else rng.uniform(-0.5, 0.5, 3),
        dimension=3,
        parameters={"a": rng.standard_normal(), "b": rng.standard_normal(3)},
        projection=projection,
        **level,
    )
    core, slow = compared(problem, dtype=dtype, place=place, iterate=iterate)
    assert np.array_equal(core, slow, equal_nan=True)


COMPARISONS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "and": lambda a, b: np.logical_and(a, b),
    "or": lambda a, b: np.logical_or(a, b),
    "not": lambda a, b: np.logical_not(a),
    "none": lambda a, b: ~((a < b) | (a > b) | (a == b)),
    "one": lambda a, b: (a < b) + (a <= b),
    "one constant": lambda a, b: a >= 1.0,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_comparisons_are_those_of_numpy(place, dtype):
    """With NaN, infinities and both zeros, which parameters cannot be and quotients of them are."""
    quotients = [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 1.0), (-2.0, 1.0), (1.0, 3.0)]
    pairs = [(*one, *other) for one in quotients for other in quotients]
    of = [
        problems.Custom(lambda x, a, b, c, d: a + b + c + d, x0=0.0, parameters=dict(zip("abcd", pair, strict=True)))
        for pair in pairs
    ]
    metric = {name: lambda x, a, b, c, d, f=f: np.where(f(a / b, c / d), 1.0, 0.0) for name, f in COMPARISONS.items()}
    with at(place):
        isa = {} if place == PLACES[-1] else {"isa": place}
        result = simulate(
            of, schedules.Constant(), base_lr=0.1, horizon=1, replicates=1, metric=metric, dtype=dtype, **isa
        )
    with np.errstate(all="ignore"):
        a, b, c, d = np.array(pairs, dtype).T
        expected = np.array([f(a / b, c / d) for f in COMPARISONS.values()])
    assert np.array_equal(result.mean.reshape(len(pairs), -1).T, expected)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_named_functions_have_the_bits_of_the_reference(name, dtype, place):
    problem = problems.Custom(FUNCTIONS[name], x0=[0.3, -0.2, 0.4, 0.1], noise="gaussian", noise_std=0.1)
    core, slow = compared(problem, dtype=dtype, place=place, iterate="average")
    assert np.array_equal(core, slow, equal_nan=True)
    assert np.isfinite(core).any()


def test_many_coordinates_have_the_bits_of_the_reference():
    problem = problems.Custom(
        lambda x: np.sum(np.abs(x) ** 1.5) + np.max(x), x0=np.ones(200), noise=lambda x, draw: draw.student_t(4.0)
    )
    for place in PLACES:
        core, slow = compared(problem, dtype="float32", place=place)
        assert np.array_equal(core, slow)


@pytest.mark.parametrize("isa", _core.supported_isas())
def test_a_gradient_may_be_the_point_in_another_order(isa):
    """Each step needs all old coordinates: (x, y, z)' = (x, y, z) - lr (z, y, x)."""
    problem = problems.Custom(lambda x: np.dot(x, x[::-1]) / 2, x0=[1.0, 0.5, 0.2], gradient=lambda x: x[::-1])
    x = np.array([1.0, 0.5, 0.2])
    for _ in range(10):
        x = x - 0.1 * x[::-1]
    result = simulate(
        problem, schedules.Constant(), base_lr=0.1, horizon=10, replicates=1, dtype="float64", metric="value", isa=isa
    )
    assert result.mean == pytest.approx(x @ x[::-1] / 2, rel=1e-13)


def test_neither_threads_nor_splits_nor_neighbours_show():
    problem = problems.Custom(
        lambda x, a: a * np.sum(x**4), parameters={"a": 0.5}, x0=np.ones(3),
        noise=lambda x, draw: x * draw.laplace() + draw.rademacher(),
    )  # fmt: skip
    call = {"horizon": 200, "record_at": [50, 200], "metric": "value", "seed": 3, "backend": "cpu"}
    whole = simulate(problem, schedules.Linear(), base_lr=[0.001, 0.1, 0.01], replicates=3000, threads=1, **call)
    again = simulate(problem, schedules.Linear(), base_lr=[0.001, 0.1, 0.01], replicates=3000, threads=2, **call)
    alone = simulate(problem, schedules.Linear(), base_lr=[0.01], replicates=3000, threads=2, **call)
    parts = [
        simulate(problem, schedules.Linear(), base_lr=[0.001, 0.1, 0.01], first_replicate=a, replicates=n, **call)
        for a, n in ((0, 1024), (1024, 1976))
    ]
    assert np.array_equal(whole.mean, again.mean)
    assert np.array_equal(whole.mean[2], alone.mean[0])
    assert np.array_equal(whole.mean, (parts[0] + parts[1]).mean)
    apart = simulate(
        problem, schedules.Linear(), base_lr=[0.01, 0.01], replicates=100, common_random_numbers=False, **call
    )
    assert not np.array_equal(apart.mean[0], apart.mean[1])


def test_problems_of_one_program_are_an_axis():
    def of(a):
        return problems.Custom(
            lambda x, a: a * np.abs(x[0]), parameters={"a": a}, x0=1.0, minimum=0.0, noise="rademacher", noise_std=0.5
        )

    grid = problems_of = [of(a) for a in (0.1, 0.3, 0.9)]
    result = simulate(grid, schedules.Linear(), base_lr=[0.1, 0.2], horizon=50, replicates=2048)
    assert result.mean.shape == (3, 2)
    assert result.coords["a"].tolist() == [0.1, 0.3, 0.9]
    one = simulate(problems_of[1], schedules.Linear(), base_lr=[0.1, 0.2], horizon=50, replicates=2048)
    assert np.array_equal(one.mean, result.mean[1])
    with pytest.raises(ValueError, match=r"differ in `parameters` alone: <programs \w{8}, \w{8}> at index 0"):
        simulate(
            [of(0.1), problems.Custom(lambda x: x[0] ** 2, x0=1.0, minimum=0.0)],
            schedules.Linear(), base_lr=0.1, horizon=2, replicates=2,
        )  # fmt: skip


# --- exact moments: z within 4.5 standard errors ----------------------------------------------------------------------


def z_score(result, exact):
    return np.abs(result.mean - exact) / result.stderr


def test_multiplicative_noise_on_a_quadratic():
    """x' = x - lr (c x + s x xi) has E x'^2 = E x^2 ((1 - lr c)^2 + lr^2 s^2)."""
    c, s, lr, horizon = 0.7, 0.5, 0.05, 100
    problem = problems.Custom(
        lambda x, c: 0.5 * c * x[0] ** 2, parameters={"c": c, "s": s}, x0=1.0,
        noise=lambda x, draw, s: s * x * draw.gaussian(), minimum=0.0,
    )  # fmt: skip
    result = simulate(problem, schedules.Constant(), base_lr=lr, horizon=horizon, replicates=2**16, seed=1)
    assert z_score(result, 0.5 * c * ((1 - lr * c) ** 2 + (lr * s) ** 2) ** horizon) < 4.5


@pytest.mark.parametrize("oracle", [False, True])
def test_curvature_that_is_not_diagonal(oracle):
    """x' = (1 - lr H) x - lr L xi: mean and covariance by their recursions; as `noise` and as `oracle`."""
    H = np.array([[1.0, 0.4, 0.0], [0.4, 0.8, -0.3], [0.0, -0.3, 0.5]])
    L = np.array([[0.5, 0.0, 0.0], [0.2, 0.4, 0.0], [-0.1, 0.3, 0.6]])
    lr, horizon, x0 = 0.1, 60, np.array([1.0, -0.5, 0.3])
    noise = (
        {"oracle": lambda x, draw: H @ x + L @ draw.gaussian()}
        if oracle
        else {"noise": lambda x, draw: L @ draw.gaussian()}
    )
    problem = problems.Custom(lambda x: 0.5 * np.dot(x, H @ x), x0=x0, minimum=0.0, **noise)
    mean, covariance, one = x0, np.zeros((3, 3)), np.eye(3) - lr * H
    for _ in range(horizon):
        mean, covariance = one @ mean, one @ covariance @ one.T + lr**2 * L @ L.T
    result = simulate(problem, schedules.Constant(), base_lr=lr, horizon=horizon, replicates=2**15, seed=2)
    assert z_score(result, 0.5 * (mean @ H @ mean + np.trace(H @ covariance))) < 4.5


def test_a_bilinear_saddle():
    """Descent in x, ascent in y of x y: (x, y)' = (x - lr y, y + lr x) plus noise; E |.|^2 grows by 1 + lr^2."""
    lr, horizon, level = 0.05, 80, 0.3
    problem = problems.Custom(
        lambda x: x[0] ** 2 + x[1] ** 2, x0=[1.0, 0.5],
        oracle=lambda x, draw: np.concatenate([x[1:], -x[:1]]) + level * draw.rademacher(),
    )  # fmt: skip
    square = 1.25
    for _ in range(horizon):
        square = square * (1 + lr**2) + 2 * (lr * level) ** 2
    result = simulate(
        problem, schedules.Constant(), base_lr=lr, horizon=horizon, replicates=2**15, seed=3, metric="value"
    )
    assert z_score(result, square) < 4.5


def test_langevin_reaches_its_stationary_law():
    """x' = x - lr f'(x) + sqrt(2 lr) xi for f = x^4 / 4 - x^2 / 2: E f of exp(-f), to O(lr)."""
    lr = 0.01
    problem = problems.Custom(
        lambda x: x[0] ** 4 / 4 - x[0] ** 2 / 2, x0=0.5,
        noise=lambda x, draw: np.sqrt(2 / lr) * draw.gaussian(),
    )  # fmt: skip
    x = np.linspace(-6, 6, 4001)
    f = x**4 / 4 - x**2 / 2
    exact = np.sum(f * np.exp(-f)) / np.sum(np.exp(-f))
    result = simulate(problem, schedules.Constant(), base_lr=lr, horizon=2000, replicates=2**14, seed=4, metric="value")
    assert abs(result.mean - exact) < 4.5 * result.stderr + 0.01


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "lr"),
    [
        (lambda x: np.exp(x[0]) - 50 * x[0] ** 3, 10.0),
        (lambda x: np.tanh(x[0]) + x[0] ** 4, 1e3),
        (lambda x: np.max(x) ** 3 + np.abs(x[0]) ** 1.5, -1e9),
    ],
)
def test_what_leaves_the_numbers_is_seen(f, lr):
    problem = problems.Custom(f, x0=2.0, noise="gaussian", noise_std=1.0)
    with pytest.warns(RuntimeWarning, match="diverged"):
        result = simulate(
            problem, schedules.Constant(), base_lr=abs(lr), horizon=100, replicates=100, metric="value", backend="cpu"
        )
    assert result.diverged == 100


# --- everything around a problem --------------------------------------------------------------------------------------


def example(**changes):
    given_ = {"x0": [1.0, 0.5], "parameters": {"a": 2.0}, "minimum": 0.0, "noise": "gaussian", "noise_std": 0.1}
    return problems.Custom(lambda x, a: a * np.sum(x**2), **{**given_, **changes})


def test_a_gradient_of_other_bits_is_another_problem():
    """It decides about metrics of the gradient, also where an oracle is what steps follow."""
    made = [
        problems.Custom(
            lambda x: x[0] ** 2, x0=1.0, minimum=0.0, oracle=lambda x, draw: 2 * x + draw.gaussian(), gradient=gradient
        )
        for gradient in (None, lambda x: x + x, lambda x: x + x)
    ]
    assert made[0] != made[1]
    assert made[1] == made[2]


def test_a_text_is_the_same_problem():
    shared = {"x0": [1.0, 0.5], "parameters": {"a": 2.0}, "minimum": 0.0}
    text = problems.Custom("a * sum(x**2)", noise="0.1 * abs(x) * draw.gaussian()", gradient="2 * a * x", **shared)
    function = problems.Custom(
        lambda x, a: a * np.sum(x**2),
        noise=lambda x, draw: 0.1 * np.abs(x) * draw.gaussian(),
        gradient=lambda x, a: 2 * a * x,
        **shared,
    )
    assert text == function


def test_equality_pickles_and_copies():
    one = example()
    assert one == example()
    assert hash(one) == hash(example())
    for other in (
        example(parameters={"a": 3.0}),
        example(minimum=None),
        example(noise="uniform"),
        example(x0=[1.0, 1.0]),
    ):
        assert one != other
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert again == one
        assert again.gradient([1.0, 2.0]).tolist() == [4.0, 8.0]
    assert repr(one).startswith("Custom(<program ")


def test_campaigns_take_them(tmp_path):
    campaign = Campaign(
        example(), [schedules.Linear(), schedules.Constant()], base_lr=[0.01, 0.1], horizon=50, replicates=1024
    )
    result = campaign.run(tmp_path / "own.db")
    whole = simulate(
        example(), [schedules.Linear(), schedules.Constant()], base_lr=[0.01, 0.1], horizon=50, replicates=1024
    )
    assert result.mean.shape == whole.mean.shape
    assert np.array_equal(Campaign.load(tmp_path / "own.db").mean, result.mean)


def test_a_campaign_tells_the_programs(tmp_path):
    """In its store, its exports and its report, each once."""
    need("jinja2", "matplotlib", "pandas", "plotly", "xarray")
    own = [
        problems.Custom(f, parameters={"a": a}, x0=1.0, minimum=0.0)
        for f in ("a * abs(x[0])", "sin(a * x[0]) ** 2")
        for a in (0.1, 0.2)
    ]
    Campaign(own, schedules.Linear(), base_lr=[0.1], horizon=5, replicates=64).run(tmp_path / "s.db")
    told = Campaign.load(tmp_path / "s.db").description
    assert told.programs == (str(own[0].program), str(own[2].program))
    assert "absolute v" in told.programs[0]
    assert json.loads(told.specification())["programs"] == list(told.programs)
    write_report(Campaign.load(tmp_path / "s.db"), tmp_path)
    page = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert all(program in page for program in told.programs)


def test_value_is_recorded_where_the_minimum_is_not_known():
    problem, call = example(minimum=None), {"base_lr": 0.1, "horizon": 5, "replicates": 5}
    result = simulate(problem, schedules.Linear(), **call)
    assert result.spec.metric == "value"
    assert "mean value" in repr(result)
    assert result.mean == simulate(problem, schedules.Linear(), **call, metric="value").mean
    assert simulate(example(minimum=-1.0), schedules.Linear(), **call).spec.metric == "suboptimality"
    with pytest.raises(ValueError, match="metric must be 'value', or minimum must be given"):
        simulate(problem, schedules.Linear(), **call, metric="suboptimality")
    both = simulate(
        example(minimum=-1.0),
        schedules.Linear(),
        base_lr=0.1,
        horizon=5,
        replicates=5,
        metric=["suboptimality", "value"],
    )
    assert both.mean[0] == pytest.approx(both.mean[1] + 1.0, rel=1e-6)
    negative = problems.Custom(lambda x: -x[0], x0=1.0)
    assert simulate(negative, schedules.Linear(), base_lr=0.1, horizon=5, replicates=5, metric="value").mean < -1.0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_exponent_that_is_a_parameter_has_the_bits_of_the_reference(dtype, place):
    def powers(q):
        return problems.Custom(
            lambda x, q: np.sum(np.abs(x) ** q) + np.linalg.norm(x) ** q,
            x0=[0.3, -0.2, 0.0],
            parameters={"q": q},
            noise="rademacher",
            noise_std=0.1,
        )

    for q in (0.5, 1.5, 2.5):
        core, slow = compared(powers(q), dtype=dtype, place=place)
        assert np.array_equal(core, slow, equal_nan=True)
        assert np.isfinite(core).all()
    sweep = simulate([powers(1.5), powers(2.0)], schedules.Linear(), base_lr=0.05, horizon=20, replicates=5)
    alone = simulate(
        problems.Custom(
            lambda x: np.sum(np.abs(x) ** 1.5) + np.linalg.norm(x) ** 1.5,
            x0=[0.3, -0.2, 0.0],
            noise="rademacher",
            noise_std=0.1,
        ),
        schedules.Linear(),
        base_lr=0.05,
        horizon=20,
        replicates=5,
    )
    assert sweep.mean[0] == pytest.approx(alone.mean, rel=1e-5)
    assert sweep.coords["q"].tolist() == [1.5, 2.0]


def test_a_parameter_of_several_numbers_is_no_sweep():
    with pytest.raises(
        ValueError, match=r"^f must return one number, got shape \(2,\), which a parameter has: .*ProblemGrid"
    ):
        problems.Custom(lambda x, a: a * np.sum(x**2), x0=np.ones(3), parameters={"a": [0.1, 1.0]})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x0": "b"}, ValueError, "x0 must have no name 'b', at column 1"),
        ({"x0": [1.0, None]}, ValueError, "x0 must be numbers"),
        ({"x0": [1.0, np.inf]}, ValueError, "x0 must be .*finite"),
        ({"dimension": 3}, ValueError, "x0 must be one number or have 3 elements"),
        ({"parameters": [1.0]}, ValueError, "parameters must be a dictionary"),
        ({"parameters": {"a b": 1.0}}, ValueError, "parameters must have names"),
        ({"parameters": {"x": 1.0}}, ValueError, "parameters must not be named 'x', which functions take already"),
        ({"parameters": {"draw": 1.0}}, ValueError, "parameters must not be named 'draw'"),
        ({"parameters": {"a": "x"}}, ValueError, "parameters 'a' must be numbers"),
        ({"parameters": {}}, ValueError, "parameters must have 'a'"),
        ({"noise": "cauchy"}, ValueError, "noise must be one of 'none'"),
        (
            {"noise": "pareto"},
            ValueError,
            "noise must be one of 'none', .*, or a function such as lambda draw: draw.par",
        ),
        ({"noise_std": None}, ValueError, "noise_std must be given where noise is 'gaussian'"),
        ({"noise": "none"}, ValueError, "noise_std must be left out"),
        ({"noise_std": -1.0}, ValueError, "noise_std must be"),
        ({"noise_std": [1.0, 2.0, 3.0]}, ValueError, "noise_std must be one number or have 2 elements, got 3"),
        ({"oracle": lambda x, draw: x}, ValueError, "noise must be left out where an oracle is given"),
        ({"projection": ("box", 2.0, 3.0)}, ValueError, "x0 must lie in the box"),
        ({"projection": ("ball", 0.1)}, ValueError, "x0 must lie in the ball"),
        ({"minimum": np.nan}, ValueError, "minimum must be one number"),
        ({"minimum": "find"}, ValueError, "minimum must be one number, 'solve' or None, got 'find'"),
        ({"gradient": lambda x, a: a * x}, ValueError, "gradient must be the derivative of f, got"),
        ({"gradient": 3}, TypeError, "gradient must be a function of x or a text, got 3"),
        ({"gradient": "a * y"}, ValueError, "gradient must have no name 'y', at column 5"),
        ({"noise": "draw.cauchy()", "noise_std": None}, ValueError, "noise must have no draw.cauchy, at column 1"),
        (
            {"parameters": {"a": 2.0, "b": 1.0}},
            ValueError,
            "parameters must be taken by f or .*, 'b' is by none",
        ),
        ({"noise": lambda x, draw: draw.student_t(-1.0), "noise_std": None}, ValueError, "nu must be one number"),
        (
            {"noise": lambda x, rng: rng.standard_normal(2), "noise_std": None},
            AttributeError,
            "draw must be asked for one of gaussian, .*, stable, got 'standard_normal'",
        ),
        ({"noise": lambda x, draw: draw.gaussian(size=(7,)), "noise_std": None}, TypeError, "size=.7,. of a draw"),
    ],
)
def test_bad_arguments(changes, error, message):
    with pytest.raises(error, match=message):
        example(**changes)


@pytest.mark.parametrize(
    "noise",
    [lambda a, draw: a * draw.gaussian(), lambda draw, a: a * draw.gaussian(), lambda x, draw, a: a * draw.gaussian()],
)
def test_the_order_of_arguments_does_not_matter(noise):
    here = example(noise=noise, noise_std=None)
    assert here == example(noise="a * draw.gaussian()", noise_std=None)
    turned = problems.Custom(lambda a, x: a * np.sum(x**2), x0=1.0, parameters={"a": 2.0})
    assert turned == problems.Custom("a * sum(x**2)", x0=1.0, parameters={"a": 2.0})


def test_a_wrapper_may_take_parameters_by_name_alone():
    def noise(x, draw, a):
        return a * draw.gaussian()

    @wraps(noise)
    def wrapped(x, draw, **parameters):
        return noise(x, draw, **parameters)

    assert example(noise=wrapped, noise_std=None) == example(noise=noise, noise_std=None)


def test_f_takes_the_point():
    with pytest.raises(ValueError, match="f must take the point beside its parameters, got a function of a"):
        problems.Custom(lambda a: np.sum(a**2), x0=1.0, parameters={"a": 2.0})


SOLVED = {
    "a parabola": (lambda x: np.sum((x - 3) ** 2) + 2, {"x0": [0.0, 9.0]}, 2.0),
    "a valley": (lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2, {"x0": [-1.2, 1.0]}, 0.0),
    "a corner": (lambda x: x[0] + 2 * x[1] + x[0] ** 2, {"x0": [0.5, 0.5], "projection": ("box", 0.25, 1.0)}, 0.8125),
    "an edge": (lambda x: 3 * x[0] + 4 * x[1], {"x0": [0.0, 0.0], "projection": ("ball", 2.0)}, -10.0),
    "a parameter": (
        lambda x, a: a * (np.exp(x[0]) - 2 * x[0]),
        {"x0": 0.0, "parameters": {"a": 3.0}},
        6 - 6 * np.log(2),
    ),
}


@pytest.mark.parametrize("name", SOLVED)
def test_a_minimum_is_looked_for(name):
    need("scipy")
    f, arguments, right = SOLVED[name]
    problem = problems.Custom(f, minimum="solve", **arguments)
    assert problem.minimum == pytest.approx(right, abs=1e-7)
    assert pickle.loads(pickle.dumps(problem)) == problem
    assert problem != problems.Custom(f, minimum=problem.minimum, **arguments)


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda x: np.sum(np.sin(40 * x) + 0.01 * (x - 0.3) ** 2), r"searches from 12 starts end at"),
        (lambda x: x[0], "f has kinks, falls without end"),
    ],
)
def test_a_minimum_in_doubt_is_refused(f, why):
    need("scipy")
    problem = problems.Custom(f, x0=np.ones(6), minimum="solve")
    with pytest.raises(ValueError, match=f"minimum must be given as a number, it was not found: {why}"):
        problem.minimum  # noqa: B018
    assert simulate(problem, schedules.Linear(), base_lr=1e-3, horizon=3, replicates=2, metric="value").mean < 9


def test_searches_that_are_cut_off_find_no_minimum():
    """A valley so narrow and curved that twelve searches of 1 000 steps stop in it, at 0.002 and above; f* is 0."""
    need("scipy")
    valley = problems.Custom(
        lambda x: np.sum(1e8 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), x0=np.full(6, 0.5), minimum="solve"
    )
    with pytest.raises(ValueError, match=r"it was not found: .* or takes more than 1,000 steps$"):
        valley.minimum  # noqa: B018


def test_a_minimum_above_the_start_is_refused():
    """By more than rounding: f(x0) = 13 a here, whatever the noise."""
    call = {"x0": [3.0, -2.0], "parameters": {"a": 0.1}, "noise": "gaussian", "noise_std": 1.0}

    def f(x, a):
        return a * np.sum(x**2)

    with pytest.raises(ValueError, match=r"^minimum must be f\*, which is at most f\(x0\) = 1.3\d*, got 1.31$"):
        problems.Custom(f, minimum=1.31, **call)
    for minimum in (1.3 + 1e-9, 1.3, 0.0, -5.0):
        assert problems.Custom(f, minimum=minimum, **call).minimum == minimum
    assert problems.Custom(f, minimum=1.31, **{**call, "parameters": {"a": 0.2}}).minimum == 1.31
    drawn = {**call, "x0": lambda draw: draw.gaussian(), "dimension": 2}
    assert problems.Custom(f, minimum=1.31, **drawn).minimum == 1.31
    assert problems.Custom(lambda x: np.log(x[0]), x0=-1.0, minimum=0.0).minimum == 0.0  # no number there


def test_a_campaign_keeps_a_minimum_that_was_found(tmp_path):
    need("scipy")

    def made():
        return problems.Custom(
            lambda x: np.sum((x - 1) ** 2), x0=[0.0], minimum="solve", noise="rademacher", noise_std=1.0
        )

    call = {"base_lr": [0.1], "horizon": [20]}
    first = Campaign(made(), [schedules.Linear()], replicates=1024, **call).run(tmp_path / "s.db")
    other = made()
    other._take_minimum(-1.0)  # as another version of the solver might
    more = Campaign(other, [schedules.Linear()], replicates=2048, **call).run(tmp_path / "s.db")
    assert other.minimum == made().minimum
    assert np.isclose(more.mean, first.mean, rtol=0.2).all()


def test_f_must_be_a_function_or_a_text():
    with pytest.raises(TypeError, match="f must be a function of x or a text, got 3"):
        problems.Custom(3, x0=1.0)


def test_numbers_beyond_the_dtype_are_refused():
    with pytest.raises(ValueError, match="f must have constants of size up to"):
        simulate(
            problems.Custom(lambda x: 1e300 * x[0], x0=1.0), schedules.Linear(), base_lr=0.1, horizon=5, replicates=5,
            metric="value",
        )  # fmt: skip
    with pytest.raises(ValueError, match="parameters, projection and x0 must be of size up to"):
        simulate(example(parameters={"a": 1e300}), schedules.Linear(), base_lr=0.1, horizon=5, replicates=5)


def test_registers_are_used_again(monkeypatch):
    """A chain of ten times as many values takes no more registers."""

    def chain(x, draw, length):
        for _ in range(length):
            x = np.sin(x * 1.5)
        return x

    registers = []
    monkeypatch.setattr(_core, "Program", lambda **given: registers.append(given["registers"]))
    for length in (20, 200):
        problem = problems.Custom(lambda x: x[0], x0=np.ones(10), oracle=lambda x, draw, n=length: chain(x, draw, n))
        lowered(problem.program)
    assert registers[0] == registers[1] < 50


def test_the_page_runs(capsys):
    page = (Path(__file__).parent.parent / "docs" / "own_problems.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "own_problems.md", "exec"), names)
    printed = capsys.readouterr().out.split("\n")
    assert printed[1] == "A branch on a value"
    slope, half_width = map(float, printed[-3].split(" ± "))
    assert slope == pytest.approx(-1.2, abs=0.1)
    assert half_width == pytest.approx(0.022, abs=0.003)
    assert float(printed[-2]) == 4.5
