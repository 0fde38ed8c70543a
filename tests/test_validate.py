"""The main job: its estimator on known answers, its report, and the command line around it."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from anneal_sgd import experiments, problems, schedules, simulate, theory
from anneal_sgd.experiments import _families, validate
from anneal_sgd.experiments._families import FAMILIES, Family
from anneal_sgd.experiments._regime import critical_step_size, regime

CHEAP = validate._Size(horizon=8000, trajectories=60_000, pilot_replicates=64, horizon_replicates=4096)
TINY = validate._Size(horizon=1000, trajectories=1, pilot_replicates=32, horizon_replicates=1024)
LEAST = validate._Size(horizon=300, trajectories=1, pilot_replicates=16, horizon_replicates=128)
DEGREES = (1, 2, 3, 4)


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setitem(validate.PRESETS, "quick", CHEAP)


@pytest.fixture(scope="module")
def measured():
    """The report of four polynomials in both settings, its rows as they came, and the shares of the work done."""
    rows, fractions = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(validate.PRESETS, "quick", CHEAP)
        report = experiments.validate_rates(
            preset="quick",
            schedules=[schedules.Polynomial(degree) for degree in DEGREES],
            seed=3,
            progress=lambda label, done, total: fractions.append(done / total),
            on_row=rows.append,
        )
    return report, rows, fractions


def claiming(row, degree):
    """That row, had its schedule claimed this degree: see test_what_is_measured_does_not_depend_on_the_claim."""
    return dataclasses.replace(row, theory=float(theory.asymptotic_exponent(degree)))


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
        grid = validate._pilot_grid(horizon, 0.5)
        assert grid[-1] == _families.LARGEST_PARAMETER
        assert grid[0] >= 0.5 / math.sqrt(horizon)
        for peak in (0, 5, grid.size - 1):
            window = validate._window(-np.abs(np.arange(grid.size) - peak).astype(float), horizon, 0.5)
            assert window.shape == (validate.WINDOW,)
            assert window[0] >= 0.5 / math.sqrt(horizon) * 0.999
            assert window[-1] <= _families.LARGEST_PARAMETER * 1.001


def test_families_have_the_stated_noise_and_start():
    nonsmooth, smooth = (FAMILIES[name].problem(0.3) for name in ("nonsmooth", "smooth-gaussian"))
    assert nonsmooth.second_moment == pytest.approx(1)
    assert (nonsmooth.noise, smooth.noise) == ("rademacher", "gaussian")
    assert smooth.noise_std.tolist() == [1.0]
    spread, norm = (FAMILIES[name].problem(0.3) for name in ("spread", "norm"))
    assert spread.second_moment == pytest.approx(1)
    assert float(norm.value([0.3, -0.4])) == pytest.approx(0.15)
    assert 2 * float(norm.parameters["noise_std"].item()) ** 2 + 0.3**2 == pytest.approx(1)
    for problem in (nonsmooth, smooth, spread, norm):
        assert float(np.linalg.norm(problem.x0)) == pytest.approx(1)
    assert [FAMILIES[s].bound_at(0.75) for s in _families.SETTINGS] == [1.0, 1.25, 1.0, 1.25, 1.0, 1.0]


def test_spread_slopes_are_one_dimensional_problems():
    """Coordinate i times the root of 10 is |x| with 10 times its share of f, in [-1, 1], at the same learning rate."""
    options = {"horizon": 400, "base_lr": 0.1, "replicates": 8192}
    whole = simulate(_families.spread(0.4), schedules.Linear(), seed=1, **options)
    slopes = 0.4 * 10.0 ** (-np.arange(10) / 3) * math.sqrt(10)
    noise = math.sqrt(1 - np.sum(slopes**2) / 10)
    box = ("box", -1.0, 1.0)
    alone = [
        problems.AbsoluteValue(slope=slope, noise="gaussian", noise_std=noise, projection=box, x0=1.0)
        for slope in slopes.tolist()
    ]
    parts = simulate(alone, schedules.Linear(), seed=2, common_random_numbers=False, **options)
    error = math.hypot(whole.stderr, math.sqrt(np.sum(parts.stderr**2)) / 10)
    assert abs(whole.mean - np.mean(parts.mean)) < 4 * error
    assert error < 0.01 * whole.mean


def test_the_plateau_of_a_norm():
    """2 a E|x| = eta E|g|^2 for a constant stepsize in its stationary law, as <f'(x), x> = f(x): exact."""
    eta = 0.02
    result = simulate(_families.norm(0.5), schedules.Constant(), base_lr=eta, horizon=2000, replicates=16_384, seed=1)
    assert result.stderr < 0.01 * result.mean
    assert abs(result.mean - eta / 2) < 4 * result.stderr


