"""Estimates are near what the codec makes of a message."""

from __future__ import annotations

from core.messages import (
    Buckets,
    Deltas,
    Digest,
    Have,
    Heartbeat,
    Hello,
    Message,
    Need,
    Routed,
    SpaceAsk,
)
from core.types import Address, PeerName, subnet_of
from core.wire import encode
from crdt.digest import BUCKET_COUNT
from crdt.fact import Change, Origin
from crdt.stream import Stream
from sim.names import peer_name
from sim.sizes import message_size

LENGTH_SIZE = 4
HEADS = tuple((Origin(peer_name(index), 1), 70 * index) for index in range(20))
STREAM = Stream.empty(Origin(peer_name(3), 1)).append(
    [Change(f"ip/container-{index}/ffff0a200001", "ip.2", b"x" * 40) for index in range(30)]
)
LO = subnet_of("10.32.0.0/12").lo
MESSAGES: tuple[Message, ...] = (
    Hello(1, 1, PeerName(peer_name(0)), "host-7", 1 << 63, 1, 6783, 4),
    Heartbeat(),
    Have(HEADS),
    Need(HEADS),
    Deltas((STREAM.delta(0), STREAM.delta(12))),
    Digest(1 << 127),
    Buckets((1 << 60,) * BUCKET_COUNT, True),
    Routed(peer_name(0), peer_name(1), 9, SpaceAsk(LO, Address(LO + 256), False)),
)


def test_an_estimate_is_near_the_truth() -> None:
    for message in MESSAGES:
        size = len(encode(message)) + LENGTH_SIZE
        assert size * 0.8 - 60 <= message_size(message) <= size * 1.2 + 60, message
