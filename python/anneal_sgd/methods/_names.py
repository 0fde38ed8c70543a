"""Methods by their names, as campaigns in TOML files have them."""

from __future__ import annotations

import inspect
from typing import Any

from .. import _validate
from .._validate import shown
from ._adaptive import AdaGrad, AdaGradNorm, Adam, RMSProp
from ._base import Method
from ._clipped import Clipped
from ._following import SCHEDULABLE
from ._following import from_data as following
from ._others import DescentAscent, ExtraGradient, Langevin
from ._parameter_free import NGN, DoG, PolyakMax, ScheduleFree
from ._sgd import SGD, NormalizedSGD, SignSGD

_METHODS: dict[str, type[Method]] = {
    "sgd": SGD,
    "sign_sgd": SignSGD,
    "normalized_sgd": NormalizedSGD,
    "clipped": Clipped,
    "ada_grad": AdaGrad,
    "ada_grad_norm": AdaGradNorm,
    "rmsprop": RMSProp,
    "adam": Adam,
    "schedule_free": ScheduleFree,
    "dog": DoG,
    "polyak_max": PolyakMax,
    "ngn": NGN,
    "langevin": Langevin,
    "descent_ascent": DescentAscent,
    "extra_gradient": ExtraGradient,
}


def names() -> tuple[str, ...]:
    """What `by_name` knows.

    >>> "adam" in names(), "clipped" in names()
    (True, True)
    """
    return tuple(_METHODS)


def by_name(name: str, **parameters: Any) -> Method:
    """A method from its name and its parameters; "method" of "clipped" may be a name, or a dictionary with one.

    A number that may follow a schedule may be the name of one, or a dictionary with "schedule", such a name, "zero" and
    "one", as `Following` has them.

    ValueError: an unknown name (the message lists those there are), an unknown parameter, or one out of its range.

    >>> by_name("adam", beta1=0.8)
    Adam(beta1=0.8, beta2=0.999, epsilon=1e-08, amsgrad=False, weight_decay=0.0, decoupled=False)
    >>> by_name("clipped", method={"name": "sgd", "momentum": 0.9}, threshold=2.0)
    Clipped(method=SGD(momentum=0.9, nesterov=False, weight_decay=0.0), threshold=2.0, by='norm')
    >>> by_name("sign_sgd", momentum={"schedule": "linear", "zero": 0.5, "one": 0.9}).momentum.values(2).tolist()
    [0.9, 0.7]
    """
    kind = _METHODS[_validate.choice("name", name, names())]
    known = tuple(inspect.signature(kind).parameters)
    for key in parameters:
        if key not in known:
            raise ValueError(f"{key} must be a parameter of {name}, which are {', '.join(known) or 'none'}")
    given = {key: following(key, value) if key in SCHEDULABLE else value for key, value in parameters.items()}
    if not isinstance(given.get("method", SGD()), Method):
        try:
            given["method"] = from_data(given["method"])
        except ValueError as error:
            raise ValueError(f"method {error}") from None
    return kind(**given)


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