@pytest.mark.parametrize("schedule", [schedules.Constant(), schedules.Linear(), schedules.InverseSqrt()])
def test_the_logarithm_of_a_fixed_stepsize(schedule):
    """The function of docs/validate.md, against the sum that it leaves; for a fixed stepsize 3/64 ln T + O(1)."""
    left = []
    for horizon in (16, 64):
        a = 1 / (8 * np.arange(horizon, 0, -1.0))
        pieces = np.tril(np.tile(a, (horizon + 1, 1)), -1) - 0.5 * np.eye(horizon + 1, horizon)
        problem = problems.Custom(lambda x, pieces=pieces: np.max(pieces @ x), x0=np.zeros(horizon))
        options = {"horizon": horizon, "replicates": 1, "metric": "value", "dtype": "float64"}
        left.append(float(simulate(problem, schedule, base_lr=0.25, **options).mean) / 0.25)
        h = schedule.values(horizon)
        later = np.cumsum(h[::-1])[::-1] - h
        assert left[-1] == pytest.approx(np.sum(a * (h / 2 - a * later)), rel=1e-5)
    if schedule == schedules.Constant():
        assert left[1] - left[0] == pytest.approx(3 / 64 * math.log(4), abs=0.001)


@pytest.mark.parametrize("setting", ["spread", "norm"])
def test_the_exponents_hold_in_several_dimensions(setting, monkeypatch):
    monkeypatch.setattr(validate, "SEVERAL", validate._Size(4000, 1, 32, 4096 if setting == "norm" else 1024))
    (row,) = experiments.validate_rates(preset="full", settings=[setting], schedules=[schedules.Linear()]).rows
    assert (row.horizon, row.outcome, row.reason) == (4000, "agrees", "")
    assert {claiming(row, degree).outcome for degree in (0.8, 1.2)} == {"differs"}


def test_the_full_run_has_rows_in_several_dimensions():
    meta = validate.run_meta(preset="full", settings=None, schedules=None, seed=0)
    assert meta["also"] == ["spread linear", "norm linear"]
    for options in ({"preset": "default"}, {"settings": ["smooth"]}, {"schedules": [schedules.Linear()]}):
        chosen = {"preset": "full", "settings": None, "schedules": None, "seed": 0, **options}
        assert validate.run_meta(**chosen)["also"] == []


def test_rows_agree_with_theory_and_are_complete(measured):
    report, seen, fractions = measured
    assert report.rows == seen
    assert [(row.setting, row.schedule) for row in seen] == [
        (setting, schedules.Polynomial(degree).name) for setting in ("nonsmooth", "smooth") for degree in DEGREES
    ]
    assert [(row.outcome, row.reason) for row in seen] == [("agrees", "")] * len(seen)
    assert report.passed
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    for row in seen:
        assert row.ci_low < row.exponent < row.ci_high
        assert abs(row.exponent - row.theory) < 0.03
        assert row.trajectories >= CHEAP.trajectories
        for values in (row.worst_suboptimality, row.stderr, row.worst_parameter, row.bound, row.fitted, row.base_lr):
            assert len(values) == len(row.rho)
        assert all(row.rho[i] >= 7.9 for i, used in enumerate(row.fitted) if used)


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


