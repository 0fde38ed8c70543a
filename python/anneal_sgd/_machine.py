"""What of this machine the process may use: memory and processors, control groups (containers, batch jobs) included."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from anneal_sgd import _windows


def available_memory() -> int | None:
    """Bytes that can be allocated now without swapping; None where the system does not tell.

    On Linux what the kernel estimates, or less where a control group (a container, a batch job) sets a limit.
    On Windows physical memory that is available, or less where less may be committed.
    """
    estimates = [_available_to_machine(), *map(_available_to_group, _groups("memory"))]
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


def _groups(controller: str) -> list[Path]:
    """Folders of the control groups that may limit this process's use of it, innermost first; versions 1 and 2."""
    folders: list[Path] = []
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
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
            allowed, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
            reclaimable = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
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
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
