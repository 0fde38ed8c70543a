"""Which GPU and stream a call runs on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import _core, _validate, runtime
from ._cupy import current_device, current_stream
from ._validate import shown

LEGACY_STREAM, _PER_THREAD_STREAM = 1, 2  # cudaStreamLegacy and cudaStreamPerThread, as handles


@dataclass(frozen=True)
class Target:
    """A GPU: the core's handle, its number, and the architecture for `Result.isa`."""

    handle: _core.Device
    number: int
    architecture: str


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
