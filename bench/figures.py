"""What is measured of a network, and how: one call takes one figure once.

Figures of one kind are taken of all networks in turn, round by round, and only compared within a round: the machine is
shared, and what it does meanwhile is alike for all of a round, more or less.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.networks import Network, sh

PROBE = (sys.executable, str(Path(__file__).parent / "probe.py"))
PORT = "5500"
TCP_SECONDS = "1.5"
PINGS = 3000
DATAGRAMS = 40_000
ROUND_TRIPS = 20_000
STREAM_MIB = 400
FLOOD_MS = 600
FILTERS = "table ip bench { chain forward { type filter hook forward priority 0; ct state established accept; }; }"
SEGMENTS_MAX = 65_535
"""Segments per super-frame that a device takes unless told otherwise."""


@dataclass(slots=True)
class Figures:
    """Everything that was measured of networks."""

    programs: Path
    """Where the compiled programs are."""
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By network and kind of figure, one value per round."""

    def take(self, path: Network) -> None:
        """Take every figure of one network once."""
        self._record(path.name, tcp_figures(path))
        self._record(path.name, round_trip(path))
        self._record(path.name, {"small": self._run("flood", path, str(FLOOD_MS))})
        if path.workers:
            # The rest is what one thread spends on a packet, and here several processes share the work.
            self._record(path.name, {"resident": max(map(resident_mb, path.workers))})
            return
        self.take_datagram_cost(path, path.name)
        self._record(path.name, {"pingpong": self._run("cost", path, "pingpong", str(ROUND_TRIPS))})
        self._record(path.name, {"bulk": self._run("cost", path, "tcp", str(STREAM_MIB))})

    def take_datagram_cost(self, path: Network, name: str) -> None:
        """Take what a datagram costs, under a name of its own."""
        self._record(name, {"udp": self._run("cost", path, "udp", str(DATAGRAMS))})

    def take_uncoalesced(self, path: Network) -> None:
        """Take the throughput of TCP while the underlay neither cuts nor joins packets."""
        self._record(path.name, {f"uncoalesced {kind}": value for kind, value in tcp_figures(path).items()})

    def _run(self, program: str, path: Network, *arguments: str) -> float:
        return float(sh(str(self.programs / program), path.source, path.target, path.address, *arguments))

    def _record(self, name: str, figures: dict[str, float]) -> None:
        kinds = self.values.setdefault(name, {})
        for kind, value in figures.items():
            kinds.setdefault(kind, []).append(value)


def inside(netns: str, *words: str) -> str:
    """Run a command in a namespace."""
    return sh("nsenter", f"--net={netns}", *words)


def tcp_figures(path: Network) -> dict[str, float]:
    """Measure one TCP stream: Gbit/s, and processor seconds that the sleeve on both ends spends on a GB."""
    before = sum(map(cpu_seconds, path.workers))
    with _server(path, "sink", PORT) as sink:
        inside(path.source, *PROBE, "pour", path.address, PORT, TCP_SECONDS)
        got = json.loads(sink.communicate(timeout=60)[0])
    figures = {"tcp": float(got["bytes"] * 8 / got["seconds"] / 1e9)}
    if path.workers:
        figures["cpu_per_gb"] = (sum(map(cpu_seconds, path.workers)) - before) / (got["bytes"] / 1e9)
    return figures


def round_trip(path: Network) -> dict[str, float]:
    """Measure round trips of small datagrams between two processes: median and 99th percentile, in microseconds."""
    with _server(path, "echo", PORT, str(PINGS)) as echo:
        answer = json.loads(inside(path.source, *PROBE, "ask", path.address, PORT, str(PINGS)))
        echo.communicate(timeout=60)
    return {"rtt": float(answer["median_us"]), "p99": float(answer["p99_us"])}


@contextmanager
def _server(path: Network, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a probe at the far end, and wait until it serves."""
    command = ("nsenter", f"--net={path.target}", *PROBE, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield server
        finally:
            server.kill()


def with_filters(paths: tuple[Network, ...]) -> bool:
    """Let every host filter bridged packets and track connections, as Docker hosts do; say whether this kernel can."""
    for host in dict.fromkeys(host for path in paths for host in path.hosts):
        netns = f"/run/netns/{host}"
        try:
            inside(netns, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
            inside(netns, "nft", FILTERS)
        except RuntimeError as error:
            print(f"  skipped: {error}", flush=True)
            return False
    return True


@contextmanager
def without_coalescing(paths: tuple[Network, ...]) -> Iterator[None]:
    """Have no packet above the MTU between hosts: nothing is cut behind the sender's device, and nothing joined before
    the receiver's stack, for a pair of veth devices joins nothing unless it is told to."""
    _set_segments(paths, 1)
    try:
        yield
    finally:
        _set_segments(paths, SEGMENTS_MAX)


def _set_segments(paths: tuple[Network, ...], count: int) -> None:
    for path in paths:
        for host, device in path.cables:
            sh("ip", "-n", host, "link", "set", device, "gso_max_segs", str(count))


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory a process holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024
