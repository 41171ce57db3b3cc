"""Two hosts whose VXLAN is inside ESP, in a kernel that has it: `esp_in_guest.py FOLDER`. Writes FOLDER/seen.json.

Says what was seen; what it must be, test_esp.py says. A kernel whose nftables cannot guard (User-Mode Linux has no
tables for IPv4) gets a guard that stands aside, so that policies must do everything alone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from datapath_world import PORT, Host, pair
from wire import SO_RCVBUFFORCE, Frame, Sniffer, inject

from core.reconcile.objects import Association, Guard, KernelObject, Seal, Trust, Verb
from core.reconcile.plan import plan
from datapath import guard, probe

SESSION, SECRET = "0123456789abcdef", bytes(range(32))
MARKER = b"nobody but the other end may read this"
SO_NO_CHECK = 11
TARGET = ("10.32.0.2", 7000)
GUARDS = (Guard, Trust, Seal, Association)
STREAM_S = 2.0
ROTATIONS = 10
SPENT_BYTES = 2_000
"""After so much the next key is due: some twenty packets of the load."""
SPENT_S = 20
PACE_S = 0.004
IN_FLIGHT_S = 0.15


class StandAside:
    """Keeps the books of a guard for each host's thread, and guards nothing."""

    def __init__(self) -> None:
        self._sets: dict[int, dict[str, dict[str, bool]]] = {}
        for name in ("observe", "ensure", "admit", "expel", "remove"):
            setattr(guard, name, getattr(self, name))

    def observe(self) -> guard.Table | None:
        sets = self._sets.get(threading.get_ident())
        if sets is None:
            return None
        trusted, sealed = (tuple(sorted(sets[name])) for name in (guard.TRUSTED, guard.SEALED))
        return guard.Table(PORT, True, trusted, sealed, {"input": 0, "output": 0})

    def ensure(self, port: int) -> None:
        self._sets.setdefault(threading.get_ident(), {guard.TRUSTED: {}, guard.SEALED: {}})

    def admit(self, name: str, address: str) -> None:
        self._sets[threading.get_ident()][name][address] = True

    def expel(self, name: str, address: str) -> bool:
        return self._sets[threading.get_ident()][name].pop(address, False)

    def remove(self) -> bool:
        return self._sets.pop(threading.get_ident(), None) is not None


class World:
    """Two hosts, A and B, and what passes between them."""

    def __init__(self) -> None:
        self.a, self.b, (self.of_a, self.of_b) = pair()
        self.hosts = ((self.a, self.of_b), (self.b, self.of_a))
        for host, _ in self.hosts:
            host.secrets[SESSION] = SECRET
        inner = self.b.containers[0]
        self.inbox = inner.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.inbox.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
        self.inbox.bind(TARGET)
        self.inbox.settimeout(0.5)
        self.outbox = self.a.containers[0].run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        # A checksum left to the device would not be in the frame that is heard, and sent again.
        self.outbox.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)

    def arrives(self, text: bytes = MARKER) -> bool:
        """Send a datagram from container to container; say whether it came."""
        self.outbox.sendto(text, TARGET)
        return text in self.received()

    def received(self) -> list[bytes]:
        """Return what has come, until nothing comes for a while."""
        got = []
        try:
            while True:
                got.append(self.inbox.recv(2048))
        except TimeoutError:
            return got

    def sniffed(self) -> tuple[Sniffer, bool]:
        """Send the marker while listening on the cable at A; return what was heard, and whether it came."""
        sniffer = Sniffer(self.a, "to2")
        came = self.arrives()
        return sniffer.stop(), came

    def arrives_injected(self, *frames: bytes) -> bool:
        inject(self.a, "to2", *frames)
        return MARKER in self.received()

    def reconcile(self, host: Host, *desired: KernelObject) -> list[str]:
        """Carry out a plan about guards alone; return its operations and results."""
        observed = [item for item in host.observe() if isinstance(item, GUARDS)]
        done = []
        for op in plan(desired, observed, may_remove=True):
            result = host.execute(op.verb, op.object)
            done.append(f"{op.verb.value} {op.object.key[0]}: {type(result).__name__}")
        return done

    def throughput(self) -> float:
        """Return megabits per second of one TCP stream between the containers."""
        server = self.b.containers[0].run(lambda: socket.create_server(("10.32.0.2", 0)))
        client = self.a.containers[0].run(lambda: socket.create_connection(server.getsockname()))
        peer, _ = server.accept()
        stop = time.monotonic() + STREAM_S
        total = 0

        def send() -> None:
            block = bytes(1 << 16)
            while time.monotonic() < stop:
                client.sendall(block)
            client.close()

        sender = threading.Thread(target=send)
        began = time.monotonic()
        sender.start()
        while data := peer.recv(1 << 18):
            total += len(data)
        sender.join()
        peer.close()
        server.close()
        return total * 8 / (time.monotonic() - began) / 1e6


