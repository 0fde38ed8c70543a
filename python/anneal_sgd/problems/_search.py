"""The lowest value of a function on a set, found by local searches from several starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import _validate
from .._arrays import FloatArray
from .._extras import need
from .._validate import FINITE, shown
from ._not_found import NotFoundError

_STARTS = 12
_SPREAD = (0.1, 1.0, 10.0)  # of starts about x0, where there is no set
_FAR = 1e6  # from x0, relative to it, where a search without a set is given up
_MOST_STEPS = 1_000
_LEVEL = 1e-3  # of the steepest start's slope: as steep a minimiser may be where there is no set
AGREEMENT = 1e-7
"""Two searches that end so close, relative to the larger of 1 and the change in f that they brought, agree."""


def checked_minimum(minimum: float | str | None) -> float | str | None:
    """A minimum that is given, "solve" where it is to be found, or None."""
    if isinstance(minimum, str) and minimum != "solve":
        raise ValueError(f"minimum must be one number, 'solve' or None, got {shown(minimum)}")
    return minimum if minimum in (None, "solve") else _validate.real("minimum", minimum, FINITE)


def lowest_value(
    value_and_gradient: Callable[[FloatArray], tuple[float, FloatArray]],
    x0: FloatArray,
    kind: str,
    ends: tuple[FloatArray, FloatArray],
    radius: float,
) -> float:
    """The lowest f that L-BFGS-B (in a ball: SLSQP) finds from x0 and eleven other starts, drawn with a fixed seed.

    NotFoundError: only one of them ends there, so that it may not be the lowest; f falls without end; or the searches
    end for their number of steps.
    """
    optimize = need("data", "scipy.optimize")
    search: dict[str, Any] = {"jac": True, "method": "L-BFGS-B", "options": {"maxiter": _MOST_STEPS, "ftol": 1e-15}}
    if kind == "box":
        search["bounds"] = optimize.Bounds(*ends)
    elif kind == "none":
        far = _FAR * np.maximum(1.0, np.abs(x0))
        search["bounds"] = optimize.Bounds(x0 - far, x0 + far)
    else:
        inside = {"type": "ineq", "fun": lambda x: radius**2 - x @ x, "jac": lambda x: -2 * x}
        search |= {"method": "SLSQP", "constraints": [inside]}
        search["options"]["ftol"] = 1e-14
    found, steepest = [], 0.0
    with np.errstate(all="ignore"):
        for start in _starts(x0, kind, ends, radius):
            ended = optimize.minimize(value_and_gradient, start, **search)
            end = np.asarray(ended.x)
            if kind == "ball":
                end = end * min(1.0, radius / max(float(np.linalg.norm(end)), np.finfo(float).tiny))
            steepest = max(steepest, float(np.linalg.norm(value_and_gradient(start)[1])))
            f, slope = value_and_gradient(end)
            level = ended.nit < _MOST_STEPS and (kind != "none" or np.linalg.norm(slope) <= _LEVEL * steepest)
            found.append(f if level else np.nan)
    values = np.sort([f for f in found if not np.isnan(f)])
    if values.size < 2 or not np.isfinite(values[0]):
        raise NotFoundError(f"f has kinks, falls without end, is no number, or takes more than {_MOST_STEPS:,} steps")
    scale = max(1.0, abs(value_and_gradient(x0)[0] - values[0]))
    if values[1] - values[0] > AGREEMENT * scale:
        raise NotFoundError(f"searches from {_STARTS} starts end at {values[0]:.9g}, {values[1]:.9g}, and above")
    return float(values[0])


def _starts(x0: FloatArray, kind: str, ends: tuple[FloatArray, FloatArray], radius: float) -> Iterator[FloatArray]:
    rng = np.random.default_rng(0)
    yield x0
    for k in range(_STARTS - 1):
        if kind == "box":
            yield rng.uniform(np.maximum(ends[0], x0 - _SPREAD[-1]), np.minimum(ends[1], x0 + _SPREAD[-1]))
        elif kind == "ball":
            direction = rng.standard_normal(x0.size)
            yield direction * (radius * rng.random() ** (1 / x0.size) / np.linalg.norm(direction))
        else:
            yield x0 + _SPREAD[k % len(_SPREAD)] * rng.standard_normal(x0.size)
