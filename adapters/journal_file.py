"""The journal's file: streams as rows of SQLite, so that a commit costs what it changes and not what is held.

Invariant: what the file holds of a stream is what `Store.join` would hold after the same deltas; so a delta that does
not reach back to the number held is refused, and with it all that was to be committed together with it. When the file
is opened, every stream is verified against its head, and the head against a checksum. What is wrong of others is
forgotten, for it will be heard again; what is wrong of our own ends this life and begins a new incarnation.

Not here: threads, queues, the lock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from core.config import Recovered
from core.effects import Persist
from core.types import PeerName
from crdt.fact import Delta, Fact, Origin, StreamHead
from crdt.store import Joined, Store

APPLICATION_ID = 0x57454156
"""`WEAV`: `file` and we ourselves tell a journal from any other database."""
SCHEMA_VERSION = 1
FINGERPRINT_SIZE = 16
INCARNATION_MAX = 1 << 40
"""Seconds that no clock shows and no count reaches: more is a damaged number, and we must not live on beyond it."""
BUSY_S = 2.0
"""How long an administrator's own transaction on the file is waited for."""
WAL_KEPT_SIZE = 4 * 1024 * 1024
"""Bytes that the write-ahead log may keep after a burst; SQLite's own checkpoints begin at as much."""
SET_ASIDE_MAX = 16
"""Damaged files kept for whoever wants to know why; the last one is then replaced."""

_SCHEMA = (
    "CREATE TABLE self (peer TEXT NOT NULL, incarnation INTEGER NOT NULL, checksum BLOB NOT NULL) STRICT",
    "CREATE TABLE streams (id INTEGER PRIMARY KEY, peer TEXT NOT NULL, incarnation INTEGER NOT NULL, "
    "seq INTEGER NOT NULL, floor INTEGER NOT NULL, fingerprint BLOB NOT NULL, checksum BLOB NOT NULL, "
    "UNIQUE (peer, incarnation)) STRICT",
    "CREATE TABLE facts (stream INTEGER NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, "
    "body BLOB, PRIMARY KEY (stream, key)) STRICT, WITHOUT ROWID",
    "CREATE INDEX deletions ON facts (stream, seq) WHERE body IS NULL",
)
_TROUBLE = frozenset(
    (
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    )
)
"""Errors that say something about the machine and nothing about what is in the file."""


class JournalError(Exception):
    """The journal cannot be used; the text says what to do."""


class _Damaged(Exception):
    """The file is no journal of this host."""


class _Refused(Exception):
    """A commit cannot be carried out, though the disk is well."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A journal's file and what was in it."""

    file: JournalFile
    """Ready for commits."""
    recovered: Recovered
    """What it held, verified."""
    notes: tuple[str, ...]
    """What was wrong with it, for the log; nothing as a rule."""


