"""Names that are not ours: the query goes to one server of this host after the other, until one answers.

Every query has a socket of its own, so a port of its own, chosen by the kernel at random, and connected, so that the
kernel drops what comes from elsewhere; it has a random id of its own. What does not repeat id and question is ignored
(RFC 5452). Queries go on by the transport by which they came, for who came by TCP wants an answer that is complete.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from adapters.dns.wire import HEADER_SIZE, REFUSED, SERVFAIL, TCP_SIZE_MAX, failure, question_of

IN_FLIGHT_MAX = 1_024
"""Queries that wait at a time; when there are more, who has waited longest gives way."""
SAME_MAX = 64
"""Of these with the same question: beyond it is a loop of servers that ask each other, or a flood."""
RECEIVES_MAX = 8
"""Datagrams that are looked at before others have their turn."""
_CODE = 0x0F


class Asker(Protocol):
    """Whoever waits for an answer."""

    is_tcp: bool
    """Came by TCP."""

    def reply(self, message: bytes) -> None:
        """Take the answer; it is cut where it is too large."""


@dataclass(slots=True, eq=False)
class _Pending:
    query: bytes
    question: bytes
    asker: Asker
    servers: list[tuple[str, int]]
    id: bytes = b""
    socket: socket.socket | None = None
    deadline_ms: int = 0
    unsent: bytes = b""
    received: bytearray = field(default_factory=bytearray)
    last: bytes = b""


class Upstream:
    """Queries on their way."""

    def __init__(self, poll: select.epoll, timeout_ms: int, now_ms: Callable[[], int]) -> None:
        self._poll = poll
        self._timeout_ms = timeout_ms
        self._now_ms = now_ms
        self._waiting: OrderedDict[_Pending, None] = OrderedDict()
        self._same: dict[bytes, int] = {}
        self._sockets: dict[int, _Pending] = {}

    def ask(self, query: bytes, asker: Asker, servers: tuple[tuple[str, int], ...]) -> None:
        """Have a query answered; its asker gets an answer in any case."""
        question = question_of(query).lower()
        if self._same.get(question, 0) >= SAME_MAX:
            asker.reply(failure(query, SERVFAIL))
            return
        if len(self._waiting) >= IN_FLIGHT_MAX:
            self._finish(next(iter(self._waiting)), b"")
        self._same[question] = self._same.get(question, 0) + 1
        pending = _Pending(query, question, asker, list(servers))
        self._waiting[pending] = None
        self._ask_next(pending)

    def handle(self, fd: int, events: int) -> bool:
        """React to what epoll has told; say whether this is one of ours."""
        pending = self._sockets.get(fd)
        if pending is None:
            return False
        try:
            if pending.asker.is_tcp:
                self._go_on_by_tcp(pending, events)
            else:
                self._read_datagrams(pending)
        except BlockingIOError:
            return True
        except OSError:
            self._ask_next(pending)
        return True

    def expire(self) -> None:
        """Give up on servers that have had their time."""
        now_ms = self._now_ms()
        while self._waiting:
            pending = next(iter(self._waiting))
            if pending.deadline_ms > now_ms:
                return
            self._ask_next(pending)

    def _ask_next(self, pending: _Pending) -> None:
        """Ask the next server that can be reached at all."""
        self._close(pending)
        while pending.servers:
            server = pending.servers.pop(0)
            pending.id = os.urandom(2)
            pending.deadline_ms = self._now_ms() + self._timeout_ms
            # The timeout is the same for all, so these stand in the order of their deadlines.
            self._waiting.move_to_end(pending)
            try:
                self._open(pending, server)
            except OSError:
                self._close(pending)
            else:
                return
        self._finish(pending, pending.last)

    def _open(self, pending: _Pending, server: tuple[str, int]) -> None:
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        kind = socket.SOCK_STREAM if pending.asker.is_tcp else socket.SOCK_DGRAM
        made = pending.socket = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        message = pending.id + pending.query[2:]
        if pending.asker.is_tcp:
            pending.unsent = len(message).to_bytes(2) + message
            pending.received.clear()
            code = made.connect_ex(server)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        else:
            made.connect(server)
            made.send(message)
        self._poll.register(made, select.EPOLLOUT if pending.unsent else select.EPOLLIN)
        self._sockets[made.fileno()] = pending

    def _read_datagrams(self, pending: _Pending) -> None:
        assert pending.socket is not None, "epoll has told of it"
        for _ in range(RECEIVES_MAX):
            message = pending.socket.recv(TCP_SIZE_MAX)
            if self._is_answer(pending, message):
                self._take(pending, message)
                return

    def _go_on_by_tcp(self, pending: _Pending, events: int) -> None:
        connection = pending.socket
        assert connection is not None, "epoll has told of it"
        if pending.unsent:
            if events & (select.EPOLLERR | select.EPOLLHUP):
                raise ConnectionError("refused")
            pending.unsent = pending.unsent[connection.send(pending.unsent) :]
            if not pending.unsent:
                self._poll.modify(connection, select.EPOLLIN)
            return
        data = connection.recv(TCP_SIZE_MAX)
        if not data:
            raise ConnectionError("closed before it has answered")
        pending.received += data
        size = int.from_bytes(pending.received[:2])
        if len(pending.received) < 2 + size or len(pending.received) < 2:
            return
        message = bytes(pending.received[2 : 2 + size])
        if not self._is_answer(pending, message):
            raise ConnectionError("an answer to something else")
        self._take(pending, message)

    @staticmethod
    def _is_answer(pending: _Pending, message: bytes) -> bool:
        if len(message) < HEADER_SIZE or message[:2] != pending.id or not message[2] & 0x80:
            return False
        # Who refuses may leave the question out.
        return question_of(message).lower() == pending.question or (message[4:6] == b"\0\0" and message[3] & _CODE != 0)

    def _take(self, pending: _Pending, message: bytes) -> None:
        answer = pending.query[:2] + message[2:]
        if message[3] & _CODE in (SERVFAIL, REFUSED):
            # Another may know; if none does, this is what there is to say.
            pending.last = answer
            self._ask_next(pending)
        else:
            self._finish(pending, answer)

    def _finish(self, pending: _Pending, answer: bytes) -> None:
        self._close(pending)
        del self._waiting[pending]
        self._same[pending.question] -= 1
        if not self._same[pending.question]:
            del self._same[pending.question]
        pending.asker.reply(answer or failure(pending.query, SERVFAIL))

    def _close(self, pending: _Pending) -> None:
        if pending.socket is None:
            return
        # Closing takes it out of epoll as well.
        self._sockets.pop(pending.socket.fileno(), None)
        pending.socket.close()
        pending.socket = None
        pending.unsent = b""
