"""Time the problems on data on all cores, beside Numba, JAX and NumPy where they are installed; on a GPU beside JAX.

python bench/data.py [--gpu] [--rounds 5] [--tiny] [--case NAME ...] [--json FILE] [--no-peers]

A time is that of T steps less that of one step, so that what does not grow with the steps cancels: of ours the loss of
every trajectory over all rows at the end; of peers, which return points whose loss is computed outside of the time, the
call. What is compared is the time of a trajectory-step: slow peers take fewer. Rounds are interleaved over the
contestants of a case; medians and ranges of rounds, ratios taken within a round. Compilation is timed apart. A peer's
time counts only if its mean final loss agrees with ours at the same horizon within 4 combined standard errors: over
trajectories, or over 16 runs where all trajectories share their minibatches.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import anneal_sgd
from anneal_sgd import Simulator, problems, runtime, schedules
from data_peers import Run, make_jax, make_numba, make_numpy
from run import processor

OURS = "anneal_sgd"
MAKERS: dict[str, Callable[..., Run]] = {"Numba": make_numba, "JAX": make_jax, "NumPy": make_numpy}
RUNS = 16  # where trajectories share their minibatches, to know a standard error


@dataclass(frozen=True)
class Case:
    """One ensemble, and how many steps each contestant takes."""

    name: str
    steps: int
    peers: tuple[tuple[str, int], ...]
    batch: int
    base_lr: float | tuple[float, float]  # or a range, of as many as trajectories, all on the same minibatches
    trajectories: int = 1024
    rows: int = 10_000
    columns: int = 100
    layers: tuple[int, int, int] | None = None  # of a network for scikit-learn's digits; else logistic regression
    numba_lanes: int = 1  # trajectories that a Numba thread takes through a step together, to hide latencies
    numpy_block: int = 1024  # trajectories of one NumPy thread, for large arrays to stay in a cache

    @property
    def shared(self) -> bool:
        return isinstance(self.base_lr, tuple)

    @property
    def base_lrs(self) -> Any:
        return np.geomspace(*self.base_lr, self.trajectories) if isinstance(self.base_lr, tuple) else self.base_lr

    @property
    def multiply_adds(self) -> int:
        """Of a trajectory-step: outputs and gradients, but none by the inputs of a network."""
        if self.layers is None:
            return 2 * self.columns * self.batch
        inputs, hidden, classes = self.layers
        return self.batch * (2 * inputs * hidden + 3 * hidden * classes)

    def steps_of(self, name: str) -> int:
        return self.steps if name == OURS else dict(self.peers)[name]

    def learning_rates(self, steps: int) -> np.ndarray:
        """The schedule, times base_lr if there is one only."""
        values = schedules.Linear().values(steps)
        return (values if self.shared else values * self.base_lr).astype(np.float32)

    def tiny(self) -> Case:
        peers = tuple((name, 32) for name, _ in self.peers)
        return replace(self, steps=32, peers=peers, trajectories=32, rows=256, numpy_block=16)


LRS = (0.001, 0.1)
CASES = (
    Case("logistic-1", 60_000, (("Numba", 40_000), ("JAX", 12_000), ("NumPy", 3_000)), 1, 0.02, numba_lanes=16),
    Case("logistic-16", 5_000, (("Numba", 3_000), ("JAX", 1_200), ("NumPy", 400)), 16, 0.02, numpy_block=128),
    Case("logistic-1-shared", 80_000, (("JAX", 30_000), ("NumPy", 2_500)), 1, LRS),
    Case("logistic-16-shared", 8_000, (("JAX", 4_000), ("NumPy", 2_000)), 16, LRS),
    Case("mlp-digits-32", 1_000, (("JAX", 400), ("NumPy", 120)), 32, 0.1, trajectories=256, layers=(64, 32, 10)),
)

# For a GPU, which wants 10^4 trajectories before it is busy.
GPU_CASES = (
    Case("gpu-logistic-1", 20_000, (("JAX", 4_000),), 1, 0.02, trajectories=2**16),
    Case("gpu-logistic-16", 4_000, (("JAX", 400),), 16, 0.02, trajectories=2**16),
    Case("gpu-logistic-1-shared", 20_000, (("JAX", 10_000),), 1, LRS, trajectories=2**14),
    Case("gpu-logistic-16-shared", 4_000, (("JAX", 2_000),), 16, LRS, trajectories=2**14),
    Case("gpu-mlp-digits-32", 1_000, (("JAX", 200),), 32, 0.1, trajectories=2**14, layers=(64, 32, 10)),
)


def problem_of(case: Case) -> problems.DataProblem:
    if case.layers is not None:
        digits = importlib.import_module("sklearn.datasets").load_digits()
        features = (digits.data / 16).astype(np.float32)
        return problems.MLP(features, digits.target, hidden=case.layers[1], batch_size=case.batch)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((case.rows, case.columns), np.float32)
    margins = features @ rng.standard_normal(case.columns) / math.sqrt(case.columns)
    labels = rng.random(case.rows) < 1 / (1 + np.exp(-margins))
    return problems.LogisticRegression(features, labels, batch_size=case.batch)


def ours(case: Case, problem: problems.DataProblem, backend: str, runs: int = 1) -> Run:
    """Returns final losses: (trajectories,), or (trajectories, runs) of shared minibatches."""
    simulator = Simulator(problem)
    replicates = runs if case.shared else case.trajectories

    def run(steps: int, seed: int) -> Any:
        return simulator.run(
            schedules.Linear(),
            base_lr=case.base_lrs,
            horizon=steps,
            replicates=replicates,
            metric="loss",
            seed=seed,
            backend=backend,
            keep_samples=True,
        ).samples

    return run


def final_losses(problem: problems.DataProblem, points: np.ndarray) -> np.ndarray:
    if isinstance(problem, problems.MLP):
        return np.asarray(problem.value(points))
    margins = (problem.X @ points.T) * problem.y.astype(np.float32)[:, None]  # all at once, which `value` is not
    return np.asarray(np.log1p(np.exp(-margins)).mean(axis=0, dtype=np.float64))


def disagreement(case: Case, problem: problems.DataProblem, name: str, peer: Run, backend: str) -> str:
    """In words; empty if the peer's losses are ours."""
    steps = case.steps_of(name)
    mine = ours(case, problem, backend, RUNS)(steps, 0)
    if case.shared:
        mine = mine.mean(axis=0)
        theirs = np.array([final_losses(problem, peer(steps, seed)).mean() for seed in range(RUNS)])
    else:
        theirs = final_losses(problem, peer(steps, 0))
    error = math.hypot(*(float(np.std(x, ddof=1)) / math.sqrt(x.size) for x in (mine, theirs)))
    if abs(mine.mean() - theirs.mean()) <= 4 * error:  # not where NaN
        return ""
    return f"{case.name}, {name}: mean final loss {theirs.mean():.6g}, ours {mine.mean():.6g} +- {error:.2g}"


