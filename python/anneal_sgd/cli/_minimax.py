"""``anneal-sgd minimax``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from .. import schedules
from ._shared import check_files, experiment_options, print_table, run_experiment

if TYPE_CHECKING:
    from ..experiments import MinimaxReport, MinimaxRow


@click.command()
@click.option(
    "--ratio", "ratios", type=float, multiple=True, help="The factor R; repeatable. Default: 10, 100 and 1000."
)
@click.option("--setting", "settings", multiple=True, help="nonsmooth or smooth; repeatable. Default: both.")
@click.option("--noise", default="rademacher", show_default=True, help="Or gaussian.")
@click.option(
    "--schedule",
    "schedule_names",
    multiple=True,
    help="What minimax(R) and the best polynomial are compared with; repeatable. Default: cosine and linear.",
)
@click.option("--horizon", default=10_000, show_default=True, help="Steps of a run.")
@click.option(
    "--replicates",
    default=4096,
    show_default=True,
    help="Runs per config, half of them to find the worst problem, and as many to find the best base_lr.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same trajectories.")
@experiment_options("minimax", "picture")
def minimax(
    ratios: Sequence[float],
    settings: Sequence[str],
    noise: str,
    schedule_names: Sequence[str],
    horizon: int,
    replicates: int,
    seed: int,
    threads: int | None,
    json_file: Path | None,
    output: Path | None,
) -> int:
    """Compare schedules where the learning rate is known to within a factor R, each at the base_lr that is best for it.

    Prints the largest value over learning rates up to R times too large of the bound, of the exact worst case and of
    the worst simulated mean.
    """
    from ..experiments.minimax import BESIDE, SETTINGS, MinimaxReport, minimax_robustness, run_meta

    arguments: dict[str, Any] = {
        "ratios": ratios or (10.0, 100.0, 1000.0),
        "settings": settings or SETTINGS,
        "noise": noise,
        "schedules": [schedules.by_name(name) for name in schedule_names] or BESIDE,
        "horizon": horizon,
        "replicates": replicates,
        "seed": seed,
    }
    meta = run_meta(**arguments)
    check_files(json_file, output)
    run_experiment(
        "minimax",
        partial(minimax_robustness, **arguments, threads=threads),
        MinimaxReport,
        meta,
        show=_print_table,
        plot=_plot,
        json_file=json_file,
        output=output,
    )
    return 0


def _plot(report: MinimaxReport, output: Path) -> None:
    from ..experiments.plots import plot_minimax

    plot_minimax(report, output)


def _print_table(report: MinimaxReport, console: Console) -> None:
    meta = report.meta
    print_table(
        console,
        f"Largest value over [1, R], in DG/√T; T = {meta['horizon']:,}, {meta['noise']} noise, ± 95 %",
        ("R", "setting", "schedule", "bound", "worst case", "simulated"),
        _cells(report.rows),
    )


def _cells(rows: Sequence[MinimaxRow]) -> Iterator[list[str]]:
    before: tuple[float, str] | None = None
    for row in rows:
        new, before = before != (row.ratio, row.setting), (row.ratio, row.setting)
        yield [
            f"{row.ratio:g}" if new else "",
            row.setting if new else "",
            row.schedule,
            f"{max(row.bound):.3f}",
            f"{max(row.worst_case):.3f}",
            f"{row.simulated[row.worst]:.3f} ± {1.96 * row.stderr[row.worst]:.3f}",
        ]
