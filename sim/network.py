"""Connections between simulated hosts: ordered, reliable, and as fragile as TCP.

Within one direction of one connection nothing is lost, doubled or reordered: a lost segment is a stall. A frame arrives
whole or not at all. A connection that cannot get through stalls until the path heals, an end gives up, or TCP itself
does. An end that is gone says so to whoever still speaks to it, if its machine is there and the way back is open: until
then the other end is half-open, and does not know. Between connections anything may overtake anything.

Paths are directed: a cut may be one-way. A host behind a NAT cannot be called; its connections live in the NAT's memory
as long as something passes, and what is sent over a forgotten one is swallowed without a word.

Source: RFC 793 (half-open connections), RFC 2923 (MTU black holes), RFC 5382 (TCP through NAT).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import blake2b
from typing import Any, Protocol

from core.messages import Message
from core.types import LinkId
from sim.paths import STALL_US, Path, Road, any_path
from sim.sizes import message_size

TCP_TIMEOUT_US = 30_000_000
"""A segment unacknowledged for this long ends the connection for its sender."""


class Mark(Enum):
    """What travels in a stream besides messages."""

    OPEN = "open"
    """The dialler has heard back: the connection stands."""
    END = "end"
    """The sender has closed."""
    GARBLED = "garbled"
    """What was a message."""


Item = Message | Mark


@dataclass(slots=True)
class End:
    """One end of a connection, and the direction that leaves it."""

    host: int
    """Index of the host."""
    link: LinkId
    """Its number there; one machine never uses it twice."""
    life: int = 0
    """In which life of the host."""
    is_open: bool = True
    """It has neither been closed nor reported down."""
    has_ended: bool = False
    """It has said, or will say as soon as it gets through, that it has closed."""
    is_deaf: bool = False
    """Garbage has arrived; nothing more is read."""
    last_us: int = 0
    """When the newest item under way arrives."""
    line_free_us: int = 0
    """When a slow line has carried all that was sent."""
    held: list[tuple[int, Item]] = field(default_factory=list)
    """What does not get through at present, and since when."""


@dataclass(slots=True)
class Nat:
    """The translator in front of one host."""

    expiry_us: int = 0
    """It forgets a connection over which nothing passes for longer; 0 for never."""
    restarted_us: int = -1
    """When it has forgotten all connections of before."""


@dataclass(slots=True)
class Connection:
    """Two ends."""

    ends: tuple[End, End]
    """The dialler's end first."""
    nat: Nat | None = None
    """What stands before the dialler."""
    used_us: int = 0
    """When something passed the NAT last."""
    made_us: int = 0
    """Since when it stands."""
    session: str = ""
    """Names what both ends have agreed on."""
    is_broken: bool = False
    """Somebody on the way has broken it: nothing under way arrives any more."""
    is_forgotten: bool = False
    """The NAT does not know it any more."""

    def beyond(self, end: End) -> End:
        """Return the other end; both may be on one host, which has called itself."""
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def far_end(self, host: int) -> End:
        """Return the other end."""
        return self.ends[1] if self.ends[0].host == host else self.ends[0]


class Machines(Protocol):
    """What the network tells the hosts, and asks of them."""

    def opened(self, connection: Connection, end: End) -> bool:
        """A call has come through; say whether somebody takes it."""

    def received(self, end: End, message: Message) -> None:
        """A message has arrived."""

    def garbled(self, end: End) -> None:
        """Garbage has arrived."""

    def went_down(self, end: End, reason: str) -> None:
        """A connection has ended for this end."""

    def is_dark(self, host: int) -> bool:
        """Say whether a machine is without power, so that nothing answers there."""


