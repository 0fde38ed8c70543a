"""Campaigns compute what `simulate` computes, whatever interrupts, extends or shares them."""

from __future__ import annotations

import itertools
import json
import runpy
import sqlite3
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

import anneal_sgd
from anneal_sgd import problems, schedules, simulate, theory
from anneal_sgd.campaigns import Campaign, CampaignResult, ProblemGrid, StoreError, _cells, _run, estimate
from anneal_sgd.campaigns._precision import Precision
from campaign_cases import StopAt, arrays, noisy, small, stopping
from environments import EXPORTS, need

hypothesis = pytest.importorskip("hypothesis")
given, st = hypothesis.given, hypothesis.strategies

BLOCK = _cells.BLOCK


@pytest.fixture
def short_shards(monkeypatch):
    """Shards of a block and a few configs, and a commit after each."""
    monkeypatch.setattr(_run, "HERE_SECONDS", 1e-6)
    monkeypatch.setattr(_run, "AWAY_SECONDS", 1e-6)
    monkeypatch.setattr(_run, "COMMIT_SECONDS", 0.0)


def test_every_config_is_what_simulate_gives(tmp_path):
    campaign = small()
    result = campaign.run(tmp_path / "s.db")
    assert result.dims == ("slope", "schedule", "horizon", "rho", "record_frac")
    assert result.shape == result.mean.shape == (2, 2, 2, 3, 2)
    for (i, slope), (s, schedule), (t, horizon) in itertools.product(
        enumerate((0.1, 0.3)), enumerate((schedules.Constant(), schedules.Cosine())), enumerate((20, 50))
    ):
        tuned = theory.tuned_base_lr(schedule, horizon)
        alone = simulate(
            noisy(slope=slope),
            schedule,
            base_lr=np.array([1.0, 4.0, 16.0]) * tuned,
            horizon=horizon,
            replicates=3000,
            record_at=[horizon // 2, horizon],
        )
        for name in ("mean", "std", "stderr", "min", "max", "count", "diverged"):
            assert np.array_equal(getattr(result, name)[i, s, t], getattr(alone, name)), name


def test_without_common_random_numbers_every_config_has_noise_of_its_own(tmp_path):
    grid = partial(ProblemGrid, noisy)
    both = small(problem=grid(slope=[0.1, 0.3]), common_random_numbers=False).run(tmp_path / "a.db")
    one = small(problem=grid(slope=[0.3]), common_random_numbers=False).run(tmp_path / "b.db")
    assert np.array_equal(both.mean[1:], one.mean)  # whatever else the campaign holds
    same = small(problem=grid(slope=[0.3]), rho=[4.0], common_random_numbers=True).run(tmp_path / "c.db")
    assert not np.any(same.mean[0, ..., 0, :] == one.mean[0, ..., 1, :])
    z = (same.mean[0, ..., 0, :] - one.mean[0, ..., 1, :]) / np.hypot(
        same.stderr[0, ..., 0, :], one.stderr[0, ..., 1, :]
    )
    assert np.abs(z).max() < 4.0  # 8 values


@pytest.mark.parametrize("commits", [1, 2, 7])
@pytest.mark.usefixtures("short_shards")
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, commits):
    whole = small().run(tmp_path / "whole.db")
    stops = 0
    while True:
        try:
            result = small().run(tmp_path / "parts.db", progress=stopping(commits))
            break
        except StopAt:
            stops += 1
            partial_result = Campaign.load(tmp_path / "parts.db")
            assert partial_result.replicates.sum() > 0
            assert not partial_result.complete or stops > 1
    assert stops >= 3
    assert arrays(result) == arrays(whole)
    need(*EXPORTS)
    for suffix in ("csv", "parquet", "nc"):
        for name, one in (("whole", whole), ("parts", result)):
            one.export(tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"whole.{suffix}").read_bytes() == (tmp_path / f"parts.{suffix}").read_bytes()


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "INSERT OR REPLACE INTO run", "COMMIT"])
@pytest.mark.usefixtures("short_shards")
def test_an_interrupt_while_a_commit_is_made_loses_nothing(tmp_path, monkeypatch, statement):
    """Ctrl-C is heard when SQLite has come back, whatever that was to do."""
    campaign = small(horizon=20)
    committed, computed, left = [], [], [1]

    class Interrupted(sqlite3.Connection):
        def execute(self, sql, *values):
            rows = super().execute(sql, *values)
            if len(committed) > 2 and sql.startswith(statement) and left:
                left.clear()
                raise KeyboardInterrupt
            return rows

    class Counted(_run.Store):
        def commit(self, answers, **options):
            committed.append(len(answers))
            super().commit(answers, **options)

    def compute(shard, **options):
        computed.append(shard.trajectories)
        return made(shard, **options)

    made, connect = _run.compute, sqlite3.connect
    with monkeypatch.context() as patched:
        patched.setattr(_run, "compute", compute)
        patched.setattr(_run, "Store", Counted)
        patched.setattr(sqlite3, "connect", partial(connect, factory=Interrupted))
        with pytest.raises(KeyboardInterrupt):
            campaign.run(tmp_path / "parts.db")
    stopped = Campaign.load(tmp_path / "parts.db")
    assert stopped.count[..., -1].sum() == sum(computed)
    assert sum(run["trajectory_steps"] for run in stopped.runs) == sum(computed) * 20
    assert arrays(campaign.run(tmp_path / "parts.db")) == arrays(campaign.run(tmp_path / "whole.db"))


