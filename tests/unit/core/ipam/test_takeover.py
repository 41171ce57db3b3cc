"""Removing dead peers."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.events import RemovePeers
from core.kinds import RetiredRecord
from core.types import address_of


def remove(host: Host, *names: str) -> str | None:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.remove_peers(request, RemovePeers(names)))
    host.commit()
    return host.reply(request)


def shares(host: Host) -> list[tuple[str, int]]:
    status = host.allocator.describe()
    assert status is not None
    return [(owner.nickname, owner.addresses) for owner in status.owners]


def three() -> tuple[Cluster, Host, Host, Host]:
    cluster = Cluster(3)
    cluster.settle()
    return (cluster, *cluster.hosts)


def test_a_dead_peers_space_is_taken_over_and_all_agree() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    assert remove(one, "h3") == "16 IPs taken over from h3"
    cluster.settle()
    assert shares(one) == [("h1", 48), ("h2", 16)]
    assert shares(two) == [("h2", 16), ("h1", 48)]
    assert one.context.board.get(one.name, f"retired/{dead.name}", RetiredRecord) == RetiredRecord(1)


def test_several_at_once_by_name_or_nickname() -> None:
    cluster, one, two, dead = three()
    two.is_up = dead.is_up = False
    assert remove(one, two.name, "h3") == f"16 IPs taken over from {two.name}\n16 IPs taken over from h3"
    assert shares(one) == [("h1", 64)]
    assert cluster.now_ms > 0


def test_the_wrong_ones_are_refused_and_nothing_changes() -> None:
    _, one, two, dead = three()
    dead.is_up = False
    for name, why in (
        ("h1", "! h1 is this host: "),
        ("h2", "! h2 is connected, or was a minute ago: "),
        ("nobody", "! no peer is called nobody: "),
    ):
        reply = remove(one, "h3", name)
        assert reply is not None
        assert reply.startswith(why)
    assert shares(one) == [("h1", 32), ("h2", 16), ("h3", 16)]
    assert two.is_up


def test_who_comes_back_stops_giving_and_what_it_uses_is_left_alone() -> None:
    cluster, one, _, dead = three()
    dead.allocate("old")
    cluster.settle()
    assert dead.holds() == {address_of("10.32.0.48"): "old"}
    cluster.partition(dead)
    remove(one, "h3")
    cluster.heal()
    cluster.settle()
    assert dead.owns() == []
    request = one.claim("new", "10.32.0.48/26")
    cluster.settle()
    assert one.reply(request) == (
        "! Unable to claim: address 10.32.0.48 is still used on h3, from which it was taken over"
    )
    status = dead.allocator.describe()
    assert status is not None
    assert status.stranded == (("10.32.0.48", "old", one.name),)
    for index in range(33):
        one.allocate(f"fill{index}")
    one.commit()
    assert address_of("10.32.0.48") not in one.holds()
    again = dead.allocate("next")
    cluster.settle()
    reply = dead.reply(again)
    assert reply is not None
    cluster.check_safety()


def test_addresses_of_the_dead_can_be_used_again() -> None:
    cluster, one, _, dead = three()
    dead.allocate("old")
    cluster.settle()
    dead.is_up = False
    remove(one, "h3")
    cluster.settle()
    request = one.claim("new", "10.32.0.48/26")
    cluster.settle()
    assert one.reply(request) == ""


def test_two_takers_are_a_conflict_that_everybody_sees() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(one)
    remove(one, "h3")
    remove(two, "h3")
    cluster.heal()
    cluster.settle()
    for host in (one, two):
        status = host.allocator.describe()
        assert status is not None
        assert len(status.conflicts) == 1
        assert "taken over by both h1 and h2: h2 counts" in status.conflicts[0]
    cluster.check_safety()


def test_an_address_given_by_both_takers_is_shown() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(one)
    for host in (one, two):
        remove(host, "h3")
        host.claim("c", "10.32.0.50/26")
    cluster.heal()
    cluster.settle()
    status = one.allocator.describe()
    assert status is not None
    assert status.conflicts[-1] == "10.32.0.50 is used by c on h1 and c on h2: restart all but one of them"
