"""Everything that acts on the ring once there is one: our space, asks, takeovers, and gifts to others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from core.context import Context
from core.ipam.asking import Asks
from core.ipam.fences import takeovers
from core.ipam.held import Held
from core.ipam.labels import Labels
from core.ipam.leaving import Leaving, Vacate
from core.ipam.seed import Seed
from core.ipam.space import Space
from core.ipam.takeover import Takeover
from core.ipam.waits import Failed, Finder, Found, Lacking, Wait
from core.messages import SpaceAsk, SpaceRefused
from core.types import Address, PeerName, address_text


class Steward:
    """Looks after our part of one ring."""

    def __init__(
        self,
        context: Context,
        seed: Seed,
        held: Held,
        reachable: Callable[[PeerName], bool],
        send_to: Callable[[PeerName, SpaceAsk | SpaceRefused], bool],
        vacate: Vacate,
        squatted: Callable[[], Iterable[Address]],
    ) -> None:
        assert seed.ring is not None, "there is a ring"
        assert context.config.universe is not None, "and a universe"
        self._context = context
        self._ring = seed.ring
        self._held = held
        self._homes = seed.homes
        self.space = Space(context, seed.ring, held)
        self.asks = Asks(context, seed.ring, seed.homes, reachable, send_to)
        self.leaving = Leaving(context, seed, self.space, reachable, vacate)
        self.takeover = Takeover(context, self.space, seed.ring, reachable)
        self._finder = Finder(context.config.universe, held, self.space, self.asks, Labels(context), squatted)

    def look(self, wait: Wait) -> Found | Failed | Lacking:
        """Look for what a wait wants."""
        return self._finder.look(wait, self._ring.view().owner_at)

    def donate(self, asker: PeerName, ask: SpaceAsk) -> str:
        """Give the asker some of our free space; return why not, or nothing when a gift is or was made.

        What the asker says of its ring may come earlier than its facts.
        A gift that the asker has not asserted yet is on its way: asking twice brings no second one. Who asks us for
        an address that is not ours has old facts, and will hear of the owner; it gets no answer.
        """
        if self._homes.is_elsewhere(asker) or ask.ring not in ("", self._ring.ring_id):
            return "you share another range, or in another way"
        if asker in self._context.board.fences:
            # It is being removed, and what it got now its remover would not know of.
            return "you are being removed"
        if any(self._context.me in record.targets for record in takeovers(self._context).values()):
            return "its addresses are being taken over"
        if self.space.has_pending_gift(asker, ask.lo, ask.hi):
            self._context.mark("ipam.asked-twice")
            return ""
        if ask.exact:
            if not all(self.space.owns(address) for address in (ask.lo, Address(ask.hi - 1))):
                return ""
            if self.space.free_count(ask.lo, ask.hi) < ask.hi - ask.lo:
                return f"address {address_text(ask.lo)} is in use by {self._held.at(ask.lo) or 'another container'}"
            self.space.give(ask.lo, ask.hi, asker)
            return ""
        runs = [(hi - lo, lo, hi) for lo, hi in self.space.free_runs(ask.lo, ask.hi)]
        if not runs:
            return "nothing is free here"
        size, lo, hi = max(runs)
        # The end of a subnet is never used; it goes along, so that halving leaves no splinters.
        if hi == ask.hi and self.space.free_count(hi, hi + 1):
            hi = Address(hi + 1)
        self.space.give(Address(lo + size // 2), hi, asker)
        return ""
