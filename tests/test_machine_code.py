"""Programs as machine code: the interpreter's bits, when it is made, and what the core gives it."""

import ctypes
import importlib.metadata
import threading
import warnings
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest

from anneal_sgd import _core, methods, problems, runtime, schedules, simulate
from anneal_sgd.programs import _machine_code, _step_code, canonical, differentiated
from anneal_sgd.programs._build import Builder
from anneal_sgd.programs._ir import ELEMENTWISE
from assembly import assembled, calls_something, has_fused_vectors
from method_cases import CASES, HARD
from test_program_forms import D, programs
from test_programs import FUNCTIONS, objectives

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

if runtime.why_no_machine_code() or not set(runtime.supported_isas()) & set(_machine_code._FEATURES):
    pytest.skip(runtime.why_no_machine_code() or "not for this processor", allow_module_level=True)

ISAS = [isa for isa in runtime.supported_isas() if isa in _machine_code._FEATURES]
DTYPES = ("float32", "float64")


def own_ball(x):
    """Of radius 2, as a projection of one's own."""
    return x / np.maximum(1.0, np.linalg.norm(x) / 2.0)


NARROW = {"avx2": 16, "avx512": 32, "neon": 8}  # trajectories, float32, of a narrow strip
SETS = (None, ("box", -1.5, 1.0), ("ball", 2.0), own_ball)
ITERATES = ("last", "average", "tail_average", "ema", "polynomial_average")
NOISES = {
    "none": {},
    "gaussian": {"noise": "gaussian", "noise_std": 0.3},
    "rademacher": {"noise": "rademacher", "noise_std": 0.3},
    "student_t": {"noise": lambda x, draw: 0.5 * draw.student_t(3.0) * np.abs(x)},
    "laplace": {"noise": lambda x, draw: 0.3 * draw.laplace() + draw.gaussian(size=())},
}


@pytest.fixture(autouse=True)
def _automatic_afterwards():
    yield
    runtime.set_machine_code(None)


def run(problem, mode, **options):
    """Samples and points, with machine code "on" or "off"."""
    runtime.set_machine_code(mode)
    call = {"horizon": 140, "record_at": [0, 1, 130, 140], "base_lr": [0.05, 0.011], "seed": 7, "threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # diverged ones are compared too
        return simulate(
            problem, schedules.Linear(), metric="value", keep_samples=True, keep_iterates=True,
            **{"replicates": 150} | call | options,
        )  # fmt: skip


def of(program, x0, parameters=None):
    """The problem that is a program."""
    problem = problems.Custom.__new__(problems.Custom)
    ends = [np.full(x0.size, -np.inf), np.full(x0.size, np.inf)]
    problem._adopt(program, program, parameters or {}, "none", ends, np.inf, x0, None)
    return problem


def made(problem, dtype, isa, iterate="last", replicates=1000):
    return _machine_code.machine_code(
        problem.program, dtype=dtype, isa=isa, projection=problem._common[3], summing=iterate != "last",
        replicates=replicates, configs=1, steps=0.0,
    )  # fmt: skip


def assert_equal_bits(a, b):
    """But for those of a NaN."""
    assert np.array_equal(a, b, equal_nan=True)
    assert np.array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))


@contextmanager
def written(form):
    """How steps are: "unrolled" where the point has few numbers, which is the choice, or "looped" always."""
    with patch.dict(_machine_code._known, clear=True):
        if form == "looped":
            with patch.dict(_step_code.REGISTERS, dict.fromkeys(ISAS, 0)):
                yield
        else:
            yield


def assert_same(problem, *, form="unrolled", **options):
    interpreted = run(problem, "off", **options)
    with written(form):
        compiled = run(problem, "on", **options)
        assert all(known.code is not None for known in _machine_code._known.values())
    assert_equal_bits(interpreted.samples, compiled.samples)
    assert_equal_bits(interpreted.iterates, compiled.iterates)
    assert np.array_equal(interpreted.mean, compiled.mean, equal_nan=True)
    return compiled


FORMS = {
    "dtype": st.sampled_from(DTYPES),
    "isa": st.sampled_from(ISAS),
    "iterate": st.sampled_from(ITERATES),
    "common_random_numbers": st.booleans(),
    "replicates": st.sampled_from([3, 150]),
    "form": st.sampled_from(["unrolled", "looped"]),
}


