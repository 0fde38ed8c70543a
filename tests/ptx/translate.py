"""PTX to C++ over instructions.hpp: one source per kernel, and a table of them for the engine.

What is not known is `Unknown`, as is an instruction whose result PTX leaves to the hardware or to ptxas; an instruction
without a function in instructions.hpp does not compile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ptx.parse import BYTES, Function, Module, Statement, Unknown, module, operands

REGISTER = {f"{kind}{bits}": f"u{bits}" for kind in "busf" for bits in (8, 16, 32, 64)} | {"pred": "bool"}
# In memory; a load of a signed number extends its sign.
MEMORY = {name: name if name.startswith("s") else f"u{8 * size}" for name, size in BYTES.items()}
SPECIAL = {
    "%tid.x": "ptx_env->tid",
    "%ntid.x": "ptx_env->ntid",
    "%ctaid.x": "ptx_env->ctaid",
    "%nctaid.x": "ptx_env->nctaid",
    "%laneid": "(ptx_env->tid & 31)",
}
# What there is most of, as C++'s own operators: it compiles in half the time.
OPERATORS = {
    f"{op}.{kind}{bits}": operator
    for op, operator, kinds in (
        ("add", "+", "us"),
        ("sub", "-", "us"),
        ("mul.lo", "*", "us"),
        ("and", "&", "b"),
        ("or", "|", "b"),
        ("xor", "^", "b"),
    )
    for kind in kinds
    for bits in (32, 64)
}
INEXACT = re.compile(r"\.ftz|\.approx|\.full|\.sat\b|\.r[zmp]\.f(32|64)|^(ex2|lg2|sin|cos|tanh)\b")
INEXACT_BUT_REFINED = {"rsqrt.approx.ftz.f32"}  # by sqrt_normal of core/lanes_plain.hpp
UNROUNDED = re.compile(r"(add|sub|mul|mad|fma|div|sqrt|rcp)\.f(32|64)$")
REGISTER_RANGE = re.compile(r"(%\w+)<(\d+)>")
POISON = "0xfff0dead0badfeedull"  # of registers that were not written


@dataclass(frozen=True)
class Block:
    """A basic block: where it begins in the PTX, and its instructions."""

    line: int
    instructions: int


@dataclass(frozen=True)
class Kernel:
    name: str
    ptx: str  # the file's name
    source: Path
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Translation:
    target: str
    kernels: tuple[Kernel, ...]
    table: Path
    opcodes: dict[str, int]  # how often each instruction occurs

    @property
    def sources(self) -> list[Path]:
        return [self.table, *(kernel.source for kernel in self.kernels)]


def translate(paths: Sequence[Path], folder: Path) -> Translation:
    """C++ in `folder` of all kernels in the files, which are of one target."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = [module(path) for path in paths]
    targets = {m.target for m in modules}
    if len(targets) != 1:
        raise Unknown(f"targets {sorted(targets)}: one is expected")
    kernels: list[Kernel] = []
    entries: list[str] = []
    opcodes: dict[str, int] = {}
    for m in modules:
        translated = {f.name: _Body(m, f) for f in m.functions}
        for body in translated.values():
            for op, count in body.opcodes.items():
                opcodes[op] = opcodes.get(op, 0) + count
        for body in translated.values():
            if not body.function.is_kernel:
                continue
            used = _reached(body, translated)
            kernel, entry = _write_kernel(used, m, folder)
            kernels.append(kernel)
            entries.append(entry)
    table = folder / "table.cpp"
    _write(table, _table(targets.pop(), kernels, entries))
    return Translation(modules[0].target, tuple(kernels), table, opcodes)


def _reached(kernel: _Body, translated: dict[str, _Body]) -> list[_Body]:
    """The kernel and the functions that it calls, directly or not."""
    used = [kernel]
    for body in used:
        for name in sorted(body.called):
            if name not in translated:
                raise Unknown(f"{body.where}: a call of {name}, which is not in the file")
            if translated[name] not in used:
                used.append(translated[name])
    return used


