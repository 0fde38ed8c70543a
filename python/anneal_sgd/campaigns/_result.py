"""What a campaign has found so far: labelled statistics, for xarray, pandas and files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import FloatArray, IntArray
from .._core import __version__
from .._extras import need
from .._files import cell, printable, replaced
from .._html import by_parameters, shown
from .._statistics import STATISTICS, Statistics
from . import _cells
from ._cells import CELL, Cells
from ._description import Description
from ._store import Store, StorePath

if TYPE_CHECKING:
    import xarray

_TRACED = ("anneal_sgd", "numpy", "host", "machine")


@dataclass(frozen=True, eq=False, repr=False)
class CampaignResult(Statistics):
    """Statistics of a campaign, with its dimensions; what has not been computed yet is NaN, with count 0.

    `dims` are those of the campaign, each where a sequence was given: the parameters of a `ProblemGrid`, or "problem";
    "schedule", "horizon", "base_lr" or "rho"; then "record_at" or "record_frac", and "metric". The arrays are those of
    `Result` and mean the same. `description`: the campaign, as the store keeps it; `runs`: those of this campaign.

    >>> import pathlib, tempfile
    >>> from anneal_sgd import problems, schedules
    >>> from anneal_sgd.campaigns import Campaign
    >>> problem = problems.AbsoluteValue(slope=1.0)  # no noise: |1 - lr| after a step
    >>> campaign = Campaign(problem, schedules.Constant(), base_lr=[0.5, 0.75], horizon=1, replicates=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = campaign.run(pathlib.Path(folder) / "store.db")
    >>> result.dims, result.mean.tolist(), result.count.tolist(), result.complete
    (('base_lr',), [0.5, 0.25], [2, 2], True)
    """

    description: Description
    runs: list[dict[str, Any]]
    _cells: Cells

    @property
    def axes(self) -> dict[str, list[Any]]:
        """What stands along each dimension."""
        return {name: list(values) for name, values in (*self.description.axes, *self.description.cell_axes)}

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of the arrays."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Their lengths."""
        return tuple(len(values) for values in self.axes.values())

    @property
    def complete(self) -> bool:
        """Whether every config has the replicates, or the precision, that was asked for."""
        if self.description.precision:
            return any(run["finished"] is not None for run in self.runs)
        return bool(np.all(self.replicates >= self.description.replicates))

    @property
    def replicates(self) -> IntArray:
        """Trajectories in all, int64."""
        return np.asarray(self.count + self.diverged)

    @cached_property
    def base_lr(self) -> FloatArray:
        """Learning rates: (rates,), or for a campaign in `rho` (schedules, horizons, rates)."""
        told = self.description
        return np.asarray(told.rates if told.base_lr is None else told.base_lr)

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset`: a variable for every statistic, coordinates, and as attributes where it comes from.

        For a campaign in `rho` base_lr is a coordinate along schedule, horizon and rho; for one in `record_frac`
        record_at is one along horizon and record_frac. ImportError: xarray is missing.
        """
        xr = need("campaigns", "xarray")
        variables = {name: (self.dims, np.asarray(getattr(self, name))) for name in STATISTICS}
        dataset: xarray.Dataset = xr.Dataset(variables, coords=self._labels(), attrs=self.provenance())
        return dataset

    def _labels(self) -> dict[str, tuple[tuple[str, ...], Any]]:
        labels: dict[str, tuple[tuple[str, ...], Any]]
        labels = {name: ((name,), np.asarray(values)) for name, values in self.axes.items()}
        told = self.description
        if told.base_lr is not None:
            labels["base_lr"] = self._coordinate(("schedule", "horizon", "rho"), told.base_lr)
        if told.record_at is not None:
            labels["record_at"] = self._coordinate(("horizon", "record_frac"), told.record_at)
        labels |= {name: ((), value) for name, value in self._scalars().items() if name not in labels}
        for name, values in told.varying.items():
            labels[name] = (("problem", "coordinate")[: np.ndim(values)], np.asarray(values))
        return labels

    def _coordinate(self, names: tuple[str, ...], values: Any) -> tuple[tuple[str, ...], Any]:
        """Along those of the names that are dimensions."""
        array = np.asarray(values)
        there = tuple(name for name in names if name in self.axes)
        return there, array.reshape([len(self.axes[name]) for name in there])

    def _scalars(self) -> dict[str, Any]:
        """What has no dimension because there is only one."""
        told = self.description
        alone = {
            "schedule": told.schedules[0],
            "horizon": told.horizons[0],
            "base_lr": float(self.base_lr.reshape(-1)[0]),
            "record_at": told.records,
            "metric": told.metrics[0],
        }
        return {name: value for name, value in alone.items() if name not in self.axes}

    def provenance(self) -> dict[str, Any]:
        """What a figure is traced by: the campaign, its seed, versions, and what computed it."""
        options = self.description.options
        traced: dict[str, Any] = {
            "campaign": self.description.name,
            "problem": self.description.problems[0],
            "stream_version": self.description.stream_version,
            "written_by": f"anneal_sgd {__version__}",
        }
        for name, value in options.items():
            traced[name] = int(value) if isinstance(value, bool) else list(value) if isinstance(value, tuple) else value
        computing = [run for run in self.runs if run["backends"]]
        for name in _TRACED:
            traced[f"computed_{name}"] = ", ".join(sorted({str(run[name]) for run in computing}))
        traced["computed_backend"] = ", ".join(sorted({backend for run in computing for backend in run["backends"]}))
        traced["spec"] = self.description.specification()
        return traced

    def export(self, path: StorePath) -> None:
        """Write a .csv, .parquet or .nc (netCDF) file, with its provenance.

        CSV: the rows of `to_pandas` after lines that begin with #, so `pandas.read_csv(path, comment="#")` reads it; a
        text that a spreadsheet would take for a formula has ' before it, and control characters are escaped. Parquet:
        the provenance is schema metadata "anneal_sgd"; netCDF: attributes. The same statistics give the same bytes.
        ValueError: another suffix. ImportError: pyarrow (Parquet) or h5netcdf (netCDF) is missing; the extra
        `anneal_sgd[export]` brings them. OSError: `path` cannot be written; what was there is as it was.
        """
        file = Path(path)
        if file.suffix not in (".csv", ".parquet", ".nc"):
            raise ValueError(f"path must end in .csv, .parquet or .nc, got '{file}'")
        if not file.absolute().parent.is_dir():
            raise ValueError(f"path must be in a folder that exists, got '{file}'")
        write = {".csv": self._write_csv, ".parquet": self._write_parquet, ".nc": self._write_netcdf}[file.suffix]
        with replaced(file) as temporary:
            write(temporary)

    def _write_csv(self, file: Path) -> None:
        lines = [f"{key}: {line}" for key, value in self.provenance().items() for line in str(value).split("\n")]
        frame = self.to_pandas()
        for name in frame.select_dtypes(exclude="number"):
            frame[name] = [cell(value) if isinstance(value, str) else value for value in frame[name]]
        with file.open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(f"# {printable(line)}\n" for line in lines)
            frame.rename(columns=cell).to_csv(out, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)

    def _write_parquet(self, file: Path) -> None:
        pyarrow = need("export", "pyarrow", "pandas")
        parquet = need("export", "pyarrow.parquet")
        table = pyarrow.Table.from_pandas(self.to_pandas(), preserve_index=False)
        own = {b"anneal_sgd": json.dumps(self.provenance(), sort_keys=True).encode()}
        parquet.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **own}), file)

    def _write_netcdf(self, file: Path) -> None:
        netcdf = need("export", "h5netcdf", "h5py", "xarray")
        data = self.to_xarray()
        data.attrs = {
            k: "" if v is None else v if isinstance(v, str | int | float) else str(v) for k, v in data.attrs.items()
        }
        written = io.BytesIO()  # HDF5 itself crashes where a disk is full
        store = need("export", "xarray.backends").H5NetCDFStore(netcdf.File(written, "w"))
        data.dump_to_store(store)
        store.close()
        file.write_bytes(written.getvalue())  # a view in a traceback crashes CPython 3.12 at exit

    def _moment(self, name: str) -> NDArray[Any]:
        return np.asarray(self._cells[name]).reshape(self.shape)

    def __repr__(self) -> str:
        """Dimensions and how much is there."""
        shape = " x ".join(f"{name}: {n}" for name, n in zip(self.dims, self.shape, strict=True)) or "one config"
        held = self.replicates
        counts = f"{held.min()}" if held.min() == held.max() else f"{held.min()} to {held.max()}"
        return f"<CampaignResult {shape}; {counts} replicates{'' if self.complete else ', not complete'}>"

    def _repr_html_(self) -> str:
        """What notebooks show: means, standard errors, and where they come from."""
        held = self.replicates
        counts = {"replicates": f"{held.min()} to {held.max()}", "complete": self.complete}
        facts = {**self._scalars(), **counts, **self.provenance()}
        del facts["spec"]  # a page of text
        return shown("CampaignResult", self, self._axes(), facts)

    def _metrics(self) -> tuple[str, ...]:
        return self.description.metrics

    def _axes(self) -> dict[str, Sequence[Any]]:
        axes: dict[str, Sequence[Any]] = dict(self.axes)
        if "problem" in axes:
            axes["problem"] = by_parameters(len(axes["problem"]), self.description.varying)
        return axes


def load(path: StorePath, campaign: int | str | None = None) -> CampaignResult:
    """What a store holds of a campaign, by its number or name, or of the last that computed something.

    StoreError where it is no sound store, or holds no such campaign.
    """
    with Store(path, create=False) as store:
        number, description, ids = store.campaign(campaign)
        cells = _totals(store, ids, description)
        return CampaignResult(description, store.runs(number), cells)


def _totals(store: Store, ids: list[int], description: Description) -> Cells:
    """The statistics of all configs: (configs, cells)."""
    width = int(np.prod([len(values) for _, values in description.cell_axes], dtype=np.int64))
    found = np.zeros((len(ids), width), CELL)
    found["minimum"], found["maximum"] = np.inf, -np.inf
    nodes = store.nodes(ids)
    alike: dict[Any, list[int]] = {}
    for place, id_ in enumerate(ids):
        if nodes[id_]:
            alike.setdefault(tuple(sorted(nodes[id_])), []).append(place)
    for ranges, places in alike.items():
        stacked = [(node, np.stack([nodes[ids[place]][node] for place in places])) for node in ranges]
        found[places] = _cells.total(stacked)
    return found
