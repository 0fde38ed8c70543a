"""The NumPy reference by itself: known answers, exact rounding, accuracy, closed forms, how statistics merge."""

import functools
import importlib
import itertools
import math
import pkgutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd import reference
from anneal_sgd.reference import Problem, Schedule, fma, schedule_value, simulate

VECTORS = Path(__file__).parent / "vectors" / "philox4x32_10.txt"
PAGE = Path(__file__).parent.parent / "docs" / "stream.md"
DTYPES = ["float32", "float64"]
NOISES = ["rademacher", "uniform", "gaussian"]
EXTENDED = np.finfo(np.longdouble).nmant >= 63  # long double is wider than float64 on x86, the same on some others
needs_extended = pytest.mark.skipif(not EXTENDED, reason="long double is no wider than float64 here")


# --- words ------------------------------------------------------------------------------------------------------------


def test_philox_known_answers():
    lines = [line for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    numbers = np.array([[int(word, 16) for word in line.split()] for line in lines])
    assert numbers.shape == (3, 10)
    words = reference.philox4x32_10(numbers[:, :4], numbers[:, 4:6])
    assert words.dtype == np.uint32
    np.testing.assert_array_equal(words, numbers[:, 6:])


# --- a fused multiply-add ---------------------------------------------------------------------------------------------


def nearest(exact, dtype):
    """A rational number rounded to nearest even in dtype."""
    bits, lowest, largest = {"float32": (24, -149, 2**128), "float64": (53, -1074, 2**1024)}[dtype]
    if exact == 0:
        return 0.0
    exponent = abs(exact.numerator).bit_length() - exact.denominator.bit_length()
    exponent -= abs(exact) < Fraction(2) ** exponent
    quantum = Fraction(2) ** max(exponent - bits + 1, lowest)
    rounded = round(exact / quantum) * quantum  # round() of a Fraction goes to even
    return math.copysign(float(rounded) if abs(rounded) < largest else math.inf, 1 if exact > 0 else -1)


def assert_fma_is_exact(a, b, c, dtype):
    a, b, c = (np.asarray(x, dtype) for x in (a, b, c))
    actual = fma(a, b, c)
    assert actual.dtype == dtype
    rows = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    expected = np.array([nearest(Fraction(x) * Fraction(y) + Fraction(z), dtype) for x, y, z in rows])
    np.testing.assert_array_equal(actual.astype(np.float64), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_of_random_numbers(dtype):
    rng, n = np.random.default_rng(1), 6000
    a, b, c = rng.standard_normal((3, n)).astype(dtype)
    assert_fma_is_exact(a, b, c, dtype)
    assert_fma_is_exact(a, b, c * np.exp2(rng.integers(-70, 70, n)), dtype)
    # Cancellation: c is the negated product, give or take a few units.
    units = rng.integers(-3, 4, n) * np.spacing(abs(a * b))
    assert_fma_is_exact(a, b, -(a * b) + units.astype(dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_of_ties(dtype):
    """Products one bit too long, so that half of them lie midway; c breaks the tie, leaves it or makes another."""
    rng, n = np.random.default_rng(2), 6000
    bits = {"float32": (12, 13), "float64": (26, 28)}[dtype]
    a, b = ((rng.integers(2 ** (k - 1), 2**k, n) | 1) * rng.choice([-1, 1], n) for k in bits)
    digits = np.finfo(dtype).nmant
    assert_fma_is_exact(a, b, np.zeros(n), dtype)
    assert_fma_is_exact(a, b, rng.choice([-1.0, 1.0], n) * np.exp2(rng.integers(-2 * digits, 3, n)), dtype)
    # The product is the small one: half a unit of c, just more, or just less.
    c = rng.choice([-1.0, 1.0], n) * (2.0**digits + rng.integers(0, 2**digits, n))
    half = rng.choice([-0.5, 0.5], n)
    assert_fma_is_exact(half, np.ones(n), c, dtype)
    nudged = 1.0 + rng.integers(-3, 4, n) * np.finfo(dtype).eps
    assert_fma_is_exact(half, nudged, c, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_of_subnormal_and_huge_numbers(dtype):
    rng, n = np.random.default_rng(3), 1500
    info = np.finfo(dtype)
    a, b, c = rng.standard_normal((3, n)).astype(dtype)
    for product, addend in itertools.product([info.minexp, info.minexp - info.nmant // 2, info.maxexp - 1], repeat=2):
        x = np.ldexp(a, rng.integers(product // 2 - 3, product // 2 + 4, n)).astype(dtype)
        y = np.ldexp(b, rng.integers(product // 2 - 3, product // 2 + 1, n)).astype(dtype)
        z = np.ldexp(c, rng.integers(addend - 3, addend - 1, n)).astype(dtype)
        assert_fma_is_exact(x, y, z, dtype)
    # The product overflows, the sum does not, or is infinite for another reason.
    assert fma(np.full(1, info.max, dtype), -2.0, np.inf) == np.inf
    big = np.full(3, info.max, dtype)
    assert_fma_is_exact(big, np.full(3, 2.0), -big * np.array([1.0, 0.5, 0.25], dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_of_infinities_nans_and_zeros(dtype):
    special = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], dtype)
    a, b, c = (x.ravel() for x in np.meshgrid(special, special, special))
    with np.errstate(invalid="ignore"):
        plain = a * b + c  # these products are exact
    actual = fma(a, b, c)
    np.testing.assert_array_equal(actual, plain)
    known = ~np.isnan(plain)
    np.testing.assert_array_equal(np.signbit(actual[known]), np.signbit(plain[known]))


def test_fma_wants_one_dtype():
    assert fma(2.0, 3.0, 4.0) == 10.0
    assert fma(np.float32(2), 3.0, np.ones((2, 1), np.float32)).shape == (2, 1)
    with pytest.raises(TypeError, match=r"^fma must be given one dtype, got \['float32', 'float64'\]$"):
        fma(np.float32(1), np.float64(1), 1.0)


# --- elementary functions ---------------------------------------------------------------------------------------------


def worst_ulp(actual, exact):
    return float(np.max(abs(actual.astype(np.longdouble) - exact) / np.spacing(abs(exact.astype(actual.dtype)))))


@needs_extended
@pytest.mark.parametrize(("dtype", "log", "sin", "cos"), [("float32", 2.4, 1.8, 1.9), ("float64", 2.1, 1.7, 1.2)])
def test_accuracy_of_the_gaussian_s_functions(dtype, log, sin, cos):
    rng, n = np.random.default_rng(4), 40_000
    digits = np.finfo(dtype).nmant + 1
    near_one = 1 - rng.integers(1, 2**12, n) * 2.0**-digits
    u = np.concatenate([rng.uniform(0, 1, n), near_one, np.exp2(-rng.uniform(0, digits, n))]).astype(dtype)
    u = u[u < 1]
    assert worst_ulp(reference.minus_two_log(u), -2 * np.log(u.astype(np.longdouble))) < log
    t = np.concatenate([rng.uniform(-1, 1, n), [-1.0, 1.0], 2.0 ** -np.arange(30.0)]).astype(dtype)
    angle = t.astype(np.longdouble) * (np.arctan(np.longdouble(1)))
    s, c = reference.sincos_octant(t)
    assert s.dtype == c.dtype == dtype
    assert worst_ulp(s, np.sin(angle)) < sin
    assert worst_ulp(c, np.cos(angle)) < cos


@needs_extended
def test_accuracy_of_the_schedules_functions():
    rng, n = np.random.default_rng(5), 40_000
    x = np.concatenate([rng.uniform(0.5, 2, n), np.exp2(rng.uniform(-60, 60, n)), 1 + 2.0 ** -np.arange(1.0, 52)])
    assert worst_ulp(reference.log2(x), np.log2(x.astype(np.longdouble))) < 3.1
    m = rng.uniform(math.sqrt(0.5), math.sqrt(2), n)
    assert worst_ulp(reference.log_mantissa(m), np.log(m.astype(np.longdouble))) < 2.1
    y = np.concatenate([rng.uniform(-1, 1, n), rng.uniform(-1021, 0, n), -(2.0 ** -np.arange(60.0))])
    assert worst_ulp(reference.exp2(y), np.exp2(y.astype(np.longdouble))) < 1.0


def test_elementary_functions_where_they_are_exact():
    powers = np.arange(-1021.0, 1023.0)
    np.testing.assert_array_equal(reference.log2(np.exp2(powers[1:])), powers[1:])
    np.testing.assert_array_equal(reference.exp2(powers), np.exp2(powers))
    np.testing.assert_array_equal(reference.exp2(np.array([-1021.6, -1e6, -np.inf])), 0.0)
    for dtype in DTYPES:
        assert reference.minus_two_log(np.ones(1, dtype)) == 0
        s, c = reference.sincos_octant(np.zeros(1, dtype))
        assert s == 0
        assert c == pytest.approx(1, abs=float(np.finfo(dtype).eps))


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("noise", "fourth", "largest"), [("rademacher", 1, 1), ("uniform", 1.8, 3**0.5), ("gaussian", 3, 8.58)]
)
def test_moments_of_draws(noise, fourth, largest, dtype):
    z = reference.draws(noise, seed=7, replicates=np.arange(500), first_step=0, steps=256, dtype=dtype)
    assert z.dtype == dtype
    assert z.shape == (256, 500)
    z = z.astype(np.float64)
    assert np.all(abs(z) <= np.asarray(largest, dtype))
    for power, moment in [(1, 0), (2, 1), (3, 0), (4, fourth)]:
        sample = z**power
        assert abs(sample.mean() - moment) <= 4.5 * sample.std() / math.sqrt(z.size)
    for a, b in [(z[:-1], z[1:]), (z[:-2], z[2:]), (z[:, :-1], z[:, 1:]), (z[:-1] ** 2 - 1, z[1:] ** 2 - 1)]:
        assert abs((a * b).mean()) <= 4.5 * (a * b).std() / math.sqrt(a.size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", NOISES)
def test_a_draw_depends_on_its_address_alone(noise, dtype):
    address = {"seed": 2**32 + 5, "stream": 3, "coordinate": 2, "dtype": dtype}
    z = reference.draws(noise, replicates=np.arange(20), first_step=0, steps=300, **address)
    part = reference.draws(noise, replicates=[11, 4, 19], first_step=125, steps=7, **address)
    np.testing.assert_array_equal(part, z[125:132, [11, 4, 19]])
    for change in ({"seed": 5}, {"stream": 4}, {"coordinate": 3}):
        other = reference.draws(noise, replicates=np.arange(20), first_step=0, steps=300, **address | change)
        assert np.mean(other == z) < 0.6


def test_draws_come_from_the_words_as_stated():
    def words(call):
        return [int(word) for word in reference.philox4x32_10([6, 4, call, 9], [3, 1])]

    address = {"seed": 2**32 + 3, "stream": 4, "replicates": [6], "coordinate": 9}
    bits = [word >> (31 - i) & 1 for word in words(1) for i in range(32)]
    signs = reference.draws("rademacher", first_step=128, steps=128, **address)
    assert signs[:, 0].tolist() == [1 - 2 * bit for bit in bits]
    w = words(5)
    flat = reference.draws("uniform", first_step=20, steps=4, **address)[:, 0]
    signed = [word - 2**32 * (word >> 31) for word in w]
    np.testing.assert_allclose(flat, math.sqrt(3) * np.array(signed) / 2**31, rtol=2e-7)
    flat = reference.draws("uniform", first_step=10, steps=2, dtype="float64", **address)[:, 0]
    wide = [w[0] + 2**32 * w[1], w[2] + 2**32 * w[3]]
    np.testing.assert_allclose(flat, math.sqrt(3) * (2 * np.array([x >> 12 for x in wide]) / 2**52 - 1), rtol=1e-15)

    def pair(u, t, b):
        r, s, c = math.sqrt(-2 * math.log(u)), math.sin(t * math.pi / 4), math.cos(t * math.pi / 4)
        c = -c if b & 2 else c
        return [r * s, r * c] if b & 1 else [r * c, r * s]

    single = reference.draws("gaussian", first_step=20, steps=4, **address)[:, 0]
    expected = [z for k in (0, 2) for z in pair((w[k] + 0.5) / 2**32, signed[k + 1] / 2**31, w[k + 1])]
    np.testing.assert_allclose(single, expected, rtol=2e-6)
    double = reference.draws("gaussian", first_step=10, steps=2, dtype="float64", **address)[:, 0]
    t = 2 * (wide[1] >> 12) / 2**52 - 1
    np.testing.assert_allclose(double, pair(((wide[0] >> 12) + 0.5) / 2**52, t, w[2]), rtol=1e-14)


@pytest.mark.parametrize("noise", ["none", "cauchy"])
def test_draws_of_no_such_noise(noise):
    with pytest.raises(ValueError, match=rf"^noise must be one of .*, got '{noise}'$"):
        reference.draws(noise, seed=0, replicates=[0], first_step=0, steps=1)


# --- schedules --------------------------------------------------------------------------------------------------------

WSD = {"kind": "warmup_stable_decay", "parameter": 0.25}
ANNEALED = [
    {"kind": "linear"},
    {"kind": "cosine"},
    {"kind": "one_minus_sqrt"},
    *({"kind": "polynomial", "parameter": p} for p in (0.5, 1.0, 1.3, 2.0, 2.5, 3.0, 8.0, 8.5)),
    *(WSD | {"cooldown": shape} for shape in ("linear", "cosine", "one_minus_sqrt")),
]
OTHERS = [
    {"kind": "constant"},
    {"kind": "inverse_power", "parameter": 0.5},
    {"kind": "exponential", "parameter": 0.01},
    {"kind": "step_decay", "parameter": 0.1, "table": [0.5, 0.75]},
]


def label(parameters):
    return "-".join(str(value) for value in parameters.values())


def values(horizon, *, kind, first=0, **parameters):
    t = np.arange(first, horizon + 1)
    return schedule_value(kind, t / horizon, (horizon - t) / horizon, horizon, **parameters)


@pytest.mark.parametrize("floor", [0.0, 0.125])
@pytest.mark.parametrize("schedule", ANNEALED + OTHERS, ids=label)
def test_schedules_at_the_corners(schedule, floor):
    h = values(1000, floor=floor, **schedule)
    assert h.dtype == np.float64
    assert h[0] == 1
    assert np.all(np.diff(h) <= 1e-15)
    assert np.all(h >= floor)
    if schedule in ANNEALED:
        assert h[-1] == floor
    np.testing.assert_allclose(h, floor + (1 - floor) * values(1000, **schedule), rtol=1e-15)


@pytest.mark.parametrize("schedule", ANNEALED + OTHERS, ids=label)
def test_warmup_is_a_ramp_before_the_same_shape(schedule):
    h, plain = values(1000, warmup_frac=0.2, floor=0.1, **schedule), values(800, floor=0.1, **schedule)
    np.testing.assert_allclose(h[:200], np.arange(200) / 200, rtol=1e-15)
    if schedule["kind"] in ("inverse_power", "step_decay", "warmup_stable_decay"):  # not a function of u' alone
        assert schedule["kind"] != "inverse_power" or h[200] == 1
    else:
        np.testing.assert_allclose(h[200:], plain, rtol=1e-12, atol=1e-15)


def test_schedules_equal_their_formulas():
    horizon = 997
    u = np.arange(horizon + 1) / horizon
    formulas = {
        ("linear", 0.0): 1 - u,
        ("cosine", 0.0): (1 + np.cos(np.pi * u)) / 2,
        ("one_minus_sqrt", 0.0): 1 - np.sqrt(u),
        ("inverse_power", 0.5): 1 / np.sqrt(1 + np.arange(horizon + 1)),
        ("inverse_power", 1.7): (1 + np.arange(horizon + 1)) ** -1.7,
        ("exponential", 1e-3): 1e-3**u,
        ("warmup_stable_decay", 0.0): np.ones_like(u),
        **{("polynomial", p): (1 - u) ** p for p in (0.0, 0.5, 1.0, 1.7, 2.0, 4.5, 8.0, 8.5, 9.0, 20.3)},
    }
    for (kind, parameter), expected in formulas.items():
        actual = values(horizon, kind=kind, parameter=parameter)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15, err_msg=f"{kind} {parameter}")


def test_warmup_stable_decay_cools_down_at_the_end():
    u = np.arange(1001) / 1000
    h = values(1000, warmup_frac=0.1, cooldown="cosine", **WSD)
    np.testing.assert_allclose(h[100:751], 1, rtol=0)
    np.testing.assert_allclose(h[750:], (1 + np.cos(np.pi * (u[750:] - 0.75) / 0.25)) / 2, atol=1e-13)


def test_step_decay_counts_milestones_of_the_whole_horizon():
    h = values(8, kind="step_decay", parameter=0.5, table=[0.25, 0.5, 0.5], warmup_frac=0.125)
    assert h.tolist() == [0, 1, 0.5, 0.5, 0.125, 0.125, 0.125, 0.125, 0.125]


def test_tabulated_interpolates():
    table = [1.0, 0.5, 0.75, 0.0]
    assert values(6, kind="tabulated", table=table).tolist() == [1.0, 0.75, 0.5, 0.625, 0.75, 0.375, 0.0]
    u = np.linspace(0, 1, 101)
    h = schedule_value("tabulated", u, 1 - u, 100, table=table, floor=0.5, warmup_frac=0.5)
    np.testing.assert_allclose(h, np.interp(u, [0, 1 / 3, 2 / 3, 1], table), atol=1e-15)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"^kind must name a schedule, got 'triangle'$"):
        schedule_value("triangle", 0.0, 1.0, 1)
    for change, message in [
        ({"kind": "cubic"}, "kind must be 'absolute_value', 'quadratic' or 'huber', got 'cubic'"),
        ({"noise": "cauchy"}, "noise must be one of .*, got 'cauchy'"),
        ({"projection": "simplex"}, "projection must be 'none', 'box' or 'ball', got 'simplex'"),
    ]:
        problem = Problem(**{"kind": "quadratic", "weight": 1.0, "x0": [1.0]} | change)
        with pytest.raises(ValueError, match=f"^{message}$"):
            run(problem, horizon=1)
    with pytest.raises(ValueError, match=r"^iterate must be .*, got 'best'$"):
        run(Problem("quadratic", weight=1.0, x0=[1.0]), horizon=1, iterate="best")


# --- trajectories -----------------------------------------------------------------------------------------------------


def run(problem, *, horizon, schedule=None, base_lr=0.1, replicates=(0,), seed=1, **options):
    schedule = schedule or Schedule("linear")
    return simulate(
        problem=problem,
        schedule=schedule,
        base_lr=base_lr,
        horizon=horizon,
        replicates=replicates,
        seed=seed,
        **options,
    )


PROBLEMS = {
    "absolute_value": Problem("absolute_value", weight=[1.0, 0.5, 0.25], x0=[1.0, -2.0, 0.3]),
    "quadratic": Problem("quadratic", weight=[1.0, 0.5, 3.0], x0=[1.0, -2.0, 0.3]),
    "huber": Problem("huber", weight=[1.0, 0.5, 0.25], x0=[1.0, -2.0, 0.3], shape_parameter=0.7),
    "box": Problem("quadratic", weight=2.0, x0=[2.0, -2.0], projection="box", lower=0.5, upper=[1.0, 1.5], minimum=0.5),
    "ball": Problem("absolute_value", weight=[1.0, 3.0], x0=[3.0, -4.0], projection="ball", radius=2.0),
}


def loop(problem, lr, noise):
    """Every iterate in float64 with the plain operators, x0 included: shape (steps + 1, dimension)."""
    x = np.array(problem.x0, float)
    w, width = np.broadcast_to(problem.weight, x.shape), problem.shape_parameter
    points = [x]
    for t, rate in enumerate(lr):
        g = {"absolute_value": w * np.sign(x), "quadratic": w * x, "huber": w * np.clip(x / width, -1, 1)}[problem.kind]
        x = x - rate * (g + np.asarray(problem.noise_std) * noise[t])
        if problem.projection == "box":
            x = np.clip(x, problem.lower, problem.upper)
        elif problem.projection == "ball":
            x = x * min(1.0, problem.radius / np.linalg.norm(x))
        points.append(x)
    return np.array(points)


def value(problem, x):
    size, width = abs(x), problem.shape_parameter
    huber = np.where(size < width, size**2 / (2 * width), size - width / 2)
    f = {"absolute_value": size, "quadratic": x**2 / 2, "huber": huber}[problem.kind]
    return np.sum(f * np.asarray(problem.weight), axis=-1) - problem.minimum


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_noise_free_trajectories_equal_a_loop(problem, dtype):
    horizon = 50
    t = np.arange(horizon)
    points = loop(problem, 0.3 * values(horizon, kind="cosine")[:-1], np.zeros(horizon))
    f = run(
        problem, horizon=horizon, schedule=Schedule("cosine"), base_lr=0.3, record_at=[0, *(t + 1)], dtype=dtype, seed=0
    )
    assert f.dtype == dtype
    assert f.shape == (horizon + 1, 1)
    np.testing.assert_allclose(f[:, 0], value(problem, points), rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("iterate", ["last", "average", "tail_average"])
@pytest.mark.parametrize("noise", NOISES)
def test_noisy_trajectories_equal_a_loop(noise, iterate):
    horizon, replicates, std = 300, [0, 5, 1000], np.array([0.5, 2.0])
    problem = Problem("quadratic", weight=[1.0, 0.3], x0=[1.0, -1.0], noise=noise, noise_std=std)
    records = [0, 1, 2, 127, 128, 129, 255, 256, 257, 300]
    f = run(
        problem,
        horizon=horizon,
        replicates=replicates,
        record_at=records,
        iterate=iterate,
        tail_frac=0.3,
        dtype="float64",
    )
    address = {"seed": 1, "first_step": 0, "steps": horizon, "dtype": "float64", "replicates": replicates}
    xi = np.stack([reference.draws(noise, coordinate=i, **address) for i in range(2)], axis=-1)
    for r in range(len(replicates)):
        points = loop(problem, 0.1 * values(horizon, kind="linear")[:-1], xi[:, r])
        length = {"last": lambda k: 1, "average": lambda k: k, "tail_average": lambda k: math.ceil(0.3 * k)}[iterate]
        expected = [value(problem, points[k + 1 - max(1, length(k)) : k + 1].mean(axis=0)) for k in records]
        np.testing.assert_allclose(f[:, r], expected, rtol=1e-11)


def test_float32_stays_close_to_float64_for_the_same_signs():
    problem = Problem("quadratic", weight=0.25, x0=[1.0] * 3, noise="rademacher", noise_std=0.5)
    for iterate in ("last", "average", "tail_average"):
        single, double = (
            run(problem, horizon=200, replicates=range(8), record_at=[1, 150, 200], iterate=iterate, dtype=dtype)
            for dtype in DTYPES
        )
        np.testing.assert_allclose(single, double, atol=2e-5)


def test_a_replicate_depends_on_its_number_alone():
    problem = Problem("huber", weight=[1.0, 0.2], x0=[1.0, 2.0], noise="gaussian", noise_std=0.5)
    f = run(problem, horizon=20, replicates=range(12), record_at=[7, 20])
    part = run(problem, horizon=20, replicates=[9, 2], record_at=[20])
    np.testing.assert_array_equal(part[0], f[1, [9, 2]])
    assert not np.any(f == run(problem, horizon=20, replicates=range(12), record_at=[7, 20], stream=1))


def test_coordinates_are_added_in_thirty_two_accumulators():
    x0 = np.zeros(34)
    x0[[0, 1, 32, 33]] = 2.0**24, 1, 1, 1  # 1 is lost beside 2^24 (accumulator 0), 1 + 1 (accumulator 1) is not
    for kind in ("absolute_value", "quadratic"):
        f = run(Problem(kind, weight=1.0, x0=x0 if kind == "absolute_value" else np.sqrt(x0)), horizon=0)
        assert f.item() == (2.0**24 + 2) / (1 if kind == "absolute_value" else 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("noise", NOISES)
def test_quadratic_moments_are_the_exact_ones(noise, dtype):
    horizon, replicates, records = 60, 400, [1, 10, 60]
    curvature, std = np.array([0.5, 2.0]), np.array([1.0, 0.3])
    problem = Problem("quadratic", weight=curvature, x0=[1.0, 2.0], noise=noise, noise_std=std)
    f = run(problem, horizon=horizon, base_lr=0.4, replicates=range(replicates), record_at=records, dtype=dtype)
    mean, variance = np.array([1.0, 2.0]), np.zeros(2)
    expected = []
    for t, lr in enumerate(0.4 * values(horizon, kind="linear")[:-1]):
        mean, variance = (1 - lr * curvature) * mean, (1 - lr * curvature) ** 2 * variance + (lr * std) ** 2
        if t + 1 in records:
            expected.append(np.sum(curvature * (mean**2 + variance)) / 2)
    z = (f.mean(axis=1) - expected) / (f.std(axis=1) / math.sqrt(replicates))
    assert np.all(abs(z) < 5)


def test_a_diverging_trajectory_becomes_infinite_or_nan():
    problem = Problem("quadratic", weight=1.0, x0=[1.0])
    f = run(problem, horizon=400, schedule=Schedule("constant"), base_lr=20.0, record_at=[10, 400])
    assert np.isfinite(f[0, 0])
    assert not np.isfinite(f[1, 0])


# --- statistics -------------------------------------------------------------------------------------------------------

FIELDS = ("count", "diverged", "mean", "m2", "minimum", "maximum")


def assert_same(a, b):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def sample(n, seed=6):
    return np.random.default_rng(seed).standard_exponential((2, n))


def test_moments_of_a_block_by_hand():
    v = sample(700)[0]
    v[[3, 500, 501]] = np.inf, np.nan, -np.inf
    block = reference.block_moments(v, 5 * 1024 + 200)

    def fold(s):
        for w in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
            for i in range(w):
                s[i] += s[i + w]
        return s[0]

    slots = {200 + i: x for i, x in enumerate(v.tolist()) if math.isfinite(x)}
    mean = fold([slots.get(i, 0.0) for i in range(1024)]) / len(slots)
    m2 = fold([(slots[i] - mean) * (slots[i] - mean) if i in slots else 0.0 for i in range(1024)])
    expected = (697, 3, mean, m2, min(slots.values()), max(slots.values()))
    assert tuple(getattr(block, name).item() for name in FIELDS) == expected


def test_a_block_is_one_block():
    with pytest.raises(ValueError, match=r"^values must lie in one block, got 3 from replicate 1022$"):
        reference.block_moments(np.ones(3), 1022)


@pytest.mark.parametrize("first", [0, 1, 1023, 1024, 3000])
@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 1025, 5000, 9000])
def test_moments_are_right(first, n):
    v = sample(n)
    m = reference.moments(v, first)
    assert m.count.tolist() == [n, n]
    np.testing.assert_allclose(m.mean, v.mean(axis=1), rtol=1e-14)
    np.testing.assert_allclose(m.m2, v.var(axis=1) * n, rtol=1e-13)
    np.testing.assert_array_equal(m.minimum, v.min(axis=1))
    np.testing.assert_array_equal(m.maximum, v.max(axis=1))


def test_nodes_are_maximal_and_aligned():
    for first, stop in [
        (0, 0),
        (0, 1),
        (5, 9),
        (0, 7 * 1024),
        (1024, 6 * 1024),
        (1023, 12 * 1024 + 1),
        (2048, 16 * 1024),
    ]:
        nodes = reference.nodes(first, stop)
        assert [x for node in nodes for x in range(*node)] == list(range(first, stop))
        whole = [(a, b - a) for a, b in nodes if a % 1024 == b % 1024 == 0]
        for start, size in whole:
            assert size & (size - 1) == 0
            assert start % size == 0
        for (a, size), (b, other) in itertools.pairwise(whole):
            assert size != other or a % (2 * size) != 0 or b != a + size
    assert reference.nodes(0, 7 * 1024) == [(0, 4096), (4096, 6144), (6144, 7168)]


def combine(parts):
    """Merge siblings of the dyadic tree until none is left, then from left to right."""
    parts = dict(sorted(parts.items()))
    while True:
        for (a, b), (c, d) in itertools.pairwise(parts):
            if b == c and b - a == d - c >= 1024 and a % (2 * (b - a)) == 0:
                parts[a, d] = reference.merge(parts.pop((a, b)), parts.pop((c, d)))
                parts = dict(sorted(parts.items()))
                break
        else:
            return functools.reduce(reference.merge, parts.values())


@pytest.mark.parametrize("stop", [8 * 1024, 11 * 1024, 11 * 1024 + 37])
@pytest.mark.parametrize("first", [0, 1024, 3 * 1024, 500])
def test_any_split_on_block_boundaries_gives_the_same_bits(first, stop):
    v = sample(stop - first)
    v[:, ::97] = np.nan
    once = reference.moments(v, first)
    for cut in range(-(-first // 1024) * 1024, stop, 1024):
        ranges = reference.nodes(first, cut) + reference.nodes(cut, stop)
        parts = {(a, b): reference.moments(v[:, a - first : b - first], a) for a, b in ranges}
        assert_same(combine(parts), once)


def test_diverged_values_are_counted_and_left_out():
    v = sample(4000)
    finite = reference.moments(v, 0)
    v[1, :1024] = np.inf  # a whole block
    v[1, 2000] = np.nan
    m = reference.moments(v, 0)
    assert m.diverged.tolist() == [0, 1025]
    assert m.count.tolist() == [4000, 2975]
    assert m.mean[0] == finite.mean[0]
    rest = v[1][np.isfinite(v[1])]
    np.testing.assert_allclose([m.mean[1], m.m2[1]], [rest.mean(), rest.var() * len(rest)], rtol=1e-13)
    none = reference.moments(np.full(3000, np.nan), 0)
    assert (none.count.item(), none.diverged.item(), none.mean.item(), none.m2.item()) == (0, 3000, 0.0, 0.0)
    one = reference.block_moments(np.array([2.0, 3.0]), 5000)
    assert_same(reference.merge(none, one), reference.merge(one, none))
    assert reference.merge(none, one).mean == one.mean


def test_replicates_of_float32_are_summed_in_float64():
    v = np.full(1024, 0.1, np.float32)
    assert reference.moments(v, 0).mean == np.float64(np.float32(0.1))
    assert reference.moments(np.zeros((3, 0)), 0).count.tolist() == [0, 0, 0]


def test_every_section_of_the_page_has_a_module():
    sections = {line[3:].split(":")[0] for line in PAGE.read_text().splitlines() if line.startswith("## ")}
    modules = (
        importlib.import_module(m.name) for m in pkgutil.iter_modules(reference.__path__, "anneal_sgd.reference.")
    )
    named = {(module.__doc__ or "").split(", of docs/stream.md")[0] for module in modules}
    assert sections <= named
    assert len(named - sections) == 1, "the notation"
