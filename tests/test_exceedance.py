"""Counts of exceedances: those of the samples, exact where they merge, quantiles within their resolution."""

import pickle
import warnings
from contextlib import nullcontext

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from bit_cases import on
from core_cases import DTYPES
from kept_cases import ABSOLUTE, CUSTOM, run

DATA = problems.LeastSquares(np.eye(3), [1.0, 2.0, 3.0])


def counted(samples, thresholds):
    finite = np.where(np.isfinite(samples), samples, np.inf).astype(np.float64)
    return np.stack([np.sum(finite >= t, axis=-1) for t in thresholds], axis=-1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [ABSOLUTE, CUSTOM], ids=["built-in", "custom"])
def test_exceedance_is_that_of_the_samples(problem, dtype):
    call = {"dtype": dtype, "record_at": [1, 40], "replicates": 1500, "threads": 2}
    result = run(problem, keep_samples=True, keep_exceedance=True, **call)
    assert result.exceedance.shape == (2, 2, 2, 2049)
    assert np.array_equal(result.exceedance, counted(result.samples, result.thresholds))
    assert np.array_equal(result.samples, run(problem, keep_samples=True, **call).samples)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [ABSOLUTE, CUSTOM, DATA], ids=["built-in", "custom", "on data"])
def test_a_gpu_counts_the_same(device, problem, dtype):
    """Wherever launches are cut; of parts of two blocks of replicates."""
    call = {"dtype": dtype, "horizon": 9, "record_at": [0, 2, 9], "first_replicate": 1020, "replicates": 30}
    call |= {"keep_exceedance": True, "metric": "loss"} if problem is DATA else {"keep_exceedance": True}
    expected = run(problem, **call)
    for launches in ({}, {"steps_per_launch": 1}, {"steps_per_launch": 4, "rows_per_launch": 1}):
        found = run(problem, device, launches, **call)
        assert np.array_equal(found.exceedance, expected.exceedance)
        assert np.array_equal(found.mean, expected.mean)


def test_counts_that_take_turns_on_a_gpu(small_device):
    """Replicates in groups and configs in parts, whose counts are added up; more cells than fit beside each other."""
    call = {"replicates": 3000, "horizon": 2, "record_at": [1, 2], "keep_exceedance": True}
    expected = run(ABSOLUTE, **call).exceedance
    for memory in (2**32, 2**20, 2**18):
        assert np.array_equal(run(ABSOLUTE, small_device(memory), **call).exceedance, expected)
    several = small_device(2**20), small_device(2**18)
    assert np.array_equal(run(ABSOLUTE, several, **call).exceedance, expected)
    with pytest.raises(
        MemoryError, match=r"the values of 1024 replicates at 2 records, and what is kept of them, take"
    ):
        run(ABSOLUTE, small_device(2**14), **call)


def test_exceedance_of_any_number(device):
    """Thresholds themselves, their neighbours, and what lies outside or is not a number."""
    thresholds = run(ABSOLUTE, replicates=1, keep_exceedance=True).thresholds
    exact = [2.0**e * (1 + m / 16) for e in range(-64, 64) for m in range(16)] + [2.0**64]
    assert thresholds.tolist() == exact
    places = np.random.default_rng(0).permutation(2049)[:60]
    edges = np.concatenate(
        [thresholds[places], np.nextafter(thresholds[places], 0), np.nextafter(thresholds, np.inf)[:3]]
    )
    values = [*edges, 0.0, -1.0, -1e300, 1e300, 5e-324, thresholds[0], thresholds[-1]]
    call = {"schedule": schedules.Constant(), "base_lr": 0.0, "horizon": 1, "replicates": 3, "dtype": "float64"}
    made = [problems.Custom(lambda x: x[0], x0=v) for v in values]
    call |= {"metric": "value", "keep_exceedance": True, "backend": "cpu"}
    expected = 3 * (np.array(values)[:, None] >= thresholds)
    # The first is 0 / 0, the others are not finite either.
    ends = [problems.Custom(lambda x, a: a / x[0], x0=0.0, parameters={"a": a}) for a in (0.0, 1.0, -1.0)]
    for where in (nullcontext(), on(device)):
        with where, warnings.catch_warnings():
            assert np.array_equal(simulate(made, **call).exceedance, expected)
            warnings.simplefilter("ignore", RuntimeWarning)
            result = simulate(ends, **call)
        assert np.array_equal(result.exceedance, np.full((3, 2049), 3))
        assert result.quantile(0.5).tolist() == [np.inf] * 3


def test_exceedance_merges_exactly():
    whole = run(ABSOLUTE, keep_exceedance=True, replicates=3000, threads=1)
    parts = [run(ABSOLUTE, keep_exceedance=True, first_replicate=a, replicates=n) for a, n in ((0, 17), (17, 2983))]
    assert np.array_equal((parts[1] + parts[0]).exceedance, whole.exceedance)
    assert np.array_equal(pickle.loads(pickle.dumps(whole)).exceedance, whole.exceedance)
    assert (parts[0] + run(ABSOLUTE, first_replicate=17)).exceedance is None
    both = run(ABSOLUTE, keep_exceedance=True, replicates=3000, iterate=["average", "last"])
    assert np.array_equal(both.exceedance[1], whole.exceedance)
    table = pytest.importorskip("xarray") and whole.to_xarray()
    assert np.array_equal(table["exceedance"].sel(threshold=0.5), whole.exceedance[..., 16 * 63])


def test_quantiles_have_their_resolution():
    call = {"replicates": 5000, "record_at": [3, 40]}
    q = np.array([[0.0, 0.1, 0.5], [0.9, 0.999, 1.0]])
    coarse = run(ABSOLUTE, keep_exceedance=True, **call).quantile(q)
    samples = run(ABSOLUTE, keep_samples=True, **call).samples.astype(np.float64)
    exact = np.quantile(samples, q, axis=-1, method="lower")
    assert coarse.shape == exact.shape == (2, 3, 2, 2, 2)
    assert np.all(np.abs(coarse - exact) <= exact / 32)
    assert not np.array_equal(coarse, exact)


def test_quantiles_of_what_has_no_bin():
    made = [problems.Custom(lambda x: x[0], x0=v) for v in (-1.0, 1e-30, 1e30)]
    result = simulate(
        made, schedules.Constant(), base_lr=0.0, horizon=1, replicates=3, metric="value", keep_exceedance=True
    )
    assert np.array_equal(result.quantile(0.5), [np.nan, 0.0, np.inf], equal_nan=True)


def test_where_it_can_be_had():
    assert run(DATA, keep_exceedance=True, replicates=5, metric="loss").exceedance.max() == 5
    with pytest.raises(ValueError, match="keep_exceedance must be True or False, got 1"):
        run(ABSOLUTE, keep_exceedance=1)
    with pytest.raises(ValueError, match="keep_exceedance must fit in memory"):
        run(ABSOLUTE, base_lr=np.full(10**6, 0.1), record_at=np.arange(41), keep_exceedance=True)
    with pytest.raises(ValueError, match="samples must be kept for quantiles"):
        run(ABSOLUTE).quantile(0.5)
