"""Every instruction set against the NumPy reference, to the bit; and that threads, splits and order change nothing."""

import itertools

import numpy as np
import pytest

from anneal_sgd import _core, reference
from anneal_sgd._core import NoiseKind, ProblemKind, ProjectionKind, ScheduleKind
from core_cases import (
    DTYPES,
    ITERATES,
    KINDS,
    NOISES,
    PIECES,
    PROJECTIONS,
    SCHEDULES,
    SEED,
    TABLES,
    assert_same,
    joined_pair,
    label,
    problem_pair,
    run,
    schedule_pair,
    stacked_pairs,
)

COSINE = _core.Schedule(ScheduleKind.cosine), reference.Schedule("cosine")


@pytest.mark.parametrize("dimension", [1, 2, 3, 33])
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", KINDS)
def test_trajectories_equal_the_reference(isa, kind, noise, projection, dimension):
    core, slow = problem_pair(kind, noise, projection, dimension)
    for dtype in DTYPES:
        horizon, record_at = (140, [0, 1, 2, 127, 128, 131, 140]) if dtype == "float32" else (9, [3, 9])
        replicates = 19 if dtype == "float32" else 9
        got, _ = run(
            core,
            [COSINE[0]],
            horizon=horizon,
            replicates=replicates,
            first=1010,
            isa=isa,
            dtype=dtype,
            record_at=record_at,
        )
        expected = reference.simulate(
            problem=slow,
            schedule=COSINE[1],
            base_lr=0.3,
            horizon=horizon,
            replicates=1010 + np.arange(replicates),
            seed=SEED,
            record_at=record_at,
            dtype=dtype,
        )
        np.testing.assert_array_equal(got[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("iterate", ["average", "tail_average"])
def test_averages_equal_the_reference(isa, iterate, projection, dtype):
    core, slow = problem_pair("absolute_value", "rademacher", projection, 2)
    record_at = [0, 1, 2, 100, 127, 128, 129, 256, 300]
    got, _ = run(
        core, [COSINE[0]], horizon=300, replicates=5, isa=isa, dtype=dtype, record_at=record_at, iterate=iterate
    )
    expected = reference.simulate(
        problem=slow,
        schedule=COSINE[1],
        base_lr=0.3,
        horizon=300,
        replicates=np.arange(5),
        seed=SEED,
        record_at=record_at,
        iterate=iterate,
        tail_frac=0.3,
        ema_decay=0.9,
        average_degree=2.5,
        dtype=dtype,
    )
    np.testing.assert_array_equal(got[0], expected)


@pytest.mark.parametrize(("floor", "warmup_frac"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.25), (0.05, 0.2)])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
def test_schedules_equal_the_reference(isa, schedule, floor, warmup_frac):
    check_schedule(*schedule_pair(**schedule, floor=floor, warmup_frac=warmup_frac), isa)


@pytest.mark.parametrize("schedule", TABLES, ids=label)
def test_tables_equal_the_reference(isa, schedule):
    check_schedule(*schedule_pair(**schedule), isa)


@pytest.mark.parametrize("count", [1, 2, len(PIECES)])
def test_joined_schedules_equal_the_reference(isa, count):
    check_schedule(*joined_pair(PIECES[:count]), isa)


def check_schedule(schedule, slow, isa):
    """A noise-free linear descent x = 1 - a lr_0 - a lr_1 … shows every learning rate of the instruction set."""
    for horizon in (1, 2, 131):
        core, slow_problem = (
            _core.Problems(
                kind=ProblemKind.absolute_value,
                noise=NoiseKind.none,
                projection=ProjectionKind.none,
                weight=np.full((1, 1), 0.001),
                shape_parameter=np.ones(1),
                noise_std=np.zeros((1, 1)),
                lower=np.zeros((1, 1)),
                upper=np.zeros((1, 1)),
                radius=np.ones(1),
                x0=np.ones((1, 1)),
                minimum=np.zeros(1),
            ),
            reference.Problem("absolute_value", weight=[0.001], x0=[1.0]),
        )
        got, _ = run(
            core,
            [schedule],
            horizon=horizon,
            replicates=1,
            isa=isa,
            dtype="float64",
            base_lr=[0.7],
            record_at=range(horizon + 1),
        )
        expected = reference.simulate(
            problem=slow_problem,
            schedule=slow,
            base_lr=0.7,
            horizon=horizon,
            replicates=[0],
            seed=0,
            record_at=range(horizon + 1),
            dtype="float64",
        )
        np.testing.assert_array_equal(got[0], expected)
        steps = np.arange(horizon)
        values = reference.schedule_value(
            horizon=horizon, u=steps / horizon, v=(horizon - steps) / horizon, **vars(slow)
        )
        np.testing.assert_array_equal(schedule.values(horizon, 0, horizon), values)


@pytest.mark.parametrize(
    "replicates", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 112, 113, 128, 129, 1023, 1024, 1025]
)
def test_every_number_of_replicates(isa, replicates):
    """The same trajectory wherever it falls among lanes, strips and blocks."""
    core, _ = problem_pair("quadratic", "gaussian", "box", 3)
    whole, _ = run(core, [COSINE[0]], horizon=71, replicates=1100, isa="scalar")
    got, _ = run(core, [COSINE[0]], horizon=71, replicates=replicates, first=5, isa=isa)
    np.testing.assert_array_equal(got, whole[..., 5 : 5 + replicates])


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_high_dimension(isa, noise, projection):
    core, slow = problem_pair("quadratic", noise, projection, 1000)
    got, _ = run(core, [COSINE[0]], horizon=6, replicates=3, isa=isa, record_at=[0, 5, 6])
    expected = reference.simulate(
        problem=slow,
        schedule=COSINE[1],
        base_lr=0.3,
        horizon=6,
        replicates=np.arange(3),
        seed=SEED,
        record_at=[0, 5, 6],
    )
    np.testing.assert_array_equal(got[0], expected)


