"""A network between hosts that only listen, under a clock of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from core.messages import Digest, Message
from core.types import LinkId
from sim.network import Connection, End, Network
from sim.paths import Path

LATENCY_US = 1_000


class Cables:
    """Notes what arrives, where and when."""

    def __init__(self, path: Path | None = None) -> None:
        self.now_us = 0
        self.dark: dict[int, None] = {}
        self.deaf: dict[int, None] = {}
        """Hosts that take no calls."""
        self.heard: list[tuple[int, int, object]] = []
        """Time, host, and what: a message, `open`, `garbage`, or why a connection went down."""
        self.network = Network("1", schedule=self.schedule, clock=lambda: self.now_us, machines=self)
        self.network.draw_path = lambda _: path or Path(LATENCY_US, 0)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._links = 0

    def schedule(self, delay_us: int, action: Callable[[], None]) -> None:
        self._links += 1
        heapq.heappush(self._heap, (self.now_us + delay_us, self._links, action))

    def run(self, until_us: int) -> None:
        while self._heap and self._heap[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(self._heap)
            action()
        self.now_us = until_us

    def connect(self, source: int = 0, target: int = 1) -> tuple[Connection, End, End]:
        """Make a connection, and forget that it was made."""
        self._links += 2
        near, far = End(source, LinkId(self._links - 1)), End(target, LinkId(self._links))
        connection = self.network.connect(near, far)
        self.run(self.now_us + LATENCY_US)
        self.heard.clear()
        return connection, near, far

    def say(self, connection: Connection, sender: End, *numbers: int) -> None:
        for number in numbers:
            self.network.send(connection, sender, Digest(number))

    def numbers(self, host: int) -> list[int]:
        """Return the numbers that arrived at a host."""
        return [what.root for _, index, what in self.heard if index == host and isinstance(what, Digest)]

    def ends(self, host: int) -> list[str]:
        """Return why connections ended for a host."""
        return [what for _, index, what in self.heard if index == host and isinstance(what, str)]

    # What the network tells.

    def opened(self, connection: Connection, end: End) -> bool:
        self.heard.append((self.now_us, end.host, "open"))
        return end.host not in self.deaf

    def received(self, end: End, message: Message) -> None:
        self.heard.append((self.now_us, end.host, message))

    def garbled(self, end: End) -> None:
        self.heard.append((self.now_us, end.host, "garbage"))

    def went_down(self, end: End, reason: str) -> None:
        self.heard.append((self.now_us, end.host, reason))

    def is_dark(self, host: int) -> bool:
        return host in self.dark