def _write_kernel(used: list[_Body], m: Module, folder: Path) -> tuple[Kernel, str]:
    kernel, *helpers = used
    function = kernel.function
    if any(body.static_shared for body in helpers):
        raise Unknown(f"{kernel.where}: shared memory that a function declares")
    if len(function.parameters) != 1:
        raise Unknown(f"{kernel.where}: {len(function.parameters)} parameters: one is expected")
    blocks = tuple(block for body in used for block in body.blocks)
    name = function.name
    text = [
        '#include "instructions.hpp"',
        f"constexpr u32 dynamic_shared = shared_window + {-(-kernel.static_shared // 16) * 16};",
        f"u8 covered_{name}[{len(blocks)}];",
        *(f"{body.signature};" for body in helpers),
    ]
    first = 0
    for body in used:
        text.append(body.text(f"covered_{name} + {first}"))
        first += len(body.blocks)
    source = folder / f"{name}.cpp"
    _write(source, "\n".join(text))
    numbers = f"{function.parameters[0].size}, {kernel.static_shared}, {function.most_threads}"
    entry = f'{{"{name}", kernel_{name}, {numbers}, covered_{name}, {len(blocks)}}}'
    return Kernel(name, m.path.name, source, blocks), entry


def _table(target: str, kernels: Sequence[Kernel], entries: Sequence[str]) -> str:
    return "\n".join(
        [
            '#include "instructions.hpp"',
            "Env* ptx_env;",
            *(f"void kernel_{kernel.name}(u8*); extern u8 covered_{kernel.name}[];" for kernel in kernels),
            "static const KernelEntry entries[] = {",
            *(f"    {entry}," for entry in entries),
            "};",
            'extern "C" __attribute__((visibility("default"))) const KernelLibrary ptx_library = '
            f'{{"{target}", &ptx_env, entries, {len(kernels)}}};\n',
        ]
    )


