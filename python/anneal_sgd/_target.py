"""Which GPUs and stream a call runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import _core, _validate, runtime
from ._cupy import current_device, current_stream
from ._validate import shown

LEGACY_STREAM, _PER_THREAD_STREAM = 1, 2  # cudaStreamLegacy and cudaStreamPerThread, as handles


@dataclass(frozen=True)
class Target:
    """GPUs: the core's handles, their numbers, and the architectures for `Result.isa`."""

    handles: tuple[_core.Device, ...]
    numbers: tuple[int, ...]
    architecture: str


def open_target(device: object, stream: object) -> Target:
    """The GPUs of a call: by default CuPy's current device and stream where CuPy is in use, else device 0.

    ValueError: no device of that number, none or one of them twice, something that is no stream, or one for several.
    """
    numbers = device_numbers(device)
    if stream is not None and len(numbers) > 1:
        raise ValueError(f"stream must be left out where several GPUs compute, {shown(numbers)}: it is of one of them")
    opened = []
    for number in numbers:
        handle = current_stream(number) if stream is None else _stream_handle(stream)
        opened.append(_opened(number, _PER_THREAD_STREAM if handle is None else handle or LEGACY_STREAM))
    architectures = dict.fromkeys(architecture for _, architecture in opened)
    return Target(tuple(handle for handle, _ in opened), numbers, "+".join(architectures))


def device_numbers(device: object) -> tuple[int, ...]:
    """Of the argument `device`: None, "all", a number, or a sequence of numbers."""
    count = len(runtime._cuda_devices())
    if device is None:
        return (current_device(),)
    if isinstance(device, np.ndarray):
        device = device.tolist()
    if isinstance(device, str) and device == "all":
        return tuple(range(count))
    given = (device,) if isinstance(device, str) or not isinstance(device, Sequence) else device
    numbers = tuple(_validate.integer("device", number, lowest=0, highest=count - 1) for number in given)
    if not numbers:
        raise ValueError(f"device must name at least one GPU, got {shown(device)}; 'all' takes every one there is")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"device must name a GPU once, got {shown(device)}")
    return numbers


@lru_cache(maxsize=256)
def _opened(number: int, stream: int) -> tuple[_core.Device, str]:
    capability = runtime._cuda_devices()[number]["compute_capability"].replace(".", "")
    return _core.open_cuda_device(number, stream), f"sm_{capability}"


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
