"""Problems stacked once for the core, and the one call into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, _spec, _validate
from ._arrays import FloatArray, IntArray
from ._machine import available_memory
from ._spec import Options, Spec
from ._target import Target
from .methods import Method
from .problems import OwnMetric, Problem
from .problems._base import as_sequence
from .schedules import Schedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

CELL_FIELDS = ("count", "diverged", "mean", "m2", "minimum", "maximum")
"""Of `_core.Moments`, by node, config and record."""

_ITERATES = {kind.name: kind for kind in _core.Iterate}
_METRICS = {kind.name: kind for kind in _core.Metric}
_PRECISIONS = {kind.name: kind for kind in _core.Precision}


class Ensemble:
    """A problem, or a sequence of them, validated once to be simulated many times."""

    __slots__ = ("_refusals", "_stacked", "problem", "problems")

    def __init__(self, problem: Problem | Sequence[Problem]) -> None:
        """Check and stack the problems."""
        if isinstance(problem, Problem):
            self.problem: Problem | tuple[Problem, ...] = problem
            self.problems: tuple[Problem, ...] = (problem,)
            self._stacked, self._refusals = problem._stacked, problem._refusals
        else:
            self.problem = self.problems = as_sequence(problem)
            self._stacked, self._refusals = {}, {}

    def spec(
        self,
        schedule: Schedule | Sequence[Schedule],
        *,
        base_lr: ArrayLike,
        horizon: _spec.Whole,
        record_at: _spec.Steps = None,
        **options: Unpack[Options],
    ) -> tuple[Spec, FloatArray, IntArray]:
        """What is to be simulated, checked; the learning rates and the recorded steps as arrays."""
        spec, rates, records = _spec.checked(
            self.problems,
            self.problem,
            schedule,
            base_lr=base_lr,
            horizon=horizon,
            record_at=record_at,
            options=options,
        )
        dtype = spec.dtype
        if dtype not in self._refusals:
            self._refusals[dtype] = type(self.problems[0])._refusal(self.problems, dtype)
        if self._refusals[dtype]:  # a parameter of the problems leaves the range of the dtype
            raise ValueError(self._refusals[dtype])
        return spec, rates, records

    def moments(
        self,
        spec: Spec,
        rates: FloatArray,
        records: IntArray,
        *,
        first: int,
        replicates: int,
        isa: str,
        threads: int,
        target: Target | None = None,
        samples: NDArray[Any] | None = None,
        device_samples: int = 0,
        iterates: NDArray[Any] | None = None,
        exceedance: IntArray | None = None,
        poll: Callable[[float], None] | None = None,
    ) -> _core.Moments:
        """Simulate on the CPU, or the target; samples go to the array, or to the address on the target's one GPU.

        Each of several iterates is a pass of its own; they stand before the configs. `iterates` and `exceedance`: where
        points of the last record and numbers of values in bins go.
        """
        schedules = (spec.schedule,) if isinstance(spec.schedule, Schedule) else spec.schedule
        metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
        kinds = (spec.iterate,) if isinstance(spec.iterate, str) else spec.iterate
        stacked = self._core(spec.dtype, metrics, spec.method)

        def of_pass(kept: NDArray[Any] | None, number: int) -> NDArray[Any] | None:
            return kept if kept is None or isinstance(spec.iterate, str) else kept[number]

        work = float(prod(spec.config_shape)) * replicates * spec.horizon
        passes = []
        for i, iterate in enumerate(kinds):
            ensemble = _core.Ensemble(
                problems=stacked,
                schedules=[s._core(spec.horizon) for s in schedules],
                base_lr=rates,
                record_at=records,
                metrics=[_METRICS[m if isinstance(m, str) else "own"] for m in metrics],
                iterate=_ITERATES[iterate],
                precision=_PRECISIONS[spec.dtype],
                options=_spec.for_core(spec, self.problems[0]),
            )
            moments = _core.simulate(
                ensemble,
                first_replicate=first,
                replicates=replicates,
                isa=isa,
                threads=threads,
                samples=of_pass(samples, i),
                iterates=of_pass(iterates, i),
                exceedance=of_pass(exceedance, i),
                poll=poll if poll is None or len(kinds) == 1 else partial(_poll_of_pass, poll, i, len(kinds)),
                machine_code=None if target is not None else self._machine_code(spec, iterate, isa, work / threads),
                check_memory=partial(_check_memory, spec, replicates, threads if target is None else None),
                devices=() if target is None else target.handles,
                device_samples=device_samples and device_samples + i * _bytes_of_pass(spec, replicates),
            )
            passes.append(moments)
        return passes[0] if len(passes) == 1 else _joined(passes)

    def _machine_code(self, spec: Spec, iterate: str, isa: str, steps: float) -> _core.MachineCode | None:
        """What takes the steps of a program in the interpreter's place; `steps`: of trajectories, on each thread."""
        problem = self.problems[0]
        metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
        program = problem._run_program(_spec.own_metrics(metrics), _spec.method_program(spec.method, problem))
        if program is None:
            return None
        from .programs._machine_code import machine_code  # programs take long to import

        return machine_code(
            program,
            dtype=spec.dtype,
            isa=isa,
            projection=problem._common[3],
            summing=iterate != "last",
            steps=steps,
        )

    def _core(self, dtype: str, metrics: tuple[str | OwnMetric, ...], method: Method) -> _core.Problems:
        """The problems as the core takes them; a minimum is looked for where it is needed only."""
        own = _spec.own_metrics(metrics)
        program = _spec.method_program(method, self.problems[0])
        key = (dtype, "suboptimality" in metrics, own, None if program is None else method)
        if key not in self._stacked:
            options: dict[str, Any] = {"own": own} if own else {}
            if program is not None:
                options["method"] = program
            self._stacked[key] = type(self.problems[0])._stack(self.problems, dtype, with_minimum=key[1], **options)
        return self._stacked[key]


def _poll_of_pass(poll: Callable[[float], None], number: int, passes: int, fraction: float) -> None:
    poll((number + fraction) / passes)


def _bytes_of_pass(spec: Spec, replicates: int) -> int:
    """Of its samples."""
    configs = spec.shape if isinstance(spec.iterate, str) else spec.shape[1:]
    return prod(configs) * replicates * _validate.DTYPES[spec.dtype].itemsize


def _joined(passes: list[_core.Moments]) -> _core.Moments:
    """The configs of all passes, which are over the same replicates, one after another."""
    cells = {name: np.concatenate([getattr(moments, name) for moments in passes], axis=1) for name in CELL_FIELDS}
    return _core.Moments(ranges=passes[0].ranges, **cells)


def size_of(spec: Spec, replicates: int) -> str:
    """In words, for messages."""
    records = prod(len(part) for part in (spec.record_at, spec.metric) if isinstance(part, tuple))
    return f"{replicates} replicates x {prod(spec.shape) // records} configs x {records} records"


def _check_memory(spec: Spec, replicates: int, threads: int | None, needed: float) -> None:
    """`threads`: of the CPU; None where a GPU computes, and the host holds the statistics alone."""
    available = available_memory()
    if available is None or needed <= available:
        return
    if threads is None:
        where, advice = "of this machine's memory", "fewer records or configs take less"
    else:
        where, advice = f"on {threads} threads", "fewer threads, records, configs or coordinates take less"
    problem = spec.problem[0] if isinstance(spec.problem, tuple) else spec.problem
    raise MemoryError(
        f"{size_of(spec, replicates)} in {problem.dimension} coordinates need about {needed:.0f} bytes {where}, and "
        f"{available} are available: {advice}"
    )