def _write(path: Path, text: str) -> None:
    """Only where it is new, so that what is compiled already stays so."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


class _Body:
    """A function on its way to C++."""

    def __init__(self, m: Module, function: Function) -> None:
        self.function = function
        self.where = f"{m.path}: {function.name}"
        self.called: set[str] = set()
        self.static_shared = 0  # bytes
        self.opcodes: dict[str, int] = {}
        self._lines: list[str] = []
        self._declared: list[str] = []
        self._types: dict[str, str] = {}  # of C++ variables
        self._scopes: list[dict[str, str]] = [{}]  # PTX register -> C++ variable
        self._begins: list[int] = []
        self._counts: list[int] = []
        self._buffers = {p.name: f"p{i}" for i, p in enumerate(function.parameters)}  # in the space of parameters
        self._buffers |= {p.name: "returned" for p in function.returned}
        self._shared = dict.fromkeys(m.dynamic_shared, "dynamic_shared")  # symbol -> its address as ld.shared sees it
        self._begin_block(function.line)
        for statement in function.statements:
            try:
                self._take(statement)
            except (Unknown, KeyError, ValueError, IndexError) as error:
                raise Unknown(f"{m.path}:{statement.line}: {statement.text[:120]}: {error!r}") from error

    @property
    def blocks(self) -> list[Block]:
        return [Block(line, count) for line, count in zip(self._begins, self._counts, strict=True)]

    @property
    def signature(self) -> str:
        if self.function.is_kernel:
            return f"void kernel_{self.function.name}(u8* p0)"
        parameters = ["u8* returned", *(f"u8* p{i}" for i in range(len(self.function.parameters)))]
        return f"static void fn_{self.function.name}({', '.join(parameters)})"

    def text(self, covered: str) -> str:
        return "\n".join(
            [self.signature + " {", f"    u8* const covered = {covered};", *self._declared, *self._lines, "}\n"]
        )

    # --- names

    def _declare(self, name: str, kind: str) -> None:
        cpp = "v_" + re.sub(r"\W", "_", name)
        if len(self._scopes) > 1:
            cpp += f"_s{len(self._declared)}"
        self._scopes[-1][name] = cpp
        self._types[cpp] = REGISTER[kind]
        value = "false" if kind == "pred" else f"{REGISTER[kind]}({POISON})"
        self._declared.append(f"    {REGISTER[kind]} {cpp} = {value};")

    def _variable(self, name: str) -> str:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise Unknown(f"register {name}")

    def _is_register(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _operand(self, text: str) -> str:
        """In C++."""
        if text.startswith("!"):
            return "!" + self._operand(text[1:])
        if re.fullmatch(r"0[fF][0-9A-Fa-f]{8}", text):
            return f"u32(0x{text[2:]}u)"
        if re.fullmatch(r"0[dD][0-9A-Fa-f]{16}", text):
            return f"u64(0x{text[2:]}ull)"
        if re.fullmatch(r"-\d+", text):
            return f"Imm{{(long long)(0-{text[1:]}ull)}}"
        if re.fullmatch(r"\d+|0[xX][0-9A-Fa-f]+U?", text):
            return f"Imm{{(long long)({text.rstrip('U')}ull)}}"
        if text in SPECIAL:
            return SPECIAL[text]
        if self._is_register(text):
            return self._variable(text)
        if text in self._shared:
            return f"u32({self._shared[text]})"
        if text in self._buffers:
            return f"u64({self._buffers[text]})"
        raise Unknown(f"operand {text}")

    def _type(self, cpp: str) -> str | None:
        """Of an operand that is a register."""
        return self._types.get(cpp)

    # --- statements

    def _begin_block(self, line: int) -> None:
        self._lines.append(f"    covered[{len(self._begins)}] = 1;")
        self._begins.append(line)
        self._counts.append(0)

    def _take(self, statement: Statement) -> None:
        line, text = statement.line, statement.text
        if text == "{":
            self._scopes.append({})
            self._lines.append("    {")
        elif text == "}":
            self._scopes.pop()
            self._lines.append("    }")
        elif text.endswith(":"):
            self._lines.append(f"L{text[:-1].replace('$', '_')}:")
            self._begin_block(line)
        elif text.startswith("."):
            self._take_declaration(text)
        else:
            self._take_instruction(line, text)

    def _take_declaration(self, text: str) -> None:
        space = text.split(None, 1)[0]
        if space == ".reg":
            _, kind, names = text.split(None, 2)
            for name in operands(names):
                several = REGISTER_RANGE.fullmatch(name)
                numbered = [f"{several[1]}{i}" for i in range(int(several[2]))] if several else [name]
                for register in numbered:
                    self._declare(register, kind[1:])
        elif space in (".param", ".shared"):
            found = re.fullmatch(r"\.\w+ (?:\.align (\d+) )?\.(\w+) ([\w$]+)(?:\[(\d+)\])?", text)
            if found is None:
                raise Unknown("declaration")
            align, kind, name, count = found.groups()
            size = BYTES[kind] * int(count or 1)
            if space == ".param":  # of a call
                cpp = f"b{len(self._declared)}_{name}"
                self._declared.append(f"    alignas(16) u8 {cpp}[{size}];")
                self._buffers[name] = cpp
            else:
                step = int(align or BYTES[kind])
                begin = -(-self.static_shared // step) * step
                self._shared[name] = f"shared_window + {begin}"
                self.static_shared = begin + size
        elif space != ".pragma":
            raise Unknown("declaration")

    def _take_instruction(self, line: int, text: str) -> None:
        self._counts[-1] += 1
        guard = ""
        if found := re.match(r"@(!?)([%\w]+)\s+(.*)", text):
            guard = f"if ({found[1]}{self._variable(found[2])}) "
            text = found[3]
        op, _, rest = text.partition(" ")
        self.opcodes[op] = self.opcodes.get(op, 0) + 1
        if INEXACT.search(op) and op not in INEXACT_BUT_REFINED:
            raise Unknown("an instruction whose result is not the correctly rounded one")
        if UNROUNDED.fullmatch(op):
            raise Unknown("floating point without a rounding mode: ptxas may contract it")
        kind = op.split(".", 1)[0]
        write = self._special.get(kind)
        code = write(self, line, op, rest.strip()) if write else self._plain(op, operands(rest))
        self._lines.append(f"    {guard}{{ {code} }}" if guard else f"    {code}")
        if guard and kind == "bra":
            self._begin_block(line)

    # --- instructions

    def _plain(self, op: str, o: list[str]) -> str:
        """target = f(operands), with a function of instructions.hpp named after the instruction."""
        if op.startswith("setp") and (len(o) != 3 or op.count(".") != 2 or "|" in o[0]):
            raise Unknown("setp")
        target, x = self._variable(o[0]), [self._operand(a) for a in o[1:]]
        width, widths = self._type(target), [self._type(a) for a in x]
        if op in OPERATORS and widths == [width, width]:
            return f"{target} = {x[0]} {OPERATORS[op]} {x[1]};"
        shift = re.fullmatch(r"(shl|shr)\.[bu](32|64)", op)
        if shift and widths[0] == width and re.fullmatch(r"\d+", o[2]) and int(o[2]) < int(shift[2]):
            return f"{target} = {x[0]} {'<<' if shift[1] == 'shl' else '>>'} {o[2]};"
        if op == "mul.wide.u32" and widths == ["u32", "u32"]:
            return f"{target} = u64({x[0]}) * {x[1]};"
        return f"{target} = {op.replace('.', '_')}({', '.join(x)});"

    def _branch(self, line: int, op: str, rest: str) -> str:
        if op not in ("bra", "bra.uni"):
            raise Unknown("branch")
        return f"goto L{rest.replace('$', '_')};"

    def _return(self, line: int, op: str, rest: str) -> str:
        if op == "exit" and not self.function.is_kernel:
            raise Unknown("exit in a function")
        return "return;"

    def _barrier(self, line: int, op: str, rest: str) -> str:
        if op == "bar.warp.sync":
            return f"ptx_env->warp_barrier({self._operand(rest)}, {line});"
        if op not in ("bar.sync", "barrier.sync") or "," in rest:
            raise Unknown("barrier")
        return f"ptx_env->barrier({self._operand(rest)}, {line});"

    def _call(self, line: int, op: str, rest: str) -> str:
        found = re.fullmatch(r"(?:\(([\w$]+)\)\s*,\s*)?([\w$]+)\s*,\s*\(([^)]*)\)", rest)
        if op not in ("call", "call.uni") or found is None:
            raise Unknown("call")
        self.called.add(found[2])
        returned = self._buffers[found[1]] if found[1] else "nullptr"
        return f"fn_{found[2]}({', '.join([returned, *(self._buffers[a] for a in operands(found[3]))])});"

    def _memory(self, line: int, op: str, rest: str) -> str:
        load, *words = op.split(".")
        space, vector, kind = "generic", 1, ""
        for word in words:
            if word in ("global", "shared", "param"):
                space = word
            elif word in ("v2", "v4"):
                vector = int(word[1])
            elif word in MEMORY:
                kind = word
            elif word not in ("nc", "weak"):
                raise Unknown(word)
        first, second = operands(rest)
        address, register = (second, first) if load == "ld" else (first, second)
        values = operands(register[1:-1]) if register.startswith("{") else [register]
        if len(values) != vector:
            raise Unknown("vector")
        memory, size = MEMORY[kind], BYTES[kind]
        at = self._address(address, space, size * vector, "reads" if load == "ld" else "writes", line)
        code = f"{{ u8* const at = {at}; "
        for i, value in enumerate(values):
            if load == "ld":
                code += f"ld<{memory}>({self._variable(value)}, at + {i * size}); "
            else:
                x = self._operand(value)
                code += f"st<{memory}>(at + {i * size}, {f'u{max(32, 8 * size)}({x})' if x.startswith('Imm') else x}); "
        return code + "}"

    def _sum(self, line: int, op: str, rest: str) -> str:
        """Atomic, of integers. What was there before depends on the order of threads: it must not be used."""
        found = re.fullmatch(r"(?:red|atom)\.(global|shared)\.add\.(u32|u64)", op)
        if found is None:
            raise Unknown("atomic")
        *before, address, x = operands(rest)
        at = self._address(address, found[1], BYTES[found[2]], "adds", line)
        forgotten = "".join(f" {self._variable(name)} = {found[2]}({POISON});" for name in before)
        return f"red_add<{found[2]}>({at}, {self._operand(x)});{forgotten}"

    def _address(self, text: str, space: str, size: int, how: str, line: int) -> str:
        """A pointer to what is accessed, which the engine has checked unless it is a parameter by name."""
        found = re.fullmatch(r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?\d+))?\s*\]", text)
        if found is None:
            raise Unknown(f"address {text}")
        base, offset = found[1], int(found[2] or 0)
        if base in self._buffers:
            if space != "param":
                raise Unknown("a parameter in another space")
            return f"{self._buffers[base]} + {offset}"
        if not self._is_register(base):
            if space != "shared":
                raise Unknown("address of a symbol")
            where = f"u64({self._shared[base]} + {offset})"
        elif self._type(self._variable(base)) == "u64":
            where = f"{self._variable(base)} + u64({offset}ll)"
        elif space == "shared":
            where = f"u64(u32({self._variable(base)} + u32({offset})))"
        else:
            raise Unknown("32-bit address")
        return f"ptx_env->access({where}, {size}, in_{space}, {how}, {line})"

    def _generic_address(self, line: int, op: str, rest: str) -> str:
        o = operands(rest)
        words = op.split(".")
        target, x = self._variable(o[0]), self._operand(o[1])
        if "shared" in words:
            to = "to" in words
            a, b = ("u64(ptx_env->shared)", "shared_window") if to else ("shared_window", "u64(ptx_env->shared)")
            return f"{target} = {x} - {a} + {b};"
        if "global" in words or "param" in words:
            return f"{target} = {x};"
        raise Unknown("cvta")

    def _shuffle(self, line: int, op: str, rest: str) -> str:
        found = re.fullmatch(r"shfl\.sync\.(up|down|bfly|idx)\.b32", op)
        if found is None:
            raise Unknown("shuffle")
        both, *o = operands(rest)
        target, _, predicate = both.partition("|")
        in_range = f"&{self._variable(predicate)}" if predicate else "nullptr"
        arguments = ", ".join(self._operand(x) for x in o)
        return f"{self._variable(target)} = ptx_env->shuffle(shuffle_{found[1]}, {arguments}, {in_range}, {line});"

    def _move(self, line: int, op: str, rest: str) -> str:
        to, x = operands(rest)
        if to.startswith("{") or x.startswith("{"):
            if op != "mov.b64":
                raise Unknown("mov of a vector")
            if x.startswith("{"):
                low, high = (self._operand(part) for part in operands(x[1:-1]))
                return f"{self._variable(to)} = u64(u32({high})) << 32 | u32({low});"
            halves = zip(operands(to[1:-1]), ("whole", "whole >> 32"), strict=True)
            parts = [f"{self._variable(part)} = u32({half});" for part, half in halves if part != "_"]
            return f"{{ const u64 whole = {self._operand(x)}; {' '.join(parts)} }}"
        target, source = self._variable(to), self._operand(x)
        if x in self._shared or x in self._buffers or self._type(source) == self._type(target):
            return f"{target} = {source};"
        return f"{target} = mov_{op.split('.')[1]}({source});"

    def _convert(self, line: int, op: str, rest: str) -> str:
        to, x = operands(rest)
        target, source = self._variable(to), self._operand(x)
        width = self._type(target)
        if op in ("cvt.u32.u64", "cvt.u64.u32") and [width, self._type(source)] == op.split(".")[1:]:
            return f"{target} = {width}({source});"
        return f"{target} = {op.replace('.', '_')}<{width}>({source});"

    _special: ClassVar[dict[str, Callable[[_Body, int, str, str], str]]] = {
        "bra": _branch,
        "ret": _return,
        "exit": _return,
        "bar": _barrier,
        "barrier": _barrier,
        "call": _call,
        "ld": _memory,
        "st": _memory,
        "red": _sum,
        "atom": _sum,
        "cvta": _generic_address,
        "shfl": _shuffle,
        "mov": _move,
        "cvt": _convert,
    }
