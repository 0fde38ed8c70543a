"""Ctrl-C and SIGTERM at any moment: one line, exit status 130 or 143, whole files or none, no processes left.

Real processes, signalled as a terminal does it: all processes of the group.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from environments import EXPORTS, need

# `anneal-sgd`, which says when it has taken over signals; before, there is Python's own start.
PROGRAM = """
import os
from anneal_sgd.cli import _signals, program
arm = _signals.arm
_signals.arm = lambda: (arm(), os.write(1, b"."))
program()
"""
TOLD = {130: "anneal-sgd: interrupted\n", 143: "anneal-sgd: terminated\n"}
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = 120.0  # seconds, on a machine that is busy

CHEAP = ["--horizon", "200", "--replicates", "8", "--points-per-decade", "3"]
SPEC = """
schedule = ["linear", "cosine"]
horizon = 1000
base_lr = [0.1, 0.2]
replicates = 1_000_000
[problem]
kind = "absolute_value"
slope = 0.1
"""
COMMANDS = {
    "info": ["info"],
    "bench": ["bench", "--tiny", "--json", "bench.json"],
    "grid": ["grid", *CHEAP, "--json", "grid.json", "-o", "out"],
    "validate": ["validate", "--quick", "--json", "rates.json"],
    "minimax": ["minimax", "--ratio", "10", "--json", "minimax.json"],
    "sweep": ["sweep", "spec.toml"],
    "report": ["report", "small.db"],
    "export": ["export", "small.db", "-o", "r.nc"],
    "dask": ["sweep", "spec.toml", "--dask", "local", "--workers", "2"],
}


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    status: int
    output: str
    errors: str


class Process:
    """A process, and those that it starts, in a folder; output is read to the end, so that none blocks."""

    def __init__(self, arguments: list[str], folder: Path, code: str = PROGRAM, **options) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            start_new_session=True,
            bufsize=0,  # so that what comes with the first byte is not lost
            **options,
        )
        assert self.process.stdout.read(1) == b"."

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self) -> Ended:
        output, errors = self.process.communicate(timeout=LONG)
        return Ended(self.process.returncode, output.decode(), errors.decode())


def groups() -> set[int]:
    """Process groups that have a process that is no zombie."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found.add(int(fields[2]))
    return found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A store with something in it."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "small.toml").write_text(SPEC.replace("1_000_000", "100").replace("1000", "50"))
    subprocess.run(
        [sys.executable, "-m", "anneal_sgd", "sweep", "small.toml"], check=True, cwd=folder, capture_output=True
    )
    return folder / "small.db"


def check(process: Process, ended: Ended, folder: Path, expected: set[int]) -> None:
    """It said one line, and left nothing half-done; or it had finished."""
    assert ended.status in {0, 1, *expected}, ended.errors
    assert ended.errors == TOLD.get(ended.status, "")
    assert [path.name for path in folder.rglob(".*")] == []
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    deadline = time.monotonic() + LONG
    while process.process.pid in groups():  # workers that are on their way out
        assert time.monotonic() < deadline, "a process was left"
        time.sleep(0.05)


def moments(count: int, seed: int) -> list[float]:
    """At once, then seconds from 0.3 ms to 5 s, as many in every factor of ten: machines differ in speed."""
    rng = random.Random(seed)
    return [0.0, *(10 ** rng.uniform(-3.5, 0.7) for _ in range(count - 1))]


def trial(name: str, folder: Path, prepared: Path, delay: float, numbers: list[int], seed: int) -> int:
    """Signals after a delay, one or a storm of them; the exit status."""
    rng = random.Random(seed)
    (folder / "spec.toml").write_text(SPEC)
    (folder / "small.db").write_bytes(prepared.read_bytes())
    process = Process(COMMANDS[name], folder)
    time.sleep(delay)
    for number in numbers:
        process.signal(number)
        if len(numbers) > 1:
            time.sleep(rng.uniform(0.0, 0.02))
    ended = process.end()
    check(process, ended, folder, {STATUS[number] for number in numbers})
    return ended.status


