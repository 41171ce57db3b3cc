"""A–B–C where VXLAN joins A and B, and B and C only a pump that stands in for the sleeve: no keys, no datagrams."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from datapath_world import MTU, PORT, Host, Namespace, cable, devices, endpoint, sh

from core.reconcile.objects import SLEEVE, Hop, Tap, Tree
from core.types import ShortId
from datapath import tap

TUNSETOFFLOAD = 0x400454D0
OFFLOADS = (0x01 | 0x02 | 0x04 | 0x20 | 0x40, 0x01 | 0x02 | 0x04)
"""Checksums and segmentation of TCP and UDP; before Linux 6.2 of TCP only."""
VNET_HEADER = struct.Struct("<BBHHHH")
TAG = 0x88A8
ETHERNET_SIZE, TAGGED_SIZE = 14, 26
ETHERTYPE = 0x88B6
"""For experiments (IEEE 802); its neighbour is that of probes."""
PROBE_ETHERTYPE = 0x88B5
FRAME_SIZE_MAX = 70_000
ICMP_UNREACHABLE, ICMP_TOO_BIG = 3, 4
PATIENCE_COUNT, PATIENCE_S = 100, 0.05
EVERYBODY = "ff:ff:ff:ff:ff:ff"
PUMP_TAP = Tap(tap.NAME, MTU, PORT - 1)
B_C, C_B = "198.18.2.1", "198.18.2.2"
"""Addresses that B and C have for each other, to which no path leads."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A frame between kernel and sleeve."""

    via: int
    """Neighbour."""
    source: int
    """Number of the host where it entered."""
    target: int
    """Number of the host where it leaves; 0 for the tree of the source."""
    ttl: int
    """0 to 63."""
    frame: bytes
    """Ethernet frame without the tags."""

    def pack(self) -> bytes:
        """Return the frame with its tags."""
        words = (self.via | self.ttl >> 2 << 12, self.source | (self.ttl & 3) << 12, self.target)
        tags = b"".join(struct.pack("!HH", TAG, word) for word in words)
        return self.frame[:12] + tags + self.frame[12:]


def parse(data: bytes) -> Tagged | None:
    """Take a frame's tags off; None when there are not three."""
    if len(data) < TAGGED_SIZE:
        return None
    one, outer, two, middle, three, inner = struct.unpack_from("!6H", data, 12)
    if (one, two, three) != (TAG, TAG, TAG):
        return None
    ttl = outer >> 12 << 2 | middle >> 12 & 3
    return Tagged(outer & 0xFFF, middle & 0xFFF, inner & 0xFFF, ttl, data[:12] + data[24:])


def frame(target: str, source: str, payload: bytes, ethertype: int = ETHERTYPE) -> bytes:
    """Return an Ethernet frame."""
    macs = bytes.fromhex((target + source).replace(":", ""))
    return macs + ethertype.to_bytes(2, "big") + payload


def open_tap(host: Host) -> int:
    """Attach to a host's TAP as the sleeve does."""

    def attach() -> int:
        fd = os.open(tap.DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        flags = tap.IFF_TAP | tap.IFF_NO_PI | tap.IFF_VNET_HDR
        fcntl.ioctl(fd, tap.TUNSETIFF, struct.pack("<16sH22x", tap.NAME.encode(), flags))
        for offloads in OFFLOADS:
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, TUNSETOFFLOAD, offloads)
                break
        return fd

    return host.run(attach)


def await_carrier(host: Host, device: str) -> None:
    """Wait until the kernel has noticed that a device's other end is there: until then it drops what is sent."""
    for _ in range(PATIENCE_COUNT):
        shown = host.sh("ip", "-o", "link", "show", "dev", device).stdout
        if "state UP" in shown and "qdisc noop " not in shown:
            return
        time.sleep(PATIENCE_S)
    raise AssertionError(f"{device} does not come up: {shown}")


def without_ipv6(place: Namespace) -> None:
    """Keep IPv6 from sending what no test has asked for."""
    for name in ("all", "default"):
        place.sh("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")


def write(fd: int, data: bytes, header: bytes = bytes(10)) -> None:
    """Give a frame to the kernel, as the sleeve does."""
    os.write(fd, header + data)


def read(fd: int, timeout_s: float = 1.0) -> tuple[bytes, bytes] | None:
    """Return the offload header and the next frame from the kernel."""
    if not select.select([fd], [], [], timeout_s)[0]:
        return None
    data = os.read(fd, FRAME_SIZE_MAX)
    return data[: VNET_HEADER.size], data[VNET_HEADER.size :]


def ear(place: Namespace, device: str, ethertype: int = ETHERTYPE) -> socket.socket:
    """Return a socket that hears frames of a type on a device."""

    def listen() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
        made.bind((device, ethertype))
        made.settimeout(1.0)
        return made

    return place.run(listen)


