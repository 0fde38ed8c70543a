"""Functions of any argument: the reference's bits on every instruction set, accuracy, what happens at the edges."""

from pathlib import Path

import numpy as np
import pytest

from anneal_sgd._core import testing
from anneal_sgd.reference import functions

PAGE = Path(__file__).parent.parent / "docs" / "stream.md"
NAMES = [function.name for function in testing.Function]
OF_TWO = ("maximum", "minimum")
EXPONENTS = (0.3, -0.3, 1 / 3, 2.7, -5.5, 17.3, 100.1, -250.0, 1e4, 0.9999, 1e-3)
EXTENDED = np.finfo(np.longdouble).nmant >= 63  # long double is wider than float64 on x86, the same on some others
INF, NAN = np.inf, np.nan

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def core(isa, name, x, second=0.0):
    return testing.function(isa, testing.Function[name], x, np.atleast_1d(np.asarray(second, x.dtype)))


def expected(name, x, second=0.0):
    function = getattr(functions, name)
    return function(x, second) if name in (*OF_TWO, "real_power") else function(x)


def assert_same_bits(actual, desired):
    """To the sign of a zero; a NaN is one whatever its bits are."""
    assert actual.dtype == desired.dtype
    np.testing.assert_array_equal(actual, desired)
    number = ~np.isnan(desired)
    np.testing.assert_array_equal(np.signbit(actual[number]), np.signbit(desired[number]))


def edges(dtype):
    """Special values of either sign, powers of two, and neighbours of where a formula changes."""
    info = np.finfo(dtype)
    powers = np.exp2(np.arange(info.minexp - info.nmant, info.maxexp, 7))
    special = [0, NAN, INF, info.smallest_subnormal, info.smallest_normal, info.max, np.sqrt(0.5), np.sqrt(2), 20, 4, 6]
    turning = [bound * np.log(2) for bound in (info.maxexp, -info.minexp)] + [2.0**18, 2.0**40]
    x = np.concatenate([powers, special, turning]).astype(dtype)
    with np.errstate(over="ignore"):  # the largest number's neighbour is inf
        x = np.concatenate([x, np.nextafter(x, dtype(0)), np.nextafter(x, dtype(INF))])
    return np.concatenate([x, -x])


def magnitudes(dtype, rng, n):
    """Positive numbers of every magnitude, subnormal ones included."""
    info = np.finfo(dtype)
    x = np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, n)).astype(dtype)
    return x[np.isfinite(x) & (x > 0)]


def largest_angle(dtype):
    return 2.0**18 if dtype == np.float32 else 2.0**40


def arguments(name, dtype, rng, n):
    """Where the function is neither constant nor NaN."""
    info = np.finfo(dtype)
    if name == "exponential":
        parts = [rng.uniform(info.minexp * np.log(2), info.maxexp * np.log(2), n), rng.uniform(-2, 2, n)]
    elif name == "logarithm":
        parts = [magnitudes(dtype, rng, n), rng.uniform(0.4, 2.5, n), 1 + rng.uniform(-1, 1, n) * 2.0**-8]
    elif name in ("sine", "cosine"):
        largest = largest_angle(dtype)
        quarters = rng.integers(1, int(largest / 1.6), n).astype(np.longdouble) * (2 * np.arctan(np.longdouble(1)))
        parts = [rng.uniform(-largest, largest, n), rng.uniform(-7, 7, n), quarters, np.exp2(rng.uniform(-60, 0, n))]
    elif name == "hyperbolic_tangent":
        parts = [rng.uniform(-21, 21, n), rng.uniform(-1, 1, n), rng.uniform(0.17, 0.6, n), magnitudes(dtype, rng, n)]
    elif name == "rint":
        halves = rng.integers(0, 200, n) / 2
        parts = [halves, rng.uniform(-9, 9, n), np.exp2(rng.uniform(15, 60, n)), magnitudes(dtype, rng, n)]
    elif name == "arctangent":
        parts = [rng.uniform(-3, 3, n), rng.uniform(0.5, 2, n), magnitudes(dtype, rng, n), -magnitudes(dtype, rng, n)]
    elif name == "error_function":
        parts = [rng.uniform(-7, 7, n), rng.uniform(0.5, 1.5, n), rng.uniform(-1, 1, n), magnitudes(dtype, rng, n)]
    elif name == "real_power":
        parts = [magnitudes(dtype, rng, n), rng.uniform(0.4, 2.5, n)]
    else:
        parts = [rng.uniform(-2, 2, n), magnitudes(dtype, rng, n)]
    return np.concatenate([part.astype(dtype) for part in parts])