@settings(max_examples=25, deadline=None)
@given(
    text=objectives(), seed=st.integers(0, 2**32 - 1), noise=st.sampled_from(list(NOISES)),
    projection=st.sampled_from(SETS), options=st.fixed_dictionaries(FORMS),
)  # fmt: skip
def test_random_functions_have_the_bits_of_the_interpreter(text, seed, noise, projection, options):
    rng = np.random.default_rng(seed)
    problem = problems.Custom(
        eval(text, {"np": np}), x0=rng.uniform(-0.5, 0.5, 3), projection=projection,
        parameters={"a": rng.standard_normal(), "b": rng.standard_normal(3)}, **NOISES[noise],
    )  # fmt: skip
    assert_same(problem, **options)


@settings(max_examples=25, deadline=None)
@given(program=programs(), seed=st.integers(0, 1000), options=st.fixed_dictionaries(FORMS))
def test_random_programs_have_the_bits_of_the_interpreter(program, seed, options):
    """Every operation on every kind of value, by way of a function that gives the nodes."""
    rng = np.random.default_rng(seed)
    parameters = {"a": np.asarray(rng.standard_normal()), "b": rng.standard_normal(D)}
    assert_same(of(canonical(differentiated(program)), rng.standard_normal(D), parameters), **options)


@pytest.mark.parametrize("form", ["unrolled", "looped"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_named_functions_have_the_bits_of_the_interpreter(name, isa, form):
    problem = problems.Custom(
        FUNCTIONS[name], x0=[0.3, -0.2, 0.4, 0.1], noise="gaussian", noise_std=0.1, projection=("ball", 3.0)
    )
    for dtype in DTYPES:
        assert_same(problem, dtype=dtype, isa=isa, form=form)


MATRIX = np.random.default_rng(3).standard_normal((37, 70)) / 8
LARGE = {
    "elementwise": lambda x: np.sum(np.abs(x) ** 1.5),
    "norm": lambda x: np.linalg.norm(x[1:]) + np.sum(x[:40:3] ** 2) * x[7],
    "matrix": lambda x: np.max(MATRIX @ x) + np.sum(np.abs(MATRIX @ x[::-1])),
    "neighbours": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) / 1000,
    "reduced": lambda x: np.max(x) * np.min(x[::2]) + np.sum(x / (1 + np.sum(x * x))) + np.exp(-np.sum(np.abs(x))),
    "ends": lambda x: (x[0] - x[-1]) ** 2 + np.sum((x[1:33] * x[33:65]) ** 2),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("projection", SETS)
@pytest.mark.parametrize("name", LARGE)
def test_many_coordinates_have_the_bits_of_the_interpreter(name, projection, isa):
    problem = problems.Custom(
        LARGE[name], x0=np.linspace(-0.2, 0.3, 70), noise="gaussian", noise_std=np.linspace(0.1, 0.3, 70),
        projection=projection,
    )  # fmt: skip
    for dtype, iterate in zip(DTYPES, ("last", "average"), strict=True):
        assert_same(problem, dtype=dtype, iterate=iterate, isa=isa, base_lr=0.01)


OWN_SETS = {
    "another order": lambda x, c: x[::-1],
    "the point": lambda x, c: x,
    "shifted": lambda x, c: np.minimum(x, np.mean(x) + c),  # reads all numbers, and a parameter
    "largest in front": lambda x, c: np.where(x[0] < np.max(x), np.max(x) - c * x, x),
    "matrix": lambda x, c: (np.eye(x.shape[0])[::-1] + 0.1) @ x / 2,
    "parts": lambda x, c: np.concatenate([x[1:] * c, x[:1]]),
    "constant": lambda x, c: np.minimum(x, 0.0 * c),
}


@pytest.mark.parametrize("form", ["unrolled", "looped"])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", OWN_SETS)
def test_projections_of_ones_own_have_the_bits_of_the_interpreter(name, isa, form):
    """From the origin, which each of them leaves where it is."""
    for d, dtype, iterate in ((3, "float32", "average"), (70, "float64", "last"), (2, "float64", "tail_average")):
        problem = problems.Custom(
            lambda x, c: np.sum(np.abs(x - c) ** 1.5) + x[0] * x[-1], x0=np.zeros(d), parameters={"c": 0.3},
            projection=OWN_SETS[name], noise="gaussian", noise_std=0.3,
        )  # fmt: skip
        assert_same(problem, form=form, dtype=dtype, iterate=iterate, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
def test_a_ball_of_ones_own_is_the_built_in_one(isa):
    """An independent side: the hand-written kernel, whose ball is rounded otherwise."""
    shared = {"x0": [0.5, -0.5], "noise": "gaussian", "noise_std": 1.0}
    call = {"horizon": 100, "base_lr": 0.3, "replicates": 500, "dtype": "float64", "isa": isa, "keep_samples": True}
    runtime.set_machine_code("on")
    own, builtin = (
        simulate(problem, schedules.Linear(), **call)
        for problem in (
            problems.Custom("sum(abs(x))", minimum=0.0, projection=own_ball, **shared),
            problems.AbsoluteValue(slope=1.0, projection=("ball", 2.0), **shared),
        )
    )
    np.testing.assert_allclose(own.samples, builtin.samples, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("isa", ISAS)
def test_a_gradient_may_be_the_point_in_another_order(isa):
    """Which a step must not read after it has changed it."""
    for d in (3, 70):
        problem = problems.Custom(
            lambda x: np.dot(x, x[::-1]) / 2, x0=np.linspace(0.1, 1.0, d), gradient=lambda x: x[::-1]
        )
        assert_same(problem, isa=isa, dtype="float64")


EDGES = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -3.7, 1e-3, 11.0, -11.0, 80.0, -80.0, 100.0, 3e5, -3e5, 1e13, 1e30]
SMALL = {"float32": [1e-38, -1e-38, 1e-42, 1e-45], "float64": [1e-308, -1e-308, 1e-320, 5e-324]}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ELEMENTWISE)
def test_operations_at_their_edges(op, dtype, isa):
    """A step of length 1 along the operation, from points among which are infinities and NaN, in pairs and triples."""
    large = float(np.finfo(dtype).max)
    b = Builder(1, {})
    x, one, zero = b.node("point"), b.constant(1.0), b.constant(0.0)
    twice = b.node("multiply", b.constant(2.0), x)  # infinite where x is largest
    lost = b.node("multiply", twice, zero)  # and NaN there
    operands = {
        1: [(x,), (twice,), (lost,)],
        2: [(x, twice), (one, twice), (lost, x), (x, lost), (x, b.node("negative", x))],
        3: [(x, twice, x), (lost, x, twice), (x, lost, twice), (twice, x, lost)],
    }[ELEMENTWISE[op]]
    for exponent in (0.3, -0.7, 0.0) if op == "power" else (None,):
        for taken in operands:
            program = b.program(value=b.node("sum", x), gradient=b.node(op, *taken, attribute=exponent))
            points = [np.array([value]) for value in (*EDGES, *SMALL[dtype], large, -large)]
            assert_same([of(program, x0) for x0 in points], dtype=dtype, isa=isa, horizon=1, record_at=1, base_lr=1.0)


@pytest.mark.parametrize("isa", ISAS)
def test_built_in_problems_are_reached_through_machine_code(isa):
    """An independent side: the hand-written kernel."""
    shared = {"projection": ("box", -1.0, 1.0), "x0": 1.0, "noise": "gaussian", "noise_std": 0.5}
    program = problems.Custom("0.1 * sum(abs(x))", minimum=0.0, **shared)
    builtin = problems.AbsoluteValue(slope=0.1, **shared)
    call = {"horizon": 200, "base_lr": 0.1, "replicates": 700, "keep_samples": True, "isa": isa}
    runtime.set_machine_code("on")
    for iterate in ITERATES:
        a, b = (simulate(p, schedules.Cosine(), iterate=iterate, **call) for p in (program, builtin))
        assert np.array_equal(a.samples, b.samples)


def test_problems_of_one_program_keep_their_parameters():
    grid = [
        problems.Custom(
            lambda x, a: a * np.sum(np.abs(x)), parameters={"a": a}, x0=[1.0, a], projection=("box", -2.0, b),
            noise="gaussian", noise_std=[0.1, b],
        )
        for a, b in ((0.1, 1.5), (0.3, 2.0), (0.9, 1.2))
    ]  # fmt: skip
    assert_same(grid)
    assert_same(grid, common_random_numbers=False)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("form", ["unrolled", "looped"])
@pytest.mark.parametrize(
    "name", ["momentum", "adamw", "rmsprop, all", "clipped adam", "schedule-free", "dog", "alternating"]
)
def test_methods_have_the_bits_of_the_interpreter(name, form, isa):
    method = CASES[name][0]
    for k, dtype in enumerate(DTYPES):
        projection = None if method._unconstrained else SETS[(k + len(name)) % 4]
        problem = problems.Custom(
            lambda x: np.sum(np.abs(x) ** 1.5) + x[0] * x[1], x0=[0.5, -0.3, 0.1], projection=projection,
            **NOISES["laplace"],
        )  # fmt: skip
        assert_same(problem, form=form, isa=isa, dtype=dtype, iterate=ITERATES[k], method=method)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("make", HARD)
def test_states_that_depend_on_each_other_have_the_bits_of_the_interpreter(make, isa):
    for d, form in ((1, "unrolled"), (4, "unrolled"), (1, "looped"), (4, "looped"), (70, "unrolled")):
        projection = (own_ball, *SETS)[d % 5]
        problem = problems.Custom(
            lambda x: np.sum(x**2) + x[0], x0=np.full(d, 0.1), projection=projection, **NOISES["gaussian"]
        )
        for dtype in DTYPES:
            assert_same(
                problem,
                form=form,
                isa=isa,
                dtype=dtype,
                iterate="average",
                method=make(d),
                horizon=20,
                record_at=[0, 9, 20],
            )


# --- when it is made --------------------------------------------------------------------------------------------------


def test_it_is_made_where_it_pays():
    problem = problems.Custom("abs(x[0]) + 0.123 * x[0]", x0=1.0)
    small, large = 1e3, 1e9
    of = {"dtype": "float32", "isa": ISAS[-1], "projection": "none", "summing": False, "replicates": 99, "configs": 1}
    assert _machine_code.machine_code(problem.program, **of, steps=small) is None
    first = _machine_code.machine_code(problem.program, **of, steps=large)
    assert first is not None
    assert _machine_code.machine_code(problem.program, **of, steps=small) is first  # it is there now
    assert _machine_code.machine_code(problem.program, **of | {"dtype": "float64"}, steps=small) is None
    runtime.set_machine_code("off")
    assert _machine_code.machine_code(problem.program, **of, steps=large) is None


def test_calls_that_are_small_alone_are_counted_together():
    problem = problems.Custom("abs(x[0]) + 0.456 * x[0]", x0=1.0)
    of = {"dtype": "float32", "isa": ISAS[-1], "projection": "none", "summing": False, "replicates": 99, "configs": 1}
    found = [_machine_code.machine_code(problem.program, **of, steps=2e7) is not None for _ in range(50)]
    assert not found[0]
    assert found[-1]
    assert found == sorted(found)


def test_what_is_left_to_the_interpreter():
    runtime.set_machine_code("on")
    long = problems.Custom(lambda x: sum(np.sin(1.0 / (k + x[0])) for k in range(200)), x0=np.ones(1))
    assert made(long, "float32", ISAS[-1]) is None
    short = problems.Custom(lambda x: np.sum(np.sin(np.abs(x) ** 1.3)), x0=np.ones(2))
    assert made(short, "float32", "scalar") is None
    assert made(short, "float32", ISAS[-1]) is not None


def test_the_environment_and_the_process_choose(monkeypatch):
    monkeypatch.setenv("ANNEAL_SGD_MACHINE_CODE", "off")
    runtime._default_machine_code.cache_clear()
    assert runtime.machine_code() == "off"
    runtime.set_machine_code("on")
    assert runtime.machine_code() == runtime.info()["machine_code"] == "on"
    runtime.set_machine_code(None)
    monkeypatch.setenv("ANNEAL_SGD_MACHINE_CODE", "always")
    runtime._default_machine_code.cache_clear()
    with pytest.raises(ValueError, match="ANNEAL_SGD_MACHINE_CODE must be one of"):
        runtime.machine_code()
    monkeypatch.delenv("ANNEAL_SGD_MACHINE_CODE")
    runtime._default_machine_code.cache_clear()
    with pytest.raises(ValueError, match="mode must be one of"):
        runtime.set_machine_code("always")


@pytest.mark.parametrize("found", [None, "0.44.1"])
def test_without_llvmlite_the_interpreter_runs(monkeypatch, found):
    def version(name):
        if found is None:
            raise importlib.metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    runtime._why_no_llvmlite.cache_clear()
    try:
        assert "llvmlite 0.45 or later is needed" in runtime.why_no_machine_code()
        with pytest.raises(ImportError, match=r"anneal_sgd\[jit\]"):
            runtime.set_machine_code("on")
        problem = problems.Custom("abs(x[0]) + 0.789 * x[0]", x0=1.0)
        assert made(problem, "float32", ISAS[-1]) is None
    finally:
        monkeypatch.undo()
        runtime._why_no_llvmlite.cache_clear()


# --- the border -------------------------------------------------------------------------------------------------------


class Arguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "low", "sum", "draws", "signs", "registers", "numbers")] + [
        ("lower", ctypes.POINTER(ctypes.c_float)), ("upper", ctypes.POINTER(ctypes.c_float)),
        ("radius", ctypes.POINTER(ctypes.c_float)), ("minus_lr", ctypes.POINTER(ctypes.c_float)),
        ("step_numbers", ctypes.c_void_p), ("scratch", ctypes.c_void_p), ("steps", ctypes.c_int64),
        ("row", ctypes.c_int64), ("draws_apart", ctypes.c_int64), ("trajectories", ctypes.c_int64),
        ("first_sign", ctypes.c_int64),
    ]  # fmt: skip


