"""Records: all that one Replica was told, as bytes, and enough of what it decided to see whether it would again.

A recording is `MAGIC`, then records: `Begun`, one `Found` per stream that the journal held, then `Told` and `Decided`
in turn, at last `Failed` or `Ended` if there was time for it. A record is four bytes of length, four of checksum, then
MessagePack. The agent writes `Told` before it decides, so that what kills it is there, too. It may die at any byte: an
unfinished record at the end belongs to a good recording. Whatever else is not as described raises `RecordingError`.

Decisions are kept as one small digest each: whole ones would double the file, and can be had by replaying. Notes are
left out: they are words for people, which may change between versions while everything that is done stays the same.

Ideas: rr's and VOPR's replays; the inputs are complete because nothing else enters a Replica (design §5).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgpack

from core.config import Config, Recovered
from core.effects import Effect, Note
from core.events import Event
from core.plain import PlainError, codec_of
from core.types import Instant
from crdt.fact import STORE_ORIGINS_MAX, Delta, Origin

PREFIX = b"weave recording "
MAGIC = PREFIX + b"1\n"
"""Begins every file; the number is that of the format."""
RECORD_SIZE_MAX = 16 * 1024 * 1024
"""Bytes. The largest message has 2 MiB; a dump of the kernel on a host with 4,095 peers has fewer than this."""
HEADER_SIZE = 8
"""Bytes of length and checksum."""
DIGEST_SIZE = 4
"""Bytes. That a changed effect goes unseen has a chance of one in four billion, and its consequences would be seen."""


class RecordingError(Exception):
    """The bytes are no recording; the text names the record, counted from 1, its field, and the rule."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a Replica was made from, but for the streams, which follow."""

    config: Config
    """Its settings, with the software version."""
    origin: Origin
    """Its own stream."""
    stream_count: int
    """How many `Found` follow."""
    entropy: int
    """Seed of its `random.Random`."""
    python: str
    """Version of Python, whose `random` draws the numbers."""


@dataclass(frozen=True, slots=True)
class Found:
    """A stream that the journal held."""

    stream: Delta
    """Whole."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event went in."""

    at: Instant
    """When."""
    event: Event
    """What."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One effect, in short."""

    effect: str
    """Its type."""
    digest: bytes
    """Of all its fields, `DIGEST_SIZE` bytes."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Effects came out of the event before."""

    decisions: tuple[Decision, ...]
    """In order, without notes."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing came out of the event before: a bug, and the end."""

    error: str
    """The exception."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing follows."""

    why: str
    """For people."""


Record = Begun | Found | Told | Decided | Failed | Ended


@dataclass(frozen=True, slots=True)
class Entry:
    """One event and what was decided."""

    number: int
    """Of the event's record, counted from 1."""
    told: Told
    """The event."""
    decided: Decided | Failed | None
    """What came of it; None when the recording ends before."""


_RECORD = codec_of(Record)
_EFFECT = codec_of(Effect)


def encode(record: Record) -> bytes:
    """Return a record with length and checksum; one of more than `RECORD_SIZE_MAX` bytes is not for writing."""
    # Texts that the operating system gave us may hold bytes that are no characters.
    body: bytes = msgpack.packb(_RECORD.plain(record), unicode_errors="surrogatepass")
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def decisions_of(effects: Sequence[Effect]) -> Decided:
    """Return effects in short."""
    return Decided(tuple(_decision(effect) for effect in effects if not isinstance(effect, Note)))


class Recording:
    """Reads a recording from its bytes."""

    def __init__(self, data: bytes) -> None:
        """Read what comes before the first event. Raises: RecordingError."""
        self.torn_size = 0
        """Bytes of an unfinished record at the end; known when all entries have been read."""
        self.ended: str | None = None
        """Why it ends, as the agent said; known when all entries have been read, None when it could not say."""
        if not data.startswith(MAGIC):
            rule = "a recording of another format than 1" if data.startswith(PREFIX) else "no recording of weave"
            raise RecordingError(f"{rule}: it begins with {data[: len(MAGIC)]!r}")
        self._records = self._read(data)
        _, begun = next(self._records, (0, None))
        if not isinstance(begun, Begun):
            raise RecordingError("record 1: it should say what the agent began with, and does not")
        self.begun = begun
        """What the Replica was made from."""
        self.recovered = Recovered(begun.origin, tuple(self._found(begun.stream_count)))
        """What the journal held."""

    def entries(self) -> Iterator[Entry]:
        """Yield events with what was decided; once. Raises: RecordingError, after all that is whole before."""
        waiting: tuple[int, Told] | None = None
        for number, record in self._records:
            if self.ended is not None:
                raise RecordingError(f"record {number}: {type(record).__name__} follows the end")
            match record:
                case Told() if waiting is None:
                    waiting = number, record
                case Decided() | Failed() if waiting is not None:
                    if isinstance(record, Failed):
                        self.ended = f"the replica failed: {record.error}"
                    yield Entry(*waiting, record)
                    waiting = None
                case Ended():
                    self.ended = record.why
                case _:
                    raise RecordingError(f"record {number}: {type(record).__name__} does not belong here")
        if waiting is not None:
            yield Entry(*waiting, None)

    def _found(self, count: int) -> Iterator[Delta]:
        if not 0 <= count <= STORE_ORIGINS_MAX:
            raise RecordingError(f"record 1: Begun.stream_count: not from 0 to {STORE_ORIGINS_MAX}")
        for index in range(count):
            number, record = next(self._records, (index + 2, None))
            if not isinstance(record, Found):
                raise RecordingError(
                    f"record {number}: only {index} of {count} streams are there that the journal held; "
                    "without them nothing can be replayed"
                )
            yield record.stream

    def _read(self, data: bytes) -> Iterator[tuple[int, Record]]:
        """Yield records with their numbers."""
        number, at = 0, len(MAGIC)
        while at < len(data):
            number += 1
            size = int.from_bytes(data[at : at + 4], "big")
            body = data[at + HEADER_SIZE : at + HEADER_SIZE + size]
            if size > RECORD_SIZE_MAX and at + HEADER_SIZE <= len(data):
                raise RecordingError(f"record {number}: of {size} bytes, {RECORD_SIZE_MAX} are the limit")
            if at + HEADER_SIZE + size > len(data):
                self.torn_size = len(data) - at
                return
            if zlib.crc32(body) != int.from_bytes(data[at + 4 : at + HEADER_SIZE], "big"):
                raise RecordingError(f"record {number}: damaged, its checksum is another")
            yield number, _decode(number, body)
            at += HEADER_SIZE + size


def _decode(number: int, body: bytes) -> Record:
    try:
        record: Record = _RECORD.typed(msgpack.unpackb(body, unicode_errors="surrogatepass"))
    except PlainError as error:
        raise RecordingError(f"record {number}: {error}") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise RecordingError(f"record {number}: no MessagePack: {error}"[:300]) from None
    return record


def _decision(effect: Effect) -> Decision:
    body: bytes = msgpack.packb(_EFFECT.plain(effect), unicode_errors="surrogatepass")
    return Decision(type(effect).__name__, blake2b(body, digest_size=DIGEST_SIZE).digest())