def association(address: str, *, inbound: bool, epoch: int, from_dialler: bool) -> Association:
    return Association(address, inbound, spi_of(epoch, from_dialler), PORT, SESSION, epoch, from_dialler)


def spi_of(epoch: int, from_dialler: bool) -> int:
    return 0x1000 + 2 * epoch + from_dialler


def keyed(world: World, host: Host, epoch: int) -> tuple[KernelObject, ...]:
    """Return all of a host's guards at an epoch; A has dialled."""
    address = dict(world.hosts)[host]
    ours = host is world.a
    return (
        Guard(PORT),
        association(address, inbound=True, epoch=epoch, from_dialler=not ours),
        association(address, inbound=False, epoch=epoch, from_dialler=ours),
        Seal(address, PORT, spi_of(epoch, ours)),
    )


def rotate(world: World, epoch: int) -> list[str]:
    """Go from an epoch to the next: both receive by the new, then send by it, then forget the old."""
    done: list[str] = []
    for stage in range(3):
        for host, _ in world.hosts:
            old, new = keyed(world, host, epoch), keyed(world, host, epoch + 1)
            desired = ((*old, new[1]), (*old[:3], *new[1:]), new)[stage]
            done += world.reconcile(host, *desired)
        # What was sent by the old key is still on its way.
        time.sleep(IN_FLIGHT_S)
    return done


def carried(host: Host, epoch: int) -> int:
    """Return the bytes of what A has sent B by the key of an epoch, as either counts them."""
    found = [item for item in host.observe() if isinstance(item, Association) and item.spi == spi_of(epoch, True)]
    return sum(item.size_bytes for item in found)


def rotate_when_spent(world: World, epoch: int) -> list[str]:
    """Go on to the next epoch once the receiver has counted enough."""
    deadline = time.monotonic() + SPENT_S
    while carried(world.b, epoch) < SPENT_BYTES:
        if time.monotonic() > deadline:
            return [f"epoch {epoch} carried {carried(world.b, epoch)} bytes only"]
        time.sleep(PACE_S)
    return rotate(world, epoch)


def counters(host: Host) -> dict[str, int]:
    lines = host.sh("cat", "/proc/net/xfrm_stat").stdout.splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def rise(host: Host, before: dict[str, int]) -> list[str]:
    return sorted(name for name, value in counters(host).items() if value > before[name])


def see_plain(world: World, seen: dict[str, Any]) -> Frame:
    """Without guards, as a control: what must not happen later does happen now."""
    sniffer, came = world.sniffed()
    frame = next(frame for frame in sniffer.frames if MARKER in frame.data)
    seen["plain"] = {
        "arrives": came,
        "readable": sniffer.has(MARKER),
        "plain": sniffer.plain,
        "injected_arrives": world.arrives_injected(frame.data),
        "mbit_per_s": world.throughput(),
    }
    return frame


def see_closed(world: World, seen: dict[str, Any], plain: Frame) -> None:
    """With seals and no association."""
    for host, address in world.hosts:
        world.reconcile(host, Guard(PORT), Seal(address, PORT, 0))
    before = counters(world.a)
    sniffer, came = world.sniffed()
    seen["closed"] = {
        "arrives": came,
        "plain": sniffer.plain,
        "esp": sniffer.esp,
        "injected_arrives": world.arrives_injected(plain.data),
        "counted": rise(world.a, before),
    }


def see_sealed(world: World, seen: dict[str, Any], plain: Frame) -> None:
    done = [line for host, _ in world.hosts for line in world.reconcile(host, *keyed(world, host, 0))]
    sniffer, came = world.sniffed()
    seen["sealed"] = {
        "done": done,
        "again": [line for host, _ in world.hosts for line in world.reconcile(host, *keyed(world, host, 0))],
        "arrives": came,
        "readable": sniffer.has(MARKER),
        "plain": sniffer.plain,
        "esp": sniffer.esp,
        "carried": [carried(world.a, 0), carried(world.b, 0)],
    }
    seen["attacks"] = {}
    sent = [frame for frame in sniffer.frames if frame.is_esp and frame.source == world.of_a]
    # SPI, then sequence number, 4 bytes each; then nonce and ciphertext.
    ahead = (99_999).to_bytes(4, "big")
    attacks = {
        "plain": [plain.data],
        "replayed": [frame.data for frame in sent],
        "forged": [sent[-1].changed(4, ahead)],
        "foreign": [sent[-1].changed(0, b"\x00\x00\x77\x77")],
    }
    for name, frames in attacks.items():
        before = counters(world.b)
        came = world.arrives_injected(*frames)
        seen["attacks"][name] = {"arrives": came, "counted": rise(world.b, before)}
    seen["sealed"]["mbit_per_s"] = world.throughput()


