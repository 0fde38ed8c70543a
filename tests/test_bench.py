"""Every benchmark case runs, at tiny size, so that none rots; the table of what the kernels take is current."""

import importlib
import importlib.util
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd import benchmark, cli, problems, runtime
from anneal_sgd.benchmark import _limits

BENCH = Path(__file__).parent.parent / "bench"


def bench(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "anneal_sgd", "bench", "--tiny", "--rounds", "1", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_case_runs_beside_every_peer_that_is_installed(tmp_path):
    printed = bench("--peers", "--scaling", "--json", str(tmp_path / "bench.json"))
    peers, _ = benchmark.available_peers()
    assert {"NumPy", "C++"} <= set(peers)
    for case in benchmark.CASES:
        for what in ("anneal_sgd", *(peer for peer in case.peers if peer in peers)):
            assert f"| {case.name} | {what} |" in printed
    report = json.loads((tmp_path / "bench.json").read_text())
    assert all(row["disagreement"] == "" and row["seconds"] for row in report["rows"])
    assert set(report["scaling"]) == {series.name for series in benchmark.SCALING}
    assert report["machine"]["tiny"]
    assert report["tiny_calls"]["simulate"] > 0
    assert "import_seconds" in report["costs"]
    for case in (case for case in benchmark.CASES if case.beside):
        (row,) = (row for row in report["rows"] if row["case"] == case.name and row["what"] == case.beside.name)
        other = case.beside.tiny()
        assert row["work"] == other.trajectories * other.horizon * other.work_per_step
    has_limit = {c.name for c in benchmark.CASES if c.counted or isinstance(c.problem(), problems.DataProblem)}
    expected = has_limit if runtime.isa() in ("avx2", "avx512") else set()
    assert {row["case"] for row in report["rows"] if row["limit_fraction"]} == expected
    assert bool(report["rates"]) == bool(expected)
    written = subprocess.run(
        [sys.executable, str(BENCH / "results.py"), str(tmp_path / "bench.json")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line for line in written.splitlines() if line.startswith("#")] == [
        line for line in (BENCH / "RESULTS.md").read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]


def test_speeds_by_commit_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    history = importlib.import_module("history")
    run = history.read("now", (BENCH / "RESULTS.md").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+ cores of .+; (scalar|avx2|avx512|neon)", run.machine)
    assert {"abs-gaussian", "logistic-16", "mlp-digits-32"} <= run.speeds.keys()
    page = (
        "# R\n\n2 cores of P, family 3; avx2, x\n\n| case | what | units/s | ns per unit | ours / it | z |\n"
        "| --- | --- | --- | --- | --- | --- |\n| a | anneal_sgd | 3.5 G (3 G to 4 G) | 1 |  |  |\n"
        "|  | fast | 7 M (6 M to 8 M) | 2 | 500 |  |\n|  | slow | 3 M (2 M to 4 M) | 3 | 1e+03 |  |\n"
        "| b | anneal_sgd | 20 M (1 M to 30 M) | 1 |  |  |\n\n## Targets\n\n| c | d | 9 G (1 M) | 4 | 5 |\n"
    )
    assert history.read("r", page) == history.Run(
        "r", "2 cores of P; avx2", {"a": history.Speed(3.5e9, 500.0), "b": history.Speed(2e7, None)}
    )


def test_a_case_is_slower_where_its_rate_and_its_ratio_are(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    history = importlib.import_module("history")

    def told(*speeds):
        return history.slower([history.Run("r", "m", {"a": history.Speed(*speed)}) for speed in speeds])

    assert told((100.0, 5.0), (89.0, 4.4)) == ["a: 8.9e-05 M (4.4); of the runs before 0.0001 M"]
    assert told((100.0, 5.0), (89.0, 4.6)) == []  # a slow machine
    assert told((100.0, 5.0), (91.0, 4.0)) == []  # a faster peer
    assert len(told((100.0, None), (89.0, None))) == 1
    assert told((300.0, 9.0), (100.0, 3.0), (100.0, 3.0), (100.0, 3.0), (95.0, 3.0)) == []  # what was long ago
    assert told((100.0, 5.0)) == []


def test_a_target_is_reached_or_not_by_its_own_limit(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    results = importlib.import_module("results")

    def timing(case, what, rate):
        return {"case": case, "what": what, "rate": rate, "seconds": [1.0]}

    report = results.Report({"rows": [timing("a", "anneal_sgd", 24.0), timing("a", "x", 1.0), timing("a", "y", 2.0)]})
    assert results.times("A", "a", 12).row(report) == ["A: ≥ 12 times the fastest peer", "12 (y), 24 (x)", "yes"]
    assert results.times("A", "a", 12.1).row(report)[-1] == "no"
    assert results.times("B", "b", 12).row(report)[1:] == ["not measured", ""]
    least = results.Target("w", 5, lambda r: r.rate("a"), results.percent, most=True)
    assert least.row(report) == ["w", "2400 %", "no"]


def test_every_case_for_gpus_runs():
    printed = bench("--gpu")
    for case in benchmark.GPU_CASES:
        assert f"| {case.name} | anneal_sgd |" in printed


def test_a_peer_that_computes_something_else_has_no_time(monkeypatch):
    def wrong(case, steps):
        return benchmark._cases.Peer(lambda seed: np.ones((case.trajectories, 1)), lambda points: 2.0 * points[:, 0])

    monkeypatch.setitem(benchmark._separable_peers.PEERS, "NumPy", wrong)
    case = benchmark.CASES[0].tiny()
    ours, theirs = benchmark.measure(case, threads=1, rounds=2, peers=["NumPy"])
    assert len(ours.seconds) == 2
    assert theirs.seconds == []
    assert re.match(r"mean 2 \+- 0, ours 0\.", theirs.disagreement)


def test_least_seconds_are_the_largest_of_what_each_kind_of_unit_takes():
    able = _limits.Rates({"product": 1.0, "addition": 2.0, "shift": 2.0, "load": 4.0}, 3.0, (("addition", "shift"),))
    assert able.seconds({"product": 5.0, "addition": 2.0}) == 5.0
    assert able.seconds({"addition": 3.0, "shift": 5.0}) == 4.0  # one unit does both
    assert able.seconds({"product": 1.0, "addition": 2.0, "other": 9.0}) == 4.0  # all, three at a time
    assert able.seconds({"load": 100.0}) == 25.0  # and no part of what computes


def test_sorts_that_the_same_units_do_are_found_as_the_largest_groups():
    alike = {("product", "word_product"), ("addition", "maximum"), ("addition", "shift"), ("maximum", "shift")}
    assert _limits.groups_of(alike) == (("product", "word_product"), ("addition", "maximum", "shift"))
    assert _limits.groups_of({("product", "addition"), ("addition", "logic")}) == (
        ("product", "addition"),
        ("addition", "logic"),
    )


@pytest.mark.skipif(runtime.isa() not in _limits.WIDTHS, reason="no limits are known for this instruction set")
def test_rates_of_this_machine_are_those_of_cores():
    """Below 16 operations a cycle at 10 GHz."""
    able = _limits.rates(runtime.isa(), "float32", 1)
    assert all(1e6 < rate < 16e10 for rate in able.of.values())
    assert able.together >= max(able.of[sort] for sort in ("product", "addition", "logic"))
    assert 1e6 < _limits.bandwidth(runtime.isa(), 1, 2**16) < 1e13


def test_counts_are_of_all_instruction_sets_that_have_limits():
    counts = _limits.counted()["counts"]
    assert set(counts) == set(_limits.WIDTHS)
    for isa, dtype in ((isa, dtype) for isa in counts for dtype in ("float32", "float64")):
        for noise, of_step in counts[isa][dtype].items():
            assert of_step["maximum"] == (1.0 if isa == "avx512" else 2.0), "a box has two ends, or one size"
            assert of_step["addition"] >= 3.0, "x, and what it could not take"
            assert of_step["word_product"] * (2 if dtype == "float32" else 1) >= (8 if noise == "gaussian" else 0.1)


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
def test_counts_are_those_of_the_module():
    """Within a twentieth, where the compiler is the one that they are of; else bench/instructions.py makes new ones."""
    done = subprocess.run([sys.executable, BENCH / "instructions.py"], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout) if done.returncode == 0 else {"compiler": done.stderr}
    if told["compiler"] != _limits.counted()["compiler"]:
        pytest.skip(f"the module is of another compiler, or stripped: {told['compiler'].strip()}")
    for isa, dtype, noise in itertools.product(_limits.WIDTHS, ("float32", "float64"), ("gaussian", "rademacher")):
        found, kept = (counts["counts"][isa][dtype][noise] for counts in (told, _limits.counted()))
        assert found == pytest.approx(kept, rel=0.05, abs=0.25)


def test_rates_are_medians_of_rounds():
    timing = benchmark.Timing("c", "w", 1, "coordinate-steps", 10, 5, 100.0, seconds=[1.0, 4.0, 2.0])
    assert (timing.rate, timing.rates, timing.steps_rate) == (50.0, (25.0, 100.0), 25.0)


def test_bad_arguments_of_bench(capsys, tmp_path):
    for arguments, message in (
        (["--case", "none"], "--case must be one of abs-gaussian"),
        (["--json", str(tmp_path / "no" / "b.json")], "--json: folder"),
        (["--rounds", "0"], "--rounds"),
    ):
        assert cli.main(["bench", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_two_builds_are_compared():
    done = subprocess.run(
        [sys.executable, str(BENCH / "compare.py"), sys.executable, sys.executable, "--tiny", "--rounds", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for case in benchmark.CASES:
        assert re.search(rf"\| {case.name} \| [\d.e-]+ \| [\d.e-]+ \| [\d.]+ \([\d.]+ to [\d.]+\) \|", done.stdout)


@pytest.mark.skipif(importlib.util.find_spec("benchopt") is None, reason="benchopt is not installed")
def test_the_example_for_another_harness_runs(tmp_path):
    command = [sys.executable, "-m", "benchopt", "run", str(BENCH / "benchopt"), "-n", "3", "-r", "1", "--no-plot"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_no_kernel_spills_and_the_table_is_current():
    done = subprocess.run(
        [sys.executable, str(BENCH / "kernel_resources.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_table_is_made_with_the_options_of_the_build():
    text = (BENCH / "kernel_resources.py").read_text(encoding="utf-8")
    options = re.findall(r'"(--[a-z=-]+)"', text.split("OPTIONS = ", 1)[1].splitlines()[0])
    assert f"set(cuda_options {' '.join(options)} " in (BENCH.parent / "CMakeLists.txt").read_text(encoding="utf-8")
