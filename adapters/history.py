"""What this host learnt, and when: its journal's commits, one after another, in a file of their own.

The journal says how things stand, this file how they came to stand so. It consists of segments: each begins with
everything that the journal held, and goes on with what was committed since, so that the oldest can be forgotten and
the rest still be read. Entries are in the order of their numbers; the wall clock may have stepped in between.

Invariant: what folding the newest segment gives is what the journal holds, or the next entry begins a new segment. So
nothing depends on this file: it is written after the journal and without syncs of its own, a disk that refuses it, a
kill between the two or a journal from a backup cost a gap that is shown, and a damaged file is begun anew.

Not here: reading, see `history_reader`. Used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgpack

from core.effects import Persist
from crdt.fact import Delta, Origin

APPLICATION_ID = 0x57454148
"""`WEAH`: tells a history from any other database."""
SCHEMA_VERSION = 1
AGE_MAX_MS = 7 * 86_400_000
"""What is older is forgotten: a week covers the holidays after which somebody asks."""
SEGMENTS = 16
"""Into so many parts size and age are divided; what is forgotten at once is one of them."""
FINGERPRINT_SIZE = 16
WAL_KEPT_SIZE = 1024 * 1024
"""Bytes that the write-ahead log may keep."""
ENTRY_OVERHEAD = 32
"""Bytes that an entry counts for besides its content."""

_SCHEMA = (
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body BLOB NOT NULL) STRICT",
    "CREATE TABLE segments (first INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, least_ms INTEGER NOT NULL, "
    "base INTEGER NOT NULL, size INTEGER NOT NULL, gap TEXT NOT NULL) STRICT",
    "CREATE TABLE heads (peer TEXT NOT NULL, incarnation INTEGER NOT NULL, seq INTEGER NOT NULL, "
    "fingerprint BLOB NOT NULL, PRIMARY KEY (peer, incarnation)) STRICT, WITHOUT ROWID",
)

Heads = dict[Origin, tuple[int, int]]
"""Number and fingerprint by origin."""
News = tuple[int, list[Delta], tuple[Origin, ...]]
"""When on the wall clock, what was learnt, and what was forgotten."""


class History:
    """The file, open for writing. Never raises what the disk says: it is in `trouble`, and tries again."""

    def __init__(self, path: Path, streams: Callable[[], Iterable[Delta]], *, size_max: int) -> None:
        """Open or begin it. `streams` yields all that the journal holds now, as whole streams."""
        self.trouble = ""
        """Why nothing is written at present; empty when it is."""
        self._path = path
        self._streams = streams
        self._size_max = size_max
        self._database: sqlite3.Connection | None = None
        self._heads: Heads = {}
        self._number = 0
        self._first = 0
        self._began_ms = 0
        self._base = 0
        self._size = 0
        self._gap = "there was no history before"

    def begin(self, heads: Heads, at_ms: int) -> None:
        """Go on after a start, with what the journal holds."""
        for _ in range(2):
            # A damaged file is put away at the first try.
            self.trouble = ""
            self._guarded(self._open)
        if heads != self._heads and self._heads:
            self._gap = "the agent was stopped before it could write, or its journal was replaced"
        if heads != self._heads or not self._first:
            self._guarded(lambda: self._begin_segment(at_ms))

    def learn(self, commits: Sequence[tuple[int, Persist]]) -> None:
        """Write what has been committed, each with when, on the wall clock; the journal holds nothing newer.

        O(facts in the deltas), now and then O(all facts).
        """
        if not commits:
            return
        at_ms = commits[-1][0]
        if self._database is None or self.trouble or self._first == 0:
            self.trouble = ""
            if self._database is None:
                self._guarded(self._open)
            self._guarded(lambda: self._begin_segment(at_ms))
            return
        news = self._news(commits)
        if not news:
            return
        is_long = self._size - self._base >= max(self._size_max // SEGMENTS, self._base)
        is_old = not 0 <= at_ms - self._began_ms < AGE_MAX_MS // SEGMENTS
        if is_long or is_old:
            self._gap = ""
            self._guarded(lambda: self._begin_segment(at_ms))
        else:
            self._guarded(lambda: self._append(news))

    def close(self) -> None:
        """Let the file go."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _news(self, commits: Sequence[tuple[int, Persist]]) -> list[News]:
        """Return what of commits was new to the journal."""
        held: dict[Origin, int] = {}
        found: list[News] = []
        for at_ms, persist in commits:
            deltas = []
            for delta in persist.deltas:
                if delta.head.seq > held.get(delta.origin, self._heads.get(delta.origin, (0, 0))[0]):
                    deltas.append(delta)
                    held[delta.origin] = delta.head.seq
            held.update(dict.fromkeys(persist.dropped, 0))
            if deltas or persist.dropped:
                found.append((at_ms, deltas, persist.dropped))
        return found

    def _append(self, news: list[News]) -> None:
        database = self._database
        assert database is not None, "opened before"
        number, size, rows = self._number, 0, []
        touched: Heads = {}
        gone: dict[Origin, None] = {}
        for at_ms, deltas, dropped in news:
            number += 1
            body = packed(deltas, dropped)
            size += len(body) + ENTRY_OVERHEAD
            rows.append((number, at_ms, body))
            for delta in deltas:
                touched[delta.origin] = (delta.head.seq, delta.head.fingerprint)
            for origin in dropped:
                touched.pop(origin, None)
                gone[origin] = None
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
        database.execute(
            "UPDATE segments SET size = size + ?, least_ms = min(least_ms, ?) WHERE first = ?",
            (size, min(at_ms for at_ms, _, _ in news), self._first),
        )
        database.executemany("DELETE FROM heads WHERE peer = ? AND incarnation = ?", list(gone))
        self._write_heads(touched)
        database.execute("COMMIT")
        self._number, self._size = number, self._size + size
        for origin in gone:
            self._heads.pop(origin, None)
        self._heads.update(touched)

    def _begin_segment(self, at_ms: int) -> None:
        """Write all that the journal holds, and forget what is beyond size and age."""
        database = self._database
        assert database is not None, "opened before"
        number, first, size = self._number, self._number + 1, 0
        heads: Heads = {}
        database.execute("BEGIN IMMEDIATE")
        for delta in self._streams():
            number += 1
            body = packed([delta], [])
            size += len(body) + ENTRY_OVERHEAD
            if 2 * size > self._size_max:
                raise _TooLarge(
                    f"all facts together have more than half of the {self._size_max} bytes that --history-size allows"
                )
            database.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, at_ms, body))
            heads[delta.origin] = (delta.head.seq, delta.head.fingerprint)
        if number < first:
            number = first
            database.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, at_ms, packed([], [])))
        database.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", (first, at_ms, at_ms, size, size, self._gap))
        database.execute("DELETE FROM heads")
        self._write_heads(heads)
        self._forget(at_ms)
        database.execute("COMMIT")
        self._heads, self._number, self._first, self._gap = heads, number, first, ""
        self._began_ms, self._base, self._size = at_ms, size, size

    def _forget(self, at_ms: int) -> None:
        database = self._database
        assert database is not None, "opened before"
        segments = database.execute("SELECT first, at_ms, size FROM segments ORDER BY first").fetchall()
        total = sum(size for _, _, size in segments)
        kept = 0
        # A segment is needed for as long as the next one begins within the time that is kept.
        while kept < len(segments) - 1 and (total > self._size_max or segments[kept + 1][1] <= at_ms - AGE_MAX_MS):
            total -= segments[kept][2]
            kept += 1
        database.execute("DELETE FROM entries WHERE number < ?", (segments[kept][0],))
        database.execute("DELETE FROM segments WHERE first < ?", (segments[kept][0],))

    def _write_heads(self, heads: Heads) -> None:
        assert self._database is not None, "opened before"
        self._database.executemany(
            "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?)",
            [
                (*origin, seq, fingerprint.to_bytes(FINGERPRINT_SIZE, "big"))
                for origin, (seq, fingerprint) in heads.items()
            ],
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do something; whatever the disk says ends it, undoes it, and is said in `trouble`."""
        if self.trouble:
            return
        try:
            work()
        except (sqlite3.Error, OSError, _TooLarge) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._database is not None and self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self.trouble = str(error)
        self._gap = f"it could not be written: {error}"
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            # What happened before is lost; what happens from now on need not be.
            self._drop_file()
            self._gap = f"the history before was damaged: {error}"

    def _open(self) -> None:
        if self._database is not None:
            return
        self._path.touch(mode=0o600)
        database = sqlite3.connect(self._path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._database = database
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_SIZE}")
            if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                database.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA:
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                database.execute("COMMIT")
            check(database)
            self._load(database)
        except sqlite3.Error:
            self.close()
            raise

    def _load(self, database: sqlite3.Connection) -> None:
        rows = database.execute("SELECT peer, incarnation, seq, fingerprint FROM heads").fetchall()
        self._heads = {Origin(peer, life): (seq, int.from_bytes(mark, "big")) for peer, life, seq, mark in rows}
        self._number = database.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()[0]
        last = database.execute("SELECT first, at_ms, base, size FROM segments ORDER BY first DESC LIMIT 1").fetchone()
        if last is not None:
            self._first, self._began_ms, self._base, self._size = last

    def _drop_file(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._heads, self._number, self._first = {}, 0, 0


class _TooLarge(Exception):
    """The history would hold little more than the present."""


def packed(deltas: Iterable[Delta], dropped: Iterable[Origin]) -> bytes:
    """Return an entry's body."""
    body: bytes = msgpack.packb(
        [
            [
                [
                    *delta.origin,
                    delta.since,
                    delta.head.seq,
                    delta.head.floor,
                    delta.head.fingerprint.to_bytes(FINGERPRINT_SIZE, "big"),
                    [[fact.seq, fact.key, fact.kind, fact.body] for fact in delta.facts],
                ]
                for delta in deltas
            ],
            [list(origin) for origin in dropped],
        ]
    )
    return body


def check(database: sqlite3.Connection) -> None:
    """See that a database is a history that we can read. Raises: sqlite3.DatabaseError."""
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise sqlite3.DatabaseError("a database of another program")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"of schema {version}, this version knows {SCHEMA_VERSION}")
