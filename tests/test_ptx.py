"""The executor of PTX (tests/ptx): small kernels with known answers, and every mistake that it is there to find."""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ptx import build
from ptx.parse import Unknown
from ptx.translate import translate

THREADS = 64
HEAD = ".version 8.0\n.target sm_90\n.address_size 64\n"
# What kernels have: %r1 the thread, %rd1 the output, %rd2 the thread's own word of it; `shared`: one word a thread.
KERNEL = """
.visible .entry {name}(
    .param .u64 {name}_param_0
)
.maxntid 64, 1, 1
{{
    .reg .pred %p<4>;
    .reg .b32 %r<16>;
    .reg .f32 %f<8>;
    .reg .b64 %rd<8>;
    .shared .align 4 .b8 words[256];
    mov.u32 %r1, %tid.x;
    ld.param.u64 %rd1, [{name}_param_0];
    mul.wide.u32 %rd3, %r1, 4;
    add.s64 %rd2, %rd1, %rd3;
    mov.u32 %r2, words;
    mad.lo.s32 %r3, %r1, 4, %r2;
    {body}
    ret;
}}
"""
# %r5: the shared word of the thread whose number differs in one bit.
SHARED = """
    st.shared.u32 [%r3], %r1;
    {barrier}
    xor.b32 %r4, %r1, {bit};
    mad.lo.s32 %r5, %r4, 4, %r2;
    ld.shared.u32 %r6, [%r5];
    st.global.u32 [%rd2], %r6;
"""
FLOATS = "mov.f32 %f1, {a}; mov.f32 %f2, {b}; mov.f32 %f3, {c}; {op}; st.global.f32 [%rd2], %f4;"
ONE, EPSILON, NAN = "0f3F800000", "0f34000000", "0f7FC00000"  # EPSILON: 2^-23
GOOD: dict[str, tuple[str, Callable[[int], float]]] = {
    "ids": ("add.s32 %r4, %r1, 100; st.global.u32 [%rd2], %r4;", lambda t: t + 100),
    "block_barrier": (SHARED.format(barrier="bar.sync 0;", bit=32), lambda t: t ^ 32),
    "warp_barrier": (SHARED.format(barrier="bar.warp.sync -1;", bit=1), lambda t: t ^ 1),
    "shuffle_down": (
        "shfl.sync.down.b32 %r4, %r1, 4, 31, -1; st.global.u32 [%rd2], %r4;",
        lambda t: t + 4 if t % 32 < 28 else t,
    ),
    "shuffle_within_8": (  # segments of 8: mask 24, clamp 31
        "shfl.sync.idx.b32 %r4, %r1, 3, 6175, -1; st.global.u32 [%rd2], %r4;",
        lambda t: t // 8 * 8 + 3,
    ),
    "sums_of_shared_words": (
        "mov.u32 %r4, 5; st.shared.u32 [%r3], %r4; bar.sync 0; atom.shared.add.u32 %r6, [%r2], %r1; bar.sync 0;"
        "ld.shared.u32 %r5, [%r2]; st.global.u32 [%rd2], %r5;",
        lambda t: 5 + 63 * 32,
    ),
    "sums_of_global_words": (  # of 64 bits each, with a carry
        "add.s32 %r4, %r1, 2; st.global.u32 [%rd2], %r4; bar.sync 0; shr.u32 %r4, %r1, 1; mul.wide.u32 %rd4, %r4, 8;"
        "add.s64 %rd4, %rd1, %rd4; mov.u64 %rd5, 4294967295; atom.global.add.u64 %rd6, [%rd4], %rd5;",
        lambda t: t + 4 * (t % 2),  # 2^32 (t + 3) + t + 2 in the words of an even t, and twice 2^32 - 1
    ),
    "bits_of_a_field": ("bfe.u32 %r4, %r1, 2, 3; st.global.u32 [%rd2], %r4;", lambda t: t >> 2 & 7),
    "bits_past_the_top": (
        "mov.u64 %rd4, -1; bfe.u64 %rd5, %rd4, 60, 9; cvt.u32.u64 %r4, %rd5; bfe.u32 %r5, %r1, 32, 4;"
        "add.s32 %r4, %r4, %r5; st.global.u32 [%rd2], %r4;",
        lambda t: 15,
    ),
    "shift_by_more": ("mov.u32 %r4, 40; shl.b32 %r5, %r1, %r4; st.global.u32 [%rd2], %r5;", lambda t: 0),
    "predicated": (
        "setp.lt.s32 %p1, %r1, 3; selp.b32 %r4, 7, 9, %p1; st.global.u32 [%rd2], %r4;",
        lambda t: 7 if t < 3 else 9,
    ),
    "saturated": (
        "mov.f32 %f1, 0f501502F9; cvt.rzi.s32.f32 %r4, %f1; st.global.u32 [%rd2], %r4;",  # 10^10
        lambda t: 2**31 - 1,
    ),
    # (1 + e)(1 - e) - 1 = -e^2, of which two roundings leave 0.
    "fused": (
        FLOATS.format(a="0f3F800001", b="0f3F7FFFFE", c="0fBF800000", op="fma.rn.f32 %f4, %f1, %f2, %f3"),
        lambda t: _bits(-(2.0**-46)),
    ),
    "in_two_roundings": (
        FLOATS.format(
            a="0f3F800001", b="0f3F7FFFFE", c="0fBF800000", op="mul.rn.f32 %f5, %f1, %f2; add.rn.f32 %f4, %f5, %f3"
        ),
        lambda t: 0,
    ),
    "max_gives_way": (FLOATS.format(a=NAN, b=ONE, c=ONE, op="max.f32 %f4, %f1, %f2"), lambda t: _bits(1.0)),
    "max_keeps_nan": (FLOATS.format(a=NAN, b=ONE, c=ONE, op="max.NaN.f32 %f4, %f1, %f2"), lambda t: 0x7FFFFFFF),
    "subnormal": (
        FLOATS.format(a="0f00800000", b="0f3F000000", c=ONE, op="mul.rn.f32 %f4, %f1, %f2"),
        lambda t: 0x00400000,
    ),
}
UNORDERED = "RACE: shared|UNINITIALISED shared"
BAD = {
    "no_barrier": (SHARED.format(barrier="", bit=1), UNORDERED),
    "barrier_of_the_warp_alone": (SHARED.format(barrier="bar.warp.sync -1;", bit=32), UNORDERED),
    "read_while_written": (
        SHARED.format(barrier="bar.sync 0;", bit=1) + "st.shared.u32 [%r3], %r1;",
        "RACE: shared (write after read|read after write)",
    ),
    "read_while_added_to": (
        SHARED.format(barrier="bar.sync 0;", bit=1) + "atom.shared.add.u32 %r4, [%r3], 1;",
        "RACE: shared (write after read|read after write)",
    ),
    "added_to_what_another_writes": (
        "st.shared.u32 [%r3], %r1; atom.shared.add.u32 %r4, [%r2], 1;",
        "RACE: shared write after write|UNINITIALISED shared",
    ),
    "added_to_nothing": ("red.global.add.u32 [%rd1], %r1;", "UNINITIALISED global read"),
    "past_the_end": ("st.global.u32 [%rd2+256], %r1;", "OUT OF BOUNDS global write"),
    "before_the_begin": ("ld.global.u32 %r4, [%rd1+-4];", "OUT OF BOUNDS global read"),
    "past_shared": ("st.shared.u32 [%r3+4], %r1;", "OUT OF BOUNDS shared write|RACE"),
    "not_written": ("ld.global.u32 %r4, [%rd2];", "UNINITIALISED global read"),
    "misaligned": ("st.global.u32 [%rd2+2], %r1;", "MISALIGNED"),
    "blocks_write_one_word": (
        "setp.ne.s32 %p1, %r1, 0; @%p1 ret; st.global.u32 [%rd1], %r1;",
        "RACE: global writes of two blocks",
    ),
    "divergent_barrier": (
        "setp.lt.s32 %p1, %r1, 16; @%p1 bra $L_one;\nbar.sync 0; bra.uni $L_two;\n$L_one:\n    bar.sync 0;\n$L_two:\n",
        "BARRIER reached at different places",
    ),
    "barrier_without_all": ("setp.eq.s32 %p1, %r1, 0; @%p1 ret; bar.sync 0;", "DEADLOCK"),
    "shuffle_without_all": ("setp.eq.s32 %p1, %r1, 0; @%p1 ret; shfl.sync.bfly.b32 %r4, %r1, 1, 31, -1;", "DEADLOCK"),
}
needs_compiler = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or shutil.which(build.compiler()) is None,
    reason="the engine is for g++ on x86-64",
)


