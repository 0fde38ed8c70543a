"""Starts that are drawn and projections of one's own: bits of the reference and of built-in sets, laws, geometry."""

import copy
import pickle

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.campaigns import Campaign
from anneal_sgd.campaigns._spec import read_spec
from anneal_sgd.programs import Program
from bit_cases import on
from environments import need
from test_custom import DTYPES, PLACES, compared

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

NORMAL = np.array([3.0, -1.0, 2.0])  # of a half-space


def half_space(x, b):
    return x - (np.maximum(0.0, np.dot(NORMAL, x) - b) / np.dot(NORMAL, NORMAL)) * NORMAL


def annulus(x, b):
    norm = np.sqrt(np.dot(x, x))
    return x * (np.clip(norm, 0.5 * b, b) / norm)


STARTS = {
    "fixed": np.array([0.1, 0.2, 0.0]),
    "gaussian": lambda draw, a: a * draw.gaussian(),
    "several": lambda draw: draw.uniform() * draw.student_t(3.0, size=()) + draw.rademacher() + np.arange(3.0),
    "backwards": lambda draw: draw.laplace()[::-1],
    "one for all": lambda draw, a: a * draw.exponential(size=()),
    "not drawn": lambda draw, a: np.array([0.25, -0.5, 0.75]) * a,
}
SETS = {
    "none": None,
    "box": ("box", -0.5, 0.75),
    "ball": ("ball", 0.6),
    "half-space": half_space,
    "annulus": annulus,
    "backwards": lambda x: x[::-1],
    "identity": lambda x: x,
    "constant": lambda x, a: a * np.ones(3),
    "mean": lambda x: np.mean(x),
}


def made(start, projection, **changes):
    return problems.Custom(
        lambda x, a, b: a * np.sum(np.abs(x - 1.0) ** 1.5) + b * x[0],
        x0=STARTS[start],
        dimension=3,
        projection=SETS[projection],
        noise=lambda x, draw: 0.3 * draw.gaussian() * draw.exponential(size=()),
        parameters={"a": 0.8, "b": 1.5} | changes,
    )


CASES = [*((start, "none") for start in STARTS if start != "fixed")]
CASES += [("gaussian", projection) for projection in SETS if projection != "none"]
CASES += [("fixed", "half-space"), ("fixed", "identity"), ("one for all", "ball")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", PLACES)
def test_bits_are_those_of_the_reference(place, dtype):
    for i, (start, projection) in enumerate(CASES):
        core, slow = compared(made(start, projection), dtype=dtype, place=place, iterate=["last", "average"][i % 2])
        assert np.array_equal(core, slow, equal_nan=True), (start, projection)
        assert np.isfinite(core).all()


def samples(problem, **call):
    call = {"base_lr": [0.3, 0.03], "horizon": 40, "replicates": 70, "metric": "value", "seed": 3} | call
    return simulate(problem, schedules.Linear(), keep_samples=True, **call).samples


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("built_in", "own"),
    [
        (("box", -0.5, 0.75), lambda x: np.clip(x, -0.5, 0.75)),
        (("box", [-0.5, -1, 0.1], [0.75, 2, 0.3]), "minimum([0.75, 2, 0.3], maximum([-0.5, -1, 0.1], x))"),
        (("ball", 0.6), lambda x: np.where((q := np.dot(x, x)) > 0.6**2, x * (0.6 / np.sqrt(q)), x)),
    ],
)
@pytest.mark.parametrize("start", ["gaussian", "fixed"])
def test_box_and_ball_as_own_projections_have_the_built_in_bits(built_in, own, start, dtype):
    x0 = STARTS[start] if start != "fixed" else [0.1, 0.2, 0.15]
    pair = [
        problems.Custom(
            lambda x, a: a * np.sum(x * x), x0=x0, dimension=3, parameters={"a": 2.0}, noise="gaussian",
            noise_std=1.0, projection=projection,
        )
        for projection in (built_in, own)
    ]  # fmt: skip
    for iterate in ("last", "tail_average"):
        a, b = (samples(p, dtype=dtype, record_at=[0, 1, 13, 40], iterate=iterate) for p in pair)
        assert np.array_equal(a, b)
    assert np.ptp(a) > 0.1


