"""The CUDA kernel for programs has the bits of the CPU backend: on a GPU, and emulated on any machine.

See test_cuda.py for what the emulation is. test_custom.py compares the emulated kernel with the reference.
"""

import numpy as np
import pytest

from anneal_sgd import _core, problems, schedules, simulate
from bit_cases import on
from core_cases import COSINE, DTYPES, ITERATES, run
from method_cases import CASES, HARD
from test_programs import FUNCTIONS

A = np.random.default_rng(1).standard_normal((40, 70))


def own_draws(x, draw, a):
    return a * draw.laplace() + x * draw.rademacher() + draw.uniform(size=()) * draw.student_t(3.0)


# Teams of 1, 4 and 32 threads; registers in the emulated device's 32 KiB of shared memory and beyond them; vectors
# longer than the point.
PROBLEMS = {
    "one coordinate": {"f": lambda x, a: a * np.sum(np.abs(x) ** 1.5), "x0": 0.7},
    "three coordinates": {"f": lambda x, a: a * np.sum(x[1:] * x[:-1]) + np.max(x), "x0": [0.7, -0.2, 0.1]},
    "linear functions": {"f": lambda x, a: a * np.max(A @ x), "x0": np.full(70, 0.1)},
    "one to many": {"f": lambda x, a: a * np.min(np.abs(A[:, 0] * x[0] + 1)), "x0": 0.7},
    "many coordinates": {"f": lambda x, a: a * np.sum(np.sqrt(1 + x**2)) - x.min(), "x0": np.full(300, 0.5)},
}
SETS = {"none": None, "box": ("box", -0.9, 0.8), "ball": ("ball", 9.0)}


def problem(name, projection="none", a=0.4):
    return problems.Custom(**PROBLEMS[name], parameters={"a": a}, noise=own_draws, projection=SETS[projection])


