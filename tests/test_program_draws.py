"""Draws of programs: that they have the distributions that their names say, from plain uniform numbers."""

import numpy as np
import pytest

from anneal_sgd.programs import evaluate, parse, trace

special, stats = pytest.importorskip("scipy.special"), pytest.importorskip("scipy.stats")

N = 200_000
KOLMOGOROV = 2.2  # sqrt(N) times the largest distance is above that with probability 1.3e-4
Z = 4.0

BASE = {
    "gaussian": lambda rng, size: rng.standard_normal(size),
    "rademacher": lambda rng, size: rng.choice([-1.0, 1.0], size),
    "uniform": lambda rng, size: rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), size),
    "unit": lambda rng, size: 1.0 - rng.random(size),
}


def drawn(f, dtype, dimension=1, seed=0):
    """N values of a function of `draw`, of shape (dimension, N)."""
    program = trace(lambda x, draw: f(draw), dimension=dimension, draws=True)
    rng = np.random.default_rng(seed)
    draws = {
        place: BASE[kind](rng, (*node.shape, N))
        for node in program.nodes
        if node.op == "draw"
        for place, kind in [node.attribute]
    }
    return evaluate(program, np.zeros((dimension, N), dtype), {}, draws)["value"]


DISTRIBUTIONS = {
    "gaussian": (lambda draw: draw.gaussian(), stats.norm.cdf),
    "uniform": (lambda draw: draw.uniform(), stats.uniform(-np.sqrt(3.0), 2.0 * np.sqrt(3.0)).cdf),
    "exponential": (lambda draw: draw.exponential(), stats.expon.cdf),
    "laplace": (lambda draw: draw.laplace(), stats.laplace.cdf),
    "student_t(0.7)": (lambda draw: draw.student_t(0.7), stats.t(0.7).cdf),
    "student_t(3)": (lambda draw: draw.student_t(3), stats.t(3).cdf),
    "student_t(24)": (lambda draw: draw.student_t(24.0), stats.t(24).cdf),
    "student_t(1e6)": (lambda draw: draw.student_t(1e6), stats.norm.cdf),
    "weibull(0.7)": (lambda draw: draw.weibull(0.7), stats.weibull_min(0.7).cdf),
    "weibull(3)": (lambda draw: draw.weibull(3.0), stats.weibull_min(3).cdf),
    "pareto(1.5)": (lambda draw: draw.pareto(1.5), stats.pareto(1.5).cdf),
    "stable(1)": (lambda draw: draw.stable(1.0), stats.cauchy.cdf),
    "stable(2)": (lambda draw: draw.stable(2.0), stats.norm(0, np.sqrt(2.0)).cdf),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name, dtype):
    f, cdf = DISTRIBUTIONS[name]
    values = np.sort(drawn(f, dtype)[0].astype(np.float64))
    assert np.isfinite(values).all()
    below = cdf(values)
    ranks = np.arange(N) / N
    distance = max(np.max(below - ranks), np.max(ranks + 1 / N - below))
    assert np.sqrt(N) * distance < KOLMOGOROV


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.0, 1.2, 1.5, 1.9, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stable_has_its_characteristic_function(alpha, dtype):
    """E cos(t X) = exp(-|t|^alpha), E sin(t X) = 0, of which the variances are those of a bounded variable."""
    values = drawn(lambda draw: draw.stable(alpha), dtype)[0].astype(np.float64)
    for t in (0.2, 0.5, 1.0, 2.0):
        for sample, mean in ((np.cos(t * values), np.exp(-(t**alpha))), (np.sin(t * values), 0.0)):
            assert abs(sample.mean() - mean) < Z * sample.std() / np.sqrt(N)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5, 1.9])
def test_stable_has_its_tail(alpha):
    """x^alpha P(|X| > x) tends to 2 sin(pi alpha / 2) Gamma(alpha) / pi (Nolan, Univariate Stable Distributions)."""
    limit = 2.0 * np.sin(np.pi * alpha / 2.0) * special.gamma(alpha) / np.pi
    x = (limit / 1e-3) ** (1.0 / alpha)  # passed with a probability of about 1e-3
    probability = np.mean(abs(drawn(lambda draw: draw.stable(alpha), np.float32)) > x)
    bias = 0.15 * 1e-3 if alpha != 1.0 else 0.0  # what is left of the expansion in x^-alpha
    assert abs(probability - 1e-3) < bias + Z * np.sqrt(1e-3 / N)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 1.0, 1.3, 1.9, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stable_is_finite_at_the_ends_of_the_uniform_numbers(alpha, dtype):
    """At the least and the largest numbers that float32 has there, one of which comes up in 2^25 draws."""
    program = parse(f"draw.stable({alpha})", dimension=1, draws=True)
    ends = np.array([2.0**-33, 2.0**-25, 0.5, 1.0 - 2.0**-24, 1.0], dtype)
    pairs = [grid.reshape(1, -1) for grid in np.meshgrid(ends, ends)]
    units = iter(pairs)
    draws = {
        node.attribute[0]: next(units) if node.attribute[1] == "unit" else np.ones((1, 25))
        for node in program.nodes
        if node.op == "draw"
    }
    values = evaluate(program, np.zeros((1, 25), dtype), {}, draws)["value"]
    assert np.isfinite(values).all()


def test_each_call_is_a_place_of_its_own():
    program = trace(
        lambda x, draw: draw.gaussian() + draw.rademacher(size=()) * draw.laplace(), dimension=3, draws=True
    )
    found = [(*node.attribute, node.shape) for node in program.nodes if node.op == "draw"]
    assert found == [
        (0, "gaussian", (3,)),
        (1, "rademacher", ()),
        (2, "rademacher", (3,)),
        (3, "unit", (3,)),
    ]


def test_one_draw_for_all_coordinates():
    values = drawn(lambda draw: draw.exponential(size=()), np.float64, dimension=3)
    assert values.shape == (3, N)
    assert (values == values[0]).all()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda draw: draw.student_t(0.0), "nu must be one number, finite and > 0, got 0.0"),
        (lambda draw: draw.stable(2.1), r"alpha must be one number, in \(0, 2\], got 2.1"),
        (lambda draw: draw.pareto(-1.0), "alpha must be one number, finite and > 0, got -1.0"),
        (lambda draw: draw.weibull(np.inf), "shape must be one number, finite and > 0, got inf"),
    ],
)
def test_parameters_of_draws_are_checked(f, message):
    with pytest.raises(ValueError, match=message):
        trace(lambda x, draw: f(draw), dimension=1, draws=True)


def test_the_size_of_a_draw_is_checked():
    with pytest.raises(TypeError, match=r"size=3 of a draw, which must be None or \(\), cannot be traced"):
        trace(lambda x, draw: draw.gaussian(size=3), dimension=3, draws=True)