class JournalFile:
    """An open file. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Statements choose their transactions themselves; the opener and the writer are two threads, one after another.
        self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    @staticmethod
    def open(path: Path, peer: PeerName, *, wall_ms: int) -> Opened:
        """Open the file, or begin a new one when there is none or what is there is no journal of `peer`.

        A new incarnation is named by the seconds of the wall clock, or by more if the file knows of more.

        Raises: JournalError when the disk does not let us.
        """
        born = max(wall_ms // 1000, 1)
        try:
            try:
                return _opened(path, peer, born, ())
            except _Damaged as damage:
                born = max(born, _incarnation_seen(path, peer) + 1)
                note = _set_aside(path, str(damage))
                return _opened(path, peer, born, (note,))
        except sqlite3.Error as error:
            raise JournalError(trouble_text(path, error)) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise JournalError(f"journal {path}: {reason}; it must be a file we may write") from None

    def commit(self, persists: Sequence[Persist]) -> list[str | None]:
        """Commit all in one transaction, or none when the disk refuses; return for each why not, None if it is done.

        It is on disk when one of them asked for that. O(facts in the deltas), however long the streams.
        """
        database = self._database
        is_sync = any(persist.sync for persist in persists)
        try:
            # In WAL mode FULL means a sync per commit, NORMAL one per checkpoint.
            database.execute(f"PRAGMA synchronous = {'FULL' if is_sync else 'NORMAL'}")
            database.execute("BEGIN IMMEDIATE")
            results = [self._apply(persist) for persist in persists]
            database.execute("COMMIT")
        except sqlite3.Error as error:
            # Some errors have rolled back already.
            if database.in_transaction:
                database.execute("ROLLBACK")
            return [trouble_text(self._path, error)] * len(persists)
        return results

    def streams(self) -> Iterator[Delta]:
        """Yield all that the file holds, as whole streams. O(all facts)."""
        for _, delta, _ in self._stored():
            yield delta

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._database.close()

    def _apply(self, persist: Persist) -> str | None:
        database = self._database
        database.execute("SAVEPOINT one")
        try:
            for delta in persist.deltas:
                self._merge(delta)
            for origin in persist.dropped:
                self._forget(origin)
        except _Refused as refused:
            database.execute("ROLLBACK TO one")
            database.execute("RELEASE one")
            return str(refused)
        database.execute("RELEASE one")
        return None

    def _merge(self, delta: Delta) -> None:
        """Do to the rows what `Store.join` does to a stream."""
        database, origin, head = self._database, delta.origin, delta.head
        row = database.execute(
            "SELECT id, seq FROM streams WHERE peer = ? AND incarnation = ?", (origin.peer, origin.incarnation)
        ).fetchone()
        stream, held = (None, 0) if row is None else row
        if head.seq <= held:
            return
        if delta.since > held:
            raise _Refused(
                f"journal {self._path}: facts {held + 1} to {delta.since} of {origin.peer} are missing, "
                "because an earlier commit failed"
            )
        values = (
            head.seq,
            head.floor,
            head.fingerprint.to_bytes(FINGERPRINT_SIZE, "big"),
            _checksum(origin.peer, origin.incarnation, head.seq, head.floor, head.fingerprint),
        )
        if stream is None:
            stream = database.execute(
                "INSERT INTO streams (peer, incarnation, seq, floor, fingerprint, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                (origin.peer, origin.incarnation, *values),
            ).lastrowid
        else:
            database.execute(
                "UPDATE streams SET seq = ?, floor = ?, fingerprint = ?, checksum = ? WHERE id = ?", (*values, stream)
            )
        if delta.since == 0:
            database.execute("DELETE FROM facts WHERE stream = ?", (stream,))
        database.executemany(
            "INSERT OR REPLACE INTO facts (stream, key, seq, kind, body) VALUES (?, ?, ?, ?, ?)",
            [
                (stream, fact.key, fact.seq, fact.kind, fact.body)
                for fact in delta.facts
                if delta.since == 0 or fact.seq > held
            ],
        )
        database.execute("DELETE FROM facts WHERE stream = ? AND body IS NULL AND seq <= ?", (stream, head.floor))

    def _forget(self, origin: Origin) -> None:
        row = self._database.execute(
            "SELECT id FROM streams WHERE peer = ? AND incarnation = ?", (origin.peer, origin.incarnation)
        ).fetchone()
        if row is not None:
            self._delete(row[0])

    def recover(self, peer: PeerName, born: int, notes: tuple[str, ...]) -> Opened:
        """Verify all streams, forget what is wrong, and say who we are; durable on return.

        `born` names this life if it is a new one and the file knows of no higher name.

        Raises: _Damaged when the file is that of another peer or does not know its own.
        """
        database = self._database
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        row = database.execute("SELECT peer, incarnation, checksum FROM self").fetchone()
        if row is not None and row[2] != _checksum(row[0], row[1]):
            raise _Damaged("the name of its peer does not fit its checksum")
        if row is not None and row[0] != peer:
            raise _Damaged(f"it belongs to the peer {row[0]}, this one is {peer}")
        # The newest of ours is the present one: a replica that was rolled back has gone on under a higher number.
        present: int = max(row[1] if row else 0, _highest(database, peer))
        said, streams, store = list(notes), [], Store()
        is_new, has_own, has_lost = row is None, False, False
        for stream, delta, is_sound in self._stored():
            if is_sound and isinstance(store.join(delta), Joined):
                streams.append(delta)
                has_own = has_own or delta.origin == Origin(peer, present)
                continue
            self._delete(stream)
            has_lost = True
            text = f"journal {self._path}: forgot the facts of {delta.origin.peer}, which do not fit their checksums"
            said.append(text)
        if has_lost and not has_own:
            # What was lost may be ours, whatever name it bore in the end.
            is_new = True
            said.append("this host goes on under a new incarnation and learns from its peers what it had said")
        incarnation = max(born, present + 1) if is_new else present
        database.execute("DELETE FROM self")
        database.execute("INSERT INTO self VALUES (?, ?, ?)", (peer, incarnation, _checksum(peer, incarnation)))
        database.execute("COMMIT")
        return Opened(self, Recovered(Origin(peer, incarnation), tuple(streams)), tuple(said))

    def _stored(self) -> Iterator[tuple[int, Delta, bool]]:
        """Yield each stream's row number, the stream as one delta, and whether its head is what was written."""
        heads = self._database.execute(
            "SELECT id, peer, incarnation, seq, floor, fingerprint, checksum FROM streams ORDER BY peer, incarnation"
        ).fetchall()
        for stream, peer, incarnation, seq, floor, packed, checksum in heads:
            rows = self._database.execute(
                "SELECT seq, key, kind, body FROM facts WHERE stream = ? ORDER BY seq", (stream,)
            )
            fingerprint = int.from_bytes(packed, "big")
            head = StreamHead(seq, floor, fingerprint)
            delta = Delta(Origin(peer, incarnation), 0, head, tuple(Fact(*row) for row in rows))
            yield stream, delta, checksum == _checksum(peer, incarnation, seq, floor, fingerprint)

    def _delete(self, stream: int) -> None:
        self._database.execute("DELETE FROM facts WHERE stream = ?", (stream,))
        self._database.execute("DELETE FROM streams WHERE id = ?", (stream,))


