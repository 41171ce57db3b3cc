"""A lab of two agents and a host that wishes them ill, and what such a host can do: listen, forge, flood."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from adapters.control import daemon, lab_kernel
from adapters.control.lab_file import parse
from adapters.control.lab_hosts import Lab
from datapath import guard, syscall

T = TypeVar("T")
SLEEVE_PORT, VXLAN_PORT = 6783, 6784
TIMEOUT_S = 60.0
IP_TRANSPARENT = 19
SOL_UDP, UDP_SEGMENT = 17, 103
SEGMENTS = 44
"""Datagrams in one call; the kernel takes 64 and 64 KiB."""
ETHERNET, IPV4, UDP = 14, 20, 8
"""Bytes of headers."""
OUTGOING = 4
QUIET = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
"""IPv6 says a lot of itself, to everybody."""
SO_RCVBUFFORCE = 33
BUFFER_SIZE = 16 << 20


class Member:
    """Somewhere in a lab, with a thread that lives there."""

    def __init__(self, lab: Lab, place: str) -> None:
        host, _, container = place.partition(".")
        self.path = lab.namespace(host, container or None).path
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    def _enter(self) -> None:
        fd = os.open(self.path, os.O_RDONLY)
        syscall.setns(fd)
        os.close(fd)

    def run(self, action: Callable[[], T]) -> T:
        """Run something inside, on the thread."""
        return self._thread.submit(action).result()

    def ear(self, device: str) -> Ear:
        """Listen to a device."""
        made = self.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_SIZE)
        made.bind((device, 0))
        made.setblocking(False)
        return Ear(made)

    def mouth(self, source: str | None = None, port: int = 0) -> socket.socket:
        """Return a socket that sends from any address, ours or not."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
            made.bind((source or "0.0.0.0", port))
            return made

        return self.run(make)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class Ear:
    """Hears all frames of a device."""

    def __init__(self, heard: socket.socket) -> None:
        self._socket = heard

    def frames(self, *, outgoing: bool = False) -> Iterator[bytes]:
        """Yield what has been heard since the last time: what the device has taken in, or has sent as well."""
        while True:
            try:
                data, address = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return
            if outgoing or address[2] != OUTGOING:
                yield data

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def datagrams(frames: list[bytes], port: int, source: str) -> list[bytes]:
    """Return the payload of each datagram from an address to a UDP port."""
    found, head = [], ETHERNET + IPV4
    for data in frames:
        if data[12:14] != b"\x08\0" or data[23] != socket.IPPROTO_UDP or socket.inet_ntoa(data[26:30]) != source:
            continue
        if int.from_bytes(data[head + 2 : head + 4], "big") == port:
            size = int.from_bytes(data[head + 4 : head + 6], "big")
            found.append(data[head + UDP : head + size])
    return found


