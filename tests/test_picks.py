"""What a few runs per learning rate pick: against enumeration of all draws, and against runs of one's own."""

import itertools
import math

import numpy as np
import pytest

from anneal_sgd import problems, schedules, simulate
from anneal_sgd.experiments import _picks, grid

# Three learning rates, four replicates, equal values between learning rates among them.
SAMPLES = np.array([[1.0, 5.0, 2.0, 6.0], [2.0, 2.0, 4.0, 3.0], [9.0, 1.0, 1.5, 3.5]])


def excess(samples, runs, steps, values=192, seed=0):
    return _picks._excess(samples, runs, np.array(steps), values, np.random.default_rng(seed))


def enumerated(samples, runs, step):
    """Worst and mean over offsets of the expected excess of the pick, over all ways to draw ``runs`` of each rate."""
    score = samples.mean(axis=1)
    of_offsets = []
    for offset in range(step):
        rates = range(offset, len(samples), step)
        subsets = [[np.mean(c) for c in itertools.combinations(samples[k], runs)] for k in rates]
        picked = [score[rates[int(np.argmin(draw))]] for draw in itertools.product(*subsets)]
        of_offsets.append(np.mean(picked) / score.min() - 1)
    return max(of_offsets), np.mean(of_offsets)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_one_run_against_all_draws(step):
    np.testing.assert_allclose(excess(SAMPLES, 1, [step])[:, 0], enumerated(SAMPLES, 1, step), rtol=1e-14)


def test_one_run_worked_out_by_hand():
    """Of (1, 4, 8) the 1 always wins, the 4 wins against the 4 of (2, 3, 4), being of the smaller rate, the 8 never."""
    first = (1 + 1 / 3) / 3
    expected = (first * 13 / 3 + (1 - first) * 3) / 3 - 1
    assert excess(np.array([[1.0, 4.0, 8.0], [2.0, 3.0, 4.0]]), 1, [1])[1, 0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("step", [1, 2])
def test_two_runs_against_all_draws(step):
    """The drawn pairs are near to equally often each of the six."""
    found = excess(SAMPLES, 2, [step], values=20_000)[:, 0]
    assert found == pytest.approx(enumerated(SAMPLES, 2, step), abs=0.01)


def test_all_runs_are_the_best_point_of_the_means():
    samples = np.random.default_rng(1).exponential(np.geomspace(3, 1, 23)[:, None], (23, 12))
    steps = np.array([1, 2, 7, 23])
    found = excess(samples, 12, steps)
    np.testing.assert_allclose(found, np.concatenate(grid._excess(samples.mean(axis=1)[None], steps)), atol=1e-14)


def test_many_values_are_taken_in_blocks():
    """The first of three learning rates is best of 700 replicates, but for one that loses against the second."""
    samples = np.repeat([[1.0], [2.0], [3.0]], 700, axis=1)
    samples[0, 300] = 2.5
    score = samples[0].mean()
    assert excess(samples, 1, [1])[1, 0] == pytest.approx((2.0 / score - 1) / 700, rel=1e-9)


def test_most_values():
    samples = np.random.default_rng(4).exponential(size=(2, 10_000))
    assert _picks._means(samples, 1, 48, np.random.default_rng(0)).shape == (2, 4096)
    drawn = _picks._means(samples, 2, 48, np.random.default_rng(0))
    assert drawn.shape == (2, 4096)
    assert drawn.mean() == pytest.approx(1.0, abs=0.05)
    whole = _picks._means(samples[:, :4096], 1, 48, np.random.default_rng(0))
    np.testing.assert_array_equal(whole, samples[:, :4096])


def test_learning_rates_that_are_never_picked_change_nothing():
    rng = np.random.default_rng(2)
    samples = rng.exponential(1 + np.linspace(-6, 9, 30)[:, None] ** 2, (30, 16))
    samples += 3 * np.linspace(-6, 9, 30)[:, None] ** 2
    steps = np.array([1, 3, 5])
    inside = _picks._candidates(samples, steps)
    assert 0 < inside.start < inside.stop < 30
    np.testing.assert_allclose(excess(samples[inside], 1, steps), excess(samples, 1, steps), rtol=1e-13)


def test_a_rate_that_diverges_once_is_infinitely_bad_where_it_may_be_picked():
    samples = SAMPLES.copy()
    samples[0, 3] = np.inf
    assert excess(samples, 1, [1])[1, 0] == np.inf
    samples[0, :3] = 50.0  # never the smallest
    assert np.isfinite(excess(samples, 1, [1])[1, 0])
    found = _picks.picks(samples, 1, np.array([1, 3]), np.random.default_rng(0))
    assert (found.mean_excess[1], found.mean_low[1], found.mean_high[1]) == (np.inf, np.inf, np.inf)  # alone on a grid
    assert np.isfinite([found.mean_excess[0], found.mean_low[0], found.mean_high[0]]).all()


def test_against_runs_of_ones_own():
    """From common random numbers, what independent runs at every learning rate give; and intervals that hold it.

    Independent: other replicate numbers at every learning rate. z of 4 at most in nine comparisons; 95 % intervals of
    60 runs of 64 replicates hold the truth in 51 at least, below which a binomial falls once in 300 times.
    """
    problem = problems.AbsoluteValue(slope=0.3, noise="gaussian", noise_std=1.0, projection=("box", -1.0, 1.0))
    lr, steps, draws, runs = grid.fine_grid((1e-3, 1.0), 3, 100.0), np.array([1, 2, 4]), 3_000, 60

    def samples(base_lr, replicates, first):
        numbers = {"replicates": replicates, "first_replicate": first, "seed": 7, "keep_samples": True}
        result = simulate(problem, schedules.Linear(), base_lr=base_lr, horizon=100, **numbers)
        return np.asarray(result.samples, np.float64)

    common = samples(lr, 64 * runs, 0)
    own = np.stack([samples(rate, 10 * draws, 100_000 * (k + 1)) for k, rate in enumerate(lr)])
    score = common.mean(axis=1)
    for n in (1, 3, 10):
        truth = excess(common, n, steps, values=2_000)[1]
        means = own[:, : n * draws].reshape(len(lr), draws, n).mean(axis=2)
        for i, step in enumerate(steps):
            picked = [score[o::step][means[o::step].argmin(axis=0)] for o in range(step)]
            lost = np.mean(picked, axis=0) / score.min() - 1
            error = lost.std() * math.sqrt(1 / draws + n / common.shape[1])
            assert truth[i] == pytest.approx(lost.mean(), abs=4 * error)
        blocks = enumerate(np.split(common, runs, axis=1))
        found = [_picks.picks(block, n, steps, np.random.default_rng(i)) for i, block in blocks]
        for i in range(steps.size):
            assert sum(few.mean_low[i] <= truth[i] <= few.mean_high[i] for few in found) >= 51