def trouble_text(path: Path, error: sqlite3.Error) -> str:
    """Say for people what the disk did not do, and what they can do."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return f"journal {path}: no space left on device; free space under {path.parent}"
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"journal {path}: {error} ({name}); restart the agent, which sets the file aside and begins a new one"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"journal {path}: {error} ({name}); end the program that has opened it"
    return f"journal {path}: {error} ({name}); check the disk and the permissions of {path.parent}"


def _create(path: Path) -> None:
    # Before SQLite does: its write-ahead log then gets the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)


def _opened(path: Path, peer: PeerName, born: int, notes: tuple[str, ...]) -> Opened:
    """Open a file that is sound and ours, or begin it.

    Raises: _Damaged, sqlite3.Error when it is the disk's fault, JournalError when it comes from the future.
    """
    _create(path)
    file = JournalFile(path)
    try:
        _check(path, file._database)
        return file.recover(peer, born, notes)
    except (sqlite3.Error, UnicodeError) as error:
        file.close()
        if isinstance(error, sqlite3.Error) and _primary_code(error) in _TROUBLE:
            raise
        # SQLite quotes what it cannot read, and that need not be text.
        raise _Damaged("unreadable" if isinstance(error, UnicodeError) else str(error)) from None
    except BaseException:
        file.close()
        raise


def _check(path: Path, database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_SIZE}")
    if database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
        return
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise _Damaged("a database of another program")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"journal {path}: written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that version again, or move the file away"
        )
    statements = database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    if sorted(statements) != sorted((statement,) for statement in _SCHEMA):
        raise _Damaged("its tables are not those of a journal")
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _Damaged(str(verdict))


def _checksum(*values: str | int) -> bytes:
    """Return 8 bytes that depend on all values."""
    return blake2b("\0".join(str(value) for value in values).encode(), digest_size=8).digest()


def _highest(database: sqlite3.Connection, peer: PeerName) -> int:
    """Return the highest incarnation of `peer` among the streams, verified or not, 0 for none."""
    highest: int = database.execute(
        "SELECT coalesce(max(incarnation), 0) FROM streams WHERE peer = ? AND incarnation <= ?",
        (peer, INCARNATION_MAX),
    ).fetchone()[0]
    return highest


def _incarnation_seen(path: Path, peer: PeerName) -> int:
    """Return the highest incarnation of ours that a damaged file still tells of, 0 for none."""
    seen = 0
    for query in ("SELECT incarnation FROM self WHERE peer = ?", "SELECT max(incarnation) FROM streams WHERE peer = ?"):
        database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            # Lets SQLite read what is left of a file that was cut off.
            database.execute("PRAGMA writable_schema = ON")
            row = database.execute(query, (peer,)).fetchone()
        except (sqlite3.DatabaseError, UnicodeError):
            # That part is beyond reading, which is why we are here.
            continue
        finally:
            database.close()
        if row is not None and isinstance(row[0], int) and row[0] <= INCARNATION_MAX:
            seen = max(seen, row[0])
    return seen


def _set_aside(path: Path, why: str) -> str:
    """Move a file out of the way; return what to tell people."""
    names = [path.with_name(f"{path.name}.corrupt-{number}") for number in range(1, SET_ASIDE_MAX + 1)]
    new = next((name for name in names if not name.exists()), names[-1])
    os.replace(path, new)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            os.replace(beside, new.with_name(new.name + suffix))
    return (
        f"journal {path} cannot be used: {why}; it was set aside as {new.name} and a new one begun: "
        "this host goes on under a new incarnation and learns from its peers what it had said"
    )


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's error code without its extension, 0 when the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
