"""The process that answers: one thread, one loop, nothing that waits.

It knows what the agent tells it, and asks it nothing; while the agent is busy, answers are those of a moment ago.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any

from adapters.dns.clients import Client, Clients
from adapters.dns.control import status_message, unpacker
from adapters.dns.listeners import Listeners, place_text
from adapters.dns.odd import reply_to
from adapters.dns.options import ServerOptions
from adapters.dns.resolv_conf import ResolvConf
from adapters.dns.table import Table
from adapters.dns.upstream import Asker, Upstream
from adapters.dns.wire import SERVFAIL, UDP_SIZE_MAX, UDP_SIZE_MIN, failure, question_of
from core.naming.status import ServerStatus

TICK_MS = 100
"""Between two looks at what is due."""
DATAGRAMS_MAX = 64
"""Datagrams taken from one socket before the others have their turn."""
CONTROL_SIZE = 8_192
"""Bytes taken from the agent at a time: some 80 names, a millisecond."""


class UdpAsker:
    """Whoever sent a datagram that others are asked about."""

    is_tcp = False

    def __init__(self, listener: socket.socket, source: tuple[Any, ...], query: bytes) -> None:
        # Any: an address has as many parts as its family wants.
        self._listener = listener
        self._source = source
        self._query = query

    def reply(self, message: bytes) -> None:
        """Send an answer, cut where the asker does not take as much."""
        if len(message) > udp_size(self._query):
            message = truncated(message)
        # It, or our address, may be gone.
        with contextlib.suppress(OSError):
            self._listener.sendto(message, self._source)


class Worker:
    """The loop and all it holds."""

    def __init__(self, control: socket.socket, options: ServerOptions) -> None:
        self._control = control
        self._control.setblocking(False)
        self._options = options
        self._table = self._new_table()
        self._coming: Table | None = None
        self._messages = unpacker()
        self._poll = select.epoll()
        self._listeners = Listeners(options, self._poll)
        self._resolv_conf = ResolvConf(options.resolv_conf)
        self._upstream = Upstream(self._poll, options.timeout_ms, _now_ms)
        self._clients = Clients(self._poll, self._answer_client, _now_ms)
        self._told: ServerStatus | None = None
        self._next_ms = 0
        self._poll.register(control, select.EPOLLIN)

    def run(self) -> None:
        """Serve until the agent closes the control socket."""
        control = self._control.fileno()
        udp, tcp = self._listeners.udp, self._listeners.tcp
        while True:
            for fd, events in self._poll.poll(max(0, self._next_ms - _now_ms()) / 1000):
                listener = udp.get(fd)
                if listener is not None:
                    self._read_datagrams(listener)
                elif fd == control:
                    if not self._read_control():
                        return
                elif fd in tcp:
                    self._clients.accept(tcp[fd])
                elif not self._clients.handle(fd, events):
                    self._upstream.handle(fd, events)
            if _now_ms() >= self._next_ms:
                self._tick()

    def _read_datagrams(self, listener: socket.socket) -> None:
        receive, send, answer = listener.recvfrom, listener.sendto, self._table.answer
        for _ in range(DATAGRAMS_MAX):
            try:
                query, source = receive(UDP_SIZE_MAX)
            except OSError:
                # There are no more, or one that was sent could not be delivered.
                return
            reply = answer(query)
            if reply is None:
                reply = self._others(query, UdpAsker(listener, source, query))
            if reply:
                # Who cannot be reached asks again.
                with contextlib.suppress(OSError):
                    send(reply, source)

    def _answer_client(self, query: bytes, client: Client) -> bytes | None:
        reply = self._table.answer(query, is_tcp=True)
        return self._others(query, client) if reply is None else reply

    def _others(self, query: bytes, asker: Asker) -> bytes | None:
        """Answer what is unusual, or have others answer what is not ours and return None."""
        reply = reply_to(query, self._table, is_tcp=asker.is_tcp)
        if reply is not None:
            return reply
        servers = self._servers()
        if not servers:
            return failure(query, SERVFAIL)
        self._upstream.ask(query, asker, servers)
        return None

    def _servers(self) -> tuple[tuple[str, int], ...]:
        return self._resolv_conf.servers(_now_ms(), self._listeners.places())

    def _read_control(self) -> bool:
        """Take some of what the agent says; return whether it is still there."""
        try:
            data = self._control.recv(CONTROL_SIZE)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._messages.feed(data)
        for message in self._messages:
            kind = message[0]
            if kind == "begin":
                self._coming = self._new_table()
            elif kind == "names":
                into = self._coming or self._table
                for row in message[1]:
                    into.set(*row)
            elif kind == "end":
                assert self._coming is not None, "the agent has said 'begin'"
                self._table, self._coming = self._coming, None
            else:
                raise AssertionError(f"an agent does not say {kind}")
        return bool(data)

    def _tick(self) -> None:
        now_ms = _now_ms()
        self._next_ms = now_ms + TICK_MS
        self._listeners.look(now_ms)
        self._upstream.expire()
        self._clients.expire()
        trouble = self._listeners.trouble
        if self._table.left_out:
            trouble = f"{self._table.left_out} names have no room and are not answered; {trouble}".rstrip("; ")
        status = ServerStatus(
            tuple(place_text(place) for place in self._listeners.places()),
            tuple(place_text(server) for server in self._servers()),
            trouble,
        )
        if status != self._told:
            # The agent reads at every turn of its loop; if not now, then at the next tick.
            with contextlib.suppress(OSError):
                message = status_message(status)
                if self._control.send(message) == len(message):
                    self._told = status

    def _new_table(self) -> Table:
        return Table(self._options.domain, self._options.ttl_s, int(time.time()))


def udp_size(query: bytes) -> int:
    """Return how large an answer may be, as far as a query says."""
    at = query.find(b"\0\0\x29", len(question_of(query)))
    size = int.from_bytes(query[at + 3 : at + 5]) if at > 0 and query[10:12] != b"\0\0" else 0
    return max(UDP_SIZE_MIN, min(size, UDP_SIZE_MAX))


def truncated(message: bytes) -> bytes:
    """Return an answer with nothing in it, marked so that the asker comes back by TCP."""
    question = question_of(message)
    flags = bytes((message[2] | 0x02, message[3]))
    return message[:2] + flags + (b"\0\1" if question else b"\0\0") + b"\0\0\0\0\0\0" + question


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
