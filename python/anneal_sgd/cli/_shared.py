"""What the commands share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .. import _files
from . import _signals

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(*given: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several options as one decorator."""

    def add(command: _Command) -> _Command:
        for option in reversed(given):
            command = option(command)
        return command

    return add


def experiment_options(name: str, pictures: str) -> Callable[[_Command], _Command]:
    """How an experiment runs, and where `run_experiment` writes its report."""
    return options(
        click.option("--threads", type=int, help="Worker threads. Default: all cores."),
        click.option("--json", "json_file", type=FILE, help="Write rows and meta data here."),
        click.option(
            "-o",
            "--output",
            type=FOLDER,
            help=f"Write {name}.json, {name}.txt and the {pictures} (PNG and SVG) to this folder.",
        ),
    )


def progress_bar() -> Progress:
    """A bar on the terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:32}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_table(
    console: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, gap: int = 2
) -> None:
    """Whole lines, whatever the width of the console: a narrow terminal wraps them, nothing is cut."""
    console.print(Text(title, style="bold"), soft_wrap=not console.is_terminal)
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    wide = console.options.update(max_width=10_000)
    table.width = Measurement.get(console, wide, table).maximum
    console.print(table, crop=False)


def print_lines(console: Console, *lines: str) -> None:
    """Sentences: wrapped between words on a terminal, whole elsewhere."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def check_files(json_file: Path | None, output: Path | None = None) -> None:
    """What cannot be written, or drawn, is to be known before the run, not after it; nothing is made."""
    if json_file is not None:
        _files.check_file("--json", json_file)
    if output is not None:
        _files.check_folder("--output", output)
        try:
            import matplotlib  # noqa: F401
        except ModuleNotFoundError:
            raise ImportError("--output needs matplotlib: pip install 'anneal_sgd[cli]'") from None


class Report(Protocol):
    """What an experiment gives back."""

    @property
    def rows(self) -> Any:
        """One for every schedule and setting."""

    def to_json(self) -> str:
        """Rows and meta data."""


_Report = TypeVar("_Report", bound=Report)


def run_experiment(
    name: str,
    run: Callable[..., _Report],
    report_of: Callable[[list[Any], dict[str, Any]], _Report],
    meta: dict[str, Any],
    *,
    show: Callable[[_Report, Console], None],
    plot: Callable[[_Report, Path], object],
    json_file: Path | None,
    output: Path | None,
) -> _Report:
    """Run it under a bar; write its report as JSON, and to a folder with its table and pictures, then show the table.

    The rows of one that is interrupted are a report too, without pictures.
    """

    def tell(rows: list[Any], meta: dict[str, Any], *, pictures: bool) -> _Report:
        report = report_of(rows, meta)
        try:  # files first: whoever reads the output may have gone
            if json_file is not None:
                _files.write_text(json_file, report.to_json())
            if output is not None:
                output.mkdir(parents=True, exist_ok=True)
                _files.write_text(output / f"{name}.json", report.to_json())
                shown = io.StringIO()
                show(report, Console(file=shown))
                _files.write_text(output / f"{name}.txt", shown.getvalue())
                if pictures:
                    plot(report, output)
        finally:
            show(report, Console())
        return report

    rows: list[Any] = []
    try:
        with _signals.Keeping(), progress_bar() as bar:
            task = bar.add_task("starting", total=1.0, rate="")

            def progress(label: str, done: float, steps: float | None = None) -> None:
                elapsed = bar.tasks[task].elapsed or 0.0
                rate = f"{done / elapsed / 1e9:.1f} G trajectory-steps/s" if steps and elapsed > 0.5 else ""
                bar.update(task, description=label, completed=done, total=steps, rate=rate)

            whole = run(progress=progress, on_row=rows.append)
    except KeyboardInterrupt:
        if rows:
            tell(rows, {**meta, "interrupted": True}, pictures=False)
        raise
    return tell(whole.rows, meta, pictures=True)