@pytest.mark.parametrize("iterate", ITERATES)
def test_groups_of_coordinates_change_no_bit(isa, iterate):
    """A state too large for a worker's memory goes through the horizon in groups of coordinates.

    Forty replicates of the last iterate make groups and one does not; averages make groups of different sizes.
    """
    core, _ = problem_pair("huber", "gaussian", "box", 400_000)
    size = {"isa": isa, "horizon": 3, "record_at": [0, 2, 3], "iterate": iterate}
    got, _ = run(core, [COSINE[0]], replicates=40, **size)
    for replicate in (0, 39):
        alone, _ = run(core, [COSINE[0]], replicates=1, first=replicate, **size)
        np.testing.assert_array_equal(got[..., replicate : replicate + 1], alone)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_out_of_range_is_divergence(isa, dtype):
    """Not a projection onto the origin: the square of the iterate is infinite."""
    core, slow = problem_pair("quadratic", "gaussian", "ball", 2)
    size = {"horizon": 1, "seed": SEED, "dtype": dtype}
    base_lr = 1e25 if dtype == "float32" else 1e180
    got, moments = run(core, [COSINE[0]], replicates=5, isa=isa, base_lr=[base_lr], **size)
    expected = reference.simulate(problem=slow, schedule=COSINE[1], base_lr=base_lr, replicates=np.arange(5), **size)
    np.testing.assert_array_equal(got[0], expected)
    assert np.isnan(got).all()
    assert moments.diverged.sum() == 5


@pytest.mark.parametrize("iterate", ["last", "average"])
@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize("replicates", [3, 9, 27, 60, 150])
@pytest.mark.parametrize("shared", [True, False])
def test_sweeps_are_the_single_runs(isa, shared, replicates, noise, iterate):
    """Configs in C order; with common random numbers all see stream 0, else config c has stream c.

    Few replicates leave room in a strip for other configs of the same problem, of which each has nine: eight, four or
    two go side by side, and one is left alone.
    """
    stacked, pairs = stacked_pairs("huber", noise, "box", 2, count=3)
    schedules = [
        COSINE,
        (_core.Schedule(ScheduleKind.linear), reference.Schedule("linear")),
        (_core.Schedule(ScheduleKind.constant), reference.Schedule("constant")),
    ]
    base_lr = [0.1, 0.4, 1.6]
    records = {"record_at": [3, 20, 50], "iterate": iterate}
    got, _ = run(
        stacked,
        [fast for fast, _ in schedules],
        horizon=50,
        replicates=replicates,
        isa=isa,
        base_lr=base_lr,
        shared=shared,
        **records,
    )
    configs = itertools.product(pairs, schedules, base_lr)
    for c, ((_, slow), (_, schedule), lr) in enumerate(configs):
        expected = reference.simulate(
            problem=slow,
            schedule=schedule,
            base_lr=lr,
            horizon=50,
            replicates=np.arange(replicates),
            seed=SEED,
            stream=0 if shared else c,
            **records,
        )
        np.testing.assert_array_equal(got[c], expected)


@pytest.mark.parametrize("first", [0, 100, 1000, 3 * 1024])
@pytest.mark.parametrize("replicates", [1, 16, 17, 24, 28, 29, 64, 65, 128, 129, 512, 1023, 1024, 5000, 9000])
def test_statistics_equal_the_reference(isa, first, replicates):
    """Of blocks that are full or hold a few replicates, at their begin or elsewhere."""
    core, _ = problem_pair("absolute_value", "gaussian", "box", 1)
    samples, moments = run(
        core, [COSINE[0]], horizon=33, replicates=replicates, first=first, isa=isa, record_at=[9, 33]
    )
    assert moments.ranges.tolist() == [list(node) for node in reference.nodes(first, first + replicates)]
    total = moments.total()
    for name, value in vars(reference.moments(samples[0], first)).items():
        np.testing.assert_array_equal(getattr(total, name)[0, 0], value, err_msg=name)


