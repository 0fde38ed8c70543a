"""Methods on problems on data: step by step what papers do, bits of the reference, all around a call."""

import itertools

import numpy as np
import pytest

import method_cases
from anneal_sgd import _core, methods, problems, reference, schedules, simulate
from anneal_sgd.campaigns import Campaign, read_spec
from anneal_sgd.programs._lower_method import is_coordinatewise, lowered_method, numbers_of_adam
from anneal_sgd.reference import Network
from method_cases import BASE_LR, CASES, HARD, HARD_ON_DATA, HORIZON, SCHEDULE

ISAS = _core.supported_isas()
ITERATES = ("last", "average", "tail_average")
RNG = np.random.default_rng(3)
ROWS, BATCH = 23, 4
X = RNG.standard_normal((ROWS, 2))
LABELS = np.where(X[:, 0] + 0.5 * RNG.standard_normal(ROWS) > 0, 1.0, -1.0)


# --- models in NumPy ------------------------------------------------------------------------------------------------


class Logistic:
    """Of two features and an intercept: f and its gradient on some rows."""

    l2 = 0.1
    start = np.array([0.4, -0.3, 0.2])
    intercepts = np.array([False, False, True])
    problem = problems.LogisticRegression(
        X, LABELS, intercept=True, l2=l2, x0=start, batch_size=BATCH, sampling="sequential"
    )

    def __call__(self, x, rows):
        w = np.where(self.intercepts, 0.0, x)
        margin = LABELS[rows] * (X[rows] @ x[:2] + x[2])
        slope = -LABELS[rows] / (1.0 + np.exp(margin)) / len(rows)
        gradient = np.append(slope @ X[rows], slope.sum()) + self.l2 * w
        return np.mean(np.logaddexp(0.0, -margin)) + self.l2 / 2.0 * w @ w, gradient


class Network213:
    """2-3-2 with tanh, softmax, weighted rows."""

    l2 = 0.05
    start = RNG.standard_normal(17)
    intercepts = np.repeat([False, True, False, True], [6, 3, 6, 2])
    weights = np.arange(ROWS) % 3 + 0.5
    problem = problems.MLP(
        X, LABELS > 0, sample_weight=weights, hidden=3, activation="tanh", l2=l2, x0=start, batch_size=BATCH,
        sampling="sequential",
    )  # fmt: skip

    def __call__(self, x, rows):
        V, a, U, b = x[:6].reshape(3, 2), x[6:9], x[9:15].reshape(2, 3), x[15:]
        h = np.tanh(X[rows] @ V.T + a)
        z = h @ U.T + b
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        hot = np.stack([LABELS[rows] < 0, LABELS[rows] > 0], axis=1)
        share = self.weights[rows] / self.weights.mean() / len(rows)
        dz = share[:, None] * (p - hot)
        dh = dz @ U * (1.0 - h * h)
        w = np.where(self.intercepts, 0.0, x)
        gradient = np.concatenate([(dh.T @ X[rows]).ravel(), dh.sum(axis=0), (dz.T @ h).ravel(), dz.sum(axis=0)])
        loss = -share @ np.log(p[hot])
        return loss + self.l2 / 2.0 * w @ w, gradient + self.l2 * w


MODELS = {"logistic": Logistic(), "network": Network213()}


def points(model, method):
    """x_0 .. x_T of the core, (steps + 1, d)."""
    result = simulate(
        model.problem, SCHEDULE, method=method, base_lr=BASE_LR, horizon=HORIZON, record_at=range(HORIZON + 1),
        replicates=1, metric={f"x{i}": f"x[{i}]" for i in range(len(model.start))}, dtype="float64",
    )  # fmt: skip
    return result.mean


def walked(monkeypatch, model, step):
    """Those of NumPy, on rows in order: every gradient takes the next batch, and a value is that of its rows."""
    batches = (np.arange(k, k + BATCH) % ROWS for k in itertools.count(0, BATCH))
    now = {}

    def gradient(x):
        now["rows"] = next(batches)
        return model(x, now["rows"])[1]

    monkeypatch.setattr(method_cases, "START", model.start)
    monkeypatch.setattr(method_cases, "gradient", gradient)
    monkeypatch.setattr(method_cases, "value", lambda x: model(x, now["rows"])[0])
    return method_cases.walked(step)


def assert_close(a, b):
    assert np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b))) < 1e-12


