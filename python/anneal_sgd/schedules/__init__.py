"""Learning-rate schedules h: dimensionless shapes over the horizon, with values in [0, 1].

**Symbols.** T is the `horizon`, u = t / T in [0, 1] the fraction of it done at the 0-based step t (the paper's step
t + 1), v = 1 - u the fraction left. Step t has the learning rate `base_lr * h(t / T)`: scale goes in `base_lr`, never
in a schedule. Every schedule is frozen, hashable and equal to another by content. `schedule(u)` gives h at any
fractions, `schedule.values(horizon)` h at the steps, bit for bit what a simulation multiplies by `base_lr`.

**Warmup and floor**, where a schedule takes them, change a shape c into

    h(u) = s + (1 - s) r(u / w) for u < w,
    h(u) = floor + (1 - floor) c(u') else, with u' = (u - w) / (1 - w) and v' = v / (1 - w),

with w = `warmup_frac` in [0, 1), or `warmup_steps` / T, `floor` in [0, 1] and s = `warmup_start` in [0, 1]; the default
0 leaves all out. The rise r is `warmup_shape`: "linear" $r(x) = x$, "cosine" $(1 - cos(pi x)) / 2$ or "one_minus_sqrt"
$1 - sqrt(1 - x)$. (For the inverse powers, step decay and warmup-stable-decay u' = u.)

**Steps.** What ends in `_steps` counts steps, at every horizon, where its twin in `_frac` is a fraction of the horizon;
it must fit into the horizon.

**Tail degree.** `tail_degree` is p in $h(u) ~ c (1 - u)^p$ as $u -> 1$; with any floor > 0 it is 0. In theory the bound
on the last iterate grows like $misspecification^(1 / (2 p + 1))$, see `anneal_sgd.theory`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._late import names_of

if TYPE_CHECKING:
    from ._base import Schedule
    from ._files import from_file
    from ._joined import Held, Joined, Repeated, Reversed, Stairs, cosine_restarts, one_cycle
    from ._minimax import Minimax
    from ._names import by_name, names
    from ._plot import plot
    from ._shapes import (
        Constant,
        Cosine,
        Exponential,
        InversePower,
        InverseSqrt,
        Linear,
        OneMinusSqrt,
        Polynomial,
        StepDecay,
        WarmupStableDecay,
    )
    from ._steps import PerStep, from_callable, from_optax, from_steps, from_torch
    from ._tables import Tabulated
else:
    __getattr__, __dir__ = names_of(
        __name__,
        {
            "_base": "Schedule",
            "_files": "from_file",
            "_joined": "Held Joined Repeated Reversed Stairs cosine_restarts one_cycle",
            "_minimax": "Minimax",
            "_names": "by_name names",
            "_plot": "plot",
            "_shapes": "Constant Cosine Exponential InversePower InverseSqrt Linear OneMinusSqrt Polynomial StepDecay "
            "WarmupStableDecay",
            "_steps": "PerStep from_callable from_optax from_steps from_torch",
            "_tables": "Tabulated",
        },
    )

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "Held",
    "InversePower",
    "InverseSqrt",
    "Joined",
    "Linear",
    "Minimax",
    "OneMinusSqrt",
    "PerStep",
    "Polynomial",
    "Repeated",
    "Reversed",
    "Schedule",
    "Stairs",
    "StepDecay",
    "Tabulated",
    "WarmupStableDecay",
    "by_name",
    "cosine_restarts",
    "from_callable",
    "from_file",
    "from_optax",
    "from_steps",
    "from_torch",
    "names",
    "one_cycle",
    "plot",
]
