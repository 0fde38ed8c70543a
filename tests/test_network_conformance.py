"""Problems on data: every instruction set against the NumPy reference, to the bit, and how samples are distributed."""

import itertools
import math

import numpy as np
import pytest

import anneal_sgd
from anneal_sgd import Simulator, problems, reference, schedules
from anneal_sgd.reference import Network
from anneal_sgd.reference.elementary import EXPONENTS

HORIZON = 13
RECORDS = [0, 1, 6, HORIZON]
MODELS = {  # class, loss, outputs, arguments
    "LeastSquares": ("squared", 1, {}),
    "LogisticRegression": ("logistic", 1, {}),
    "HingeLoss": ("hinge", 1, {}),
    "SoftmaxRegression": ("softmax", 3, {}),
    "SoftmaxRegression of nine classes": ("softmax", 9, {}),
    "MLP": ("softmax", 3, {"hidden": (18,), "activation": "tanh"}),
    "MLP of two hidden layers": ("softmax", 3, {"hidden": (5, 33), "activation": "relu"}),
    "MLP of ten classes": ("softmax", 10, {"hidden": (16,), "activation": "relu"}),
    "LinearModel": ("abs(z - y) ** 1.3", 1, {}),
    "MLP of one output": ("sqrt(1 + (z - y) ** 2)", 1, {"hidden": (18,), "activation": "tanh"}),
}
VARIANTS = {  # of the problem, of the call
    "plain": ({}, {}),
    "everything": (
        {"l2": 0.02, "intercept": True, "projection": ("ball", 1.5), "sampling": "reshuffling"},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01, "iterate": "tail_average", "tail_frac": 0.3},
    ),
    "decay": ({"l2": 0.1, "intercept": True}, {"weight_decay": 0.2, "iterate": "average"}),
    "heavy ball": ({"sampling": "reshuffling"}, {"momentum": 0.9}),
    "in order": ({"sampling": "sequential", "l2": 0.02, "weighted": True}, {}),
    "weighted": ({"intercept": True, "weighted": True}, {"momentum": 0.9, "iterate": "average"}),
}


