"""Several users of one device, processes and streams, and what Ctrl-C leaves behind: bits are those of the CPU."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate

PROBLEM = problems.Quadratic([0.5, 1.0, 0.2], noise="gaussian", noise_std=0.3, x0=1.0)
CODE = """
import sys
from anneal_sgd import problems, schedules, simulate
problem = problems.Quadratic([0.5, 1.0, 0.2], noise="gaussian", noise_std=0.3, x0=1.0)
def run(seed, horizon=200, replicates=3000):
    return simulate(problem, schedules.Cosine(), base_lr=[0.1, 0.2], horizon=horizon, replicates=replicates, seed=seed,
                    keep_samples=horizon == 200, backend=sys.argv[1])
"""


def run(seed, **changes):
    size = {
        "base_lr": [0.1, 0.2],
        "horizon": 200,
        "replicates": 3000,
        "keep_samples": True,
        "backend": "cpu",
        **changes,
    }
    return simulate(PROBLEM, schedules.Cosine(), seed=seed, **size).samples


def started(code, *arguments):
    command = [sys.executable, "-c", CODE + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_several_processes_have_one_device(backend):
    code = "sys.stdout.buffer.write(b''.join(run(int(sys.argv[2])).samples.tobytes() for _ in range(5)))"
    processes = [started(code, backend, seed) for seed in range(4)]
    for seed, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
        assert out == 5 * run(seed).tobytes()


def test_a_process_that_is_interrupted_goes_on(backend):
    """The long run ends within two seconds of it, and the next one has its bits."""
    process = started(
        """
try:
    run(0, 200)
    print("ready", flush=True)
    run(0, 10**7, 10**6)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdout.buffer.write(run(7).samples.tobytes())
""",
        backend,
    )
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"interrupted\n"
    taken = time.monotonic() - sent
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, run(7).tobytes()), err.decode()
    assert taken < 2.0


def test_a_process_that_is_killed_leaves_the_device_to_others(backend):
    process = started("print('ready', flush=True)\nrun(0, 10**7, 10**6)", backend)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    process.kill()
    process.communicate(timeout=120)
    np.testing.assert_array_equal(run(3, backend=backend), run(3))


@pytest.mark.usefixtures("need_cuda")
def test_streams_change_no_bit():
    """Those of CUDA that have handles without being made: the legacy one and the thread's own; and CuPy's."""
    cupy = pytest.importorskip("cupy")
    expected = run(5)
    for stream in (1, 2, cupy.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)):
        np.testing.assert_array_equal(run(5, backend="cuda", stream=stream), expected)
