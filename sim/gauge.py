"""Measures what gossip costs and how fast it is: messages, bytes, copies of payload, and how long news takes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from core.config import Recovered
from core.effects import Answer, Effect, Persist
from core.events import Event, Received
from core.kinds import NAMES, AddressRecord
from core.messages import Deltas, Message
from core.reconcile.objects import Op, OpResult
from core.wire import encode
from crdt.fact import Fact
from sim.host import Host
from sim.world import World

LENGTH_SIZE = 4
"""Bytes that stand before every frame of a connection."""
_KIND = NAMES[AddressRecord]


class Gauge:
    """Looks on, and counts. A write is an address given to a container that nobody else is called like."""

    def __init__(self, world: World, *, weighs: bool) -> None:
        self._world = world
        self._weighs = weighs
        self._begun_us: dict[str, int] = {}
        self._has: dict[str, bytearray] = {}
        self.messages: dict[str, int] = {}
        """Messages sent, by type."""
        self.sizes: dict[str, int] = {}
        """Bytes of them on the connection, lengths included, by type; empty unless messages are weighed."""
        self.copies = 0
        """How often a written fact was sent."""
        self.delays_us = array("L")
        """How long each write took to each other host."""

    @property
    def size(self) -> int:
        """Bytes sent so far."""
        return sum(self.sizes.values())

    @property
    def missing(self) -> int:
        """Pairs of a write and a host that it has not reached."""
        return sum(has.count(0) for has in self._has.values())

    def begin_write(self, name: str, host: Host) -> None:
        """Note that a container is about to get an address on a host."""
        self._begun_us[name] = self._world.now_us
        self._has[name] = bytearray(len(self._world.hosts))
        self._has[name][host.index] = 1

    def delay_ms(self, percent: float) -> float:
        """Return within how many milliseconds so many per cent of all deliveries took place."""
        delays = sorted(self.delays_us)
        return delays[min(len(delays) - 1, int(len(delays) * percent / 100))] / 1_000 if delays else 0.0

    def reset(self) -> None:
        """Begin to count anew; writes are forgotten."""
        for counts in (self._begun_us, self._has, self.messages, self.sizes):
            counts.clear()
        self.copies = 0
        self.delays_us = array("L")

    # What a world tells.

    def sent(self, host: Host, message: Message) -> None:
        """Count a message, and the writes in it."""
        name = type(message).__name__
        self.messages[name] = self.messages.get(name, 0) + 1
        if self._weighs:
            self.sizes[name] = self.sizes.get(name, 0) + len(encode(message)) + LENGTH_SIZE
        if self._begun_us and isinstance(message, Deltas):
            self.copies += sum(self._name_of(fact) in self._begun_us for one in message.deltas for fact in one.facts)

    def applied(self, host: Host, event: Event, effects: Sequence[Effect]) -> None:
        """Note which writes a host has learnt of."""
        if not self._begun_us or not isinstance(event, Received) or not isinstance(event.message, Deltas):
            return
        assert host.heart is not None, "it has just decided"
        for delta in event.message.deltas:
            for fact in delta.facts:
                has = self._has.get(self._name_of(fact))
                if has is not None and not has[host.index] and host.heart.store.seq(delta.origin) >= fact.seq:
                    has[host.index] = 1
                    self.delays_us.append(self._world.now_us - self._begun_us[self._name_of(fact)])

    def answered(self, host: Host, answer: Answer) -> None:
        """Nothing to count."""

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """Nothing to count."""

    def crashed(self, host: Host) -> None:
        """Nothing to count."""

    def started(self, host: Host, recovered: Recovered) -> None:
        """Nothing to count."""

    def persisted(self, host: Host, effect: Persist) -> None:
        """Nothing to count."""

    def stepped(self, host: Host) -> None:
        """Nothing to count."""

    def _name_of(self, fact: Fact) -> str:
        """Return the container that a fact gives an address to; empty for other facts."""
        return fact.key.split("/")[1] if fact.kind == _KIND else ""
