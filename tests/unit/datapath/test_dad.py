"""Questions about addresses, and what counts as an answer."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from datapath.announce import ETHERTYPE_ARP, ETHERTYPE_IPV6, gratuitous_arp, unsolicited_advertisement
from datapath.dad import parse, probe

MAC = bytes.fromhex("02aabbccddee")
FOUR, SIX = ipaddress.IPv4Address("10.32.0.1"), ipaddress.IPv6Address("fd00::abcd:1234")


def test_a_question_has_no_sender_and_changes_no_cache() -> None:
    four = probe(MAC, FOUR)
    assert four[:12] == b"\xff" * 6 + MAC
    assert four[20:22] == b"\x00\x01"
    assert (four[28:32], four[38:42]) == (bytes(4), FOUR.packed)
    six = probe(MAC, SIX)
    assert six[:6] == bytes.fromhex("3333ffcd1234")
    assert (six[22:38], six[62:78]) == (bytes(16), SIX.packed)


def test_the_checksum_of_a_solicitation_is_right() -> None:
    six = probe(MAC, SIX)
    message = six[54:]
    whole = six[22:54] + struct.pack("!II", len(message), 58) + message
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_answers_are_read_and_questions_are_none() -> None:
    reply = bytearray(gratuitous_arp(MAC, FOUR))
    assert parse(ETHERTYPE_ARP, bytes(reply)) is None
    reply[21] = 2
    assert parse(ETHERTYPE_ARP, bytes(reply)) == (FOUR, "02:aa:bb:cc:dd:ee")
    assert parse(ETHERTYPE_IPV6, unsolicited_advertisement(MAC, SIX)) == (SIX, "02:aa:bb:cc:dd:ee")
    for kind, address in ((ETHERTYPE_ARP, FOUR), (ETHERTYPE_IPV6, SIX)):
        assert parse(kind, probe(MAC, address)) is None


@given(st.sampled_from((ETHERTYPE_ARP, ETHERTYPE_IPV6)), st.binary(max_size=256))
def test_no_bytes_hurt(kind: int, frame: bytes) -> None:
    found = parse(kind, frame)
    assert found is None or len(frame) >= 42
