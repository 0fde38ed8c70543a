"""Methods: how a step is made of the stochastic gradient, as `simulate(.., method=methods.Adam())`.

Each is a frozen dataclass, equal and hashable by content, and a program (`method.program(d)`) that every back end runs
with the bits of docs/stream.md. In the formulas x is the point, g the stochastic gradient there, f the objective, lr
the learning rate of the step, base_lr times the schedule, and P the problem's projection, where there is one; products
and roots of vectors are coordinate by coordinate. On data weight decay leaves intercepts alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._late import names_of

if TYPE_CHECKING:
    from ._adaptive import AdaGrad, AdaGradNorm, Adam, RMSProp
    from ._base import Method
    from ._clipped import Clipped
    from ._custom import Custom
    from ._following import Following
    from ._names import by_name, names
    from ._others import DescentAscent, ExtraGradient, Langevin
    from ._parameter_free import NGN, DoG, PolyakMax, ScheduleFree
    from ._sgd import SGD, NormalizedSGD, SignSGD
    from ._torch import from_torch
else:
    __getattr__, __dir__ = names_of(
        __name__,
        {
            "_adaptive": "AdaGrad AdaGradNorm Adam RMSProp",
            "_base": "Method",
            "_clipped": "Clipped",
            "_custom": "Custom",
            "_following": "Following",
            "_names": "by_name names",
            "_others": "DescentAscent ExtraGradient Langevin",
            "_parameter_free": "NGN DoG PolyakMax ScheduleFree",
            "_sgd": "SGD NormalizedSGD SignSGD",
            "_torch": "from_torch",
        },
    )

__all__ = [
    "NGN",
    "SGD",
    "AdaGrad",
    "AdaGradNorm",
    "Adam",
    "Clipped",
    "Custom",
    "DescentAscent",
    "DoG",
    "ExtraGradient",
    "Following",
    "Langevin",
    "Method",
    "NormalizedSGD",
    "PolyakMax",
    "RMSProp",
    "ScheduleFree",
    "SignSGD",
    "by_name",
    "from_torch",
    "names",
]
