"""The commands, gathered, and ``anneal-sgd info``."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._core import __version__
from . import _signals
from ._bench import bench
from ._campaigns import atlas, export, merge, report, sweep
from ._grid import grid
from ._info import rows
from ._minimax import minimax
from ._validate import validate


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Answer KeyboardInterrupt here: Click would print an empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            return _signals.told()


@click.group(
    cls=_Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="anneal-sgd")
@click.pass_context
def group(context: click.Context) -> None:
    """Millions of independent SGD trajectories: what learning-rate schedules do, measured."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (validate, grid, minimax, sweep, merge, export, report, atlas, bench):
    group.add_command(command)


@group.command()
def info() -> None:
    """Version, stream version, instruction sets, threads and backends, and why one is missing."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, text in rows():
        table.add_row(Text(key, style="bold"), Text(text))
    console.print(table)
