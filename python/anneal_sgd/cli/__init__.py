"""The command line: ``anneal-sgd``; one file per command, or group of them.

Exit status: 0 done (for ``validate``: every row agrees with theory), 1 it does not, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

try:
    import click
    from rich.console import Console
    from rich.table import Table

    from ._bench import bench
    from ._campaigns import atlas, export, merge, report, sweep
    from ._grid import grid
    from ._validate import validate
except ImportError as error:  # the library itself needs NumPy only
    raise SystemExit(f"anneal-sgd needs {error.name}: pip install 'anneal_sgd[cli]'") from None

from .. import __version__, runtime


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="anneal-sgd")
@click.pass_context
def cli(context: click.Context) -> None:
    """Millions of independent SGD trajectories: what learning-rate schedules do, measured."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (validate, grid, sweep, merge, export, report, atlas, bench):
    cli.add_command(command)


@cli.command()
def info() -> None:
    """Version, stream version, instruction sets, threads and backends, and why one is missing."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in runtime.info().items():
        if value == ():
            continue
        table.add_row(f"[bold]{key.replace('_', ' ')}", _text(value))
    console.print(table)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters must not cost the results
    try:
        status = cli.main(arguments, prog_name="anneal-sgd", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        return _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        print("anneal-sgd: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        return _fail(str(error))
    return status if isinstance(status, int) else 0


def _fail(message: str) -> int:
    print("anneal-sgd: " + " ".join(message.split()), file=sys.stderr)
    return 2
