"""Time the CUDA backend, beside JAX and PyTorch on the same device where they are installed, as JSON and Markdown.

python bench/gpu.py [--output out/gpu] [--repeats 7] [--device 0] [--tiny] [--backend cuda]

A time is the wall time of a whole `simulate` call, which returns when its statistics are on the host; where CuPy is
installed, CUDA events around the call give the time on the stream as well. Medians of repetitions that are interleaved
over all cases and peers, after one round that warms up. A peer's time counts only if its mean agrees with ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import anneal_sgd
from anneal_sgd import Simulator, runtime, schedules
from gpu_cases import GPU_CASES, Case, absolute_value

LANES = 128  # of a multiprocessor since Volta: float32 operations, or instructions x 32, that it issues per cycle


@dataclass
class Timing:
    """Seconds per run: wall clock, and CUDA events where there are any."""

    wall: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)


class Events:
    """CUDA events around a call, through CuPy; nothing without it."""

    def __init__(self, use: bool, device: int) -> None:
        self.cupy: Any = None
        self.device = device
        if use:
            try:
                import cupy

                self.cupy = cupy
            except ImportError:
                pass

    def time(self, call: Callable[[Any], object]) -> tuple[float, float | None]:
        if self.cupy is None:
            start = time.perf_counter()
            call(None)
            return time.perf_counter() - start, None
        with self.cupy.cuda.Device(self.device):
            stream = self.cupy.cuda.Stream(non_blocking=True)
            before, after = self.cupy.cuda.Event(), self.cupy.cuda.Event()
            start = time.perf_counter()
            before.record(stream)
            call(stream)
            after.record(stream)
            wall = time.perf_counter() - start
            after.synchronize()
            return wall, self.cupy.cuda.get_elapsed_time(before, after) / 1e3


def run_ours(case: Case, shrink: int, backend: str, device: int | None) -> Callable[[Any], Any]:
    simulator = Simulator(case.problem)
    base_lr = np.geomspace(0.01, 0.1, case.configs) if case.configs > 1 else 0.01
    arguments: dict[str, Any] = {
        "base_lr": base_lr,
        "horizon": max(1, case.horizon // shrink),
        "replicates": max(1, case.replicates // shrink),
        "dtype": case.dtype,
        "common_random_numbers": case.common_random_numbers,
        "backend": backend,
    }
    if backend == "cuda":
        arguments["device"] = device

    def call(stream: Any) -> Any:
        on_stream = {} if stream is None else {"stream": stream}
        return simulator.run(case.schedule, **arguments, **on_stream)

    return call


def tiny_call(backend: str, device: int | None) -> Callable[[], object]:
    """One config, 64 replicates, 10 steps with a reused Simulator: what a call costs."""
    simulator, schedule = Simulator(absolute_value("gaussian")), schedules.Linear()
    on = {"device": device} if backend == "cuda" else {}
    return lambda: simulator.run(schedule, base_lr=0.1, horizon=10, replicates=64, backend=backend, **on)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/gpu"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--backend", choices=("cuda", "cpu"), default="cuda", help="cpu: only to see that all runs")
    parser.add_argument("--tiny", action="store_true", help="a small part of the work: only to see that all runs")
    options = parser.parse_args()
    reason = runtime.why_unavailable(options.backend)
    if reason:
        print(f"gpu.py: the backend is not available: {reason}", file=sys.stderr)
        return 2
    on_gpu = options.backend == "cuda"
    shrink = 512 if options.tiny else 1
    events = Events(on_gpu, options.device)

    runs: dict[tuple[str, str], Callable[[Any], Any]] = {}
    for case in GPU_CASES:
        runs[case.name, "anneal_sgd"] = run_ours(case, shrink, options.backend, options.device)
        if case.peers:
            from gpu_peers import peers

            for name, peer in peers(case, shrink, on_gpu).items():
                runs[case.name, name] = peer
    timings = {key: Timing() for key in runs}
    means: dict[tuple[str, str], tuple[float, float]] = {}
    disagreeing: list[str] = []
    for repeat in range(options.repeats + 1):
        for key, run in runs.items():
            result: list[Any] = []
            if key[1] == "anneal_sgd":
                wall, on_stream = events.time(lambda stream, run=run, result=result: result.append(run(stream)))
                mean, stderr = np.atleast_1d(result[0].mean)[0], np.atleast_1d(result[0].stderr)[0]
            else:
                start = time.perf_counter()
                mean, stderr = run(None)
                wall, on_stream = time.perf_counter() - start, None
            means[key] = float(mean), float(stderr)
            if repeat == 0:
                continue
            timings[key].wall.append(wall)
            if on_stream is not None:
                timings[key].events.append(on_stream)
    for (case_name, name), (mean, stderr) in means.items():
        if name == "anneal_sgd":
            continue
        ours, our_stderr = means[case_name, "anneal_sgd"]
        if not abs(mean - ours) <= 5 * float(np.hypot(stderr, our_stderr)):  # not: NaN
            disagreeing.append(f"{case_name}, {name}: mean {mean:.6g} +- {stderr:.2g}, ours {ours:.6g}")

    call = tiny_call(options.backend, options.device)
    latencies = []
    for _ in range(20 if options.tiny else 2000):
        start = time.perf_counter()
        call()
        latencies.append(time.perf_counter() - start)

    device = runtime.cuda_devices()[options.device] if on_gpu else None
    report = write(options, device, timings, statistics.median(latencies), disagreeing, shrink)
    print(report, end="")
    return 1 if disagreeing else 0


def write(
    options: argparse.Namespace,
    device: dict[str, Any] | None,
    timings: dict[tuple[str, str], Timing],
    latency: float,
    disagreeing: list[str],
    shrink: int,
) -> str:
    cases = {case.name: case for case in GPU_CASES}
    where = "no GPU" if device is None else f"{device['name']}, {device['multiprocessors']} multiprocessors"
    title = f"{where}, anneal_sgd {anneal_sgd.__version__}, {time.strftime('%Y-%m-%d')}, {options.repeats} runs"
    lines = [
        title,
        "",
        "| case | what | G coordinate-steps/s, median (min to max) | on the stream | of the issue slots | ours / it |",
        "|---|---|---|---|---|---|",
    ]
    rows = []
    for (case_name, name), timing in timings.items():
        case = cases[case_name]
        work = case.coordinate_steps / shrink**2
        rates = [work / t for t in timing.wall]
        rate = statistics.median(rates)
        ours = statistics.median(work / t for t in timings[case_name, "anneal_sgd"].wall)
        on_stream = work / statistics.median(timing.events) if timing.events else None
        share = None
        if device is not None and name == "anneal_sgd" and case.gpu_slots is not None:
            share = rate * case.gpu_slots / (device["multiprocessors"] * LANES * device["clock_hz"])
        rows.append(
            {
                "case": case_name,
                "what": name,
                "coordinate_steps": work,
                "seconds": timing.wall,
                "seconds_on_stream": timing.events,
                "issue_slots_per_step": case.gpu_slots,
                "share_of_issue_slots": share,
                "ratio": ours / rate,
            }
        )
        cells = [
            case_name,
            name,
            f"{rate / 1e9:.2f} ({min(rates) / 1e9:.2f} to {max(rates) / 1e9:.2f})",
            "" if on_stream is None else f"{on_stream / 1e9:.2f}",
            "" if share is None else f"{100 * share:.0f} %",
            "" if name == "anneal_sgd" else f"{ours / rate:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"A tiny call (1 config, 64 replicates, 10 steps, reused Simulator): {latency * 1e6:.0f} us."]
    lines += [f"NOT IN AGREEMENT: {text}" for text in disagreeing]
    text = "\n".join(lines) + "\n"
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "gpu.md").write_text(text, encoding="utf-8")
    data = {"title": title, "device": device, "rows": rows, "tiny_call_seconds": latency, "disagreeing": disagreeing}
    (options.output / "gpu.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return text


if __name__ == "__main__":
    sys.exit(main())
