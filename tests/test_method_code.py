"""Methods on data as machine code: the reference's bits, the interpreter's in every layout, when it is made."""

import warnings
from unittest.mock import patch

import numpy as np
import pytest

from anneal_sgd import _core, methods, problems, runtime, schedules, simulate
from anneal_sgd.programs import _machine_code
from anneal_sgd.programs._method_code import layers_of, method_text
from assembly import assembled, calls_something, has_fused_vectors
from method_cases import CASES, delayed, drawing, entangled, reducing, replacing, shifted
from test_machine_code import DTYPES, ISAS, assert_equal_bits
from test_methods_on_data import ITERATES, KINDS, assert_bits, pair

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies


@pytest.fixture(autouse=True)
def _automatic_afterwards():
    with patch.dict(_machine_code._known_on_data, clear=True):
        yield
    runtime.set_machine_code(None)


def made():
    """Whether calls so far had machine code, one by one."""
    return [known.code is not None for known in _machine_code._known_on_data.values()]


# --- methods of which the core has no form of its own ---------------------------------------------------------------

CYCLED = methods.Following(schedules.Linear(), zero=0.5, one=0.9)
OWN_FORM = ("adam", "adam, numbers")
COMPILED = {
    **{name: method for name, (method, _) in CASES.items() if name not in OWN_FORM},
    "cycled": methods.Clipped(methods.Adam(CYCLED, weight_decay=schedules.Linear(), decoupled=True), CYCLED),
}


def summing(d):
    """Sums of what is computed, of which one needs another; single numbers; a point beside x; values."""

    def update(x, g, lr, t, gradient, value, m, start, count, size):
        far = np.sum(np.abs(x - start)) + 0.1
        y = gradient(x + 0.1 * m / far)
        m = 0.5 * m + np.tanh(g) + 0.1 * np.where(g > y, g, y)
        norm = np.linalg.norm(m / far) + value
        after = {"m": m, "start": start, "count": count + 1.0 / t, "size": np.maximum(size, norm)}
        return np.sum(m * y) * 0.01 + np.sign(m) * np.sqrt(lr) / (norm + count), after

    state = {"m": np.linspace(-0.2, 0.1, d), "start": lambda x: x, "count": 1.0, "size": 0.0}
    return methods.Custom(update, state=state, dimension=d)


def moving(d):
    """The point after a step in place of a direction, and a single number that begins at one of the trajectory's."""
    return methods.Custom(
        lambda x, g, lr, s: (x - lr * g / np.sqrt(s), {"s": s + np.dot(g, g)}),
        state={"s": lambda x: 1.0 + np.dot(x, x)}, dimension=d, moves="next",
    )  # fmt: skip


OWN = (summing, moving, shifted, delayed)


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("name", [name for name in COMPILED if name != "cycled" and "sgd" not in name])
def test_bits_are_the_references(name):
    """Of another program, in NumPy; SGD with its options is no program on data."""
    method = COMPILED[name]
    if isinstance(method, methods.SGD):
        return
    runtime.set_machine_code("on")
    for k, kind in enumerate(KINDS):
        assert_bits(kind, method, DTYPES[k % 2], 1 + k, iterate=ITERATES[(k + len(name)) % 3])
    assert made()
    assert all(made())


@pytest.mark.parametrize("make", OWN)
def test_own_methods_have_the_bits_of_the_reference(make):
    runtime.set_machine_code("on")
    for k, kind in enumerate(KINDS):
        assert_bits(kind, make, DTYPES[k % 2], 2, iterate="average")
    assert all(made())


