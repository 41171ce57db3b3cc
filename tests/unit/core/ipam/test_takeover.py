"""Removing dead peers."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.events import RemovePeers
from core.ipam.universe import hosts_of
from core.kinds import FenceRecord, RetiredRecord, TakeoverRecord
from core.messages import SpaceAsk
from core.types import RequestId, address_of, subnet_of


def ask_to_remove(host: Host, *names: str, force: bool = False) -> int:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.remove_peers(request, RemovePeers(names, force)))
    return request


def remove(host: Host, *names: str, force: bool = False, span_ms: int = 60_000) -> str | None:
    request = ask_to_remove(host, *names, force=force)
    host.cluster.settle(span_ms)
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
    assert one.context.board.get(one.name, f"retired/{dead.name}", RetiredRecord) == RetiredRecord(1, 3, 0, ())


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
    dead.allocate("sign of life")
    cluster.heal()
    cluster.settle()
    assert dead.owns() == []
    request = one.claim("new", "10.32.0.48/26")
    cluster.settle()
    assert one.reply(request) == "! Unable to claim: address 10.32.0.48 is still used on h3: free it there first"
    status = dead.allocator.describe()
    assert status is not None
    assert status.stranded == (
        ("10.32.0.48", "old", one.name),
        ("10.32.0.49", "sign of life", one.name),
    )
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


def test_nobody_is_removed_before_all_have_answered() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(two)
    reply = remove(one, "h3")
    assert reply is not None
    assert reply.startswith("! h3 cannot be removed safely: h2 may own addresses that came from there and did not")
    assert "'weave rmpeer h3 h2'" in reply
    cluster.heal()
    cluster.settle()
    assert shares(one) == [("h1", 32), ("h2", 16), ("h3", 16)]
    assert list(two.context.board.of(two.name, FenceRecord)) == [], "what was withdrawn binds nobody"


def test_what_the_dead_gave_away_last_stays_with_who_got_it() -> None:
    cluster, one, two, dead = three()
    for index in range(16):
        two.allocate(f"c{index}")
    cluster.settle()
    cluster.partition(one)
    late = two.allocate("late")
    cluster.exchange()
    cluster.exchange()
    cluster.exchange()
    assert two.reply(late) == "10.32.0.55/26", "from the dead, and h1 knows nothing of it"
    dead.is_up = False
    cluster.heal()
    assert remove(one, "h3") == "7 IPs taken over from h3"
    assert two.reply(two.allocate("more")) is None
    cluster.settle()
    cluster.check_safety()


def test_a_gift_that_surfaces_after_the_fence_is_nobodys_until_the_takeover_is_over() -> None:
    cluster, one, two, dead = three()
    for index in range(16):
        two.allocate(f"c{index}")
    cluster.settle()
    cluster.partition(dead)
    ask_to_remove(one, "h3")
    one.commit()
    cluster.share(one, two, one.origin)
    cluster.deliver(0)
    two.commit()
    assert two.context.board.get(two.name, f"fence/{dead.name}", FenceRecord) is not None
    cluster.heal()
    late = two.allocate("late")
    dead.do(lambda: dead.allocator.received(two.name, SpaceAsk(*hosts_of(subnet_of("10.32.0.0/26")), False)))
    dead.commit()
    cluster.share(dead, two, dead.origin)
    while cluster.packets:
        cluster.deliver(0)
    two.commit()
    assert two.reply(late) is None
    assert all(hi <= address_of("10.32.0.48") for _, hi in two.owns() if hi > address_of("10.32.0.40"))
    cluster.check_safety()


def test_two_removers_of_one_peer_do_not_both_win() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    first, second = ask_to_remove(two, "h3"), ask_to_remove(one, "h3")
    cluster.settle()
    assert one.reply(second) == "16 IPs taken over from h3"
    reply = two.reply(first)
    assert reply is not None
    assert reply.startswith("! h1 is removing h3 already")
    for host in (one, two):
        status = host.allocator.describe()
        assert status is not None
        assert status.conflicts == ()
    cluster.check_safety()


def test_two_that_remove_each_other_and_a_third_come_to_an_end() -> None:
    cluster = Cluster(4)
    cluster.settle()
    one, two, three_, dead = cluster.hosts
    dead.is_up = False
    cluster.partition(one)
    ask_to_remove(one, "h2", "h4")
    cluster.heal()
    cluster.partition(two)
    ask_to_remove(two, "h1", "h4")
    cluster.heal()
    cluster.settle()
    cluster.check_safety()
    assert list(three_.context.board.all(TakeoverRecord)) == []
    assert list(three_.context.board.all(FenceRecord)) == []


def test_who_comes_back_in_time_keeps_all() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(two)
    request = ask_to_remove(one, "h3")
    dead.is_up = True
    cluster.heal()
    cluster.settle()
    assert one.reply(request) == "! h3 has come back: nothing was removed"
    assert shares(one) == [("h1", 32), ("h2", 16), ("h3", 16)]


def test_who_only_seems_to_be_back_is_removed_all_the_same() -> None:
    """A neighbour that was cut off brings old news of its links first, and new ones a moment later."""
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(two)
    request = ask_to_remove(one, "h3")
    one.commit()
    dead.is_up = True
    one.do(one.allocator.facts_changed)
    assert one.reply(request) is None
    dead.is_up = False
    cluster.heal()
    cluster.settle()
    assert one.reply(request) == "16 IPs taken over from h3"


def test_nobody_is_removed_while_it_seems_to_be_back() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    request = ask_to_remove(one, "h3", force=True)
    one.commit()
    two.is_up = False
    dead.is_up = True
    for name in ("ipam/takeover", "ipam/takeover"):
        cluster.now_ms = one.timers[name]
        one.fire(name)
    one.commit()
    assert shares(one) == [("h1", 32), ("h2", 16), ("h3", 16)]
    assert list(one.context.board.all(TakeoverRecord)) == []
    reply = one.reply(request)
    assert reply is not None
    assert reply.startswith("IPs of h3 will be taken over when h2 has answered")


def test_a_removal_ends_with_whoever_asked_for_it() -> None:
    cluster, one, two, dead = three()
    dead.is_up = False
    cluster.partition(two)
    request = ask_to_remove(one, "h3")
    one.commit()
    one.do(lambda: one.allocator.cancel(RequestId(request)))
    assert list(one.context.board.all(TakeoverRecord)) == []
    ask_to_remove(one, "h3")
    one.commit()
    one.crash()
    one.do(one.allocator.facts_changed)
    assert list(one.context.board.all(TakeoverRecord)) == [], "nobody waits for it any more"


def test_a_forced_removal_waits_ten_minutes_and_says_so() -> None:
    cluster, one, two, dead = three()
    dead.is_up = two.is_up = False
    reply = remove(one, "h3", force=True, span_ms=60_000)
    assert reply is not None
    assert reply.startswith("IPs of h3 will be taken over when h2 has answered, or in 9 minutes without")
    assert shares(one)[0] == ("h1", 32)
    status = one.allocator.describe()
    assert status is not None
    assert status.alarms == ("h1 is removing h3 with --force since 1970-01-01 00:00:00; it waits for h2 (unreachable)",)
    one.crash()
    cluster.settle(700_000)
    assert shares(one)[0] == ("h1", 48), "it survives a restart"
    record = one.context.board.get(one.name, f"retired/{dead.name}", RetiredRecord)
    assert record is not None
    assert record.missing == (two.name,)


def test_who_was_removed_and_lives_is_told_and_so_is_everybody() -> None:
    cluster, one, _, dead = three()
    dead.allocate("old")
    cluster.settle()
    cluster.partition(dead)
    remove(one, "h3")
    request = dead.allocate("blind")
    dead.commit()
    assert dead.reply(request) == "10.32.0.49/26"
    for index in range(32):
        one.allocate(f"fill{index}")
    cluster.settle()
    cluster.heal()
    cluster.settle()
    for host in cluster.hosts:
        status = host.allocator.describe()
        assert status is not None
        assert status.conflicts == (
            "10.32.0.48 is used by fill31 on h1 and old on h3 (h1 removed h3 on 1970-01-01 00:00:00): "
            "restart all but one of them",
        ), host.name
        who = "the ranges of this host are another's now" if host is dead else "and it has come back"
        (alarm,) = status.alarms
        assert who in alarm
        assert alarm.endswith("its containers keep 2 addresses that belong to others now; this ends when they do")


def test_a_container_that_is_restarted_gets_an_address_that_is_its_own() -> None:
    cluster, one, two, dead = three()
    dead.allocate("old")
    cluster.settle()
    cluster.partition(dead)
    remove(one, "h3")
    for index in range(40):
        one.allocate(f"fill{index}")
    cluster.settle()
    cluster.heal()
    dead.allocate("sign of life")
    cluster.settle()
    assert conflicts_of(two)[0].startswith("10.32.0.48 is used by fill31 on h1 and old on h3 ")
    dead.do(lambda: dead.allocator.container_gone("old"))
    request = dead.allocate("old")
    cluster.settle()
    reply = dead.reply(request)
    assert reply is not None
    assert not reply.startswith(("!", "10.32.0.48/"))
    assert not any(line.startswith("10.32.0.48 ") for line in conflicts_of(two))
    assert list(map(str, dead.allocator.held("old"))) == [reply]


def conflicts_of(host: Host) -> tuple[str, ...]:
    status = host.allocator.describe()
    assert status is not None
    return status.conflicts


def test_a_removal_is_told_of_until_it_makes_no_difference_any_more() -> None:
    cluster, one, _, dead = three()
    dead.allocate("old")
    cluster.settle()
    cluster.partition(dead)
    remove(one, "h3")
    dead.allocate("sign of life")
    cluster.heal()
    cluster.settle()
    assert [len(alarms_of(host)) for host in cluster] == [1, 1, 1]
    dead.free("old")
    dead.free("sign of life")
    cluster.settle()
    (alarm,) = alarms_of(dead)
    assert alarm.endswith("the ranges of this host are another's now; it gets new ones when it needs them")
    assert [alarms_of(host) for host in cluster.hosts[:2]] == [(), ()]
    dead.allocate("new")
    cluster.settle()
    assert alarms_of(dead) == ()


def alarms_of(host: Host) -> tuple[str, ...]:
    status = host.allocator.describe()
    assert status is not None
    return status.alarms
