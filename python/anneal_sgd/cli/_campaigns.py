"""``anneal-sgd sweep``, ``merge``, ``export``, ``report`` and ``atlas``."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from .. import methods
from .._extras import need
from . import _signals
from ._shared import FILE, FOLDER, options, print_table, progress_bar

if TYPE_CHECKING:
    from .._simulate import Device
    from ..campaigns import Campaign, CampaignResult, Progress, RobustnessRow

_DASK_TIMEOUT = "20s"
_QUIET = 50  # logging.CRITICAL: workers that are interrupted say so

_running_options = options(
    click.option("--store", type=FILE, help="File of the results. Default: as the spec says, else its name in .db."),
    click.option("--backend", help="auto, cpu or cuda. Default: what the spec says, else auto."),
    click.option("--device", help="The GPU's number, several such as 0,1, or all. Default: 0, where a GPU computes."),
    click.option("--threads", type=int, help="Worker threads (with --dask: of each shard). Default: all cores (1)."),
    click.option(
        "--dask", "dask", metavar="ADDRESS", help="Compute on a Dask cluster: local, or tcp://scheduler:8786."
    ),
    click.option("--workers", type=click.IntRange(1), help="Processes of --dask local. Default: one per core."),
    click.option("--shard-seconds", type=float, help="About how long a shard takes. Default: 2, with --dask 5."),
    click.option("--log-json", is_flag=True, help="Progress as JSON, one object per line, on standard output."),
)


_of_campaign = click.option(
    "--campaign",
    help="Its name or number, where the store holds several. Default: the last that has computed something.",
)


@click.command()
@click.argument("spec", type=FILE, required=False)
@click.option("--example", is_flag=True, help="Print a commented spec, and do nothing else.")
@click.option("--dry-run", is_flag=True, help="Say what would be computed and about how long it takes.")
@click.option(
    "--part", metavar="I/N", help="Only part I of N of the replicates, as of a job array; merge puts parts together."
)
@_running_options
def sweep(
    spec: Path | None,
    example: bool,
    dry_run: bool,
    part: str | None,
    store: Path | None,
    backend: str | None,
    **running: Any,
) -> int:
    """Run the campaign that a TOML file describes, or go on with it.

    Interrupt it whenever you like, kill it if you must: the same command goes on from the last commit, and the results
    have the bits of a run in one go. More replicates, learning rates or schedules in the spec add to what is there.
    """
    from ..campaigns import EXAMPLE, read_spec

    if example:
        click.echo(EXAMPLE, nl=False)
        return 0
    if spec is None:
        raise ValueError("SPEC must be a TOML file; 'anneal-sgd sweep --example' prints one")
    if not spec.is_file():
        raise ValueError(f"SPEC must be a file that exists, got '{spec}'")
    read = read_spec(spec)
    path = store or read.store or spec.with_suffix(".db")
    if dry_run:
        _print_estimate(
            read.campaign, path, backend or read.backend, running["threads"], _device(running["device"]), _part(part)
        )
        return 0
    _run(read.campaign, path, backend=backend or read.backend, part=_part(part), **running)
    if not running["log_json"]:
        quoted = shlex.quote(str(path))
        click.echo(f"anneal-sgd report {quoted} -o report/    tables and plots")
        click.echo(f"anneal-sgd export {quoted} -o results.csv    or .parquet, .nc")
    return 0


def _device(text: str | None) -> Device:
    if text is None or text == "all":
        return "all" if text else None
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise ValueError(f"--device must be all, a number, or several such as 0,1, got {text!r}")
    return [int(number) for number in text.split(",")]


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None:
        raise ValueError(f"--part must be I/N, such as 1/30, got {text!r}")
    return int(found[1]), int(found[2])


@click.command()
@click.argument("stores", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, required=True, help="The store to be made.")
@_of_campaign
def merge(stores: tuple[Path, ...], output: Path, campaign: str | None) -> int:
    """Put the parts of a campaign, each in a store of its own, into one store, which has the bits of one run."""
    from ..campaigns import Campaign

    click.echo(f"{output}: {Campaign.merge(stores, output, campaign)!r}")
    return 0


@click.command()
@click.argument("store", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="A .csv, .parquet or .nc file.")
@_of_campaign
def export(store: Path, output: Path, campaign: str | None) -> int:
    """Write the results in a store to a file: CSV, Parquet or netCDF, with where they come from inside."""
    from ..campaigns import Campaign

    result = Campaign.load(store, campaign)
    result.export(output)
    click.echo(f"{output}: {result!r}")
    return 0


@click.command()
@click.argument("store", type=FILE)
@click.option("-o", "--output", type=FOLDER, default="report", show_default=True, help="A folder.")
@_of_campaign
def report(store: Path, output: Path, campaign: str | None) -> int:
    """Write a page of tables and interactive plots that works offline, and each plot as PNG and SVG."""
    from ..campaigns import Campaign, write_report

    result = Campaign.load(store, campaign)
    click.echo(write_report(result, output))
    return 0


@click.command()
@click.option("--quick", is_flag=True, help="T = 10^4: under 3 minutes on two cores.")
@click.option("-o", "--output", type=FOLDER, default="atlas", show_default=True, help="A folder: store and report.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same report.")
@click.option(
    "--method",
    "method_name",
    default="sgd",
    show_default=True,
    help="A method, such as adam, 'clipped(sgd(momentum=0.9), threshold=2)' or "
    "'sgd(momentum=following(linear, 0.5, 0.9))'; other than sgd, the bound is left out.",
)
@_running_options
def atlas(
    quick: bool,
    output: Path,
    seed: int,
    method_name: str,
    store: Path | None,
    backend: str | None,
    **running: Any,
) -> int:
    """Rank all schedule families by how much too large a learning rate they forgive, on the worst problem for each.

    Measures the worst-case suboptimality of every family, with and without floor, warmup and cooldown, against the
    misspecification, and writes a report: exponents, the factor that costs 10, 50 and 100 %, beside the bound's.
    """
    from ..campaigns import robustness, write_report
    from ..campaigns._report import MODULES
    from ..experiments.atlas import atlas_campaign

    need("campaigns", *MODULES)  # not after a quarter of an hour
    campaign = atlas_campaign(quick=quick, seed=seed, method=methods.by_name(method_name))
    output.mkdir(parents=True, exist_ok=True)
    result = _run(campaign, store or output / "atlas.db", backend=backend or "auto", **running)
    if not running["log_json"]:
        _print_ranking(robustness(result), Console())
    page = write_report(result, output)
    if not running["log_json"]:
        click.echo(page)
    return 0


def _print_ranking(rows: list[RobustnessRow], console: Console) -> None:
    print_table(
        console,
        f"What too large a learning rate costs at worst, T = {rows[0].horizon:,}"
        + ("" if math.isnan(rows[0].asymptotic_exponent) else " (in parentheses the bound's)"),
        (
            "rank",
            "schedule",
            f"cost at {rows[0].ratio:.3g}",
            "exponent",
            "theory",
            "10 % at",
            "50 % at",
            "100 % at a factor of",
        ),
        (
            (
                str(row.rank),
                row.schedule,
                f"{row.cost.value:.3g} ({row.cost.low:.3g}–{row.cost.high:.3g})",
                f"{row.exponent.value:.3f} ± {(row.exponent.high - row.exponent.low) / 2:.3f}",
                "–" if math.isnan(row.asymptotic_exponent) else f"{row.asymptotic_exponent:.3f}",
                *(
                    _factor(found.value) + ("" if math.isnan(bound) else f" ({_factor(bound)})")
                    for found, bound in zip(row.tolerated, row.predicted, strict=True)
                ),
            )
            for row in rows
        ),
        gap=1,
    )


def _factor(x: float) -> str:
    return "> grid" if x == float("inf") else f"{x:.3g}"


def _run(
    campaign: Campaign,
    path: Path,
    *,
    backend: str,
    threads: int | None,
    device: str | None,
    dask: str | None,
    workers: int | None,
    shard_seconds: float | None,
    log_json: bool,
    part: tuple[int, int] | None = None,
) -> CampaignResult:
    if workers is not None and dask != "local":
        raise ValueError("--workers must go with --dask local")
    if log_json:
        _log("start", campaign=repr(campaign), configs=campaign.config_count, store=str(path))
    began = time.perf_counter()
    last: list[Progress] = []
    with _signals.Keeping(), _cluster(dask, workers) as executor, progress_bar() as bar:
        task = bar.add_task(campaign.name[:32] or "sweep", total=None, rate="")

        def progress(now: Progress) -> None:
            precision = f"  ±{100 * now.relative_stderr:.2g} %" if now.relative_stderr == now.relative_stderr else ""
            rate = f"{_rate(now.rate)}{precision}" if now.seconds > 0.5 else ""
            bar.update(task, completed=now.done, total=max(now.total, 1.0), rate=rate)
            if log_json and (not last or now.committed != last[-1].committed):
                _log_progress("progress", now)
            last[:] = [now]

        result = campaign.run(
            path,
            executor=executor,
            backend=backend,
            threads=threads,
            device=_device(device),
            shard_seconds=shard_seconds,
            progress=progress,
            part=part,
        )
    if log_json:
        _log_progress("done", last[-1])
        return result
    now = last[-1]
    seconds = time.perf_counter() - began
    done = f"{now.committed:,} trajectories, {_rate(now.done / seconds)}" if now.done else ""
    click.echo(f"{path}: {result!r}")
    click.echo(f"{done} in {seconds:.1f} s" if done else "nothing was missing")
    return result


@contextlib.contextmanager
def _cluster(address: str | None, workers: int | None) -> Iterator[Any]:
    """A Dask client, its own cluster's or of the address; None without one."""
    if address is None:
        yield None
        return
    try:
        import distributed
    except ModuleNotFoundError:
        raise ImportError("--dask needs distributed: pip install 'anneal_sgd[dask]'") from None
    from multiprocessing import resource_tracker

    dask: Any = distributed  # which has no types
    if address == "local":
        resource_tracker.ensure_running()  # its start, in a thread of Dask's, would let Ctrl-C through to workers
        with _signals.Deferring():
            cluster = dask.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=_QUIET
            )
        with cluster, dask.Client(cluster) as client:
            yield client
        return
    try:
        client = dask.Client(address, timeout=_DASK_TIMEOUT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(f"--dask: no scheduler answers at {address!r}: {error}") from None
    with client:
        yield client


def _print_estimate(
    campaign: Campaign,
    path: Path,
    backend: str,
    threads: int | None,
    device: Device,
    part: tuple[int, int] | None,
) -> None:
    from ..campaigns import estimate

    e = estimate(campaign, path, backend=backend, threads=threads, device=device, part=part)
    click.echo(f"{campaign!r}")
    click.echo(f"configs             {campaign.config_count:,}, {e.begun:,} of them begun")
    least = "" if campaign.precision is None else "at least "
    click.echo(f"trajectories        {least}{e.trajectories:,} to compute")
    click.echo(f"trajectory-steps    {least}{e.trajectory_steps:.3g}")
    click.echo(f"time                {least}about {_duration(e.seconds)} here, at {e.rate:.3g} trajectory-steps/s")
    if campaign.precision is not None:
        click.echo(
            f"                    at most {campaign.replicates / 1024:,.0f} times that, if no precision is reached"
        )


def _rate(per_second: float) -> str:
    size, prefix = (1e9, "G") if per_second >= 1e9 else (1e6, "M")
    return f"{per_second / size:.3g} {prefix} trajectory-steps/s"


def _duration(seconds: float) -> str:
    for size, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"


def _log(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, "time": round(time.time(), 3), **fields}) + "\n")
    sys.stdout.flush()


def _log_progress(event: str, now: Progress) -> None:
    known = now.relative_stderr == now.relative_stderr and now.relative_stderr != float("inf")
    _log(
        event,
        trajectory_steps=now.done,
        planned_trajectory_steps=now.total,
        trajectories=now.committed,
        seconds=round(now.seconds, 3),
        trajectory_steps_per_second=now.rate,
        relative_stderr=now.relative_stderr if known else None,
    )
