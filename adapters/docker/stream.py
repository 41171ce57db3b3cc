"""One connection, plain or TLS, read and written in large pieces without any buffer that grows.

A read that is cancelled loses nothing: bytes are taken from the kernel only in the coroutine that returns them. What
was read and not wanted is pushed back. Who cannot write does not read: memory stays flat whatever passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

PIECE_SIZE = 256 * 1024
"""Bytes read at once; larger ones gain nothing over unix sockets, whose own buffers hold 208 KiB."""
TURNS = 16
"""Pieces after which others get their turn; a fast pair of sockets would keep the loop for itself."""


class Stream:
    """A connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a socket that does not block, an `ssl.SSLSocket` as well."""
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._pushed = b""
        self._turn = 0
        self._is_closed = False

    @property
    def plain(self) -> socket.socket | None:
        """The socket, to be used by a thread; None when TLS or bytes that were pushed back are in between."""
        return None if self._pushed or isinstance(self._socket, ssl.SSLSocket) else self._socket

    async def receive(self) -> bytes:
        """Return some bytes; none when the other side writes no more. Raises: OSError."""
        if self._pushed:
            data, self._pushed = self._pushed, b""
            return data
        while True:
            await self._give_way()
            try:
                return self._socket.recv(PIECE_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._until(reading=True)
            except ssl.SSLWantWriteError:
                await self._until(reading=False)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def push_back(self, data: bytes) -> None:
        """Have bytes read again."""
        self._pushed = data + self._pushed

    async def send(self, data: bytes | memoryview) -> None:
        """Write all. Raises: OSError."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self._until(reading=False)
            except ssl.SSLWantReadError:
                await self._until(reading=True)

    async def end(self) -> None:
        """Say that nothing more will be written; reading goes on."""
        with contextlib.suppress(OSError):
            if isinstance(self._socket, ssl.SSLSocket):
                # Ours has been sent once this asks for theirs.
                with contextlib.suppress(ssl.SSLError):
                    self._socket.unwrap()
            else:
                self._socket.shutdown(socket.SHUT_WR)

    async def shake_hands(self) -> None:
        """Begin TLS as the server. Raises: OSError, ssl.SSLError."""
        assert isinstance(self._socket, ssl.SSLSocket), "a plain connection has no handshake"
        while True:
            try:
                self._socket.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self._until(reading=True)
            except ssl.SSLWantWriteError:
                await self._until(reading=False)

    def close(self) -> None:
        """Let go; whoever waits must have been cancelled before."""
        self._is_closed = True
        self._socket.close()

    async def _give_way(self) -> None:
        self._turn += 1
        if self._turn % TURNS == 0:
            await asyncio.sleep(0)

    async def _until(self, *, reading: bool) -> None:
        self._turn = 0
        ready = self._loop.create_future()
        fd = self._socket.fileno()
        if fd < 0:
            raise ConnectionAbortedError("closed")
        add = self._loop.add_reader if reading else self._loop.add_writer
        remove = self._loop.remove_reader if reading else self._loop.remove_writer
        add(fd, _wake, ready)
        try:
            await ready
        finally:
            if not self._is_closed:
                remove(fd)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def connect(address: str) -> Stream:
    """Return a connection to `unix://PATH` or `tcp://HOST:PORT`. Raises: OSError."""
    loop = asyncio.get_running_loop()
    kind, _, rest = address.partition("://")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where: str | tuple[str, int] = rest
    else:
        host, _, port = rest.rpartition(":")
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        connection = socket.socket(found[0][0], socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        where = (found[0][4][0], int(port))
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, where)
    except BaseException:
        connection.close()
        raise
    return Stream(connection)
