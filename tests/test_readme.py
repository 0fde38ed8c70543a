"""Examples of README and the site's pages run and print what is shown there, and their commands exist."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ELSEWHERE = {"own_problems.md", "theory.md", "validate.md"}  # their examples are run by tests of their own
FRAGMENTS = {"campaigns.md"}  # for clusters
PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in DOCS.rglob("*.md")
    if "```python" in page.read_text(encoding="utf-8") and page.name not in ELSEWHERE | FRAGMENTS
)


@pytest.mark.parametrize("document", ["README.md", "docs/theory.md", "docs/validate.md"])
def test_example_prints_what_is_shown(document):
    page = (ROOT / document).read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", page, re.DOTALL).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, document, "exec"), {})
    assert printed.getvalue() == shown


@pytest.mark.parametrize("page", PAGES)
def test_pages_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    """In one namespace; what a text block shows below one of Python is what it printed."""
    for module in ("pandas", "scipy", "xarray"):
        pytest.importorskip(module)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", text, re.DOTALL)
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), names)
        assert not shown or printed.getvalue() == shown
    pyplot.close("all")


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"^    make ([\w-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_local_links_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]:
        if document.relative_to(ROOT).parts[0] in ("build", "out", ".venv"):
            continue
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link.strip("<>")).exists(), f"{document.name}: {link}"


def test_links_of_a_release_lead_to_the_files_of_its_tag(tmp_path):
    for name in ("README.md", "pyproject.toml", ".github/address.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    address = "https://host.example/owner/name"
    subprocess.run([sys.executable, tmp_path / ".github/address.py", address, "v1.0"], check=True)

    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"].pop("Issues") == f"{address}/issues"
    assert project["urls"].pop("Source") == address
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    pages = [*project["urls"].values(), *re.findall(r"\]\((.*?)\)", readme)]
    whole = re.compile(rf"{address}/(raw|blob)/v1.0/([^#]+)(#.*)?")
    files = {link[2]: link[1] for page in pages if (link := whole.fullmatch(page))}
    elsewhere = [page for page in pages if not whole.fullmatch(page)]
    assert all(page.startswith("https://") for page in elsewhere)
    assert len(files) > 20
    for file, kind in files.items():
        assert (ROOT / file).is_file(), file
        assert kind == ("raw" if file.endswith(".png") else "blob"), file


def test_every_page_is_in_the_table_of_contents():
    """Sphinx says so too, where it is installed."""
    linked = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            names = [re.sub(r".*<(.+)>", r"\1", entry) for entry in entries]
            linked.update((page.parent / f"{name}.md").resolve() for name in names)
    assert set(DOCS.rglob("*.md")) <= linked
    assert all(page.is_file() for page in linked)
