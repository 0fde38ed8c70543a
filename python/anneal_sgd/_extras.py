"""Modules that come with extras."""

from __future__ import annotations

import importlib
from typing import Any


def need(extra: str, *names: str) -> Any:
    """The first of these modules; ImportError that names all that are missing, and the extra that brings them.

    >>> need("campaigns", "json").dumps([])
    '[]'
    """
    missing = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name.partition(".")[0])
    if missing:
        raise ImportError(f"this needs {' and '.join(dict.fromkeys(missing))}: pip install 'anneal_sgd[{extra}]'")
    return importlib.import_module(names[0])
