"""Benchmark cases as data: what is simulated, and the limit that was counted for it."""

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

    @property
    def coordinate_steps(self) -> int:
        return self.configs * self.replicates * self.horizon * self.problem.dimension


def absolute_value(noise: str) -> problems.Problem:
    return problems.AbsoluteValue(slope=0.1, noise=noise, second_moment=1.0, projection=BOX, x0=1.0)


def quadratic(dimension: int) -> problems.Problem:
    return problems.Quadratic(curvature=[0.5] * dimension, noise="gaussian", noise_std=0.1)


POLYNOMIAL = schedules.Polynomial(2.5)
CASES = (
    Case("abs-rademacher", absolute_value("rademacher"), POLYNOMIAL, 1, 65536, 20_000),
    Case("abs-gaussian", absolute_value("gaussian"), POLYNOMIAL, 1, 65536, 2_000),
    Case("abs-gaussian-float64", absolute_value("gaussian"), POLYNOMIAL, 1, 65536, 1_000, dtype="float64"),
    Case("abs-gaussian-16-configs", absolute_value("gaussian"), POLYNOMIAL, 16, 65536, 500),
    Case("quadratic-16-gaussian", quadratic(16), POLYNOMIAL, 1, 8192, 1_000),
    Case("quadratic-1000-gaussian", quadratic(1000), POLYNOMIAL, 1, 1024, 128),
)
