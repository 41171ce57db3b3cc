"""What probes say: messages inside datagrams of the sleeve, and frames of their own through VXLAN.

Through VXLAN nothing seals them, so each proves itself:

    byte 0      1
    byte 1      flags
    byte 2-3    bytes of the whole, big-endian
    byte 4-11   which session and direction, `keys.tag`
    byte 12-19  counter, ascending
    byte 20-35  BLAKE2b of all that stands before and of the zeros behind, keyed
    then zeros, so that the frame is as large as the largest that must get through
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest

from datapath.sleeve import frame

HEARS, ASKS, IS_FULL, HEARS_SMALL, HAS_AES = 1, 2, 4, 8, 16
"""Flags: I hear you; answer at once; as large as frames get; I hear your small ones; AEGIS is fast here."""
PROBE, SIZE, SIZE_ACK = 1, 2, 3
"""Messages inside the sleeve: flags; how large this datagram is; how large a datagram arrived."""
MESSAGE = struct.Struct("!BH")
"""Which message, and its value."""
SMALL_SIZE = 46
"""Bytes of a small probe: what makes a frame of Ethernet's least size."""
VERSION = 1

_HEAD = struct.Struct("!BBH8sQ")
_MAC_SIZE = 16
_MAC_END = _HEAD.size + _MAC_SIZE
_ETHERNET = struct.Struct("!2s4s2s4sH")


@dataclass(frozen=True, slots=True)
class FastProbe:
    """One probe through VXLAN."""

    flags: int
    """What it says."""
    tag: bytes
    """Session and direction, 8 bytes."""
    counter: int
    """Ascending, of one direction of a session."""
    size: int
    """Bytes, at least `SMALL_SIZE`."""


def encode(probe: FastProbe, key: bytes) -> bytes:
    """Return the payload of a probe's frame."""
    head = _HEAD.pack(VERSION, probe.flags, probe.size, probe.tag, probe.counter)
    rest = bytes(probe.size - _MAC_END)
    return head + _mac(key, head, rest) + rest


def tag_of(payload: memoryview) -> bytes | None:
    """Return the session and direction that a payload claims; None when it is no probe."""
    if len(payload) < SMALL_SIZE or payload[0] != VERSION:
        return None
    return bytes(payload[4:12])


def decode(payload: memoryview, key: bytes) -> FastProbe | None:
    """Return a probe; None when it is not authentic or has lost a part."""
    _, flags, size, tag, counter = _HEAD.unpack_from(payload)
    if size != len(payload):
        return None
    expected = _mac(key, payload[: _HEAD.size], payload[_MAC_END:])
    if not compare_digest(expected, payload[_HEAD.size : _MAC_END]):
        return None
    return FastProbe(flags, tag, counter, size)


def frame_to(address: bytes, payload: bytes) -> bytes:
    """Return the frame, as the TAP takes it, of a probe to an IPv4 address (4 bytes)."""
    head = _ETHERNET.pack(b"\x02\x00", address, b"\x02\x01", bytes(4), frame.PROBE_TYPE)
    return frame.NO_OFFLOAD + head + payload


def parse_frame(view: memoryview) -> tuple[bytes, memoryview] | None:
    """Return where a probe's frame came from, IPv4 (4 bytes), and its payload; None when it is none."""
    start = frame.VNET_SIZE
    if len(view) < start + _ETHERNET.size + SMALL_SIZE:
        return None
    _, _, mark, source, kind = _ETHERNET.unpack_from(view, start)
    if kind != frame.PROBE_TYPE or mark != b"\x02\x01":
        return None
    return source, view[start + _ETHERNET.size :]


def _mac(key: bytes, head: bytes | memoryview, rest: bytes | memoryview) -> bytes:
    mac = blake2b(head, digest_size=_MAC_SIZE, key=key, person=b"weave fastprobe")
    mac.update(rest)
    return mac.digest()
