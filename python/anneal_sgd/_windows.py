"""What Windows says of this machine."""

from __future__ import annotations

import ctypes
import sys


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX; what is committed may be in memory or in the page file."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("percent_in_use", ctypes.c_uint32),
        ("physical", ctypes.c_uint64),
        ("physical_available", ctypes.c_uint64),
        ("commitment", ctypes.c_uint64),
        ("commitment_available", ctypes.c_uint64),
        ("addresses", ctypes.c_uint64),
        ("addresses_available", ctypes.c_uint64),
        ("addresses_extended", ctypes.c_uint64),
    )


def available_memory() -> int | None:
    """Bytes of physical memory that are available and may be committed; None where Windows does not tell."""
    if sys.platform == "win32":
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            return int(min(status.physical_available, status.commitment_available))
    return None


def allowed_processors() -> int | None:
    """Processors that this process may run on; None where Windows does not tell."""
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        allowed, machine = ctypes.c_size_t(), ctypes.c_size_t()
        process = ctypes.c_void_p(kernel.GetCurrentProcess())
        if kernel.GetProcessAffinityMask(process, ctypes.byref(allowed), ctypes.byref(machine)):
            return allowed.value.bit_count() or None  # zero of a process on several groups of 64 processors
    return None
