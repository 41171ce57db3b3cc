"""A journal that loses what a real one may lose, and nothing else, unless it is told to lie.

Commits wait while a transaction is being written and go into the next one together. A transaction under way at a crash
is there whole or not at all. What was not synced may be lost at a power cut, together with everything after it; the
first record that is lost may be there in part, and is recognised and dropped at the next start, as SQLite does with a
frame whose checksum is wrong. What is left is exactly what the next life gets. The journal's state is a Store, built by
the same `join` that peers use.

A disk that lies says of synced commits that they are safe while they are only in its cache; that is beyond what anybody
can survive alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.config import Recovered
from core.effects import Persist
from crdt.fact import Origin, StreamHead
from crdt.store import Joined, Stale, Store

TAIL_MAX = 4096
"""Unsynced commits kept apart; a real WAL checkpoints, too."""
SECOND_LIFE = 2
"""Least name of a life that begins on an empty disk; the very first life is the first."""
FULL, READ_ONLY = "no space left on device", "attempt to write a readonly database"


class BrokenJournal(Exception):
    """The replica wrote what cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One commit, as it is on disk."""

    persist: Persist
    """What it says."""
    is_torn: bool = False
    """Only a part of it is there."""


class Disk:
    """Holds the commits of one host."""

    def __init__(self, peer: str) -> None:
        self.is_full = False
        self.is_read_only = False
        self.slow_us = 0
        """A transaction takes up to this much longer."""
        self.has_forgotten = False
        """Something is missing that was there once; the next life has not begun yet."""
        self.torn_count = 0
        """Records that were found in part and dropped."""
        self._peer = peer
        self._incarnation = 1
        self._synced = Store()
        self._backup = (1, Store())
        self._tail: list[Record] = []
        self._reached: dict[Origin, int] = {}
        self._waiting: list[Persist] = []
        self._under_way: list[Persist] = []
        # While the disk lies: what is in truth on it, and what it has said to be.
        self._platter: Store | None = None
        self._cache: list[Persist] = []

    # Writing.

    @property
    def is_busy(self) -> bool:
        """Say whether a transaction is being written."""
        return bool(self._under_way)

    @property
    def is_urgent(self) -> bool:
        """Say whether a commit waits that must survive a power cut."""
        return any(persist.sync for persist in self._waiting)

    @property
    def has_waiting(self) -> bool:
        """Say whether any commit waits."""
        return bool(self._waiting)

    def begin(self, persist: Persist) -> None:
        """Take a commit; it waits for the next transaction."""
        self._waiting.append(persist)

    def write(self) -> bool:
        """Begin a transaction of all that waits; say whether it will be synced."""
        assert not self._under_way
        self._under_way, self._waiting = self._waiting, []
        return any(persist.sync for persist in self._under_way)

    def finish(self) -> list[tuple[Persist, str]]:
        """Complete the transaction; return its commits, each with the reason if it did not take place."""
        batch, self._under_way = self._under_way, []
        refusal = self._refusal()
        results = []
        for persist in batch:
            why = refusal or ("" if self._follows(persist, self._reached) else "an earlier commit failed")
            if not why:
                self._tail.append(Record(persist))
            results.append((persist, why))
        if any(persist.sync for persist in batch) or len(self._tail) > TAIL_MAX:
            self._fold()
        return results

    # What is there.

    def head(self, origin: Origin) -> StreamHead | None:
        """Return how much of a stream would survive a power cut now, if the disk does not lie."""
        return self._synced.head(origin)

    @property
    def synced(self) -> Store:
        """Return what would survive a power cut now, if the disk does not lie; do not change it."""
        return self._synced

    def recover(self, clock_s: int) -> Recovered:
        """Return what the next life finds. An empty disk names it after the wall clock, which may be wrong."""
        assert not self._under_way
        if not self._incarnation:
            self._incarnation = max(SECOND_LIFE, clock_s)
        self.has_forgotten = False
        self._fold()
        store = self._synced
        lives = [origin.incarnation for origin in store.origins() if origin.peer == self._peer]
        origin = Origin(self._peer, max((self._incarnation, *lives)))
        return Recovered(origin, tuple(store.delta_for(held, 0) for held in store.origins()))

    # What goes wrong.

    def crash(self, entropy: random.Random, *, power: bool) -> None:
        """Lose what a crash may lose: of the process alone, or of the machine."""
        reached, batch = dict(self._reached), []
        if not self._refusal():
            batch = [Record(persist) for persist in self._under_way if self._follows(persist, reached)]
        written = self._tail + batch
        kept = written if batch and entropy.random() < 0.5 else self._tail
        if power:
            kept = kept[: entropy.randint(0, len(kept))]
            if len(kept) < len(written) and entropy.random() < 0.5:
                kept = [*kept, Record(written[len(kept)].persist, is_torn=True)]
            if self._has_lost_cache(entropy):
                kept = []
        self._tail, self._waiting, self._under_way = kept, [], []
        self._fold()

    def lie(self, is_lying: bool) -> None:
        """Keep in a cache from now on what is said to be synced, or write it all and be honest again."""
        if is_lying and self._platter is None:
            self._platter = self._synced.copy()
        elif not is_lying:
            self._platter, self._cache = None, []

    def back_up(self) -> None:
        """Keep a copy of what is synced."""
        self._backup = (self._incarnation, self._synced.copy())

    def copied(self) -> Disk:
        """Return another disk that holds what is synced on this one."""
        disk = Disk(self._peer)
        disk._incarnation, disk._synced = self._incarnation, self._synced.copy()
        disk.back_up()
        return disk

    def roll_back(self) -> None:
        """Return to the copy, as an operator does who restores a machine."""
        self._incarnation, synced = self._backup
        self._replace(synced.copy())

    def wipe(self) -> None:
        """Lose everything: the next life is a new incarnation."""
        self._incarnation = 0
        self._replace(Store())

    # Helpers.

    def _refusal(self) -> str:
        if self.is_read_only:
            return READ_ONLY
        return FULL if self.is_full else ""

    def _follows(self, persist: Persist, reached: dict[Origin, int]) -> bool:
        """Say whether nothing is missing between the journal and a commit; an earlier one may have failed.

        `reached` says how far earlier commits take streams beyond what is synced; it is taken further by this one.
        """
        own: dict[Origin, int] = {}
        for delta in persist.deltas:
            origin = delta.origin
            held = own.get(origin) or reached.get(origin)
            if held is None:
                head = self._synced.head(origin)
                held = 0 if head is None else head.seq
            if delta.since > held:
                return False
            own[origin] = max(held, delta.head.seq)
        reached.update(own)
        return True

    def _replace(self, synced: Store) -> None:
        self.has_forgotten = True
        self._synced = synced
        self._tail, self._waiting, self._under_way = [], [], []
        self._reached.clear()
        if self._platter is not None:
            self._platter, self._cache = synced.copy(), []

    def _fold(self) -> None:
        """Make everything in the tail safe, up to what is not whole."""
        records, self._tail = self._tail, []
        self._reached.clear()
        for record in records:
            if record.is_torn:
                self.torn_count += 1
                return
            self._merge(self._synced, record.persist)
            if self._platter is not None:
                self._cache.append(record.persist)

    def _has_lost_cache(self, entropy: random.Random) -> bool:
        """Lose the end of what a lying disk has said to be safe; say whether anything was lost."""
        if self._platter is None:
            return False
        kept = entropy.randint(0, len(self._cache))
        is_lost = kept < len(self._cache)
        for persist in self._cache[:kept]:
            self._merge(self._platter, persist)
        self._synced, self._platter, self._cache = self._platter, self._platter.copy(), []
        self.has_forgotten = self.has_forgotten or is_lost
        return is_lost

    def _merge(self, store: Store, persist: Persist) -> None:
        for delta in persist.deltas:
            result = store.join(delta)
            if not isinstance(result, Joined | Stale):
                raise BrokenJournal(f"{self._peer}: journal cannot be replayed: {result}")
        for origin in persist.dropped:
            store.drop(origin)
