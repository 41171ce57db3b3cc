"""Laws of recordings: whatever may be told to a replica comes back as it was, and damage is found and named."""

from __future__ import annotations

import enum
import types
import typing
import zlib
from dataclasses import is_dataclass
from itertools import accumulate
from typing import Any, NewType

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wire_laws import DELTAS, MESSAGES, VALUES

from core import events
from core.config import Config
from core.effects import Effect, Note
from core.ipam.universe import Universe, universe_of
from core.messages import Message
from core.plain import PlainError, codec_of
from core.records import (
    MAGIC,
    Begun,
    Decided,
    Ended,
    Entry,
    Failed,
    Found,
    Record,
    Recording,
    RecordingError,
    Told,
    decisions_of,
    encode,
)
from core.types import PeerName
from crdt.fact import Delta, Origin

INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-(1 << 130), 1 << 130)
# File names that are no UTF-8 come from the operating system with surrogates in them.
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=8)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: INTEGERS,
    str: TEXTS,
    bytes: st.binary(max_size=9),
    types.NoneType: st.none(),
    Message: MESSAGES,
    Delta: DELTAS,
    # Not any subnets: it refuses what is no range.
    Universe: st.sampled_from(["10.32.0.0/12", "fd00:10:32::/64", "10.0.0.0/8,fd00::/8"]).map(universe_of),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of an annotation: what the codec must know, told apart a second time."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    if isinstance(kind, NewType):
        return values_of(kind.__supertype__)
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and parts[-1] is Ellipsis:
        return st.lists(values_of(parts[0]), max_size=3).map(tuple)
    if typing.get_origin(kind) is tuple:
        return st.tuples(*map(values_of, parts))
    if parts:
        return st.one_of(*map(values_of, parts))
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    assert is_dataclass(kind) or issubclass(kind, tuple), kind
    return st.builds(kind, **{name: values_of(hint) for name, hint in typing.get_type_hints(kind).items()})


EVENTS = typing.get_args(events.Event)
COMMANDS = typing.get_args(events.Command)
EFFECTS = typing.get_args(Effect)
STEPS = st.lists(st.tuples(values_of(Told), values_of(Decided)), min_size=1, max_size=4)
STREAMS = st.lists(DELTAS, max_size=2).map(tuple)


def name_of(kind: type) -> str:
    return kind.__name__


def head_of(streams: tuple[Delta, ...] = ()) -> bytes:
    begun = Begun(Config(PeerName("p"), "n"), Origin("p", 1), len(streams), 1 << 127, "3")
    return b"".join((MAGIC, encode(begun), *(encode(Found(stream)) for stream in streams)))


def body_of(steps: list[tuple[Told, Decided]]) -> bytes:
    return b"".join(encode(record) for step in steps for record in step)


def framed(body: bytes) -> bytes:
    """Return a record of any content with the right length and checksum."""
    return len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def read(data: bytes) -> tuple[list[Entry], Recording | None, str]:
    """Return the entries up to the end or an error, and that error. Any other exception fails the test."""
    entries: list[Entry] = []
    recording = None
    try:
        recording = Recording(data)
        entries.extend(recording.entries())
    except RecordingError as error:
        return entries, recording, str(error)
    return entries, recording, ""


def pairs(entries: list[Entry]) -> list[tuple[Told, object]]:
    return [(entry.told, entry.decided) for entry in entries]


def test_no_event_can_be_forgotten() -> None:
    defined = [kind for kind in vars(events).values() if is_dataclass(kind) and kind.__module__ == events.__name__]
    assert set(defined) == {*EVENTS, *COMMANDS}, "a class that is in neither union is never recorded"


@pytest.mark.parametrize("kind", EVENTS, ids=name_of)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_an_event_comes_back_as_it_was(kind: Any, data: st.DataObject) -> None:
    told = data.draw(st.builds(Told, event=values_of(kind)))
    entries, _, error = read(head_of() + encode(told))
    assert (entries, error) == ([Entry(2, told, None)], "")
    assert type(entries[0].told.event) is kind


