"""A frame as the TAP gives and takes it: virtio-net header, Ethernet, three tags, and what follows.

Super-frames of TCP and UDP are cut by the sender of a tunnel; the receiver makes one good frame again of whatever
stretch arrives. Source: virtio 1.2 §5.1.6; RFC 1071, 1624 (checksums), 9293 (TCP), 8200 (IPv6).
"""

from __future__ import annotations

import struct

VNET_SIZE = 10
"""Bytes of the virtio-net header."""
TAGS_AT = VNET_SIZE + 12
"""Where the first tag's type lies; its value follows, then the other two."""
L3_AT = TAGS_AT + 12 + 2
"""Where IP begins, behind three tags and the Ethernet type."""
FRAME_SIZE_MAX = VNET_SIZE + 26 + 65_535
"""Bytes of the largest frame: one IP packet with everything before it."""
TAG_TYPES = (0x88A8, 0x8100)
"""Types that a tag may have."""
PROBE_TYPE = 0x88B5
"""Ethernet type of probes through VXLAN: IEEE's first for local experiments."""
IPV4, IPV6 = 0x0800, 0x86DD
NEEDS_CSUM = 1
GSO_TCPV4, GSO_TCPV6, GSO_UDP = 1, 4, 5
GSO_ECN = 0x80
TCP, UDP = 6, 17
TEMPLATE_MAX = 255
"""Bytes; the field in the datagram's header has 8 bits. Enough for all options of IPv4 and TCP."""
NO_OFFLOAD = bytes(VNET_SIZE)
"""The virtio-net header of a frame that needs nothing done to it."""

_VNET = struct.Struct("<BBHHHH")
_TAGS = struct.Struct("!HHHHHHH")
_FIN_PSH, _CWR = 0x09, 0x80


def tags(view: memoryview) -> tuple[int, int, int] | None:
    """Return the values of the three tags, outermost first: neighbour, source, destination, each with 4 bits of
    priority above 12 of number. None when the frame has no three tags."""
    if len(view) < L3_AT:
        return None
    one, via, two, source, three, destination, _ = _TAGS.unpack_from(view, TAGS_AT)
    if one not in TAG_TYPES or two not in TAG_TYPES or three not in TAG_TYPES:
        return None
    return via, source, destination


def set_via(view: memoryview, number: int) -> None:
    """Write the neighbour's number into the outermost tag; its priority stays."""
    view[TAGS_AT + 2] = view[TAGS_AT + 2] & 0xF0 | number >> 8
    view[TAGS_AT + 3] = number & 0xFF


def ether_type(view: memoryview) -> int:
    """Return the type behind the tags."""
    return view[L3_AT - 2] << 8 | view[L3_AT - 1]


def gso(view: memoryview) -> int:
    """Return what kind of super-frame it is; 0 when it is none."""
    return view[1] & ~GSO_ECN


def gso_size(view: memoryview) -> int:
    """Return the bytes of payload per segment of a super-frame."""
    return view[4] | view[5] << 8


def template_size(view: memoryview) -> int:
    """Return how many bytes stand before the payload of a super-frame that can be cut; 0 when it cannot be."""
    flags, kind, _, segment, l4, csum_offset = _VNET.unpack_from(view)
    kind &= ~GSO_ECN
    l4_at = VNET_SIZE + l4
    if not flags & NEEDS_CSUM or segment == 0 or l4_at + 20 > len(view) or l4_at < L3_AT + 20:
        return 0
    version = view[L3_AT] >> 4
    if version == 6:
        is_plain = ether_type(view) == IPV6 and l4_at == L3_AT + 40
    else:
        is_plain = version == 4 and ether_type(view) == IPV4 and l4_at == L3_AT + (view[L3_AT] & 0xF) * 4
    if not is_plain:
        return 0
    if kind in (GSO_TCPV4, GSO_TCPV6):
        size, checksum_at = l4_at + (view[l4_at + 12] >> 4) * 4, 16
        if size < l4_at + 20:
            return 0
    elif kind == GSO_UDP:
        size, checksum_at = l4_at + 8, 6
    else:
        return 0
    return size if csum_offset == checksum_at and size <= min(TEMPLATE_MAX, len(view) - 1) else 0


def set_slice(view: memoryview, size: int) -> None:
    """Note in the template how many bytes of payload each datagram carries: the last one of a run is shorter. Its
    place is `hdr_len`, a hint that the receiver makes anew."""
    view[2] = size & 0xFF
    view[3] = size >> 8


def slice_size(view: memoryview) -> int:
    """Return what `set_slice` noted."""
    return view[2] | view[3] << 8


def restore(view: memoryview, template: int) -> None:
    """Make a frame of a whole run what it was."""
    set_slice(view, template - VNET_SIZE)


def fix_run(view: memoryview, template: int, skipped: int, *, has_end: bool) -> None:
    """Make a frame of a stretch of a super-frame: template, then payload from byte `skipped` on.

    The template must be one that `template_size` accepts.
    """
    restore(view, template)
    flags, kind, hdr_len, segment, l4, csum_offset = _VNET.unpack_from(view)
    l4_at, l4_size = VNET_SIZE + l4, len(view) - VNET_SIZE - l4
    is_udp = kind & ~GSO_ECN == GSO_UDP
    if len(view) - template <= segment:
        _VNET.pack_into(view, 0, flags, 0, hdr_len, 0, l4, csum_offset)
    if view[L3_AT] >> 4 == 4:
        _fix_ipv4(view, skipped // segment)
        addresses = view[L3_AT + 12 : L3_AT + 20]
    else:
        struct.pack_into("!H", view, L3_AT + 4, len(view) - L3_AT - 40)
        addresses = view[L3_AT + 8 : L3_AT + 40]
    if is_udp:
        struct.pack_into("!H", view, l4_at + 4, l4_size)
    else:
        sequence = struct.unpack_from("!I", view, l4_at + 4)[0]
        struct.pack_into("!I", view, l4_at + 4, sequence + skipped & 0xFFFF_FFFF)
        if not has_end:
            view[l4_at + 13] &= ~_FIN_PSH & 0xFF
        if skipped:
            view[l4_at + 13] &= ~_CWR & 0xFF
    pseudo = fold(sum_words(addresses) + (UDP if is_udp else TCP) + l4_size)
    struct.pack_into("!H", view, l4_at + csum_offset, pseudo)


def _fix_ipv4(view: memoryview, segments: int) -> None:
    """Set length, identification and checksum of an IPv4 header that stands for what follows `segments` segments."""
    header_size = (view[L3_AT] & 0xF) * 4
    identification = struct.unpack_from("!H", view, L3_AT + 4)[0]
    struct.pack_into("!HH", view, L3_AT + 2, len(view) - L3_AT, identification + segments & 0xFFFF)
    struct.pack_into("!H", view, L3_AT + 10, 0)
    struct.pack_into("!H", view, L3_AT + 10, checksum(view[L3_AT : L3_AT + header_size]))


def checksum(data: memoryview | bytes) -> int:
    """Return the Internet checksum of bytes."""
    return ~fold(sum_words(data)) & 0xFFFF


def sum_words(data: memoryview | bytes) -> int:
    """Return the sum of the 16-bit words of bytes, the last one filled up with 0."""
    whole = len(data) & ~1
    total: int = sum(struct.unpack(f"!{whole // 2}H", data[:whole]))
    return total + (data[-1] << 8 if len(data) & 1 else 0)


def fold(total: int) -> int:
    """Return a sum of 16-bit words in ones' complement."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
