"""Hosts that were launched with different ranges, or different ideas of how one is divided."""

from __future__ import annotations

from dataclasses import replace

from ipam_cluster import Cluster, Host

from core.config import SeedMode
from core.events import RemovePeers
from core.ipam.homes import decided_key
from core.ipam.universe import hosts_of, universe_of
from core.kinds import HomeRecord, PeerRecord, RingClaim, SeedAccepted, home_key, peer_key, put
from core.messages import SpaceAsk
from core.types import PeerName, address_of, subnet_of
from crdt.store import Store

OTHER = "10.40.0.0/26"
EVERYTHING = hosts_of(subnet_of("10.32.0.0/26"))


def launch(host: Host, *, universe: str | None = "10.32.0.0/26", names: tuple[PeerName, ...] = ()) -> None:
    """Launch a host anew, on what its disk holds."""
    seed = SeedMode("seed", names) if names else host.config.seed
    host.config = replace(host.config, universe=universe and universe_of(universe), seed=seed)
    host.boot()


def apart(count: int = 2) -> tuple[Cluster, list[Host]]:
    """Start hosts of which the last has a ring of its own."""
    cluster = Cluster(count)
    last = cluster.hosts[-1]
    last.disk = Store()
    launch(last, names=(last.name,))
    cluster.settle()
    return cluster, cluster.hosts


def home(host: Host) -> HomeRecord | None:
    return host.context.board.get(host.name, home_key(), HomeRecord)


def alarms(host: Host) -> tuple[str, ...]:
    status = host.allocator.describe()
    assert status is not None
    return status.alarms


def why(host: Host) -> str:
    status = host.allocator.describe()
    assert status is not None
    return status.pending[0].why


def fill(host: Host, count: int) -> None:
    for index in range(count):
        host.allocate(f"{host.config.nickname}-{index}")
    host.commit()


def leave(host: Host) -> int:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.leave(request))
    return request


def test_hosts_that_agree_say_so_once_and_alarm_nobody() -> None:
    cluster = Cluster(2)
    cluster.settle()
    one, two = cluster.hosts
    assert home(one) is not None
    assert home(one) == home(two)
    assert alarms(one) == ()


def test_all_sides_are_named_with_what_differs_and_what_to_do() -> None:
    _, (one, two, three) = apart(3)
    (alarm,) = alarms(one)
    assert alarm == (
        "IP allocation is split, for hosts were launched with different --ipalloc-init: h1, h2 have 10.32.0.0/26 "
        "divided among h1, h2, h3; h3 has 10.32.0.0/26 divided among h3. Neither side gets addresses from the other, "
        "and one address may be in use on both. Decide which is right, and on every host of the other run "
        "'weave reset', and when all of them are reset 'weave launch' as on the right side"
    )
    assert alarms(two) == alarms(three) == (alarm,)


def test_another_range_is_told_before_either_is_divided() -> None:
    cluster = Cluster(2, mode=SeedMode("consensus", count=2))
    one, two = cluster.hosts
    two.disk = Store()
    launch(two, universe=OTHER)
    cluster.settle()
    (alarm,) = alarms(one)
    assert alarm.startswith(
        "IP allocation is split, for hosts were launched with different --ipalloc-range: "
        f"h1 has 10.32.0.0/26, not divided yet; h2 has {OTHER}, not divided yet. "
    )
    assert "'weave stop', then 'weave launch' with the right one" in alarm


def test_nothing_is_asked_of_who_is_elsewhere() -> None:
    cluster, (one, two) = apart()
    fill(one, 31)
    waits = one.allocate("more")
    claims = one.claim("static", "10.32.0.40/26")
    cluster.settle(1_000)
    assert one.reply(waits) is None
    assert why(one) == (
        "no free address in 10.32.0.0/26: 1 other owner, 1 launched with other settings since (h2); "
        "launch them with --ipalloc-range and --ipalloc-init as here"
    )
    assert one.reply(claims) == (
        "! Unable to claim: address 10.32.0.40 is owned by other peer h2 - "
        "it was launched with another --ipalloc-range or --ipalloc-init since"
    )
    assert two.owns() == [(address_of("10.32.0.0"), address_of("10.32.0.64"))], "it has given nothing away"


def test_nothing_is_given_to_who_is_elsewhere() -> None:
    _, (one, two) = apart()
    before = one.context.board.version(RingClaim)
    one.do(lambda: one.allocator.received(two.name, SpaceAsk(*EVERYTHING, False)))
    assert one.context.board.version(RingClaim) == before


