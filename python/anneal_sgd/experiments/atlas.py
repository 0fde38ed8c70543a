"""The robustness atlas: every schedule family on its worst problem, ready to run as a campaign.

The family of problems is the non-smooth one of docs/validate.md, f_a = a·|x| on [−1, 1], g = a·sign(x) + √(1−a²)·ξ with
ξ Rademacher, and every schedule meets, at each misspecification ρ, the a that is worst for it. So the comparison is
between guarantees, as in the theorem, and not between luck on one problem.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from .. import schedules
from ..campaigns import Campaign, ProblemGrid
from ..methods import SGD, Method
from ._families import LARGEST_PARAMETER, nonsmooth

SCHEDULES = (
    "constant",
    "inverse_sqrt",
    "step_decay",
    "exponential:0.01",
    "polynomial:0.5",
    "linear",
    "linear:warmup_frac=0.1",
    "linear:floor=0.1",
    "one_minus_sqrt",
    "polynomial:2",
    "polynomial:3",
    "polynomial:3:floor=0.1",
    "polynomial:5",
    "cosine",
    "cosine:warmup_frac=0.1",
    "cosine:floor=0.01",
    "cosine:floor=0.1",
    "wsd:0.1",
    "wsd:0.2",
    "wsd:0.5",
    "wsd:0.2:cosine",
    "wsd:0.2:one_minus_sqrt",
)
_SGD = SGD()
QUICK_HORIZON, HORIZON = 10_000, 100_000
REPLICATES = 8192
SMALLEST_RHO, LARGEST_RHO, RHO_RATIO = 0.25, 1024.0, 2**0.5
SLOPE_RATIO = 2**0.25


def atlas_campaign(*, quick: bool = False, seed: int = 0, method: Method = _SGD) -> Campaign:
    """The campaign of the atlas: slopes x 22 schedules x rho in half-octaves from 1/4 to 1024.

    `quick`: T = 10^4 instead of 10^5. Every config has noise of its own, so that intervals are honest. `method`: rho
    multiplies the learning rate tuned for SGD whatever the method is, so that its own best lies anywhere on the grid,
    and the bound, which is SGD's, is left out. Of several, `campaigns.robustness({"SGD": .., "Adam": ..})` compares.

    >>> atlas_campaign(quick=True)
    <Campaign slope: 27 x schedule: 22 x rho: 25; 8192 replicates>
    """
    horizon = QUICK_HORIZON if quick else HORIZON
    points = int(math.log(LARGEST_PARAMETER * 2 * math.sqrt(horizon), SLOPE_RATIO))
    slopes = LARGEST_PARAMETER * SLOPE_RATIO ** -np.arange(points, -1.0, -1.0)
    rho = SMALLEST_RHO * RHO_RATIO ** np.arange(1 + round(math.log(LARGEST_RHO / SMALLEST_RHO, RHO_RATIO)))
    return Campaign(
        ProblemGrid(partial(nonsmooth, noise="rademacher"), slope=slopes),
        [schedules.by_name(name) for name in SCHEDULES],
        rho=rho,
        horizon=horizon,
        replicates=REPLICATES,
        seed=seed,
        common_random_numbers=False,
        method=method,
        name="robustness atlas" + (", quick" if quick else "") + ("" if method == _SGD else f", {method.name}"),
    )
