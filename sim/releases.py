"""Versions of the software that simulated hosts may run: today's, and one that is still to come.

`next` does what a later version may do and today's must bear: it says more in facts of known kinds, writes facts of
kinds that nobody knows yet, overwrites and deletes them, speaks a newer protocol besides the present one, and appends
to messages. Everything else it does as today. Both versions are upgraded to and back on one disk.

Source: TigerBeetle's VOPR, which runs several releases in one cluster.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from core.config import Config, Recovered
from core.effects import Effect, Send
from core.events import Event
from core.kinds import KINDS
from core.messages import PROTOCOL_MAX, Hello, Message
from core.replica import Replica
from core.types import Instant
from core.wire import decode, encode
from crdt.fact import Change, Fact
from sim.host import Codec, Host, MakeHeart
from sim.names import NEXT, TODAY

VERSION = "0.2.0"
FIELD = b"\xa3hue" + b"\x92\xa3not\x81\xa5known\xcf\x00\x00\x01\x00\x00\x00\x00\x00"
"""What `next` adds to the body of every fact, as MessagePack: a field `hue` with a list that holds a map."""
MOODS = 8
"""Keys under which it writes what nobody else understands."""
MOOD_KIND = "mood.7"
MOOD_EVERY = 3
"""It does so with one in so many of its changes."""
EXTRAS = b"\xa4more" + b"\x07"
"""What it appends to messages: a text and a number."""
EXTRA_COUNT = 2
MAP, ARRAY, ENTRIES_MAX = 0x80, 0x90, 15
"""First bytes of a MessagePack map and array, with the number of entries added, of which there may be so many."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the software."""

    make: MakeHeart
    """Makes an agent of it."""
    codec: Codec
    """What it makes of a message on the wire, as everybody reads it."""


class NextReplica(Replica):
    """An agent of the version to come."""

    def __init__(self, config: Config, recovered: Recovered, entropy: random.Random) -> None:
        super().__init__(replace(config, version=VERSION), recovered, entropy)
        self._changed = 0

    def apply(self, event: Event, at: Instant) -> list[Effect]:
        """Decide as today's does, and greet with a newer protocol."""
        return [_newer(effect) for effect in super().apply(event, at)]

    def _flush(self) -> None:
        changes = self._context.changes
        for index, change in enumerate(changes):
            body = _richer(change)
            if body is not None:
                changes[index] = replace(change, body=body)
                self._changed += 1
                if self._changed % MOOD_EVERY == 0:
                    self._context.write(_mood(self._changed // MOOD_EVERY))
        super()._flush()


def install(host: Host, release: str) -> None:
    """Put a version of the software on a host whose agent does not run."""
    assert host.heart is None
    host.release = release
    # The version that is under test may be a changed one, so the world decides what today's is.
    found = None if release == TODAY else RELEASES[release]
    host.make = None if found is None else found.make
    host.codec = None if found is None else found.codec


def is_ahead(fact: Fact) -> bool:
    """Say whether a fact says what today's version does not know."""
    return fact.kind not in KINDS or (fact.body is not None and fact.body[1:].startswith(FIELD))


def _newer(effect: Effect) -> Effect:
    if isinstance(effect, Send) and isinstance(effect.message, Hello):
        return replace(effect, message=replace(effect.message, protocol_max=PROTOCOL_MAX + 1))
    return effect


def _richer(change: Change) -> bytes | None:
    """Return the body of a change with more in it; None when there is no body, it is not for us, or it is rich."""
    if change.body is None or change.kind not in KINDS:
        return None
    if change.body[1:].startswith(FIELD):
        return None
    return _with_entries(change.body, MAP, 1, FIELD, is_first=True)


def _mood(number: int) -> Change:
    """Make a change of a kind to come; now and then one that takes back an earlier one."""
    # No MessagePack: nobody may look into a body whose kind it does not know.
    body = None if number % 5 == 4 else bytes((0xC1, number & 255)) * (number % 9)
    return Change(f"mood/{number % MOODS}", MOOD_KIND, body)


def _recode(message: Message) -> Message:
    return decode(encode(message))


def _recode_with_extras(message: Message) -> Message:
    return decode(_with_entries(encode(message), ARRAY, EXTRA_COUNT, EXTRAS, is_first=False))


def _with_entries(packed: bytes, kind: int, count: int, entries: bytes, *, is_first: bool) -> bytes:
    """Add entries to a small MessagePack map or array, before or after those that it has."""
    total = packed[0] - kind + count
    assert 0 <= total <= ENTRIES_MAX, "ours are small"
    head = bytes((kind + total,))
    return head + entries + packed[1:] if is_first else head + packed[1:] + entries


RELEASES: dict[str, Release] = {
    TODAY: Release(Replica, _recode),
    NEXT: Release(NextReplica, _recode_with_extras),
}
