"""Metrics of one's own: bits of the reference, known values, and all around a result that has them."""

import importlib.util
import itertools
import pickle
import warnings
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest

from anneal_sgd import _core, methods, problems, runtime, schedules, simulate
from anneal_sgd.campaigns import Campaign, read_spec
from anneal_sgd.problems import OwnMetric
from anneal_sgd.programs._combine import with_method
from anneal_sgd.reference import Network, Schedule, networks
from anneal_sgd.reference import programs as reference
from bit_cases import on
from core_cases import DTYPES, ITERATES

A = np.random.default_rng(0).standard_normal((5, 3))
OWN = {
    "distance": lambda x: np.sqrt(np.sum((x - 1) ** 2)),
    "value": "value",
    "coordinate": lambda x: x[1],
    "slope": lambda x, gradient: np.max(np.abs(gradient)),
    "of all": lambda x, value, b, a: a * np.log(1 + value) + np.dot(x, b),
    "linear": lambda x: np.max(A @ x),
    "constant": lambda x: 0.3,
    "parameter": lambda x, a: a,
    "text": "sum(abs(x) ** 1.5) * noise_std",
}


def example(**changes):
    given = {"x0": [0.4, -0.3, 0.5], "parameters": {"a": 0.7, "b": [0.2, -0.1, 0.3]}, "minimum": 0.0}
    given |= {"noise": "gaussian", "noise_std": 0.4, "projection": ("box", -1.0, 0.8)} | changes
    return problems.Custom(lambda x, a, b: a * np.sum(np.abs(x) ** 1.5) + np.dot(b, x**2), **given)


def run(problem, **changes):
    call = {"base_lr": 0.1, "horizon": 40, "replicates": 5, "backend": "cpu", "seed": 3, "metric": OWN}
    return simulate(problem, schedules.Linear(), **{**call, **changes})


@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _core.supported_isas())
def test_they_have_the_bits_of_the_reference(isa, dtype, iterate):
    problem, records = example(), [0, 7, 40]
    result = run(problem, record_at=records, dtype=dtype, iterate=iterate, isa=isa, keep_samples=True)
    for i, metric in enumerate(result.spec.metric):
        slow = reference.simulate(
            program=problem.program, x0=problem.x0, parameters=problem.parameters, schedule=Schedule("linear"),
            base_lr=0.1, horizon=40, replicates=np.arange(5), seed=3, record_at=records, dtype=dtype, iterate=iterate,
            projection="box", lower=-1.0, upper=0.8, metric=metric if isinstance(metric, str) else metric.program,
        )  # fmt: skip
        assert np.array_equal(result.samples[:, i], slow), str(metric)
    assert not np.array_equal(result.samples[2, 0], result.samples[2, 1])


def test_each_is_what_it_is_alone_and_none_changes_the_others():
    problem = [example(parameters={"a": a, "b": [0.2, -0.1, 0.3]}) for a in (0.7, 0.1)]
    call = {"base_lr": [0.1, 0.3], "replicates": 3000, "record_at": [3, 40], "threads": 2}
    together = run(problem, **call)
    assert together.mean.shape == (2, 2, 2, len(OWN))
    for i, (name, one) in enumerate(OWN.items()):
        assert np.array_equal(run(problem, **call, metric={name: one}).mean[..., 0], together.mean[..., i])
    assert np.array_equal(run(problem, **call, metric="value").mean, together.mean[..., 1])


def test_known_values():
    """Without noise x' = (1 - lr c) x on a quadratic."""
    c, lr, x0 = 0.5, 0.25, np.array([3.0, -4.0])
    problem = problems.Custom(lambda x, c: 0.5 * c * np.dot(x, x), parameters={"c": c}, x0=x0, minimum=0.0)
    metric = {"norm": "norm(x)", "slope": "norm(gradient)", "f": "value", "suboptimality": "suboptimality"}
    mean = run(problem, base_lr=lr, horizon=6, replicates=1, metric=metric, dtype="float64").mean
    factors = [1 - lr * c * (6 - t) / 6 for t in range(6)]
    norm = 5.0 * np.prod(factors)
    np.testing.assert_allclose(mean, [norm, c * norm, 0.5 * c * norm**2, 0.5 * c * norm**2], rtol=1e-14)


