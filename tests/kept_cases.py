"""What the tests of kept points and counts run: a function built in and as a program, with the same trajectories."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from anneal_sgd import Result, _core, problems, schedules, simulate
from bit_cases import on

BOX: dict[str, Any] = {"noise": "gaussian", "noise_std": 1.0, "projection": ("box", -1.0, 1.0)}
CUSTOM = problems.Custom(lambda x: np.sum(np.abs(x)), x0=[0.5, -0.2, 0.1], minimum=0.0, **BOX)
ABSOLUTE = problems.AbsoluteValue(np.ones(3), x0=[0.5, -0.2, 0.1], **BOX)


def run(
    problem: Any,
    device: _core.Device | tuple[_core.Device, ...] | None = None,
    launches: dict[str, int] | None = None,
    **changes: Any,
) -> Result:
    """Of two schedules and two learning rates, on the CPU, or on a device of the core or several."""
    call = {"base_lr": [0.1, 0.01], "horizon": 40, "replicates": 70, "backend": "cpu", "seed": 3}
    with nullcontext() if device is None else on(device, **(launches or {})):
        return simulate(problem, [schedules.Linear(), schedules.Constant()], **{**call, **changes})
