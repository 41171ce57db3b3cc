"""Many hosts that only gossip: they form a mesh, take writes, split in two halves, write on both sides, and heal.

    fleet = Fleet(1_000)
    fleet.form()
    fleet.write(1_000, over_us=10_000_000)
    fleet.split()
    ...
    fleet.heal()
    took_us = fleet.settle()

The hosts run the production Replica with the data path off. A thousand fit into one process because nothing is kept or
worked out twice that is the same for many: streams and the pages read from them are shared (`crdt.store.Pool`), so
only the first join of a stream verifies it; messages travel by reference; disks keep nothing, for these hosts do not
crash; no trace is written. Whoever looks for mistakes uses `run` with a few hosts and all of that; this looks at size.

Source: research §4.7.
"""

from __future__ import annotations

import random

from core.config import Config, SeedMode
from core.effects import Persist
from core.events import Allocate, Commanded
from core.ipam.universe import universe_of
from core.mesh.topology import read_graphs
from core.replica import Replica
from crdt.store import Pool, Store
from sim.disk import Disk
from sim.gauge import Gauge
from sim.names import address_of, peer_name
from sim.paths import Path
from sim.world import World

NEIGHBOURS = 3
"""Hosts that each host is told to call; with those that call it, it has twice as many neighbours on average."""
JOIN_US = 20_000
"""Between two starts: an operator's script that launches fifty agents a second."""
UNIVERSE = "10.32.0.0/12"
SEEDS_MAX = 512
"""Hosts that share the universe from the start and can give addresses unasked; more names do not fit into a fact."""
LATENCY_US = (50, 300)
"""Least time on the way between two hosts of one LAN, by pair."""
JITTER_US = 100
LOOK_US = 10_000
"""Between two looks whether all is well."""
SETTLE_MAX_US = 120_000_000
"""What has not converged by then never will."""


class Fleet:
    """A world of hosts that only gossip, in two halves that can be cut apart."""

    def __init__(self, size: int, *, seed: str = "fleet", neighbours: int = NEIGHBOURS, weighs: bool = False) -> None:
        """With `weighs`, every message is encoded to count its bytes, which takes most of the time then."""
        self.size = size
        self._entropy = random.Random(f"{seed}/fleet")
        self._calls = mesh_of(size, neighbours, self._entropy)
        self._writers = min(size, SEEDS_MAX)
        seeds = SeedMode("seed", tuple(peer_name(index) for index in range(self._writers)))
        configs = tuple(
            Config(
                peer=peer_name(index),
                nickname=f"h{index}",
                targets=tuple(address_of(other) for other in calls),
                discovery=False,
                universe=universe_of(UNIVERSE),
                seed=seeds,
                datapath=False,
            )
            for index, calls in enumerate(self._calls)
        )
        pool = Pool()
        self.world = World(seed, configs, lambda config, found, entropy: Replica(config, found, entropy, pool))
        self.world.trace.is_kept = False
        self.world.network.draw_path = lan_path
        for host in self.world.hosts:
            host.disk = Ledger(host.config.peer)
        self.gauge = Gauge(self.world, weighs=weighs)
        self.world.watcher = self.gauge
        self._writes = 0

    @property
    def stores(self) -> list[Store]:
        """What the hosts that run hold."""
        return [host.heart.store for host in self.world.hosts if host.heart is not None]

    def form(self) -> int:
        """Start all hosts one after the other and wait until they agree; return how long that took after the last."""
        for index, host in enumerate(self.world.hosts):
            self.world.run(index * JOIN_US)
            self.world.start(host)
        return self.settle()

    def write(self, count: int, *, over_us: int) -> None:
        """Give addresses to `count` containers on random hosts at random times within a span, and let that pass."""
        world = self.world
        for at_us in sorted(self._entropy.randrange(over_us) for _ in range(count)):
            world.schedule(at_us, self._write)
        world.run(world.now_us + over_us)

    def split(self) -> None:
        """Cut everything between the lower and the upper half of the hosts."""
        for index, calls in enumerate(self._calls):
            for other in calls:
                if self.half_of(index) != self.half_of(other):
                    self.world.network.cut(index, other)
                    self.world.network.cut(other, index)

    def heal(self) -> None:
        """End the cut."""
        self.world.network.heal()

    def wait(self, us: int) -> None:
        """Let time pass."""
        self.world.run(self.world.now_us + us)

    def settle(self, max_us: int = SETTLE_MAX_US) -> int:
        """Wait until all stores are equal and all hosts reach each other; return how long that took.

        Raises: AssertionError when it takes longer than `max_us`.
        """
        began_us = self.world.now_us
        while not self.is_converged():
            took_us = self.world.now_us - began_us
            assert took_us < max_us, f"{self.size} hosts have not converged within {took_us // 1_000_000} s"
            self.wait(LOOK_US)
        return self.world.now_us - began_us

    def is_converged(self) -> bool:
        """Say whether all hosts run, hold the same, and by what they hold all reach each other."""
        stores = self.stores
        if len(stores) < self.size or any(store.digest.buckets != stores[0].digest.buckets for store in stores):
            return False
        heart = self.world.hosts[0].heart
        assert heart is not None, "all run"
        assert all(store == stores[0] for store in stores), "equal digests stand for equal stores"
        return len(read_graphs(heart.board)[0].reachable(peer_name(0))) == self.size

    def half_of(self, index: int) -> int:
        """Return in which half a host is: 0 or 1."""
        return half_of(index, self.size)

    def _write(self) -> None:
        host = self.world.hosts[self._entropy.randrange(self._writers)]
        self.gauge.begin_write(f"w{self._writes}", host)
        self.world.apply(host, Commanded(host.next_request(), Allocate(f"w{self._writes}", "")))
        self._writes += 1


class Ledger(Disk):
    """Confirms every commit and keeps none: nobody will read it."""

    def finish(self) -> list[tuple[Persist, str]]:
        """Complete the transaction."""
        batch, self._under_way = self._under_way, []
        return [(persist, "") for persist in batch]


def mesh_of(size: int, neighbours: int, entropy: random.Random) -> tuple[tuple[int, ...], ...]:
    """Return whom each host calls: earlier ones, chosen at random, so that either half is connected in itself."""
    calls: list[tuple[int, ...]] = []
    for index in range(size):
        near = [other for other in range(index) if half_of(other, size) == half_of(index, size)]
        first = entropy.sample(near, min(1, len(near)))
        others = [other for other in range(index) if other not in first]
        calls.append(tuple(sorted((*first, *entropy.sample(others, min(neighbours - len(first), len(others)))))))
    return tuple(calls)


def half_of(index: int, size: int) -> int:
    """Return in which half a host is: 0 or 1. Neighbours in number are in different halves, so both grow together."""
    return index * 2 // size


def lan_path(entropy: random.Random) -> Path:
    """Draw a path within one building."""
    return Path(entropy.randint(*LATENCY_US), JITTER_US)
