"""Connections to peers: TCP on asyncio. Reports what happens as events, does what effects say, decides nothing.

A connection is reported when its handshake has gone well: both ends then share a secret, which is in the keyring under
the name that the report gives. A handshake that fails is a failed dial, or, of somebody who called us, a connection
that came up and is down with the reason, for status. Strangers cannot keep peers out: whoever takes longest over the
handshake makes room for the next.

A report is handled before it returns, so nothing is read faster than it is understood: what a peer sends beyond that
waits in the kernel, and then with the peer. The other way, a peer that does not read is cut off when too much waits.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from adapters.mesh.framing import Channel, FrameReader, PlainChannel, packed
from adapters.mesh.greeter import Greeter
from adapters.mesh.handshake import Agreed, Refused
from adapters.mesh.keyring import GRACE_S, Keyring
from core.errors import PeerFault
from core.events import DialFailed, Event, LinkDown, LinkUp, Misbehaved, Received
from core.messages import Message
from core.types import HostPort, LinkId
from core.wire import encode

DIAL_TIMEOUT_S = 5.0
"""For the resolver and TCP's handshake together; a lost SYN is repeated after 1 and 3 s."""
CLOSE_TIMEOUT_S = 2.0
"""For what is still to be sent when we hang up."""
READ_SIZE = 65_536
UNSENT_SIZE_MAX = 64 * 1024 * 1024
"""Bytes waiting for a peer to read. A newcomer asks for the whole store at once: 20 MiB with 1,000 hosts."""
CONNECTIONS_MAX = 2_048
"""Twice what the mesh allows itself: the rest is hung up on at once."""
STRANGERS_MAX = 256
"""Inbound connections that have not finished the handshake, or said nothing sensible since; each has 10 s for each."""
TCP_TIMEOUT_MS = 30_000
"""Bytes unacknowledged for this long mean that the path is gone, as three missing heartbeats do."""
KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""Seconds and count: a peer that vanished while nothing was to be sent is found out after 30 s, too."""
DEFAULT_PORT = 6783


class TransportError(Exception):
    """We cannot listen; the text says why and what to do."""


@dataclass(slots=True)
class _Link:
    """One connection."""

    reader: asyncio.StreamReader
    """What comes in."""
    writer: asyncio.StreamWriter
    """What goes out."""
    channel: Channel
    """Between frames and bytes."""
    session: str
    """Name of the secret in the keyring."""
    reading: asyncio.Task[None] | None = None
    """Reads until the end, or until a rule is broken."""


class Transport:
    """All connections of one agent."""

    def __init__(
        self,
        report: Callable[[Event], None],
        *,
        port: int,
        host: str = "0.0.0.0",
        key: bytes | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        """Listen on `host:port`; `key` is the stretched password, None without one; `keyring` gets the secrets."""
        self._report = report
        self._greeter = Greeter(key)
        self._keyring = keyring or Keyring()
        self._host = host
        self._port = port
        self._links: dict[LinkId, _Link] = {}
        self._strangers: dict[LinkId, None] = {}
        self._dials: dict[str, asyncio.Task[None]] = {}
        self._greeting: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._closing: dict[asyncio.Task[None], None] = {}
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
        """Close all connections after what was sent; nothing is reported any more. Takes at most `CLOSE_TIMEOUT_S`."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in tuple(self._links):
            self.hangup(link)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def dial(self, target: str) -> None:
        """Open a connection; reports LinkUp or DialFailed. A call to the same target that is under way is given up."""
        before = self._dials.get(target)
        if before is not None:
            before.cancel()
        task = self._dials[target] = self._spawn(self._dial(target), self._tasks)
        task.add_done_callback(partial(self._dialled, target))

    def send(self, link: LinkId, message: Message) -> None:
        """Send a message; dropped when the connection is gone."""
        found = self._links.get(link)
        if found is None:
            return
        if self._encoded is None or self._encoded[0] is not message:
            # One message often goes to many links.
            self._encoded = (message, encode(message))
        found.writer.write(packed(found.channel.seal(self._encoded[1])))
        unsent = found.writer.transport.get_write_buffer_size()
        if unsent > UNSENT_SIZE_MAX:
            self._drop(link, f"peer reads too slowly: {unsent} bytes wait for it, {UNSENT_SIZE_MAX} are the limit")

    def hangup(self, link: LinkId) -> None:
        """Close a connection after what was sent; nothing is reported of it any more."""
        found = self._forget(link)
        if found is not None:
            if found.reading is not None:
                found.reading.cancel()
            self._spawn(_close(found.reader, found.writer), self._closing)

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
            await self._greet(reader, writer, target)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unknown = len(self._greeting) + len(self._strangers)
        if len(self._links) + len(self._greeting) >= CONNECTIONS_MAX or unknown >= STRANGERS_MAX:
            if not self._greeting:
                writer.transport.abort()
                return
            # A peer is through in a round trip or two, so it is hardly ever the one that has taken longest.
            slowest, its_writer = next(iter(self._greeting.items()))
            del self._greeting[slowest]
            slowest.cancel()
            its_writer.transport.abort()
        task = self._spawn(self._greet(reader, writer, None), self._tasks)
        self._greeting[task] = writer
        task.add_done_callback(lambda done: self._greeting.pop(done, None))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str | None) -> None:
        """Carry out the handshake, and report what came of it."""
        peer = writer.get_extra_info("peername")
        if peer is None:
            # It was reset before we could look at it.
            if target is not None:
                self._report(DialFailed(target, f"dial tcp {target}: connection reset by peer"))
            return
        remote = HostPort(str(peer[0]), int(peer[1]))
        _prepare(writer.get_extra_info("socket"))
        try:
            outcome = await self._greeter.greet(reader, writer, remote.host, is_dialler=target is not None)
            if isinstance(outcome, Agreed):
                self._stand(reader, writer, remote=remote, target=target, agreed=outcome)
                return
            self._refused(remote, target, outcome)
            # Here, so that those who are hung up on count among those who greet: there may be many.
            await _close(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    def _refused(self, remote: HostPort, target: str | None, refused: Refused) -> None:
        """Report a handshake that has failed."""
        if target is not None:
            self._report(DialFailed(target, refused.reason))
            return
        link = self._new_link()
        self._report(LinkUp(link, False, remote, None))
        self._report(LinkDown(link, refused.reason))

    def _stand(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        remote: HostPort,
        target: str | None,
        agreed: Agreed,
    ) -> None:
        """Report a connection, and read from it."""
        is_dialler = target is not None
        session = self._keyring.add(agreed.secret)
        link = self._new_link()
        self._links[link] = found = _Link(reader, writer, _channel(agreed, is_dialler=is_dialler), session)
        if not is_dialler:
            self._strangers[link] = None
        self._report(LinkUp(link, is_dialler, remote, target, session, agreed.is_sealed))
        if link in self._links:
            found.reading = self._spawn(self._read(link, found), self._tasks)

    def _new_link(self) -> LinkId:
        self._last_link += 1
        return LinkId(self._last_link)

    async def _read(self, link: LinkId, found: _Link) -> None:
        frames = FrameReader(found.channel)
        while True:
            try:
                data = await found.reader.read(READ_SIZE)
            except OSError as error:
                self._drop(link, _text(error))
                return
            if not data:
                self._drop(link, "EOF")
                return
            try:
                for message in frames.feed(data):
                    self._strangers.pop(link, None)
                    self._report(Received(link, message))
                    if link not in self._links:
                        return
            except PeerFault as fault:
                self._report(Misbehaved(link, str(fault)))
                return

    def _drop(self, link: LinkId, reason: str) -> None:
        found = self._forget(link)
        if found is not None:
            if found.reading is not None:
                found.reading.cancel()
            found.writer.transport.abort()
            self._report(LinkDown(link, reason))

    def _forget(self, link: LinkId) -> _Link | None:
        self._strangers.pop(link, None)
        found = self._links.pop(link, None)
        if found is not None:
            self._keyring.discard(found.session)
            asyncio.get_running_loop().call_later(GRACE_S + 1, self._keyring.prune)
        return found

    def _spawn(self, work: Coroutine[None, None, None], tasks: dict[asyncio.Task[None], None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        # The event loop itself holds tasks only weakly.
        tasks[task] = None
        task.add_done_callback(partial(self._ended, tasks))
        return task

    def _dialled(self, target: str, task: asyncio.Task[None]) -> None:
        if self._dials.get(target) is task:
            del self._dials[target]

    def _ended(self, tasks: dict[asyncio.Task[None], None], task: asyncio.Task[None]) -> None:
        tasks.pop(task, None)
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


def _channel(agreed: Agreed, *, is_dialler: bool) -> Channel:
    if not agreed.is_sealed:
        return PlainChannel()
    # Here and not above: agents without a password do without libsodium.
    from adapters.mesh.sealed import SealedChannel

    return SealedChannel(agreed.control, is_dialler=is_dialler)


def _prepare(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_TIMEOUT_MS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the peer have what was sent.

    Closing a socket on which something unread waits resets the connection, and what is under way is lost with it; so
    we say that we are done, and read on until the peer is, too.
    """
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            writer.write_eof()
            while await reader.read(READ_SIZE):
                pass
    except OSError:
        # TimeoutError is one. The peer had its chance.
        pass
    writer.transport.abort()


def _text(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return f"lookup failed: {error.strerror}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
