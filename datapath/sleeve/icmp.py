"""The answer to a frame that does not fit and must not be cut: which size would have fitted.

Its source is who the frame was for, as a router on that host's far side would say it. Source: RFC 792 and 1191
(IPv4, type 3 code 4), RFC 4443 §3.2 (IPv6, type 2); never about ICMP errors, fragments or groups (RFC 1122 §3.2.2).
"""

from __future__ import annotations

import struct

from datapath.sleeve import frame

IPV6_MTU_MIN = 1_280
"""Bytes that IPv6 must carry: a smaller size must not be told, so frames of that size are cut."""
QUOTE_V4 = 548
"""Bytes of the packet that are quoted: RFC 1812 §4.3.2.3 allows 576 in all."""
QUOTE_V6 = IPV6_MTU_MIN - 48
_ICMP, _ICMPV6 = 1, 58
_FRAGMENT_MASK = 0x1FFF
_DF = 0x4000
_ECHO_TYPES_V4 = (0, 8)
_V6_INFORMATIVE = 0x80


def must_not_be_cut(view: memoryview, room: int) -> bool:
    """Say whether a frame must be answered because only `room` bytes of IP packet fit: IPv4 that says so, and IPv6
    unless it is as small as IPv6 allows. To groups nothing is answered, so they are cut."""
    kind = frame.ether_type(view)
    if view[frame.VNET_SIZE] & 1:
        return False
    if kind == frame.IPV4 and len(view) >= frame.L3_AT + 20:
        return bool(view[frame.L3_AT + 6] << 8 & _DF)
    return kind == frame.IPV6 and len(view) >= frame.L3_AT + 40 and room >= IPV6_MTU_MIN


def answer(view: memoryview, mtu: int, via: int) -> bytes | None:
    """Return the frame that tells the sender of a frame the size that fits, as if neighbour `via` had sent it; None
    when nothing may be answered to it."""
    tags = frame.tags(view)
    assert tags is not None, "only frames with tags get here"
    packet = bytes(view[frame.L3_AT :])
    body = _v4(packet, mtu) if frame.ether_type(view) == frame.IPV4 else _v6(packet, mtu)
    if body is None:
        return None
    start = frame.VNET_SIZE
    to_via, source, _ = tags
    # It goes back to where the frame entered, and may pass as many hosts as the frame still might.
    way = (to_via & 0xF000 | via, source & 0xF000 | via, source & 0x0FFF)
    types = [bytes(view[frame.TAGS_AT + 4 * place : frame.TAGS_AT + 4 * place + 2]) for place in range(3)]
    tagged = b"".join(kind + struct.pack("!H", value) for kind, value in zip(types, way, strict=True))
    addresses = bytes(view[start + 6 : start + 12]) + bytes(view[start : start + 6])
    return frame.NO_OFFLOAD + addresses + tagged + bytes(view[frame.L3_AT - 2 : frame.L3_AT]) + body


def _v4(packet: bytes, mtu: int) -> bytes | None:
    header_size = (packet[0] & 0xF) * 4
    fragment = struct.unpack_from("!H", packet, 6)[0] & _FRAGMENT_MASK
    is_group = packet[16] >= 224 or packet[12] >= 224 or packet[12] == 0
    if packet[0] >> 4 != 4 or not 20 <= header_size <= len(packet) or fragment or is_group:
        return None
    if packet[9] == _ICMP and (len(packet) <= header_size or packet[header_size] not in _ECHO_TYPES_V4):
        return None
    quote = packet[:QUOTE_V4]
    message = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quote
    message = message[:2] + struct.pack("!H", frame.checksum(message)) + message[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(message), 0, _DF, 64, _ICMP, 0) + packet[16:20] + packet[12:16]
    return head[:10] + struct.pack("!H", frame.checksum(head)) + head[12:] + message


def _v6(packet: bytes, mtu: int) -> bytes | None:
    is_error = packet[6] == _ICMPV6 and (len(packet) < 41 or not packet[40] & _V6_INFORMATIVE)
    is_group = packet[8] == 0xFF or packet[24] == 0xFF or packet[8:24] == bytes(16)
    if packet[0] >> 4 != 6 or is_error or is_group:
        return None
    quote = packet[:QUOTE_V6]
    message = struct.pack("!BBHI", 2, 0, 0, mtu) + quote
    addresses = packet[24:40] + packet[8:24]
    total = frame.sum_words(addresses) + _ICMPV6 + len(message) + frame.sum_words(message)
    message = message[:2] + struct.pack("!H", ~frame.fold(total) & 0xFFFF) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 64) + addresses + message
