"""Typed values as plain ones: what is strict, what may change between versions, and what is never written."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple

import pytest

from core.config import Config
from core.events import Commanded, LinkUp, OpsDone, Received
from core.ipam.universe import universe_of
from core.plain import SECRET, PlainError, codec_of
from core.types import Instant, PeerName


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Older:
    name: str


@dataclass(frozen=True, slots=True)
class Newer:
    name: str
    colour: Colour | None = Colour.RED
    places: tuple[tuple[str, int], ...] = ()


class Pair(NamedTuple):
    one: int
    other: str = "o"


@dataclass(frozen=True, slots=True)
class Guarded:
    name: str
    password: str = field(default="", metadata={SECRET: True})


@dataclass(frozen=True, slots=True)
class Careless:
    password: str = field(metadata={SECRET: True})


@dataclass(frozen=True, slots=True)
class Vague:
    anything: object


@dataclass(frozen=True, slots=True)
class Either:
    value: int | str


def test_a_field_that_an_older_version_did_not_know_has_its_default() -> None:
    plain = codec_of(Older).plain(Older("n"))
    assert codec_of(Newer).typed(plain) == Newer("n", Colour.RED, ())


def test_a_field_of_a_newer_version_is_named() -> None:
    plain = codec_of(Newer).plain(Newer("n", None, (("x", 1 << 127),)))
    assert codec_of(Newer).typed(plain) == Newer("n", None, (("x", 1 << 127),))
    with pytest.raises(PlainError, match="has the unknown field 'colour'"):
        codec_of(Older).typed(plain)


def test_named_tuples_are_like_dataclasses() -> None:
    plain = codec_of(Pair).plain(Pair(1, "x"))
    assert plain == {"one": 1, "other": "x"}
    assert codec_of(Pair | Older).typed(["Pair", {"one": 1}]) == Pair(1, "o")
    with pytest.raises(PlainError, match="lacks the field 'one'"):
        codec_of(Pair).typed({})


def test_secrets_are_not_written_and_read_as_their_default() -> None:
    plain = codec_of(Guarded).plain(Guarded("n", "hunter2"))
    assert plain == {"name": "n"}
    assert codec_of(Guarded).typed(plain) == Guarded("n", "")
    with pytest.raises(PlainError, match="password"):
        codec_of(Guarded).typed({"name": "n", "password": "hunter2"})


def test_no_setting_that_sounds_secret_is_written() -> None:
    sounding = [
        item
        for item in fields(Config)
        if any(word in item.name for word in ("password", "secret", "key")) and str(item.type) != "bool"
    ]
    assert all(item.metadata.get(SECRET) for item in sounding)


@pytest.mark.parametrize("kind", [Careless, Vague, Either, list[int], float])
def test_what_has_no_plain_form_is_refused_when_the_codec_is_made(kind: Any) -> None:
    with pytest.raises(TypeError):
        codec_of(kind)


@pytest.mark.parametrize(
    ("kind", "plain", "message"),
    [
        (Instant, {"mono_ms": True, "wall_ms": 0}, "mono_ms: no int"),
        (Instant, {"mono_ms": 1.0, "wall_ms": 0}, "mono_ms: no int"),
        (Instant, {"mono_ms": b"\1" * 65, "wall_ms": 0}, "mono_ms: no int"),
        (Instant, {"mono_ms": 1}, "lacks the field 'wall_ms'"),
        (Instant, [1, 2], "no map"),
        (Received, {"link": 1, "message": b"x"}, "message: message: not a list"),
        (Received, {"link": 1, "message": "x"}, "message: no bytes"),
        (LinkUp, {"link": 1, "outbound": 1, "remote": {}, "target": None}, "outbound: no bool"),
        (
            LinkUp,
            {"link": 1, "outbound": True, "remote": {"host": "h"}, "target": None},
            "remote: lacks the field 'port'",
        ),
        (Commanded, {"request": 1, "command": ["Dance", {}]}, "command: of the unknown type 'Dance'"),
        (Commanded, {"request": 1, "command": ["Prime"]}, "command: a list of 1, not a pair of type and value"),
        (Commanded, {"request": 1, "command": ["Forget", {"peers": ["a", 2]}]}, "command.Forget.peers.1: no str"),
        (OpsDone, {"results": [[1]]}, "results.0: a list of 1, not of 2"),
        (
            OpsDone,
            {"results": [[{"verb": "explode", "object": ["Identity", {"short_id": 1}]}, ["Done", {}]]]},
            "results.0.0.verb: no Verb",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(kind: Any, plain: object, message: str) -> None:
    with pytest.raises(PlainError) as error:
        codec_of(kind).typed(plain)
    assert str(error.value).startswith(message)


def test_what_a_type_itself_refuses_is_an_error_with_its_place() -> None:
    codec = codec_of(Config)
    plain = codec.plain(Config(PeerName("a"), "a", universe=universe_of("10.32.0.0/12,fd00::/64")))
    assert codec.typed(plain).universe == universe_of("fd00::/64,10.32.0.0/12")
    plain["universe"]["parts"].reverse()
    with pytest.raises(PlainError, match=r"universe: .* do not ascend"):
        codec.typed(plain)
    plain["universe"]["parts"].clear()
    with pytest.raises(PlainError, match="universe: an empty range"):
        codec.typed(plain)
