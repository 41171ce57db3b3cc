"""A million bad datagrams of each kind at the ports of real agents: a quarter at each of a plain and of a sealed pair.

A third host sends them over a cable of its own, in its own name or in that of the peer, whose datagrams it has listened
to. Nothing of it may come out at a container, or stop what passes between containers, or stay in memory; and counters
must tell. Without a password there is no secret that a listener has not heard, so what is asked of the plain pair is
less: VXLAN in the very name of the peer is not forged there, and nobody forges what proves that he has listened.
Datagrams go out 44 at a time and arrive so, as at any network card that joins what belongs together.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from hostile_world import (
    SEGMENTS,
    SLEEVE_PORT,
    VXLAN_PORT,
    World,
    by_size,
    chunk,
    datagrams,
    eventually,
    flood,
    resident_kb,
    vxlan,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="agents and namespaces need root")
KINDS = ("random", "truncated", "replayed", "reordered", "forged")
COUNT = 250_000
"""Of a kind, at one port of one pair."""
WARM_COUNT = 20_000
"""Before memory is measured: buffers and pools have their sizes then."""
PACES = {SLEEVE_PORT: 150_000, VXLAN_PORT: 1_000_000}
"""Datagrams a second: what a worker can read, so that it does read them, and as fast as one can."""
VARIETY = 400
"""Calls with datagrams that differ; then they come again."""
GROWTH_MAX_KB = 5_000
LOSS_MAX_PERCENT = 10
"""Of pings meanwhile, on two processors that are busy with nothing else than the flood."""
COUNTED_MIN = 0.95
"""Of what was sent: the rest may find a queue of the kernel full on its way."""
WHY = {
    "random": "for no tunnel of ours",
    "truncated": "too short for a datagram",
    "replayed": "seen before, or too old",
    "reordered": "seen before, or too old",
    "forged": "not authentic",
}
"""The main reason in the sleeve's counters…"""
WHY_MIN = 0.1
"""…and the least share of it; what is random or cut off is wrong in several ways."""
TOKEN_SIZE, TUNNEL, COUNTER = 8, slice(2, 6), slice(8, 16)
"""Of the sleeve's datagrams: see `datapath/sleeve/datagram.py`."""


