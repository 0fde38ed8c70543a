"""Every call of the CUDA runtime fails, each in its turn, over the stand-in; `make ptx-check` runs this.

What fails is an exception with CUDA's text; no copy is left that would write to the host's memory later, nothing on the
device stays taken, and the next call has the right bits.
"""

from __future__ import annotations

import ctypes
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from anneal_sgd import _core, problems, runtime, schedules, simulate
from anneal_sgd.programs import _machine_code
from core_cases import COSINE, problem_pair, run
from test_cuda_data import core, make

RUNTIME = ctypes.CDLL(_core.__file__)
RUNTIME.ptxrun_fail_at.argtypes = [ctypes.c_uint64, ctypes.c_int, ctypes.c_int]
RUNTIME.ptxrun_failed.restype = ctypes.c_char_p
for name in ("calls", "events", "pools", "modules", "pending_downloads", "allocated"):
    getattr(RUNTIME, f"ptxrun_{name}").restype = ctypes.c_uint64
LAUNCH_FAILURE, OUT_OF_MEMORY = 719, 2
ERRORS = {LAUNCH_FAILURE: "unspecified launch failure", OUT_OF_MEMORY: "out of memory"}
STREAM = 2
ANY_DEVICE = -1
WITHOUT_POOLS = 2


def in_groups() -> tuple[Any, dict[str, Any]]:
    """Two groups of replicates, and two launches of each; values are counted and points kept."""
    problem, _ = problem_pair("quadratic", "rademacher", "box", 1)
    size = {"replicates": 1030, "horizon": 2, "record_at": [1, 2], "steps_per_launch": 1, "memory": 1 << 16}
    return problem, {**size, "kept": {"exceedance": (1, 2, _core.EXCEEDANCE_BINS), "iterates": (1, 1, 1030)}}


def in_shared_memory() -> tuple[Any, dict[str, Any]]:
    """A ball, whose state is in shared memory that has to be asked for."""
    problem, _ = problem_pair("quadratic", "gaussian", "ball", 64)
    return problem, {"replicates": 2, "horizon": 2}


def on_data() -> tuple[Any, dict[str, Any]]:
    """A batch of several launches."""
    problem = make("SoftmaxRegression", n=40, d=5, batch_size=70)
    size = {"replicates": 2, "horizon": 2, "rows_per_launch": 32, "momentum": 0.9, "metrics": ("loss",)}
    return core(problem), size


def results(problem: Any, size: dict[str, Any], device: _core.Device | None = None) -> list[NDArray[Any]]:
    kept = {
        name: np.zeros(shape, np.int64 if name == "exceedance" else np.float32)
        for name, shape in size.pop("kept", {}).items()
    }
    return [run(problem, [COSINE], device=device, **size, **kept)[0], *kept.values()]


def on_gpu(problem: Any, size: dict[str, Any], number: int) -> list[NDArray[Any]]:
    size = dict(size)
    device = _core.open_cuda_device(number, STREAM, most_memory=size.pop("memory", 0))
    device.follow(1)  # what an array's owner has enqueued
    return results(problem, size, device)


def assert_equal(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("case", "number"), [(in_groups, 0), (in_shared_memory, 0), (on_data, 0), (in_groups, WITHOUT_POOLS)]
)
def test_every_call_may_fail(case: Any, number: int, error: int) -> None:
    problem, size = case()
    of_cpu = {name: value for name, value in size.items() if not name.endswith(("_per_launch", "memory"))}
    expected = results(problem, of_cpu)
    RUNTIME.ptxrun_fail_at(0, 0, ANY_DEVICE)
    assert_equal(on_gpu(problem, size, number), expected)
    uses = RUNTIME.ptxrun_calls()
    failed = set()
    taken, pools = RUNTIME.ptxrun_allocated(), RUNTIME.ptxrun_pools()
    assert uses > 30
    for n in range(1, uses + 1):
        RUNTIME.ptxrun_fail_at(n, error, ANY_DEVICE)
        text = ERRORS[error]
        try:  # no error: while cleaning up, where nobody is left to be told
            assert_equal(on_gpu(problem, size, number), expected)
        except (RuntimeError, MemoryError) as raised:
            failed.add(RUNTIME.ptxrun_failed())
            text = str(raised)
        assert ERRORS[error] in text, f"call {n}, {RUNTIME.ptxrun_failed()}: {text}"
        assert RUNTIME.ptxrun_pending_downloads() == 0, f"call {n}, {RUNTIME.ptxrun_failed()}"
        assert RUNTIME.ptxrun_events() == 0
        assert RUNTIME.ptxrun_pools() == pools
        RUNTIME.ptxrun_fail_at(0, 0, ANY_DEVICE)
        assert_equal(on_gpu(problem, size, number), expected)
        # Where the device cannot even be asked for, on the way to letting go of memory, that memory is lost.
        if RUNTIME.ptxrun_failed() == b"cudaGetDevice":
            taken = RUNTIME.ptxrun_allocated()
        assert RUNTIME.ptxrun_allocated() == taken, f"call {n}, {RUNTIME.ptxrun_failed()}"
    allocating = b"cudaMalloc" if number == WITHOUT_POOLS else b"cudaMallocFromPoolAsync"
    assert {allocating, b"cudaMemcpyAsync", b"cudaLaunchKernel", b"cudaStreamSynchronize"} <= failed


