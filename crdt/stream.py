"""One origin's facts at one sequence number.

Invariants: a Stream is immutable; its content is a function of `(origin, seq)` (law S2). For that, the floor moves
only together with an append, and deltas apply whole or not at all. Per key only the newest fact is kept; a deletion
is kept as a fact without body until the floor passes it. Facts are kept in the order of their numbers, so that what
is newer than some number is found at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from crdt.fact import (
    FINGERPRINT_MASK,
    SEQ_MAX,
    STREAM_FACTS_MAX,
    STREAM_SIZE_MAX,
    Change,
    Delta,
    Fact,
    LimitExceeded,
    Origin,
    StreamHead,
    is_within_limits,
    weigh,
)

DELETIONS_KEPT_MAX = 64
"""A writer forgets its older deletions beyond this; laggards are then replaced instead of patched."""


NOTHING = StreamHead(0, 0, 0)
"""Where a stream stands that has said nothing."""


class Stream:
    """Facts of one origin. Cost of a new version: a copy of a dict of at most `STREAM_FACTS_MAX` references."""

    __slots__ = ("__weakref__", "_facts", "_mark", "_said", "_size", "head", "origin", "reading")

    def __init__(self, origin: Origin, head: StreamHead, facts: dict[str, Fact], size: int) -> None:
        self.origin = origin
        self.head = head
        self.reading: object = None
        """What a reader made of these facts, kept here so that all who hold this stream read it once."""
        self._facts = facts
        self._size = size
        self._mark: int | None = None
        self._said: Delta | None = None

    @staticmethod
    def empty(origin: Origin) -> Stream:
        """Return a stream that has said nothing."""
        return Stream(origin, NOTHING, {}, 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return NotImplemented
        return self.origin == other.origin and self.head == other.head and self._facts == other._facts

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    @property
    def count(self) -> int:
        """Facts held, remembered deletions included."""
        return len(self._facts)

    @property
    def size(self) -> int:
        """Bytes they count for in `STREAM_SIZE_MAX`."""
        return self._size

    @property
    def mark(self) -> int:
        """64 bits that depend on origin and head, for digests."""
        if self._mark is None:
            head = self.head
            text = f"{self.origin.peer}\0{self.origin.incarnation}\0{head.seq}\0{head.floor}\0{head.fingerprint}"
            self._mark = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        return self._mark

    def get(self, key: str) -> Fact | None:
        """Return the live fact of a key."""
        fact = self._facts.get(key)
        return None if fact is None or fact.body is None else fact

    def live(self) -> Iterator[Fact]:
        """Yield live facts in key order."""
        for key in sorted(self._facts):
            if self._facts[key].body is not None:
                yield self._facts[key]

    def since(self, known: int) -> tuple[Fact, ...]:
        """Return facts newer than `known`, remembered deletions included, ascending."""
        newer = list(itertools.takewhile(lambda fact: fact.seq > known, reversed(self._facts.values())))
        return tuple(reversed(newer))

    def append(self, changes: Sequence[Change]) -> Stream:
        """Return the stream after its writer said more; deleting an unknown key costs a number all the same.

        Raises: LimitExceeded, with this stream unchanged.
        """
        facts = dict(self._facts)
        seq, fingerprint, size = self.head.seq, self.head.fingerprint, self._size
        for change in changes:
            if not is_within_limits(change):
                raise LimitExceeded(f"fact {change.key[:64]!r} is too large: key 256 bytes, body 16 KiB at most")
            seq += 1
            added, grown = self._put(facts, Fact(seq, change.key, change.kind, change.body))
            fingerprint += added
            size += grown
        if len(facts) > STREAM_FACTS_MAX or size > STREAM_SIZE_MAX:
            raise LimitExceeded(
                f"this host would publish {len(facts)} facts in {size} bytes; "
                f"{STREAM_FACTS_MAX} facts in {STREAM_SIZE_MAX} bytes are the limit: detach containers first"
            )
        floor = self.head.floor
        if any(change.body is None for change in changes):
            floor = _floor_after(facts, floor)
            removed, shrunk = self._forget(facts, floor)
            fingerprint -= removed
            size -= shrunk
        return Stream(self.origin, StreamHead(seq, floor, fingerprint & FINGERPRINT_MASK), facts, size)

    def delta(self, known: int) -> Delta:
        """Return what a replica with `known` facts lacks: the whole stream when `known` lies below the floor."""
        since = known if self.head.floor <= known <= self.head.seq else 0
        if self._said is None or self._said.since != since:
            # Most neighbours are behind by the same few facts.
            self._said = Delta(self.origin, since, self.head, self.since(since))
        return self._said

    def patched(self, delta: Delta) -> Stream | None:
        """Return the stream after a delta; None when its fingerprint or size is wrong.

        The delta must be well-formed, newer than this stream, and reach back to it or replace it (`since` 0).
        """
        replace = delta.since == 0
        facts: dict[str, Fact] = {} if replace else dict(self._facts)
        fingerprint, size = (0, 0) if replace else (self.head.fingerprint, self._size)
        for fact in delta.facts:
            if replace or fact.seq > self.head.seq:
                added, grown = self._put(facts, fact)
                fingerprint += added
                size += grown
        # A delta that is well-formed brings no forgotten deletions itself.
        if not replace and delta.head.floor > self.head.floor:
            removed, shrunk = self._forget(facts, delta.head.floor)
            fingerprint -= removed
            size -= shrunk
        if fingerprint & FINGERPRINT_MASK != delta.head.fingerprint:
            return None
        if len(facts) > STREAM_FACTS_MAX or size > STREAM_SIZE_MAX:
            return None
        return Stream(self.origin, delta.head, facts, size)

    def live_keys(self) -> tuple[str, ...]:
        """Return all live keys, ascending."""
        return tuple(fact.key for fact in self.live())

    def _put(self, facts: dict[str, Fact], fact: Fact) -> tuple[int, int]:
        """Put a fact last, in place of an older one; return what that adds to fingerprint and size."""
        new, old = weigh(self.origin, fact), facts.pop(fact.key, None)
        facts[fact.key] = fact
        assert new is not None, "it was found to be within limits"
        if old is None:
            return new.hash, new.size
        gone = weigh(self.origin, old)
        assert gone is not None, "it is held, so it is within limits"
        return new.hash - gone.hash, new.size - gone.size

    def _forget(self, facts: dict[str, Fact], floor: int) -> tuple[int, int]:
        """Remove the deletions that the floor has passed; return what that takes from fingerprint and size."""
        fingerprint = size = 0
        for fact in [fact for fact in facts.values() if fact.body is None and fact.seq <= floor]:
            weight = weigh(self.origin, facts.pop(fact.key))
            assert weight is not None, "it was held, so it is within limits"
            fingerprint += weight.hash
            size += weight.size
        return fingerprint, size


def is_well_formed(delta: Delta) -> bool:
    """Say whether a delta could have been made by `Stream.delta`, judged by itself alone."""
    head = delta.head
    if not (0 <= head.floor <= head.seq <= SEQ_MAX and 0 <= delta.since <= head.seq):
        return False
    if delta.since and delta.since < head.floor:
        return False
    if len(delta.facts) > STREAM_FACTS_MAX:
        return False
    last = delta.since
    for fact in delta.facts:
        if not last < fact.seq <= head.seq or weigh(delta.origin, fact) is None:
            return False
        if fact.body is None and fact.seq <= head.floor:
            return False
        last = fact.seq
    return len({fact.key for fact in delta.facts}) == len(delta.facts)


def _floor_after(facts: dict[str, Fact], floor: int) -> int:
    """Return the floor that leaves at most `DELETIONS_KEPT_MAX` deletions."""
    deletions = [fact.seq for fact in facts.values() if fact.body is None]
    if len(deletions) <= DELETIONS_KEPT_MAX:
        return floor
    deletions.sort()
    # Forget half at once, so that laggards are replaced once per 32 deletions and not at each.
    return max(floor, deletions[-DELETIONS_KEPT_MAX // 2 - 1])