def _bits(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


def write(folder: Path, bodies: dict[str, str]) -> Path:
    path = folder / "kernels.ptx"
    path.write_text(
        HEAD + "".join(KERNEL.format(name=name, body=body) for name, body in bodies.items()), encoding="utf-8"
    )
    return path


class Engine:
    """The engine, with the kernels of GOOD and BAD."""

    def __init__(self, folder: Path, order: int) -> None:
        self._library = ctypes.CDLL(str(folder / "launcher.so"))
        self._library.new_memory.restype = ctypes.c_uint64
        self._library.new_memory.argtypes = [ctypes.c_uint64]
        self._library.launch_kernel.restype = ctypes.c_char_p
        self._library.launch_kernel.argtypes = [ctypes.c_char_p, *[ctypes.c_uint32] * 3, ctypes.c_uint64]
        assert self._library.open_library(str(folder / "kernels.so").encode(), order)

    def launch(self, name: str, blocks: int = 1) -> tuple[str, NDArray[np.uint32]]:
        """What went wrong, and what the kernel wrote."""
        memory = self._library.new_memory(4 * THREADS)
        wrong = self._library.launch_kernel(name.encode(), blocks, THREADS, 0, memory)
        return wrong.decode(), np.array((ctypes.c_uint32 * THREADS).from_address(memory))


@pytest.fixture(scope="module", params=[0, 1, 2], ids=["forwards", "backwards", "at random"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.getbasetemp() / "ptx"
    if not folder.exists():
        folder.mkdir()
        bodies = {name: body for name, (body, _) in (*GOOD.items(), *BAD.items())}
        build.make_kernels([write(folder, bodies)], folder, jobs=2)
        sources = [build.HERE / "engine.cpp", build.HERE / "launcher.cpp"]
        launcher = folder / "launcher.so"
        build.command(build.compiler(), *build.RUNTIME_OPTIONS, "-shared", "-o", launcher, *sources, "-ldl")
    # A copy for each order: a library that is loaded twice is loaded once.
    mine = folder / str(request.param)
    mine.mkdir()
    for name in ("kernels.so", "launcher.so"):
        shutil.copy(folder / name, mine)
    return Engine(mine, request.param)


@needs_compiler
@pytest.mark.parametrize("name", GOOD)
def test_known_answers(engine: Engine, name: str) -> None:
    wrong, found = engine.launch(name)
    assert wrong == ""
    np.testing.assert_array_equal(found, np.array([GOOD[name][1](t) for t in range(THREADS)], np.uint32))


@needs_compiler
@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_found(engine: Engine, name: str) -> None:
    wrong, _ = engine.launch(name, blocks=2 if "blocks" in name else 1)
    assert re.match(f"({BAD[name][1]})", wrong), wrong
    assert f"{name} line" in wrong or f"in {name}," in wrong


REFUSED = [
    "add.f32 %f1, %f2, %f3",
    "fma.f32 %f1, %f2, %f3, %f3",
    "add.ftz.f32 %f1, %f2, %f3",
    "mul.rn.ftz.f32 %f1, %f2, %f3",
    "div.full.f32 %f1, %f2, %f3",
    "div.approx.f32 %f1, %f2, %f3",
    "sqrt.approx.f32 %f1, %f2",
    "rsqrt.approx.f32 %f1, %f2",
    "ex2.approx.f32 %f1, %f2",
    "add.rz.f32 %f1, %f2, %f3",
    "add.rn.sat.f32 %f1, %f2, %f3",
    "bar.sync 0, 32",
    "bar.red.popc.u32 %r1, 0, %p1",
    "ld.local.u32 %r4, [%rd1]",
    "ld.volatile.global.u32 %r4, [%rd1]",
    "shfl.down.b32 %r4, %r1, 1, 31",
    "setp.lt.and.s32 %p1, %r1, %r2, %p2",
    "atom.global.exch.b32 %r4, [%rd1], %r1",
    "red.global.add.f32 [%rd1], %f1",
    "bra.multi $L_one",
    "call.uni missing, ()",
    "mov.u32 %r4, %clock",
]


@pytest.mark.parametrize("instruction", REFUSED)
def test_what_is_not_known_is_refused(tmp_path: Path, instruction: str) -> None:
    with pytest.raises(Unknown, match=re.escape(instruction.split(",")[0]) + "|missing"):
        translate([write(tmp_path, {"kernel": instruction + ";"})], tmp_path)


@pytest.mark.parametrize("directive", [".const .b32 x;", ".global .b32 x;", ".extern .func f();", ".weak_alias a, b;"])
def test_what_a_module_declares_is_known_or_refused(tmp_path: Path, directive: str) -> None:
    path = write(tmp_path, {"kernel": ""})
    path.write_text(path.read_text() + directive + "\n")
    with pytest.raises(Unknown):
        translate([path], tmp_path)


def test_the_one_approximate_square_root_is_taken(tmp_path: Path) -> None:
    made = translate([write(tmp_path, {"kernel": "rsqrt.approx.ftz.f32 %f1, %f2;"})], tmp_path)
    assert made.opcodes["rsqrt.approx.ftz.f32"] == 1
