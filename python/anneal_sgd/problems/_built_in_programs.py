"""Separable problems as programs, which have their bits: what methods with a state of their own are run on."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import FloatArray
from ..programs import Program
from ..programs._lower import lowered
from ._custom import Custom


def as_custom(texts: dict[str, Any], columns: Any, noise: str, projection: Any, *, shaped: bool) -> Custom:
    """The problem of these numbers, as one of one's own; `shaped`: it has a shape parameter."""
    parameters: dict[str, Any] = {"a": columns.weight}
    if shaped:
        width = float(columns.shape_parameter)
        parameters |= {"c": columns.weight / width, "delta": width}
    level: dict[str, Any] = {} if noise == "none" else {"noise": noise, "noise_std": columns.noise_std}
    return Custom(
        **texts,
        x0=columns.x0,
        parameters=parameters,
        projection=projection,
        minimum=float(columns.minimum),
        **level,
    )


def as_program(columns: Any, program: Program) -> dict[str, Any]:
    """The program of problems as the core takes it, and its parameters, (problems, parameters), from their columns."""
    named = {
        "a": columns.weight,
        "c": columns.weight / columns.shape_parameter[:, None],
        "delta": columns.shape_parameter[:, None],
        "noise_std": columns.noise_std,
    }
    parameters: FloatArray = np.concatenate([named[name] for name, _ in program.parameters], axis=1)
    return {"program": lowered(program), "parameters": parameters}
