"""The gallery: every example runs small, with its own assertions, and its picture stands on the page."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "gallery")
PAGE = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_measures_and_draws(path, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "argv", [path.name, "--small", "--output", str(tmp_path)])
    runpy.run_path(str(path), run_name="__main__")
    assert re.search(rf"{path.stem}\.png; \d+ s, \d+ s of processors", capsys.readouterr().out)
    assert (tmp_path / f"{path.stem}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_shows_every_example():
    shown = re.findall(r"!\[[^\]]+\]\(images/gallery/(\w+)\.png\)", PAGE)
    assert sorted(shown) == [path.stem for path in EXAMPLES]
    for name in shown:
        assert f"(../examples/{name}.py)" in PAGE
        assert (ROOT / "docs" / "images" / "gallery" / f"{name}.png").stat().st_size < 110_000, name


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_says_what_it_is_of(path):
    text = path.read_text(encoding="utf-8").split('"""')[1]
    assert re.search(r"^(Claim|Question)\. ", text, re.MULTILINE), "no claim"
    assert re.search(r"seed", text, re.IGNORECASE), "no seed"
    assert re.search(r"\d s ", text), "no time"