def test_gradient_is_the_exact_one_and_a_parameter_of_that_name_comes_first():
    noisy = problems.Custom(
        lambda x: x[0] ** 2, x0=1.0, oracle=lambda x, draw: 3.0 + draw.gaussian(),
    )  # fmt: skip
    assert run(noisy, record_at=0, metric={"g": "gradient[0]"}).mean.item() == 2.0
    own = problems.Custom(lambda x, gradient: gradient * x[0] ** 2, x0=1.0, parameters={"gradient": 5.0})
    assert run(own, record_at=0, metric={"g": "gradient"}).mean.item() == 5.0


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (lambda gradient: gradient[0], 12.0),
        (lambda value: value, 18.0),
        (lambda c: c, 2.0),
        (lambda value, x: value + 100 * x[0], 318.0),
        (lambda *points: points[0][0], 3.0),
        (lambda x, scale=0.5: scale * x[0], 1.5),
    ],
)
def test_what_has_a_name_is_that_wherever_it_stands(metric, value):
    problem = problems.Custom(lambda c, x: c * x[0] ** 2, x0=3.0, parameters={"c": 2.0})
    assert run(problem, record_at=0, metric={"m": metric}).mean.item() == value


def test_results():
    problem = example()
    one = run(problem, replicates=1024)
    assert one.dims == ("metric",)
    assert one.coords["metric"].tolist() == list(OWN)
    assert one.spec == run(problem, replicates=3).spec
    assert hash(one.spec) == hash(run(problem, replicates=3).spec)
    assert one.spec != run(problem, replicates=3, metric={**OWN, "constant": lambda x: 0.4}).spec
    again = pickle.loads(pickle.dumps(one))
    assert again.spec == one.spec
    whole = one + run(problem, first_replicate=1024, replicates=1024)
    assert np.array_equal(whole.mean, run(problem, replicates=2048).mean)
    assert np.array_equal(run(problem, replicates=1024, metric=one.spec.metric).mean, one.mean)
    with pytest.raises(ValueError, match="metric must be the same to merge results"):
        one + run(problem, first_replicate=1024, metric={**OWN, "constant": lambda x: 0.4})
    xarray = pytest.importorskip("xarray")
    table = one.to_xarray()
    assert isinstance(table, xarray.Dataset)
    assert table["mean"].sel(metric="distance").item() == one.mean[0]


# --- of a method's state ----------------------------------------------------------------------------------------------

AWAY = 0.3


def watching(x, g, value, best, away, far):
    """The best f(x) so far, how many iterates were away, and the farthest that each coordinate was."""
    seen = {"best": np.minimum(best, value), "away": away + np.where(np.linalg.norm(x) > AWAY, 1.0, 0.0)}
    return g, seen | {"far": np.maximum(far, np.abs(x))}


WATCHING = methods.Custom(watching, state={"best": 1e30, "away": 0.0, "far": np.zeros(3)}, dimension=3)
WATCHED = {
    "value": "value",
    "best": lambda value, best: np.minimum(value, best),
    "away": lambda away: away,
    "far": lambda x, far: np.max(np.maximum(far, np.abs(x))),
    "text": "best + a * away",
    "first of far": lambda far: far[0],
}
PLACES = [*_core.supported_isas(), "emulated CUDA"]


@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", PLACES)
def test_those_of_a_state_have_the_bits_of_the_reference(place, dtype, iterate):
    problem, records = example(), [0, 7, 40]
    emulated = on(_core.testing.emulated_device(), steps_per_launch=6) if place == PLACES[-1] else nullcontext()
    isa = {} if place == PLACES[-1] else {"isa": place, "backend": "cpu"}
    with emulated:
        result = simulate(
            problem, schedules.Linear(), method=WATCHING, metric=WATCHED, base_lr=0.1, horizon=40, replicates=5, seed=3,
            record_at=records, dtype=dtype, iterate=iterate, keep_samples=True, **isa,
        )  # fmt: skip
    for i, metric in enumerate(result.spec.metric):
        slow = reference.simulate(
            program=with_method(problem.program, WATCHING.program(3)), x0=problem.x0, parameters=problem.parameters,
            schedule=Schedule("linear"), base_lr=0.1, horizon=40, replicates=np.arange(5), seed=3, record_at=records,
            dtype=dtype, iterate=iterate, projection="box", lower=-1.0, upper=0.8,
            metric=metric if isinstance(metric, str) else metric.program,
        )  # fmt: skip
        assert np.array_equal(result.samples[:, i], slow), str(metric)


