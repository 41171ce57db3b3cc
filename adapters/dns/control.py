"""What agent and name server say to each other: a stream of MessagePack, `[type, …]` each.

The agent says `begin` (all names are forgotten), `names` (rows of some names) and `end` (what was told since `begin`
takes effect); the server says `status`. Neither is a stranger to the other: what is no message is a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from core.effects import ServeNames
from core.naming.answers import NameAnswers
from core.naming.status import ServerStatus

NAMES_PER_MESSAGE = 64
"""So that between two messages there is time for queries."""
MESSAGE_SIZE_MAX = 64 * 1024 * 1024
"""Bytes; a name with as many answers as one may have takes some 600,000."""


def messages_of(effect: ServeNames) -> Iterator[bytes]:
    """Yield what tells the server to serve names."""
    if effect.is_whole:
        yield _packed(["begin"])
    for at in range(0, len(effect.names), NAMES_PER_MESSAGE):
        yield _packed(["names", [_row(answers) for answers in effect.names[at : at + NAMES_PER_MESSAGE]]])
    if effect.is_whole:
        yield _packed(["end"])


def status_message(status: ServerStatus) -> bytes:
    """Return what tells the agent how the server does."""
    return _packed(["status", status.addresses, status.upstreams, status.trouble])


def status_of(message: list[Any]) -> ServerStatus:
    """Read such a message."""
    kind, addresses, upstreams, trouble = message
    assert kind == "status", "a name server says nothing else"
    return ServerStatus(tuple(addresses), tuple(upstreams), trouble)


def unpacker() -> msgpack.Unpacker:
    """Return what takes bytes and gives messages."""
    return msgpack.Unpacker(max_buffer_size=MESSAGE_SIZE_MAX)


def _row(answers: NameAnswers) -> tuple[object, ...]:
    """Return the arguments of `Table.set`."""
    hosts = [(host.name, host.address.to_bytes(16), host.ttl_s, host.rank) for host in answers.hosts]
    services = [(one.target, one.port, one.priority, one.weight, one.ttl_s, one.rank) for one in answers.services]
    texts = [(text.text, text.ttl_s) for text in answers.texts]
    return answers.key, hosts, services, texts


def _packed(message: list[Any]) -> bytes:
    # Any: msgpack takes whatever it can write.
    packed: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return packed
