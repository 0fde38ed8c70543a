"""Times cases: interleaved rounds, medians and ranges, checked against each other before a time counts."""

from __future__ import annotations

import importlib
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .. import methods, runtime, schedules
from .._core import STREAM_VERSION, __version__
from .._simulate import Simulator
from ..problems import Custom, DataProblem
from . import _data_peers, _limits, _method_peers, _program_peers, _separable_peers
from ._cases import Case, Peer, absolute_value

OURS = "anneal_sgd"
ROUND_SECONDS = 0.5  # of a peer's run
_LONGEST = 20  # times the case's horizon, that a peer's run is stretched to
_LANES = 128  # of a GPU's multiprocessor since Volta: instructions of a thread that it issues per cycle
_SEEDS = 16  # where trajectories share their noise, to know a standard error
_AGREEMENT = 4.5  # standard errors
_MODULES = {"NumPy": "numpy", "Numba": "numba", "JAX": "jax", "PyTorch": "torch"}


@dataclass
class Timing:
    """One contestant at one case."""

    case: str
    what: str
    threads: int
    unit: str
    trajectories: int
    steps: int
    work: float
    """Units of a run, such as coordinate-steps."""
    seconds: list[float] = field(default_factory=list)
    """By round."""
    compile_seconds: float = 0.0
    disagreement: str = ""
    """Why the times do not count; empty where they do."""
    limit_fraction: float | None = None
    """Of what the cores could do at most with what was counted, at the rates that they show (`_limits`); or a GPU."""

    @property
    def rate(self) -> float:
        """Units/s: the median."""
        return self.work / statistics.median(self.seconds) if self.seconds else math.nan

    @property
    def rates(self) -> tuple[float, float]:
        """The slowest and the fastest round."""
        return (self.work / max(self.seconds), self.work / min(self.seconds)) if self.seconds else (math.nan, math.nan)

    @property
    def steps_rate(self) -> float:
        """Trajectory-steps/s."""
        return self.rate * self.trajectories * self.steps / self.work

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "rate": self.rate, "trajectory_steps_per_second": self.steps_rate}


def ours(case: Case, threads: int, *, gpu: bool = False) -> Callable[..., Any]:
    """A call of a number of steps and a seed; the result. On a GPU where there is one, if asked for."""
    simulator = Simulator(case.problem())
    on_gpu = gpu and not runtime.why_unavailable("cuda")
    where: dict[str, Any] = {"backend": "cuda"} if on_gpu else {"backend": "cpu", "threads": threads}
    metric: dict[str, Any] = {"metric": "loss"} if isinstance(case.problem(), DataProblem) else {}

    def run(steps: int, seed: int, replicates: int = case.replicates) -> Any:
        return simulator.run(
            case.schedule,
            base_lr=case.base_lrs,
            horizon=steps,
            replicates=replicates,
            seed=seed,
            record_at=case.record_at(steps),
            common_random_numbers=case.common_random_numbers,
            dtype=case.dtype,
            method=case.method,
            **where,
            **metric,
        )

    return run


def measure(case: Case, *, threads: int, rounds: int, peers: Sequence[str], gpu: bool = False) -> list[Timing]:
    """Our timing, and those of `case.beside` and the peers that are installed, in interleaved rounds after a warm one.

    Of problems on data the time of a run of one step is taken off ours: it evaluates the loss on all rows at the end,
    which peers do outside of their time.
    """
    run = ours(case, threads, gpu=gpu)
    on_data = isinstance(case.problem(), DataProblem)
    found = [_timing(case, OURS, threads, case.horizon)]
    contestants: dict[str, Callable[[int], Any]] = {OURS: lambda seed: run(case.horizon, seed)}
    for name in (name for name in case.peers if name in peers):
        timing, peer = _prepared(case, name, run, threads)
        found.append(timing)
        if peer is not None and not timing.disagreement:
            contestants[name] = peer.run
    if case.beside is not None:
        found.append(replace(_timing(case.beside, case.beside.name, threads, case.beside.horizon), case=case.name))
        contestants[case.beside.name] = partial(ours(case.beside, threads, gpu=gpu), case.beside.horizon)
    timings = {timing.what: timing for timing in found}
    for go in contestants.values():
        go(0)
    for seed in range(1, rounds + 1):
        for name, go in contestants.items():
            taken = _seconds(partial(go, seed))
            if name == OURS and on_data:
                taken = max(taken - _seconds(partial(run, 1, seed)), 1e-9)
            timings[name].seconds.append(taken)
    mine = found[0]
    if case.instructions is not None and gpu and not runtime.why_unavailable("cuda"):
        device = runtime.cuda_devices()[0]
        mine.limit_fraction = mine.rate * case.instructions / (device["multiprocessors"] * _LANES * device["clock_hz"])
    elif not gpu and runtime.isa() in _limits.WIDTHS:
        least = _least_seconds(case, threads)
        mine.limit_fraction = least and least * mine.rate / mine.work
    return found


