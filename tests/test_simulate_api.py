"""The call: what each argument does, what changes no bit, samples, progress, interruption, the runtime module."""

from __future__ import annotations

import copy
import dataclasses
import gc
import importlib.util
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from _thread import interrupt_main
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import anneal_sgd
from anneal_sgd import Simulator, _ensemble, _machine, _spec, estimate, methods, problems, runtime, schedules, simulate
from anneal_sgd._simulate import Arguments
from anneal_sgd._spec import Options
from anneal_sgd.results import Spec

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


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("out", [False, True])
def test_several_iterates_have_the_bits_of_calls_of_their_own(shared, out):
    several = ["tail_average", "last", "average"]
    arguments = {"base_lr": [0.1, 0.4], "record_at": [0, 7, 20], "tail_frac": 0.3, "common_random_numbers": shared}
    arguments |= {"replicates": 1500, "problem": [PROBLEM, PROBLEM]}
    shape = (3, 2, 2, 3, 1500)
    kept = {"out": np.empty(shape, np.float32)} if out else {"keep_samples": True}
    fractions = []
    result = run(iterate=several, progress=fractions.append, **kept, **arguments)
    assert result.dims == ("iterate", "problem", "base_lr", "record_at")
    assert result.coords["iterate"].tolist() == several
    assert result.samples.shape == shape
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert "tail_average" in repr(result.spec)
    for i, iterate in enumerate(several):
        tail = {} if iterate == "tail_average" else {"tail_frac": 0.5}
        alone = run(iterate=iterate, keep_samples=True, **(arguments | tail))
        np.testing.assert_array_equal(result.samples[i], alone.samples)
        for statistic in ("mean", "stderr", "min", "max", "count"):
            np.testing.assert_array_equal(getattr(result, statistic)[i], getattr(alone, statistic))
    more = run(iterate=several, first_replicate=1500, **arguments)
    assert (result + more).replicates == 3000
    assert run(iterate=["average"]).mean.shape == (1,)


def test_whole_floats_are_integers():
    result = run(horizon=20.0, replicates=1e2, first_replicate=np.float64(0), seed=7.0, record_at=2e1, threads=1.0)
    assert result.spec == run().spec
    assert float(result.mean) == float(run().mean)
    assert run(record_at=[1.0, 20.0]).spec.record_at == (1, 20)
    assert run(record_at=np.linspace(0, 20, 5)).spec.record_at == (0, 5, 10, 15, 20)
    assert all(type(step) is int for step in run(record_at=[1.0, 20.0]).spec.record_at)


def test_seeds_of_numpy():
    """As SPEC 7 of Scientific Python: an integer, what makes one, or what draws one."""
    sequence = np.random.SeedSequence(5)
    same = [sequence, np.random.SeedSequence(5), [5], (5,)]
    seeds = {run(seed=seed).seed for seed in same}
    assert seeds == {int(np.random.SeedSequence(5).generate_state(1, np.uint64)[0])}
    assert run(seed=seeds.pop()).mean == run(seed=sequence).mean
    a, b = np.random.default_rng(3), np.random.default_rng(3)
    drawn = [run(seed=a).seed for _ in range(3)]
    assert drawn == b.integers(2**64, size=3, dtype=np.uint64).tolist()
    assert run(seed=np.random.PCG64(3)).seed == drawn[0]
    fresh = {run(seed=None).seed for _ in range(3)}
    assert len(fresh) == 3
    assert all(type(seed) is int and 0 <= seed < 2**64 for seed in (*fresh, *drawn))


def test_diverged_trajectories_are_warned_of_once():
    problem = problems.Quadratic(1.0, noise="gaussian", noise_std=1.0)
    with pytest.warns(RuntimeWarning, match=r"^trajectories diverged, up to 100 of 100: 1 of 2 means") as caught:
        result = run(problem, schedules.Constant(), base_lr=[0.1, 100.0], horizon=99)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert result.diverged.tolist() == [0, 100]
    with pytest.warns(RuntimeWarning, match="diverged") as caught:
        Simulator(problem).run(schedules.Constant(), base_lr=100.0, horizon=99, replicates=3)
    assert caught[0].filename == __file__


