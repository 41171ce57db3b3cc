"""The only replicated state: one stream per origin.

Rules of this file: `join` is the only way in for what others said, and keeps per origin the stream with the higher
sequence number. It knows nothing about kinds; if merging seems to need that, the key or the writer is wrong. It is a
join-semilattice because numbers are never reused (S1) and a stream's content follows from `(origin, seq)` (S2). Every
join checks itself against the fingerprint in the head, so corruption, a wrong compaction or a reused number is found
at the first exchange.

The table of `join`, with `h` the number held:

    head.seq < h, or = h with equal fingerprint     Stale
    head.seq = h, fingerprint differs               Equivocation
    since = 0                                       replace, verify: Joined
    since > h                                       Gap
    0 < since <= h                                  patch, verify: Joined
    wrong shape or fingerprint                      Corrupt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakValueDictionary

from crdt.digest import Digest
from crdt.fact import STORE_ORIGINS_MAX, Change, Delta, Fact, Origin, StreamHead
from crdt.stream import NOTHING, Stream, is_well_formed


class Joined(NamedTuple):
    """Something new was learnt. A tuple, because nearly every join ends with one."""

    origin: Origin
    """Whose stream grew."""
    changed: tuple[Fact, ...]
    """Facts that are new here, deletions included, ascending."""
    removed: tuple[str, ...]
    """Keys that vanished without a fact, because the stream was replaced."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing new."""

    origin: Origin
    """Whose stream."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The delta begins after what is held; ask again from `known`."""

    origin: Origin
    """Whose stream."""
    known: int
    """Number held."""


@dataclass(frozen=True, slots=True)
class Equivocation:
    """One number, two contents: the origin reused a number, or somebody speaks in its name."""

    origin: Origin
    """Whose stream."""
    seq: int
    """The number in question."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The delta is not what its head says; nothing was changed."""

    origin: Origin
    """Whose stream."""
    why: str
    """The rule it broke."""


JoinResult = Joined | Stale | Gap | Equivocation | Corrupt


class Pool:
    """Streams that many stores of one process share, as long as any of them holds them.

    Because number and origin fix the content (S2), what one store has joined and verified need not be worked out again
    by the others: a thousand replicas in agreement hold one copy. Whoever wants every join to verify itself, as hosts
    do among which one may be wrong, uses no pool.
    """

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: WeakValueDictionary[tuple[Origin, int], Stream] = WeakValueDictionary()

    def find(self, origin: Origin, head: StreamHead) -> Stream | None:
        """Return a stream that stands at `head`, if anybody holds it."""
        stream = self._streams.get((origin, head.seq))
        return stream if stream is not None and stream.head == head else None

    def add(self, stream: Stream) -> None:
        """Let others find a stream."""
        self._streams[stream.origin, stream.head.seq] = stream


