"""A recording is read as far as it is whole; what is wrong with it is named by record and field."""

from __future__ import annotations

import zlib

import msgpack
import pytest

from core.config import Config
from core.effects import DumpKernel, Hangup, Note
from core.events import KernelChanged, LinkDown, Started
from core.records import (
    MAGIC,
    RECORD_SIZE_MAX,
    Begun,
    Decided,
    Ended,
    Failed,
    Found,
    Record,
    Recording,
    RecordingError,
    Told,
    decisions_of,
    encode,
)
from core.types import Instant, LinkId, PeerName
from crdt.fact import Change, Origin
from crdt.stream import Stream

ME = Origin("02:00:00:00:00:01", 1)
STREAM = Stream.empty(ME).append([Change("k", "k", b"1")]).delta(0)
TOLD = Told(Instant(1, 2), Started())
NOTHING = Decided(())


def begun(streams: int = 0) -> Begun:
    return Begun(Config(PeerName(ME.peer), "n"), ME, streams, 7, "3.11")


def file_of(*records: Record) -> bytes:
    return MAGIC + b"".join(map(encode, records))


def fault_of(data: bytes) -> str:
    with pytest.raises(RecordingError) as error:
        tuple(Recording(data).entries())
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no recording of weave"),
        (b'{"format": 1}', "no recording of weave"),
        (b"weave recording 2\n", "a recording of another format than 1"),
        (MAGIC, "record 1: it should say what the agent began with"),
        (file_of(TOLD), "record 1: it should say what the agent began with"),
        (file_of(begun(2), Found(STREAM), TOLD), "record 3: only 1 of 2 streams"),
        (file_of(begun(2), Found(STREAM)), "record 3: only 1 of 2 streams"),
        (file_of(begun(-1)), "record 1: Begun.stream_count"),
        (file_of(begun(1 << 40)), "record 1: Begun.stream_count"),
        (file_of(begun(), begun()), "record 2: Begun does not belong here"),
        (file_of(begun(), NOTHING), "record 2: Decided does not belong here"),
        (file_of(begun(), TOLD, TOLD), "record 3: Told does not belong here"),
        (file_of(begun(), Failed("x")), "record 2: Failed does not belong here"),
        (file_of(begun(), TOLD, Failed("x"), Ended("y")), "record 4: Ended follows the end"),
        (file_of(begun(), TOLD, Ended("y"), NOTHING), "record 4: Decided follows the end"),
        (file_of(begun()) + (RECORD_SIZE_MAX + 1).to_bytes(4, "big") + bytes(9), "record 2: of 16777217 bytes"),
        (file_of(begun()) + bytes(8) + b"x", "record 2: no MessagePack"),
    ],
)
def test_what_is_no_recording_is_named(data: bytes, message: str) -> None:
    assert fault_of(data).startswith(message)


def test_a_damaged_record_is_found_after_all_before_it() -> None:
    good = file_of(begun(), TOLD, NOTHING)
    record = bytearray(encode(Told(Instant(3, 4), LinkDown(LinkId(1), "EOF"))))
    record[-1] ^= 1
    recording = Recording(good + bytes(record))
    entries = recording.entries()
    assert next(entries).told == TOLD
    with pytest.raises(RecordingError, match="record 4: damaged"):
        next(entries)


def test_a_wrong_field_is_named_with_its_record() -> None:
    plain = ["Told", {"at": {"mono_ms": 1, "wall_ms": 2}, "event": ["LinkDown", {"link": "one", "reason": ""}]}]
    body = msgpack.packb(plain)
    data = file_of(begun()) + len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body
    assert fault_of(data) == "record 2: Told.event.LinkDown.link: no int"


def test_an_event_without_its_decisions_is_the_last() -> None:
    recording = Recording(file_of(begun(1), Found(STREAM), TOLD, NOTHING, TOLD) + b"\0\0")
    assert recording.recovered.streams == (STREAM,)
    first, last = recording.entries()
    assert (first.number, first.decided) == (3, NOTHING)
    assert (last.number, last.decided) == (5, None)
    assert recording.torn_size == 2
    assert recording.ended is None


def test_texts_of_the_operating_system_need_not_be_text() -> None:
    told = Told(Instant(1, 2), LinkDown(LinkId(1), "no such file: \udcff"))
    (entry,) = Recording(file_of(begun(), told)).entries()
    assert entry.told == told
    assert decisions_of([Hangup(LinkId(1), "\udcff")]) != decisions_of([Hangup(LinkId(1), "\udcfe")])


def test_words_for_the_log_are_no_decisions() -> None:
    assert decisions_of([DumpKernel(), Note("INFO", "x")]) == decisions_of([Note("WARN", "y"), DumpKernel()])
    assert decisions_of([Note("INFO", "x")]) == NOTHING


def test_an_event_takes_few_bytes() -> None:
    assert len(encode(Told(Instant(1 << 40, 1 << 41), KernelChanged()))) < 80
