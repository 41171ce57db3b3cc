"""Taking over the addresses of dead peers.

A takeover is the operator's word that a peer is dead: its ranges get a new owner one generation up, which nothing that
the peer itself says can beat. If it comes back it finds that out and stops giving; what its containers still use is
left alone by the new owner, see `space`.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.retired import retire
from core.ipam.ring import Ring
from core.ipam.space import Space
from core.kinds import PeerRecord, peer_key
from core.types import PeerName, RequestId


class Takeover:
    """What people do to ring membership."""

    def __init__(self, context: Context, space: Space, ring: Ring, reachable: Callable[[PeerName], bool]) -> None:
        self._context = context
        self._space = space
        self._ring = ring
        self._reachable = reachable

    def remove(self, request: RequestId, names: tuple[str, ...]) -> None:
        """Take over everything of these peers, or refuse with nothing changed."""
        peers: dict[PeerName, str] = {}
        for name in names:
            found = self._find(name)
            if isinstance(found, str):
                self._context.refuse(request, found)
                return
            peers[found[0]] = name
        lines = []
        for peer, name in peers.items():
            count = self._space.take_over(peer)
            self._context.write(retire(self._context, peer))
            lines.append(f"{count} IPs taken over from {name}")
        self._context.answer(request, "\n".join(lines))

    def _find(self, name: str) -> tuple[PeerName] | str:
        """Return the peer of that name or nickname, or why it cannot be removed."""
        board = self._context.board
        known = list(dict.fromkeys([*board.peers(), *self._ring.view().shares()]))
        matches = [peer for peer in known if peer == name]
        if not matches:
            matches = [peer for peer in known if self._nickname(peer) == name]
        if not matches:
            return f"no peer is called {name}: see 'weave status peers' and 'weave status ipam' for those known"
        if len(matches) > 1:
            return f"{len(matches)} peers are called {name} ({', '.join(matches)}): use the name of one"
        peer = matches[0]
        if peer == self._context.me:
            return f"{name} is this host: run 'weave reset' to remove it, or 'weave rmpeer {name}' on another"
        if self._reachable(peer):
            why = "two owners would give the same addresses"
            return f"{name} is connected, or was a minute ago: stop it first and wait, for {why}"
        return (peer,)

    def _nickname(self, peer: PeerName) -> str:
        record = self._context.board.get(peer, peer_key(), PeerRecord)
        return "" if record is None else record.nickname
