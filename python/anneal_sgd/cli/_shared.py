"""What the commands share."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .. import _files


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

    def to_json(self) -> str:
        """Rows and meta data."""


_R = TypeVar("_R", bound=Report)


def tell(
    report: _R,
    name: str,
    json_file: Path | None,
    output: Path | None,
    show: Callable[[_R, Console], None],
    plot: Callable[[_R, Path], object] | None,
) -> None:
    """Show a report, once it is in the files that were asked for: whoever reads the output may have gone.

    As JSON in a file, and with its table and pictures (None: without) in a folder.
    """
    try:
        _write(report, name, json_file, output, show, plot)
    finally:
        show(report, Console())


def _write(
    report: _R,
    name: str,
    json_file: Path | None,
    output: Path | None,
    show: Callable[[_R, Console], None],
    plot: Callable[[_R, Path], object] | None,
) -> None:
    if json_file is not None:
        _files.write_text(json_file, report.to_json())
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    _files.write_text(output / f"{name}.json", report.to_json())
    shown = io.StringIO()
    show(report, Console(file=shown))
    _files.write_text(output / f"{name}.txt", shown.getvalue())
    if plot is not None:
        plot(report, output)
