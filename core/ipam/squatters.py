"""Who else uses which addresses, so that none of them is given again, whoever owns it.

A peer may use what it does not own: its range was taken over while it lived, or it was launched with another range or
in another ring and its containers kept what they had. Of the dead nobody uses anything.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from core.context import Context
from core.ipam.retired import departed
from core.kinds import AddressRecord
from core.types import Address, PeerName

Use = tuple[Address, PeerName]


class Squatters:
    """Addresses that others have given to their containers.

    A change costs what its writer has given, and moves of memory.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._news = context.board.watch(AddressRecord)
        self._by_peer: dict[PeerName, dict[Use, None]] = {}
        self._uses: list[Use] = []
        self._version = 0
        for peer in context.board.peers():
            self._news[peer] = None

    @property
    def version(self) -> int:
        """Rises when others use other addresses than before."""
        self._catch_up()
        return self._version

    def between(self, lo: int, hi: int) -> list[Use]:
        """Return address and user of all that others use in `[lo, hi)`, ascending. O(log addresses + found)."""
        self._catch_up()
        start, stop = (bisect_left(self._uses, (address, "")) for address in (lo, hi))
        found = self._uses[start:stop]
        if found:
            dead = departed(self._context)
            found = [use for use in found if use[1] not in dead]
        return found

    def _catch_up(self) -> None:
        if not self._news:
            return
        board, uses = self._context.board, self._uses
        for peer in self._news:
            old = self._by_peer.pop(peer, {})
            records = () if peer == self._context.me else board.of(peer, AddressRecord)
            new = dict.fromkeys((Address(record.address), peer) for _, record in records)
            for use in old:
                if use not in new:
                    del uses[bisect_left(uses, use)]
            for use in new:
                if use not in old:
                    insort(uses, use)
            self._version += old != new
            if new:
                self._by_peer[peer] = new
        self._news.clear()
