"""Problems stacked once for the core, and the one call into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    from .programs import Program

CELL_FIELDS = ("count", "diverged", "mean", "m2", "minimum", "maximum")
"""Of `_core.Moments`, by node, config and record."""

_STACKED, _STACKED_NUMBERS = 256, 2**22
"""Stacked problems, and their coordinates in all, that are kept of one for calls with other metrics and methods."""

_ITERATES = {kind.name: kind for kind in _core.Iterate}
_METRICS = {kind.name: kind for kind in _core.Metric}
_PRECISIONS = {kind.name: kind for kind in _core.Precision}


class Layouts:
    """Problems as the core takes them, for every dtype, metrics and method that calls ask for; a few are kept."""

    __slots__ = ("_stacked", "problems")

    def __init__(self, problems: tuple[Problem, ...], stacked: dict[Any, _core.Problems]) -> None:
        """`stacked`: what is kept, which a problem has for itself."""
        self.problems, self._stacked = problems, stacked

    def stacked(self, dtype: str, metrics: tuple[str | OwnMetric, ...], method: Method) -> _core.Problems:
        """The problems as the core takes them; a minimum is looked for where it is needed only."""
        own = _spec.own_metrics(metrics)
        program = _spec.method_program(method, self.problems[0])
        key = (dtype, "suboptimality" in metrics, own, None if program is None else method)
        stacked = self._stacked.get(key)
        if stacked is None:
            options: dict[str, Any] = {"own": own} if own else {}
            if program is not None:
                options["method"] = program
            stacked = type(self.problems[0])._stack(self.problems, dtype, with_minimum=key[1], **options)
            coordinates = len(self.problems) * self.problems[0].dimension
            if len(self._stacked) >= min(_STACKED, max(4, _STACKED_NUMBERS // coordinates)):
                self._stacked.clear()
            self._stacked[key] = stacked
        return stacked


class Ensemble:
    """A problem, or a sequence of them, validated once to be simulated many times."""

    __slots__ = ("_last", "_layouts", "_refusals", "problem", "problems")

    def __init__(self, problem: Problem | Sequence[Problem]) -> None:
        """Check and stack the problems."""
        if isinstance(problem, Problem):
            self.problem: Problem | tuple[Problem, ...] = problem
            self.problems: tuple[Problem, ...] = (problem,)
            stacked, self._refusals = problem._stacked, problem._refusals
        else:
            self.problem = self.problems = as_sequence(problem)
            stacked, self._refusals = {}, {}
        self._layouts = Layouts(self.problems, stacked)  # and no more for `_last`: a cycle would keep the memory
        self._last: tuple[tuple[Any, ...], tuple[type, ...], Prepared] | None = None

    def spec(
        self,
        schedule: Schedule | Sequence[Schedule],
        *,
        base_lr: ArrayLike,
        horizon: _spec.Whole,
        record_at: _spec.Steps = None,
        **options: Unpack[Options],
    ) -> Spec:
        """What is to be simulated, checked."""
        seed = options.pop("seed", 0)
        return self.prepared(schedule, horizon, record_at, options).spec(base_lr, seed)[0]

    def prepared(self, schedule: object, horizon: object, record_at: object, options: Mapping[str, Any]) -> Prepared:
        """All but learning rates and seed, checked; the last one again where everything is what it was."""
        arguments = (schedule, horizon, record_at, *options, *options.values())
        types = tuple(map(type, arguments))
        if self._last is not None and self._last[1] == types and self._last[0] == arguments:
            return self._last[2]
        spec, records = _spec.checked(
            self.problems, self.problem, schedule, horizon=horizon, record_at=record_at, options=options
        )
        dtype = spec.dtype
        if dtype not in self._refusals:
            self._refusals[dtype] = type(self.problems[0])._refusal(self.problems, dtype)
        if self._refusals[dtype]:  # a parameter of the problems leaves the range of the dtype
            raise ValueError(self._refusals[dtype])
        prepared = Prepared(self._layouts, spec, records)
        if all(kind in _IMMUTABLE or issubclass(kind, Schedule | Method) for kind in types):
            self._last = arguments, types, prepared
        return prepared


_IMMUTABLE = {int, float, str, bool, type(None)}


class Prepared:
    """What is to be simulated, checked, but for learning rates and seed: what calls that vary these alone share."""

    __slots__ = ("_layouts", "_on_data", "_passes", "_program", "_records", "_spec")

    def __init__(self, layouts: Layouts, spec: Spec, records: IntArray) -> None:
        """Checked; of the core nothing is made yet."""
        self._layouts, self._spec, self._records = layouts, spec, records
        self._passes: list[_core.Ensemble] = []
        self._program: Program | None = None
        self._on_data: Program | None = None  # a method's

    def spec(self, base_lr: ArrayLike, seed: _spec.Seed) -> tuple[Spec, FloatArray]:
        """What is to be simulated; its learning rates as an array."""
        return _spec.with_rates(self._spec, base_lr, seed)

    def moments(
        self,
        spec: Spec,
        rates: FloatArray,
        *,
        first: int,
        replicates: int,
        isa: str,
        threads: int,
        target: Target | None = None,
        kept: Mapping[str, NDArray[Any]],
        device_samples: int = 0,
        poll: Callable[[float], None] | None = None,
    ) -> _core.Moments:
        """Simulate on the CPU, or the target; `kept`: arrays for samples, iterates and exceedance, by these names.

        `device_samples`: an address for samples on the target's one GPU. Each of several iterates is a pass of its own;
        they stand before the configs.
        """
        if not self._passes:
            self._passes = self._made()
        several = len(self._passes) > 1
        check = partial(_check_memory, spec, replicates, threads if target is None else None)
        passes = []
        for i, ensemble in enumerate(self._passes):
            more: dict[str, Any] = (
                {name: array[i] if several else array for name, array in kept.items()} if kept else {}
            )
            if poll is not None:
                more["poll"] = partial(_poll_of_pass, poll, i, len(self._passes)) if several else poll
            if target is not None:
                more["devices"] = target.handles
                more["device_samples"] = device_samples and device_samples + i * _bytes_of_pass(spec, replicates)
                if self._program is not None:
                    more["steps_code"] = self._steps_code(self._program, spec, i, replicates)
            elif self._on_data is not None:
                more["method_code"] = self._method_code(self._on_data, spec, isa, replicates / threads)
            elif self._program is not None:
                more["machine_code"] = self._machine_code(self._program, spec, i, isa, replicates, threads)
            # By place, which the core takes 1.5 us less to read.
            passes.append(_core.simulate(ensemble, rates, spec.seed, first, replicates, isa, threads, check, **more))
        return _joined(passes) if several else passes[0]

    def _made(self) -> list[_core.Ensemble]:
        """The core's ensembles, one for each iterate."""
        spec, problem = self._spec, self._layouts.problems[0]
        schedules = (spec.schedule,) if isinstance(spec.schedule, Schedule) else spec.schedule
        metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
        own, method = _spec.own_metrics(metrics), _spec.method_program(spec.method, problem)
        self._program = problem._run_program(own, method)
        self._on_data = method if problem._network is not None else None
        followed = spec.method._followed
        return [
            _core.Ensemble(
                problems=self._layouts.stacked(spec.dtype, metrics, spec.method),
                schedules=[s._core(spec.horizon) for s in (*schedules, *(one.schedule for one in followed))],
                record_at=self._records,
                metrics=[_METRICS[m if isinstance(m, str) else "own"] for m in metrics],
                iterate=_ITERATES[iterate],
                precision=_PRECISIONS[spec.dtype],
                options=_spec.for_core(spec, problem),
                number_ends=np.array([[one.zero, one.one] for one in followed]).reshape(-1, 2),
            )
            for iterate in _iterates(spec)
        ]

    def _machine_code(
        self, program: Program, spec: Spec, number: int, isa: str, replicates: int, threads: int
    ) -> _core.MachineCode | None:
        """What takes the steps of a program in the interpreter's place."""
        from .programs._machine_code import machine_code  # programs take long to import

        return machine_code(
            program,
            dtype=spec.dtype,
            isa=isa,
            projection=self._layouts.problems[0]._common[3],
            summing=_iterates(spec)[number] != "last",
            replicates=replicates,
            configs=prod(len(getattr(spec, name)) for name in ("schedule", "base_lr") if name in spec.dims),
            steps=float(prod(spec.config_shape)) * replicates / threads * spec.horizon,
        )

    def _method_code(self, program: Program, spec: Spec, isa: str, replicates: float) -> _core.MethodCode | None:
        """The same of a method on data."""
        from .programs._machine_code import method_code  # programs take long to import

        sizes, intercept = self._layouts.problems[0]._network or ((), False)
        steps = float(prod(spec.config_shape)) * replicates * spec.horizon
        return method_code(program, dtype=spec.dtype, isa=isa, sizes=sizes, intercept=intercept, steps=steps)

    def _steps_code(self, program: Program, spec: Spec, number: int, replicates: int) -> _core.StepsCode | None:
        """The same of a program on GPUs."""
        from .programs._machine_code import steps_code  # programs take long to import

        return steps_code(
            program,
            dtype=spec.dtype,
            projection=self._layouts.problems[0]._common[3],
            summing=_iterates(spec)[number] != "last",
            log2_team=_core.log2_team(self._passes[number]),
            steps=float(prod(spec.config_shape)) * replicates * spec.horizon,
        )


def _iterates(spec: Spec) -> tuple[str, ...]:
    return (spec.iterate,) if isinstance(spec.iterate, str) else spec.iterate


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
