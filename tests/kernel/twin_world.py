"""Four hosts twice: in network namespaces with the real programs, and as fakes with symbolic packets.

What is done is done to both; a frame is sent through both, and must fare the same: who got how many copies, which
program dropped copies for which reason, what was learnt.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import time
from dataclasses import dataclass

from datapath_world import MTU, PORT, Host, Namespace, cable, sh
from tap_relay import TapRelay

from core.config import Config
from core.kinds import AttachmentRecord
from core.mesh.routing import Graph, next_hops, trees
from core.reconcile.desired import desired
from core.reconcile.objects import FASTDP, SLEEVE, Again, Endpoint, EndpointUp, KernelObject, Op, Refused, Verb
from core.reconcile.plan import plan
from core.types import HostPort, PeerName, ShortId
from datapath.programs import DROP_REASONS
from sim.kernel import FakeKernel
from sim.packets import EVERYBODY, Frame, Journey, Place, Tables, send

HOSTS = 4
CONTAINERS = (2, 1, 1, 1)
"""On each host."""
ETHERTYPE = 0x88B5
"""For experiments (IEEE 802)."""
PATIENCE_S = 2.0
"""For what must come."""
GRACE_S = 0.01
"""For what must not come; all of it happens in the kernel, within microseconds."""
OUTGOING, OTHERHOST = 4, 3
"""Packets that an interface sees and does not take in."""

Edges = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Ear:
    """Hears what a container's interface takes in."""

    where: tuple[int, tuple[str, str]]
    """Host and endpoint."""
    socket: socket.socket
    """Raw, in the container's namespace."""


