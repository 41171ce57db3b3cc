"""What a host may use: what the view of all facts calls ours, less what we ourselves know to have given away."""

from __future__ import annotations

from ipam_cluster import Cluster

from core.ipam.steward import Steward
from core.kinds import NOBODY, RingClaim, put, ring_key
from core.types import Address
from crdt.fact import Fact, Origin


def test_our_own_note_forbids_what_others_call_ours() -> None:
    cluster = Cluster(2)
    cluster.settle()
    one, two = cluster.hosts
    steward, ring = one.allocator._steward, one.allocator.ring
    assert isinstance(steward, Steward)
    assert ring is not None
    (mine,) = steward.space.ranges()
    lo, hi, key = Address(mine.lo + 4), Address(mine.lo + 8), ring_key(ring.ring_id, Address(mine.lo + 4))
    one.context.write(put(key, RingClaim(lo, hi, 0, 5, NOBODY, -1, "given away")))
    claim = put(key, RingClaim(lo, hi, 0, 5, one.name, -1, "somebody errs"))
    one.context.board.absorb(Origin(two.name, 1), (Fact(99, claim.key, claim.kind, claim.body),))
    assert ring.view().owner_at(lo) == one.name, "as all facts together say"
    assert [(run.lo, run.hi) for run in steward.space.ranges()] == [(mine.lo, lo), (hi, mine.hi)]
    assert one.context.marks["ipam.note-denies"] == 1
