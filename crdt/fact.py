"""Facts and the pieces in which they travel.

A fact is one immutable statement of one origin about one key. Its number names it for ever: an origin never issues
two facts with one number (law S1), because it persists before it publishes and starts a new incarnation when its log
is lost.

Source: Scuttlebutt reconciliation (van Renesse et al., 2008); chitchat's ALGORITHM.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

FACT_BODY_SIZE_MAX = 16 * 1024
"""Bytes. A fact travels whole, and many share a frame."""
KEY_SIZE_MAX = 256
"""Bytes of UTF-8."""
KIND_SIZE_MAX = 32
"""Bytes of UTF-8."""
STREAM_FACTS_MAX = 16_384
"""Facts of one origin. A host runs hundreds of containers with a handful of facts each."""
STREAM_SIZE_MAX = 1024 * 1024
"""Bytes of bodies and keys of one origin: a whole stream must fit into one frame."""
STORE_ORIGINS_MAX = 4096
"""Origins of one store; the datapath numbers 4,095 peers."""
SEQ_MAX = 1 << 62
"""No origin ever gets there; keeps numbers within signed 64 bits everywhere."""
FINGERPRINT_MASK = (1 << 128) - 1


class LimitExceeded(Exception):
    """A local writer asked for more than a stream may hold; nothing was changed."""


class Origin(NamedTuple):
    """One life of one peer; a new incarnation is a new origin.

    A tuple, because it is the key of nearly every look-up: hashed and compared without running Python code.
    """

    peer: str
    """Stable name of the peer, at most 64 bytes."""
    incarnation: int
    """Raised when the log was lost or rolled back; from 1."""


class _Weighed:
    """Room for what `weigh` found out about a fact, which is immutable."""

    __slots__ = ("weight",)
    weight: Weight


@dataclass(frozen=True, slots=True)
class Fact(_Weighed):
    """One statement."""

    seq: int
    """Number within the origin, from 1, never reused."""
    key: str
    """What it is about."""
    kind: str
    """How to read the body: name and schema, `dns.2`."""
    body: bytes | None
    """What it says; None deletes the key."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a writer wants to say; it has no number yet."""

    key: str
    """What it is about."""
    kind: str
    """How to read the body."""
    body: bytes | None
    """What it says; None deletes the key."""


@dataclass(frozen=True, slots=True)
class StreamHead:
    """Where a stream stands."""

    seq: int
    """Number of its newest fact."""
    floor: int
    """Deletions at or below this number have been forgotten."""
    fingerprint: int
    """Sum of the hashes of all its facts, modulo 2**128."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What brings a replica that holds `since` facts of an origin up to `head`."""

    origin: Origin
    """Whose stream."""
    since: int
    """Every fact newer than this is present; 0 replaces the stream."""
    head: StreamHead
    """Where the stream stands afterwards."""
    facts: tuple[Fact, ...]
    """Ascending numbers, the newest of each key only."""


class Weight(NamedTuple):
    """What one fact adds to a stream."""

    origin: Origin
    """Whose fact; the hash depends on it."""
    hash: int
    """128 bits that depend on everything in a fact and on whose it is."""
    size: int
    """Bytes it counts for in `STREAM_SIZE_MAX`."""


def weigh(origin: Origin, fact: Fact) -> Weight | None:
    """Return what a fact adds to a stream of that origin; None when it is beyond limits.

    Worked out once per fact: it is asked again when the fact is replaced, and by everybody who holds the same object.
    """
    try:
        weight: Weight = fact.weight
    except AttributeError:
        if not is_within_limits(fact):
            return None
    else:
        if weight.origin == origin:
            return weight
    weight = Weight(origin, _hash_of(origin, fact), size_of(fact))
    object.__setattr__(fact, "weight", weight)
    return weight


def size_of(fact: Fact | Change) -> int:
    """Return the bytes a fact counts for in `STREAM_SIZE_MAX`."""
    weight: Weight | None = getattr(fact, "weight", None)
    if weight is not None:
        return weight.size
    return _byte_size(fact.key) + _byte_size(fact.kind) + len(fact.body or b"")


def is_within_limits(fact: Fact | Change) -> bool:
    """Say whether key, kind and body are of a size that may travel."""
    return (
        0 < _byte_size(fact.key) <= KEY_SIZE_MAX
        and 0 < _byte_size(fact.kind) <= KIND_SIZE_MAX
        and len(fact.body or b"") <= FACT_BODY_SIZE_MAX
        and "\0" not in fact.key
        and "\0" not in fact.kind
    )


def _hash_of(origin: Origin, fact: Fact) -> int:
    head = f"{origin.peer}\0{origin.incarnation}\0{fact.seq}\0{fact.key}\0{fact.kind}\0".encode()
    body = b"-" if fact.body is None else b"+" + fact.body
    return int.from_bytes(blake2b(head + body, digest_size=16).digest(), "big")


def _byte_size(text: str) -> int:
    # Nearly every key is ASCII, and then the answer is free.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
