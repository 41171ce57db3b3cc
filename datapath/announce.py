"""Telling a network where an address is now, so that a container that has moved is found at once."""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading

GARP_COUNT = 2
"""One may get lost while the ports of the bridge come up."""
ETHERTYPE_ARP = 0x0806


def announce(ifname: str, mac: str, addresses: tuple[str, ...]) -> None:
    """Send gratuitous ARP for each IPv4 address (RFC 5227 §3), from the namespace of the calling thread. Raises:
    OSError."""
    own = bytes.fromhex(mac.replace(":", ""))
    # Without a protocol it receives nothing, and so costs the kernel no wait for all processors when it is made.
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        for cidr in addresses:
            ip = ipaddress.ip_interface(cidr).ip
            if ip.version != 4:
                continue
            ethernet = b"\xff" * 6 + own + struct.pack("!H", ETHERTYPE_ARP)
            request = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, ip.packed, bytes(6), ip.packed)
            for _ in range(GARP_COUNT):
                sender.sendto(ethernet + request, (ifname, ETHERTYPE_ARP))
    finally:
        # Closing waits for all processors in any case: some 15 ms in which nothing depends on it.
        threading.Thread(target=sender.close, name="announce").start()
