"""Results: named dimensions, statistics against the kept samples, merging, pickling, quantiles, xarray."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
import sys
from fractions import Fraction

import numpy as np
import pytest

from anneal_sgd import _core, problems, reference, schedules, simulate
from core_cases import assert_equal, both, fields

STATISTICS = ("mean", "stderr", "std", "min", "max", "count", "diverged")
BOX = ("box", -1.0, 1.0)


DIVERGING = pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")


def absolute(slope=0.5, **changes):
    arguments = {"noise": "gaussian", "noise_std": 1.0, "projection": BOX, **changes}
    return problems.AbsoluteValue(slope, **arguments)


def run(problem=None, schedule=None, **changes):
    arguments = {"base_lr": 0.1, "horizon": 20, "replicates": 100, "seed": 7, **changes}
    return simulate(problem or absolute(), schedule or schedules.Linear(), **arguments)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in STATISTICS)


DIMENSIONS = {
    "problem": ("problem", absolute(), [absolute(a) for a in (0.2, 0.5)]),
    "schedule": ("schedule", schedules.Linear(), [schedules.Linear(), schedules.Cosine(), schedules.Polynomial(3)]),
    "base_lr": ("base_lr", 0.1, [0.1, 0.2, 0.3, 0.4]),
    "record_at": ("record_at", 20, [0, 1, 10, 19, 20]),
}


@pytest.mark.parametrize("given", list(itertools.product([False, True], repeat=4)))
def test_named_dimensions(given):
    """Every combination of sequences; a dimension of length 1 is one as well; each cell is that of its own call."""
    choice = {name: DIMENSIONS[name][1 + is_sequence] for name, is_sequence in zip(DIMENSIONS, given, strict=True)}
    result = simulate(**choice, horizon=20, replicates=9, keep_samples=True)
    dims = tuple(name for name, is_sequence in zip(DIMENSIONS, given, strict=True) if is_sequence)
    shape = tuple(len(choice[name]) for name in dims)
    assert result.dims == result.spec.dims == dims
    assert result.samples.shape == (*shape, 9)
    for name in STATISTICS:
        values = getattr(result, name)
        assert isinstance(values, np.ndarray)
        assert values.shape == shape
        assert values.dtype == (np.int64 if name in ("count", "diverged") else np.float64)
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0
    assert set(dims) <= set(result.coords)
    where = tuple(n - 1 for n in shape)
    single = {name: value[-1] if name in dims else value for name, value in choice.items()}
    assert float(simulate(**single, horizon=20, replicates=9).mean) == result.mean[where]


def test_coordinates():
    kinds = [
        problems.Huber(a, width=w, noise="gaussian", noise_std=[0.1, s], projection=("box", lower, 1.0), x0=[1.0, 0.5])
        for a, w, s, lower in [(1.0, 0.1, 0.1, -1.0), (2.0, 0.1, 0.2, -2.0), (3.0, 0.4, 0.3, -3.0)]
    ]
    coords = run(kinds, [schedules.Cosine(floor=0.1)], base_lr=[0.1], record_at=[0, 20]).coords
    assert set(coords) == {"problem", "slope", "width", "noise_std", "lower", "schedule", "base_lr", "record_at"}
    assert coords["problem"].tolist() == [0, 1, 2]
    assert coords["slope"].tolist() == [1.0, 2.0, 3.0]
    assert coords["width"].tolist() == [0.1, 0.1, 0.4]
    assert coords["lower"].tolist() == [-1.0, -2.0, -3.0]
    assert coords["noise_std"].tolist() == [[0.1, 0.1], [0.1, 0.2], [0.1, 0.3]]
    assert coords["schedule"].tolist() == ["cosine(floor=0.1)"]
    assert coords["base_lr"].tolist() == [0.1]
    assert coords["record_at"].tolist() == [0, 20]
    assert run().coords == {}
    assert set(run([absolute(), absolute()]).coords) == {"problem"}
    balls = [absolute(projection=("ball", r)) for r in (1.0, 2.0)]
    assert run(balls).coords["radius"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("replicates", [1, 2, 3, 31, 33, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_statistics_are_those_of_the_samples(replicates, dtype):
    result = run(base_lr=[0.05, 0.4], record_at=[0, 20], replicates=replicates, keep_samples=True, dtype=dtype)
    samples = result.samples.astype(np.float64)
    assert result.samples.dtype == dtype
    assert (result.count == replicates).all()
    assert (result.diverged == 0).all()
    np.testing.assert_allclose(result.mean, samples.mean(axis=-1), rtol=1e-14)
    np.testing.assert_array_equal(result.min, samples.min(axis=-1))
    np.testing.assert_array_equal(result.max, samples.max(axis=-1))
    if replicates == 1:
        assert np.isnan(result.std).all()
        assert np.isnan(result.stderr).all()
    else:
        std = samples.std(axis=-1, ddof=1)
        np.testing.assert_allclose(result.std, std, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(result.stderr, std / math.sqrt(replicates), rtol=1e-10, atol=1e-13)


def exploding(**changes):
    """Doubles |x| + noise every step: in float32 some trajectories leave its range before others."""
    problem = problems.Quadratic(1.0, noise="gaussian", noise_std=1.0, x0=0.0)
    return run(problem, schedules.Constant(), base_lr=[0.5, 3.0], **changes)


@DIVERGING
def test_diverged_trajectories_are_counted_and_left_out():
    result = exploding(horizon=64, replicates=3000, keep_samples=True)
    finite = np.isfinite(result.samples)
    assert result.diverged[0] == 0
    assert 0 < result.diverged[1] < 3000
    np.testing.assert_array_equal(result.count + result.diverged, 3000)
    np.testing.assert_array_equal(result.count, finite.sum(axis=-1))
    kept = result.samples[1][finite[1]].astype(np.float64)
    assert result.mean[1] == pytest.approx(kept.mean(), rel=1e-12)
    assert result.max[1] == kept.max()
    assert result.quantile(1.0)[1] == math.inf
    assert result.quantile(0.0)[1] == kept.min()
    assert "diverged" in repr(result)


@DIVERGING
def test_all_diverged():
    result = exploding(horizon=200)
    assert result.count.tolist() == [100, 0]
    assert result.diverged.tolist() == [0, 100]
    for name in ("mean", "stderr", "std", "min", "max"):
        assert math.isfinite(getattr(result, name)[0])
        assert math.isnan(getattr(result, name)[1])
    merged = result + exploding(horizon=200, first_replicate=100)
    assert merged.diverged.tolist() == [0, 200]
    assert math.isnan(merged.mean[1])


# --- merging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1024, 2048, 3072, 4096])
@pytest.mark.parametrize("keep_samples", [False, True])
def test_merging_on_block_boundaries_has_the_bits_of_the_whole(cut, keep_samples):
    arguments = {"base_lr": [0.05, 0.4], "record_at": [0, 20], "keep_samples": keep_samples}
    whole = run(replicates=5000, **arguments)
    first = run(replicates=cut, **arguments)
    second = run(first_replicate=cut, replicates=5000 - cut, **arguments)
    for merged in (first + second, second + first, sum([first, second])):
        assert same(merged, whole)
        assert merged.spec == whole.spec
        assert merged.replicate_ranges == ((0, 5000),)
        if keep_samples:
            np.testing.assert_array_equal(merged.samples, whole.samples)
        else:
            assert merged.samples is None


def test_merging_many_shards_in_any_order():
    edges = [0, 1024, 1024 * 3, 1024 * 4, 1024 * 7, 1024 * 8, 9000]
    shards = [run(first_replicate=a, replicates=b - a) for a, b in itertools.pairwise(edges)]
    whole = run(replicates=9000)
    rng = np.random.default_rng(1)
    for _ in range(10):
        assert same(sum(shards[i] for i in rng.permutation(len(shards))), whole)


@pytest.mark.parametrize("cut", [1, 7, 1000, 1025, 2999])
def test_merging_elsewhere_has_its_values(cut):
    whole = run(replicates=3000)
    merged = run(replicates=cut) + run(first_replicate=cut, replicates=3000 - cut)
    for name in ("mean", "std", "stderr"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-12)
    for name in ("min", "max", "count", "diverged"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


HUGE = problems.AbsoluteValue(1.0, x0=1.6e308, noise="gaussian", noise_std=3e306)  # f = |x|: sums overflow


@pytest.mark.parametrize("cut", [1, 7, 1000, 1024, 1025, 2999])
def test_means_whose_sums_overflow_are_right_however_they_are_split(cut):
    whole = run(HUGE, base_lr=1.0, horizon=1, replicates=3000, dtype="float64", keep_samples=True)
    assert whole.count == 3000
    exact = float(sum(map(Fraction, whole.samples.tolist())) / 3000)
    assert whole.min < exact < whole.max
    assert float(whole.mean) == pytest.approx(exact, rel=1e-14)
    parts = [
        run(HUGE, base_lr=1.0, horizon=1, replicates=n, first_replicate=first, dtype="float64")
        for first, n in ((0, cut), (cut, 3000 - cut))
    ]
    assert float(sum(parts).mean) == pytest.approx(exact, rel=1e-14)
    assert sum(parts).std == whole.std == math.inf


def test_a_mean_of_the_largest_number_is_that_number():
    largest = np.finfo(np.float64).max
    result = run(problems.AbsoluteValue(1.0, x0=largest), base_lr=0.0, horizon=1, replicates=1000, dtype="float64")
    assert float(result.mean) == largest
    assert float(result.std) == 0.0


def test_means_whose_sums_overflow_on_a_device(device):
    x0, spread = np.full((1, 1), 1.6e308), np.full((1, 1), 3e306)
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    core = _core.Problems(
        kind=_core.ProblemKind.absolute_value,
        noise=_core.NoiseKind.gaussian,
        projection=_core.ProjectionKind.none,
        weight=one,
        shape_parameter=one[0],
        noise_std=spread,
        lower=none,
        upper=none,
        radius=one[0],
        x0=x0,
        minimum=none[0],
    )
    size = {"horizon": 1, "base_lr": [1.0], "replicates": 1500, "first": 500, "dtype": "float64"}
    (samples, moments), _ = pair = both(device, core, (_core.Schedule(_core.ScheduleKind.constant),), **size)
    assert_equal(pair)
    expected = reference.moments(samples[0], 500)
    for name, value in fields(moments.total()).items():
        if name != "ranges":
            np.testing.assert_array_equal(value.ravel(), getattr(expected, name), err_msg=name)


def test_squares_that_overflow_are_brought_back_by_their_weight():
    """Of two values 0 and v, m2 is v^2 / 2."""

    def moment(first, value):
        cell = {name: np.full((1, 1, 1), value) for name in ("mean", "minimum", "maximum")}
        counts = {"count": np.ones((1, 1, 1), np.int64), "diverged": np.zeros((1, 1, 1), np.int64)}
        return _core.Moments(ranges=np.array([[first, first + 1]]), m2=np.zeros((1, 1, 1)), **counts, **cell)

    v = 1.5e154
    total = moment(0, 0.0).merged(moment(1, v)).total()
    assert total.m2.item() == pytest.approx(v * (v / 2), rel=1e-15)
    merged = reference.merge(*(reference.block_moments(np.array([x]), 0) for x in (0.0, v)))
    assert merged.m2.item() == total.m2.item()


def test_merging_with_a_gap():
    a, b, c = (run(first_replicate=first, replicates=100, keep_samples=True) for first in (0, 5000, 100))
    apart = a + b
    assert apart.replicate_ranges == ((0, 100), (5000, 5100))
    assert apart.replicates == 200
    assert apart.first_replicate == 0
    assert apart.samples is None
    together = np.concatenate([a.samples, b.samples]).astype(np.float64)
    assert float(apart.mean) == pytest.approx(together.mean(), rel=1e-13)
    filled = c + apart
    assert filled.replicate_ranges == ((0, 200), (5000, 5100))
    assert (a + c).samples.shape == (200,)
    assert (a + run(first_replicate=100)).samples is None


@pytest.mark.parametrize("first", [0, 50, 99])
def test_overlapping_ranges(first):
    with pytest.raises(ValueError, match=r"^replicates: .*overlaps"):
        _ = run(replicates=100) + run(first_replicate=first, replicates=100)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("problem", {"problem": absolute(0.25)}),
        ("problem", {"problem": [absolute()]}),
        ("schedule", {"schedule": schedules.Cosine()}),
        ("base_lr", {"base_lr": 0.2}),
        ("base_lr", {"base_lr": [0.1]}),
        ("horizon", {"horizon": 21}),
        ("record_at", {"record_at": 10}),
        ("iterate", {"iterate": "average"}),
        ("common_random_numbers", {"common_random_numbers": False}),
        ("dtype", {"dtype": "float64"}),
        ("seed", {"seed": 8}),
    ],
)
def test_specs_must_be_equal(name, change):
    other = run(**{"first_replicate": 100, **change})
    with pytest.raises(ValueError, match=f"^{name} must be the same to merge results, got "):
        _ = run() + other


@pytest.mark.parametrize(
    ("mine", "others", "got"),
    [
        (0.1, 0.2, "0.1 and 0.2"),
        (0.1, [0.1], "0.1 and 1 in a sequence"),
        ([0.1, 0.2], [0.1, 0.2, 0.3], "2 in a sequence and 3 in a sequence"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.4], "0.3 and 0.4 at index 2"),
    ],
)
def test_the_difference_is_shown(mine, others, got):
    with pytest.raises(ValueError, match=f"^base_lr must be the same to merge results, got {got}$"):
        _ = run(base_lr=mine) + run(base_lr=others, first_replicate=100)


def test_tail_fractions_must_be_equal():
    with pytest.raises(ValueError, match=r"^tail_frac must be the same to merge results, got 0.5 and 0.25$"):
        _ = run(iterate="tail_average") + run(iterate="tail_average", tail_frac=0.25, first_replicate=100)


def test_other_streams_do_not_merge():
    other = run(first_replicate=100)
    older = dataclasses.replace(other, spec=dataclasses.replace(other.spec, stream_version=0))
    with pytest.raises(ValueError, match=r"^stream_version must be the same to merge results, got \d+ and 0"):
        _ = run() + older


def test_merging_names_what_ran(isa):
    merged = run(isa="scalar") + run(first_replicate=100, isa=isa)
    assert merged.isa == ("scalar" if isa == "scalar" else f"scalar+{isa}")
    assert merged.backend == "cpu"
    assert (merged + run(first_replicate=200, isa=isa)).isa == merged.isa


def test_only_results_add():
    with pytest.raises(TypeError):
        _ = run() + 1
    with pytest.raises(TypeError):
        _ = 1 + run()


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_samples", [False, True])
def test_pickle(keep_samples):
    many = run([absolute(a) for a in (0.1, 0.2)], base_lr=[0.1, 0.2], replicates=3000, keep_samples=keep_samples)
    before = pickle.loads(pickle.dumps(many))
    assert same(many, before)
    after = pickle.loads(pickle.dumps(many))
    for other in (before, after):
        assert same(other, many)
        assert other.spec == many.spec
        assert hash(other.spec) == hash(many.spec)
        assert (other.backend, other.isa, other.replicate_ranges) == (many.backend, many.isa, many.replicate_ranges)
        assert other.coords["slope"].tolist() == [0.1, 0.2]
    if keep_samples:
        np.testing.assert_array_equal(after.samples, many.samples)
        assert not after.samples.flags.writeable
    more = run([absolute(a) for a in (0.1, 0.2)], base_lr=[0.1, 0.2], first_replicate=3000, replicates=1096)
    assert same(after + more, many + more)


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        run().backend = "cuda"


def test_quantiles():
    result = run(base_lr=[0.05, 0.4], record_at=[1, 5, 20], replicates=999, keep_samples=True)
    for q in (0.5, [0.1, 0.25, 0.9], [[0.0, 1.0]]):
        expected = np.quantile(result.samples.astype(np.float64), q, axis=-1)
        assert result.quantile(q).shape == expected.shape
        np.testing.assert_allclose(result.quantile(q), expected, rtol=1e-12)
    assert isinstance(run(keep_samples=True).quantile(0.5), np.ndarray)
    assert float(run(replicates=1, keep_samples=True).quantile(0.3)) == float(run(replicates=1).mean)
    for q in (-0.1, 1.5, math.nan, "0.5"):
        with pytest.raises(ValueError, match=r"^q must be"):
            result.quantile(q)
    with pytest.raises(ValueError, match=r"^samples must be kept.*keep_samples=True"):
        run().quantile(0.5)


@DIVERGING
def test_quantiles_with_diverged_samples():
    result = exploding(horizon=64, replicates=1000, keep_samples=True)
    share = result.count[1] / 1000
    assert math.isfinite(result.quantile(share - 0.01)[1])
    assert result.quantile([share + 0.01, 1.0])[:, 1].tolist() == [math.inf, math.inf]
    assert not np.isnan(result.quantile(np.linspace(0, 1, 101))).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_differences_are_those_of_the_samples(dtype):
    result = run(schedule=[schedules.Linear(), schedules.Cosine()], base_lr=[0.1, 0.2, 0.4], record_at=[5, 20],
                 replicates=1500, keep_samples=True, dtype=dtype)  # fmt: skip
    samples = result.samples.astype(np.float64)
    rows, columns = np.triu_indices(3, 1)
    for a, b in [
        (0, 1),
        ((0, 2, 1), (1, 0, 0)),
        (slice(1, None), 0),
        ((slice(None), rows), (slice(None), columns)),
        ((1, [0, 1, 2]), (0, 1)),
        ((slice(None), slice(None), 1), (slice(None), slice(None), 0)),
    ]:
        found = result.difference(a, b)
        differences = samples[a] - samples[b]
        assert found.mean.shape == found.stderr.shape == found.count.shape == differences.shape[:-1]
        assert (found.count == 1500).all()
        assert (found.mean.dtype, found.stderr.dtype, found.count.dtype) == (np.float64, np.float64, np.int64)
        np.testing.assert_allclose(found.mean, differences.mean(axis=-1), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found.stderr, differences.std(axis=-1, ddof=1) / math.sqrt(1500), rtol=1e-12)
        with pytest.raises(ValueError, match="read-only"):
            found.mean[...] = 0
    assert result.difference(1, 1).stderr.max() == 0.0


def test_a_difference_has_the_variance_of_a_linear_recursion():
    """x_T of a noisy quadratic is the sum of w_t times noise: with common noise w_a - w_b counts, not both apart."""
    horizon, rates, replicates = 30, (0.1, 0.12), 20_000
    problem = problems.Custom(lambda x: np.sum(0.5 * x**2), noise="gaussian", noise_std=1.0, x0=0.0, minimum=0.0)
    result = simulate(
        problem, schedules.Constant(), base_lr=rates, horizon=horizon, replicates=replicates, keep_samples=True
    )
    weights = [rate * (1 - rate) ** np.arange(horizon) for rate in rates]
    covariance = np.array([[a @ b for b in weights] for a in weights])  # of x_T: zero mean, so of f = x^2 / 2
    mean = (covariance[1, 1] - covariance[0, 0]) / 2
    variance = (covariance[0, 0] ** 2 + covariance[1, 1] ** 2 - 2 * covariance[0, 1] ** 2) / 2
    found = result.difference(1, 0)
    stderr = math.sqrt(variance / replicates)
    assert abs(found.mean - mean) < 4 * stderr
    assert found.stderr == pytest.approx(stderr, rel=0.05)
    assert np.hypot(*result.stderr) > 5 * stderr


def test_differences_of_one_config_need_no_common_noise():
    """Its iterates, records and metrics are of one trajectory: x_40 less its average is linear in the noise."""
    horizon, replicates, rates = 40, 20_000, (0.1, 0.3)
    problem = problems.Custom(lambda x: x[0] ** 2, noise="gaussian", noise_std=1.0, x0=0.0, minimum=0.0)
    result = simulate(
        problem, schedules.Constant(), base_lr=rates, horizon=horizon, replicates=replicates, keep_samples=True,
        iterate=["last", "average"], record_at=[20, horizon], metric={"x": "x[0]", "value": "value"},
        common_random_numbers=False,
    )  # fmt: skip
    found = result.difference((0, slice(None), 1, 0), (1, slice(None), 1, 0))
    for i, rate in enumerate(rates):
        steps = np.subtract.outer(np.arange(1, horizon + 1), np.arange(horizon))
        weights = np.where(steps > 0, rate * (1 - 2 * rate) ** np.maximum(steps - 1, 0), 0.0)  # of the noise in x_k
        stderr = np.linalg.norm(weights[-1] - weights.mean(axis=0)) / math.sqrt(replicates)
        assert abs(found.mean[i]) < 4 * stderr
        assert found.stderr[i] == pytest.approx(stderr, rel=0.03)
    samples = result.samples.astype(np.float64)
    for a, b in [((0, 1, 0), (0, 1, 1)), ((1, slice(None), 0), (1, slice(None), 1)), ((1, 0, 1, 0), (1, 0, 1, 1))]:
        np.testing.assert_allclose(result.difference(a, b).mean, (samples[a] - samples[b]).mean(axis=-1), atol=1e-12)
    for a, b in [((0, 0), (0, 1)), ((0, slice(None)), (1, slice(None, None, -1)))]:
        with pytest.raises(ValueError, match="common_random_numbers must be True for paired differences of configs"):
            result.difference(a, b)


@DIVERGING
def test_differences_leave_out_pairs_of_which_one_diverged():
    result = exploding(horizon=64, replicates=3000, keep_samples=True)
    finite = np.isfinite(result.samples).all(axis=0)
    assert 0 < finite.sum() < 3000
    found = result.difference(0, 1)
    assert found.count == finite.sum()
    first, second = result.samples[:, finite].astype(np.float64)
    assert found.mean == pytest.approx((first - second).mean(), rel=1e-12)
    nothing = exploding(horizon=500, replicates=40, keep_samples=True).difference(0, 1)
    assert nothing.count == 0
    assert np.isnan([nothing.mean, nothing.stderr]).all()


def test_differences_that_cannot_be():
    with pytest.raises(ValueError, match=r"samples must be kept for paired differences: .*keep_samples=True"):
        run(base_lr=[0.1, 0.2]).difference(0, 1)
    with pytest.raises(ValueError, match="common_random_numbers must be True for paired differences"):
        run(base_lr=[0.1, 0.2], keep_samples=True, common_random_numbers=False).difference(0, 1)
    result = run(base_lr=[0.1, 0.2, 0.3], keep_samples=True)
    for wrong in (3, (0, 0), "a", 1.5, slice(3, None)):
        with pytest.raises(ValueError, match=r"b must be an index of an array of shape \(3,\), got"):
            result.difference(0, wrong)
    with pytest.raises(ValueError, match=r"a and b must choose .* shapes that broadcast, got \(2,\) and \(3,\)"):
        result.difference(slice(2), slice(3))
    assert np.isnan(run(base_lr=[0.1, 0.2], replicates=1, keep_samples=True).difference(0, 1).stderr)


def test_metadata():
    result = run(seed=2**64 - 1, first_replicate=5, dtype=np.float64, threads=1)
    assert (result.seed, result.horizon, result.dtype) == (2**64 - 1, 20, "float64")
    assert (result.first_replicate, result.replicates, result.backend) == (5, 100, "cpu")
    assert result.stream_version >= 1
    assert result.spec.problem == absolute()
    assert result.spec.schedule == schedules.Linear()
    assert (result.spec.base_lr, result.spec.record_at, result.spec.iterate) == (0.1, 20, "last")


def test_repr():
    text = repr(run(isa="scalar", threads=1))
    assert text.startswith("<Result mean 0.")
    assert text.endswith("; 100 replicates of 20 steps; seed 7, float32, cpu scalar>")
    assert repr(run(base_lr=[0.1, 0.2], record_at=[1, 2, 3])).startswith("<Result base_lr: 2 x record_at: 3; 100 repl")


def test_to_xarray():
    xarray = pytest.importorskip("xarray")
    problem = [problems.AbsoluteValue([0.5, a], projection=BOX) for a in (0.25, 0.75)]
    chosen = [schedules.Linear(), schedules.Cosine()]
    result = run(problem, chosen, base_lr=[0.1, 0.2], record_at=[0, 20], first_replicate=3, keep_samples=True)
    data = result.to_xarray()
    assert isinstance(data, xarray.Dataset)
    assert set(data.data_vars) == {*STATISTICS, "samples"}
    for name in STATISTICS:
        assert data[name].dims == ("problem", "schedule", "base_lr", "record_at")
        np.testing.assert_array_equal(data[name], getattr(result, name))
    assert data["samples"].dims == (*result.dims, "replicate")
    assert data["replicate"].values.tolist() == list(range(3, 103))
    assert data["slope"].dims == ("problem", "coordinate")
    assert data["schedule"].values.tolist() == ["linear", "cosine"]
    assert data["mean"].sel(schedule="cosine", base_lr=0.2, record_at=20, problem=1).item() == result.mean[1, 1, 1, 1]
    assert data.attrs["seed"] == 7
    assert data.attrs["stream_version"] == result.stream_version
    assert "base_lr" not in data.attrs
    assert {"package_version", "backend", "isa", "horizon", "dtype", "iterate", "replicates"} <= set(data.attrs)


def test_to_xarray_without_dimensions():
    pytest.importorskip("xarray")
    data = run().to_xarray()
    assert data["mean"].dims == ()
    assert data.attrs["schedule"] == "linear"
    assert data.attrs["problem"] == repr(absolute())
    assert (data.attrs["base_lr"], data.attrs["record_at"]) == (0.1, 20)


def test_to_pandas():
    pytest.importorskip("pandas")
    problem = [problems.AbsoluteValue([0.5, a], projection=BOX) for a in (0.25, 0.75)]
    chosen, iterates = [schedules.Linear(), schedules.Cosine()], ["last", "average"]
    result = run(problem, chosen, iterate=iterates, base_lr=[0.1, 0.2, 1e30], record_at=[0, 20], replicates=5)
    frame = result.to_pandas()
    assert list(frame.columns) == [*result.dims, "horizon", "metric", *STATISTICS]
    assert len(frame) == result.mean.size
    assert frame["metric"].unique().tolist() == ["suboptimality"]
    for row, place in zip(frame.itertuples(), np.ndindex(result.mean.shape), strict=True):
        assert row.horizon == 20
        for dimension, k in zip(result.dims, place, strict=True):
            assert getattr(row, dimension) == result.coords[dimension][k]
        for name in STATISTICS:
            np.testing.assert_equal(getattr(row, name), getattr(result, name)[place])
    frame.loc[0, "mean"] = 7.0  # its own
    assert result.mean[0, 0, 0, 0, 0] != 7.0


def test_to_pandas_has_what_problems_differ_in():
    pytest.importorskip("pandas")
    slopes = [0.2, 0.4, 0.6]
    frame = run([problems.AbsoluteValue(a, projection=BOX) for a in slopes], base_lr=[0.1, 0.2]).to_pandas()
    assert frame[["slope", "base_lr"]].values.tolist() == [[a, lr] for a in slopes for lr in (0.1, 0.2)]
    assert frame["problem"].tolist() == [0, 0, 1, 1, 2, 2]
    alone = run().to_pandas()
    assert alone[["schedule", "horizon", "base_lr", "record_at", "metric", "count"]].values.tolist() == [
        ["linear", 20, 0.1, 20, "suboptimality", 100]
    ]


def test_to_pandas_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"this needs pandas: pip install 'anneal_sgd\[pandas\]'"):
        run().to_pandas()


def test_to_xarray_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"anneal_sgd\[xarray\]"):
        run().to_xarray()