class Network:
    """Carries messages and the ends of streams; knows nothing about what they say."""

    def __init__(
        self,
        seed: str,
        *,
        schedule: Callable[[int, Callable[[], None]], None],
        clock: Callable[[], int],
        machines: Machines,
    ) -> None:
        """`schedule(delay_us, action)` runs an action later."""
        self._schedule = schedule
        self._clock = clock
        self._machines = machines
        self._seed = seed
        self._roads: dict[tuple[int, int], Road] = {}
        self._loss_percent = 0
        self._walls: dict[tuple[int, int], None] = {}
        self._cuts: dict[tuple[int, int], None] = {}
        self._blocks: dict[tuple[int, int, str], None] = {}
        self._bars: dict[tuple[int, int, str], None] = {}
        self._nats: dict[int, Nat] = {}
        self._connections: dict[tuple[int, LinkId], Connection] = {}
        self.draw_path: Callable[[random.Random], Path] = any_path
        """Decides how a path behaves when something goes there for the first time."""

    # How it is.

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that somebody can use or that owe somebody something, oldest first."""
        return tuple(self._connections.values())

    def between(self, one: int, other: int) -> tuple[Connection, ...]:
        """Return the connections between two hosts."""
        pairs = ((one, other), (other, one))
        return tuple(item for item in self.connections if (item.ends[0].host, item.ends[1].host) in pairs)

    def passes(self, source: int, target: int) -> bool:
        """Say whether anything gets from one host to another."""
        pair = source, target
        return pair not in self._cuts and pair not in self._walls

    def carries(self, source: int, target: int, transport: str) -> bool:
        """Say whether frames get from one host to another by a transport, as far as the network is concerned."""
        way = source, target, transport
        road = self._roads.get((source, target))
        is_clogged = road is not None and road.clogged_until_us > self._clock()
        return self.passes(source, target) and not is_clogged and way not in self._blocks and way not in self._bars

    def size_max(self, source: int, target: int) -> int:
        """Return the size of the largest packet that gets from one host to another; 0 for no limit."""
        road = self._roads.get((source, target))
        return 0 if road is None else road.path.size_max

    def has_wall(self, source: int, target: int) -> bool:
        """Say whether there never is a path from one host to another."""
        return (source, target) in self._walls

    def nat(self, host: int) -> Nat | None:
        """Return what stands before a host; None when everybody can call it."""
        return self._nats.get(host)

    def delay_us(self, source: int, target: int) -> int:
        """Draw how long the next message of a connection takes."""
        return self._road(source, target).stream_us(self._clock(), self._loss_percent)

    def datagrams_us(self, source: int, target: int) -> tuple[int, ...]:
        """Draw how long each copy of a datagram takes; none when it is lost or the path is cut."""
        if not self.passes(source, target):
            return ()
        return self._road(source, target).datagrams_us(self._clock(), self._loss_percent)

    # What changes it.

    def wall(self, source: int, target: int) -> None:
        """Remove the path from one host to another for good."""
        self._walls[source, target] = None

    def bar(self, source: int, target: int, transport: str) -> None:
        """Let a transport of frames never get from one host to another."""
        self._bars[source, target, transport] = None

    def block(self, source: int, target: int, transport: str) -> None:
        """Stop a transport of frames from one host to another; connections are not concerned."""
        self._blocks[source, target, transport] = None

    def unblock(self, source: int, target: int, transport: str) -> None:
        """Let it through again."""
        self._blocks.pop((source, target, transport), None)

    def hide(self, host: int) -> None:
        """Put a host behind a NAT."""
        self._nats[host] = Nat()

    def lose(self, percent: int) -> None:
        """Set what all paths lose at least."""
        self._loss_percent = percent

    def cut(self, source: int, target: int) -> None:
        """Stop everything from one host to another."""
        self._cuts[source, target] = None

    def heal(self) -> None:
        """End all cuts; what was held arrives after the next retransmission."""
        self._cuts.clear()
        self._release_all()

    def clog(self, source: int, target: int, until_us: int) -> None:
        """Let nothing arrive from one host at another before a time, and then everything."""
        road = self._road(source, target)
        road.clogged_until_us = max(road.clogged_until_us, until_us)

    def change(self, source: int, target: int, **fields: Any) -> None:
        """Change how a path behaves. Any: each field of `Path` by its name."""
        road = self._road(source, target)
        road.change(replace(road.path, **fields))
        self._release_all()

    def ease(self) -> None:
        """Let all paths behave as they do when nothing is wrong, block nothing, and let NATs forget nothing."""
        self._loss_percent = 0
        self._blocks.clear()
        for road in self._roads.values():
            road.change(road.origin)
            road.clogged_until_us = 0
        for nat in self._nats.values():
            nat.expiry_us = 0
        self._release_all()

    # Connections.

    def connect(self, source: End, target: End) -> Connection:
        """Make a connection as the dialler hears back; the other end opens when the first thing arrives there."""
        now_us = self._clock()
        target.is_open = False
        session = blake2b(f"{self._seed}/{source.host}/{source.link}".encode(), digest_size=8).hexdigest()
        connection = Connection((source, target), self._nats.get(source.host), now_us, now_us, session)
        self._connections[source.host, source.link] = connection
        self.send(connection, source, Mark.OPEN)
        return connection

    def send(self, connection: Connection, sender: End, item: Item) -> None:
        """Put a message on its way; without effect when the end is closed."""
        if not sender.is_open:
            return
        if sender.held or not self._gets_through(connection, sender, item):
            sender.held.append((self._clock(), item))
            self._schedule(TCP_TIMEOUT_US, lambda: self._give_up(connection, sender))
        else:
            self._put(connection, sender, item)

    def close(self, connection: Connection, end: End, *, silent: bool = False) -> None:
        """Close one end after what it has sent; a silent close, of a machine without power, tells nobody."""
        if not end.is_open:
            return
        if silent:
            end.held.clear()
        else:
            end.has_ended = True
            self.send(connection, end, Mark.END)
        end.is_open = False
        self._forget(connection)

    def reset(self, connection: Connection) -> None:
        """Break a connection; both ends learn of it, what was under way is lost, a frame cut in two with it."""
        connection.is_broken = True
        for end in connection.ends:
            self._end(connection, end, "connection reset by peer")

    def sever(self, connection: Connection, end: End) -> None:
        """Break a connection for one end only: the other finds out when it speaks."""
        self._end(connection, end, "connection reset by peer")

    # Helpers.

    def _road(self, source: int, target: int) -> Road:
        road = self._roads.get((source, target))
        if road is None:
            entropy = random.Random(f"{self._seed}/path/{source}/{target}")
            path = self.draw_path(entropy)
            road = self._roads[source, target] = Road(entropy, path, path)
        return road

    def _gets_through(self, connection: Connection, sender: End, item: Item) -> bool:
        receiver = connection.beyond(sender)
        if not self.passes(sender.host, receiver.host):
            return False
        if connection.nat is not None and self._is_forgotten(connection, connection.nat):
            return False
        size_max = self._road(sender.host, receiver.host).path.size_max
        return not size_max or isinstance(item, Mark) or message_size(item) <= size_max

    def _is_forgotten(self, connection: Connection, nat: Nat) -> bool:
        is_idle = nat.expiry_us > 0 and self._clock() - connection.used_us > nat.expiry_us
        if is_idle or nat.restarted_us >= connection.made_us:
            connection.is_forgotten = True
        return connection.is_forgotten

    def _put(self, connection: Connection, sender: End, item: Item) -> None:
        """Send what gets through."""
        now_us = connection.used_us = self._clock()
        receiver = connection.beyond(sender)
        road = self._road(sender.host, receiver.host)
        path = road.path
        delay_us = road.stream_us(now_us, self._loss_percent)
        if path.bytes_per_s and not isinstance(item, Mark):
            delay_us += _line_us(path, sender, now_us, message_size(item))
        if path.corrupt_percent and not isinstance(item, Mark) and road.is_garbled():
            item = Mark.GARBLED
        arrival_us = max(sender.last_us + 1, now_us + delay_us)
        sender.last_us = arrival_us
        self._schedule(arrival_us - now_us, lambda: self._arrive(connection, receiver, item))

    def _arrive(self, connection: Connection, receiver: End, item: Item) -> None:
        if connection.is_broken or receiver.is_deaf:
            return
        if item is Mark.OPEN:
            self._open(connection, receiver)
        elif not receiver.is_open:
            self._refuse(connection, receiver)
        elif item is Mark.END:
            self._end(connection, receiver, "EOF")
        elif item is Mark.GARBLED:
            receiver.is_deaf = True
            self._machines.garbled(receiver)
        elif not isinstance(item, Mark):
            self._machines.received(receiver, item)

    def _open(self, connection: Connection, receiver: End) -> None:
        receiver.is_open = True
        source = connection.ends[0]
        self._connections[source.host, source.link] = connection
        if not self._machines.opened(connection, receiver):
            receiver.is_open = False
            self._refuse(connection, receiver)
            self._forget(connection)

    def _refuse(self, connection: Connection, receiver: End) -> None:
        """Answer for an end that is gone: nothing here knows this connection."""
        sender = connection.beyond(receiver)
        if not sender.is_open or receiver.has_ended or self._machines.is_dark(receiver.host):
            return
        for delay_us in self.datagrams_us(receiver.host, sender.host):
            self._schedule(delay_us, lambda: self._end(connection, sender, "connection reset by peer"))

    def _end(self, connection: Connection, end: End, reason: str) -> None:
        if end.is_open:
            end.is_open = False
            end.held.clear()
            self._machines.went_down(end, reason)
        self._forget(connection)

    def _release_all(self) -> None:
        for connection in self.connections:
            for end in connection.ends:
                if end.held:
                    self._release(connection, end)

    def _release(self, connection: Connection, sender: End) -> None:
        """Send what was held, as far as it gets through."""
        held, sender.held = sender.held, []
        for index, (_, item) in enumerate(held):
            if not self._gets_through(connection, sender, item):
                sender.held = held[index:]
                return
            if not index:
                sender.last_us = max(sender.last_us, self._clock() + STALL_US)
            self._put(connection, sender, item)

    def _give_up(self, connection: Connection, sender: End) -> None:
        if not sender.held or self._clock() - sender.held[0][0] < TCP_TIMEOUT_US:
            return
        sender.held.clear()
        # What is still said to this end is answered like anything for a connection that is not known.
        sender.has_ended = False
        self._end(connection, sender, "connection timed out")

    def _forget(self, connection: Connection) -> None:
        """Drop a connection that nobody can use and that owes nobody anything."""
        if not any(end.is_open or (end.held and not connection.is_broken) for end in connection.ends):
            source = connection.ends[0]
            self._connections.pop((source.host, source.link), None)


def _line_us(path: Path, sender: End, now_us: int, size: int) -> int:
    """Return how long a message waits for a slow line and takes on it.

    Each connection has the line to itself: hosts rarely have two with each other, and what waits for one that has ended
    must not hold up the next.
    """
    begin_us = max(now_us, sender.line_free_us)
    waiting_size = (begin_us - now_us) * path.bytes_per_s // 1_000_000
    stall_us = STALL_US if waiting_size + size > path.queue_size and waiting_size else 0
    sender.line_free_us = begin_us + stall_us + size * 1_000_000 // path.bytes_per_s
    return sender.line_free_us - now_us
