"""The sockets on which queries come, one of UDP and one of TCP for each address, as addresses come and go."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

from adapters.dns.addresses import wanted
from adapters.dns.options import ServerOptions

LOOK_MS = 2_000
"""Between two looks at addresses; the bridge may get one at any time."""
BACKLOG = 256
RECEIVE_BUFFER = 1024 * 1024
"""Bytes of queries that wait while something else is done; the kernel may allow less."""

Place = tuple[str, int]
"""Address and port."""


class Listeners:
    """All of them."""

    def __init__(self, options: ServerOptions, poll: select.epoll) -> None:
        self._options = options
        self._poll = poll
        self._open: dict[Place, tuple[socket.socket, socket.socket]] = {}
        self._looked_ms = -LOOK_MS
        self.udp: dict[int, socket.socket] = {}
        """By descriptor."""
        self.tcp: dict[int, socket.socket] = {}
        """By descriptor."""
        self.trouble = ""
        """Why some address is not served, or there is none."""

    def places(self) -> tuple[Place, ...]:
        """Return where we are asked."""
        return tuple(self._open)

    def look(self, now_ms: int) -> None:
        """Open what is missing and close what is no more, every now and then."""
        if now_ms - self._looked_ms < LOOK_MS:
            return
        self._looked_ms = now_ms
        try:
            places, self.trouble = wanted(self._options)
        except OSError as error:
            self.trouble = f"addresses cannot be read: {error.strerror}"
            return
        for place in tuple(self._open):
            if place not in places:
                self._close(place)
        for place in places:
            if place not in self._open:
                try:
                    self._add(place)
                except OSError as error:
                    self.trouble = f"{place_text(place)}: {os.strerror(error.errno or 0)}"

    def _add(self, place: Place) -> None:
        udp, tcp = open_sockets(place)
        self._open[place] = (udp, tcp)
        self.udp[udp.fileno()] = udp
        self.tcp[tcp.fileno()] = tcp
        for made in (udp, tcp):
            self._poll.register(made, select.EPOLLIN)

    def _close(self, place: Place) -> None:
        udp, tcp = self._open.pop(place)
        del self.udp[udp.fileno()], self.tcp[tcp.fileno()]
        udp.close()
        tcp.close()


def place_text(place: Place) -> str:
    """Write an address and a port as people do."""
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_sockets(place: Place) -> tuple[socket.socket, socket.socket]:
    """Return sockets of UDP and TCP that listen there. Raises: OSError."""
    made = list(_sockets(place))
    assert len(made) == 2, "UDP and TCP"
    return made[0], made[1]


def _sockets(place: Place) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_STREAM:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            made.bind(place)
            if kind == socket.SOCK_STREAM:
                made.listen(BACKLOG)
        except OSError:
            made.close()
            raise
        yield made
