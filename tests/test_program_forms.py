"""Random programs, node by node: derivatives against differences, one form, data that are read to the letter."""

import contextlib
import copy
import json

import numpy as np
import pytest

from anneal_sgd.programs import Node, Program, canonical, differentiated, evaluate, trace
from anneal_sgd.programs._build import Builder
from anneal_sgd.programs._ir import ELEMENTWISE, OPERATIONS, REDUCTIONS

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

D = 4
NUMBERS = st.sampled_from([-1.5, -1.0, 0.0, 0.25, 1.0, 2.0])
EXPONENTS = st.sampled_from([-2.0, -1.0, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 8.0, 8.5])


@st.composite
def attributes(draw, op, n):
    """What an operation on n numbers needs besides."""
    if op == "power":
        return draw(EXPONENTS)
    if op == "element":
        return draw(st.integers(0, n - 1))
    if op == "matvec":
        rows = draw(st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1, max_size=4))
        return tuple(map(tuple, rows))
    if op == "slice":
        start, last = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        step = draw(st.integers(1, 3)) * (1 if last >= start else -1)
        return (start, last + (1 if step > 0 else -1), step)
    if op == "embed":
        step = draw(st.sampled_from([-2, -1, 1, 2])) if n > 1 else 1
        size = draw(st.integers((n - 1) * abs(step) + 1, (n - 1) * abs(step) + 4))
        room = size - (n - 1) * abs(step) - 1
        start = draw(st.integers(0, room)) + (0 if step > 0 else (n - 1) * -step)
        return (start, step, size)
    return None


@st.composite
def programs(draw, operations=OPERATIONS[4:]):
    """A value of one number, of up to 16 operations, each on a recent value, an earlier one or a constant."""
    b = Builder(D, {"a": (), "b": (D,)})
    values = [b.node("parameter", attribute="a"), b.node("parameter", attribute="b"), b.node("point")]
    for _ in range(draw(st.integers(1, 16))):
        op = draw(st.sampled_from(operations))
        operands = []
        for _ in range(ELEMENTWISE.get(op, REDUCTIONS.get(op, 1))):
            if draw(st.integers(0, 4)) == 0:
                numbers = draw(st.lists(NUMBERS, min_size=1, max_size=1) | st.lists(NUMBERS, min_size=D, max_size=D))
                operands.append(b.constant(numbers))
            else:
                operands.append(values[-draw(st.integers(1, min(len(values), 5)))])
        n = (b.shape(operands[0]) or (1,))[0]
        attribute = draw(attributes(op, n))
        with contextlib.suppress(ValueError):  # operands whose shapes do not fit
            values.append(b.node(op, *operands, attribute=attribute))
    result = values[-1]
    return b.program(value=b.node("sum", result) if b.shape(result) else result)


