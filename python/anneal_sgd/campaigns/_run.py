"""Computes what a store lacks: plans shards, runs them here or on an executor, commits what comes back.

A shard is some configs of one call on one node of the replicate tree. Nothing depends on how shards are cut: counter-
based randomness and the fixed tree see to that. So they are cut for time: a few seconds each, by the speed measured so
far.
"""

from __future__ import annotations

import itertools
import os
import platform
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _validate, runtime
from .._backend import choose_backend
from .._core import __version__
from .._simulate import Device, simulate_quietly
from .._target import device_numbers
from ..problems import Problem
from ..schedules import Schedule
from . import _cells
from ._build import this_build
from ._cells import BLOCK, Range
from ._plan import Plan, Unit, cost
from ._precision import Precision, relative_stderr
from ._store import Answer, Store, StorePath

HERE_SECONDS, AWAY_SECONDS = 2.0, 5.0  # of a shard
COMMIT_SECONDS = 1.0
FIRST_RATE = 2e7  # coordinate-steps/s of a worker, before any is measured
ATTEMPTS = 3
SCATTERED_BYTES = 100_000  # a larger problem goes to a cluster's workers once, not with every shard


class Executor(Protocol):
    """What `concurrent.futures.Executor` and `dask.distributed.Client` have in common."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run function(*args) somewhere; a future."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    done: float
    """Trajectory-steps computed in this run."""
    total: float
    """Those planned, as far as is known: a precision may ask for more."""
    seconds: float
    """Since the run began."""
    relative_stderr: float
    """The largest of the means committed last; NaN before there are any."""
    committed: int
    """Trajectories committed in this run."""

    @property
    def rate(self) -> float:
        """Trajectory-steps/s of this run."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Batch:
    """Configs that can run together, and the replicates that all of them lack."""

    unit: Unit
    ids: NDArray[np.int64]  # (problems, rates)
    gaps: tuple[Range, ...]

    @property
    def trajectory_steps(self) -> int:
        """What is to be computed."""
        return self.unit.horizon * self.ids.size * sum(stop - first for first, stop in self.gaps)


@dataclass(frozen=True)
class Shard:
    """Configs problems x base_lr of one schedule and horizon, on one node."""

    ids: tuple[int, ...]  # in the order of the configs
    node: Range
    schedule: Schedule
    horizon: int
    base_lr: tuple[float, ...]
    record_at: int | tuple[int, ...]
    options: dict[str, Any]
    problems: tuple[Problem, ...] = field(repr=False)
    backend: str
    threads: int | None
    device: Device

    @property
    def trajectories(self) -> int:
        """The number of trajectories."""
        return len(self.ids) * (self.node[1] - self.node[0])

    @property
    def trajectory_steps(self) -> int:
        """The number of steps of all of them."""
        return self.trajectories * self.horizon


def compute(
    shard: Shard, problems: Any = None, progress: Callable[[float], object] | None = None
) -> tuple[Answer, float]:
    """The answer to a shard and the seconds it took; what a worker runs.

    `problems`: those of the shard, where they travel by themselves.
    """
    began = time.perf_counter()
    if shard.backend == "cuda" and runtime.why_unavailable("cuda"):  # no other attempt will find one
        raise ValueError(f"backend 'cuda' is not available on a worker: {runtime.why_unavailable('cuda')}")
    result = simulate_quietly(
        shard.problems if problems is None else problems,
        shard.schedule,
        base_lr=np.array(shard.base_lr),
        horizon=shard.horizon,
        record_at=shard.record_at,
        first_replicate=shard.node[0],
        replicates=shard.node[1] - shard.node[0],
        backend=shard.backend,  # type: ignore[arg-type]  # checked by simulate
        threads=shard.threads,
        device=shard.device,
        progress=progress,
        **shard.options,
    )
    cells = _cells.from_moments(result._moments)
    answer = Answer(
        shard.ids,
        shard.node,
        cells,
        f"{result.backend} {result.isa}",
        shard.trajectory_steps,
        platform.node(),
        this_build(),
    )
    return answer, time.perf_counter() - began


