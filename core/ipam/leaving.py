"""Handing over all addresses of this host before it is reset.

Nothing may be forgotten that only this host remembers: the reset is allowed once all who got something from it have
said in their own streams that they own it, which shows that they hold ours to the end.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.labels import Labels
from core.ipam.retired import departed
from core.ipam.seed import Seed
from core.ipam.space import Space
from core.kinds import NOBODY
from core.types import PeerName, RequestId

TIMER = "ipam/leave"
HEIR_MS = 10_000
"""How long to wait for the heir: it must cross the mesh twice, and be written to two disks."""
FAREWELL_MS = 1_000
"""Without an heir: time for what we take back to reach a neighbour, so that the next life does not find it again."""


class Leaving:
    """The end of a host, as far as the ring is concerned."""

    def __init__(self, context: Context, seed: Seed, space: Space, reachable: Callable[[PeerName], bool]) -> None:
        self._context = context
        self._seed = seed
        self._space = space
        self._reachable = reachable
        self._request: RequestId | None = None
        self._is_last = False
        self.is_under_way = False
        """Everything has been, or is being, handed over: nothing is given to anybody any more."""

    def leave(self, request: RequestId) -> None:
        """Hand everything to the reachable peer of our ring with the smallest name; answer once it has it all.

        The last one of a ring has nobody to hand it to, and nobody needs it.
        """
        if self._request is not None:
            self._context.refuse(request, "this host is being reset already: wait for that")
            return
        heir = next((peer for peer in self._seed.homes.neighbours() if self._reachable(peer)), None)
        others = self._others()
        if heir is not None:
            self._space.give_all(heir)
        elif others and self._space.ranges():
            self._context.mark("leaving.no-heir")
            names = Labels(self._context).listed(others)
            self._context.refuse(
                request,
                f"no peer can be reached that would inherit our addresses: connect any of {names}, or use "
                "'weave reset --force' here and then 'weave rmpeer' there",
            )
            return
        self._seed.leave()
        self._request, self.is_under_way, self._is_last = request, True, not others
        self._context.timer(TIMER, FAREWELL_MS if self._is_last else HEIR_MS)
        self.facts_changed()

    def cancel(self, request: RequestId) -> None:
        """Answer nobody, and stay; what was handed over stays so."""
        if request == self._request:
            self._stay()

    def facts_changed(self) -> None:
        """Answer who leaves, once everybody has asserted what it got."""
        if self._request is not None and not self._is_last and not any(self._space.pending_gifts()):
            self._context.answer(self._request)
            self._end()

    def timer(self) -> None:
        """Refuse who leaves, for the heirs have had their time; let the last one go."""
        if self._request is None:
            return
        if self._is_last:
            self._context.answer(self._request)
            self._end()
            return
        self._context.mark("leaving.heir-silent")
        silent = Labels(self._context).listed(sorted(dict.fromkeys(gift.owner for gift in self._space.pending_gifts())))
        self._context.refuse(
            self._request,
            f"{silent} has not confirmed that it owns our addresses now: try again when 'weave status connections' "
            "shows it, or use 'weave reset --force' and then 'weave rmpeer' elsewhere",
        )
        self._stay()

    def _others(self) -> list[PeerName]:
        """Return all others that own, or may have got, anything of our ring, and are not dead."""
        homes, me = self._seed.homes, self._context.me
        absent = {**departed(self._context), me: None, NOBODY: None}
        known = {**self._space.owners(), **dict.fromkeys(homes.neighbours())}
        return [peer for peer in sorted(known) if peer not in absent and not homes.is_elsewhere(peer)]

    def _stay(self) -> None:
        self._end()
        self.is_under_way = False
        self._seed.stay()

    def _end(self) -> None:
        self._request = None
        self._context.timer(TIMER, None)