DECAYING = {
    "weight decay": (methods.SGD(weight_decay=0.3), method_cases.sgd, (0.0, False)),
    "adagrad": (methods.AdaGrad(1e-3, 0.4, 0.1), method_cases.ada_grad, (1e-3, 0.4)),
    "rmsprop": (methods.RMSProp(0.8, 0.2, 0.5, True, 0.1), method_cases.rmsprop, (0.8, 0.2, 0.5, True)),
    "adam": (methods.Adam(beta2=0.9, weight_decay=0.2), method_cases.adam, (0.9, 0.9, 1e-8, False)),
    "adamw": (
        methods.Adam(beta2=0.9, weight_decay=0.2, decoupled=True),
        lambda *given: method_cases.adam(*given, decoupled=True),
        (0.9, 0.9, 1e-8, False),
    ),
    "schedule-free": (
        methods.ScheduleFree(methods.SGD(weight_decay=0.1), 0.7, 1.5, 1.0),
        lambda *given: method_cases.schedule_free(*given[:3], weight_decay=given[3]),
        (0.7, 1.5, 1.0),
    ),
}


def decay_of(method):
    return getattr(method, "weight_decay", None) or method.method.weight_decay


def without_decay(model):
    """Names of methods; those of saddles are written for three coordinates."""
    for name, (method, _) in CASES.items():
        written = model == "logistic" or not hasattr(method, "ascent")
        if written and "decay" not in repr(method).replace("weight_decay=0.0", ""):
            yield model, name


@pytest.mark.parametrize(("model", "name"), [pair for model in MODELS for pair in without_decay(model)])
def test_every_step_is_the_papers(monkeypatch, name, model):
    method, step = CASES[name]
    assert_close(points(MODELS[model], method), walked(monkeypatch, MODELS[model], step))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", DECAYING)
def test_intercepts_do_not_decay(monkeypatch, name, model):
    method, make, numbers = DECAYING[name]
    decay = decay_of(method) * ~MODELS[model].intercepts
    assert_close(points(MODELS[model], method), walked(monkeypatch, MODELS[model], make(*numbers, decay)))


# --- bits -----------------------------------------------------------------------------------------------------------

OWN_LOSS = "abs(z - y) ** 1.5"
KINDS = {  # class, loss, outputs, arguments
    "linear": ("LogisticRegression", "logistic", 1, {"intercept": True, "x0": 0.1}),
    "softmax": ("SoftmaxRegression", "softmax", 3, {"intercept": False, "x0": 0.1, "projection": ("ball", 0.8)}),
    "own loss": ("LinearModel", OWN_LOSS, 1, {"intercept": True, "x0": 0.1, "weighted": True}),
    "network": ("MLP", "softmax", 3, {"hidden": (5,), "activation": "tanh", "weighted": True}),
    "deep network": ("MLP", "softmax", 3, {"hidden": (5, 17), "sampling": "reshuffling"}),
}


def pair(kind, dtype, batch_size, l2=0.02):
    """The same problem for the package and for the reference."""
    name, loss, outputs, given = KINDS[kind]
    given = dict(given)
    rng = np.random.default_rng(1)
    features = rng.standard_normal((29, 19)).astype(dtype)
    y = np.sign(features[:, 0]) if outputs == 1 else (np.arange(29) % outputs).astype(float)
    if given.pop("weighted", False):
        given["sample_weight"] = np.arange(29) % 7 / 3
    if loss == OWN_LOSS:
        given["loss"] = loss
    problem = getattr(problems, name)(features, y, batch_size=batch_size, l2=l2, **given)
    network = Network(
        problem.loss if loss == OWN_LOSS else loss, features, y, outputs=outputs, l2=l2, intercept=problem.intercept,
        x0=problem.x0, radius=problem.projection[1] if problem.projection else np.inf, batch_size=batch_size,
        sampling=problem.sampling, sample_weight=problem.sample_weight,
        **{k: given[k] for k in ("hidden", "activation") if k in given},
    )  # fmt: skip
    return problem, network


CALL = {"base_lr": 0.1, "horizon": 4, "record_at": [0, 1, 4], "seed": 2**40 + 5}


