"""Which addresses may be in use twice without anybody being wrong: the operator called a host dead that lives.

Such a host gives what it has until it hears of its removal, and what it gave before is taken over as well. The same
holds for hosts that a removal has passed over: what the dead gave them is taken. A forced removal passes over those who
did not answer; any removal passes over a host that its remover has never heard of, or holds for dead since an earlier
one. So is what such a host gives to somebody who holds its remover for dead. From the moment at which they could know,
they are held to every promise again; those addresses stay in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.board import Board
from core.effects import Effect, Persist
from core.ipam.retired import PREFIX
from core.kinds import AddressRecord, RetiredRecord, RingClaim, parse
from core.reconcile.objects import EndpointAddress
from core.replica import Replica
from core.types import Address, PeerName, address_text
from sim.books import Books
from sim.host import Host
from sim.world import World

Removals = dict[tuple[PeerName, str], RetiredRecord]
"""By remover, and key of the record."""


class Doubt:
    """Keeps the list of doubtful addresses in the books."""

    def __init__(self, world: World, books: Books, board: Board) -> None:
        """`board` is that of the observer who knows all."""
        self._world = world
        self._books = books
        self._board = board
        self._seen: Removals = {}
        self._passed_over: dict[tuple[PeerName, str], dict[PeerName, None]] = {}
        self._decided: dict[tuple[PeerName, str], tuple[RetiredRecord, dict[PeerName, None]]] = {}

    def look(self) -> None:
        """Take note of removals that are new: all that the hosts concerned use now is in doubt, if they live."""
        now = {(taker, key): record for taker, key, record in self._board.all(RetiredRecord)}
        fresh = {place: record for place, record in now.items() if self._seen.get(place) != record}
        self._seen = now
        for place, record in fresh.items():
            decided = self._decided.get(place)
            is_same = decided is not None and decided[0] == record
            self._passed_over[place] = decided[1] if decided and is_same else self._unasked(place[0])
        for host in self._world.hosts:
            if not self._concerning(host, fresh):
                continue
            for user in self._books.users[host.index].values():
                self._books.doubtful.update(dict.fromkeys(user.addresses))
            if isinstance(host.heart, Replica):
                # What it has given already, and will tell when it is on disk.
                for _, given in host.heart.board.of(host.config.peer, AddressRecord):
                    self._doubt(given.address, given.address + 1)
            for item in host.kernel.observe():
                if isinstance(item, EndpointAddress):
                    self._books.doubtful[item.cidr.partition("/")[0]] = None

    def decided(self, host: Host, effects: Sequence[Effect]) -> None:
        """Take note of whom a removal passes over, and of what a host gives before it can know of its own."""
        own = [
            fact
            for effect in effects
            if isinstance(effect, Persist)
            for delta in effect.deltas
            if delta.origin.peer == host.config.peer
            for fact in delta.facts
        ]
        is_unaware = bool(own) and self.is_unaware(host)
        for fact in own:
            body = None if fact.body is None else parse(fact.kind, fact.body)
            place = (host.config.peer, fact.key)
            if isinstance(body, RetiredRecord):
                before = self._decided.get(place)
                if before is None or before[0] != body:
                    # It may be on disk much later, when more is known.
                    self._decided[place] = (body, self._unasked(host.config.peer))
            elif not is_unaware:
                continue
            elif isinstance(body, AddressRecord):
                self._doubt(body.address, body.address + 1)
            elif isinstance(body, RingClaim) and self._may_accept(PeerName(body.owner), host):
                self._doubt(body.lo, body.hi)

    def _may_accept(self, receiver: PeerName, giver: Host) -> bool:
        """Say whether who gets something of a host that was removed knows that its remover was removed as well.

        Then it need not wait for the end of that removal, of which it may never hear. Else it was asked, or passed
        over, and should take nothing.
        """
        for host in self._world.hosts:
            if host.config.peer == receiver and host is not giver and isinstance(host.heart, Replica):
                dead = {key.removeprefix(PREFIX): None for _, key, _ in host.heart.board.all(RetiredRecord)}
                return any(taker in dead for taker, _ in self._concerning(giver, self._seen))
        return False

    def _doubt(self, lo: int, hi: int) -> None:
        self._books.doubtful.update((address_text(Address(address)), None) for address in range(lo, hi))

    def is_unaware(self, host: Host) -> bool:
        """Say whether a host was removed, or passed over, and cannot know it."""
        heart = host.heart
        if not isinstance(heart, Replica):
            return False
        concerning = self._concerning(host, self._seen)
        if not concerning:
            return False
        heard = {(taker, key): record for taker, key, record in heart.board.all(RetiredRecord)}
        return any(heard.get(place) != record for place, record in concerning.items())

    def _unasked(self, taker: PeerName) -> dict[PeerName, None]:
        """Return the hosts that a remover does not know to be there."""
        hearts = [host.heart for host in self._world.hosts if host.config.peer == taker]
        asked = dict.fromkeys(peer for heart in hearts if isinstance(heart, Replica) for peer in heart.voters())
        return {host.config.peer: None for host in self._world.hosts if host.config.peer not in asked}

    def _concerning(self, host: Host, removals: Removals) -> Removals:
        """Return the removals that may have taken something from a host."""
        peer = host.config.peer
        return {
            place: record
            for place, record in removals.items()
            if place[1] == PREFIX + peer or peer in record.missing or peer in self._passed_over[place]
        }
