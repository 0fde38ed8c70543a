"""python -m ptx.check [--archs 90 ..] [--slow]: executes the PTX of the CUDA kernels here, and compares with the CPU.

See README.md beside this file for what that proves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ptx import build
from ptx.parse import Unknown
from ptx.planted import check_planted
from ptx.translate import INEXACT_BUT_REFINED, Translation

# Of the PTX of 80 and 100 the kernels' is that of 90 and 120.
ARCHS = (75, 90, 120)
TESTS = build.HERE.parent
# Tests of the CUDA backend; not those that measure seconds, nor those of the emulation.
CHOSEN = "(gpu or cuda) and not emulated and not interrupted"
DEVICES = {"PTXRUN_DEVICES": "3", "PTXRUN_NO_POOLS": "2"}


@dataclass(frozen=True)
class Group:
    """Tests of one process."""

    files: tuple[str, ...]
    short: str
    """An expression: which of them run unless slow. Every kernel is entered, and a call of every kind is made."""
    chosen: str = CHOSEN
    devices: Mapping[str, str] = field(default_factory=dict)


GROUPS = (
    Group(
        ("test_cuda.py",),
        "(every_kernel and (box-3] or ball-33])) or (where_launches and (gaussian-box-tail_average-37] or "
        "rademacher-ball-average-3])) or (few_replicates and (value-rademacher-1] or quadratic-gaussian-1] or "
        "rademacher-5-False] or rademacher-tail_average-37])) or (large_dimensions and gaussian-ball-2000]) or "
        "1000-1025] or 2-17-True] or test_schedules and (step_decay or warmup_stable_decay-0.4-cosine) or joined or "
        "axis or memory or samples or divergence or two_threads",
    ),
    Group(
        ("test_cuda_programs.py",),
        "(every_layout and float32 and (none or (ball and three))) or (every_operation and float64) or 1021-3] or "
        "ones_own or any_order or damaged",
    ),
    Group(
        ("test_cuda_data.py",),
        "(every_loss and (everything or LeastSquares-weighted)) or (edges_of_rows and (33 or 700)) or "
        "33-reshuffling] or (where_launches and everything-3-16]) or 17-9-True] or many_steps or many_outputs or "
        "sizes or starts or rounds or (single and (LogisticRegression-33 or LeastSquares-17))",
    ),
    Group(
        ("test_cuda_methods.py",),
        "(every_method and (clipped or sqrt or dog or ngn or extragradient or alternating or entangled or replacing or "
        "shifted or drawing or reducing or langevin or (adam and not clipped) or free)) or (edges_of_rows and (33 or "
        "700)) or (where_launches and (ngn or extragradient) and 3-16]) or (every_number and 17-adam) or "
        "(of_a_step and reshuffling) or (many_steps and ema) or (first_of_equal and 17) or little_memory",
    ),
    Group(
        ("test_kernel_code.py",),
        "random_functions or layouts or starts or (every_noise and (student_t or rademacher)) or (methods and adamw)",
        "not emulated and not interrupted",
    ),
    Group(("ptx/host_calls.py", "ptx/failing_calls.py"), "", "", DEVICES),
    Group(("test_gpu_arrays.py", "test_simulate_api.py", "test_bad_input.py"), ""),
    Group(
        ("test_exceedance.py", "test_iterates.py", "test_own_metrics.py"),
        "counts or any_number or (keeps and not network) or (take_turns and not least_squares) or "
        "(ones_own and (LogisticRegression or MLP-float32)) or "
        "(state_on_data and (LogisticRegression-float64 or MLP-float32))",
    ),
)
# The stages of gpu-check and several processes on a device, in slow runs.
SLOW_GROUP = Group(("test_gpu_check.py::test_all_stages_run_to_their_end", "test_gpu_sharing.py"), "")


@contextmanager
def told(what: str) -> Iterator[None]:
    """Prints what is done, and how long it took."""
    print(f"== {what}", flush=True)
    start = time.monotonic()
    yield
    print(f"   {time.monotonic() - start:.0f} s", flush=True)


def run(command: Sequence[object], environment: Mapping[str, str]) -> bool:
    """Whether it went well; its last line, or all of it where it did not."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, cwd=build.ROOT, capture_output=True, text=True, check=False)
    output = (done.stdout + done.stderr).strip()
    print(f"  {output if done.returncode else output.splitlines()[-1]}", flush=True)
    return done.returncode == 0


