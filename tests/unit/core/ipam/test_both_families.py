"""Addresses of both families: asked for together, given together, handed on each by itself."""

from __future__ import annotations

from ipam_cluster import Cluster, Host

from core.events import Lookup


def did(host: Host, request: int) -> str | None:
    """Return the answer to a request, once everything has come to rest."""
    host.cluster.settle(5_000)
    return host.reply(request)


def lookup(host: Host, ident: str, subnet: str = "") -> str | None:
    request = host.cluster.new_request()
    host.do(lambda: host.allocator.lookup(request, Lookup(ident, subnet)))
    return host.reply(request)


def one_host(universe: str) -> Host:
    return Cluster(1, universe).hosts[0]


DUAL = "10.32.0.0/26,fd00::/122"


def test_whoever_asks_for_nothing_in_particular_gets_an_address_of_each_family() -> None:
    host = one_host(DUAL)
    assert did(host, host.allocate("a")) == "10.32.0.1/26 fd00::1/122"
    assert did(host, host.allocate("a")) == "10.32.0.1/26 fd00::1/122", "the same again"
    assert did(host, host.allocate("b", "fd00::20/123")) == "fd00::21/123"
    assert did(host, host.allocate("b", "fd00::/122,10.32.0.32/27")) == "10.32.0.33/27 fd00::2/122"
    assert lookup(host, "b", "fd00::/122") == "fd00::2/122 fd00::21/123"
    assert did(host, host.claim("c", "fd00::2/122")) == "! Unable to claim: address fd00::2 is already owned by b"
    assert did(host, host.free("a", "fd00::1")) == ""
    assert lookup(host, "a") == "10.32.0.1/26"


def test_of_two_families_all_or_nothing_is_taken() -> None:
    host = one_host("10.32.0.0/26,fd00::/126")
    assert did(host, host.allocate("a")) == "10.32.0.1/26 fd00::1/126"
    assert did(host, host.allocate("b")) == "10.32.0.2/26 fd00::2/126"
    waits = host.allocate("c")
    assert did(host, waits) is None
    assert lookup(host, "c") == ""
    status = host.allocator.describe()
    assert status is not None
    assert [wait.why for wait in status.pending] == [
        "no free address in fd00::/126, and nobody else owns any of it: free some or use another subnet"
    ]
    host.free("a")
    assert did(host, waits) == "10.32.0.1/26 fd00::1/126"


def test_a_dual_range_is_shared_and_handed_on_by_family() -> None:
    cluster = Cluster(2, "10.32.0.0/26,fd00::/64")
    two = cluster.hosts[1]
    cluster.settle()
    assert did(two, two.allocate("a", "fd00::/64")) == "fd00::8000:0:0:0/64", "the lowest of the upper half"
    # What is wanted of the other's half is handed over, whichever family.
    assert did(two, two.claim("b", "fd00::9/64")) == ""
    assert lookup(two, "b") == "fd00::9/64"
    status = two.allocator.describe()
    assert status is not None
    assert [owner.parts for owner in status.owners] == [((32, 0), ((1 << 63) + 1, 2)), ((32, 0), ((1 << 63) - 1, 0))]
