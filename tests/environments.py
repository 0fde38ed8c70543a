"""Which packages tests need, and environments of chosen ones: links to what is installed here, no index is asked."""

import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXPORTS = ("h5netcdf", "h5py", "pandas", "pyarrow", "xarray")
"""Modules that exports of every kind need."""


def need(*modules):
    """Skip a test, or at its top a module of tests, where one of these modules is not installed."""
    for module in modules:
        pytest.importorskip(module)


def required(*names):
    """These distributions and all that they require here."""
    found, wanted = {}, list(names)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        needs = map(Requirement, found[name].requires or ())
        wanted += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found.values()


def link(sources, folder):
    for source in sources:
        if source.exists() and not (folder / source.name).exists():
            (folder / source.name).symlink_to(source)


def environment(folder, *names):
    """The interpreter of an environment that has these distributions and what they require."""
    venv.create(folder, symlinks=True)
    site = site_packages(folder)
    for distribution in required(*names):
        if distribution.files is None:
            pytest.skip(f"{distribution.name} does not list its files, so that it cannot be linked")
        tops = {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}
        link([Path(distribution.locate_file(top)) for top in tops], site)
    return folder / "bin" / "python"


def site_packages(folder):
    return next(folder.glob("lib/python*/site-packages"))
