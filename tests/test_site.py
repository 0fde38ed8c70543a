"""Formulas of docstrings, which are plain text, as the site shows them; `make docs` checks the rest of it."""

from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed: make docs brings it")

SITE = Path(__file__).parent.parent / "docs" / "site"


@pytest.fixture
def plain_math(monkeypatch):
    monkeypatch.syspath_prepend(SITE)
    import plain_math

    return plain_math


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("h(u) = (1 - u)^p", "h ( u ) = ( 1 - u )^{p}"),
        ("rho^(1 / (2 p + 1)) <= sqrt(2 pi)", r"\rho^{1 / ( 2 p + 1 )} \le \sqrt{2 \pi}"),
        ("f(x) - f* ~ x_{t+1}", r"f ( x ) - f^{*} \sim x_{t + 1}"),
        ("base_lr h(t / T) for t", r"\text{base_lr} \, h ( t / T ) \text{ for } t"),
        ("x^-alpha, base_lr * h_t", r"x^{-\alpha} , \text{base_lr} \cdot h_{t}"),
    ],
)
def test_formulas(plain_math, plain, latex):
    assert plain_math.latex(plain) == latex


def test_what_is_a_formula_in_a_docstring(plain_math):
    lines = [
        "With `lr_t = h_t / T`, `base_lr` and `a + b`:",
        "- one |x|",
        "  and more",
        "after.",
        "",
        "    y = x^2",
        "",
    ]
    assert plain_math.prepare(lines) == [
        r"With :math:`\mathrm{lr}_{t} = h_{t} / T`, `base_lr` and ``a + b``:",
        "",
        r"- one \|x\|",
        "  and more",
        "",
        "after.",
        "",
        ".. math:: y = x^{2}",
        "",
    ]
    table = ["    a    table", "    1    2", ""]
    assert plain_math.prepare(["So", "", *table]) == ["So", "", "::", "", *table]
    example = [">>> for i in x:", "...     i | 1", "1"]
    assert plain_math.prepare(example) == example
