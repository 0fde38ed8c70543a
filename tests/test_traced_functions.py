"""What traced functions may call of NumPy and SciPy: values, derivatives, accuracy, edges, and what is refused."""

import math

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.programs import canonical, differentiated, evaluate, trace
from anneal_sgd.reference import programs as reference
from anneal_sgd.reference.schedules import Schedule

INF, NAN = np.inf, np.nan
NARROWER = [dtype for dtype in (np.float32, np.float64) if np.finfo(dtype).nmant < np.finfo(np.longdouble).nmant]
W = np.array([0.5, 2.0, 1.0, 0.25, 3.0])

# By name, functions of 5 numbers, which have kinks where numbers are equal or 0 alone.
OF_NUMPY = {
    "cbrt": lambda x: np.sum(np.cbrt(x) * x),
    "inverse hyperbolic": lambda x: np.sum(
        np.arcsinh(3 * x) * x + np.arccosh(1.5 + x**2) + np.arctanh(x / (1 + x**2))
    ),
    "sinc": lambda x: np.sum(np.sinc(x) + np.sinc(x / 20) ** 2),
    "heaviside": lambda x: np.sum(np.heaviside(x, 0.5) * x**2),
    "angles": lambda x: np.sum(np.sin(np.deg2rad(40 * x)) + np.degrees(x) + np.radians(x) * np.rad2deg(x)),
    "base 2": lambda x: np.logaddexp2(x[0], x[1] * x[2]),
    "logical": lambda x: np.sum(np.where(np.logical_xor(x > 0, x[0] < 0.5), x**2, 2 * x)),
    "of finite numbers": lambda x: np.sum(np.where(np.isfinite(x) & ~np.isnan(x) & ~np.isinf(x), x**2, 0)),
    "sort": lambda x: np.sum(W * np.sort(x) ** 2),
    "median": lambda x: np.median(x) ** 2 + np.median(x[:4]),
    "quantiles": lambda x: np.quantile(x, 0.3) ** 2 + np.sum(np.quantile(x, [0, 0.99, 1]) ** 3) + np.percentile(x, 75),
    "cumprod": lambda x: np.sum(W * np.cumprod(x)) + np.multiply.accumulate(x[1:])[-1],
    "differences": lambda x: np.sum(np.diff(x, 2) ** 2) + np.sum(np.diff(x, n=0)) + np.ediff1d(x)[1] ** 2,
    "average": lambda x: np.average(x, weights=W) ** 2 + np.average(x) + np.ptp(x) ** 2,
    "select": lambda x: np.sum(np.select([x < -0.5, x < 0.5], [-x, x**2], 0.25)),
    "polynomials": lambda x: np.sum(np.polyval([2.0, -1.0, 0.5], x)) + np.polyval([3.0], x[0]) * x[1],
    "integral": lambda x: (
        np.trapezoid(x**2) + np.trapezoid(np.sin(x), dx=0.5) + np.trapezoid(x**2, np.arange(5.0) ** 2)
    ),
    "parts": lambda x: sum(np.sum(p) ** (k + 1) for k, p in enumerate(np.split(x, [1, 3]))) + np.split(x, 5)[2][0] ** 2,
    "repeated": lambda x: np.sum(np.tile(x, 2) ** 2 * np.arange(10.0)) + np.sum(np.repeat(x, 2) ** 3 * np.arange(10.0)),
    "taken": lambda x: np.sum(np.take(x, [3, 0]) ** 2) + np.sum(np.full_like(x, 2.0) * x) + np.atleast_1d(x)[1] ** 2,
    "counted": lambda x: np.sum(x**2) * np.count_nonzero(x > 0) + np.sum(np.where(np.isclose(x, x[0]), x**2, x)),
    "spread out": lambda x: np.sum(np.broadcast_to(x[0], 5) * x),
    "reductions": lambda x: (
        np.add.reduce(x) ** 2 + np.multiply.reduce(x) + np.maximum.reduce(x) - np.minimum.reduce(x) ** 2
        + np.logaddexp.reduce(x) * np.add.accumulate(x)[2]
        + np.where(np.logical_and.reduce(x > -9) & np.logical_or.reduce(x > 9), 1, x[0] ** 2)
    ),
    "as a dtype": lambda x: np.sum(x.astype(float).cumprod()),
}  # fmt: skip
OF_SCIPY = {
    "logistic": lambda x, s: np.sum(s.expit(3 * x) + s.log_expit(x) * x + s.logit(0.5 + 0.4 * np.sin(x))),
    "entropies": lambda x, s: np.sum(s.entr(x**2) + s.rel_entr(x**2, 1 + x**2) + s.kl_div(1 + x**2, 2 + np.sin(x))),
    "logarithms": lambda x, s: np.sum(s.xlogy(x, 1 + x**2) + s.xlog1py(x, x**2) + s.exp10(x / 4)),
    "losses": lambda x, s: np.sum(s.huber(0.7, x) + s.pseudo_huber(0.7, x)),
}