@pytest.mark.parametrize("machine_code", ["on", "off"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_best_so_far_and_the_share_of_time_are_those_of_all_iterates(dtype, machine_code):
    """Against a run that records every iterate, by SGD, which the watching method is."""
    if machine_code == "on":
        pytest.importorskip("llvmlite")
    call = {"replicates": 100, "dtype": dtype, "keep_samples": True, "base_lr": [0.1, 0.5]}
    every = run(example(), record_at=range(41), metric={"value": "value", "norm": "norm(x)"}, **call).samples
    runtime.set_machine_code(machine_code)
    try:
        watched = run(example(), method=WATCHING, metric=WATCHED, record_at=[10, 40], **call).samples
    finally:
        runtime.set_machine_code(None)
    for k, steps in enumerate((10, 40)):
        assert np.array_equal(watched[:, k, 0], every[:, steps, 0])
        assert np.array_equal(watched[:, k, 1], every[:, : steps + 1, 0].min(axis=1))
        assert np.array_equal(watched[:, k, 2], (every[:, :steps, 1] > AWAY).sum(axis=1))


OTHERS = {
    "sgd": methods.SGD(),
    "momentum": methods.SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": methods.Adam(),
    "clipped": methods.Clipped(methods.RMSProp(), 0.5),
    "polyak": methods.PolyakMax(),
    "dog": methods.DoG(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OTHERS)
def test_any_method_can_be_watched(name, dtype):
    """Its iterates keep their bits, and the best so far is the least of all that the method itself records."""
    call = {"replicates": 50, "dtype": dtype, "keep_samples": True, "base_lr": [0.1, 0.5]}
    every = run(example(), method=OTHERS[name], record_at=range(41), metric=["value"], **call).samples[:, :, 0]
    watching = methods.Custom(
        lambda u, value, best: (u, {"best": np.minimum(best, value)}),
        of=OTHERS[name],
        state={"best": 1e30},
        dimension=3,
    )
    metric = {"value": "value", "best": WATCHED["best"]}
    watched = run(example(), method=watching, record_at=[10, 40], metric=metric, **call).samples
    assert np.array_equal(watched[:, :, 0], every[:, [10, 40]])
    for k, steps in enumerate((10, 40)):
        assert np.array_equal(watched[:, k, 1], every[:, : steps + 1].min(axis=1))


def test_methods_that_are_there_have_parts_too():
    call = {"horizon": 3, "replicates": 1, "base_lr": 0.1, "dtype": "float64"}
    still = problems.Custom(lambda x: 2.0 * x[0] - x[1], x0=[0.0, 0.0])
    m = run(still, method=methods.SGD(momentum=0.5), metric={"v": lambda v: v[0], "x": lambda x: x[0]}, **call).mean[0]
    assert m == 2.0 * (1 + 0.5 + 0.25)
    adam = {"m": "m[1]", "v": lambda v: v[0], "c1": lambda c1: c1}
    mean = run(still, method=methods.Clipped(methods.Adam(beta1=0.5, beta2=0.75), 9.0), metric=adam, **call).mean
    np.testing.assert_allclose(mean, [-(1 - 0.5**3), 4 * (1 - 0.75**3), 1 - 0.5**3], rtol=1e-15)
    named = problems.Custom(lambda x, v: v * x[0], x0=1.0, parameters={"v": 7.0})  # the parameter comes first
    assert run(named, method=methods.SGD(momentum=0.5), metric={"v": lambda v: v}, **call).mean.item() == 7.0


def test_a_metric_of_a_state_needs_the_method():
    metric = run(example(), method=WATCHING, metric=WATCHED).spec.metric
    assert run(example(), method=WATCHING, metric=metric).spec.metric == metric
    for method in (methods.SGD(), methods.Adam(), methods.SGD(momentum=0.5)):
        with pytest.raises(ValueError, match="metric 'best' must be of a method with this one's state"):
            run(example(), method=method, metric=metric)
        with pytest.raises(ValueError, match=r"^metric 'best' must be a function of x, .* got one of 'best'$"):
            run(example(), method=method, metric=WATCHED)
    again = pickle.loads(pickle.dumps(WATCHING))
    assert np.array_equal(
        run(example(), method=again, metric=WATCHED).mean, run(example(), method=again, metric=metric).mean
    )


def test_what_is_not_finite_counts_as_diverged():
    problem = problems.Custom(lambda x: x[0] ** 2, x0=0.0)
    with pytest.warns(RuntimeWarning, match="diverged"):
        result = run(problem, metric={"log": lambda x: np.log(np.abs(x[0])), "x": lambda x: x[0]})
    assert result.diverged.tolist() == [5, 0]


def test_campaigns_have_them(tmp_path):
    metric = {"suboptimality": "suboptimality", "distance": OWN["distance"]}
    call = {"base_lr": [0.05, 0.1], "horizon": 20, "replicates": 1024}
    of = {
        name: Campaign(example(), schedules.Linear(), metric=given, **call)
        for name, given in {"own": metric, "other": {**metric, "distance": "norm(x)"}}.items()
    }
    result = of["own"].run(tmp_path / "own.db")
    assert np.array_equal(result.mean, simulate(example(), schedules.Linear(), metric=metric, **call).mean)
    loaded = Campaign.load(tmp_path / "own.db")
    assert loaded.axes["metric"] == ["suboptimality", "distance"]
    assert np.array_equal(loaded.mean, result.mean)
    assert {key for key, _ in of["own"].identities()}.isdisjoint(key for key, _ in of["other"].identities())
    assert not np.array_equal(of["other"].run(tmp_path / "own.db").mean[:, 1], result.mean[:, 1])
    several = [example(), problems.Custom(lambda x: x[0] ** 4, x0=[1.0, 1.0, 1.0], minimum=0.0)]
    with pytest.raises(ValueError, match="metric must be one program for all problems"):
        Campaign(several, schedules.Linear(), metric={"slope": "norm(gradient)"}, **call)


def test_a_campaigns_file_has_them(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(
        'schedule = "linear"\nhorizon = 20\nbase_lr = [0.1]\nreplicates = 16\n'
        'metric = { value = "value", slope = "norm(gradient)" }\n'
        '[problem]\nkind = "custom"\nobjective = "sum(x ** 2)"\nx0 = 1.0\ndimension = 2\n'
    )
    result = read_spec(file).campaign.run(tmp_path / "own.db")
    np.testing.assert_allclose(result.mean[0, 1] ** 2, 4 * result.mean[0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        ({}, ValueError, "metric must have a name and a function at least"),
        ({3: OWN["distance"]}, ValueError, "metric must have names that are text, got 3"),
        ({"": OWN["distance"]}, ValueError, "metric must have names that are text, got ''"),
        (
            {"value": OWN["distance"]},
            ValueError,
            "metric 'value' must be 'value', as the problem has it, got <function",
        ),
        ({"gap": "suboptimality"}, ValueError, "metric 'gap' must be named 'suboptimality', as the problem has it"),
        ({"x": lambda x: x}, ValueError, r"metric 'x' must return one number, got shape \(3,\)"),
        ({"x": 3.0}, TypeError, "metric 'x' must be a function of x or a text, got 3.0"),
        (
            {"m": lambda x, c: c},
            ValueError,
            "^metric 'm' must be a function of x, value, gradient, a, b, noise_std: parameters must have 'c'",
        ),
        ({"x": lambda: 1.0}, TypeError, "f must be a function of x: too many positional arguments"),
        ({"x": lambda x: 1e300 * x[0]}, ValueError, "metric 'x' must have constants of size up to 3.403e[+]38 in"),
        (lambda x: x[0], ValueError, "metric must have a name where it is a function, metric={'name': f}, got <func"),
        (
            [OWN["distance"]],
            ValueError,
            "metric must be one or more of 'suboptimality', 'value' .*: functions go into one dictionary",
        ),
        (["value", OWN], ValueError, "metric must be one or more of .*, got {.*: functions go into one dictionary"),
    ],
)
def test_bad_metrics(metric, error, message):
    with pytest.raises(error, match=message):
        run(example(), metric=metric)


def test_they_belong_to_their_problem():
    kept = run(example()).spec.metric
    assert isinstance(kept[0], OwnMetric)
    for other in (problems.Custom(lambda x: x[0] ** 2, x0=1.0), problems.AbsoluteValue(1.0)):
        with pytest.raises(ValueError, match="metric 'distance' must"):
            run(other, metric=[kept[0]])
    with pytest.raises(ValueError, match=r"metric 'x' must go with problems.Custom or a problem on data, got it"):
        run(problems.AbsoluteValue(1.0), metric={"x": lambda x: x[0]})


def test_the_core_checks_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stacked = problems.Custom._stack((example(),), "float32", with_minimum=True, own=run(example()).spec.metric[:1])
    call = {"schedules": [schedules.Linear()._core(5)], "record_at": np.array([5])}
    call |= {"iterate": _core.Iterate.last, "precision": _core.Precision.float32, "options": run(example()).spec}
    for metrics in ([_core.Metric.value], [_core.Metric.own] * 2):
        with pytest.raises(ValueError, match="metrics: 1 must be own, as many as the program has"):
            _core.Ensemble(problems=stacked, metrics=metrics, **call)


# --- of problems on data ----------------------------------------------------------------------------------------------

ON_DATA = {
    "norm": lambda x: np.linalg.norm(x),
    "loss": "loss",
    "largest": "max(abs(x))",
    "test_accuracy": "test_accuracy",
    "linear": lambda x: np.dot(np.cos(np.arange(x.shape[0])), x) ** 3,
    "constant": lambda x: 0.3,
}


def on_data(kind, n=30, d=5, **changes):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d))
    given = {"intercept": True, "test": (X[:9], X[:9, 0] > 0), **changes}
    return getattr(problems, kind)(X, X[:, 0] > 0, **given)


MODELS = {
    "LogisticRegression": {},
    "SoftmaxRegression": {"batch_size": 3},
    "MLP": {"hidden": (18, 3), "x0": 0.1},
}
OF_DATA = {"horizon": 5, "record_at": [0, 2, 5]}


def of_the_reference(kind, problem):
    hidden = {"hidden": problem.hidden} if kind == "MLP" else {}
    return Network(
        "logistic" if kind == "LogisticRegression" else "softmax", problem.X, problem.y, outputs=problem._sizes[-1],
        x0=problem.x0, intercept=True, batch_size=problem.batch_size, test_X=problem.test[0], test_y=problem.test[1],
        **hidden,
    )  # fmt: skip


@cache
def by_the_reference(kind, dtype, iterate):
    problem = on_data(kind, **MODELS[kind])
    own = {name: problem._own_metric(name, f, {}).program for name, f in ON_DATA.items() if name != f}
    return networks.simulate(
        network=of_the_reference(kind, problem), schedule=Schedule("linear"), base_lr=0.2, replicates=np.arange(17),
        seed=3, own=own, dtype=dtype, iterate=iterate, **OF_DATA,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODELS)
def test_on_data_they_have_the_bits_of_the_reference(isa, kind, dtype):
    problem = on_data(kind, **MODELS[kind])
    for iterate in ITERATES:
        call = {"replicates": 17, "dtype": dtype, "iterate": iterate, "isa": isa, "keep_samples": True, **OF_DATA}
        samples = run(problem, metric=ON_DATA, base_lr=0.2, **call).samples
        for i, metric in enumerate(ON_DATA):
            assert np.array_equal(samples[:, i], by_the_reference(kind, dtype, iterate)[metric]), metric
        several = run([problem, problem.replace(l2=0.1)], metric={"norm": ON_DATA["norm"]}, base_lr=[0.1, 0.2], **call)
        assert np.array_equal(several.samples[0, 1, :, 0], samples[:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_gpu_has_ones_own_on_data(device, kind, dtype):
    """Alone and among others, at the point that is kept and at others, wherever launches are cut."""
    made = on_data(kind, **MODELS[kind])
    made = [made, made.replace(l2=0.1)]
    own = {name: ON_DATA[name] for name in ("norm", "largest", "linear", "constant")}
    for iterate, metric, kept in itertools.product(ITERATES, (ON_DATA, own), (True, False)):
        call = {"metric": metric, "base_lr": [0.1, 0.2], "replicates": 17, "first_replicate": 1010, "dtype": dtype}
        call |= {"iterate": iterate, "keep_samples": True, "keep_iterates": kept, **OF_DATA}
        expected = run(made, **call)
        for cut in ({}, {"steps_per_launch": 1, "rows_per_launch": 1}):
            with on(device, **cut):
                found = run(made, **call)
            assert np.array_equal(found.samples, expected.samples)
            assert np.array_equal(found.iterates, expected.iterates) if kept else found.iterates is None


def test_of_many_coordinates_in_little_memory(small_device):
    """More numbers than shared memory takes; replicates in groups and chunks, configs in parts."""
    made = on_data("SoftmaxRegression", d=170)
    call = {"metric": ON_DATA, "base_lr": [0.1, 0.2], "replicates": 1100, "first_replicate": 1000, "horizon": 2}
    expected = run(made, **call)
    for memory in (2**32, 2**23, 2**22):
        with on(small_device(memory)):
            assert np.array_equal(run(made, **call).mean, expected.mean)


@pytest.mark.parametrize("kind", ["LeastSquares", "MLP"])
def test_points_on_data_are_those_that_were_recorded(kind):
    problem = on_data(kind, **({"hidden": 3} if kind == "MLP" else {"test": None}))
    call = {"base_lr": [0.1, 0.2], "replicates": 70, "dtype": "float64", "keep_samples": True, "threads": 2}
    result = run(problem, metric=("loss",), record_at=[5, 40], keep_iterates=True, **call)
    assert result.iterates.shape == (2, 70, problem.dimension)
    np.testing.assert_allclose(problem.value(result.iterates), result.samples[:, 1, 0], rtol=1e-12)
    two = run(problem, metric=("loss",), iterate=["last", "average"], keep_iterates=True, **call)
    assert np.array_equal(two.iterates[0], result.iterates)
    np.testing.assert_allclose(problem.value(two.iterates[1]), two.samples[1, :, 0], rtol=1e-12)


@pytest.mark.parametrize("name", ["grad", "velocity", "v", "w", "X"])
def test_a_name_that_is_not_known_is_not_the_point(name):
    """In one dimension, or where a function returns a number anyhow, it would be taken for x."""
    f = eval(f"lambda {name}: np.sum({name} ** 2)", {"np": np})
    one = problems.Custom(lambda x: x**2, x0=1.0)
    known = r"x, value, gradient, by these names, got one of"
    with pytest.raises(ValueError, match=f"^metric 'm' must be a function of {known} '{name}'$"):
        run(one, metric={"m": f})
    with pytest.raises(
        ValueError, match=f"^metric 'm' must be a function of the point x alone, .* got one of '{name}'$"
    ):
        run(on_data("LeastSquares"), metric={"m": f})
    norms = run(one, metric={"m": np.linalg.norm, "n": "norm(x)"}, replicates=2).mean
    assert norms[0] == norms[1]  # whose argument is x


def test_on_data_what_cannot_be_taken():
    problem = on_data("LogisticRegression")
    for metric, message in (
        ({"slope": lambda x, gradient: np.max(gradient)}, "metric 'slope' must be a function of the point x alone"),
        (
            {"slope": lambda gradient: np.max(gradient)},
            "must be a function of the point x alone, got one of 'gradient'",
        ),
        ({"x": lambda x: x}, r"metric 'x' must return one number, got shape \(6,\)"),
        ({"f": "value"}, "metric 'f' must be a function of the point x alone, got one of 'value'"),
    ):
        with pytest.raises(ValueError, match=message):
            run(problem, metric=metric)
    other = run(problem, metric={"norm": ON_DATA["norm"]}, replicates=2).spec.metric
    with pytest.raises(ValueError, match="metric 'norm' must be of a problem with this one's dimension"):
        run(on_data("LogisticRegression", d=4), metric=other)
    assert run(problem, metric=other, replicates=2, base_lr=0.0).mean == [0.0]


# --- of a method's state, on data -------------------------------------------------------------------------------------


def wave(x):
    """Its extremes are anywhere along a way."""
    return np.sum(np.sin(20 * x))


def around(d):
    """A method that is watched: numbers of all coordinates, single numbers, and as many as there are nowhere else."""

    def update(u, x, value, least, far, t, lowest, when):
        now = wave(x)
        seen = {
            "least": np.minimum(least, value),
            "far": np.maximum(far, np.abs(x)),
            "lowest": np.minimum(lowest, now),
        }
        return u, seen | {"when": np.where(now < lowest, t - 1.0, when)}

    start = {"least": 1e30, "far": np.zeros(d), "lowest": 1e30, "when": 0.0}
    return methods.Custom(update, of=methods.Clipped(methods.Adam(), 0.5), state=start, dimension=d)


def in_order(d):
    """What only the interpreter takes, with a part of a length of its own, and one that the start decides."""

    def update(g, x, last, shift):
        return g, {"last": np.append(last[1:], np.max(x)), "shift": 0.5 * shift + x}

    return methods.Custom(update, state={"last": np.zeros(19), "shift": lambda x0: 3.0 * x0}, dimension=d)


ADAM = {"c1": "c1", "m": "norm(m)", "v": lambda x, v: np.max(v * np.abs(x)), "first": "v[1]", "loss": "loss"}
WATCHED_ON_DATA = {  # a method that takes blocks, by a pass of its own or not; one that does not; instructions alone
    "adam": (lambda d: methods.Adam(), ADAM),
    "rmsprop": (
        lambda d: methods.RMSProp(momentum=0.5, weight_decay=0.1),
        {"s": "max(s)", "all": "sum(b) + x[0]"},
    ),
    "around": (
        around,
        {
            "when": "when",
            "least": lambda x, least: least + 0.0 * x[0],
            "far": lambda x, far: np.max(np.maximum(far, np.abs(x))),
            "lowest": "lowest",
            "c1": "c1",
        },
    ),
    "in order": (in_order, {"before": "last[17]", "shift": "sum(shift)", "all": "norm(last) + sum(shift * x)"}),
}


@cache
def state_by_the_reference(kind, name, dtype, iterate):
    problem = on_data(kind, **MODELS[kind])
    make, metric = WATCHED_ON_DATA[name]
    method = make(problem.dimension)
    parts = method._parts(problem.dimension)
    own = {one: problem._own_metric(one, f, parts).program for one, f in metric.items() if one != "loss"}
    return networks.simulate(
        network=of_the_reference(kind, problem), schedule=Schedule("linear"), base_lr=0.2, replicates=np.arange(17),
        seed=3, own=own, method=problem._method_program(method), dtype=dtype, iterate=iterate, **OF_DATA,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", WATCHED_ON_DATA)
def test_on_data_those_of_a_state_have_the_bits_of_the_reference(isa, name, kind, dtype):
    problem = on_data(kind, **MODELS[kind])
    make, metric = WATCHED_ON_DATA[name]
    call = {"method": make(problem.dimension), "metric": metric, "replicates": 17, "dtype": dtype, "isa": isa}
    call |= {"keep_samples": True, **OF_DATA}
    codes = ["off", "on"] if importlib.util.find_spec("llvmlite") else ["off"]
    for machine_code, iterate in itertools.product(codes, ("last", "average")):
        runtime.set_machine_code(machine_code)
        try:
            samples = run(problem, base_lr=0.2, iterate=iterate, **call).samples
            several = run([problem, problem.replace(l2=0.1)], base_lr=[0.1, 0.2], iterate=iterate, **call).samples
        finally:
            runtime.set_machine_code(None)
        for i, one in enumerate(metric):
            assert np.array_equal(samples[:, i], state_by_the_reference(kind, name, dtype, iterate)[one]), one
        assert np.array_equal(several[0, 1], samples)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", WATCHED_ON_DATA)
def test_a_gpu_has_those_of_a_state_on_data(device, name, kind, dtype):
    made = on_data(kind, **MODELS[kind])
    make, metric = WATCHED_ON_DATA[name]
    call = {"method": make(made.dimension), "metric": metric, "base_lr": [0.1, 0.2], "replicates": 17, "dtype": dtype}
    call |= {"first_replicate": 1010, "keep_samples": True, **OF_DATA}
    made = [made, made.replace(l2=0.1)]
    for iterate, kept in (("last", True), ("average", False)):
        expected = run(made, **call, iterate=iterate, keep_iterates=kept)
        for cut in ({}, {"steps_per_launch": 1, "rows_per_launch": 1}):
            with on(device, **cut):
                found = run(made, **call, iterate=iterate, keep_iterates=kept)
            assert np.array_equal(found.samples, expected.samples)
            assert np.array_equal(found.iterates, expected.iterates) if kept else found.iterates is None


@pytest.mark.parametrize("name", WATCHED_ON_DATA)
def test_states_of_many_coordinates_in_little_memory(small_device, name):
    made = on_data("SoftmaxRegression", d=170)
    make, metric = WATCHED_ON_DATA[name]
    call = {"metric": metric, "base_lr": [0.1, 0.2], "replicates": 1100, "first_replicate": 1000, "horizon": 2}
    call |= {"method": make(made.dimension)}
    expected = run(made, **call)
    for memory in (2**32, 2**23):
        with on(small_device(memory)):
            assert np.array_equal(run(made, **call).mean, expected.mean)


@pytest.mark.parametrize("machine_code", ["on", "off"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", MODELS)
def test_on_data_what_a_state_keeps_is_what_numpy_finds_among_all_iterates(kind, dtype, machine_code):
    """The lowest of a wave so far, when that was, the farthest coordinate: of a run that records every iterate."""
    if machine_code == "on":
        pytest.importorskip("llvmlite")
    made, steps = on_data(kind, **MODELS[kind]), (1, 10, 40)
    call = {"replicates": 40, "dtype": dtype, "keep_samples": True, "base_lr": [0.1, 0.5]}
    every = run(
        made,
        method=methods.Clipped(methods.Adam(), 0.5),
        record_at=range(41),
        metric={"wave": wave, "far": "max(abs(x))"},
        **call,
    ).samples
    metric = {"lowest": "lowest", "when": "when", "far": "max(far)", "wave": wave}
    runtime.set_machine_code(machine_code)
    try:
        found = run(made, method=around(made.dimension), record_at=steps, metric=metric, **call).samples
    finally:
        runtime.set_machine_code(None)
    for k, step in enumerate(steps):
        before = every[:, :step]
        assert np.array_equal(found[:, k, 0], before[:, :, 0].min(axis=1))
        assert np.array_equal(found[:, k, 1], before[:, :, 0].argmin(axis=1))
        assert np.array_equal(found[:, k, 2], before[:, :, 1].max(axis=1))
        assert np.array_equal(found[:, k, 3], every[:, step, 0])
    assert len(np.unique(found[:, 2, 1])) > 2


def test_the_least_loss_of_all_rows_is_that_of_all_iterates():
    """Where a batch is all rows, the value of a step is the loss."""
    made = on_data("LogisticRegression", l2=0.01, batch_size=30, sampling="sequential")
    call = {"dtype": "float64", "base_lr": 20.0, "replicates": 1, "schedule": schedules.Constant()}
    every = simulate(made, method=methods.SGD(), horizon=40, record_at=range(40), metric="loss", **call).mean
    watching = methods.Custom(
        lambda g, value, least: (g, {"least": np.minimum(least, value)}), state={"least": 1e30}, dimension=6
    )
    least = simulate(made, method=watching, horizon=40, record_at=range(1, 41), metric={"m": "least"}, **call).mean
    assert np.any(np.diff(every) > 0)
    np.testing.assert_allclose(least[:, 0], np.minimum.accumulate(every), rtol=1e-12)


def test_on_data_a_state_of_adam_is_known():
    """Sums of a constant gradient: of the loss z, the mean of the rows."""
    X = np.array([[1.0, -2.0], [3.0, 4.0]])
    made = problems.LinearModel(X, [0.0, 0.0], loss="z", batch_size=2, sampling="sequential")
    adam = methods.Adam(beta1=0.5, beta2=0.75)
    metric = {"m0": "m[0]", "m1": lambda m: m[1], "v0": "v[0]", "c1": "c1", "c2": "c2"}
    mean = run(made, method=adam, metric=metric, horizon=3, replicates=1, dtype="float64").mean
    first, second = 1 - 0.5**3, 1 - 0.75**3
    np.testing.assert_allclose(mean, [2 * first, first, 4 * second, first, second], rtol=1e-14)


def test_on_data_a_metric_of_a_state_needs_the_method():
    made = on_data("LogisticRegression")
    metric = run(made, method=around(6), metric={"lowest": "lowest"}).spec.metric
    again = run(made, method=pickle.loads(pickle.dumps(around(6))), metric=metric)
    assert np.array_equal(again.mean, run(made, method=around(6), metric=metric).mean)
    for method in (methods.SGD(), methods.SGD(momentum=0.5), methods.AdaGrad()):
        with pytest.raises(ValueError, match="metric 'lowest' must be of a method with this one's state"):
            run(made, method=method, metric=metric)
    with pytest.raises(ValueError, match="metric 'm' must be a function of the point x alone, got one of 'value'"):
        run(made, method=methods.SGD(momentum=0.5), metric={"m": lambda x, value: value + x[0]})
    with pytest.raises(
        ValueError, match="metric 'f' must be a function of the point x and the method's m, c1, v, c2 a"
    ):
        run(made, method=methods.Adam(), metric={"f": "value + m[0]"})


def test_campaigns_have_those_of_a_state_on_data(tmp_path):
    call = {
        "metric": {"lowest": "lowest"},
        "base_lr": [0.1, 0.2],
        "horizon": 5,
        "replicates": 1024,
        "method": around(6),
    }
    campaign = Campaign(on_data("LogisticRegression"), schedules.Linear(), **call)
    alone = simulate(on_data("LogisticRegression"), schedules.Linear(), **call)
    assert np.array_equal(campaign.run(tmp_path / "own.db").mean, alone.mean)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"own_state": [[0, 0]]}, r"own_state: shape must be \(parts, 3\)"),
        ({"method": None}, "own_state: must go with own_metrics and a method"),
        ({"own_state": [[0, 1024, 6]]}, "own_state: part 0 is not among the 1024 numbers of the method's state"),
        ({"own_state": [[0, -512, 6]]}, "own_state: part 0 is not among the 1024 numbers"),
        ({"own_state": [[0, 16, 6]]}, "own_state: part 0 is not one of the method's"),
        ({"own_state": [[0, 512, 7]]}, "own_state: part 0 is not one of the method's"),
        ({"own_state": [[1, 2, 1]]}, "own_state: part 0 is not among the 2 numbers"),
        ({"own_state": [[1, 0, 2]]}, "own_state: part 0 is one number"),
        ({"own_state": [[0, 512, 6], [1, 0, 1]]}, "own_state: 7 numbers are not those that own_metrics take"),
    ],
)
def test_the_core_checks_what_they_take_of_a_state(monkeypatch, changes, message):
    given = {}
    made, adam = on_data("LogisticRegression"), methods.Adam()
    own = run(made, method=adam, metric={"v": "v[1]"}).spec.metric
    build = _core.Problems
    monkeypatch.setattr(_core, "Problems", lambda **fields: given.update(fields))
    made._stack([made], "float32", with_minimum=False, own=own, method=made._method_program(adam))
    build(**given)
    if "own_state" in changes:
        changes = {"own_state": np.array(changes["own_state"])}
    with pytest.raises(ValueError, match=message):
        build(**{**given, **changes})
