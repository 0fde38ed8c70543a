"""The one call that computes: ensembles of independent SGD trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _core, _validate, runtime
from ._arrays import FloatArray, IntArray, available_memory, frozen
from ._cupy import current_stream, empty, is_device_array, output
from ._target import LEGACY_STREAM, Target, choose_backend, open_target
from ._validate import shown
from .problems import Problem
from .problems._base import as_sequence
from .results import Result, Spec
from .schedules import Schedule

__all__ = ["Simulator", "simulate"]

Iterate: TypeAlias = Literal["last", "average", "tail_average"]
Backend: TypeAlias = Literal["auto", "cpu", "cuda"]

_ITERATES = {kind.name: kind for kind in _core.Iterate}
_METRICS = {kind.name: kind for kind in _core.Metric}
_MOMENTUM = _validate.Interval(low=0.0, high=1.0, open_high=True)
_PRECISIONS = {kind.name: kind for kind in _core.Precision}
_RANGES = {name: (float(np.finfo(name).tiny), float(np.finfo(name).max)) for name in _validate.DTYPES}
_REPLICATE_NUMBERS = 2**32
_LARGEST_SEED = 2**64 - 1
_LARGEST_THREADS = 2**31 - 1
_UNCHECKED_BYTES = 2**24  # fewer are allocated without asking the system how much there is


def simulate(
    problem: Problem | Sequence[Problem],
    schedule: Schedule | Sequence[Schedule],
    *,
    base_lr: ArrayLike,
    horizon: int,
    replicates: int,
    first_replicate: int = 0,
    seed: int = 0,
    record_at: int | Sequence[int] | NDArray[np.integer[Any]] | None = None,
    iterate: Iterate = "last",
    tail_frac: float = 0.5,
    common_random_numbers: bool = True,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    metric: str | Sequence[str] | None = None,
    dtype: DTypeLike = "float32",
    backend: Backend = "auto",
    threads: int | None = None,
    isa: str | None = None,
    keep_samples: bool = False,
    out: NDArray[Any] | None = None,
    device: int | None = None,
    stream: object = None,
    device_output: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Result:
    """Simulate `replicates` SGD trajectories of every config and return statistics of their suboptimality.

    With h the schedule, g the stochastic gradient and P the projection of the problem, step t = 0 .. horizon - 1 is

        x <- P(x - base_lr * h(t / horizon) * g(x)),    x = x0 at first,

    the paper's x_{t+2} from x_{t+1}. What is recorded after k steps is f(x) - f*, x the last iterate, the average of
    the last k or of the last ceil(tail_frac * k) iterates. Configs are the outer product of problems, schedules and
    base_lr; the result has a dimension for each that is given as a sequence, and for `record_at`.

    Arrays on a GPU are taken wherever arrays are; parameters among them are copied to the host once, to be checked.

    - `problem`: one, or a sequence of one class, dimension, kind of noise and kind of projection.
    - `schedule`: one, or a sequence.
    - `base_lr`: finite and >= 0, one number or 1-D.
    - `horizon`: T, the number of steps, 1 .. 2^32 - 1.
    - `replicates`, `first_replicate`: independent repetitions of every config, numbered first_replicate ..
      first_replicate + replicates - 1, all below 2^32. A number stands for the same trajectory in every call.
    - `seed`: 0 .. 2^64 - 1.
    - `record_at`: steps at which to record, a number or strictly increasing ones in 0 .. horizon; default: horizon.
    - `iterate`: "last", "average" or "tail_average", the latter with `tail_frac` in (0, 1].
    - `common_random_numbers`: every config sees the same noise, so that differences between configs are sharp; False:
      its own.
    - `momentum` in [0, 1), `nesterov`, `weight_decay` >= 0, for problems on data: with g the gradient plus
      weight_decay * weights (which f does not contain) and v = 0 at first, v <- momentum * v + g and
      x <- P(x - lr * v), or x <- P(x - lr * (g + momentum * v)) with Nesterov's; as PyTorch's SGD. Intercepts do not
      decay.
    - `metric`: what is recorded, or a sequence of such: "suboptimality" f(x) - f*; for problems on data also "loss"
      f(x), "test_loss", the mean loss of held-out rows without l2, and "test_accuracy". Default: "suboptimality" where
      a minimum can be known, else "loss". What is said of the suboptimality holds for every metric.
    - `dtype`: "float32" or "float64", of the trajectories; statistics are always float64.
    - `backend`: "cpu", "cuda" or "auto", which takes a GPU where there is one that shows the CPU's bits in a small run
      (once per process; else it warns), unless `threads` or `isa` say otherwise. None changes a bit.
    - `threads`, `isa`: of the CPU; default as `anneal_sgd.runtime` says.
    - `device`, `stream`: the GPU's number and the stream (of CuPy or PyTorch, or a handle) that its work goes to; by
      default CuPy's current ones where CuPy is in use, else device 0 and the calling thread's own stream. The call
      returns when the statistics are on the host: it waits for that stream and for nothing else.
    - `keep_samples`: keep the suboptimality of every trajectory as `result.samples`, of shape dims + (replicates,).
      `out`: a C-contiguous, writable array of that shape and dtype to keep them in; `result.samples` is a view of it.
      With the CUDA backend `out` may lie on the device (CuPy, `__cuda_array_interface__` or DLPack) and is then
      `result.samples` itself; `device_output=True` makes a CuPy array there.
    - `progress`: called now and then on the calling thread with the fraction done, the last time with 1.0. An exception
      it raises stops the run; so does Ctrl-C.

    ValueError: an argument out of its range (the message starts with its name) or of the range of `dtype`, or samples
    that do not fit in memory. MemoryError: the statistics or the state of the trajectories do not, here or on the GPU,
    and nothing has run. RuntimeError: a backend that is not available here, or what CUDA reports. ImportError: an array
    on a GPU, but no CuPy.

    >>> from anneal_sgd import problems, schedules
    >>> problem = problems.AbsoluteValue(slope=1.0, x0=1.0)  # no noise: 1, 0.5, 0.25, 0.125
    >>> result = simulate(
    ...     problem, schedules.Linear(), base_lr=0.75, horizon=3, replicates=1, record_at=[0, 1, 2, 3], dtype="float64"
    ... )
    >>> result.dims, result.mean.round(12).tolist()
    (('record_at',), [1.0, 0.25, 0.25, 0.0])
    """
    return Simulator(problem).run(
        schedule,
        base_lr=base_lr,
        horizon=horizon,
        replicates=replicates,
        first_replicate=first_replicate,
        seed=seed,
        record_at=record_at,
        iterate=iterate,
        tail_frac=tail_frac,
        common_random_numbers=common_random_numbers,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        metric=metric,
        dtype=dtype,
        backend=backend,
        threads=threads,
        isa=isa,
        keep_samples=keep_samples,
        out=out,
        device=device,
        stream=stream,
        device_output=device_output,
        progress=progress,
    )


class Simulator:
    """A problem, or a sequence of them, validated once to be simulated many times.

    ValueError: problems of more than one class, dimension, kind of noise or kind of projection.

    >>> from anneal_sgd import problems, schedules
    >>> simulator = Simulator([problems.AbsoluteValue(slope=a) for a in (0.5, 1.0)])
    >>> simulator.run(schedules.Constant(), base_lr=0.25, horizon=2, replicates=1).mean.tolist()
    [0.375, 0.5]
    """

    __slots__ = ("_problem", "_problems", "_refusals", "_stacked")

    def __init__(self, problem: Problem | Sequence[Problem]) -> None:
        """Check and stack the problems."""
        if isinstance(problem, Problem):
            self._problem: Problem | tuple[Problem, ...] = problem
            self._problems: tuple[Problem, ...] = (problem,)
            self._stacked, self._refusals = problem._stacked, problem._refusals
        else:
            self._problem = self._problems = as_sequence(problem)
            self._stacked, self._refusals = {}, {}

    def run(
        self,
        schedule: Schedule | Sequence[Schedule],
        *,
        base_lr: ArrayLike,
        horizon: int,
        replicates: int,
        first_replicate: int = 0,
        seed: int = 0,
        record_at: int | Sequence[int] | NDArray[np.integer[Any]] | None = None,
        iterate: Iterate = "last",
        tail_frac: float = 0.5,
        common_random_numbers: bool = True,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        metric: str | Sequence[str] | None = None,
        dtype: DTypeLike = "float32",
        backend: Backend = "auto",
        threads: int | None = None,
        isa: str | None = None,
        keep_samples: bool = False,
        out: NDArray[Any] | None = None,
        device: int | None = None,
        stream: object = None,
        device_output: bool = False,
        progress: Callable[[float], object] | None = None,
    ) -> Result:
        """`simulate` with the simulator's problems; arguments, result and errors are the same.

        >>> from anneal_sgd import problems, schedules
        >>> simulator = Simulator(problems.AbsoluteValue(slope=1.0))
        >>> [float(simulator.run(schedules.Linear(), base_lr=lr, horizon=2, replicates=1).mean) for lr in (0.5, 1.0)]
        [0.25, 0.0]
        """
        on_gpu = _validate.flag("device_output", device_output) or is_device_array(out)
        used_backend = choose_backend(
            backend,
            threads=threads,
            isa=isa,
            on_gpu=on_gpu or device is not None or stream is not None,
        )
        first = _validate.integer("first_replicate", first_replicate, lowest=0, highest=_REPLICATE_NUMBERS - 1)
        repeats = _validate.integer("replicates", replicates, lowest=1, highest=_REPLICATE_NUMBERS - first)
        spec, rates, records = self._spec(
            schedule,
            base_lr=base_lr,
            horizon=horizon,
            seed=seed,
            record_at=record_at,
            iterate=iterate,
            tail_frac=tail_frac,
            common_random_numbers=common_random_numbers,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            metric=metric,
            dtype=dtype,
        )
        target = open_target(device, stream) if used_backend == "cuda" else None
        used_isa = runtime.isa() if isa is None else _validate.choice("isa", isa, runtime.supported_isas())
        workers = (
            runtime.cpu_count()
            if threads is None
            else _validate.integer("threads", threads, lowest=1, highest=_LARGEST_THREADS)
        )
        poll = None if progress is None else _Progress(progress)
        keep = _validate.flag("keep_samples", keep_samples)
        samples, address = None, 0
        if target is not None and on_gpu:
            samples, address = _device_samples(spec, repeats, out, target)
        elif keep or out is not None:
            samples = _samples(spec, repeats, out)
        schedules = (spec.schedule,) if isinstance(spec.schedule, Schedule) else spec.schedule
        metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
        ensemble = _core.Ensemble(
            problems=self._core(spec.dtype, metrics),
            schedules=[s._core for s in schedules],
            base_lr=rates,
            horizon=spec.horizon,
            record_at=records,
            iterate=_ITERATES[spec.iterate],
            tail_frac=spec.tail_frac,
            common_random_numbers=spec.common_random_numbers,
            precision=_PRECISIONS[spec.dtype],
            seed=spec.seed,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            weight_decay=spec.weight_decay,
            metrics=[_METRICS[m] for m in metrics],
        )
        moments = _core.simulate(
            ensemble,
            first_replicate=first,
            replicates=repeats,
            isa=used_isa,
            threads=workers,
            samples=None if address else samples,
            poll=poll,
            check_memory=partial(_check_memory, spec, repeats, workers if target is None else None),
            device=None if target is None else target.handle,
            device_samples=address,
        )
        if poll is not None:
            poll.finish()
        if samples is not None and not address:
            samples = frozen(samples[...])
        return Result(spec, used_backend, used_isa if target is None else target.architecture, samples, moments)

    def _spec(
        self,
        schedule: Schedule | Sequence[Schedule],
        *,
        base_lr: ArrayLike,
        horizon: int,
        seed: int,
        record_at: int | Sequence[int] | NDArray[np.integer[Any]] | None,
        iterate: str,
        tail_frac: float,
        common_random_numbers: bool,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        metric: str | Sequence[str] | None,
        dtype: DTypeLike,
    ) -> tuple[Spec, FloatArray, IntArray]:
        """What is to be simulated, checked; the learning rates and the recorded steps as arrays."""
        kept_schedule = (
            schedule
            if isinstance(schedule, Schedule)
            else _validate.one_or_more("schedule", schedule, Schedule, "schedule")
        )
        kept_lr, rates = _base_lr(base_lr)
        steps = _validate.integer("horizon", horizon, lowest=1, highest=_validate.LARGEST_UINT32)
        kept_records, records = _records(record_at, steps)
        name = _validate.dtype_name(dtype)
        self._check_dtype(name)
        _check_range("base_lr", rates, name)
        spec = Spec(
            problem=self._problem,
            schedule=kept_schedule,
            base_lr=kept_lr,
            horizon=steps,
            record_at=kept_records,
            iterate=_validate.choice("iterate", iterate, _ITERATES),
            tail_frac=_validate.real("tail_frac", tail_frac, _validate.POSITIVE_FRACTION),
            common_random_numbers=_validate.flag("common_random_numbers", common_random_numbers),
            momentum=_validate.real("momentum", momentum, _MOMENTUM),
            nesterov=_validate.flag("nesterov", nesterov),
            weight_decay=_validate.real("weight_decay", weight_decay, _validate.NON_NEGATIVE),
            metric=_metrics(metric, self._problems),
            dtype=name,
            seed=_validate.integer("seed", seed, lowest=0, highest=_LARGEST_SEED),
            stream_version=_core.STREAM_VERSION,
        )
        _check_momentum(spec, type(self._problems[0]))
        return spec, rates, records

    def _core(self, dtype: str, metrics: tuple[str, ...]) -> _core.Problems:
        """The problems as the core takes them; a minimum is looked for where it is needed only."""
        key = (dtype, "suboptimality" in metrics)
        if key not in self._stacked:
            self._stacked[key] = type(self._problems[0])._stack(self._problems, dtype, with_minimum=key[1])
        return self._stacked[key]

    def _check_dtype(self, dtype: str) -> None:
        """ValueError where a parameter of the problems leaves the range of the dtype; looked at once per dtype."""
        if dtype not in self._refusals:
            self._refusals[dtype] = type(self._problems[0])._refusal(self._problems, dtype)
        if self._refusals[dtype]:
            raise ValueError(self._refusals[dtype])


class _Progress:
    """Calls back with the fraction done; with `finish` at the end, exactly one call, the last, says 1."""

    def __init__(self, callback: Callable[[float], object]) -> None:
        if not callable(callback):
            raise ValueError(f"progress must be None or a callable that takes the fraction done, got {shown(callback)}")
        self._callback = callback
        self._last = 0.0

    def __call__(self, fraction: float) -> None:
        if self._last < 1.0:
            self._last = fraction
            self._callback(fraction)

    def finish(self) -> None:
        self(1.0)


def _base_lr(base_lr: ArrayLike) -> tuple[float | tuple[float, ...], FloatArray]:
    """What the spec keeps, and the 1-D array."""
    if type(base_lr) is float:
        rate = _validate.real("base_lr", base_lr, _validate.NON_NEGATIVE)
        return rate, np.array((rate,))
    rates = _validate.real_array("base_lr", base_lr, _validate.NON_NEGATIVE)
    if rates.ndim > 1:
        raise ValueError(f"base_lr must be one number or one-dimensional, got shape {rates.shape}")
    return (float(rates), rates.reshape(1)) if rates.ndim == 0 else (tuple(rates.tolist()), rates)


def _check_range(name: str, values: FloatArray, dtype: str) -> None:
    """ValueError where a value >= 0 would be lost, or infinite, in the dtype."""
    low, high = _RANGES[dtype]
    if values.size == 1 and low <= values.item() <= high:  # the common case, without the array operations
        return
    outside = (values > 0.0) & (values < low) | (values > high)
    if outside.any():
        where = int(np.argmax(outside))
        at = f" at index {where}" if values.size > 1 else ""
        raise ValueError(f"{name} must be 0 or {low:.4g} to {high:.4g} in {dtype}, got {float(values[where])!r}{at}")


def _metrics(metric: object, problems: tuple[Problem, ...]) -> str | tuple[str, ...]:
    kind = type(problems[0])
    if metric is None:
        return kind._METRICS[0]
    names = (metric,) if isinstance(metric, str) else metric
    allowed = f"one or more of {', '.join(map(repr, kind._METRICS))} for {kind.__name__}"
    if not isinstance(names, tuple | list) or not names or len(set(map(str, names))) < len(names):
        raise ValueError(f"metric must be {allowed}, each once, got {shown(metric)}")
    for name in names:
        if not isinstance(name, str) or name not in kind._METRICS:
            raise ValueError(f"metric must be {allowed}, got {shown(name)}")
        if name.startswith("test_") and any(getattr(p, "test", None) is None for p in problems):
            raise ValueError(f"metric {name!r} must go with a problem that has test=(X, y)")
    return metric if isinstance(metric, str) else tuple(names)


def _check_momentum(spec: Spec, kind: type[Problem]) -> None:
    if not (spec.momentum or spec.nesterov or spec.weight_decay):
        return
    if spec.nesterov and not spec.momentum:
        raise ValueError("nesterov must go with momentum > 0, got momentum 0")
    for name in ("momentum", "weight_decay"):
        if getattr(spec, name) and not kind._TAKES_MOMENTUM:
            raise ValueError(f"{name} must be 0 for {kind.__name__}: it is for problems on data")
        _check_range(name, np.array([getattr(spec, name)]), spec.dtype)
    if _validate.DTYPES[spec.dtype].type(spec.momentum) == 1:
        raise ValueError(f"momentum must be below 1 in {spec.dtype}, got {spec.momentum!r}")


def _records(record_at: object, horizon: int) -> tuple[int | tuple[int, ...], IntArray]:
    """What the spec keeps, and the 1-D array."""
    if record_at is None:
        return horizon, np.array((horizon,))
    allowed = f"be one integer or strictly increasing integers in 0 .. {horizon}"
    given = _validate.array("record_at", record_at)
    if given.ndim == 0:
        step = _validate.integer("record_at", given.item(), lowest=0, highest=horizon)
        return step, np.array((step,))
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        raise ValueError(f"record_at must {allowed}, got {shown(record_at)}")
    inside = (given >= 0) & (given <= horizon)
    inside[1:] &= given[1:] > given[:-1]
    if not inside.all():
        where = int(np.argmin(inside))
        raise ValueError(f"record_at must {allowed}, got {given[where]} at index {where}")
    steps = given.astype(np.int64)
    return tuple(steps.tolist()), steps


def _samples(spec: Spec, replicates: int, out: NDArray[Any] | None) -> NDArray[Any]:
    """The array to keep samples in: the caller's, checked, or a new one that fits in memory."""
    shape, dtype = (*spec.shape, replicates), _validate.DTYPES[spec.dtype]
    if out is not None:
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
            got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else repr(out)
            raise ValueError(f"out must be an array of {dtype} and shape {shape}, got {got}")
        if not out.flags.c_contiguous:
            raise ValueError(f"out must be C-contiguous, got strides {out.strides}")
        if not out.flags.writeable:
            raise ValueError("out must be writable, got a read-only array")
        return out
    needed = prod(shape) * dtype.itemsize
    available = available_memory() if needed > _UNCHECKED_BYTES else None
    if available is not None and needed > available:
        raise ValueError(
            f"keep_samples must fit in memory: {_size(spec, replicates)} take {needed} bytes in {spec.dtype}, and "
            f"{available} are available"
        )
    return np.empty(shape, dtype)


