"""Small helpers for NumPy arrays that frozen objects hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

_Array = TypeVar("_Array", bound=NDArray[Any])


def frozen(array: _Array) -> _Array:
    """The array itself, made read-only."""
    array.setflags(write=False)
    return array


def short(x: float) -> str:
    """The shortest text that reads back as x, without a trailing `.0`.

    >>> short(2.0), short(0.1)
    ('2', '0.1')
    """
    return repr(float(x)).removesuffix(".0")


def available_memory() -> int | None:
    """Bytes that can be allocated now without swapping; None where the system does not tell.

    On Linux what the kernel estimates, or less where a control group (a container, a batch job) sets a limit.
    """
    estimates = [_available_to_machine(), *map(_available_to_group, _memory_groups())]
    return min((bytes_ for bytes_ in estimates if bytes_ is not None), default=None)


def _available_to_machine() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in os.sysconf_names:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def _memory_groups() -> list[Path]:
    """Folders of the control groups that may limit this process's memory, innermost first; versions 1 and 2."""
    folders: list[Path] = []
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return folders
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup", controllers)
        inner = root / group.lstrip("/")
        folders += [inner, *(parent for parent in inner.parents if root in (parent, *parent.parents))]
    return folders


def _available_to_group(folder: Path) -> int | None:
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            allowed, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
            reclaimable = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            if allowed != "max":
                inactive = reclaimable.get("total_inactive_file", reclaimable.get("inactive_file", "0"))
                return max(0, int(allowed) - used + int(inactive))
        except (OSError, ValueError):
            continue
    return None
