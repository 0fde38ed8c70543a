"""Errors planted in the PTX of real kernels, each of which the executor must find: by a check, or by other bits.

python -m ptx.planted_call runs the ensemble of which the kernels' results are compared.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ptx import build

MOMENTS = r"moments_kernelIfE"
STEPS = r"ensemble_kernelIfLNS_11ProblemKindE0ELNS_9NoiseKindE2ELb1E"  # |x|, Gaussian, a ball


@dataclass(frozen=True)
class Planted:
    """A change of all lines of a kernel that match, and what is to be said then."""

    name: str
    kernel: str
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]
    found: str


def _in_two_roundings(found: re.Match[str]) -> str:
    target, a, b, c = found.groups()
    if target == c:
        return found[0]
    return f"\tmul.rn.f32 {target}, {a}, {b}; add.rn.f32 {target}, {target}, {c};"  # lines keep their numbers


BITS, CHECKS = "other bits", "OUT OF BOUNDS|UNINITIALISED|RACE"
PLANTED = (
    Planted("no barriers", MOMENTS, r"^\tbar\.sync.*", "", CHECKS),
    Planted("a barrier less", STEPS, r"^\tbar\.sync.*", "", CHECKS),
    Planted("another thread's value", STEPS, r"^\tshfl\.sync\.down", "\tshfl.sync.up", BITS),
    Planted("no thread's value", STEPS, r"^\tshfl\.sync\.idx", "\tshfl.sync.bfly", BITS),
    Planted("two roundings", STEPS, r"^\tfma\.rn\.f32 \s*(\S+), (\S+), (\S+), (\S+);", _in_two_roundings, BITS),
    Planted("differences", STEPS, r"^\tadd\.rn\.f32", "\tsub.rn.f32", BITS),
    Planted("results elsewhere", MOMENTS, r"^(\tst\.global\.\S+ \s*\[%\w+)(\+\d+)?\]", r"\1+4096]", CHECKS),
    Planted("values from elsewhere", MOMENTS, r"^(\tld\.global\S* .*\[%\w+)\]", r"\1+4096]", f"{BITS}|{CHECKS}"),
    Planted("shared words elsewhere", MOMENTS, r"^(\tst\.shared\.\S+ \s*\[%\w+)\]", r"\1+8]", CHECKS),
)  # fmt: skip


def _each_kernel(text: str, change: Callable[[str], str]) -> str:
    """The PTX of one file, its kernels changed."""
    return re.sub(r"^\.visible \.entry .*?^\}", lambda entry: change(entry[0]), text, flags=re.MULTILINE | re.DOTALL)


def _make_good(folder: Path, ptx: Path, jobs: int) -> None:
    """The two kernels alone, compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    meant = re.compile(f"{MOMENTS}|{STEPS}")
    text = _each_kernel(ptx.read_text(encoding="utf-8"), lambda kernel: kernel if meant.search(kernel) else "")
    (folder / ptx.name).write_text(text, encoding="utf-8")
    build.make_kernels([folder / ptx.name], folder, jobs)


def _try(planted: Planted, folder: Path, good: Path, python: Path, environment: Mapping[str, str]) -> str:
    """What is said of the error, in folder; `good` has the PTX and the compiled kernels without it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)  # with times, so that only what changes is compiled
    (ptx,) = folder.glob("*.ptx")
    before = ptx.read_text(encoding="utf-8")
    after = _each_kernel(
        before,
        lambda kernel: (
            re.sub(planted.pattern, planted.replacement, kernel, flags=re.MULTILINE)
            if re.search(planted.kernel, kernel)
            else kernel
        ),
    )
    if before == after:
        return "NOT PLANTED: no line is like that"
    ptx.write_text(after, encoding="utf-8")
    _, library = build.make_kernels([ptx], folder, 1)
    command = [str(python), "-m", "ptx.planted_call"]
    environment = {**environment, "PTXRUN_KERNELS": str(library)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(folder)
    said = done.stdout.strip() or done.stderr.strip() or "nothing"  # else warnings stand there, of what diverges
    return said.splitlines()[-1]


def check_planted(folder: Path, python: Path, environment: Mapping[str, str], jobs: int) -> bool:
    """Whether every error is found; prints what is said of each. `folder` has the PTX."""
    good = folder.with_name(f"{folder.name}_planted")
    _make_good(good, folder / "kernels_float32.ptx", jobs)
    without_coverage = {name: value for name, value in environment.items() if name != "PTXRUN_COVERAGE"}

    def one(numbered: tuple[int, Planted]) -> bool:
        number, planted = numbered
        said = _try(planted, good.with_name(f"{good.name}_{number}"), good, python, without_coverage)
        found = re.search(planted.found, said) is not None
        print(f"  {'found' if found else 'NOT FOUND'}: {planted.name}: {said[:110]}", flush=True)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        return all(list(pool.map(one, enumerate(PLANTED))))