def numbers_for(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((D, 2)), {"a": rng.standard_normal(), "b": rng.standard_normal(D)}


@settings(max_examples=150, deadline=None)
@given(program=programs(), seed=st.integers(0, 1000))
def test_the_canonical_form_is_one_and_keeps_values(program, seed):
    whole = differentiated(program)
    form = canonical(whole)
    assert canonical(form) == form
    assert Program.from_data(json.loads(json.dumps(form.to_data()))) == form
    x, parameters = numbers_for(seed)
    with np.errstate(all="ignore"):
        before, after = evaluate(whole, x, parameters), evaluate(form, x, parameters)
    for name in ("value", "gradient"):
        assert before[name].shape == after[name].shape == (x.shape[1:] if name == "value" else x.shape)
        known = np.isfinite(before[name]) & (abs(before[name]) < 1e6)
        if known.all():
            assert np.allclose(before[name], after[name], rtol=1e-7, atol=1e-7)


@settings(max_examples=150, deadline=None)
@given(program=programs(), seed=st.integers(0, 1000))
def test_gradients_are_what_differences_tend_to(program, seed):
    """Where central differences of two steps agree: elsewhere there is a kink near by, or nothing is finite."""
    x, parameters = numbers_for(seed)

    def differences(h):
        e = np.eye(D)[:, :, None]
        ends = [[evaluate(program, x + s * h * e[i], parameters)["value"] for s in (1, -1)] for i in range(D)]
        return np.array([(up - down) / (2 * h) for up, down in ends])

    with np.errstate(all="ignore"):
        gradient = evaluate(differentiated(program), x, parameters)["gradient"]
        near, far = differences(1e-5), differences(3e-5)
        value = evaluate(program, x, parameters)["value"]
        smooth = (abs(near - far) < 1e-6 * (1 + abs(near))) & np.isfinite(gradient) & (abs(value) < 1e3)
    assert np.allclose(gradient[smooth], near[smooth], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_numbers_that_are_put_together_count_once_each(n):
    """One number that is put at one place of a vector has that place's derivative, no matter how long the vector is."""
    program = differentiated(trace(lambda x: np.sum(np.stack([3 * x[0], *([x[1]] * (n - 1))])), dimension=2))
    assert evaluate(program, [1.0, 2.0])["gradient"].tolist() == [3.0, n - 1.0]


def test_nodes_that_become_equal_leave_a_single_use():
    """Two sums that are one after fusion: the product that both take is then fused with it."""

    def f(x):
        a, b, c, d, e = x
        left, right = c - a * b, (-a) * b + c
        return (d * e + left) * (d * e + right)

    form = canonical(trace(f, dimension=5))
    assert [node.op for node in form.nodes if node.op not in ("element", "point")] == [
        "negative", "fma", "fma", "multiply"
    ]  # fmt: skip
    assert canonical(form) == form


def test_slices_are_written_in_one_way():
    b = Builder(4, {})
    x = b.node("point")
    assert b.node("slice", x, attribute=(0, 3, 2)) == b.node("slice", x, attribute=(0, 4, 2))
    assert b.node("slice", x, attribute=(2, 3, 1)) == b.node("slice", x, attribute=(2, 1, -1))
    one = b.node("slice", x, attribute=(1, 2, 1))
    assert b.node("embed", one, attribute=(2, 3, 4)) == b.node("embed", one, attribute=(2, -1, 4))


def test_values_are_in_the_dtype_of_the_point():
    program = differentiated(trace(lambda x, a: np.sum(x * a) + 0.1, dimension=2, parameters={"a": ()}))
    for dtype in (np.float32, np.float64):
        found = evaluate(program, np.ones((2, 3), dtype), {"a": 0.1})
        assert found["value"].dtype == found["gradient"].dtype == dtype
        assert found["gradient"].tolist() == [[float(dtype(0.1))] * 3] * 2
    assert evaluate(program, [1, 2], {"a": 3.0})["value"].dtype == np.float64


def test_operations_can_be_replaced():
    program = trace(lambda x: np.exp(x[0]) + np.abs(x[1]) ** 0.3 + np.sum(np.ones((1, 2)) @ x), dimension=2)
    seen = []

    def power(a, exponent):
        seen.append(float(exponent))
        return a

    def matvec(a, matrix):
        seen.append(matrix.tolist())
        return a[:1]

    replaced = {"exp": lambda a: 10 * a, "power": power, "matvec": matvec}
    assert evaluate(program, [2.0, -3.0], operations=replaced)["value"] == 20.0 + 3.0 + 2.0
    assert seen == [0.3, [[1.0, 1.0]]]


# --- data -------------------------------------------------------------------------------------------------------------

WHOLE = differentiated(
    trace(
        lambda x, a: (
            np.sum(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]) @ x[:3] * a) + np.max(x[::2]) + abs(x[1]) ** 0.3
        ),
        dimension=4,
        parameters={"a": (2,)},
    )
)


def spots(data, path=()):
    """Every place of the data, from the whole to single numbers."""
    yield path
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from spots(value, (*path, key))


def deep(levels):
    data = []
    for _ in range(levels):
        data = [data]
    return data


JUNK = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 1.0, 2.5, float("nan"), 10**30, "", "a", "0x1p+2000", "nan", [], {}]),
    st.sampled_from(
        [[None], [[]], {"nodes": []}, "__import__('os')", ["exp"], 2**24, b"1", {1}, lambda: 1, deep(10**5)]
    ),
    st.recursive(st.integers(-9, 9) | st.text(max_size=2), lambda inner: st.lists(inner, max_size=3), max_leaves=4),
)


def changed(data, path, value):
    if not path:
        return value
    data = copy.deepcopy(data)
    home = data
    for key in path[:-1]:
        home = home[key]
    home[path[-1]] = value
    return data


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_data_is_refused_or_another_program(data):
    """One change anywhere: ValueError, or a program whose data are just these."""
    whole = WHOLE.to_data()
    given_data = changed(whole, data.draw(st.sampled_from(list(spots(whole)))), data.draw(JUNK))
    try:
        program = Program.from_data(given_data)
    except ValueError:
        return
    assert json.dumps(program.to_data()) == json.dumps(given_data)
    assert hash(program) == hash(Program.from_data(program.to_data()))
    assert canonical(program) == canonical(canonical(program))


