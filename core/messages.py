"""What peers say to each other, as data. `wire` turns it into bytes and back.

Gossip is announce, need, delta (`Have`, `Need`, `Deltas`), repaired by a periodic `Digest` that leads to `Buckets`
and then to a `Have` restricted to the buckets that differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.types import Address, PeerName
from crdt.fact import Delta, Origin

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of either side."""

    protocol_min: int
    """Oldest protocol spoken."""
    protocol_max: int
    """Newest protocol spoken."""
    peer: PeerName
    """Who is speaking."""
    nickname: str
    """What people call it."""
    uid: int
    """64 random bits drawn at each start: tells oneself from a namesake."""
    incarnation: int
    """Of its stream."""
    port: int
    """Control port it listens on."""
    dial: int
    """Number of this dial by the dialler, ascending; 0 from the side that accepted."""
    transports: str = "fastdp sleeve"
    """By which frames may come to it, in words. Source: Weave Net's feature `Overlays`."""
    trusts: bool = False
    """The sender trusts the network in which the receiver seems to be: between the two, frames need no encryption."""
    esp: bool = False
    """The sender's kernel can encrypt VXLAN."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Still here. Older versions answer no question."""

    asks: int = 0
    """Number of a question whether the receiver still is; 0 for none."""
    answers: int = 0
    """The question that this answers; 0 for none."""


@dataclass(frozen=True, slots=True)
class Have:
    """The sender holds these streams up to these numbers."""

    heads: tuple[tuple[Origin, int], ...]
    """Origin and sequence number."""


@dataclass(frozen=True, slots=True)
class Need:
    """The sender wants what it lacks of these streams."""

    known: tuple[tuple[Origin, int], ...]
    """Origin and the sequence number held; 0 for nothing."""


@dataclass(frozen=True, slots=True)
class Deltas:
    """Pieces of streams."""

    deltas: tuple[Delta, ...]
    """Each complete in itself."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Fingerprint of the sender's whole store."""

    root: int
    """128 bits."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Fingerprints of the sender's store, in 64 parts."""

    buckets: tuple[int, ...]
    """64 numbers of 64 bits."""
    answer_wanted: bool
    """The receiver should send its own buckets back."""


@dataclass(frozen=True, slots=True)
class SpaceAsk:
    """A peer without free addresses asks an owner for some."""

    lo: Address
    """Any free part of `[lo, hi)` helps."""
    hi: Address
    """One past the end."""
    exact: bool
    """The whole range is wanted (a claim), not just any part."""
    ring: str = ""
    """Ring id of the asker; empty when it does not say."""


@dataclass(frozen=True, slots=True)
class SpaceRefused:
    """The asked peer could give nothing. Space given arrives as facts."""

    lo: Address
    """As asked."""
    hi: Address
    """As asked."""
    why: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A message for one peer that may be several links away; relayed, may be lost."""

    source: PeerName
    """Who sends."""
    destination: PeerName
    """Who shall get it."""
    ttl: int
    """Relays left, at most 64."""
    body: SpaceAsk | SpaceRefused
    """What it says."""


@dataclass(frozen=True, slots=True)
class EspOffer:
    """The sender can receive VXLAN inside ESP by an association of its own."""

    epoch: int
    """Which key of the session, ascending from 0."""
    spi: int
    """Chosen by the sender."""


@dataclass(frozen=True, slots=True)
class EspTaken:
    """The sender sends VXLAN by the association that was offered last."""

    epoch: int
    """As offered; -1: it has lost what it sent by, and wants another."""


@dataclass(frozen=True, slots=True)
class NameTaken:
    """The sender hangs up: it is connected to another host that has the receiver's name."""

    why: str
    """For people."""


Message = Hello | Heartbeat | Have | Need | Deltas | Digest | Buckets | Routed | EspOffer | EspTaken | NameTaken
