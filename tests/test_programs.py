"""Functions as programs: what is traced, derived and refused, and the form that they are brought in."""

import contextlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd import _core, problems
from anneal_sgd.campaigns._identity import problem_digest
from anneal_sgd.programs import Node, Program, canonical, differentiated, evaluate, trace
from anneal_sgd.programs._special import erf
from anneal_sgd.reference import programs as reference

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

A = np.random.default_rng(0).standard_normal((5, 4))
OFFSET = np.arange(5.0)

FUNCTIONS = {
    "rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "max of linear functions": lambda x: np.max(A @ x + OFFSET),
    "min of linear functions": lambda x: np.min(x @ A.T),
    "powers": lambda x: np.sum(np.abs(x) ** 1.5 + x**4 + (1 + x**2) ** -0.5 + np.abs(x) ** 0.3),
    "norms": lambda x: np.linalg.norm(x) + np.linalg.norm(x, 1) + np.linalg.norm(x, np.inf),
    "logistic": lambda x: np.mean(np.log(1 + np.exp(-x)) + np.logaddexp(0, x)),
    "clip": lambda x: np.sum(np.clip(x, -0.5, 0.5) ** 2 * np.sin(x)),
    "elements": lambda x: x[0] * x[1] / x[2] + np.tanh(x[-1]) - np.hypot(x[0], x[3]),
    "branches": lambda x: np.sum(np.where((x > 0) & (x < 2), x**3, np.exp(x))),
    "comparisons": lambda x: np.sum(np.where(x <= 0.3, x**2, x) * (x != x[1]) + np.where((x >= 0) == (x > -1), x, 0.5)),
    "reversed": lambda x: np.dot(x, x[::-1]) + np.sum(np.roll(x, 1) * x) + np.sum(x[::2]),
    "differences": lambda x: np.sum(np.diff(x) ** 2) + np.mean(np.concatenate([x[2:], x[:1]]) * np.cos(x[:3])),
    "loop": lambda x: sum(xi**2 * i for i, xi in enumerate(x)),
    "near 1": lambda x: np.sum(np.log1p(x**2) * x + np.expm1(x)) - np.log1p(np.exp(x[0])),
    "spread": lambda x: np.var(x, ddof=1) + x.std() + np.sum(x * x.var(keepdims=True)) - np.std(x[:3], 0, ddof=0.5),
    "products": lambda x: np.prod(x) + x[1:].prod(-1) ** 2 + np.sum(np.cumsum(np.sin(x)) ** 2) + np.cumsum(x[::2])[-1],
    "kept dimensions": lambda x: np.sum(np.exp(x - np.max(x, axis=-1, keepdims=True)) / (1 + x[:1] ** 2)) + x.sum(0),
    "places": lambda x: (
        x[[0, 3, 1]].sum() ** 2 + np.sum(x[np.array([3, 2, 0])] * x[1:] ** 2) + x[..., 2] * x[[-1, 0]][1]
    ),
    "masks": lambda x: np.sum(x[np.array([True, False, True, True])] ** 3) + np.sum(x[[1, 1, 2]] ** 2),
    "joined": lambda x: np.sum(np.hstack([x[:2] * 2, x[:1], [3.0]]) ** 3) + np.sum(np.append(x, x[0]) ** 2),
    "any and all": lambda x: np.where(np.any(x > 0.5), x[0] ** 2, x[1]) + np.where((x < 1).all(), 1.0, 2.0) * x[2] ** 3,
    "hyperbolic": lambda x: np.sum(np.sinh(x) * x + np.cosh(2 * x)),
    "other bases": lambda x: np.sum(np.log2(1 + x**2) + np.log10(2 + x**2) + np.exp2(x)),
    "copies": lambda x: np.sum(x.copy().ravel().clip(-0.5, 0.5) ** 2) + np.sum(np.copy(x), axis=(0,)) * x.max((-1,)),
    "whole numbers": lambda x: (
        np.sum((np.floor(3 * x) - np.ceil(x) + np.rint(2 * x) * np.trunc(5 * x)) * x + np.fmod(x, 0.7) * (x // 0.3))
        + np.sum(x % 0.3 * x + 1.5 % x + np.round(x, 1) * x)
    ),
    "angles": lambda x: np.sum(
        np.arctan(3 * x) * x + np.arctan2(x, x[::-1]) * x + np.arcsin(x / (1 + x**2)) * np.arccos(np.sin(x) / 2)
    ),
    "error function": lambda x: np.sum(erf(3 * x) * x + erf(x)),
    "a matrix": lambda x: np.sum((x.reshape(2, 2) @ x.reshape(2, 2).T - A[:2, :2]) ** 2) + np.trace(x.reshape(2, 2)),
    "rows and columns": lambda x: np.sum(np.max(np.stack([x, -x]), axis=0)) + np.sum(np.linalg.norm(A - x, axis=1)),
    "extremes": lambda x: np.sum(np.maximum(x, 2 * x) + np.minimum(x, x**2)) + x.max() - x.min(),
}


def differences(f, x, step=1e-6):
    return np.array([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def is_of_the_function(f, dimension, tolerance):
    """The program has its values, and gradients that are its differences within a tolerance."""
    program = canonical(differentiated(trace(f, dimension=dimension)))
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(dimension)
        found = evaluate(program, x)
        assert found["value"] == pytest.approx(f(x), rel=1e-13, abs=1e-13)
        assert found["gradient"] == pytest.approx(differences(f, x), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_are_those_of_the_function(name):
    is_of_the_function(FUNCTIONS[name], 4, 1e-7)


def test_a_norm_has_the_derivative_0_at_0_and_keeps_a_nan():
    program = canonical(differentiated(trace(lambda x: np.linalg.norm(x), dimension=3)))
    at_zero, beside, lost = (evaluate(program, np.array(x)) for x in ([0.0, 0, 0], [0.0, 3, -4], [0.0, np.nan, 1]))
    assert at_zero["value"] == 0.0
    assert at_zero["gradient"].tolist() == [0.0, 0.0, 0.0]
    assert beside["value"] == 5.0
    assert beside["gradient"] == pytest.approx([0.0, 0.6, -0.8], rel=1e-15)
    assert np.isnan(lost["value"])
    assert np.isnan(lost["gradient"]).any()


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_an_exponent_may_be_a_parameter(q):
    def f(x, q):
        return np.sum(np.abs(x) ** q) + (x @ x) ** q + np.sum(np.maximum(0, x) ** q)

    program = canonical(differentiated(trace(f, dimension=4, parameters={"q": ()})))
    x = np.random.default_rng(1).standard_normal(4)
    found = evaluate(program, x, {"q": np.array(q)})
    assert found["value"] == pytest.approx(f(x, q), rel=1e-13)
    assert found["gradient"] == pytest.approx(differences(lambda x: f(x, q), x), rel=1e-6, abs=1e-7)
    with np.errstate(all="ignore"):
        at_zero, lost, far = (evaluate(program, [v, 0, 0, 0], {"q": np.array(q)}) for v in (0.0, np.nan, np.inf))
    assert at_zero["value"] == f(np.zeros(4), q)  # 0 to the 0 is 1
    assert at_zero["gradient"].tolist() == [0.0] * 4
    assert np.isnan(lost["value"])
    assert far["value"] == np.inf or not q


def test_only_what_is_seen_not_to_be_negative_has_such_an_exponent():
    shapes = {"q": ()}

    def deep(x):
        y = np.abs(x)
        for _ in range(200):
            y = 0.5 * (y + y * y)
        return y

    for base in (
        deep,
        np.var,
        np.abs,
        np.exp,
        np.linalg.norm,
        lambda x: x @ x,
        lambda x: np.max(np.abs(x)) + 1.0,
        np.square,
    ):
        trace(lambda x, q, base=base: np.sum(base(x) ** q), dimension=2, parameters=shapes)
    negative = [
        lambda x: x,
        np.sin,
        lambda x: np.minimum(1, x),
        lambda x: np.maximum(-1, x),
        lambda x: x[0] * x[1],
        lambda x: np.abs(x) - 1,
        lambda x: np.where(x > 0, x, 1),
        lambda x: np.abs(x) / x,
    ]
    for base in negative:
        with pytest.raises(
            TypeError, match=r"no constants, of what may be negative \(take np.abs of it\), cannot be traced"
        ):
            trace(lambda x, q, base=base: np.sum(base(x) ** q), dimension=2, parameters=shapes)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 31])
def test_products_and_sums_of_any_length(n):
    x = np.random.default_rng(n).uniform(0.5, 2, n) * (-1) ** np.arange(n)
    weights = np.random.default_rng(n + 1).standard_normal(n)
    product = evaluate(canonical(differentiated(trace(lambda x: np.prod(x), dimension=n))), x)
    assert product["value"] == pytest.approx(np.prod(x), rel=1e-13)
    assert product["gradient"] == pytest.approx(np.prod(x) / x, rel=1e-13)
    total = evaluate(canonical(differentiated(trace(lambda x: np.sum(weights * np.cumsum(x)), dimension=n))), x)
    assert total["value"] == pytest.approx(np.sum(weights * np.cumsum(x)), rel=1e-12)
    assert total["gradient"] == pytest.approx(np.cumsum(weights[::-1])[::-1], rel=1e-12, abs=1e-12)


def test_a_product_has_its_derivative_where_a_factor_is_0():
    program = differentiated(trace(lambda x: np.prod(x), dimension=3))
    assert evaluate(program, [2.0, 0.0, 5.0])["gradient"].tolist() == [0.0, 10.0, 0.0]
    assert evaluate(program, [0.0, 0.0, 5.0])["gradient"].tolist() == [0.0, 0.0, 0.0]


def test_a_spread_of_equal_numbers_has_the_derivative_0():
    for f in (lambda x: np.std(x), lambda x: x[:1].std(), lambda x: x.var(ddof=2)):
        found = evaluate(canonical(differentiated(trace(f, dimension=3))), [0.5, 0.5, 0.5])
        assert found["value"] == 0.0
        assert found["gradient"].tolist() == [0.0, 0.0, 0.0]
    program = canonical(trace(lambda x: np.std(x), dimension=2))
    assert np.isnan(evaluate(program, [np.nan, 1.0])["value"])
    assert evaluate(canonical(trace(lambda x: np.std(x[0]) + x[0].prod(), dimension=1)), [3.0])["value"] == 3.0


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "std", "prod"])
def test_kept_dimensions_are_those_of_numpy(name):
    shapes = []

    def f(x):
        method = getattr(x, name)(keepdims=True)
        shapes.extend([method.shape, getattr(np, name)(x, axis=0, keepdims=True).shape, method.sum().shape])
        return np.sum(x * method) + np.sum(method)

    x = np.array([0.3, -1.2, 2.0])
    found = evaluate(canonical(trace(f, dimension=3)), x)["value"]
    assert shapes[:3] == [(1,), (1,), ()]
    assert found == pytest.approx(float(f(x)), rel=1e-14)


# --- small arguments --------------------------------------------------------------------------------------------------

# Measured with 3e5 numbers of each sort: log1p 2.6 and 2.4 ulp, expm1 3.6 and 3.3 (float32, float64).
NARROWER = [dtype for dtype in (np.float32, np.float64) if np.finfo(dtype).nmant < np.finfo(np.longdouble).nmant]
MOST_ULP = {"log1p": (2.6, 2.4), "expm1": (3.6, 3.4)}


def of_reference(name, x):
    """The function's values by the reference's operations, which are the core's."""
    program = canonical(trace(lambda v: getattr(np, name)(v), dimension=len(x)))
    with np.errstate(all="ignore"):
        return reference.evaluated(program, "value", x[:, None], {}, {})[:, 0]


@pytest.mark.parametrize("dtype", NARROWER)
@pytest.mark.parametrize("name", MOST_ULP)
def test_accuracy_near_1(name, dtype):
    rng, info = np.random.default_rng(4), np.finfo(dtype)
    small = np.exp2(rng.uniform(info.minexp + 1, 0, 4_000))
    near = np.exp2(rng.uniform(-info.nmant - 3, 0, 4_000))
    largest = info.max if name == "log1p" else info.maxexp * np.log(2) * 0.999
    wide = largest ** rng.uniform(0, 1, 4_000) if name == "log1p" else rng.uniform(-60, largest, 4_000)
    x = np.concatenate([small, -small, near, -near, rng.uniform(-1, 1, 4_000), rng.uniform(0, 6, 4_000), wide])
    x = x.astype(dtype)
    x = x[x > -1] if name == "log1p" else x
    exact = getattr(np, name)(x.astype(np.longdouble))
    ulp = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    found = of_reference(name, x)
    assert found.dtype == dtype
    assert np.max(np.abs(found.astype(np.longdouble) - exact) / ulp) < MOST_ULP[name][dtype == np.float64]


# By name: the function, and units in the last place in float32 and float64, measured with 4e5 numbers of each sort.
COMPOSED = {
    "sinh": (np.sinh, 4.4, 4.2),
    "cosh": (np.cosh, 1.6, 1.6),
    "softplus": (lambda x: np.logaddexp(0, x), 2.9, 3.1),
}


@pytest.mark.parametrize("dtype", NARROWER)
@pytest.mark.parametrize("name", COMPOSED)
def test_accuracy_of_what_is_composed(name, dtype):
    """Where the exact value is a normal number; signs of both kinds, and numbers where parts cancel."""
    f, *limits = COMPOSED[name]
    rng, info = np.random.default_rng(5), np.finfo(dtype)
    largest = info.maxexp * np.log(2) * 0.999
    sizes = [rng.uniform(0, 1, 6_000), rng.uniform(0, 6, 6_000), rng.uniform(0, largest, 6_000)]
    x = np.concatenate([*sizes, np.exp2(rng.uniform(-info.nmant, 0, 6_000))])
    x = np.concatenate([x, -x]).astype(dtype)
    program = canonical(trace(f, dimension=len(x)))
    with np.errstate(all="ignore"):
        exact = f(x.astype(np.longdouble))
        found = reference.evaluated(program, "value", x[:, None], {}, {})[:, 0].astype(np.longdouble)
    normal = (np.abs(exact) >= info.smallest_normal) & (np.abs(exact) < info.max)
    assert np.count_nonzero(normal) > 0.7 * len(x)
    ulp = np.spacing(np.abs(exact[normal]).astype(dtype)).astype(np.longdouble)
    assert np.max(np.abs(found[normal] - exact[normal]) / ulp) < limits[dtype == np.float64]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["sinh", "cosh", "logaddexp"])
