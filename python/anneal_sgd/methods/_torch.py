"""What optimizers of PyTorch are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import _validate
from ._adaptive import AdaGrad, Adam, RMSProp
from ._base import Method
from ._sgd import SGD


def from_torch(optimizer: Any, *, group: int = 0) -> Method:
    """The method of a `torch.optim` optimizer, SGD, Adam, AdamW, RMSprop or Adagrad, with the numbers of a group.

    The learning rate is none of a method's: it is `base_lr` of the call, and a scheduler is what `schedules.from_torch`
    takes. The method begins anew, without the state that the optimizer has. ValueError: an optimizer of another class,
    one with `dampening`, `lr_decay` or `maximize`, or whose momentum a scheduler cycles (`Following` can); no such
    group.

    >>> import torch  # doctest: +SKIP
    >>> layer = torch.nn.Linear(3, 1)  # doctest: +SKIP
    >>> from_torch(torch.optim.AdamW(layer.parameters(), lr=1e-3, betas=(0.9, 0.95))).name  # doctest: +SKIP
    'adam(beta2=0.95, weight_decay=0.01, decoupled=true)'
    """
    kind = type(optimizer)
    if kind.__name__ not in _MADE or not kind.__module__.startswith("torch.optim."):
        raise ValueError(
            f"optimizer must be one of torch.optim's {', '.join(_MADE)}, got {kind.__module__}.{kind.__name__}: "
            "methods.Custom takes a step of one's own"
        )
    groups = optimizer.param_groups
    numbers = groups[_validate.integer("group", group, lowest=0, highest=len(groups) - 1)]
    for name in ("dampening", "lr_decay", "maximize"):
        if numbers.get(name):
            raise ValueError(f"optimizer must have no {name}, got {numbers[name]}")
    if "base_momentum" in numbers:  # of OneCycleLR and CyclicLR
        raise ValueError(
            "optimizer must have no scheduler that cycles its momentum, as cycle_momentum=True does: "
            "methods.Following says what momentum follows"
        )
    return _MADE[kind.__name__](numbers)


def _sgd(group: Mapping[str, Any]) -> Method:
    return SGD(float(group["momentum"]), bool(group["nesterov"]), float(group["weight_decay"]))


def _adam(group: Mapping[str, Any]) -> Method:
    beta1, beta2 = (float(beta) for beta in group["betas"])
    decay = float(group["weight_decay"])
    decoupled = bool(group.get("decoupled_weight_decay", False)) and decay > 0
    return Adam(beta1, beta2, float(group["eps"]), bool(group["amsgrad"]), decay, decoupled)


def _adamw(group: Mapping[str, Any]) -> Method:
    return _adam({**group, "decoupled_weight_decay": True})  # of which older versions have no word


def _rmsprop(group: Mapping[str, Any]) -> Method:
    alpha, epsilon, momentum, decay = (float(group[name]) for name in ("alpha", "eps", "momentum", "weight_decay"))
    return RMSProp(alpha, epsilon, momentum, bool(group["centered"]), decay)


def _adagrad(group: Mapping[str, Any]) -> Method:
    epsilon, initial, decay = (float(group[name]) for name in ("eps", "initial_accumulator_value", "weight_decay"))
    return AdaGrad(epsilon, initial, decay)


_MADE: dict[str, Callable[[Mapping[str, Any]], Method]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adamw,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
}
