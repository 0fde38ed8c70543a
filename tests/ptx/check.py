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
# Left out unless slow: what test_every_kernel and its neighbours show as well.
SLOW = "large_dimensions or number_of_configs"
GROUPS = (
    ("test_cuda_data.py",),
    ("test_cuda.py",),
    ("test_cuda_programs.py", "test_exceedance.py", "test_iterates.py"),
    ("test_gpu_arrays.py", "test_simulate_api.py", "test_bad_input.py"),
    ("ptx/host_calls.py", "ptx/failing_calls.py"),
    ("test_gpu_check.py::test_all_stages_run_to_their_end", "test_gpu_sharing.py"),
)


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


def coverage(made: Translation, folder: Path) -> str:
    """How many instructions were executed, of those that are in basic blocks that were entered."""
    flags = (folder / "blocks").read_bytes()
    blocks = [block for kernel in made.kernels for block in kernel.blocks]
    done = sum(block.instructions for block, flag in zip(blocks, flags, strict=True) if flag)
    every = sum(block.instructions for block in blocks)
    return f"{done} of {every} instructions of {len(made.kernels)} kernels were executed ({100 * done / every:.1f} %)"


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
    covered = out / f"covered_{arch}"
    covered.mkdir(exist_ok=True)
    (covered / "blocks").unlink(missing_ok=True)
    environment = {**build.environment(site, library), "PTXRUN_COVERAGE": str(covered)}
    python = build.make_python(site, out)

    def tests(files: Sequence[str]) -> Callable[[], bool]:
        chosen = CHOSEN if options.slow else f"{CHOSEN} and not ({SLOW})"
        if files[0].startswith("ptx/"):
            chosen = ""
        words = [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", "--require-backend=cuda", "-k", chosen]
        devices = {"PTXRUN_DEVICES": "3", "PTXRUN_NO_POOLS": "2"} if not chosen else {}
        return lambda: run([*words, *(TESTS / file for file in files)], environment | devices)

    def random_calls(number: int) -> Callable[[], bool]:
        # Threads and blocks at random, and rsqrt.approx at the edges of what PTX promises.
        mine = {**environment, "PTXRUN_ORDER": "2", "PTXRUN_SEED": str(number), "PTXRUN_RSQRT": "2"}
        return lambda: run([python, "-m", "ptx.random_calls", options.seconds, options.seed + 10_000 * number], mine)

    with told(f"sm_{arch}: the project's CUDA tests, and calls of the host"), ThreadPoolExecutor(jobs) as pool:
        good = list(pool.map(lambda work: work(), [tests(files) for files in GROUPS]))
    with told(f"sm_{arch}: random calls, from seed {options.seed}"), ThreadPoolExecutor(jobs) as pool:
        good += pool.map(lambda work: work(), [random_calls(number) for number in range(jobs)])
    with told(f"sm_{arch}: errors planted"):
        good.append(check_planted(folder, python, environment, jobs))
    print(f"   {coverage(made, covered)}")
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", type=int, nargs="+", help=f"compute capabilities; 90, or with --slow {ARCHS}")
    parser.add_argument("--slow", action="store_true", help="every test, and random calls for ten minutes")
    parser.add_argument("--seconds", type=float, help="of random calls, on every core")
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
