"""Files are written whole or not at all, and say who cannot be written; nothing is left beside them."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import anneal_sgd
from anneal_sgd import _files, cli, schedules
from anneal_sgd._tables import exact_numbers
from anneal_sgd.campaigns import EXAMPLE, Campaign
from campaign_cases import noisy, small
from environments import EXPORTS, need

pytestmark = pytest.mark.filterwarnings("error")


def test_a_block_that_fails_changes_nothing(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("before")
    with pytest.raises(ZeroDivisionError), _files.replaced(file) as temporary:
        raise ZeroDivisionError(temporary.write_text("half"))
    assert file.read_text() == "before"
    _files.write_text(file, "after ρ")
    assert file.read_text(encoding="utf-8") == "after ρ"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("old")
    with _files.replaced(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
        assert temporary.suffix == ".json"  # writers go by it
    assert file.read_text() == "new"


def test_threads_that_write_the_same_file_do_not_meet(tmp_path):
    file, together = tmp_path / "a.txt", threading.Barrier(8)
    failed = []

    def write(letter):
        try:
            for _ in range(20):
                with _files.replaced(file) as temporary:
                    together.wait()
                    temporary.write_text(letter * 1000)
                    together.wait()
        except Exception as error:
            failed.append(error)
            together.abort()

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert file.read_text() in {letter * 1000 for letter in "abcdefgh"}
    assert os.listdir(tmp_path) == ["a.txt"]


def test_links_modes_and_long_names(tmp_path):
    target, link = tmp_path / "data.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    _files.write_text(link, "new")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)
    long = tmp_path / ("x" * 250 + ".json")
    _files.write_text(long, "1")
    assert long.read_text() == "1"


def test_what_is_no_regular_file_is_written_to_itself(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read = []
    thread = threading.Thread(target=lambda: read.append(fifo.read_text()))
    thread.start()
    _files.write_text(fifo, "text")
    thread.join()
    assert read == ["text"]
    assert fifo.is_fifo()
    _files.write_text(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()


def test_the_file_that_was_asked_for_is_named(tmp_path):
    for file, kind in (
        (tmp_path / "no" / "a.json", FileNotFoundError),
        (tmp_path, IsADirectoryError),
    ):
        with pytest.raises(kind) as caught:
            _files.write_text(file, "text")
        assert caught.value.filename == str(file)
    with (
        pytest.raises(OSError, match=r"'a.nc' cannot be written: a library's own words"),
        _files.replaced(Path("a.nc")),
    ):
        raise OSError("a library's own words")
    with pytest.raises(FileNotFoundError, match="another"), _files.replaced(tmp_path / "b"):
        (tmp_path / "another").read_text()


def test_a_file_system_that_takes_nothing_is_told_by_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """Linux answers with EROFS there, also where what is to be removed does not exist."""

    def refused(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        _files.write_text(tmp_path / "a.csv", "text")
    assert caught.value.filename == str(tmp_path / "a.csv")


WRITERS = {
    "csv": "result.export(folder / 'r.csv')",
    "parquet": "result.export(folder / 'r.parquet')",
    "nc": "result.export(folder / 'r.nc')",
    "html": "write_report(result, folder)",
    "png": "saved({'r': figure()}, folder)",
    "json": "_files.write_text(folder / 'r.json', 'x' * 100_000)",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_what_was_there_and_names_the_file(tmp_path, kind):
    need(*{"html": ("jinja2", "matplotlib", "plotly"), "png": ("matplotlib",), "json": ()}.get(kind, EXPORTS))
    code = f"""
import resource, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from anneal_sgd import _files
from anneal_sgd.campaigns import write_report
from anneal_sgd._drawing import saved
from campaign_cases import small
folder = Path({str(tmp_path)!r})
result = small().run(folder / "s.db")
def figure():
    from matplotlib.figure import Figure
    made = Figure()
    made.subplots().plot([1, 2])
    return made
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    {WRITERS[kind]}
except (OSError, RuntimeError) as error:
    print(error)
