"""Connections between simulated hosts: ordered, reliable, and as fragile as TCP.

Within one direction of one connection nothing is lost, doubled or reordered: a lost segment is a stall. A connection
that cannot get through stalls until the path heals, an end gives up, or TCP itself does. Between connections anything
may overtake anything. Paths are directed: a cut may be one-way. Randomness is one stream per directed path, so that
editing one path leaves the others as they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from core.messages import Message
from core.types import LinkId

DIAL_TIMEOUT_US = 5_000_000
"""The shell gives a dial this long."""
TCP_TIMEOUT_US = 30_000_000
"""A segment unacknowledged for this long resets the connection."""
STALL_US = 200_000
"""Linux' least retransmission time-out: what one lost segment costs."""
FIRST_EPHEMERAL_PORT = 32_768


@dataclass(frozen=True, slots=True)
class Path:
    """How one direction between two hosts behaves."""

    latency_us: int
    """Least time on the way."""
    jitter_us: int
    """Up to this much more, evenly drawn."""


@dataclass(slots=True)
class End:
    """One end of a connection, and the direction that leaves it."""

    host: int
    """Index of the host."""
    link: LinkId
    """Its number there; one machine never uses it twice."""
    is_open: bool = True
    """It has neither been closed nor reported down."""
    last_us: int = 0
    """When the newest message under way arrives."""
    held: list[tuple[int, Message | None]] = field(default_factory=list)
    """What waits for the path to heal: since when, and the message; None is the end of the stream."""


@dataclass(slots=True)
class Connection:
    """Two ends."""

    ends: tuple[End, End]
    """The dialler's end first."""
    is_dead: bool = False
    """Reset: nothing under way arrives any more."""

    def end_of(self, host: int) -> End:
        """Return a host's own end."""
        return self.ends[0] if self.ends[0].host == host else self.ends[1]

    def far_end(self, host: int) -> End:
        """Return the other end."""
        return self.ends[1] if self.ends[0].host == host else self.ends[0]


class Network:
    """Carries messages and the ends of streams; knows nothing about what they say."""

    def __init__(
        self,
        seed: str,
        *,
        schedule: Callable[[int, Callable[[], None]], None],
        receive: Callable[[End, Message], None],
        down: Callable[[End, str], None],
        clock: Callable[[], int],
    ) -> None:
        """`schedule(delay_us, action)` runs an action later; `receive` and `down` report to the host of that end."""
        self._schedule = schedule
        self._receive = receive
        self._down = down
        self._clock = clock
        self._seed = seed
        self._roads: dict[tuple[int, int], tuple[Path, random.Random]] = {}
        self._loss = 0.0
        self._walls: dict[tuple[int, int], None] = {}
        self._cuts: dict[tuple[int, int], None] = {}
        self._connections: dict[tuple[int, LinkId], Connection] = {}
        self.draw_path: Callable[[random.Random], Path] = any_path
        """Decides how a path behaves when something goes there for the first time."""

    def wall(self, source: int, target: int) -> None:
        """Remove the path from one host to another for good."""
        self._walls[source, target] = None

    def lose(self, loss: float) -> None:
        """Set the loss of all paths."""
        self._loss = loss

    def cut(self, source: int, target: int) -> None:
        """Stop everything from one host to another."""
        self._cuts[source, target] = None

    def heal(self) -> None:
        """End all cuts; what was held arrives after the next retransmission."""
        self._cuts.clear()
        for connection in self.connections:
            for end in connection.ends:
                self._release(connection, end)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that somebody can use or that owe somebody something, oldest first."""
        return tuple(self._connections.values())

    def passes(self, source: int, target: int) -> bool:
        """Say whether anything gets from one host to another."""
        return (source, target) not in self._cuts and (source, target) not in self._walls

    def delay_us(self, source: int, target: int) -> int:
        """Draw how long the next message takes."""
        road = self._roads.get((source, target))
        if road is None:
            entropy = random.Random(f"{self._seed}/path/{source}/{target}")
            road = self._roads[source, target] = self.draw_path(entropy), entropy
        path, entropy = road
        delay_us = path.latency_us + entropy.randint(0, path.jitter_us)
        while self._loss and entropy.random() < self._loss:
            delay_us += STALL_US
        return delay_us

    def connect(self, source: End, target: End) -> Connection:
        """Make a connection; both ends may be used at once."""
        connection = Connection((source, target))
        self._connections[source.host, source.link] = connection
        return connection

    def send(self, connection: Connection, sender: End, message: Message | None) -> None:
        """Put a message, or with None the end of the stream, on its way."""
        receiver = connection.far_end(sender.host)
        if not self.passes(sender.host, receiver.host) or sender.held:
            sender.held.append((self._clock(), message))
            self._schedule(TCP_TIMEOUT_US, lambda: self._give_up(connection, sender))
            return
        arrival_us = max(sender.last_us + 1, self._clock() + self.delay_us(sender.host, receiver.host))
        sender.last_us = arrival_us
        self._schedule(arrival_us - self._clock(), lambda: self._arrive(connection, receiver, message))

    def close(self, connection: Connection, end: End, *, silent: bool = False) -> None:
        """Close one end after what it has sent; a silent close, of a machine without power, tells nobody."""
        if not end.is_open:
            return
        end.is_open = False
        if not silent:
            self.send(connection, end, None)
        self._forget(connection)

    def reset(self, connection: Connection) -> None:
        """Break a connection; both ends learn of it, what was under way is lost."""
        connection.is_dead = True
        for end in connection.ends:
            if end.is_open:
                end.is_open = False
                self._down(end, "connection reset by peer")
        self._forget(connection)

    def reset_between(self, one: int, other: int) -> bool:
        """Break all connections between two hosts; say whether there were any."""
        pair = {one: None, other: None}
        found = [
            connection
            for connection in self.connections
            if not connection.is_dead and {end.host: None for end in connection.ends} == pair
        ]
        for connection in found:
            self.reset(connection)
        return bool(found)

    def _arrive(self, connection: Connection, receiver: End, message: Message | None) -> None:
        if connection.is_dead or not receiver.is_open:
            return
        if message is not None:
            self._receive(receiver, message)
            return
        receiver.is_open = False
        self._down(receiver, "EOF")
        self._forget(connection)

    def _release(self, connection: Connection, sender: End) -> None:
        if not sender.held or not self.passes(sender.host, connection.far_end(sender.host).host):
            return
        held, sender.held = sender.held, []
        sender.last_us = max(sender.last_us, self._clock() + STALL_US)
        for _, message in held:
            self.send(connection, sender, message)

    def _give_up(self, connection: Connection, sender: End) -> None:
        if not sender.held or self._clock() - sender.held[0][0] < TCP_TIMEOUT_US:
            return
        sender.held.clear()
        connection.is_dead = True
        self._forget(connection)
        if sender.is_open:
            sender.is_open = False
            self._down(sender, "connection timed out")

    def _forget(self, connection: Connection) -> None:
        """Drop a connection that nobody can use and that owes nobody anything."""
        held = any(end.held for end in connection.ends) and not connection.is_dead
        if not any(end.is_open for end in connection.ends) and not held:
            source = connection.ends[0]
            self._connections.pop((source.host, source.link), None)


def any_path(entropy: random.Random) -> Path:
    """Draw a path through a rack, a town or a continent, with or without busy queues."""
    return Path(entropy.choice((100, 1_000, 20_000)), entropy.choice((50, 5_000)))
