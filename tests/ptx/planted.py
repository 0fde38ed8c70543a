"""Errors planted in the PTX of real kernels, each of which the executor must find: by a check, or by other bits.

python -m ptx.planted_call runs the ensembles of which the kernels' results are compared.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ptx import build

MOMENTS = r"moments_kernelIfE"
STEPS = r"ensemble_kernelIfLNS_11ProblemKindE0ELNS_9NoiseKindE2ELb1E"  # |x|, Gaussian, a ball
MANY = r"ensemble_kernelIfLNS_11ProblemKindE0ELNS_9NoiseKindE1ELb0E"  # |x|, Rademacher, no ball: many configs
SINGLE = r"11step_kernelIfLNS0_8DataWorkE1E"  # single steps
PROGRAM = r"14program_kernelIfE"
METHOD = r"16take_method_stepIfE"  # functions of the kernel of methods on data: all but the code of a method, and
INTERPRETER = r"10run_methodIfE"  # what runs that code
# Kernels that a call of planted_call launches.
LAUNCHED = {
    "separable": f"{MOMENTS}|{STEPS}|{MANY}",
    "single samples": f"{MOMENTS}|{SINGLE}|13record_kernelIfE",
    "on data": f"{MOMENTS}|11step_kernelIfLNS0_8DataWorkE2E|13record_kernelIfE",
    "programs": f"{MOMENTS}|{PROGRAM}",
}
OPTIONS = (*build.KERNEL_OPTIONS, "-O0")  # kernels are compiled many times, and run for a moment


@dataclass(frozen=True)
class Planted:
    """A change of all lines of a kernel, or of a function, that match, and what is to be said then."""

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


FMA = r"^\tfma\.rn\.f32 \s*(\S+), (\S+), (\S+), (\S+);"
BITS, CHECKS = "other bits", "OUT OF BOUNDS|UNINITIALISED|RACE"
EITHER = f"{BITS}|{CHECKS}"
PLANTED = {  # by the call of planted_call that finds them
    "separable": (
        Planted("no barriers", MOMENTS, r"^\tbar\.sync.*", "", CHECKS),
        Planted("a barrier less", STEPS, r"^\tbar\.sync.*", "", CHECKS),
        Planted("another thread's value", STEPS, r"^\tshfl\.sync\.down", "\tshfl.sync.up", BITS),
        Planted("no thread's value", STEPS, r"^\tshfl\.sync\.idx", "\tshfl.sync.bfly", BITS),
        Planted("two roundings", STEPS, FMA, _in_two_roundings, BITS),
        Planted("differences", STEPS, r"^\tadd\.rn\.f32", "\tsub.rn.f32", BITS),
        Planted("no barriers of tiles", MANY, r"^\tbar\.sync.*", "", CHECKS),
        Planted("another config's learning rate", MANY, r"^(\tld\.global\.f64 .*\[%\w+)(\+\d+)?\]", r"\1+8]", EITHER),
        Planted("sums for products", MANY, r"^\tmul\.rn\.f64", "\tadd.rn.f64", BITS),
        Planted("results elsewhere", MOMENTS, r"^(\tst\.global\.\S+ \s*\[%\w+)(\+\d+)?\]", r"\1+4096]", CHECKS),
        Planted("values from elsewhere", MOMENTS, r"^(\tld\.global\S* .*\[%\w+)\]", r"\1+4096]", EITHER),
        Planted("shared words elsewhere", MOMENTS, r"^(\tst\.shared\.\S+ \s*\[%\w+)\]", r"\1+8]", CHECKS),
    ),
    "single samples": (
        Planted("no barriers", SINGLE, r"^\tbar\.sync.*", "", CHECKS),
        Planted("another thread's share", SINGLE, r"^\tshfl\.sync\.bfly", "\tshfl.sync.up", BITS),
        Planted("each thread's own intercept", SINGLE, r"^\tshfl\.sync\.idx", "\tshfl.sync.bfly", BITS),
        Planted("two roundings", SINGLE, FMA, _in_two_roundings, BITS),
        Planted("differences", SINGLE, r"^\tadd\.rn\.f32", "\tsub.rn.f32", BITS),
    ),
    "on data": (
        Planted("no barriers", METHOD, r"^\tbar\.warp\.sync.*", "", CHECKS),
        Planted("no state at first", METHOD, r"^\tst\.u32.*", "", EITHER),
        Planted("two roundings", METHOD, FMA, _in_two_roundings, BITS),
        Planted("results elsewhere", METHOD, r"^(\tst\.f32 \s*\[%\w+)(\+\d+)?\]", r"\1+64]", EITHER),
        Planted("no barriers of code", INTERPRETER, r"^\tbar\.warp\.sync.*", "", CHECKS),
        Planted("another thread's share", INTERPRETER, r"^\tshfl\.sync\.bfly", "\tshfl.sync.up", BITS),
        Planted("two roundings of code", INTERPRETER, FMA, _in_two_roundings, BITS),
        Planted("differences", INTERPRETER, r"^\tadd\.rn\.f32", "\tsub.rn.f32", BITS),
    ),
    "programs": (
        Planted("no barriers of warps", PROGRAM, r"^\tbar\.warp\.sync.*", "", CHECKS),
        Planted("no barriers of blocks", PROGRAM, r"^\tbar\.sync.*", "", CHECKS),
        Planted("another thread's share", PROGRAM, r"^\tshfl\.sync\.down", "\tshfl.sync.up", BITS),
        Planted("two roundings", PROGRAM, FMA, _in_two_roundings, BITS),
        Planted("differences", PROGRAM, r"^\tadd\.rn\.f32", "\tsub.rn.f32", BITS),
        Planted("results elsewhere", PROGRAM, r"^(\tst\.f32 \s*\[%\w+)(\+\d+)?\]", r"\1+64]", EITHER),
    ),
}  # fmt: skip


def _each_function(text: str, change: Callable[[str], str]) -> str:
    """The PTX of one file, its kernels and its functions changed."""
    head = r"^\.(?:visible \.entry|func) [^;{]*?^\{"
    return re.sub(head + r".*?^\}", lambda found: change(found[0]), text, flags=re.MULTILINE | re.DOTALL)


def _make_good(folder: Path, ptx: Iterable[Path], launched: str) -> None:
    """The kernels that are launched alone, compiled."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def only_launched(function: str) -> str:
        return "" if function.startswith(".visible") and not re.search(launched, function) else function

    for path in ptx:
        text = path.read_text(encoding="utf-8")
        if re.search(launched, text):
            (folder / path.name).write_text(_each_function(text, only_launched), encoding="utf-8")
    build.make_kernels(sorted(folder.glob("*.ptx")), folder, 1, OPTIONS)