def test_edges_of_what_is_composed(name, dtype):
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, -17.0]
    pairs = np.array([(a, b) for a in special for b in special], dtype) if name == "logaddexp" else special
    x = np.array(pairs, dtype)
    f = (lambda x: np.logaddexp(x[0], x[1])) if name == "logaddexp" else lambda x: getattr(np, name)(x[0])
    points = x.T if name == "logaddexp" else x[None]
    with np.errstate(all="ignore"):
        found = reference.evaluated(canonical(trace(f, dimension=len(points))), "value", points, {}, {})[0]
        exact = f(points)
    assert found == pytest.approx(exact, rel=8 * float(np.finfo(dtype).eps), abs=0, nan_ok=True)
    if name == "sinh":
        assert np.signbit(found[:2]).tolist() == [False, True]


def test_where_two_are_equal_each_has_half_of_the_derivative():
    """A logistic loss starts where its derivative is 1/2; equal numbers that are infinite have none."""
    for f in (lambda x: np.logaddexp(0, x[0]), lambda x: np.logaddexp(x[0], 0)):
        x = np.array([[0.0, 1.0, -40.0, 800.0, -800.0]])
        with np.errstate(over="ignore"):
            found = evaluate(canonical(differentiated(trace(f, dimension=1))), x)
            slopes = 1 / (1 + np.exp(-x[0]))
        assert found["gradient"][0] == pytest.approx(slopes, rel=1e-15, abs=0)
    both = evaluate(differentiated(trace(lambda x: np.logaddexp(x[0], x[1]), dimension=2)), [3.0, 3.0])
    assert both["gradient"].tolist() == [0.5, 0.5]


