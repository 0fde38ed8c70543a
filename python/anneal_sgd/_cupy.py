"""Arrays in a GPU's memory: the only file that knows CuPy, which it imports for such arrays and never before.

Arrays of other libraries are taken through `__cuda_array_interface__` or DLPack.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from . import _core

_ON_HOST = (np.ndarray, np.generic, int, float, list, tuple, str, type(None))
_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged


def is_device_array(value: object) -> bool:
    """Whether the value is an array in a GPU's memory."""
    if value is None or isinstance(value, _ON_HOST):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and int(device()[0]) in _DLPACK_CUDA


def to_host(value: Any) -> Any:
    """A device array as a NumPy array, which waits for the device; anything else as it is."""
    return _as_cupy(value).get() if is_device_array(value) else value


def empty(shape: tuple[int, ...], dtype: str, device: int) -> Any:
    """A new CuPy array on the device of that number, from the memory of its current stream."""
    cupy = _cupy()
    with cupy.cuda.Device(device):
        return cupy.empty(shape, dtype)


@dataclass(frozen=True)
class Output:
    """Where samples go: an address, its device, and the stream that the array's owner works on, where it says."""

    address: int
    device: int
    stream: int | None


def output(out: Any, shape: tuple[int, ...], dtype: str) -> Output:
    """A device array that samples can be written to, as it is: never a copy.

    ValueError: another shape, dtype or layout, or read-only.
    """
    array = out if hasattr(out, "__cuda_array_interface__") else _cupy().from_dlpack(out)
    interface = array.__cuda_array_interface__
    got, shape_got = np.dtype(interface["typestr"]), tuple(interface["shape"])
    if shape_got != shape or got != np.dtype(dtype):
        raise ValueError(f"out must be an array of {dtype} and shape {shape}, got {got} of shape {shape_got}")
    strides = interface.get("strides")
    dense = tuple(got.itemsize * prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if strides is not None and any(n > 1 and s != d for n, s, d in zip(shape, strides, dense, strict=True)):
        raise ValueError(f"out must be C-contiguous, got strides {tuple(strides)}")
    address, read_only = interface["data"]
    if read_only:
        raise ValueError("out must be writable, got a read-only array")
    return Output(int(address), _core.cuda_device_of(int(address)), interface.get("stream"))


def current_device() -> int:
    """The number of CuPy's current device; 0 where CuPy is not in use."""
    cupy = sys.modules.get("cupy")
    return 0 if cupy is None else int(cupy.cuda.Device().id)


def current_stream(device: int) -> int | None:
    """The handle of CuPy's current stream on a device, 0 for the default stream; None where CuPy is not in use."""
    cupy = sys.modules.get("cupy")
    return None if cupy is None else int(cupy.cuda.get_current_stream(device).ptr)


def _as_cupy(value: Any) -> Any:
    cupy = _cupy()
    return cupy.asarray(value) if hasattr(value, "__cuda_array_interface__") else cupy.from_dlpack(value)


def _cupy() -> Any:
    try:
        import cupy
    except ModuleNotFoundError:
        raise ImportError("arrays on a GPU need CuPy: pip install 'anneal_sgd[cuda]'") from None
    return cupy
