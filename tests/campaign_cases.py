"""Campaigns that the tests of campaigns share."""

from __future__ import annotations

from functools import partial

from anneal_sgd import problems, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid

noisy = partial(problems.AbsoluteValue, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0)


def small(**changes):
    """2 slopes x 2 schedules x 2 horizons x 3 misspecifications."""
    arguments = {
        "problem": ProblemGrid(noisy, slope=[0.1, 0.3]),
        "schedule": [schedules.Constant(), schedules.Cosine()],
        "horizon": [20, 50],
        "rho": [1.0, 4.0, 16.0],
        "replicates": 3000,
        "record_frac": [0.5, 1.0],
        **changes,
    }
    return Campaign(arguments.pop("problem"), arguments.pop("schedule"), **arguments)


def arrays(result):
    """Everything that must be equal to the bit."""
    return [getattr(result, name).tobytes() for name in ("mean", "std", "stderr", "min", "max", "count", "diverged")]


class StopAt(Exception):
    """Raised by `stopping`."""


def stopping(commits):
    """A progress callback that stops a run after some commits."""
    seen = []

    def progress(now):
        if now.committed and (not seen or now.committed != seen[-1]):
            seen.append(now.committed)
        if len(seen) >= commits:
            raise StopAt

    return progress