SHORT, MANY = 2, 40


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "dask"])
@pytest.mark.parametrize("count", [SHORT, pytest.param(MANY, marks=pytest.mark.slow)])
def test_at_any_moment(name, count, tmp_path, prepared):
    need(*{"report": ("jinja2", "matplotlib", "plotly"), "export": EXPORTS}.get(name, ()))
    statuses = []
    for i, delay in enumerate(moments(count, seed=len(name) + count)):
        folder = tmp_path / str(i)
        folder.mkdir()
        number = (signal.SIGINT, signal.SIGTERM)[i % 2]
        statuses.append(trial(name, folder, prepared, delay, [number], seed=i))
    assert statuses[0] == 130  # else nothing was tested


@pytest.mark.parametrize("name", ["grid", "sweep"])
@pytest.mark.parametrize("count", [SHORT, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_storm_of_signals(name, count, tmp_path, prepared):
    for i, delay in enumerate(moments(count, seed=100 + count)):
        folder = tmp_path / str(i)
        folder.mkdir()
        storm = random.Random(i).choices([signal.SIGINT, signal.SIGTERM], [4, i % 3], k=30)
        trial(name, folder, prepared, delay, storm, seed=i)


@pytest.mark.parametrize("count", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_a_cluster_of_its_own(count, tmp_path, prepared):
    """Its workers are signalled as well, and are gone at the end."""
    pytest.importorskip("distributed")
    rng = random.Random(5)
    for i in range(count):
        folder = tmp_path / str(i)
        folder.mkdir()
        numbers = [(signal.SIGINT, signal.SIGTERM)[i % 2]] * rng.choice([1, 1, 20])
        trial("dask", folder, prepared, rng.uniform(0.5, 10.0), numbers, seed=i)


def run(code: str, folder: Path, *arguments: str, **options) -> Ended:
    return Process(list(arguments), folder, f"import os\nos.write(1, b'.')\n{code}", **options).end()


def test_signals_are_taken_over_before_anything_is_imported(tmp_path):
    code = """
import sys
before = set(sys.modules)
from anneal_sgd.cli import _signals
arm = _signals.arm
def armed():
    arm()
    print(*{name.split(".")[0] for name in set(sys.modules) - before}, flush=True)
    os._exit(0)
_signals.arm = armed
from anneal_sgd.cli import program
program()
"""
    ended = run(code, tmp_path)
    # An editable install's finder imports some of the standard library; nothing else may come first.
    assert set(ended.output.split()) - sys.stdlib_module_names == {"anneal_sgd"}, ended


# As on Windows, which has neither timer nor mask; a signal of its own stands for the one that an alarm takes there.
SYSTEMS = {
    "here": "",
    "without_timers": "import _signal\n_signal.SIGBREAK = _signal.SIGUSR1\n"
    "del _signal.SIGALRM, _signal.setitimer, _signal.pthread_sigmask\n",
}
on_every_system = pytest.mark.parametrize("system", SYSTEMS)
KEEPING = """
import signal, sys, time
from anneal_sgd import _files
from anneal_sgd.cli import _signals
from pathlib import Path
_signals.arm()
_signals.before_leaving(_files.discard_unfinished)
def send(*_):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.001)
"""


def keeping(system, name="SIGINT"):
    return SYSTEMS[system] + KEEPING.format(name=name)


@on_every_system
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_that_python_loses_comes_again(tmp_path, name, system):
    code = (
        keeping(system, name)
        + """
class Deleted:
    __del__ = send
try:
    with _signals.Keeping():
        Deleted()
        for _ in range(6000):
            time.sleep(0.01)
except KeyboardInterrupt:
    print("kept", flush=True)
    _signals.finish(_signals.told())
"""
    )
    ended = run(code, tmp_path)
    status = STATUS[getattr(signal, name)]
    assert (ended.status, ended.output, ended.errors) == (status, "kept\n", TOLD[status])


CALL = """
import signal, sys, time
import numpy as np
from anneal_sgd import problems, runtime, schedules, simulate
class Deleted:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)
def imported(event, arguments):
    if event == "import" and arguments[0] == sys.argv[1]:
        Deleted()
problem = problems.Custom(lambda x: np.sum(x**2), x0=1.0, dimension=3, minimum=0.0)
runtime.set_machine_code(sys.argv[2])
sys.addaudithook(imported)
try:
    simulate(problem, schedules.Linear(), base_lr=0.1, horizon=10, replicates=8)
except KeyboardInterrupt:
    print("heard", sys.argv[1] in sys.modules)
"""


@pytest.mark.parametrize(
    ("module", "mode"),
    [
        ("importlib.metadata", "auto"),
        ("llvmlite.binding.ffi", "on"),
        ("anneal_sgd.programs._step_code", "on"),
    ],
)
def test_a_call_hears_an_interrupt_that_comes_where_it_imports(tmp_path, module, mode):
    """Python loses what `__del__`, and the callbacks of its own imports, raise; the import goes to its end."""
    pytest.importorskip("llvmlite")
    ended = run(CALL, tmp_path, module, mode)
    assert (ended.status, ended.output, ended.errors) == (0, "heard True\n", "")


@on_every_system
def test_one_that_a_library_swallows_comes_at_the_end(tmp_path, system):
    code = (
        keeping(system)
        + """
try:
    with _signals.Keeping():
        try:
            send()
        except KeyboardInterrupt:
            pass
        print("kept on", flush=True)
except KeyboardInterrupt:
    _signals.finish(_signals.told())
"""
    )
    ended = run(code, tmp_path)
    assert (ended.status, ended.output, ended.errors) == (130, "kept on\n", TOLD[130])


@on_every_system
def test_what_takes_too_long_is_left(tmp_path, system):
    code = (
        keeping(system)
        + """
_signals._LONGEST_SECONDS = 0.2
try:
    with _signals.Keeping():
        send()
finally:
    time.sleep(60)
"""
    )
    ended = run(code, tmp_path)
    assert (ended.status, ended.errors) == (130, TOLD[130])


@on_every_system
def test_what_is_deferred_comes_at_its_end(tmp_path, system):
    code = (
        keeping(system)
        + """
try:
    with _signals.Keeping():
        with _signals.Deferring():
            send()
            print("kept on", flush=True)
        print("not reached", flush=True)
except KeyboardInterrupt:
    _signals.finish(_signals.told())
"""
    )
    ended = run(code, tmp_path)
    assert (ended.status, ended.output, ended.errors) == (130, "kept on\n", TOLD[130])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_unfinished_files_are_removed(tmp_path, name):
    code = (
        KEEPING.format(name=name)
        + """
with _files.replaced(Path("a.json")) as temporary:
    temporary.write_text("half")
    assert temporary.exists()
    send()
"""
    )
    ended = run(code, tmp_path)
    assert (ended.status, ended.errors) == (STATUS[getattr(signal, name)], TOLD[STATUS[getattr(signal, name)]])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_rows_that_are_done_are_kept(tmp_path, name):
    code = f"""
import signal
import anneal_sgd.experiments.grid as grid
from anneal_sgd.cli import program
simulate, calls = grid.simulate_quietly, []
def counted(*arguments, **options):
    calls.append(1)
    for _ in range(5 * (len(calls) == 2)):
        os.kill(os.getpid(), signal.{name})
    return simulate(*arguments, **options)
grid.simulate_quietly = counted
program()
"""
    ended = run(code, tmp_path, *COMMANDS["grid"])
    status = STATUS[getattr(signal, name)]
    assert (ended.status, ended.errors) == (status, TOLD[status])
    saved = json.loads((tmp_path / "grid.json").read_text())
    assert ([row["schedule"] for row in saved["rows"]], saved["meta"]["interrupted"]) == (["constant"], True)
    assert "constant stays within" in ended.output


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As Ctrl-C is in jobs that a script starts in the background."""
    process = Process(["info"], tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    for _ in range(20):
        process.signal(signal.SIGINT)
        time.sleep(0.01)
    ended = process.end()
    assert (ended.status, ended.errors) == (0, "")


@pytest.mark.parametrize("arguments", [["sweep", "--example"], ["info"]])
def test_a_reader_that_leaves_is_told_nothing(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "anneal_sgd", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("where", ["reader gone", "/dev/full"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "--quick", "--setting", "smooth", "--schedule", "constant"],
        ["minimax", "--ratio", "10", "--setting", "nonsmooth", "--horizon", "100", "--replicates", "64"],
        ["grid", "--schedule", "constant", "--horizon", "20", "--replicates", "3"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_was_asked_for_is_written_where_nobody_reads_the_table(tmp_path, arguments, where):
    if where == "/dev/full":
        write = os.open(where, os.O_WRONLY)
    else:
        read, write = os.pipe()
        os.close(read)
    command = [sys.executable, "-m", "anneal_sgd", *arguments, "--json", str(tmp_path / "rows.json")]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == (2 if where == "/dev/full" else 1)
    assert json.loads((tmp_path / "rows.json").read_text())["rows"]