def test_the_same_seed_gives_the_same_json(monkeypatch):
    monkeypatch.setitem(validate.PRESETS, "quick", TINY)
    options = {"preset": "quick", "settings": ["smooth"], "schedules": [schedules.Cosine()]}
    first = experiments.validate_rates(**options, seed=7, threads=1).to_json()
    assert experiments.validate_rates(**options, seed=7, threads=2).to_json() == first
    assert experiments.validate_rates(**options, seed=8).to_json() != first
    parsed = json.loads(first)
    assert parsed["meta"]["seed"] == 7
    assert {"setting", "schedule", "theory", "exponent", "ci_low", "ci_high", "horizon", "rho", "worst_suboptimality",
            "stderr", "worst_parameter", "bound"} <= parsed["rows"][0].keys()  # fmt: skip


def powers(a, distance=1.0, gradient_bound=1.0):
    """a |x|^1.5 on [-1, 1], E g^2 <= 1; its numbers scaled so that D and G are these."""
    return problems.Custom(
        lambda x, a, d, g: (g * d * a) * np.abs(x[0] / d) ** 1.5,
        x0=distance,
        parameters={"a": a, "d": distance, "g": gradient_bound},
        minimum=0.0,
        projection=("box", -distance, distance),
        noise="rademacher",
        noise_std=gradient_bound * 0.75,
    )


def test_families_of_ones_own(monkeypatch):
    """Scaled by powers of two, which changes no step; and a built-in setting, written as a program."""
    monkeypatch.setitem(validate.PRESETS, "quick", LEAST)
    one = Family("own", powers, largest=0.25)
    other = Family("own", lambda a: powers(a, 4.0, 0.5), distance=4.0, gradient_bound=lambda a: 0.5, largest=0.25)
    call = {"preset": "quick", "schedules": [schedules.Linear()], "seed": 5}
    a, b = (experiments.validate_rates(settings=[family], **call).rows[0] for family in (one, other))
    assert np.array_equal(np.multiply(8.0, a.base_lr), b.base_lr)
    for name in ("worst_suboptimality", "stderr", "bound", "horizon_worst_suboptimality"):
        assert getattr(b, name) == pytest.approx(np.multiply(2.0, getattr(a, name)), rel=1e-12)
    assert a.exponent == pytest.approx(b.exponent, rel=1e-12)
    assert a.setting == b.setting == "own"
    assert 0 < max(a.worst_parameter) <= 0.25

    def nonsmooth(a):
        return problems.Custom(
            lambda x, a: a * np.abs(x[0]), x0=1.0, parameters={"a": a}, minimum=0.0, projection=("box", -1.0, 1.0),
            noise="rademacher", noise_std=math.sqrt(1.0 - a * a),
        )  # fmt: skip

    monkeypatch.setitem(FAMILIES, "nonsmooth", Family("nonsmooth", nonsmooth))
    as_program = experiments.validate_rates(settings=["nonsmooth"], **call)
    monkeypatch.undo()
    monkeypatch.setitem(validate.PRESETS, "quick", LEAST)
    assert as_program.to_json() == experiments.validate_rates(settings=["nonsmooth"], **call).to_json()
    meta = validate.run_meta(preset="quick", settings=["smooth", other], schedules=None, seed=0)
    assert meta["settings"] == ["smooth", "own"]
    assert meta["families"]["own"]["gradient_bound"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": " "}, "name must be a text, got ' '"),
        ({"problem": 3}, "problem must be a function of the parameter, got 3"),
        ({"distance": 0.0}, "distance must be"),
        ({"gradient_bound": -1.0}, "gradient_bound must be"),
        ({"largest": np.inf}, "largest must be"),
        ({"name": "smooth"}, r"settings must have names of their own, got \['smooth', 'smooth'\]"),
        ({"problem": lambda a: problems.Quadratic(a)}, "settings must have positive means, got 0.0 of 'own' at"),
    ],
)
def test_families_that_are_none(arguments, message, monkeypatch):
    monkeypatch.setitem(validate.PRESETS, "quick", LEAST)

    def run(**arguments):
        family = Family(**{"name": "own", "problem": powers} | arguments)
        experiments.validate_rates(preset="quick", settings=["smooth", family], schedules=[schedules.Linear()])

    with pytest.raises(ValueError, match=message):
        run(**arguments)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("cheap")
