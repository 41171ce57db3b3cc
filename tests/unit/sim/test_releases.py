"""A later version says more than today's knows, and today's bears and passes on all of it."""

from __future__ import annotations

import pytest
from watched import A, B, C, Watched

from core.events import LinkDown, Received
from core.kinds import PeerRecord, parse, peer_key
from core.messages import PROTOCOL_MAX, Hello
from core.replica import Replica
from crdt.fact import Fact
from sim.actions import Attach, Detach, Kill, Split, Start, Take, Upgrade
from sim.names import NEXT, TODAY
from sim.releases import FIELD, MOOD_KIND, MOODS, RELEASES, VERSION, is_ahead
from sim.scenario import HostSpec

MIXED = (HostSpec("a", release=NEXT), HostSpec("b", (A,)), HostSpec("c", (B,), release=NEXT))
LINE = ((A, C), (C, A))
"""What the two hosts of the later version say to each other passes through today's."""


def facts(watched: Watched, holder: int, writer: int) -> list[Fact]:
    """Return what one host holds of another's present life."""
    heart, author = watched.world.hosts[holder].heart, watched.world.hosts[writer].heart
    assert isinstance(heart, Replica)
    assert isinstance(author, Replica)
    stream = heart.store.stream(author.board.me)
    assert stream is not None
    return list(stream.live())


def test_a_later_version_says_what_today_does_not_know() -> None:
    watched = Watched(MIXED, walls=LINE)
    watched.perform(*(Take(A, (f"c{number}",)) for number in range(40)))
    watched.wait(5_000)
    said = facts(watched, A, A)
    assert any(fact.kind == MOOD_KIND for fact in said)
    assert len([fact for fact in said if fact.kind == MOOD_KIND]) < MOODS, "some of it has been taken back"
    assert all(is_ahead(fact) for fact in said)
    [record] = [fact for fact in said if fact.key == peer_key()]
    assert record.body is not None
    known = parse(record.kind, record.body)
    assert isinstance(known, PeerRecord)
    assert known.version == VERSION
    assert not any(is_ahead(fact) for fact in facts(watched, B, B))


def test_hosts_of_both_versions_hold_every_byte_of_it() -> None:
    watched = Watched(MIXED, walls=LINE)
    watched.perform(Take(A, tuple(f"c{number}" for number in range(40))))
    watched.wait(5_000)
    assert facts(watched, A, A) == facts(watched, B, A) == facts(watched, C, A)
    watched.settle()


def test_both_versions_greet_each_other_and_stay_connected() -> None:
    watched = Watched(MIXED, walls=LINE)
    hellos = {event.message.protocol_max for event in watched.events(B, Received) if isinstance(event.message, Hello)}
    assert hellos == {PROTOCOL_MAX + 1}
    watched.wait(120_000)
    assert not any(watched.events(host, LinkDown) for host in (A, B, C))
    assert watched.links(B) == 2


def test_messages_of_a_later_version_are_longer_and_read_the_same() -> None:
    hello = Hello(1, 2, "p", "n", 1, 1, 6783, 0)
    assert RELEASES[NEXT].codec(hello) == RELEASES[TODAY].codec(hello) == hello


@pytest.mark.parametrize("writes_meanwhile", [True, False])
def test_a_host_is_upgraded_and_downgraded_on_its_disk(writes_meanwhile: bool) -> None:
    watched = Watched()
    watched.perform(Attach(B, "web"))
    watched.wait(2_000)
    assert watched.perform(Upgrade(B, NEXT), Start(B)) == [True, True]
    watched.wait(10_000)
    if writes_meanwhile:
        watched.perform(Take(B, tuple(f"c{number}" for number in range(20))))
        watched.wait(5_000)
    assert any(is_ahead(fact) for fact in facts(watched, B, B))
    assert watched.perform(Upgrade(B, TODAY), Start(B)) == [True, True]
    watched.wait(10_000)
    ahead = [fact for fact in facts(watched, B, B) if is_ahead(fact)]
    assert ahead or not writes_meanwhile
    assert ahead == [fact for fact in facts(watched, A, B) if is_ahead(fact)]
    watched.perform(Detach(B, "web"), Kill(A), Start(A))
    watched.settle()


def test_what_is_unknown_survives_a_partition_and_a_restart_of_who_relays_it() -> None:
    watched = Watched(MIXED, walls=LINE)
    watched.perform(Split((C,)), Take(A, tuple(f"c{number}" for number in range(30))))
    watched.wait(60_000)
    watched.perform(Kill(B), Start(B))
    watched.settle()
    assert facts(watched, A, A) == facts(watched, C, A)


def test_only_a_version_that_exists_and_is_another_one_takes_the_place() -> None:
    watched = Watched()
    assert watched.perform(Upgrade(B, TODAY), Upgrade(B, "never"), Upgrade(B, NEXT), Upgrade(B, NEXT)) == [
        False,
        False,
        True,
        False,
    ]
    assert watched.world.hosts[B].heart is None


def test_only_what_a_later_version_says_is_ahead() -> None:
    assert is_ahead(Fact(1, "x", "mood.7", None))
    assert is_ahead(Fact(1, "x", "peer.1", b"\x81" + FIELD))
    assert not is_ahead(Fact(1, "x", "peer.1", b"\x81\xa4port\x01"))
    assert not is_ahead(Fact(1, "x", "peer.1", None))
