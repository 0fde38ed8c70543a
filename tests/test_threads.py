"""Many threads at once: the bits of one thread, and, on a Python without the GIL, still none after the import."""

import os
import subprocess
import sys
import sysconfig
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from anneal_sgd import problems, programs, runtime, schedules, simulate
from anneal_sgd.campaigns import Campaign
from campaign_cases import arrays, noisy

THREADS = 8
TEXT = "a * sum(abs(x) ** 1.5) + where(x[0] > 0, 0.1, 0.2)"


def fresh():
    """What the threads share; nothing of it has been asked for anything yet."""
    rows = np.random.default_rng(0).standard_normal((40, 3))
    return {
        "separable": noisy(slope=0.2),
        "gaussian": problems.Quadratic([1.0, 0.1], noise="gaussian", noise_std=0.3),
        "own": problems.Custom(TEXT, parameters={"a": 0.5}, x0=[0.5, -0.2], noise="draw.laplace()", minimum=0.0),
        "data": problems.LogisticRegression(rows, rows[:, 0] > 0.1, l2=0.01),
        "schedule": schedules.Cosine(warmup_steps=3),
        "joined": schedules.Minimax(10.0),
    }


def work(shared, store):
    """All that one thread does, and the bits of what comes of it."""
    found = []
    for schedule in (shared["schedule"], shared["joined"]):
        for name, horizon in (("separable", 50), ("gaussian", 31), ("own", 20), ("data", 25)):
            run = simulate(
                shared[name], schedule, base_lr=[0.1, 0.3], horizon=horizon, replicates=1100, threads=2,
                keep_samples=True,
            )  # fmt: skip
            found += [run.samples.tobytes(), run.mean.tobytes(), run.stderr.tobytes()]
        found += [np.asarray(schedule(np.linspace(0, 1, 7), horizon)).tobytes() for horizon in (20, 30, 40)]
    found.append(programs.parse(TEXT, dimension=2, parameters={"a": ()}).digest)
    found.append(programs.trace(lambda x: np.sum(np.tanh(x) * x), dimension=5).digest)
    found.append(shared["data"].minimum)
    campaign = Campaign(shared["separable"], [shared["schedule"]], horizon=[20, 30], rho=[1.0, 4.0], replicates=1500)
    return [*found, *arrays(campaign.run(store))]


def test_many_threads_have_the_bits_of_one(tmp_path):
    pytest.importorskip("sklearn")
    before = list(warnings.filters)
    shared, start = fresh(), threading.Barrier(THREADS)

    def go(number):
        start.wait()
        return work(shared, tmp_path / f"{number}.db")

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(go, range(THREADS)))
    alone = work(fresh(), tmp_path / "alone.db")
    assert all(one == alone for one in found)
    assert warnings.filters == before


def test_texts_are_read_while_others_warn():
    """What silences or raises warnings does so in every thread."""
    stop, heard = threading.Event(), []

    def warn():
        while not stop.is_set():
            try:
                warnings.warn("heard", UserWarning, stacklevel=1)
            except UserWarning:
                heard.append("raised")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warning = threading.Thread(target=warn)
        warning.start()
        for _ in range(2000):
            programs.parse("x[0] + 1", dimension=1)
        stop.set()
        warning.join()
    assert heard == []


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_module_asks_for_no_gil():
    code = (
        "import sys, anneal_sgd as s;"
        "s.simulate(s.problems.AbsoluteValue(0.5), s.schedules.Linear(), base_lr=0.1, horizon=9, replicates=3);"
        "sys.exit(sys._is_gil_enabled())"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0


FORKED = """
import os, signal, sys, threading
import numpy as np
from anneal_sgd import problems, runtime, schedules, simulate
from anneal_sgd.problems import _minimum
from anneal_sgd.programs import _machine_code
rows = np.random.default_rng(0).standard_normal((40, 3))
slow, other = (problems.LogisticRegression(rows, rows[:, i] > 0.1, l2=0.01) for i in (0, 1))
solve, searching, compiling, go = _minimum._newton, threading.Event(), threading.Event(), threading.Event()
def waiting(*arguments):
    searching.set()
    go.wait()
    return solve(*arguments)
def compiled(*arguments):
    compiling.set()
    go.wait()
def run():
    own = problems.Custom(lambda x: np.sum(x**2), x0=1.0, minimum=0.0)
    simulate([own], schedules.Linear(), base_lr=0.1, horizon=3, replicates=8)
if sys.argv[1] == "on":
    runtime.set_machine_code("on")
_minimum._newton, _machine_code._compiled = waiting, compiled
threads = [threading.Thread(target=lambda: slow.minimum), threading.Thread(target=run)]
for thread in threads:
    thread.start()
searching.wait()
if sys.argv[1] == "on":
    compiling.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    _minimum._newton, _machine_code._compiled = solve, lambda *_: None
    print(other.minimum < 1)
    run()
    print("done", flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
go.set()
for thread in threads:
    thread.join()
sys.exit(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_waits_for_no_thread_that_it_has_not():
    """As a pool of processes of a program with threads, of which one solves for a minimum and one compiles."""
    pytest.importorskip("scipy")
    mode = "auto" if runtime.why_no_machine_code() else "on"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, mode], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\ndone\n", "")