def test_true_claims_agree(seed):
    true = [schedules.Linear(), schedules.Polynomial(2), schedules.Polynomial(3)]
    report = experiments.validate_rates(preset="quick", settings=["nonsmooth"], schedules=true, seed=seed)
    assert [(row.outcome, row.reason) for row in report.rows] == [("agrees", "")] * len(true)


def polynomial(degree, claimed):
    return schedules.Tabulated(lambda u: (1 - u) ** degree, tail_degree=claimed)


@pytest.mark.parametrize(
    ("degree", "claimed"), [(4, 3), (3, 2.5), (1, 0.8), (1, 1.2), (2, 1.6), (2, 2.4), (3, 2.4), (3, 3.6)]
)
def test_wrong_claims_differ(degree, claimed, measured):
    for row in (row for row in measured[0].rows if row.theory == theory.asymptotic_exponent(degree)):
        wrong = claiming(row, claimed)
        assert wrong.outcome == "differs"
        assert wrong.reason.startswith("in rho by ")


@pytest.mark.parametrize("setting", ["nonsmooth-gaussian", "smooth-gaussian"])
@pytest.mark.usefixtures("cheap")
def test_the_exponents_do_not_depend_on_the_noise_being_of_two_values(setting):
    (row,) = experiments.validate_rates(preset="quick", settings=[setting], schedules=[schedules.Polynomial(2)]).rows
    assert (row.outcome, row.reason) == ("agrees", "")
    assert claiming(row, 1.6).outcome == "differs"


@pytest.mark.usefixtures("cheap")
def test_what_is_measured_does_not_depend_on_the_claim():
    rows = [
        experiments.validate_rates(preset="quick", settings=["smooth"], schedules=[polynomial(3, claimed)]).rows[0]
        for claimed in (3, 10)
    ]
    assert [row.outcome for row in rows] == ["agrees", "differs"]
    assert rows[1].theory == claiming(rows[0], 10).theory
    assert len({json.dumps({**vars(row), "theory": 0.0}) for row in rows}) == 1


@pytest.mark.usefixtures("cheap")
def test_a_floor_has_not_reached_its_regime():
    """It comes to exponent 1 only at rho of 45 and more; claimed to be none, it must not pass either."""
    floor = schedules.Tabulated(lambda u: 0.1 + 0.45 * (1 + np.cos(np.pi * u)), tail_degree=0)
    (row,) = experiments.validate_rates(preset="quick", settings=["nonsmooth"], schedules=[floor]).rows
    for claim in (row, claiming(row, 2)):
        assert claim.outcome == "regime not reached"
        assert claim.reason == f"needs {row.needed}"
    assert row.smallest_rho == pytest.approx(46, abs=3)


@pytest.mark.usefixtures("cheap")
def test_a_late_cooldown_gets_no_verdict_from_less_than_a_decade():
    cooldown = schedules.by_name("wsd:0.2:cosine")
    (row,) = experiments.validate_rates(preset="quick", settings=["nonsmooth"], schedules=[cooldown]).rows
    fitted = [rho for rho, used in zip(row.rho, row.fitted, strict=True) if used]
    assert fitted[-1] / fitted[0] < 10
    assert row.outcome == "regime not reached"


