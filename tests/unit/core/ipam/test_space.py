"""What a host may use: what the view of all facts calls ours, less what we ourselves know to have given away."""

from __future__ import annotations

from ipam_cluster import Cluster

from core.ipam.steward import Steward
from core.kinds import NOBODY, RingClaim, put, ring_key
from core.types import Address, Instant
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
    one.context.write(put(key, RingClaim(lo, hi, 0, 5, NOBODY, -1, "given away", 0)))
    claim = put(key, RingClaim(lo, hi, 0, 5, one.name, -1, "somebody errs", 0))
    one.context.board.absorb(Origin(two.name, 1), (Fact(99, claim.key, claim.kind, claim.body),))
    assert ring.view().owner_at(lo) == one.name, "as all facts together say"
    assert [(run.lo, run.hi) for run in steward.space.ranges()] == [(mine.lo, lo), (hi, mine.hi)]
    assert one.context.marks["ipam.note-denies"] == 1


def test_a_claim_keeps_the_time_at_which_it_was_first_made() -> None:
    cluster = Cluster(2)
    cluster.settle()
    one, two = cluster.hosts
    steward = one.allocator._steward
    assert isinstance(steward, Steward)
    (mine,) = steward.space.ranges()

    def give(lo: int, at_ms: int) -> None:
        one.context.at = Instant(0, at_ms)
        steward.space.give(Address(mine.lo + lo), Address(mine.lo + lo + 2), two.name)

    give(8, 1_000)
    give(10, 2_000)
    give(4, 3_000)
    one.context.at = Instant(0, 4_000)
    steward.space.settle()
    claims = {claim.lo - mine.lo: claim for _, claim in one.context.board.of(one.name, RingClaim)}
    assert {lo: (claim.hi - claim.lo, claim.at_ms) for lo, claim in claims.items() if claim.owner == two.name} == {
        4: (2, 3_000),
        8: (4, 1_000),
    }, "neighbours are one fact, as old as the older"
    assert claims[8].why == f"given by {one.name} to {two.name} on its request"