@pytest.mark.parametrize("kind", EFFECTS, ids=name_of)
@given(st.data())
@settings(max_examples=30, deadline=None)
def test_effects_are_told_apart(kind: Any, data: st.DataObject) -> None:
    one, other = data.draw(values_of(kind)), data.draw(values_of(kind))
    (effect, *more) = decisions_of([one]).decisions or (None,)
    assert not more
    assert effect is None if kind is Note else effect is not None
    if kind is not Note:
        assert (decisions_of([one]) == decisions_of([other])) == (one == other)
        assert decisions_of([one, other]) == Decided((effect, *decisions_of([other]).decisions))


@given(values_of(Config), STREAMS, st.integers(0, (1 << 128) - 1), STEPS, st.none() | values_of(Ended | Failed))
@settings(max_examples=100, deadline=None)
def test_a_recording_comes_back_as_it_was(
    config: Config, streams: tuple[Delta, ...], entropy: int, steps: list[tuple[Told, Decided]], end: Record | None
) -> None:
    begun = Begun(config, Origin("p", 7), len(streams), entropy, "3.11")
    head = b"".join((MAGIC, encode(begun), *(encode(Found(stream)) for stream in streams)))
    told = encode(steps[0][0]) if isinstance(end, Failed) else b""
    entries, recording, error = read(head + body_of(steps) + told + (b"" if end is None else encode(end)))
    assert error == ""
    assert recording is not None
    assert recording.begun == begun
    assert recording.recovered.streams == streams
    assert pairs(entries) == [*steps, *([(steps[0][0], end)] if told else [])]
    assert recording.torn_size == 0
    if isinstance(end, Failed):
        assert recording.ended == f"the replica failed: {end.error}"
    else:
        assert recording.ended == (None if end is None else end.why)


@given(STREAMS, STEPS, st.data())
@settings(max_examples=150, deadline=None)
def test_a_recording_may_be_cut_anywhere(
    streams: tuple[Delta, ...], steps: list[tuple[Told, Decided]], data: st.DataObject
) -> None:
    head, body = head_of(streams), body_of(steps)
    cut = data.draw(st.integers(0, len(head) - 1) | st.integers(len(head), len(head) + len(body)))
    entries, recording, error = read((head + body)[:cut])
    if cut < len(head):
        assert (entries, recording) == ([], None)
        assert error != "", "without its beginning it cannot be replayed"
        return
    assert error == ""
    assert recording is not None
    ends = list(accumulate((len(encode(record)) for step in steps for record in step), initial=len(head)))
    count = sum(end <= cut for end in ends) - 1
    whole = steps[: count // 2]
    half = [(steps[len(whole)][0], None)] if count % 2 else []
    assert pairs(entries) == [*whole, *half]
    assert recording.torn_size == cut - ends[count]


@given(STEPS, st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_found(steps: list[tuple[Told, Decided]], data: st.DataObject) -> None:
    head, body = head_of(), bytearray(body_of(steps))
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    entries, recording, error = read(head + bytes(body))
    assert recording is not None
    assert error.startswith("record ") or recording.torn_size, "damaged, or longer than what is there"
    whole = [entry for entry in entries if entry.decided is not None]
    assert pairs(whole) == steps[: len(whole)]
    assert len(whole) < len(steps)


@given(st.binary(max_size=80) | (VALUES | st.dictionaries(TEXTS, VALUES)).map(pack))
@settings(max_examples=300, deadline=None)
def test_garbage_is_refused_in_the_declared_way(body: bytes) -> None:
    for data in (body, MAGIC + body, MAGIC + framed(body), head_of() + framed(body)):
        _, recording, error = read(data)
        assert error or (recording is not None and recording.torn_size == 0)


@pytest.mark.parametrize("kind", EVENTS, ids=name_of)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_values_of_the_wrong_type_are_refused(kind: Any, data: st.DataObject) -> None:
    codec = codec_of(kind)
    plain = codec.plain(data.draw(values_of(kind)))
    assert isinstance(plain, dict)
    if plain:
        plain[data.draw(st.sampled_from(sorted(plain)))] = data.draw(VALUES)
    else:
        plain["more"] = None
    try:
        event = codec.typed(plain)
    except PlainError:
        return
    assert codec.typed(codec.plain(event)) == event, "what is accepted is an event"
