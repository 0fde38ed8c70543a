"""What every CUDA kernel takes of a multiprocessor, as ptxas reports it: registers, stack, spills, shared memory.

python bench/kernel_resources.py [--arch sm_90] [--check]

Prints the table of bench/KERNEL_RESOURCES.md, or with --check compares: no kernel may spill or keep an array in local
memory; with the compiler of the table, nothing may differ. Needs nvcc, no GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from anneal_sgd import _core

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "bench" / "KERNEL_RESOURCES.md"
SOURCES = tuple(
    f"{family}_{dtype}.cu"
    for family in ("kernels", "program_kernels", "data_kernels")
    for dtype in ("float32", "float64")
)
# As in CMakeLists.txt, where they decide about bits.
OPTIONS = ("--fmad=false", "--expt-relaxed-constexpr")
PROBLEMS = [kind.name for kind in _core.ProblemKind]  # in the order of their numbers in a kernel's name
NOISES = [kind.name for kind in _core.NoiseKind]
STEPS = ("step", "single step", "method's step")  # in the order of DataWork (csrc/cuda/launch.hpp)


@dataclass(frozen=True, order=True)
class Resources:
    dtype: str
    kernel: str
    registers: int
    stack: int
    spills: int
    shared: int


def nvcc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Without what a sanitizer preloads, under which it fails."""
    own = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(["nvcc", *arguments], env=own, capture_output=True, text=True, check=True)


def compiler() -> str:
    """The version of nvcc; FileNotFoundError without one."""
    text = nvcc("--version").stdout
    found = re.search(r"V(\d+\.\d+\.\d+)", text)
    return found[1] if found else "unknown"


def report(source: str, arch: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-std=c++17", *OPTIONS, f"-arch={arch}", "-Xptxas", "-v", "-cubin"]
        arguments += ["-o", os.path.join(folder, "kernels.cubin"), str(ROOT / "csrc" / "cuda" / source)]
        return nvcc(*arguments).stderr


def parse(text: str) -> list[Resources]:
    """ptxas prints for each entry function its name, then stack and spills, its own and those of functions that it
    calls, and its registers and shared memory.
    """
    found = []
    for entry in text.split("Compiling entry function '")[1:]:
        numbers = {
            name: sum(map(int, re.findall(pattern, entry)))
            for name, pattern in {
                "registers": r"Used (\d+) registers",
                "stack": r"(\d+) bytes stack frame",
                "stores": r"(\d+) bytes spill stores",
                "loads": r"(\d+) bytes spill loads",
                "shared": r"(\d+) bytes smem",
            }.items()
        }
        name = entry.split("'", 1)[0]
        dtype = "float32" if "kernelIf" in name else "float64"
        if kinds := re.search(r"ProblemKindE(\d+)E.*NoiseKindE(\d+)E.*Lb(\d)E", name):
            problem, noise = PROBLEMS[int(kinds[1])], NOISES[int(kinds[2])]
            kernel = f"{problem}, {noise}" + (", ball" if kinds[3] == "1" else "")
        elif work := re.search(r"step_kernelI.*DataWorkE(\d)E", name):
            kernel = f"data, {STEPS[int(work[1])]}"
        else:
            kernel = next(
                word for word in ("moments", "program", "metric", "record", "point") if f"{word}_kernel" in name
            )
            kernel = f"data, {kernel}" if kernel in ("record", "point") else kernel
        spills = numbers["stores"] + numbers["loads"]
        found.append(Resources(dtype, kernel, numbers["registers"], numbers["stack"], spills, numbers["shared"]))
    return found


def measure(arch: str) -> list[Resources]:
    with ThreadPoolExecutor() as pool:
        return sorted(r for text in pool.map(lambda source: report(source, arch), SOURCES) for r in parse(text))


def table(rows: list[Resources], arch: str) -> str:
    lines = [
        "# What the CUDA kernels take",
        "",
        f"`python bench/kernel_resources.py --arch {arch}` with nvcc {compiler()}. Blocks have 256 threads.",
        "Bytes; shared memory without a ball's dynamic part. Stack and spills must be 0.",
        "",
        "| dtype | kernel | registers | stack | spills | shared |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {r.dtype} | {r.kernel} | {r.registers} | {r.stack} | {r.spills} | {r.shared} |" for r in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = measure(options.arch)
    text = table(rows, options.arch)
    if not options.check:
        print(text, end="")
        return 0
    spilling = [r for r in rows if r.stack or r.spills]
    for r in spilling:
        print(f"{r.dtype} {r.kernel}: {r.stack} bytes of stack, {r.spills} of spills", file=sys.stderr)
    kept = TABLE.read_text()
    same = text == kept or f"nvcc {compiler()}." not in kept
    if not same:
        print(f"{TABLE.name} is not what this compiler reports: run python {Path(__file__).name}", file=sys.stderr)
    return 1 if spilling or not same else 0


if __name__ == "__main__":
    sys.exit(main())