def run(
    plan: Plan,
    path: StorePath,
    *,
    executor: Executor | None,
    backend: str,
    threads: int | None,
    device: Device,
    shard_seconds: float | None,
    progress: Callable[[Progress], object] | None,
    part: tuple[int, int] | None,
) -> int:
    """See `Campaign.run`; returns the number of the campaign in the store."""
    if progress is not None and not callable(progress):
        raise ValueError(f"progress must be None or a callable, got {_validate.shown(progress)}")
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"store must be a path, got {_validate.shown(path)}")
    if shard_seconds is None:
        shard_seconds = HERE_SECONDS if executor is None else AWAY_SECONDS
    shard_seconds = _validate.real("shard_seconds", shard_seconds, _validate.POSITIVE)
    if threads is not None:
        threads = _validate.integer("threads", threads, lowest=1)
    elif executor is not None and backend != "cuda" and device is None:
        threads = 1
    used = backend
    if executor is None:
        used = choose_backend(backend, threads=threads, isa=None, on_gpu=device is not None)
        if device is not None:
            device_numbers(device)  # before there is a store
    else:
        _validate.choice("backend", backend, ("auto", "cpu", "cuda"))
        if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
            raise ValueError(f"executor must have a method submit, got {_validate.shown(executor)}")
    wanted = wanted_of(plan, part)
    with Store(path, create=True) as store:
        number, ids = store.enrol(plan.identities(), plan.description(), plan.solved())
        job = _Job(
            plan,
            store,
            ids,
            backend=used,
            threads=threads,
            device=device,
            executor=executor,
            seconds=shard_seconds,
            progress=progress,
            wanted=wanted,
        )
        job.run_id = store.begin_run(number, environment(executor, part))
        job.run()
        store.end_run(job.run_id)
    return number