def test_the_core_tells_what_a_step_needs(monkeypatch):
    seen, lanes = [], NARROW[ISAS[-1]]

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(Arguments))
    def take_steps(told):
        a = told.contents
        rates = [a.minus_lr[k] for k in range(a.steps)]
        row_of_draws = (a.draws - a.signs) / (4 * a.row)  # four steps' draws are made together
        seen.append((rates, a.radius[0], a.radius[1], a.row % lanes, a.draws_apart % a.row, a.first_sign, row_of_draws))

    address = ctypes.cast(take_steps, ctypes.c_void_p).value
    code = _core.MachineCode(address=address, lanes=lanes, part=8 * NARROW[ISAS[-1]] // 2, scratch=5, owner=take_steps)
    monkeypatch.setattr("anneal_sgd.programs._machine_code.machine_code", lambda *_, **__: code)
    problem = problems.Custom("x[0] ** 2", x0=1.0, projection=("ball", 3.0))
    result = simulate(
        problem, schedules.Linear(), base_lr=0.5, horizon=200, replicates=300, metric="value", threads=1,
        record_at=[0, 150, 200], isa=ISAS[-1],
    )  # fmt: skip
    assert result.mean.tolist() == [1.0, 1.0, 1.0]  # it left the point where it was
    strips = len(seen) * len(seen[0][0]) // 200
    assert strips >= 1
    rates = [rate for one in seen for rate in one[0]]
    expected = np.float32(-0.5 * (1 - np.arange(200) / 200))
    assert np.array_equal(np.sort(rates), np.sort(np.tile(expected, len(rates) // 200)))
    assert {one[1:5] for one in seen} == {(3.0, 9.0, 0, 0)}
    assert {one[5:] for one in seen} == {(0, 0.0), (64, 0.0), (22, 2.0)}  # steps 0, 64, 128, 150 and 192


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 70, 2000])
@pytest.mark.parametrize("replicates", [1, 3, 8, 9, 16, 17, 32, 33, 64, 65, 129])
@pytest.mark.parametrize("configs", [1, 2, 3, 9])
def test_code_is_made_for_the_strips_that_there_are(isa, dtype, d, replicates, configs, monkeypatch):
    """Whatever part of them a config has, and however wide they are: the others would silently be the interpreter's."""
    told, lanes = [], []
    problem = problems.Custom("sum(x ** 2)", x0=np.ones(d), minimum=0.0)

    @ctypes.CFUNCTYPE(None, ctypes.POINTER(Arguments))
    def take_steps(arguments):
        told.append((arguments.contents.trajectories, arguments.contents.row))

    address = ctypes.cast(take_steps, ctypes.c_void_p).value
    made = _step_code.step_code

    def seen(*arguments):
        code = made(*arguments)
        lanes.append(code.lanes)
        return code

    monkeypatch.setattr(_step_code, "step_code", seen)
    monkeypatch.setattr(_machine_code, "_function", lambda *_: (address, take_steps))
    with patch.dict(_machine_code._known, clear=True):
        run(problem, "on", replicates=replicates, isa=isa, dtype=dtype, base_lr=np.linspace(0.01, 0.02, configs))
    assert lanes
    assert told
    assert all(0 < wanted <= row and wanted % lanes[0] == 0 for wanted, row in told)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize("form", ["short", "waited_for", "looped"])
def test_configs_side_by_side_change_no_bit(isa, shared, mode, form):
    """Where replicates are few eight, four or two configs of a problem are in a strip, and one of nine is left."""

    def noise(x, draw):
        return 0.3 * draw.rademacher() + draw.gaussian(size=())

    text = "scale * sum(sqrt(1 + x ** 2))" if form == "waited_for" else "scale * sum(abs(x)) + max(x)"
    start = np.ones(70 if form == "looped" else 2)
    several = [problems.Custom(text, x0=start, parameters={"scale": scale}, noise=noise) for scale in (1.0, 0.5)]
    several_schedules = [schedules.Linear(), schedules.Constant(), schedules.Cosine()]
    runtime.set_machine_code(mode)
    for method in (methods.SGD(), methods.Adam()):
        many, *few = (
            simulate(
                several, several_schedules, method=method, base_lr=[0.01, 0.1, 0.05], horizon=70, record_at=[0, 1, 70],
                iterate=["last", "average"], replicates=replicates, seed=7, isa=isa, common_random_numbers=shared,
                keep_samples=True, keep_iterates=True, metric="value", threads=1,
            )
            for replicates in (150, 3, 9, 27, 60)
        )  # fmt: skip
        for result in few:
            n = result.samples.shape[-1]
            np.testing.assert_array_equal(result.samples, many.samples[..., :n])
            np.testing.assert_array_equal(result.iterates, many.iterates[..., :n, :])


@pytest.mark.parametrize("isa", ISAS)
def test_what_is_waited_for_has_a_whole_strip_beside_it(isa):
    """Vectors of two numbers and of what these lost in rounding: as many as there are registers with AVX-512."""
    program = problems.Custom("sum(sqrt(1 + x ** 2))", x0=np.ones(2)).program
    code = _step_code.step_code(program, "float32", isa, "none", False)
    assert code.lanes == NARROW[isa] // 2 * _step_code._STRIP[isa]


def test_long_programs_have_enough_to_do_meanwhile():
    """Of twelve terms that wait for nothing of each other, two vectors of four numbers: more are slower."""
    program = problems.Custom(
        lambda x: sum(np.log(1 + np.exp(0.1 * k * x[k % 4])) for k in range(1, 13)), x0=np.ones(4)
    ).program
    assert _step_code.step_code(program, "float32", "avx512", "none", False).lanes == NARROW["avx512"]


def test_what_is_no_machine_code_is_refused():
    for wrong in ({"address": 0}, {"lanes": 0}, {"part": 0}, {"scratch": -1}):
        with pytest.raises(ValueError, match="address, lanes, part, scratch: must be of a function"):
            _core.MachineCode(**{"address": 1, "lanes": 1, "part": 1, "scratch": 0, "owner": None} | wrong)


@pytest.mark.parametrize("isa", ISAS)
def test_what_loops_is_for_strips_of_every_width(isa):
    """Of which the narrowest have two vectors: others would silently be the interpreter's."""
    program = problems.Custom(lambda x: np.sum(x * x), x0=np.ones(70)).program
    code = _step_code.step_code(program, "float32", isa, "none", False)
    assert NARROW[isa] % code.lanes == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _machine_code._FEATURES)
def test_code_for_every_processor_is_its_own_instructions(isa, dtype):
    """Of processors that are not this one too: vectors are multiplied and added at once, and nothing is called."""
    for form, x0 in (("unrolled", np.zeros(3)), ("looped", np.zeros(70))):
        problem = problems.Custom(
            "sum(abs(x) ** 1.3 + sin(x) * tanh(x)) + max(x) * log(2 + exp(x[0])) + sum(sign(x))"
            " + arctan(x[0]) * erf(x[1]) * rint(x[2])", x0=x0,
            projection="minimum(x, mean(x))", noise=lambda x, draw: draw.student_t(3.0) + draw.rademacher(),
        )  # fmt: skip
        code = _step_code.step_code(problem.program, dtype, isa, "own", True)
        assert (code.scratch > 0) == (form == "looped")
        assembly = assembled(code.text, isa)
        assert has_fused_vectors(assembly, isa)
        assert not calls_something(assembly)


def test_threads_share_what_is_made():
    runtime.set_machine_code("on")
    problem = problems.Custom("sum(abs(x) ** 1.25)", x0=[1.0, 2.0], noise="gaussian", noise_std=0.1)
    found = []

    def go():
        found.append(simulate(problem, schedules.Linear(), base_lr=0.1, horizon=50, replicates=500, metric="value"))

    workers = [threading.Thread(target=go) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({float(one.mean) for one in found}) == 1
    assert len(found) == 4


def test_a_run_can_be_stopped_while_it_is_machine_code():
    runtime.set_machine_code("on")
    problem = problems.Custom("sum(abs(x) ** 1.25)", x0=[1.0, 2.0], noise="gaussian", noise_std=0.1)

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(
            problem, schedules.Linear(), base_lr=0.1, horizon=10**6, replicates=10**6, metric="value", progress=stop
        )
