"""What agent and worker say to each other: one packet per message, a limit on its size, nothing untyped.

A packet is 32 bytes of secret, zeros where there is none, then MessagePack of `[type, field, …]`. The secret stands
outside so that it can be wiped from the packet.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import msgpack

from datapath.sleeve.keys import SECRET_SIZE

PACKET_MAX = 8_192
"""Bytes; a tunnel takes some 200, counters less than 2,000."""


@dataclass(frozen=True, slots=True)
class SetTunnel:
    """Have this tunnel; one to the same peer with another session gives way. The secret goes along."""

    peer: str
    """As in `core.reconcile.objects.Tunnel`, like all up to `mtu`."""
    session: str
    outbound: bool
    number: int
    address: str
    port: int
    is_sealed: bool
    tries_fastdp: bool
    mtu: int
    incarnation: int
    """Which range of counters it seals with: never the same twice for a session."""
    send_epoch: int
    """Where an earlier worker was with the keys."""
    receive_epoch: int
    """The same of the other direction."""
    newest: int
    """One past the highest counter that an earlier worker has heard: nothing below is accepted again."""


@dataclass(frozen=True, slots=True)
class RemoveTunnel:
    """Have no tunnel to a peer."""

    peer: str
    """Its name."""


@dataclass(frozen=True, slots=True)
class Path:
    """Whether a transport gets through, told when anything of it changes."""

    session: str
    """Of the tunnel."""
    transport: str
    """As in `core.events.PathUp`."""
    is_up: bool
    """Both ways."""
    mtu: int
    """As in `PathUp`; 0 when down."""
    address: str
    """As in `PathUp`; empty when down."""
    why: str
    """As in `PathDown`; empty when up."""


@dataclass(frozen=True, slots=True)
class Epochs:
    """Where a tunnel is, for a worker that comes after; told before the first datagram of a new epoch is sealed."""

    session: str
    """Of the tunnel."""
    send: int
    """Of ours."""
    receive: int
    """Of the neighbour's."""
    newest: int
    """One past the highest counter heard, some time ago."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What was carried and what was dropped, ever."""

    values: dict[str, int]
    """By name."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker could not start, and ends."""

    why: str
    """What the kernel said, about what."""


Message = SetTunnel | RemoveTunnel | Path | Epochs | Counters | Failed
_TYPES: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (SetTunnel, RemoveTunnel, Path, Epochs, Counters, Failed)
}


class ControlError(Exception):
    """A packet is no message; the text names the rule."""


def encode(message: Message, secret: bytes = bytes(SECRET_SIZE)) -> bytearray:
    """Return a packet."""
    assert len(secret) == SECRET_SIZE, "a secret of another size"
    values = [getattr(message, field.name) for field in fields(message)]
    packet = bytearray(secret)
    packet += msgpack.packb([type(message).__name__, *values])
    assert len(packet) <= PACKET_MAX, "a message without limit"
    return packet


def decode(packet: memoryview) -> Message:
    """Return the message of a packet; its secret is the caller's to take and to wipe. Raises: ControlError."""
    try:
        plain = msgpack.unpackb(packet[SECRET_SIZE:])
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise ControlError(f"no MessagePack: {error}") from error
    if not isinstance(plain, list) or not plain or not isinstance(plain[0], str) or plain[0] not in _TYPES:
        raise ControlError("of no type known here")
    kind, values = _TYPES[plain[0]], plain[1:]
    wanted = fields(kind)
    if len(values) != len(wanted):
        raise ControlError(f"{plain[0]} with {len(values)} fields, not {len(wanted)}")
    for field, value in zip(wanted, values, strict=True):
        if not _is_a(str(field.type), value):
            raise ControlError(f"{plain[0]}.{field.name} is no {field.type}")
    return kind(*values)


def _is_a(kind: str, value: object) -> bool:
    if kind == "dict[str, int]":
        return isinstance(value, dict) and all(
            isinstance(name, str) and type(number) is int for name, number in value.items()
        )
    return type(value).__name__ == kind