def core_rates(threads: int) -> dict[str, float]:
    """Vector operations/s of all threads by sort, in float32; empty for an instruction set without limits."""
    isa = runtime.isa()
    if isa not in _limits.WIDTHS:
        return {}
    rates = _limits.rates(isa, "float32", threads)
    return {**rates.of, "together": rates.together}


def _least_seconds(case: Case, threads: int) -> float | None:
    """That a run takes at the rates of the cores. None: nothing was counted."""
    isa, problem = runtime.isa(), case.problem()
    rates = _limits.rates(isa, case.dtype, threads)
    steps = float(case.trajectories) * case.horizon
    lanes = _limits.WIDTHS[isa] // np.dtype(case.dtype).itemsize
    if isinstance(problem, DataProblem):
        work = steps * case.work_per_step
        least = rates.seconds({"product": work / lanes})
        if not case.row_bytes:
            return least
        rows = problem.X.size * np.dtype(case.dtype).itemsize
        return max(least, work * case.row_bytes / _limits.bandwidth(isa, threads, rows))
    if not case.counted:
        return None
    operations = _limits.counted()["counts"][isa][case.dtype][case.counted]
    return steps / lanes * rates.seconds(operations)


def tiny_calls(repeats: int, *, gpu: bool = False) -> dict[str, float]:
    """Seconds of one config, 64 replicates, 10 steps, by how it is called: the cost of the border."""
    from .._simulate import simulate

    problem, schedule = absolute_value("gaussian"), schedules.Linear()
    simulator = Simulator(problem)
    backend = "cuda" if gpu and not runtime.why_unavailable("cuda") else "auto"
    sizes: dict[str, Any] = {"base_lr": 0.1, "horizon": 10, "replicates": 64, "backend": backend}
    calls: dict[str, Callable[[], object]] = {
        "Simulator.run": lambda: simulator.run(schedule, **sizes),
        "simulate": lambda: simulate(problem, schedule, **sizes),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(_seconds(call))
    return {name: statistics.median(taken[repeats // 10 :]) for name, taken in times.items()}


def costs(*, tiny: bool = False) -> dict[str, float]:
    """What a process pays, in new ones: seconds to import the package beyond NumPy, and bytes at the peak of memory.

    The memory is that of a process that simulates 10^8 trajectories (tiny: 1 000) and keeps their moments alone, where
    the system tells it, as Linux does.
    """
    imports = ["import numpy", "import numpy; from anneal_sgd import simulate"]
    seconds = [[_seconds(partial(_output, code)) for code in imports] for _ in range(1 if tiny else 11)]
    told = {"import_seconds": statistics.median(both - numpy for numpy, both in seconds)}
    if os.path.exists("/proc/self/status") and "VmHWM" in _output("print(open('/proc/self/status').read())"):
        replicates = 1000 if tiny else 10**8
        problem = "anneal_sgd.problems.AbsoluteValue(slope=0.1, noise='gaussian', second_moment=1.0)"
        told["peak_memory"] = float(
            _output(f"""
import anneal_sgd
anneal_sgd.simulate({problem}, anneal_sgd.schedules.Linear(), base_lr=0.1, horizon=100, replicates={replicates})
print(next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
""")
        )
    return told


def _output(code: str) -> str:
    """Of a new process, whose traceback nobody wants to see where a terminal's Ctrl-C ends both."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def installed(names: Sequence[str], *, gpu: bool) -> Iterator[tuple[str, str]]:
    """Those of the modules behind the peers that can be imported, and their versions."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is for both
    for name in names:
        try:
            module = importlib.import_module(_MODULES[name])
        except ImportError:
            continue
        if name == "JAX" and not gpu:  # before its first use
            module.config.update("jax_platforms", "cpu")
            module.config.update("jax_num_cpu_devices", runtime.cpu_count())
        yield name, str(module.__version__)


def available_peers(*, gpu: bool = False) -> tuple[list[str], dict[str, str]]:
    """Names of the peers that can run here, on the CPU or a GPU, and the versions of what they need."""
    versions = dict(installed(["JAX", "PyTorch"] if gpu else list(_MODULES), gpu=gpu))
    names = [*_separable_peers.PEERS, *_data_peers.PEERS]
    if "PyTorch" in versions and importlib.import_module("torch").cuda.is_available():
        names += _separable_peers.GPU_PEERS
    return [
        name for name in dict.fromkeys(names) if name == "C++" or name.replace(",", " ").split()[0] in versions
    ], versions


def machine(*, gpu: bool = False) -> dict[str, Any]:
    """What the figures are of."""
    devices = runtime.cuda_devices() if gpu else []
    return {
        **({"gpu": devices[0]["name"]} if devices else {}),
        "processor": processor(),
        "cores": runtime.cpu_count(),
        "isa": runtime.isa(),
        "anneal_sgd": __version__,
        "stream_version": STREAM_VERSION,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """Its name, and its family, which a virtual machine often hides."""
    told = _cpuinfo()
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name}, family {told['cpu family']}" if "cpu family" in told else name


def _cpuinfo() -> dict[str, str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, value in lines}


def _timing(case: Case, what: str, threads: int, steps: int) -> Timing:
    work = float(case.trajectories) * steps * case.work_per_step
    return Timing(case.name, what, threads, case.unit, case.trajectories, steps, work)


def _prepared(case: Case, name: str, run: Any, threads: int) -> tuple[Timing, Peer | None]:
    """A peer that takes about ROUND_SECONDS, compiled and compared with ours."""
    make = _peers_of(case)[name]
    steps = min(8, case.horizon)
    while True:
        began = time.perf_counter()
        peer = make(case, steps)
        compiled = time.perf_counter() - began
        peer.run(0)
        taken = _seconds(partial(peer.run, 1))
        if taken >= 0.4 * ROUND_SECONDS or steps >= _LONGEST * case.horizon or case.horizon <= 32:
            break
        steps = min(_LONGEST * case.horizon, max(2 * steps, math.ceil(steps * ROUND_SECONDS / max(taken, 1e-4))))
    timing = _timing(case, name, threads, steps)
    timing.compile_seconds = compiled
    timing.disagreement = _disagreement(case, peer, run, steps)
    return timing, peer


def _peers_of(case: Case) -> dict[str, Callable[[Case, int], Peer]]:
    problem = case.problem()
    if case.method != methods.SGD():
        return _method_peers.PEERS
    if isinstance(problem, DataProblem):
        return _data_peers.PEERS
    if isinstance(problem, Custom):
        return _program_peers.PEERS
    return {**_separable_peers.PEERS, **_separable_peers.GPU_PEERS}


def _disagreement(case: Case, peer: Peer, run: Any, steps: int) -> str:
    """In words; empty if the peer's mean is ours."""
    if case.shared:
        means = np.array([peer.values(peer.run(seed)).mean() for seed in range(_SEEDS)])
        mine = run(steps, 0, _SEEDS)
        mean, error = float(np.mean(mine.mean)), float(np.mean(mine.stderr))
        theirs, their_error = float(means.mean()), float(means.std(ddof=1)) / math.sqrt(_SEEDS)
    else:
        values = np.asarray(peer.values(peer.run(0)), dtype=np.float64)
        theirs, their_error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
        mine = run(steps, 0)
        mean = float(np.mean(mine.mean))
        error = float(np.sqrt(np.mean(np.square(mine.stderr)) / np.size(mine.mean)))
    if abs(mean - theirs) <= _AGREEMENT * math.hypot(error, their_error):  # not where NaN
        return ""
    return f"mean {theirs:.6g} +- {their_error:.2g}, ours {mean:.6g} +- {error:.2g}"


def _seconds(go: Callable[[], object]) -> float:
    began = time.perf_counter()
    go()
    return time.perf_counter() - began