class Store:
    """Streams by origin. Mutable map, immutable streams: a copy shares everything."""

    __slots__ = ("_digest", "_lives", "_origins", "_pool", "_streams")

    def __init__(self, pool: Pool | None = None) -> None:
        self._pool = pool
        self._streams: dict[Origin, Stream] = {}
        self._lives: dict[str, tuple[Origin, ...]] = {}
        self._origins: tuple[Origin, ...] | None = ()
        self._digest = Digest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Store):
            return NotImplemented
        return self._streams == other._streams

    __hash__ = None  # type: ignore[assignment]  # compared, never a key

    def write(self, me: Origin, changes: Sequence[Change]) -> Delta:
        """Append to our own stream and return what others need to follow.

        Raises: LimitExceeded, with nothing changed.
        """
        old = self._streams.get(me)
        self._set(old, (old or Stream.empty(me)).append(changes))
        return self.delta_for(me, _head_of(old).seq)

    def join(self, delta: Delta) -> JoinResult:
        """Merge what was heard. Never raises, whatever the values are. O(facts of that stream)."""
        origin, head = delta.origin, delta.head
        old = self._streams.get(origin)
        held = 0 if old is None else old.head.seq
        if old is None and len(self._streams) >= STORE_ORIGINS_MAX:
            return Corrupt(origin, f"more than {STORE_ORIGINS_MAX} origins")
        if head.seq < held:
            return Stale(origin)
        if head.seq == held:
            return Stale(origin) if head == _head_of(old) else Equivocation(origin, held)
        new = None if self._pool is None else self._pool.find(origin, head)
        if new is None and not is_well_formed(delta):
            return Corrupt(origin, "malformed delta")
        if delta.since > held:
            return Gap(origin, held)
        if new is None:
            new = (old or Stream.empty(origin)).patched(delta)
            if new is None:
                return Corrupt(origin, "fingerprint or size does not fit")
            if self._pool is not None:
                self._pool.add(new)
        self._set(old, new)
        changed = delta.facts
        if changed and changed[0].seq <= held:
            changed = tuple(fact for fact in changed if fact.seq > held)
        removed: tuple[str, ...] = ()
        if delta.since == 0 and old is not None:
            removed = tuple(key for key in old.live_keys() if new.get(key) is None)
        return Joined(origin, changed, removed)

    def delta_for(self, origin: Origin, known: int) -> Delta:
        """Return what a replica that holds `known` facts of `origin` lacks.

        Raises: KeyError if the origin was never heard of.
        """
        return self._streams[origin].delta(known)

    def have(self) -> dict[Origin, int]:
        """Return the sequence number held of each origin, by origin."""
        return {origin: self._streams[origin].head.seq for origin in self.origins()}

    def head(self, origin: Origin) -> StreamHead | None:
        """Return where a stream stands here."""
        stream = self._streams.get(origin)
        return None if stream is None else stream.head

    def seq(self, origin: Origin) -> int:
        """Return the number held of an origin; 0 when it was never heard of."""
        stream = self._streams.get(origin)
        return 0 if stream is None else stream.head.seq

    def stream(self, origin: Origin) -> Stream | None:
        """Return a stream as held here."""
        return self._streams.get(origin)

    def origins(self) -> tuple[Origin, ...]:
        """Return all origins, ascending. Sorted anew only when there is another one."""
        if self._origins is None:
            self._origins = tuple(sorted(self._streams))
        return self._origins

    @property
    def count(self) -> int:
        """Number of origins."""
        return len(self._streams)

    def lives(self, peer: str) -> tuple[Origin, ...]:
        """Return the origins of one peer, oldest first. O(1)."""
        return self._lives.get(peer, ())

    def fact_count(self) -> int:
        """Return how many facts are live. O(facts)."""
        return sum(1 for stream in self._streams.values() for _ in stream.live())

    def drop(self, origin: Origin) -> bool:
        """Forget a stream; say whether there was one."""
        stream = self._streams.pop(origin, None)
        if stream is None:
            return False
        self._digest.change(origin, stream.mark, 0)
        self._origins = None
        lives = tuple(life for life in self._lives.pop(origin.peer) if life != origin)
        if lives:
            self._lives[origin.peer] = lives
        return True

    def copy(self) -> Store:
        """Return a store with the same streams. O(origins)."""
        other = Store(self._pool)
        other._streams = dict(self._streams)
        other._lives = dict(self._lives)
        other._origins = self._origins
        other._digest = self._digest.copy()
        return other

    @property
    def digest(self) -> Digest:
        """Return the summary of all heads; do not change it."""
        return self._digest

    def _set(self, old: Stream | None, new: Stream) -> None:
        origin = new.origin
        self._streams[origin] = new
        self._digest.change(origin, 0 if old is None else old.mark, new.mark)
        if old is None:
            self._origins = None
            self._lives[origin.peer] = tuple(sorted((*self._lives.get(origin.peer, ()), origin)))


def _head_of(stream: Stream | None) -> StreamHead:
    return NOTHING if stream is None else stream.head
