"""What the commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


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


def check_files(json_file: Path | None, output: Path | None, name: str) -> None:
    """What cannot be written must be known before the run, not after it."""
    if json_file is not None and not json_file.parent.is_dir():
        raise ValueError(f"--json: folder '{json_file.parent}' does not exist")
    if json_file is not None:
        json_file.open("a").close()
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / name).open("a").close()


class Report(Protocol):
    """What an experiment gives back."""

    def to_json(self) -> str:
        """Rows and meta data."""


_R = TypeVar("_R", bound=Report)


def write(
    report: _R,
    name: str,
    json_file: Path | None,
    output: Path | None,
    show: Callable[[_R, Console], None],
    plot: Callable[[_R, Path], object] | None,
) -> None:
    """Write a report as JSON to a file, and with its table and pictures (None: without) to a folder, as asked for."""
    if json_file is not None:
        json_file.write_text(report.to_json())
    if output is None:
        return
    (output / f"{name}.json").write_text(report.to_json())
    with (output / f"{name}.txt").open("w", encoding="utf-8") as file:
        show(report, Console(file=file, width=100))
    if plot is not None:
        plot(report, output)
