"""What people, containers and other peers get from the allocator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ipam_cluster import Cluster, Host, cidr_texts

from core.config import Config, SeedMode
from core.events import Lookup
from core.ipam import space
from core.ipam.asking import AGAIN_MS, REST_MS, SILENCE_MS
from core.ipam.grace import GRACE_MS
from core.ipam.waits import WAITS_MAX
from core.kinds import PeerRecord, RingClaim, peer_key, put, ring_key
from core.messages import SpaceAsk, SpaceRefused
from core.types import Cidr, address_of, cidr_of, subnet_of

SINGLE = 1
UPPER = (address_of("10.32.0.1"), address_of("10.32.0.63"))


def one_host(universe: str = "10.32.0.0/26") -> Host:
    return Cluster(SINGLE, universe).hosts[0]


def answer(host: Host, request: int) -> str | None:
    host.commit()
    return host.reply(request)


def pending(host: Host) -> list[str]:
    status = host.allocator.describe()
    assert status is not None
    return [wait.why for wait in status.pending]


def lookup(host: Host, ident: str, subnet: str = "") -> str | None:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.lookup(request, Lookup(ident, subnet)))
    return answer(host, request)


def test_the_lowest_free_address_is_given_and_the_same_one_again() -> None:
    host = one_host()
    assert [answer(host, host.allocate(ident)) for ident in ("a", "b", "a")] == [
        "10.32.0.1/26",
        "10.32.0.2/26",
        "10.32.0.1/26",
    ]
    host.free("a")
    assert answer(host, host.allocate("c")) == "10.32.0.1/26"


def test_first_and_last_address_of_the_subnet_are_never_given() -> None:
    host = one_host()
    replies = [answer(host, host.allocate(ident, "10.32.0.8/30")) for ident in "abc"]
    assert replies == ["10.32.0.9/30", "10.32.0.10/30", None]


def test_one_ident_has_an_address_per_subnet() -> None:
    host = one_host()
    assert answer(host, host.allocate("a", "10.32.0.16/28")) == "10.32.0.17/28"
    assert answer(host, host.allocate("a")) == "10.32.0.1/26"
    assert lookup(host, "a") == "10.32.0.1/26 10.32.0.17/28"
    assert lookup(host, "a", "10.32.0.16/28") == "10.32.0.17/28"
    assert lookup(host, "b") == ""


def test_nothing_is_answered_before_it_is_durable() -> None:
    host = one_host()
    request = host.allocate("a")
    assert host.reply(request) is None
    host.crash()
    assert host.holds() == {}
    assert answer(host, host.allocate("b")) == "10.32.0.1/26"


def test_held_addresses_survive_a_restart() -> None:
    host = one_host()
    host.allocate("a")
    host.commit()
    host.crash()
    assert answer(host, host.allocate("b")) == "10.32.0.2/26"
    assert host.allocator.held("a") == (cidr_of("10.32.0.1/26"),)


@pytest.mark.parametrize(
    ("subnet", "error"),
    [
        ("10.32.0.1/26", "! invalid subnet - bits after network prefix are not all zero: 10.32.0.1/26"),
        ("10.32.0.0/31", "! invalid subnet - smaller than minimum size 4: 10.32.0.0/31"),
        ("10.40.0.0/24", "! range 10.40.0.0/24 out of bounds: 10.32.0.0/26"),
        ("nonsense", "! 'nonsense' does not appear to be an IPv4 or IPv6 interface"),
    ],
)
def test_a_subnet_that_can_never_do_is_refused(subnet: str, error: str) -> None:
    host = one_host()
    assert host.reply(host.allocate("a", subnet)) == error


def test_without_a_universe_allocation_is_off_and_claims_need_no_record() -> None:
    host = one_host()
    host.config = Config(host.name, "h1")
    host.boot()
    assert host.reply(host.allocate("a")) == "! IP address allocation must be enabled to use 'net:'"
    assert answer(host, host.claim("a", "10.9.0.1/24")) == ""
    assert host.allocator.describe() is None


def test_a_claim_is_recorded_and_keeps_others_off() -> None:
    host = one_host()
    assert answer(host, host.claim("a", "10.32.0.1/26")) == ""
    assert answer(host, host.claim("a", "10.32.0.1/26")) == ""
    assert answer(host, host.allocate("b")) == "10.32.0.2/26"
    assert host.reply(host.claim("b", "10.32.0.1/26")) == ("! Unable to claim: address 10.32.0.1 is already owned by a")
    assert answer(host, host.claim("b", "192.168.0.1/24")) == ""
    assert host.reply(host.claim("b", "10.32.0.1")) == "! Unable to claim: invalid CIDR address: 10.32.0.1"


def test_freeing_what_is_not_held_says_so() -> None:
    host = one_host()
    host.allocate("a")
    assert host.reply(host.free("b")) == "! Delete: no addresses for b"
    assert host.reply(host.free("a", "10.32.0.9")) == "! Unable to free: Free: address 10.32.0.9 not found for a"
    assert answer(host, host.free("a", "10.32.0.1")) == ""
    assert lookup(host, "a") == ""


def test_a_container_that_ends_keeps_its_address_for_a_while() -> None:
    host = one_host()
    host.allocate("a")
    host.do(lambda: host.allocator.container_gone("a"))
    assert answer(host, host.allocate("b")) == "10.32.0.2/26"
    assert host.timers == {"ipam/gone/a": GRACE_MS}
    host.fire("ipam/gone/a")
    assert answer(host, host.allocate("c")) == "10.32.0.1/26"


def test_a_container_that_comes_back_keeps_its_address() -> None:
    host = one_host()
    host.allocate("a")
    host.do(lambda: host.allocator.container_gone("a"))
    assert answer(host, host.allocate("a")) == "10.32.0.1/26"
    assert host.timers == {}


def test_a_wait_is_cancelled_by_the_end_of_its_container() -> None:
    host = one_host("10.32.0.0/30")
    host.allocate("a")
    host.allocate("b")
    request = host.allocate("c")
    host.do(lambda: host.allocator.container_gone("c"))
    assert host.reply(request) == "! container c has ended"
    assert pending(host) == []


def test_who_waits_is_served_in_order_when_something_is_freed() -> None:
    host = one_host("10.32.0.0/30")
    for ident in ("a", "b"):
        host.allocate(ident)
    third, fourth = host.allocate("c"), host.allocate("d")
    assert answer(host, third) is None
    host.free("a")
    assert (answer(host, third), answer(host, fourth)) == ("10.32.0.1/30", None)


def test_a_cancelled_request_leaves_nothing() -> None:
    host = one_host("10.32.0.0/30")
    for ident in ("a", "b"):
        host.allocate(ident)
    request = host.allocate("c")
    host.do(lambda: host.allocator.cancel(request))
    host.free("a")
    assert answer(host, request) is None
    assert sorted(host.holds().values()) == ["b"]
    assert pending(host) == []


def test_a_wait_for_two_subnets_takes_both_or_none() -> None:
    host = one_host()
    for ident in ("a", "b"):
        host.allocate(ident, "10.32.0.8/30")
    told: list[str] = []
    subnets = (subnet_of("10.32.0.16/28"), subnet_of("10.32.0.8/30"))
    host.do(lambda: host.allocator.wait_for("k", "c", subnets, lambda result: told.append(cidr_texts(result))))
    assert told == []
    assert host.allocator.held("c") == ()
    host.free("b")
    assert told == ["10.32.0.17/28 10.32.0.10/30"]


def test_a_callback_may_ask_again() -> None:
    host = one_host()
    told: list[str] = []

    def again(result: tuple[Cidr, ...] | str) -> None:
        told.append(cidr_texts(result))
        subnets = (subnet_of("10.32.0.0/28"),)
        host.allocator.wait_for("k", "a", subnets, lambda other: told.append(cidr_texts(other)))

    host.do(lambda: host.allocator.wait_for("k", "a", (subnet_of("10.32.0.0/26"),), again))
    assert told == ["10.32.0.1/26", "10.32.0.2/28"]


def test_waits_have_a_limit() -> None:
    host = one_host("10.32.0.0/30")
    host.in_sync = False
    for index in range(WAITS_MAX):
        host.allocate(f"c{index}")
    assert host.reply(host.allocate("one more")) == (
        f"! {WAITS_MAX} requests wait for addresses already: catching up with the other peers"
    )


def test_an_ident_must_fit_into_a_key() -> None:
    host = one_host()
    for ident in ("", "x" * 201, "a\0b"):
        assert host.reply(host.allocate(ident)) == "! the name of the container must have 1 to 200 bytes"
    assert answer(host, host.allocate("x" * 200)) == "10.32.0.1/26"


def test_nothing_is_given_before_we_have_caught_up() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    one.in_sync = False
    request = one.allocate("a")
    one.do(lambda: one.allocator.received(two.name, SpaceAsk(*UPPER, False)))
    assert answer(one, request) is None
    assert pending(one) == ["catching up with the other peers"]
    assert cluster.packets == []
    one.in_sync = True
    one.do(one.allocator.facts_changed)
    assert answer(one, request) == "10.32.0.1/26"


# Space between peers.


def fill(host: Host, count: int, subnet: str = "") -> None:
    for index in range(count):
        host.allocate(f"fill{index}", subnet)


def test_a_host_that_runs_dry_is_given_the_upper_half() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    cluster.settle()
    fill(one, 31)
    request = one.allocate("more")
    assert pending(one) == ["no free address of our own in 10.32.0.0/26; h2 was asked for some"]
    cluster.settle()
    # The second host had 32 to 63; it gives the upper half of the usable ones, and the unusable end with it.
    assert one.reply(request) == "10.32.0.47/26"
    assert two.owns() == [(address_of("10.32.0.32"), address_of("10.32.0.47"))]
    cluster.check_safety()


def test_what_was_given_is_asserted_by_the_receiver_and_noted_for_ever_by_the_giver() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    fill(one, 32)
    cluster.settle()
    by_giver = [body for _, body in two.context.board.of(two.name, RingClaim) if body.owner == one.name]
    by_receiver = [body for _, body in one.context.board.of(one.name, RingClaim)]
    assert [(claim.epoch, claim.why) for claim in by_giver] == [
        (1, f"given by {two.name} to {one.name} on its request")
    ]
    assert any(claim.epoch > 1 and claim.lo <= by_giver[0].lo < claim.hi for claim in by_receiver)


def test_asking_twice_brings_one_gift() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    ask = SpaceAsk(address_of("10.32.0.1"), address_of("10.32.0.63"), False)
    for _ in range(2):
        two.do(lambda: two.allocator.received(one.name, ask))
    assert sum(hi - lo for lo, hi in two.owns()) == 15
    assert cluster.packets == []


def test_a_refusal_moves_the_ask_to_the_next_owner() -> None:
    cluster = Cluster(3)
    one, two, three = cluster.hosts
    fill(one, 31)
    fill(two, 16)
    one.allocate("more")
    assert [packet.destination for packet in cluster.packets] == [two.name]
    cluster.deliver(0)
    assert cluster.packets[0].body == SpaceRefused(
        address_of("10.32.0.1"), address_of("10.32.0.63"), "nothing is free here"
    )
    cluster.deliver(0)
    assert [packet.destination for packet in cluster.packets] == [three.name]


def test_silence_moves_the_ask_on_too() -> None:
    cluster = Cluster(3)
    one, _, three = cluster.hosts
    fill(one, 31)
    one.allocate("more")
    cluster.packets.clear()
    cluster.now_ms += SILENCE_MS
    one.fire("ipam/ask")
    assert [packet.destination for packet in cluster.packets] == [three.name]


def test_when_nobody_answers_the_status_says_who_and_what_to_do_and_it_tries_again() -> None:
    cluster = Cluster(3)
    one, *_ = cluster.hosts
    cluster.settle()
    cluster.partition(one)
    fill(one, 31)
    request = one.allocate("more")
    assert pending(one) == [
        "no free address in 10.32.0.0/26: 2 other owners, 2 unreachable (h2, h3); "
        "wait for them or run 'weave rmpeer h2 h3'"
    ]
    status = one.allocator.describe()
    assert status is not None
    assert status.state == "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"
    cluster.heal()
    cluster.now_ms += REST_MS
    one.fire("ipam/ask")
    cluster.settle(1000)
    assert one.reply(request) is not None


def test_splinters_are_gathered_one_after_the_other_without_long_waits() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    fill(two, 31)
    for index in (1, 3, 5, 7):
        two.free(f"fill{index}")
    fill(one, 31)
    requests = [one.allocate(f"more{index}") for index in range(4)]
    cluster.settle(4 * AGAIN_MS)
    assert None not in [one.reply(request) for request in requests]


def test_notes_are_not_joined_before_the_receiver_has_asserted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "CLAIMS_TIDY", 1)
    cluster = Cluster(3, mode=SeedMode("seed", (Cluster(1).hosts[0].name,)))
    one, two, three = cluster.hosts
    for host in (two, three):
        one.do(lambda host=host: one.allocator.received(host.name, SpaceAsk(*UPPER, False)))
    one.do(one.allocator.facts_changed)
    notes = [body.owner for _, body in one.context.board.of(one.name, RingClaim) if body.owner != one.name]
    assert sorted(notes) == [two.name, three.name]


def test_the_full_are_not_asked_again_and_again() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    fill(one, 31)
    fill(two, 31)
    cluster.settle()
    request = one.allocate("more")
    cluster.settle(60_000)
    assert one.reply(request) is None
    assert pending(one)[0].startswith("no free address in 10.32.0.0/26: 1 other owner, none has any")
    two.free("fill3")
    cluster.settle(60_000)
    assert one.reply(request) == "10.32.0.35/26"


def test_a_claim_in_another_peers_range_moves_that_address_only() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    request = one.claim("a", "10.32.0.40/26")
    cluster.settle()
    assert one.reply(request) == ""
    assert (address_of("10.32.0.40"), address_of("10.32.0.41")) in one.owns()
    cluster.check_safety()
    assert sum(hi - lo for lo, hi in two.owns()) == 31


def test_a_claim_of_an_address_used_elsewhere_is_refused_with_its_user() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    two.claim("b", "10.32.0.40/26")
    cluster.settle()
    request = one.claim("a", "10.32.0.40/26")
    cluster.settle()
    assert one.reply(request) == (
        "! Unable to claim: address 10.32.0.40 is owned by other peer h2 - address 10.32.0.40 is in use by b"
    )


def test_a_claim_from_a_peer_that_does_not_answer_is_given_up_in_the_end() -> None:
    cluster = Cluster(2)
    one, _ = cluster.hosts
    cluster.settle()
    cluster.partition(one)
    request = one.claim("a", "10.32.0.40/26")
    cluster.settle(REST_MS)
    assert one.reply(request) is None
    cluster.settle(200_000)
    assert one.reply(request) == "! Unable to claim: address 10.32.0.40 is owned by other peer h2 - it does not answer"


def test_old_notes_are_joined_and_still_forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "CLAIMS_TIDY", 1)
    cluster = Cluster(3, mode=SeedMode("seed", (Cluster(1).hosts[0].name,)))
    one, two, three = cluster.hosts
    for ident, host in (("a", two), ("b", three)):
        host.allocate(ident)
        cluster.settle()
    notes = [body for _, body in one.context.board.of(one.name, RingClaim) if body.owner != one.name]
    assert [(note.owner, note.hi - note.lo) for note in notes] == [("-", 48)]
    cluster.check_safety()
    alone = sorted((run.lo, run.hi) for run in one.allocator._ready().space.ranges())
    assert alone == [(address_of("10.32.0.0"), address_of("10.32.0.16"))]


def test_our_own_note_outweighs_a_claim_of_its_rank_that_says_the_range_is_ours() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    two.do(lambda: two.allocator.received(one.name, SpaceAsk(*UPPER, False)))
    assert two.owns() == [(address_of("10.32.0.32"), address_of("10.32.0.47"))]
    note = next(body for _, body in two.context.board.of(two.name, RingClaim) if body.owner == one.name)
    lie = replace(note, owner=two.name)
    ring_id = two.allocator.describe().ring_id
    one.do(lambda: one.context.write(put(ring_key(ring_id, note.lo), lie)))
    one.commit()
    cluster.share(one, two, one.origin)
    cluster.deliver(0)
    assert two.owns() == [(address_of("10.32.0.32"), address_of("10.32.0.47"))]


def test_hints_change_rarely() -> None:
    host = one_host("10.32.0.0/22")
    cluster = host.cluster
    cluster.settle()
    host.commit()
    before = host.context.store.head(host.origin)
    fill(host, 200)
    host.commit()
    claims = [body for _, body in host.context.board.of(host.name, RingClaim)]
    after = host.context.store.head(host.origin)
    assert before is not None
    assert after is not None
    assert claims == []
    assert after.seq - before.seq == 200


def test_a_new_life_waits_until_it_has_adopted_the_old_one() -> None:
    cluster = Cluster(2)
    one, two = cluster.hosts
    one.allocate("a")
    two_wants = two.claim("b", "10.32.0.20/26")
    cluster.settle()
    assert two.reply(two_wants) == ""
    one.wipe()
    cluster.exchange()
    one.in_sync = True
    request = one.allocate("c")
    assert answer(one, request) is None

    def adopt() -> None:
        assert one.allocator.adopt()
        one.context.write(put(peer_key(), PeerRecord("h1", "0", 6783, 1)))
        one.allocator.facts_changed()

    one.do(adopt)
    one.do(lambda: one.context.forget_superseded(one.name))
    assert answer(one, request) == "10.32.0.2/26"
    assert one.allocator.held("a") == (cidr_of("10.32.0.1/26"),)
    cluster.settle()
    cluster.check_safety()
    assert not any(lo <= address_of("10.32.0.20") < hi for lo, hi in one.owns())
