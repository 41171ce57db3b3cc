"""What people call peers: nicknames, as long as only one peer has it; else the names, which are unique.

Whatever is shown can be typed: `weave rmpeer` understands both.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.context import Context
from core.kinds import PeerRecord, peer_key
from core.types import PeerName

SHOWN_MAX = 10
"""Peers named in one message."""
TYPED_MAX = 100
"""Peers named in a command that shall be typed: as a rule it works only with all of them."""


class Labels:
    """Nicknames and how many peers have each, read anew only when a peer has said something of itself."""

    def __init__(self, context: Context) -> None:
        self._board = context.board
        self._version: tuple[int, ...] | None = None
        self._counts: dict[str, int] = {}

    def nickname(self, peer: PeerName) -> str:
        """Return what a peer calls itself; empty when unknown."""
        record = self._board.get(peer, peer_key(), PeerRecord)
        return "" if record is None else record.nickname

    def of(self, peer: str) -> str:
        """Return what people may call a peer."""
        self._load()
        nickname = self.nickname(PeerName(peer))
        return nickname if self._counts.get(nickname) == 1 else peer

    def listed(self, peers: Iterable[str]) -> str:
        """Return some peers for a sentence; of many the first, and a hint that there are more."""
        return self._joined(tuple(peers), ", ", SHOWN_MAX)

    def typed(self, peers: Iterable[str]) -> str:
        """Return some peers as arguments of a command."""
        return self._joined(tuple(peers), " ", TYPED_MAX)

    def _joined(self, peers: tuple[str, ...], glue: str, limit: int) -> str:
        shown = [self.of(peer) for peer in peers[:limit]]
        return glue.join([*shown, "..."] if len(peers) > limit else shown)

    def _load(self) -> None:
        version = self._board.version(PeerRecord)
        if version == self._version:
            return
        self._version = version
        self._counts = {}
        for _, _, record in self._board.all(PeerRecord):
            if record.nickname:
                self._counts[record.nickname] = self._counts.get(record.nickname, 0) + 1
