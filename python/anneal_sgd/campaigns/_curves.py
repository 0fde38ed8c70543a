"""Means of a campaign's first metric as one array, for what compares schedules."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._result import CampaignResult


class Curves:
    """Arrays of shape (problems, schedules, horizons, rates, records), rates ascending.

    `known`: whether anything was computed; `diverged`: whether a trajectory diverged, and nothing is to be said of the
    mean. Of an accuracy `mean` is its complement.
    """

    def __init__(self, result: CampaignResult) -> None:
        told = self.told = result.description
        self.schedules, self.horizons = told.schedules, told.horizons
        self.lr_name, self.metric = told.lr_name, told.metrics[0]
        rates = np.array(told.rates, dtype=np.float64)
        order = np.argsort(rates)
        self.rates = rates[order]
        records = math.prod(len(values) for name, values in told.cell_axes if name != "metric")
        shape = (-1, len(self.schedules), len(self.horizons), len(rates), records, len(told.metrics))

        def first_metric(statistic: Any) -> Any:
            return statistic.reshape(shape)[..., 0][..., order, :]

        count, diverged = first_metric(result.count), first_metric(result.diverged)
        self.known = count + diverged > 0
        self.diverged = self.known & ((diverged > 0) | (count == 0))
        mean = first_metric(result.mean)
        self.mean = 1.0 - mean if self.metric == "test_accuracy" else mean
        self.error = np.where(count > 1, first_metric(result.stderr), 0.0)
        self.axes = [(name, values) for name, values in told.axes if name not in ("schedule", "horizon", self.lr_name)]

    @property
    def value(self) -> str:
        """What the mean is of, in words."""
        return "error on held-out rows" if self.metric == "test_accuracy" else self.metric.replace("_", " ")

    def problem(self, number: int) -> str:
        """A problem by its parameters; empty where there is one only."""
        sizes = [len(values) for _, values in self.axes]
        places = np.unravel_index(number, sizes) if sizes else ()
        return ", ".join(f"{name} = {short(values[i])}" for (name, values), i in zip(self.axes, places, strict=True))

    def panels(self) -> list[tuple[str, int, int]]:
        """Label, number of the problem and of the horizon, of all combinations."""
        numbers = itertools.product(range(len(self.mean)), range(len(self.horizons)))
        return [(", ".join(filter(None, (self.problem(i), f"T = {self.horizons[h]:,}"))), i, h) for i, h in numbers]


def short(value: Any) -> str:
    """A number in four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
