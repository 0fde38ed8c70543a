"""Parts of a campaign that were computed apart are, merged, the single run to the byte."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from anneal_sgd import cli, problems, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, StoreError, _cells, _store, estimate
from campaign_cases import arrays, small
from environments import EXPORTS, need

BLOCK = _cells.BLOCK
SPEC = """
schedule = ["linear", "cosine"]
horizon = [10, 30]
rho = [1.0, 4.0]
replicates = 5000
record_frac = [0.5, 1.0]
[problem]
kind = "absolute_value"
slope = { values = [0.1, 0.3] }
noise = "rademacher"
second_moment = 1.0
projection = ["box", -1.0, 1.0]
x0 = 1.0
"""


@pytest.mark.parametrize(("replicates", "count"), [(1, 1), (BLOCK, 1), (5000, 5), (5000, 3), (10 * BLOCK, 4)])
def test_parts_are_whole_blocks_and_all_of_them(replicates, count):
    parts = [_cells.part_of(replicates, number, count) for number in range(1, count + 1)]
    assert parts[0][0] == 0
    assert parts[-1][1] == replicates
    assert [stop for _, stop in parts[:-1]] == [first for first, _ in parts[1:]]
    assert all(first % BLOCK == 0 and first < stop for first, stop in parts)
    blocks = [-(-(stop - first) // BLOCK) for first, stop in parts]
    assert max(blocks) - min(blocks) <= 1


def test_a_job_array_exports_the_bytes_of_one_run(tmp_path, capsys):
    need("click", *EXPORTS)
    spec = tmp_path / "mine.toml"
    spec.write_text(SPEC)
    assert cli.main(["sweep", str(spec), "--store", str(tmp_path / "one.db")]) == 0
    parts = [tmp_path / f"part-{i}.db" for i in (1, 2, 3)]
    for i, part in enumerate(parts, 1):
        assert cli.main(["sweep", str(spec), "--part", f"{i}/3", "--store", str(part)]) == 0
        assert not Campaign.load(part).complete
    order = [parts[1], parts[2], parts[0]]
    capsys.readouterr()
    assert cli.main(["merge", *map(str, order), "-o", str(tmp_path / "all.db")]) == 0
    assert "5000 replicates>" in capsys.readouterr().out
    for suffix in ("csv", "parquet", "nc"):
        for name in ("one", "all"):
            assert cli.main(["export", str(tmp_path / f"{name}.db"), "-o", str(tmp_path / f"{name}.{suffix}")]) == 0
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"all.{suffix}").read_bytes()
    assert sorted(run["part"] for run in Campaign.load(tmp_path / "all.db").runs) == ["1/3", "2/3", "3/3"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_what_a_job_left_out_is_computed_after_the_merge(tmp_path):
    small().run(tmp_path / "1.db", part=(1, 3))
    small().run(tmp_path / "3.db", part=(3, 3))
    merged = Campaign.merge([tmp_path / "1.db", tmp_path / "3.db"], tmp_path / "all.db")
    assert not merged.complete
    assert np.all(merged.count == 3000 - BLOCK)
    assert estimate(small(), tmp_path / "all.db").trajectories == 24 * BLOCK
    assert estimate(small(), tmp_path / "all.db", part=(1, 3)).trajectories == 0
    whole = small().run(tmp_path / "one.db")
    assert arrays(small().run(tmp_path / "all.db")) == arrays(whole)


def test_a_part_goes_on_where_it_was_and_shares_nothing(tmp_path):
    seen = []
    for _ in range(2):
        result = small().run(tmp_path / "s.db", part=(2, 2), progress=lambda now: seen.append(now.committed))
        assert np.all(result.count == 3000 - BLOCK)
    assert (max(seen), seen[-1]) == (24 * (3000 - BLOCK), 0)


def test_stores_that_overlap_count_nothing_twice(tmp_path):
    small().run(tmp_path / "a.db", part=(1, 3))
    (tmp_path / "b.db").write_bytes((tmp_path / "a.db").read_bytes())
    small().run(tmp_path / "b.db")
    merged = Campaign.merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "all.db")
    assert arrays(merged) == arrays(small().run(tmp_path / "one.db"))
    assert len(merged.runs) == 2  # the first one is in both


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicates": 4000}, r"b.db' holds another campaign than '.*a.db': its replicates is 4000, there it is 3000"),
        ({"seed": 5}, r"its seed is 5, there it is 0"),
        ({"rho": [1.0, 4.0]}, r"its rates is \(1.0, 4.0\), there it is \(1.0, 4.0, 16.0\)"),
        ({"name": "other"}, r"its name is 'other', there it is ''"),
    ],
)
def test_other_specifications_are_refused(tmp_path, changes, message):
    small().run(tmp_path / "a.db", part=(1, 2))
    small(**changes).run(tmp_path / "b.db", part=(2, 2))
    with pytest.raises(StoreError, match=message):
        Campaign.merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "all.db")
    assert {path.name for path in tmp_path.iterdir()} == {"a.db", "b.db"}


def test_other_results_are_refused(tmp_path, monkeypatch):
    small().run(tmp_path / "a.db")
    cells = _cells.from_moments
    with monkeypatch.context() as faulty:
        faulty.setattr(_cells, "from_moments", lambda moments: _wrong(cells(moments)))
        small().run(tmp_path / "b.db")
    with pytest.raises(StoreError, match=r"b.db' and a store before it: replicates 0 to 2048 of a config were"):
        Campaign.merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "all.db")
    assert not (tmp_path / "all.db").exists()


def _wrong(cells):
    cells["mean"] += 1e-12
    return cells


def test_other_streams_are_refused(tmp_path, monkeypatch):
    small().run(tmp_path / "a.db", part=(1, 2))
    with monkeypatch.context() as other:
        other.setattr(_store, "STREAM_VERSION", 99)
        small().run(tmp_path / "b.db", part=(2, 2))
    with pytest.raises(StoreError, match=r"b.db' holds trajectories of stream version 99"):
        Campaign.merge([tmp_path / "a.db", tmp_path / "b.db"], tmp_path / "all.db")


def test_minima_go_along_and_must_agree(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    y = np.where(X[:, 0] + rng.standard_normal(40) > 0, 1.0, -1.0)

    def campaign():
        grid = ProblemGrid(partial(problems.LogisticRegression, X, y, l2=0.1), batch_size=[1, 4])
        return Campaign(grid, schedules.Cosine(), base_lr=[0.1, 1.0], horizon=30, replicates=2 * BLOCK)

    for i in (1, 2):
        campaign().run(tmp_path / f"{i}.db", part=(i, 2))
    merged = Campaign.merge([tmp_path / "1.db", tmp_path / "2.db"], tmp_path / "all.db")
    whole = campaign().run(tmp_path / "one.db")
    assert arrays(merged) == arrays(whole)
    with (
        _store.Store(tmp_path / "all.db", create=False) as store,
        _store.Store(tmp_path / "one.db", create=False) as one,
    ):
        assert store._minima() == one._minima()
        assert len(store._minima()) == 2
    minimum = problems.LogisticRegression.minimum
    monkeypatch.setattr(problems.LogisticRegression, "minimum", property(lambda p: minimum.__get__(p) + 1e-15))
    campaign().run(tmp_path / "3.db", part=(2, 2))
    with pytest.raises(
        StoreError, match=r"3.db': the minimum of <LogisticRegression .* suboptimalities are not of one f\*"
    ):
        Campaign.merge([tmp_path / "1.db", tmp_path / "3.db"], tmp_path / "again.db")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ((0, 2), "part number must be an integer in 1 .. 2, got 0"),
        ((3, 2), "part number must be an integer in 1 .. 2, got 3"),
        ((1, 0), "part count must be an integer >= 1, got 0"),
        ((1, 4), "part must be one of at most 3, as 3000 replicates are 3 blocks of 1024, got 1 of 4"),
        ("1/2", r"part must be \(number, count\), as \(1, 30\) for the first of 30, got '1/2'"),
    ],
)
def test_parts_that_there_are_not(tmp_path, part, message):
    with pytest.raises(ValueError, match=message):
        small().run(tmp_path / "s.db", part=part)
    assert not (tmp_path / "s.db").exists()


def test_what_cannot_be_merged_is_told(tmp_path, capsys):
    small().run(tmp_path / "a.db")
    with pytest.raises(ValueError, match="part must go with replicates"):
        small(replicates=None, relative_stderr=0.1).run(tmp_path / "s.db", part=(1, 2))
    with pytest.raises(ValueError, match=r"store must be a new file, got '.*a.db', which exists"):
        Campaign.merge([tmp_path / "a.db"], tmp_path / "a.db")
    with pytest.raises(ValueError, match="stores must be a sequence of one or more paths, got"):
        Campaign.merge(tmp_path / "a.db", tmp_path / "all.db")
    assert cli.main(["merge", str(tmp_path / "no.db"), "-o", str(tmp_path / "all.db")]) == 2
    assert "no.db' does not exist" in capsys.readouterr().err
    (tmp_path / "s.toml").write_text(SPEC)
    assert cli.main(["sweep", str(tmp_path / "s.toml"), "--part", "one"]) == 2
    assert "--part must be I/N, such as 1/30, got 'one'" in capsys.readouterr().err


def test_jobs_may_begin_with_a_copy_of_a_tiny_store(tmp_path):
    small(replicates=1).run(tmp_path / "first.db")
    for i in (2, 1):
        (tmp_path / f"{i}.db").write_bytes((tmp_path / "first.db").read_bytes())
        small().run(tmp_path / f"{i}.db", part=(i, 2))
    whole = arrays(small().run(tmp_path / "one.db"))
    for order in ((1, 2), (2, 1)):
        target = tmp_path / f"all-{order[0]}.db"
        assert arrays(Campaign.merge([tmp_path / f"{i}.db" for i in order], target)) == whole
