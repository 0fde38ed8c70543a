"""How the time per unit of work depends on the size: it should not."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import runtime, schedules
from ._cases import Case, absolute_value, quadratic
from ._harness import Timing, measure

_WORK = 2e8  # coordinate-steps of a point, at least, or its rounds are repeated


@dataclass(frozen=True)
class Series:
    """Cases along one size."""

    name: str
    size: str
    sizes: tuple[int, ...]
    case: Callable[[int], Case]
    note: str


_BASE = Case("", lambda: absolute_value("gaussian"), schedules.Polynomial(2.5), 1, 65536, 1000)


def _in_dimensions(d: int) -> Case:
    return replace(
        _BASE,
        problem=lambda: quadratic(d),
        replicates=max(1024, 2**20 // d // 1024 * 1024),
        horizon=256,
        work_per_step=d,
    )


SCALING = (
    Series("threads", "threads", tuple(sorted({1, runtime.cpu_count()})), lambda n: replace(_BASE, replicates=2**19),
           "The same ensemble, |x| with Gaussian noise, on one thread and on all."),
    Series("trajectories", "N", (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000),
           lambda n: replace(_BASE, replicates=n, horizon=1000 if n < 10**6 else 100),
           "One config, T = 1 000 (100 from N = 10^6). Fewer than 128 trajectories run on one thread; 100 of them "
           "take the time of 112 lanes' draws and 128 lanes' steps. Some thousands fill several threads."),
    Series("horizon", "T", (100, 1_000, 10_000, 100_000, 1_000_000),
           lambda n: replace(_BASE, replicates=max(1024, 2**26 // n), horizon=n),
           "N = 2^26 / T, at least 1 024."),
    Series("dimension", "d", (1, 2, 4, 16, 64, 256, 1_000, 10_000), _in_dimensions,
           "Quadratic, T = 256, N = 2^20 / d, at least 1 024."),
)  # fmt: skip


def scale(series: Series, *, rounds: int, tiny: bool = False) -> list[Timing]:
    """A timing per size, on all threads (but for the series over threads)."""
    found = []
    for size in series.sizes:
        case = replace(series.case(size), name=f"{series.name}-{size}")
        case = case.tiny() if tiny else case
        threads = size if series.size == "threads" else runtime.cpu_count()
        repeats = 1 if tiny else max(rounds, int(_WORK / (case.trajectories * case.horizon * case.work_per_step)))
        (timing,) = measure(case, threads=threads, rounds=min(repeats, 50 * rounds), peers=())
        timing.seconds = [statistics.median(timing.seconds)] if repeats > rounds else timing.seconds
        found.append(timing)
    return found
