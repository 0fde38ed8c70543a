"""Which backend a call runs on, and which GPU and stream."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import _core, _validate, runtime
from ._cupy import current_device, current_stream
from ._validate import shown

_BACKENDS = ("auto", "cpu", "cuda")
_LEGACY_STREAM, _PER_THREAD_STREAM = 1, 2  # cudaStreamLegacy and cudaStreamPerThread, as handles


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
    if not reason:
        return "cuda"
    if name == "auto" and not on_gpu:
        return "cpu"
    raise RuntimeError(f"backend 'cuda' is not available: {reason}")


def open_target(device: object, stream: object) -> Target:
    """The GPU of a call: by default CuPy's current device and stream where CuPy is in use, else device 0.

    ValueError: no device of that number, or something that is no stream.
    """
    devices = runtime._cuda_devices()
    number = (
        current_device() if device is None else _validate.integer("device", device, lowest=0, highest=len(devices) - 1)
    )
    handle = current_stream() if stream is None else _stream_handle(stream)
    if handle is None:
        handle = _PER_THREAD_STREAM
    return _opened(number, handle or _LEGACY_STREAM)


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