def test_intervals_cover_the_finite_horizon_exponent(monkeypatch):
    """Of 40 seeds at least 34 must hold the mean over all: 33 or fewer have a chance of 0.3 % at a coverage of 95 %."""
    monkeypatch.setitem(validate.PRESETS, "quick", validate._Size(2000, 1, 64, 1024))
    rows = [
        experiments.validate_rates(
            preset="quick", settings=["nonsmooth"], schedules=[schedules.Polynomial(2)], seed=seed
        ).rows[0]
        for seed in range(40)
    ]
    for name, low, high in (
        ("exponent", "ci_low", "ci_high"),
        ("horizon_exponent", "horizon_ci_low", "horizon_ci_high"),
    ):
        centre = np.mean([getattr(row, name) for row in rows])
        covered = sum(getattr(row, low) <= centre <= getattr(row, high) for row in rows)
        assert covered >= 34, name


@pytest.mark.parametrize(("degree", "horizon"), [(0.5, 10**5), (1, 10**4), (3, 10**4)])
def test_the_regime_of_polynomials_in_closed_form(degree, horizon):
    """The critical step size sqrt((p+1)/v) is 0.1 at v = 100 (p+1) steps left."""
    schedule = schedules.Polynomial(degree)
    tuned = theory.tuned_base_lr(schedule, horizon)
    left = 100 * (degree + 1)
    found = regime(schedule, horizon, tuned)
    assert found.smallest == 8
    assert found.largest == pytest.approx(math.sqrt((degree + 1) / left) * (horizon / left) ** degree / tuned, rel=0.02)
    sizes = critical_step_size(schedule, horizon, found.largest * tuned * np.array([0.97, 1.03]))
    assert sizes[0] < 0.1 < sizes[1]


def test_zeros_at_the_end_do_not_move_the_regime():
    zeros = schedules.Tabulated(np.append(schedules.Linear().values(9999), 0.0), tail_degree=1)
    linear = schedules.Linear()
    found, plain = (regime(s, 10_000, theory.tuned_base_lr(s, 10_000)) for s in (zeros, linear))
    assert found.smallest == plain.smallest
    assert found.largest == pytest.approx(plain.largest, rel=0.01)


def test_outcomes():
    (row,) = make_report().rows
    assert row.outcome == "agrees"
    for outcome, words, change in (
        ("differs", "in rho by +0.0667, allowed 0.0200", {"exponent": 0.4, "ci_low": 0.39, "ci_high": 0.41}),
        ("regime not reached", "intervals of ±0.15", {"ci_low": 0.2, "ci_high": 0.5}),
        ("regime not reached", "intervals of ±nan", {"ci_low": math.nan, "exponent": math.nan}),
        ("regime not reached", "moves by +0.040", {"move": 0.04}),
        ("regime not reached", "needs rho 20 to 200: T about 5,000", {"smallest_rho": 20.0}),
        ("regime not reached", "needs rho", {"fitted": [True, False]}),
        ("regime not reached", "needs rho", {"fitted": [False, False]}),
        ("regime not reached", "needs rho", {"rho": [16.0, 150.0]}),
        ("differs", "in T by +0.0500, allowed 0.0200", {"horizon_exponent": -0.45}),
        ("differs", "not under its bound", {"bound": [1e-9, 1e-9]}),
    ):
        other = dataclasses.replace(row, **change)
        assert other.outcome == outcome
        assert words in other.reason
        report = validate.RateReport([row, other], make_report().meta)
        assert not report.passed
        told = json.loads(report.to_json())
        assert told["passed"] is False
        assert [r["outcome"] for r in told["rows"]] == ["agrees", outcome]


def make_report():
    row = validate.RateRow(
        setting="nonsmooth", schedule="linear", theory=1 / 3, exponent=0.335, ci_low=0.325, ci_high=0.345, move=0.001,
        move_half=0.02, horizon=1000, base_lr=[0.5, 1.0], rho=[16.0, 160.0], fitted=[True, True],
        worst_suboptimality=[0.02, 0.025], stderr=[1e-4, 1e-4], worst_parameter=[0.1, 0.12], bound=[0.1, 0.12],
        horizon_exponent=-0.5, horizon_ci_low=-0.51, horizon_ci_high=-0.49, horizons=[1000, 500],
        horizon_worst_suboptimality=[0.02, 0.03], horizon_stderr=[1e-4, 1e-4], trajectories=10, trajectory_steps=10,
        smallest_rho=8.0, needed="rho 20 to 200: T about 5,000",
    )  # fmt: skip
    return validate.RateReport([row], {"finite_horizon": 0.01, "preset": "default", "seed": 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "slow"}, "preset must be one of .*, got 'slow'"),
        ({"settings": ["rough"]}, "settings must be one of .*, got 'rough'"),
        ({"settings": []}, "settings must be one or more of nonsmooth, smooth, .*, got"),
        ({"settings": "smooth"}, "settings must be one or more of nonsmooth, smooth, .*, got 'smooth'"),
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


