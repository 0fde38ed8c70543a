"""The CUDA kernels and their driver have the bits of the CPU backend: on a GPU, and emulated on any machine.

The emulation runs the kernels' own code thread after thread (csrc/cuda/block.hpp); it also throws where threads share
memory without a barrier between them.
"""

import itertools

import numpy as np
import pytest

from anneal_sgd import _core
from anneal_sgd._core import NoiseKind, ProblemKind, ProjectionKind, ScheduleKind
from core_cases import (
    COSINE,
    DTYPES,
    ITERATES,
    KINDS,
    NOISES,
    PER_THREAD_STREAM,
    PIECES,
    PROJECTIONS,
    SCHEDULES,
    TABLES,
    assert_equal,
    assert_same,
    both,
    joined_pair,
    label,
    problem_pair,
    run,
    schedule_pair,
    stacked_pairs,
)

RECORDS = [0, 1, 2, 127, 128, 131, 140]


@pytest.mark.parametrize("dimension", [1, 2, 3, 33])
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kernel_has_the_bits_of_the_cpu(device, kind, noise, projection, dimension):
    core, _ = problem_pair(kind, noise, projection, dimension)
    for dtype, iterate in itertools.product(DTYPES, ITERATES):
        size = {"dtype": dtype, "iterate": iterate, "first": 1010, "replicates": 19, "base_lr": (0.1, 0.3)}
        assert_equal(both(device, core, horizon=140, record_at=RECORDS, **size))


@pytest.mark.parametrize("steps", [1, 3, 37, 128])
@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_where_launches_are_cut_changes_no_bit(device, noise, projection, iterate, steps):
    core, _ = problem_pair("quadratic", noise, projection, 3)
    assert_equal(both(device, core, horizon=140, record_at=RECORDS, iterate=iterate, steps_per_launch=steps))


@pytest.mark.parametrize("dimension", [31, 64, 200, 1000, 2000])
@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_large_dimensions(device, noise, projection, dimension):
    """A ball of 64 dimensions keeps its state in shared memory, one of 2 000 in the device's, on every device."""
    for dtype in DTYPES:
        core, _ = problem_pair("huber", noise, projection, dimension)
        assert_equal(both(device, core, horizon=9, record_at=[0, 5, 9], replicates=6, dtype=dtype, iterate="average"))


@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("dimension", [3, 10, 33])
def test_teams_of_a_full_device(request, device, dimension, iterate):
    """Smaller ones than of a few trajectories: no thread idles, and one has several accumulators of a sum."""
    emulated = request.node.callspec.params["device"] == "emulated"
    full = 2 if emulated else 8 * _core.cuda_devices()[0]["multiprocessors"]
    core, _ = problem_pair("huber", "gaussian", "box", dimension)
    for dtype in DTYPES if emulated else ("float32",):
        assert_equal(
            both(device, core, horizon=2, record_at=[0, 2], replicates=1024 * full, dtype=dtype, iterate=iterate)
        )


@pytest.mark.parametrize("replicates", [1, 3, 4, 5, 31, 255, 256, 257, 1023, 1024, 1025, 2500])
@pytest.mark.parametrize("first", [0, 1000])
def test_every_number_of_replicates(device, replicates, first):
    core, _ = problem_pair("absolute_value", "gaussian", "box", 1)
    assert_equal(both(device, core, horizon=7, replicates=replicates, first=first, record_at=[3, 7]))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("configs", [1, 2, 3, 17, 300])
@pytest.mark.parametrize("replicates", [2, 70])
def test_every_number_of_configs(device, configs, replicates, shared):
    """A block holds up to 256 configs, whose learning rates then come in shorter tiles."""
    core, _ = problem_pair("quadratic", "gaussian", "none", 1)
    schedules = [COSINE, _core.Schedule(ScheduleKind.linear), _core.Schedule(ScheduleKind.polynomial, parameter=1.7)]
    size = {"base_lr": np.geomspace(0.01, 1.0, configs), "replicates": replicates, "shared": shared}
    assert_equal(both(device, core, schedules, horizon=45, record_at=[20, 45], **size))


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kind", KINDS)
def test_few_replicates_of_many_configs(device, kind, noise, dimension):
    """A thread of one dimension has a config to itself and multiplies its learning rates; more share a longer table."""
    size = {"base_lr": np.geomspace(0.01, 1.0, 70), "replicates": 3, "first": 1022, "shared": False}
    schedules = [COSINE, _core.Schedule(ScheduleKind.linear)]
    for projection, dtype in itertools.product(PROJECTIONS, DTYPES):
        stacked, _ = stacked_pairs(kind, noise, projection, dimension, count=2)
        assert_equal(both(device, stacked, schedules, horizon=140, record_at=RECORDS, dtype=dtype, **size))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("schedules", [1, 3, 5, 7, 150])
