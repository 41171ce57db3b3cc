"""What a byte stream is cut into, and where it is cut off."""

from __future__ import annotations

import random
import struct

import pytest

from adapters.mesh.framing import LENGTH_SIZE, FrameReader, PlainChannel, packed
from core.errors import PeerFault
from core.messages import Deltas, Have, Heartbeat, Message
from core.wire import FRAME_SIZE_MAX, encode
from crdt.fact import FACT_BODY_SIZE_MAX, STREAM_SIZE_MAX, Change, Origin
from crdt.store import Store

MESSAGES: tuple[Message, ...] = (
    Heartbeat(),
    Have(tuple((Origin(f"peer-{index}", 1), index) for index in range(200))),
    Heartbeat(),
)
STREAM = b"".join(packed(encode(message)) for message in MESSAGES)


class Reversing:
    """A channel that changes every byte's place, and wants a mark at the end."""

    overhead = 1

    def seal(self, frame: bytes) -> bytes:
        return frame[::-1] + b"!"

    def open(self, sealed: bytes) -> bytes:
        if not sealed.endswith(b"!"):
            raise PeerFault("no mark")
        return sealed[:-1][::-1]


@pytest.mark.parametrize("seed", range(20))
def test_messages_come_out_whole_however_the_stream_is_torn(seed: int) -> None:
    entropy = random.Random(seed)
    frames = FrameReader(PlainChannel())
    read: list[Message] = []
    at = 0
    while at < len(STREAM):
        size = entropy.choice((1, 2, 3, 7, 100, 5_000))
        read += frames.feed(STREAM[at : at + size])
        at += size
    assert tuple(read) == MESSAGES


def test_nothing_is_held_back_when_a_frame_ends_with_the_data() -> None:
    frames = FrameReader(PlainChannel())
    assert list(frames.feed(packed(encode(Heartbeat())))) == [Heartbeat()]


def test_the_largest_stream_passes_in_one_frame() -> None:
    store = Store()
    me = Origin("peer", 1)
    body = bytes(FACT_BODY_SIZE_MAX)
    count = STREAM_SIZE_MAX // (FACT_BODY_SIZE_MAX + 16)
    delta = store.write(me, [Change(f"key-{index}", "kind.1", body) for index in range(count)])
    frame = encode(Deltas((delta,)))
    assert list(FrameReader(PlainChannel()).feed(packed(frame))) == [Deltas((delta,))]


@pytest.mark.parametrize("size", [0, FRAME_SIZE_MAX + 1, (1 << 32) - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_of_the_frame_is_kept(size: int) -> None:
    frames = FrameReader(PlainChannel())
    with pytest.raises(PeerFault, match=f"a frame of {size} bytes; 1 to {FRAME_SIZE_MAX} are allowed"):
        list(frames.feed(struct.pack(">I", size)))


def test_a_length_at_the_bound_is_waited_for() -> None:
    frames = FrameReader(PlainChannel())
    assert list(frames.feed(struct.pack(">I", FRAME_SIZE_MAX))) == []
    assert list(frames.feed(bytes(FRAME_SIZE_MAX - 1))) == []
    with pytest.raises(PeerFault):
        list(frames.feed(b"\0"))


def test_messages_before_a_broken_frame_are_delivered() -> None:
    feeding = FrameReader(PlainChannel()).feed(packed(encode(Heartbeat())) + packed(b"\xc1"))
    assert next(feeding) == Heartbeat()
    with pytest.raises(PeerFault, match="MessagePack"):
        next(feeding)


def test_a_truncated_stream_yields_nothing_more() -> None:
    for size in range(LENGTH_SIZE + len(encode(Heartbeat()))):
        assert list(FrameReader(PlainChannel()).feed(packed(encode(Heartbeat()))[:size])) == []


def test_every_frame_passes_the_channel() -> None:
    channel = Reversing()
    stream = b"".join(packed(channel.seal(encode(message))) for message in MESSAGES)
    assert tuple(FrameReader(channel).feed(stream)) == MESSAGES
    with pytest.raises(PeerFault, match="no mark"):
        list(FrameReader(channel).feed(packed(encode(Heartbeat()))))
