"""Examples of README, theory page and validation page print what is shown there, and their commands exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("document", ["README.md", "docs/theory.md", "docs/validate.md"])
def test_example_prints_what_is_shown(document):
    page = (ROOT / document).read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", page, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, document, "exec"), {})
    assert printed.getvalue() == shown


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"^    make ([\w-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_local_links_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        if document.relative_to(ROOT).parts[0] in ("build", "out", ".venv"):
            continue
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