def test_derivatives_of_hyperbolic_functions_cancel_nothing():
    x = np.array([1e-9, -1e-9, 20.0, -20.0])
    for f, slope in ((np.cosh, np.sinh), (np.sinh, np.cosh)):
        program = canonical(differentiated(trace(lambda x, f=f: np.sum(f(x)), dimension=4)))
        assert evaluate(program, x)["gradient"] == pytest.approx(slope(x), rel=1e-14, abs=0)


def test_a_hypotenuse_of_0_has_the_derivative_0():
    program = canonical(differentiated(trace(lambda x: np.hypot(x[0], 2 * x[1]), dimension=2)))
    assert evaluate(program, [0.0, 0.0])["gradient"].tolist() == [0.0, 0.0]
    assert evaluate(program, [3.0, 2.0])["gradient"] == pytest.approx([0.6, 1.6], rel=1e-15)
    assert np.isnan(evaluate(program, [np.nan, 2.0])["value"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_near_1(dtype):
    info = np.finfo(dtype)
    x = np.array([0.0, np.inf, -np.inf, np.nan, -1, -2, info.max, -info.max, info.smallest_normal, -60], dtype)
    for name, tiny in (("log1p", info.smallest_subnormal), ("expm1", 2 * info.smallest_subnormal)):
        with np.errstate(all="ignore"):
            exact = getattr(np, name)(x)
        assert of_reference(name, x) == pytest.approx(exact, rel=4 * float(info.eps), abs=0, nan_ok=True)
        assert of_reference(name, np.array([tiny], dtype)) > 0


def test_derivatives_near_1_are_as_exact():
    """Of e^x - 1 far below 0, where 1 - tanh^2 cancels, and at infinity."""
    x = np.array([-50.0, 1e-20, 2.0, 800.0])
    program = canonical(differentiated(trace(lambda x: np.sum(np.expm1(x)), dimension=4)))
    with np.errstate(over="ignore"):
        assert evaluate(program, x)["gradient"] == pytest.approx(np.exp(x), rel=1e-15, abs=0)
    program = canonical(differentiated(trace(lambda x: np.sum(np.log1p(x)), dimension=3)))
    x = np.array([-1 + 2.0**-53, 1e-20, np.inf])
    assert evaluate(program, x)["gradient"].tolist() == [2.0**53, 1.0, 0.0]


def test_constants_near_1_keep_their_digits():
    """1 + 1e-9 rounds to 1 in float32."""
    program = canonical(trace(lambda x: np.log1p(np.zeros_like(x[0]) + 1e-9), dimension=1))
    found = reference.evaluated(program, "value", np.zeros((1, 1), np.float32), {}, {})
    assert found[0, 0] == np.float32(1e-9)


def test_comparisons_know_nan():
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
    points = np.stack([a.ravel() for a in np.meshgrid(special, special)])
    for compared in (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal):
        program = trace(lambda x, compared=compared: np.where(compared(x[0], x[1]), 2.0, -1.0), dimension=2)
        for one in (program, canonical(program)):
            assert np.array_equal(evaluate(one, points)["value"], np.where(compared(*points), 2.0, -1.0))
    for value in (lambda x: np.where(x[0], 1.0, 0.0), lambda x: np.where(~(x[0] <= 1.0), x[1], 7.0)):
        assert np.array_equal(evaluate(trace(value, dimension=2), points)["value"], value(points), equal_nan=True)


OF_JAX = """
import json, sys
import jax, numpy as np
from test_programs import FUNCTIONS
jax.config.update("jax_enable_x64", True)
found = {}
for name, x in json.load(sys.stdin).items():
    source = FUNCTIONS[name]
    f = type(source)(source.__code__, {**source.__globals__, "np": jax.numpy})
    found[name] = jax.grad(lambda x: f(x))(np.array(x)).tolist()
print(json.dumps(found))
"""


def test_gradients_agree_with_jax():
    """In a process of its own: JAX's threads and the forks of other tests do not go together."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    points = {
        name: np.random.default_rng(1).standard_normal(4).tolist()
        for name in ("rosenbrock", "powers", "logistic", "elements", "reversed", "near 1", "spread", "products")
    }
    done = subprocess.run(
        [sys.executable, "-c", OF_JAX],
        input=json.dumps(points),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, gradient in json.loads(done.stdout).items():
        ours = evaluate(differentiated(trace(FUNCTIONS[name], dimension=4)), np.array(points[name]))["gradient"]
        assert ours == pytest.approx(np.array(gradient), rel=1e-12, abs=1e-12)


# --- random programs: expressions of x, a parameter and constants -----------------------------------------------------

UNARY = ["negative", "absolute", "sin", "cos", "tanh", "exp", "square"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum"]


@st.composite
def expressions(draw, depth=3):
    """(text, whether it is a vector), in NumPy's words."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        leaf = draw(st.sampled_from(["x", "a", "x[0]", "x[1:]", "x[:-1]", "x[::-1]", "b", "1.5", "-0.25"]))
        return leaf, {"x": 3, "x[::-1]": 3, "b": 3, "x[1:]": 2, "x[:-1]": 2}.get(leaf, 0)
    if draw(st.booleans()):
        text, n = draw(expressions(depth=depth - 1))
        return f"np.{draw(st.sampled_from(UNARY))}({text})", n
    left, m = draw(expressions(depth=depth - 1))
    right, n = draw(expressions(depth=depth - 1))
    if m and n and m != n:
        right, n = f"np.sum({right})", 0
    return f"np.{draw(st.sampled_from(BINARY))}({left}, {right})", m or n


@st.composite
def objectives(draw):
    text, n = draw(expressions())
    reduction = draw(st.sampled_from(["np.sum", "np.max", "np.mean"])) if n else ""
    return f"lambda x, a, b: {reduction}({text}) + 0 * (x[0] + a + b[0])"


@settings(max_examples=150, deadline=None)
@given(text=objectives(), seed=st.integers(0, 2**32 - 1))
def test_random_programs(text, seed):
    f = eval(text, {"np": np})
    rng = np.random.default_rng(seed)
    x, parameters = rng.standard_normal(3), {"a": rng.standard_normal(), "b": rng.standard_normal(3)}
    program = differentiated(trace(f, dimension=3, parameters={"a": (), "b": (3,)}))
    form = canonical(program)
    assert canonical(form) == form
    assert Program.from_data(json.loads(json.dumps(form.to_data()))) == form
    with np.errstate(all="ignore"):
        plain, brought = (evaluate(p, x, parameters) for p in (program, form))
        for name in ("value", "gradient"):
            assert np.allclose(plain[name], brought[name], rtol=1e-9, atol=1e-9, equal_nan=True)
        assert np.allclose(plain["value"], f(x, **parameters), rtol=1e-12, atol=1e-12, equal_nan=True)
        steps = [differences(lambda y: f(y, **parameters), x, h) for h in (1e-6, 3e-6)]
    precise = abs(plain["value"]) < 1e5  # differences are of values that are rounded to 1e-16 of themselves
    if precise and np.isfinite(steps).all() and np.allclose(*steps, rtol=1e-6, atol=1e-6):  # no kink near by
        assert np.allclose(plain["gradient"], steps[0], rtol=1e-4, atol=1e-4)


def test_large_constants_cost_no_more_than_arrays_do():
    """As tuples of floats they took 4 s of a processor, and as much again for every program made of it."""
    rng = np.random.default_rng(0)
    matrix, vector = rng.standard_normal((1_000, 1_000)), rng.standard_normal(1_000)
    began = time.process_time()
    program = canonical(differentiated(trace(lambda x: np.max(matrix @ x + vector), dimension=1_000)))
    assert program == canonical(differentiated(trace(lambda x: np.max(matrix.copy() @ x + vector), dimension=1_000)))
    assert time.process_time() - began < 1.0
    assert hash(pickle.loads(pickle.dumps(program))) == hash(program)
    x = rng.standard_normal(1_000)
    assert evaluate(program, x)["gradient"] == pytest.approx(matrix[np.argmax(matrix @ x + vector)], rel=1e-12)
    wide = canonical(differentiated(trace(lambda x: np.sum((x - np.arange(1e5)) ** 2 * 0.5), dimension=100_000)))
    assert time.process_time() - began < 1.5
    assert wide != program


def test_digests_stay_what_stores_have():
    """Of constants with negative zeros, subnormal and large numbers, as first written."""
    matrix = np.array([[1.0, -0.0, 0.1], [1e-310, 2.5, -3e300]])

    def f(x, a):
        return a * np.max(matrix @ x + [0.5, -0.25]) + np.sum(np.abs(x - [0.1, -0.0, 1e-5]) ** 1.3)

    program = canonical(differentiated(trace(f, dimension=3, parameters={"a": ()})))
    assert program.digest == "7276aebef6652c58308220f21c5936a10eb6a04f8b180414faa3ba28bda14fd6"
    problem = problems.Custom(
        f,
        x0=np.ones(3),
        parameters={"a": 0.5},
        noise=lambda x, draw: draw.student_t(3.0) * [1.0, 2.0, 3.0],
        projection=("box", -1.0, 2.0),
    )
    assert problem.program.digest == "d000938f46cc99be6659401caa9dbae7ffa8d9121db920901f5ff02f32c661e0"
    assert problem_digest(problem) == "cde2cb0ee1462f5c7d681daf185e83072cc2baa717b4ef22bb64ff9a2949d685"
    assert Program.from_data(json.loads(json.dumps(problem.program.to_data()))) == problem.program


# --- the canonical form -----------------------------------------------------------------------------------------------


def test_the_same_operations_are_the_same_program():
    def loop(x):
        total = 0
        for xi in x:
            total = total + xi * xi
        return total

    a = canonical(trace(lambda x: np.sum(x**2), dimension=3))
    assert a == canonical(trace(lambda x: np.dot(x, x) * 1 + 0, dimension=3))
    assert a.digest == canonical(trace(lambda x: (x * x).sum(), dimension=3)).digest
    assert a != canonical(trace(loop, dimension=3))


def test_products_are_fused_with_one_sum():
    ops = [node.op for node in canonical(trace(lambda x: x[0] * x[1] + x[2] * 2, dimension=3)).nodes]
    assert ops.count("fma") == 1
    assert ops.count("multiply") == 1  # the right one
    shared = canonical(trace(lambda x: (x[0] * x[1] + 1) * (x[0] * x[1]), dimension=3))
    assert "fma" not in [node.op for node in shared.nodes]


def test_powers_become_products_and_roots():
    ops = [node.op for node in canonical(trace(lambda x: x[0] ** 7 + np.abs(x[1]) ** 2.5, dimension=2)).nodes]
    assert "power" not in ops
    assert canonical(trace(lambda x: x[0] ** 0.3, dimension=1)).nodes[-1].op == "power"


# --- what is refused --------------------------------------------------------------------------------------------------


def branch(x):
    return x[0] if x[0] > 0 else -x[0]


def assigns(x):
    x[0] = 1.0
    return x[0]


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (branch, TypeError, "A branch on a value .use np.where, np.max.* cannot be traced .*test_programs"),
        (assigns, TypeError, "Assignment to an element .use np.where or .* cannot be traced"),
        (lambda x: float(x[0]), TypeError, "Conversion to a number .np.exp is what .* cannot be traced"),
        (lambda x: np.asarray(x), TypeError, "Conversion to an array .x is one already, .* cannot be traced"),
        (lambda x: np.argsort(x)[0], TypeError, "np.argsort .places are no numbers .* cannot be traced"),
        (lambda x: np.spacing(x[0]), TypeError, "np.spacing .docs/own_problems.md .* cannot be traced"),
        (lambda x: np.subtract.accumulate(x)[0], TypeError, "np.subtract.accumulate .* cannot be traced"),
        (lambda x: np.sum(x, axis=1), TypeError, "A reduction over axis 1 cannot be traced"),
        (lambda x: np.prod(x, axis=(0, 1)), TypeError, r"A reduction over axis \(0, 1\) cannot be traced"),
        (lambda x: x.cumsum(1)[0], TypeError, "A reduction over axis 1 cannot be traced"),
        (lambda x: np.var(x, where=x > 0), TypeError, "np.var with where cannot be traced .*test_programs"),
        (lambda x: np.std(x, ddof=2), ValueError, "ddof must be below 2, how many numbers there are, got 2 "),
        (lambda x: np.var(x, ddof=np.nan), ValueError, "ddof must be below 2, .* got nan"),
        (lambda x: np.dot(x, x[:1]), ValueError, "a product must be of values of one length, got .2,. and .1,. "),
        (lambda x: x[0] ** x[1], TypeError, "A power whose base and exponent are no constants, .* cannot be traced"),
        (lambda x: x[[0.5]], TypeError, "Indexing with ndarray of float64, 1 of 2 cannot be traced"),
        (lambda x: x[[True]], TypeError, "Indexing with ndarray of bool, 1 of 2 cannot be traced"),
        (lambda x: x[[False, False]], TypeError, "Indexing with ndarray of int64, 0 of 2 cannot be traced"),
        (lambda x: x[[0, 2]], IndexError, "index must be in -2 .. 1, got 2 .*test_programs"),
        (lambda x: x[[0, 0, 1] * 40], TypeError, "Indexing with 120 places in more than 64 runs cannot be traced"),
        (lambda x: x[:, 0], TypeError, "Indexing with tuple cannot be traced"),
        (lambda x: x[x > 0], TypeError, "Indexing with Condition .use np.where. cannot be traced"),
        (lambda x: "text", TypeError, "the result, str of shape .* cannot be traced"),
        (lambda x: x[0] + np.nan, ValueError, "constants must be finite, got nan .*test_programs"),
        (lambda x: x + np.ones(3), ValueError, "add must be of values of one length, got .*test_programs"),
        (lambda x: np.ones((2, 3)) @ x, ValueError, "matvec must have a matrix with 2 columns .*test_programs"),
        (lambda x: x[5], IndexError, "index must be in -2 .. 1, got 5"),
        (lambda x: x[2:], ValueError, "slices must not be empty"),
        (lambda x, c: c * x[0], ValueError, "parameters must have 'c', which the function takes"),
    ],
)
def test_what_cannot_be_traced_is_named_with_its_line(f, error, message):
    with pytest.raises(error, match=message):
        trace(f, dimension=2)


