"""Laws of the codec: what is said arrives, and bytes that are no message are refused in the one declared way."""

from __future__ import annotations

from dataclasses import replace

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st

from core import wire
from core.errors import PeerFault
from core.messages import (
    Buckets,
    Deltas,
    Digest,
    EspOffer,
    EspTaken,
    Have,
    Heartbeat,
    Hello,
    Message,
    NameTaken,
    Need,
    Routed,
    SpaceAsk,
    SpaceRefused,
)
from core.types import Address, PeerName
from crdt.fact import SEQ_MAX, Delta, Fact, Origin, StreamHead

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, SEQ_MAX)
PEERS = WORDS.map(PeerName)
ORIGINS = st.builds(Origin, WORDS, NUMBERS)
HEADS = st.lists(st.tuples(ORIGINS, NUMBERS), max_size=4).map(tuple)
ADDRESSES = st.integers(0, 1 << 128).map(Address)
FACTS = st.builds(Fact, st.integers(1, SEQ_MAX), WORDS, WORDS, st.none() | st.binary(max_size=20))
STREAM_HEADS = st.builds(StreamHead, NUMBERS, NUMBERS, st.integers(0, (1 << 128) - 1))
DELTAS = st.builds(Delta, ORIGINS, NUMBERS, STREAM_HEADS, st.lists(FACTS, max_size=4).map(tuple))
U64 = st.integers(0, (1 << 64) - 1)
BODIES = st.builds(SpaceAsk, ADDRESSES, ADDRESSES, st.booleans()) | st.builds(SpaceRefused, ADDRESSES, ADDRESSES, TEXTS)
HELLOS = st.builds(
    Hello,
    st.integers(0, 9),
    st.integers(0, 9),
    PEERS,
    TEXTS,
    U64,
    NUMBERS,
    st.integers(1, 65535),
    NUMBERS,
    TEXTS,
    st.booleans(),
    st.booleans(),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    HELLOS,
    st.just(Heartbeat()),
    st.builds(Heartbeat, NUMBERS, NUMBERS),
    st.builds(NameTaken, TEXTS),
    st.builds(Have, HEADS),
    st.builds(Need, HEADS),
    st.builds(Deltas, st.lists(DELTAS, max_size=3).map(tuple)),
    st.builds(Digest, st.integers(0, (1 << 128) - 1)),
    st.builds(Buckets, st.lists(U64, min_size=64, max_size=64).map(tuple), st.booleans()),
    st.builds(EspOffer, st.integers(0, wire.EPOCH_MAX), st.integers(wire.SPI_MIN, wire.SPI_MAX)),
    st.builds(EspTaken, st.integers(-1, wire.EPOCH_MAX)),
    st.builds(Routed, PEERS, PEERS, st.integers(0, 64), BODIES),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 300) | st.binary(max_size=17) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=30,
)


def assert_refused_or_sound(frame: bytes) -> None:
    try:
        message = wire.decode(frame)
    except PeerFault:
        return
    assert wire.decode(wire.encode(message)) == message


@given(MESSAGES)
@settings(max_examples=400, deadline=None)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert wire.decode(wire.encode(message)) == message


@given(DELTAS)
@settings(max_examples=200, deadline=None)
def test_a_delta_comes_back_from_the_journal(delta: Delta) -> None:
    assert wire.decode_delta(wire.encode_delta(delta)) == delta


@given(MESSAGES, st.data())
@settings(max_examples=600, deadline=None)
def test_flipped_bits_are_refused_or_read_as_another_message(message: Message, data: st.DataObject) -> None:
    frame = bytearray(wire.encode(message))
    for bit in data.draw(st.lists(st.integers(0, len(frame) * 8 - 1), min_size=1, max_size=4)):
        frame[bit // 8] ^= 1 << bit % 8
    assert_refused_or_sound(bytes(frame))


@given(MESSAGES, st.data())
@settings(max_examples=300, deadline=None)
def test_a_truncated_frame_is_refused(message: Message, data: st.DataObject) -> None:
    frame = wire.encode(message)
    cut = frame[: data.draw(st.integers(0, len(frame) - 1))]
    try:
        wire.decode(cut)
    except PeerFault:
        return
    raise AssertionError("a truncated frame was accepted")


@given(st.binary(max_size=200) | st.lists(VALUES, max_size=9).map(msgpack.packb))
@settings(max_examples=600, deadline=None)
def test_garbage_is_refused_in_the_declared_way(frame: bytes) -> None:
    assert_refused_or_sound(frame)


@given(st.integers(0, 7), st.lists(VALUES, max_size=9))
@settings(max_examples=600, deadline=None)
def test_values_of_the_wrong_type_are_refused(tag: int, values: list[object]) -> None:
    assert_refused_or_sound(msgpack.packb([tag, *values]))


@given(MESSAGES, st.lists(st.none() | st.integers(0, 9) | st.text(max_size=3), max_size=wire.EXTRAS_MAX))
@settings(max_examples=200, deadline=None)
def test_fields_of_newer_speakers_are_ignored(message: Message, extras: list[object]) -> None:
    values = msgpack.unpackb(wire.encode(message))
    assert wire.decode(msgpack.packb(values + extras)) == message


@given(HELLOS)
@settings(max_examples=50, deadline=None)
def test_a_greeting_of_an_older_speaker_is_read(message: Hello) -> None:
    older = msgpack.packb(msgpack.unpackb(wire.encode(message))[:9])
    assert wire.decode(older) == replace(message, transports="fastdp", trusts=False, esp=False)