def points(count=4):
    return [np.random.default_rng(seed).standard_normal(5) for seed in range(count)]


def differences(f, x, step=1e-6):
    return np.array([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def is_of_the_function(f):
    program = canonical(differentiated(trace(f, dimension=5)))
    for x in points():
        found = evaluate(program, x)
        assert found["value"] == pytest.approx(float(f(x)), rel=1e-13, abs=1e-13)
        assert found["gradient"] == pytest.approx(differences(f, x), rel=1e-6, abs=1e-6)
    bits = reference.evaluated(program, "value", np.array(points()).T, {}, {})[0]
    assert bits == pytest.approx([float(f(x)) for x in points()], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", OF_NUMPY)
def test_values_and_derivatives_of_numpy(name):
    if name == "integral" and not hasattr(np, "trapezoid"):
        pytest.skip("NumPy has no trapezoid")
    is_of_the_function(OF_NUMPY[name])


@pytest.mark.parametrize("name", OF_SCIPY)
def test_values_and_derivatives_of_scipy(name):
    special = pytest.importorskip("scipy.special")
    is_of_the_function(lambda x: OF_SCIPY[name](x, special))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OF_NUMPY)
def test_trajectories_have_the_bits_of_the_reference(name, dtype):
    """Which takes constants that either dtype has."""
    if name == "integral" and not hasattr(np, "trapezoid"):
        pytest.skip("NumPy has no trapezoid")
    problem = problems.Custom(OF_NUMPY[name], x0=points()[0], noise="none")
    call = {"base_lr": 0.001, "horizon": 3, "record_at": [0, 3], "dtype": dtype}
    found = simulate(problem, schedules.Linear(), replicates=2, metric="value", keep_samples=True, **call)
    exact = reference.simulate(
        program=problem.program,
        x0=problem.x0,
        schedule=Schedule("linear"),
        replicates=[0, 1],
        seed=0,
        metric="value",
        **call,
    )
    np.testing.assert_array_equal(found.samples, exact)


# --- order statistics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33, 64])
def test_any_numbers_are_brought_in_order(n):
    """Of zeros and ones, which show every network that does not sort; and each keeps its derivative among equals."""
    rng = np.random.default_rng(n)
    weights = rng.standard_normal(n)
    program = canonical(differentiated(trace(lambda x: np.sum(weights * np.sort(x)), dimension=n)))
    for x in [*(rng.integers(0, 2, (20, n)).astype(float)), rng.standard_normal(n), np.zeros(n)]:
        found = evaluate(program, x)
        assert found["value"] == pytest.approx(weights @ np.sort(x), rel=1e-12, abs=1e-12)
        assert np.sort(found["gradient"]) == pytest.approx(np.sort(weights), rel=1e-15)
    everything = np.array([[k >> i & 1 for i in range(min(n, 9))] for k in range(2 ** min(n, 9))], float)
    short = canonical(trace(lambda x: np.sum(2.0 ** np.arange(len(x)) * np.sort(x)), dimension=min(n, 9)))
    exact = np.sort(everything, axis=1) @ 2.0 ** np.arange(min(n, 9))
    assert np.array_equal(evaluate(short, everything.T)["value"], exact)


def test_the_median_of_many_is_refused():
    with pytest.raises(TypeError, match=r"^Sorting 65 numbers, more than 64, cannot be traced"):
        trace(np.median, dimension=65)
    with pytest.raises(ValueError, match=r"^quantiles must be in \[0, 1\], got 30 "):
        trace(lambda x: np.quantile(x, 30), dimension=5)


# --- accuracy ---------------------------------------------------------------------------------------------------------

ACCURACY = {  # the function, from where to where sizes are taken, units in the last place in float32 and float64
    "cbrt": (np.cbrt, None, 0.8, 0.8),
    "arcsinh": (np.arcsinh, None, 2.8, 3.3),
    "arccosh": (np.arccosh, (1.0, 1e30), 3.6, 4.1),
    "arctanh": (np.arctanh, (1e-30, 1.0), 3.3, 2.8),
    "exp2": (np.exp2, (1e-30, 20.0), 9.5, 13.0),
    "arcsin": (np.arcsin, (1e-30, 1.0), 2.2, 2.3),
    "arccos": (np.arccos, (1e-30, 1.0), 2.2, 2.3),
    "arctan2": (lambda x: np.arctan2(x, x[::-1]), (1e-6, 1e6), 1.9, 2.0),
    "log2": (np.log2, None, 2.7, 3.0),
    "log10": (np.log10, None, 3.7, 4.6),
}


def values(f, x):
    program = canonical(trace(f, dimension=len(x)))
    with np.errstate(all="ignore"):
        return reference.evaluated(program, "value", x[:, None], {}, {})[:, 0]


def in_ulp(found, exact, dtype):
    info = np.finfo(dtype)
    normal = (np.abs(exact) >= info.smallest_normal) & (np.abs(exact) < info.max)
    assert np.count_nonzero(normal) > 0.4 * len(exact)
    ulp = np.spacing(np.abs(exact[normal]).astype(dtype)).astype(np.longdouble)
    return np.max(np.abs(found[normal].astype(np.longdouble) - exact[normal]) / ulp)


@pytest.mark.parametrize("dtype", NARROWER)
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name, dtype):
    f, bounds, *limits = ACCURACY[name]
    rng, info = np.random.default_rng(6), np.finfo(dtype)
    low, high = bounds or (info.smallest_normal, info.max)
    sizes = np.exp2(rng.uniform(np.log2(low), np.log2(high), 10_000))
    near = np.concatenate([rng.uniform(0, 2, 10_000), 1 + np.exp2(rng.uniform(-info.nmant, 0, 4_000)) / 2])
    x = np.concatenate([sizes, near])
    x = x[(low <= x) & (x <= high)]
    x = np.concatenate([x, -x]).astype(dtype)
    with np.errstate(all="ignore"):
        exact = f(x.astype(np.longdouble))
    x, exact = x[np.isfinite(exact)], exact[np.isfinite(exact)]
    assert in_ulp(values(f, x), exact, dtype) < limits[dtype == np.float64]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["cbrt", "arcsinh", "arccosh", "arctanh", "isnan", "isfinite", "isinf", "sinc"])
