"""Text of LLVM IR for arithmetic on vectors of trajectories: no operation may be contracted, reassociated or guessed.

A `Real` is a number of every trajectory of a few vectors, which go through the same operations side by side; `Bits` are
such numbers as unsigned integers. Both know the operations of the core's lane types, with the same bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

REGISTERS = {"avx2": 16, "avx512": 32, "neon": 32}
_WIDTH = {"avx2": 32, "avx512": 64, "neon": 16}  # bytes of a vector


class Code:
    """Lines of a function in the making, for `together` vectors side by side."""

    def __init__(self, dtype: str, isa: str, together: int) -> None:
        """Begin with none."""
        self.isa, self.together = isa, together
        self.dtype = dtype
        self.size = 4 if dtype == "float32" else 8
        self.width = _WIDTH[isa] // self.size if isa in _WIDTH else 1
        self.real = "float" if dtype == "float32" else "double"
        self.reals, self.integers = f"<{self.width} x {self.real}>", f"<{self.width} x i{8 * self.size}>"
        self.suffix = f"v{self.width}f{8 * self.size}"
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self.rows = 0
        self.block = "entry"
        self._names = 0

    @property
    def text(self) -> str:
        """A module whose function is `steps`."""
        wide = 'attributes #0 = { nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512" }'
        function = ["define void @steps(ptr %arguments) #0 {", "entry:", *self.lines, "}"]
        return "\n".join([*sorted(self.declared), *function, wide])

    def line(self, text: str) -> None:
        """One more."""
        self.lines.append(text)

    def label(self, name: str) -> None:
        """A block begins."""
        self.block = name
        self.lines.append(f"{name}:")

    def named(self, text: str) -> str:
        """The name of a new value."""
        self._names += 1
        name = f"%t{self._names}"
        self.lines.append(f"  {name} = {text}")
        return name

    def take_rows(self, count: int) -> int:
        """The first of so many rows of scratch memory."""
        first = self.rows
        self.rows += count
        return first

    def declare(self, text: str) -> None:
        """A function of another's."""
        self.declared.add(text)

    def constant(self, x: float) -> Real:
        """One number for all, rounded to the dtype."""
        return Real(self, (f"splat ({self.real} {self.literal(x)})",) * self.together)

    def literal(self, x: float) -> str:
        """A number of the dtype as LLVM writes it."""
        return f"0x{struct.unpack('<Q', struct.pack('<d', self.rounded(x)))[0]:016X}"

    def rounded(self, x: float) -> float:
        """To the dtype."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.float32(x)) if self.dtype == "float32" else float(x)

    def bits(self, x: int) -> Bits:
        """One integer for all."""
        return Bits(self, (f"splat (i{8 * self.size} {x})",) * self.together)

    def each(self, operation: str, *operands: Real | Bits) -> tuple[str, ...]:
        """An operation on vector after vector; `{0}` .. stand for the operands."""
        return tuple(self.named(operation.format(*(o.names[v] for o in operands))) for v in range(self.together))

    def called(self, function: str, *operands: Real, more: str = "") -> Real:
        """An intrinsic function of vectors."""
        arguments = ", ".join(f"{self.reals} {{{k}}}" for k in range(len(operands)))
        parameters = ", ".join([self.reals] * len(operands))
        self.declare(f"declare {self.reals} @{function}({parameters})")
        return Real(self, self.each(f"call {self.reals} @{function}({arguments}{more})", *operands))

    # --- memory: rows of vectors, aligned to a vector

    def load(self, pointer: str) -> Real:
        """The vectors from an address on."""
        align = self.width * self.size
        return Real(
            self,
            tuple(self.named(f"load {self.reals}, ptr {p}, align {align}") for p in self._addresses(pointer)),
        )

    def store(self, pointer: str, x: Real) -> None:
        """To an address and after."""
        align = self.width * self.size
        for name, p in zip(x.names, self._addresses(pointer), strict=True):
            self.line(f"  store {self.reals} {name}, ptr {p}, align {align}")

    def store_anywhere(self, pointer: str, x: Real) -> None:
        """To an address that is not aligned to a vector."""
        for name, p in zip(x.names, self._addresses(pointer), strict=True):
            self.line(f"  store {self.reals} {name}, ptr {p}, align {self.size}")

    def _addresses(self, pointer: str) -> list[str]:
        step = self.width * self.size
        return [pointer] + [
            self.named(f"getelementptr i8, ptr {pointer}, i64 {v * step}") for v in range(1, self.together)
        ]

    def spread(self, pointer: str) -> Real:
        """One number in memory, for all."""
        return self.splat(self.named(f"load {self.real}, ptr {pointer}, align {self.size}"))

    def whole(self, integer: str) -> Real:
        """A non-negative integer, rounded, for all."""
        return self.splat(self.named(f"sitofp i64 {integer} to {self.real}"))

    def splat(self, one: str) -> Real:
        """One number for all."""
        first = self.named(f"insertelement {self.reals} poison, {self.real} {one}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        every = self.named(f"shufflevector {self.reals} {first}, {self.reals} poison, {zeros}")
        return Real(self, (every,) * self.together)

    # --- numbers of a vector

    def first_lanes(self, count: int, x: Real, y: Real) -> Real:
        """So many numbers of x in every vector, the others of y."""
        mask = ", ".join(f"i1 {int(k < count)}" for k in range(self.width))
        return Real(
            self, self.each(f"select <{self.width} x i1> <{mask}>, {self.reals} {{0}}, {self.reals} {{1}}", x, y)
        )

    def rotated(self, x: Real, by: int) -> Real:
        """Number k of every vector is its number k + by, counted around."""
        order = ", ".join(f"i32 {(k + by) % self.width}" for k in range(self.width))
        text = f"shufflevector {self.reals} {{0}}, {self.reals} poison, <{self.width} x i32> <{order}>"
        return Real(self, self.each(text, x))

    def first_number(self, x: Real) -> str:
        """Of the first vector."""
        return self.named(f"extractelement {self.reals} {x.names[0]}, i64 0")

    # --- loops

    def loop(
        self, name: str, count: str, carried: Sequence[Real], body: Callable[[str, list[Real]], Sequence[Real]]
    ) -> list[Real]:
        """`body(turn, carried) -> carried` for turns 0 .. count - 1, one at least; what the last one leaves."""
        before, name = self.block, f"{name}.{self._names}"
        self.line(f"  br label %{name}")
        self.label(name)
        turn = self.named("")
        inside = [Real(self, tuple(self.named("") for _ in x.names)) for x in carried]
        begin = len(self.lines)
        after = body(turn, inside)
        following = self.named(f"add i64 {turn}, 1")
        done = self.named(f"icmp eq i64 {following}, {count}")
        self.line(f"  br i1 {done}, label %{name}.end, label %{name}")
        phis = [f"  {turn} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]"]
        for first, now, then in zip(carried, inside, after, strict=True):
            for a, b, c in zip(first.names, now.names, then.names, strict=True):
                phis.append(f"  {b} = phi {self.reals} [ {a}, %{before} ], [ {c}, %{self.block} ]")
        self.lines[begin - len(phis) : begin] = phis
        self.label(f"{name}.end")
        return list(after)


@dataclass(frozen=True)
class Bits:
    """Unsigned integers as wide as the dtype."""

    code: Code
    names: tuple[str, ...]

    def _with(self, operation: str, other: Bits) -> Bits:
        return Bits(self.code, self.code.each(f"{operation} {self.code.integers} {{0}}, {{1}}", self, other))

    def __add__(self, other: Bits) -> Bits:
        return self._with("add", other)

    def __sub__(self, other: Bits) -> Bits:
        return self._with("sub", other)

    def __and__(self, other: Bits) -> Bits:
        return self._with("and", other)

    def __or__(self, other: Bits) -> Bits:
        return self._with("or", other)

    def __xor__(self, other: Bits) -> Bits:
        return self._with("xor", other)

    def __lshift__(self, n: int) -> Bits:
        return self._with("shl", self.code.bits(n))

    def __rshift__(self, n: int) -> Bits:
        return self._with("lshr", self.code.bits(n))

    def shifted(self, n: str) -> Bits:
        """To the left by a number of places that is a value, an i64."""
        code, bits = self.code, 8 * self.code.size
        one = n if bits == 64 else code.named(f"trunc i64 {n} to i{bits}")
        first = code.named(f"insertelement {code.integers} poison, i{bits} {one}, i64 0")
        zeros = f"<{code.width} x i32> zeroinitializer"
        every = code.named(f"shufflevector {code.integers} {first}, {code.integers} poison, {zeros}")
        return Bits(code, code.each(f"shl {code.integers} {{0}}, {every}", self))

    @property
    def real(self) -> Real:
        """The number that has these bits."""
        code = self.code
        return Real(code, code.each(f"bitcast {code.integers} {{0}} to {code.reals}", self))

    @property
    def signed(self) -> Real:
        """The signed integer as a number."""
        code = self.code
        return Real(code, code.each(f"sitofp {code.integers} {{0}} to {code.reals}", self))


@dataclass(frozen=True)
class Real:
    """Numbers of the dtype."""

    code: Code
    names: tuple[str, ...]

    def _with(self, operation: str, other: Real) -> Real:
        return Real(self.code, self.code.each(f"{operation} {self.code.reals} {{0}}, {{1}}", self, other))

    def __add__(self, other: Real) -> Real:
        return self._with("fadd", other)

    def __sub__(self, other: Real) -> Real:
        return self._with("fsub", other)

    def __mul__(self, other: Real) -> Real:
        return self._with("fmul", other)

    def __truediv__(self, other: Real) -> Real:
        return self._with("fdiv", other)

    def __neg__(self) -> Real:
        return Real(self.code, self.code.each(f"fneg {self.code.reals} {{0}}", self))

    @property
    def bits(self) -> Bits:
        """Its bits."""
        code = self.code
        return Bits(code, code.each(f"bitcast {code.reals} {{0}} to {code.integers}", self))


def fma(a: Real, b: Real, c: Real) -> Real:
    """`a * b + c`, rounded once."""
    return a.code.called(f"llvm.fma.{a.code.suffix}", a, b, c)


def root(x: Real) -> Real:
    """Rounded correctly."""
    return x.code.called(f"llvm.sqrt.{x.code.suffix}", x)


def absolute(x: Real) -> Real:
    """Without its sign."""
    return x.code.called(f"llvm.fabs.{x.code.suffix}", x)


def select_less(a: Real, b: Real, x: Real, y: Real) -> Real:
    """`x` where `a < b`, else `y`."""
    return _selected("olt", a, b, x, y)


def max_keep_nan(bound: Real, y: Real) -> Real:
    """`bound` where it is greater, else `y`, a NaN too."""
    return _selected("ogt", bound, y, bound, y)


def min_keep_nan(bound: Real, y: Real) -> Real:
    """`bound` where it is smaller, else `y`, a NaN too."""
    return _selected("olt", bound, y, bound, y)


def _selected(condition: str, a: Real, b: Real, x: Real, y: Real) -> Real:
    code = a.code
    mask = Real(code, code.each(f"fcmp {condition} {code.reals} {{0}}, {{1}}", a, b))
    return Real(
        code,
        code.each(f"select <{code.width} x i1> {{0}}, {code.reals} {{1}}, {code.reals} {{2}}", mask, x, y),
    )


def sign(x: Real) -> Real:
    """-1, 0 or 1; +0 at ±0, NaN at NaN."""
    code = x.code
    if code.isa == "avx512":  # the table of csrc/cpu/lanes_avx512.hpp: NaN stay, 0 is +0, others -1 or 1
        bits, name = 8 * code.size, f"llvm.x86.avx512.mask.fixupimm.p{code.real[0] if code.size == 8 else 's'}.512"
        mask = f"i{code.width}"
        code.declare(f"declare {code.reals} @{name}({code.reals}, {code.reals}, {code.integers}, i32, {mask}, i32)")
        table = f"{code.integers} splat (i{bits} {0xA9A9A800})"
        call = f"call {code.reals} @{name}({code.reals} {{0}}, {code.reals} {{0}}, {table}, i32 0, {mask} -1, i32 4)"
        return Real(code, code.each(call, x))
    one, top = code.constant(1.0), code.bits(1 << (8 * code.size - 1))
    signed = ((x.bits & top) | max_keep_nan(one, min_keep_nan(one, x)).bits).real
    return _selected("oeq", x, code.constant(0.0), code.constant(0.0), signed)


def maximum(x: Real, y: Real) -> Real:
    """The larger; NaN where one of them is, +0 where it is ±0."""
    return (max_keep_nan(x, y).bits | max_keep_nan(y, x).bits).real + x.code.constant(0.0)


def minimum(x: Real, y: Real) -> Real:
    """The smaller; NaN where one of them is, +0 where it is ±0."""
    return (min_keep_nan(x, y).bits | min_keep_nan(y, x).bits).real + x.code.constant(0.0)
