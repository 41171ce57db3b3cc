"""One client's connection, joined to one connection to the daemon: message after message, then perhaps raw bytes.

Bytes pass as they came, and as soon as they came. A message is only held where an `Exchange` asks for it; those are the
few requests that the proxy exists for (`intercept.py`). Each connection of a client has a connection to the daemon of
its own, so that whatever one side does to it (ends its half, resets it, goes away) can be done to the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from adapters.docker.body import Body, decoded
from adapters.docker.bulk import Bulk
from adapters.docker.head import (
    CHUNKED,
    CLOSE,
    HeadError,
    Request,
    Response,
    head_end,
    read_request,
    read_response,
)
from adapters.docker.stream import Stream

MESSAGE_SIZE_MAX = 8 * 1024 * 1024
"""Bytes of a body that is held; Docker itself reads no more than 4 MiB of most."""
AHEAD_SIZE_MAX = 64 * 1024
"""Bytes that a client may send before it is their turn; then it is not read any more."""
LEAVE_S = 0.5
"""How long a client whose connection ends may go on sending; as Go's own server."""
REASONS = {400: "Bad Request", 404: "Not Found", 413: "Request Entity Too Large", 500: "Internal Server Error"}
REASONS |= {409: "Conflict", 502: "Bad Gateway"}


class Rejected(Exception):
    """A request is answered by the proxy itself."""

    def __init__(self, status: int, message: str) -> None:
        """Take an HTTP status and what Docker's clients show."""
        super().__init__(message)
        self.status = status


class Gone(Exception):
    """A side has gone away, or what it sends makes no sense any more: the connection ends."""


class Exchange(Protocol):
    """A request that is held, with its answer."""

    holds_response: bool
    """The answer is held as well."""

    async def request(self, body: bytes) -> bytes:
        """Return the body to send instead. Raises: Rejected."""

    async def response(self, status: int, body: bytes) -> bytes:
        """Return the body to answer with instead. Raises: Rejected."""


Intercept = Callable[[Request], Exchange | None]
Connect = Callable[[], Awaitable[Stream]]


def error_response(status: int, message: str) -> bytes:
    """Return an answer as the daemon writes it when something is wrong."""
    body = json.dumps({"message": message}).encode() + b"\n"
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


