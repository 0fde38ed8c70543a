"""PTX as nvcc writes it, taken apart: a module's functions, their parameters and their statements.

What it does not expect is an error, `Unknown`, that names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BYTES = {f"{kind}{bits}": bits // 8 for kind in "busf" for bits in (8, 16, 32, 64)}
MOST_THREADS = 1024  # of a block, on every GPU
# Directives of a module that functions() or module() reads, or that say nothing about results.
KNOWN_DIRECTIVES = (
    r"\.(version|target|address_size|extern \.shared|visible|weak|func|entry|maxntid|minnctapersm|pragma)\b"
)


class Unknown(Exception):
    """What is not known how to execute."""


@dataclass(frozen=True)
class Statement:
    """A declaration, an instruction without its semicolon, 'label:', '{' or '}'."""

    line: int
    text: str


@dataclass(frozen=True)
class Parameter:
    name: str
    size: int  # bytes


@dataclass(frozen=True)
class Function:
    name: str
    is_kernel: bool
    parameters: tuple[Parameter, ...]
    returned: tuple[Parameter, ...]
    most_threads: int
    line: int
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Module:
    path: Path
    target: str
    dynamic_shared: tuple[str, ...]  # names of the one array of a launch's own size
    functions: tuple[Function, ...]


def module(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(".") and not re.match(KNOWN_DIRECTIVES, line):
            raise Unknown(f"{path}:{number}: {line}")
    target = re.search(r"^\.target (\w+)$", text, re.MULTILINE)
    if target is None:
        raise Unknown(f"{path}: no .target")
    dynamic = re.findall(r"^\.extern \.shared \.align (\d+) \.b8 ([\w$]+)\[\];", text, re.MULTILINE)
    if any(int(align) > 16 for align, _ in dynamic):
        raise Unknown(f"{path}: dynamic shared memory that is aligned to more than 16 bytes")
    try:
        return Module(path, target[1], tuple(name for _, name in dynamic), tuple(_functions(text)))
    except Unknown as error:
        raise Unknown(f"{path}: {error}") from error


def _functions(text: str) -> Iterator[Function]:
    head = r"^(?:\.visible |\.weak )?\.(entry|func)\s+(?:\(([^)]*)\)\s*)?([\w$]+)\s*\("
    for found in re.finditer(head, text, re.MULTILINE):
        stop = text.index(")", found.end())
        begin = stop + min(i for i in (text[stop:].find("{"), text[stop:].find(";")) if i >= 0)
        if text[begin] == ";":  # a declaration
            continue
        end = _closing(text, begin)
        threads = re.search(r"\.maxntid (\d+)(?:, 1, 1)?\s", text[stop:begin])
        line = text.count("\n", 0, begin) + 1
        yield Function(
            name=found[3],
            is_kernel=found[1] == "entry",
            parameters=tuple(_parameters(text[found.end() : stop])),
            returned=tuple(_parameters(found[2] or "")),
            most_threads=int(threads[1]) if threads else MOST_THREADS,
            line=line,
            statements=tuple(_statements(text[begin + 1 : end], line)),
        )


def _closing(text: str, begin: int) -> int:
    """Where the brace at `begin` is closed."""
    depth = 0
    for found in re.compile(r"[{}]|//.*").finditer(text, begin):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise Unknown("a brace is not closed")


def _parameters(text: str) -> Iterator[Parameter]:
    for part in filter(None, (" ".join(p.split()) for p in text.split(","))):
        found = re.fullmatch(r"\.param (?:\.align \d+ )?\.(\w+) ([\w$]+)(?:\[(\d+)\])?", part)
        if found is None:
            raise Unknown(f"parameter {part}")
        yield Parameter(found[2], BYTES[found[1]] * int(found[3] or 1))


def _statements(body: str, first_line: int) -> Iterator[Statement]:
    """Of a body; a brace within an instruction belongs to the instruction."""
    line, start, text = first_line, first_line, ""
    for token in re.findall(r"//.*|\n|[{};:]|[^\n{};:/]+|/", body):
        if token == "\n":
            line += 1
            text += " "
            continue
        if token.startswith("//"):
            continue
        words = text.strip()
        if token in "{}" and not words:
            yield Statement(line, token)
            text = ""
        elif token == ";":
            if words:
                yield Statement(start, " ".join(words.split()))
            text = ""
        elif token == ":" and re.fullmatch(r"[\w$]+", words):
            yield Statement(line, words + ":")
            text = ""
        else:
            if not words and token.strip():
                start = line
            text += token
    if text.strip():
        raise Unknown(f"line {line}: left over: {text.strip()[:80]}")


def operands(text: str) -> list[str]:
    """At the commas that are in no brackets."""
    parts, depth = [""], 0
    for c in text:
        depth += {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [part.strip() for part in parts if part.strip()]
