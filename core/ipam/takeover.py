"""Taking over the addresses of dead peers, and handing over our own before a reset.

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

TIMER = "ipam/leave"
HEIR_MS = 5_000
"""How long to wait for the heir; after that the claims are at least durable and on their way."""


class Takeover:
    """What people do to ring membership."""

    def __init__(self, context: Context, space: Space, ring: Ring, reachable: Callable[[PeerName], bool]) -> None:
        self._context = context
        self._space = space
        self._ring = ring
        self._reachable = reachable
        self._leaving: RequestId | None = None
        self._heir: PeerName | None = None

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

    def leave(self, request: RequestId) -> bool:
        """Hand everything to the reachable peer with the smallest name; say whether there was one."""
        if not self._space.ranges():
            self._context.answer(request)
            return True
        me = self._context.me
        heir = next((peer for peer in self._context.board.peers() if peer != me and self._reachable(peer)), None)
        if heir is None:
            text = "no peer can be reached that would inherit our addresses: connect one, or run 'weave rmpeer' there"
            self._context.refuse(request, text)
            return False
        self._space.give_all(heir)
        self._leaving, self._heir = request, heir
        self._context.timer(TIMER, HEIR_MS)
        return True

    def cancel(self, request: RequestId) -> None:
        """Answer nobody; what was handed over stays so."""
        if request == self._leaving:
            self._leaving = None
            self._context.timer(TIMER, None)

    def facts_changed(self) -> None:
        """Answer who leaves, once the heir has asserted what it got."""
        if self._leaving is None or self._heir is None:
            return
        lo, hi = self._ring.view().runs[0].lo, self._ring.view().runs[-1].hi
        if not self._space.has_pending_gift(self._heir, lo, hi):
            self._finish("")

    def timer(self) -> None:
        """Answer who leaves, for the heir has had its time."""
        if self._leaving is not None:
            self._finish(f"{self._heir} has not yet confirmed that it inherits our addresses")

    def _finish(self, text: str) -> None:
        if self._leaving is not None:
            self._context.answer(self._leaving, text)
            self._leaving = None
            self._context.timer(TIMER, None)

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
