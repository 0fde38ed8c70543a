"""Schedules from files: tables of learning rates as text, JSON or NumPy arrays."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np

from .. import _validate
from .._arrays import FloatArray
from .._validate import shown
from ._steps import PerStep, from_steps
from ._tables import Tabulated

_KINDS = (".csv", ".tsv", ".txt", ".json", ".npy")


def from_file(
    path: str | os.PathLike[str], *, tail_degree: float | None = None, name: str | None = None
) -> PerStep | Tabulated:
    """A schedule from a file of numbers, `.csv`, `.tsv`, `.txt`, `.json` or `.npy`.

    One column (a list in JSON, an array of one dimension) holds a learning rate for every step, as in `from_steps`. Of
    two columns (a list of pairs, an array of shape (n, 2)) the first says where: fractions from 0 to 1, for
    `Tabulated`, or the steps 0, 1, 2, ..., or 1, 2, 3, ..., for `from_steps`. A first line that is no numbers is a
    heading. `name`: by default the file's. ValueError: another kind of file or other numbers; the rest as in those two.
    OSError: it cannot be read.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "lr.csv")
    ...     _ = path.write_text("step,lr\\n0,0.1\\n1,0.05\\n2,0.01\\n")
    ...     schedule = from_file(path)
    >>> schedule.name, schedule.base_lr, schedule.values(3).round(12).tolist()
    ('lr.csv', 0.1, [1.0, 0.5, 0.1])
    """
    source = Path(path)
    if source.suffix not in _KINDS:
        raise ValueError(f"file must be one of {', '.join(_KINDS)}, got {shown(str(path))}")
    table = _read(source)
    named = source.name if name is None else name
    if table.ndim == 1:
        return from_steps(table, tail_degree=tail_degree, name=named)
    at, values = table.T
    if at[0] == 0.0 and at[-1] == 1.0:
        return Tabulated(values, at=at, tail_degree=tail_degree, name=named)
    if np.array_equal(at, at[0] + np.arange(at.size)) and at[0] in (0.0, 1.0):
        return from_steps(values, tail_degree=tail_degree, name=named)
    raise ValueError(
        f"file {source.name} must have fractions from 0 to 1 in its first column, or the steps 0, 1, 2, ... or 1, 2, "
        f"3, ..., got {shown(at.tolist())}"
    )


def _read(source: Path) -> FloatArray:
    """The numbers, of shape (n,) or (n, 2)."""
    try:
        if source.suffix == ".npy":
            content = np.load(source, allow_pickle=False)
        elif source.suffix == ".json":
            content = json.loads(source.read_text(encoding="utf-8"))
        else:
            content = _rows(source)
    except UnicodeDecodeError:
        raise ValueError(f"file {source.name} must be text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"file {source.name} must be JSON: {error}") from None
    except EOFError:
        raise ValueError(f"file {source.name} must be an array of NumPy's, got an empty file") from None
    table = _validate.real_array(f"file {source.name}", content, _validate.NON_NEGATIVE)
    if table.ndim == 2 and table.shape[1] == 1:
        table = table[:, 0]
    if table.ndim != 1 and table.shape[1:] != (2,):
        raise ValueError(f"file {source.name} must have one or two columns, got shape {table.shape}")
    return table


def _rows(source: Path) -> list[list[float]]:
    text = source.read_text(encoding="utf-8-sig")
    delimiter = "," if "," in text else "\t" if "\t" in text else None
    lines = [line for line in text.splitlines() if line.strip()]
    cells = list(csv.reader(lines, delimiter=delimiter)) if delimiter else [line.split() for line in lines]
    rows: list[list[float]] = []
    for number, row in enumerate(cells):
        try:
            rows.append([float(cell) for cell in row])
        except ValueError:
            if number > 0:  # the first line may be a heading
                raise ValueError(
                    f"file {source.name} must have numbers in row {number + 1}, got {shown(row)}"
                ) from None
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(f"file {source.name} must have rows of one length")
    return rows