def _plant(planted: Planted, paths: Iterable[Path]) -> bool:
    """Whether a line was changed."""
    done = False
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = _each_function(
            before,
            lambda function: (
                re.sub(planted.pattern, planted.replacement, function, flags=re.MULTILINE)
                if re.search(planted.kernel, function[: function.index("{")])
                else function
            ),
        )
        if before != after:
            path.write_text(after, encoding="utf-8")
            done = True
    return done


def _try(call: str, planted: Planted, folder: Path, good: Path, python: Path, environment: Mapping[str, str]) -> str:
    """What is said of the error, in folder; `good` has the PTX and the compiled kernels without it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good, folder)  # with times, so that only what changes is compiled
    ptx = sorted(folder.glob("*.ptx"))
    if not _plant(planted, ptx):
        return "NOT PLANTED: no line is like that"
    _, library = build.make_kernels(ptx, folder, 1, OPTIONS)
    said = _said(call, library, python, environment)
    shutil.rmtree(folder)
    return said


def _said(call: str, library: Path, python: Path, environment: Mapping[str, str]) -> str:
    """By a call of planted_call."""
    command = [str(python), "-m", "ptx.planted_call", call]
    environment = {**environment, "PTXRUN_KERNELS": str(library)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout.strip() or done.stderr.strip() or "nothing"  # else warnings stand there, of what diverges
    return said.splitlines()[-1]


def check_planted(folder: Path, python: Path, environment: Mapping[str, str], jobs: int) -> bool:
    """Whether each error is found, and none where there is none; prints what is said of each. `folder` has the PTX."""
    environment = {name: value for name, value in environment.items() if name != "PTXRUN_COVERAGE"}
    goods = {call: folder.with_name(f"{folder.name}_planted_{call.replace(' ', '_')}") for call in LAUNCHED}

    def good(call: str) -> bool:
        _make_good(goods[call], sorted(folder.glob("*_float32.ptx")), LAUNCHED[call])
        said = _said(call, goods[call] / "kernels.so", python, environment)
        if said != "equal bits":
            print(f"  WITHOUT AN ERROR: {call}: {said[:110]}", flush=True)
        return said == "equal bits"

    def one(numbered: tuple[int, tuple[str, Planted]]) -> bool:
        number, (call, planted) = numbered
        made = goods[call]
        said = _try(call, planted, made.with_name(f"{made.name}_{number}"), made, python, environment)
        found = re.search(planted.found, said) is not None
        print(f"  {'found' if found else 'NOT FOUND'}: {call}, {planted.name}: {said[:110]}", flush=True)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        every = [(call, planted) for call, several in PLANTED.items() for planted in several]
        return all([*pool.map(good, LAUNCHED), *pool.map(one, enumerate(every))])