def test_edges(name, dtype):
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, 2.0, INF, -INF, NAN, info.max, info.smallest_normal, info.smallest_subnormal]
    x = np.array(special if name != "sinc" else [0.0, 1e-30, 0.3, -0.31831, 0.5], dtype)
    f = (lambda x: np.where(getattr(np, name)(x), 1.0, 0.0)) if name.startswith("is") else getattr(np, name)
    with np.errstate(all="ignore"):
        exact = f(x)
    if name == "arccosh":
        x, exact = x[x != info.max], exact[x != info.max]  # t (t + 2) is above it
    tiny = float(info.smallest_normal) * 4 * float(info.eps)
    assert values(f, x) == pytest.approx(exact, rel=8 * float(info.eps), abs=tiny, nan_ok=True)


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")  # from NumPy 2.5 on
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "fix", "remainder", "fmod", "floor_divide"])
def test_whole_numbers_are_exact(name, dtype):
    """Quotients that round up to the next whole number too, and signs of both."""
    rng = np.random.default_rng(7)
    y = rng.choice([0.1, 0.3, 1.0, 2.0, -0.7, -3.0, 1e-3], 6_000).astype(dtype)
    multiples = rng.integers(-50, 50, 3_000).astype(dtype) * y[:3_000]
    beside = np.nextafter(multiples, dtype(INF) * rng.choice([-1, 1], 3_000).astype(dtype))
    x = np.concatenate([multiples, beside]).astype(dtype)
    points = np.stack([x, y])
    function = getattr(np, name)
    of_two = name in ("remainder", "fmod", "floor_divide")
    f = (lambda x: function(x[0], x[1])) if of_two else lambda x: function(x[0])
    found = reference.evaluated(canonical(trace(f, dimension=2)), "value", points, {}, {})[0]
    assert np.array_equal(found, f(points))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_of_whole_numbers(dtype):
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, 0.5, -0.5, 1.5, -1e-30, INF, -INF, NAN, info.max, 2**22 + 0.5, 2**51 + 0.5], dtype)
    for function in (np.floor, np.ceil, np.trunc, np.rint):
        found = values(function, x)
        assert np.array_equal(found, function(x), equal_nan=True)
    with np.errstate(all="ignore"):
        program = canonical(trace(lambda x: np.mod(x[0], x[1]), dimension=2))
        pairs = np.array([(-1e-30, 1), (1, 0), (INF, 1), (NAN, 1), (1, NAN), (3e9, 1e-9), (7, -2)], dtype).T
        found = reference.evaluated(program, "value", pairs, {}, {})[0]
    assert found[0] == 1.0  # as NumPy's: 1 less what is too small for it
    assert np.isnan(found[1:5]).all()
    assert np.isnan(found[5])  # a quotient of 3e18 is not known to the last whole number
    assert found[6] == -1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_of_angles(dtype):
    special = np.array([0.0, -0.0, 1.0, -1.0, 1e-30, -3.0, NAN, 1e30, -1e30], dtype)
    pairs = np.array([(a, b) for a in special for b in special], dtype).T
    program = canonical(trace(lambda x: np.arctan2(x[0], x[1]), dimension=2))
    with np.errstate(all="ignore"):
        found = reference.evaluated(program, "value", pairs, {}, {})[0]
        exact = np.arctan2(*pairs)
    plain = (pairs[0] != 0) | (pairs[1] > 0) | np.isnan(pairs).any(axis=0)  # else the sign of a zero tells
    tiny = float(np.finfo(dtype).smallest_normal)
    assert found[plain] == pytest.approx(exact[plain], rel=4 * float(np.finfo(dtype).eps), abs=tiny, nan_ok=True)
    assert found[~plain].tolist() == np.where(pairs[1] < 0, dtype(np.pi), dtype(0))[~plain].tolist()
    x = np.array([0.0, -0.0, 1.0, -1.0, 1.5, -2.0, NAN, 1e-30], dtype)
    for function in (np.arcsin, np.arccos, np.arctan):
        with np.errstate(all="ignore"):
            assert values(function, x) == pytest.approx(function(x), rel=4 * float(np.finfo(dtype).eps), nan_ok=True)


