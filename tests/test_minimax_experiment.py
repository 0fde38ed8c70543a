"""`anneal-sgd minimax`: what it measures against what is known, its report, and the command line around it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from anneal_sgd import experiments, problems, schedules, simulate, theory
from anneal_sgd.experiments import minimax

SMALL = {"ratios": [20.0], "horizon": 500, "replicates": 512, "threads": 1}


def test_rows_are_theory_and_simulations():
    told = []
    report = experiments.minimax_robustness(**SMALL, on_row=told.append, progress=lambda label, done: told.append(done))
    rows = report.rows
    assert [row for row in told if isinstance(row, experiments.MinimaxRow)] == rows
    done = [x for x in told if isinstance(x, float)]
    assert done == sorted(done)
    assert done[-1] == 1.0
    names = ["minimax(20)", "polynomial(2.55)", "cosine", "linear"]
    assert [(row.setting, row.schedule) for row in rows] == [(s, n) for s in ("nonsmooth", "smooth") for n in names]
    for row in rows:
        schedule = schedules.by_name(row.schedule)
        rates = row.base_lr * np.array(row.rho)
        assert (row.rho[0], row.rho[-1]) == (1.0, pytest.approx(20.0))
        exact = theory.worst_case(schedule, 500, base_lr=rates).value * np.sqrt(500)
        np.testing.assert_allclose(row.worst_case, exact)
        assert row.worst_case[0] == pytest.approx(row.worst_case[-1], rel=1e-6)
        assert np.all(np.array(row.worst_case) <= row.bound)
        rates = row.simulated_base_lr * np.array(row.rho)
        at_those = theory.worst_case(
            schedule, 500, base_lr=rates, gradient_bound=1.0 if row.setting == "nonsmooth" else 1.12
        )
        assert np.all(np.array(row.simulated) + 3 * np.array(row.stderr) < at_those.value * np.sqrt(500))
    for setting in (rows[:4], rows[4:]):
        worst = [row.simulated[row.worst] for row in setting]
        guaranteed = [max(row.worst_case) for row in setting]
        assert worst[0] == min(worst)
        assert guaranteed == sorted(guaranteed)


def test_means_are_those_of_the_family():
    """Other noise, simulated afresh at the learning rates and slopes that a row names: |z| < 5."""
    report = experiments.minimax_robustness(**SMALL, settings=["nonsmooth"], noise="gaussian")
    row = report.rows[0]
    for rho, slope, mean, stderr in list(zip(row.rho, row.worst_parameter, row.simulated, row.stderr, strict=True))[
        ::3
    ]:
        problem = problems.AbsoluteValue(
            slope=slope, noise="gaussian", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
        )
        again = simulate(
            problem, schedules.Minimax(20), base_lr=rho * row.simulated_base_lr, horizon=500, replicates=2048, seed=77
        )
        assert abs(again.mean * np.sqrt(500) - mean) < 5 * np.hypot(again.stderr * np.sqrt(500), stderr)


def test_best_window():
    """|log lr| has its best window of ratio 100 around 1."""
    rates = np.geomspace(1e-4, 1e4, 201)
    found = minimax._best_window(rates, np.exp(np.abs(np.log(rates))), np.geomspace(1.0, 100.0, 9))
    assert found == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("ratios", [1.0], "ratios must be"),
        ("ratios", [2000.0], "ratios must be"),
        ("ratios", [], "ratios must be"),
        ("settings", [], "settings must be one or more of nonsmooth, smooth"),
        ("settings", ["rough"], "settings must be one of 'nonsmooth', 'smooth', got 'rough'"),
        ("noise", "uniform", "noise must be one of 'rademacher', 'gaussian', got 'uniform'"),
        ("schedules", ["linear"], "schedules must be a schedule or a sequence of schedules"),
        ("horizon", 8, "horizon must be an integer in 16"),
        ("replicates", 3, "replicates must be an integer in 4"),
        ("replicates", 2**32, "replicates must be an integer in 4"),
        ("seed", -1, "seed must be"),
    ],
)
def test_wrong_arguments_are_named(argument, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        experiments.minimax_robustness(**(SMALL | {argument: value}))


def test_command_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "anneal_sgd",
        "minimax",
        "--ratio",
        "10",
        "--horizon",
        "500",
        "--replicates",
        "256",
    ]
    done = subprocess.run(
        [*command, "--setting", "smooth", "--schedule", "wsd", "-o", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "30"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    _, headings, first, *_ = done.stdout.splitlines()
    assert headings.split()[-1] == "simulated"
    assert re.search(r"minimax\(10\) .* \d\.\d{3} ± \d\.\d{3}$", first.rstrip())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["minimax.json", "minimax.png", "minimax.svg", "minimax.txt"]
    told = json.loads((tmp_path / "minimax.json").read_text())
    assert [row["schedule"] for row in told["rows"]] == ["minimax(10)", "polynomial(1.95)", "wsd(0.2, linear)"]
    done = subprocess.run([*command, "--noise", "none"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "anneal-sgd: noise must be one of 'rademacher', 'gaussian', got 'none'\n"
