r"""Measure the exponents of the theorem: how the worst-case last iterate of SGD pays for a learning rate too large.

For base_lr = ρ·η*, η* tuned for the bound, the theorem (arXiv 2503.09411) says that a schedule of tail degree p pays
ρ^(1/(2p+1))/√T. It is a statement about the worst problem, so for each ρ this takes the maximum over a of the mean
final suboptimality over a family f_a on [−1, 1] with x₁ = 1:

- ``nonsmooth``: f_a = a·|x|, g = a·sign(x) + √(1−a²)·ξ, so that E g² = 1;
- ``smooth``: f_a = a·x²/2, g = a·x + ξ;

ξ Rademacher, or Gaussian in ``nonsmooth-gaussian`` and ``smooth-gaussian``. In several dimensions, with Gaussian noise:

- ``spread``: f_a = a·Σ 10^(−i/3)·|x_i|, ten slopes over three decades, in a box;
- ``norm``: f_a = a·‖x‖₂ in the unit disk, which is not separable; E‖g‖² = 1 and x₁ at distance 1 in both.

The exponent is the slope of log(worst suboptimality) against log ρ. docs/validate.md gives the reasons:

- **The maximum** is found on few replicates (a pilot over half-octaves of a) and measured on others: 7 values of a,
  quarter-octaves around the pilot's maximum, independent streams for all of them, and a cubic least-squares fit of log
  mean against log a, whose maximum is the estimate. So no noise is selected for.
- **The range of ρ** follows from the schedule's values, not from the degree that it claims (``_regime``): half-octaves
  from where they have come to their behaviour at the end, at least 8, up to where the step size at the critical step
  reaches a tenth of the distance D, at most 1024. Beyond, single steps are not small against the set, which the
  asymptotic theory does not describe. Points up to 0.3·D are measured and drawn, but not fitted.
- **The exponent in T** is measured at ρ = 16 over up to five octaves of T, with base_lr·mean(h) ∝ T^(−1/2).
- **The outcome** of a row is ``agrees``, ``differs``, or ``regime not reached``: no verdict is given over less than a
  decade of ρ, nor where the exponent over the upper half of the range is still another one.
- **Intervals** are ±1.96 standard deviations of a parametric bootstrap: every mean is redrawn from its standard error
  and the whole estimate repeated.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _validate, schedules, theory
from .._core import STREAM_VERSION, __version__
from .._peak import END, WINDOW, peak
from .._simulate import simulate_quietly
from ..schedules import Schedule
from ._families import FAMILIES, SETTINGS, SEVERAL_DIMENSIONS, Family
from ._regime import DECADE, FIRST_RHO, FITTED_STEP, GRID_RATIO, Regime, critical_step_size, regime

Preset = Literal["quick", "default", "full"]
Outcome = Literal["agrees", "differs", "regime not reached"]
Floats = NDArray[np.float64]

DEFAULT_SETTINGS = SETTINGS[:2]
DEFAULT_SCHEDULES: tuple[Schedule, ...] = (
    schedules.Constant(),
    schedules.InverseSqrt(),
    schedules.Polynomial(0.5),
    schedules.Linear(),
    schedules.Polynomial(2),
    schedules.Cosine(),
    schedules.Polynomial(3),
)
ALSO_FULL = tuple((setting, schedules.Linear()) for setting in SEVERAL_DIMENSIONS)

LARGEST_RHO = 1024.0  # more where the regime begins late
MEASURED_STEP = 0.3  # step size at the critical step, in units of D
FINITE_HORIZON = 0.01  # what finite T may leave of |exponent - theory|, beside the interval
WIDEST = 0.04  # half an interval that a verdict may rest on
PILOT_RATIO, WINDOW_RATIO = 2**0.5, 2**0.25
RHO_OF_HORIZONS = 16.0
OCTAVES_OF_HORIZONS = 5
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class _Size:
    """How much a preset computes."""

    horizon: int
    trajectories: int  # per row, at least, in the fitted main stage
    pilot_replicates: int
    horizon_replicates: int


PRESETS: dict[str, _Size] = {
    "quick": _Size(100_000, 150_000, 128, 4096),
    "default": _Size(100_000, 1_100_000, 512, 16384),
    "full": _Size(1_000_000, 1_000_000, 512, 16384),
}
SEVERAL = _Size(20_000, 150_000, 128, 4096)  # of families of several dimensions, in every preset: steps cost more there


@dataclass(frozen=True)
class RateRow:
    """One (setting, schedule): arrays over ``rho`` and over ``horizons``, exponents with 95 % intervals."""

    setting: str
    schedule: str
    theory: float  #: 1/(2p+1)
    exponent: float  #: slope of log worst_suboptimality against log rho, over ``fitted``
    ci_low: float
    ci_high: float
    move: float  #: exponent over the upper half of the fitted range (in log rho) minus ``exponent``
    move_half: float  #: half its 95 % interval
    horizon: int
    base_lr: list[float]  #: rho * eta_star, of a family of one's own times D / G
    rho: list[float]
    fitted: list[bool]  #: whether this rho takes part in the exponent
    worst_suboptimality: list[float]  #: maximum over a of the mean final suboptimality
    stderr: list[float]  #: standard error of worst_suboptimality
    worst_parameter: list[float]  #: the a of the maximum
    bound: list[float]  #: last-iterate bound for the problem of that a
    horizon_exponent: float  #: slope of log worst_suboptimality against log T; theory: -1/2
    horizon_ci_low: float
    horizon_ci_high: float
    horizons: list[int]
    horizon_worst_suboptimality: list[float]
    horizon_stderr: list[float]
    trajectories: int  #: simulated for the fitted points, pilot not counted
    trajectory_steps: int  #: simulated in all
    smallest_rho: float  #: from which on the schedule's values behave as at the end; see ``needed``
    needed: str  #: range of rho, and T, that would reach the asymptotic regime

    @property
    def outcome(self) -> Outcome:
        """``agrees``, ``differs`` or ``regime not reached``; ``reason`` says why."""
        return self._verdict()[0]

    @property
    def reason(self) -> str:
        """Why a row does not agree; empty where it does."""
        return self._verdict()[1]

    def _verdict(self) -> tuple[Outcome, str]:
        fitted = [rho for rho, used in zip(self.rho, self.fitted, strict=True) if used]
        half, horizon_half = (self.ci_high - self.ci_low) / 2, (self.horizon_ci_high - self.horizon_ci_low) / 2
        for mean, error, bound in zip(self.worst_suboptimality, self.stderr, self.bound, strict=True):
            if mean + 3 * error > bound:
                return "differs", f"a mean of {mean:.3g} ± {3 * error:.1g} is not under its bound, {bound:.3g}"
        if not fitted or fitted[-1] < DECADE * 0.999 * fitted[0] or fitted[0] < 0.999 * self.smallest_rho:
            return "regime not reached", f"needs {self.needed}"
        if not max(half, horizon_half) <= WIDEST:
            return "regime not reached", f"intervals of ±{max(half, horizon_half):.2g} are wider than ±{WIDEST:g}"
        if abs(self.move) > FINITE_HORIZON + self.move_half:
            return "regime not reached", f"over the upper half of rho the exponent moves by {self.move:+.3f}"
        if abs(self.exponent - self.theory) > FINITE_HORIZON + half:
            return "differs", f"in rho by {self.exponent - self.theory:+.4f}, allowed {FINITE_HORIZON + half:.4f}"
        if abs(self.horizon_exponent + 0.5) > FINITE_HORIZON + horizon_half:
            off = self.horizon_exponent + 0.5
            return "differs", f"in T by {off:+.4f}, allowed {FINITE_HORIZON + horizon_half:.4f}"
        return "agrees", ""


@dataclass(frozen=True)
class RateReport:
    """All rows, and what is needed to compute them again."""

    rows: list[RateRow]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every row agrees."""
        return all(row.outcome == "agrees" for row in self.rows)

    def to_json(self) -> str:
        """Rows and meta data as JSON: the same seed and options give the same text."""
        rows = [_rounded({**asdict(row), "outcome": row.outcome, "reason": row.reason}) for row in self.rows]
        return json.dumps({"meta": self.meta, "passed": self.passed, "rows": rows}, indent=1) + "\n"