@pytest.mark.parametrize(("before", "after"), [(1, 5000), (1000, 1024), (1500, 1600), (3000, 9000), (4096, 4097)])
def test_more_replicates_extend_to_the_bits_of_one_run(tmp_path, before, after):
    small(replicates=before).run(tmp_path / "s.db")
    extended = small(replicates=after).run(tmp_path / "s.db")
    assert np.all(extended.count == after)
    assert arrays(extended) == arrays(small(replicates=after).run(tmp_path / "fresh.db"))
    assert np.all(small(replicates=before).run(tmp_path / "s.db").count == after)  # nothing is thrown away


def test_more_configs_are_added_to_those_that_are_there(tmp_path):
    path = tmp_path / "s.db"
    seen = []
    small(rho=[1.0, 16.0]).run(path, progress=lambda now: seen.append(now.committed))
    assert seen[-1] == 2 * 2 * 2 * 2 * 3000
    grown = small(schedule=[schedules.Cosine(), schedules.Linear()]).run(
        path, progress=lambda now: seen.append(now.committed)
    )
    assert seen[-1] == (2 * 2 * 3 * 2 - 2 * 2 * 2) * 3000
    assert arrays(grown) == arrays(small(schedule=[schedules.Cosine(), schedules.Linear()]).run(tmp_path / "fresh.db"))
    assert Campaign.load(path).axes["schedule"] == ["cosine", "linear"]
    again = small(rho=[1.0, 16.0]).run(path, progress=lambda now: seen.append(now.committed))
    assert seen[-1] == 0
    assert again.axes["rho"] == [1.0, 16.0]


@pytest.mark.usefixtures("short_shards")
def test_a_store_keeps_few_rows(tmp_path):
    campaign = small(replicates=20 * BLOCK + 7)
    campaign.run(tmp_path / "s.db")
    with sqlite3.connect(tmp_path / "s.db") as db:
        (rows,) = db.execute("SELECT count(*) FROM statistic").fetchone()
    assert rows == campaign.config_count * 3  # 16 + 4 blocks, and a part
    db.close()


# --- a precision instead of a number


def test_a_precision_is_reached_with_as_few_doublings_as_it_takes(tmp_path):
    target = 0.02
    result = small(replicates=None, relative_stderr=target, max_replicates=10**6).run(tmp_path / "s.db")
    relative = result.stderr / result.mean
    assert relative.max() <= target
    assert set(np.unique(result.count)) <= {BLOCK * 2**k for k in range(11)}
    assert len(np.unique(result.count)) > 2
    for place in np.argwhere(result.count[..., 0] > BLOCK)[:6]:
        i, s, t, r = place
        campaign = small()
        half = simulate(
            campaign.problems[i],
            campaign.schedules[s],
            base_lr=campaign.base_lr(s, campaign.horizons[t])[r],
            horizon=campaign.horizons[t],
            replicates=int(result.count[i, s, t, r, 0]) // 2,
            record_at=campaign.record_at(campaign.horizons[t]),
        )
        assert (half.stderr / half.mean).max() > target
    assert result.complete


@pytest.mark.usefixtures("short_shards")
def test_an_interrupted_precision_gives_the_same_bits(tmp_path):
    def campaign():
        return small(replicates=None, relative_stderr=0.012, max_replicates=30_000)

    whole = campaign().run(tmp_path / "whole.db")
    assert whole.count.max() > 4 * BLOCK
    for commits in itertools.chain(range(1, 30, 4), itertools.repeat(10**9)):
        try:
            parts = campaign().run(tmp_path / "parts.db", progress=stopping(commits))
            break
        except StopAt:
            continue
    assert arrays(parts) == arrays(whole)


def test_a_precision_stops_at_the_largest_number_of_replicates(tmp_path):
    result = small(replicates=None, relative_stderr=1e-6, max_replicates=2500).run(tmp_path / "s.db")
    assert np.array_equal((result.count == 2500).all(axis=-1), (result.std > 0).any(axis=-1))