def seconds(run: Run, steps: int, seed: int) -> float:
    start = time.perf_counter()
    run(steps, seed)
    return time.perf_counter() - start


def measure(
    case: Case, problem: problems.DataProblem, names: list[str], rounds: int, backend: str
) -> list[dict[str, Any]]:
    """A row of the report per contestant."""
    runs, rows = {OURS: ours(case, problem, backend)}, {OURS: {"compile_seconds": 0.0, "disagreement": ""}}
    for name in (name for name, _ in case.peers if name in names):
        start = time.perf_counter()
        peer = MAKERS[name](case, np.array(problem.X), problem.y.astype(np.float32))
        compiled = time.perf_counter() - start
        text = disagreement(case, problem, name, peer, backend)
        rows[name] = {"compile_seconds": compiled, "disagreement": text}
        if not text:
            runs[name] = peer
    for run in runs.values():
        run(1, 0)  # warms up; peers have run for long before
    times: dict[str, list[float]] = {name: [] for name in runs}
    for seed in range(rounds):
        for name, run in runs.items():
            steps = case.steps_of(name)
            taken = seconds(run, steps, seed) - seconds(run, 1, seed)
            times[name].append(max(taken, 1e-9) / ((steps - 1) * case.trajectories))  # tiny runs are all noise
    for name, row in rows.items():
        its = times.get(name, [])
        ratios = [a / b for a, b in zip(its, times[OURS], strict=False)]  # none where it has not run
        row |= {"case": case.name, "what": name, "steps": case.steps_of(name), "seconds_per_step": its}
        row |= {"multiply_adds": case.multiply_adds, "ratios": ratios}
    return list(rows.values())


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table; ours first, with the ratio to the fastest peer."""
    lines = []
    timed = [row for row in rows[1:] if row["ratios"]]
    fastest = min(timed, key=lambda row: statistics.median(row["seconds_per_step"]), default=None)
    for row in rows:
        cells = [row["case"], row["what"], str(row["steps"])]
        if row["seconds_per_step"]:
            median = statistics.median(row["seconds_per_step"])
            cells += [spread([1e-6 / t for t in row["seconds_per_step"]]), f"{median * 1e9:.2f}"]
            cells += [f"{row['multiply_adds'] / median / 1e9:.2f}"]
        else:
            cells += ["not in agreement", "", ""]
        compared = fastest if row is rows[0] else row
        ratio = spread(compared["ratios"]) if compared and compared["ratios"] else ""
        cells += [f"{ratio}, {fastest['what']}" if row is rows[0] and fastest else ratio]
        cells += [f"{row['compile_seconds']:.1f}" if row["compile_seconds"] >= 0.05 else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a small part of the work: only to see that all runs")
    parser.add_argument("--gpu", action="store_true", help="the cases for a GPU, on one; tiny ones where there is none")
    names_of_cases = [case.name for case in (*CASES, *GPU_CASES)]
    parser.add_argument("--case", choices=names_of_cases, action="append", help="default: every case")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    backend = "cpu" if not options.gpu else "auto" if options.tiny else "cuda"
    reason = runtime.why_unavailable("cuda") if backend == "cuda" else ""
    if reason:
        print(f"data.py: the backend is not available: {reason}", file=sys.stderr)
        return 2
    names, versions = [], {OURS: anneal_sgd.__version__, "NumPy": np.__version__}
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is for both
    for name in () if not options.peers else ("JAX",) if options.gpu else MAKERS:
        try:
            module = importlib.import_module(name.lower())
        except ImportError:
            print(f"{name} is not installed: skipped")
            continue
        names.append(name)
        versions[name] = module.__version__
        if name == "JAX" and not options.gpu:  # before its first use
            module.config.update("jax_platforms", "cpu")
            module.config.update("jax_num_cpu_devices", runtime.cpu_count())
    cases = GPU_CASES if options.gpu else CASES
    chosen = [case for case in cases if not options.case or case.name in options.case]
    chosen = [case.tiny() for case in chosen] if options.tiny else chosen
    used = ", ".join(f"{name} {number}" for name, number in versions.items())
    where = f"{processor()}, {runtime.cpu_count()} cores, {runtime.isa()}"
    if backend == "cuda":
        where = runtime.cuda_devices()[0]["name"]
    title = f"{where}, {used}, {options.rounds} rounds"
    print(f"{title}{', tiny: the figures mean nothing' if options.tiny else ''}\n")
    print("| case | what | steps | M trajectory-steps/s | ns | GFMA/s | ours / it | compiled in, s |")
    print("|---|---|---|---|---|---|---|---|")
    rows: list[dict[str, Any]] = []
    for case in chosen:
        try:
            problem = problem_of(case)
        except ImportError:
            print(f"scikit-learn is not installed: {case.name} skipped")
            continue
        rows += (found := measure(case, problem, names, options.rounds, backend))
        print("\n".join(report(found)), flush=True)
    disagreeing = [row["disagreement"] for row in rows if row["disagreement"]]
    for text in disagreeing:
        print(f"\nNOT IN AGREEMENT: {text}")
    if options.json:
        data = {"title": title, "versions": versions, "tiny": options.tiny, "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
