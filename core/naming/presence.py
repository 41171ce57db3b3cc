"""Whose names are answered: those of hosts that frames reach, and for a while of those that were reached lately.

A host that is cut off keeps its names for a moment, for most cuts are short; then they are withheld, not forgotten:
when a path leads there again they are answered at once. Nothing has to be sent for that.
"""

from __future__ import annotations

from collections.abc import Collection

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
        self._fading: dict[PeerName, None] = {}

    def is_present(self, peer: PeerName) -> bool:
        """Say whether a peer's names are answered."""
        return peer == self._context.me or peer in self._reached or peer in self._fading

    def look(self, reached: Collection[PeerName]) -> list[PeerName]:
        """Take note of who is reached now; return who has become present. O(peers)."""
        now = frozenset(reached)
        come = sorted(now - self._reached)
        for peer in sorted(self._reached - now):
            self._fading[peer] = None
            self._context.timer(TIMER + peer, HOLD_DOWN_MS)
        returned = []
        for peer in come:
            if peer in self._fading:
                self._context.mark("names.back-in-time")
                del self._fading[peer]
                self._context.timer(TIMER + peer, None)
            else:
                returned.append(peer)
        self._reached = now
        return returned

    def timer(self, name: str) -> PeerName | None:
        """React to a timer; return who is present no more."""
        peer = PeerName(name.removeprefix(TIMER))
        if peer not in self._fading:
            return None
        self._context.mark("names.withheld")
        del self._fading[peer]
        return peer
