"""Specifications of campaigns: what they mean, and what is said of one that is wrong."""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
import pytest

from anneal_sgd import cli, problems, schedules, theory
from anneal_sgd.campaigns import EXAMPLE, Campaign, read_spec
from environments import EXPORTS, need

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies


def test_the_example_means_what_it_says():
    sweep = read_spec(EXAMPLE)
    campaign = sweep.campaign
    assert str(sweep.store) == "sweep.db"
    assert sweep.backend == "auto"
    assert campaign.horizons == (1000, 10_000)
    assert campaign.schedules[3] == schedules.Cosine(floor=0.1)
    assert np.allclose(campaign.rates, 2.0 ** np.arange(-1, 9))
    assert campaign.problems[0] == problems.AbsoluteValue(
        slope=0.01, noise="rademacher", second_moment=1.0, projection=("box", -1.0, 1.0), x0=1.0
    )
    assert [p.slope.item() for p in campaign.problems] == pytest.approx([0.01, 0.0215443469, 0.0464158883, 0.1])


def spec(rest="", problem='kind = "quadratic"\ncurvature = 1.0', **changes):
    keys = {"schedule": '"cosine"', "horizon": "100", "base_lr": "[0.1, 0.2]", "replicates": "10", **changes}
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    return "\n".join([*lines, rest, "[problem]", problem]) + "\n"


def test_grids_vectors_and_scalars():
    sweep = read_spec(
        spec(
            problem='kind = "quadratic"\nnoise = "gaussian"\nnoise_std = { values = [0.5, 1] }\n'
            "curvature = { coordinates = { geomspace = [0.1, 10.0, 3] } }\nx0 = [1.0, 2.0, 3.0]\n"
            'projection = ["ball", 9]',
            horizon="{ geomspace = [10, 1000, 3] }",
            base_lr="{ linspace = [0.0, 1.0, 3] }",
        )
    )
    campaign = sweep.campaign
    assert campaign.dims == ("noise_std", "horizon", "base_lr")
    assert campaign.horizons == (10, 100, 1000)
    assert campaign.rates == (0.0, 0.5, 1.0)
    assert [p.noise_std.tolist() for p in campaign.problems] == [[0.5] * 3, [1.0] * 3]
    assert np.allclose(campaign.problems[0].curvature, [0.1, 1.0, 10.0])
    assert campaign.problems[0].projection == ("ball", 9.0)
    assert sweep.store is None