@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_few_replicates_of_many_schedules(device, noise, schedules, shared):
    """Steps of a tile are fewer the more schedules a block has: up to 8 of 128 steps, 256 of 4."""
    stacked, _ = stacked_pairs("quadratic", noise, "none", 1, count=2)
    degrees = [_core.Schedule(ScheduleKind.polynomial, parameter=0.25 * k) for k in range(1, schedules + 1)]
    size = {"base_lr": np.geomspace(0.01, 1.0, max(1, 150 // schedules)), "replicates": 4, "shared": shared}
    assert_equal(both(device, stacked, degrees, horizon=140, record_at=[3, 140], **size))


@pytest.mark.parametrize("steps", [1, 37, 128])
@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_launches_of_few_replicates(device, noise, iterate, steps):
    core, _ = problem_pair("absolute_value", noise, "box", 1)
    size = {"base_lr": np.geomspace(0.01, 1.0, 140), "replicates": 4, "iterate": iterate}
    assert_equal(both(device, core, horizon=140, record_at=RECORDS, steps_per_launch=steps, **size))


def test_problems_are_an_axis(device):
    stacked, _ = stacked_pairs("huber", "uniform", "box", 5, count=3)
    assert_equal(
        both(device, stacked, [COSINE, _core.Schedule(ScheduleKind.linear)], base_lr=[0.1, 0.2], replicates=70)
    )


@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
def test_schedules(device, schedule):
    core, _ = problem_pair("absolute_value", "none", "none", 1)
    schedules = [schedule_pair(**schedule, floor=0.05, warmup_frac=0.2)[0], *(schedule_pair(**t)[0] for t in TABLES)]
    assert_equal(both(device, core, schedules, horizon=131, record_at=range(132), dtype="float64"))


def test_joined_schedules(device):
    core, _ = problem_pair("absolute_value", "none", "none", 1)
    schedules = [joined_pair(PIECES)[0], COSINE, joined_pair(PIECES[2:])[0]]
    assert_equal(both(device, core, schedules, horizon=131, record_at=range(132), dtype="float64"))


@pytest.mark.parametrize("noise", ["none", "gaussian"])
def test_little_memory_means_chunks_of_the_same_bits(small_device, noise):
    """Replicates in groups, configs in parts: down to one config and the replicates of one block."""
    core, _ = problem_pair("quadratic", noise, "box", 40)
    size = {"base_lr": np.geomspace(0.1, 1, 5), "replicates": 3000, "first": 500, "horizon": 3, "record_at": [1, 3]}
    for memory in (2**32, 3 * 2**20, 2**20, 2**18):
        assert_equal(both(small_device(memory), core, **size))


def test_samples_in_device_memory_over_several_groups():
    """The emulated device's memory is the host's, so a NumPy array plays the one on the device."""
    core, _ = problem_pair("quadratic", "gaussian", "box", 40)
    size = {"base_lr": np.geomspace(0.1, 1, 5), "replicates": 3000, "first": 500, "horizon": 3, "record_at": [1, 3]}
    expected, moments = run(core, [COSINE], device=None, **size)
    for memory in (2**32, 2**20, 2**18):
        out = np.full_like(expected, -1.0)
        device = _core.testing.emulated_device(memory=memory)
        _, got = run(core, [COSINE], device=device, device_samples=out.ctypes.data, keep=False, **size)
        np.testing.assert_array_equal(out, expected)
        assert_same(got, moments)


def test_without_samples(device):
    core, _ = problem_pair("quadratic", "gaussian", "box", 2)
    (_, moments), (_, emulated) = both(device, core, replicates=1500, keep=False)
    assert_same(emulated, moments)


def test_divergence_is_counted(device):
    core = _core.Problems(
        kind=ProblemKind.quadratic,
        noise=NoiseKind.gaussian,
        projection=ProjectionKind.none,
        weight=np.full((1, 1), 3e38),
        shape_parameter=np.ones(1),
        noise_std=np.full((1, 1), 3e38),
        lower=np.zeros((1, 1)),
        upper=np.zeros((1, 1)),
        radius=np.ones(1),
        x0=np.full((1, 1), 1e38),
        minimum=np.zeros(1),
    )
    pair = both(device, core, horizon=50, replicates=100, base_lr=[1e-30, 1.0], record_at=[0, 50])
    assert_equal(pair)
    assert pair[1][1].diverged[0, 1, 1] == 100
    pair = both(device, core, horizon=50, replicates=4, base_lr=np.geomspace(1e-30, 1.0, 200), record_at=[0, 50])
    assert_equal(pair)
    assert pair[1][1].diverged[0, 199, 1] == 4


def test_what_fits_no_device_says_how_much_it_needs():
    core, _ = problem_pair("quadratic", "none", "none", 10**5)
    with pytest.raises(MemoryError, match=r"the state of 4 trajectories takes \d+ bytes on the device, which has 6"):
        run(core, [COSINE], device=_core.testing.emulated_device(memory=65536))
    core, _ = problem_pair("quadratic", "none", "none", 1)
    size = {"replicates": 1024, "horizon": 50, "record_at": range(51)}
    with pytest.raises(MemoryError, match=r"the values of 1024 replicates at 51 records takes \d+ bytes"):
        run(core, [COSINE], device=_core.testing.emulated_device(memory=65536), **size)


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_an_error_of_the_device_is_an_exception_and_the_next_call_works(fail_at):
    core, _ = problem_pair("quadratic", "gaussian", "box", 2)
    device = _core.testing.emulated_device(fail_at=fail_at)
    with pytest.raises(RuntimeError, match="emulated device: launch failed"):
        run(core, [COSINE], device=device, steps_per_launch=20)
    got, _ = run(core, [COSINE], device=device, steps_per_launch=20)
    np.testing.assert_array_equal(got, run(core, [COSINE], device=None)[0])


@pytest.mark.parametrize("busy_for", [0, 1000])
def test_what_poll_raises_stops_the_run(busy_for):
    """Between launches, and while one is at work."""

    class Enough(Exception):
        pass

    def stop(_fraction):
        raise Enough

    core, _ = problem_pair("quadratic", "gaussian", "box", 2)
    size = {"horizon": 10**8, "steps_per_launch": 128, "replicates": 1}
    device = _core.testing.emulated_device(busy_for=busy_for)
    with pytest.raises(Enough):
        run(core, [COSINE], device=device, poll=stop, **size)
    np.testing.assert_array_equal(run(core, [COSINE], device=device)[0], run(core, [COSINE], device=None)[0])


def test_chunks_of_short_horizons_are_watched_too():
    core, _ = problem_pair("quadratic", "gaussian", "box", 1000)
    seen = []
    device = _core.testing.emulated_device(memory=2**21, busy_for=1000)
    run(core, [COSINE], device=device, horizon=10, replicates=20_000, keep=False, poll=seen.append)
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] < 1.0  # the call's end says 1


def test_a_gpu_is_interrupted_within_a_second(need_cuda):
    """A large dimension with few replicates has long steps on few blocks."""
    import threading
    import time
    from _thread import interrupt_main

    core, _ = problem_pair("quadratic", "gaussian", "ball", 2**20)
    device = _core.open_cuda_device(0, PER_THREAD_STREAM)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        interrupt_main()

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(core, [COSINE], device=device, horizon=10**6, replicates=8, keep=False)
    timer.join()
    assert time.perf_counter() - sent.pop() < 2.0


def test_configs_past_the_numbers_of_a_kernel_are_refused():
    core, _ = problem_pair("quadratic", "none", "none", 1)
    many = np.full(2**16, 0.1)
    with pytest.raises(ValueError, match=r"^backend 'cuda' takes at most 2\*\*31 - 1 configs in one call, got 2147"):
        run(core, [COSINE] * 2**15, device=_core.testing.emulated_device(), base_lr=many, keep=False)


def test_two_threads_may_use_one_device(small_device):
    """With balls of dimensions that want different amounts of shared memory."""
    import threading

    cores = [problem_pair("quadratic", "gaussian", "ball", dimension)[0] for dimension in (3, 64, 300, 64)]
    expected = [run(core, [COSINE], device=None, replicates=20)[0] for core in cores]
    found = {}

    def work(i):
        device = small_device(2**30)
        found[i] = [run(cores[i], [COSINE], device=device, replicates=20)[0] for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    for i, runs in found.items():
        for samples in runs:
            np.testing.assert_array_equal(samples, expected[i])