def _device_samples(spec: Spec, replicates: int, out: object, target: Target) -> tuple[NDArray[Any], int]:
    """The device array to keep samples in, the caller's or a new one, and its address.

    What its owner has enqueued for that memory comes first: the target's stream waits for it.
    """
    shape = (*spec.shape, replicates)
    if out is None:
        out = empty(shape, spec.dtype, target.number)
    elif not is_device_array(out):
        raise ValueError(f"out must lie on the device where device_output is True, got {type(out).__name__}")
    place = output(out, shape, spec.dtype)
    if place.device != target.number:
        raise ValueError(f"out must lie on device {target.number}, which computes, got device {place.device}")
    for stream in (place.stream, current_stream(target.number)):
        if stream is not None:
            target.handle.follow(stream or LEGACY_STREAM)
    return cast("NDArray[Any]", out), place.address


def _check_memory(spec: Spec, replicates: int, threads: int | None, needed: float) -> None:
    """`threads`: of the CPU; None where a GPU computes, and the host holds the statistics alone."""
    available = available_memory()
    if available is None or needed <= available:
        return
    if threads is None:
        where, advice = "of this machine's memory", "fewer records or configs take less"
    else:
        where, advice = f"on {threads} threads", "fewer threads, records, configs or coordinates take less"
    raise MemoryError(
        f"{_size(spec, replicates)} in {_dimension(spec)} coordinates need about {needed:.0f} bytes {where}, and "
        f"{available} are available: {advice}"
    )


def _size(spec: Spec, replicates: int) -> str:
    records = prod(len(part) for part in (spec.record_at, spec.metric) if isinstance(part, tuple))
    return f"{replicates} replicates x {prod(spec.shape) // records} configs x {records} records"


def _dimension(spec: Spec) -> int:
    return (spec.problem[0] if isinstance(spec.problem, tuple) else spec.problem).dimension
