"""Messages and deltas as bytes: the only encoder and decoder of both the wire and the journal.

A frame is one MessagePack array: a tag, then the message's fields in order. Lists of pairs or facts are flattened, so
that a hostile frame cannot blow up into millions of small lists. Numbers of 128 bits travel as bytes. Newer speakers
may append up to `EXTRAS_MAX` plain values to a message or delta; we ignore them. Every number, text and count has a
limit; `decode` returns a message that `encode` accepts or raises `PeerFault`, on any bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgpack

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
from crdt.digest import BUCKET_COUNT
from crdt.fact import (
    FACT_BODY_SIZE_MAX,
    KEY_SIZE_MAX,
    KIND_SIZE_MAX,
    SEQ_MAX,
    STORE_ORIGINS_MAX,
    STREAM_FACTS_MAX,
    Delta,
    Fact,
    Origin,
    StreamHead,
)

FRAME_SIZE_MAX = 2 * 1024 * 1024
"""Bytes. A whole stream (1 MiB of content, 16,384 facts of some 20 bytes more) must fit into one frame."""
PEER_NAME_SIZE_MAX = 64
"""Bytes of UTF-8; a MAC address has 17."""
NICKNAME_SIZE_MAX = 256
"""Bytes of UTF-8; a host name has at most 253."""
RING_ID_SIZE_MAX = 64
"""Bytes; ours have 12."""
REASON_SIZE_MAX = 1024
"""Bytes of UTF-8; for people, so about a paragraph."""
TTL_MAX = 64
"""Relays a message may pass; no sensible network of hosts is wider."""
DELTAS_MAX = STORE_ORIGINS_MAX
"""Deltas in one message: one per origin at most."""
EXTRAS_MAX = 16
"""Values a newer speaker may append; more looks like an attack."""
LISTS_MAX = 2 * DELTAS_MAX + 8
"""Lists in one frame: two per delta and a few around them."""
TRANSPORTS_SIZE_MAX = 256
"""Bytes; two words so far."""
BEFORE_CHOICE = "fastdp"
"""Transports of who says nothing about them: an older version, that has no other."""
EPOCH_MAX = (1 << 32) - 1
"""Keys of a session are numbered in 4 bytes."""
SPI_MIN, SPI_MAX = 0x1000, (1 << 32) - 1
"""Smaller ones are reserved, or left to who configures by hand."""
PROTOCOL_VERSION_MAX = 1 << 16
U64_MAX = (1 << 64) - 1
ADDRESS_SIZE = 17
"""Bytes: a range may end at 2**128 itself."""
FINGERPRINT_SIZE = 16
BUCKET_SIZE = 8
PAIR = 3
"""Values per head: peer, incarnation, number."""
FACT = 4
"""Values per fact: number, key, kind, body."""


def encode(message: Message) -> bytes:
    """Return the frame of a message, at most `FRAME_SIZE_MAX` bytes."""
    tag, fields = _ENCODERS[type(message)]
    frame: bytes = msgpack.packb([tag, *fields(message)])
    assert len(frame) <= FRAME_SIZE_MAX
    return frame


def decode(frame: bytes) -> Message:
    """Read a frame.

    Raises: PeerFault, and nothing else, on any bytes.
    """
    fields = _Fields(_unpack(frame), "message")
    tag = fields.integer(0, 255)
    reader = _DECODERS.get(tag)
    if reader is None:
        raise PeerFault(f"message: unknown type {tag}")
    message = reader(fields)
    fields.end()
    return message


def encode_delta(delta: Delta) -> bytes:
    """Return a delta as bytes, for the journal."""
    packed: bytes = msgpack.packb(_pack_delta(delta))
    assert len(packed) <= FRAME_SIZE_MAX
    return packed


def decode_delta(packed: bytes) -> Delta:
    """Read what `encode_delta` wrote.

    Raises: PeerFault, and nothing else, on any bytes.
    """
    return _read_delta(_unpack(packed))


class _Fields:
    """Reads the values of one list in order and checks each."""

    def __init__(self, values: object, what: str) -> None:
        if not isinstance(values, list):
            raise PeerFault(f"{what}: not a list")
        self._values = values
        self._next = 0
        self._what = what

    def take(self) -> Any:  # whatever MessagePack can hold; every caller checks the type
        """Return the next value."""
        if self._next >= len(self._values):
            raise PeerFault(f"{self._what}: only {len(self._values)} fields")
        self._next += 1
        return self._values[self._next - 1]

    @property
    def has_more(self) -> bool:
        """Say whether anything is left."""
        return self._next < len(self._values)

    def integer(self, lo: int, hi: int) -> int:
        """Return an integer in `[lo, hi]`."""
        value = self.take()
        if type(value) is not int or not lo <= value <= hi:
            raise self._fault(f"not an integer from {lo} to {hi}")
        return value

    def boolean(self) -> bool:
        """Return a truth value."""
        value = self.take()
        if type(value) is not bool:
            raise self._fault("not a boolean")
        return value

    def text(self, size_max: int) -> str:
        """Return text of at most `size_max` bytes."""
        value = self.take()
        if type(value) is not str or len(value.encode()) > size_max:
            raise self._fault(f"not a text of at most {size_max} bytes")
        return value

    def word(self, size_max: int) -> str:
        """Return text that is not empty and has no zero character, as names, keys and kinds must be."""
        value = self.text(size_max)
        if not value or "\0" in value:
            raise self._fault("empty, or contains a zero character")
        return value

    def number(self, size: int) -> int:
        """Return an unsigned integer that travels as `size` bytes."""
        value = self.take()
        if type(value) is not bytes or len(value) != size:
            raise self._fault(f"not {size} bytes")
        return int.from_bytes(value, "big")

    def address(self) -> Address:
        """Return an address, or the end of a range."""
        value = self.number(ADDRESS_SIZE)
        if value > 1 << 128:
            raise self._fault("beyond 128 bits")
        return Address(value)

    def body(self) -> bytes | None:
        """Return the body of a fact."""
        value = self.take()
        if value is not None and (type(value) is not bytes or len(value) > FACT_BODY_SIZE_MAX):
            raise self._fault(f"not a body of at most {FACT_BODY_SIZE_MAX} bytes")
        return value

    def group(self, width: int, count_max: int) -> tuple[_Fields, int]:
        """Return a flattened list of groups of `width` values, and how many groups there are."""
        values = self.take()
        if not isinstance(values, list) or len(values) % width or len(values) // width > count_max:
            raise self._fault(f"not a list of at most {count_max} groups of {width}")
        return _Fields(values, f"{self._what}[{self._next - 1}]"), len(values) // width

    def end(self) -> None:
        """Check that what a newer speaker appended is little and plain."""
        extras = self._values[self._next :]
        if len(extras) > EXTRAS_MAX or any(isinstance(value, list) for value in extras):
            raise PeerFault(f"{self._what}: {len(extras)} unknown fields, at most {EXTRAS_MAX} plain ones are ignored")

    def _fault(self, rule: str) -> PeerFault:
        return PeerFault(f"{self._what}: field {self._next - 1} is {rule}")


def _unpack(frame: bytes) -> Any:  # checked by _Fields
    if len(frame) > FRAME_SIZE_MAX:
        raise PeerFault(f"frame of {len(frame)} bytes, {FRAME_SIZE_MAX} are the limit")
    lists = 0

    def count(values: list[Any]) -> list[Any]:
        nonlocal lists
        lists += 1
        if lists > LISTS_MAX:
            raise PeerFault(f"frame of more than {LISTS_MAX} lists")
        return values

    def refuse(*_: object) -> Any:
        raise PeerFault("frame holds a map or an extension")

    try:
        return msgpack.unpackb(
            frame,
            list_hook=count,
            object_hook=refuse,
            ext_hook=refuse,
            max_array_len=FACT * STREAM_FACTS_MAX,
            max_map_len=0,
            max_ext_len=0,
            max_str_len=max(KEY_SIZE_MAX, REASON_SIZE_MAX),
            max_bin_len=FACT_BODY_SIZE_MAX,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise PeerFault(f"frame of {len(frame)} bytes is no MessagePack within limits: {error}"[:300]) from None


def _pack_hello(hello: Hello) -> list[object]:
    return [
        hello.protocol_min,
        hello.protocol_max,
        hello.peer,
        hello.nickname,
        hello.uid,
        hello.incarnation,
        hello.port,
        hello.dial,
        hello.transports,
        hello.trusts,
        hello.esp,
    ]


def _read_hello(fields: _Fields) -> Hello:
    return Hello(
        protocol_min=fields.integer(0, PROTOCOL_VERSION_MAX),
        protocol_max=fields.integer(0, PROTOCOL_VERSION_MAX),
        peer=PeerName(fields.word(PEER_NAME_SIZE_MAX)),
        nickname=fields.text(NICKNAME_SIZE_MAX),
        uid=fields.integer(0, U64_MAX),
        incarnation=fields.integer(0, SEQ_MAX),
        port=fields.integer(1, 65535),
        dial=fields.integer(0, SEQ_MAX),
        # Older speakers end here.
        transports=fields.text(TRANSPORTS_SIZE_MAX) if fields.has_more else BEFORE_CHOICE,
        trusts=fields.boolean() if fields.has_more else False,
        esp=fields.boolean() if fields.has_more else False,
    )


def _read_heartbeat(fields: _Fields) -> Heartbeat:
    # Of an older speaker there is nothing in it.
    return Heartbeat(fields.integer(0, SEQ_MAX), fields.integer(0, SEQ_MAX)) if fields.has_more else Heartbeat()


def _pack_heads(heads: Iterable[tuple[Origin, int]]) -> list[object]:
    flat: list[object] = []
    for origin, seq in heads:
        flat += (origin.peer, origin.incarnation, seq)
    return [flat]


def _read_heads(fields: _Fields) -> tuple[tuple[Origin, int], ...]:
    flat, count = fields.group(PAIR, STORE_ORIGINS_MAX)
    return tuple((_read_origin(flat), flat.integer(0, SEQ_MAX)) for _ in range(count))


def _read_origin(fields: _Fields) -> Origin:
    return Origin(fields.word(PEER_NAME_SIZE_MAX), fields.integer(0, SEQ_MAX))


def _pack_delta(delta: Delta) -> list[object]:
    facts: list[object] = []
    for fact in delta.facts:
        facts += (fact.seq, fact.key, fact.kind, fact.body)
    head = delta.head
    fingerprint = head.fingerprint.to_bytes(FINGERPRINT_SIZE, "big")
    return [delta.origin.peer, delta.origin.incarnation, delta.since, head.seq, head.floor, fingerprint, facts]


def _read_delta(values: object) -> Delta:
    fields = _Fields(values, "delta")
    origin = _read_origin(fields)
    since = fields.integer(0, SEQ_MAX)
    head = StreamHead(fields.integer(0, SEQ_MAX), fields.integer(0, SEQ_MAX), fields.number(FINGERPRINT_SIZE))
    flat, count = fields.group(FACT, STREAM_FACTS_MAX)
    facts = tuple(
        Fact(flat.integer(1, SEQ_MAX), flat.word(KEY_SIZE_MAX), flat.word(KIND_SIZE_MAX), flat.body())
        for _ in range(count)
    )
    fields.end()
    return Delta(origin, since, head, facts)


def _read_deltas(fields: _Fields) -> Deltas:
    group, count = fields.group(1, DELTAS_MAX)
    return Deltas(tuple(_read_delta(group.take()) for _ in range(count)))


def _pack_buckets(message: Buckets) -> list[object]:
    return [b"".join(value.to_bytes(BUCKET_SIZE, "big") for value in message.buckets), message.answer_wanted]


def _read_buckets(fields: _Fields) -> Buckets:
    packed = fields.number(BUCKET_COUNT * BUCKET_SIZE).to_bytes(BUCKET_COUNT * BUCKET_SIZE, "big")
    parts = (packed[at : at + BUCKET_SIZE] for at in range(0, len(packed), BUCKET_SIZE))
    return Buckets(tuple(int.from_bytes(part, "big") for part in parts), fields.boolean())


def _pack_routed(message: Routed) -> list[object]:
    body = message.body
    asked = (body.lo.to_bytes(ADDRESS_SIZE, "big"), body.hi.to_bytes(ADDRESS_SIZE, "big"))
    said = [0, *asked, body.exact, body.ring] if isinstance(body, SpaceAsk) else [1, *asked, body.why]
    return [message.source, message.destination, message.ttl, said]


def _read_routed(fields: _Fields) -> Routed:
    source, destination = (PeerName(fields.word(PEER_NAME_SIZE_MAX)) for _ in range(2))
    ttl = fields.integer(0, TTL_MAX)
    said = _Fields(fields.take(), "routed body")
    is_refusal = said.integer(0, 1) == 1
    lo, hi = said.address(), said.address()
    body: SpaceAsk | SpaceRefused
    if is_refusal:
        body = SpaceRefused(lo, hi, said.text(REASON_SIZE_MAX))
    else:
        body = SpaceAsk(lo, hi, said.boolean(), said.text(RING_ID_SIZE_MAX))
    said.end()
    return Routed(source, destination, ttl, body)


_ENCODERS: dict[type[Message], tuple[int, Callable[[Any], list[object]]]] = {
    Hello: (0, _pack_hello),
    Heartbeat: (1, lambda message: [message.asks, message.answers]),
    Have: (2, lambda message: _pack_heads(message.heads)),
    Need: (3, lambda message: _pack_heads(message.known)),
    Deltas: (4, lambda message: [[_pack_delta(delta) for delta in message.deltas]]),
    Digest: (5, lambda message: [message.root.to_bytes(FINGERPRINT_SIZE, "big")]),
    Buckets: (6, _pack_buckets),
    Routed: (7, _pack_routed),
    EspOffer: (8, lambda message: [message.epoch, message.spi]),
    EspTaken: (9, lambda message: [message.epoch]),
    NameTaken: (10, lambda message: [message.why]),
}
_DECODERS: dict[int, Callable[[_Fields], Message]] = {
    0: _read_hello,
    1: _read_heartbeat,
    2: lambda fields: Have(_read_heads(fields)),
    3: lambda fields: Need(_read_heads(fields)),
    4: _read_deltas,
    5: lambda fields: Digest(fields.number(FINGERPRINT_SIZE)),
    6: _read_buckets,
    7: _read_routed,
    8: lambda fields: EspOffer(fields.integer(0, EPOCH_MAX), fields.integer(SPI_MIN, SPI_MAX)),
    9: lambda fields: EspTaken(fields.integer(-1, EPOCH_MAX)),
    10: lambda fields: NameTaken(fields.text(REASON_SIZE_MAX)),
}
