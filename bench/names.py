"""How fast names are answered, with dnsperf against a name server that knows 10,000 of them and hears of changes.

    python -m bench.names

dnsperf runs beside the server on the same machine and takes more processor time than it; what it cannot send in time is
not counted against anybody, so figures are those of a machine with two free cores or they are too low.
"""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.dns.options import ServerOptions
from adapters.dns.telling import messages_of
from adapters.dns.wire import A, name_bytes
from bench.figures import cpu_seconds, resident_mb
from core.effects import ServeNames
from core.naming.answers import HostAnswer, NameAnswers
from core.types import address_of

NAMES = 10_000
CHANGES_PER_S = 100
SECONDS = 10
CLIENTS = 20
PROBES = 1_000
RATE_TARGET = 30_000
"""Queries per second; latency is taken at half of it."""
START_S = 30.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A name server that runs."""

    port: int
    """UDP and TCP."""
    pid: int
    """Its process."""
    control: socket.socket
    """Where it is told of names."""


def main() -> int:
    """Measure and print; return the exit status."""
    print("\n".join(names_lines(names_figures())))
    return 0


def names_figures() -> dict[str, float]:
    """Return queries per second, processor time of each, latency at half the target, and memory."""
    with _server() as server, tempfile.TemporaryDirectory() as folder:
        empty_mb = resident_mb(server.pid)
        _tell(server, tuple(_name(number, 0) for number in range(NAMES)), is_whole=True)
        _wait_for(server, f"host{NAMES - 1}.weave.local.")
        full_mb = resident_mb(server.pid)
        file = Path(folder) / "queries"
        lines = (f"host{number * 37 % NAMES}.weave.local {kind}\n" for number in range(2_000) for kind in ("A", "AAAA"))
        file.write_text("".join(lines))
        with _changes(server):
            before = cpu_seconds(server.pid)
            output = _dnsperf(server, file)
            count = int(_found(r"Queries completed:\s+(\d+)", output))
            lost = float(_found(r"Queries lost:\s+(\d+)", output))
            cpu_us = (cpu_seconds(server.pid) - before) / count * 1e6
            rate = float(_found(r"Queries per second:\s+([\d.]+)", output))
            load = threading.Thread(target=_dnsperf, args=(server, file, "-Q", str(RATE_TARGET // 2)))
            load.start()
            spans = sorted(_spans(server))
            load.join()
    return {
        "names_queries_per_s": rate,
        "names_query_cpu_us": cpu_us,
        "names_p50_ms": spans[len(spans) // 2] * 1000,
        "names_p99_ms": spans[math.ceil(len(spans) * 0.99) - 1] * 1000,
        "names_lost": lost,
        "names_empty_mb": empty_mb,
        "names_resident_mb": full_mb,
    }


def names_lines(figures: dict[str, float]) -> list[str]:
    """Say the figures, each with its target."""
    return [
        f"names: {figures['names_queries_per_s']:.0f} queries per second (target ≥ {RATE_TARGET}), "
        f"{figures['names_lost']:.0f} lost, {NAMES} names, {CHANGES_PER_S} changes per second; "
        f"{figures['names_query_cpu_us']:.1f} µs of processor time each",
        f"at {RATE_TARGET // 2} queries per second 99 % within {figures['names_p99_ms']:.2f} ms (target < 2), "
        f"half within {figures['names_p50_ms']:.2f} ms",
        f"name server: {figures['names_resident_mb']:.0f} MB resident with {NAMES} names (target ≤ 30), "
        f"{figures['names_empty_mb']:.0f} MB with none",
    ]


@contextmanager
def _server() -> Iterator[Server]:
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind((HOST, 0))
        port = tcp.getsockname()[1]
        udp.bind((HOST, port))
    ours, theirs = socket.socketpair()
    options = ServerOptions(host=HOST, port=port, resolv_conf=os.devnull)
    process = subprocess.Popen((sys.executable, "-m", "adapters.dns", options.to_text()), stdin=theirs.fileno())
    theirs.close()
    try:
        server = Server(port, process.pid, ours)
        _wait_for(server, "weave.local.")
        yield server
    finally:
        ours.close()
        process.wait(START_S)


@contextmanager
def _changes(server: Server) -> Iterator[None]:
    """Have so many names change per second."""
    is_over = threading.Event()

    def change() -> None:
        number = 0
        while not is_over.wait(1 / CHANGES_PER_S):
            _tell(server, (_name(number % NAMES, number % 7 + 1),))
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _dnsperf(server: Server, file: Path, *words: str) -> str:
    command = ("dnsperf", "-s", HOST, "-p", str(server.port), "-d", str(file), "-l", str(SECONDS), "-c", str(CLIENTS))
    return subprocess.run((*command, *words), capture_output=True, text=True, check=True).stdout


def _spans(server: Server) -> Iterator[float]:
    """Ask now and then while others ask all the time; yield what it took in seconds. dnsperf tells of single queries
    only what its own writing has delayed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((HOST, server.port))
        asker.settimeout(START_S)
        for number in range(PROBES):
            query = _query(f"host{number % NAMES}.weave.local.")
            begin = time.perf_counter()
            asker.send(query)
            asker.recv(4_096)
            yield time.perf_counter() - begin
            time.sleep(SECONDS / 2 / PROBES)


def _tell(server: Server, names: tuple[NameAnswers, ...], *, is_whole: bool = False) -> None:
    for message in messages_of(ServeNames(names, is_whole)):
        server.control.sendall(message)


def _name(number: int, change: int) -> NameAnswers:
    name = f"host{number}.weave.local."
    address = address_of(f"10.{32 + change}.{number // 250}.{number % 250 + 1}")
    return NameAnswers(name, (HostAnswer(name, address, 1, 0),))


def _wait_for(server: Server, name: str) -> None:
    query = _query(name)
    deadline = time.monotonic() + START_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((HOST, server.port))
        asker.settimeout(0.1)
        while True:
            assert time.monotonic() < deadline, f"{name} is not answered"
            try:
                asker.send(query)
                if not asker.recv(4_096)[3] & 0x0F:
                    return
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)


def _query(name: str) -> bytes:
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name_bytes(name) + A


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text
    return match[1]


if __name__ == "__main__":
    sys.exit(main())
