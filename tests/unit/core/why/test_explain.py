"""What `weave why` says, from facts that real allocators wrote."""

from __future__ import annotations

import random

import pytest
from ipam_cluster import Cluster, Host

from core.events import RemovePeers
from core.kinds import (
    AddressRecord,
    AttachmentRecord,
    LinkRecord,
    NameRecord,
    PortRecord,
    TextRecord,
    address_key,
    attachment_key,
    gone,
    link_key,
    put,
)
from core.past import Past
from core.types import Address, address_of
from core.why.explain import Explanation, explain, needles
from core.why.history import Learnt
from crdt.fact import Fact

MINUTE_MS = 60_000


def past_of(host: Host) -> Past:
    store = host.context.store
    return Past(
        host.config,
        [store.delta_for(origin, 0) for origin in store.origins()],
        host.cluster.wall_ms,
        random.Random(1),
    )


def why(host: Host, what: str, told: tuple[Learnt, ...] = (), trouble: str = "") -> Explanation:
    return explain(what, past_of(host), told, trouble)


def lines(found: Explanation) -> list[str]:
    return [f"{'  ' * step.depth}{step.text}" for step in found.steps]


def write(host: Host, key: str, body: object) -> None:
    host.do(lambda: host.context.write(put(key, body)))  # type: ignore[arg-type]  # any body


def unlink(host: Host, other: Host) -> None:
    host.do(lambda: host.context.write(gone(link_key(other.name), LinkRecord)))


def linked(*hosts: Host) -> None:
    for host in hosts:
        for other in hosts:
            if host is not other:
                write(host, link_key(other.name), LinkRecord("10.0.0.1:6783", True, True, "fastdp"))


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster(3)
    found.wall_ms = MINUTE_MS
    linked(*found.hosts)
    found.settle()
    return found


def test_an_address_that_came_by_a_gift_is_explained_on_a_third_host(cluster: Cluster) -> None:
    one, two, three = cluster.hosts
    share = sum(hi - lo for lo, hi in one.owns())
    for index in range(share - 1):
        one.allocate(f"fill{index}")
    cluster.settle()
    assert sum(hi - lo for lo, hi in one.owns()) == share, "no gift so far"
    cluster.wall_ms = 2 * MINUTE_MS
    request = one.allocate("web")
    cluster.settle()
    address = (one.reply(request) or "").partition("/")[0]
    found = why(three, address)
    assert found.kind == "address"
    assert found.headline == f"{address} is held by web on h1"
    given, span, mine, gift, begun, *decided = found.steps
    assert (given.text, given.at_ms) == ("h1 gave it to web (allocate)", 2 * MINUTE_MS)
    assert given.fact.startswith(f"{one.name}@1 #")
    assert span.text.endswith("belongs to h1")
    assert (mine.text.partition("is its own: ")[2], mine.at_ms) == ("given by h2 to h1 on its request", 2 * MINUTE_MS)
    assert mine.fact.startswith(f"{one.name}@1 #")
    assert gift.text.startswith("h2 said that")
    assert gift.fact.startswith(f"{two.name}@1 #")
    assert begun.text.endswith("was h2's: 10.32.0.0/26 was divided among h1, h2, h3")
    assert all(step.text.endswith("wrote that decision down") for step in decided)


def test_an_address_that_nobody_holds_still_has_an_owner(cluster: Cluster) -> None:
    found = why(cluster.hosts[2], "10.32.0.1/26")
    assert found.headline == "10.32.0.1 is held by nobody"
    assert lines(found)[0].endswith("belongs to h1")


def test_an_address_outside_the_range_is_said_to_be(cluster: Cluster) -> None:
    assert "it lies outside 10.32.0.0/26" in lines(why(cluster.hosts[0], "192.168.1.1"))[0]


