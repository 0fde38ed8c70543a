"""The file in which a campaign's statistics live: an SQLite database. SQLite is used here and nowhere else.

Every commit is a transaction: after `kill -9`, a power cut or a full disk the file holds all earlier commits. Every
row carries a checksum and is checked when it is read, and the schema is compared with what it must be: SQLite itself
would give back a flipped bit. docs/campaigns.md describes the tables.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._core import STREAM_VERSION, __version__
from ..problems import Problem
from ._build import Build
from ._cells import CELL, Cells, Range, from_moments, sibling, to_moments
from ._description import Description

StorePath: TypeAlias = "str | os.PathLike[str]"

APPLICATION_ID = 0x41534744  # "ASGD"
SCHEMA_VERSION = 2
_MAGIC = b"SQLite format 3\x00"
_LOCK_SECONDS = 60.0
_TOGETHER = 500  # configs of one query

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE problem (digest TEXT PRIMARY KEY, text TEXT NOT NULL, minimum REAL, checksum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE config (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, description TEXT NOT NULL, replicates INTEGER NOT NULL,
    checksum BLOB NOT NULL);
CREATE TABLE statistic (
    config INTEGER NOT NULL REFERENCES config (id), first INTEGER NOT NULL, stop INTEGER NOT NULL,
    cells BLOB NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY (config, first)) WITHOUT ROWID;
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY, description TEXT NOT NULL, configs BLOB NOT NULL, checksum BLOB NOT NULL UNIQUE);
CREATE TABLE run (
    id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL, started REAL NOT NULL, finished REAL, environment TEXT NOT NULL,
    backends TEXT NOT NULL, trajectory_steps INTEGER NOT NULL, checksum BLOB NOT NULL);
"""


class StoreError(RuntimeError):
    """A file that is no store of campaigns, is damaged, full or locked, or belongs to another version."""


@dataclass(frozen=True)
class Answer:
    """Statistics of configs on one node: cells[i] are those of the config of that id."""

    ids: tuple[int, ...]
    node: Range
    cells: Cells  # (configs, cells)
    backend: str
    """What computed it, such as "cpu avx512"."""
    trajectory_steps: int
    host: str = ""
    build: Build | None = None  # as a worker of a version without these sends it