def assert_bits(kind, method, dtype, batch_size, **call):
    problem, network = pair(kind, dtype, batch_size)
    made = method(problem.dimension) if callable(method) else method
    if made._unconstrained and problem.projection:
        return
    found = [
        simulate(
            problem, schedules.Linear(), method=made, replicates=2, first_replicate=1022, metric="loss", dtype=dtype,
            isa=isa, keep_samples=True, threads=1, **CALL, **call,
        ).samples
        for isa in ISAS
    ]  # fmt: skip
    expected = reference.networks.simulate(
        network=network, schedule=reference.Schedule("linear"), replicates=1022 + np.arange(2),
        method=problem._method_program(made), dtype=dtype, **CALL, **call,
    )["loss"]  # fmt: skip
    for samples in found:
        np.testing.assert_array_equal(samples, expected)


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in CASES if not isinstance(CASES[name][0], methods.SGD)])
def test_bits_are_the_references(name):
    kinds, shift = list(KINDS), sum(map(ord, name))
    for k, (dtype, batch_size) in enumerate((("float32", 1), ("float64", 3))):
        kind = kinds[(k + shift) % len(kinds)]
        assert_bits(kind, CASES[name][0], dtype, batch_size, iterate=ITERATES[(k + shift) % 3])


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("make", [*HARD, *HARD_ON_DATA])
def test_methods_of_ones_own_have_the_bits_of_the_reference(make):
    for kind, dtype in (("linear", "float64"), ("network", "float32"), ("own loss", "float32")):
        assert_bits(kind, make, dtype, 3, iterate="average")


def test_draws_of_langevin_have_the_bits_of_the_reference():
    for kind, dtype in (("linear", "float64"), ("deep network", "float32")):
        assert_bits(kind, methods.Langevin(0.3), dtype, 2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "method",
    [methods.Adam(weight_decay=0.1), methods.Clipped(methods.Adam(), 0.1), methods.ExtraGradient(), methods.Langevin(),
     methods.NGN(), methods.ScheduleFree()],
    ids=lambda method: method.name,
)  # fmt: skip
def test_neither_threads_nor_other_configs_change_a_bit(isa, method):
    rates = np.geomspace(0.01, 0.3, 5)
    for kind, batch_size in (("linear", 5), ("network", 3)):
        problem, _ = pair(kind, "float32", batch_size)

        def samples(base_lr, problem=problem, replicates=37, **options):
            return simulate(
                problem, schedules.Linear(), method=method, base_lr=base_lr, horizon=12, replicates=replicates,
                metric="loss", isa=isa, keep_samples=True, iterate="tail_average", **options,
            ).samples  # fmt: skip

        together = samples(rates, threads=1)
        np.testing.assert_array_equal(samples(rates, threads=3), together)
        for c in (0, 3):
            np.testing.assert_array_equal(samples(rates[c]), together[c])
        np.testing.assert_array_equal(samples(rates, common_random_numbers=False)[0], together[0])
        np.testing.assert_array_equal(samples(rates, replicates=5, first_replicate=30), together[:, 30:35])


def test_methods_that_know_no_other_coordinate_take_blocks():
    """What is fast is what is meant to be: a method that became slow would still have its bits."""
    known = {name: is_coordinatewise(method.program(40)) for name, (method, _) in CASES.items()}
    for name in ("adam", "adamw", "signum", "adagrad", "rmsprop, all", "schedule-free", "clipped by value"):
        assert known[name]
    for name in ("normalized", "clipped by norm", "dog", "ngn"):
        assert not known[name]


def test_adam_is_taken_in_one_pass():
    """With numbers of all kinds, and no method that computes anything else."""
    found = {name for name, (method, _) in CASES.items() if numbers_of_adam(method.program(40))}
    assert found == {"adam", "adam, numbers"}


# --- what is known of them ------------------------------------------------------------------------------------------


def test_langevin_has_its_variance():
    """Least squares in one number with all rows in every step: f = 2 x^2 / 2; at z = 5."""
    problem = problems.LeastSquares([[2.0**0.5], [2.0**0.5]], [0.0, 0.0], batch_size=2, sampling="sequential")
    lr, n = 0.2, 20_000
    result = simulate(
        problem, schedules.Constant(), method=methods.Langevin(0.5), base_lr=lr, horizon=60, replicates=n, seed=4,
        metric={"square": "x[0] * x[0]"}, threads=1,
    )  # fmt: skip
    variance = 0.5 / (2.0 * (1.0 - lr))
    assert abs(result.mean[0] - variance) < 5.0 * variance * np.sqrt(2.0 / n)


def test_clipping_a_step_that_diverges_keeps_it_finite():
    problem = problems.LeastSquares(1e3 * X, X[:, 0], batch_size=2)
    call = {"base_lr": 1.0, "horizon": 100, "replicates": 20, "metric": "loss", "threads": 1}
    clipped = simulate(problem, schedules.Linear(), method=methods.Clipped(threshold=1.0), **call)
    assert clipped.diverged == 0
    with pytest.warns(RuntimeWarning, match="diverged"):
        plain = simulate(problem, schedules.Linear(), method=methods.Clipped(threshold=1e30), **call)
    assert plain.diverged > 10


def watched(method):
    return methods.Custom(lambda u: u, of=method, dimension=3)