def test_nor_to_who_says_so_before_its_facts_have_come() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    before = one.context.board.version(RingClaim)
    one.do(lambda: one.allocator.received(two.name, SpaceAsk(*EVERYTHING, False, "another")))
    assert one.context.board.version(RingClaim) == before
    one.do(lambda: one.allocator.received(two.name, SpaceAsk(*EVERYTHING, False)))
    assert one.context.board.version(RingClaim) != before, "who says nothing is believed to be here"


def test_what_is_in_use_elsewhere_is_not_given() -> None:
    cluster, (one, two) = apart()
    fill(two, 3)
    cluster.settle()
    first = one.allocate("first")
    taken = one.claim("static", "10.32.0.2/26")
    cluster.settle()
    assert one.reply(first) == "10.32.0.4/26"
    assert one.reply(taken) == "! Unable to claim: address 10.32.0.2 is still used on h2: free it there first"
    cluster.check_holders()


def test_double_use_is_told_with_its_reason() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    two.disk = Store()
    launch(two, names=(two.name,))
    cluster.partition(two)
    one.allocate("web")
    two.allocate("db")
    cluster.heal()
    cluster.settle()
    for host in cluster:
        status = host.allocator.describe()
        assert status is not None
        assert status.conflicts == (
            "10.32.0.1 is used by web on h1 and db on h2 (they were launched with different settings): "
            "restart all but one of them",
        )


def test_an_heir_is_of_our_own_ring() -> None:
    cluster, (_, two, three) = apart(3)
    request = leave(two)
    cluster.settle()
    assert two.reply(request) == ""
    assert three.owns() == [(address_of("10.32.0.0"), address_of("10.32.0.64"))], "as before"


def test_the_last_of_a_ring_needs_no_heir_but_time_to_say_goodbye() -> None:
    cluster, (one, two) = apart()
    request = leave(two)
    cluster.exchange()
    assert two.reply(request) is None
    cluster.settle(1_000)
    assert two.reply(request) == ""
    assert home(two) is None
    assert one.context.board.get(two.name, decided_key(two.config.universe), SeedAccepted) is None


def test_who_stays_after_all_is_where_it_was() -> None:
    cluster = Cluster(3)
    cluster.settle()
    last = cluster.hosts[-1]
    before = home(last)
    last.allocate("c")
    request = leave(last)
    while home(last) is not None:
        assert cluster.exchange(), "the heir confirms"
    cluster.partition(last)
    cluster.now_ms += 10_000
    last.fire("ipam/leave")
    reply = last.reply(request)
    assert reply is not None
    assert reply.startswith("! nobody has confirmed to own our addresses now (asked: h1): ")
    assert home(last) == before
    assert last.context.board.get(last.name, decided_key(last.config.universe), SeedAccepted) is not None


def test_another_range_and_back_again_loses_nothing() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    fill(one, 31)
    given = one.allocate("given")
    cluster.settle()
    assert one.reply(given) is not None
    owned = two.owns()
    launch(two, universe=OTHER)
    cluster.settle()
    assert two.owns() == [(address_of("10.40.0.32"), address_of("10.40.0.64"))]
    launch(two)
    cluster.settle()
    assert two.owns() == owned
    assert alarms(one) == ()
    cluster.check_safety()


def forget(host: Host) -> None:
    """Lose the disk, and let the new life adopt the old one."""
    host.wipe()
    host.cluster.exchange()
    host.in_sync = True

    def adopt() -> None:
        assert host.allocator.adopt()
        host.context.write(put(peer_key(), PeerRecord(host.config.nickname, "0", 6783, host.incarnation - 1)))
        host.context.forget_superseded(host.name)
        host.allocator.facts_changed()

    host.do(adopt)
    host.cluster.settle()


def test_claims_of_another_ring_survive_the_loss_of_the_disk_there() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    fill(two, 31)
    cluster.settle()
    two.allocate("given")
    cluster.settle()
    owned, given = one.owns(), two.owns()
    launch(one, universe=OTHER)
    forget(one)
    assert one.owns() != owned
    launch(one)
    cluster.settle()
    assert (one.owns(), two.owns()) == (owned, given)
    launch(one, universe=None)
    forget(one)
    launch(one)
    cluster.settle()
    assert (one.owns(), two.owns()) == (owned, given)


def decided(host: Host, names: tuple[PeerName, ...]) -> None:
    host.do(lambda: host.context.write(put(decided_key(host.config.universe), SeedAccepted(0, host.name, names))))
    host.do(host.allocator.facts_changed)