def _rounded(value: Any) -> Any:
    """Floats to 9 digits: beyond, the last bits of logarithms depend on the machine, and the noise is far larger.

    NaN becomes None: JSON has none.
    """
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value


def _pilot_grid(horizon: int, largest: float) -> Floats:
    n = int(math.log(math.sqrt(horizon), PILOT_RATIO))
    return largest * PILOT_RATIO ** -np.arange(n, -1.0, -1.0)


def _window(log_means: Floats, horizon: int, largest: float) -> Floats:
    """WINDOW parameters around the maximum that the pilot saw."""
    grid = _pilot_grid(horizon, largest)
    middle = int(np.clip(log_means.argmax(), END, grid.size - 1 - END))
    _, place = peak(log_means[middle - END : middle + END + 1])
    # Rounded, so that the last bit of a logarithm, which depends on the machine, does not move the window.
    centre = grid[middle] * PILOT_RATIO ** round(float(place), 2)
    window = centre * WINDOW_RATIO ** np.arange(-END, END + 1.0)
    window *= min(1.0, largest / window[-1])
    return np.asarray(window * max(1.0, largest / math.sqrt(horizon) / window[0]))


def _slope(x: Floats, y: Floats) -> Floats:
    """Least-squares slope of y against x along the last axis; NaN for fewer than two points."""
    if x.size < 2:
        return np.full(y.shape[:-1], np.nan)
    centred = x - x.mean()
    return np.asarray(np.sum(y * centred, axis=-1) / np.sum(centred * centred))


