r"""Compare schedules for a learning rate that is known to within a factor R: what each guarantees, and what it does.

For each ρ in [1, R], in units of D·G/√T:

- the bound and the exact worst case of ρ·base_lr, from `theory`, at the base_lr that is best for the schedule: that
  with the smallest maximum over ρ of the worst case (`theory.hedged_base_lr`);
- the worst mean suboptimality in simulations: the maximum over a of the family f_a on [−1, 1] with x₁ = 1,
  ``nonsmooth`` f_a = a·|x|, g = a·sign(x) + √(1−a²)·ξ, or ``smooth`` f_a = a·x²/2, g = a·x + ξ, with noise ξ of
  variance 1; at the base_lr that is best for the schedule there. A pilot of as many replicates, over half-octaves of
  learning rates and quarter-octaves of a from 1/(2√T) to 1/2, finds that base_lr. Then one half of the replicates finds
  the worst a for each ρ, and the mean is taken over the other half: no noise is selected for.

docs/theory.md derives the schedule that is best in the worst case, ``schedules.Minimax``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _validate, theory
from .._core import STREAM_VERSION, __version__
from .._simulate import simulate_quietly
from .._validate import Interval
from ..schedules import Cosine, Linear, Minimax, Polynomial, Schedule
from ._families import LARGEST_PARAMETER, nonsmooth, smooth

Setting = Literal["nonsmooth", "smooth"]
Noise = Literal["rademacher", "gaussian"]
Floats = NDArray[np.float64]

SETTINGS: tuple[Setting, ...] = ("nonsmooth", "smooth")
NOISES: tuple[Noise, ...] = ("rademacher", "gaussian")
BESIDE: tuple[Schedule, ...] = (Cosine(), Linear())
RHO_RATIO, SLOPE_RATIO = 2**0.5, 2**0.25  # about
WIDER = 16.0  # how far around the base_lr of theory that of simulations is looked for, either way


@dataclass(frozen=True)
class MinimaxRow:
    """One schedule for one ratio R: arrays over ``rho``, in units of D·G/√T."""

    ratio: float
    schedule: str
    base_lr: float  #: the best in the worst case over [1, ratio] times it; of ``bound`` and ``worst_case``
    rho: list[float]
    bound: list[float]  #: last-iterate bound
    worst_case: list[float]  #: exact
    setting: str
    simulated_base_lr: float  #: the best in simulations over [1, ratio] times it; of what follows
    simulated: list[float]  #: mean suboptimality for the worst a
    stderr: list[float]  #: standard error of ``simulated``
    worst_parameter: list[float]  #: that a

    @property
    def worst(self) -> int:
        """Which rho has the largest mean."""
        return int(np.argmax(self.simulated))


@dataclass(frozen=True)
class MinimaxReport:
    """All rows, and what is needed to compute them again."""

    rows: list[MinimaxRow]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Rows and meta data as JSON."""
        return json.dumps({"meta": self.meta, "rows": [asdict(row) for row in self.rows]}, indent=1) + "\n"


def minimax_robustness(
    *,
    ratios: Sequence[float] = (100.0,),
    settings: Sequence[str] = SETTINGS,
    noise: str = "rademacher",
    schedules: Sequence[Schedule] = BESIDE,
    horizon: int = 10_000,
    replicates: int = 2048,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, float], None] | None = None,
    on_row: Callable[[MinimaxRow], None] | None = None,
) -> MinimaxReport:
    """Compare schedules for learning rates that are known to within each of ``ratios``.

    Args:
        ratios: R > 1, at most the horizon.
        settings: any of ``"nonsmooth"``, ``"smooth"``.
        noise: ``"rademacher"`` or ``"gaussian"``.
        schedules: what `schedules.Minimax(R)` and the best polynomial are compared with.
        horizon: steps, at least 16.
        replicates: per config, at least 4, and as many in the pilot.
        seed: the same seed gives the same trajectories.
        threads: worker threads; all cores by default.
        progress: called as ``progress(label, fraction_done)``.
        on_row: called with each row as soon as it is there.

    Raises:
        ValueError: an argument out of its range.
        KeyboardInterrupt: on Ctrl-C, within a second; rows already given to ``on_row`` are complete.

    >>> report = minimax_robustness(ratios=[10], settings=["nonsmooth"], horizon=1000, replicates=512)
    >>> for row in report.rows:
    ...     print(f"{row.schedule:16} {max(row.worst_case):.2f}")
    minimax(10)      1.23
    polynomial(1.95) 1.41
    cosine           1.47
    linear           1.48
    """
    meta = run_meta(
        ratios=ratios, settings=settings, noise=noise, schedules=schedules, horizon=horizon, replicates=replicates,
        seed=seed,
    )  # fmt: skip
    chosen = [(ratio, schedule, setting) for ratio in meta["ratios"] for setting in meta["settings"] for schedule in
              (Minimax(ratio), Polynomial(round(theory.best_degree(ratio), 2)), *schedules)]  # fmt: skip
    rows: list[MinimaxRow] = []
    for done, (ratio, schedule, setting) in enumerate(chosen):
        label = f"R = {ratio:g}, {setting} {schedule.name}"

        def advance(fraction: float, label: str = label, done: int = done) -> None:
            if progress is not None:
                progress(label, (done + fraction) / len(chosen))

        rows.append(_row(ratio, schedule, setting, meta, threads, advance))
        if on_row is not None:
            on_row(rows[-1])
    return MinimaxReport(rows, meta)