def covered(made: Translation, folder: Path) -> bool:
    """Whether every kernel was entered; prints how many instructions are in basic blocks that were."""
    flags = (folder / "blocks").read_bytes()
    done = every = first = 0
    missing = []
    for kernel in made.kernels:
        mine = flags[first : first + len(kernel.blocks)]
        first += len(kernel.blocks)
        every += sum(block.instructions for block in kernel.blocks)
        done += sum(block.instructions for block, flag in zip(kernel.blocks, mine, strict=True) if flag)
        if not mine[0]:
            missing.append(kernel.name)
    share = f"({100 * done / every:.1f} %)"
    print(f"   {done} of {every} instructions of {len(made.kernels)} kernels were executed {share}")
    for name in missing:
        print(f"   NEVER ENTERED: {name}")
    return not missing


def check(arch: int, site: Path, out: Path, options: argparse.Namespace) -> bool:
    """One architecture; whether all is well."""
    folder, jobs = out / f"sm_{arch}", options.jobs
    with told(f"sm_{arch}: PTX"):
        ptx = build.make_ptx(arch, folder, jobs)
    with told(f"sm_{arch}: its C++"):
        made, library = build.make_kernels(ptx, folder, jobs)
        refined = {op: made.opcodes.get(op, 0) for op in sorted(INEXACT_BUT_REFINED)}
        print(
            f"  {sum(made.opcodes.values())} instructions of {len(made.opcodes)} kinds; of the inexact ones {refined}"
        )
    entered = out / f"covered_{arch}"
    entered.mkdir(exist_ok=True)
    (entered / "blocks").unlink(missing_ok=True)
    environment = {**build.environment(site, library), "PTXRUN_COVERAGE": str(entered)}
    python = build.make_python(site, out)

    def tests(group: Group) -> Callable[[], bool]:
        chosen = f"{group.chosen} and ({group.short})" if group.short and not options.slow else group.chosen
        words = [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "--require-backend=cuda", "-k", chosen]
        return lambda: run([*words, *(TESTS / file for file in group.files)], {**environment, **group.devices})

    def random_calls(number: int) -> Callable[[], bool]:
        # Threads and blocks at random, and rsqrt.approx at the edges of what PTX promises.
        mine = {**environment, "PTXRUN_ORDER": "2", "PTXRUN_SEED": str(number), "PTXRUN_RSQRT": "2"}
        return lambda: run([python, "-m", "ptx.random_calls", options.seconds, options.seed + 10_000 * number], mine)

    groups = (*GROUPS, SLOW_GROUP) if options.slow else GROUPS
    work = [*map(tests, groups), *map(random_calls, range(jobs if options.slow else 1))]
    what = f"the project's CUDA tests, calls of the host, random calls from seed {options.seed}"
    with told(f"sm_{arch}: {what}"), ThreadPoolExecutor(jobs) as pool:
        good = list(pool.map(lambda one: one(), work))
    with told(f"sm_{arch}: errors planted"):
        good.append(check_planted(folder, python, environment, jobs))
    good.append(covered(made, entered))
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", type=int, nargs="+", help=f"compute capabilities; 90, or with --slow {ARCHS}")
    parser.add_argument("--slow", action="store_true", help="every test, and ten minutes of random calls")
    parser.add_argument("--seconds", type=float, help="of random calls; with --slow on every core")
    parser.add_argument("--seed", type=int, default=1, help="of random calls")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.seconds = options.seconds or (600 if options.slow else 60)
    out = build.ROOT / "build" / "ptx"
    try:
        with told("the core with a stand-in for the CUDA runtime"):
            site = build.make_site(out)
        good = [check(arch, site, out, options) for arch in options.archs or (ARCHS if options.slow else (90,))]
    except Unknown as error:
        print(f"not known how to execute: {error}", file=sys.stderr)
        return 1
    print("every bit is the CPU's" if all(good) else "SEE ABOVE")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
