"""What a request that waits is told."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.ipam.asking import Asks
from core.ipam.held import Held
from core.ipam.homes import Homes
from core.ipam.labels import Labels
from core.ipam.space import Space
from core.ipam.waits import Finder, Lacking, Wait
from core.kinds import RingClaim, TakeoverRecord, put, ring_key, takeover_key
from core.types import Address, address_of, cidr_of
from crdt.fact import Change


def hear(host: Host, other: Host, change: Change) -> None:
    """Let a host hear of a change, and do nothing about it yet."""
    other.do(lambda: other.context.write(change))
    other.commit()
    host.context.learn(other.context.store.delta_for(other.context.board.me, 0))


def test_an_address_given_away_by_a_peer_that_is_being_removed_is_nobody_s_and_it_is_said_why() -> None:
    cluster = Cluster(3)
    one, two, last = cluster.hosts
    cluster.settle()
    context, ring, universe = one.context, one.allocator.ring, one.config.universe
    assert ring is not None
    assert universe is not None
    lo = address_of("10.32.0.40")
    gift = RingClaim(lo, lo + 1, 0, 1, one.name, -1, "given", 0)
    hear(one, two, put(ring_key(ring.ring_id, lo), gift))
    held, homes = Held(context), Homes(context, universe)
    asks = Asks(context, ring, homes, lambda _peer: True, lambda _peer, _body: True)
    finder = Finder(universe, held, Space(context, ring, held), asks, Labels(context), lambda: ())
    wait = Wait("key", "a", (cidr_of("10.32.0.40/26"),), lambda _result: None, "claim")

    def why() -> str:
        answer = finder.look(wait, ring.view().owner_at)
        assert isinstance(answer, Lacking)
        assert answer.asks == ((lo, Address(lo + 1), True),)
        return answer.why

    context.board.fence({two.name: {two.context.board.me.incarnation: 0}})
    assert why() == (
        "address 10.32.0.40 was given away by h2, and who owns it now is not known here: connect whoever is missing in "
        "'weave status peers', then try again"
    )
    hear(one, last, put(takeover_key(), TakeoverRecord((two.name,), 1, "ballot", True, 0)))
    assert why() == (
        "address 10.32.0.40 was given away by h2 after h3 had begun to remove h2, so it is nobody's until that is "
        "over: see 'weave status ipam', then try again"
    )
