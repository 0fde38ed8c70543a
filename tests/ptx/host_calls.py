"""Tests of the CUDA backend's host code over the stand-in for the CUDA runtime; `make ptx-check` runs them.

Streams of every kind, arrays on the device whose owners are still at work, too little memory, threads.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
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
TO_DEVICE, TO_HOST = 1, 2
BLOCKING, NON_BLOCKING = 0, 1
DEFAULT, LEGACY, PER_THREAD = 0, 1, 2
SHAPE = (2, 600)
PROBLEM = problems.AbsoluteValue(0.5, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))


def call(**changes: Any) -> Result:
    arguments = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": SHAPE[1], "seed": 7, "backend": "cuda", **changes}
    return simulate(PROBLEM, schedules.Linear(), **arguments)


def new_stream(flags: int) -> int:
    handle = ctypes.c_void_p()
    assert RUNTIME.cudaStreamCreateWithFlags(ctypes.byref(handle), flags) == 0
    return handle.value or 0


class OnDevice:
    """An array of another library, whose memory belongs to a stream."""

    def __init__(self, stream: int) -> None:
        self.size = 4 * SHAPE[0] * SHAPE[1]
        memory = ctypes.c_void_p()
        assert RUNTIME.cudaMalloc(ctypes.byref(memory), self.size) == 0
        self.memory, self.device, self.stream = memory.value, 0, stream
        interface = {"shape": SHAPE, "typestr": "<f4", "data": (self.memory, False), "strides": None, "version": 3}
        self.__cuda_array_interface__ = {**interface, "stream": stream}

    def fill_later(self, values: NDArray[np.float32]) -> None:
        assert RUNTIME.cudaMemcpyAsync(self.memory, values.ctypes.data, self.size, TO_DEVICE, self.stream) == 0

    def get(self) -> NDArray[np.float32]:
        values = np.empty(SHAPE, np.float32)
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


@pytest.mark.parametrize("stream", [None, DEFAULT, LEGACY, PER_THREAD, "blocking", "non-blocking"])
def test_every_kind_of_stream(expected: NDArray[np.float32], stream: int | str | None) -> None:
    if isinstance(stream, str):
        stream = new_stream(BLOCKING if stream == "blocking" else NON_BLOCKING)
    np.testing.assert_array_equal(call(stream=stream, keep_samples=True).samples, expected)


@pytest.mark.parametrize("owner", [LEGACY, PER_THREAD, "blocking", "non-blocking"])
@pytest.mark.parametrize("stream", [DEFAULT, PER_THREAD, "non-blocking"])
def test_what_an_owner_has_enqueued_comes_first(
    expected: NDArray[np.float32], stream: int | str, owner: int | str
) -> None:
    mine, theirs = (
        s if isinstance(s, int) else new_stream(BLOCKING if s == "blocking" else NON_BLOCKING) for s in (stream, owner)
    )
    out, garbage = OnDevice(theirs), np.full(SHAPE, 99, np.float32)
    out.fill_later(garbage)
    call(out=out, stream=mine)
    np.testing.assert_array_equal(out.get(), expected)
    RUNTIME.cudaFree(out.memory)


def test_threads_have_streams_of_their_own(expected: NDArray[np.float32]) -> None:
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = call(keep_samples=True).samples

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(found[i], expected)


def test_a_full_device_is_a_memory_error_and_the_next_call_works(expected: NDArray[np.float32]) -> None:
    taken, size = [], 1 << 29
    while size > 4096:
        memory = ctypes.c_void_p()
        if RUNTIME.cudaMalloc(ctypes.byref(memory), size) == 0:
            taken.append(memory.value)
        else:
            size //= 2
            RUNTIME.cudaGetLastError()
    with pytest.raises(MemoryError, match=r"CUDA device 0 could not allocate|on the device, which has"):
        call(replicates=200_000)
    for address in taken:
        RUNTIME.cudaFree(address)
    np.testing.assert_array_equal(call(keep_samples=True).samples, expected)


@pytest.mark.parametrize("number", [-1, 1])
def test_devices_that_are_not_there(number: int) -> None:
    with pytest.raises(ValueError, match=r"^device must be an integer in 0 \.\. 0"):
        call(device=number)


def test_what_progress_raises_stops_the_run(expected: NDArray[np.float32]) -> None:
    class Stop(Exception):
        pass

    def stop(_fraction: float) -> None:
        raise Stop

    with pytest.raises(Stop):
        call(horizon=20_000, progress=stop)
    np.testing.assert_array_equal(call(keep_samples=True).samples, expected)