# --- matrices ---------------------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(7)
M53, M42, M34, M612 = (RANDOM.standard_normal(shape) for shape in ((5, 3), (4, 2), (3, 4), (6, 12)))
Y, V, W = RANDOM.standard_normal(5), RANDOM.standard_normal(3), RANDOM.standard_normal(4)


def of(x):
    return x.reshape(3, 4)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


MATRICES = {
    "factors": lambda x: np.sum((of(x) @ M42 - M53[:3, :2]) ** 2),
    "a constant on the left": lambda x: np.sum((M53 @ of(x)) ** 3),
    "gram": lambda x: np.sum((of(x) @ of(x).T - np.eye(3)) ** 2),
    "traces": lambda x: np.trace(of(x).T @ of(x)) + np.trace(np.reshape(x, (3, 4))) + np.diag(x.reshape(4, 3))[1],
    "network": lambda x: np.sum((np.tanh(M53 @ x[:9].reshape(3, 3) + x[9:]) @ V - Y) ** 2),
    "forms": lambda x: V @ of(x) @ W + (x.reshape((3, -1)) @ w4(x))[1] ** 2 + x[:3] @ of(x) @ x[3:7],
    "axes": lambda x: (
        np.sum(of(x).sum(axis=0) ** 2) + np.prod(np.mean(of(x), -1)) + of(x).min(0)[2] + of(x).max((0, 1))
    ),
    "columns": lambda x: (
        np.sum(np.amax(of(x), axis=1) ** 3) + of(x).prod(axis=-2)[1] + np.sum(np.sum(of(x), 0, keepdims=True) ** 2)
    ),
    "points": lambda x: np.min(np.sum((x - M612) ** 2, axis=1)) + np.sum(np.exp(-np.linalg.norm(M612 - x, axis=1))),
    "weights": lambda x: np.sum(np.abs(M612 * x).sum(axis=1) ** 1.5),
    "softmax": lambda x: np.sum(softmax(of(x)) * M34),
    "pairs": lambda x: np.sum(np.abs(x[:, None] - x[None, :])) + np.sum((x[:3, np.newaxis] * W) ** 2),
    "indices": lambda x: of(x)[1, 2] * of(x)[-1].sum() + np.sum(of(x)[:, 1] ** 2) + np.sum(of(x)[1:, ::2] ** 3),
    "ellipses": lambda x: of(x)[..., 3][0] ** 2 + of(x)[0:2][1][0] * of(x)[1, ...][2],
    "where": lambda x: np.sum(np.where(of(x) > 0.2, of(x) ** 2, 0.1 * x[:4])),
    "any and all": lambda x: np.sum(np.where(np.any(of(x) > 1, axis=1), 2.0 * x[:3], x[:3] ** 2)) + np.sum(of(x) < 0),
    "stacks": lambda x: np.sum(np.stack([x[:3], V], axis=1)[2]) ** 2 + np.sum(np.stack([x[0], x[1]]) ** 2),
    "outer": lambda x: np.sum((np.outer(x[:3], x[3:7]) - M34) ** 2) + np.sum(np.outer(V, x[:2])[1]),
    "norms": lambda x: (
        np.linalg.norm(of(x)) + np.linalg.norm(of(x), "fro") + np.linalg.norm(x.reshape(4, 3), 1, axis=0)[1]
    ),
    "loop": lambda x: sum(np.dot(row, W) ** 2 for row in of(x)),
    "transposed": lambda x: (
        np.sum(of(x).T.reshape(3, 4) * M34) + np.transpose(of(x))[3, 1] + np.sum(np.ravel(of(x))[:5])
    ),
    "order": lambda x: M34[0] @ of(x).T @ V + np.sum(np.dot(M53, of(x))[1] * of(x).dot(W)[0]),
}


