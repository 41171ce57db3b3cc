"""Handing over all addresses of this host before it is reset.

Nothing may be forgotten that only this host remembers: the reset is allowed once all who got something from it have
said in their own streams that they own it, which shows that they hold ours to the end.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.space import Space
from core.types import PeerName, RequestId

TIMER = "ipam/leave"
HEIR_MS = 10_000
"""How long to wait for the heir: it must cross the mesh twice, and be written to two disks."""


class Leaving:
    """The end of a host, as far as the ring is concerned."""

    def __init__(self, context: Context, space: Space, reachable: Callable[[PeerName], bool]) -> None:
        self._context = context
        self._space = space
        self._reachable = reachable
        self._request: RequestId | None = None
        self.is_under_way = False
        """Everything has been, or is being, handed over: nothing is given to anybody any more."""

    def leave(self, request: RequestId) -> None:
        """Hand everything to the reachable peer with the smallest name, and answer once it has it all."""
        if self._request is not None:
            self._context.refuse(request, "this host is being reset already: wait for that")
            return
        me = self._context.me
        if self._space.ranges():
            heir = next((peer for peer in self._context.board.peers() if peer != me and self._reachable(peer)), None)
            if heir is None:
                self._context.mark("leaving.no-heir")
                text = (
                    "no peer can be reached that would inherit our addresses: connect one, or run 'weave rmpeer' there"
                )
                self._context.refuse(request, text)
                return
            self._space.give_all(heir)
        self._request, self.is_under_way = request, True
        self._context.timer(TIMER, HEIR_MS)
        self.facts_changed()

    def cancel(self, request: RequestId) -> None:
        """Answer nobody, and stay; what was handed over stays so."""
        if request == self._request:
            self._end()
            self.is_under_way = False

    def facts_changed(self) -> None:
        """Answer who leaves, once everybody has asserted what it got."""
        if self._request is not None and not any(self._space.pending_gifts()):
            self._context.answer(self._request)
            self._end()

    def timer(self) -> None:
        """Refuse who leaves, for the heirs have had their time."""
        if self._request is None:
            return
        self._context.mark("leaving.heir-silent")
        silent = ", ".join(sorted(dict.fromkeys(gift.owner for gift in self._space.pending_gifts())))
        self._context.refuse(
            self._request,
            f"{silent} has not confirmed that it owns our addresses now: try again when 'weave status connections' "
            "shows it, or use 'weave reset --force' and then 'weave rmpeer' elsewhere",
        )
        self._end()
        self.is_under_way = False

    def _end(self) -> None:
        self._request = None
        self._context.timer(TIMER, None)
