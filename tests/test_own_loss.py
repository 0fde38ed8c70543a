"""Losses of one's own on data: bits of the reference and of built-in ones, plain SGD, known values, all around them."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest

from anneal_sgd import _core, problems, reference, schedules, simulate
from anneal_sgd.campaigns import Campaign, read_spec
from anneal_sgd.problems import MLP, LinearModel
from anneal_sgd.programs._lower import lowered
from anneal_sgd.reference import Network
from core_cases import DTYPES

KNOTS = np.array([0.3, -0.7, 1.5])
LOSSES = {
    "power": "abs(z - y) ** 1.3",
    "pseudo-Huber": lambda z, y: np.sqrt(1 + (z - y) ** 2) - 1,
    "pinball": "maximum(0.9 * (y - z), 0.1 * (z - y))",
    "logistic": lambda z, y: np.log(1 + np.exp(-y * z)),
    "of vectors": lambda z, y: (
        np.sum(np.abs(KNOTS * z - y)) + np.max(KNOTS * z) + np.dot(KNOTS, np.tanh(KNOTS * y * z))
    ),
    "the output itself": "0.5 * z * z",
}


def data(n=29, d=19, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.where(X[:, 0] > 0, 1.0, -1.0)


def samples(problem, *, batch_size=None, schedule=None, **changes):
    call = {"base_lr": 0.1, "horizon": 13, "replicates": 4, "backend": "cpu", "metric": "loss", "keep_samples": True}
    problem = problem if batch_size is None else problem.replace(batch_size=batch_size)
    return simulate(problem, schedule or schedules.Linear(), **{**call, **changes}).samples


# --- bits -------------------------------------------------------------------------------------------------------------


BATCHES = {1: [0.3], 3: [0.1, 0.3], 20: np.geomspace(0.01, 0.3, 18), 70: [0.1]}
CALL = {"horizon": 5, "record_at": [0, 2, 5]}


@cache
def by_the_reference(loss, dtype, batch_size, rate):
    problem = small(loss, dtype, batch_size)
    network = Network(
        problem.loss, problem.X, problem.y, intercept=True, l2=0.02, batch_size=batch_size, x0=np.zeros(6)
    )  # fmt: skip
    schedule = reference.Schedule("linear")
    call = {"network": network, "schedule": schedule, "replicates": np.arange(5), "seed": 0, "dtype": dtype}
    return reference.networks.simulate(base_lr=rate, **call, **CALL)["loss"]


def small(loss, dtype, batch_size):
    X, y = data(d=5)
    return LinearModel(X.astype(dtype), y, loss=LOSSES[loss], batch_size=batch_size, intercept=True, l2=0.02)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_the_bits_of_the_reference(isa, loss, dtype):
    """Batches around the widths of vectors and of strips, alone and as configs of shared rows."""
    for batch_size, rates in BATCHES.items():
        found = samples(small(loss, dtype, batch_size), base_lr=rates, replicates=5, isa=isa, dtype=dtype, **CALL)
        for c in {0, len(rates) - 1}:
            expected = by_the_reference(loss, dtype, batch_size, rates[c])
            np.testing.assert_array_equal(found[c], expected, err_msg=f"batch {batch_size}, rate {c}")


SAME = {  # written as the built-in losses compute: the formulas of docs/stream.md
    "LeastSquares": lambda z, y: ((z - y) * 0.5) * (z - y),
    "HingeLoss": lambda z, y: np.maximum(0, 1 - y * z),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("builtin", SAME)
def test_a_built_in_loss_written_as_ones_own_has_its_bits(isa, builtin, dtype):
    X, y = data()
    call = {"l2": 0.05, "intercept": True, "sample_weight": np.arange(29) % 7, "test": (X[:7], y[:7])}
    own, ours = LinearModel(X, y, loss=SAME[builtin], **call), getattr(problems, builtin)(X, y, **call)
    for batch_size, rates in ((1, 0.1), (5, np.geomspace(0.01, 0.3, 17)), (16, [0.1, 0.2]), (16, 0.1), (33, 0.1)):
        run = {"batch_size": batch_size, "base_lr": rates, "replicates": 17, "dtype": dtype, "isa": isa}
        run |= {"metric": ("loss", "test_loss"), "record_at": [1, 13]}
        assert np.array_equal(samples(own, **run), samples(ours, **run))
        more = {**run, "momentum": 0.9, "iterate": "average"}
        assert np.array_equal(samples(own, **more), samples(ours, **more))
    assert not np.array_equal(samples(own, base_lr=0.1), samples(own, base_lr=0.2))


def test_threads_splits_and_neighbours_change_no_bit(isa):
    X, y = data()
    problem = LinearModel(X, y, loss=LOSSES["power"], batch_size=16)
    rates = np.geomspace(0.01, 0.3, 20)
    together = samples(problem, base_lr=rates, replicates=37, isa=isa, threads=2)
    assert np.array_equal(samples(problem, base_lr=rates, replicates=37, isa=isa, threads=1), together)
    assert np.array_equal(samples(problem, base_lr=rates[3], replicates=37, isa=isa), together[3])
    assert np.array_equal(
        samples(problem, base_lr=rates, replicates=5, first_replicate=30, isa=isa), together[:, 30:35]
    )
    several = [problem, problem.replace(l2=0.3)]
    assert np.array_equal(samples(several, base_lr=rates, replicates=37, isa=isa)[0], together)


# --- against SGD in plain NumPy, derivatives written by hand ----------------------------------------------------------

BY_HAND = {
    "power": (lambda r: np.abs(r) ** 1.3, lambda r: 1.3 * np.abs(r) ** 0.3 * np.sign(r)),
    "pseudo-Huber": (lambda r: np.hypot(1, r) - 1, lambda r: r / np.hypot(1, r)),
    "pinball": (lambda r: np.where(r < 0, -0.9 * r, 0.1 * r), lambda r: np.where(r < 0, -0.9, 0.1)),
}


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("loss", BY_HAND)
def test_sgd_steps_are_those_of_plain_numpy(loss, momentum):
    X, y = data(n=40, d=7)
    y = y + X[:, 1]
    value, slope = BY_HAND[loss]
    T, B, R, lr, l2 = 60, 5, 3, 0.07, 0.03
    weights = 1.0 + np.arange(40) % 3
    problem = LinearModel(X, y, loss=LOSSES[loss], batch_size=B, l2=l2, intercept=True, sample_weight=weights)
    found = samples(problem, base_lr=lr, horizon=T, replicates=R, momentum=momentum, seed=5, dtype="float64")
    rows = reference.rows(40, seed=5, replicates=np.arange(R), first=0, count=T * B)
    s = weights / weights.mean()
    for r in range(R):
        w, v = np.zeros(8), np.zeros(8)
        A = np.hstack([X, np.ones((40, 1))])
        for t in range(T):
            i = rows[r, t * B : (t + 1) * B]
            g = A[i].T @ (s[i] * slope(A[i] @ w - y[i])) / B + l2 * np.append(w[:-1], 0.0)
            v = momentum * v + g
            w = w - lr * (1 - t / T) * v
        expected = np.mean(s * value(A @ w - y)) + 0.5 * l2 * np.sum(w[:-1] ** 2)
        np.testing.assert_allclose(found[r], expected, rtol=1e-11)
        np.testing.assert_allclose(problem.value(w), expected, rtol=1e-12)


@pytest.mark.parametrize("make", [LinearModel, lambda X, y, **own: MLP(X, y, hidden=(4, 3), activation="tanh", **own)])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss, make):
    X, y = data(d=3)
    problem = make(X, y + 0.1 * X[:, 1], loss=LOSSES[loss], l2=0.1, intercept=True, sample_weight=1.0 + np.arange(29))
    x, h = np.random.default_rng(1).standard_normal(problem.dimension), 1e-6
    steps = h * np.eye(problem.dimension)
    numeric = (problem.value(x + steps) - problem.value(x - steps)) / (2 * h)
    np.testing.assert_allclose(problem.gradient(x), numeric, rtol=1e-5, atol=1e-7)


def test_logistic_loss_as_ones_own_agrees_with_the_built_in_one():
    """Another formula, so other bits: means of 2000 runs to 1e-5, and the minimum, from another solver, to 1e-7."""
    X, y = data(n=60, d=4)
    y = np.where(np.arange(60) % 5 == 0, -y, y)
    own = LinearModel(X, y, loss=LOSSES["logistic"], l2=0.01, batch_size=4, minimum="solve")
    ours = problems.LogisticRegression(X, y, l2=0.01, batch_size=4)
    assert abs(own.minimum - ours.minimum) < 1e-7
    run = {"base_lr": [0.1, 1.0], "horizon": 100, "replicates": 500, "metric": "suboptimality"}
    np.testing.assert_allclose(samples(own, **run), samples(ours, **run), rtol=1e-3, atol=1e-6)


# --- f* and what is recorded ------------------------------------------------------------------------------------------


def test_a_minimum_is_given_found_or_not_known():
    X, y = np.ones((5, 1)), np.array([0.0, 1.0, 2.0, 3.0, 14.0])
    known = LinearModel(X, y, loss="(z - y) ** 2", minimum="solve")
    assert known.minimum == pytest.approx(np.var(y), abs=1e-7)
    assert simulate(known, schedules.Linear(), base_lr=0.0, horizon=1, replicates=1).spec.metric == "suboptimality"
    ball = LinearModel(X, y, loss="(z - y) ** 2", minimum="solve", projection=("ball", 1.0))
    assert ball.minimum == pytest.approx(np.mean((1 - y) ** 2), abs=1e-6)
    given = known.replace(minimum=2.5)
    assert samples(given, metric="suboptimality", base_lr=0.0).tolist() == [np.mean(y**2) - 2.5] * 4
    unknown = known.replace(minimum=None)
    assert simulate(unknown, schedules.Linear(), base_lr=0.1, horizon=1, replicates=1).spec.metric == "loss"
    with pytest.raises(ValueError, match="metric must be 'loss', or minimum must be given"):
        samples(unknown, metric="suboptimality")
    with pytest.raises(ValueError, match=r"minimum of <LinearModel.*was not found"):
        _ = LinearModel(X, y, loss="exp(-z)", minimum="solve").minimum


@pytest.mark.parametrize("l2", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize(("n", "d", "intercept"), [(60, 4, True), (60, 4, False), (20, 50, True), (20, 50, False)])
def test_a_minimum_of_features_in_any_units(n, d, intercept, l2):
    """Least squares as a loss of one's own, against NumPy's, with sqrt(n l2) times the identity below the rows."""
    rng = np.random.default_rng(d)
    X = (rng.standard_normal((n, d)) + rng.uniform(-9, 9, d)) * np.geomspace(1e-3, 1e3, d)
    y = rng.standard_normal(n) + 5
    A = np.column_stack([X, np.ones(n)]) if intercept else X
    penalty = np.sqrt(n * l2) * np.eye(A.shape[1])[:d]
    rows, targets = np.vstack([A, penalty]), np.append(y, np.zeros(d))
    scale = np.linalg.norm(rows, axis=0)
    residual = targets - rows / scale @ np.linalg.lstsq(rows / scale, targets)[0]
    own = LinearModel(X, y, loss="(z - y) ** 2 / 2", l2=l2, intercept=intercept, x0=1.0, minimum="solve")
    assert own.minimum == pytest.approx(residual @ residual / (2 * n), rel=1e-8, abs=1e-9)


def test_a_minimum_with_rows_of_no_weight_and_a_feature_that_is_constant():
    X, y = data(n=30, d=3)
    X[:, 1], weights = 7.0, np.arange(30) % 3
    own = LinearModel(
        X, y, loss="log(1 + exp(-y * z))", sample_weight=weights, intercept=True, l2=0.01, minimum="solve"
    )
    ours = problems.LogisticRegression(X, y, sample_weight=weights, intercept=True, l2=0.01)
    assert own.minimum == pytest.approx(ours.minimum, abs=1e-8)


def test_held_out_losses_and_no_accuracy():
    X, y = data()
    for problem in (
        LinearModel(X, y, loss="abs(z - y)", test=(X[:3], [1.0, 2.0, -3.0])),
        MLP(X, y, loss="abs(z - y)", hidden=2, x0=0.0, intercept=True, test=(X[:3], [1.0, 2.0, -3.0])),
    ):
        assert samples(problem, metric=("loss", "test_loss"), base_lr=0.0)[:, 0].tolist() == [1.0, 2.0]
        with pytest.raises(ValueError, match=r"metric must be one or more of .* got 'test_accuracy'"):
            samples(problem, metric="test_accuracy")


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
def test_what_leaves_the_numbers_is_seen_but_rows_of_no_weight_are_not():
    X, y = np.ones((2, 1)), np.array([1.0, -1.0])
    problem = LinearModel(X, y, loss="log(y) * z", sampling="sequential")
    result = simulate(problem, schedules.Constant(), base_lr=0.1, horizon=2, replicates=2, record_at=[0, 1, 2])
    assert result.diverged.tolist() == [2, 2, 2]
    weighted = LinearModel(X, y, loss="log(y) * z", sampling="sequential", sample_weight=[1.0, 0.0])
    assert samples(weighted, horizon=2, record_at=[0, 1, 2]).tolist() == [[0.0] * 4] * 3


# --- as objects -------------------------------------------------------------------------------------------------------


def test_equality_pickles_and_copies():
    X, y = data()
    one = LinearModel(X, y, loss=lambda z, y: np.abs(z - y) ** 1.3, minimum=0.5)
    same = LinearModel(X, y, loss="abs(z - y) ** 1.3", minimum=0.5)
    assert one == same
    assert hash(one) == hash(same)
    assert one.loss == same.loss
    for other in (one.replace(loss="abs(z - y) ** 1.4"), one.replace(minimum=None), one.replace(l2=0.1)):
        assert other != one
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), one.replace()):
        assert again == one
        assert np.array_equal(samples(again), samples(one))
    network = MLP(X, y, hidden=3, loss="abs(z - y)")
    assert pickle.loads(pickle.dumps(network)) == network != network.replace(loss="2 * abs(z - y)")
    assert repr(one) == f"<LinearModel X: 29 x 19, loss=<program {one.loss.digest[:8]}>, minimum=0.5>"
    assert "loss=<program" in repr(network)
    assert "loss" not in repr(MLP(X, y > 0, hidden=3))
    result = simulate(one, schedules.Linear(), base_lr=0.1, horizon=2, replicates=1024)
    more = simulate(same, schedules.Linear(), base_lr=0.1, horizon=2, replicates=1024, first_replicate=1024)
    assert (result + more).replicates == 2048
    assert str(one.loss).endswith("value = v5\ngradient = v10")


class Squared:
    """A loss that is an object."""

    def __call__(self, z, y):
        return (z - y) ** 2


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (3, TypeError, "loss must be a function of z and y or a text, got 3"),
        ("", ValueError, "loss must be an expression"),
        ("abs(x)", ValueError, "loss must have no name 'x', at column 5"),
        ("y ** 2", ValueError, "loss must depend on z"),
        ("sign(z - y)", ValueError, "loss must depend on z, its first argument, in more than jumps"),
        ("z + draw.gaussian()", ValueError, "loss must have no draws"),
        (lambda z, y: [z, y], TypeError, "cannot be traced"),
        (lambda z, y: z if z > y else y, TypeError, "A branch on a value .* cannot be traced"),
        (lambda z, y: KNOTS * z, ValueError, "loss must return one number, got shape"),
        (lambda z, y: z * np.random.default_rng().random(), ValueError, "loss must do the same at every call"),
        (lambda z, y, a: a * z, TypeError, "loss must be a function of z and y, got .*: missing .* 'a'"),
        (lambda z: z, TypeError, "loss must be a function of z and y"),
        (problems.Custom("x[0] ** 2", x0=1.0).program, ValueError, "loss must be a function of z and y, a text"),
    ],
)
def test_bad_losses(loss, error, message):
    X, y = data()
    with pytest.raises(error, match=message):
        LinearModel(X, y, loss=loss)
    with pytest.raises(error, match=message):
        MLP(X, y, loss=loss)


def test_z_and_y_are_those_in_any_order():
    pinball = "maximum(0.9 * (y - z), 0.1 * (z - y))"
    X, y = np.ones((2, 1)), np.array([1.0, 3.0])
    for loss in (
        lambda y, z: np.maximum(0.9 * (y - z), 0.1 * (z - y)),
        lambda z, y: np.maximum(0.9 * (y - z), 0.1 * (z - y)),
        lambda output, target: np.maximum(0.9 * (target - output), 0.1 * (output - target)),
    ):
        assert LinearModel(X, y, loss=loss).loss == LinearModel(X, y, loss=pinball).loss


def test_bad_arguments():
    X, y = data()
    with pytest.raises(TypeError, match="loss"):
        LinearModel(X, y)
    with pytest.raises(ValueError, match="minimum must be one number, 'solve' or None, got 'find'"):
        LinearModel(X, y, loss="abs(z - y)", minimum="find")
    with pytest.raises(ValueError, match="y must be numbers"):
        LinearModel(X, np.where(y > 0, "a", "b"), loss="abs(z - y)")
    with pytest.raises(ValueError, match="loss must be None where y is classes"):
        MLP(X, y > 0).replace(loss="abs(z - y)")
    with pytest.raises(ValueError, match="loss must be one of your own where y is numbers"):
        MLP(X, y, loss="abs(z - y)").replace(loss=None)
    large = LinearModel(X, y, loss="abs(z - y) * 1e200")
    with pytest.raises(ValueError, match=r"loss must have constants of size up to .* in float32"):
        samples(large)
    assert np.isfinite(samples(large, dtype="float64", base_lr=0.0)).all()
    one = LinearModel(X, y, loss=Squared())
    with pytest.raises(ValueError, match="problem must have one loss"):
        samples([one, one.replace(loss="abs(z - y)")])


def test_the_core_refuses_what_python_would_not_pass():
    X, y = data()
    problem = LinearModel(X, y, loss="abs(z - y)")
    stacked = {"activation": _core.Activation.relu, "sampling": _core.Sampling.sequential, "intercept": False}
    stacked |= {"sizes": [19, 1], "batch_size": 1, "projection": _core.ProjectionKind.none}
    stacked |= {
        "precision": _core.Precision.float64,
        "problems": [(problem._train.of_dtype("float64"), None, 0, 1, 0, None)],
    }

    program = lowered(problem.loss)
    with pytest.raises(ValueError, match="own_loss: must be given with loss own"):
        _core.Problems(loss=_core.Loss.own, **stacked)
    with pytest.raises(ValueError, match="own_loss: must be given with loss own"):
        _core.Problems(loss=_core.Loss.squared, own_loss=program, **stacked)
    other = lowered(problems.Custom("a * x[0] ** 2", x0=1.0, parameters={"a": 1.0}).program)
    with pytest.raises(ValueError, match="own_loss: must be a program of output and target alone"):
        _core.Problems(loss=_core.Loss.own, own_loss=other, **stacked)
    assert _core.Problems(loss=_core.Loss.own, own_loss=program, **stacked).count == 1


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_a_campaign_keeps_and_tells_them(tmp_path):
    X, y = data()
    problem = LinearModel(X, y, loss="abs(z - y) ** 1.3", batch_size=4)
    call = {"base_lr": [0.05, 0.1], "horizon": 20, "replicates": 1024}
    campaign = Campaign(problem, schedules.Linear(), **call)
    result = campaign.run(tmp_path / "store.db", backend="cpu", threads=1)
    assert np.array_equal(result.mean, simulate(problem, schedules.Linear(), **call).mean)
    assert campaign.description().programs == (str(problem.loss),)
    own = Campaign(problem.replace(loss="abs(z - y) ** 1.4"), schedules.Linear(), **call)
    assert own.identities != campaign.identities
    again = own.run(tmp_path / "store.db", backend="cpu", threads=1)
    assert not np.array_equal(again.mean, result.mean)


def test_a_file_has_them_as_text(tmp_path):
    X, y = data()
    np.savez(tmp_path / "data.npz", X=X, y=y + X[:, 1])
    text = """
        schedule = "linear"
        horizon = 10
        base_lr = [0.1]
        replicates = 1024
        [problem]
        kind = "{kind}"
        loss = "{loss}"
        data = "data.npz"
        batch_size = 4
    """

    def problem(loss="abs(z - y) ** 1.3", kind="linear_model"):
        return read_spec(text.format(kind=kind, loss=loss), folder=tmp_path).campaign.problems[0]

    centred = (y + X[:, 1] - np.mean(y + X[:, 1])) / np.std(y + X[:, 1])
    found = problem()
    np.testing.assert_allclose(found.y, centred)
    assert found.loss == LinearModel(X, y, loss="abs(z - y) ** 1.3").loss
    assert problem(kind="mlp").loss == found.loss
    np.savez(tmp_path / "data.npz", X=X, y=np.where(y > 0, "yes", "no"))
    assert set(problem().y) == {-1.0, 1.0}
    for kind, loss, message in (
        ("linear_model", "open('x')", "line 8: loss must have no function 'open'"),
        ("hinge_loss", "abs(z - y)", "loss must be a parameter of hinge_loss"),
    ):
        with pytest.raises(ValueError, match=message):
            problem(loss, kind)
    np.savez(tmp_path / "data.npz", X=X, y=np.array(["a", "b", "c"])[np.arange(29) % 3])
    with pytest.raises(ValueError, match="must have a target of numbers or two classes"):
        problem()
