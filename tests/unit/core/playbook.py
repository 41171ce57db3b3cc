"""A Replica under a test's hands: say what happens, look at what it decides."""

from __future__ import annotations

import random
from typing import TypeVar

from core.config import Config, Recovered, SeedMode
from core.effects import Effect, Persist, ProbeAddresses, Send
from core.events import AddressesProbed, Event, LinkDown, LinkUp, Persisted, Received, Started, TimerFired
from core.ipam.universe import universe_of
from core.messages import PROTOCOL_MAX, PROTOCOL_MIN, Hello, Message
from core.replica import Replica
from core.types import HostPort, Instant, LinkId, PeerName
from crdt.fact import Delta, Origin

E = TypeVar("E")
ME = PeerName("02:00:00:00:00:05")
LOW, HIGH = PeerName("02:00:00:00:00:01"), PeerName("02:00:00:00:00:09")


def config(**changes: object) -> Config:
    values: dict[str, object] = {
        "peer": ME,
        "nickname": "me",
        "universe": universe_of("10.32.0.0/24"),
        "seed": SeedMode("seed", (ME,)),
        "datapath": False,
        **changes,
    }
    return Config(**values)  # type: ignore[arg-type]  # checked by the tests that pass them


def hello(peer: PeerName, *, uid: int = 7, dial: int = 0, **changes: object) -> Hello:
    values: dict[str, object] = {
        "protocol_min": PROTOCOL_MIN,
        "protocol_max": PROTOCOL_MAX,
        "peer": peer,
        "nickname": f"n{peer[-1]}",
        "uid": uid,
        "incarnation": 1,
        "port": 6783,
        "dial": dial,
        **changes,
    }
    return Hello(**values)  # type: ignore[arg-type]  # as above


class Playbook:
    """Applies events, keeps the time, confirms commits."""

    def __init__(self, wanted: Config | None = None, streams: tuple[Delta, ...] = (), incarnation: int = 1) -> None:
        wanted = wanted or config()
        self.now_ms = 1_000
        self.wall_ms = 0
        self.replica = Replica(wanted, Recovered(Origin(wanted.peer, incarnation), streams), random.Random(1))
        self.is_disk_well = True

    def start(self) -> list[Effect]:
        return self.happens(Started())

    def happens(self, event: Event) -> list[Effect]:
        """Apply an event, confirm what it persists, and let nobody on the network answer."""
        effects = self.replica.apply(event, Instant(self.now_ms, self.wall_ms))
        found = list(effects)
        for effect in effects:
            if isinstance(effect, Persist) and self.is_disk_well:
                found += self.happens(Persisted(effect.ticket))
            elif isinstance(effect, ProbeAddresses):
                found += self.happens(AddressesProbed(effect.probe, ()))
        return found

    def passes(self, ms: int) -> None:
        self.now_ms += ms

    def fires(self, name: str) -> list[Effect]:
        return self.happens(TimerFired(name))

    def link(self, number: int, *, target: str | None = None, host: str = "10.0.0.9") -> list[Effect]:
        return self.happens(LinkUp(LinkId(number), target is not None, HostPort(host, 6783), target))

    def loses(self, number: int) -> list[Effect]:
        return self.happens(LinkDown(LinkId(number), "connection reset by peer"))

    def hears(self, number: int, message: Message) -> list[Effect]:
        return self.happens(Received(LinkId(number), message))

    def session(self, number: int, peer: PeerName, *, host: str = "10.0.0.9", **changes: object) -> list[Effect]:
        """Bring up a connection and let the far end greet."""
        self.link(number, host=host)
        return self.hears(number, hello(peer, **changes))  # type: ignore[arg-type]  # as above


def of(effects: list[Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: list[Effect], kind: type[E]) -> list[E]:
    return [send.message for send in of(effects, Send) if isinstance(send.message, kind)]