def test_two_users_are_a_conflict(cluster: Cluster) -> None:
    one, two, three = cluster.hosts
    for host, ident in ((one, "a"), (two, "b")):
        write(
            host, address_key(ident, address_of("10.32.0.1")), AddressRecord(address_of("10.32.0.1"), 122, "claim", 5)
        )
    cluster.settle()
    found = why(three, "10.32.0.1")
    assert found.headline == "10.32.0.1 is in CONFLICT: it is used by a on h1 and b on h2"
    assert any("restart all but one of them" in line for line in lines(found))


def test_a_takeover_is_part_of_the_chain(cluster: Cluster) -> None:
    one, two, three = cluster.hosts
    three.is_up = False
    cluster.wall_ms = 3 * MINUTE_MS
    write(one, link_key(three.name), LinkRecord("10.0.0.1:6783", True, False, ""))
    request = cluster.new_request()
    one.do(lambda: one.allocator.remove_peers(request, RemovePeers(("h3",), False)))
    cluster.settle()
    found = why(two, "10.32.0.60")
    taken = [step for step in found.steps if "taken over by h1 from h3 (rmpeer)" in step.text]
    assert [step.at_ms for step in taken] == [3 * MINUTE_MS]
    removed = next(step for step in found.steps if step.text == "h1 removed h3")
    assert removed.at_ms == 3 * MINUTE_MS
    peer = why(two, "h3")
    assert "h1 removed it (rmpeer)" in lines(peer)
    assert "  it has said nothing since: it counts as dead" in lines(peer)


def learnt(host: Host, number: int, at_ms: int, key: str, body: object | None) -> Learnt:
    change = put(key, body) if body is not None else None  # type: ignore[arg-type]  # any body
    kind, packed = ("ip.2", None) if change is None else (change.kind, change.body)
    return Learnt(number, at_ms, False, host.origin, Fact(number, key, kind, packed))


def test_who_had_an_address_before_comes_from_the_history(cluster: Cluster) -> None:
    one = cluster.hosts[0]
    address = address_of("10.32.0.9")
    key = address_key("old", address)
    told = (
        learnt(one, 900, 1_000, key, AddressRecord(address, 122, "attach", 1_000)),
        learnt(one, 901, 2_000, key, None),
        learnt(one, 902, 2_500, address_key("other", Address(address + 1)), None),
    )
    found = why(cluster.hosts[1], "10.32.0.9", told)
    assert lines(found)[:2] == ["  h1 took it back from old", "  before, h1 had given it to old (attach)"]
    assert [step.at_ms for step in found.steps[:2]] == [2_000, 1_000]


def test_a_history_that_cannot_be_read_is_said(cluster: Cluster) -> None:
    found = why(cluster.hosts[0], "10.32.0.9", (), "it is damaged")
    assert "  who had it before is not known: it is damaged" in lines(found)


def test_a_name_says_who_registered_it_and_what_is_withheld(cluster: Cluster) -> None:
    one, two, three = cluster.hosts
    for host, last in ((one, 1), (three, 2)):
        address = Address(address_of("10.32.0.0") + last)
        key = f"dns/web.weave.local./c{last}/{address:x}"
        write(host, key, NameRecord(f"c{last}", "Web.weave.local.", address, -1, "dns-add", 4_000))
    write(
        one,
        "srv/_http._tcp.web.weave.local./c1/80",
        PortRecord("c1", "web.weave.local.", "_http._tcp", 80, 0, 0, -1, 5_000),
    )
    write(one, "txt/web.weave.local./c1", TextRecord("c1", "web.weave.local.", ("hello",), -1, 6_000))
    cluster.settle()
    for host in (one, two):
        unlink(host, three)
    cluster.settle()
    found = why(two, "WEB")
    assert found.kind == "name"
    assert found.headline == "web.weave.local. leads to 10.32.0.1; 1 withheld"
    said = lines(found)
    assert said[0] == "h1 has it lead to 10.32.0.1 for c1 (dns-add)"
    assert said[1:3] == [
        "h3 has it lead to 10.32.0.2 for c2 (dns-add)",
        "  withheld: h3 cannot be reached from here",
    ]
    assert "h1 has _http._tcp.web.weave.local. lead to port 80 of web.weave.local." in said
    assert "h1 has it say 'hello'" in said