def two_rings() -> tuple[Cluster, list[Host]]:
    """Start hosts that agree on nothing: the first has its ring, the next two have theirs, the last has none."""
    cluster = Cluster(4, mode=SeedMode("consensus", count=4))
    one, two, three, last = cluster.hosts
    last.in_sync = False
    decided(one, (one.name,))
    for host in (two, three):
        decided(host, (two.name, three.name))
    return cluster, cluster.hosts


def ring(host: Host) -> str:
    found = host.allocator.ring
    return "" if found is None else found.ring_id


def test_who_has_no_ring_goes_where_most_are() -> None:
    cluster, (one, two, three, last) = two_rings()
    cluster.settle()
    assert ring(last) == "", "one neighbour must have told all it knows"
    last.in_sync = True
    last.do(last.allocator.facts_changed)
    assert ring(last) == ring(two) == ring(three) != ring(one)


def test_who_lost_its_disk_goes_where_it_was_and_who_was_reset_where_most_are() -> None:
    cluster, (one, two, *_) = two_rings()
    cluster.settle()
    former = ring(one)
    forget(one)
    assert ring(one) == former
    request = leave(one)
    cluster.settle()
    assert one.reply(request) == ""
    forget(one)
    assert ring(one) == ring(two) != former
    assert alarms(one) == alarms(two) == ()


def test_names_given_at_launch_go_before_what_an_earlier_life_had_decided() -> None:
    cluster, (one, two) = apart()
    names = (one.name, two.name)
    two.config = replace(two.config, seed=SeedMode("seed", names))
    forget(two)
    assert ring(one) == ring(two)
    cluster.check_holders()


def test_who_allocates_nothing_any_more_is_on_no_side_and_is_asked_for_nothing() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    cluster.settle()
    launch(two, universe=None)
    cluster.settle()
    assert alarms(one) == ()
    fill(one, 31)
    one.allocate("more")
    cluster.settle(1_000)
    assert why(one).startswith(
        "no free address in 10.32.0.0/26: 1 other owner, 1 launched with other settings since (h2)"
    )


def test_the_dead_are_on_no_side() -> None:
    cluster, (one, _, three) = apart(3)
    three.is_up = False
    request = cluster.new_request()
    one.do(lambda: one.allocator.remove_peers(request, RemovePeers(("h3",), False)))
    cluster.settle()
    assert one.reply(request) == "16 IPs taken over from h3"
    assert alarms(one) == ()


def test_what_was_decided_of_another_range_says_nothing_about_ours() -> None:
    """A network with another range is met before ours has a ring."""
    cluster = Cluster(2, mode=SeedMode("consensus", count=1))
    stranger, host = cluster.hosts
    launch(stranger, universe=OTHER, names=(stranger.name,))
    cluster.settle()
    request = host.allocate("c")
    cluster.settle()
    assert host.reply(request) == "10.32.0.1/26"


def test_who_is_told_its_old_range_again_finds_its_votes() -> None:
    cluster = Cluster(2, mode=SeedMode("consensus", count=2))
    one = cluster.hosts[0]
    first = one.allocate("c")
    cluster.settle()
    ring = one.context.board.get(one.name, home_key(), HomeRecord)
    assert one.reply(first) is not None
    before = one.config
    launch(one, universe=OTHER)
    cluster.settle()
    one.config = before
    one.boot()
    cluster.settle()
    assert one.context.board.get(one.name, home_key(), HomeRecord) == ring


def test_what_a_host_has_brought_from_another_ring_is_not_given_again() -> None:
    """It returns to our ring with a container that keeps an address of a smaller range within ours."""
    cluster = Cluster(2)
    one, two = cluster.hosts
    names = (one.name, two.name)
    launch(two, universe="10.32.0.0/28", names=(two.name,))
    cluster.settle()
    kept = two.allocate("kept")
    cluster.settle()
    assert two.reply(kept) == "10.32.0.1/28"
    launch(two, names=names)
    cluster.settle()
    assert home(one) == home(two)
    request = one.allocate("c")
    cluster.settle()
    assert one.reply(request) == "10.32.0.2/26"


def test_a_container_that_is_back_before_the_new_ring_is_known_has_nothing_there_that_is_anothers() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    request = one.allocate("web")
    cluster.settle()
    assert one.reply(request) == "10.32.0.1/26"
    for host in (one, two):
        launch(host, universe="10.32.0.0/26,fd00::/122", names=(two.name,))
    one.in_sync = False
    one.do(lambda: one.allocator.container_gone("web"))
    request = one.allocate("web")
    assert one.reply(request) is None
    one.in_sync = True
    one.do(one.allocator.facts_changed)
    cluster.settle()
    assert one.reply(request) == "10.32.0.32/26 fd00::20/122"
    cluster.check_safety()
