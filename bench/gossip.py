"""What gossip costs on the wire: fifty simulated peers, every message encoded as it would be sent."""

from __future__ import annotations

import random

from core.config import Config, Recovered, SeedMode
from core.effects import Answer
from core.events import Allocate, Commanded
from core.messages import Message
from core.reconcile.objects import Op, OpResult
from core.replica import Replica
from core.types import PeerName, subnet_of
from core.wire import encode
from sim.host import Host
from sim.names import address_of
from sim.world import World

PEERS = 50
NEIGHBOURS = 4
"""Targets per host: the mesh is random, sparse and connected."""
SETTLE_US = 120_000_000
IDLE_US = 60_000_000
CHANGES = 50
CHANGE_PAUSE_US = 1_000_000
LENGTH_SIZE = 4


class Meter:
    """Counts bytes of everything sent."""

    def __init__(self) -> None:
        self.total = 0

    def sent(self, host: Host, message: Message) -> None:
        """Count a message."""
        self.total += len(encode(message)) + LENGTH_SIZE

    def answered(self, host: Host, answer: Answer) -> None:
        """Nothing to count."""

    def operated(self, host: Host, op: Op, result: OpResult) -> None:
        """Nothing to count."""

    def crashed(self, host: Host) -> None:
        """Nothing to count."""

    def started(self, host: Host, recovered: Recovered) -> None:
        """Nothing to count."""

    def stepped(self, host: Host) -> None:
        """Nothing to count."""


def gossip_cost() -> dict[str, float]:
    """Return bytes per change and peer, and bytes per second and peer when nothing changes."""
    entropy = random.Random("gossip")
    names = tuple(PeerName(f"02:00:00:00:00:{index + 1:02x}") for index in range(PEERS))
    configs = tuple(
        Config(
            peer=name,
            nickname=f"h{index}",
            targets=tuple(address_of(other) for other in entropy.sample(range(index), min(index, NEIGHBOURS))),
            discovery=False,
            universe=subnet_of("10.32.0.0/12"),
            seed=SeedMode("seed", names),
            datapath=False,
        )
        for index, name in enumerate(names)
    )
    world = World("gossip", configs, Replica)
    meter = Meter()
    world.watcher = meter
    for host in world.hosts:
        world.start(host)
    world.run(SETTLE_US)
    before = meter.total
    world.run(world.now_us + IDLE_US)
    idle_rate = (meter.total - before) / IDLE_US
    before, begin_us = meter.total, world.now_us
    for number in range(CHANGES):
        host = world.hosts[entropy.randrange(PEERS)]
        world.apply(host, Commanded(host.next_request(), Allocate(f"c{number}", "")))
        world.run(world.now_us + CHANGE_PAUSE_US)
    spent = meter.total - before - idle_rate * (world.now_us - begin_us)
    return {
        "gossip_bytes_per_change_per_peer": spent / CHANGES / PEERS,
        "gossip_idle_bytes_per_second_per_peer": idle_rate * 1_000_000 / PEERS,
    }
