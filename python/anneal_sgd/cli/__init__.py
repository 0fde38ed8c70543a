"""The command line: ``anneal-sgd``; one file per command, or group of them.

Exit status: 0 done (for ``validate``: every row agrees with theory), 1 it does not, or the reader of a pipe has gone, 2
bad input or something missing, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import io
import os
import sys

from . import _signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def program() -> NoReturn:
    """The process ``anneal-sgd``: `main`, and signals handled from here to the end."""
    _signals.arm()  # before anything that takes long to import
    from .. import _files

    _signals.before_leaving(_files.discard_unfinished)
    _signals.finish(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        from .._extras import need

        need("cli", "click", "rich")  # the library itself needs NumPy only
        import click

        from ._group import group
    except ImportError as error:
        if [*(sys.argv[1:] if arguments is None else arguments)] == ["info"]:
            from ._info import plain

            print(plain())
            return 0
        return _fail(str(error).replace("this needs", "the command line needs"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek letters must not cost the results
    if not os.environ.get("COLUMNS", "").strip("0"):  # 0, as where no terminal is: rich would print nothing at all
        os.environ.pop("COLUMNS", None)
    try:
        status = group.main(arguments, prog_name="anneal-sgd", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.ClickException as error:
        return _fail(error.format_message())
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        return _fail(str(error))
    return status if isinstance(status, int) else 0


def _fail(message: str) -> int:
    print("anneal-sgd: " + " ".join(message.split()), file=sys.stderr)
    return 2
