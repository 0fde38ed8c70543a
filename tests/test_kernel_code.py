"""Steps of programs as machine code of GPUs: the interpreter's bits, emulated on any machine, and what its PTX is.

The same lines of LLVM's language, made for this processor, run as threads of the emulated device; `make ptx-check`
executes the PTX.
"""

import re
import warnings
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest

from anneal_sgd import _core, problems, runtime, schedules, simulate
from anneal_sgd.programs import _machine_code, canonical, differentiated
from anneal_sgd.programs._kernel_code import kernel_code
from bit_cases import on
from core_cases import PER_THREAD_STREAM
from method_cases import CASES, HARD
from ptx.translate import translate
from test_machine_code import DTYPES, NOISES, OWN_SETS, SETS, assert_equal_bits, of
from test_program_forms import D, programs
from test_programs import objectives

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

if runtime.why_no_machine_code() or "avx2" not in runtime.supported_isas():
    pytest.skip("without llvmlite, or not for this processor", allow_module_level=True)

ITERATES = ("last", "average", "tail_average")


def made_here(how, log2_team):
    """For the emulated device and for GPUs; None: too long for a thread."""
    text = kernel_code(**how, log2_team=log2_team, device=False)
    if text is None:
        return None
    ptx = _machine_code.ptx(kernel_code(**how, log2_team=log2_team))
    llvm = runtime._llvm()
    machine = llvm.Target.from_default_triple().create_target_machine(features="+avx2,+fma", opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    address = engine.get_function_address("steps")
    return _core.StepsCode(ptx=ptx, log2_team=log2_team, emulated=address, owner=engine)


@contextmanager
def emulated(device, **launches):
    """Calls of `simulate` run there with machine code; a list of whether each program had some."""
    asked, had = {}, []

    def machine_code(program, **how):
        asked.update(how, program=program)

    with (
        patch.object(_machine_code, "machine_code", machine_code),
        on(device, **launches),
    ):
        without = _core.simulate

        def with_code(ensemble, *given, **size):
            how = {name: asked[name] for name in ("program", "dtype", "projection", "summing")}
            code = made_here(how, _core.log2_team(ensemble))
            had.append(code is not None)
            return without(ensemble, *given, **size, steps_code=code)

        with patch.object(_core, "simulate", with_code):
            yield had


def devices():
    """The emulated one, and where there is a GPU, that."""
    there = [] if runtime.why_unavailable("cuda") else [_core.open_cuda_device(0, PER_THREAD_STREAM)]
    return [_core.testing.emulated_device(), *there]


def run(problem, **options):
    call = {"horizon": 140, "record_at": [0, 1, 75, 140], "base_lr": [0.05, 0.011], "seed": 7, "replicates": 13}
    call |= {"metric": "value", "keep_samples": True, "keep_iterates": True, "threads": 1, "backend": "cpu", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # diverged ones are compared too
        return simulate(problem, schedules.Linear(), **call)


def assert_same(problem, device, *, steps_per_launch=64, **options):
    expected = run(problem, **options)
    with emulated(device, steps_per_launch=steps_per_launch) as had:
        found = run(problem, **options)
    assert all(had)
    assert _core.cuda_why_no_steps_code() == ""
    assert_equal_bits(found.samples, expected.samples)
    assert_equal_bits(found.iterates, expected.iterates)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", NOISES)
def test_every_noise_has_the_bits_of_the_interpreter(device, noise, dtype):
    for d, projection, iterate in zip((1, 3, 10), SETS[1:], ITERATES, strict=True):
        problem = problems.Custom(
            lambda x, a: a * np.sum(np.abs(x) ** 1.5) + x[0] * x[-1], x0=np.linspace(0.1, 0.5, d),
            parameters={"a": 0.3}, projection=projection, **NOISES[noise],
        )  # fmt: skip
        assert_same(problem, device, dtype=dtype, iterate=iterate)


@settings(max_examples=12, deadline=None)
@given(
    text=objectives(), seed=st.integers(0, 2**32 - 1), noise=st.sampled_from(list(NOISES)),
    projection=st.sampled_from(SETS), dtype=st.sampled_from(DTYPES), iterate=st.sampled_from(ITERATES),
    common=st.booleans(),
)  # fmt: skip
def test_random_functions_have_the_bits_of_the_interpreter(text, seed, noise, projection, dtype, iterate, common):
    rng = np.random.default_rng(seed)
    problem = problems.Custom(
        eval(text, {"np": np}), x0=rng.uniform(-0.5, 0.5, 3), projection=projection,
        parameters={"a": rng.standard_normal(), "b": rng.standard_normal(3)}, **NOISES[noise],
    )  # fmt: skip
    for device in devices():
        assert_same(problem, device, dtype=dtype, iterate=iterate, common_random_numbers=common)


@settings(max_examples=12, deadline=None)
@given(program=programs(), seed=st.integers(0, 1000), dtype=st.sampled_from(DTYPES), iterate=st.sampled_from(ITERATES))
def test_random_programs_have_the_bits_of_the_interpreter(program, seed, dtype, iterate):
    """Every operation on every kind of value, by way of a function that gives the nodes."""
    rng = np.random.default_rng(seed)
    parameters = {"a": np.asarray(rng.standard_normal()), "b": rng.standard_normal(D)}
    made = of(canonical(differentiated(program)), rng.standard_normal(D), parameters)
    for device in devices():
        assert_same(made, device, dtype=dtype, iterate=iterate)


@pytest.mark.parametrize("name", OWN_SETS)
def test_projections_of_ones_own(device, name):
    for d, dtype, iterate in ((3, "float32", "average"), (2, "float64", "tail_average")):
        problem = problems.Custom(
            lambda x, c: np.sum(np.abs(x - c) ** 1.5) + x[0] * x[-1], x0=np.zeros(d), parameters={"c": 0.3},
            projection=OWN_SETS[name], noise="gaussian", noise_std=0.3,
        )  # fmt: skip
        assert_same(problem, device, dtype=dtype, iterate=iterate)


@pytest.mark.parametrize("name", ["momentum", "adamw", "clipped adam", "schedule-free", "dog", "alternating"])
def test_methods(device, name):
    method = CASES[name][0]
    for k, dtype in enumerate(DTYPES):
        problem = problems.Custom(
            lambda x: np.sum(np.abs(x) ** 1.5) + x[0] * x[1], x0=[0.5, -0.3, 0.1],
            projection=None if method._unconstrained else SETS[k + 1], **NOISES["laplace"],
        )  # fmt: skip
        assert_same(problem, device, dtype=dtype, iterate=ITERATES[k], method=method)


@pytest.mark.parametrize("make", HARD)
def test_states_that_depend_on_each_other(device, make):
    for d in (1, 4):
        problem = problems.Custom(lambda x: np.sum(x**2) + x[0], x0=np.full(d, 0.1), **NOISES["gaussian"])
        assert_same(problem, device, iterate="average", method=make(d), base_lr=[1e-4, 2e-4])


A = np.random.default_rng(1).standard_normal((40, 3))


def test_layouts_and_launches(device, small_device):
    """Teams of up to 32 threads and vectors longer than the point; launches that end anywhere, chunks, several configs
    to a block, replicates that are not all there, problems with parameters and boxes of their own."""
    longer = [
        problems.Custom(
            lambda x, a: a * np.max(A @ x) + np.sum(np.abs(x)), x0=[0.1, 0.2, a], parameters={"a": a},
            projection=("box", -1.0, b), noise=lambda x, draw: draw.gaussian(size=()) * x + draw.rademacher(),
        )
        for a, b in ((0.1, 0.7), (0.3, 0.4))
    ]  # fmt: skip
    many = {"replicates": 1030, "record_at": [3, 20, 29], "horizon": 30, "base_lr": [0.01, 0.1, 0.2]}
    for launches, options in (
        (1, {"horizon": 33, "record_at": [0, 33]}),
        (7, {"iterate": "tail_average", "tail_frac": 0.3}),
        (1000, {"horizon": 600, "record_at": [130, 131, 599], "iterate": "average"}),
        (1000, {**many, "common_random_numbers": False}),
    ):
        assert_same(longer, device, steps_per_launch=launches, **options)
    assert_same(longer, small_device(2**20), steps_per_launch=11, **many)
    wide = problems.Custom(lambda x: np.sum(np.abs(x) ** 1.5), x0=np.linspace(0, 1, 32), **NOISES["gaussian"])
    assert_same(wide, device, replicates=40)


def test_starts_that_are_drawn_and_metrics_of_ones_own(device):
    problem = problems.Custom(
        lambda x: np.sum(np.abs(x)), dimension=3, x0=lambda draw: draw.gaussian(), projection=("ball", 1.0),
        **NOISES["student_t"],
    )  # fmt: skip
    assert_same(problem, device, metric={"value": "value", "slope": lambda x, gradient: np.sum(gradient * x)})


# --- what it is made of -----------------------------------------------------------------------------------------------


def case(dtype="float32"):
    program = problems.Custom(
        "sum(abs(x) ** 1.3 + sin(x) * tanh(x)) + max(x) * log(2 + exp(x[0])) + sum(sign(x)) + sqrt(x[1])"
        " + arctan(x[0]) * erf(x[1]) * rint(x[2])",
        x0=np.ones(3), projection="minimum(x, mean(x))", noise=lambda x, draw: draw.student_t(3.0) + draw.rademacher(),
    ).program  # fmt: skip
    return kernel_code(program, dtype, "own", True, 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ptx_is_always_the_same_and_rounds_every_operation(tmp_path, dtype):
    """Which the executor's translation demands: it refuses what is approximate, flushed, or free to be contracted."""
    text = _machine_code.ptx(case(dtype))
    assert text == _machine_code.ptx(case(dtype))
    kind = dtype.replace("loat", "")
    assert {"fma.rn." + kind, "mul.rn." + kind, "add.rn." + kind, "div.rn." + kind, "sqrt.rn." + kind} <= set(
        re.findall(r"[a-z]\S+\.f(?:32|64)", text)
    )
    assert not re.search(r"\.(approx|ftz|full|sat)\b|\t(call|ld\.local|st\.local)", text)
    path = tmp_path / "steps.ptx"
    path.write_text(text)
    (kernel,) = translate([path], tmp_path).kernels
    assert kernel.name == "steps"


def test_what_a_thread_cannot_hold_is_left_to_the_interpreter():
    def made(f, d, dtype="float32"):
        return kernel_code(problems.Custom(f, x0=np.ones(d)).program, dtype, "none", False, 5)

    assert made(lambda x: np.sum(x**2), 48) is not None
    assert made(lambda x: np.sum(x**2), 49) is None
    assert made(lambda x: np.sum(x**2), 25, "float64") is None
    assert made(lambda x: sum(np.sin(1.0 / (k + x[0])) for k in range(60)), 1) is None


def test_code_of_another_layout_is_refused(device):
    with (
        on(device, steps_code=_core.StepsCode(ptx="", log2_team=3)),
        pytest.raises(ValueError, match="steps_code: log2_team must be 1"),
    ):
        run(problems.Custom("sum(abs(x))", x0=np.ones(2)))


# --- when it is made --------------------------------------------------------------------------------------------------


def looked_up(f, d=1, **how):
    program = problems.Custom(f, x0=np.ones(d)).program
    how = {"dtype": "float32", "projection": "none", "summing": False, "log2_team": 0, "steps": 1e12} | how
    return _machine_code.steps_code(program, **how)


@pytest.fixture
def forgotten():
    """What was made is, and the choice of when."""
    with patch.dict(_machine_code._known_on_gpus, clear=True):
        yield
    runtime.set_machine_code(None)


@pytest.mark.usefixtures("forgotten")
def test_it_is_made_where_it_pays():
    f = "abs(x[0]) + 0.123 * x[0]"
    assert looked_up(f, steps=1e3) is None
    first = looked_up(f)
    assert isinstance(first, _core.StepsCode)
    assert looked_up(f, steps=1e3) is first
    for another in ({"dtype": "float64"}, {"summing": True}, {"projection": "box"}, {"log2_team": 3}):
        assert looked_up(f, **another) is not first
    runtime.set_machine_code("on")
    assert isinstance(looked_up("abs(x[0]) + 0.45 * x[0]", steps=1.0), _core.StepsCode)
    runtime.set_machine_code("off")
    assert looked_up(f) is None


@pytest.mark.usefixtures("forgotten")
def test_without_ptx_the_interpreter_runs(monkeypatch):
    def from_triple(triple):
        raise RuntimeError(f"No available targets are compatible with triple {triple}")

    monkeypatch.setattr(runtime._llvm().Target, "from_triple", from_triple)
    runtime._why_no_ptx.cache_clear()
    try:
        assert looked_up("abs(x[0]) + 0.67 * x[0]") is None
        assert "LLVM does not write PTX: No available targets" in runtime._why_no_ptx()
    finally:
        runtime._why_no_ptx.cache_clear()


def test_runtime_tells_why_there_is_none():
    for backend in ("cpu", "cuda"):
        assert isinstance(runtime.why_no_machine_code(backend), str)
    if runtime.why_unavailable("cuda"):
        assert runtime.why_no_machine_code("cuda") == runtime.why_unavailable("cuda")
    assert runtime.info()["machine_code_cuda"] == (runtime.why_no_machine_code("cuda") or runtime.machine_code())
    with pytest.raises(ValueError, match="backend must be one of"):
        runtime.why_no_machine_code("tpu")