def test_what_has_no_spread_or_no_finite_value_asks_for_no_precision(tmp_path):
    diverging = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0, x0=1.0)
    result = Campaign(
        [diverging], schedules.Constant(), base_lr=[0.0, 1e30], horizon=20, relative_stderr=1e-3, max_replicates=10**5
    ).run(tmp_path / "s.db")
    assert result.count.tolist() == [[1024, 0]]
    assert result.diverged.tolist() == [[0, 1024]]


def wide(result, confidence, stats):
    """Half-widths of anytime-valid intervals, written out with SciPy: of chi-squared of 3 degrees of freedom."""
    boundary = stats.chi2.isf(1.0 - confidence, 3) + np.log(result.count / 1024)
    return result.std * np.sqrt(boundary / result.count)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_an_anytime_error_is_that_of_robbins_and_siegmund(tmp_path, stats, confidence):
    result = small(replicates=None, relative_stderr=0.02, max_replicates=5000).run(tmp_path / "s.db")
    assert len(np.unique(result.count)) == 3
    np.testing.assert_allclose(result.anytime_error(confidence), wide(result, confidence, stats), rtol=1e-12)
    early = small(replicates=1023).run(tmp_path / "early.db")
    assert np.isnan(early.anytime_error(confidence)).all()
    with pytest.raises(ValueError, match=r"confidence must be one number, in \(0, 1\), got 0.0"):
        result.anytime_error(0.0)


