"""What a config is known by: its problem, its schedule, and everything else that its trajectories depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..problems import Problem


def problem_digest(problem: Problem) -> str:
    """Of a problem's content, hexadecimal."""
    kind, *rest = problem._common
    content = hashlib.sha256(repr((kind.__name__, *rest)).encode())
    content.update(problem._bytes)
    return content.hexdigest()


def config_identities(alike: Mapping[str, Any], base_lr: Iterable[float]) -> Iterator[tuple[bytes, str]]:
    """Of configs that differ in their learning rates: the SHA-256 of their descriptions, and these, JSON."""
    head = json.dumps(alike, sort_keys=True)[:-1]
    for lr in base_lr:
        text = f'{head}, "base_lr": {lr!r}}}'
        yield hashlib.sha256(text.encode()).digest(), text


def config_seeds(alike: Sequence[Any], base_lr: Iterable[float]) -> Iterator[int]:
    """Seeds of the noise of configs that differ in their learning rates."""
    for lr in base_lr:
        content = json.dumps([*alike, lr]).encode()
        yield int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
