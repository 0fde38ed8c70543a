"""Many stores of one campaign, each with a share of it, become one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import _validate
from .._files import replaced
from ._description import Description
from ._result import CampaignResult, load
from ._store import Store, StoreError, StorePath


def merge(stores: Sequence[StorePath], path: StorePath, campaign: int | str | None) -> CampaignResult:
    """See `Campaign.merge`."""
    if isinstance(stores, str | os.PathLike) or not stores:
        raise ValueError(f"stores must be a sequence of one or more paths, got {_validate.shown(stores)}")
    target = Path(path)
    if target.exists():
        raise ValueError(f"store must be a new file, got '{target}', which exists: merge it too, into another one")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"store must be in a folder that exists, got '{target}'")
    first: Description | None = None
    with replaced(target) as temporary, Store(temporary, create=True) as whole:
        for source in stores:
            with Store(source, create=False) as share:
                number, description, ids = share.campaign(campaign)
                first = first or description
                _check_same(first, description, stores[0], source)
                whole.take(share, number, description, ids)
    return load(target)


def _check_same(first: Description, other: Description, first_path: StorePath, path: StorePath) -> None:
    wanted, got = _by_name(first), _by_name(other)
    for name in wanted:
        if wanted[name] != got.get(name):
            raise StoreError(
                f"store '{path}' holds another campaign than '{first_path}': its {name} is "
                f"{_validate.shown(got.get(name))}, there it is {_validate.shown(wanted[name])}"
            )


def _by_name(told: Description) -> dict[str, Any]:
    """Fields and, each by itself, options."""
    return {**told.options, **{f.name: getattr(told, f.name) for f in fields(Description) if f.name != "options"}}
