"""Answers to frames that do not fit."""

from __future__ import annotations

import struct

from sleeve_pair import ethernet_header, ip_header

from datapath.sleeve import frame, icmp


def packet(version: int, size: int, protocol: int = 17, payload: bytes = b"") -> bytearray:
    kind = frame.IPV4 if version == 4 else frame.IPV6
    body = payload + bytes(size - len(payload))
    return bytearray(frame.NO_OFFLOAD + ethernet_header(kind) + ip_header(version, size, protocol) + body)


def test_ipv4_is_told_the_size() -> None:
    asked = packet(4, 2000)
    assert icmp.must_not_be_cut(memoryview(asked), 1386)
    told = icmp.answer(memoryview(asked), 1386, 0x99)
    assert told is not None
    view = memoryview(told)
    assert frame.tags(view) == (0x5099, 0x2099, 0x0456)
    assert told[10:16] == asked[16:22]
    assert told[16:22] == asked[10:16]
    assert frame.checksum(view[frame.L3_AT : frame.L3_AT + 20]) == 0
    assert frame.checksum(view[frame.L3_AT + 20 :]) == 0
    assert told[frame.L3_AT + 12 : frame.L3_AT + 20] == bytes((10, 32, 0, 2, 10, 32, 0, 1))
    assert told[frame.L3_AT + 9] == 1
    assert struct.unpack_from("!BB2xHH", told, frame.L3_AT + 20) == (3, 4, 0, 1386)
    assert told[frame.L3_AT + 28 :] == asked[frame.L3_AT : frame.L3_AT + 548]


def test_ipv6_is_told_the_size_unless_it_is_too_small_to_be_told() -> None:
    asked = packet(6, 2000)
    assert icmp.must_not_be_cut(memoryview(asked), 1386)
    assert not icmp.must_not_be_cut(memoryview(asked), 1279)
    told = icmp.answer(memoryview(asked), 1386, 0x99)
    assert told is not None
    message = told[frame.L3_AT + 40 :]
    assert struct.unpack_from("!BB2xI", message) == (2, 0, 1386)
    pseudo = frame.sum_words(told[frame.L3_AT + 8 : frame.L3_AT + 40]) + 58 + len(message)
    assert frame.fold(pseudo + frame.sum_words(message)) == 0xFFFF
    assert len(told) - frame.L3_AT <= 1280


def test_what_may_be_cut_is() -> None:
    free = packet(4, 2000)
    free[frame.L3_AT + 6] = 0
    assert not icmp.must_not_be_cut(memoryview(free), 1386)
    group = packet(4, 2000)
    group[10] |= 1
    assert not icmp.must_not_be_cut(memoryview(group), 1386)
    other = memoryview(bytearray(frame.NO_OFFLOAD + ethernet_header(0x88B6) + bytes(2000)))
    assert not icmp.must_not_be_cut(other, 1386)


def test_errors_fragments_and_groups_are_not_answered() -> None:
    assert icmp.answer(memoryview(packet(4, 2000, 1, b"\x03\x04")), 1386, 1) is None
    assert icmp.answer(memoryview(packet(4, 2000, 1, b"\x08\x00")), 1386, 1) is not None
    assert icmp.answer(memoryview(packet(6, 2000, 58, b"\x02\x00")), 1386, 1) is None
    assert icmp.answer(memoryview(packet(6, 2000, 58, b"\x80\x00")), 1386, 1) is not None
    later = packet(4, 2000)
    later[frame.L3_AT + 7] = 9
    assert icmp.answer(memoryview(later), 1386, 1) is None
    group = packet(4, 2000)
    group[frame.L3_AT + 16] = 224
    assert icmp.answer(memoryview(group), 1386, 1) is None
    group_v6 = packet(6, 2000)
    group_v6[frame.L3_AT + 24] = 0xFF
    assert icmp.answer(memoryview(group_v6), 1386, 1) is None