def test_a_precision_in_a_file(tmp_path, capsys):
    text = spec("relative_error = 0.05\nconfidence = 0.9\nmax_replicates = 20_480", replicates=None)
    assert read_spec(text).campaign.precision.arguments == {"relative_error": 0.05, "confidence": 0.9}
    (tmp_path / "mine.toml").write_text(text)
    assert cli.main(["sweep", str(tmp_path / "mine.toml"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "relative error 0.05 at confidence 0.9, at most 20480 replicates" in told
    assert "at least 2,048 to compute" in told
    assert "at most 20 times that" in told
    assert cli.main(["sweep", str(tmp_path / "mine.toml"), "--part", "1/2"]) == 2
    assert "part must go with replicates" in capsys.readouterr().err


def test_problems_on_data(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.c_[rng.standard_normal((30, 2)), rng.integers(0, 2, 30)]
    np.savetxt(tmp_path / "mine.csv", rows, delimiter=",", header="a,b,label", comments="")
    text = spec(
        'metric = ["suboptimality", "test_accuracy"]\nmomentum = 0.9',
        problem='kind = "logistic_regression"\ndata = "mine.csv"\ntarget = "label"\ntest_frac = 0.2\n'
        "batch_size = { values = [1, 4] }\nl2 = 0.1",
    )
    (tmp_path / "spec.toml").write_text(text)
    campaign = read_spec(tmp_path / "spec.toml").campaign
    assert campaign.dims == ("batch_size", "base_lr", "metric")
    assert campaign.problems[1].X.shape == (24, 2)
    assert campaign.options["momentum"] == 0.9
    mlp = read_spec(spec('metric = "loss"', problem='kind = "mlp"\ndata = "digits"\nhidden = [8]')).campaign
    assert mlp.problems[0].hidden == (8,)


def test_a_column_of_weights(tmp_path):
    lines = [f"{i % 5},{i},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(24)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,times,label", *lines]))
    problem = 'kind = "logistic_regression"\ndata = "mine.csv"\ntarget = "label"\nsample_weight = "times"\n'
    weighted = read_spec(spec(problem=problem), folder=tmp_path).campaign.problems[0]
    assert weighted.X.shape == (24, 2)
    assert weighted.sample_weight.tolist() == [0.0, 1.0, 2.0] * 8
    for wrong, message in (
        ("[1.0, 2.0]", "sample_weight must be a text, got"),
        ('"z"', "sample_weight must be a column"),
    ):
        with pytest.raises(ValueError, match=message):
            read_spec(spec(problem=problem.replace('"times"', wrong)), folder=tmp_path)


CUSTOM = 'kind = "custom"\nobjective = "a * sum(abs(x) ** b)"\nx0 = 1.0\ndimension = 3\nminimum = 0.0\n'


def test_a_function_of_ones_own():
    problem = CUSTOM.replace("** b", "** 1.5") + 'a = { values = [0.1, 0.3] }\nnoise = "x * draw.laplace()"\n'
    campaign = read_spec(spec(problem=problem)).campaign
    assert campaign.dims == ("a", "base_lr")
    expected = problems.Custom(
        "a * sum(abs(x) ** 1.5)", x0=1.0, dimension=3, minimum=0.0, parameters={"a": 0.3}, noise="x * draw.laplace()"
    )
    assert campaign.problems[1] == expected
    two = 'noise = "gaussian"\nnoise_std = { values = [0.1, 0.2] }\na = 2.0\nprojection = ["box", -1, 1]\n'
    problem = CUSTOM.replace("** b", "** 1.5") + two
    assert read_spec(spec(problem=problem)).campaign.dims == ("noise_std", "base_lr")


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (CUSTOM + "a = 1.0", r"line \d+: objective must have no name 'b'"),
        (CUSTOM.replace("** b", "** 2") + "a = 1.0\nnoise_sdt = 0.1", "parameters must be taken by f or .*'noise_sdt'"),
        (CUSTOM.replace("** b", "** 2") + "a = 1.0\nnoise = 3", r"line \d+: noise must be a text, got 3"),
        ('kind = "custom"\nx0 = 1.0', "objective must be given for custom"),
        (CUSTOM.replace("sum", "__import__") + "a = 1.0", "objective must have no function '__import__'"),
    ],
)
def test_functions_that_are_none(problem, message):
    with pytest.raises(ValueError, match=message):
        read_spec(spec(problem=problem))


