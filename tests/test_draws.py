"""Words, elementary functions and draws: known answers, accuracy, the same bits on every instruction set."""

import math
from pathlib import Path

import numpy as np
import pytest

from anneal_sgd import _core
from anneal_sgd._core import NoiseKind, Precision, testing

VECTORS = Path(__file__).parent / "vectors"
KINDS = {"rademacher": NoiseKind.rademacher, "uniform": NoiseKind.uniform, "gaussian": NoiseKind.gaussian}
PRECISIONS = {"float32": Precision.float32, "float64": Precision.float64}
LARGEST = {("gaussian", "float32"): 6.77, ("gaussian", "float64"): 8.58}


def draw(isa, dtype, noise, *, steps, replicates, first_step=0, first_replicate=0, seed=1, stream=0, coordinate=0):
    return testing.draws(
        isa,
        PRECISIONS[dtype],
        KINDS[noise],
        seed=seed,
        stream=stream,
        first_replicate=first_replicate,
        replicates=replicates,
        coordinate=coordinate,
        first_step=first_step,
        steps=steps,
    )


@pytest.mark.parametrize("steps", [12, 24, 64])
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_both_pipelines_make_the_draws(isa, dtype, steps, way):
    """As far as an instruction set has them, and a strip of 128 replicates takes them for so many steps."""
    replicates = 300
    values = draw(isa, dtype, "gaussian", steps=steps, replicates=replicates, seed=3)
    expected = draw("scalar", dtype, "gaussian", steps=steps, replicates=replicates, seed=3)
    np.testing.assert_array_equal(values, expected)


def known_answers():
    for line in (VECTORS / "philox4x32_10.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            numbers = [int(word, 16) for word in line.split()]
            yield numbers[:4], tuple(numbers[4:6]), numbers[6:]


@pytest.mark.parametrize(("counter", "key", "words"), list(known_answers()))
def test_philox_known_answers(isa, counter, key, words):
    assert testing.philox(isa, np.array([counter], np.uint32), key)[0].tolist() == words


def test_philox_agrees_everywhere(isa):
    counters = np.random.default_rng(5).integers(0, 2**32, (1000, 4), dtype=np.uint32)
    expected = testing.philox("scalar", counters, (3, 2**32 - 1))
    np.testing.assert_array_equal(testing.philox(isa, counters, (3, 2**32 - 1)), expected)


def ulp_error(value, exact, dtype):
    """Error in units of the last place of the exact value, for exact values in long double."""
    spacing = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    return float(np.max(np.abs(value.astype(np.longdouble) - exact) / spacing))


def radius_arguments(dtype):
    """Variates as a Gaussian draw makes them: all magnitudes, and closely around 1 and sqrt(1/2)."""
    smallest = -33 if dtype == np.float32 else -53
    u = np.exp2(np.random.default_rng(1).uniform(smallest, 0, 200_000))
    near = np.concatenate([1 - np.arange(1, 2000) * 2.0**-24, math.sqrt(0.5) * (1 + np.arange(-2000, 2000) * 2.0**-24)])
    return np.concatenate([u, near]).astype(dtype)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.5), (np.float64, 2.5)])
def test_minus_two_log_accuracy(isa, dtype, limit):
    u = radius_arguments(dtype)
    u = u[u < 1]
    assert ulp_error(testing.minus_two_log(isa, u), -2 * np.log(u.astype(np.longdouble)), dtype) <= limit
    assert testing.minus_two_log(isa, np.ones(1, dtype))[0] == 0


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.0), (np.float64, 2.0)])
def test_sincos_octant_accuracy(isa, dtype, limit):
    t = np.random.default_rng(2).uniform(-1, 1, 200_000).astype(dtype)
    t = np.concatenate([t, np.array([-1, 1, 2.0**-31], dtype)])
    angle = t.astype(np.longdouble) * (4 * np.arctan(np.longdouble(1)) / 4)
    sine, cosine = testing.sincos_octant(isa, t)
    assert ulp_error(sine, np.sin(angle), dtype) <= limit
    assert ulp_error(cosine, np.cos(angle), dtype) <= limit