@dataclass
class _Job:
    """The work of one row: learning rates at one horizon for the exponent in rho, and one per horizon for that in T."""

    setting: str | Family
    schedule: Schedule
    size: _Size
    seed: int

    def __post_init__(self) -> None:
        self.family = FAMILIES[self.setting] if isinstance(self.setting, str) else self.setting
        horizon = self.size.horizon
        self.eta_star = theory.tuned_base_lr(self.schedule, horizon)
        self.regime: Regime = regime(self.schedule, horizon, self.eta_star)
        last = max(LARGEST_RHO, DECADE * GRID_RATIO * self.regime.smallest)
        rho = GRID_RATIO ** np.arange(1.0 + math.floor(math.log(last * 1.001, GRID_RATIO)))
        critical = critical_step_size(self.schedule, horizon, rho * self.eta_star)
        self.rho = rho[critical <= MEASURED_STEP]
        small = critical[critical <= MEASURED_STEP] <= FITTED_STEP
        settled = small & (self.rho >= self.regime.smallest * 0.999)
        started = self.rho >= FIRST_RHO * 0.999
        # Where the regime is not reached, the exponent of what was measured still says something.
        choices = (settled, small & started, started, np.ones(self.rho.size, bool))
        self.fitted = next((fitted for fitted in choices if fitted.sum() >= 2), choices[-1])
        per_config = self.size.trajectories / (WINDOW * max(1, self.fitted.sum()))
        self.replicates = [
            math.ceil(per_config / 4096) * 4096 if fitted else self.size.horizon_replicates for fitted in self.fitted
        ]
        self.horizons = [(horizon, RHO_OF_HORIZONS * self.eta_star)]
        mean = self.schedule.values(horizon).mean()
        for k in range(1, OCTAVES_OF_HORIZONS):
            shorter = round(horizon / 2**k)
            values = self.schedule.values(shorter)
            if not values.any():
                break
            ratio = float(mean / values.mean())
            base_lr = RHO_OF_HORIZONS * self.eta_star * ratio * math.sqrt(horizon / shorter)
            if critical_step_size(self.schedule, shorter, np.array([base_lr]))[0] > FITTED_STEP:
                break
            self.horizons.append((shorter, base_lr))

    def pilot_grid(self, horizon: int) -> Floats:
        return _pilot_grid(horizon, self.family.largest)

    def trajectory_steps(self) -> int:
        pilot = self.pilot_grid(self.size.horizon).size * self.size.pilot_replicates * len(self.rho)
        total = self.size.horizon * (pilot + WINDOW * sum(self.replicates))
        for horizon, _ in self.horizons:
            pilot = self.pilot_grid(horizon).size * self.size.pilot_replicates
            total += horizon * (pilot + WINDOW * self.size.horizon_replicates)
        return total

    def run(self, threads: int | None, advance: Callable[[float], None]) -> RateRow:
        """``advance`` is called with trajectory-steps done, while they are done."""
        family, name, calls = self.family, self.family.name.encode(), 0

        def means(parameters: Floats, base_lr: Floats | float, horizon: int, replicates: int) -> tuple[Floats, Floats]:
            nonlocal calls
            calls += 1
            key = [self.seed, calls, *name, *self.schedule.name.encode()]
            done = 0.0
            work = parameters.size * np.size(base_lr) * replicates * horizon

            def progress(fraction: float) -> None:
                nonlocal done
                advance((fraction - done) * work)
                done = fraction

            result = simulate_quietly(
                [family.problem(float(a)) for a in parameters],
                self.schedule,
                base_lr=base_lr * family.unit,
                horizon=horizon,
                replicates=replicates,
                seed=int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]),
                common_random_numbers=False,
                threads=threads,
                progress=progress,
            )
            progress(1.0)
            mean = np.asarray(result.mean)
            if not (mean > 0).all():
                a = parameters[int(np.argwhere(~(mean > 0))[0, 0])]
                raise ValueError(f"settings must have positive means, got {mean.min()} of {family.name!r} at {a:.4g}")
            return mean, np.asarray(result.stderr)

        def measure(horizon: int, base_lrs: Floats, replicates: Sequence[int]) -> tuple[Floats, Floats, Floats]:
            """Windows, means and relative standard errors of shape (base_lrs, WINDOW)."""
            if not base_lrs.size:
                return (np.empty((0, WINDOW)),) * 3
            pilot, _ = means(self.pilot_grid(horizon), base_lrs, horizon, self.size.pilot_replicates)
            windows, values, errors = [], [], []
            for log_pilot, base_lr, n in zip(np.log(pilot.T), base_lrs, replicates, strict=True):
                windows.append(_window(log_pilot, horizon, family.largest))
                mean, stderr = means(windows[-1], float(base_lr), horizon, n)
                values.append(mean)
                errors.append(stderr / mean)
            return np.array(windows), np.array(values), np.array(errors)

        rng = np.random.default_rng([self.seed, *name, *self.schedule.name.encode()])
        windows, values, errors = measure(self.size.horizon, self.rho * self.eta_star, self.replicates)
        log_worst, place = peak(np.log(values))
        resampled, _ = peak(np.log(values) + errors * rng.standard_normal((BOOTSTRAPS, *values.shape)))
        log_rho = np.log(self.rho)
        slopes = _slope(log_rho[self.fitted], resampled[:, self.fitted])
        upper = self.fitted & (log_rho >= log_rho[self.fitted].sum() / max(1, self.fitted.sum()) - 1e-9)
        moves = _slope(log_rho[upper], resampled[:, upper]) - slopes
        worst = np.exp(log_worst)
        parameter = windows[:, END] * WINDOW_RATIO**place

        pieces = [
            measure(horizon, np.array([base_lr]), [self.size.horizon_replicates]) for horizon, base_lr in self.horizons
        ]
        horizon_values = np.concatenate([piece[1] for piece in pieces])
        horizon_errors = np.concatenate([piece[2] for piece in pieces])
        log_by_horizon, _ = peak(np.log(horizon_values))
        by_horizon, _ = peak(
            np.log(horizon_values) + horizon_errors * rng.standard_normal((BOOTSTRAPS, *horizon_values.shape))
        )
        log_horizons = np.log([horizon for horizon, _ in self.horizons])
        horizon_slopes = _slope(log_horizons, by_horizon)

        bounds = [
            float(
                theory.last_iterate_bound(
                    self.schedule,
                    self.size.horizon,
                    base_lr=float(rho * self.eta_star) * family.unit,
                    distance=family.distance,
                    gradient_bound=family.bound_at(float(a)),
                ).value
            )
            for rho, a in zip(self.rho, parameter, strict=True)
        ]
        exponent = float(_slope(log_rho[self.fitted], log_worst[self.fitted]))
        horizon_exponent = float(_slope(log_horizons, log_by_horizon))
        half, horizon_half = 1.96 * float(slopes.std()), 1.96 * float(horizon_slopes.std())
        return RateRow(
            setting=family.name,
            schedule=self.schedule.name,
            theory=float(theory.asymptotic_exponent(self.schedule.tail_degree)),
            exponent=exponent,
            ci_low=exponent - half,
            ci_high=exponent + half,
            move=float(_slope(log_rho[upper], log_worst[upper])) - exponent,
            move_half=1.96 * float(moves.std()),
            horizon=self.size.horizon,
            base_lr=(self.rho * self.eta_star * family.unit).tolist(),
            rho=self.rho.tolist(),
            fitted=self.fitted.tolist(),
            worst_suboptimality=worst.tolist(),
            stderr=(worst * resampled.std(axis=0)).tolist(),
            worst_parameter=parameter.tolist(),
            bound=bounds,
            horizon_exponent=horizon_exponent,
            horizon_ci_low=horizon_exponent - horizon_half,
            horizon_ci_high=horizon_exponent + horizon_half,
            horizons=[horizon for horizon, _ in self.horizons],
            horizon_worst_suboptimality=np.exp(log_by_horizon).tolist(),
            horizon_stderr=(np.exp(log_by_horizon) * by_horizon.std(axis=0)).tolist(),
            trajectories=WINDOW * sum(n for n, fitted in zip(self.replicates, self.fitted, strict=True) if fitted),
            trajectory_steps=self.trajectory_steps(),
            smallest_rho=self.regime.smallest,
            needed=self.regime.needed(),
        )


