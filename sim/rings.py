"""Who owns which addresses, as somebody knows who has read every disk; several rings where hosts were told so (I3).

Hosts that are launched with different ranges, or with different ideas of how one is divided, live in rings of their
own. Nothing passes from one ring to another; an address may be in use in both, and then everybody is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.board import Board
from core.ipam.ring import Ring, RingView, rank_of
from core.kinds import NOBODY
from core.replica import Replica
from core.types import Address, Subnet, address_text
from sim.books import Violation
from sim.host import Host
from sim.scene import Scene


class Rings:
    """All rings that any host has lived in."""

    def __init__(self, scene: Scene, board: Board) -> None:
        """`board` shows what everybody has on disk about themselves."""
        self._scene = scene
        self._board = board
        self._known: dict[str, Ring] = {}
        self._lived: dict[str, dict[str, None]] = {}
        self._are_several = "two-rings" in scene.scenario.allow

    def of(self, host: Host) -> RingView | None:
        """Return the ring that a host gives from; None while it has none. Raises: Violation."""
        self._look()
        ring = ring_of(host)
        return None if ring is None else self._known[ring.ring_id].view()

    def applied(self, host: Host) -> None:
        """Remember who has lived in which ring."""
        ring = ring_of(host) if self._are_several else None
        if ring is not None:
            self._lived.setdefault(ring.ring_id, {})[host.config.peer] = None

    def check(self) -> None:
        """Check that each ring covers its universe, and that nothing was given across. Raises: Violation."""
        self._look()
        for ring in self._known.values():
            for part in ring.universe.parts:
                _check_whole(part, ring.view())
            owned, size = sum(ring.view().shares().values()), ring.universe.size
            if owned != size:
                raise Violation(f"I3: {owned} addresses have an owner in {ring.universe}, which has {size}")
            if self._are_several:
                self._check_apart(ring)

    def are_apart(self, host: Host, other: Host, user: str, address: str) -> bool:
        """Say whether a user of the other host has an address from another ring than this host gives from now."""
        mine, theirs = ring_of(host), ring_of(other)
        here = "" if mine is None else mine.ring_id
        there = "" if theirs is None else theirs.ring_id
        return here != (self._scene.books.ring_of(other.index, user, address) or there)

    def undisclosed(self, host: Host) -> str:
        """Say whose ring is another than a host's, without its status naming both; empty when all is told."""
        mine = ring_of(host)
        if mine is None or not isinstance(host.heart, Replica):
            return ""
        alarms = host.heart.describe(host.clock.at(self._scene.world.now_us)).alarms
        for index in self._scene.scenario.members():
            other = self._scene.world.hosts[index]
            theirs = ring_of(other)
            if theirs is None or theirs.ring_id == mine.ring_id:
                continue
            names = (other.name, host.name, str(mine.universe), str(theirs.universe))
            if not any(all(name in alarm for name in names) for alarm in alarms):
                return f"{other.name} lives in ring {theirs.ring_id}, {host.name} in {mine.ring_id}"
        return ""

    def unsaid(self, host: Host) -> Iterator[str]:
        """Yield what others have given to a host and it has not said to own; at rest everybody speaks for himself.

        Of a giver that does not come back, nobody else may have heard that it gave anything. Of one that is being
        removed nothing may be taken, until the remover is done or is removed itself.
        """
        view = self.of(host)
        if view is None or not isinstance(host.heart, Replica):
            return
        fenced = host.heart.board.fences
        givers = {self._scene.world.hosts[index].config.peer: None for index in self._scene.scenario.members()}
        for writer, claim in view.claims:
            if claim.owner != host.config.peer or writer == claim.owner or writer not in givers or writer in fenced:
                continue
            for run in view.between(Address(claim.lo), Address(claim.hi)):
                if run.rank == rank_of(claim):
                    where = f"from {address_text(run.lo)} up to {address_text(run.hi)}"
                    yield f"{host.name} has not said that it owns what {writer} gave it, {where}"

    def _check_apart(self, ring: Ring) -> None:
        lived = self._lived.get(ring.ring_id, {})
        for run in ring.view().runs:
            # What nobody has spoken of since the division may belong to somebody who was never launched like that.
            if run.rank[:2] != (0, 0) and run.owner != NOBODY and run.owner not in lived:
                raise Violation(f"I3: {run.owner} was given {run.lo:x} in ring {ring.ring_id}, where it has never been")

    def _look(self) -> None:
        for host in self._scene.world.hosts:
            ring = ring_of(host)
            if ring is not None and ring.ring_id not in self._known:
                self._known[ring.ring_id] = ring.on(self._board)
        if len(self._known) > 1 and not self._are_several:
            raise Violation(f"I3: there are several rings: {sorted(self._known)}")


def _check_whole(part: Subnet, view: RingView) -> None:
    at = part.lo
    for run in view.between(part.lo, part.hi):
        if run.lo != at:
            raise Violation(f"I3: nobody owns what lies between {at:x} and {run.lo:x}")
        at = Address(run.hi)
    if at != part.hi:
        raise Violation(f"I3: nobody owns what lies from {at:x}")


def ring_of(host: Host) -> Ring | None:
    """Return the ring that a host lives in; None while it has none."""
    return host.heart.allocator.ring if isinstance(host.heart, Replica) else None
