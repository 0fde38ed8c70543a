"""What Windows does in ways of its own: `make windows-check` runs it in Wine, on Linux, whose /proc has the answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from anneal_sgd import _windows
from anneal_sgd.campaigns import Campaign

TESTS = Path(__file__).resolve().parent.parent
# A console of its own and, so that no other process hears it, a Ctrl-C there, as from its keyboard.
CTRL_C = """
import ctypes, sys, threading, time
kernel = ctypes.windll.kernel32
kernel.FreeConsole()
assert kernel.AllocConsole()
def ctrl_c():
    assert kernel.GenerateConsoleCtrlEvent(0, 0)
"""
CALL = """
from anneal_sgd import problems, schedules, simulate
problem = problems.AbsoluteValue(slope=0.1, noise="gaussian", second_moment=1.0, x0=1.0)
run = lambda replicates: simulate(problem, schedules.Linear(), base_lr=0.01, horizon=10_000, replicates=replicates)
before = run(1000)
timer = threading.Timer(1.0, ctrl_c)
timer.start()
began = time.perf_counter()
try:
    run(100_000_000)
except KeyboardInterrupt:
    print(time.perf_counter() - began)
print((run(1000).mean == before.mean).all())
"""
CAMPAIGN = """
sys.path.insert(0, sys.argv[2])
from campaign_cases import noisy
from anneal_sgd import cli, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, _run
_run.HERE_SECONDS, _run.COMMIT_SECONDS = 0.05, 0.0
campaign = Campaign(ProblemGrid(noisy, slope=[0.05, 0.2]), [schedules.Linear()], rho=[1.0, 8.0], horizon=2000,
                    replicates=int(sys.argv[3]))
def seen(now):
    if now.committed > 2 and sys.argv[4] == "stop":
        ctrl_c()
try:
    campaign.run(sys.argv[1], threads=1, progress=seen)
except KeyboardInterrupt:
    print("interrupted")
"""


def told(script: str, *arguments: object) -> list[str]:
    """The lines that Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C + script, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_ctrl_c_ends_a_call():
    seconds, same = told(CALL)
    assert 0.9 < float(seconds) < 3
    assert same == "True"


def test_ctrl_c_ends_a_campaign_which_goes_on_later(tmp_path):
    size = 200_000
    assert told(CAMPAIGN, tmp_path / "stopped.db", TESTS, size, "stop") == ["interrupted"]
    held = Campaign.load(tmp_path / "stopped.db")
    assert 0 < held.count.sum() < 4 * size
    assert told(CAMPAIGN, tmp_path / "stopped.db", TESTS, size, "go") == []
    assert told(CAMPAIGN, tmp_path / "whole.db", TESTS, size, "go") == []
    resumed, whole = Campaign.load(tmp_path / "stopped.db"), Campaign.load(tmp_path / "whole.db")
    assert resumed.count.sum() == 4 * size
    np.testing.assert_array_equal(resumed.mean, whole.mean)


def test_memory_is_what_linux_says():
    lines = Path("Z:/proc/meminfo").read_text(encoding="ascii").splitlines()
    linux = {name: int(rest.split()[0]) * 1024 for name, rest in (line.split(":") for line in lines)}
    available = _windows.available_memory()  # not _machine's, which finds Linux's /proc on the drive Z: too
    assert available is not None
    assert 0.5 * linux["MemFree"] < available <= linux["MemTotal"]


def test_processors_are_those_that_the_process_may_use():
    processors = int(os.environ["PROCESSORS"])
    for mask in 1, (1 << processors) - 1:
        script = f"""
import ctypes
from anneal_sgd import _machine
assert ctypes.windll.kernel32.SetProcessAffinityMask(ctypes.c_void_p(-1), ctypes.c_size_t({mask}))
print(_machine.usable_processors())
"""
        assert told(script) == [str(mask.bit_count())]
