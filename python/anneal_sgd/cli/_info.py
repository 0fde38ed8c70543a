"""What ``anneal-sgd info`` tells, with or without what draws tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import runtime


def rows() -> Iterator[tuple[str, str]]:
    """Names and texts of `runtime.info`."""
    for key, value in runtime.info().items():
        if value != ():
            yield key.replace("_", " "), _text(value)


def plain() -> str:
    """The same as lines."""
    return "\n".join(f"{key}: {text.replace(chr(10), '; ')}" for key, text in rows())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