def test_log2_and_exp2_accuracy(isa):
    x = np.exp2(np.random.default_rng(3).uniform(-1000, 1000, 100_000))
    exact = np.log2(x.astype(np.longdouble))
    assert ulp_error(testing.log2(isa, x), exact, np.float64) <= 3.1
    near = 1 + np.random.default_rng(4).uniform(-0.5, 1, 100_000)
    assert np.max(np.abs(testing.log2(isa, near) - np.log2(near.astype(np.longdouble)))) <= 2.0**-52
    y = np.concatenate([np.random.default_rng(5).uniform(-1020, 1020, 100_000), np.arange(-1020.0, 1021)])
    assert ulp_error(testing.exp2(isa, y), np.exp2(y.astype(np.longdouble)), np.float64) <= 1.0
    np.testing.assert_array_equal(testing.exp2(isa, np.array([0.0, 1, -1, 10])), [1, 2, 0.5, 1024])
    np.testing.assert_array_equal(testing.exp2(isa, np.array([-1022.0, -5000])), 0)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("noise", KINDS)
def test_draws_are_the_same_on_every_isa(isa, noise, dtype):
    shape = {"steps": 333, "replicates": 77, "first_step": 100, "first_replicate": 2**32 - 77, "coordinate": 9}
    expected = draw("scalar", dtype, noise, **shape)
    np.testing.assert_array_equal(draw(isa, dtype, noise, **shape), expected)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("noise", KINDS)
def test_a_draw_depends_on_its_position_alone(isa, noise, dtype):
    whole = draw(isa, dtype, noise, steps=300, replicates=70)
    for first_step, steps, first, n in [(0, 1, 0, 1), (1, 299, 3, 17), (127, 2, 69, 1), (129, 31, 16, 33)]:
        part = draw(isa, dtype, noise, steps=steps, replicates=n, first_step=first_step, first_replicate=first)
        np.testing.assert_array_equal(part, whole[first_step : first_step + steps, first : first + n])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("noise", KINDS)
def test_seed_stream_coordinate_and_replicate_each_matter(noise, dtype):
    base = draw("scalar", dtype, noise, steps=256, replicates=8)
    for change in (
        {"seed": 2},
        {"seed": 2**32 + 1},
        {"stream": 1},
        {"coordinate": 1},
        {"first_replicate": 8},
        {"first_step": 256},
    ):
        other = draw("scalar", dtype, noise, steps=256, replicates=8, **change)
        assert abs(np.mean(base * other)) < 5 / math.sqrt(base.size)


EXACT = {"rademacher": (0, 1, 0, 1), "uniform": (0, 1, 0, 1.8), "gaussian": (0, 1, 0, 3)}
# Variance of x, x^2, x^3, x^4: what the error of a moment over n draws is.
VARIANCE = {"rademacher": (1, 0, 1, 0), "uniform": (1, 0.8, 27 / 7, 81 / 9 - 1.8**2), "gaussian": (1, 2, 15, 96)}


