"""Problems: objective, gradient and minimum against brute force, levels of noise, content equality, stacking."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import time

import numpy as np
import pytest

from anneal_sgd import Simulator, methods, problems, schedules, simulate
from anneal_sgd.problems import AbsoluteValue, Huber, Quadratic

BOX = ("box", -1.0, 1.0)
EXAMPLES = [
    AbsoluteValue(slope=0.1, noise="rademacher", second_moment=1.0, projection=BOX, x0=1.0),
    AbsoluteValue(slope=[0.5, 1.0, 2.0], noise="gaussian", noise_std=[0.1, 0.2, 0.3]),
    AbsoluteValue(slope=1.0, dimension=4, projection=("ball", 3.0), x0=[1.0, -1.0, 0.5, 0.0]),
    AbsoluteValue(slope=[1.0, 2.0], projection=("box", [0.5, -1.0], [2.0, -0.25]), x0=[1.0, -0.5]),
    Quadratic(curvature=[1.0, 0.0, 4.0], noise="uniform", noise_std=0.5, x0=[1.0, 2.0, 3.0]),
    Quadratic(curvature=2.0, noise="gaussian", second_moment=9.0, projection=("ball", 1.0)),
    Quadratic(curvature=2.0, projection=("box", 0.25, 4.0)),
    Huber(slope=1.5, width=0.25, noise="rademacher", noise_std=1.0, projection=BOX, x0=-1.0),
    Huber(slope=[1.0, 3.0], width=2.0, projection=("box", [-4.0, 1.0], math.inf), x0=3.0),
]


def plain_value(problem, x):
    total = 0.0
    for i in range(problem.dimension):
        size = abs(x[i])
        if isinstance(problem, AbsoluteValue):
            total += problem.slope[i] * size
        elif isinstance(problem, Quadratic):
            total += problem.curvature[i] * size**2 / 2
        elif size <= problem.width:
            total += problem.slope[i] * size**2 / (2 * problem.width)
        else:
            total += problem.slope[i] * (size - problem.width / 2)
    return total


def inside(problem, x):
    if problem.projection is None:
        return True
    if problem.projection[0] == "ball":
        return bool(np.linalg.norm(x) <= problem.projection[1])
    return bool(np.all((problem.projection[1] <= x) & (x <= problem.projection[2])))


@pytest.mark.parametrize("problem", EXAMPLES, ids=repr)
def test_value_gradient_and_minimum(problem):
    points = np.random.default_rng(1).uniform(-3, 3, (200, problem.dimension))
    values = problem.value(points)
    np.testing.assert_allclose(values, [plain_value(problem, x) for x in points], rtol=1e-13)
    step = 1e-6
    for i in range(problem.dimension):
        shift = np.zeros(problem.dimension)
        shift[i] = step
        numeric = (problem.value(points + shift) - problem.value(points - shift)) / (2 * step)
        np.testing.assert_allclose(problem.gradient(points)[:, i], numeric, atol=1e-4)
    np.testing.assert_array_equal(problem.suboptimality(points), values - problem.minimum)
    allowed = [problem.suboptimality(x) for x in points if inside(problem, x)]
    assert np.min(allowed, initial=np.inf) >= 0.0
    if problem.projection is None or problem.projection[0] == "ball":
        closest = np.zeros(problem.dimension)
    else:
        closest = np.clip(0.0, problem.projection[1], problem.projection[2])
    assert float(problem.suboptimality(closest)) == 0.0


@pytest.mark.parametrize("problem", EXAMPLES, ids=repr)
def test_a_simulation_starts_there(problem):
    result = simulate(problem, schedules.Linear(), base_lr=0.1, horizon=1, replicates=1, record_at=0, dtype="float64")
    assert float(result.mean) == pytest.approx(float(problem.suboptimality(problem.x0)), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("problem", EXAMPLES, ids=repr)
def test_a_simulation_takes_these_gradients(problem):
    """One step without noise, in float64, then the projection."""
    quiet = dataclasses.replace(problem, noise="none", noise_std=None)
    lr = 0.3
    x = quiet.x0 - lr * quiet.gradient(quiet.x0)
    if quiet.projection is not None and quiet.projection[0] == "box":
        x = np.clip(x, quiet.projection[1], quiet.projection[2])
    elif quiet.projection is not None:
        x = x * min(1.0, quiet.projection[1] / np.linalg.norm(x))
    result = simulate(quiet, schedules.Constant(), base_lr=lr, horizon=1, replicates=1, dtype="float64")
    assert float(result.mean) == pytest.approx(float(quiet.suboptimality(x)), rel=1e-13, abs=1e-13)


def test_shapes_of_points():
    one, three = AbsoluteValue(slope=2.0), AbsoluteValue(slope=2.0, dimension=3)
    assert one.value(0.5).shape == ()
    assert one.gradient(-0.5).shape == ()
    assert float(one.gradient(-0.5)) == -2.0
    assert one.value([0.5]).shape == ()
    assert three.value(np.zeros((5, 2, 3))).shape == (5, 2)
    assert three.gradient(np.zeros((5, 2, 3))).shape == (5, 2, 3)
    for problem, x in [(three, 1.0), (three, [1.0, 2.0]), (one, [1.0, 2.0]), (one, [])]:
        with pytest.raises(ValueError, match=r"^x must have shape"):
            problem.value(x)


@pytest.mark.parametrize(
    ("problem", "std", "second_moment"),
    [
        (AbsoluteValue(0.6, noise="gaussian", second_moment=1.0), [0.8], 1.0),
        (AbsoluteValue([3.0, 4.0], noise="uniform", second_moment=27.0), [1.0, 1.0], 27.0),
        (AbsoluteValue(1.0, noise="uniform", second_moment=1.0), [0.0], 1.0),
        (Huber(0.6, width=0.1, noise="gaussian", second_moment=1.0), [0.8], 1.0),
        (Quadratic(0.5, noise="gaussian", second_moment=1.25, projection=("box", -2.0, 1.0)), [0.5], 1.25),
        (
            Quadratic([1.0, 2.0], noise="gaussian", second_moment=18.0, projection=("box", -1, [1, 1.5])),
            [2.0, 2.0],
            18.0,
        ),
        (Quadratic([1.0, 2.0], noise="gaussian", second_moment=18.0, projection=("ball", 2.0), x0=1), [1.0, 1.0], 18.0),
        (Quadratic(1.0, noise="gaussian", noise_std=2.0), [2.0], math.inf),
        (
            Quadratic([1.0, 0.0], noise="gaussian", second_moment=3, projection=("box", [-1, -9], [1, math.inf])),
            [1, 1],
            3,
        ),
        (AbsoluteValue(3.0, noise="none"), [0.0], 9.0),
    ],
    ids=lambda v: repr(v) if isinstance(v, problems.Problem) else None,
)
def test_level_of_noise(problem, std, second_moment):
    np.testing.assert_allclose(problem.noise_std, std, rtol=1e-14)
    assert problem.second_moment == pytest.approx(second_moment, rel=1e-14)


def test_second_moment_is_measured():
    """E g^2 by simulation: one step of learning rate 1 from 0 of a quadratic moves by the noise alone."""
    for noise in ("rademacher", "gaussian", "uniform"):
        problem = Quadratic(curvature=2.0, noise=noise, noise_std=3.0, x0=0.0)
        result = simulate(problem, schedules.Constant(), base_lr=1.0, horizon=1, replicates=200_000)
        assert float(result.mean) == pytest.approx(9.0, abs=5 * float(result.stderr) + 1e-6)


@pytest.mark.parametrize("problem", EXAMPLES, ids=repr)
def test_frozen_equal_by_content_and_portable(problem):
    Simulator(problem)._ensemble._layouts.stacked(
        "float32", ("suboptimality",), methods.SGD()
    )  # a compiled twin, not to be copied
    namespace = {"AbsoluteValue": AbsoluteValue, "Quadratic": Quadratic, "Huber": Huber, "inf": math.inf}
    for other in (
        pickle.loads(pickle.dumps(problem)),
        copy.deepcopy(problem),
        copy.copy(problem),
        dataclasses.replace(problem),
        eval(repr(problem), namespace),
    ):
        assert other == problem
        assert hash(other) == hash(problem)
        assert repr(other) == repr(problem)
        assert other.minimum == problem.minimum
        assert not other.x0.flags.writeable
    assert dataclasses.replace(problem, x0=problem.x0 * 0.9375) != problem
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.noise = "none"
    for array in (problem.x0, problem.noise_std):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_equality_is_of_content():
    assert len(set(EXAMPLES)) == len(EXAMPLES)
    assert AbsoluteValue([1.0, 1.0]) == AbsoluteValue(1, dimension=2) == AbsoluteValue(np.float32(1), x0=[1, 1])
    assert AbsoluteValue(1.0, x0=0.0) == AbsoluteValue(1.0, x0=-0.0)
    assert AbsoluteValue(1.0) != Quadratic(1.0)
    assert AbsoluteValue(0.6, noise="gaussian", second_moment=1.0) == AbsoluteValue(
        0.6, noise="gaussian", noise_std=math.sqrt(1 - 0.6**2)
    )
    assert AbsoluteValue(1.0) != "problem"


def test_arrays_are_copies():
    slope = np.array([1.0, 2.0])
    problem = AbsoluteValue(slope)
    slope[0] = 5.0
    assert problem.slope.tolist() == [1.0, 2.0]


def test_repr():
    assert repr(AbsoluteValue(0.5, dimension=3)) == (
        "AbsoluteValue(slope=0.5, noise='none', projection=None, x0=1, dimension=3)"
    )
    assert repr(Quadratic([1, 2.5], noise="gaussian", noise_std=0.1, projection=("ball", 4))) == (
        "Quadratic(curvature=[1, 2.5], noise='gaussian', noise_std=0.1, projection=('ball', 4), x0=1)"
    )


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Quadratic(1.0), "be of one kind: 'AbsoluteValue' at index 0, got 'Quadratic' at index 1"),
        (AbsoluteValue(1.0, dimension=2), "be of one dimension: 1 at index 0, got 2"),
        (
            AbsoluteValue(1.0, noise="gaussian", noise_std=1.0),
            "have one kind of noise: 'none' at index 0, got 'gaussian'",
        ),
        (AbsoluteValue(1.0, projection=BOX), "have one kind of projection: 'none' at index 0, got 'box'"),
        ("quadratic", "be a problem or a sequence of problems, got 'quadratic' at index 1"),
    ],
)
def test_sequences_must_be_alike(second, message):
    with pytest.raises(ValueError, match=f"^problem must {message}"):
        Simulator([AbsoluteValue(1.0), second])


@pytest.mark.parametrize("problem", [[], (), "abs", None, 3])
def test_no_problem(problem):
    with pytest.raises(ValueError, match=r"^problem must be a problem or a sequence of problems, got"):
        Simulator(problem)


def test_stacking_is_quick():
    """Goal: 10^4 problems in 10 ms."""
    many = [AbsoluteValue(a, noise="gaussian", noise_std=1.0) for a in np.linspace(0.1, 1.0, 10_000)]
    start = time.perf_counter()
    stacked = AbsoluteValue._stack(many, "float32", with_minimum=True)
    assert time.perf_counter() - start < 0.2
    assert (stacked.count, stacked.dimension) == (10_000, 1)


def make(cls=AbsoluteValue, weight=1.0, **arguments):
    return cls(weight, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": 0.0}, "slope must be finite and > 0, got 0.0"),
        ({"weight": -1}, "slope must be finite and > 0, got -1.0"),
        ({"weight": math.nan}, "slope must be"),
        ({"weight": math.inf}, "slope must be"),
        ({"weight": [1, -2]}, "slope must be finite and > 0, got -2.0 at index 1"),
        ({"weight": []}, r"slope must be .* got shape \(0,\)"),
        ({"weight": [[1.0]]}, r"slope must be one number or one-dimensional, got shape \(1, 1\)"),
        ({"weight": "1"}, "slope must be numbers"),
        ({"weight": True}, "slope must be numbers"),
        ({"weight": None}, "slope must be numbers"),
        ({"weight": [1, [2, 3]]}, "slope must be numbers"),
        ({"cls": Quadratic, "weight": -1.0}, "curvature must be finite and >= 0, got -1.0"),
        ({"cls": Quadratic, "weight": [0.0, 0.0]}, "curvature must have an element > 0, got 0"),
        ({"cls": Huber, "width": 0.0}, "width must be one number, finite and > 0, got 0.0"),
        ({"cls": Huber, "width": [1.0]}, "width must be one number"),
        ({"x0": math.nan}, "x0 must be finite, got nan"),
        ({"x0": [1.0, 2.0], "weight": [1.0, 2.0, 3.0]}, "x0 must be one number or have 3 elements like slope, got 2"),
        ({"dimension": 2, "x0": [1.0, 2.0, 3.0]}, "x0 must be one number or have 2 elements like dimension, got 3"),
        ({"dimension": 0}, "dimension must be an integer in 1 .. 16777215, got 0"),
        ({"dimension": 1.5}, "dimension must be"),
        ({"noise": "laplace"}, "noise must be one of 'none', 'rademacher', 'gaussian', 'uniform', got 'laplace'"),
        ({"noise": None}, "noise must be one of"),
        ({"noise": "gaussian"}, "noise_std or second_moment must be given where noise is 'gaussian'"),
        ({"noise_std": 1.0}, "noise_std must be left out where noise is 'none', got 1.0"),
        ({"second_moment": 1.0}, "second_moment must be left out where noise is 'none', got 1.0"),
        (
            {"noise": "gaussian", "noise_std": 1.0, "second_moment": 2.0},
            "second_moment must be left out where noise_std",
        ),
        ({"noise": "gaussian", "noise_std": -1.0}, "noise_std must be finite and >= 0, got -1.0"),
        ({"noise": "gaussian", "noise_std": [1.0, 1.0], "weight": [1.0] * 3}, "noise_std must be one number or have 3"),
        (
            {"noise": "gaussian", "second_moment": 0.99},
            "second_moment must be at least 1.0, the gradient's own part, got",
        ),
        ({"noise": "gaussian", "second_moment": math.inf}, "second_moment must be one number, finite"),
        ({"cls": Quadratic, "noise": "gaussian", "second_moment": 1.0}, "second_moment must go with a bounded set"),
        (
            {"cls": Quadratic, "noise": "gaussian", "second_moment": 1.0, "projection": ("box", -math.inf, 1.0)},
            "second_moment must go with a bounded set",
        ),
        ({"projection": "box"}, r"projection must be None, \('box', lower, upper\) or \('ball', radius\), got 'box'"),
        ({"projection": ("box", 1.0)}, "projection must be None"),
        ({"projection": ("cube", -1.0, 1.0)}, "projection must be None"),
        ({"projection": ()}, "projection must be None"),
        ({"projection": ("box", 1.0, 1.0)}, "projection must be a box with lower < upper, got 1 and 1 in coordinate 0"),
        ({"projection": ("box", math.nan, 1.0)}, "projection lower end must be"),
        (
            {"projection": ("box", [-1.0, -1.0], [1.0, 1.0, 1.0])},
            "projection upper end must be one number or have 2 elements like projection lower end",
        ),
        ({"projection": ("ball", 0.0)}, "projection radius must be one number, finite and > 0, got 0.0"),
        ({"projection": ("box", -1.0, 0.5)}, "x0 must lie in the box, -1 to 0.5 in coordinate 0, got 1"),
        ({"projection": BOX, "x0": [0.0, 2.0]}, "x0 must lie in the box, .* in coordinate 1, got 2"),
        ({"projection": ("ball", 1.0), "dimension": 2}, "x0 must lie in the ball of radius 1, got norm 1.41"),
    ],
)
def test_bad_parameters(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make(**arguments)
