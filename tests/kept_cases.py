"""What the tests of kept points and counts run: a function built in and as a program, with the same trajectories."""

from __future__ import annotations

from typing import Any

import numpy as np

from anneal_sgd import Result, problems, schedules, simulate

BOX: dict[str, Any] = {"noise": "gaussian", "noise_std": 1.0, "projection": ("box", -1.0, 1.0)}
CUSTOM = problems.Custom(lambda x: np.sum(np.abs(x)), x0=[0.5, -0.2, 0.1], minimum=0.0, **BOX)
ABSOLUTE = problems.AbsoluteValue(np.ones(3), x0=[0.5, -0.2, 0.1], **BOX)


def run(problem: Any, **changes: Any) -> Result:
    """Of two schedules and two learning rates, on the CPU."""
    call = {"base_lr": [0.1, 0.01], "horizon": 40, "replicates": 70, "backend": "cpu", "seed": 3}
    return simulate(problem, [schedules.Linear(), schedules.Constant()], **{**call, **changes})