def check_distribution(isa, dtype, noise, n):
    """Moments to order 4, Kolmogorov-Smirnov, tails beyond 4 sigma, lag and cross-stream correlation, |z| < 5 each."""
    special = pytest.importorskip("scipy.special")
    steps, replicates = 512, n // 512
    chunk = min(replicates, 8192)
    edges = np.linspace(-7, 7, 2**16 + 1)
    sums, counts, done = np.zeros(4), np.zeros(edges.size + 1, np.int64), 0
    lagged = dict.fromkeys((1, 2, 3, 4, 31, 32, 127, 128), 0.0)
    cross = {"stream": 0.0, "coordinate": 0.0, "seed": 0.0, "replicate": 0.0}
    largest = 0.0
    for first in range(0, replicates - chunk + 1, chunk):
        shape = {"steps": steps, "replicates": chunk, "first_replicate": first}
        z = draw(isa, dtype, noise, **shape).astype(np.float64)
        sums += [np.sum(z), np.sum(z**2), np.sum(z**3), np.sum(z**4)]
        counts += np.bincount(np.searchsorted(edges, z.ravel(), side="right"), minlength=counts.size)
        for lag in lagged:
            lagged[lag] += np.sum(z[:-lag] * z[lag:]) / math.sqrt((steps - lag) / steps)
        cross["replicate"] += np.sum(z[:, :-1] * z[:, 1:])
        for key, other in (("stream", {"stream": 1}), ("coordinate", {"coordinate": 1}), ("seed", {"seed": 2})):
            cross[key] += np.sum(z * draw(isa, dtype, noise, **shape, **other))
        largest = max(largest, float(np.max(np.abs(z))))
        done += z.size
    for total, exact, variance in zip(sums, EXACT[noise], VARIANCE[noise], strict=True):
        assert abs(total / done - exact) < 5 * math.sqrt(variance / done) + 1e-7
    for correlation in (*lagged.values(), *cross.values()):
        assert abs(correlation) < 5 * math.sqrt(done)
    if noise == "rademacher":
        assert largest == 1
        return
    if noise == "uniform":
        assert largest <= math.sqrt(3) * (1 + 1e-7)
        cdf = np.clip((edges / math.sqrt(3) + 1) / 2, 0, 1)
    else:
        assert largest <= LARGEST[noise, dtype]
        cdf = special.ndtr(edges)
        for threshold in (4.0, 4.5, 5.0):
            k = int(np.searchsorted(edges, threshold))
            probability = special.ndtr(-edges[k])
            seen = counts[k + 1 :].sum()
            assert abs(seen - done * probability) < 5 * math.sqrt(done * probability) + 1
            k = int(np.searchsorted(edges, -threshold))
            seen = counts[: k + 1].sum()
            assert abs(seen - done * special.ndtr(edges[k])) < 5 * math.sqrt(done * probability) + 1
    distance = np.max(np.abs(np.cumsum(counts)[:-1] / done - cdf))
    assert special.kolmogorov(distance * math.sqrt(done)) > 1e-6  # the distance on a grid is at most the true one


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("noise", KINDS)
def test_distribution(noise, dtype):
    check_distribution(_core.supported_isas()[-1], dtype, noise, 2_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("noise", KINDS)
def test_distribution_of_many_draws(noise, dtype):
    check_distribution(_core.supported_isas()[-1], dtype, noise, 100_000_000)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_gaussian_accuracy_against_the_exact_transform(isa, dtype):
    """The documented error: Box-Muller in long double from the same words."""
    z = draw(isa, dtype, "gaussian", steps=4, replicates=50_000)
    replicate = np.arange(50_000, dtype=np.uint32)
    zero = np.zeros_like(replicate)
    big = np.longdouble

    def signed(word):
        return word.astype(np.uint32).view(np.int32).astype(big)

    for call in range(1 if dtype == "float32" else 2):
        counters = np.stack([replicate, zero, zero + np.uint32(call), zero], axis=1)
        w = testing.philox("scalar", counters, (1, 0)).astype(np.uint64).T
        if dtype == "float32":
            pairs = [(w[k].astype(big) * big(2) ** -32, signed(w[k + 1]) * big(2) ** -31, w[k + 1]) for k in (0, 2)]
        else:
            a, b = (((w[k + 1] << np.uint64(32) | w[k]) >> np.uint64(12)).astype(big) * big(2) ** -52 for k in (0, 2))
            pairs = [(a, 2 * b - 1, w[2])]
        for p, (u, t, bits) in enumerate(pairs):
            radius = np.sqrt(-2 * np.log(u + big(2) ** (-33 if dtype == "float32" else -53)))
            angle = t * np.arctan(big(1))
            sine, cosine = np.sin(angle), np.where(bits & np.uint64(2), -1, 1) * np.cos(angle)
            swapped = (bits & np.uint64(1)).astype(bool)
            rounding_of_u = np.finfo(z.dtype).eps / np.maximum(radius, 1e-9)
            for j, exact in enumerate(
                (radius * np.where(swapped, sine, cosine), radius * np.where(swapped, cosine, sine))
            ):
                error = np.abs(z[2 * (call + p) + j].astype(big) - exact)
                assert np.all(error <= 4 * np.spacing(np.abs(exact).astype(z.dtype)).astype(big) + rounding_of_u)
