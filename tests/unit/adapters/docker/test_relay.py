"""The relay between a client and a daemon that are both the test: bytes pass unchanged, at once, and both ways."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable

import pytest

from adapters.docker.head import Request
from adapters.docker.relay import MESSAGE_SIZE_MAX, Exchange, Rejected, Relay
from adapters.docker.stream import Stream

LIMIT_S = 20.0
PING = b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"POST /v1.41/containers/a/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
)


class Ends:
    """A client's and a daemon's end of one relay."""

    def __init__(self, intercept: Callable[[Request], Exchange | None]) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        for end in (end for pair in pairs for end in pair):
            end.setblocking(False)
        self.client, self.daemon = pairs[0][0], pairs[1][1]
        self._loop = asyncio.get_running_loop()

        async def connect() -> Stream:
            return Stream(pairs[1][0])

        self.done = asyncio.ensure_future(Relay(Stream(pairs[0][1]), connect, intercept).run())

    async def expect(self, end: socket.socket, data: bytes) -> None:
        got = b""
        while len(got) < len(data):
            piece = await self._loop.sock_recv(end, len(data) - len(got))
            assert piece, f"ended after {got!r}"
            got += piece
        assert got == data

    async def expect_end(self, end: socket.socket) -> None:
        assert await self._loop.sock_recv(end, 1) == b""

    async def send(self, end: socket.socket, data: bytes) -> None:
        await self._loop.sock_sendall(end, data)

    async def rest(self, end: socket.socket) -> bytes:
        got = b""
        while piece := await self._loop.sock_recv(end, 65536):
            got += piece
        return got


def run(test: Callable[[Ends], Awaitable[None]], intercept: Callable[[Request], Exchange | None] | None = None) -> None:
    async def main() -> None:
        ends = Ends(intercept or (lambda _: None))
        async with asyncio.timeout(LIMIT_S):
            await test(ends)
            ends.client.close()
            ends.daemon.close()
            await ends.done

    asyncio.run(main())


def test_message_after_message_passes_on_one_connection() -> None:
    async def test(ends: Ends) -> None:
        for _ in range(3):
            await ends.send(ends.client, PING)
            await ends.expect(ends.daemon, PING)
            await ends.send(ends.daemon, PONG)
            await ends.expect(ends.client, PONG)
        ends.daemon.shutdown(socket.SHUT_WR)
        await ends.expect_end(ends.client)

    run(test)


def test_every_split_of_a_request_and_its_answer_passes() -> None:
    request = b"PUT /v1.41/containers/a/archive HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"

    async def test(ends: Ends) -> None:
        for at in range(1, max(len(request), len(answer))):
            for source, sink, data in ((ends.client, ends.daemon, request), (ends.daemon, ends.client, answer)):
                await ends.send(source, data[:at])
                await asyncio.sleep(0)
                await ends.send(source, data[at:])
                await ends.expect(sink, data)

    run(test)


def test_each_chunk_passes_at_once_and_a_client_that_goes_is_told_to_the_daemon() -> None:
    async def test(ends: Ends) -> None:
        request = b"POST /containers/a/wait?condition=next-exit HTTP/1.1\r\n\r\n"
        await ends.send(ends.client, request)
        await ends.expect(ends.daemon, request)
        await ends.send(ends.daemon, CHUNKED)
        await ends.expect(ends.client, CHUNKED)
        await ends.send(ends.daemon, b"1\r\nx\r\n")
        await ends.expect(ends.client, b"1\r\nx\r\n")
        ends.client.close()
        await ends.expect_end(ends.daemon)

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n",
    ],
)
def test_a_hijacked_connection_carries_bytes_both_ways_and_ends_by_halves(answer: bytes) -> None:
    async def test(ends: Ends) -> None:
        # Who does not wait for the answer before typing loses nothing.
        await ends.send(ends.client, UPGRADE + b"early")
        await ends.expect(ends.daemon, UPGRADE)
        await ends.send(ends.daemon, answer + b"\x01\x00\x00")
        await ends.expect(ends.client, answer + b"\x01\x00\x00")
        await ends.expect(ends.daemon, b"early")
        await ends.send(ends.client, b"GET / HTTP/9.9\r\n\r\n")
        ends.client.shutdown(socket.SHUT_WR)
        await ends.expect(ends.daemon, b"GET / HTTP/9.9\r\n\r\n")
        await ends.expect_end(ends.daemon)
        await ends.send(ends.daemon, b"still")
        ends.daemon.shutdown(socket.SHUT_WR)
        await ends.expect(ends.client, b"still")
        await ends.expect_end(ends.client)

    run(test)


def test_a_body_until_the_end_of_the_connection_passes() -> None:
    async def test(ends: Ends) -> None:
        await ends.send(ends.client, b"GET /a HTTP/1.0\r\n\r\n")
        await ends.expect(ends.daemon, b"GET /a HTTP/1.0\r\n\r\n")
        await ends.send(ends.daemon, b"HTTP/1.0 200 OK\r\n\r\nbody")
        ends.daemon.close()
        assert await ends.rest(ends.client) == b"HTTP/1.0 200 OK\r\n\r\nbody"

    run(test)


def test_who_does_not_read_stops_who_writes() -> None:
    async def test(ends: Ends) -> None:
        await ends.send(ends.client, b"GET /images/get HTTP/1.1\r\n\r\n")
        await ends.expect(ends.daemon, b"GET /images/get HTTP/1.1\r\n\r\n")
        await ends.send(ends.daemon, b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ends.send(ends.daemon, bytes(100_000_000))

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, b"400"),
    ],
)
def test_what_is_no_request_is_answered_and_never_reaches_the_daemon(data: bytes, status: bytes) -> None:
    async def test(ends: Ends) -> None:
        await ends.send(ends.client, data)
        ends.client.shutdown(socket.SHUT_WR)
        answer = await ends.rest(ends.client)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert "malformed" in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]

    run(test)


class Upper:
    """Sends and answers in capitals; refuses on request."""

    holds_response = True

    async def request(self, body: bytes) -> bytes:
        if body == b"no":
            raise Rejected(404, "no such thing")
        return body.upper() + b"!"

    async def response(self, status: int, body: bytes) -> bytes:
        return str(status).encode() + body


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
def test_a_held_message_is_changed_and_its_length_told_anew(framing: bytes) -> None:
    async def test(ends: Ends) -> None:
        await ends.send(ends.client, b"POST /containers/create HTTP/1.1\r\n" + framing + PING)
        await ends.expect(ends.daemon, b"POST /containers/create HTTP/1.1\r\nContent-Length: 4\r\n\r\nABC!")
        await ends.send(ends.daemon, CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
        await ends.expect(ends.client, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n200ok")

    run(test, lambda request: Upper() if request.path == "/containers/create" else None)


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [(b"Content-Length: 2", b"no", b"404"), (b"Content-Length: %d" % (MESSAGE_SIZE_MAX + 1), None, b"413")],
)
def test_a_held_message_may_be_refused(head: bytes, body: bytes | None, status: bytes) -> None:
    async def test(ends: Ends) -> None:
        sending = asyncio.ensure_future(
            ends.send(ends.client, b"POST / HTTP/1.1\r\n%s\r\n\r\n%s" % (head, body or bytes(MESSAGE_SIZE_MAX + 1)))
        )
        answer = await ends.rest(ends.client)
        sending.cancel()
        assert answer.startswith(b"HTTP/1.1 " + status)

    run(test, lambda _: Upper())