class Relay:
    """One client."""

    def __init__(self, client: Stream, connect: Connect, intercept: Intercept) -> None:
        """Take a client; `connect` gives a connection to the daemon."""
        self._client = client
        self._connect = connect
        self._intercept = intercept
        self._daemon: Stream | None = None
        self._is_sent = False

    async def run(self) -> None:
        """Serve until either side has had enough; closes both."""
        try:
            while await self._message():
                pass
            await self._take_leave()
        except Rejected as error:
            await self._answer(error.status, str(error))
        except HeadError as error:
            await self._answer(400, f"malformed request: {error}")
        except (Gone, OSError):
            return
        finally:
            self._client.close()
            if self._daemon is not None:
                self._daemon.close()

    async def _answer(self, status: int, message: str) -> None:
        with contextlib.suppress(OSError):
            await self._client.send(error_response(status, message))
            await self._take_leave()

    async def _take_leave(self) -> None:
        """Let a client read its answer, though it may still be sending: closing at once would throw that away."""
        await self._client.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                while await self._client.receive():
                    pass

    async def _message(self) -> bool:
        """Pass one request and its answer; say whether another may follow."""
        raw = await self._next_head()
        if not raw:
            return False
        request = read_request(raw)
        if self._daemon is None:
            try:
                self._daemon = await self._connect()
            except OSError as error:
                raise Rejected(502, f"Cannot connect to the Docker daemon ({error}). Is it running?") from error
        exchange = self._intercept(request)
        if exchange is not None:
            return await self._held(request, exchange)
        await self._daemon.send(request.head.raw)
        return await self._both_ways(request, request.length, None)

    async def _held(self, request: Request, exchange: Exchange) -> bool:
        assert self._daemon is not None, "connected before"
        if request.head.has_token(b"expect", b"100-continue"):
            await self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        before = await self._whole(self._client, request.length)
        after = await exchange.request(before)
        is_same = after == before and request.length != CHUNKED
        await self._daemon.send((request.head.raw if is_same else request.head.with_length(len(after))) + after)
        return await self._both_ways(request, 0, exchange if exchange.holds_response else None)

    async def _both_ways(self, request: Request, length: int, exchange: Exchange | None) -> bool:
        """Send what is left of a request, and watch its client, while the answer passes."""
        self._is_sent = length == 0
        sending = asyncio.ensure_future(self._upload(length))
        try:
            response = await self._answer_of(request, exchange)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        if response.is_stream:
            await self._raw()
            return False
        # A request that was answered before all of it was there cannot be followed by another.
        return self._is_sent and request.head.keeps_open and response.head.keeps_open and response.length != CLOSE

    async def _upload(self, length: int) -> None:
        assert self._daemon is not None, "connected before"
        try:
            await self._pass(self._client, self._daemon, Body(length))
            self._is_sent = True
            ahead = b""
            try:
                while len(ahead) < AHEAD_SIZE_MAX:
                    data = await self._client.receive()
                    if not data:
                        # The daemon ends whatever it is doing for a client that is gone.
                        await self._daemon.end()
                        return
                    ahead += data
            finally:
                self._client.push_back(ahead)
        except (OSError, Gone, HeadError):
            await self._daemon.end()

    async def _answer_of(self, request: Request, exchange: Exchange | None) -> Response:
        """Pass answers to the client up to the last one; return that."""
        assert self._daemon is not None, "connected before"
        while True:
            raw = await self._head_from(self._daemon)
            if not raw:
                raise Gone
            try:
                response = read_response(raw, request.method)
            except HeadError as error:
                raise Rejected(502, f"the daemon's answer is malformed: {error}") from error
            if exchange is not None and not response.is_interim:
                await self._answer_held(response, exchange)
                return response
            await self._client.send(raw)
            if response.is_stream:
                return response
            await self._pass(self._daemon, self._client, Body(response.length))
            if not response.is_interim:
                return response

    async def _answer_held(self, response: Response, exchange: Exchange) -> None:
        assert self._daemon is not None, "connected before"
        before = await self._whole(self._daemon, response.length)
        after = await exchange.response(response.status, before)
        if after == before and response.length >= 0:
            await self._client.send(response.head.raw + after)
        else:
            await self._client.send(response.head.with_length(len(after)) + after)

    async def _raw(self) -> None:
        """Pass bytes both ways until both sides have ended."""
        assert self._daemon is not None, "connected before"
        there = asyncio.ensure_future(self._pass_raw(self._client, self._daemon))
        back = asyncio.ensure_future(self._pass_raw(self._daemon, self._client))
        try:
            await asyncio.gather(there, back)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.wait([there, back])

    async def _pass_raw(self, source: Stream, sink: Stream) -> None:
        while data := await source.receive():
            await sink.send(data)
        await sink.end()

    async def _pass(self, source: Stream, sink: Stream, body: Body) -> None:
        bulk = Bulk(source, sink)
        while not body.is_complete:
            data = await source.receive()
            if not data:
                if body.ends_with_connection:
                    return
                raise Gone
            size = body.take(data)
            if size < len(data):
                source.push_back(data[size:])
                data = data[:size]
            await sink.send(data)
            if bulk.is_worth_it(size) and not body.is_complete:
                await bulk.carry(body)

    async def _whole(self, source: Stream, length: int) -> bytes:
        """Return a body. Raises: Rejected if it is too long, Gone."""
        body, found = Body(length), bytearray()
        while not body.is_complete:
            data = await source.receive()
            if not data:
                if body.ends_with_connection:
                    break
                raise Gone
            size = body.take(data)
            source.push_back(data[size:])
            found += data[:size]
            if len(found) > MESSAGE_SIZE_MAX:
                raise Rejected(413, f"the body is longer than {MESSAGE_SIZE_MAX} bytes")
        return decoded(bytes(found)) if length == CHUNKED else bytes(found)

    async def _next_head(self) -> bytes:
        """Return the next request's head; empty when either side has closed the idle connection."""
        if self._daemon is None:
            return await self._head_from(self._client)
        reading = asyncio.ensure_future(self._head_from(self._client))
        closing = asyncio.ensure_future(self._daemon.receive())
        try:
            await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else b""
        finally:
            for task in (reading, closing):
                task.cancel()
            await asyncio.wait((reading, closing))
            if not closing.cancelled() and closing.exception() is None:
                self._daemon.push_back(closing.result())

    async def _head_from(self, source: Stream) -> bytes:
        """Return the bytes of a head, and push back what follows; empty if the other side writes no more."""
        found = b""
        while True:
            data = await source.receive()
            if not data:
                if found:
                    raise Gone
                return b""
            found += data
            end = head_end(found)
            if end:
                source.push_back(found[end:])
                return found[:end]