def test_a_half_space_follows_numpy():
    """Without noise, step by step; in the end the point of the half-space that is nearest to the minimiser."""
    target, b, horizon = np.array([1.0, 1.0, 2.0]), 0.5, 300
    problem = problems.Custom(
        lambda x, b: 0.5 * np.sum((x - target) ** 2) + 0.0 * b,
        x0=np.zeros(3), parameters={"b": b}, projection=half_space, minimum=0.0,
    )  # fmt: skip
    result = simulate(
        problem, schedules.Linear(), base_lr=0.1, horizon=horizon, replicates=1, dtype="float64", keep_iterates=True
    )
    x = np.zeros(3)
    for t in range(horizon):
        x = half_space(x - 0.1 * (1 - t / horizon) * (x - target), b)
    assert result.iterates[0] == pytest.approx(x, rel=1e-12, abs=1e-14)
    assert result.iterates[0] == pytest.approx(half_space(target, b), rel=1e-6)


def test_iterates_stay_in_an_annulus():
    result = simulate(
        made("gaussian", "annulus"), schedules.Constant(), base_lr=0.5, horizon=30, replicates=500, metric="value",
        keep_iterates=True, dtype="float64",
    )  # fmt: skip
    norms = np.linalg.norm(result.iterates, axis=-1)
    assert (norms > 0.75 * (1 - 1e-12)).all()
    assert (norms < 1.5 * (1 + 1e-12)).all()
    assert np.ptp(norms) > 0.1


# --- starts -----------------------------------------------------------------------------------------------------------


