"""Separable benchmark cases for a GPU as data: what is simulated, and the limit that was counted for it."""

from __future__ import annotations

from dataclasses import dataclass

from anneal_sgd import problems, schedules

BOX = ("box", -1.0, 1.0)


@dataclass(frozen=True)
class Case:
    """One ensemble; its useful work is configs x replicates x horizon x dimension coordinate-steps."""

    name: str
    problem: problems.Problem
    schedule: schedules.Schedule
    configs: int
    replicates: int
    horizon: int
    dtype: str = "float32"
    common_random_numbers: bool = True
    gpu_slots: float | None = None  # instructions per coordinate-step that a GPU thread issues, counted in its code
    peers: bool = False  # whether other libraries run it too

    @property
    def coordinate_steps(self) -> int:
        return self.configs * self.replicates * self.horizon * self.problem.dimension


def absolute_value(noise: str) -> problems.Problem:
    return problems.AbsoluteValue(slope=0.1, noise=noise, second_moment=1.0, projection=BOX, x0=1.0)


def quadratic(dimension: int, projection: tuple[str, float] | None = None) -> problems.Problem:
    x0 = 0.0 if projection else 1.0
    return problems.Quadratic(
        curvature=[0.5] * dimension, noise="gaussian", noise_std=0.1, projection=projection, x0=x0
    )


POLYNOMIAL = schedules.Polynomial(2.5)
# For a GPU, which wants 10^5 trajectories before it is busy.
GPU_CASES = (
    Case("abs-rademacher", absolute_value("rademacher"), POLYNOMIAL, 1, 2**21, 100_000, gpu_slots=12.8, peers=True),
    Case("abs-gaussian", absolute_value("gaussian"), POLYNOMIAL, 1, 2**21, 20_000, gpu_slots=42.5, peers=True),
    Case("abs-gaussian-float64", absolute_value("gaussian"), POLYNOMIAL, 1, 2**20, 4_000, dtype="float64"),
    Case("abs-gaussian-10000-configs", absolute_value("gaussian"), POLYNOMIAL, 10_000, 100, 20_000, gpu_slots=42.5),
    Case("quadratic-16-gaussian", quadratic(16), POLYNOMIAL, 1, 2**18, 4_000),
    Case("quadratic-16-ball", quadratic(16, ("ball", 0.3)), POLYNOMIAL, 1, 2**18, 1_000),
    Case("quadratic-1000-gaussian", quadratic(1000), POLYNOMIAL, 1, 2**14, 1_000),
    Case("quadratic-1000-ball", quadratic(1000, ("ball", 0.3)), POLYNOMIAL, 1, 2**13, 256),
)
