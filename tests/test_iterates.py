"""The points where trajectories ended: those that are recorded, on every way through the engine."""

import pickle

import numpy as np
import pytest

from anneal_sgd import _core, problems, schedules, simulate
from core_cases import DTYPES, ITERATES
from kept_cases import ABSOLUTE, CUSTOM, run


def custom_quadratic(c, **options):
    return problems.Custom(lambda x: np.sum(c * x * x) / 2, x0=np.ones(c.size), minimum=0.0, **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _core.supported_isas())
def test_iterates_are_the_recorded_points(isa, dtype):
    coordinates = {f"x{i}": (lambda x, i=i: x[i]) for i in range(3)}
    for iterate in ITERATES:
        call = {"isa": isa, "dtype": dtype, "iterate": iterate, "record_at": [0, 2, 39], "keep_samples": True}
        result = run(CUSTOM, metric=coordinates, keep_iterates=True, **call)
        assert result.iterates.shape == (2, 2, 70, 3)
        assert result.iterates.dtype == dtype
        assert np.array_equal(np.moveaxis(result.samples[:, :, 2], 2, -1), result.iterates)
        builtin = run(ABSOLUTE, keep_iterates=True, **call)
        assert np.array_equal(builtin.iterates, result.iterates)
        assert np.array_equal(builtin.samples, run(ABSOLUTE, **call).samples)


RNG = np.random.default_rng(0)
LEAST_SQUARES = problems.LeastSquares(RNG.standard_normal((9, 19)), np.arange(9.0), intercept=True, batch_size=2)
NETWORK = problems.MLP(RNG.standard_normal((9, 5)), np.arange(9) % 3, hidden=(18, 3), intercept=True, batch_size=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "problem", [ABSOLUTE, CUSTOM, LEAST_SQUARES, NETWORK], ids=["built-in", "custom", "linear model", "network"]
)
def test_a_gpu_keeps_the_same(device, problem, dtype):
    """Wherever launches are cut; that of the last record is the last, or one before."""
    for iterate in ITERATES:
        call = {
            "dtype": dtype,
            "iterate": iterate,
            "record_at": [0, 2, 39],
            "first_replicate": 5,
            "keep_iterates": True,
        }
        expected = run(problem, **call)
        for launches in ({}, {"steps_per_launch": 1}, {"steps_per_launch": 13}):
            found = run(problem, device, launches, **call)
            assert np.array_equal(found.iterates, expected.iterates)
            assert np.array_equal(found.mean, expected.mean)


def least_squares(c, *, projection, **_noise):
    return problems.LeastSquares(np.diag(c), c, projection=projection)


@pytest.mark.parametrize("problem", [problems.Quadratic, custom_quadratic, least_squares])
@pytest.mark.parametrize("projection", [None, ("ball", 9.0)])
def test_points_that_take_turns_on_a_gpu(small_device, problem, projection):
    """More coordinates than a team has threads; replicates in groups and chunks, configs in parts."""
    made = problem(np.linspace(0.5, 1.0, 70), noise="gaussian", noise_std=0.1, projection=projection)
    call = {"replicates": 1100, "first_replicate": 1000, "horizon": 2, "keep_iterates": True, "keep_samples": True}
    expected = run(made, **call)
    for where in (*map(small_device, (2**32, 2**23, 2**21)), (small_device(2**23), small_device(2**32))):
        found = run(made, where, **call)
        assert np.array_equal(found.iterates, expected.iterates)
        assert np.array_equal(found.samples, expected.samples)


def test_iterates_of_several_passes_and_of_many_threads():
    both = run(ABSOLUTE, iterate=["last", "average"], keep_iterates=True, replicates=3000, threads=2)
    assert both.iterates.shape == (2, 2, 2, 3000, 3)
    for i, iterate in enumerate(("last", "average")):
        alone = run(ABSOLUTE, iterate=iterate, keep_iterates=True, replicates=3000, threads=1)
        assert np.array_equal(both.iterates[i], alone.iterates)


def test_coordinates_that_take_turns():
    """So many that a task takes them in groups: x' = (1 - lr c) x without noise."""
    c = np.linspace(0.5, 1.0, 300_000)
    result = simulate(
        problems.Quadratic(c), schedules.Constant(), base_lr=0.5, horizon=2, replicates=40, record_at=[1, 2],
        keep_iterates=True, backend="cpu", dtype="float64",
    )  # fmt: skip
    np.testing.assert_allclose(result.iterates, np.broadcast_to((1 - 0.5 * c) ** 2, (40, 300_000)), rtol=1e-14)


def test_iterates_merge_and_are_pickled():
    whole = run(CUSTOM, keep_iterates=True)
    parts = [run(CUSTOM, keep_iterates=True, first_replicate=a, replicates=n) for a, n in ((0, 30), (30, 40))]
    assert np.array_equal((parts[1] + parts[0]).iterates, whole.iterates)
    assert (whole + run(CUSTOM, first_replicate=70)).iterates is None
    again = pickle.loads(pickle.dumps(whole))
    assert np.array_equal(again.iterates, whole.iterates)
    assert not again.iterates.flags.writeable
    table = pytest.importorskip("xarray") and whole.to_xarray()
    assert table["iterates"].dims == ("schedule", "base_lr", "replicate", "coordinate")


def test_where_they_can_be_had():
    with pytest.raises(ValueError, match="keep_iterates must be True or False, got 1"):
        run(ABSOLUTE, keep_iterates=1)
    with pytest.raises(ValueError, match=r"keep_iterates must fit in memory: .* take 9600000000000 bytes in float32"):
        simulate(
            problems.AbsoluteValue(np.ones(600)), schedules.Linear(), base_lr=0.1, horizon=2, replicates=4e9,
            keep_iterates=True, backend="cpu",
        )  # fmt: skip
