"""Leaving: everything goes to an heir, and nothing is forgotten that only this host remembers."""

from __future__ import annotations

from ipam_cluster import Cluster, Host


def leave(host: Host) -> int:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.leave(request))
    return request


def shares(host: Host) -> list[tuple[str, int]]:
    status = host.allocator.describe()
    assert status is not None
    return [(owner.nickname, owner.addresses) for owner in status.owners]


def three() -> tuple[Cluster, Host, Host, Host]:
    cluster = Cluster(3)
    cluster.settle()
    return (cluster, *cluster.hosts)


def test_who_leaves_hands_everything_to_the_smallest_name_and_waits_for_it() -> None:
    cluster, one, two, last = three()
    last.allocate("c")
    request = leave(last)
    last.commit()
    assert last.reply(request) is None
    cluster.settle(1000)
    assert last.reply(request) == ""
    assert shares(one) == [("h1", 48), ("h2", 16)]
    assert last.reply(last.allocate("late")) == "! this host is being reset"
    assert two.is_up


def test_the_heir_is_not_waited_for_for_ever() -> None:
    cluster, _, _, last = three()
    request = leave(last)
    cluster.now_ms += 10_000
    last.fire("ipam/leave")
    reply = last.reply(request)
    assert reply is not None
    assert reply.startswith("! h1 has not confirmed that it owns our addresses now: ")
    assert last.reply(last.allocate("c")) is None, "it stays, and needs space again"


def test_nothing_is_left_to_hand_over_and_still_the_heir_must_confirm() -> None:
    cluster, _, _, last = three()
    leave(last)
    cluster.now_ms += 10_000
    last.fire("ipam/leave")
    again = leave(last)
    last.commit()
    assert last.reply(again) is None, "what was given is known to nobody but us"
    cluster.settle(1000)
    assert last.reply(again) == ""


def test_one_reset_at_a_time() -> None:
    _, _, _, last = three()
    leave(last)
    assert last.reply(leave(last)) == "! this host is being reset already: wait for that"


def test_who_is_alone_has_no_heir() -> None:
    cluster, _, _, last = three()
    cluster.partition(last)
    reply = last.reply(leave(last))
    assert reply is not None
    assert reply.startswith("! no peer can be reached")
    assert last.owns() != []