def validate_rates(
    *,
    preset: Preset = "default",
    settings: Sequence[str | Family] | None = None,
    schedules: Sequence[Schedule] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str, float, float], None] | None = None,
    on_row: Callable[[RateRow], None] | None = None,
) -> RateReport:
    r"""Measure the exponents of the worst-case suboptimality in ρ and in T for each setting and schedule.

    Of SGD, which the theorem is about: tuned learning rate, range of ρ and bound are SGD's, and a verdict on another
    method would be on nothing that it was promised. ``campaigns.robustness`` compares methods.

    Args:
        preset: ``"quick"`` (T = 10^5), ``"default"`` (with at least 10^6 trajectories per row), ``"full"`` (T = 10^6);
            families of several dimensions have T = 20,000 in all.
        settings: any of ``"nonsmooth"``, ``"smooth"``, the same with ``"-gaussian"``, ``"spread"``, ``"norm"``, and
            families of one's own (``experiments.Family``); by default the first two.
        schedules: schedules to measure; theory is 1/(2p+1) with p their ``tail_degree``. By default the seven of the
            theorem. Without settings and schedules, ``"full"`` has linear decay on ``"spread"`` and ``"norm"`` too.
        seed: the same seed gives the same report, to the bit, whatever the threads and the instruction set.
        threads: worker threads; all cores by default.
        progress: called as ``progress(label, steps_done, steps_total)`` in trajectory-steps.
        on_row: called with each row as soon as it is there.

    Raises:
        ValueError: an unknown preset or setting, no setting or schedule, or a seed outside [0, 2**64).
        KeyboardInterrupt: on Ctrl-C, within a second; rows already given to ``on_row`` are complete.

    >>> report = validate_rates(preset="quick", settings=["nonsmooth"], schedules=[Linear()])  # doctest: +SKIP
    >>> report.rows[0].exponent, report.rows[0].theory  # doctest: +SKIP
    (0.3377, 0.3333)
    """
    meta = run_meta(preset=preset, settings=settings, schedules=schedules, seed=seed)
    also = ALSO_FULL if meta["also"] else ()
    cases = (*itertools.product(settings or DEFAULT_SETTINGS, schedules or DEFAULT_SCHEDULES), *also)
    jobs = [
        _Job(setting, schedule, SEVERAL if _several_dimensions(setting) else PRESETS[preset], seed)
        for setting, schedule in cases
    ]
    total = float(sum(job.trajectory_steps() for job in jobs))
    done = 0.0
    rows = []
    for job in jobs:
        label = f"{job.family.name} {job.schedule.name}"

        def advance(steps: float, label: str = label) -> None:
            nonlocal done
            done += steps
            if progress is not None:
                progress(label, done, total)

        rows.append(job.run(threads, advance))
        if on_row is not None:
            on_row(rows[-1])
    return RateReport(rows, meta)


