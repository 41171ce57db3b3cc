"""Who asks by TCP: messages with their size in front, any number of them, one after the other (RFC 7766).

Nobody is waited for: who says nothing complete for a while is let go, and when there are too many, who has been quiet
for longest makes room. Who takes no answers is asked no more questions.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import OrderedDict
from collections.abc import Callable

from adapters.dns.wire import TCP_SIZE_MAX

CLIENTS_MAX = 1_000
"""At a time; a thousand of them take some 2 MB."""
IDLE_MS = 10_000
"""Between complete queries; resolvers ask at once, or connect anew."""
QUERY_SIZE_MAX = 4_096
"""Bytes; those with all that there is in a query have less than 600."""
READ_SIZE = 4_096
"""Bytes read at a time, some 100 queries."""
UNSENT_MAX = 64 * 1024
"""Bytes of answers that wait for a client; then its next query waits as well."""
WAITING_MAX = 64
"""Queries of one client that others are asked for at a time; then its next query waits."""
ACCEPTS_MAX = 64
"""Connections taken before others have their turn."""


class Client:
    """One connection."""

    is_tcp = True

    def __init__(self, clients: Clients, connection: socket.socket, now_ms: int) -> None:
        self.connection = connection
        self.fd = connection.fileno()
        self.is_open = True
        self.heard_ms = now_ms
        self.received = bytearray()
        self.unsent = bytearray()
        self.waiting = 0
        """Queries that others are asked for."""
        self.is_busy = False
        """Its queries are being answered."""
        self._clients = clients

    def reply(self, message: bytes) -> None:
        """Take an answer that was waited for; it is late if the client has gone."""
        self.waiting -= 1
        self._clients.answered(self, message)


class Clients:
    """All of them."""

    def __init__(
        self, poll: select.epoll, answer: Callable[[bytes, Client], bytes | None], now_ms: Callable[[], int]
    ) -> None:
        """`answer` returns an answer, empty for none, or None when it comes later, by `Client.reply`."""
        self._poll = poll
        self._answer = answer
        self._now_ms = now_ms
        self._clients: OrderedDict[int, Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def accept(self, listener: socket.socket) -> None:
        """Take connections that wait."""
        for _ in range(ACCEPTS_MAX):
            if len(self._clients) >= CLIENTS_MAX:
                self._close_oldest()
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # It has gone already, or there are too many open files.
                self._close_oldest()
                return
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[connection.fileno()] = Client(self, connection, self._now_ms())
            self._poll.register(connection, select.EPOLLIN)

    def handle(self, fd: int, events: int) -> bool:
        """React to what epoll has told; say whether this is one of ours."""
        client = self._clients.get(fd)
        if client is None:
            return False
        try:
            if events & select.EPOLLOUT:
                self._go_on(client)
            else:
                self._read(client)
        except OSError:
            self._close(client)
        return True

    def answered(self, client: Client, message: bytes) -> None:
        """Send an answer to a query that has waited."""
        if not client.is_open:
            return
        self._heard(client)
        _queue(client, message)
        if not client.is_busy:
            try:
                self._go_on(client)
            except OSError:
                self._close(client)

    def expire(self) -> None:
        """Let go of those who have said nothing for too long."""
        now_ms = self._now_ms()
        for client in list(self._clients.values()):
            if now_ms - client.heard_ms < IDLE_MS:
                return
            if client.waiting:
                self._heard(client)
            else:
                self._close(client)

    def _read(self, client: Client) -> None:
        try:
            data = client.connection.recv(READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionError("closed")
        client.received += data
        self._go_on(client)

    def _go_on(self, client: Client) -> None:
        """Answer what is complete as far as answers are taken, and see what to wait for. Raises: OSError."""
        while True:
            is_held_up = not self._answer_all(client)
            if not client.is_open:
                return
            if client.unsent:
                with contextlib.suppress(BlockingIOError):
                    del client.unsent[: client.connection.send(client.unsent)]
            if client.unsent or not is_held_up or client.waiting >= WAITING_MAX:
                break
        wanted = select.EPOLLOUT if client.unsent else 0 if is_held_up else select.EPOLLIN
        self._poll.modify(client.connection, wanted)

    def _answer_all(self, client: Client) -> bool:
        """Answer complete queries; return whether none are left. Raises: ConnectionError."""
        received, at = client.received, 0
        client.is_busy = True
        is_all = False
        while client.is_open and client.waiting < WAITING_MAX and len(client.unsent) < UNSENT_MAX:
            size = int.from_bytes(received[at : at + 2])
            if size > QUERY_SIZE_MAX:
                raise ConnectionError("no query is that long")
            is_all = len(received) - at < 2 + size or len(received) - at < 2
            if is_all:
                break
            query = bytes(received[at + 2 : at + 2 + size])
            at += 2 + size
            client.waiting += 1
            answer = self._answer(query, client)
            if answer is not None:
                client.waiting -= 1
                _queue(client, answer)
        client.is_busy = False
        if at and client.is_open:
            self._heard(client)
            del received[:at]
        return is_all

    def _heard(self, client: Client) -> None:
        client.heard_ms = self._now_ms()
        self._clients.move_to_end(client.fd)

    def _close_oldest(self) -> None:
        if self._clients:
            self._close(next(iter(self._clients.values())))

    def _close(self, client: Client) -> None:
        if client.is_open:
            client.is_open = False
            del self._clients[client.fd]
            client.connection.close()


def _queue(client: Client, message: bytes) -> None:
    if message:
        assert len(message) <= TCP_SIZE_MAX, "answers are cut where they are made"
        client.unsent += len(message).to_bytes(2) + message
