"""Tests of the CUDA backend's host code over the stand-in for the CUDA runtime; `make ptx-check` runs them.

Streams of every kind, arrays on the device whose owners are still at work, too little memory, threads, several devices,
and contexts of other libraries. There are three devices, the last of which has no memory pools (PTXRUN_DEVICES=3,
PTXRUN_NO_POOLS=2).
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import Result, _core, problems, schedules, simulate

RUNTIME = ctypes.CDLL(_core.__file__)
RUNTIME.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
RUNTIME.cudaFree.argtypes = [ctypes.c_void_p]
RUNTIME.cudaMemcpyAsync.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p]
RUNTIME.cudaStreamCreateWithFlags.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint]
RUNTIME.ptxrun_allocated.restype = ctypes.c_uint64
RUNTIME.ptxrun_active.restype = ctypes.c_bool
TO_DEVICE, TO_HOST = 1, 2
BLOCKING, NON_BLOCKING = 0, 1
DEFAULT, LEGACY, PER_THREAD = 0, 1, 2
SHAPE = (2, 600)
DEVICES = (0, 1, 2)
PROBLEM = problems.AbsoluteValue(0.5, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))


def call(**changes: Any) -> Result:
    arguments = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": SHAPE[1], "seed": 7, "backend": "cuda", **changes}
    return simulate(PROBLEM, schedules.Linear(), **arguments)


def current_device() -> int:
    number = ctypes.c_int(-1)
    assert RUNTIME.cudaGetDevice(ctypes.byref(number)) == 0
    return number.value


@contextmanager
def another_library_on(device: int) -> Iterator[None]:
    """Makes a device current, as what shares the process does."""
    before = current_device()
    assert RUNTIME.cudaSetDevice(device) == 0
    yield
    assert RUNTIME.cudaSetDevice(before) == 0


def in_a_process_of_its_own(code: str) -> None:
    """Runs code that has this module as h; shows what it says where it fails."""
    words = [sys.executable, "-c", f"import ptx.host_calls as h\n{code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def new_stream(flags: int, device: int = 0) -> int:
    handle = ctypes.c_void_p()
    with another_library_on(device):
        assert RUNTIME.cudaStreamCreateWithFlags(ctypes.byref(handle), flags) == 0
    return handle.value or 0


class OnDevice:
    """An array of another library, whose memory belongs to a stream."""

    def __init__(self, stream: int, device: int = 0) -> None:
        self.size = 4 * SHAPE[0] * SHAPE[1]
        memory = ctypes.c_void_p()
        with another_library_on(device):
            assert RUNTIME.cudaMalloc(ctypes.byref(memory), self.size) == 0
        self.memory, self.device, self.stream = memory.value, device, stream
        interface = {"shape": SHAPE, "typestr": "<f4", "data": (self.memory, False), "strides": None, "version": 3}
        self.__cuda_array_interface__ = {**interface, "stream": stream}

    def fill_later(self, values: NDArray[np.float32]) -> None:
        with another_library_on(self.device):
            assert RUNTIME.cudaMemcpyAsync(self.memory, values.ctypes.data, self.size, TO_DEVICE, self.stream) == 0

    def get(self) -> NDArray[np.float32]:
        values = np.empty(SHAPE, np.float32)
        with another_library_on(self.device):
            RUNTIME.cudaDeviceSynchronize()
            assert RUNTIME.cudaMemcpyAsync(values.ctypes.data, self.memory, self.size, TO_HOST, None) == 0
            RUNTIME.cudaDeviceSynchronize()
        return values


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    samples = call(backend="cpu", keep_samples=True).samples
    assert samples is not None
    return samples


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    before = RUNTIME.ptxrun_allocated()
    yield
    assert RUNTIME.ptxrun_allocated() == before


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stream", [None, DEFAULT, LEGACY, PER_THREAD, "blocking", "non-blocking"])
def test_every_kind_of_stream(expected: NDArray[np.float32], stream: int | str | None, device: int) -> None:
    if isinstance(stream, str):
        stream = new_stream(BLOCKING if stream == "blocking" else NON_BLOCKING, device)
    np.testing.assert_array_equal(call(stream=stream, device=device, keep_samples=True).samples, expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("owner", [LEGACY, PER_THREAD, "blocking", "non-blocking"])
@pytest.mark.parametrize("stream", [DEFAULT, PER_THREAD, "non-blocking"])
def test_what_an_owner_has_enqueued_comes_first(
    expected: NDArray[np.float32], stream: int | str, owner: int | str, device: int
) -> None:
    mine, theirs = (
        s if isinstance(s, int) else new_stream(BLOCKING if s == "blocking" else NON_BLOCKING, device)
        for s in (stream, owner)
    )
    out, garbage = OnDevice(theirs, device), np.full(SHAPE, 99, np.float32)
    out.fill_later(garbage)
    call(out=out, stream=mine, device=device)
    np.testing.assert_array_equal(out.get(), expected)
    RUNTIME.cudaFree(out.memory)


def test_threads_have_streams_of_their_own(expected: NDArray[np.float32]) -> None:
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = call(keep_samples=True, device=[0, [0, 1], "all", 2][i]).samples

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(found[i], expected)


@pytest.mark.parametrize("device", DEVICES)
def test_a_full_device_is_a_memory_error_and_the_next_call_works(expected: NDArray[np.float32], device: int) -> None:
    taken, size = [], 1 << 29
    with another_library_on(device):
        while size > 4096:
            memory = ctypes.c_void_p()
            if RUNTIME.cudaMalloc(ctypes.byref(memory), size) == 0:
                taken.append(memory.value)
            else:
                size //= 2
                RUNTIME.cudaGetLastError()
    full = rf"CUDA device {device} could not allocate|on the device, which has"
    with pytest.raises(MemoryError, match=full):
        call(replicates=200_000, device=device)
    with pytest.raises(MemoryError, match=rf"^device {device}: .*({full})"):
        call(replicates=600_000, device="all")
    np.testing.assert_array_equal(call(keep_samples=True, device=(device + 1) % 3).samples, expected)
    for address in taken:
        RUNTIME.cudaFree(address)
    np.testing.assert_array_equal(call(keep_samples=True, device=device).samples, expected)


@pytest.mark.parametrize("number", [-1, 3])
def test_devices_that_are_not_there(number: int) -> None:
    for device in (number, [0, number]):
        with pytest.raises(ValueError, match=rf"^device must be an integer in 0 \.\. 2, got {number}"):
            call(device=device)


@pytest.mark.parametrize("device", ["all", [2, 0], [1], [1, 2]])
def test_several_devices_have_the_bits_of_one(device: Any) -> None:
    size = {"replicates": 2600, "first_replicate": 500, "keep_samples": True, "record_at": [7, 20]}
    of_cpu, got = call(backend="cpu", **size), call(device=device, **size)
    for name in ("samples", "mean", "stderr", "min", "max", "count"):
        np.testing.assert_array_equal(getattr(got, name), getattr(of_cpu, name))


def test_a_stream_of_another_device_is_an_error(expected: NDArray[np.float32]) -> None:
    with pytest.raises(RuntimeError, match=r"^CUDA: launching a kernel of \d+ blocks: invalid resource handle"):
        call(device=1, stream=new_stream(NON_BLOCKING, 0))
    np.testing.assert_array_equal(call(keep_samples=True, device=1).samples, expected)


@pytest.mark.parametrize("theirs", DEVICES)
def test_the_device_of_another_library_stays_current(theirs: int) -> None:
    with another_library_on(theirs):
        for mine in (0, 1, 2, "all"):
            call(device=mine, replicates=2100)
            assert current_device() == theirs


def test_a_device_that_nobody_asked_for_is_left_alone() -> None:
    """It gets no context, which would cost a GPU hundreds of megabytes; nor does one that was current, but unused."""
    in_a_process_of_its_own(
        "active = lambda: [h.RUNTIME.ptxrun_active(d) for d in h.DEVICES]\n"
        "assert active() == [False, False, False]\n"
        "h.call(device=1)\n"
        "assert active() == [False, True, False], active()\n"
        "h.call(device=[2, 1], replicates=3000)\n"
        "assert active() == [False, True, True], active()\n"
    )


def test_a_kernel_that_writes_to_another_device_is_found_and_only_its_own_device_is_lost() -> None:
    in_a_process_of_its_own(
        "import pytest, core_cases as c\n"
        "out, (problem, _) = h.OnDevice(2), c.problem_pair('quadratic', 'gaussian', 'box', 1)\n"
        "device = h._core.open_cuda_device(1, 2)\n"
        "size = {'replicates': 600, 'base_lr': (0.1, 0.2), 'keep': False}\n"
        "with pytest.raises(RuntimeError, match='ANOTHER DEVICE.s memory at .*ensemble_kernel'):\n"
        "    c.run(problem, [c.COSINE], device=device, device_samples=out.memory, **size)\n"
        "with pytest.raises(RuntimeError, match='ANOTHER DEVICE'):\n"
        "    c.run(problem, [c.COSINE], device=device, **size)\n"
        "h.call(device=[0, 2], replicates=3000)\n"
    )


def test_what_progress_raises_stops_the_run(expected: NDArray[np.float32]) -> None:
    class Stop(Exception):
        pass

    def stop(_fraction: float) -> None:
        raise Stop

    for device in (0, "all"):
        with pytest.raises(Stop):
            call(horizon=4000, progress=stop, device=device, replicates=2100)
    np.testing.assert_array_equal(call(keep_samples=True).samples, expected)


def test_every_device_loads_machine_code_of_its_own() -> None:
    """Threads share it; what nobody wants any more is unloaded."""
    from anneal_sgd import runtime
    from anneal_sgd.programs import _machine_code

    RUNTIME.ptxrun_modules.restype = RUNTIME.ptxrun_module_launches.restype = ctypes.c_uint64
    problem = problems.Custom("sum(abs(x))", x0=[1.0, 0.5], noise="gaussian", noise_std=0.5)
    size: dict[str, Any] = {"base_lr": [0.1, 0.2], "horizon": 70, "replicates": 3100, "metric": "value"}
    expected = simulate(problem, schedules.Linear(), backend="cpu", **size).mean
    runtime.set_machine_code("on")
    found: list[NDArray[Any]] = []

    def work() -> None:
        found.append(simulate(problem, schedules.Linear(), backend="cuda", device=DEVICES, **size).mean)

    try:
        _machine_code._known_on_gpus.clear()
        before, launched = RUNTIME.ptxrun_modules(), RUNTIME.ptxrun_module_launches()
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert RUNTIME.ptxrun_modules() == before + len(DEVICES)
        assert RUNTIME.ptxrun_module_launches() > launched
        _machine_code._known_on_gpus.clear()
        assert RUNTIME.ptxrun_modules() == before
    finally:
        runtime.set_machine_code(None)
    assert len(found) == 3
    for one in found:
        np.testing.assert_array_equal(one, expected)