@pytest.mark.parametrize("error", ERRORS)
def test_every_call_of_one_of_several_devices_may_fail(error: int) -> None:
    """The error names the device, and all are ready for the next call."""
    problem, size = problem_pair("quadratic", "rademacher", "box", 1)[0], {"replicates": 1030, "horizon": 2}
    expected = run(problem, [COSINE], **size)[0]
    devices = tuple(_core.open_cuda_device(number, STREAM) for number in (WITHOUT_POOLS, 1))

    def call() -> Any:
        return run(problem, [COSINE], device=devices, **size)[0]

    for number in (1, WITHOUT_POOLS):
        RUNTIME.ptxrun_fail_at(0, 0, number)
        np.testing.assert_array_equal(call(), expected)
        uses, taken = RUNTIME.ptxrun_calls(), RUNTIME.ptxrun_allocated()
        assert uses > 10
        for n in range(1, uses + 1):
            RUNTIME.ptxrun_fail_at(n, error, number)
            text = f"device {number}: CUDA: {ERRORS[error]}"
            try:
                np.testing.assert_array_equal(call(), expected)
            except (RuntimeError, MemoryError) as raised:
                text = str(raised)
            assert text.startswith(f"device {number}: CUDA"), f"call {n}, {RUNTIME.ptxrun_failed()}: {text}"
            assert ERRORS[error] in text
            assert RUNTIME.ptxrun_pending_downloads() == 0
            RUNTIME.ptxrun_fail_at(0, 0, ANY_DEVICE)
            np.testing.assert_array_equal(call(), expected)
            if RUNTIME.ptxrun_failed() == b"cudaGetDevice":
                taken = RUNTIME.ptxrun_allocated()
            assert RUNTIME.ptxrun_allocated() == taken, f"call {n}, {RUNTIME.ptxrun_failed()}"


@pytest.mark.parametrize("error", ERRORS)
def test_every_call_with_machine_code_may_fail(error: int) -> None:
    """A module that is not loaded leaves the steps to the interpreter, and `runtime` says so."""
    problem = problems.Custom("sum(abs(x))", x0=[1.0, 0.5], noise="gaussian", noise_std=0.5)
    size: dict[str, Any] = {"base_lr": [0.1, 0.2], "horizon": 70, "replicates": 9, "metric": "value"}

    def call(backend: Literal["cpu", "cuda"] = "cuda") -> NDArray[Any]:
        _machine_code._known_on_gpus.clear()  # loaded again
        return np.asarray(simulate(problem, schedules.Cosine(), backend=backend, **size).mean)

    expected = call("cpu")
    runtime.set_machine_code("on")
    try:
        call()
        left, failed = (RUNTIME.ptxrun_allocated(), RUNTIME.ptxrun_modules()), set()
        RUNTIME.ptxrun_fail_at(0, 0, ANY_DEVICE)
        np.testing.assert_array_equal(call(), expected)
        uses = RUNTIME.ptxrun_calls()
        for n in range(1, uses + 1):
            RUNTIME.ptxrun_fail_at(n, error, ANY_DEVICE)
            text = ERRORS[error]
            try:
                np.testing.assert_array_equal(call(), expected)
            except (RuntimeError, MemoryError) as raised:
                text = str(raised)
            assert ERRORS[error] in text, f"call {n}, {RUNTIME.ptxrun_failed()}: {text}"
            failed.add(RUNTIME.ptxrun_failed())
            why = runtime.why_no_machine_code("cuda")
            assert (ERRORS[error] in why) == (RUNTIME.ptxrun_failed() in (b"load_module", b"function_of_module")), why
            assert RUNTIME.ptxrun_pending_downloads() == 0, f"call {n}, {RUNTIME.ptxrun_failed()}"
            RUNTIME.ptxrun_fail_at(0, 0, ANY_DEVICE)
            np.testing.assert_array_equal(call(), expected)
            assert runtime.why_no_machine_code("cuda") == ""
            if RUNTIME.ptxrun_failed() == b"cudaGetDevice":  # as above, of modules too
                left = RUNTIME.ptxrun_allocated(), RUNTIME.ptxrun_modules()
            found = RUNTIME.ptxrun_allocated(), RUNTIME.ptxrun_modules()
            assert found == left, f"call {n}, {RUNTIME.ptxrun_failed()}"
        assert {b"load_module", b"function_of_module", b"launch_function"} <= failed
    finally:
        runtime.set_machine_code(None)