# --- bits -------------------------------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize("name", NAMES)
def test_bits_are_those_of_the_reference(isa, name, dtype):
    x = np.concatenate([edges(dtype), arguments(name, dtype, np.random.default_rng(1), 2000)])
    if name == "real_power":
        seconds = [*EXPONENTS, 0.0, 1.0, -1.0]
    elif name in OF_TWO:
        seconds = [np.roll(x, shift) for shift in (0, 1, 17, x.size // 2)] + [-x]
    else:
        seconds = [0.0]
    for second in seconds:
        assert_same_bits(core(isa, name, x, second), expected(name, x, second))


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_of_special_values(isa, name):
    special = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0])
    x, y = (a.ravel() for a in np.meshgrid(special, special))
    if name in OF_TWO:
        expected_numpy = {"maximum": np.maximum, "minimum": np.minimum}[name](x, y)
        np.testing.assert_array_equal(core(isa, name, x, y), expected_numpy)
        np.testing.assert_array_equal(np.signbit(core(isa, name, x, y)[expected_numpy == 0]), False)
    else:
        assert np.isnan(core(isa, name, np.array([NAN]), 0.7))


def test_page_has_the_constants_of_the_reference():
    section = PAGE.read_text(encoding="utf-8").split("\n## Functions\n")[1].split("\n## ")[0]
    found, name = {}, ""
    for word in section.split("\n\n    ")[-1].split():
        if word.startswith(("0x", "-0x")):
            found[name].append(float.fromhex(word))
        else:
            name = word
            found[name] = []
    assert found == functions.CONSTANTS


# --- accuracy ---------------------------------------------------------------------------------------------------------

LIMITS = {  # ulp
    "exponential": (1.1, 1.2),
    "logarithm": (2.4, 2.2),
    "sine": (1.7, 1.7),
    "cosine": (1.7, 1.7),
    "hyperbolic_tangent": (2.6, 2.7),
    "arctangent": (1.5, 1.6),
    "real_power": (1.1, 1.1),
}
EXACT = {
    "exponential": np.exp,
    "logarithm": np.log,
    "sine": np.sin,
    "cosine": np.cos,
    "hyperbolic_tangent": np.tanh,
    "arctangent": np.arctan,
}


def worst_error(value, exact):
    """In units of the last place of the exact values, which are in long double."""
    spacing = np.spacing(np.abs(exact).astype(value.dtype)).astype(np.longdouble)
    return float(np.max(np.abs(value.astype(np.longdouble) - exact) / spacing))


@pytest.mark.skipif(not EXTENDED, reason="long double is no wider than float64 here")
@both_dtypes
@pytest.mark.parametrize("name", EXACT)
def test_accuracy(isa, name, dtype):
    x = arguments(name, dtype, np.random.default_rng(2), 100_000)
    if name in ("sine", "cosine"):
        x = x[np.abs(x) <= largest_angle(dtype)]
    exact = EXACT[name](x.astype(np.longdouble))
    info = np.finfo(dtype)
    if name == "exponential":
        x, exact = x[exact >= info.smallest_normal], exact[exact >= info.smallest_normal]
        x, exact = x[exact <= info.max], exact[exact <= info.max]
    assert worst_error(core(isa, name, x), exact) <= LIMITS[name][dtype == np.float64]


@pytest.mark.skipif(not EXTENDED, reason="long double is no wider than float64 here")
@both_dtypes
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_accuracy_of_powers(isa, exponent, dtype):
    """Over all of the results, to the ends of the range."""
    info, rng = np.finfo(dtype), np.random.default_rng(3)
    span = min(1.0, 1 / abs(exponent)) * info.maxexp
    exponents = np.concatenate([rng.uniform(-span, span, 20_000), rng.uniform(-1, 1, 20_000) * min(1.0, span)])
    x = np.exp2(np.append(exponents, rng.uniform(0.9, 1, 5_000) * span)).astype(dtype)
    x = x[(x > 0) & (x < INF)]
    exact = np.power(x.astype(np.longdouble), np.longdouble(dtype(exponent)))
    inside = (exact < info.max) & (exact > 2.0 ** (info.minexp - info.nmant))
    assert np.count_nonzero(inside) > 40_000
    assert (
        worst_error(core(isa, "real_power", x, exponent)[inside], exact[inside])
        <= LIMITS["real_power"][dtype == np.float64]
    )


@both_dtypes
def test_accuracy_of_the_error_function(isa, dtype):
    """Against mpmath, in 30 digits."""
    mpmath = pytest.importorskip("mpmath")
    x = arguments("error_function", dtype, np.random.default_rng(2), 1_500)
    x = x[np.abs(x) > 4 * np.finfo(dtype).smallest_normal]
    with mpmath.workdps(30):
        exact = [mpmath.erf(mpmath.mpf(float(one))) for one in x]
        values = core(isa, "error_function", x)
        spacing = np.spacing(np.abs(values))
        errors = [
            abs(mpmath.mpf(float(v)) - e) / mpmath.mpf(float(s)) for v, e, s in zip(values, exact, spacing, strict=True)
        ]
    assert max(errors) < 1.2


@both_dtypes
def test_the_nearest_whole_number(isa, dtype):
    x = np.concatenate([edges(dtype), arguments("rint", dtype, np.random.default_rng(2), 20_000)])
    assert_same_bits(core(isa, "rint", x), np.rint(x))