def test_plots_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    from anneal_sgd.experiments.plots import plot_validation

    report = make_report()
    several = [dataclasses.replace(row, setting=name) for row in report.rows for name in ("smooth", "spread", "norm")]
    paths = plot_validation(dataclasses.replace(report, rows=several), tmp_path)
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


def test_info_tells_extras_as_they_are_written(monkeypatch, capsys):
    from anneal_sgd import runtime
    from anneal_sgd.cli import main

    monkeypatch.setattr(runtime, "info", lambda: {"machine_code": "pip install 'anneal_sgd[jit]'"})
    assert main(["info"]) == 0
    assert "machine code  pip install 'anneal_sgd[jit]'" in capsys.readouterr().out


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


def test_an_interrupt_keeps_finished_rows_and_what_repeats_them(tmp_path, monkeypatch, capsys):
    from anneal_sgd.cli import main

    whole = validate._Job.run

    def interrupted(job, *arguments):
        if job.schedule == schedules.Cosine():
            raise KeyboardInterrupt
        return whole(job, *arguments)

    monkeypatch.setitem(validate.PRESETS, "quick", TINY)
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


@pytest.fixture(scope="module")
def disagreeing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(validate.PRESETS, "quick", CHEAP)
        return experiments.validate_rates(
            preset="quick", settings=["smooth"], schedules=[schedules.Constant(), schedules.Polynomial(2)]
        )


@pytest.mark.parametrize("columns", ["0", "30", "80"])
def test_disagreement_is_status_1_and_named_in_whole_lines(columns, disagreeing, tmp_path, monkeypatch, capsys):
    from anneal_sgd.cli import main

    monkeypatch.setattr(validate, "validate_rates", lambda **arguments: disagreeing)
    monkeypatch.setenv("COLUMNS", columns)
    file = tmp_path / "rates.json"
    options = ["--setting", "smooth", "--schedule", "constant", "--schedule", "polynomial:2"]
    assert main(["validate", "--quick", *options, "--json", str(file)]) == 1
    table, constant, square, count, named = capsys.readouterr().out.splitlines()[1:]
    assert table.split()[-1] == "outcome"
    assert constant.rstrip().endswith("regime not reached")
    assert square.rstrip().endswith("agrees")
    assert count.startswith("1 of 2 rows agree with theory")
    assert named.startswith("smooth constant: regime not reached: needs rho 8 to 80: T about ")
    told = json.loads(file.read_text())
    assert not told["passed"]
    assert [row["outcome"] for row in told["rows"]] == ["regime not reached", "agrees"]


@pytest.mark.usefixtures("cheap")
def test_a_schedule_that_is_too_short_does_not_end_the_list():
    """Its only step that is not zero is as long as the set at rho = 1: there is nothing to measure."""
    spike = schedules.Tabulated(lambda u: np.where(u >= 1 - 1.5 / CHEAP.horizon, 1.0, 0.0), tail_degree=0, name="spike")
    report = experiments.validate_rates(
        preset="quick", settings=["nonsmooth"], schedules=[spike, schedules.Polynomial(2)]
    )
    assert [row.outcome for row in report.rows] == ["regime not reached", "agrees"]
    nothing, _ = json.loads(report.to_json())["rows"]
    assert nothing["exponent"] is None
    assert nothing["rho"] == []
    assert nothing["reason"] == "needs rho 8 to 80 with steps that are small against the set"
