"""A fact of a later version that is lost or changed on the way is found, and told with whose it is."""

from __future__ import annotations

from watched import A, B, Watched

from core.replica import Replica
from crdt.fact import Change, Delta
from crdt.stream import Stream
from sim.host import Host
from sim.names import NEXT
from sim.relayed import Relayed
from sim.scenario import HostSpec

MIXED = (HostSpec("a", release=NEXT), HostSpec("b", (A,)))


def hearts(watched: Watched) -> list[tuple[Host, Replica]]:
    return [(host, host.heart) for host in watched.world.hosts if isinstance(host.heart, Replica)]


def written(watched: Watched, *changes: Change) -> Delta:
    """Return what host a would have on disk had it written something more, which nobody has heard of."""
    heart = watched.world.hosts[A].heart
    assert heart is not None
    own = heart.store.stream(heart.board.me)
    assert isinstance(own, Stream)
    return own.append(changes).delta(own.head.seq)


def test_what_everybody_holds_is_not_lost() -> None:
    watched = Watched(MIXED)
    heart = watched.world.hosts[A].heart
    assert heart is not None
    relayed = Relayed()
    relayed.observe(watched.world.hosts[A], heart.store.delta_for(heart.board.me, 0))
    assert relayed.loss(hearts(watched)) == ""


def test_what_somebody_lacks_is_lost() -> None:
    watched, relayed = Watched(MIXED), Relayed()
    relayed.observe(watched.world.hosts[A], written(watched, Change("mood/99", "mood.7", b"blue")))
    loss = relayed.loss(hearts(watched))
    assert loss.startswith("a holds None instead of Fact(")
    assert "mood/99" in loss


def test_what_was_taken_back_or_is_understood_need_not_be_there() -> None:
    watched, relayed = Watched(MIXED), Relayed()
    relayed.observe(watched.world.hosts[A], written(watched, Change("mood/99", "mood.7", b"blue")))
    relayed.observe(
        watched.world.hosts[A],
        written(watched, Change("x", "mood.7", None), Change("mood/99", "mood.7", None)),
    )
    assert relayed.loss(hearts(watched)) == ""


def test_nobody_looks_at_hosts_that_never_ran_a_later_version() -> None:
    watched, relayed = Watched(MIXED), Relayed()
    relayed.observe(watched.world.hosts[B], written(watched, Change("mood/99", "mood.7", b"blue")))
    assert relayed.loss(hearts(watched)) == ""