def recorded(method, X=X, intercept=True):
    problem = problems.LogisticRegression(X, LABELS, batch_size=BATCH, intercept=intercept, x0=0.3)
    return simulate(
        problem, schedules.Linear(), method=method, base_lr=[0.1, 0.5], horizon=30, replicates=20, record_at=[1, 30],
        metric={f"x{i}": f"x[{i}]" for i in range(3)}, keep_samples=True, dtype="float64", threads=1,
    ).samples  # fmt: skip


@pytest.mark.parametrize(
    "method", [methods.Adam(), methods.Clipped(methods.RMSProp(), 0.5), methods.PolyakMax(), methods.DoG()]
)
def test_a_method_that_is_watched_keeps_its_bits(method):
    np.testing.assert_array_equal(recorded(watched(method)), recorded(method))


@pytest.mark.parametrize("method", [methods.SGD(), methods.SGD(momentum=0.9), methods.SGD(momentum=0.9, nesterov=True)])
def test_sgd_that_is_watched_is_sgd_to_rounding(method):
    np.testing.assert_allclose(recorded(watched(method)), recorded(method), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [methods.Adam, methods.SGD])
def test_what_is_watched_takes_intercepts_for_weights(kind):
    """As a model does that has a column of ones in place of its intercept."""
    alone, through = recorded(kind(weight_decay=0.1)), recorded(watched(kind(weight_decay=0.1)))
    assert np.max(np.abs(alone - through)) > 1e-3
    of_ones = recorded(kind(weight_decay=0.1), np.c_[X, np.ones(ROWS)], False)
    np.testing.assert_allclose(through, of_ones, rtol=1e-10, atol=1e-12)


# --- all around -----------------------------------------------------------------------------------------------------

LINE = problems.LeastSquares(X, X[:, 0], batch_size=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": methods.Adam(), "weight_decay": 0.1}, r"weight_decay must be left out where there is a method"),
        ({"method": methods.Custom(lambda g: g)}, r"method must be of dimension 2 like the problem, got 1"),
        ({"method": methods.Clipped(threshold=1e39)}, r"method must have numbers of size up to 3.403e\+38 in float32"),
        ({"method": methods.DescentAscent(2)}, r"ascent must be coordinates in 0 .. 1, got \(2,\)"),
    ],
)
def test_calls_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(LINE, schedules.Linear(), base_lr=0.1, horizon=3, replicates=1, **options)


def test_what_needs_the_whole_space_is_refused_in_a_ball():
    with pytest.raises(ValueError, match=r"method must be another where there is a projection, got ExtraGradient"):
        simulate(
            LINE.replace(projection=("ball", 1.0)), schedules.Linear(), method=methods.ExtraGradient(), base_lr=0.1,
            horizon=3, replicates=1,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": []}, r"points: must be in 1 .. 255, got 0"),
        ({"block": 16}, r"block: 16 is not 0 or the dimension"),
        ({"constants": np.ones(2)}, r"constants: shape must be"),
        ({"constants": np.ones((1, 2))}, r"block: 512 is not|draws: must begin with 2 inputs"),
        ({"singles": []}, r"singles, single_starts: must be of one length"),
        ({"singles": [[0, -1, 0]] * 2}, r"singles: operand row -1"),
        ({"adam": [[0, 0, 0]]}, r"adam: must be the numbers of a step that is Adam's"),
    ],
)
def test_the_core_refuses_what_is_no_method(monkeypatch, changes, message):
    given = {}
    monkeypatch.setattr(_core, "Method", lambda **fields: given.update(fields))
    lowered_method.__wrapped__(methods.Adam().program(2))
    monkeypatch.undo()
    assert isinstance(_core.Method(**given), _core.Method)
    with pytest.raises(ValueError, match=message):
        _core.Method(**given | changes)


def test_campaigns_take_methods_on_data(tmp_path):
    call = {"base_lr": [0.1, 0.2], "horizon": 20, "replicates": 1500}
    campaign = Campaign(LINE, schedules.Linear(), method=methods.Adam(), **call)
    alone = simulate(LINE, schedules.Linear(), method=methods.Adam(), **call)
    assert np.array_equal(campaign.run(tmp_path / "store.db").mean, alone.mean)
    text = """
    schedule = "linear"
    horizon = 10
    base_lr = 0.1
    replicates = 4
    method = { name = "clipped", method = "adam", threshold = 2.0 }
    problem = { kind = "logistic_regression", data = "synthetic-logistic" }
    """
    assert read_spec(text).campaign.options["method"] == methods.Clipped(methods.Adam(), 2.0)
