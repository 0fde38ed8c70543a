"""Random command lines: exit status 0, 1, or 2 with one line that says why; no traceback, no file half-done."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from anneal_sgd import cli
from anneal_sgd.campaigns import EXAMPLE, _figures
from anneal_sgd.experiments import atlas, validate
from campaign_cases import small

click = pytest.importorskip("click")
group = pytest.importorskip("anneal_sgd.cli._group").group  # of rich too

LONGEST = 120  # seconds of one command line

NUMBERS = ["0", "1", "2", "3", "7", "16", "-1", "0.5", "1e-3", "nan", "inf", "-inf", "1e300", "1e-300", "1e3", "x", ""]
NUMBERS += ["4294967296", "9223372036854775808", "18446744073709551616", "-0", "+3", "1_0", "１", " 2 ", "0x10", "1,5"]
TEXTS = [
    "",
    " ",
    "-",
    "--",
    "x",
    "cosine",
    "linear:floor=0.1",
    "polynomial:",
    "polynomial:-1",
    "cosine:floor=2",
    "wsd:0.2",
]
TEXTS += [
    "cosine:floor=nan",
    ":",
    "=",
    "a" * 500,
    "ρ",
    "\x1b[2J",
    "\n",
    "../..",
    "%s",
    "{x}",
    "[/red]",
    "\udcff",
    "cpu",
    "cuda",
]
TEXTS += [
    "smooth",
    "nonsmooth",
    "suboptimality",
    "loss",
    "test_accuracy",
    "test_loss",
    "with_replacement",
    "reshuffling",
    "sequential",
]
TEXTS += ["logistic", "softmax", "hinge", "least_squares", "mlp", "b", "a", "auto", "digits", "synthetic-logistic"]
FILES = ["small.db", "damaged.db", "empty", "spec.toml", "bad.toml", "data.csv", "text.csv", "data.npz", "folder", "."]
FILES += ["none", "none/none", "folder/new", "new.csv", "new.parquet", "new.nc", "new.db", "new", "/dev/null", "/", ""]
FILES += ["x" * 300, "\udcff", "data.csv/new", "link"]
USUAL = {
    "store": ["small.db", "small.db", "new.db"],
    "stores": ["small.db"],
    "spec": ["spec.toml"],
    "output": ["new.csv", "new.parquet", "new.nc", "folder", "new"],
    "json_file": ["new", "/dev/null"],
    "source": ["data.csv", "synthetic-logistic"],
    "target": ["b"],
    "schedule_names": ["cosine", "linear:floor=0.1"],
    "method_name": ["adam", "sgd(momentum=0.9)", "sgd:following(linear, 0.5, 0.9)"],
    "settings": ["smooth"],
    "metric": ["loss", "suboptimality"],
    "backend": ["cpu", "auto"],
}
NEVER = {"dask": ["local", "tcp://127.0.0.1:9", "x", ""], "peers": [], "scaling": []}  # what takes minutes
ALWAYS = {
    "grid": ["--horizon", "20", "--replicates", "4", "--points-per-decade", "2"],
    "bench": ["--tiny", "--rounds", "1", "--case", "abs-gaussian"],
    "validate": ["--quick"],
    "atlas": ["--quick"],
    "minimax": ["--ratio", "3", "--horizon", "20", "--replicates", "8"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with files of all kinds, and experiments that take no time."""
    monkeypatch.chdir(tmp_path)
    small(horizon=[5], rho=[1.0, 2.0], replicates=20, record_frac=None).run("small.db")
    whole = Path("small.db").read_bytes()
    Path("damaged.db").write_bytes(whole[:5000] + b"\0" * 200 + whole[5200:])
    Path("empty").touch()
    Path("spec.toml").write_text(EXAMPLE.replace("[1_000, 10_000]", "[5, 10]").replace("4_096", "8"))
    Path("bad.toml").write_text("schedule = 3\n[problem]\n")
    Path("data.csv").write_text("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    Path("text.csv").write_text("a,b\nx,y\n,\n")
    Path("data.npz").write_bytes(b"PK\x03\x04 no archive")
    Path("folder").mkdir()
    Path("link").symlink_to("nowhere")
    monkeypatch.setattr(atlas, "SCHEDULES", ("constant", "cosine"))
    monkeypatch.setattr(atlas, "QUICK_HORIZON", 40)
    monkeypatch.setattr(atlas, "HORIZON", 50)
    monkeypatch.setattr(atlas, "LARGEST_RHO", 4.0)
    monkeypatch.setattr(_figures, "MOST_PANELS", 1)
    monkeypatch.setattr(atlas, "REPLICATES", 16)
    monkeypatch.setattr("anneal_sgd.cli._campaigns._DASK_TIMEOUT", "0.1s")
    size = validate.PRESETS["quick"]
    size = dataclasses.replace(size, horizon=4000, trajectories=1000, pilot_replicates=16, horizon_replicates=64)
    for preset in validate.PRESETS:
        monkeypatch.setitem(validate.PRESETS, preset, size)
    return tmp_path


def command_line(rng: random.Random) -> list[str]:
    """A command with options of its own, most of them with values of the right kind, and garbage."""
    name = rng.choice([*group.commands, "none", ""] if rng.random() < 0.05 else list(group.commands))
    arguments = [name, *ALWAYS.get(name, [])]
    parameters = group.commands[name].params if name in group.commands else []
    for parameter in parameters:
        if isinstance(parameter, click.Argument):
            arguments += [value(rng, parameter) for _ in range(rng.choice([0, 1, 1, 1, 1, 2]))]
        elif rng.random() < rng.choice([0.05, 0.2, 0.5]):
            arguments += option(rng, parameter)
    if rng.random() < 0.05:
        arguments.insert(rng.randrange(len(arguments) + 1), rng.choice([*TEXTS, "--help", "--no-such", "-q", "--seed"]))
    return arguments


def option(rng: random.Random, parameter: click.Parameter) -> list[str]:
    name = rng.choice(parameter.opts)
    if parameter.name in NEVER and not NEVER[parameter.name]:
        return []
    if getattr(parameter, "is_flag", False):
        return [name]
    return [name, value(rng, parameter)]


def value(rng: random.Random, parameter: click.Parameter) -> str:
    if parameter.name in NEVER:
        return rng.choice(NEVER[parameter.name][1:])
    kind = parameter.type.name
    fitting = (
        NUMBERS if kind.startswith(("integer", "float")) else FILES if kind in ("file", "directory", "path") else TEXTS
    )
    return rng.choice(fitting if rng.random() < 0.9 else [*NUMBERS, *TEXTS, *FILES])


def check(arguments: list[str], status: object, output: str, errors: str, folder: Path) -> None:
    shown = f"{arguments}: status {status}\n{output[-500:]}{errors[-2000:]}"
    assert status in (0, 1, 2), shown
    assert "Traceback" not in errors, shown
    if status == 2:
        assert errors.startswith("anneal-sgd: "), shown
        assert errors.count("\n") == 1, shown
        assert len(errors) > len("anneal-sgd: \n"), shown
    assert list(folder.rglob(".*")) == [], shown


def overrun(number: int, frame: object) -> None:
    raise AssertionError("a command line took too long")


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_no_command_line_ends_in_a_traceback(folder, capsys, monkeypatch, count):
    rng, statuses = random.Random(count), Counter()
    before = signal.signal(signal.SIGALRM, overrun)
    try:
        for _ in range(count):
            arguments = command_line(rng)
            signal.alarm(LONGEST)
            try:
                status = cli.main(arguments)
            except BaseException as error:
                raise AssertionError(f"{arguments}: {type(error).__name__}: {error}") from error
            finally:
                signal.alarm(0)
            told = capsys.readouterr()
            check(arguments, status, told.out, told.err, folder)
            statuses[arguments[0], status] += 1
    finally:
        signal.signal(signal.SIGALRM, before)
    with capsys.disabled():
        if count > 100:  # the figures of a long run
            print(f"\n{count} command lines: {sorted((str(key), n) for key, n in statuses.items())}")
    assert sum(n for (_, status), n in statuses.items() if status == 0) > count / 10  # not all is refused at the door


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_nor_does_a_process(folder, count):
    """With bytes that are no text, in a locale that has few letters."""
    rng = random.Random(count)
    code = "from anneal_sgd.cli import program; program()"
    for locale in ("C.UTF-8", "C"):
        for _ in range(count):
            arguments = [*command_line(rng), *rng.choices(TEXTS, k=rng.choice([0, 0, 1]))]
            arguments = [argument for argument in arguments if argument not in ("validate", "atlas")]
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                capture_output=True,
                env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0"},
                timeout=LONGEST,
                check=False,
            )
            check(arguments, done.returncode, repr(done.stdout), done.stderr.decode("utf-8", "replace"), folder)
