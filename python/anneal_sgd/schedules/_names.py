"""Schedules as texts, as `by_name` and the command line read them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from .._validate import shown
from ._base import Schedule
from ._files import from_file
from ._joined import Held, Joined, Repeated, Reversed, Stairs, cosine_restarts, one_cycle
from ._minimax import Minimax
from ._shapes import (
    Constant,
    Cosine,
    Exponential,
    InversePower,
    InverseSqrt,
    Linear,
    OneMinusSqrt,
    Polynomial,
    StepDecay,
    WarmupStableDecay,
)

_CLASSES = (
    *(Constant, InverseSqrt, InversePower, Polynomial, Linear, Cosine, OneMinusSqrt, Exponential, StepDecay),
    *(WarmupStableDecay, Minimax, Joined, Held, Repeated, Stairs, Reversed),
)
_MAKERS: dict[str, Callable[..., Schedule]] = {
    **{one.family: one for one in _CLASSES},
    "warmup_stable_decay": WarmupStableDecay,
    "one_cycle": one_cycle,
    "cosine_restarts": cosine_restarts,
}
_TEXTS = ("cooldown", "warmup_shape", "shape")
_WHOLE = ("warmup_steps", "cooldown_steps", "until_steps", "times", "cycles", "milestone_steps", "at_steps")
_LISTS = ("milestones", "milestone_steps", "at", "at_steps", "scales")


def names() -> tuple[str, ...]:
    """What `by_name` knows.

    >>> "cosine" in names(), "wsd" in names()
    (True, True)
    """
    return tuple(_MAKERS)


def by_name(name: str, **parameters: Any) -> Schedule:
    """A schedule from a text: a name, then its parameters in order or as key=value, `:` between them.

    The form of `Schedule.name`, with parentheses and commas, is read as well, and is what schedules of schedules need;
    a list is written with `/`. `parameters` are further ones. "wsd" and "warmup_stable_decay" are the same.
    "file:lr.csv" is `from_file("lr.csv")`. ValueError: an unknown name (the message lists those there are), an unknown,
    missing, repeated or superfluous parameter, or one out of its range.

    >>> by_name("polynomial:2") == by_name("polynomial", degree=2)
    True
    >>> by_name("wsd:0.2:cosine").name, by_name("cosine:floor=0.1").name
    ('wsd(0.2, cosine)', 'cosine(floor=0.1)')
    >>> by_name("step_decay(0.1, 0.3/0.6/0.9)").milestones
    (0.3, 0.6, 0.9)
    >>> by_name("joined(constant, cosine:floor=0.1, at=0.4)").name
    'joined(constant, cosine(floor=0.1), at=0.4)'
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be a text like 'cosine:floor=0.1', got {shown(name)}")
    if name.startswith("file:"):
        return from_file(name.removeprefix("file:"), **parameters)
    head, texts = split(name)
    if head not in _MAKERS:
        raise ValueError(f"name must be one of {', '.join(_MAKERS)}, or file:, got {shown(head)}")
    accepted = inspect.signature(_MAKERS[head]).parameters
    positional = [p.name for p in accepted.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    found: dict[str, Any] = {}
    for place, text in enumerate(texts):
        keyed = re.fullmatch(r"(\w*)\s*=(.*)", text, re.DOTALL)
        if keyed:
            _add(found, keyed[1], keyed[2].strip(), head, tuple(accepted))
        elif head == "joined":
            found["schedules"] = (*found.get("schedules", ()), by_name(text))
        elif place < len(positional):
            _add(found, positional[place], text, head, tuple(accepted))
        else:
            most = f"at most {len(positional)} parameters by place"
            raise ValueError(f"name must give {head} {most}, got {shown(name)}")
    for key, given in parameters.items():
        _add(found, key, given, head, tuple(accepted))
    missing = [p.name for p in accepted.values() if p.default is p.empty and p.name not in found]
    if missing:
        raise ValueError(f"{missing[0]} must be given for {head}, got {shown(name)}")
    return _MAKERS[head](**found)


def split(text: str) -> tuple[str, list[str]]:
    """The name and the parameters of a text in either form."""
    whole = text.strip()
    size = len(re.split("[:(]", whole)[0])
    head, sign, inner = whole[:size], whole[size : size + 1], whole[size + 1 :]
    if sign == "(":
        inner, end, after = inner.rpartition(")")
        if not end or after:
            raise ValueError(f"name must end with its closing parenthesis, got {shown(text)}")
    parts, depth = [""], 0
    for character in inner:
        depth += (character == "(") - (character == ")")
        if character == ("," if sign == "(" else ":") and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return head.strip(), [part.strip() for part in parts] if sign == ":" or inner.strip() else []


def _add(found: dict[str, Any], key: str, value: object, head: str, known: Sequence[str]) -> None:
    if key not in known:
        raise ValueError(f"{key or 'name'} must be a parameter of {head}, which are {', '.join(known)}, got {key!r}")
    if key in found:
        raise ValueError(f"{key} must be given once, got {found[key]!r} and {value!r}")
    found[key] = _parsed(key, value) if isinstance(value, str) else value


def _parsed(key: str, text: str) -> Any:
    if key in _TEXTS:
        return text
    if key == "schedule":
        return by_name(text)
    number = int if key in _WHOLE else float
    try:
        return tuple(map(number, text.split("/"))) if key in _LISTS else number(text)
    except ValueError:
        what = "whole number" if key in _WHOLE else "number"
        wanted = f"{what}s with / between" if key in _LISTS else f"a {what}"
        raise ValueError(f"{key} must be {wanted}, got {shown(text)}") from None
