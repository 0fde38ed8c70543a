"""``anneal-sgd validate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from .. import schedules
from ._shared import check_files, experiment_options, print_lines, print_table, run_experiment

if TYPE_CHECKING:
    from ..experiments import RateReport, RateRow
    from ..experiments.validate import Preset


@click.command()
@click.option("--quick", is_flag=True, help="A quarter of the work, with wider intervals.")
@click.option(
    "--full",
    is_flag=True,
    help="T = 10^6: exponents to 0.01; spread and norm too (linear decay, T = 20,000); over an hour of processor time.",
)
@click.option(
    "--setting",
    "settings",
    multiple=True,
    help="nonsmooth or smooth, with Rademacher noise; nonsmooth-gaussian, smooth-gaussian; in several dimensions, with "
    "Gaussian noise, spread or norm; repeatable. Default: the first two.",
)
@click.option(
    "--schedule",
    "schedule_names",
    multiple=True,
    help="A schedule, such as cosine, polynomial:2, cosine:floor=0.1, file:lr.csv; repeatable. Default: the seven "
    "of the theorem.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same JSON.")
@experiment_options("validate", "pictures")
def validate(
    quick: bool,
    full: bool,
    settings: Sequence[str],
    schedule_names: Sequence[str],
    seed: int,
    threads: int | None,
    json_file: Path | None,
    output: Path | None,
) -> int:
    """Measure the theorem's exponents: the worst-case last iterate against the misspecification of the learning rate.

    Prints one row per setting and schedule: it agrees with theory, differs, or has not reached the asymptotic regime.
    Exits with 0 if all rows agree, with 1 otherwise.
    """
    from ..experiments.validate import RateReport, run_meta, validate_rates

    if quick and full:
        raise ValueError("--quick: cannot go with --full; give one of them, or none for the default")
    preset: Preset = "quick" if quick else "full" if full else "default"
    arguments: dict[str, Any] = {
        "preset": preset,
        "settings": settings or None,
        "schedules": [schedules.by_name(name) for name in schedule_names] or None,
        "seed": seed,
    }
    meta = run_meta(**arguments)
    check_files(json_file, output)
    report = run_experiment(
        "validate",
        partial(validate_rates, **arguments, threads=threads),
        RateReport,
        meta,
        show=_print_table,
        plot=_plot,
        json_file=json_file,
        output=output,
    )
    return 0 if report.passed else 1


def _plot(report: RateReport, output: Path) -> None:
    from ..experiments.plots import plot_validation

    plot_validation(report, output)


_STYLES = {"agrees": "green", "differs": "red", "regime not reached": "yellow"}


def _print_table(report: RateReport, console: Console) -> None:
    steps = " or ".join(f"{horizon:,}" for horizon in dict.fromkeys(row.horizon for row in report.rows))
    print_table(
        console,
        f"Worst-case suboptimality after T = {steps} steps: exponents, 95 % intervals",
        ("setting", "schedule", "theory", "exponent in ρ", "fitted ρ", "upper half", "in T (−0.5)", "outcome"),
        (_cells(row) for row in report.rows),
    )
    agreeing = [row for row in report.rows if row.outcome == "agrees"]
    ratios = [w / b for row in report.rows for w, b in zip(row.worst_suboptimality, row.bound, strict=True)]
    print_lines(
        console,
        f"{len(agreeing)} of {len(report.rows)} rows agree with theory: exponents within "
        f"{report.meta['finite_horizon']:g} and the interval, over at least a decade of ρ; no mean above "
        f"{max(ratios, default=0.0):.2f} of its bound.",
        *(f"{row.setting} {row.schedule}: {row.outcome}: {row.reason}" for row in report.rows if row not in agreeing),
    )


def _cells(row: RateRow) -> list[str | Text]:
    fitted = [rho for rho, used in zip(row.rho, row.fitted, strict=True) if used]
    return [
        row.setting,
        row.schedule,
        f"{row.theory:.4f}",
        _measured(row.exponent, (row.ci_high - row.ci_low) / 2, 4),
        f"{fitted[0]:.0f}–{fitted[-1]:.0f}" if fitted else "–",
        _measured(row.move, row.move_half, 3, sign="+"),
        _measured(row.horizon_exponent, (row.horizon_ci_high - row.horizon_ci_low) / 2, 3),
        Text(row.outcome, style=_STYLES[row.outcome]),
    ]


def _measured(value: float, half: float, decimals: int, sign: str = "") -> str:
    if math.isnan(value):
        return "–"
    return f"{value:{sign}.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")
