"""The small values that everything else is made of: identities, times, addresses.

Addresses are 128-bit integers. IPv4 lives where RFC 4291 §2.5.5.2 maps it (`::ffff:a.b.c.d`), so one integer line
carries both families and no data structure needs to know which is which.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NewType

PeerName = NewType("PeerName", str)
"""Stable name of a host, written as a MAC address: `7e:21:4a:70:2f:45`."""
LinkId = NewType("LinkId", int)
"""One TCP connection, numbered by the shell; never reused within a run."""
RequestId = NewType("RequestId", int)
"""One question from outside that gets one Answer; numbered by the shell."""
Ticket = NewType("Ticket", int)
"""One Persist effect; tickets are confirmed in order."""
ShortId = NewType("ShortId", int)
"""12-bit number of a peer in the datapath, 1..4095; 0 is nobody."""
Address = NewType("Address", int)
"""A 128-bit address; IPv4 in its mapped form."""

SHORT_ID_MAX = 4095
V4_MAPPED = 0xFFFF << 32
"""Where IPv4 begins on the 128-bit line."""
ADDRESS_END = 1 << 128
"""One past the last address of all."""
IPV4, IPV6 = "IPv4", "IPv6"
"""The families, as people call them."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, as told by the shell."""

    mono_ms: int
    """Milliseconds of a clock that never goes back; decides everything."""
    wall_ms: int
    """Milliseconds since 1970; shown to people, never decides."""


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """Where a peer listens or a connection ends, in the underlay."""

    host: str
    """A numeric address, or a name that the shell resolves at every dial."""
    port: int
    """TCP port, 1..65535."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, order=True)
class Subnet:
    """A CIDR block; host bits are zero."""

    lo: Address
    """First address."""
    prefix: int
    """Length of the network part as written: 0..32 for IPv4, 0..128 for IPv6."""

    @property
    def hi(self) -> Address:
        """One past the last address."""
        return Address(self.lo + (1 << (self.width - self.prefix)))

    @property
    def width(self) -> int:
        """Bits of the family: 32 or 128."""
        return 32 if is_v4(self.lo) else 128

    @property
    def size(self) -> int:
        """Count of addresses, those that no host may have included."""
        return self.hi - self.lo

    @property
    def family(self) -> str:
        """`IPv4` or `IPv6`."""
        return family_of(self.lo)

    def __contains__(self, address: Address) -> bool:
        return self.lo <= address < self.hi

    def __str__(self) -> str:
        return f"{address_text(self.lo)}/{self.prefix}"


def is_v4(address: Address) -> bool:
    """Say whether the address lies in the mapped IPv4 block."""
    return address >> 32 == 0xFFFF


def family_of(address: Address) -> str:
    """Return `IPv4` or `IPv6`."""
    return IPV4 if is_v4(address) else IPV6


def address_of(text: str) -> Address:
    """Read an IPv4 or IPv6 address.

    Raises: ValueError with a message for people.
    """
    ip = ipaddress.ip_address(text)
    if ip.version == 6 and (ip.ipv4_mapped or ip.scope_id):
        # One has a simpler name, of the other the zone would be lost.
        raise ValueError(f"IPv4 inside IPv6, and zones, are not understood: {text}")
    return Address(V4_MAPPED | int(ip)) if ip.version == 4 else Address(int(ip))


def address_text(address: Address) -> str:
    """Write an address the way people read it; what is none, as peers may say, as a number."""
    if not 0 <= address < ADDRESS_END:
        return f"{address:#x}"
    if is_v4(address):
        return str(ipaddress.IPv4Address(address & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(address))


def subnet_of(text: str) -> Subnet:
    """Read `a.b.c.d/n` or its like in IPv6; host bits must be zero.

    Raises: ValueError with Weave Net's message for stray host bits.
    """
    interface = ipaddress.ip_interface(text)
    if "/" not in text:
        raise ValueError(f"invalid CIDR address: {text}")
    if interface.ip != interface.network.network_address:
        raise ValueError(f"invalid subnet - bits after network prefix are not all zero: {text}")
    return Subnet(address_of(str(interface.ip)), interface.network.prefixlen)


@dataclass(frozen=True, slots=True, order=True)
class Cidr:
    """An address with its prefix length, as assigned to an interface."""

    address: Address
    """The host's address."""
    prefix: int
    """Length of its network part."""

    @property
    def subnet(self) -> Subnet:
        """The block this address lies in."""
        width = 32 if is_v4(self.address) else 128
        size = 1 << (width - self.prefix)
        return Subnet(Address(self.address - self.address % size), self.prefix)

    def __str__(self) -> str:
        return f"{address_text(self.address)}/{self.prefix}"


def cidr_of(text: str) -> Cidr:
    """Read `a.b.c.d/n` or its like in IPv6; host bits may be set.

    Raises: ValueError.
    """
    if "/" not in text:
        raise ValueError(f"invalid CIDR address: {text}")
    interface = ipaddress.ip_interface(text)
    return Cidr(address_of(str(interface.ip)), interface.network.prefixlen)


def utc_text(wall_ms: int) -> str:
    """Write a moment of a wall clock, in UTC: `2026-11-25 08:00:00`."""
    days, rest_ms = divmod(wall_ms, 86_400_000)
    # Days to a civil date, after Howard Hinnant's `civil_from_days`: the standard library's clock has no place here.
    era_days = days + 719_468
    era, day_of_era = divmod(era_days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    seconds = rest_ms // 1000
    return f"{year:04}-{month:02}-{day:02} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
