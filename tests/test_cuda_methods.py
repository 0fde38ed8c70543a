"""The CUDA kernel that takes steps of methods on data has the bits of the CPU backend: on a GPU, and emulated anywhere.

See test_cuda.py for what the emulation is.
"""

import itertools

import numpy as np
import pytest

from anneal_sgd import methods
from anneal_sgd.programs._ir import Node, Program
from core_cases import COSINE, DTYPES, ITERATES, assert_equal, both, run
from method_cases import CASES, HARD, HARD_ON_DATA
from test_cuda_data import BATCHES, LINEAR, MODELS, make

MADE = {name: method for name, (method, _) in CASES.items() if not isinstance(method, methods.SGD)}
MADE |= {make.__name__: make for make in (*HARD, *HARD_ON_DATA)} | {"langevin": methods.Langevin(0.3)}
SEVERAL = {  # of every kind: in one pass, in blocks, by norm, of values, of several gradients and states, with draws
    "adam": methods.Adam(),
    "adamw": MADE["adamw"],
    "clipped": methods.Clipped(methods.Adam(), 0.8),
    "ngn": methods.NGN(),
    "extragradient": methods.ExtraGradient(),
    "schedule-free": methods.ScheduleFree(),
    "drawing": MADE["drawing"],
    "entangled": MADE["entangled"],
}


def core(method, *made, dtype="float32"):
    method = method(made[0].dimension) if callable(method) else method
    program = made[0]._method_program(method)
    return type(made[0])._stack(made, dtype, with_minimum=False, method=program)