LAWS = {
    "gaussian": (lambda draw: draw.gaussian(), lambda s: s.norm()),
    "uniform": (lambda draw: draw.uniform(), lambda s: s.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
    "exponential": (lambda draw: draw.exponential(), lambda s: s.expon()),
    "student": (lambda draw: 2.0 + 0.5 * draw.student_t(4.0), lambda s: s.t(4.0, loc=2.0, scale=0.5)),
}


@pytest.mark.parametrize("law", LAWS)
def test_starts_have_the_law_that_was_asked_for(law):
    """Kolmogorov-Smirnov at every coordinate, and no correlation between them."""
    need("scipy")
    from scipy import stats

    start, distribution = LAWS[law]
    problem = problems.Custom(lambda x: np.sum(x**2), x0=start, dimension=3)
    result = simulate(
        problem, schedules.Constant(), base_lr=0.1, horizon=1, record_at=[0], replicates=2**15, metric="value",
        keep_iterates=True, seed=11,
    )  # fmt: skip
    x = result.iterates.reshape(-1, 3).astype(np.float64)
    for coordinate in x.T:
        assert stats.kstest(coordinate, distribution(stats).cdf).pvalue > 1e-3
    apart = np.corrcoef(stats.rankdata(x, axis=0), rowvar=False)[np.triu_indices(3, 1)]
    assert np.abs(apart).max() < 4 / np.sqrt(len(x))


def test_an_exact_moment_of_drawn_starts():
    """x_T = c^T x_0 - lr sum c^(T-1-t) z_t, where x_0 and the z_t are independent."""
    curvature, lr, horizon, scale = 0.5, 0.4, 3, 2.0
    problem = problems.Custom(
        lambda x: 0.5 * curvature * np.sum(x**2),
        x0=lambda draw: scale * draw.gaussian(), dimension=4, minimum=0.0, noise=lambda x, draw: draw.gaussian(),
    )  # fmt: skip
    result = simulate(
        problem, schedules.Constant(), base_lr=lr, horizon=horizon, record_at=[0, horizon], replicates=2**16, seed=5
    )
    c = 1 - lr * curvature
    variance = np.array([scale**2, c ** (2 * horizon) * scale**2 + lr**2 * sum(c ** (2 * t) for t in range(horizon))])
    exact = 0.5 * curvature * 4 * variance
    assert np.abs((result.mean - exact) / result.stderr).max() < 4


def test_a_start_moves_no_noise():
    """A start that draws and takes nothing of it is the point that it gives."""
    shared = {"noise": lambda x, draw: draw.gaussian() + draw.laplace(), "parameters": {"a": 0.5}}

    def f(x, a):
        return a * np.sum(np.abs(x))

    fixed = problems.Custom(f, x0=[0.5, -0.25], **shared)
    for start in (
        lambda draw: np.array([0.5, -0.25]),
        lambda draw, a: np.stack([a, -a * a]) + 0 * draw.gaussian() * draw.rademacher(size=()),
    ):
        drawn = problems.Custom(f, x0=start, dimension=2, **shared)
        assert np.array_equal(samples(drawn), samples(fixed))


def test_every_replicate_has_a_start_of_its_own_that_configs_share():
    problem = [made("gaussian", "none"), made("gaussian", "none", a=1.6)]
    first = {"record_at": [0], "metric": {"x": lambda x: x[0]}, "replicates": 2000}
    x = samples(problem, **first).reshape(2, 2, 2000)
    assert np.array_equal(x[0, 0], x[0, 1])  # learning rates
    assert np.array_equal(np.float32(1.6) * (x[0, 0] / np.float32(0.8)), x[1, 0]) or np.allclose(2 * x[0, 0], x[1, 0])
    assert len(np.unique(x[0, 0])) > 1990
    apart = samples(problem, common_random_numbers=False, **first).reshape(4, 2000)
    assert np.abs(np.corrcoef(apart)[np.triu_indices(4, 1)]).max() < 4 / np.sqrt(2000)
    pieces = [samples(problem, **first | {"first_replicate": a, "replicates": n}) for a, n in ((0, 1025), (1025, 975))]
    assert np.array_equal(np.concatenate([p.reshape(2, 2, -1) for p in pieces], axis=-1), x)


def test_many_coordinates_in_memory_that_was_foreseen():
    problem = problems.Custom(
        lambda x: 0.5 * np.sum(x**2), x0=lambda draw: draw.gaussian() + draw.uniform(), dimension=10_000, minimum=0.0
    )
    result = simulate(problem, schedules.Constant(), base_lr=0.5, horizon=1, record_at=[0, 1], replicates=100, seed=2)
    exact = np.array([10_000.0, 2_500.0])
    assert np.abs(result.mean - exact).max() < 6 * exact[0] * np.sqrt(1.6 / 10_000 / 100)


# --- all around -------------------------------------------------------------------------------------------------------


def test_equality_pickles_and_texts():
    one = made("gaussian", "half-space")
    assert one == made("gaussian", "half-space")
    assert len({one, made("fixed", "half-space"), made("gaussian", "none"), made("several", "half-space")}) == 4
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert again == one
        assert np.array_equal(samples(again), samples(one))
    assert isinstance(one.x0, Program)
    assert str(one.x0).startswith("v0 = parameter 'a'\nv1 = draw (251, 'gaussian') (3,)")
    assert isinstance(one.projection, Program)
    assert "maximum" in str(one.projection)
    shared = {"dimension": 2, "parameters": {"a": 0.5}}
    function = problems.Custom(
        lambda x, a: a * np.sum(x**2),
        x0=lambda draw, a: a * draw.student_t(3.0),
        projection=lambda x, a: np.where(x > a, a, x),
        **shared,
    )
    text = problems.Custom("a * sum(x**2)", x0="a * draw.student_t(3.0)", projection="where(x > a, a, x)", **shared)
    assert text == function
    coordinates = simulate(
        [made("gaussian", "annulus", b=b) for b in (1.0, 2.0)],
        schedules.Linear(), base_lr=0.1, horizon=3, replicates=3, metric="value",
    ).coords  # fmt: skip
    assert coordinates["b"].tolist() == [1.0, 2.0]
    assert "x0" not in coordinates


def test_files_have_them(tmp_path):
    (tmp_path / "c.toml").write_text(
        """
        base_lr = [0.1, 0.2]
        horizon = 5
        replicates = 100
        schedule = "linear"
        metric = "value"
        [problem]
        kind = "custom"
        objective = "sum(abs(x) ** 1.5)"
        dimension = 3
        x0 = "s * draw.gaussian()"
        s = { values = [0.5, 2.0] }
        projection = "x / maximum(1, norm(x))"
        """
    )
    stored = read_spec(tmp_path / "c.toml").campaign.run(tmp_path / "c.db")
    direct = simulate(
        [
            problems.Custom(
                lambda x: np.sum(np.abs(x) ** 1.5),
                x0=lambda draw, s: s * draw.gaussian(), dimension=3, parameters={"s": s},
                projection=lambda x: x / np.maximum(1, np.linalg.norm(x)),
            )
            for s in (0.5, 2.0)
        ],
        schedules.Linear(), base_lr=[0.1, 0.2], horizon=5, replicates=100, metric="value",
    )  # fmt: skip
    again = Campaign.load(tmp_path / "c.db")
    assert np.array_equal(again.mean, stored.mean)
    assert stored.mean.size == direct.mean.size
    assert any("draw (251, 'gaussian')" in program for program in again.description.programs)


def many(draw):
    return sum(draw.gaussian() for _ in range(130))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x0": lambda draw: np.ones(2)}, ValueError, r"x0 must return one number or 3, got shape \(2,\)"),
        ({"x0": lambda draw, c: c}, ValueError, "parameters must have 'c', which the function takes"),
        ({"x0": lambda: 1.0}, TypeError, "must be a function of draw: too many positional arguments"),
        ({"x0": "x + 1"}, ValueError, "x0 must have no name 'x', at column 1"),
        ({"x0": lambda draw: draw.gaussian() + np.nan}, ValueError, "constants must be finite"),
        ({"x0": many, "noise": lambda x, draw: many(draw)}, ValueError, "of noise and start together"),
        ({"x0": lambda draw: many(draw) + many(draw)}, ValueError, "draws must be of at most 252 places"),
        ({"projection": lambda x: x[:2]}, ValueError, r"projection must return one number or 3, got shape \(2,\)"),
        ({"projection": "draw.gaussian()"}, ValueError, "projection must have no draws"),
        (
            {"projection": lambda x: x + 1},
            ValueError,
            r"x0 must be a point that the projection leaves .* \[1.1, 1.2, 1",
        ),
        ({"projection": "clip(x, -1, 1)", "minimum": "solve"}, ValueError, "minimum must be a number or None where"),
        ({"oracle": lambda x, draw: np.ones(2)}, ValueError, r"oracle must return one number or 3, got shape"),
        ({"dimension": 2.5}, ValueError, "dimension must be"),
    ],
)
def test_bad_arguments(changes, error, message):
    def simulated(**arguments):
        with np.errstate(all="ignore"):
            samples(problems.Custom(lambda x: np.sum(x**2), **arguments))

    with pytest.raises(error, match=message):
        simulated(**{"x0": [0.1, 0.2, 0.0], "dimension": 3} | changes)


def test_a_minimum_is_looked_for_from_the_middle():
    problem = problems.Custom(
        lambda x: np.sum((x - 2.0) ** 2), x0=lambda draw: 1.5 + draw.uniform() / 9, dimension=2,
        projection=("box", 1.0, 1.9), minimum="solve",
    )  # fmt: skip
    assert problem.minimum == pytest.approx(0.02)


@pytest.mark.parametrize("start", ["several", "one for all"])
def test_the_emulated_device_takes_them_in_launches(start, device):
    for projection in ("half-space", "box", "ball"):
        problem = made(start, projection)
        call = {"record_at": [0, 1, 40], "iterate": "average", "common_random_numbers": False, "first_replicate": 1021}
        expected = samples(problem, **call)
        with on(device, steps_per_launch=3):
            assert np.array_equal(samples(problem, **call), expected)
