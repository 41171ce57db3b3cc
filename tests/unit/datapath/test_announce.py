"""Frames that tell who has an address, byte by byte."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from datapath.announce import announcement

MAC = bytes.fromhex("020000000102")


def test_arp_goes_to_all_and_names_the_holder_twice() -> None:
    expected = "ffffffffffff 020000000102 0806 0001 0800 06 04 0001 020000000102 0a200001 000000000000 0a200001"
    assert announcement(MAC, IPv4Address("10.32.0.1")) == bytes.fromhex(expected.replace(" ", ""))


def test_an_advertisement_goes_to_all_nodes_and_overrides() -> None:
    ethernet = "333300000001 020000000102 86dd"
    header = "60000000 0020 3a ff fd00001000320000 0000000000000001 ff020000000000000000000000000001"
    # The checksum, worked out by hand from RFC 4443 §2.3.
    message = "88 00 5916 20000000 fd00001000320000 0000000000000001 02 01 020000000102"
    frame = announcement(MAC, IPv6Address("fd00:10:32::1"))
    assert frame == bytes.fromhex(f"{ethernet}{header}{message}".replace(" ", ""))