class Store:
    """One open store; for one thread. Use it in a `with` statement."""

    def __init__(self, path: StorePath, *, create: bool) -> None:
        """Open and check a store; StoreError where it is none, or OSError where the file cannot be opened."""
        self.path = Path(path)
        if self.path.is_dir():
            raise StoreError(f"store '{self.path}' is a folder; a store is one file")
        size = _size(self.path)
        if not create and not size:
            what = "does not exist" if size is None else "is empty"
            raise StoreError(f"store '{self.path}' {what}")
        if size and (head := _head(self.path)) != _MAGIC:
            was = "a store whose beginning is lost" if head[:6] == _MAGIC[:6] else "no store of campaigns"
            raise StoreError(f"store '{self.path}' is {was}")
        if create and size is None and not self.path.parent.is_dir():
            raise StoreError(f"store '{self.path}': folder '{self.path.parent}' does not exist")
        self._hashes: dict[int, bytes] = {}
        with self._explained():
            self._db = self._connected(create=create)
        try:
            with self._explained():
                if create and self._number("application_id") == 0:
                    self._create()
                self._check()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Store:
        """The store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._db.close()

    # --- opening

    def _connected(self, *, create: bool) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        mode = "rwc" if create else "rw" if os.access(self.path, os.W_OK) else "ro"
        return sqlite3.connect(f"{uri}?mode={mode}", uri=True, timeout=_LOCK_SECONDS, isolation_level=None)

    def _create(self) -> None:
        with self._transaction("EXCLUSIVE"):
            if self._number("application_id") == APPLICATION_ID:  # another process was faster
                return
            if self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return  # somebody else's database
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            meta = {"stream_version": str(STREAM_VERSION), "created_by": f"anneal_sgd {__version__}"}
            self._db.executemany(
                "INSERT INTO meta VALUES (?, ?, ?)", [(k, v, _checksum(k, v)) for k, v in meta.items()]
            )
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _check(self) -> None:
        if self._number("application_id") != APPLICATION_ID:
            raise StoreError(f"store '{self.path}' is an SQLite database, but no store of campaigns")
        version = self._number("user_version")
        if version != SCHEMA_VERSION:
            whose = "a newer" if version > SCHEMA_VERSION else "an older"
            raise StoreError(
                f"store '{self.path}' has schema version {version}, of {whose} version of anneal_sgd; this one, "
                f"{__version__}, reads {SCHEMA_VERSION}: export it with that version, or use another file"
            )
        different = dict(set(_schema(self._db)) ^ set(_right_schema()))
        if different:
            raise self._damaged(f"its schema has changed, in {', '.join(sorted(different))}")
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self._damaged(found)
        meta = {}
        with contextlib.closing(self._db.execute("SELECT * FROM meta")) as rows:
            for name, value, check in rows:
                if check != _checksum(name, value):
                    raise self._damaged(f"its {name} has changed")
                meta[name] = value
        if meta.get("stream_version") != str(STREAM_VERSION):
            raise StoreError(
                f"store '{self.path}' holds trajectories of stream version {meta.get('stream_version')}, this version "
                f"of anneal_sgd makes those of {STREAM_VERSION}: they are not mixed; use another file"
            )

    def data_version(self) -> int:
        """A number that changes when another connection commits."""
        with self._explained():
            return self._number("data_version")

    def _number(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    # --- writing

    def enrol(
        self, identities: Sequence[tuple[bytes, str]], description: Description, solved: Mapping[str, Problem]
    ) -> tuple[int, list[int]]:
        """Make room for the configs of a campaign, remember it; returns its number and the configs' ids, in order.

        `solved`: by digest, problems whose minimum is needed: known ones are taken from the store, so that every run
        subtracts the same f*.
        """
        with self._explained():
            known = self._minima()
        for digest in known.keys() & solved.keys():
            solved[digest]._take_minimum(known[digest])
        new = {  # may take long: no lock is held
            digest: (repr(problem), float(problem.minimum)) for digest, problem in solved.items() if digest not in known
        }
        blob = b"".join(hash_ for hash_, _ in identities)
        text = description.to_json()
        with self._explained(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO problem VALUES (?, ?, ?, ?)",
                ((digest, *row, _checksum(digest, *row)) for digest, row in new.items()),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO config (hash, description, replicates, checksum) VALUES (?, ?, 0, ?)",
                ((hash_, description, _checksum(hash_, 0)) for hash_, description in identities),
            )
            check = _checksum(text, blob)
            self._db.execute(
                "INSERT OR IGNORE INTO campaign (description, configs, checksum) VALUES (?, ?, ?)", (text, blob, check)
            )
            (number,) = self._db.execute("SELECT id FROM campaign WHERE checksum = ?", (check,)).fetchone()
            return number, self._ids([hash_ for hash_, _ in identities])

    def _minima(self) -> dict[str, float]:
        known = {}
        with contextlib.closing(self._db.execute("SELECT digest, text, minimum, checksum FROM problem")) as rows:
            for digest, text, value, check in rows:
                if check != _checksum(digest, text, value):
                    raise self._damaged(f"the minimum of problem {digest[:12]} has changed")
                known[digest] = value
        return known

    def begin_run(self, campaign: int, environment: dict[str, Any]) -> int:
        """Remember that a run begins, and what runs it; returns its id."""
        with self._explained(), self._transaction():
            (run,) = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM run").fetchone()
            self._put_run(run, campaign, time.time(), None, json.dumps(environment, sort_keys=True), "[]", 0)
            return int(run)

    def end_run(self, run: int) -> None:
        """Remember that a run has computed all it was to compute."""
        with self._explained(), self._transaction():
            ((*begun, _, environment, backends, steps),) = self._runs("WHERE id = ?", run)
            self._put_run(*begun, time.time(), environment, backends, steps)

    def commit(self, answers: Sequence[Answer], *, run: int) -> None:
        """Add statistics, all or none. What is there already, or part of what is there, changes nothing.

        So this may be called again where an interrupt leaves open whether it came before the end or after it.
        """
        with self._explained(), self._transaction():
            answers = [answer for answer in answers if self._add(answer)]
            ((*begun, backends, steps),) = self._runs("WHERE id = ?", run)
            backends = json.dumps(sorted({*json.loads(backends), *(answer.backend for answer in answers)}))
            self._put_run(*begun, backends, steps + sum(answer.trajectory_steps for answer in answers))

    def _runs(self, condition: str = "", *values: Any) -> Iterator[tuple[Any, ...]]:
        """All columns of runs but the checksum, which is right."""
        with contextlib.closing(self._db.execute(f"SELECT * FROM run {condition} ORDER BY id", values)) as rows:
            for *row, check in rows:
                if check != _checksum(*row):
                    raise self._damaged(f"the description of run {row[0]} has changed")
                yield tuple(row)

    def _put_run(self, *row: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _checksum(*row)))

    def take(self, other: Store, number: int, description: Description, ids: Sequence[int]) -> None:
        """Add what another store holds of a campaign, its number and configs there; StoreError where they conflict."""
        with other._explained():
            problems = list(other._db.execute("SELECT * FROM problem"))
            theirs, rows = other._minima(), list(other._runs("WHERE campaign = ?", number))
            texts = dict(other._db.execute("SELECT hash, description FROM config"))
        with self._explained():
            mine = self._minima()
        for digest, text, *_ in problems:
            if mine.get(digest, theirs[digest]) != theirs[digest]:
                raise StoreError(
                    f"store '{other.path}': the minimum of {text} is {theirs[digest]!r}, but {mine[digest]!r} in a "
                    "store before it: suboptimalities are not of one f*. Let every job begin with a copy of one store"
                )
        identities = [(other._hashes[id_], texts[other._hashes[id_]]) for id_ in ids]
        here, own_ids = self.enrol(identities, description, {})
        with self._explained(), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO problem VALUES (?, ?, ?, ?)", problems)
            for i in range(0, len(ids), _TOGETHER):
                nodes = other.nodes(ids[i : i + _TOGETHER])
                alike: dict[Range, list[int]] = {}
                for place, held in enumerate(nodes.values(), i):
                    for node in held:
                        alike.setdefault(node, []).append(place)
                for node, places in alike.items():
                    cells = np.stack([nodes[ids[place]][node] for place in places])
                    self._add(Answer(tuple(own_ids[place] for place in places), node, cells, "", 0), of=other.path)
            known = {row[2:] for row in self._runs()}
            (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()
            for run, row in enumerate((row[2:] for row in rows if row[2:] not in known), last + 1):
                self._put_run(run, here, *row)

    def _add(self, answer: Answer, *, of: Path | None = None) -> bool:
        """Whether any of it is new."""
        first, stop = answer.node
        if len(answer.cells) != len(answer.ids):
            raise RuntimeError(f"a shard of {len(answer.ids)} configs came back with {len(answer.cells)}")
        stored = self.nodes(answer.ids)
        places, added, dropped = [], [], []
        for place, id_ in enumerate(answer.ids):
            inside = [(f, s) for f, s in stored[id_] if first <= f and s <= stop]
            across = [(f, s) for f, s in stored[id_] if f < stop and first < s and (f, s) not in inside]
            if (first, stop) in inside:
                if stored[id_][first, stop].tobytes() != answer.cells[place].tobytes():
                    where = f"'{of}' and a store before it" if of else f"'{self.path}'"
                    raise StoreError(
                        f"store {where}: replicates {first} to {stop} of a config were computed twice, with different "
                        "results: one of the machines or builds is not to be trusted"
                    )
                continue
            if any(f <= first and stop <= s for f, s in across):
                continue
            if across:
                raise self._damaged(f"ranges of replicates overlap: {across[0]} and {(first, stop)}")
            places.append(place)
            replicates = stop - first + sum(s - f for f, s in stored[id_] if (f, s) not in inside)
            added.append((replicates, _checksum(self._hashes[id_], replicates), id_))
            dropped += [(id_, f) for f, _ in inside]
        self._db.executemany("DELETE FROM statistic WHERE config = ? AND first = ?", dropped)
        self._db.executemany("UPDATE config SET replicates = ?, checksum = ? WHERE id = ?", added)
        self._insert([answer.ids[i] for i in places], answer.node, answer.cells[places], stored)
        return bool(places)

    def _insert(self, ids: list[int], node: Range, cells: Cells, stored: dict[int, dict[Range, Cells]]) -> None:
        """Add a node; where its sibling is there, the parent in place of both: rows grow with log(replicates) only."""
        while ids:
            other = sibling(node)
            paired = [i for i, id_ in enumerate(ids) if other is not None and other in stored[id_]]
            alone = sorted(set(range(len(ids))) - set(paired))
            self._db.executemany(
                "INSERT INTO statistic VALUES (?, ?, ?, ?, ?)",
                (
                    (ids[i], *node, blob, self._statistic_checksum(ids[i], *node, blob))
                    for i, blob in ((i, cells[i].tobytes()) for i in alone)
                ),
            )
            if other is None or not paired:
                return
            ids = [ids[i] for i in paired]
            others = np.stack([stored[id_][other] for id_ in ids])
            cells = from_moments(to_moments([(node, cells[paired]), (other, others)]))
            self._db.executemany(
                "DELETE FROM statistic WHERE config = ? AND first = ?", [(id_, other[0]) for id_ in ids]
            )
            node = min(node[0], other[0]), max(node[1], other[1])

    # --- reading

    def ranges(self, ids: Sequence[int]) -> dict[int, list[Range]]:
        """The nodes that are stored of every config, checked as by `nodes`."""
        with self._explained(), self._snapshot():
            found: dict[int, list[Range]] = {id_: [] for id_ in ids}
            for id_, node, _ in self._statistics(ids):
                found[id_].append(node)
            return found

    def nodes(self, ids: Sequence[int]) -> dict[int, dict[Range, Cells]]:
        """The statistics of every config; StoreError where any is damaged or lost."""
        with self._explained(), self._snapshot():
            found: dict[int, dict[Range, Cells]] = {id_: {} for id_ in ids}
            for id_, node, blob in self._statistics(ids):
                found[id_][node] = np.frombuffer(blob, CELL)
            return found

    def _statistics(self, ids: Sequence[int]) -> Iterator[tuple[int, Range, bytes]]:
        """Config, node and cells of all that is stored of the configs, checked."""
        for i in range(0, len(ids), _TOGETHER):
            some = ids[i : i + _TOGETHER]
            marks = ",".join("?" * len(some))
            held = dict.fromkeys(some, 0)
            query = f"SELECT * FROM statistic WHERE config IN ({marks})"
            with contextlib.closing(self._db.execute(query, some)) as rows:
                for id_, first, stop, blob, check in rows:
                    if check != self._statistic_checksum(id_, first, stop, blob) or len(blob) % CELL.itemsize:
                        raise self._damaged(
                            f"the statistics of config {id_}, replicates {first} to {stop}, have changed"
                        )
                    held[id_] += stop - first
                    yield id_, (first, stop), blob
            query = f"SELECT id, replicates, checksum FROM config WHERE id IN ({marks})"
            with contextlib.closing(self._db.execute(query, some)) as rows:
                for id_, replicates, check in rows:
                    if check != _checksum(self._hashes[id_], replicates):
                        raise self._damaged(f"the number of replicates of config {id_} has changed")
                    if held[id_] != replicates:
                        raise self._damaged(
                            f"{replicates} replicates of config {id_} were stored, {held[id_]} are there"
                        )

    def held(self, identities: Sequence[tuple[bytes, str]]) -> list[list[Range]]:
        """The nodes that are stored of every config, in order; nothing is written."""
        with self._explained():
            known = self._known()
        ids = [known.get(hash_) for hash_, _ in identities]
        ranges = self.ranges([id_ for id_ in ids if id_ is not None])
        return [[] if id_ is None else ranges[id_] for id_ in ids]

    def campaigns(self) -> dict[int, str]:
        """The names of all campaigns, by their numbers."""
        with self._explained():
            names = {}
            query = "SELECT id, description, configs, checksum FROM campaign ORDER BY id"
            with contextlib.closing(self._db.execute(query)) as rows:
                for number, text, blob, check in rows:
                    if check != _checksum(text, blob) or len(blob) % 32:
                        raise self._damaged("the description of the campaign has changed")
                    names[number] = json.loads(text)["name"]
            return names

    def campaign(self, wanted: int | str | None = None) -> tuple[int, Description, list[int]]:
        """Number and description of a campaign, and the ids of its configs.

        By number or name; by default of the last that a run has computed something for, or finished.
        """
        known = self.campaigns()
        if not known:
            raise StoreError(f"store '{self.path}' holds no campaign yet")
        with self._explained():
            if wanted is None:
                computed = [row[1] for row in self._runs() if row[3] is not None or row[6] > 0]
                number = computed[-1] if computed else max(known)
            else:
                found = [n for n, name in known.items() if wanted in (n, name, str(n))]
                if not found:
                    named = ", ".join(f"{n} ({name!r})" for n, name in known.items())
                    raise StoreError(f"store '{self.path}' holds no campaign {wanted!r}; it holds {named}")
                number = found[-1]
            text, blob = self._db.execute(
                "SELECT description, configs FROM campaign WHERE id = ?", (number,)
            ).fetchone()
            hashes = [blob[i : i + 32] for i in range(0, len(blob), 32)]
            return number, Description.from_json(text), self._ids(hashes)

    def runs(self, campaign: int) -> list[dict[str, Any]]:
        """All runs of a campaign: when, what, how much."""
        with self._explained():
            found = []
            for _, number, started, finished, environment, backends, steps in self._runs():
                if number == campaign:
                    when = {"started": started, "finished": finished, "trajectory_steps": steps}
                    found.append({**when, **json.loads(environment), "backends": json.loads(backends)})
            return found

    def _known(self) -> dict[bytes, int]:
        known = {}
        with contextlib.closing(self._db.execute("SELECT id, hash, description FROM config")) as rows:
            for id_, hash_, text in rows:
                if hashlib.sha256(text.encode()).digest() != hash_:
                    raise self._damaged(f"the description of config {id_} has changed")
                known[hash_] = id_
        self._hashes = {id_: hash_ for hash_, id_ in known.items()}
        return known

    def _ids(self, hashes: Sequence[bytes]) -> list[int]:
        known = self._known()
        lost = [hash_ for hash_ in hashes if hash_ not in known]
        if lost:
            raise self._damaged(f"{len(lost)} of {len(hashes)} configs are lost")
        return [known[hash_] for hash_ in hashes]

    def _statistic_checksum(self, id_: int, first: int, stop: int, blob: bytes) -> bytes:
        return _checksum(self._hashes[id_], f"{first}-{stop}", blob)

    # --- errors

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        if self._db.in_transaction:  # an interrupt has broken it off before anything could end it
            self._db.execute("ROLLBACK")
        try:  # an interrupt during BEGIN is raised after it
            self._db.execute(f"BEGIN {kind}")
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is read within is of one moment: another process commits before or after it."""
        if self._db.in_transaction:
            yield
        else:
            with self._transaction("DEFERRED"):
                yield

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """StoreError for whatever a file can do to us."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text:
                raise StoreError(
                    f"store '{self.path}' has been in use by another process for more than {_LOCK_SECONDS:g} s"
                ) from None
            if "full" in text or "disk I/O" in text:
                raise StoreError(
                    f"store '{self.path}' cannot grow: {text}. What was committed before is safe; make room and run "
                    "again"
                ) from None
            if "readonly" in text or "unable to open" in text:
                raise StoreError(f"store '{self.path}': {text}") from None
            raise self._damaged(text) from None
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise self._damaged(str(error)) from None
        except (TypeError, AttributeError, KeyError, ValueError) as error:  # of values that nobody has written
            raise self._damaged(f"{type(error).__name__} {error}") from None

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"store '{self.path}' is damaged: {what}. Restore it from a copy, or begin another one")


def _checksum(*parts: object) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.digest()


def _schema(db: sqlite3.Connection) -> list[tuple[str, str | None]]:
    """What is in a database: kind, name and table, and the text that makes it."""
    with contextlib.closing(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema")) as rows:
        return [
            (f"{kind} {name!r}" + (f" of {table!r}" if table != name else ""), sql) for kind, name, table, sql in rows
        ]


@cache
def _right_schema() -> list[tuple[str, str | None]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_SCHEMA)
        return _schema(db)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))
