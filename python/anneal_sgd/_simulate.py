"""The one call that computes: ensembles of independent SGD trajectories."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _spec, _validate, runtime
from ._arrays import frozen
from ._backend import choose_backend
from ._core import EXCEEDANCE_BINS
from ._cupy import current_stream, empty, is_device_array, output
from ._ensemble import Ensemble, size_of
from ._machine import available_memory
from ._spec import Options, Spec, Steps, Whole
from ._target import LEGACY_STREAM, Target, open_target
from ._validate import shown
from .problems import Problem
from .results import Result
from .schedules import Schedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Simulator", "simulate"]

Backend: TypeAlias = Literal["auto", "cpu", "cuda"]
Device: TypeAlias = "Whole | Sequence[Whole] | Literal['all'] | None"

_NEEDED = ("base_lr", "horizon", "replicates")
_REPLICATE_NUMBERS = 2**32
_LARGEST_THREADS = 2**31 - 1
_UNCHECKED_BYTES = 2**24  # fewer are allocated without asking the system how much there is


class _What(Options):
    base_lr: ArrayLike
    horizon: Whole
    replicates: Whole


class Arguments(_What, total=False):
    """Types of all keywords of `simulate`, for type checkers and editors."""

    record_at: Steps
    first_replicate: Whole
    backend: Backend
    threads: Whole | None
    isa: str | None
    keep_samples: bool
    keep_iterates: bool
    keep_exceedance: bool
    out: NDArray[Any] | None
    device: Device
    stream: object
    device_output: bool
    progress: Callable[[float], object] | None


def simulate(
    problem: Problem | Sequence[Problem],
    schedule: Schedule | Sequence[Schedule],
    **arguments: Unpack[Arguments],
) -> Result:
    """Simulate `replicates` SGD trajectories of every config and return statistics of their suboptimality.

    With h the schedule, g the stochastic gradient and P the projection of the problem, step t = 0 .. horizon - 1 is

        x <- P(x - base_lr h(t / horizon) g(x)),

    x = x0 at first; the paper's `x_{t+2}` from `x_{t+1}`. What is recorded after k steps is f(x) - f*, x the last
    iterate, the average of the last k or of the last ceil(tail_frac * k) iterates, or a mean that weighs late ones
    more. Configs are the outer product of problems, schedules and base_lr; the result has a dimension for each that is
    given as a sequence, and for `record_at`.

    Arrays on a GPU are taken wherever arrays are; parameters among them are copied to the host once, to be checked.

    {arguments}
    - `replicates`, `first_replicate`: independent repetitions of every config, numbered first_replicate ..
      first_replicate + replicates - 1, all below 2^32. A number stands for the same trajectory in every call.
    - `backend`: "cpu", "cuda" or "auto", which takes a GPU where there is one that shows the CPU's bits in a small run
      (once per process; else it warns), unless `threads` or `isa` say otherwise. None changes a bit.
    - `threads`, `isa`: of the CPU; by default `runtime.cpu_count()` (all processors; the environment variable
      `ANNEAL_SGD_THREADS` says otherwise, 1 for example in a pool of worker processes) and `runtime.isa()`.
    - `device`, `stream`: the GPU's number and the stream (of CuPy or PyTorch, or a handle) that its work goes to; by
      default CuPy's current ones where CuPy is in use, else device 0 and the calling thread's own stream. The call
      returns when the statistics are on the host: it waits for that stream and for nothing else. Several GPUs, such as
      [0, 1], or "all", share the replicates out by whole blocks of 1024, in equal parts; the bits are those of one.
    - `keep_samples`: keep the suboptimality of every trajectory as `result.samples`, of shape dims + (replicates,).
      `out`: a C-contiguous, writable array of that shape and dtype to keep them in; `result.samples` is a view of it.
      With the CUDA backend `out` may lie on the device (CuPy, `__cuda_array_interface__` or DLPack) and is then
      `result.samples` itself; `device_output=True` makes a CuPy array there. Both are for one GPU.
    - `keep_iterates`: keep the point that the last record is of, of every trajectory, as `result.iterates`, of shape
      (configs.., replicates, d).
    - `keep_exceedance`: count how many trajectories reach each of 2049 thresholds, `result.exceedance`; `quantile` of
      them, to about 3 %, takes no samples then. 16 KiB for every mean.
    - `progress`: called now and then on the calling thread with the fraction done, the last time with 1.0. An exception
      it raises stops the run; so does Ctrl-C.

    ValueError: an argument out of its range (the message starts with its name) or of the range of `dtype`, or samples
    that do not fit in memory. MemoryError: the statistics or the state of the trajectories do not, here or on the GPU,
    and nothing has run. RuntimeError: a backend that is not available here, or what CUDA reports. ImportError: an array
    on a GPU, but no CuPy. A RuntimeWarning says where trajectories diverged, once per call: means leave them out.

    >>> from anneal_sgd import problems, schedules
    >>> problem = problems.AbsoluteValue(slope=1.0, x0=1.0)  # no noise: 1, 0.5, 0.25, 0.125
    >>> result = simulate(
    ...     problem, schedules.Linear(), base_lr=0.75, horizon=3, replicates=1, record_at=[0, 1, 2, 3], dtype="float64"
    ... )
    >>> result.dims, result.mean.round(12).tolist()
    (('record_at',), [1.0, 0.25, 0.25, 0.0])
    """
    return _run(problem, schedule, arguments, warns=4)


def simulate_quietly(
    problem: Problem | Sequence[Problem], schedule: Schedule | Sequence[Schedule], **arguments: Unpack[Arguments]
) -> Result:
    """`simulate` without a warning where trajectories diverge: for callers that look at `result.diverged`."""
    return _run(problem, schedule, arguments, warns=0)


def _run(
    problem: Problem | Sequence[Problem], schedule: Schedule | Sequence[Schedule], arguments: Arguments, *, warns: int
) -> Result:
    if missing := [name for name in _NEEDED if name not in arguments]:
        unknown = ", ".join(name for name in arguments if name not in Arguments.__annotations__)
        raise TypeError(f"{', '.join(missing)} must be given by keyword, got {unknown or 'no such one'}")
    simulator = Simulator(problem)
    simulator._warns = warns
    return simulator.run(schedule, **arguments)


class Simulator:
    """A problem, or a sequence of them, validated once to be simulated many times.

    ValueError: problems of more than one class, dimension, kind of noise or kind of projection.

    >>> from anneal_sgd import problems, schedules
    >>> simulator = Simulator([problems.AbsoluteValue(slope=a) for a in (0.5, 1.0)])
    >>> simulator.run(schedules.Constant(), base_lr=0.25, horizon=2, replicates=1).mean.tolist()
    [0.375, 0.5]
    """

    __slots__ = ("_ensemble", "_warns")

    def __init__(self, problem: Problem | Sequence[Problem]) -> None:
        """Check and stack the problems."""
        self._ensemble = Ensemble(problem)
        self._warns = 2  # frames from where diverged trajectories are warned of to the caller; 0: they are not

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the problems; what was stacked for the core is stacked anew."""
        return Simulator, (self._ensemble.problem,)

    def run(
        self,
        schedule: Schedule | Sequence[Schedule],
        *,
        base_lr: ArrayLike,
        horizon: Whole,
        replicates: Whole,
        record_at: Steps = None,
        first_replicate: Whole = 0,
        backend: Backend = "auto",
        threads: Whole | None = None,
        isa: str | None = None,
        keep_samples: bool = False,
        keep_iterates: bool = False,
        keep_exceedance: bool = False,
        out: NDArray[Any] | None = None,
        device: Device = None,
        stream: object = None,
        device_output: bool = False,
        progress: Callable[[float], object] | None = None,
        **options: Unpack[Options],
    ) -> Result:
        """`simulate` with the simulator's problems; arguments, result and errors are the same.

        >>> from anneal_sgd import problems, schedules
        >>> simulator = Simulator(problems.AbsoluteValue(slope=1.0))
        >>> [float(simulator.run(schedules.Linear(), base_lr=lr, horizon=2, replicates=1).mean) for lr in (0.5, 1.0)]
        [0.25, 0.0]
        """
        with_iterates = _validate.flag("keep_iterates", keep_iterates)
        with_exceedance = _validate.flag("keep_exceedance", keep_exceedance)
        seed = options.pop("seed", 0)
        prepared = self._ensemble.prepared(schedule, horizon, record_at, options)
        spec, rates = prepared.spec(base_lr, seed)
        on_gpu = _validate.flag("device_output", device_output) or is_device_array(out)
        used_backend = choose_backend(
            backend, threads=threads, isa=isa, on_gpu=on_gpu or device is not None or stream is not None
        )
        first = _validate.integer("first_replicate", first_replicate, lowest=0, highest=_REPLICATE_NUMBERS - 1)
        repeats = _validate.integer("replicates", replicates, lowest=1, highest=_REPLICATE_NUMBERS - first)
        target = open_target(device, stream) if used_backend == "cuda" else None
        used_isa = runtime.isa() if isa is None else _validate.choice("isa", isa, runtime.supported_isas())
        workers = (
            runtime.cpu_count()
            if threads is None
            else _validate.integer("threads", threads, lowest=1, highest=_LARGEST_THREADS)
        )
        poll = None if progress is None else _Progress(progress)
        keep = _validate.flag("keep_samples", keep_samples)
        kept: dict[str, NDArray[Any]] = {}
        samples, address = None, 0
        if target is not None and on_gpu:
            samples, address = _device_samples(spec, repeats, out, target)
        elif keep or out is not None:
            kept["samples"] = samples = _samples(spec, repeats, out)
        if with_iterates:
            shape = (*spec.config_shape, self._ensemble.problems[0].dimension, repeats)
            kept["iterates"] = _new("keep_iterates", shape, spec.dtype, size_of(spec, repeats))
        if with_exceedance:
            shape = (*spec.shape, EXCEEDANCE_BINS)
            kept["exceedance"] = _new("keep_exceedance", shape, "int64", size_of(spec, repeats))
            kept["exceedance"][...] = 0
        moments = prepared.moments(
            spec,
            rates,
            first=first,
            replicates=repeats,
            isa=used_isa,
            threads=workers,
            target=target,
            kept=kept,
            device_samples=address,
            poll=poll,
        )
        if poll is not None:
            poll.finish()
        if samples is not None and not address:
            samples = frozen(samples[...])
        points = frozen(np.moveaxis(kept["iterates"], -1, -2)) if with_iterates else None
        by = used_isa if target is None else target.architecture
        result = Result(spec, used_backend, by, samples, moments, points, kept.get("exceedance"))
        if self._warns and moments.any_diverged:
            warnings.warn(_divergence(result), RuntimeWarning, stacklevel=self._warns)
        return result