class World:
    """Agents on A and B, a container on each, nothing but ill will on C."""

    def __init__(self, name: str, *options: str, setup: tuple[str, ...] = ()) -> None:
        self.lab = Lab(parse(_text(name, options, setup)), say=lambda _: None)
        self.lab.up()
        self.addresses = {"a": "10.99.0.1", "b": "10.99.0.2"}
        for host in "AB":
            container = host.lower()
            done = self.lab.run(f"{host}.{container}", "sh", "-c", QUIET)
            assert done.returncode == 0, done.stderr
            self.lab.attach(host, container, f"{self.addresses[container]}/24")
        self.a, self.b, self.c = self.lab.address("A", "B"), self.lab.address("B", "A"), self.lab.address("C", "A")
        self.target = self.lab.address("A", "C")
        """Where C reaches A."""
        self.evil, self.inside, self.wire = Member(self.lab, "C"), Member(self.lab, "A.a"), Member(self.lab, "A")
        self.is_up()
        self.numbers = tuple(int(self.report(host)["Weavenet"]["ShortID"]) for host in "AB")
        """Of A and B."""

    def close(self) -> None:
        """Take all down."""
        for member in (self.evil, self.inside, self.wire):
            member.close()
        self.lab.down()

    def is_up(self) -> None:
        """Wait until both ends of the connection are established."""
        for host in "AB":
            eventually(lambda host=host: "established" in self.weave(host, "status", "connections"))  # type: ignore[misc]

    def weave(self, host: str, *words: str) -> str:
        """Run `weave`."""
        done = self.lab.run(host, "weave", *words, timeout_s=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def report(self, host: str = "A") -> dict[str, Any]:
        """Return what an agent knows."""
        return dict(json.loads(self.weave(host, "report")))

    def dropped(self, host: str = "A") -> Counter[str]:
        """Return what was dropped, by who and why."""
        told = self.report(host)["Weavenet"]["Dropped"]
        assert told["Trouble"] == ""
        return Counter(
            {f"{who} {why}": count for who in ("Programs", "Guard", "Sleeve") for why, count in told[who].items()}
        )

    def agent(self, host: str = "A") -> int:
        """Return the process of an agent."""
        found = daemon.running_pid(lab_kernel.directory(self.lab.file.name, host) / "run")
        assert found is not None, "no agent"
        return found

    def worker(self, host: str = "A") -> int | None:
        """Return the process of an agent's sleeve."""
        return worker_of(self.agent(host))

    def guard_is_there(self) -> bool:
        """Say whether A's guard is whole."""
        table = self.wire.run(guard.observe)
        return table is not None and table.is_whole

    def ping(self, *options: str, source: str = "A.a", target: str = "b", count: int = 3) -> str:
        """Ping between the containers."""
        words = ("ping", f"-c{count}", "-i0.1", "-W1", "-q", *options, self.addresses[target])
        return self.lab.run(source, *words).stdout

    def pings_within(self, seconds: float) -> None:
        """Wait until pings pass, so long at most."""
        eventually(lambda: " 0% packet loss" in self.ping(count=2), seconds)


def _text(name: str, options: tuple[str, ...], setup: tuple[str, ...]) -> str:
    lines = ["[lab]", f'name = "{name}"', f"launch = {json.dumps(['--ipalloc-init', 'consensus=2', *options])}"]
    # Whoever sits on the cable of two hosts is not hindered by where a datagram should have come from.
    loose = "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.to-C.rp_filter=0"
    lines_of = {"A": [QUIET, loose, *setup], "B": [QUIET, *setup]}
    for host in "ABC":
        more = f"setup = {json.dumps(lines_of[host])}" if host in lines_of else "launch = false"
        peers = {"A": '["B"]', "B": '["A"]', "C": "[]"}[host]
        lines += ["[[host]]", f'name = "{host}"', f"peers = {peers}", more]
    for one, other in ("AB", "AC"):
        lines += ["[[link]]", f'a = "{one}"', f'b = "{other}"']
    for host in "AB":
        lines += ["[[container]]", f'host = "{host}"', f'name = "{host.lower()}"']
    return "\n".join(lines)


def worker_of(agent: int) -> int | None:
    """Return the sleeve's process of an agent."""
    for child in Path(f"/proc/{agent}/task").glob("*/children"):
        for pid in child.read_text().split():
            if b"datapath.sleeve" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return None


def resident_kb(pid: int) -> int:
    """Return the memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def eventually(is_so: Callable[[], bool], seconds: float = TIMEOUT_S) -> None:
    """Wait for something. Raises: AssertionError."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.1)


def chunk(datagrams: list[bytes]) -> tuple[bytes, int]:
    """Return datagrams of one size as one piece, and that size."""
    return b"".join(datagrams), len(datagrams[0])


def flood(mouth: socket.socket, where: tuple[str, int], chunks: Iterator[tuple[bytes, int]], pace: int) -> int:
    """Send pieces, `pace` datagrams a second at most; return how many datagrams that were."""
    begin, sent = time.monotonic(), 0
    for data, size in chunks:
        mouth.sendmsg([data], [(SOL_UDP, UDP_SEGMENT, struct.pack("H", size))], 0, where)
        sent += len(data) // size
        ahead = sent / pace - (time.monotonic() - begin)
        if ahead > 0.005:
            time.sleep(ahead)
    return sent


def by_size(datagrams: list[bytes], rng: random.Random) -> list[bytes]:
    """Return datagrams of one size, of some size; the sizes as likely as they are frequent."""
    size = len(rng.choice(datagrams))
    return [one for one in datagrams if len(one) == size]


def vxlan(frame: bytes, *, source: int, target: int) -> bytes:
    """Return a datagram of VXLAN as a host of ours would send it."""
    return b"\x08\0\0\0" + (source | target << 12).to_bytes(3, "big") + b"\0" + frame
