"""What a campaign would compute, and about how long it takes, before anything runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .._simulate import Device, simulate_quietly
from . import _cells
from ._cells import BLOCK
from ._plan import Plan, Unit
from ._run import wanted_of
from ._store import Store, StorePath

_PROBE_SECONDS = 0.2  # of one measurement
_MOST_PROBES = 8
_FIRST_HORIZON = 64
_PROBE_CONFIGS = 16


@dataclass(frozen=True)
class Estimate:
    """What is missing in a store; for a precision, until it is first looked at."""

    begun: int
    """Configs of which something is stored."""
    trajectories: int
    trajectory_steps: float
    seconds: float
    """On this machine, from runs of a fraction of a second."""

    @property
    def rate(self) -> float:
        """Trajectory-steps/s."""
        return self.trajectory_steps / self.seconds if self.seconds else 0.0


def estimate(
    campaign: Plan,
    store: StorePath | None = None,
    *,
    backend: str = "auto",
    threads: int | None = None,
    device: Device = None,
    part: tuple[int, int] | None = None,
) -> Estimate:
    """How much of a campaign a store lacks (all of it where there is no such file), and how long that takes here.

    `backend`, `threads`, `device`, `part`: as in `Campaign.run`. The speed is measured on a few of its problems.
    StoreError: a file that is no sound store.

    >>> from anneal_sgd import problems, schedules
    >>> from anneal_sgd.campaigns import Campaign
    >>> campaign = Campaign(
    ...     problems.AbsoluteValue(slope=1.0), schedules.Linear(), base_lr=[0.1, 0.2], horizon=10, replicates=500
    ... )
    >>> estimate(campaign).trajectories
    1000
    """
    first, replicates = wanted_of(campaign, part)
    if campaign.precision is not None:
        replicates = min(BLOCK, replicates)
    begun, lacking = 0, np.full(campaign.config_count, replicates - first)
    if store is not None and Path(store).exists():
        with Store(store, create=False) as opened:
            for i, stored in enumerate(opened.held(campaign.identities())):
                begun += bool(stored)
                lacking[i] = sum(stop - start for start, stop in _cells.missing(stored, replicates, first))
    units = [(unit, int(lacking[np.array(unit.configs)].sum())) for unit in campaign.units()]
    costs: dict[object, float] = {}
    for unit in _probes([unit for unit, count in units if count]):
        costs[_kind(unit)] = _seconds_per_step(unit, campaign, backend, threads, device) / unit.horizon
    known = float(np.mean(list(costs.values()))) if costs else 0.0
    steps = float(sum(unit.horizon * count for unit, count in units))
    seconds = sum(unit.horizon * count * costs.get(_kind(unit), known) for unit, count in units)
    return Estimate(begun, int(lacking.sum()), steps, float(seconds))


def _kind(unit: Unit) -> object:
    return unit.problems[0]._common, unit.horizon


def _probes(units: list[Unit]) -> Iterator[Unit]:
    """One of each kind of problem and horizon, and a limited number of them."""
    kinds = {_kind(unit): unit for unit in units}
    yield from list(kinds.values())[:: max(1, len(kinds) // _MOST_PROBES)][:_MOST_PROBES]


def _seconds_per_step(unit: Unit, campaign: Plan, backend: str, threads: int | None, device: Device) -> float:
    """Of one trajectory over the horizon: measured over as many steps as take a fraction of a second."""
    rates = unit.base_lr[:_PROBE_CONFIGS]
    horizon = min(unit.horizon, _FIRST_HORIZON)
    metric = campaign.options["metric"]
    while True:
        began = time.perf_counter()
        simulate_quietly(
            unit.problems[0],
            unit.schedule,
            base_lr=rates,
            horizon=horizon,
            replicates=min(BLOCK, campaign.replicates),
            backend=backend,  # type: ignore[arg-type]  # checked by simulate
            threads=threads,
            device=device,
            **{**campaign.options, "metric": metric if isinstance(metric, str) else metric[:1]},
        )
        seconds = time.perf_counter() - began
        if seconds > _PROBE_SECONDS / 4 or horizon == unit.horizon:
            return seconds / (len(rates) * min(BLOCK, campaign.replicates)) * (unit.horizon / horizon)
        horizon = min(unit.horizon, 4 * horizon)