@dataclass
class Pump:
    """Carries frames between the TAPs of two hosts, on a thread."""

    ends: dict[int, int]
    """Descriptor of each host's TAP, by the host's number."""
    size_max: int = 0
    """Answer larger packets that are one datagram with "too big"; 0 for never."""
    largest: dict[int, int] = field(default_factory=dict)
    """Bytes of the largest frame from each host."""
    strays: list[bytes] = field(default_factory=list)
    """Frames without tags, or for a neighbour that is none."""

    def __post_init__(self) -> None:
        self._stop_reading, self._stop_writing = os.pipe()
        self.start()

    def start(self) -> None:
        """Begin, or go on."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Pause; the TAPs stay open."""
        os.write(self._stop_writing, b"x")
        self._thread.join()
        os.read(self._stop_reading, 1)

    def _run(self) -> None:
        numbers = {fd: number for number, fd in self.ends.items()}
        while True:
            ready, _, _ = select.select([self._stop_reading, *numbers], [], [])
            if self._stop_reading in ready:
                return
            for fd in ready:
                self._carry(fd, numbers[fd])

    def _carry(self, fd: int, number: int) -> None:
        data = os.read(fd, FRAME_SIZE_MAX)
        header, tagged = data[: VNET_HEADER.size], parse(data[VNET_HEADER.size :])
        if tagged is None or tagged.via not in self.ends:
            self.strays.append(data)
            return
        self.largest[number] = max(self.largest.get(number, 0), len(data))
        is_one = VNET_HEADER.unpack(header)[1] == 0
        if self.size_max and is_one and len(tagged.frame) - ETHERNET_SIZE > self.size_max:
            answer = too_big(tagged.frame, self.size_max)
            write(fd, Tagged(tagged.via, tagged.via, tagged.source, 63, answer).pack())
            return
        there = Tagged(number, tagged.source, tagged.target, tagged.ttl, tagged.frame)
        write(self.ends[tagged.via], there.pack(), header)


def too_big(about: bytes, mtu: int) -> bytes:
    """Return the frame that says so to the sender of an IPv4 frame (RFC 792, RFC 1191)."""
    packet = about[ETHERNET_SIZE:]
    quoted = packet[: 20 + 8]
    body = struct.pack("!BBHHH", ICMP_UNREACHABLE, ICMP_TOO_BIG, 0, 0, mtu) + quoted
    body = body[:2] + _checksum(body) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 1, 0, packet[16:20], packet[12:16])
    head = head[:10] + _checksum(head) + head[12:]
    return about[6:12] + about[:6] + b"\x08\x00" + head + body


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


class SleeveLine:
    """The three hosts with one container each, 10.32.0.1 to 10.32.0.3, and the pump."""

    def __init__(self) -> None:
        self.a, self.b, self.c = self.hosts = Host(1), Host(2), Host(3)
        self.a_b, self.b_a = cable(self.a, self.b, 1)
        for host in self.hosts:
            without_ipv6(host)
            host.create(*devices(host.number), PUMP_TAP)
        self.route()
        for host in self.hosts:
            container = Namespace()
            host.containers.append(container)
            without_ipv6(container)
            sh("ip", "-n", container.name, "link", "set", "lo", "up")
            host.create(*endpoint(container, host.number, f"10.32.0.{host.number}/12"))
        self.taps = {int(host.number): open_tap(host) for host in self.hosts}
        for host in self.hosts:
            await_carrier(host, tap.NAME)
        self.pump = Pump({number: fd for number, fd in self.taps.items() if number != 1})

    def route(self) -> None:
        """Write all hops and trees."""
        one, two, three = ShortId(1), ShortId(2), ShortId(3)
        self.a.create(Hop(two, two, self.b_a, PORT), Hop(three, two, self.b_a, PORT))
        self.b.create(Hop(one, one, self.a_b, PORT), Hop(three, three, C_B, PORT, SLEEVE))
        self.c.create(Hop(two, two, B_C, PORT, SLEEVE), Hop(one, two, B_C, PORT, SLEEVE))
        self.a.create(Tree(one, None, ((two, self.b_a),)), Tree(two, self.b_a, (), two), Tree(three, self.b_a, (), two))
        self.b.create(
            Tree(two, None, ((one, self.a_b), (three, C_B)), None, (three,)),
            Tree(one, self.a_b, ((three, C_B),), one, (three,)),
            Tree(three, C_B, ((one, self.a_b),), three),
        )
        self.c.create(Tree(three, None, ((two, B_C),), None, (two,)), Tree(one, B_C, (), two), Tree(two, B_C, (), two))

    @property
    def containers(self) -> tuple[Namespace, Namespace, Namespace]:
        """The containers on A, B and C."""
        return self.a.containers[0], self.b.containers[0], self.c.containers[0]

    def remove(self) -> None:
        """Take everything down."""
        self.pump.stop()
        for fd in self.taps.values():
            os.close(fd)
        for host in self.hosts:
            host.remove()