def _divergence(result: Result) -> str:
    diverged = result.diverged
    return (
        f"trajectories diverged, up to {diverged.max()} of {result.replicates}: {np.count_nonzero(diverged)} of "
        f"{diverged.size} means are of the others, and look better than they are; result.diverged tells which"
    )


def _name_options() -> None:
    """What `help` and completion show: every option by name, default and meaning."""
    of_run = _spec.with_options(inspect.signature(Simulator.run))
    keywords = [p for p in of_run.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    of_simulate = inspect.signature(simulate)
    positional = [p for p in of_simulate.parameters.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    vars(Simulator.run)["__signature__"] = of_run
    vars(simulate)["__signature__"] = of_simulate.replace(parameters=[*positional, *keywords])
    if simulate.__doc__ is not None:
        simulate.__doc__ = simulate.__doc__.replace("{arguments}", _spec.meanings().replace("\n", "\n    "))


_name_options()


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
    return _new("keep_samples", shape, spec.dtype, size_of(spec, replicates))


def _new(name: str, shape: tuple[int, ...], dtype: str, size: str) -> NDArray[Any]:
    """An array that fits in memory, for what `name` asks to keep of so many trajectories."""
    needed = prod(shape) * np.dtype(dtype).itemsize
    available = available_memory() if needed > _UNCHECKED_BYTES else None
    if available is not None and needed > available:
        raise ValueError(
            f"{name} must fit in memory: {size} take {needed} bytes in {dtype}, and {available} are available"
        )
    return np.empty(shape, dtype)


def _device_samples(spec: Spec, replicates: int, out: object, target: Target) -> tuple[NDArray[Any], int]:
    """The device array to keep samples in, the caller's or a new one, and its address.

    What its owner has enqueued for that memory comes first: the target's stream waits for it.
    """
    if len(target.numbers) > 1:
        told = f"several GPUs compute, {shown(target.numbers)}"
        raise ValueError(f"out must lie on the host, and device_output be left out, where {told}")
    shape, number = (*spec.shape, replicates), target.numbers[0]
    if out is None:
        out = empty(shape, spec.dtype, number)
    elif not is_device_array(out):
        raise ValueError(f"out must lie on the device where device_output is True, got {type(out).__name__}")
    place = output(out, shape, spec.dtype)
    if place.device != number:
        raise ValueError(f"out must lie on device {number}, which computes, got device {place.device}")
    for stream in (place.stream, current_stream(number)):
        if stream is not None:
            target.handles[0].follow(stream or LEGACY_STREAM)
    return cast("NDArray[Any]", out), place.address
