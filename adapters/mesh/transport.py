"""Connections to peers: TCP on asyncio. Reports what happens as events, does what effects say, decides nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from adapters.mesh.framing import Channel, FrameReader, PlainChannel, packed
from core.errors import PeerFault
from core.events import DialFailed, Event, LinkDown, LinkUp, Misbehaved, Received
from core.messages import Message
from core.types import HostPort, LinkId
from core.wire import encode

DIAL_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
"""For what is still to be sent when we hang up."""
READ_SIZE = 65_536
UNSENT_MAX = 16 * 1024 * 1024
"""Bytes waiting for a peer to read: a few whole stores in frames of 2 MiB at most."""
CONNECTIONS_MAX = 2_048
"""Twice what the mesh allows itself: the rest is hung up on at once."""
TCP_TIMEOUT_MS = 30_000
DEFAULT_PORT = 6783


class TransportError(Exception):
    """We cannot listen; the text says why and what to do."""


@dataclass(slots=True)
class _Link:
    writer: asyncio.StreamWriter
    channel: Channel
    reading: asyncio.Task[None] | None = None


class Transport:
    """All connections of one agent."""

    def __init__(self, report: Callable[[Event], None], *, port: int, host: str = "0.0.0.0") -> None:
        self._report = report
        self._host = host
        self._port = port
        self._links: dict[LinkId, _Link] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._last_link = 0
        self._server: asyncio.Server | None = None
        self._encoded: tuple[Message, bytes] | None = None

    @property
    def port(self) -> int:
        """Return the port we listen on; differs from the wish only if that was 0."""
        assert self._server is not None, "started"
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen. Raises: TransportError."""
        try:
            self._server = await asyncio.start_server(self._accepted, self._host, self._port, limit=READ_SIZE)
        except OSError as error:
            hint = "check --host"
            if error.errno == errno.EADDRINUSE:
                hint = f"see what uses it with 'ss -ltnp sport = :{self._port}', or choose another with --port"
            raise TransportError(f"cannot listen on TCP {self._host}:{self._port}: {_text(error)}; {hint}") from error

    async def close(self) -> None:
        """Close all connections."""
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links):
            self.hangup(link)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def dial(self, target: str) -> None:
        """Open a connection; reports LinkUp or DialFailed."""
        self._spawn(self._dial(target))

    def send(self, link: LinkId, message: Message) -> None:
        """Send a message; dropped when the connection is gone."""
        found = self._links.get(link)
        if found is None:
            return
        if self._encoded is None or self._encoded[0] is not message:
            # One message often goes to many links.
            self._encoded = (message, encode(message))
        found.writer.write(packed(found.channel.seal(self._encoded[1])))
        if found.writer.transport.get_write_buffer_size() > UNSENT_MAX:
            self._drop(link, f"the peer does not read: {UNSENT_MAX} bytes wait for it")

    def hangup(self, link: LinkId) -> None:
        """Close a connection after what was sent; nothing is reported of it any more."""
        found = self._links.pop(link, None)
        if found is not None:
            if found.reading is not None:
                found.reading.cancel()
            self._spawn(_close(found.writer))

    async def _dial(self, target: str) -> None:
        try:
            host, port = parse_target(target)
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(host, port, family=socket.AF_INET, limit=READ_SIZE), DIAL_TIMEOUT_S
            )
        except TimeoutError:
            self._report(DialFailed(target, f"dial tcp {target}: i/o timeout"))
        except (OSError, ValueError) as error:
            self._report(DialFailed(target, f"dial tcp {target}: {_text(error)}"))
        else:
            self._stand(reader, writer, target)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._links) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._stand(reader, writer, None)

    def _stand(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str | None) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        peer = writer.get_extra_info("peername")
        if peer is None:
            # It was reset before we could look at it.
            if target is not None:
                self._report(DialFailed(target, f"dial tcp {target}: connection reset by peer"))
            return
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_TIMEOUT_MS)
        self._last_link += 1
        link = LinkId(self._last_link)
        self._links[link] = found = _Link(writer, PlainChannel())
        self._report(LinkUp(link, target is not None, HostPort(str(peer[0]), int(peer[1])), target))
        if link in self._links:
            found.reading = self._spawn(self._read(link, reader, found.channel))

    async def _read(self, link: LinkId, reader: asyncio.StreamReader, channel: Channel) -> None:
        frames = FrameReader(channel)
        while True:
            try:
                data = await reader.read(READ_SIZE)
            except OSError as error:
                self._drop(link, _text(error))
                return
            if not data:
                self._drop(link, "EOF")
                return
            try:
                for message in frames.feed(data):
                    self._report(Received(link, message))
                    if link not in self._links:
                        return
            except PeerFault as fault:
                self._report(Misbehaved(link, str(fault)))
                return

    def _drop(self, link: LinkId, reason: str) -> None:
        found = self._links.pop(link, None)
        if found is not None:
            found.writer.transport.abort()
            self._report(LinkDown(link, reason))

    def _spawn(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]  # a coroutine
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and task.exception() is not None:
            # A bug: the event loop's handler ends the agent.
            asyncio.get_running_loop().call_exception_handler({"message": "link failed", "exception": task.exception()})


def parse_target(target: str) -> tuple[str, int]:
    """Split `host[:port]`. Raises: ValueError with Weave Net's words."""
    host, colon, port = target.rpartition(":")
    if not colon:
        host, port = target, str(DEFAULT_PORT)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536 or ":" in host.strip("[]"):
        raise ValueError(f'invalid peer name "{target}", should be host[:port]')
    return host, int(port)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), CLOSE_TIMEOUT_S)
    except (TimeoutError, OSError):
        writer.transport.abort()


def _text(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return f"lookup failed: {error.strerror}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