class Siege:
    """A world, what C has heard in it, and what is seen of what C does."""

    def __init__(self, name: str, *, is_sealed: bool) -> None:
        options = ("--password", f"correct-horse-{os.getpid()}") if is_sealed else ()
        self.world = world = World(name, *options)
        self.is_sealed = is_sealed
        self.rng = random.Random(4)
        wire, inside = world.wire.ear("to-B"), world.inside.ear("ethwe")
        world.ping("-i0.004", count=400)
        heard = list(inside.frames())
        self.mac = heard[-1][6:12]
        inside.close()
        tapped = list(wire.frames())
        wire.close()
        self.captured = {port: datagrams(tapped, port, world.b) for port in (SLEEVE_PORT, VXLAN_PORT)}
        assert len(self.captured[SLEEVE_PORT]) >= (300 if is_sealed else 2)
        if is_sealed:
            assert self.captured[VXLAN_PORT] == [], "all of it is sealed"
            self.captured[VXLAN_PORT] = [
                vxlan(frame, source=world.numbers[1], target=world.numbers[0]) for frame in heard
            ]
        assert len(self.captured[VXLAN_PORT]) >= 300
        self.pids = [(host, world.agent(host), world.worker(host)) for host in "AB"]

    def memory(self) -> dict[int, int]:
        return {pid: resident_kb(pid) for _, *pids in self.pids for pid in pids if pid is not None}

    def send(self, kind: str, port: int, count: int) -> int:
        """Send so many of a kind; return how many they were."""
        makers = {
            "random": self._random,
            "truncated": self._truncated,
            "replayed": self._replayed,
            "reordered": self._reordered,
            "forged": self._forged,
        }
        ready = [chunk(makers[kind](port)) for _ in range(min(VARIETY, count // SEGMENTS))]
        names: list[tuple[str | None, int]] = [(None, 0)]
        if self.is_sealed or port == SLEEVE_PORT:
            names.append((self.world.b, SLEEVE_PORT))
        sent = 0
        for source, source_port in names:
            calls = count // SEGMENTS // len(names) + 1
            with self.world.evil.mouth(source, source_port) as mouth:
                chunks = (ready[index % len(ready)] for index in range(calls))
                sent += flood(mouth, (self.world.target, port), chunks, PACES[port])
        return sent

    def _random(self, port: int) -> list[bytes]:
        size = self.rng.randint(1, 200)
        whole = [self.rng.randbytes(size) for _ in range(SEGMENTS)]
        if self.rng.random() < 0.3:
            return whole
        if port == VXLAN_PORT:
            return [(b"\x08\0\0\0" + one[4:7] + b"\0" + one[8:])[:size] for one in whole]
        tunnel = self.captured[port][0][TUNNEL]
        return [(one[:2] + tunnel + one[6:])[:size] for one in whole]

    def _truncated(self, port: int) -> list[bytes]:
        whole = self._some(port)
        size = self.rng.randrange(1, len(whole[0]))
        return [one[:size] for one in whole]

    def _replayed(self, port: int) -> list[bytes]:
        whole = by_size(self.captured[port], self.rng)
        start = self.rng.randrange(len(whole))
        return [whole[(start + index) % len(whole)] for index in range(SEGMENTS)]

    def _reordered(self, port: int) -> list[bytes]:
        return self._some(port)

    def _forged(self, port: int) -> list[bytes]:
        found = []
        for one in self._some(port):
            bad = bytearray(one)
            if port == SLEEVE_PORT:
                # As if it were news.
                counter = int.from_bytes(bad[COUNTER], "little") + self.rng.randint(1, 1 << 20)
                bad[COUNTER] = counter.to_bytes(8, "little")
                first = 16 if self.is_sealed else len(bad) - TOKEN_SIZE
                bad[self.rng.randrange(first, len(bad))] ^= 1 << self.rng.randrange(8)
            else:
                bad[self.rng.randrange(4, len(bad))] ^= 1 << self.rng.randrange(8)
            found.append(bytes(bad))
        return found

    def _some(self, port: int) -> list[bytes]:
        return self.rng.choices(by_size(self.captured[port], self.rng), k=SEGMENTS)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "sealed"])
def siege(request: pytest.FixtureRequest) -> Iterator[Siege]:
    made = Siege(f"wnh{os.getpid()}", is_sealed=request.param)
    try:
        for kind in KINDS:
            for port in PACES:
                made.send(kind, port, WARM_COUNT)
        yield made
    finally:
        made.world.close()


def seen(frames: Iterator[bytes]) -> Counter[bytes]:
    """Return what a container has got but ARP, and how often."""
    return Counter(frame for frame in frames if frame[12:14] != b"\x08\x06")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_it_arrives_and_nothing_else_is_disturbed(siege: Siege, kind: str) -> None:
    world, before, memory = siege.world, siege.world.dropped(), siege.memory()
    ear = world.inside.ear("ethwe")
    pings = world.lab.start("A.a", "ping", "-i0.02", "-q", world.addresses["b"])
    sent = {port: siege.send(kind, port, COUNT) for port in PACES}
    pings.send_signal(signal.SIGINT)
    told, _ = pings.communicate(timeout=10)
    assert min(sent.values()) >= COUNT
    loss = re.search(r"([\d.]+)% packet loss", told)
    assert loss is not None
    assert float(loss[1]) <= LOSS_MAX_PERCENT, told
    assert "duplicates" not in told
    assert "3 received" in world.ping()

    heard = seen(ear.frames())
    ear.close()
    assert max(heard.values()) == 1, "nothing arrives twice"
    for frame in heard:
        assert frame[6:12] == siege.mac
        assert frame[23] == socket.IPPROTO_ICMP
        assert frame[34] == 0, "an answer to us"

    assert [(host, world.agent(host), world.worker(host)) for host in "AB"] == siege.pids
    grown = {pid: kb - memory[pid] for pid, kb in siege.memory().items()}
    assert max(grown.values()) < GROWTH_MAX_KB

    def counted(*words: str) -> int:
        return sum(
            count * (SEGMENTS if "trains" in why else 1)
            for why, count in (world.dropped() - before).items()
            if why.startswith(words)
        )

    eventually(lambda: counted("Sleeve datagrams") >= COUNTED_MIN * sent[SLEEVE_PORT], 10)
    assert counted(f"Sleeve datagrams {WHY[kind]}") >= WHY_MIN * sent[SLEEVE_PORT]
    if siege.is_sealed:
        # Before they are taken apart.
        assert counted("Guard input") >= COUNTED_MIN * sent[VXLAN_PORT] / SEGMENTS
    elif kind in ("replayed", "reordered", "forged"):
        assert counted("Programs", "Sleeve false probes") >= COUNTED_MIN * sent[VXLAN_PORT]
    else:
        assert counted("Programs") >= WHY_MIN * sent[VXLAN_PORT], "others are no VXLAN at all"
