"""Problems on data: values and gradients against scikit-learn, content, bad data, simulations."""

from __future__ import annotations

import copy
import math
import pickle
from itertools import pairwise, permutations, product

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.problems import MLP, HingeLoss, LeastSquares, LogisticRegression, SoftmaxRegression
from anneal_sgd.problems._dataset import Dataset

N, D = 40, 3
RNG = np.random.default_rng(5)
X, WIDE = RNG.normal(size=(N, D)), RNG.normal(size=(N, 21))
Z = X @ [1.0, -2.0, 0.5] + RNG.normal(size=N)
SIGNS, CLASSES = np.where(Z > 0, 1.0, -1.0), np.digitize(Z, [-1.0, 1.0])
TARGETS = {LeastSquares: Z, LogisticRegression: SIGNS, HingeLoss: SIGNS, SoftmaxRegression: CLASSES, MLP: CLASSES}
LINEAR = [LeastSquares, LogisticRegression, HingeLoss, SoftmaxRegression]
NETWORKS = [{"hidden": h, "activation": a} for h in ((4,), (18, 2)) for a in ("relu", "tanh")]
VARIANTS = [{"l2": l2, "intercept": intercept} for l2 in (0.0, 0.3) for intercept in (False, True)]
BALL = {"projection": ("ball", 1.5)}

MODELS = [*product(LINEAR, [{}]), *product([MLP], NETWORKS)]
each_model = pytest.mark.parametrize(("kind", "extra"), MODELS, ids=lambda v: getattr(v, "__name__", ""))
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(k for k in v if v[k]))
each_linear = pytest.mark.parametrize("kind", LINEAR)
each_sampling = pytest.mark.parametrize("sampling", ["with_replacement", "reshuffling", "sequential"])


def make(kind=LogisticRegression, *, X=X, y=None, **arguments):
    return kind(X, TARGETS[kind] if y is None else y, **arguments)


def run(problem, schedule=None, **changes):
    arguments = {"base_lr": 0.25, "horizon": 12, "replicates": 20, "seed": 3, "dtype": "float64", "metric": "loss"}
    return simulate(problem, schedule or schedules.Constant(), **{**arguments, **changes})


def point(problem, seed=1):
    return np.random.default_rng(seed).normal(scale=0.4, size=problem.dimension)


def outputs(problem, x, rows):
    """Outputs of every row, and the sum of squared weights, from the layout that the module documents."""
    hidden = getattr(problem, "hidden", ())
    sizes = (rows.shape[1], *hidden, 3 if isinstance(problem, SoftmaxRegression | MLP) else 1)
    a, squares, at = rows, 0.0, 0
    for k, (inputs, units) in enumerate(pairwise(sizes)):
        w, at = x[at : at + inputs * units].reshape(units, inputs), at + inputs * units
        a, squares = a @ w.T, squares + np.sum(w**2)
        if problem.intercept:
            a, at = a + x[at : at + units], at + units
        if k < len(hidden):
            a = np.tanh(a) if problem.activation == "tanh" else np.maximum(a, 0.0)
    assert at == problem.dimension
    return a, squares


# --- value and gradient -----------------------------------------------------------------------------------------------


@each_variant
@each_model
def test_gradient_is_that_of_the_value(kind, extra, variant):
    problem = make(kind, **extra, **variant)
    for x in (point(problem), point(problem, seed=2)):
        numeric = [(problem.value(x + e) - problem.value(x - e)) / 2e-6 for e in np.eye(len(x)) * 1e-6]
        np.testing.assert_allclose(problem.gradient(x), numeric, atol=1e-8)


@each_variant
@each_model
def test_value_against_scikit_learn(kind, extra, variant):
    metrics = pytest.importorskip("sklearn.metrics")
    problem = make(kind, **extra, **variant)
    z, squares = outputs(problem, point(problem), X)
    if kind is LeastSquares:
        loss = metrics.mean_squared_error(Z, z[:, 0]) / 2
    elif kind is HingeLoss:
        loss = metrics.hinge_loss(SIGNS, z[:, 0])
    elif kind is LogisticRegression:
        loss = metrics.log_loss(SIGNS, 1 / (1 + np.exp(-z[:, 0])))
    else:
        loss = metrics.log_loss(CLASSES, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    assert float(problem.value(point(problem))) == pytest.approx(loss + problem.l2 / 2 * squares, rel=1e-12)


@pytest.mark.parametrize("kind", LINEAR[1:])
def test_confident_predictions(kind):
    problem = make(kind, X=[[1.0], [1.0]], y=[0, 1])
    x = [-1e4, 1e4][-problem.dimension :]
    assert float(problem.value(x)) == pytest.approx(1e4 if kind is SoftmaxRegression else 5e3, rel=1e-3)
    assert np.abs(problem.gradient(x)).tolist() == [0.5] * problem.dimension


def test_shapes_of_points():
    one, four = make(LeastSquares, X=X[:, :1]), make(LeastSquares, intercept=True)
    assert one.value([0.5]).shape == one.value(0.5).shape == ()
    assert (four.value(np.zeros((5, 2, 4))).shape, four.gradient(np.zeros((5, 2, 4))).shape) == ((5, 2), (5, 2, 4))
    for x in (1.0, [1.0, 2.0], []):
        with pytest.raises(ValueError, match=r"^x must have shape \(\.\.\., 4\), got shape"):
            four.value(x)
    assert one.gradient(0.5).shape == problems.AbsoluteValue(1.0).gradient(0.5).shape == ()


# --- content ----------------------------------------------------------------------------------------------------------


@each_variant
@each_model
def test_frozen_equal_by_content_and_portable(kind, extra, variant):
    problem = make(kind, **extra, **variant, test=(X[:5], TARGETS[kind][:5]), projection=("ball", 9), batch_size=3)
    expected = float(run(problem).mean)  # the compiled twin exists now, and must not be copied
    for other in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem), copy.copy(problem), problem.replace()):
        assert (other, hash(other), repr(other)) == (problem, hash(problem), repr(problem))
        assert float(run(other).mean) == expected
    for array in (problem.X, problem.y, *problem.test, *(() if problem.x0 is None else (problem.x0,))):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


