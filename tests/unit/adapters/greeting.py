"""Greets an agent as a peer does, for tests that go on by hand."""

from __future__ import annotations

import asyncio

from adapters.mesh.greeter import Greeter
from adapters.mesh.handshake import Agreed, Refused

LOOPBACK = "127.0.0.1"


async def greeted(port: int, key: bytes | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect and carry out the handshake."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    outcome = await greet(reader, writer, key)
    assert isinstance(outcome, Agreed), outcome
    return reader, writer


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes | None = None, *, is_dialler: bool = True
) -> Agreed | Refused:
    """Carry out the handshake on a connection."""
    return await Greeter(key).greet(reader, writer, LOOPBACK, is_dialler=is_dialler)