def test_rounding_to_decimals_is_that_of_numpy():
    x = np.array([0.125, -2.675, 1234.5, 15.0, -25.0])
    for decimals in (0, 1, 2, -1):
        assert np.array_equal(values(lambda x, n=decimals: np.round(x, n), x), np.round(x, decimals))
    program = trace(lambda x: round(x[0], 1) + round(x[0]) + math.floor(x[0]) + math.ceil(x[0]), dimension=1)
    assert evaluate(program, [1.26])["value"] == 1.3 + 1 + 1 + 2
    assert evaluate(trace(lambda x: math.trunc(x[0]) + x.round()[0], dimension=1), [-1.7])["value"] == -3.0
    parts = [evaluate(trace(lambda x, k=k: np.modf(x[0])[k], dimension=1), [-1.75])["value"] for k in (0, 1)]
    assert parts == [*np.modf(-1.75)]
    quotient, rest = (evaluate(trace(lambda x, k=k: divmod(x[0], 0.3)[k], dimension=1), [1.0])["value"] for k in (0, 1))
    assert (quotient, rest) == divmod(1.0, 0.3)


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 1e-7), (np.float64, 2e-16)])
def test_probabilities_are_exact_to_rounding(dtype, most):
    special = pytest.importorskip("scipy.special")
    x = np.random.default_rng(8).uniform(-8, 8, 3_000).astype(dtype)
    for f in (special.ndtr, lambda x: 0.5 * special.erfc(x)):
        assert np.max(np.abs(values(f, x) - f(x.astype(np.float64)))) < most


