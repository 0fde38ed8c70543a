"""The main job: its estimator on known answers, its report, and the command line around it."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from anneal_sgd import experiments, schedules, theory
from anneal_sgd.experiments import validate

CHEAP = validate._Size(
    horizon=4000,
    trajectories=60_000,
    pilot_replicates=128,
    horizon_replicates=2048,
    allowance=0.1,
    horizon_allowance=0.1,
)


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setitem(validate.PRESETS, "quick", CHEAP)


def test_peak_is_exact_for_cubics():
    x = np.arange(-3.0, 4.0)
    fine = np.linspace(-3, 3, 100_001)
    cubics = np.random.default_rng(0).normal(size=(300, 4)) * [1, 1, 0.3, 0.1]
    cubics = np.concatenate(
        [cubics, [[0, 0, 0, 1], [0, 0, -1, 0], [0, 0.5, -1, 0], [0, 1, 0, 0], [0, -1, 0, 0.001], [1, 0, 0, 0]]]
    )
    values, places = validate.peak(np.array([np.polynomial.polynomial.polyval(x, c) for c in cubics]))
    for c, value, place in zip(cubics, values, places, strict=True):
        curve = np.polynomial.polynomial.polyval(fine, c)
        assert value == pytest.approx(curve.max(), abs=1e-8)
        assert np.polynomial.polynomial.polyval(place, c) == pytest.approx(value, abs=1e-9)


def test_peak_fits_by_least_squares():
    y = np.random.default_rng(1).normal(size=(50, 7)) - np.arange(-3.0, 4.0) ** 2
    for row, (value, place) in zip(y, zip(*validate.peak(y), strict=True), strict=True):
        fit = np.polynomial.Polynomial.fit(np.arange(-3.0, 4.0), row, 3)
        assert fit(place) == pytest.approx(value)
        assert value == pytest.approx(fit(np.linspace(-3, 3, 10_001)).max(), abs=1e-5)


def test_slope_is_least_squares():
    x = np.array([1.0, 2.0, 4.0, 5.0])
    y = np.array([[1.0, 3.0, 2.0, 7.0], [2.0, 2.0, 2.0, 2.0]])
    assert validate._slope(x, y).tolist() == pytest.approx([np.polyfit(x, y[0], 1)[0], 0.0])


def test_windows_stay_in_range():
    for horizon in (1000, 10**6):
        grid = validate._pilot_grid(horizon)
        assert grid[-1] == validate.LARGEST_PARAMETER
        assert grid[0] >= 0.5 / math.sqrt(horizon)
        for peak in (0, 5, grid.size - 1):
            window = validate._window(-np.abs(np.arange(grid.size) - peak).astype(float), horizon)
            assert window.shape == (validate.WINDOW,)
            assert window[0] >= 0.5 / math.sqrt(horizon) * 0.999
            assert window[-1] <= validate.LARGEST_PARAMETER * 1.001


def test_families_have_the_stated_noise():
    nonsmooth, smooth = validate._family("nonsmooth", 0.3), validate._family("smooth", 0.3)
    assert nonsmooth.second_moment == pytest.approx(1)
    assert smooth.noise_std.tolist() == [1.0]


@pytest.mark.usefixtures("cheap")
def test_rows_agree_with_theory_and_are_complete():
    seen, fractions = [], []
    report = experiments.validate_rates(
        preset="quick",
        schedules=[schedules.Linear(), schedules.Polynomial(2)],
        seed=3,
        progress=lambda label, done, total: fractions.append(done / total),
        on_row=seen.append,
    )
    assert report.rows == seen
    assert [(row.setting, row.schedule) for row in seen] == [
        (setting, name) for setting in ("nonsmooth", "smooth") for name in ("linear", "polynomial(2)")
    ]
    assert report.passed
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    for row in seen:
        assert row.ci_low < row.exponent < row.ci_high
        assert abs(row.exponent - row.theory) < 0.06
        assert row.trajectories >= CHEAP.trajectories
        for values in (row.worst_suboptimality, row.stderr, row.worst_parameter, row.bound, row.fitted, row.base_lr):
            assert len(values) == len(row.rho)
        assert all(row.rho[i] >= 15.9 for i, used in enumerate(row.fitted) if used)


def test_the_plateau_of_a_constant_stepsize(monkeypatch):
    """For p = 0 the worst mean is the stationary value eta/2 (non-smooth): exact, since 2 a E|x| = eta E g^2."""
    size = dataclasses.replace(CHEAP, horizon=10_000)
    monkeypatch.setitem(validate.PRESETS, "quick", size)
    (row,) = experiments.validate_rates(
        preset="quick", settings=["nonsmooth"], schedules=[schedules.Constant()], seed=1
    ).rows
    fitted = np.array(row.fitted)
    ratio = np.array(row.worst_suboptimality)[fitted] / (np.array(row.base_lr)[fitted] / 2)
    assert ratio == pytest.approx(1, abs=0.06)


@pytest.mark.usefixtures("cheap")
def test_the_same_seed_gives_the_same_json():
    options = {"preset": "quick", "settings": ["smooth"], "schedules": [schedules.Cosine()]}
    first = experiments.validate_rates(**options, seed=7, threads=1).to_json()
    assert experiments.validate_rates(**options, seed=7, threads=2).to_json() == first
    assert experiments.validate_rates(**options, seed=8).to_json() != first
    parsed = json.loads(first)
    assert parsed["meta"]["seed"] == 7
    assert {"setting", "schedule", "theory", "exponent", "ci_low", "ci_high", "horizon", "rho", "worst_suboptimality",
            "stderr", "worst_parameter", "bound"} <= parsed["rows"][0].keys()  # fmt: skip


def test_a_wrong_exponent_does_not_pass():
    (row,) = make_report().rows
    assert row.within(0.03, 0.02)
    for change in (
        {"exponent": 0.4, "ci_low": 0.39, "ci_high": 0.41},
        {"ci_low": 0.2, "ci_high": 0.5},
        {"horizon_exponent": -0.45},
        {"bound": [1e-9, 1e-9]},
    ):
        assert not validate.RateRow(**{**vars(row), **change}).within(0.03, 0.02)


def make_report():
    row = validate.RateRow(
        setting="nonsmooth", schedule="linear", theory=1 / 3, exponent=0.335, ci_low=0.33, ci_high=0.34, horizon=1000,
        base_lr=[0.5, 1.0], rho=[16.0, 32.0], fitted=[True, True], worst_suboptimality=[0.02, 0.025],
        stderr=[1e-4, 1e-4], worst_parameter=[0.1, 0.12], bound=[0.1, 0.12], horizon_exponent=-0.5,
        horizon_ci_low=-0.51, horizon_ci_high=-0.49, horizons=[1000, 500], horizon_worst_suboptimality=[0.02, 0.03],
        horizon_stderr=[1e-4, 1e-4], trajectories=10, trajectory_steps=10,
    )  # fmt: skip
    return validate.RateReport([row], {"allowance": 0.03, "horizon_allowance": 0.02, "preset": "default", "seed": 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "slow"}, "preset must be one of .*, got 'slow'"),
        ({"settings": ["rough"]}, "settings must be one of .*, got 'rough'"),
        ({"settings": []}, "settings must be one or more of nonsmooth, smooth, got"),
        ({"settings": "smooth"}, "settings must be one or more of nonsmooth, smooth, got 'smooth'"),
        ({"schedules": []}, "schedules must be a sequence of schedules, got"),
        ({"schedules": ["linear"]}, "schedules must be a sequence of schedules, got"),
        ({"schedules": schedules.Linear()}, "schedules must be a sequence of schedules, got"),
        ({"seed": -1}, "seed must be an integer in .*, got -1"),
        ({"seed": 1.5}, "seed must be an integer in .*, got 1.5"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        experiments.validate_rates(**options)


def test_bounds_are_those_of_theory():
    job = validate._Job("smooth", schedules.Linear(), CHEAP, 0)
    assert job.eta_star == theory.tuned_base_lr(schedules.Linear(), CHEAP.horizon)
    assert validate._gradient_bound("smooth", 0.5) == pytest.approx(math.sqrt(1.25))


def test_plots_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    from anneal_sgd.experiments.plots import plot_validation

    paths = plot_validation(make_report(), tmp_path)
    assert sorted(path.name for path in paths) == [
        "robustness.png", "robustness.svg", "worst_parameter.png", "worst_parameter.svg"
    ]  # fmt: skip
    assert all(path.stat().st_size > 5000 for path in paths)


def anneal_sgd(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "anneal_sgd", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "--schedule", "zigzag"], ["zigzag", "cosine"]),
        (["validate", "--setting", "rough"], ["settings", "rough", "nonsmooth"]),
        (["validate", "--seed", "x"], ["--seed", "x"]),
        (["validate", "--seed", "-1"], ["seed", "-1"]),
        (["validate", "--quick", "--threads", "0"], ["threads", "0"]),
        (["validate", "--json", "/no/such/folder/x.json"], ["--json", "/no/such/folder"]),
        (["validate", "--frobnicate"], ["--frobnicate"]),
        (["validate", "--quick", "--full"], ["--quick", "--full"]),
        (["explode"], ["explode"]),
    ],
)
def test_bad_command_lines_get_one_line_and_status_2(arguments, words):
    done = anneal_sgd(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words)


def test_without_a_command_it_helps():
    done = anneal_sgd()
    assert done.returncode == 0
    assert "validate" in done.stdout


def test_info():
    done = anneal_sgd("info")
    assert done.returncode == 0
    for word in ("version", "stream version", "isa", "threads", "cpu: available", "cuda:"):
        assert word in done.stdout


@pytest.mark.usefixtures("cheap")
def test_validate_writes_everything(tmp_path, capsys):
    from anneal_sgd.cli import main

    file = tmp_path / "rates.json"
    output = tmp_path / "out"
    status = main(
        [
            "validate",
            "--quick",
            "--setting",
            "nonsmooth",
            "--schedule",
            "linear",
            "--json",
            str(file),
            "--output",
            str(output),
        ]
    )
    assert status == 0
    assert json.loads(file.read_text())["rows"][0]["schedule"] == "linear"
    assert (output / "validate.json").read_text() == file.read_text()
    table = capsys.readouterr().out
    assert "1 of 1 rows agree with theory" in table
    assert "1 of 1 rows agree with theory" in (output / "validate.txt").read_text(encoding="utf-8")
    assert (output / "robustness.png").exists()


@pytest.mark.usefixtures("cheap")
def test_an_interrupt_keeps_finished_rows_and_what_repeats_them(tmp_path, monkeypatch, capsys):
    from anneal_sgd.cli import main

    whole = validate._Job.run

    def interrupted(job, *arguments):
        if job.schedule == schedules.Cosine():
            raise KeyboardInterrupt
        return whole(job, *arguments)

    monkeypatch.setattr(validate._Job, "run", interrupted)
    file = tmp_path / "rates.json"
    options = ["--setting", "smooth", "--schedule", "linear", "--schedule", "cosine", "--seed", "3"]
    assert main(["validate", "--quick", *options, "--json", str(file)]) == 130
    written = json.loads(file.read_text())
    assert [row["schedule"] for row in written["rows"]] == ["linear"]
    assert written["meta"]["interrupted"] is True
    assert written["meta"]["schedules"] == ["linear", "cosine"]
    assert {"anneal_sgd", "stream_version", "seed", "settings", "preset"} <= set(written["meta"])
    assert "linear" in capsys.readouterr().out


@pytest.mark.usefixtures("cheap")
def test_disagreement_is_status_1(monkeypatch, capsys):
    from anneal_sgd.cli import main

    strict = dataclasses.replace(CHEAP, trajectories=20_000, allowance=1e-6, horizon_allowance=1e-6)
    monkeypatch.setitem(validate.PRESETS, "quick", strict)
    assert main(["validate", "--quick", "--setting", "smooth", "--schedule", "cosine"]) == 1
    assert "0 of 1 rows agree" in capsys.readouterr().out
