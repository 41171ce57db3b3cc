"""What agent and name server say to each other: a stream of MessagePack, `[type, …]` each.

The agent says `begin` (all names are forgotten), `names` (rows of some names) and `end` (what was told since `begin`
takes effect); the server says `status`. Neither is a stranger to the other: what is no message is a bug.
"""

from __future__ import annotations

from typing import Any

import msgpack

from core.naming.status import ServerStatus

MESSAGE_SIZE_MAX = 64 * 1024 * 1024
"""Bytes; a name with as many answers as one may have takes some 600,000."""


def status_message(status: ServerStatus) -> bytes:
    """Return what tells the agent how the server does."""
    return packed(["status", status.addresses, status.upstreams, status.trouble])


def status_of(message: list[Any]) -> ServerStatus:
    """Read such a message."""
    kind, addresses, upstreams, trouble = message
    assert kind == "status", "a name server says nothing else"
    return ServerStatus(tuple(addresses), tuple(upstreams), trouble)


def unpacker() -> msgpack.Unpacker:
    """Return what takes bytes and gives messages."""
    return msgpack.Unpacker(max_buffer_size=MESSAGE_SIZE_MAX)


def packed(message: list[Any]) -> bytes:
    """Return a message as bytes."""
    # Any: msgpack takes whatever it can write.
    data: bytes = msgpack.packb(message, unicode_errors="surrogatepass")
    return data
