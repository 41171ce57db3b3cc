"""Leaving: everything goes to an heir, and nothing is forgotten that only this host remembers."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.config import SeedMode
from core.ipam.earlier import earlier_facts
from core.kinds import AttachmentRecord, put
from core.types import address_of


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
    cluster.exchange()
    assert last.holds() != {}, "until the heir has confirmed"
    cluster.settle(1000)
    assert last.reply(request) == ""
    assert last.holds() == {}
    assert shares(one) == [("h1", 48), ("h2", 16)]
    assert last.reply(last.allocate("late")) == "! this host is being reset"
    assert two.is_up


def silence(last: Host) -> None:
    last.cluster.now_ms += 10_000
    last.fire("ipam/leave")


def test_when_the_heir_is_silent_the_next_one_is_asked() -> None:
    cluster, one, two, last = three()
    last.allocate("c")
    request = leave(last)
    last.commit()
    cluster.partition(one)
    silence(last)
    cluster.exchange()
    cluster.settle(1000)
    assert last.reply(request) == ""
    assert last.holds() == {}
    assert shares(two) == [("h2", 31), ("h1", 33)], "the silent one has the address by which it was asked"
    cluster.heal()
    cluster.settle(1000)
    assert shares(one) == [("h1", 33), ("h2", 31)], "and hears of it from the heir"


def test_heirs_are_not_waited_for_for_ever() -> None:
    _, _, _, last = three()
    request = leave(last)
    silence(last)
    assert last.reply(request) is None
    silence(last)
    assert last.reply(request) == (
        "! nobody has confirmed to own our addresses now (asked: h1, h2): try again when 'weave status connections' "
        "shows them, or use 'weave reset --force' and then 'weave rmpeer' elsewhere"
    )
    again = last.allocate("c")
    last.commit()
    assert last.reply(again) == "10.32.0.48/26", "it stays, and has lost what it asked with"


def test_nothing_is_left_to_hand_over_and_still_the_heir_must_confirm() -> None:
    cluster, _, _, last = three()
    for index in range(last.allocator.describe().parts[0].free - 1):
        last.allocate(f"c{index}")
    first = leave(last)
    silence(last)
    silence(last)
    assert str(last.reply(first)).startswith("! nobody has confirmed")
    for container in last.holds().values():
        last.do(lambda container=container: last.allocator.release(container, last.allocator.held(container)))
    again = leave(last)
    last.commit()
    assert last.reply(again) is None, "what was given is known to nobody but us"
    cluster.settle(1000)
    assert last.reply(again) == ""


def test_what_containers_use_is_given_to_nobody_while_their_host_may_stay() -> None:
    cluster, one, _, last = three()
    last.allocate("c")
    leave(last)
    cluster.exchange()
    silence(last)
    silence(last)
    for index in range(47):
        one.allocate(f"x{index}")
    cluster.settle()
    assert last.holds() == {address_of("10.32.0.48"): "c"}
    cluster.check_holders()


def test_nothing_of_its_containers_is_found_by_the_next_life() -> None:
    cluster, one, _, last = three()
    last.allocate("c")
    last.do(lambda: last.context.write(put("att/c/ethwe", AttachmentRecord("", (), "/n", False, "attach", 0))))
    cluster.settle()
    leave(last)
    cluster.settle()
    last.wipe()
    cluster.exchange()
    assert [(key, body) for key, body in earlier_facts(last.context) if key.startswith(("ip/", "att/"))] == []
    assert shares(one) == [("h1", 48), ("h2", 16)]


def test_who_never_had_a_ring_forgets_its_containers_too() -> None:
    cluster = Cluster(1, mode=SeedMode("consensus", count=3))
    (host,) = cluster.hosts
    host.do(
        lambda: host.context.write(put("att/c/ethwe", AttachmentRecord("", ("10.2.1.1/24",), "/n", False, "attach", 0)))
    )
    request = leave(host)
    host.commit()
    assert host.reply(request) == ""
    assert list(host.context.board.of(host.name, AttachmentRecord)) == []


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
