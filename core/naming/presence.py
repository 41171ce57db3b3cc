"""Whose names are answered: those of hosts that frames reach, and for a while of those that were reached lately.

A host that is cut off keeps its names for a moment, for most cuts are short; then they are withheld, not forgotten:
when frames get there again they are answered at once. Nothing has to be sent for that. Whoever is connected again, or
says something new of its links, is taken on trust for as long: frames follow within a second or two of a heal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from core.context import Context
from core.types import PeerName

TIMER = "names/"
HOLD_DOWN_MS = 5_000
"""How long the names of a host go on after the last path to it: a change of transport takes up to 3 s."""


class Presence:
    """Which peers are present."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reached: frozenset[PeerName] = frozenset()
        self._connected: frozenset[PeerName] = frozenset()
        self._trusted: dict[PeerName, None] = {}

    def is_present(self, peer: PeerName) -> bool:
        """Say whether a peer's names are answered."""
        return peer == self._context.me or peer in self._reached or peer in self._trusted

    def look(self, reached: Collection[PeerName], connected: frozenset[PeerName]) -> list[PeerName]:
        """Take note of whom frames reach now, and whom letters; return who has become present. O(peers)."""
        before, now = self._reached, frozenset(reached)
        returned = sorted(peer for peer in now - before if not self.is_present(peer))
        for peer in sorted(before - now):
            self._trust(peer)
        returned += self.heard_of(sorted(connected - self._connected - now - before))
        for peer in sorted(now - before):
            if peer in self._trusted:
                self._context.mark("names.back-in-time")
                del self._trusted[peer]
                self._context.timer(TIMER + peer, None)
        self._reached, self._connected = now, connected
        return returned

    def heard_of(self, peers: Iterable[PeerName]) -> list[PeerName]:
        """Trust peers that cannot be reached and have said something new; return who has become present."""
        returned = [peer for peer in peers if not self.is_present(peer)]
        for peer in returned:
            self._trust(peer)
        return returned

    def _trust(self, peer: PeerName) -> None:
        self._trusted[peer] = None
        self._context.timer(TIMER + peer, HOLD_DOWN_MS)

    def timer(self, name: str) -> PeerName | None:
        """React to a timer; return who is present no more."""
        peer = PeerName(name.removeprefix(TIMER))
        if peer not in self._trusted:
            return None
        self._context.mark("names.withheld")
        del self._trusted[peer]
        return peer
