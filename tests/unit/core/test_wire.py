"""Limits of the codec, one by one."""

from __future__ import annotations

import msgpack
import pytest

from core import wire
from core.errors import PeerFault
from core.messages import Deltas, Digest, Have, Heartbeat
from crdt.fact import STREAM_SIZE_MAX, Change, Origin
from crdt.store import Store


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (b"", "no MessagePack"),
        (b"\x00" * (wire.FRAME_SIZE_MAX + 1), "limit"),
        (msgpack.packb(7), "not a list"),
        (msgpack.packb({}), "map"),
        (msgpack.packb([1, msgpack.ExtType(4, b"")]), "map or an extension"),
        (msgpack.packb([99]), "unknown type 99"),
        (msgpack.packb([True]), "not an integer"),
        (msgpack.packb([5, b"\x00" * 15]), "not 16 bytes"),
        (msgpack.packb([5]), "only 1 fields"),
        (msgpack.packb([2, ["a", 1]]), "groups of 3"),
        (msgpack.packb([2, ["a", 1, -1]]), "not an integer from 0"),
        (msgpack.packb([2, ["", 1, 1]]), "empty"),
        (msgpack.packb([2, ["a" * 65, 1, 1]]), "at most 64 bytes"),
        (msgpack.packb([2, ["a", 1, 1] * 4097]), "at most 4096"),
        (msgpack.packb([1, *[0] * 19]), "unknown fields"),
        (msgpack.packb([1, 0, 0, [0]]), "unknown fields"),
        (b"\x91" * 100_000, "no MessagePack"),
        (b"\x92\x01\xdd\x00\x01\x00\x00" + b"\x90" * 65_536, "lists"),
        (msgpack.packb([1]) + b"\x00", "no MessagePack"),
        (b"\x92\x01\xa1\xff", "no MessagePack"),
    ],
)
def test_a_broken_frame_is_refused_with_its_rule(frame: bytes, rule: str) -> None:
    with pytest.raises(PeerFault, match=rule):
        wire.decode(frame)


def test_the_largest_stream_fits_into_one_frame() -> None:
    origin, store, sender = Origin("p", 1), Store(), Store()
    facts, kind = 16_384, "k"
    key_size = STREAM_SIZE_MAX // facts - len(kind)
    sender.write(origin, [Change("é" * ((key_size - 6) // 2) + f"{i:06}", kind, b"") for i in range(facts)])
    frame = wire.encode(Deltas((sender.delta_for(origin, 0),)))
    message = wire.decode(frame)
    assert isinstance(message, Deltas)
    store.join(message.deltas[0])
    assert store == sender


def test_a_journal_entry_is_read_with_the_same_care() -> None:
    with pytest.raises(PeerFault, match="delta: not a list"):
        wire.decode_delta(msgpack.packb("x"))


def test_small_messages_are_small() -> None:
    assert len(wire.encode(Heartbeat())) == 4
    assert len(wire.encode(Digest(1))) == 20
    assert len(wire.encode(Have(((Origin("7e:21:4a:70:2f:45", 1), 77),)))) <= 24