def run_meta(
    *,
    ratios: Sequence[float],
    settings: Sequence[str],
    noise: str,
    schedules: Sequence[Schedule],
    horizon: int,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Check the arguments of a run and say what is needed to repeat it; ValueError as for ``minimax_robustness``."""
    steps = _validate.integer("horizon", horizon, lowest=16, highest=_validate.LARGEST_UINT32)
    if isinstance(settings, str) or not settings:
        raise ValueError(f"settings must be one or more of {', '.join(SETTINGS)}, got {_validate.shown(settings)}")
    beside = _validate.one_or_more("schedules", schedules, Schedule, "schedule") if schedules else ()
    return {
        "experiment": "minimax",
        "ratios": _validate.real_array("ratios", ratios, Interval(1.0, steps, open_low=True), ndim=1).tolist(),
        "settings": [_validate.choice("settings", setting, SETTINGS) for setting in settings],
        "noise": _validate.choice("noise", noise, NOISES),
        "schedules": [schedule.name for schedule in beside],
        "horizon": steps,
        "replicates": _validate.integer("replicates", replicates, lowest=4, highest=2**31),
        "seed": _validate.integer("seed", seed, lowest=0, highest=2**64 - 1),
        "dtype": "float32",
        "anneal_sgd": __version__,
        "stream_version": STREAM_VERSION,
    }


def _row(
    ratio: float,
    schedule: Schedule,
    setting: str,
    meta: dict[str, Any],
    threads: int | None,
    advance: Callable[[float], None],
) -> MinimaxRow:
    horizon = meta["horizon"]
    base_lr = theory.hedged_base_lr(schedule, horizon, ratio=ratio)
    rho = np.geomspace(1.0, ratio, 1 + math.ceil(math.log(ratio, RHO_RATIO)))
    smallest = 0.5 / math.sqrt(horizon)
    count = 1 + math.ceil(math.log(LARGEST_PARAMETER / smallest, SLOPE_RATIO))
    slopes = np.geomspace(smallest, LARGEST_PARAMETER, count)
    make = nonsmooth if setting == "nonsmooth" else smooth
    family = [make(slope, meta["noise"]) for slope in slopes.tolist()]

    def simulated(rates: Floats, first: int, replicates: int, begun: float, share: float) -> tuple[Floats, Floats]:
        """Means and their errors, of shape (slopes, rates)."""
        result = simulate_quietly(
            family,
            schedule,
            base_lr=rates,
            horizon=horizon,
            first_replicate=first,
            replicates=replicates,
            seed=meta["seed"],
            common_random_numbers=False,
            threads=threads,
            progress=lambda fraction: advance(begun + share * fraction),
        )
        return np.asarray(result.mean), np.asarray(result.stderr)

    wide = base_lr * np.geomspace(1.0 / WIDER, WIDER * ratio, 1 + math.ceil(math.log(WIDER**2 * ratio, RHO_RATIO)))
    replicates = meta["replicates"]
    pilot, _ = simulated(wide, 0, replicates, 0.0, 0.5)
    own_lr = _best_window(wide, pilot.max(axis=0), rho)
    half = replicates // 2
    finding, _ = simulated(own_lr * rho, replicates, half, 0.5, 0.25)
    means, errors = simulated(own_lr * rho, replicates + half, half, 0.75, 0.25)
    worst = finding.argmax(axis=0), np.arange(rho.size)
    root = math.sqrt(horizon)
    return MinimaxRow(
        ratio=ratio,
        schedule=schedule.name,
        base_lr=base_lr,
        rho=rho.tolist(),
        bound=(root * theory.last_iterate_bound(schedule, horizon, base_lr=base_lr * rho).value).tolist(),
        worst_case=(root * theory.worst_case(schedule, horizon, base_lr=base_lr * rho).value).tolist(),
        setting=setting,
        simulated_base_lr=own_lr,
        simulated=(root * means[worst]).tolist(),
        stderr=(root * errors[worst]).tolist(),
        worst_parameter=slopes[worst[0]].tolist(),
    )


def _best_window(rates: Floats, worst: Floats, rho: Floats) -> float:
    """The base_lr with the smallest maximum of `worst` over base_lr * rho, by interpolation between the rates."""
    candidates = np.geomspace(rates[0], rates[-1] / rho[-1], 1 + 40 * math.ceil(math.log2(WIDER)))
    curves = np.interp(np.log(np.outer(candidates, rho)), np.log(rates), np.log(worst))
    return float(candidates[curves.max(axis=1).argmin()])