def test_simulators_are_pickled_and_copied_before_and_after_a_run():
    for problem in (PROBLEM, [PROBLEM, PROBLEM]):
        simulator = Simulator(problem)
        arguments = {"base_lr": 0.1, "horizon": 20, "replicates": 100, "seed": 7}
        for _ in range(2):
            for copied in (pickle.loads(pickle.dumps(simulator)), copy.deepcopy(simulator), copy.copy(simulator)):
                expected = simulator.run(schedules.Linear(), **arguments)
                assert copied.run(schedules.Linear(), **arguments).spec == expected.spec
                np.testing.assert_array_equal(copied.run(schedules.Linear(), **arguments).mean, expected.mean)


CALLS = {  # what differs from the call before, each also to be repeated
    "seed": {"seed": 8},
    "rate": {"base_lr": 0.25},
    "rates": {"base_lr": [0.1, 0.2]},
    "whole rate": {"base_lr": 1},
    "first": {"first_replicate": 3},
    "replicates": {"replicates": 33},
    "horizon": {"horizon": 21},
    "records": {"record_at": [0, 7, 20]},
    "schedule": {"schedule": schedules.Cosine()},
    "schedules": {"schedule": [schedules.Cosine(), schedules.Constant()]},
    "average": {"iterate": "average"},
    "iterates": {"iterate": ["last", "tail_average"], "tail_frac": 0.3},
    "tail": {"iterate": "tail_average", "tail_frac": 0.7},
    "apart": {"common_random_numbers": False, "base_lr": [0.1, 0.2]},
    "dtype": {"dtype": "float64"},
    "method": {"method": methods.Adam()},
    "threads": {"threads": 1},
    "isa": {"isa": "scalar"},
    "exceedance": {"keep_exceedance": True},
}


def test_a_simulator_remembers_nothing_that_shows():
    """Whatever a simulator ran before, a call gives what it gives alone."""
    simulator = Simulator(PROBLEM)
    call = {"schedule": schedules.Linear(), "base_lr": 0.1, "horizon": 20, "replicates": 40, "keep_samples": True}
    changes = [{}, *CALLS.values(), {}, *reversed(CALLS.values())]
    for changed in [one for change in changes for one in (change, change)]:
        again, alone = simulator.run(**call | changed), simulate(PROBLEM, **call | changed)
        assert again.spec == alone.spec
        assert again.isa == alone.isa
        np.testing.assert_array_equal(again.samples, alone.samples)
        np.testing.assert_array_equal(again.mean, alone.mean)
        if alone.exceedance is not None:
            np.testing.assert_array_equal(again.exceedance, alone.exceedance)


def test_a_simulator_sees_what_is_changed_in_place():
    simulator = Simulator(QUIET)
    shapes, records, rates = [schedules.Constant()], np.array([1, 2]), np.array([0.25])

    def means():
        return simulator.run(shapes, base_lr=rates, horizon=3, replicates=1, record_at=records).mean.ravel().tolist()

    assert means() == [0.75, 0.5]
    records[:] = [2, 3]
    assert means() == [0.5, 0.25]
    rates[:] = 0.125
    assert means() == [0.75, 0.625]
    shapes[0] = schedules.Exponential(final=0.125)
    assert means() == pytest.approx([1 - 0.125 * (1 + 0.5), 1 - 0.125 * (1 + 0.5 + 0.25)])


@pytest.mark.parametrize(
    ("good", "bad"),
    [({"horizon": 1}, {"horizon": True}), ({"nesterov": False}, {"nesterov": 0}), ({"seed": 1}, {"seed": True})],
    ids=lambda change: next(iter(change)),
)
def test_a_simulator_checks_what_only_looks_the_same(good, bad):
    simulator, call = Simulator(QUIET), {"base_lr": 0.1, "horizon": 1, "replicates": 1}
    simulator.run(schedules.Linear(), **call | good)
    with pytest.raises(ValueError, match=f"^{next(iter(bad))} must be "):
        simulator.run(schedules.Linear(), **call | bad)


def test_calls_with_new_learning_rates_and_seeds_share_what_is_checked_and_made(monkeypatch):
    made = []
    for module, name in ((_spec, "checked"), (_ensemble._core, "Ensemble")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _of=name, _real=real, **b: (made.append(_of), _real(*a, **b))[1])
    simulator = Simulator(PROBLEM)
    for seed in range(5):
        for rate in (0.1, [0.1, 0.2]):
            simulator.run(schedules.Linear(), base_lr=rate, horizon=10**4, replicates=seed + 1, seed=seed)
    assert made == ["checked", "Ensemble"]