@both_dtypes
@pytest.mark.parametrize(("name", "low", "high"), [
    ("exponential", -80, 80), ("logarithm", 1e-3, 50), ("hyperbolic_tangent", -12, 12), ("real_power", 1e-3, 50),
    ("sine", -1.5, 1.5), ("cosine", -3, -0.05), ("rint", -9, 9), ("arctangent", -9, 9), ("error_function", -7, 7),
])  # fmt: skip
def test_monotone(isa, name, low, high, dtype):
    values = core(isa, name, np.linspace(low, high, 5000).astype(dtype), 1.7)
    assert np.all(np.diff(values) >= 0)
    assert values[0] < values[-1]


# --- edges, by hand ---------------------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    ("name", "second", "pairs"),
    [
        ("exponential", 0, [(0, 1), (-0.0, 1), (INF, INF), (-INF, 0), (1e4, INF), (-1e4, 0)]),
        ("logarithm", 0, [(1, 0), (0, -INF), (-0.0, -INF), (-1, NAN), (-INF, NAN), (INF, INF)]),
        ("sine", 0, [(0, 0), (INF, NAN), (-INF, NAN), (2.0**41, NAN), (1e-30, 1e-30), (-1e-30, -1e-30)]),
        ("cosine", 0, [(0, 1), (1e-30, 1), (INF, NAN), (-INF, NAN), (-(2.0**41), NAN)]),
        ("hyperbolic_tangent", 0, [(0, 0), (1e-30, 1e-30), (INF, 1), (-INF, -1), (1e30, 1), (-50, -1)]),
        ("rint", 0, [(0.5, 0), (1.5, 2), (-2.5, -2), (0.49, 0), (INF, INF), (-INF, -INF), (2.0**60, 2.0**60)]),
        ("arctangent", 0, [(0, 0), (1e-30, 1e-30), (INF, np.pi / 2), (-INF, -np.pi / 2), (1e30, np.pi / 2)]),
        ("error_function", 0, [(0, 0), (INF, 1), (-INF, -1), (1e30, 1), (-7, -1)]),
        ("real_power", 0.5, [(0, 0), (-0.0, 0), (4, 2), (2.0**-140, 2.0**-70), (INF, INF), (-1, NAN), (-INF, NAN)]),
        ("real_power", -1.5, [(0, INF), (-0.0, INF), (4, 0.125), (1, 1), (INF, 0), (-1, NAN)]),
        ("real_power", 0.0, [(0, 1), (7, 1), (INF, 1), (-1, NAN)]),
        ("sign", 0, [(0, 0), (-0.0, 0), (3, 1), (-3, -1), (INF, 1), (-INF, -1), (1e-44, 1), (-1e-44, -1)]),
    ],
)
def test_edges(isa, name, second, pairs, dtype):
    x, value = np.array([*pairs, (NAN, NAN)], dtype).T
    np.testing.assert_array_equal(core(isa, name, np.ascontiguousarray(x), second), value)


@both_dtypes
def test_zeros_keep_or_lose_their_sign(isa, dtype):
    zeros = np.array([0.0, -0.0], dtype)
    for name in ("sine", "hyperbolic_tangent", "rint", "arctangent", "error_function"):
        np.testing.assert_array_equal(np.signbit(core(isa, name, zeros)), [False, True])
    for name, second in [("sign", 0), ("maximum", zeros), ("minimum", zeros)]:
        np.testing.assert_array_equal(np.signbit(core(isa, name, zeros, second)), False)


@both_dtypes
def test_overflow_and_underflow_begin_where_they_must(isa, dtype):
    info = np.finfo(dtype)
    for name, x in [("exponential", info.maxexp * np.log(2)), ("real_power", 2.0 ** (info.maxexp / 8))]:
        around = np.nextafter(dtype(x), dtype([0, INF]))
        np.testing.assert_array_equal(np.isinf(core(isa, name, around, 8.0)), [False, True])
    low = dtype(info.minexp * np.log(2))
    below, above = core(isa, "exponential", low * np.array([1 + 4 * info.eps, 1 - 4 * info.eps], dtype))
    assert below == 0
    assert info.smallest_normal <= above < info.smallest_normal * (1 + 2.0**-14)


@both_dtypes
def test_no_angle_is_silently_wrong(isa, dtype):
    largest = dtype(largest_angle(dtype))
    x = np.array([largest, -largest, np.nextafter(largest, dtype(INF)), -2 * largest, np.finfo(dtype).max], dtype)
    for name in ("sine", "cosine"):
        np.testing.assert_array_equal(np.isnan(core(isa, name, x)), [False, False, True, True, True])


def test_wrong_second_operand_is_refused(isa):
    x = np.ones(3)
    for name, second in [("maximum", np.ones(2)), ("real_power", np.ones(3)), ("sign", np.ones(1, np.float32))]:
        with pytest.raises(ValueError, match=r"^second: must have the dtype of x"):
            testing.function(isa, testing.Function[name], x, second)