def test_a_confidence_sequence_is_as_narrow_as_asked_for_at_the_first_look(tmp_path, stats):
    campaign = small(replicates=None, relative_error=0.05, confidence=0.9, max_replicates=10**6, record_frac=None)
    assert repr(campaign).endswith("relative error 0.05 at confidence 0.9, at most 1000000 replicates>")
    assert small(replicates=None, relative_error=0.05).precision.confidence == 0.95
    result = campaign.run(tmp_path / "s.db")
    assert result.description.precision == {"relative_error": 0.05, "confidence": 0.9}
    assert result.complete
    assert (wide(result, 0.9, stats) <= 0.05 * result.mean).all()
    stages = np.log2(result.count / 1024)
    assert set(np.unique(stages)) <= set(range(11))
    assert len(np.unique(stages)) > 2
    later = np.argwhere(result.count > 1024)
    for i, s, t, r in later[:: len(later) // 5]:
        half = simulate(
            campaign.problems[i],
            campaign.schedules[s],
            base_lr=campaign.base_lr(s, campaign.horizons[t])[r],
            horizon=campaign.horizons[t],
            replicates=int(result.count[i, s, t, r]) // 2,
        )
        assert wide(half, 0.9, stats) > 0.05 * half.mean


def test_values_that_diverged_count_for_no_confidence():
    cells = np.zeros((2, 1), _cells.CELL)
    cells["count"], cells["diverged"] = [[1024], [1023]], [[1024], [1025]]
    cells["mean"], cells["m2"] = 1.0, 1.0
    assert Precision(0.1, 0.95).is_met(cells).tolist() == [True, False]
    assert Precision(0.1).is_met(cells).tolist() == [True, True]


# --- ranges of replicates


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 20_000)), max_size=4),
    st.integers(1, 10**5),
)
def test_pieces_cover_gaps_with_nodes_of_the_tree(gaps, largest):
    ranges = []
    at = 0
    for skip, length in gaps:
        first = at + skip // BLOCK * BLOCK + (BLOCK if ranges else 0)
        at = -(-(first + length) // BLOCK) * BLOCK
        ranges.append((first, first + length))
    pieces = list(_cells.pieces(tuple(ranges), largest))
    covered = [i for first, stop in pieces for i in (first, stop)]
    assert covered == sorted(covered)
    assert sum(b - a for a, b in pieces) == sum(b - a for a, b in ranges)
    for first, stop in pieces:
        assert stop - first <= max(largest, BLOCK)
        assert _cells.is_whole((first, stop)) or stop - first < BLOCK
        assert any(a <= first and stop <= b for a, b in ranges)


@given(st.sets(st.integers(0, 30)), st.integers(0, BLOCK - 1), st.integers(1, 40 * BLOCK))
def test_what_is_missing_and_what_is_there_are_all(blocks, part, replicates):
    stored = [(b * BLOCK, (b + 1) * BLOCK) for b in blocks]
    if part:
        stored.append((31 * BLOCK, 31 * BLOCK + part))
    gaps = _cells.missing(stored, replicates)
    for first, stop in itertools.pairwise([0, *sorted({x for r in (*gaps, *stored) for x in r}), 10**6]):
        inside = first < replicates
        there = any(a <= first and stop <= b and (b % BLOCK == 0 or b >= replicates) for a, b in stored)
        assert any(a <= first and first < b for a, b in gaps) == (inside and not there)


# --- executors


@pytest.mark.usefixtures("short_shards")
def test_any_executor_gives_the_same_bits(tmp_path):
    whole = small().run(tmp_path / "whole.db")
    with ThreadPoolExecutor(3) as threads:
        assert arrays(small().run(tmp_path / "threads.db", executor=threads)) == arrays(whole)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        assert arrays(small().run(tmp_path / "processes.db", executor=processes)) == arrays(whole)


class Flaky:
    """Fails the first times that each shard is tried."""

    def __init__(self, failures):
        self.failures, self.tries = failures, {}

    def submit(self, function, shard, *rest):
        future = Future()
        key = shard.ids, shard.node
        self.tries[key] = self.tries.get(key, 0) + 1
        if self.tries[key] <= self.failures:
            future.set_exception(ConnectionError("the worker died"))
        else:
            future.set_result(function(shard, *rest))
        return future


@pytest.mark.usefixtures("short_shards")
def test_a_shard_whose_worker_died_is_computed_again(tmp_path):
    flaky = Flaky(2)
    result = small().run(tmp_path / "s.db", executor=flaky)
    assert set(flaky.tries.values()) == {3}
    assert arrays(result) == arrays(small().run(tmp_path / "whole.db"))


OTHER_NOISE = """
run = anneal_sgd.Simulator.run
anneal_sgd.Simulator.run = lambda *arguments, seed=0, **options: run(*arguments, seed=seed + 1, **options)
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("anneal_sgd._core.STREAM_VERSION = 99", rf"stream_version 99 \(here {anneal_sgd.STREAM_VERSION}\)\."),
        ("anneal_sgd._core.__version__ = '9.9'", rf"anneal_sgd '9.9' \(here '{anneal_sgd.__version__}'\)\."),
        (OTHER_NOISE, r"trajectories '\w+' \(here '\w+'\)\."),
    ],
)
@pytest.mark.usefixtures("short_shards")
def test_a_worker_of_another_build_is_refused(tmp_path, change, message):
    """Processes whose package is changed before they compute; the last one says that it has the same versions."""
    script = tmp_path / "first.py"
    first = "import sys; assert 'anneal_sgd' not in sys.modules\nimport anneal_sgd, anneal_sgd._core"
    script.write_text(f"{first}\n{change}\n")
    with (
        ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=runpy.run_path, initargs=(str(script),)
        ) as workers,
        pytest.raises(
            RuntimeError,
            match=rf"^a worker on \S+ computes with another anneal_sgd: it has {message}.* install the same build",
        ),
    ):
        small().run(tmp_path / "s.db", executor=workers)
    assert Campaign.load(tmp_path / "s.db").replicates.sum() == 0


def test_an_answer_that_does_not_say_what_computed_it_is_refused(tmp_path):
    class Older(Flaky):
        def submit(self, function, *arguments):
            answer, seconds = function(*arguments)
            future = Future()
            future.set_result((replace(answer, build=None), seconds))
            return future

    with pytest.raises(RuntimeError, match=r"it has no build \(here Build\(anneal_sgd="):
        small().run(tmp_path / "s.db", executor=Older(0))
    assert Campaign.load(tmp_path / "s.db").replicates.sum() == 0


def test_a_shard_that_always_fails_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="failed 3 times, the last time with ConnectionError: the worker died"):
        small().run(tmp_path / "s.db", executor=Flaky(10))


@pytest.mark.usefixtures("short_shards")
def test_a_broken_executor_loses_nothing_committed(tmp_path):
    class Breaking(Flaky):
        def submit(self, *arguments):
            if len(self.tries) == 12:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return super().submit(*arguments)

    with pytest.raises(RuntimeError, match="the executor takes no more work: cannot schedule"):
        small().run(tmp_path / "s.db", executor=Breaking(0))
    assert Campaign.load(tmp_path / "s.db").replicates.sum() > 0
    assert arrays(small().run(tmp_path / "s.db")) == arrays(small().run(tmp_path / "whole.db"))


def test_what_simulate_refuses_on_a_worker_is_not_tried_again(tmp_path):
    calls = []

    class Refusing:
        def submit(self, function, *arguments):
            calls.append(1)
            future = Future()
            future.set_exception(MemoryError("too large"))
            return future

    with pytest.raises(MemoryError, match="too large"):
        small().run(tmp_path / "s.db", executor=Refusing())
    assert len(calls) <= 2 * _run._workers(None)


def test_numbers_of_other_kinds_are_taken():
    campaign = small(horizon=np.array(20), record_frac=None, record_at=np.int64(5))
    assert (campaign.horizons, campaign.record_at(20)) == ((20,), 5)
    assert small(record_frac=None, record_at=(k for k in (5, 10))).record_at(20) == (5, 10)
    with pytest.raises(ValueError, match="make must give a problem, got 3"):
        ProblemGrid(lambda a: 3, a=[1])


def test_what_cannot_be_used_is_told_before_a_store_is_made(tmp_path):
    with pytest.raises(ValueError, match="executor must have a method submit"):
        small().run(tmp_path / "s.db", executor=ThreadPoolExecutor)
    with pytest.raises(ValueError, match="progress must be None or a callable, got 3"):
        small().run(tmp_path / "s.db", progress=3)
    with pytest.raises(ValueError, match="store must be a path, got None"):
        small().run(None)
    assert not (tmp_path / "s.db").exists()


def test_an_executor_must_take_work(tmp_path):
    with pytest.raises(ValueError, match=r"executor must have a method submit, got 3"):
        small().run(tmp_path / "s.db", executor=3)


# --- problems on data


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    return X, np.where(X[:, 0] + rng.standard_normal(40) > 0, 1.0, -1.0)


def test_problems_on_data_of_several_batch_sizes(tmp_path, data):
    grid = ProblemGrid(partial(problems.LogisticRegression, *data, l2=0.1), batch_size=[1, 4])
    campaign = Campaign(
        grid, schedules.Cosine(), base_lr=[0.1, 1.0], horizon=30, replicates=64, metric=["suboptimality", "loss"]
    )
    result = campaign.run(tmp_path / "s.db")
    assert result.dims == ("batch_size", "base_lr", "metric")
    for i in (0, 1):
        alone = simulate(
            grid.problems[i], schedules.Cosine(), base_lr=[0.1, 1.0], horizon=30, replicates=64,
            metric=["suboptimality", "loss"],
        )  # fmt: skip
        assert np.array_equal(alone.mean, result.mean[i])


def test_the_minimum_is_found_once_and_kept_with_the_store(tmp_path, data, monkeypatch):
    def campaign(replicates):
        problem = problems.LogisticRegression(*data, l2=0.1)
        return Campaign(problem, schedules.Cosine(), base_lr=[0.1, 1.0], horizon=30, replicates=replicates)

    first = campaign(64).run(tmp_path / "s.db")
    monkeypatch.setattr("anneal_sgd.problems._minimum._KNOWN", {})
    monkeypatch.setattr(problems.LogisticRegression, "_find_minimum", None)  # cannot be called
    assert arrays(campaign(64).run(tmp_path / "s.db")) == arrays(first)
    campaign(2048).run(tmp_path / "s.db", executor=ThreadPoolExecutor(1))


def test_a_problem_takes_its_minimum_along_when_it_is_pickled(data, monkeypatch):
    import pickle

    problem = problems.LogisticRegression(*data, l2=0.1)
    known = problem.minimum
    text = pickle.dumps(problem)
    monkeypatch.setattr("anneal_sgd.problems._minimum._KNOWN", {})
    monkeypatch.setattr(problems.LogisticRegression, "_find_minimum", None)
    assert pickle.loads(text).minimum == known


def test_a_campaign_gives_back_its_own_result_whatever_else_the_store_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "COMMIT_SECONDS", 0.0)
    other = small(problem=noisy(slope=0.1), rho=[2.0], name="other")
    ran = []

    def progress(now):
        if now.committed and not ran:
            ran.append(other.run(tmp_path / "s.db"))

    result = small(name="mine").run(tmp_path / "s.db", progress=progress)
    assert result.shape == (2, 2, 2, 3, 2)
    assert ran[0].shape == (2, 2, 1, 2)
    assert Campaign.load(tmp_path / "s.db", "other").shape == Campaign.load(tmp_path / "s.db", 2).shape == (2, 2, 1, 2)
    assert len(result.runs) == 1
    with pytest.raises(StoreError, match=r"holds no campaign 'third'; it holds 1 \('mine'\), 2 \('other'\)"):
        Campaign.load(tmp_path / "s.db", "third")


@pytest.mark.usefixtures("short_shards")
def test_a_precision_is_complete_when_it_is_reached(tmp_path):
    small(name="other", rho=[2.0]).run(tmp_path / "s.db")
    with pytest.raises(StopAt):
        small(replicates=None, relative_stderr=0.02).run(tmp_path / "s.db", progress=stopping(1))
    assert not Campaign.load(tmp_path / "s.db").complete
    assert small(replicates=None, relative_stderr=0.02).run(tmp_path / "s.db").complete


def test_a_run_that_computes_nothing_does_not_hide_what_is_there(tmp_path):
    first = small(name="first").run(tmp_path / "s.db")
    with pytest.raises(RuntimeError):
        small(name="second", rho=[3.0]).run(tmp_path / "s.db", executor=Flaky(10))
    assert arrays(Campaign.load(tmp_path / "s.db")) == arrays(first)
    assert np.isnan(Campaign.load(tmp_path / "s.db", "second").mean).all()


def test_overflowing_squares_ask_for_no_precision(tmp_path):
    problem = problems.Quadratic(curvature=1.0, noise="gaussian", noise_std=1.0, x0=1.0)
    result = Campaign(
        problem, schedules.Constant(), base_lr=[0.5, 2.5], horizon=500, dtype="float64", relative_stderr=0.02,
        max_replicates=100_000,
    ).run(tmp_path / "s.db")  # fmt: skip
    assert result.count[1] == 1024
    assert np.isfinite(result.mean[1])
    assert result.stderr[1] == np.inf


def test_seeds_do_not_depend_on_what_is_recorded(tmp_path):
    grid = ProblemGrid(noisy, slope=[0.1, 0.3])
    few = small(problem=grid, common_random_numbers=False, record_frac=None)
    result, more = few.run(tmp_path / "a.db"), small(common_random_numbers=False).run(tmp_path / "b.db")
    assert np.array_equal(result.mean, more.mean[..., 1])
    alone = simulate(
        grid.problems[1], schedules.Cosine(), base_lr=few.base_lr(1, 50)[2], horizon=50, replicates=3000,
        seed=few.config_seeds()[-1],
    )  # fmt: skip
    assert float(alone.mean) == result.mean[1, 1, 1, 2]


# --- results


def test_labels_for_xarray_and_pandas(tmp_path):
    result = small().run(tmp_path / "s.db")
    data = result.to_xarray()
    assert data["mean"].dims == result.dims
    assert (
        float(data["mean"].sel(slope=0.3, schedule="cosine", horizon=50, rho=4.0, record_frac=1.0))
        == result.mean[1, 1, 1, 1, 1]
    )
    assert data["base_lr"].dims == ("schedule", "horizon", "rho")
    assert float(data["base_lr"].sel(schedule="cosine", horizon=50, rho=4.0)) == 4.0 * theory.tuned_base_lr(
        schedules.Cosine(), 50
    )
    assert data["record_at"].sel(horizon=50).values.tolist() == [25, 50]
    frame = result.to_pandas()
    assert len(frame) == result.mean.size
    row = frame[(frame.slope == 0.3) & (frame.schedule == "cosine") & (frame.base_lr > 0) & (frame.record_at == 25)]
    assert row["mean"].tolist() == result.mean[1, 1, 1, :, 0].tolist()
    assert row["metric"].unique().tolist() == ["suboptimality"]
    assert data.attrs["seed"] == 0
    assert "cpu" in data.attrs["computed_backend"]


def test_a_campaign_of_one_config_has_no_dimensions(tmp_path):
    result = Campaign(noisy(slope=0.1), schedules.Linear(), base_lr=0.1, horizon=10, replicates=5).run(
        tmp_path / "s.db"
    )
    assert (result.dims, result.mean.shape) == ((), ())
    frame = result.to_pandas()
    assert frame[["schedule", "horizon", "base_lr", "record_at"]].values.tolist() == [["linear", 10, 0.1, 10]]
    assert "one config" in repr(result)


def test_exports_are_read_back(tmp_path):
    need(*EXPORTS)
    import pandas
    import pyarrow.parquet
    import xarray

    result = small().run(tmp_path / "s.db")
    for suffix in ("csv", "parquet", "nc"):
        result.export(tmp_path / f"r.{suffix}")
    frame = result.to_pandas()
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "r.csv", comment="#"), frame, check_dtype=False)
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "r.parquet"), frame)
    own = json.loads(pyarrow.parquet.read_schema(tmp_path / "r.parquet").metadata[b"anneal_sgd"])
    assert own["stream_version"] == anneal_sgd.STREAM_VERSION
    with xarray.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as stored:
        assert np.array_equal(stored["mean"].values, result.mean)
        assert stored.attrs["spec"] == result.provenance()["spec"]
    labelled = ProblemGrid(lambda q: noisy(slope=(q == "a#1" and 0.1) or 0.2), q=["a#1", 'b "2"'])
    odd = Campaign(labelled, schedules.Linear(), base_lr=0.1, horizon=10, replicates=5).run(tmp_path / "odd.db")
    odd.export(tmp_path / "odd.csv")
    read = pandas.read_csv(tmp_path / "odd.csv", comment="#")
    pandas.testing.assert_frame_equal(read, odd.to_pandas(), check_dtype=False)
    with pytest.raises(ValueError, match=r"path must end in \.csv, \.parquet or \.nc, got"):
        result.export(tmp_path / "r.xlsx")
    with pytest.raises(ValueError, match="path must be in a folder that exists"):
        result.export(tmp_path / "no" / "r.csv")


def test_what_is_missing_is_named_with_what_brings_it(tmp_path, monkeypatch):
    import importlib

    result = small().run(tmp_path / "s.db")

    def absent(name, *arguments):
        if name.split(".")[0] in ("xarray", "pandas", "pyarrow", "h5netcdf", "h5py"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *arguments)

    found = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    for use, message in (
        (result.to_xarray, r"this needs xarray: pip install 'anneal_sgd\[campaigns\]'"),
        (result.to_pandas, r"this needs pandas: pip install 'anneal_sgd\[pandas\]'"),
        (
            lambda: result.export(tmp_path / "r.parquet"),
            r"this needs pyarrow and pandas: pip install 'anneal_sgd\[export\]'",
        ),
        (
            lambda: result.export(tmp_path / "r.nc"),
            r"this needs h5netcdf and h5py and xarray: pip install 'anneal_sgd\[export\]'",
        ),
    ):
        with pytest.raises(ImportError, match=message):
            use()
    assert not (tmp_path / "r.nc").exists()


def test_a_result_of_an_interrupted_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "COMMIT_SECONDS", 0.0)
    with pytest.raises(StopAt):
        small().run(tmp_path / "s.db", progress=stopping(1))
    result = Campaign.load(tmp_path / "s.db")
    assert isinstance(result, CampaignResult)
    assert not result.complete
    assert "not complete" in repr(result)
    assert np.isnan(result.mean).any()
    assert np.array_equal(np.isnan(result.mean), result.count == 0)


# --- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_lr": 0.1}, "base_lr or rho must be given, and not both"),
        ({"rho": None}, "base_lr or rho must be given, and not both"),
        ({"rho": [0.0, 1.0]}, "rho must be finite and > 0, got 0.0 at index 0"),
        ({"rho": [1.0, 1.0]}, "rho must not have a value twice, got 1.0 again at index 1"),
        ({"replicates": None}, "replicates, relative_stderr or relative_error must be given, and no two of them"),
        ({"relative_stderr": 0.1}, "replicates, relative_stderr or relative_error must be given, and no two of them"),
        ({"relative_error": 0.1}, "replicates, relative_stderr or relative_error must be given, and no two of them"),
        ({"max_replicates": 10}, "max_replicates must go with relative_stderr or relative_error"),
        ({"replicates": None, "relative_error": 1.5}, r"relative_error must be one number, in \(0, 1\], got 1.5"),
        (
            {"replicates": None, "relative_error": 0.1, "confidence": 1.0},
            r"confidence must be one number, in \(0, 1\), got 1.0",
        ),
        ({"confidence": 0.9}, "confidence must go with relative_error"),
        ({"replicates": None, "relative_stderr": 0.0}, r"relative_stderr must be one number, in \(0, 1\], got 0.0"),
        ({"replicates": 0}, r"replicates must be an integer in 1 \.\. 4294967296, got 0"),
        ({"horizon": []}, "horizon must be one or a sequence of whole numbers, got an empty one"),
        ({"horizon": [10, 2.5]}, r"horizon must be one or a sequence of whole numbers, got 2.5 at index 1"),
        ({"horizon": "10"}, "horizon must be one or a sequence of whole numbers, got '10'"),
        ({"schedule": "cosine"}, "schedule must be one or a sequence of schedules, got 'cosine'"),
        ({"schedule": [schedules.Linear()] * 2}, "schedule must not have a value twice, got 'linear' again"),
        ({"record_at": [10]}, "record_at and record_frac must not both be given"),
        ({"record_frac": [0.01, 0.011]}, r"record_frac must be different steps of every horizon, got \(1, 1\)"),
        ({"record_frac": [0.0]}, r"record_frac must be .*in \(0, 1\], got 0.0"),
        ({"record_frac": None, "record_at": [30, 50]}, "record_at must be .* in 0 .. 20, got 30"),
        ({"metric": "loss"}, "metric must be one or more of 'suboptimality'"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64'"),
        ({"momentum": 0.5}, "momentum must be 0 for AbsoluteValue"),
        ({"seed": -1}, "seed must be an integer"),
        ({"name": 5}, "name must be a text, got 5"),
        ({"record_frac": None, "record_at": 5.5}, "record_at must be an integer in 0 .. 20, got 5.5"),
        ({"problem": [noisy(slope=0.1)] * 2}, "problem must not have a value twice, got AbsoluteValue"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"slope": []}, "slope must be a sequence of 1 to 1000000 values, got \\[\\]"),
        ({"slope": 0.1}, "slope must be a sequence of 1 to"),
        ({"slope": "ab"}, "slope must be a sequence of 1 to"),
        ({"slope": {0.1, 0.2}}, "slope must have an order"),
        ({"slope": np.ma.array([0.1, 0.2], mask=[False, True])}, "slope must have no masked elements"),
        ({"projection": [None, None]}, "projection must not have a value twice"),
        ({"slope": [0.1, 0.1]}, "slope must not have a value twice"),
        ({"horizon": [1]}, "horizon must not be the name of a problem's parameter"),
        ({"mean": [1]}, "mean must not be the name of a problem's parameter"),
        ({"slope": [0.1, np.nan]}, "slope must be numbers or texts, got NaN at index 1"),
        ({"slope": np.linspace(0.1, 0.2, 2000), "noise_std": np.linspace(1, 2, 2000)}, "a grid of 4000000"),
    ],
)
def test_bad_grids_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        ProblemGrid(noisy, **parameters)


def test_grids_over_sets_and_starts(tmp_path):
    make = partial(problems.AbsoluteValue, noise="gaussian", noise_std=1.0)
    sets = [None, ("box", -1.0, 1.0), ("ball", 2.0)]
    grid = ProblemGrid(make, projection=sets, x0=[[1.0, 0.0], np.array([0.5, 0.5])], slope=[[0.1, 0.2]])
    assert grid.axes[0] == ("projection", ("None", "('box', -1.0, 1.0)", "('ball', 2.0)"))
    assert grid.axes[1] == ("x0", ("[1.0, 0.0]", "[0.5, 0.5]"))
    assert [None if p.projection is None else p.projection[0] for p in grid.problems[::2]] == [None, "box", "ball"]
    assert [p.x0.tolist() for p in grid.problems[:2]] == [[1.0, 0.0], [0.5, 0.5]]
    result = Campaign(grid, schedules.Linear(), base_lr=0.1, horizon=5, replicates=8).run(tmp_path / "s.db")
    assert result.dims == ("projection", "x0", "slope")
    boxed = simulate(grid.problems[2], schedules.Linear(), base_lr=0.1, horizon=5, replicates=8)
    assert float(result.mean[1, 0, 0]) == float(boxed.mean)


def test_whole_floats_are_the_integers():
    whole = small(horizon=[20.0], record_frac=None, record_at=[5.0, 10.0], replicates=3e3)
    same = small(horizon=[20], record_frac=None, record_at=[5, 10], replicates=3000)
    assert whole.identities() == same.identities()


def test_a_generator_is_drawn_from_once():
    campaign = small(seed=np.random.default_rng(4))
    assert campaign.options["seed"] == int(np.random.default_rng(4).integers(2**64, dtype=np.uint64))


def test_a_campaign_has_one_iterate():
    with pytest.raises(ValueError, match=r"^iterate must be one in a campaign"):
        small(iterate=["last", "average"])
    with pytest.raises(TypeError, match=r"^learning_rate is no argument"):
        small(learning_rate=1)


def test_too_many_configs_are_refused_before_anything_is_made():
    several = [noisy(slope=0.1 + i / 10_000) for i in range(2000)]
    with pytest.raises(ValueError, match="at most 10000000 configs, got 2000 x 1 x 1 x 10000"):
        Campaign(several, schedules.Linear(), base_lr=np.arange(1e4), horizon=10, replicates=1)
    with pytest.raises(ValueError, match="base_lr must be at most 10000000 numbers, got 20000000"):
        Campaign(noisy(slope=0.1), schedules.Linear(), base_lr=np.arange(2e7), horizon=10, replicates=1)


def test_an_estimate_counts_what_is_missing(tmp_path):
    assert estimate(small(), tmp_path / "none.db").trajectories == 24 * 3000
    assert not (tmp_path / "none.db").exists()
    small(replicates=2048).run(tmp_path / "s.db")
    found = estimate(small(), tmp_path / "s.db")
    assert (found.begun, found.trajectories) == (24, 24 * 952)
    assert found.seconds > 0
    assert estimate(small(replicates=2048), tmp_path / "s.db").trajectories == 0


def test_a_tabulated_schedule_is_known_by_its_values(tmp_path):
    def run(values):
        table = schedules.Tabulated(values, name="mine")
        return Campaign(noisy(slope=0.1), [table], base_lr=[0.1], horizon=10, replicates=100).run(tmp_path / "s.db")

    assert run([1.0, 0.0]).mean != run([1.0, 0.5, 0.0, 0.0]).mean
    assert run([1.0, 0.0]).replicates.tolist() == [[100]]