def test_threads_and_isas_change_no_statistic(isa):
    core, _ = problem_pair("quadratic", "gaussian", "none", 3)
    base_lr = np.geomspace(0.01, 1, 40)
    expected = run(core, [COSINE[0]], horizon=100, replicates=3000, isa="scalar", base_lr=base_lr[:3], threads=1)
    for threads in (1, 2, 3, 8):
        got = run(core, [COSINE[0]], horizon=100, replicates=3000, isa=isa, base_lr=base_lr[:3], threads=threads)
        np.testing.assert_array_equal(got[0], expected[0])
        assert_same(got[1], expected[1])


@pytest.mark.parametrize("cuts", [[1024], [2048, 3072], [5120], [1024, 2048, 3072, 4096, 5120]])
def test_splits_on_block_boundaries_change_no_statistic(cuts):
    core, _ = problem_pair("absolute_value", "gaussian", "box", 2)
    whole = run(core, [COSINE[0]], horizon=40, replicates=6000, isa="scalar", base_lr=[0.1, 0.5])[1]
    edges = [0, *cuts, 6000]
    parts = [
        run(core, [COSINE[0]], horizon=40, replicates=stop - start, first=start, isa="scalar", base_lr=[0.1, 0.5])[1]
        for start, stop in itertools.pairwise(edges)
    ]
    for order in (parts, parts[::-1]):
        merged = order[0]
        for part in order[1:]:
            merged = merged.merged(part)
        assert_same(merged, whole)


def test_many_records_and_configs_take_the_same_values():
    """Shapes that make the engine cut differently: many records, many configs, large dimension."""
    core, _ = problem_pair("quadratic", "rademacher", "box", 1)
    record_at = list(range(2001))
    many, moments = run(
        core, [COSINE[0]], horizon=2000, replicates=1500, isa=_core.supported_isas()[-1], record_at=record_at, threads=2
    )
    few, _ = run(core, [COSINE[0]], horizon=2000, replicates=1500, isa="scalar", record_at=[0, 1, 777, 2000])
    np.testing.assert_array_equal(many[:, [0, 1, 777, 2000]], few)
    assert moments.count.sum() == 2001 * 1500


@pytest.mark.parametrize("iterate", ["last", "average"])
@pytest.mark.parametrize("lower", [-1e38, -0.9e38])  # a box around 0 is clamped in a way of its own
def test_a_box_keeps_trajectories_that_are_no_numbers(isa, lower, iterate):
    core = _core.Problems(
        kind=ProblemKind.absolute_value,
        noise=NoiseKind.gaussian,
        projection=ProjectionKind.box,
        weight=np.full((1, 1), 1e-30),
        shape_parameter=np.ones(1),
        noise_std=np.full((1, 1), 1e38),
        lower=np.full((1, 1), lower),
        upper=np.full((1, 1), 1e38),
        radius=np.ones(1),
        x0=np.zeros((1, 1)),
        minimum=np.zeros(1),
    )
    call = {"horizon": 50, "replicates": 300, "base_lr": [0.8, 1.0], "iterate": iterate}
    always, _ = run(core, [COSINE[0]], isa="scalar", record_at=range(51), **call)
    diverged = np.isnan(always).mean(axis=-1)
    assert 0 == diverged[1, 0] < diverged[1, 10] < diverged[1, 50] < 1  # at steps of their own
    for record_at in (range(51), [50], [7, 8, 31, 50]):
        got, _ = run(core, [COSINE[0]], isa=isa, record_at=record_at, **call)
        np.testing.assert_array_equal(got, always[:, list(record_at)])


@pytest.mark.parametrize("projection", ["none", "box"])
def test_divergence_is_counted_not_hidden(isa, projection):
    core = _core.Problems(
        kind=ProblemKind.quadratic,
        noise=NoiseKind.gaussian,
        projection=ProjectionKind[projection],
        weight=np.full((1, 1), 3e38),
        shape_parameter=np.ones(1),
        noise_std=np.full((1, 1), 3e38),
        lower=np.full((1, 1), -3e38),
        upper=np.full((1, 1), 3e38),
        radius=np.ones(1),
        x0=np.full((1, 1), 1e38),
        minimum=np.zeros(1),
    )
    samples, moments = run(
        core, [COSINE[0]], horizon=50, replicates=100, isa=isa, base_lr=[1e-30, 1.0], record_at=[0, 50]
    )
    np.testing.assert_array_equal(moments.diverged.sum(axis=0), (~np.isfinite(samples)).sum(axis=-1))
    assert moments.diverged[0, 1, 1] == 100
    assert moments.count.sum() + moments.diverged.sum() == samples.size
    total = moments.total()
    assert np.isfinite(total.mean).all()
    assert np.isfinite(total.m2).all()