@pytest.mark.parametrize(
    "node",
    [
        ["slice", [0], [0, 10**15, 1], [10**15]],  # takes no time
        ["slice", [0], [0, 2, 0], [2]],
        ["slice", [0], [0, True, 1], [1]],
        ["slice", [0], [0, 2, 1], [2.0]],
        ["slice", [0], [0, 2, 1], [True, True]],
        ["embed", [0], [0.0, 1, 4], [4]],
        ["embed", [0], [0, 1, 2**40], [2**40]],
        ["negative", [0], {"a": 1}, [4]],
        ["point", [], {}, [4]],
        ["constant", [], "ab", []],
        ["constant", [], ["inf"], []],
        ["constant", [], ["0x1p+0", "1"], [2]],
        ["draw", [], [0, "evil"], []],
        ["draw", [], [-2, "unit"], []],
        ["matvec", [0], [["0x1p+0"]], [1]],
        ["parameter", [], ["a"], []],
        ["power", [0], None, [4]],
        ["eval", [0], None, [4]],
        [["add"], [0, 0], None, [4]],
    ],
)
def test_nodes_that_are_none_are_refused(node):
    data = trace(lambda x: x[0], dimension=4).to_data()
    data["nodes"].append(node)
    with pytest.raises(ValueError, match=r"must|slice|range"):
        Program.from_data(data)


@pytest.mark.parametrize("data", [None, 3, "text", [], {}, {"dimension": 1}, deep(10**5), b"", float("nan")])
def test_data_that_are_no_program_are_refused(data):
    with pytest.raises(ValueError, match=r"data must be what Program\.to_data gives"):
        Program.from_data(data)


def test_attributes_are_hashable():
    point = Node("point", (), None, (1,))
    with pytest.raises(ValueError, match="the attribute of 'constant' must be of type Numbers"):
        Program(1, (), (point, Node("constant", (), [1.0], ())), ())
    with pytest.raises(ValueError, match="nodes must be a tuple"):
        Program(1, (), [point], ())


# --- what is refused --------------------------------------------------------------------------------------------------


def line_of(f):
    return f"test_program_forms.py:{f.__code__.co_firstlineno}"


def in_place(x):
    x += 1.0
    return np.sum(x)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.argmax(), r"Attribute 'argmax' .* cannot be traced \(.*test_program_forms.py:\d+\)"),
        (lambda x: x[True], r"Indexing with bool cannot be traced \(.*test_program_forms.py:\d+\)"),
        (lambda x: np.linalg.det(x), r"np\.linalg\.det .* cannot be traced \(.*test_program_forms.py:\d+\)"),
        (lambda x: np.linalg.norm(x, axis=0), r"np\.linalg\.norm with axis cannot be traced"),
        (lambda x: np.where(x > 0)[0], r"np\.where with these arguments cannot be traced"),
        (lambda x: np.sum([x[0], 1.0]), "Conversion to an array .*np.stack makes one of numbers.* cannot be traced"),
        (in_place, "np.add with out cannot be traced"),
        (max, "f must be a function whose arguments have names"),
    ],
)
def test_what_cannot_be_traced_is_named(f, message):
    with pytest.raises(TypeError, match=message):
        trace(f, dimension=2)


def test_the_line_is_the_one_of_the_operation():
    def f(x):
        y = x[0] + 1.0
        return np.linalg.cond(y)

    line = f.__code__.co_firstlineno + 2
    with pytest.raises(TypeError, match=rf"np\.linalg\.cond .* cannot be traced \(.*:{line}\)"):
        trace(f, dimension=1)


def test_a_loop_may_add_up_in_place():
    def f(x):
        total = 0.0
        for i in range(3):
            total += x[i] ** 2
        return total

    assert evaluate(trace(f, dimension=3), [1.0, 2.0, 3.0])["value"] == 14.0


def test_random_numbers_of_a_function_are_refused():
    rng = np.random.default_rng(0)

    def f(x):
        return x[0] * rng.standard_normal()

    with pytest.raises(ValueError, match=rf"f must do the same at every call.*{line_of(f)}"):
        trace(f, dimension=1)
