"""Telling a network where an address is now, so that a container that has moved is found at once."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading

ANNOUNCEMENTS = 2
"""Of each address. One may get lost while the ports of the bridge come up."""
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
ICMPV6 = 58
ALL_NODES = ipaddress.IPv6Address("ff02::1")
ADVERTISEMENT = 136
OVERRIDE = 0x2000_0000
"""The flag that says: forget what you knew."""
TARGET_LINK_ADDRESS = 2
HOP_LIMIT = 255
"""What has passed a router is not believed (RFC 4861 §7.1.2)."""


def announce(ifname: str, mac: str, addresses: tuple[str, ...]) -> None:
    """Tell all who have each address, from the namespace of the calling thread. Raises: OSError."""
    own = bytes.fromhex(mac.replace(":", ""))
    # Without a protocol it receives nothing, and so costs the kernel no wait for all processors when it is made.
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        for cidr in addresses:
            frame = announcement(own, ipaddress.ip_interface(cidr).ip)
            for _ in range(ANNOUNCEMENTS):
                sender.sendto(frame, (ifname, int.from_bytes(frame[12:14], "big")))
    finally:
        # Closing waits for all processors in any case: some 15 ms in which nothing depends on it.
        threading.Thread(target=sender.close, name="announce").start()


def announcement(mac: bytes, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """Return the frame for an address of either family, from its holder to all."""
    return gratuitous_arp(mac, ip) if ip.version == 4 else unsolicited_advertisement(mac, ip)


def gratuitous_arp(mac: bytes, ip: ipaddress.IPv4Address) -> bytes:
    """Return an ARP announcement. Source: RFC 5227 §3."""
    ethernet = b"\xff" * 6 + mac + struct.pack("!H", ETHERTYPE_ARP)
    return ethernet + struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, ip.packed, bytes(6), ip.packed)


def unsolicited_advertisement(mac: bytes, ip: ipaddress.IPv6Address) -> bytes:
    """Return an unsolicited neighbour advertisement. Source: RFC 4861 §4.4 and §7.2.6."""
    head = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE) + ip.packed
    message = head + struct.pack("!BB", TARGET_LINK_ADDRESS, 1) + mac
    pseudo = ip.packed + ALL_NODES.packed + struct.pack("!II", len(message), ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, HOP_LIMIT) + ip.packed + ALL_NODES.packed + message
    group = b"\x33\x33" + ALL_NODES.packed[-4:]
    return group + mac + struct.pack("!H", ETHERTYPE_IPV6) + packet


def checksum(data: bytes) -> int:
    """Return the Internet checksum of an even number of bytes. Source: RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
