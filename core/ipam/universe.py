"""The range that all hosts share: one block of IPv4, of IPv6, or one of each.

One ring carries both. Its blocks, the parts, lie apart on the one line of 128-bit addresses, so ownership, claims and
gifts need not know of families: a range of addresses that is owned or asked for lies within one part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from core.types import IPV6, Address, Subnet, family_of, is_v4, subnet_of

ADDRESSES_MIN = 4
"""In the smallest subnet that has any to give: the first and the last are never given."""
ANYCAST_COUNT = 128
"""Addresses at the end of an IPv6 subnet that belong to services, not hosts. Source: RFC 2526 §2."""
INTERFACE_ID_BITS = 64
"""Of IPv6 subnets as all others make them (RFC 4291 §2.5.1). Smaller ones could not spare so many."""
READABLE_MAX = 1 << 40
"""Greater counts nobody reads digit by digit."""
NOT_FOR_CONTAINERS = "IPv6 below 100::, link-local, site-local and multicast addresses are not for containers"
_UNFIT = tuple(subnet_of(text) for text in ("::/8", "fe80::/9", "ff00::/8"))
"""IPv6 that no container can have: special, of one link or site, of groups. Source: IANA's address space registry."""


@dataclass(frozen=True, slots=True)
class Universe:
    """What `--ipalloc-range` says."""

    parts: tuple[Subnet, ...]
    """At least one, at most one of each family, ascending: IPv4 is first."""

    def __post_init__(self) -> None:
        """Refuse what is no range. Raises: ValueError with a message for people."""
        if not self.parts:
            raise ValueError("an empty range is none")
        _check_apart(self.parts)

    @property
    def size(self) -> int:
        """Count of addresses."""
        return sum(part.size for part in self.parts)

    def __contains__(self, address: Address) -> bool:
        return any(address in part for part in self.parts)

    def __str__(self) -> str:
        return ",".join(map(str, self.parts))

    def part_at(self, address: Address) -> Subnet | None:
        """Return the part that an address lies in; None outside."""
        return next((part for part in self.parts if address in part), None)

    def within(self, lo: int, hi: int) -> bool:
        """Say whether `[lo, hi)` is not empty and lies within one part."""
        return any(part.lo <= lo < hi <= part.hi for part in self.parts)

    def clip(self, subnet: Subnet) -> tuple[Address, Address] | None:
        """Return what of the hosts' addresses of a subnet lies in the part of its family; None when nothing does."""
        lo, hi = hosts_of(subnet)
        for part in self.parts:
            if part.family == subnet.family and max(lo, part.lo) < min(hi, part.hi):
                return Address(max(lo, part.lo)), Address(min(hi, part.hi))
        return None

    def defaults(self, chosen: tuple[Subnet, ...]) -> tuple[Subnet, ...]:
        """Return the subnet of each family that addresses come from: the chosen one, else the whole part."""
        by_family = {subnet.family: subnet for subnet in chosen}
        return tuple(by_family.get(part.family, part) for part in self.parts)


def universe_of(text: str) -> Universe:
    """Read `CIDR` or `CIDR,CIDR`, in any order, so that hosts told the same in another order agree.

    Raises: ValueError with a message for people.
    """
    return Universe(subnets_of(text))


def subnets_of(text: str) -> tuple[Subnet, ...]:
    """Read CIDRs separated by commas, at most one of each family; return them ascending.

    Raises: ValueError with a message for people.
    """
    subnets = tuple(sorted(subnet_of(item.strip()) for item in text.split(",")))
    for subnet in subnets:
        is_unfit = any(unfit.lo < subnet.hi and subnet.lo < unfit.hi for unfit in _UNFIT)
        if subnet.family == IPV6 and is_unfit:
            raise ValueError(f"{subnet}: {NOT_FOR_CONTAINERS}; take a part of fd00::/8")
    _check_apart(subnets)
    return subnets


def why_unfit(address: Address) -> str:
    """Say why no container can have an address; empty when one can."""
    if not is_v4(address) and any(address in unfit for unfit in _UNFIT):
        return NOT_FOR_CONTAINERS
    return ""


def hosts_of(subnet: Subnet) -> tuple[Address, Address]:
    """Return the addresses of a subnet that hosts may have.

    Not the first: IPv4's network, IPv6's anycast address of its routers (RFC 4291 §2.6.1). Not the last: IPv4's
    broadcast address; IPv6 has none, but keeps the last 128 for anycast, which only large subnets can spare.
    """
    is_large = not is_v4(subnet.lo) and subnet.prefix <= INTERFACE_ID_BITS
    return Address(subnet.lo + 1), Address(subnet.hi - (ANYCAST_COUNT if is_large else 1))


def sizes_of(universe: Universe, addresses: Iterable[Address]) -> tuple[int, ...]:
    """Count addresses by family, in the order of the parts; those of no part's family do not count."""
    counts = {part.family: 0 for part in universe.parts}
    for address in addresses:
        family = family_of(address)
        if family in counts:
            counts[family] += 1
    return tuple(counts.values())


def amount(count: int) -> str:
    """Write a count of addresses so that people can read it: `4096`, `2^63`, `1.5*2^62`."""
    if count <= READABLE_MAX:
        return str(count)
    exponent = count.bit_length() - 1
    # Integer arithmetic: a float cannot hold all of it.
    tenths = (count * 10 >> exponent) / 10
    return f"2^{exponent}" if tenths == 1 else f"{tenths:g}*2^{exponent}"


def _check_apart(subnets: tuple[Subnet, ...]) -> None:
    for one, other in pairwise(subnets):
        if one.family == other.family:
            raise ValueError(f"{one} and {other} are both {one.family}; there can be one range of each family")
        # What touches would be one range of the ring.
        if one.hi >= other.lo:
            raise ValueError(f"{one} and {other} do not ascend")
