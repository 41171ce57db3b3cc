"""Asks the network who uses an address, as a host does that is about to take it (duplicate address detection).

The question leaves from the bridge, in the host's namespace, with no sender's address: it changes nobody's cache, and
Linux answers it only for addresses of its own, never as a proxy. Answers come back to the bridge's MAC address (ARP) or
to all nodes (neighbour discovery). Source: RFC 5227 §2.1.1, RFC 4862 §5.4.2.
"""

from __future__ import annotations

import ctypes
import ipaddress
import select
import socket
import struct
from collections.abc import Iterable, Iterator

from datapath.announce import ETHERTYPE_ARP, ETHERTYPE_IPV6, HOP_LIMIT, ICMPV6, checksum

SOLICITATION, ADVERTISEMENT = 135, 136
REPLY = 2
"""What ARP answers with."""
RECEIVE_SIZE = 256
"""Bytes; both kinds of answer fit."""
READS_MAX = 512
"""Per call; the rest is read at the next."""
SO_ATTACH_FILTER = 26
ARP_REPLIES = ((0x28, 0, 0, 20), (0x15, 0, 1, REPLY), (0x06, 0, 0, RECEIVE_SIZE), (0x06, 0, 0, 0))
"""Classic BPF: load a half word, compare, accept or drop. Else every question on the network would wake us."""
ADVERTISEMENTS = (
    *((0x30, 0, 0, 20), (0x15, 0, 3, ICMPV6)),
    *((0x30, 0, 0, 54), (0x15, 0, 1, ADVERTISEMENT)),
    *((0x06, 0, 0, RECEIVE_SIZE), (0x06, 0, 0, 0)),
)
"""The same, for two bytes."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class Prober:
    """Asks from one bridge, and reads the answers. Opened when first needed, and again when the bridge is new."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._index = 0
        self._mac = b""

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Ask no more."""
        self._shut()
        self._epoll.close()

    def ask(self, addresses: Iterable[Ip]) -> None:
        """Send a question about each address. Raises: OSError."""
        if socket.if_nametoindex(self._bridge) != self._index:
            self._shut()
            self._open()
        for address in addresses:
            kind = ETHERTYPE_ARP if address.version == 4 else ETHERTYPE_IPV6
            self._sockets[kind].send(probe(self._mac, address))

    def read(self) -> Iterator[tuple[Ip, str]]:
        """Yield who answers for what, as far as has arrived; nothing when that is nonsense."""
        for kind, source in tuple(self._sockets.items()):
            for _ in range(READS_MAX):
                try:
                    frame = source.recv(RECEIVE_SIZE)
                except OSError:
                    # Nothing more, or the bridge is gone.
                    break
                found = parse(kind, frame)
                if found is not None:
                    yield found

    def _open(self) -> None:
        self._index = socket.if_nametoindex(self._bridge)
        for kind, program in ((ETHERTYPE_ARP, ARP_REPLIES), (ETHERTYPE_IPV6, ADVERTISEMENTS)):
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            self._sockets[kind] = one
            _filter(one, program)
            one.bind((self._bridge, kind))
            self._mac = one.getsockname()[4]
            self._epoll.register(one.fileno(), select.EPOLLIN)

    def _shut(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
        self._index = 0


def probe(mac: bytes, address: Ip) -> bytes:
    """Return the frame that asks all who has an address."""
    if isinstance(address, ipaddress.IPv4Address):
        ethernet = b"\xff" * 6 + mac + struct.pack("!H", ETHERTYPE_ARP)
        return ethernet + struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, bytes(4), bytes(6), address.packed)
    # To the group of all whose address ends alike (RFC 4291 §2.7.1).
    group = bytes.fromhex("ff0200000000000000000001ff") + address.packed[-3:]
    message = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + address.packed
    pseudo = bytes(16) + group + struct.pack("!II", len(message), ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(message), ICMPV6, HOP_LIMIT) + bytes(16) + group + message
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!H", ETHERTYPE_IPV6) + packet


def parse(kind: int, frame: bytes) -> tuple[Ip, str] | None:
    """Return who answers for which address; None for anything else."""
    mac = frame[6:12].hex(":")
    if kind == ETHERTYPE_ARP and len(frame) >= 42 and frame[20:22] == b"\x00\x02":
        return ipaddress.IPv4Address(frame[28:32]), mac
    if kind == ETHERTYPE_IPV6 and len(frame) >= 78 and frame[20] == ICMPV6 and frame[54] == ADVERTISEMENT:
        return ipaddress.IPv6Address(frame[62:78]), mac
    return None


def _filter(one: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    # The kernel copies it: the buffer need not live on.
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))
