"""The range that all hosts share, of one family or of both."""

from __future__ import annotations

import pytest

from core.ipam.seed import ring_id_of
from core.ipam.universe import Universe, amount, hosts_of, sizes_of, subnets_of, universe_of
from core.types import Address, Subnet, address_of, address_text, subnet_of

DUAL = universe_of("10.32.0.0/12,fd00:10:32::/64")


def clip(universe: Universe, subnet: str) -> list[str] | None:
    found = universe.clip(subnet_of(subnet))
    return None if found is None else [address_text(found[0]), address_text(Address(found[1] - 1))]


def test_the_order_in_which_it_is_typed_does_not_matter() -> None:
    assert universe_of("fd00:10:32::/64, 10.32.0.0/12") == DUAL
    assert str(DUAL) == "10.32.0.0/12,fd00:10:32::/64"


def test_a_range_of_ipv4_alone_keeps_its_ring() -> None:
    assert ring_id_of(universe_of("10.32.0.0/12"), ("a", "b")) == "3f23c6401531"


def test_an_address_lies_in_one_part_or_in_none() -> None:
    assert address_of("10.32.0.1") in DUAL
    assert DUAL.part_at(address_of("fd00:10:32::9")) == subnet_of("fd00:10:32::/64")
    assert DUAL.part_at(address_of("fd00:10:33::9")) is None
    assert DUAL.size == (1 << 20) + (1 << 64)


def test_a_range_never_spans_parts() -> None:
    four, six = DUAL.parts
    assert DUAL.within(four.lo, four.hi)
    assert DUAL.within(six.hi - 1, six.hi)
    assert not DUAL.within(four.hi - 1, six.lo + 1)
    assert not DUAL.within(six.lo, six.lo)


def test_what_hosts_may_have() -> None:
    assert clip(DUAL, "10.32.5.0/24") == ["10.32.5.1", "10.32.5.254"]
    assert clip(DUAL, "fd00:10:32::/64") == ["fd00:10:32::1", "fd00:10:32:0:ffff:ffff:ffff:ff7f"], "but for anycast"
    assert clip(DUAL, "fd00:10:32::a00/120") == ["fd00:10:32::a01", "fd00:10:32::afe"]
    assert clip(DUAL, "10.0.0.0/8") == ["10.32.0.0", "10.47.255.255"]
    assert clip(DUAL, "192.168.0.0/24") is None
    assert clip(DUAL, "fd00:10:33::/64") is None
    assert clip(universe_of("fd00::ffff:ffff:ffff:ff80/121"), "fd00::/64") is None, "nothing but anycast"
    assert clip(universe_of("10.0.0.0/30"), "fd00::/8") is None


def test_a_family_without_a_subnet_of_its_own_uses_all_of_its_part() -> None:
    chosen = subnets_of("fd00:10:32::a00/120")
    assert [str(subnet) for subnet in DUAL.defaults(chosen)] == ["10.32.0.0/12", "fd00:10:32::a00/120"]


def test_counts_go_by_family() -> None:
    addresses = [address_of(text) for text in ("fd00::1", "10.0.0.1", "fd00::2")]
    assert sizes_of(DUAL, addresses) == (1, 2)
    assert sizes_of(universe_of("fd00::/64"), addresses) == (2,)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1 << 20, "1048576"), (1 << 40, "1099511627776"), (1 << 63, "2^63"), ((1 << 63) * 3 // 2, "1.5*2^63")],
)
def test_counts_that_people_can_read(count: int, text: str) -> None:
    assert amount(count) == text


def test_the_smallest_subnets_have_hosts() -> None:
    for text in ("10.0.0.0/30", "fd00::/126"):
        lo, hi = hosts_of(subnet_of(text))
        assert hi - lo == 2


def test_nothing_overflows_at_the_ends() -> None:
    whole = Subnet(address_of("fd00::"), 8)
    assert Universe((whole,)).within(whole.lo, whole.hi)
    assert amount(whole.size) == "2^120"


def test_what_peers_call_an_address_is_written_whatever_it_is() -> None:
    assert address_text(Address(1 << 130)).startswith("0x4")
    assert address_text(Address(-1)) == "-0x1"


@pytest.mark.parametrize("text", ["fe80::1%eth0", "::ffff:10.0.0.1"])
def test_addresses_of_two_minds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        address_of(text)
