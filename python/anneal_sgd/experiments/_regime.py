"""Where a schedule has come to its asymptotic regime: from its values alone, whatever degree it claims to have.

At learning rate η the worst problem's spread comes to fit the set at the *critical step*, the last t with
η²·h_t·H_t ≥ 1, H_t = Σ_{s≥t} h_s (D = G = 1; docs/validate.md): the step size there is √(h_t/H_t). What the worst case
then costs depends on the schedule from t on, which near t is that of a polynomial of degree p_t = v·h_t/H_t − 1, v the
steps left: its exponent 1/(2p_t+1) is near that of the end once t is late enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..schedules import Schedule

Floats = NDArray[np.float64]

FIRST_RHO = 8.0  # before, the starting point is not forgotten
FITTED_STEP = 0.1  # step size at the critical step, in units of D: larger ones are not small against the set
DECADE = 10.0  # ratio of the largest and smallest rho that an exponent is judged by
GRID_RATIO = 2**0.5  # of neighbouring rho
_SETTLED = 0.1  # relative distance of 1/(2p+1) from its value at the end
_END = 30  # steps from the end at which that value is taken: later ones are too few for sums to be integrals


@dataclass(frozen=True)
class Regime:
    """A schedule at a horizon and its base_lr for rho = 1."""

    horizon: int
    smallest: float  #: rho from which on 1/(2p+1) at the critical step is within 10 % of its value at the end
    largest: float  #: rho up to which the step size at the critical step is at most FITTED_STEP

    def needed(self) -> str:
        """What would reach the regime, in words: the critical step size falls as 1/√T."""
        span = f"rho {self.smallest:.3g} to {DECADE * self.smallest:.3g}"
        if self.largest == 0.0:
            return f"{span} with steps that are small against the set"
        horizon = self.horizon * max(1.0, (DECADE * GRID_RATIO * self.smallest / self.largest) ** 2)
        digit = 10.0 ** math.floor(math.log10(horizon))
        return f"{span}: T about {math.ceil(horizon / digit) * digit:,.0f}"


def regime(schedule: Schedule, horizon: int, tuned: float) -> Regime:
    """`tuned`: base_lr at rho = 1."""
    h, rest, reached = _critical(schedule, horizon)
    rho = reached / tuned
    # The sum is an integral with the trapezoid's correction, which is exact for p = 0 and 1.
    degree = np.arange(h.size, 0, -1) * h / (rest - (h - h[-1]) / 2.0) - 1.0
    exponent = 1.0 / (2.0 * np.maximum(degree, 0.0) + 1.0)
    end = max(1, h.size - _END)
    unsettled = np.flatnonzero(np.abs(exponent[:end] / exponent[end - 1] - 1.0) > _SETTLED)
    first = rho[unsettled[-1] + 1] if unsettled.size else rho[0]
    critical = h * rest * reached**2 > 1.0 - 1e-9  # else a later step is the last with η²·h_t·H_t ≥ 1 for every η
    small = np.flatnonzero(critical & (np.sqrt(h / rest) <= FITTED_STEP))
    return Regime(horizon, max(FIRST_RHO, float(first)), float(rho[small[-1]]) if small.size else 0.0)


def critical_step_size(schedule: Schedule, horizon: int, base_lr: Floats) -> Floats:
    """The step size at the critical step, for each base_lr (k,)."""
    h, _, reached = _critical(schedule, horizon)
    return np.asarray(base_lr * h[np.searchsorted(reached, np.maximum(base_lr, reached[0]), side="right") - 1])


def _critical(schedule: Schedule, horizon: int) -> tuple[Floats, Floats, Floats]:
    """h_t up to its last value that is not zero, H_t, and the least base_lr with a critical step at t or later."""
    h = np.trim_zeros(schedule.values(horizon), "b")
    rest = np.cumsum(h[::-1])[::-1]
    with np.errstate(divide="ignore"):
        alone = 1.0 / np.sqrt(h * rest)
    return h, rest, np.minimum.accumulate(alone[::-1])[::-1]