def test_columns_of_text_are_encoded_where_it_is_said(tmp_path):
    lines = [f"{['red', 'blue', 'green'][i % 3]},{i},{'yes' if i % 2 else 'no'}" for i in range(24)]
    (tmp_path / "mine.csv").write_text("\n".join(["colour,a,label", *lines]))
    problem = 'kind = "logistic_regression"\ndata = "mine.csv"\ntarget = "label"\n'
    with pytest.raises(ValueError, match="column 'colour' must be numbers"):
        read_spec(spec(problem=problem), folder=tmp_path)
    campaign = read_spec(spec(problem=problem + "encode = true"), folder=tmp_path).campaign
    assert campaign.problems[0].X.shape == (24, 4)
    with pytest.raises(ValueError, match="encode must be"):
        read_spec(spec(problem=problem + "encode = 2"), folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "spec: problem must be given; spec: schedule must be given; spec: horizon must be given"),
        (spec() + "a = [", "spec: .*at end of document|spec: .*line 9"),
        (spec("seeed = 3"), "spec, line 5: seeed must be one of problem, schedule, horizon"),
        (spec(horizon="10.5"), "spec, line 2: horizon must be one or a sequence of whole numbers, got 10.5"),
        (spec(schedule="3"), "spec, line 1: schedule must be a text, .* or a list of them, got 3"),
        (spec(schedule='["linear", "coline"]'), "spec, line 1: schedule 'coline': name must be one of constant"),
        (spec(base_lr="{ geomspace = [0.0, 1.0, 3] }"), r"line 3: base_lr geomspace must be .*first and last > 0"),
        (spec(base_lr="{ geomspace = [0.1, 1.0, 2.5] }"), "line 3: base_lr geomspace count must be an integer"),
        (
            spec(base_lr="{ geomspace = [0.1, 1.0, 100000000] }"),
            r"geomspace count must be an integer in 1 \.\. 1000000",
        ),
        (spec(base_lr="{ logspace = [1, 2, 3] }"), r"line 3: base_lr must be a list or one of \{ geomspace"),
        (spec(base_lr="[0.1, nan]"), "line 3: base_lr must be finite"),
        (spec(replicates='"many"'), "line 4: replicates must be an integer"),
        (spec(replicates=None), "spec: replicates, relative_stderr or relative_error must be given"),
        (spec("rho = 1.0"), "base_lr or rho must be given, and not both"),
        (spec('backend = "tpu"'), "line 5: backend must be one of 'auto', 'cpu', 'cuda', got 'tpu'"),
        (
            spec("record_at = 101"),
            "line 5: record_at must be an integer in 0 .. 100, got 101",
        ),
        (
            spec('seeed = 3\nname = 4\nstore = ""'),
            "line 5: seeed must be .*; spec, line 7: store must be the name of a file",
        ),
        (spec("name = 4"), "line 5: name must be a text, got 4"),
        (spec("text = 'mine'"), "line 5: text must be one of problem"),
        (spec("iterate = 1979-05-27"), "line 5: iterate must be one of 'last'"),
        (spec(problem='kind = "cubic"'), "line 7: kind must be one of 'absolute_value', 'quadratic'"),
        (spec(problem=""), "spec, line 6: kind must be one of .*, got None"),
        (spec(problem='kind = "quadratic"'), "line 6: curvature must be given for quadratic"),
        (spec(problem='kind = "quadratic"\ncurvature = -1.0'), "line 8: curvature must be finite and >= 0, got -1.0"),
        (spec(problem='kind = "quadratic"\nslope = 1.0'), "line 8: slope must be a parameter of quadratic, which are"),
        (
            spec(problem='kind = "quadratic"\ncurvature = { values = [1.0, 0.0] }'),
            "line 8: curvature must have an element > 0, got 0",
        ),
        (spec(problem='kind = "quadratic"\ncurvature = { values = [] }'), "curvature must be a sequence"),
        (
            spec(problem='kind = "quadratic"\ncurvature = { values = 3 }'),
            "line 8: curvature values must be a list, got 3",
        ),
        (spec(problem='kind = "mlp"\ndata = "no.csv"'), "line 8: data must be a file that exists"),
        (spec(problem='kind = "mlp"\ndata = 7'), "line 8: data must be a text, got 7"),
        (spec(problem='kind = "logistic_regression"\ndata = "digits"'), "must have a target of two classes"),
        ("a = " + "[" * 5000, "spec: "),
    ],
)
def test_errors_name_line_and_key(text, message):
    with pytest.raises(ValueError, match=message):
        read_spec(text)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(spec(horizon="0"))
    with pytest.raises(ValueError, match=r"^my\.toml, line 2: horizon must be an integer in 1"):
        read_spec(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"^my\.toml: is no text in UTF-8"):
        read_spec(path)


def only_value_errors(text):
    tuned = {"side_effect": lambda schedule, horizon, tuned=theory.tuned_base_lr: tuned(schedule, min(horizon, 1000))}
    with contextlib.suppress(ValueError), mock.patch.object(theory, "tuned_base_lr", **tuned):  # billions take minutes
        assert isinstance(read_spec(text).campaign, Campaign)


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_spec_or_a_value_error(text):
    only_value_errors(text)


values = st.recursive(
    st.sampled_from(
        ['"cosine"', '"x"', "1", "-3", "0", "2.5", "1e400", "nan", "inf", "true", "1979-05-27", "''", "10**9"]
    )
    | st.integers(-(10**30), 10**30).map(str),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.tuples(st.sampled_from(["geomspace", "linspace", "values", "coordinates", "a"]), inner).map(
            lambda pair: f"{{ {pair[0]} = {pair[1]} }}"
        )
    ),
    max_leaves=6,
)
lines = EXAMPLE.splitlines()
keyed = [i for i, line in enumerate(lines) if "=" in line and not line.startswith("#")]


@given(st.sampled_from(keyed), values)
@settings(max_examples=400, deadline=None)
def test_any_value_for_any_key_is_taken_or_a_value_error(place, value):
    changed = list(lines)
    changed[place] = f"{lines[place].split('=')[0]}= {value}"
    only_value_errors("\n".join(changed))