def _several_dimensions(setting: str | Family) -> bool:
    if isinstance(setting, str):
        return setting in SEVERAL_DIMENSIONS
    return setting.problem(setting.largest).dimension > 1


def run_meta(
    *, preset: str, settings: Sequence[str | Family] | None, schedules: Sequence[Schedule] | None, seed: int
) -> dict[str, Any]:
    """Check the arguments of a run and say what is needed to repeat it; ValueError as for ``validate_rates``."""
    _validate.choice("preset", preset, PRESETS)
    also = ALSO_FULL if preset == "full" and settings is None and schedules is None else ()
    settings = DEFAULT_SETTINGS if settings is None else settings
    schedules = DEFAULT_SCHEDULES if schedules is None else schedules
    if isinstance(settings, str) or not settings:
        raise ValueError(f"settings must be one or more of {', '.join(SETTINGS)}, got {_validate.shown(settings)}")
    if not isinstance(schedules, Sequence) or not schedules or not all(isinstance(s, Schedule) for s in schedules):
        raise ValueError(f"schedules must be a sequence of schedules, got {_validate.shown(schedules)}")
    own = [setting for setting in settings if isinstance(setting, Family)]
    names = [s.name if isinstance(s, Family) else _validate.choice("settings", s, SETTINGS) for s in settings]
    if len(set(names)) < len(names) and own:
        raise ValueError(f"settings must have names of their own, got {_validate.shown(names)}")
    families = {
        "families": {
            family.name: {
                "problem": repr(family.problem(family.largest)),
                "distance": family.distance,
                "gradient_bound": family.bound_at(0.0),
                "largest": family.largest,
            }
            for family in own
        }
    }
    return {
        "experiment": "validate",
        "preset": preset,
        "seed": _validate.integer("seed", seed, lowest=0, highest=2**64 - 1),
        "settings": names,
        **(families if own else {}),
        "schedules": [schedule.name for schedule in schedules],
        "also": [f"{setting} {schedule.name}" for setting, schedule in also],
        "finite_horizon": FINITE_HORIZON,
        "dtype": "float32",
        "anneal_sgd": __version__,
        "stream_version": STREAM_VERSION,
    }
