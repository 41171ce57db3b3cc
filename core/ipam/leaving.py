"""Handing over all addresses of this host before it is reset, in three steps.

First a peer in our ring is asked whether it is there: it gets one free address, and says in its own stream that it
owns it. That is the heir; of who is silent for `HEIR_MS` the next is tried. The heir then gets all that is free, and
says so, too: this shows that it holds all we ever said to the end, also what others got and have not spoken of yet,
so nothing is forgotten that only this host remembers. Until then containers keep their addresses, and the host can
stay. Then their interfaces go, and when the kernel has let go of the last address, which somebody else may have in a
moment, the host says goodbye: what its containers used is nobody's any more and goes to the heir, too, and what it
knew of the ring it takes back, so that the next life under its name begins anew.
"""

from __future__ import annotations

from collections.abc import Callable

from core.context import Context
from core.ipam.labels import Labels
from core.ipam.retired import departed
from core.ipam.seed import Seed
from core.ipam.space import Space
from core.kinds import NOBODY, AddressRecord, AttachmentRecord, gone
from core.types import PeerName, RequestId

TIMER = "ipam/leave"
HEIR_MS = 10_000
"""How long to wait for the heir: it must cross the mesh twice, and be written to two disks."""
HEIRS_MAX = 3
"""Peers that are tried: with more than these silent it is the host itself that is cut off."""
FAREWELL_MS = 1_000
"""Without an heir: time for the goodbye to reach a neighbour."""


Vacate = Callable[[Callable[[], None]], None]
"""Takes all interfaces of containers here away, and calls back when the kernel has none left."""


class Leaving:
    """The end of a host, as far as the ring is concerned."""

    def __init__(
        self, context: Context, seed: Seed, space: Space, reachable: Callable[[PeerName], bool], vacate: Vacate
    ) -> None:
        self._context = context
        self._seed = seed
        self._space = space
        self._reachable = reachable
        self._vacate = vacate
        self._labels = Labels(context)
        self._request: RequestId | None = None
        self._heir: PeerName | None = None
        self._heirs: list[PeerName] = []
        self._asked: list[PeerName] = []
        self._is_asking = False
        self._has_given = False
        self._is_vacating = False
        self._has_said_goodbye = False
        self.is_under_way = False
        """Everything has been, or is being, handed over: nothing is given to anybody any more."""

    def leave(self, request: RequestId) -> None:
        """Begin to hand everything to a reachable peer of our ring, the smallest name first.

        The last one of a ring has nobody to hand it to, and nobody needs it.
        """
        if self._request is not None:
            self._context.refuse(request, "this host is being reset already: wait for that")
            return
        heirs = [peer for peer in self._seed.homes.neighbours() if self._reachable(peer)][:HEIRS_MAX]
        others = self._others()
        if not heirs and others and self._space.ranges():
            self._context.mark("leaving.no-heir")
            self._context.refuse(
                request,
                f"no peer can be reached that would inherit our addresses: connect any of "
                f"{self._labels.listed(others)}, or use 'weave reset --force' here and then 'weave rmpeer' there",
            )
            return
        self._request, self._heirs, self._asked, self.is_under_way = request, heirs, [], True
        self._ask_next()
        self.facts_changed()

    def cancel(self, request: RequestId) -> None:
        """Answer nobody, and stay; what was handed over stays so."""
        if request == self._request:
            self._stay()

    def facts_changed(self) -> None:
        """Go on once the heir has asserted what it got."""
        if self._request is None or self._is_waiting():
            return
        if self._is_asking:
            self._is_asking = False
            assert self._heir is not None, "it has answered"
            self._space.give_free(self._heir)
            self._context.timer(TIMER, HEIR_MS)
            if self._is_waiting():
                return
        if not self._has_said_goodbye:
            if not self._is_vacating:
                self._is_vacating = True
                self._context.timer(TIMER, HEIR_MS)
                self._vacate(self._say_goodbye)
        elif self._heir is not None:
            self._context.answer(self._request)
            self._end()

    def timer(self) -> None:
        """Try the next heir, or refuse who leaves, for all have had their time; let go who has none."""
        if self._request is None:
            return
        if self._has_said_goodbye and self._heir is None:
            self._context.answer(self._request)
            self._end()
            return
        if self._is_vacating:
            self._context.refuse(
                self._request, "the kernel does not let go of all interfaces: see 'weave status', then try again"
            )
            self._stay()
            return
        self._context.mark("leaving.heir-silent")
        if self._is_asking and self._heirs:
            self._ask_next()
            self.facts_changed()
            return
        pending = [gift.owner for gift in self._space.pending_gifts()]
        silent = self._labels.listed(dict.fromkeys((*self._asked, *sorted(pending))))
        self._context.refuse(
            self._request,
            f"nobody has confirmed to own our addresses now (asked: {silent}): try again when "
            "'weave status connections' shows them, or use 'weave reset --force' and then 'weave rmpeer' elsewhere",
        )
        self._stay()

    def _ask_next(self) -> None:
        """Find out whether the next heir is there, at the price of an address."""
        self._heir = self._heirs.pop(0) if self._heirs else None
        self._has_given = False
        if self._heir is not None:
            self._asked.append(self._heir)
            self._has_given = self._space.give_one(self._heir)
        self._is_asking = self._has_given
        self._context.timer(TIMER, HEIR_MS)

    def _is_waiting(self) -> bool:
        """Say whether a gift is known to nobody but us, as far as we can tell."""
        heirs = [gift.owner for gift in self._space.pending_gifts()]
        return self._heir in heirs if self._has_given else bool(heirs)

    def _say_goodbye(self) -> None:
        """Hand over the rest, and take back what a next life must not find again."""
        if not self._is_vacating:
            # Nobody wants to leave any more.
            return
        self._is_vacating, self._has_said_goodbye = False, True
        forget_containers(self._context)
        self._seed.leave()
        if self._heir is not None and self._space.give_all(self._heir):
            self._has_given = True
            self._context.timer(TIMER, HEIR_MS)
        else:
            self._heir = None
            self._context.timer(TIMER, FAREWELL_MS)

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
        self._request, self._is_vacating, self._has_said_goodbye, self._is_asking = None, False, False, False
        self._context.timer(TIMER, None)


def forget_containers(context: Context) -> None:
    """Take back all addresses and interfaces of containers here."""
    for kind in (AddressRecord, AttachmentRecord):
        for key, _ in tuple(context.board.of(context.me, kind)):
            context.write(gone(key, kind))