@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 40), st.text(max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_edit_of_the_example_is_taken_or_a_value_error(place, length, text):
    only_value_errors(EXAMPLE[:place] + text + EXAMPLE[place + length :])


# --- the command line


def test_sweep_export_and_estimate(tmp_path, capsys):
    need("click", *EXPORTS)
    assert cli.main(["sweep", "--example"]) == 0
    text = capsys.readouterr().out
    assert text == EXAMPLE
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("[1_000, 10_000]", "[10, 100]"))
    assert cli.main(["sweep", str(path), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "configs             400, 0 of them begun" in told
    assert "trajectories        1,638,400 to compute" in told
    assert not (tmp_path / "sweep.db").exists()
    assert cli.main(["sweep", str(path)]) == 0
    assert "1,638,400 trajectories" in capsys.readouterr().out
    assert cli.main(["sweep", str(path), "--store", str(tmp_path / "sweep.db"), "--threads", "1"]) == 0
    assert "nothing was missing" in capsys.readouterr().out
    for suffix in ("csv", "parquet", "nc"):
        assert cli.main(["export", str(tmp_path / "sweep.db"), "-o", str(tmp_path / f"r.{suffix}")]) == 0
        assert (tmp_path / f"r.{suffix}").stat().st_size > 1000
    assert cli.main(["sweep", str(path), "--dry-run"]) == 0
    assert "400 of them begun" in capsys.readouterr().out


def test_log_json(tmp_path, capsys):
    import json

    path = tmp_path / "mine.toml"
    path.write_text(spec())
    assert cli.main(["sweep", str(path), "--log-json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events][:: len(events) - 1] == ["start", "done"]
    assert events[-1]["trajectories"] == 20
    assert events[-1]["trajectory_steps"] == 2000
    assert (tmp_path / "mine.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep"], "SPEC must be a TOML file; 'anneal-sgd sweep --example' prints one"),
        (["sweep", "none.toml"], "SPEC must be a file that exists, got 'none.toml'"),
        (["sweep", "{spec}", "--store", "none/s.db"], "store 'none/s.db': folder 'none' does not exist"),
        (["sweep", "{spec}", "--threads", "0"], "threads must be an integer >= 1, got 0"),
        (["sweep", "{spec}", "--backend", "tpu"], "backend must be one of 'auto', 'cpu', 'cuda', got 'tpu'"),
        (["sweep", "{spec}", "--workers", "2"], "--workers must go with --dask local"),
        (["export", "none.db", "-o", "r.csv"], "store 'none.db' does not exist"),
        (["export", "{spec}", "-o", "r.csv"], "is no store of campaigns"),
        (["report", "{spec}"], "is no store of campaigns"),
        (["atlas", "--seed", "-1", "-o", "{spec}.atlas"], "seed must be an integer"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, capsys, arguments, message):
    need("click", *(("jinja2", "matplotlib", "plotly") if arguments[0] == "atlas" else ()))
    path = tmp_path / "mine.toml"
    path.write_text(spec())
    assert cli.main([argument.format(spec=path) for argument in arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("anneal-sgd: ")
    assert told.count("\n") == 1


def test_own_tables_as_schedules(tmp_path):
    (tmp_path / "lr.csv").write_text("0.1\n0.1\n0.05\n0.02\n")
    tables = (
        '[{ values = [2, 2, 1, 0.4], name = "a" }, { file = "lr.csv" }, { values = [1, 0], at = [0, 1] }, "linear"]'
    )
    (tmp_path / "mine.toml").write_text(spec(schedule=tables, horizon="4"))
    steps, file, points, linear = read_spec(tmp_path / "mine.toml").campaign.schedules
    assert steps == schedules.from_steps([2, 2, 1, 0.4], name="a")
    assert file == schedules.from_file(tmp_path / "lr.csv")
    assert points == schedules.Tabulated([1, 0], at=[0, 1])
    assert linear == schedules.Linear()
    alone = read_spec(spec(schedule='{ file = "lr.csv", tail_degree = 2 }', horizon="4"), folder=tmp_path)
    assert (alone.campaign.schedules[0].tail_degree, "schedule" in alone.campaign.dims) == (2.0, False)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{ value = [1] }", r"schedule \{'value': \[1\]\}: must be { values = "),
        ("{ values = [1], file = 'lr.csv' }", "schedule .*: must be { values = "),
        ("{ file = 'lr.csv', at = [0, 1] }", "schedule .*: must be { values = "),
        ("{ file = 3 }", "schedule .*: must be the name of a file, got 3"),
        ("{ values = [1, -1] }", "schedule .*: values must be .*got -1.0 at index 1"),
        ("{ file = 'none.csv' }", "No such file .*none.csv"),
        ("{ values = [1, 0.5] }", "horizon must be 2, a step for each value of perstep"),
    ],
)
def test_tables_that_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        read_spec(spec(schedule=table, horizon="4"))
