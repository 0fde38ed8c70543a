"""The call: what each argument does, what changes no bit, samples, progress, interruption, the runtime module."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from _thread import interrupt_main

import numpy as np
import pytest

import anneal_sgd
from anneal_sgd import Simulator, problems, runtime, schedules, simulate

PROBLEM = problems.AbsoluteValue(0.5, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))
QUIET = problems.AbsoluteValue(1.0, x0=1.0)


def run(problem=PROBLEM, schedule=None, **changes):
    arguments = {"base_lr": 0.1, "horizon": 20, "replicates": 100, "seed": 7, **changes}
    return simulate(problem, schedule or schedules.Linear(), **arguments)


def samples(**changes):
    return run(keep_samples=True, **changes).samples


def test_configs_are_the_outer_product():
    """Every cell of the sweep has the bits of its own call (common random numbers)."""
    family = [problems.AbsoluteValue(a, noise="gaussian", noise_std=1.0) for a in (0.2, 0.7)]
    shapes = [schedules.Linear(), schedules.InverseSqrt(), schedules.Cosine()]
    rates = [0.05, 0.1, 0.2, 0.4]
    sweep = simulate(family, shapes, base_lr=rates, horizon=33, replicates=17, keep_samples=True).samples
    assert sweep.shape == (2, 3, 4, 17)
    for i, problem in enumerate(family):
        for j, schedule in enumerate(shapes):
            for k, rate in enumerate(rates):
                one = simulate(problem, schedule, base_lr=rate, horizon=33, replicates=17, keep_samples=True)
                np.testing.assert_array_equal(sweep[i, j, k], one.samples)


def test_a_simulator_gives_what_simulate_gives():
    for problem in (PROBLEM, [PROBLEM, PROBLEM]):
        simulator = Simulator(problem)
        for base_lr in (0.1, [0.1, 0.3]):
            arguments = {"base_lr": base_lr, "horizon": 20, "replicates": 10, "seed": 3, "record_at": [0, 20]}
            a = simulator.run(schedules.Cosine(), **arguments)
            b = simulate(problem, schedules.Cosine(), **arguments)
            assert a.spec == b.spec
            np.testing.assert_array_equal(a.mean, b.mean)


def test_what_changes_no_bit(isa):
    # 3000 x 1000 steps: more than what a call does on its own thread.
    expected = samples(replicates=3000, horizon=1000, isa="scalar", threads=1)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(samples(replicates=3000, horizon=1000, isa=isa, threads=threads), expected)
    for first, n in [(0, 1), (1, 2), (17, 33), (2999, 1)]:
        part = samples(first_replicate=first, replicates=n, horizon=1000, isa=isa)
        np.testing.assert_array_equal(part, expected[first : first + n])


def test_what_changes_the_draws():
    base = samples()
    for change in ({"seed": 8}, {"seed": 7 + 2**32}, {"first_replicate": 100}):
        assert (samples(**change) != base).mean() > 0.9


def test_suboptimality_is_never_negative():
    """Rounding of f near an f* > 0 would make it so."""
    problem = problems.AbsoluteValue(0.1, noise="gaussian", noise_std=1.0, projection=("box", 0.7, 1.1))
    for iterate in ("last", "average"):
        values = samples(problem=problem, base_lr=1.0, horizon=300, iterate=iterate, record_at=range(301))
        assert values.min() >= 0.0
        if iterate == "last":
            assert values.min() == 0.0


def test_common_random_numbers():
    for common in (True, False):
        twice = samples(base_lr=[0.1, 0.1], common_random_numbers=common)
        assert (twice[0] == twice[1]).all() == common
        np.testing.assert_array_equal(twice[0], samples())


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "float64", np.float64, float])
def test_dtypes(dtype):
    result = run(dtype=dtype, keep_samples=True)
    assert result.samples.dtype == np.dtype(dtype)
    assert result.dtype == np.dtype(dtype).name


@pytest.mark.parametrize(
    "record_at", [[0, 1, 7, 20], (0, 1, 7, 20), np.array([0, 1, 7, 20], np.uint8), range(0, 21, 5)]
)
def test_record_at(record_at):
    result = run(record_at=record_at)
    assert result.coords["record_at"].tolist() == list(record_at)
    for k, step in enumerate(record_at):
        alone = run(record_at=step)
        assert alone.dims == ()
        assert float(alone.mean) == result.mean[k]
    assert result.mean[0] == 0.5


def test_integers_of_numpy():
    result = run(horizon=np.int32(20), replicates=np.uint16(100), seed=np.uint64(7), record_at=np.int64(20))
    assert float(result.mean) == float(run().mean)
    assert type(result.spec.horizon) is int


@pytest.mark.parametrize("base_lr", [0.25, 1, np.float32(0.25), np.array(0.25), [0.25], (0.25, 1), np.array([0.25, 1])])
def test_base_lr_forms(base_lr):
    result = run(QUIET, schedules.Constant(), base_lr=base_lr, horizon=1, replicates=1)
    assert result.dims == (("base_lr",) if np.ndim(base_lr) else ())
    np.testing.assert_allclose(result.mean, 1.0 - np.asarray(base_lr))


def test_zero_learning_rate():
    assert float(run(base_lr=0).mean) == 0.5


def test_iterates():
    """1 - k/8 after k steps: the last, the mean over 1..k, the mean over the last half."""
    arguments = {"base_lr": 0.125, "horizon": 8, "replicates": 1, "record_at": [0, 1, 2, 5, 8]}
    expected = {
        "last": [1 - k / 8 for k in (0, 1, 2, 5, 8)],
        "average": [1.0, 7 / 8, 13 / 16, 5 / 8, 7 / 16],
        "tail_average": [1.0, 7 / 8, 6 / 8, 4 / 8, 1.5 / 8],
    }
    for iterate, values in expected.items():
        result = run(QUIET, schedules.Constant(), iterate=iterate, dtype="float64", **arguments)
        np.testing.assert_allclose(result.mean, values, rtol=1e-15)
    quarter = run(QUIET, schedules.Constant(), iterate="tail_average", tail_frac=0.25, dtype="float64", **arguments)
    np.testing.assert_allclose(quarter.mean, [1, 7 / 8, 6 / 8, 3.5 / 8, 0.5 / 8], rtol=1e-15)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_kept_on_request():
    assert run().samples is None
    result = run(keep_samples=True, record_at=[1, 20])
    assert result.samples.shape == (2, 100)
    with pytest.raises(ValueError, match="read-only"):
        result.samples[0, 0] = 0.0


def test_out_receives_the_samples():
    out = np.full((2, 3, 100), np.nan, np.float64)
    result = run(base_lr=[0.1, 0.2], record_at=[0, 1, 20], dtype="float64", out=out)
    np.testing.assert_array_equal(out, samples(base_lr=[0.1, 0.2], record_at=[0, 1, 20], dtype="float64"))
    assert np.shares_memory(result.samples, out)
    assert not result.samples.flags.writeable
    assert out.flags.writeable


@pytest.mark.parametrize(
    "out",
    [
        np.empty(99, np.float32),
        np.empty((1, 100), np.float32),
        np.empty(100, np.float64),
        np.empty(100, ">f4"),
        np.empty(200, np.float32)[::2],
        np.frombuffer(bytes(400), np.float32),
        [0.0] * 100,
    ],
)
def test_out_must_fit(out):
    with pytest.raises(ValueError, match=r"^out must be "):
        run(out=out)


def test_out_must_be_writable():
    array = np.zeros(100, dtype=np.float32)
    array.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out must be writable, got a read-only array"):
        run(out=array)


def test_samples_that_do_not_fit_in_memory():
    n = 2**32 - 1
    message = rf"^keep_samples must fit in memory: {n} replicates x 300 configs x 2 records take {n * 2400} bytes"
    with pytest.raises(ValueError, match=message):
        run(base_lr=np.full(300, 0.1), record_at=[1, 2], replicates=n, keep_samples=True)


@pytest.mark.parametrize(
    "size",
    [
        {"problem": problems.Quadratic(np.full(2**22, 1.0), projection=("ball", 3e3)), "replicates": 4096},
        {"base_lr": np.full(10**6, 0.1), "record_at": np.arange(1, 10**5), "horizon": 10**5, "replicates": 1025},
    ],
    ids=["state", "statistics"],
)
def test_what_does_not_fit_in_memory_is_refused_before_it_runs(size):
    start = time.perf_counter()
    with pytest.raises(MemoryError, match=r"replicates x .* records in .* coordinates need about \d+ bytes"):
        run(threads=64, **size)
    assert time.perf_counter() - start < 5.0


def test_memory_limits_of_control_groups(tmp_path, monkeypatch):
    """Both versions of the kernel's interface; the tightest of a group and those around it counts."""
    from anneal_sgd import _arrays

    for name, text in {
        "memory.limit_in_bytes": "5000000",
        "memory.usage_in_bytes": "1000000",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 300",
    }.items():
        (tmp_path / name).write_text(text)
    assert _arrays._available_to_group(tmp_path) == 4_000_300
    (tmp_path / "memory.max").write_text("2000000")
    (tmp_path / "memory.current").write_text("1500000")
    (tmp_path / "memory.stat").write_text("inactive_file 200")
    assert _arrays._available_to_group(tmp_path) == 500_200
    (tmp_path / "memory.max").write_text("max")
    (tmp_path / "memory.limit_in_bytes").unlink()
    assert _arrays._available_to_group(tmp_path) is None
    monkeypatch.setattr(_arrays, "_memory_groups", lambda: [tmp_path, tmp_path / "missing"])
    machine = _arrays.available_memory()
    (tmp_path / "memory.max").write_text("2000000")
    assert _arrays.available_memory() == min(500_200, machine or 500_200)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        ("dimension=10**5, record_at=range(10, 101, 10), iterate='tail_average', horizon=100, replicates=1", 100e6),
        ("dimension=1, record_at=[100], iterate='last', horizon=100, replicates=10**7", 50e6),
        ("dimension=10**6, record_at=[3], iterate='average', horizon=3, replicates=64", 400e6),
    ],
)
def test_peak_memory(size, allowed):
    """What a call adds to the process; a million coordinates are 40 MB of parameters already."""
    code = (
        "import anneal_sgd as s\n"
        "def peak(): return [int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')][0] * 1024\n"
        "def call(dimension, **size):\n"
        "    p = s.problems.Quadratic(0.5, noise='rademacher', noise_std=0.1, dimension=dimension)\n"
        "    s.simulate(p, s.schedules.Linear(), base_lr=0.1, threads=2, **size)\n"
        f"before = peak(); call({size}); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < allowed


# --- progress and interruption ----------------------------------------------------------------------------------------


def test_progress_of_a_long_run():
    seen = []
    run(horizon=20_000, replicates=5_000, threads=2, isa="scalar", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert seen.count(1.0) == 1
    assert 0.0 <= seen[0] <= 1.0


def test_progress_of_a_short_run():
    seen = []
    run(progress=seen.append)
    assert seen == [1.0]


def test_progress_can_stop_the_run():
    class Enough(Exception):
        pass

    def stop(_fraction):
        raise Enough

    start = time.perf_counter()
    with pytest.raises(Enough):
        run(horizon=2**32 - 1, replicates=100_000, progress=stop)
    assert time.perf_counter() - start < 5.0


def test_interrupt_stops_the_run():
    timer = threading.Timer(0.3, interrupt_main)
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run(horizon=2**32 - 1, replicates=100_000)
    timer.join()
    assert time.perf_counter() - start < 5.0


@pytest.mark.parametrize("projection", [None, ("ball", 3e3)])
def test_interrupt_is_heard_in_a_large_dimension(projection):
    problem = problems.Quadratic(0.5, noise="gaussian", noise_std=1.0, projection=projection, dimension=2**20)
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        interrupt_main()

    for delay in (0.1, 0.5):
        timer = threading.Timer(delay, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run(problem, horizon=10**6, replicates=8, iterate="tail_average")
        timer.join()
        assert time.perf_counter() - sent.pop() < 2.0  # a second is what is promised, on a machine of one's own


def test_calls_from_many_threads_agree():
    size = {"replicates": 2000, "horizon": 2000, "threads": 2}  # enough for worker threads to be started
    expected = run(**size).mean
    found = []
    workers = [threading.Thread(target=lambda: found.append(run(**size).mean)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [float(mean) for mean in found] == [float(expected)] * 4


def test_a_daemon_thread_may_outlive_the_interpreter():
    code = (
        "import threading, time, anneal_sgd as s; p = s.problems.AbsoluteValue(slope=0.1);"
        "run = lambda: s.simulate(p, s.schedules.Linear(), base_lr=0.1, horizon=10**7, replicates=10**5);"
        "threading.Thread(target=run, daemon=True).start(); time.sleep(0.4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- backends and the runtime module ----------------------------------------------------------------------------------


def test_backends(backend):
    assert run(backend=backend).backend == backend
    np.testing.assert_array_equal(samples(backend=backend), samples(backend="cpu"))


def test_automatic_backend():
    assert run(backend="auto").backend in runtime.available_backends()


def test_a_missing_backend_says_why():
    reason = runtime.why_unavailable("cuda")
    if not reason:
        pytest.skip("the CUDA backend is available")
    assert "cuda" not in runtime.available_backends()
    with pytest.raises(RuntimeError) as caught:
        run(backend="cuda")
    assert "backend" in str(caught.value)
    assert reason in str(caught.value)


def test_isa_is_chosen_and_reported(isa):
    assert run(isa=isa).isa == isa
    with runtime.force_isa(isa):
        assert runtime.isa() == isa
        assert run(backend="cpu").isa == isa
        assert run(isa="scalar").isa == "scalar"
        with runtime.force_isa("scalar"):
            assert run(backend="cpu").isa == "scalar"
        assert runtime.isa() == isa
    runtime.set_isa(isa)
    try:
        assert run(backend="cpu").isa == isa
    finally:
        runtime.set_isa(None)


def test_an_unknown_isa_changes_nothing():
    before = runtime.isa()
    for attempt in (runtime.set_isa, lambda name: runtime.force_isa(name).__enter__(), lambda name: run(isa=name)):
        with pytest.raises(ValueError, match=r"^isa must be one of 'scalar'.*got 'sse2'"):
            attempt("sse2")
    assert runtime.isa() == before


def fresh(code, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNEAL_SGD_")}
    return subprocess.run(
        [sys.executable, "-c", f"from anneal_sgd import runtime; {code}"],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_isa_from_the_environment():
    assert fresh("print(runtime.isa())", ANNEAL_SGD_ISA="scalar").stdout == "scalar\n"
    assert fresh("print(runtime.isa())", ANNEAL_SGD_ISA="").stdout == runtime.supported_isas()[-1] + "\n"
    assert fresh("runtime.set_isa('scalar'); print(runtime.isa())", ANNEAL_SGD_ISA="neon").stdout == "scalar\n"
    failed = fresh("runtime.isa()", ANNEAL_SGD_ISA="neon")
    assert "ValueError: ANNEAL_SGD_ISA must be one of 'scalar'" in failed.stderr
    assert "got 'neon'" in failed.stderr


def test_threads_from_the_environment():
    assert fresh("print(runtime.cpu_count())", ANNEAL_SGD_THREADS="3").stdout == "3\n"
    for bad in ("0", "many", "1.5"):
        failed = fresh("runtime.cpu_count()", ANNEAL_SGD_THREADS=bad)
        assert f"ValueError: ANNEAL_SGD_THREADS must be an integer >= 1, got '{bad}'" in failed.stderr
    if hasattr(os, "sched_getaffinity"):
        assert fresh("print(runtime.cpu_count())").stdout == f"{len(os.sched_getaffinity(0))}\n"


def test_info():
    info = runtime.info()
    assert info["version"] == anneal_sgd.__version__
    assert info["stream_version"] == anneal_sgd.STREAM_VERSION
    assert info["isa"] in info["isas_supported"]
    assert set(info["isas_supported"]) <= set(info["isas_built"])
    assert info["threads"] >= 1
    assert info["backends"]["cpu"] == "available"
    assert info["backends"]["cuda"]


def test_the_package_offers_what_it_says():
    for name in anneal_sgd.__all__:
        assert getattr(anneal_sgd, name) is not None
    assert set(anneal_sgd.__all__) <= set(dir(anneal_sgd))
    assert anneal_sgd.experiments.__name__ == "anneal_sgd.experiments"
    with pytest.raises(AttributeError, match="no attribute 'simulation'"):
        _ = anneal_sgd.simulation
