"""The CUDA kernels for problems on data have the bits of the CPU backend: on a GPU, and emulated on any machine.

See test_cuda.py for what the emulation is.
"""

import itertools

import numpy as np
import pytest

from anneal_sgd import _core, problems
from anneal_sgd._core import ScheduleKind
from core_cases import COSINE, DTYPES, ITERATES, assert_equal, assert_same, both, run

LINEAR = _core.Schedule(ScheduleKind.linear)
KNOTS = np.linspace(-1.5, 1.0, 40)


def of_vectors(z, y):
    """Every kind of instruction, sums of more terms than there are accumulators."""
    v = KNOTS * z - y
    m = np.outer(KNOTS[:3], KNOTS) @ np.where(v > 0.1, np.sin(v), np.cos(v))
    return np.sum(np.abs(v)) + np.max(v) - np.min(KNOTS * z) + np.dot(v, np.tanh(v)) + np.sum(m[1:] * m[:-1])


MODELS = {
    "LeastSquares": {},
    "LogisticRegression": {},
    "HingeLoss": {},
    "SoftmaxRegression": {},
    "MLP": {"hidden": (18,), "activation": "tanh"},
    "MLP of two hidden layers": {"hidden": (5, 33), "activation": "relu"},
    "LinearModel": {"loss": lambda z, y: np.abs(z - y) ** 1.3 + np.log(1 + np.exp(-y * z))},
    "LinearModel of vectors": {"loss": of_vectors},
    "MLP with a loss of its own": {"hidden": (18,), "activation": "tanh", "loss": "sqrt(1 + (z - y) ** 2)"},
}
VARIANTS = {  # of the problem, of the call
    "plain": ({}, {}),
    "everything": (
        {"l2": 0.02, "intercept": True, "projection": ("ball", 1.5), "sampling": "reshuffling"},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01, "iterate": "tail_average"},
    ),
    "decay": ({"l2": 0.1, "intercept": True}, {"weight_decay": 0.2, "iterate": "average"}),
    "heavy ball": ({"sampling": "reshuffling", "intercept": True}, {"momentum": 0.9}),
    "in order": ({"sampling": "sequential", "l2": 0.02, "weighted": True}, {}),
    "weighted": ({"intercept": True, "weighted": True}, {"momentum": 0.9, "iterate": "average"}),
}
BATCHES = [1, 2, 15, 16, 17, 40]


def make(model, n=29, d=19, classes=3, seed=0, weighted=False, **arguments):
    """A problem with a test set of other rows."""
    if weighted:
        arguments["sample_weight"] = np.arange(n) % 7 / 3
    rng = np.random.default_rng([seed, n, d])
    X, test = rng.standard_normal((n, d)), rng.standard_normal((7, d))
    if model == "LeastSquares":
        y, test_y = rng.standard_normal(n), rng.standard_normal(7)
    elif model in ("LogisticRegression", "HingeLoss"):
        y, test_y = np.where(np.arange(n) % 2, 1.0, -1.0), np.where(test[:, 0] > 0, 1.0, -1.0)
    else:
        y, test_y = np.arange(n) % classes, np.arange(7) % classes
    return getattr(problems, model.split()[0])(
        X, y, test=(test, test_y), **{"intercept": False, **MODELS[model], **arguments}
    )


def core(*made, dtype="float32", with_minimum=False):
    return type(made[0])._stack(made, dtype, with_minimum=with_minimum)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_loss_and_batch_has_the_bits_of_the_cpu(device, model, variant):
    of_problem, of_call = VARIANTS[variant]
    for dtype, batch in itertools.product(DTYPES, BATCHES):
        problem = make(model, batch_size=batch, **of_problem)
        size = {"dtype": dtype, "horizon": 5, "record_at": [0, 1, 5], "replicates": 3, "first": 1022}
        size |= {"base_lr": (0.1, 0.3, 1.0), "metrics": problem._METRICS}
        assert_equal(both(device, core(problem, dtype=dtype), **size, **of_call))


@pytest.mark.parametrize("d", [1, 2, 17, 33, 100, 128, 129])
@pytest.mark.parametrize("model", ["LeastSquares", "LogisticRegression", "HingeLoss"])
def test_single_samples(device, model, d):
    """Of up to 128 features a kernel of its own takes them; records, averages and launches begin within its tiles."""
    for (of_problem, of_call), dtype, steps in itertools.product(VARIANTS.values(), DTYPES, (0, 37)):
        made = [make(model, n=n, d=d, seed=n, **of_problem) for n in (29, 50)]
        size = {"dtype": dtype, "horizon": 270, "record_at": [0, 3, 132, 270], "replicates": 3, "first": 1022}
        size |= {"base_lr": (1e-3, 0.02, 1e20), "metrics": made[0]._METRICS, "shared": steps > 0}
        pair = both(device, core(*made, dtype=dtype), [COSINE, LINEAR], steps_per_launch=steps, **size, **of_call)
        assert_equal(pair)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("d", [1, 7, 15, 16, 17, 33, 700])
