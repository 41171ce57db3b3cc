"""A journal that loses what a real one may lose, and nothing else.

Commits reach the journal in order. One that was not synced may be lost at a power cut, together with everything
after it; a commit under way at a crash is there whole or not at all. What is left is exactly what the next life gets.
The journal's state is a Store, built by the same `join` that peers use.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from core.config import Recovered
from core.effects import Persist
from crdt.fact import Delta, Origin, StreamHead
from crdt.store import Joined, Stale, Store

TAIL_MAX = 4096
"""Unsynced commits kept apart; a real WAL checkpoints, too."""


class BrokenJournal(Exception):
    """The replica wrote what cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction."""

    deltas: tuple[Delta, ...]
    """Pieces of streams, in order."""
    dropped: tuple[Origin, ...]
    """Streams forgotten after them."""


class Disk:
    """Holds the commits of one host."""

    def __init__(self, peer: str) -> None:
        self.is_full = False
        self.has_forgotten = False
        """Something is missing that was there once; the next life has not begun yet."""
        self._peer = peer
        self._incarnation = 1
        self._synced = Store()
        self._backup = (1, Store())
        self._tail: list[Commit] = []
        self._under_way: list[Commit] = []

    @property
    def origin(self) -> Origin:
        """Return the name of the stream that this journal belongs to: the newest life in it."""
        lives = [origin.incarnation for origin in self._synced.origins() if origin.peer == self._peer]
        return Origin(self._peer, max((self._incarnation, *lives)))

    def begin(self, effect: Persist) -> None:
        """Hand a commit to the operating system; it is in nobody's hands until `finish`."""
        self._under_way.append(Commit(effect.deltas, effect.dropped))

    def finish(self, *, sync: bool) -> bool:
        """Complete the oldest commit under way; say whether it took place."""
        commit = self._under_way.pop(0)
        if self.is_full or not self._follows(commit):
            return False
        self._tail.append(commit)
        if sync or len(self._tail) > TAIL_MAX:
            self._fold(len(self._tail))
        return True

    def _follows(self, commit: Commit) -> bool:
        """Say whether nothing is missing between the journal and a commit; an earlier one may have failed."""
        reached: dict[Origin, int] = {}
        for delta in (delta for earlier in (*self._tail, commit) for delta in earlier.deltas):
            head = self._synced.head(delta.origin)
            held = reached.get(delta.origin, 0 if head is None else head.seq)
            if delta.since > held:
                return False
            reached[delta.origin] = max(held, delta.head.seq)
        return True

    def head(self, origin: Origin) -> StreamHead | None:
        """Return how much of a stream would survive a power cut now."""
        return self._synced.head(origin)

    @property
    def synced(self) -> Store:
        """Return what would survive a power cut now; do not change it."""
        return self._synced

    def crash(self, entropy: random.Random, *, power: bool) -> None:
        """Lose what a crash may lose: of the process alone, or of the machine."""
        candidates = [] if self.is_full else self._under_way
        kept = self._tail + candidates[: entropy.randint(0, len(candidates))]
        if power:
            kept = kept[: entropy.randint(0, len(kept))]
        self._under_way = []
        self._tail = kept
        self._fold(len(kept))

    def back_up(self) -> None:
        """Keep a copy of what is synced."""
        self._backup = (self._incarnation, self._synced.copy())

    def roll_back(self) -> None:
        """Return to the copy, as an operator does who restores a machine."""
        self.has_forgotten = True
        self._incarnation, synced = self._backup
        self._synced = synced.copy()
        self._tail = []
        self._under_way = []

    def wipe(self) -> None:
        """Lose everything: the next life is a new incarnation."""
        self.has_forgotten = True
        self._incarnation = self.origin.incarnation + 1
        self._synced = Store()
        self._tail = []
        self._under_way = []

    def recover(self) -> Recovered:
        """Return what the next life finds."""
        assert not self._under_way
        self.has_forgotten = False
        self._fold(len(self._tail))
        store = self._synced
        return Recovered(self.origin, tuple(store.delta_for(origin, 0) for origin in store.origins()))

    def _fold(self, count: int) -> None:
        for commit in self._tail[:count]:
            for delta in commit.deltas:
                result = self._synced.join(delta)
                if not isinstance(result, Joined | Stale):
                    raise BrokenJournal(f"{self._peer}: journal cannot be replayed: {result}")
            for origin in commit.dropped:
                self._synced.drop(origin)
        del self._tail[:count]
