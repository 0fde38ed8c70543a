"""Files that appear whole or not at all; everything the package writes, databases excepted, goes through `replaced`."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_unfinished: set[Path] = set()


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """A path to write to; what is there when the block ends takes the place of `file`, in one step.

    Where the block fails, `file` is as it was, and nothing is left beside it. A link is followed; what is no regular
    file, such as /dev/stdout, is written to itself. OSError: `file` cannot be written; it is the one that is named.
    """
    target = Path(os.path.realpath(file))
    special = target.exists() and not target.is_file()
    # Random, for any number of threads, processes and machines that write the same file; short, for any name to fit.
    temporary = target if special else target.with_name(f".{os.urandom(8).hex()}{target.suffix}")
    try:
        if not special:
            _unfinished.add(temporary)
        yield temporary
        if not special:
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o777)
            _put(temporary, target)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        if error.errno is None:
            raise OSError(f"'{file}' cannot be written: {error}") from error
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        if not special:
            with contextlib.suppress(OSError):  # where nothing can be written it says so, and not that nothing is there
                temporary.unlink()
            _unfinished.discard(temporary)


def _put(temporary: Path, target: Path) -> None:
    """Replace the target; for a second, where Windows refuses since another thread or process does so, or reads it."""
    for _ in range(100 if os.name == "nt" else 0):
        with contextlib.suppress(PermissionError):
            temporary.replace(target)
            return
        time.sleep(0.01)
    temporary.replace(target)


def write_text(file: Path, text: str) -> None:
    """Write a text in UTF-8, lines ending as they do in it, to a file, whole or not at all; OSError as `replaced`."""
    with replaced(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_file(name: str, file: Path) -> None:
    """ValueError, of the argument `name`, where a file could not be written; nothing is made."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{name}: folder '{file.parent}' does not exist")
    if file.is_dir():
        raise ValueError(f"{name} must be a file, '{file}' is a folder")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ValueError(f"{name}: '{file}' cannot be written: permission denied")


def check_folder(name: str, folder: Path) -> None:
    """ValueError, of the argument `name`, where a folder is none and could not be made; nothing is made."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{name}: '{folder}' cannot be made: '{existing}' is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{name}: '{folder}' cannot be written: permission denied")


def discard_unfinished() -> None:
    """Remove what `replaced` has not put in its place yet; for a process that ends without unwinding its stack."""
    for temporary in list(_unfinished):
        with contextlib.suppress(OSError):
            temporary.unlink()


def cell(text: str) -> str:
    """A text for a CSV file that no spreadsheet takes for a formula: ' before = + - @, unless it is a number.

    Control characters are written as Python escapes them.

    >>> cell("=1+1"), cell("-0.5"), cell("a\\tb")
    ("'=1+1", '-0.5', 'a\\\\tb')
    """
    text = printable(text)
    if not text.startswith(("=", "+", "-", "@")):
        return text
    with contextlib.suppress(ValueError):
        float(text)
        return text
    return f"'{text}"


def printable(text: str) -> str:
    """The text with control characters as Python escapes them.

    >>> printable("a\\x1b[2J")
    'a\\\\x1b[2J'
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: ascii(found[0])[1:-1], text)