def data(outputs, n=29, d=19, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = np.where(X[:, 0] > 0, 1.0, -1.0) if outputs == 1 else rng.permutation(np.arange(n) % outputs).astype(float)
    return X, y


def pair(model, dtype, batch_size, *, weighted=False, **arguments):
    """The same problem for the package and for the reference."""
    loss, outputs, shape = MODELS[model]
    X, y = data(outputs)
    if weighted:
        arguments["sample_weight"] = np.arange(len(X)) % 7 / 3
    X = X.astype(dtype)
    x0 = {} if shape else {"x0": 0.1}
    built_in = loss.isidentifier()
    own = {} if built_in else {"loss": loss} if shape else {"loss": loss, "minimum": 0.25}
    problem = getattr(problems, model.split()[0])(
        X, y, test=(X[:7], y[:7]), batch_size=batch_size, **{"intercept": False, **arguments, **shape, **x0, **own}
    )
    network = Network(
        loss if built_in else problem.loss,
        X,
        y,
        outputs=outputs,
        x0=None if shape else np.full(problem.dimension, 0.1),
        l2=problem.l2,
        intercept=problem.intercept,
        radius=problem.projection[1] if problem.projection else np.inf,
        minimum=0.0 if shape else problem.minimum,
        batch_size=batch_size,
        sampling=problem.sampling,
        sample_weight=problem.sample_weight,
        test_X=X[:7],
        test_y=y[:7],
        **shape,
    )
    return problem, network


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_trajectories_equal_the_reference(isa, model, variant):
    of_problem, of_call = VARIANTS[variant]
    for dtype, batch_size in (("float32", 1), ("float64", 3), ("float32", 20)):
        problem, network = pair(model, dtype, batch_size, **of_problem)
        result = anneal_sgd.simulate(
            problem,
            schedules.Cosine(),
            base_lr=0.3,
            horizon=HORIZON,
            replicates=4,
            first_replicate=1022,
            record_at=RECORDS,
            metric=problem._METRICS,
            dtype=dtype,
            seed=2**40 + 5,
            isa=isa,
            keep_samples=True,
            **of_call,
        )
        expected = reference.networks.simulate(
            network=network,
            schedule=reference.Schedule("cosine"),
            base_lr=0.3,
            horizon=HORIZON,
            replicates=1022 + np.arange(4),
            seed=2**40 + 5,
            record_at=RECORDS,
            dtype=dtype,
            **of_call,
        )
        for i, metric in enumerate(problem._METRICS):
            np.testing.assert_array_equal(result.samples[:, i], expected[metric], err_msg=f"{metric} {dtype}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 16, 17, 40])
@pytest.mark.parametrize("model", ["LogisticRegression", "SoftmaxRegression", "MLP"])
def test_gangs_threads_and_shared_rows_change_no_bit(isa, model, batch_size, dtype):
    """37 replicates and 7 configs fill no gang; a config alone, or with a stream of its own, takes the same steps."""
    problem, _ = pair(model, dtype, batch_size, intercept=True, l2=0.01, weighted=batch_size in (1, 5, 16))
    simulator, base_lr = Simulator(problem), np.geomspace(0.01, 3.0, 7)

    def samples(base_lr, replicates=37, **arguments):
        return simulator.run(
            schedules.Linear(),
            base_lr=base_lr,
            horizon=7,
            replicates=replicates,
            metric="loss",
            dtype=dtype,
            isa=isa,
            keep_samples=True,
            **arguments,
        ).samples

    together = samples(base_lr, threads=2)
    np.testing.assert_array_equal(samples(base_lr, threads=1), together)
    for c in (0, 3, 6):
        np.testing.assert_array_equal(samples(base_lr[c]), together[c])
    np.testing.assert_array_equal(samples(base_lr, common_random_numbers=False)[0], together[0])
    np.testing.assert_array_equal(samples(base_lr, replicates=5, first_replicate=30), together[:, 30:35])


@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 33])
@pytest.mark.parametrize("d", [1, 15, 16, 17, 31, 33])
def test_edges_of_rows(isa, n, d):
    """Numbers of rows and of features around the widths of vectors."""
    rng = np.random.default_rng(d)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    problem = problems.LeastSquares(X, y, batch_size=2, intercept=True)
    result = anneal_sgd.simulate(
        problem,
        schedules.Constant(),
        base_lr=0.01,
        horizon=5,
        replicates=3,
        dtype="float64",
        metric="loss",
        isa=isa,
        keep_samples=True,
    )
    expected = reference.networks.simulate(
        network=Network("squared", X, y, intercept=True, batch_size=2, x0=np.zeros(d + 1)),
        schedule=reference.Schedule("constant"),
        base_lr=0.01,
        horizon=5,
        replicates=np.arange(3),
        seed=0,
        dtype="float64",
    )
    np.testing.assert_array_equal(result.samples, expected["loss"][0])


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
def test_outputs_that_are_no_numbers_are_divergence(isa):
    """An output of inf - inf beside finite ones: NaN, not the logarithm of something."""
    X, y = np.array([[1e30, -1e30], [0.0, 0.0], [0.0, 0.0]]), [1, 0, 2]
    problem = problems.SoftmaxRegression(X, y, x0=[1e38, 1e38, 0, 0, 0, 0], test=(X[:1], [1]))
    result = anneal_sgd.simulate(
        problem,
        schedules.Constant(),
        base_lr=0.0,
        horizon=1,
        replicates=3,
        metric=("loss", "test_loss", "test_accuracy"),
        isa=isa,
    )
    assert result.diverged.tolist() == [3, 3, 3]


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
def test_overflow_beside_a_problem_with_decay(isa):
    """A weight that overflows without l2 has diverged, whatever runs beside it; the other one stays at 0."""
    alone = problems.HingeLoss([[10.0], [-10.0]], [1, -1])
    other = problems.HingeLoss([[10.0], [-10.0]], [1, -1], l2=0.5)
    call = {"base_lr": [0.0, 3e38], "horizon": 20, "replicates": 2, "metric": "loss", "isa": isa}
    both = anneal_sgd.simulate([alone, other], schedules.Constant(), **call)
    one = anneal_sgd.simulate(alone, schedules.Constant(), **call)
    assert both.diverged[0].tolist() == one.diverged.tolist() == [0, 2]
    assert both.mean[0, 0] == one.mean[0] == 1.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponential_is_accurate(dtype):
    """Within 1.5 ulp, over the whole range; the compiled one has the same bits, as the trajectories show."""
    low, high = EXPONENTS[dtype]
    x = np.concatenate([np.linspace(low, high, 200_001), np.linspace(-1, 1, 200_001)]).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    spacing = np.spacing(exact.astype(dtype)).astype(np.longdouble)
    assert np.max(np.abs(reference.exp(x).astype(np.longdouble) - exact) / spacing) < 1.5


# --- samples: fixed seeds, limits at 5 standard errors or p = 1e-5 ----------------------------------------------------


def shuffled(n, epochs, seed=3):
    """Row numbers by (epoch, position), each epoch of a replicate of its own."""
    return reference.rows(n, seed=seed, replicates=np.arange(epochs), first=0, count=n, sampling="reshuffling")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 63, 64, 65, 1000])