@pytest.mark.parametrize("name", MADE)
def test_every_method_has_the_bits_of_the_cpu(device, name):
    """Over models, batches, precisions and averages in turn, so that each meets every other."""
    shift = sum(map(ord, name))
    for k in range(5):
        model = list(MODELS)[(2 * k + shift) % len(MODELS)]
        dtype, batch = DTYPES[(k + shift) % 2], BATCHES[(k + shift // 2) % len(BATCHES)]
        variant = {"l2": 0.02 * (k % 2), "intercept": k % 3 != 1, "weighted": k % 3 == 2, "batch_size": batch}
        if k == 4 and not getattr(MADE[name], "_unconstrained", False):
            variant["projection"] = ("ball", 1.5)
        problem = make(model, **variant)
        size = {"dtype": dtype, "horizon": 5, "record_at": [0, 1, 5], "replicates": 3, "first": 1022}
        size |= {"iterate": ITERATES[(k + shift // 3) % len(ITERATES)], "metrics": problem._METRICS}
        pair = both(device, core(MADE[name], problem, dtype=dtype), base_lr=(0.1, 0.3), **size)
        assert_equal(pair)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("d", [4, 15, 16, 17, 33, 130, 700])
def test_edges_of_rows_and_of_runs(device, d, name):
    """Runs of code have 64 coordinates; of 700 features the emulated device's shared memory holds no registers."""
    for model, dtype, shape in (
        ("LeastSquares", "float64", {}),
        ("MLP", "float32", {"hidden": (5,), "intercept": d % 2 == 1}),
    ):
        problem = make(model, n=7, d=d, batch_size=3, l2=0.1, **shape)
        size = {"dtype": dtype, "horizon": 3, "replicates": 2, "metrics": ("loss",), "shared": d % 2 == 0}
        assert_equal(both(device, core(SEVERAL[name], problem, dtype=dtype), base_lr=(0.01, 0.02), **size))


@pytest.mark.parametrize("rows", [0, 1, 16, 70])
@pytest.mark.parametrize("steps", [1, 3, 37])
@pytest.mark.parametrize("name", SEVERAL)
def test_where_launches_are_cut_changes_no_bit(device, name, steps, rows):
    """Also between the batches of one step, and within one."""
    for model, batch, iterate in (
        ("SoftmaxRegression", 2, "average"),
        ("LeastSquares", 150, "ema"),
        ("MLP", 70, "last"),
    ):
        problem = make(model, n=50, d=5, batch_size=batch, intercept=True, l2=0.1, weighted=batch == 70)
        horizon = 140 if batch == 2 else 4
        size = {"horizon": horizon, "record_at": [0, 1, 3, horizon], "replicates": 3, "metrics": problem._METRICS}
        if batch > 2:
            size["rows_per_launch"] = rows
        if batch == 2 or rows == 0:
            size["steps_per_launch"] = steps
        assert_equal(both(device, core(SEVERAL[name], problem), base_lr=(0.1, 0.3), iterate=iterate, **size))


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("configs", [1, 5, 17])
def test_every_number_of_trajectories(device, configs, name):
    """Blocks of 16 that configs and replicates do not fill, of two problems."""
    made = [make("LogisticRegression", n=n, d=4, l2=l2) for n, l2 in ((5, 0.0), (40, 0.2))]
    size = {"base_lr": np.geomspace(0.01, 1.0, configs), "horizon": 9, "record_at": [0, 4, 9], "metrics": ("loss",)}
    for replicates, shared in itertools.product((1, 17), (True, False)):
        stacked = core(SEVERAL[name], *made)
        assert_equal(both(device, stacked, [COSINE, LINEAR], shared=shared, replicates=replicates, **size))


@pytest.mark.parametrize("sampling", ["with_replacement", "reshuffling", "sequential"])
def test_every_gradient_of_a_step_has_samples_of_its_own(device, sampling):
    problem = make("LogisticRegression", n=33, d=4, batch_size=7, sampling=sampling, intercept=True)
    size = {"horizon": 141, "replicates": 20, "first": 2**32 - 20, "record_at": [1, 141], "metrics": ("loss",)}
    assert_equal(both(device, core(methods.ExtraGradient(), problem), base_lr=(0.1, 1.0), **size))


@pytest.mark.parametrize("iterate", ITERATES)
def test_averages_over_many_steps(device, iterate):
    problem = make("LeastSquares", d=5, intercept=True, l2=0.1, projection=("ball", 0.7))
    size = {"horizon": 300, "record_at": [0, 1, 2, 127, 128, 131, 256, 299, 300], "replicates": 5, "iterate": iterate}
    for dtype in DTYPES:
        stacked = core(SEVERAL["clipped"], problem, dtype=dtype)
        assert_equal(both(device, stacked, dtype=dtype, metrics=("loss",), **size))


@pytest.mark.parametrize("operation", ["first_max", "first_min"])
@pytest.mark.parametrize("d", [1, 3, 16, 17, 40])
def test_the_first_of_equal_extremes_is_marked(device, d, operation):
    """No method of the package has these, and none in NumPy's words is translated to them; the core takes them."""
    shape = (d,)
    nodes = (
        Node("parameter", (), "gradient 0", shape),
        Node("sign", (0,), None, shape),
        Node(operation, (1,), None, shape),
    )
    program = Program(d, (("gradient 0", shape),), nodes, (("direction", 2),))
    problem = make("LeastSquares", d=d)
    for dtype in DTYPES:
        stacked = type(problem)._stack([problem], dtype, with_minimum=False, method=program)
        assert_equal(both(device, stacked, dtype=dtype, horizon=6, record_at=range(7), metrics=("loss",)))


def test_divergence_is_counted(device):
    found = 0
    for name, model in zip(SEVERAL, MODELS, strict=False):
        problem = make(model, batch_size=3, intercept=True, l2=1.0)
        size = {"horizon": 60, "replicates": 20, "base_lr": (1e-3, 1e38), "record_at": [0, 60]}
        pair = both(device, core(SEVERAL[name], problem), metrics=("loss",), **size)
        assert_equal(pair)
        assert pair[1][1].diverged[0, 0, 0] == 0
        found += pair[1][1].diverged[0, 1, 1] > 0
    assert found >= 5


@pytest.mark.parametrize("name", ["adam", "clipped"])
def test_little_memory_means_chunks_of_the_same_bits(small_device, name):
    """Replicates in groups, configs in parts; of the second, a trajectory's registers are several kilobytes."""
    made = [make("LeastSquares", n=n, d=40, batch_size=2) for n in (10, 30)]
    size = {"base_lr": np.geomspace(0.001, 0.1, 3), "replicates": 1100, "first": 500, "horizon": 2}
    for memory in (2**32, 2**24, 2**22):
        assert_equal(both(small_device(memory), core(SEVERAL[name], *made), metrics=("loss", "test_loss"), **size))


def test_more_samples_in_a_step_than_there_are_numbers_for_are_refused(device):
    """With 200 gradients in a step, of which one is used."""
    problem = make("LeastSquares", batch_size=2**24 - 1)
    shape = (problem.dimension,)
    last = (Node("parameter", (), "gradient 199", shape),)
    program = Program(problem.dimension, (("gradient 199", shape),), last, (("direction", 0),))
    stacked = type(problem)._stack([problem], "float32", with_minimum=False, method=program)
    with pytest.raises(ValueError, match=r"2\*\*31 - 1 samples in a step, got batch_size 16777215 for each of 200"):
        run(stacked, [COSINE], device=device, horizon=1, metrics=("loss",))


def test_many_coordinates(small_device):
    """A block's registers are 16 times 10 000 coordinates of every value of the code."""
    problem = make("LeastSquares", n=3, d=10_000)
    for method, dtype in ((SEVERAL["clipped"], "float32"), (SEVERAL["adamw"], "float64")):
        size = {"dtype": dtype, "horizon": 2, "replicates": 2, "metrics": ("loss",)}
        assert_equal(both(small_device(2**28), core(method, problem, dtype=dtype), base_lr=(0.01,), **size))
