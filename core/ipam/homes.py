"""Who shares which range, and in which ring: what hosts were told at launch may differ.

Every host says so in one fact. Hosts with another range or none, or in another ring, are elsewhere: nothing is asked of
them, nothing is given to them, and while anybody gets addresses elsewhere none is given that anybody is known to use.
Connections never depend on it. Whoever looks at the status is told who is on which side, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from core.context import Context
from core.ipam.labels import Labels
from core.ipam.retired import departed
from core.ipam.universe import Universe, universe_of
from core.kinds import HomeRecord, RetiredRecord, SeedAccepted, gone, home_key, put
from core.types import PeerName

DECIDED = "seed/decided/"
"""Where hosts write down how a range was divided; the range follows."""


class Homes:
    """What this host and the others have said about where they get addresses from."""

    def __init__(self, context: Context, universe: Universe) -> None:
        self._context = context
        self._universe = str(universe)
        self._news = context.board.watch(HomeRecord)
        self._ring_seen: str | None = None
        self._foreign: dict[PeerName, HomeRecord] = {}
        self.ring = ""
        """Name of our ring; empty while there is none."""
        self.former = ""
        """Ring in which an earlier life of this host lived, if the others remember; empty once it was reset."""
        self.is_closed = False
        """This host is leaving: it says nothing of itself any more."""

    def tell(self) -> None:
        """Say where we are, unless we have. Cheap."""
        record = HomeRecord(self._universe, self.ring)
        if not self.is_closed and self._context.board.get(self._context.me, home_key(), HomeRecord) != record:
            self._context.write(put(home_key(), record))

    def close(self) -> None:
        """Take back that we are anywhere."""
        self.is_closed = True
        if self._context.board.get(self._context.me, home_key(), HomeRecord) is not None:
            self._context.write(gone(home_key(), HomeRecord))

    def is_elsewhere(self, peer: PeerName) -> bool:
        """Say whether a peer has another range or none, or another ring."""
        record = self._context.board.get(peer, home_key(), HomeRecord)
        return record is not None and self._is_foreign(record)

    def strangers(self) -> dict[PeerName, HomeRecord]:
        """Return who gets addresses elsewhere, but for the dead; do not change it. O(homes that have changed)."""
        board = self._context.board
        if self._news or self._ring_seen != self.ring:
            foreign = dict(self._foreign)
            for peer in self._news if self._ring_seen == self.ring else board.peers():
                record = board.get(peer, home_key(), HomeRecord)
                if record is not None and record.universe and self._is_foreign(record):
                    foreign[peer] = record
                else:
                    foreign.pop(peer, None)
            self._foreign = {peer: foreign[peer] for peer in sorted(foreign)}
            self._news.clear()
            self._ring_seen = self.ring
        if not self._foreign or not board.has(RetiredRecord):
            return self._foreign
        dead = departed(self._context)
        return {peer: record for peer, record in self._foreign.items() if peer not in dead}

    def neighbours(self) -> tuple[PeerName, ...]:
        """Return the others that have said they live in our ring, ascending."""
        every = self._context.board.all(HomeRecord)
        here = (self._universe, self.ring)
        return tuple(peer for peer, _, one in every if peer != self._context.me and (one.universe, one.ring) == here)

    def count(self, ring: str) -> int:
        """Return how many live in a ring of our range."""
        every = self._context.board.all(HomeRecord)
        return sum(1 for _, _, record in every if (record.universe, record.ring) == (self._universe, ring))

    def alarm(self) -> str:
        """Describe all sides when there are several, and say what to do; empty when there is one."""
        strangers = self.strangers()
        if not strangers:
            return ""
        ours = (self._universe, self.ring)
        sides: dict[tuple[str, str], list[PeerName]] = {ours: sorted((self._context.me, *self.neighbours()))}
        for peer, record in strangers.items():
            sides.setdefault((record.universe, record.ring), []).append(peer)
        labels = Labels(self._context)
        # In one order on all hosts, so that people see that it is one and the same thing.
        texts = [
            f"{labels.listed(peers)} {'have' if len(peers) > 1 else 'has'} {universe}"
            f"{self._division(labels, universe, ring)}"
            for (universe, ring), peers in sorted(sides.items(), key=_first_peer)
        ]
        if any(universe != self._universe for universe, _ in sides):
            wrong, remedy = "--ipalloc-range", "'weave stop', then 'weave launch' with the right one"
        else:
            wrong = "--ipalloc-init"
            remedy = "'weave reset', and when all of them are reset 'weave launch' as on the right side"
        return (
            f"IP allocation is split, for hosts were launched with different {wrong}: {'; '.join(texts)}. Neither side "
            "gets addresses from the other, and one address may be in use on both. Decide which is right, and on every "
            f"host of the other run {remedy}"
        )

    def _is_foreign(self, record: HomeRecord) -> bool:
        is_apart = bool(self.ring and record.ring and self.ring != record.ring)
        return record.universe != self._universe or is_apart

    def _division(self, labels: Labels, universe: str, ring: str) -> str:
        """Say among whom a ring was divided, as far as anybody has told."""
        if not ring:
            return ", not divided yet"
        try:
            shared = universe_of(universe)
        except ValueError:
            return ""
        for _, key, decision in self._context.board.all(SeedAccepted):
            if key == decided_key(shared) and ring_id_of(shared, decision.value) == ring:
                return f" divided among {labels.listed(decision.value)}"
        return ""


def decided_key(universe: Universe) -> str:
    """Key of the decision how a range is divided."""
    return f"{DECIDED}{universe}"


def is_decided_key(key: str) -> bool:
    """Say whether a decision is written under a key, of whichever range."""
    return key.startswith(DECIDED)


def tell_of_none(context: Context) -> None:
    """Say that this host gets addresses nowhere, unless it has."""
    record = HomeRecord("", "")
    if context.board.get(context.me, home_key(), HomeRecord) != record:
        context.write(put(home_key(), record))


def _first_peer(side: tuple[tuple[str, str], list[PeerName]]) -> PeerName:
    return side[1][0]


def ring_id_of(universe: Universe, names: Iterable[str]) -> str:
    """Name a ring after everything that its initial division depends on."""
    return blake2b(f"{universe}\0{','.join(names)}".encode(), digest_size=6).hexdigest()