def test_edges_of_rows(device, d, shared):
    """Of 700 features the emulated device's shared memory holds no points."""
    for model, n, dtype in (
        ("LeastSquares", 17, "float64"),
        ("SoftmaxRegression", 16, "float32"),
        ("MLP", 5, "float32"),
    ):
        problem = make(model, n=n, d=d, batch_size=3, intercept=d % 2 == 1)
        size = {"dtype": dtype, "horizon": 4, "replicates": 5, "base_lr": (0.01, 0.02), "metrics": ("loss",)}
        assert_equal(both(device, core(problem, dtype=dtype), shared=shared, **size))


@pytest.mark.parametrize("sampling", ["with_replacement", "reshuffling", "sequential"])
@pytest.mark.parametrize("n", [2, 3, 5, 16, 33, 1000])
def test_samples(device, sampling, n):
    """Over several epochs, of several fillings of the shared memory, from replicates of any number."""
    for batch, shared in ((1, True), (7, False), (40, True)):
        problem = make("LogisticRegression", n=n, d=3, batch_size=batch, sampling=sampling)
        size = {"horizon": 141, "replicates": 20, "first": 2**32 - 20, "shared": shared, "metrics": ("loss",)}
        assert_equal(both(device, core(problem), base_lr=(0.1, 1.0), record_at=[1, 141], **size))


@pytest.mark.parametrize("rows", [0, 1, 16, 70])
@pytest.mark.parametrize("steps", [1, 3, 37])
@pytest.mark.parametrize("variant", VARIANTS)
def test_where_launches_are_cut_changes_no_bit(device, variant, steps, rows):
    of_problem, of_call = VARIANTS[variant]
    for model, batch in (("SoftmaxRegression", 2), ("LeastSquares", 150), ("MLP", 70)):
        problem = make(model, n=50, d=5, batch_size=batch, **of_problem)
        horizon = 140 if batch == 2 else 5
        size = {"horizon": horizon, "record_at": [0, 1, 3, horizon], "replicates": 3, "metrics": problem._METRICS}
        if batch > 2:
            size["rows_per_launch"] = rows
        if batch == 2 or rows == 0:
            size["steps_per_launch"] = steps
        assert_equal(both(device, core(problem), base_lr=(0.1, 0.3), **size, **of_call))


