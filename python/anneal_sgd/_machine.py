"""What of this machine the process may use: memory and processors, control groups (containers, batch jobs) included."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from anneal_sgd import _windows


def available_memory() -> int | None:
    """Bytes that can be allocated now without swapping; None where the system does not tell.

    On Linux what the kernel estimates, or less where a control group (a container, a batch job) or `ulimit -v` sets a
    limit.
    On Windows physical memory that is available, or less where less may be committed.
    """
    estimates = [_available_to_machine(), _available_to_process(), *map(_available_to_group, _groups("memory"))]
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
        if pages in getattr(os, "sysconf_names", {}):
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return _windows.available_memory()


def _available_to_process() -> int | None:
    """What is left of its address space, where that has a limit."""
    try:
        import resource  # there is none on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(_text(Path("/proc/self/statm")).split()[0])
        return None if limit == resource.RLIM_INFINITY else max(0, limit - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        return None


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()


def _groups(controller: str) -> list[Path]:
    """Folders of the control groups that may limit this process's use of it, innermost first; versions 1 and 2."""
    folders: list[Path] = []
    try:
        lines = _text(Path("/proc/self/cgroup")).splitlines()
    except (OSError, ValueError):
        return folders
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup", controllers)
        inner = root / group.lstrip("/")
        folders += [inner, *(parent for parent in inner.parents if root in (parent, *parent.parents))]
    return folders


def _available_to_group(folder: Path) -> int | None:
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            allowed, used = _text(folder / limit), int(_text(folder / usage))
            reclaimable = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
            if allowed != "max":
                inactive = reclaimable.get("total_inactive_file", reclaimable.get("inactive_file", "0"))
                return max(0, int(allowed) - used + int(inactive))
        except (OSError, ValueError):
            continue
    return None


def usable_processors() -> int:
    """Processors that this process may keep busy: those it may run on, or fewer where a control group has a quota."""
    count = _allowed_processors()
    quota = _processor_quota()
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def _allowed_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return _windows.allowed_processors() or os.cpu_count() or 1


@cache
def _processor_quota() -> float | None:
    """The tightest of all groups; read once, for it is asked at every call."""
    return min((quota for quota in map(_quota_of_group, _groups("cpu")) if quota is not None), default=None)


def _quota_of_group(folder: Path) -> float | None:
    """Processors' worth of time, as a container's `--cpus` sets it; None: as much as there is."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = _text(folder / "cpu.max").split()
        else:
            quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        return None if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