def test_help_shows_every_option():
    for function in (simulate, Simulator.run):
        parameters = inspect.signature(function).parameters
        for field in dataclasses.fields(Spec):
            if field.name in ("problem", "stream_version"):
                continue
            assert field.name in parameters
        assert parameters["tail_frac"].default == 0.5
        assert parameters["threads"].default is None
    for name in inspect.signature(simulate).parameters:
        assert f"`{name}`" in simulate.__doc__ or f"`{name}=" in simulate.__doc__


def test_types_name_every_option():
    """What type checkers see, what `help` shows and what is checked are one set of names."""
    assert set(Arguments.__annotations__) == set(inspect.signature(Simulator.run).parameters) - {"self", "schedule"}
    assert set(Options.__annotations__) == set(_spec.DEFAULTS)


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(TypeError, match=r"^learning_rate is no argument of this call"):
        run(learning_rate=0.1)
    with pytest.raises(TypeError, match=r"^record is no argument of this call: did you mean record_at\?"):
        run(record=[1])
    with pytest.raises(TypeError, match="base_lr"):
        simulate(PROBLEM, schedules.Linear(), horizon=1, replicates=1)


def test_the_function_is_no_module():
    assert importlib.util.find_spec("anneal_sgd.simulate") is None


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
    for name, text in {
        "memory.limit_in_bytes": "5000000",
        "memory.usage_in_bytes": "1000000",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 300",
    }.items():
        (tmp_path / name).write_text(text)
    assert _machine._available_to_group(tmp_path) == 4_000_300
    (tmp_path / "memory.max").write_text("2000000")
    (tmp_path / "memory.current").write_text("1500000")
    (tmp_path / "memory.stat").write_text("inactive_file 200")
    assert _machine._available_to_group(tmp_path) == 500_200
    (tmp_path / "memory.max").write_text("max")
    (tmp_path / "memory.limit_in_bytes").unlink()
    assert _machine._available_to_group(tmp_path) is None
    monkeypatch.setattr(_machine, "_groups", lambda controller: [tmp_path, tmp_path / "missing"])
    machine = _machine.available_memory()
    (tmp_path / "memory.max").write_text("2000000")
    assert _machine.available_memory() == min(500_200, machine or 500_200)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is left is read from /proc")
