"""Handing over all addresses of this host before it is reset, in two steps.

First what is free goes to an heir in our ring, and the host waits until everybody who ever got something from it has
said in its own stream that it owns it: this shows that they hold ours to the end, so nothing is forgotten that only
this host remembers. Until then containers keep their addresses, and the host can stay if the heir is silent. Then their
interfaces go, and when the kernel has let go of the last address, which somebody else may have in a moment, the host
says goodbye: what its containers used is nobody's any more and goes to the heir, too, and what it knew of the ring it
takes back, so that the next life under its name begins anew.
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
        self._is_vacating = False
        self._has_said_goodbye = False
        self.is_under_way = False
        """Everything has been, or is being, handed over: nothing is given to anybody any more."""

    def leave(self, request: RequestId) -> None:
        """Begin to hand everything to the reachable peer of our ring with the smallest name.

        The last one of a ring has nobody to hand it to, and nobody needs it.
        """
        if self._request is not None:
            self._context.refuse(request, "this host is being reset already: wait for that")
            return
        heir = next((peer for peer in self._seed.homes.neighbours() if self._reachable(peer)), None)
        others = self._others()
        if heir is None and others and self._space.ranges():
            self._context.mark("leaving.no-heir")
            self._context.refuse(
                request,
                f"no peer can be reached that would inherit our addresses: connect any of "
                f"{self._labels.listed(others)}, or use 'weave reset --force' here and then 'weave rmpeer' there",
            )
            return
        self._request, self._heir, self.is_under_way = request, heir, True
        if heir is not None:
            self._space.give_free(heir)
        self._context.timer(TIMER, HEIR_MS)
        self.facts_changed()

    def cancel(self, request: RequestId) -> None:
        """Answer nobody, and stay; what was handed over stays so."""
        if request == self._request:
            self._stay()

    def facts_changed(self) -> None:
        """Go on once everybody has asserted what it got."""
        if self._request is None or any(self._space.pending_gifts()):
            return
        if not self._has_said_goodbye:
            if not self._is_vacating:
                self._is_vacating = True
                self._vacate(self._say_goodbye)
        elif self._heir is not None:
            self._context.answer(self._request)
            self._end()

    def timer(self) -> None:
        """Refuse who leaves, for the heirs have had their time; let go who has none."""
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
        silent = self._labels.listed(sorted(dict.fromkeys(gift.owner for gift in self._space.pending_gifts())))
        self._context.refuse(
            self._request,
            f"{silent} has not confirmed that it owns our addresses now: try again when 'weave status connections' "
            "shows it, or use 'weave reset --force' and then 'weave rmpeer' elsewhere",
        )
        self._stay()

    def _say_goodbye(self) -> None:
        """Hand over the rest, and take back what a next life must not find again."""
        if not self._is_vacating:
            # Nobody wants to leave any more.
            return
        self._is_vacating, self._has_said_goodbye = False, True
        forget_containers(self._context)
        self._seed.leave()
        if self._heir is not None and self._space.give_all(self._heir):
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
        self._request, self._is_vacating, self._has_said_goodbye = None, False, False
        self._context.timer(TIMER, None)


def forget_containers(context: Context) -> None:
    """Take back all addresses and interfaces of containers here."""
    for kind in (AddressRecord, AttachmentRecord):
        for key, _ in tuple(context.board.of(context.me, kind)):
            context.write(gone(key, kind))
