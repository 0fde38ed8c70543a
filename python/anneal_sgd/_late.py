"""Packages whose modules are loaded at the first use of a name of theirs (PEP 562)."""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing takes longer to import than all of this file
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def names_of(
    package: str, homes: Mapping[str, str], modules: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    `homes`: by module of the package, the names that it has, with spaces between; `modules`: those that are public.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{home[name]}")
        value = vars(importlib.import_module(package))[name] = getattr(module, name)
        return value

    return find, lambda: sorted({*home, *modules})
