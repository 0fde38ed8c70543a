"""Docstrings as Sphinx takes them: their formulas, which are plain text, as LaTeX; math as MathML.

A formula is written as one would type it: `$h(u) = (1 - u)^p$`. What stands between backticks and can be no name, such
as `D^2 / (2 W_k)`, is one too, and indented lines are displayed. MathML needs no script and no network in browsers.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

_GREEK = ["alpha", "beta", "eta", "mu", "nu", "phi", "Phi", "pi", "rho", "sigma", "theta", "xi"]
_FUNCTIONS = ["cos", "sin", "exp", "ln", "log", "max", "min", "sup", "tanh"]
_NAMED = ["clip", "diag", "hypot", "sign", "std", "mean", "normal"]
_WORDS = ["and", "else", "for", "if", "onto", "or", "set", "the", "where", "while", "with", "projection"]
_SIGNS = {"<=": r"\le", ">=": r"\ge", "->": r"\to", "<-": r"\leftarrow", "<<": r"\ll", "~": r"\sim", "...": r"\ldots"}
_SIGNS |= {"*": r"\cdot", "!=": r"\ne", "inf": r"\infty", "in": r"\in", "sum": r"\sum", "%": r"\%"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*")|(?P<name>[A-Za-z]{2,}(?:_[a-z]{2,})+)|(?P<star>(?<=\w)\*(?=\s|$|[,.;:)>]))"""
    r"""|(?P<number>\d+(?:[.,]\d+)*)|(?P<word>[A-Za-z]+)|(?P<sign><=|>=|->|<-|<<|!=|\.\.\.|.))"""
)


def latex(plain: str) -> str:
    r"""LaTeX of a formula in plain text.

    >>> latex("h(u) = (1 - u)^p <= sqrt(2 rho) / x_i")
    'h ( u ) = ( 1 - u )^{p} \\le \\sqrt{2 \\rho} / x_{i}'
    """
    tokens = [(match.lastgroup or "", match.group(match.lastgroup or 0)) for match in _TOKEN.finditer(plain.strip())]
    return _Reader(tokens).until("")


def _factors(left: str, right: str) -> bool:
    """Whether two parts are factors of a product, one of them a word."""
    both = (left, right)
    if any(
        not (part[0].isalnum() or part[0] == "\\") or part in _SIGNS.values() or part.startswith(r"\text{ ")
        for part in both
    ):
        return False
    return any(part.startswith((r"\mathrm", r"\operatorname", r"\text{")) for part in both)


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._place = tokens, 0

    def _next(self) -> tuple[str, str]:
        self._place += 1
        return self._tokens[self._place - 1] if self._place <= len(self._tokens) else ("", "")

    def _peek(self) -> str:
        return self._tokens[self._place][1] if self._place < len(self._tokens) else ""

    def until(self, closing: str) -> str:
        """Everything up to that sign, or to the end."""
        parts: list[str] = []
        while (token := self._next())[1] != closing:
            if not token[1]:
                break
            if token[1] in "^_" and token[0] == "sign" and parts:
                parts[-1] += f"{token[1]}{{{self._group()}}}"
            elif token[0] == "star" and parts:
                parts[-1] += "^{*}"
            else:
                one = self._one(*token)
                if parts and _factors(parts[-1], one):
                    parts.append(r"\,")  # which single letters do not need
                parts.append(one)
        return " ".join(parts)

    def _group(self) -> str:
        """What stands in an exponent or index: a parenthesis or braces without them, or one thing with its sign."""
        kind, text = self._next()
        if text in ("(", "{"):
            return self.until(")" if text == "(" else "}")
        return text + self._group() if text == "-" else self._one(kind, text)

    def _one(self, kind: str, text: str) -> str:
        if kind == "text":
            return rf"\text{{ {text[1:-1]} }}"
        if kind == "name":
            return rf"\text{{{text}}}"
        if text == "sqrt" and self._peek() == "(":
            self._next()
            return rf"\sqrt{{{self.until(')')}}}"
        if text == "{":
            return self.until("}")
        if text == "(":
            return f"( {self.until(')')} )"
        if text in _SIGNS:
            return _SIGNS[text]
        if text in _GREEK or text in _FUNCTIONS:
            return f"\\{text}"
        if text in _WORDS:
            return rf"\text{{ {text} }}"
        if kind == "word" and len(text) > 1:
            return rf"\{'operatorname' if text in _NAMED else 'mathrm'}{{{text}}}"
        return text


def prepare(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText: formulas marked up, bars not, other indented blocks as they stand."""
    prepared: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if _begins_block(lines, number):
            end = number
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            block = [one for one in lines[number:end] if one.strip()]
            if all(_DISPLAYED.search(one) and not _COLUMNS.search(one) for one in block):
                for one in block:
                    prepared += [f".. math:: {latex(one)}", ""]
            else:
                prepared += ["::", "", *lines[number:end]]
            number = end
            continue
        if line.startswith("- ") and prepared and prepared[-1].strip() and not prepared[-1].startswith(("- ", "  ")):
            prepared.append("")  # before a list
        if line.strip() and not line.startswith(("- ", " ")) and prepared and _in_list(prepared):
            prepared.append("")  # after it
        prepared.append(line if line.lstrip().startswith((">>>", "...")) else _inline(line))
        number += 1
    return prepared


_DISPLAYED = re.compile(r"[=<]")
_COLUMNS = re.compile(r"\S {3,}\S")
_FORMULA = re.compile(r"\^|_\{|\bsqrt\(|<-| <= | ~ | / |\b(?:lr|[A-Za-z])_(?:\w\b|\{)")
_NAME = re.compile(r"`~?[\w.]+(\(\))?`")
_CODE = re.compile(r"[A-Za-z_]\.[A-Za-z_]|\"|'\w*'|\w=|::")


def _in_list(lines: list[str]) -> bool:
    """Whether the last line belongs to a list that no empty line ends."""
    for line in reversed(lines):
        if not line.startswith("  "):
            return line.startswith("- ")
    return False


def _begins_block(lines: list[str], number: int) -> bool:
    """Whether an indented block begins here that is no part of an example or a list."""
    if not lines[number].startswith("    ") or (number and lines[number - 1].strip()):
        return False
    above = next((line for line in reversed(lines[:number]) if line.strip()), "")
    return not above.lstrip().startswith((">>>", "...", "-", "  ")) and not lines[number].lstrip().startswith(">>>")


def _inline(line: str) -> str:
    """Formulas between dollar signs or backticks, and bars that would name a substitution."""
    parts = re.split(r"(``[^`]*``|`[^`]*`|\$[^$]+\$)", line)
    for i, part in enumerate(parts):
        if not i % 2:
            parts[i] = part.replace("|", r"\|")
        elif part[0] == "$" or (part[1] != "`" and _FORMULA.search(part[1:-1]) and not _CODE.search(part)):
            parts[i] = f":math:`{latex(part[1:-1])}`"
        elif part[1] != "`" and not _NAME.fullmatch(part):
            parts[i] = f"`{part}`"
    return "".join(parts)


_ARRAY_LIKE = re.compile(r"[\w.~]*_Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]")


def _signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Without what NumPy's ArrayLike stands for; none of classes that nobody calls, as they have private arguments."""
    if signature is None or (what == "class" and re.search(r"[(\s]_\w", signature)):
        return None if signature is None else ("", None)
    return _ARRAY_LIKE.sub("ArrayLike", signature), returned


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = prepare(lines)


def _inline_math(self: Any, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block_math(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Docstrings go through `prepare`, math through docutils."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", _signature)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