@pytest.mark.parametrize("iterate", ITERATES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_averages_over_many_steps(device, iterate, momentum):
    problem = make("LeastSquares", d=5, intercept=True, l2=0.1, projection=("ball", 0.7))
    size = {"horizon": 300, "record_at": [0, 1, 2, 127, 128, 131, 256, 299, 300], "replicates": 5, "momentum": momentum}
    for dtype in DTYPES:
        pair = both(device, core(problem, dtype=dtype, with_minimum=True), dtype=dtype, iterate=iterate, **size)
        assert_equal(pair)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("configs", [1, 2, 7, 9, 16, 17, 33])
@pytest.mark.parametrize("replicates", [1, 2, 17, 40])
def test_every_number_of_trajectories(device, configs, replicates, shared):
    """Blocks of 16 that configs and replicates do not fill."""
    problem = make("LogisticRegression", d=3)
    schedules = [COSINE] if configs % 2 else [COSINE, LINEAR]
    size = {"base_lr": np.geomspace(0.01, 1.0, configs // len(schedules)), "replicates": replicates}
    assert_equal(both(device, core(problem), schedules, horizon=9, shared=shared, metrics=("loss",), **size))


def test_problems_of_different_sizes_are_an_axis(device):
    made = [make("SoftmaxRegression", n=n, d=5, batch_size=2, l2=l2) for n, l2 in ((5, 0.0), (40, 0.2), (130, 0.1))]
    made.append(made[1].replace(l2=0.5))  # on the same rows
    size = {"base_lr": (0.1, 0.2, 0.4), "replicates": 9, "record_at": [0, 4, 9], "horizon": 9}
    for shared, rows in itertools.product((True, False), (0, 48)):
        assert_equal(
            both(
                device,
                core(*made),
                [COSINE, LINEAR],
                shared=shared,
                metrics=made[0]._METRICS,
                rows_per_launch=rows,
                **size,
            )
        )


@pytest.mark.parametrize("hidden", [None, (40,), (17, 16)])
def test_many_outputs_and_hidden_units(device, hidden):
    model, shape = ("SoftmaxRegression", {}) if hidden is None else ("MLP", {"hidden": hidden, "activation": "relu"})
    for batch in (1, 5, 33):
        problem = make(model, n=40, d=20, classes=18, batch_size=batch, intercept=True, **shape)
        size = {"horizon": 3, "replicates": 4, "metrics": ("loss", "test_accuracy"), "momentum": 0.5}
        assert_equal(both(device, core(problem), base_lr=(0.5,), **size))


def test_wide_layers_go_in_short_rounds(device):
    """Their activations would take more memory than their weights."""
    problem = make("MLP", n=20, d=2, batch_size=70, hidden=(200,), intercept=True)
    assert_equal(both(device, core(problem), horizon=2, replicates=2, metrics=("loss",)))


def test_given_starts(device):
    for model in ("LeastSquares", "MLP"):
        dimension = make(model, intercept=True).dimension
        problem = make(model, intercept=True, x0=np.linspace(-1, 1, dimension))
        assert_equal(both(device, core(problem), horizon=2, record_at=[0, 1, 2], metrics=("loss",)))


def test_divergence_is_counted(device):
    for model in MODELS:
        problem = make(model, batch_size=3, intercept=True)
        size = {"horizon": 60, "replicates": 20, "base_lr": (1e-3, 1e30), "record_at": [0, 60], "momentum": 0.9}
        pair = both(device, core(problem), metrics=problem._METRICS, weight_decay=1.0, **size)
        assert_equal(pair)
        assert pair[1][1].diverged[0, 0, 0] == 0
        assert pair[1][1].diverged[0, 1, len(problem._METRICS)] > 0


def test_little_memory_means_chunks_of_the_same_bits(small_device):
    """Replicates in groups, configs in parts."""
    made = [make("LeastSquares", n=n, d=40, batch_size=2) for n in (10, 30)]
    size = {"base_lr": np.geomspace(0.001, 0.1, 20), "replicates": 1500, "first": 500, "horizon": 2}
    for memory in (2**32, 2**22, 2**20, 2**19):
        pair = both(small_device(memory), core(*made), metrics=("loss", "test_loss"), **size)
        assert_equal(pair)


def test_samples_in_device_memory():
    """The emulated device's memory is the host's, so a NumPy array plays the one on the device."""
    problem = core(make("LogisticRegression", d=4))
    size = {
        "base_lr": (0.1, 0.2),
        "replicates": 70,
        "horizon": 3,
        "record_at": [1, 3],
        "metrics": ("loss", "test_loss"),
    }
    expected, moments = run(problem, [COSINE], **size)
    out = np.full_like(expected, -1.0)
    device = _core.testing.emulated_device()
    _, got = run(problem, [COSINE], device=device, device_samples=out.ctypes.data, keep=False, **size)
    np.testing.assert_array_equal(out, expected)
    assert_same(got, moments)


def test_what_fits_no_device_says_how_much_it_needs():
    device = _core.testing.emulated_device(memory=2**17)
    large = core(make("LeastSquares", n=3000, d=16))
    with pytest.raises(MemoryError, match=r"^the data takes 204000 bytes on the device, which has 131072 free"):
        run(large, [COSINE], device=device)
    wide = core(make("LeastSquares", n=3, d=3000))
    with pytest.raises(
        MemoryError, match=r"^the state of \d+ trajectories takes \d+ bytes .* \d+ free beside the data"
    ):
        run(wide, [COSINE], device=device)


def test_what_poll_raises_stops_the_run():
    class Enough(Exception):
        pass

    def stop(_fraction):
        raise Enough

    problem = core(make("LogisticRegression", d=4))
    device = _core.testing.emulated_device(busy_for=1000)
    with pytest.raises(Enough):
        run(problem, [COSINE], device=device, poll=stop, horizon=10**8, steps_per_launch=10)
    assert_equal(both(device, problem, metrics=("loss",)))


def test_a_gpu_is_interrupted_within_a_second(need_cuda):
    """Within a step of many samples, and within a recording of many rows."""
    import threading
    import time
    from _thread import interrupt_main

    from core_cases import PER_THREAD_STREAM

    device = _core.open_cuda_device(0, PER_THREAD_STREAM)
    for batch, horizon, records in ((2**22, 100, [100]), (1, 1000, range(1, 1000))):
        problem = core(make("LeastSquares", n=200_000, d=200, batch_size=batch))
        sent = []

        def interrupt(sent=sent):
            sent.append(time.perf_counter())
            interrupt_main()

        timer = threading.Timer(0.5, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run(problem, [COSINE], device=device, horizon=horizon, record_at=records, replicates=4000, keep=False)
        timer.join()
        assert time.perf_counter() - sent.pop() < 2.0