def see_rotation(world: World, seen: dict[str, Any]) -> None:
    sniffer = Sniffer(world.a, "to2")
    stopped = threading.Event()
    sent = 0

    def load() -> None:
        nonlocal sent
        while not stopped.is_set():
            world.outbox.sendto(MARKER + sent.to_bytes(4, "big"), TARGET)
            sent += 1
            time.sleep(PACE_S)

    sender = threading.Thread(target=load)
    sender.start()
    done = [line for epoch in range(ROTATIONS) for line in rotate_when_spent(world, epoch)]
    stopped.set()
    sender.join()
    got = world.received()
    sniffer.stop()
    seen["rotation"] = {
        "failed": [line for line in done if not line.endswith("Done")],
        "removals_of_seals": [line for line in done if line.startswith("remove seal")],
        "sent": sent,
        "lost": sent - len(set(got)),
        "plain": sniffer.plain,
        "esp": sniffer.esp,
        "associations": len(world.a.sh("ip", "-o", "xfrm", "state").stdout.splitlines()),
        "policies": len(world.a.sh("ip", "-o", "xfrm", "policy").stdout.splitlines()),
    }


def see_damage(world: World, seen: dict[str, Any], plain: Frame) -> None:
    """Flush what the agent has set up, one layer at a time, and let it repair."""
    seen["damage"] = {}
    for name, words in (("policies", "ip xfrm policy flush"), ("tables", "nft flush ruleset")):
        for host, _ in world.hosts:
            host.sh(*words.split())
        sniffer, came = world.sniffed()
        injected = world.arrives_injected(plain.data)
        repairs = [line for host, _ in world.hosts for line in world.reconcile(host, *keyed(world, host, ROTATIONS))]
        again = world.arrives()
        facts = {"plain": sniffer.plain, "arrives": came, "injected_arrives": injected}
        seen["damage"][name] = {**facts, "repairs": repairs, "repaired": again}


def see_restart(world: World, seen: dict[str, Any]) -> None:
    """Lose the agent of A: the kernel goes on, and the next one does not take its associations for its own."""
    world.a.run(world.a.driver.close)
    goes_on = world.arrives()
    world.a.restart()
    found = [item for item in world.a.observe() if isinstance(item, Association)]
    again = world.arrives()
    epoch = ROTATIONS + 1
    done = [line for host, _ in world.hosts for line in world.reconcile(host, *keyed(world, host, epoch))]
    seen["restart"] = {
        "goes_on": goes_on and again,
        "found": [(item.session, item.epoch, item.is_inbound) for item in found],
        "failed": [line for line in done if not line.endswith("Done")],
        "arrives": world.arrives(),
    }
    world.a.sh("ip", "xfrm", "state", "flush")
    lost = keyed(world, world.a, epoch)
    seen["reused"] = [type(world.a.execute(Verb.CREATE, lost[number])).__name__ for number in (1, 2)]


def see_removed(world: World, seen: dict[str, Any]) -> None:
    left = []
    for host, _ in world.hosts:
        host.run(host.driver.remove_all)
        left += [host.sh(*words.split()).stdout for words in ("ip xfrm state", "ip xfrm policy", "nft list tables")]
    seen["left"] = left


def main() -> None:
    out = Path(sys.argv[1])
    has_guard = guard.can_seal(PORT)
    if not has_guard:
        StandAside()
    seen: dict[str, Any] = {"why_no_esp": probe.why_no_esp(), "has_guard": has_guard}
    world = World()
    plain = see_plain(world, seen)
    see_closed(world, seen, plain)
    see_sealed(world, seen, plain)
    see_rotation(world, seen)
    if has_guard:
        see_damage(world, seen, plain)
    see_restart(world, seen)
    see_removed(world, seen)
    seen["ratio"] = seen["sealed"]["mbit_per_s"] / seen["plain"]["mbit_per_s"]
    seen["kernel"] = os.uname().release
    (out / "seen.json").write_text(json.dumps(seen, indent=1))
    print(f"VXLAN in ESP: {seen['ratio']:.2f} of plain ({seen['plain']['mbit_per_s']:.0f} Mbit/s), one TCP stream")


main()
