"""Counts the vector instructions of a step by sort, in the machine code of the module, for the benchmark's limits.

    python bench/instructions.py > python/anneal_sgd/benchmark/instructions.json

It needs `objdump` and a module that has kept its symbols. Of |x| on a box: the innermost loops that draw noise and that
take steps; moves between registers, which processors rename, are left out.
"""

from __future__ import annotations

import collections
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from anneal_sgd import _core

CLAMPS = {"avx2": 1, "avx512": 2}  # the Clamp of steps
LANES = {
    "avx2": {"float32": "F32x8", "float64": "F64x4"},
    "avx512": {"float32": "F32x16", "float64": "F64x8"},
}
STRIP = 8  # vectors
VECTOR = {"avx2": "ymm", "avx512": "zmm"}
NOISES = {"rademacher": ("fill_bits", "2"), "gaussian": ("fill_gaussian", "1")}  # who draws, and the NoiseForm of steps
WORD_PRODUCTS = {"float32": 32, "float64": 16}  # of a call of Philox, and up to 4 more
VECTORS_PER_CALL = {"gaussian": {"float32": 4, "float64": 2}, "rademacher": {"float32": 128, "float64": 128}}

# The first that fits says the sort of an instruction; the sorts are those of `CoreWork`, "other" is any other.
SORTS = (
    ("word_product", r"vpmuludq"),
    ("product", r"v(mul|fmadd|fmsub|fnmadd|fnmsub)"),
    ("square_root", r"v(sqrt|div)"),
    ("addition", r"v(add|sub)[ps]"),
    ("maximum", r"v(max|min|range)[ps]"),
    ("shift", r"vps[lr][la]"),
    ("logic", r"vp?(and|or|xor|andn|ternlog)"),
)


class Instruction(NamedTuple):
    address: int
    name: str
    operands: str


def functions(path: str) -> dict[str, list[Instruction]]:
    """All of the module's, by their demangled names."""
    text = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    )
    found: dict[str, list[Instruction]] = {}
    code: list[Instruction] = []
    for line in text.stdout.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            code = found.setdefault(head[1], [])
        elif body := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)$", line):
            code.append(Instruction(int(body[1], 16), body[2], body[3]))
    return found


def innermost_loops(code: list[Instruction]) -> Iterator[list[Instruction]]:
    """Runs of instructions from the target of a branch backwards to the branch, that hold no other and no end."""
    place = {instruction.address: i for i, instruction in enumerate(code)}
    loops = []
    for i, instruction in enumerate(code):
        target = re.match(r"[0-9a-f]+", instruction.operands)
        if re.match("j(?!mp)", instruction.name) and target and place.get(int(target[0], 16), i + 1) <= i:
            loops.append((place[int(target[0], 16)], i))
    for first, last in loops:
        loop = code[first : last + 1]
        outer = any((first, last) != other and first <= other[0] and other[1] <= last for other in loops)
        if not outer and not any(instruction.name == "ret" for instruction in loop):
            yield loop


def sort_of(instruction: Instruction, vector: str) -> Iterator[str]:
    """Of an instruction on vectors: its sort, and what it does with memory."""
    name, operands = instruction.name, instruction.operands
    if not name.startswith("v") or vector not in operands:
        return
    in_memory = "(" in operands
    if in_memory:
        yield "store" if operands.rstrip().endswith(")") else "load"
    is_move = name.startswith("vmov") and "{" not in operands
    if not is_move and not name.startswith(("vbroadcast", "vpbroadcast")):
        yield next((sort for sort, pattern in SORTS if re.match(pattern, name)), "other")


def counted(loop: list[Instruction], vector: str) -> collections.Counter[str]:
    return collections.Counter(sort for instruction in loop for sort in sort_of(instruction, vector))


def hottest(found: dict[str, list[Instruction]], start: str, last: str, vector: str) -> collections.Counter[str]:
    """Of the loops of the one function with such template arguments, that with most instructions on vectors."""
    names = [name for name in found if start in name and name.split(start, 1)[1].split(">(", 1)[0].endswith(last)]
    if len(names) != 1:
        sys.exit(f"{len(names)} functions are named {start}: was the module stripped?")
    counts = [counted(loop, vector) for loop in innermost_loops(found[names[0]])]
    return max(counts, key=lambda count: count.total())


def of_step(found: dict[str, list[Instruction]], isa: str, dtype: str, noise: str) -> dict[str, float]:
    """Of a vector of trajectories: its draw, and the step."""
    lanes, vector = f"anneal_sgd::{isa}::{LANES[isa][dtype]}", VECTOR[isa]
    drawer, form = NOISES[noise]
    integer = {"float32": "unsigned int", "float64": "unsigned long"}[dtype]
    # A pipeline is compiled twice, of which the one that goes to memory less often is nearer to what must be done.
    lasts = [f"{STRIP}, {integer}"] if drawer == "fill_bits" else ["false", "true"]
    loops = [hottest(found, f"{drawer}<{lanes}, ", last, vector) for last in lasts]
    draws = min(loops, key=lambda loop: (loop["load"] + loop["store"]) / loop["word_product"])
    calls = draws["word_product"] // WORD_PRODUCTS[dtype]
    kinds = f"(anneal_sgd::ProblemKind)0, (anneal_sgd::{isa}::NoiseForm){form}"
    clamp = f"(anneal_sgd::{isa}::Clamp){CLAMPS[isa]}"
    step = hottest(found, f"advance_strip<{lanes}, {kinds}, {clamp}, false", f" 1, {STRIP}", vector)
    total = {sort: draws[sort] / (calls * VECTORS_PER_CALL[noise][dtype]) + step[sort] / STRIP for sort in draws | step}
    return {sort: round(count, 3) for sort, count in sorted(total.items())}


def main() -> None:
    found = functions(_core.__file__)
    if any(name.startswith(("__asan", "__tsan", "__ubsan")) for name in found):
        sys.exit("the module is made for a sanitizer, whose code is another")
    counts = {
        isa: {dtype: {noise: of_step(found, isa, dtype, noise) for noise in NOISES} for dtype in LANES[isa]}
        for isa in LANES
    }
    compiler = subprocess.run(["readelf", "-p", ".comment", _core.__file__], capture_output=True, text=True, check=True)
    names = re.findall(r"\]\s+(.*)", compiler.stdout)  # libraries that are linked in come later
    json.dump({"compiler": names[0], "counts": counts}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
