"""What a run computes: configs, each with an identity of its own, along named dimensions, and in which calls."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from .. import theory
from .._arrays import FloatArray
from .._core import STREAM_VERSION
from .._spec import DEFAULTS, OF_ITERATE, own_metrics
from ..problems import Problem
from ..schedules import Schedule
from ._description import Description, tuples
from ._identity import config_identities, config_seeds
from ._precision import Precision

Axis: TypeAlias = "tuple[str, tuple[Any, ...]]"


@dataclass(frozen=True)
class Unit:
    """Configs that one call can simulate: problems of one kind x learning rates, one schedule and horizon."""

    problems: tuple[Problem, ...]
    schedule: Schedule
    horizon: int
    base_lr: tuple[float, ...]
    record_at: int | tuple[int, ...]
    configs: tuple[tuple[int, ...], ...]
    """Numbers of the configs, [problem][learning rate]."""

    @property
    def cost(self) -> float:
        """Of one trajectory, in coordinate-steps."""
        return cost(self.problems[0], self.horizon)


@dataclass(eq=False, repr=False, kw_only=True)
class Plan:
    """The outer product of problems, schedules, horizons and learning rates, and what is wanted of each config."""

    name: str
    text: str | None
    axes: tuple[Axis, ...]
    """Dimensions of the result and what stands along them, but for records and metrics."""
    problems: tuple[Problem, ...]
    digests: list[str]
    schedules: tuple[Schedule, ...]
    horizons: tuple[int, ...]
    lr_name: str
    rates: tuple[float, ...]
    """Learning rates, or by lr_name misspecifications."""
    steps: int | tuple[int, ...] | None
    record_frac: float | tuple[float, ...] | None
    options: dict[str, Any]
    replicates: int
    precision: Precision | None
    """What decides how many of the replicates a config gets; None: all of them."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        metric = self.options["metric"]
        return (metric,) if isinstance(metric, str) else tuple(map(str, metric))

    @cached_property
    def problem_groups(self) -> list[list[int]]:
        """Numbers of the problems, those together that one call takes."""
        groups: dict[Any, list[int]] = {}
        for i, problem in enumerate(self.problems):
            groups.setdefault(problem._common, []).append(i)
        return list(groups.values())

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of problems, schedules, horizons and learning rates."""
        return len(self.problems), len(self.schedules), len(self.horizons), len(self.rates)

    @property
    def config_count(self) -> int:
        """The number of configs."""
        return math.prod(self.shape)

    @property
    def cell_axes(self) -> tuple[Axis, ...]:
        """The dimensions within a config: records and metrics, each where a sequence was given."""
        axes: list[Axis] = []
        if isinstance(self.record_frac, tuple):
            axes.append(("record_frac", self.record_frac))
        record_at = self.record_at(self.horizons[0])
        if self.record_frac is None and isinstance(record_at, tuple):
            axes.append(("record_at", record_at))
        if isinstance(self.options["metric"], tuple):
            axes.append(("metric", self.metrics))
        return tuple(axes)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of the result."""
        return tuple(name for name, _ in (*self.axes, *self.cell_axes))

    def record_at(self, horizon: int) -> int | tuple[int, ...]:
        """The recorded steps of a run of that horizon."""
        if self.record_frac is None:
            return horizon if self.steps is None else self.steps
        fractions = self.record_frac if isinstance(self.record_frac, tuple) else (self.record_frac,)
        # As for tail averages (docs/stream.md): 0.07 of 100 steps are 7, though the product is above 7.
        steps = tuple(max(1, math.ceil(f * horizon * (1 - 2.0**-50))) for f in fractions)
        if any(b <= a for a, b in itertools.pairwise(steps)):
            raise ValueError(f"record_frac must be different steps of every horizon, got {steps} for horizon {horizon}")
        return steps if isinstance(self.record_frac, tuple) else steps[0]

    def base_lr(self, schedule: int, horizon: int) -> FloatArray:
        """The learning rates of a schedule (by its number) at a horizon: float64, (rates,)."""
        scale = 1.0 if self.lr_name == "base_lr" else self._tuned(schedule, horizon)
        return np.asarray(self.rates) * scale

    def _tuned(self, schedule: int, horizon: int) -> float:
        key = schedule, horizon
        if key not in self._tuned_rates:
            self._tuned_rates[key] = theory.tuned_base_lr(self.schedules[schedule], horizon)
        return self._tuned_rates[key]

    @cached_property
    def _tuned_rates(self) -> dict[tuple[int, int], float]:
        return {}

    def units(self) -> Iterator[Unit]:
        """All configs, in calls."""
        _, schedules, horizons, rates = self.shape
        for s, schedule in enumerate(self.schedules):
            for t, horizon in enumerate(self.horizons):
                base_lr = tuple(self.base_lr(s, horizon).tolist())
                for group in self.problem_groups:
                    firsts = [((i * schedules + s) * horizons + t) * rates for i in group]
                    yield Unit(
                        tuple(self.problems[i] for i in group),
                        schedule,
                        horizon,
                        base_lr,
                        self.record_at(horizon),
                        tuple(tuple(range(first, first + rates)) for first in firsts),
                    )

    def config_seeds(self) -> list[int]:
        """The seed of every config's noise, in order; all `seed` with common random numbers.

        `simulate` with that seed, and one config, gives a config's statistics again.
        """
        if self.options["common_random_numbers"]:
            return [self.options["seed"]] * self.config_count
        seeds: list[int] = []
        names = [s._identity for s in self.schedules]
        for digest, (s, name), horizon in itertools.product(self.digests, enumerate(names), self.horizons):
            alike = STREAM_VERSION, self.options["seed"], digest, name, horizon
            seeds.extend(config_seeds(alike, self.base_lr(s, horizon).tolist()))
        return seeds

    def identities(self) -> list[tuple[bytes, str]]:
        """Of every config, in order: the SHA-256 of its description, and the description, JSON.

        Everything that a trajectory's bits depend on is in it, and nothing else.
        """
        options = {name: value for name, value in self.options.items() if name not in ("metric", "method")}
        if (method := self.options["method"]) != DEFAULTS["method"]:
            options["method"] = method._identity
        for name, iterate in OF_ITERATE.items():
            if options["iterate"] != iterate:
                del options[name]
        own = {metric.name: [metric.name, metric.program.digest] for metric in own_metrics(self.options["metric"])}
        common = {"stream_version": STREAM_VERSION, **options, "metric": [own.get(name, name) for name in self.metrics]}
        schedules = [s._identity for s in self.schedules]
        found: list[tuple[bytes, str]] = []
        for digest, (s, schedule), horizon in itertools.product(self.digests, enumerate(schedules), self.horizons):
            record_at = self.record_at(horizon)
            records = [record_at] if isinstance(record_at, int) else list(record_at)
            alike = {**common, "problem": digest, "schedule": schedule, "horizon": horizon, "record_at": records}
            found.extend(config_identities(alike, self.base_lr(s, horizon).tolist()))
        return found

    def solved(self) -> dict[str, Problem]:
        """By their digests, the problems whose minimum has to be looked for, and is needed."""
        if "suboptimality" not in self.metrics:
            return {}
        pairs = zip(self.digests, self.problems, strict=True)
        return {digest: problem for digest, problem in pairs if problem._solves_for_minimum}

    def description(self) -> Description:
        """What a reader of results needs besides the numbers."""
        tuned = (tuple(tuple(self.base_lr(s, t).tolist()) for t in self.horizons) for s in range(len(self.schedules)))
        in_fractions = self.record_frac is not None
        own = {m.name: f"{m.name} <program {m.program.digest[:8]}>" for m in own_metrics(self.options["metric"])}
        told = tuple(own.get(name, name) for name in self.metrics)
        options = {**self.options, "metric": told if isinstance(self.options["metric"], tuple) else told[0]}
        method = options.pop("method")
        programs = (program for p in self.problems for program in p._programs)
        if method != DEFAULTS["method"]:
            options["method"] = repr(method)
        return Description(
            name=self.name,
            problems=(_shortened(repr(self.problems[0])),),
            programs=tuple(dict.fromkeys(map(str, (*programs, *method._programs)))),
            schedules=tuple(s.name for s in self.schedules),
            tail_degrees=tuple(_finite(s.tail_degree) for s in self.schedules),
            horizons=self.horizons,
            lr_name=self.lr_name,
            rates=self.rates,
            axes=self.axes,
            cell_axes=self.cell_axes,
            varying={name: tuples(values.tolist()) for name, values in self._varying().items()},
            records=None if in_fractions else self.record_at(self.horizons[0]),
            metrics=self.metrics,
            options=options,
            replicates=self.replicates,
            precision=self.precision.arguments if self.precision else {},
            stream_version=STREAM_VERSION,
            bound_applies=self._bound_applies(),
            text=self.text,
            base_lr=tuple(tuned) if self.lr_name == "rho" else None,
            record_at=tuple(self.record_at(t) for t in self.horizons) if in_fractions else None,
        )

    def _bound_applies(self) -> bool:
        """The last-iterate bound is for plain SGD, on convex functions, which is not checked, and for f - f*."""
        options = self.options
        plain = options["iterate"] == "last" and not options["momentum"] and not options["weight_decay"]
        plain = plain and options["method"]._is_plain
        return plain and self.metrics[0] == "suboptimality"

    def _varying(self) -> Mapping[str, FloatArray]:
        """Parameters in which a sequence of problems differs."""
        if "problem" not in dict(self.axes) or len(self.problem_groups) > 1:
            return {}
        return type(self.problems[0])._varying(self.problems)


def cost(problem: Problem, horizon: int) -> float:
    """Of one trajectory, in coordinate-steps; for problems on data times the batch."""
    return float(horizon) * problem.dimension * getattr(problem, "batch_size", 1)


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _shortened(text: str) -> str:
    return text if len(text) <= 500 else text[:497] + "..."
