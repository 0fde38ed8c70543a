"""Which backend a call runs on, and which GPU and stream."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from . import _core, _validate, runtime
from ._cupy import current_device, current_stream
from ._validate import shown

_BACKENDS = ("auto", "cpu", "cuda")
LEGACY_STREAM, _PER_THREAD_STREAM = 1, 2  # cudaStreamLegacy and cudaStreamPerThread, as handles


@dataclass(frozen=True)
class Target:
    """A GPU: the core's handle, its number, and the architecture for `Result.isa`."""

    handle: _core.Device
    number: int
    architecture: str


def choose_backend(backend: object, *, threads: int | None, isa: str | None, on_gpu: bool) -> str:
    """ "cpu" or "cuda". An argument that only one of them knows chooses it, and contradicts the other.

    `on_gpu`: whether there is one for GPUs. ValueError: a contradiction. RuntimeError: "cuda" is not available.
    """
    name = _validate.choice("backend", backend, _BACKENDS)
    of_cpu = "threads" if threads is not None else "isa" if isa is not None else ""
    if on_gpu and (name == "cpu" or of_cpu):
        given = "backend is 'cpu'" if name == "cpu" else f"{of_cpu} is given"
        raise ValueError(f"device, stream, device_output and an out on a GPU must be left out where {given}")
    if name == "cuda" and of_cpu:
        raise ValueError(f"{of_cpu} must be left out where backend is 'cuda', it is for the CPU")
    if name == "cpu" or (name == "auto" and of_cpu):
        return "cpu"
    reason = runtime.why_unavailable("cuda")
    unasked = name == "auto" and not on_gpu
    if not reason:
        return "cpu" if unasked and _distrusted(current_device()) else "cuda"
    if unasked:
        return "cpu"
    raise RuntimeError(f"backend 'cuda' is not available: {reason}")


def _distrusted(number: int) -> bool:
    """Whether a GPU is not to be taken unasked: once per process it must show the CPU's bits in a small run."""
    if number not in _TROUBLE:
        try:
            _TROUBLE[number] = _trouble(number)
        except MemoryError:  # another program has it all: that may change
            return True
        if _TROUBLE[number]:
            text = f"GPU {number} is not used: {_TROUBLE[number]}. backend='cuda' insists on it."
            warnings.warn(text, RuntimeWarning, stacklevel=4)
    return _TROUBLE[number] != ""


_TROUBLE: dict[int, str] = {}  # by device; empty text: none


def _trouble(number: int) -> str:
    from . import problems, schedules
    from ._simulate import Simulator

    box, ball = ("box", -1.0, 1.0), ("ball", 2.0)
    noisy = partial(problems.AbsoluteValue, [0.5, 0.7], noise_std=1.0)
    X, y = np.cos(np.arange(60.0)).reshape(20, 3), np.arange(20) % 2
    cases: tuple[tuple[str, problems.Problem, dict[str, Any]], ...] = (
        ("float32", noisy(noise="gaussian", projection=box), {}),
        ("float32", noisy(noise="rademacher", projection=ball), {}),
        ("float64", noisy(noise="gaussian", projection=box), {}),
        ("float32", problems.MLP(X, y, hidden=(5,), batch_size=6), {"metric": "loss", "momentum": 0.9}),
        ("float64", problems.LogisticRegression(X, y, sampling="reshuffling"), {"metric": "loss"}),
    )
    size: dict[str, Any] = {"base_lr": [0.1, 0.3], "horizon": 300, "replicates": 40, "record_at": [7, 300]}
    try:
        for dtype, problem, options in cases:
            options = {**size, **options, "dtype": dtype, "keep_samples": True}
            run = partial(Simulator(problem).run, schedules.Cosine(), **options)
            on_gpu, on_cpu = run(backend="cuda", device=number), run(backend="cpu")
            if not np.array_equal(np.asarray(on_gpu.samples), np.asarray(on_cpu.samples)):
                return "its trajectories differ from the CPU's"
    except RuntimeError as error:
        return str(error)
    return ""


def open_target(device: object, stream: object) -> Target:
    """The GPU of a call: by default CuPy's current device and stream where CuPy is in use, else device 0.

    ValueError: no device of that number, or something that is no stream.
    """
    devices = runtime._cuda_devices()
    number = (
        current_device() if device is None else _validate.integer("device", device, lowest=0, highest=len(devices) - 1)
    )
    handle = current_stream(number) if stream is None else _stream_handle(stream)
    return _opened(number, _PER_THREAD_STREAM if handle is None else handle or LEGACY_STREAM)


@lru_cache(maxsize=256)
def _opened(number: int, stream: int) -> Target:
    capability = runtime._cuda_devices()[number]["compute_capability"].replace(".", "")
    return Target(_core.open_cuda_device(number, stream), number, f"sm_{capability}")


def _stream_handle(stream: object) -> int:
    """Of an object with `__cuda_stream__`, `ptr` (CuPy) or `cuda_stream` (PyTorch), or the handle itself."""
    protocol = getattr(stream, "__cuda_stream__", None)
    if protocol is not None:
        return int(protocol()[1])
    for name in ("ptr", "cuda_stream"):
        if hasattr(stream, name):
            return int(getattr(stream, name))
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    raise ValueError(f"stream must be a CUDA stream or the handle of one, got {shown(stream)}")