def w4(x):
    return W + x[:4]


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_those_of_numpy(name):
    is_of_the_function(MATRICES[name], 12, 1e-6)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x: of(x), TypeError, "A matrix where one number or a vector is needed .x.ravel.* cannot be traced"),
        (lambda x: np.dot(x, of(x)), ValueError, "a product must be of values of one length, got 12 and 3"),
        (lambda x: x.dot(of(x)), TypeError, "A matrix where one number or a vector is needed"),
        (lambda x: x.reshape(5, 2), TypeError, r"A reshape of 12 numbers to \(5, 2\) cannot be traced"),
        (lambda x: x.reshape(2, 2, 3), TypeError, r"A reshape of 12 numbers to \(2, 2, 3\) cannot be traced"),
        (lambda x: x.reshape(-1, -1), TypeError, "A reshape of 12 numbers to"),
        (lambda x: x.reshape(5, -1), TypeError, "A reshape of 12 numbers to"),
        (lambda x: of(x) + V, ValueError, r"operands must broadcast, got shapes \[\(3, 4\), \(3,\)\] .*test_programs"),
        (lambda x: of(x) + np.ones((2, 3, 4)), TypeError, r"An array of shape \(2, 3, 4\), which is no matrix, cannot"),
        (lambda x: of(x) @ V, ValueError, "a product must be of values of one length, got 4 and 3"),
        (lambda x: of(x) @ np.ones((4, 400)), TypeError, "A product of 1200 numbers, more than 1024, cannot be traced"),
        (lambda x: of(x)[3], IndexError, "index must be in -3 .. 2, got 3"),
        (lambda x: of(x)[0, 4], IndexError, "index must be in -4 .. 3, got 4"),
        (lambda x: of(x)[[0, 1]], TypeError, r"Indexing of a matrix with \[0, 1\] cannot be traced"),
        (lambda x: of(x)[3:], ValueError, "slices must not be empty"),
        (lambda x: of(x).sum(axis=2), TypeError, "A reduction of a matrix over axis 2 cannot be traced"),
        (lambda x: np.linalg.norm(of(x), 2), TypeError, "np.linalg.norm of a matrix with ord=2 cannot be traced"),
        (lambda x: np.linalg.det(of(x)), TypeError, "np.linalg.det of a matrix .write it out .* cannot be traced"),
        (lambda x: np.sum(of(x), where=of(x) > 0), TypeError, "np.sum of a matrix with where cannot be traced"),
        (lambda x: np.spacing(of(x)), TypeError, "np.spacing of a matrix .* cannot be traced"),
        (lambda x: np.add.reduce(of(x)), TypeError, "np.add.reduce of a matrix .* cannot be traced"),
        (lambda x: np.exp(of(x), where=x > 0), TypeError, "np.exp of a matrix with where cannot be traced"),
        (lambda x: of(x).var(), TypeError, "Attribute 'var' of a matrix cannot be traced"),
        (lambda x: 1.0 if of(x) else 0.0, TypeError, "A branch on a value .use np.where. cannot be traced"),
        (
            lambda x: np.stack([x, x[:2]]),
            ValueError,
            r"np.stack must be of values of one length, got \[\(12,\), \(2,\)\]",
        ),
        (lambda x: np.stack([x, x], axis=2), TypeError, "np.stack over axis 2 cannot be traced"),
    ],
)
def test_what_a_matrix_cannot_be_is_named(f, error, message):
    with pytest.raises(error, match=message):
        trace(f, dimension=12)


