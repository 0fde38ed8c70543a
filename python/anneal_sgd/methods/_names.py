"""Methods as texts, as campaigns in TOML files and the command line have them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _validate, schedules
from .._validate import shown
from ..schedules._names import split
from ._adaptive import AdaGrad, AdaGradNorm, Adam, RMSProp
from ._base import Method
from ._clipped import Clipped
from ._following import SCHEDULABLE, Following
from ._others import DescentAscent, ExtraGradient, Langevin
from ._parameter_free import NGN, DoG, PolyakMax, ScheduleFree
from ._sgd import SGD, NormalizedSGD, SignSGD

_METHODS: dict[str, type[Method]] = {
    one._kind: one
    for one in (
        *(SGD, SignSGD, NormalizedSGD, Clipped, AdaGrad, AdaGradNorm, RMSProp, Adam, ScheduleFree, DoG, PolyakMax, NGN),
        *(Langevin, DescentAscent, ExtraGradient),
    )
}
_OF_FOLLOWING = ("schedule", "zero", "one")


def names() -> tuple[str, ...]:
    """What `by_name` knows.

    >>> "adam" in names(), "clipped" in names()
    (True, True)
    """
    return tuple(_METHODS)


def by_name(name: str, **parameters: Any) -> Method:
    """A method from a text: a name, then its parameters in order or as key=value, `:` between them.

    The form with parentheses and commas is read as well, as for schedules, and is what "clipped" and "schedule_free"
    need for a method with parameters of its own; flags are "true" and "false", and a list is written with `/`. Where a
    number may follow a schedule, the text of one stands for it, or "following(schedule, zero, one)" for `Following`.
    `parameters` are further ones; "method" may be a text, or a dictionary with a name, and a number that may follow a
    schedule such a text, or a dictionary with "schedule", the text of one, "zero" and "one".

    ValueError: an unknown name (the message lists those there are), an unknown, repeated or superfluous parameter, or
    one out of its range.

    >>> by_name("adam:beta1=0.8") == by_name("adam(0.8)") == by_name("adam", beta1=0.8)
    True
    >>> by_name("clipped(sgd(momentum=0.9), threshold=2)")
    Clipped(method=SGD(momentum=0.9, nesterov=False, weight_decay=0.0), threshold=2.0, by='norm')
    >>> by_name("clipped", method={"name": "sgd", "momentum": 0.9}, threshold=2.0).threshold
    2.0
    >>> by_name("sign_sgd(following(linear, zero=0.5, one=0.9))").momentum.values(2).tolist()
    [0.9, 0.7]
    >>> by_name("langevin:cosine(floor=0.1)") == by_name("langevin", temperature={"schedule": "cosine:floor=0.1"})
    True
    """
    if not isinstance(name, str):
        raise ValueError(f"name must be a text like 'adam:beta1=0.8', got {shown(name)}")
    head, texts = split(name)
    kind = _METHODS[_validate.choice("name", head, names())]
    defaults = {key: one.default for key, one in inspect.signature(kind).parameters.items()}
    known = tuple(defaults)
    given: dict[str, Any] = {
        key: _number(key, value) if key in SCHEDULABLE else _parsed(defaults[key], key, value)
        for key, value in _by_key(texts, head, known, name).items()
    }
    for key, value in parameters.items():
        _add(given, key, _number(key, value) if key in SCHEDULABLE else value, head, known)
    if not isinstance(given.get("method", SGD()), Method):
        try:
            given["method"] = from_data(given["method"])
        except ValueError as error:
            raise ValueError(f"method {error}") from None
    return kind(**given)


def _by_key(texts: Sequence[str], head: str, known: tuple[str, ...], name: str) -> dict[str, str]:
    """The texts of the parameters, which come in order or as key=value."""
    found: dict[str, str] = {}
    for place, text in enumerate(texts):
        keyed = re.fullmatch(r"(\w*)\s*=(.*)", text, re.DOTALL)
        if not keyed and place >= len(known):
            raise ValueError(f"name must give {head} at most {len(known)} parameters, got {shown(name)}")
        key, value = (keyed[1], keyed[2].strip()) if keyed else (known[place], text)
        _add(found, key, value, head, known)
    return found


def _add(found: dict[str, Any], key: str, value: object, head: str, known: tuple[str, ...]) -> None:
    if key not in known:
        raise ValueError(f"{key or 'name'} must be a parameter of {head}, which are {', '.join(known) or 'none'}")
    if key in found:
        raise ValueError(f"{key} must be given once, got {shown(found[key])} and {shown(value)}")
    found[key] = value


def _parsed(default: object, key: str, text: str) -> Any:
    """The value of a parameter: of the sort that its default has."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise ValueError(f"{key} must be true or false, got {shown(text)}")
        return text == "true"
    if not isinstance(default, float | tuple):
        return text  # a word, or another method
    whole = isinstance(default, tuple)
    try:
        return tuple(map(int, text.split("/"))) if whole else float(text)
    except ValueError:
        wanted = "whole numbers with / between" if whole else "a number"
        raise ValueError(f"{key} must be {wanted}, got {shown(text)}") from None


def _number(key: str, given: Any) -> Any:
    """A number that may follow a schedule, of a text or of a file."""
    if not isinstance(given, str | Mapping):
        return given
    form = "following(schedule, zero, one)" if isinstance(given, str) else "{ schedule = ..., zero = ..., one = ... }"
    try:
        return _of_text(given) if isinstance(given, str) else _following(given)
    except ValueError as error:
        raise ValueError(f"{key} must be a number, a schedule or {form}, got {shown(given)}: {error}") from None


def _of_text(text: str) -> float | Following:
    try:
        return float(text)
    except ValueError:
        head, texts = split(text)
    if head != "following":
        return Following(schedules.by_name(text))
    given = _by_key(texts, head, _OF_FOLLOWING, text)
    return _following({key: _parsed("" if key == "schedule" else 0.0, key, value) for key, value in given.items()})


def _following(given: Mapping[str, Any]) -> Following:
    ends: dict[str, Any] = {}
    for key, value in given.items():
        _add(ends, key, value, "following", _OF_FOLLOWING)
    if "schedule" not in ends:
        raise ValueError(f"schedule must be given for following, got {shown(dict(given))}")
    return Following(schedules.by_name(ends.pop("schedule")), **ends)


def from_data(given: Any) -> Method:
    """Of a file: a name, or a table with one."""
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise ValueError(f"must be a name, one of {', '.join(names())}, or {{ name = ..., .. }}, got {shown(given)}")
    try:
        return by_name(**given)
    except ValueError as error:
        raise ValueError(f"{shown(given['name'])}: {error}") from None
