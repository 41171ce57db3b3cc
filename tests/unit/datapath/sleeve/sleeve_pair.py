"""Both ends of one direction of a tunnel, and frames to send through it."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from datapath.sleeve import aead, frame, keys
from datapath.sleeve.opener import Opener, Receiving
from datapath.sleeve.sealer import Sealer, Sending, calls

SECRET = bytes(range(32))
SESSION = "0123456789abcdef"
NUMBER = 77
"""Of the sender, as the receiver knows it."""
VIA, SOURCE, DESTINATION = 0x5123, 0x2456, 0x0789


class Pair:
    """One direction."""

    def __init__(self, cipher: int, capacity: int = 1472) -> None:
        is_sealed = cipher != aead.PLAIN
        way = keys.direction(outbound=True)
        receiver = int.from_bytes(keys.tag(SESSION, way)[:4], "little")
        accepted = (aead.AEGIS, aead.CHACHA) if is_sealed else (aead.PLAIN,)
        self.sending = Sending(keys.SendKeys(keys.Chain(SECRET, way, 0, is_sealed=is_sealed), cipher, 0), receiver, 1)
        self.sending.capacity = capacity
        self.receiving = Receiving(
            keys.ReceiveKeys(keys.Chain(SECRET, way, 0, is_sealed=is_sealed), accepted), receiver, NUMBER
        )
        self.sealer = Sealer()
        self.frames: list[bytes] = []
        self.messages: list[bytes] = []
        self.now_ms = 0
        self.opener = Opener(
            lambda parts: self.frames.append(b"".join(parts)),
            lambda _, body: self.messages.append(body),
            lambda: self.now_ms,
        )
        self.opener.tunnels[receiver] = self.receiving

    def cut(self, total: int, spacing: int) -> list[bytes]:
        """Return sealed datagrams as the kernel cuts them."""
        found = []
        for start, stop in calls(total, spacing):
            train = b"".join(self.sealer.parts(start, stop))
            found += [train[at : at + spacing] for at in range(0, len(train), spacing)]
        return found

    def seal(self, data: bytes) -> list[bytes]:
        """Return the datagrams of one frame."""
        self.sealer.frame.view[: len(data)] = data
        if frame.gso(memoryview(data)):
            cut = self.sealer.seal_super_frame(self.sending, len(data))
            return self.cut(*(cut or self.sealer.seal_pieces(self.sending, len(data))))
        if not self.sealer.fits(self.sending, len(data)):
            return self.cut(*self.sealer.seal_pieces(self.sending, len(data)))
        assert self.sealer.bundle(self.sending, len(data))
        closed = self.sealer.close()
        assert closed is not None
        return self.cut(*closed[1:])

    def hear(self, datagrams: list[bytes]) -> None:
        """Let datagrams arrive, those of one size at once."""
        for train in trains(datagrams):
            data = b"".join(train)
            self.opener.inbox.view[: len(data)] = data
            self.opener.open(0, len(data), len(train[0]))


def trains(datagrams: list[bytes]) -> Iterator[list[bytes]]:
    """Join neighbours as the kernel's receive offload does: equal sizes, the last one perhaps shorter."""
    train: list[bytes] = []
    for one in datagrams:
        if train and (len(train[-1]) != len(train[0]) or len(one) > len(train[0]) or len(train) == 64):
            yield train
            train = []
        train.append(one)
    if train:
        yield train


def ip_header(version: int, payload: int, protocol: int) -> bytes:
    if version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + payload, 0x1234, 0x4000, 64, protocol, 0)
        head += bytes((10, 32, 0, 1, 10, 32, 0, 2))
        return head[:10] + struct.pack("!H", frame.checksum(head)) + head[12:]
    return struct.pack("!IHBB", 6 << 28, payload, protocol, 64) + bytes(range(16)) + bytes(range(32, 48))


def pseudo(version: int, header: bytes, protocol: int, size: int) -> int:
    addresses = header[12:20] if version == 4 else header[8:40]
    return frame.fold(frame.sum_words(addresses) + protocol + size)


def super_frame(payload: bytes, segment: int, version: int = 4, protocol: int = frame.TCP) -> bytes:
    """Return a super-frame as a TAP gives it."""
    if protocol == frame.TCP:
        flags = 0x80 | 0x10 | 0x08 | 0x01
        l4 = struct.pack("!HHIIBBHHH", 5001, 5002, 0xFFFF_FF00, 7, 8 << 4, flags, 512, 0, 0) + bytes(12)
        kind, offset = (frame.GSO_TCPV4 if version == 4 else frame.GSO_TCPV6), 16
    else:
        l4 = struct.pack("!HHHH", 5001, 5002, 8 + len(payload), 0)
        kind, offset = frame.GSO_UDP, 6
    ip = ip_header(version, len(l4) + len(payload), protocol)
    check = pseudo(version, ip, protocol, len(l4) + len(payload))
    l4 = l4[:offset] + struct.pack("!H", check) + l4[offset + 2 :]
    ethernet = ethernet_header(frame.IPV4 if version == 4 else frame.IPV6)
    start = len(ethernet) + len(ip)
    vnet = struct.pack("<BBHHHH", frame.NEEDS_CSUM, kind, start + len(l4), segment, start, offset)
    return vnet + ethernet + ip + l4 + payload


def ethernet_header(kind: int) -> bytes:
    tags = struct.pack("!HHHHHHH", 0x88A8, VIA, 0x88A8, SOURCE, 0x88A8, DESTINATION, kind)
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + tags


def small_frame(rng: random.Random, size: int) -> bytes:
    """Return a frame without offloads, `size` bytes behind the tags."""
    return frame.NO_OFFLOAD + ethernet_header(0x88B6) + rng.randbytes(size)


def as_received(data: bytes) -> bytes:
    """Return a frame as the receiver delivers it: `via` is the sender."""
    out = bytearray(data)
    frame.set_via(memoryview(out), NUMBER)
    return bytes(out)


def payloads(data: bytes) -> tuple[int, bytes, int]:
    """Return sequence offset, payload and TCP flags of a received super-frame or segment, and check its header."""
    view = memoryview(data)
    _, kind, hdr_len, segment, l4, csum_offset = struct.unpack_from("<BBHHHH", data)
    l4_at = 10 + l4
    version = data[frame.L3_AT] >> 4
    if version == 4:
        assert frame.checksum(view[frame.L3_AT : frame.L3_AT + 20]) == 0
        assert struct.unpack_from("!H", data, frame.L3_AT + 2)[0] == len(data) - frame.L3_AT
    else:
        assert struct.unpack_from("!H", data, frame.L3_AT + 4)[0] == len(data) - frame.L3_AT - 40
    is_udp = csum_offset == 6
    template = l4_at + (8 if is_udp else (data[l4_at + 12] >> 4) * 4)
    assert hdr_len == template - 10
    check = struct.unpack_from("!H", data, l4_at + csum_offset)[0]
    assert check == pseudo(version, data[frame.L3_AT : l4_at], 17 if is_udp else 6, len(data) - l4_at)
    assert (kind == 0) == (segment == 0)
    if is_udp:
        assert struct.unpack_from("!H", data, l4_at + 4)[0] == len(data) - l4_at
        return -1, data[template:], 0
    sequence = struct.unpack_from("!I", data, l4_at + 4)[0]
    return (sequence - 0xFFFF_FF00) & 0xFFFF_FFFF, data[template:], data[l4_at + 13]
