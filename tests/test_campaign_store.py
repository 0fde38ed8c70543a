"""A store loses nothing that was committed, counts nothing twice, and never gives a wrong number."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anneal_sgd import cli, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, StoreError, _store, estimate
from campaign_cases import arrays, noisy, small

hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

HERE = Path(__file__).parent

# 10^7 trajectories, about two seconds of one thread.
LARGE = """
import sys
sys.path.insert(0, {here!r})
from campaign_cases import noisy
from anneal_sgd import cli, schedules
from anneal_sgd.campaigns import Campaign, ProblemGrid, _run

def large():
    return Campaign(
        ProblemGrid(noisy, slope=[0.05, 0.2]), [schedules.Linear(), schedules.Cosine()], rho=[1.0, 8.0, 64.0],
        horizon=2000, replicates=840_000, record_frac=[0.1, 1.0],
    )

_run.HERE_SECONDS, _run.COMMIT_SECONDS = 0.05, 0.0
if __name__ == "__main__":
    large().run(sys.argv[1], threads=1, progress=lambda now: print(now.committed, flush=True))
"""


def start(script, store):
    return subprocess.Popen([sys.executable, script, store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def large_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "large.py"
    path.write_text(LARGE.format(here=str(HERE)))
    return path


@pytest.fixture(scope="module")
def large_export(large_script, tmp_path_factory):
    """The bytes of a run in one go."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(large_script, folder / "s.db")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    result = Campaign.load(folder / "s.db")
    assert result.count.sum() // 2 > 10**7
    result.export(folder / "r.csv")
    return (folder / "r.csv").read_bytes()


