"""Whether those who hold the same facts see the same things (I4), and whether what they see follows from the facts.

Views are kept up to date change by change; here they are made anew from the streams, and must be the same. A fence
changes what its giver makes of some claims, so rings are compared only between hosts that have given none.
"""

from __future__ import annotations

from core.board import Board
from core.kinds import NAMES
from core.replica import Replica
from core.types import PeerName
from sim.host import Host


def disagreement(hearts: list[tuple[Host, Replica]]) -> str:
    """Say who sees what does not follow from its facts, or what another with equal facts does not see."""
    first: dict[int, tuple[Host, Replica]] = {}
    for host, heart in hearts:
        problem = _staleness(heart)
        if problem:
            return f"{host.name} shows {problem}"
        other_host, other = first.setdefault(heart.store.digest.root, (host, heart))
        difference = _difference(heart, other)
        if difference:
            return f"{host.name} and {other_host.name} hold equal facts and have different {difference}"
    return ""


def contradiction(heart: Replica) -> str:
    """Say that a host was told what contradicts itself or what it holds; among honest hosts that is never so."""
    if heart.marks.get("gossip.equivocation"):
        return "was told two things under one number"
    return "was told what does not fit its fingerprint" if heart.marks.get("gossip.corrupt-replaced") else ""


def _staleness(heart: Replica) -> str:
    """Name the first kind of facts that a board made from the streams shows otherwise; empty when none is."""
    board = heart.board
    fresh = Board(board.me)
    for origin in heart.store.origins():
        if origin.incarnation > board.adopted(PeerName(origin.peer)):
            stream = heart.store.stream(origin)
            assert stream is not None, "origins come from the store"
            fresh.absorb(origin, stream.live())
    fresh.fence(board.fences)
    for kind, name in NAMES.items():
        if list(fresh.all(kind)) != list(board.all(kind)):
            return f"facts of kind {name} that its streams do not hold, or not all that they hold"
    return ""


def _difference(one: Replica, other: Replica) -> str:
    if one.mesh.short_ids != other.mesh.short_ids:
        return "numbers of peers"
    if one.mesh.graph != other.mesh.graph:
        return "ideas of who is linked to whom"
    rings = [heart.allocator.ring for heart in (one, other) if not heart.board.fences]
    views = [(ring.ring_id, ring.view().runs) for ring in rings if ring is not None]
    is_same = len(views) == 2 and views[0][0] == views[1][0]
    return "owners of addresses" if is_same and views[0] != views[1] else ""