@pytest.mark.parametrize("name", ["l2", "x0", "batch_size", "X", "y", "test", "minimum", "hidden", "activation"])
def test_attributes_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(make(LeastSquares) if name == "minimum" else make(MLP), name, 1.0)


def test_equality_is_of_content():
    changed = X + 1e-9 * (np.arange(D) == 1)
    family = [make(**variant) for variant in VARIANTS] + [make(HingeLoss), make(X=changed), make(y=-SIGNS)]
    family += [make(projection=("ball", 1)), make(x0=0.5), make(batch_size=2), make(sampling="reshuffling")]
    family += [make(sampling="sequential")]
    family += [make(test=(X, SIGNS)), make(test=(X, -SIGNS)), make(MLP, hidden=4, x0=0), make(SoftmaxRegression)]
    family += [make(MLP, **network) for network in NETWORKS]
    assert len(set(family)) == len(family)
    assert make() == make(x0=0) == make(x0=-0.0) == make(x0=[0, 0, 0]) != "problem"
    assert make(MLP, hidden=4) == make(MLP, hidden=[4]) == make(MLP, hidden=np.array([4]))


@pytest.mark.parametrize("name", ["X", "y", "l2", "x0"])
def test_zeros_of_either_sign_are_equal(name):
    value = {"X": np.rint(X), "y": np.rint(Z), "l2": 0.0, "x0": 0.0}[name]
    assert make(LeastSquares, **{name: value + 0.0}) == make(LeastSquares, **{name: -(0.0 - value)})


def test_arrays_are_copies_but_for_replace():
    rows, signs = X.copy(), SIGNS.copy()
    problem = make(X=rows, y=signs, test=(rows, signs))
    rows[:], signs[:] = 0.0, 1.0
    assert problem == make(test=(X, SIGNS))
    other = problem.replace(l2=0.5, batch_size=4, test=None)
    assert other == make(l2=0.5, batch_size=4)
    assert np.shares_memory(other.X, problem.X)
    assert make(MLP).replace(hidden=(3, 2), activation="tanh") == make(MLP, hidden=(3, 2), activation="tanh")
    for name in ("X", "hidden", "lr"):
        with pytest.raises(TypeError, match=f"^replace takes l2, .*, got {name}$"):
            problem.replace(**{name: X})


def test_repr():
    """The class, the shape of the data, and the parameters that are not the defaults."""
    text = repr(make(**VARIANTS[3], x0=1, batch_size=2, sampling="reshuffling", test=(X[:4], SIGNS[:4])))
    parts = ("l2=0.3", "intercept=True", "x0=...", "batch_size=2", "sampling='reshuffling'", "test X: 4 x 3")
    assert text == f"<LogisticRegression X: 40 x 3, {', '.join(parts)}>"


def test_repr_without_defaults():
    assert repr(make()) == "<LogisticRegression X: 40 x 3>"


@pytest.mark.parametrize("change", [{"intercept": False}, {"x0": 0}], ids=str)
def test_repr_of_networks_that_differ(change):
    assert repr(make(MLP, **change)) != repr(make(MLP))


def test_forms_of_the_same_data():
    whole, spread = np.rint(2 * X) + 0.0, np.zeros((2 * N, 3 * D))
    spread[::2, ::3] = whole
    forms = [np.asfortranarray(whole), spread[::2, ::3], whole[::-1][::-1], whole.tolist(), tuple(map(tuple, whole))]
    forms += [whole.astype(dtype) for dtype in (np.int8, np.int64, ">f8", np.longdouble)]
    assert {make(X=rows) for rows in forms} == {make(X=whole)}
    labels = [SIGNS.tolist(), SIGNS.astype(np.int8), SIGNS > 0, (SIGNS + 1) / 2, SIGNS.astype(np.float16)]
    assert {make(y=y) for y in labels} == {make()}
    assert make(X=whole > 0) == make(X=(whole > 0) * 1.0)
    for dtype in (np.float16, np.float32):
        rows = make(X=whole.astype(dtype))
        assert float(rows.value([1.0, 2.0, 3.0])) == float(make(X=whole).value([1.0, 2.0, 3.0]))
        assert float(run(rows).mean) == float(run(make(X=whole)).mean)


def test_dtypes_of_features():
    """float32 and float64 are kept; other numbers become float64."""
    kept = {np.float32: "float32", np.float64: "float64", np.int32: "float64", np.float16: "float64"}
    assert {dtype: make(X=X.astype(dtype)).X.dtype.name for dtype in kept} == kept


