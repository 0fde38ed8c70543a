"""Benchmark cases as data: what is simulated, by whom else, and the work that was counted for it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from .. import methods, problems, schedules
from ..problems import Problem
from ..problems._separable import Noise
from ..schedules import Schedule

_BOX = ("box", -1.0, 1.0)
_SMALLEST = 32  # trajectories and steps of a tiny run


@dataclass(frozen=True)
class Peer:
    """Another library's code for a case and a number of steps, compiled."""

    run: Callable[[int], Any]
    """Of a seed: runs all steps on all trajectories and returns their final points; this is timed."""
    values: Callable[[Any], np.ndarray[Any, Any]]
    """Final suboptimality or loss of points: (trajectories,)."""


@dataclass(frozen=True)
class Case:
    """One ensemble. Its useful work is configs x replicates x horizon x `work_per_step` units."""

    name: str
    problem: Callable[[], Problem]
    schedule: Schedule
    configs: int
    replicates: int
    horizon: int
    peers: tuple[str, ...] = ()
    dtype: str = "float32"
    base_lr: float | tuple[float, float] = 0.05
    """One, or the ends of a geometric grid of `configs`."""
    records: int = 1
    """Log-spaced steps at which all is recorded."""
    common_random_numbers: bool = False
    work_per_step: int = 1
    """Units of a trajectory-step: coordinates, or multiply-adds of a problem on data."""
    unit: str = "coordinate-steps"
    counted: str = ""
    """The noise whose vector operations were counted in the machine code, if they were (`_limits.counted`)."""
    row_bytes: float = 0.0
    """Of a problem on data whose trajectories have rows of their own: what a unit of work reads of them, at least."""
    instructions: float | None = None
    """Of a case for GPUs: what a thread issues for a coordinate-step, counted in the machine code."""
    numba_lanes: int = 1
    """Trajectories that a Numba thread takes through a step of a problem on data together."""
    numpy_block: int = 1024
    """Trajectories of one NumPy thread of a problem on data."""
    layers: tuple[int, int, int] | None = None
    """Of a network."""
    method: methods.Method = field(default_factory=methods.SGD)
    beside: Case | None = None
    """Another case of ours that runs in the same rounds, to be compared with."""

    @property
    def trajectories(self) -> int:
        """configs x replicates."""
        return self.configs * self.replicates

    @property
    def base_lrs(self) -> Any:
        """As `simulate` takes them."""
        return np.geomspace(*self.base_lr, self.configs) if isinstance(self.base_lr, tuple) else self.base_lr

    @property
    def shared(self) -> bool:
        """Whether all configs see the same noise."""
        return self.configs > 1 and self.common_random_numbers

    @property
    def batch(self) -> int:
        """Rows of a step of a problem on data."""
        problem = self.problem()
        return int(problem.batch_size) if isinstance(problem, problems.DataProblem) else 0

    def record_at(self, horizon: int) -> Any:
        """The recorded steps of a run of that horizon."""
        if self.records == 1:
            return None
        return np.unique(np.geomspace(1, horizon, self.records).round().astype(int))

    def learning_rates(self, steps: int) -> np.ndarray[Any, Any]:
        """The schedule, times base_lr if there is one only: float32, (steps,)."""
        values = self.schedule.values(steps)
        return (values if isinstance(self.base_lr, tuple) else values * self.base_lr).astype(self.dtype)

    def tiny(self) -> Case:
        """A small part of the work, to see that it runs."""
        configs = min(self.configs, _SMALLEST)
        replicates = min(self.replicates, max(1, _SMALLEST // configs))
        return replace(
            self,
            configs=configs,
            replicates=replicates,
            horizon=min(self.horizon, _SMALLEST),
            numpy_block=16,
            beside=None if self.beside is None else self.beside.tiny(),
        )


def absolute_value(noise: Noise) -> problems.AbsoluteValue:
    """a|x| on [-1, 1]."""
    return problems.AbsoluteValue(slope=0.1, noise=noise, second_moment=1.0, projection=_BOX, x0=1.0)


def quadratic(dimension: int, ball: float | None = None) -> problems.Quadratic:
    """x^2 / 4 in every coordinate, Gaussian noise; in a ball if asked for."""
    x0, projection = (1.0, None) if ball is None else (0.0, ("ball", ball))
    return problems.Quadratic(
        curvature=[0.5] * dimension, noise="gaussian", noise_std=0.1, projection=projection, x0=x0
    )


@lru_cache
def logistic(batch_size: int) -> problems.LogisticRegression:
    """n = 10 000, d = 100, labels of a logistic model."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((10_000, 100), np.float32)
    margins = features @ rng.standard_normal(100) / 10.0
    labels = rng.random(10_000) < 1 / (1 + np.exp(-margins))
    return problems.LogisticRegression(features, labels, batch_size=batch_size)


@lru_cache
def own_loss(batch_size: int) -> problems.LinearModel:
    """`logistic` with its loss as one's own."""
    built_in = logistic(batch_size)
    return problems.LinearModel(built_in.X, built_in.y, loss="log(1 + exp(-y * z))", batch_size=batch_size)


@lru_cache
def network() -> problems.MLP:
    """64-32-10 on scikit-learn's digits."""
    digits = importlib.import_module("sklearn.datasets").load_digits()
    return problems.MLP((digits.data / 16).astype(np.float32), digits.target, hidden=32, batch_size=32)


NU = 3.0  # degrees of freedom of Student's t


def linear_functions() -> np.ndarray[Any, Any]:
    """Fifty rows of 100 numbers, and their negatives."""
    rows = np.random.default_rng(0).standard_normal((50, 100)) / 10
    return np.concatenate([rows, -rows])


@lru_cache
def rosenbrock() -> problems.Custom:
    """In ten dimensions, Gaussian noise."""
    return problems.Custom(
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        x0=np.full(10, 0.5), minimum=0.0, noise="gaussian", noise_std=0.1,
    )  # fmt: skip


@lru_cache
def power() -> problems.Custom:
    """|x|^1.5 in a hundred dimensions, heavy-tailed noise."""
    return problems.Custom(
        lambda x: np.sum(np.abs(x) ** 1.5), x0=np.full(100, 0.5), minimum=0.0,
        noise=lambda x, draw: 0.1 * draw.student_t(NU),
    )  # fmt: skip


@lru_cache
def largest() -> problems.Custom:
    """The largest of a hundred linear functions in a hundred dimensions, Gaussian noise."""
    rows = linear_functions()
    return problems.Custom(
        lambda x: np.max(rows @ x), x0=np.full(100, 0.5), minimum=0.0, noise="gaussian", noise_std=0.1
    )


@lru_cache
def absolute_value_program() -> problems.Custom:
    """`absolute_value` with Gaussian noise as a program."""
    builtin = absolute_value("gaussian")
    return problems.Custom(
        "a * sum(abs(x))", parameters={"a": 0.1}, x0=1.0, minimum=0.0, projection=_BOX, noise="gaussian",
        noise_std=builtin.noise_std,
    )  # fmt: skip


def _gaussian() -> Problem:
    return absolute_value("gaussian")


def _rademacher() -> Problem:
    return absolute_value("rademacher")


_POLYNOMIAL = schedules.Polynomial(2.5)
_TABLE = schedules.Tabulated(0.5 * (1.0 + np.cos(math.pi * np.linspace(0.0, 1.0, 1001))), name="table")
_ALL = ("NumPy", "Numba", "JAX scan", "JAX scan, rbg", "JAX vmap", "PyTorch", "C++")
_LRS = (0.001, 0.1)
_MILLION = 2**20

_GAUSSIAN = Case("abs-gaussian", _gaussian, _POLYNOMIAL, 1, _MILLION, 1_000, _ALL, counted="gaussian")
_RADEMACHER = Case("abs-rademacher", _rademacher, _POLYNOMIAL, 1, _MILLION, 10_000, _ALL, counted="rademacher")

_LOGISTIC = Case("logistic-16", lambda: logistic(16), schedules.Linear(), 1, 1024, 5_000, ("Numba", "JAX", "NumPy"),
                 base_lr=0.02, work_per_step=3200, unit="multiply-adds", numpy_block=128,
                 row_bytes=2.0)  # fmt: skip

CASES = (
    _GAUSSIAN,
    _RADEMACHER,
    Case("abs-gaussian-float64", _gaussian, _POLYNOMIAL, 1, _MILLION // 4, 1_000, _ALL, dtype="float64",
         counted="gaussian"),
    Case("quadratic-16-gaussian", lambda: quadratic(16), _POLYNOMIAL, 1, 65536, 1_000, _ALL, work_per_step=16),
    Case("quadratic-1000-gaussian", lambda: quadratic(1000), _POLYNOMIAL, 1, 4096, 256, _ALL, work_per_step=1000),
    Case("abs-gaussian-10000-configs", _gaussian, _POLYNOMIAL, 10_000, 100, 1_000, base_lr=_LRS,
         counted="gaussian", beside=_GAUSSIAN),
    Case("abs-gaussian-10000-configs-common", _gaussian, _POLYNOMIAL, 10_000, 100, 1_000, base_lr=_LRS,
         common_random_numbers=True, beside=_GAUSSIAN),
    Case("abs-gaussian-T-100", _gaussian, _POLYNOMIAL, 1, 10 * _MILLION, 100, beside=_GAUSSIAN),
    Case("abs-gaussian-T-100000", _gaussian, _POLYNOMIAL, 1, _MILLION // 64, 100_000, beside=_GAUSSIAN),
    Case("abs-gaussian-constant", _gaussian, schedules.Constant(), 1, _MILLION, 1_000, beside=_GAUSSIAN),
    Case("abs-gaussian-cosine", _gaussian, schedules.Cosine(), 1, _MILLION, 1_000, beside=_GAUSSIAN),
    Case("abs-gaussian-tabulated", _gaussian, _TABLE, 1, _MILLION, 1_000, beside=_GAUSSIAN),
    Case("abs-rademacher-constant", _rademacher, schedules.Constant(), 1, _MILLION, 10_000, beside=_RADEMACHER),
    Case("abs-gaussian-20-records", _gaussian, _POLYNOMIAL, 1, _MILLION, 1_000, records=20, beside=_GAUSSIAN),
    Case("abs-rademacher-20-records", _rademacher, _POLYNOMIAL, 1, _MILLION, 10_000, records=20, beside=_RADEMACHER),
    Case("logistic-1", lambda: logistic(1), schedules.Linear(), 1, 1024, 60_000, ("Numba", "JAX", "NumPy"),
         base_lr=0.02, work_per_step=200, unit="multiply-adds", numba_lanes=16, row_bytes=2.0),
    _LOGISTIC,
    Case("own-loss-16", lambda: own_loss(16), schedules.Linear(), 1, 1024, 5_000, base_lr=0.02, work_per_step=3200,
         unit="multiply-adds", beside=_LOGISTIC, row_bytes=2.0),
    Case("logistic-1-shared", lambda: logistic(1), schedules.Linear(), 1024, 1, 80_000, ("JAX", "NumPy"),
         base_lr=_LRS, common_random_numbers=True, work_per_step=200, unit="multiply-adds"),
    Case("logistic-16-shared", lambda: logistic(16), schedules.Linear(), 1024, 1, 8_000, ("JAX", "NumPy"),
         base_lr=_LRS, common_random_numbers=True, work_per_step=3200, unit="multiply-adds"),
    Case("mlp-digits-32", network, schedules.Linear(), 1, 256, 1_000, ("JAX", "NumPy"), base_lr=0.1,
         work_per_step=32 * (2 * 64 * 32 + 3 * 32 * 10), unit="multiply-adds", layers=(64, 32, 10)),
    Case("abs-gaussian-program", absolute_value_program, _POLYNOMIAL, 1, _MILLION, 1_000, beside=_GAUSSIAN),
    Case("rosenbrock-10", rosenbrock, schedules.Linear(), 1, 65536, 300, ("JAX", "Numba"), base_lr=2e-4,
         work_per_step=10),
    Case("power-student-t-100", power, schedules.Linear(), 1, 8192, 200, ("JAX", "Numba"), base_lr=0.02,
         work_per_step=100),
    Case("adam-abs-gaussian", _gaussian, _POLYNOMIAL, 1, _MILLION // 4, 1_000, ("JAX", "Numba"),
         method=methods.Adam()),
    Case("max-linear-100", largest, schedules.Linear(), 1, 8192, 100, ("JAX", "Numba"), base_lr=0.02,
         work_per_step=100),
)  # fmt: skip


def _on_gpu(name: str, trajectories: int, horizon: int) -> Case:
    """A case on data, with as many trajectories as a GPU wants before it is busy: 10^5, or fewer with much work."""
    case = next(case for case in CASES if case.name == name)
    configs, replicates = (trajectories, case.replicates) if case.shared else (case.configs, trajectories)
    return replace(case, name=f"gpu-{name}", configs=configs, replicates=replicates, horizon=horizon, peers=("JAX",))


_GPU_PEERS = ("JAX scan", "JAX scan, rbg", "PyTorch on a GPU", "PyTorch, CUDA graph")
GPU_CASES = (
    Case("gpu-abs-rademacher", _rademacher, _POLYNOMIAL, 1, 2 * _MILLION, 100_000, _GPU_PEERS, instructions=12.8),
    Case("gpu-abs-gaussian", _gaussian, _POLYNOMIAL, 1, 2 * _MILLION, 20_000, _GPU_PEERS, instructions=42.5),
    Case("gpu-abs-gaussian-float64", _gaussian, _POLYNOMIAL, 1, _MILLION, 4_000, dtype="float64"),
    Case("gpu-abs-gaussian-10000-configs", _gaussian, _POLYNOMIAL, 10_000, 100, 20_000, base_lr=_LRS,
         common_random_numbers=True, instructions=42.5),
    Case("gpu-quadratic-16-gaussian", lambda: quadratic(16), _POLYNOMIAL, 1, 2**18, 4_000, work_per_step=16),
    Case("gpu-quadratic-16-ball", lambda: quadratic(16, 0.3), _POLYNOMIAL, 1, 2**18, 1_000, work_per_step=16),
    Case("gpu-quadratic-1000-gaussian", lambda: quadratic(1000), _POLYNOMIAL, 1, 2**14, 1_000, work_per_step=1000),
    Case("gpu-quadratic-1000-ball", lambda: quadratic(1000, 0.3), _POLYNOMIAL, 1, 2**13, 256, work_per_step=1000),
    _on_gpu("logistic-1", 2**16, 20_000),
    _on_gpu("logistic-16", 2**16, 4_000),
    _on_gpu("logistic-1-shared", 2**14, 20_000),
    _on_gpu("logistic-16-shared", 2**14, 4_000),
    _on_gpu("mlp-digits-32", 2**14, 1_000),
)  # fmt: skip
