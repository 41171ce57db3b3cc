"""Reads a host's history: what it held at some time, and everything it was ever told under some keys.

Works on the file alone, on any thread and beside the agent that writes it. What is read is folded as the journal folds
it and verified by the fingerprints that every stream carries: a damaged entry is found, never believed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from adapters.history import check
from core.types import utc_text
from core.why.history import Learnt
from crdt.fact import STREAM_FACTS_MAX, Delta, Fact, Origin, StreamHead
from crdt.store import Joined, Store

LEARNT_MAX = 100_000
"""Facts that one look into the past may bring: more than anybody reads."""


class HistoryError(Exception):
    """The history does not say; the text says why."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a host held at some time."""

    asked_ms: int
    """The time that was asked for, on the host's wall clock."""
    entry_ms: int
    """When it had learnt the last of it."""
    number: int
    """Number of that entry."""
    streams: tuple[Delta, ...]
    """Whole streams, verified."""
    is_stepped: bool
    """Earlier entries bear later times: the clock was set back."""
    gap: str
    """Why what happened just after the entry is not known; empty when nothing is missing."""


@dataclass(slots=True)
class _Folded:
    """A stream as rows make it."""

    head: StreamHead
    """Where it stands."""
    facts: dict[str, Fact] = field(default_factory=dict)
    """Newest of each key."""


def past(path: Path, at_ms: int) -> Past:
    """Return what the host held at a time. O(one segment). Raises: HistoryError."""
    with _opened(path) as database:
        segments = database.execute("SELECT first, at_ms, least_ms, gap FROM segments ORDER BY first").fetchall()
        if not segments:
            raise HistoryError("the history is empty")
        fitting = [index for index, segment in enumerate(segments) if segment[2] <= at_ms]
        if not fitting:
            raise HistoryError(f"the history of this host begins at {utc_text(segments[0][1])} UTC")
        index = fitting[-1]
        end = segments[index + 1][0] if index + 1 < len(segments) else 1 << 62
        rows = database.execute(
            "SELECT number, at_ms, body FROM entries WHERE number >= ? AND number < ? ORDER BY number",
            (segments[index][0], end),
        ).fetchall()
        last = max(place for place, row in enumerate(rows) if row[1] <= at_ms)
        gap = ""
        if last == len(rows) - 1 and index + 1 < len(segments) and segments[index + 1][3]:
            gap = f"until {utc_text(segments[index + 1][1])} UTC {segments[index + 1][3]}"
        streams = _folded([row[2] for row in rows[: last + 1]])
        is_stepped = any(row[1] > at_ms for row in rows[:last])
        return Past(at_ms, rows[last][1], rows[last][0], streams, is_stepped, gap)


def learnt(path: Path, needles: Sequence[str], *, until: int | None = None) -> tuple[Learnt, ...]:
    """Return every fact with a key that contains one of the texts, in the order in which it was learnt; each once.

    `until` is the number of the last entry that counts. O(size of the file). Raises: HistoryError.
    """
    found: dict[tuple[Origin, int], Learnt] = {}
    with _opened(path) as database:
        first = {row[0] for row in database.execute("SELECT first FROM segments")}
        begun = min(first, default=0)
        condition = " OR ".join("instr(body, ?)" for _ in needles)
        rows = database.execute(
            f"SELECT number, at_ms, body FROM entries WHERE number <= ? AND ({condition}) ORDER BY number",
            (1 << 62 if until is None else until, *(needle.encode() for needle in needles)),
        )
        begun_ms = database.execute("SELECT at_ms FROM segments WHERE first = ?", (begun,)).fetchone()
        for number, at_ms, body in rows:
            is_older = begun_ms is not None and at_ms == begun_ms[0]
            for origin, fact in _facts_about(number, body, needles):
                found.setdefault((origin, fact.seq), Learnt(number, at_ms, is_older, origin, fact))
            if len(found) > LEARNT_MAX:
                raise HistoryError(f"more than {LEARNT_MAX} facts are about that; ask for less")
    return tuple(found.values())


def _facts_about(number: int, body: bytes, needles: Sequence[str]) -> Iterator[tuple[Origin, Fact]]:
    """Yield an entry's facts under keys that contain one of the texts; of the others nothing is made."""
    try:
        deltas, _ = msgpack.unpackb(body, max_array_len=STREAM_FACTS_MAX)
        for peer, incarnation, _since, _seq, _floor, _mark, facts in deltas:
            for fact in facts:
                key = fact[1]
                if any(needle in key for needle in needles):
                    yield Origin(peer, incarnation), Fact(*fact)
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise HistoryError(f"the history is damaged at entry {number}: {error}") from None


def _folded(bodies: Sequence[bytes]) -> tuple[Delta, ...]:
    """Do to streams what the journal's commits did. Raises: HistoryError."""
    streams: dict[Origin, _Folded] = {}
    for body in bodies:
        deltas, dropped = _deltas(0, body)
        for delta in deltas:
            held = streams.get(delta.origin)
            if held is not None and delta.head.seq <= held.head.seq:
                continue
            if held is None or delta.since == 0:
                held = streams[delta.origin] = _Folded(delta.head)
            held.head = delta.head
            for fact in delta.facts:
                # Last, in place of an older one: facts are kept in the order of their numbers.
                held.facts.pop(fact.key, None)
                held.facts[fact.key] = fact
        for origin in dropped:
            streams.pop(origin, None)
    store, whole = Store(), []
    for origin, folded in sorted(streams.items()):
        floor = folded.head.floor
        facts = tuple(fact for fact in folded.facts.values() if fact.body is not None or fact.seq > floor)
        delta = Delta(origin, 0, folded.head, tuple(sorted(facts, key=_seq)))
        if not isinstance(store.join(delta), Joined):
            raise HistoryError(f"the history is damaged: the facts of {origin.peer} do not fit their checksums")
        whole.append(delta)
    return tuple(whole)


def _deltas(number: int, body: bytes) -> tuple[list[Delta], list[Origin]]:
    try:
        deltas, dropped = msgpack.unpackb(body, max_array_len=STREAM_FACTS_MAX)
        return [_delta(*values) for values in deltas], [Origin(*values) for values in dropped]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise HistoryError(f"the history is damaged at entry {number}: {error}") from None


def _delta(peer: str, incarnation: int, since: int, seq: int, floor: int, mark: bytes, facts: list[Any]) -> Delta:
    head = StreamHead(seq, floor, int.from_bytes(mark, "big"))
    return Delta(Origin(peer, incarnation), since, head, tuple(Fact(*values) for values in facts))


def _seq(fact: Fact) -> int:
    return fact.seq


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise HistoryError(f"there is no history at {path}: the agent has not run yet, or with --history-size 0")
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            check(database)
            database.execute("BEGIN")
            yield database
        finally:
            database.close()
    except sqlite3.Error as error:
        raise HistoryError(f"the history {path} cannot be read: {error}") from None