def test_held_out_columns_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abc"))
    turned = frame[["c", "a", "b"]]
    with pytest.raises(ValueError, match=r"^test X must have the columns of X in their order, \['a', 'b', 'c'\], got"):
        LeastSquares(frame, Z, test=(turned, Z))
    chosen = LeastSquares(frame, Z, test=(turned[frame.columns], Z))
    assert chosen == LeastSquares(frame, Z, test=(X, Z)) == LeastSquares(X, Z, test=(frame, Z))
    with pytest.raises(ValueError, match="test X must have the columns of X"):
        chosen.replace(test=(turned, Z))


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame, series = pandas.DataFrame(X, columns=list("abc")), pandas.Series(SIGNS, index=range(N, 2 * N))
    assert make(X=frame, y=series, test=(frame, series > 0)) == make(test=(X, SIGNS))
    assert make(X=frame[["c", "a"]]) == make(X=X[:, [2, 0]])
    whole = pandas.DataFrame(np.rint(X), columns=list("abc"))
    kinds = [whole.astype(dtype) for dtype in ("Int64", "Float64", object)]
    kinds += [whole.astype({"a": "Int64", "b": object}), whole.convert_dtypes()]
    assert {make(X=rows) for rows in kinds} == {make(X=np.rint(X))}
    flags = pandas.DataFrame({"a": X[:, 0] > 0, "b": X[:, 1]})
    assert make(X=flags) == make(X=flags.astype({"a": "boolean"})) == make(X=flags.to_numpy(np.float64))


def test_labels_of_any_kind():
    """Two classes, ascending, are -1 and +1; more are 0, 1, ...; held-out labels are numbered like the others."""
    pandas = pytest.importorskip("pandas")
    words = np.where(SIGNS > 0, "yes", "no")
    series = pandas.Series(words, index=range(5, N + 5))
    forms = [words, words.tolist(), words.astype(object), series, series.astype("category"), series.astype("string")]
    forms += [
        SIGNS / 2 + 1.5,
        pandas.Series(SIGNS / 2 + 1.5).astype("Int64"),
        pandas.Series(SIGNS > 0, dtype="boolean"),
    ]
    forms += [pandas.Series(SIGNS > 0, dtype=object), pandas.Categorical(SIGNS), (1000 * SIGNS).astype(np.int16)]
    for kind in TWO:
        assert {make(kind, y=y, test=(X[:9], y[:9])) for y in forms} == {make(kind, test=(X[:9], SIGNS[:9]))}
    names = np.array(["ant", "bee", "cow"])[CLASSES]
    for kind in MANY:
        for y in (names, pandas.Series(names, dtype="category"), CLASSES + 1, 7 * CLASSES - 3.0):
            assert make(kind, y=y, test=(X[3:], y[3:])) == make(kind, test=(X[3:], CLASSES[3:]))
    problem = make(MLP, y=names, test=(X, names))
    assert (problem.classes, make(LeastSquares).classes) == (("ant", "bee", "cow"), ())
    assert make(y=SIGNS).classes == (-1, 1)
    again = pickle.loads(pickle.dumps(problem)).replace(test=(X[:2], ["bee", "ant"]))
    assert (again.classes, again.test[1].tolist()) == (problem.classes, [1, 0])
    assert make(test=(X, SIGNS > 0)) == make(y=SIGNS > 0, test=(X, SIGNS)) == make(test=(X, SIGNS))