"""
    names = {"html": "figures/robustness-1.png"}
    old = tmp_path / names.get(kind, f"r.{kind}")
    old.parent.mkdir(exist_ok=True)
    old.write_text("before")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(old) in done.stdout, done.stdout + done.stderr
    assert old.read_text() == "before"
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_cells_of_text_are_no_formulas():
    assert [_files.cell(text) for text in ("=1+1", "+a", "-cmd|' /C calc'!A0", "@SUM(A1)", "")] == [
        "'=1+1", "'+a", "'-cmd|' /C calc'!A0", "'@SUM(A1)", ""
    ]  # fmt: skip
    numbers = ["-0.5", "+1e3", "-inf", "nan", "17"]
    assert [_files.cell(text) for text in numbers] == numbers
    assert _files.cell("\t=1\r\n\x1b[2J\x85") == "\\t=1\\r\\n\\x1b[2J\\x85"
    assert _files.cell("名前 ρ − é") == "名前 ρ − é"


def test_an_export_neutralises_names_and_leaves_numbers(tmp_path):
    import pandas

    named = [schedules.Tabulated([1.0, 0.5], name=name) for name in ("=HYPERLINK(1)", "a\rb", "plain")]
    result = Campaign(noisy(slope=0.1), named, base_lr=[0.1, 0.2], horizon=10, replicates=50, name="x\n=1\r=2").run(
        tmp_path / "s.db"
    )
    result.export(tmp_path / "r.csv")
    text = (tmp_path / "r.csv").read_bytes().decode()
    assert not re.search(r"[^\n -~]", text)
    assert "# campaign: =1\\r=2\n" in text
    read = pandas.read_csv(tmp_path / "r.csv", comment="#", **exact_numbers(pandas))
    assert sorted(set(read["schedule"])) == ["'=HYPERLINK(1)", "a\\rb", "plain"]
    told = result.to_pandas()
    numeric = told.select_dtypes("number").columns
    assert len(numeric) >= 9
    assert (read[numeric].to_numpy() == told[numeric].to_numpy()).all()


CHEAP = ["--horizon", "20", "--replicates", "4", "--points-per-decade", "2", "--schedule", "cosine"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["grid", *CHEAP, "--seed", "-1"],
        ["grid", *CHEAP, "--metric", "nonsense"],
        ["grid", *CHEAP, "--data", "none.csv"],
        ["grid", *CHEAP, "--horizon", "x"],
        ["grid", *CHEAP, "--momentum", "2"],
        ["validate", "--quick", "--full"],
        ["validate", "--quick", "--threads", "0"],
        ["validate", "--quick", "--seed", "-1"],
    ],
)
def test_bad_arguments_leave_no_file(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*arguments, "--json", "r.json", "-o", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_written_is_known_before_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for options, message in (
        (["--json", "no/r.json"], "--json: folder 'no' does not exist"),
        (["-o", "file"], "file"),
        (["-o", "file/out"], "--output: 'file/out' cannot be made: '"),
    ):
        assert cli.main(["grid", *CHEAP, *options]) == 2
        told = capsys.readouterr()
        assert message in told.err
        assert told.out == ""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for options in (["--json", "new"], ["-o", "out"]):
        assert cli.main(["grid", *CHEAP, *options]) == 2
        assert "permission denied" in capsys.readouterr().err


def test_the_folder_of_a_run_is_made_and_whole(tmp_path):
    assert cli.main(["grid", *CHEAP, "-o", str(tmp_path / "a" / "b"), "--json", str(tmp_path / "r.json")]) == 0
    assert (tmp_path / "a" / "b" / "grid.json").read_text() == (tmp_path / "r.json").read_text()
    json.loads((tmp_path / "r.json").read_text())
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_the_package_writes_nowhere_else():
    """Besides databases; and the benchmark's C++ peer, in a temporary folder."""
    root = Path(anneal_sgd.__file__).parent
    writing = r"(?<!_files)\.write_(text|bytes|table)\(|open\([^)]*[\"'][wax]b?[\"']|savefig\(|to_(csv|parquet)\("
    example = re.compile(r"^ *(>>>|\.\.\.) .*$", re.MULTILINE)
    homes = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(writing, example.sub("", path.read_text(encoding="utf-8")))
    }
    # The last writes a C++ program to a temporary folder; what the others write to is what `replaced` gives.
    assert homes == {"_files.py", "campaigns/_result.py", "_drawing.py", "benchmark/_separable_peers.py"}


WITHOUT = {
    "click": ["sweep", "--example"],
    "rich": ["sweep", "--example"],
    "matplotlib": ["grid", *CHEAP, "-o", "out"],
    "pandas": ["grid", *CHEAP, "--data", "{folder}/d.csv", "--target", "b"],
    "sklearn": ["grid", *CHEAP, "--data", "digits"],
    "distributed": ["sweep", "{folder}/s.toml", "--dask", "local"],
    "plotly": ["atlas", "-o", "atlas"],
    "jinja2": ["report", "{folder}/s.db"],
    "xarray": ["export", "{folder}/s.db", "-o", "r.nc"],
    "pyarrow": ["export", "{folder}/s.db", "-o", "r.parquet"],
    "h5netcdf": ["export", "{folder}/s.db", "-o", "r.nc"],
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_missing_extra_is_status_2_and_says_what_brings_it(tmp_path, name):
    (tmp_path / "d.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    (tmp_path / "s.toml").write_text(EXAMPLE)
    small().run(tmp_path / "s.db")
    code = f"import sys; sys.modules[{name!r}] = None; from anneal_sgd.cli import program; program()"
    arguments = [argument.format(folder=tmp_path) for argument in WITHOUT[name]]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path / "empty"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"anneal-sgd: .*{name.replace('sklearn', 'scikit-learn')}.*pip install 'anneal_sgd\[.*\]'.*\n", done.stderr
    )
    assert os.listdir(tmp_path / "empty") == []


def test_an_extra_that_is_there_and_broken_says_so_itself(tmp_path, monkeypatch):
    """Of a package that was built for another NumPy, say; pip would answer that it is there."""
    code = "import sys; sys.path.insert(0, {!r}); from anneal_sgd import {}; {}"
    calls = {
        "scipy": ("problems", "problems.HingeLoss([[1.0], [2.0], [3.0]], [0, 1, 0], l2=0.1).minimum"),
        "xarray": ("campaigns", "campaigns.Campaign.load('s.db').to_xarray()"),
        "sklearn": ("datasets", "datasets.load('digits')"),
    }
    monkeypatch.chdir(tmp_path)
    small().run(tmp_path / "s.db")
    for name, (module, call) in calls.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / name).with_suffix(".py").write_text("raise ImportError('built for another NumPy')")
        command = [sys.executable, "-c", code.format(str(tmp_path / name), module, call)]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        assert told.endswith("ImportError: built for another NumPy\n"), told
