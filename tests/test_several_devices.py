"""One call on several devices has the bits of one device and of the CPU; errors say which device they are of.

Devices are emulated here; tests/ptx/host_calls.py has several that the stand-in for the CUDA runtime plays.
"""

from __future__ import annotations

import threading
import time
from _thread import interrupt_main

import numpy as np
import pytest

from anneal_sgd import _core
from core_cases import COSINE, DTYPES, ITERATES, assert_equal, assert_same, both, problem_pair, run
from test_cuda_data import core as on_data
from test_cuda_data import make

emulated = _core.testing.emulated_device


def devices(count, **options):
    return tuple(emulated(number=number, **options) for number in range(count))


def problem(dimension=2):
    return problem_pair("quadratic", "gaussian", "box", dimension)[0]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("first", "replicates"), [(0, 1), (0, 1024), (1023, 2), (0, 5000), (1000, 3097), (2**32 - 2500, 2500)]
)
def test_how_many_devices_there_are_changes_no_bit(first, replicates, count):
    size = {"first": first, "replicates": replicates, "base_lr": (0.1, 0.3), "horizon": 20, "record_at": [3, 20]}
    assert_equal(both(devices(count), problem(), **size))


def test_every_kind_of_problem_and_iterate():
    for dtype in DTYPES:
        for iterate in ITERATES:
            assert_equal(both(devices(3), problem(33), replicates=2100, horizon=9, dtype=dtype, iterate=iterate))
    size = {"replicates": 2100, "horizon": 5, "record_at": [1, 5], "metrics": ("loss",), "momentum": 0.9}
    assert_equal(both(devices(2), on_data(make("SoftmaxRegression", n=20, d=3, batch_size=7)), **size))


def test_devices_may_have_different_memories():
    """Their groups of replicates and parts of configs are different ones then."""
    mine = emulated(number=0), emulated(number=1, memory=2**18), emulated(number=2, memory=2**20)
    size = {"base_lr": np.geomspace(0.1, 1, 5), "replicates": 9000, "first": 500, "horizon": 3, "record_at": [1, 3]}
    assert_equal(both(mine, problem(40), **size))


def test_shares_are_equal_and_of_whole_blocks():
    """Of seven blocks, the first and the last begun, on three devices whose memory holds one: two launches for each."""
    size = {"first": 512, "replicates": 6 * 1024, "horizon": 12, "record_at": range(1, 13), "keep": False}

    def fails(number, launch):
        mine = tuple(emulated(number=i, memory=2**18, fail_at=launch if i == number else 0) for i in range(3))
        try:
            run(problem(1), [COSINE], device=mine, **size)
        except RuntimeError as error:
            return str(error) == f"device {number}: emulated device: launch failed"
        return False

    launches = [sum(fails(number, launch) for launch in range(1, 9)) for number in range(3)]
    assert launches == [4, 4, 6]


def test_a_device_without_a_share_is_left_alone():
    mine = emulated(number=0), emulated(number=1), emulated(number=2, fail_at=1)
    assert_equal(both(mine, problem(), replicates=2048))


def test_an_error_names_its_device_and_ends_the_others():
    mine = emulated(number=4), emulated(number=5, fail_at=30)
    size = {"replicates": 2048, "horizon": 10**8, "steps_per_launch": 128, "keep": False}
    with pytest.raises(RuntimeError, match=r"^device 5: emulated device: launch failed$"):
        run(problem(), [COSINE], device=mine, **size)
    assert_equal(both(mine, problem(), replicates=2048))


def test_what_fits_one_device_not_is_found_before_any_has_begun():
    mine = emulated(number=0, fail_at=1), emulated(number=3, memory=2**16)
    with pytest.raises(MemoryError, match=r"^device 3: the state of 1 trajectories takes \d+ bytes on the device, "):
        run(problem(10**5), [COSINE], device=mine, replicates=1025, horizon=1)
    assert_equal(both(mine[1:], problem(), replicates=20))


@pytest.mark.parametrize("busy_for", [0, 1000])
def test_what_poll_raises_stops_all_devices(busy_for):
    class Enough(Exception):
        pass

    def stop(_fraction):
        assert threading.current_thread() is threading.main_thread()
        raise Enough

    mine = devices(3, busy_for=busy_for)
    with pytest.raises(Enough):
        run(problem(), [COSINE], device=mine, poll=stop, horizon=10**8, steps_per_launch=128, replicates=3072)
    assert_equal(both(mine, problem(), replicates=3000))


def test_an_interrupt_stops_all_devices():
    timer = threading.Timer(0.2, interrupt_main)
    timer.start()
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run(problem(), [COSINE], device=devices(2), horizon=10**8, steps_per_launch=128, replicates=2048)
    timer.join()
    assert time.perf_counter() - began < 5.0


def test_progress_grows_to_the_end():
    seen = []
    size = {"replicates": 2048, "horizon": 3000, "steps_per_launch": 128, "keep": False}
    run(problem(), [COSINE], device=devices(2), poll=seen.append, **size)
    assert seen == sorted(seen)
    assert seen[0] >= 0.0
    assert seen[-1] < 1.0  # the call's end says 1


def test_progress_is_of_all_devices():
    """One that has done its single replicate says little of one that is at work on 1024."""
    seen = []
    size = {"first": 1023, "replicates": 1025, "horizon": 80, "steps_per_launch": 8, "keep": False}
    run(problem(200), [COSINE], device=devices(2), poll=seen.append, **size)
    assert 0.0 <= seen[0] < 0.9
    assert max(seen) < 1.0


def test_host_memory_is_that_of_all_shares():
    """Seven blocks of one tree have three nodes; shares of two, two and three blocks have four."""

    class Told(Exception):
        pass

    def tell(needed):
        raise Told(needed)

    def needed(count):
        size = {"base_lr": np.full(2**17, 0.1), "replicates": 7 * 1024, "keep": False}
        with pytest.raises(Told) as told:
            run(problem(1), [COSINE], device=devices(count), check_memory=tell, **size)
        return told.value.args[0]

    assert needed(3) == pytest.approx(needed(1) * 4 / 3)


def test_samples_go_where_they_belong():
    """In the call's array, between those of other devices, and in groups."""
    expected, moments = run(problem(40), [COSINE], device=None, replicates=4000, first=300, base_lr=(0.1, 0.2))
    mine = devices(2, memory=2**19)
    got, same = run(problem(40), [COSINE], device=mine, replicates=4000, first=300, base_lr=(0.1, 0.2))
    np.testing.assert_array_equal(got, expected)
    assert_same(same, moments)