def test_what_pandas_and_scipy_hold_is_refused_with_the_remedy():
    pandas, sparse = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    frame = pandas.DataFrame(X, columns=list("abc"))
    gap = frame.convert_dtypes()
    gap.iloc[7, 2] = pandas.NA
    for name, value, message in (
        ("X", sparse.csr_matrix(X), r"sparse matrix of shape \(40, 3\): use .toarray\(\)$"),
        ("X", sparse.csr_array(X), r"use .toarray\(\)$"),
        ("X", frame.assign(d="red"), r"column 'd' of dtype .*pandas.get_dummies\(X\)"),
        ("X", frame.assign(d="red").astype({"d": "category"}), r"column 'd' of dtype category: pandas.get_dummies"),
        ("X", frame.astype({"b": str}), r"column 'b' .* X.astype\(float\) takes numbers that are written as text"),
        ("X", X.astype(str), r"X.astype\(float\) takes numbers"),
        ("X", X.astype(object), r"X.astype\(float\) takes numbers"),
        ("X", gap, "got nan in row 7, column 'c': fill in or leave out what is missing"),
        ("X", frame.reset_index(names="Unnamed: 0"), r"got column 'Unnamed: 0', the index .* index_col=0"),
        ("y", sparse.csr_array(SIGNS[:, None]), r"use .toarray\(\)$"),
        ("y", pandas.Series([*SIGNS[1:], None]), "none missing, got nan at index 39"),
        ("y", pandas.Series([None, *SIGNS.tolist()[1:]], dtype="Int64"), "none missing, got <NA> at index 0"),
        ("y", [None, *SIGNS.tolist()[1:]], "none missing, got None at index 0"),
        ("y", np.array(["a", 1] * (N // 2), object), r"of one kind, got int and str: y.astype\(str\)"),
        ("test", (X, ["a", "b"] * (N // 2)), r"y must be labels that y has, \[-1.0, 1.0\], got 'a' at index 0"),
    ):
        with pytest.raises(ValueError, match=f"^{name} .*{message}"):
            make(**{name: value})
    with pytest.raises(ValueError, match=r"(?s)^y must be numbers .*y.astype\(float\) takes numbers"):
        make(LeastSquares, y=Z.astype(str))


# --- bad data ---------------------------------------------------------------------------------------------------------


def spoilt(array, value, *place):
    changed = np.array(array, np.float64)
    changed[place] = value
    return changed


TWO, MANY, NET = (LogisticRegression, HingeLoss), (SoftmaxRegression, MLP), (MLP,)
FINITE, BINARY = r"must be finite numbers of shape \(n, d\)", "must be labels of two classes"
TEXTS, NAN = ["text", [["a"]] * N, [[1], [2, 3]], X + 1j, {"a": 1}], spoilt(X, math.nan, 7, 2)


@pytest.mark.parametrize(
    ("kinds", "name", "values", "message"),
    [
        (TARGETS, "X", [NAN, NAN.astype(np.float32)], f"{FINITE}, got nan in row 7, column 2: fill in"),
        (TARGETS, "X", [spoilt(X, -math.inf, 39, 0)], f"{FINITE}, got -inf in row 39, column 0$"),
        (TARGETS, "X", [X[:, 0], X[None], X[:0], X[:, :0], 1.0], rf"{FINITE}, n and d >= 1, got shape \("),
        (TARGETS, "X", [*TEXTS, None], f"{FINITE}, got"),
        (TARGETS, "y", TEXTS, r"must (be (numbers|labels) of|have) shape \(40,\), one .*for each row of X, got"),
        (TARGETS, "y", [SIGNS[:-1], SIGNS[:, None], 1.0], r"must have shape \(40,\), one (number|label) for each row"),
        (TARGETS, "y", [SIGNS[:, None]], r"must have shape .*, got shape \(40, 1\): \.squeeze\(\) leaves"),
        (
            TARGETS,
            "y",
            [np.eye(N)[:, :3]],
            r"must have shape .*: (several outputs are a sequence of problems|\.argmax\(axis=1\) makes labels)",
        ),
        (TARGETS, "y", [spoilt(SIGNS, math.nan, 4)], "must be .*finite.*, got nan at index 4"),
        (TWO, "y", [np.ones(N)], f"{BINARY}, got only 1.0$"),
        (TWO, "y", [CLASSES, CLASSES + 1.0], rf"{BINARY}, got 3: \["),
        (TWO, "y", [spoilt(SIGNS, 0.0, 4)], rf"{BINARY}, got 3: \[-1.0, 0.0, 1.0\]"),
        ((*TWO, *MANY), "y", [spoilt(SIGNS, 0.5, 4)], "must be labels, finite and whole .* got 0.5 at index 4"),
        (MANY, "y", [np.zeros(N)], "must be labels of two classes at least, got only 0"),
        (TARGETS, "test", ["ab", X, (X,), {"X": X, "y": SIGNS}, 1], r"must be None or \(X, y\), got"),
        (TARGETS, "test", [(X[:, :2], SIGNS), (WIDE, SIGNS)], "X must have 3 columns like X, got"),
        (TARGETS, "test", [(NAN, SIGNS)], f"X {FINITE}, got nan in row 7, column 2: fill in"),
        (TARGETS, "test", [(X, SIGNS[:3])], r"y must have shape \(40,\)"),
        (TWO, "test", [(X, CLASSES)], "y must be labels that y has, .* got 2 at index"),
        (MANY, "test", [(X, CLASSES + 1)], "y must be labels that y has, .* got 3 at index"),
        (TARGETS, "l2", [-0.1, math.nan, math.inf, "1", [0.1], None], "must be one number, finite and >= 0, got"),
        (TARGETS, "batch_size", [0, -1, True, 1.5, None, 2**24], "must be an integer in 1 .. 16777215, got"),
        (
            TARGETS,
            "sampling",
            ["shuffle", "", None, 1],
            "must be one of 'with_replacement', 'reshuffling', 'seq.*', got",
        ),
        (TARGETS, "intercept", [1, None, "yes"], "must be True or False, got"),
        (TARGETS, "projection", [("box", -1.0, 1.0), "ball", ("ball",), 1.0], "must be None or .'ball', radius. for"),
        (TARGETS, "projection", [("ball", r) for r in (0, -1.0, math.inf, [1.0])], "radius must be one number"),
        (TARGETS, "x0", [[1.0, 2.0]], r"must be one number or have shape \(\d+,\), got shape \(2,\)"),
        (TARGETS, "x0", [np.zeros((1, 3)), [], "0", math.nan, [0.0, math.inf, 0.0]], "must be "),
        (NET, "activation", ["gelu", 1, None], "must be one of 'relu', 'tanh', got"),
        (NET, "hidden", [(), (1, 2, 3), 0, (0,), (3, -1), True, "4", (3.5,)], "must be"),
        (NET, "hidden", [None, 2.5], "must be"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_data(kinds, name, values, message):
    for kind, value in product(kinds, values):
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            make(kind, **{name: value})


def test_starts_must_lie_in_the_ball():
    with pytest.raises(ValueError, match=r"^x0 must lie in the ball of radius 1.5, got norm 1.73"):
        make(x0=1.0, **BALL)


def test_units_may_be_integers_of_numpy():
    assert make(MLP, hidden=np.int64(4)) == make(MLP, hidden=4)


TESTED, PLAIN, SEPARABLE = make(test=(X, SIGNS)), make(), problems.AbsoluteValue(1.0)


@pytest.mark.parametrize(
    ("problem", "name", "values", "message"),
    [
        (
            TESTED,
            "metric",
            ["mse", [], 3, ["loss", 1]],
            "must be one or more of 'sub.*'test_accuracy' for Logistic.*, got",
        ),
        (TESTED, "metric", [["loss", "test_loss", "loss"]], "must be .*, each once, got"),
        (PLAIN, "metric", ["test_loss", ["loss", "test_accuracy"]], r"'test_.* must go with .* test=\(X, y\)"),
        ([TESTED, PLAIN], "metric", ["test_loss"], r"'test_loss' must go with .* test=\(X, y\)"),
        (make(LeastSquares, test=(X, Z)), "metric", ["test_accuracy"], "must be .* for LeastSquares, got"),
        (make(MLP), "metric", ["suboptimality"], "must be .* for MLP, got"),
        (SEPARABLE, "metric", ["loss", ["test_accuracy"]], "must be .* for AbsoluteValue, got"),
        (TESTED, "momentum", [1.0, -0.1, math.nan, "0"], r"must be one number, in \[0, 1\), got"),
        (TESTED, "momentum", [1e-50], "must be .* in float32"),
        (TESTED, "momentum", [1 - 2**-40], "must be .* in float32"),
        (TESTED, "nesterov", [True], "must go with momentum > 0"),
        (TESTED, "nesterov", [1, None], "must be True or False"),
        (TESTED, "weight_decay", [-0.1, math.inf], "must be one number, finite and >= 0, got"),
        (TESTED, "weight_decay", [1e-50], "must be .* in float32"),
        (SEPARABLE, "momentum", [0.5], "must be 0 for AbsoluteValue"),
        (SEPARABLE, "weight_decay", [0.5], "must be 0 for AbsoluteValue"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_bad_arguments_of_the_call(problem, name, values, message):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            simulate(problem, schedules.Constant(), base_lr=0.1, horizon=2, replicates=1, **{name: value})


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (make(X=X * 1e39), "X and y must be .* in float32"),
        (make(LeastSquares, y=Z * 1e39), "X and y must be .* in float32"),
        (make(test=(X * 1e300, SIGNS)), "test must be .* in float32"),
        (make(l2=1e-50), "l2 must be .* in float32, got 1e-50"),
        (make(x0=1e39), "x0 must be .* in float32"),
        (make(projection=("ball", 1e30)), "projection radius must be .* in float32"),
        ([PLAIN, make(HingeLoss)], "problem must be of one kind: 'LogisticReg.*, got 'HingeLoss' at index 1"),
        ([PLAIN, SEPARABLE], "problem must be of one kind"),
        ([PLAIN, make(X=X[:, :2])], "problem must be of one dimension: 3 at index 0, got 2 at index 1"),
        ([PLAIN, make(X=X[:, :2], intercept=True)], "problem must have one size of layers"),
        ([PLAIN, make(batch_size=2)], "problem must have one batch_size: 1 at index 0, got 2 at index 1"),
        ([PLAIN, make(sampling="reshuffling")], "problem must have one sampling"),
        ([PLAIN, make(**BALL)], "problem must have one kind of projection"),
        ([make(MLP), make(MLP, activation="tanh")], "problem must have one activation"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_problems_that_a_call_refuses(problem, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run(problem, dtype="float32")


# --- simulations ------------------------------------------------------------------------------------------------------


def on(problem, rows, labels):
    """The problem on other rows, of whatever labels."""
    other = problem.replace()
    other.__dict__["_train"] = Dataset("", np.asarray(rows), np.asarray(labels, np.float64))
    return other


def descent(problem, batches, *, base_lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """x0 and the iterate after every batch of rows, in NumPy."""
    x, v, iterates = problem.x0, np.zeros(problem.dimension), [problem.x0]
    for batch in batches:
        g = on(problem, problem.X[batch], problem.y[batch]).gradient(x)
        g = g + weight_decay * (problem.replace(l2=1.0).gradient(x) - problem.replace(l2=0.0).gradient(x))
        v = momentum * v + g
        x = x - base_lr * (g + momentum * v if nesterov else v)
        if problem.projection:
            x = x * min(1.0, problem.projection[1] / np.linalg.norm(x))
        iterates.append(x)
    return np.array(iterates)


RULES = [{}, {"weight_decay": 0.25}, {"momentum": 0.75}, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.125}]
STEPS = [0, 1, 2, 7, 10]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("ball", [{}, BALL], ids=["", "ball"])
@each_model
def test_reshuffled_batches_of_all_rows_are_gradient_descent(kind, extra, ball, rule):
    """Of twice all rows too; every metric, at x0 too."""
    for size in (N, 2 * N):
        problem = make(kind, X=WIDE, **extra, l2=0.1, intercept=True, sampling="reshuffling", batch_size=size)
        start = point(problem) / 10
        problem = problem.replace(x0=start, test=(WIDE[:9], TARGETS[kind][:9]), **ball)
        points = descent(problem, [np.arange(N)] * 10, base_lr=0.25, **rule)[STEPS]
        held_out = on(problem.replace(l2=0.0), *problem.test)
        expected = np.stack([problem.value(points), held_out.value(points)], axis=-1)
        result = run(problem, horizon=10, record_at=STEPS, replicates=3, metric=["loss", "test_loss"], **rule)
        np.testing.assert_allclose(result.mean, expected, rtol=1e-12)
        np.testing.assert_allclose(result.std, 0.0, atol=1e-14)


@pytest.mark.parametrize("iterate", ["average", "tail_average"])
@each_model
def test_averages_of_iterates(kind, extra, iterate):
    problem = make(kind, **extra, sampling="reshuffling", batch_size=N)
    problem = problem.replace(x0=point(problem))
    points = descent(problem, [np.arange(N)] * 10, base_lr=0.25)
    first = [k - math.ceil(0.3 * k) if iterate == "tail_average" else 0 for k in STEPS]
    averages = [points[a + 1 : k + 1].mean(axis=0) if k else points[0] for a, k in zip(first, STEPS, strict=True)]
    tail = {"tail_frac": 0.3} if iterate == "tail_average" else {}
    result = run(problem, horizon=10, record_at=STEPS, replicates=2, iterate=iterate, **tail)
    np.testing.assert_allclose(result.mean, problem.value(np.array(averages)), rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("batch_size", [1, 2])
@each_model
def test_reshuffling_takes_every_row_once_an_epoch(kind, extra, batch_size, momentum):
    """Three rows, two epochs: the 36 orders, all of them and equally often, the same for both learning rates."""
    three = np.unique(CLASSES, return_index=True)[1]  # a row of every class
    problem = make(kind, X=WIDE[three], y=TARGETS[kind][three], **extra, intercept=True, l2=0.1, batch_size=batch_size)
    problem = problem.replace(x0=point(problem), sampling="reshuffling")
    orders = [np.reshape(p + q, (-1, batch_size)) for p, q in product(permutations(range(3)), repeat=2)]
    ends = [[descent(problem, o, base_lr=lr, momentum=momentum)[-1] for lr in (0.25, 0.05)] for o in orders]
    expected = problem.value(np.array(ends))
    rule = {"base_lr": [0.25, 0.05], "momentum": momentum, "horizon": 6 // batch_size}
    samples = run(problem, **rule, replicates=3600, keep_samples=True).samples.T
    near = (np.abs(samples[:, None] - expected) <= 1e-11 * expected).all(axis=-1)
    assert near.any(axis=1).all()
    times = (np.abs(expected[:, None] - expected) <= 1e-11 * expected).all(axis=-1).sum(axis=1) / 36
    np.testing.assert_array_less(np.abs(near.sum(axis=0) - 3600 * times), 5 * np.sqrt(3600 * times))


@pytest.mark.parametrize("batch_size", [1, 3, N - 1, N + 5])
@each_model
def test_sequential_batches_take_the_rows_in_order(kind, extra, batch_size):
    """Over an epoch's end within a batch, in horizons of several tiles of steps; all replicates alike."""
    problem = make(kind, **extra, l2=0.1, intercept=True, batch_size=batch_size, sampling="sequential")
    problem = problem.replace(x0=point(problem))
    batches = np.arange(150 * batch_size).reshape(150, batch_size) % N
    expected = problem.value(descent(problem, batches, base_lr=0.05)[[0, 1, 41, 150]])
    result = run(problem, base_lr=0.05, horizon=150, record_at=[0, 1, 41, 150], replicates=17, keep_samples=True)
    np.testing.assert_allclose(result.samples, np.repeat(expected[:, None], 17, axis=1), rtol=1e-11)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_sampling_with_replacement_is_uniform(batch_size):
    """Three rows, one step, batches larger than the data too: the mean over all batches."""
    problem = LeastSquares([[1.0], [2.0], [-0.5]], [1.0, -1.0, 0.5], batch_size=batch_size, x0=0.5)
    batches = [list(batch) for batch in product(range(3), repeat=batch_size)]
    expected = np.mean([problem.value(descent(problem, [batch], base_lr=0.5)[-1]) for batch in batches])
    result = run(problem, base_lr=0.5, horizon=1, replicates=20_000)
    assert float(result.mean) == pytest.approx(expected, abs=5 * float(result.stderr))


@each_sampling
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_one_row_and_one_feature(sampling, batch_size):
    problem = LeastSquares([[2.0]], [1.0], x0=1.0, batch_size=batch_size, sampling=sampling)
    mean = run(problem, base_lr=0.125, horizon=5, record_at=range(6), metric="suboptimality").mean
    np.testing.assert_allclose(mean, [0.5 * 0.25**k for k in range(6)], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [0.0, 1.0])
@each_model
def test_metrics_at_the_start(kind, extra, scale):
    """Ties, as where all outputs are 0, predict -1 or the first class."""
    problem = make(kind, **extra, intercept=True, l2=0.3, test=(WIDE[:23, :D], TARGETS[kind][:23]))
    problem = problem.replace(x0=scale * point(problem))
    names = type(problem)._METRICS
    result = run(problem, record_at=[0, 12], metric=names)
    found = dict(zip(names, result.mean[0].tolist(), strict=True))
    assert found["loss"] == pytest.approx(float(problem.value(problem.x0)), rel=1e-13)
    if kind is not MLP:
        assert found["suboptimality"] == pytest.approx(float(problem.suboptimality(problem.x0)), rel=1e-12)
    if kind is not LeastSquares:
        z = outputs(problem, problem.x0, problem.test[0])[0]
        predicted = z.argmax(axis=1) if z.shape[1] > 1 else np.where(z[:, 0] > 0, 1.0, -1.0)
        assert found["test_accuracy"] == pytest.approx(np.mean(predicted == problem.test[1]), rel=1e-15)
        assert 0.0 <= result.min[1, -1] <= result.max[1, -1] <= 1.0


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_starts_of_networks_are_drawn(network):
    """The loss at the start against NumPy's Gaussian weights; intercepts are 0."""
    problem, sizes, generator = make(MLP, **network), (D, *network["hidden"], 3), np.random.default_rng(8)
    parts = []
    for k, (inputs, units) in enumerate(pairwise(sizes)):
        gain = 2.0 if network["activation"] == "relu" and k + 2 < len(sizes) else 1.0
        weights = math.sqrt(gain / inputs) * generator.normal(size=(2000, inputs * units))
        parts += [weights, np.zeros((2000, units))]
    losses = problem.value(np.hstack(parts))
    result = run(problem, horizon=1, record_at=0, replicates=10_000)
    error = math.hypot(float(result.stderr), losses.std() / math.sqrt(2000))
    assert float(result.mean) == pytest.approx(losses.mean(), abs=5 * error)
    assert float(result.std) == pytest.approx(losses.std(), rel=0.15)


def test_dimensions_and_coordinates():
    family = [make(l2=l2, test=(X, SIGNS), **BALL) for l2 in (0.0, 0.25, 1.0)]
    names, shapes = ["suboptimality", "loss", "test_loss", "test_accuracy"], [schedules.Linear(), schedules.Cosine()]
    result = run(family, shapes, base_lr=[0.1, 0.2], record_at=[0, 12], metric=names, keep_samples=True)
    assert result.dims == ("problem", "schedule", "base_lr", "record_at", "metric")
    assert result.mean.shape == (3, 2, 2, 2, 4)
    assert (result.coords["metric"].tolist(), result.coords["l2"].tolist()) == (names, [0.0, 0.25, 1.0])
    np.testing.assert_allclose(result.mean[..., 0, 1], math.log(2), rtol=1e-15)
    minima = np.reshape([p.minimum for p in family], (3, 1, 1, 1, 1))
    np.testing.assert_allclose(result.samples[..., 0, :] + minima, result.samples[..., 1, :], rtol=1e-13)
    for i, m in np.ndindex(3, 4):
        alone = run(family[i], shapes[1], base_lr=0.2, metric=names[m], keep_samples=True)
        np.testing.assert_array_equal(alone.samples, result.samples[i, 1, 1, 1, m])
    radii = [make(projection=("ball", r)) for r in (0.5, 1.0)]
    assert run(radii).coords["radius"].tolist() == [0.5, 1.0]
    assert (run(make(), metric=None).spec.metric, run(make(MLP), metric=None).spec.metric) == ("suboptimality", "loss")
    pytest.importorskip("xarray")
    mean = result.to_xarray()["mean"].sel(metric="test_accuracy", schedule="cosine", base_lr=0.2, record_at=12)
    assert (mean["l2"].dims, mean["l2"].values.tolist()) == (("problem",), [0.0, 0.25, 1.0])
    np.testing.assert_array_equal(mean.values, result.mean[:, 1, 1, 1, 3])


@each_model
def test_parts_merge_into_the_single_run(kind, extra):
    arguments = {"keep_samples": True, "dtype": "float32", "momentum": 0.5, "metric": ["loss", "test_loss"]}
    problem = make(kind, **extra, batch_size=2, test=(X[:7], TARGETS[kind][:7]))
    whole, a, b = (
        run(problem, replicates=n, first_replicate=i, **arguments) for i, n in ((0, 1500), (0, 1024), (1024, 476))
    )
    merged = pickle.loads(pickle.dumps(b)) + a
    for statistic in ("mean", "std", "stderr", "min", "max", "count", "diverged", "samples"):
        np.testing.assert_array_equal(getattr(merged, statistic), getattr(whole, statistic))
    with pytest.raises(ValueError, match=r"^metric must be the same to merge results"):
        _ = a + run(problem, first_replicate=1024, **{**arguments, "metric": "loss"})


@each_model
def test_threads_change_no_bit(kind, extra):
    problem = make(kind, **extra, batch_size=3, sampling="reshuffling", l2=0.1, intercept=True)
    shared = {"replicates": 1100, "horizon": 100, "base_lr": [0.05, 0.1], "keep_samples": True, "momentum": 0.5}
    one, two = (run(problem, threads=threads, **shared).samples for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@each_sampling
@each_model
def test_common_random_numbers(kind, extra, sampling):
    for batch_size in (1, 5, N + 2):
        problem = make(kind, **extra, sampling=sampling, batch_size=batch_size)
        alone = run(problem, keep_samples=True).samples
        for common in (True, False):
            twice = run(problem, base_lr=[0.25, 0.25], common_random_numbers=common, keep_samples=True).samples
            np.testing.assert_array_equal(twice[0], alone)
            without_chance = sampling == "sequential" and kind is not MLP
            assert (twice[1] == alone).all() == (common or without_chance)


@pytest.mark.parametrize("configs", [23, 40])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_configs_that_fill_vectors_are_the_single_runs(configs, batch_size, dtype, way):
    """On shared rows vectors run over configs, up to two side by side; a run alone has them along features."""
    base_lrs = np.geomspace(0.01, 0.5, configs)
    own = problems.LinearModel(WIDE, SIGNS, loss="log(1 + exp(-y * z))", batch_size=batch_size)
    made = make(X=WIDE, batch_size=batch_size, l2=0.1, intercept=True, sample_weight=1 + Z**2)
    for problem, momentum in ((made, 0.0), (made, 0.5), (own, 0.0)):
        arguments = {"keep_samples": True, "threads": 1, "replicates": 3, "dtype": dtype, "momentum": momentum}
        together = run(problem, base_lr=base_lrs, common_random_numbers=True, **arguments).samples
        alone = [run(problem, base_lr=base_lr, **arguments).samples for base_lr in base_lrs]
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_any_length_go_by_columns(batch_size, dtype, isa, way):
    """Vectors over configs leave out what pads rows; those along features do not."""
    rng = np.random.default_rng(4)
    rows, labels, base_lrs = rng.standard_normal((20, 35)), rng.random(20) < 0.5, np.geomspace(0.01, 0.5, 40)
    for d in range(1, 36):
        problem = LogisticRegression(rows[:, :d], labels, batch_size=batch_size)
        call = {"keep_samples": True, "threads": 1, "replicates": 2, "dtype": dtype, "isa": isa, "metric": "loss"}
        together = run(problem, base_lr=base_lrs, **call).samples
        for c in (0, 15, 23, 39):
            alone = run(problem, base_lr=base_lrs[c], **call).samples
            np.testing.assert_array_equal(together[c], alone, err_msg=f"d = {d}")


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("kind", [*LINEAR[:3], "own"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recorded_points_that_fill_vectors_are_the_single_runs(kind, dtype, isa):
    """Any number of points are evaluated with vectors over them, what is left of it with vectors along the features."""
    rng = np.random.default_rng(6)
    rows, signs, weight = rng.standard_normal((58, 70)), rng.choice([-1.0, 1.0], 58), rng.integers(0, 3, 37) / 2
    metrics = ["loss", "test_loss", *(["test_accuracy"] if kind in (LogisticRegression, HingeLoss) else [])]
    extra = {"loss": "log(1 + exp(-y * z))"} if kind == "own" else {}
    model = problems.LinearModel if kind == "own" else kind
    for n in range(1, 71):
        d = 1 + 11 * n % 70 if n % 5 else 1
        held_out = (rows[37 : 38 + n % 21, :d], signs[37 : 38 + n % 21])
        extra |= {"intercept": n % 2 == 0, "sample_weight": weight if n % 3 == 0 else None}
        problem = model(rows[:37, :d], signs[:37], test=held_out, l2=0.1, batch_size=1 + n % 5, **extra)
        call = {"horizon": 4, "record_at": [1, 2, 3, 4], "threads": 1, "replicates": 1, "dtype": dtype, "isa": isa}
        call |= {"metric": metrics, "keep_samples": True, "common_random_numbers": True}
        base_lrs = np.geomspace(0.01, 0.5 if n % 5 else 1e38, n)
        together = run(problem, base_lr=base_lrs, **call).samples
        for c in {0, n // 2, n - 1}:
            alone = run(problem, base_lr=base_lrs[c], **call).samples
            np.testing.assert_array_equal(together[c], alone, err_msg=f"{n} points, d = {d}")


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize(("kind", "base_lr"), [(LeastSquares, 1e15), (LogisticRegression, 3e38), (MLP, 3e38)])
def test_diverged_trajectories_are_counted_alike(kind, base_lr):
    problem = make(kind, X=X * 1e3, test=(X * 1e3, TARGETS[kind]), batch_size=4)
    names = ["loss", "test_loss", "test_accuracy"][: 2 if kind is LeastSquares else 3]
    result = run(problem, base_lr=[0.0, base_lr], metric=names, dtype="float32", record_at=[0, 12], keep_samples=True)
    assert not result.diverged[0].any()
    assert not result.diverged[1, 0].any()
    assert set(result.diverged[1, 1].tolist()) == {20}
    np.testing.assert_array_equal(np.isfinite(result.samples).sum(axis=-1), result.count)


@pytest.mark.filterwarnings("ignore:trajectories diverged:RuntimeWarning")
@pytest.mark.parametrize("threads", [1, 3, 16])
def test_an_overflow_spares_its_neighbours(threads, isa):
    """What a diverged trajectory leaves in memory that the next one uses."""
    X = np.random.default_rng(1).standard_normal((20, 16))
    problem = problems.MLP(X, np.arange(20) % 3, hidden=(3,), projection=("ball", 1.0), batch_size=3)
    call = {"horizon": 5, "replicates": 31, "metric": "loss", "threads": threads, "isa": isa}
    both = simulate(problem, schedules.Constant(), base_lr=[0.1, 1e20], **call)
    alone = simulate(problem, schedules.Constant(), base_lr=0.1, **call)
    assert both.diverged.tolist() == [0, 31]
    assert both.mean[0] == alone.mean
    assert alone.mean == pytest.approx(1.09, abs=0.01)