def test_every_epoch_is_a_permutation(n):
    several = reference.rows(n, seed=1, replicates=[0, 5], first=0, count=3 * n, sampling="reshuffling")
    for epoch in np.split(several, 3, axis=1):
        np.testing.assert_array_equal(np.sort(epoch, axis=1), np.tile(np.arange(n), (2, 1)))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_all_orders_of_a_few_rows_are_as_frequent(n, stats):
    orders = [tuple(order) for order in shuffled(n, 6000).tolist()]
    counts = [orders.count(order) for order in itertools.permutations(range(n))]
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize(("n", "most"), [(3, 2e-5), (4, 1e-4), (5, 0.0131), (6, 0.0587)])
def test_how_much_more_frequent_orders_are(n, most):
    """Exactly, where the keys make all shifts of a round equally likely: a random walk of 16 steps on permutations."""
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    down = [
        [(p // columns + s[p % columns]) % rows * columns + p % columns for p in range(rows * columns)]
        for s in itertools.product(range(rows), repeat=columns)
    ]
    along = [
        [p // columns * columns + (p + s[p // columns]) % columns for p in range(rows * columns)]
        for s in itertools.product(range(columns), repeat=rows)
    ]
    chance = {tuple(range(rows * columns)): 1.0}
    for moves in [down, along] * 8:
        before, chance = chance, {}
        for order, share in before.items():
            for move in moves:
                after = tuple(move[p] for p in order)
                chance[after] = chance.get(after, 0.0) + share / len(moves)
    found = {}
    for order, share in chance.items():
        row_at = []
        for place in range(n):
            row = order[place]
            while row >= n:
                row = order[row]
            row_at.append(row)
        found[tuple(row_at)] = found.get(tuple(row_at), 0.0) + share
    unequal = [abs(share * math.factorial(n) - 1) for share in found.values()]
    assert len(found) == math.factorial(n)
    assert 0.5 * most < max(unequal) < most


def test_places_and_neighbours_are_uniform(stats):
    """Where a row goes, and by which row another is followed, as a random permutation has it."""
    n, epochs = 50, 4000
    order = shuffled(n, epochs)
    for position in (0, 1, 24, 49):
        assert stats.chisquare(np.bincount(order[:, position], minlength=n)).pvalue > 1e-5
    place = np.argsort(order, axis=1)
    for a, b in ((0, 1), (7, 8), (0, 8), (10, 40)):
        distance = (place[:, a] - place[:, b]) % n
        assert stats.chisquare(np.bincount(distance, minlength=n)[1:]).pvalue > 1e-5
    rising = (order[:, 1:] > order[:, :-1]).sum(axis=1)  # ascents: mean (n - 1) / 2, variance (n + 1) / 12
    assert abs(rising.mean() - (n - 1) / 2) < 5 * np.sqrt((n + 1) / 12 / epochs)
    assert abs(rising.var() / ((n + 1) / 12) - 1) < 5 * np.sqrt(2 / epochs)


def test_rows_with_replacement_are_uniform(stats):
    rows = reference.rows(10, seed=2, replicates=np.arange(50), first=0, count=400)
    assert stats.chisquare(np.bincount(rows.ravel(), minlength=10)).pvalue > 1e-5
    pairs = rows[:, :-1] * 10 + rows[:, 1:]
    assert stats.chisquare(np.bincount(pairs[:, ::2].ravel(), minlength=100)).pvalue > 1e-5


@pytest.mark.parametrize("sampling", ["with_replacement", "reshuffling"])
def test_final_losses_are_distributed_as_those_of_plain_numpy(sampling, stats):
    """Two-sample Kolmogorov-Smirnov test against SGD written with NumPy's own generator, p > 1e-5."""
    X, y = data(1, n=60, d=4, seed=8)
    T, R, B, base_lr = 200, 2000, 2, 1.0
    problem = problems.LogisticRegression(X, y, batch_size=B, sampling=sampling, l2=0.05)
    result = anneal_sgd.simulate(
        problem, schedules.Linear(), base_lr=base_lr, horizon=T, replicates=R, keep_samples=True
    )
    rng, w = np.random.default_rng(0), np.zeros((R, 4))
    order = rng.permuted(np.tile(np.arange(60), (R, -(-T * B // 60), 1)), axis=2).reshape(R, -1)
    for t in range(T):
        rows = rng.integers(0, 60, (R, B)) if sampling == "with_replacement" else order[:, t * B : (t + 1) * B]
        margin = y[rows] * np.einsum("rbd,rd->rb", X[rows], w)
        gradient = -np.einsum("rb,rbd->rd", y[rows] / (1 + np.exp(margin)), X[rows]) / B + 0.05 * w
        w -= base_lr * (1 - t / T) * gradient
    assert stats.ks_2samp(result.samples, problem.suboptimality(w)).pvalue > 1e-5


def test_drawn_starts_have_the_stated_variance(stats):
    """x0 of an MLP: variance 2 / inputs before a relu, 1 / inputs before the outputs, through the recorded loss."""
    X, y = data(2, n=40, d=6)
    problem = problems.MLP(X, y, hidden=(8,), intercept=False)
    samples = anneal_sgd.simulate(
        problem, schedules.Linear(), base_lr=1.0, horizon=1, replicates=4000, record_at=0, keep_samples=True
    ).samples
    rng = np.random.default_rng(1)
    hidden = np.maximum(0, X @ rng.normal(0, np.sqrt(2 / 6), (4000, 6, 8)))
    z = hidden @ rng.normal(0, np.sqrt(1 / 8), (4000, 8, 2))
    losses = (
        np.logaddexp(z[..., 0], z[..., 1])
        - np.take_along_axis(z, np.broadcast_to(y.astype(int)[None, :, None], (4000, 40, 1)), axis=2)[..., 0]
    )
    assert stats.ks_2samp(samples, losses.mean(axis=1)).pvalue > 1e-5