def test_a_container_is_explained_with_its_addresses(cluster: Cluster) -> None:
    one = cluster.hosts[0]
    ident = "deadbeef" * 8
    record = AttachmentRecord("02:00:00:00:00:07", ("10.32.0.5/26",), "/run/netns/x", True, "attach", 7_000)
    write(one, attachment_key(ident, "ethwe"), record)
    cluster.settle()
    for word in (ident, ident[:12]):
        found = why(cluster.hosts[1], word)
        assert found.kind == "container"
        assert found.headline == f"container {ident} is on h1"
        assert lines(found)[0] == "h1 has it on the network with ethwe 10.32.0.5/26 (attach)"
        assert f"10.32.0.5 is held by {ident} on h1" in lines(found)
        assert any("has it on ethwe, MAC 02:00:00:00:00:07" in line for line in lines(found))


def test_a_container_that_is_gone_is_known_from_the_history(cluster: Cluster) -> None:
    key = attachment_key("web", "ethwe")
    told = (learnt(cluster.hosts[0], 900, 1_000, key, None),)
    found = why(cluster.hosts[1], "web", told)
    assert found.headline == "container web has nothing from weave any more"
    assert "/web/" in "".join(needles("web", past_of(cluster.hosts[1])))


def test_a_peer_says_the_way_and_its_lives(cluster: Cluster) -> None:
    one, two, _ = cluster.hosts
    store = two.context.store
    stream = store.stream(one.origin)
    assert stream is not None
    first = stream.get("peer/self")
    assert first is not None
    told = (Learnt(1, 1_000, False, one.origin, first),)
    for word in ("h1", one.name):
        found = why(two, word, told)
        assert found.headline == f"h1 ({one.name}) can be reached"
        assert lines(found)[0] == "frames go there directly"
        assert "life 1 was first heard of here" in lines(found)
        assert lines(found)[-1] == "it owns 32 addresses of 10.32.0.0/26"
    assert why(one, "h1").headline == f"h1 ({one.name}) is this host"


def test_what_is_unknown_says_what_was_searched_and_what_is_near(cluster: Cluster) -> None:
    one = cluster.hosts[0]
    one.allocate("website")
    cluster.settle()
    found = why(one, "webside")
    assert found.kind == "unknown"
    assert lines(found) == [
        "no peer among 3 is called so",
        "no container among 1 is called so; near are website",
        "no name among 0 is called so",
    ]


def test_facts_that_make_no_sense_hurt_nobody(cluster: Cluster) -> None:
    one, two, _ = cluster.hosts
    attached = AttachmentRecord("m", ("no address", "10.32.0.5/26"), "/n", True, "attach", -1)
    for key in ("att", "att/", "att/a", "ip/x", "dns", "dns/web", "dns/web.weave.local./c"):
        write(one, key, attached)
    for key in ("ip", "ip/", "ip/a", "x"):
        write(one, key + "2", AddressRecord(address_of("10.32.0.5"), 999, "w" * 500, 1 << 62))
    for key, address in (("dns3", -5), ("dns/4", 1 << 127), ("dns/web/5", 1 << 129)):
        write(one, key, NameRecord("web", "web.weave.local.", address, -1, "dns-add", -(1 << 62)))
    cluster.settle()
    for word in ("10.32.0.5", "web", "h1", "a", "att", "ip2", "unknown"):
        told = (learnt(one, 900, 1_000, "att", None), learnt(one, 901, 1_000, "ip", None))
        assert explain(word, past_of(two), told).headline
    assert "-0x5" in why(two, "web").headline


@pytest.mark.parametrize(
    "word", ["", "x" * 10_000, "\0", "10.32.0.1/99", "::", "1.2.3.4.5", "a\nb", "/", "ip/", "é" * 200]
)
def test_any_word_gets_an_answer(cluster: Cluster, word: str) -> None:
    one = cluster.hosts[0]
    assert needles(word, past_of(one)) is not None
    assert explain(word, past_of(one), ()).kind in ("unknown", "address")
