"""``anneal-sgd bench``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._files import write_text
from ._shared import FILE, check_files

if TYPE_CHECKING:
    from ..benchmark import Timing


@click.command()
@click.option("--peers", is_flag=True, help="NumPy, Numba, JAX, PyTorch and C++ beside it, those that are installed.")
@click.option("--scaling", is_flag=True, help="Time per unit of work against threads, trajectories, steps, dimension.")
@click.option("--gpu", is_flag=True, help="The cases for a GPU, on one; peers are JAX and PyTorch.")
@click.option("--case", "names", multiple=True, help="A case; repeatable. Default: all.")
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=7, show_default=True, help="Interleaved rounds; medians count."
)
@click.option("--threads", type=click.IntRange(1, 2**31 - 1), help="Of ours. Default: all cores. Peers use all.")
@click.option("--tiny", is_flag=True, help="A small part of the work: only to see that all runs.")
@click.option("--json", "json_file", type=FILE, help="A file for the figures.")
def bench(
    peers: bool,
    scaling: bool,
    gpu: bool,
    names: Sequence[str],
    rounds: int,
    threads: int | None,
    tiny: bool,
    json_file: Path | None,
) -> int:
    """Measure trajectory-steps per second, beside other libraries in the same run if asked for.

    Prints Markdown. Peers are checked first: one whose mean is not ours within standard errors has no times, and the
    exit status is 1.
    """
    from .. import runtime
    from ..benchmark import (
        CASES,
        GPU_CASES,
        SCALING,
        available_peers,
        core_rates,
        costs,
        machine,
        measure,
        scale,
        tiny_calls,
    )

    cases = GPU_CASES if gpu else CASES
    reason = runtime.why_unavailable("cuda") if gpu and not tiny else ""
    if reason:
        raise ValueError(f"--gpu: there is none: {reason}")
    known = [case.name for case in cases]
    for name in names:
        if name not in known:
            raise ValueError(f"--case must be one of {', '.join(known)}, got {name!r}")
    check_files(json_file)
    used, versions = available_peers(gpu=gpu) if peers else ([], {})
    told = {**machine(gpu=gpu), **versions, "rounds": rounds, "tiny": tiny}
    click.echo(", ".join(f"{key} {value}" for key, value in told.items() if value is not None) + "\n")
    paid = {} if names or gpu else costs(tiny=tiny)  # first, since a process of it may fail
    workers = threads or runtime.cpu_count()
    able = {} if gpu else core_rates(workers)
    if able:
        shown = ", ".join(f"{sort.replace('_', ' ')} {rate / 1e9:.3g} G" for sort, rate in able.items())
        click.echo(f"\nVectors/s of {runtime.isa()}, float32, on {workers} threads: {shown}\n")
    click.echo("| case | what | units/s, median (min to max) | ns | ours / it | of the limit | compiled in |")
    click.echo("|---|---|---|---|---|---|---|")
    rows: list[Timing] = []
    calls: dict[str, float] = {}
    tables: dict[str, list[Timing]] = {}

    def save() -> None:
        if json_file is not None:
            report: dict[str, Any] = {
                "machine": told,
                "rates": able,
                "rows": [row.to_dict() for row in rows],
                "tiny_calls": calls,
                "costs": paid,
                "scaling": {name: [row.to_dict() for row in some] for name, some in tables.items()},
            }
            write_text(json_file, json.dumps(report, indent=1) + "\n")

    for case in cases:
        if names and case.name not in names:
            continue
        try:
            found = measure(case.tiny() if tiny else case, threads=workers, rounds=rounds, peers=used, gpu=gpu)
        except ImportError as error:  # of a data set
            click.echo(f"{case.name}: {error.name} is not installed", err=True)
            continue
        rows += found
        for row in found:
            click.echo(_line(row, found[0]))
        save()  # what is known when a machine's time is up
    calls.update({} if names else tiny_calls(20 if tiny else 2000, gpu=gpu))
    for name, seconds in calls.items():
        click.echo(f"\n{name}, 1 config, 64 replicates, 10 steps: {1e6 * seconds:.1f} us")
    if paid:
        click.echo(f"\nimport anneal_sgd, beyond NumPy's: {paid['import_seconds']:.2f} s")
    if "peak_memory" in paid:
        count = "1 000" if tiny else "10^8"
        click.echo(
            f"\nPeak memory of a process, {count} trajectories, moments only: {paid['peak_memory'] / 1e6:.0f} MB"
        )
    for series in SCALING if scaling else ():
        tables[series.name] = scale(series, rounds=rounds, tiny=tiny)
        click.echo(f"\n{series.note}\n\n| {series.size} | G {tables[series.name][0].unit}/s | ns |\n|---|---|---|")
        for size, row in zip(series.sizes, tables[series.name], strict=True):
            click.echo(f"| {size:,} | {row.rate / 1e9:.3g} | {1e9 / row.rate:.3g} |")
    save()
    disagreeing = [row for row in rows if row.disagreement]
    for row in disagreeing:
        click.echo(f"NOT IN AGREEMENT: {row.case}, {row.what}: {row.disagreement}", err=True)
    return 1 if disagreeing else 0


def _line(row: Timing, ours: Timing) -> str:
    if row.disagreement:
        return f"| {row.case} | {row.what} | not in agreement | | | | {row.compile_seconds:.1f} s |"
    size, prefix = (1e9, "G") if row.rate >= 1e9 else (1e6, "M")
    low, high = row.rates
    cells = [
        row.case,
        row.what,
        f"{row.rate / size:.3g} {prefix} ({low / size:.3g} to {high / size:.3g})",
        f"{1e9 / row.rate:.3g}",
        "" if row is ours else f"{ours.rate / row.rate:.3g}",
        "" if row.limit_fraction is None else f"{100 * row.limit_fraction:.0f} %",
        f"{row.compile_seconds:.1f} s" if row.compile_seconds >= 0.05 and not math.isnan(row.rate) else "",
    ]
    return "| " + " | ".join(cells) + " |"