def wanted_of(plan: Plan, part: object) -> Range:
    """The replicates that a run is to compute. ValueError: no part that the plan has."""
    if part is None:
        return 0, plan.replicates
    if not isinstance(part, tuple) or len(part) != 2:
        raise ValueError(f"part must be (number, count), as (1, 30) for the first of 30, got {_validate.shown(part)}")
    if plan.precision is not None:
        raise ValueError("part must go with replicates: how many a precision takes is known of the whole only")
    count = _validate.integer("part count", part[1], lowest=1)
    number = _validate.integer("part number", part[0], lowest=1, highest=count)
    blocks = -(-plan.replicates // BLOCK)
    if count > blocks:
        told = f"{plan.replicates} replicates are {blocks} blocks of {BLOCK}"
        raise ValueError(f"part must be one of at most {blocks}, as {told}, got {number} of {count}")
    return _cells.part_of(plan.replicates, number, count)


def environment(executor: Executor | None, part: tuple[int, int] | None) -> dict[str, Any]:
    """What computes, for the record."""
    return {
        "anneal_sgd": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "host": platform.node(),
        "machine": platform.machine(),
        "executor": "" if executor is None else f"{type(executor).__module__.split('.')[0]}.{type(executor).__name__}",
        "process": os.getpid(),
        "part": "" if part is None else f"{part[0]}/{part[1]}",
    }


class _Job:
    """One run."""

    run_id: int

    def __init__(
        self,
        plan: Plan,
        store: Store,
        ids: Sequence[int],
        *,
        backend: str,
        threads: int | None,
        device: Device,
        executor: Executor | None,
        seconds: float,
        progress: Callable[[Progress], object] | None,
        wanted: Range,
    ) -> None:
        self.seconds, self.wanted_range = seconds, wanted  # of a shard; of replicates
        self.plan, self.store = plan, store
        self.ids: NDArray[np.int64] = np.array(ids, dtype=np.int64)
        self.backend, self.threads, self.device = backend, threads, device
        self.executor, self.progress = executor, progress
        self.began = self.committed_at = time.perf_counter()
        self.rate = FIRST_RATE
        self.done = self.total = 0.0
        self.committed = 0
        self.relative_stderr = float("nan")
        self.seeds: dict[int, int] = {}
        if not plan.options["common_random_numbers"]:
            self.seeds = dict(zip(ids, plan.config_seeds(), strict=True))

    def run(self) -> None:
        """All stages; what has been computed is committed whatever happens."""
        work = self.missing()
        while work:
            batches = list(self.batches(work))
            self.total += float(sum(batch.trajectory_steps for batch in batches))
            shards = self.shards(batches)
            answers = self.here(shards) if self.executor is None else self.away(shards, self.executor)
            pending: list[Answer] = []
            try:
                for answer in answers:
                    pending.append(answer)
                    self.done += answer.trajectory_steps
                    if time.perf_counter() - self.committed_at > COMMIT_SECONDS:
                        self.commit(pending)
            finally:
                self.commit(pending)
            work = self.missing()
        if self.progress is not None:
            self.report(0.0)

    def commit(self, pending: list[Answer]) -> None:
        """Write answers to the store; they are pending until they are there, for an interrupt may break this off."""
        if not pending:
            return
        self.store.commit(pending, run=self.run_id)
        answers = pending.copy()
        pending.clear()
        self.committed += sum(len(a.ids) * (a.node[1] - a.node[0]) for a in answers)
        self.committed_at = time.perf_counter()
        errors = [relative_stderr(a.cells, a.node[1]).max() for a in answers]
        self.relative_stderr = float(max(errors))
        self.report(0.0)

    def report(self, more: float) -> None:
        """Tell how far the run is, `more` trajectory-steps further than what has come back."""
        if self.progress is not None:
            seconds = time.perf_counter() - self.began
            done = min(self.done + more, self.total)
            self.progress(Progress(done, self.total, seconds, self.relative_stderr, self.committed))

    # --- what is missing

    def missing(self) -> dict[int, tuple[Range, ...]]:
        """By config id, the replicates to be computed next; configs that need none are left out."""
        ids = self.ids.tolist()
        stored = self.store.ranges(ids)
        first, stop = self.wanted_range
        gaps = {id_: _cells.missing(stored[id_], stop, first) for id_ in ids}
        if self.plan.precision is not None:
            stages = {id_: self.stage(stored[id_]) for id_ in ids}
            wanted = self.wanted(stages, self.plan.precision)
            gaps = {id_: _cells.missing(stored[id_], wanted[id_]) for id_ in ids}
        return {id_: gap for id_, gap in gaps.items() if gap}

    def stage(self, stored: list[Range]) -> int:
        """The last number of replicates at which a precision is looked at that is there already; 0 before the first."""
        most = self.plan.replicates
        gaps = _cells.missing(stored, most)
        if not gaps:
            return most
        there = gaps[0][0]
        return 0 if there < BLOCK else BLOCK * 2 ** ((there // BLOCK).bit_length() - 1)

    def wanted(self, stages: dict[int, int], precision: Precision) -> dict[int, int]:
        """By config id, how many replicates it is to have."""
        most = self.plan.replicates
        wanted = {id_: min(BLOCK, most) for id_, stage in stages.items() if stage == 0}
        wanted.update({id_: most for id_, stage in stages.items() if stage == most})
        rest = [id_ for id_ in stages if id_ not in wanted]
        alike: dict[Any, list[int]] = {}
        nodes = self.store.nodes(rest)
        for id_ in rest:
            key = stages[id_], tuple(sorted(node for node in nodes[id_] if node[1] <= stages[id_]))
            alike.setdefault(key, []).append(id_)
        for (stage, ranges), some in alike.items():
            cells = _cells.total([(node, np.stack([nodes[id_][node] for id_ in some])) for node in ranges])
            met = precision.is_met(cells)
            wanted.update(zip(some, np.where(met, stage, min(2 * stage, most)).tolist(), strict=True))
        return wanted

    # --- shards

    def batches(self, work: dict[int, tuple[Range, ...]]) -> Iterator[Batch]:
        """The configs that can run together, and what they all lack."""
        for unit in self.plan.units():
            ids = self.ids[np.array(unit.configs)]
            for gaps, (rows, columns) in _alike(ids, work).items():
                if self.seeds:
                    rectangles = [([r], [c]) for r, c in zip(rows, columns, strict=True)]
                elif len(set(rows)) * len(set(columns)) == len(rows):
                    rectangles = [(sorted(set(rows)), sorted(set(columns)))]
                else:
                    rectangles = [([r], columns[rows == r]) for r in sorted(set(rows))]
                for some, rates in rectangles:
                    part = replace(
                        unit,
                        problems=tuple(unit.problems[i] for i in some),
                        base_lr=tuple(unit.base_lr[j] for j in rates),
                    )
                    yield Batch(part, ids[np.ix_(some, rates)], gaps)

    def shards(self, batches: Sequence[Batch]) -> Iterator[Shard]:
        """Shards of a few seconds, cut one by one as they are asked for."""
        for batch in batches:
            unit = batch.unit
            smallest = min(BLOCK, max(stop - first for first, stop in batch.gaps))
            most_configs = max(1, int(self.seconds * self.rate / (unit.cost * smallest)))
            for some, rates in _rectangles(batch.ids.shape[0], batch.ids.shape[1], most_configs):
                ids = batch.ids[some, rates]
                options = dict(self.plan.options)
                if self.seeds:
                    options.update(seed=self.seeds[int(ids[0, 0])], common_random_numbers=True)
                waiting: Sequence[Range] = batch.gaps
                while waiting:
                    largest = int(self.seconds * self.rate / (unit.cost * ids.size))
                    node = next(_cells.pieces(tuple(waiting), largest))
                    waiting = [(max(first, node[1]), stop) for first, stop in waiting if stop > node[1]]
                    yield Shard(
                        ids=tuple(ids.ravel().tolist()),
                        node=node,
                        schedule=unit.schedule,
                        horizon=unit.horizon,
                        base_lr=unit.base_lr[rates],
                        record_at=unit.record_at,
                        options=options,
                        problems=unit.problems[some],
                        backend=self.backend,
                        threads=self.threads,
                        device=self.device,
                    )

    def learn(self, shard: Shard, seconds: float) -> None:
        """How fast shards are, from one that came back."""
        work = shard.trajectories * cost(shard.problems[0], shard.horizon)
        measured = work / max(seconds, 1e-6)
        # Up to four times faster at once: the first shards are too short to be as fast as longer ones.
        self.rate = min(max(0.5 * (self.rate + measured), measured), 4.0 * self.rate)

    # --- where shards run

    def here(self, shards: Iterator[Shard]) -> Iterator[Answer]:
        """One after another, in this thread, with all of its threads."""
        version = self.store.data_version()
        for shard in shards:
            if self.store.data_version() != version:  # another process has committed something
                version = self.store.data_version()
                if self.covered(shard):
                    continue
            steps = shard.trajectory_steps
            tell = None if self.progress is None else (lambda fraction, steps=steps: self.report(fraction * steps))
            answer, seconds = compute(shard, progress=tell)
            self.learn(shard, seconds)
            yield answer

    def away(self, shards: Iterator[Shard], executor: Executor) -> Iterator[Answer]:
        """Twice as many at a time as the executor has workers; in the order in which they are done."""
        cluster: Any = executor if hasattr(executor, "scatter") else None
        if hasattr(executor, "get_executor"):
            executor = executor.get_executor(pure=False)
        if cluster is not None:
            cluster.wait_for_workers(1)  # what is scattered to nobody fails
        arrived: queue.SimpleQueue[tuple[Any, Shard, int]] = queue.SimpleQueue()
        flying: set[Any] = set()
        sent: dict[int, tuple[Problem, Any]] = {}  # by id of a problem: it, and where the cluster holds it

        def submit(shard: Shard, attempt: int) -> None:
            payload: tuple[Any, ...] = (shard,)
            if cluster is not None and _bytes(shard.problems) > SCATTERED_BYTES:
                for problem in shard.problems:
                    if id(problem) not in sent or attempt > 1:
                        sent[id(problem)] = problem, cluster.scatter(problem, broadcast=True, hash=False)
                payload = (replace(shard, problems=()), [sent[id(problem)][1] for problem in shard.problems])
            try:
                future = executor.submit(compute, *payload)
            except RuntimeError as error:
                raise RuntimeError(f"the executor takes no more work: {error}") from error
            if not hasattr(future, "add_done_callback"):
                raise ValueError(f"executor must give futures back, got {_validate.shown(future)}")
            flying.add(future)
            future.add_done_callback(lambda done: arrived.put((done, shard, attempt)))

        def fill() -> None:
            while len(flying) < 2 * _workers(cluster or executor):
                shard = next(shards, None)
                if shard is None:
                    return
                submit(shard, 1)

        try:
            fill()
            while flying:
                try:
                    future, shard, attempt = arrived.get(timeout=0.2)
                except queue.Empty:
                    self.report(0.0)
                    continue
                flying.discard(future)
                try:
                    answer, seconds = future.result()
                except (ValueError, MemoryError):  # of simulate: another attempt ends alike
                    raise
                except Exception as error:
                    if attempt == ATTEMPTS:
                        what = f"{type(error).__name__}: {error}"
                        raise RuntimeError(f"a shard failed {ATTEMPTS} times, the last time with {what}") from error
                    submit(shard, attempt + 1)
                    continue
                check_build(answer)
                self.learn(shard, seconds)
                yield answer
                fill()
        finally:
            for future in flying:
                future.cancel()

    def covered(self, shard: Shard) -> bool:
        """Whether the store has all of it by now."""
        stored = self.store.ranges(shard.ids)
        first, stop = shard.node
        return all(any(f <= first and stop <= s for f, s in nodes) for nodes in stored.values())


def check_build(answer: Answer) -> None:
    """RuntimeError: what computed it is another build of the package than this one."""
    differences = this_build().differences(answer.build)
    if differences:
        raise RuntimeError(
            f"a worker{answer.host and f' on {answer.host}'} computes with another anneal_sgd: it has "
            f"{', '.join(differences)}. Nothing of what it sent is kept; install the same build on every worker, start "
            "the workers again, and run again"
        )


def _alike(ids: NDArray[np.int64], work: dict[int, Any]) -> dict[Any, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places (rows, columns) of the configs that lack the same replicates, by what they lack."""
    kinds: dict[Any, list[int]] = {}
    for place, id_ in enumerate(ids.ravel().tolist()):
        if id_ in work:
            kinds.setdefault(work[id_], []).append(place)
    return {gaps: np.unravel_index(places, ids.shape) for gaps, places in kinds.items()}  # type: ignore[misc]


def _rectangles(rows: int, columns: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles of at most `most` elements, whole rows where they fit."""
    if columns <= most:
        step = most // columns
        for r in range(0, rows, step):
            yield slice(r, min(r + step, rows)), slice(0, columns)
    else:
        for r, c in itertools.product(range(rows), range(0, columns, most)):
            yield slice(r, r + 1), slice(c, min(c + most, columns))


def _bytes(problems: tuple[Problem, ...]) -> int:
    return sum(p.X.nbytes if hasattr(p, "X") else 8 * 5 * p.dimension for p in problems)


def _workers(executor: Any) -> int:
    """How many shards an executor computes at a time, as far as it tells."""
    if hasattr(executor, "nthreads"):
        return max(1, int(sum(executor.nthreads().values())))
    told = [
        getattr(executor, name, None) for name in ("num_workers", "_max_workers")
    ]  # of mpi4py, of the standard pools
    return next((int(n) for n in told if n), os.cpu_count() or 1)