def test_killed_three_times_it_gives_the_same_bytes(large_script, large_export, tmp_path):
    store = tmp_path / "s.db"
    for commits in (3, 5, 7):
        process = start(large_script, store)
        for _ in range(commits):
            assert process.stdout.readline()
        time.sleep(random.Random(commits).uniform(0.0, 0.05))
        process.kill()
        process.communicate()
        held = Campaign.load(store)
        assert 0 < held.count.sum() < 2 * 10_080_000
    process = start(large_script, store)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    Campaign.load(store).export(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes() == large_export
    runs = Campaign.load(store).runs
    assert [run["finished"] is None for run in runs] == [True, True, True, False]
    # What was committed before a kill was not computed again.
    assert sum(run["trajectory_steps"] for run in runs) == 10_080_000 * 2000


def test_two_processes_on_one_store_count_nothing_twice(large_script, large_export, tmp_path):
    both = [start(large_script, tmp_path / "s.db") for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    Campaign.load(tmp_path / "s.db").export(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes() == large_export


def test_a_full_disk_loses_nothing_committed(tmp_path):
    script = """
import resource, sys
sys.path.insert(0, {here!r})
from campaign_cases import small
from anneal_sgd.campaigns import StoreError, _run
_run.HERE_SECONDS, _run.COMMIT_SECONDS = 1e-6, 0.0
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    small(record_frac=[i / 10 for i in range(1, 11)], horizon=[20, 50]).run(sys.argv[1])
except StoreError as error:
    sys.exit(str(error))
"""
    path, store = tmp_path / "full.py", tmp_path / "s.db"
    path.write_text(script.format(here=str(HERE), limit=2**16))
    done = subprocess.run([sys.executable, path, store], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot grow" in done.stderr
    assert "Traceback" not in done.stderr
    campaign = small(record_frac=[i / 10 for i in range(1, 11)], horizon=[20, 50])
    assert Campaign.load(store).count.sum() > 0
    assert arrays(campaign.run(store)) == arrays(campaign.run(tmp_path / "whole.db"))


def test_a_store_in_use_is_waited_for_and_then_told(tmp_path, monkeypatch):
    small().run(tmp_path / "s.db")
    monkeypatch.setattr(_store, "_LOCK_SECONDS", 0.2)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"has been in use by another process for more than 0.2 s"):
            small(replicates=4000).run(tmp_path / "s.db")


@pytest.mark.parametrize("read", ["nodes", "ranges"])
def test_what_is_read_together_is_of_one_moment(tmp_path, read):
    """Between the statistics and the number of replicates that they must add up to, nobody commits."""
    path, told = tmp_path / "s.db", []
    small().run(path)

    def interfere(statement):
        if not told and statement.startswith("SELECT id, replicates, checksum FROM config"):
            other = sqlite3.connect(path, timeout=0)
            with contextlib.closing(other), pytest.raises(sqlite3.OperationalError, match="locked"), other:
                other.execute("UPDATE config SET replicates = 0")
            told.append("waits")

    with _store.Store(path, create=False) as store:
        store._db.set_trace_callback(interfere)
        assert getattr(store, read)(store.campaign()[2])
    assert told == ["waits"]


def test_different_results_for_the_same_shard_are_told(tmp_path, monkeypatch):
    """As a machine with faulty memory, or a wrong build, would give."""
    small().run(tmp_path / "s.db")
    with _store.Store(tmp_path / "s.db", create=False) as store:
        number, description, ids = store.campaign()
        assert description.replicates == 3000
        nodes = store.nodes(ids[:1])[ids[0]]
        node = next(iter(nodes))
        wrong = nodes[node].copy()
        wrong["mean"] += 1e-12
        run = store.begin_run(number, {})
        with pytest.raises(StoreError, match="were computed twice, with different results"):
            store.commit([_store.Answer((ids[0],), node, wrong[None], "cpu avx2", 1)], run=run)
        store.commit([_store.Answer((ids[0],), node, nodes[node][None], "cpu avx2", 1)], run=run)
        assert store.nodes(ids[:1])[ids[0]].keys() == nodes.keys()


# --- files that are no sound store


@pytest.mark.parametrize("use", ["load", "estimate", "run"])
def test_files_that_are_no_stores(tmp_path, use):
    def opened(path):
        return {
            "load": lambda: Campaign.load(path),
            "estimate": lambda: estimate(small(), path),
            "run": lambda: small().run(path),
        }[use]()

    (tmp_path / "text.db").write_text("not a database at all")
    with pytest.raises(StoreError, match=r"text.db' is no store of campaigns"):
        opened(tmp_path / "text.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE people (name TEXT)")
        other.commit()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(StoreError, match="is an SQLite database, but no store of campaigns"):
        opened(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before
    with pytest.raises(StoreError, match=r"is a folder; a store is one file"):
        opened(tmp_path)
    with pytest.raises(StoreError, match=r"does not exist"):
        opened(tmp_path / "no" / "folder.db") if use == "run" else Campaign.load(tmp_path / "none.db")


def test_an_empty_file_is_a_store_to_be_and_not_one_to_read(tmp_path):
    (tmp_path / "s.db").touch()
    with pytest.raises(StoreError, match=r"s.db' is empty"):
        Campaign.load(tmp_path / "s.db")
    assert small().run(tmp_path / "s.db").complete


def changed(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 1", "has schema version 1, of an older version of anneal_sgd.* export it with that"),
        ("PRAGMA user_version = 99", "has schema version 99, of a newer version of anneal_sgd"),
        ("UPDATE meta SET value = '1'", "is damaged: its created_by has changed"),
        ("DELETE FROM meta", "holds trajectories of stream version None"),
        ("DELETE FROM campaign", "holds no campaign yet"),
        ("DELETE FROM config WHERE id = 3", "is damaged: 1 of 24 configs are lost"),
        ("DELETE FROM statistic WHERE config = 3", "is damaged: 3000 replicates of config 3 were stored, 0 are there"),
        ("UPDATE statistic SET stop = 4096 WHERE config = 3", "is damaged: the statistics of config 3, replicates"),
        ("UPDATE statistic SET cells = zeroblob(96)", "is damaged: the statistics of config 1, replicates"),
        ("UPDATE config SET description = '{}' WHERE id = 2", "is damaged: the description of config 2 has changed"),
        (
            "UPDATE config SET replicates = 5 WHERE id = 2",
            "the number of replicates of config 2 has changed",
        ),
        ("UPDATE campaign SET description = '{}'", "is damaged: the description of the campaign has changed"),
        ("UPDATE run SET environment = '{}'", "is damaged: the description of run 1 has changed"),
        ("UPDATE run SET started = 'yesterday'", "is damaged: the description of run 1 has changed"),
        ("UPDATE run SET finished = NULL", "is damaged: the description of run 1 has changed"),
        ("UPDATE run SET trajectory_steps = 1", "is damaged: the description of run 1 has changed"),
        ("DROP TABLE statistic", "is damaged: its schema has changed, in table 'statistic'"),
        ("CREATE VIEW people AS SELECT 1", "is damaged: its schema has changed, in view 'people'"),
        ("CREATE INDEX i ON run (started)", "is damaged: its schema has changed, in index 'i' of 'run'"),
        (
            "CREATE TRIGGER t AFTER INSERT ON statistic BEGIN DELETE FROM statistic; END",
            "is damaged: its schema has changed, in trigger 't' of 'statistic'",
        ),
    ],
)
def test_what_was_changed_is_noticed(tmp_path, statement, message):
    small().run(tmp_path / "s.db")
    changed(tmp_path / "s.db", statement)
    with pytest.raises(StoreError, match=message):
        Campaign.load(tmp_path / "s.db")


def test_a_store_of_another_stream_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(_store, "STREAM_VERSION", 1)
        small().run(tmp_path / "s.db")
    with pytest.raises(StoreError, match="holds trajectories of stream version 1, this version of anneal_sgd makes th"):
        Campaign.load(tmp_path / "s.db")


def test_an_error_that_is_kept_keeps_no_lock(tmp_path):
    """As notebooks keep the last one: another process would wait for it in vain."""
    path = tmp_path / "s.db"
    small().run(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"trajectory_steps", b"\xffrajectory_steps", 1))
    with pytest.raises(StoreError, match="is damaged") as kept:
        Campaign.load(path)
    path.write_bytes(content)
    other = sqlite3.connect(path, timeout=0.1, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        other.execute("COMMIT")
    assert kept.value


# --- damage at random places


def damageable(replicates):
    return Campaign(
        ProblemGrid(noisy, slope=[0.1, 0.3]), [schedules.Linear()], rho=[1.0, 4.0], horizon=20, replicates=replicates
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a store, its export, its runs, and the statistics that it grows to."""
    folder = tmp_path_factory.mktemp("sound")
    result = damageable(1500).run(folder / "s.db")
    content = (folder / "s.db").read_bytes()
    result.export(folder / "r.csv")
    grown = damageable(2600).run(folder / "s.db")
    return content, (folder / "r.csv").read_bytes(), result.runs, arrays(grown)


@pytest.fixture
def in_time():
    """Makes a hang a failure."""

    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    yield lambda: signal.alarm(60)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check(content, sound, tmp_path, capsys):
    """Whether a damaged store is told to be one, in each use; else it gives what the sound one gives."""
    _, export, runs, grown = sound
    path, out = tmp_path / "damaged.db", tmp_path / "damaged.csv"
    path.write_bytes(content)
    out.unlink(missing_ok=True)
    told = cli.main(["export", str(path), "-o", str(out)]) == 2
    if told:
        message = capsys.readouterr().err
        assert message.startswith("anneal-sgd: ")
        assert message.count("\n") == 1
        assert not out.exists()
        with pytest.raises(StoreError):
            Campaign.load(path)
    else:
        assert out.read_bytes() == export
        assert Campaign.load(path).runs == runs
    with contextlib.suppress(StoreError):
        assert arrays(damageable(2600).run(path)) == grown
    return told


many = pytest.mark.parametrize("examples", [60, pytest.param(4000, marks=pytest.mark.slow)])


@many
def test_flipped_bits_give_no_wrong_number(sound, tmp_path, capsys, in_time, examples):
    used = [i for i, byte in enumerate(sound[0]) if byte]
    told = []

    @given(st.lists(st.tuples(st.sampled_from(used), st.integers(0, 7)), min_size=1, max_size=3))
    @settings(max_examples=examples, deadline=None, database=None)
    def flipped(flips):
        in_time()
        content = bytearray(sound[0])
        for place, bit in flips:
            content[place] ^= 1 << bit
        told.append(check(content, sound, tmp_path, capsys))

    flipped()
    assert any(told)


@many
def test_truncated_files_give_no_wrong_number(sound, tmp_path, capsys, in_time, examples):
    @given(cut=st.integers(0, len(sound[0]) - 1), rest=st.binary(max_size=40))
    @settings(max_examples=examples, deadline=None, database=None)
    def cut_off(cut, rest):
        in_time()
        assert check(sound[0][:cut] + rest, sound, tmp_path, capsys) or rest

    cut_off()


def test_every_flip_in_the_schema_is_told(sound, tmp_path, capsys, in_time):
    """A bit of every seventh letter of the text that makes the tables."""
    statements = [text.strip().encode() for text in _store._SCHEMA.split(";")[:-1]]
    assert len(statements) == 6
    for statement in statements:
        start = sound[0].index(statement)
        for place in range(start, start + len(statement), 7):
            in_time()
            content = bytearray(sound[0])
            content[place] ^= 1
            assert check(content, sound, tmp_path, capsys)


def test_memory_does_not_grow_with_the_length_of_a_run(tmp_path):
    """Ten times the replicates, in ten times as many shards, take no more memory."""
    script = """
import resource, sys
sys.path.insert(0, {here!r})
from campaign_cases import small
from anneal_sgd.campaigns import _run
_run.HERE_SECONDS, _run.COMMIT_SECONDS, _run.FIRST_RATE = 1e-6, 0.02, 1.0
small(replicates=1024 * 16).run(sys.argv[1])
first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small(replicates=1024 * 160).run(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first)
"""
    path = tmp_path / "memory.py"
    path.write_text(script.format(here=str(HERE)))
    done = subprocess.run([sys.executable, path, tmp_path / "s.db"], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # KiB
