"""`python -m bench.ipam`: what an allocation costs in a large ring, in processor time, without disk and network.

The host under test knows a thousand peers, each with a hundred ranges and a hundred addresses in use. Measured are
allocations of its own, and what it costs to hear of an address that another peer has given, or of a range that changed
hands.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from core.config import Config, Recovered, SeedMode
from core.effects import Answer, Ok, Persist
from core.events import Allocate, Commanded, Event, Persisted, Started, TimerFired
from core.ipam.homes import decided_key
from core.ipam.ring import Ring
from core.ipam.seed import divide, ring_id_of
from core.ipam.universe import universe_of
from core.kinds import AddressRecord, PeerRecord, RingClaim, SeedAccepted, address_key, peer_key, put, ring_key
from core.replica import Replica
from core.types import Address, Instant, PeerName, RequestId
from crdt.fact import Delta, Origin
from crdt.stream import Stream

PEERS = 1_000
CLAIMS_PER_PEER = 100
ADDRESSES_PER_PEER = 100
ALLOCATIONS = 500
CHANGES = 20
UNIVERSE = universe_of("10.32.0.0/12")
PART = UNIVERSE.parts[0]


class Bench:
    """One host in a large ring."""

    def __init__(self, peers: int = PEERS, claims_per_peer: int = CLAIMS_PER_PEER) -> None:
        names = tuple(PeerName(f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}") for number in range(peers))
        self._streams, self._ring_id = _streams(names, claims_per_peer)
        me = names[0]
        config = Config(me, "h0", universe=UNIVERSE, seed=SeedMode("seed", names[:1]), datapath=False)
        deltas = tuple(stream.delta(0) for stream in self._streams.values())
        self.replica = Replica(config, Recovered(Origin(me, 1), deltas), random.Random(1))
        self._now_ms = 0
        self.apply(Started())
        self._now_ms += 20_000
        self.apply(TimerFired("mesh/alone"))
        self._requests = 0
        self._names = names

    @property
    def ring(self) -> Ring:
        """The ring that it lives in."""
        ring = self.replica.allocator.ring
        assert ring is not None, "it was divided long ago"
        return ring

    def apply(self, event: Event) -> tuple[object, ...]:
        """Let the host decide, on a disk that takes everything at once; return all effects."""
        found: list[object] = []
        events = [event]
        while events:
            effects = self.replica.apply(events.pop(0), Instant(self._now_ms, self._now_ms))
            events.extend(Persisted(effect.ticket) for effect in effects if isinstance(effect, Persist))
            found.extend(effects)
        return tuple(found)

    def allocate(self) -> None:
        """Give an address to a new container."""
        self._requests += 1
        effects = self.apply(Commanded(RequestId(self._requests), Allocate(f"c{self._requests}", "")))
        (answer,) = (effect for effect in effects if isinstance(effect, Answer))
        assert isinstance(answer.reply, Ok), answer

    def hear_of_an_address(self) -> None:
        """Hear that another peer has given an address."""
        peer = self._names[1 + self._requests % (len(self._names) - 1)]
        self._requests += 1
        lo, _, _ = _part(self._names, peer)
        address = Address(lo + 1_000 + self._requests)
        self._hear(peer, put(address_key(f"n{self._requests}", address), AddressRecord(address, 12, "allocate", 0)))

    def hear_of_a_range(self) -> None:
        """Hear that a range has changed hands."""
        peer = self._names[1 + self._requests % (len(self._names) - 2)]
        self._requests += 1
        lo, _, _ = _part(self._names, peer)
        claim = RingClaim(lo, lo + 10, 0, 4, self._names[-1], 2, "given", 0)
        self._hear(peer, put(ring_key(self._ring_id, lo), claim))

    def _hear(self, peer: PeerName, change: object) -> None:
        stream = self._streams[peer]
        self._streams[peer] = stream.append((change,))  # type: ignore[arg-type]  # a Change
        delta: Delta = self._streams[peer].delta(stream.head.seq)
        self.replica._context.learn(delta)
        self.replica.allocator.facts_changed()


def ring_figures() -> dict[str, float]:
    """Return milliseconds of processor time: of an allocation, and of news of an address and of a range."""
    bench = Bench()
    return {
        "ring_allocate_ms": median_ms(bench.allocate, ALLOCATIONS),
        "ring_address_ms": median_ms(bench.hear_of_an_address, CHANGES),
        "ring_range_ms": median_ms(bench.hear_of_a_range, CHANGES),
    }


def ring_line(figures: dict[str, float]) -> str:
    """Say it for people."""
    return (
        f"ring of {PEERS:,} peers with {PEERS * CLAIMS_PER_PEER:,} ranges, in processor time: allocating an address "
        f"{figures['ring_allocate_ms']:.2f} ms, hearing of another's {figures['ring_address_ms']:.2f} ms, "
        f"hearing of a range that changed hands {figures['ring_range_ms']:.2f} ms (target < 1 each)"
    )


def main() -> int:
    """Measure and print."""
    print(ring_line(ring_figures()))
    return 0


def median_ms(action: Callable[[], None], count: int) -> float:
    """Return the median processor time of an action, in milliseconds."""
    times = []
    for _ in range(count):
        began = time.process_time_ns()
        action()
        times.append((time.process_time_ns() - began) / 1e6)
    return statistics.median(times)


def _part(names: tuple[PeerName, ...], peer: PeerName) -> tuple[int, int, PeerName]:
    share = PART.size // len(names)
    lo = PART.lo + names.index(peer) * share
    return lo, lo + share, peer


def _streams(names: tuple[PeerName, ...], claims_per_peer: int) -> tuple[dict[PeerName, Stream], str]:
    """Make what everybody has said: the first divided the universe, and gave each its part."""
    ring_id = ring_id_of(UNIVERSE, names[:1])
    assert divide(PART.lo, PART.hi, names[:1])
    streams = {}
    for number, peer in enumerate(names):
        lo, hi, _ = _part(names, peer)
        if number == len(names) - 1:
            hi = PART.hi
        changes = [
            put(peer_key(), PeerRecord(f"h{number}", "1", 6783, 0)),
        ]
        # With epochs that differ from one to the next, so that no two are one.
        edges = [lo + index * (hi - lo) // claims_per_peer for index in range(claims_per_peer)] + [hi]
        changes += [
            put(ring_key(ring_id, Address(start)), RingClaim(start, end, 0, 2 + index % 2, peer, 3, "given", 0))
            for index, (start, end) in enumerate(pairwise(edges))
        ]
        changes += [
            put(address_key(f"c{index}", Address(lo + 1 + index)), AddressRecord(lo + 1 + index, 12, "allocate", 0))
            for index in range(ADDRESSES_PER_PEER)
        ]
        if not number:
            changes.append(put(decided_key(UNIVERSE), SeedAccepted(0, peer, names[:1])))
        streams[peer] = Stream.empty(Origin(peer, 1)).append(tuple(changes))
    return streams, ring_id


if __name__ == "__main__":
    raise SystemExit(main())