def test_a_value_of_several_numbers_has_no_gradient():
    with pytest.raises(ValueError, match="f must return one number, got shape"):
        differentiated(trace(lambda x: 2 * x, dimension=2))


WHOLE = canonical(differentiated(trace(FUNCTIONS["rosenbrock"], dimension=4)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_data_is_refused_or_another_program(data):
    """A change anywhere in what is stored: ValueError, or a program that was checked like any other."""
    stored = WHOLE.to_data()
    junk = st.one_of(
        st.none(), st.integers(-3, 99), st.text(max_size=3), st.just([]), st.floats(), st.just("0x1p+2000")
    )
    at = data.draw(st.sampled_from(["dimension", "parameters", "nodes", "outputs"]))
    if at == "nodes":
        node = stored["nodes"][data.draw(st.integers(0, len(stored["nodes"]) - 1))]
        node[data.draw(st.integers(0, 3))] = data.draw(junk)
    else:
        stored[at] = data.draw(junk)
    with contextlib.suppress(ValueError):
        assert Program.from_data(stored).to_data() is not None


def test_programs_are_checked():
    point = Node("point", (), None, (2,))
    with pytest.raises(ValueError, match="operands of node 1 must be an integer"):
        Program(2, (), (point, Node("negative", (1,), None, (2,))), (("value", 1),))
    with pytest.raises(ValueError, match="op must be one of"):
        Program(2, (), (point, Node("evil", (0,), None, (2,))), (("value", 1),))
    with pytest.raises(ValueError, match="node 1 must have shape"):
        Program(2, (), (point, Node("negative", (0,), None, ())), (("value", 1),))
    assert pickle.loads(pickle.dumps(WHOLE)) == WHOLE


# --- what the compiled core takes -------------------------------------------------------------------------------------

INT32 = st.integers(-5, 40) | st.sampled_from([-(2**31), 2**31 - 1, 2**20])


@settings(max_examples=400, deadline=None)
@given(
    code=st.lists(st.lists(INT32, min_size=15, max_size=15), min_size=1, max_size=4),
    result=st.lists(INT32, min_size=3, max_size=3),
    registers=st.integers(0, 60),
    draws=st.lists(st.lists(st.integers(-1, 6), min_size=4, max_size=4), max_size=2),
    more=st.sampled_from([[], ["start"], ["projection"], ["start", "projection"]]),
    method=st.fixed_dictionaries(
        {"state": st.integers(-1, 6), "step_numbers": st.integers(-1, 5), "replaces": st.booleans()}
    ),
    parts=st.lists(st.lists(st.integers(-1, 9), min_size=5, max_size=5), max_size=2),
)
def test_the_core_runs_no_code_that_leaves_its_registers(code, result, registers, draws, more, method, parts):
    """Random instructions are refused, or they run: never anything else (sanitizers look on in `make sanitize`)."""
    arrays = {name: np.array(code, np.int64) for name in ("prologue", "gradient", "value", *more)}
    try:
        program = _core.Program(
            dimension=2,
            registers=registers,
            constants=np.array([1.0, -2.0]),
            parameter_count=1,
            numbers=np.arange(12.0),
            draws=np.array(draws, np.int64).reshape(-1, 4),
            start_draws=np.array(draws, np.int64).reshape(-1, 4),
            gradient_result=result,
            value_result=result,
            state_results=np.array(parts, np.int64).reshape(-1, 5),
            state_start_results=np.array(parts, np.int64).reshape(-1, 5),
            state_start=np.array(code, np.int64),
            **method,
            **{f"{name}_result": result for name in more},
            **arrays,
        )
    except ValueError:
        return
    ends = np.full((1, 2), np.inf)
    problems = _core.Problems(
        program=program, projection=_core.ProjectionKind.none, parameters=np.ones((1, 1)), lower=-ends, upper=ends,
        radius=np.array([np.inf]), x0=np.ones((1, 2)), minimum=np.zeros(1),
    )  # fmt: skip
    from core_cases import COSINE, run

    for isa in _core.supported_isas():
        run(problems, [COSINE], horizon=5, replicates=3, isa=isa)