def samples(made, device=None, launches=None, **call):
    call = {"base_lr": [0.05, 0.01, 0.2], "horizon": 150, "replicates": 13, "metric": "value", "seed": 5} | call
    what = (made, [schedules.Cosine(), schedules.Linear()])
    if device is None:
        result = simulate(*what, keep_samples=True, backend="cpu", **call)
    else:
        with on(device, **(launches or {})):
            result = simulate(*what, keep_samples=True, backend="cpu", **call)
    return result.samples, result.mean


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("projection", SETS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_layout(device, name, projection, dtype):
    made = problem(name, projection)
    for iterate in ITERATES:
        call = {"dtype": dtype, "iterate": iterate, "record_at": [0, 1, 66, 150]}
        assert_same(samples(made, device, {"steps_per_launch": 64}, **call), samples(made, **call))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_operation(device, name, dtype):
    made = problems.Custom(FUNCTIONS[name], x0=[0.3, -0.2, 0.4, 0.1], noise="gaussian", noise_std=0.1)
    call = {"dtype": dtype, "horizon": 30, "base_lr": [0.001, 0.0003]}
    a, b = (samples(made, where, **call)[0] for where in (device, None))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("steps", [1, 3, 130])
@pytest.mark.parametrize("first", [0, 1021, 2**32 - 30])
def test_launches_and_numbers_of_replicates(device, steps, first):
    for name in ("three coordinates", "linear functions"):
        made = [problem(name), problem(name, a=0.1)]
        call = {"first_replicate": first, "record_at": [1, 150], "common_random_numbers": False}
        assert_same(samples(made, device, {"steps_per_launch": steps}, **call), samples(made, **call))


@pytest.mark.parametrize("name", ["nesterov", "amsgrad", "clipped adam", "schedule-free, all", "dog", "alternating"])
def test_methods(device, name):
    method = CASES[name][0]
    for projection, dtype in (("none", "float32"), ("box", "float64"), ("ball", "float32")):
        if projection != "none" and method._unconstrained:
            continue
        for iterate in ("last", "average"):
            made = [problem("three coordinates", projection), problem("three coordinates", projection, a=0.1)]
            call = {"method": method, "dtype": dtype, "iterate": iterate, "horizon": 40, "record_at": [0, 7, 40]}
            assert_same(samples(made, device, {"steps_per_launch": 16}, **call), samples(made, **call))


@pytest.mark.parametrize("make", HARD)
def test_states_that_depend_on_each_other(device, make):
    for name, d in (("one coordinate", 1), ("linear functions", 70), ("many coordinates", 300)):
        call = {"method": make(d), "horizon": 20, "record_at": [0, 9, 20], "base_lr": [1e-4, 2e-4]}
        made = problem(name)
        assert_same(samples(made, device, {"steps_per_launch": 7}, **call), samples(made, **call))


def test_metrics_of_ones_own(device):
    own = {
        "last": lambda x: x[2],
        "value": "value",
        "slope": lambda x, gradient, a: a * np.linalg.norm(gradient),
        "constant": lambda x: 0.3,
    }
    made = [problem("three coordinates", "box"), problem("three coordinates", "box", a=0.1)]
    for iterate in ("last", "average"):
        call = {"metric": own, "record_at": [0, 7, 150], "iterate": iterate}
        assert_same(samples(made, device, **call), samples(made, **call))


def test_what_does_not_fit_together_takes_turns(small_device):
    made = problem("many coordinates")
    call = {"replicates": 1100, "horizon": 6}
    assert_same(samples(made, small_device(2**25), **call), samples(made, **call))
    with pytest.raises(MemoryError, match=r"takes \d+ bytes on the device"):
        samples(made, small_device(2**16))


def test_operands_in_any_order(device):
    """A gradient of the point's own numbers, drawn numbers that are met backwards, and an extreme that is -0."""
    backwards = problems.Custom(
        lambda x: np.dot(x, x[::-1]) / 2 + np.max(x[:1] * 0.0), x0=[-1.0, 0.5, 0.2], gradient=lambda x: x[::-1],
        noise=lambda x, draw: draw.gaussian()[::-1],
    )  # fmt: skip
    assert_same(samples(backwards, device), samples(backwards))


def by_hand(code, *, dimension, **size):
    """A problem whose program is made of instructions, the same for its gradient and its value."""
    arrays = {name: np.array(code, np.int64) for name in ("gradient", "value")}
    prologue = np.empty((0, 15), np.int64)
    program = _core.Program(dimension=dimension, parameter_count=0, prologue=prologue, **arrays, **size)
    ends = np.full((1, dimension), np.inf)
    return _core.Problems(
        program=program, projection=_core.ProjectionKind.none, parameters=np.ones((1, 0)), lower=-ends, upper=ends,
        radius=np.array([np.inf]), x0=np.full((1, dimension), -0.0), minimum=np.zeros(1),
    )  # fmt: skip


def test_programs_that_are_damaged_but_allowed(device):
    """Reductions of one number, of a number taken several times, and matrices that share their numbers."""
    point, own = [0, 0, 1], [0, 5, 1]
    drawn = [1, 1, -1]
    kinds = _core.Operation
    code = [
        [kinds.max.value, 3, 1, *point, *point, *point, 0, 0, 1],
        [kinds.first_min.value, 4, 1, *point, *point, *point, 0, 0, 1],
        [kinds.matvec.value, 5, 2, *drawn, *point, *point, 0, 0, 2],
        [kinds.matvec.value, 7, 2, *own, *point, *point, 0, 0, 2],
        [kinds.sum.value, 9, 1, 0, 4, 0, *point, *point, 0, 0, 40],
        [kinds.first_max.value, 10, 2, *own, *point, *point, 0, 0, 2],
        [kinds.embed.value, 12, 4, *own, *point, *point, 3, -2, 2],
        [kinds.fma.value, 16, 2, 0, 12, 2, 0, 9, 0, *own, 0, 0, 0],
    ]
    made = by_hand(
        code, dimension=2, registers=18, constants=np.array([0.5]), numbers=np.array([0.5, -1, 0.25, 2]),
        draws=np.array([[_core.DrawKind.unit.value, 0, 0, 2]]), gradient_result=[0, 16, 1], value_result=[0, 9, 0],
    )  # fmt: skip
    for dtype in DTYPES:
        on_cpu, on_device = (run(made, [COSINE], dtype=dtype, device=where)[0] for where in (None, device))
        np.testing.assert_array_equal(on_device, on_cpu)
        assert np.isfinite(on_cpu).all()


def test_programs_past_the_addresses_of_the_kernel():
    code = [[_core.Operation.negative.value, 1, 1, *[0, 0, 1] * 3, 0, 0, 0]]
    size = {"gradient_result": [0, 1, 1], "value_result": [0, 1, 0], "draws": np.empty((0, 4), np.int64)}
    made = by_hand(code, dimension=1, registers=3_000_000, constants=np.empty(0), numbers=np.empty(0), **size)
    with pytest.raises(ValueError, match=r"^backend 'cuda' takes programs of at most 2097151 numbers .* got 3000001"):
        run(made, [COSINE], device=_core.testing.emulated_device())