def run(problem, mode, method, **options):
    runtime.set_machine_code(mode)
    call = {"base_lr": [0.1, 0.03], "horizon": 7, "record_at": [0, 1, 7], "replicates": 21, "seed": 4, "threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # diverged ones are compared too
        return simulate(
            problem, schedules.Linear(), method=method, metric="loss", keep_samples=True, keep_iterates=True,
            **call | options,
        )  # fmt: skip


def assert_same(problem, method, **options):
    interpreted = run(problem, "off", method, **options)
    compiled = run(problem, "on", method, **options)
    assert made()
    assert all(made())
    assert_equal_bits(interpreted.samples, compiled.samples)
    assert_equal_bits(interpreted.iterates, compiled.iterates)


LAYOUTS = [
    ((inputs, *hidden), intercept)
    for inputs in (1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 100)
    for hidden in ((), (1,), (3,), (16,), (17, 5))
    for intercept in (False, True)
    if inputs + len(hidden) + intercept > 1
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("part", range(6))
def test_sums_in_every_layout_are_those_of_the_interpreter(isa, part):
    """Rows that end within vectors and within what is summed together, or follow on one another without a gap."""
    rng = np.random.default_rng(part)
    for k, ((inputs, *hidden), intercept) in enumerate(LAYOUTS):
        if k % 6 != part:
            continue
        X = rng.standard_normal((30, inputs))
        if hidden:
            y = np.arange(30) % 3
            problem = problems.MLP(X, y, hidden=hidden, batch_size=2, intercept=intercept)
        else:
            problem = problems.LogisticRegression(X, np.sign(X[:, 0]), batch_size=2, intercept=intercept, x0=0.1)
        for dtype, method in zip(
            DTYPES, (methods.Clipped(methods.Adam(), 0.3), summing(problem.dimension)), strict=True
        ):
            assert_same(problem, method, isa=isa, dtype=dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "method",
    [COMPILED[name] for name in ("adamw", "clipped adam", "schedule-free adamw", "ngn", "extragradient", "cycled")],
    ids=lambda method: method.name,
)
def test_many_trajectories_have_the_bits_of_the_interpreter(isa, method):
    """Groups of them, some of which are not full; of configs that share rows and of those that do not."""
    for kind, dtype in (("linear", "float32"), ("network", "float64")):
        problem, _ = pair(kind, dtype, 3)
        for shared in (True, False):
            options = {"common_random_numbers": shared, "threads": 1 + shared}
            assert_same(problem, method, isa=isa, dtype=dtype, replicates=45, iterate="tail_average", **options)


NUMBERS = ("x", "g", "m", "lr", "t", "s", "value", "np.sum(g)", "np.dot(m, g)", "0.7", "c")


@st.composite
def updates(draw):
    """Directions, and what parts of a state become."""

    def term(depth):
        if depth == 0:
            return draw(st.sampled_from(NUMBERS))
        form = draw(st.sampled_from([
            "({} + {})", "({} - {})", "({} * {})", "({} / (1.0 + np.abs({})))", "np.maximum({}, {})",
            "np.minimum({}, {})", "np.where({} > {}, {}, {})", "np.sqrt(np.abs({}))", "np.tanh({})", "np.sign({})",
            "np.abs({}) ** 1.3", "np.exp(-np.abs({}))", "np.cos({})", "np.sum(x * {})", "-{}", "np.log(1 + np.abs({}))",
        ]))  # fmt: skip
        return form.format(*(term(depth - 1) for _ in range(form.count("{}"))))

    return term(draw(st.integers(1, 3))), term(draw(st.integers(0, 3))), term(draw(st.integers(0, 2)))


@settings(max_examples=40, deadline=None)
@given(texts=updates(), kind=st.sampled_from(list(KINDS)), dtype=st.sampled_from(DTYPES), isa=st.sampled_from(ISAS))
def test_random_methods_have_the_bits_of_the_interpreter(texts, kind, dtype, isa):
    problem, _ = pair(kind, dtype, 2)
    d = problem.dimension

    def update(x, g, m, lr, t, s, value):
        known = {"np": np, "x": x, "g": g, "m": m, "lr": lr, "t": t, "s": s, "value": value, "c": np.linspace(-1, 1, d)}
        direction, m_after, s_after = (eval(text, dict(known)) for text in texts)
        return g + direction, {"m": 0.5 * m + m_after, "s": np.tanh(np.sum(0.1 * m * s_after)) + s}

    method = methods.Custom(update, state={"m": np.zeros(d), "s": 0.5}, dimension=d)
    with patch.dict(_machine_code._known_on_data, clear=True):
        assert_same(problem, method, dtype=dtype, isa=isa, replicates=3)


# --- when it is made ------------------------------------------------------------------------------------------------


def made_of(method, problem, isa=ISAS[-1], steps=0.0):
    sizes, intercept = problem._network
    program = problem._method_program(method)
    return _machine_code.method_code(
        program, dtype="float32", isa=isa, sizes=sizes, intercept=intercept, steps=steps
    )  # fmt: skip


def test_it_is_made_where_it_pays():
    problem, _ = pair("network", "float32", 2)
    method = methods.RMSProp()
    assert made_of(method, problem, steps=1e3) is None
    first = made_of(method, problem, steps=1e9)
    assert first is not None
    assert made_of(method, problem, steps=1e3) is first
    assert made_of(methods.Adam(), problem, steps=1e9) is None  # for which the core has a pass
    runtime.set_machine_code("off")
    assert made_of(method, problem, steps=1e9) is None
    runtime.set_machine_code("on")
    assert made_of(method, problem, isa="scalar") is None


def test_what_is_left_to_the_interpreter():
    """Draws, orders of coordinates, the largest of several numbers: it runs, and has the same bits."""
    problem, _ = pair("deep network", "float32", 2)
    runtime.set_machine_code("on")
    own = [make(problem.dimension) for make in (drawing, reducing, entangled, replacing)]
    for method in (methods.Langevin(0.3), methods.Adam(), *own):
        assert made_of(method, problem) is None
        assert_equal_bits(run(problem, "off", method).samples, run(problem, "on", method).samples)
    assert not any(made())
    long = methods.Custom(lambda g: sum(np.sin(g / (k + 1.0)) for k in range(200)), dimension=problem.dimension)
    assert made_of(long, problem) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", _machine_code._FEATURES)
def test_code_for_every_processor_is_its_own_instructions(isa, dtype):
    """Of processors that are not this one too: vectors are multiplied and added at once, and nothing is called."""
    texts = method_text(summing(40).program(40), dtype, isa, (39, 1), True)
    assert texts.scratch % 16 == 0
    assert [point is None for point in texts.points] == [True, False]
    step, point = (assembled(text, isa) for text in (texts.step, texts.points[1]))
    assert has_fused_vectors(step, isa)
    assert not calls_something(step + point)


def test_a_run_can_be_stopped_while_it_is_machine_code():
    problem, _ = pair("network", "float32", 2)

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(problem, "on", methods.RMSProp(), horizon=10**6, record_at=None, replicates=1000, progress=stop)


# --- the border -----------------------------------------------------------------------------------------------------


def test_layers_are_those_of_the_core():
    """As docs/stream.md counts coordinates: weights unit by unit, then intercepts, layer by layer."""
    assert layers_of((19, 5, 3), True) == ((0, 0, 5, 19), (95, 160, 1, 5), (100, 176, 3, 5), (115, 224, 1, 3))
    assert layers_of((19, 5, 3), False) == ((0, 0, 5, 19), (95, 160, 3, 5))


CODE = {"address": 1, "points": [0], "scratch": 0, "constants": np.ones((0, 0)), "owner": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": [0, 0]}, r"method_code: points must be those of the method"),
        ({"points": [1]}, r"method_code: points must be those of the method"),
        ({"constants": np.ones((1, 4))}, r"method_code: constants must be of 118 coordinates"),
        ({"constants": np.ones((2, 118))}, r"method_code: constants must be those of the method"),
    ],
)
def test_what_is_not_of_the_method_is_refused(monkeypatch, changes, message):
    problem, _ = pair("network", "float32", 2)
    code = _core.MethodCode(**CODE | changes)
    monkeypatch.setattr(_machine_code, "method_code", lambda *_, **__: code)
    assert problem.dimension == 118
    with pytest.raises(ValueError, match=message):
        run(problem, "on", methods.RMSProp())


def test_states_that_are_no_coordinates_are_refused(monkeypatch):
    problem, _ = pair("network", "float32", 2)
    monkeypatch.setattr(_machine_code, "method_code", lambda *_, **__: _core.MethodCode(**CODE))
    with pytest.raises(ValueError, match="method_code: is for a state whose parts have a number for every coordinate"):
        run(problem, "on", reducing(problem.dimension))


def test_what_is_no_machine_code_is_refused():
    for wrong in ({"address": 0}, {"scratch": -1}):
        with pytest.raises(ValueError, match="address, scratch: must be of a function"):
            _core.MethodCode(**CODE | wrong)
    with pytest.raises(ValueError, match="constants: shape must be"):
        _core.MethodCode(**CODE | {"constants": np.ones(3)})
    problem = problems.AbsoluteValue(slope=1.0)
    ensemble = _ensemble_of(problem)
    with pytest.raises(ValueError, match="method_code: is for methods on data"):
        _core.simulate(ensemble, np.ones(1), 0, 0, 1, "scalar", 1, None, method_code=_core.MethodCode(**CODE))


def _ensemble_of(problem):
    from anneal_sgd._ensemble import Ensemble

    prepared = Ensemble(problem).prepared(schedules.Linear(), 3, None, {})
    return prepared._made()[0]
