"""Arrays in a GPU's memory: the only file that knows CuPy, which it imports for such arrays and never before.

Arrays of other libraries are taken through `__cuda_array_interface__` or DLPack.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_ON_HOST = (np.ndarray, np.generic, int, float, list, tuple, str, type(None))
_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged


def is_device_array(value: object) -> bool:
    """Whether the value is an array in a GPU's memory."""
    if isinstance(value, _ON_HOST):
        return False
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and int(device()[0]) in _DLPACK_CUDA


def to_host(value: Any) -> Any:
    """A device array as a NumPy array, which waits for the device; anything else as it is."""
    return _as_cupy(value).get() if is_device_array(value) else value


def empty(shape: tuple[int, ...], dtype: str, device: int) -> Any:
    """A new CuPy array on the device of that number."""
    cupy = _cupy()
    with cupy.cuda.Device(device):
        return cupy.empty(shape, dtype)


def writable_address(out: Any, shape: tuple[int, ...], dtype: str, device: int) -> int:
    """Where samples can be written to in a device array.

    ValueError: another shape, dtype, layout or device.
    """
    array = _as_cupy(out)
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(f"out must be an array of {dtype} and shape {shape}, got {array.dtype} of shape {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous, got strides {array.strides}")
    if getattr(out, "__cuda_array_interface__", {}).get("data", (0, False))[1]:
        raise ValueError("out must be writable, got a read-only array")
    if array.device.id != device:
        raise ValueError(f"out must lie on device {device}, which computes, got device {array.device.id}")
    return int(array.data.ptr)


def current_device() -> int:
    """The number of CuPy's current device; 0 where CuPy is not in use."""
    cupy = sys.modules.get("cupy")
    return 0 if cupy is None else int(cupy.cuda.Device().id)


def current_stream() -> int | None:
    """The handle of CuPy's current stream, 0 for the default stream; None where CuPy is not in use."""
    cupy = sys.modules.get("cupy")
    return None if cupy is None else int(cupy.cuda.get_current_stream().ptr)


def _as_cupy(value: Any) -> Any:
    cupy = _cupy()
    return cupy.asarray(value) if hasattr(value, "__cuda_array_interface__") else cupy.from_dlpack(value)


def _cupy() -> Any:
    try:
        import cupy
    except ImportError:
        raise ImportError("arrays on a GPU need CuPy: pip install 'anneal_sgd[cuda]'") from None
    return cupy