class Twins:
    """The hosts, real and fake."""

    def __init__(self) -> None:
        self.hosts = [Host(number + 1) for number in range(HOSTS)]
        self.fakes = [FakeKernel() for _ in range(HOSTS)]
        self.addresses: dict[tuple[int, int], str] = {}
        """Address of the second host on its cable with the first."""
        for subnet, (one, other) in enumerate(itertools.combinations(range(HOSTS), 2)):
            near, far = cable(self.hosts[one], self.hosts[other], subnet + 1)
            self.addresses[other, one], self.addresses[one, other] = near, far
        self._cut: dict[tuple[int, int], None] = {}
        self._owners = {(one, address): (one, other) for (one, other), address in self.addresses.items()}
        self._ears: dict[tuple[int, tuple[str, str]], Ear] = {}
        self._serial = 0
        self._relay: TapRelay | None = None
        self._crossings = 0
        for host, count in zip(self.hosts, CONTAINERS, strict=True):
            host.sh("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            for _ in range(count):
                container = Namespace()
                container.sh("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
                host.containers.append(container)

    def remove(self) -> None:
        """Take all down."""
        for ear in self._ears.values():
            ear.socket.close()
        if self._relay is not None:
            self._relay.close()
        for host in self.hosts:
            host.remove()

    # What is done to both.

    def settle(self, edges: Edges, sleeved: Edges = ()) -> None:
        """Let all hosts have what they want when these links are established, some of them by the sleeve."""
        for one, other in tuple(self._cut):
            self.mend(one, other)
        for host, wanted in enumerate(self.desired(edges, sleeved)):
            for op in plan(wanted, self.fakes[host].observe(), may_remove=True):
                self.execute(host, op)
            assert set(self.hosts[host].observe()) == set(wanted) == set(self.fakes[host].observe())
        if self._relay is None:
            self._relay = TapRelay(self.hosts)
        for host in range(HOSTS):
            for item in self.fakes[host].observe():
                if isinstance(item, EndpointUp):
                    self._announce(host, item)

    def desired(self, edges: Edges, sleeved: Edges) -> list[tuple[KernelObject, ...]]:
        """Return what each host wants when these links are established, some of them by the sleeve."""
        names = [PeerName(f"02:00:00:00:01:{number + 1:02x}") for number in range(HOSTS)]
        ids = {name: ShortId(number + 1) for number, name in enumerate(names)}
        graph = Graph.of(names, [(names[one], names[other]) for one, other in edges])
        wanted = []
        for host, name in enumerate(names):
            neighbours = {
                names[other]: HostPort(self.addresses[host, other], PORT)
                for other in range(HOSTS)
                if (host, other) in edges or (other, host) in edges
            }
            transports = {
                names[other]: SLEEVE if (host, other) in sleeved or (other, host) in sleeved else FASTDP
                for other in range(HOSTS)
            }
            attachments = [
                (
                    container.name,
                    "ethwe",
                    AttachmentRecord(
                        mac_of(host, index), (f"10.32.{host}.{index + 1}/12",), container.path, True, "attach", 0
                    ),
                )
                for index, container in enumerate(self.hosts[host].containers)
            ]
            config = Config(peer=name, nickname=name, mtu=MTU)
            hops, branches = next_hops(graph, name), trees(graph, name)
            wanted.append(
                desired(config, ids[name], ids, hops, neighbours, branches, attachments, transports=transports)
            )
        return wanted

    def execute(self, host: int, op: Op) -> None:
        """Carry out an operation on both; it works for both or for none."""
        real, fake = self.hosts[host].execute(op.verb, op.object), self.fakes[host].execute(op)
        failures = [isinstance(result, Again | Refused) for result in (real, fake)]
        assert failures[0] == failures[1], f"{op} on host {host}: really {real}, symbolically {fake}"
        if isinstance(op.object, EndpointUp) and op.verb is not Verb.REMOVE and not failures[0]:
            self._listen(host, op.object)
            self._announce(host, op.object)

    def lose(self, host: int, item: KernelObject) -> None:
        """Delete a device behind the agent's back."""
        name = item.host_ifname if isinstance(item, Endpoint) else item.key[1]
        assert self.hosts[host].sh("ip", "link", "del", name).returncode == 0
        self.fakes[host].lose(item)

    def unplug(self, host: int, pair: Endpoint) -> None:
        """Take a pair out of the bridge."""
        assert self.hosts[host].sh("ip", "link", "set", pair.host_ifname, "nomaster").returncode == 0
        self.fakes[host].unplug(pair)

    def cut(self, one: int, other: int) -> None:
        """Take a cable out of both its sockets."""
        self._cut[one, other] = None
        self._set_cable(one, other, "down")

    def mend(self, one: int, other: int) -> None:
        """Plug a cable in again."""
        self._cut.pop((one, other), None)
        self._set_cable(one, other, "up")

    # Frames.

    def pairs(self) -> list[tuple[int, Endpoint]]:
        """Return all veth pairs."""
        return [
            (host, item)
            for host, fake in enumerate(self.fakes)
            for item in fake.observe()
            if isinstance(item, Endpoint)
        ]

    def send(self, host: int, pair: Endpoint | None, target: str) -> Journey:
        """Send a frame through both, from an endpoint or with None from a host itself; they must agree."""
        source = mac_of(host, 99) if pair is None else pair.mac
        frame = Frame(source, target)
        before = [self._drops(index) for index in range(HOSTS)]
        journey = self._send_symbolic(host, pair, frame)
        self._serial += 1
        heard = self._send_real(host, pair, frame, journey, before)
        story = f"host {host}, {source} to {target}: {journey}"
        assert heard == journey.copies, f"really heard {heard}; {story}"
        for index in range(HOSTS):
            assert self._drops(index) == _sum(before[index], journey, index), f"drops on host {index}; {story}"
            assert self._learnt(index) == self._symbolic_learnt(index), f"learnt on host {index}; {story}"
        return journey

    def _send_symbolic(self, host: int, pair: Endpoint | None, frame: Frame) -> Journey:
        tables = [fake.tables() for fake in self.fakes]
        ifindex = 0
        if pair is not None:
            plug = tables[host].plug_of((pair.container, pair.ifname))
            assert plug is not None
            ifindex = plug.ifindex
        journey = send(tables, host, ifindex, frame, self._wires, self._sleeves)
        for where, mac, place in journey.learnt:
            self.fakes[where].macs[mac] = place
        return journey

    def _send_real(
        self, host: int, pair: Endpoint | None, frame: Frame, journey: Journey, before: list[dict[str, int]]
    ) -> dict[tuple[int, tuple[str, str]], int]:
        place: Namespace = self.hosts[host]
        if pair is not None:
            place = next(c for c in self.hosts[host].containers if c.name == pair.container)
        device = "weave" if pair is None else pair.ifname
        addresses = bytes.fromhex(frame.target.replace(":", "") + frame.source.replace(":", ""))
        raw = addresses + ETHERTYPE.to_bytes(2, "big") + self._serial.to_bytes(4, "big") + bytes(46)
        place.run(lambda: _emit(device, raw))
        heard: dict[tuple[int, tuple[str, str]], int] = {}
        wanted = sum(journey.copies.values())
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self._hear(heard, GRACE_S)
            is_carried = self._relay is None or self._relay.count >= self._crossings
            if (
                is_carried
                and sum(heard.values()) >= wanted
                and all(self._drops(index) == _sum(before[index], journey, index) for index in range(HOSTS))
            ):
                self._hear(heard, GRACE_S)
                break
        return heard

    def _hear(self, heard: dict[tuple[int, tuple[str, str]], int], for_s: float) -> None:
        by_socket = {ear.socket: ear for ear in self._ears.values()}
        while True:
            ready, _, _ = select.select(list(by_socket), [], [], for_s)
            if not ready:
                return
            for found in ready:
                with contextlib.suppress(OSError):
                    # An interface that went down says so once.
                    data, place = found.recvfrom(256)
                    if place[2] not in (OUTGOING, OTHERHOST) and data[14:18] == self._serial.to_bytes(4, "big"):
                        where = by_socket[found].where
                        heard[where] = heard.get(where, 0) + 1

    def _wires(self, host: int, address: str) -> tuple[int, str] | None:
        end = self._owners.get((host, address))
        if end is None or end in self._cut or end[::-1] in self._cut:
            return None
        return end[1], self.addresses[end[1], host]

    def _sleeves(self, host: int, number: int) -> tuple[int, int] | None:
        # While the first hosts are being made there is nobody to carry.
        end = None if self._relay is None else self._relay.end(host, number)
        self._crossings += end is not None
        return end

    # How.

    def _listen(self, host: int, item: EndpointUp) -> None:
        where = (host, (item.container, item.ifname))
        container = next(c for c in self.hosts[host].containers if c.name == item.container)

        def open_ear() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
            made.bind((item.ifname, ETHERTYPE))
            return made

        if where in self._ears:
            self._ears[where].socket.close()
        self._ears[where] = Ear(where, container.run(open_ear))

    def _announce(self, host: int, item: EndpointUp) -> None:
        """Announce an endpoint on both, once the bridge lets frames pass."""
        fake = self.fakes[host]
        pair = next(p for h, p in self.pairs() if h == host and p.container == item.container)
        end = time.monotonic() + PATIENCE_S
        while "state forwarding" not in self.hosts[host].sh("bridge", "link", "show", "dev", pair.host_ifname).stdout:
            if time.monotonic() > end or not pair.is_whole:
                break
        frame = Frame(pair.mac, EVERYBODY)
        for _ in range(2):
            self._send_symbolic(host, pair, frame)
        container = next(c for c in self.hosts[host].containers if c.name == pair.container)
        raw = b"\xff" * 6 + bytes.fromhex(pair.mac.replace(":", "")) + b"\x88\xb5" + bytes(50)
        for _ in range(2):
            container.run(lambda: _emit(pair.ifname, raw))
        while any(self._learnt(index) != self._symbolic_learnt(index) for index in range(HOSTS)):
            if time.monotonic() > end:
                break
        time.sleep(GRACE_S)
        assert fake.tables().plug_of((item.container, item.ifname)) is not None

    def _drops(self, host: int) -> dict[str, int]:
        return self.hosts[host].run(self.hosts[host].driver.drops)

    def _learnt(self, host: int) -> dict[str, str]:
        """Return where a host's programs think that MAC addresses are."""
        real = self.hosts[host]
        names = {
            int(line.split(":")[0]): line.split(":")[1].split("@")[0].strip()
            for line in real.sh("ip", "-o", "link").stdout.splitlines()
        }
        found = real.run(lambda: real.driver._programs.macs())
        return {
            mac: f"peer {peer}" if peer else f"behind {names.get(ifindex, 'nothing')}"
            for mac, (peer, ifindex) in sorted(found.items())
        }

    def _symbolic_learnt(self, host: int) -> dict[str, str]:
        tables = self.fakes[host].tables()
        outer = {pair.key[1:]: pair.host_ifname for where, pair in self.pairs() if where == host}
        return {mac: _place_text(place, tables, outer) for mac, place in sorted(self.fakes[host].macs.items())}

    def _set_cable(self, one: int, other: int, state: str) -> None:
        for near, far in ((one, other), (other, one)):
            sh("ip", "-n", self.hosts[near].name, "link", "set", f"to{self.hosts[far].number}", state)


def mac_of(host: int, index: int) -> str:
    """Return the MAC address of a container; 99 is the host itself."""
    return f"02:00:00:00:{host + 2:02x}:{index:02x}"


def _place_text(place: Place, tables: Tables, outer: dict[tuple[str, ...], str]) -> str:
    if place.peer:
        return f"peer {place.peer}"
    plug = tables.plugs.get(place.ifindex)
    return f"behind {'nothing' if plug is None else outer[plug.endpoint]}"


def _emit(device: str, raw: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((device, 0))
        with contextlib.suppress(OSError):
            # An interface that is down takes nothing.
            sender.send(raw)


def _sum(before: dict[str, int], journey: Journey, host: int) -> dict[str, int]:
    total = dict(before)
    for drop in journey.drops:
        if drop.host == host and drop.why in DROP_REASONS:
            total[drop.why] += 1
    return total
