"""A few hosts with nothing but their allocators, and a network and disks that misbehave on demand.

Streams travel one at a time and out of order, messages are lost or doubled, hosts crash and forget what was not
committed. Nothing is random here: who drives the cluster chooses.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from core.board import Board
from core.config import Config, SeedMode
from core.context import Context
from core.effects import Answer, Effect, Ok, ProbeAddresses, Refusal, SetTimer
from core.events import AddressesProbed, Allocate, Claim, Free
from core.ipam.allocator import Allocator
from core.ipam.fences import Fences
from core.ipam.universe import universe_of
from core.kinds import PeerRecord, peer_key, put
from core.messages import SpaceAsk, SpaceRefused
from core.types import Address, Cidr, Instant, PeerName, RequestId
from crdt.fact import Change, Delta, Origin
from crdt.store import Store

UNIVERSE = "10.32.0.0/26"


@dataclass
class Batch:
    """What one event decided and the disk has not yet confirmed."""

    changes: tuple[Change, ...]
    learnt: tuple[Delta, ...]
    dropped: tuple[Origin, ...]
    effects: tuple[Effect, ...]


@dataclass
class Packet:
    """Something on its way."""

    source: PeerName
    destination: PeerName
    body: Delta | SpaceAsk | SpaceRefused


@dataclass
class Host:
    """One host: memory, disk and an operator who remembers the answers."""

    cluster: Cluster
    config: Config
    disk: Store = field(default_factory=Store)
    incarnation: int = 1
    is_up: bool = True
    in_sync: bool = True
    batches: list[Batch] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)
    answers: dict[int, Ok | Refusal] = field(default_factory=dict)
    probes: dict[int, tuple[Address, ...]] = field(default_factory=dict)
    strangers: dict[Address, str] = field(default_factory=dict)
    is_network_slow: bool = False

    def __post_init__(self) -> None:
        self.boot()

    @property
    def name(self) -> PeerName:
        return self.config.peer

    @property
    def origin(self) -> Origin:
        return Origin(self.name, self.incarnation)

    def boot(self) -> None:
        """Start from what the disk holds."""
        self.batches, self.timers, self.probes, self.is_up = [], {}, {}, True
        store, board = self.disk.copy(), Board(self.origin)
        for origin in store.origins():
            stream = store.stream(origin)
            assert stream is not None
            board.absorb(origin, tuple(stream.live()))
        self.context = Context(self.config, store, board, random.Random(self.name))
        self.allocator = Allocator(
            self.context,
            in_sync=lambda: self.in_sync,
            reachable=lambda peer: self.cluster.can_reach(self.name, peer),
            send_to=self.send,
        )
        self.fences = Fences(self.context, lambda: self.in_sync)
        self.do(self._introduce)
        self.do(self.allocator.started)

    def _introduce(self) -> None:
        if self.context.board.get(self.name, peer_key(), PeerRecord) is None:
            self.context.write(put(peer_key(), PeerRecord(self.config.nickname, "0", 6783, 0)))

    def do(self, step: Callable[[], object]) -> None:
        """Let one event happen."""
        context = self.context
        context.at = Instant(self.cluster.now_ms, self.cluster.wall_ms)
        step()
        self.fences.facts_changed()
        for effect in context.effects:
            if isinstance(effect, SetTimer):
                self.timers.pop(effect.name, None)
                if effect.due_ms is not None:
                    self.timers[effect.name] = effect.due_ms
            elif isinstance(effect, Answer):
                self.answers[effect.request] = effect.reply
        parts = (context.changes, context.learnt, context.dropped, context.after_commit)
        self.batches.append(Batch(*(tuple(part) for part in parts)))  # type: ignore[arg-type]
        probes = [effect for effect in context.effects if isinstance(effect, ProbeAddresses)]
        for part in (context.effects, *parts):
            part.clear()  # type: ignore[attr-defined]
        for probe in probes:
            self.probes[probe.probe] = probe.addresses
            if not self.is_network_slow:
                self.network_answers(probe.probe)

    def network_answers(self, number: int) -> None:
        """Let strangers answer a probe, or nobody."""
        addresses = self.probes.pop(number)
        answers = tuple((address, self.strangers[address]) for address in addresses if address in self.strangers)
        self.do(lambda: self.allocator.probed(AddressesProbed(number, answers)))

    def commit(self, count: int | None = None) -> None:
        """Let the disk confirm the oldest batches."""
        done, self.batches = self.batches[:count], self.batches[len(self.batches[:count]) :]
        for batch in done:
            for delta in batch.learnt:
                self.disk.join(delta)
            if batch.changes:
                self.disk.join(self.context.store.write(self.origin, batch.changes))
            for origin in batch.dropped:
                self.disk.drop(origin)
            for effect in batch.effects:
                assert isinstance(effect, Answer)
                self.answers[effect.request] = effect.reply

    def crash(self) -> None:
        """Lose what the disk has not confirmed, and start again."""
        self.boot()

    def wipe(self) -> None:
        """Lose the disk too; the next life waits until it has caught up."""
        self.disk, self.incarnation, self.in_sync = Store(), self.incarnation + 1, False
        self.boot()

    def send(self, peer: PeerName, body: SpaceAsk | SpaceRefused) -> bool:
        if not self.cluster.can_reach(self.name, peer):
            return False
        self.cluster.packets.append(Packet(self.name, peer, body))
        return True

    def receive(self, packet: Packet) -> None:
        def step() -> None:
            if not isinstance(packet.body, Delta):
                self.allocator.received(packet.source, packet.body)
            elif packet.body.origin != self.origin:
                self.context.learn(packet.body)
                self.allocator.facts_changed()

        self.do(step)

    def fire(self, name: str) -> None:
        self.timers.pop(name)
        self.do(lambda: self.allocator.timer(name))

    # What the operator does.

    def allocate(self, ident: str, subnet: str = "") -> int:
        request = self.cluster.new_request()
        self.do(lambda: self.allocator.allocate(request, Allocate(ident, subnet)))
        return request

    def claim(self, ident: str, cidr: str) -> int:
        request = self.cluster.new_request()
        self.do(lambda: self.allocator.claim(request, Claim(ident, cidr)))
        return request

    def free(self, ident: str, address: str = "") -> int:
        request = self.cluster.new_request()
        self.do(lambda: self.allocator.free(request, Free(ident, address)))
        return request

    def reply(self, request: int) -> str | None:
        """Return what was answered: the text, `! why` for a refusal, None for nothing yet."""
        reply = self.answers.get(request)
        if reply is None:
            return None
        return reply.text if isinstance(reply, Ok) else f"! {reply.why}"

    def holds(self) -> dict[Address, str]:
        status = self.allocator.describe()
        assert status is not None
        return {cidr.address: ident for ident, cidrs in status.held for cidr in cidrs}

    def owns(self) -> list[tuple[int, int]]:
        """Return the ranges from which this host would give addresses now."""
        steward = self.allocator._ready()
        return [] if steward is None or not self.is_up else [(run.lo, run.hi) for run in steward.space.ranges()]


class Cluster:
    """Hosts and the network between them."""

    def __init__(self, count: int, universe: str = UNIVERSE, mode: SeedMode | None = None) -> None:
        self.now_ms = 0
        self.wall_ms = 0
        self.packets: list[Packet] = []
        self.cut: dict[tuple[PeerName, PeerName], bool] = {}
        self._requests = 0
        names = tuple(PeerName(f"{index:02x}:00:00:00:00:00") for index in range(1, count + 1))
        chosen = mode or SeedMode("seed", names)
        self.universe = universe_of(universe)
        self.hosts = [
            Host(self, Config(name, f"h{index}", universe=self.universe, seed=chosen))
            for index, name in enumerate(names, 1)
        ]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def host(self, name: PeerName) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def new_request(self) -> RequestId:
        self._requests += 1
        return RequestId(self._requests)

    def can_reach(self, one: PeerName, other: PeerName) -> bool:
        known = [host for host in getattr(self, "hosts", []) if host.name in (one, other) and host.is_up]
        return len(known) == 2 and not self.cut.get((min(one, other), max(one, other)))

    def partition(self, *group: Host) -> None:
        """Cut these hosts from all others."""
        inside = [host.name for host in group]
        for one in self.hosts:
            for other in self.hosts:
                if one.name < other.name and (one.name in inside) != (other.name in inside):
                    self.cut[one.name, other.name] = True

    def heal(self) -> None:
        self.cut.clear()

    def share(self, source: Host, destination: Host, origin: Origin) -> None:
        """Put one stream on its way, as far as it is ahead of what the destination has now."""
        if not self.can_reach(source.name, destination.name) or source.context.store.stream(origin) is None:
            return
        head = destination.context.store.head(origin)
        delta = source.context.store.delta_for(origin, 0 if head is None else head.seq)
        self.packets.append(Packet(source.name, destination.name, delta))

    def deliver(self, index: int, *, keep: bool = False) -> None:
        """Let one packet arrive; `keep` doubles it."""
        packet = self.packets[index]
        if not keep:
            del self.packets[index]
        if self.can_reach(packet.source, packet.destination):
            self.host(packet.destination).receive(packet)

    def exchange(self) -> bool:
        """Commit everything and let everybody hear everything once; say whether anything was news."""
        for host in self.hosts:
            host.commit()
        before = [host.context.store.copy() for host in self.hosts]
        for source in self.hosts:
            for destination in self.hosts:
                if source is destination or not (source.is_up and destination.is_up):
                    continue
                for origin in source.context.store.origins():
                    head, held = source.context.store.head(origin), destination.context.store.head(origin)
                    if head is not None and (held is None or head.seq > held.seq) and origin != destination.origin:
                        self.share(source, destination, origin)
        had_packets = bool(self.packets)
        while self.packets:
            self.deliver(0)
        for host in self.hosts:
            host.commit()
        return had_packets or before != [host.context.store for host in self.hosts]

    def settle(self, span_ms: int = 120_000) -> None:
        """Exchange until nothing is new, with timers, for a stretch of time."""
        end = self.now_ms + span_ms
        while True:
            for _ in range(1000):
                if not self.exchange():
                    break
            else:
                raise AssertionError("the hosts never stop talking")
            due = [(at, host.name, name) for host in self.hosts if host.is_up for name, at in host.timers.items()]
            if not due or min(due)[0] > end:
                self.now_ms = end
                return
            at, peer, name = min(due)
            self.now_ms = max(self.now_ms, at)
            self.host(peer).fire(name)

    def check_safety(self) -> None:
        """Nobody gives what another gives, and nobody holds what another holds."""
        spans = sorted((lo, hi, host.name) for host in self.hosts for lo, hi in host.owns())
        for (_, hi, one), (lo, _, other) in itertools.pairwise(spans):
            assert hi <= lo, f"{one} and {other} both own {lo:x}"
        self.check_holders()

    def check_holders(self) -> None:
        """No address has two holders."""
        holders: dict[Address, str] = {}
        for host in self.hosts:
            for address, ident in host.holds().items():
                assert address not in holders, f"{address:x}: {holders[address]} and {ident} on {host.name}"
                holders[address] = f"{ident} on {host.name}"


def cidr_texts(cidrs: tuple[Cidr, ...] | str) -> str:
    """Write what a callback was told."""
    return cidrs if isinstance(cidrs, str) else " ".join(str(cidr) for cidr in cidrs)