def test_a_limit_of_the_address_space_is_told_by_name():
    """As `ulimit -v` and batch systems set it."""
    code = (
        "import resource, anneal_sgd as s; s.problems, s.schedules, s.simulate\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, -1))\n"
        "call = {'base_lr': 0.1, 'horizon': 1, 'replicates': 2**25, 'threads': 1}\n"
        "s.simulate(s.problems.AbsoluteValue(1.0), s.schedules.Linear(), **call)\n"
        "s.simulate(s.problems.AbsoluteValue(1.0), s.schedules.Linear(), **call, keep_samples=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    told = re.search(r"ValueError: keep_samples must fit in memory: .* and (\d+) are available$", done.stderr)
    assert told, done.stderr
    assert int(told[1]) <= 2**26


def test_a_system_that_tells_nothing_of_its_memory(monkeypatch):
    def no_file(*given, **named):
        raise FileNotFoundError

    monkeypatch.setattr(_machine, "open", no_file, raising=False)
    monkeypatch.delattr(os, "sysconf_names")
    assert _machine._available_to_machine() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        ("dimension=10**5, record_at=range(10, 101, 10), iterate='tail_average', horizon=100, replicates=1", 105e6),
        ("dimension=1, record_at=[100], iterate='last', horizon=100, replicates=10**7", 50e6),
        ("dimension=10**6, record_at=[3], iterate='average', horizon=3, replicates=64", 400e6),
    ],
)
def test_peak_memory(size, allowed):
    """What a call adds to the process; a million coordinates are 40 MB of parameters already."""
    code = (
        "import anneal_sgd as s; s.problems, s.schedules, s.simulate\n"
        "def peak(): return [int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')][0] * 1024\n"
        "def call(dimension, **size):\n"
        "    p = s.problems.Quadratic(0.5, noise='rademacher', noise_std=0.1, dimension=dimension)\n"
        "    s.simulate(p, s.schedules.Linear(), base_lr=0.1, threads=2, **size)\n"
        f"before = peak(); call({size}); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < allowed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_calls_with_ever_new_methods_do_not_keep_ever_more():
    """A method has the problem laid out for it: for a million coordinates 53 MB. No garbage collector is waited for."""
    code = (
        "import gc, anneal_sgd as s; gc.disable()\n"
        "def peak(): return [int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')][0] * 1024\n"
        "p = s.problems.Quadratic(0.5, noise='rademacher', noise_std=0.1, dimension=10**6)\n"
        "def call(b):\n"
        "    method = s.methods.Adam(beta1=b)\n"
        "    s.simulate(p, s.schedules.Linear(), base_lr=0.1, horizon=1, replicates=1, threads=1, method=method)\n"
        "call(0.5); before = peak()\n"
        "for i in range(12): call(0.01 * i)\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 350e6


@pytest.mark.parametrize(
    "problem", [PROBLEM, QUIET, problems.Custom("sum(x**2)", x0=[1.0, 2.0], minimum=0.0)], ids=repr
)
def test_no_call_leaves_anything_to_the_garbage_collector(problem):
    """It may be off, as in `timeit`, or come late: what a call has made can be large."""

    def calls():
        call = {"base_lr": [0.1, 0.2], "horizon": 3, "replicates": 4}
        simulate(problem, schedules.Linear(), **call, method=methods.Adam(), keep_samples=True).quantile(0.5)
        Simulator(problem).run(schedules.Cosine(), **call)
        estimate(problem, schedules.Linear(), **call)

    calls()
    gc.collect()
    gc.disable()
    try:
        calls()
        assert gc.collect() == 0
    finally:
        gc.enable()


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


@pytest.mark.parametrize(
    "problem",
    [
        *(
            problems.Quadratic(0.5, noise="gaussian", noise_std=1.0, projection=projection, dimension=2**20)
            for projection in (None, ("ball", 3e3))
        ),
        problems.Custom(lambda x: np.sum(x**2), x0=1.0, dimension=2**18, minimum=0.0, noise="gaussian", noise_std=1.0),
    ],
    ids=["quadratic", "ball", "custom"],
)
def test_interrupt_is_heard_in_a_large_dimension(problem):
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


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_processors_of_control_groups(tmp_path, monkeypatch, files, quota):
    """Of both versions; what a container may use bounds the default of `threads`."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(_machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(_machine, "_groups", lambda controller: [tmp_path, tmp_path / "missing"])
    _machine._processor_quota.cache_clear()
    assert _machine.usable_processors() == (16 if quota is None else quota)
    _machine._processor_quota.cache_clear()


def test_nothing_is_read_in_the_encoding_of_the_place():
    code = (
        "from anneal_sgd import problems, schedules, simulate\n"
        "simulate(problems.Quadratic([1.0] * 9999), schedules.Linear(), base_lr=0.1, horizon=1, replicates=9999)"
    )
    command = [sys.executable, "-X", "warn_default_encoding", "-W", "error", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def test_worker_processes_take_their_threads_from_the_environment():
    code = "from anneal_sgd import runtime; print(runtime.cpu_count())"
    for threads in ("1", "3"):
        environment = {**os.environ, "ANNEAL_SGD_THREADS": threads}
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == threads


WITHOUT_EXTRAS = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("click", "rich"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
from anneal_sgd import cli
sys.exit(cli.main())
"""


def test_the_command_line_without_its_extra():
    def run_cli(*arguments):
        command = [sys.executable, "-c", WITHOUT_EXTRAS, *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    told = run_cli("info")
    assert (told.returncode, told.stderr) == (0, "")
    assert f"version: {anneal_sgd.__version__}\n" in told.stdout
    assert "backends: cpu: available; cuda: " in told.stdout
    refused = run_cli("grid")
    assert refused.returncode == 2
    assert refused.stderr == "anneal-sgd: the command line needs click and rich: pip install 'anneal_sgd[cli]'\n"


# --- estimates --------------------------------------------------------------------------------------------------------


def test_an_estimate_of_a_long_call_is_about_right():
    arguments = {"base_lr": [0.1, 0.2], "horizon": 20_000, "threads": 1}
    began = time.perf_counter()
    replicates = 64
    while True:  # as many as take some seconds
        told = estimate([PROBLEM, PROBLEM], schedules.Linear(), replicates=replicates, **arguments)
        if told.seconds > 2:
            break
        replicates *= 4
    assert time.perf_counter() - began < 30
    assert told.trajectories == 4 * replicates
    assert told.trajectory_steps == told.trajectories * 20_000
    began = time.perf_counter()
    simulate([PROBLEM, PROBLEM], schedules.Linear(), replicates=replicates, **arguments)
    assert 0.2 < (time.perf_counter() - began) / told.seconds < 5  # beside other work


def test_an_estimate_changes_nothing():
    generator, out = np.random.default_rng(1), np.full((1000,), -1.0, np.float32)
    told = estimate(
        PROBLEM, schedules.Linear(), base_lr=0.1, horizon=10, replicates=1e3, seed=generator, out=out, progress=print
    )
    assert told.trajectories == 1000
    assert told.rate > 0
    assert (out == -1.0).all()
    assert generator.integers(100) == np.random.default_rng(1).integers(100)
    with pytest.raises(ValueError, match=r"^horizon must be"):
        estimate(PROBLEM, schedules.Linear(), base_lr=0.1, horizon=0, replicates=1)


def test_the_package_offers_what_it_says():
    for name in anneal_sgd.__all__:
        assert getattr(anneal_sgd, name) is not None
    assert set(anneal_sgd.__all__) <= set(dir(anneal_sgd))
    assert anneal_sgd.experiments.__name__ == "anneal_sgd.experiments"
    with pytest.raises(AttributeError, match="no attribute 'simulation'"):
        _ = anneal_sgd.simulation


# --- the same call again ----------------------------------------------------------------------------------------------


X, Y = np.random.default_rng(0).standard_normal((30, 3)), np.arange(30) % 2
OWN = problems.Custom(
    lambda x, a: a * np.sum(x**4), x0=[1.0, 0.5], parameters={"a": 0.3}, noise=lambda x, draw: draw.laplace()
)
AGAIN = {
    "separable": (problems.AbsoluteValue(0.5, noise="gaussian", noise_std=1.0), schedules.Linear(), {"base_lr": 0.1}),
    "dimensions": (
        [problems.Quadratic(c, noise="uniform", noise_std=0.3) for c in (1.0, 2.0)],
        [schedules.Linear(), schedules.Cosine(floor=0.1)],
        {"base_lr": [0.1, 0.2], "record_at": [3, 9], "iterate": ["last", "tail_average"], "tail_frac": 0.25},
    ),
    "own": (
        OWN,
        schedules.Cosine(),
        {"base_lr": [0.01], "metric": {"value": "value", "size": lambda x: np.linalg.norm(x)}, "dtype": "float64"},
    ),
    "method": (
        OWN,
        schedules.Constant(),
        {"base_lr": 0.01, "method": methods.Adam(beta1=0.5), "iterate": "ema", "ema_decay": 0.5},
    ),
    "data": (
        problems.LogisticRegression(X, Y, batch_size=4),
        schedules.Linear(),
        {"base_lr": 0.1, "momentum": 0.9, "nesterov": True, "metric": ["loss"], "common_random_numbers": False},
    ),
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_spec_has_the_arguments_of_its_call(name):
    problem, schedule, options = AGAIN[name]
    call = {"horizon": 9, "seed": np.random.default_rng(3), **options}
    first = simulate(problem, schedule, **call, replicates=1024)
    rest = simulate(**first.spec.arguments(), replicates=500, first_replicate=1024)
    whole = simulate(problem, schedule, **{**call, "seed": first.seed}, replicates=1524)
    assert rest.spec == first.spec == whole.spec
    assert np.array_equal((first + rest).mean, whole.mean)
    assert not np.array_equal(first.mean, whole.mean)


def test_a_spec_of_another_stream_has_no_call_here():
    spec = simulate(*AGAIN["separable"][:2], base_lr=0.1, horizon=3, replicates=2).spec
    old = dataclasses.replace(spec, stream_version=spec.stream_version - 1)
    with pytest.raises(ValueError, match=r"^stream_version must be \d+ here, got \d+: take the version of anneal_sgd"):
        old.arguments()


def test_parts_of_a_call_come_from_spawned_processes():
    """Own functions and metrics go there as programs."""
    problem, schedule, options = AGAIN["own"]
    whole = simulate(problem, schedule, **options, horizon=9, replicates=2048)
    call = whole.spec.arguments()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        parts = [processes.submit(simulate, **call, replicates=1024, first_replicate=first) for first in (1024, 0)]
        total = sum(part.result() for part in parts)
    assert np.array_equal(total.mean, whole.mean)
    assert total.replicate_ranges == ((0, 2048),)
