"""Which backend a call runs on, and whether a GPU is to be trusted."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _validate, problems, runtime, schedules
from ._cupy import current_device
from ._ensemble import Ensemble
from ._locks import ProcessLock
from ._target import Target, open_target

_BACKENDS = ("auto", "cpu", "cuda")
_REPLICATES = 40  # of the small run that shows whether a GPU has the bits of the CPU


def choose_backend(backend: object, *, threads: object, isa: str | None, on_gpu: bool) -> str:
    """ "cpu" or "cuda". An argument that only one of them knows chooses it, and contradicts the other.

    `on_gpu`: whether there is an argument for GPUs. ValueError: a contradiction. RuntimeError: "cuda" is not available.
    """
    name = _validate.choice("backend", backend, _BACKENDS)
    of_cpu = "threads" if threads is not None else "isa" if isa is not None else ""
    if on_gpu and (name == "cpu" or of_cpu):
        given = "backend is 'cpu'" if name == "cpu" else f"{of_cpu} is given"
        raise ValueError(f"device, stream, device_output and an out on a GPU must be left out where {given}")
    if name == "cuda" and of_cpu:
        raise ValueError(f"{of_cpu} must be left out where backend is 'cuda', it is for the CPU")
    if name == "cpu" or (name == "auto" and of_cpu):
        return "cpu"
    reason = runtime.why_unavailable("cuda")
    unasked = name == "auto" and not on_gpu
    if not reason:
        return "cpu" if unasked and _distrusted(current_device()) else "cuda"
    if unasked:
        return "cpu"
    raise RuntimeError(f"backend 'cuda' is not available: {reason}")


def _distrusted(number: int) -> bool:
    """Whether a GPU is not to be taken unasked: once per process it must show the CPU's bits in a small run."""
    with _ASKING:
        if number not in _TROUBLE:
            try:
                _TROUBLE[number] = _trouble(number)
            except MemoryError:  # another program has it all: that may change
                return True
            if _TROUBLE[number]:
                text = f"GPU {number} is not used: {_TROUBLE[number]}. backend='cuda' insists on it."
                warnings.warn(text, RuntimeWarning, stacklevel=4)
        return _TROUBLE[number] != ""


_ASKING = ProcessLock()
_TROUBLE: dict[int, str] = {}  # by device; empty text: none


def _trouble(number: int) -> str:
    box, ball = ("box", -1.0, 1.0), ("ball", 2.0)
    noisy = partial(problems.AbsoluteValue, [0.5, 0.7], noise_std=1.0)
    X, y = np.cos(np.arange(60.0)).reshape(20, 3), np.arange(20) % 2
    cases: tuple[tuple[str, problems.Problem, dict[str, Any]], ...] = (
        ("float32", noisy(noise="gaussian", projection=box), {}),
        ("float32", noisy(noise="rademacher", projection=ball), {}),
        ("float64", noisy(noise="gaussian", projection=box), {}),
        ("float32", problems.Custom("sum(abs(x) ** 1.5)", x0=[0.5, -0.2], noise="draw.laplace()", minimum=0.0), {}),
        ("float32", problems.MLP(X, y, hidden=(5,), batch_size=6), {"metric": "loss", "momentum": 0.9}),
        ("float64", problems.LogisticRegression(X, y, sampling="reshuffling"), {"metric": "loss"}),
    )
    try:
        gpu = open_target(number, None)
        for dtype, problem, options in cases:
            on_gpu, on_cpu = (_small_run(problem, target, dtype=dtype, **options) for target in (gpu, None))
            if not np.array_equal(on_gpu, on_cpu):
                return "its trajectories differ from the CPU's"
    except RuntimeError as error:
        return str(error)
    return ""


def _small_run(problem: problems.Problem, target: Target | None, **options: Any) -> NDArray[Any]:
    """The samples of a few trajectories, of the GPU or of the CPU."""
    prepared = Ensemble(problem).prepared(schedules.Cosine(), 300, [7, 300], options)
    spec, rates = prepared.spec([0.1, 0.3], 0)
    samples = np.empty((2, 2, _REPLICATES), spec.dtype)
    prepared.moments(
        spec,
        rates,
        first=0,
        replicates=_REPLICATES,
        isa=runtime.isa(),
        threads=runtime.cpu_count(),
        target=target,
        kept={"samples": samples},
    )
    return samples