# --- derivatives at kinks, and where parts are infinite ---------------------------------------------------------------


@pytest.mark.parametrize(("f", "x", "slope"), [
    (lambda x: np.sinc(x[0]), [0.0, 1e-9, 1.0], [0.0, -1e-9 * np.pi**2 / 3, -1.0]),
    (lambda x: np.heaviside(x[0], 0.5), [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]),
    (lambda x: np.heaviside(0.0, x[0]), [2.0], [1.0]),
    (lambda x: np.cbrt(x[0]), [-8.0, 1.0, 27.0], [1 / 12, 1 / 3, 1 / 27]),
    (lambda x: np.arcsinh(x[0]), [0.0, 1e200, -1.0], [1.0, 0.0, 0.5**0.5]),
    (lambda x: np.arctanh(x[0]), [0.0, -0.5], [1.0, 4 / 3]),
    (lambda x: np.arccosh(x[0]), [2.0], [3**-0.5]),
    (lambda x: np.median(x), [3.0], [1.0]),
    (lambda x: np.floor(x[0]) + np.rint(x[0]), [0.0, 0.5, 1.2], [0.0, 0.0, 0.0]),
    (lambda x: np.mod(x[0], 2.0), [-0.5, 0.0, 5.0], [1.0, 1.0, 1.0]),
    (lambda x: np.mod(7.0, x[0]), [2.0, -3.0], [-3.0, 3.0]),
    (lambda x: np.arctan(x[0]), [0.0, -1.0, 1e200], [1.0, 0.5, 0.0]),
    (lambda x: np.arcsin(x[0]) - np.arccos(x[0]), [0.0, 1 - 2.0**-50], [2.0, 2 / (2.0**-50 * (2 - 2.0**-50)) ** 0.5]),
    (lambda x: np.arctan2(x[0], 0.0), [0.0, 2.0], [0.0, 0.0]),
    (lambda x: np.arctan2(0.0, x[0]), [0.0, -2.0], [0.0, 0.0]),
    (lambda x: np.arctan2(x[0], -2.0), [0.0, 2.0], [-0.5, -0.25]),
    (lambda x: np.isfinite(x[0]) + 0.0, [3.0], [0.0]),
    (lambda x: np.logaddexp.reduce(x), [800.0], [1.0]),
])  # fmt: skip
def test_derivatives_at_kinks(f, x, slope):
    program = canonical(differentiated(trace(f, dimension=1)))
    with np.errstate(all="ignore"):
        assert evaluate(program, np.array([x]))["gradient"][0] == pytest.approx(slope, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize(("call", "x", "slope"), [
    ("expit(x)", [0.0, -800.0, 800.0, -40.0], [0.25, 0.0, 0.0, np.exp(-40)]),
    ("log_expit(x)", [0.0, -800.0, 800.0], [0.5, 1.0, 0.0]),
    ("huber(1.0, x)", [0.0, 1.0, -1.0, 5.0], [0.0, 1.0, -1.0, 1.0]),
    ("pseudo_huber(2.0, x)", [0.0, 1e-12], [0.0, 1e-12]),
    ("xlogy(x, 3.0)", [0.0, 2.0], [np.log(3)] * 2),
    ("xlogy(x, 0.0)", [0.0], [0.0]),
    ("erf(x)", [0.0, 2.0, 30.0], [2 / np.pi**0.5, 2 / np.pi**0.5 * np.exp(-4), 0.0]),
    ("erfc(x)", [-1.0], [-2 / np.pi**0.5 * np.exp(-1)]),
    ("ndtr(x)", [0.0, -1.0], [(2 * np.pi) ** -0.5, (2 * np.pi) ** -0.5 * np.exp(-0.5)]),
])  # fmt: skip
def test_derivatives_of_scipy_at_kinks(call, x, slope):
    special = pytest.importorskip("scipy.special")
    program = canonical(differentiated(trace(eval(f"lambda x: s.{call}", {"s": special}), dimension=1)))
    with np.errstate(all="ignore"):
        found = evaluate(program, np.array([x]))
        assert found["gradient"][0] == pytest.approx(slope, rel=1e-14, abs=1e-300)
        assert found["value"] == pytest.approx(eval(f"s.{call}", {"s": special, "x": np.array(x)}), rel=1e-14)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("f", "match"), [
    (lambda x: np.fmax(x, 0), r"^np\.fmax \(use np\.maximum"),
    (lambda x: x[np.argmax(x)], r"^np\.argmax \(places are no numbers .* np\.max"),
    (lambda x: np.interp(x, [0, 1], [2, 3]), r"^np\.interp \(use np\.where or np\.select"),
    (lambda x: np.einsum("i,i->", x, x), r"^np\.einsum \(use @"),
    (lambda x: np.linalg.det(x[:4].reshape(2, 2)), r"^np\.linalg\.det of a matrix \(write it out"),
    (lambda x: np.spacing(x), r"^np\.spacing \(docs/own_problems\.md lists what can be"),
    (lambda x: np.subtract.reduce(x), r"^np\.subtract\.reduce \("),
    (lambda x: np.add.reduce(x, initial=1.0), r"^np\.add\.reduce with initial"),
    (lambda x: np.sort(x, axis=1), r"^np\.sort over axis 1"),
    (lambda x: np.diff(x, n=9), r"^np\.diff of 5 numbers with n=9"),
    (lambda x: x.argmin(), r"^Attribute 'argmin' \(places"),
    (lambda x: x.astype(int), r"^Conversion to int64"),
    (lambda x: np.asarray(x), r"np\.logaddexp\.reduce\(x\) is scipy\.special\.logsumexp"),
])  # fmt: skip
def test_what_is_refused_says_what_to_write(f, match):
    with pytest.raises(TypeError, match=match):
        trace(f, dimension=5)


def test_what_is_refused_of_scipy_is_named():
    special = pytest.importorskip("scipy.special")
    with pytest.raises(TypeError, match=r"^scipy\.special\.gammaln \(give log-gamma as constants"):
        trace(lambda x: np.sum(special.gammaln(x)), dimension=2)


def test_every_ufunc_is_traced_or_refused_by_its_name():
    """None ends in another error, or in numbers that are none of a program."""

    def f(x, ufunc):
        found = ufunc(*[1 + x] * ufunc.nin)
        return np.sum((found[0] if ufunc.nout > 1 else found) * 1.0)

    for name in dir(np):
        ufunc = getattr(np, name)
        if not isinstance(ufunc, np.ufunc):
            continue
        try:
            trace(lambda x, ufunc=ufunc: f(x, ufunc), dimension=3)
        except TypeError as error:
            message = str(error)
        else:
            continue
        assert message.startswith((f"np.{ufunc.__name__} (", "A power whose base"))
