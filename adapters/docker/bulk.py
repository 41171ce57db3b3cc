"""Carries a large body from one socket to another in a thread, while it comes fast.

Docker writes bodies in chunks of 32 KiB. Waking a coroutine for each costs asyncio more time than the daemon needs to
make it; a thread that waits in the kernel keeps up, and the other connections do not wait behind it. Measured with
`docker cp` of 1 GiB out of a container, two busy cores: 0.5 s of the proxy's own processor time.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from concurrent.futures import ThreadPoolExecutor

from adapters.docker.body import Body
from adapters.docker.stream import PIECE_SIZE, Stream

BULK_SIZE = 4 * 1024 * 1024
"""Bytes of a body that pass before a thread is worth it,"""
BULK_S = 1.0
"""and in which time; a thread that has nothing to carry for as long is given back."""
THREADS_MAX = 16
"""At once; further bodies pass without."""

_threads = ThreadPoolExecutor(THREADS_MAX, "bulk")


class Bulk:
    """One body, which may be worth a thread."""

    active = 0
    """Threads in use."""

    def __init__(self, source: Stream, sink: Stream) -> None:
        """Take where it comes from and goes to."""
        self._source = source
        self._sink = sink
        self._size = 0
        self._since = 0.0

    def is_worth_it(self, size: int) -> bool:
        """Take that some bytes have passed; say whether `carry` should go on."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._since > BULK_S:
            self._since, self._size = loop.time(), 0
        self._size += size
        is_plain = self._source.plain is not None and self._sink.plain is not None
        return is_plain and self._size > BULK_SIZE and Bulk.active < THREADS_MAX

    async def carry(self, body: Body) -> None:
        """Carry a body until it is complete, or comes slowly, or ends. Raises: OSError, HeadError."""
        source, sink = self._source.plain, self._sink.plain
        assert source is not None, "asked before"
        assert sink is not None, "asked before"
        self._size = 0
        stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        Bulk.active += 1
        work = asyncio.get_running_loop().run_in_executor(_threads, _carry, source, sink, body, stop)
        try:
            self._source.push_back(await asyncio.shield(work))
        except asyncio.CancelledError:
            os.eventfd_write(stop, 1)
            # The thread uses the sockets: nobody may close them before it has let go.
            await asyncio.wait([work])
            if not work.cancelled() and work.exception() is None:
                self._source.push_back(work.result())
            raise
        finally:
            Bulk.active -= 1
            os.close(stop)


def _carry(source: socket.socket, sink: socket.socket, body: Body, stop: int) -> bytes:
    """Return what was read behind the end of the body."""
    buffer = memoryview(bytearray(PIECE_SIZE))
    reading, writing = select.poll(), select.poll()
    for poll in (reading, writing):
        poll.register(stop, select.POLLIN)
    reading.register(source, select.POLLIN)
    writing.register(sink, select.POLLOUT)
    while not body.is_complete:
        try:
            size = source.recv_into(buffer)
        except BlockingIOError:
            found = reading.poll(BULK_S * 1000)
            if not found or any(fd == stop for fd, _ in found):
                return b""
            continue
        if not size:
            # The coroutine will read that end again, and knows what it means.
            return b""
        passed = body.take(buffer[:size])
        left = buffer[:passed]
        while left:
            try:
                left = left[sink.send(left) :]
            except BlockingIOError:
                if any(fd == stop for fd, _ in writing.poll()):
                    raise ConnectionAbortedError("stopped in the middle") from None
        if passed < size:
            return bytes(buffer[passed:size])
    return b""
