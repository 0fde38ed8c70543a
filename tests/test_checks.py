"""The scripts of docs/checks run, and docs/claims.md names what is there: each shortened, not the figures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
CHECKS = ROOT / "docs" / "checks"


def script(name):
    return runpy.run_path(str(CHECKS / f"{name}.py"))


def test_claims_name_scripts_and_tests_that_are_there():
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+\.py)", page))
    assert named == {path.name for path in CHECKS.glob("*.py")}
    for test in set(re.findall(r"`(test_\w+)", page)):
        assert (ROOT / "tests" / f"{test}.py").exists(), test


def test_few_runs(capsys):
    checks = script("few_runs")
    checks["show"].__globals__["measure"] = lambda dimension, seed: checks["measure"](dimension, seed, 8, 50)
    checks["show"](5, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1] for line in lines[:3]] == ["constant", "cosine", "polynomial(3)"]
    assert lines[3].startswith("| | constant − cosine | ")


def test_the_picks_of_few_runs_are_put_where_they_belong():
    """Of the report's rows: mean excess, by schedule, resolution and runs."""
    checks = script("few_runs")
    report = checks["measure"](5, 3, 8, 50)
    found = checks["excess"](report)
    assert found.shape == (3, 2, 3)
    assert found[1, 1, 0] == 100 * report.rows[1].picks[0].mean_excess[9]  # the tenth power of the fine grid's spacing
    assert found[2, 0, 2] == 0.0


def test_rates(capsys):
    checks = script("rates")
    rows = [checks["measure"]("nonsmooth", "linear", 1000, seed, 1) for seed in (0, 1)]
    checks["show"](rows)
    assert re.search(r"mean exponent in rho 0\.\d+: held by \d of 2 intervals", capsys.readouterr().out)


def test_float32(capsys):
    script("float32")["show"](500, 64, [1.0, 16.0], [0.5])
    assert re.match(r"T = 500, 64 replicates, slope 0\.5: ", capsys.readouterr().out)


def test_one_problem(capsys):
    script("one_problem")["show"](8)
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_grid_intervals(capsys):
    checks = script("grid_intervals")
    checks["show"](4, 24)
    assert "picks of 10 runs: each end missed in" in capsys.readouterr().out
    row = type("Row", (), {"worst_low": [0, 1, 1], "worst_high": [0, 2, 2], "worst_excess": [0, 3.0, 0.5]})
    assert checks["missed"]([row], row) == ([100.0, 0.0], [0.0, 100.0])


def test_minimax_on_data():
    checks = script("minimax_on_data")
    mean = np.array([[4.0, 2.0, 1.0, 3.0] + [9.0] * 20, [8.0] * 24])
    assert checks["of_best_window"](mean, 10**0.2) == [3.0, 8.0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*diverged")
def test_minimax_on_data_as_the_page_has_it():
    checks = script("minimax_on_data")
    mean = checks["means"](checks["data"]("synthetic-logistic"), 5000, 100.0, 32, "suboptimality")
    np.testing.assert_allclose(checks["of_best_window"](mean, 100.0), [1.87, 2.74, 4.15, 6.09], rtol=0.03)


def test_robustness_intervals():
    shares = script("robustness_intervals")["held"](1, 0.1)
    assert {share for of in shares.values() for share in of if share == share} <= {0.0, 1.0}


def test_coarse_problems(capsys):
    checks = script("coarse_problems")
    checks["show"](64)
    assert capsys.readouterr().out.startswith(" 4/16 of an octave: cubic ")
    parabola = -0.001 * (np.arange(112.0) - 55.3) ** 2  # which both find
    assert np.abs(checks["apart"](parabola[None], 8)).max() < 1e-6


def test_estimator(capsys):
    checks = script("estimator")
    checks["show"].__globals__.update(COMMON=2, REPLICATES=64)
    checks["show"](checks["SCHEDULES"][1], 64)
    assert re.match(r"linear +parabola and cubic apart by ", capsys.readouterr().out)
    line = np.exp(0.1 * checks["PLACES"] ** 2)[None]  # of a parabola every fit finds the same
    for degree in (2, 3, 4):
        assert checks["largest"](line, degree) == pytest.approx([0.9])
